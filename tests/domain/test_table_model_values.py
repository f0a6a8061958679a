"""A model of a table by hand: what it answers, which view does, what it stores, what it explains and may be asked."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quality_assets.contracts.learning import LearningColumn, LearningContract
from quality_assets.domain.models.learning.columns_of import columns_of_rows
from quality_assets.domain.models.learning.formulas import Mean, PriceOrProduct, Product
from quality_assets.domain.models.learning.learners import Linear, Trees
from quality_assets.domain.models.learning.requests import RefusedRowError, checked_row, request_model
from quality_assets.domain.models.learning.residuals import Intervals
from quality_assets.domain.models.learning.shapley import MOST_INPUTS, NotExplainableError, _weights, explained
from quality_assets.domain.models.learning.tabular import Candidate, View
from quality_assets.domain.models.learning.tabular_model import (
    Fitted,
    FittedView,
    ModelFormatError,
    TabularModel,
    fit,
    model_of,
    view_inputs,
)

NAN = math.nan
COLUMNS = (
    LearningColumn("x", "DOUBLE", "Pieces", nullable=False, unit="pieces", minimum=1, maximum=9),
    LearningColumn("z", "DOUBLE", "Price", minimum=0),
    LearningColumn("c", "VARCHAR", "Kind", allowed=("a", "b")),
    LearningColumn("n", "VARCHAR", "Name", nullable=False),
)
AROUND = Intervals("rolling_residuals", False, np.zeros(0), np.array([-1.0]), np.array([2.0]), 0.81, 0.8)
SHARES = replace(AROUND, is_relative=True, low=np.array([-0.5]), high=np.array([0.5]), coverage=None)
MODEL = TabularModel(
    use_case="orders",
    contract="abc",
    views=(
        FittedView("all", (), Fitted("list_price", Product("x", "z", 2.0), None, None, (), {}), AROUND),
        FittedView("without z", ("z",), Fitted("mean", Mean(7.0), None, None, (), {}), SHARES),
    ),
    inputs=("x", "z", "c"),
    refused=("bucket",),
    ranges={"x": (1.0, 5.0), "z": (0.0, 2.0), "c": ("a", "b")},
    trained_through="2026-01-31",
    rows=200,
    reference={"row": {"x": 2.0, "z": 1.0, "c": "a"}, "prediction": 4.0, "p10": 3.0, "p90": 6.0, "others": []},
)
ROWS: list[dict[str, Any]] = [
    {"x": 3, "z": 1, "c": "a"},
    {"x": 6, "c": "q"},
    {"x": 5, "z": 2, "c": None},
    {"x": 0.9, "z": 2.1, "c": "b"},
    {"x": 1, "z": 0, "c": "b"},
    {"x": None, "z": -0.1, "c": "z"},
]


def answer(prediction: float, p10: float, p90: float, *outside: str, is_priced: bool = True) -> dict[str, Any]:
    return {
        "prediction": prediction, "p10": p10, "p90": p90, "interval_method": "rolling_residuals",
        "interval_status": "ok" if is_priced else "unknown", "coverage_measured": 0.81 if is_priced else None,
        "known": "all" if is_priced else "without z", "outside_training": list(outside),
    }  # fmt: skip


ANSWERS = [
    answer(6, 5, 8),
    answer(7, 3.5, 10.5, "x", "c", is_priced=False),
    answer(20, 19, 22),
    answer(pytest.approx(3.78), pytest.approx(2.78), pytest.approx(5.78), "x", "z"),
    answer(0, -1, 2),
]


def test_answers_have_their_interval_and_what_was_never_seen() -> None:
    columns = columns_of_rows(COLUMNS, ROWS[:5])
    assert MODEL.answers(columns) == ANSWERS
    # One row at a time is answered as many are.
    for row, wanted in zip(ROWS, ANSWERS, strict=False):
        assert MODEL.answers(columns_of_rows(COLUMNS, [row])) == [wanted]
    for rows in (ROWS[5:], [ROWS[5], ROWS[0]]):
        assert MODEL.outside_training(columns_of_rows(COLUMNS, rows), MODEL.views[0])[0] == ["z", "c"]
    np.testing.assert_allclose(
        MODEL.predictions(columns),
        [[6, 7, 20, 3.78, 0], [5, 3.5, 19, 2.78, -1], [8, 10.5, 22, 5.78, 2]],
    )


def test_the_first_view_whose_inputs_are_known_answers() -> None:
    three = replace(
        MODEL,
        inputs=("x", "z", "w", "c"),
        views=(MODEL.views[0], MODEL.views[1], replace(MODEL.views[1], known="without z and w", missing=("z", "w"))),
    )
    columns = {
        "x": np.array([NAN, 1.0, 1.0, 1.0]), "z": np.array([1.0, NAN, 1.0, NAN]), "w": np.array([1.0, 1.0, NAN, NAN]),
        "c": np.array([None] * 4, dtype=object),
    }  # fmt: skip
    assert three.view_of(columns).tolist() == [0, 1, 2, 2]
    assert replace(MODEL, views=MODEL.views[:1]).view_of(columns).tolist() == [0] * 4
    assert view_inputs(View("without z", ("z",), ()), ("x", "z", "c")) == ("x", "c")


def test_a_model_is_stored_as_plain_values_and_comes_back() -> None:
    state = MODEL.state()
    fitted = {"learner_kind": None, "learner": None, "inputs": [], "categories": {}}
    np.testing.assert_equal(
        state,
        {
            "format": 1, "use_case": "orders", "contract": "abc", "inputs": ["x", "z", "c"], "refused": ["bucket"],
            "ranges": {"x": [1.0, 5.0], "z": [0.0, 2.0], "c": ["a", "b"]}, "trained_through": "2026-01-31", "rows": 200,
            "reference": dict(MODEL.reference),
            "views": [
                {
                    "known": "all", "missing": [], "intervals": AROUND.state(),
                    "fitted": {
                        "candidate": "list_price",
                        "formula": {"kind": "product", "first": "x", "second": "z", "ratio": 2.0}, **fitted,
                    },
                },
                {
                    "known": "without z", "missing": ["z"], "intervals": SHARES.state(),
                    "fitted": {"candidate": "mean", "formula": {"kind": "mean", "value": 7.0}, **fitted},
                },
            ],
        },
    )  # fmt: skip
    again = model_of(state)
    np.testing.assert_equal(again.state(), state)
    assert (again.ranges, again.views[1].missing, again.inputs) == (MODEL.ranges, ("z",), ("x", "z", "c"))
    for broken, words in (
        ([], "the state is not of format 1"),
        ({**state, "format": 2}, "the state is not of format 1"),
        ({**state, "rows": "many"}, r"the state holds no model \(ValueError: "),
        ({**state, "views": 3}, r"the state holds no model \(TypeError: "),
        ({**state, "ranges": []}, r"the state holds no model \(AttributeError: "),
        ({name: value for name, value in state.items() if name != "refused"}, r"no model \(KeyError: 'refused'\)"),
    ):
        with pytest.raises(ModelFormatError, match=words):
            model_of(broken)


# --- Fitting ----------------------------------------------------------------------------------------------------------


def columns(x: list[float], z: float = 1.0) -> dict[str, np.ndarray]:
    return {
        "x": np.array(x),
        "z": np.full(len(x), z),
        "c": np.array((["b", None, "a"] * len(x))[: len(x)], dtype=object),
    }


@pytest.mark.parametrize(
    ("x", "y", "constant"),
    [
        # The ratio is 1, and what it leaves is told in shares of the product.
        ([1.0, 1.0, 3.0], [1.0, 1.0, 6.0], 4 / 3),
        ([1.0, 1.0, -3.0], [1.0, 1.0, -6.0], 4 / 3),
        ([1.0, 1.0, 1.5e-9], [1.0, 1.0, 3e-9], 4 / 3),
        ([1.0, 1.0, 1e-9], [1.0, 1.0, 2e-9], 1.0),
        ([1.0, 1.0, 0.0], [1.0, 1.0, 9.0], 1.0),
    ],
)
def test_a_learner_on_a_formula_learns_what_it_leaves(x: list[float], y: list[float], constant: float) -> None:
    candidate = Candidate("both", formula=Product("x", "z"), learner="linear", inputs=("x",))
    found = fit(candidate, columns(x), np.array(y), ("x", "z", "c"))
    assert isinstance(found.learner, Linear)
    assert found.learner.constant == pytest.approx(constant)
    assert found.formula == Product("x", "z", 1.0)
    assert (found.inputs, found.categories, found.learner_kind) == (("x",), {}, "linear")
    ratio = found.learner.predict(np.array(x).reshape(-1, 1))
    assert found.predict(columns(x)) == pytest.approx(np.array(x) * ratio)


def test_rows_that_are_exact_are_neither_learnt_from_nor_changed() -> None:
    price = PriceOrProduct("x", "z", "m")
    some = {"x": np.ones(4), "z": np.array([1.0, 2.0, 9.0, 9.0]), "m": np.array([1.0, 2.0, 4.0, 4.0])}
    y = np.array([1.0, 2.0, 4.0, 12.0])
    candidate = Candidate("both", formula=price, learner="linear", inputs=("m",))
    found = fit(candidate, some, y, ("x", "z", "m"))
    # At the cap of 9 the ratio is 2: the median of 1 and 3. At least 9 is said, of which 4 and 12 are 4⁄9 and 12⁄9.
    assert isinstance(found.learner, Linear)
    assert found.learner.constant == pytest.approx(8 / 9)
    assert found.predict(some) == pytest.approx([1, 2, 8, 8])
    assert found.is_exact(some).tolist() == [True, True, False, False]
    # Of one open row nothing can be learnt.
    one = {name: values[:3] for name, values in some.items()}
    assert fit(candidate, one, y[:3], ("x", "z", "m")) == Fitted(
        "both", PriceOrProduct("x", "z", "m", 9.0, 1.0), None, None, (), {}
    )


def test_a_candidate_sees_what_it_is_made_to_see_with_its_settings() -> None:
    x, y = columns([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 6.0])
    every = fit(Candidate("a", learner="linear"), x, y, ("c", "x"))
    assert (every.inputs, every.categories, every.formula) == (("c", "x"), {"c": ("a", "b")}, None)
    assert isinstance(every.learner, Linear)
    assert (every.learner.sizes.tolist(), every.learner.strength) == ([2, 0], 1.0)
    assert (
        every.predict(x).tolist()
        == every.learner.predict(np.array([[1, 1], [NAN, 2], [0, 3], [1, 4]], dtype=float)).tolist()
    )
    assert every.is_exact(x).tolist() == [False] * 4
    some = Candidate("a", learner="linear", inputs=("w", "x"), settings={"strength": 3.0})
    assert fit(some, x, y, ("c", "x")).inputs == ("x",)
    assert fit(some, x, y, ("c", "x")).state()["learner"]["strength"] == 3.0
    assert fit(some, x, y, ("x",), {"strength": 5.0}).state()["learner"]["strength"] == 5.0
    alone = fit(Candidate("m", formula=Mean()), x, y, ("x",))
    assert alone == Fitted("m", Mean(3.0), None, None, (), {})
    state = every.state()
    assert {name: state[name] for name in ("candidate", "formula", "learner_kind", "inputs", "categories")} == {
        "candidate": "a", "formula": None, "learner_kind": "linear", "inputs": ["c", "x"],
        "categories": {"c": ["a", "b"]},
    }  # fmt: skip
    trees = Candidate("t", learner="gradient_boosting", settings={"n_estimators": 2})
    found = fit(trees, x, y, ("x",))
    assert isinstance(found.learner, Trees)
    assert found.learner.settings["n_estimators"] == 2


# --- Explained --------------------------------------------------------------------------------------------------------


def test_the_weights_of_sets() -> None:
    assert _weights(0).shape == (0, 1)
    assert _weights(1).tolist() == [[-1, 1]]
    assert _weights(2).tolist() == [[-0.5, 0.5, -0.5, 0.5], [-0.5, -0.5, 0.5, 0.5]]
    third, sixth = 1 / 3, 1 / 6
    assert _weights(3) == pytest.approx(
        np.array(
            [
                [-third, third, -sixth, sixth, -sixth, sixth, -third, third],
                [-third, -sixth, third, sixth, -sixth, -third, sixth, third],
                [-third, -sixth, -sixth, -third, third, sixth, sixth, third],
            ]
        )
    )


def test_an_answer_is_explained_against_the_reference() -> None:
    # From 2 · 2 · 1 to 2 · 5 · 3: alone 6 and 8 more, together 26.
    assert explained(MODEL, columns_of_rows(COLUMNS, [{"x": 5, "z": 3, "c": "b"}])) == {
        "prediction": 30.0,
        "base": 4.0,
        "contributions": {"z": 14.0, "x": 12.0, "c": 0.0},
        "reference": {"x": 2.0, "z": 1.0, "c": "a"},
        "known": "all",
    }
    same = explained(MODEL, columns_of_rows(COLUMNS, [{"x": 2, "z": 0.5, "c": "a"}]))
    assert same["contributions"] == {"z": -2.0, "x": 0.0, "c": 0.0}
    assert list(same["contributions"]) == ["z", "x", "c"]
    # Without its price a row is held against the reference by what is left.
    without = explained(MODEL, columns_of_rows(COLUMNS, [{"x": 5, "c": "b"}]))
    assert without == {
        "prediction": 7.0, "base": 7.0, "contributions": {"x": 0.0, "z": 0.0, "c": 0.0},
        "reference": {"x": 2.0, "c": "a"}, "known": "without z",
    }  # fmt: skip
    # What the reference does not know is held against nothing.
    unknown = replace(MODEL, reference={"row": {"x": 2.0, "z": None, "c": "a"}})
    found = explained(unknown, columns_of_rows(COLUMNS, [{"x": 5, "z": 3, "c": "b"}]))
    assert (found["base"], found["contributions"]) == (12.0, {"x": 18.0, "z": 0.0, "c": 0.0})
    # The base is of what is told: 2 · 2 · 3.
    assert found["reference"] == {"x": 2.0, "z": 3.0, "c": "a"}


def test_more_inputs_than_twelve_cannot_be_explained() -> None:
    names = tuple(f"i{at}" for at in range(13))
    view = replace(MODEL.views[1], missing=())
    row = {name: np.array([1.0]) for name in names}

    def of(inputs: tuple[str, ...], missing: tuple[str, ...] = ()) -> TabularModel:
        reference = {"row": dict.fromkeys(inputs, 1.0)}
        return replace(MODEL, inputs=inputs, reference=reference, views=(replace(view, missing=missing),))

    assert MOST_INPUTS == 12
    with pytest.raises(NotExplainableError, match=r"^13 inputs are too many to try every set of them; 12 can be$"):
        explained(of(names), row)
    assert explained(of(names[:12]), row)["base"] == 7.0
    assert explained(of(names, ("i0",)), row)["base"] == 7.0


# --- Asked ------------------------------------------------------------------------------------------------------------

CONTRACT = LearningContract(
    "orders", "orders", (*COLUMNS, LearningColumn("y", "DOUBLE", "Total", role="target")), ("x",)
)
ROW = {"x": 1, "z": 0.5, "c": "a", "n": "b"}
NAMES = ("x", "z", "c", "n")


def test_the_schema_says_all_that_the_contract_does() -> None:
    schema = request_model(CONTRACT, NAMES).model_json_schema()
    assert schema == {
        "title": "A row of orders",
        "type": "object",
        "additionalProperties": False,
        "required": ["x", "n"],
        "properties": {
            "x": {
                "title": "X", "description": "Pieces", "unit": "pieces", "type": "number", "minimum": 1, "maximum": 9,
            },
            "z": {
                "title": "Z", "description": "Price", "default": None,
                "anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}],
            },
            "c": {
                "title": "C", "description": "Kind", "default": None,
                "anyOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "null"}],
            },
            "n": {"title": "N", "description": "Name", "type": "string", "minLength": 1, "maxLength": 200},
        },
    }  # fmt: skip
    assert request_model(CONTRACT, NAMES).__name__ == "OrdersRow"
    assert list(request_model(CONTRACT, ("n", "x")).model_fields) == ["n", "x"]


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({"x": 0.99}, [("x", "Input should be greater than or equal to 1", "a number")]),
        ({"x": 9.01}, [("x", "Input should be less than or equal to 9", "a number")]),
        ({"x": [1]}, [("x", "Input should be a valid number", "a list")]),
        ({"x": {}}, [("x", "Input should be a valid number", "an object")]),
        ({"x": None}, [("x", "Input should be a valid number", "nothing")]),
        ({"x": (1,)}, [("x", "Input should be a valid number", "something else")]),
        ({"x": 1.5j}, [("x", "Input should be a valid number", "something else")]),
        ({"n": 7}, [("n", "Input should be a valid string", "a number")]),
        ({"n": "a" * 201}, [("n", "String should have at most 200 characters", "a text")]),
        ({"c": "q"}, [("c", "Input should be 'a' or 'b'", "a text")]),
        ({"more": True}, [("more", "Extra inputs are not permitted", "a truth value")]),
        (
            {"x": 0, "n": ""},
            [
                ("x", "Input should be greater than or equal to 1", "a number"),
                ("n", "String should have at least 1 character", "a text"),
            ],
        ),
    ],
)
def test_each_problem_is_told_by_field_bound_and_class(
    change: dict[str, Any], problems: list[tuple[str, str, str]]
) -> None:
    with pytest.raises(RefusedRowError) as refused:
        checked_row(CONTRACT, NAMES, ROW | change)
    assert refused.value.problems == [{"field": f, "why": why, "given": given} for f, why, given in problems]
    assert str(refused.value) == "; ".join(f"{f}: {why} (given: {given})" for f, why, given in problems)


def test_what_lies_at_its_bounds_passes() -> None:
    for row in ({"x": 1.0}, {"x": 9.0}, {"z": 0.0}, {"z": None, "c": None}, {"n": "a" * 200}):
        assert checked_row(CONTRACT, NAMES, ROW | row) == ROW | row
    assert checked_row(CONTRACT, ("x", "z", "n"), {"x": 2, "n": "b"}) == {"x": 2.0, "z": None, "n": "b"}
    with pytest.raises(RefusedRowError) as refused:
        checked_row(CONTRACT, ("x",), {})
    assert refused.value.problems == [{"field": "x", "why": "Field required", "given": "nothing"}]
