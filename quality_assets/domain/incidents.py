"""From detections to incidents: merging, size, affected users, severity, and the slice that explains the change.

Here: rows of `product.incidents`, the SQL over events for an incident's windows, and the pure functions that read
its result. How a change is found in a series lives in `detection`.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.contracts.incidents import INCIDENT_SEVERITIES, INCIDENTS
from quality_assets.domain.detection import (
    DEFAULT_SETTINGS,
    MONITORED_METRICS,
    Detections,
    DetectionSettings,
    Episode,
    detect,
    detect_all,
    episodes,
    panel_from_facts,
    silence_log_p,
    silent_days_to_tell,
)
from quality_assets.domain.metrics import METRICS_BY_NAME
from quality_assets.domain.wording import count_text, value_text

METRIC_GROUPS = {
    "events": "volume",
    "users": "volume",
    "sessions": "volume",
    "adoption_rate": "volume",
    "crashes": "crash",
    "crash_rate": "crash",
    "crash_free_sessions": "crash",
    "crash_free_users": "crash",
    "errors": "error",
    "error_rate": "error",
    "latency_p50_ms": "latency",
    "latency_p95_ms": "latency",
    "latency_p99_ms": "latency",
    "latency_mean_ms": "latency",
    "apdex": "latency",
    "feedback_mean": "feedback",
}
SLICE_DIMENSIONS = ("platform", "app_version", "country")
UNKNOWN_VALUE = "(unknown)"
_ALL = "\x01all"
# The share of traffic from which on one value is all that a dimension has.
_WHOLE = 0.95


@dataclass(frozen=True)
class IncidentSettings:
    """Every setting of merging, severity and attribution, with its reason.

    merge_within_days: different metrics found within so many days of one another are one fault; later ones are not.
    reopen_within_days: the same kind of metric again after so short a pause is the same fault.
    product_share, product_minimum_features: when so many features change alike within a day, look upstream first.
    severity_steps: changes from which an incident is medium and high: relative, for feedback in points.
    large_user_share: hitting this share of all users lifts severity by one.
    before_days: two of each weekday before the start, to compare slices with.
    longest_during_days: more days of the incident tell no more about its slice.
    minimum_share, minimum_lift: a slice explains a change only if most of it lies there, and more than its traffic.
    minimum_gain: log-likelihood by which a slice must beat 'everything', beside the number of slices tried.
    pair_advantage: a pair of dimensions must explain so much better than a single one.
    prior_bad_events: pseudo-events that draw the earlier rate of a small or new slice to the overall one.
    minimum_evidence: fewer bad (or missing) events than this say nothing of slices.
    """

    merge_within_days: int = 3
    reopen_within_days: int = 3
    product_share: float = 0.5
    product_minimum_features: int = 5
    severity_steps: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {
            "latency": (0.25, 0.75),
            "crash": (1.0, 3.0),
            "error": (1.0, 3.0),
            "feedback": (0.3, 0.8),
            "volume": (0.3, 0.6),
        }
    )
    large_user_share: float = 0.10
    before_days: int = 14
    longest_during_days: int = 28
    minimum_share: float = 0.6
    minimum_lift: float = 1.5
    minimum_gain: float = 5.0
    pair_advantage: float = 1.1
    prior_bad_events: float = 5.0
    minimum_evidence: float = 10.0


DEFAULT_INCIDENT_SETTINGS = IncidentSettings()


@dataclass(frozen=True)
class _Finding:
    """One episode with the series it is of, in calendar days."""

    feature: str
    event_name: str | None
    episode: Episode
    detections: Detections
    order: int
    platform: str | None = None

    @property
    def metric(self) -> str:
        return self.episode.metric

    @property
    def group(self) -> str:
        return METRIC_GROUPS.get(self.metric, self.metric)

    def day(self, index: int) -> date:
        return self.detections.panel.dates[index]

    @property
    def detected_on(self) -> date:
        return self.day(self.episode.detected_day)

    @property
    def start_date(self) -> date:
        return self.day(self.episode.start_day)

    @property
    def last_date(self) -> date:
        return self.day(self.episode.last_day)

    def is_active_on(self, day: date) -> bool:
        """Whether its episode was going on."""
        return bool(self._active_by(day).all())

    def _active_by(self, day: date) -> Any:
        """Whether each day from detection to `day` belongs to this episode, and not to a later one."""
        until = _index_by(self.detections.panel.dates, day) + 1
        active = self.detections.is_active[self.episode.series, self.episode.detected_day : until].copy()
        later_starts = self.detections.is_start[self.episode.series, self.episode.detected_day : until].copy()
        later_starts[:1] = False
        return np.logical_and.accumulate(active & ~later_starts)

    def last_worse_by(self, day: date) -> date:
        """The last day of its episode that was worse than normal, as known at the end of `day`."""
        dates, at = self.detections.panel.dates, self.episode
        own = self._active_by(day)
        days = at.detected_day + np.flatnonzero(own)
        is_bad = np.nan_to_num(self.detections.z[at.series, days]) >= DEFAULT_SETTINGS.calm_sd
        is_bad |= self.detections.is_silence[at.series, days]
        worse = days[is_bad]
        return dates[int(worse[-1]) if len(worse) else at.detected_day]

    @property
    def first_evidence(self) -> float:
        """Evidence on the day it was found: known then, so that it may name the incident for good."""
        at = (self.episode.series, self.episode.detected_day)
        return float(np.nanmax([self.detections.z[at], self.detections.ewma[at], -self.detections.silence_log_p[at]]))


def _index_by(dates: Sequence[date], day: date) -> int:
    return bisect_right(dates, day) - 1


def find_incidents(
    facts: pd.DataFrame,
    *,
    event_counts: pd.DataFrame | None = None,
    platform_counts: pd.DataFrame | None = None,
    tiers: Mapping[str, int] | None = None,
    known_dates: Iterable[date] | None = None,
    metrics: Sequence[str] = MONITORED_METRICS,
    detection: DetectionSettings = DEFAULT_SETTINGS,
    settings: IncidentSettings = DEFAULT_INCIDENT_SETTINGS,
) -> pd.DataFrame:
    """Rows of `product.incidents` from rows of `product.fact_feature_metrics`, newest first; slices still unknown.

    `event_counts` is the result of `event_counts_sql`: with it, single events of a feature that fell silent are found
    too. `platform_counts` (event_date, feature, platform, events, crashes) adds the crash rate of each platform: what
    crashes on one of them is lost in the whole. `tiers` maps features to 1 (most critical) … 3. `known_dates` are the
    days for which data arrived (default: days with any row). Too little history, gaps and constant metrics give no rows
    and no error.
    """
    known = None if known_dates is None else list(known_dates)
    findings: list[_Finding] = []
    if len(facts):
        for order, detections in enumerate(detect_all(facts, metrics, known, detection).values()):
            findings += [
                _Finding(detections.panel.series[e.series], None, e, detections, order)
                for e in episodes(detections, detection)
            ]
    if event_counts is not None and len(event_counts):
        every_day = known if known is not None else list(pd.to_datetime(facts["event_date"]).dt.date.unique())
        findings += dead_event_findings(event_counts, every_day, detection)
    if platform_counts is not None and len(platform_counts):
        every_day = known if known is not None else list(pd.to_datetime(facts["event_date"]).dt.date.unique())
        findings += platform_crash_findings(platform_counts, every_day, detection)
    clusters = [c for group in _by_feature(findings).values() for c in _cluster(group, settings)]
    rows = [_row(cluster, facts, tiers or {}, settings) for cluster in clusters]
    _mark_product_scope(rows, facts["feature"].nunique() if len(facts) else 0, settings)
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


def dead_event_findings(
    event_counts: pd.DataFrame, known_dates: Iterable[date], settings: DetectionSettings = DEFAULT_SETTINGS
) -> list[_Finding]:
    """Silences of single events of a feature. Falls that are not silence belong to the feature's volume."""
    pairs = event_counts[["feature", "event_name"]].drop_duplicates().reset_index(drop=True)
    pairs["key"] = [f"{number:09d}" for number in range(len(pairs))]
    keyed = event_counts.merge(pairs, on=["feature", "event_name"])
    detections = detect(panel_from_facts(keyed, "events", known_dates, key="key"), settings)
    return [
        _Finding(pairs["feature"][e.series], pairs["event_name"][e.series], e, detections, len(MONITORED_METRICS))
        for e in episodes(detections, settings)
        if e.kind == "dead"
    ]


