"""Splits with an embargo: what is learnt from ends before what is graded on begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from quality_assets.domain.arrays import Bools, Ints
from quality_assets.domain.models.settings import TrainingSettings

if TYPE_CHECKING:
    from quality_assets.domain.models.rows import TargetRows


@dataclass(frozen=True)
class Split:
    """Of n rows: which may be learnt from, and the positions of those that are then predicted."""

    train: Bools = field(repr=False)
    test: Ints = field(repr=False)


@dataclass(frozen=True)
class TimeSplit:
    """Day indices: train on days <= train_through, test on test_from .. test_through, with the embargo between."""

    train_through: int
    test_from: int
    test_through: int


def by_time(rows: TargetRows, settings: TrainingSettings) -> list[Split]:
    """The splits of `time_splits` of rows in order of days."""
    splits = time_splits(int(rows.day[0]), int(rows.day[-1]), settings) if len(rows.day) else []
    return [
        Split(
            rows.day <= split.train_through,
            np.flatnonzero((rows.day >= split.test_from) & (rows.day <= split.test_through)),
        )
        for split in splits
    ]


def time_splits(first_day: int, last_day: int, settings: TrainingSettings) -> list[TimeSplit]:
    """Expanding-window splits of labelled days first_day .. last_day, oldest first; empty when they are too few.

    Training ends horizon_days before testing begins, so that no training label reaches into the test (the purge of
    López de Prado 2018, ch. 7). The first split is for calibration only.
    """
    h = settings.horizon_days
    days = last_day - first_day + 1
    first_test = max(first_day + settings.min_train_days + h, first_day + int(settings.first_train_share * days) + h)
    edges = np.linspace(first_test, last_day + 1, settings.folds + 1).astype(int)
    if last_day + 1 - first_test < settings.folds:
        return []
    return [TimeSplit(int(a) - h - 1, int(a), int(b) - 1) for a, b in pairwise(edges)]
