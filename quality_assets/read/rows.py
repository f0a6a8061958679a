"""The app's tables as rows for scripts: what the CSV downloads and the REST API give. Looks belong to the pages."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from quality_assets.contracts.churn import CRASH_COSTS, ENGAGEMENT_GRADES
from quality_assets.contracts.destinations import DELIVERIES
from quality_assets.contracts.drift import DATA_DRIFT, DRIFT_POWER
from quality_assets.contracts.experiments import EXPERIMENT_HEALTH, EXPERIMENT_RESULTS, EXPERIMENTS, LIFT_ESTIMATES
from quality_assets.contracts.impact import FUNNEL_DAYS, RETENTION, SEGMENT_DAYS
from quality_assets.contracts.ml import FEATURE_IMPORTANCE, MODEL_VERSIONS
from quality_assets.contracts.monitoring import ALERTS, RUN_REPORT
from quality_assets.contracts.ops import ASSET_GRAPH, PUBLICATIONS
from quality_assets.contracts.table import Table
from quality_assets.domain.escaping import spreadsheet_value
from quality_assets.read import (
    drift,
    experiments,
    impact,
    impact_changes,
    impact_events,
    links,
    model,
    pipeline,
    quality,
)
from quality_assets.read import feature as feature_queries
from quality_assets.read import overview as overview_queries
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row
from quality_assets.read.slices import sliced

QUARANTINE_ROWS = 10_000
MOST_RISK_DAYS = 3_650


def features(reader: Reader, request: Request) -> list[Row]:
    """One row a feature: description, status, risk, last day's metrics in their own units, use over the window."""
    rows = []
    for row in overview_queries.features(reader, request.days):
        risk, metrics = row["risk"] or {}, row["metrics"]
        rows.append(
            {key: row[key] for key in ("feature", "display_name", "team", "owner", "tier", "lifecycle_stage")}
            | {"status": row["status"].value, "open_incidents": len(row["incidents"])}
            | {key: risk.get(key) for key in ("risk_probability", "low", "high", "onset_probability", "model_version")}
            | {
                name: metrics.get(name, {}).get("value")
                for name in ("latency_p95_ms", "crash_rate", "error_rate", "feedback_mean")
            }
            | {f"{name}_change": metrics.get(name, {}).get("change") for name in ("latency_p95_ms", "crash_rate")}
            | {"users_a_day": row["users"], "adoption_rate": row["adoption"], "users_affected_a_day": row["impact"]}
        )
    return rows


def trends(reader: Reader, request: Request) -> list[Row]:
    """One feature's metrics day by day with their expected bands."""
    name = request.query.get("feature", "")
    return [row for rows in feature_queries.trends(reader, name, request.days).values() for row in rows]


def risk_past(reader: Reader, request: Request) -> list[Row]:
    """One feature's risk day by day beside what then came, as far back as any model could have told."""
    return feature_queries.risk_past(reader, request.query.get("feature", ""), MOST_RISK_DAYS)


def slices(reader: Reader, request: Request) -> list[Row]:
    """One feature's slices and their pairs, now and before, as its page compares them."""
    asked = Request(links.feature(request.query.get("feature", "")), request.query)
    return [row for pairs in (False, True) for row in sliced(reader, asked, pairs=pairs)]


def _runs(reader: Reader, _: Request) -> list[Row]:
    return [row for _, row in sorted(pipeline.runs(reader).items())]


def _of_version(table: Callable[[Reader, str], list[Row]]) -> Callable[[Reader, Request], list[Row]]:
    """A table of one model version: the one that is asked for, else the champion."""

    def rows(reader: Reader, request: Request) -> list[Row]:
        versions = model.versions(reader)
        return table(reader, request.query.get("version") or (versions[0]["model_version"] if versions else ""))

    return rows


def _of_experiment(table: Callable[[Reader, str], list[Row]]) -> Callable[[Reader, Request], list[Row]]:
    return lambda reader, request: table(reader, request.query.get("experiment", ""))


