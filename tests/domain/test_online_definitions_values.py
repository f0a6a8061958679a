"""A small file of online features by hand: its SQL, what it gives live and offline, versions, lineage, faults."""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest

from quality_assets.domain.live.compiler import (
    aggregate_sql,
    lake_events_sql,
    merged_tiles_sql,
    offline_sql,
    partial_tiles_sql,
    read_sql,
    segments_sql,
    tile_types,
    tiles_ddl,
    upsert_sql,
)
from quality_assets.domain.live.describing import Lineage, features_page, lineage
from quality_assets.domain.live.expressions import (
    DUCKDB,
    POSTGRESQL,
    SPARK,
    SQLITE,
    Dialect,
    ExpressionError,
    names_of,
    sql_of,
)
from quality_assets.domain.live.feature_set import EVENT_FIELDS, FeatureSet

SAID: dict[str, Any] = {
    "tile_minutes": 5,
    "windows": {"5m": 1, "15m": 3},
    "aggregates": {
        "events": {"count": "True", "description": "every event"},
        "bad": {"count": "status != 'ok'", "description": "what went wrong"},
        "spent": {"sum": "latency_us", "where": "event_name == 'buy'", "description": "µs of purchases"},
        "seen": {"max": "event_us", "description": "the last instant"},
        "device": {"latest": "device_type", "where": "device_type is not None", "description": "the last device"},
        "place": {"latest": "country", "description": "the last country"},
    },
    "features": [
        {"name": "n", "type": "integer", "kind": "aggregation", "expression": "events_15m", "unit": "events",
         "description": "How many"},
        {"name": "failed", "type": "number", "kind": "ratio", "expression": "ratio(bad_5m, events_5m)",
         "description": "Share that failed"},
        {"name": "ms", "type": "number", "kind": "composite", "expression": "spent_5m / 1000", "description": "Spent"},
        {"name": "last", "type": "text", "kind": "categorical", "expression": "device_15m", "description": "Device"},
        {"name": "ago", "type": "number", "kind": "temporal", "expression": "seconds_since(seen_15m)",
         "description": "Since"},
        {"name": "n", "version": 2, "type": "integer", "kind": "aggregation", "expression": "events_5m",
         "description": "How many lately"},
        {"name": "land", "version": 2, "type": "text", "kind": "categorical", "expression": "place_5m",
         "description": "Where"},
        {"name": "hour", "version": 3, "type": "integer", "kind": "temporal", "expression": "hour()",
         "description": "Hour"},
    ],
    "segments": {
        "busy": {"condition": "n >= 3", "description": "Busy"},
        "lately": {"version": 2, "condition": "n >= 3 and last == 'tv'", "description": "Busy lately"},
        "late": {"version": 2, "condition": "n < 1", "description": "Gone"},
    },
}  # fmt: skip
FEATURES = FeatureSet.model_validate(SAID)
TILE_US = 300_000_000


def test_what_a_file_says_of_itself() -> None:
    assert (FEATURES.tile_us, FEATURES.most_tiles, FEATURES.versions) == (TILE_US, 3, (1, 2, 3))
    described = {version: [each.description for each in FEATURES.view(version)] for version in (0, 1, 2, 3, 9)}
    one = ["How many", "Share that failed", "Spent", "Device", "Since"]
    two = ["How many lately", *one[1:], "Where"]
    assert described == {0: [], 1: one, 2: two, 3: [*two, "Hour"], 9: [*two, "Hour"]}
    assert FEATURES.windowed(1) == ("events_15m", "bad_5m", "events_5m", "spent_5m", "device_15m", "seen_15m")
    assert FEATURES.windowed(2) == ("events_5m", "bad_5m", "spent_5m", "device_15m", "seen_15m", "place_5m")
    assert FEATURES.split("a_b_15m") == ("a_b", "15m")
    kinds = [(each.kind, each.measured) for each in FEATURES.aggregates.values()]
    assert kinds == [
        ("count", "True"), ("count", "status != 'ok'"), ("sum", "latency_us"), ("max", "event_us"),
        ("latest", "device_type"), ("latest", "country"),
    ]  # fmt: skip


