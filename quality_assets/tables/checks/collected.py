"""Checks of what the collector landed and showed: read as a whole, the same as the facts, served as computed."""

from __future__ import annotations

from quality_assets.contracts.live import COLLECTED_BATCHES, LIVE_RECONCILIATION, ONLINE_FEATURE_SKEW
from quality_assets.domain.quality.check import Check, subject_of
from quality_assets.domain.quality.check_queries import no_offenders

_BATCHES = COLLECTED_BATCHES.qualified_name

COLLECTED_CHECKS = (
    Check(
        subject_of(COLLECTED_BATCHES),
        "all_that_was_accepted_is_read",
        "Is every event that the collector acknowledged and landed read, and none refused?",
        "completeness",
        no_offenders(
            "select strftime(event_date, '%Y-%m-%d') || ': ' || name || ' has ' || accepted || ' events, ' || rows_read"
            f" || ' were read and ' || rows_refused || ' refused' as example from {_BATCHES}"
            " where file_id is not null and (rows_read <> accepted or rows_refused > 0) order by event_date, name"
        ),
        is_blocking=True,
        finding="{observed} of the collector were not read as they were written",
        unit="file",
        remedy="`quality reread` reads the file anew; docs/architecture.md says how the collector lands.",
    ),
    Check(
        subject_of(LIVE_RECONCILIATION),
        "live_is_what_facts_say",
        "Are the events that were accepted and shown live those that the facts of the day have?",
        "consistency",
        no_offenders(
            "select strftime(event_date, '%Y-%m-%d') || ': ' || accepted || ' accepted, ' || valid || ' valid, '"
            " || duplicates || ' copies, ' || refused || ' refused, ' || coalesce(live_events, 0) || ' shown live'"
            f" as example from {LIVE_RECONCILIATION.qualified_name} where state = 'differs' order by event_date"
        ),
        finding="On {observed} what was accepted, shown and built differ",
        unit="day",
        remedy="See monitoring.live_reconciliation for which of the numbers is another, and the collector's log.",
    ),
    Check(
        subject_of(ONLINE_FEATURE_SKEW),
        "served_is_what_is_computed",
        "Is what was served of users the same when it is computed again?",
        "consistency",
        no_offenders(
            f"select feature || ' version ' || version || ': ' || example as example"
            f" from {ONLINE_FEATURE_SKEW.qualified_name} where different > 0 order by feature, version"
        ),
        finding="{observed} were served with another value than the lake gives",
        unit="feature",
        remedy="Do not train on these features until the two agree: data/features.yaml defines both.",
    ),
)
