"""What looks wrong in a table by itself, without a past: each detector proposes tests from a sample of the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import (
    CellTest,
    NotAmong,
    OddCharacters,
    OddShape,
    OutsideRange,
    TooManyDecimals,
    Typo,
    WrongType,
    decimals,
    signs,
    words_of,
)
from quality_assets.domain.quality.datasets.dependencies import dependencies_within
from quality_assets.domain.quality.datasets.edits import SlipIndex
from quality_assets.domain.quality.datasets.identities import identities_within, ratios_within
from quality_assets.domain.quality.datasets.values import Block, Cells

_LEAST_CELLS = 20
# A common value is so many times as frequent as what is taken for a slip of it, and stands so often itself.
_TYPO_TIMES, _TYPO_LEAST = 5, 5
_RARE_SHARE = 0.02
_MOST_SEARCHED = 20_000
# All but so few values have one of so few forms, for another to be odd.
_FORM_COVER, _MOST_FORMS, _MOST_EXACT_FORMS = 0.97, 12, 4
_DOMINANT_SHARE = 0.9
# As far from the median as no more than every other value could draw: the median distance is robust.
_FAR_SPREADS, _SKEWED_TIMES = 6.0, 2.0
# Longer fractions are what computing left, and of no fixed length.
MOST_DECIMALS, MOST_ODD_DECIMALS = 6, 0.02


def detect(block: Block) -> list[CellTest]:
    """The tests that a table suggests of itself."""
    found: list[CellTest] = []
    for name, cells in block.columns.items():
        if cells.filled >= _LEAST_CELLS:
            found += column_detectors(name, cells)
    if block.rows >= _LEAST_CELLS:
        found += dependencies_within(block)
        found += identities_within(block)
        found += ratios_within(block)
    return found


def column_detectors(name: str, cells: Cells) -> Iterator[CellTest]:
    """The tests of one column."""
    if cells.form.kind == "text":
        yield from _typos(name, cells)
        yield from _dominant(name, cells)
    else:
        yield WrongType("type", "type", (name,), weights.WRONG_TYPE, cells.form.kind)
    if cells.has_text:
        if cells.form.kind == "number":
            yield from _decimals(name, cells)
        else:
            yield from _forms(name, cells)
            yield from _characters(name, cells)
    if cells.form.kind == "number":
        yield from _outliers(name, cells)


def _typos(name: str, cells: Cells) -> Iterator[CellTest]:
    order = np.argsort(-cells.counts, kind="stable")[:_MOST_SEARCHED]
    rare_at_most = max(2.0, _RARE_SHARE * cells.filled)
    common = [cells.uniques[i] for i in order if cells.counts[i] >= _TYPO_LEAST]
    if common:
        counts = dict(zip(cells.uniques, cells.counts.tolist(), strict=True))
        odd = _slips(counts, common, rare_at_most)
        yield Typo("typo", "typo", (name,), weights.TYPO, frozenset(common), frozenset(set(cells.uniques) - odd))
    vocabulary: Counter[str] = Counter()
    for i in order:
        for word in set(words_of(cells.uniques[i])):
            vocabulary[word] += int(cells.counts[i])
    known = [word for word, count in vocabulary.items() if count >= _TYPO_LEAST]
    if known and len(vocabulary) > 1 and any(" " in cells.uniques[i] for i in order[:50]):
        odd = _slips(vocabulary, known, rare_at_most)
        fine = frozenset(set(vocabulary) - odd)
        yield Typo("typo", "word_typo", (name,), weights.WORD_TYPO, frozenset(known), fine, of_words=True)


def _slips(counts: dict[str, int], common: list[str], rare_at_most: float) -> set[str]:
    """Which values are rare and one slip from one that is much more frequent."""
    index = SlipIndex(common)
    return {
        value
        for value, count in counts.items()
        if count <= rare_at_most and any(counts[origin] >= _TYPO_TIMES * count for origin in index.origins(value))
    }


def _dominant(name: str, cells: Cells) -> Iterator[CellTest]:
    top = int(np.argmax(cells.counts))
    if cells.counts[top] >= (1 - _RARE_SHARE) * cells.filled and len(cells.uniques) > 1:
        value = cells.uniques[top]
        said = f"are not {value[:40]!r}, as nearly all are"
        yield NotAmong("closed_set", "dominant", (name,), weights.DOMINANT, frozenset([value]), said)


def _forms(name: str, cells: Cells) -> Iterator[CellTest]:
    """Forms that hardly a value has, where nearly all have one of a few."""
    for is_exact, shapes in ((False, cells.loose_shapes), (True, cells.shapes)):
        tally: Counter[str] = Counter()
        for shape, count in zip(shapes, cells.counts.tolist(), strict=True):
            tally[shape] += count
        values = Counter(shapes)
        limit = max(1.0, 0.01 * cells.filled)
        # One value that stands there again and again is written as it should be.
        usual = {shape: count for shape, count in tally.items() if count > limit or count > 2 * values[shape]}
        covered = sum(count for count in usual.values() if count > limit)
        most = _MOST_EXACT_FORMS if is_exact else _MOST_FORMS
        if sum(count > limit for count in usual.values()) > most or covered < _FORM_COVER * cells.filled:
            continue
        weight = weights.EXACT_SHAPE if is_exact else weights.RARE_FORMAT
        common = max(usual, key=lambda shape: usual[shape])
        detector = "exact_shape" if is_exact else "format"
        yield OddShape("format", detector, (name,), weight, frozenset(usual), is_exact, common)


def _decimals(name: str, cells: Cells) -> Iterator[CellTest]:
    places = np.repeat(decimals(cells.uniques), cells.counts)
    most = int(np.quantile(places, 1 - MOST_ODD_DECIMALS, method="lower")) if len(places) else MOST_DECIMALS
    if most < MOST_DECIMALS and 0 < (places > most).mean() <= MOST_ODD_DECIMALS:
        yield TooManyDecimals("format", "decimals", (name,), weights.RARE_FORMAT, most)


def _characters(name: str, cells: Cells) -> Iterator[CellTest]:
    tally: Counter[str] = Counter()
    masks, codes = cells.masks
    counts = np.bincount(codes, cells.counts, minlength=len(masks)).astype(int)
    for mask, count in zip(masks, counts.tolist(), strict=True):
        for sign in signs(mask):
            tally[sign] += count
    limit = max(1.0, 0.005 * cells.filled)
    odd = {sign for sign, count in tally.items() if count <= limit}
    if odd and len(odd) < len(tally):
        yield OddCharacters("format", "characters", (name,), weights.ODD_CHARACTERS, frozenset(set(tally) - odd))


def _outliers(name: str, cells: Cells) -> Iterator[CellTest]:
    numbers = cells.numbers
    known = numbers[~np.isnan(numbers)]
    if len(known) < _LEAST_CELLS:
        return
    if strewn := _strewn(name, known):
        yield strewn
        return
    q1, q3 = np.quantile(known, (0.25, 0.75)).tolist()
    spread = q3 - q1
    if spread > 0:
        low, high = q1 - 1.5 * spread, q3 + 1.5 * spread
        said = f"lie more than 1.5 interquartile ranges outside the quartiles, below {low:.6g} or above {high:.6g}"
        yield OutsideRange("outlier", "outlier", (name,), weights.OUTLIER, low, high, said)
    if far := _far(known):
        low, high = far
        said = f"lie far from all others, below {low:.6g} or above {high:.6g}"
        yield OutsideRange("outlier", "far_outlier", (name,), weights.FAR_OUTLIER, low, high, said)


def _far(known: Floats) -> tuple[float, float] | None:
    """Several spreads from the median, on a logarithmic scale where the upper half is much the wider."""
    low, middle, high = np.quantile(known, (0.1, 0.5, 0.9))
    is_skewed = known.min() > 0 and high - middle > _SKEWED_TIMES * (middle - low)
    scaled = np.log(known) if is_skewed else known
    centre = float(np.median(scaled))
    reach = _FAR_SPREADS * 1.4826 * float(np.median(np.abs(scaled - centre)))
    if reach <= 0:
        return None
    ends = (centre - reach, centre + reach)
    return (float(np.exp(ends[0])), float(np.exp(min(ends[1], 700.0)))) if is_skewed else ends


def _strewn(name: str, known: Floats) -> CellTest | None:
    """A constant with other numbers strewn on both sides of it."""
    values, counts = np.unique(known, return_counts=True)
    top = float(values[np.argmax(counts)])
    if counts.max() < _DOMINANT_SHARE * len(known) or len(values) == 1:
        return None
    others = values[values != top]
    is_strewn = (
        (others < top).any() and (others > top).any() and counts[values != top].max() <= max(2, 0.02 * len(known))
    )
    weight = weights.STREWN if is_strewn else weights.NEARLY_CONSTANT
    return OutsideRange("outlier", "constant", (name,), weight, top, top, f"are not {top:g}, as nearly all are")
