"""From detections to incidents: merging, size, affected users, severity, and the slice that explains the change.

Here: rows of `product.incidents`, the SQL over events for an incident's windows, and the pure functions that read
its result. How a change is found in a series lives in `detection`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.metrics import METRIC_GROUPS, METRICS_BY_NAME
from quality_assets.domain.arrays import Floats, Ints
from quality_assets.domain.features.endings import CHANCE_SD, ending
from quality_assets.domain.features.incident_findings import (
    Finding,
    breach_findings,
    findings_of,
    incident_id,
    objective_on,
)
from quality_assets.domain.features.incident_words import describe
from quality_assets.domain.features.product_wide import told_once
from quality_assets.domain.features.settings import DEFAULT_INCIDENT_SETTINGS, IncidentSettings
from quality_assets.domain.features.severity import severity
from quality_assets.domain.series.panel import MONITORED_METRICS, columns_behind
from quality_assets.domain.series.scale import poisson_most
from quality_assets.domain.series.settings import DEFAULT_SETTINGS, DetectionSettings
from quality_assets.domain.series.states import Described, Watched, watch

# What incidents read of product.fact_feature_metrics, beside its key.
INCIDENT_FACTS = (*columns_behind(MONITORED_METRICS), "users", "crashed_users", "all_users")


def find_incidents(
    facts: pd.DataFrame,
    *,
    event_counts: pd.DataFrame | None = None,
    platform_counts: pd.DataFrame | None = None,
    tiers: Mapping[str, int] | None = None,
    described: Described | None = None,
    known_dates: Iterable[date] | None = None,
    metrics: Sequence[str] = MONITORED_METRICS,
    detection: DetectionSettings = DEFAULT_SETTINGS,
    settings: IncidentSettings = DEFAULT_INCIDENT_SETTINGS,
) -> pd.DataFrame:
    """Rows of `product.incidents` from rows of `product.fact_feature_metrics`, newest first; slices still unknown.

    `event_counts` is the result of `event_counts_sql`: with it, single events of a feature that fell silent are found
    too. `platform_counts` (event_date, feature, platform, events, crashes) adds the crash rate of each platform: what
    crashes on one of them is lost in the whole. `described`: objectives and what does not count. `tiers` maps features
    to 1 (most critical) … 3. `known_dates` are the days for which data arrived (default: days with any row). Too little
    history, gaps and constant metrics give no rows and no error.
    """
    watched = watch(
        facts,
        event_counts=event_counts,
        platform_counts=platform_counts,
        described=described,
        known_dates=None if known_dates is None else list(known_dates),
        metrics=metrics,
        settings=detection,
    )
    return incidents_of(watched, facts, tiers=tiers, detection=detection, settings=settings)


def incidents_of(
    watched: Sequence[Watched],
    facts: pd.DataFrame,
    *,
    tiers: Mapping[str, int] | None = None,
    detection: DetectionSettings = DEFAULT_SETTINGS,
    settings: IncidentSettings = DEFAULT_INCIDENT_SETTINGS,
) -> pd.DataFrame:
    """Rows of `product.incidents` of what was watched, newest first; what does not count makes none."""
    findings = [finding for order, each in enumerate(watched) for finding in findings_of(each, order, detection)]
    findings += breach_findings(watched, len(watched))
    clusters = [c for group in _by_feature(findings).values() for c in _cluster(group, settings)]
    # Once for all: each incident asks for the days of its feature.
    facts_of, usual = _by_name(facts), usual_product_users(facts)
    none = facts.iloc[:0]
    rows = [_row(each, watched, facts_of.get(each[0].feature, none), usual, tiers or {}) for each in clusters]
    _mark_product_scope(rows, facts["feature"].nunique() if len(facts) else 0, settings)
    rows = told_once(rows, facts, settings)
    for row in rows:
        row["sentence"] = describe(row)
    frame = pd.DataFrame(rows, columns=list(INCIDENTS.column_names))
    return frame.sort_values(["detected_on", "incident_id"], ascending=[False, True], ignore_index=True)


def event_counts_sql(source: str = "core.valid_events") -> str:
    """Events and crashes per day, feature, event name and platform, from `$from_date` to `$to_date`."""
    # Grouping by columns as they are stored costs half of what it does by expressions.
    return (
        "select event_date, feature, event_name, coalesce(platform, '(unknown)') as platform,\n"
        "  cast(sum(n) as bigint) as events, cast(coalesce(sum(n) filter (status = 'crash'), 0) as bigint) as crashes\n"
        "from (\n"
        f"  select event_date, feature, event_name, platform, status, count(*) as n from {source}\n"
        "  where event_date between $from_date and $to_date group by all)\n"
        "group by all"
    )


def _by_name(facts: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The facts of each feature, by timestamps."""
    if not len(facts):
        return {}
    dated = facts.assign(event_date=pd.to_datetime(facts["event_date"]))
    return {str(name): own for name, own in dated.groupby("feature")}


