"""What a sample says of the rows of a model that somebody brought, and what a row then is held to."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from quality_assets.domain.models import user_contract
from quality_assets.domain.models.learning.requests import RefusedRowError
from quality_assets.domain.models.user_contract import (
    BadSampleError,
    as_learnt,
    checked_row,
    inputs_of,
    learn_contract,
    outside,
    target_of,
)

SAMPLE = pd.DataFrame(
    {"x": [3.0, -1.0, *[0.5] * 8], "kind": ["b", None, *["a"] * 8], "constant": [7] * 10, "y": [0, 1] * 5}
)
CONTRACT = learn_contract(SAMPLE, ["x", "kind", "constant"], "y", "classification")


def test_names_types_ranges_and_values_are_learnt() -> None:
    assert CONTRACT == {
        "kind": "classification",
        "target": "y",
        "rows": 10,
        "inputs": [
            {"name": "x", "nullable": False, "type": "number", "minimum": -1.0, "maximum": 3.0},
            {"name": "kind", "nullable": True, "type": "category", "values": ["a", "b"]},
            {"name": "constant", "nullable": False, "type": "number", "minimum": 7.0, "maximum": 7.0},
        ],
    }
    names = pd.DataFrame({"name": [f"n{n:03}" for n in range(200)]})
    assert learn_contract(names, ["name"], None, "regression")["inputs"][0]["values"] == sorted(names["name"])
    many = pd.DataFrame({"name": [f"n{n:03}" for n in range(201)]})
    assert learn_contract(many, ["name"], None, "regression")["inputs"][0]["values"] is None


@pytest.mark.parametrize(
    ("sample", "inputs", "said"),
    [
        (SAMPLE[:9], ["x"], "the sample has 9 rows; 10 to 50,000 are taken"),
        (SAMPLE, [], "the model takes 0 inputs; 1 to 500 are taken"),
        (SAMPLE, ["x"] * 501, "the model takes 501 inputs; 1 to 500 are taken"),
        (SAMPLE.assign(x=None), ["x"], "column 'x' of the sample has no value"),
        (SAMPLE.assign(x=float("inf")), ["x"], "column 'x' of the sample holds an infinite number"),
        (SAMPLE.assign(x=[object()] * 10), ["x"], "column 'x' of the sample is neither numbers nor texts"),
    ],
)
def test_what_cannot_be_learnt_is_said(sample: pd.DataFrame, inputs: list[str], said: str) -> None:
    with pytest.raises(BadSampleError) as raised:
        learn_contract(sample, inputs, None, "regression")
    assert str(raised.value) == said


def test_as_many_rows_as_are_taken_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (user_contract.LEAST_ROWS, user_contract.MOST_ROWS, user_contract.MOST_INPUTS) == (10, 50_000, 500)
    monkeypatch.setattr(user_contract, "MOST_ROWS", 10)
    assert learn_contract(SAMPLE, ["x"], None, "regression")["rows"] == 10
    with pytest.raises(BadSampleError, match="the sample has 20 rows; 10 to 10 are taken"):
        learn_contract(pd.concat([SAMPLE, SAMPLE]), ["x"], None, "regression")


def test_which_columns_are_inputs_and_which_is_the_target() -> None:
    columns = ["x", "z", "y"]
    assert inputs_of(columns, None, 2, "y") == ["x", "z"]
    assert inputs_of(columns, ["z", "x"], 9, "y") == ["z", "x"]
    assert target_of(columns, None, 9, "z") == "z"
    assert target_of(columns, ["x", "z"], 9, None) == "y"
    assert target_of(columns, ["x"], 9, None) is None
    assert target_of(columns, None, 2, None) == "y"
    assert target_of(columns, None, 3, None) is None
    for wanted, count, target, said in (
        (None, 2, "q", "the sample has no column 'q', which was named as the target"),
        (None, 3, "y", "the model takes 3 inputs, and the sample has 2 columns for them"),
        (["x", "v", "w"], 9, "y", "the sample lacks what the model takes: v, w"),
        (["x"], 9, "y", "the sample has columns that the model does not take: z"),
    ):
        with pytest.raises(BadSampleError) as raised:
            inputs_of(columns, wanted, count, target)
        assert str(raised.value) == said


def test_a_frame_as_the_model_gets_it() -> None:
    found = as_learnt(SAMPLE, CONTRACT)
    assert list(found.columns) == ["x", "kind", "constant"]
    assert found.dtypes.astype(str).to_dict() == {"x": "float64", "kind": "object", "constant": "float64"}
    assert found["kind"].tolist()[:3] == ["b", None, "a"]


def test_a_row_is_held_to_names_and_types() -> None:
    assert checked_row(CONTRACT, {"x": 9.5, "constant": 7.0}) == {"x": 9.5, "kind": None, "constant": 7.0}
    row: dict[str, Any] = {"x": 1.0, "kind": "a", "constant": 7.0}
    assert checked_row(CONTRACT, row | {"kind": "k" * 200})["kind"] == "k" * 200
    for wrong in ({"x": None}, {"x": "1"}, {"x": float("nan")}, {"kind": ""}, {"kind": "k" * 201}, {"more": 1}):
        with pytest.raises(RefusedRowError):
            checked_row(CONTRACT, row | wrong)


def test_what_lies_beyond_the_sample_is_named() -> None:
    row = {"x": 3.0, "kind": "b", "constant": 7.0}
    assert outside(CONTRACT, row) == []
    assert outside(CONTRACT, row | {"x": -1.0, "kind": None}) == []
    assert outside(CONTRACT, {"x": 3.01, "kind": "c", "constant": 6.9}) == ["x", "kind", "constant"]
    free = {"inputs": [{"name": "kind", "type": "category", "values": None}]}
    assert outside(free, {"kind": "whatever"}) == []
