"""The same work in pandas with the pyarrow CSV reader and Arrow strings; plain rows by masks, the others one by one.

Wide low-cardinality columns are categories, which is what makes the groupings bearable.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
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

KEYS = ["event_date", "feature"]
CATEGORIES = ("feature", "event_name", "device_type", "platform", "app_version", "country", "file")
REFUSED = ["event_date", "file", "row_number", "event_id", "event_time", "feature", "reasons", "raw_row"]


def read(job: Job) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Every record with all fields as text, and the malformed lines."""
    malformed: list[dict[str, Any]] = []
    tables = []
    for path in sorted(job.logs.glob("*.csv")):

        def refuse(row: Any, file: str = str(path)) -> str:
            raw = json.dumps({"line": row.text})
            malformed.append({"file": file, "row_number": row.number, "reasons": ["malformed_row"], "raw_row": raw})
            return "skip"

        table = pc.read_csv(
            path,
            read_options=pc.ReadOptions(use_threads=True),
            parse_options=pc.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
            convert_options=pc.ConvertOptions(
                column_types=dict.fromkeys(COLUMNS, pa.string()), null_values=[""], strings_can_be_null=True
            ),
        )
        tables.append(table.append_column("file", pa.repeat(pa.scalar(str(path)), len(table)).dictionary_encode()))
    whole = pa.concat_tables(tables).unify_dictionaries()
    frame = whole.to_pandas(
        types_mapper=lambda kind: pd.ArrowDtype(kind) if pa.types.is_string(kind) else None, split_blocks=True
    )
    frame["row_number"] = np.arange(len(frame))
    return frame, malformed


def plain(frame: pd.DataFrame, latest: str) -> pd.Series:
    """Whether a row surely keeps the contract as it stands."""
    time, latency, feedback = frame["v_time"], frame["v_latency"], frame["v_feedback"]
    good = (time >= pd.Timestamp(EARLIEST)) & (time <= pd.Timestamp(latest))
    good &= frame["event_id"].notna() & frame["feature"].notna() & frame["event_name"].notna()
    good &= frame["status"].isin(STATUSES).to_numpy()
    good &= frame["latency_ms"].isna() | ((latency >= 0) & np.isfinite(latency))
    good &= frame["feedback_score"].isna() | feedback.between(1, 5)
    for column in TEXT_COLUMNS:
        text = frame[column].str
        doubtful = text.startswith(" ") | text.endswith(" ") | text.contains("\0", regex=False)
        good &= ~doubtful.fillna(False).astype(bool)
    stated = frame["properties"].dropna()
    good.loc[stated.index] &= stated.map(is_json_object).astype(bool)
    return good.fillna(False).astype(bool)


def is_json_object(text: str) -> bool:
    """Whether a text is a JSON object by RFC 8259."""
    if re.search(LOOSE_JSON, re.sub(JSON_STRING, '""', text)):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def number(text: str | None) -> float | None:
    """A number, or None."""
    if text is None or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def moment(text: str | None) -> datetime | None:
    """An instant in UTC without zone, or None."""
    if text is None:
        return None
    try:
        if re.fullmatch("[0-9]{1,17}", text):
            scale = 1 if len(text) <= 11 else 1_000 if len(text) <= 14 else 1_000_000
            return datetime.fromtimestamp(int(text) / scale, UTC).replace(tzinfo=None)
        if re.fullmatch(ISO_TIME, text):
            return datetime.fromisoformat(text.upper().replace("Z", "+00:00")).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return None


def time_reasons(event: dict[str, Any], earliest: datetime, latest: datetime) -> dict[str, bool]:
    """What is wrong with the time."""
    time = event["v_time"]
    return {
        "missing_event_time": event["event_time"] is None,
        "invalid_event_time": event["event_time"] is not None and time is None,
        "event_time_too_early": time is not None and time < earliest,
        "event_time_in_future": time is not None and time > latest,
    }


def number_reasons(event: dict[str, Any]) -> dict[str, bool]:
    """What is wrong with latency and feedback."""
    latency, feedback = event["v_latency"], event["v_feedback"]
    is_score = feedback is not None and isfinite(feedback)
    return {
        "invalid_latency": event["latency_ms"] is not None and latency is None,
        "non_finite_latency": latency is not None and not isfinite(latency),
        "negative_latency": latency is not None and isfinite(latency) and latency < 0,
        "invalid_feedback_score": event["feedback_score"] is not None and not is_score,
        "feedback_score_out_of_range": is_score and not 1 <= feedback <= 5,
    }


