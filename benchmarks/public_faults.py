"""Faults of tables beside those of `quality_assets.simulate.table_faults`: what files suffer on their way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from quality_assets.simulate.table_faults import CELL_FAULTS, Fault, Planted, numeric_columns, text_columns

_SENTINELS = ("-999", "9999", "-1", "999999")
_TOKENS = ("N/A", "?", "-", "NULL", "unknown")
_CURRENCIES = ("$ {}", "{} EUR", "£{}", "{} USD")
_YEARS = ("1900", "1970", "2099", "9999")
_CATEGORIES = ("Zzyzx", "other-99", "TEST", "to be done")


def _on(
    named: Callable[[pd.DataFrame], list[str]], changed: Callable[[str, np.random.Generator], str | None], kind: str
) -> Fault:
    """A fault that makes other values of those of one column, each by itself."""

    def plant(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
        names = named(table)
        if not names:
            return None
        name = str(generator.choice(names))
        rows = generator.choice(len(table), max(1, round(share * len(table))), replace=False)
        column = table[name].to_numpy(dtype=object, copy=True)
        before = column[rows].copy()
        column[rows] = [None if pd.isna(value) else changed(str(value), generator) for value in before]
        count = sum(was is not None and was != now for was, now in zip(before, column[rows], strict=True))
        return Planted(table.assign(**{name: column}), kind, (name,), count)

    return plant


def _number(value: str, by: float) -> str:
    try:
        return f"{float(value) * by:.10g}"
    except ValueError:
        return value


def _times(by: float) -> Callable[[str, np.random.Generator], str]:
    return lambda value, _: _number(value, by)


def _other_case(value: str, generator: np.random.Generator) -> str:
    return value.upper() if generator.integers(2) else value.lower()


def _mojibake(value: str, _: np.random.Generator) -> str:
    vowels = str.maketrans({"a": "Ã¤", "o": "Ã¶", "e": "Ã©", "u": "Ã¼", "i": "Ã­"})
    return value[:1] + value[1:].translate(vowels)


def _swapped(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
    """The cells of two neighbouring columns changed about."""
    if table.shape[1] < 2:
        return None
    place = int(generator.integers(table.shape[1] - 1))
    return _moved(table, share, generator, [place, place + 1], "swap")


def _shifted(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
    """Rows whose cells stand one column to the right, and the last one first."""
    if table.shape[1] < 3:
        return None
    return _moved(table, share, generator, list(range(table.shape[1])), "shift")


def _moved(
    table: pd.DataFrame, share: float, generator: np.random.Generator, places: list[int], kind: str
) -> Planted | None:
    rows = generator.choice(len(table), max(1, round(share * len(table))), replace=False)
    cells = table.to_numpy(dtype=object, copy=True)
    before = cells[np.ix_(rows, places)]
    cells[np.ix_(rows, places)] = np.roll(before, 1, axis=1)
    made = pd.DataFrame(cells, columns=table.columns)
    count = int((made.astype(str) != table.astype(str)).to_numpy().sum())
    return Planted(made, kind, tuple(table.columns[place] for place in places), count)


def _date_columns(table: pd.DataFrame) -> list[str]:
    return [c for c in map(str, table) if table[c].fillna("").str.match(r"\d{4}-\d\d-\d\d").mean() > 0.9]


def _other_date(value: str, _: np.random.Generator) -> str:
    year, month, day = value[:4], value[5:7], value[8:10]
    return f"{day}/{month}/{year}{value[10:]}"


def _other_year(value: str, generator: np.random.Generator) -> str:
    return f"{generator.choice(_YEARS)}{value[4:]}"


def _repeated(table: pd.DataFrame, share: float, generator: np.random.Generator) -> Planted | None:
    """Rows that have the name of another row, in a column that names each."""
    names = [c for c in map(str, table) if table[c].notna().all() and table[c].is_unique]
    if not names:
        return None
    name = str(generator.choice(names))
    rows = generator.choice(len(table), 2 * max(1, round(share * len(table))), replace=False)
    column = table[name].to_numpy(dtype=object, copy=True)
    column[rows[::2]] = column[rows[1::2]]
    return Planted(table.assign(**{name: column}), "repeated", (name,), len(rows) // 2)


def _varied(table: pd.DataFrame) -> list[str]:
    return [c for c in text_columns(table) if 2 <= table[c].nunique() <= len(table) / 5]


FAULTS: dict[str, Fault] = {
    **CELL_FAULTS,
    "unit": _on(numeric_columns, _times(1000.0), "unit"),
    "sign": _on(numeric_columns, _times(-1.0), "sign"),
    "zero": _on(numeric_columns, lambda *_: "0", "zero"),
    "sentinel": _on(numeric_columns, lambda _, generator: str(generator.choice(_SENTINELS)), "sentinel"),
    "token": _on(lambda table: list(map(str, table)), lambda _, generator: str(generator.choice(_TOKENS)), "token"),
    "case": _on(text_columns, _other_case, "case"),
    "cut": _on(text_columns, lambda value, _: value[: max(1, len(value) // 2)], "cut"),
    "encoding": _on(text_columns, _mojibake, "encoding"),
    "currency": _on(
        numeric_columns, lambda value, generator: str(generator.choice(_CURRENCIES)).format(value), "currency"
    ),
    "category": _on(_varied, lambda _, generator: str(generator.choice(_CATEGORIES)), "category"),
    "blank": _on(text_columns, lambda value, _: f"{value[:2]} {value[2:]}", "blank"),
    "date": _on(_date_columns, _other_date, "date"),
    "year": _on(_date_columns, _other_year, "year"),
    "placeholder": _on(text_columns, lambda *_: "not known yet", "placeholder"),
    "repeated": _repeated,
    "swap": _swapped,
    "shift": _shifted,
}
"""By kind; each is planted in a share of the rows, and is None where a table has no place for it."""
