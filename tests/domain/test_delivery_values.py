"""What is sent to a destination, value by value."""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime
from decimal import Decimal

import pytest

from quality_assets.domain.impact import delivery
from quality_assets.domain.impact.delivery import Change, MassDeleteError


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_row_has_a_key_and_a_fingerprint_whatever_the_order_of_its_columns() -> None:
    row = {"b": 1, "a": date(2026, 3, 1), "c": "ä"}
    assert delivery.key_of(row, ["b"]) == "1"
    assert delivery.key_of(row, ["a", "c"]) == '["2026-03-01", "ä"]'
    wanted = sha('{"a": "2026-03-01", "b": 1, "c": "\\u00e4"}')[:32]
    assert delivery.row_hash(row) == wanted
    assert delivery.row_hash({"c": "ä", "b": 1, "a": date(2026, 3, 1)}) == wanted
    assert (Change("update", "1", row).row_hash, Change("delete", "1").row_hash) == (wanted, "")


def test_a_row_is_made_of_what_json_can_hold() -> None:
    row = {
        "none": None, "text": "a", "whole": 1, "part": 1.5, "flag": True, "day": date(2026, 3, 1),
        "time": datetime(2026, 3, 1, 9, 30), "list": [date(2026, 3, 1), None], "pair": ("a", Decimal("1.50")),
    }  # fmt: skip
    assert delivery.plain_row(row) == {
        "none": None, "text": "a", "whole": 1, "part": 1.5, "flag": True, "day": "2026-03-01",
        "time": "2026-03-01T09:30:00", "list": ["2026-03-01", None], "pair": ["a", "1.50"],
    }  # fmt: skip


def test_changes_are_whole_and_by_key() -> None:
    rows = {"d": {"x": 4}, "b": {"x": 5}, "a": {"x": 1}}
    delivered = {"z": "h", "c": "h", "b": delivery.row_hash({"x": 2}), "a": delivery.row_hash({"x": 1})}
    update, insert = Change("update", "b", {"x": 5}), Change("insert", "d", {"x": 4})
    gone = [Change("delete", "c"), Change("delete", "z")]
    assert delivery.changes(rows, delivered, "upsert") == [update, insert]
    assert delivery.changes(rows, delivered, "mirror") == [update, insert, *gone]
    full = delivery.changes(rows, delivered, "full")
    assert full == [Change("update", "a", {"x": 1}), update, insert, *gone]
    assert delivery.counts(full) == {"inserts": 1, "updates": 2, "deletes": 2}
    # Of whom nobody knows whether the row arrived, it is sent again.
    assert delivery.changes({"a": {"x": 1}}, {"a": delivery.IN_DOUBT}, "mirror") == [Change("update", "a", {"x": 1})]


def test_more_than_three_in_ten_are_not_deleted() -> None:
    gone = [Change("delete", str(n)) for n in range(301)]
    delivery.refuse_mass_delete(gone[:300], 1_000, False)
    delivery.refuse_mass_delete([Change("insert", "a", {})] * 900, 1_000, False)
    delivery.refuse_mass_delete(gone, 1_000, True)
    with pytest.raises(MassDeleteError) as raised:
        delivery.refuse_mass_delete([*gone, Change("insert", "a", {})], 1_000, False)
    assert str(raised.value) == (
        "301 of 1,000 delivered rows would be deleted, more than 30 %: nothing was sent. If that is meant, set"
        " allow_mass_delete: true in its file"
    )


def test_batches_have_as_many_changes_as_fit() -> None:
    found = [Change("delete", str(n)) for n in range(5)]
    assert list(delivery.batches(found, 2)) == [found[:2], found[2:4], found[4:]]
    assert list(delivery.batches(found, 5)) == [found]
    assert list(delivery.batches([], 2)) == []


def test_what_a_webhook_gets_word_by_word() -> None:
    row = {"y": "ä", "x": 1}
    body = delivery.webhook_body("crm", [Change("insert", "a", row), Change("update", "b", row), Change("delete", "c")])
    fingerprint = delivery.row_hash(row)

    def key(text: str) -> str:
        return sha(f"crm\0{text}")

    assert json.loads(body) == {
        "sync": "crm",
        "rows": [
            {"operation": "upsert", "key": "a", "idempotency_key": key(f"a\0{fingerprint}"), "row": row},
            {"operation": "upsert", "key": "b", "idempotency_key": key(f"b\0{fingerprint}"), "row": row},
            {"operation": "delete", "key": "c", "idempotency_key": key("c\0")},
        ],
    }
    assert body.startswith(b'{"rows": [{"idempotency_key": ')
    assert "ä".encode() in body
    assert delivery.idempotency_key("crm", b"x") == sha("crm\0x")
