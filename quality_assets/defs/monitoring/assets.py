"""What watches data and model, and the report of every run: sketches, baselines, drift, power."""

import dagster as dg

from quality_assets.contracts.drift import (
    BASELINE_STATS,
    DATA_DRIFT,
    DRIFT_DISTRIBUTIONS,
    DRIFT_POWER,
    EVENT_SKETCH_COUNTS,
    USER_FEATURE_SKETCHES,
)
from quality_assets.contracts.live import LIVE_RECONCILIATION
from quality_assets.contracts.monitoring import RUN_REPORT
from quality_assets.defs.contract_metadata import asset_arguments
from quality_assets.defs.reporting import DATA_FINGERPRINT, build_by_date, building, listed
from quality_assets.defs.resources import WarehouseResource
from quality_assets.domain.features.attention import reasons_text
from quality_assets.progress import report
from quality_assets.tables import drift as drift_tables
from quality_assets.tables import models as risk_tables
from quality_assets.tables import reports as run_reports
from quality_assets.tables.baselines import build_baseline_stats
from quality_assets.tables.drift import RETRAIN
from quality_assets.tables.faults import tell_of_drift, tell_of_incidents
from quality_assets.tables.live import build_live_reconciliation
from quality_assets.tables.sketches import build_event_sketches
from quality_assets.tables.user_feature_sketches import build_user_feature_sketches


@dg.asset(**asset_arguments(EVENT_SKETCH_COUNTS))
def event_sketch_counts(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Each day's events as counts per bin of latency, feedback, status and mixes, so that days compare cheaply."""
    build_by_date(context, warehouse, EVENT_SKETCH_COUNTS, build_event_sketches)


@dg.asset(**asset_arguments(BASELINE_STATS, "pandas"))
def baseline_stats(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """What is normal for each metric of each feature: level, weekday shape, noise, and when silence is news."""
    with building(context, warehouse, BASELINE_STATS) as made:
        stats = build_baseline_stats(made.session)
        made.wrote(BASELINE_STATS, len(stats))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(stats),
            **{str(k): int(n) for k, n in stats["status"].value_counts().items()},
        }
    )


@dg.asset(**asset_arguments(USER_FEATURE_SKETCHES))
def user_feature_sketches(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Each day's users as counts per bin of their online features, so that the drift monitor compares days cheaply."""
    with building(context, warehouse, USER_FEATURE_SKETCHES) as made:
        rows = build_user_feature_sketches(made.session)
        made.wrote(USER_FEATURE_SKETCHES, rows)
    return dg.MaterializeResult(metadata={"rows_in_run": rows})


@dg.asset(**asset_arguments(DATA_DRIFT, "pandas"))
def data_drift(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Has what comes in, what is predicted, or how well, moved beyond chance; ranked by what it does to predictions."""
    with building(context, warehouse, DATA_DRIFT) as made:
        effects = risk_tables.effects_on_predictions(made.session)
        rows = drift_tables.build_data_drift(made.session, effects, report)
        reason = drift_tables.reason_to_retrain(made.session)
        made.wrote(DATA_DRIFT, len(rows))
        fingerprint = made.data_fingerprint()
    last = rows[rows["event_date"] == rows["event_date"].max()] if len(rows) else rows
    counted = {f"{status}_on_last_day": int(n) for status, n in last["status"].value_counts().items()}
    asked = {RETRAIN: reason} if reason else {}
    return dg.MaterializeResult(metadata={"rows_in_run": len(rows), DATA_FINGERPRINT: fingerprint, **counted, **asked})


@dg.asset(**asset_arguments(DRIFT_DISTRIBUTIONS, "pandas"))
def drift_distributions(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """The last judged day of every watched distribution beside its reference, in a few bins, to look at."""
    with building(context, warehouse, DRIFT_DISTRIBUTIONS) as made:
        rows = drift_tables.build_drift_distributions(made.session)
        made.wrote(DRIFT_DISTRIBUTIONS, len(rows))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "distributions": len(rows[["kind", "feature", "name"]].drop_duplicates()),
        }
    )


@dg.asset(**asset_arguments(DRIFT_POWER, "numpy"))
def drift_power(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """How large a change the drift monitor can see at the sample sizes at hand; measured anew when those change."""
    with building(context, warehouse, DRIFT_POWER) as made:
        is_new = drift_tables.build_drift_power(made.session, report)
        made.wrote(DRIFT_POWER, made.session.connection.table(DRIFT_POWER.qualified_name).shape[0] if is_new else 0)
    return dg.MaterializeResult(metadata={"is_measured_anew": is_new})


@dg.asset(**asset_arguments(RUN_REPORT, "pandas"))
def run_report(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """What came in, what was refused, what failed, what moved, what needs attention, since the report before."""
    with building(context, warehouse, RUN_REPORT) as made:
        made.wrote(RUN_REPORT, 1)
        found = run_reports.build_run_report(made.session, context.run.run_id)
        tell_of_incidents(made.session, context.run.run_id)
        tell_of_drift(made.session, context.run.run_id)
    page = warehouse.settings.reports_dir / run_reports.REPORT_HTML
    attention = [reasons_text(e["feature"], e["reasons"]) for e in found["attention"]]
    return dg.MaterializeResult(
        metadata={
            "status": found["status"],
            "headline": found["headline"],
            "needs_attention": listed(attention, "Nothing that is known of."),
            "page": dg.MetadataValue.path(page),
        }
    )


@dg.asset(**asset_arguments(LIVE_RECONCILIATION, "pandas"))
def live_reconciliation(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Of each day that the collector took events of: whether what it accepted and showed is what the facts have."""
    with building(context, warehouse, LIVE_RECONCILIATION) as made:
        rows = build_live_reconciliation(made.session)
        made.wrote(LIVE_RECONCILIATION, rows)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})
