"""The same work in Polars, streaming engine. Parsed once; plain rows and the others part in one shared scan.

As in the DuckDB script, rows that are not plain by a cheap test are judged again by every rule. Polars keeps lines with
too few or too many fields when the schema is wider than the file, and says so only by a detour: with a null value of
its own, a field that is there and empty is null, one that is not there is an empty text. It cannot tell that of the
last field, so a line that lacks only that one passes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
from common import (
    APDEX_THRESHOLD_MS,
    BLANKS,
    COLUMNS,
    EARLIEST,
    ISO_TIME,
    JSON_STRING,
    LOOSE_JSON,
    STATUSES,
    TEXT_COLUMNS,
    Job,
    job_from_arguments,
)

EXTRA = ("extra_1", "extra_2", "extra_3")
_JSON_VALUE = r'("[^"\\\x00-\x1f]*"|-?[1-9][0-9]*|0|true|false|null)'
_JSON_PAIR = rf'"[^"\\\x00-\x1f]*":\s*{_JSON_VALUE}'
FLAT_JSON = rf"^\{{({_JSON_PAIR}(,\s*{_JSON_PAIR})*)?\}}$"
KEYS = ["event_date", "feature"]


def scan(job: Job) -> pl.LazyFrame:
    """Every record with all fields as text, numbered."""
    return pl.scan_csv(
        job.pattern,
        has_header=False,
        skip_rows=1,
        schema=dict.fromkeys((*COLUMNS, *EXTRA), pl.String),
        missing_columns="insert",
        truncate_ragged_lines=True,
        empty_string_is_null=False,
        null_values={"country": ""},
        row_index_name="row_number",
        include_file_paths="file",
    )


def moment(text: str) -> pl.Expr:
    """A date and time of day, UTC, as an expression."""
    return pl.lit(text).str.to_datetime(time_unit="us")


def plain(latest: str) -> pl.Expr:
    """Whether a row surely keeps the contract as it stands."""
    time, latency, feedback = pl.col("v_time"), pl.col("v_latency"), pl.col("v_feedback")
    tests = [
        pl.col("country").is_null() | (pl.col("country") != ""),
        pl.col("extra_1") == "",
        (time >= moment(f"{EARLIEST} 00:00:00")) & (time <= moment(latest)),
        (pl.col("event_id") != "") & (pl.col("feature") != "") & (pl.col("event_name") != ""),
        pl.col("status").is_in(STATUSES),
        (pl.col("latency_ms") == "") | ((latency >= 0) & latency.is_finite()).fill_null(False),
        (pl.col("feedback_score") == "") | feedback.is_between(1, 5).fill_null(False),
        (pl.col("properties") == "")
        | (pl.col("properties").str.contains(FLAT_JSON) & ~pl.col("properties").str.contains(r"(?i)nan|inf")),
        *(
            (pl.col(c).fill_null("") == "")
            | ((pl.col(c) >= "!") & ~pl.col(c).str.ends_with(" ") & ~pl.col(c).str.contains("\0", literal=True))
            for c in TEXT_COLUMNS
        ),
    ]
    return pl.all_horizontal(tests).fill_null(False)


def event_columns() -> list[pl.Expr]:
    """The columns of an event, typed."""
    return [
        pl.col("v_time").dt.date().alias("event_date"),
        "file",
        "row_number",
        pl.col("v_time").alias("event_time"),
        pl.col("v_latency").alias("latency_ms"),
        pl.col("v_feedback").alias("feedback_score"),
        *(pl.col(c).replace("", None) for c in TEXT_COLUMNS),
    ]  # type: ignore[list-item]


def stage(job: Job) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The plain events, typed, and the other rows as text; one scan."""
    typed = scan(job).with_columns(
        v_time=pl.col("event_time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False),
        v_latency=pl.col("latency_ms").cast(pl.Float64, strict=False),
        v_feedback=pl.col("feedback_score").cast(pl.Float64, strict=False),
    )
    judged = typed.with_columns(is_plain=plain(job.latest))
    good = judged.filter("is_plain").select(event_columns())
    other = judged.filter(~pl.col("is_plain")).select("file", "row_number", *COLUMNS, *EXTRA)
    frames = pl.collect_all([good, other], engine="streaming")
    return frames[0], frames[1]


def is_json_object(text: str) -> bool:
    """Whether a text is a JSON object by RFC 8259."""
    if re.search(LOOSE_JSON, re.sub(JSON_STRING, '""', text)):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def read_closely(rows: pl.DataFrame) -> pl.DataFrame:
    """Trim, type and describe the rows that are not plain."""
    text = pl.col("event_time")
    number = {
        c: pl.when(~pl.col(c).str.contains("_", literal=True)).then(pl.col(c).cast(pl.Float64, strict=False))
        for c in ("latency_ms", "feedback_score")
    }
    size = text.str.len_chars()
    factor = pl.when(size <= 11).then(1_000_000).when(size <= 14).then(1000).otherwise(1)
    epoch = (text.cast(pl.Int64, strict=False) * factor).cast(pl.Datetime("us"))
    normal = text.str.to_uppercase().str.replace("Z", "+00:00").str.replace(" ", "T")
    instant = pl.coalesce(
        normal.str.to_datetime(pattern, time_unit="us", strict=False).dt.replace_time_zone(None)
        for pattern in ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z")
    )
    raw = pl.struct(COLUMNS).struct.json_encode().alias("raw_row")
    has_nul = pl.any_horizontal(pl.col(c).str.contains("\0", literal=True) for c in COLUMNS).alias("has_nul")
    malformed = ((pl.col("country").fill_null("?") == "") | (pl.col("extra_1") != "")).alias("malformed")
    trimmed = rows.with_columns(raw, has_nul, malformed).with_columns(
        pl.col(c).str.strip_chars(BLANKS).replace("", None) for c in COLUMNS
    )
    return trimmed.with_columns(
        v_time=pl.when(text.str.contains("^[0-9]{1,17}$"))
        .then(epoch)
        .when(text.str.contains(f"^{ISO_TIME}$"))
        .then(instant),
        v_latency=number["latency_ms"],
        v_feedback=number["feedback_score"],
        is_json=pl.col("properties").map_elements(is_json_object, return_dtype=pl.Boolean),
        is_header=pl.all_horizontal(pl.col(c) == c for c in ("event_id", "event_time", "feature", "status")),
    )


def reasons(latest: str) -> pl.Expr:
    """All reasons that hold, in the order of the contract."""
    time, latency, feedback = pl.col("v_time"), pl.col("v_latency"), pl.col("v_feedback")
    conditions = {
        "nul_byte": pl.col("has_nul"),
        "missing_event_time": pl.col("event_time").is_null(),
        "invalid_event_time": pl.col("event_time").is_not_null() & time.is_null(),
        "event_time_too_early": time < moment(f"{EARLIEST} 00:00:00"),
        "event_time_in_future": time > moment(latest),
        "missing_feature": pl.col("feature").is_null(),
        "missing_status": pl.col("status").is_null(),
        "invalid_status": ~pl.col("status").is_in(STATUSES),
        "invalid_latency": pl.col("latency_ms").is_not_null() & latency.is_null(),
        "non_finite_latency": ~latency.is_finite(),
        "negative_latency": (latency < 0) & latency.is_finite(),
        "invalid_feedback_score": pl.col("feedback_score").is_not_null() & ~feedback.is_finite().fill_null(False),
        "feedback_score_out_of_range": feedback.is_finite() & ~feedback.is_between(1, 5),
        "invalid_properties": pl.col("properties").is_not_null() & ~pl.col("is_json"),
    }
    every = pl.concat_list(pl.when(sql).then(pl.lit(reason)) for reason, sql in conditions.items()).list.drop_nulls()
    return (
        pl.when("malformed")
        .then(pl.concat_list(pl.lit("malformed_row")))
        .when(pl.col("is_header").fill_null(False))
        .then(pl.concat_list(pl.lit("repeated_header")))
        .otherwise(every)
    )


def judge(events: pl.DataFrame, other: pl.DataFrame, job: Job) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All events, and the rows with reasons."""
    judged = read_closely(other).with_columns(reasons=reasons(job.latest))
    saved = judged.filter(pl.col("reasons").list.len() == 0).with_columns(
        pl.coalesce("event_id", pl.format("{}-{}", "file", "row_number")).alias("event_id"),
        pl.col("event_name").fill_null("use"),
    )
    datable = pl.col("v_time").is_between(moment(f"{EARLIEST} 00:00:00"), moment(job.latest)) & ~pl.col("malformed")
    refused = judged.filter(pl.col("reasons").list.len() > 0).select(
        pl.when(datable).then(pl.col("v_time").dt.date()).alias("event_date"),
        "file",
        "row_number",
        "event_id",
        pl.col("v_time").alias("event_time"),
        "feature",
        "reasons",
        "raw_row",
    )
    return pl.concat([events, saved.select(event_columns())]), refused


def set_copies_aside(events: pl.DataFrame, refused: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Move all but the first of events that share date and id to the refused rows; date what has no date."""
    hashes = pl.struct("event_date", "event_id").hash()
    counts = events.lazy().group_by(hashes.alias("id_hash")).len()
    suspected = counts.filter(pl.col("len") > 1).collect(engine="streaming")
    suspects = events.filter(hashes.is_in(suspected["id_hash"].implode()))
    copies = suspects.sort("row_number").filter(~pl.struct("event_date", "event_id").is_first_distinct())
    events = events.filter(~pl.col("row_number").is_in(copies["row_number"].implode()))
    known = refused.select("event_date", "event_id").drop_nulls().unique()
    kept = events.select("event_date", "event_id").join(known, on=["event_date", "event_id"], how="semi")
    refused = refused.join(kept.with_columns(is_kept=True), on=["event_date", "event_id"], how="left").with_columns(
        reasons=pl.when("is_kept")
        .then(pl.col("reasons").list.concat(pl.concat_list(pl.lit("duplicate_event_id"))))
        .otherwise("reasons")
    )
    again = copies.with_columns(
        reasons=pl.concat_list(pl.lit("duplicate_event_id")),
        raw_row=pl.struct(COLUMNS).struct.json_encode(),
    )
    refused = pl.concat([refused.drop("is_kept"), again.select(refused.drop("is_kept").columns)])
    first = events.group_by("file").agg(pl.col("event_date").min().alias("first_date"))
    dated = refused.join(first, on="file", how="left")
    return events, dated.with_columns(event_date=pl.coalesce("event_date", "first_date")).drop("first_date")


def facts(events: pl.LazyFrame, user_days: pl.LazyFrame, metadata: Path) -> pl.LazyFrame:
    """Daily facts per feature with every metric."""
    thresholds = pl.scan_csv(metadata).select(
        pl.col("feature").str.strip_chars(), t=pl.col("apdex_threshold_ms").cast(pl.Float64)
    )
    timed = events.join(thresholds, on="feature", how="left").with_columns(pl.col("t").fill_null(APDEX_THRESHOLD_MS))
    latency, t, ok = pl.col("latency_ms"), pl.col("t"), pl.col("status") == "ok"
    measured = timed.group_by(KEYS).agg(
        events=pl.len(),
        errors=(pl.col("status") == "error").sum(),
        crashes=(pl.col("status") == "crash").sum(),
        latency_count=latency.count(),
        latency_sum_ms=latency.sum(),
        latency_p50_ms=latency.quantile(0.5, "linear"),
        latency_p95_ms=latency.quantile(0.95, "linear"),
        latency_p99_ms=latency.quantile(0.99, "linear"),
        apdex_satisfied=(ok & (latency <= t)).sum(),
        apdex_tolerating=(ok & (latency > t) & (latency <= 4 * t)).sum(),
        apdex_count=(latency.is_not_null() | ~ok).sum(),
        feedback_count=pl.col("feedback_score").count(),
        feedback_sum=pl.col("feedback_score").sum(),
    )
    by_user = user_days.group_by(KEYS).agg(users=pl.len(), crashed_users=(pl.col("crashes") > 0).sum())
    session_days = (
        events.filter(pl.col("session_id").is_not_null())
        .group_by(*KEYS, "session_id")
        .agg(crashed=(pl.col("status") == "crash").any())
    )
    by_session = session_days.group_by(KEYS).agg(sessions=pl.len(), crashed_sessions=pl.col("crashed").sum())
    everyone = user_days.group_by("event_date").agg(all_users=pl.col("user_id").n_unique())
    joined = measured.join(by_user, on=KEYS, how="left").join(by_session, on=KEYS, how="left")
    # A sum over nothing is 0 in Polars, and unknown here.
    joined = joined.join(everyone, on="event_date", how="left").with_columns(
        latency_sum_ms=pl.when(pl.col("latency_count") > 0).then("latency_sum_ms"),
        feedback_sum=pl.when(pl.col("feedback_count") > 0).then("feedback_sum"),
    )
    return joined.with_columns(
        error_rate=pl.col("errors") / pl.col("events"),
        crash_rate=pl.col("crashes") / pl.col("events"),
        crash_free_sessions=1 - pl.col("crashed_sessions") / pl.col("sessions"),
        crash_free_users=1 - pl.col("crashed_users") / pl.col("users"),
        latency_mean_ms=pl.col("latency_sum_ms") / pl.col("latency_count"),
        apdex=pl.when(pl.col("apdex_count") > 0).then(
            (pl.col("apdex_satisfied") + pl.col("apdex_tolerating") / 2) / pl.col("apdex_count")
        ),
        feedback_mean=pl.col("feedback_sum") / pl.col("feedback_count"),
        adoption_rate=pl.col("users") / pl.col("all_users"),
    ).sort(KEYS)


def write(frame: pl.DataFrame, out: Path, table: str) -> None:
    """One table as one Parquet file."""
    (out / table).mkdir()
    frame.write_parquet(out / table / "part.parquet", compression="zstd", compression_level=1)


def write_daily(events: pl.DataFrame, out: Path) -> None:
    """One Parquet file per event date."""
    ordered: Any = events.lazy().sort("event_date", maintain_order=False).collect(engine="streaming")
    start = 0
    for day, size in ordered.select(pl.col("event_date").rle()).unnest("event_date").select("value", "len").iter_rows():
        folder = out / "valid_events" / f"event_date={day}"
        folder.mkdir(parents=True)
        ordered.slice(start, size).write_parquet(folder / "events.parquet", compression="zstd", compression_level=1)
        start += size


def main() -> None:
    """Run all phases."""
    job = job_from_arguments()
    events, other = stage(job)
    job.done("parse and test")
    events, refused = judge(events, other, job)
    job.done("rows that are not plain")
    events, refused = set_copies_aside(events, refused)
    job.done("copies")
    failures = {
        "events": pl.len(),
        "errors": (pl.col("status") == "error").sum(),
        "crashes": (pl.col("status") == "crash").sum(),
    }
    known = events.lazy().filter(pl.col("user_id").is_not_null())
    user_days = known.group_by(*KEYS, "user_id").agg(**failures).collect(engine="streaming")
    job.done("user-days")
    daily = facts(events.lazy(), user_days.lazy(), job.metadata).collect(engine="streaming")
    job.done("facts")
    write(daily, job.out, "fact_feature_metrics")
    write(user_days, job.out, "user_feature_days")
    write(refused, job.out, "quarantined_events")
    write_daily(events, job.out)
    job.done("write")
    print(json.dumps(job.phases))


if __name__ == "__main__":
    main()
