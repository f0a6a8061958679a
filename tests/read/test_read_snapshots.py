"""The reader, its cache, and the store that follows the pointer."""

from __future__ import annotations

import gc
import threading
from datetime import date, datetime, timedelta
from pathlib import Path
from weakref import ref

import duckdb
import pytest
from small_snapshots import THROUGH, ago, snapshot_of

from quality_assets.read.reader import Cache, Reader, SnapshotStore, open_reader, per_snapshot
from quality_assets.stores.snapshots import Snapshot, publish, record_attempt

NOON = datetime(2026, 4, 1, 12)


def test_a_cache_drops_what_was_not_asked_for_longest() -> None:
    cache, computed = Cache(entries=2), []

    def get(key: str) -> str:
        return cache.get(key, lambda: (computed.append(key), key.upper())[1])

    assert [get(key) for key in "abaca"] == ["A", "B", "A", "C", "A"]
    assert computed == ["a", "b", "c"]
    assert get("b") == "B"
    assert computed == ["a", "b", "c", "b"]


def test_a_cache_keeps_600_values_and_none_is_one() -> None:
    cache, computed = Cache(), []
    for key in [*range(600), *range(600), 600, *range(1, 600), 0]:
        assert cache.get(key, lambda key=key: computed.append(key)) is None
    assert computed == [*range(601), 0]


def test_an_error_is_not_kept() -> None:
    cache = Cache()
    with pytest.raises(ZeroDivisionError):
        cache.get("key", lambda: 1 / 0)
    assert cache.get("key", lambda: 7) == 7
    assert cache.get("key", lambda: 8) == 7


def test_what_several_threads_ask_at_once_is_computed_once_and_nothing_else_waits_for_it() -> None:
    cache, computed, found = Cache(), [], []
    began, release = threading.Event(), threading.Event()

    def compute() -> str:
        computed.append(1)
        began.set()
        assert release.wait(30)
        return "value"

    threads = [threading.Thread(target=lambda: found.append(cache.get("slow", compute))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert began.wait(30)
    assert cache.get("other", lambda: "at once") == "at once"
    release.set()
    for thread in threads:
        thread.join(30)
    assert (found, computed) == (["value"] * 4, [1])


def test_a_reader_knows_its_tables_columns_and_last_day() -> None:
    reader = snapshot_of({"ops.publications": [{"version": "v1", "data_through": ago(1)}], "ops.asset_graph": []})
    assert reader.has("ops.publications")
    assert reader.has("ops.publications", "ops.asset_graph")
    assert reader.has()
    assert not reader.has("ops.publications", "ml.risk_scores")
    assert not reader.has("publications")
    assert reader.columns("ops.publications") == {
        "version",
        "published_at",
        "run_id",
        "data_fingerprint",
        "data_through",
    }
    assert reader.columns("ml.risk_scores") == frozenset()
    assert (reader.through, snapshot_of({}, through=None).through) == (THROUGH, None)


def test_rows_are_named_and_parameters_bound() -> None:
    reader = snapshot_of({"ops.publications": [{"version": "v1"}, {"version": "v2"}]})
    sql = "select version, 1 as one from ops.publications where version <> {} order by version desc"
    assert reader.rows(sql.format("''")) == [{"version": "v2", "one": 1}, {"version": "v1", "one": 1}]
    assert reader.rows(sql.format("?"), ["v2"]) == [{"version": "v1", "one": 1}]
    assert reader.rows(sql.format("$name"), {"name": "v1"}) == [{"version": "v2", "one": 1}]
    assert reader.rows("select 1 as one where false") == []
    with pytest.raises(duckdb.Error):
        reader.rows("select nothing from nowhere")


def test_what_is_kept_is_told_apart_by_function_and_arguments() -> None:
    asked: list[tuple[object, ...]] = []

    @per_snapshot
    def one(reader: Reader, *given: object, **named: object) -> tuple[object, ...]:
        """Says what it was asked."""
        asked.append((given, named))
        return given, named

    @per_snapshot
    def two(reader: Reader, *given: object) -> str:
        return "two"

    reader, other = snapshot_of({}), snapshot_of({})
    assert one(reader, 1) is one(reader, 1)
    assert one(reader, 2) == ((2,), {})
    assert one(reader, a=1, b=2) is one(reader, b=2, a=1)
    assert one(reader, a=2, b=1) == ((), {"a": 2, "b": 1})
    assert two(reader, 1) == "two"
    assert len(asked) == 4
    assert one(other, 1) == ((1,), {})
    assert len(asked) == 5
    assert (one.__name__, one.__doc__) == ("one", "Says what it was asked.")


def _publish(root: Path, version: str, through: date | None = THROUGH) -> Snapshot:
    warehouse = root / "warehouse.duckdb"
    warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(f"create table told as select '{version}' as version")
    snapshot = Snapshot(version, NOON, through, "run-1", "data", root / "published" / version)
    publish(snapshot, warehouse=warehouse, data_dir=root, lake_files={}, keep=3)
    return snapshot


def test_before_the_first_publication_there_is_nothing(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "published")
    assert (store.reader(), store.attempt(), store.token()) == (None, None, "|")


def test_the_store_follows_the_pointer_and_leaves_the_old_reader_to_who_has_it(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "published")
    _publish(tmp_path, "v1")
    first = store.reader()
    assert first is not None
    assert store.reader() is first
    assert (first.snapshot.version, first.through) == ("v1", THROUGH)
    _publish(tmp_path, "v2", None)
    second = store.reader()
    assert second is not None
    assert (second.snapshot.version, second.through) == ("v2", None)
    assert [reader.rows("select version from told") for reader in (first, second)] == [
        [{"version": "v1"}],
        [{"version": "v2"}],
    ]


def test_a_snapshot_is_open_once_in_a_process_and_closed_with_its_last_reader(tmp_path: Path) -> None:
    snapshot = _publish(tmp_path, "v1")
    reader = open_reader(snapshot)
    assert open_reader(snapshot) is reader
    assert SnapshotStore(tmp_path / "published").reader() is reader
    gone = ref(reader)
    del reader
    gc.collect()
    assert gone() is None
    assert open_reader(snapshot).rows("select version from told") == [{"version": "v1"}]


def test_the_token_changes_with_a_snapshot_and_with_a_refusal_only(tmp_path: Path) -> None:
    published = tmp_path / "published"
    store = SnapshotStore(published)
    record_attempt(published, "refused", attempted_at=NOON, run_id="run-0", reasons=["No."])
    assert store.token() == "|2026-04-01T12:00:00"
    _publish(tmp_path, "v1")
    record_attempt(published, "published", attempted_at=NOON, run_id="run-1")
    assert store.token() == "v1|"
    record_attempt(published, "refused", attempted_at=NOON + timedelta(hours=1), run_id="run-2", reasons=["Why."])
    assert store.token() == "v1|2026-04-01T13:00:00"
    attempt = store.attempt()
    assert attempt is not None
    assert (attempt.status, attempt.run_id, attempt.reasons) == ("refused", "run-2", ("Why.",))
