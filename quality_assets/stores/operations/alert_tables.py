"""Tables of what a person must know and was told: alerts, their history, and the outbox of notifications."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, Table, UniqueConstraint, text

from quality_assets.stores.operations.columns import METADATA, Count, Document, Instant, RowId, Words

ALERT = Table(
    "alert",
    METADATA,
    Column("alert_id", Words, primary_key=True),
    Column("fingerprint", Words, nullable=False),
    Column("group_id", Words, nullable=False, index=True),
    Column("kind", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("check_name", Words, nullable=False, server_default=""),
    Column("column_name", Words, nullable=False, server_default=""),
    Column("partition_key", Words, nullable=False, server_default=""),
    Column("run_id", Words, nullable=False, server_default=""),
    Column("batch_id", Words),
    # The last run or batch that judged it: one that is tried again counts once.
    Column("evaluation", Words, nullable=False, server_default=""),
    Column("title", Words, nullable=False),
    Column("message", Words, nullable=False),
    Column("action", Words, nullable=False, server_default=""),
    Column("owner", Words, nullable=False, server_default=""),
    Column("severity", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("occurrences", Integer, nullable=False),
    Column("passes", Integer, nullable=False, server_default="0"),
    Column("reopened", Integer, nullable=False, server_default="0"),
    Column("first_seen", Instant, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False, index=True),
    Column("assignee", Words),
    Column("acknowledged_at", Instant),
    Column("acknowledged_by", Words),
    Column("snoozed_until", Instant),
    Column("resolved_at", Instant),
    Column("resolution", Words),
    Column("previous_alert_id", Words),
    Column("observed", Float),
    Column("expected", Float),
    Column("threshold", Float),
    Column("n", Count),
    Column("users", Count),
    Column("evidence", Document, nullable=False),
    Column("version", Integer, nullable=False),
    # One live alert a fault, whoever raises it and however many at once.
    Index(
        "uq_alert_live_fingerprint",
        "fingerprint",
        unique=True,
        sqlite_where=text("status <> 'resolved'"),
        postgresql_where=text("status <> 'resolved'"),
    ),
    Index("ix_alert_status_last_seen", "status", "last_seen"),
)

ALERT_SUBJECT = Table(
    "alert_subject",
    METADATA,
    Column("alert_id", Words, ForeignKey("alert.alert_id"), primary_key=True),
    Column("entity_type", Words, primary_key=True),
    Column("entity_id", Words, primary_key=True),
    Index("ix_alert_subject_entity", "entity_type", "entity_id"),
)

ALERT_EVENT = Table(
    "alert_event",
    METADATA,
    Column("event_id", RowId, primary_key=True, autoincrement=True),
    Column("alert_id", Words, ForeignKey("alert.alert_id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("actor", Words, nullable=False),
    Column("action", Words, nullable=False),
    Column("from_state", Words),
    Column("to_state", Words),
    Column("note", Words),
    Column("details", Document),
)

CHANNEL = Table(
    "channel",
    METADATA,
    Column("channel_id", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("address", Words, nullable=False, server_default=""),
    Column("options", Document, nullable=False),
    Column("secret_ref", Words),
    Column("routes", Document, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("last_error", Words),
    Column("last_sent_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Words, nullable=False),
    Column("version", Integer, nullable=False),
)

NOTIFICATION = Table(
    "notification",
    METADATA,
    Column("notification_id", RowId, primary_key=True, autoincrement=True),
    Column("alert_id", Words, ForeignKey("alert.alert_id"), nullable=False),
    Column("group_id", Words, nullable=False, index=True),
    # No foreign key: a channel that was removed leaves what it told.
    Column("channel_id", Words, nullable=False),
    Column("transition", Words, nullable=False),
    Column("severity", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("claimed_at", Instant),
    Column("sent_at", Instant),
    Column("message_id", Words),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Words),
    UniqueConstraint("alert_id", "channel_id", "transition"),
    Index("ix_notification_status_due_at", "status", "due_at"),
)

SILENCE = Table(
    "silence",
    METADATA,
    Column("silence_id", RowId, primary_key=True, autoincrement=True),
    Column("kind", Words),
    Column("subject", Words),
    Column("fingerprint", Words),
    Column("most_severity", Words),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("reason", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Words, nullable=False),
    Column("ended_by", Words),
)
