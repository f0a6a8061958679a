"""Logs as they come: growing, rotated, compressed, in halves, corrected. Lines count once, and follow from landing/."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from quality_assets.clock import utc_now
from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.raw import CORRECTED, LOG_FILES, WITHOUT_DAYS
from quality_assets.contracts.sources.events import load_sources
from quality_assets.contracts.table import Column, Table
from quality_assets.settings import Settings
from quality_assets.stores.lake import Lake, refresh_view
from quality_assets.stores.landing import place
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables import ingest, withdrawals
from quality_assets.tables.events import build_events, build_facts, build_user_feature_days
from quality_assets.tables.gone_logs import GoneLog, gone_logs, keep_gone_logs, standing_logs
from quality_assets.tables.ingest import IngestReport, is_arrival_due, waiting_files
from quality_assets.tables.lake_accounts import LakeNotAsWrittenError, changed_files, lake_faults
from quality_assets.tables.publishing import reasons_against
from quality_assets.tables.replays import files_to_reread, look_at_replay
from quality_assets.tables.sketches import build_event_sketches
from quality_assets.tables.staleness import days_to_build, stale_dates
from quality_assets.tables.withdrawals import read_again
from tests.conftest import FIRST_DATE, LAST_DATE

Ingest = Callable[..., IngestReport]
Lines = list[str]

SOURCE = """
name: {name}
owner: t
description: t
paths: ["{name}/**"]
starts_on: 2013-01-01
{more}
columns:
  event_id: id
  event_time: {{from: ts, unit: {unit}}}
  feature: page
  status: {status}
