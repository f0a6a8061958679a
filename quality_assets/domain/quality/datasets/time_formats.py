"""Dates and times as people write them: which format a column has, or which few, and the seconds that values are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Bools, Floats

ISO = "ISO8601"
CLOCKS = ("%H:%M:%S", "%H:%M:%S.%f", "%H:%M", "%I:%M %p", "%I:%M:%S %p")
"""Times of any day."""
# Of two that read a column as well the first is meant.
TIME_FORMATS = (
    ISO,
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %I:%M%p",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d-%m-%Y",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y %H:%M:%S",
    "%d-%b-%Y",
    "%d-%b-%Y %H:%M:%S",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%d-%b-%y",
    "%Y-%m-%d %H:%M:%S UTC",
    "%Y-%m-%d %I:%M:%S %p",
    "%Y%m%dT%H%M%SZ",
    "%d/%b/%Y:%H:%M:%S %z",
    "[%d/%b/%Y:%H:%M:%S",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%a %b %d %H:%M:%S %Y",
    "%b %Y",
    "%B %Y",
    "%b-%y",
    *CLOCKS,
)
LEAST_TIMES, _LEAST_BESIDE_ELSE = 0.9, 0.6
"""So much of what a column holds is times where no further way of writing is looked for, and so much at least, for the
rest to be of the wrong type."""
_MOST_TRIED, _FIRST_TRIED, _MOST_FAR = 2000, 100, 200
# Up to so many formats stand in a column together, each in so much of it that it is no slip of a few.
_MOST_FORMATS, _LEAST_OF_ONE = 3, 0.05
_TIME_LIKE = re.compile(r"\d[-/.:, ]+\w|[A-Za-z]{3}[- ]\d\d|\d{8}T\d")
_MOST_LETTERS = 40
# Seconds from 1973 on, and so many of what machines count to a second; years and days as numbers.
_FIRST_SECOND, _LAST_SECOND, _UNITS = 1e8, 1e10, (1, 1_000, 1_000_000, 1_000_000_000)
# Beyond the year 9000 no calendar goes.
_LAST_OF_ALL = 2.2e11
_YEARS, _DAYS = (1900, 2100), (19_000_101, 21_001_231)
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def time_formats(values: Sequence[str], held: Floats) -> tuple[str, ...]:
    """In which formats values that stand there `held` times each are times, the most frequent one first.

    One where it reads nearly all; a few where these together do. None where they are no times.
    """
    values, held = values[:_MOST_TRIED], held[:_MOST_TRIED]
    looks = np.array([len(value) <= _MOST_LETTERS and bool(_TIME_LIKE.search(value)) for value in values])
    enough, least = LEAST_TIMES * held.sum(), _LEAST_BESIDE_ELSE * held.sum()
    if held[looks].sum() < least:
        return ()
    read: dict[str, Bools] = {}
    first = values[:: -(-len(values) // _FIRST_TRIED)]
    for time_format in TIME_FORMATS:
        # What reads none of some values reads few of all.
        if np.isnan(_parsed(first, time_format)).all():
            continue
        read[time_format] = ~np.isnan(_parsed(values, time_format))
        # One that reads all no later one reads more than, and to try each of them took longer than all else.
        if read[time_format].all():
            return (time_format,)
    chosen: list[str] = []
    left = np.ones(len(values), bool)
    while read and len(chosen) < _MOST_FORMATS:
        best = max(read, key=lambda each: held[read[each] & left].sum())
        gained = held[read[best] & left].sum()
        if gained < (_LEAST_OF_ONE * held.sum() if chosen else 1):
            break
        chosen.append(best)
        left &= ~read[best]
        if held[~left].sum() >= enough:
            break
    return tuple(chosen) if held[~left].sum() >= least else ()


def times_of(values: Sequence[str], time_format: str) -> Floats:
    """Seconds since 1970 of texts in a format of `strptime`, or "ISO8601"; NaN where one is not so written."""
    seconds = _parsed(values, time_format)
    unread = np.flatnonzero(np.isnan(seconds))
    if 0 < len(unread) <= _MOST_FAR:
        for index in unread.tolist():
            seconds[index] = _far_second(values[index], time_format)
    return seconds


def counted_instants(numbers: Floats) -> Floats:
    """Numbers that count seconds, or parts of them, since 1970, or name days or years, as seconds since 1970.

    NaN for numbers that are no instants.
    """
    known = numbers[~np.isnan(numbers)]
    if not len(known) or (known != np.round(known)).any():
        return np.full(len(numbers), np.nan)
    middle = float(np.median(known))
    for unit in _UNITS:
        if _FIRST_SECOND <= middle / unit < _LAST_SECOND:
            return np.where(np.abs(numbers / unit) < _LAST_OF_ALL, numbers / unit, np.nan)
    is_year, is_day = (((low <= known) & (known <= high)).all() for low, high in (_YEARS, _DAYS))
    if not (is_year or is_day):
        return np.full(len(numbers), np.nan)
    texts = ["" if np.isnan(number) else f"{number:.0f}" + ("0101" if is_year else "") for number in numbers.tolist()]
    return _parsed(texts, "%Y%m%d")


def _parsed(values: Sequence[str], time_format: str) -> Floats:
    parsed = pd.to_datetime(pd.Series(list(values), dtype=object), format=time_format, errors="coerce", utc=True)
    stamps = parsed.astype("int64").to_numpy(float) / 1e9
    unit = getattr(parsed.dtype, "unit", "ns")
    stamps *= {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}[unit]
    return np.where(parsed.isna().to_numpy(), np.nan, stamps)


def _far_second(value: str, time_format: str) -> float:
    """The second of a day that nanoseconds of 64 bits do not reach: 9999-12-31 is a day, and far from all others."""
    try:
        if time_format == ISO:
            day = _ISO_DAY.match(value)
            found = datetime.fromisoformat(value[:19]) if day else None
        else:
            found = datetime.strptime(value, time_format)
    except ValueError:
        return np.nan
    return np.nan if found is None else found.replace(tzinfo=found.tzinfo or UTC).timestamp()
