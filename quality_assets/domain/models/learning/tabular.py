"""A use case that learns a number from a table: its contract, bases, candidates, baselines, splits and limits.

Plain data, imported in no time. Each use case has a folder beside this one with one file, `use_case.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from quality_assets.contracts.learning import LearningContract
from quality_assets.contracts.table import Table

if TYPE_CHECKING:
    from quality_assets.domain.models.learning.formulas import Formula

SplitName = Literal["time", "rolling", "group", "spatial", "random"]
Role = Literal["candidate", "base", "baseline"]


@dataclass(frozen=True)
class Candidate:
    """Something to try. A `formula` alone; a `learner` alone, on the outcome; or a learner of what a formula leaves.

    `inputs`: what the learner sees; all that is known where None. `settings` differ from the learner's usual ones.
    """

    name: str
    role: Role = "candidate"
    formula: Formula | None = None
    learner: str | None = None
    inputs: tuple[str, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class View:
    """What is tried where some inputs are not known. `known` is all, or says what is missing; the first view is the one
    by which versions are compared."""

    known: str
    missing: tuple[str, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class RatioBand:
    """What the outcome divided by the product of two inputs must lie within, save where the table is broken."""

    first: str
    second: str
    words: str


@dataclass(frozen=True)
class LearningSettings:
    """How models are trained and judged; each default has a reason.

    min_rows: below, a block of held-out rows decides by chance. folds: of groups and of areas. test_share: of rows at
    random, of days at the end where no calendar year stands out. block_degrees: of areas, larger than what neighbours
    share. coverage: of the interval from p10 to p90. window: last residuals that intervals are made of. label_delay:
    until an outcome is known. bootstrap_rounds, confidence: of the intervals of metrics. leak_limit: from which R², or
    balanced accuracy above chance, an input and the target are the same. identity_share: of rows from which an
    arithmetic is told. trials: of the search of tuned settings. tuning_rows: drawn for each trial.
    """

    min_rows: int = 100
    folds: int = 5
    test_share: float = 0.2
    block_degrees: float = 1.0
    coverage: float = 0.8
    window: int = 400
    label_delay_days: int = 30
    bootstrap_rounds: int = 400
    confidence: float = 0.9
    leak_limit: float = 0.95
    identity_share: float = 0.2
    trials: int = 10
    tuning_rows: int = 6_000
    seed: int = 0


@dataclass(frozen=True, eq=False)
class TabularUseCase:
    """One number to predict from a table.

    splits: the first is the headline, which is the one that is like the use. group: the rows of one value are resampled
    and held out together. place: latitude and longitude, where areas are held out.
    """

    contract: LearningContract
    training_set: Table
    predictions: Table
    views: tuple[View, ...]
    splits: tuple[SplitName, ...]
    group: str | None = None
    place: tuple[str, str] | None = None
    ratio_band: RatioBand | None = None
    settings: LearningSettings = LearningSettings()

    @property
    def name(self) -> str:
        """Of the use case, its registry and its reports."""
        return self.contract.name

    @property
    def headline(self) -> SplitName:
        """The split by which it is judged."""
        return self.splits[0]
