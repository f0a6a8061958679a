"""Exports as CSV: what is appended, what is left as it is, when all is written anew, and what their check looks at."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from quality_assets.contracts.catalog import LAKE_TABLES
from quality_assets.contracts.product import FEATURE_DAILY_TRENDS
from quality_assets.domain.escaping import spreadsheet_original, spreadsheet_value
from quality_assets.domain.quality.check import Answer
from quality_assets.settings import Settings
from quality_assets.stores.snapshots import Snapshot, keep_snapshot_open, publish
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables import exports
from quality_assets.tables.checks.publication import PUBLICATION_CHECKS
from quality_assets.tables.exports import export_csv, read_export

TABLE = FEATURE_DAILY_TRENDS.qualified_name
(ROWS_EXPORTED,) = (c for c in PUBLICATION_CHECKS if c.name == "rows_exported" and "trends" in c.subject.name)
Take = Callable[..., Snapshot]


@pytest.fixture
def take(built_copy: Settings) -> Take:
    """Publish the trends of the first so many days of January, some of them built from something else."""

    def published(days: int, other: Mapping[int, str] | None = None) -> Snapshot:
        version = f"v{len(list(built_copy.published_dir.glob('v*')))}"
        when = datetime(2026, 2, 1)
        snapshot = Snapshot(version, when, None, "run", "data", built_copy.published_dir / version)
        # None of the lake's files, as nothing here asks for events: its views are right and need not be made anew.
        lake_files = dict.fromkeys(LAKE_TABLES, ())
        publish(
            snapshot, warehouse=built_copy.warehouse_path, data_dir=built_copy.data_dir, lake_files=lake_files, keep=99
        )
        last = date(2026, 1, days)
        with duckdb.connect(str(snapshot.warehouse_path)) as connection:
            for name in (TABLE, "ops.partition_state"):
                connection.execute(f"delete from {name} where event_date > $last", {"last": last})
            for day, feature in (other or {}).items():
                changed = {"day": date(2026, 1, day), "feature": feature}
                connection.execute(f"update {TABLE} set feature = feature || $feature where event_date = $day", changed)
                connection.execute(
                    "update ops.partition_state set inputs_fingerprint = $feature where event_date = $day", changed
                )
        return snapshot

    return published


@pytest.fixture(autouse=True)
def snapshots_stay_open() -> Iterator[None]:
    """As in a run: to open one takes longer than all that is asked of it here."""
    with keep_snapshot_open():
        yield


@pytest.fixture
def target(built_copy: Settings) -> Path:
    """Where the trends go, as the graph names it."""
    return built_copy.processed_dir / "feature_daily_trends.csv"


def check(settings: Settings) -> Answer:
    with open_warehouse(settings) as session:
        assert ROWS_EXPORTED.answer is not None
        return ROWS_EXPORTED.answer(session)


def in_full(snapshot: Snapshot, folder: Path) -> bytes:
    whole = folder / "whole.csv"
    whole.unlink(missing_ok=True)
    export_csv(snapshot, FEATURE_DAILY_TRENDS, whole)
    return whole.read_bytes()


@pytest.fixture
def settled_after(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Whether a part of the file is settled after nine days."""
    monkeypatch.setattr(exports, "SETTLED_AFTER", timedelta(days=request.param))
    return int(request.param)


