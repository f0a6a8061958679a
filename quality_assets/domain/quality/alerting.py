"""The life of an alert: what makes two faults one, what each thing that happens does to it, and who has to be told.

Rows in, changes out. Where alerts are kept, and how anybody is told, is known elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, get_args

from quality_assets.contracts.owners import TEAM

Row = Mapping[str, Any]

SEVERITIES = ("low", "medium", "high", "critical")
OPEN, ACKNOWLEDGED, RESOLVED = "open", "acknowledged", "resolved"
STATUSES = (OPEN, ACKNOWLEDGED, RESOLVED)
Resolution = Literal["fixed", "expected", "false_alarm", "duplicate"]
"""How a person says that an alert is over."""
SAID_RESOLUTIONS: tuple[Resolution, ...] = get_args(Resolution)
RESOLUTIONS = (*SAID_RESOLUTIONS, "auto")
# What says that the rule was wrong, not the data.
FALSE_RESOLUTIONS = ("expected", "false_alarm")
# Of these the same again is no news once a person has said that it is no problem: they say how bad it is, and are found
# anew each time. A run, a channel or a process that fails again fails anew, whatever was said of the last time.
TEACHABLE = ("check", "incident", "drift")
# What varies by chance from day to day is not worse each second day.
WORSE_FROM = 1.5
KINDS = (
    "dataset",
    "check",
    "incident",
    "drift",
    "run",
    "publication",
    "lateness",
    "model",
    "model drift",
    "shadow",
    "canary",
    "channel",
    "house",
    "manual",
)
# What a check's severity is for a person, where nothing says it otherwise.
OF_CHECKS: Mapping[tuple[str, bool], str] = {
    ("ERROR", True): "critical",
    ("ERROR", False): "high",
    ("WARN", True): "medium",
    ("WARN", False): "medium",
}
_ADDRESS = re.compile(r"[^@\s,;<>]+@(localhost|[^@\s,;<>]+\.[^@\s,;<>]+)")
SOMEBODY = "somebody"
_MOST_NAME = 60
_DIGITS = 16
# A rule that was wrong once of once may be right the next time.
_LEAST_RECORD = 4
_MOST_FALSE_SHARE = 0.5


class AlertError(ValueError):
    """What was asked of an alert cannot be done; the message says why."""


@dataclass(frozen=True)
class AlertPolicy:
    """How long things last, and how often people are told. Each is a setting of `alerts.…`."""

    passes_to_resolve: int = 2
    reopen_within_h: float = 24.0
    group_wait_s: float = 30.0
    reminder_every_h: float = 24.0
    acknowledged_for_d: float = 7.0
    escalate_after_h: float = 24.0
    attempts: int = 5
    retry_first_s: float = 30.0

    def retry_after(self, attempts: int) -> timedelta:
        """How long to wait after so many attempts that failed: twice as long each time."""
        return timedelta(seconds=self.retry_first_s * 2 ** (attempts - 1))


@dataclass(frozen=True)
class Fault:
    """Something that a person must know.

    `kind`, `subject`, `check_name` and `column_name` say which fault it is; the rest is how it stands now. `group`
    names what it is told together with; the subject where empty. `evaluation` is the run or batch that found it: the
    same one counts once. ValueError where kind or subject is empty, which would make one of strangers.
    """

    kind: str
    subject: str
    title: str
    message: str
    severity: str
    check_name: str = ""
    column_name: str = ""
    action: str = ""
    group: str = ""
    evaluation: str = ""
    partition_key: str = ""
    run_id: str = ""
    batch_id: str | None = None
    owner: str = ""
    observed: float | None = None
    expected: float | None = None
    threshold: float | None = None
    n: int | None = None
    users: int | None = None
    subjects: tuple[tuple[str, str], ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.kind.strip() or not self.subject.strip():
            raise ValueError("an alert names its kind and its subject: without them strangers would be one")
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity {self.severity!r} is none of {', '.join(SEVERITIES)}")

    @property
    def fingerprint(self) -> str:
        """The same for the same fault, whenever and by whomever it is found."""
        return fingerprint_of(self.kind, self.subject, self.check_name, self.column_name)

    @property
    def group_id(self) -> str:
        """The same for what is told together."""
        return group_of(self.group or self.subject)


def group_of(name: str) -> str:
    """Which group it is that is told under a name."""
    return hashed("group", name)


def fingerprint_of(kind: str, subject: str, check_name: str = "", column_name: str = "") -> str:
    """Which fault it is, of 16 hexadecimal digits."""
    return hashed(kind, subject, check_name or "any check", column_name or "any column")


def hashed(*parts: str) -> str:
    """Sixteen hexadecimal digits that speak for the parts, wherever one ends and the next begins."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:_DIGITS]


