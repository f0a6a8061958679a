"""The detector against the plain way, one series and one day at a time; its rules and dates by value."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta
from statistics import median

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from quality_assets.contracts.metrics import METRICS_BY_NAME
from quality_assets.domain.series.baseline import fit_baseline
from quality_assets.domain.series.dating import date_change, date_end
from quality_assets.domain.series.detection import Detections, Episode, detect, episodes
from quality_assets.domain.series.panel import Panel, metric_family, panel_from_facts
from quality_assets.domain.series.scale import normal_score
from quality_assets.domain.series.settings import DEFAULT_SETTINGS, DetectionSettings, Limits
from quality_assets.domain.series.silence import silence_log_p, silent_days_to_tell

START = date(2026, 1, 1)  # a Thursday
DAYS = 150
NAN = math.nan
LEAST = {"count": 1.0, "rate": 1.0, "positive": 0.004, "score": 0.01}
LIMITS = {
    "count": Limits(3.5, 4.3, 0.10, 0.25),
    "rate": Limits(3.8, 4.6, 0.25, 0.50),
    "positive": Limits(4.1, 5.0, 0.05, 0.15),
    "score": Limits(4.1, 5.0, 0.10, 0.30),
}


def test_the_settings_are_those_that_false_alarms_were_counted_with() -> None:
    assert DetectionSettings(
        window_days=35, lag_days=8, minimum_days=12, smoothing=0.3, winsor_sd=4.0, silence_alpha=1e-4, calm_sd=1.5,
        calm_days=3, adopt_after_days=42, minimum_sample=20, minimum_score_sample=2, limits=tuple(LIMITS.items()),
    ) == DEFAULT_SETTINGS  # fmt: skip


def panel_of(family: str, value: np.ndarray, worse: int = 1, sample: np.ndarray | None = None) -> Panel:
    """A panel of a family; for rates `value` is the numerator."""
    value = np.atleast_2d(np.asarray(value, dtype=float))
    sample = np.full(value.shape, NAN) if sample is None else np.atleast_2d(np.asarray(sample, dtype=float))
    with np.errstate(invalid="ignore", divide="ignore"):
        shown = value / sample if family == "rate" else value
    dates = tuple(START + timedelta(days=d) for d in range(value.shape[1]))
    names = tuple(f"f{i}" for i in range(len(value)))
    return Panel("events", family, worse, names, dates, shown, value, sample)  # type: ignore[arg-type]


# --- The plain way ----------------------------------------------------------------------------------------------------


def scaled(family: str, amount: float, sample: float) -> float:
    if family == "count":
        return 2 * math.sqrt(amount + 0.375)
    if family == "rate":
        share = (amount + 0.375) / (sample + 0.75)
        return NAN if math.isnan(share) else 2 * math.asin(math.sqrt(min(max(share, 0.0), 1.0)))
    return math.log(amount) if family == "positive" else amount


def unscaled(family: str, value: float, sample: float) -> float:
    if family == "count":
        return max((max(value, 0.0) / 2) ** 2 - 0.375, 0.0) if math.isfinite(value) else NAN
    if family == "rate":
        share = math.sin(min(max(value, 0.0), math.pi) / 2) ** 2
        return min(max(((sample + 0.75) * share - 0.375) / sample, 0.0), 1.0) if sample > 0 else NAN
    return math.exp(value) if family == "positive" else value


def centre(family: str, level: float, sample: float) -> float:
    if family in ("count", "rate"):
        return scaled(family, level * (sample if family == "rate" else 1), sample)
    return level


def spread(family: str, sample: float, typical: float) -> float:
    if family == "count":
        return 1.0
    if family == "rate":
        return 1 / math.sqrt(sample + 0.5)
    return math.sqrt(max(1.0, typical / sample)) if sample > 0 and math.isfinite(typical) else 1.0


class Normal:
    """What is normal, from the days that may be used: (amount, sample, weekday) each."""

    def __init__(self, family: str, days: list[tuple[float, float, int]]) -> None:
        self.family = family
        samples = [n for _, n, _ in days if math.isfinite(n)]
        self.typical = median(samples) if samples else NAN
        self.learn(days)
        limit = 4 * max(self.own, LEAST[family]) if days else 0.0
        self.learn([day for day in days if abs(self.residual(day) - self.effect[day[2]]) / self.chance(day) <= limit])

    def chance(self, day: tuple[float, float, int]) -> float:
        return spread(self.family, day[1], self.typical)

    def residual(self, day: tuple[float, float, int]) -> float:
        return scaled(self.family, day[0], day[1]) - centre(self.family, self.level, day[1])

    def learn(self, days: list[tuple[float, float, int]]) -> None:
        self.days, self.effect, self.own, self.level = len(days), [0.0] * 7, 0.0, NAN
        self.seen, self.shrink = [sum(w == weekday for _, _, w in days) for weekday in range(7)], 0.0
        if not days:
            return
        total = sum(a for a, _, _ in days)
        values = [scaled(self.family, a, n) for a, n, _ in days]
        self.level = {"count": total / len(days), "rate": total / sum(n for _, n, _ in days)}.get(
            self.family, sum(values) / len(days)
        )
        weights, raw = [0.0] * 7, [0.0] * 7
        for day in days:
            weights[day[2]] += 1 / self.chance(day) ** 2
            raw[day[2]] += self.residual(day) / self.chance(day) ** 2
        raw = [r / w if w else 0.0 for r, w in zip(raw, weights, strict=True)]
        present = sum(w > 0 for w in weights)
        within = sum(((self.residual(d) - raw[d[2]]) / self.chance(d)) ** 2 for d in days) / max(len(days) - present, 1)
        error = within * sum(1 / w for w in weights if w) / present
        size = sum(r**2 for r in raw)
        if size > 0 and len(days) >= 2 * present:
            self.shrink = min(max(1 - max(present - 3, 0) * error / size, 0.0), 1.0)
        self.effect = [r * self.shrink for r in raw]
        standard = [(self.residual(d) - self.effect[d[2]]) / self.chance(d) for d in days]
        robust = 1.4826 * median(abs(s) for s in standard)
        cut = [min(max(s, -3.5 * robust), 3.5 * robust) if robust > 0 else s for s in standard]
        free = max(len(days) - min(self.shrink * present, len(days) - 2) - 1, 1)
        self.own = math.sqrt(sum(s**2 for s in cut) / free)

    def expected(self, weekday: int, sample: float) -> float:
        known = sample if math.isfinite(sample) else self.typical
        return centre(self.family, self.level, known) + self.effect[weekday] if self.days >= 12 else NAN

    def deviation(self, weekday: int) -> float:
        """Of a new day of the typical size."""
        allowance = math.sqrt(1 + 1 / max(self.days, 1) + self.shrink / max(self.seen[weekday], 1))
        return max(self.own * allowance, LEAST[self.family])


def deviance(observed: float, expected: float) -> float:
    """Signed root of the Poisson deviance, half an event taken off above what was expected."""
    x = max(observed - 0.5, expected) if observed > expected else observed
    mu = max(expected, 1e-3)
    return math.copysign(
        math.sqrt(2 * max((x * math.log(x / mu) if x > 0 else 0.0) - x + mu, 0.0)), 1 if observed > expected else -1
    )


def of_t(t: float, degrees: int) -> float:
    """Wallace's approximation of the normal quantile that is as rare as `t` is of Student's t."""
    nu = max(degrees, 3)
    root = math.sqrt(nu * math.log(1 + t * t / nu)) if math.isfinite(t) else t
    return math.copysign((8 * nu + 1) / (8 * nu + 3) * root, t)


class PlainSeries:
    """One series of a panel as it goes through the days."""

    def __init__(self, panel: Panel, series: int) -> None:
        self.panel, self.family, self.limits = panel, str(panel.family), LIMITS[panel.family]
        self.value = [float(v) for v in panel.value[series]]
        self.sample = [float(v) for v in panel.sample[series]]
        self.amount = [self.usable(float(a), n) for a, n in zip(panel.amount[series], self.sample, strict=True)]
        self.kept = [
            math.isfinite(scaled(self.family, a, n)) if math.isfinite(a) else False
            for a, n in zip(self.amount, self.sample, strict=True)
        ]
        self.known = list(self.kept)
        self.smooth = self.moved = self.exposure = 0.0
        self.active, self.calm, self.run, self.history = False, 0, 0, 0
        self.normal = self.before_silence = Normal(self.family, [])
        self.said: dict[str, list[float]] = {}

    def usable(self, amount: float, sample: float) -> float:
        if self.family == "rate":
            bad = not sample > 0 or amount > sample or amount < 0
        elif self.family == "count":
            bad = amount < 0
        else:
            bad = sample < (2 if self.family == "score" else 20) or (self.family == "positive" and not amount > 0)
        return NAN if bad else amount

    def fit(self, day: int) -> None:
        window = [d for d in range(max(0, day - 43), day) if self.kept[d] and d >= self.history]
        lagged = [d for d in window if d < day - 8]
        days = lagged if len(lagged) >= 12 else window
        weekdays = self.panel.weekdays
        self.normal = Normal(self.family, [(self.amount[d], self.sample[d], int(weekdays[d])) for d in days])

    def step(self, day: int) -> None:
        if not self.active:
            self.fit(day)
        weekday, sample = int(self.panel.weekdays[day]), self.sample[day]
        middle = self.normal.expected(weekday, sample)
        own = self.normal.deviation(weekday) * spread(
            self.family, sample if math.isfinite(sample) else self.normal.typical, self.normal.typical
        )
        wanted = unscaled(self.family, middle, sample) if math.isfinite(middle) else NAN
        amount = self.amount[day]
        gap = scaled(self.family, amount, sample) - middle if math.isfinite(amount) else NAN
        if self.family == "rate":
            gap = deviance(amount, wanted * sample) / math.sqrt(sample + 0.5) if math.isfinite(gap) else NAN
        z = self.panel.worse * gap / own
        if self.family in ("positive", "score"):
            z = of_t(z, self.normal.days - 2)
        change = self.panel.worse * self.change(self.value[day], wanted)
        upper = unscaled(self.family, middle + own, sample) if math.isfinite(middle) else NAN
        told = {"expected": wanted, "z": z, "change": change, "noise": abs(upper - wanted)}
        told["ewma"] = self.smoothed(day, z, change)
        told["run_start"] = min(self.run, day)
        told["silence_log_p"] = self.listen(day, weekday)
        told |= self.switch(day, z, change, told["ewma"], told["silence_log_p"] < math.log(1e-4))
        for name, value in told.items():
            self.said.setdefault(name, []).append(value)

    def change(self, value: float, wanted: float) -> float:
        if self.family == "score":
            return value - wanted
        if wanted > 0:
            return value / wanted - 1
        return math.inf if value > 0 and wanted <= 0 else 0.0 * value

    def smoothed(self, day: int, z: float, change: float) -> float:
        if math.isfinite(z):
            self.smooth = 0.7 * self.smooth + 0.3 * min(max(z, -4.0), 4.0)
            self.moved = 0.7 * self.moved + 0.3 * min(max(change, -10.0), 10.0)
        ewma = self.smooth / math.sqrt(0.3 / 1.7)
        if ewma <= 1 and not self.active:
            self.run = day + 1
        return ewma if math.isfinite(z) else NAN

    def listen(self, day: int, weekday: int) -> float:
        if self.family != "count":
            return 0.0
        if not self.exposure > 0:
            self.before_silence = self.normal
        normal, value = self.before_silence, self.amount[day]
        expected = unscaled("count", normal.expected(weekday, value), value)
        self.exposure = 0.0 if value > 0 else self.exposure + (expected if value == 0 and expected > 0 else 0.0)
        seen = normal.level * normal.days if normal.days >= 12 else 0.0
        excess = max(normal.deviation(weekday) ** 2, 1 + 1e-9) - 1
        if not seen > 0 or not self.exposure > 0:
            return 0.0
        return -math.log1p(excess) / excess * seen * math.log1p(self.exposure / seen)

    def switch(self, day: int, z: float, change: float, ewma: float, is_silent: bool) -> dict[str, float]:
        limits = self.limits
        slides = ewma > limits.ewma and self.moved > limits.sustained and z > 1.5
        start = not self.active and (slides or (z > limits.spike_sd and change > limits.one_day) or is_silent)
        is_calm = z < 1.5
        self.active = self.active or start
        if start or is_silent or (math.isfinite(z) and not is_calm):
            self.calm = 0
        else:
            self.calm += is_calm
        ended = self.active and self.calm >= 3 and ewma < limits.ewma / 2
        adopted = self.active and day - self.run >= 42
        told = {"is_active": self.active, "is_start": start, "is_silence": is_silent, "is_adopted": adopted}
        if self.active and self.calm == 0:
            self.kept[day] = False
        if start:
            self.kept[self.run : day + 1] = [False] * max(day + 1 - self.run, 0)
        if adopted:
            self.history, self.exposure = self.run, 0.0
            self.kept[self.run : day + 1] = self.known[self.run : day + 1]
        if ended or adopted:
            self.active, self.calm, self.smooth, self.moved, self.run = False, 0, 0.0, 0.0, day + 1
        return told


def plain(panel: Panel, series: int) -> dict[str, list[float]]:
    mine = PlainSeries(panel, series)
    for day in range(len(panel.dates)):
        mine.step(day)
    return mine.said


def faulty(family: str) -> Panel:
    """Four series of a family: a step that is adopted, a creep with a gap, a spike and a short step, a young one."""
    rng = np.random.default_rng(31)
    factor = np.ones((4, DAYS))
    factor[0, 60:] = 1.7
    factor[1, 70:100] = np.linspace(1, 2.2, 30)
    factor[2, 55], factor[2, 90:101] = 3.0, 1.8
    factor[3, 110:113] = 4.0
    factor *= 1 + 0.12 * (np.arange(DAYS) % 7 > 4)
    sample = rng.poisson(np.array([400.0, 60, 25, 1500])[:, None], (4, DAYS)).astype(float)
    if family == "count":
        value = rng.poisson(np.array([90.0, 12, 5, 700])[:, None] / factor**2).astype(float)
        value[1, 120:] = value[2, 118:140] = value[3, 135:138] = 0
        panel = panel_of(family, value, -1)
    elif family == "rate":
        value = rng.binomial(sample.astype(int), np.clip(0.01 * factor**2.5, 0, 1)).astype(float)
        panel = panel_of(family, value, 1, sample)
    elif family == "positive":
        panel = panel_of(family, 300 * factor * np.exp(0.06 * rng.standard_normal((4, DAYS))), 1, sample)
    else:
        few = np.round(sample / 10)
        value = 5 - factor + rng.standard_normal((4, DAYS)) / np.sqrt(np.maximum(few, 1))
        panel = panel_of(family, value, -1, few)
    for matrix in (panel.value, panel.amount, panel.sample):
        matrix[1, 80:84] = NAN
        matrix[3, :20] = NAN
    panel.sample[0, 30] = 1 if family == "score" else 19
    panel.amount[0, 31] = -1
    return panel


@pytest.mark.parametrize("family", list(LIMITS))
def test_a_panel_is_judged_as_plain_python_judges_it(family: str) -> None:
    panel = faulty(family)
    found = detect(panel, DetectionSettings(rare=None))
    for series in range(4):
        for name, wanted in plain(panel, series).items():
            got = getattr(found, name)[series].astype(float)
            np.testing.assert_allclose(got, wanted, rtol=1e-7, atol=1e-9, err_msg=f"{name} of {series}")
    assert found.is_start.sum() >= 3
    assert found.is_adopted[0].any()
    assert found.is_silence.any() == (family == "count")


def test_a_baseline_is_its_level_its_weekdays_and_the_deviation_of_a_new_day() -> None:
    # Four weeks of logarithms 0, but Mondays 1.4: the mean is .2, Mondays 1.2 above it, the others .2 below.
    weekdays = np.arange(28) % 7
    value = np.exp(np.where(weekdays == 0, 1.4, 0.0))[None, :]
    nothing = np.full((1, 28), NAN)
    found = fit_baseline("positive", value, nothing, np.ones((1, 28), bool), weekdays, 12)
    assert found.level.tolist() == pytest.approx([0.2])
    assert found.effect[0].tolist() == pytest.approx([1.2, *[-0.2] * 6])
    assert found.deviation[0].tolist() == [0.004] * 7
    assert found.days.tolist() == [28]
    assert math.isnan(found.typical[0])
    few = fit_baseline("positive", value, nothing, np.arange(28)[None, :] < 11, weekdays, 12)
    assert math.isnan(few.level[0])
    enough = fit_baseline("positive", value, nothing, np.arange(28)[None, :] < 12, weekdays, 12)
    assert enough.level[0] == pytest.approx(2.8 / 12)
    assert enough.effect[0].tolist() == [0.0] * 7


# --- Rules by value ---------------------------------------------------------------------------------------------------


def quiet_then(days: list[float], quiet: int = 40) -> Panel:
    """Latencies of 100 ms whose deviation is the least there is, .4 %, and then the given ones."""
    return panel_of("positive", np.array([100.0] * quiet + days))


def starts(days: list[float]) -> list[int]:
    """Days after the 40 quiet ones on which an episode starts."""
    return (np.flatnonzero(detect(quiet_then(days)).is_start[0]) - 40).tolist()


def test_a_day_alone_must_be_far_off_and_a_slide_must_matter() -> None:
    assert starts([115.1]) == [0]
    assert starts([114.9]) == []
    # Each 6 %: of a smoothed change .06 × (1 − .7^n) five percent are passed on the sixth day.
    assert starts([106.0] * 8) == [5]
    assert starts([104.9] * 30) == []


def test_a_slide_starts_on_a_bad_day_only() -> None:
    # After three days of 6 % .0394 of a change are smoothed, and the residual is far beyond its limit. A day of 10 % on
    # a thousandth of the usual values makes it .0576, but says nothing by itself: √1000 × .4 % are 13 % of noise.
    value = np.array([100.0] * 40 + [106.0, 106.0, 106.0, 110.0, 106.0])
    sample = np.full(45, 20_000.0)
    sample[43] = 20
    found = detect(panel_of("positive", value, 1, sample))
    # The baseline is of the first 35 of the 43 days before it.
    assert found.z[0, 43] == pytest.approx(of_t(math.log(1.1) / (0.004 * math.sqrt(1000)), 35 - 2))
    assert found.ewma[0, 43] > 4.1
    assert np.flatnonzero(found.is_start[0]).tolist() == [44]


@pytest.mark.parametrize("degrees", [10, 20, 33])
def test_a_deviation_learnt_from_few_days_counts_as_rare_as_students_t_makes_it(degrees: int) -> None:
    for t in (-6.0, -2.0, 0.0, 1.0, 4.0, 6.0):
        exact = stats.norm.isf(stats.t.sf(t, degrees))
        assert normal_score(np.array(t), np.array(float(degrees))) == pytest.approx(exact, abs=0.02)
    assert math.isnan(normal_score(np.array(np.nan), np.array(20.0)))


def test_half_an_event_is_taken_off_above_what_is_expected() -> None:
    # One crash in 1,000 events a day, exactly: the deviation is the least, 1 ÷ √n.
    crashes = np.array([1.0] * 40 + [4.0, 1.0, 0.0])
    found = detect(panel_of("rate", crashes, 1, np.full(43, 1000.0)))
    expected = found.expected[0, 40] * 1000
    assert expected == pytest.approx(1.0, abs=0.01)
    assert found.z[0, 40] == pytest.approx(math.sqrt(2 * (3.5 * math.log(3.5 / expected) - 3.5 + expected)), rel=1e-6)
    assert found.z[0, 42] == pytest.approx(-math.sqrt(2 * expected), rel=1e-6)
    assert found.z[0, 41] == pytest.approx(0.0, abs=0.01)


def test_small_samples_are_not_used_and_impossible_amounts_are_unknown() -> None:
    sample = np.full(43, 100.0)
    sample[[40, 41]] = [19, 20]
    slow = detect(panel_of("positive", np.full(43, 100.0), 1, sample))
    assert np.isfinite(slow.z[0, 40:]).tolist() == [False, True, True]
    sample[[40, 41]] = [1, 2]
    score = detect(panel_of("score", np.full(43, 4.0), -1, sample))
    assert np.isfinite(score.z[0, 40:]).tolist() == [False, True, True]
    crashes = np.full(44, 1.0)
    crashes[40:] = [-1, 101, 100, 0]
    rate = detect(panel_of("rate", crashes, 1, np.full(44, 100.0)))
    assert np.isfinite(rate.z[0, 40:]).tolist() == [False, False, True, True]
    count = detect(panel_of("count", np.array([50.0] * 40 + [-1, 0, 50]), -1))
    assert np.isfinite(count.z[0, 40:]).tolist() == [False, True, True]
    ms = detect(panel_of("positive", np.array([50.0] * 40 + [0, 0.1, 50]), 1))
    assert np.isfinite(ms.z[0, 40:]).tolist() == [False, True, True]


def test_surprise_at_silence_by_hand() -> None:
    # 100 events seen, 9 expected: −100 ln 1.09; with deviation 2 it counts ln 4 ÷ 3 as much.
    assert silence_log_p(np.array(9.0), np.array(100.0), np.array(1.0)) == pytest.approx(-100 * math.log(1.09))
    assert silence_log_p(np.array(9.0), np.array(100.0), np.array(2.0)) == pytest.approx(
        -100 * math.log(1.09) * math.log(4) / 3
    )
    assert silence_log_p(np.array(9.0), np.array(100.0), np.array(NAN)) == pytest.approx(-100 * math.log(1.09))
    assert silence_log_p(np.array(9.0), np.array(0.0), np.array(1.0)) == 0
    assert silence_log_p(np.array(0.0), np.array(9.0), np.array(1.0)) == 0
    # 35 days of 1 a day: e^(ln 10000 ÷ 35) − 1 = .3011, times 35 is 10.5; two deviations more than twice that.
    assert silent_days_to_tell(1.0) == 11
    assert silent_days_to_tell(1.0, 2.0) == math.floor(35 * (math.exp(math.log(1e4) / (math.log(4) / 3 * 35)) - 1)) + 1
    assert silent_days_to_tell(1.0, alpha=0.1) == 3
    assert np.isnan(silent_days_to_tell(0.0))


# --- Episodes ---------------------------------------------------------------------------------------------------------


def detections(z: list[float], start: list[int], active: list[int], **more: list[int]) -> Detections:
    """What a detector might have found in one series: days that start, are active, silent (`silence`) or adopted."""
    days = len(z)
    flags = {name: np.isin(np.arange(days), more.get(name, []))[None, :] for name in ("silence", "adopted")}
    value = np.array([more["value"]], dtype=float) if "value" in more else np.full((1, days), 100.0)
    blank = np.zeros((1, days))
    return Detections(
        panel=panel_of("count", value, -1),
        expected=blank,
        z=np.array([z], dtype=float),
        ewma=blank + 0.5,
        change=blank,
        noise=blank,
        silence_log_p=blank,
        is_active=np.isin(np.arange(days), active)[None, :],
        is_start=np.isin(np.arange(days), start)[None, :],
        is_silence=flags["silence"],
        is_adopted=flags["adopted"],
        run_start=np.array([more.get("run_start", [0] * days)]),
    )


def told(found: Detections) -> list[tuple[int, int, int | None, int, str, float]]:
    return [
        (e.detected_day, e.start_day, e.end_day, e.last_day, e.kind, e.score) for e in episodes(found, DEFAULT_SETTINGS)
    ]


def test_an_episode_ends_with_its_last_changed_day() -> None:
    z = [0.0] * 10 + [5.0, 6.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    closed = detections(z, [10], [10, 11, 12, 13, 14], run_start=[10] * 18)
    assert told(closed) == [(10, 10, 12, 12, "step", 6.0)]
    still = detections(z[:13], [10], [10, 11, 12], run_start=[10] * 13)
    assert told(still) == [(10, 10, None, 12, "step", 6.0)]
    # Open at the end of the data, but calm for three known days.
    calm = detections(z[:16], [10], [10, 11, 12, 13, 14, 15], run_start=[10] * 16)
    assert told(calm) == [(10, 10, 12, 12, "step", 6.0)]
    assert told(detections(z[:15], [10], [10, 11, 12, 13, 14], run_start=[10] * 15))[0][2] is None


def test_one_day_far_off_is_a_spike_and_one_day_near_the_limit_is_not_while_it_is_open() -> None:
    lone = [0.0] * 10 + [4.4]
    assert told(detections(lone, [10], [10], run_start=[10] * 11)) == [(10, 10, None, 10, "spike", 4.4)]
    lone[10] = 4.3
    assert told(detections(lone, [10], [10], run_start=[10] * 11)) == [(10, 10, None, 10, "step", 4.3)]
    ended = detections([*lone, 0.0, 0.0, 0.0], [10], [10, 11, 12, 13], run_start=[10] * 14)
    assert told(ended) == [(10, 10, 10, 10, "spike", 4.3)]


def test_an_adopted_change_ends_on_the_last_bad_day_and_a_restart_is_another_episode() -> None:
    z = [0.0] * 10 + [5.0] * 6 + [0.0] * 4
    adopted = detections(z, [10], list(range(10, 16)), adopted=[15], run_start=[10] * 20)
    assert told(adopted) == [(10, 10, 15, 15, "step", 5.0)]
    twice = detections(z, [10, 13], list(range(10, 16)), run_start=[10] * 13 + [13] * 7)
    assert [(t[0], t[2]) for t in told(twice)] == [(10, 12), (13, 15)]


def test_a_silence_is_dated_back_to_its_first_day_over_unknown_ones() -> None:
    value = [50, 50, 50, 0, NAN, 0, 0, 0]
    z = [0.0, 0.0, 0.0, 6.0, NAN, 6.0, 6.0, 6.0]
    dead = detections(z, [6], [6, 7], silence=[6, 7], value=value, run_start=[3] * 8)
    assert told(dead) == [(6, 3, None, 7, "dead", 6.0)]
    recovered = detections([*z, 0.0, 0.0], [6], [6, 7, 8], silence=[6, 7], value=[*value, 50, 50], run_start=[3] * 10)
    assert told(recovered) == [(6, 3, 7, 7, "dead", 6.0)]
    # A fall that was found before the silence keeps its own beginning.
    fall = detections(
        [0.0, 5.0, 5.0, 6.0, 6.0], [1], [1, 2, 3, 4], silence=[4], value=[50, 10, 10, 0, 0], run_start=[1] * 5
    )
    assert told(fall) == [(1, 1, None, 4, "dead", 6.0)]


def test_a_change_is_dated_where_a_level_or_a_ramp_fits_best() -> None:
    assert date_change(np.array([0, 0, 0, 2.0, 2.0, 2.0]), 5) == (3, "step")
    assert date_change(np.array([2.0, 2.0, 2.0]), 2) == (0, "step")
    assert date_change(np.array([0, 0, 50.0, 4.0]), 3) == (2, "step")
    # What came 15 days after it was found tells nothing more of its beginning.
    late = np.concatenate([np.zeros(5), np.full(16, 3.0), np.full(20, 9.0)])
    assert date_change(late, 6) == (5, "step")
    ramp = np.array([0, 0, 0, 1, 2, 3, 4, 5.0])
    # Ramp: (1 + 4 + 9 + 16 + 25)² ÷ 55 = 55; the best step (day 4) has 14² ÷ 4 = 49.
    assert date_change(ramp, 7) == (3, "creep")
    # Its first four days: a ramp needs five.
    assert date_change(ramp[:7], 6)[1] == "step"
    assert date_change(np.zeros(4), 2) == (0, "step")


def test_an_end_is_the_split_into_two_levels() -> None:
    assert date_end(np.array([4.0, 4.0, 4.0, 0.0, 0.0])) == 2
    # Half of the median 4 is 2: a day of 2.1 still counts, one of 1.9 does not.
    assert date_end(np.array([4.0, 4.0, 4.0, 2.1])) == 3
    assert date_end(np.array([4.0, 4.0, 4.0, 1.9])) == 2
    assert date_end(np.array([1.0, 0.8, 0.7, 0.0, 0.0])) == 1
    assert date_end(np.array([4.0, NAN, 4.0, 4.0])) == 3
    assert date_end(np.array([50.0, 0.0, 0.0, 12.0, 0.0])) == 3


# --- Panels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "family"),
    [("events", "count"), ("crash_rate", "rate"), ("latency_p95_ms", "positive"), ("feedback_mean", "score")],
)
def test_the_noise_of_a_metric_is_that_of_its_unit(metric: str, family: str) -> None:
    assert metric_family(METRICS_BY_NAME[metric]) == family


def test_a_panel_has_the_sample_and_the_side_that_hurts() -> None:
    row = {"event_date": START, "feature": "pay", "events": 200, "crashes": 4, "crash_rate": 0.02}
    row |= {"latency_p95_ms": 400.0, "latency_count": 180, "feedback_mean": 4.5, "feedback_count": 6, "sessions": 50}
    row |= {"crashed_sessions": 5, "crash_free_sessions": 0.9}
    facts = pd.DataFrame([row])
    shown = {
        name: (p.worse, p.value[0, 0], p.amount[0, 0], p.sample[0, 0])
        for name in ("events", "crash_rate", "latency_p95_ms", "feedback_mean")
        for p in [panel_from_facts(facts, name)]
    }
    assert shown["crash_rate"] == (1, 0.02, 4, 200)
    assert shown["latency_p95_ms"] == (1, 400.0, 400.0, 180)
    assert shown["feedback_mean"] == (-1, 4.5, 4.5, 6)
    assert shown["events"][:3] == (-1, 200, 200)
    assert math.isnan(shown["events"][3])
    free = panel_from_facts(facts, "crash_free_sessions")
    assert (free.worse, free.value[0, 0]) == (1, pytest.approx(0.1))
    assert (free.amount[0, 0], free.sample[0, 0]) == (5, 50)
    none = panel_from_facts(facts.iloc[:0], "events")
    assert (none.keys, none.dates, none.value.shape, none.worse) == ((), (), (0, 0), -1)
    untimed = panel_from_facts(facts.drop(columns="latency_count"), "latency_p95_ms")
    assert math.isnan(untimed.sample[0, 0])


def test_an_episode_is_of_the_metric_and_series_it_was_found_in() -> None:
    two = replace(quiet_then([100.0, 130.0]), metric="latency_p95_ms")
    value = np.vstack([np.full(42, 100.0), two.value[0]])
    panel = replace(two, keys=("a", "b"), value=value, amount=value, sample=np.full((2, 42), NAN))
    (found,) = episodes(detect(panel))
    assert isinstance(found, Episode)
    assert (found.series, found.metric, found.detected_day, found.start_day, found.end_day) == (
        1, "latency_p95_ms", 41, 41, None,
    )  # fmt: skip
    assert found.score == pytest.approx(of_t(math.log(1.3) / 0.004, 33 - 2))
