"""What an arm did to a metric: intervals, p-values and verdicts from what each person did.

Means by Welch's test, ratios by the delta method, both adjusted for the past (CUPED, Deng et al. 2013) by tea-tasting
on aggregates. The fixed interval holds once, at the planned end; before it only the always-valid one does.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, nan

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.impact.sequential import LEAST_PEOPLE, always_valid_half_width
from quality_assets.domain.stats.discoveries import benjamini_hochberg

ALPHA = 0.05
# Fewer people of an arm than this have no normal approximation.
LEAST_IN_ARM = 30


@dataclass(frozen=True)
class ArmValues:
    """What the people of one arm did, one entry a person: `value`, of a ratio also `below`, and both before exposure.

    `open_` people are left out: their window is not over.
    """

    value: Floats
    before: Floats
    below: Floats | None = None
    below_before: Floats | None = None
    open_: int = 0

    @property
    def n(self) -> int:
        """People whose window is over."""
        return len(self.value)

    @property
    def mean(self) -> float:
        """The metric of the arm; NaN where there is nothing to divide by."""
        if self.below is not None:
            below = float(self.below.sum())
            return float(self.value.sum()) / below if below else nan
        return float(self.value.mean()) if self.n else nan


@dataclass(frozen=True)
class ArmResult:
    """Arm less control: estimate, standard error, both intervals, p; all NaN where it cannot be told."""

    diff: float = nan
    se: float = nan
    low: float = nan
    high: float = nan
    always_low: float = nan
    always_high: float = nan
    relative_diff: float = nan
    p: float = nan
    p_fdr: float = nan
    is_cuped: bool = False


def compare(control: ArmValues, arm: ArmValues, alpha: float = ALPHA) -> ArmResult:
    """`arm` against `control`; nothing where either has under 30 people, or nothing varies."""
    if min(control.n, arm.n) < LEAST_IN_ARM:
        return ArmResult()
    is_cuped = bool(_varies(control.before) and _varies(arm.before))
    if not (_varies(control.value) or _varies(arm.value)):
        return ArmResult(diff=arm.mean - control.mean)
    found = _tested(control, arm, is_cuped, alpha)
    if found is None:
        return ArmResult()
    effect, low, high, se, p = found
    half = always_valid_half_width(se, control.n + arm.n, alpha) if control.n + arm.n >= LEAST_PEOPLE else nan
    base = control.mean
    return ArmResult(
        diff=effect,
        se=se,
        low=low,
        high=high,
        always_low=effect - half,
        always_high=effect + half,
        relative_diff=effect / base if base else nan,
        p=p,
        is_cuped=is_cuped,
    )


def _varies(values: Floats) -> bool:
    return bool(len(values)) and bool(values.min() != values.max())


def _tested(
    control: ArmValues, arm: ArmValues, is_cuped: bool, alpha: float
) -> tuple[float, float, float, float, float] | None:
    # What it imports takes a fifth of a second, which only whoever has an experiment pays.
    import tea_tasting as tt  # type: ignore[import-untyped]
    from scipy.stats import norm

    is_ratio = control.below is not None
    if is_ratio and not (_total(control.below) and _total(arm.below)):
        return None
    options = {"confidence_level": 1 - alpha, "equal_var": False, "use_t": True}
    past = ("before", "below_before" if _has_past(control, arm) else None) if is_cuped else (None, None)
    metric = tt.RatioOfMeans("value", "below", *past, **options) if is_ratio else tt.Mean("value", past[0], **options)
    data = {0: _aggregates(control, is_cuped, _unit(control, arm)), 1: _aggregates(arm, is_cuped, _unit(arm, control))}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # A control of nothing has no relative difference; the absolute one is what is asked for.
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            result = metric.analyze(data, 0, 1)
        except ZeroDivisionError:
            return None
        narrow = metric.__class__(*_columns(is_ratio, past), **{**options, "use_t": False}).analyze(data, 0, 1)
    se = (narrow.effect_size_ci_upper - narrow.effect_size_ci_lower) / 2 / float(norm.ppf(1 - alpha / 2))
    effect, low, high = map(float, (result.effect_size, result.effect_size_ci_lower, result.effect_size_ci_upper))
    found = (effect, low, high, float(se), float(result.pvalue))
    return found if all(map(isfinite, found)) else None


def _columns(is_ratio: bool, past: tuple[str | None, str | None]) -> tuple[str | None, ...]:
    return ("value", "below", *past) if is_ratio else ("value", past[0])


def _total(values: Floats | None) -> float:
    return 0.0 if values is None else float(values.sum())


def _has_past(control: ArmValues, arm: ArmValues) -> bool:
    return _total(control.below_before) > 0 and _total(arm.below_before) > 0


def _unit(own: ArmValues, other: ArmValues) -> float:
    """By how much one more person would differ, where all of an arm are alike; 0 where they differ by themselves.

    That nobody of a hundred did what one in a hundred does says little: an arm's variance is not taken to be none.
    """
    if _varies(own.value):
        return 0.0
    off = other.value - own.value[0]
    return float(np.sqrt((off[off != 0] ** 2).mean())) if (off != 0).any() else 0.0


def _aggregates(arm: ArmValues, is_cuped: bool, unit: float) -> object:
    from tea_tasting.aggr import Aggregates  # type: ignore[import-untyped]

    columns = {"value": arm.value, "below": arm.below}
    if is_cuped:
        columns |= {"before": arm.before, "below_before": arm.below_before}
    known = {name: values for name, values in columns.items() if values is not None}
    names = sorted(known)
    covariance = np.atleast_2d(np.cov(np.vstack([known[name] for name in names])))
    # As if one person had differed.
    covariance[names.index("value"), names.index("value")] += unit**2 / arm.n
    return Aggregates(
        arm.n,
        {name: float(known[name].mean()) for name in names},
        {name: float(covariance[i, i]) for i, name in enumerate(names)},
        {
            (left, right): float(covariance[i, j])
            for i, left in enumerate(names)
            for j, right in enumerate(names)
            if i < j
        },
    )


def past_p(control: ArmValues, arm: ArmValues) -> float | None:
    """The p of a difference before exposure; None where nobody has a past."""
    if min(control.n, arm.n) < LEAST_IN_ARM or not (_varies(control.before) or _varies(arm.before)):
        return None
    from scipy.stats import ttest_ind_from_stats

    # Of the values themselves scipy warns where one arm has no past.
    past = [(each.before.mean(), each.before.std(ddof=1), each.n) for each in (arm, control)]
    return float(ttest_ind_from_stats(*past[0], *past[1], equal_var=False).pvalue)


def with_fdr(results: Sequence[ArmResult]) -> list[ArmResult]:
    """The results of one role with false discoveries controlled among them (Benjamini & Hochberg)."""
    adjusted = benjamini_hochberg([result.p for result in results])
    return [replace(result, p_fdr=float(q)) for result, q in zip(results, adjusted, strict=True)]


def metric_verdict(result: ArmResult, bad_direction: str, is_final: bool) -> str:
    """`better`, `worse`, `no difference found`, before the end `keep running`, or `not measured`."""
    if not isfinite(result.se):
        return "not measured"
    low, high = (result.low, result.high) if is_final else (result.always_low, result.always_high)
    is_told = result.p_fdr < ALPHA if is_final else not low <= 0 <= high
    if not is_told or not isfinite(low):
        return "no difference found" if is_final else "keep running"
    is_up = result.diff > 0
    return "worse" if is_up == (bad_direction == "up") else "better"


def guardrail_verdict(result: ArmResult, base: float, bad_direction: str, margin: float, is_final: bool) -> str:
    """Non-inferiority: `within margin` once harm beyond it is excluded, `breached` once harm is shown, else unknown.

    At the end harm is shown beside all other guardrails: of four that nothing has touched one would be breached in ten.
    """
    if not isfinite(result.se) or not base:
        return "not measured"
    low, high = (result.low, result.high) if is_final else (result.always_low, result.always_high)
    sign = 1 if bad_direction == "up" else -1
    least, most = sorted((sign * low, sign * high))
    if most < margin * abs(base):
        return "within margin"
    if least > 0 and (result.p_fdr < ALPHA or not is_final):
        return "breached"
    return "not shown to be safe" if is_final else "keep running"