def judge(raw: dict[str, Any], earliest: datetime, latest: datetime) -> dict[str, Any]:
    """One row that is not plain: trimmed, typed, with all its reasons."""
    raw = {c: None if pd.isna(raw[c]) else raw[c] for c in (*COLUMNS, "file", "row_number")}
    event = {**raw, **{c: (raw[c] or "").strip(BLANKS) or None for c in COLUMNS}}
    event |= {
        "raw_row": json.dumps({c: raw[c] for c in COLUMNS}),
        "v_time": moment(event["event_time"]),
        "v_latency": number(event["latency_ms"]),
        "v_feedback": number(event["feedback_score"]),
    }
    conditions = {
        "nul_byte": any("\0" in (raw[c] or "") for c in COLUMNS),
        **time_reasons(event, earliest, latest),
        "missing_feature": event["feature"] is None,
        "missing_status": event["status"] is None,
        "invalid_status": event["status"] is not None and event["status"] not in STATUSES,
        **number_reasons(event),
        "invalid_properties": event["properties"] is not None and not is_json_object(event["properties"]),
    }
    is_header = all(event[c] == c for c in ("event_id", "event_time", "feature", "status"))
    event["reasons"] = ["repeated_header"] if is_header else [reason for reason, holds in conditions.items() if holds]
    datable = event["v_time"] is not None and earliest <= event["v_time"] <= latest
    event["event_date"] = event["v_time"].date() if datable else None
    return event


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of an event, typed; low-cardinality text as categories."""
    events = frame.drop(columns=["event_time", "latency_ms", "feedback_score"]).rename(
        columns={"v_time": "event_time", "v_latency": "latency_ms", "v_feedback": "feedback_score"}
    )
    events["event_date"] = events["event_time"].dt.normalize()
    return events


def look_closer(frame: pd.DataFrame, is_plain: pd.Series, job: Job) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All events, and the rows with reasons."""
    earliest, latest = datetime.fromisoformat(EARLIEST), datetime.fromisoformat(job.latest)
    judged = [judge(row, earliest, latest) for row in frame[~is_plain].to_dict("records")]
    good = [event for event in judged if not event["reasons"]]
    for event in good:
        event["event_id"] = event["event_id"] or f"{event['file']}-{event['row_number']}"
        event["event_name"] = event["event_name"] or "use"
    saved = pd.DataFrame(good, columns=frame.columns)
    saved = saved.astype({c: frame[c].dtype for c in TEXT_COLUMNS})
    saved["v_time"] = saved["v_time"].astype(frame["v_time"].dtype)
    saved[["v_latency", "v_feedback"]] = saved[["v_latency", "v_feedback"]].astype(float)
    events = pd.concat([typed(frame[is_plain]), typed(saved)], ignore_index=True)
    refused = pd.DataFrame([event for event in judged if event["reasons"]])
    refused["event_time"] = refused["v_time"].astype("datetime64[us]")
    refused["event_date"] = pd.to_datetime(refused["event_date"]).astype("datetime64[us]")
    return events.astype(dict.fromkeys(CATEGORIES, "category")), refused[REFUSED]


