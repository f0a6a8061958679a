"""When a feature is degraded, and the labels that say whether it will be: the truth that risk models predict.

States come from each feature's own lagged, weekday-aware baseline and look only backwards; labels look only forwards.
What is normal and when an episode begins and ends is computed by `domain/series`, by the rules given here. Inputs of
models live in `risk_inputs`; incidents for people, with causes and slices, live in `incidents`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.panel import Grid, build_grid
from quality_assets.domain.series.pooled import PooledBaseline
from quality_assets.domain.series.scale import to_scale
from quality_assets.domain.series.settings import Limits, Past, WalkRules
from quality_assets.domain.series.walk import Walk

# What states and the inputs made of them read of product.fact_feature_metrics, beside its key.
LABEL_FACTS = (
    "events", "users", "errors", "crashes", "latency_count", "latency_p50_ms", "latency_p95_ms", "feedback_count",
    "feedback_sum",
)  # fmt: skip


@dataclass(frozen=True)
class LabelSettings:
    """What counts as degraded. Every default has a reason.

    horizon_days: a week, so that each weekday is in every horizon and a team can still act.
    window_days: four whole weeks of baseline. lag_days: the baseline ends ten days back, because a creep would
    otherwise raise its own baseline (a lag of ten days and masking of degraded days raised the PR-AUC of new onsets
    from .126 to .150). min_baseline_days: two weeks; with less, noise cannot be told from level.
    min_change: the smallest harm worth a label: latency +10 %, crash rate +50 %, error rate +30 %, feedback -0.15
    points, events -20 %. min_count: below 50 timed events a p95 rests on two of them; below 20 ratings or 100 events
    a mean or a rate says little; a feature that should have fewer than 5 events cannot be told from silence.
    enter_ewma_z, enter_z: sustained shifts enter by the exponentially weighted mean (weight ewma_weight), spikes by
    a single day; simulated features without incidents then have fewer than one false episode in ten years over all five
    signals, so that labels are hardly noise. spike_factor: a single day must
    be this much worse than min_change. exit_z, exit_days: it ends after that many calm days in a row (hysteresis: a
    flapping rule made labels that nothing can predict).
    refractory_days: a relapse within them is the same episode, and such a feature is not yet healthy.
    max_episode_days: after four weeks the new level is the normal one. gone_days: after two weeks of silence a
    feature is gone, not degraded. hold_days: an episode survives that many days on which nothing can be told.
    min_known_days: a week with fewer known days is not called healthy.
    """

    horizon_days: int = 7
    window_days: int = 28
    lag_days: int = 10
    min_baseline_days: int = 14
    min_change: dict[str, float] = field(
        default_factory=lambda: {"latency": 0.10, "crash": 0.5, "error": 0.3, "feedback": 0.15, "volume": 0.2}
    )
    min_count: dict[str, float] = field(
        default_factory=lambda: {"latency": 50, "crash": 100, "error": 100, "feedback": 20, "volume": 5}
    )
    ewma_weight: float = 0.3
    enter_ewma_z: float = 5.0
    enter_z: float = 6.0
    spike_factor: float = 1.5
    exit_z: float = 1.5
    exit_days: int = 2
    refractory_days: int = 3
    max_episode_days: int = 28
    gone_days: int = 14
    hold_days: int = 3
    min_known_days: int = 4

    def __post_init__(self) -> None:
        if self.horizon_days < 1 or self.window_days % 7 or self.window_days < 7 or self.lag_days < 1:
            raise ValueError("horizon_days and lag_days must be positive and window_days whole weeks")
        if not 1 <= self.min_known_days <= self.horizon_days:
            raise ValueError("min_known_days must lie between 1 and horizon_days")

    @property
    def past(self) -> Past:
        """The days that a baseline is made of."""
        return Past(self.window_days, self.min_baseline_days, self.lag_days - 1)

    def rules_of(self, signal: str) -> WalkRules:
        """How a signal is walked through."""
        least = self.min_change[signal]
        return WalkRules(
            limits=Limits(self.enter_ewma_z, self.enter_z, least, self.spike_factor * least),
            smoothing=self.ewma_weight,
            winsor_sd=_Z_LIMIT,
            calm_sd=self.exit_z,
            calm_change=least / 2,
            calm_days=self.exit_days,
            hold_days=self.hold_days,
            adopt_after_days=self.max_episode_days,
        )


_POOLED_DAYS = 8
_Z_LIMIT = 10.0
_FEEDBACK_SD = 1.1


@dataclass(frozen=True)
class SignalState:
    """One signal over time, all F x D, worse is positive.

    z: today against expected, in units of its own noise, NaN where it cannot be told. change: the same as a fraction
    (feedback: points). ewma_z: z exponentially weighted. noise: overdispersion, 1 = chance alone.
    drift_share, spike_share: how far towards the two ways into degradation, 1 = there in strength and in size.
    residual: deviation on the additive scale. is_known: can be told today. is_degraded: in a degraded episode.
    calm_days: days in a row that count towards its end.
    """

    z: Floats
    change: Floats
    ewma_z: Floats
    noise: Floats
    drift_share: Floats
    spike_share: Floats
    residual: Floats
    is_known: Bools
    is_degraded: Bools
    calm_days: Ints


@dataclass(frozen=True)
class FeatureStates:
    """All signals, and the feature as a whole (F x D): known, degraded, onset (a new episode begins), healthy.

    tail: latency p95 over p50, judged as latency is. It makes no label: it shows early what p95 alone hides in noise
    that all requests of a day share.
    """

    grid: Grid
    signals: dict[str, SignalState]
    tail: SignalState
    is_known: Bools
    is_degraded: Bools
    is_onset: Bools
    is_healthy: Bools
    silent_days: Ints


@dataclass(frozen=True)
class _Series:
    """A signal on an additive scale where worse is positive: F x D values, sampling sd of each, and counts."""

    name: str
    x: Floats
    sampling_sd: Floats
    count: Floats

    def chance_sd(self, days: Ints, level: Floats) -> Floats:
        """F x W: what chance alone gives the values of these days, around these levels (F)."""
        if self.name != "volume":
            return self.sampling_sd[:, days]
        # A logarithm of counts: by the level, for a day of few events would seem certain of it.
        return np.broadcast_to(np.exp(0.5 * np.minimum(level, 0))[:, None], (len(level), len(days)))


def feature_states(
    facts: pd.DataFrame, settings: LabelSettings | None = None, through: date | None = None
) -> FeatureStates:
    """The state of every feature on every day, each from that day and earlier only.

    Shewhart-EWMA combination (Lucas and Saccucci 1990) on residuals from a lagged, weekday-adjusted mean; counts and
    rates on variance-stabilised scales (Anscombe 1948) with learnt overdispersion (Laney 2002).
    """
    settings = settings or LabelSettings()
    grid = build_grid(facts, LABEL_FACTS, through=through, counted_by="events")
    silent_days = run_length((grid.count("events") == 0) | (grid.is_gap[None, :] & grid.is_seen))
    is_gone = silent_days >= settings.gone_days
    signals = {series.name: _signal_state(series, is_gone, settings) for series in _series(grid, is_gone)}
    tail = _signal_state(_tail(grid), is_gone, settings)
    shape = grid.is_present.shape
    known, degraded = np.zeros(shape, bool), np.zeros(shape, bool)
    for state in signals.values():
        known |= state.is_known
        degraded |= state.is_degraded
    calm = run_length(~degraded)
    recovering = ~degraded & (calm <= settings.refractory_days) & (np.cumsum(degraded, axis=1) > 0)
    before_free = np.concatenate([np.ones((shape[0], 1), bool), ~(degraded | recovering)[:, :-1]], axis=1)
    return FeatureStates(
        grid,
        signals,
        tail,
        known | degraded,
        degraded,
        degraded & before_free,
        known & ~degraded & ~recovering,
        silent_days,
    )


def degradation_labels(states: FeatureStates, settings: LabelSettings | None = None) -> pd.DataFrame:
    """Rows of ml.degradation_labels, one per feature and day since it was first seen.

    A label is null until its whole horizon has passed, also where a degradation has already come: otherwise the
    latest days would hold only positives.
    """
    settings = settings or LabelSettings()
    grid, h = states.grid, settings.horizon_days
    mask = grid.is_seen
    ahead = {name: _ahead(state.is_degraded, h) for name, state in states.signals.items()}
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
        frame[f"is_{name}_degraded"] = _nullable(cells(state.is_degraded), cells(state.is_known | state.is_degraded))
    frame["is_degraded_today"] = _nullable(cells(states.is_degraded), cells(states.is_known))
    today = {name: cells(state.is_degraded) for name, state in states.signals.items()}
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


def _series(grid: Grid, is_gone: Bools) -> list[_Series]:
    events = np.where(is_gone, np.nan, grid.count("events"))
    timed = np.where(np.isfinite(grid.column("latency_count")), grid.column("latency_count"), events)
    active, rated = _positive(events), _positive(grid.column("feedback_count"))
    p95, feedback = _positive(grid.column("latency_p95_ms")), -grid.column("feedback_sum") / rated
    with np.errstate(invalid="ignore", divide="ignore"):
        return [
            _Series("latency", to_scale("positive", p95, timed), timed**-0.5, timed),
            _Series("crash", to_scale("rate", grid.column("crashes"), active), active**-0.5, active),
            _Series("error", to_scale("rate", grid.column("errors"), active), active**-0.5, active),
            _Series("feedback", feedback, _FEEDBACK_SD * rated**-0.5, grid.column("feedback_count")),
            _Series("volume", -np.log(events + 0.5), np.maximum(events, 1) ** -0.5, events),
        ]


def _tail(grid: Grid) -> _Series:
    timed = _positive(grid.column("latency_count"))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(grid.column("latency_p95_ms") / grid.column("latency_p50_ms"))
    return _Series("latency", np.where(np.isfinite(ratio), ratio, np.nan), timed**-0.5, timed)


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)


def _signal_state(series: _Series, is_gone: Bools, settings: LabelSettings) -> SignalState:
    """Go through the days once: baseline, deviation, EWMA, episode. Each step is vectorised over F."""
    enough = series.count >= (0 if series.name == "volume" else settings.min_count[series.name])
    x = np.where(enough, series.x, np.nan)
    normal = PooledBaseline(x, series.chance_sd, settings.past, _POOLED_DAYS)
    walk = Walk(len(x), settings.rules_of(series.name))
    z, change, ewma_z, ewma_change, noise, residual = (np.full(x.shape, np.nan) for _ in range(6))
    is_degraded, calm_days = np.zeros(x.shape, bool), np.zeros(x.shape, dtype=np.int64)
    for day in range(x.shape[1]):
        normal.learn(day, walk.active)
        expected = normal.expected(day)
        residual[:, day], noise[:, day] = x[:, day] - expected, normal.deviation
        z[:, day], change[:, day] = _deviation(series, day, expected, residual[:, day], normal.deviation, settings)
        strength = walk.smooth(day, z[:, day], change[:, day])
        ewma_z[:, day] = np.where(np.isfinite(normal.level), strength, np.nan)
        ewma_change[:, day] = walk.smooth_change
        told = walk.switch(day, z[:, day], change[:, day], strength)
        is_degraded[:, day], calm_days[:, day] = told.is_active, told.calm
        normal.mask(day, told.is_active, told.is_adopted, settings.max_episode_days + settings.lag_days)
        walk.forget(is_gone[:, day])
    least = settings.min_change[series.name]
    drift_share = np.minimum(ewma_z / settings.enter_ewma_z, ewma_change / least)
    spike_share = np.minimum(z / settings.enter_z, change / (settings.spike_factor * least))
    return SignalState(
        z, change, ewma_z, noise, drift_share, spike_share, residual, np.isfinite(z), is_degraded, calm_days
    )


def _deviation(
    series: _Series, day: int, expected: Floats, residual: Floats, deviation: Floats, settings: LabelSettings
) -> tuple[Floats, Floats]:
    """How far a day lies from what was expected of it, in deviations and as a change; NaN where it cannot be told."""
    with np.errstate(invalid="ignore", over="ignore"):
        if series.name == "volume":
            usual, count = np.exp(-expected), series.count[:, day]
            raw = to_scale("count", usual, usual) - to_scale("count", count, count)
            raw = np.where(usual >= settings.min_count["volume"], raw, np.nan)
            change = 1 - count / usual
        else:
            raw = residual / series.sampling_sd[:, day]
            change = _as_change(series.name, series.x[:, day], expected, residual)
        z = raw / deviation
    return np.clip(z, -_Z_LIMIT, None), np.where(np.isfinite(z), change, np.nan)


def _as_change(name: str, x: Floats, expected: Floats, residual: Floats) -> Floats:
    if name == "latency":
        return np.asarray(np.expm1(residual))
    if name == "feedback":
        return residual
    rate, usual = np.sin(x / 2) ** 2, np.sin(np.clip(expected, 0.001, np.pi) / 2) ** 2
    return np.asarray(rate / usual - 1)


def _unknown_reason(
    states: FeatureStates, is_future: Bools, any_ahead: Bools, known_ahead: Ints, settings: LabelSettings
) -> np.ndarray:
    """F x D text: why there is no label, empty where there is one."""
    grid = states.grid
    gone_ahead = _ahead_sum(states.silent_days >= settings.gone_days, settings.horizon_days) > 0
    gap_ahead = _ahead_sum(np.broadcast_to(grid.is_gap, states.is_known.shape), settings.horizon_days) > 0
    has_level = np.zeros(states.is_known.shape, bool)
    for state in states.signals.values():
        has_level |= np.isfinite(state.noise)
    too_few = ~any_ahead & (known_ahead < settings.min_known_days)
    return np.select(
        [
            np.broadcast_to(is_future, too_few.shape),
            ~too_few,
            gone_ahead,
            gap_ahead,
            ~has_level,
        ],
        ["future", "", "gone", "clock_gap", "no_baseline"],
        default="low_volume",
    )


def run_length(mask: Bools) -> Ints:
    """F x D: how many days in a row, up to and including each, the mask holds."""
    index = np.arange(mask.shape[1])[None, :]
    last_false = np.maximum.accumulate(np.where(mask, -1, index), axis=1) if mask.size else np.zeros(mask.shape, int)
    return np.asarray(np.where(mask, index - last_false, 0), dtype=np.int64)


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
