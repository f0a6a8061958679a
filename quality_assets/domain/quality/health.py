"""What state a check, an asset or a window of results is in, in one word: rows in, verdict out; looks lie elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from quality_assets.domain.wording import plural

Row = dict[str, Any]

# Rows of a partition further than this share from the median of its weekday are unusual.
_UNUSUAL_VOLUME = 0.3
# A snapshot is made each morning: one that is older by half a day more has been missed.
_STALE_AFTER_H = 36
# Yesterday's data are as fresh as whole days can be; one day more is the weekend of a source.
_FRESH_DAYS = 2
_SUCCESS = ("success", "succeeded", "SUCCESS", "materialized")
# It is made from the snapshot, so no snapshot can tell of it.
_AFTER_PUBLICATION = "publish"
UNANSWERED = "could not be answered"
"""What is said of checks whose status is unknown: they lack what they compare with, or failed themselves."""


class CheckState(StrEnum):
    """The state of a check, or of the checks of an asset, worst first."""

    FAILING = "failing"
    WARNING = "warning"
    UNKNOWN = "unknown"
    PASSING = "passing"


STATE_ORDER: Mapping[str, int] = {state.value: order for order, state in enumerate(CheckState)}


class Tally(NamedTuple):
    """How many results are in each state."""

    failing: int
    warning: int
    unknown: int
    passing: int


class Trust(NamedTuple):
    """Whether numbers can be believed, and how many results (of unknown: assets) speak against it."""

    state: CheckState
    against: int


def check_state(row: Row) -> CheckState:
    """The state of one check result."""
    if row["status"] == "failed":
        return CheckState.FAILING if row["severity"] == "ERROR" else CheckState.WARNING
    return CheckState.PASSING if row["status"] == "passed" else CheckState.UNKNOWN


def tally(results: Iterable[Row]) -> Tally:
    """Results counted by state."""
    found = [check_state(row) for row in results]
    return Tally(*(found.count(state) for state in CheckState))


def worst(states: Iterable[CheckState]) -> CheckState:
    """The worst of several states; unknown where there are none."""
    return min(states, key=STATE_ORDER.__getitem__, default=CheckState.UNKNOWN)


def needing_a_look(results: Iterable[Row]) -> list[Row]:
    """The results that are no pass, in the order in which to look: by state, blocking ones first, then by name."""
    return sorted(
        (row for row in results if check_state(row) != CheckState.PASSING),
        key=lambda row: (STATE_ORDER[check_state(row)], not row["is_blocking"], row["asset"], row["check_name"]),
    )


def alarms(results: Iterable[Row]) -> int:
    """How many results fail or warn; what could not be answered raises no alarm."""
    counts = tally(results)
    return counts.failing + counts.warning


def days_bad(worsts: Sequence[int]) -> int:
    """For how many of the last days a check has been no pass (0 is a pass), the newest day last; at least one."""
    return max(next((n for n, worst_of_day in enumerate(reversed(worsts)) if worst_of_day == 0), len(worsts)), 1)


def asset_trust(row: Row | None) -> CheckState:
    """The state of an asset by the counts of its results; unknown where none ran or one could not."""
    if row is None:
        return CheckState.UNKNOWN
    if row["failed"]:
        return CheckState.FAILING if row["errors"] else CheckState.WARNING
    return CheckState.UNKNOWN if row["unknown"] else CheckState.PASSING


def trust(found: Mapping[str, Row], assets: Sequence[str]) -> Trust:
    """Whether numbers that are made from `assets` can be believed, by the counts of the results of each."""
    errors = sum(row["errors"] for row in found.values())
    failed = sum(row["failed"] for row in found.values())
    unknown = sum(asset not in found or bool(found[asset]["unknown"]) for asset in assets)
    if errors:
        return Trust(CheckState.FAILING, errors)
    if failed:
        return Trust(CheckState.WARNING, failed)
    return Trust(CheckState.UNKNOWN, unknown) if unknown else Trust(CheckState.PASSING, 0)


def asset_states(
    graph: Sequence[Row],
    results: Sequence[Row],
    runs: Mapping[str, Row],
    partitions: Mapping[str, Row],
    through: date | None,
    unbuilt: Collection[str] = (),
) -> dict[str, tuple[CheckState, str]]:
    """Health of each asset and why, in a few words: the worst of last run, freshness and checks.

    `unbuilt` are those that could not be built since the snapshot was taken, of which that knows nothing.
    """
    by_asset: dict[str, list[Row]] = {}
    for row in results:
        by_asset.setdefault(row["asset"], []).append(row)
    return {
        row["asset"]: (CheckState.FAILING, "could not be built")
        if row["asset"] in unbuilt
        else _asset_state(
            row,
            tally(by_asset.get(row["asset"], [])),
            runs.get(row["asset"]),
            partitions.get(row["asset"]),
            through,
        )
        for row in graph
    }


def _asset_state(
    row: Row, checks: Tally, run: Row | None, partition: Row | None, through: date | None
) -> tuple[CheckState, str]:
    late = days_behind(partition["last_date"], through) if row["is_partitioned"] and partition and through else 0
    if run and run["status"] not in _SUCCESS:
        return CheckState.FAILING, "last run failed"
    if checks.failing:
        return CheckState.FAILING, f"{plural(checks.failing, 'check')} failing"
    if late > 0:
        return CheckState.WARNING, f"{plural(late, 'day')} behind"
    if checks.warning:
        return CheckState.WARNING, plural(checks.warning, "warning")
    if checks.unknown:
        return CheckState.UNKNOWN, f"{plural(checks.unknown, 'check')} {UNANSWERED}"
    if checks.passing:
        return CheckState.PASSING, f"{plural(checks.passing, 'check')} passed"
    if row["schema"] == _AFTER_PUBLICATION and not run:
        return CheckState.UNKNOWN, "after publication"
    return CheckState.UNKNOWN, "ran, not checked" if run else "not recorded"


def days_behind(last: date, through: date) -> int:
    """How many days what ends with `last` is behind the data; never negative."""
    return max((through - last).days, 0)


def volume_change(last_rows: int, usual_rows: float | None) -> float | None:
    """Rows of a partition against what is usual, as a relative change; None where nothing is usual yet."""
    return last_rows / usual_rows - 1 if usual_rows is not None and usual_rows > 0 else None


def is_unusual_volume(change: float | None, *, is_less_welcome: bool = False) -> bool:
    """Whether so large a change of a partition's rows is odd; fewer are none where less is welcome, as of refusals."""
    return change is not None and abs(change) > _UNUSUAL_VOLUME and not (is_less_welcome and change < 0)


def is_silent(through: date | None, today: date) -> bool:
    """Whether the last day with events is longer ago than whole days can explain."""
    return through is not None and (today - through).days > _FRESH_DAYS


def is_stale(published_at: datetime, now: datetime) -> bool:
    """Whether a snapshot is older than a daily publication can explain."""
    return (now - published_at).total_seconds() > _STALE_AFTER_H * 3600
