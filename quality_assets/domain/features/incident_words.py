"""An incident in words: what changed, since when, where, for whom."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from math import isfinite
from typing import Any

import pandas as pd

from quality_assets.contracts.metrics import METRIC_GROUPS, METRICS_BY_NAME
from quality_assets.domain.series.settings import DEFAULT_SETTINGS
from quality_assets.domain.series.silence import silent_days_to_tell
from quality_assets.domain.wording import count_text, value_text


def describe(row: Mapping[str, Any]) -> str:
    """An incident in a sentence: what, how much, since when, where, whom."""
    what = METRICS_BY_NAME[row["metric"]].label.lower()
    subject = row["feature"] if is_missing(row["event_name"]) else f"{row['feature']} ({row['event_name']} events)"
    subject += "" if is_missing(row.get("platform")) else f" on {row['platform']}"
    return f"{subject}: {_change_text(row, what)} {_when_text(row)}{_where_text(row)}{_whom_text(row)}."


def _change_text(row: Mapping[str, Any], what: str) -> str:
    if row["kind"] == "dead" and not (is_missing(row["event_name"]) and row["events"]):
        return f"no events at all{_silence_text(row['baseline_value'])},"
    if is_missing(row["peak_value"]) or is_missing(row["baseline_value"]):
        return f"{what} changed"
    if row["kind"] == "objective":
        return _objective_text(row, what)
    unit, size, baseline = row["unit"], float(row["size"]), float(row["peak_value"]) - float(row["size"])
    ratio = "" if is_missing(row["change"]) or unit == "score" else f" ({_ratio(float(row['change']))})"
    verb = {"creep": "grew to" if size > 0 else "sank to", "spike": "jumped to" if size > 0 else "fell to"}.get(
        row["kind"], "at"
    )
    return f"{what} {verb} {value_text(row['peak_value'], unit)} instead of {value_text(baseline, unit)}{ratio}"


def _objective_text(row: Mapping[str, Any], what: str) -> str:
    """What is no worse than it was, and not what it should be."""
    value = row["peak_value"] if is_missing(row["current_value"]) else row["current_value"]
    whose = " by default" if row.get("objective_source") == "default" else ""
    limit = row["baseline_value"] if is_missing(row.get("objective")) else row["objective"]
    return f"{what} at {value_text(value, row['unit'])} where {value_text(limit, row['unit'])} is the objective{whose},"


def _silence_text(usual: Any) -> str:
    """How many there are otherwise, and how long there must be none before that is beyond chance."""
    if is_missing(usual):
        return ""
    days = days_until_silence_tells(float(usual))
    tells = "" if days is None else f" (silence tells after {days} day{'' if days == 1 else 's'})"
    return f", normally {count_text(usual)} a day{tells}"


def _ratio(change: float) -> str:
    return f"× {change + 1:.1f}" if change >= 1 else f"{change:+.0%}".replace("-", "−").replace("%", " %")


def _when_text(row: Mapping[str, Any]) -> str:
    start = as_day(row["start_date"])
    if is_missing(row["end_date"]):
        return f"since {start:%-d %b %Y}"
    end = as_day(row["end_date"])
    return f"on {start:%-d %b %Y}" if end == start else f"from {start:%-d %b} to {end:%-d %b %Y}"


def _where_text(row: Mapping[str, Any]) -> str:
    if row["scope"] == "product":
        return ", as on most features at once: look upstream first"
    if row["slice_status"] == "everything":
        return ", everywhere alike"
    if row["slice_status"] != "found" or (
        not is_missing(row.get("platform")) and list(row["slice_values"]) == [row["platform"]]
    ):
        return ""
    where = " and ".join(f"{d} {v}" for d, v in zip(row["slice_dimensions"], row["slice_values"], strict=True))
    return f", {100 * row['slice_share']:.0f} % of it on {where} ({100 * row['slice_traffic_share']:.0f} % of traffic)"


def _whom_text(row: Mapping[str, Any]) -> str:
    if is_missing(row["affected_users"]) or not row["affected_users"]:
        return ""
    verb = "missing" if METRIC_GROUPS.get(row["metric"]) == "volume" else "affected"
    users = int(row["affected_users"])
    return f"; about {users:,} {'user' if users == 1 else 'users'} a day {verb}"


def is_missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def as_day(value: Any) -> date:
    return pd.Timestamp(value).date()


def days_until_silence_tells(
    expected_per_day: float, days_observed: float = 35.0, alpha: float = DEFAULT_SETTINGS.silence_alpha
) -> int | None:
    """Days without events until P(0) < alpha; None where nothing is expected."""
    days = float(silent_days_to_tell(expected_per_day, 1.0, days_observed, alpha))
    return int(days) if isfinite(days) else None
