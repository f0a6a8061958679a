"""What learns, by hand: ridge regression, the settings of trees and of their search, formulas, columns."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.learning import LearningColumn
from quality_assets.domain.models.learning.columns_of import (
    columns_of_frame,
    columns_of_rows,
    is_unknown,
    matrix,
    row_count,
    taken,
)
from quality_assets.domain.models.learning.formulas import (
    KINDS,
    Mean,
    PriceOrProduct,
    Product,
    formula_of,
    formula_state,
)
from quality_assets.domain.models.learning.learners import Linear, Trees, drawn_settings, learner_of, make_learner
from quality_assets.domain.threads import limited_threads

NAN = math.nan
NUMBER, NAME = LearningColumn("x", "DOUBLE", "A number"), LearningColumn("c", "VARCHAR", "A name")


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float).reshape(-1, 1)


# --- Ridge ------------------------------------------------------------------------------------------------------------


def test_a_line_is_shrunk_by_one_row_and_its_level_is_not() -> None:
    line = Linear()
    line.fit(column(0, 2, 4), np.array([1.0, 2.0, 6.0]), np.array([0]))
    # z is ∓√1.5 and 0, z · (y − 3) is 5 · √1.5, and zᵀz + 1 is 4.
    assert (line.mean.tolist(), line.constant) == ([2.0], 3.0)
    assert line.scale == pytest.approx([math.sqrt(8 / 3)])
    assert line.weight == pytest.approx([1.25 * math.sqrt(1.5)])
    assert line.predict(column(4, 0, 2, NAN, 8)) == pytest.approx([4.875, 1.125, 3, 3, 3 + 3 * 1.875])
    free = Linear(strength=0.0)
    free.fit(column(0, 2, 4), np.array([1.0, 2.0, 6.0]), np.array([0]))
    assert free.predict(column(4)) == pytest.approx([5.5])


def test_unknown_numbers_are_the_mean_and_constant_ones_say_nothing() -> None:
    line = Linear()
    x = np.hstack([column(0, 2, NAN, 4), column(7, 7, 7, 7), column(NAN, NAN, NAN, NAN)])
    line.fit(x, np.array([1.0, 2.0, 9.0, 6.0]), np.array([0, 0, 0]))
    assert line.mean.tolist() == [2, 7, 0]
    assert line.scale == pytest.approx([math.sqrt(2), 1, 1])
    # z is −√2, 0, 0, √2: z · (y − 4.5) = 5√2, and zᵀz + 1 is 5.
    assert line.weight == pytest.approx([math.sqrt(2), 0, 0])
    assert line.predict(np.array([[4.0, 7.0, NAN], [NAN, NAN, 5.0]])) == pytest.approx([6.5, 4.5])


def test_a_name_has_a_column_of_its_own() -> None:
    line = Linear(strength=2.0)
    x = np.hstack([column(1, 2, 3, 5, 4), column(0, 0, 1, 1, NAN)])
    y = np.array([1.0, 3.0, 8.0, 2.0, 6.0])
    line.fit(x, y, np.array([0, 2]))
    wide = np.array([[1, 1, 0], [2, 1, 0], [3, 0, 1], [5, 0, 1], [4, 0, 0]], dtype=float)
    z = (wide - wide.mean(axis=0)) / wide.std(axis=0)
    # Ridge is least squares with a row of its own for each weight.
    padded = np.vstack([z, math.sqrt(2) * np.eye(3)])
    wanted = np.linalg.lstsq(padded, np.concatenate([y - 4, np.zeros(3)]), rcond=None)[0]
    assert line.weight == pytest.approx(wanted)
    assert line.predict(x) == pytest.approx(4 + z @ wanted)
    np.testing.assert_equal(
        line.state(),
        {
            "strength": 2.0, "constant": 4.0, "sizes": np.array([0, 2]), "mean": line.mean, "scale": line.scale,
            "weight": line.weight,
        },
    )  # fmt: skip
    again = learner_of("linear", line.state())
    assert isinstance(again, Linear)
    assert again.predict(x).tolist() == line.predict(x).tolist()


def test_what_has_not_learnt_says_nothing() -> None:
    np.testing.assert_equal(
        Linear().state(),
        {
            "strength": 1.0, "constant": 0.0, "sizes": np.zeros(0, dtype=np.int64), "mean": np.zeros(0),
            "scale": np.ones(0), "weight": np.zeros(0),
        },
    )  # fmt: skip
    assert Linear().predict(np.zeros((2, 0))).tolist() == [0.0, 0.0]
    assert make_learner("linear", {"strength": 3.0}).state()["strength"] == 3.0


# --- Trees ------------------------------------------------------------------------------------------------------------


def test_trees_are_grown_with_these_settings() -> None:
    exact, binned = make_learner("gradient_boosting", {}), make_learner("hist_gradient_boosting", {"max_iter": 5})
    assert exact.state() == {
        "is_binned": False,
        "settings": {
            "n_estimators": 100, "max_depth": 3, "learning_rate": 0.1, "subsample": 0.7, "min_samples_leaf": 5,
        },
        "model": None,
    }  # fmt: skip
    assert binned.state() == {
        "is_binned": True,
        "settings": {"max_iter": 5, "learning_rate": 0.08, "early_stopping": False},
        "model": None,
    }
    assert make_learner("hist_gradient_boosting", {}).state()["settings"]["max_iter"] == 300
    with pytest.raises(KeyError, match="forest"):
        make_learner("forest", {})


def test_what_is_unknown_lies_below_all_for_exact_trees_and_stays_unknown_for_others() -> None:
    x = np.hstack([column(*range(40)), column(*[NAN, 3.0] * 20)])
    y = np.where(np.isnan(x[:, 1]), 10.0, 0.0)
    for kind, more in (
        ("gradient_boosting", {"n_estimators": 20}),
        ("hist_gradient_boosting", {"max_iter": 20, "min_samples_leaf": 2}),
    ):
        learner = make_learner(kind, more)
        with limited_threads():
            learner.fit(x, y, np.array([0, 0]))
        assert isinstance(learner, Trees)
        assert learner.model.random_state == 0
        found = learner.predict(np.array([[5.0, NAN], [5.0, -1.0], [5.0, 3.0]]))
        assert found[0] > 5 > found[2]
        # Minus one is what an unknown value is taken for by one, and a value below the rest to the other.
        assert (found[0] == found[1]) == (kind == "gradient_boosting")
        again = learner_of(kind, learner.state())
        assert again.predict(x).tolist() == learner.predict(x).tolist()
    assert type(make_learner("gradient_boosting", {})._made()).__name__ == "GradientBoostingRegressor"  # type: ignore[attr-defined]
    assert Trees(False, {})._filled(np.array([[NAN, 2.0, np.inf]])).tolist() == [[-1.0, 2.0, -1.0]]
    np.testing.assert_equal(Trees(True, {})._filled(np.array([[NAN, 2.0]])), np.array([[NAN, 2.0]]))


def test_a_search_draws_where_the_usual_settings_lie() -> None:
    def rng() -> np.random.Generator:
        return np.random.default_rng(5)

    own = rng()
    assert drawn_settings("linear", rng()) == {"strength": float(10 ** own.uniform(-2, 3))}
    own = rng()
    assert drawn_settings("gradient_boosting", rng()) == {
        "n_estimators": int(own.integers(60, 220)), "max_depth": int(own.integers(2, 5)),
        "learning_rate": float(10 ** own.uniform(-1.7, -0.7)), "min_samples_leaf": int(own.integers(3, 40)),
    }  # fmt: skip
    own = rng()
    assert drawn_settings("hist_gradient_boosting", rng()) == {
        "max_iter": int(own.integers(120, 420)), "learning_rate": float(10 ** own.uniform(-1.6, -0.8)),
        "max_leaf_nodes": int(own.integers(12, 64)), "min_samples_leaf": int(own.integers(10, 60)),
        "l2_regularization": float(10 ** own.uniform(-3, 1)),
    }  # fmt: skip


# --- Formulas ---------------------------------------------------------------------------------------------------------


def test_the_mean_is_the_same_for_every_row() -> None:
    columns = {"x": np.array([1.0, 2.0, NAN])}
    mean = Mean().fitted(columns, np.array([1.0, 2.0, 6.0]))
    assert mean == Mean(3.0)
    assert mean.predict(columns).tolist() == [3, 3, 3]
    assert mean.is_exact(columns).tolist() == [False] * 3
    assert math.isnan(Mean().value)


def test_a_product_has_the_median_ratio_of_what_can_be_divided_by() -> None:
    columns = {"a": np.array([1.0, 2.0, 3.0, 0.0, -1.0, NAN]), "b": np.array([2.0, 2.0, 2.0, 5.0, 4.0, 1.0])}
    y = np.array([4.0, 4.0, 18.0, 7.0, -800.0, 9.0])
    # 2, 1 and 3; nothing, less than nothing and what is unknown are left out.
    product = Product("a", "b").fitted(columns, y)
    assert product == Product("a", "b", 2.0)
    np.testing.assert_equal(product.predict(columns), np.array([4.0, 8, 12, 0, -8, NAN]))
    assert product.is_exact(columns).tolist() == [False] * 6
    none = Product("a", "b").fitted({"a": np.array([0.0]), "b": np.array([1.0])}, np.array([1.0]))
    assert math.isnan(none.ratio)


def priced(capped: int, rows: int = 100) -> PriceOrProduct:
    """The formula of rows of which some cost 50, the most, at a list price of 100, and the rest half of theirs."""
    columns = {
        "q": np.full(rows, 2.0),
        "p": np.where(np.arange(rows) < capped, 50.0, 10.0),
        "m": np.where(np.arange(rows) < capped, 100.0, 20.0),
    }
    y = 2 * np.where(np.arange(rows) < capped, 70.0, 10.0)
    return PriceOrProduct("q", "p", "m").fitted(columns, y)


def test_a_price_that_more_than_one_in_a_hundred_pay_is_a_cap() -> None:
    assert priced(2) == PriceOrProduct("q", "p", "m", cap=50.0, ratio=0.7)
    assert priced(1) == PriceOrProduct("q", "p", "m", cap=math.inf, ratio=0.5)
    assert priced(1, 99).cap == 50.0


def test_what_was_paid_counts_below_the_cap_and_the_product_at_it() -> None:
    columns = {
        "q": np.array([2.0, 2.0, 2.0, 3.0, 2.0, 2.0]),
        "p": np.array([10.0, 50.0, 50.0, NAN, 49.992, 49.996]),
        "m": np.array([99.0, 100.0, 60.0, 80.0, 99.0, 99.0]),
    }
    formula = PriceOrProduct("q", "p", "m", cap=50.0, ratio=0.7)
    assert formula.is_exact(columns).tolist() == [True, False, False, False, True, False]
    assert formula.predict(columns) == pytest.approx([20, 140, 100, 168, 99.984, 138.6])
    # Half a cent below is the cap itself.
    edge = PriceOrProduct("q", "p", "m", cap=0.005, ratio=1.0)
    assert edge.is_exact({"q": np.ones(2), "p": np.array([0.0, -0.001]), "m": np.ones(2)}).tolist() == [False, True]
    free = PriceOrProduct("q", "p", "m", cap=math.inf, ratio=0.5)
    assert free.predict(columns) == pytest.approx([20, 100, 100, 120, 99.984, 99.992])


def test_formulas_are_stored_under_their_kinds() -> None:
    assert {name: kind.__name__ for name, kind in KINDS.items()} == {
        "mean": "Mean", "product": "Product", "price_or_product": "PriceOrProduct",
    }  # fmt: skip
    for formula, state in (
        (Mean(2.0), {"kind": "mean", "value": 2.0}),
        (Product("a", "b", 3.0), {"kind": "product", "first": "a", "second": "b", "ratio": 3.0}),
        (
            PriceOrProduct("q", "p", "m", 9.0, 0.5),
            {"kind": "price_or_product", "quantity": "q", "price": "p", "list_price": "m", "cap": 9.0, "ratio": 0.5},
        ),
    ):
        assert formula_state(formula) == state
        assert formula_of(state) == formula


# --- Columns ----------------------------------------------------------------------------------------------------------


def test_rows_become_columns_with_what_is_unknown() -> None:
    rows = [{"x": 1, "c": "a"}, {"c": 5}, {"x": None, "c": None, "more": 1}]
    wanted = {"x": np.array([1.0, NAN, NAN]), "c": np.array(["a", None, None], dtype=object)}
    found = columns_of_rows([NUMBER, NAME], rows)
    np.testing.assert_equal(found, wanted)
    assert (found["x"].dtype, found["c"].dtype) == (float, object)
    frame = pd.DataFrame({"x": [1.0, None, 3.0]})
    np.testing.assert_equal(
        columns_of_frame([NUMBER, NAME], frame),
        {"x": np.array([1.0, NAN, 3.0]), "c": np.array([None, None, None], dtype=object)},
    )
    assert is_unknown(np.array([1.0, NAN, np.inf])).tolist() == [False, True, True]
    assert is_unknown(np.array(["a", None], dtype=object)).tolist() == [False, True]
    assert (row_count(wanted), row_count({})) == (3, 0)
    np.testing.assert_equal(
        taken(wanted, np.array([True, False, True])),
        {"x": np.array([1.0, NAN]), "c": np.array(["a", None], dtype=object)},
    )
    assert taken(wanted, np.array([2, 0]))["c"].tolist() == [None, "a"]


def test_a_matrix_has_names_as_their_places() -> None:
    columns = {"x": np.array([7.0, NAN]), "c": np.array(["b", "z"], dtype=object)}
    np.testing.assert_equal(matrix(columns, ["c", "x"], {"c": ("a", "b")}), np.array([[1.0, 7.0], [NAN, NAN]]))
    assert matrix(columns, [], {}).shape == (2, 0)


def test_fitting_keeps_to_one_thread_what_it_loads_itself() -> None:
    asked = (
        "from threadpoolctl import threadpool_info\n"
        "from quality_assets.domain.threads import limited_threads\n"
        "with limited_threads():\n"
        "    import sklearn.ensemble\n"
        "    print(sorted({(each['user_api'], each['num_threads']) for each in threadpool_info()}))"
    )
    # Whether scikit-learn is loaded already is a matter of the process.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    ended = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[('blas', 1), ('openmp', 1)]"
