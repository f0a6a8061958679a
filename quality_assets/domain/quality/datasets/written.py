"""What a column shows of how its values are written: otherwise than most, in several ways, or not as what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import BrokenEncoding, CellTest, OddShape
from quality_assets.domain.quality.datasets.known_forms import KNOWN_FORMS, PLACEHOLDER, TELEPHONE, WAYS, matching
from quality_assets.domain.quality.datasets.numbers import are_amounts, currencies_of
from quality_assets.domain.quality.datasets.values import Cells, ColumnForm
from quality_assets.domain.quality.datasets.writing_tests import (
    OtherCurrency,
    OtherNumber,
    OtherTime,
    OtherWay,
    Padded,
    Placeholder,
    Unlike,
    Variant,
    folded,
)

# A word of fewer letters may be a code, of which capitals are another one.
_LEAST_FOLDED = 3
_ALL_PADDED = 0.9
# Two ways of writing, each in so much of a column that neither is a slip.
_LEAST_WAY, _ALL_WAYS = 0.05, 0.95
_KNOWN_SHARE, _FEW_TRIED = 0.8, 50
MOST_CATEGORIES, _CATEGORY_TIMES = 60, 4
"""A column of no more values is of a few, which come again and again."""


def texts_written(name: str, cells: Cells) -> Iterator[CellTest]:
    """The tests of a column of texts."""
    # All rows are looked through for them only where a sample has some.
    if matching(PLACEHOLDER, cells.uniques).any():
        yield Placeholder("missing", "placeholder", (name,), weights.PLACEHOLDER)
    yield BrokenEncoding("format", "encoding", (name,), weights.BROKEN_ENCODING)
    yield from _variants(name, cells)
    yield from _padded(name, cells)
    yield from _known_forms(name, cells)
    yield from _two_ways(name, cells)
    yield from _currencies(name, cells)
    yield from _telephones(name, cells)


def written_otherwise(name: str, form: ColumnForm, past: str, weight: float) -> Iterator[CellTest]:
    """The test of values that are numbers or times, and not written as the others of their column."""
    if form.number_format is not None:
        yield OtherNumber("format", f"{past}other_number", (name,), weight, form.number_format)
    if form.other_time_formats:
        yield OtherTime("format", f"{past}other_time", (name,), weight)


def _variants(name: str, cells: Cells) -> Iterator[CellTest]:
    """The same word in other capitals, or with other signs or accents, among a few values that come again and again."""
    if not 1 < len(cells.uniques) <= MOST_CATEGORIES or cells.filled < _CATEGORY_TIMES * len(cells.uniques):
        return
    usual: dict[str, tuple[int, str]] = {}
    for value, count in zip(cells.uniques, cells.counts.tolist(), strict=True):
        fold = folded(value)
        if len(fold) >= _LEAST_FOLDED:
            usual[fold] = max(usual.get(fold, (0, "")), (count, value))
    if any(folded(value) in usual and usual[folded(value)][1] != value for value in cells.uniques):
        spelled = {fold: value for fold, (_, value) in usual.items()}
        yield Variant("typo", "variant", (name,), weights.TYPO, spelled)


def _padded(name: str, cells: Cells) -> Iterator[CellTest]:
    """Blanks before or behind values where others have none; where nearly all have, the file is written so."""
    if cells.padded is not None and 0 < int((cells.padded & ~cells.missing).sum()) < _ALL_PADDED * cells.filled:
        yield Padded("format", "padded", (name,), weights.PADDED)


def _known_forms(name: str, cells: Cells) -> Iterator[CellTest]:
    """What is no address, where nearly all values are one: of mail, of a page, of a computer; and the like of names."""
    for known in KNOWN_FORMS:
        # A few values tell whether it is worth the while.
        if not matching(known, cells.uniques[:_FEW_TRIED]).mean() >= 0.5:
            continue
        share = float(cells.counts[matching(known, cells.uniques)].sum() / cells.filled)
        if _KNOWN_SHARE <= share < 1:
            yield Unlike("format", "known_form", (name,), weights.KNOWN_FORM, known)
            return


def _two_ways(name: str, cells: Cells) -> Iterator[CellTest]:
    """Numbers with a decimal comma beside such with a point, and yes and no in words of two kinds: what stands less
    often is written otherwise.
    """
    for ways, alike in WAYS:
        written = np.array([matching(each, cells.uniques[:_FEW_TRIED]) for each in (*ways, *alike)])
        if written.any(axis=0).mean() < 1 / 2:
            continue
        shares = [float(cells.counts[matching(each, cells.uniques)].sum() / cells.filled) for each in (*ways, *alike)]
        some = [place for place in range(len(ways)) if shares[place] >= _LEAST_WAY]
        if len(some) > 1 and sum(shares) >= _ALL_WAYS:
            usual = max(some, key=lambda place: shares[place])
            less = tuple(way for way in ways if way is not ways[usual])
            yield OtherWay("format", "other_way", (name,), weights.WRONG_TYPE, ways[usual], less)


def _currencies(name: str, cells: Cells) -> Iterator[CellTest]:
    """Amounts in several currencies, which cannot be held against each other, nor added up."""
    if not are_amounts(cells.uniques[:_FEW_TRIED]).mean() >= 1 / 2:
        return
    held: Counter[str] = Counter()
    for currency, count in zip(currencies_of(cells.uniques), cells.counts.tolist(), strict=True):
        held[currency] += count
    if sum(held.values()) - held.pop("", 0) >= _ALL_WAYS * cells.filled and len(held) > 1:
        usual = max(held, key=lambda each: held[each])
        yield OtherCurrency("format", "other_currency", (name,), weights.SEVERAL_FORMS, usual)


def _telephones(name: str, cells: Cells) -> Iterator[CellTest]:
    """Numbers of telephones that are written in several forms, each of which stands often."""
    if not matching(TELEPHONE, cells.uniques[:_FEW_TRIED]).mean() >= _KNOWN_SHARE:
        return
    tally: Counter[str] = Counter()
    for shape, count in zip(cells.loose_shapes, cells.counts.tolist(), strict=True):
        tally[shape] += count
    often = [shape for shape, count in tally.items() if count >= _LEAST_WAY * cells.filled]
    # Numbers of parts and accounts are parted by signs as well; a country's code, or brackets, tell telephones.
    is_telephone = any(shape.startswith(("+", "(")) for shape in often)
    if len(often) > 1 and is_telephone and matching(TELEPHONE, cells.uniques).mean() >= _ALL_WAYS:
        usual = max(often, key=lambda shape: tally[shape])
        common = next(exact for exact, loose in zip(cells.shapes, cells.loose_shapes, strict=True) if loose == usual)
        yield OddShape("format", "other_form", (name,), weights.SEVERAL_FORMS, frozenset([usual]), common=common)
