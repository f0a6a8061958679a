"""The checks of the impact tables: that each adds up to what it is made from, and that they agree where they must.

They are asked of the dates that were built since they were asked last, and never keep the facts from their readers.
"""

from __future__ import annotations

from quality_assets.contracts.events import USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.impact import (
    ADOPTION_CURVE,
    DEFINITIONS,
    ENGAGEMENT_DAYS,
    EVENT_DAYS,
    FEATURE_ADOPTION,
    FUNNEL_DAYS,
    FUNNEL_ENTRIES,
    FUNNEL_STEP_DAYS,
    RETENTION,
    RETENTION_CELLS,
    SEGMENT_DAYS,
    SEGMENT_MEMBERS,
)
from quality_assets.contracts.users import DIM_USERS, FEATURE_SESSION_DAYS, FIRST_USES, USER_DAYS, USER_SESSIONS
from quality_assets.domain.impact.settings import MOST_EVENTS_A_DAY
from quality_assets.domain.quality.check import Check, subject_of
from quality_assets.domain.quality.check_queries import (
    built_dates,
    by_date,
    no_offenders,
    no_rows,
    per_date_balance,
    within_dates,
)

_WITH_USER = by_date("count(user_id)", VALID_EVENTS.qualified_name)
_ENTRIES = f"(select entry_date as event_date, * from {FUNNEL_ENTRIES.qualified_name})"
_FUNNELS = f"(select entry_date as event_date, * from {FUNNEL_DAYS.qualified_name})"
_FIRSTS = f"(select first_use_date as event_date, * from {FIRST_USES.qualified_name})"
_COHORTS = f"(select cohort_date as event_date, * from {RETENTION.qualified_name})"
_CELLS = RETENTION_CELLS.qualified_name
_MADE_AGAIN = "Run `quality run --from DAY --to DAY` for the day, and then `quality run`."

