"""Contracts of the `impact` schema: whether features are used, finished, come back for, and by whom."""

from __future__ import annotations

from quality_assets.contracts.table import Build, Column, Table, Window
from quality_assets.contracts.users import count_of

MOST_WINDOW_DAYS = 90
"""The longest window of a funnel, and the longest look-back of a segment."""
COHORT_DAYS = 92
"""Cohorts are followed for so long."""
MONTH_DAYS = 28
"""A month has four of each weekday, so that months compare."""
INVITED_WITHIN_DAYS = 7
"""Whoever comes so soon after a share that they name is attributed to it."""
RETENTION_KINDS = ("exact", "within_30", "on_or_after")

_DAY = Column("event_date", "DATE", "The UTC day", nullable=False)
_FEATURE = Column("feature", "VARCHAR", "Product feature", nullable=False)
_FEATURE_OR_ALL = Column("feature", "VARCHAR", "Product feature; '*' is the product", nullable=False)
_FUNNEL = Column("funnel", "VARCHAR", "Name of the funnel", nullable=False)
_SEGMENT = Column("segment", "VARCHAR", "Name of the segment", nullable=False)


def _fraction(name: str, description: str) -> Column:
    return Column(name, "DOUBLE", description, unit="fraction", minimum=0, maximum=1)


DEFINITIONS = Table(
    schema="impact",
    name="definitions",
    description="What people have defined in YAML: funnels, segments, what a share is, what events stand for",
    grain="one row per definition",
    key=("kind", "name"),
    is_keyed=True,
    build=Build("impact", inputs=("impact.event_days",), contract_checks=("contract_kept",)),
    columns=(
        Column("kind", "VARCHAR", "What it defines", nullable=False),
        Column("name", "VARCHAR", "Its name", nullable=False),
        Column("owner", "VARCHAR", "Who answers for it"),
        Column("version", "VARCHAR", "Fingerprint of what it says", nullable=False),
        Column("reach_days", "INTEGER", "Days before or after a day that it reads", False, unit="days", minimum=0),
        Column("spec", "VARCHAR", "What it says, as JSON", nullable=False),
        Column("path", "VARCHAR", "Its file", nullable=False),
        Column("error", "VARCHAR", "Why it cannot be used; null where it can"),
    ),
)

EVENT_DAYS = Table(
    schema="impact",
    name="event_days",
    description="Which events there are, day by day: what a funnel may name, and when it was last seen",
    grain="one row per feature, event name and day",
    key=("event_date", "feature", "event_name"),
    partition_column="event_date",
    build=Build("impact", inputs=("core.valid_events",), is_audited=True),
    columns=(
        _DAY,
        _FEATURE,
        Column("event_name", "VARCHAR", "What the user did", nullable=False),
        count_of("events", "Events", minimum=1),
        count_of("events_without_user", "Those without a user"),
        count_of("events_received_early", "Those received before they happened: the client's clock is wrong"),
    ),
)

FEATURE_ADOPTION = Table(
    schema="impact",
    name="feature_adoption",
    description="Who of all users uses each feature: on the day, in 7 and in 28 days, and who is new to it",
    grain="one row per feature and day, from its first use until 28 days after its last",
    key=("event_date", "feature"),
    partition_column="event_date",
    build=Build(
        "impact",
        inputs=("core.user_feature_days", "core.first_uses"),
        is_audited=True,
    ),
    columns=(
        _DAY,
        _FEATURE,
        count_of("users", "Users of the day"),
        count_of("all_users", "Users of any feature of the day"),
        count_of("wau", "Users of 7 days"),
        count_of("mau", "Users of 28 days"),
        count_of("all_wau", "Users of any feature of 7 days"),
        count_of("all_mau", "Users of any feature of 28 days"),
        count_of("new_adopters", "Users whose first use this day was"),
        _fraction("second_use_7d", "Of those new to it 7 days before, who used it on another day since"),
        _fraction("stickiness", "users ÷ mau"),
        Column("events_per_user", "DOUBLE", "Events per user of the day", unit="count", minimum=0),
        Column("features_per_user", "DOUBLE", "Features that its users used on the day, mean", unit="count", minimum=1),
    ),
)

ADOPTION_CURVE = Table(
    schema="impact",
    name="adoption_curve",
    description="How long people take to adopt each feature, by the month they came in: Kaplan–Meier, since the "
    "later ones had less time",
    grain="one row per feature, month of joining and day since",
    key=("feature", "cohort_month", "day_n"),
    build=Build("impact", inputs=("core.first_uses",)),
    columns=(
        _FEATURE,
        Column("cohort_month", "DATE", "First day of the month in which time began for them", nullable=False),
        Column("day_n", "INTEGER", "Days since they joined, or since the feature's launch", False, minimum=0),
        count_of("at_risk", "Who had not adopted it before this day, and was still observed", minimum=1),
        count_of("adopted", "Who adopted it on this day"),
        _fraction("share", "Adopted until this day, by Kaplan and Meier"),
        _fraction("low", "Lower end of the 95 % interval (Greenwood, log-log)"),
        _fraction("high", "Upper end of the 95 % interval"),
    ),
)

