"""Checks on sketches, baselines, drift and reports."""

from quality_assets.contracts.drift import (
    BASELINE_STATS,
    DATA_DRIFT,
    DRIFT_DISTRIBUTIONS,
    DRIFT_POWER,
    EVENT_SKETCH_COUNTS,
)
from quality_assets.contracts.monitoring import RUN_REPORT
from quality_assets.defs.checking import table_checks
from quality_assets.domain.quality.model_checks import MONITORING_CHECKS

event_sketch_counts_checks = table_checks(EVENT_SKETCH_COUNTS, MONITORING_CHECKS)
baseline_stats_checks = table_checks(BASELINE_STATS, MONITORING_CHECKS)
data_drift_checks = table_checks(DATA_DRIFT, MONITORING_CHECKS)
drift_distributions_checks = table_checks(DRIFT_DISTRIBUTIONS, MONITORING_CHECKS)
drift_power_checks = table_checks(DRIFT_POWER, MONITORING_CHECKS)
run_report_checks = table_checks(RUN_REPORT, MONITORING_CHECKS)
