"""Effects of an arm on values that can be worked out, and what follows from them at the edges."""

from __future__ import annotations

import warnings
from dataclasses import astuple, replace
from math import inf, isnan, log, nan, sqrt

import numpy as np
import pytest
from scipy import stats

from quality_assets.contracts.metric_names import parse_metric_name
from quality_assets.domain.impact.experiment_words import (
    Spoken,
    difference,
    final_sentence,
    level,
    running_sentence,
    signed,
)
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


def people(n: int, values: tuple[float, ...], before: tuple[float, ...] = (0.0,)) -> ArmValues:
    """`n` people who did, and had done, each of these one after another."""
    return ArmValues(np.resize(np.array(values, float), n), np.resize(np.array(before, float), n))


def welch(control: ArmValues, arm: ArmValues, alpha: float = 0.05) -> ArmResult:
    """What Welch's test says, with the sequence around the same difference."""
    with warnings.catch_warnings():
        # Of one side that does not vary.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = stats.ttest_ind(arm.value, control.value, equal_var=False)
    interval = found.confidence_interval(1 - alpha)
    diff = arm.value.mean() - control.value.mean()
    se = sqrt(arm.value.var(ddof=1) / arm.n + control.value.var(ddof=1) / control.n)
    n = arm.n + control.n
    rho2 = (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / 5_000
    half = se * sqrt(n) * sqrt(2 * (n * rho2 + 1) / (n * n * rho2) * log(sqrt(n * rho2 + 1) / alpha))
    half = half if n >= 100 else nan
    base = control.value.mean()
    return ArmResult(
        diff, se, interval.low, interval.high, diff - half, diff + half, diff / base if base else nan, found.pvalue
    )


def alike(found: ArmResult, wanted: ArmResult) -> None:
    assert astuple(found) == pytest.approx(astuple(wanted), rel=1e-6, nan_ok=True)


def test_a_mean_of_thirty_a_side_is_measured_and_of_a_hundred_however_often_one_looks() -> None:
    some, more = (0.0, 1.0, 2.0, 5.0), (1.0, 2.0, 4.0, 5.0)
    for n_control, n_arm in ((30, 30), (60, 39), (60, 40), (400, 100)):
        control, arm = people(n_control, some), people(n_arm, more)
        alike(compare(control, arm), welch(control, arm))
    few = ArmResult()
    alike(compare(people(29, some), people(500, more)), few)
    alike(compare(people(500, some), people(29, more)), few)
    assert isnan(compare(people(60, some), people(39, more)).always_high)
    assert compare(people(60, some), people(40, more)).always_high > 0


def test_an_interval_is_as_wide_as_asked() -> None:
    control, arm = people(100, (0.0, 1.0, 2.0)), people(90, (0.0, 2.0, 5.0, 7.0))
    alike(compare(control, arm, 0.1), welch(control, arm, 0.1))


def by_variances(diff: float, base: float, control: tuple[float, int], arm: tuple[float, int]) -> ArmResult:
    """Welch's test of a difference, from (variance, people) of either side."""
    parts = [variance / n for variance, n in (control, arm)]
    se = sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, (_, n) in zip(parts, (control, arm), strict=True))
    half = stats.t.ppf(0.975, freedom) * se
    n = control[1] + arm[1]
    always = always_valid_half_width(se, n)
    p = 2 * stats.t.sf(abs(diff) / se, freedom)
    return ArmResult(diff, se, diff - half, diff + half, diff - always, diff + always, diff / base if base else nan, p)


def test_a_side_that_does_not_vary_is_measured_as_if_one_more_had_differed_and_two_are_only_told_apart() -> None:
    still, moving = people(50, (2.0,)), people(60, (1.0, 4.0))
    # One below and two above: by the root of 2.5, had one of the fifty differed; the others vary by 2.25 · 60 / 59.
    one_of_fifty, others = (2.5 / 50, 50), (2.25 * 60 / 59, 60)
    alike(compare(still, moving), by_variances(0.5, 2.0, one_of_fifty, others))
    alike(compare(moving, still), by_variances(-0.5, 2.5, others, one_of_fifty))
    alike(compare(still, people(40, (5.0,))), ArmResult(diff=3.0))


