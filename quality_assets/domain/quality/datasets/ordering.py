"""Columns whose neighbouring rows are alike: files that are sorted, or series, where values move on together.

What n independent rows would hardly show, one step of such a column shows at once. So what stands together there is
one event and not many: a count of offenders is a count of the stretches that they form, unless they are strewn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from quality_assets.domain.arrays import Bools
from quality_assets.domain.quality.datasets.rules import pool
from quality_assets.domain.quality.datasets.values import Block, Cells

LEAST_DEPENDENCE = 0.3
_LEAST_ROWS = 15
_MOST_BATCHES = 5
_MOST_REACH = 100
# Among so few others, how offenders stand together cannot be told.
_LEAST_OTHERS = 5
# So many of the stretches that offenders would form by chance are enough for them to be strewn.
_STREWN_SHARE = 0.5


@dataclass(frozen=True)
class Ordering:
    """By column, how alike neighbouring rows are in past batches, to 1: their values, and whether they are missing."""

    values: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, float] = field(default_factory=dict)

    def independent_share(self, column: str) -> float:
        """How many independent rows a row of a column is worth: (1 − r) / (1 + r) at a correlation r of neighbours."""
        return _independent(self.values.get(column, 0.0))

    def independent_missing(self, column: str) -> float:
        """The same of whether its cells are missing."""
        return _independent(self.missing.get(column, 0.0))


def _independent(r: float) -> float:
    r = min(r, 0.99)
    return (1 - r) / (1 + r)


def ordering_of(blocks: Sequence[Block]) -> Ordering:
    """The columns that are ordered in the last of some batches; none where there are fewer than two."""
    recent = [block for block in blocks[-_MOST_BATCHES:] if block.rows >= _LEAST_ROWS]
    if len(recent) < 2:
        return Ordering()
    values, missing = {}, {}
    every = pool(recent)
    for name, cells in every.columns.items():
        # Within batches, and from one to the next: a day may be the same all through each.
        within = [_dependence(block.columns[name]) for block in recent]
        values[name] = max(float(np.median(within)), _dependence(cells))
        missing[name] = _agreement(cells.missing.astype(np.int64))
    return Ordering(_only_ordered(values), _only_ordered(missing))


def _only_ordered(found: Mapping[str, float]) -> dict[str, float]:
    return {name: r for name, r in found.items() if r >= LEAST_DEPENDENCE}


def _dependence(cells: Cells) -> float:
    filled = cells.codes >= 0
    alike = _agreement(cells.codes[filled])
    known = cells.numbers[filled] if cells.form.kind != "text" else np.empty(0)
    known = known[~np.isnan(known)]
    if len(known) < _LEAST_ROWS or known.min() == known.max():
        return alike
    # Every command loads this module, and hardly any ranks: the import takes a third of a second.
    from scipy.stats import rankdata

    ranks = rankdata(known)
    if ranks[:-1].std() == 0 or ranks[1:].std() == 0:
        return alike
    return max(alike, float(np.corrcoef(ranks[:-1], ranks[1:])[0, 1]))


def _agreement(codes: np.ndarray) -> float:
    """How much more often neighbours are equal than any two rows are (Cohen's kappa); 0 for a constant."""
    if len(codes) < _LEAST_ROWS:
        return 0.0
    shares = np.bincount(codes) / len(codes)
    by_chance = float((shares**2).sum())
    equal = float((codes[1:] == codes[:-1]).mean())
    return (equal - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


def reach(dependence: float) -> int:
    """How many rows on a column still remembers."""
    return min(_MOST_REACH, ceil(1 / max(1 - dependence, 1e-9)))


def stretches(offending: Bools, within: int) -> int:
    """How many stretches some rows form, where those at most so many rows apart are of one; as many as there are rows
    where they are strewn.
    """
    places = np.flatnonzero(offending)
    count, n = len(places), len(offending)
    gaps = np.diff(places)
    runs = 1 + int((gaps > 1).sum()) if count else 0
    if runs >= _STREWN_SHARE * count * (1 - count / max(n, 1)) and n - count >= _LEAST_OTHERS:
        return count
    return 1 + int((gaps > within).sum()) if count else 0
