"""A model that somebody brought, as it is asked within its own process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.learning.columns_of import Columns
from quality_assets.domain.models.user_contract import Contract


class AskedModel:
    """An estimator of scikit-learn with its contract."""

    def __init__(self, model: Any, contract: Contract) -> None:
        self._model, self._contract = model, contract
        self.inputs = tuple(each["name"] for each in contract["inputs"])
        self._is_classifier = contract["kind"] == "classification"

    def answers(self, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """What it says of rows: the prediction, and of a calibrated classifier how likely it is; else no confidence.

        Raises ValueError where a prediction is no finite number, or there is not one for each row.
        """
        said = np.asarray(self._model.predict(self._given(rows)))
        if said.shape != (len(rows),):
            raise ValueError(f"it gives answers of shape {said.shape} for {len(rows)} rows")
        if said.dtype.kind == "f" and not np.isfinite(said).all():
            raise ValueError("a prediction is no finite number")
        sure = self._confidence(rows)
        return [
            {"prediction": value, "confidence": None if sure is None else float(sure[place])}
            for place, value in enumerate(said.tolist())
        ]

    def predictions(self, columns: Columns) -> tuple[Floats]:
        """What it says, as numbers: the value, the second of two classes' probability, or the place of the class."""
        given = self._given(pd.DataFrame({name: columns[name] for name in self.inputs}))
        if not self._is_classifier:
            return (np.asarray(self._model.predict(given), dtype=float),)
        classes = np.asarray(self._model.classes_)
        if len(classes) == 2 and hasattr(self._model, "predict_proba"):
            return (np.asarray(self._model.predict_proba(given), dtype=float)[:, 1],)
        return (np.searchsorted(classes, self._model.predict(given)).astype(float),)

    def _confidence(self, rows: pd.DataFrame) -> Floats | None:
        """Of a classifier that was calibrated on rows of its own; other probabilities are not called so."""
        from sklearn.calibration import CalibratedClassifierCV

        last = self._model.steps[-1][1] if hasattr(self._model, "steps") else self._model
        if not (self._is_classifier and isinstance(last, CalibratedClassifierCV)):
            return None
        return np.asarray(self._model.predict_proba(self._given(rows)), dtype=float).max(axis=1)

    def _given(self, rows: pd.DataFrame) -> Any:
        # Whoever learnt without names is asked without.
        return rows if hasattr(self._model, "feature_names_in_") else rows.to_numpy()


def columns_of(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """A frame's columns as arrays: float for numbers, object for texts."""
    return {str(name): frame[name].to_numpy() for name in frame.columns}


def figures(kind: str, target: pd.Series, answers: list[dict[str, Any]]) -> dict[str, float]:
    """How well it does on the rows of the sample whose target is known; it may have learnt from them."""
    from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score

    known = target.notna().to_numpy()
    said = np.asarray([each["prediction"] for each in answers])[known]
    truth = target[known]
    if not len(truth):
        return {}
    if kind == "classification":
        return {"accuracy": float(accuracy_score(truth.astype(str), said.astype(str)))}
    return {"r2": float(r2_score(truth, said)), "mae": float(mean_absolute_error(truth, said))}
