"""Events that can be trusted, those that cannot and why, and who used what on which day."""

from collections.abc import Iterator

import dagster as dg

from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.defs.contract_metadata import asset_arguments, asset_key, asset_spec
from quality_assets.defs.partitions import event_dates
from quality_assets.defs.reporting import building, date_range, report_partitions
from quality_assets.defs.resources import POOL, WarehouseResource
from quality_assets.progress import report
from quality_assets.tables.events import build_events, build_user_feature_days

_UPSTREAM = [asset_key(RAW_LOGS), asset_key(LOG_FILES)]


@dg.multi_asset(
    name="valid_events",
    specs=[
        asset_spec(VALID_EVENTS, "parquet", deps=_UPSTREAM),
        asset_spec(QUARANTINED_EVENTS, "parquet", deps=_UPSTREAM),
    ],
    partitions_def=event_dates,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def valid_events(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.MaterializeResult]:
    """Events that keep the contract, once each; every other row goes to quarantine with all its reasons."""
    with building(context, warehouse, VALID_EVENTS, QUARANTINED_EVENTS) as made:
        rows = build_events(made.session, *date_range(context), report)
        for table in (VALID_EVENTS, QUARANTINED_EVENTS):
            made.wrote(table, sum(rows[table.qualified_name].values()))
    for table in (VALID_EVENTS, QUARANTINED_EVENTS):
        report_partitions(context, table, rows[table.qualified_name])
        yield dg.MaterializeResult(asset_key=asset_key(table))


@dg.asset(
    **asset_arguments(USER_FEATURE_DAYS, "parquet"),
    deps=[asset_key(VALID_EVENTS)],
    partitions_def=event_dates,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def user_feature_days(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Who used which feature on which day, and what went wrong for them."""
    with building(context, warehouse, USER_FEATURE_DAYS) as made:
        rows = build_user_feature_days(made.session, *date_range(context), report)
        made.wrote(USER_FEATURE_DAYS, sum(rows.values()))
    report_partitions(context, USER_FEATURE_DAYS, rows)
