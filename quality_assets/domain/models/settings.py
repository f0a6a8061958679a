"""How models of any use case are trained, compared and graded; what a use case decides by beside that is its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingSettings:
    """How models are trained and judged; each default has a reason.

    horizon_days: how long the outcome of a row stays unknown. folds: the first only feeds calibration. min_train_days:
    two weeks of labelled days before the first fold, or first_train_share of all where that is more, so that what is
    graded resembles what is used. min_positives: fewer rows of a class cannot be learnt from. capacity_k: rows that a
    team can look at in a day. max_fit_rows: neighbouring days repeat each other, so a random part of a long history
    teaches as much. forest_*: leaves of 10 rows keep probabilities smooth; each tree sees forest_tree_rows drawn rows
    at most, which keeps long histories affordable and trees different. logistic_c: strong shrinkage, inputs that
    belong together say much the same. interval_members: refits on resampled entities that give each score its
    interval. bootstrap_rounds: of the intervals of metrics. threads: of the forest; two, for a shared laptop.
    min_judged_days: days on which a challenger must have won.
    """

    horizon_days: int = 7
    folds: int = 6
    min_train_days: int = 14
    first_train_share: float = 0.4
    min_positives: int = 30
    capacity_k: int = 5
    max_fit_rows: int = 40_000
    forest_trees: int = 150
    forest_tree_rows: int = 8_000
    forest_min_leaf: int = 10
    forest_max_depth: int = 10
    boosting_rounds: int = 80
    logistic_c: float = 0.02
    interval_members: int = 8
    bootstrap_rounds: int = 200
    importance_repeats: int = 5
    max_importance_rows: int = 10_000
    min_judged_days: int = 14
    threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.horizon_days < 1 or self.folds < 2 or self.min_train_days < 1:
            raise ValueError("horizon_days and min_train_days must be positive, and folds at least 2")

    @property
    def block_days(self) -> int:
        """Days of one entity that are resampled together: neighbours within two horizons share their future."""
        return 2 * self.horizon_days
