"""Cells that stand in another column: of two neighbouring columns changed about, or of rows that stand one column off.

One such cell may be chance. A row is doubted where two of its cells are at home in the column that they would come
from, and hardly a row has but one of them: by chance, of few such cells hardly two would meet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np

from quality_assets.domain.arrays import Bools, Ints
from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import CellTest
from quality_assets.domain.quality.datasets.dependencies import first_rows
from quality_assets.domain.quality.datasets.values import Block, Cells, ColumnForm, numbers_of

_MOST_COLUMNS, _MOST_ROWS = 60, 5_000
# Numbers of two columns are told apart by where they lie, by texts of which each stands so often, and else by form.
_MOST_BINS, _LEAST_BINS, _FREQUENT = 24, 5, 5
_LEAST_PLACES = 3
# A place is the source's where so many times as many of its cells are there, and so many at least. Half as many where a
# quarter of the rows is moved, more where few are: the first by which most is found counts.
_TIMES, _LEAST_AT_HOME = (1.5, 3.0, 6.0), 3
# Of the cells of a column that are at home in another so many are in rows that moved, and no more rows than these are.
_TOGETHER, _MOST_MOVED = 0.5, 0.35
# Such columns tell, by so many cells of which another one would be known; of those a moved row has so many, and two.
_TELLING, _OF_ROW, _LEAST_TOGETHER, _MOST_TELLING = 0.2, 0.5, 2, 8


@dataclass(frozen=True, eq=False)
class _Bins:
    """Numbers, or times, by between which of some ends they lie."""

    ends: tuple[float, ...]

    def of(self, cells: Cells) -> Ints:
        """By row, the place of its cell; -1 where it has none."""
        return np.where(np.isnan(cells.numbers), -1, np.searchsorted(self.ends, cells.numbers))


@dataclass(frozen=True, eq=False)
class _Read:
    """Values by whether they can be read in a form."""

    form: ColumnForm

    def of(self, cells: Cells) -> Ints:
        """By row, the place of its cell; -1 where it has none."""
        read = cells.of_unique if cells.form == self.form else numbers_of(cells.uniques, self.form)
        return cells.by_row(np.isnan(read).astype(np.int64), -1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Texts:
    """Texts by what they are where that is frequent, and else by how they are written."""

    values: Mapping[str, int]
    shapes: Mapping[str, int]

    def of(self, cells: Cells) -> Ints:
        """By row, the place of its cell; -1 where it has none."""
        told = [
            self.values.get(value, self.shapes.get(shape, -1))
            for value, shape in zip(cells.uniques, cells.loose_shapes, strict=True)
        ]
        return cells.by_row(np.array(told, np.int64), -1).astype(np.int64)


_Places = _Bins | _Read | _Texts


@dataclass(frozen=True)
class Arrow:
    """Cells of the column `target` that are at home in the column `source`: those in places that are the source's."""

    source: str
    target: str
    places: _Places
    own: tuple[int, ...]

    def broken(self, block: Block) -> Bools:
        """By row of the block: whether its cell of the target is at home in the source."""
        return np.isin(self.places.of(block.columns[self.target]), self.own)


@dataclass(frozen=True)
class Moved(CellTest):
    """Cells at home in another column, in rows that have `least` such cells by the arrows of `row`."""

    arrow: Arrow
    row: tuple[Arrow, ...]
    least: int

    def applies(self, block: Block) -> bool:
        """Whether the block has all columns that it looks at."""
        return super().applies(block) and all(a.source in block.columns and a.target in block.columns for a in self.row)

    def broken(self, block: Block) -> Bools:
        """By row."""
        moved = np.sum([each.broken(block) for each in self.row], axis=0) >= self.least
        return moved & self.arrow.broken(block)

    @property
    def words(self) -> str:
        """In words."""
        source = self.columns[0]
        if self.detector == "swapped":
            return f"have changed places with those of {source}, it seems: each would be usual in the other column"
        return f"would be usual in {source}: their rows stand one column off, it seems"


@dataclass(frozen=True)
class _Shown:
    """What a table shows of an arrow: by row whether it tells its cell, and of how much of the source it would."""

    arrow: Arrow
    broken: Bools
    tells: float


