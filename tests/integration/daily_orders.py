"""Thirty daily files of orders, ten of them with a fault each, and what is to be found of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

CITIES = {"Berlin": "BE", "Hamburg": "HH", "Munich": "BY", "Cologne": "NW", "Frankfurt": "HE", "Stuttgart": "BW"}
STATUSES = ("shipped", "delivered", "returned", "cancelled")


@dataclass(frozen=True)
class Fault:
    """What a day's fault is to be found as."""

    kind: str
    columns: tuple[str, ...]
    count: int


def orders(day: int, rows: int = 600) -> pd.DataFrame:
    """The clean orders of a day, from 0."""
    generator = np.random.default_rng([7, day])
    city = generator.choice(list(CITIES), rows)
    start = pd.Timestamp("2026-03-01") + pd.Timedelta(day, "D")
    quantity, price = generator.integers(1, 9, rows), np.round(generator.lognormal(3, 0.4, rows), 2)
    return pd.DataFrame(
        {
            "order_id": np.arange(rows) + day * rows + 100_000,
            "ordered_at": start + pd.to_timedelta(np.sort(generator.integers(0, 86_400, rows)), "s"),
            "city": city,
            "state": [CITIES[name] for name in city],
            "status": generator.choice(STATUSES, rows, p=(0.5, 0.3, 0.15, 0.05)),
            "sku": [f"SKU-{number:04d}" for number in generator.integers(0, 10_000, rows)],
            "quantity": quantity,
            "price": price,
            "total": np.round(quantity * price, 2),
            "email": [f"user{number}@example.com" for number in generator.integers(0, 10_000, rows)],
        }
    )


# By day, from 0: a value that so many cells of a column hold instead of their own.
_PUT: dict[int, tuple[str, str, int, object]] = {
    8: ("missing", "email", 23, None),
    12: ("type", "price", 11, "n.v."),
    14: ("closed_set", "status", 9, "lost in transit"),
    16: ("range", "quantity", 8, 999),
    24: ("format", "sku", 13, "sku/77"),
}
# As above, in rows of one city only.
_PUT_WITHIN: dict[int, tuple[str, str, tuple[str, ...], int, str]] = {
    22: ("Berlin", "typo", ("city",), 12, "Berlni"),
    26: ("Munich", "dependency", ("city", "state"), 10, "HH"),
}


def faulty(day: int) -> tuple[pd.DataFrame, Fault | None]:
    """The orders of a day as its file holds them, and its fault, if any."""
    table = orders(day).astype(object)
    rows = np.random.default_rng([8, day]).permutation(len(table))
    if day in _PUT:
        kind, column, count, value = _PUT[day]
        table.loc[rows[:count], column] = value
        return table, Fault(kind, (column,), count)
    if day in _PUT_WITHIN:
        city, kind, columns, count, value = _PUT_WITHIN[day]
        at = np.flatnonzero((table["city"] == city).to_numpy())[:count]
        table.iloc[at, table.columns.get_loc(columns[-1])] = value
        return table, Fault(kind, columns, count)
    if day == 10:
        return pd.concat([table, table.iloc[rows[:14]]]), Fault("duplicate", (), 14)
    if day == 18:
        return table.drop(columns="email"), Fault("schema", ("email",), 1)
    if day == 20:
        return table.rename(columns={"sku": "article"}), Fault("rename", ("sku", "article"), 1)
    return table, None


def write_days(folder: Path, days: Iterable[int] = range(30)) -> dict[str, Fault]:
    """Write the files of some days, counted from 0; returns the faults by the name of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    faults = {}
    for day in days:
        table, fault = faulty(day)
        name = f"orders_{day + 1}.csv"
        table.to_csv(folder / name, index=False)
        if fault is not None:
            faults[name] = fault
    return faults
