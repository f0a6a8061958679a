"""What state a feature, a check or an asset is in, in one word. Pure: rows in, status out; looks belong elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from quality_assets.read.reader import Row

AT_RISK = 0.5
WATCH = 0.25
ATTENTION_METRICS = ("latency_p95_ms", "crash_rate", "error_rate", "feedback_mean")


class Status(StrEnum):
    """The state of a product feature, worst first."""

    CRITICAL = "critical"
    DEGRADED = "degraded"
    AT_RISK = "at_risk"
    WATCH = "watch"
    HEALTHY = "healthy"
    UNKNOWN = "unknown"


class CheckState(StrEnum):
    """The state of a check, or of the checks of an asset, worst first."""

    FAILING = "failing"
    WARNING = "warning"
    UNKNOWN = "unknown"
    PASSING = "passing"


_BY_WORST = {3: CheckState.FAILING, 2: CheckState.WARNING, 1: CheckState.UNKNOWN, 0: CheckState.PASSING}


def feature_status(incidents: Sequence[Row], risk: Row | None, current: Mapping[str, Row]) -> Status:
    """A feature's state: what is detected comes before what is predicted, and both before what is merely unusual."""
    probability = risk["risk_probability"] if risk else None
    if any(incident["severity"] in ("critical", "high") for incident in incidents):
        return Status.CRITICAL
    if incidents or (risk and risk["is_degraded_today"]):
        return Status.DEGRADED
    if probability is not None and probability >= AT_RISK:
        return Status.AT_RISK
    flags = [current[name]["is_worse"] for name in ATTENTION_METRICS if name in current]
    if any(flags) or (probability is not None and probability >= WATCH):
        return Status.WATCH
    has_verdict = probability is not None or any(flag is not None for flag in flags)
    return Status.HEALTHY if has_verdict else Status.UNKNOWN


def risk_status(probability: float | None) -> Status:
    """The band of a probability on the risk gauge."""
    if probability is None:
        return Status.UNKNOWN
    return Status.AT_RISK if probability >= AT_RISK else Status.WATCH if probability >= WATCH else Status.HEALTHY


def check_state(row: Row) -> CheckState:
    """The state of one check result."""
    if row["status"] == "failed":
        return CheckState.FAILING if row["severity"] == "ERROR" else CheckState.WARNING
    return CheckState.PASSING if row["status"] == "passed" else CheckState.UNKNOWN


def state_of_worst(worst: int | None) -> CheckState:
    """The state behind the number that queries give for the worst result of a group; None is unknown."""
    return CheckState.UNKNOWN if worst is None else _BY_WORST[worst]


def worst(states: Iterable[CheckState]) -> CheckState:
    """The worst of several states; unknown where there are none."""
    order = list(CheckState)
    return min(states, key=order.index, default=CheckState.UNKNOWN)
