"""Watched tables: each is a partition, judged when a batch arrives, with a plotted score for each dimension."""

from collections.abc import Iterator

import dagster as dg

from quality_assets.contracts.watched import BATCHES
from quality_assets.domain.quality.datasets.table_findings import DIMENSIONS
from quality_assets.settings import get_settings
from quality_assets.stores.failures import record_success
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables.datasets.checking import BatchResult, check_dataset
from quality_assets.tables.datasets.registering import find

DATASETS_POOL = "datasets"
"""One slot: one run judges at a time, beside the one that holds the warehouse."""
DATASET_CHECKS = dg.AssetKey(["datasets", "dataset_checks"])
watched = dg.DynamicPartitionsDefinition(name="datasets")


@dg.asset(
    key=DATASET_CHECKS,
    group_name="datasets",
    kinds={"duckdb"},
    partitions_def=watched,
    pool=DATASETS_POOL,
    metadata={
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(c.name, c.type, c.description) for c in BATCHES.columns]
        )
    },
    check_specs=[
        dg.AssetCheckSpec(
            dimension, asset=DATASET_CHECKS, description=f"Is the {dimension} of the last batch as past batches are?"
        )
        for dimension in DIMENSIONS
    ],
)
def dataset_checks(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """The batches of a watched table that were not judged yet, each beside those before it."""
    settings = get_settings()
    store = operations_of(settings)
    results = list(
        check_dataset(store, settings, find(store, settings, context.partition_key), "graph", context.run_id)
    )
    for result in results:
        context.log.info(f"{result.batch}: {result.status}, score {result.score}")
    results = [result for result in results if result.status != "waiting"]
    # A failure is of no table: what of another one failed is tried again, and told again.
    record_success(settings.published_dir, ".".join(DATASET_CHECKS.path), None)
    last = results[-1] if results else None
    metadata: dict[str, int | float | str] = {"batches": len(results)}
    if last is not None and last.score is not None:
        metadata |= {"score": last.score, "dagster/row_count": last.rows, "batch": last.batch}
    yield dg.MaterializeResult(metadata=metadata, check_results=[_answer(name, results) for name in DIMENSIONS])


def _answer(dimension: str, results: list[BatchResult]) -> dg.AssetCheckResult:
    """What the batches of a run say of one dimension; a run that judged none has nothing against it."""
    told = [finding for result in results for finding in result.alerts if finding.dimension == dimension]
    refused = [result for result in results if result.status == "refused"] if dimension == "schema" else []
    score = results[-1].dimensions.get(dimension) if results else None
    sentences = [finding.sentence for finding in told] + [reason for result in refused for reason in result.reasons]
    return dg.AssetCheckResult(
        check_name=dimension,
        passed=not sentences,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(sentences[:5]) or "Nothing unusual.",
        metadata={} if score is None else {"score": score},
    )


check_dataset_job = dg.define_asset_job(
    "check_dataset",
    selection=dg.AssetSelection.assets(DATASET_CHECKS),
    description="Judge the batches of a watched table that were not judged yet.",
    tags={"dagster/max_retries": "2", "dagster/priority": "1"},
)


@dg.sensor(
    job=check_dataset_job,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A file that arrived for a watched table, uploaded or in its folder, is judged.",
)
def inbox_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    from quality_assets.tables.datasets.arrivals_of import changed_listings

    settings = get_settings()
    changed, cursor = changed_listings(operations_of(settings), settings, context.cursor)
    if not changed:
        return dg.SkipReason("No file has arrived.")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"{name}-{digest}", partition_key=name, tags={"quality/dataset": name})
            for name, digest in changed.items()
        ],
        dynamic_partitions_requests=[watched.build_add_request(sorted(changed))],
        cursor=cursor,
    )
