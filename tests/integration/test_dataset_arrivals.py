"""Uploads that meet each other or end in the middle, and a dataset that is removed while a batch of it is judged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
from daily_orders import orders
from sqlalchemy import select

from quality_assets.clock import utc_now
from quality_assets.contracts.sources.datasets import DatasetSource
from quality_assets.settings import Settings
from quality_assets.stores.landing import Ignored, LandingFile, settle
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.dataset_tables import DATASET, DATASET_BATCH
from quality_assets.stores.operations.store import Operations, close_operations, operations_of
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.tables.datasets import batches, checking
from quality_assets.tables.datasets.batches import unjudged
from quality_assets.tables.datasets.checking import check_dataset
from quality_assets.tables.datasets.registering import Registered, find, hide, register
from quality_assets.tables.datasets.uploads import Uploaded, accept, arriving


def _upload(store: Operations, settings: Settings, content: bytes, name: str) -> Uploaded:
    with arriving(settings) as (taken, path):
        taken.write(content)
        taken.close()
        return accept(store, settings, "orders", name, taken, path, "ann")


def _kept(store: Operations) -> list[tuple[str, int]]:
    with store.read() as connection:
        rows = connection.execute(select(DATASET_BATCH.c.location, DATASET_BATCH.c.sequence))
        return sorted((Path(location).read_text(), sequence) for location, sequence in rows)


def test_uploads_at_once_are_each_one_batch(data_root: Settings) -> None:
    data_root.data_dir.mkdir(parents=True)
    store = operations_of(data_root)
    contents = ["a\n1\n", "a\n2\n", "a\n3\n", "a\n3\n"]
    together = Barrier(len(contents))

    def send(content: str) -> Uploaded:
        together.wait()
        return _upload(store, data_root, content.encode(), "same.csv")

    with ThreadPoolExecutor(len(contents)) as threads:
        told = list(threads.map(send, contents))
    # The same bytes twice are one batch; the same name thrice are three files.
    assert sorted(each.is_new for each in told) == [False, True, True, True]
    assert [text for text, _ in _kept(store)] == ["a\n1\n", "a\n2\n", "a\n3\n"]
    assert sorted(sequence for _, sequence in _kept(store)) == [1, 2, 3]
    assert len([path for path in (data_root.data_dir / "inbox").rglob("*") if path.is_file()]) == 3


_KILLED = """
import os, sys
from pathlib import Path
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables.datasets import uploads

settings = Settings(data_dir=Path(sys.argv[1]))
store = operations_of(settings)
uploads.os.replace = lambda *_: os._exit(9)
with uploads.arriving(settings) as (taken, path):
    taken.write(b"a\\n1\\n")
    if sys.argv[2] == "sending":
        os._exit(9)
    taken.close()
    uploads.accept(store, settings, "orders", "x.csv", taken, path, "ann")