def test_a_version_means_what_its_features_are_made_of() -> None:
    def changed(version: int, **change: Any) -> bool:
        return FeatureSet.model_validate(SAID | change).fingerprint(version) != FEATURES.fingerprint(version)

    aggregates = SAID["aggregates"]
    assert len(FEATURES.fingerprint(1)) == 16
    assert len({FEATURES.fingerprint(version) for version in (1, 2, 3)}) == 3
    assert not changed(1)
    assert changed(1, tile_minutes=6)
    assert changed(1, windows={"5m": 2, "15m": 3})
    # What is only said, and what this version does not use, is not of its meaning.
    assert not changed(1, aggregates=aggregates | {"bad": aggregates["bad"] | {"description": "other"}})
    assert changed(1, aggregates=aggregates | {"bad": {"count": "status == 'crash'", "description": "d"}})
    assert not changed(1, aggregates=aggregates | {"place": {"latest": "platform", "description": "d"}})
    assert changed(2, aggregates=aggregates | {"place": {"latest": "platform", "description": "d"}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"aggregates": {"a": {"count": "True", "sum": "latency_us", "description": "d"}}},
         "needs exactly one of count, sum, max, latest, not count, sum"),
        ({"aggregates": {"a": {"description": "d"}}}, "needs exactly one of count, sum, max, latest, not none"),
        ({"aggregates": {"a": {"count": "True", "where": "status == 'ok'", "description": "d"}}},
         "count is a condition already; where has no meaning beside it"),
        ({"aggregates": {"a": {"max": "event_us", "where": "b == a", "description": "d"}}},
         "a, b is not one of event_name, status, device_type, latency_us, event_us, feature, platform, country"),
        ({"features": [SAID["features"][0], SAID["features"][0]]}, "n: version 1 is there twice"),
        ({"features": [SAID["features"][0] | {"expression": "b_5m + a_5m"}]},
         "n: a_5m, b_5m is no aggregate with a window behind it"),
        ({"segments": {"s": {"condition": "land == 'DE' and x > 1", "description": "d"}}},
         "s: land, x is no feature of version 1"),
    ],
)  # fmt: skip
def test_faults_of_a_file_in_words(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"Value error, {words} "):
        FeatureSet.model_validate(SAID | change)


def test_smallest_and_largest_numbers_of_a_file() -> None:
    for change in ({"tile_minutes": 1}, {"tile_minutes": 60}, {"windows": {"5m": 1, "15m": 1}}):
        FeatureSet.model_validate(SAID | change)
    for wrong in ({"tile_minutes": 0}, {"tile_minutes": 61}, {"windows": {"5m": 0, "15m": 1}}):
        with pytest.raises(ValueError, match="should be"):
            FeatureSet.model_validate(SAID | wrong)
    for name in ("features", "segments"):
        first = SAID["features"][0] if name == "features" else SAID["segments"]["busy"]
        made = [first | {"version": 0}] if name == "features" else {"s": first | {"version": 0}}
        with pytest.raises(ValueError, match="greater than or equal to 1"):
            FeatureSet.model_validate(SAID | {name: made})


# --- Expressions ------------------------------------------------------------------------------------------------------

AS_OF = datetime(2026, 3, 4, 23, 59, 59, 500_000, UTC)  # a Wednesday
AS_OF_US = int(AS_OF.timestamp()) * 1_000_000 + 500_000


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("a + 1", "(a + 1)"),
        ("a - b * 2", "(a - (b * 2))"),
        ("a / 2", "(cast(a as double) / nullif(cast(2 as double), 0))"),
        ("1.5", "cast(1.5 as double)"),
        ("-a", "(-a)"),
        ("not a", "(not a)"),
        ("a == 'x'", "(a = 'x')"),
        ('a != "it\'s"', "(a <> 'it''s')"),
        ("a < 1 and b <= 2 and c > 3", "((a < 1) and (b <= 2) and (c > 3))"),
        ("a >= 1 or True", "((a >= 1) or true)"),
        ("False", "false"),
        ("a is None", "(a is null)"),
        ("a is not None", "(a is not null)"),
        ("a in ('x', 'y')", "(a in ('x', 'y'))"),
        ("1 if a else None", "case when a then 1 else null end"),
        ("clamp(a, 0, 9)", "case when a < 0 then 0 when a > 9 then 9 else a end"),
        ("seconds_since(a)", "(cast(as_of_us - a as double) / 1000000)"),
        ("ab('s')", "case when substr(md5('s' || '.' || user_id), 1, 8) < '80000000' then 'A' else 'B' end"),
    ],
)
def test_each_form_as_sql(text: str, sql: str) -> None:
    assert sql_of(text, DUCKDB) == sql


