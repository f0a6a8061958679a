"""What the impact tables cost, in CPU seconds and memory, beside the same results by a script and as dbt models.

`python -m benchmarks.impact --work DIR` writes so many days of events into a lake, once, and then measures, each in a
process of its own: all impact tables of 90 days; what one more day makes stale; lift of all features; the models in
`peers/impact_project` as one DuckDB script, and by dbt. Sums of all results are compared. `--growth` measures one more
day after 90 and after 365 days. `--events` a day come from `--users` people in sessions; `--derived` leaves their
sessions out, so that they are found by idle time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.pipeline import PEERS, ROOT, Cost, fresh, measured, peer_python
from quality_assets.contracts.events import USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.domain.events.tables import user_feature_days_sql
from quality_assets.settings import Settings
from quality_assets.stores.lake import files_sql
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse, refresh_lake_views
from quality_assets.tables.experiments.lift import build_lift
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


@dataclass(frozen=True)
class Plan:
    """How much data: days, events a day, people, and whether sessions have to be found."""

    days: int
    events: int
    users: int
    derived: bool

    @property
    def name(self) -> str:
        """Of the folder that keeps its days."""
        return f"base-{self.days}-{self.events}-{self.users}" + ("-derived" if self.derived else "")

    def day(self, number: int) -> date:
        """The day of a number, from 0."""
        return FIRST_DAY + timedelta(days=number)


def write_day(session: WarehouseSession, day: date, plan: Plan) -> None:
    """One more day of events in the lake, as if it had been read and built."""
    said = "null" if plan.derived else f"'{day}-' || session_number"
    query = _DAY_SQL.format(users=plan.users, sessions=plan.events // 7, day=day, session_id=said)
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


def settings_of(root: Path) -> Settings:
    """The settings of a data root; definitions are those that are shipped."""
    return Settings(data_dir=root, threads=2, _env_file=None)  # type: ignore[call-arg]


def write_base(work: Path, plan: Plan) -> Path:
    """The root of all days of a plan and one more, written where it is not there yet."""
    base = work / plan.name
    with open_warehouse(settings_of(base)) as session:
        there = {file.event_date for file in session.lake.files(USER_FEATURE_DAYS, plan.day(0), plan.day(plan.days))}
        for number in range(plan.days + 1):
            if plan.day(number) not in there:
                write_day(session, plan.day(number), plan)
    return base


def link_days(base: Path, root: Path, days: Sequence[date]) -> None:
    """Put days of a base into a root, as if they had been read and built there just now."""
    tables = (VALID_EVENTS, USER_FEATURE_DAYS)
    with open_warehouse(settings_of(base)) as source:
        files = {table: source.lake.files(table, days[0], days[-1]) for table in tables}
    with open_warehouse(settings_of(root)) as session, session.transaction():
        for table, found in files.items():
            for file in found:
                place = root / file.path
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(base / file.path, place)
            session.lake.commit(table, found, days)
            fingerprints = {file.event_date: f"bench-{file.event_date}" for file in found}
            record_built(session.connection, table, fingerprints, {f.event_date: f.row_count for f in found})


def run_phase(phase: str, root: Path) -> None:
    """Build in this process; CPU seconds by table as JSON on standard output."""
    with open_warehouse(settings_of(root)) as session:
        session.connection.execute("set enable_progress_bar = false")
        refresh_lake_views(session.connection, session.settings)
        before = time.process_time()
        if phase == "lift":
            build_lift(session)
            spent = {"lift": round(time.process_time() - before, 2)}
        else:
            spent = build(session)
    (root / f"{phase}.json").write_text(json.dumps(spent))


def product(root: Path, phase: str) -> tuple[Cost, dict[str, float]]:
    """What a phase costs as a process of its own, start included, and CPU seconds by table."""
    command = [sys.executable, "-m", "benchmarks.impact", "--phase", phase, "--root", str(root)]
    cost = measured(command, {"PYTHONPATH": str(ROOT)}, root / "cost", phase)
    return cost, json.loads((root / f"{phase}.json").read_text())


def peer(name: str, python: Path, root: Path, work: Path) -> tuple[Cost, Path]:
    """The models of `peers/impact_project` over the events of a root; the cost, and the database."""
    out = fresh(work / f"out-{name}")
    environment = {
        "PEER_OUT": str(out),
        "PEER_EVENTS": f"{root}/lake/valid_events/*/*.parquet",
        "PEER_USES": f"{root}/lake/user_feature_days/*/*.parquet",
        "PEER_THREADS": "2",
        "PEER_MEMORY_MB": "2000",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    cost = measured([python, "-B", PEERS / "impact_models.py", name], environment, out, "all")
    return cost, out / "result.duckdb"


# What must be the same, whoever computed it: (name, of the product, of the models).
SAME: tuple[tuple[str, str, str], ...] = (
    (
        "sessions, those that go on",
        "select count(*), count(*) filter (is_continued), sum(events) from core.user_sessions",
        "select count(*), count(*) filter (is_continued), sum(events) from user_sessions",
    ),
    (
        "user days",
        "select count(*), sum(sessions), sum(features), sum(errors) from core.user_days",
        "select count(*), sum(sessions), sum(features), sum(errors) from user_days",
    ),
    (
        "first uses",
        "select count(*), sum(first_use_date - date '2026-01-01'), max(first_event_at) from core.first_uses",
        "select count(*), sum(first_use_date - date '2026-01-01'), max(first_event_at) from first_uses",
    ),
    (
        "adoption",
        "select sum(users), sum(wau), sum(mau), sum(all_mau), sum(new_adopters) from impact.feature_adoption",
        "select sum(users), sum(wau), sum(mau), sum(all_mau), sum(new_adopters) from feature_adoption",
    ),
    *(
        (
            f"retention, {kind}",
            f"select sum(eligible), sum(returned) from impact.retention where kind = '{kind}' and day_n <= 30",
            f"select sum(eligible), sum(returned) from retention where kind = '{kind}'",
        )
        for kind in ("exact", "within_30", "on_or_after")
    ),
    (
        "funnel",
        "select count(*), sum(entered), sum(reached), sum(open) from impact.funnel_days",
        "select count(*), sum(entered), sum(reached), sum(open) from funnel_days",
    ),
    (
        "engagement",
        "select sum(sessions), sum(one_event_sessions), round(sum(duration_median_s), 3) from impact.engagement_days",
        "select sum(sessions), sum(one_event_sessions), round(sum(duration_median_s), 3) from engagement_days",
    ),
    (
        "segments",
        'select sum(members), sum(entered), sum("left") from impact.segment_days',
        "select sum(members), sum(entered), sum(gone) from segment_days",
    ),
)


def disagreements(root: Path, database: Path) -> list[str]:
    """In what the models say something else than the product."""
    told = []
    with open_warehouse(settings_of(root)) as session, duckdb.connect(str(database), read_only=True) as other:
        refresh_lake_views(session.connection, session.settings)
        for name, ours, theirs in SAME:
            mine, peers = session.connection.execute(ours).fetchone(), other.execute(theirs).fetchone()
            if mine != peers:
                told.append(f"{name}: {mine} here, {peers} there")
    return told


def whole(work: Path, plan: Plan, with_peers: bool) -> dict[str, Any]:
    """Measure all of it at one size."""
    base = write_base(work, plan)
    root = fresh(work / "root")
    days = [plan.day(number) for number in range(plan.days)]
    link_days(base, root, days)
    found: dict[str, Any] = {"plan": vars(plan) | {"load": os.getloadavg()[0]}}
    _told(found, "whole history", *product(root, "whole"))
    differs = []
    if with_peers:
        for name, python in (
            ("script", Path(sys.executable)),
            ("dbt", peer_python(work, PEERS / "requirements-dbt.txt")),
        ):
            cost, database = peer(name, python, root, work)
            _told(found, name, cost, {})
            differs += [f"{name}: {said}" for said in disagreements(root, database)]
    link_days(base, root, [plan.day(plan.days)])
    _told(found, "one more day", *product(root, "day"))
    _told(found, "lift", *product(root, "lift"))
    found["differs"] = differs
    return found


def growth(work: Path, plan: Plan, histories: Sequence[int]) -> dict[str, Any]:
    """One more day after histories of several lengths."""
    found: dict[str, Any] = {"plan": vars(plan) | {"load": os.getloadavg()[0]}}
    base = write_base(work, plan)
    for days in histories:
        root = fresh(work / f"root-{days}")
        first = plan.days - days
        link_days(base, root, [plan.day(first + number) for number in range(days)])
        _told(found, f"history of {days} days", *product(root, "whole"))
        link_days(base, root, [plan.day(plan.days)])
        _told(found, f"one more day after {days}", *product(root, "day"))
        shutil.rmtree(root)
    return found


def _told(found: dict[str, Any], what: str, cost: Cost, by_table: Mapping[str, float]) -> None:
    found[what] = {
        "cpu_s": round(cost.cpu_s, 2),
        "peak_mb": round(cost.peak_mb),
        "build_cpu_s": round(sum(by_table.values()), 2) if by_table else None,
        "by_table": dict(by_table),
    }
    print(what, json.dumps(found[what]), flush=True)


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--events", type=int, default=119_000)
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--derived", action="store_true")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--phase", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.phase:
        run_phase(args.phase, args.root)
        return
    if args.growth:
        plan = Plan(365, args.events, args.users, args.derived)
        found = growth(args.work, plan, (90, 365))
    else:
        plan = Plan(args.days, args.events, args.users, args.derived)
        found = whole(args.work, plan, not args.without_peers)
    (args.work / f"impact-{'growth' if args.growth else 'whole'}.json").write_text(json.dumps(found, indent=1))
    for said in found.get("differs", []):
        print("DIFFERS", said)
    sys.exit(1 if found.get("differs") else 0)


if __name__ == "__main__":
    main()