def moved_within(block: Block) -> Iterator[Moved]:
    """The cells of neighbouring columns that changed places, and of rows that stand one column off to either side."""
    head = first_rows(block, _MOST_ROWS)
    pairs = [_shown(head, one, other) for one, other in pairwise(list(head.columns)[:_MOST_COLUMNS])]
    told = [pair for pair in pairs if pair]
    for onward, back in told:
        yield from _most("swapped", head.rows, [onward, back])
    for way in (0, 1):
        yield from _most("shifted", head.rows, [pair[way] for pair in told])


def _shown(head: Block, one: str, other: str) -> tuple[list[_Shown], list[_Shown]] | None:
    """What of each of two columns is at home in the other, more and more surely; None where their cells are alike."""
    columns = head.columns[one], head.columns[other]
    if not all(cells.filled for cells in columns):
        return None
    places, least = _places(*columns)
    here, there = (places.of(cells) for cells in columns)
    count = 1 + max(int(here.max()), int(there.max()))
    if count < least:
        return None
    held = [np.bincount(codes[codes >= 0], minlength=count) for codes in (here, there)]

    def arrows(source: int, names: tuple[str, str], codes: Ints) -> list[_Shown]:
        found = []
        for times in _TIMES:
            own = (held[source] >= times * held[1 - source]) & (held[source] >= _LEAST_AT_HOME)
            arrow = Arrow(*names, places, tuple(np.flatnonzero(own).tolist()))
            tells = float(held[source][own].sum() / columns[source].filled)
            found.append(_Shown(arrow, own[codes] & (codes >= 0), tells))
        return found

    return arrows(0, (one, other), there), arrows(1, (other, one), here)


def _places(one: Cells, other: Cells) -> tuple[_Places, int]:
    """By what the cells of two columns are told apart, and how many places there must be for it."""
    if one.form.kind != other.form.kind:
        is_ones = one.form.kind == "time" or other.form.kind == "text"
        return _Read(one.form if is_ones else other.form), 2
    if one.form.kind == "text":
        held: Counter[str] = Counter()
        for cells in (one, other):
            held.update(dict(zip(cells.uniques, cells.counts.tolist(), strict=True)))
        frequent = [value for value, count in held.items() if count >= _FREQUENT]
        values = {value: place for place, value in enumerate(frequent)}
        shapes = dict.fromkeys([*one.loose_shapes, *other.loose_shapes])
        return _Texts(values, {shape: len(values) + place for place, shape in enumerate(shapes)}), _LEAST_PLACES
    every = np.concatenate([one.numbers, other.numbers])
    bins = int(np.clip(np.sqrt(one.rows), _LEAST_BINS + 1, _MOST_BINS))
    stretches = np.array_split(np.sort(every[~np.isnan(every)]), bins)
    # Each ends at its widest gap, so that what lies apart is in no bin with what is near.
    ends = {float(each[np.argmax(np.diff(each))]) for each in stretches if len(each) > 1}
    return _Bins(tuple(sorted(ends))), _LEAST_BINS


def _most(detector: str, rows: int, arrows: Sequence[Sequence[_Shown]]) -> Iterator[Moved]:
    """The tests of one grade by which most cells are found to have moved together."""
    grades = [_together(detector, rows, each) for each in zip(*arrows, strict=True)]
    best = max(grades, key=lambda grade: sum(count for _, count in grade), default=[])
    yield from (test for test, _ in best)


def _together(detector: str, rows: int, arrows: Sequence[_Shown]) -> list[tuple[Moved, int]]:
    """The tests of cells that moved together, and how many: of the columns that tell, by much of which another one
    would be known.
    """
    telling = sorted((shown for shown in arrows if shown.tells >= _TELLING), key=lambda shown: -shown.tells)
    row = tuple(shown.arrow for shown in telling[:_MOST_TELLING])
    least = max(2, ceil(_OF_ROW * len(row)))
    each = np.array([shown.broken for shown in telling])
    moved = each[: len(row)].sum(axis=0) >= least
    if len(row) < least or moved.sum() > _MOST_MOVED * rows:
        return []
    counts = (each & moved).sum(axis=1)
    is_together = (counts > 0) & (counts >= _TOGETHER * each.sum(axis=1))
    found = []
    for shown, count in zip(telling, np.where(is_together, counts, 0).tolist(), strict=True):
        if count:
            columns = (shown.arrow.source, shown.arrow.target)
            found.append((Moved("identity", detector, columns, weights.MOVED, shown.arrow, row, least), count))
    return found if len(found) >= _LEAST_TOGETHER else []
