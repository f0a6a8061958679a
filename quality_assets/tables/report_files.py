"""Files under reports/ that other tools read, made from the published snapshot: what readers see is what they hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from quality_assets.contracts.drift import BASELINE_STATS, DATA_DRIFT, DRIFT_DISTRIBUTIONS, DRIFT_POWER
from quality_assets.contracts.ml import CALIBRATION, FEATURE_IMPORTANCE, MODEL_METRICS, MODEL_VERSIONS
from quality_assets.domain.escaping import spreadsheet_value
from quality_assets.domain.reports.drift_html import drift_report_html
from quality_assets.stores.files import write_atomically
from quality_assets.stores.snapshots import connect, current_snapshot

_IN_USE = f"(select model_version from {MODEL_VERSIONS.qualified_name} where alias = 'champion')"
_LAST_DRIFT = f"event_date = (select max(event_date) from {DATA_DRIFT.qualified_name})"


# As the file has had them since it was first written: what was tried is called model there.
_METRIC_COLUMNS = (
    "trained_through, target, candidate as model, role, metric, value, low, high, rows, positives, base_rate, k"
)


def write(published_dir: Path, target: Path, content: Callable[[duckdb.DuckDBPyConnection], str]) -> None:
    """Write what `content` makes of the snapshot in force, whole or not at all; FileNotFoundError without one."""
    snapshot = current_snapshot(published_dir)
    if snapshot is None:
        raise FileNotFoundError("there is no published snapshot to export from; materialize published_snapshot first")
    with connect(snapshot) as connection:
        text = content(connection)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, text)


def metrics_json(connection: duckdb.DuckDBPyConnection) -> str:
    """The version in use, and how well it and its rivals did; versions null and lists empty where there is no model."""
    model = plain_records(connection, f"select * from {MODEL_VERSIONS.qualified_name} where alias = 'champion'")
    return _json(
        {
            "model": model[0] if model else None,
            "metrics": plain_records(
                connection,
                f"select {_METRIC_COLUMNS} from {MODEL_METRICS.qualified_name}"
                f" where model = 'feature_risk' and model_version = {_IN_USE} order by target, candidate, metric",
            ),
            "calibration": plain_records(
                connection,
                f"select * exclude (model, model_version) from {CALIBRATION.qualified_name}"
                f" where model_version = {_IN_USE} order by target, bin",
            ),
        }
    )


def feature_importance_csv(connection: duckdb.DuckDBPyConnection) -> str:
    """What each input is worth to the model in use."""
    frame = connection.execute(
        f"select * from {FEATURE_IMPORTANCE.qualified_name} where model_version = {_IN_USE} order by target, rank"
    ).df()
    return str(frame.map(spreadsheet_value).to_csv(index=False))


def baseline_stats_json(connection: duckdb.DuckDBPyConnection) -> str:
    """What is normal for each metric of each feature."""
    return _json(plain_records(connection, f"select * from {BASELINE_STATS.qualified_name} order by feature, metric"))


def data_drift_json(connection: duckdb.DuckDBPyConnection) -> str:
    """The last day's drift, what matters most first."""
    return _json(
        plain_records(connection, f"select * from {DATA_DRIFT.qualified_name} where {_LAST_DRIFT} order by rank")
    )


def drift_html(connection: duckdb.DuckDBPyConnection) -> str:
    """The last day's drift, and what the monitor can see, as a page."""
    drift = connection.execute(f"select * from {DATA_DRIFT.qualified_name} where {_LAST_DRIFT}").df()
    drift["event_date"] = drift["event_date"].dt.date
    power = connection.execute(f"select * from {DRIFT_POWER.qualified_name} order by all").df()
    distributions = connection.execute(f"select * from {DRIFT_DISTRIBUTIONS.qualified_name}").df()
    return drift_report_html(drift, power, distributions)


def plain_records(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    result = connection.execute(sql)
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _json(value: Any) -> str:
    return json.dumps(_finite(value), ensure_ascii=False, indent=2, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and pd.isna(value) else value