def platform_crash_findings(
    platform_counts: pd.DataFrame, known_dates: Iterable[date], settings: DetectionSettings = DEFAULT_SETTINGS
) -> list[_Finding]:
    """Rises of the crash rate on single platforms of features that have several."""
    pairs = platform_counts[["feature", "platform"]].drop_duplicates()
    pairs = pairs[pairs.groupby("feature")["platform"].transform("size") > 1].reset_index(drop=True)
    if not len(pairs):
        return []
    pairs["key"] = [f"{number:09d}" for number in range(len(pairs))]
    keyed = platform_counts.merge(pairs, on=["feature", "platform"])
    keyed["crash_rate"] = keyed["crashes"] / keyed["events"]
    detections = detect(panel_from_facts(keyed, "crash_rate", known_dates, key="key"), settings)
    order = len(MONITORED_METRICS) + 1
    return [
        _Finding(pairs["feature"][e.series], None, e, detections, order, pairs["platform"][e.series])
        for e in episodes(detections, settings)
    ]


def _by_feature(findings: list[_Finding]) -> dict[str, list[_Finding]]:
    grouped: dict[str, list[_Finding]] = defaultdict(list)
    for finding in findings:
        grouped[finding.feature].append(finding)
    return grouped


def _cluster(findings: list[_Finding], settings: IncidentSettings) -> list[list[_Finding]]:
    """Put the findings of one feature into faults, in the order of detection: later findings never regroup earlier."""
    clusters: list[list[_Finding]] = []
    for finding in sorted(findings, key=lambda f: (f.detected_on, -f.first_evidence, f.order, f.event_name or "")):
        home = next((c for c in reversed(clusters) if _belongs(finding, c, settings)), None)
        if home is None:
            clusters.append([finding])
        else:
            home.append(finding)
    return clusters


