"""Declared bases: formulas that a use case knows to hold, with one or two numbers that are learnt.

Trees cannot extrapolate, and a product of two inputs does; candidates then learn what a formula leaves. A formula is
stored as plain numbers under its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.learning.columns_of import Columns, row_count

_CENT = 0.005


class Formula(Protocol):
    """A formula of inputs; `is_exact` where it leaves nothing to learn."""

    kind: ClassVar[str]

    def fitted(self, columns: Columns, y: Floats) -> Formula: ...

    def predict(self, columns: Columns) -> Floats: ...

    def is_exact(self, columns: Columns) -> Bools: ...


@dataclass(frozen=True)
class Mean:
    """The mean of all, whatever is known."""

    kind: ClassVar[str] = "mean"
    value: float = np.nan

    def fitted(self, columns: Columns, y: Floats) -> Mean:
        """With the mean of n outcomes."""
        return Mean(float(y.mean()))

    def predict(self, columns: Columns) -> Floats:
        """The same for every row."""
        return np.full(row_count(columns), self.value)

    def is_exact(self, columns: Columns) -> Bools:
        """Nowhere."""
        return np.zeros(row_count(columns), dtype=bool)


@dataclass(frozen=True)
class Product:
    """Two inputs multiplied, times the median ratio of the outcome to that."""

    kind: ClassVar[str] = "product"
    first: str = ""
    second: str = ""
    ratio: float = np.nan

    def fitted(self, columns: Columns, y: Floats) -> Product:
        """With the median ratio of n outcomes."""
        return Product(self.first, self.second, _median_ratio(y, columns[self.first] * columns[self.second]))

    def predict(self, columns: Columns) -> Floats:
        """Rows whose two inputs are known."""
        return np.asarray(columns[self.first] * columns[self.second] * self.ratio, dtype=float)

    def is_exact(self, columns: Columns) -> Bools:
        """Nowhere: the ratio differs from row to row."""
        return np.zeros(row_count(columns), dtype=bool)


@dataclass(frozen=True)
class PriceOrProduct:
    """Quantity times price where the price is what was paid, and a product as above where it was cut off at a cap.

    The cap is the highest price that there is: at it, and only there, the price says no more than "at least".
    """

    kind: ClassVar[str] = "price_or_product"
    quantity: str = ""
    price: str = ""
    list_price: str = ""
    cap: float = np.nan
    ratio: float = np.nan

    def fitted(self, columns: Columns, y: Floats) -> PriceOrProduct:
        """With cap, and median ratio of the capped rows, of all where none is."""
        price, product = columns[self.price], columns[self.quantity] * columns[self.list_price]
        cap = float(np.nanmax(price))
        is_capped = price >= cap
        # A price that is the highest once was not cut off.
        some = is_capped if is_capped.mean() > _MIN_CAPPED_SHARE else np.ones(len(y), dtype=bool)
        cap = cap if is_capped.mean() > _MIN_CAPPED_SHARE else np.inf
        return PriceOrProduct(self.quantity, self.price, self.list_price, cap, _median_ratio(y[some], product[some]))

    def predict(self, columns: Columns) -> Floats:
        """Rows whose three inputs are known."""
        quantity = columns[self.quantity]
        product = quantity * columns[self.list_price] * self.ratio
        at_least = quantity * self.cap if np.isfinite(self.cap) else -np.inf
        return np.where(self.is_exact(columns), quantity * columns[self.price], np.maximum(product, at_least))

    def is_exact(self, columns: Columns) -> Bools:
        """Where the price is known and not the cap."""
        price = columns[self.price]
        return np.isfinite(price) & (np.abs(price - self.cap) > _CENT)


_MIN_CAPPED_SHARE = 0.01
KINDS: Mapping[str, type] = {each.kind: each for each in (Mean, Product, PriceOrProduct)}


def formula_state(formula: Formula) -> dict[str, Any]:
    """A formula as plain values."""
    return {"kind": formula.kind, **vars(formula)}


def formula_of(state: Mapping[str, Any]) -> Formula:
    """The formula of plain values. KeyError or TypeError where they are none."""
    values = {name: value for name, value in state.items() if name != "kind"}
    found: Formula = KINDS[state["kind"]](**values)
    return found


def _median_ratio(y: Floats, product: Floats) -> float:
    is_usable = np.isfinite(product) & (product > 0)
    return float(np.median(y[is_usable] / product[is_usable])) if is_usable.any() else np.nan
