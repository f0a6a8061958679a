"""A feature's slices and which days they compare: the open incident, else the last week, with the 28 days before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from quality_assets.read import feature as queries
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

MOST_DAYS = 28


def slice_filters(request: Request) -> tuple[tuple[str, str], ...]:
    """The slice that the address narrows to, as pairs of dimension and value."""
    return tuple((name, request.query[name]) for name in queries.SLICE_DIMENSIONS if request.query.get(name))


@dataclass(frozen=True)
class SlicePeriod:
    """What slices compare: the days from `since` on with the 28 days before `until`, and which incident they are of."""

    since: date
    until: date
    incident_start: date | None = None


def slice_period(reader: Reader, name: str, through: date) -> SlicePeriod:
    """The open incident, or the last week where there is none; its last four weeks where it is older than that.

    However old an incident is, what is compared with is the time before it, and no more than 56 days are read.
    """
    starts = [fault["start_date"] for fault in queries.incidents(reader, name) if fault["end_date"] is None]
    if not starts:
        week = through - timedelta(days=6)
        return SlicePeriod(week, week)
    start = min(starts)
    return SlicePeriod(max(start, through - timedelta(days=MOST_DAYS - 1)), start, start)


def sliced(reader: Reader, request: Request, *, pairs: bool = False) -> list[Row]:
    """The metrics of a feature's slices, or of their pairs, now and before."""
    name = request.feature
    if name is None or reader.through is None:
        return []
    period = slice_period(reader, name, reader.through)
    return queries.slices(reader, name, period.since, period.until, slice_filters(request), pairs=pairs)
