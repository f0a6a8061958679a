"""Settings that people change while the house runs, kept in the operations store: what each means, and what it may be.

Settings of a data root, which need a restart, are in `settings.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

LEAST_HOURS, MOST_HOURS = 0.01, 24 * 366
"""How long a snooze or a silence lasts at least, and at most: a year."""

ValueType = Literal["number", "whole", "yes_no", "map"]


@dataclass(frozen=True)
class HouseSetting:
    """One setting: `minimum` and `maximum` are inclusive and in `unit`; a map is of text to text."""

    key: str
    type: ValueType
    default: Any
    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None


HOUSE_SETTINGS: tuple[HouseSetting, ...] = (
    HouseSetting(
        "alerts.passes_to_resolve", "whole", 2, "Evaluations in a row that pass before an alert resolves", "", 1, 50
    ),
    HouseSetting(
        "alerts.reopen_within_h", "number", 24.0, "A fault that is back so soon is the same alert", "h", 0, 8760
    ),
    HouseSetting("alerts.group_wait_s", "number", 30.0, "A message waits for others of its cause", "s", 0, 3600),
    HouseSetting("alerts.reminder_every_h", "number", 24.0, "Reminders while nobody has answered", "h", 1, 8760),
    HouseSetting("alerts.acknowledged_for_d", "number", 7.0, "An acknowledgement asks again after", "d", 0.01, 365),
    HouseSetting(
        "alerts.escalate_after_h",
        "number",
        24.0,
        "Unanswered high and critical ones go on after",
        "h",
        0.01,
        8760,
    ),
    HouseSetting("alerts.attempts", "whole", 5, "Attempts before the channel itself is an alert", "", 1, 20),
    HouseSetting("alerts.retry_first_s", "number", 30.0, "After the first failed attempt; then doubled", "s", 0, 3600),
    HouseSetting("alerts.owners", "map", {}, "E-mail address by owner or team; the empty name: of all others"),
    HouseSetting(
        "alerts.severity",
        "map",
        {},
        "Severity by subject, “subject: check” or “subject: column”, where it is not the usual one",
    ),
    HouseSetting(
        "channels.allow_private_targets", "yes_no", False, "Whether webhooks may reach addresses of private networks"
    ),
    HouseSetting(
        "house.daemon_silent_s", "number", 180.0, "A daemon without a beat for so long is silent", "s", 30, 86400
    ),
    HouseSetting("house.least_free_mb", "number", 1024.0, "Less free disk than this is an alert", "MB", 0, 10_000_000),
    HouseSetting(
        "house.publication_late_h", "number", 36.0, "A snapshot that is older than this is late", "h", 1, 8760
    ),
    HouseSetting(
        "models.drift",
        "map",
        {},
        "By “model.false_share” and “model.least_distance”: of what is told to have moved, the share that may not have;"
        " the smallest distance that matters",
    ),
    HouseSetting("retention.resolved_alerts_d", "number", 365.0, "Resolved alerts stay", "d", 1, 36500),
    HouseSetting("retention.answered_writes_d", "number", 1.0, "How long idempotency keys are known", "d", 0.01, 30),
)
HOUSE_SETTINGS_BY_KEY = {setting.key: setting for setting in HOUSE_SETTINGS}