def test_that_none_of_a_hundred_did_what_one_of_a_hundred_does_is_no_difference() -> None:
    control, arm = people(900, (1.0, *[0.0] * 99)), people(100, (0.0,))
    found = compare(control, arm)
    assert (found.diff, found.low < 0 < found.high) == (pytest.approx(-0.01), True)
    # One of the hundred would be a variance of .01: the error is √(.01 / 100 + .0099 · 900 / 899 / 900) = .01054.
    assert found.se == pytest.approx(sqrt(1e-4 + 0.0099 / 899))
    # That none of five thousand did what one of fifty does is one.
    many = compare(people(5000, (0.0,)), people(5000, (1.0, *[0.0] * 49)))
    assert (many.diff, many.p < 1e-9) == (pytest.approx(0.02), True)


def test_a_control_of_nothing_has_no_relative_difference() -> None:
    none, some = people(60, (0.0,)), people(60, (0.0, 1.0))
    alike(compare(none, some), by_variances(0.5, 0.0, (1 / 60, 60), (0.25 * 60 / 59, 60)))
    assert isnan(compare(none, some).relative_diff)


def test_a_past_of_both_arms_is_taken_out() -> None:
    # Each of four pasts comes with one more and with one less: the value is twice the past and that.
    past = tuple(float(n) for n in (1, 1, 2, 2, 3, 3, 4, 4))
    value = tuple(2 * before + (-1) ** n for n, before in enumerate(past))
    control = people(80, value, past)
    arm = people(80, tuple(each + 0.5 for each in value), past)
    found = compare(control, arm)
    assert (found.is_cuped, found.diff) == (True, pytest.approx(0.5))
    # What is left varies by one, up and down.
    assert found.se == pytest.approx(sqrt(2 / 79), rel=1e-3)
    assert found.relative_diff == pytest.approx(0.1)
    for one_sided in (compare(people(80, value), arm), compare(control, people(80, value, (1.0,)))):
        assert not one_sided.is_cuped


def ratio(above: tuple[float, ...], below: tuple[float, ...], past: float = 0.0) -> ArmValues:
    """Sixty people of a ratio; a past above nought varies."""
    n = 60
    before = np.resize([past, 2 * past], n)
    return ArmValues(np.resize(above, n), before, np.resize(below, n), before + 1 if past else np.zeros(n))


def test_a_ratio_is_of_sums_and_needs_something_to_divide_by() -> None:
    control, arm = ratio((1.0, 0.0, 2.0), (4.0, 1.0, 5.0)), ratio((2.0, 1.0, 3.0), (4.0, 2.0, 6.0))
    found = compare(control, arm)

    def variance(each: ArmValues) -> float:
        assert each.below is not None
        return float((each.value - each.mean * each.below).var(ddof=1) / each.below.mean() ** 2 / 60)

    assert (control.mean, arm.mean) == (pytest.approx(0.3), pytest.approx(0.5))
    se = sqrt(variance(control) + variance(arm))
    assert (found.diff, found.se, found.relative_diff) == pytest.approx((0.2, se, 2 / 3), rel=1e-6)
    nothing = ratio((1.0, 0.0), (0.0,))
    alike(compare(control, nothing), ArmResult())
    alike(compare(nothing, arm), ArmResult())
    assert isnan(nothing.mean)
    assert isnan(ArmValues(np.array([]), np.array([])).mean)


def test_a_ratio_with_a_past_is_adjusted_for_it() -> None:
    control, arm = ratio((1.0, 3.0), (4.0, 5.0), 1.0), ratio((2.0, 4.0, 5.0), (4.0, 5.0, 6.0), 1.0)
    found = compare(control, arm)
    assert found.is_cuped
    assert found.se < compare(
        ArmValues(control.value, np.zeros(60), control.below, np.zeros(60)),
        ArmValues(arm.value, np.zeros(60), arm.below, np.zeros(60)),
    ).se  # fmt: skip


