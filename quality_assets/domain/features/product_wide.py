"""Most features alike at once is one event of the product: rows of its features become one, which names them all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd

from quality_assets.contracts.metrics import METRIC_GROUPS, METRICS_BY_NAME
from quality_assets.domain.features.incident_findings import incident_id
from quality_assets.domain.features.incident_words import is_missing
from quality_assets.domain.features.settings import IncidentSettings

Row = dict[str, Any]
# What goes on for so much longer than the rest is a fault of its own.
_OUTLASTS = timedelta(days=3)


def told_once(rows: Sequence[Row], facts: pd.DataFrame, settings: IncidentSettings) -> list[Row]:
    """The rows, those of one event of the product told as one; features that it outlasts keep one of their own."""
    features = int(facts["feature"].nunique()) if len(facts) else 0
    if features < settings.product_minimum_features:
        return list(rows)
    usual = {str(name): float(events) for name, events in facts.groupby("feature")["events"].median().items()}
    out = [row for row in rows if row["scope"] != "product"]
    for event in _events([row for row in rows if row["scope"] == "product"]):
        names = {row["feature"] for row in event}
        if len(names) < settings.product_share * features:
            out += event
            continue
        whole = _whole(event, usual, facts)
        out.append(whole)
        out += [row | {"scope": "feature"} for row in event if _outlasts(row, whole)]
    return out


def _events(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one kind of metric and one direction that were found within a day of each other, as one."""
    alike: dict[tuple[str, bool], list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: (r["detected_on"], r["feature"], r["incident_id"])):
        alike[str(METRIC_GROUPS.get(row["metric"], row["metric"])), _number(row["size"]) < 0].append(row)
    out: list[list[Row]] = []
    for group in alike.values():
        chain: list[Row] = []
        for row in group:
            if chain and (row["detected_on"] - chain[0]["detected_on"]).days > 1:
                out.append(chain)
                chain = []
            chain.append(row)
        out.append(chain)
    return out


def _whole(event: Sequence[Row], usual: Mapping[str, float], facts: pd.DataFrame) -> Row:
    lead = max(event, key=lambda r: (usual.get(r["feature"], 0.0), r["feature"]))
    metric = Counter(r["metric"] for r in event).most_common(1)[0][0]
    alike = [r for r in event if r["metric"] == metric and is_missing(r["event_name"]) and is_missing(r["platform"])]
    lead = lead if lead in alike or not alike else max(alike, key=lambda r: usual.get(r["feature"], 0.0))
    open_rows = [r for r in event if is_missing(r["end_date"])]
    ends = sorted(r["end_date"] for r in event if not is_missing(r["end_date"]))
    is_open = 2 * len(open_rows) >= len(event)
    kinds = Counter(r["end_kind"] for r in event if (r["end_kind"] == "open") == is_open)
    found: date = min(r["detected_on"] for r in event)
    group = METRIC_GROUPS.get(metric, metric)
    return lead | {
        "incident_id": incident_id("\x1fproduct", None, group, found),
        "features": sorted({r["feature"] for r in event}),
        "metric": lead["metric"],
        "metrics": list(dict.fromkeys([lead["metric"], *(name for r in event for name in r["metrics"])])),
        "kind": Counter(r["kind"] for r in event).most_common(1)[0][0],
        "event_name": None,
        "platform": None,
        "start_date": min(sorted(r["start_date"] for r in event)[len(event) // 2], found),
        "detected_on": found,
        "end_date": None if is_open else ends[len(ends) // 2],
        "end_kind": kinds.most_common(1)[0][0],
        "score": max(r["score"] for r in event),
        "events": sum(int(r["events"]) for r in event),
        "excess": _total([r["excess"] for r in event]),
        "affected_users": _users_missing(facts, lead) if group == "volume" else None,
        **_sizes(alike or [lead], usual, METRICS_BY_NAME[lead["metric"]].unit == "count"),
    }


def _sizes(rows: Sequence[Row], usual: Mapping[str, float], is_count: bool) -> Row:
    """Values of the whole: counts add up, the rest is weighed by the events of the features."""
    weights = [1.0 if is_count else max(float(usual.get(r["feature"], 0.0)), 1.0) for r in rows]

    def combined(name: str) -> float | None:
        pairs = [(w, float(r[name])) for w, r in zip(weights, rows, strict=True) if not is_missing(r[name])]
        if not pairs:
            return None
        total = sum(w * v for w, v in pairs)
        return total if is_count else total / sum(w for w, _ in pairs)

    out: Row = {name: combined(name) for name in ("baseline_value", "current_value", "current_size", "peak_value")}
    out["size"] = combined("size")
    before = None if out["peak_value"] is None or out["size"] is None else out["peak_value"] - out["size"]
    out["change"] = out["size"] / before if before is not None and before > 0 else None
    known = [(max(float(usual.get(r["feature"], 0.0)), 1.0), r["real_change"]) for r in rows]
    real = [(w, float(v)) for w, v in known if not is_missing(v)]
    out["real_change"] = sum(w * v for w, v in real) / sum(w for w, _ in real) if real else None
    return out


def _users_missing(facts: pd.DataFrame, lead: Row) -> int | None:
    """Users of the product who are missing on the worst day, against the four weeks before."""
    if "all_users" not in facts or is_missing(lead["worst_date"]):
        return None
    days = pd.to_datetime(facts["event_date"])
    by_day = facts["all_users"].groupby(days).max()
    start, worst = pd.Timestamp(lead["start_date"]), pd.Timestamp(lead["worst_date"])
    usual = by_day[(by_day.index < start) & (by_day.index >= start - pd.Timedelta(days=28))].median()
    now = by_day.get(worst, 0.0)
    return None if pd.isna(usual) or pd.isna(now) else int(max(usual - now, 0.0))


def _outlasts(row: Row, whole: Row) -> bool:
    if is_missing(whole["end_date"]):
        return False
    return bool(is_missing(row["end_date"]) or row["end_date"] > whole["end_date"] + _OUTLASTS)


def _total(values: Sequence[Any]) -> float | None:
    known = [float(v) for v in values if not is_missing(v)]
    return sum(known) if known else None


def _number(value: Any) -> float:
    return 0.0 if is_missing(value) else float(value)
