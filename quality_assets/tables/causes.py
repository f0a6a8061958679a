"""Building product.incident_causes: events of open incidents, of the days before them and of their last days.

What a part is, is said in `domain/features/causes.py`. Incidents that have ended are not asked, and no day without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from quality_assets.contracts.events import QUARANTINED_EVENTS, VALID_EVENTS
from quality_assets.contracts.incidents import INCIDENT_CAUSES
from quality_assets.contracts.metrics import METRIC_GROUPS, METRICS_BY_NAME, QUANTILE_OF
from quality_assets.domain.features.causes import (
    EventRows,
    Verdict,
    cause_rows,
    take_apart,
    take_volume_apart,
    verdict_sentence,
)
from quality_assets.domain.features.incident_words import as_day, is_missing, names_of
from quality_assets.progress import Progress
from quality_assets.stores.frames import replace_rows
from quality_assets.stores.lake import files_sql
from quality_assets.stores.warehouse import WarehouseSession

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Row = dict[str, Any]
_DAYS_BEFORE, _DAYS_NOW = 14, 14
# So many rows a side tell a share to two points, and cost tenths of a second.
_MOST_ROWS = 4_000


def judge_open(
    session: WarehouseSession,
    incidents: Sequence[Row],
    through: date,
    renamed_a_day: Mapping[str, float],
    progress: Progress,
) -> dict[str, Verdict]:
    """Whether each open incident is real, by incident_id, with the parts of its change in product.incident_causes."""
    # What misses its objective is held against that, whatever it was before.
    rows = [row for row in incidents if is_missing(row["end_date"]) and row["kind"] != "objective"]
    verdicts: dict[str, Verdict] = {}
    if rows:
        progress(f"what {len(rows)} open incidents are made of")
        verdicts = _judge(session, rows, through, renamed_a_day)
    parts = [part for row in rows for part in cause_rows(row, verdicts[row["incident_id"]])]
    replace_rows(session, INCIDENT_CAUSES, pd.DataFrame(parts, columns=list(INCIDENT_CAUSES.column_names)))
    return verdicts


def told(verdict: Verdict | None) -> Row:
    """The columns of product.incidents that a verdict gives; nulls for what has ended."""
    if verdict is None:
        return {"verdict": None, "real_share": None, "verdict_sentence": None}
    return {
        "verdict": verdict.verdict,
        "real_share": verdict.real_share if verdict.verdict != "unknown" else None,
        "verdict_sentence": verdict_sentence(verdict),
    }


def _judge(
    session: WarehouseSession, rows: Sequence[Row], through: date, renamed_a_day: Mapping[str, float]
) -> dict[str, Verdict]:
    windows = cause_windows(rows, through)
    sources = []
    for table in (VALID_EVENTS, QUARANTINED_EVENTS):
        files = session.lake.files(table, windows["before_from"].min(), windows["now_to"].max())
        sources.append(f"({files_sql(table, session.lake.absolute(files))})")
    return judge_windows(session.connection, rows, windows, sources[0], sources[1], renamed_a_day)


def judge_windows(
    connection: DuckDBPyConnection,
    rows: Sequence[Row],
    windows: pd.DataFrame,
    events: str,
    refused: str,
    renamed_a_day: Mapping[str, float],
) -> dict[str, Verdict]:
    """The verdict of each incident of `rows`, from two relations of events that were taken and rows that were not."""
    bounds = {"from_date": windows["before_from"].min(), "to_date": windows["now_to"].max()}
    connection.register("cause_windows_frame", windows.astype({"event_name": "string", "platform": "string"}))
    connection.execute(
        "create or replace temp table cause_windows as select * replace (cast(before_from as date) as before_from,"
        " cast(before_to as date) as before_to, cast(now_from as date) as now_from, cast(now_to as date) as now_to)"
        " from cause_windows_frame"
    )
    connection.unregister("cause_windows_frame")
    try:
        by_row = connection.execute(event_rows_sql(events, refused), bounds | {"most": _MOST_ROWS}).df()
        by_day = connection.execute(volume_days_sql(events, refused), bounds).df()
    finally:
        connection.execute("drop table cause_windows")
    own, days = dict(list(by_row.groupby("incident_id"))), dict(list(by_day.groupby("incident_id")))
    return {row["incident_id"]: _verdict_of(row, own, days, renamed_a_day) for row in rows}


def _verdict_of(
    row: Row, events: Mapping[Any, pd.DataFrame], days: Mapping[Any, pd.DataFrame], renamed_a_day: Mapping[str, float]
) -> Verdict:
    key = row["incident_id"]
    if METRIC_GROUPS.get(row["metric"]) == "volume":
        return take_volume_apart(days[key], renamed_a_day.get(key, 0.0)) if key in days else Verdict("unknown")
    if key not in events:
        return Verdict("unknown")
    worse = -1 if METRICS_BY_NAME[row["metric"]].bad_direction == "down" else 1
    return take_apart(EventRows.of(events[key], QUANTILE_OF.get(row["metric"])), worse)


def cause_windows(incidents: Sequence[Row], through: date) -> pd.DataFrame:
    """The days to hold against each other, a row per incident and feature: a fortnight before, the last fortnight."""
    return pd.DataFrame([window for row in incidents for window in _windows(row, through)])


def _windows(row: Row, through: date) -> list[Row]:
    start = as_day(row["start_date"])
    return [
        {
            "incident_id": row["incident_id"],
            "feature": feature,
            "event_name": None if is_missing(row["event_name"]) else row["event_name"],
            "platform": None if is_missing(row["platform"]) else row["platform"],
            "metric": row["metric"],
            "before_from": start - timedelta(days=_DAYS_BEFORE + 1),
            "before_to": start - timedelta(days=2),
            "now_from": max(start, through - timedelta(days=_DAYS_NOW - 1)),
            "now_to": through,
        }
        for feature in names_of(row["features"]) or [row["feature"]]
    ]


_IN_WINDOW = """(e.event_date between w.before_from and w.before_to or e.event_date between w.now_from and w.now_to)
    and e.event_date between $from_date and $to_date"""
# A day's rows are looked for until six hours after its end.
_LATE = "coalesce(e.received_at > e.event_date + interval 30 hour, false)"
_REPEATED = """row_number() over (
      partition by w.incident_id, e.feature, e.event_time, e.event_name, e.user_id, e.session_id, e.status, e.latency_ms
      order by e.event_id, e.file_id, e.line_number) > 1"""
_LOST = "not list_contains(e.reasons, 'duplicate_event_id')"


def _value_sql(status: str, latency: str, feedback: str) -> str:
    return (
        f"case when w.metric like 'latency%' then {latency} when w.metric like 'feedback%' then {feedback}"
        f" when w.metric like 'error%' then case when {status} is not null then cast({status} = 'error' as double) end"
        f" else case when {status} is not null then cast({status} = 'crash' as double) end end"
    )


def _stated(name: str, type_name: str = "varchar") -> str:
    return f"try_cast(e.raw_row ->> '$.{name}' as {type_name})"


def event_rows_sql(events: str, refused: str) -> str:
    """Rows of single events before and now, `$most` a side of each incident, by users as far as there are any.

    Columns of `EventRows.of`, with incident_id. A version is new where none of its rows is of the first of both weeks.
    """
    stated = _value_sql(_stated("status"), _stated("latency_ms", "double"), _stated("feedback_score", "double"))
    own = ", ".join(_stated(name) for name in ("user_id", "app_version", "platform", "country"))
    return f"""