def is_address(text: str) -> bool:
    """Whether a text is one e-mail address, and nothing beside it."""
    return _ADDRESS.fullmatch(text) is not None


def actor_name(given: str) -> str:
    """Who acts, in one line of bounded length; `somebody` where nobody says a name."""
    return " ".join(given.split())[:_MOST_NAME].rstrip() or SOMEBODY


def rank(severity: str) -> int:
    """0 for low to 3 for critical."""
    return SEVERITIES.index(severity)


def one_worse(severity: str) -> str:
    """The next severity; critical stays."""
    return SEVERITIES[min(rank(severity) + 1, len(SEVERITIES) - 1)]


class Change(NamedTuple):
    """What becomes of an alert: columns that change, what its history says, and what has to be told (None: nothing)."""

    values: dict[str, Any]
    action: str
    told: str | None = None
    note: str | None = None


def seen_again(row: Row, fault: Fault, now: datetime) -> Change:
    """A live alert whose fault was found once more: notes, assignee and acknowledgement stay, unless it got worse.

    Of what is less bad those are told who know of it.
    """
    values = _as_found(fault) | {"last_seen": now, "passes": 0}
    # Of the same run or batch: it is tried again.
    if not fault.evaluation or fault.evaluation != row["evaluation"]:
        values["occurrences"] = row["occurrences"] + 1
    values["severity"] = fault.severity
    if fault.severity == row["severity"]:
        return Change(values, "seen")
    note = f"from {row['severity']} to {fault.severity}"
    if rank(fault.severity) < rank(row["severity"]):
        return Change(values, "milder", f"milder:{fault.severity}:{row['reopened']}", note)
    values |= {"status": OPEN, "acknowledged_at": None, "acknowledged_by": None}
    return Change(values, "worse", f"worse:{fault.severity}:{row['reopened']}", note)


def is_taught(said: Row, fault: Fault) -> bool:
    """Whether a person said of a fault, as it was in the row `said`, that it is no problem, and it is no worse now.

    Worse is another severity, half as far again from what it is held against, or offenders that were not named then;
    where nothing was measured, any other finding.
    """
    if fault.kind not in TEACHABLE or said["resolution"] not in FALSE_RESOLUTIONS:
        return False
    if rank(fault.severity) > rank(said["severity"]):
        return False
    if fault.observed is None or said["observed"] is None:
        return fault.title == said["title"]
    was = _distance(said["observed"], said["threshold"], said["expected"])
    now = _distance(fault.observed, fault.threshold, fault.expected)
    return now <= WORSE_FROM * was and not _others_offend(said, fault)


def _distance(observed: float, threshold: float | None, expected: float | None) -> float:
    return abs(observed - next((each for each in (threshold, expected) if each is not None), 0.0))


def _others_offend(said: Row, fault: Fault) -> bool:
    """Of a day's rows others offend each day; of what is of no day, those that offend are the finding."""
    named, known = fault.evidence.get("examples"), (said["evidence"] or {}).get("examples")
    if fault.partition_key or not isinstance(named, list) or not isinstance(known, list):
        return False
    return any(each not in known for each in named)


def found_as_taught(row: Row, fault: Fault, now: datetime) -> Change:
    """A fault that is no problem, as a person said, was found once more: how it was then stays."""
    values: dict[str, Any] = {"last_seen": now, "evaluation": fault.evaluation}
    if not fault.evaluation or fault.evaluation != row["evaluation"]:
        values["occurrences"] = row["occurrences"] + 1
    return Change(values, "seen")


def may_reopen(row: Row, now: datetime, policy: AlertPolicy) -> bool:
    """Whether a resolved alert comes back as itself: later it is a new one that names the last.

    So it is of one that taught: how bad it was when it was no problem is to be known.
    """
    if row["kind"] in TEACHABLE and row["resolution"] in FALSE_RESOLUTIONS:
        return False
    return row["resolved_at"] is not None and now - row["resolved_at"] <= timedelta(hours=policy.reopen_within_h)


def reopened(row: Row, fault: Fault | None, now: datetime) -> Change:
    """A resolved alert that fails again, or that somebody opens again."""
    count = row["reopened"] + 1
    values: dict[str, Any] = {"status": OPEN, "reopened": count, "opened_at": now, "passes": 0}
    values |= _UNRESOLVED
    if fault is not None:
        values |= _as_found(fault)
        values |= {"severity": fault.severity, "last_seen": now, "occurrences": row["occurrences"] + 1}
    return Change(values, "reopened", f"reopened:{count}")


_UNRESOLVED = {
    "resolved_at": None,
    "resolution": None,
    "acknowledged_at": None,
    "acknowledged_by": None,
    "snoozed_until": None,
}


