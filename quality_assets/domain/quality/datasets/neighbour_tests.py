"""Tests of cells beside the rows before and behind them, in columns that go on from row to row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.quality.datasets.cell_tests import CellTest
from quality_assets.domain.quality.datasets.values import Block, Cells

_INNER_SHARE = 0.6


@dataclass(frozen=True)
class Alone(CellTest):
    """Cells unlike both neighbours: numbers farther than `farthest` above, or below, both; else between equal ones."""

    farthest: float = np.inf
    usual: float = 0.0
    """So far rows usually lie from both neighbours, where `farthest` was learnt."""

    def as_rough_as(self, cells: Cells) -> Alone:
        """The same for rows that lie farther apart all together, as those of a series do at times."""
        usual = usually_apart(cells.numbers) if self.usual else 0.0
        return replace(self, farthest=self.farthest * usual / self.usual) if usual > self.usual else self

    def broken(self, block: Block) -> Bools:
        """By row."""
        cells = block.columns[self.column]
        if cells.form.kind == "text":
            return interrupting(cells.codes)
        with np.errstate(invalid="ignore"):
            return apart_from_both(cells.numbers) > self.farthest

    @property
    def words(self) -> str:
        """In words."""
        return "are unlike the rows before and behind them, which are alike"


def interrupting(codes: Ints) -> Bools:
    """By row: whether it holds another value than the one that the rows before and behind it share."""
    found = np.zeros(len(codes), bool)
    before, here, behind = codes[:-2], codes[1:-1], codes[2:]
    found[1:-1] = (before == behind) & (here != before) & (before >= 0) & (here >= 0)
    return found


def apart_from_both(numbers: Floats) -> Floats:
    """By row, how far a number lies above both neighbours, or below both; 0 between them, NaN where one is missing."""
    found = np.full(len(numbers), np.nan)
    if len(numbers) > 2:
        before, behind = numbers[1:-1] - numbers[:-2], numbers[1:-1] - numbers[2:]
        found[1:-1] = np.maximum(np.maximum(np.minimum(before, behind), np.minimum(-before, -behind)), 0.0)
    return found


def usually_apart(numbers: Floats) -> float:
    """How far six in ten rows lie at most above both neighbours, or below both: many errors do not move it."""
    apart = apart_from_both(numbers)
    known = apart[~np.isnan(apart)]
    return float(np.quantile(known, _INNER_SHARE)) if len(known) else 0.0
