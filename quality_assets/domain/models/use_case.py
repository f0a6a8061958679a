"""What a use case of models is: of whom it speaks, what it knows of them, what it predicts, how its models are judged.

Plain data that imports in no time; what learns is behind `UseCase.recipe`. Training, registry, promotion and scoring
take a use case and name none. Each use case has a folder beside this file; see README.md for how to add one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Floats, Ints
from quality_assets.domain.models.settings import TrainingSettings

if TYPE_CHECKING:
    from quality_assets.domain.models.estimators import EstimatorKind
    from quality_assets.domain.models.evidence import Evidence
    from quality_assets.domain.models.rows import TargetRows
    from quality_assets.domain.models.splits import Split

Kind = Literal["classification", "regression"]


class ModelInput(Protocol):
    """One input as a contract describes it: values are clipped to low .. high, candidates learn from it or not."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def is_learnt(self) -> bool: ...


@dataclass(frozen=True)
class Target:
    """What is predicted, and the column of the training set that holds what came; null there is not known yet."""

    name: str
    label: str


@dataclass(frozen=True)
class PrimaryMetric:
    """What models are compared by, more is better: its name in ml.model_metrics, and in sentences."""

    name: str
    words: str


@dataclass(frozen=True)
class PromotionRule:
    """A challenger wins on the same later rows by less loss at a primary metric that is not clearly lower.

    `loss` is of n predictions and n outcomes.
    """

    loss: Callable[[Floats, Floats], float]
    loss_words: str


@dataclass(frozen=True)
class Choice:
    """Which estimator becomes the model of a target; None where none should, and then `note` says why, in a sentence.

    is_stand_in: nothing was there to compare on, so it has neither calibration nor intervals.
    """

    name: str | None
    note: str = ""
    is_stand_in: bool = False


@dataclass(frozen=True)
class Recipe:
    """What learns: estimators by the names of candidates and baselines, the split, and who is chosen.

    `choose` gets the settings of the use case's own class.
    """

    estimators: Mapping[str, EstimatorKind]
    splits: Callable[[TargetRows, TrainingSettings], list[Split]]
    choose: Callable[[TargetRows, Evidence, Any], Choice]


@dataclass(frozen=True, eq=False)
class UseCase:
    """One thing to predict.

    registry_name: how the registry calls its models, and its exported file. entity: the column that says of whom a row
    speaks. time_column: of the day of a row; None where rows have no order in time. asked_column: true where a model
    may be asked, None where it always may. targets: the first is the one by which models are compared and promoted.
    candidates: the first stays unless another is better beyond chance. is_first: where it was trained before use cases
    had folders, its registry lies above them. state_input: the input that says whether what is predicted holds today
    already, 0 or 1; None where there is no such state. withheld: inputs that candidates may not learn from though
    their contract lets them.
    """

    name: str
    registry_name: str
    kind: Kind
    entity: str
    time_column: str | None
    asked_column: str | None
    inputs: Sequence[ModelInput]
    targets: tuple[Target, ...]
    candidates: tuple[str, ...]
    baselines: tuple[str, ...]
    primary_metric: PrimaryMetric
    promotion: PromotionRule
    settings: TrainingSettings
    recipe: Callable[[], Recipe]
    is_first: bool = False
    state_input: str | None = None
    withheld: frozenset[str] = frozenset()

    def without(self, names: Iterable[str]) -> UseCase:
        """The same use case, whose candidates do not learn from some inputs."""
        return replace(self, withheld=self.withheld | frozenset(names))

    @property
    def input_names(self) -> tuple[str, ...]:
        """In the order in which models take them."""
        return tuple(item.name for item in self.inputs)

    @property
    def learnt_columns(self) -> Ints:
        """Positions of the inputs that candidates learn from."""
        return np.flatnonzero([item.is_learnt and item.name not in self.withheld for item in self.inputs]).astype(
            np.int64
        )

    @property
    def inputs_fingerprint(self) -> str:
        """Of the inputs contract: a model of another one cannot score."""
        return inputs_fingerprint(self.input_names)

    @property
    def main_target(self) -> Target:
        """The target by which models are compared and promoted."""
        return self.targets[0]

    def target(self, name: str) -> Target:
        """A target by its name; KeyError where there is none."""
        return {target.name: target for target in self.targets}[name]

    @property
    def keys(self) -> list[str]:
        """The columns that name a row: its day, where there is one, and its entity."""
        return [self.entity] if self.time_column is None else [self.time_column, self.entity]

    @property
    def grading_keys(self) -> tuple[str | None, str]:
        """The columns of day and entity, as grading takes them."""
        return self.time_column, self.entity

    def days(self, frame: pd.DataFrame) -> Ints:
        """Days since 1970-01-01 of the rows of a frame; 0 where rows have no time."""
        if self.time_column is None:
            return np.zeros(len(frame), dtype=np.int64)
        return np.asarray(pd.to_datetime(frame[self.time_column]).to_numpy().astype("datetime64[D]").astype(np.int64))

    def is_asked(self, frame: pd.DataFrame) -> pd.Series:
        """Which rows of a frame a model may be asked about, and learn from."""
        if self.asked_column is None:
            return pd.Series(True, index=frame.index)
        return frame[self.asked_column].astype(bool)


def inputs_fingerprint(names: Sequence[str]) -> str:
    """SHA-256 of the inputs contract: names in order."""
    return hashlib.sha256("|".join(names).encode()).hexdigest()
