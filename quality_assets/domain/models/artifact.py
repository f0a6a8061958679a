"""A trained model, what came of training it, and the contract of its inputs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd

from quality_assets.contracts.risk_inputs import INPUT_NAMES, inputs_fingerprint
from quality_assets.domain.models.estimators import TargetModel

Target = Literal["any", "onset"]


TARGETS: tuple[Target, ...] = ("any", "onset")


class InputsMismatchError(ValueError):
    """A model was made for other inputs than it is given."""


@dataclass
class RiskModel:
    """What is saved and scored with. `any` and `onset` are None where nothing could be learnt or shown.

    notes: why a baseline stands in, why the onset is not shown, in sentences. `base_rate` is that of the any target.
    """

    trained_through: date
    horizon_days: int
    input_names: tuple[str, ...]
    any: TargetModel | None
    onset: TargetModel | None
    base_rate: float
    notes: tuple[str, ...] = ()

    @property
    def inputs_fingerprint(self) -> str:
        """Same inputs contract, same fingerprint."""
        return inputs_fingerprint(self.input_names)


@dataclass(frozen=True)
class TrainingResult:
    """A trained model with its evidence: frames as ml.model_metrics, ml.feature_importance and ml.calibration have
    them (without model_version, which the registry gives), and held-out probabilities of every model.

    held_out: event_date, feature, target, outcome, and one column of calibrated probabilities per model.
    """

    model: RiskModel
    metrics: pd.DataFrame
    importance: pd.DataFrame
    calibration: pd.DataFrame
    held_out: pd.DataFrame
    data_fingerprint: str


def check_inputs(frame: pd.DataFrame, names: tuple[str, ...]) -> None:
    """Raise InputsMismatchError unless a model's inputs are those of the present registry and the frame has them."""
    absent = [name for name in names if name not in frame.columns]
    if absent or tuple(names) != INPUT_NAMES:
        changed = sorted(set(names) ^ set(INPUT_NAMES))
        raise InputsMismatchError(f"model inputs differ from the present contract: absent {absent}, changed {changed}")


def data_fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 of a frame's columns and values, whatever the order of its rows."""
    hashed = np.sort(pd.util.hash_pandas_object(frame, index=False).to_numpy())
    return hashlib.sha256("|".join(frame.columns).encode() + hashed.tobytes()).hexdigest()
