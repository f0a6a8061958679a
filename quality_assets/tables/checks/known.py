"""Which checks there are now. A check that was renamed or removed is not asked again: its last answer says nothing."""

from __future__ import annotations

from functools import lru_cache

from quality_assets.domain.quality.check import Check
from quality_assets.domain.quality.event_checks import CHECKS
from quality_assets.domain.quality.expectations import SUITES
from quality_assets.domain.quality.model_checks import ML_CHECKS
from quality_assets.tables.checks.expectation_runs import check_name
from quality_assets.tables.checks.models import COMPUTED_CHECKS
from quality_assets.tables.checks.publication import PUBLICATION_CHECKS
from quality_assets.tables.checks.run import ComputedCheck


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
