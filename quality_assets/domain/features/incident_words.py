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
from quality_assets.domain.wording import count_text, plural, value_text


def describe(row: Mapping[str, Any]) -> str:
    """An incident in a sentence: what, how much, since when, where, whom."""
    what = METRICS_BY_NAME[row["metric"]].label.lower()
    said = f"{_change_text(row, what)} {_when_text(row)}{_where_text(row)}{_whom_text(row)}{_ending_text(row)}"
    return f"{_subject(row)}: {said}."


def title(row: Mapping[str, Any]) -> str:
    """An incident in some words: of what, and that it is worse."""
    if _is_dead(row):
        return f"{_subject(row)}: no events at all"
    what = METRICS_BY_NAME[row["metric"]].label.lower()
    return f"{_subject(row)}: {what} {'beyond its objective' if row['kind'] == 'objective' else 'worse than usual'}"


def told_sentence(row: Mapping[str, Any]) -> str:
    """What is told of an incident, in alerts, cards, reports and on the command line: its sentence and its verdict."""
    parts = (row["sentence"], row.get("verdict_sentence"))
    return " ".join(str(part) for part in parts if not is_missing(part) and part)


def told_unit(row: Mapping[str, Any]) -> str:
    """In what `told_figures` are: the metric's unit, or a count where many days are counted together."""
    return "count" if _is_counted(row) else str(row["unit"])


def _is_counted(row: Mapping[str, Any]) -> bool:
    return bool(row["kind"] != "objective" and not is_missing(row.get("counted_days")) and _counts_text(row))