"""
# What may differ: under which compression a content was found, and what the load that a row came with can tell.
BY_LOAD = {"raw_logs": ("reasons", "raw_row"), "log_files": ("load_id", "compression")}


def lines(first: int, last: int, status: str = "ok", day: int = 2) -> Lines:
    """One line a minute, without ids."""
    return [f"2026-11-{day:02}T{n // 60:02}:{n % 60:02}:00Z,search,{status},u{n % 7}" for n in range(first, last)]


def with_ids(rows: Lines, prefix: str = "e") -> Lines:
    return [f"{prefix}{n},{row}" for n, row in enumerate(rows)]


def text(rows: Lines, header: str = "event_time,feature,status,user_id") -> bytes:
    return "\n".join([header, *rows, ""]).encode()


HEAD_WITH_ID = "event_id,event_time,feature,status,user_id"


def text_with_ids(rows: Lines) -> bytes:
    return text(with_ids(rows), HEAD_WITH_ID)


@pytest.fixture
def settings(data_root: Settings) -> Settings:
    """An empty root with sources of its own."""
    shutil.copytree(data_root.source_files_dir, data_root.data_dir / "sources", dirs_exist_ok=True)
    data_root.landing_dir.mkdir(parents=True)
    return data_root


@pytest.fixture
def root(settings: Settings, ingest_all: Ingest) -> Iterator[Root]:
    """An open root that reads and builds at a word."""
    with open_warehouse(settings) as session:
        yield Root(session, ingest_all)


class Root:
    """A data root, what lands in it, and what comes of that: events, and where it `builds_all` what follows from them.

    That each follows from what is before it, `test_state.py` says; here some tests do.
    """

    def __init__(self, session: WarehouseSession, ingest_all: Ingest, *, builds_all: bool = False) -> None:
        self.session, self._ingest, self.builds_all = session, ingest_all, builds_all
        self.landing = session.settings.landing_dir

    def put(self, name: str, content: bytes) -> Path:
        path = self.landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def read(self, asked: Sequence[str] = ()) -> IngestReport:
        report = self._ingest(self.session, asked)
        self._build()
        assert waiting_files(self.session)[0] == []
        self.assert_accounted()
        return report

    def _build(self) -> None:
        """What is of days. Trends follow from it, and nothing here asks for them."""
        following = (build_user_feature_days, build_facts, build_event_sketches) if self.builds_all else ()
        for build in (build_events, *following):
            build(self.session, FIRST_DATE, LAST_DATE, lambda _: None)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.session.connection.execute(sql).fetchall()

    def statuses(self) -> dict[str, int]:
        return dict(self.rows("select status, count(*) from core.valid_events group by 1"))

    def refused(self) -> dict[str, int]:
        return dict(
            self.rows(
                "select list_aggregate(reasons, 'string_agg', ' '), count(*) from core.quarantined_events group by 1"
            )
        )

    def ledger(self) -> dict[str, tuple[str, int]]:
        rows = self.rows("select path, status, rows from raw.log_files order by file_number")
        return {path: (status, count) for path, status, count in rows}

    def assert_accounted(self) -> None:
        ledger = self.rows("select file_id, rows from raw.log_files where rows > 0 order by 1")
        assert ledger == self.rows("select file_id, count(*) from raw.raw_logs group by 1 order by 1")
        total = "select (select count(*) from core.valid_events) + (select count(*) from core.quarantined_events)"
        assert self.rows(total) == self.rows("select count(*) from raw.raw_logs")
        if self.builds_all:
            assert days_to_build(self.session.connection) == []
        else:
            assert stale_dates(self.session.connection, VALID_EVENTS) == []

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        found = {}
        following = (USER_FEATURE_DAYS, FACT_FEATURE_METRICS) if self.builds_all else ()
        for table in (LOG_FILES, RAW_LOGS, VALID_EVENTS, QUARANTINED_EVENTS, *following):
            names = [name for name in table.column_names if name not in BY_LOAD.get(table.name, ())]
            found[table.name] = self.rows(f"select {table.select_list(names)} from {table.qualified_name} order by all")
        return found

    def assert_follows_from_landing(self) -> None:
        """A root with the same landing/ (and sources) and nothing else comes to the same tables."""
        settings = self.session.settings
        other = settings.model_copy(update={"data_dir": settings.data_dir.parent / "rebuilt"})
        shutil.rmtree(other.data_dir, ignore_errors=True)
        shutil.copytree(settings.landing_dir, other.landing_dir)
        if (settings.data_dir / "sources").exists():
            shutil.copytree(settings.data_dir / "sources", other.data_dir / "sources")
        with open_warehouse(other) as session:
            rebuilt = Root(session, self._ingest, builds_all=self.builds_all)
            rebuilt.read()
            found, wanted = rebuilt.tables(), self.tables()
            for name in found:
                assert sorted(map(str, found[name])) == sorted(map(str, wanted[name])), name

    def source(self, name: str, status: str = "st", unit: str = "s", more: str = "") -> None:
        folder = self.session.settings.source_files_dir
        (folder / f"{name}.yaml").write_text(SOURCE.format(name=name, status=status, unit=unit, more=more))


# --- Growing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [text, text_with_ids])
def test_lines_of_a_log_that_grows_count_once(root: Root, make: Callable[[Lines], bytes]) -> None:
    root.builds_all = True
    root.put("app.log", make(lines(0, 100)))
    root.put("other.csv", text(lines(0, 5, day=3)))
    root.read()
    for last in (150, 200):
        root.put("app.log", make(lines(0, last)))
        assert root.read().row_count == last
        assert root.statuses() == {"ok": last + 5}
    assert root.refused() == {}
    assert root.rows("select status, rows from raw.log_files where path = 'app.log' order by file_number") == [
        ("superseded", 0),
        ("superseded", 0),
        ("loaded", 200),
    ]
    root.assert_follows_from_landing()


def test_a_line_that_was_cut_off_is_read_when_it_is_whole(root: Root) -> None:
    whole = text(lines(0, 100))
    root.put("app.log", whole[:-40])
    root.read()
    assert root.refused() != {} or root.statuses() == {"ok": 99}
    root.put("app.log", whole)
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 100}, {})
    root.assert_follows_from_landing()


def test_a_log_that_grows_keeps_its_place_before_others(root: Root) -> None:
    root.put("b.csv", text_with_ids(lines(0, 2, "crash")))
    root.read()
    root.put("a.csv", text_with_ids(lines(0, 2, "ok")))
    root.read()
    root.put("b.csv", text_with_ids(lines(0, 3, "crash")))
    root.read()
    assert (root.statuses(), root.refused()) == ({"crash": 3}, {"duplicate_event_id": 2})
    root.assert_follows_from_landing()


def test_a_copy_of_a_row_that_goes_is_an_event_again(root: Root) -> None:
    root.source("shop", more="on_repeat: replace")
    header = "id,ts,page,st"
    root.put("shop/a.csv", text(["1,1793613600,cart,crash", "2,1793613601,cart,crash"], header))
    root.put("shop/b.csv", text(["1,1793613600,cart,ok", "2,1793613601,cart,bad"], header))
    root.read()
    assert (root.statuses(), root.refused()) == (
        {"crash": 2},
        {"duplicate_event_id": 1, "invalid_status duplicate_event_id": 1},
    )
    root.put("shop/a.csv", text(["3,1793613602,cart,error"], header))
    root.read()
    assert (root.statuses(), root.refused()) == ({"error": 1, "ok": 1}, {"invalid_status": 1})
    root.assert_follows_from_landing()


# --- Rotated, compressed ----------------------------------------------------------------------------------------------


def test_a_rotated_log_counts_once_and_the_new_one_is_read(root: Root) -> None:
    path = root.put("app.log", text(lines(0, 100)))
    root.read()
    # It has grown since it was read.
    path.write_bytes(text(lines(0, 120)))
    path.rename(root.landing / "app.log.1")
    root.put("app.log", text(lines(120, 150)))
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 150}, {})
    (root.landing / "app.log.1").rename(root.landing / "app.log.2")
    path.rename(root.landing / "app.log.1")
    root.put("app.log", text(lines(150, 160)))
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 160}, {})
    root.assert_follows_from_landing()


def _rotate(landing: Path, base: str, kept: int, compresses: bool) -> None:
    """As logrotate does with `delaycompress`: the log becomes .1, packed once it becomes .2, and the last goes."""
    suffixes = {n: ".gz" if compresses and n > 1 else "" for n in range(1, kept + 2)}
    for n in range(kept, 0, -1):
        old, new = landing / f"{base}.{n}{suffixes[n]}", landing / f"{base}.{n + 1}{suffixes[n + 1]}"
        if not old.exists():
            continue
        if n == kept:
            old.unlink()
        elif suffixes[n] == suffixes[n + 1]:
            old.rename(new)
        else:
            new.write_bytes(gzip.compress(old.read_bytes(), mtime=0))
            old.unlink()
    (landing / base).rename(landing / f"{base}.1")


@pytest.mark.parametrize(
    ("on_repeat", "compresses", "kept"),
    [("keep", True, 2), ("replace", True, 1), ("replace", False, 2), ("replace", True, 5)],
)
def test_what_comes_after_a_rotated_log_is_no_correction_of_it(
    root: Root, on_repeat: str, compresses: bool, kept: int
) -> None:
    root.source("shop", more=f"on_repeat: {on_repeat}")
    (root.landing / "shop").mkdir()
    expected = 0
    for turn in range(5):
        if turn:
            _rotate(root.landing / "shop", "app.log", kept, compresses)
        # Six lines each, all of one day, the last two written after the log was read.
        rows = [f"{1793613600 + 6 * turn + n},cart,ok" for n in range(6)]
        root.put("shop/app.log", text(rows[:4], "ts,page,st"))
        report = root.read()
        assert report.repeated == []
        expected += 4
        assert root.statuses() == {"ok": expected}
        if turn % 2:
            root.put("shop/app.log", text(rows, "ts,page,st"))
            expected += 2
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 24}, {})
    root.assert_follows_from_landing()


@pytest.mark.parametrize("statuses", [("ok", "error", "crash"), ("crash", "error", "ok")])
def test_of_corrections_that_are_given_at_once_the_last_counts(
    root: Root, tmp_path: Path, statuses: tuple[str, ...]
) -> None:
    root.source("shop", more="on_repeat: replace")
    # The last is the longest once, and the shortest the other time.
    rows = {"ok": 10, "error": 7, "crash": 4}
    given = []
    for status in statuses:
        given.append(tmp_path / status / "day.csv")
        given[-1].parent.mkdir()
        export = [f"{1793613600 + n},cart,{status}" for n in range(rows[status])]
        given[-1].write_bytes(text(export, "ts,page,st"))
    placed, _ = place(given, root.landing, "shop")
    root.read(placed)
    assert root.statuses() == {statuses[-1]: rows[statuses[-1]]}
    root.assert_follows_from_landing()


def test_days_that_go_with_what_is_corrected_are_told(root: Root) -> None:
    def export(**rows: int) -> bytes:
        days = {int(day.removeprefix("day")): count for day, count in rows.items()}
        at = [1793613600 + 86400 * (day - 2) + n for day, count in days.items() for n in range(count)]
        return text([f"{instant},cart,ok" for instant in at], "ts,page,st")

    root.builds_all = True
    root.source("shop", more="on_repeat: replace")
    root.put("shop/window.csv", export(day2=10, day3=20, day4=5))
    root.read()
    root.put("shop/window.csv", export(day3=20, day6=25))
    root.read()
    assert root.statuses() == {"ok": 45}
    reasons = root.rows("select reason from raw.log_files where status = 'superseded'")
    assert reasons == [(f"{WITHOUT_DAYS} 15 rows of 2026-11-02, 2026-11-04",)]
    root.assert_follows_from_landing()
    # What has all days of what it corrects takes nothing away, and is nothing to tell.
    root.put("shop/window.csv", export(day3=9, day6=8))
    root.read()
    reasons = root.rows("select reason from raw.log_files where status = 'superseded' order by file_number")
    assert reasons == [(f"{WITHOUT_DAYS} 15 rows of 2026-11-02, 2026-11-04",), (CORRECTED,)]
    # The first again: it is the newest word once more, and lacks a day.
    root.put("shop/window.csv", export(day2=10, day3=20, day4=5))
    root.read()
    assert root.statuses() == {"ok": 35}
    root.assert_follows_from_landing()


def test_a_log_that_was_moved_and_is_corrected_there_is_replaced(root: Root) -> None:
    root.source("shop", more="on_repeat: replace")

    def export(status: str, first: int) -> bytes:
        return text([f"{1793613600 + n},cart,{status}" for n in range(first, first + 10)], "ts,page,st")

    path = root.put("shop/today.csv", export("crash", 0))
    root.read()
    path.rename(root.landing / "shop" / "monday.csv")
    root.put("shop/today.csv", export("ok", 100))
    root.read()
    assert root.statuses() == {"crash": 10, "ok": 10}
    assert root.rows("select path, moved_to from raw.log_files order by 1, 2") == [
        ("shop/today.csv", "shop/monday.csv"),
        ("shop/today.csv", None),
    ]
    root.put("shop/monday.csv", export("error", 0))
    root.read()
    assert root.statuses() == {"error": 10, "ok": 10}
    root.assert_follows_from_landing()


@pytest.mark.parametrize("keeps_plain", [True, False])
def test_the_same_content_under_a_compression_is_skipped(root: Root, keeps_plain: bool) -> None:
    path = root.put("app.log", text(lines(0, 100)))
    root.read()
    root.put("app.log.gz", gzip.compress(path.read_bytes()))
    if not keeps_plain:
        path.unlink()
    report = root.read()
    assert [(item.name, item.reason) for item in report.skipped] == [("app.log.gz", "has the same content as app.log")]
    assert (root.statuses(), root.refused()) == ({"ok": 100}, {})
    root.assert_follows_from_landing()


def test_both_at_once_and_the_packed_one_first_count_once(root: Root) -> None:
    content = text(lines(0, 100))
    root.put("a.log", content)
    root.put("a.log.gz", gzip.compress(content))
    root.put("b/z.log.gz", gzip.compress(text(lines(0, 40, day=3))))
    root.read()
    root.put("b/z.log", text(lines(0, 40, day=3)))
    root.read()
    (root.landing / "b/z.log.gz").write_bytes(gzip.compress(text(lines(0, 60, day=3)), 1))
    (root.landing / "b/z.log").unlink()
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 160}, {})
    root.assert_follows_from_landing()


# As bgzip ends its files, and as tapes fill up their blocks.
ENDINGS = {"an empty member": gzip.compress(b""), "zeros": bytes(512)}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_stands_at_the_end_of_a_gzip_file_does_not_say_what_is_in_it(root: Root, ending: str) -> None:
    root.put("a/empty.csv.gz", gzip.compress(b""))
    root.put("b.csv.gz", gzip.compress(text_with_ids(lines(0, 10))) + ENDINGS[ending])
    root.read()
    root.put("c.csv.gz", gzip.compress(text(with_ids(lines(10, 15), "f"), HEAD_WITH_ID)) + ENDINGS[ending])
    root.read()
    assert root.statuses() == {"ok": 15}
    root.assert_follows_from_landing()


def test_a_log_whose_bytes_are_known_is_itself_though_another_ends_alike(root: Root) -> None:
    # The whole comes after its second half, and both end in the same member.
    second = gzip.compress("\n".join([*with_ids(lines(10, 15), "f"), ""]).encode())
    first = gzip.compress(text_with_ids(lines(0, 10)))
    root.put("2.csv.gz", gzip.compress(f"{HEAD_WITH_ID}\n".encode()) + second)
    root.read()
    root.put("1.csv.gz", first + second)
    root.read()
    assert root.statuses() == {"ok": 15}
    root.assert_follows_from_landing()


def test_a_window_of_members_that_moves_on_takes_nothing_back(root: Root) -> None:
    days = [gzip.compress(text(with_ids(lines(0, 10, day=day), f"d{day}-"), HEAD_WITH_ID)) for day in (2, 3, 4)]
    root.put("window.csv.gz", days[0] + days[1])
    root.read()
    root.put("window.csv.gz", days[1] + days[2])
    root.read()
    assert root.statuses() == {"ok": 30}
    root.assert_follows_from_landing()


def test_members_that_hold_what_is_there_already_count_once(root: Root) -> None:
    halves = text_with_ids(lines(0, 10)), "\n".join([*with_ids(lines(10, 15), "f"), ""]).encode()
    root.put("day.csv", b"".join(halves))
    root.read()
    root.put("day.csv.gz", b"".join(map(gzip.compress, halves)))
    report = root.read()
    assert [(item.name, item.reason) for item in report.skipped] == [("day.csv.gz", "has the same content as day.csv")]
    assert (root.statuses(), root.refused()) == ({"ok": 15}, {})
    root.assert_follows_from_landing()


def test_a_half_that_came_before_the_whole_is_itself_when_all_is_made_anew(root: Root) -> None:
    half = gzip.compress(text(with_ids(lines(10, 15), "f"), HEAD_WITH_ID))
    root.put("half.csv.gz", half)
    root.read()
    root.put("whole.csv.gz", gzip.compress(text_with_ids(lines(0, 10))) + half)
    root.read()
    assert root.statuses() == {"ok": 15}
    root.assert_follows_from_landing()


def test_a_log_that_has_grown_and_was_packed_then_counts_once(root: Root) -> None:
    root.put("app.log", text(lines(0, 100)))
    root.read()
    root.put("app.log", text(lines(120, 130)))
    root.put("app.log.1.gz", gzip.compress(text(lines(0, 120))))
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 130}, {})
    root.assert_follows_from_landing()


# --- Halves -----------------------------------------------------------------------------------------------------------


def test_half_an_upload_raises_no_alarm_once_the_whole_is_there(root: Root) -> None:
    whole = gzip.compress(text(lines(0, 500)))
    root.put("day.csv.gz", whole[: len(whole) // 2])
    assert [name for name, _ in root.read().rejected] == ["day.csv.gz"]
    root.put("day.csv.gz", whole)
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 500}, {})
    assert root.rows("select count(*) from raw.log_files where status = 'rejected'") == [(0,)]
    root.assert_follows_from_landing()


def test_an_upload_that_begins_again_changes_nothing_once_it_is_whole(root: Root) -> None:
    whole = text(lines(0, 100))
    root.put("day.csv", whole)
    root.read()
    root.put("day.csv", whole[: whole.index(lines(60, 61)[0].encode())])
    root.read()
    root.put("day.csv", whole)
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 100}, {})
    root.assert_follows_from_landing()


# --- Corrected --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "on_repeat", "has_ids"),
    [
        *itertools.product(["overwritten"], ["keep", "replace"], [True, False]),
        ("placed", "keep", True),
        ("placed", "replace", False),
    ],
)
def test_a_corrected_export_replaces_what_it_corrects_where_its_source_says_so(
    root: Root, tmp_path: Path, has_ids: bool, on_repeat: str, way: str
) -> None:
    root.source("shop", more=f"on_repeat: {on_repeat}")
    header = "id,ts,page,st" if has_ids else "ts,page,st"

    def export(status: str, last: int) -> bytes:
        rows = [f"{1793613600 + n},cart,{status}" for n in range(last)]
        return text([f"{n},{row}" for n, row in enumerate(rows)] if has_ids else rows, header)

    def send(content: bytes) -> None:
        if way == "overwritten":
            root.put("shop/day.csv", content)
        else:
            (tmp_path / "day.csv").write_bytes(content)
            place([tmp_path / "day.csv"], root.landing, "shop")

    send(export("crash", 100))
    root.read()
    send(export("ok", 110))
    report = root.read()
    if on_repeat == "replace":
        assert (root.statuses(), root.refused()) == ({"ok": 110}, {})
        assert report.repeated == []
    else:
        assert (root.statuses(), root.refused()) == ({"crash": 100, "ok": 10}, {"duplicate_event_id": 100})
        assert [source for _, source in report.repeated] == ["shop"]
    root.assert_follows_from_landing()


@pytest.mark.parametrize("has_ids", [True, False])
def test_what_was_corrected_counts_again_once_it_is_back(root: Root, has_ids: bool) -> None:
    root.source("shop", more="on_repeat: replace")
    header = "id,ts,page,st" if has_ids else "ts,page,st"

    def export(status: str, last: int) -> bytes:
        rows = [f"{1793613600 + n},cart,{status}" for n in range(last)]
        return text([f"{n},{row}" for n, row in enumerate(rows)] if has_ids else rows, header)

    steps = (
        (export("crash", 20), {"crash": 20}),
        (export("ok", 15), {"ok": 15}),
        (export("crash", 20), {"crash": 20}),
        (export("ok", 15), {"ok": 15}),
        (export("error", 5), {"error": 5}),
        (export("crash", 20), {"crash": 20}),
    )
    for step, (content, counted) in enumerate(steps):
        root.put("shop/day.csv", content)
        root.read()
        assert (root.statuses(), root.refused()) == (counted, {})
        # That one correction follows from landing/ says the test above.
        if step > 1:
            root.assert_follows_from_landing()


def test_a_path_that_holds_another_day_each_time_loses_none(root: Root) -> None:
    root.source("shop", more="on_repeat: replace")
    for day in range(3):
        rows = [f"{day}-{n},{1793613600 + 86400 * day + n},cart,ok" for n in range(10)]
        root.put("shop/today.csv", text(rows, "id,ts,page,st"))
        assert root.read().repeated == []
    assert root.statuses() == {"ok": 30}
    root.assert_follows_from_landing()


def test_the_same_rows_without_ids_in_other_bytes_count_once(root: Root) -> None:
    rows = lines(0, 100)
    root.put("a.csv", text(rows))
    root.read()
    root.put("again.csv", text(rows).replace(b"\n", b"\r\n"))
    root.put("turned.csv", text(rows[::-1]))
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 100}, {})
    root.put("a.csv", text([*rows[50:], *rows[:50]]))
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 100}, {})
    root.assert_follows_from_landing()


def test_other_rows_of_the_same_minutes_are_other_events(root: Root) -> None:
    root.put("web1.csv", text(lines(0, 100)))
    root.put("web2.csv", text([*lines(0, 99), lines(99, 100, "crash")[0]]))
    root.read()
    assert root.statuses() == {"ok": 199, "crash": 1}


# --- Sources, times ---------------------------------------------------------------------------------------------------


def test_ids_are_unique_within_a_source(root: Root) -> None:
    root.source("shop", status="{constant: ok}")
    root.put("mobile.csv", text_with_ids(lines(0, 100, "crash")))
    root.put("shop/a.csv", text([f"e{n},{1793577600 + 60 * n},cart" for n in range(100)], "id,ts,page"))
    root.read()
    assert (root.statuses(), root.refused()) == ({"crash": 100, "ok": 100}, {})
    root.put("shop/b.csv", text(["e0,1793577600,cart", "x,1793577600,cart"], "id,ts,page"))
    root.put("shop/c.csv", text(["e0,,cart"], "id,ts,page"))
    root.read()
    assert root.statuses() == {"crash": 100, "ok": 101}
    assert root.refused() == {"duplicate_event_id": 1, "missing_event_time": 1}
    root.assert_follows_from_landing()


@pytest.mark.parametrize("modified", [315_532_800, 1_793_606_400, 4_000_000_000])
def test_file_times_decide_nothing(root: Root, modified: int) -> None:
    path = root.put("day.csv", text(lines(0, 1000)))
    os.utime(path, (modified, modified))
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 1000}, {})
    os.utime(path)
    assert root.read().row_count == 0
    root.assert_follows_from_landing()


# --- A source that means something else -------------------------------------------------------------------------------


def test_what_a_mended_source_describes_is_read_anew(root: Root) -> None:
    root.source("web", status="{constant: ok}", unit="s")
    root.put("web/a.csv", text([f"{n},{1793613600000 + n},cart" for n in range(50)], "id,ts,page"))
    root.put("b.csv", text(lines(0, 10)))
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 10}, {"invalid_event_time": 50})
    root.source("web", status="{constant: ok}", unit="ms")
    assert [file.name for file in waiting_files(root.session)[0]] == ["web/a.csv"]
    assert root.read().row_count == 50
    assert (root.statuses(), root.refused()) == ({"ok": 60}, {})
    root.source("web", status="{constant: ok}", unit="ms", more="expectations: {min_rows_per_day: 3}")
    assert root.read().row_count == 0
    root.assert_follows_from_landing()


@pytest.mark.parametrize(
    ("slip", "why"),
    [("{from: tss, unit: s}", "needs tss; the file has id, ts, page"), ("{from: ts, unit: ms}", "none of its 50 rows")],
)
def test_a_slip_in_a_yaml_takes_nothing_away_unasked(root: Root, slip: str, why: str) -> None:
    def say(event_time: str) -> None:
        root.source("web", status="{constant: ok}")
        path = root.session.settings.source_files_dir / "web.yaml"
        path.write_text(path.read_text().replace("{from: ts, unit: s}", event_time))

    def standing() -> list[tuple[Any, ...]]:
        return root.rows("select path, status, reason from raw.log_files where reason is not null")

    say("{from: ts, unit: s}")
    root.put("web/a.csv", text([f"{n},{1793613600 + n},cart" for n in range(50)], "id,ts,page"))
    root.put("b.csv", text(lines(0, 10)))
    root.read()
    say(slip)
    assert [file.name for file in waiting_files(root.session)[0]] == ["web/a.csv"]
    assert root.read().row_count == 0
    assert root.statuses() == {"ok": 60}
    ((path, status, reason),) = standing()
    assert (path, status) == ("web/a.csv", "loaded")
    assert why in reason
    assert standing_logs(root.session.settings) == ["web/a.csv"]
    say("{from: ts, unit: s}")
    assert root.read().row_count == 50
    assert (root.statuses(), standing()) == ({"ok": 60}, [])
    say(slip)
    root.read()
    withdrawals.read_again(root.session, files_to_reread(root.session, "web").file_ids)
    root.read()
    assert root.statuses() == {"ok": 10}, "whoever asks for it gets what the YAML says"


def test_ledger_rows_without_a_version_are_not_read_anew(root: Root) -> None:
    root.put("b.csv", text(lines(0, 10)))
    root.read()
    root.session.connection.execute("update raw.log_files set source_version = null")
    assert root.read().row_count == 0
    assert root.rows("select count(*) from raw.log_files where source_version is null") == [(0,)]


# --- Read again -------------------------------------------------------------------------------------------------------


def test_a_changed_source_takes_corrections_in_that_it_kept_out(root: Root) -> None:
    root.source("shop")
    rows = [f"{n},{1793613600 + n},cart," for n in range(20)]
    root.put("shop/day.csv", text([f"{row}crash" for row in rows], "id,ts,page,st"))
    root.read()
    root.put("shop/day.csv", text([f"{row}ok" for row in rows], "id,ts,page,st"))
    root.read()
    assert root.statuses() == {"crash": 20}
    root.source("shop", more="on_repeat: replace")
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 20}, {})
    root.assert_follows_from_landing()


def test_a_replay_says_beforehand_what_it_comes_to(root: Root) -> None:
    root.source("web", unit="s")
    content = [
        "1,1793613600000,cart,ok",
        "2,1793613601000,cart,ok",
        "3,1793613602000,cart,bad",
        "1,1793613600000,cart,ok",
    ]
    root.put("web/a.csv", text(content, "id,ts,page,st"))
    root.read()
    wrong = "invalid_event_time"
    sources = load_sources(root.session.settings.source_files_dir)
    found = look_at_replay(root.session, sources, wrong, "web", utc_now())
    assert (found.rows, found.valid, found.refused) == (4, 0, {wrong: 4, "invalid_status": 1})
    root.source("web", unit="ms")
    sources = load_sources(root.session.settings.source_files_dir)
    before = root.tables()
    found = look_at_replay(root.session, sources, wrong, "web", utc_now())
    assert (found.rows, found.valid, found.refused) == (4, 2, {"invalid_status": 1, "duplicate_event_id": 1})
    assert root.tables() == before
    assert look_at_replay(root.session, sources, wrong, "shop", utc_now()).rows == 0
    read_again(root.session, found.rereading.file_ids)
    root.read()
    assert root.statuses() == {"ok": 2}


def test_logs_of_a_source_that_is_off_are_not_withdrawn_to_be_read_again(root: Root) -> None:
    root.source("shop")
    root.put("shop/a.csv", text(["1793613600,cart,ok", "soon,cart,ok"], "ts,page,st"))
    root.put("day.csv", text(lines(0, 5)))
    root.read()
    (root.session.settings.source_files_dir / "shop.yaml").write_text("name: shop\ncolumns: [")
    asked = files_to_reread(root.session)
    assert (asked.off, asked.lost, len(asked.file_ids)) == (("shop/a.csv",), (), 1)
    sources = load_sources(root.session.settings.source_folders)
    found = look_at_replay(root.session, sources, "invalid_event_time", None, utc_now())
    assert (found.rows, found.rereading.file_ids, found.rereading.off) == (1, (), ("shop/a.csv",))
    read_again(root.session, asked.file_ids)
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 6}, {"invalid_event_time": 1})


def test_logs_are_read_again_by_source_and_dates(root: Root) -> None:
    root.put("a.csv", text(lines(0, 10)))
    root.put("b.csv", text(lines(0, 10, day=3)))
    gone = root.put("c.csv", text(lines(20, 30, day=3)))
    root.read()
    gone.unlink()
    before = root.tables()
    day = date(2026, 11, 3)
    asked = files_to_reread(root.session, "default", day, day)
    assert (len(asked.file_ids), asked.lost) == (1, ("c.csv",))
    assert files_to_reread(root.session, "shop").file_ids == ()
    read_again(root.session, asked.file_ids)
    assert root.ledger()["b.csv"] == ("waiting", 0)
    assert root.read().row_count == 10
    after = root.tables()
    assert after["valid_events"] == before["valid_events"]


# --- The lake holds what was written ----------------------------------------------------------------------------------


def cut(root: Root, table: Table, rows: int) -> None:
    """Overwrite the first file of a table in place with its first rows."""
    path = root.session.lake.absolute(root.session.lake.files(table))[0]
    root.session.connection.execute(f"copy (from '{path}' limit {rows}) to '{path}.cut' (format parquet)")
    Path(path).write_bytes(Path(f"{path}.cut").read_bytes())
    Path(f"{path}.cut").unlink()


def test_a_cut_raw_file_stops_its_date_and_is_mended_by_reading_again(root: Root) -> None:
    root.put("a.csv", text([*lines(0, 100), *lines(0, 50, day=3)]))
    root.put("b.csv", text(lines(200, 220)))
    root.read()
    before = root.tables()
    assert lake_faults(root.session, RAW_LOGS) == []
    cut(root, RAW_LOGS, 30)
    (fault,) = lake_faults(root.session, RAW_LOGS)
    assert fault.problem == "has 30 rows instead of 120"
    assert "`quality reread --from 2026-11-02 --to 2026-11-02`" in str(fault)
    assert any("has 30 rows instead of 120" in reason for reason in reasons_against(root.session))
    days = (date(2026, 11, 2), date(2026, 11, 3))
    with pytest.raises(LakeNotAsWrittenError, match="30 rows instead of 120"):
        build_events(root.session, *days)
    read_again(root.session, files_to_reread(root.session, None, days[0], days[0]).file_ids)
    root.read()
    assert lake_faults(root.session, RAW_LOGS) == lake_faults(root.session, VALID_EVENTS) == []
    assert root.tables()["valid_events"] == before["valid_events"]


def test_files_without_a_known_size_are_counted_once_and_measured(root: Root) -> None:
    root.put("a.csv", text(lines(0, 100)))
    root.read()
    root.session.connection.execute("update ops.lake_files set size_bytes = null, sha256 = null")
    assert lake_faults(root.session, RAW_LOGS) == []
    unknown = "select count(*) from ops.lake_files where size_bytes is null and table_name = 'raw.raw_logs'"
    assert root.rows(unknown) == [(0,)]


def test_other_bytes_of_the_same_size_are_found_by_their_hash(root: Root) -> None:
    root.put("a.csv", text(lines(0, 100)))
    root.read()
    files = root.rows("select path, sha256 from ops.lake_files order by path")
    folder = root.session.settings.data_dir
    assert list(changed_files(folder, files)) == []
    path = folder / files[0][0]
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert [problem.split(" ")[0] for problem in changed_files(folder, files[:1])] == [files[0][0]]


# --- The contract grows -----------------------------------------------------------------------------------------------


def test_a_column_that_the_contract_gains_has_its_values_in_new_files_and_none_in_old(
    root: Root, tmp_path: Path
) -> None:
    for day in (2, 3):
        root.put(f"{day}.csv", text(lines(0, 10, day=day)))
    root.read()
    lake = root.session.lake
    grown = replace(VALID_EVENTS, columns=(*VALID_EVENTS.columns, Column("build", "VARCHAR", "Gained")))
    (new,) = lake.files(VALID_EVENTS, date(2026, 11, 3))
    query = f"select * replace (date '2026-11-04' as event_date), 'b7' as build from '{lake.absolute([new])[0]}'"
    file = lake.write(root.session.connection, grown, date(2026, 11, 4), query, label="1-events")
    assert file is not None
    with root.session.transaction():
        lake.commit(grown, [file], ())
    folder = root.session.settings.lake_dir
    asked = "select event_date, build, count(*) from core.valid_events group by all order by all"
    wanted = [(date(2026, 11, 2), None, 10), (date(2026, 11, 3), None, 10), (date(2026, 11, 4), "b7", 10)]
    for _ in range(2):
        refresh_view(root.session.connection, grown, folder)
        assert root.rows(asked) == wanted
    # The view of a copy, as in a snapshot, remembers that files are of several contracts.
    shutil.copytree(folder, tmp_path / "copy" / "lake")
    refresh_view(root.session.connection, grown, tmp_path / "copy" / "lake")
    shutil.rmtree(folder / grown.name)
    assert root.rows(asked) == wanted


def test_rows_of_a_log_that_is_deleted_stay_and_are_kept_beside_the_journal(root: Root) -> None:
    settings = root.session.settings
    for number in range(3):
        root.put(f"{number}.csv", text_with_ids(lines(number * 10, number * 10 + 10, day=number + 1)))
    root.read()
    gone, kept = root.landing / "1.csv", root.landing / "2.csv"
    bytes_of_gone = gone.read_bytes()
    gone.unlink()
    kept.rename(root.landing / "renamed.csv")
    assert gone_logs(settings) == [GoneLog("1.csv", 10)], "what has another name is not gone"
    assert is_arrival_due(root.session)
    root.read()
    assert gone_logs(settings) == []
    assert not is_arrival_due(root.session)
    assert root.statuses() == {"ok": 30}
    root.assert_follows_from_landing()
    root.put("1.csv", bytes_of_gone)
    root.read()
    assert not list(root.landing.glob(".arrivals/*.parquet")), "what is back needs nothing kept"
    root.assert_follows_from_landing()


def test_a_landing_zone_of_kept_rows_alone_is_enough_for_a_root_made_anew(root: Root) -> None:
    root.put("a.csv", text_with_ids(lines(0, 10)))
    root.read()
    (root.landing / "a.csv").unlink()
    keep_gone_logs(root.session)
    root.assert_follows_from_landing()


# --- Cut off anywhere -------------------------------------------------------------------------------------------------


class Cut(Exception):  # noqa: N818
    """Stands in for a kill: nothing after it is done."""


@pytest.mark.parametrize(
    ("owner", "name", "is_after"),
    [
        (ingest, "without_files", True),
        (ingest, "write_ledger", True),
        (ingest.Takeover, "record", True),
        (ingest, "remember", False),
        (ingest, "settle_plan", False),
        (ingest, "keep_journal", False),
        (ingest, "read_again", True),
        (withdrawals, "mark", True),
        (Lake, "sweep", False),
    ],
)
def test_cut_off_anywhere_and_taken_up_again_gives_the_same(
    root: Root, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, is_after: bool
) -> None:
    root.builds_all = owner is Lake
    root.source("web", unit="s", more="on_repeat: replace")
    header = "id,ts,page,st"
    root.put("web/a.csv", text([f"{n},{1793613600 + n},cart,ok" for n in range(20)], header))
    root.put("web/b.csv", text([f"{n},{1793613600 + n},cart,crash" for n in range(10, 30)], header))
    root.put("grows.csv", text(lines(0, 40)))
    root.put("other.csv", text(lines(60, 70)))
    root.read()
    root.put("grows.csv", text(lines(0, 50)))
    root.put("web/a.csv", text([f"{n},{1793613600 + n},cart,error" for n in range(15)], header))
    root.source("web", unit="s", more="on_repeat: replace\nallowed_future_skew_minutes: 5")
    plain = getattr(owner, name)

    def cut_off(*arguments: Any, **named: Any) -> Any:
        if is_after:
            plain(*arguments, **named)
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, cut_off)
        with pytest.raises(Cut):
            root.read()
    root.read()
    assert root.statuses() == {"ok": 60, "error": 15, "crash": 15}
    assert root.refused() == {"duplicate_event_id": 5}
    root.assert_follows_from_landing()
