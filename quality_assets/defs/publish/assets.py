"""What readers get: the published snapshot, and tables as files for people and scripts."""

from collections.abc import Callable, Iterator, Mapping

import dagster as dg
import duckdb

from quality_assets.contracts.drift import BASELINE_STATS, DATA_DRIFT, DRIFT_DISTRIBUTIONS, DRIFT_POWER
from quality_assets.contracts.events import RAW_LOGS
from quality_assets.contracts.facts_with_risk import FEATURE_METRICS_WITH_RISK
from quality_assets.contracts.ml import FEATURE_IMPORTANCE, MODEL_METRICS
from quality_assets.contracts.ops import ASSET_GRAPH, PUBLICATIONS
from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.product import FEATURE_DAILY_TRENDS
from quality_assets.contracts.table import Table
from quality_assets.dagster_ext.sensor_state import SENSOR_NAME_TAG, sensor_cursor
from quality_assets.defs.asset_graph import graph_rows
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.defs.reporting import listed, publishing
from quality_assets.defs.resources import POOL, WarehouseResource
from quality_assets.stores.failures import record_success
from quality_assets.stores.snapshots import current_snapshot
from quality_assets.stores.warehouse import let_go
from quality_assets.tables import report_files
from quality_assets.tables.exports import export_csv
from quality_assets.tables.operations_copy import copy_operations
from quality_assets.tables.publishing import Refusal, is_published, publish_warehouse

TOUCHED_DATES_SENSOR = "touched_dates_sensor"
PUBLISHED_SNAPSHOT = dg.AssetKey(["publish", "published_snapshot"])


@dg.asset(
    key=PUBLISHED_SNAPSHOT,
    group_name="publish",
    kinds={"duckdb"},
    deps=[asset_key(table) for table in PIPELINE.awaited],
    metadata={
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(c.name, c.type, c.description) for c in PUBLICATIONS.columns]
        )
    },
    pool=POOL,
    output_required=False,
)
def published_snapshot(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult]:
    """The read-only copy that the dashboard, the API and SQL read; swapped in only when every blocking check passes."""
    if _is_overtaken(context.instance, context.run.tags):
        context.log.info("Logs were read that are still to be built: publication follows them.")
        return
    with warehouse.open() as session:
        if SENSOR_NAME_TAG in context.run.tags and is_published(session):
            context.log.info("Readers have these data, and what was last reported of them, already.")
            # A run that was killed behind the swap had published.
            record_success(warehouse.settings.published_dir, ".".join(PUBLISHED_SNAPSHOT.path), None)
            return
    with publishing(context, warehouse):
        with warehouse.open() as session:
            session.connection.execute(f"delete from {ASSET_GRAPH.qualified_name}")
            rows = list(graph_rows())
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            unnested = ", ".join(f"unnest(${name}) as {name}" for name in columns)
            session.connection.execute(f"insert into {ASSET_GRAPH.qualified_name} by name select {unnested}", columns)
            copy_operations(session)
            with let_go(warehouse.settings):
                outcome = publish_warehouse(session, context.run.run_id)
        if isinstance(outcome, Refusal):
            current = current_snapshot(warehouse.settings.published_dir)
            stays = f"Snapshot {current.version} stays in force." if current else "There is no snapshot yet."
            raise dg.Failure(
                f"Not published. {stays} {' '.join(outcome.reasons)}",
                metadata={"reasons": listed(outcome.reasons)},
                allow_retries=False,
            )
    yield dg.MaterializeResult(
        metadata={
            "version": outcome.version,
            "data_through": outcome.data_through.isoformat() if outcome.data_through else "no data",
            "data_fingerprint": outcome.data_fingerprint,
            "size_bytes": outcome.warehouse_path.stat().st_size,
        }
    )


def _is_overtaken(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> bool:
    """Whether a sensor asked for this, and logs were read since that the sensor of touched dates has not looked at.

    Their days are requested, built, scored and then published: refusing now would tell of a failure that is none.
    """
    if SENSOR_NAME_TAG not in tags:
        return False
    cursor = sensor_cursor(instance, TOUCHED_DATES_SENSOR)
    newest = instance.fetch_materializations(asset_key(RAW_LOGS), limit=1).records
    return bool(newest) and cursor is not None and newest[0].storage_id > int(cursor or 0)


def _export(table: Table, name: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=["publish", f"{name}_csv"],
        group_name="publish",
        kinds={"csv"},
        deps=[PUBLISHED_SNAPSHOT],
        description=f"{table.qualified_name} of the published snapshot as processed/{name}.csv.",
        metadata={
            "dagster/column_schema": dg.TableSchema(
                [dg.TableColumn(c.name, c.type, c.description) for c in table.columns]
            )
        },
        pool=POOL,
    )
    def export(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
        target = warehouse.settings.processed_dir / f"{name}.csv"
        with publishing(context, warehouse) as made:
            snapshot = current_snapshot(warehouse.settings.published_dir)
            if snapshot is None:
                raise dg.Failure("There is no published snapshot to export from; materialize published_snapshot first.")
            rows = made.row_count = export_csv(snapshot, table, target)
        return dg.MaterializeResult(metadata={"dagster/row_count": rows, "path": dg.MetadataValue.path(target)})

    return export


feature_metrics_csv = _export(FEATURE_METRICS_WITH_RISK, "feature_metrics")
feature_daily_trends_csv = _export(FEATURE_DAILY_TRENDS, "feature_daily_trends")


def _report(
    name: str, kind: str, tables: tuple[Table, ...], content: Callable[[duckdb.DuckDBPyConnection], str]
) -> dg.AssetsDefinition:
    @dg.asset(
        key=["publish", name.replace(".", "_")],
        group_name="publish",
        kinds={kind},
        deps=[PUBLISHED_SNAPSHOT],
        description=f"{' and '.join(t.qualified_name for t in tables)} of the published snapshot as reports/{name}.",
        metadata={
            "dagster/column_schema": dg.TableSchema(
                [dg.TableColumn(c.name, c.type, c.description) for c in tables[0].columns]
            )
        },
        pool=POOL,
    )
    def export(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
        target = warehouse.settings.reports_dir / name
        with publishing(context, warehouse):
            report_files.write(warehouse.settings.published_dir, target, content)
        return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(target)})

    return export


metrics_json = _report("metrics.json", "json", (MODEL_METRICS,), report_files.metrics_json)
feature_importance_csv = _report(
    "feature_importance.csv", "csv", (FEATURE_IMPORTANCE,), report_files.feature_importance_csv
)
baseline_stats_json = _report("baseline_stats.json", "json", (BASELINE_STATS,), report_files.baseline_stats_json)
data_drift_json = _report("data_drift.json", "json", (DATA_DRIFT,), report_files.data_drift_json)
drift_html = _report("drift.html", "html", (DATA_DRIFT, DRIFT_POWER, DRIFT_DISTRIBUTIONS), report_files.drift_html)
