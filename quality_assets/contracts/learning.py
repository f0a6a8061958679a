"""What a contract of a table to learn from is: who a row speaks of, what is known of it and when, what is predicted.

One contract gives the training set as a table (DDL, and the gate before training), the request model of a server and
its schema in OpenAPI, the list of inputs that are watched for drift, and a fingerprint that every model of it carries.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from quality_assets.contracts.table import Build, Column, Table

KnownAt = Literal["before", "at", "after"]
"""When an input is known: before the decision that the prediction serves, with it, or only after it."""
Role = Literal["input", "key", "time", "target", "other"]


@dataclass(frozen=True)
class LearningColumn(Column):
    """A column of a table to learn from. A `nullable` input may stay unknown when a prediction is asked for.

    `role` other: kept beside the rows, for splits and reports; nothing learns from it.
    """

    role: Role = "input"
    known_at: KnownAt = "before"

    @property
    def is_category(self) -> bool:
        """Whether its values are names, and not numbers."""
        return self.type == "VARCHAR"


@dataclass(frozen=True)
class LearningContract:
    """A table to learn from. `title` is what a row is, in the plural; `key` names a row."""

    name: str
    title: str
    columns: tuple[LearningColumn, ...]
    key: tuple[str, ...]

    @property
    def inputs(self) -> tuple[LearningColumn, ...]:
        """What is known of a row, in the order of every model."""
        return tuple(column for column in self.columns if column.role == "input")

    @property
    def target(self) -> LearningColumn:
        """What is predicted."""
        return next(column for column in self.columns if column.role == "target")

    @property
    def time_column(self) -> str | None:
        """The day of a row; None where rows have no order in time."""
        return next((column.name for column in self.columns if column.role == "time"), None)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the contract says of inputs and target: a model of another one is refused."""
        said = [asdict(column) for column in self.columns if column.role in ("input", "target")]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def column(self, name: str) -> LearningColumn:
        """The column called `name`; KeyError where there is none."""
        return {column.name: column for column in self.columns}[name]

    def training_table(self) -> Table:
        """Its rows as a table of the warehouse, with why a row is not learnt from."""
        return Table(
            schema="ml",
            name=f"{self.name}_training_set",
            description=f"{self.title[0].upper()}{self.title[1:]} to learn {self.target.name} from, as they were read",
            grain=f"one row per {', '.join(self.key)}",
            key=self.key,
            columns=(
                *self.columns,
                Column("quarantined_because", "VARCHAR", "Why nothing is learnt from the row; null where it is"),
            ),
            build=Build("learning"),
        )

    def predictions_table(self) -> Table:
        """What the model in use says of the rows, beside what came."""
        time = (Column("day", "DATE", "Of the row"),) if self.time_column else ()
        unit = self.target.unit
        return Table(
            schema="ml",
            name=f"{self.name}_predictions",
            description=f"{self.target.name} as the model in use predicts it of each row, beside what it was",
            grain="one row per version and row of the training set",
            key=("model_version", "row_key"),
            columns=(
                Column("model", "VARCHAR", "Use case", nullable=False),
                Column("model_version", "VARCHAR", "Version that was in use", nullable=False),
                Column("release_seq", "BIGINT", "Release that put it in use", minimum=1),
                Column("row_key", "VARCHAR", f"{', '.join(self.key)} of the row, with - between", nullable=False),
                *time,
                Column("prediction", "DOUBLE", "Predicted, of all that is known of the row", unit=unit),
                Column("p10", "DOUBLE", "One in ten is expected below", unit=unit),
                Column("p90", "DOUBLE", "One in ten is expected above", unit=unit),
                Column("actual", "DOUBLE", "What it was", unit=unit),
                Column("is_seen", "BOOLEAN", "The version has learnt from the row itself", nullable=False),
                Column("quarantined_because", "VARCHAR", "Why nothing is learnt from the row; null where it is"),
            ),
            build=Build("learning", inputs=(f"ml.{self.name}_training_set",)),
        )
