"""Columns whose neighbouring rows are alike: files that are sorted, or series, where values move on together.

What n independent rows would hardly show, one step of such a column shows at once. So what stands together there is
one event and not many: a count of offenders is a count of the stretches that they form, unless they are strewn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.quality.datasets.rules import pool
from quality_assets.domain.quality.datasets.values import Block, Cells

LEAST_DEPENDENCE = 0.3
_LEAST_ROWS = 15
_MOST_BATCHES = 5
_MOST_REACH = 100
# Among so few others, how offenders stand together cannot be told.
_LEAST_OTHERS = 5
_LEAST_VARIED = 20
# A trend is of so many batches; medians of samples differ by more than so many quartile distances over √n once in 100.
_LEAST_TREND, _TREND_ERRORS = 3, 2.5
# A group of which so few rows were is a new one, and a batch is of one of which so many of its rows are.
_HARDLY, _MOST_OF = 0.02, 0.5
# So many batches that each bring another value show that it names them.
_LEAST_NAMED = 3
_PERIOD = re.compile(
    r"\d{4}[-/. ]?(?:(?:W|KW|CW|Q|H|S|P|M)[-. ]?\d{1,2}|[01]?\d)$|(?:W|KW|CW|Q|H)[-. ]?\d{1,2}[-/. ]\d{4}$", re.I
)
# So many of the stretches that offenders would form by chance are enough for them to be strewn.
_STREWN_SHARE = 0.5


@dataclass(frozen=True)
class Ordering:
    """By column, how alike neighbouring rows are in past batches, to 1: their values, and whether they are missing."""

    values: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, float] = field(default_factory=dict)
    few: frozenset[str] = frozenset()
    """The columns that hold so few values that the next one may well be new."""
    trends: Mapping[str, float] = field(default_factory=dict)
    """By column of numbers that rose, or fell, in each step from batch to batch: by how much from first to last."""
    labels: frozenset[str] = frozenset()
    """The columns that name batches: what held, held from one of their values to the next."""
    settled: frozenset[str] = frozenset()
    """The columns that held the same few values in each batch, so that none goes on to others."""
    untold: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The values of the columns that are the same in nearly all rows, and so show no order."""

    def independent_share(self, column: str) -> float:
        """How many independent rows a row of a column is worth: (1 − r) / (1 + r) at a correlation r of neighbours."""
        return _independent(self.values.get(column, 0.0))

    @property
    def is_wandering(self) -> bool:
        """Whether rows come in groups: a column of few values is ordered, so that the next batch may be of others."""
        return not self.values.keys().isdisjoint(self.few - self.labels - self.settled)

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
    values, missing, untold = {}, {}, {}
    every = pool(recent)
    for name, cells in every.columns.items():
        # Within batches, and from one to the next: a day may be the same all through each.
        within = [_dependence(block.columns[name]) for block in recent]
        values[name] = max(float(np.median(within)), _dependence(cells))
        if _differing(cells) < _LEAST_OTHERS:
            untold[name] = frozenset(cells.uniques)
        missing[name] = _agreement(cells.missing.astype(np.int64))
    few = frozenset(name for name, cells in every.columns.items() if len(cells.uniques) < _LEAST_VARIED)
    trends = {name: trend for name in every.columns if (trend := _trend([b.columns[name] for b in recent]))}
    labels = frozenset(name for name in few if _is_label([block.columns[name] for block in recent]))
    settled = frozenset(name for name in few if _is_settled([block.columns[name] for block in recent]))
    return Ordering(_only_ordered(values), _only_ordered(missing), few, trends, labels, settled, untold)


def _trend(parts: Sequence[Cells]) -> float:
    """How far the middle of a column of numbers has gone where it went one way in each step, farther than by chance."""
    known = [cells.numbers[~np.isnan(cells.numbers)] for cells in parts if cells.form.kind == "number"]
    if len(known) < _LEAST_TREND or min(map(len, known)) < _LEAST_ROWS:
        return 0.0
    middles = [float(np.median(numbers)) for numbers in known]
    steps = np.diff(middles)
    if not ((steps >= 0).all() or (steps <= 0).all()) or (steps != 0).sum() < _LEAST_TREND - 1:
        return 0.0
    # The quartiles part the first from the last: by chance medians lie far closer.
    spread = max(float(np.subtract(*np.quantile(numbers, (0.75, 0.25)))) for numbers in (known[0], known[-1]))
    by_chance = _TREND_ERRORS * spread / np.sqrt(min(map(len, known)))
    gone = middles[-1] - middles[0]
    return gone if abs(gone) > by_chance else 0.0