IMPACT_CHECKS = (
    Check(
        subject_of(EVENT_DAYS),
        "events_accounted",
        "Is every event counted under its feature and name?",
        "completeness",
        per_date_balance(
            by_date("sum(events)", EVENT_DAYS.qualified_name), by_date("count(*)", VALID_EVENTS.qualified_name)
        ),
        finding="{observed} are counted, of {threshold}",
        unit="event",
        remedy=_MADE_AGAIN,
    ),
    Check(
        subject_of(USER_SESSIONS),
        "events_accounted",
        "Do sessions add up to the events that have a user?",
        "completeness",
        per_date_balance(by_date("sum(events)", USER_SESSIONS.qualified_name), _WITH_USER),
        finding="{observed} are in sessions, of {threshold} with a user",
        unit="event",
        remedy=_MADE_AGAIN,
    ),
    Check(
        subject_of(USER_DAYS),
        "events_accounted",
        "Do user days add up to the events that have a user?",
        "completeness",
        per_date_balance(by_date("sum(events)", USER_DAYS.qualified_name), _WITH_USER),
        finding="{observed} are in user days, of {threshold} with a user",
        unit="event",
        remedy=_MADE_AGAIN,
    ),
    Check(
        subject_of(USER_DAYS),
        "sessions_accounted",
        "Do users have the sessions that began on the day?",
        "consistency",
        per_date_balance(
            by_date("sum(sessions)", USER_DAYS.qualified_name),
            by_date("count(*)", USER_SESSIONS.qualified_name, "not is_continued"),
        ),
        finding="{observed} are of users, {threshold} began",
        unit="session",
        remedy=_MADE_AGAIN,
    ),
    Check(
        subject_of(USER_DAYS),
        "users_are_people",
        f"Does every user make at most {MOST_EVENTS_A_DAY:,} events a day?",
        "validity",
        no_rows(
            f"select event_date, user_id || ': ' || events || ' events' as example from {USER_DAYS.qualified_name}"
            f" where {within_dates()} and is_automated",
            built_dates(USER_DAYS),
        ),
        severity="WARN",
        finding="{observed} made more and are left out of adoption, retention, funnels and segments",
        unit="user",
        remedy="See whether they are programs, or many people under one user_id.",
    ),
    Check(
        subject_of(FEATURE_SESSION_DAYS),
        "features_there",
        "Does every feature that somebody used have its sessions?",
        "completeness",
        per_date_balance(
            by_date("count(*)", FEATURE_SESSION_DAYS.qualified_name),
            by_date("count(distinct feature)", USER_FEATURE_DAYS.qualified_name),
        ),
        finding="{observed} have sessions, {threshold} were used",
        unit="feature",
        remedy=_MADE_AGAIN,
    ),
    Check(
        subject_of(FIRST_USES),
        "product_comes_first",
        "Has nobody used a feature before the product?",
        "consistency",
        no_rows(
            f"select event_date, feature || ' of ' || user_id as example from {_FIRSTS}"
            f" where {within_dates()} and first_use_date < joined_date",
            built_dates(FIRST_USES),
        ),
        finding="{observed} came before the product's",
        unit="first use",
        remedy="Materialize core.first_uses again in Dagster.",
    ),
    Check(
        subject_of(RETENTION_CELLS),
        "cohorts_never_grow",
        "Do no more of a cohort return than it has?",
        "consistency",
        no_rows(
            f"select c.event_date, c.feature || ' of ' || c.cohort_date as example from {_CELLS} as c"
            f" left join {_CELLS} as whole on whole.feature = c.feature and whole.cohort_date = c.cohort_date"
            f" and whole.event_date = c.cohort_date"
            f" where {within_dates('c.')} and c.users > coalesce(whole.users, 0)",
            built_dates(RETENTION_CELLS),
        ),
        finding="{observed} have grown",
        unit="cohort",
        remedy="Materialize impact.retention_cells again in Dagster.",
    ),
    Check(
        subject_of(FEATURE_ADOPTION),
        "agrees_with_cohorts",
        "Are those who are new to a feature its cohort of the day?",
        "consistency",
        per_date_balance(
            by_date("sum(new_adopters)", FEATURE_ADOPTION.qualified_name),
            by_date("coalesce(sum(users), 0)", _CELLS, "cohort_date = event_date and feature <> '*'"),
        ),
        finding="{observed} are new by adoption, {threshold} by retention",
        unit="user",
        remedy="Materialize impact.feature_adoption and impact.retention_cells again in Dagster.",
    ),
    Check(
        subject_of(FEATURE_ADOPTION),
        "longer_has_more",
        "Do longer periods have no fewer users?",
        "consistency",
        no_rows(
            f"select event_date, feature as example from {FEATURE_ADOPTION.qualified_name} where {within_dates()}"
            " and not (users <= wau and wau <= mau and mau <= all_mau and wau <= all_wau and users <= all_users)",
            built_dates(FEATURE_ADOPTION),
        ),
        finding="{observed} had fewer users in a longer period",
        unit="feature",
        remedy="Materialize impact.feature_adoption again in Dagster.",
    ),
    Check(
        subject_of(RETENTION),
        "kinds_agree",
        "Do at least as many return within a period as on its first day?",
        "consistency",
        no_rows(
            f"select e.event_date, e.feature || ' day ' || e.day_n as example from {_COHORTS} as e join {_COHORTS} as p"
            " on p.event_date = e.event_date and p.feature = e.feature and p.day_n = e.day_n and p.kind <> 'exact'"
            f" where e.kind = 'exact' and {within_dates('e.')} and p.returned < e.returned",
            built_dates(RETENTION),
        ),
        finding="{observed} returned on a day and not from it on",
        unit="cohort",
        remedy="Materialize impact.retention again in Dagster.",
    ),
    Check(
        subject_of(ADOPTION_CURVE),
        "curves_only_rise",
        "Does the share of those who have adopted a feature never fall?",
        "consistency",
        no_offenders(
            "select feature as example from (select feature,"
            " share < lag(share) over (partition by feature, cohort_month order by day_n) - 1e-9 as falls"
            f" from {ADOPTION_CURVE.qualified_name}) where falls"
        ),
        finding="{observed} fall",
        unit="curve",
        remedy="Materialize impact.adoption_curve again in Dagster.",
    ),
    Check(
        subject_of(FUNNEL_STEP_DAYS),
        "units_known",
        "Do the events of a funnel's steps have the user or session that it follows?",
        "completeness",
        no_rows(
            "select event_date, funnel || ' step ' || step as example"
            f" from {FUNNEL_STEP_DAYS.qualified_name} where {within_dates()} and 2 * events_without_unit > events",
            built_dates(FUNNEL_STEP_DAYS),
        ),
        severity="WARN",
        finding="{observed} are mostly nobody's, and have no rates",
        unit="step",
        remedy="Follow sessions (unit: session), or see why the user is missing.",
    ),
    Check(
        subject_of(FUNNEL_DAYS),
        "entries_accounted",
        "Do the first steps add up to the entries?",
        "consistency",
        per_date_balance(
            by_date("sum(reached)", _FUNNELS, "step = 1 and segment is null"), by_date("count(*)", _ENTRIES)
        ),
        finding="{observed} are told, of {threshold}",
        unit="entry",
        remedy="Materialize impact.funnel_days again in Dagster.",
    ),
    Check(
        subject_of(FUNNEL_DAYS),
        "steps_never_grow",
        "Do no more reach a step than the one before it?",
        "consistency",
        no_rows(
            "select event_date, funnel || ' step ' || step as example from (select event_date, funnel, step,"
            " reached > lag(reached) over (partition by event_date, funnel, segment, value order by step) as grows"
            f" from {_FUNNELS}"
            f" where {within_dates()}) where grows",
            built_dates(FUNNEL_DAYS),
        ),
        finding="{observed} have grown",
        unit="step",
        remedy="Materialize impact.funnel_entries and impact.funnel_days again in Dagster.",
    ),
    Check(
        subject_of(ENGAGEMENT_DAYS),
        "sessions_accounted",
        "Does every feature have its sessions of the day?",
        "consistency",
        per_date_balance(
            by_date("sum(sessions)", ENGAGEMENT_DAYS.qualified_name),
            by_date("sum(sessions)", FEATURE_SESSION_DAYS.qualified_name),
        ),
        finding="{observed} are told, of {threshold}",
        unit="session",
        remedy="Materialize impact.engagement_days again in Dagster.",
    ),
    Check(
        subject_of(SEGMENT_DAYS),
        "members_accounted",
        "Are there as many members as segment_members has for the day?",
        "consistency",
        per_date_balance(
            by_date("sum(members)", SEGMENT_DAYS.qualified_name),
            f"select event_date, count(user_id) as n from ({built_dates(SEGMENT_DAYS)}) as days"
            f" left join {SEGMENT_MEMBERS.qualified_name} on entered_on <= event_date"
            " and (left_on is null or left_on > event_date) group by event_date",
        ),
        finding="{observed} are told, of {threshold}",
        unit="member",
        remedy="Materialize impact.segment_days again in Dagster.",
    ),
    Check(
        subject_of(DEFINITIONS),
        "definitions_usable",
        "Can every definition be used?",
        "validity",
        no_offenders(
            f"select error as example from {DEFINITIONS.qualified_name}"
            " where error is not null and not starts_with(error, 'waits: ')"
        ),
        severity="WARN",
        finding="{observed} cannot be used",
        unit="definition",
        remedy="Mend the file; then `quality run`.",
    ),
    Check(
        subject_of(DIM_USERS),
        "view_stands",
        "Does the view have the columns of its contract?",
        "validity",
        no_offenders(
            f"select name as example from unnest({list(DIM_USERS.column_names)}) as wanted(name) anti join ("
            f"select column_name as name from duckdb_columns() where schema_name = '{DIM_USERS.schema}'"
            f" and table_name = '{DIM_USERS.name}') using (name)"
        ),
        finding="{observed} are missing",
        unit="column",
        remedy="Run `quality run`, which makes the view anew.",
    ),
)
