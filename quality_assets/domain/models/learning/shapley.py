"""What each input of a row contributes to a prediction: exact Shapley values against a reference row.

Every set of inputs is tried, the others standing as in the reference (Shapley 1953; the baseline form of Sundararajan &
Najmi 2020), so that contributions and reference prediction add up to the prediction for any model of few inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import factorial
from typing import Any

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.learning.columns_of import Columns
from quality_assets.domain.models.learning.tabular_model import TabularModel

MOST_INPUTS = 12


class NotExplainableError(ValueError):
    """A model has too many inputs to try every set of them."""


def explained(model: TabularModel, row: Columns) -> dict[str, Any]:
    """prediction, base (of the reference row) and contributions by input, of one row; inputs that are alike give 0.

    Raises NotExplainableError.
    """
    reference = model.reference["row"]
    view = model.views[int(model.view_of(row)[0])]
    names = [name for name in model.inputs if name not in view.missing]
    if len(names) > MOST_INPUTS:
        raise NotExplainableError(f"{len(names)} inputs are too many to try every set of them; {MOST_INPUTS} can be")
    both = {name: (_value(reference.get(name)), row[name][0]) for name in names}
    # Unknown in the reference, as a price may be: such an input has nothing to be held against but its own value.
    both = {name: (own if before is None else before, own) for name, (before, own) in both.items()}
    differing = [name for name in names if both[name][0] != both[name][1]]
    n = len(differing)
    sets = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    predicted = _predicted(view, names, both, differing, sets)
    values = _shapley(predicted, sets)
    contributions = dict.fromkeys(model.inputs, 0.0) | dict(zip(differing, map(float, values), strict=True))
    return {
        "prediction": float(predicted[-1]),
        "base": float(predicted[0]),
        "contributions": dict(sorted(contributions.items(), key=lambda item: -abs(item[1]))),
        "reference": {name: _told(both[name][0]) for name in names},
        "known": view.known,
    }


def _told(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else float(value) if np.isfinite(value) else None


def _value(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else float(value)


def _predicted(
    view: Any, names: list[str], both: Mapping[str, tuple[Any, Any]], differing: list[str], sets: np.ndarray
) -> Floats:
    columns: dict[str, np.ndarray] = {}
    for name in names:
        before, own = both[name]
        taken = sets[:, differing.index(name)] if name in differing else np.ones(len(sets), dtype=int)
        kind: Any = object if isinstance(own, str) or own is None else float
        columns[name] = np.array([own if each else before for each in taken], dtype=kind)
    for name in view.missing:
        columns[name] = np.full(len(sets), np.nan)
    found: Floats = view.fitted.predict(columns)
    return found


def _shapley(predicted: Floats, sets: np.ndarray) -> Floats:
    """Values of n players from the worth of all 2^n sets, of which row i holds the players of the bits of i."""
    return np.asarray(_weights(sets.shape[1]) @ predicted)


@lru_cache(maxsize=MOST_INPUTS + 1)
def _weights(n: int) -> Floats:
    """What the worth of each set counts for each player: n x 2^n."""
    sets = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    of_size = np.array([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)] or [0.0])
    out = np.zeros((n, 2**n))
    for player in range(n):
        without = np.flatnonzero(sets[:, player] == 0)
        weight = of_size[sets[without].sum(axis=1)]
        out[player, without + (1 << player)] = weight
        out[player, without] -= weight
    return out
