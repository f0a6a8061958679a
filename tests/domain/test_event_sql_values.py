"""Texts, times and rows at the edges of what SQL makes of them: epochs, blanks, paths into JSON, plain rows."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from quality_assets.contracts.events import EVENT_COLUMN_NAMES
from quality_assets.contracts.sources.columns import ColumnMapping
from quality_assets.contracts.sources.events import Source
from quality_assets.contracts.sources.paths import Step, steps_of
from quality_assets.domain.events.json_paths import is_simple, json_path, json_text_sql
from quality_assets.domain.events.json_texts import json_object_sql, nested_sql
from quality_assets.domain.events.metrics_sql import facts_sql, metrics_sql, spelled
from quality_assets.domain.events.tables import AS_EVENT_JSON, SOURCE_IDENTITY, later_copies_sql, quarantine_sql
from quality_assets.domain.events.texts import (
    Blanks,
    grouped_number_sql,
    needs_trim_sql,
    number_sql,
    trimmed_sql,
)
from quality_assets.domain.events.times import time_sql, zulu_cases
from quality_assets.domain.events.validation import (
    JUDGED_COLUMNS,
    RawColumns,
    derived_event_id,
    judged_select,
    plain_select,
    repeated_header_sql,
)
from quality_assets.domain.sql_text import literal
from quality_assets.stores.repeats import find_repeated

CONNECTION = duckdb.connect(config={"threads": 1})
# Nothing may depend on the time zone of the connection.
CONNECTION.execute("SET TimeZone = 'Asia/Kolkata'")
AT = datetime(2026, 2, 1, 10)
ABSENT = ColumnMapping.model_construct()


def value(sql: str, text: str | None) -> Any:
    return CONNECTION.execute(f"SELECT {sql} FROM (SELECT CAST(? AS VARCHAR) AS x)", [text]).fetchall()[0][0]


def mapping(**options: Any) -> ColumnMapping:
    return ColumnMapping.model_validate({"from": "x"} | options)


def epoch(us: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=us)


# --- Times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-01T10:00:00Z", AT),
        ("2026-02-01T10:00:00.005Z", AT + timedelta(milliseconds=5)),
        ("2026-02-01T10:00:00.000005Z", AT + timedelta(microseconds=5)),
        ("2026-02-01T10:00:00.5Z", AT + timedelta(milliseconds=500)),
        ("2026-02-01T10:00:00.0000059Z", AT + timedelta(microseconds=5)),
        # Left to the rules for all times, which read it as the next day's first hour.
        ("2026-01-31T24:00:00Z", None),
        # As long as those above, where fields lack digits.
        (" 2026-2-01T10:00:00Z", None),
        ("2026-2-01T10:00:00Z ", None),
        ("\t2026-2-1T10:00:00.005Z", None),
        ("2026-02-1T10:00:00.05Z\n", None),
        ("2026-2-01T10:00:00.0005Z", None),
        ("2026-02-30T10:00:00Z", None),
        ("2026-02-01T10:00:00,005Z", None),
        ("2026-02-01 10:00:00Z", None),
        ("2026-02-01T10:00:00.005", None),
        ("2026-02-01T10:00:00.005z", None),
        (None, None),
    ],
)
def test_usual_times_by_their_length(text: str | None, expected: datetime | None) -> None:
    assert value(f"CASE {zulu_cases('x')} END", text) == expected


@pytest.mark.parametrize(
    ("text", "us", "also_usual"),
    [
        ("12345678", None, False),
        ("123456789", 123_456_789_000_000, True),
        ("12345678901", 12_345_678_901_000_000, True),
        ("123456789012", 123_456_789_012_000, True),
        ("12345678901234", 12_345_678_901_234_000, True),
        ("19991231235959", None, False),
        ("30000000000000", 30_000_000_000_000_000, False),
        ("123456789012345", 123_456_789_012_345, True),
        ("12345678901234567", 12_345_678_901_234_567, True),
        ("123456789012345678", 123_456_789_012_345, False),
        ("1234567890123456789", 1_234_567_890_123_456, False),
        ("9999999999999999999", None, False),
        ("12345678901234567890", None, False),
        ("12345678.5", None, False),
        ("123456789.5", 123_456_789_500_000, False),
        ("12345678901.5", 12_345_678_901_500_000, False),
        ("123456789012.5", 123_456_789_012_500, False),
        ("12345678901234.5", 12_345_678_901_234_500, False),
        ("123456789012345.9", 123_456_789_012_345, False),
        ("12345678901234567.9", 12_345_678_901_234_567, False),
        ("123456789012345678.9", None, False),
    ],
)
def test_the_unit_of_an_epoch_shows_in_its_length(text: str, us: int | None, also_usual: bool) -> None:
    wanted = None if us is None else epoch(us)
    assert value(time_sql("x", ABSENT), text) == wanted
    assert value(time_sql("x", ABSENT, usual_only=True), text) == (wanted if also_usual else None)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-02-01T10:00:00Z", AT),
        (" 2026-02-01 11:00+01 ", AT),
        ("2026-02-01t11:00:00,25 +01:00", AT.replace(microsecond=250_000)),
        ("2026-01-31T16:00:00-1800", AT),
        ("2026-02-01T10:00:00+19:00", None),
        ("2026-02-01 10:00:00 UTC", None),
        ("2026-02-01T11:00:00+01:00[Europe/Berlin]", None),
        ("2026-02-01T10:00:00", None),
    ],
)
def test_what_is_usual_of_iso_8601(text: str, wanted: datetime | None) -> None:
    assert value(time_sql("x", ABSENT, usual_only=True), text) == wanted


@pytest.mark.parametrize(("zone", "wanted"), [("UTC", AT), ("Etc/UTC", AT), ("Europe/Berlin", AT - timedelta(hours=1))])
@pytest.mark.parametrize("usual_only", [True, False])
def test_a_local_time_is_of_its_zone(zone: str, wanted: datetime, usual_only: bool) -> None:
    sql = time_sql("x", mapping(zone=zone), usual_only=usual_only)
    assert value(sql, "2026-02-01T10:00:00") == value(sql, " 2026-02-01 10:00 ") == wanted
    assert value(sql, "2026-02-01T10:00:00,5") == wanted.replace(microsecond=500_000)
    assert value(sql, "2026-02-01T10:00:00+00:00") == AT


@pytest.mark.parametrize(
    ("unit", "text", "us"),
    [
        ("s", "-1", -1_000_000),
        ("s", "253399999999", 253_399_999_999_000_000),
        ("s", "253400000000", None),
        ("s", "-1e300", None),
        ("s", "0.0000005", 1),
        ("ms", "0.25", 250),
        ("us", "7", 7),
        ("ns", "1999", 1),
        ("ns", "999999999999999999", 999_999_999_999_999),
        ("ns", "8999999999999999999", 8_999_999_999_999_999),
        ("ns", "9000000000000000000", 9_000_000_000_000_000),
        ("ns", "2500.0", 3),
        ("ns", "-4000", -4),
    ],
)
def test_epochs_of_a_declared_unit(unit: str, text: str, us: int | None) -> None:
    assert value(time_sql("x", mapping(unit=unit)), text) == (None if us is None else epoch(us))


@pytest.mark.parametrize(
    ("pattern", "text", "wanted"),
    [
        ("%d.%m.%Y %H:%M", "01.02.2026 10:00 gmt", AT),
        ("%d.%m.%Y %H:%M", "01.02.2026 10:00 CET", None),
        ("%d.%m.%Y %H:%M UTC", "01.02.2026 10:00 UTC", AT),
        ("%Y%m%d %H%M%S", "20260201 100000.25", AT.replace(microsecond=250_000)),
        ("%Y%m%d %H%M%S", "20260201 100000.1234569 UTC", AT.replace(microsecond=123_456)),
        ("%H:%M:%S.%f %Y%m%d", "10:00:00 20260201", AT),
    ],
)
def test_formats_with_and_without_what_may_follow(pattern: str, text: str, wanted: datetime | None) -> None:
    assert value(time_sql("x", mapping(format=pattern, zone="UTC")), text) == wanted


# --- Texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("", (True, True, True)), (" a", (True, True, True)), ("\ta", (True, True, True)), ("!", (False,) * 3),
        ("a ", (True, True, False)), ("a\t", (True, False, False)), ("~", (False,) * 3), ("a~", (False,) * 3),
        ("a!", (False,) * 3), ("\x7fa", (True, False, False)), ("a\x7f", (True, False, False)),
        ("é", (True, False, False)), ("aé", (True, False, False)), ("\u3000a", (True, False, False)),
        (None, (None,) * 3),
    ],
)  # fmt: skip
def test_which_texts_may_need_a_trim(text: str | None, needed: tuple[bool | None, ...]) -> None:
    kinds: tuple[Blanks, ...] = ("any", "spaces", "leading")
    assert tuple(value(needs_trim_sql("x", blanks), text) for blanks in kinds) == needed


def test_null_values_are_whole_texts() -> None:
    sql = trimmed_sql("x", ["NA", "it's"])
    assert [value(sql, text) for text in ("NA", "\u00a0it's ", "NAN", "na", "-")] == [None, None, "NAN", "na", "-"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1", 1.0), (" 1,5 ", 1.5), ("-1.234,5", -1234.5), ("+0,25", 0.25), ("1234567,5", 1234567.5),
        ("123.456", 123456.0), ("1234.567", None), ("1.23", None), ("1.2345", None), ("1,", None), (",5", None),
        ("1,5,5", None), ("1e3", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_numbers_with_a_comma(text: str | None, wanted: float | None) -> None:
    assert value(grouped_number_sql("x", ","), text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1", 1.0), (" 1.5 ", 1.5), ("-1,234.5", -1234.5), ("1234567.5", 1234567.5), ("12,345,678", 12345678.0),
        ("1,5", None), ("1,23", None), ("1.234,5", None), ("1e3", None), ("inf", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_numbers_with_commas_between_thousands(text: str | None, wanted: float | None) -> None:
    assert value(grouped_number_sql("x", "."), text) == wanted


@pytest.mark.parametrize(
    ("text", "is_nested"),
    [
        ('["a"]', True), ("[]", True), ('{"id":1}', True), ("{}", True), ("[beta] Search", False), ("{a}", False),
        ("search", False), ("]", False), ("\\", False), ("7", False), (None, False),
    ],
)  # fmt: skip
def test_what_is_a_list_or_an_object(text: str | None, is_nested: bool) -> None:
    assert value(nested_sql("x"), text) is is_nested


def test_numbers_keep_what_is_no_number_apart() -> None:
    assert value(number_sql("x"), "inf") == float("inf")
    assert [value(number_sql("x"), text) for text in ("-7.25", "7_0", "_", None)] == [-7.25, None, None, None]


# --- JSON -------------------------------------------------------------------------------------------------------------

DOCUMENT = json.dumps(
    {
        "a": {"b.c": "dotted", 'q"t': "quoted", "back\\slash": "slashed", "n": 7, "none": None},
        "params": [{"key": "other", "v": 1}, {"key": "page", "v": {"s": None, "i": 5, "t": "x"}}],
        "": "empty",
    }
)


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ([], "$"), (["a"], '$."a"'), (["a", "b c"], '$."a"."b c"'), (['q"t'], '$."q\\"t"'), (["b\\s"], '$."b\\\\s"'),
        ([""], None), (["a", "*"], None), (["a*"], '$."a*"'), (["\ud800"], None), (["x\udfff"], None),
        (["\ud7ff\ue000"], '$."\ud7ff\ue000"'),
    ],
)  # fmt: skip
def test_paths_of_keys(keys: list[str], path: str | None) -> None:
    assert json_path(keys) == path


@pytest.mark.parametrize(
    ("path", "simple", "wanted"),
    [
        ("a.n", True, "7"), ('a."b.c"', True, "dotted"), ("a.none", True, None), ("a.nowhere", True, None),
        ("params[key=page].v.i", False, "5"), ("params[key=page].v.*", False, "5"),
        ("params[key=other].v", False, "1"), ("params[key=third].v", False, None), ("a.*", False, "dotted"),
    ],
)  # fmt: skip
def test_texts_at_paths(path: str, simple: bool, wanted: str | None) -> None:
    steps = steps_of(path)
    assert is_simple(steps) is simple
    assert value(json_text_sql("x", steps), DOCUMENT) == wanted


def test_keys_that_no_path_has_are_found_nowhere() -> None:
    assert value(json_text_sql("x", [Step("a"), Step('q"t')]), DOCUMENT) == "quoted"
    assert value(json_text_sql("x", [Step("a"), Step("back\\slash")]), DOCUMENT) == "slashed"
    for key in ("", "*", "\ud800"):
        assert value(json_text_sql("x", [Step(key)]), DOCUMENT) is None
    assert value(json_object_sql(["a", "b", "a", "a"], ["'1'", "x", "null", "'3'"]), "2") == (
        '{"a":"1","b":"2","a_2":null,"a_3":"3"}'
    )


# --- Rows -------------------------------------------------------------------------------------------------------------

HEAD = ("event_time", "feature", "status", "latency_ms", "feedback_score", "platform", "user_id")
GOOD = ("2026-02-01T10:00:00Z", "search", "ok", "12.5", "4", "ios", "u7")
LATEST = datetime(2026, 3, 1)


def _source(**options: Any) -> Source:
    basis = {"name": "s", "owner": "o", "description": "d", "starts_on": "2020-01-01"}
    return Source.model_validate(basis | {"columns": {name: name for name in HEAD}} | options)


def _relation(cells: tuple[str | None, ...], also: str = "") -> str:
    told = ", ".join(f"CAST({'NULL' if v is None else literal(v)} AS VARCHAR) AS c{i}" for i, v in enumerate(cells))
    return f"(SELECT {told}, 'f' AS file_id, 7 AS line_number, TIMESTAMP '{LATEST}' AS latest_event_time{also})"


def _columns(header: tuple[str, ...] = HEAD, **options: Any) -> RawColumns:
    return RawColumns(header, tuple(f"c{i}" for i in range(len(header))), **options)


def _plain(columns: RawColumns, relation: str, source: Source | None = None) -> dict[str, Any]:
    sql = plain_select(source or _source(), columns, relation)
    found = CONNECTION.execute(sql, {"latest_event_time": LATEST}).fetchall()[0]
    return dict(zip(("event_date", "line_number", *EVENT_COLUMN_NAMES, "fields", "raw_row"), found, strict=True))


def _judged(columns: RawColumns, relation: str, source: Source | None = None) -> dict[str, Any]:
    found = CONNECTION.execute(judged_select(source or _source(), columns, relation)).fetchall()[0]
    return dict(zip(JUDGED_COLUMNS, found, strict=True))


def _row(**cells: str | None) -> tuple[str | None, ...]:
    return tuple(cells.get(name, known) for name, known in zip(HEAD, GOOD, strict=True))


NONE = dict.fromkeys(EVENT_COLUMN_NAMES)
TYPED = NONE | {
    "event_time": AT, "feature": "search", "event_name": "use", "status": "ok", "latency_ms": 12.5,
    "feedback_score": 4.0, "platform": "ios", "user_id": "u7",
}  # fmt: skip


def test_a_plain_row_and_a_judged_one_are_typed_alike() -> None:
    shared = TYPED | {"event_date": AT.date(), "line_number": 7}
    assert _plain(_columns(), _relation(GOOD)) == shared | {"fields": None, "raw_row": None}
    judged = _judged(_columns(), _relation(GOOD))
    assert judged == shared | {"event_id": "f-7", "file_id": "f", "reasons": None, "raw_row": None}
    assert derived_event_id("'x'") == "'x' || '-' || line_number"


@pytest.mark.parametrize(
    ("cells", "is_plain"),
    [
        ({"event_time": "2020-01-01T00:00:00Z"}, True), ({"event_time": "2019-12-31T23:59:59.999999Z"}, False),
        ({"event_time": "2026-03-01T00:00:00Z"}, True), ({"event_time": "2026-03-01T00:00:00.000001Z"}, False),
        ({"event_time": None}, False), ({"feature": None}, False), ({"status": None}, False), ({"status": "no"}, False),
        ({"latency_ms": None}, True), ({"latency_ms": "0"}, True), ({"latency_ms": "-0.1"}, False),
        ({"latency_ms": "86400000"}, True), ({"latency_ms": "86400001"}, False), ({"latency_ms": "1_2"}, False),
        ({"latency_ms": "999999"}, False), ({"latency_ms": "nan"}, False), ({"latency_ms": "x"}, False),
        ({"feedback_score": None}, True), ({"feedback_score": "1"}, True), ({"feedback_score": "5"}, True),
        ({"feedback_score": "0.9"}, False), ({"feedback_score": "5.1"}, False), ({"feedback_score": "1_1"}, False),
        ({"platform": None}, True), ({"platform": " ios"}, False), ({"platform": "a\0"}, False),
        ({"user_id": "null"}, True), ({"user_id": "7.0"}, True),
    ],
)  # fmt: skip
def test_which_rows_are_plain(cells: dict[str, str | None], is_plain: bool) -> None:
    row = _row(**cells)
    found = _plain(_columns(), _relation(row))
    assert (found["event_date"] is not None, found["fields"] is None) == (is_plain, is_plain)
    assert found["fields"] in (None, list(row))
    # Whatever is no reason against a row by every rule may be looked at closely, but never the other way round.
    judged = _judged(_columns(), _relation(row))
    assert judged["reasons"] is None or not is_plain
    if is_plain:
        assert {name: found[name] for name in NONE if name != "event_id"}.items() <= judged.items()


def test_records_that_could_not_be_split_keep_nothing_but_themselves() -> None:
    source = _source(
        columns={name: name for name in HEAD if name != "platform"} | {"platform": {"constant": "web"}},
    )
    columns = _columns(malformed="is_bad", raw_row="raw")
    for is_bad in ("true", "false"):
        relation = _relation(
            GOOD if is_bad == "false" else (None,) * len(GOOD), f", {is_bad} AS is_bad, '\"r\"' AS raw"
        )
        judged, plain = _judged(columns, relation, source), _plain(columns, relation, source)
        if is_bad == "true":
            nowhere = {"event_date": None, "file_id": "f", "line_number": 7, "event_id": "f-7"}
            assert judged == NONE | nowhere | {"reasons": ["malformed_row"], "raw_row": '"r"'}
            assert (plain["event_date"], plain["fields"], plain["raw_row"]) == (None, None, '"r"')
        else:
            assert (judged["platform"], judged["reasons"], judged["raw_row"]) == ("web", None, None)
            assert (plain["event_date"], plain["platform"], plain["raw_row"]) == (AT.date(), "web", None)


def test_a_nul_is_looked_for_where_there_may_be_one() -> None:
    row = _relation(_row(platform="a\0b"))
    assert _judged(_columns(), row)["reasons"] == ["nul_byte"]
    known = _columns(may_hold_nul=False)
    assert (_judged(known, row)["reasons"], _plain(known, row)["platform"]) == (None, "a\0b")


HEADER_CASES: list[tuple[tuple[str | None, ...], bool]] = [
    (("event_time", "feature", "", "DE"), True), (("\ufeffevent_time", "feature", "", "DE"), True),
    (("event_time", "feature", None, "DE"), True), (("event_time", "\ufefffeature", "", "DE"), False),
    (("event_time", "feature", "x", "DE"), False), (("event_time", None, "", "DE"), False),
    (("2026", "feature", "", "DE"), False),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "is_header"), HEADER_CASES)
def test_the_header_again_is_told_by_the_files_own_columns(cells: tuple[str | None, ...], is_header: bool) -> None:
    columns = _columns(("event_time", "feature", "", "country"), from_path=("DE",))
    found = CONNECTION.execute(f"select {repeated_header_sql(columns)} from {_relation(cells)}").fetchall()
    assert found == [(is_header,)]


def test_a_repeated_header_has_its_own_reason_and_that_of_the_line_alone() -> None:
    columns = _columns(repeats_header=True)
    assert _judged(columns, _relation(HEAD))["reasons"] == ["repeated_header"]
    assert _judged(_columns(), _relation(HEAD))["reasons"] == [
        "invalid_event_time",
        "invalid_status",
        "invalid_latency",
        "invalid_feedback_score",
    ]
    constant = _source(
        columns={
            "event_time": {"constant": GOOD[0]}, "status": {"constant": "ok"}, "feature": "feature",
            "platform": "platform",
        }
    )  # fmt: skip
    # Every row has that time, the header line too; it is never plain where it is a line of the file.
    for repeats, header_day in ((True, None), (False, AT.date())):
        names = RawColumns(("feature", "platform"), ("c0", "c1"), repeats_header=repeats)
        assert _plain(names, _relation(("search", "ios")), constant)["event_date"] == AT.date()
        assert _plain(names, _relation(("feature", "platform")), constant)["event_date"] == header_day


def test_further_columns_are_handed_on() -> None:
    sql = judged_select(_source(), _columns(), _relation(GOOD, ", 5 AS place"), ["place"])
    assert CONNECTION.execute(sql).fetchall()[0][-1] == 5


# --- Tables -----------------------------------------------------------------------------------------------------------


def test_spark_spells_otherwise() -> None:
    text = "q[1] + q[12] + $t + cast(x as varchar)"
    assert spelled(text, "duckdb") == text
    assert spelled(text, "spark") == "element_at(q, 1) + element_at(q, 12) + :t + cast(x as string)"
    quantiles = metrics_sql("e", ["k"]), facts_sql("e", "u", ["k"], "spark")
    assert "quantile_cont(latency_ms, [0.5, 0.95, 0.99]) as latency_quantiles_ms" in quantiles[0]
    assert "percentile(latency_ms, array(0.5, 0.95, 0.99)) as latency_quantiles_ms" in quantiles[1]


def test_metrics_by_an_expression_with_an_alias() -> None:
    relation = "(select * from (values ('a b', 100.0), ('a b', 300.0), ('c', null)) as v(f, latency_ms),"
    relation += " (select 'u' as user_id, null as session_id, 'ok' as status, null as feedback_score,"
    relation += " 500.0 as apdex_threshold_ms))"
    cursor = CONNECTION.execute(f"{metrics_sql(relation, ['upper(f) as name', '1 as one'])} order by name")
    names = [column[0] for column in cursor.description or ()]
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    assert [(row["name"], row["one"], row["events"], row["latency_p50_ms"]) for row in found] == [
        ("A B", 1, 2, 200.0),
        ("C", 1, 1, None),
    ]


def test_two_sources_may_use_one_id() -> None:
    day = date(2026, 1, 1)
    rows = ", ".join(f"(date '{day}', 'x', {n}, '{source}')" for n, source in enumerate(("web", "app", "web", "app")))
    CONNECTION.execute(
        f"create or replace temp table rows as select * from (values {rows}) v(event_date, event_id, n, source)"
    )
    find_repeated(CONNECTION, "rows")
    found = CONNECTION.execute(later_copies_sql("rows", "n", "n desc", SOURCE_IDENTITY)).fetchall()
    assert sorted(found) == [(day, 0), (day, 1)]


def test_a_refused_row_is_a_copy_of_what_its_own_source_kept() -> None:
    day = date(2026, 1, 1)
    event = ", ".join(f"cast(null as varchar) as {name}" for name in EVENT_COLUMN_NAMES if name != "event_id")
    CONNECTION.execute(
        f"create or replace temp table refused as select date '{day}' as event_date, file_id, line_number,"
        " event_id, cast(null as timestamp) as event_time, 'pay' as feature, ['invalid_status'] as reasons,"
        " '{}' as raw_row from (values ('w2', 1, 'x'), ('a2', 2, 'x'), ('w1', 3, 'y'))"
        " v(file_id, line_number, event_id)"
    )
    CONNECTION.execute(
        f"create or replace temp table kept as select date '{day}' as event_date, 'w1' as file_id, 1 as line_number,"
        f" 'x' as event_id, {event}"
    )
    CONNECTION.execute("create or replace temp table copies as select * from kept where false")
    files = "(values ('w1', 'web'), ('w2', 'web'), ('a2', 'app')) as v(file_id, source)"
    sql = quarantine_sql("refused", "copies", "kept", f"(select * from {files})")
    assert CONNECTION.execute(sql).fetchall() == [
        (day, "a2", 2, "x", None, "pay", ["invalid_status"], "{}"),
        (day, "w1", 3, "y", None, "pay", ["invalid_status"], "{}"),
        (day, "w2", 1, "x", None, "pay", ["invalid_status", "duplicate_event_id"], "{}"),
    ]
    told = json.loads(CONNECTION.execute(f"select {AS_EVENT_JSON} from kept").fetchall()[0][0])
    assert told == NONE | {"event_id": "x"}


def test_a_latency_that_is_lifted_is_plain() -> None:
    lifted = _source(columns={name: name for name in HEAD} | {"latency_ms": {"from": "latency_ms", "clip_minimum": 2}})
    for latency, wanted in (("-3", 2.0), ("2", 2.0), ("2.5", 2.5)):
        found = _plain(_columns(), _relation(_row(latency_ms=latency)), lifted)
        assert (found["event_date"], found["latency_ms"]) == (AT.date(), wanted)