def told_figures(row: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """What was seen, what it is held against, and the change, as the sentence says them; None where unknown."""
    now = row["peak_value"] if is_missing(row["current_value"]) else row["current_value"]
    if _is_dead(row) or any(is_missing(row[name]) for name in ("peak_value", "baseline_value", "size")):
        figures: tuple[Any, ...] = now, row["baseline_value"], row["change"]
    elif row["kind"] == "objective":
        figures = _against_objective(row), _limit(row), None
    elif _is_counted(row):
        figures = round(row["peak_count"]), round(row["usual_most"]), None
    else:
        value, size, change, _ = _told_values(row)
        figures = value, value - size, change
    seen, held, changed = (None if is_missing(each) else float(each) for each in figures)
    return seen, held, changed


def _limit(row: Mapping[str, Any]) -> Any:
    return row["baseline_value"] if is_missing(row.get("objective")) else row["objective"]


def _subject(row: Mapping[str, Any]) -> str:
    features = names_of(row.get("features"))
    if len(features) > 1:
        return f"{len(features)} features at once"
    subject = row["feature"] if is_missing(row["event_name"]) else f"{row['feature']} ({row['event_name']} events)"
    return subject + ("" if is_missing(row.get("platform")) else f" on {row['platform']}")


def names_of(value: Any) -> list[str]:
    """A list of names as it lies in a frame or a table; empty where there is none."""
    if value is None or isinstance(value, float | str):
        return []
    return [str(name) for name in value]


def _is_dead(row: Mapping[str, Any]) -> bool:
    """A dead feature with events lost them in part only."""
    return row["kind"] == "dead" and not (is_missing(row["event_name"]) and row["events"])


def _change_text(row: Mapping[str, Any], what: str) -> str:
    if _is_dead(row):
        return f"no events at all{_silence_text(row['baseline_value'])},"
    if is_missing(row["peak_value"]) or is_missing(row["baseline_value"]):
        return f"{what} changed"
    if row["kind"] == "objective":
        return _objective_text(row, what)
    if _is_counted(row):
        # Many days gave it away together: what one of them was says nothing.
        return f"{_counts_text(row)},"
    value, size, change, worst = _told_values(row)
    unit, counted = row["unit"], _counts_text(row)
    verb = {"creep": "grew to" if size > 0 else "sank to", "spike": "jumped to" if size > 0 else "fell to"}.get(
        row["kind"], "at"
    )
    if counted:
        return f"{counted}: {what} {verb} {value_text(value, unit)}{worst}"
    ratio = "" if is_missing(change) or unit == "score" else f" ({_ratio(float(change))})"
    return f"{what} {verb} {value_text(value, unit)} instead of {value_text(value - size, unit)}{ratio}{worst}"


def _told_values(row: Mapping[str, Any]) -> tuple[float, float, Any, str]:
    """Value, size, change of the last day with what it was at its worst, of an open incident; of its worst day else."""
    peak, size = float(row["peak_value"]), float(row["size"])
    if not is_missing(row["end_date"]) or is_missing(row.get("current_value")) or is_missing(row.get("current_size")):
        return peak, size, row["change"], ""
    now, own = float(row["current_value"]), float(row["current_size"])
    change = own / (now - own) if now - own > _ZERO else None
    if is_as_usual_again(row):
        return peak, size, row["change"], ", as usual again on the last day,"
    if value_text(now, row["unit"]) == value_text(peak, row["unit"]):
        return peak, size, row["change"], ""
    if abs(own) >= abs(size):
        return now, own, change, ""
    return now, own, change, f", {value_text(peak, row['unit'])}{_usual_then(row)} at its worst{_on_worst_day(row)},"


def is_as_usual_again(row: Mapping[str, Any]) -> bool:
    """Whether an open incident is not off at all on the last day: only calm days are wanting until it is over."""
    worst: Any = row.get("size")
    now: Any = row.get("current_size")
    if not is_missing(row["end_date"]) or row["kind"] == "objective" or is_missing(worst) or is_missing(now):
        return False
    return float(now) * float(worst) <= 0


def _usual_then(row: Mapping[str, Any]) -> str:
    """What is usual of the worst day, where that is another weekday's: beside today's the worst may look the better."""
    then = float(row["peak_value"]) - float(row["size"])
    today = float(row["current_value"]) - float(row["current_size"])
    is_alike = abs(then - today) <= _ALIKE * abs(today) or bool(_counts_text(row))
    return "" if is_alike else f" instead of {value_text(then, row['unit'])}"


_ALIKE = 0.1


def _on_worst_day(row: Mapping[str, Any]) -> str:
    return "" if is_missing(row.get("worst_date")) else f" on {as_day(row['worst_date']):%-d %b}"


def _counts_text(row: Mapping[str, Any]) -> str:
    """Counts instead of a ratio where what is usual is chance's few: 20 errors where at most 2 are usual."""
    if is_missing(row.get("peak_count")) or is_missing(row.get("usual_most")):
        return ""
    if round(row["peak_count"]) <= round(row["usual_most"]):
        return ""
    thing = {"crash": "crash", "error": "error"}.get(METRIC_GROUPS.get(row["metric"], ""))
    if thing is None:
        return ""
    many = {"crash": "crashes"}.get(thing, f"{thing}s")
    days: Any = row.get("counted_days")
    when = _on_worst_day(row) if is_missing(days) else f" in {plural(int(days), 'day')}"
    count, most = round(row["peak_count"]), round(row["usual_most"])
    usual = "none is usual" if most == 0 else f"at most {most:,} {'is' if most == 1 else 'are'} usual"
    return f"{plural(count, thing, many)}{when} where {usual}"


def _objective_text(row: Mapping[str, Any], what: str) -> str:
    """What is no worse than it was, and not what it should be: on the last day, or on the worst of what has ended."""
    value = _against_objective(row)
    whose = " by default" if row.get("objective_source") == "default" else ""
    limit = _limit(row)
    told, told_limit = value_text(value, row["unit"]), value_text(limit, row["unit"])
    peak = value_text(row["peak_value"], row["unit"])
    when = _on_worst_day(row)
    worst = "" if peak == told else f" {peak} at its worst{when},"
    if is_missing(row["end_date"]) and (value - limit) * (row["peak_value"] - limit) < 0:
        return f"{what} at {told} on the last day, within the objective of {told_limit}{whose},{worst}"
    return f"{what} at {told} where {told_limit} is the objective{whose},{worst}"


def _against_objective(row: Mapping[str, Any]) -> Any:
    is_over = not is_missing(row["end_date"])
    return row["peak_value"] if is_over or is_missing(row["current_value"]) else row["current_value"]


def _silence_text(usual: Any) -> str:
    """How many there are otherwise, and how long there must be none before that is beyond chance."""
    if is_missing(usual):
        return ""
    days = days_until_silence_tells(float(usual))
    tells = "" if days is None else f" (silence tells after {days} day{'' if days == 1 else 's'})"
    return f", normally {count_text(usual)} a day{tells}"


def _ratio(change: float) -> str:
    if change >= MOST_TIMES - 1:
        return f"more than × {MOST_TIMES:.0f}"
    if change >= 1:
        return f"× {change + 1:.1f}"
    return f"{max(change, -1.0):+.0%}".replace("-", "−").replace("%", " %")


# Beyond tenfold a ratio says more of what was usual than of what came.
MOST_TIMES = 10.0
_ZERO = 1e-6


def _when_text(row: Mapping[str, Any]) -> str:
    start = as_day(row["start_date"])
    if is_missing(row["end_date"]):
        return f"since {start:%-d %b %Y}"
    end = as_day(row["end_date"])
    return f"on {start:%-d %b %Y}" if end == start else f"from {start:%-d %b} to {end:%-d %b %Y}"


def _where_text(row: Mapping[str, Any]) -> str:
    if row["scope"] == "product":
        features = names_of(row.get("features"))
        if len(features) > 1:
            rest = f" and {len(features) - 3} more" if len(features) > 3 else ""
            return f" ({', '.join(features[:3])}{rest}): look upstream first"
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
    verb = "missing" if METRIC_GROUPS.get(row["metric"]) == "volume" else "affected"
    most = 0 if is_missing(row["affected_users"]) else int(row["affected_users"])
    if is_missing(row["end_date"]) and not is_missing(row.get("users_today")):
        today = int(row["users_today"])
        beside = f", {most:,} on its worst" if most > today else ""
        return f"; {plural(today, 'user')} {verb} on the last day{beside}" if today or most else ""
    return f"; about {plural(most, 'user')} a day {verb}" if most else ""


def _ending_text(row: Mapping[str, Any]) -> str:
    """What became of it, where it neither goes on nor is back to what was normal, and what came in its place."""
    renamed = _renamed_text(row)
    if row.get("end_kind") == "silent":
        return f"; silent for good{'' if renamed else ', removed or renamed'}{renamed}"
    if row.get("end_kind") != "adopted":
        return renamed
    since = "" if is_missing(row.get("adopted_on")) else f" since {as_day(row['adopted_on']):%-d %b %Y}"
    off = float("nan") if is_missing(row.get("still_off")) else float(row["still_off"])
    by = "" if is_missing(off) else f", still off by {'+' if off > 0 else ''}{_difference_text(off, row['unit'])}"
    return f"; not recovered: the new level counts as normal{since}{by}"


def _difference_text(value: float, unit: str) -> str:
    """A difference of shares is one of points: in percent it would be read as one of its own."""
    return f"{value_text(value, unit).removesuffix(' %')} points" if unit == "fraction" else value_text(value, unit)


def _renamed_text(row: Mapping[str, Any]) -> str:
    """The names that came in its place; of many features at once the first three."""
    names, is_wide = names_of(row.get("renamed_to")), len(names_of(row.get("features"))) > 1
    if not names:
        return ""
    how = "may have been renamed to" if is_wide or len(names) == 1 else "may have been split into"
    rest = f" and {len(names) - 3} more" if is_wide and len(names) > 3 else ""
    told = ", ".join(names[:3]) + rest if rest else " and ".join(names)
    return f"; {how} {told}, which appeared then in {'their' if is_wide else 'its'} size"


KIND_WORDS = {
    "step": "sudden and lasting",
    "creep": "growing",
    "spike": "one day only",
    "dead": "no events at all",
    "objective": "beyond its objective",
}
"""How a fault came, in the words of every page."""

END_WORDS = {
    "open": "Open",
    "recovered": "Resolved",
    "adopted": "New normal, not recovered",
    "silent": "Silent for good",
}


def end_word(row: Mapping[str, Any]) -> str:
    """How an incident stands, in the words of every page, report and alert; only what has recovered is resolved."""
    kind = row.get("end_kind")
    if is_missing(kind):
        return "Open" if is_missing(row["end_date"]) else "Ended"
    return END_WORDS[str(kind)]


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
