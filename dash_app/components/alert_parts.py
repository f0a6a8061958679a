"""How severities and states of alerts look, wherever they are shown."""

from __future__ import annotations

from typing import Any

from dash import html

from dash_app.components import ui

Component = Any

_SEVERITIES = {
    "critical": ("bad", "flame", "Critical"),
    "high": ("bad", "circle-x", "High"),
    "medium": ("warn", "triangle-alert", "Medium"),
    "low": ("none", "eye", "Low"),
}
_STATUSES = {
    "open": ("warn", "bell-ring", "Open"),
    "acknowledged": ("watch", "eye", "Acknowledged"),
    "resolved": ("good", "circle-check", "Resolved"),
}


WORDS = {name: word for name, (_, _, word) in _SEVERITIES.items()}
ICONS = {name: icon for name, (_, icon, _) in _SEVERITIES.items()}


def severity_badge(severity: str) -> Component:
    """The badge of a severity."""
    return ui.badge(*_SEVERITIES[severity])


def severity_icon(severity: str) -> Component:
    """The icon of a severity, coloured; its word is read out."""
    tone, name, word = _SEVERITIES[severity]
    icon = html.Span(className=f"i i-{name} tone-{tone}", **{"aria-hidden": "true"})
    return html.Span([icon, html.Span(word, className="unseen")])


def status_badge(status: str) -> Component:
    """The badge of an alert's status."""
    return ui.badge(*_STATUSES[status])