def test_names_are_columns_and_not_functions() -> None:
    assert names_of("ratio(a_5m, b) + hour() - c") == {"a_5m", "b", "c"}
    assert sql_of("a + b", SQLITE, {"a": "t.x"}) == "(t.x + b)"
    assert sql_of("hour()", POSTGRESQL).startswith("(mod(cast(floor(")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a +", r"'a \+' is no expression: "),
        ("a ** 2", r"Pow in 'a \*\* 2' is not known here"),
        ("a.b", r"'a\.b' in 'a\.b' is not known here"),
        ("b'x'", "b'x' in \"b'x'\" is neither a number nor a text"),
        ("a < b < c", "'a < b < c': one comparison at a time"),
        ("sqrt(a)", r"'sqrt\(a\)': there are ratio, clamp, seconds_since, hour, weekday, ab"),
        ("ratio(above=a, below=b)", r"'ratio\(above=a, below=b\)': there are ratio"),
        ("a in b", "In in 'a in b' is not known here"),
    ],
)
def test_what_is_not_known_is_quoted(text: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=f"^{words}"):
        sql_of(text, DUCKDB)


@pytest.mark.parametrize("dialect", [DUCKDB, SQLITE], ids=["duckdb", "sqlite"])
def test_hours_weekdays_and_quotients_by_value(dialect: Dialect) -> None:
    asked = ["hour()", "weekday()", "ratio(7, 2)", "ratio(7, 0)", "clamp(10, 0, 9)", "clamp(-1, 0, 9)",
             "clamp(9, 0, 9)", "seconds_since(1)"]  # fmt: skip
    select = ", ".join(sql_of(text, dialect) for text in asked)

    def values(as_of_us: int) -> list[Any]:
        query = f"select {select} from (select {as_of_us} as as_of_us)"
        if dialect is DUCKDB:
            with duckdb.connect() as connection:
                return list(connection.execute(query).fetchall()[0])
        state = sqlite3.connect(":memory:")
        # As the store of the collector has it, whatever this SQLite was built with.
        state.create_function("floor", 1, lambda value: float(int(value // 1)))
        found = list(state.execute(query).fetchall()[0])
        state.close()
        return found

    assert values(AS_OF_US)[:7] == [23, 2, 3.5, None, 9, 0, 9]
    assert values(AS_OF_US + 500_000)[:2] == [0, 3]
    # The first of January 1970 was a Thursday, and Monday follows Sunday.
    assert values(0)[:2] == [0, 3]
    assert values(3_600_000_000)[:2] == [1, 3]
    assert [values(day * 86_400_000_000)[1] for day in range(3, 6)] == [6, 0, 1]
    assert values(2_500_001)[7] == 2.5


def test_arms_by_the_first_digit_of_a_hash() -> None:
    arm = sql_of("ab('s')", DUCKDB)
    query = f"select user_id, {arm} from (select unnest(range(40))::varchar as user_id)"
    with duckdb.connect() as connection:
        found = dict(connection.execute(query).fetchall())
    wanted = {
        str(n): "A" if hashlib.md5(f"s.{n}".encode(), usedforsecurity=False).hexdigest()[0] < "8" else "B"
        for n in range(40)
    }
    assert found == wanted
    assert set(wanted.values()) == {"A", "B"}


# --- The compiler -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "condition", "sql"),
    [
        ("events", "", "count(*)"),
        ("events", "x", "count(case when x then 1 end)"),
        ("bad", "", "count(case when (status <> 'ok') then 1 end)"),
        ("bad", "x", "count(case when x and (status <> 'ok') then 1 end)"),
        ("spent", "x", "sum(case when x and (event_name = 'buy') then latency_us end)"),
        ("seen", "", "max(event_us)"),
        ("seen", "x", "max(case when x then event_us end)"),
        ("place", "", "max(cast(event_us as varchar) || '|' || country)"),
        ("device", "", "max((case when (device_type is not null) then cast(event_us as varchar) || '|' || device_type"
                       " end))"),
    ],
)  # fmt: skip
def test_an_aggregate_over_events(name: str, condition: str, sql: str) -> None:
    assert aggregate_sql(FEATURES.aggregates[name], DUCKDB, condition) == sql


def test_tables_of_tiles() -> None:
    big = dict.fromkeys(("events", "bad", "spent", "seen"), "bigint")
    assert tile_types(FEATURES, SQLITE) == big | {"device": "text", "place": "text"}
    made = "create table if not exists tiles (user_id text not null, tile bigint not null, events bigint, bad bigint,"
    made += " spent bigint, seen bigint, device text, place text, primary key (user_id, tile))"
    assert tiles_ddl(FEATURES, SQLITE) == f"{made} without rowid"
    assert tiles_ddl(FEATURES, POSTGRESQL) == made.replace(" text", ' text collate "C"')
    for dialect in (DUCKDB, SPARK):
        with pytest.raises(AssertionError, match="only these hold tiles"):
            upsert_sql(FEATURES, dialect, "e where true")


NOW_US = 6_000_000 * TILE_US + 60_000_000
FIELDS = ("user_id", "event_us", "received_us", *(name for name in EVENT_FIELDS if name != "event_us"))


def _event(user: str | None, tiles_ago: int, **more: Any) -> dict[str, Any]:
    """An event of the first second of a tile, received then."""
    us = NOW_US // TILE_US * TILE_US - tiles_ago * TILE_US + 1_000_000
    known = dict.fromkeys(FIELDS) | {"user_id": user, "event_us": us, "received_us": us, "status": "ok"}
    return known | more


# Ada's: one before all windows, one at the far end of each, one now; and one of tomorrow's tile.
EVENTS = [
    _event("ada", 4, device_type="old", country="XX", status="error"),
    _event("ada", 3, device_type="tv", country="DE", event_name="buy", latency_us=7000),
    _event("ada", 2, device_type="pc", status="crash"),
    _event("ada", 1, event_name="buy", latency_us=1500, status="error"),
    _event("ada", 0, event_name="see", latency_us=999_999),
    _event("ada", -1, device_type="new", country="YY", event_name="buy", latency_us=1),
    _event("bob", 2, device_type="tv", country="AT"),
    _event(None, 0),
]
NOTHING = {"failed": None, "ms": 0.0, "last": None, "ago": None}
# Of the two tiles of the short window one event of two failed, and one was a purchase of 1.5 ms.
ADA = {"n": 4, "failed": 0.5, "ms": 1.5, "last": "pc", "ago": 59.0}
BOB = NOTHING | {"n": 1, "last": "tv", "ago": 659.0}


def _values(events: list[dict[str, Any]]) -> str:
    def told(value: Any) -> str:
        return "null" if value is None else f"'{value}'" if isinstance(value, str) else str(value)

    rows = ", ".join(f"({', '.join(told(event[name]) for name in FIELDS)})" for event in events)
    return f"(values {rows})"


def _offline(version: int, asked: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
    requests = ", ".join(f"('{user}', {as_of}, {visible})" for user, as_of, visible in asked)
    with duckdb.connect() as connection:
        connection.execute(f"create table e as select * from {_values(EVENTS)} as v({', '.join(FIELDS)})")
        connection.execute(f"create table r as select * from (values {requests}) as v(user_id, as_of_us, visible_us)")
        cursor = connection.execute(f"{offline_sql(FEATURES, version, 'r', 'e')} order by all")
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_offline_by_hand() -> None:
    asked = [(user, NOW_US, NOW_US) for user in ("ada", "bob", "nobody", "ada")]
    at = {"as_of_us": NOW_US, "visible_us": NOW_US}
    assert _offline(1, asked) == [
        {"user_id": "ada", **at} | ADA,
        {"user_id": "bob", **at} | BOB,
        {"user_id": "nobody", **at, "n": 0} | NOTHING,
    ]
    (two,) = _offline(2, [("ada", NOW_US, NOW_US)])
    assert two == {"user_id": "ada", **at} | ADA | {"n": 2, "land": None}


def test_what_was_received_at_the_very_instant_was_known() -> None:
    last_us = EVENTS[4]["received_us"]
    known, unknown = _offline(1, [("ada", NOW_US, last_us), ("ada", NOW_US, last_us - 1)])[::-1]
    assert (known["n"], known["ago"], known["visible_us"]) == (4, 59.0, last_us)
    assert (unknown["n"], unknown["ago"], unknown["failed"]) == (3, 359.0, 1.0)


def _live(version: int, batches: list[list[dict[str, Any]]], user: str, query: str = "read") -> dict[str, Any]:
    state = sqlite3.connect(":memory:")
    state.row_factory = sqlite3.Row
    state.execute(tiles_ddl(FEATURES, SQLITE))
    names = ", ".join(f"column{n + 1} as {name}" for n, name in enumerate(FIELDS))
    for events in batches:
        tiled = f"(select {names}, column2 / {TILE_US} as tile from {_values(events)})"
        state.execute(upsert_sql(FEATURES, SQLITE, f"{tiled} where true"))
    asked = {"user_id": user, "tile": NOW_US // TILE_US, "as_of_us": NOW_US}
    sql = read_sql if query == "read" else segments_sql
    found = dict(state.execute(sql(FEATURES, version, SQLITE), asked).fetchall()[0])
    state.close()
    return found


@pytest.mark.parametrize("batches", [[EVENTS], [[event] for event in EVENTS], [EVENTS[4:], EVENTS[:4][::-1]]])
def test_live_it_is_the_same_in_whatever_parts_they_came(batches: list[list[dict[str, Any]]]) -> None:
    assert _live(1, batches, "ada") == ADA
    assert _live(1, batches, "bob") == BOB
    assert _live(1, batches, "nobody") == NOTHING | {"n": 0}
    assert _live(2, batches, "ada") == ADA | {"n": 2, "land": None}


def test_a_tile_adds_up_and_keeps_the_latest() -> None:
    more = [
        _event("ada", 0, event_us=NOW_US - 5_000_000, device_type="b", event_name="buy", latency_us=2000),
        _event("ada", 0, event_us=NOW_US - 9_000_000, device_type="c", event_name="buy", latency_us=500),
    ]
    wanted = {"n": 3, "failed": 0.0, "ms": 2.5, "last": "b", "ago": 5.0}
    seen = [_event("ada", 0)]
    for batches in ([more, seen], [seen, more[:1], more[1:]], [more[1:], seen, more[:1]], [[*more, *seen]]):
        assert _live(1, batches, "ada") == wanted


def test_segments_of_a_version() -> None:
    assert _live(1, [EVENTS], "ada", "segments") == {"busy": 1}
    assert _live(2, [EVENTS], "ada", "segments") == {"lately": 0, "late": 0}
    assert _live(1, [EVENTS], "bob", "segments") == {"busy": 0}
    assert _live(2, [EVENTS], "bob", "segments") == {"lately": 0, "late": 1}


def test_partial_tiles_add_up_to_those_of_all_events() -> None:
    with duckdb.connect() as connection:
        for name, events in (("a", EVENTS[::2]), ("b", EVENTS[1::2]), ("whole", [*EVENTS, EVENTS[1]])):
            connection.execute(f"create table {name} as select * from {_values(events)} as v({', '.join(FIELDS)})")
        parts = " union all ".join(partial_tiles_sql(FEATURES, name, DUCKDB) for name in ("a", "b"))
        again = f"({parts} union all {partial_tiles_sql(FEATURES, '(select * from b limit 1)', DUCKDB)})"
        merged = connection.execute(f"{merged_tiles_sql(FEATURES, again)} order by user_id, tile").fetchall()
        whole = connection.execute(f"{partial_tiles_sql(FEATURES, 'whole', DUCKDB)} order by user_id, tile").fetchall()
    now = NOW_US // TILE_US
    assert merged == whole
    us = EVENTS[1]["event_us"]
    assert merged[1] == ("ada", now - 3, 2, 0, 14_000, us, f"{us}|tv", f"{us}|DE")
    assert [row[:5] for row in merged if row[1] in (now, now + 1)] == [
        ("ada", now, 1, 0, None),
        ("ada", now + 1, 1, 0, 1),
    ]


def test_events_of_the_lake_with_latencies_to_the_microsecond() -> None:
    rows = [
        ("2026-03-04 12:00:00.000001", None, 0.0004, "'ok'"),
        ("2026-03-04 12:00:00", "2026-03-04 12:00:01", 0.0005, "null"),
    ]
    with duckdb.connect() as connection:
        for at, received, latency, status in rows:
            told = f"timestamp '{received}'" if received else "cast(null as timestamp)"
            connection.execute(
                ("create table e as" if at == rows[0][0] else "insert into e by name")
                + f" select 'u' as user_id, timestamp '{at}' as event_time, {told} as received_at, 'n' as event_name,"
                f" {status}::varchar as status, 'd' as device_type, 'f' as feature, 'p' as platform, 'c' as country,"
                f" {latency}::double as latency_ms"
            )
        cursor = connection.execute(f"select * from {lake_events_sql('e')} order by event_us")
        names = [column[0] for column in cursor.description or ()]
        found = cursor.fetchall()
    noon = int(datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()) * 1_000_000
    assert names == [
        "user_id", "event_us", "received_us", "event_name", "status", "device_type", "feature", "platform", "country",
        "latency_us",
    ]  # fmt: skip
    assert found == [
        ("u", noon, noon + 1_000_000, "n", None, "d", "f", "p", "c", 1),
        ("u", noon + 1, noon + 1, "n", "ok", "d", "f", "p", "c", 0),
    ]
    assert "unix_micros(cast(event_time as timestamp)) as event_us" in lake_events_sql("e", SPARK)


# --- In words ---------------------------------------------------------------------------------------------------------


def test_what_a_feature_comes_from() -> None:
    by_name = {(each.name, each.version): lineage(FEATURES, each) for each in FEATURES.features}
    assert by_name["n", 1] == Lineage(("events_15m",), ("events",), ())
    assert by_name["failed", 1] == Lineage(("bad_5m", "events_5m"), ("bad", "events"), ("status",))
    assert by_name["ms", 1] == Lineage(("spent_5m",), ("spent",), ("latency_us", "event_name"))
    assert by_name["hour", 3] == Lineage((), (), ())


def test_the_page_of_features_line_by_line() -> None:
    assert features_page(FEATURES) == "\n".join(
        [
            "# Online features",
            "",
            "Made from `data/features.yaml` by `python docs/made.py`; a test compares. Windows are tiles of 5 minutes"
            " of the event's own time: the current one and 1 before it (5m), 3 before it (15m). What is over nothing"
            " is null.",
            "",
            "| Feature | Version | Type | Kind | Meaning | Made from |",
            "|---|---|---|---|---|---|",
            "| `n` | 1 | integer, events | aggregation | How many | `events_15m` |",
            "| `failed` | 1 | number | ratio | Share that failed | `bad_5m`, `events_5m` |",
            "| `ms` | 1 | number | composite | Spent | `spent_5m` |",
            "| `last` | 1 | text | categorical | Device | `device_15m` |",
            "| `ago` | 1 | number | temporal | Since | `seen_15m` |",
            "| `n` | 2 | integer | aggregation | How many lately | `events_5m` |",
            "| `land` | 2 | text | categorical | Where | `place_5m` |",
            "| `hour` | 3 | integer | temporal | Hour | the user or the instant |",
            "",
            "## Aggregates",
            "",
            "| Aggregate | Of each user and tile | Columns of events |",
            "|---|---|---|",
            "| `events` | every event | every event |",
            "| `bad` | what went wrong | `status` |",
            "| `spent` | µs of purchases | `event_name`, `latency_us` |",
            "| `seen` | the last instant | `event_us` |",
            "| `device` | the last device | `device_type` |",
            "| `place` | the last country | `country` |",
            "",
            "## Segments",
            "",
            "| Segment | Condition | Meaning |",
            "|---|---|---|",
            "| `busy` | `n >= 3` (version 1) | Busy |",
            "| `lately` | `n >= 3 and last == 'tv'` (version 2) | Busy lately |",
            "| `late` | `n < 1` (version 2) | Gone |",
            "",
        ]
    )
