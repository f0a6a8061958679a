"""Ingestion: every row of every file is kept or refused with its reasons, once, whenever and however files arrive."""

from __future__ import annotations

import csv
import gzip
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from filelock import FileLock

from quality_assets.clock import utc_now
from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS, VALID_EVENTS
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.sources.events import load_sources
from quality_assets.settings import Settings
from quality_assets.simulate import SimulationPlan, SimulationResult, simulate
from quality_assets.simulate.dirt import ACCEPTED
from quality_assets.stores.landing import place, settle
from quality_assets.stores.warehouse import WarehouseBusyError, WarehouseSession, open_warehouse
from quality_assets.tables import events as event_tables
from quality_assets.tables import ingest
from quality_assets.tables.events import build_events
from quality_assets.tables.ingest import IngestReport, waiting_files
from quality_assets.tables.staleness import dates_not_over, days_to_build, stale_dates

HEADER = "event_id,event_time,feature,status"
FIRST, LAST = date(2000, 1, 1), date(2100, 1, 1)
Ingest = Callable[[WarehouseSession], IngestReport]
Rows = list[tuple[Any, ...]]
# Everything of a row but which file it came from.
EVENTS = f"select * exclude (file_id, line_number) from {VALID_EVENTS.qualified_name} order by event_date, event_id"


@pytest.fixture
def session(data_root: Settings) -> Iterator[WarehouseSession]:
    """An open, empty warehouse."""
    with open_warehouse(data_root) as opened:
        yield opened


def arrive(session: WarehouseSession, name: str, *rows: str) -> Path:
    """Put a CSV into the landing zone; a row is `id day status`."""
    lines = [f"{i},2026-01-{d}T10:00:00Z,Search,{s}" for i, d, s in (row.split() for row in rows)]
    path = session.settings.landing_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def rows_of(session: WarehouseSession, sql: str) -> Rows:
    return session.connection.execute(sql).fetchall()


def events(session: WarehouseSession) -> Rows:
    """Day, id and landing name of every event."""
    build_events(session, FIRST, LAST)
    return rows_of(
        session,
        "select day(event_date), event_id, path from core.valid_events join raw.log_files using (file_id)"
        " order by event_date, event_id",
    )


def quarantined(session: WarehouseSession) -> Rows:
    """Landing name, line and reasons of every refused row."""
    return rows_of(
        session,
        "select path, line_number, reasons from core.quarantined_events join raw.log_files using (file_id)"
        " order by path, line_number",
    )


def contents(session: WarehouseSession) -> dict[str, Rows]:
    """All that ingestion and validation keep."""
    tables = (LOG_FILES, RAW_LOGS, VALID_EVENTS, QUARANTINED_EVENTS)
    return {
        t.name: rows_of(session, f"select * from {t.qualified_name} order by {t.select_list(t.key)}") for t in tables
    }


def assert_accounted(session: WarehouseSession) -> None:
    """Rows in = valid + quarantined, per file and date, and per file as the ledger has it."""
    unbalanced = rows_of(
        session,
        """
select event_date, file_id, sum(n) from (
  select event_date, file_id, count(*) as n from raw.raw_logs group by all
  union all select event_date, file_id, -count(*) from core.valid_events group by all
  union all select event_date, file_id, -count(*) from core.quarantined_events group by all
) group by all having sum(n) <> 0""",
    )
    assert unbalanced == []
    ledger = rows_of(session, "select file_id, rows from raw.log_files where rows > 0 order by 1")
    assert ledger == rows_of(session, "select file_id, count(*) from raw.raw_logs group by 1 order by 1")


# --- Against the truth of the simulator -------------------------------------------------------------------------------


