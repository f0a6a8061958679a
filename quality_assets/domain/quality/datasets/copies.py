"""How many rows say the same by chance: in a table of few columns of few values, many do."""

from __future__ import annotations

import numpy as np

from quality_assets.domain.arrays import Ints
from quality_assets.domain.quality.datasets.values import Block

# Columns say something of each other, so that rows that agree in all others agree in the last more often by so much.
_KIN = 3.0
# Constants of SplitMix64 (Steele, Lea and Flood 2014).
_OF_PLACE = 0x9E3779B97F4A7C15
_MIXED = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def copies_by_chance(sample: Block, rows: int) -> float:
    """The pairs of rows that are alike by chance in a table of so many rows, told from a sample of them.

    From the pairs that agree in all columns but one, and from how often two rows agree in that one: by the column that
    explains most. At least as many as there would be if no column said anything of another.
    """
    if not sample.columns or sample.rows < 2:
        return 0.0
    if len(sample.columns) == 1:
        # Measures are the same now and then, and there is nothing beside them to tell whose they are.
        (cells,) = sample.columns.values()
        return _pairs(cells.codes) * (rows / sample.rows) ** 2 if cells.form.kind == "number" else 0.0
    pairs = sample.rows * (sample.rows - 1) / 2
    codes = [cells.codes for cells in sample.columns.values()]
    agree = np.array([_pairs(each) / pairs for each in codes])
    by_chance = pairs * float(np.prod(agree))
    every = np.zeros(sample.rows, np.uint64)
    for place, each in enumerate(codes):
        every += _hashed(each, place)
    alike = _pairs(every)
    for place, (each, share) in enumerate(zip(codes, agree.tolist(), strict=True)):
        if share < 1:
            near = _pairs(every - _hashed(each, place)) - alike
            by_chance = max(by_chance, _KIN * near * share / (1 - share))
    return by_chance * (rows / sample.rows) ** 2


def _hashed(codes: Ints, place: int) -> np.ndarray:
    """A hash of each cell of the column at a place, so that sums of several tell rows apart."""
    mixed = (codes + 1).astype(np.uint64) + np.uint64(place * _OF_PLACE % 2**64)
    for multiplier in _MIXED:
        mixed = (mixed ^ (mixed >> np.uint64(30))) * multiplier
    return mixed ^ (mixed >> np.uint64(31))


def _pairs(values: np.ndarray) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1) / 2).sum())
