"""Checks on what readers get: the snapshot against the warehouse, each file against the snapshot."""

from quality_assets.defs.checking import table_checks
from quality_assets.tables.checks.publication import (
    BASELINE_STATS_JSON,
    DATA_DRIFT_JSON,
    DRIFT_HTML,
    FEATURE_DAILY_TRENDS_CSV,
    FEATURE_IMPORTANCE_CSV,
    FEATURE_METRICS_CSV,
    METRICS_JSON,
    PUBLICATION_CHECKS,
    PUBLISHED_SNAPSHOT,
)

published_snapshot_checks = table_checks(PUBLISHED_SNAPSHOT, (), computed=PUBLICATION_CHECKS)
feature_metrics_csv_checks = table_checks(FEATURE_METRICS_CSV, (), computed=PUBLICATION_CHECKS)
feature_daily_trends_csv_checks = table_checks(FEATURE_DAILY_TRENDS_CSV, (), computed=PUBLICATION_CHECKS)
metrics_json_checks = table_checks(METRICS_JSON, (), computed=PUBLICATION_CHECKS)
feature_importance_csv_checks = table_checks(FEATURE_IMPORTANCE_CSV, (), computed=PUBLICATION_CHECKS)
baseline_stats_json_checks = table_checks(BASELINE_STATS_JSON, (), computed=PUBLICATION_CHECKS)
data_drift_json_checks = table_checks(DATA_DRIFT_JSON, (), computed=PUBLICATION_CHECKS)
drift_html_checks = table_checks(DRIFT_HTML, (), computed=PUBLICATION_CHECKS)
