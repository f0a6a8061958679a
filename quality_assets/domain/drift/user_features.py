"""What drift watches of users' online features at the end of days: counts in bins as SQL, and sketches of these.

A user is a row. Numbers that grow without end are binned by their logarithm, shares and scores in even steps, so that
a day of any number of users is a few hundred rows, and days can be compared without reading users again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import date
from math import e

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Floats
from quality_assets.domain.drift.settings import DEFAULT_DRIFT_SETTINGS, DriftSettings
from quality_assets.domain.drift.sketches import Sketch, calendar, matrix

PREFIX = "user_features."
"""Before the name of the feature: model inputs and columns of events have names that are like these."""
FAMILY = "user features"
MISSING_BIN = "missing"
BINS_PER_E = 5
# Wide enough that one user more or less of a small product does not make a bin of its own.
_STEPS: Mapping[str, float] = {
    "purchase_rate_7d": 0.05,
    "click_rate_24h": 0.05,
    "failure_rate_24h": 0.05,
    "mobile_share_7d": 0.05,
    "engagement_score": 5.0,
}
_GROWING: Mapping[str, str] = {
    "activity_count_24h": "count",
    "activity_count_7d": "count",
    "purchase_count_7d": "count",
    "hours_since_purchase": "h",
    "seconds_since_last": "s",
    "activity_trend": "ratio",
    "latency_mean_ms_24h": "ms",
}
MIXES = ("last_device", "user_segment", "ab_variant")
UNITS: Mapping[str, str] = {
    **{f"{PREFIX}{name}": unit for name, unit in _GROWING.items()},
    **{f"{PREFIX}{name}": "score" if name == "engagement_score" else "fraction" for name in _STEPS},
}
"""Of what is a number, by the name that it is watched under."""
WATCHED = (*_GROWING, *_STEPS, *MIXES)
"""Without what the calendar alone decides (hour_of_day, is_weekend), and what is nearly always nought at midnight."""


def user_feature_sketch_sql(source: str, names: Collection[str] = WATCHED) -> str:
    """Users per bin and day of those features of `names` that are watched: event_date, name, bin (text), n. DuckDB.

    `source` has event_date and the features. A feature that is null has the bin `missing`.
    """
    bins = {
        **{name: f"cast(floor({BINS_PER_E} * ln(greatest({name}, 0) + 1)) as integer)" for name in _GROWING},
        **{name: f"cast(floor({name} / {step:g}) as integer)" for name, step in _STEPS.items()},
        **{name: name for name in MIXES},
    }
    return "\nunion all\n".join(
        f"select event_date, '{name}' as name, coalesce(cast({bin_} as varchar), '{MISSING_BIN}') as bin,"
        f" count(*) as n from {source} group by all"
        for name, bin_ in bins.items()
        if name in names
    )


def user_feature_sketches(counts: pd.DataFrame, settings: DriftSettings = DEFAULT_DRIFT_SETTINGS) -> list[Sketch]:
    """Sketches from rows of `user_feature_sketch_sql`, all over the same days; names begin with `user_features.`.

    Distances are in robust deviations, as those of model inputs. A feature that is null for some gives a rate as well.
    """
    if not len(counts):
        return []
    dates = calendar(counts["event_date"])
    by_name = counts.groupby("name", sort=True)
    return [each for name, group in by_name for each in _sketches_of(str(name), group, dates, settings)]


def _sketches_of(name: str, group: pd.DataFrame, dates: tuple[date, ...], settings: DriftSettings) -> Iterator[Sketch]:
    of_all = Sketch("data", "", f"{PREFIX}{name}", "w1", dates, np.zeros((len(dates), 0)), family=FAMILY)
    if name in MIXES:
        bins, counts = matrix(group, dates, is_numeric=False)
        floor = settings.mix_floor
        yield replace(of_all, statistic="total_variation", counts=counts, floor=floor, labels=tuple(bins))
        return
    known = group[group["bin"] != MISSING_BIN]
    bins, counts = matrix(known, dates, is_numeric=True)
    if len(known):
        position = _position(name, bins)
        typical = _typical(name, bins)
        scaled, floor = position / _deviation(position, counts.sum(axis=0)), settings.input_floor
        yield replace(of_all, counts=counts, position=scaled, typical=typical, floor=floor, unit=UNITS[of_all.name])
    if len(known) < len(group):
        everyone = matrix(group.assign(bin="all"), dates, is_numeric=False)[1][:, 0]
        known_rows = counts.sum(axis=1)
        rate = np.stack([everyone - known_rows, known_rows], axis=1)
        yield replace(
            of_all,
            name=f"{of_all.name} is missing",
            statistic="binomial_z",
            counts=rate,
            floor=settings.rate_floor_z,
            unit="fraction",
        )


def _position(name: str, bins: list[str]) -> Floats:
    """The middle of each bin, on the scale that it was binned on."""
    middle = np.array([float(each) for each in bins]) + 0.5
    return middle / BINS_PER_E if name in _GROWING else middle * _STEPS[name]


def _typical(name: str, bins: list[str]) -> Floats:
    """The value that each bin stands for, in the feature's own unit."""
    if name in _STEPS:
        # The first bin of a share is mostly nought, and is said to be.
        return np.array([float(each) for each in bins]) * _STEPS[name]
    low = e ** (np.array([float(each) for each in bins]) / BINS_PER_E) - 1
    return np.asarray(np.round(low) if _GROWING[name] == "count" else low)


def _deviation(position: Floats, rows: Floats) -> float:
    """Interquartile range ÷ 1.349 of what lies in bins; the standard deviation where half are in one; 1 if all are."""
    share = np.cumsum(rows) / rows.sum()
    low, high = (position[int(np.searchsorted(share, at))] for at in (0.25, 0.75))
    mean = float(np.average(position, weights=rows))
    spread = float(np.sqrt(np.average((position - mean) ** 2, weights=rows)))
    return float(high - low) / 1.349 or spread or 1.0
