"""Rules that past batches teach, and which of them are alive.

A rule learnt within one batch breaks on the next where keys, dates and counters move on. So each kind of rule is learnt
from the batches before one, tried on that one, and is alive only where it held in each of the last few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise

import numpy as np

from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.beside import alone_within, as_rough_as_any, orders_within
from quality_assets.domain.quality.datasets.cell_tests import (
    CellTest,
    Dependency,
    Heaped,
    NotAmong,
    OddCharacters,
    OddShape,
    OutsideRange,
    TooManyDecimals,
    Typo,
    WrongType,
    signs,
)
from quality_assets.domain.quality.datasets.dependencies import candidates, pairing
from quality_assets.domain.quality.datasets.detectors import MOST_DECIMALS
from quality_assets.domain.quality.datasets.identities import LEAST_DOUBTING, identities_within, ratios_kept
from quality_assets.domain.quality.datasets.tails import margin
from quality_assets.domain.quality.datasets.values import Block, Cells, exact_shape, loose_shape
from quality_assets.domain.quality.datasets.written import known_forms_kept, lengths_kept, written_otherwise

LEAST_PAST = 2
"""Fewer past batches teach nothing that could be tried on one of them."""
MOST_HELD_OUT = 3
MOST_BROKEN_SHARE = 0.004
# What gave way at once in one of the last steps moves on, however well it held since.
_MOST_STEPS, _GAVE_WAY_SHARE = 5, 0.05
_LEAST_SURPRISE, _SURPRISING_SHARE = 3, 0.025
_LEAST_CELLS = 15
# How far beyond its ends, in widths of its range, a column may wander within one batch.
_WANDERED = 1.0
# So many times as far as rows usually lie from both neighbours, one is alone.
_TIMES_AS_FAR = 6.0
_MOST_HEAPED = 0.05
# The share of values never seen before, by Good and Turing, up to which a set counts as closed.
_MOST_UNSEEN = 0.02
# The same of forms, among distinct values.
_MOST_UNSEEN_FORMS = 0.1
# And of signs, of which a value has many.
_MOST_UNSEEN_SIGNS = 0.005
_MOST_CLOSED, _MOST_CLOSED_NUMBERS = 1000, 40


@dataclass(frozen=True)
class Record:
    """How a rule did on past batches that it was not learnt from."""

    broken: int = 0
    cells: int = 0
    batches: int = 0
    squares: float = 0.0
    """The sum over batches of broken² / cells, for their scatter."""

    def plus(self, broken: int, cells: int) -> Record:
        """With one batch more."""
        square = broken**2 / cells if cells else 0.0
        return Record(self.broken + broken, self.cells + cells, self.batches + 1, self.squares + square)

    def at_least(self, share: float) -> Record:
        """As if so large a share of the cells had broken it."""
        return replace(self, broken=max(self.broken, round(share * self.cells)))

    @property
    def scatter(self) -> float:
        """How many times that of independent cells the scatter of the batches is, at least 1 (Pearson, χ² / df)."""
        p = self.broken / self.cells if self.cells else 0.0
        if self.batches < LEAST_PAST or not 0 < p < 1:
            return 1.0
        return max(1.0, (self.squares - self.broken * p) / (p * (1 - p)) / (self.batches - 1))

    @property
    def share(self) -> float:
        """The share of cells that broke it; as if half a cell more had."""
        return (self.broken + 0.5) / (self.cells + 1) if self.cells else 0.0


@dataclass(frozen=True)
class Rules:
    """What is alive, with the record of each, by rule_id; and what was tried and is not."""

    alive: tuple[CellTest, ...] = ()
    records: Mapping[str, Record] = field(default_factory=dict)
    dead: tuple[str, ...] = ()
    surprises: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """By detector, the shares of cells that broke a rule which had held before: so rules of that kind give way here."""


def live_rules(past: Sequence[Block]) -> Rules:
    """The rules of some past batches, oldest first."""
    if len(past) < LEAST_PAST:
        return Rules()
    held_out = min(MOST_HELD_OUT, len(past) // 2)
    records: dict[str, Record] = {}
    dead: set[str] = set()
    tried: list[set[str]] = []
    surprises = _Surprises()
    for index in range(max(1, len(past) - _MOST_STEPS), len(past)):
        batch, is_recent = past[index], index >= len(past) - held_out
        names = set()
        for rule in learn(past[:index]):
            if not rule.applies(batch):
                continue
            cells = batch.columns[rule.column].filled
            broken = int(rule.broken(batch).sum())
            surprises.see(rule, broken, cells)
            # One batch alone does not show that a column goes on.
            if index >= LEAST_PAST and broken > _GAVE_WAY_SHARE * cells:
                dead.add(rule.rule_id)
            if not is_recent:
                continue
            names.add(rule.rule_id)
            records[rule.rule_id] = records.get(rule.rule_id, Record()).plus(broken, cells)
            if broken > MOST_BROKEN_SHARE * cells:
                dead.add(rule.rule_id)
        if is_recent:
            tried.append(names)
    verified = set.intersection(*tried) - dead if tried else set()
    final = learn(past)
    alive = tuple(r for r in final if r.rule_id in verified and not (_is_far(r) and _has_trend(past, r.column)))
    left = tuple(sorted(r.rule_id for r in final if r.rule_id not in verified))
    return Rules(alive, records, left, {detector: tuple(shares) for detector, shares in surprises.found.items()})


@dataclass
class _Surprises:
    """Which rules have held so far, and, by detector, the share of cells that broke one which had."""

    held: set[str] = field(default_factory=set)
    found: dict[str, list[float]] = field(default_factory=dict)

    def see(self, rule: CellTest, broken: int, cells: int) -> None:
        """A rule tried on one batch more."""
        if broken < _LEAST_SURPRISE or broken <= _SURPRISING_SHARE * cells:
            self.held.add(rule.rule_id)
            return
        if rule.rule_id in self.held:
            self.found.setdefault(rule.detector, []).append(broken / cells)
        self.held.discard(rule.rule_id)


def _is_far(rule: CellTest) -> bool:
    return isinstance(rule, OutsideRange) and rule.is_far


def _has_trend(past: Sequence[Block], name: str) -> bool:
    """Whether each of the last batches lay higher than the one before, or each lower: such a column has no ends."""
    numbers = [block.columns[name].numbers for block in past[-_MOST_STEPS:] if name in block.columns]
    medians = [float(np.nanmedian(each)) for each in numbers if not np.isnan(each).all()]
    steps = np.diff(medians)
    return (
        max(int((steps > 0).sum()) if (steps >= 0).all() else 0, int((steps < 0).sum()) if (steps <= 0).all() else 0)
        >= LEAST_PAST
    )


def learn(past: Sequence[Block]) -> list[CellTest]:
    """The rules that some batches keep, whether or not the next one will."""
    pooled = pool(past)
    found: list[CellTest] = []
    for name, cells in pooled.columns.items():
        if cells.filled >= _LEAST_CELLS:
            parts = [block.columns[name] for block in past]
            found += _column_rules(name, cells, _goes_on(parts))
            found += _heaps(name, parts)
            alone = alone_within(name, cells, weights.PAST_ALONE, "past_alone", _TIMES_AS_FAR)
            found += (as_rough_as_any(test, parts) for test in alone)
    found += _dependencies(pooled)
    found += identities_within(pooled, LEAST_DOUBTING)
    found += ratios_kept(pooled)
    found += orders_within(pooled, weights.PAST_ORDER, "past_order")
    return found


def pool(past: Sequence[Block]) -> Block:
    """Several batches as one, of the columns that all of them have."""
    names = [n for n in past[0].columns if all(n in block.columns for block in past)] if past else []
    return Block(
        sum(block.rows for block in past), {name: _pooled([block.columns[name] for block in past]) for name in names}
    )


def _pooled(parts: Sequence[Cells]) -> Cells:
    if len(parts) == 1:
        return parts[0]
    uniques = list(dict.fromkeys(chain.from_iterable(cells.uniques for cells in parts)))
    place = dict(zip(uniques, range(len(uniques)), strict=True))
    codes = []
    of_unique = np.full(len(uniques), np.nan)
    for cells in parts:
        places = np.fromiter(map(place.__getitem__, cells.uniques), np.int64, len(cells.uniques))
        codes.append(np.where(cells.codes >= 0, places[cells.codes], -1) if len(places) else cells.codes)
        of_unique[places] = cells.of_unique
    return Cells(parts[0].form, np.concatenate(codes), uniques, of_unique, all(c.has_text for c in parts))


def _goes_on(parts: Sequence[Cells]) -> bool:
    """Whether each batch lies beyond the one before, as times and running numbers do."""
    if len(parts) < LEAST_PAST:
        return False
    # NaN, of a batch without numbers, lies beyond nothing.
    return all(after.bulk[0] > before.bulk[1] for before, after in pairwise(parts))


def _column_rules(name: str, cells: Cells, goes_on: bool) -> Iterator[CellTest]:
    kind = cells.form.kind
    if kind != "text":
        yield WrongType("type", "past_type", (name,), weights.PAST_TYPE, kind)
        yield from written_otherwise(name, cells.form, "past_", weights.PAST_TYPE)
        yield from _ranges(name, cells, goes_on)
    if not cells.has_text:
        return
    if kind != "time":
        most = _MOST_CLOSED if kind == "text" else _MOST_CLOSED_NUMBERS
        unseen = _unseen(cells.counts)
        if len(cells.uniques) <= most and unseen <= _MOST_UNSEEN:
            allowed = frozenset(cells.uniques)
            # Of numbers that thin out one is new now and then, and no other test takes it for a slip of a known one.
            next_one = unseen if kind == "number" else 0.0
            weight = weights.PAST_CLOSED_SET
            yield NotAmong("closed_set", "past_closed_set", (name,), weight, allowed, unseen=next_one)
        if kind == "text":
            common = frozenset(v for v, c in zip(cells.uniques, cells.counts.tolist(), strict=True) if c >= 3)
            yield Typo("typo", "past_typo", (name,), weights.TYPO, common, frozenset(cells.uniques))
            yield from known_forms_kept(name, cells)
            yield from lengths_kept(name, cells)
    if kind == "number":
        most = int(cells.decimals.max(initial=0))
        if most <= MOST_DECIMALS:
            yield TooManyDecimals("format", "past_decimals", (name,), weights.PAST_FORMAT, most)
    else:
        yield from _forms(name, cells)
        yield from _characters(name, cells)


def _heaps(name: str, parts: Sequence[Cells]) -> Iterator[CellTest]:
    """How often one number came at most in a batch, of a column where hardly one comes again."""
    if all(cells.form.kind == "number" and cells.has_text and cells.filled >= _LEAST_CELLS for cells in parts):
        most = max(float(cells.counts.max() / cells.filled) for cells in parts)
        if most <= _MOST_HEAPED:
            yield Heaped("spike", "past_heaped", (name,), weights.PAST_HEAPED, most)


def _unseen(counts: np.ndarray) -> float:
    """The probability that the next value is a new one: the share of values seen once (Good 1953)."""
    total = int(counts.sum())
    return float((counts == 1).sum() / total) if total else 1.0


def _ranges(name: str, cells: Cells, goes_on: bool) -> Iterator[CellTest]:
    """The range of a column, and a far one that also holds where its values wander from batch to batch."""
    known = np.sort(cells.numbers[~np.isnan(cells.numbers)])
    if len(known) < _LEAST_CELLS:
        return
    low, high = float(known[0]), float(known[-1])
    below, above = margin(known), margin(-known[::-1])
    if goes_on:
        # A batch that taught nothing leaves a gap, and what comes after it is not out of range.
        above = max(above, high - low)
    # What never was below zero has no business there.
    floor = 0.0 if low >= 0 and cells.form.kind == "number" else -np.inf
    said = "" if cells.form.kind == "number" else "lie outside the times that past batches had"
    weight, wander = weights.PAST_RANGE, _WANDERED * (high - low)
    yield OutsideRange("range", "past_range", (name,), weight, max(low - below, floor), high + above, said)
    far = (low - below - wander, high + above + wander)
    yield OutsideRange("range", "past_far_range", (name,), weight, *far, said, is_far=True)


def _forms(name: str, cells: Cells) -> Iterator[CellTest]:
    exact = [exact_shape(mask) for mask in cells.masks[0]]
    rows, different = cells.held_by_mask
    for is_exact, shapes in ((False, [loose_shape(shape) for shape in exact]), (True, exact)):
        tally, among = Counter[str](), Counter[str]()
        for shape, some, others in zip(shapes, rows.tolist(), different.tolist(), strict=True):
            tally[shape] += some
            among[shape] += others
        counts, values = np.array(list(tally.values())), np.array(list(among.values()))
        # A value that stands there a thousand times says no more of the form of the next value than once.
        if _unseen(counts) <= _MOST_UNSEEN and _unseen(values) <= _MOST_UNSEEN_FORMS:
            common = max(tally, key=lambda shape: tally[shape])
            weight = weights.PAST_SHAPE if is_exact else weights.PAST_FORMAT
            detector = "past_shape" if is_exact else "past_format"
            yield OddShape("format", detector, (name,), weight, frozenset(tally), is_exact, common)


def _characters(name: str, cells: Cells) -> Iterator[CellTest]:
    masks, (rows, values) = cells.masks[0], cells.held_by_mask
    by_row, by_value = Counter[str](), Counter[str]()
    for mask, some, different in zip(masks, rows.tolist(), values.tolist(), strict=True):
        for sign in signs(mask):
            by_row[sign] += some
            by_value[sign] += different
    # As of forms: where signs that a single value has are many, the next value has one of its own.
    unseen = sum(count == 1 for count in by_row.values()) / cells.filled
    unseen_values = sum(count == 1 for count in by_value.values()) / len(cells.uniques)
    if unseen <= _MOST_UNSEEN_SIGNS and (
        unseen_values <= _MOST_UNSEEN_FORMS or len(cells.uniques) < _MOST_CLOSED_NUMBERS
    ):
        yield OddCharacters("format", "past_characters", (name,), weights.PAST_CHARACTERS, frozenset(by_row))


def _dependencies(pooled: Block) -> Iterator[CellTest]:
    """What one column says of another: where all agree as a rule, else by those of its values that always agree."""
    names = candidates(pooled)
    for one in names:
        a = pooled.columns[one]
        if len(a.uniques) > 0.5 * a.filled:
            continue
        for other in names:
            b = pooled.columns[other]
            if one == other or (found := pairing(a, b)) is None or found.grouped_share < 0.3:
                continue
            is_rule = found.confidence >= 0.99 and found.lift >= 0.8
            sure = (found.total >= (2 if is_rule else 5)) & (found.held >= 0.98 * found.total)
            if not is_rule and (found.lift < 0.3 or found.total[sure].sum() < 0.3 * found.total.sum()):
                continue
            says = {a.uniques[i]: b.uniques[j] for i, j in zip(found.codes[sure], found.says[sure], strict=True)}
            weight = weights.PAST_DEPENDENCY if is_rule else weights.PAST_LOCAL_DEPENDENCY
            detector = "past_dependency" if is_rule else "past_local_dependency"
            if says:
                yield Dependency("dependency", detector, (one, other), weight, says)
