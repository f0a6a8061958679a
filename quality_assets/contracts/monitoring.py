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
        Column("status", "VARCHAR", "Unknown where it could not be answered", nullable=False, allowed=CHECK_STATUSES),
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

ALERT_SEVERITIES = ("low", "medium", "high", "critical")
ALERT_STATUSES = ("open", "acknowledged", "resolved")

ALERTS = Table(
    schema="monitoring",
    name="alerts",
    description="What people must know, one row a fault: as it stood in the operations store at publication",
    grain="one row per alert",
    key=("alert_id",),
    columns=(
        Column("alert_id", "VARCHAR", "The alert; the same while its fault lasts", nullable=False),
        Column("fingerprint", "VARCHAR", "The same for the same fault, whenever it comes", nullable=False),
        Column("group_id", "VARCHAR", "The same for what is told together", nullable=False),
        Column("kind", "VARCHAR", "dataset, check, incident, drift, run, publication, model and so on", nullable=False),
        Column("subject", "VARCHAR", "What it is about: a table, a feature, a dataset, a job", nullable=False),
        Column("check_name", "VARCHAR", "Check, rule or incident; empty where none", nullable=False),
        Column("column_name", "VARCHAR", "Column or metric; empty where none", nullable=False),
        Column("title", "VARCHAR", "In a few words", nullable=False),
        Column("message", "VARCHAR", "What happened, and what it holds up", nullable=False),
        Column("action", "VARCHAR", "What to do", nullable=False),
        Column("owner", "VARCHAR", "Whose it is; empty where nobody is named", nullable=False),
        Column("severity", "VARCHAR", "How bad", nullable=False, allowed=ALERT_SEVERITIES),
        Column(
            "status",
            "VARCHAR",
            "Whether somebody has it, and whether it is over",
            nullable=False,
            allowed=ALERT_STATUSES,
        ),
        Column("occurrences", "BIGINT", "Runs or batches that found it", nullable=False, minimum=1),
        Column("first_seen", "TIMESTAMP", "When it was first found", nullable=False, unit="UTC"),
        Column("last_seen", "TIMESTAMP", "When it was last found", nullable=False, unit="UTC"),
        Column("assignee", "VARCHAR", "Who works on it"),
        Column("acknowledged_at", "TIMESTAMP", "When somebody took it", unit="UTC"),
        Column("snoozed_until", "TIMESTAMP", "Until when nothing is told of it", unit="UTC"),
        Column("resolved_at", "TIMESTAMP", "When it was over", unit="UTC"),
        Column("resolution", "VARCHAR", "fixed, expected, false_alarm, duplicate, auto"),
        Column("reopened", "BIGINT", "How often it came back", nullable=False, minimum=0),
        Column("previous_alert_id", "VARCHAR", "The last alert of the same fault"),
        Column("observed", "DOUBLE", "What was measured"),
        Column("expected", "DOUBLE", "What is usual"),
        Column("threshold", "DOUBLE", "What it is held against"),
        Column("n", "BIGINT", "Rows, cells or users behind it"),
        Column("users", "BIGINT", "Users a day whom it costs, where known", unit="count"),
        Column("partition_key", "VARCHAR", "Event dates; empty where none", nullable=False),
        Column("run_id", "VARCHAR", "The Dagster run that found it last; empty where none", nullable=False),
        Column("batch_id", "VARCHAR", "The batch of a dataset"),
    ),
)

ALERT_HISTORY = Table(
    schema="monitoring",
    name="alert_history",
    description="What happened to each alert: as it stood in the operations store at publication",
    grain="one row per event in an alert's life",
    key=("event_id",),
    columns=(
        Column("event_id", "BIGINT", "In the order of events", nullable=False),
        Column("alert_id", "VARCHAR", "The alert", nullable=False),
        Column("at", "TIMESTAMP", "When", nullable=False, unit="UTC"),
        Column("actor", "VARCHAR", "Who; graph where nobody did", nullable=False),
        Column("action", "VARCHAR", "opened, acknowledged, worse, resolved and so on", nullable=False),
        Column("from_state", "VARCHAR", "Status before"),
        Column("to_state", "VARCHAR", "Status after"),
        Column("note", "VARCHAR", "What was said"),
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
        Column("checks_unknown", "INTEGER", "Checks that could not be answered", unit="count", minimum=0),
        Column("partitions_built", "INTEGER", "Partitions that were built", unit="count", minimum=0),
        Column("inputs_drifted", "INTEGER", "Drifted things, of all kinds", unit="count", minimum=0),
        Column("incidents_open", "INTEGER", "Incidents without an end", unit="count", minimum=0),
        Column("model_version", "VARCHAR", "The risk model in use; null where none"),
        Column("report", "VARCHAR", "Everything, as the JSON of run_report.json", nullable=False),
    ),
)
