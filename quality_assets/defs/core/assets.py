"""Events that can be trusted, those that cannot and why, and who used what on which day."""

from collections.abc import Iterator

import dagster as dg

from quality_assets.contracts.events import QUARANTINED_EVENTS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.users import DIM_USERS, FEATURE_SESSION_DAYS, FIRST_USES, USER_DAYS, USER_SESSIONS
from quality_assets.defs.contract_metadata import asset_arguments, asset_key, asset_spec, run_arguments
from quality_assets.defs.reporting import (
    build_by_date,
    build_stale,
    building,
    date_range,
    refuse_waiting,
    report_partitions,
)
from quality_assets.defs.resources import WarehouseResource
from quality_assets.progress import report
from quality_assets.tables.events import build_events, build_user_feature_days
from quality_assets.tables.impact.people import build_first_uses, build_user_sessions


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
        fingerprint = made.data_fingerprint()
    for table in (VALID_EVENTS, QUARANTINED_EVENTS):
        report_partitions(context, table, rows[table.qualified_name], fingerprint)
        yield dg.MaterializeResult(asset_key=asset_key(table))


@dg.asset(**asset_arguments(USER_FEATURE_DAYS, "parquet"))
def user_feature_days(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Who used which feature on which day, and what went wrong for them."""
    build_by_date(context, warehouse, USER_FEATURE_DAYS, build_user_feature_days)


@dg.multi_asset(
    name="user_sessions",
    specs=[
        asset_spec(USER_SESSIONS, "parquet"),
        asset_spec(USER_DAYS, "parquet"),
        asset_spec(FEATURE_SESSION_DAYS),
    ],
    **run_arguments(USER_SESSIONS),
)
def user_sessions(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.MaterializeResult]:
    """Sittings and days of users: by the session that events name, else ended by half an hour without one."""
    tables = (USER_SESSIONS, USER_DAYS, FEATURE_SESSION_DAYS)
    build_stale(context, warehouse, tables, build_user_sessions)
    for table in tables:
        yield dg.MaterializeResult(asset_key=asset_key(table))


@dg.asset(**asset_arguments(FIRST_USES))
def first_uses(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """When each user first used each feature, and the product."""
    build_stale(context, warehouse, (FIRST_USES,), build_first_uses)


@dg.asset(**asset_arguments(DIM_USERS))
def dim_users(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Who uses the product: since when, how much, where, and who is no person."""
    with building(context, warehouse, DIM_USERS):
        pass  # A view, which stands since the warehouse was opened.
