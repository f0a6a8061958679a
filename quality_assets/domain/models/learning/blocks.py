"""Held-out rows by time, by group, by area and at random; and the blocks that are resampled together.

Rows of one block resemble each other, so that a block bootstrap (Künsch 1989) gives intervals that rows by themselves
would make too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.models.learning.tabular import LearningSettings, SplitName

_QUARTER_MONTHS = 3
_ORIGINS = 4


@dataclass(frozen=True)
class HeldOut:
    """Of n rows: those that are learnt from, and those that are then predicted."""

    train: Bools = field(repr=False)
    test: Bools = field(repr=False)


@dataclass(frozen=True)
class RowPlaces:
    """Where n rows stand: their day (since 1970-01-01; None without time), group and area as numbers."""

    rows: int
    day: Ints | None
    group: Ints
    area: Ints | None

    @property
    def block(self) -> Ints:
        """What is resampled together: areas where there are any, else groups."""
        return self.group if self.area is None else self.area

    def taken(self, which: Bools) -> RowPlaces:
        """Those of some rows."""
        return RowPlaces(
            int(which.sum()),
            None if self.day is None else self.day[which],
            self.group[which],
            None if self.area is None else self.area[which],
        )


def splits_of(name: SplitName, places: RowPlaces, settings: LearningSettings) -> list[HeldOut]:
    """The splits of a name; empty where rows are too few for them, or have neither time nor place."""
    if name == "random":
        return [_at_random(places.rows, settings)]
    if name == "group":
        return _by_fold(places.group, settings)
    if name == "spatial":
        return [] if places.area is None else _by_fold(places.area, settings)
    if places.day is None:
        return []
    return _by_time(places.day, settings) if name == "time" else _rolling(places.day, settings)


def _at_random(rows: int, settings: LearningSettings) -> HeldOut:
    order = np.random.default_rng(settings.seed).permutation(rows)
    test = np.zeros(rows, dtype=bool)
    test[order[: max(1, int(rows * settings.test_share))]] = True
    return HeldOut(~test, test)


def _by_fold(group: Ints, settings: LearningSettings) -> list[HeldOut]:
    found = np.unique(group)
    folds = min(settings.folds, len(found))
    if folds < 2:
        return []
    drawn = np.random.default_rng(settings.seed).permutation(len(found)) % folds
    fold = drawn[np.searchsorted(found, group)]
    return [HeldOut(fold != each, fold == each) for each in range(folds)]


def test_starts(day: Ints, settings: LearningSettings) -> int:
    """The first day of the test: of the last calendar year, or of the last fifth of days where that is too much."""
    years = day.astype("datetime64[D]").astype("datetime64[Y]")
    start = int(years.max().astype("datetime64[D]").astype(np.int64))
    is_later = day >= start
    least = settings.test_share / 4
    if least <= is_later.mean() <= 0.5 and is_later.sum() >= settings.min_rows / 4:
        return start
    return int(np.quantile(day, 1 - settings.test_share, method="higher"))


def _by_time(day: Ints, settings: LearningSettings) -> list[HeldOut]:
    start = test_starts(day, settings)
    split = HeldOut(day < start, day >= start)
    return [split] if split.train.any() and split.test.any() else []


def quarters(day: Ints) -> tuple[Ints, list[str]]:
    """The quarter of each day as a number that counts up, and a name for each number."""
    months = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    quarter = months // _QUARTER_MONTHS
    found, place = np.unique(quarter, return_inverse=True)
    return place.astype(np.int64), [f"{1970 + q // 4}-Q{q % 4 + 1}" for q in found.tolist()]


def _rolling(day: Ints, settings: LearningSettings) -> list[HeldOut]:
    """Each of the last quarters before the test, learnt from all that was before it."""
    start = test_starts(day, settings)
    before = np.unique(quarters(day)[0][day < start])
    quarter = quarters(day)[0]
    found = []
    for each in before[-_ORIGINS:]:
        test = (quarter == each) & (day < start)
        train = day < day[test].min()
        if train.sum() >= settings.min_rows and test.any():
            found.append(HeldOut(train, test))
    return found


@dataclass(frozen=True)
class Grades:
    """r2, rmse and mae of n predictions with intervals, and how much they beat others by."""

    values: Mapping[str, tuple[float, float, float]]
    rows: int


def grades(y: Floats, predicted: Floats, block: Ints, settings: LearningSettings) -> Grades:
    """Grades with block-bootstrap intervals. R² is against the mean of the very rows that are resampled."""
    error = y - predicted
    sums = _block_sums(block, np.ones(len(y)), error**2, np.abs(error), y, y**2)
    drawn = _weights(sums.shape[1], settings) @ sums.T
    whole = sums.sum(axis=1)
    many = {name: each(drawn.T) for name, each in _MEASURES.items()}
    edge = (1 - settings.confidence) / 2
    return Grades(
        {
            name: (float(measure(whole)), *_quantiles(many[name], edge))
            for name, measure in _MEASURES.items()
        },
        len(y),
    )  # fmt: skip


def lead(
    y: Floats, ours: Floats, theirs: Floats, block: Ints, settings: LearningSettings
) -> tuple[float, float, float]:
    """By how much the squared error of `theirs` exceeds that of `ours`, as a share of theirs: value, low, high."""
    sums = _block_sums(block, (y - theirs) ** 2, (y - ours) ** 2)
    drawn = (_weights(sums.shape[1], settings) @ sums.T).T
    whole = sums.sum(axis=1)
    edge = (1 - settings.confidence) / 2
    return (float(_gain(*whole)), *_quantiles(_gain(*drawn), edge))


def _gain(theirs: Floats, ours: Floats) -> Floats:
    return np.where(theirs > 0, (theirs - ours) / np.where(theirs > 0, theirs, 1), np.where(ours > 0, -1.0, 0.0))


def share_interval(is_in: Bools, block: Ints, settings: LearningSettings) -> tuple[float, float, float]:
    """The share of rows that something holds of, with its interval."""
    sums = _block_sums(block, np.ones(len(is_in)), is_in.astype(float))
    drawn = (_weights(sums.shape[1], settings) @ sums.T).T
    return (float(is_in.mean()), *_quantiles(drawn[1] / drawn[0], (1 - settings.confidence) / 2))


def _r2(sums: Floats) -> Floats:
    n, squared, _, y, y2 = sums
    around = y2 - y**2 / n
    return 1 - squared / np.where(around > 0, around, np.nan)


_MEASURES = {
    "r2": _r2,
    "rmse": lambda sums: np.sqrt(sums[1] / sums[0]),
    "mae": lambda sums: sums[2] / sums[0],
}


def _block_sums(block: Ints, *values: Floats) -> Floats:
    _, place = np.unique(block, return_inverse=True)
    return np.array([np.bincount(place, weights=each) for each in values])


def _weights(blocks: int, settings: LearningSettings) -> Floats:
    rng = np.random.default_rng(settings.seed)
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=settings.bootstrap_rounds).astype(float)


def _quantiles(values: Floats, edge: float) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.quantile(known, [edge, 1 - edge])
    return float(low), float(high)
