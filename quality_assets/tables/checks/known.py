"""Which checks there are now. A check that was renamed or removed is not asked again: its last answer says nothing."""

from __future__ import annotations

from functools import lru_cache

from quality_assets.domain.quality.check import Check, Subject
from quality_assets.domain.quality.expectations import EXPECTATION_CHECKS
from quality_assets.domain.quality.sql_checks import SQL_CHECKS
from quality_assets.tables.checks.collected import COLLECTED_CHECKS
from quality_assets.tables.checks.described import DESCRIPTIONS_READ
from quality_assets.tables.checks.learning_checks import LEARNING_CHECKS
from quality_assets.tables.checks.models import COMPUTED_CHECKS
from quality_assets.tables.checks.publication import PUBLICATION_CHECKS
from quality_assets.tables.checks.source_shapes import SHAPE_CHECKS
from quality_assets.tables.checks.sources import SOURCE_CHECKS
from quality_assets.tables.checks.told_twice import TOLD_TWICE

ALL_CHECKS: tuple[Check, ...] = (
    *SQL_CHECKS,
    *SOURCE_CHECKS,
    *SHAPE_CHECKS,
    TOLD_TWICE,
    DESCRIPTIONS_READ,
    *COLLECTED_CHECKS,
    *COMPUTED_CHECKS,
    *LEARNING_CHECKS,
    *EXPECTATION_CHECKS,
    *PUBLICATION_CHECKS,
)


def checks_by_subject() -> dict[Subject, list[Check]]:
    """Every subject with all checks that are asked of it."""
    found: dict[Subject, list[Check]] = {}
    for check in ALL_CHECKS:
        found.setdefault(check.subject, []).append(check)
    return found


@lru_cache(maxsize=1)
def blocking_checks() -> frozenset[tuple[str, str]]:
    """Asset and name of every check whose failure stops publication."""
    return frozenset((check.subject.name, check.name) for check in ALL_CHECKS if check.is_blocking)


@lru_cache(maxsize=1)
def _units() -> dict[tuple[str, str], str]:
    return {(check.subject.name, check.name): check.unit for check in ALL_CHECKS}


def unit_of(asset: str, check_name: str) -> str:
    """The unit of what a check measures, as `wording.measure_text` takes it; empty of a check that is not known."""
    return _units().get((asset, check_name), "")
