"""Building product.incidents: detection on the facts, then users and slices counted on the events.

What an incident is, is said in `domain/features/incidents.py`. Events are read only for incidents that are new or
have changed since the last time, and only of their own windows.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.incidents import INCIDENT_CAUSES, INCIDENTS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.domain.events.texts import MIN_ALIKE_NAMES, masked_sql
from quality_assets.domain.features.incident_words import describe, names_of
from quality_assets.domain.features.incidents import INCIDENT_FACTS, incidents_of, usual_product_users
from quality_assets.domain.features.renames import Appeared, rename_candidates
from quality_assets.domain.features.severity import severity
from quality_assets.domain.features.slices import (
    affected_users_sql,
    attribute_slices,
    incident_windows,
    slice_sql,
    with_affected_users,
    with_slices,
)
from quality_assets.domain.plain import rows_of_frame
from quality_assets.progress import Progress
from quality_assets.stores.frames import read_frame, replace_rows
from quality_assets.stores.lake import files_sql
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.causes import judge_open, told
from quality_assets.tables.facts import read_facts
from quality_assets.tables.feature_states import read_watched

# While these are the same, the events of an incident are: what was counted on them still holds.
_UNCHANGED = ("start_date", "end_date", "metric", "events", "baseline_value", "peak_value")
_COUNTED = (
    "affected_users", "users_today", "slice_status", "slice_dimensions", "slice_values", "slice_share",
    "slice_traffic_share",
)  # fmt: skip


def build_incidents(session: WarehouseSession, progress: Progress) -> tuple[pd.DataFrame, int]:
    """Find every incident anew, replace product.incidents and .incident_causes; the rows, and the number of parts."""
    facts = read_facts(session.connection, INCIDENT_FACTS)
    if not len(facts):
        for table in (INCIDENTS, INCIDENT_CAUSES):
            replace_rows(session, table, pd.DataFrame(columns=list(table.column_names)))
        return pd.DataFrame(columns=list(INCIDENTS.column_names)), 0
    tiers = read_frame(
        session, f"select feature, tier from {FEATURE_DESCRIPTIONS.qualified_name} where tier is not null"
    )
    tier_of = {str(feature): int(tier) for feature, tier in zip(tiers["feature"], tiers["tier"], strict=True)}
    found = incidents_of(
        read_watched(session.connection),
        facts,
        tiers=tier_of,
    )
    progress(f"{len(found)} incidents")
    names, renamed_a_day = renamed(session, found)
    found["renamed_to"] = pd.Series([names.get(key) for key in found["incident_id"]], index=found.index, dtype=object)
    before = read_frame(session, f"select * from {INCIDENTS.qualified_name}")
    incidents = _attributed(session, found, before, facts, progress)
    through = pd.to_datetime(facts["event_date"]).max().date()
    verdicts = judge_open(session, rows_of_frame(incidents), through, renamed_a_day, progress)
    for name in ("verdict", "real_share", "verdict_sentence"):
        values = [told(verdicts.get(key))[name] for key in incidents["incident_id"]]
        incidents[name] = pd.Series(values, index=incidents.index, dtype=object)
    # Users, and what is real, are known only now.
    usual_users = usual_product_users(facts)
    graded = [severity(row, usual_users, tier_of.get(row["feature"])) for row in rows_of_frame(incidents)]
    incidents["severity"] = pd.Series(graded, index=incidents.index, dtype=object)
    replace_rows(session, INCIDENTS, incidents)
    return incidents, sum(len(verdict.parts) for verdict in verdicts.values())


def _attributed(
    session: WarehouseSession, found: pd.DataFrame, before: pd.DataFrame, facts: pd.DataFrame, progress: Progress
) -> pd.DataFrame:
    known = {row["incident_id"]: row for row in rows_of_frame(before)}
    rows = rows_of_frame(found)
    is_settled = [_is_same(row, known.get(row["incident_id"])) for row in rows]
    fresh = found[[not settled for settled in is_settled]].reset_index(drop=True)
    counted = {row["incident_id"]: row for row in rows_of_frame(_count(session, fresh, facts, progress))}
    out = []
    for row, settled in zip(rows, is_settled, strict=True):
        source = known[row["incident_id"]] if settled else counted[row["incident_id"]]
        merged = row | {name: _plain(source[name]) for name in _COUNTED}
        out.append(merged | {"sentence": describe(merged)})
    return pd.DataFrame(out, columns=list(INCIDENTS.column_names))


def _count(session: WarehouseSession, fresh: pd.DataFrame, facts: pd.DataFrame, progress: Progress) -> pd.DataFrame:
    if not len(fresh):
        return fresh
    data_through = pd.to_datetime(facts["event_date"]).max().date()
    windows = incident_windows(fresh, data_through, normal=normal_by_feature(fresh, facts))
    progress(f"users and slices of {len(windows)} incidents")
    bounds = {"from_date": windows["before_from"].min(), "to_date": windows[["during_to", "last_date"]].max().max()}
    connection = session.connection
    connection.register("incident_windows_frame", _typed(windows))
    connection.execute(
        "create or replace temp table incident_windows as select * replace (cast(before_from as date) as before_from,"
        " cast(before_to as date) as before_to, cast(during_from as date) as during_from,"
        " cast(during_to as date) as during_to, cast(last_date as date) as last_date) from incident_windows_frame"
    )
    connection.unregister("incident_windows_frame")
    files = session.lake.files(VALID_EVENTS, bounds["from_date"], bounds["to_date"])
    source = f"({files_sql(VALID_EVENTS, session.lake.absolute(files))})"
    users = read_frame(session, affected_users_sql(source, "incident_windows"), bounds)
    slices = read_frame(session, slice_sql(source, "incident_windows"), bounds)
    connection.execute("drop table incident_windows")
    verdicts = attribute_slices(slices, fresh, data_through)
    return with_slices(with_affected_users(fresh, users, data_through), verdicts)


def normal_by_feature(incidents: pd.DataFrame, facts: pd.DataFrame) -> dict[tuple[str, str], float]:
    """What is normal for each feature of incidents of the whole product: the median of the four weeks before."""
    out: dict[tuple[str, str], float] = {}
    days = pd.to_datetime(facts["event_date"])
    for row in rows_of_frame(incidents):
        start = pd.Timestamp(row["start_date"])
        if names_of(row["features"]) and row["metric"] in facts:
            past = facts[(days < start) & (days >= start - pd.Timedelta(days=28))]
            usual = past.groupby("feature")[row["metric"]].median().dropna()
            out |= {(row["incident_id"], str(feature)): float(value) for feature, value in usual.items()}
    return out


def renamed(session: WarehouseSession, incidents: pd.DataFrame) -> tuple[dict[str, list[str]], dict[str, float]]:
    """The names that came in the place of what is dead, by incident_id, and how many events a day they have."""
    dead = [row for row in rows_of_frame(incidents) if row["kind"] == "dead"]
    if not dead:
        return {}, {}
    appeared = [Appeared(*row) for row in session.connection.execute(APPEARED_SQL).fetchall()]
    found = rename_candidates(dead, appeared)
    names = {key: [new.name for new in parts] for key, parts in found.items()}
    return names, {key: sum(new.events_a_day for new in parts) for key, parts in found.items()}


# What has no past: features, and events of features that have one. A week of both tells their size. Names that hold an
# id are one.
APPEARED_SQL = f"""
with named as (
  select feature, null as event_name, event_date, events from {FACT_FEATURE_METRICS.qualified_name}
  union all
  select feature, bin, event_date, n from {EVENT_SKETCH_COUNTS.qualified_name} where name = 'event_name'
),
told as (
  select *, coalesce(event_name, feature) as name, case when event_name is not null then feature end as owner,
    {masked_sql("name")} as mask
  from named
),
masked as (
  select owner, mask from told where contains(mask, '#') group by owner, mask
  having count(distinct name) >= {MIN_ALIKE_NAMES}
),
seen as (
  select case when event_name is null then coalesce(masked.mask, name) else feature end as feature,
    case when event_name is not null then coalesce(masked.mask, name) end as event_name, event_date,
    sum(events) as events
  from told left join masked on masked.mask = told.mask and masked.owner is not distinct from told.owner
  group by all
),
first as (select feature, event_name, min(event_date) as first_seen from seen where events > 0 group by all)
select first.feature, first.event_name, first_seen, cast(sum(events) / count(distinct event_date) as double)
from first join seen on seen.feature = first.feature and seen.event_name is not distinct from first.event_name
where seen.event_date between first_seen and first_seen + 6
  and first_seen > (select min(event_date) from {FACT_FEATURE_METRICS.qualified_name})
group by first.feature, first.event_name, first_seen
order by first_seen, first.feature, first.event_name
"""


def _typed(windows: pd.DataFrame) -> pd.DataFrame:
    # A column of nothing but nulls has no type of its own.
    return windows.astype({"event_name": "string", "threshold": "float64"})


def _is_same(row: dict[str, Any], before: dict[str, Any] | None) -> bool:
    """Whether an incident stands as it did; an open one never does, its window grows with every day."""
    if before is None or _plain(row["end_date"]) is None:
        return False
    return all(_comparable(row[name]) == _comparable(before[name]) for name in _UNCHANGED)


def _comparable(value: Any) -> Any:
    value = _plain(value)
    if isinstance(value, float):
        return round(value, 9)
    return value if value is None or isinstance(value, int | str) else pd.Timestamp(value)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return list(value)
    return None if pd.isna(value) else value
