"""Alerts and their outbox, datasets and what was found in them, settings, tokens, requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table of the first store."""
    _alert()
    _alert_subject()
    _alert_event()
    _channel()
    _notification()
    _silence()
    _dataset()
    _dataset_batch()
    _dataset_rule()
    _dataset_finding()
    _setting()
    _setting_history()
    _api_token()
    _request()
    _answered_write()
    _change_count()


def _alert() -> None:
    op.create_table(
        "alert",
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("check_name", sa.String(), server_default="", nullable=False),
        sa.Column("column_name", sa.String(), server_default="", nullable=False),
        sa.Column("partition_key", sa.String(), server_default="", nullable=False),
        sa.Column("run_id", sa.String(), server_default="", nullable=False),
        sa.Column("batch_id", sa.String(), nullable=True),
        sa.Column("evaluation", sa.String(), server_default="", nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("action", sa.String(), server_default="", nullable=False),
        sa.Column("owner", sa.String(), server_default="", nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("occurrences", sa.Integer(), nullable=False),
        sa.Column("passes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reopened", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_seen", sa.DateTime(), nullable=False),
        sa.Column("opened_at", sa.DateTime(), nullable=False),
        sa.Column("last_seen", sa.DateTime(), nullable=False),
        sa.Column("assignee", sa.String(), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.Column("snoozed_until", sa.DateTime(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(), nullable=True),
        sa.Column("resolution", sa.String(), nullable=True),
        sa.Column("previous_alert_id", sa.String(), nullable=True),
        sa.Column("observed", sa.Float(), nullable=True),
        sa.Column("expected", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("n", sa.BigInteger(), nullable=True),
        sa.Column("users", sa.BigInteger(), nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_alert")),
    )
    op.create_index(op.f("ix_alert_group_id"), "alert", ["group_id"], unique=False)
    op.create_index(op.f("ix_alert_last_seen"), "alert", ["last_seen"], unique=False)
    op.create_index("ix_alert_status_last_seen", "alert", ["status", "last_seen"], unique=False)
    op.create_index(
        "uq_alert_live_fingerprint",
        "alert",
        ["fingerprint"],
        unique=True,
        sqlite_where=sa.text("status <> 'resolved'"),
        postgresql_where=sa.text("status <> 'resolved'"),
    )


def _alert_subject() -> None:
    op.create_table(
        "alert_subject",
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("entity_type", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.alert_id"], name=op.f("fk_alert_subject_alert_id_alert")),
        sa.PrimaryKeyConstraint("alert_id", "entity_type", "entity_id", name=op.f("pk_alert_subject")),
    )
    op.create_index("ix_alert_subject_entity", "alert_subject", ["entity_type", "entity_id"], unique=False)


def _alert_event() -> None:
    op.create_table(
        "alert_event",
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("from_state", sa.String(), nullable=True),
        sa.Column("to_state", sa.String(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.alert_id"], name=op.f("fk_alert_event_alert_id_alert")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_alert_event")),
    )
    op.create_index(op.f("ix_alert_event_alert_id"), "alert_event", ["alert_id"], unique=False)


def _channel() -> None:
    op.create_table(
        "channel",
        sa.Column("channel_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), server_default="", nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("secret_ref", sa.String(), nullable=True),
        sa.Column("routes", sa.JSON(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("last_sent_at", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_channel")),
    )


def _notification() -> None:
    op.create_table(
        "notification",
        sa.Column(
            "notification_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("channel_id", sa.String(), nullable=False),
        sa.Column("transition", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(), nullable=True),
        sa.Column("sent_at", sa.DateTime(), nullable=True),
        sa.Column("message_id", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.alert_id"], name=op.f("fk_notification_alert_id_alert")),
        sa.PrimaryKeyConstraint("notification_id", name=op.f("pk_notification")),
        sa.UniqueConstraint(
            "alert_id", "channel_id", "transition", name=op.f("uq_notification_alert_id_channel_id_transition")
        ),
    )
    op.create_index(op.f("ix_notification_group_id"), "notification", ["group_id"], unique=False)
    op.create_index("ix_notification_status_due_at", "notification", ["status", "due_at"], unique=False)


def _silence() -> None:
    op.create_table(
        "silence",
        sa.Column(
            "silence_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("most_severity", sa.String(), nullable=True),
        sa.Column("starts_at", sa.DateTime(), nullable=False),
        sa.Column("ends_at", sa.DateTime(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("silence_id", name=op.f("pk_silence")),
    )


def _dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("description", sa.String(), server_default="", nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("query", sa.String(), nullable=True),
        sa.Column("secret_ref", sa.String(), nullable=True),
        sa.Column("owner", sa.String(), server_default="", nullable=False),
        sa.Column("team", sa.String(), server_default="", nullable=False),
        sa.Column("cadence", sa.String(), nullable=True),
        sa.Column("key_columns", sa.JSON(), nullable=False),
        sa.Column("time_column", sa.String(), nullable=True),
        sa.Column("thresholds", sa.JSON(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("contract", sa.JSON(), nullable=True),
        sa.Column("yaml_keys", sa.JSON(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("hidden_at", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id", name=op.f("pk_dataset")),
    )


def _dataset_batch() -> None:
    op.create_table(
        "dataset_batch",
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("batch_time", sa.DateTime(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("refused_rows", sa.BigInteger(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("encoding", sa.String(), nullable=True),
        sa.Column("columns", sa.JSON(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("dimensions", sa.JSON(), nullable=True),
        sa.Column("usual_low", sa.Float(), nullable=True),
        sa.Column("usual_high", sa.Float(), nullable=True),
        sa.Column("worst_finding", sa.String(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.Column("arrived_at", sa.DateTime(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("checked_at", sa.DateTime(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_by", sa.String(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.dataset_id"], name=op.f("fk_dataset_batch_dataset_id_dataset")
        ),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_dataset_batch")),
        sa.UniqueConstraint("dataset_id", "sha256", name=op.f("uq_dataset_batch_dataset_id_sha256")),
    )
    op.create_index("ix_dataset_batch_dataset_id_sequence", "dataset_batch", ["dataset_id", "sequence"], unique=False)
    op.create_index("ix_dataset_batch_status", "dataset_batch", ["status"], unique=False)


def _dataset_rule() -> None:
    op.create_table(
        "dataset_rule",
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("dimension", sa.String(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=True),
        sa.Column("held_batches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("broken_batches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("usual_share", sa.Float(), nullable=True),
        sa.Column("raised", sa.Integer(), server_default="0", nullable=False),
        sa.Column("false_alarms", sa.Integer(), server_default="0", nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("updated_by", sa.String(), server_default="", nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.dataset_id"], name=op.f("fk_dataset_rule_dataset_id_dataset")
        ),
        sa.PrimaryKeyConstraint("dataset_id", "rule_id", name=op.f("pk_dataset_rule")),
    )


def _dataset_finding() -> None:
    op.create_table(
        "dataset_finding",
        sa.Column("finding_id", sa.String(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("column_name", sa.String(), server_default="", nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("dimension", sa.String(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("cells", sa.BigInteger(), nullable=False),
        sa.Column("share", sa.Float(), nullable=True),
        sa.Column("expected_share", sa.Float(), nullable=True),
        sa.Column("weight", sa.Float(), nullable=True),
        sa.Column("severity", sa.String(), nullable=True),
        sa.Column("is_alerting", sa.Boolean(), nullable=False),
        sa.Column("examples", sa.JSON(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.Column("sentence", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("judged_by", sa.String(), nullable=True),
        sa.Column("judged_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["dataset_batch.batch_id"], name=op.f("fk_dataset_finding_batch_id_dataset_batch")
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.dataset_id"], name=op.f("fk_dataset_finding_dataset_id_dataset")
        ),
        sa.PrimaryKeyConstraint("finding_id", name=op.f("pk_dataset_finding")),
        sa.UniqueConstraint(
            "batch_id", "rule_id", "column_name", name=op.f("uq_dataset_finding_batch_id_rule_id_column_name")
        ),
    )
    op.create_index("ix_dataset_finding_dataset_id", "dataset_finding", ["dataset_id"], unique=False)


def _setting() -> None:
    op.create_table(
        "setting",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_setting")),
    )


def _setting_history() -> None:
    op.create_table(
        "setting_history",
        sa.Column(
            "history_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("old_value", sa.JSON(), nullable=True),
        sa.Column("new_value", sa.JSON(), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("history_id", name=op.f("pk_setting_history")),
    )
    op.create_index(op.f("ix_setting_history_key"), "setting_history", ["key"], unique=False)


def _api_token() -> None:
    op.create_table(
        "api_token",
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("last_used_at", sa.DateTime(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("sha256", name=op.f("uq_api_token_sha256")),
    )


def _request() -> None:
    op.create_table(
        "request",
        sa.Column(
            "request_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("partition_key", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), server_default="", nullable=False),
        sa.Column("run_config", sa.JSON(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("requested_at", sa.DateTime(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("request_key", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_request")),
        sa.UniqueConstraint("request_key", name=op.f("uq_request_request_key")),
    )
    op.create_index("ix_request_status", "request", ["status"], unique=False)


def _answered_write() -> None:
    op.create_table(
        "answered_write",
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("body_sha256", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("idempotency_key", "route", "actor", name=op.f("pk_answered_write")),
    )
    op.create_index(op.f("ix_answered_write_at"), "answered_write", ["at"], unique=False)


def _change_count() -> None:
    op.create_table(
        "change_count",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_change_count")),
    )
