"""The inputs of the risk models: what was known of each feature at the end of each day.

Every array here looks at its own day and earlier only, so a frame cut at day d gives the same row for d as the whole.
Names and meanings are in `risk_input_registry`, states in `labels`; nothing here looks ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from quality_assets.contracts.risk_inputs import INPUT_NAMES, SIGNALS
from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.risk.labels import (
    FeatureStates,
    LabelSettings,
    SignalState,
    degradation_labels,
    feature_states,
    run_length,
)
from quality_assets.domain.series.panel import Grid, day_index

_SHRINKAGE_DAYS = 30.0
_RELEASE_DAYS = 14
_SLOPE_DAYS = 14
_TOGETHER_DAYS = 14
# One good day makes up for a bad one, but not for a week of them; what is off the scale is one day all the same.
_TOGETHER_LOW, _TOGETHER_HIGH = -3.0, 8.0
_RUN_Z = 0.5


@dataclass(frozen=True)
class RiskContext:
    """What is known beside the facts; each frame may be absent, and its inputs are then null.

    releases: one row per version, `release_date` (and any more columns); a version counts from that day on.
    metadata: one row per feature, `lifecycle_stage` and `tier`.
    mix: one row per feature and day, any of `newest_version_share`, `top_platform_share` (fractions).
    quality: one row per day, or per feature and day, `quarantined_share` (fraction).
    """

    releases: pd.DataFrame | None = None
    metadata: pd.DataFrame | None = None
    mix: pd.DataFrame | None = None
    quality: pd.DataFrame | None = None


def risk_inputs(
    states: FeatureStates, context: RiskContext | None = None, first_date: date | None = None
) -> pd.DataFrame:
    """Inputs as of the end of each day, one row per feature and day since it was first seen, from `first_date` on.

    Columns: event_date, feature, the inputs of `risk_input_registry` in order, usual_users, has_baseline. Values are
    null where they cannot be known.
    """
    context = context or RiskContext()
    grid = states.grid
    start = 0 if first_date is None or not len(grid.dates) else day_index(pd.Series([first_date]), grid.dates[0])[0]
    mask = grid.is_seen & (np.arange(len(grid.dates)) >= start)[None, :]
    columns = {
        **_signal_inputs(states),
        **_open_inputs(states),
        **_history_inputs(states),
        **_volume_inputs(states),
        **_peer_inputs(states),
        **_calendar_inputs(grid, context),
        **_context_inputs(grid, context),
    }
    frame = grid.long_keys(mask)
    flat = mask.T
    values = np.empty((len(frame), len(INPUT_NAMES)))
    for position, name in enumerate(INPUT_NAMES):
        values[:, position] = columns.pop(name).T[flat]
    keys = frame
    frame = pd.DataFrame(values, columns=list(INPUT_NAMES), copy=False)
    frame.insert(0, "event_date", keys["event_date"])
    frame.insert(1, "feature", keys["feature"])
    frame["usual_users"] = _trailing_mean(grid.column("users"), 28).T[flat]
    frame["has_baseline"] = states.is_known.T[flat]
    return frame


def risk_training_set(
    facts: pd.DataFrame,
    settings: LabelSettings | None = None,
    context: RiskContext | None = None,
    through: date | None = None,
) -> pd.DataFrame:
    """Rows of ml.risk_training_set: inputs of each day beside what then happened, null while that is unknown."""
    settings = settings or LabelSettings()
    states = feature_states(facts, settings, through)
    return with_labels(risk_inputs(states, context), degradation_labels(states, settings))


def with_labels(inputs: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Inputs beside labels of the same feature-days; both are ordered by day, then feature, as their makers order.

    Raises ValueError when the rows do not line up.
    """
    same = len(inputs) == len(labels) and bool(
        (inputs["feature"].to_numpy() == labels["feature"].to_numpy()).all()
        and (pd.to_datetime(inputs["event_date"]).to_numpy() == pd.to_datetime(labels["event_date"]).to_numpy()).all()
    )
    if not same:
        raise ValueError("inputs and labels are not of the same feature-days; make both from the same facts")
    # A shallow copy: the inputs of a long history are not held twice.
    both = inputs.copy(deep=False)
    for name in ("horizon_days", "label_any", "label_onset"):
        both[name] = labels[name].array
    return both


def _signal_inputs(states: FeatureStates) -> dict[str, Floats]:
    out: dict[str, Floats] = {}
    for name in SIGNALS:
        state = states.signals[name]
        out[f"{name}_change"] = _trailing_mean(state.change, 3)
        out[f"{name}_z"] = state.z
        out[f"{name}_ewma_z"] = state.drift
        out[f"{name}_slope_z"] = _slope_z(state)
    signals = list(states.signals.values())
    out["worst_ewma_z"], out["second_ewma_z"] = _worst([s.drift for s in signals])
    out["worst_slope_z"], _ = _worst([out[f"{name}_slope_z"] for name in SIGNALS])
    out["worst_two_weeks_z"], _ = _worst([_together_z(s) for s in signals])
    out["worst_drift_share"], _ = _worst([s.drift_share for s in signals])
    out["worst_spike_share"], _ = _worst([s.spike_share for s in signals])
    runs = [run_length(np.isfinite(s.z) & (s.z > _RUN_Z)) for s in signals]
    out["worst_run_days"] = np.minimum(np.stack(runs).max(axis=0), 28).astype(float)
    return out


