"""The models that may score risk: three candidates, three baselines, calibration, and what is saved of them.

Each estimator fits and predicts on a matrix of inputs. Which rows it may see, and which one wins, lives in `risk`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from quality_assets.contracts.risk_inputs import INPUT_NAMES, INPUTS, INPUTS_BY_NAME, LEARNT_NAMES
from quality_assets.domain.arrays import Floats

CANDIDATES = ("random_forest", "hist_gradient_boosting", "logistic_regression")
BASELINES = ("persistence", "feature_base_rate", "ewma_chart")
_SMOOTHING_ROWS = 30.0
_LEARNT = np.array([INPUT_NAMES.index(name) for name in LEARNT_NAMES])


@dataclass(frozen=True)
class RiskSettings:
    """How models are trained and judged; each default has a reason.

    horizon_days: as the labels'. folds: the first only feeds calibration. min_train_days: two weeks of labelled days
    before the first fold, or first_train_share of all where that is more, so that what is graded resembles what is
    used. min_positives: fewer degraded rows cannot be learnt from. capacity_k: features that a team can look at in a
    day. min_gain: a candidate must beat the best baseline's PR-AUC by a tenth, or the baseline is the model.
    min_onset_lift: the onset probability is shown from 1.3 times the base rate; max_onset_lift: above 3 times it is
    more than an oracle could know, so a leak is suspected. max_fit_rows: neighbouring days repeat each other, so a
    random part of a long history teaches as much. forest_*: leaves of 10 rows keep probabilities smooth; each tree
    sees forest_tree_rows drawn rows at most, which keeps long histories affordable and trees different. logistic_c:
    strong shrinkage, the inputs of a signal say much the same. interval_members: refits on resampled features that
    give each score its interval. bootstrap_rounds: of the intervals of metrics. threads: of the forest; two, for a
    shared laptop. min_judged_days: days on which a challenger must have won.
    """

    horizon_days: int = 7
    folds: int = 6
    min_train_days: int = 14
    first_train_share: float = 0.4
    min_positives: int = 30
    capacity_k: int = 5
    min_gain: float = 1.10
    min_onset_lift: float = 1.3
    max_onset_lift: float = 3.0
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


class Estimator(Protocol):
    """Fits on n x p inputs, n outcomes and n feature names; predicts n raw probabilities.

    Candidates carry the `columns` that they learn from, so that a saved one does not depend on today's registry.
    """

    def fit(self, x: Floats, y: Floats, feature: np.ndarray) -> None: ...

    def predict(self, x: Floats, feature: np.ndarray) -> Floats: ...


def make_estimator(name: str, settings: RiskSettings, *, is_small: bool = False) -> Estimator:
    """An unfitted candidate or baseline; `is_small` for the members that only give intervals. KeyError if unknown."""
    trees = max(settings.forest_trees // 5, 10) if is_small else settings.forest_trees
    makers: dict[str, Any] = {
        "random_forest": lambda: Forest(settings, trees),
        "hist_gradient_boosting": lambda: Boosting(settings),
        "logistic_regression": lambda: Logistic(settings),
        "persistence": Persistence,
        "feature_base_rate": FeatureBaseRate,
        "ewma_chart": EwmaChart,
    }
    estimator: Estimator = makers[name]()
    return estimator


@contextmanager
def limited_threads() -> Iterator[None]:
    """Keep OpenMP and BLAS to one thread: on a busy machine theirs spin and wait for each other, ten times slower."""
    with ThreadpoolController().limit(limits=1):
        yield


def input_matrix(frame: pd.DataFrame, rows: NDArray[np.int64] | None = None) -> Floats:
    """Inputs of a frame, or of its rows at some positions, as n x p in the registry's order, clipped to their limits.

    KeyError where one is absent.
    """
    x = np.empty((len(frame) if rows is None else len(rows), len(INPUTS)))
    # Column by column: a long history is hardly held twice.
    for position, item in enumerate(INPUTS):
        column = frame[item.name].to_numpy(dtype=float, na_value=np.nan)
        np.clip(column if rows is None else column[rows], item.low, item.high, out=x[:, position])
    return x


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
    """Random forest (Breiman 2001) without class weights, which would ruin its probabilities."""

    def __init__(self, settings: RiskSettings, trees: int) -> None:
        self.columns = _LEARNT
        self.imputer = Imputer()
        self.tree_rows = settings.forest_tree_rows
        self.model = RandomForestClassifier(
            n_estimators=trees,
            min_samples_leaf=settings.forest_min_leaf,
            max_depth=settings.forest_max_depth,
            max_features=0.3,
            n_jobs=settings.threads,
            random_state=settings.seed,
        )

    def fit(self, x: Floats, y: Floats, feature: np.ndarray) -> None:
        self.model.max_samples = min(self.tree_rows / len(y), 1.0)
        self.imputer.fit(x[:, self.columns])
        self.model.fit(self.prepared(x), y)
        # Threads add the trees up in any order, and the last bits of a score would differ from run to run.
        self.model.n_jobs = 1

    def prepared(self, x: Floats) -> NDArray[np.float32]:
        """The learnt inputs of n x p without holes."""
        return self.imputer.apply(x[:, self.columns]).astype(np.float32)

    def predict(self, x: Floats, feature: np.ndarray) -> Floats:
        return np.asarray(self.model.predict_proba(self.prepared(x))[:, 1])


class Boosting:
    """Histogram gradient boosting; unknown inputs go their own way at each split."""

    def __init__(self, settings: RiskSettings) -> None:
        self.columns = _LEARNT
        self.is_known: NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self.model = HistGradientBoostingClassifier(
            max_iter=settings.boosting_rounds,
            learning_rate=0.06,
            max_leaf_nodes=8,
            min_samples_leaf=40,
            l2_regularization=5.0,
            max_features=0.4,
            early_stopping=False,
            random_state=settings.seed,
        )

    def fit(self, x: Floats, y: Floats, feature: np.ndarray) -> None:
        self.is_known = np.asarray(np.isfinite(x[:, self.columns]).any(axis=0))
        self.model.fit(self.prepared(x), y)

    def prepared(self, x: Floats) -> Floats:
        """The learnt inputs of n x p; those never known in training as 0: scikit-learn cannot bin nothing."""
        return np.where(self.is_known, x[:, self.columns], 0.0)

    def predict(self, x: Floats, feature: np.ndarray) -> Floats:
        return np.asarray(self.model.predict_proba(self.prepared(x))[:, 1])


class Logistic:
    """Logistic regression with ridge shrinkage on standardised inputs."""

    def __init__(self, settings: RiskSettings) -> None:
        self.columns = _LEARNT
        self.imputer = Imputer()
        self.mean: Floats = np.zeros(0)
        self.sd: Floats = np.ones(0)
        self.model = LogisticRegression(C=settings.logistic_c, max_iter=500)

    def fit(self, x: Floats, y: Floats, feature: np.ndarray) -> None:
        filled = self.imputer.fit(x[:, self.columns]).apply(x[:, self.columns])
        self.mean, self.sd = np.asarray(filled.mean(axis=0)), np.asarray(filled.std(axis=0))
        self.sd = np.where(self.sd > 1e-9, self.sd, 1.0)
        self.model.fit(self.prepared(x), y)

    def prepared(self, x: Floats) -> Floats:
        """The learnt inputs of n x p in standard deviations from the training mean."""
        return np.clip((self.imputer.apply(x[:, self.columns]) - self.mean) / self.sd, -8, 8)

    def predict(self, x: Floats, feature: np.ndarray) -> Floats:
        return np.asarray(self.model.predict_proba(self.prepared(x))[:, 1])


class Persistence:
    """Tomorrow as today: the training share of degraded weeks after degraded and after healthy days."""

    def __init__(self) -> None:
        self.everyone = 0.0
        self.share = np.zeros(2)

    def fit(self, x: Floats, y: Floats, feature: np.ndarray) -> None:
        self.everyone = float(y.mean())
        now = self._now(x)
        self.share = np.array([(y[now == s].sum() + 1) / ((now == s).sum() + 2) for s in (0, 1)])

    def predict(self, x: Floats, feature: np.ndarray) -> Floats:
        return np.asarray(self.share[self._now(x)])

    @staticmethod
    def _now(x: Floats) -> NDArray[np.int64]:
        return np.asarray(np.nan_to_num(x[:, INPUT_NAMES.index("is_degraded")]) > 0.5).astype(np.int64)


class FeatureBaseRate:
    """Each feature's own training share, shrunk by thirty rows towards that of all; features unseen get that of all."""

    def __init__(self) -> None:
        self.everyone = 0.0
        self.share: dict[str, float] = {}

    def fit(self, x: Floats, y: Floats, feature: np.ndarray) -> None:
        self.everyone = float((y.sum() + 1) / (len(y) + 2))
        grouped = pd.Series(y).groupby(feature).agg(["sum", "count"])
        share = (grouped["sum"] + _SMOOTHING_ROWS * self.everyone) / (grouped["count"] + _SMOOTHING_ROWS)
        self.share = {str(name): float(value) for name, value in share.items()}

    def predict(self, x: Floats, feature: np.ndarray) -> Floats:
        return np.array([self.share.get(str(name), self.everyone) for name in feature], dtype=np.float64)