def truth_of(out: Path) -> dict[tuple[str, int], tuple[str, ...]]:
    with (out / "dirt.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["expected"] != ACCEPTED]
    return {(row["file"], int(row["line"])): tuple(sorted(row["expected"].split(";"))) for row in rows}


def refusals(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, int], tuple[str, ...]]:
    rows = connection.execute(
        "select parse_filename(path), line_number, reasons from core.quarantined_events"
        " join raw.log_files using (file_id)"
    ).fetchall()
    found = {(name, line): tuple(sorted(reasons)) for name, line, reasons in rows}
    assert len(found) == len(rows)
    return found


def test_what_is_quarantined_is_exactly_the_dirt_that_was_strewn(
    built_warehouse: Settings, simulated_logs: SimulationResult
) -> None:
    truth = truth_of(simulated_logs.out)
    with duckdb.connect(str(built_warehouse.warehouse_path), read_only=True) as connection:
        found = refusals(connection)
        kept = connection.execute("select count(*) from core.valid_events").fetchall()
    assert len({reason for reasons in truth.values() for reason in reasons}) >= 15
    assert {key: (found.get(key), truth.get(key)) for key in {*found, *truth} if found.get(key) != truth.get(key)} == {}
    assert kept == [(simulated_logs.rows - len(truth),)]


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_the_dirt_of_other_formats_is_found_as_exactly(
    session: WarehouseSession, ingest_all: Ingest, tmp_path: Path, file_format: Any
) -> None:
    plan = SimulationPlan(days=2, features=5, events_per_day=300, seed=3, dirt_share=0.3, incidents=())
    result = simulate(plan, tmp_path / "sim", format=file_format)
    place([tmp_path / "sim" / "logs"], session.settings.landing_dir)
    assert ingest_all(session).row_count == result.rows
    build_events(session, FIRST, LAST)
    assert refusals(session.connection) == truth_of(tmp_path / "sim")
    assert_accounted(session)


def test_every_row_that_arrived_is_an_event_or_in_quarantine(
    built_warehouse: Settings, simulated_logs: SimulationResult
) -> None:
    settings = built_warehouse
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        opened = WarehouseSession(connection, None, settings)  # type: ignore[arg-type]
        assert_accounted(opened)
        assert rows_of(opened, "select count(*), sum(rows) from raw.log_files") == [(12, simulated_logs.rows)]


def test_the_row_as_it_arrived_is_kept_in_quarantine(session: WarehouseSession, ingest_all: Ingest) -> None:
    arrive(session, "a.csv", "e1 01 ok", "e2 01 maybe", "e1 01 crash")
    ingest_all(session)
    events(session)
    status = "json_extract_string(raw_row, 'status'), json_extract_string(raw_row, 'event_id')"
    found = rows_of(session, f"select line_number, {status} from core.quarantined_events order by 1")
    assert found == [(3, "maybe", "e2"), (4, "crash", "e1")]


# --- What is known already --------------------------------------------------------------------------------------------


def test_the_same_bytes_under_another_name_are_skipped_and_told(session: WarehouseSession, ingest_all: Ingest) -> None:
    original = arrive(session, "a.csv", "e1 01 ok")
    ingest_all(session)
    before = contents(session)
    copy = session.settings.landing_dir / "deep" / "copy.txt"
    copy.parent.mkdir()
    copy.write_bytes(original.read_bytes())
    report = ingest_all(session)
    assert [(item.name, item.reason) for item in report.skipped] == [("deep/copy.txt", "has the same bytes as a.csv")]
    assert (report.loaded, report.touched_dates, report.load_ids) == ([], set(), set())
    assert contents(session) == before
    assert waiting_files(session) == ([], [])


