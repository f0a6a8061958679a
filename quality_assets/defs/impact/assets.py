"""Whether features are used, finished, come back for, and by whom: each table brings its own stale dates up to date."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from quality_assets.contracts.churn import CRASH_COSTS
from quality_assets.contracts.experiments import (
    EXPERIMENT_EXPOSURES,
    EXPERIMENT_HEALTH,
    EXPERIMENT_RESULTS,
    EXPERIMENTS,
    LIFT_ESTIMATES,
)
from quality_assets.contracts.impact import (
    ADOPTION_CURVE,
    DEFINITIONS,
    ENGAGEMENT_DAYS,
    EVENT_DAYS,
    FEATURE_ADOPTION,
    FUNNEL_DAYS,
    FUNNEL_ENTRIES,
    FUNNEL_STEP_DAYS,
    RETENTION,
    RETENTION_CELLS,
    SEGMENT_DAYS,
    SEGMENT_MEMBERS,
)
from quality_assets.defs.contract_metadata import asset_arguments, asset_key, asset_spec, run_arguments
from quality_assets.defs.reporting import build_stale, building, listed
from quality_assets.defs.resources import POOL, WarehouseResource
from quality_assets.progress import report
from quality_assets.tables.experiments.build import build_experiments
from quality_assets.tables.experiments.crashes import build_crash_costs
from quality_assets.tables.experiments.lift import build_lift
from quality_assets.tables.impact import adoption, funnels
from quality_assets.tables.impact.defined import refresh_definitions
from quality_assets.tables.impact.engagement import build_engagement_days
from quality_assets.tables.impact.events_seen import build_event_days
from quality_assets.tables.impact.segments import build_segments


@dg.asset(**asset_arguments(EVENT_DAYS))
def event_days(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Which events there are, day by day: what a funnel may name, and when it was last seen."""
    build_stale(context, warehouse, (EVENT_DAYS,), build_event_days)


@dg.asset(**asset_arguments(DEFINITIONS, "yaml"))
def definitions(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """What people have defined in YAML: funnels, segments, what a share is, what events stand for."""
    with building(context, warehouse, DEFINITIONS) as made:
        loaded = refresh_definitions(made.session)
        made.wrote(DEFINITIONS, len(loaded))
    errors = [each.error for each in loaded if each.error]
    return dg.MaterializeResult(
        metadata={"dagster/row_count": len(loaded), "cannot_be_used": len(errors), "reasons": listed(errors)}
    )


@dg.asset(**asset_arguments(FEATURE_ADOPTION))
def feature_adoption(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Who of all users uses each feature: on the day, in 7 and in 28 days, and who is new to it."""
    build_stale(context, warehouse, (FEATURE_ADOPTION,), adoption.build_feature_adoption)


@dg.asset(**asset_arguments(ADOPTION_CURVE))
def adoption_curve(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """How long people take to adopt each feature, by the month they came in."""
    with building(context, warehouse, ADOPTION_CURVE) as made:
        rows = adoption.build_adoption_curve(made.session)
        made.wrote(ADOPTION_CURVE, rows)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})


@dg.asset(**asset_arguments(RETENTION_CELLS))
def retention_cells(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Who came back: users of each day by the day of their first use."""
    build_stale(context, warehouse, (RETENTION_CELLS,), adoption.build_retention_cells)


@dg.asset(**asset_arguments(RETENTION))
def retention(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Which share of a cohort returned: on a day exactly, between it and day 30, or at any time from it on."""
    build_stale(context, warehouse, (RETENTION,), adoption.build_retention)


@dg.asset(**asset_arguments(FUNNEL_STEP_DAYS))
def funnel_step_days(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """How often the event of each step of a funnel happened, and what of it no funnel can use."""
    build_stale(context, warehouse, (FUNNEL_STEP_DAYS,), funnels.build_step_days)


@dg.asset(**asset_arguments(FUNNEL_ENTRIES, "parquet"))
def funnel_entries(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Everybody who entered a funnel on a day, and when they reached each step."""
    build_stale(context, warehouse, (FUNNEL_ENTRIES,), funnels.build_entries)


@dg.asset(**asset_arguments(FUNNEL_DAYS))
def funnel_days(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """How far those got who entered a funnel on a day, in all and by segment."""
    build_stale(context, warehouse, (FUNNEL_DAYS,), funnels.build_funnel_days)


@dg.asset(**asset_arguments(ENGAGEMENT_DAYS))
def engagement_days(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """How deep and how long features are used, and whether what is begun is finished and shared."""
    build_stale(context, warehouse, (ENGAGEMENT_DAYS,), build_engagement_days)


@dg.multi_asset(
    name="segment_days",
    specs=[asset_spec(SEGMENT_DAYS), asset_spec(SEGMENT_MEMBERS)],
    **run_arguments(SEGMENT_DAYS),
)
def segment_days(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.MaterializeResult]:
    """Who is a member of which segment, from when until when, and how many came and went each day."""
    tables = (SEGMENT_DAYS, SEGMENT_MEMBERS)
    build_stale(context, warehouse, tables, build_segments)
    for table in tables:
        yield dg.MaterializeResult(asset_key=asset_key(table))


_EXPERIMENT_TABLES = (EXPERIMENTS, EXPERIMENT_EXPOSURES, EXPERIMENT_HEALTH, EXPERIMENT_RESULTS)


@dg.multi_asset(name="experiments", specs=[asset_spec(table) for table in _EXPERIMENT_TABLES], pool=POOL)
def experiments(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.MaterializeResult]:
    """Each experiment: who saw which arm, whether that can be trusted, what it did; void ones show no effect."""
    with building(context, warehouse, *_EXPERIMENT_TABLES) as made:
        rows = build_experiments(made.session, report)
        for table in _EXPERIMENT_TABLES:
            made.wrote(table, rows[table.qualified_name])
        verdicts = made.session.connection.execute(
            f"select experiment || ': ' || verdict from {EXPERIMENTS.qualified_name} order by experiment"
        ).fetchall()
    for table in _EXPERIMENT_TABLES:
        metadata: dict[str, Any] = {"dagster/row_count": rows[table.qualified_name]}
        if table is EXPERIMENTS:
            metadata["verdicts"] = listed([text for (text,) in verdicts])
        yield dg.MaterializeResult(asset_key=asset_key(table), metadata=metadata)


@dg.asset(**asset_arguments(LIFT_ESTIMATES, "scikitlearn"))
def lift_estimates(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """What taking up each feature is associated with, once a week, and whether that may be quoted."""
    with building(context, warehouse, LIFT_ESTIMATES) as made:
        rows = build_lift(made.session, report)
        made.wrote(LIFT_ESTIMATES, rows)
        verdicts = made.session.connection.execute(
            f"select verdict, count(*) from {LIFT_ESTIMATES.qualified_name} group by verdict order by verdict"
        ).fetchall()
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, **dict(verdicts)})


@dg.asset(**asset_arguments(CRASH_COSTS, "scikitlearn"))
def crash_costs(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """What a first crash is associated with in the next week's return, once a week, and whether that may be said."""
    with building(context, warehouse, CRASH_COSTS) as made:
        rows = build_crash_costs(made.session)
        made.wrote(CRASH_COSTS, rows)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})
