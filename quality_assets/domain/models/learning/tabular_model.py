"""A model of a table: fitted candidates by what is known, intervals, and the row whose prediction proves it.

It is asked by columns, without a frame. Stored as plain state: dicts, numbers, texts, arrays, and scikit-learn's own
estimators; whoever changes what a state holds raises FORMAT.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.learning.columns_of import Columns, is_unknown, matrix, row_count, taken
from quality_assets.domain.models.learning.formulas import Formula, formula_of, formula_state
from quality_assets.domain.models.learning.learners import Learner, learner_of, make_learner
from quality_assets.domain.models.learning.residuals import Intervals
from quality_assets.domain.models.learning.tabular import Candidate, View

FORMAT = 1
_SMALL = 1e-9


class ModelFormatError(ValueError):
    """A state is not that of a model that can be used here; says which part."""


@dataclass(frozen=True)
class Fitted:
    """A candidate that has learnt: a formula, a learner on top of it or alone. `categories`: known names by column."""

    candidate: str
    formula: Formula | None
    learner_kind: str | None
    learner: Learner | None
    inputs: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]

    def predict(self, columns: Columns) -> Floats:
        """The outcome of n rows whose inputs are known."""
        if self.learner is None:
            assert self.formula is not None
            return self.formula.predict(columns)
        if self.formula is None:
            return self.learner.predict(matrix(columns, self.inputs, self.categories))
        base, is_open = self.formula.predict(columns), ~self.formula.is_exact(columns)
        if is_open.any():
            ratio = self.learner.predict(matrix(taken(columns, is_open), self.inputs, self.categories))
            base = base.copy()
            base[is_open] *= ratio
        return base

    def is_exact(self, columns: Columns) -> Bools:
        """Where nothing was left to learn."""
        return np.zeros(row_count(columns), dtype=bool) if self.formula is None else self.formula.is_exact(columns)

    def state(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "candidate": self.candidate,
            "formula": None if self.formula is None else formula_state(self.formula),
            "learner_kind": self.learner_kind,
            "learner": None if self.learner is None else self.learner.state(),
            "inputs": list(self.inputs),
            "categories": {name: list(values) for name, values in self.categories.items()},
        }


def fitted_of(state: Mapping[str, Any]) -> Fitted:
    """The fitted candidate of what `Fitted.state` gave."""
    kind, learner = state["learner_kind"], state["learner"]
    return Fitted(
        state["candidate"],
        None if state["formula"] is None else formula_of(state["formula"]),
        kind,
        None if learner is None else learner_of(kind, learner),
        tuple(state["inputs"]),
        {name: tuple(values) for name, values in state["categories"].items()},
    )


def fit(
    candidate: Candidate, columns: Columns, y: Floats, inputs: Sequence[str],
    settings: Mapping[str, Any] | None = None,
) -> Fitted:  # fmt: skip
    """A candidate fitted on n rows; of `inputs`, which are those that are known, it sees what it is made to see."""
    formula = None if candidate.formula is None else candidate.formula.fitted(columns, y)
    if candidate.learner is None:
        return Fitted(candidate.name, formula, None, None, (), {})
    names = tuple(name for name in candidate.inputs or inputs if name in inputs)
    categories = {name: _names(columns[name]) for name in names if columns[name].dtype == object}
    rows, outcome = columns, y
    if formula is not None:
        base = formula.predict(columns)
        is_open = ~formula.is_exact(columns) & (np.abs(base) > _SMALL)
        rows, outcome = taken(columns, is_open), y[is_open] / base[is_open]
    learner = make_learner(candidate.learner, {**candidate.settings, **(settings or {})})
    sizes = np.array([len(categories.get(name, ())) for name in names], dtype=np.int64)
    if len(outcome) < 2:
        return Fitted(candidate.name, formula, None, None, (), {})
    learner.fit(matrix(rows, names, categories), outcome, sizes)
    return Fitted(candidate.name, formula, candidate.learner, learner, names, categories)


def _names(values: np.ndarray) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value is not None}))


@dataclass(frozen=True)
class FittedView:
    """What predicts where `missing` inputs are not known, with its intervals."""

    known: str
    missing: tuple[str, ...]
    fitted: Fitted
    intervals: Intervals

    def answers(self, columns: Columns) -> tuple[Floats, Floats, Floats]:
        """Prediction, p10 and p90 of n rows."""
        predicted = self.fitted.predict(columns)
        low, high = self.intervals.around(predicted, self.fitted.is_exact(columns))
        return predicted, low, high


@dataclass(frozen=True)
class TabularModel:
    """What is released. `ranges`: of each input what was seen in training: lowest and highest, or names.

    `refused`: inputs that knew the target. `reference`: a row, and what was predicted of it when the model was saved;
    whoever loads the model and does not get the same has another model.
    """

    use_case: str
    contract: str
    views: tuple[FittedView, ...]
    inputs: tuple[str, ...]
    refused: tuple[str, ...]
    ranges: Mapping[str, tuple[Any, ...]]
    trained_through: str | None
    rows: int
    reference: Mapping[str, Any]

    def answers(self, columns: Columns) -> list[dict[str, Any]]:
        """What a server says of n rows: prediction, p10, p90, how the interval is made, what was not seen before."""
        n = row_count(columns)
        found: list[dict[str, Any]] = [{} for _ in range(n)]
        view_of = self.view_of(columns)
        for at, view in enumerate(self.views):
            rows = np.flatnonzero(view_of == at)
            if not len(rows):
                continue
            some = taken(columns, rows)
            outside = self.outside_training(some, view)
            # As Python's own numbers at once: one by one it takes as long as all the rest.
            predicted, low, high = (each.tolist() for each in view.answers(some))
            for row, one, lowest, highest, unseen in zip(rows.tolist(), predicted, low, high, outside, strict=True):
                found[row] = {
                    "prediction": one,
                    "p10": lowest,
                    "p90": highest,
                    "interval_method": view.intervals.method,
                    "interval_status": view.intervals.status,
                    "coverage_measured": view.intervals.coverage,
                    "known": view.known,
                    "outside_training": unseen,
                }
        return found

    def view_of(self, columns: Columns) -> np.ndarray:
        """Which view answers each of n rows: the first all of whose inputs are known; the last answers the rest."""
        view_of = np.full(row_count(columns), len(self.views) - 1)
        for at in range(len(self.views) - 2, -1, -1):
            optional = {name for view in self.views for name in view.missing}
            needed = [name for name in self.inputs if name in optional and name not in self.views[at].missing]
            is_known = np.ones(len(view_of), dtype=bool)
            for name in needed:
                is_known &= ~is_unknown(columns[name])
            view_of[is_known] = at
        return view_of

    def predictions(self, columns: Columns) -> tuple[Floats, Floats, Floats]:
        """Prediction, p10 and p90 of n rows, each by what is known of it."""
        out = np.full((3, row_count(columns)), np.nan)
        view_of = self.view_of(columns)
        for at, view in enumerate(self.views):
            rows = np.flatnonzero(view_of == at)
            if len(rows):
                out[:, rows] = view.answers(taken(columns, rows))
        return out[0], out[1], out[2]

    def outside_training(self, columns: Columns, view: FittedView) -> list[list[str]]:
        """For each of n rows the inputs whose value is a name, or lies where none did, that training has not seen."""
        found: list[list[str]] = [[] for _ in range(row_count(columns))]
        for name, seen in self.ranges.items():
            if name in view.missing:
                continue
            values = columns[name]
            if len(found) == 1:
                # A server is asked one row at a time, of which an array says no more than its value.
                if _is_unseen(values[0], seen):
                    found[0].append(name)
                continue
            if values.dtype == object:
                unseen = np.array([value is not None and value not in seen for value in values], dtype=bool)
            else:
                unseen = np.isfinite(values) & ((values < seen[0]) | (values > seen[1]))
            for row in np.flatnonzero(unseen):
                found[row].append(name)
        return found

    def state(self) -> dict[str, Any]:
        """As plain values, of which `model_of` makes the same model."""
        return {
            "format": FORMAT,
            "use_case": self.use_case,
            "contract": self.contract,
            "inputs": list(self.inputs),
            "refused": list(self.refused),
            "ranges": {name: list(values) for name, values in self.ranges.items()},
            "trained_through": self.trained_through,
            "rows": int(self.rows),
            "reference": dict(self.reference),
            "views": [
                {
                    "known": view.known,
                    "missing": list(view.missing),
                    "fitted": view.fitted.state(),
                    "intervals": view.intervals.state(),
                }
                for view in self.views
            ],
        }


def _is_unseen(value: Any, seen: tuple[Any, ...]) -> bool:
    """Whether a name, or where a number lies, was not seen in training; what is unknown is nothing unseen."""
    if value is None or isinstance(value, str):
        return value is not None and value not in seen
    return math.isfinite(value) and not seen[0] <= value <= seen[1]


def model_of(state: Any) -> TabularModel:
    """The model of what `TabularModel.state` gave. Raises ModelFormatError where it is none."""
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ModelFormatError(f"the state is not of format {FORMAT}")
    try:
        views = tuple(
            FittedView(
                view["known"], tuple(view["missing"]), fitted_of(view["fitted"]), Intervals.of(view["intervals"])
            )
            for view in state["views"]
        )
        return TabularModel(
            use_case=state["use_case"],
            contract=state["contract"],
            views=views,
            inputs=tuple(state["inputs"]),
            refused=tuple(state["refused"]),
            ranges={name: tuple(values) for name, values in state["ranges"].items()},
            trained_through=state["trained_through"],
            rows=int(state["rows"]),
            reference=state["reference"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFormatError(f"the state holds no model ({type(error).__name__}: {error})") from error


def view_inputs(view: View, inputs: Sequence[str]) -> tuple[str, ...]:
    """The inputs that are known in a view."""
    return tuple(name for name in inputs if name not in view.missing)
