"""Contracts of the `monitoring` schema but for drift: what the checks found, who was told, what each run came to."""

from __future__ import annotations

from quality_assets.contracts.table import Build, Column, Table

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


RUN_STATUSES = ("ok", "attention", "failed", "unknown")


RUN_REPORT = Table(
    schema="monitoring",
    name="run_report",
    description="The report of every run: what came in, what was refused, what failed, what needs attention",
    grain="one row per run",
    key=("run_id",),
    build=Build(
        "report",
        inputs=(
            "raw.log_files",
            "core.valid_events",
            "core.quarantined_events",
            "product.feature_daily_trends",
            "product.incidents",
            "ml.risk_scores",
            "monitoring.baseline_stats",
            "monitoring.data_drift",
        ),
    ),
    columns=(
        Column("run_id", "VARCHAR", "The Dagster run", nullable=False),
        Column("reported_at", "TIMESTAMP", "When the report was made", nullable=False, unit="UTC"),
        Column("data_through", "DATE", "Last day with events"),
        Column(
            "status",
            "VARCHAR",
            "failed: a blocking check or a step failed; attention: something deserves a look",
            nullable=False,
            allowed=RUN_STATUSES,
        ),
        Column("headline", "VARCHAR", "The report in a sentence", nullable=False),
        Column("rows_in", "BIGINT", "Rows that came in; null where unknown", unit="count", minimum=0),
        Column("rows_valid", "BIGINT", "Rows kept as events", unit="count", minimum=0),
        Column("rows_quarantined", "BIGINT", "Rows refused", unit="count", minimum=0),
        Column("checks_failed", "INTEGER", "Checks that failed", unit="count", minimum=0),
        Column("checks_unknown", "INTEGER", "Checks that could not run", unit="count", minimum=0),
        Column("partitions_built", "INTEGER", "Partitions that were built", unit="count", minimum=0),
        Column("inputs_drifted", "INTEGER", "Drifted things, of all kinds", unit="count", minimum=0),
        Column("incidents_open", "INTEGER", "Incidents without an end", unit="count", minimum=0),
        Column("model_version", "VARCHAR", "The risk model in use; null where none"),
        Column("report", "VARCHAR", "Everything, as the JSON of run_report.json", nullable=False),
    ),
)
