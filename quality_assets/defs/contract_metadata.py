"""How a table contract looks to Dagster: asset key, group, column schema, what it hangs on. Defines no asset."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.table import Column, Table
from quality_assets.defs.partitions import event_dates
from quality_assets.defs.resources import POOL
from quality_assets.domain.quality.check import Subject


def asset_key(what: Table | Subject) -> dg.AssetKey:
    """schema/table, or group/name of what is no table."""
    return dg.AssetKey([what.schema, what.name] if isinstance(what, Table) else what.name.split("."))


def column_schema(table: Table) -> dg.TableSchema:
    """The contract's columns with types, descriptions, units and constraints."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, unique=table.key == (column.name,), other=_constraints(table, column)
                ),
            )
            for column in table.columns
        ],
        constraints=dg.TableConstraints(other=[f"grain: {table.grain}", f"key: {', '.join(table.key)}"]),
    )


def _constraints(table: Table, column: Column) -> list[str]:
    found = []
    if column.name in table.key:
        found.append("key")
    if column.unit:
        found.append(f"in {column.unit}")
    if column.allowed:
        found.append(f"one of {', '.join(column.allowed)}")
    if column.minimum is not None:
        found.append(f"≥ {column.minimum:g}")
    if column.maximum is not None:
        found.append(f"≤ {column.maximum:g}")
    return found


def table_metadata(table: Table) -> dict[str, Any]:
    """The definition metadata of the asset that makes `table`."""
    metadata: dict[str, Any] = {
        "dagster/column_schema": column_schema(table),
        "dagster/table_name": table.qualified_name,
        "grain": table.grain,
    }
    if table.partition_column:
        metadata["partition_expr"] = table.partition_column
    return metadata


def dependencies(table: Table) -> list[dg.AssetDep]:
    """What `table` is made from; of a history, the partitions of the days before as well."""
    days = PIPELINE.build(table).history_days
    history = dg.TimeWindowPartitionMapping(start_offset=-days, allow_nonexistent_upstream_partitions=True)
    dated = PIPELINE.dated_sources(table) if days else ()
    return [
        dg.AssetDep(asset_key(PIPELINE.table(name)), partition_mapping=history if name in dated else None)
        for name in PIPELINE.inputs(table)
    ]


def run_arguments(table: Table) -> dict[str, Any]:
    """The keyword arguments of `@dg.asset` and `@dg.multi_asset` that say how `table` is run: pool and partitions."""
    by_date = {"partitions_def": event_dates, "backfill_policy": dg.BackfillPolicy.single_run()}
    return {"pool": POOL, **(by_date if table.is_built_by_date else {})}


def asset_arguments(
    table: Table, *kinds: str, also: Iterable[dg.AssetKey] = (), handed_in: Iterable[Table] = ()
) -> dict[str, Any]:
    """The keyword arguments of `@dg.asset` that follow from the contract and its build.

    `also` comes before it and is no table; `handed_in` are inputs that the asset names as parameters.
    """
    handed = {asset_key(each) for each in handed_in}
    return {
        "key": asset_key(table),
        "group_name": table.schema,
        "kinds": {"duckdb", *kinds},
        "metadata": table_metadata(table),
        "deps": [*(dep for dep in dependencies(table) if dep.asset_key not in handed), *also],
        **run_arguments(table),
    }


def asset_spec(table: Table, *kinds: str) -> dg.AssetSpec:
    """The spec of one table of a multi-asset."""
    return dg.AssetSpec(
        key=asset_key(table),
        group_name=table.schema,
        kinds={"duckdb", *kinds},
        metadata=table_metadata(table),
        description=table.description + ".",
        deps=dependencies(table),
    )