def _belongs(finding: _Finding, cluster: list[_Finding], settings: IncidentSettings) -> bool:
    """Whether a finding is part of a fault, judged by what was known on the day it was found."""
    found = finding.detected_on
    if (found - cluster[0].detected_on).days <= settings.merge_within_days:
        return any((found - other.last_worse_by(found)).days <= 1 for other in cluster)
    same = [other for other in cluster if other.group == finding.group]
    pause = settings.reopen_within_days + 1
    return any(other.is_active_on(found) or (found - other.last_worse_by(found)).days <= pause for other in same)


def incident_id(feature: str, event_name: str | None, metric: str, detected_on: date) -> str:
    """The id of an incident: what was found first, and when."""
    text = "\x1f".join((feature, event_name or "", metric, detected_on.isoformat()))
    return "inc-" + hashlib.sha256(text.encode()).hexdigest()[:12]


def _row(
    cluster: list[_Finding], facts: pd.DataFrame, tiers: Mapping[str, int], settings: IncidentSettings
) -> dict[str, Any]:
    first = cluster[0]
    event_name = _event_name(cluster)
    lead = next((f for f in cluster if event_name is not None and f.event_name == event_name), first)
    # Where the whole feature shows it too, it is a fault of the whole.
    lead = next((f for f in cluster if f.metric == lead.metric and f.platform is None), lead) if lead.platform else lead
    own = [f for f in cluster if f.metric == lead.metric and f.event_name == lead.event_name]
    start = min(f.start_date for f in own)
    # Wherever the first metric has calmed down but another one has not, the fault goes on.
    is_open = any(f.episode.end_day is None for f in cluster)
    last = max(f.last_date for f in cluster)
    measured = _measure(lead, start, max(f.last_date for f in own))
    kinds = [f.episode.kind for f in own]
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
        "end_date": None if is_open else last,
        "detected_on": first.detected_on,
        "unit": METRICS_BY_NAME[lead.metric].unit,
        "score": max(f.episode.score for f in cluster),
        "slice_status": "unknown",
        "slice_dimensions": [],
        "slice_values": [],
        "slice_share": None,
        "slice_traffic_share": None,
        **measured,
    }
    row |= _exposure(row, facts, start, last)
    row["severity"] = severity(row, facts, tiers.get(first.feature), settings)
    return row


def _event_name(cluster: list[_Finding]) -> str | None:
    """The one event that fell silent; None where several did, where the whole feature did, or where none did."""
    names = {f.event_name for f in cluster if f.event_name is not None}
    whole = any(f.event_name is None and f.episode.kind == "dead" for f in cluster)
    is_volume = cluster[0].group == "volume"
    return names.pop() if len(names) == 1 and is_volume and not whole else None


