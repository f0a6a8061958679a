"""Releases of models: append only, in the order of `seq`; which one is in force follows from all of them."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table

from quality_assets.stores.operations.columns import METADATA, Instant, RowId, Words

MODEL_RELEASE = Table(
    "model_release",
    METADATA,
    Column("seq", RowId, primary_key=True, autoincrement=True),
    Column("model", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("action", Words, nullable=False),
    Column("stage", Words, nullable=False),
    Column("actor", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("at", Instant, nullable=False),
    Column("replaces_seq", RowId),
    Column("evidence", Words),
    Index("ix_model_release_model_seq", "model", "seq"),
)
