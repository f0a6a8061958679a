"""Two tables that a team might depend on, a file a day of each, some days with a fault whose truth is written beside.

Each fault is in one day's file alone. The last file of orders has one, so that there is something to answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from quality_assets.simulate.table_faults import CELL_FAULTS, SCHEMA_FAULTS

ROWS = 150
FAULTY_SHARE = 0.06
CITIES = {"Berlin": "BE", "Hamburg": "HH", "Munich": "BY", "Cologne": "NW", "Frankfurt": "HE", "Stuttgart": "BW"}
CARRIERS = ("Northline", "Parcelway", "Quickvan")
STATUSES = ("shipped", "delivered", "returned", "cancelled")
_SEED = 11


@dataclass(frozen=True)
class DailyTable:
    """A table: what makes the clean rows of a day, what is said of it, and the kind of fault by days before the end."""

    rows: Callable[[date, np.random.Generator], pd.DataFrame]
    said: Mapping[str, object]
    faults: Mapping[int, str]


def order_rows(day: date, generator: np.random.Generator) -> pd.DataFrame:
    """The orders of a day; the state follows from the city, the total from quantity and price."""
    city = generator.choice(list(CITIES), ROWS)
    quantity, price = generator.integers(1, 9, ROWS), np.round(generator.lognormal(3, 0.4, ROWS), 2)
    return pd.DataFrame(
        {
            "order_id": day.toordinal() * ROWS + np.arange(ROWS),
            "ordered_at": _times(day, generator),
            "city": city,
            "state": [CITIES[name] for name in city],
            "status": generator.choice(STATUSES, ROWS, p=(0.5, 0.3, 0.15, 0.05)),
            "quantity": quantity,
            "price": price,
            "total": np.round(quantity * price, 2),
        }
    )


def delivery_rows(day: date, generator: np.random.Generator) -> pd.DataFrame:
    """The parcels that were delivered on a day."""
    weight = np.round(generator.lognormal(0.5, 0.6, ROWS), 2)
    return pd.DataFrame(
        {
            "parcel_id": [f"P-{day.toordinal() * ROWS + n}" for n in range(ROWS)],
            "delivered_at": _times(day, generator),
            "carrier": generator.choice(CARRIERS, ROWS, p=(0.5, 0.3, 0.2)),
            "city": generator.choice(list(CITIES), ROWS),
            "weight_kg": weight,
            "days_in_transit": generator.integers(1, 6, ROWS),
            "rating": generator.integers(1, 6, ROWS),
        }
    )


def _times(day: date, generator: np.random.Generator) -> pd.DatetimeIndex:
    return pd.Timestamp(day) + pd.to_timedelta(np.sort(generator.integers(0, 86_400, ROWS)), "s")


DAILY_TABLES: dict[str, DailyTable] = {
    "orders": DailyTable(
        order_rows,
        {
            "description": "Orders of the shop, a file a day; made up by the demo.",
            "key": ["order_id"], "time": "ordered_at", "owner": "orders@example.com", "team": "Commerce",
        },
        {21: "duplicate", 16: "missing", 10: "dependency", 5: "type", 0: "missing"},
    ),
    "deliveries": DailyTable(
        delivery_rows,
        {
            "description": "Parcels that were delivered, a file a day; made up by the demo.",
            "key": ["parcel_id"], "time": "delivered_at", "owner": "deliveries@example.com", "team": "Logistics",
        },
        {19: "outlier", 12: "rename", 7: "typo"},
    ),
}  # fmt: skip


def write_daily_tables(root: Path, last_day: date, days: int = 30) -> dict[str, int]:
    """Write ROOT/tables/NAME/NAME_DAY.csv for `days` days up to `last_day`, and ROOT/datasets/NAME.yaml.

    Their faults (dataset, file, kind, columns, count) go to ROOT/tables/faults.csv. Returns how many faults each table
    got; a dataset that a YAML file speaks of already is left alone.
    """
    planted: list[dict[str, object]] = []
    faults: dict[str, int] = {}
    for number, (name, table) in enumerate(DAILY_TABLES.items()):
        definition, folder = root / "datasets" / f"{name}.yaml", root / "tables" / name
        if definition.exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        definition.parent.mkdir(parents=True, exist_ok=True)
        for before in reversed(range(days)):
            day = last_day - timedelta(days=before)
            rows = table.rows(day, np.random.default_rng([_SEED, number, before]))
            file = folder / f"{name}_{day.isoformat()}.csv"
            if before in table.faults:
                rows, fault = _with_fault(rows, table.faults[before], np.random.default_rng([number, before]))
                planted.append({"dataset": name, "file": file.name, **fault})
            rows.to_csv(file, index=False)
        faults[name] = sum(before < days for before in table.faults)
        # From the data root, so that a copy of it watches its own files.
        said = {"path": f"tables/{name}/*.csv", **table.said}
        definition.write_text(yaml.safe_dump(said, sort_keys=False), encoding="utf-8")
    if faults:
        truth = pd.DataFrame(planted, columns=["dataset", "file", "kind", "columns", "count"])
        truth.to_csv(root / "tables" / "faults.csv", index=False)
    return faults


def _with_fault(
    rows: pd.DataFrame, kind: str, generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, object]]:
    # Cells are texts, as files hold them.
    made = (CELL_FAULTS | SCHEMA_FAULTS)[kind](rows.astype(str), FAULTY_SHARE, generator)
    assert made is not None
    return made.table, {"kind": made.kind, "columns": " ".join(made.columns), "count": made.count}
