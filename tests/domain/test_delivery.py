"""What a destination lacks, by hand; and that any order of changes ends with what there should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_assets.contracts.destinations import load_destinations
from quality_assets.domain.impact.delivery import (
    MassDeleteError,
    changes,
    counts,
    idempotency_key,
    key_of,
    refuse_mass_delete,
    row_hash,
    webhook_body,
)

GOOD = "name: crm\nowner: a@example.com\nsend: segment:keen\nkind: webhook\nurl: https://crm.example.com/in\n"


def has(rows: dict[str, dict[str, object]]) -> dict[str, str]:
    return {key: row_hash(row) for key, row in rows.items()}


def test_only_what_differs_is_sent_and_a_mirror_deletes() -> None:
    before: dict[str, dict[str, object]] = {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}}
    now: dict[str, dict[str, object]] = {"a": {"x": 1}, "b": {"x": 5}, "d": {"x": 4}}
    wanted = [("update", "b"), ("insert", "d")]
    assert [(c.operation, c.key) for c in changes(now, has(before), "upsert")] == wanted
    assert [(c.operation, c.key) for c in changes(now, has(before), "mirror")] == [*wanted, ("delete", "c")]
    assert counts(changes(now, has(before), "full")) == {"inserts": 1, "updates": 2, "deletes": 1}


row_sets = st.dictionaries(st.sampled_from("abcdef"), st.fixed_dictionaries({"x": st.integers(0, 3)}))


@given(st.lists(row_sets, max_size=6), st.sampled_from(["mirror", "full"]))
def test_changes_applied_one_after_another_give_what_was_wanted(
    states: list[dict[str, dict[str, object]]], mode: str
) -> None:
    there: dict[str, dict[str, object]] = {}
    for state in states:
        for change in changes(state, has(there), mode):
            if change.row is None:
                del there[change.key]
            else:
                there[change.key] = change.row
        assert there == state
        assert counts(changes(state, has(there), "mirror")) == {"inserts": 0, "updates": 0, "deletes": 0}


def test_a_third_of_the_rows_is_not_deleted_unless_that_is_allowed() -> None:
    delivered = {str(n): "h" for n in range(10)}
    some = changes({str(n): {} for n in range(7)}, delivered, "mirror")
    refuse_mass_delete(some, 10, False)
    more = changes({str(n): {} for n in range(6)}, delivered, "mirror")
    with pytest.raises(MassDeleteError, match="4 of 10 delivered rows would be deleted"):
        refuse_mass_delete(more, 10, False)
    refuse_mass_delete(more, 10, True)


def test_rows_keep_their_keys_of_idempotency_when_batches_move() -> None:
    found = changes({"a": {"x": 1}, "b": {"x": 2}}, {"c": "h"}, "mirror")
    together = json.loads(webhook_body("crm", found))["rows"]
    alone = json.loads(webhook_body("crm", found[1:]))["rows"]
    assert together[1:] == alone
    assert [row["operation"] for row in together] == ["upsert", "upsert", "delete"]
    assert "row" not in together[2]
    assert idempotency_key("crm", b"x") != idempotency_key("other", b"x")


def test_a_key_of_several_columns_is_told_from_another_that_runs_together() -> None:
    assert key_of({"a": "1", "b": "23"}, ["a", "b"]) != key_of({"a": "12", "b": "3"}, ["a", "b"])
    assert key_of({"a": "u1"}, ["a"]) == "u1"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("https://crm.example.com/in", "http://crm.example.com/in", "is neither https nor of this machine"),
        (
            "segment:keen",
            "everything",
            "send: 'everything' is not one of segment:NAME, experiments, lift, insights, scores, engagement",
        ),
        ("kind: webhook", "kind: ftp", "kind: 'ftp' is not one of file, webhook, sql"),
        ("kind: webhook\nurl: https://crm.example.com/in", "kind: file\npath: a.xls", "path: a file needs a path"),
        (
            "kind: webhook\nurl: https://crm.example.com/in",
            "kind: sql\ntable: t\nurl: postgresql://a:b@localhost/x",
            "a password stands in it",
        ),
        ("owner: a@example.com\n", "", "owner: is missing"),
        ("url:", "adress:", "adress: is not one of name, owner"),
        ("owner: a@example.com", "owner: a@example.com\nsecret: hunter2", "secret: string should match pattern"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "crm.yaml").write_text(GOOD.replace(old, new), encoding="utf-8")
    found = load_destinations(tmp_path)
    assert found.by_name == {}
    assert "crm.yaml: " in found.errors[0]
    assert said in found.errors[0]
    assert "hunter2" not in found.errors[0], "a secret in place of its reference"


def test_a_file_that_is_right_is_read(tmp_path: Path) -> None:
    (tmp_path / "crm.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "twice.yml").write_text(GOOD, encoding="utf-8")
    found = load_destinations(tmp_path)
    assert found.by_name["crm"].mode == "upsert"
    assert "is the name of another destination as well" in found.errors[0]
