"""Which slice of a feature's events explains an incident, and which users it hit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.metrics import METRIC_GROUPS
from quality_assets.domain.features.incident_words import as_day, describe, is_as_usual_again, is_missing, names_of
from quality_assets.domain.features.settings import DEFAULT_INCIDENT_SETTINGS, IncidentSettings

SLICE_DIMENSIONS = ("platform", "app_version", "country")


UNKNOWN_VALUE = "(unknown)"


_ALL = "\x01all"


# The share of traffic from which on one value is all that a dimension has.
_WHOLE = 0.95


def incident_windows(
    incidents: pd.DataFrame,
    data_through: date,
    settings: IncidentSettings = DEFAULT_INCIDENT_SETTINGS,
    normal: Mapping[tuple[str, str], float] | None = None,
) -> pd.DataFrame:
    """What to compare for each incident: before with during. The relation `windows` of the slice queries.

    One row per incident and feature of it, whose own `normal` is by incident_id and feature: incident_id, feature,
    event_name, metric, before_from, before_to, during_from, during_to, last_date
    (dates, inclusive), threshold (the metric's baseline value, for latency ms and feedback points).
    """
    rows = []
    for row in incidents.to_dict("records"):
        start = as_day(row["start_date"])
        end = data_through if is_missing(row["end_date"]) else as_day(row["end_date"])
        during_to = max(start, min(end, start + timedelta(days=settings.longest_during_days - 1)))
        # The day before the start may already be touched: dating is right to a day or so.
        whole = names_of(row.get("features"))
        rows += [
            {
                "incident_id": row["incident_id"],
                "feature": feature,
                "event_name": None if is_missing(row["event_name"]) else row["event_name"],
                "metric": row["metric"],
                "before_from": start - timedelta(days=settings.before_days + 1),
                "before_to": start - timedelta(days=2),
                "during_from": start,
                "during_to": during_to,
                "last_date": end,
                "threshold": (normal or {}).get((row["incident_id"], feature))
                if whole
                else None
                if is_missing(row["baseline_value"])
                else float(row["baseline_value"]),
            }
            for feature in whole or [row["feature"]]
        ]
    columns = ["incident_id", "feature", "event_name", "metric", "before_from", "before_to", "during_from"]
    return pd.DataFrame(rows, columns=[*columns, "during_to", "last_date", "threshold"])


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
    and ({days})
  where e.event_date between $from_date and $to_date"""


_BOTH_DAYS = "e.event_date between w.before_from and w.before_to or e.event_date between w.during_from and w.during_to"
# However long it lasts, its last day is among those whose users are counted.
_DURING = "e.event_date between w.during_from and w.during_to or e.event_date = w.last_date"


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
        + _JOIN_SQL.format(windows=windows, source=source, days=_BOTH_DAYS)
        + f"\n)\nselect incident_id, period, {', '.join(SLICE_DIMENSIONS)}, sum(n) as n, coalesce(sum(bad), 0) as bad\n"
        f"from scoped\ngroup by grouping sets (\n  {sets}\n)"
    )


def affected_users_sql(source: str = "core.valid_events", windows: str = "incident_windows") -> str:
    """Users who met each incident, day by day: columns incident_id, event_date, users (with at least one bad event).

    Same parameters as `slice_sql`. Incidents of volume have no rows: who is missing cannot be counted.
    """
    return (
        f"with scoped as (\n  select w.incident_id, e.event_date, e.user_id, w.during_from, {_BAD_SQL} as bad\n  "
        + _JOIN_SQL.format(windows=windows, source=source, days=_DURING)
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
    windows = incident_windows(incidents, data_through, settings).drop_duplicates("incident_id")
    windows = windows.set_index("incident_id")
    # Of the whole product, what was expected is that of all its features.
    usual = incidents.set_index("incident_id")["baseline_value"]
    verdicts = {str(i): SliceVerdict("unknown") for i in incidents["incident_id"]}
    for name, group in aggregate.groupby("incident_id"):
        window = windows.loc[name]
        days = (window["during_to"] - window["during_from"]).days + 1
        is_volume = METRIC_GROUPS.get(str(window["metric"])) == "volume"
        expected = usual[name] * days if is_volume and pd.notna(usual[name]) else None
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


def with_affected_users(
    incidents: pd.DataFrame, users_by_day: pd.DataFrame, data_through: date | None = None
) -> pd.DataFrame:
    """The incidents with users counted on the day that hit most, and on the last, from `affected_users_sql`."""
    most = users_by_day.groupby("incident_id")["users"].max().to_dict() if len(users_by_day) else {}
    by_day = {
        (key, as_day(day)): int(users)
        for key, day, users in users_by_day[["incident_id", "event_date", "users"]].itertuples(index=False)
    }
    rows = [{str(k): v for k, v in row.items()} for row in incidents.to_dict("records")]
    for row in rows:
        row["affected_users"] = most.get(row["incident_id"], row["affected_users"])
        last = data_through if is_missing(row["end_date"]) else as_day(row["end_date"])
        # On a day on which nobody met it there is no row; where nobody is known at all, there is none on any.
        row["users_today"] = by_day.get((row["incident_id"], last), 0) if row["incident_id"] in most and last else None
        kinds = {METRIC_GROUPS.get(name, name) for name in names_of(row["metrics"])}
        if row["users_today"] and is_as_usual_again(row) and len(kinds) <= 1:
            # Half of all wait longer than the usual median, on any day.
            row["users_today"] = 0
        row["affected_users"] = None if is_missing(row["affected_users"]) else int(row["affected_users"])
        row["sentence"] = describe(row)
    frame = pd.DataFrame(rows, columns=list(INCIDENTS.column_names))
    return frame.astype({"affected_users": "Int64", "users_today": "Int64"})
