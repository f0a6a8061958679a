"""The event contract: what one row of telemetry is, and why a row is refused.

Everything that reads, validates, simulates or stores events takes its columns from here.
"""

from __future__ import annotations

from enum import StrEnum

from quality_assets.contracts.table import Build, Column, Table

STATUSES = ("ok", "error", "crash")
DEFAULT_EVENT_NAME = "use"

EVENT_COLUMNS = (
    Column(
        "event_id",
        "VARCHAR",
        "Unique within its source and event date; derived from file and line when the source has none",
        nullable=False,
    ),
    Column("event_time", "TIMESTAMP", "When it happened", nullable=False, unit="UTC"),
    Column("feature", "VARCHAR", "The product feature that was used, as the source names it", nullable=False),
    Column("event_name", "VARCHAR", "What the user did; `use` unless the source says more", nullable=False),
    Column("user_id", "VARCHAR", "Pseudonymous user; absent means that user metrics are unknown, not zero"),
    Column("session_id", "VARCHAR", "One sitting of one user"),
    Column("status", "VARCHAR", "How it ended", nullable=False, allowed=STATUSES),
    Column("latency_ms", "DOUBLE", "How long the user waited", unit="ms", minimum=0.0),
    Column(
        "feedback_score",
        "DOUBLE",
        "What the user said of it, 1 worst to 5 best",
        unit="score",
        minimum=1.0,
        maximum=5.0,
    ),
    Column("device_type", "VARCHAR", "Phone, tablet, desktop, …"),
    Column("platform", "VARCHAR", "Operating system or surface"),
    Column("app_version", "VARCHAR", "Version of the client"),
    Column("country", "VARCHAR", "Where the user is, as the source names it"),
    Column("variant", "VARCHAR", "Experiment arm, as experiment:arm"),
    Column("properties", "VARCHAR", "Whatever else the source sends, as a JSON object"),
    Column("received_at", "TIMESTAMP", "When it reached us, if the source knows", unit="UTC"),
)

EVENT_COLUMN_NAMES = tuple(column.name for column in EVENT_COLUMNS)


class Reason(StrEnum):
    """Why a row is quarantined. A row carries every reason that holds, in this order."""

    MALFORMED_ROW = "malformed_row"
    REPEATED_HEADER = "repeated_header"
    NUL_BYTE = "nul_byte"
    MISSING_EVENT_TIME = "missing_event_time"
    INVALID_EVENT_TIME = "invalid_event_time"
    EVENT_TIME_TOO_EARLY = "event_time_too_early"
    EVENT_TIME_IN_FUTURE = "event_time_in_future"
    MISSING_FEATURE = "missing_feature"
    MISSING_STATUS = "missing_status"
    INVALID_STATUS = "invalid_status"
    INVALID_LATENCY = "invalid_latency"
    NON_FINITE_LATENCY = "non_finite_latency"
    NEGATIVE_LATENCY = "negative_latency"
    IMPLAUSIBLE_LATENCY = "implausible_latency"
    INVALID_FEEDBACK_SCORE = "invalid_feedback_score"
    FEEDBACK_SCORE_OUT_OF_RANGE = "feedback_score_out_of_range"
    INVALID_PROPERTIES = "invalid_properties"
    INVALID_RECEIVED_AT = "invalid_received_at"
    NESTED_VALUE = "nested_value"
    DUPLICATE_EVENT_ID = "duplicate_event_id"


WAYS_ON = {
    Reason.MALFORMED_ROW: "other columns than the header, no JSON, or not all of the line is what `pattern` says;"
    " `csv` in the YAML says how it is written",
    Reason.REPEATED_HEADER: "no event, but the names of the columns again; nothing is lost",
    Reason.NUL_BYTE: "a NUL within the line, as a write that was cut short leaves it",
    Reason.MISSING_EVENT_TIME: "no time; see which column `event_time` is made from",
    Reason.INVALID_EVENT_TIME: "no ISO 8601 with an offset, no epoch; the YAML may say `format`, `unit` or `zone`",
    Reason.EVENT_TIME_TOO_EARLY: "before `starts_on` of the source; a wrong `unit` or clock, or lower it",
    Reason.EVENT_TIME_IN_FUTURE: "later than its arrival and `allowed_future_skew_minutes`; a wrong `zone` or clock",
    Reason.MISSING_FEATURE: "no feature; see which column `feature` is made from, or give it a `default`",
    Reason.MISSING_STATUS: "no status; see which column `status` is made from, or give it a `default`",
    Reason.INVALID_STATUS: f"not {', '.join(STATUSES[:-1])} or {STATUSES[-1]}; `map` in the YAML says which it is",
    Reason.INVALID_LATENCY: 'no number as JSON writes it; the YAML may say `null_values`, or `decimal`: "," or "."',
    Reason.NON_FINITE_LATENCY: "NaN or infinite; `null_values` in the YAML makes it absent",
    Reason.NEGATIVE_LATENCY: "below zero; `null_values` or `clip_minimum` where it stands for something",
    Reason.IMPLAUSIBLE_LATENCY: "no wait of a person; `unit`, `maximum` or `sentinels` in the YAML",
    Reason.INVALID_FEEDBACK_SCORE: 'no number as JSON writes it; `decimal: ","` reads 4,5',
    Reason.FEEDBACK_SCORE_OUT_OF_RANGE: "not within 1 to 5",
    Reason.INVALID_PROPERTIES: "no JSON object",
    Reason.INVALID_RECEIVED_AT: "no ISO 8601 with an offset, no epoch; the YAML may say `format`, `unit` or `zone`",
    Reason.NESTED_VALUE: "a list or an object for a name or an id; `from: user.id` in the YAML names the value within",
    Reason.DUPLICATE_EVENT_ID: "an earlier row of the source has its id on that date, and is kept",
}
"""What each reason says of a row, and what may be done about it."""


