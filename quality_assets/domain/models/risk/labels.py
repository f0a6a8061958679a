"""Whether a feature is bad today, and the labels that say whether it will be: the truth that risk models predict.

What is bad is the detector's word (`domain/series/states`), the same that incidents are made of; what looks back is
made there, labels look only forwards. Inputs of models live in `inputs`, incidents for people in `features/incidents`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from quality_assets.contracts.metrics import METRIC_GROUPS
from quality_assets.contracts.risk_inputs import SIGNALS
from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.panel import Grid, build_grid, columns_behind
from quality_assets.domain.series.settings import DEFAULT_SETTINGS
from quality_assets.domain.series.states import (
    GONE_DAYS,
    MONITORED_METRICS,
    MOST_CHANGE,
    Described,
    Watched,
    run_length,
    watch,
)

# What states and the inputs made of them read of product.fact_feature_metrics, beside its key.
LABEL_FACTS = tuple(dict.fromkeys((*columns_behind(MONITORED_METRICS), "events", "users")))
# What grids of labels and inputs hold of it.
_GRID_COLUMNS = ("events", "users")


@dataclass(frozen=True)
class LabelSettings:
    """What labels look at. Every default has a reason.

    horizon_days: a week, so that each weekday is in every horizon and a team can still act. refractory_days: a relapse
    within them is the same degradation, and such a feature is not yet healthy. min_known_days: a week with fewer known
    days is not called healthy.
    """

    horizon_days: int = 7
    refractory_days: int = 3
    min_known_days: int = 4

    def __post_init__(self) -> None:
        if self.horizon_days < 1:
            raise ValueError("horizon_days must be positive")
        if not 1 <= self.min_known_days <= self.horizon_days:
            raise ValueError("min_known_days must lie between 1 and horizon_days")


@dataclass(frozen=True)
class SignalState:
    """One signal over time, all F x D, worse is positive: the worst of the metrics that show it.

    z: today against expected, in units of its own noise, NaN where it cannot be told. change: the same as a fraction
    (feedback: points), of the metric with that z. drift: z smoothed over the days. is_known: can be told today.
    is_open: in an episode. is_bad: worse than its own past or beyond its objective. is_breached: beyond its objective.
    calm_days: days of the episode in a row on which nothing was bad. drift_share, spike_share: how far towards the two
    ways into an episode, 1 = as strong as it takes, of the metric that is nearest. burn: error budget used over four
    weeks, 1 = as fast as allowed, NaN without an objective.
    """

    z: Floats
    change: Floats
    drift: Floats
    is_known: Bools
    is_open: Bools
    is_bad: Bools
    is_breached: Bools
    calm_days: Ints
    drift_share: Floats
    spike_share: Floats
    burn: Floats


@dataclass(frozen=True)
class FeatureStates:
    """All signals, and the feature as a whole (F x D): known, degraded, onset (a new degradation begins), healthy."""

    grid: Grid
    signals: dict[str, SignalState]
    is_known: Bools
    is_degraded: Bools
    is_onset: Bools
    is_healthy: Bools
    silent_days: Ints


def feature_states(
    facts: pd.DataFrame,
    settings: LabelSettings | None = None,
    through: date | None = None,
    *,
    event_counts: pd.DataFrame | None = None,
    platform_counts: pd.DataFrame | None = None,
    described: Described | None = None,
) -> FeatureStates:
    """The state of every feature on every day, each from that day and earlier only, from the facts."""
    watched = watch(
        facts, event_counts=event_counts, platform_counts=platform_counts, described=described, through=through
    )
    return states_of(facts, watched, settings, through)


def states_of(
    facts: pd.DataFrame, watched: Sequence[Watched], settings: LabelSettings | None = None, through: date | None = None
) -> FeatureStates:
    """The same, of what was watched; what does not count is left out.

    A platform or an event of a feature speaks up where it is in an episode; its daily noise is not the feature's.
    """
    settings = settings or LabelSettings()
    grid = build_grid(facts, _GRID_COLUMNS, through=through, counted_by="events")
    silent_days = run_length((grid.count("events") == 0) | (grid.is_gap[None, :] & grid.is_seen))
    signals = {name: _signal(grid, [each for each in watched if _group(each) == name]) for name in SIGNALS}
    shape = grid.is_present.shape
    known, degraded = np.zeros(shape, bool), np.zeros(shape, bool)
    for state in signals.values():
        known |= state.is_known
        degraded |= state.is_bad
    calm = run_length(~degraded)
    recovering = ~degraded & (calm <= settings.refractory_days) & (np.cumsum(degraded, axis=1) > 0)
    before_free = np.concatenate([np.ones((shape[0], 1), bool), ~(degraded | recovering)[:, :-1]], axis=1)
    return FeatureStates(
        grid,
        signals,
        known | degraded,
        degraded,
        degraded & before_free,
        known & ~degraded & ~recovering,
        silent_days,
    )


def _group(each: Watched) -> str:
    return METRIC_GROUPS.get(each.metric, each.metric)


def _signal(grid: Grid, members: Sequence[Watched]) -> SignalState:
    """The worst of the metrics, and of the parts, that show a signal, on the grid of features."""
    shape = grid.is_present.shape
    z, change, drift, drift_share, spike_share, burn = (np.full(shape, np.nan) for _ in range(6))
    known, opened, bad, breached = (np.zeros(shape, bool) for _ in range(4))
    for each in members:
        found = _of_each_series(each)
        limits = DEFAULT_SETTINGS.limits_of(each.found.panel.family)
        for series, at in _places(grid, each):
            own = {name: values[series] for name, values in found.items()}
            worse = own["speaks"] & ~(own["z"] <= z[at])
            change[at] = np.where(worse, own["change"], change[at])
            z[at] = np.where(worse, own["z"], z[at])
            drift[at] = np.fmax(drift[at], np.where(own["speaks"], own["drift"], np.nan))
            burn[at] = np.fmax(burn[at], own["burn"])
            drift_share[at] = np.fmax(drift_share[at], np.where(own["speaks"], own["drift"] / limits.ewma, np.nan))
            near = np.minimum(own["z"] / limits.spike_sd, own["change"] / limits.one_day)
            spike_share[at] = np.fmax(spike_share[at], np.where(own["speaks"], near, np.nan))
            known[at] |= own["known"]
            opened[at] |= own["open"]
            bad[at] |= own["bad"]
            breached[at] |= own["breached"]
    calm = np.where(opened & ~bad, run_length(~bad), 0)
    calm_days = calm.astype(np.int64)
    return SignalState(z, change, drift, known | bad, opened, bad, breached, calm_days, drift_share, spike_share, burn)


def _places(grid: Grid, each: Watched) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """The series that count, and where on the grid each goes: the row of its feature, and the days that both have.

    All at once where they are of whole features; of parts, the first of each feature, then the second, and so on.
    """
    row_of = {str(key): number for number, key in enumerate(grid.keys)}
    rows = np.array([row_of.get(feature, -1) for feature in each.features], dtype=np.int64)
    counted = np.flatnonzero(np.asarray(each.is_counted) & (rows >= 0))
    turns = pd.Series(rows[counted]).groupby(rows[counted]).cumcount().to_numpy()
    first = int((each.grid.dates[0] - grid.dates[0]).astype(np.int64)) if len(each.grid.dates) else 0
    columns = np.arange(first, first + len(each.grid.dates))[None, :]
    for turn in range(turns.max(initial=-1) + 1):
        series = counted[turns == turn]
        yield series, (rows[series][:, None], columns)


def _of_each_series(each: Watched) -> dict[str, np.ndarray]:
    """What a signal is made of, of all series on all days."""
    found, is_part = each.found, each.part != ""
    z = np.clip(found.z, -_Z_LIMIT, _Z_LIMIT)
    speaks = np.isfinite(z) & (found.is_active if is_part else True)
    return {
        "z": z,
        "change": np.clip(found.change, -MOST_CHANGE, MOST_CHANGE),
        "drift": found.ewma,
        "speaks": speaks,
        "known": np.zeros(z.shape, bool) if is_part else each.is_known,
        "open": found.is_active,
        "bad": each.is_bad,
        "breached": each.is_breached,
        "burn": np.full(z.shape, np.nan) if each.objective is None else each.objective.burn_long,
    }


_Z_LIMIT = 10.0


def degradation_labels(states: FeatureStates, settings: LabelSettings | None = None) -> pd.DataFrame:
    """Rows of ml.degradation_labels, one per feature and day since it was first seen.

    A label is null until its whole horizon has passed, also where a degradation has already come: otherwise the
    latest days would hold only positives.
    """
    settings = settings or LabelSettings()
    grid, h = states.grid, settings.horizon_days
    mask = grid.is_seen
    ahead = {name: _ahead(state.is_bad, h) for name, state in states.signals.items()}
    any_ahead, onset_ahead = _ahead(states.is_degraded, h), _ahead(states.is_onset, h)
    known_ahead = _ahead_sum(states.is_known, h)
    is_future = np.arange(len(grid.dates))[None, :] + h >= len(grid.dates)
    reason = _unknown_reason(states, is_future, any_ahead, known_ahead, settings)
    has_label = reason == ""
    frame = grid.long_keys(mask)
    flat = mask.T

    def cells(array: np.ndarray) -> np.ndarray:
        return np.asarray(array.T[flat])

    frame["horizon_days"] = np.int32(h)
    frame["events"] = pd.array(cells(grid.count("events")), dtype="Float64").astype("Int64")
    for name, state in states.signals.items():
        frame[f"is_{name}_degraded"] = _nullable(cells(state.is_bad), cells(state.is_known))
    frame["is_degraded_today"] = _nullable(cells(states.is_degraded), cells(states.is_known))
    today = {name: cells(state.is_bad) for name, state in states.signals.items()}
    frame["degraded_metrics_today"] = _text(_names(today), cells(states.is_known))
    frame["is_onset_today"] = cells(states.is_onset)
    frame["is_healthy_today"] = cells(states.is_healthy)
    labelled = cells(has_label)
    frame["label_any"] = _nullable(cells(any_ahead), labelled)
    frame["label_onset"] = _nullable(cells(onset_ahead), labelled & cells(states.is_healthy))
    frame["degraded_metrics_ahead"] = _text(_names({n: cells(a) for n, a in ahead.items()}), labelled)
    days_to = cells(_days_to(states.is_degraded, h))
    frame["days_to_degradation"] = pd.array(np.where(labelled & (days_to <= h), days_to, np.nan), "Float64").astype(
        "Int32"
    )
    frame["unknown_because"] = _text(cells(reason), ~labelled)
    return frame


def _unknown_reason(
    states: FeatureStates, is_future: Bools, any_ahead: Bools, known_ahead: Ints, settings: LabelSettings
) -> np.ndarray:
    """F x D text: why there is no label, empty where there is one."""
    grid = states.grid
    gone_ahead = _ahead_sum(states.silent_days >= GONE_DAYS, settings.horizon_days) > 0
    gap_ahead = _ahead_sum(np.broadcast_to(grid.is_gap, states.is_known.shape), settings.horizon_days) > 0
    has_level = np.zeros(states.is_known.shape, bool)
    for state in states.signals.values():
        has_level |= np.maximum.accumulate(np.isfinite(state.z), axis=1)
    too_few = ~any_ahead & (known_ahead < settings.min_known_days)
    return np.select(
        [
            np.broadcast_to(is_future, too_few.shape),
            ~too_few,
            gap_ahead,
            gone_ahead,
            ~has_level,
        ],
        ["future", "", "clock_gap", "gone", "no_baseline"],
        default="low_volume",
    )


def _ahead_sum(mask: Bools, horizon_days: int) -> Ints:
    """F x D: on how many of the next h days the mask holds, as far as the days go."""
    n, days = mask.shape
    total = np.zeros((n, days + 1), dtype=np.int64)
    np.cumsum(mask, axis=1, out=total[:, 1:])
    end = np.minimum(np.arange(days) + 1 + horizon_days, days)
    return np.asarray(total[:, end] - total[:, np.minimum(np.arange(days) + 1, days)])


def _ahead(mask: Bools, horizon_days: int) -> Bools:
    return np.asarray(_ahead_sum(mask, horizon_days) > 0)


def _days_to(mask: Bools, horizon_days: int) -> Ints:
    """F x D: days until the mask next holds, looking 1 to h days ahead; more than h where it does not."""
    out = np.full(mask.shape, horizon_days + 1, dtype=np.int64)
    for step in range(horizon_days, 0, -1):
        if step < mask.shape[1]:
            out[:, :-step][mask[:, step:]] = step
    return out


def _names(flags: dict[str, np.ndarray]) -> np.ndarray:
    """The names whose flag is set, comma-separated. All 32 combinations are made once and looked up."""
    names = list(flags)
    code = sum(flags[name].astype(np.int64) << bit for bit, name in enumerate(names))
    texts = [", ".join(n for bit, n in enumerate(names) if c >> bit & 1) for c in range(1 << len(names))]
    return np.asarray(np.array(texts, dtype=object)[code])


def _text(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    out = values.astype(object)
    out[~known] = None
    return out


def _nullable(values: np.ndarray, known: np.ndarray) -> pd.arrays.BooleanArray:
    return pd.arrays.BooleanArray(values.astype(bool), ~known.astype(bool))