IN_PARTS = pytest.mark.parametrize("settled_after", [3], indirect=True)
IN_PARTS_OR_NOT = pytest.mark.parametrize("settled_after", [3, 14], indirect=True)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much of the file each export from now on keeps, where it keeps some."""
    sizes: list[int] = []
    truncate = os.truncate

    def keep(path: Path, size: int) -> None:
        sizes.append(size)
        truncate(path, size)

    monkeypatch.setattr(os, "truncate", keep)
    return sizes


@IN_PARTS_OR_NOT
@pytest.mark.usefixtures("settled_after")
def test_later_days_are_appended_and_only_they_are_checked(
    take: Take, target: Path, built_copy: Settings, tmp_path: Path, kept: list[int]
) -> None:
    sizes = []
    for days in (9, 10, 12):
        snapshot = take(days)
        rows = export_csv(snapshot, FEATURE_DAILY_TRENDS, target)
        found = check(built_copy)
        assert (found.is_passed, found.observed, found.threshold, found.unexpected_count) == (True, rows, rows, 0)
        assert target.read_bytes() == in_full(snapshot, tmp_path)
        assert target.read_bytes().count(b"\n") == rows + 1
        sizes.append(target.stat().st_size)
    assert kept == sizes[:-1]
    inode = target.stat().st_ino
    assert export_csv(take(12), FEATURE_DAILY_TRENDS, target) == rows
    assert target.stat().st_ino == inode, "there is nothing new"
    assert check(built_copy).is_passed
    assert sorted(path.name for path in target.parent.iterdir()) == [f".{target.name}.json", target.name]


@pytest.mark.usefixtures("settled_after")
@pytest.mark.parametrize(
    ("settled_after", "other"),
    [(3, {1: "x"}), (14, {9: "x"}), (3, {5: "x", 10: "y"})],
    indirect=["settled_after"],
)
def test_a_day_that_was_built_anew_is_written_anew(
    take: Take, target: Path, built_copy: Settings, tmp_path: Path, other: dict[int, str]
) -> None:
    export_csv(take(9), FEATURE_DAILY_TRENDS, target)
    assert check(built_copy).is_passed
    snapshot = take(10, other)
    assert not check(built_copy).is_passed, "the file is of before"
    export_csv(snapshot, FEATURE_DAILY_TRENDS, target)
    assert target.read_bytes() == in_full(snapshot, tmp_path)
    assert check(built_copy).is_passed
    fewer = take(7)
    export_csv(fewer, FEATURE_DAILY_TRENDS, target)
    assert target.read_bytes() == in_full(fewer, tmp_path)
    assert check(built_copy).is_passed


@IN_PARTS
@pytest.mark.usefixtures("settled_after")
def test_what_was_tampered_with_is_found_and_written_anew(
    take: Take, target: Path, built_copy: Settings, tmp_path: Path
) -> None:
    export_csv(take(9), FEATURE_DAILY_TRENDS, target)
    assert check(built_copy).is_passed
    good = target.read_bytes()
    target.write_bytes(good.replace(b"2026-01-02", b"2026-01-03", 1))
    assert not check(built_copy).is_passed
    snapshot = take(10)
    export_csv(snapshot, FEATURE_DAILY_TRENDS, target)
    assert target.read_bytes() == in_full(snapshot, tmp_path)
    assert check(built_copy).is_passed


@IN_PARTS
@pytest.mark.usefixtures("settled_after")
def test_what_no_check_has_passed_is_written_anew(take: Take, target: Path, tmp_path: Path, kept: list[int]) -> None:
    export_csv(take(9), FEATURE_DAILY_TRENDS, target)
    export_csv(snapshot := take(10), FEATURE_DAILY_TRENDS, target)
    assert (kept, target.read_bytes()) == ([], in_full(snapshot, tmp_path))


@IN_PARTS_OR_NOT
def test_when_the_last_days_change_what_is_settled_is_kept(
    take: Take, target: Path, built_copy: Settings, tmp_path: Path, kept: list[int], settled_after: int
) -> None:
    export_csv(take(9), FEATURE_DAILY_TRENDS, target)
    assert check(built_copy).is_passed
    steps: list[tuple[int, dict[int, str], int | None]] = [
        (10, {9: "x"}, 6),
        (10, {8: "y", 9: "z"}, 7),
        (11, {5: "x"}, None),
        (12, {5: "x", 11: "y"}, 8),
    ]
    for days, other, kept_days in steps:
        kept_bytes = len(in_full(take(kept_days, other), tmp_path)) if kept_days and settled_after == 3 else None
        kept.clear()
        snapshot = take(days, other)
        assert not check(built_copy).is_passed, "the file is of before"
        rows = export_csv(snapshot, FEATURE_DAILY_TRENDS, target)
        assert kept == ([kept_bytes] if kept_bytes else [])
        assert target.read_bytes() == in_full(snapshot, tmp_path)
        found = check(built_copy)
        assert (found.is_passed, found.observed, found.threshold) == (True, rows, rows)


@IN_PARTS
@pytest.mark.usefixtures("settled_after")
def test_a_kill_before_the_file_takes_its_place_or_its_record_is_written_is_made_up_for(
    take: Take, target: Path, built_copy: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_csv(take(9), FEATURE_DAILY_TRENDS, target)
    assert check(built_copy).is_passed
    before = target.read_bytes()
    snapshot = take(10)
    for what in ("os.replace", "_write_record"):
        with monkeypatch.context() as patch:
            owner, name = (os, "replace") if what == "os.replace" else (exports, what)
            patch.setattr(owner, name, lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                export_csv(snapshot, FEATURE_DAILY_TRENDS, target)
        whole = in_full(snapshot, tmp_path)
        assert target.read_bytes() == (before if what == "os.replace" else whole), "never half of it"
        assert (read_export(target) is None) == (what == "_write_record")
    export_csv(snapshot, FEATURE_DAILY_TRENDS, target)
    assert target.read_bytes() == whole
    assert check(built_copy).is_passed


def test_no_text_of_a_file_is_one_that_a_spreadsheet_runs_and_each_is_still_told_apart(
    take: Take, target: Path, built_copy: Settings
) -> None:
    names = ("=cmd|' /C calc'!A0", "-1+1", "'=x", "@x", " +x", '"=x', "=a\nb,c", "it's")
    snapshot = take(9)
    with duckdb.connect(str(snapshot.warehouse_path)) as connection:
        features = connection.execute(f"select distinct feature from {TABLE} order by 1").fetchall()
        wanted = {}
        for name, (feature,) in zip(names, features, strict=True):
            renamed = {"name": name, "feature": feature}
            ((wanted[name],),) = connection.execute(
                f"update {TABLE} set feature = $name where feature = $feature", renamed
            ).fetchall()
        numbers = connection.execute(f"select count(*) from {TABLE} where change < 0").fetchall()[0][0]
    rows = export_csv(snapshot, FEATURE_DAILY_TRENDS, target)
    with target.open(encoding="utf-8", newline="") as stream:
        written = list(csv.DictReader(stream))
    told = Counter(row["feature"] for row in written)
    assert told == {spreadsheet_value(name): count for name, count in wanted.items()}
    assert {spreadsheet_original(cell) for cell in told} == set(names)
    assert sum(row["change"].startswith("-") for row in written) == numbers > 0, "numbers stay numbers"
    found = check(built_copy)
    assert (found.is_passed, found.observed, found.unexpected_count) == (True, rows, 0)
    target.write_bytes(target.read_bytes().replace(b"2026-01-02", b"2026-01-03", 1))
    assert not check(built_copy).is_passed


def test_a_file_of_before_the_escape_is_written_anew(take: Take, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(exports, "FORM", "")
        export_csv(snapshot := take(9), FEATURE_DAILY_TRENDS, target)
    inode = target.stat().st_ino
    assert read_export(target) is None
    export_csv(snapshot, FEATURE_DAILY_TRENDS, target)
    assert target.stat().st_ino != inode
    assert read_export(target) is not None
