"""Whether an input knows what it cannot know."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.use_case import UseCase

_LEAK_AUC = 0.99


_MIN_LEAK_POSITIVES, _MIN_LEAK_ENTITIES = 50, 3


class SuspectedLeakError(ValueError):
    """An input or a score knows what it cannot know."""


def single_input_aucs(use_case: UseCase, training_set: pd.DataFrame, target: str | None = None) -> pd.Series:
    """ROC-AUC of each input alone, in the better direction; NaN where it is unknown or one class only.

    Of the main target, where none is named.
    """
    label = training_set[use_case.target(target or use_case.main_target.name).label]
    keep = (label.notna() & use_case.is_asked(training_set)).to_numpy()
    y = label[keep].astype(bool).to_numpy()
    return pd.Series({name: _auc(training_set[name].to_numpy(dtype=float)[keep], y) for name in use_case.input_names})


def _auc(column: Floats, y: Bools) -> float:
    known = np.isfinite(column)
    count, hits = int(known.sum()), int(y[known].sum())
    if not 0 < hits < count:
        return np.nan
    ranks = pd.Series(column[known]).rank().to_numpy()
    auc = (ranks[y[known]].sum() - hits * (hits + 1) / 2) / (hits * (count - hits))
    return float(max(auc, 1 - auc))


def can_show_a_leak(use_case: UseCase, training_set: pd.DataFrame) -> bool:
    """Whether there are positives enough, and each outcome on at least three entities.

    Days of one entity are alike: where only two ever stay healthy, whatever tells these two from the others 'knows' the
    label.
    """
    label = use_case.main_target.label
    known = training_set[training_set[label].notna() & use_case.is_asked(training_set)]
    is_positive = known[label].astype(bool)
    entities = min(known.loc[mask, use_case.entity].nunique() for mask in (is_positive, ~is_positive))
    return int(is_positive.sum()) >= _MIN_LEAK_POSITIVES and entities >= _MIN_LEAK_ENTITIES


def check_single_inputs(use_case: UseCase, training_set: pd.DataFrame) -> None:
    """Raise SuspectedLeakError when one input alone reaches ROC-AUC .99, where that can show a leak."""
    if not can_show_a_leak(use_case, training_set):
        return
    aucs = single_input_aucs(use_case, training_set)
    leaks = aucs[aucs >= _LEAK_AUC]
    if len(leaks):
        raise SuspectedLeakError(f"inputs that all but know the label: {leaks.round(4).to_dict()}")
