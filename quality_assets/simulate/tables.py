"""Made-up tables with the columns of the use cases that learn from tables, and a truth that is known.

Sales: lines of orders of three years, priced by a list price times a ratio that is uniform between .8 and 1.2, a price
that is cut off at 100 in the file, and a stretch of days in which list prices are mixed up among the lines of an order.
Housing: blocks whose value hangs on income, rooms and the distance to two centres, capped as in the census.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd

from quality_assets.contracts.use_cases import PRODUCT_LINES

PRICE_CAP = 100.0
BROKEN_FROM, BROKEN_THROUGH = date(2004, 11, 1), date(2005, 3, 17)
FIRST_DAY, LAST_DAY = date(2003, 1, 6), date(2005, 5, 31)
RATIO_LOW, RATIO_HIGH = 0.8, 1.2
_COUNTRIES = ("USA", "France", "Spain", "Australia", "UK", "Italy", "Japan", "Norway")
_STATUS = ("Shipped", "Resolved", "Cancelled", "On Hold", "In Process", "Disputed")
_LINES_AN_ORDER = 9
_LINE_PRICES = dict(zip(PRODUCT_LINES, (115.0, 97.0, 89.0, 87.0, 74.0, 103.0, 88.0), strict=True))
_HOUSE_CAP = 5.00001


def sales_rows(orders: int = 300, seed: int = 1, *, with_broken_window: bool = True) -> pd.DataFrame:
    """Lines of `orders` orders, evenly over the days, in the columns of the sales sample that the contract names."""
    rng = np.random.default_rng(seed)
    lines = rng.integers(2, 2 * _LINES_AN_ORDER - 1, size=orders)
    order = np.repeat(np.arange(orders), lines)
    days = np.sort(rng.integers(0, (LAST_DAY - FIRST_DAY).days + 1, size=orders))
    n = len(order)
    line = rng.choice(PRODUCT_LINES, size=n)
    msrp = np.round(np.array([_LINE_PRICES[each] for each in line]) * np.exp(rng.normal(0, 0.35, n)), 0).clip(33, 214)
    quantity = rng.integers(20, 56, size=n).astype(float)
    price = np.round(msrp * rng.uniform(RATIO_LOW, RATIO_HIGH, n), 2)
    sales = np.round(quantity * price, 2)
    when = [FIRST_DAY + timedelta(days=int(day)) for day in days[order]]
    if with_broken_window:
        is_broken = np.array([BROKEN_FROM <= each <= BROKEN_THROUGH for each in when])
        # The places of the lines of each order, drawn anew within the order.
        mixed = np.lexsort((rng.random(n), order))
        msrp = np.where(is_broken, msrp[mixed], msrp)
    return pd.DataFrame(
        {
            "ORDERNUMBER": 10_100 + order,
            "ORDERLINENUMBER": pd.Series(order).groupby(order).cumcount().to_numpy() + 1,
            "ORDERDATE": pd.to_datetime(when),
            "QUANTITYORDERED": quantity,
            "PRICEEACH": np.minimum(price, PRICE_CAP),
            "MSRP": msrp,
            "PRODUCTLINE": line,
            "COUNTRY": rng.choice(_COUNTRIES, size=orders)[order],
            "MONTH_ID": np.array([each.month for each in when], dtype=float),
            "DEALSIZE": np.select([sales < 3000, sales < 7000], ["Small", "Medium"], "Large").astype(object),
            "STATUS": rng.choice(_STATUS, size=orders, p=(0.9, 0.02, 0.02, 0.02, 0.02, 0.02))[order],
            "SALES": sales,
        }
    )


def housing_rows(blocks: int = 4_000, seed: int = 1) -> pd.DataFrame:
    """Blocks in the columns of the housing contract: half of the variance is income, a third is place."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(0, 1, blocks)
    latitude = np.round(33 + 8 * at + rng.normal(0, 0.3, blocks), 2).clip(32.6, 41.9)
    longitude = np.round(-117.5 - 5.5 * at + rng.normal(0, 0.5, blocks), 2).clip(-124.3, -114.4)
    income = np.round(np.exp(rng.normal(1.25, 0.45, blocks)), 4).clip(0.5, 15)
    rooms = np.round(4 + 0.35 * income + rng.normal(0, 0.8, blocks), 4).clip(1, 40)
    people = np.round(np.exp(rng.normal(6.9, 0.7, blocks)), 0).clip(3, 30_000)
    crowding = np.round(rng.normal(3, 0.7, blocks), 4).clip(1, 20)
    centres = ((34.05, -118.25), (37.77, -122.42))
    near = sum(np.exp(-((latitude - a) ** 2 + (longitude - b) ** 2) / 1.5) for a, b in centres)
    value = 0.25 + 0.42 * income + 0.9 * near - 0.18 * (crowding - 3) + rng.normal(0, 0.35, blocks)
    return pd.DataFrame(
        {
            "block": np.arange(1, blocks + 1),
            "MedInc": income,
            "HouseAge": rng.integers(1, 53, size=blocks).astype(float),
            "AveRooms": rooms,
            "AveBedrms": np.round(rooms * 0.2 + rng.normal(0, 0.05, blocks), 4).clip(0.3, 20),
            "Population": people,
            "AveOccup": crowding,
            "Latitude": latitude,
            "Longitude": longitude,
            "MedHouseVal": np.minimum(np.round(value, 5).clip(0.15), _HOUSE_CAP),
        }
    )


_MAKERS: Mapping[str, Callable[[], pd.DataFrame]] = {"sales": sales_rows, "housing": housing_rows}


MADE_UP = tuple(_MAKERS)
"""The use cases that rows are made up for."""


def made_up_rows(name: str) -> pd.DataFrame:
    """The rows of a use case, the same each time. KeyError where none are made up for it."""
    return _MAKERS[name]()
