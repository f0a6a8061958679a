"""Which checks there are now. A check that was renamed or removed is not asked again: its last answer says nothing."""

from __future__ import annotations

from functools import lru_cache

from quality_assets.domain.checks import CHECKS, Check
from quality_assets.domain.expectations import SUITES
from quality_assets.domain.ml_checks import ML_CHECKS
from quality_assets.warehouse.checking import ComputedCheck
from quality_assets.warehouse.expectation_runs import check_name
from quality_assets.warehouse.ml_checking import COMPUTED_CHECKS
from quality_assets.warehouse.publication_checking import PUBLICATION_CHECKS


@lru_cache(maxsize=1)
def blocking_checks() -> frozenset[tuple[str, str]]:
    """Asset and name of every check whose failure stops publication."""
    asked: tuple[Check | ComputedCheck, ...] = (*CHECKS, *ML_CHECKS, *COMPUTED_CHECKS, *PUBLICATION_CHECKS)
    expected = {
        (asset, check_name(expectation.dimension))
        for asset, suite in SUITES.items()
        for expectation in suite
        if expectation.is_blocking
    }
    return frozenset({(check.table.qualified_name, check.name) for check in asked if check.is_blocking} | expected)
