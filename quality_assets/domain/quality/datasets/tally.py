"""How often each test is broken, and together with which others: added up block by block, so that memory is bounded."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from quality_assets.domain.quality.datasets.cell_tests import CellTest
from quality_assets.domain.quality.datasets.ordering import Ordering, reach, stretches
from quality_assets.domain.quality.datasets.values import Block

MOST_EXAMPLES = 5
# Bits of a signed integer of 64.
_MOST_TESTS = 62
_IN_GROUPS = 0.5
# What a column breaks by holding another value, which one that always held the same does not come to by going on.
_OF_VALUES = ("closed_set", "format", "typo")


@dataclass
class Tally:
    """What was counted so far.

    `broken` and `examples` are by the place of a test among `tests`, `missing`, `filled` by column. `together` counts,
    by column, the cells that break the same tests: a bit each, in the order of the column's tests. `events` and
    `missing_events` count once what stands together in a column that is ordered.
    """

    tests: Sequence[CellTest]
    ordering: Ordering = field(default_factory=Ordering)
    most_examples: int = MOST_EXAMPLES
    rows: int = 0
    broken: Counter[int] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)
    together: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    examples: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    events: Counter[int] = field(default_factory=Counter)
    missing_events: Counter[str] = field(default_factory=Counter)
    spans: dict[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def by_column(self) -> Mapping[str, list[int]]:
        """The places of the tests of each column, the surest first, as many as are counted together."""
        places: dict[str, list[int]] = defaultdict(list)
        for place in sorted(range(len(self.tests)), key=lambda i: -self.tests[i].weight):
            if len(places[self.tests[place].column]) < _MOST_TESTS:
                places[self.tests[place].column].append(place)
        return places

    def add(self, block: Block, clock: str | None = None) -> None:
        """Count the rows of a block; `clock` is a column of times, by which the breaches are dated."""
        self.rows += block.rows
        for name, cells in block.columns.items():
            count = int(cells.missing.sum())
            self.missing[name] += count
            # Where rows come in groups, a group may lack what others have.
            together = self.ordering.missing.get(name, _IN_GROUPS if self.ordering.is_wandering else None)
            self.missing_events[name] += _events(cells.missing, count, together if count < 0.9 * block.rows else None)
            self.filled[name] += cells.filled
        times = block.columns[clock].instants if clock is not None and clock in block.columns else None
        for name, places in self.by_column.items():
            if name not in block.columns:
                continue
            bits = np.zeros(block.rows, np.int64)
            for bit, place in enumerate(places):
                if self.tests[place].applies(block):
                    self._count(place, block, bits, bit, times)
            values, counts = np.unique(bits[bits > 0], return_counts=True)
            self.together[name].update(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def _count(self, place: int, block: Block, bits: np.ndarray, bit: int, times: np.ndarray | None) -> None:
        test = self.tests[place]
        offending = test.broken(block)
        count = int(offending.sum())
        if not count:
            return
        self.broken[place] += count
        is_varied = test.column not in self.ordering.few
        counts_cells = test.counts_cells(count, block.columns[test.column], is_varied)
        is_settled = test.column in self.ordering.settled and test.kind in _OF_VALUES
        r = None if counts_cells or is_settled else self.ordering.values.get(test.column)
        changes = test.changes(block, offending)
        changed = int(changes.sum())
        events = _events(changes, changed, r)
        if events < changed and block.columns[test.column].form.kind == "text":
            # A value that comes again in an ordered column is the same event.
            events = min(events, len(np.unique(block.columns[test.column].codes[changes])))
        self.events[place] += events
        bits |= offending.astype(np.int64) << bit
        if len(self.examples[place]) < self.most_examples:
            self.examples[place] += block.columns[test.column].distinct_texts(offending)[: self.most_examples]
        if times is not None:
            known = times[offending & ~np.isnan(times)]
            if len(known):
                first, last = self.spans.get(place, (np.inf, -np.inf))
                self.spans[place] = (min(first, float(known.min())), max(last, float(known.max())))

    def doubt(self, weights: Mapping[int, float]) -> dict[str, float]:
        """By column, the sum over its cells of the largest weight, by the place of a test, of what flags them."""
        found = {}
        for name, places in self.by_column.items():
            total = 0.0
            for count, flagged in self._flagged(name, places, weights):
                total += count * max(weights[place] for place in flagged)
            found[name] = total
        return found

    def layered_doubt(self, weights: Mapping[int, float], few: Callable[[int, float], float]) -> dict[str, float]:
        """As `doubt`, where the first cells that a test flags count more than further ones.

        `few` says how much so many cells that the test of a place flags count. The cells of a column are one row, the
        surest first, and each counts as the one at its place in it: were each test to count its own cells, one that
        flags more would count those less that another flags as well, and more errors could be doubted less.
        """
        found = {}
        for name, places in self.by_column.items():
            cells = [
                (max(weights[place] for place in flagged), count, flagged)
                for count, flagged in self._flagged(name, places, weights)
            ]
            total, before = 0.0, 0
            for _, count, flagged in sorted(cells, reverse=True):
                total += max(weights[p] * (few(p, before + count) - few(p, before)) for p in flagged)
                before += count
            found[name] = total
        return found

    def _flagged(
        self, name: str, places: Sequence[int], weights: Mapping[int, float]
    ) -> Iterator[tuple[int, list[int]]]:
        """Of a column, how many cells are flagged by which tests together, of those that have a weight."""
        for bits, count in self.together.get(name, {}).items():
            if flagged := [place for bit, place in enumerate(places) if bits >> bit & 1 and place in weights]:
                yield count, flagged


def _events(offending: np.ndarray, count: int, dependence: float | None) -> int:
    return count if dependence is None or not count else stretches(offending, reach(dependence))
