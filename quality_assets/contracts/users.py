"""Contracts of the `core` tables that follow people rather than features: sessions, days, first uses."""

from __future__ import annotations

from quality_assets.contracts.table import Build, Column, Table, Window

PRODUCT = "*"
"""In a column of features: the product as a whole."""

_DAY = Column("event_date", "DATE", "The UTC day", nullable=False)
_USER = Column("user_id", "VARCHAR", "Pseudonymous user", nullable=False)


def count_of(name: str, description: str, *, minimum: float = 0) -> Column:
    """A column that counts something."""
    return Column(name, "BIGINT", description, nullable=False, unit="count", minimum=minimum)


USER_SESSIONS = Table(
    schema="core",
    name="user_sessions",
    description="Sittings of users, by the session that events name, else ended by 30 idle minutes; cut at midnight",
    grain="one row per user, session and UTC day that it touches",
    key=("event_date", "user_id", "session_key"),
    partition_column="event_date",
    store="lake",
    build=Build(
        "impact",
        inputs=("core.valid_events",),
        windows=(Window("core.valid_events", before=1),),
        is_audited=True,
    ),
    columns=(
        _DAY,
        _USER,
        Column("session_key", "VARCHAR", "Its session_id, or a derived name that is unique within user and day", False),
        Column("started_at", "TIMESTAMP", "First event of the day", nullable=False, unit="UTC"),
        Column("ended_at", "TIMESTAMP", "Last event of the day", nullable=False, unit="UTC"),
        count_of("events", "Events of the day", minimum=1),
        count_of("features", "Distinct features of the day", minimum=1),
        count_of("errors", "Events that ended in an error"),
        count_of("crashes", "Events that ended in a crash"),
        Column("is_derived", "BOOLEAN", "Whether events named no session", nullable=False),
        Column("is_continued", "BOOLEAN", "Whether it began before midnight: it is counted there", nullable=False),
        Column("platform", "VARCHAR", "Of its first event of the day"),
        Column("device", "VARCHAR", "Of its first event of the day"),
        Column("country", "VARCHAR", "Of its first event of the day"),
        Column("version", "VARCHAR", "Of the client, at its first event of the day"),
    ),
)

FEATURE_SESSION_DAYS = Table(
    schema="core",
    name="feature_session_days",
    description="How long and how deep sessions went into each feature, day by day",
    grain="one row per feature and day on which somebody used it",
    key=("event_date", "feature"),
    partition_column="event_date",
    build=Build("impact", made_with="core.user_sessions", is_audited=True),
    columns=(
        _DAY,
        Column("feature", "VARCHAR", "Product feature", nullable=False),
        count_of("sessions", "Sessions of the day with an event of it", minimum=1),
        count_of("one_event_sessions", "Those with a single event, which last no time that could be known"),
        Column("events_mean", "DOUBLE", "Events per session, mean", unit="count", minimum=1),
        Column("events_median", "DOUBLE", "Events per session, median", unit="count", minimum=1),
        Column("duration_median_s", "DOUBLE", "First to last event, median of sessions of two or more", unit="s"),
        Column("duration_p90_s", "DOUBLE", "First to last event, 90th percentile of those", unit="s"),
    ),
)

USER_DAYS = Table(
    schema="core",
    name="user_days",
    description="What each user did on each day, and on what",
    grain="one row per user and day",
    key=("event_date", "user_id"),
    partition_column="event_date",
    store="lake",
    build=Build("impact", made_with="core.user_sessions", is_audited=True),
    columns=(
        _DAY,
        _USER,
        count_of("sessions", "Sessions that began on the day: those that go on from the day before are counted there"),
        count_of("events", "Events", minimum=1),
        count_of("features", "Distinct features", minimum=1),
        Column("engaged_s", "DOUBLE", "Sum over sessions of last minus first event", False, unit="s", minimum=0),
        count_of("errors", "Events that ended in an error"),
        count_of("crashes", "Events that ended in a crash"),
        Column("feedback", "DOUBLE", "Mean feedback score; null without any", unit="score", minimum=1, maximum=5),
        Column("platform", "VARCHAR", "Last one of the day"),
        Column("country", "VARCHAR", "Last one of the day"),
        Column("version", "VARCHAR", "Of the client, last one of the day"),
        Column("is_automated", "BOOLEAN", "More events than a person makes: left out of what follows", nullable=False),
    ),
)

FIRST_USES = Table(
    schema="core",
    name="first_uses",
    description="When each user first used each feature, and the product",
    grain="one row per user and feature ('*' is the product)",
    key=("feature", "user_id"),
    partition_column="first_use_date",
    build=Build("impact", inputs=("core.user_days", "core.user_feature_days"), is_cumulative=True, is_audited=True),
    columns=(
        Column("feature", "VARCHAR", "Product feature; '*' is the product", nullable=False),
        _USER,
        Column("first_use_date", "DATE", "The UTC day", nullable=False),
        Column("first_event_at", "TIMESTAMP", "The first event", nullable=False, unit="UTC"),
        Column("platform", "VARCHAR", "Of that event"),
        Column("country", "VARCHAR", "Of that event"),
        Column(
            "is_left_truncated",
            "BOOLEAN",
            "In the first 28 days of the data: may have been there before",
            nullable=False,
        ),
        Column("joined_date", "DATE", "The user's first day in the product", nullable=False),
    ),
)

DIM_USERS = Table(
    schema="core",
    name="dim_users",
    description="Who uses the product: since when, how much, where, and who is no person",
    grain="one row per user",
    key=("user_id",),
    store="view",
    build=Build("impact", inputs=("core.user_days", "core.first_uses"), contract_checks=()),
    columns=(
        _USER,
        Column("first_seen_date", "DATE", "First day with an event", nullable=False),
        Column("last_seen_date", "DATE", "Last day with an event", nullable=False),
        count_of("active_days", "Days with an event", minimum=1),
        count_of("sessions", "Sessions"),
        count_of("events", "Events", minimum=1),
        count_of("features_used", "Distinct features, in all time; automated days are not looked at"),
        Column("main_platform", "VARCHAR", "Of most active days"),
        Column("country", "VARCHAR", "Of the last day"),
        Column("version", "VARCHAR", "Of the client, on the last day"),
        Column("is_automated", "BOOLEAN", "Whether a day had more events than a person makes", nullable=False),
    ),
)