def test_a_ratio_that_is_all_past_leaves_nothing_to_the_arm() -> None:
    def as_before(rate: float) -> ArmValues:
        below = np.resize([4.0, 5.0, 6.0, 9.0], 60)
        # What people do now is what they did before but for a tenth up and down.
        return ArmValues(below * rate + np.resize([0.1, -0.1], 60), below * rate, below, below)

    found = compare(as_before(0.3), as_before(0.5))
    assert found.is_cuped
    assert found.diff == pytest.approx(0.0, abs=1e-9)


def test_the_past_is_compared_by_welchs_test() -> None:
    control, arm = people(30, (0.0,), (1.0, 2.0)), people(31, (0.0,), (1.0, 2.0, 4.0))
    wanted = float(stats.ttest_ind(arm.before, control.before, equal_var=False).pvalue)
    assert past_p(control, arm) == pytest.approx(wanted)
    assert past_p(people(29, (0.0,), (1.0, 2.0)), arm) is None
    assert past_p(control, people(29, (0.0,), (1.0, 2.0))) is None
    one = people(30, (0.0,), (1.0,))
    assert past_p(one, one) is None
    assert past_p(one, arm) == pytest.approx(float(stats.ttest_1samp(arm.before, 1.0).pvalue))
    assert past_p(arm, one) == pytest.approx(float(stats.ttest_1samp(arm.before, 1.0).pvalue))


def test_discoveries_keep_all_else_of_a_result() -> None:
    found = with_fdr([ArmResult(diff=1.0, p=0.02), ArmResult(diff=2.0, p=nan), ArmResult(diff=3.0, p=0.9)])
    alike(found[0], ArmResult(diff=1.0, p=0.02, p_fdr=0.04))
    alike(found[1], ArmResult(diff=2.0))
    alike(found[2], ArmResult(diff=3.0, p=0.9, p_fdr=0.9))
    assert with_fdr([]) == []


def test_a_sequence_is_tuned_for_so_many_people() -> None:
    rho2 = (-2 * log(0.1) + log(-2 * log(0.1) + 1)) / 1_000
    assert mixture_rho(0.1, 1_000) == pytest.approx(sqrt(rho2))
    wanted = 0.2 * sqrt(50) * sqrt(2 * (50 * rho2 + 1) / (2_500 * rho2) * log(sqrt(50 * rho2 + 1) / 0.1))
    assert always_valid_half_width(0.2, 50, 0.1, 1_000) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("changed", "bad", "is_final", "said"),
    [
        ({}, "down", True, "better"),
        ({}, "up", True, "worse"),
        ({"diff": -1.0}, "down", True, "worse"),
        ({"diff": -1.0}, "up", True, "better"),
        ({"p_fdr": 0.05}, "down", True, "no difference found"),
        ({"low": nan}, "down", True, "no difference found"),
        ({"se": nan}, "down", True, "not measured"),
        ({"se": inf}, "down", False, "not measured"),
        # Before the end only the sequence counts, whatever the test says.
        ({"p_fdr": 0.9}, "down", False, "better"),
        ({"always_low": 0.0}, "down", False, "keep running"),
        ({"always_low": -2.0, "always_high": 0.0}, "down", False, "keep running"),
        ({"always_low": -2.0, "always_high": -0.1, "diff": -1.0}, "down", False, "worse"),
        ({"always_low": nan, "always_high": nan}, "down", False, "keep running"),
    ],
)
def test_a_verdict_at_its_edges(changed: dict[str, float], bad: str, is_final: bool, said: str) -> None:
    usual = {"diff": 1.0, "se": 0.1, "low": 0.5, "high": 1.5, "always_low": 0.1, "always_high": 2.0, "p_fdr": 0.049}
    assert metric_verdict(ArmResult(**(usual | changed)), bad, is_final) == said


