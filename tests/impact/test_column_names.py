"""Names that people's scripts rely on: each table of use has these columns, as they are written here."""

from __future__ import annotations

import pytest

from quality_assets.contracts.catalog import TABLES_BY_NAME

NAMES = {
    "core.user_sessions": "event_date user_id session_key started_at ended_at events features errors crashes is_derived"
    " is_continued platform device country version",
    "core.user_days": "event_date user_id sessions events features engaged_s errors crashes feedback platform country"
    " version",
    "core.first_uses": "feature user_id first_use_date first_event_at platform country is_left_truncated",
    "core.dim_users": "user_id first_seen_date last_seen_date active_days sessions events features_used main_platform"
    " country version is_automated",
    "impact.retention_cells": "event_date feature cohort_date users",
    "impact.retention": "cohort_date feature day_n kind eligible returned rate low high observed_days is_final",
    "impact.feature_adoption": "event_date feature users all_users wau mau all_wau all_mau new_adopters second_use_7d"
    " stickiness events_per_user features_per_user",
    "impact.adoption_curve": "feature cohort_month day_n at_risk adopted share low high",
    "impact.funnel_entries": "entry_date funnel unit step_at reached segments is_final",
    "impact.funnel_days": "entry_date funnel segment value step entered reached from_start from_previous low high"
    " median_s p90_s open is_final",
    "impact.engagement_days": "event_date feature sessions events_per_session_mean events_per_session_median"
    " duration_median_s duration_p90_s completion_rate share_rate k_factor",
    "impact.experiment_exposures": "experiment user_id arm exposed_at arms_seen reason_excluded",
    "impact.experiment_results": "as_of_date experiment metric arm n sum mean diff low high always_low always_high p"
    " p_fdr verdict grade",
    "impact.experiment_health": "as_of_date experiment check value threshold status grade",
    "impact.lift_estimates": "as_of_date feature outcome naive adjusted se placebo controls_mean controls_sd calibrated"
    " low high e_value adopters overlap verdict reason",
    "impact.crash_costs": "as_of_date outcome exposed effect se low high placebo verdict reason",
    "impact.segment_members": "segment user_id entered_on left_on",
    "impact.segment_days": "event_date segment members entered left",
    "ml.engagement_scores": "as_of_date user_id p_churn band reasons",
    "ml.engagement_grades": "as_of_date candidate users churned roc_auc brier brier_skill verdict reason",
    "ops.deliveries": "sync batch attempts status error",
    "ops.delivered_rows": "sync row_key row_hash delivered_at",
}
KEYS = {
    "core.first_uses": ("feature", "user_id"),
    "impact.retention": ("cohort_date", "feature", "day_n", "kind"),
    "impact.funnel_entries": ("entry_date", "funnel", "unit"),
    "impact.experiment_exposures": ("experiment", "user_id"),
    "impact.segment_members": ("segment", "user_id", "entered_on"),
    "ml.engagement_scores": ("as_of_date", "user_id"),
    "ops.delivered_rows": ("sync", "row_key"),
}


@pytest.mark.parametrize("table", NAMES)
def test_a_table_of_use_has_the_columns_that_scripts_name(table: str) -> None:
    lacking = set(NAMES[table].split()) - set(TABLES_BY_NAME[table].column_names)
    assert not lacking


@pytest.mark.parametrize("table", KEYS)
def test_a_table_of_use_has_one_row_per_key(table: str) -> None:
    assert TABLES_BY_NAME[table].key == KEYS[table]
