"""Daily facts drawn directly, with labelled incidents: seconds for thousands of features, for tests and benchmarks.

The frame is shaped like `product.fact_feature_metrics`. Raw events, dirt and files come from the event-level
simulator instead; kinds, frequency and strength of incidents follow it, so that figures agree in kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quality_assets.domain.arrays import Floats

KINDS = (
    "latency_creep",
    "release_regression",
    "crash_spike",
    "feedback_drop",
    "volume_loss",
    "dead_event",
    "error_burst",
)
_SIGNAL_OF = {
    "latency_creep": "latency",
    "release_regression": "latency",
    "crash_spike": "crash",
    "feedback_drop": "feedback",
    "volume_loss": "volume",
    "dead_event": "volume",
    "error_burst": "error",
}
_PLATFORM_SHARE = 0.4
_ADOPTION_DAYS = 5.5
_RELEASE_EVERY_DAYS = 14
_FEEDBACK_SD = 1.1
_EVENTS_PER_USER = 3.0
_EVENTS_PER_SESSION = 2.2


@dataclass(frozen=True)
class DailyPlan:
    """What to draw. The same plan gives the same frame.

    features, days: size of the grid. events_per_feature_day: median over features (they spread log-normally).
    incidents_per_feature_quarter: mean number per feature and 91 days, 0 = none. frailty: 0 = all features equally
    prone, 1 = the spread of an exponential distribution. noise: factor on all day-to-day noise.
    healthy_days_at_start: no incident begins before. kinds: which kinds are drawn.
    """

    features: int
    days: int
    seed: int
    start_date: date = date(2026, 1, 1)
    events_per_feature_day: float = 2000.0
    incidents_per_feature_quarter: float = 1.0
    frailty: float = 0.0
    noise: float = 1.0
    healthy_days_at_start: int = 14
    kinds: tuple[str, ...] = KINDS

    def __post_init__(self) -> None:
        if self.features < 1 or self.days < 1:
            raise ValueError(f"features and days must be positive, not {self.features} and {self.days}")
        if set(self.kinds) - set(KINDS):
            raise ValueError(f"unknown kinds {sorted(set(self.kinds) - set(KINDS))}; known: {KINDS}")


@dataclass(frozen=True)
class DailyFacts:
    """`facts`: rows shaped as product.fact_feature_metrics, none on days without events. `incidents`: the truth
    (feature, kind, signal, start_date, end_date inclusive, size). `releases`: app_version, platform, release_date."""

    facts: pd.DataFrame
    incidents: pd.DataFrame
    releases: pd.DataFrame


@dataclass(frozen=True)
class _Effects:
    """Multipliers (latency, crash, volume) and additions (error share, feedback points), each F x D."""

    latency: Floats
    crash: Floats
    error: Floats
    feedback: Floats
    volume: Floats


def simulate_daily_facts(plan: DailyPlan) -> DailyFacts:
    """Draw the facts of a plan: at most features x days rows, one incident row per fault."""
    rng = np.random.default_rng(plan.seed)
    release_days = np.arange(5, plan.days, _RELEASE_EVERY_DAYS) + rng.integers(
        -2, 3, len(range(5, plan.days, _RELEASE_EVERY_DAYS))
    )
    incidents = _draw_incidents(plan, release_days, rng)
    facts = _facts_frame(plan, _effects(plan, incidents), rng)
    return DailyFacts(facts, _incident_frame(plan, incidents), _release_frame(plan, release_days))


def _draw_incidents(plan: DailyPlan, release_days: NDArray[np.int64], rng: np.random.Generator) -> pd.DataFrame:
    count = round(plan.features * plan.days / 91 * plan.incidents_per_feature_quarter)
    proneness = (1 - plan.frailty) + plan.frailty * rng.exponential(size=plan.features)
    drawn = pd.DataFrame(
        {
            "feature": rng.choice(plan.features, count, p=proneness / proneness.sum()),
            "kind": np.resize(np.array(plan.kinds, dtype=object), count)[rng.permutation(count)],
            "start": rng.integers(min(plan.healthy_days_at_start, plan.days - 1), plan.days, count),
        }
    )
    kind = drawn["kind"].to_numpy()
    regression = kind == "release_regression"
    if regression.any() and len(release_days):
        nearest = np.minimum(np.searchsorted(release_days, drawn["start"]), len(release_days) - 1)
        drawn["start"] = np.where(regression, release_days[nearest], drawn["start"])
    drawn["ramp"] = np.where(kind == "latency_creep", rng.integers(10, 21, count), 0)
    shortest = {
        "latency_creep": 3, "release_regression": 8, "crash_spike": 2, "feedback_drop": 7, "volume_loss": 2,
        "dead_event": 2, "error_burst": 1,
    }  # fmt: skip
    longest = {
        "latency_creep": 10, "release_regression": 18, "crash_spike": 8, "feedback_drop": 21, "volume_loss": 7,
        "dead_event": 9, "error_burst": 3,
    }  # fmt: skip
    low, high = drawn["kind"].map(shortest).to_numpy(int), drawn["kind"].map(longest).to_numpy(int)
    drawn["end"] = drawn["start"] + drawn["ramp"] + rng.integers(low, high + 1) - 1
    bounds = {
        "latency_creep": (0.3, 1.0), "release_regression": (0.4, 1.2), "crash_spike": (3, 10),
        "feedback_drop": (0.4, 1.2), "volume_loss": (0.3, 0.8), "dead_event": (1, 1), "error_burst": (0.06, 0.3),
    }  # fmt: skip
    ends = np.array([bounds[k] for k in kind], dtype=float).reshape(count, 2)
    drawn["size"] = rng.uniform(ends[:, 0], ends[:, 1])
    drawn["is_whole"] = rng.random(count) < np.where(kind == "dead_event", 0.4, 0.7)
    drawn = drawn.sort_values(["feature", "start"], kind="stable")
    previous_end = drawn.groupby("feature")["end"].shift().groupby(drawn["feature"]).cummax()
    return drawn[~(drawn["start"] <= previous_end + 7)].sort_values("start", kind="stable").reset_index(drop=True)


def _effects(plan: DailyPlan, incidents: pd.DataFrame) -> _Effects:
    shape = (plan.features, plan.days)
    effects = _Effects(np.ones(shape), np.ones(shape), np.zeros(shape), np.zeros(shape), np.ones(shape))
    columns = (incidents[name].tolist() for name in ("feature", "kind", "start", "end", "size", "is_whole", "ramp"))
    for feature, kind, start, end, size, is_whole, ramp in zip(*columns, strict=True):
        last = min(end + 1, plan.days)
        days = np.arange(start, last)
        window = (feature, slice(start, last))
        _apply(effects, kind, size, is_whole, ramp, days - start, window)
    return effects


def _apply(
    effects: _Effects,
    kind: str,
    size: float,
    is_whole: bool,
    ramp: int,
    age: NDArray[np.int64],
    window: tuple[int, slice],
) -> None:
    if kind == "latency_creep":
        effects.latency[window] *= 1 + size * np.minimum(1, (age + 1) / ramp)
    elif kind == "release_regression":
        # The slice grows as users update; p95 feels a slow slice before it is the majority.
        adopted = 1 - np.exp(-(age + 1) / _ADOPTION_DAYS)
        effects.latency[window] *= 1 + size * np.minimum(1, 1.8 * _PLATFORM_SHARE * adopted)
    elif kind == "crash_spike":
        effects.crash[window] *= 1 + size * (_PLATFORM_SHARE if is_whole else _PLATFORM_SHARE / 2)
    elif kind == "feedback_drop":
        effects.feedback[window] -= size
    elif kind == "error_burst":
        effects.error[window] += size
    else:
        share = 1.0 if is_whole else 0.3
        effects.volume[window] *= 1 - size * share


def _facts_frame(plan: DailyPlan, effects: _Effects, rng: np.random.Generator) -> pd.DataFrame:
    n, days = plan.features, plan.days
    shape = (n, days)
    weekday = (np.arange(days) + plan.start_date.weekday()) % 7

    def noise(sd: Floats | float) -> Floats:
        return np.exp(plan.noise * np.asarray(sd) * rng.standard_normal(shape))

    day_sd = rng.uniform(0.02, 0.05, (n, 1))
    weekend = rng.choice([0.55, 1.6, 0.97], (n, 1), p=(0.3, 0.25, 0.45)) * rng.uniform(0.9, 1.1, (n, 1))
    season = np.where(weekday >= 5, weekend, 1.0) * rng.uniform(0.97, 1.03, (n, 7))[:, weekday]
    trend = np.exp(rng.normal(0.0004, 0.0006, (n, 1)) * np.arange(days))
    level = plan.events_per_feature_day * rng.lognormal(0, 1.0, (n, 1))
    events = rng.poisson(level * season * trend * noise(day_sd) * effects.volume)
    present = np.maximum(events, 1)
    sampling = 1.2 / np.sqrt(present)
    p50 = rng.lognormal(np.log(240), 0.55, (n, 1)) * noise(day_sd) * noise(sampling / 1.5)
    p95 = p50 * np.exp(1.645 * rng.uniform(0.45, 0.7, (n, 1))) * noise(sampling) * effects.latency
    crash_rate = rng.lognormal(np.log(0.004), 0.5, (n, 1)) * noise(0.12) * effects.crash
    crashes = rng.binomial(events, np.clip(crash_rate, 0, 0.5))
    error_rate = rng.lognormal(np.log(0.015), 0.5, (n, 1)) * noise(0.10) + effects.error
    errors = rng.binomial(events - crashes, np.clip(error_rate, 0, 0.5))
    feedback_count = rng.binomial(events, rng.uniform(0.02, 0.05, (n, 1)))
    feedback_mean = rng.uniform(3.7, 4.6, (n, 1)) + 0.03 * plan.noise * rng.standard_normal(shape) + effects.feedback
    feedback_sum = feedback_count * feedback_mean + _FEEDBACK_SD * np.sqrt(feedback_count) * rng.standard_normal(shape)
    users = np.minimum(events, np.ceil(events / _EVENTS_PER_USER)).astype(np.int64)
    sessions = np.minimum(events, np.ceil(events / _EVENTS_PER_SESSION)).astype(np.int64)
    columns = {
        "events": events,
        "users": users,
        "sessions": sessions,
        "errors": errors,
        "crashes": crashes,
        "crashed_users": np.minimum(crashes, users),
        "crashed_sessions": np.minimum(crashes, sessions),
        "latency_count": events,
        "latency_p50_ms": p50,
        "latency_p95_ms": p95,
        "feedback_count": feedback_count,
        "feedback_sum": np.where(feedback_count > 0, np.clip(feedback_sum, feedback_count, 5 * feedback_count), np.nan),
    }
    frame = pd.DataFrame({name: values.ravel(order="F") for name, values in columns.items()})
    frame.insert(0, "event_date", np.repeat(_dates(plan), n))
    frame.insert(1, "feature", np.tile(_feature_names(n), days))
    frame["error_rate"] = frame["errors"] / frame["events"].where(frame["events"] > 0)
    frame["crash_rate"] = frame["crashes"] / frame["events"].where(frame["events"] > 0)
    frame["feedback_mean"] = frame["feedback_sum"] / frame["feedback_count"].where(frame["feedback_count"] > 0)
    return frame[frame["events"] > 0].reset_index(drop=True)


def _dates(plan: DailyPlan) -> NDArray[np.datetime64]:
    return np.datetime64(plan.start_date, "D") + np.arange(plan.days)


def _feature_names(count: int) -> NDArray[np.object_]:
    return np.array([f"feature_{index:04d}" for index in range(count)], dtype=object)


def _incident_frame(plan: DailyPlan, incidents: pd.DataFrame) -> pd.DataFrame:
    start = np.datetime64(plan.start_date, "D")
    return pd.DataFrame(
        {
            "feature": _feature_names(plan.features)[incidents["feature"].to_numpy(int)],
            "kind": incidents["kind"],
            "signal": incidents["kind"].map(_SIGNAL_OF),
            "start_date": start + incidents["start"].to_numpy(int),
            "end_date": start + incidents["end"].to_numpy(int),
            "size": incidents["size"],
        }
    )


def _release_frame(plan: DailyPlan, release_days: NDArray[np.int64]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "app_version": [f"{number}.0" for number in range(1, len(release_days) + 1)],
            "platform": "all",
            "release_date": np.datetime64(plan.start_date, "D") + release_days,
        }
    )