RETENTION_CELLS = Table(
    schema="impact",
    name="retention_cells",
    description="Who came back: users of each day by the day of their first use",
    grain="one row per day, feature and cohort",
    key=("event_date", "feature", "cohort_date"),
    partition_column="event_date",
    build=Build("impact", inputs=("core.user_feature_days", "core.first_uses"), is_audited=True),
    columns=(
        _DAY,
        _FEATURE_OR_ALL,
        Column("cohort_date", "DATE", "Day of the first use", nullable=False),
        count_of("users", "Users of the cohort on the day", minimum=1),
        Column(
            "previous",
            "MAP(INTEGER, BIGINT)",
            "How many of them had been there last on which day since the first, as far as 30: what adds up to returns",
            nullable=False,
        ),
    ),
)

RETENTION = Table(
    schema="impact",
    name="retention",
    description="Which share of a cohort returned: on a day exactly, between it and day 30, or at any time from it on",
    grain="one row per cohort, feature, day and kind",
    key=("cohort_date", "feature", "day_n", "kind"),
    partition_column="cohort_date",
    build=Build(
        "impact",
        inputs=("impact.retention_cells",),
        windows=(Window("impact.retention_cells", after=COHORT_DAYS),),
        contract_checks=("contract_kept",),
        is_audited=True,
    ),
    columns=(
        Column("cohort_date", "DATE", "Day of the first use (UTC): day 0", nullable=False),
        _FEATURE_OR_ALL,
        Column("day_n", "INTEGER", "Days since", nullable=False, minimum=1),
        Column("kind", "VARCHAR", "What counts as a return", nullable=False, allowed=RETENTION_KINDS),
        count_of("eligible", "Users of the cohort", minimum=1),
        count_of("returned", "Who returned"),
        _fraction("rate", "returned ÷ eligible"),
        _fraction("low", "Lower end of the 95 % interval (Wilson)"),
        _fraction("high", "Upper end of the 95 % interval (Wilson)"),
        Column("observed_days", "INTEGER", "Days on which a return would have counted, so far", False, minimum=1),
        Column("is_final", "BOOLEAN", "Whether all of them are over", nullable=False),
    ),
)

FUNNEL_STEP_DAYS = Table(
    schema="impact",
    name="funnel_step_days",
    description="How often the event of each funnel's step happened, and what of it no funnel can use",
    grain="one row per funnel, step and day",
    key=("event_date", "funnel", "step"),
    partition_column="event_date",
    build=Build("impact", inputs=("core.user_days", "impact.definitions"), defined_by="funnel", is_audited=True),
    columns=(
        _DAY,
        _FUNNEL,
        Column("step", "INTEGER", "From 1", nullable=False, minimum=1),
        count_of("events", "Events that are the step, whoever made them"),
        count_of("events_without_unit", "Those without the user or session that the funnel follows"),
        count_of("events_automated", "Those of automated users, which are left out"),
        count_of("events_without_property", "Of its feature and name, and lacking a property that it asks for"),
    ),
)

FUNNEL_ENTRIES = Table(
    schema="impact",
    name="funnel_entries",
    description="Everybody who entered a funnel on a day, and when they reached each step",
    grain="one row per funnel, unit and day of entry",
    key=("entry_date", "funnel", "unit"),
    partition_column="entry_date",
    store="lake",
    build=Build(
        "impact",
        inputs=("core.user_days", "impact.definitions"),
        windows=(Window("core.user_days", after=None),),
        defined_by="funnel",
        is_audited=True,
    ),
    columns=(
        Column("entry_date", "DATE", "UTC day of the entry", nullable=False),
        _FUNNEL,
        Column("unit", "VARCHAR", "The user or the session", nullable=False),
        Column("step_at", "TIMESTAMP[]", "When each step that was reached was", nullable=False),
        Column("reached", "INTEGER", "The last step that was reached, from 1", nullable=False, minimum=1),
        Column("segments", "MAP(VARCHAR, VARCHAR)", "What the funnel is split by, at entry", nullable=False),
        Column("is_final", "BOOLEAN", "Whether its window is over", nullable=False),
    ),
)

