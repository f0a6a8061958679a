"""Values and reasons: what each text becomes, by the SQL that a source gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import duckdb
import pytest

from quality_assets.contracts.events import EVENT_COLUMN_NAMES, Reason
from quality_assets.contracts.sources.columns import ColumnMapping
from quality_assets.contracts.sources.events import Source
from quality_assets.domain.events.durations import duration_sql
from quality_assets.domain.events.json_texts import json_object_valid_sql
from quality_assets.domain.events.texts import (
    NULL_LIKE_IDS,
    ZERO_UUIDS,
    Blanks,
    folded_sql,
    id_sql,
    number_sql,
    trimmed_sql,
)
from quality_assets.domain.events.times import time_sql
from quality_assets.domain.events.validation import (
    JUDGED_COLUMNS,
    RawColumns,
    judged_select,
    plain_select,
)
from quality_assets.domain.sql_text import literal

CONNECTION = duckdb.connect(config={"threads": 1})
# Nothing may depend on the time zone of the connection.
CONNECTION.execute("SET TimeZone = 'Asia/Kolkata'")
AT = datetime(2026, 2, 1, 10)
HEAD = ("event_time", "feature", "status")
GOOD_ROW = ("2026-02-01T10:00:00Z", "search", "ok")


def value(sql: str, text: str | None) -> Any:
    return CONNECTION.execute(f"SELECT {sql} FROM (SELECT CAST(? AS VARCHAR) AS x)", [text]).fetchall()[0][0]


def mapping(**options: Any) -> ColumnMapping:
    return ColumnMapping.model_validate({"from": "x"} | options)


def source(**options: Any) -> Source:
    columns = {"event_time": "event_time", "feature": "feature", "status": "status"} | options.pop("columns", {})
    basis = {"name": "s", "owner": "o", "description": "d", "starts_on": "2020-01-01", "columns": columns}
    return Source.model_validate(basis | options)


def staged(of: Source, header: Sequence[str], row: Sequence[str | None]) -> dict[str, Any]:
    """The staged form of one raw row."""
    columns = RawColumns(tuple(header), tuple(f"c{i}" for i in range(len(header))), repeats_header=True)
    cells = ", ".join(f"CAST({'NULL' if v is None else literal(v)} AS VARCHAR) AS c{i}" for i, v in enumerate(row))
    latest = datetime(2026, 3, 1)
    stamps = f"'f' AS file_id, 7 AS line_number, TIMESTAMP '{latest}' AS latest_event_time"
    found = CONNECTION.execute(judged_select(of, columns, f"(SELECT {cells}, {stamps})")).fetchall()
    judged = dict(zip(JUDGED_COLUMNS, found[0], strict=True))
    # What the cheap tests let pass is as the rules say.
    plain = CONNECTION.execute(
        plain_select(of, columns, f"(SELECT {cells}, {stamps})"), {"latest_event_time": latest}
    ).fetchall()[0]
    event_date, line_number, *values, fields, _ = plain
    if event_date is not None:
        assert fields is None
        typed = dict(zip(EVENT_COLUMN_NAMES, values, strict=True))
        typed["event_id"] = typed["event_id"] or "f-7"
        assert {
            "event_date": event_date,
            "line_number": line_number,
            "reasons": None,
            **typed,
        }.items() <= judged.items()
    return judged


def judged(**cells: str | None) -> dict[str, Any]:
    names = ("latency_ms", "feedback_score", "properties", "received_at")
    of = source(columns={name: name for name in names})
    row = {"event_time": "2026-02-01T10:00:00Z", "feature": "search", "status": "ok"} | cells
    return staged(of, tuple(row), tuple(row.values()))


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-01T10:00:00Z",
        "2026-02-01 10:00:00Z",
        "2026-02-01T10:00Z",
        "2026-02-01t10:00:00z",
        "2026-02-01T10:00:00.000Z",
        "2026-02-01T10:00:00,0Z",
        "2026-02-01T11:00:00+01:00",
        "2026-02-01T11:00:00+0100",
        "2026-02-01 11:00:00 +01",
        "2026-01-31T16:00:00-18:00",
        "2026-02-01T15:30:00.000000+05:30",
        "1769940000",
        "1769940000000",
        "1769940000000000",
        "1769940000000000999",
        "1769940000.0",
        "1769940000000.0",
        "1769940000000000.4",
        "2026-02-01T11:00:00+01:00[Europe/Berlin]",
        "20260201T100000Z",
        "20260201t110000.000+0100",
        "20260201T110000,0+01",
        "2026-02-01T10:00:00.000Z[UTC]",
        "2026-02-01 10:00:00 UTC",
        "2026-02-01 10:00:00.000000999 UTC",
        "2026-02-01T10:00:00 gmt",
        "2026-02-01 10:00:00 +0000 UTC",
        "2026-02-01T10:00:00+00:00:00",
        "2026-02-01T05:00:00\u221205:00",
        "2026-02-01 10:00 UTC",
        "\t2026-02-01T10:00:00Z ",
    ],
)
def test_times(text: str) -> None:
    assert value(time_sql("x", ColumnMapping.model_construct()), text) == AT


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-01T10:00:00",
        "2026-02-01",
        "2026-02-30T10:00:00Z",
        "2026-02-01T25:00:00Z",
        "2026-02-01T10:00:00+19:00",
        "2026-02-01T10:00:00 Europe/Berlin",
        "2026-02-01T10:00:00[Europe/Berlin]",
        "2026-02-01T10:00:00Z[]",
        "20260201T100000",
        "20260230T100000Z",
        "20260201100000",
        "20260201T1000Z",
        "17699400.5",
        "01.02.2026 10:00",
        "46054.4166666667",
        "46054",
        "2026-02-01 10:00:00 UTC+1",
        "2026-02-01 10:00:00 CET",
        "-1769940000",
        "123456789012345678901234",
        "1e9",
        "infinity",
        "epoch",
        "now",
        "yesterday",
        "",
    ],
)
def test_texts_that_are_no_time(text: str) -> None:
    assert value(time_sql("x", ColumnMapping.model_construct()), text) is None


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"unit": "s"}, "1769940000.25", datetime(2026, 2, 1, 10, 0, 0, 250000)),
        ({"unit": "ms"}, "1769940000000", AT),
        ({"unit": "us"}, "1769940000000000", AT),
        ({"unit": "ns"}, "1769940000000000000", AT),
        ({"unit": "ns"}, "1769940000123456789", datetime(2026, 2, 1, 10, 0, 0, 123456)),
        ({"format": "%Y-%m-%d %H:%M:%S", "zone": "UTC"}, "2026-02-01 10:00:00.5 UTC", AT.replace(microsecond=500000)),
        ({"format": "%Y-%m-%d %H:%M:%S.%f", "zone": "UTC"}, "2026-02-01 10:00:00", AT),
        ({"format": "%d/%b/%Y:%H:%M:%S %z"}, "01/Feb/2026:11:00:00.123456789 +0100", AT.replace(microsecond=123456)),
        ({"unit": "s"}, "1e300", None),
        ({"unit": "s"}, "nan", None),
        ({"unit": "s"}, "soon", None),
        ({"unit": "s"}, "2026-02-01T10:00:00Z", AT),
        ({"format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}, "01.02.2026 11:00", AT),
        ({"format": "%d.%m.%Y %H:%M", "zone": "UTC"}, "01.02.2026 10:00", AT),
        ({"format": "%d.%m.%Y %H:%M", "zone": "UTC"}, "2026-02-01", None),
        ({"format": "%d/%b/%Y:%H:%M:%S %z"}, "01/Feb/2026:11:00:00 +0100", AT),
        ({"zone": "Europe/Berlin"}, "2026-02-01T11:00:00", AT),
        ({"zone": "Europe/Berlin"}, "20260201T110000", AT),
        ({"zone": "Europe/Berlin"}, "20260201110000", AT),
        ({"zone": "UTC"}, "20260201250000", None),
        ({"zone": "Europe/Berlin"}, "2026-02-01T10:00:00+00:00", AT),
        # Skipped by spring: read with winter's offset. Repeated by autumn: the later one.
        ({"zone": "America/New_York"}, "2013-03-10T02:30:00", datetime(2013, 3, 10, 7, 30)),
        ({"zone": "America/New_York"}, "2013-11-03T01:30:00", datetime(2013, 11, 3, 6, 30)),
        ({"zone": "Europe/Berlin"}, "2026-03-29T02:30:00", datetime(2026, 3, 29, 1, 30)),
        ({"zone": "Europe/Berlin"}, "2026-10-25T02:30:00", datetime(2026, 10, 25, 1, 30)),
    ],
)
def test_declared_times(options: dict[str, Any], text: str, expected: datetime | None) -> None:
    assert value(time_sql("x", mapping(**options)), text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12.0),
        (" 1.5e3 ", 1500.0),
        (".5", 0.5),
        ("+1", 1.0),
        ("1_000", None),
        ("0x1F", None),
        ("1,5", None),
        ("true", None),
    ],
)
def test_numbers(text: str, expected: float | None) -> None:
    assert value(number_sql("x"), text) == expected


@pytest.mark.parametrize("blanks", ["any", "spaces"])
@pytest.mark.parametrize(
    ("text", "expected"), [("  a b ", "a b"), ("a", "a"), ("é ", "é"), ("", None), ("   ", None), (None, None)]
)
def test_trim(text: str | None, expected: str | None, blanks: Blanks) -> None:
    assert value(trimmed_sql("x", blanks=blanks), text) == expected


def test_trim_of_other_blanks_and_of_null_values() -> None:
    assert value(trimmed_sql("x"), "\u00a0\t a\u3000\r\n") == "a"
    assert value(trimmed_sql("x", ["NA", "-"]), " NA ") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", True),
        ('{"a": {"b": [1, "NaN, inf,}"]}}', True),
        ('{"info": "infinite, ]"}', True),
        ('{"a": "quote \\" NaN"}', True),
        ("[1]", False),
        ("null", False),
        ("{a: 1}", False),
        ('{"a": 1,}', False),
        ('{"a": NaN}', False),
        ('{"a": -Infinity}', False),
        ('{"a": 1} x', False),
        ('{"a": 1', False),
    ],
)
def test_json_objects(text: str, expected: bool) -> None:
    assert value(json_object_valid_sql("x"), text) is expected


@pytest.mark.parametrize(
    ("cells", "reasons"),
    [
        ({}, None),
        ({"event_time": " "}, [Reason.MISSING_EVENT_TIME]),
        ({"event_time": "soon"}, [Reason.INVALID_EVENT_TIME]),
        ({"event_time": "2019-12-31T23:59:59Z"}, [Reason.EVENT_TIME_TOO_EARLY]),
        ({"event_time": "2020-01-01T00:00:00Z"}, None),
        ({"event_time": "2026-03-01T00:00:00Z"}, None),
        ({"event_time": "2026-03-01T00:00:01Z"}, [Reason.EVENT_TIME_IN_FUTURE]),
        ({"feature": "\u00a0"}, [Reason.MISSING_FEATURE]),
        ({"status": " ok "}, None),
        ({"status": ""}, [Reason.MISSING_STATUS]),
        ({"status": "OK"}, [Reason.INVALID_STATUS]),
        ({"latency_ms": "  "}, None),
        ({"latency_ms": "12,5"}, [Reason.INVALID_LATENCY]),
        ({"latency_ms": "1_2"}, [Reason.INVALID_LATENCY]),
        ({"latency_ms": "NaN"}, [Reason.NON_FINITE_LATENCY]),
        ({"latency_ms": "-inf"}, [Reason.NON_FINITE_LATENCY]),
        ({"latency_ms": "1e400"}, [Reason.NON_FINITE_LATENCY]),
        ({"latency_ms": "-0.1"}, [Reason.NEGATIVE_LATENCY]),
        ({"feedback_score": "good"}, [Reason.INVALID_FEEDBACK_SCORE]),
        ({"feedback_score": "nan"}, [Reason.INVALID_FEEDBACK_SCORE]),
        ({"feedback_score": "0"}, [Reason.FEEDBACK_SCORE_OUT_OF_RANGE]),
        ({"feedback_score": "5.5"}, [Reason.FEEDBACK_SCORE_OUT_OF_RANGE]),
        ({"properties": " {} "}, None),
        ({"properties": "[]"}, [Reason.INVALID_PROPERTIES]),
        ({"received_at": "later"}, [Reason.INVALID_RECEIVED_AT]),
        ({"feature": "a\0"}, [Reason.NUL_BYTE]),
        (
            {
                "event_time": "x\0",
                "feature": "",
                "status": "",
                "latency_ms": "x",
                "feedback_score": "9",
                "properties": "{",
            },
            [
                Reason.NUL_BYTE,
                Reason.INVALID_EVENT_TIME,
                Reason.MISSING_FEATURE,
                Reason.MISSING_STATUS,
                Reason.INVALID_LATENCY,
                Reason.FEEDBACK_SCORE_OUT_OF_RANGE,
                Reason.INVALID_PROPERTIES,
            ],
        ),
        ({"event_time": "event_time", "feature": "feature", "status": "status"}, [Reason.REPEATED_HEADER]),
    ],
)
def test_reasons(cells: dict[str, str], reasons: list[Reason] | None) -> None:
    got = judged(**cells)
    assert got["reasons"] == reasons
    assert (got["raw_row"] is None) == (reasons is None)
    if reasons:
        assert json.loads(got["raw_row"]).items() >= cells.items()


def test_what_can_be_read_is_kept_beside_its_reason() -> None:
    got = judged(latency_ms="-2", feedback_score="nan", event_time="2031-01-01T00:00:00Z")
    assert (got["latency_ms"], got["feedback_score"]) == (-2.0, None)
    assert (got["event_time"], got["event_date"]) == (datetime(2031, 1, 1), None)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("100", "ok"),
        ("399", "ok"),
        ("404", "error"),
        ("503.0", "crash"),
        ("600", None),
        ("3.7", None),
        ("", None),
        ("x", None),
    ],
)
def test_ranges(code: str, status: str | None) -> None:
    codes = {"from": "code", "map": {"100-399": "ok", "400-499": "error", "500-599": "crash"}}
    of = source(columns={"status": codes})
    got = staged(of, ["event_time", "feature", "code"], ["2026-02-01T10:00:00Z", "a", code])
    assert got["status"] == status
    assert got["reasons"] == (None if status else ["invalid_status" if code else "missing_status"])


def test_maps_ignore_case_and_fall_back_to_the_default() -> None:
    of = source(columns={"status": {"from": "s", "map": {True: "ok", "Failed": "crash"}, "default": "error"}})
    found = [staged(of, ["event_time", "feature", "s"], [None, "a", s])["status"] for s in ("TRUE", "failed", "?", "")]
    assert found == ["ok", "crash", "error", "error"]


def test_units_clipping_joining_and_missing() -> None:
    of = source(
        null_values=["NA"],
        columns={
            "event_time": {"from": ["y", "m", "hm"], "pad": [4, 2, 4], "format": "%Y%m%H%M", "zone": "UTC"},
            "status": {"constant": "ok", "if_missing": {"a": "crash", "b": "error"}},
            "latency_ms": {"from": "d", "unit": "min", "clip_minimum": 0},
        },
        properties_from=["p", "q"],
    )
    header = ["y", "m", "hm", "feature", "a", "b", "d", "p", "q"]
    got = staged(of, header, ["2026", "2", "905", "x", "1", "1", "-3", "v", None])
    assert (got["event_time"], got["latency_ms"], got["status"]) == (datetime(2026, 2, 1, 9, 5), 0.0, "ok")
    assert json.loads(got["properties"]) == {"p": "v", "q": None}
    assert got["event_id"] == "f-7"
    got = staged(of, header, ["2026", "2", "2400", "x", "NA", "NA", "NA", None, "NA"])
    assert (got["event_time"], got["latency_ms"], got["status"], got["properties"]) == (None, None, "crash", None)
    assert got["reasons"] == ["invalid_event_time"]
    got = staged(of, header, ["2026", "2", "5", "x", "1", " ", "1.5", None, None])
    assert (got["latency_ms"], got["status"], got["reasons"]) == (90_000.0, "error", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100,5", 100.5),
        (" 1.234,5 ", 1234.5),
        ("12", 12.0),
        ("1.000.000", 1_000_000.0),
        ("1.5", "invalid_latency"),
        ("1,234.5", "invalid_latency"),
        ("12.34,5", "invalid_latency"),
        (",5", "invalid_latency"),
        ("-3,0", "negative_latency"),
    ],
)
def test_numbers_with_a_decimal_comma(text: str, expected: float | str) -> None:
    of = source(columns={"latency_ms": {"from": "d", "decimal": ","}})
    got = staged(of, (*HEAD, "d"), (*GOOD_ROW, text))
    assert (got["latency_ms"], got["reasons"]) == (
        (expected, None) if isinstance(expected, float) else (got["latency_ms"], [expected])
    )


def test_names_and_values_cannot_break_out_of_the_sql() -> None:
    of = source(columns={"feature": 'it\'s "odd"', "platform": {"constant": "'); DROP TABLE x; --"}})
    got = staged(of, ["event_time", 'it\'s "odd"', "status"], ["2026-02-01T10:00:00Z", "o'k", "?"])
    assert (got["feature"], got["platform"]) == ("o'k", "'); DROP TABLE x; --")
    assert json.loads(got["raw_row"])['it\'s "odd"'] == "o'k"


@pytest.mark.parametrize("text", [*NULL_LIKE_IDS, *ZERO_UUIDS, "NULL", "None", "NaN", "Anonymous", "N/A", r"\N"])
def test_ids_that_are_none(text: str) -> None:
    assert value(id_sql("x"), text) is None
    row = staged(source(columns={"user_id": "u", "event_id": "e"}), (*HEAD, "u", "e"), (*GOOD_ROW, text, text))
    assert (row["user_id"], row["event_id"], row["reasons"]) == (None, "f-7", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", "7"),
        ("7.0", "7"),
        ('="007"', "007"),
        ('="00', '="00'),
        ("12345678.0", "12345678"),
        ("7.00", "7.00"),
        ("1.2.0", "1.2.0"),
        ("v7.0", "v7.0"),
        ("1e7", "1e7"),
        ("nullable", "nullable"),
        ("none-such", "none-such"),
        ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
        ("0", "0"),
    ],
)
def test_ids(text: str, expected: str) -> None:
    assert value(id_sql("x"), text) == expected


@pytest.mark.parametrize(
    ("options", "latency", "reasons"),
    [
        ({}, "86400000", None),
        ({}, "86400001", [Reason.IMPLAUSIBLE_LATENCY]),
        ({}, "999999", [Reason.IMPLAUSIBLE_LATENCY]),
        ({}, "999998", None),
        ({}, "2147483647", [Reason.IMPLAUSIBLE_LATENCY]),
        ({"unit": "us"}, "2147483647", [Reason.IMPLAUSIBLE_LATENCY]),
        ({"unit": "us"}, "999999", None),
        ({"unit": "s"}, "86401", [Reason.IMPLAUSIBLE_LATENCY]),
        ({"maximum": 1000}, "1001", [Reason.IMPLAUSIBLE_LATENCY]),
        ({"maximum": 1e12, "sentinels": [7]}, "999999", None),
        ({"sentinels": [7]}, "7", [Reason.IMPLAUSIBLE_LATENCY]),
        ({"sentinels": []}, "999999", None),
    ],
)
def test_latencies_that_are_no_measurement(options: dict[str, Any], latency: str, reasons: list[str] | None) -> None:
    row = staged(source(columns={"latency_ms": {"from": "l", **options}}), (*HEAD, "l"), (*GOOD_ROW, latency))
    assert row["reasons"] == reasons


@pytest.mark.parametrize(
    "alike",
    [
        "Search",
        "search\u200b",
        "\u200bsea\u00adrch",
        "search\u2060",
        "search\u2009",
        " search\u00a0",
        "\uff33\uff45\uff41\uff52\uff43\uff48",
        "\u202esearch",
    ],
)
def test_names_that_look_alike_fold_into_one(alike: str) -> None:
    assert value(folded_sql("x"), alike) == "search"
    row = staged(source(columns={"feature": {"from": "feature", "fold": True}}), HEAD, (GOOD_ROW[0], alike, "ok"))
    assert row["feature"] == "search"


def test_composition_ligatures_and_inner_blanks_fold() -> None:
    assert (
        value(folded_sql("x"), "cafe\u0301  \ufb01nd") == value(folded_sql("x"), "CAF\u00c9 find") == "caf\u00e9 find"
    )


def test_a_map_may_keep_what_it_does_not_know() -> None:
    options = {"from": "feature", "map": {"srch": "search"}, "others": "keep"}
    for given, kept in (("SRCH", "search"), ("Pay", "Pay")):
        assert staged(source(columns={"feature": options}), HEAD, (GOOD_ROW[0], given, "ok"))["feature"] == kept


def test_a_part_of_a_value() -> None:
    options = {"from": "feature", "extract": "^[A-Z]+ ([^ ?]+)"}
    of = source(columns={"feature": options})
    assert staged(of, HEAD, (GOOD_ROW[0], "GET /pay?x=1 HTTP/1.1", "ok"))["feature"] == "/pay"
    assert staged(of, HEAD, (GOOD_ROW[0], "-", "ok"))["reasons"] == [Reason.MISSING_FEATURE]


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1.2s", 1200.0),
        ("350 ms", 350.0),
        ("12\u00b5s", 0.012),
        ("12us", 0.012),
        ("1500ns", 0.0015),
        ("1h2m3.5s", 3_723_500.0),
        ("2 min", 120_000.0),
        ("1 hour 5 minutes", 3_900_000.0),
        ("3 Seconds", 3000.0),
        ("PT1.2S", 1200.0),
        ("PT1M", 60_000.0),
        ("P1DT2H", 93_600_000.0),
        ("00:00:01.2", 1200.0),
        ("0 days 00:00:01.200000", 1200.0),
        ("1.02:03:04.5000000", 93_784_500.0),
        ("-00:00:01", -1000.0),
        ("-PT1S", -1000.0),
        # Months have no length, and a number no unit.
        ("P1M", None),
        ("5", None),
        ("01:02", None),
        ("1,5s", None),
        ("PT", None),
        ("s", None),
        ("", None),
        (None, None),
    ],
)
def test_durations_that_say_their_units(text: str | None, ms: float | None) -> None:
    assert value(duration_sql("x"), text) == (None if ms is None else pytest.approx(ms, rel=1e-12))


@pytest.mark.parametrize(
    ("options", "begin", "end", "latency", "reasons"),
    [
        ({}, "2026-02-01T10:00:00Z", "2026-02-01 10:00:01.25+00", 1250.0, None),
        ({}, "2026-02-01T10:00:00Z", None, None, None),
        ({}, None, "2026-02-01T10:00:00Z", None, None),
        ({}, "soon", "2026-02-01T10:00:00Z", None, [Reason.INVALID_LATENCY]),
        ({}, "2026-02-01T10:00:01Z", "2026-02-01T10:00:00Z", -1000.0, [Reason.NEGATIVE_LATENCY]),
        ({"unit": "ns"}, "1769940000000000000", "1769940000123456789", 123.456, None),
        ({"unit": "s"}, "12.5", "13.75", 1250.0, None),
        ({"format": "%H:%M:%S", "zone": "UTC"}, "10:00:00", "10:00:00.5", 500.0, None),
    ],
)
def test_a_latency_may_be_what_has_passed_since(
    options: dict[str, str], begin: str | None, end: str | None, latency: float | None, reasons: list[str] | None
) -> None:
    of = source(columns={"latency_ms": {"from": "end", "since": "begin", **options}})
    row = staged(of, (*HEAD, "begin", "end"), (*GOOD_ROW, begin, end))
    assert (row["latency_ms"], row["reasons"]) == (latency, reasons)


def test_a_duration_without_a_unit_is_none() -> None:
    of = source(columns={"latency_ms": {"from": "took", "unit": "duration"}})
    assert staged(of, (*HEAD, "took"), (*GOOD_ROW, "PT0.25S"))["latency_ms"] == 250.0
    assert staged(of, (*HEAD, "took"), (*GOOD_ROW, "250"))["reasons"] == [Reason.INVALID_LATENCY]
