"""Columns that decide others: found by how well one says the other, kept as what each of its values says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from quality_assets.domain.arrays import Ints
from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import CellTest, Dependency
from quality_assets.domain.quality.datasets.values import Block, Cells

MOST_ROWS = 20_000
_MOST_COLUMNS = 40
_LEAST_GROUPED_SHARE = 0.3
# (confidence, lift, weight): what two columns must show for a breach of what one says of the other to weigh so much.
_GRADES = (
    (0.9, 0.8, weights.DEPENDENCY),
    (0.8, 0.6, weights.WEAK_DEPENDENCY),
    (0.7, 0.5, weights.FAINT_DEPENDENCY),
)


@dataclass(frozen=True)
class Pairing:
    """How well column a says column b, among rows whose value of a stands more than once.

    `confidence` is the share of rows that have the most frequent b of their a; `lift` how much of what would be
    mistaken without a it spares. `says` holds by value of a: the code of b, its rows and all rows.
    """

    confidence: float
    lift: float
    grouped_share: float
    codes: Ints
    says: Ints
    held: Ints
    second: Ints
    total: Ints

    @property
    def is_sure(self) -> np.ndarray:
        """By value of a: whether what does not agree with its most frequent b is no second habit."""
        is_rare = self.second <= np.maximum(1, 0.1 * self.total)
        return (self.total >= 3) & (self.held > 0.6 * self.total) & is_rare


def pairing(a: Cells, b: Cells) -> Pairing | None:
    """How well one column says another; None where too few rows could tell."""
    both = (a.codes >= 0) & (b.codes >= 0)
    n = int(both.sum())
    if not n:
        return None
    width = max(1, len(b.uniques))
    keys, counts = np.unique(a.codes[both] * width + b.codes[both], return_counts=True)
    deciding, decided = keys // width, keys % width
    order = np.lexsort((-counts, deciding))
    codes, first = np.unique(deciding[order], return_index=True)
    total = np.add.reduceat(counts[order], first)
    held, says = counts[order][first], decided[order][first]
    sizes = np.diff(np.append(first, len(order)))
    second = np.where(sizes > 1, counts[order][np.minimum(first + 1, len(order) - 1)], 0)
    grouped = total >= 2
    rows = int(total[grouped].sum())
    if not rows:
        return None
    base = float(np.bincount(b.codes[both]).max() / n)
    confidence = float(held[grouped].sum() / rows)
    lift = 0.0 if base == 1 else (confidence - base) / (1 - base)
    return Pairing(confidence, lift, rows / n, codes, says, held, second, total)


def is_measure(cells: Cells) -> bool:
    """Whether a column holds numbers with decimals."""
    known = cells.of_unique[~np.isnan(cells.of_unique)]
    return cells.form.kind == "number" and bool(np.any(known != np.round(known)))


def candidates(block: Block) -> list[str]:
    """The columns that may decide others or be decided: neither constant nor nearly all different."""
    names = []
    for name, cells in block.columns.items():
        repeated = len(cells.uniques) <= 0.7 * max(cells.filled, 1)
        if len(cells.uniques) >= 2 and repeated and cells.filled >= 0.2 * block.rows:
            names.append(name)
    return names[:_MOST_COLUMNS]


def dependencies_within(block: Block) -> Iterator[CellTest]:
    """What columns of one table say of each other, where a few rows break it."""
    head = first_rows(block, MOST_ROWS)
    for one, other in permutations(candidates(head), 2):
        a, b = head.columns[one], head.columns[other]
        # A value of a that stands twice decides nothing by majority: there must be groups to speak of. Measures fall
        # into groups by chance.
        if len(a.uniques) > a.filled / 2 or is_measure(a):
            continue
        found = pairing(a, b)
        if found is None or found.grouped_share < _LEAST_GROUPED_SHARE:
            continue
        weight = next((w for c, lift, w in _GRADES if found.confidence >= c and found.lift >= lift), None)
        if weight is None:
            continue
        sure = found.is_sure
        says = {a.uniques[i]: b.uniques[j] for i, j in zip(found.codes[sure], found.says[sure], strict=True)}
        if says:
            yield Dependency("dependency", "dependency", (one, other), weight, says)


def first_rows(block: Block, rows: int) -> Block:
    """The first rows of a block, which for a sample are as good as any."""
    if block.rows <= rows:
        return block
    cut = {n: Cells(c.form, c.codes[:rows], c.uniques, c.of_unique, c.has_text) for n, c in block.columns.items()}
    return Block(rows, cut)
