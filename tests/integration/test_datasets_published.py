"""What was found of datasets, as SQL sees it once it is published."""

from __future__ import annotations

from pathlib import Path

from daily_orders import orders

from quality_assets.contracts.sources.datasets import DatasetSource
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import close_operations, operations_of
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.datasets.checking import check_dataset
from quality_assets.tables.datasets.registering import register
from quality_assets.tables.operations_copy import copy_operations


def test_batches_and_findings_are_copied(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    settings.data_dir.mkdir()
    table = orders(0).astype(object)
    table.loc[:6, "price"] = "n.v."
    table.to_csv(tmp_path / "day.csv", index=False)
    store = operations_of(settings)
    dataset = register(store, DatasetSource(name="orders", path=str(tmp_path / "day.csv")), "test")
    (result,) = check_dataset(store, settings, dataset)
    with open_warehouse(settings) as session:
        assert copy_operations(session)["datasets.batches"] == 1
        batch = session.connection.execute(
            "select dataset, batch, status, rows, score from datasets.batches"
        ).fetchall()
        assert batch == [("orders", "day.csv", "checked", 600, result.score)]
        found = session.connection.execute(
            "select dataset, batch_id, kind, column_name, count, is_alert from datasets.findings where kind = 'type'"
        ).fetchall()
        assert found == [("orders", result.batch_id, "type", "price", 7, False)]
    close_operations()
