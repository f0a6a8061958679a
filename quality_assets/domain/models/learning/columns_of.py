"""Rows as columns: what every model here takes, so that a server needs no frame to ask one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quality_assets.contracts.learning import LearningColumn
from quality_assets.domain.arrays import Bools, Floats

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, np.ndarray]
"""n values by column: numbers as floats, NaN where unknown; names as objects, None where unknown."""


def columns_of_rows(inputs: Sequence[LearningColumn], rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """The columns of rows that name their values; what a row does not name is unknown."""
    return {column.name: _values(column, [row.get(column.name) for row in rows]) for column in inputs}


def columns_of_frame(inputs: Sequence[LearningColumn], frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """The columns of a frame; one that it lacks is unknown."""
    missing = [None] * len(frame)
    return {c.name: _values(c, frame[c.name].tolist() if c.name in frame else missing) for c in inputs}


def _values(column: LearningColumn, values: Sequence[Any]) -> np.ndarray:
    if column.is_category:
        return np.array([value if isinstance(value, str) else None for value in values], dtype=object)
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def taken(columns: Columns, rows: Bools | np.ndarray) -> dict[str, np.ndarray]:
    """Some rows of all columns, by mask or by position."""
    return {name: values[rows] for name, values in columns.items()}


def is_unknown(values: np.ndarray) -> Bools:
    """Where a column's value is not known."""
    if values.dtype == object:
        return np.array([value is None for value in values], dtype=bool)
    return ~np.isfinite(values)


def row_count(columns: Columns) -> int:
    """How many rows there are."""
    return len(next(iter(columns.values()))) if columns else 0


def matrix(columns: Columns, names: Sequence[str], categories: Mapping[str, Sequence[str]]) -> Floats:
    """n x p numbers: a name as its place among the known ones, NaN where it is none of them."""
    parts = []
    for name in names:
        values = columns[name]
        if name in categories:
            place = {value: float(at) for at, value in enumerate(categories[name])}
            values = np.array([place.get(value, np.nan) for value in values], dtype=float)
        parts.append(np.asarray(values, dtype=float))
    return np.column_stack(parts) if parts else np.zeros((row_count(columns), 0))
