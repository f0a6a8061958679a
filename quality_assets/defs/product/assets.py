"""What the product's features did each day, and how that compares with their own past."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from quality_assets.contracts.facts_with_risk import FEATURE_METRICS_WITH_RISK
from quality_assets.contracts.incidents import INCIDENT_CAUSES, INCIDENTS
from quality_assets.contracts.live import ARRIVAL_CURVES, USER_FEATURES
from quality_assets.contracts.product import DIM_FEATURE_METADATA, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.contracts.states import FEATURE_STATES
from quality_assets.defs.contract_metadata import asset_arguments, asset_key, asset_spec, run_arguments
from quality_assets.defs.reporting import build_by_date, building, listed
from quality_assets.defs.resources import WarehouseResource
from quality_assets.domain.features.descriptions import with_seen_dates
from quality_assets.progress import report
from quality_assets.tables.events import build_facts, build_trends
from quality_assets.tables.facts_with_risk import build_facts_with_risk
from quality_assets.tables.incidents import build_incidents
from quality_assets.tables.live import build_arrival_curves, build_user_features
from quality_assets.tables.state_building import build_states


@dg.asset(**asset_arguments(FACT_FEATURE_METRICS))
def fact_feature_metrics(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Every metric of every feature, day by day, each ratio with its numerator and denominator."""
    build_by_date(context, warehouse, FACT_FEATURE_METRICS, build_facts)


@dg.asset(**asset_arguments(FEATURE_DAILY_TRENDS))
def feature_daily_trends(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Each metric of each feature against its own past: baselines, same-weekday expectation, band, flags."""
    build_by_date(context, warehouse, FEATURE_DAILY_TRENDS, build_trends)


@dg.asset(
    **asset_arguments(DIM_FEATURE_METADATA, "pandas", handed_in=[FEATURE_DESCRIPTIONS]),
    ins={"descriptions": dg.AssetIn(asset_key(FEATURE_DESCRIPTIONS))},
)
def dim_feature_metadata(
    context: dg.AssetExecutionContext, descriptions: pd.DataFrame, warehouse: WarehouseResource
) -> pd.DataFrame:
    """What is known of each feature, described or seen: owner, team, lifecycle, objectives, first and last day."""
    with building(context, warehouse, DIM_FEATURE_METADATA) as made:
        seen = made.session.connection.execute(
            "select feature, min(event_date) as first_seen_date, max(event_date) as last_seen_date"
            f" from {FACT_FEATURE_METRICS.qualified_name} group by feature order by feature"
        ).df()
        described = with_seen_dates(descriptions, seen)
        made.wrote(DIM_FEATURE_METADATA, len(described))
    return described


@dg.asset(**asset_arguments(FEATURE_METRICS_WITH_RISK))
def feature_metrics_with_risk(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Facts beside the risk of their day and what then came, for readers and for files: days that changed only."""
    with building(context, warehouse, FEATURE_METRICS_WITH_RISK) as made:
        rows = build_facts_with_risk(made.session)
        made.wrote(FEATURE_METRICS_WITH_RISK, rows)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})


@dg.asset(**asset_arguments(FEATURE_STATES, "pandas"))
def feature_states(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """The state of each metric of each feature on each day: as usual, worse, beyond its objective, unknown."""
    with building(context, warehouse, FEATURE_STATES) as made:
        rows = build_states(made.session, report)
        made.wrote(FEATURE_STATES, rows)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})


@dg.multi_asset(
    name="incidents",
    specs=[asset_spec(INCIDENTS, "pandas"), asset_spec(INCIDENT_CAUSES, "pandas")],
    **run_arguments(INCIDENTS),
)
def incidents(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.MaterializeResult]:
    """Degradations found on the facts, and of open ones how much is real; what got worse, since when, for whom."""
    with building(context, warehouse, INCIDENTS, INCIDENT_CAUSES) as made:
        found, causes = build_incidents(made.session, report)
        made.wrote(INCIDENTS, len(found))
        made.wrote(INCIDENT_CAUSES, causes)
    opened = found[found["end_date"].isna()]
    yield dg.MaterializeResult(
        asset_key=asset_key(INCIDENTS),
        metadata={
            "dagster/row_count": len(found),
            "open": len(opened),
            "open_critical_or_high": int(opened["severity"].isin(("critical", "high")).sum()),
            "open_incidents": listed(opened["sentence"][:10]),
        },
    )
    yield dg.MaterializeResult(asset_key=asset_key(INCIDENT_CAUSES), metadata={"dagster/row_count": causes})


@dg.asset(**asset_arguments(ARRIVAL_CURVES, "pandas"))
def arrival_curves(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """How many events of each feature are usual by each five minutes of each weekday, and how far days lie from it."""
    with building(context, warehouse, ARRIVAL_CURVES) as made:
        rows = build_arrival_curves(made.session)
        made.wrote(ARRIVAL_CURVES, rows)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})


@dg.asset(**asset_arguments(USER_FEATURES, "pandas"))
def user_features(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """The online features of every user of the last week as they stood at the end of the day, for training."""
    with building(context, warehouse, USER_FEATURES) as made:
        rows = build_user_features(made.session)
        made.wrote(USER_FEATURES, rows)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})
