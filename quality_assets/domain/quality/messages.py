"""What a notification says: the same words for every channel, and as JSON. How it is sent is known elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from quality_assets.domain.quality.alerting import SEVERITIES, group_of, rank
from quality_assets.domain.wording import figure_text, measure_text, measure_texts, plural, value_text

_VERBS = {
    "opened": "",
    "worse": "Got worse: ",
    "milder": "Less bad now: ",
    "reopened": "Fails again: ",
    "resolved": "Resolved: ",
    "reminder": "Still failing: ",
    "escalated": "Nobody has answered: ",
    "snooze_over": "Still failing after its snooze: ",
    "acknowledgement_over": "Acknowledged long ago and still failing: ",
}
# Of two that one message would tell of an alert, the one that says more comes first.
_FIRST = (
    "resolved", "opened", "reopened", "worse", "milder", "snooze_over", "acknowledgement_over", "escalated", "reminder",
)  # fmt: skip
_RESOLUTIONS = {
    "fixed": "fixed",
    "expected": "expected, not a problem",
    "false_alarm": "a false alarm",
    "duplicate": "told already elsewhere",
    "auto": "by itself: it is no longer found",
}
FIGURES = ("observed", "expected", "threshold", "n", "users")
"""The figures of an alert, as they are called."""
_MEASURED = ("observed", "expected", "threshold")
_MOST_NAMED = 20


def once(alerts: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Each alert once, in the order of their first: what got worse before anybody knew of it has only opened.

    What failed furthest upstream, which gives a group its name, stands before all others.
    """
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for transition, alert in alerts:
        known = found.get(alert["alert_id"])
        if known is None or _FIRST.index(_kind(transition)) < _FIRST.index(_kind(known[0])):
            found[alert["alert_id"]] = transition, alert
    return sorted(found.values(), key=lambda each: not is_root(each[1]))


def is_root(alert: Mapping[str, Any]) -> bool:
    """Whether an alert is that by which its group is called."""
    return group_of(alert["subject"]) == alert["group_id"]


def _kind(transition: str) -> str:
    return transition.partition(":")[0]


def title_of(alerts: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """One line over transitions and their alerts: the one alert, or how many and of what."""
    failing = [each for each in alerts if _kind(each[0]) != "resolved"]
    if 0 < len(failing) < len(alerts):
        # What is over neither counts nor names what is not.
        return f"{title_of(failing)}; {len(alerts) - len(failing)} resolved"
    transition, first = alerts[0]
    verb = _VERBS[_kind(transition)]
    if len(alerts) == 1:
        return f"[{first['severity']}] {verb}{_one_line(first['title'])}"
    kinds = {_kind(each) for each, _ in alerts}
    what = verb if len(kinds) == 1 else ""
    return f"[{worst(alerts)}] {what}{plural(len(alerts), 'alert')} about {_subjects(alerts)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def worst(alerts: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The worst severity of several alerts."""
    return SEVERITIES[max(rank(alert["severity"]) for _, alert in alerts)]


def _subjects(alerts: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    names = list(dict.fromkeys(alert["subject"] for _, alert in alerts))
    if len(names) == 1:
        return names[0]
    # Tables are made from each other; features and inputs of models are not.
    is_made = all(alert["kind"] == "check" for _, alert in alerts)
    return f"{names[0]} and {'what is made from it' if is_made else plural(len(names) - 1, 'other')}"


def figure_of(alert: Mapping[str, Any], name: str) -> str:
    """A figure of an alert as its page and messages say it: what was measured in its unit, where that is known."""
    value, unit = alert[name], (alert.get("evidence") or {}).get("unit")
    if name not in _MEASURED or not isinstance(unit, str) or alert["kind"] not in ("check", "incident"):
        return figure_text(value)
    if alert["kind"] == "incident":
        return value_text(value, unit)
    seen, held = measure_texts(alert["observed"], alert["threshold"], unit)
    return {"observed": seen, "threshold": held}.get(name) or measure_text(value, unit)


def text_of(alerts: Sequence[tuple[str, Mapping[str, Any]]], address: str, known: int = 0) -> str:
    """The message in plain text: each alert with what was seen and expected, whose it is, what to do, and its address.

    `known` is how many alerts of the same group were told of before.
    """
    lines = []
    if known:
        is_over = all(_kind(transition) == "resolved" for transition, _ in alerts)
        told = "is open still" if known == 1 else "are open still"
        before = "was told before" if known == 1 else "were told before"
        lines += [f"{plural(known, 'alert')} of the same cause {told if is_over else before}.", ""]
    for transition, alert in alerts[:_MOST_NAMED]:
        lines += [*_lines(transition, alert, address, with_title=len(alerts) > 1), ""]
    if len(alerts) > _MOST_NAMED:
        lines.append(f"and {len(alerts) - _MOST_NAMED} more: {address}/alerts")
    return "\n".join(lines).rstrip() + "\n"


def _lines(transition: str, alert: Mapping[str, Any], address: str, *, with_title: bool) -> list[str]:
    lines = [f"[{alert['severity']}] {_VERBS[_kind(transition)]}{_one_line(alert['title'])}"] if with_title else []
    lines.append(alert["message"])
    is_over = _kind(transition) == "resolved"
    figures = ", ".join(f"{name} {figure_of(alert, name)}" for name in FIGURES if alert[name] is not None)
    was = alert.get("told_severity") or alert["severity"]
    facts = {
        "Severity": f"{alert['severity']}; it was {was} when this was told last" if was != alert["severity"] else "",
        "Seen": figures,
        "Of": alert["partition_key"] or alert["batch_id"],
        "Owner": alert["owner"],
        "Assigned to": alert["assignee"] or "",
        "Resolved": _RESOLUTIONS.get(alert["resolution"] or "", alert["resolution"]) if is_over else "",
        # Nobody is asked to do anything about what is over.
        "Do": "" if is_over else alert["action"],
    }
    lines += [f"{name}: {value}" for name, value in facts.items() if value]
    return [*lines, f"{address}/alerts/{alert['alert_id']}"]


def document_of(
    alerts: Sequence[tuple[str, Mapping[str, Any]]], address: str, sent_at: datetime, delivery: str
) -> dict[str, Any]:
    """The message as JSON: what webhooks get. `delivery` is the same when the same message is sent again."""
    names = ("alert_id", "fingerprint", "group_id", "kind", "subject", "check_name", "column_name", "title", "message")
    more = ("severity", "status", "occurrences", "assignee", "owner", "resolution", "partition_key", "run_id")
    return {
        "delivery": delivery,
        "sent_at": f"{sent_at.isoformat()}Z",
        "title": title_of(alerts),
        "text": text_of(alerts, address),
        "alerts": [
            {name: alert[name] for name in (*names, *more, "batch_id", *FIGURES)}
            | {"action": alert["action"], "transition": _kind(transition)}
            | {"url": f"{address}/alerts/{alert['alert_id']}", "first_seen": f"{alert['first_seen'].isoformat()}Z"}
            for transition, alert in alerts
        ],
    }


def slack_of(alerts: Sequence[tuple[str, Mapping[str, Any]]], address: str, known: int = 0) -> dict[str, Any]:
    """The message as chat services of Slack's kind take it; what data says is text there, never a mention or a link."""
    body = text_of(alerts, address, known)
    return {"text": f"*{_plain(title_of(alerts))}*\n{_plain(body)}"}


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