def _measure(finding: _Finding, start: date, last: date) -> dict[str, Any]:
    """Baseline, current and worst value of the incident's first metric, its size, and what it cost in events."""
    found, panel, series = finding.detections, finding.detections.panel, finding.episode.series
    window = slice(panel.dates.index(start), panel.dates.index(last) + 1)
    value, expected, z = panel.value[series, window], found.expected[series, window], found.z[series, window]
    worse = panel.worse * (value - expected)
    known = np.isfinite(worse)
    if not known.any():
        return dict.fromkeys(("baseline_value", "current_value", "peak_value", "size", "change", "excess"))
    peak = int(np.argmax(np.where(known, np.where(np.isfinite(z), z, -1e9), -np.inf)))
    size = float(value[peak] - expected[peak])
    return {
        "baseline_value": float(np.nanmean(expected)),
        "current_value": _number(value[-1]),
        "peak_value": float(value[peak]),
        "size": size,
        "change": size / float(expected[peak]) if expected[peak] > 0 else None,
        "excess": _excess(finding, window, worse),
        "worst_date": panel.dates[window.start + peak],
    }


def _excess(finding: _Finding, window: slice, worse: Any) -> float | None:
    panel = finding.detections.panel
    if panel.family == "count":
        return float(max(np.nansum(worse), 0.0))
    if panel.family == "rate":
        return float(max(np.nansum(worse * panel.sample[finding.episode.series, window]), 0.0))
    return None


