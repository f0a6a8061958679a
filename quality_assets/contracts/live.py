"""Contracts of what the graph keeps of the live half: what it landed, whether that is right, what is usual by now."""

from __future__ import annotations

from quality_assets.contracts.table import Build, Column, Table

FEATURES_AUDIENCE = "quality-features"
"""Whom tokens of readers of online features are for."""
RECONCILIATION_STATES = ("balanced", "waiting", "differs")

COLLECTED_BATCHES = Table(
    schema="raw",
    name="collected_batches",
    description="Every file that the collector has landed, and what became of it",
    grain="one row per file of landing/collector/",
    key=("name",),
    build=Build("arrival", inputs=("raw.log_files",), precedes_publication=False),
    columns=(
        Column("name", "VARCHAR", "The file, relative to landing/", nullable=False),
        Column("event_date", "DATE", "UTC date of all its events", nullable=False),
        Column("accepted", "BIGINT", "Events that the collector put into it", nullable=False, unit="count", minimum=1),
        Column("landed_at", "TIMESTAMP", "When it was there", nullable=False, unit="UTC"),
        Column("file_id", "VARCHAR", "The raw log that it was read as (raw.log_files); null until it is read"),
        Column("rows_read", "BIGINT", "Rows that were read of it", unit="count", minimum=0),
        Column("rows_refused", "BIGINT", "Rows with something wrong in themselves", unit="count", minimum=0),
    ),
)

LIVE_RECONCILIATION = Table(
    schema="monitoring",
    name="live_reconciliation",
    description="Whether what the collector accepted of a day is what the facts of that day have",
    grain="one row per event date with events of the collector",
    key=("event_date",),
    build=Build(
        "scoring", inputs=("raw.collected_batches", "core.valid_events", "core.quarantined_events"), is_audited=False
    ),
    columns=(
        Column("event_date", "DATE", "UTC date of the events", nullable=False),
        Column("accepted", "BIGINT", "Events that landed", nullable=False, unit="count", minimum=0),
        Column("valid", "BIGINT", "Of them, in core.valid_events", nullable=False, unit="count", minimum=0),
        Column(
            "duplicates",
            "BIGINT",
            "Of them, copies of events that other logs brought, in quarantine",
            nullable=False,
            unit="count",
            minimum=0,
        ),
        Column(
            "refused", "BIGINT", "Of them, in quarantine for anything else", nullable=False, unit="count", minimum=0
        ),
        Column("live_events", "BIGINT", "Events in the figures of that day as they were shown live", unit="count"),
        Column("live_errors", "BIGINT", "Of them, ended in an error", unit="count"),
        Column("live_crashes", "BIGINT", "Of them, ended in a crash", unit="count"),
        Column("errors", "BIGINT", "Of what landed, valid or a copy, ended in an error", nullable=False, unit="count"),
        Column("crashes", "BIGINT", "Of what landed, valid or a copy, ended in a crash", nullable=False, unit="count"),
        Column(
            "state",
            "VARCHAR",
            "balanced: all numbers agree; waiting: not all has landed, or been built; differs: something is wrong",
            nullable=False,
            allowed=RECONCILIATION_STATES,
        ),
    ),
)

ARRIVAL_CURVES = Table(
    schema="product",
    name="arrival_curves",
    description="How many events of a feature are usual by each five minutes of a weekday",
    grain="one row per feature, weekday and five minutes of the day",
    key=("feature", "weekday", "minute"),
    build=Build("scoring", inputs=("raw.collected_batches", "core.valid_events", "product.fact_feature_metrics")),
    columns=(
        Column("feature", "VARCHAR", "Product feature", nullable=False),
        Column("weekday", "INTEGER", "0 is Monday, UTC", nullable=False, minimum=0, maximum=6),
        Column("minute", "INTEGER", "Minute of the day, UTC", nullable=False, unit="min", minimum=0, maximum=1440),
        Column(
            "expected_so_far", "DOUBLE", "Events before that minute, mean of the last such weekdays", nullable=False
        ),
        Column("expected_total", "DOUBLE", "Events of the whole day, mean of the same", nullable=False),
        Column("days", "INTEGER", "How many such weekdays that is of, four at most", nullable=False, minimum=1),
        Column("lower_z", "DOUBLE", "5 % of days were lower at this minute, in deviations of a day", nullable=False),
        Column("upper_z", "DOUBLE", "5 % of days were higher at this minute, in deviations of a day", nullable=False),
        Column("alarm_z", "DOUBLE", "0.25 % of days were lower at this minute", nullable=False),
        Column(
            "collected_share",
            "DOUBLE",
            "Share of the feature's events of the last week that the collector took; of others nothing is known live",
            nullable=False,
            unit="fraction",
            minimum=0,
            maximum=1,
        ),
    ),
)