def _by_feature(findings: list[Finding]) -> dict[str, list[Finding]]:
    grouped: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        grouped[finding.feature].append(finding)
    return grouped


def _cluster(findings: list[Finding], settings: IncidentSettings) -> list[list[Finding]]:
    """Put the findings of one feature into faults, in the order of detection: later findings never regroup earlier."""
    clusters: list[list[Finding]] = []
    for finding in sorted(findings, key=lambda f: (f.detected_on, -f.first_evidence, f.order, f.event_name or "")):
        home = next((c for c in reversed(clusters) if _belongs(finding, c, settings)), None)
        if home is None:
            clusters.append([finding])
        else:
            home.append(finding)
    return clusters


def _belongs(finding: Finding, cluster: list[Finding], settings: IncidentSettings) -> bool:
    """Whether a finding is part of a fault, judged by what was known on the day it was found."""
    found = finding.detected_on
    if finding.episode.kind != "objective" and all(other.episode.kind == "objective" for other in cluster):
        # Worse than its own past is another matter than what has missed its objective all along.
        return False
    if (found - cluster[0].detected_on).days <= settings.merge_within_days:
        return any((found - other.last_worse_by(found)).days <= 1 for other in cluster)
    same = [other for other in cluster if other.group == finding.group]
    pause = settings.reopen_within_days + 1
    since = finding.evidence_since
    return any(other.is_active_on(found) or (since - other.last_worse_by(found)).days <= pause for other in same)


def _row(
    cluster: list[Finding],
    watched: Sequence[Watched],
    own_facts: pd.DataFrame,
    usual_users: float | None,
    tiers: Mapping[str, int],
) -> dict[str, Any]:
    first = cluster[0]
    event_name = _event_name(cluster)
    lead = next((f for f in cluster if event_name is not None and f.event_name == event_name), first)
    # Where the whole feature shows it too, it is a fault of the whole.
    lead = next((f for f in cluster if f.metric == lead.metric and f.platform is None), lead) if lead.platform else lead
    own = [f for f in cluster if f.metric == lead.metric and f.event_name == lead.event_name]
    own_start = min(f.start_date for f in own)
    # What was found first may be of another series: it has begun by the day on which that was found.
    start = min(own_start, first.start_date)
    # Wherever the first metric has calmed down but another one has not, the fault goes on.
    is_open = any(f.episode.end_day is None for f in cluster)
    last = max(f.last_date for f in cluster)
    measured = _measure(lead, own_start, max(f.last_date for f in own), is_open)
    kinds: list[str] = [f.episode.kind for f in own if f.episode.kind != "objective"] or [own[0].episode.kind]
    row: dict[str, Any] = {
        "incident_id": incident_id(first.feature, first.event_name, first.metric, first.detected_on),
        "feature": first.feature,
        "event_name": event_name,
        "platform": lead.platform,
        "metric": lead.metric,
        "metrics": list(dict.fromkeys([lead.metric, *(f.metric for f in cluster)])),
        "kind": "dead" if "dead" in kinds else "step" if len(kinds) > 1 else kinds[0],
        "scope": "feature",
        "start_date": start,
        "detected_on": first.detected_on,
        "unit": METRICS_BY_NAME[lead.metric].unit,
        "score": max(f.episode.score for f in cluster),
        "slice_status": "unknown",
        "slice_dimensions": [],
        "slice_values": [],
        "slice_share": None,
        "slice_traffic_share": None,
        **dict.fromkeys(("features", "renamed_to", "verdict", "real_share", "verdict_sentence")),
        **measured,
        **ending(cluster, is_open),
    }
    row |= _exposure(row, own_facts, start, last)
    row |= objective_on(watched, lead, is_open, last)
    row["users_today"] = None
    row["severity"] = severity(row, usual_users, tiers.get(first.feature))
    return row


def usual_product_users(facts: pd.DataFrame) -> float | None:
    """Users of the whole product on a usual day; None where users are unknown."""
    usual = facts["all_users"].dropna().median() if "all_users" in facts else np.nan
    return float(usual) if pd.notna(usual) else None


