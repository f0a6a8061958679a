"""Uploads that meet each other or end in the middle, and a dataset that is removed while a batch of it is judged."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from daily_orders import orders
from sqlalchemy import select

from quality_assets.contracts.sources.datasets import DatasetSource
from quality_assets.settings import Settings
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.dataset_tables import DATASET, DATASET_BATCH
from quality_assets.stores.operations.store import Operations, close_operations, operations_of
from quality_assets.tables.datasets import checking
from quality_assets.tables.datasets.checking import check_dataset
from quality_assets.tables.datasets.registering import find, hide, register
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
