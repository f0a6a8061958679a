"""Objects of JSON that have a key twice: nobody guesses which of the two was meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quality_assets.domain.live.event_rows import EventSource
from quality_assets.serve.collector.bodies import RefusedError as BodyRefusedError
from quality_assets.serve.collector.bodies import decoded
from quality_assets.serve.collector.receiving import ingest_batch, ingest_one, segment_batch, segment_one
from quality_assets.serve.collector.replaying import mended
from quality_assets.serve.json_keys import RepeatedKeys, items_with_repeats, with_repeats
from quality_assets.serve.prediction.asked_rows import RefusedError, read_json

SOURCE, NOW_US = EventSource(), 1_780_000_000_000_000
TWICE = '{"event_id": "e2", "user_id": "ann", "feature": "Cart", "status": "ok", "user_id": "bob"}'
ONCE = '{"event_id": "e1", "user_id": "ann", "feature": "Cart", "status": "ok"}'


@pytest.mark.parametrize(
    ("text", "is_marked"),
    [
        ('{"a": 1, "b": {"a": 2}, "c": [{"a": 3}, {"a": 4}]}', False),
        # Colons behind quotes within texts make a body suspect, and no more.
        ('{"a": "says \\": so", "b" : 1}', False),
        ("[]", False), ("7", False), ('"a"', False), ("[[], {}]", False),
        ('{"a": 1, "a": 1}', True), ('{"a": 1, "\\u0061": 2}', True), ('{"a" : 1, "a" : 2}', True),
        ('{"a": 1, "a" : 2}', True),
    ],
)  # fmt: skip
def test_a_key_that_comes_twice_marks_its_object(text: str, is_marked: bool) -> None:
    value = json.loads(text)
    found = with_repeats(text.encode(), value)
    assert found == value
    assert isinstance(found, RepeatedKeys) == is_marked


def test_the_first_key_that_comes_twice_is_named_and_all_pairs_stay() -> None:
    found = with_repeats(b'{"a": 1, "b": 2, "c": 3, "b": 4, "a": 5}', {"a": 5, "b": 4, "c": 3})
    assert found.first == "b"
    assert found.pairs == (("a", 1), ("b", 2), ("c", 3), ("b", 4), ("a", 5))


def test_of_items_only_their_own_keys_count() -> None:
    def marks(text: str) -> list[bool]:
        value = items_with_repeats(text.encode(), json.loads(text))
        items = value if isinstance(value, list) else value.get("batch", [value])
        assert all(type(each) in (dict, RepeatedKeys) for each in items)
        # What an item holds is plain whatever comes twice in it.
        held = [each["properties"] for each in items if "properties" in each]
        assert all(type(each) is dict for each in held)
        return [type(each) is RepeatedKeys for each in items]

    nested = '{"a": 1, "properties": {"k": 1, "k": {"x": 1, "x": 2}}}'
    assert marks(nested) == [False]
    assert marks(f"[{TWICE}, {ONCE}, {nested}]") == [True, False, False]
    assert marks(f'{{"sentAt": 1, "batch": [{ONCE}, {TWICE}, {nested}]}}') == [False, True, False]


def test_an_item_that_says_two_things_is_refused_alone_and_kept_as_it_was_sent() -> None:
    body = decoded(f'{{"batch": [{ONCE}, {TWICE}]}}'.encode())
    found = ingest_batch(body, SOURCE, NOW_US, may_hold_nul=False)
    assert found.errors == [{"index": 1, "reasons": ["repeated_key"]}]
    (letter,) = found.entry.letters
    assert letter.body == TWICE.replace(", ", ",").replace(": ", ":")
    assert len(found.entry.rows) == 1
    one = ingest_one(decoded(TWICE.encode()), SOURCE, NOW_US, may_hold_nul=False)
    assert one.errors == [{"index": 0, "reasons": ["repeated_key"]}]


def test_calls_of_segment_are_refused_alike() -> None:
    call = '{"messageId": "m1", "userId": "ann", "event": "buy", "type": "track", "userId": "bob"}'
    found = segment_batch(
        decoded(f'{{"batch": [{call}], "sentAt": null}}'.encode()), SOURCE, NOW_US, may_hold_nul=False
    )
    assert found.errors == [{"index": 0, "reasons": ["repeated_key"]}]
    one = segment_one(decoded(call.encode()), "t", SOURCE, NOW_US, may_hold_nul=False)
    assert one.errors == [{"index": 0, "reasons": ["repeated_key"]}]
    with pytest.raises(BodyRefusedError, match="'batch' is in the body twice"):
        segment_batch(decoded(b'{"batch": [], "batch": []}'), SOURCE, NOW_US, may_hold_nul=False)


def test_no_mapping_mends_it() -> None:
    item: Any = items_with_repeats(TWICE.encode(), json.loads(TWICE))
    assert mended(item, {("user_id", "bob"): "ann"}) is item


@pytest.mark.parametrize("text", ['{"MSRP": 1, "MSRP": 2}', '{"rows": [{"MSRP": 1}, {"MSRP": 1, "MSRP": 1}]}'])
def test_a_row_that_asks_for_two_things_is_not_answered_for_one(text: str) -> None:
    with pytest.raises(RefusedError, match="MSRP: it is there twice") as refused:
        read_json(text.encode())
    assert refused.value.status == 422
    assert refused.value.errors == [{"field": "MSRP", "why": "it is there twice", "given": "two values"}]
    assert read_json(b'{"MSRP": 1, "sub": {"MSRP": 2}}') == {"MSRP": 1, "sub": {"MSRP": 2}}