def passed(row: Row, evaluation: str, now: datetime, policy: AlertPolicy) -> Change | None:
    """A live alert whose fault was looked for and not found; None where the same run or batch says so again."""
    if evaluation and evaluation == row["evaluation"]:
        return None
    passes = row["passes"] + 1
    if passes < policy.passes_to_resolve:
        return Change({"passes": passes, "evaluation": evaluation}, "passed")
    note = f"It passed {passes} times in a row." if passes > 1 else "It passed."
    change = resolved(row, "auto", now)
    return change._replace(values=change.values | {"passes": passes, "evaluation": evaluation}, note=note)


def resolved(row: Row, resolution: str, now: datetime) -> Change:
    """An alert that is over. Raises AlertError where it is over already, or the resolution is none."""
    if resolution not in RESOLUTIONS:
        raise AlertError(f"resolution {resolution!r} is none of {', '.join(RESOLUTIONS)}")
    if row["status"] == RESOLVED:
        raise AlertError("The alert is resolved already.")
    values = {"status": RESOLVED, "resolved_at": now, "resolution": resolution, "snoozed_until": None}
    return Change(values, "resolved", f"resolved:{row['reopened']}")


def acknowledged(row: Row, actor: str, now: datetime) -> Change:
    """Somebody has it. Raises AlertError where it is over, or had by somebody already."""
    if row["status"] == RESOLVED:
        raise AlertError("The alert is resolved; reopen it first.")
    if row["status"] == ACKNOWLEDGED:
        raise AlertError(f"{row['acknowledged_by']} has acknowledged it already.")
    values = {"status": ACKNOWLEDGED, "acknowledged_at": now, "acknowledged_by": actor}
    return Change(values | ({} if row["assignee"] else {"assignee": actor}), "acknowledged")


def snoozed(row: Row, until: datetime, now: datetime) -> Change:
    """Nothing is told until then. Raises AlertError where it is over, or the time is past."""
    if row["status"] == RESOLVED:
        raise AlertError("The alert is resolved; there is nothing to snooze.")
    if until <= now:
        raise AlertError(f"{until:%Y-%m-%d %H:%M} UTC is past; snooze until a time to come.")
    return Change({"snoozed_until": until}, "snoozed", note=f"until {until:%Y-%m-%d %H:%M} UTC")


def _as_found(fault: Fault) -> dict[str, Any]:
    """How a fault stands now: the newest words and figures count."""
    names = ("title", "message", "action", "partition_key", "run_id", "batch_id", "observed", "expected", "threshold")
    found = {name: getattr(fault, name) for name in (*names, "n", "users", "evaluation")}
    return found | {"evidence": dict(fault.evidence)} | ({"owner": fault.owner} if fault.owner else {})


def first_row(fault: Fault, now: datetime, previous: str | None) -> dict[str, Any]:
    """The columns of a new alert, but its id; `previous` names the last one of the same fault."""
    return _as_found(fault) | {
        "fingerprint": fault.fingerprint,
        "group_id": fault.group_id,
        "kind": fault.kind,
        "subject": fault.subject,
        "check_name": fault.check_name,
        "column_name": fault.column_name,
        "owner": fault.owner,
        "severity": fault.severity,
        "status": OPEN,
        "occurrences": 1,
        "passes": 0,
        "reopened": 0,
        "first_seen": now,
        "opened_at": now,
        "last_seen": now,
        "previous_alert_id": previous,
        "version": 1,
    }


def takes(route: Mapping[str, Any], alert: Row, teams: Sequence[str] = ()) -> bool:
    """Whether a route wants an alert: `severity` at least, `kinds`, `subjects` as patterns, `teams`; empty: any."""
    if rank(alert["severity"]) < rank(route.get("severity") or SEVERITIES[0]):
        return False
    if route.get("kinds") and alert["kind"] not in route["kinds"]:
        return False
    if route.get("subjects") and not any(fnmatchcase(alert["subject"], each) for each in route["subjects"]):
        return False
    # Whoever writes a route may leave out what says that it is a team.
    wanted = {each.removeprefix(TEAM) for each in route.get("teams") or ()}
    return not wanted or bool(wanted.intersection(each.removeprefix(TEAM) for each in teams))


def is_mostly_wrong(record: Row) -> bool:
    """Whether what a rule told was no fault more often than not, of enough to say so."""
    return record["raised"] >= _LEAST_RECORD and record["false_share"] > _MOST_FALSE_SHARE


def silences(silence: Row, alert: Row, now: datetime) -> bool:
    """Whether a silence covers an alert just now; what it does not say, it says of all."""
    if not silence["starts_at"] <= now < silence["ends_at"]:
        return False
    most = silence["most_severity"]
    if most and rank(alert["severity"]) > rank(most):
        return False
    if silence["subject"] and not fnmatchcase(alert["subject"], silence["subject"]):
        return False
    return all(not silence[name] or silence[name] == alert[name] for name in ("kind", "fingerprint"))
