"""Logs that somebody takes back: their rows go, the ledger says why, and landing/ alone gives the same tables."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_arrival import Ingest, Root, lines, text, text_with_ids

from quality_assets.settings import Settings
from quality_assets.stores.landing import place
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.gone_logs import keep_gone_logs
from quality_assets.tables.landed_logs import logs_at, paths_like
from quality_assets.tables.withdrawals import read_again, withdraw

SAID = "withdrawn by ann on 2026-11-30 19:00 UTC: a test"


@pytest.fixture
def root(data_root: Settings, ingest_all: Ingest) -> Iterator[Root]:
    shutil.copytree(data_root.source_files_dir, data_root.data_dir / "sources")
    data_root.landing_dir.mkdir(parents=True)
    with open_warehouse(data_root) as session:
        yield Root(session, ingest_all)


def take_back(root: Root, *places: str) -> None:
    withdraw(root.session, [log.file_id for place in places for log in logs_at(root.session, place)], SAID)
    keep_gone_logs(root.session)
    root.read()


def test_rows_of_a_withdrawn_log_are_gone_and_its_file_stays(root: Root) -> None:
    root.put("day.csv", text(lines(0, 10)))
    wrong = root.put("wrong.csv", text(lines(20, 50, status="error", day=3)))
    root.builds_all = True
    root.read()
    take_back(root, "wrong.csv")
    assert (root.statuses(), wrong.exists()) == ({"ok": 10}, True)
    assert root.rows("select distinct event_date from product.fact_feature_metrics") == root.rows(
        "select date '2026-11-02'"
    )
    assert root.rows("select status, rows, reason from raw.log_files where path = 'wrong.csv'") == [
        ("withdrawn", 0, SAID)
    ]
    root.assert_follows_from_landing()


def test_who_names_the_file_alone_is_told_where_it_stands(root: Root) -> None:
    for first, where in enumerate(("shop/late.csv", "app/late.csv", "app/on_time.csv")):
        root.put(where, text(lines(10 * first, 10 * first + 10)))
    root.read()
    assert paths_like(root.session, "late.csv") == ["app/late.csv", "shop/late.csv"]
    assert paths_like(root.session, "elsewhere/late.csv") == ["app/late.csv", "shop/late.csv"]
    assert paths_like(root.session, "app/on_tine.csv")[0] == "app/on_time.csv"
    assert paths_like(root.session, "zzz") == []


@pytest.mark.parametrize("packed", [False, True])
def test_the_same_content_is_passed_over_when_it_comes_again(root: Root, packed: bool) -> None:
    content = text(lines(0, 10))
    root.put("wrong.csv", content).touch()
    root.read()
    take_back(root, "wrong.csv")
    root.put("again.csv.gz" if packed else "again.csv", gzip.compress(content) if packed else content)
    (skipped,) = root.read().skipped
    assert skipped.reason == f"has the same content as wrong.csv, which was {SAID}".replace(
        "content", "content" if packed else "bytes"
    )
    assert root.statuses() == {}
    root.assert_follows_from_landing()


def test_what_was_withdrawn_is_read_again_where_it_is_asked_for(root: Root) -> None:
    root.put("a.csv", text_with_ids(lines(0, 10)))
    root.put("b.csv", text_with_ids(lines(0, 20)))
    root.read()
    before = root.tables()
    take_back(root, "a.csv")
    assert (root.statuses(), root.refused()) == ({"ok": 20}, {})
    read_again(root.session, [log.file_id for log in logs_at(root.session, "a.csv")])
    root.read()
    assert root.tables()["valid_events"] == before["valid_events"]
    assert root.ledger() == {"a.csv": ("loaded", 10), "b.csv": ("loaded", 20)}
    root.assert_follows_from_landing()


def test_what_a_wrong_correction_had_replaced_counts_again(root: Root, tmp_path: Path) -> None:
    root.source("shop", more="on_repeat: replace")
    root.put("shop/day.csv", text([f"{1793613600 + n},cart,ok" for n in range(3)], "ts,page,st"))
    root.read()
    (tmp_path / "day.csv").write_bytes(text([f"{1793613600 + n},cart,crash" for n in range(5)], "ts,page,st"))
    (wrong,), _ = place([tmp_path / "day.csv"], root.landing, "shop")
    root.read()
    assert root.statuses() == {"crash": 5}
    assert [log.told_by for log in logs_at(root.session, "shop/day.csv")] == [wrong]
    take_back(root, wrong)
    assert root.statuses() == {"ok": 3}
    root.assert_follows_from_landing()


def test_rows_that_told_again_what_is_withdrawn_are_events(root: Root, tmp_path: Path) -> None:
    root.put("day.csv", text(lines(0, 10)))
    root.read()
    (tmp_path / "day.csv").write_bytes(text(lines(3, 20)))
    place([tmp_path / "day.csv"], root.landing)
    root.read()
    assert (root.statuses(), root.refused()) == ({"ok": 20}, {"duplicate_event_id": 7})
    take_back(root, "day.csv")
    assert (root.statuses(), root.refused()) == ({"ok": 17}, {})
    root.assert_follows_from_landing()


def test_a_folder_a_file_elsewhere_and_bytes_that_are_gone(root: Root, tmp_path: Path) -> None:
    elsewhere = tmp_path / "mine.csv"
    elsewhere.write_bytes(text(lines(0, 5)))
    root.put("x/a.csv", elsewhere.read_bytes())
    root.put("x/b.csv", text_with_ids(lines(5, 9)))
    gone = root.put("gone.csv", text(lines(60, 70)))
    root.read()
    gone.unlink()
    root.read()
    assert [log.path for log in logs_at(root.session, "x")] == ["x/a.csv", "x/b.csv"]
    assert [log.path for log in logs_at(root.session, str(elsewhere))] == ["x/a.csv"]
    assert [(log.path, log.paths) for log in logs_at(root.session, "gone.csv")] == [("gone.csv", ())]
    assert logs_at(root.session, "nothing.csv") == []
    take_back(root, "gone.csv", "x/a.csv")
    assert root.statuses() == {"ok": 4}
    root.assert_follows_from_landing()