def _of_feature(table: Callable[[Reader, str], list[Row]]) -> Callable[[Reader, Request], list[Row]]:
    return lambda reader, request: table(reader, request.query.get("feature", ""))


def _of_name(table: Callable[[Reader, str], list[Row]]) -> Callable[[Reader, Request], list[Row]]:
    return lambda reader, request: table(reader, request.query.get("named", ""))


TABLES: dict[str, Callable[[Reader, Request], Sequence[Row]]] = {
    "features": features,
    "incidents": lambda reader, _: overview_queries.open_incidents(reader),
    "trends": trends,
    "slices": slices,
    "feature_incidents": _of_feature(feature_queries.incidents),
    "feature_weeks": _of_feature(feature_queries.weeks),
    "feature_scores": _of_feature(feature_queries.ledger),
    "risk_past": risk_past,
    "checks": lambda reader, _: quality.latest(reader),
    "checks_by_day": lambda reader, request: quality.worst_by_asset(reader, request.days),
    "quarantine": lambda reader, request: quality.quarantine_rows(
        reader, request.days, request.query.get("reason"), QUARANTINE_ROWS
    ),
    "quarantine_reasons": lambda reader, request: quality.quarantine_reasons(reader, request.days),
    "volume": lambda reader, _: quality.volume(reader),
    "sources": lambda reader, _: quality.sources(reader),
    "rejected_files": lambda reader, _: quality.rejected_files(reader),
    "drift": lambda reader, _: drift.latest(reader),
    "drift_power": lambda reader, _: drift.power(reader),
    "model_metrics": _of_version(model.metrics),
    "calibration": _of_version(model.calibration),
    "importance": _of_version(model.importance),
    "model_versions": lambda reader, _: model.versions(reader),
    "scores": lambda reader, _: model.recent_scores(reader),
    "scores_by_week": lambda reader, _: model.ledger_by_week(reader),
    "adoption": lambda reader, _: impact.adoption(reader),
    "funnel": _of_name(impact.funnel_rows),
    "retention": lambda reader, request: impact.retention_rows(
        reader, request.query.get("feature", "*"), request.query.get("kind")
    ),
    "segments": lambda reader, _: impact.segments(reader),
    "segment": _of_name(impact.segment_rows),
    "events": lambda reader, _: impact_events.catalogue(reader),
    "changes": lambda reader, _: impact_changes.changes(reader),
    "assets": lambda reader, _: pipeline.graph(reader),
    "runs": _runs,
    "run_reports": lambda reader, _: pipeline.reports(reader),
    "alerts": lambda reader, _: pipeline.alerts(reader),
    "publications": lambda reader, _: pipeline.publications(reader),
    "experiments": lambda reader, _: experiments.experiments(reader),
    "experiment_health": _of_experiment(experiments.health),
    "experiment_results": _of_experiment(experiments.results),
    "lift": lambda reader, request: experiments.lift(reader, request.query.get("feature")),
    "crash_costs": lambda reader, _: experiments.crash_costs(reader),
    "engagement_grades": lambda reader, _: experiments.engagement_grades(reader),
    "deliveries": lambda reader, _: experiments.deliveries(reader),
}


def _without_fingerprint(table: Table) -> tuple[str, ...]:
    return tuple(name for name in table.column_names if name != "inputs_fingerprint")


def _named(names: str) -> tuple[str, ...]:
    return tuple(names.split())


