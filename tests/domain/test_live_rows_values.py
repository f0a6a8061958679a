"""One sent event at the edges of every rule, and messages of Segment's API field by field."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import pytest
import yaml

from quality_assets.domain.live.event_rows import EventSource, accept, holds_nul, instant_us
from quality_assets.domain.live.segment import STATUS_WORDS, TYPES, is_usage, segment_fields
from quality_assets.settings import REPOSITORY_ROOT

NOW_US = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 1_000_000
MINUTE_US = 60_000_000
SOURCE = EventSource()


def _found(fields: dict[str, Any], source: EventSource = SOURCE) -> Any:
    return accept({"event_id": "a"} | fields, source, NOW_US, may_hold_nul=True)


def _accepted(fields: dict[str, Any], place: int) -> Any:
    found = _found(fields)
    assert isinstance(found, tuple), found
    return found[place]


def test_a_whole_row_in_its_order() -> None:
    fields = {
        "event_id": " e1 ", "event_time": NOW_US - MINUTE_US, "timestamp": NOW_US - 9 * MINUTE_US,
        "feature": " Pay ", "event_name": " buy ", "event_type": "other", "user_id": " u1 ", "session_id": " s1 ",
        "status": " crash ", "latency_ms": 12, "feedback_score": 4, "device_type": " phone ", "platform": " ios ",
        "app_version": " 1.2 ", "country": " DE ", "variant": " x:b ", "received_at": "never kept",
        "properties": {"b": 1, "price": 3}, "price": 2, "more": "m",
    }  # fmt: skip
    key = blake2b(b"e1", digest_size=16, key=b"web").digest()
    assert accept(fields, EventSource("web", "Shop"), NOW_US, may_hold_nul=True) == (
        key, "e1", NOW_US - MINUTE_US, "Pay", "buy", "u1", "s1", "crash", 12.0, 4.0,
        "phone", "ios", "1.2", "DE", "x:b", '{"price":3,"more":"m","b":1}',
    )  # fmt: skip


def test_a_row_of_an_id_alone() -> None:
    key = blake2b(b"a", digest_size=16, key=b"default").digest()
    assert _found({}) == (
        key, "a", NOW_US, "app", "use", None, None, "ok", None, None, None, None, None, None, None, None,
    )  # fmt: skip


def test_sixty_four_bytes_of_a_senders_name_key_its_events() -> None:
    long = EventSource("n" * 64)
    assert _found({}, long) == _found({}, EventSource("n" * 65))
    assert _found({}, long) != _found({}, EventSource("n" * 63))


SECONDS_PER_DAY = 86_400


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (10**8 - 1, None),
        (10**8, 10**14),
        (10**11 - 1, 10**17 - 10**6),
        (10**11, 10**14),
        (10**14 - 1, 10**17 - 10**3),
        (10**14, 10**14),
        (10**17 - 1, 10**17 - 1),
        (10**17, 10**14),
        (10**19 - 2048, 9_999_999_999_999_998),
        (10**19, None),
        (1_500_000_000.25, 1_500_000_000_250_000),
        (1_500_000_000_000.5, 1_500_000_000_000_500),
        ("99999999", None),
        ("100000000", 10**14),
        (" 1000000000000000000 ", 10**15),
        ("10000000000000000000", None),
        ("\u0661" * 10, None),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-03T00:00:01.000002Z", (2 * SECONDS_PER_DAY + 1) * 10**6 + 2),
        ("1969-12-31T23:59:59.5Z", -500_000),
        ("1970-01-01T01:00:00+02:00", -3_600_000_000),
        (float("inf"), None),
        (float("nan"), None),
        (None, None),
        (False, None),
    ],
)  # fmt: skip
def test_the_unit_of_an_epoch_shows_in_its_digits(value: Any, wanted: int | None) -> None:
    assert instant_us(value) == wanted


EARLIEST_US = int(datetime(2013, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (NOW_US, NOW_US),
        (NOW_US - 1, NOW_US - 1),
        (NOW_US + 1, NOW_US),
        (NOW_US + 5 * MINUTE_US, NOW_US),
        (NOW_US + 5 * MINUTE_US + 1, ["event_time_in_future"]),
        (EARLIEST_US, EARLIEST_US),
        (EARLIEST_US - 1, ["event_time_too_early"]),
        ("", NOW_US),
        (" ", ["invalid_event_time"]),
    ],
)
@pytest.mark.parametrize("name", ["event_time", "timestamp"])
def test_times_at_the_edges_of_what_is_taken(name: str, value: Any, wanted: int | list[str]) -> None:
    found = _found({name: value})
    assert (found[2] if isinstance(found, tuple) else found) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0, 0.0),
        (0.5, 0.5),
        (-0.001, ["negative_latency"]),
        (86_400_000, 86_400_000.0),
        (86_400_000.5, ["implausible_latency"]),
        (999_998, 999_998.0),
        (999_999, ["implausible_latency"]),
        (999_999.0, ["implausible_latency"]),
        (9_999_999, ["implausible_latency"]),
        (10_000_000, 10_000_000.0),
        ("12", ["invalid_latency"]),
        (False, ["invalid_latency"]),
        ([], ["invalid_latency"]),
    ],
)
def test_latencies_at_their_edges(value: Any, wanted: float | list[str]) -> None:
    found = _found({"latency_ms": value})
    assert (found[8] if isinstance(found, tuple) else found) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1, 1.0),
        (5.0, 5.0),
        (0.999, ["feedback_score_out_of_range"]),
        (5.001, ["feedback_score_out_of_range"]),
        (True, ["invalid_feedback_score"]),
        ("", ["invalid_feedback_score"]),
    ],
)
def test_scores_at_their_edges(value: Any, wanted: float | list[str]) -> None:
    found = _found({"feedback_score": value})
    assert (found[9] if isinstance(found, tuple) else found) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("x" * 255, "x" * 255),
        (" " + "x" * 255 + "\t", "x" * 255),
        ("x" * 256, ["invalid_event_id"]),
        ("7.0", "7"),
        ("70.0", "70"),
        ("7.00", "7.00"),
        (".0", ".0"),
        ("a.0", "a.0"),
        ("7.5", "7.5"),
        ("\u0667.0", "\u0667.0"),
        ("nul", "nul"),
        ("NULL", ["missing_event_id"]),
        ("00000000-0000-0000-0000-000000000000", ["missing_event_id"]),
        ("", ["missing_event_id"]),
        (None, ["missing_event_id"]),
        (7, ["invalid_event_id"]),
    ],
)
def test_ids_of_events(value: Any, wanted: str | list[str]) -> None:
    found = _found({"event_id": value})
    assert (found[1] if isinstance(found, tuple) else found) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("Null", None),
        ("00000000000000000000000000000000", None),
        (0, "0"),
        (-7, "-7"),
        ("7.0", "7"),
        ("x" * 255, "x" * 255),
        ("x" * 256, ["invalid_text"]),
        (7.0, ["invalid_text"]),
        (True, ["invalid_text"]),
    ],
)
@pytest.mark.parametrize(("name", "place"), [("user_id", 5), ("session_id", 6)])
def test_ids_of_users_and_sessions(name: str, place: int, value: Any, wanted: str | list[str] | None) -> None:
    found = _found({name: value})
    assert (found[place] if isinstance(found, tuple) else found) == wanted


TEXTS = {
    "feature": 3, "event_name": 4, "event_type": 4, "device_type": 10, "platform": 11, "app_version": 12,
    "country": 13, "variant": 14,
}  # fmt: skip


@pytest.mark.parametrize(("name", "place"), TEXTS.items())
def test_texts_of_every_column(name: str, place: int) -> None:
    assert _accepted({name: "x" * 1024}, place) == "x" * 1024
    assert _accepted({name: "\ufeff y\u00a0"}, place) == "y"
    assert _found({name: "x" * 1025}) == ["invalid_text"]
    assert _found({name: 1}) == ["invalid_text"]
    without = {"feature": "app", "event_name": "use", "event_type": "use"}.get(name)
    assert (_accepted({name: ""}, place), _accepted({name: None}, place)) == (without, without)


def test_several_texts_that_are_none_are_one_reason_and_reasons_come_in_order() -> None:
    assert _found({"platform": 1, "country": 2, "status": "no", "latency_ms": "x"}) == [
        "invalid_text",
        "invalid_status",
        "invalid_latency",
    ]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, "ok"), ("", "ok"), ("ok", "ok"), (" error ", "error"), ("crash\u3000", "crash"),
        (" ", ["invalid_status"]), ("OK", ["invalid_status"]), (0, ["invalid_status"]), ([], ["invalid_status"]),
    ],
)  # fmt: skip
def test_statuses(value: Any, wanted: str | list[str]) -> None:
    found = _found({"status": value})
    assert (found[7] if isinstance(found, tuple) else found) == wanted


def test_what_a_sender_may_send_is_asked_of_the_name_it_ends_up_with() -> None:
    strict = EventSource("web", "Shop", frozenset({"use", "view"}))
    assert _found({}, strict)[3:5] == ("Shop", "use")
    assert _found({"event_name": " view "}, strict)[4] == "view"
    assert _found({"event_name": "buy"}, strict) == ["unknown_event"]
    assert _found({}, EventSource("web", "Shop", frozenset())) == ["unknown_event"]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"properties": None}, None),
        ({"properties": ""}, None),
        ({"properties": {}}, None),
        ({"properties": "{}"}, None),
        ({"properties": "null"}, None),
        ({"properties": '{"a": [1]}'}, '{"a":[1]}'),
        ({"properties": "", "x": 1}, '{"x":1}'),
        ({"properties": '{"a":1}', "x": None}, '{"x":null,"a":1}'),
        ({"x": 1, "y": 2, "platform": "ios"}, '{"x":1,"y":2}'),
        ({"properties": {"k": "y" * (32 * 1024 - 8)}}, '{"k":"' + "y" * (32 * 1024 - 8) + '"}'),
        ({"properties": {"k": "y" * (32 * 1024 - 7)}}, ["properties_too_large"]),
        ({"properties": "{"}, ["invalid_properties"]),
        ({"properties": "7"}, ["invalid_properties"]),
        ({"properties": 0}, ["invalid_properties"]),
        ({"properties": []}, ["invalid_properties"]),
    ],
)
def test_properties_with_what_else_was_sent(fields: dict[str, Any], wanted: str | list[str] | None) -> None:
    found = _found(fields)
    assert (found[15] if isinstance(found, tuple) else found) == wanted


def test_a_nul_is_looked_for_where_there_may_be_one() -> None:
    fields = {"event_id": "a", "feature": "b\0"}
    assert accept(fields, SOURCE, NOW_US, may_hold_nul=True) == ["nul_byte"]
    assert isinstance(accept(fields, SOURCE, NOW_US, may_hold_nul=False), tuple)
    held = ["\0", ["a", "\0"], {"\0": 1}, {"a": "\0"}, {"a": 1, "b": [{"c": ["x\0"]}]}]
    free = ["a", [], ["a", "b"], {}, {"a": "b"}, 0, None, ("\0",)]
    assert [holds_nul(value) for value in (*held, *free)] == [True] * len(held) + [False] * len(free)


# --- Segment ----------------------------------------------------------------------------------------------------------

NOTHING = dict.fromkeys(
    (
        "event_id", "event_name", "feature", "user_id", "event_time", "device_type", "platform", "app_version",
        "properties", "session_id", "status", "latency_ms", "feedback_score", "variant", "country",
    )
)  # fmt: skip


def _segment(message: dict[str, Any], sent_at: Any = None) -> dict[str, Any]:
    return segment_fields(message, NOW_US, sent_at)


def test_the_last_part_of_an_address_is_a_type() -> None:
    assert [TYPES[each] for each in "tipsga"] == ["track", "identify", "page", "screen", "group", "alias"]
    assert all(TYPES[name] == name for name in ("track", "identify", "page", "screen", "group", "alias"))
    assert len(TYPES) == 12


@pytest.mark.parametrize(
    ("sent", "taken"),
    [(" failed ", "error"), ("failure", "error"), ("success", "ok"), ("crash", "crash"), ("late", "late"), (7, 7)],
)
def test_how_a_use_ended_is_said_in_the_words_that_products_have(sent: Any, taken: Any) -> None:
    assert _segment({"properties": {"status": sent}})["status"] == taken


def test_the_words_are_those_of_the_source_for_exports() -> None:
    source = yaml.safe_load((REPOSITORY_ROOT / "data" / "sources" / "segment.yaml").read_text(encoding="utf-8"))
    assert source["columns"]["status"]["map"] == STATUS_WORDS | {word: word for word in ("ok", "error", "crash")}


def test_a_message_field_by_field() -> None:
    properties = {
        "feature": "Pay", "session_id": "s", "sessionId": "not this", "status": "error", "latency_ms": 1,
        "duration_ms": 2, "feedback_score": 3, "variant": "x:a", "country": "DE", "device_type": "not this",
    }  # fmt: skip
    context = {
        "app": {"name": "not this", "version": "1.2"}, "device": {"type": "phone"}, "os": {"name": "ios"},
        "location": {"country": "not this"},
    }  # fmt: skip
    message = {
        "type": "track", "messageId": "m", "event": "Bought", "userId": "u", "anonymousId": "not this",
        "timestamp": NOW_US - 7, "properties": properties, "context": context,
    }  # fmt: skip
    assert _segment(message) == {
        "event_id": "m", "event_name": "Bought", "feature": "Pay", "user_id": "u", "event_time": NOW_US - 7,
        "device_type": "phone", "platform": "ios", "app_version": "1.2", "properties": properties,
        "session_id": "s", "status": "error", "latency_ms": 1, "feedback_score": 3, "variant": "x:a", "country": "DE",
    }  # fmt: skip


def test_what_stands_in_second_places() -> None:
    properties = {"sessionId": "s", "duration_ms": 2, "device_type": "tablet", "country": None}
    context = {"app": {"name": "Shop"}, "location": {"country": "AT"}}
    message = {"event": "Seen", "anonymousId": "anon", "userId": "", "properties": properties, "context": context}
    assert _segment(message) == NOTHING | {
        "event_name": "Seen", "feature": "Shop", "user_id": "anon", "device_type": "tablet", "session_id": "s",
        "latency_ms": 2, "country": "AT", "properties": properties,
    }  # fmt: skip
    # The first place speaks even where it says nothing.
    assert _segment({"properties": {"latency_ms": None, "duration_ms": 2}})["latency_ms"] is None


def test_a_message_of_nothing_and_parts_that_are_no_objects() -> None:
    assert _segment({}) == NOTHING
    odd = {"type": "screen", "event": "not this", "properties": "p", "context": {"app": "x", "os": ["y"], "device": 1}}
    assert _segment(odd) == NOTHING | {"event_name": "screen", "properties": "p"}
    assert _segment({"context": "x", "properties": {"feature": ""}})["feature"] == ""


@pytest.mark.parametrize(
    ("happened", "sent", "of_the_batch", "wanted"),
    [
        (NOW_US - 90, NOW_US - 30, None, NOW_US - 60),
        (NOW_US - 90, None, NOW_US - 30, NOW_US - 60),
        (NOW_US - 90, NOW_US - 80, NOW_US - 30, NOW_US - 10),
        (NOW_US - 30, NOW_US - 90, None, NOW_US),
        (NOW_US - 90, None, None, NOW_US - 90),
        (None, NOW_US - 30, None, None),
        ("soon", NOW_US - 30, None, "soon"),
        (NOW_US - 90, "soon", None, NOW_US - 90),
    ],
)
def test_the_time_is_by_our_clock_less_how_long_before_sending(
    happened: Any, sent: Any, of_the_batch: Any, wanted: Any
) -> None:
    assert _segment({"timestamp": happened, "sentAt": sent}, of_the_batch)["event_time"] == wanted


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ({}, True),
        ({"type": "track"}, True),
        ({"type": "page"}, False),
        ({"type": "page", "properties": {"feature": ""}}, False),
        ({"type": "page", "properties": {"feature": "Pay"}}, True),
        ({"type": "page", "properties": "feature"}, False),
    ],
)
def test_what_is_the_use_of_a_feature(message: dict[str, Any], wanted: bool) -> None:
    assert is_usage(message) is wanted
