"""Columns that decide others: found by how well one says the other, kept as what each of its values says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np

from quality_assets.domain.arrays import Bools, Ints
from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import CellTest, Dependency
from quality_assets.domain.quality.datasets.values import Block, Cells

MOST_ROWS = 20_000
_MOST_COLUMNS = 40
_LEAST_GROUPED_SHARE = 0.3
# (confidence, lift) of two columns for a breach of what one says of the other to be doubted: surely, hardly, and from
# where on hardly.
_SURE, _WEAK, _FAINT = (0.9, 0.8), (0.8, 0.6), (0.7, 0.5)
# Where exceptions are strewn evenly over some groups, as errors are: what is expected of their scatter. A second value
# of larger groups is then no habit either.
_LEAST_GROUPS, _SIGMAS, _LARGE_GROUP = 3, 2.0, 10
# The same of so many groups of three and more, with so many rows in all, where more is told.
_EVEN_OF_SOME, _SOME_GROUPS, _SOME_ROWS = (0.6, 0.6), 5, 40
# The same where the groups of so many rows show it: by so much (the natural logarithm of how many times as likely)
# errors at one rate explain them better than habits of their own, and than columns that say nothing of each other; up
# to such a share of errors, and not where hardly more is told than without a.
_TOLD_APART, _ROWS_THAT_TELL, _MOST_ODD, _LEAST_TOLD_APART = 2.3, 5, 0.35, 0.3
# The same of all rows, and of those rows whose value some group has for its own, of which one is not nearly all.
_LEAST_OF_ALL, _SURE_OF_SAID, _MOST_OF_ONE = (0.85, 0.5), (0.97, 0.9), 0.85
# The same where nearly all that is none's own stands in several groups each: what stands in one is of that group.
_LEAST_IF_STREWN, _LEAST_STREWN, _STREWN_GROUPS = (0.6, 0.2), 0.8, 3
_LED, _LED_IF_EVEN, _LEAST_LED = 0.6, 0.5, 3


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
    base: float
    pairs: tuple[Ints, Ints, Ints]
    """The code of a, the code of b and the rows of each two that stand together."""

    @property
    def is_sure(self) -> Bools:
        """By value of a: whether what does not agree with its most frequent b is no second habit."""
        is_rare = self.second <= np.maximum(1, 0.1 * self.total)
        if self.is_told_by_said and self._is_strewn:
            rows = self._said_rows
            is_rare |= rows - self.held <= np.maximum(1, 0.1 * rows)
        if self.is_even:
            odd = (1 - self.confidence) * self.total
            is_rare |= (self.total >= _LARGE_GROUP) & (self.second <= odd + _SIGMAS * np.sqrt(odd))
        return self._is_led & is_rare

    @property
    def _is_led(self) -> Bools:
        """By value of a: whether most of its rows agree, and it has rows to speak of."""
        return (self.total >= _LEAST_LED) & (self.held > (_LED_IF_EVEN if self.is_even else _LED) * self.total)

    @cached_property
    def is_even(self) -> bool:
        """Whether exceptions are strewn over the values of a as by chance, not heaped in some (Pearson, χ² / df)."""
        grouped = self.total >= 2
        total, odd = self.total[grouped].astype(float), (self.total - self.held)[grouped]
        share = odd.sum() / total.sum()
        if len(total) < _LEAST_GROUPS or not 0 < share < 1:
            return False
        freedom = len(total) - 1
        scatter = ((odd - total * share) ** 2 / (total * share * (1 - share))).sum() / freedom
        return bool(scatter <= 1 + _SIGMAS * np.sqrt(2 / freedom))

    @property
    def told_by_others(self) -> tuple[float, float]:
        """Confidence and lift where each row is told by the other rows of its a, of those a that stand three times.

        In small groups most rows agree by chance with the most frequent of a group that they are of themselves.
        """
        is_large = self.total >= _LEAST_LED
        total, held, second = self.total[is_large], self.held[is_large], self.second[is_large]
        if not len(total) or self.base == 1:
            return 0.0, 0.0
        told = held * ((held - 1 > second) + 0.5 * (held - 1 == second))
        confidence = float(told.sum() / total.sum())
        return confidence, (confidence - self.base) / (1 - self.base)

    @cached_property
    def _is_said(self) -> Bools:
        """By pair: whether its b is the most frequent one of some a."""
        return np.isin(self.pairs[1], self.says[self._is_led])

    @property
    def _said_rows(self) -> Ints:
        """By value of a: the rows whose b is the most frequent one of some a."""
        deciding, _, counts = self.pairs
        said = self._is_said
        places = np.searchsorted(self.codes, deciding[said])
        return np.bincount(places, counts[said], minlength=len(self.codes)).astype(np.int64)

    @cached_property
    def is_told_by_said(self) -> bool:
        """Whether b hangs on a but for values that no a has for its own: these are errors, however many they are."""
        own = (self.confidence, self.lift)
        is_likely = _reaches(own, _LEAST_OF_ALL) or (_reaches(own, _LEAST_IF_STREWN) and self._is_strewn)
        return is_likely and _reaches(self.among_said, _SURE_OF_SAID)

    @cached_property
    def _is_strewn(self) -> bool:
        """Whether what no a has for its own stands in several a."""
        _, decided, counts = self.pairs
        unsaid = ~self._is_said
        groups, rows = np.bincount(decided[unsaid]), np.bincount(decided[unsaid], counts[unsaid])
        return bool(rows[groups >= _STREWN_GROUPS].sum() >= _LEAST_STREWN * rows.sum() > 0)

    @property
    def among_said(self) -> tuple[float, float]:
        """Confidence and lift among the rows whose b is the most frequent one of some a: what none says is an error."""
        deciding, decided, counts = self.pairs
        said = self._is_said
        grouped = said & np.isin(deciding, self.codes[self.total >= 2])
        of_b = np.bincount(decided[said], counts[said])
        if not grouped.any() or np.count_nonzero(of_b) < 2:
            return 0.0, 0.0
        most = float(of_b.max() / of_b.sum())
        held = self.held[(self.total >= 2) & np.isin(self.says, decided[said])]
        confidence = float(held.sum() / counts[grouped].sum())
        return confidence, (confidence - most) / (1 - most) if most <= _MOST_OF_ONE else 0.0

    @property
    def weight(self) -> float:
        """How sure a breach is: a rule that is broken more often is still one, as long as it is broken as by errors."""
        own = (self.confidence, self.lift)
        if _reaches(own, _SURE) or self.is_told_by_said:
            return weights.DEPENDENCY
        if self.is_even and (self._is_clear_of_some or self._has_one_rate):
            return weights.DEPENDENCY
        # From nothing on, so that what is nearly none does not come and go.
        parts = [(x - low) / (high - low) for x, low, high in zip(own, _FAINT, _WEAK, strict=True)]
        return weights.WEAK_DEPENDENCY * float(np.prod(np.clip(parts, 0, 1))) ** 2

    @property
    def _is_clear_of_some(self) -> bool:
        """Whether several groups with rows to speak of are each told so well that errors in them show."""
        is_large = self.total >= _LEAST_LED
        is_enough = is_large.sum() >= _SOME_GROUPS and self.total[is_large].sum() >= _SOME_ROWS
        is_told = all(_reaches(shown, _EVEN_OF_SOME) for shown in ((self.confidence, self.lift), self.told_by_others))
        return bool(is_enough and is_told)

    @property
    def _has_one_rate(self) -> bool:
        """Whether errors at one rate in all groups are what explains them: far better than a share of exceptions that
        each group has by nature, any being as likely, and than columns that say nothing of each other.

        A few groups, or small ones, tell nothing by it, and so does a second column of hardly more than one value.
        """
        tells = self.total >= _ROWS_THAT_TELL
        n, held = self.total[tells].astype(float), self.held[tells].astype(float)
        odd = n - held
        share = float(odd.sum() / max(n.sum(), 1.0))
        if self.lift < _LEAST_TOLD_APART or not 0 < share <= _MOST_ODD:
            return False
        deciding, decided, counts = self.pairs
        of_b = np.bincount(decided, counts)
        values, base = int(np.count_nonzero(of_b)), of_b / of_b.sum()
        log_factorial = np.append(0.0, np.cumsum(np.log(np.arange(1, n.max() + 1))))
        ways = log_factorial[self.total[tells]] - log_factorial[self.held[tells]] - log_factorial[odd.astype(int)]
        errors = ways + odd * np.log(share) + held * np.log(1 - share)
        if values == 2:
            # Most of a group may be wrong by chance: the other one of two is then its most frequent.
            wrong = ways + held * np.log(share) + odd * np.log(1 - share)
            errors = np.where(odd == held, errors, np.logaddexp(errors, wrong))
        # By nature a group has up to half its rows otherwise, any number as likely; the rate of errors was fitted.
        by_nature = -np.log(n // 2 + 1)
        if (errors - by_nature).sum() - np.log(n.sum()) / 2 < _TOLD_APART:
            return False
        places = np.searchsorted(self.codes, deciding)
        asked = tells[places]
        of, said, rows = decided[asked], self.says[places[asked]], counts[asked]
        under_rule = np.where(of == said, 1 - share, share * base[of] / np.maximum(1 - base[said], 1e-12))
        # What each group says was chosen among all values.
        told = float((rows * np.log(under_rule / base[of])).sum()) - len(n) * np.log(values)
        return told >= _TOLD_APART


def _reaches(shown: tuple[float, float], least: tuple[float, float]) -> bool:
    return shown[0] >= least[0] and shown[1] >= least[1]


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
    pairs = (deciding, decided, counts)
    return Pairing(confidence, lift, rows / n, codes, says, held, second, total, base, pairs)


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


def dependencies_within(block: Block, near: Block | None = None) -> Iterator[CellTest]:
    """What columns of one table say of each other, where a few rows break it.

    `near` are the same rows without what is surely wrong by itself: many such cells hide what the others say.
    """
    near = near or block
    head, rest = first_rows(block, MOST_ROWS), first_rows(near, MOST_ROWS)
    cleared = {name for name, cells in near.columns.items() if cells is not block.columns[name]}
    found: dict[tuple[str, str], tuple[float, dict[str, str]]] = {}
    for one, other in permutations(candidates(head), 2):
        weight, says = _told(head, one, other)
        if not cleared.isdisjoint((one, other)):
            cleared_weight, further = _told(rest, one, other)
            left = set(rest.columns[other].uniques)
            says = {value: said for value, said in says.items() if said in left} | further
            weight = max(weight, cleared_weight)
        if says:
            found[one, other] = weight, says
    for (one, other), (weight, says) in found.items():
        # Of two that decide each other one is wrong where they do not agree: half a doubt each.
        is_mutual = min(weight, found.get((other, one), (0.0,))[0]) == weights.DEPENDENCY
        yield Dependency("dependency", "dependency", (one, other), weight / 2 if is_mutual else weight, says)


def _told(head: Block, one: str, other: str) -> tuple[float, dict[str, str]]:
    """How sure a column says another one, and what each of its values says that speaks for itself."""
    a, b = head.columns[one], head.columns[other]
    # A value of a that stands twice decides nothing by majority: there must be groups to speak of. Measures fall into
    # groups by chance.
    if len(a.uniques) > a.filled / 2 or is_measure(a):
        return 0.0, {}
    found = pairing(a, b)
    if found is None or found.grouped_share < _LEAST_GROUPED_SHARE or not (weight := found.weight):
        return 0.0, {}
    sure = found.is_sure
    return weight, {a.uniques[i]: b.uniques[j] for i, j in zip(found.codes[sure], found.says[sure], strict=True)}


def first_rows(block: Block, rows: int) -> Block:
    """The first rows of a block, which for a sample are as good as any."""
    if block.rows <= rows:
        return block
    cut = {n: Cells(c.form, c.codes[:rows], c.uniques, c.of_unique, c.has_text) for n, c in block.columns.items()}
    return Block(rows, cut)
