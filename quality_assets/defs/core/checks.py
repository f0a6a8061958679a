"""Checks on events, quarantine and user days."""

from quality_assets.contracts.events import QUARANTINED_EVENTS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.defs.checking import table_checks
from quality_assets.domain.quality.event_checks import CORE_CHECKS
from quality_assets.domain.quality.expectations import SUITES

valid_events_checks = table_checks(VALID_EVENTS, CORE_CHECKS, SUITES[VALID_EVENTS.qualified_name])
quarantined_events_checks = table_checks(QUARANTINED_EVENTS, CORE_CHECKS)
user_feature_days_checks = table_checks(USER_FEATURE_DAYS, CORE_CHECKS)