def test_two_names_of_the_same_bytes_that_arrive_together_are_read_once(
    session: WarehouseSession, ingest_all: Ingest
) -> None:
    original = arrive(session, "a.csv", "e1 01 ok")
    (session.settings.landing_dir / "b.csv").write_bytes(original.read_bytes())
    report = ingest_all(session)
    assert [name for name, _ in report.loaded] == ["a.csv"]
    assert [item.name for item in report.skipped] == ["b.csv"]
    assert rows_of(session, "select path from raw.log_files") == [("a.csv",)]
    assert waiting_files(session) == ([], []), "the copy waits for nothing either"


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
def test_a_name_that_is_no_text_is_spelled_out_and_read(session: WarehouseSession, ingest_all: Ingest) -> None:
    original = arrive(session, "a.csv", "e1 01 ok")
    os.rename(original, os.fsencode(original.parent) + b"/bad\xff [1].csv")
    report = ingest_all(session)
    assert [name for name, _ in report.loaded] == ["bad\\xff [1].csv"]
    assert rows_of(session, "select path, rows from raw.log_files") == [("bad\\xff [1].csv", 1)]
    assert waiting_files(session) == ([], [])


def test_ingesting_again_changes_nothing(
    built_copy: Settings, ingest_all: Ingest, build_all: Callable[..., None]
) -> None:
    with open_warehouse(built_copy) as session:
        before = contents(session)
        lake = {p: p.stat().st_ino for p in built_copy.lake_dir.rglob("*.parquet")}
        report = ingest_all(session)
        assert (report.loaded, report.rejected, report.rows, report.touched_dates) == ([], [], Counter(), set())
        assert days_to_build(session.connection) == []
        assert {p: p.stat().st_ino for p in built_copy.lake_dir.rglob("*.parquet")} == lake
        build_all(session)
        assert contents(session) == before


def test_a_file_that_was_touched_is_not_read_into_the_lake_again(session: WarehouseSession, ingest_all: Ingest) -> None:
    path = arrive(session, "a.csv", "e1 01 ok")
    ingest_all(session)
    os.utime(path, (1_767_300_000, 1_767_300_000))
    report = ingest_all(session)
    assert [item.name for item in report.skipped] == ["a.csv"]
    assert waiting_files(session) == ([], [])


def test_a_file_that_has_grown_takes_the_place_of_what_it_was(session: WarehouseSession, ingest_all: Ingest) -> None:
    arrive(session, "a.csv", "e1 01 ok")
    ingest_all(session)
    arrive(session, "a.csv", "e1 01 ok", "e2 01 ok")
    assert ingest_all(session).row_count == 2
    assert [event_id for _, event_id, _ in events(session)] == ["e1", "e2"]
    assert quarantined(session) == []
    assert_accounted(session)


# --- Duplicates -------------------------------------------------------------------------------------------------------


def test_within_a_file_the_first_row_wins(session: WarehouseSession, ingest_all: Ingest) -> None:
    arrive(session, "a.csv", "e1 01 ok", "e1 01 crash", "e1 02 ok", "e1 01 ok")
    ingest_all(session)
    assert events(session) == [(1, "e1", "a.csv"), (2, "e1", "a.csv")]
    assert quarantined(session) == [("a.csv", line, ["duplicate_event_id"]) for line in (3, 5)]
    assert rows_of(session, "select status from core.valid_events") == [("ok",), ("ok",)]


def test_across_files_of_one_load_the_first_by_name_wins(session: WarehouseSession, ingest_all: Ingest) -> None:
    arrive(session, "b.csv", "e1 01 ok", "e2 01 ok")
    arrive(session, "a.csv", "e3 01 ok", "e1 01 ok")
    assert len(ingest_all(session).load_ids) == 1
    assert events(session) == [(1, "e1", "a.csv"), (1, "e2", "b.csv"), (1, "e3", "a.csv")]
    assert quarantined(session) == [("b.csv", 2, ["duplicate_event_id"])]


def test_across_loads_the_first_to_arrive_wins_whatever_its_name(session: WarehouseSession, ingest_all: Ingest) -> None:
    arrive(session, "z.csv", "e1 01 ok")
    ingest_all(session)
    arrive(session, "a.csv", "e1 01 ok", "e2 01 ok")
    ingest_all(session)
    assert events(session) == [(1, "e1", "z.csv"), (1, "e2", "a.csv")]
    assert quarantined(session) == [("a.csv", 2, ["duplicate_event_id"])]


