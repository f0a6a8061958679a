"""The IO manager for frames: all or nothing, columns by name, types and nullability of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pytest

from quality_assets.contracts.product import DIM_FEATURE_METADATA, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.contracts.table import Table
from quality_assets.dagster_ext.io_manager import WarehouseFrameIOManager
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import open_warehouse

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01")


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """One Dagster instance for all tests."""
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def store(
    instance: dg.DagsterInstance, table: Table, frame: pd.DataFrame, partition: str | None = None, **run: Any
) -> dg.ExecuteInProcessResult:
    """Materialize an asset that gives `frame` as a table of the warehouse."""

    @dg.asset(
        key=[table.schema, table.name],
        partitions_def=DAYS if partition else None,
        metadata={"partition_expr": "event_date"} if partition else None,
    )
    def asset() -> pd.DataFrame:
        return frame

    return dg.materialize(
        [asset],
        instance=instance,
        resources={"io_manager": WarehouseFrameIOManager()},
        run_config=QUIET,
        partition_key=partition,
        **run,
    )


def rows(settings: Settings, table: Table, columns: str = "*") -> list[tuple[Any, ...]]:
    with open_warehouse(settings) as session:
        return session.connection.execute(f"select {columns} from {table.qualified_name} order by all").fetchall()


def trends(day: str, *features: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"event_date": date.fromisoformat(day), "feature": list(features), "metric": "events", "days_observed": 0}
    )


def test_a_frame_is_stored_with_the_types_of_the_contract(data_root: Settings, instance: dg.DagsterInstance) -> None:
    frame = pd.DataFrame({"feature": ["a"], "tier": ["2"], "slo_crash_rate": [1], "launched_on": ["2026-01-02"]})
    store(instance, FEATURE_DESCRIPTIONS, frame)
    assert rows(data_root, FEATURE_DESCRIPTIONS, "feature, tier, slo_crash_rate, launched_on, owner") == [
        ("a", 2, 1.0, date(2026, 1, 2), None)
    ]
    with open_warehouse(data_root) as session:
        found = session.connection.execute(f"describe {FEATURE_DESCRIPTIONS.qualified_name}").fetchall()
    assert [(row[0], row[1]) for row in found] == [(c.name, c.type) for c in FEATURE_DESCRIPTIONS.columns]


def test_columns_go_by_name_and_not_by_place(data_root: Settings, instance: dg.DagsterInstance) -> None:
    frame = pd.DataFrame({"team": ["red"], "owner": ["ann"], "feature": ["a"]})
    store(instance, FEATURE_DESCRIPTIONS, frame)
    assert rows(data_root, FEATURE_DESCRIPTIONS, "feature, owner, team") == [("a", "ann", "red")]


def test_a_new_frame_takes_the_place_of_the_old(data_root: Settings, instance: dg.DagsterInstance) -> None:
    for names in (["a", "b"], ["c"], ["c"]):
        store(instance, FEATURE_DESCRIPTIONS, pd.DataFrame({"feature": names}))
    assert rows(data_root, FEATURE_DESCRIPTIONS, "feature") == [("c",)]


def test_an_empty_frame_empties_the_table(data_root: Settings, instance: dg.DagsterInstance) -> None:
    store(instance, FEATURE_DESCRIPTIONS, pd.DataFrame({"feature": ["a"]}))
    nothing = pd.DataFrame({name: pd.Series(dtype=object) for name in FEATURE_DESCRIPTIONS.column_names})
    result = store(instance, FEATURE_DESCRIPTIONS, nothing)
    assert rows(data_root, FEATURE_DESCRIPTIONS) == []
    assert row_count(result) == 0


def row_count(result: dg.ExecuteInProcessResult, kind: str = "dagster/row_count") -> Any:
    (event,) = result.get_asset_materialization_events()
    return event.materialization.metadata[kind].value


def test_rows_are_counted_for_the_catalog(data_root: Settings, instance: dg.DagsterInstance) -> None:
    result = store(instance, FEATURE_DESCRIPTIONS, pd.DataFrame({"feature": ["a", "b"]}))
    assert row_count(result) == 2
    of_day = store(instance, FEATURE_DAILY_TRENDS, trends("2026-01-02", "a"), "2026-01-02")
    assert row_count(of_day, "dagster/partition_row_count") == 1


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"feature": ["b"], "no_such_column": [1]}),
        pd.DataFrame({"feature": ["b"], "tier": ["high"]}),
        pd.DataFrame({"feature": ["b", None]}),
        pd.DataFrame({"tier": [1]}),
    ],
    ids=["unknown column", "wrong type", "null key", "no key"],
)
def test_a_frame_that_cannot_be_stored_is_an_error_and_nothing_is_lost(
    data_root: Settings, instance: dg.DagsterInstance, frame: pd.DataFrame
) -> None:
    store(instance, FEATURE_DESCRIPTIONS, pd.DataFrame({"feature": ["a"], "tier": [1]}))
    with pytest.raises(duckdb.Error, match=r"(?s)^(?!.*aborted)"):
        store(instance, FEATURE_DESCRIPTIONS, frame)
    assert rows(data_root, FEATURE_DESCRIPTIONS, "feature, tier") == [("a", 1)]


def test_a_partition_is_replaced_and_the_others_are_left(data_root: Settings, instance: dg.DagsterInstance) -> None:
    store(instance, FEATURE_DAILY_TRENDS, trends("2026-01-01", "a"), "2026-01-01")
    store(instance, FEATURE_DAILY_TRENDS, trends("2026-01-02", "a", "b"), "2026-01-02")
    store(instance, FEATURE_DAILY_TRENDS, trends("2026-01-02", "c"), "2026-01-02")
    assert rows(data_root, FEATURE_DAILY_TRENDS, "day(event_date), feature") == [(1, "a"), (2, "c")]


def test_what_was_stored_is_loaded_as_a_frame(data_root: Settings, instance: dg.DagsterInstance) -> None:
    loaded: list[pd.DataFrame] = []
    frame = pd.DataFrame({"feature": ["a", "b"], "is_described": [True, False]})

    @dg.asset(key=["product", "dim_feature_metadata"])
    def upstream() -> pd.DataFrame:
        return frame

    @dg.asset(ins={"described": dg.AssetIn(["product", "dim_feature_metadata"])})
    def downstream(described: pd.DataFrame) -> None:
        loaded.append(described)

    manager = {"io_manager": WarehouseFrameIOManager()}
    dg.materialize([upstream, downstream], instance=instance, resources=manager, run_config=QUIET)
    (found,) = loaded
    assert tuple(found.columns) == DIM_FEATURE_METADATA.column_names
    assert found[["feature", "is_described"]].to_numpy().tolist() == [["a", True], ["b", False]]


def test_the_catalog_shows_the_table_and_not_a_path(data_root: Settings, instance: dg.DagsterInstance) -> None:
    result = store(instance, FEATURE_DESCRIPTIONS, pd.DataFrame({"feature": ["a"]}))
    (event,) = result.get_asset_materialization_events()
    shown = [str(getattr(value, "value", value)) for value in event.materialization.metadata.values()]
    assert "raw.feature_descriptions" in shown
    assert not [text for text in shown if str(data_root.data_dir) in text]
