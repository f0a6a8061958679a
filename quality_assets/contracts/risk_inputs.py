"""The inputs of the risk models, each defined once: name, unit, meaning, and how a reason built on it is worded.

Add an input here and compute it in `risk_inputs`; training set, models, contracts and reasons follow. No computation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

RISK = "feature_risk"
"""The use case whose inputs these are, by its name."""

SIGNALS = ("latency", "crash", "error", "feedback", "volume")
SIGNAL_WORDS = {
    "latency": "latency p95",
    "crash": "crash rate",
    "error": "error rate",
    "feedback": "feedback",
    "volume": "events",
}


@dataclass(frozen=True)
class RiskInput:
    """One input. `words` is a format string over `value`, for flags `yes|no`.

    `is_optional` inputs are null where their source is absent. `low` and `high` clip the value for models that
    extrapolate. Candidates learn only from inputs with `is_learnt`. `undo` gives what a reader knows of a value that
    models see as a logarithm.
    """

    name: str
    unit: str
    description: str
    words: str
    is_optional: bool = False
    low: float = -1e9
    high: float = 1e9
    undo: Callable[[float], float] | None = None

    @property
    def is_learnt(self) -> bool:
        """Whether candidates may learn from it."""
        return self.name in _LEARNT

    def phrase(self, value: float) -> str:
        """The reason in words; "unknown" where the value is null."""
        if value != value:
            return f"{self.description[0].lower()}{self.description[1:]}: unknown"
        if "|" in self.words:
            yes, no = self.words.split("|")
            return yes if value > 0.5 else no
        told = self.words.format(value=self.undo(value) if self.undo else value)
        told = re.sub(r"(off by )?[+-]0\.0 times its usual swing", "as usual", told)
        told = re.sub(r"\b1 (day|signal|degradation|release)s\b", r"1 \1", told)
        if self.unit == "days" and value >= self.high:
            # It is counted so far and no further: what goes on for months says so elsewhere.
            told = told.replace(" days", " days or more", 1)
        return re.sub(r"-(?=\d)", "−", told).replace("%", " %")


_LEARNT = frozenset({
    "worst_ewma_z", "worst_two_weeks_z", "worst_drift_share", "worst_spike_share", "worst_slope_z", "is_degraded",
    "is_open", "open_z", "open_days", "open_calm_days", "degraded_days_7d", "degraded_days_28d", "budget_burn",
    "days_since_release", "releases_14d", "newest_version_share",
})  # fmt: skip
"""The rest is kept for drift, reasons and readers, but costs the models skill: with some dozens of features, whatever
changes slowly names the feature, so that its own past degradations are learnt by heart; and a column for each signal
divides among them the few degradations there are, where the worst of the signals learns from all."""

LINEAR_INPUTS = ("worst_ewma_z", "worst_two_weeks_z", "open_z")
"""What the logistic regression learns from: how far off lately, over two weeks, and today where a degradation is open.

