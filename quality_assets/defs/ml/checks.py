"""Checks on labels, inputs, models and scores."""

from quality_assets.contracts.ml import (
    CALIBRATION,
    DEGRADATION_LABELS,
    FEATURE_IMPORTANCE,
    MODEL_METRICS,
    MODEL_VERSIONS,
    RISK_SCORES,
    RISK_TRAINING_SET,
    SCORE_LEDGER,
)
from quality_assets.defs.checking import table_checks
from quality_assets.domain.quality.model_checks import ML_CHECKS
from quality_assets.tables.checks.models import COMPUTED_CHECKS
from quality_assets.tables.models import RISK_MODEL

degradation_labels_checks = table_checks(DEGRADATION_LABELS, ML_CHECKS)
risk_training_set_checks = table_checks(RISK_TRAINING_SET, ML_CHECKS, computed=COMPUTED_CHECKS)
model_metrics_checks = table_checks(MODEL_METRICS, ML_CHECKS)
feature_importance_checks = table_checks(FEATURE_IMPORTANCE, ML_CHECKS)
calibration_checks = table_checks(CALIBRATION, ML_CHECKS)
model_versions_checks = table_checks(MODEL_VERSIONS, ML_CHECKS)
risk_model_checks = table_checks(RISK_MODEL, (), computed=COMPUTED_CHECKS)
risk_scores_checks = table_checks(RISK_SCORES, ML_CHECKS, computed=COMPUTED_CHECKS)
score_ledger_checks = table_checks(SCORE_LEDGER, ML_CHECKS)
