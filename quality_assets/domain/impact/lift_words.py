"""What may be said of a feature's lift, in a sentence; the raw difference never without what stands against it."""

from __future__ import annotations

from math import isfinite

from quality_assets.domain.impact.experiment_words import level, signed
from quality_assets.domain.impact.lift import LEAST_ADOPTERS, LEAST_OTHERS, LEAST_PAST_DAYS, Calibration, Estimate
from quality_assets.domain.wording import count_text, share_text


def _points(low: float, high: float) -> str:
    return f"{signed(low, True)} to {signed(high, True)}"


def too_little_text(adopters: int, past_days: int) -> str:
    """Why a lift is not measured where there is too little to measure it on."""
    if past_days < LEAST_PAST_DAYS:
        return f"Not measured: {past_days} days of past before the first uses, and {LEAST_PAST_DAYS} are needed."
    return f"Not measured: {count_text(adopters)} people took it up, and {LEAST_ADOPTERS} are needed."


def nobody_else_text(others: int) -> str:
    """Why a lift is not measured where hardly anybody is left to compare with."""
    return (
        f"Not measured: there are {count_text(others)} active days of others who had not used it, and {LEAST_OTHERS}"
        " are needed to compare with."
    )


def is_a_step_text(outcome: str) -> str:
    """Why a conversion that using the feature is part of is no outcome of it."""
    return f"Not measured: using it is a step of {outcome.partition(':')[2]}, so that one contains the other."


def not_looked_at_text(most: int) -> str:
    """Why a feature beyond those with most adopters is left."""
    return f"Not measured: only the {most} features with most new users are looked at."


def reason_text(
    verdict: str, found: Estimate, placebo: Estimate, held: Calibration | None, e_value: float, does: str
) -> str:
    """The verdict of an estimate with its numbers; `does` is the outcome as a verb, such as `return`."""
    if verdict == "not measured":
        return (
            f"Not measured: only {share_text(found.overlap)} of those who took it up have similar people beside them."
        )
    if verdict == "not established":
        return _not_established(found, placebo, held, does)
    assert held is not None  # the other verdicts rest on it
    size = f"{signed(held.calibrated, True)} points"
    if verdict == "suggestive (do not quote)":
        lead = f"{signed(placebo.att, True)} points"
        return f"Suggestive, do not quote: {size}, but they were ahead by {lead} the week before they first used it."
    hidden = f" A hidden cause of both would need a risk ratio of {e_value:.1f}." if isfinite(e_value) else ""
    return (
        f"Associated, observational: {size} ({_points(held.low, held.high)}), more than adopting any of"
        f" {held.controls} other features, and more than the same people's lead the week before"
        f" ({signed(placebo.att, True)}).{hidden}"
    )


def _not_established(found: Estimate, placebo: Estimate, held: Calibration | None, does: str) -> str:
    told, other = level(found.adopter_rate, True), level(found.adopter_rate - found.naive, True)
    more = "as often" if told == other else "more" if found.naive > 0 else "less"
    raw = f"People who take it up {does} {more} ({told} against {other})"
    before = ", but so they did before they first used it" if placebo.att > placebo.se and found.naive > 0 else ""
    similar = (
        f"compared with similar people on the same day: {signed(found.att, True)} points"
        f" ({_points(found.att - 1.96 * found.se, found.att + 1.96 * found.se)})"
    )
    if held is None:
        return f"Not established. {raw}{before}; {similar}. Too few other features to hold that against."
    usual = f"; adopting any other of {held.controls} features: {signed(held.mean, True)} points"
    return f"Not established. {raw}{before}; {similar}{usual}."


def experiment_text(experiment: str, diff: float, low: float, high: float) -> str:
    """What an experiment measured, which takes the place of what is only associated."""
    return f"Measured by experiment {experiment}: {signed(diff, True)} points ({_points(low, high)})."