def test_a_bad_row_whose_id_was_kept_is_a_copy_too_once(session: WarehouseSession, ingest_all: Ingest) -> None:
    arrive(session, "a.csv", "e1 01 ok", "e1 01 maybe", "e2 01 maybe")
    ingest_all(session)
    assert events(session) == [(1, "e1", "a.csv")]
    both = ["invalid_status", "duplicate_event_id"]
    assert quarantined(session) == [("a.csv", 3, both), ("a.csv", 4, ["invalid_status"])]
    arrive(session, "b.csv", "e1 01 maybe", "e2 01 ok")
    ingest_all(session)
    assert events(session) == [(1, "e1", "a.csv"), (1, "e2", "b.csv")]
    assert quarantined(session) == [("a.csv", 3, both), ("a.csv", 4, both), ("b.csv", 2, both)]


def test_a_bad_row_does_not_take_the_id_from_a_good_one(session: WarehouseSession, ingest_all: Ingest) -> None:
    arrive(session, "a.csv", "e1 01 maybe", "e1 01 ok")
    ingest_all(session)
    arrive(session, "b.csv", "e2 01 maybe")
    ingest_all(session)
    arrive(session, "c.csv", "e2 01 ok")
    ingest_all(session)
    assert events(session) == [(1, "e1", "a.csv"), (1, "e2", "c.csv")]
    assert quarantined(session) == [
        ("a.csv", 2, ["invalid_status", "duplicate_event_id"]),
        ("b.csv", 2, ["invalid_status", "duplicate_event_id"]),
    ]


def test_in_one_load_or_in_many_the_same_rows_are_kept(data_root: Settings, tmp_path: Path, ingest_all: Ingest) -> None:
    days = {f"{n}.csv": [f"e{n * 2} 01 ok", f"e{n * 2 + 1} 02 ok", f"e{n} 01 ok", f"e{n} 02 no"] for n in range(5)}
    kept = []
    for name in ("at once", "one by one"):
        with open_warehouse(data_root.model_copy(update={"data_dir": tmp_path / name})) as opened:
            for file, rows in days.items():
                arrive(opened, file, *rows)
                if name == "one by one":
                    ingest_all(opened)
            ingest_all(opened)
            kept.append((events(opened), quarantined(opened), rows_of(opened, EVENTS)))
            assert_accounted(opened)
    assert kept[0] == kept[1]


def test_many_loads_of_a_day_are_merged_and_lose_nothing(
    session: WarehouseSession, ingest_all: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_tables, "MAX_FILES_A_DAY", 2)
    for n in range(4):
        arrive(session, f"{n}.csv", f"e{n} 01 ok", "e0 01 ok")
        ingest_all(session)
        found = events(session)
    assert found == [(1, f"e{n}", f"{n}.csv") for n in range(4)]
    assert len(session.lake.files(VALID_EVENTS)) == 1
    assert len(quarantined(session)) == 4
    assert_accounted(session)


