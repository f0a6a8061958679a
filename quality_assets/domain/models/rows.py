"""The rows of a training set that a target can be learnt from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Floats, Ints
from quality_assets.domain.models.settings import TrainingSettings
from quality_assets.domain.models.use_case import UseCase


@dataclass(frozen=True)
class TargetRows:
    """The rows of one target, ordered by day: keys, their entities, n x p inputs, n outcomes, day indices."""

    keys: pd.DataFrame
    entity: np.ndarray = field(repr=False)
    x: Floats
    y: Floats
    day: Ints = field(repr=False)

    def take(self, chosen: Ints) -> TargetRows:
        return TargetRows(self.keys.iloc[chosen], self.entity[chosen], self.x[chosen], self.y[chosen], self.day[chosen])


def input_matrix(use_case: UseCase, frame: pd.DataFrame, rows: Ints | None = None) -> Floats:
    """Inputs of a frame, or of its rows at some positions, as n x p in the use case's order, clipped to their limits.

    KeyError where one is absent.
    """
    x = np.empty((len(frame) if rows is None else len(rows), len(use_case.inputs)))
    # Column by column: a long history is hardly held twice.
    for position, item in enumerate(use_case.inputs):
        column = frame[item.name].to_numpy(dtype=float, na_value=np.nan)
        np.clip(column if rows is None else column[rows], item.low, item.high, out=x[:, position])
    return x


def target_rows(use_case: UseCase, training_set: pd.DataFrame, target: str) -> TargetRows:
    label = training_set[use_case.target(target).label]
    keep = np.flatnonzero(label.notna() & use_case.is_asked(training_set))
    day = use_case.days(training_set)[keep]
    order = np.argsort(day, kind="stable")
    keep = keep[order]
    keys = training_set[use_case.keys].iloc[keep].reset_index(drop=True)
    return TargetRows(
        keys,
        keys[use_case.entity].to_numpy(),
        input_matrix(use_case, training_set, keep),
        label.iloc[keep].astype(bool).to_numpy().astype(np.float64),
        day[order],
    )


def sample_rows(rows: TargetRows, index: Ints, settings: TrainingSettings) -> TargetRows:
    """The rows at some positions, at random no more than max_fit_rows of them."""
    if len(index) > settings.max_fit_rows:
        index = np.sort(np.random.default_rng(settings.seed).choice(index, settings.max_fit_rows, replace=False))
    return rows.take(index)


def can_learn(y: Floats, settings: TrainingSettings) -> bool:
    return min(float(y.sum()), float(len(y) - y.sum())) >= settings.min_positives