def _event_name(cluster: list[Finding]) -> str | None:
    """The one event that fell silent; None where several did, where the whole feature did, or where none did."""
    names = {f.event_name for f in cluster if f.event_name is not None}
    whole = any(f.event_name is None and f.episode.kind == "dead" for f in cluster)
    is_volume = cluster[0].group == "volume"
    return names.pop() if len(names) == 1 and is_volume and not whole else None


def _measure(finding: Finding, start: date, last: date, is_open: bool) -> dict[str, Any]:
    """Baseline, today's and worst value of the incident's first metric, its size, and what it cost in events."""
    found, panel, series = finding.detections, finding.detections.panel, finding.episode.series
    window = slice(panel.dates.index(start), panel.dates.index(last) + 1)
    value, expected = panel.value[series, window], found.expected[series, window]
    worse = panel.worse * (value - expected)
    known = np.isfinite(worse)
    if not known.any():
        return dict.fromkeys(_MEASURED)
    peak = int(np.argmax(np.where(known, _worst_by(finding, window, worse), -np.inf)))
    size = float(value[peak] - expected[peak])
    today = _last_known_day(finding) if is_open else window.stop - 1
    days_pooled = found.days_pooled[series, today] if found.days_pooled is not None else np.nan
    return {
        "baseline_value": float(np.nanmean(expected)),
        "current_value": _number(panel.value[series, today]),
        "current_size": _number(panel.value[series, today] - found.expected[series, today]),
        "peak_value": float(value[peak]),
        "size": size,
        "change": size / float(expected[peak]) if expected[peak] > _ZERO else None,
        "real_change": _real_change(finding, window.start + peak, today if is_open else None),
        "excess": _excess(finding, window, worse),
        "worst_date": panel.dates[window.start + peak],
        **_counted(finding, window.start + peak, window),
        "days_pooled": _number(days_pooled) if days_pooled > 1 else None,
    }


def _worst_by(finding: Finding, window: slice, worse: Floats) -> Floats:
    """By what a day of an incident is the worst one: the evidence; where an objective is missed, how far.

    Of misses the evidence is of a week, and the same on every day that is all bad. A day with less than half of the
    usual sample is not their worst: a handful strays far by chance.
    """
    found, series = finding.detections, finding.episode.series
    if finding.episode.kind != "objective":
        z = found.z[series, window]
        return np.where(np.isfinite(z), z, -1e9)
    # Where it is not known it is ample.
    sample = np.nan_to_num(found.panel.sample[series, window], nan=np.inf)
    return np.where(sample >= np.median(sample[np.isfinite(worse)]) / 2, worse, -1e9)


_MEASURED = (
    "baseline_value", "current_value", "current_size", "peak_value", "size", "change", "real_change", "excess",
    "worst_date", "peak_count", "usual_most", "counted_days", "days_pooled",
)  # fmt: skip
# What rounds to no expectation at all is nothing to hold a value against.
_ZERO = 1e-9
_RECENT_DAYS = 3


# Up to so many expected, a ratio is one of chance.
_FEW = 5.0
_RARELY_MORE_SD = 2.33


def _counted(finding: Finding, day: int, window: slice) -> dict[str, float | None]:
    """Of a rate of which so little is usual that chance makes its ratio: how many came, and how many do at most.

    Of the worst day; where that alone shows nothing, and many days together gave it away, of all days of `window`.
    """
    found, series = finding.detections, finding.episode.series
    out: dict[str, float | None] = {"peak_count": None, "usual_most": None, "counted_days": None}
    if found.panel.family != "rate" or finding.episode.kind == "objective":
        return out
    few = _few(finding, np.array([day]))
    if few is None:
        return out
    is_pooled = found.is_pooled is not None and bool(found.is_pooled[series, finding.episode.detected_day])
    if few[0] > few[1]:
        return out | {"peak_count": few[0], "usual_most": few[1]}
    days = np.arange(window.start, window.stop)
    many = _few(finding, days[np.isfinite(found.panel.value[series, days])], most=np.inf) if is_pooled else None
    if many is None or many[0] <= many[1]:
        return out
    return out | {"peak_count": many[0], "usual_most": many[1], "counted_days": len(days)}