USER_FEATURES = Table(
    schema="product",
    name="user_features",
    description="The online features of users at the end of days, for training",
    grain="one row per user and day on which they were scored",
    key=("event_date", "user_id"),
    partition_column="event_date",
    build=Build("scoring", inputs=("core.valid_events",)),
    columns=(
        Column("event_date", "DATE", "The day at whose end they hold, UTC", nullable=False),
        Column("user_id", "VARCHAR", "Pseudonymous user with an event in the seven days before", nullable=False),
        Column("as_of", "TIMESTAMP", "The last instant of that day", nullable=False, unit="UTC"),
        Column("version", "INTEGER", "Version of the features", nullable=False, minimum=1),
        Column("activity_count_1h", "BIGINT", "Events of the last hour", unit="count", minimum=0),
        Column("activity_count_6h", "BIGINT", "Events of the last six hours", unit="count", minimum=0),
        Column("activity_count_24h", "BIGINT", "Events of the last day", unit="count", minimum=0),
        Column("activity_count_7d", "BIGINT", "Events of the last seven days", unit="count", minimum=0),
        Column("purchase_count_24h", "BIGINT", "Purchases of the last day", unit="count", minimum=0),
        Column("purchase_count_7d", "BIGINT", "Purchases of the last seven days", unit="count", minimum=0),
        Column("hours_since_purchase", "DOUBLE", "Hours since the last purchase of seven days", unit="h"),
        Column("purchase_rate_7d", "DOUBLE", "Share of purchases among the events of seven days"),
        Column("click_rate_24h", "DOUBLE", "Clicks a view of the last day"),
        Column("failure_rate_24h", "DOUBLE", "Share of the last day's events that failed"),
        Column("activity_trend", "DOUBLE", "Pace of the last hour against the day's"),
        Column("latency_mean_ms_24h", "DOUBLE", "Mean latency of the last day's events", unit="ms"),
        Column("mobile_share_7d", "DOUBLE", "Share of seven days' events that came from a phone"),
        Column("last_device", "VARCHAR", "Device of the last event that names one"),
        Column("user_segment", "VARCHAR", "buyer, active, casual or unseen"),
        Column("seconds_since_last", "DOUBLE", "Seconds since the last event", unit="s"),
        Column("is_active_session", "BOOLEAN", "Whether the last event is less than half an hour ago"),
        Column("hour_of_day", "INTEGER", "Hour of the instant, UTC", unit="h"),
        Column("is_weekend", "BOOLEAN", "Whether the day is a Saturday or Sunday, UTC"),
        Column("engagement_score", "DOUBLE", "0 to 100 from events, purchases and shares"),
        Column("ab_variant", "VARCHAR", "A or B, by user"),
    ),
)

ONLINE_FEATURE_SKEW = Table(
    schema="ml",
    name="online_feature_skew",
    description="Answers that the collector gave, computed again from the lake: how many values differ",
    grain="one row per online feature and version that was served",
    key=("version", "feature"),
    build=Build("scoring", inputs=("raw.collected_batches", "core.valid_events")),
    columns=(
        Column("version", "INTEGER", "Version of the features", nullable=False, minimum=1),
        Column("feature", "VARCHAR", "Online feature", nullable=False),
        Column("compared", "BIGINT", "Values that were compared", nullable=False, unit="count", minimum=0),
        Column("different", "BIGINT", "Values that differ", nullable=False, unit="count", minimum=0),
        Column("largest_difference", "DOUBLE", "Of numbers that differ", minimum=0),
        Column("example", "VARCHAR", "One value that differs: served, and computed again"),
        Column("served_from", "TIMESTAMP", "The first answer that was compared", unit="UTC"),
        Column("served_to", "TIMESTAMP", "The last answer that was compared", unit="UTC"),
    ),
)