"""


@pytest.mark.parametrize("when", ["sending", "accepting"])
def test_an_upload_that_is_killed_leaves_no_dataset_and_no_batch(data_root: Settings, when: str) -> None:
    data_root.data_dir.mkdir(parents=True)
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(data_root.data_dir), when], check=False)
    assert ended.returncode == 9
    store = operations_of(data_root)
    with store.read() as connection:
        assert connection.execute(select(DATASET)).all() == connection.execute(select(DATASET_BATCH)).all() == []
    (left,) = [path for path in (data_root.data_dir / "inbox").rglob("*") if path.is_file()]
    assert left.suffix == ".part"
    # It is sent again and goes in; what was left is removed a day later.
    os.utime(left, (0, 0))
    assert _upload(store, data_root, b"a\n1\n", "x.csv").is_new
    assert [text for text, _ in _kept(store)] == ["a\n1\n"]
    assert not left.exists()


def test_a_dataset_that_is_removed_while_it_is_judged_is_kept_and_tells_nobody(
    data_root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_root.data_dir.mkdir(parents=True)
    store = operations_of(data_root)
    folder = data_root.data_dir / "days"
    folder.mkdir()
    dataset = register(store, DatasetSource(name="orders", path=f"{folder}/*.csv"), "ann")
    for day in range(4):
        orders(day).to_csv(folder / f"orders_{day}.csv", index=False)

    def judge_wrong(day: int) -> checking.BatchResult:
        table = orders(day).astype(object)
        table.loc[:40, "price"] = "n.v."
        table.to_csv(folder / f"orders_{day}.csv", index=False)
        return list(check_dataset(store, data_root, dataset))[-1]

    def alerts() -> dict[str, str]:
        with store.read() as connection:
            rows = connection.execute(select(ALERT.c.check_name, ALERT.c.status)).all()
        return {name: status for name, status in rows if name == "past_type(price)"}

    assert any(f.kind == "type" for f in judge_wrong(4).alerts)
    assert alerts() == {"past_type(price)": "open"}
    inner = checking._judge

    def judged(*given):  # type: ignore[no-untyped-def]
        hide(store, "orders", "ann")
        return inner(*given)

    monkeypatch.setattr(checking, "_judge", judged)
    result = judge_wrong(5)
    assert (result.status, [f.kind for f in result.alerts if f.kind == "type"]) == ("failed", ["type"])
    assert find(store, data_root, "orders").is_hidden
    assert alerts() == {"past_type(price)": "resolved"}
    with store.read() as connection:
        statuses = connection.execute(select(DATASET_BATCH.c.status)).scalars().all()
    assert statuses == ["checked"] * 6
    close_operations()


@pytest.fixture
def days(data_root: Settings) -> Iterator[tuple[Operations, Registered, Path]]:
    """A dataset of a folder in which one day lies."""
    data_root.data_dir.mkdir(parents=True)
    folder = data_root.data_dir / "days"
    folder.mkdir()
    store = operations_of(data_root)
    dataset = register(store, DatasetSource(name="orders", path=f"{folder}/*.csv"), "ann")
    orders(1, 100).to_csv(folder / "orders_1.csv", index=False)
    yield store, dataset, folder
    close_operations()


def _told(results: Iterable[checking.BatchResult]) -> list[tuple[str, str, int]]:
    return [(result.batch, result.status, result.rows) for result in results]


def _statuses(store: Operations) -> list[tuple[str, str]]:
    with store.read() as connection:
        asked = select(DATASET_BATCH.c.name, DATASET_BATCH.c.status).order_by(DATASET_BATCH.c.sequence)
        return [(name, status) for name, status in connection.execute(asked)]


def test_a_file_that_is_still_being_written_is_no_batch_and_holds_back_no_other(
    data_root: Settings, days: tuple[Operations, Registered, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, dataset, folder = days
    growing = folder / "orders_0.csv"
    text = orders(0, 100).to_csv(index=False)
    growing.write_text(text[:2000])

    def grows(files: list[LandingFile], stable_s: float) -> tuple[list[LandingFile], list[Ignored]]:
        return settle(files, 60.0, lambda _: growing.write_text(text))

    with monkeypatch.context() as patch:
        patch.setattr(batches, "settle", grows)
        told = _told(check_dataset(store, data_root, dataset))
    assert told == [("orders_1.csv", "passed", 100), ("orders_0.csv", "waiting", 0)]
    assert _told(check_dataset(store, data_root, dataset)) == [("orders_0.csv", "passed", 100)]
    assert _statuses(store) == [("orders_1.csv", "checked"), ("orders_0.csv", "checked")]


@pytest.mark.parametrize("how", ["replaced", "cut short"])
def test_a_file_that_changes_while_it_is_judged_is_judged_once_it_is_whole(
    data_root: Settings, days: tuple[Operations, Registered, Path], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    store, dataset, folder = days
    inner = checking._judge

    def judged(*given):  # type: ignore[no-untyped-def]
        if how == "cut short":
            (folder / "orders_1.csv").write_text("")
            raise FileRejected("the file is empty")
        orders(1, 50).to_csv(folder / ".new", index=False)
        (folder / ".new").replace(folder / "orders_1.csv")
        return inner(*given)

    with monkeypatch.context() as patch:
        patch.setattr(checking, "_judge", judged)
        (result,) = check_dataset(store, data_root, dataset)
    assert (result.status, result.score) == ("waiting", None)
    assert result.reasons == ("it is still being written: it is judged once it is whole",)
    assert (_statuses(store), unjudged(store, utc_now() + timedelta(days=1))) == ([], set())
    orders(1, 50).to_csv(folder / "orders_1.csv", index=False)
    assert _told(check_dataset(store, data_root, dataset)) == [("orders_1.csv", "passed", 50)]


def test_a_batch_that_was_begun_and_whose_file_holds_other_bytes_by_now_is_let_go(
    data_root: Settings, days: tuple[Operations, Registered, Path]
) -> None:
    store, dataset, folder = days
    (begun,) = batches.waiting_files(store, data_root, dataset).waiting
    batches.start(store, "orders", begun, None, "test")
    assert unjudged(store, utc_now() + timedelta(days=1)) == {"orders"}
    orders(1, 50).to_csv(folder / "orders_1.csv", index=False)
    assert _told(check_dataset(store, data_root, dataset)) == [("orders_1.csv", "passed", 50)]
    assert (_statuses(store), unjudged(store, utc_now() + timedelta(days=1))) == ([("orders_1.csv", "checked")], set())