class EwmaChart:
    """The control-chart rule: the worst EWMA of the five signals, turned into a probability."""

    def __init__(self) -> None:
        self.everyone = 0.0
        self.model = LogisticRegression(C=1.0)

    def fit(self, x: Floats, y: Floats, feature: np.ndarray) -> None:
        self.everyone = float(y.mean())
        self.model.fit(self._drift(x), y)

    def predict(self, x: Floats, feature: np.ndarray) -> Floats:
        return np.asarray(self.model.predict_proba(self._drift(x))[:, 1])

    @staticmethod
    def _drift(x: Floats) -> Floats:
        column = INPUT_NAMES.index("worst_ewma_z")
        return np.nan_to_num(x[:, [column]], nan=INPUTS_BY_NAME["worst_ewma_z"].low)


@dataclass
class Sigmoid:
    """Probability = sigmoid(slope · logit(raw) + shift): Platt scaling on the logit.

    Fitted on later days than training.
    """

    slope: float = 1.0
    shift: float = 0.0

    def fit(self, raw: Floats, y: Floats, weight: Floats | None = None) -> Sigmoid:
        """Fit n raw probabilities to outcomes; stays the identity where there are fewer than ten of either class."""
        if min(y.sum(), len(y) - y.sum()) >= 10:
            model = LogisticRegression(C=10.0).fit(logit(raw)[:, None], y, sample_weight=weight)
            # A falling map would mean that the fold ranked backwards; a flat one is the honest limit.
            self.slope, self.shift = max(float(model.coef_[0, 0]), 0.05), float(model.intercept_[0])
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

    @property
    def is_baseline(self) -> bool:
        """True where no candidate beat the baselines."""
        return self.name in BASELINES

    def probability(self, x: Floats, feature: np.ndarray) -> Floats:
        """n calibrated probabilities."""
        return self.calibrator.apply(self.estimator.predict(x, feature))

    def interval(self, x: Floats, feature: np.ndarray, p: Floats) -> tuple[Floats, Floats]:
        """90 % interval around p: spread on the logit among members refitted on resampled features, as a normal."""
        if len(self.members) < 2:
            return np.full(len(p), np.nan), np.full(len(p), np.nan)
        drawn = np.stack([logit(c.apply(e.predict(x, feature))) for e, c in self.members])
        half = 1.645 * drawn.std(axis=0, ddof=1)
        return expit(logit(p) - half), expit(logit(p) + half)
