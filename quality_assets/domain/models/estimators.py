"""The estimators that any use case may learn with, their calibration, and a fitted model of one target.

Each fits and predicts on a matrix of inputs. Which rows it may see, and which one wins, is decided by `training`; what
of it is stored, and under which name, by `kinds`. Baselines that know what an input means live with their use case.

scikit-learn is imported where one of its estimators is made or fitted: to ask what has learnt takes none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quality_assets.domain.arrays import Floats, Ints
from quality_assets.domain.models.settings import TrainingSettings
from quality_assets.domain.models.tree_sums import TreeSums, of_boosting, of_forest
from quality_assets.domain.models.use_case import UseCase


class Estimator(Protocol):
    """Fits on n x p inputs, n outcomes and n names of entities; predicts n raw probabilities.

    Candidates carry the `columns` that they learn from, so that a saved one does not depend on today's contract.
    """

    def fit(self, x: Floats, y: Floats, entity: np.ndarray) -> None: ...

    def predict(self, x: Floats, entity: np.ndarray) -> Floats: ...


Decode = Callable[[object, str], Any]
"""Makes an attribute of what a state holds; the text says where in the state it stands."""


@dataclass(frozen=True)
class EstimatorKind:
    """The class of an estimator, how an unfitted one is made, and how each attribute of a fitted one is read.

    `make` takes the columns to learn from, the settings, and whether it is one of those that only give intervals.
    """

    made: type
    make: Callable[[Ints, TrainingSettings, bool], Estimator]
    attributes: Mapping[str, Decode]


def make_estimator(use_case: UseCase, name: str, settings: TrainingSettings, *, is_small: bool = False) -> Estimator:
    """An unfitted candidate or baseline; `is_small` for the members that only give intervals. KeyError if unknown."""
    return use_case.recipe().estimators[name].make(use_case.learnt_columns, settings, is_small)


@dataclass
class Imputer:
    """Fills what is unknown with the median of what was known in training, 0 where nothing was."""

    median: Floats = field(default_factory=lambda: np.zeros(0))

    def fit(self, x: Floats) -> Imputer:
        """Learn the medians of n x p inputs."""
        known = np.isfinite(x).any(axis=0)
        self.median = np.zeros(x.shape[1])
        self.median[known] = np.nanmedian(x[:, known], axis=0)
        return self

    def apply(self, x: Floats) -> Floats:
        """The inputs without holes."""
        return np.where(np.isfinite(x), x, self.median)


class Forest:
    """Random forest (Breiman 2001) without class weights, which would ruin its probabilities.

    `learner` is scikit-learn's, in the process that fits it, where thousands of rows are asked; its trees say the same.
    """

    trees: TreeSums
    learner: Any = None

    def __init__(self, columns: Ints, settings: TrainingSettings, trees: int) -> None:
        from sklearn.ensemble import RandomForestClassifier

        self.columns = columns
        self.imputer = Imputer()
        self.tree_rows = settings.forest_tree_rows
        self.learner = RandomForestClassifier(
            n_estimators=trees,
            min_samples_leaf=settings.forest_min_leaf,
            max_depth=settings.forest_max_depth,
            max_features=0.3,
            n_jobs=settings.threads,
            random_state=settings.seed,
        )

    def fit(self, x: Floats, y: Floats, entity: np.ndarray) -> None:
        self.learner.max_samples = min(self.tree_rows / len(y), 1.0)
        self.imputer.fit(x[:, self.columns])
        self.learner.fit(self.prepared(x), y)
        # Threads add the trees up in any order, and the last bits of a score would differ from run to run.
        self.learner.n_jobs = 1
        self.trees = of_forest(self.learner)

    def prepared(self, x: Floats) -> NDArray[np.float32]:
        """The learnt inputs of n x p without holes."""
        return self.imputer.apply(x[:, self.columns]).astype(np.float32)

    def predict(self, x: Floats, entity: np.ndarray) -> Floats:
        if self.learner is not None:
            return np.asarray(self.learner.predict_proba(self.prepared(x))[:, 1])
        return self.trees.sums(self.prepared(x)) / len(self.trees.roots)


class Boosting:
    """Histogram gradient boosting; unknown inputs go their own way at each split. `learner` as of a forest."""

    trees: TreeSums
    learner: Any = None

    def __init__(self, columns: Ints, settings: TrainingSettings) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        self.columns = columns
        self.is_known: NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self.learner = HistGradientBoostingClassifier(
            max_iter=settings.boosting_rounds,
            learning_rate=0.06,
            max_leaf_nodes=8,
            min_samples_leaf=40,
            l2_regularization=5.0,
            max_features=0.4,
            early_stopping=False,
            random_state=settings.seed,
        )

    def fit(self, x: Floats, y: Floats, entity: np.ndarray) -> None:
        self.is_known = np.asarray(np.isfinite(x[:, self.columns]).any(axis=0))
        self.learner.fit(self.prepared(x), y)
        self.trees = of_boosting(self.learner)

    def prepared(self, x: Floats) -> Floats:
        """The learnt inputs of n x p; those never known in training as 0: scikit-learn cannot bin nothing."""
        return np.where(self.is_known, x[:, self.columns], 0.0)

    def predict(self, x: Floats, entity: np.ndarray) -> Floats:
        asked = self.prepared(x)
        return expit(self.trees.sums(asked) if self.learner is None else self.learner.decision_function(asked))


@dataclass
class LogOdds:
    """Log-odds that are linear in p inputs: fitted by scikit-learn with ridge shrinkage, asked without it."""

    coefficients: Floats = field(default_factory=lambda: np.zeros(0))
    intercept: float = 0.0

    def fit(self, x: Floats, y: Floats, c: float, most_rounds: int = 100) -> LogOdds:
        """Learn from n x p inputs and n outcomes; `c` is the inverse of the strength of the shrinkage."""
        from sklearn.linear_model import LogisticRegression

        found = LogisticRegression(C=c, max_iter=most_rounds).fit(x, y)
        self.coefficients, self.intercept = found.coef_[0], float(found.intercept_[0])
        return self

    def probability(self, x: Floats) -> Floats:
        """n probabilities, as `predict_proba` of the fitted LogisticRegression gives them."""
        return expit(x @ self.coefficients + self.intercept)


class Logistic:
    """Logistic regression with ridge shrinkage on standardised inputs."""

    def __init__(self, columns: Ints, settings: TrainingSettings) -> None:
        self.columns = columns
        self.imputer = Imputer()
        self.mean: Floats = np.zeros(0)
        self.sd: Floats = np.ones(0)
        self.c = settings.logistic_c
        self.model = LogOdds()

    def fit(self, x: Floats, y: Floats, entity: np.ndarray) -> None:
        filled = self.imputer.fit(x[:, self.columns]).apply(x[:, self.columns])
        self.mean, self.sd = np.asarray(filled.mean(axis=0)), np.asarray(filled.std(axis=0))
        self.sd = np.where(self.sd > 1e-9, self.sd, 1.0)
        self.model.fit(self.prepared(x), y, self.c, most_rounds=500)

    def prepared(self, x: Floats) -> Floats:
        """The learnt inputs of n x p in standard deviations from the training mean."""
        return np.clip((self.imputer.apply(x[:, self.columns]) - self.mean) / self.sd, -8, 8)

    def predict(self, x: Floats, entity: np.ndarray) -> Floats:
        return self.model.probability(self.prepared(x))


# How far a map strays from what the estimator said before it is believed: some hundred rows of the rarer class move it
# half of the way. Over six seeds of simulated features (8 and 40 of them) any freer map cost ranking and skill alike.
_SLOPE_SD, _LEVEL_SD = 0.1, 0.15
_NEWTON_STEPS = 25


@dataclass
class Sigmoid:
    """Probability = sigmoid(slope · logit(raw) + shift): Platt scaling on the logit.

    Fitted on later days than training.
    """

    slope: float = 1.0
    shift: float = 0.0

    def fit(self, raw: Floats, y: Floats, weight: Floats | None = None) -> Sigmoid:
        """Fit n raw probabilities to outcomes, shrunk towards the identity; stays it where only one class is known.

        Maximum a posteriori under normal priors of the slope about 1 and of the level about what was said: maps fitted
        on few positives would differ from one fold to the next by chance, and rows of several folds then rank worse by
        what they mean than by what the estimator said.
        """
        w = np.ones(len(y)) if weight is None else weight
        if not 0 < (w * y).sum() < w.sum():
            return self
        said = logit(raw)
        middle = float((w * said).sum() / w.sum())
        z = np.column_stack([np.ones(len(y)), said - middle])
        prior = np.array([middle, 1.0])
        precision = np.diag([1 / _LEVEL_SD**2, 1 / _SLOPE_SD**2])
        found = prior.copy()
        for _ in range(_NEWTON_STEPS):
            p = expit(z @ found)
            gradient = z.T @ (w * (y - p)) - precision @ (found - prior)
            curvature = z.T @ (z * (w * p * (1 - p))[:, None]) + precision
            step = np.linalg.solve(curvature, gradient)
            found = found + np.clip(step, -1, 1)
            if np.abs(step).max() < 1e-9:
                break
        # A falling map would mean that the fold ranked backwards; a flat one is the honest limit.
        self.slope = max(float(found[1]), 0.05)
        self.shift = float(found[0]) - self.slope * middle
        return self

    def apply(self, raw: Floats) -> Floats:
        """Calibrated probabilities."""
        return expit(self.slope * logit(raw) + self.shift)


def logit(p: Floats) -> Floats:
    """Log-odds; probabilities are kept off 0 and 1 by 1e-4, beyond which counts of days say nothing."""
    p = np.clip(p, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)))


def expit(x: Floats) -> Floats:
    """The inverse of `logit`."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))


@dataclass
class TargetModel:
    """A fitted, calibrated model of one target, with the members that give its intervals."""

    name: str
    estimator: Any
    calibrator: Sigmoid
    members: list[tuple[Any, Sigmoid]] = field(default_factory=list)

    def probability(self, x: Floats, entity: np.ndarray) -> Floats:
        """n calibrated probabilities."""
        return self.calibrator.apply(self.estimator.predict(x, entity))

    def interval(self, x: Floats, entity: np.ndarray, p: Floats) -> tuple[Floats, Floats]:
        """90 % interval around p: spread on the logit among members refitted on resampled entities, as a normal."""
        if len(self.members) < 2:
            return np.full(len(p), np.nan), np.full(len(p), np.nan)
        drawn = np.stack([logit(c.apply(e.predict(x, entity))) for e, c in self.members])
        half = 1.645 * drawn.std(axis=0, ddof=1)
        return expit(logit(p) - half), expit(logit(p) + half)
