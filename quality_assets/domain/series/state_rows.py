"""The detector's word as rows of product.feature_states, and such rows as the detector's word again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.contracts.metrics import METRICS_BY_NAME, TREND_METRICS
from quality_assets.contracts.states import FEATURE_STATES
from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.carrying import DAYS_BEFORE
from quality_assets.domain.series.detection import Detections, episodes
from quality_assets.domain.series.objectives import ObjectiveStates
from quality_assets.domain.series.panel import Grid, Panel, build_grid, metric_family, worse_side
from quality_assets.domain.series.settings import DEFAULT_SETTINGS, DetectionSettings
from quality_assets.domain.series.states import MOST_CHANGE, PARTS, Watched, words_of


def state_rows(watched: Sequence[Watched], settings: DetectionSettings = DEFAULT_SETTINGS) -> pd.DataFrame:
    """Rows of product.feature_states, ordered by day within each metric."""
    frames = [rows_of(each, settings) for each in watched if each.grid.is_present.size]
    names = list(FEATURE_STATES.column_names)
    return pd.concat(frames, ignore_index=True)[names] if frames else pd.DataFrame(columns=names)


def rows_of(each: Watched, settings: DetectionSettings = DEFAULT_SETTINGS, first: int = 0) -> pd.DataFrame:
    """Rows of one panel, of the days from the index `first` on."""
    found, grid = each.found, each.grid
    mask = grid.is_seen if each.part == "" else _near_episodes(found)
    mask = mask & (np.arange(len(grid.dates)) >= first)
    flat = mask.T
    keys = grid.long_keys(mask)
    state, reason = words_of(each, settings)
    size = found.panel.value - found.expected
    since, worst, worst_size = spans(each, settings)
    pooled = found.days_pooled if found.days_pooled is not None else np.ones(size.shape)
    counted = np.broadcast_to(each.is_counted[:, None], size.shape)
    columns: dict[str, Any] = {
        "state": state,
        "reason_unknown": reason,
        "is_counted": counted,
        "is_bad": each.is_bad & counted,
        "value": found.panel.value,
        "sample_size": found.panel.sample,
        "expected": found.expected,
        "size": size,
        "change": np.clip(found.change, -MOST_CHANGE, MOST_CHANGE),
        "z": found.z,
        "drift": found.ewma,
        "noise": found.noise,
        "since": since,
        "worst_date": worst,
        "worst_size": worst_size,
        "days_pooled": np.where(np.isfinite(pooled) & (pooled >= 1), pooled, np.nan),
        "events_to_tell": _or_nan(found.events_to_tell, size.shape),
        "is_open": found.is_active,
        "is_found": found.is_start,
        "is_silent": found.is_silence,
        "is_pooled": found.is_pooled if found.is_pooled is not None else np.zeros(size.shape, bool),
        "is_adopted": found.is_adopted,
        "run_since": _day_of(grid, found.run_start),
        "silence_log_p": found.silence_log_p,
        **_objective_columns(each, size.shape),
    }
    # All columns at once: a frame that grows by one at a time costs more than the detector.
    own = {"metric": each.metric, **{part: "" for part in PARTS if part not in keys}}
    told = {name: values.T[flat] for name, values in columns.items()}
    told["reason_unknown"] = np.where(told["reason_unknown"] == "", None, told["reason_unknown"])
    return keys.assign(**own).join(pd.DataFrame(told, index=keys.index))


def _near_episodes(found: Detections) -> Bools:
    """S × D: the days of episodes, and the week before each began: what a part of a feature is asked about."""
    near = found.is_active | found.is_start
    for series, day in np.argwhere(found.is_start):
        near[series, max(0, min(int(found.run_start[series, day]), int(day)) - DAYS_BEFORE) : day + 1] = True
    return np.asarray(near)


def _day_of(grid: Grid, index: Ints) -> np.ndarray:
    """Dates of indices of days, which may lie before the first."""
    return np.asarray((grid.dates[0] + index.astype("timedelta64[D]")).astype("datetime64[s]"))


def _or_nan(values: Floats | None, shape: tuple[int, ...]) -> Floats:
    return values if values is not None else np.full(shape, np.nan)


def _objective_columns(each: Watched, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    own = each.objective
    nothing = np.full(shape, np.nan)
    if own is None:
        none = np.full(shape, None, dtype=object)
        return {
            "objective": nothing, "objective_source": none, "is_objective_breach": none, "burn_rate_3d": nothing,
            "burn_rate_28d": nothing, "budget_left": nothing,
        }  # fmt: skip
    source, breach = np.full(shape, None, dtype=object), np.full(shape, None, dtype=object)
    has = np.isfinite(own.limit)
    source[has & own.is_default], source[has & ~own.is_default] = "default", "given"
    breach[has] = own.is_breach[has]
    return {
        "objective": np.broadcast_to(own.limit[:, None], shape),
        "objective_source": source,
        "is_objective_breach": breach,
        "burn_rate_3d": own.burn_short,
        "burn_rate_28d": own.burn_long,
        "budget_left": own.budget_left,
    }


def spans(each: Watched, settings: DetectionSettings = DEFAULT_SETTINGS) -> tuple[np.ndarray, np.ndarray, Floats]:
    """Since when, the worst day so far, and how far off it was, on the days of episodes and breaches; else NaT, NaN."""
    found, dates = each.found, each.grid.dates.astype("datetime64[s]")
    size = found.panel.value - found.expected
    since = np.full(size.shape, np.datetime64("NaT"), dtype="datetime64[s]")
    worst, worst_size = since.copy(), np.full(size.shape, np.nan)
    if each.objective is not None:
        own = each.objective
        since = np.where(own.is_breach, _day_of(each.grid, own.begin), since)
    for episode in episodes(found, settings):
        active = found.is_active[episode.series, episode.detected_day :]
        later = found.is_start[episode.series, episode.detected_day :].copy()
        later[0] = False
        off = np.flatnonzero(~active | later)
        stop = episode.detected_day + (int(off[0]) if len(off) else len(active))
        days = np.arange(episode.start_day, stop)
        z = np.nan_to_num(found.z[episode.series, days], nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        best = np.maximum.accumulate(z)
        at = days[np.maximum.accumulate(np.where(z >= best, np.arange(len(days)), 0))]
        inside = days >= episode.detected_day
        since[episode.series, days[inside]] = dates[episode.start_day]
        worst[episode.series, days[inside]] = dates[at[inside]]
        worst_size[episode.series, days[inside]] = size[episode.series, at[inside]]
    return since, worst, worst_size


_STORED = (
    "value", "sample_size", "expected", "change", "z", "drift", "noise", "days_pooled", "events_to_tell",
    "silence_log_p", "objective", "burn_rate_3d", "burn_rate_28d", "budget_left",
)  # fmt: skip
_FLAGS = (
    "is_open",
    "is_found",
    "is_silent",
    "is_pooled",
    "is_adopted",
    "is_bad_day",
    "is_counted",
    "is_breach",
    "is_known",
)
READ_COLUMNS = (
    "event_date", "feature", "metric", "event_name", "platform", *_STORED, "is_open", "is_found", "is_silent",
    "is_pooled", "is_adopted", "is_counted", "state", "is_objective_breach", "objective_source", "run_since", "since",
    "reason_unknown",
)  # fmt: skip


def watched_from(rows: pd.DataFrame, known_dates: Iterable[date] | None = None) -> list[Watched]:
    """What `watch` gave, from the `READ_COLUMNS` of stored rows; panels without the amounts behind their values."""
    out: list[Watched] = []
    if not len(rows):
        return out
    told = rows.loc[rows["reason_unknown"].ne("no_data_that_day").fillna(True).astype(bool), "event_date"]
    known = pd.to_datetime(told).unique() if known_dates is None else known_dates
    rows = rows.assign(
        is_bad_day=rows["state"].eq("worse"),
        is_known=rows["state"].ne("unknown"),
        is_breach=rows["is_objective_breach"].astype("boolean").fillna(False).astype(bool),
        is_default=rows["objective_source"].eq("default"),
        run=_day_numbers(rows["run_since"]),
        begun=_day_numbers(rows["since"]),
    )
    is_part = {part: rows[part].ne("") for part in PARTS}
    whole = rows[~(is_part["event_name"] | is_part["platform"])]
    order = {name: number for number, name in enumerate(TREND_METRICS)}
    names = sorted(whole["metric"].unique(), key=lambda each: order.get(each, len(order)))
    out.extend(_restored(whole[whole["metric"] == name], str(name), "feature", known) for name in names)
    for part in PARTS:
        own = rows[is_part[part]]
        out.extend(
            _restored(own[own["metric"] == name], str(name), ("feature", part), known)
            for name in own["metric"].unique()
        )
    return out


def _day_numbers(column: pd.Series) -> pd.Series:
    when = pd.to_datetime(column)
    return (when - pd.Timestamp(0)).dt.days.astype(float)


def _restored(rows: pd.DataFrame, metric: str, key: str | tuple[str, ...], known: Any) -> Watched:
    grid = build_grid(rows, (*_STORED, *_FLAGS, "run", "begun", "is_default"), key=key, known_dates=known)
    info = METRICS_BY_NAME[metric]
    flags = {name: np.nan_to_num(grid.column(name)) > 0 for name in _FLAGS}
    first = int(grid.dates[0].astype("datetime64[D]").astype(np.int64))
    day = np.arange(len(grid.dates))
    run = np.where(np.isfinite(grid.column("run")), grid.column("run") - first, day).astype(np.int64)
    pooled = grid.column("days_pooled")
    found = Detections(
        panel=Panel(
            metric, metric_family(info), worse_side(info), tuple(grid.keys.tolist()), tuple(grid.dates.tolist()),
            grid.column("value"), grid.column("value"), grid.column("sample_size"), key,
        ),
        expected=grid.column("expected"),
        z=grid.column("z"),
        ewma=grid.column("drift"),
        change=grid.column("change"),
        noise=grid.column("noise"),
        silence_log_p=np.nan_to_num(grid.column("silence_log_p")),
        is_active=flags["is_open"],
        is_start=flags["is_found"],
        is_silence=flags["is_silent"],
        is_adopted=flags["is_adopted"],
        run_start=run,
        is_bad=flags["is_bad_day"],
        days_pooled=np.where(np.isfinite(pooled), pooled, np.inf),
        is_pooled=flags["is_pooled"],
        events_to_tell=grid.column("events_to_tell"),
    )  # fmt: skip
    last = _last_known(grid.column("is_counted"))
    has_objective = np.isfinite(grid.column("objective")).any()
    objective = _objective_of(grid, flags["is_breach"], first) if has_objective else None
    return Watched(grid, found, last > 0, objective, flags["is_known"])


def _last_known(values: Floats) -> Floats:
    """S: the value of the last day that has one; 0 where none has."""
    index = np.where(np.isfinite(values), np.arange(values.shape[1])[None, :], -1).max(axis=1)
    return np.where(index >= 0, values[np.arange(len(values)), np.maximum(index, 0)], 0.0)


def _objective_of(grid: Grid, is_breach: Bools, first: int) -> ObjectiveStates:
    begun = grid.column("begun")
    begin = np.where(np.isfinite(begun), begun - first, 0).astype(np.int64)
    limit = grid.column("objective")
    last = _last_known(limit)
    return ObjectiveStates(
        np.where(np.isfinite(limit).any(axis=1), last, np.nan),
        _last_known(grid.column("is_default")) > 0,
        is_breach,
        begin,
        grid.column("burn_rate_3d"),
        grid.column("burn_rate_28d"),
        grid.column("budget_left"),
    )