FUNNEL_DAYS = Table(
    schema="impact",
    name="funnel_days",
    description="How far those got who entered a funnel on a day, in all and by segment",
    grain="one row per funnel, day of entry, segment with its value, and step",
    key=("entry_date", "funnel", "step"),
    partition_column="entry_date",
    build=Build(
        "impact",
        inputs=("impact.funnel_entries", "impact.funnel_step_days"),
        windows=(Window("impact.funnel_step_days", before=MONTH_DAYS - 1, after=None),),
        defined_by="funnel",
        contract_checks=("contract_kept",),
        is_audited=True,
    ),
    columns=(
        Column("entry_date", "DATE", "UTC day of the entry", nullable=False),
        _FUNNEL,
        Column("segment", "VARCHAR", "What it is split by; null is everyone"),
        Column("value", "VARCHAR", "Which part of the split; null is everyone, or unknown"),
        Column("step", "INTEGER", "From 1", nullable=False, minimum=1),
        count_of("entered", "Who entered on the day"),
        count_of("reached", "Who reached the step within the window"),
        _fraction("from_start", "reached ÷ entered; null while open, and where the step's event happened to nobody"),
        _fraction("from_previous", "reached ÷ reached of the step before; null at step 1 and as from_start"),
        _fraction("low", "Lower end of the 95 % interval of from_start (Wilson)"),
        _fraction("high", "Upper end of the 95 % interval of from_start (Wilson)"),
        Column("median_s", "DOUBLE", "Entry to step, median of those who reached it", unit="s", minimum=0),
        Column("p90_s", "DOUBLE", "Entry to step, 90th percentile of those who reached it", unit="s", minimum=0),
        count_of("open", "Who has not reached the step, and has time left"),
        Column("is_final", "BOOLEAN", "Whether the window is over for all of them", nullable=False),
    ),
)

ENGAGEMENT_DAYS = Table(
    schema="impact",
    name="engagement_days",
    description="How deep and how long features are used, and whether what is begun is finished and shared",
    grain="one row per feature and day on which somebody used it",
    key=("event_date", "feature"),
    partition_column="event_date",
    build=Build(
        "impact",
        inputs=("core.feature_session_days", "core.first_uses", "impact.funnel_days", "impact.definitions"),
        windows=(Window("core.first_uses", after=INVITED_WITHIN_DAYS),),
        also_from=("completions", "sharing"),
        is_audited=True,
    ),
    columns=(
        _DAY,
        _FEATURE,
        count_of("sessions", "Sessions with an event of it", minimum=1),
        count_of("one_event_sessions", "Those with a single event, which last no time that could be known"),
        Column("events_per_session_mean", "DOUBLE", "Depth, mean", unit="count", minimum=1),
        Column("events_per_session_median", "DOUBLE", "Depth, median", unit="count", minimum=1),
        Column("duration_median_s", "DOUBLE", "First to last event, median of sessions of two or more", unit="s"),
        Column("duration_p90_s", "DOUBLE", "First to last event, 90th percentile of those", unit="s"),
        _fraction("completion_rate", "Last step ÷ entries of the funnel that begins with it; null while any is open"),
        _fraction("share_rate", "Users who shared ÷ users who saw a result"),
        Column(
            "k_factor",
            "DOUBLE",
            f"New users within {INVITED_WITHIN_DAYS} days who name one of the day's sharers ÷ those; null where none "
            "names an inviter, and until the days are over",
            minimum=0,
        ),
    ),
)

SEGMENT_DAYS = Table(
    schema="impact",
    name="segment_days",
    description="How many people a segment has, and how many came and went",
    grain="one row per segment and day",
    key=("event_date", "segment"),
    partition_column="event_date",
    build=Build(
        "impact",
        # Scores of a week follow from user days before it: a day's fingerprint covers them.
        inputs=("core.user_days", "core.first_uses", "ml.engagement_scores", "impact.definitions"),
        defined_by="segment",
        is_audited=True,
    ),
    columns=(
        _DAY,
        _SEGMENT,
        count_of("members", "Members at the end of the day"),
        count_of("entered", "Members who were none the day before"),
        count_of("left", "Members of the day before who are none any more"),
    ),
)

SEGMENT_MEMBERS = Table(
    schema="impact",
    name="segment_members",
    description="Who is, and was, in which segment, from when until when",
    grain="one row per segment, user and entry",
    key=("segment", "user_id", "entered_on"),
    build=Build("impact", made_with="impact.segment_days"),
    columns=(
        _SEGMENT,
        Column("user_id", "VARCHAR", "Pseudonymous user", nullable=False),
        Column("entered_on", "DATE", "First day as a member", nullable=False),
        Column("left_on", "DATE", "First day as none; null while a member"),
    ),
)