def _few(finding: Finding, days: Ints, most: float = _FEW) -> tuple[float, float] | None:
    """How many came on days, and how many do at most; None where that is not known, or `most` are usual.

    At most is what Poisson counts pass once in a hundred times, or what the series' own noise does.
    """
    found, panel, series = finding.detections, finding.detections.panel, finding.episode.series
    sample, expected = panel.sample[series, days], np.maximum(found.expected[series, days], 0.0)
    usual = float((expected * sample).sum())
    if not isfinite(usual) or usual >= most:
        return None
    noise = found.noise[series, days] * sample
    spread = usual + _RARELY_MORE_SD * float(np.sqrt((noise**2).sum())) if np.isfinite(noise).all() else 0.0
    came = float(np.round(panel.value[series, days] * sample).sum())
    return came, float(max(poisson_most(usual), np.floor(spread)))


def _last_known_day(finding: Finding) -> int:
    known = np.flatnonzero(np.isfinite(finding.detections.panel.value[finding.episode.series]))
    return int(known[-1]) if len(known) else finding.episode.last_day


def _real_change(finding: Finding, peak: int, today: int | None) -> float | None:
    """How far it is off towards worse, less what chance may add (the lower end of a 90 % interval): relative, of scores
    in points; over the last days where it goes on, else on its worst day. None above an expected 0.
    """
    found, panel, series = finding.detections, finding.detections.panel, finding.episode.series
    days = np.arange(max(today - _RECENT_DAYS + 1, finding.episode.start_day), today + 1) if today else np.array([peak])
    off = panel.worse * (panel.value[series, days] - found.expected[series, days])
    days = days[np.isfinite(off)]
    if not len(days):
        return None
    off, expected = off[np.isfinite(off)].mean(), found.expected[series, days].mean()
    noise = found.noise[series, days]
    noise = noise[np.isfinite(noise)].mean() if np.isfinite(noise).any() else 0.0
    real = max(float(off - CHANCE_SD * noise / np.sqrt(len(days))), 0.0)
    if panel.family == "score":
        return real
    return real / float(expected) if expected > _ZERO else None


def _excess(finding: Finding, window: slice, worse: Any) -> float | None:
    panel = finding.detections.panel
    if panel.family == "count":
        return float(max(np.nansum(worse), 0.0))
    if panel.family == "rate":
        return float(max(np.nansum(worse * panel.sample[finding.episode.series, window]), 0.0))
    return None


def _number(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _exposure(row: Mapping[str, Any], own: pd.DataFrame, start: date, last: date) -> dict[str, Any]:
    """Events during the incident and users a day on its worst day, as far as the feature's own facts know them.

    Users who met a crash are counted; for slowness and feedback it is everyone who used the feature, until
    `with_affected_users` counts them; for lost events the users who are missing. Errors are not counted per user in
    the facts: unknown.
    """
    if not len(own):
        return {"events": 0, "affected_users": None}
    days = own["event_date"]
    during = own[(days >= pd.Timestamp(start)) & (days <= pd.Timestamp(last))]
    worst = during[during["event_date"] == pd.Timestamp(row.get("worst_date") or start)]
    group = METRIC_GROUPS.get(row["metric"])
    users: float | None = None
    if group == "crash":
        users = _first(worst, "crashed_users")
    elif group == "volume" and row["event_name"] is None:
        before = own[(days < pd.Timestamp(start)) & (days >= pd.Timestamp(start) - pd.Timedelta(days=28))]
        usual = before["users"].dropna().median() if "users" in before else np.nan
        users = max(float(usual) - (_first(worst, "users") or 0.0), 0.0) if pd.notna(usual) else None
    elif group in ("latency", "feedback"):
        users = _first(worst, "users")
    return {"events": int(during["events"].sum()), "affected_users": None if users is None else int(users)}


def _first(frame: pd.DataFrame, column: str) -> float | None:
    if column not in frame or not len(frame) or pd.isna(frame[column].iloc[0]):
        return None
    return float(frame[column].iloc[0])


def _mark_product_scope(rows: list[dict[str, Any]], features: int, settings: IncidentSettings) -> None:
    if features < settings.product_minimum_features:
        return
    days: dict[tuple[str, int], set[str]] = defaultdict(set)
    for row in rows:
        group = METRIC_GROUPS.get(row["metric"], row["metric"])
        for offset in (-1, 0, 1):
            days[group, row["detected_on"].toordinal() + offset].add(row["feature"])
    for row in rows:
        alike = days[METRIC_GROUPS.get(row["metric"], row["metric"]), row["detected_on"].toordinal()]
        if len(alike) >= settings.product_share * features:
            row["scope"] = "product"