def _number(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _exposure(row: Mapping[str, Any], facts: pd.DataFrame, start: date, last: date) -> dict[str, Any]:
    """Events during the incident and users a day on its worst day, as far as the facts know them.

    Users who met a crash are counted; for slowness and feedback it is everyone who used the feature, until
    `with_affected_users` counts them; for lost events the users who are missing. Errors are not counted per user in
    the facts: unknown.
    """
    own = facts[facts["feature"] == row["feature"]] if len(facts) else facts
    if not len(own):
        return {"events": 0, "affected_users": None}
    days = pd.to_datetime(own["event_date"])
    during = own[(days >= pd.Timestamp(start)) & (days <= pd.Timestamp(last))]
    worst = during[pd.to_datetime(during["event_date"]) == pd.Timestamp(row.get("worst_date") or start)]
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


def severity(row: Mapping[str, Any], facts: pd.DataFrame, tier: int | None, settings: IncidentSettings) -> str:
    """low … critical: by the size of the change, one up each for tier 1 and for many users, one down for tier 3."""
    medium, high = settings.severity_steps.get(METRIC_GROUPS.get(row["metric"], ""), (0.25, 0.75))
    amount = row["size"] if METRICS_BY_NAME[row["metric"]].unit == "score" else row["change"]
    amount = abs(amount) if amount is not None else high
    level = 2 if amount >= high or row["kind"] == "dead" else 1 if amount >= medium else 0
    everyone = facts["all_users"].dropna().median() if "all_users" in facts else np.nan
    share = row["affected_users"] / everyone if row["affected_users"] is not None and everyone > 0 else 0.0
    level += int(tier == 1) + int(share >= settings.large_user_share) - int(tier == 3)
    return INCIDENT_SEVERITIES[min(max(level, 0), len(INCIDENT_SEVERITIES) - 1)]


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


def incident_windows(
    incidents: pd.DataFrame, data_through: date, settings: IncidentSettings = DEFAULT_INCIDENT_SETTINGS
) -> pd.DataFrame:
    """What to compare for each incident: before with during. The relation `windows` of the slice queries.

    One row per incident: incident_id, feature, event_name, metric, before_from, before_to, during_from, during_to
    (dates, inclusive), threshold (the metric's baseline value, for latency ms and feedback points).
    """
    rows = []
    for row in incidents.to_dict("records"):
        start = _day(row["start_date"])
        end = data_through if _is_missing(row["end_date"]) else _day(row["end_date"])
        during_to = max(start, min(end, start + timedelta(days=settings.longest_during_days - 1)))
        # The day before the start may already be touched: dating is right to a day or so.
        rows.append(
            {
                "incident_id": row["incident_id"],
                "feature": row["feature"],
                "event_name": None if _is_missing(row["event_name"]) else row["event_name"],
                "metric": row["metric"],
                "before_from": start - timedelta(days=settings.before_days + 1),
                "before_to": start - timedelta(days=2),
                "during_from": start,
                "during_to": during_to,
                "threshold": None if _is_missing(row["baseline_value"]) else float(row["baseline_value"]),
            }
        )
    columns = ["incident_id", "feature", "event_name", "metric", "before_from", "before_to", "during_from"]
    return pd.DataFrame(rows, columns=[*columns, "during_to", "threshold"])


_BAD_SQL = """case
      when w.metric in ('crash_rate', 'crashes', 'crash_free_sessions', 'crash_free_users')
        then case when e.status = 'crash' then 1 else 0 end
      when w.metric in ('error_rate', 'errors') then case when e.status = 'error' then 1 else 0 end
      when w.metric like 'latency%' or w.metric = 'apdex' then case when e.latency_ms > w.threshold then 1 else 0 end
      when w.metric like 'feedback%' then 5 - e.feedback_score
      else 0
    end"""

_COUNTS_SQL = """case
      when w.metric like 'latency%' or w.metric = 'apdex' then case when e.latency_ms is not null then 1 else 0 end
      when w.metric like 'feedback%' then case when e.feedback_score is not null then 1 else 0 end
      else 1
    end"""

_JOIN_SQL = """from {windows} w
  join {source} e
    on e.feature = w.feature
    and (w.event_name is null or e.event_name = w.event_name)
    and (e.event_date between w.before_from and w.before_to or e.event_date between w.during_from and w.during_to)
  where e.event_date between $from_date and $to_date"""


def slice_sql(source: str = "core.valid_events", windows: str = "incident_windows") -> str:
    """Events before and during each incident, by slice: nothing, each dimension, each pair of dimensions.

    Parameters: `$from_date` and `$to_date`, the earliest and latest day of all windows, so that only those partitions
    are read. Columns: incident_id, period (before, during), platform, app_version, country (null = all), n (events
    that count), bad (those that hurt: crashes, errors, slower than normal, points below 5). Standard SQL.
    """
    dimensions = ",\n    ".join(f"coalesce(e.{d}, '{UNKNOWN_VALUE}') as {d}" for d in SLICE_DIMENSIONS)
    singles = [(d,) for d in SLICE_DIMENSIONS]
    pairs = [(a, b) for i, a in enumerate(SLICE_DIMENSIONS) for b in SLICE_DIMENSIONS[i + 1 :]]
    sets = ",\n  ".join(f"({', '.join(('incident_id', 'period', *dims))})" for dims in [(), *singles, *pairs])
    return (
        "with scoped as (\n  select\n    w.incident_id,\n"
        "    case when e.event_date >= w.during_from then 'during' else 'before' end as period,\n"
        f"    {dimensions},\n    {_COUNTS_SQL} as n,\n    {_BAD_SQL} as bad\n  "
        + _JOIN_SQL.format(windows=windows, source=source)
        + f"\n)\nselect incident_id, period, {', '.join(SLICE_DIMENSIONS)}, sum(n) as n, coalesce(sum(bad), 0) as bad\n"
        f"from scoped\ngroup by grouping sets (\n  {sets}\n)"
    )


def affected_users_sql(source: str = "core.valid_events", windows: str = "incident_windows") -> str:
    """Users who met each incident, day by day: columns incident_id, event_date, users (with at least one bad event).

    Same parameters as `slice_sql`. Incidents of volume have no rows: who is missing cannot be counted.
    """
    return (
        f"with scoped as (\n  select w.incident_id, e.event_date, e.user_id, w.during_from, {_BAD_SQL} as bad\n  "
        + _JOIN_SQL.format(windows=windows, source=source)
        + "\n)\nselect incident_id, event_date, count(distinct user_id) as users\nfrom scoped\n"
        "where event_date >= during_from and bad > 0 and user_id is not null\ngroup by incident_id, event_date"
    )


@dataclass(frozen=True)
class SliceVerdict:
    """Which slice explains a change. share: of the change; traffic_share: of the events before (or during, if new)."""

    status: str
    dimensions: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    share: float | None = None
    traffic_share: float | None = None


def attribute_slices(
    aggregate: pd.DataFrame,
    incidents: pd.DataFrame,
    data_through: date,
    settings: IncidentSettings = DEFAULT_INCIDENT_SETTINGS,
) -> dict[str, SliceVerdict]:
    """The verdict per incident_id, from the result of `slice_sql`; `unknown` where events do not show the change."""
    windows = incident_windows(incidents, data_through, settings).set_index("incident_id")
    verdicts = {str(i): SliceVerdict("unknown") for i in incidents["incident_id"]}
    for name, group in aggregate.groupby("incident_id"):
        window = windows.loc[name]
        days = (window["during_to"] - window["during_from"]).days + 1
        is_volume = METRIC_GROUPS.get(str(window["metric"])) == "volume"
        expected = window["threshold"] * days if is_volume and pd.notna(window["threshold"]) else None
        verdicts[str(name)] = best_slice(group, expected_events=expected, settings=settings)
    return verdicts


def best_slice(
    aggregate: pd.DataFrame,
    expected_events: float | None = None,
    settings: IncidentSettings = DEFAULT_INCIDENT_SETTINGS,
) -> SliceVerdict:
    """The slice that explains most of one incident, or 'everything', from that incident's rows of `slice_sql`.

    `expected_events` (all events that were to be expected during it) makes it a question of lost events; else of the
    rate bad ÷ n. Each slice is scored by the expectation-based Poisson scan statistic (Neill 2009),
    O ln(O ÷ E) + E − O, where E holds the slice's own earlier rate: a slice without excess gains nothing by being
    large, and the whole gains only what its parts do. Lost events are not looked for by app_version, whose traffic
    moves by itself after each release.
    """
    if not len(aggregate):
        return SliceVerdict("unknown")
    cells = _cells(aggregate, expected_events, settings)
    whole = cells[cells["size"] == 0]
    if not len(whole) or whole["excess"].iloc[0] <= 0 or whole["evidence"].iloc[0] < settings.minimum_evidence:
        return SliceVerdict("unknown")
    total = whole.iloc[0]
    if expected_events is not None:
        cells = cells[cells["app_version"].isna()]
    slices = cells[(cells["size"] > 0) & (cells["excess"] > 0)].copy()
    # A dimension with one value says nothing.
    slices = slices[slices["traffic_share"] < _WHOLE]
    slices["share"] = np.minimum(slices["excess"] / total["excess"], 1.0)
    counts = slices.groupby("kind")["kind"].transform("size")
    slices["gain"] = slices["score"] - np.log(counts)
    fits = slices[
        (slices["share"] >= settings.minimum_share)
        & (slices["share"] >= settings.minimum_lift * slices["traffic_share"])
        & (slices["gain"] > total["score"] + settings.minimum_gain)
    ].sort_values(["gain", "kind"], ascending=[False, True])
    if not len(fits):
        # Where each dimension has one value, nothing could have stood out.
        largest = cells[cells["size"] == 1].groupby("kind")["traffic_share"].max()
        return SliceVerdict("everything" if (largest < _WHOLE).any() else "unknown")
    best = fits.iloc[0]
    singles = fits[fits["size"] == 1]
    if best["size"] == 2 and len(singles) and singles.iloc[0]["score"] * settings.pair_advantage >= best["score"]:
        best = singles.iloc[0]
    dimensions = tuple(d for d in SLICE_DIMENSIONS if pd.notna(best[d]))
    return SliceVerdict(
        "found", dimensions, tuple(str(best[d]) for d in dimensions), float(best["share"]), float(best["traffic_share"])
    )


def _cells(aggregate: pd.DataFrame, expected_events: float | None, settings: IncidentSettings) -> pd.DataFrame:
    """One row per slice: observed and expected, excess, score, share of traffic."""
    keys = list(SLICE_DIMENSIONS)
    # Nulls mean 'all' and must survive the pivot.
    tagged = aggregate.assign(**{d: aggregate[d].astype(object).where(aggregate[d].notna(), _ALL) for d in keys})
    wide = tagged.pivot_table(index=keys, columns="period", values=["n", "bad"], aggfunc="sum", fill_value=0.0)
    zeros = pd.Series(0.0, index=wide.index)
    n_before, n_during = (wide.get(("n", p), zeros).astype(float) for p in ("before", "during"))
    bad_before, bad_during = (wide.get(("bad", p), zeros).astype(float) for p in ("before", "during"))
    everything = (_ALL,) * len(keys)
    all_before = float(n_before.get(everything, 0.0))
    all_during = float(n_during.get(everything, 0.0))
    traffic = np.maximum(n_before / max(all_before, 1.0), n_during / all_during if all_during else 0.0)
    if expected_events is None:
        overall = float(bad_before.get(everything, 0.0)) / max(all_before, 1.0)
        prior_n = settings.prior_bad_events / overall if overall > 0 else 1 / max(all_before, 1.0)
        prior = _prior_rates(pd.MultiIndex.from_tuples(wide.index, names=keys), bad_before, n_before, n_during, overall)
        expected = n_during * (bad_before + prior * prior_n) / (n_before + prior_n)
        observed, excess = bad_during, bad_during - expected
    else:
        expected = n_before / max(all_before, 1.0) * expected_events
        observed, excess = n_during, expected - n_during
        traffic = n_before / max(all_before, 1.0)
    cells = pd.DataFrame(
        {
            "excess": excess,
            "evidence": np.maximum(observed, expected),
            "score": _scan_score(observed.to_numpy(float), expected.to_numpy(float)),
            "traffic_share": np.clip(traffic, 0, 1),
        }
    ).reset_index()
    for key in keys:
        cells[key] = cells[key].mask(cells[key] == _ALL)
    cells["size"] = cells[keys].notna().sum(axis=1)
    cells["kind"] = cells[keys].notna().astype(int).astype(str).agg("".join, axis=1)
    return cells


def _prior_rates(
    index: pd.MultiIndex, bad_before: pd.Series, n_before: pd.Series, n_during: pd.Series, overall: float
) -> pd.Series:
    """What to expect of a slice that has no past of its own: a new version is held against its platform's past."""
    prior = pd.Series(overall, index=index)
    platform, version, _ = (index.get_level_values(d) for d in SLICE_DIMENSIONS)
    platform_rate = {
        p: bad_before[p, _ALL, _ALL] / n_before[p, _ALL, _ALL]
        for p in platform.unique()
        if p != _ALL and (p, _ALL, _ALL) in index and n_before[p, _ALL, _ALL] > 0
    }
    mixes: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for p, v in zip(platform, version, strict=True):
        if _ALL not in (p, v):
            prior[p, v, _ALL] = platform_rate.get(p, overall)
            mixes[v].append((float(n_during[p, v, _ALL]), platform_rate.get(p, overall)))
    weighted = {
        v: sum(n * r for n, r in mix) / sum(n for n, _ in mix) for v, mix in mixes.items() if any(n for n, _ in mix)
    }
    is_version = np.asarray((platform == _ALL) & (version != _ALL))
    return prior.mask(is_version, pd.Series([weighted.get(v, overall) for v in version], index=index))


def _scan_score(observed: Any, expected: Any) -> Any:
    expected = np.maximum(expected, 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(observed > 0, observed * np.log(np.maximum(observed, 1e-300) / expected), 0.0)
    return logs + expected - observed


def with_slices(incidents: pd.DataFrame, verdicts: Mapping[str, SliceVerdict]) -> pd.DataFrame:
    """The incidents with their slices, and sentences that say so."""
    rows = [{str(k): v for k, v in row.items()} for row in incidents.to_dict("records")]
    for row in rows:
        verdict = verdicts.get(row["incident_id"], SliceVerdict("unknown"))
        row["slice_status"] = verdict.status
        row["slice_dimensions"], row["slice_values"] = list(verdict.dimensions), list(verdict.values)
        row["slice_share"], row["slice_traffic_share"] = verdict.share, verdict.traffic_share
        row["sentence"] = describe(row)
    return pd.DataFrame(rows, columns=list(INCIDENTS.column_names))


def with_affected_users(incidents: pd.DataFrame, users_by_day: pd.DataFrame) -> pd.DataFrame:
    """The incidents with users counted on the day that hit most, from the result of `affected_users_sql`."""
    most = users_by_day.groupby("incident_id")["users"].max().to_dict() if len(users_by_day) else {}
    rows = [{str(k): v for k, v in row.items()} for row in incidents.to_dict("records")]
    for row in rows:
        row["affected_users"] = most.get(row["incident_id"], row["affected_users"])
        row["affected_users"] = None if _is_missing(row["affected_users"]) else int(row["affected_users"])
        row["sentence"] = describe(row)
    frame = pd.DataFrame(rows, columns=list(INCIDENTS.column_names))
    return frame.astype({"affected_users": "Int64"})


def describe(row: Mapping[str, Any]) -> str:
    """An incident in a sentence: what, how much, since when, where, whom."""
    what = METRICS_BY_NAME[row["metric"]].label.lower()
    subject = row["feature"] if _is_missing(row["event_name"]) else f"{row['feature']} ({row['event_name']} events)"
    subject += "" if _is_missing(row.get("platform")) else f" on {row['platform']}"
    return f"{subject}: {_change_text(row, what)} {_when_text(row)}{_where_text(row)}{_whom_text(row)}."


def _change_text(row: Mapping[str, Any], what: str) -> str:
    if row["kind"] == "dead" and not (_is_missing(row["event_name"]) and row["events"]):
        return f"no events at all{_silence_text(row['baseline_value'])},"
    if _is_missing(row["peak_value"]) or _is_missing(row["baseline_value"]):
        return f"{what} changed"
    unit, size, baseline = row["unit"], float(row["size"]), float(row["peak_value"]) - float(row["size"])
    ratio = "" if _is_missing(row["change"]) or unit == "score" else f" ({_ratio(float(row['change']))})"
    verb = {"creep": "grew to" if size > 0 else "sank to", "spike": "jumped to" if size > 0 else "fell to"}.get(
        row["kind"], "at"
    )
    return f"{what} {verb} {value_text(row['peak_value'], unit)} instead of {value_text(baseline, unit)}{ratio}"


def _silence_text(usual: Any) -> str:
    """How many there are otherwise, and how long there must be none before that is beyond chance."""
    if _is_missing(usual):
        return ""
    days = days_until_silence_tells(float(usual))
    tells = "" if days is None else f" (silence tells after {days} day{'' if days == 1 else 's'})"
    return f", normally {count_text(usual)} a day{tells}"


def _ratio(change: float) -> str:
    return f"× {change + 1:.1f}" if change >= 1 else f"{change:+.0%}".replace("-", "−").replace("%", " %")


def _when_text(row: Mapping[str, Any]) -> str:
    start = _day(row["start_date"])
    if _is_missing(row["end_date"]):
        return f"since {start:%-d %b %Y}"
    end = _day(row["end_date"])
    return f"on {start:%-d %b %Y}" if end == start else f"from {start:%-d %b} to {end:%-d %b %Y}"


def _where_text(row: Mapping[str, Any]) -> str:
    if row["scope"] == "product":
        return ", as on most features at once: look upstream first"
    if row["slice_status"] == "everything":
        return ", everywhere alike"
    if row["slice_status"] != "found" or (
        not _is_missing(row.get("platform")) and list(row["slice_values"]) == [row["platform"]]
    ):
        return ""
    where = " and ".join(f"{d} {v}" for d, v in zip(row["slice_dimensions"], row["slice_values"], strict=True))
    return f", {100 * row['slice_share']:.0f} % of it on {where} ({100 * row['slice_traffic_share']:.0f} % of traffic)"


def _whom_text(row: Mapping[str, Any]) -> str:
    if _is_missing(row["affected_users"]) or not row["affected_users"]:
        return ""
    verb = "missing" if METRIC_GROUPS.get(row["metric"]) == "volume" else "affected"
    users = int(row["affected_users"])
    return f"; about {users:,} {'user' if users == 1 else 'users'} a day {verb}"


def _is_missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def _day(value: Any) -> date:
    return pd.Timestamp(value).date()


def silence_odds(expected_per_day: float, days: int, days_observed: float = 35.0) -> float:
    """P(no event in `days` days | normal): what a page shows beside a silent feature. No overdispersion is assumed."""
    seen = np.array(max(expected_per_day, 0.0) * days_observed)
    return float(np.exp(silence_log_p(np.array(max(expected_per_day, 0.0) * days), seen, np.array(1.0))))


def days_until_silence_tells(
    expected_per_day: float, days_observed: float = 35.0, alpha: float = DEFAULT_SETTINGS.silence_alpha
) -> int | None:
    """Days without events until P(0) < alpha; None where nothing is expected."""
    days = float(silent_days_to_tell(expected_per_day, 1.0, days_observed, alpha))
    return int(days) if isfinite(days) else None