@pytest.mark.parametrize(
    ("low", "high", "base", "bad", "said"),
    [
        # A tenth of five is half: less harm than that is accepted.
        (-1.0, 0.49, 5.0, "up", "within margin"),
        (-1.0, 0.5, 5.0, "up", "not shown to be safe"),
        (-1.0, 0.49, -5.0, "up", "within margin"),
        (0.1, 0.5, 5.0, "up", "breached"),
        (0.0, 0.5, 5.0, "up", "not shown to be safe"),
        (-0.49, 1.0, 5.0, "down", "within margin"),
        (-0.5, 1.0, 5.0, "down", "not shown to be safe"),
        (-0.6, -0.1, 5.0, "down", "breached"),
        (-0.6, 0.0, 5.0, "down", "not shown to be safe"),
        (-1.0, 0.4, 0.0, "up", "not measured"),
    ],
)
def test_a_guardrail_at_its_edges(low: float, high: float, base: float, bad: str, said: str) -> None:
    wide = {"always_low": -9.0, "always_high": 9.0}
    final = ArmResult(diff=0.1, se=0.1, low=low, high=high, p_fdr=0.049, **wide)
    assert guardrail_verdict(final, base, bad, 0.1, True) == said
    # Beside other guardrails harm is told by what is left of it among them; that it is none is told as before.
    among = guardrail_verdict(replace(final, p_fdr=0.05), base, bad, 0.1, True)
    assert among == ("not shown to be safe" if said == "breached" else said)
    open_ = ArmResult(diff=0.1, se=0.1, low=-9.0, high=9.0, always_low=low, always_high=high)
    wanted = "keep running" if said == "not shown to be safe" else said
    assert guardrail_verdict(open_, base, bad, 0.1, False) == wanted
    assert guardrail_verdict(ArmResult(diff=0.1, low=low, high=high), base, bad, 0.1, True) == "not measured"


def spoken(metric: str, role: str = "primary", verdict: str = "better", arm: str = "B") -> Spoken:
    result = ArmResult(diff=0.02, low=0.01, high=0.03, always_low=-0.005, always_high=0.045)
    return Spoken(parse_metric_name(metric), arm, role, 0.22, 0.2, result, verdict)


def test_numbers_are_said_to_the_digits_that_tell() -> None:
    assert [level(share, True) for share in (0.01, 0.00994, -0.005, 0.0)] == ["1.0 %", "0.99 %", "-0.50 %", "0.00 %"]
    assert [level(value, False) for value in (999.4, 999.5, 12_345.6)] == ["999", "1,000", "12,346"]
    assert [signed(value, False) for value in (0.0, -2.5, 0.00123)] == ["+0", "−2.50", "+0.0012"]


def test_a_difference_has_the_interval_that_holds() -> None:
    assert difference(spoken("return_7d"), True) == "+2.0 points, +1.0 to +3.0"
    assert difference(spoken("return_7d"), False) == "+2.0 points, −0.50 to +4.5"
    assert difference(spoken("count:look"), True) == "+0.02, +0.01 to +0.03"


def test_only_primary_metrics_and_guardrails_that_fail_are_told() -> None:
    several = [spoken("return_7d", "secondary"), spoken("crash_rate", "guardrail", "within margin")]
    assert final_sentence(several, "A", []) == "Grade A."
    assert final_sentence([spoken("crash_rate", "secondary", "breached")], "B", ["Odd.", "Odder."]) == "Grade B: Odd."
    told = running_sentence([*several, spoken("count:look", verdict="keep running")], 2, 9, None, 0)
    assert told == "Keep running: day 2 of 9; look per person always-valid −0.005 to +0.045."
    assert running_sentence([spoken("count:look", verdict="worse")], 2, 9, None, 0) == (
        "Worse already: day 2 of 9; look per person always-valid −0.005 to +0.045."
    )
