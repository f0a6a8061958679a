"""The detector taken up where it was left: what it says of the days since then, and what changes of days before.

A day's state is made of that day and earlier ones, and so are the rows of it, but for three columns: since when an
episode goes on, and its worst day, are as dated now. Of series in an episode the days before are therefore put in
from what is stored, and looked at again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.domain.series.carrying import DAYS_BEFORE, Carried
from quality_assets.domain.series.settings import DEFAULT_SETTINGS, DetectionSettings
from quality_assets.domain.series.state_rows import spans
from quality_assets.domain.series.states import PARTS, Watched

STORED_COLUMNS = (
    "event_date", "feature", "metric", "event_name", "platform", "expected", "z", "drift", "is_open", "is_found",
    "is_silent", "is_pooled", "is_adopted", "run_since",
)  # fmt: skip
"""Of product.feature_states: what days before are put in from."""


class CutShortError(LookupError):
    """The days that are there do not tell when something began: more of the history has to be gone over."""


def first_index(each: Watched, start: Carried) -> int:
    """The index of the day after `start`."""
    return int((start.day - each.grid.dates[0].astype("datetime64[D]")).astype(np.int64)) + 1


def begun_before(each: Watched, start: Carried) -> np.ndarray:
    """S: the first day, up to `start`, by which episodes are dated that go on or are found after it; else NaT."""
    first, found = first_index(each, start), each.found
    begin = start.begun.copy()
    for series, day in np.argwhere(found.is_start[:, first:]):
        run = min(int(found.run_start[series, first + day]), first + int(day))
        begin[series] = np.fmin(begin[series], each.grid.dates[0].astype("datetime64[D]") + np.timedelta64(run, "D"))
    begin = begin - np.timedelta64(DAYS_BEFORE, "D")
    return np.where(begin <= start.day, begin, np.datetime64("NaT"))


def with_days_before(each: Watched, start: Carried, begin: np.ndarray, rows: pd.DataFrame) -> Watched:
    """The same with what is stored (`STORED_COLUMNS`) of days up to `start`, of each series from its day in `begin` on.

    CutShortError where something of that is not there.
    """
    grid, first = each.grid, first_index(each, start)
    row, day, known = grid.positions(rows)
    wanted = grid.dates[0].astype("datetime64[D]") + np.maximum(day, 0).astype("timedelta64[D]") >= begin[row]
    kept = known & wanted & (day < first)
    at = row[kept], day[kept]
    columns: dict[str, Any] = {
        name: _filled(getattr(each.found, name), at, rows[column].to_numpy()[kept])
        for name, column in _COLUMN_OF.items()
    }
    run_start = _filled(each.found.run_start, at, _indices(rows["run_since"], grid.dates[0])[kept])
    found = replace(each.found, run_start=run_start, **columns)
    is_there = np.zeros(found.z.shape, bool)
    is_there[at] = True
    dates = grid.dates.astype("datetime64[D]")[None, :]
    needed = (dates >= begin[:, None]) & (dates <= start.day) & grid.is_seen
    if (needed & ~is_there).any() or _is_silent_from_the_first(found.is_silence, found.panel.value, grid.is_old):
        raise CutShortError(each.metric)
    return replace(each, found=found)


_COLUMN_OF = {
    "expected": "expected", "z": "z", "ewma": "drift", "is_active": "is_open", "is_start": "is_found",
    "is_silence": "is_silent", "is_pooled": "is_pooled", "is_adopted": "is_adopted",
}  # fmt: skip


def _filled(values: np.ndarray, at: tuple[np.ndarray, np.ndarray], stored: np.ndarray) -> np.ndarray:
    out = values.copy()
    out[at] = stored.astype(values.dtype)
    return out


def _indices(column: pd.Series, first: np.datetime64) -> np.ndarray:
    days = pd.to_datetime(column).to_numpy().astype("datetime64[D]")
    return np.asarray((days - first.astype("datetime64[D]")).astype(np.int64))


def _is_silent_from_the_first(is_silent: np.ndarray, value: np.ndarray, is_old: np.ndarray | None) -> bool:
    """Whether a silence goes back to the first day of a window, and may so have begun before it."""
    if is_old is None:
        return False
    for series in np.flatnonzero(is_silent.any(axis=1) & is_old):
        if not (value[series, : int(np.argmax(is_silent[series]))] > 0).any():
            return True
    return False


def dated_anew(each: Watched, start: Carried, settings: DetectionSettings = DEFAULT_SETTINGS) -> pd.DataFrame:
    """Key, since, worst_date and worst_size of the days up to `start` of episodes that went on after it."""
    first, found = first_index(each, start), each.found
    since, worst, worst_size = spans(each, settings)
    mask = np.zeros(found.z.shape, bool)
    for series in np.flatnonzero(~np.isnat(start.begun)):
        starts = np.flatnonzero(found.is_start[series, :first])
        mask[series, starts[-1] : first] = True
    out = each.grid.long_keys(mask)
    for part in PARTS:
        if part not in out:
            out[part] = ""
    flat = mask.T
    return out.assign(metric=each.metric, since=since.T[flat], worst_date=worst.T[flat], worst_size=worst_size.T[flat])
