"""How a table contract looks to Dagster: asset key, group, column schema. Defines no asset."""

from typing import Any

import dagster as dg

from quality_assets.contracts.table import Column, Table


def asset_key(table: Table) -> dg.AssetKey:
    """schema/table."""
    return dg.AssetKey([table.schema, table.name])


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


def asset_arguments(table: Table, *kinds: str) -> dict[str, Any]:
    """The keyword arguments of `@dg.asset` that follow from the contract."""
    return {
        "key": asset_key(table),
        "group_name": table.schema,
        "kinds": {"duckdb", *kinds},
        "metadata": table_metadata(table),
    }


def asset_spec(table: Table, *kinds: str, **arguments: Any) -> dg.AssetSpec:
    """The spec of one table of a multi-asset."""
    return dg.AssetSpec(
        key=asset_key(table),
        group_name=table.schema,
        kinds={"duckdb", *kinds},
        metadata=table_metadata(table),
        description=table.description + ".",
        **arguments,
    )
