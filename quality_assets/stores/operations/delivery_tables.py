"""Tables of what was sent elsewhere: each batch, and the fingerprint of each row that a destination has."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table

from quality_assets.stores.operations.columns import METADATA, Count, Instant, Words

DELIVERY = Table(
    "delivery",
    METADATA,
    Column("sync", Words, primary_key=True),
    Column("batch", Words, primary_key=True),
    Column("started_at", Instant, nullable=False, index=True),
    Column("finished_at", Instant),
    Column("snapshot", Words, nullable=False),
    Column("inserts", Count, nullable=False),
    Column("updates", Count, nullable=False),
    Column("deletes", Count, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("status", Words, nullable=False),
    Column("error", Words),
)

DELIVERED_ROW = Table(
    "delivered_row",
    METADATA,
    Column("sync", Words, primary_key=True),
    Column("row_key", Words, primary_key=True),
    Column("row_hash", Words, nullable=False),
    Column("delivered_at", Instant, nullable=False),
)
