"""What the product's features did each day, and how that compares with their own past."""

import dagster as dg
import pandas as pd

from quality_assets.contracts.events import USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.product import DIM_FEATURE_METADATA, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.defs.contract_metadata import asset_arguments, asset_key
from quality_assets.defs.partitions import event_dates
from quality_assets.defs.reporting import building, date_range, report_partitions
from quality_assets.defs.resources import POOL, WarehouseResource
from quality_assets.domain.feature_descriptions import with_seen_dates
from quality_assets.domain.trends import HISTORY_DAYS
from quality_assets.progress import report
from quality_assets.warehouse.event_tables import build_facts, build_trends


@dg.asset(
    **asset_arguments(FACT_FEATURE_METRICS),
    deps=[asset_key(VALID_EVENTS), asset_key(USER_FEATURE_DAYS), asset_key(FEATURE_DESCRIPTIONS)],
    partitions_def=event_dates,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def fact_feature_metrics(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Every metric of every feature, day by day, each ratio with its numerator and denominator."""
    with building(context, warehouse, FACT_FEATURE_METRICS) as made:
        rows = build_facts(made.session, *date_range(context), report)
        made.row_count = sum(rows.values())
    report_partitions(context, FACT_FEATURE_METRICS, rows)


@dg.asset(
    **asset_arguments(FEATURE_DAILY_TRENDS),
    deps=[
        dg.AssetDep(
            asset_key(FACT_FEATURE_METRICS),
            partition_mapping=dg.TimeWindowPartitionMapping(
                start_offset=-HISTORY_DAYS, allow_nonexistent_upstream_partitions=True
            ),
        )
    ],
    partitions_def=event_dates,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def feature_daily_trends(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Each metric of each feature against its own past: baselines, same-weekday expectation, band, flags."""
    with building(context, warehouse, FEATURE_DAILY_TRENDS) as made:
        rows = build_trends(made.session, *date_range(context), report)
        made.row_count = sum(rows.values())
    report_partitions(context, FEATURE_DAILY_TRENDS, rows)


@dg.asset(
    **asset_arguments(DIM_FEATURE_METADATA, "pandas"),
    deps=[asset_key(FACT_FEATURE_METRICS)],
    ins={"descriptions": dg.AssetIn(asset_key(FEATURE_DESCRIPTIONS))},
    pool=POOL,
)
def dim_feature_metadata(
    context: dg.AssetExecutionContext, descriptions: pd.DataFrame, warehouse: WarehouseResource
) -> pd.DataFrame:
    """What is known of each product feature, described or seen: owner, team, lifecycle, objectives, first and last day."""
    with building(context, warehouse, DIM_FEATURE_METADATA) as made:
        seen = made.session.connection.execute(
            "select feature, min(event_date) as first_seen_date, max(event_date) as last_seen_date"
            f" from {FACT_FEATURE_METRICS.qualified_name} group by feature order by feature"
        ).df()
        described = with_seen_dates(descriptions, seen)
        made.row_count = len(described)
    return described
