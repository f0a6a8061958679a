"""What watches data and model: sketches of each day's events."""

import dagster as dg

from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.defs.contract_metadata import asset_arguments, asset_key
from quality_assets.defs.partitions import event_dates
from quality_assets.defs.reporting import building, date_range, report_partitions
from quality_assets.defs.resources import POOL, WarehouseResource
from quality_assets.progress import report
from quality_assets.warehouse import drift_tables


@dg.asset(
    **asset_arguments(EVENT_SKETCH_COUNTS),
    deps=[asset_key(VALID_EVENTS)],
    partitions_def=event_dates,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def event_sketch_counts(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Each day's events as counts per bin of latency, feedback, status and mixes, so that days compare cheaply."""
    with building(context, warehouse, EVENT_SKETCH_COUNTS) as made:
        rows = drift_tables.build_event_sketches(made.session, *date_range(context), report)
        made.row_count = sum(rows.values())
    report_partitions(context, EVENT_SKETCH_COUNTS, rows)
