"""When a feature is degraded, and the labels that say whether it will be: the truth that risk models predict.

States come from each feature's own lagged, weekday-aware baseline and look only backwards; labels look only forwards.
Inputs of models live in `risk_inputs`; incidents for people, with causes and slices, live in `incidents`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from quality_assets.contracts.risk_inputs import SIGNALS
from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.feature_panel import FeaturePanel, build_panel


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


# Overdispersion below what chance alone gives is luck; p95 of log-normal latency has a sampling sd of 1.2 ÷ √n.
_SCALE_FLOOR = {"latency": 1.0, "crash": 1.0, "error": 1.0, "feedback": 1.0, "volume": 1.0}
_POOLED_WEIGHT_DAYS = 8
_WEEKDAY_WEEKS = 8
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

    panel: FeaturePanel
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


def feature_states(
    facts: pd.DataFrame, settings: LabelSettings | None = None, through: date | None = None
) -> FeatureStates:
    """The state of every feature on every day, each from that day and earlier only.

    Shewhart-EWMA combination (Lucas and Saccucci 1990) on residuals from a lagged, weekday-adjusted mean; counts and
    rates on variance-stabilised scales (Anscombe 1948) with learnt overdispersion (Laney 2002).
    """
    settings = settings or LabelSettings()
    panel = build_panel(facts, through)
    silent_days = run_length((panel.values["events"] == 0) | (panel.is_gap[None, :] & panel.is_seen))
    is_gone = silent_days >= settings.gone_days
    signals = {series.name: _signal_state(series, is_gone, settings) for series in _series(panel, is_gone)}
    tail = _signal_state(_tail(panel), is_gone, settings)
    shape = (len(panel.features), len(panel.dates))
    known, degraded = np.zeros(shape, bool), np.zeros(shape, bool)
    for state in signals.values():
        known |= state.is_known
        degraded |= state.is_degraded
    calm = run_length(~degraded)
    recovering = ~degraded & (calm <= settings.refractory_days) & (np.cumsum(degraded, axis=1) > 0)
    before_free = np.concatenate([np.ones((shape[0], 1), bool), ~(degraded | recovering)[:, :-1]], axis=1)
    return FeatureStates(
        panel,
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
    panel, h = states.panel, settings.horizon_days
    mask = panel.is_seen
    ahead = {name: _ahead(state.is_degraded, h) for name, state in states.signals.items()}
    any_ahead, onset_ahead = _ahead(states.is_degraded, h), _ahead(states.is_onset, h)
    known_ahead = _ahead_sum(states.is_known, h)
    is_future = np.arange(len(panel.dates))[None, :] + h >= len(panel.dates)
    reason = _unknown_reason(states, is_future, any_ahead, known_ahead, settings)
    has_label = reason == ""
    frame = panel.long_keys(mask)
    flat = mask.T

    def cells(array: np.ndarray) -> np.ndarray:
        return np.asarray(array.T[flat])

    frame["horizon_days"] = np.int32(h)
    frame["events"] = pd.array(cells(panel.values["events"]), dtype="Float64").astype("Int64")
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


def _series(panel: FeaturePanel, is_gone: Bools) -> list[_Series]:
    v = panel.values
    events = np.where(is_gone, np.nan, v["events"])
    timed = np.where(np.isfinite(v["latency_count"]), v["latency_count"], events)
    active = np.where(events > 0, events, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return [
            _Series(
                "latency", np.log(np.where(v["latency_p95_ms"] > 0, v["latency_p95_ms"], np.nan)), timed**-0.5, timed
            ),
            _Series("crash", _stabilised(v["crashes"], active), active**-0.5, active),
            _Series("error", _stabilised(v["errors"], active), active**-0.5, active),
            _Series(
                "feedback",
                -v["feedback_sum"] / np.where(v["feedback_count"] > 0, v["feedback_count"], np.nan),
                _FEEDBACK_SD * np.where(v["feedback_count"] > 0, v["feedback_count"], np.nan) ** -0.5,
                v["feedback_count"],
            ),
            _Series("volume", -np.log(events + 0.5), np.maximum(events, 1) ** -0.5, events),
        ]


def _tail(panel: FeaturePanel) -> _Series:
    timed = np.where(panel.values["latency_count"] > 0, panel.values["latency_count"], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(panel.values["latency_p95_ms"] / panel.values["latency_p50_ms"])
    return _Series("latency", np.where(np.isfinite(ratio), ratio, np.nan), timed**-0.5, timed)


def _stabilised(count: Floats, total: Floats) -> Floats:
    """2 arcsin √((k + 3/8) ÷ (n + 3/4)): sd 1 ÷ √n whatever the rate (Anscombe 1948)."""
    share = (count + 0.375) / (total + 0.75)
    return np.asarray(2 * np.arcsin(np.sqrt(np.clip(share, 0, 1))))


def _signal_state(series: _Series, is_gone: Bools, settings: LabelSettings) -> SignalState:
    """Walk the days once: baseline from the lagged window, deviation, EWMA, state. Each step is vectorised over F."""
    n, days = series.x.shape
    walk = _Walk(series, settings, n, days)
    for day in range(days):
        walk.step(day, is_gone[:, day])
    least = settings.min_change[series.name]
    return SignalState(
        walk.z,
        walk.change,
        walk.ewma_z,
        walk.noise,
        np.minimum(walk.ewma_z / settings.enter_ewma_z, walk.ewma_change / least),
        np.minimum(walk.z / settings.enter_z, walk.change / (settings.spike_factor * least)),
        walk.residual,
        np.isfinite(walk.z),
        walk.is_degraded,
        walk.calm_days,
    )


class _Walk:
    """The state of one signal while the days pass."""

    def __init__(self, series: _Series, settings: LabelSettings, n: int, days: int) -> None:
        self.series, self.settings = series, settings
        enough = series.count >= (0 if series.name == "volume" else settings.min_count[series.name])
        self.x = np.where(enough, series.x, np.nan)
        self.season = _weekday_effect(self.x)
        self.is_masked = np.zeros((n, days), bool)
        self.z, self.change, self.ewma_z, self.ewma_change, self.noise, self.residual = (
            np.full((n, days), np.nan) for _ in range(6)
        )
        self.is_degraded = np.zeros((n, days), bool)
        self.calm_days = np.zeros((n, days), dtype=np.int64)
        self._level, self._scale = np.full(n, np.nan), np.full(n, np.nan)
        self._ewma, self._ewma_change, self._ewma_var = np.zeros(n), np.zeros(n), np.zeros(n)
        self._calm, self._age, self._unknown = (np.zeros(n, dtype=np.int64) for _ in range(3))
        self._state = np.zeros(n, bool)

    def step(self, day: int, is_gone: Bools) -> None:
        self._update_baseline(day)
        z, change = self._deviation(day)
        self.z[:, day], self.change[:, day], self.noise[:, day] = z, change, self._scale
        self._update_ewma(z, change)
        with np.errstate(invalid="ignore", divide="ignore"):
            ewma_z = np.where(self._ewma_var > 0, self._ewma / np.sqrt(self._ewma_var), np.nan)
        self.ewma_z[:, day] = np.where(np.isfinite(self._level), ewma_z, np.nan)
        self.ewma_change[:, day] = self._ewma_change
        self._update_state(day, z, change, ewma_z)
        self._forget(is_gone)

    def _update_baseline(self, day: int) -> None:
        s = self.settings
        offsets = s.lag_days + np.arange(s.window_days)
        offsets = offsets[offsets <= day]
        if len(offsets) < s.min_baseline_days:
            return
        when = day - offsets
        adjusted = self.x[:, when] - self.season[:, day - offsets % 7]
        usable = np.isfinite(adjusted) & ~self.is_masked[:, when]
        count = usable.sum(axis=1)
        level = np.where(usable, adjusted, 0).sum(axis=1) / np.maximum(count, 1)
        sampling = self.series.sampling_sd[:, when]
        if self.series.name == "volume":
            sampling = np.broadcast_to(np.exp(0.5 * np.minimum(level, 0))[:, None], adjusted.shape)
        spread = np.where(usable, np.abs(adjusted - level[:, None]) / sampling, 0).sum(axis=1)
        # Mean absolute deviation of a normal is √(2/π) sd; (n − 1) corrects for the fitted level.
        scale = np.sqrt(np.pi / 2) * spread / np.sqrt(np.maximum(count * (count - 1), 1))
        enough = count >= s.min_baseline_days
        pooled = np.median(scale[enough]) if enough.any() else np.nan
        scale = np.sqrt((count * scale**2 + _POOLED_WEIGHT_DAYS * pooled**2) / (count + _POOLED_WEIGHT_DAYS))
        self._level = np.where(enough, level, np.where(self._state, self._level, np.nan))
        self._scale = np.where(
            enough,
            np.maximum(scale, _SCALE_FLOOR[self.series.name]),
            np.where(self._state, self._scale, np.nan),
        )

    def _deviation(self, day: int) -> tuple[Floats, Floats]:
        name, x = self.series.name, self.x[:, day]
        expected = self._level + self.season[:, day]
        residual = x - expected
        self.residual[:, day] = residual
        with np.errstate(invalid="ignore", over="ignore"):
            if name == "volume":
                usual = np.exp(-expected)
                count = self.series.count[:, day]
                raw = 2 * (np.sqrt(usual + 0.375) - np.sqrt(count + 0.375))
                change = 1 - count / usual
                raw = np.where(usual >= self.settings.min_count["volume"], raw, np.nan)
            else:
                raw = residual / self.series.sampling_sd[:, day]
                change = _as_change(name, x, expected, residual)
        z = raw / self._scale
        return np.clip(z, -_Z_LIMIT, None), np.where(np.isfinite(z), change, np.nan)

    def _update_ewma(self, z: Floats, change: Floats) -> None:
        weight, seen = self.settings.ewma_weight, np.isfinite(z)
        limited = np.clip(np.where(seen, z, 0), -_Z_LIMIT, _Z_LIMIT)
        self._ewma = np.where(seen, (1 - weight) * self._ewma + weight * limited, self._ewma)
        self._ewma_change = np.where(
            seen, (1 - weight) * self._ewma_change + weight * np.where(seen, change, 0), self._ewma_change
        )
        self._ewma_var = np.where(seen, (1 - weight) ** 2 * self._ewma_var + weight**2, self._ewma_var)

    def _update_state(self, day: int, z: Floats, change: Floats, ewma_z: Floats) -> None:
        s, least = self.settings, self.settings.min_change[self.series.name]
        seen = np.isfinite(z)
        with np.errstate(invalid="ignore"):
            drifted = seen & (ewma_z > s.enter_ewma_z) & (self._ewma_change > least) & (z > s.exit_z)
            spiked = seen & (z > s.enter_z) & (change > s.spike_factor * least)
            calm = seen & ((z < s.exit_z) | (change < least / 2))
        self._calm = np.where(calm, self._calm + 1, np.where(seen, 0, self._calm))
        self.calm_days[:, day] = self._calm
        self._unknown = np.where(seen, 0, self._unknown + 1)
        stays = self._state & (self._calm < s.exit_days) & (self._unknown <= s.hold_days)
        left = self._state & ~stays
        state = stays | drifted | spiked
        self._age = np.where(state, self._age + 1, 0)
        tired = self._age > s.max_episode_days
        if tired.any():
            # What has lasted four weeks is the new normal: let the baseline learn it.
            self.is_masked[tired, max(0, day - s.max_episode_days - s.lag_days) : day] = False
        self._state = state & ~tired
        self._age = np.where(tired, 0, self._age)
        reset = left | tired
        self._ewma, self._ewma_change = np.where(reset, 0, self._ewma), np.where(reset, 0, self._ewma_change)
        self.is_degraded[:, day] = self._state
        self.is_masked[:, day] = self._state

    def _forget(self, is_gone: Bools) -> None:
        self._state = self._state & ~is_gone
        self._ewma = np.where(is_gone, 0, self._ewma)
        self._ewma_change = np.where(is_gone, 0, self._ewma_change)


def _as_change(name: str, x: Floats, expected: Floats, residual: Floats) -> Floats:
    if name == "latency":
        return np.asarray(np.expm1(residual))
    if name == "feedback":
        return residual
    rate, usual = np.sin(x / 2) ** 2, np.sin(np.clip(expected, 0.001, np.pi) / 2) ** 2
    return np.asarray(rate / usual - 1)


def _weekday_effect(x: Floats) -> Floats:
    """F x D: what the weekday adds, as known before the day: the median over eight weeks of day minus its own week.

    The week around a day is complete three days later, so the latest value used is seven days old.
    """
    n, days = x.shape
    if days < 8:
        return np.zeros((n, days))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (3, 3)), constant_values=np.nan), 7, axis=1)
    deviation = x - around.mean(axis=2)
    past = np.full((_WEEKDAY_WEEKS, n, days), np.nan)
    for week in range(1, _WEEKDAY_WEEKS + 1):
        if 7 * week < days:
            past[week - 1, :, 7 * week :] = deviation[:, : days - 7 * week]
    past.sort(axis=0)
    count = np.isfinite(past).sum(axis=0)
    low = np.take_along_axis(past, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    high = np.take_along_axis(past, (count // 2)[None] % _WEEKDAY_WEEKS, axis=0)[0]
    # One or two weeks say little about a weekday, and an unseen week says nothing.
    trust = np.minimum(count, 3) / 3
    return np.where(count > 0, trust * (low + high) / 2, 0.0)


def _unknown_reason(
    states: FeatureStates, is_future: Bools, any_ahead: Bools, known_ahead: Ints, settings: LabelSettings
) -> np.ndarray:
    """F x D text: why there is no label, empty where there is one."""
    panel = states.panel
    gone_ahead = _ahead_sum(states.silent_days >= settings.gone_days, settings.horizon_days) > 0
    gap_ahead = _ahead_sum(np.broadcast_to(panel.is_gap, states.is_known.shape), settings.horizon_days) > 0
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
    """F x D: on how many of the next h days the mask holds, as far as the panel goes."""
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


assert set(_SCALE_FLOOR) == set(SIGNALS)
