"""Whether an input knows what it cannot know."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quality_assets.contracts.risk_inputs import INPUT_NAMES
from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.artifact import Target

_LEAK_AUC = 0.99


_MIN_LEAK_POSITIVES, _MIN_LEAK_FEATURES = 50, 3


class SuspectedLeakError(ValueError):
    """An input or a score knows what it cannot know."""


def single_input_aucs(training_set: pd.DataFrame, target: Target = "any") -> pd.Series:
    """ROC-AUC of each input alone, in the better direction; NaN where it is unknown or one class only."""
    label = training_set[f"label_{target}"]
    keep = (label.notna() & training_set["has_baseline"].astype(bool)).to_numpy()
    y = label[keep].astype(bool).to_numpy()
    return pd.Series({name: _auc(training_set[name].to_numpy(dtype=float)[keep], y) for name in INPUT_NAMES})


def _auc(column: Floats, y: Bools) -> float:
    known = np.isfinite(column)
    count, hits = int(known.sum()), int(y[known].sum())
    if not 0 < hits < count:
        return np.nan
    ranks = pd.Series(column[known]).rank().to_numpy()
    auc = (ranks[y[known]].sum() - hits * (hits + 1) / 2) / (hits * (count - hits))
    return float(max(auc, 1 - auc))


def can_show_a_leak(training_set: pd.DataFrame) -> bool:
    """Whether there are positives enough, and each outcome on at least three features.

    Days of one feature are alike: where only two features ever stay healthy, whatever tells these two from the others
    'knows' the label.
    """
    known = training_set[training_set["label_any"].notna() & training_set["has_baseline"].astype(bool)]
    is_positive = known["label_any"].astype(bool)
    features = min(known.loc[mask, "feature"].nunique() for mask in (is_positive, ~is_positive))
    return int(is_positive.sum()) >= _MIN_LEAK_POSITIVES and features >= _MIN_LEAK_FEATURES


def check_single_inputs(training_set: pd.DataFrame) -> None:
    """Raise SuspectedLeakError when one input alone reaches ROC-AUC .99, where that can show a leak."""
    if not can_show_a_leak(training_set):
        return
    aucs = single_input_aucs(training_set)
    leaks = aucs[aucs >= _LEAK_AUC]
    if len(leaks):
        raise SuspectedLeakError(f"inputs that all but know the label: {leaks.round(4).to_dict()}")
