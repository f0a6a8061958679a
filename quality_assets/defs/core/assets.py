"""Events that can be trusted, those that cannot and why, and who used what on which day."""

from collections.abc import Iterator

import dagster as dg

from quality_assets.contracts.events import QUARANTINED_EVENTS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.defs.contract_metadata import asset_arguments, asset_key, asset_spec, run_arguments
from quality_assets.defs.reporting import build_by_date, building, date_range, refuse_waiting, report_partitions
from quality_assets.defs.resources import WarehouseResource
from quality_assets.progress import report
from quality_assets.tables.events import build_events, build_user_feature_days


@dg.multi_asset(
    name="valid_events",
    specs=[
        asset_spec(VALID_EVENTS, "parquet"),
        asset_spec(QUARANTINED_EVENTS, "parquet"),
    ],
    **run_arguments(VALID_EVENTS),
)
def valid_events(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.MaterializeResult]:
    """Events that keep the contract, once each; every other row goes to quarantine with all its reasons."""
    with warehouse.open() as session:
        refuse_waiting(session, *date_range(context))
    with building(context, warehouse, VALID_EVENTS, QUARANTINED_EVENTS) as made:
        rows = build_events(made.session, *date_range(context), report)
        for table in (VALID_EVENTS, QUARANTINED_EVENTS):
            made.wrote(table, sum(rows[table.qualified_name].values()))
    for table in (VALID_EVENTS, QUARANTINED_EVENTS):
        report_partitions(context, table, rows[table.qualified_name], made.data_fingerprint)
        yield dg.MaterializeResult(asset_key=asset_key(table))


@dg.asset(**asset_arguments(USER_FEATURE_DAYS, "parquet"))
def user_feature_days(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Who used which feature on which day, and what went wrong for them."""
    build_by_date(context, warehouse, USER_FEATURE_DAYS, build_user_feature_days)
