"""Checks on what arrived."""

from quality_assets.contracts.events import RAW_LOGS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS, LOG_FILES
from quality_assets.defs.checking import table_checks
from quality_assets.domain.quality.event_checks import RAW_CHECKS

raw_logs_checks = table_checks(RAW_LOGS, RAW_CHECKS)
log_files_checks = table_checks(LOG_FILES, RAW_CHECKS)
feature_descriptions_checks = table_checks(FEATURE_DESCRIPTIONS, RAW_CHECKS)