def _worst(values: list[Floats]) -> tuple[Floats, Floats]:
    """The largest and the second largest of the signals; unknown ones rank last."""
    ordered = np.sort(np.stack([np.where(np.isfinite(v), v, -9.0) for v in values]), axis=0)
    return ordered[-1], ordered[-2]


def _open_inputs(states: FeatureStates) -> dict[str, Floats]:
    """What the open episodes look like today: their strength, age and progress towards recovery."""
    z, age, calm = [], [], []
    for state in states.signals.values():
        today = np.where(np.isfinite(state.z), state.z, 0.0)
        z.append(np.where(state.is_open | state.is_bad, today, -99.0))
        age.append(run_length(state.is_open | state.is_bad))
        calm.append(np.where(state.is_open, state.calm_days, 99))
    is_open = np.any([state.is_open | state.is_bad for state in states.signals.values()], axis=0)
    calmest = np.stack(calm).min(axis=0)
    burn = np.fmax.reduce([np.where(np.isfinite(s.burn), s.burn, 0.0) for s in states.signals.values()])
    return {
        "open_z": np.where(is_open, np.stack(z).max(axis=0), 0.0),
        "open_days": np.minimum(np.stack(age).max(axis=0), 60).astype(float),
        "open_calm_days": np.where(is_open & (calmest < 99), calmest, 0).astype(float),
        "is_open": np.where(states.is_known, is_open.astype(float), np.nan),
        "budget_burn": np.log1p(np.minimum(burn, 100.0)),
    }


def _slope_z(state: SignalState) -> Floats:
    """Least-squares slope of z over the last days ÷ its sd under independent unit noise; unknown days count as 0."""
    weights = np.arange(_SLOPE_DAYS) - (_SLOPE_DAYS - 1) / 2
    weights = weights[::-1] / np.sqrt((weights**2).sum())
    known = np.isfinite(state.z)
    z = np.where(known, np.clip(state.z, -6, 6), 0.0)
    out = np.zeros(z.shape)
    for lag, weight in enumerate(weights[: z.shape[1]]):
        out[:, lag:] += weight * z[:, : z.shape[1] - lag]
    enough = _trailing_sum(known.astype(float), _SLOPE_DAYS) >= _SLOPE_DAYS / 2
    return np.where(enough, out, np.nan)


def _together_z(state: SignalState) -> Floats:
    """Sum of z over the last two weeks ÷ its sd under independent unit noise; unknown days count as 0."""
    known = np.isfinite(state.z)
    total = _trailing_sum(np.clip(state.z, _TOGETHER_LOW, _TOGETHER_HIGH), _TOGETHER_DAYS)
    enough = _trailing_sum(known.astype(float), _TOGETHER_DAYS) >= _TOGETHER_DAYS / 2
    return np.where(enough, total / np.sqrt(_TOGETHER_DAYS), np.nan)


def _history_inputs(states: FeatureStates) -> dict[str, Floats]:
    degraded, onset = states.is_degraded.astype(float), states.is_onset.astype(float)
    known = states.is_known.astype(float)
    own_bad, own_known = np.cumsum(degraded, axis=1), np.cumsum(known, axis=1)
    everyone = own_bad.sum(axis=0) / np.maximum(own_known.sum(axis=0), 1)
    index = np.arange(degraded.shape[1])[None, :]
    changed = np.concatenate(
        [np.zeros((len(degraded), 1), bool), states.is_degraded[:, 1:] != states.is_degraded[:, :-1]], axis=1
    )
    last = np.maximum.accumulate(np.where(changed, index, states.grid.first_day[:, None]), axis=1)
    return {
        "is_degraded": np.where(states.is_known, degraded, np.nan),
        "degraded_signals": np.sum([s.is_bad for s in states.signals.values()], axis=0).astype(float),
        "days_in_state": np.minimum(index - last, 60).astype(float),
        "degraded_days_7d": _trailing_sum(degraded, 7),
        "degraded_days_28d": _trailing_sum(degraded, 28),
        "onsets_90d": _trailing_sum(onset, 90),
        "own_degraded_share": (own_bad + _SHRINKAGE_DAYS * everyone) / (own_known + _SHRINKAGE_DAYS),
    }


