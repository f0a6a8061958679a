"""What a column shows of how its values are written: otherwise than most, in several ways, or not as what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import BrokenEncoding, CellTest, OddShape
from quality_assets.domain.quality.datasets.known_forms import (
    KNOWN_FORMS,
    PLACEHOLDER,
    TELEPHONE,
    WAYS,
    KnownForm,
    matching,
)
from quality_assets.domain.quality.datasets.numbers import are_amounts, currencies_of
from quality_assets.domain.quality.datasets.values import Cells, ColumnForm
from quality_assets.domain.quality.datasets.writing_tests import (
    OtherCurrency,
    OtherLength,
    OtherNumber,
    OtherTime,
    OtherWay,
    Padded,
    Placeholder,
    Unlike,
    Variant,
    folded,
    is_code,
)

_LEAST_TWINS = 2
_ALL_PADDED = 0.9
# Two ways of writing, each in so much of a column that neither is a slip.
_LEAST_WAY, _ALL_WAYS = 0.05, 0.95
_TELEPHONES = 0.8
# What is made to be told from all else stands beside nothing else by nature: beside many that are none as well.
_KNOWN_SHARE, _FEW_TRIED, _ALWAYS_KNOWN = 0.6, 50, 0.996
# Codes are hardly ever the same, and hold digits; of those that most have as many signs the others lost some.
_LEAST_CODES, _LEAST_CODE_SHARE, _LEAST_CODE, SAME_LENGTH, _HOLD_DIGITS = 30, 0.5, 5, 0.7, 0.9
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
    yield from _lengths(name, cells)
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
        usual[fold] = max(usual.get(fold, (0, "")), (count, value))
    twins = {fold for value in cells.uniques if usual[fold := folded(value)][1] != value}
    # Capitals of one code may be another code; where several have both, and mostly the same, they are not.
    codes = {fold for fold in twins if is_code(fold)}
    kept = [value.isupper() for fold in codes for _, value in [usual[fold]]]
    if len(codes) < _LEAST_TWINS or len({*kept}) > 1:
        twins -= codes
    if twins:
        spelled = {fold: value for fold, (_, value) in usual.items() if fold in twins or not is_code(fold)}
        yield Variant("typo", "variant", (name,), weights.TYPO, spelled)


def _padded(name: str, cells: Cells) -> Iterator[CellTest]:
    """Blanks before or behind values where others have none; where nearly all have, the file is written so."""
    if cells.padded is not None and 0 < int((cells.padded & ~cells.missing).sum()) < _ALL_PADDED * cells.filled:
        yield Padded("format", "padded", (name,), weights.PADDED)


def _known_forms(name: str, cells: Cells) -> Iterator[CellTest]:
    """What is no address, where most values are one: of mail, of a page, of a computer; and the like of names."""
    known, share = known_form_of(cells)
    if known is not None and _KNOWN_SHARE <= share < 1:
        yield Unlike("format", "known_form", (name,), weights.KNOWN_FORM, known)


def known_forms_kept(name: str, cells: Cells) -> Iterator[CellTest]:
    """The same where a past has hardly ever held anything else."""
    known, share = known_form_of(cells)
    if known is not None and share >= _ALWAYS_KNOWN:
        yield Unlike("format", "past_known_form", (name,), weights.PAST_FORMAT, known)


def known_form_of(cells: Cells) -> tuple[KnownForm | None, float]:
    """The form that most values have, of those that are known the world over, and the share of the cells that do."""
    for known in KNOWN_FORMS:
        # A few values tell whether it is worth the while.
        if matching(known, cells.uniques[:_FEW_TRIED]).mean() >= 1 / 2:
            share = float(cells.counts[matching(known, cells.uniques)].sum() / cells.filled)
            if share >= _KNOWN_SHARE:
                return known, share
    return None, 0.0


def _lengths(name: str, cells: Cells) -> Iterator[CellTest]:
    """Codes of which most have as many signs, and some have not."""
    length, share = code_length(cells)
    if SAME_LENGTH <= share < 1:
        yield OtherLength("format", "length", (name,), weights.RARE_FORMAT, length)


def lengths_kept(name: str, cells: Cells) -> Iterator[CellTest]:
    """The same where a past has held codes of one length alone."""
    length, share = code_length(cells)
    if share == 1:
        yield OtherLength("format", "past_length", (name,), weights.PAST_FORMAT, length)


def code_length(cells: Cells) -> tuple[int, float]:
    """How many signs most values have, and the share of those that do; nothing where they are no codes."""
    if len(cells.uniques) < max(_LEAST_CODES, _LEAST_CODE_SHARE * cells.filled):
        return 0, 0.0
    if cells.by_mask(lambda mask: "9" in mask).mean() < _HOLD_DIGITS:
        return 0, 0.0
    lengths = np.fromiter(map(len, cells.uniques), np.int64, len(cells.uniques))
    of_length = np.bincount(lengths, cells.counts)
    length = int(np.argmax(of_length))
    return (length, float(of_length[length] / cells.filled)) if length >= _LEAST_CODE else (0, 0.0)


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
    if not matching(TELEPHONE, cells.uniques[:_FEW_TRIED]).mean() >= _TELEPHONES:
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
