"""What meeting a crash is associated with in return, and when that may be said: against similar people, with a placebo.

Estimated like lift (`lift.py`), the first crash in the place of the first use. Who does more meets more crashes: events
take the place of sessions among what is adjusted for, those of the day itself included.
"""

from __future__ import annotations

from math import hypot

from quality_assets.domain.impact.experiment_words import level, signed
from quality_assets.domain.impact.lift import LEAST_ADOPTERS, LEAST_OTHERS, LEAST_OVERLAP, LEAST_PAST_DAYS, Estimate
from quality_assets.domain.stats.intervals import Z_95
from quality_assets.domain.wording import count_text, share_text


def crash_verdict(found: Estimate, placebo: Estimate) -> str:
    """`not measured` where few have like others; `associated (observational)` where those who met a crash return less
    than similar people, and by more than they already did before it, each beyond chance; else `not established`."""
    if found.overlap < LEAST_OVERLAP:
        return "not measured"
    is_less = found.interval[1] < 0
    is_less_than_before = found.att - placebo.att + Z_95 * hypot(found.se, placebo.se) < 0
    return "associated (observational)" if is_less and is_less_than_before else "not established"


def too_few_text(exposed: int, past_days: int) -> str:
    """Why what crashes cost is not measured where there is too little to measure it on."""
    if past_days < LEAST_PAST_DAYS:
        return f"Not measured: {past_days} days of past before the first crashes, and {LEAST_PAST_DAYS} are needed."
    return f"Not measured: {count_text(exposed)} people met a crash, and {LEAST_ADOPTERS} are needed."


def nobody_else_text(others: int) -> str:
    """Why what crashes cost is not measured where hardly anybody met none."""
    return (
        f"Not measured: there are {count_text(others)} active days of others who had met no crash, and {LEAST_OTHERS}"
        " are needed to compare with."
    )


def crash_text(verdict: str, found: Estimate, placebo: Estimate, crashed: int) -> str:
    """The verdict with its numbers; `crashed` people met a crash on the last day."""
    if verdict == "not measured":
        return (
            f"Not measured: only {share_text(found.overlap)} of those who met a crash have similar people beside them."
        )
    low, high = found.interval
    interval = f"{signed(low, True)} to {signed(high, True)}"
    rates = (
        f"{level(found.adopter_rate, True)} of those who met a crash came back within 7 days,"
        f" {level(found.adopter_rate - found.att, True)} of similar people on the same days"
        f" ({signed(found.att, True)} points, {interval})"
    )
    before = f"the week before the crash: {signed(placebo.att, True)}"
    if verdict == "not established":
        return f"Not established: {rates}; {before}."
    lost = lost_people(found, crashed)
    return (
        f"Associated, observational: {rates}; {before}. Of {count_text(crashed)} people who met one on the last day,"
        f" about {count_text(round(lost))} stay away for it."
    )


def lost_people(found: Estimate, crashed: int) -> float:
    """Of `crashed` people, how many more stay away than would have."""
    return max(0.0, -found.att) * crashed
