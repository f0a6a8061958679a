"""Checks on facts, trends and the feature dimension."""

from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.product import DIM_FEATURE_METADATA, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.defs.checking import table_checks
from quality_assets.domain.quality.event_checks import PRODUCT_CHECKS
from quality_assets.domain.quality.expectations import SUITES
from quality_assets.domain.quality.model_checks import INCIDENT_CHECKS

fact_feature_metrics_checks = table_checks(
    FACT_FEATURE_METRICS, PRODUCT_CHECKS, SUITES[FACT_FEATURE_METRICS.qualified_name]
)
feature_daily_trends_checks = table_checks(FEATURE_DAILY_TRENDS, PRODUCT_CHECKS)
dim_feature_metadata_checks = table_checks(DIM_FEATURE_METADATA, PRODUCT_CHECKS)
incidents_checks = table_checks(INCIDENTS, INCIDENT_CHECKS)
