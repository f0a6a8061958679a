"""Faults of the product's own tables whose truth is known: what goes wrong with events and facts, as SQL over one day.

For the mutation report: whether the checks of the graph tell of them. `day` is the relation of the day's rows, `picked`
the condition that a share of them fulfils, always the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY, PICKED = "{day}", "{picked}"
SHARES = (0.01, 0.05)
_MANY = (0.3,)
_WHOLE = (1.0,)


@dataclass(frozen=True)
class TelemetryFault:
    """A fault: `rows` gives the day with it, where a share of `shares` of the rows is hit; `suggestion` would tell."""

    name: str
    dimension: str
    columns: tuple[str, ...]
    rows: str
    shares: tuple[float, ...]
    suggestion: str


def _replaced(column: str, value: str, where: str = PICKED) -> str:
    return f"select * replace (case when {where} then {value} else {column} end as {column}) from {DAY}"


_TOP = f"(select feature from {DAY} group by feature order by count(*) desc, feature limit 1)"
_WATCH = "watch the table as a dataset: quality dataset add events --table core.valid_events"

EVENT_FAULTS = (
    TelemetryFault(
        "rows lost", "completeness", (), f"select * from {DAY} where not {PICKED}", SHARES,
        "reconcile the rows with those that were read",
    ),
    TelemetryFault(
        "feature silent", "completeness", ("feature",), f"select * from {DAY} where feature <> {_TOP}", _WHOLE,
        "ask whether each feature of yesterday has events",
    ),
    TelemetryFault(
        "rows copied", "uniqueness", (), f"select * from {DAY} union all by name select * from {DAY} where {PICKED}",
        SHARES, "ask whether the key is unique",
    ),
    TelemetryFault(
        "events sent twice", "uniqueness", ("event_id",),
        f"select * from {DAY} union all by name"
        f" select * replace (line_number + 1000000000 as line_number) from {DAY} where {PICKED}",
        SHARES, "ask whether event_id is unique",
    ),
    TelemetryFault(
        "users lost", "completeness", ("user_id",), _replaced("user_id", "null"), (0.05, *_MANY),
        "hold the share of events without a user against its past",
    ),
    TelemetryFault(
        "feature renamed", "consistency", ("feature",),
        _replaced("feature", "feature || ' (new)'", f"feature = {_TOP}"),
        _WHOLE, "hold the mix of features against its past",
    ),
    TelemetryFault(
        "feature blank", "validity", ("feature",), _replaced("feature", "' '"), SHARES, "let no feature be blank",
    ),
    TelemetryFault(
        "status unknown", "validity", ("status",), _replaced("cast(status as varchar)", "'OK!'").replace(
            "as cast(status as varchar))", "as status)"
        ), SHARES, "let status be one of its values",
    ),
    TelemetryFault(
        "failures hidden", "accuracy", ("status",), _replaced("status", "'ok'", "true"), _WHOLE,
        "hold the share of failures against its past; trends and incidents do, and alert by feature",
    ),
    TelemetryFault(
        "latency below nothing", "validity", ("latency_ms",), _replaced("latency_ms", "-1 - latency_ms"), SHARES,
        "let latency_ms be 0 or more",
    ),
    TelemetryFault(
        "latency in seconds", "accuracy", ("latency_ms",),
        _replaced("latency_ms", "latency_ms / 1000"), (0.05, *_WHOLE),
        f"hold the quantiles of latency against their past; trends and drift do, or {_WATCH}",
    ),
    TelemetryFault(
        "feedback of ten", "validity", ("feedback_score",), _replaced("feedback_score", "feedback_score * 2"), _WHOLE,
        "let feedback_score be 5 at most",
    ),
    TelemetryFault(
        "clock two hours ahead", "consistency", ("event_time",),
        _replaced("event_time", "event_time + interval 2 hour"), (0.05, *_WHOLE),
        "let event_date be the day of event_time",
    ),
    TelemetryFault(
        "countries lost", "completeness", ("country",), _replaced("country", "null"), (0.05, *_WHOLE), _WATCH,
    ),
)  # fmt: skip

FACT_FAULTS = (
    TelemetryFault(
        "feature lost", "completeness", ("feature",), f"select * from {DAY} where feature <> (select min(feature)"
        f" from {DAY})", _WHOLE, "reconcile the facts with the events",
    ),
    TelemetryFault(
        "rows copied", "uniqueness", (), f"select * from {DAY} union all by name select * from {DAY}", _WHOLE,
        "ask whether the key is unique",
    ),
    TelemetryFault(
        "day repeated", "timeliness", (),
        "select * replace ({date} as event_date) from product.fact_feature_metrics where event_date = {date} - 1",
        _WHOLE, "reconcile the facts with the events",
    ),
    TelemetryFault(
        "events doubled", "consistency", ("events",), _replaced("events", "events * 2"), (0.05, *_WHOLE),
        "reconcile the facts with the events",
    ),
    TelemetryFault(
        "users above events", "consistency", ("users",), _replaced("users", "events + 1"), SHARES[1:],
        "let users be at most the events",
    ),
    TelemetryFault(
        "rate not of its parts", "accuracy", ("crash_rate",),
        _replaced("crash_rate", "least(1, crash_rate + 0.01)", "crash_rate is not null"), _WHOLE,
        "let each ratio be its numerator over its denominator",
    ),
    TelemetryFault(
        "rate above one", "validity", ("crash_rate",), _replaced("crash_rate", "1.5"), SHARES[1:],
        "let crash_rate be a share",
    ),
    TelemetryFault(
        "quantiles swapped", "consistency", ("latency_p95_ms",),
        _replaced("latency_p95_ms", "latency_p50_ms - 1", "latency_p50_ms > 1"), _WHOLE,
        "let p50 be at most p95, and p95 at most p99",
    ),
    TelemetryFault(
        "latency lost", "completeness", ("latency_p95_ms",), _replaced("latency_p95_ms", "null", "true"), _WHOLE,
        "let latency_p95_ms be there wherever latency_count is above nothing",
    ),
    TelemetryFault(
        "latency in seconds", "accuracy", ("latency_p95_ms",),
        "select * replace (latency_p50_ms / 1000 as latency_p50_ms, latency_p95_ms / 1000 as latency_p95_ms,"
        f" latency_p99_ms / 1000 as latency_p99_ms) from {DAY}", _WHOLE,
        "hold the quantiles of latency against their past; trends and drift do",
    ),
)  # fmt: skip
