"""What the simulator writes: bytes, files, tables, and dirt that is exactly where the ground truth says."""

import csv
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality_assets.simulate import FileFormat, SimulationPlan, SimulationResult, simulate
from quality_assets.simulate.catalogue import MAX_FEATURES, product_features
from quality_assets.simulate.dirt import ACCEPTED, kinds_in
from quality_assets.simulate.render import EVENT_COLUMNS, Renderer, csv_line, json_line
from quality_assets.simulate.telemetry import build_world, simulate_day
from tests.examples import dear

FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
SMALL = SimulationPlan(days=3, features=12, events_per_day=600, seed=11)
DIRTY = SimulationPlan(days=3, features=12, events_per_day=2500, seed=5, dirt_share=0.1)

Record = tuple[int, dict[str, Any] | None]


def written_bytes(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def csv_records(path: Path) -> Iterator[Record]:
    """Records with the physical line on which each begins; None where the number of columns is wrong."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        assert tuple(next(reader)) == EVENT_COLUMNS
        line = reader.line_num + 1
        for fields in reader:
            values = dict(zip(EVENT_COLUMNS, (field or None for field in fields), strict=False))
            yield line, values if len(fields) == len(EVENT_COLUMNS) else None
            line = reader.line_num + 1


def jsonl_records(path: Path) -> Iterator[Record]:
    for line, text in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], start=1):
        try:
            values = json.loads(text)
        except ValueError:
            yield line, None
            continue
        if isinstance(values["properties"], dict):
            values["properties"] = json.dumps(values["properties"])
        yield line, {key: None if value is None else str(value) for key, value in values.items()}


def parquet_records(path: Path) -> Iterator[Record]:
    for number, values in enumerate(pq.read_table(path).to_pylist(), start=1):
        event_time = values["event_time"] and values["event_time"].isoformat()
        yield (
            number,
            {key: None if value is None else str(value) for key, value in {**values, "event_time": event_time}.items()},
        )


READERS = {"csv": csv_records, "jsonl": jsonl_records, "parquet": parquet_records}


def time_reason(text: str | None, plan: SimulationPlan) -> str | None:
    if not text:
        return "missing_event_time"
    if text.isdigit():
        moment = datetime.fromtimestamp(int(text) / 10 ** (3 * ((len(text) - 10) // 3))).astimezone()
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return "invalid_event_time"
        if moment.tzinfo is None:
            return "invalid_event_time"
    if moment.date() < plan.start_date - timedelta(days=1):
        return "event_time_too_early"
    return "event_time_in_future" if moment.date() > plan.end_date + timedelta(days=1) else None


def latency_reason(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return "invalid_latency"
    if not math.isfinite(value):
        return "non_finite_latency"
    return "negative_latency" if value < 0 else None


def feedback_reason(text: str | None) -> str | None:
    if text is None:
        return None
    if not re.fullmatch(r"-?\d+", text):
        return "invalid_feedback_score"
    return None if 1 <= int(text) <= 5 else "feedback_score_out_of_range"


def properties_reason(text: str | None) -> str | None:
    try:
        return None if text is None or isinstance(json.loads(text), dict) else "invalid_properties"
    except ValueError:
        return "invalid_properties"


def status_reason(text: str | None) -> str | None:
    if text is None:
        return "missing_status"
    return None if text in ("ok", "error", "crash") else "invalid_status"


def reasons(row: dict[str, Any] | None, plan: SimulationPlan, seen: set[str]) -> set[str]:
    """A reference validator, written apart from the product's: every reason why a row is rejected."""
    if row is None:
        return {"malformed_row"}
    if row["event_id"] == "event_id":
        return {"repeated_header"}
    found = {
        time_reason(row["event_time"], plan),
        latency_reason(row["latency_ms"]),
        feedback_reason(row["feedback_score"]),
        properties_reason(row["properties"]),
        status_reason(row["status"]),
        None if (row["feature"] or "").strip() else "missing_feature",
        "nul_byte" if any("\0" in (value or "") for value in row.values()) else None,
        "duplicate_event_id" if row["event_id"] in seen else None,
    }
    if row["event_id"]:
        seen.add(row["event_id"])
    return {reason for reason in found if reason}


@pytest.mark.parametrize("file_format", FORMATS)
def test_same_plan_gives_same_bytes(tmp_path: Path, file_format: FileFormat) -> None:
    for name in ("one", "two"):
        simulate(SMALL, tmp_path / name, format=file_format)
    simulate(replace(SMALL, seed=12), tmp_path / "other", format=file_format)
    assert written_bytes(tmp_path / "one") == written_bytes(tmp_path / "two")
    first_log = f"logs/events-2026-01-01.{file_format}"
    assert (tmp_path / "one" / first_log).read_bytes() != (tmp_path / "other" / first_log).read_bytes()


def test_a_longer_plan_begins_with_the_same_log_files(tmp_path: Path) -> None:
    short = simulate(SMALL, tmp_path / "short", format="csv")
    simulate(replace(SMALL, days=6), tmp_path / "long", format="csv")
    for path in short.log_files:
        assert path.read_bytes() == (tmp_path / "long" / "logs" / path.name).read_bytes()


@pytest.mark.parametrize("file_format", FORMATS)
def test_dirt_is_where_the_truth_says_and_nowhere_else(tmp_path: Path, file_format: FileFormat) -> None:
    result = simulate(DIRTY, tmp_path, format=file_format)
    truth = {(row["file"], int(row["line"])): row for row in read_rows(tmp_path / "dirt.csv")}
    assert {row["kind"] for row in truth.values()} == {kind.name for kind in kinds_in(file_format)}
    seen: set[str] = set()
    rows, found = 0, set()
    for path in result.log_files:
        for line, record in READERS[file_format](path):
            rows += 1
            label = truth.get((path.name, line))
            expected = {ACCEPTED} if label is None else set(label["expected"].split(";"))
            actual = reasons(record, DIRTY, seen) or {ACCEPTED}
            assert actual == expected, (path.name, line, label)
            if label is not None:
                found.add((path.name, line))
                if record is not None and label["kind"] != "repeated_header":
                    assert (record["event_id"] or "") == label["event_id"]
    assert found == set(truth)
    assert (result.rows, result.dirty_rows) == (rows, len(truth))


def test_every_quarantine_reason_is_provoked() -> None:
    provoked = {reason for kind in kinds_in("csv") for reason in kind.expected.split(";")}
    assert provoked == {
        ACCEPTED, "missing_event_time", "invalid_event_time", "event_time_too_early", "event_time_in_future",
        "missing_feature", "invalid_status", "missing_status", "invalid_latency", "negative_latency",
        "non_finite_latency", "invalid_feedback_score", "feedback_score_out_of_range", "invalid_properties",
        "duplicate_event_id", "malformed_row", "nul_byte", "repeated_header",
    }  # fmt: skip


def test_embedded_newlines_shift_the_lines_that_follow(tmp_path: Path) -> None:
    simulate(replace(DIRTY, days=1), tmp_path)
    text = (tmp_path / "logs" / "events-2026-01-01.csv").read_text(encoding="utf-8")
    lines = text.split("\n")
    rows = read_rows(tmp_path / "dirt.csv")
    assert any(row["kind"] == "multiline_properties" for row in rows[: len(rows) // 2])
    for row in rows:
        line = lines[int(row["line"]) - 1]
        assert line.startswith(row["event_id"]), row
        if row["kind"] == "repeated_header":
            assert line == ",".join(EVENT_COLUMNS)
    assert max(len(line) for line in lines) > 3500


def test_all_formats_hold_the_same_events(tmp_path: Path) -> None:
    clean = replace(SMALL, dirt_share=0.0, days=2)
    by_format = []
    for file_format in FORMATS:
        result = simulate(clean, tmp_path / file_format, format=file_format)
        records = [record for path in result.log_files for _, record in READERS[file_format](path)]
        by_format.append([comparable(record) for record in records if record])
    assert by_format[0] == by_format[1] == by_format[2]
    assert len(by_format[0]) > 600


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    latency, properties = record["latency_ms"], record["properties"]
    return {
        **record,
        "event_time": datetime.fromisoformat(record["event_time"]),
        "latency_ms": None if latency is None else float(latency),
        "properties": None if properties is None else json.loads(properties),
    }


def test_a_row_alone_is_rendered_as_in_bulk() -> None:
    world = build_world(SMALL)
    batch, renderer = simulate_day(world, 0), Renderer(world)
    rows = renderer.rows(batch)
    assert [csv_line(row) for row in rows] == renderer.csv_lines(batch).to_pylist()
    assert [json_line(row) for row in rows] == renderer.json_lines(batch).to_pylist()


def test_late_events_lie_in_a_later_file_in_order_of_arrival(tmp_path: Path) -> None:
    plan = replace(SMALL, days=6, events_per_day=4000, dirt_share=0.0, late_share=0.02)
    result = simulate(plan, tmp_path)
    delays = []
    for path in result.log_files:
        file_date = date.fromisoformat(path.stem.removeprefix("events-"))
        times = [row["event_time"] for row in read_rows(path)]
        delays += [(file_date - date.fromisoformat(time[:10])).days for time in times]
        clock = [time[11:] for time in times]
        assert clock == sorted(clock)
    assert set(delays) == {0, 1, 2}
    assert 0.01 < sum(delay > 0 for delay in delays) / len(delays) < 0.03


def test_tables_beside_the_logs(tmp_path: Path) -> None:
    plan = SimulationPlan(days=40, features=25, events_per_day=60, seed=2)
    result = simulate(plan, tmp_path)
    names = {feature.name for feature in product_features(25)}
    described = {row["feature"] for row in read_rows(tmp_path / "feature_metadata.csv")}
    assert described < names
    releases = read_rows(tmp_path / "releases.csv")
    assert {row["platform"] for row in releases} == {"iOS", "Android", "Web"}
    assert all(row["release_date"] <= plan.end_date.isoformat() for row in releases)
    truth = read_rows(tmp_path / "incidents.csv")
    assert [row["incident_id"] for row in truth] == [incident.incident_id for incident in result.incidents]
    assert any(row["end_date"] == "" for row in truth)
    assert {row["feature"] for row in truth} <= names


def test_feature_names() -> None:
    names = [feature.name for feature in product_features(MAX_FEATURES)]
    assert len(set(names)) == MAX_FEATURES >= 2000
    assert any("," in name for name in names[:6])
    assert any(not name.isascii() for name in names[:6])
    assert [feature.name for feature in product_features(30)] == names[:30]


def test_progress_and_no_leftovers(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    simulate(SMALL, tmp_path, on_progress=lambda done, days: calls.append((done, days)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format must be one of csv, jsonl, parquet"):
        simulate(SMALL, tmp_path, format="xml")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"days": 0}, "days must be"),
        ({"features": 0}, "features must be"),
        ({"features": MAX_FEATURES + 1}, "features must be"),
        ({"events_per_day": 0}, "events_per_day must be"),
        ({"events_per_day": 50_000_000}, "events_per_day would reach"),
        ({"seed": -1}, "seed must"),
        ({"dirt_share": 0.6}, "dirt_share must be"),
        ({"dirt_share": float("nan")}, "dirt_share must be"),
        ({"late_share": -0.1}, "late_share must be"),
        ({"growth_per_day": 0.2}, "growth_per_day must be"),
        ({"noise": -1}, "noise must be"),
        ({"incidents_per_feature_quarter": -1}, "incidents_per_feature_quarter must be"),
        ({"healthy_days_at_start": -1}, "healthy_days_at_start must"),
        ({"start_date": date(2097, 12, 31)}, "before 2098"),
        ({"start_date": date(1975, 1, 1)}, "before 1980"),
    ],
)
def test_plan_refuses_impossible_values(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


@settings(max_examples=dear(15), deadline=None)
@given(
    days=st.integers(1, 4),
    features=st.integers(1, 70),
    events_per_day=st.integers(1, 900),
    seed=st.integers(0, 2**63),
    dirt_share=st.sampled_from([0.0, 0.015, 0.5]),
    file_format=st.sampled_from(FORMATS),
)
def test_any_small_plan(
    tmp_path_factory: pytest.TempPathFactory,
    days: int,
    features: int,
    events_per_day: int,
    seed: int,
    dirt_share: float,
    file_format: FileFormat,
) -> None:
    plan = SimulationPlan(
        days=days, features=features, events_per_day=events_per_day, seed=seed, dirt_share=dirt_share,
        incidents=(),
    )  # fmt: skip
    out = tmp_path_factory.mktemp("any")
    result = simulate(plan, out, format=file_format)
    check_counts_and_ids(plan, result, out, file_format)


def check_counts_and_ids(plan: SimulationPlan, result: SimulationResult, out: Path, file_format: str) -> None:
    labels = {(row["file"], int(row["line"])): row for row in read_rows(out / "dirt.csv")}
    ids: list[str] = []
    rows = 0
    for path in result.log_files:
        for line, record in READERS[file_format](path):
            rows += 1
            label = labels.pop((path.name, line), None)
            if record is not None and (label is None or "duplicate" not in label["kind"]):
                ids.append(record["event_id"])
    named = [event_id for event_id in ids if event_id not in (None, "event_id")]
    assert not labels
    assert len(named) == len(set(named))
    assert rows == result.rows
    # Sessions of 6 events on average make the count about 3.3 times as variable as independent events would.
    expected = plan.events_per_day * plan.days
    assert abs(rows - expected) < 5 * 3.3 * math.sqrt(expected) + 0.75 * expected + 40