with scoped as (
  select w.incident_id, w.before_from, e.event_date, e.event_date >= w.now_from as is_now, e.event_id, e.user_id,
    e.app_version, e.platform, e.country, e.feature || ' ' || e.event_name as event_name,
    {_value_sql("e.status", "e.latency_ms", "e.feedback_score")} as value,
    {_REPEATED} as is_repeated, {_LATE} as is_late, false as is_quarantined
  from cause_windows w join {events} e on e.feature = w.feature and {_IN_WINDOW}
  where w.metric not in ('events') and (w.event_name is null or e.event_name = w.event_name)
    and (w.platform is null or e.platform = w.platform)
  union all
  select w.incident_id, w.before_from, e.event_date, e.event_date >= w.now_from, e.event_id, {own},
    e.feature || ' ' || coalesce({_stated("event_name")}, 'use'), {stated}, false, false, true
  from cause_windows w join {refused} e on e.feature = w.feature and {_IN_WINDOW}
  where w.metric not in ('events') and {_LOST}
    and (w.event_name is null or {_stated("event_name")} = w.event_name)
    and (w.platform is null or {_stated("platform")} = w.platform)
),
valued as (
  select *, coalesce(min(event_date) over (partition by incident_id, app_version) > before_from + 6, false)
    and app_version is not null as is_new_version
  from scoped where value is not null and isfinite(value)
)
select incident_id, is_now, user_id, app_version, platform, country, event_name, value, is_repeated, is_late,
  is_quarantined, is_new_version
from valued
qualify row_number() over (
  partition by incident_id, is_now order by hash(coalesce(user_id, event_id)), user_id, event_id, value) <= $most
order by incident_id, is_now, hash(coalesce(user_id, event_id)), user_id, event_id, value
"""


def volume_days_sql(events: str, refused: str) -> str:
    """Events a day of incidents of volume, with those among them that came twice or late, and those in quarantine."""
    return f"""
with calendar as (
  select w.*, cast(unnest(generate_series(w.before_from, w.now_to, interval 1 day)) as date) as event_date
  from (select incident_id, any_value(before_from) as before_from, any_value(before_to) as before_to,
    any_value(now_from) as now_from, any_value(now_to) as now_to from cause_windows
    where metric in ('events') group by incident_id) as w
),
flagged as (
  select w.incident_id, e.event_date, {_REPEATED} as is_repeated, {_LATE} as is_late
  from cause_windows w join {events} e on e.feature = w.feature and {_IN_WINDOW}
  where w.metric in ('events') and (w.event_name is null or e.event_name = w.event_name)
),
counted as (
  select incident_id, event_date, count(*) as events, count(*) filter (where is_repeated) as repeated,
    count(*) filter (where is_late) as late
  from flagged group by all
),
lost as (
  select w.incident_id, e.event_date, count(*) as quarantined
  from cause_windows w join {refused} e on e.feature = w.feature and {_IN_WINDOW}
  where w.metric in ('events') and {_LOST} and (w.event_name is null or {_stated("event_name")} = w.event_name)
  group by all
)
select incident_id, event_date, event_date >= now_from as is_now, isodow(event_date) as weekday,
  coalesce(events, 0) as events, coalesce(repeated, 0) as repeated, coalesce(late, 0) as late,
  coalesce(quarantined, 0) as quarantined
from calendar left join counted using (incident_id, event_date) left join lost using (incident_id, event_date)
where event_date <= before_to or event_date >= now_from
order by incident_id, event_date
"""
