"""What is usual by each five minutes of a weekday, from the events of the last weeks.

Expected by a minute is the mean of the last four same weekdays. The band is made of quantiles of how other days lay
about their own expectation, in deviations of √(1.25 e + (0.1 e)²); `arrivals.py` holds a day against both.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Ints

TILES = 288
SAME_WEEKDAYS = 4
BAND_DAYS = 28
MIN_BAND_DAYS = 200
"""Below so many days of features there is no quantile of one in four hundred: the normal distribution stands in."""

BAND = (0.05, 0.95)
ALARM = 0.0025
_NORMAL = {0.05: -1.645, 0.95: 1.645, 0.0025: -2.807}
TILE_MINUTES = 5
_COLUMNS = [
    "feature", "weekday", "minute", "expected_so_far", "expected_total", "days", "lower_z", "upper_z", "alarm_z",
]  # fmt: skip


def arrival_curves(counts: pd.DataFrame) -> pd.DataFrame:
    """The curves of each feature and weekday, from events by feature, event_date and tile (five minutes of the day).

    Columns: feature, weekday, minute, expected_so_far, expected_total, days, lower_z, upper_z, alarm_z.
    """
    if counts.empty:
        return pd.DataFrame(columns=_COLUMNS)
    so_far = _so_far(counts)
    features, weekdays = so_far.index.get_level_values("feature"), _weekdays(so_far)
    values, tiles = so_far.to_numpy(), len(so_far.columns)
    found = _rows_by_weekday(features, weekdays)
    last = [values[rows[-SAME_WEEKDAYS:]] for _, rows in found]
    expected = np.array([days.mean(axis=0) for days in last])
    # A row a curve and tile: to make a frame of each curve would cost more than all else here.
    curves = pd.DataFrame(
        {
            "minute": np.tile(so_far.columns.to_numpy() * TILE_MINUTES, len(found)),
            "expected_so_far": expected.ravel(),
            "expected_total": np.repeat(expected[:, -1], tiles),
            "feature": np.repeat(np.array([feature for (feature, _), _ in found], object), tiles),
            "weekday": np.repeat([weekday for (_, weekday), _ in found], tiles),
            "days": np.repeat([len(days) for days in last], tiles),
        }
    )
    return curves.merge(_quantiles(so_far), on="minute", how="left")[_COLUMNS]


def _rows_by_weekday(features: pd.Index, weekdays: pd.Index) -> list[tuple[tuple[str, int], Ints]]:
    """The places of each feature's days of one weekday, in their order; days of a feature come sorted."""
    places = pd.Series(range(len(features))).groupby([features, weekdays])
    return [(cast("tuple[str, int]", key), np.asarray(rows, np.int64)) for key, rows in places]


def _so_far(counts: pd.DataFrame) -> pd.DataFrame:
    """Events before each tile's beginning, and of the whole day in column 288, by feature and day, silent days too."""
    day = pd.to_datetime(counts["event_date"]).to_numpy().astype("datetime64[D]")
    days = np.arange(day.min(), day.max() + np.timedelta64(1, "D"))
    codes, names = pd.factorize(counts["feature"], sort=True)
    place = (day - days[0]).astype(np.int64)
    cells = (codes * len(days) + place) * TILES + counts["tile"].to_numpy(np.int64)
    events = counts["events"].to_numpy(float)
    whole = np.bincount(cells, events, len(names) * len(days) * TILES).reshape(-1, TILES)
    before = np.concatenate([np.zeros((len(whole), 1)), np.cumsum(whole, axis=1)], axis=1)
    first = np.full(len(names), len(days))
    np.minimum.at(first, codes, place)
    is_there = (np.arange(len(days)) >= first[:, None]).ravel()
    keys = [np.repeat(np.asarray(names, object), len(days)), np.tile(days.astype("datetime64[us]"), len(names))]
    index = pd.MultiIndex.from_arrays([key[is_there] for key in keys], names=["feature", "event_date"])
    return pd.DataFrame(before[is_there], index=index, columns=pd.RangeIndex(TILES + 1))


def _weekdays(so_far: pd.DataFrame) -> pd.Index:
    return pd.DatetimeIndex(so_far.index.get_level_values("event_date")).weekday


def _quantiles(so_far: pd.DataFrame) -> pd.DataFrame:
    """By minute, where the days of the last four weeks lay about their own expectation, of all features together."""
    features, values = so_far.index.get_level_values("feature"), so_far.to_numpy()
    means = np.full(values.shape, math.nan)
    for _, rows in _rows_by_weekday(features, _weekdays(so_far)):
        for before in range(SAME_WEEKDAYS, len(rows)):
            means[rows[before]] = values[rows[before - SAME_WEEKDAYS : before]].mean(axis=0)
    expected = pd.DataFrame(means, index=so_far.index, columns=so_far.columns)
    since = so_far.index.get_level_values("event_date").max() - pd.Timedelta(days=BAND_DAYS - 1)
    is_recent = (so_far.index.get_level_values("event_date") >= since) & expected[TILES].notna().to_numpy()
    spread = (1.25 * expected + (0.1 * expected) ** 2) ** 0.5
    z = ((so_far - expected) / spread.where(spread > 0))[is_recent]
    found = pd.DataFrame({"minute": [tile * TILE_MINUTES for tile in range(TILES + 1)]})
    for name, share in (("lower_z", BAND[0]), ("upper_z", BAND[1]), ("alarm_z", ALARM)):
        quantile = z.quantile(share) if len(z) >= MIN_BAND_DAYS else pd.Series(math.nan, index=z.columns)
        found[name] = quantile.fillna(_NORMAL[share]).to_numpy()
    return found