_PLACE_COLUMNS = (
    Column("event_date", "DATE", "UTC date of event_time: the partition", nullable=False),
    Column("file_id", "VARCHAR", "The raw log that it came from (raw.log_files)", nullable=False),
    Column(
        "line_number",
        "BIGINT",
        "Its physical line in that file, from 1 (row number in Parquet, object number in a JSON array)",
        nullable=False,
        minimum=1,
    ),
)

RAW_LOGS = Table(
    schema="raw",
    name="raw_logs",
    description="Every row of every raw log, split by event date, with what is wrong with it",
    grain="one row per line of a raw log",
    key=("file_id", "line_number"),
    partition_column="event_date",
    store="lake",
    file_kinds=("-events", "-refused"),
    build=Build("arrival", is_audited=True, contract_checks=(), precedes_publication=False),
    columns=(
        *_PLACE_COLUMNS,
        *(Column(c.name, c.type, c.description, unit=c.unit) for c in EVENT_COLUMNS),
        Column(
            "reasons",
            "VARCHAR[]",
            "What is wrong with the row, as far as its load tells; null when nothing is",
        ),
        Column("raw_row", "VARCHAR", "The row as it arrived, as JSON, where it is not kept as an event"),
    ),
)

VALID_EVENTS = Table(
    schema="core",
    name="valid_events",
    description="Events that keep the contract, once each",
    grain="one row per event",
    key=("file_id", "line_number"),
    partition_column="event_date",
    store="lake",
    build=Build("days", inputs=("raw.raw_logs", "raw.log_files"), is_audited=True, contract_checks=()),
    columns=(*_PLACE_COLUMNS, *EVENT_COLUMNS),
)

QUARANTINED_EVENTS = Table(
    schema="core",
    name="quarantined_events",
    description="Rows that break the contract, with every reason and the row as it arrived",
    grain="one row per refused line of a raw log",
    key=("file_id", "line_number"),
    partition_column="event_date",
    store="lake",
    build=Build("days", made_with="core.valid_events", is_audited=True, contract_checks=("contract_kept",)),
    columns=(
        Column(
            "event_date",
            "DATE",
            "UTC date of event_time; the file's first date where the time is not known",
            nullable=False,
        ),
        _PLACE_COLUMNS[1],
        _PLACE_COLUMNS[2],
        Column("event_id", "VARCHAR", "As the row states it, or derived"),
        Column("event_time", "TIMESTAMP", "Where it could be read", unit="UTC"),
        Column("feature", "VARCHAR", "As the row states it"),
        Column("reasons", "VARCHAR[]", "Every reason that holds", nullable=False),
        Column("raw_row", "VARCHAR", "The row as it arrived, as JSON", nullable=False),
    ),
)

USER_FEATURE_DAYS = Table(
    schema="core",
    name="user_feature_days",
    description="Who used which feature on which day, and what went wrong for them",
    grain="one row per user, feature and day; events without a user are not in it",
    key=("event_date", "feature", "user_id"),
    partition_column="event_date",
    store="lake",
    build=Build("days", inputs=("core.valid_events",), is_audited=True, contract_checks=("contract_kept",)),
    columns=(
        _PLACE_COLUMNS[0],
        Column("feature", "VARCHAR", "Product feature", nullable=False),
        Column("user_id", "VARCHAR", "Pseudonymous user", nullable=False),
        Column("events", "BIGINT", "Events", nullable=False, unit="count", minimum=1),
        Column("errors", "BIGINT", "Events that ended in an error", nullable=False, unit="count", minimum=0),
        Column("crashes", "BIGINT", "Events that ended in a crash", nullable=False, unit="count", minimum=0),
    ),
)
