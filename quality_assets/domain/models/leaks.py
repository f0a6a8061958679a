"""Whether an input knows what it cannot know.

Where a state persists, what knows the state of today all but knows the outcome of tomorrow, and is no leak: entities
that are always down tell themselves from those that never are. So where a use case has such a state, an input is asked
among rows in one state alone: which of those that are well fall ill, and which of the ill recover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.use_case import UseCase

_LEAK_AUC = 0.99
# Of simulated products no honest input reached .83 among rows that are well, overall and within entities.
_CHANGE_LEAK_AUC = 0.95
# States end by rules that count calm days: what counts them may tell much of it, and never all.
_RECOVERY_LEAK_AUC = 0.99

_MIN_LEAK_POSITIVES, _MIN_LEAK_ENTITIES = 50, 3
# In one state, an outcome is rarer; and chance would have to err over all rows, within entities and within days.
_MIN_CHANGES = 20


class SuspectedLeakError(ValueError):
    """An input or a score knows what it cannot know."""


@dataclass(frozen=True)
class SuspectedLeak:
    """An input that knows too much: among rows in which state, and its ROC-AUC there: the lowest of that over all rows,
    within entities and within days."""

    name: str
    state: str
    auc: float
    rows: int
    positives: int

    @property
    def sentence(self) -> str:
        """The evidence in words."""
        return (
            f"{self.name} is not learnt from: a leak is suspected, since among rows with {self.state} it alone tells"
            f" which change (ROC-AUC {self.auc:.3f}, {self.positives:,} of {self.rows:,} rows)"
        )


def suspected_leaks(use_case: UseCase, training_set: pd.DataFrame) -> list[SuspectedLeak]:
    """The inputs that tell the outcome among rows of the same state better than anything known that day can.

    Over all such rows, within entities and within days, so that neither what names an entity nor what names a time is
    suspected. Where too few outcomes or entities are known, nothing is. Needs `use_case.state_input`.
    """
    assert use_case.state_input is not None
    target = use_case.main_target.label
    rows = training_set[(training_set[target].notna() & use_case.is_asked(training_set)).to_numpy()]
    outcome = rows[target].astype(bool).to_numpy()
    state = rows[use_case.state_input].to_numpy(dtype=float, na_value=np.nan)
    found: dict[str, SuspectedLeak] = {}
    for value, y, least in ((0, outcome, _CHANGE_LEAK_AUC), (1, ~outcome, _RECOVERY_LEAK_AUC)):
        chosen = np.flatnonzero(state == value)
        part = rows.iloc[chosen]
        if not _can_show(use_case, part, y[chosen]):
            continue
        strata = (part[use_case.entity].to_numpy(), use_case.days(part))
        for name in use_case.input_names:
            auc = _separation(part[name].to_numpy(dtype=float, na_value=np.nan), y[chosen], strata, least)
            if auc >= least and name not in found:
                words = f"{use_case.state_input} = {value}"
                found[name] = SuspectedLeak(name, words, auc, len(chosen), int(y[chosen].sum()))
    return list(found.values())


def _can_show(use_case: UseCase, rows: pd.DataFrame, y: Bools) -> bool:
    if int(y.sum()) < _MIN_CHANGES:
        return False
    entity = rows[use_case.entity].to_numpy()
    return min(pd.unique(entity[mask]).size for mask in (y, ~y)) >= _MIN_LEAK_ENTITIES


def _separation(column: Floats, y: Bools, strata: Sequence[np.ndarray], least: float) -> float:
    """The lowest ROC-AUC of all rows and of pairs within each of the strata; 0 where one is unknown or too low."""
    found = _auc(column, y)
    known = np.isfinite(column)
    for stratum in strata:
        if not found >= least:
            return 0.0
        found = min(found, _auc_within(column[known], y[known], stratum[known]))
    return found if found >= least else 0.0


def _auc_within(x: Floats, y: Bools, stratum: np.ndarray) -> float:
    """ROC-AUC over pairs of one stratum, in the better direction; 0 where there are none."""
    frame = pd.DataFrame({"stratum": stratum, "x": x, "y": y})
    frame["hit_rank"] = frame.groupby("stratum")["x"].rank().where(frame["y"], 0.0)
    part = frame.groupby("stratum").agg(rows=("y", "size"), hits=("y", "sum"), ranks=("hit_rank", "sum"))
    pairs = (part["hits"] * (part["rows"] - part["hits"])).sum()
    if not pairs:
        return 0.0
    auc = float((part["ranks"] - part["hits"] * (part["hits"] + 1) / 2).sum() / pairs)
    return max(auc, 1 - auc)


def single_input_aucs(use_case: UseCase, training_set: pd.DataFrame) -> pd.Series:
    """ROC-AUC of each input alone for the main target, in the better direction; NaN where it is unknown or one class
    only.
    """
    label = training_set[use_case.main_target.label]
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
    """Raise SuspectedLeakError when one input alone reaches ROC-AUC .99, where that can show a leak.

    For use cases without a state that persists; of others, see `suspected_leaks`.
    """
    if not can_show_a_leak(use_case, training_set):
        return
    aucs = single_input_aucs(use_case, training_set)
    leaks = aucs[aucs >= _LEAK_AUC]
    if len(leaks):
        raise SuspectedLeakError(f"inputs that all but know the label: {leaks.round(4).to_dict()}")


def without_leaks(use_case: UseCase, training_set: pd.DataFrame) -> tuple[UseCase, Sequence[SuspectedLeak]]:
    """The use case as its candidates may learn it from these rows, and which inputs are withheld and why.

    Raises SuspectedLeakError where a use case without a state has an input that all but knows the label: there nothing
    can explain it.
    """
    if use_case.state_input is None:
        check_single_inputs(use_case, training_set)
        return use_case, ()
    leaks = suspected_leaks(use_case, training_set)
    return (use_case.without(leak.name for leak in leaks) if leaks else use_case), leaks
