"""What is known of how good a model is: metrics with intervals, calibration, importance, held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.artifact import TrainedModel
from quality_assets.domain.models.estimators import make_estimator
from quality_assets.domain.models.rows import TargetRows, sample_rows
from quality_assets.domain.models.settings import TrainingSettings
from quality_assets.domain.models.use_case import UseCase
from quality_assets.domain.stats.grading import (
    Graded,
    calibration_bins,
    measure,
    measure_with_intervals,
    metric_difference,
    prepare,
)

_MIN_ROUNDS, _ROUND_ROWS = 40, 10_000_000
_WORTH = ("importance", "low", "high", "rank")

MoreGrades = Callable[[pd.DataFrame, Floats], pd.DataFrame]
"""What else is graded of the keys of held-out rows and their n predictions: metric, value, low, high."""


@dataclass(frozen=True)
class Evidence:
    """Held-out rows of one target, as they were predicted: keys, outcomes, calibrated probability and raw output per
    model, `is_graded` false in the first fold, whose predictions have no calibration yet."""

    use_case: UseCase
    target: str
    keys: pd.DataFrame
    y: Floats
    raw: dict[str, Floats]
    p: dict[str, Floats]
    is_graded: Bools
    champion: str | None = None

    @property
    def graded_keys(self) -> pd.DataFrame:
        return self.keys[self.is_graded]

    @property
    def graded_outcomes(self) -> Floats:
        return self.y[self.is_graded]

    @property
    def can_compare(self) -> bool:
        """Whether anything was graded, with both outcomes."""
        return bool(self.is_graded.any()) and bool(0 < self.graded_outcomes.sum() < self.is_graded.sum())

    def graded(self, name: str, settings: TrainingSettings, k: int = 1) -> Graded:
        """The graded rows under the probabilities of one model."""
        p = self.p[name][self.is_graded]
        return prepare(self.graded_keys, self.graded_outcomes, p, k, settings.block_days, self.use_case.grading_keys)

    def score(self, name: str, settings: TrainingSettings) -> float:
        """The primary metric of one model."""
        return measure(self.graded(name, settings))[self.use_case.primary_metric.name]

    def rounds(self, settings: TrainingSettings) -> int:
        """Bootstrap rounds of the graded rows."""
        return grading_rounds(int(self.is_graded.sum()), settings)

    def lead(
        self, first: str, second: str, settings: TrainingSettings, metric: str | None = None
    ) -> tuple[float, float, float]:
        """By how much a metric, the primary one by default, of one model exceeds that of another: difference, low,
        high."""
        return metric_difference(
            metric or self.use_case.primary_metric.name,
            self.graded_keys,
            self.graded_outcomes,
            self.p[first][self.is_graded],
            self.p[second][self.is_graded],
            settings.block_days,
            self.rounds(settings),
            settings.seed,
            self.use_case.grading_keys,
        )


def metrics_frame(
    use_case: UseCase,
    evidence: list[Evidence],
    model: TrainedModel,
    settings: TrainingSettings,
    more_grades: MoreGrades | None,
) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    for proof in evidence:
        if not proof.is_graded.any():
            continue
        y = proof.graded_outcomes
        for name, p in proof.p.items():
            graded = proof.graded(name, settings, settings.capacity_k)
            part = measure_with_intervals(graded, proof.rounds(settings), settings.seed)
            if more_grades is not None:
                more = more_grades(proof.graded_keys, p[proof.is_graded])
                part = pd.concat([part, more], ignore_index=True)
            role = "baseline" if name in use_case.baselines else "candidate"
            part.insert(0, "role", "champion" if name == proof.champion else role)
            part.insert(0, "model", name)
            part.insert(0, "target", proof.target)
            part["rows"], part["positives"], part["base_rate"] = len(y), int(y.sum()), float(y.mean())
            part["k"] = settings.capacity_k
            parts.append(part)
    columns = ["target", "model", "role", "metric", "value", "low", "high", "rows", "positives", "base_rate", "k"]
    frame = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    frame.insert(0, "trained_through", pd.Timestamp(model.trained_through))
    return frame


def grading_rounds(rows: int, settings: TrainingSettings) -> int:
    """Bootstrap rounds: fewer where rows are many, whose intervals are narrow and need no fine edges."""
    return min(settings.bootstrap_rounds, max(_MIN_ROUNDS, _ROUND_ROWS // max(rows, 1)))


def calibration_frame(evidence: list[Evidence], settings: TrainingSettings) -> pd.DataFrame:
    parts = [
        calibration_bins(
            proof.graded_outcomes,
            proof.p[proof.champion][proof.is_graded],
            proof.graded_keys,
            settings.block_days,
            proof.rounds(settings),
            settings.seed,
            proof.use_case.grading_keys,
        ).assign(target=proof.target)
        for proof in evidence
        if proof.champion in proof.p and proof.is_graded.any()
    ]
    columns = ["target", "bin", "predicted", "observed", "low", "high", "rows"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def importance_frame(parts: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ["target", "input", "description", *_WORTH, "candidate_model", *(f"candidate_{name}" for name in _WORTH)]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def beside_candidate(worth: pd.DataFrame, candidate: pd.DataFrame, name: str) -> pd.DataFrame:
    """The importances of a model with those of a candidate, called `name`, in columns beside them."""
    other = candidate.set_index("input")[list(_WORTH)].add_prefix("candidate_")
    return worth.join(other, on="input").assign(candidate_model=name)


def permutation_importance(use_case: UseCase, rows: TargetRows, name: str, settings: TrainingSettings) -> pd.DataFrame:
    """Permutation importance (Breiman 2001; Fisher et al. 2019) on the latest fold, by a model that has not seen it;
    0 where nothing is learnt from an input.

    The interval comes from permutations and block resamples together.
    """
    split = use_case.recipe().splits(rows, settings)[-1]
    train = sample_rows(rows, np.flatnonzero(split.train), settings)
    test = sample_rows(rows, split.test, replace(settings, max_fit_rows=settings.max_importance_rows))
    estimator = make_estimator(use_case, name, settings)
    estimator.fit(train.x, train.y, train.entity)
    rng = np.random.default_rng(settings.seed)
    metric, repeats = use_case.primary_metric.name, settings.importance_repeats

    def graded(x: Floats) -> Graded:
        predicted = estimator.predict(x, test.entity)
        return prepare(test.keys, test.y, predicted, 1, settings.block_days, use_case.grading_keys)

    whole = graded(test.x)
    loss = np.zeros((len(use_case.inputs), repeats))
    for position in use_case.learnt_columns:
        column = test.x[:, position]
        if np.nanmin(column, initial=np.inf) == np.nanmax(column, initial=-np.inf) or not np.isfinite(column).any():
            continue
        permuted = test.x.copy()
        for repeat in range(repeats):
            permuted[:, position] = rng.permutation(column)
            other = graded(permuted)
            # The same block weights on both sides, so that the difference is the input's alone.
            share = rng.multinomial(whole.blocks, np.full(whole.blocks, 1 / whole.blocks)).astype(float)
            loss[position, repeat] = (
                measure(whole, share[whole.block])[metric] - measure(other, share[other.block])[metric]
            )
    return _ranked(use_case, loss)


def _ranked(use_case: UseCase, loss: Floats) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "input": use_case.input_names,
            "description": [item.description for item in use_case.inputs],
            "importance": loss.mean(axis=1),
            "low": np.quantile(loss, 0.05, axis=1),
            "high": np.quantile(loss, 0.95, axis=1),
        }
    ).sort_values("importance", ascending=False, kind="stable")
    frame["rank"] = np.arange(1, len(frame) + 1)
    return frame


def held_out_frame(evidence: list[Evidence]) -> pd.DataFrame:
    parts = [
        proof.graded_keys.assign(
            target=proof.target,
            outcome=proof.graded_outcomes.astype(bool),
            **{name: p[proof.is_graded] for name, p in proof.p.items()},
        )
        for proof in evidence
    ]
    return pd.concat(parts, ignore_index=True)
