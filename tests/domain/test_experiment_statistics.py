"""Numbers of experiments against scipy and against values worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta
from math import isnan, log, sqrt

import numpy as np
import pytest
from scipy import stats

from quality_assets.domain.impact import experiment_health as judge
from quality_assets.domain.impact.experiments import (
    ArmResult,
    ArmValues,
    compare,
    guardrail_verdict,
    metric_verdict,
    past_p,
    with_fdr,
)
from quality_assets.domain.impact.sequential import always_valid_half_width, mixture_rho
from quality_assets.domain.impact.srm import PartCounts, part_findings, ratio_p

HALVES = {"control": 0.5, "test": 0.5}


def values(rng: np.random.Generator, n: int, shift: float = 0.0, past: bool = False) -> ArmValues:
    before = rng.normal(5, 1, n) if past else np.zeros(n)
    return ArmValues(rng.normal(3 + shift, 2, n) + (before - 5 if past else 0), before)


def test_a_mean_without_a_past_is_welchs_test() -> None:
    rng = np.random.default_rng(1)
    control, arm = values(rng, 400), values(rng, 300, 0.3)
    found = compare(control, arm)
    wanted = stats.ttest_ind(arm.value, control.value, equal_var=False)
    interval = wanted.confidence_interval(0.95)
    assert found.p == pytest.approx(wanted.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.se == pytest.approx(sqrt(arm.value.var(ddof=1) / 300 + control.value.var(ddof=1) / 400))
    assert not found.is_cuped


def test_a_ratio_is_the_delta_method() -> None:
    rng = np.random.default_rng(2)

    def arm(rate: float) -> ArmValues:
        below = rng.poisson(20, 500) + 1.0
        return ArmValues(rng.binomial(below.astype(int), rate).astype(float), np.zeros(500), below, np.zeros(500))

    control, test = arm(0.1), arm(0.12)
    found = compare(control, test)

    def variance(a: ArmValues) -> float:
        assert a.below is not None
        residual = a.value - a.mean * a.below
        return float(residual.var(ddof=1) / a.below.mean() ** 2 / a.n)

    assert found.diff == pytest.approx(test.mean - control.mean)
    assert found.se == pytest.approx(sqrt(variance(control) + variance(test)), rel=1e-6)


def test_a_past_takes_its_variance_out_of_the_difference() -> None:
    rng = np.random.default_rng(3)
    control, arm = values(rng, 2000, past=True), values(rng, 2000, 0.2, past=True)
    plain = compare(ArmValues(control.value, np.zeros(2000)), ArmValues(arm.value, np.zeros(2000)))
    found = compare(control, arm)
    assert found.is_cuped
    correlation = np.corrcoef(np.concatenate([control.value, arm.value]), np.concatenate([control.before, arm.before]))[
        0, 1
    ]
    assert found.se / plain.se == pytest.approx(sqrt(1 - correlation**2), rel=0.02)


def test_too_few_people_and_nothing_that_varies_are_not_measured() -> None:
    rng = np.random.default_rng(4)
    assert isnan(compare(values(rng, 29), values(rng, 500)).se)
    still = ArmValues(np.ones(50), np.zeros(50))
    found = compare(still, still)
    assert isnan(found.se)
    assert metric_verdict(found, "down", True) == "not measured"


def test_an_always_valid_interval_is_wider_and_narrowest_where_it_is_tuned() -> None:
    rho2 = mixture_rho(0.05) ** 2
    assert rho2 == pytest.approx((-2 * log(0.05) + log(-2 * log(0.05) + 1)) / 5000)
    n, se = 5000, 0.01
    wanted = se * sqrt(n) * sqrt(2 * (n * rho2 + 1) / (n * n * rho2) * log(sqrt(n * rho2 + 1) / 0.05))
    assert always_valid_half_width(se, n) == pytest.approx(wanted)
    ratios = {m: always_valid_half_width(1 / sqrt(m), m) * sqrt(m) for m in (200, 5000, 200_000)}
    assert 1.96 < ratios[5000] < min(ratios[200], ratios[200_000])


def test_false_discoveries_are_controlled_within_a_role() -> None:
    found = with_fdr([ArmResult(p=p) for p in (0.01, 0.04, 0.03)])
    assert [each.p_fdr for each in found] == pytest.approx([0.03, 0.04, 0.04])


@pytest.mark.parametrize(
    ("result", "bad", "final", "said"),
    [
        (
            ArmResult(diff=1, se=0.1, low=0.5, high=1.5, always_low=-0.1, always_high=2, p_fdr=0.01),
            "down",
            True,
            "better",
        ),
        (ArmResult(diff=1, se=0.1, low=0.5, high=1.5, always_low=-0.1, always_high=2, p_fdr=0.01), "up", True, "worse"),
        (
            ArmResult(diff=1, se=0.1, low=0.5, high=1.5, always_low=-0.1, always_high=2, p_fdr=0.01),
            "up",
            False,
            "keep running",
        ),
        (
            ArmResult(diff=-1, se=0.1, low=-2, high=-0.5, always_low=-2, always_high=-0.1, p_fdr=0.01),
            "down",
            False,
            "worse",
        ),
        (ArmResult(diff=1, se=1, low=-1, high=3, p_fdr=0.3), "down", True, "no difference found"),
    ],
)
def test_a_verdict_rests_on_the_interval_that_holds(result: ArmResult, bad: str, final: bool, said: str) -> None:
    assert metric_verdict(result, bad, final) == said


@pytest.mark.parametrize(
    ("low", "high", "bad", "said"),
    [
        (-0.001, 0.0009, "up", "within margin"),
        (0.0001, 0.0015, "up", "breached"),
        (-0.001, 0.0015, "up", "not shown to be safe"),
        (-0.0015, 0.001, "down", "not shown to be safe"),
        (-0.0009, 0.01, "down", "within margin"),
    ],
)
def test_a_guardrail_is_safe_once_harm_beyond_its_margin_is_excluded(
    low: float, high: float, bad: str, said: str
) -> None:
    result = ArmResult(diff=(low + high) / 2, se=0.001, low=low, high=high, p_fdr=0.04)
    assert guardrail_verdict(result, 0.01, bad, 0.1, True) == said


def test_the_ratio_of_arms_is_chi_square() -> None:
    assert ratio_p([3110, 4020], [0.5, 0.5]) == pytest.approx(stats.chisquare([3110, 4020]).pvalue)
    assert ratio_p([0, 0], [0.5, 0.5]) is None


def test_the_part_that_people_are_missing_from_is_named() -> None:
    parts = [PartCounts("platform", "Web", (1000, 90)), PartCounts("platform", "iOS", (3020, 3020))]
    findings = judge.ratio_findings({"control": 4020, "test": 3110}, HALVES, parts)
    assert findings[0].status == "void"
    assert findings[0].grade == "D"
    assert findings[0].detail == (
        "3,110 people in test, 4,020 in control (1 : 1 planned). All of the missing ones are on platform Web."
    )
    worst = part_findings(parts, [0.5, 0.5])[0]
    assert (worst.part.value, worst.missing) == ("Web", 910)
    assert worst.p == pytest.approx(min(1, 2 * stats.chisquare([1000, 90]).pvalue))


def test_an_unlikely_ratio_warns_and_a_likely_one_does_not() -> None:
    warned = judge.ratio_findings({"control": 10_000, "test": 10_380}, HALVES, [])[0]
    assert (warned.status, warned.grade) == ("warning", "B")
    assert "happens by chance once in" in warned.detail
    assert judge.ratio_findings({"control": 10_000, "test": 10_100}, HALVES, [])[0].status == "ok"


@pytest.mark.parametrize(("mixed", "status", "grade"), [(100, "ok", None), (101, "warning", "B"), (1001, "void", "D")])
def test_people_in_both_arms_warn_and_void(mixed: int, status: str, grade: str | None) -> None:
    found = judge.mixed_finding(mixed, 10_000)
    assert (found.status, found.grade) == (status, grade)


def test_rows_lost_in_one_arm_void_and_lost_in_both_leave_a_doubt() -> None:
    one = judge.loss_findings("buy", {"control": 100, "test": 500}, {"control": 9900, "test": 9500}, 0, 1)
    assert [(f.check, f.grade) for f in one] == [("loss by arm", "D")]
    assert "test loses more" in one[0].detail
    both = judge.loss_findings("buy", {"control": 600, "test": 610}, {"control": 9400, "test": 9390}, 3, 1)
    assert [(f.check, f.grade) for f in both] == [("loss by arm", None), ("loss", "C")]
    none = judge.loss_findings("buy", {}, {"control": 10, "test": 10}, 0, 1)
    assert none[0].status == "ok"


def test_an_arm_that_is_added_or_taken_away_voids_from_that_day() -> None:
    first = date(2026, 3, 1)
    days = [first + timedelta(days=n) for n in range(10)]
    late = {day: {"control": 60, "test": 60 if n >= 4 else 0} for n, day in enumerate(days)}
    found = judge.changed_arms_findings(late, HALVES, first, days[-1])
    assert [f.detail for f in found] == ["Arms changed on 2026-03-05: test was added. Void from that day."]
    gone = {day: {"control": 60, "test": 60 if n < 4 else 0} for n, day in enumerate(days)}
    assert "nobody sees test any more" in judge.changed_arms_findings(gone, HALVES, first, days[-1])[0].detail
    stray = {day: {"control": 60, "test": 60, "new": 9 if n > 5 else 0} for n, day in enumerate(days)}
    assert judge.changed_arms_findings(stray, HALVES, first, days[-1])[0].subject == "2026-03-07"
    steady = {day: {"control": 60, "test": 55} for day in days}
    assert judge.changed_arms_findings(steady, HALVES, first, days[-1]) == []


def test_a_past_that_differs_limits_the_grade() -> None:
    rng = np.random.default_rng(5)
    control = ArmValues(np.zeros(500), rng.normal(5, 1, 500))
    arm = ArmValues(np.zeros(500), rng.normal(5.5, 1, 500))
    p = past_p(control, arm)
    assert p is not None
    assert judge.past_finding("events", "Events", p, "5.5 in test", 3).grade == "C"
    assert past_p(ArmValues(np.zeros(500), np.zeros(500)), ArmValues(np.zeros(500), np.zeros(500))) is None


def test_the_grade_is_the_worst_that_anything_leaves() -> None:
    findings = [*judge.weights_findings(False), *judge.size_findings(10, 20, True), *judge.red_checks_findings([])]
    assert judge.worst_grade(findings) == "C"
    assert judge.reasons_of(findings) == [
        "10 of 20 planned people saw it.",
        "No weights are declared; equal ones are assumed.",
    ]
    assert judge.worst_grade([]) == "A"
