"""Contracts of the `datasets` schema: batches of watched tables and what was found in them, copied when published."""

from __future__ import annotations

from quality_assets.contracts.table import Column, Table

BATCHES = Table(
    schema="datasets",
    name="batches",
    description="The batches of watched tables, each judged once",
    grain="one row per batch",
    key=("batch_id",),
    columns=(
        Column("batch_id", "VARCHAR", "From the dataset and the bytes", nullable=False),
        Column("dataset", "VARCHAR", "The watched table", nullable=False),
        Column("batch", "VARCHAR", "Name of the file, or the moment of the state", nullable=False),
        Column("sequence", "BIGINT", "In the order of judging, from 1 in each dataset", nullable=False),
        Column("batch_time", "TIMESTAMP", "Its last instant, where it has a column of times", unit="UTC"),
        Column("arrived_at", "TIMESTAMP", "When it was first seen", nullable=False, unit="UTC"),
        Column("checked_at", "TIMESTAMP", "When it was judged", unit="UTC"),
        Column("status", "VARCHAR", "waiting, checking, checked or refused", nullable=False),
        Column("reason", "VARCHAR", "Why it was refused, or which thresholds failed"),
        Column("rows", "BIGINT", "Rows that were read", unit="count", minimum=0),
        Column("refused_rows", "BIGINT", "Lines that are no rows", unit="count", minimum=0),
        Column("bytes", "BIGINT", "Its size as it came", unit="bytes", minimum=0),
        Column("encoding", "VARCHAR", "Of a text"),
        Column("score", "DOUBLE", "The share of cells that nothing doubts; null without rows", minimum=0, maximum=1),
        Column("usual_low", "DOUBLE", "Of twenty scores before, one is lower", minimum=0, maximum=1),
        Column("usual_high", "DOUBLE", "Of twenty scores before, one is higher", minimum=0, maximum=1),
        Column("worst_finding", "VARCHAR", "What was found first of all, in a sentence"),
        Column("run_id", "VARCHAR", "The Dagster run, where one judged it"),
    ),
)

FINDINGS = Table(
    schema="datasets",
    name="findings",
    description="What batches of watched tables break: rules of their past, and what looks wrong by itself",
    grain="one row per batch, rule and column",
    key=("finding_id",),
    columns=(
        Column("finding_id", "VARCHAR", "Of the batch and its place in it", nullable=False),
        Column("batch_id", "VARCHAR", "The batch", nullable=False),
        Column("dataset", "VARCHAR", "The watched table", nullable=False),
        Column("rule", "VARCHAR", "The rule or detector, with its columns", nullable=False),
        Column("kind", "VARCHAR", "missing, duplicate, type, schema, rename, format, typo and so on", nullable=False),
        Column("dimension", "VARCHAR", "The dimension of quality that it bears on", nullable=False),
        Column("column_name", "VARCHAR", "The column whose cells are doubted; empty where rows or the table are"),
        Column("count", "BIGINT", "Cells; rows, columns or hours where its kind says so", nullable=False, minimum=0),
        Column("share", "DOUBLE", "Of the cells or rows that were looked at", minimum=0),
        Column("expected_share", "DOUBLE", "What past batches show; null without any", minimum=0),
        Column("severity", "VARCHAR", "low, medium, high or critical"),
        Column("is_alert", "BOOLEAN", "Whether it would hardly be where all is as before", nullable=False),
        Column("sentence", "VARCHAR", "The finding in a sentence", nullable=False),
    ),
)
