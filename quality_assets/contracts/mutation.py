"""Contracts of what planted faults showed, copied when published: do the checks of a table tell of them?"""

from __future__ import annotations

from quality_assets.contracts.table import Column, Table

MUTATION_REPORTS = Table(
    schema="monitoring",
    name="mutation_reports",
    description="How many planted faults the checks of a table tell of, and how often they alarm without any",
    grain="one row per report of a table or dataset",
    key=("report_id",),
    columns=(
        Column("report_id", "VARCHAR", "The report", nullable=False),
        Column("subject", "VARCHAR", "The table or dataset", nullable=False),
        Column("batch", "VARCHAR", "The day or the batch that faults were planted in", nullable=False),
        Column("made_at", "TIMESTAMP", "When", nullable=False, unit="UTC"),
        Column("planted", "BIGINT", "Faults that were planted, one at a time", nullable=False, minimum=0),
        Column("killed", "BIGINT", "Of them, those that a check or an alert told of", nullable=False, minimum=0),
        Column("clean_batches", "BIGINT", "Batches or days that were asked as they are", nullable=False, minimum=0),
        Column("false_alarms", "BIGINT", "Of them, those that something was told of", nullable=False, minimum=0),
    ),
)

MUTANTS = Table(
    schema="monitoring",
    name="mutants",
    description="Each planted fault, and whether it was told of",
    grain="one row per planted fault of a report",
    key=("report_id", "number"),
    columns=(
        Column("report_id", "VARCHAR", "The report", nullable=False),
        Column("number", "BIGINT", "From 1 in each report", nullable=False, minimum=1),
        Column("fault", "VARCHAR", "What was planted", nullable=False),
        Column("dimension", "VARCHAR", "The dimension of quality that it bears on", nullable=False),
        Column("columns", "VARCHAR", "Where, with commas; empty where rows are", nullable=False),
        Column("share", "DOUBLE", "Of the rows or cells", nullable=False, minimum=0, maximum=1),
        Column("count", "BIGINT", "How many rows, cells or columns it changed", nullable=False, minimum=0),
        Column("is_killed", "BOOLEAN", "Whether it was told of", nullable=False),
        Column("told_by", "VARCHAR", "The first check that told of it, where that is known"),
        Column("suggestion", "VARCHAR", "What would tell of it, where nothing did"),
    ),
)
