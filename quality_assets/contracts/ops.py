"""Contracts of the `ops` schema: what the house remembers of its own work, and nobody else reads."""

from __future__ import annotations

from quality_assets.contracts.table import Column, Table

PUBLICATIONS = Table(
    schema="ops",
    name="publications",
    description="Every snapshot that readers were given",
    grain="one row per published snapshot",
    key=("version",),
    is_keyed=True,
    columns=(
        Column("version", "VARCHAR", "Name of the snapshot", nullable=False),
        Column("published_at", "TIMESTAMP", "When", nullable=False, unit="UTC"),
        Column("run_id", "VARCHAR", "The Dagster run that published it", nullable=False),
        Column("data_fingerprint", "VARCHAR", "Same data, same fingerprint", nullable=False),
        Column("data_through", "DATE", "Last day with events"),
    ),
)


PART_MARK = ":"
"""Between a table's name and that of a definition which has partitions of its own in it."""

PARTITION_STATE = Table(
    schema="ops",
    name="partition_state",
    description="What each partition was built from, so that a re-run knows what is stale",
    grain="one row per table and event date",
    key=("table_name", "event_date"),
    is_keyed=True,
    columns=(
        Column("table_name", "VARCHAR", "schema.table", nullable=False),
        Column("event_date", "DATE", "The partition", nullable=False),
        Column("inputs_fingerprint", "VARCHAR", "Of the files and code it was built from", nullable=False),
        Column("row_count", "BIGINT", "Rows", nullable=False, minimum=0),
    ),
)


AUDITS_DUE = Table(
    schema="ops",
    name="audits_due",
    description="What was built and has not been checked since: a kill may come between the two",
    grain="one row per table and event date that waits for its checks",
    key=("table_name", "event_date"),
    is_keyed=True,
    columns=(
        Column("table_name", "VARCHAR", "schema.table", nullable=False),
        Column("event_date", "DATE", "The partition; the earliest of all dates for a whole table", nullable=False),
    ),
)


LAKE_FILES = Table(
    schema="ops",
    name="lake_files",
    description="The Parquet files that make up each lake partition: the lake's transaction log",
    grain="one row per live file",
    key=("table_name", "path"),
    is_keyed=True,
    columns=(
        Column("table_name", "VARCHAR", "schema.table", nullable=False),
        Column("event_date", "DATE", "The partition", nullable=False),
        Column("path", "VARCHAR", "Relative to the data root", nullable=False),
        Column("row_count", "BIGINT", "Rows", nullable=False, minimum=0),
        Column("size_bytes", "BIGINT", "Size as it was written", unit="bytes", minimum=0),
        Column("sha256", "VARCHAR", "Of its bytes as they were written"),
    ),
)


LANDING_FILES = Table(
    schema="ops",
    name="landing_files",
    description="Which landing path held which content, so that nothing is hashed twice",
    grain="one row per landing path",
    key=("path",),
    is_keyed=True,
    columns=(
        Column("path", "VARCHAR", "Relative to landing/", nullable=False),
        Column("size_bytes", "BIGINT", "Size", nullable=False, unit="bytes", minimum=0),
        Column("modified_ns", "BIGINT", "Modification time", nullable=False, unit="ns since 1970"),
        Column("file_id", "VARCHAR", "Content, as in raw.log_files", nullable=False),
    ),
)


ASSET_RUNS = Table(
    schema="ops",
    name="asset_runs",
    description="Every time an asset was built: when, for which dates, how long it took, how it ended",
    grain="one row per asset and run",
    key=("asset", "run_id"),
    is_keyed=True,
    columns=(
        Column("asset", "VARCHAR", "schema.table", nullable=False),
        Column("run_id", "VARCHAR", "The Dagster run", nullable=False),
        Column("partition_key", "VARCHAR", "Event date, first...last of a range, or empty", nullable=False),
        Column("started_at", "TIMESTAMP", "When it began", nullable=False, unit="UTC"),
        Column("finished_at", "TIMESTAMP", "When it ended", nullable=False, unit="UTC"),
        Column("duration_s", "DOUBLE", "How long it took", nullable=False, unit="s", minimum=0),
        Column("row_count", "BIGINT", "Rows written; null where that is not counted", unit="count", minimum=0),
        Column("status", "VARCHAR", "How it ended", nullable=False, allowed=("succeeded", "failed")),
    ),
)


ASSET_GRAPH = Table(
    schema="ops",
    name="asset_graph",
    description="The asset graph as it stood at the publication",
    grain="one row per asset",
    key=("asset",),
    columns=(
        Column("asset", "VARCHAR", "schema.table", nullable=False),
        Column("schema", "VARCHAR", "Its group", nullable=False),
        Column("kinds", "VARCHAR[]", "What it is made with", nullable=False),
        Column("description", "VARCHAR", "What it holds", nullable=False),
        Column("owner", "VARCHAR", "Who answers for it"),
        Column("upstream", "VARCHAR[]", "The assets it is made from", nullable=False),
        Column("is_partitioned", "BOOLEAN", "Built by event date", nullable=False),
    ),
)
