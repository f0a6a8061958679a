"""How many rows say the same by chance: in a table of few columns of few values, many do."""

from __future__ import annotations

import numpy as np

from quality_assets.domain.arrays import Ints
from quality_assets.domain.quality.datasets.values import Block

# Columns say something of each other, so that rows that agree in all others agree in the last more often by so much.
_KIN = 3.0
_MIXED = np.uint64(0x9E3779B97F4A7C15)


def copies_by_chance(sample: Block, rows: int) -> float:
    """The pairs of rows that are alike by chance in a table of so many rows, told from a sample of them.

    From the pairs that agree in all columns but the one of most values, and from how often two rows agree in that one;
    at least as many as there would be if no column said anything of another.
    """
    if len(sample.columns) < 2 or sample.rows < 2:
        return 0.0
    codes = sorted((cells.codes for cells in sample.columns.values()), key=lambda each: len(np.unique(each)))
    *others, last = codes
    mixed = np.zeros(sample.rows, np.uint64)
    for each in others:
        mixed = _mixed(mixed, each)
    near = _pairs(mixed) - _pairs(_mixed(mixed, last))
    pairs = sample.rows * (sample.rows - 1) / 2
    agree = _pairs(last) / pairs
    # Where all rows agree in it the last column tells nothing, and all columns are constant.
    by_chance = _KIN * near * agree / (1 - agree) if agree < 1 else pairs
    independent = pairs * float(np.prod([_pairs(each) / pairs for each in codes]))
    return max(by_chance, independent) * (rows / sample.rows) ** 2


def _mixed(hashes: np.ndarray, codes: Ints) -> np.ndarray:
    """Hashes of rows with one column more."""
    mixed = (hashes ^ (codes + 1).astype(np.uint64)) * _MIXED
    return mixed ^ (mixed >> np.uint64(29))


def _pairs(values: np.ndarray) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1) / 2).sum())
