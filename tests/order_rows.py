"""A use case of orders, whose outcomes count up, for tests by value of what is held out, chosen and released."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from quality_assets.contracts.learning import LearningColumn, LearningContract
from quality_assets.domain.models.learning.blocks import RowPlaces
from quality_assets.domain.models.learning.formulas import Mean, Product
from quality_assets.domain.models.learning.held_out_rows import ViewRows, view_rows
from quality_assets.domain.models.learning.tabular import Candidate, LearningSettings, TabularUseCase, View

SETTINGS = LearningSettings()
ORDERS = LearningContract(
    "orders",
    "orders",
    (
        LearningColumn("id", "BIGINT", "Order", role="key"),
        LearningColumn("day", "DATE", "Of the order", role="time"),
        LearningColumn("x", "DOUBLE", "Pieces"),
        LearningColumn("z", "DOUBLE", "Price"),
        LearningColumn("y", "DOUBLE", "Total", role="target"),
    ),
    ("id",),
)
MEAN, PRODUCT = (
    Candidate("mean", "baseline", formula=Mean()),
    Candidate("list_price", "base", formula=Product("x", "z")),
)
LINE, TREES = Candidate("a_line", learner="linear"), Candidate("some_trees", learner="gradient_boosting")
VIEW = View("all", (), (PRODUCT, LINE, TREES, MEAN))
N = 60
TRUTH = np.arange(N, dtype=float)
TURNS = np.where(np.arange(N) % 2 == 0, 1.0, -1.0)


def use_case(*splits: str, **settings: Any) -> TabularUseCase:
    """Orders with these splits, by time where none are named, and settings other than the usual ones."""
    return TabularUseCase(
        ORDERS, ORDERS.training_table(), ORDERS.predictions_table(), (VIEW,), splits or ("time",),  # type: ignore[arg-type]
        settings=replace(SETTINGS, **settings),
    )  # fmt: skip


def days(*starts: str, each: int = 1) -> np.ndarray:
    """Days since 1970-01-01, each so many times."""
    return np.repeat(np.array([date.fromisoformat(start).toordinal() - 719_163 for start in starts]), each)


def places(rows: int, day: np.ndarray | None = None, area: np.ndarray | None = None) -> RowPlaces:
    """Rows that each are a group of their own."""
    return RowPlaces(rows, day, np.arange(rows), area)


def rows_of(case: TabularUseCase, n: int = N, day: np.ndarray | None = None) -> ViewRows:
    """n rows of the first view: x and the outcome count up from 0, z is 1."""
    columns = {"x": np.arange(n, dtype=float), "z": np.ones(n)}
    return view_rows(case, case.views[0], columns, np.arange(n, dtype=float), places(n, day), ())
