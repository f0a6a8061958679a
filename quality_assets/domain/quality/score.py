"""The quality score, everywhere: the share of cells that nothing doubts, of a batch of a dataset or of a day of events.

What doubts a cell of a dataset is said in `datasets/table_score.py`. Of the product's own events, what is quarantined
is doubted: a refused row in the cell that its reason names; in all of them where nothing of it could be read; as a
copied row where it came before. Volume and freshness stand beside the score, as do checks on what was made of events.
Checks have points of their own: how much of what is asked holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quality_assets.contracts.events import EVENT_COLUMNS, Reason
from quality_assets.domain.quality.datasets.weights import COPIED_ROW

PASSED_POINTS, WARNED_POINTS, FAILED_POINTS = 1.0, 0.5, 0.0

POINTS_SQL = f"""case when status = 'passed' then {PASSED_POINTS:e}
    when status = 'failed' and severity = 'WARN' then {WARNED_POINTS:e}
    when status = 'failed' then {FAILED_POINTS:e} end"""
"""The points of a row of check results; null where it is unknown."""


def share_left(doubt: float, cells: float) -> float:
    """1 − doubt / cells, in [0, 1]; `doubt` is a number of cells too. Where there is no cell nothing is doubted."""
    return min(1.0, max(0.0, 1 - doubt / cells)) if cells else 1.0


_COLUMNS = len(EVENT_COLUMNS)
_UNREADABLE = frozenset((Reason.MALFORMED_ROW, Reason.REPEATED_HEADER, Reason.NUL_BYTE))


@dataclass(frozen=True)
class TelemetryScore:
    """`value` from 0 to 1 is the share of cells that nothing doubts, `by_dimension` the same of each dimension alone;
    None where no row came."""

    value: float | None
    by_dimension: Mapping[str, float | None]


def doubted_cells(reason: str) -> tuple[str, float]:
    """The dimension that a reason for quarantine bears on, and how many cells of the row it doubts."""
    if reason == Reason.DUPLICATE_EVENT_ID:
        return "uniqueness", COPIED_ROW * _COLUMNS
    if reason in _UNREADABLE:
        return "validity", float(_COLUMNS)
    return ("completeness" if reason.startswith("missing_") else "validity"), 1.0


def telemetry_score(rows: int, refused: Mapping[str, int]) -> TelemetryScore:
    """The score of so many rows, refused ones included; `refused` counts rows by reason, each under all of its own."""
    dimensions = dict.fromkeys(("completeness", "validity", "uniqueness"), 0.0)
    for reason, count in refused.items():
        dimension, cells = doubted_cells(reason)
        dimensions[dimension] += cells * count
    if not rows:
        return TelemetryScore(None, dict.fromkeys(dimensions))
    every = rows * _COLUMNS
    told = {dimension: share_left(doubt, every) for dimension, doubt in dimensions.items()}
    return TelemetryScore(share_left(sum(dimensions.values()), every), told)
