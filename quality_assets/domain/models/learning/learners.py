"""What learns numbers: a linear model, and two kinds of boosted trees of scikit-learn, one thread each.

Each takes an n x p matrix, with which columns are names, and is kept as plain state: arrays, or the estimator itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from quality_assets.domain.arrays import Floats, Ints

SEED = 0


class Learner(Protocol):
    """Fits on n x p inputs and n outcomes, and predicts."""

    def fit(self, x: Floats, y: Floats, sizes: Ints) -> None: ...

    def predict(self, x: Floats) -> Floats: ...

    def state(self) -> dict[str, Any]: ...


@dataclass
class Linear:
    """Ridge regression on standardised numbers and on one column per name; `sizes` says how many names a column has.

    Unknown numbers are taken for the mean, unknown names for none.
    """

    strength: float = 1.0
    sizes: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    mean: Floats = field(default_factory=lambda: np.zeros(0))
    scale: Floats = field(default_factory=lambda: np.ones(0))
    weight: Floats = field(default_factory=lambda: np.zeros(0))
    constant: float = 0.0

    def fit(self, x: Floats, y: Floats, sizes: Ints) -> None:
        """Solve the normal equations; the constant is not shrunk."""
        self.sizes, self.mean, self.scale = sizes, np.zeros(0), np.ones(0)
        wide = self._wide(x)
        mean = np.array([column[np.isfinite(column)].mean() if np.isfinite(column).any() else 0 for column in wide.T])
        filled = np.where(np.isfinite(wide), wide, mean)
        spread = filled.std(axis=0)
        self.mean, self.scale = mean, np.where(spread > 0, spread, 1.0)
        z = (filled - mean) / self.scale
        self.constant = float(y.mean())
        gram = z.T @ z + self.strength * np.eye(z.shape[1])
        self.weight = np.linalg.solve(gram, z.T @ (y - self.constant))

    def predict(self, x: Floats) -> Floats:
        """Of n rows."""
        wide = self._wide(x)
        z = (np.where(np.isfinite(wide), wide, self.mean) - self.mean) / self.scale
        return np.asarray(z @ self.weight + self.constant)

    def state(self) -> dict[str, Any]:
        """Its arrays."""
        arrays = {name: getattr(self, name) for name in ("sizes", "mean", "scale", "weight")}
        return {"strength": float(self.strength), "constant": float(self.constant), **arrays}

    def _wide(self, x: Floats) -> Floats:
        parts = []
        for at, size in enumerate(self.sizes):
            parts.append(x[:, [at]] if not size else (x[:, [at]] == np.arange(size)).astype(float))
        return np.hstack(parts) if parts else x


@dataclass
class Trees:
    """Boosted trees of scikit-learn. `is_binned`: histograms, which take unknown values; else the exact kind."""

    is_binned: bool
    settings: Mapping[str, Any]
    model: Any = None

    def fit(self, x: Floats, y: Floats, sizes: Ints) -> None:
        """Grow the trees; names are their places among the known ones."""
        self.model = self._made().fit(self._filled(x), y)

    def predict(self, x: Floats) -> Floats:
        """Of n rows."""
        return np.asarray(self.model.predict(self._filled(x)), dtype=float)

    def state(self) -> dict[str, Any]:
        """The estimator itself."""
        return {"is_binned": self.is_binned, "settings": dict(self.settings), "model": self.model}

    def _filled(self, x: Floats) -> Floats:
        # Below all that is known: the exact kind takes no holes.
        return x if self.is_binned else np.where(np.isfinite(x), x, -1.0)

    def _made(self) -> Any:
        # scikit-learn takes a second to import, and linear models do without.
        from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor

        made = HistGradientBoostingRegressor if self.is_binned else GradientBoostingRegressor
        return made(random_state=SEED, **self.settings)


_EXACT = {"n_estimators": 100, "max_depth": 3, "learning_rate": 0.1, "subsample": 0.7, "min_samples_leaf": 5}
_BINNED = {"max_iter": 300, "learning_rate": 0.08, "early_stopping": False}
_MAKERS: Mapping[str, Callable[[Mapping[str, Any]], Learner]] = {
    "linear": lambda more: Linear(**more),
    "gradient_boosting": lambda more: Trees(False, {**_EXACT, **more}),
    "hist_gradient_boosting": lambda more: Trees(True, {**_BINNED, **more}),
}


def make_learner(kind: str, more: Mapping[str, Any]) -> Learner:
    """An unfitted learner with settings other than the usual ones. KeyError where there is no such kind."""
    return _MAKERS[kind](more)


def learner_of(kind: str, state: Mapping[str, Any]) -> Learner:
    """A fitted learner of what `state` gave."""
    return Linear(**state) if kind == "linear" else Trees(**state)


def drawn_settings(kind: str, rng: np.random.Generator) -> dict[str, Any]:
    """Settings of a learner, drawn where the usual ones lie: for a search that a seed repeats."""
    if kind == "linear":
        return {"strength": float(10 ** rng.uniform(-2, 3))}
    if kind == "gradient_boosting":
        return {
            "n_estimators": int(rng.integers(60, 220)),
            "max_depth": int(rng.integers(2, 5)),
            "learning_rate": float(10 ** rng.uniform(-1.7, -0.7)),
            "min_samples_leaf": int(rng.integers(3, 40)),
        }
    return {
        "max_iter": int(rng.integers(120, 420)),
        "learning_rate": float(10 ** rng.uniform(-1.6, -0.8)),
        "max_leaf_nodes": int(rng.integers(12, 64)),
        "min_samples_leaf": int(rng.integers(10, 60)),
        "l2_regularization": float(10 ** rng.uniform(-3, 1)),
    }