def test_loads_are_cut_by_size_and_by_number_of_files(
    session: WarehouseSession, ingest_all: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MAX_FILES_A_LOAD", 2)
    for n in range(5):
        arrive(session, f"{n}.csv", f"e{n} 01 ok", "same 01 ok")
    report = ingest_all(session)
    assert report.load_ids == {"00000001", "00000003", "00000005"}
    assert [event_id for _, event_id, _ in events(session)] == ["e0", "e1", "e2", "e3", "e4", "same"]
    assert_accounted(session)


def test_a_compressed_file_weighs_what_it_grows_to(session: WarehouseSession) -> None:
    def weigh(name: str, size: int) -> ingest.Arrival:
        path = session.settings.landing_dir / name
        return ingest.Arrival(ingest.LandingFile(path, name, size, 0), name, 1, name, datetime(2026, 1, 1), size)

    plain = [weigh(f"{n}.csv", 40) for n in range(4)]
    packed = [weigh(f"{n}.csv.gz", 40) for n in range(4)]
    assert [len(load) for load in ingest._loads(plain, 100)] == [2, 2]
    assert [len(load) for load in ingest._loads(packed, 100)] == [1, 1, 1, 1]
    assert [len(load) for load in ingest._loads([weigh("huge.csv", 10_000)], 100)] == [1]


# --- Late files -------------------------------------------------------------------------------------------------------


def test_a_late_file_touches_its_dates_only(
    built_copy: Settings, ingest_all: Ingest, build_all: Callable[..., None]
) -> None:
    with open_warehouse(built_copy) as session:
        before = dict(rows_of(session, "select event_date, count(*) from core.valid_events group by 1"))
        files = {f.path for f in session.lake.files(VALID_EVENTS)}
        arrive(session, "late.csv", "late-1 03 ok", "late-2 05 ok", "late-3 05 maybe")
        report = ingest_all(session)
        late = {date(2026, 1, 3), date(2026, 1, 5)}
        assert report.touched_dates == late
        assert report.rows == {date(2026, 1, 3): 1, date(2026, 1, 5): 2}
        assert set(stale_dates(session.connection, VALID_EVENTS)) == late
        build_all(session, min(late), max(late))
        assert days_to_build(session.connection) == []
        after = dict(rows_of(session, "select event_date, count(*) from core.valid_events group by 1"))
        assert {day: after[day] - before[day] for day in after if after[day] != before[day]} == dict.fromkeys(late, 1)
        assert files < {f.path for f in session.lake.files(VALID_EVENTS)}
        assert_accounted(session)


def test_rows_without_a_readable_time_are_accounted_to_the_files_first_date(
    session: WarehouseSession, ingest_all: Ingest
) -> None:
    path = arrive(session, "a.csv", "e1 04 ok", "e2 05 ok")
    path.write_text(path.read_text() + "e3,not a time,Search,ok\n,,,\n")
    report = ingest_all(session)
    assert report.touched_dates == {date(2026, 1, 4), date(2026, 1, 5)}
    events(session)
    found = rows_of(session, "select event_date, line_number, event_time from core.quarantined_events order by 2")
    assert found == [(date(2026, 1, 4), 4, None), (date(2026, 1, 4), 5, None)]
    assert_accounted(session)


# --- Bad files, and files that move -----------------------------------------------------------------------------------

BAD = {
    "empty.csv": b"",
    "garbage.csv": bytes(range(256)) * 40,
    "truncated.csv.gz": gzip.compress(b"event_id,event_time,feature,status\n" * 500)[:60],
    "truncated.parquet": b"PAR1" + b"\0" * 50,
    "other columns.csv": b"x,y\n1,2\n",
}


def test_a_rejected_file_is_in_the_ledger_with_its_reason_and_stops_no_other(
    session: WarehouseSession, ingest_all: Ingest
) -> None:
    arrive(session, "good.csv", "e1 01 ok")
    arrive(session, "zz.csv", "e2 01 ok")
    for name, content in BAD.items():
        (session.settings.landing_dir / name).write_bytes(content)
    report = ingest_all(session)
    assert [name for name, _ in report.loaded] == ["good.csv", "zz.csv"]
    assert {name for name, _ in report.rejected} == set(BAD)
    assert all(reason for _, reason in report.rejected)
    ledger = rows_of(session, "select path, status, reason, rows, touched_dates from raw.log_files where rows = 0")
    assert {(path, reason) for path, _, reason, _, _ in ledger} == set(report.rejected)
    assert {(status, rows, len(days)) for _, status, _, rows, days in ledger} == {("rejected", 0, 0)}
    assert [event_id for _, event_id, _ in events(session)] == ["e1", "e2"]
    assert_accounted(session)
    assert waiting_files(session) == ([], [])


def test_only_bad_files_leave_a_warehouse_that_works(session: WarehouseSession, ingest_all: Ingest) -> None:
    session.settings.landing_dir.mkdir(parents=True)
    (session.settings.landing_dir / "empty.csv").write_bytes(b"")
    report = ingest_all(session)
    assert (report.row_count, report.touched_dates, len(report.rejected)) == (0, set(), 1)
    assert events(session) == []


def test_a_rejected_file_is_read_again_when_somebody_asks_for_it(session: WarehouseSession, ingest_all: Ingest) -> None:
    arrive(session, "good.csv", "e1 01 ok")
    path = session.settings.landing_dir / "log.csv"
    path.write_text("request_id,ts,route,http_status\nr1,1767261600000,/pay,200\n")
    assert [name for name, _ in ingest_all(session).rejected] == ["log.csv"]
    assert ingest_all(session).loaded == []
    sources = load_sources(session.settings.source_files_dir)
    named = {"log.csv": "api_log", "good.csv": "api_log"}
    report = ingest.ingest(session, sources, lambda _: None, named, ["log.csv", "good.csv"])
    assert [(name, staged.source) for name, staged in report.loaded] == [("log.csv", "api_log")]
    assert rows_of(session, "select path, status, rows from raw.log_files order by 1") == [
        ("good.csv", "loaded", 1),
        ("log.csv", "loaded", 1),
    ]
    assert [event_id for _, event_id, _ in events(session)] == ["e1", "r1"]
    assert_accounted(session)


def test_a_header_alone_is_a_file_without_rows(session: WarehouseSession, ingest_all: Ingest) -> None:
    arrive(session, "header.csv")
    report = ingest_all(session)
    assert [(name, staged.rows) for name, staged in report.loaded] == [("header.csv", 0)]
    assert (report.touched_dates, events(session)) == (set(), [])


def test_what_is_no_log_is_passed_over_and_told(session: WarehouseSession, ingest_all: Ingest, tmp_path: Path) -> None:
    arrive(session, "a.csv", "e1 01 ok")
    (tmp_path / "secret.csv").write_text(f"{HEADER}\nstolen,2026-01-01T10:00:00Z,Search,ok\n")
    (session.settings.landing_dir / "link.csv").symlink_to(tmp_path / "secret.csv")
    (session.settings.landing_dir / "folder.csv").mkdir()
    report = ingest_all(session)
    assert [(item.name, item.reason) for item in report.ignored] == [("link.csv", "is a link out of the landing zone")]
    assert [event_id for _, event_id, _ in events(session)] == ["e1"]


def test_a_file_that_vanishes_before_it_is_read_is_told_and_not_lost_when_it_comes_back(
    session: WarehouseSession, ingest_all: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = arrive(session, "a.csv", "e1 01 ok")
    arrive(session, "b.csv", "e2 01 ok")
    text = path.read_text()

    def vanish(files: Iterable[ingest.LandingFile], stable_s: float) -> Any:
        settled = settle(files, stable_s)
        path.unlink()
        return settled

    with monkeypatch.context() as patched:
        patched.setattr(ingest, "settle", vanish)
        report = ingest_all(session)
    assert [item.name for item in report.ignored] == ["a.csv"]
    assert "cannot be read" in report.ignored[0].reason
    path.write_text(text)
    ingest_all(session)
    assert [event_id for _, event_id, _ in events(session)] == ["e1", "e2"]


@pytest.mark.parametrize("change", ["vanishes", "grows"])
def test_a_file_that_changes_while_it_is_read_waits_for_the_next_time(
    session: WarehouseSession, ingest_all: Ingest, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = arrive(session, "a.csv", "e1 01 ok")
    arrive(session, "b.csv", "e2 01 ok")
    text = path.read_text()
    read = ingest.Staging.read

    def disturb(staging: ingest.Staging, number: int, log: ingest.RawLog) -> None:
        if log.path == path and change == "vanishes":
            path.unlink(missing_ok=True)
        read(staging, number, log)
        if log.path == path and change == "grows":
            path.write_text(text + "e3,2026-01-01T10:00:00Z,Search,ok\n")

    with monkeypatch.context() as patched:
        patched.setattr(ingest.Staging, "read", disturb)
        report = ingest_all(session)
    assert [name for name, _ in report.loaded] == ["b.csv"]
    assert [(item.name, item.reason) for item in report.ignored] == [("a.csv", "changed while it was read")]
    if change == "vanishes":
        path.write_text(text)
    ingest_all(session)
    wanted = ["e1", "e2"] if change == "vanishes" else ["e1", "e2", "e3"]
    assert [event_id for _, event_id, _ in events(session)] == wanted
    assert_accounted(session)


def test_a_day_that_is_not_over_is_read_and_waits(session: WarehouseSession, ingest_all: Ingest) -> None:
    now = datetime.now(UTC)
    days = [now.date() - timedelta(days=1), now.date()]
    times = [f"{days[0]}T10:00:00Z", f"{now:%Y-%m-%dT%H:%M:%SZ}"]
    path = arrive(session, "a.csv")
    path.write_text("\n".join([HEADER, *(f"e{n},{time},Search,ok" for n, time in enumerate(times))]) + "\n")
    assert ingest_all(session).touched_dates == set(days)
    assert days_to_build(session.connection) == days[:1]
    assert dates_not_over(session.connection) == {days[1]: "is not over (UTC)"}
    rows = build_events(session, days[0], days[1])[VALID_EVENTS.qualified_name]
    assert rows == {days[0]: 1}
    assert stale_dates(session.connection, VALID_EVENTS) == []


ZONED = """
name: shop
owner: us
description: Tills in another time zone
paths: [shop/**]
starts_on: 2020-01-01
columns: {{event_id: id, event_time: {{from: at, zone: {zone}}}, feature: {{constant: till}}, status: {{constant: ok}}}}
"""


@pytest.mark.parametrize(
    ("zone", "last", "held"),
    [
        # 2026-01-10 ends there at 05:00 UTC of the 11th, and at 15:00 UTC of the 10th.
        ("America/New_York", "10 23:40", "2026-01-11 has come until 04:40 (UTC); the own day of shop ends at 05:00"),
        ("Asia/Tokyo", "10 23:40", "2026-01-10 has come until 14:40 (UTC); the own day of shop ends at 15:00"),
        ("UTC", "10 09:40", ""),
        # It stops in the middle of its own day, which ends after the date does: that is a loss, and is shown as one.
        ("America/New_York", "10 14:00", ""),
        ("Asia/Tokyo", "11 03:00", ""),
    ],
)
def test_a_last_day_that_ends_with_the_sources_own_midnight_waits_for_more(
    data_root: Settings, tmp_path: Path, zone: str, last: str, held: str
) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "shop.yaml").write_text(ZONED.format(zone=zone))
    sources = load_sources(tmp_path / "sources")
    shop = data_root.landing_dir / "shop"
    shop.mkdir(parents=True)
    (shop / "a.csv").write_text(f"id,at\n1,2026-01-09 12:00:00\n2,2026-01-{last}:00\n")
    with open_warehouse(data_root) as session:
        ingest.ingest(session, sources, lambda _: None)
        told = [f"{day} {why}" for day, why in dates_not_over(session.connection).items()]
        assert told == ([held] if held else [])
        waiting = {date.fromisoformat(text[:10]) for text in told}
        read = {row[0] for row in rows_of(session, f"select distinct event_date from {RAW_LOGS.qualified_name}")}
        assert days_to_build(session.connection) == sorted(read - waiting)
        # Whatever else comes of a later day, that one is over: an outage is shown as soon as anything follows it.
        (shop / "b.csv").write_text("id,at\n3,2026-01-15 12:00:00\n")
        ingest.ingest(session, sources, lambda _: None)
        assert read <= set(days_to_build(session.connection))
        assert not read & dates_not_over(session.connection).keys()


def test_a_load_that_fails_has_never_been_and_the_next_one_makes_up_for_it(
    session: WarehouseSession, ingest_all: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(session, "a.csv", "e1 01 ok", "e2 01 maybe")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(ingest, "write_ledger", fail)
        with pytest.raises(OSError, match="no space left"):
            ingest_all(session)
    assert session.lake.files(RAW_LOGS) == []
    assert rows_of(session, "select count(*) from raw.log_files") == [(0,)]
    assert ingest_all(session).row_count == 2
    assert events(session) == [(1, "e1", "a.csv")]
    assert_accounted(session)


# --- The ledger -------------------------------------------------------------------------------------------------------


def test_the_ledger_says_what_was_in_a_file(session: WarehouseSession, ingest_all: Ingest) -> None:
    path = arrive(session, "shop/a.csv", "e1 04 ok", "e2 03 ok", "e3 03 maybe")
    os.utime(path, (1_772_323_200, 1_772_323_200))
    before = utc_now()
    ingest_all(session)
    cursor = session.connection.execute("from raw.log_files")
    names = [column[0] for column in cursor.description or ()]
    (row,) = cursor.fetchall()
    found: Mapping[str, Any] = dict(zip(names, row, strict=True))
    assert found["file_id"] == found["sha256"][:16]
    assert (found["path"], found["status"], found["reason"], found["source"]) == (
        "shop/a.csv",
        "loaded",
        None,
        "default",
    )
    assert (found["rows"], found["rows_refused"], found["format"]) == (3, 1, "csv")
    assert found["size_bytes"] == path.stat().st_size
    assert before <= found["arrived_at"] <= utc_now()
    assert (str(found["first_event_time"]), str(found["last_event_time"])) == (
        "2026-01-03 10:00:00",
        "2026-01-04 10:00:00",
    )
    assert found["touched_dates"] == [date(2026, 1, 3), date(2026, 1, 4)]


def test_a_named_source_reads_the_file(session: WarehouseSession) -> None:
    path = session.settings.landing_dir / "log.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(
        '{"request_id": "r1", "ts": 1767261600000, "route": "/pay", "http_status": 502, "duration_s": 1.5}\n'
    )
    sources = load_sources(session.settings.source_files_dir)
    report = ingest.ingest(session, sources, lambda _: None, {"log.jsonl": "api_log"})
    assert [(name, staged.source) for name, staged in report.loaded] == [("log.jsonl", "api_log")]
    build_events(session, FIRST, LAST)
    found = rows_of(session, "select event_id, feature, status, latency_ms from core.valid_events")
    assert found == [("r1", "/pay", "crash", 1500.0)]


def test_progress_is_told_with_files_and_rows(session: WarehouseSession) -> None:
    arrive(session, "a.csv", "e1 01 ok")
    told: list[str] = []
    ingest.ingest(session, load_sources(session.settings.source_files_dir), told.append)
    assert told[-1] == "read 1 of 1 files, 1 rows"


def test_a_second_writer_is_told_who_holds_the_warehouse(session: WarehouseSession) -> None:
    settings = session.settings.model_copy(update={"data_dir": session.settings.data_dir.parent / "busy"})
    settings.data_dir.mkdir()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(settings.data_dir / ".writer.lock"):
            held.set()
            done.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(30)
    try:
        with pytest.raises(WarehouseBusyError, match="another process has been writing"):  # noqa: SIM117
            with open_warehouse(settings, lock_timeout_s=0):
                pass
    finally:
        done.set()
        other.join()
    with open_warehouse(settings, lock_timeout_s=0) as opened:
        assert opened.connection.execute("select 1").fetchall() == [(1,)]
