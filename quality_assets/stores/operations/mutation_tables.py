"""What planted faults showed: a report for each time that a table was asked, and each fault of it."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, Table

from quality_assets.stores.operations.columns import METADATA, Count, Instant, Words

MUTATION_REPORT = Table(
    "mutation_report",
    METADATA,
    Column("report_id", Words, primary_key=True),
    Column("subject", Words, nullable=False),
    Column("batch", Words, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("planted", Integer, nullable=False),
    Column("killed", Integer, nullable=False),
    Column("clean_batches", Integer, nullable=False),
    Column("false_alarms", Integer, nullable=False),
    Index("ix_mutation_report_subject_made_at", "subject", "made_at"),
)

MUTANT = Table(
    "mutant",
    METADATA,
    Column("report_id", Words, ForeignKey("mutation_report.report_id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("fault", Words, nullable=False),
    Column("dimension", Words, nullable=False),
    Column("columns", Words, nullable=False, server_default=""),
    Column("share", Float, nullable=False),
    Column("cells", Count, nullable=False),
    Column("is_killed", Boolean, nullable=False),
    Column("told_by", Words),
    Column("suggestion", Words),
)
