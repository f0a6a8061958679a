"""What the impact tables cost: CPU seconds and memory over a whole history, for one more day, and beside a script.

`python -m benchmarks.impact OUT --days 90` writes so many days of events straight into a lake, builds every impact
table of them, adds a day and builds what that makes stale. `--events` a day come from `--users` people in sessions;
`--derived` leaves their sessions out, so that they are found by idle time. Each phase is a process of its own, so that
memory is that of the phase; `beside_by_hand` is the same adoption, retention and funnel as one DuckDB script without
state.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from quality_assets.contracts.events import USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.domain.events.tables import user_feature_days_sql
from quality_assets.settings import Settings
from quality_assets.stores.lake import files_sql
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse, refresh_lake_views
from quality_assets.tables.impact import adoption, funnels
from quality_assets.tables.impact.defined import refresh_definitions
from quality_assets.tables.impact.engagement import build_engagement_days
from quality_assets.tables.impact.events_seen import build_event_days
from quality_assets.tables.impact.people import build_first_uses, build_user_sessions
from quality_assets.tables.impact.segments import build_segments
from quality_assets.tables.staleness import record_built

FIRST_DAY = date(2026, 1, 1)
BUILDS: Mapping[str, Callable[[WarehouseSession], object]] = {
    "event_days": build_event_days,
    "definitions": refresh_definitions,
    "user_sessions": build_user_sessions,
    "first_uses": build_first_uses,
    "feature_adoption": adoption.build_feature_adoption,
    "adoption_curve": adoption.build_adoption_curve,
    "retention_cells": adoption.build_retention_cells,
    "retention": adoption.build_retention,
    "funnel_step_days": funnels.build_step_days,
    "funnel_entries": funnels.build_entries,
    "funnel_days": funnels.build_funnel_days,
    "engagement_days": build_engagement_days,
    "segments": build_segments,
}

# Everybody has a pace of their own, and stays with a feature for a while; the quiz is left at each of its steps.
_DAY_SQL = """
with sat as (
  select n as session_number, cast(floor({users} * pow(random(), 2)) as bigint) as user_number,
    cast(floor(random() * 85000) as bigint) as begins_s, cast(1 + floor(random() * 13) as integer) as size
  from range({sessions}) as t(n)
),
events as (
  select *, unnest(range(size)) as place, random() as luck, hash(session_number, user_number) % 8 as kind from sat
)
select date '{day}' as event_date, 'bench' as file_id, row_number() over () as line_number,
  '{day}-' || session_number || '-' || place as event_id,
  timestamp '{day}' + to_seconds(begins_s + 20 * place + cast(floor(luck * 15) as bigint)) as event_time,
  case when kind = 0 then 'Quiz' else 'Feature ' || hash(session_number, place // 4) % 18 end as feature,
  case when kind = 0
    then ['quiz_started', 'slider_adjusted', 'option_selected', 'quiz_completed', 'result_viewed', 'result_shared'][
      least(place + 1, 6)]
    else 'use' end as event_name,
  'u' || user_number as user_id, {session_id} as session_id,
  case when luck < 0.02 then 'error' when luck < 0.025 then 'crash' else 'ok' end as status,
  100.0 as latency_ms, case when luck > 0.99 then 4.0 end as feedback_score, 'phone' as device_type,
  ['ios', 'android', 'web'][1 + user_number % 3] as platform, '6.' || (user_number % 4) as app_version,
  ['de', 'fr', 'us', 'jp'][1 + user_number % 4] as country, null as variant, null as properties, null as received_at
from events
"""


def write_day(session: WarehouseSession, day: date, args: argparse.Namespace) -> None:
    """One more day of events in the lake, as if it had been read and built."""
    said = "null" if args.derived else f"'{day}-' || session_number"
    query = _DAY_SQL.format(users=args.users, sessions=args.events // 7, day=day, session_id=said)
    columns = ", ".join(f'cast("{c.name}" as {c.type}) as "{c.name}"' for c in VALID_EVENTS.columns)
    file = session.lake.write(
        session.connection, VALID_EVENTS, day, f"select {columns} from ({query}) order by event_time", label="bench"
    )
    assert file is not None
    source = f"({files_sql(VALID_EVENTS, session.lake.absolute([file]))})"
    used = session.lake.write(session.connection, USER_FEATURE_DAYS, day, user_feature_days_sql(source), label="bench")
    assert used is not None
    with session.transaction():
        for table, each in ((VALID_EVENTS, file), (USER_FEATURE_DAYS, used)):
            session.lake.commit(table, [each], [day])
            record_built(session.connection, table, {day: f"bench-{day}"}, {day: each.row_count})


def build(session: WarehouseSession) -> dict[str, float]:
    """Bring all impact tables up to date; CPU seconds of each."""
    spent = {}
    for name, make in BUILDS.items():
        before = time.process_time()
        make(session)
        spent[name] = round(time.process_time() - before, 3)
    return spent


def _phase(settings: Settings, args: argparse.Namespace, days: list[date], *, only_write: bool) -> dict[str, Any]:
    with open_warehouse(settings) as session:
        session.connection.execute("set enable_progress_bar = false")
        for day in days:
            write_day(session, day, args)
        refresh_lake_views(session.connection, settings)
        if only_write:
            return {}
        spent = build(session)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_s": round(sum(spent.values()), 2), "peak_mb": round(peak_mb), "by_table": spent}


def beside_by_hand(settings: Settings) -> dict[str, float]:
    """CPU seconds of the same adoption, retention on a day and funnel as plain queries over all events."""
    with duckdb.connect() as connection:
        connection.execute("set threads = 2")
        events = f"read_parquet('{settings.lake_dir}/valid_events/*/*.parquet')"
        queries = {
            "adoption": f"""
select d.event_date, feature, count(distinct user_id) from (select distinct event_date from {events}) as d
join {events} as e on e.event_date between d.event_date - 27 and d.event_date group by all""",
            "retention": f"""
with used as (select distinct event_date, feature, user_id from {events}),
first as (select feature, user_id, min(event_date) as cohort from used group by all)
select feature, cohort, event_date - cohort as n, count(*)
from used join first using (feature, user_id) group by all""",
            "funnel": f"""
with s as (select user_id, event_name, event_time, event_date from {events} where feature = 'Quiz'),
entered as (select event_date, user_id, min(event_time) as t from s where event_name = 'quiz_started' group by all)
select e.event_date, count(distinct e.user_id), count(distinct s.user_id) from entered as e
left join s on s.user_id = e.user_id and s.event_name = 'result_shared'
  and s.event_time between e.t and e.t + interval 7 days
group by all""",
        }
        spent = {}
        for name, query in queries.items():
            before = time.process_time()
            connection.execute(query).fetchall()
            spent[name] = round(time.process_time() - before, 2)
        return spent


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--events", type=int, default=119_000)
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--derived", action="store_true")
    parser.add_argument("--by-hand", action="store_true")
    args = parser.parse_args()
    settings = Settings(data_dir=args.out, threads=2, _env_file=None)  # type: ignore[call-arg]
    days = [FIRST_DAY + timedelta(days=n) for n in range(args.days)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        pool.apply(_phase, (settings, args, days), {"only_write": True})
        whole = pool.apply(_phase, (settings, args, []), {"only_write": False})
        pool.apply(_phase, (settings, args, [days[-1] + timedelta(days=1)]), {"only_write": True})
        more = pool.apply(_phase, (settings, args, []), {"only_write": False})
        found = {"whole_history": whole, "one_more_day": more}
        if args.by_hand:
            found["by_hand"] = pool.apply(beside_by_hand, (settings,))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
