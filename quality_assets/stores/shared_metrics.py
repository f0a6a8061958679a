"""Tables of models as they were while one use case had them for itself, made those that all share."""

from __future__ import annotations

from collections.abc import Collection

import duckdb

from quality_assets.contracts.ml import CALIBRATION, FEATURE_IMPORTANCE, MODEL_METRICS, MODEL_VERSIONS


def share_model_metrics(connection: duckdb.DuckDBPyConnection, columns: Collection[str] | None) -> bool:
    """Rewrite the table where its `columns` are those of before: what was tried stood in `model`, and is a candidate.

    All rows were of feature_risk, held out by time. None where there is no table yet. Gives whether it was rewritten.
    """
    if columns is None or "candidate" in columns:
        return False
    name = MODEL_METRICS.qualified_name
    connection.execute(
        "create or replace temp table metrics_before as select * exclude (model), model as candidate,"
        f" 'feature_risk' as model, 'time' as split, 'all' as known from {name}"
    )
    connection.execute(MODEL_METRICS.create_sql(or_replace=True))
    connection.execute(f"insert into {name} by name from metrics_before")
    connection.execute("drop table metrics_before")
    return True


def name_use_case(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Say of the rows of a table that has just gained its column `model` that they are of feature_risk."""
    if table in {each.qualified_name for each in (CALIBRATION, FEATURE_IMPORTANCE, MODEL_VERSIONS)}:
        connection.execute(f"update {table} set model = 'feature_risk' where model is null")
