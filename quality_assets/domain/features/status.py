"""What state a product feature is in, in one word, and from which risk on: rows in, verdict out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from quality_assets.contracts.incidents import INCIDENT_SEVERITIES
from quality_assets.contracts.states import FEATURE_STATES
from quality_assets.domain.features.attention import MINIMUM_RISK, users_hit
from quality_assets.domain.series.panel import MONITORED_METRICS

Row = Mapping[str, Any]

# A coin says as much below the first; from the second on a score is worth watching. Both are inclusive.
AT_RISK = 0.5
WATCH = MINIMUM_RISK
SEVERE = ("critical", "high")
ATTENTION_METRICS = ("latency_p95_ms", "crash_rate", "error_rate", "feedback_mean")
# A total over all features moves by so much from week to week with nothing behind it.
_NOTABLE_CHANGE = 0.03


class Status(StrEnum):
    """The state of a product feature, worst first."""

    CRITICAL = "critical"
    DEGRADED = "degraded"
    AT_RISK = "at_risk"
    WATCH = "watch"
    HEALTHY = "healthy"
    UNKNOWN = "unknown"


class Outlook(StrEnum):
    """What a score says of a feature that is degraded already."""

    LASTS = "lasts"
    UNDECIDED = "undecided"
    PASSES = "passes"
    UNKNOWN = "unknown"


NOTHING_JUDGED = (
    "Whether anything is degraded is not known yet: no feature has a past that its last day is held against."
)
"""What is said where nothing is: unknown is not well."""

STATUS_ORDER: Mapping[str, int] = {status.value: order for order, status in enumerate(Status)}


def feature_status(incidents: Sequence[Row], risk: Row | None, current: Mapping[str, Row]) -> Status:
    """A feature's state: what is detected comes before what is predicted, and both before what is merely unusual.

    It is critical where an incident is: its alert says the same word.
    """
    probability = risk["risk_probability"] if risk else None
    if any(incident["severity"] == INCIDENT_SEVERITIES[-1] for incident in incidents):
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


def is_worse_sql(trend: str, state: str) -> str:
    """SQL for whether a metric is worse on a day, over aliases of a row of product.feature_daily_trends and of its row
    of product.feature_states.

    The state says it, so that no page calls worse what is no incident and counts for no label; nor is what does not
    count by feature_metadata.csv. The band of the trend speaks where there is no state of that day yet.
    """
    watched = ", ".join(f"'{name}'" for name in MONITORED_METRICS)
    return (
        f"case when {state}.state is null then {trend}.is_worse when {state}.state = 'unknown' then null"
        f" else {state}.state in ('worse', 'breached')"
        f" and ({state}.is_counted or {trend}.metric not in ({watched})) end"
    )


def state_join_sql(trend: str, state: str) -> str:
    """SQL that joins the state of the whole feature to each row of product.feature_daily_trends; null where none is."""
    same = " and ".join(f"{state}.{name} = {trend}.{name}" for name in ("event_date", "feature", "metric"))
    return (
        f"left join {FEATURE_STATES.qualified_name} as {state}"
        f" on {same} and {state}.event_name = '' and {state}.platform = ''"
    )


def risk_status(probability: float | None) -> Status:
    """The band that a probability lies in."""
    if probability is None:
        return Status.UNKNOWN
    return Status.AT_RISK if probability >= AT_RISK else Status.WATCH if probability >= WATCH else Status.HEALTHY


def risk_bands() -> list[tuple[Status, float, float]]:
    """The bands of risk from the least, each with its lower and upper end."""
    return [(Status.HEALTHY, 0.0, WATCH), (Status.WATCH, WATCH, AT_RISK), (Status.AT_RISK, AT_RISK, 1.0)]


def outlook(probability: float | None, was_right: float | None = None) -> Outlook:
    """Whether what is degraded already is expected to last; undecided between the bands.

    That it passes is said only where that was right of `RIGHT_SHARE` of the degraded days on which it could be said.
    """
    by_status = {Status.AT_RISK: Outlook.LASTS, Status.WATCH: Outlook.UNDECIDED, Status.HEALTHY: Outlook.PASSES}
    expected = by_status.get(risk_status(probability), Outlook.UNKNOWN)
    is_trusted = was_right is not None and was_right >= RIGHT_SHARE
    return Outlook.UNKNOWN if expected == Outlook.PASSES and not is_trusted else expected


RIGHT_SHARE = 0.8
# Fewer graded days say nothing of how often it was right.
LEAST_GRADED = 20


def severe_incidents(incidents: Sequence[Row]) -> int:
    """How many incidents are critical or high."""
    return sum(incident["severity"] in SEVERE for incident in incidents)


def users_affected(incidents: Sequence[Row], risk: Row | None) -> float | None:
    """Users who are hit on the last day, else expected to be; None where neither is known."""
    hit = [users for users in map(users_hit, incidents) if users is not None]
    return max(hit, default=risk["expected_users_affected"] if risk else None)


def is_worse_total(change: float | None) -> bool | None:
    """Whether a total of which less is better got worse (True) or better (False); None within its usual swing."""
    if change is None or abs(change) <= _NOTABLE_CHANGE:
        return None
    return change > 0
