"""Contracts of the `monitoring` and `ops` schemas: what the checks found, who was told, what was published."""

from __future__ import annotations

from quality_assets.contracts.table import Column, Table

SEVERITIES = ("WARN", "ERROR")
CHECK_STATUSES = ("passed", "failed", "unknown")

CHECK_RESULTS = Table(
    schema="monitoring",
    name="check_results",
    description="What every check found, each time it ran",
    grain="one row per check, asset, partition and run",
    key=("run_id", "asset", "check_name", "partition_key"),
    columns=(
        Column("run_id", "VARCHAR", "The Dagster run", nullable=False),
        Column("checked_at", "TIMESTAMP", "When it was evaluated", nullable=False, unit="UTC"),
        Column("asset", "VARCHAR", "schema.table", nullable=False),
        Column("check_name", "VARCHAR", "Name of the check", nullable=False),
        Column("partition_key", "VARCHAR", "Event date, or empty where the asset is not partitioned", nullable=False),
        Column(
            "dimension",
            "VARCHAR",
            "Completeness, uniqueness, validity, consistency, timeliness, volume, accuracy",
            nullable=False,
        ),
        Column("status", "VARCHAR", "A check that could not run is unknown", nullable=False, allowed=CHECK_STATUSES),
        Column(
            "severity",
            "VARCHAR",
            "ERROR means the number is false, WARN that it deserves a look",
            nullable=False,
            allowed=SEVERITIES,
        ),
        Column("is_blocking", "BOOLEAN", "Stops what comes after, and publication", nullable=False),
        Column("observed", "DOUBLE", "What was measured"),
        Column("threshold", "DOUBLE", "What it is held against"),
        Column("unexpected_count", "BIGINT", "Rows or groups that break it", minimum=0),
        Column("description", "VARCHAR", "The finding in a sentence", nullable=False),
        Column("examples", "VARCHAR", "A few offenders, as JSON"),
    ),
)

ALERT_EVENTS = Table(
    schema="monitoring",
    name="alert_events",
    description="What a person was told: failed runs, failed checks",
    grain="one row per alert",
    key=("alert_id",),
    is_keyed=True,
    columns=(
        Column("alert_id", "VARCHAR", "Derived from kind, run and subject: the same cause alerts once", nullable=False),
        Column("raised_at", "TIMESTAMP", "When", nullable=False, unit="UTC"),
        Column(
            "kind", "VARCHAR", "run_failure or check_failure", nullable=False, allowed=("run_failure", "check_failure")
        ),
        Column("severity", "VARCHAR", "As the check's; ERROR for runs", nullable=False, allowed=SEVERITIES),
        Column("subject", "VARCHAR", "The job, or the asset and check", nullable=False),
        Column("partition_key", "VARCHAR", "Event date or range, empty where none", nullable=False),
        Column("run_id", "VARCHAR", "The Dagster run", nullable=False),
        Column("message", "VARCHAR", "What happened, and what to do next", nullable=False),
    ),
)

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