def set_copies_aside(
    events: pd.DataFrame, refused: pd.DataFrame, malformed: list[dict[str, Any]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Move all but the first of events that share date and id to the refused rows; date what has no date."""
    ids = events[["event_date", "event_id", "row_number"]]
    suspects = ids[ids.duplicated(["event_date", "event_id"], keep=False)].sort_values("row_number")
    copies = suspects[suspects.duplicated(["event_date", "event_id"])]
    is_copy = events.index.isin(copies.index)
    again = events[is_copy].copy()
    again["reasons"] = [["duplicate_event_id"]] * len(again)
    again["raw_row"] = [json.dumps(row, default=str) for row in again[list(COLUMNS)].to_dict("records")]
    events = events[~is_copy]
    kept = events[["event_date", "event_id"]][events["event_id"].isin(refused["event_id"].dropna())]
    known = set(zip(kept["event_date"], kept["event_id"], strict=True))
    keys = zip(refused["event_date"], refused["event_id"], strict=True)
    refused["reasons"] = [
        [*reasons, "duplicate_event_id"] if key in known else reasons
        for reasons, key in zip(refused["reasons"], keys, strict=True)
    ]
    refused = pd.concat([refused, again[REFUSED], pd.DataFrame(malformed)], ignore_index=True)
    first = events.groupby("file", observed=True)["event_date"].min()
    refused["event_date"] = refused["event_date"].fillna(refused["file"].astype(str).map(first))
    return events, refused


def user_days(events: pd.DataFrame) -> pd.DataFrame:
    """One row per user, feature and day."""
    known = events.loc[events["user_id"].notna(), [*KEYS, "user_id", "is_error", "is_crash"]]
    groups = known.groupby([*KEYS, "user_id"], observed=True, sort=False)
    return groups.agg(
        events=("is_error", "size"), errors=("is_error", "sum"), crashes=("is_crash", "sum")
    ).reset_index()


def facts(events: pd.DataFrame, users: pd.DataFrame, metadata: Path) -> pd.DataFrame:
    """Daily facts per feature with every metric."""
    described = pd.read_csv(metadata)
    thresholds = described.set_index(described["feature"].str.strip())["apdex_threshold_ms"]
    t = events["feature"].map(thresholds).astype(float).fillna(APDEX_THRESHOLD_MS)
    latency, is_ok = events["latency_ms"], ~(events["is_error"] | events["is_crash"])
    timed = events[[*KEYS, "is_error", "is_crash", "latency_ms", "feedback_score"]].assign(
        satisfied=is_ok & (latency <= t),
        tolerating=is_ok & (latency > t) & (latency <= 4 * t),
        judged=latency.notna() | ~is_ok,
    )
    groups = timed.groupby(KEYS, observed=True)
    daily = groups.agg(
        events=("is_error", "size"),
        errors=("is_error", "sum"),
        crashes=("is_crash", "sum"),
        latency_count=("latency_ms", "count"),
        latency_sum_ms=("latency_ms", lambda x: x.sum(min_count=1)),
        apdex_satisfied=("satisfied", "sum"),
        apdex_tolerating=("tolerating", "sum"),
        apdex_count=("judged", "sum"),
        feedback_count=("feedback_score", "count"),
        feedback_sum=("feedback_score", lambda x: x.sum(min_count=1)),
    )
    quantiles = groups["latency_ms"].quantile([0.5, 0.95, 0.99]).unstack()
    daily[["latency_p50_ms", "latency_p95_ms", "latency_p99_ms"]] = quantiles
    of_users = users.assign(crashed=users["crashes"] > 0).groupby(KEYS, observed=True)
    daily[["users", "crashed_users"]] = of_users.agg(users=("crashed", "size"), crashed_users=("crashed", "sum"))
    known = events.loc[events["session_id"].notna(), [*KEYS, "session_id", "is_crash"]]
    sessions = known.groupby([*KEYS, "session_id"], observed=True, sort=False)["is_crash"].any().rename("crashed")
    of_sessions = sessions.reset_index().groupby(KEYS, observed=True)
    daily[["sessions", "crashed_sessions"]] = of_sessions.agg(
        sessions=("crashed", "size"), crashed_sessions=("crashed", "sum")
    )
    everyone = users.groupby("event_date")["user_id"].nunique().rename("all_users")
    return ratios(daily.join(everyone, on="event_date")).reset_index()


def ratios(daily: pd.DataFrame) -> pd.DataFrame:
    """Add the metrics that are made of counts."""
    return daily.assign(
        error_rate=daily["errors"] / daily["events"],
        crash_rate=daily["crashes"] / daily["events"],
        crash_free_sessions=1 - daily["crashed_sessions"] / daily["sessions"],
        crash_free_users=1 - daily["crashed_users"] / daily["users"],
        latency_mean_ms=daily["latency_sum_ms"] / daily["latency_count"],
        apdex=(daily["apdex_satisfied"] + daily["apdex_tolerating"] / 2) / daily["apdex_count"],
        feedback_mean=daily["feedback_sum"] / daily["feedback_count"],
        adoption_rate=daily["users"] / daily["all_users"],
    )


def write(frame: pd.DataFrame, out: Path, table: str, name: str = "part") -> None:
    """One table, or one partition of it, as one Parquet file. NaN means null."""
    (out / table).mkdir(parents=True, exist_ok=True)
    data = pa.Table.from_pandas(frame.reset_index(drop=True), preserve_index=False)
    pq.write_table(data, out / table / f"{name}.parquet", compression="zstd")


def main() -> None:
    """Run all phases."""
    job = job_from_arguments()
    pa.set_cpu_count(job.threads)
    frame, malformed = read(job)
    job.done("parse")
    times = pd.to_datetime(frame["event_time"], format="%Y-%m-%dT%H:%M:%S.%fZ", errors="coerce")
    frame["v_time"] = times.astype("datetime64[us]")
    for column in ("latency_ms", "feedback_score"):
        frame[f"v_{column.split('_')[0]}"] = pd.to_numeric(frame[column], errors="coerce").astype(float)
    is_plain = plain(frame, job.latest)
    job.done("test")
    events, refused = look_closer(frame, is_plain, job)
    del frame
    job.done("rows that are not plain")
    events, refused = set_copies_aside(events, refused, malformed)
    job.done("copies")
    status = events["status"]
    events = events.assign(is_error=(status == "error").astype(bool), is_crash=(status == "crash").astype(bool))
    users = user_days(events)
    job.done("user-days")
    daily = facts(events, users, job.metadata)
    job.done("facts")
    write(daily, job.out, "fact_feature_metrics")
    write(users, job.out, "user_feature_days")
    write(refused.astype({"file": str}), job.out, "quarantined_events")
    for day, of_day in events.drop(columns=["is_error", "is_crash"]).groupby("event_date"):
        write(of_day, job.out, f"valid_events/event_date={day:%Y-%m-%d}")
    job.done("write")
    print(json.dumps(job.phases))


if __name__ == "__main__":
    main()
