"""SQL that is worked out in layers, and what it costs to plan what many words of a source's YAML say."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import duckdb
import pytest

from quality_assets.contracts.sources.events import Source
from quality_assets.domain.events.layers import Layers
from quality_assets.domain.events.texts import unless_in_sql
from quality_assets.domain.events.validation import RawColumns, judged_select, plain_select

HEAD = ("event_time", "feature", "status", "uid", "anon", "other")
LATEST = datetime(2026, 3, 1)
WORDS = tuple(f"word {number}" for number in range(12))


def source(**columns: Any) -> Source:
    needed = {"event_time": "event_time", "feature": "feature", "status": "status"}
    basis = {"name": "s", "owner": "o", "description": "d", "starts_on": "2020-01-01", "columns": needed | columns}
    return Source.model_validate(basis | {"null_values": WORDS})


def test_what_is_made_of_a_layer_lies_in_the_next() -> None:
    layers = Layers()
    assert [layers.named(sql) for sql in ("c0", "'x'", "CAST(NULL AS VARCHAR)")] == [
        "c0",
        "'x'",
        "CAST(NULL AS VARCHAR)",
    ]
    once = layers.named("c0 || '!'")
    twice = layers.named(f"{once} || {once}")
    assert layers.named("c0 || '!'") == once
    assert layers.named("c1 || '?'") != once
    relation = "(SELECT 'a' AS c0, 'b' AS c1)"
    query = f"SELECT {once}, {twice} FROM {layers.over(relation)}"
    assert duckdb.execute(query).fetchall() == [("a!", "a!a!")]


def test_a_relation_without_layers_is_itself() -> None:
    assert Layers().over("logs") == "logs"


@pytest.mark.parametrize(
    ("values", "kept"),
    [((), ["a", "b", "", None]), (("a",), [None, "b", "", None]), (("b", "", "c"), ["a", None, None, None])],
)
def test_a_text_that_is_among_some_values_is_none(values: tuple[str, ...], kept: list[str | None]) -> None:
    query = f"SELECT {unless_in_sql('x', values)} FROM (SELECT unnest(['a', 'b', '', NULL]) AS x)"
    assert [text for (text,) in duckdb.execute(query).fetchall()] == kept


MAPPED: dict[str, dict[str, Any]] = {
    "words that are none": {"user_id": "uid", "country": {"from": "other", "default": "XX"}},
    "an id with others in its place": {"user_id": {"from": "uid", "or_from": ["anon", "other"], "null_values": WORDS}},
    "a number among many ranges": {
        "country": {
            "from": "uid",
            "or_from": ["anon", "other"],
            "extract": "([0-9]+)",
            "fold": True,
            "map": {f"{10 * n}-{10 * n + 9}": f"tens {n}" for n in range(60)},
        }
    },
}


@pytest.mark.parametrize("columns", MAPPED.values(), ids=list(MAPPED))
def test_a_row_is_not_dear_for_many_words_in_a_yaml(columns: dict[str, Any]) -> None:
    raw = RawColumns(HEAD, tuple(f"c{index}" for index in range(len(HEAD))), may_nest=True)
    row = ("2026-02-01T10:00:00Z", "search", "ok", "word 11", "12", "word 3")
    cells = ", ".join(f"'{value}' AS c{index}" for index, value in enumerate(row))
    stamps = f"'f' AS file_id, 7 AS line_number, TIMESTAMP '{LATEST}' AS latest_event_time"
    of = source(**columns)
    begin = time.process_time()
    found = duckdb.execute(
        f"SELECT user_id, country FROM ({plain_select(of, raw, f'(SELECT {cells}, {stamps})')})",
        {"latest_event_time": LATEST},
    ).fetchall()
    judged = duckdb.execute(
        f"SELECT user_id, country FROM ({judged_select(of, raw, f'(SELECT {cells}, {stamps})')})"
    ).fetchall()
    # A tenth of a second by now; it took from two seconds to minutes.
    assert time.process_time() - begin < 1.5
    expected: dict[str, list[tuple[str | None, str | None]]] = {
        "words that are none": [(None, "XX")],
        "an id with others in its place": [("12", None)],
        "a number among many ranges": [(None, "tens 1")],
    }
    assert found == judged == expected[next(name for name, each in MAPPED.items() if each is columns)]
