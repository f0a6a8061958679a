"""Columns of a source that stop coming, or never came: the ledger has what each file lacks, and a check tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from quality_assets.contracts.sources.events import Source, Sources, load_sources
from quality_assets.domain.quality.event_checks import RAW_CHECKS
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.checks.run import run_check
from quality_assets.tables.ingest import ingest

(CHECK,) = (check for check in RAW_CHECKS if check.name == "columns_still_come")
FIRST = date(2026, 1, 1)
WITH, WITHOUT = "event_time,feature,status,latency_ms,country", "event_time,feature,status,latency,Country Code"


@pytest.fixture
def session(data_root: Settings) -> Iterator[WarehouseSession]:
    with open_warehouse(data_root) as opened:
        yield opened


def arrive(session: WarehouseSession, header: str, day: int, name: str = "", hour: int = 10) -> None:
    at = f"{FIRST + timedelta(days=day)}T{hour:02}:00:00Z"
    path = session.settings.landing_dir / f"{name or day}-{hour}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{header}\n{at},search,ok,120,DE\n", encoding="utf-8")


def told(session: WarehouseSession, sources: Sources | None = None) -> list[str]:
    ingest(session, sources or load_sources(session.settings.source_files_dir), lambda _: None)
    (result,) = run_check(session, CHECK, None, None)
    examples = json.loads(result.examples or "[]")
    assert (result.status, result.unexpected_count) == ("failed" if examples else "passed", len(examples))
    return sorted(examples)


def test_columns_that_are_renamed_one_day_are_told(session: WarehouseSession) -> None:
    for day in range(27):
        arrive(session, WITH, day)
    assert told(session) == []
    for day in range(27, 30):
        arrive(session, WITHOUT, day)
    assert told(session) == ["default: country, last on 2026-01-27", "default: latency_ms, last on 2026-01-27"]
    arrive(session, WITH, 30)
    assert told(session) == []


def test_a_column_that_some_files_of_a_day_have_still_comes(session: WarehouseSession) -> None:
    for day in range(5):
        arrive(session, WITH, day, hour=9)
        arrive(session, WITHOUT, day, hour=10)
    assert told(session) == []


def test_a_column_that_came_now_and_then_is_not_missed(session: WarehouseSession) -> None:
    for day in range(20):
        arrive(session, WITH if day % 5 == 0 else WITHOUT, day)
    assert told(session) == []


def test_what_no_file_of_a_source_has_ever_had_is_told(session: WarehouseSession) -> None:
    columns = {name: name for name in ("event_time", "feature", "status", "country", "user_id")}
    given = {"name": "web", "owner": "o", "description": "d", "paths": ["web/**"], "starts_on": "2020-01-01"}
    sources = Sources({"web": Source.model_validate({**given, "columns": columns})})
    arrive(session, WITH, 0, name="web/a")
    assert told(session, sources) == ["web: user_id, which none of its files has ever had"]
    rows = session.connection.execute("select absent_columns, vanished_columns from raw.log_files").fetchall()
    assert rows == [(["user_id"], [])]


def test_a_key_that_a_file_loses_midway_is_told(session: WarehouseSession) -> None:
    event = {"event_time": "2026-01-01T10:00:00Z", "feature": "s", "status": "ok"}
    lines = [json.dumps({**event, "latency_ms" if n < 3 else "latency": 10, "country": "DE"}) for n in range(6)]
    session.settings.landing_dir.mkdir(parents=True, exist_ok=True)
    (session.settings.landing_dir / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert told(session) == ["default: latency_ms, only at the beginning of a.jsonl"]
