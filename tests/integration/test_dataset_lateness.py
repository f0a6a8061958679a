"""Datasets from which nothing comes any more: told by the clock, and over with the next batch."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from plotly.io.json import to_json_plotly
from services import alert_rows
from sqlalchemy import update

from dash_app import router
from quality_assets.contracts.sources.datasets import DatasetSource
from quality_assets.defs.house_sensors import telling_sensor
from quality_assets.domain.quality.datasets.drifting import overdue
from quality_assets.read.links import Request
from quality_assets.read.reader import SnapshotStore
from quality_assets.settings import Settings
from quality_assets.stores.operations.dataset_tables import DATASET_BATCH
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables import house
from quality_assets.tables.alerts import AlertBook
from quality_assets.tables.datasets.arrivals_of import changed_listings
from quality_assets.tables.datasets.checking import check_dataset
from quality_assets.tables.datasets.lateness import watch_datasets
from quality_assets.tables.datasets.registering import find, register

CAME = datetime(2026, 3, 1, 6)


def _judge(settings: Settings) -> None:
    store = operations_of(settings)
    list(check_dataset(store, settings, find(store, settings, "orders")))


@pytest.fixture
def orders(data_root: Settings, tmp_path: Path) -> Settings:
    """One batch of a daily dataset, which came at six on the first of March."""
    data_root.data_dir.mkdir(parents=True)
    (tmp_path / "a1.csv").write_text("a,b\n1,2\n3,4\n")
    source = DatasetSource(name="orders", path=str(tmp_path / "a*.csv"), cadence="daily", owner="ann@example.com")
    register(operations_of(data_root), source, "test")
    _judge(data_root)
    with operations_of(data_root).write() as connection:
        connection.execute(update(DATASET_BATCH).values(arrived_at=CAME))
    return data_root


def test_a_batch_that_does_not_come_is_told_once_and_ended_by_the_next(orders: Settings, tmp_path: Path) -> None:
    assert watch_datasets(orders, CAME + timedelta(hours=36)) == []
    for hours in (37, 38):
        assert watch_datasets(orders, CAME + timedelta(hours=hours)) == ["orders"]
        house.watch(orders, CAME + timedelta(hours=hours))
    (alert,) = alert_rows(orders, kind="lateness")
    assert (alert["title"], alert["status"], alert["occurrences"], alert["owner"]) == (
        "orders is late", "open", 1, "ann@example.com",
    )  # fmt: skip
    assert alert["message"] == "No batch has come for 37.0 h; every 24 hours one is due."
    assert (alert["observed"], alert["threshold"]) == (37.0, 36.0)
    (tmp_path / "a2.csv").write_text("a,b\n5,6\n7,8\n")
    _judge(orders)
    (alert,) = alert_rows(orders, kind="lateness")
    assert (alert["status"], alert["resolution"]) == ("resolved", "auto")
    assert watch_datasets(orders) == []


def test_whoever_answers_hears_nothing_more_of_the_same_wait(orders: Settings) -> None:
    watch_datasets(orders, CAME + timedelta(hours=40))
    (alert,) = alert_rows(orders, kind="lateness")
    AlertBook(operations_of(orders)).resolve(alert["alert_id"], "ann", "expected")
    watch_datasets(orders, CAME + timedelta(hours=41))
    assert [row["status"] for row in alert_rows(orders, kind="lateness")] == ["resolved"]


def test_the_sensor_tells_and_the_page_says_so(orders: Settings) -> None:
    # Since March of a year that is over, as the clock of the machine goes.
    with dg.DagsterInstance.ephemeral() as instance:
        said = telling_sensor(dg.build_sensor_context(instance))
    assert isinstance(said, dg.SkipReason)
    assert "orders late." in (said.skip_message or "")
    assert [row["title"] for row in alert_rows(orders, kind="lateness")] == ["orders is late"]
    for path in ("/sources", "/sources/orders"):
        content, _ = router.render(SnapshotStore(orders.published_dir), Request(path), orders)
        assert "every 24 hours one is due" in json.dumps(json.loads(to_json_plotly(content)))


def test_what_never_came_is_late_since_it_is_watched(data_root: Settings) -> None:
    data_root.data_dir.mkdir(parents=True)
    store = operations_of(data_root)
    dataset = register(store, DatasetSource(name="orders", path="/nowhere/*.csv", cadence="6h"), "test")
    register(store, DatasetSource(name="without", path="/nowhere/*.csv"), "test")
    from quality_assets.clock import utc_now

    assert watch_datasets(data_root, utc_now() + timedelta(hours=8)) == []
    assert watch_datasets(data_root, utc_now() + timedelta(hours=10)) == [dataset.dataset_id]
    assert "since it is watched" in alert_rows(data_root)[0]["message"]


@pytest.mark.parametrize(
    ("hours", "waited", "told"),
    [
        ((0, 24, 48, 72, 96, 120), 37, (36.0, "24.0 hours were the most so far")),
        ((0, 24, 48, 72, 96, 120), 35, None),
        # Thirty files at once are one delivery, and tell nothing of when the next is due.
        ((0, 0, 0.01, 0.02, 0.03, 0.04, 0.05), 1000, None),
        ((0, 0.5, 0.8, 1.2, 1.4, 1.7), 0.9, None),
    ],
)
def test_without_a_cadence_the_gaps_say_what_is_late(
    hours: tuple[float, ...], waited: float, told: tuple[float, str] | None
) -> None:
    assert overdue([hour * 3600 for hour in hours], waited * 3600) == told


def test_what_is_no_file_is_looked_at_as_often_as_it_is_due(
    data_root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_root.data_dir.mkdir(parents=True)
    store = operations_of(data_root)
    register(store, DatasetSource(name="facts", table="product.fact_feature_metrics", cadence="daily"), "test")
    register(store, DatasetSource(name="seldom", table="product.incidents"), "test")
    day = 86_400.0 * 20_000
    found, cursor = [], None
    for second in (day, day + 3600, day + 86_400):
        monkeypatch.setattr("time.time", lambda second=second: second)
        changed, cursor = changed_listings(store, data_root, cursor)
        found.append(sorted(changed))
    assert found == [["facts"], [], ["facts"]]
