"""Faults of tables whose truth is known: each kind of fault, put into a clean table, with the cells that it changed.

For tests, benchmarks and the mutation report: what the checks of datasets catch, and what they let
through.
Cells are texts, as files hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quality_assets.domain.number_texts import numbers_of_texts

_LEAST_DISTINCT = 3


@dataclass(frozen=True)
class Planted:
    """A table with a fault: where it is, and how many cells (rows for copies, columns for schemas) it changed."""

    table: pd.DataFrame
    kind: str
    columns: tuple[str, ...]
    count: int


Fault = Callable[[pd.DataFrame, float, np.random.Generator], Planted | None]


def numeric_columns(table: pd.DataFrame) -> list[str]:
    """The columns of numbers."""
    return [c for c in map(str, table) if numbers_of_texts(table[c]).notna().mean() > 0.9]


def text_columns(table: pd.DataFrame) -> list[str]:
    """The columns of words."""
    numbers = set(numeric_columns(table))
    return [
        c for c in map(str, table) if c not in numbers and table[c].fillna("").str.contains(r"[A-Za-z]{4}").mean() > 0.3
    ]


def _rows(table: pd.DataFrame, share: float, generator: np.random.Generator) -> np.ndarray:
    count = max(1, round(share * len(table)))
    return np.sort(generator.choice(len(table), count, replace=False))


def outliers(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
    """Numbers several spreads beyond the ends of their column."""
    names = numeric_columns(table)
    if not names:
        return None
    name = str(generator.choice(names))
    numbers = numbers_of_texts(table[name])
    spread = float(numbers.std()) or max(1.0, abs(float(numbers.mean())))
    rows = _rows(table, share, generator)
    far = generator.uniform(3, 8, len(rows)) * spread * generator.choice((-1, 1), len(rows))
    values = np.where(far > 0, numbers.max() + far, numbers.min() + far)
    is_whole = bool((numbers.dropna() % 1 == 0).all())
    return _changed(table, "outlier", name, rows, [f"{v:.0f}" if is_whole else f"{v:.3f}" for v in values])


def typos(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
    """A letter of a word lost, doubled, swapped or mistaken."""
    names = text_columns(table)
    if not names:
        return None
    name = str(generator.choice(names))
    rows = [r for r in _rows(table, share, generator) if len(str(table[name].iloc[r] or "")) >= 4]
    if not rows:
        return None
    return _changed(table, "typo", name, np.array(rows), [slip(str(table[name].iloc[r]), generator) for r in rows])


def slip(value: str, generator: np.random.Generator) -> str:
    """A value with one slip of the hand, different from it."""
    places = [i for i, c in enumerate(value) if c.isalpha()]
    at = int(generator.choice(places)) if places else 0
    kind = int(generator.integers(4))
    letter = chr(ord("a") + int(generator.integers(26)))
    made = (
        value[:at] + value[at + 1 :],
        value[:at] + letter + value[at:],
        value[:at] + value[at : at + 2][::-1] + value[at + 2 :],
        value[:at] + letter + value[at + 1 :],
    )[kind]
    return made if made != value else value[:at] + "q" + value[at:]


def broken_dependency(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
    """Another legal value in a column that a second column decides."""
    pairs = [
        (a, b)
        for a in map(str, table)
        for b in map(str, table)
        if a != b
        and _LEAST_DISTINCT <= table[a].nunique() <= len(table) / 3
        and table[b].nunique() >= 2
        and (table.groupby(a)[b].nunique() <= 1).all()
    ]
    if not pairs:
        return None
    name = pairs[int(generator.integers(len(pairs)))][1]
    rows = _rows(table, share, generator)
    legal = table[name].dropna().unique()
    values = [str(generator.choice([v for v in legal if v != table[name].iloc[r]])) for r in rows]
    return _changed(table, "dependency", name, rows, values)


def missing(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
    """Cells that are empty."""
    full = [c for c in map(str, table) if table[c].notna().all()]
    if not full:
        return None
    name, rows = str(generator.choice(full)), _rows(table, share, generator)
    return _changed(table, "missing", name, rows, [None] * len(rows))


def wrong_types(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
    """Words where numbers should be."""
    names = numeric_columns(table)
    if not names:
        return None
    name, rows = str(generator.choice(names)), _rows(table, share, generator)
    return _changed(
        table, "type", name, rows, [str(generator.choice(("error", "unknown", "see note", "12a"))) for _ in rows]
    )


def copies(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
    """Rows that come twice."""
    rows = _rows(table, share, generator)
    made = pd.concat([table, table.iloc[rows]], ignore_index=True)
    return Planted(made, "duplicate", (), int(made.duplicated().sum() - table.duplicated().sum()))


def lost_column(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
    """A column that is gone."""
    name = str(generator.choice(list(table.columns)))
    return Planted(table.drop(columns=name), "schema", (name,), 1)


def renamed_column(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
    """A column under another name."""
    name = str(generator.choice(list(table.columns)))
    return Planted(table.rename(columns={name: f"{name}_new"}), "rename", (name, f"{name}_new"), 1)


def _changed(table: pd.DataFrame, kind: str, name: str, rows: np.ndarray, values: list[str] | list[None]) -> Planted:
    made = table.copy()
    column = made[name].to_numpy(dtype=object, copy=True)
    column[rows] = values
    made[name] = column
    return Planted(made, kind, (name,), len(rows))


CELL_FAULTS: dict[str, Fault] = {
    "outlier": outliers,
    "typo": typos,
    "dependency": broken_dependency,
    "missing": missing,
    "type": wrong_types,
    "duplicate": copies,
}
SCHEMA_FAULTS: dict[str, Fault] = {"schema": lost_column, "rename": renamed_column}
