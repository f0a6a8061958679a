"""How far a model's predictions move when one of its inputs alone takes another distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, nan

import numpy as np
import numpy.typing as npt
import pandas as pd

from quality_assets.domain.arrays import Floats

Predict = Callable[[pd.DataFrame], npt.ArrayLike]


def effects_on_predictions(
    reference: pd.DataFrame, current: pd.DataFrame, columns: Sequence[str], predict: Predict, most_rows: int = 2000
) -> dict[str, float]:
    """Mean absolute shift of the score when one input alone takes the current distribution; by input name.

    `predict` maps a frame with the columns of `reference` to probabilities, each row by itself, and is asked once. Each
    value is replaced by the current value of the same rank (quantile mapping), so that an input that has not moved has
    no effect and the joint order of inputs is kept. `most_rows` evenly spaced rows of the reference are scored. Empty
    frames, and inputs without values, have no entry.
    """
    if not len(reference) or not len(current):
        return {}
    step = max(1, ceil(len(reference) / most_rows))
    sample = reference.iloc[::step].reset_index(drop=True)
    mapped = {column: _swap_in(reference[column], sample[column], current[column]) for column in columns}
    swapped = {column: values for column, values in mapped.items() if values is not None}
    # All that is asked at once, the sample as it is first: a model that is asked once an input costs more than it says.
    count = len(sample)
    asked = sample.iloc[np.tile(np.arange(count), 1 + len(swapped))].reset_index(drop=True)
    for block, (column, values) in enumerate(swapped.items(), start=1):
        whole = asked[column].to_numpy(float, na_value=nan).copy()
        whole[block * count : (block + 1) * count] = values
        asked[column] = whole
    answers = np.asarray(predict(asked), dtype=float).reshape(1 + len(swapped), count)
    moved = np.abs(answers[1:] - answers[0]).mean(axis=1)
    return dict(zip(swapped, moved.tolist(), strict=True))


def _swap_in(reference: pd.Series, sample: pd.Series, current: pd.Series) -> Floats | None:
    old = np.sort(reference.to_numpy(float, na_value=nan))
    new = current.to_numpy(float, na_value=nan)
    old, new = old[np.isfinite(old)], new[np.isfinite(new)]
    if not len(old) or not len(new):
        return None
    values = sample.to_numpy(float, na_value=nan)
    finite = np.where(np.isfinite(values), values, old[0])
    # The middle of ties, so that a value held by half of all rows maps onto the current middle.
    rank = (np.searchsorted(old, finite, side="left") + np.searchsorted(old, finite, side="right")) / 2 / len(old)
    return np.where(np.isfinite(values), np.quantile(new, np.clip(rank, 0, 1)), values)