def shown_by(now: Block, past: Ordering) -> Ordering:
    """The order of past batches, and that of the one that is judged where what was nearly the same all through those
    could show none.
    """
    told = {
        name: max(past.values.get(name, 0.0), _dependence_now(now.columns[name], before))
        for name, before in past.untold.items()
        if name in now.columns
    }
    return replace(past, values={**past.values, **_only_ordered(told)})


def _only_ordered(found: Mapping[str, float]) -> dict[str, float]:
    return {name: r for name, r in found.items() if r >= LEAST_DEPENDENCE}


def is_new_group(now: Block, ordering: Ordering, recent: Sequence[Block]) -> bool:
    """Whether most rows of a batch are of a group that hardly a row of the last ones was of: an ordered column, which
    held a few values, holds others there. Then all else may be as that group is.
    """
    for name in (ordering.values.keys() & ordering.few & now.columns.keys()) - ordering.labels - ordering.settled:
        before = [block.columns[name] for block in recent[-_MOST_BATCHES:] if name in block.columns]
        if _is_other(now.columns[name], before):
            return True
    return False


def _is_label(parts: Sequence[Cells]) -> bool:
    """Whether a column names the batch: a month, a file. It is the same all through each, and another in each; or it is
    a date, or a week, month or quarter of a year, which several batches have before it goes on.
    """
    values = [cells.uniques[0] for cells in parts if len(cells.uniques) == 1]
    if not len(values) == len(parts) >= _LEAST_NAMED:
        return False
    is_period = all(cells.form.has_date or _PERIOD.match(value) for cells, value in zip(parts, values, strict=True))
    return is_period or len({*values}) == len(values)


def _is_settled(parts: Sequence[Cells]) -> bool:
    """Whether a column of texts held the same values, two or more, in each of several batches."""
    held = {frozenset(cells.uniques) for cells in parts}
    return len(parts) >= _LEAST_NAMED and len(held) == 1 and len(next(iter(held))) > 1 and parts[0].form.kind == "text"


def _is_other(now: Cells, before: Sequence[Cells]) -> bool:
    """Whether most rows hold values that hardly one held before, but for their capitals."""
    counts: Counter[str] = Counter()
    for cells in before:
        for value, count in zip(cells.uniques, cells.counts.tolist(), strict=True):
            counts[value.casefold()] += count
    known = {value for value, count in counts.items() if count > _HARDLY * counts.total()}
    fresh = sum(n for v, n in zip(now.uniques, now.counts.tolist(), strict=True) if v.casefold() not in known)
    return bool(known) and fresh > _MOST_OF * now.filled


def _differing(cells: Cells) -> int:
    """How many rows hold another value than the most frequent one."""
    return cells.filled - int(cells.counts.max(initial=0))


def _dependence_now(now: Cells, before: frozenset[str]) -> float:
    """How a batch is ordered that is the first to show it; one that holds nothing but one new value is one stretch."""
    if len(now.uniques) == 1:
        return float(now.uniques[0] not in before)
    return _dependence(now)


def _dependence(cells: Cells) -> float:
    filled = cells.codes >= 0
    alike = _agreement(cells.codes[filled])
    known = cells.numbers[filled] if cells.form.kind != "text" else np.empty(0)
    known = known[~np.isnan(known)]
    if len(known) < _LEAST_ROWS or known.min() == known.max():
        return alike
    ranks = _ranks(known)
    if ranks[:-1].std() == 0 or ranks[1:].std() == 0:
        return alike
    return max(alike, float(np.corrcoef(ranks[:-1], ranks[1:])[0, 1]))


def _ranks(values: Floats) -> Floats:
    """The rank of each value; equal ones share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


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
