"""Which rows become events, which go to quarantine and why, and what the user days are, against plain Python."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from itertools import count
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quality_assets.contracts.events import EVENT_COLUMN_NAMES
from quality_assets.domain.events.tables import (
    ID_HASH,
    IS_REPEATED,
    REPEATED,
    later_copies_sql,
    quarantine_sql,
    user_feature_days_sql,
)
from quality_assets.settings import Settings
from quality_assets.stores.repeats import find_repeated
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables import events as event_tables
from quality_assets.tables.events import build_events
from tests.examples import dear

CONNECTION = duckdb.connect(config={"threads": 1})
DAYS = (date(2026, 1, 1), date(2026, 1, 2))
IDS = ["a", "b", 'ä, "b"']
Row = dict[str, Any]


def relation(name: str, rows: Sequence[Row], **types: pa.DataType) -> str:
    """The rows as a relation of DuckDB."""
    CONNECTION.register(name, pa.Table.from_pylist(list(rows), pa.schema(list(types.items()))))
    return name


places = st.tuples(st.sampled_from(DAYS), st.sampled_from(IDS))


@given(st.lists(places, max_size=20))
def test_repeated_ids_are_those_that_occur_twice_on_one_date(rows: list[tuple[date, str]]) -> None:
    source = relation(
        "rows", [{"event_date": d, "event_id": i} for d, i in rows], event_date=pa.date32(), event_id=pa.string()
    )
    find_repeated(CONNECTION, source)
    found = CONNECTION.execute(f"select distinct event_date, event_id from {source} where {IS_REPEATED}").fetchall()
    assert sorted(found) == sorted(key for key, n in Counter(rows).items() if n > 1)


@given(rows=st.lists(places, max_size=20), shuffled=st.randoms(use_true_random=False))
def test_later_copies_are_all_but_the_first_by_the_given_order(rows: list[tuple[date, str]], shuffled: Any) -> None:
    table = [
        {"event_date": d, "event_id": i, "file_id": f"f{n % 3}", "line_number": n} for n, (d, i) in enumerate(rows)
    ]
    stored = shuffled.sample(table, len(table))
    types = {"event_date": pa.date32(), "event_id": pa.string(), "file_id": pa.string(), "line_number": pa.int64()}
    source = relation("rows", stored, **types)
    later_copies = later_copies_sql(source, "file_id, line_number", "line_number")
    find_repeated(CONNECTION, source)
    found = CONNECTION.execute(later_copies).fetchall()
    # Whatever else has the same hash is told apart by the text.
    CONNECTION.execute(f"create or replace temp table {REPEATED} as select {ID_HASH} as id_hash from {source}")
    assert sorted(CONNECTION.execute(later_copies).fetchall()) == sorted(found)
    seen: set[tuple[date, str]] = set()
    later = []
    for row in table:
        key = (row["event_date"], row["event_id"])
        if key in seen:
            later.append((row["event_date"], row["file_id"], row["line_number"]))
        seen.add(key)
    assert sorted(found) == sorted(later)


def test_a_refused_row_is_called_a_duplicate_only_beside_an_event_that_was_kept() -> None:
    refused = [
        {"event_id": "kept", "line_number": 2, "reasons": None, "raw_row": '{"r": 2}'},
        {"event_id": "kept", "line_number": 3, "reasons": ["invalid_status"], "raw_row": '{"r": 3}'},
        {"event_id": "lost", "line_number": 4, "reasons": ["invalid_status"], "raw_row": '{"r": 4}'},
        {"event_id": None, "line_number": 5, "reasons": ["malformed_row"], "raw_row": '{"r": 5}'},
    ]
    shared = {"event_date": DAYS[0], "file_id": "f", "event_time": None, "feature": "search"}
    types = {"event_date": pa.date32(), "file_id": pa.string(), "line_number": pa.int64(), "event_id": pa.string()}
    types |= {"event_time": pa.timestamp("us"), "feature": pa.string()}
    raw = relation(
        "refused", [shared | r for r in refused], **types, reasons=pa.list_(pa.string()), raw_row=pa.string()
    )
    rest = {name: pa.string() for name in EVENT_COLUMN_NAMES if name not in types}
    copies = relation("copies", [shared | {"event_id": "kept", "line_number": 6}], **types, **rest)
    kept = relation("kept", [shared | {"event_id": "kept", "line_number": 1}], **types, **rest)
    rows = CONNECTION.execute(quarantine_sql(raw, copies, kept)).fetchall()
    assert [(row[2], row[6]) for row in rows] == [
        (2, ["duplicate_event_id"]),
        (3, ["invalid_status", "duplicate_event_id"]),
        (4, ["invalid_status"]),
        (5, ["malformed_row"]),
        (6, ["duplicate_event_id"]),
    ]
    assert rows[0][7] == '{"r": 2}'
    assert '"event_id":"kept"' in rows[4][7]


user_events = st.fixed_dictionaries(
    {
        "event_date": st.sampled_from(DAYS),
        "feature": st.sampled_from(["Search", "検索"]),
        "user_id": st.one_of(st.none(), st.sampled_from(["u1", "u2", ""])),
        "status": st.sampled_from(["ok", "error", "crash"]),
    }
)


@given(st.lists(user_events, max_size=20))
def test_user_days_count_what_each_known_user_did_and_what_went_wrong(rows: list[Row]) -> None:
    types = {"event_date": pa.date32(), "feature": pa.string(), "user_id": pa.string(), "status": pa.string()}
    found = CONNECTION.execute(user_feature_days_sql(relation("rows", rows, **types))).fetchall()
    known = [row for row in rows if row["user_id"] is not None]
    keys = {(row["event_date"], row["feature"], row["user_id"]) for row in known}

    def counted(key: tuple[Any, ...], *statuses: str) -> int:
        return sum(
            (row["event_date"], row["feature"], row["user_id"]) == key and row["status"] in statuses for row in known
        )

    wanted = [(*k, counted(k, "ok", "error", "crash"), counted(k, "error"), counted(k, "crash")) for k in keys]
    assert sorted(found) == sorted(wanted)


# --- Through ingestion: whatever the split of rows into files and loads -----------------------------------------------

HEADER = ("event_id", "event_time", "feature", "status", "latency_ms", "app_version")
OWN_REASONS = {"ok": (), "maybe": ("invalid_status",), "": ("missing_status",)}
rows_of_a_file = st.lists(
    st.fixed_dictionaries(
        {
            "event_id": st.sampled_from([*IDS, "c", ""]),
            "day": st.sampled_from([0, 1]),
            "status": st.sampled_from(["ok", "ok", "ok", "maybe", ""]),
            "latency_ms": st.sampled_from(["12.5", "-1"]),
        }
    ),
    min_size=1,
    max_size=5,
)
loads_of_files = st.lists(st.lists(rows_of_a_file, min_size=1, max_size=2), min_size=1, max_size=4)
_dates = (date(2026, 1, 1) + timedelta(days=2 * n) for n in count())
_names = count(1)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseSession]:
    """One warehouse for all examples: each has dates of its own."""
    root = tmp_path_factory.mktemp("loads") / "data"
    with open_warehouse(Settings(data_dir=root, file_stable_s=0, threads=2, _env_file=None)) as opened:  # type: ignore[call-arg]
        yield opened


def csv_of(rows: Sequence[Row], first_date: date, name: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for row in rows:
        time = f"{first_date + timedelta(days=row['day'])}T10:00:00Z"
        writer.writerow([row["event_id"], time, "Search", row["status"], row["latency_ms"], name])
    return text.getvalue()


def outcome_of(files: Sequence[tuple[str, Sequence[Row]]]) -> dict[tuple[str, int], tuple[str, ...] | None]:
    """Per file and line, in order of arrival: None where the row is an event, else its reasons."""
    good = [
        (name, line, row)
        for name, rows in files
        for line, row in enumerate(rows, start=2)
        if row["status"] == "ok" and row["latency_ms"] != "-1"
    ]
    first: dict[tuple[int, str], tuple[str, int]] = {}
    for name, line, row in good:
        first.setdefault((row["day"], row["event_id"] or f"{name}-{line}"), (name, line))
    outcome: dict[tuple[str, int], tuple[str, ...] | None] = {}
    for name, rows in files:
        for line, row in enumerate(rows, start=2):
            reasons = OWN_REASONS[row["status"]] + (("negative_latency",) if row["latency_ms"] == "-1" else ())
            winner = first.get((row["day"], row["event_id"] or f"{name}-{line}"))
            if winner not in (None, (name, line)):
                reasons += ("duplicate_event_id",)
            outcome[name, line] = reasons or None
    return outcome


@settings(max_examples=dear(15), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(loads=loads_of_files, max_files_a_day=st.sampled_from([0, 8]), build_between=st.booleans())
def test_every_row_is_an_event_or_quarantined_and_the_first_good_copy_to_arrive_wins(
    session: WarehouseSession,
    ingest_all: Callable[[WarehouseSession], Any],
    monkeypatch: pytest.MonkeyPatch,
    loads: list[list[list[Row]]],
    max_files_a_day: int,
    build_between: bool,
) -> None:
    monkeypatch.setattr(event_tables, "MAX_FILES_A_DAY", max_files_a_day)
    first_date = next(_dates)
    last_date = first_date + timedelta(days=1)
    landing = session.settings.landing_dir
    landing.mkdir(parents=True, exist_ok=True)
    files: list[tuple[str, Sequence[Row]]] = []
    for load in loads:
        for rows in load:
            name = f"{next(_names):06d}"
            (landing / f"{name}.csv").write_text(csv_of(rows, first_date, name), encoding="utf-8")
            files.append((name, rows))
        assert len(ingest_all(session).loaded) == len(load)
        if build_between:
            build_events(session, first_date, last_date)
    built = build_events(session, first_date, last_date)
    places = dict(session.connection.execute("select file_id, path[:6] from raw.log_files").fetchall())
    span = {"first": first_date, "last": last_date}
    kept = session.connection.execute(
        "select file_id, line_number, event_date, event_id from core.valid_events"
        " where event_date between $first and $last",
        span,
    ).fetchall()
    refused = session.connection.execute(
        "select file_id, line_number, reasons from core.quarantined_events where event_date between $first and $last",
        span,
    ).fetchall()
    found = {(places[f], line): None for f, line, _, _ in kept} | {(places[f], n): tuple(r) for f, n, r in refused}
    assert len(kept) + len(refused) == len(found) == sum(len(rows) for _, rows in files)
    assert len({(day, event_id) for _, _, day, event_id in kept}) == len(kept)
    assert found == outcome_of(files)
    counted = {table: sum(days.values()) for table, days in built.items()}
    assert counted == {"core.valid_events": len(kept), "core.quarantined_events": len(refused)}
