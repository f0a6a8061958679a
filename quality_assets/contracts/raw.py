"""Contracts of what arrives: the ledger of raw logs, and the descriptions of features that people keep by hand."""

from __future__ import annotations

from quality_assets.contracts.table import Build, Column, Table

PERHAPS = ", perhaps "
"""Between the encoding that a log was read in, and another that it may be in as well."""

CORRECTED = "a newer file of its path corrects it"
"""Why a log is superseded whose source says `on_repeat: replace`."""
WITHOUT_DAYS = f"{CORRECTED}, which has no day for"
"""How that begins where days went with its rows: how many rows, and which days, stand behind it."""

LOG_FILES = Table(
    schema="raw",
    name="log_files",
    description="The ledger: every raw log that arrived, what was in it, or why it was rejected",
    grain="one row per distinct file content",
    key=("file_id",),
    is_keyed=True,
    build=Build("arrival", made_with="raw.raw_logs", is_audited=True, contract_checks=("contract_kept",)),
    columns=(
        Column("file_id", "VARCHAR", "First 16 hex digits of sha256", nullable=False),
        Column(
            "file_number",
            "BIGINT",
            "Order of arrival, from 1; earlier files win where ids of a source repeat",
            nullable=False,
            minimum=1,
        ),
        Column("sha256", "VARCHAR", "Of the bytes as they arrived", nullable=False),
        Column("path", "VARCHAR", "Relative to landing/, the first name it was seen under", nullable=False),
        Column("size_bytes", "BIGINT", "Size as it arrived", nullable=False, unit="bytes", minimum=0),
        Column(
            "arrived_at", "TIMESTAMP", "When it was read; later events are in the future", nullable=False, unit="UTC"
        ),
        Column(
            "status",
            "VARCHAR",
            "Loaded, rejected as a whole, superseded by a file with its lines, waiting to be read again, or withdrawn",
            nullable=False,
            allowed=("loaded", "rejected", "superseded", "waiting", "withdrawn"),
        ),
        Column("reason", "VARCHAR", "Why it was rejected, superseded or withdrawn"),
        Column("source", "VARCHAR", "The source that describes it"),
        Column("format", "VARCHAR", "csv, jsonl or parquet"),
        Column("compression", "VARCHAR", "none, gzip or zstd"),
        Column("encoding", "VARCHAR", "Text encoding, and which it may be as well where that is not sure"),
        Column("rows", "BIGINT", "Rows in it", nullable=False, unit="count", minimum=0),
        Column(
            "rows_refused", "BIGINT", "Rows with something wrong in themselves", nullable=False, unit="count", minimum=0
        ),
        Column("first_event_time", "TIMESTAMP", "Earliest readable event", unit="UTC"),
        Column("last_event_time", "TIMESTAMP", "Latest readable event", unit="UTC"),
        Column(
            "last_day_ends_at",
            "TIMESTAMP",
            "End of the calendar day of its last event, in the zone that its source declares",
            unit="UTC",
        ),
        Column("touched_dates", "DATE[]", "Event dates with rows from it", nullable=False),
        Column("load_id", "VARCHAR", "The load that read it"),
        Column("absent_columns", "VARCHAR[]", "Columns of the contract that its source maps and that it does not have"),
        Column("vanished_columns", "VARCHAR[]", "Columns of the contract that it has at its beginning only"),
        Column(
            "precedence",
            "BIGINT",
            "Whose events win where ids repeat, lowest first: that of the log whose lines it has taken over, else null",
            minimum=1,
        ),
        Column("superseded_by", "VARCHAR", "The file that has taken over its lines"),
        Column("moved_to", "VARCHAR", "Where it stands since it left its path, as a rotated log does"),
        Column("repeats", "VARCHAR", "The earlier content of its path, whose events stay where the two tell the same"),
        Column("named_source", "VARCHAR", "The source that it was said to be of, where somebody said"),
        Column("source_version", "VARCHAR", "Fingerprint of what its source's YAML meant when it was read"),
        Column("content_bytes", "BIGINT", "Size once decompressed, as gzip states it", unit="bytes", minimum=0),
        Column("content_crc32", "BIGINT", "CRC-32 once decompressed, as gzip states it", minimum=0),
    ),
)

LIFECYCLE_STAGES = ("experimental", "beta", "ga", "deprecated")

FEATURE_DESCRIPTIONS = Table(
    schema="raw",
    name="feature_descriptions",
    description="feature_metadata.csv as its keepers wrote it, typed",
    grain="one row per described feature",
    key=("feature",),
    build=Build("days", precedes_publication=False),
    columns=(
        Column("feature", "VARCHAR", "As the events name it", nullable=False),
        Column("display_name", "VARCHAR", "As people read it"),
        Column("owner", "VARCHAR", "Who answers for it"),
        Column("team", "VARCHAR", "The owner's team"),
        Column("lifecycle_stage", "VARCHAR", "How far it has come", allowed=LIFECYCLE_STAGES),
        Column("tier", "INTEGER", "1 is most critical", minimum=1, maximum=3),
        Column("launched_on", "DATE", "First day in production"),
        Column("slo_latency_p95_ms", "DOUBLE", "Objective: p95 latency at most", unit="ms", minimum=0),
        Column("slo_crash_rate", "DOUBLE", "Objective: crash rate at most", unit="fraction", minimum=0, maximum=1),
        Column("slo_error_rate", "DOUBLE", "Objective: error rate at most", unit="fraction", minimum=0, maximum=1),
        Column("apdex_threshold_ms", "DOUBLE", "Apdex T: waiting less satisfies", unit="ms", minimum=0),
        Column(
            "slo_availability",
            "DOUBLE",
            "Objective: share of events that do not crash, at least",
            unit="fraction",
            minimum=0,
            maximum=1,
        ),
        Column("slo_feedback_mean", "DOUBLE", "Objective: mean feedback at least", unit="score", minimum=1, maximum=5),
        Column(
            "uncounted_metrics",
            "VARCHAR",
            "Metrics that make no incident and no label, separated by spaces; all = every one",
        ),
    ),
)
