"""Cells that stand out only beside others of their row or their column: ends before beginnings, and rows unlike both
neighbours where the column goes on from row to row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.quality.datasets.cell_tests import Below
from quality_assets.domain.quality.datasets.dependencies import first_rows
from quality_assets.domain.quality.datasets.neighbour_tests import (
    Alone,
    apart_from_both,
    interrupting,
    usually_apart,
)
from quality_assets.domain.quality.datasets.values import Block, Cells

_MOST_COLUMNS, _MOST_ROWS, _LEAST_ROWS = 14, 5_000, 30
_LEAST_SIZES = 8
# So many rows keep an order that so many would break if the columns said nothing of each other.
_KEPT, _LEAST_BY_CHANCE = 0.99, 0.05
# Where fewer keep it, most that break it lie so many times as far off as nine in ten that keep it: of two columns
# without an order, either is as far above the other.
_WILD_TIMES = 3.0
# Neighbours that are so often equal make a column one that goes on; hardly a row then stands alone between equal ones.
_LEAST_EQUAL, _MOST_ALONE = 0.55, 0.12
# The same where so many are errors, and equal neighbours are no chance (Cohen's kappa).
_LEAST_EQUAL_OF_MANY, _MOST_ALONE_OF_MANY, _LEAST_KAPPA = 0.4, 0.25, 0.25
# Nearly all rows lie so near to a neighbour, and what lies so many times as far is alone; no nearer than a part of the
# middle of the column.
_USUAL_SHARE, _TIMES_AS_FAR, _LEAST_PART = 0.9, 6.0, 0.25
# Of noise what six in ten keep to is so many times as near, and many errors do not move it.
_INNER_TIMES = 5.0
# Most rows lie so much nearer to the next one than any two rows do where values move on together.
_SERIES_PART = 0.3


def orders_within(
    block: Block,
    weight: float,
    detector: str,
    kinds: Sequence[str] = ("number", "time"),
    least: float = _KEPT,
    least_if_wild: float = 1.0,
) -> Iterator[Below]:
    """Pairs of columns of one kind of which the second is hardly ever below the first; of each second, the nearest.

    At least `least` of the rows keep the order, or `least_if_wild` where those that break it do so by far.
    """
    head = first_rows(block, _MOST_ROWS)
    for kind in kinds:
        columns = {n: c.numbers for n, c in head.columns.items() if c.form.kind == kind}
        varied = {n: v for n, v in list(columns.items())[:_MOST_COLUMNS] if len(np.unique(v)) >= _LEAST_SIZES}
        nearest: dict[str, tuple[float, str]] = {}
        for lower, upper in permutations(varied, 2):
            distance = _kept_distance(varied[lower], varied[upper], least, least_if_wild)
            if distance is not None and (upper not in nearest or distance < nearest[upper][0]):
                nearest[upper] = (distance, lower)
        for upper, (_, lower) in nearest.items():
            yield Below("identity", detector, (lower, upper), weight)


def _kept_distance(lower: Floats, upper: Floats, least: float, least_if_wild: float) -> float | None:
    """How far apart two columns lie in the middle, where one is hardly ever above the other, and by chance would be."""
    known = ~np.isnan(lower + upper)
    n = int(known.sum())
    if n < _LEAST_ROWS:
        return None
    one, other = lower[known], upper[known]
    kept = float((one <= other).mean())
    if not (one < other).any() or (kept < least and not (kept >= least_if_wild and _is_wild(other - one))):
        return None
    by_chance = float(np.searchsorted(np.sort(other), one, "left").mean()) / n
    return float(np.median(other - one)) if by_chance >= _LEAST_BY_CHANCE else None


def _is_wild(apart: Floats) -> bool:
    """Whether most of what lies below zero lies far below it, beside how far above all else does."""
    usual = float(np.quantile(apart[apart >= 0], _USUAL_SHARE))
    return 0 < _WILD_TIMES * usual <= float(np.median(-apart[apart < 0]))


def alone_within(
    name: str, cells: Cells, weight: float, detector: str, times: float = _TIMES_AS_FAR
) -> Iterator[Alone]:
    """What stands alone between neighbours that are alike, in a column whose neighbours are as a rule."""
    if cells.rows < _LEAST_ROWS:
        return
    if cells.form.kind == "text":
        if len(cells.uniques) >= 2 and _has_stretches(cells):
            yield Alone("outlier", detector, (name,), weight)
        return
    if cells.form.kind == "number" and (farthest := _farthest(cells.numbers, times)) is not None:
        yield Alone("outlier", detector, (name,), weight, farthest, usually_apart(cells.numbers))


def as_rough_as_any(test: Alone, parts: Sequence[Cells], times: float = _TIMES_AS_FAR) -> Alone:
    """A test of a series with the farthest that any of its batches shows: some are rougher than others."""
    each = [
        _farthest(cells.numbers, times) for cells in parts if cells.rows >= _LEAST_ROWS and cells.form.kind != "text"
    ]
    return replace(test, farthest=max([test.farthest, *(far for far in each if far is not None)]))


def _has_stretches(cells: Cells) -> bool:
    """Whether neighbours are equal as a rule, and few rows interrupt others."""
    # Beside what is missing nothing is told.
    filled = cells.codes >= 0
    pairs, triples = filled[1:] & filled[:-1], filled[2:] & filled[1:-1] & filled[:-2]
    equal = float((cells.codes[1:] == cells.codes[:-1])[pairs].mean()) if pairs.any() else 0.0
    interrupted = float(interrupting(cells.codes)[1:-1][triples].mean()) if triples.any() else 1.0
    if equal >= _LEAST_EQUAL and interrupted <= _MOST_ALONE:
        return True
    by_chance = float(((cells.counts / cells.filled) ** 2).sum())
    is_no_chance = equal - by_chance >= _LEAST_KAPPA * (1 - by_chance)
    return equal >= _LEAST_EQUAL_OF_MANY and interrupted <= _MOST_ALONE_OF_MANY and is_no_chance


def _farthest(numbers: Floats, times: float) -> float | None:
    """How far a number may lie from both neighbours in a series; None where they are not alike."""
    apart = apart_from_both(numbers)
    known, there = apart[~np.isnan(apart)], numbers[~np.isnan(numbers)]
    if len(known) < _LEAST_ROWS or len(np.unique(there)) < _LEAST_SIZES:
        return None
    low, high = np.quantile(there, (0.25, 0.75)).tolist()
    steps = np.abs(np.diff(numbers))
    if high <= low or np.nanmedian(steps) > _SERIES_PART * (high - low):
        return None
    usual = min(float(np.quantile(known, _USUAL_SHARE)), _INNER_TIMES * usually_apart(numbers))
    return max(times * usual, _LEAST_PART * (high - low))
