"""Whether a trained model replaces the one in use: both graded on the same later days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.artifact import TrainedModel, TrainingResult
from quality_assets.domain.models.rows import input_matrix
from quality_assets.domain.models.settings import TrainingSettings
from quality_assets.domain.models.use_case import UseCase
from quality_assets.domain.stats.grading import metric_difference

_EPOCH = date(1970, 1, 1)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Decision:
    """Whether a challenger replaces the champion, why, and the difference of the primary metric with its
    90 % interval."""

    is_promoted: bool
    reason: str
    difference: float = np.nan
    low: float = np.nan
    high: float = np.nan


def promotion_decision(
    use_case: UseCase,
    champion: TrainedModel | None,
    challenger: TrainingResult,
    training_set: pd.DataFrame,
    settings: TrainingSettings | None = None,
) -> Decision:
    """Whether the challenger replaces the champion: only by a lower loss on the same later days, and no clearly worse
    ranking.

    Judged are labelled days more than a horizon after the champion's last day. The challenger is represented by its
    held-out predictions, each made by the same recipe without having seen that day's future.
    """
    settings = settings or use_case.settings
    if champion is None:
        return Decision(True, "first model")
    if tuple(champion.input_names) != use_case.input_names:
        return Decision(True, "the champion was made for other inputs and cannot score")
    main = use_case.main_target.name
    if main not in champion.targets:
        return Decision(main in challenger.model.targets, "the champion could not score")
    if main not in challenger.model.targets:
        return Decision(False, "the challenger cannot score")
    held = challenger.held_out[challenger.held_out["target"] == main]
    day = use_case.days(held)
    is_later = day > (champion.trained_through - _EPOCH).days + settings.horizon_days
    held, days = held[is_later], len(np.unique(day[is_later]))
    if days < settings.min_judged_days:
        return Decision(
            False,
            f"only {days} days since the champion was trained have a known outcome, {settings.min_judged_days} needed",
        )
    rows = held[use_case.keys].merge(training_set, on=use_case.keys, how="left")
    old = champion.targets[main].probability(input_matrix(use_case, rows), rows[use_case.entity].to_numpy())
    new = held[challenger.model.targets[main].name].to_numpy(dtype=float)
    outcome = held["outcome"].to_numpy(dtype=float)
    if not 0 < outcome.sum() < len(outcome):
        return Decision(False, f"nothing to tell them apart: one outcome only in {days} days")
    return _contest(use_case, rows, outcome, new, old, days, settings)


def _contest(
    use_case: UseCase,
    rows: pd.DataFrame,
    outcome: Floats,
    new: Floats,
    old: Floats,
    days: int,
    settings: TrainingSettings,
) -> Decision:
    metric, rule = use_case.primary_metric, use_case.promotion
    gain = rule.loss(old, outcome) - rule.loss(new, outcome)
    value, low, high = metric_difference(
        metric.name,
        rows,
        outcome,
        new,
        old,
        settings.block_days,
        settings.bootstrap_rounds,
        settings.seed,
        use_case.grading_keys,
    )
    # What is said is read as a probability: the nearer to what comes, the better, unless it clearly ranks worse.
    is_worse_ranking = high < 0
    better = gain > _ROUNDING and not is_worse_ranking
    verb = "wins" if better else "ranks clearly worse" if gain > _ROUNDING else "does not win"
    interval = f"(90 % interval {low:+.3f} to {high:+.3f})"
    reason = f"challenger {verb} on {days} later days: {rule.loss_words} {-gain:+.4f}"
    reason += f", {metric.words} {value:+.3f} {interval}"
    return Decision(better, reason, value, low, high)
