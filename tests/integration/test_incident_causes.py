"""What the queries of incident_causes take from events: by value, on a handful of rows."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import duckdb
import pandas as pd
import pytest

from quality_assets.tables.causes import cause_windows, event_rows_sql, judge_windows, volume_days_sql

THROUGH = date(2026, 2, 20)
START = date(2026, 2, 18)


def incident(**changes: Any) -> dict[str, Any]:
    row = {
        "incident_id": "i", "feature": "pay", "event_name": None, "platform": None, "metric": "events",
        "start_date": START, "end_date": None, "features": None,
    }  # fmt: skip
    return row | changes


def event(day: date, number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "event_id": f"{day}-{number}", "event_date": day, "feature": "pay", "event_name": "use",
        "event_time": pd.Timestamp(day) + pd.Timedelta(seconds=number), "user_id": f"u{number}", "session_id": None,
        "status": "ok", "latency_ms": 100.0, "feedback_score": None, "app_version": "1", "platform": "web",
        "country": "DE", "received_at": pd.Timestamp(day) + pd.Timedelta(hours=1), "file_id": "f",
        "line_number": number,
    }  # fmt: skip
    return row | changes


def days_before() -> list[date]:
    return [START - timedelta(days=n) for n in range(2, 16)]


def connection_of(rows: list[dict[str, Any]], refused: list[dict[str, Any]]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    frames = {"events": pd.DataFrame(rows), "refused": pd.DataFrame(refused)}
    for name, frame in frames.items():
        connection.register(f"{name}_frame", frame)
        connection.execute(
            f"create table {name} as select * replace (event_date::date as event_date) from {name}_frame"
        )
    return connection


REFUSED = [
    {
        "event_id": "r1", "event_date": THROUGH, "feature": "pay", "reasons": ["invalid_status"],
        "raw_row": '{"status": "error", "user_id": "u9", "latency_ms": "50"}',
    },
    {
        "event_id": "r2", "event_date": THROUGH, "feature": "pay", "reasons": ["duplicate_event_id"], "raw_row": "{}",
    },
]  # fmt: skip


def asked(connection: duckdb.DuckDBPyConnection, sql: str, **more: Any) -> pd.DataFrame:
    windows = cause_windows([incident()], THROUGH)
    bounds = {"from_date": windows["before_from"].min(), "to_date": windows["now_to"].max()}
    return connection.execute(sql, bounds | more).df()


def test_windows_are_a_fortnight_before_and_the_last_days_of_each_feature() -> None:
    (window,) = cause_windows([incident()], THROUGH).to_dict("records")
    assert (window["before_from"], window["before_to"]) == (date(2026, 2, 3), date(2026, 2, 16))
    assert (window["now_from"], window["now_to"]) == (START, THROUGH)
    old = cause_windows([incident(start_date=date(2026, 1, 1), features=["a", "b"])], THROUGH)
    assert old["feature"].tolist() == ["a", "b"]
    assert old["now_from"].tolist() == [date(2026, 2, 7)] * 2


def test_a_fall_is_taken_apart_by_what_came_twice_late_and_not() -> None:
    rows = [event(day, number) for day in days_before() for number in range(10)]
    rows += [event(day, 0) for day in (START, START + timedelta(days=1))]
    # The same row with another id, and one that came two days later.
    rows += [event(THROUGH, 0), event(THROUGH, 0, event_id="again", line_number=9)]
    rows += [event(THROUGH, 5, received_at=pd.Timestamp(THROUGH) + pd.Timedelta(days=2))]
    connection = connection_of(rows, REFUSED)
    windows = cause_windows([incident()], THROUGH)
    connection.register("cause_windows", windows.astype({"event_name": "string", "platform": "string"}))
    days = asked(connection, volume_days_sql("events", "refused"))
    assert days["events"].tolist() == [10] * 14 + [1, 1, 3]
    last = days.iloc[-1]
    assert (last["repeated"], last["late"], last["quarantined"], bool(last["is_now"])) == (1, 1, 1, True)
    assert days["weekday"].tolist()[-1] == THROUGH.isoweekday()
    connection.unregister("cause_windows")
    verdict = judge_windows(connection, [incident()], windows, "events", "refused", {})["i"]
    sizes = {part.name: part.size for part in verdict.parts}
    assert verdict.change == pytest.approx(5 / 3 - 10)
    assert sum(sizes.values()) == pytest.approx(verdict.change)
    assert sizes["quarantined_rows"] == pytest.approx(-1 / 3)
    assert verdict.verdict == "real"


def test_rows_carry_value_user_mix_and_flags() -> None:
    rows = [event(day, number, status="error" if number == 0 else "ok") for day in days_before() for number in range(4)]
    rows += [event(THROUGH, number, status="error", app_version="2") for number in range(4)]
    connection = connection_of(rows, REFUSED)
    windows = cause_windows([incident(metric="error_rate")], THROUGH)
    connection.register("cause_windows", windows.astype({"event_name": "string", "platform": "string"}))
    found = asked(connection, event_rows_sql("events", "refused"), most=1_000)
    now = found[found["is_now"]]
    assert len(found[~found["is_now"]]) == 56
    assert found.loc[~found["is_now"], "value"].sum() == 14
    assert now.loc[~now["is_quarantined"], "value"].tolist() == [1.0] * 4
    assert now.loc[~now["is_quarantined"], "is_new_version"].all()
    assert not found.loc[~found["is_now"], "is_new_version"].any()
    refused = now[now["is_quarantined"]]
    assert (refused["user_id"].tolist(), refused["value"].tolist()) == (["u9"], [1.0])
    assert len(asked(connection, event_rows_sql("events", "refused"), most=3)) == 6
