"""The quality score: how much of what is asked of the data holds, each dimension of quality weighing the same.

A check that passes has all points, one that fails has none, a warning half; one that could not run is unknown and has
no points, neither good nor bad.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple, Protocol

PASSED_POINTS, WARNED_POINTS, FAILED_POINTS = 1.0, 0.5, 0.0

POINTS_SQL = f"""case when status = 'passed' then {PASSED_POINTS:e}
    when status = 'failed' and severity = 'WARN' then {WARNED_POINTS:e}
    when status = 'failed' then {FAILED_POINTS:e} end"""
"""The points of a row of check results; null where it is unknown."""


class Verdict(Protocol):
    """What the score needs of a result: a CheckResult, or a row of them as a `Judged`."""

    @property
    def dimension(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def severity(self) -> str: ...


class Judged(NamedTuple):
    """One result, as far as it bears on the score."""

    dimension: str
    status: str
    severity: str


@dataclass(frozen=True)
class Score:
    """`value` from 0 to 1 is the mean over dimensions, `by_dimension` the mean points of each; None where none could
    run. `unknown_share` is that of all results, None without any."""

    value: float | None
    by_dimension: Mapping[str, float | None]
    unknown_share: float | None


def points(result: Verdict) -> float | None:
    """What one result is worth, from 0 to 1; None where it is unknown."""
    if result.status == "unknown":
        return None
    if result.status == "passed":
        return PASSED_POINTS
    return WARNED_POINTS if result.severity == "WARN" else FAILED_POINTS


def score(results: Iterable[Verdict]) -> Score:
    """The score of results of any checks and subjects."""
    found: dict[str, list[float | None]] = {}
    for result in results:
        found.setdefault(result.dimension, []).append(points(result))
    by_dimension = {dimension: _mean(worth) for dimension, worth in found.items()}
    everything = [worth for each in found.values() for worth in each]
    unknown = sum(worth is None for worth in everything)
    return Score(_mean(by_dimension.values()), by_dimension, unknown / len(everything) if everything else None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    # Rounded once, so that the order of results does not show.
    return fmean(known) if known else None
