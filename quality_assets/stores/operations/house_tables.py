"""Tables of the house itself: settings, what people changed, tokens, requests to the graph, the count of changes."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table

from quality_assets.stores.operations.columns import METADATA, Count, Document, Instant, RowId, Words

SETTING = Table(
    "setting",
    METADATA,
    Column("key", Words, primary_key=True),
    Column("value", Document, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("updated_by", Words, nullable=False),
    Column("version", Integer, nullable=False),
)

SETTING_HISTORY = Table(
    "setting_history",
    METADATA,
    Column("history_id", RowId, primary_key=True, autoincrement=True),
    Column("key", Words, nullable=False, index=True),
    Column("old_value", Document),
    Column("new_value", Document),
    Column("at", Instant, nullable=False),
    Column("actor", Words, nullable=False),
)

HOUSE_EVENT = Table(
    "house_event",
    METADATA,
    Column("event_id", RowId, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("actor", Words, nullable=False),
    Column("action", Words, nullable=False),
    # What it was done to: no foreign key, since what was removed leaves what was done to it.
    Column("entity_type", Words, nullable=False),
    Column("entity_id", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("note", Words),
)

API_TOKEN = Table(
    "api_token",
    METADATA,
    Column("token_id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    # Of a secret with 256 bits of chance: a slow hash would guard nothing.
    Column("sha256", Words, nullable=False, unique=True),
    Column("scopes", Document, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Words, nullable=False),
    Column("expires_at", Instant),
    Column("last_used_at", Instant),
    Column("revoked_at", Instant),
)

REQUEST = Table(
    "request",
    METADATA,
    Column("request_id", RowId, primary_key=True, autoincrement=True),
    Column("job", Words, nullable=False),
    Column("partition_key", Words),
    Column("subject", Words, nullable=False, server_default=""),
    Column("run_config", Document, nullable=False),
    Column("tags", Document, nullable=False),
    Column("status", Words, nullable=False),
    Column("reason", Words),
    Column("run_id", Words),
    Column("requested_at", Instant, nullable=False),
    Column("requested_by", Words, nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    # The same work asked twice is one row: None where each asking counts.
    Column("request_key", Words, unique=True),
    Index("ix_request_status", "status"),
)

ANSWERED_WRITE = Table(
    "answered_write",
    METADATA,
    Column("idempotency_key", Words, primary_key=True),
    Column("route", Words, primary_key=True),
    Column("actor", Words, primary_key=True),
    Column("body_sha256", Words, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Document),
    Column("at", Instant, nullable=False, index=True),
)

CHANGE_COUNT = Table(
    "change_count",
    METADATA,
    Column("name", Words, primary_key=True),
    Column("value", Count, nullable=False),
)