# A table without rows has its header too, whatever the snapshot holds.
COLUMNS: dict[str, tuple[str, ...]] = {
    "features": _named(
        "feature display_name team owner tier lifecycle_stage status open_incidents risk_probability low high"
        " onset_probability model_version latency_p95_ms crash_rate error_rate feedback_mean latency_p95_ms_change"
        " crash_rate_change users_a_day adoption_rate users_affected_a_day"
    ),
    "incidents": _named(
        "incident_id feature metric kind scope start_date end_date detected_on severity sentence affected_users change"
        " slice_status slice_dimensions slice_values slice_share slice_traffic_share metrics size features users_today"
        " verdict real_share verdict_sentence current_size real_change"
    ),
    "trends": _named("event_date metric value expected expected_low expected_high change is_outside_band is_worse"),
    "slices": _named(
        "dimension slice dimension_2 slice_2 is_now events users crash_rate error_rate latency_p95_ms latency_p99_ms"
    ),
    "feature_incidents": _named(
        "incident_id event_name metric metrics kind scope start_date end_date detected_on severity sentence"
        " affected_users slice_dimensions slice_values slice_share slice_traffic_share slice_status size"
        " end_kind users_today verdict verdict_sentence real_share renamed_to current_size real_change"
    ),
    "feature_weeks": _named("ago users retained resurrected new"),
    "risk_past": _named(
        "event_date risk_probability low high score_kind is_backfilled model_version label_any is_graded"
        " days_to_degradation incident_ahead"
    ),
    "feature_scores": _named("event_date risk_probability label_any is_graded squared_error model_version"),
    "checks": _named(
        "asset check_name partition_key dimension status severity is_blocking observed threshold unexpected_count"
        " description examples run_id checked_at points"
    ),
    "checks_by_day": _named("asset day worst score"),
    "quarantine": _named("event_date file_id path line_number feature reasons raw_row"),
    "quarantine_reasons": _named("reason rows last_date files"),
    "volume": _named("table_name last_date last_rows usual_rows history"),
    "sources": _named("source files rows rows_refused last_arrival last_event last_path"),
    "rejected_files": _named("path reason arrived_at size_bytes"),
    "drift": DATA_DRIFT.column_names,
    "drift_power": DRIFT_POWER.column_names,
    "model_metrics": _named("target model role metric value low high rows positives base_rate k"),
    "calibration": _named("bin predicted observed low high rows"),
    "importance": FEATURE_IMPORTANCE.column_names[2:],
    "model_versions": MODEL_VERSIONS.column_names,
    "scores": _named(
        "event_date feature risk_probability rank label_any is_graded graded_date days_to_degradation"
        " degraded_metrics_ahead model_version score_kind"
    ),
    "scores_by_week": _named("week scores predicted observed brier brier_of_base_rate versions"),
    "adoption": _named(
        "feature adoption adoption_before spark mau all_mau mau_before all_mau_before users"
        " new_adopters second_use_7d stickiness completion_rate"
        " share_rate k_factor events_per_session duration_median_s"
    ),
    "funnel": (*FUNNEL_DAYS.column_names, "verdict"),
    "retention": (*RETENTION.column_names, "verdict"),
    "segments": _named("segment owner description error as_of members entered left spark verdict"),
    "segment": (*SEGMENT_DAYS.column_names, "verdict"),
    "events": _named("feature event_name events first_seen_date last_seen_date words signal"),
    "changes": _named("kind name sentence people is_dead href incident_id incident_feature incident"),
    "assets": ASSET_GRAPH.column_names,
    "runs": _named("asset run_id partition_key started_at status duration_s row_count usual_duration_s runs durations"),
    "run_reports": tuple(name for name in RUN_REPORT.column_names if name != "report"),
    "alerts": ALERTS.column_names,
    "publications": PUBLICATIONS.column_names,
    "experiments": _without_fingerprint(EXPERIMENTS),
    "experiment_health": EXPERIMENT_HEALTH.column_names,
    "experiment_results": EXPERIMENT_RESULTS.column_names,
    "lift": _without_fingerprint(LIFT_ESTIMATES),
    "crash_costs": _without_fingerprint(CRASH_COSTS),
    "engagement_grades": ENGAGEMENT_GRADES.column_names,
    "deliveries": DELIVERIES.column_names,
}


def to_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows as CSV with a header; lists as JSON, instants with their zone, nulls empty.

    No cell is one that a spreadsheet would run.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=columns)
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, default=_text, ensure_ascii=False)
    return _text(value) if isinstance(value, datetime) else spreadsheet_value(value)


def _text(value: object) -> str:
    # Instants in data are UTC without zone.
    return value.isoformat() + ("" if value.tzinfo else "Z") if isinstance(value, datetime) else str(value)
