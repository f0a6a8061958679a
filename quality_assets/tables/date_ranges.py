"""Which event dates are built in one run: Dagster builds ranges, and a run costs a second beside what it builds.

Building a date that is not stale changes nothing, so dates between stale ones are built along where that costs less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

# What a run costs that builds nothing, and a day that has no rows, in rows that could be built instead (measured).
_ROWS_OF_A_RUN = 150_000
_ROWS_OF_A_DAY = 5_000
# Later trends, use, and scoring, which are runs of their own where the last day is not among those that are built.
_RUNS_OF_WHAT_FOLLOWS = 3


def joined_ranges(ranges: Sequence[tuple[date, date]], rows: Mapping[date, int]) -> list[tuple[date, date]]:
    """The ranges, joined where building what lies between costs less than another run; `rows` by date that there is."""
    joined: list[tuple[date, date]] = []
    for start, end in ranges:
        if joined and _is_built_along(_days_between(joined[-1][1], start), rows):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _days_between(after: date, before: date) -> list[date]:
    """The days between two, without them."""
    return [after + timedelta(days=n) for n in range(1, (before - after).days)]


def _is_built_along(days: Sequence[date], rows: Mapping[date, int], runs: int = 1) -> bool:
    """Whether building days that are not stale costs less than so many runs; not where there is nothing of a day."""
    if not all(day in rows for day in days):
        return False
    return len(days) * _ROWS_OF_A_DAY + sum(rows[day] for day in days) <= runs * _ROWS_OF_A_RUN


def to_the_end(ranges: list[tuple[date, date]], rows: Mapping[date, int]) -> list[tuple[date, date]]:
    """The last range up to the last day, where that is cheaper than runs of their own for what looks back on it."""
    if not ranges or not rows:
        return ranges
    start, end = ranges[-1]
    last = max(rows)
    if end < last and _is_built_along(_days_between(end, last + timedelta(days=1)), rows, runs=_RUNS_OF_WHAT_FOLLOWS):
        return [*ranges[:-1], (start, last)]
    return ranges
