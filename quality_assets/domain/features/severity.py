"""How severe an incident is, in one place: how much of it fails, whether an objective is broken, how many users it hits
today, and how critical the feature is.

| What | Points |
|---|---|
| size, less what chance alone may add to it | 0 small, 1 notable, 2 large, 3 most of the feature does not work |
| its objective is breached: one that somebody gave, or a default that is overspent tenfold | + 1 |
| users hit on the last day, as a share of the product's users of a day | + 1 from 10 %, - 1 below 1 % |
| tier | + 1 for tier 1, - 1 for tier 3 |

Of an open incident the size and the users are those of its real part: what other users, versions or rows made of it is
no fault of the product, and an incident that is measurement is low.

0 or less is low, 1 and 2 medium, 3 high, 4 and more critical. A single day that passed by itself is one grade lower,
and never critical. Sizes are relative, of feedback in points; what fails for half of all events does not work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from quality_assets.contracts.incidents import INCIDENT_SEVERITIES
from quality_assets.contracts.metrics import METRIC_GROUPS
from quality_assets.domain.features.incident_words import is_missing


@dataclass(frozen=True)
class SeveritySettings:
    """Every limit, with its reason.

    steps: sizes from which a change is notable, large, and most of the feature. failing_share: from this rate of
    crashes or errors on it is most of it too. many_users, few_users: shares of the product's users.
    default_overspent: a default objective is nobody's promise, so that only a clear breach of it counts.
    """

    steps: Mapping[str, tuple[float, float, float]] = field(
        default_factory=lambda: {
            "latency": (0.25, 0.75, 4.0),
            "crash": (1.0, 4.0, float("inf")),
            "error": (1.0, 4.0, float("inf")),
            "feedback": (0.3, 0.8, 2.0),
            "volume": (0.3, 0.6, 0.9),
        }
    )
    failing_share: float = 0.5
    many_users: float = 0.10
    few_users: float = 0.01
    default_overspent: float = 10.0


DEFAULT_SEVERITY = SeveritySettings()


def severity(
    row: Mapping[str, Any],
    product_users: float | None,
    tier: int | None,
    settings: SeveritySettings = DEFAULT_SEVERITY,
) -> str:
    """low … critical, of a row of product.incidents by the points above; what is unknown adds nothing.

    product_users: of the whole product, on a usual day.
    """
    if row.get("verdict") == "measurement":
        return INCIDENT_SEVERITIES[0]
    points = size_points(row, settings) + _objective_points(row, settings)
    share = _user_share(row, product_users)
    if share is not None:
        points += int(share >= settings.many_users) - int(share < settings.few_users)
    points += int(tier == 1) - int(tier == 3)
    level = 0 if points <= 0 else 1 if points <= 2 else min(points - 1, 3)
    if row["kind"] == "spike" and not is_missing(row["end_date"]):
        level = min(level - 1, 2)
    return INCIDENT_SEVERITIES[max(level, 0)]


def size_points(row: Mapping[str, Any], settings: SeveritySettings = DEFAULT_SEVERITY) -> int:
    """0 small … 3 most of the feature does not work, by the size less what chance may add to it."""
    group = METRIC_GROUPS.get(row["metric"], "")
    steps = settings.steps.get(group, (0.25, 0.75, 4.0))
    if row["kind"] == "dead" and real_part(row) >= steps[2]:
        return 3 if is_missing(row["event_name"]) else 2
    value = _number(row["current_value"] if is_missing(row["end_date"]) else row["peak_value"])
    if group in ("crash", "error") and value is not None and value >= settings.failing_share:
        return 3
    size = _number(row.get("real_change"))
    if size is None:
        # Above an expected 0 there is no ratio: what was never there before is notable.
        return 1
    return sum(size * real_part(row) >= step for step in steps)


def real_part(row: Mapping[str, Any]) -> float:
    """The share of an open incident that is real; all of it where that is not known."""
    share = _number(row.get("real_share"))
    return 1.0 if share is None or not is_missing(row["end_date"]) else share


def _objective_points(row: Mapping[str, Any], settings: SeveritySettings) -> int:
    if is_missing(row.get("is_objective_breach")) or not row["is_objective_breach"]:
        return 0
    if row.get("objective_source") == "given":
        return 1
    burn = _number(row.get("burn_rate_28d"))
    return int(burn is not None and burn >= settings.default_overspent)


def _number(value: Any) -> float | None:
    return None if is_missing(value) else float(value)


def _user_share(row: Mapping[str, Any], product_users: float | None) -> float | None:
    users = _number(row["affected_users"] if is_missing(row.get("users_today")) else row["users_today"])
    if users is None or product_users is None or not isfinite(product_users) or product_users <= 0:
        return None
    return users * real_part(row) / product_users