def _volume_inputs(states: FeatureStates) -> dict[str, Floats]:
    events = states.grid.count("events")
    recent, before = _trailing_mean(events, 7), _shift(_trailing_mean(events, 28), 7)
    return {
        "log_events": np.log10(_trailing_mean(events, 28) + 1),
        "events_trend": np.log((recent + 1) / (before + 1)),
        "silent_days": np.minimum(states.silent_days, 28).astype(float),
        "active_days_28d": _trailing_sum((events > 0).astype(float), 28),
    }


def _peer_inputs(states: FeatureStates) -> dict[str, Floats]:
    drifting = np.zeros(states.is_known.shape, bool)
    for state in states.signals.values():
        drifting |= np.isfinite(state.drift) & (state.drift > 2)
    return {
        "peers_degraded_share": _share_of_others(states.is_degraded, states.is_known),
        "peers_worst_share": _share_of_others(drifting & states.is_known, states.is_known),
    }


def _share_of_others(flag: Bools, known: Bools) -> Floats:
    others = known.sum(axis=0)[None, :] - known
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(others > 0, (flag.sum(axis=0)[None, :] - flag) / others, np.nan)


def _calendar_inputs(grid: Grid, context: RiskContext) -> dict[str, Floats]:
    shape = (len(grid.keys), len(grid.dates))
    since, recent = np.full(shape[1], np.nan), np.full(shape[1], np.nan)
    if context.releases is not None and len(context.releases) and shape[1]:
        released = np.sort(day_index(context.releases["release_date"], grid.dates[0]))
        known = np.searchsorted(released, np.arange(shape[1]), side="right")
        since = np.where(known > 0, np.arange(shape[1]) - released[np.maximum(known - 1, 0)], np.nan)
        before = np.searchsorted(released, np.arange(shape[1]) - _RELEASE_DAYS, side="right")
        # Before the first known release the calendar is as good as absent: a later one must not show.
        recent = np.where(known > 0, known - before, np.nan)
    weekend = (grid.weekday >= 5).astype(float)
    return {
        "is_weekend": np.broadcast_to(weekend, shape),
        "age_days": np.minimum(np.arange(shape[1])[None, :] - grid.first_day[:, None], 365).astype(float),
        "days_since_release": np.broadcast_to(np.minimum(since, 60), shape),
        "releases_14d": np.broadcast_to(recent, shape),
    }


def _context_inputs(grid: Grid, context: RiskContext) -> dict[str, Floats]:
    shape = (len(grid.keys), len(grid.dates))
    unknown = np.full(shape, np.nan)
    out = {
        name: grid.spread(context.mix, name) if context.mix is not None and name in context.mix.columns else unknown
        for name in ("newest_version_share", "top_platform_share")
    }
    out["quarantined_share"] = unknown if context.quality is None else _quarantined(grid, context.quality)
    stage = _by_feature(grid, context.metadata, "lifecycle_stage")
    described = pd.notna(stage)
    out["is_early_stage"] = np.where(described, np.isin(stage, ("experimental", "beta")), np.nan)
    out["is_deprecated"] = np.where(described, stage == "deprecated", np.nan)
    out["tier"] = pd.to_numeric(pd.Series(_by_feature(grid, context.metadata, "tier")), errors="coerce").to_numpy(float)
    return {name: np.broadcast_to(v[:, None], shape) if v.ndim == 1 else v for name, v in out.items()}


def _quarantined(grid: Grid, quality: pd.DataFrame) -> Floats:
    if "feature" in quality.columns:
        daily = grid.spread(quality, "quarantined_share")
    else:
        daily = np.full((len(grid.keys), len(grid.dates)), np.nan)
        if len(grid.dates):
            day = day_index(quality["event_date"], grid.dates[0])
            inside = (day >= 0) & (day < len(grid.dates))
            daily[:, day[inside]] = pd.to_numeric(quality["quarantined_share"]).to_numpy(float)[inside]
    return _trailing_mean(daily, 7)


def _by_feature(grid: Grid, metadata: pd.DataFrame | None, column: str) -> np.ndarray:
    if metadata is None or column not in metadata.columns:
        return np.full(len(grid.keys), None, dtype=object)
    known = metadata.drop_duplicates("feature").set_index("feature")[column]
    return known.reindex(grid.keys).to_numpy(dtype=object)


def _trailing_sum(values: Floats, days: int) -> Floats:
    """F x D: the sum over the last `days` days, today included; missing values count as 0.

    Adds shifted copies: differences of one cumulative sum would round differently when the past is cut off.
    """
    filled = np.where(np.isfinite(values), values, 0.0)
    out = np.zeros(filled.shape)
    for lag in range(min(days, filled.shape[1])):
        out[:, lag:] += filled[:, : filled.shape[1] - lag]
    return out


def _trailing_mean(values: Floats, days: int) -> Floats:
    count = _trailing_sum(np.isfinite(values).astype(float), days)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, _trailing_sum(values, days) / count, np.nan)


def _shift(values: Floats, days: int) -> Floats:
    out = np.full(values.shape, np.nan)
    if days < values.shape[1]:
        out[:, days:] = values[:, :-days]
    return out
