"""A trained model, what came of training it, and the contract of its inputs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from quality_assets.domain.models.estimators import TargetModel
from quality_assets.domain.models.use_case import UseCase, inputs_fingerprint


class InputsMismatchError(ValueError):
    """A model was made for other inputs than it is given."""


@dataclass
class TrainedModel:
    """What is saved and scored with: a model for each target of which something could be learnt and shown.

    notes: why a baseline stands in, why a target is not shown, in sentences. `base_rate` is that of the main target.
    """

    trained_through: date
    horizon_days: int
    input_names: tuple[str, ...]
    targets: dict[str, TargetModel]
    base_rate: float
    notes: tuple[str, ...] = ()

    @property
    def inputs_fingerprint(self) -> str:
        """Same inputs contract, same fingerprint."""
        return inputs_fingerprint(self.input_names)


@dataclass(frozen=True)
class TrainingResult:
    """A trained model with its evidence: frames as ml.model_metrics, ml.feature_importance and ml.calibration have
    them (without model_version, which the registry gives), and held-out predictions of every model.

    held_out: the keys of a row, target, outcome, and one column of calibrated probabilities per model.
    """

    model: TrainedModel
    metrics: pd.DataFrame
    importance: pd.DataFrame
    calibration: pd.DataFrame
    held_out: pd.DataFrame
    data_fingerprint: str


def check_inputs(use_case: UseCase, frame: pd.DataFrame, names: tuple[str, ...]) -> None:
    """Raise InputsMismatchError unless a model's inputs are those of the use case and the frame has them."""
    absent = [name for name in names if name not in frame.columns]
    if absent or tuple(names) != use_case.input_names:
        changed = sorted(set(names) ^ set(use_case.input_names))
        raise InputsMismatchError(f"model inputs differ from the present contract: absent {absent}, changed {changed}")


def data_fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 of a frame's columns and values, whatever the order of its rows."""
    hashed = np.sort(pd.util.hash_pandas_object(frame, index=False).to_numpy())
    return hashlib.sha256("|".join(frame.columns).encode() + hashed.tobytes()).hexdigest()
