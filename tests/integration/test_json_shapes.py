"""JSON as people have it: arrays, objects over several lines or in a row, nested values, and the exports of others."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staged_logs import Stage

from quality_assets.contracts.sources.events import Source, Sources
from quality_assets.contracts.sources.paths import Step, found, is_nested, steps_of
from quality_assets.stores.readers import FileRejected, json_shapes
from tests.examples import dear

T = "2026-02-01T10:00:00Z"
MALFORMED = ["malformed_row"]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    assert made.leftovers() == []
    made.close()


def event(number: int, **values: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "event_time": T, "feature": "search", "status": "ok", **values}


def source(**values: Any) -> Sources:
    made = Source.model_validate(
        {"name": "web", "owner": "o", "description": "d", "paths": ["web/**"], "starts_on": "2020-01-01", **values}
    )
    return Sources({"web": made})


def pretty(objects: list[Any]) -> str:
    return "\n".join(json.dumps(item, indent=2, ensure_ascii=False) for item in objects)


def test_an_array_in_which_rows_may_be_is_named(stage: Stage) -> None:
    body = {"sentAt": T, "ids": [1, 2], "batch": [event(1), event(2)]}
    with pytest.raises(FileRejected, match=r"needs event_time.*may be the elements of 'batch': `explode`"):
        stage.load(json.dumps(body), name="body.json")


def test_lines_that_are_no_objects_lose_no_column(stage: Stage) -> None:
    lines = "".join(json.dumps(event(number)) + "\n" for number in range(5))
    staged = stage.load(lines + "null\n42\n'end'\nexported\n")
    assert (staged.rows, staged.good_rows, staged.vanished_columns) == (9, 5, ())


SHAPES = {
    "lines": lambda objects: "".join(json.dumps(item) + "\n" for item in objects),
    "array on one line": json.dumps,
    "array, an object a line": lambda objects: "[\n" + ",\n".join(map(json.dumps, objects)) + "\n]\n",
    "array, commas first": lambda objects: "[" + "\n,".join(map(json.dumps, objects)) + "\n]",
    "pretty array": lambda objects: json.dumps(objects, indent=2, ensure_ascii=False),
    "pretty objects": pretty,
    "objects in a row": lambda objects: "".join(map(json.dumps, objects)),
    "lines that end in commas": lambda objects: "".join(json.dumps(item) + ",\n" for item in objects),
    "arrays in a row": lambda objects: "".join(json.dumps([item]) + "\n" for item in objects),
    "behind record separators": lambda objects: "".join(f"\x1e{json.dumps(item)}\n" for item in objects),
    "carriage returns": lambda objects: json.dumps(objects, indent=1).replace("\n", "\r\n"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_rows(stage: Stage, shape: str) -> None:
    objects = [event(n, properties={"a": [1, {"b": "x\n, {y}]"}], "ä": None}) for n in range(1, 4)]
    staged = stage.load(SHAPES[shape](objects), name="log.json")
    assert (staged.format, staged.rows, staged.good_rows) == ("jsonl", 3, 3)
    assert stage.rows("event_id", "line_number") == [("e1", 1), ("e2", 2), ("e3", 3)]
    assert [json.loads(text) for text in stage.rows("properties")] == [item["properties"] for item in objects]


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)


@given(
    nested=st.lists(st.dictionaries(st.text(max_size=5), values, max_size=3), min_size=1, max_size=6),
    shape=st.sampled_from(sorted(SHAPES)),
    characters=st.integers(16, 200),
)
@settings(max_examples=dear(25))
def test_no_object_is_lost_whatever_the_shape(nested: list[Any], shape: str, characters: int) -> None:
    # Keys of a contract column would be read as such.
    objects = [event(n) | {"more": item} for n, item in enumerate(nested)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        # Objects that lie across the ends of what is read at a time.
        patched.setattr(json_shapes, "CHUNK_BYTES", characters)
        stage = Stage(Path(folder))
        staged = stage.load(SHAPES[shape](objects), name="log.json")
        ids = stage.rows("event_id")
        stage.close()
    assert (staged.rows, staged.good_rows) == (len(objects), len(objects))
    assert ids == [item["event_id"] for item in objects]


@given(
    shape=st.sampled_from(sorted(SHAPES)),
    count=st.integers(1, 5),
    cut=st.integers(0, 400),
    noise=st.text(alphabet='{}[]",: \n\\a1', max_size=8),
)
@settings(max_examples=dear(25))
def test_rows_in_are_valid_or_quarantined_wherever_a_file_is_damaged(
    shape: str, count: int, cut: int, noise: str
) -> None:
    whole = SHAPES[shape]([event(n) for n in range(count)])
    damaged = whole[: cut % len(whole)] + noise + whole[cut % len(whole) :]
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        try:
            staged = stage.load(damaged, name="log.json")
        except FileRejected:
            assert stage.rows("line_number") == []
        else:
            numbers = stage.rows("line_number")
            assert staged.rows == len(numbers) == len(set(numbers))
            assert staged.good_rows == stage.rows("reasons").count(None)
        stage.close()


def of_columns(*names: str) -> Sources:
    """A source that maps these columns beside those that each must have, each by its own name."""
    return source(columns={name: name for name in ("event_id", "event_time", "feature", "status", *names)})


def as_lines(*events: dict[str, Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in events)


_NAMES = ("event_name", "user_id", "session_id", "app_version", "country")


@pytest.mark.parametrize("name", ["feature", "event_id", *_NAMES])
@pytest.mark.parametrize("nested", [["a", "b"], {"id": 1}, [[]]])
def test_a_list_or_an_object_is_no_name_and_no_id(stage: Stage, name: str, nested: Any) -> None:
    lines = as_lines(event(1), event(2, **{name: nested}), event(3, user_id=7))
    stage.load(lines, name="log.jsonl", landing_path="web/a.jsonl", sources=of_columns(*_NAMES))
    assert refused(stage) == {2: ["nested_value"]}
    assert stage.rows("event_id", "user_id")[0::2] == [("e1", None), ("e3", "7")]


def test_an_empty_list_is_no_value_and_a_name_in_brackets_is_one(stage: Stage) -> None:
    lines = as_lines(event(1, user_id=[], country={}), event(2, feature="[beta] search"), event(3, feature=[]))
    stage.load(lines, name="log.jsonl", landing_path="web/a.jsonl", sources=of_columns("user_id", "country"))
    assert refused(stage) == {3: ["missing_feature"]}
    assert stage.rows("feature", "user_id", "country")[:2] == [("search", None, None), ("[beta] search", None, None)]


def test_a_list_of_parquet_is_no_name(stage: Stage) -> None:
    path = stage.folder / "a.parquet"
    values = {"event_time": [T, T], "status": ["ok", "ok"]}
    pq.write_table(pa.table({**values, "event_id": ["p1", "p2"], "feature": [["search"], None]}), path)
    stage.stage(path, landing_path="web/a.parquet", sources=of_columns())
    assert refused(stage) == {1: ["nested_value"], 2: ["missing_feature"]}


def test_a_text_in_csv_is_what_it_is(stage: Stage) -> None:
    stage.load(f"event_id,event_time,feature,status\ne1,{T},[1],ok\n", landing_path="web/a.csv", sources=of_columns())
    assert stage.rows("feature", "reasons") == [("[1]", None)]


def test_which_of_two_is_no_id(stage: Stage) -> None:
    lines = as_lines(event(1, event_id=True, user_id=True), event(2, event_id=True, user_id=False))
    stage.load(lines, name="log.jsonl", landing_path="web/a.jsonl", sources=of_columns("user_id"))
    assert stage.rows("user_id") == [None, None]
    assert [event_id.rpartition("-")[2] for event_id in stage.rows("coalesce(event_id, 'f1-' || line_number)")] == [
        "1",
        "2",
    ]
    assert refused(stage) == {}


def test_a_broken_object_costs_one_row(stage: Stage) -> None:
    good = [event(n) for n in range(1, 4)]
    parts = [json.dumps(good[0]), '{"event_id": "x", "event_time": }', json.dumps(good[1]), "oops", json.dumps(good[2])]
    stage.load("[" + ",\n".join(parts) + "]", name="log.json")
    assert stage.accounts() == [(1, None), (2, MALFORMED), (3, None), (4, MALFORMED), (5, None)]


def test_an_open_quote_in_a_pretty_array_costs_one_row(stage: Stage) -> None:
    text = json.dumps([event(n) for n in range(1, 4)], indent=2).replace('"search"', '"search', 1)
    stage.load(text, name="log.json")
    assert stage.accounts() == [(1, MALFORMED), (2, None), (3, None)]


def test_an_object_too_large_is_a_reason_to_reject(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_shapes, "MAX_OBJECT_CHARACTERS", 1000)
    monkeypatch.setattr(json_shapes, "CHUNK_BYTES", 100)
    with pytest.raises(FileRejected, match="more than 0 MB; write one object a line"):
        stage.load("[" + json.dumps(event(1, more="x" * 5000)) + "]", name="log.json")


# --- Keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "*", "\ud800", "a.b", 'qu"ote', "\\", "$", "x" * 300])
def test_no_key_that_nobody_maps_matters(stage: Stage, key: str) -> None:
    staged = stage.load(json.dumps(event(1) | {key: 1}) + "\n" + json.dumps(event(2)) + "\n", name="log.jsonl")
    assert staged.rows == 2
    assert stage.rows("reasons")[1] is None
    # DuckDB's JSON has no surrogates: that row is quarantined, and the file read.
    assert stage.rows("reasons")[0] == (MALFORMED if key == "\ud800" else None)


def test_thousands_of_distinct_keys(stage: Stage) -> None:
    lines = [json.dumps(event(n) | {f"key_{n}_{i}": i for i in range(20)}) for n in range(1000)]
    assert stage.load("\n".join(lines), name="log.jsonl").good_rows == 1000


def test_keys_are_found_in_any_case_early_and_late(stage: Stage) -> None:
    lines = [json.dumps(event(n)) for n in range(1500)]
    lines[0] = lines[0].replace('"status"', '"Status"')
    lines[1400] = lines[1400].replace('"status"', '"STATUS"').replace('"feature"', '"Feature"')
    assert stage.load("\n".join(lines), name="log.jsonl").good_rows == 1500


def test_a_key_that_comes_twice_is_told(stage: Stage) -> None:
    twice = json.dumps(event(1))[:-1] + ', "status": "crash"}'
    other = json.dumps(event(2))[:-1] + ', "Status": "crash"}'
    stage.load(f"{twice}\n{other}\n{json.dumps(event(3))}\n", name="log.jsonl")
    assert stage.accounts() == [(1, MALFORMED), (2, MALFORMED), (3, None)]
    assert json.loads(stage.rows("raw_row")[0])["line"] == twice


def test_a_key_that_is_renamed_midway_has_vanished(stage: Stage) -> None:
    lines = [json.dumps(event(n, latency_ms=1)) for n in range(3)] + [
        json.dumps(event(n, latency=1)) for n in (3, 4, 5)
    ]
    assert stage.load("\n".join(lines), name="log.jsonl").vanished_columns == ("latency_ms",)
    now_and_then = [json.dumps(event(n, **({"latency_ms": 1} if n % 3 == 0 else {}))) for n in range(30)]
    assert stage.load("\n".join(now_and_then), name="other.jsonl").vanished_columns == ()


# --- Paths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("a", (Step("a"),)),
        ("a.b.c", (Step("a"), Step("b"), Step("c"))),
        ('a."b.c"', (Step("a"), Step("b.c"))),
        ("p[key=http.route].value.*", (Step("p", "key", "http.route"), Step("value"), Step("*", any_value=True))),
        ("p.$os", (Step("p"), Step("$os"))),
        ("a.b[0].c", (Step("a"), Step("b", place=0), Step("c"))),
        ("v[12]", (Step("v", place=12),)),
        ("v[x]", (Step("v[x]"),)),
        ("cs(Host)", (Step("cs(Host)"),)),
        ("a..b", (Step("a..b"),)),
        ("a.", (Step("a."),)),
        ("*", (Step("*"),)),
        ("", (Step(""),)),
    ],
)
def test_steps_of_a_path(path: str, steps: tuple[Step, ...]) -> None:
    assert steps_of(path) == steps
    assert is_nested(path) == (len(steps) > 1 or steps[0].place is not None)


def test_what_a_path_leads_to() -> None:
    value = {"a": {"b": [1]}, "p": [1, {"key": "x", "value": {"s": None, "i": 5}}]}
    assert found(value, steps_of("a.b")) == [1]
    assert found(value, steps_of("p[key=x].value.*")) == 5
    assert found(value, steps_of("p[key=y].value")) is None
    assert found(value, steps_of("a.b.c")) is None
    assert (found(value, steps_of("a.b[0]")), found(value, steps_of("a.b[1]"))) == (1, None)
    assert (found(value, steps_of("p[1].value.i")), found(value, steps_of("a[0]"))) == (5, None)


def nested_source() -> Sources:
    return source(
        columns={
            "event_time": "at",
            "feature": "what.name",
            "status": "params[key=status].value.*",
            "device_type": "what.device.type",
            "country": "a.b",
            "user_id": "never.there",
        }
    )


def nested_row() -> dict[str, Any]:
    params = [{"key": "other", "value": {"i": 1}}, {"key": "status", "value": {"i": None, "s": "ok"}}]
    return {"at": T, "what": {"name": "pay", "device": {"type": "ios"}}, "params": params, "a.b": "DE", "a": {"b": "X"}}


def test_nested_values_of_json(stage: Stage) -> None:
    staged = stage.load(
        json.dumps(nested_row()) + "\n", name="log.json", landing_path="web/a.json", sources=nested_source()
    )
    assert stage.rows("feature", "status", "device_type", "country", "user_id") == [("pay", "ok", "ios", "DE", None)]
    assert staged.absent_columns == ("user_id",)


def test_nested_values_of_parquet(stage: Stage) -> None:
    path = stage.folder / "a.parquet"
    pq.write_table(pa.Table.from_pylist([nested_row()]), path)
    staged = stage.stage(path, landing_path="web/a.parquet", sources=nested_source())
    assert stage.rows("feature", "status", "device_type", "country", "user_id") == [("pay", "ok", "ios", "DE", None)]
    assert staged.absent_columns == ("user_id",)


LOKI = {
    "status": "success",
    "data": {
        "result": [
            {"stream": {"app": "pay"}, "values": [["1769940000000000000", "ok"], ["1769940001000000000", "crash"]]},
            {"stream": {"app": "cart"}, "values": [["1769940002000000000", "error"]]},
        ]
    },
}


def test_elements_by_their_place_as_loki_answers(stage: Stage) -> None:
    columns = {
        "event_time": {"from": "data.result.values[0]", "unit": "ns"},
        "feature": "data.result.stream.app",
        "status": "data.result.values[1]",
        "country": "data.result.values[2]",
    }
    sources = source(columns=columns, explode="data.result.values")
    staged = stage.load(json.dumps(LOKI), name="q.json", landing_path="web/q.json", sources=sources)
    assert stage.rows("feature", "status") == [("pay", "ok"), ("pay", "crash"), ("cart", "error")]
    assert stage.rows("cast(event_time as varchar)")[1] == "2026-02-01 10:00:01"
    assert staged.absent_columns == ("country",)


def test_elements_by_their_place_in_parquet(stage: Stage) -> None:
    path = stage.folder / "a.parquet"
    rows = [{"at": T, "dimensions": [{"value": "pay"}, {"value": "DE"}], "st": ["ok"]}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    columns = {
        "event_time": "at",
        "feature": "dimensions[0].value",
        "country": "dimensions[1].value",
        "status": "st[0]",
    }
    stage.stage(path, landing_path="web/a.parquet", sources=source(columns=columns))
    assert stage.rows("feature", "country", "status") == [("pay", "DE", "ok")]


def test_a_required_path_that_leads_nowhere_rejects_the_file(stage: Stage) -> None:
    with pytest.raises(FileRejected, match=r"'web' needs what\.name.*the file has at, params"):
        stage.load(
            json.dumps({"at": T, "params": [{"key": "status", "value": {"s": "ok"}}]}),
            name="log.json",
            landing_path="web/a.json",
            sources=nested_source(),
        )


def test_arrays_are_taken_apart(stage: Stage) -> None:
    columns = {"event_time": "batch.items.at", "feature": "batch.app", "status": "batch.items.end"}
    items = [{"at": T, "end": "ok"}, {"at": T, "end": "error"}]
    lines = [{"batch": {"app": "a", "items": items}}, {"batch": {"app": "b", "items": []}}, {"batch": {"app": "c"}}]
    staged = stage.load(
        "\n".join(map(json.dumps, lines)) + "\n{broken\n",
        name="log.json",
        landing_path="web/a.json",
        sources=source(columns=columns, explode="batch.items"),
    )
    assert stage.rows("feature", "status") == [("a", "ok"), ("a", "error"), ("c", None), (None, None)]
    assert (staged.rows, staged.good_rows) == (4, 2)


# --- JSON in a text --------------------------------------------------------------------------------------------------


def wrapped_source() -> Sources:
    """Columns within the text of a column, with a further text in it, and an array."""
    columns = {
        "event_id": "log.id",
        "event_time": "log.at",
        "feature": "log.what.name",
        "status": "log.params[key=status].value.*",
        "user_id": "log.more.user",
        "country": "stream",
    }
    return source(columns=columns, csv={"escape": None})


def wrapped_text(number: int) -> str:
    return json.dumps(
        {
            "id": f"e{number}",
            "at": T,
            "what": {"name": 'pay "now"'},
            "params": [{"key": "a", "value": {"s": "x"}}, {"key": "status", "value": {"s": None, "t": "error"}}],
            "more": json.dumps({"user": f"ü{number}"}),
        }
    )


WRAPPED = ("event_id", "feature", "status", "user_id", "country")
NO_EVENT = ["missing_event_time", "missing_feature", "missing_status"]


def refused(stage: Stage) -> dict[int, list[str]]:
    return {line: reasons for line, reasons in stage.accounts() if reasons is not None}


def test_paths_go_through_texts_that_are_json(stage: Stage) -> None:
    # As Docker writes what a container writes: a line of its log in each, which need be no JSON.
    rows = [{"log": f"{wrapped_text(n)}\n", "stream": "out", "time": T} for n in (1, 2)]
    rows += [{"log": "Traceback (most recent call last):\n", "stream": "err"}, {"log": json.loads(wrapped_text(4))}]
    rows += [{"log": '{"id": "e5"'}, {"log": None}]
    staged = stage.load(
        "".join(json.dumps(row) + "\n" for row in rows),
        name="log.json",
        landing_path="web/a.json",
        sources=wrapped_source(),
    )
    good = [(f"e{n}", 'pay "now"', "error", f"ü{n}", place) for n, place in ((1, "out"), (2, "out"), (4, None))]
    assert [row for row in stage.rows(*WRAPPED) if row[1]] == good
    assert (staged.rows, staged.good_rows, staged.absent_columns) == (6, 3, ())
    assert refused(stage) == {3: NO_EVENT, 5: NO_EVENT, 6: NO_EVENT}


def test_paths_go_through_columns_of_parquet_that_are_json(stage: Stage) -> None:
    path = stage.folder / "a.parquet"
    pq.write_table(pa.table({"log": [wrapped_text(1), "no JSON", None], "stream": ["out", "err", "err"]}), path)
    staged = stage.stage(path, landing_path="web/a.parquet", sources=wrapped_source())
    assert stage.rows(*WRAPPED[:3], "country")[0] == ("e1", 'pay "now"', "error", "out")
    assert (staged.rows, staged.good_rows) == (3, 1)
    assert refused(stage) == {2: NO_EVENT, 3: NO_EVENT}


@pytest.mark.parametrize("damage", ["", '1,"open quote\n', "a\0b,err\n", "one,two,three\n"])
def test_paths_go_through_columns_of_csv_that_are_json(stage: Stage, damage: str) -> None:
    def line(text: str, stream: str) -> str:
        return '"' + text.replace('"', '""') + f'",{stream}\n'

    # The second JSON goes on over a line end, where no quote is open before it.
    second = wrapped_text(2) if "open" in damage else wrapped_text(2).replace(": ", ":\n", 1)
    text = "log,stream\n" + line(wrapped_text(1), "out") + damage + line(second, "out")
    staged = stage.load(
        text + line("no JSON", "err") + "log,stream\n",
        name="a.csv",
        landing_path="country=NO/web/a.csv",
        sources=Sources({"web": wrapped_source()["web"].model_copy(update={"paths": ("**/web/**",)})}),
    )
    good = [row for row in stage.rows("event_id", "feature", "status", "country") if row[1]]
    assert good == [(f"e{n}", 'pay "now"', "error", "out") for n in (1, 2)]
    assert (staged.rows, staged.good_rows) == (4 + bool(damage), 2)
    kept = stage.connection.execute("select raw_row from judged where list_contains(reasons, 'missing_feature')")
    assert '{"log":"no JSON","stream":"err"}' in [row for (row,) in kept.fetchall()]
    assert [reasons for reasons in refused(stage).values() if reasons == ["repeated_header"]] == [["repeated_header"]]


def test_a_key_that_columns_are_wrapped_in_is_named(stage: Stage) -> None:
    with pytest.raises(FileRejected, match=r"needs event_time.*within 'payload'.*`from: payload\.event_time`"):
        stage.load(json.dumps({"schema": {}, "payload": event(1)}), name="a.json")
    with pytest.raises(FileRejected, match=r"within 'log'.*`from: log\.event_time`"):
        stage.load(json.dumps({"log": json.dumps(event(1)) + "\n"}), name="a.json")


# --- Columns that stand in for others --------------------------------------------------------------------------------


def test_another_column_is_tried_where_the_first_is_blank(stage: Stage) -> None:
    columns = {
        "event_time": {"from": "time", "or_from": "seen.at", "null_values": ["0"], "unit": "ms"},
        "feature": "page",
        "status": {"from": "code", "or_from": ["text", "late"], "map": {"1-9": "ok", "bad": "error"}},
        "user_id": {"from": "user", "or_from": ["visitor", "device"]},
        "latency_ms": {"from": "took", "null_values": ["-1"]},
    }
    at = 1769940000000
    rows: list[dict[str, Any]] = [
        {"time": at, "seen": {"at": 1}, "page": "a", "code": 1, "text": "bad", "user": "u1", "visitor": "v", "took": 5},
        {"time": 0, "seen": {"at": at}, "page": "b", "text": "BAD", "user": None, "visitor": "v1", "took": -1},
        {"seen": {"at": at + 1}, "page": "c", "code": "", "late": "bad", "user": "null", "device": 7.0, "took": 0},
        {"time": "0", "seen": {"at": 0}, "page": "d", "code": 2, "user": " ", "visitor": "None", "device": "-"},
        {"time": "soon", "seen": {"at": at}, "page": "e", "code": 2, "took": -2},
    ]
    staged = stage.load(
        "".join(json.dumps(row) + "\n" for row in rows),
        name="log.json",
        landing_path="web/a.json",
        sources=source(columns=columns),
    )
    # 1769940000000 ms after 1970 is 2026-02-01 10:00 UTC.
    ten = datetime(2026, 2, 1, 10)
    assert stage.rows("feature", "event_time", "status", "user_id", "latency_ms", "reasons") == [
        ("a", ten, "ok", "u1", 5, None),
        ("b", ten, "error", "v1", None, None),
        ("c", ten.replace(microsecond=1000), "error", "7", 0, None),
        ("d", None, "ok", None, None, ["missing_event_time"]),
        ("e", None, "ok", None, -2, ["invalid_event_time", "negative_latency"]),
    ]
    assert (staged.rows, staged.good_rows, staged.absent_columns) == (5, 3, ())


@pytest.mark.parametrize("time", ["time", "seen", "at"])
def test_one_of_the_columns_that_stand_in_for_each_other_is_enough(stage: Stage, time: str) -> None:
    columns = {"event_time": {"from": "time", "or_from": "seen"}, "feature": "page", "status": {"constant": "ok"}}
    options: dict[str, Any] = {"landing_path": "web/a.csv", "sources": source(columns=columns)}
    if time == "at":
        with pytest.raises(FileRejected, match="needs time; the file has at, page"):
            stage.load(f"at,page\n{T},a\n", **options)
        return
    staged = stage.load(f"{time},page\n{T},a\n", **options)
    assert (staged.good_rows, staged.absent_columns) == (1, ())


def test_otlp_records_have_the_time_and_the_severity_that_there_is(stage: Stage) -> None:
    records: list[dict[str, Any]] = [
        {"timeUnixNano": "1769940000000000000", "severityNumber": 9, "severityText": "ERROR"},
        {
            "timeUnixNano": "0",
            "observedTimeUnixNano": "1769940001000000000",
            "severityNumber": 0,
            "severityText": "Error",
        },
        {"observedTimeUnixNano": "1769940002000000000", "severityText": "FATAL"},
        {"observedTimeUnixNano": "1769940003000000000", "severityText": "Information"},
    ]
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}
    body = {"resourceLogs": [{"resource": service, "scopeLogs": [{"logRecords": records}]}]}
    staged = stage.load(json.dumps(body), name="a.json", landing_path="otlp_logs/a.json")
    assert stage.rows("second(event_time)", "feature", "status") == [
        (0, "cart", "ok"),
        (1, "cart", "error"),
        (2, "cart", "crash"),
        (3, "cart", "ok"),
    ]
    assert staged.good_rows == 4


# --- The exports of others -------------------------------------------------------------------------------------------

SEGMENT = {
    "anonymousId": "507f191e810c19729de860ea",
    "channel": "browser",
    "context": {
        "app": {"name": "Shop", "version": "3.1.4"},
        "device": {"type": "ios", "model": "iPhone7,2"},
        "ip": "192.0.2.1",
        "location": {"country": "DE"},
        "os": {"name": "iOS", "version": "17.1"},
    },
    "event": "Order Completed",
    "messageId": "ajs-next-1",
    "originalTimestamp": "2026-02-01T09:59:58.100Z",
    "properties": {"status": "failed", "duration_ms": 812, "total": 19.9},
    "receivedAt": "2026-02-01T10:00:00.500Z",
    "sentAt": "2026-02-01T09:59:59.000Z",
    "timestamp": "2026-02-01T10:00:00.000Z",
    "type": "track",
    "userId": "97980cfea0067",
}
MIXPANEL = {
    "event": "Signed up",
    "properties": {
        "time": 1769940000,
        "distinct_id": "13793",
        "$insert_id": "29fc2962",
        "$os": "Android",
        "$device": "Pixel 8",
        "$app_version_string": "2.0.1",
        "mp_country_code": "US",
        "mp_processing_time_ms": 1769940001234,
        "Referred by": "Friend",
    },
}
AMPLITUDE = {
    "$insert_id": "1",
    "app": 123456,
    "country": "United States",
    "device_type": "Apple iPhone",
    "event_properties": {"status": "error"},
    "event_time": "2026-02-01 10:00:00.123000",
    "event_type": "watch tutorial",
    "platform": "iOS",
    "server_received_time": "2026-02-01 10:00:02.000000",
    "session_id": 1769939990000,
    "user_id": "datamonster@example.org",
    "uuid": "bf0b9b2a-304d-11e6-934f-22000b56058f",
    "version_name": "1.2.3",
}
GA4 = {
    "event_date": "20260201",
    "event_timestamp": "1769940000123456",
    "event_name": "page_view",
    "event_params": [
        {"key": "page_title", "value": {"string_value": "Home"}},
        {"key": "ga_session_id", "value": {"int_value": "1769939990"}},
    ],
    "user_pseudo_id": "1234567890.1769000000",
    "device": {"category": "mobile", "operating_system": "Android"},
    "geo": {"country": "Germany"},
    "app_info": None,
    "platform": "WEB",
}
OTLP = {
    "resourceLogs": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]},
            "scopeLogs": [
                {
                    "scope": {"name": "pay"},
                    "logRecords": [
                        {
                            "timeUnixNano": "1769940000123456789",
                            "observedTimeUnixNano": "1769940001000000000",
                            "severityNumber": number,
                            "severityText": "INFO",
                            "body": {"stringValue": "paid"},
                            "attributes": [
                                {"key": "user.id", "value": {"stringValue": "u1"}},
                                {"key": "duration_ms", "value": {"doubleValue": 12.5}},
                            ],
                        }
                        for number in (9, 17, 21)
                    ],
                }
            ],
        }
    ]
}
AT = datetime(2026, 2, 1, 10)


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        ("segment", SEGMENT, [(AT, "Order Completed", "error", "97980cfea0067", 812.0, "ios", "iOS", "3.1.4", "DE")]),
        ("mixpanel", MIXPANEL, [(AT, "Signed up", "ok", "13793", None, "Pixel 8", "Android", "2.0.1", "US")]),
        (
            "amplitude",
            AMPLITUDE,
            [
                (
                    AT.replace(microsecond=123000),
                    "watch tutorial",
                    "error",
                    "datamonster@example.org",
                    None,
                    "Apple iPhone",
                    "iOS",
                    "1.2.3",
                    "United States",
                )
            ],
        ),
        (
            "ga4",
            GA4,
            [
                (
                    AT.replace(microsecond=123456),
                    "page_view",
                    "ok",
                    "1234567890.1769000000",
                    None,
                    "mobile",
                    "Android",
                    None,
                    "Germany",
                )
            ],
        ),
        (
            "otlp_logs",
            OTLP,
            [
                (AT.replace(microsecond=123456), "checkout", status, "u1", 12.5, None, None, None, None)
                for status in ("ok", "error", "crash")
            ],
        ),
    ],
)
def test_exports_of_others(stage: Stage, name: str, line: dict[str, Any], expected: list[Any]) -> None:
    staged = stage.load(json.dumps(line) + "\n", name="log.json", landing_path=f"{name}/log.json")
    assert staged.source == name
    assert stage.rows("reasons") == [None] * len(expected)
    columns = "event_time, feature, status, user_id, latency_ms, device_type, platform, app_version, country"
    assert stage.rows(*columns.split(", ")) == expected


def test_a_table_of_a_warehouse_of_segment(stage: Stage) -> None:
    stage.load(
        "id,anonymous_id,context_app_version,context_os_name,event,event_text,received_at,timestamp,user_id\n"
        "m1,a1,1.10,iOS,order_completed,Order Completed,2026-02-01 10:00:02.5 UTC,2026-02-01 10:00:00 UTC,u1\n",
        name="tracks.csv",
        landing_path="segment/tracks.csv",
    )
    columns = "event_id, event_time, feature, user_id, platform, app_version, received_at, reasons"
    received = AT.replace(second=2, microsecond=500000)
    assert stage.rows(*columns.split(", ")) == [
        ("m1", AT, "Order Completed", "u1", "iOS", "1.10", received, None),
    ]


def test_ga4_as_parquet(stage: Stage) -> None:
    path = stage.folder / "ga4.parquet"
    table = pa.Table.from_pylist([GA4 | {"event_timestamp": 1769940000123456, "app_info": {"version": "1"}}])
    pq.write_table(table, path)
    stage.stage(path, landing_path="ga4/a.parquet")
    assert stage.rows("feature", "session_id", "platform", "app_version", "reasons") == [
        ("page_view", "1769939990", "Android", "1", None)
    ]


def test_a_first_line_may_be_long(stage: Stage) -> None:
    events = [event(1, pad="x" * 300_000), *(event(n, pad="x" * 1000) for n in range(2, 1000))]
    assert stage.load("\n".join(map(json.dumps, events))).good_rows == 999


@pytest.mark.parametrize("rows", [4_000, 20_000])
def test_one_long_object_tells_where_its_rows_may_be(stage: Stage, rows: int) -> None:
    with pytest.raises(FileRejected, match=r"`explode` in (the|its) source's YAML takes them apart"):
        stage.load(json.dumps({"Records": [event(1)] * rows}))


def test_spans_of_opentelemetry_took_from_their_beginning_to_their_end(stage: Stage) -> None:
    begin = 1_769_940_000_000_000_000
    spans: list[dict[str, Any]] = [
        {"startTimeUnixNano": str(begin), "endTimeUnixNano": str(begin + 12_345_678), "status": {}},
        {"startTimeUnixNano": begin, "endTimeUnixNano": begin + 1_500_000_000, "status": {"code": 2}},
        {"startTimeUnixNano": begin, "endTimeUnixNano": begin - 1_000_000, "status": {"code": "STATUS_CODE_ERROR"}},
        {"startTimeUnixNano": begin},
    ]
    named = [{"traceId": "a", "spanId": str(n), "name": "GET /cart", **span} for n, span in enumerate(spans)]
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}
    body = {"resourceSpans": [{"resource": service, "scopeSpans": [{"spans": named}]}]}
    stage.load(json.dumps(body), name="a.json", landing_path="otlp_spans/a.json")
    assert stage.rows("event_id", "feature", "event_name", "status", "latency_ms", "reasons") == [
        ("a0", "cart", "GET /cart", "ok", 12.345, None),
        ("a1", "cart", "GET /cart", "error", 1500.0, None),
        ("a2", "cart", "GET /cart", "error", -1.0, ["negative_latency"]),
        ("a3", "cart", "GET /cart", "ok", None, None),
    ]


@pytest.mark.parametrize("damage", [b"", b"\n\xff"])
def test_action_lines_of_a_bulk_file_are_no_rows(stage: Stage, damage: bytes) -> None:
    action = b'{"index":{"_index":"events"}}\n'
    content = b"".join(action + json.dumps(event(n)).encode() + b"\n" for n in range(3)) + b"\n" + damage
    staged = stage.load(
        content,
        name="a.ndjson",
        landing_path="web/a.ndjson",
        sources=source(columns={n: n for n in ("event_time", "feature", "status")}, csv={"comment": '{"index"'}),
    )
    assert (staged.rows, staged.good_rows) == (3 + bool(damage), 3)
    assert stage.rows("line_number")[:3] == [2, 4, 6]


def packed(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def test_an_array_of_parquet_is_taken_apart(stage: Stage) -> None:
    at = pa.array([datetime(2026, 2, 1, 10, 0, 0, 123456)] * 3, pa.timestamp("us"))
    items = pa.array([[{"f": "cart", "s": "ok"}, {"f": "pay", "s": "error"}], [], [{"f": "cart", "s": "crash"}]])
    columns = {"event_time": "at", "feature": "items.f", "status": "items.s"}
    staged = stage.load(
        packed(pa.table({"at": at, "items": items})),
        name="a.parquet",
        landing_path="web/a.parquet",
        sources=source(columns=columns, explode="items"),
    )
    assert staged.format == "parquet"
    utc = datetime(2026, 2, 1, 10, 0, 0, 123456)
    assert stage.rows("line_number", "event_time", "feature", "status") == [
        (1, utc, "cart", "ok"),
        (2, utc, "pay", "error"),
        (3, utc, "cart", "crash"),
    ]


@pytest.mark.parametrize(("unit", "value"), [("s", 2), ("ms", 2000), ("us", 2_000_000), ("ns", 2_000_000_000)])
def test_durations_of_parquet_say_their_unit(stage: Stage, unit: str, value: int) -> None:
    table = pa.table({name: [text] for name, text in (("event_time", T), ("feature", "a"), ("status", "ok"))})
    took = pa.array([value], pa.duration(unit))
    stage.load(packed(table.append_column("latency_ms", took)), name="a.parquet")
    assert stage.rows("latency_ms", "reasons") == [(2000.0, None)]


def test_parquet_files_one_behind_the_other_are_refused(stage: Stage) -> None:
    one = packed(pa.table({name: [text] for name, text in (("event_time", T), ("feature", "a"), ("status", "ok"))}))
    with pytest.raises(FileRejected, match="several Parquet files one behind the other"):
        stage.load(one + one, name="a.parquet")
