"""The scale on which days are compared, and what is usual of rare events, worked out by hand."""

from __future__ import annotations

from datetime import date
from math import asin, exp, inf, log, pi, sqrt
from typing import Any

import numpy as np
import pytest

from quality_assets.domain.series.panel import Panel
from quality_assets.domain.series.rare import RareWatch, events_to_tell
from quality_assets.domain.series.scale import (
    change_from,
    deviance_residual,
    from_scale,
    nan_median,
    poisson_most,
    robust_centre,
    robust_spread,
    to_scale,
    usable_days,
)
from quality_assets.domain.series.settings import DEFAULT_RARE, DEFAULT_SETTINGS

NAN = float("nan")


def array(*values: float) -> Any:
    return np.array(values, dtype=float)


def same(found: Any, wanted: list[float]) -> bool:
    return np.allclose(found, wanted, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_counts_and_rates_on_their_scale_and_back() -> None:
    assert same(to_scale("count", array(0, 9.625), array(1, 1)), [2 * sqrt(0.375), 2 * sqrt(10)])
    # One bad of 9.25 with three eighths of one and three quarters more: 1.375 of 10.
    assert same(to_scale("rate", array(1), array(9.25)), [2 * asin(sqrt(0.1375))])
    assert same(to_scale("rate", array(5), array(2)), [pi])
    assert same(to_scale("positive", array(exp(2)), array(1)), [2])
    assert same(to_scale("score", array(-0.5), array(1)), [-0.5])
    for family in ("count", "rate", "positive", "score"):
        amount, sample = array(3, 7), array(10, 20)
        value = amount / sample if family == "rate" else amount
        assert same(from_scale(family, to_scale(family, amount, sample), sample), value.tolist()), family
    # What lies below the scale of nothing is nothing, and above that of all is all.
    assert same(from_scale("count", array(-3, 1.0), array(1, 1)), [0, 0])
    assert same(from_scale("rate", array(-1, 4, 0), array(9, 9, 0)), [0, 1, 0])


def test_how_far_a_value_lies_from_what_was_expected() -> None:
    assert same(change_from("count", array(15, 0, 0, 5, NAN), array(10, 10, 0, 0, 10)), [0.5, -1, 0, inf, NAN])
    # Below one, too.
    assert same(change_from("rate", array(0.03), array(0.02)), [0.5])
    assert same(change_from("score", array(0.7, 0.5), array(0.9, 0.0)), [-0.2, 0.5])


def test_how_far_chance_spreads() -> None:
    sample, typical = array(3.5, 100, 0), array(14, 50, 9)
    assert same(robust_spread("count", sample, typical), [1, 1, 1])
    assert same(robust_spread("rate", sample, typical), [0.5, 1 / sqrt(100.5), 1 / sqrt(0.5)])
    # A quarter of the usual values spreads twice as far, twice as many no less.
    assert same(robust_spread("positive", sample, typical), [2, 1, 1])
    assert same(robust_centre("count", array(9.625), array(1)), [2 * sqrt(10)])
    assert same(robust_centre("rate", array(0.1), array(9.25)), [2 * asin(sqrt((0.925 + 0.375) / 10))])
    assert same(robust_centre("positive", array(3), array(1)), [3])


def test_signed_roots_of_deviance() -> None:
    found = deviance_residual(array(0, 2, 4, 9.5, 4.3), array(2, 2, 4, 4, 4))
    # None of two: −√(2 × 2). Nine and a half of four count as nine; what lies above by less than a half as none above.
    assert same(found, [-2, 0, 0, sqrt(2 * (9 * log(9 / 4) - 9 + 4)), 0])
    assert same(deviance_residual(array(1), array(4)), [-sqrt(2 * (log(1 / 4) - 1 + 4))])
    assert same(deviance_residual(array(0), array(0)), [-sqrt(0.002)])
    # P(more than 0) of .01 is .00995, of .02 it is .0198.
    assert [poisson_most(mean) for mean in (0.01, 0.02, 1.0)] == [0, 1, 4]
    assert poisson_most(1.0, alpha=0.1) == 2


def _usable(family: Any, amount: Any, sample: Any, metric: str = "latency_p95_ms") -> tuple[list[float], list[float]]:
    value = np.array([amount], dtype=float)
    panel = Panel(metric, family, 1, ("a",), (date(2026, 1, 1),) * len(amount), value, value, np.array([sample], float))
    used, of = usable_days(panel, DEFAULT_SETTINGS)
    return used[0].tolist(), of[0].tolist()


def test_days_that_cannot_be_used_are_unknown() -> None:
    amounts, samples = _usable("rate", [1, 2, -1, 5, 3, NAN], [4, 0, 4, 4, NAN, 4], "crash_rate")
    assert same(amounts, [1, NAN, NAN, NAN, NAN, NAN])
    assert same(samples, [4, 0, 4, 4, NAN, 4])
    assert same(_usable("rate", [4, 0], [4, 4], "crash_rate")[0], [4, 0])
    assert same(_usable("count", [0, -1, inf, 3], [1] * 4, "events")[0], [0, NAN, NAN, 3])
    least = DEFAULT_SETTINGS.minimum_sample
    assert same(_usable("positive", [5, 5, 0, 5], [least, least - 1, least, NAN])[0], [5, NAN, NAN, 5])
    few = DEFAULT_SETTINGS.minimum_score_sample
    assert same(_usable("score", [0, -1, 2], [few, few, few - 1], "apdex")[0], [0, -1, NAN])


def test_medians_leave_out_what_is_unknown() -> None:
    rows = np.array([[3, NAN, 1, 2], [4, 1, NAN, NAN], [NAN] * 4, [4, 3, 2, 1], [7, NAN, NAN, NAN]])
    assert same(nan_median(rows), [2, 2.5, NAN, 2.5, 7])
    assert same(nan_median(np.empty((2, 0))), [NAN, NAN])


# --- Rare events ------------------------------------------------------------------------------------------------------


def _watch(amount: list[float], sample: float = 10.0, until: int | None = None, lag_days: int = 8) -> RareWatch:
    """One series, listened to on its last day, or on each from `until` on."""
    amounts = np.array([amount])
    watch = RareWatch(amounts, np.full(amounts.shape, sample))
    for day in range(len(amount) - 1 if until is None else until, len(amount)):
        watch.listen(day, np.ones(amounts.shape, bool), lag_days, np.zeros(1, dtype=np.int64))
    return watch


def test_what_is_usual_is_the_share_of_the_past_and_one_deviation_more() -> None:
    # Thirty days with one bad of ten each: 30 of 300, and √30 more.
    watch = _watch([1.0] * 39)
    assert (watch.usual[0], watch.clumping[0], watch.a_day[0]) == (pytest.approx((30 + sqrt(30)) / 300), 1.0, 10.0)
    # None of 300: half of one among 300 and half as many as one comes among, at least one in ten thousand.
    assert _watch([0.0] * 39).usual[0] == pytest.approx(0.5 / (300 + 0.5 / 1e-4))
    # The last eight days teach nothing, nor those more than 120 days ago; fewer than twelve days are too few.
    assert _watch([1.0] * 31 + [10.0] * 8).usual[0] == pytest.approx((30 + sqrt(30)) / 300)
    assert _watch([10.0] * 9 + [1.0] * 121).usual[0] == pytest.approx((112 + sqrt(112)) / 1120)
    assert np.isnan(_watch([1.0] * 20).usual[0])
    assert np.isfinite(_watch([1.0] * 21).usual[0])


def test_days_that_clump_say_less() -> None:
    # None and four in turns: 60 of 300.
    usual = (60 + sqrt(60)) / 300
    surprise = 15 * (10 * usual) ** 2 + 15 * (4 - 10 * usual) ** 2
    watch = _watch([0.0, 4.0] * 19 + [0.0])
    assert watch.usual[0] == pytest.approx(usual)
    assert watch.clumping[0] == pytest.approx((surprise + 3) / (300 * usual * (1 - usual) + 3))


def test_evidence_is_kept_up_to_half_more_than_is_needed() -> None:
    watch = _watch([0.0] * 60 + [5.0] * 10, until=40)
    assert watch.is_active[0]
    assert watch.begin[0] == 60
    assert watch._evidence.max() == 1.5 * DEFAULT_RARE.evidence
    assert watch.days(69)[0] == 10
    watch.restart(np.array([True]))
    assert (watch._evidence.max(), watch.is_active[0]) == (0.0, False)


def test_days_of_many_bad_events_speak_for_themselves() -> None:
    assert _watch([1.0] * 39).days(38)[0] > 1
    # .2258 of ten are more than one and a half a day.
    assert _watch([2.0] * 39).days(38)[0] == 1
    # Nothing is told of what is usual at its most already.
    assert np.isnan(events_to_tell(array(0.95), np.ones(1)))[0]