With a handful of degradations each further weight is one of chance: on eight simulated products these three gave more
skill, ranking and calibration than all that trees learn from."""


def _signal_inputs(signal: str) -> tuple[RiskInput, ...]:
    what = SIGNAL_WORDS[signal]
    return (
        RiskInput(
            f"{signal}_change",
            "fraction",
            f"{what} against its expected value, worse is positive, mean of the last 3 days"
            + (" (in points of score)" if signal == "feedback" else ""),
            f"{what} {{value:+.2f}} points worse than usual over 3 days"
            if signal == "feedback"
            else f"{what} {{value:+.0%}} on the bad side of usual over 3 days",
            low=-2,
            high=4,
        ),
        RiskInput(
            f"{signal}_z",
            "sd",
            f"{what} today against its expected value in units of its own noise, worse is positive",
            f"{what} today off by {{value:+.1f}} times its usual swing",
            low=-10,
            high=10,
        ),
        RiskInput(
            f"{signal}_ewma_z",
            "sd",
            f"Exponentially weighted mean of {signal}_z (weight 0.3), standardised",
            f"{what} drift{'' if signal == 'volume' else 's'}: over recent days {{value:+.1f}} times its usual swing",
            low=-15,
            high=15,
        ),
        RiskInput(
            f"{signal}_slope_z",
            "sd",
            f"Least-squares slope of {signal}_z over 14 days, standardised",
            f"{what} trend over two weeks {{value:+.1f}} times its usual swing",
            low=-15,
            high=15,
        ),
    )


INPUTS: tuple[RiskInput, ...] = (
    *(item for signal in SIGNALS for item in _signal_inputs(signal)),
    RiskInput("is_degraded", "0/1", "Degraded today", "degraded today|not degraded today"),
    RiskInput("degraded_signals", "count", "Signals degraded today", "{value:.0f} signals degraded today"),
    RiskInput(
        "days_in_state",
        "days",
        "Days since it last went into or out of degradation, at most 60",
        "in its present state for {value:.0f} days",
        high=60,
    ),
    RiskInput("degraded_days_7d", "days", "Degraded days in the last 7", "{value:.0f} of the last 7 days degraded"),
    RiskInput("degraded_days_28d", "days", "Degraded days in the last 28", "{value:.0f} of the last 28 days degraded"),
    RiskInput(
        "onsets_90d",
        "count",
        "Degradations that began in the last 90 days",
        "{value:.0f} degradations began in 90 days",
    ),
    RiskInput(
        "own_degraded_share",
        "fraction",
        "Share of its known days so far that were degraded, shrunk towards that of all features",
        "degraded on {value:.0%} of its days so far",
        low=0,
        high=1,
    ),
    RiskInput(
        "worst_ewma_z",
        "sd",
        "The largest of the drifts",
        "worst metric lately off by {value:+.1f} times its usual swing",
        low=-5,
        high=15,
    ),
    RiskInput(
        "second_ewma_z",
        "sd",
        "The second largest of the drifts",
        "second-worst metric lately off by {value:+.1f} times its usual swing",
        low=-5,
        high=10,
    ),
    RiskInput(
        "worst_slope_z",
        "sd",
        "The steepest of the two-week trends",
        "steepest two-week trend {value:+.1f} times its usual swing",
        low=-5,
        high=10,
    ),
    RiskInput(
        "worst_two_weeks_z",
        "sd",
        "The largest of the signals' deviations taken together over 14 days, standardised",
        "worst metric over two weeks off by {value:+.1f} times its usual swing",
        low=-5,
        high=15,
    ),
    RiskInput(
        "worst_drift_share",
        "fraction",
        "How far the nearest signal has drifted towards degradation, 1 = as far as counts, in strength and in size",
        "the nearest signal has drifted {value:.0%} of the way to degraded",
        low=-2,
        high=4,
    ),
    RiskInput(
        "worst_spike_share",
        "fraction",
        "How near today alone is to degradation, 1 = as bad as counts, in strength and in size",
        "today alone is {value:.0%} of the way to degraded",
        low=-2,
        high=4,
    ),
    RiskInput(
        "worst_run_days",
        "days",
        "Longest run of days, until today, on which a signal was above half its usual swing",
        "worse than usual {value:.0f} days in a row",
        high=28,
    ),
    RiskInput(
        "open_z",
        "sd",
        "Today's deviation of the worst signal that is in a degraded episode, 0 where none is",
        "the degraded signal is off by {value:+.1f} times its usual swing today",
        low=-3,
        high=10,
    ),
    RiskInput(
        "open_days",
        "days",
        "Age of the longest open episode of a signal, 0 where none is open",
        "degraded for {value:.0f} days so far",
        high=28,
    ),
    RiskInput(
        "open_calm_days",
        "days",
        "Calm days in a row of the least calm signal that is degraded, 0 where none is",
        "calm for {value:.0f} days, not yet recovered",
        high=3,
    ),
    RiskInput("is_open", "0/1", "Inside an episode or a breach", "not yet recovered|not in an episode"),
    RiskInput(
        "budget_burn",
        "log ratio",
        "Error budget of four weeks used by the signal that used most, 1 + its burn rate as a logarithm",
        "error budget used {value:.1f} times as fast as it may be",
        low=0,
        high=5,
        undo=math.expm1,
    ),
    RiskInput(
        "log_events",
        "log10 events",
        "Mean events a day over 28 days",
        "about {value:,.0f} events a day",
        undo=lambda logarithm: 10**logarithm - 1,
    ),
    RiskInput(
        "events_trend",
        "log ratio",
        "Events of the last 7 days against the 28 days before",
        "{value:.1f} times the events a week of the month before",
        low=-3,
        high=3,
        undo=math.exp,
    ),
    RiskInput(
        "peers_degraded_share",
        "fraction",
        "Share of the other features that are degraded today",
        "{value:.0%} of other features degraded today",
        low=0,
        high=1,
    ),
    RiskInput(
        "peers_worst_share",
        "fraction",
        "Share of the other features with a drift above twice their usual swing today",
        "{value:.0%} of other features drifting today",
        low=0,
        high=1,
    ),
    RiskInput("is_weekend", "0/1", "Saturday or Sunday", "a weekend day|a working day"),
    RiskInput("age_days", "days", "Days since first seen, at most 365", "seen for {value:.0f} days", high=365),
    RiskInput(
        "silent_days", "days", "Days in a row without events, until today", "silent for {value:.0f} days", high=28
    ),
    RiskInput(
        "active_days_28d", "days", "Days with events in the last 28", "events on {value:.0f} of the last 28 days"
    ),
    RiskInput(
        "days_since_release",
        "days",
        "Days since a version first shipped, at most 60",
        "{value:.0f} days since the last release",
        is_optional=True,
        high=60,
    ),
    RiskInput(
        "releases_14d",
        "count",
        "Versions first shipped in the last 14 days",
        "{value:.0f} releases in 14 days",
        is_optional=True,
        high=14,
    ),
    RiskInput(
        "newest_version_share",
        "fraction",
        "Share of all the day's events, of every feature, on a version that shipped in the last 14 days",
        "{value:.0%} of all events on a version younger than two weeks",
        is_optional=True,
        low=0,
        high=1,
    ),
    RiskInput(
        "top_platform_share",
        "fraction",
        "Share of the feature's events of the day on its most used platform",
        "{value:.0%} of events on one platform",
        is_optional=True,
        low=0,
        high=1,
    ),
    RiskInput(
        "is_early_stage", "0/1", "Lifecycle experimental or beta", "experimental or beta|past beta", is_optional=True
    ),
    RiskInput("is_deprecated", "0/1", "Lifecycle deprecated", "deprecated|not deprecated", is_optional=True),
    RiskInput("tier", "1-3", "Criticality, 1 is most critical", "tier {value:.0f}", is_optional=True, low=1, high=3),
    RiskInput(
        "quarantined_share",
        "fraction",
        "Share of the day's rows that were quarantined, mean of 7 days",
        "{value:.1%} of rows quarantined over 7 days",
        is_optional=True,
        low=0,
        high=1,
    ),
)

INPUT_NAMES: tuple[str, ...] = tuple(item.name for item in INPUTS)
INPUTS_BY_NAME = {item.name: item for item in INPUTS}
