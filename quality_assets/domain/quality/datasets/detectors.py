"""What looks wrong in a table by itself, without a past: each detector proposes tests from a sample of the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.apart import (
    ENDLESS_GAP,
    FEW_IN_ALL,
    LEAST_SIZES,
    TIME_FURTHER,
    TIME_GRADES,
    WIDE_GAP,
    beyond_few,
    beyond_gap,
    far_from_all,
    filled_in,
    is_mirrored,
)
from quality_assets.domain.quality.datasets.beside import alone_within, orders_within
from quality_assets.domain.quality.datasets.cell_tests import (
    CellTest,
    NotAmong,
    OddCharacters,
    OddShape,
    OutsideRange,
    TooManyDecimals,
    Typo,
    WrongType,
    signs,
    words_of,
)
from quality_assets.domain.quality.datasets.dependencies import dependencies_within
from quality_assets.domain.quality.datasets.edits import LEAST_LENGTH, SlipIndex
from quality_assets.domain.quality.datasets.identities import identities_within, ratios_within
from quality_assets.domain.quality.datasets.moved import moved_within
from quality_assets.domain.quality.datasets.values import Block, Cells, loose_shape
from quality_assets.domain.quality.datasets.written import (
    MOST_CATEGORIES,
    SAME_LENGTH,
    code_length,
    texts_written,
    written_otherwise,
)
from quality_assets.domain.wording import figure_text, figure_texts

LEAST_CELLS = 20
# A common value is so many times as frequent as what is taken for a slip of it, and stands so often itself.
_TYPO_TIMES, _TYPO_LEAST = 5, 5
# Of one of a few, or where it has other capitals alone, it need not be as rare.
_CATEGORY_SHARE, _CATEGORY_SLIP_TIMES = 0.1, 2
_RARE_SHARE, _SLIP_SHARE, _CATEGORY_SLIP_SHARE = 0.02, 0.1, 0.3
# Where so many of the common values have slips, values are mistaken throughout, and slips need not be as rare.
_LEAST_SLIPPED, _SLIPPED_SHARE = 3, 0.25
# Two letters may be a word, or a code, beside one that begins so, as "No" beside "None": pieces they are where so many
# stand there, of as many common values, and such a share of these.
_LEAST_PIECE, _LEAST_PIECES, _CUT_SHARE = 3, 2, 0.5
_MOST_SEARCHED = 20_000
_KEPT_ORDER, _KEPT_IF_WILD = 0.95, 0.6
_RARER_TIMES = 3
# All but so few values have one of so few forms, for another to be odd.
_MOST_FORMS, _MOST_EXACT_FORMS = 12, 4
# (share, cover): up to a share a form is rare, where those that are not cover so many cells; the first that holds.
_FORM_GRADES = ((0.1, 0.88), (0.03, 0.92), (0.01, 0.97))
_DOMINANT_SHARE = 0.9
# Of numbers a constant may have lost more, and most where errors show as such: then columns are asked beside it as if
# it were none.
_CONSTANT_SHARE, _STREWN_CONSTANT_SHARE = 0.75, 0.65
_MOST_OF_ONE_STREWN, _MOST_STREWN = 0.02, 0.05
# More others than a scale of five has, none of which is so much of them: what thins out stands mostly next to it.
_LEAST_STREWN, _MOST_OF_STREWN = 5, 0.3
# A sign of language may be rare; others, which are none, need not be as rare to be odd.
_RARE_SIGN, _STRANGE_SIGN, _PLAIN_SIGNS = 0.005, 0.05, frozenset(" -'.,&/()\":;!")
# Zeros are odd up to a share, where the least of several sizes lies so many of their smallest steps above, and so far
# beside the middle.
_MOST_ZEROS, _LEAST_ZERO_SIZES, _ZERO_STEPS, _ZERO_PART = 0.3, 8, 5.0, 0.1
# Days that stand where there is none; apart from others by a year, and by a part of the time from first to last.
_FILLED_IN_DAYS = frozenset(
    (
        *(f"{year}-01-01" for year in ("1", "1000", "1753", "1800", "1900", "1901", "1970", "2000", "2100", "3000")),
        *(f"{year}-12-31" for year in (1899, 1900, 1969, 2099, 2199, 2999, 3999, 4712, 9999)),
        "1899-12-30",
    )
)
_LEAST_TIMES, _LEAST_APART_S, _PART_OF_SPAN, _MOST_FILLED_IN = 8, 365 * 86_400.0, 0.25, 0.3
# Longer fractions are what computing left, and of no fixed length.
MOST_DECIMALS, MOST_ODD_DECIMALS = 6, 0.1


def detect(block: Block) -> list[CellTest]:
    """The tests that a table suggests of itself."""
    found: list[CellTest] = []
    for name, cells in block.columns.items():
        if cells.filled >= LEAST_CELLS:
            found += column_detectors(name, cells)
    if block.rows >= LEAST_CELLS:
        near = _without_far(block, found)
        identities = list(identities_within(near))
        # What is a part of a sum goes with it in most rows, and is not decided by it.
        tied = [set(each.columns) for each in identities]
        told = dependencies_within(block, near)
        found += (each for each in told if not any(set(each.columns) <= some for some in tied))
        found += identities
        found += ratios_within(block)
        found += moved_within(block)
        # Of two columns of times, one is when what began with the other has ended; numbers lie so by chance.
        found += orders_within(block, weights.ORDER, "order", ("time",), _KEPT_ORDER, _KEPT_IF_WILD)
    return found


def _without_far(block: Block, tests: Sequence[CellTest]) -> Block:
    """A block without the numbers that lie surely out, or lost their sign: many of them would hide what columns say of
    each other, which tells them as well.
    """
    columns = dict(block.columns)
    for test in tests:
        if isinstance(test, OutsideRange) and test.weight >= weights.BEYOND_GAP and (odd := test.broken(block)).any():
            columns[test.column] = columns[test.column].without(odd)
    return Block(block.rows, columns)


def column_detectors(name: str, cells: Cells) -> Iterator[CellTest]:
    """The tests of one column."""
    if cells.form.kind == "text":
        yield from _typos(name, cells)
        yield from _dominant(name, cells)
        yield from _rare_values(name, cells)
        yield from texts_written(name, cells)
    else:
        yield WrongType("type", "type", (name,), weights.WRONG_TYPE, cells.form.kind)
        yield from written_otherwise(name, cells.form, "", weights.WRONG_TYPE)
    if cells.has_text:
        if cells.form.kind == "number":
            yield from _decimals(name, cells)
        else:
            yield from _forms(name, cells)
            yield from _characters(name, cells)
    if cells.form.kind == "number":
        yield from _outliers(name, cells)
    elif cells.form.kind == "time":
        yield from _odd_times(name, cells)
    yield from alone_within(name, cells, weights.ALONE, "alone")


def _typos(name: str, cells: Cells) -> Iterator[CellTest]:
    order = np.argsort(-cells.counts, kind="stable")[:_MOST_SEARCHED]
    rare_at_most = max(2.0, _SLIP_SHARE * cells.filled)
    common = [cells.uniques[i] for i in order if cells.counts[i] >= _TYPO_LEAST]
    if common:
        counts = dict(zip(cells.uniques, cells.counts.tolist(), strict=True))
        odd = _slips(counts, common, rare_at_most, _CATEGORY_SHARE * cells.filled)
        fine = frozenset(set(cells.uniques) - odd)
        yield Typo("typo", "typo", (name,), weights.TYPO, frozenset(common) - odd, fine)
    vocabulary: Counter[str] = Counter()
    for i in order:
        for word in set(words_of(cells.uniques[i])):
            vocabulary[word] += int(cells.counts[i])
    known = [word for word, count in vocabulary.items() if count >= _TYPO_LEAST]
    if known and len(vocabulary) > 1 and any(" " in cells.uniques[i] for i in order[:50]):
        odd = _slips(vocabulary, known, max(2.0, _RARE_SHARE * cells.filled))
        fine = frozenset(set(vocabulary) - odd)
        yield Typo("typo", "word_typo", (name,), weights.WORD_TYPO, frozenset(known) - odd, fine, of_words=True)


def _slips(counts: dict[str, int], common: list[str], rare_at_most: float, category: float | None = None) -> set[str]:
    """Which values are rare and one slip from one that is much more frequent, or cut off from one.

    What stands at least `category` times is one of a few; of words, which None is for, one may begin as another.
    """
    index = SlipIndex(common)
    of_few = 0.0 if category is None else category * _CATEGORY_SLIP_SHARE / _CATEGORY_SHARE
    rarer: dict[str, bool] = {}
    slipped: set[str] = set()
    cut: dict[str, list[str]] = {}
    for value, count in counts.items():
        wholes = [] if category is None else index.wholes(value)
        of_wholes = sum(counts[whole] for whole in wholes)
        for origin in index.origins(value, of_words=category is None) + wholes:
            # What is cut off may be the beginning of several.
            there = of_wholes if origin in wholes else counts[origin]
            is_same = origin.casefold() == value.casefold()
            is_few = is_same or (category is not None and there >= category)
            is_frequent = count > max(rare_at_most, of_few if is_few else 0.0) and not is_same
            if is_frequent or there < _CATEGORY_SLIP_TIMES * count:
                continue
            if origin in wholes:
                cut.setdefault(value, []).append(origin)
            slipped.add(origin)
            rarer[value] = rarer.get(value, False) or is_few or there >= _TYPO_TIMES * count
    is_throughout = category is not None and len(slipped) >= max(_LEAST_SLIPPED, _SLIPPED_SHARE * len(common))
    whole = [value for value in common if len(value) >= LEAST_LENGTH and value not in rarer]
    of_whole = {origin for origins in cut.values() for origin in origins}.intersection(whole)
    is_cut = min(len(cut), len(of_whole)) >= _LEAST_PIECES and len(of_whole) >= _CUT_SHARE * len(whole)
    return {
        value
        for value, is_rare in rarer.items()
        if is_cut or (len(value) >= _LEAST_PIECE and (is_rare or is_throughout))
    }


def _rare_values(name: str, cells: Cells) -> Iterator[CellTest]:
    """Values that stand a few times beside a few that stand often each, where nothing lies between."""
    if len(cells.uniques) < 3 or len(cells.uniques) > MOST_CATEGORIES:
        return
    order = np.argsort(-cells.counts, kind="stable")
    counts = cells.counts[order]
    steps = counts[:-1] / counts[1:]
    rare_from = 1 + int(np.argmax(steps))
    rare = counts[rare_from:]
    is_clear = steps.max() >= _RARER_TIMES
    if is_clear and rare.sum() <= FEW_IN_ALL * cells.filled and rare_from >= 2:
        usual = frozenset(cells.uniques[i] for i in order[:rare_from])
        said = f"are hardly there beside the {rare_from} that others are"
        yield NotAmong("closed_set", "rare_value", (name,), weights.RARE_VALUE, usual, said)


def _dominant(name: str, cells: Cells) -> Iterator[CellTest]:
    top = int(np.argmax(cells.counts))
    if cells.counts[top] >= _DOMINANT_SHARE * cells.filled and len(cells.uniques) > 1:
        value = cells.uniques[top]
        said = f"are not {value[:40]!r}, as most are"
        yield NotAmong("closed_set", "dominant", (name,), weights.DOMINANT, frozenset([value]), said)


def _forms(name: str, cells: Cells) -> Iterator[CellTest]:
    """Forms that hardly a value has, where nearly all have one of a few; of codes whose length alone is fixed, none."""
    if code_length(cells)[1] >= SAME_LENGTH and len({*cells.loose_shapes}) > _MOST_FORMS:
        return
    for is_exact, shapes in ((False, cells.loose_shapes), (True, cells.shapes)):
        usual = next(filter(None, (_usual_forms(cells, shapes, is_exact, *grade) for grade in _FORM_GRADES)), None)
        if usual is None:
            continue
        weight = weights.EXACT_SHAPE if is_exact else weights.RARE_FORMAT
        common = max(usual, key=lambda shape: usual[shape])
        detector = "exact_shape" if is_exact else "format"
        yield OddShape("format", detector, (name,), weight, frozenset(usual), is_exact, common)


def _usual_forms(
    cells: Cells, shapes: Sequence[str], is_exact: bool, rare_share: float, cover: float
) -> dict[str, int] | None:
    """The forms that more than a share of the cells have, with counts; None where they are many, or cover little."""
    tally: Counter[str] = Counter()
    for shape, count in zip(shapes, cells.counts.tolist(), strict=True):
        tally[shape] += count
    values = Counter(shapes)
    limit = max(1.0, rare_share * cells.filled)
    # Of a few, one value that stands there again and again is written as it should be.
    is_few = len(cells.uniques) <= MOST_CATEGORIES
    usual = {shape: n for shape, n in tally.items() if n > limit or (is_few and n > 2 * values[shape])}
    common = [count for count in usual.values() if count > limit]
    most = _MOST_EXACT_FORMS if is_exact else _MOST_FORMS
    if len(common) > most or sum(common) < cover * cells.filled:
        return None
    return usual | _of_no_fixed_length(tally, {s for s, n in usual.items() if n > limit}) if is_exact else usual


def _of_no_fixed_length(tally: Mapping[str, int], common: Set[str]) -> dict[str, int]:
    """Forms that differ from common ones in lengths alone, where these do as well, and nowhere longer than they are:
    numbers that count, versions, names and amounts are of many lengths.
    """
    longest: dict[str, list[int]] = {}
    lengths = Counter(map(loose_shape, common))
    for shape in common:
        known = longest.setdefault(loose_shape(shape), _runs(shape))
        longest[loose_shape(shape)] = list(map(max, known, _runs(shape)))

    def is_within(shape: str) -> bool:
        loose = loose_shape(shape)
        return lengths[loose] > 1 and all(n <= most for n, most in zip(_runs(shape), longest[loose], strict=True))

    return {shape: count for shape, count in tally.items() if is_within(shape)}


def _runs(shape: str) -> list[int]:
    """How long each run of one sign is."""
    return [len(list(run)) for _, run in groupby(shape)]


def _decimals(name: str, cells: Cells) -> Iterator[CellTest]:
    places = np.repeat(cells.decimals, cells.counts)
    most = int(np.quantile(places, 1 - MOST_ODD_DECIMALS, method="lower")) if len(places) else MOST_DECIMALS
    if most < MOST_DECIMALS and 0 < (places > most).mean() <= MOST_ODD_DECIMALS:
        yield TooManyDecimals("format", "decimals", (name,), weights.ODD_DECIMALS, most)


def _characters(name: str, cells: Cells) -> Iterator[CellTest]:
    tally: Counter[str] = Counter()
    masks, codes = cells.masks
    counts = np.bincount(codes, cells.counts, minlength=len(masks)).astype(int)
    for mask, count in zip(masks, counts.tolist(), strict=True):
        for sign in signs(mask):
            tally[sign] += count
    limit, strange = (max(1.0, share * cells.filled) for share in (_RARE_SIGN, _STRANGE_SIGN))
    odd = {s for s, n in tally.items() if n <= (limit if s.isalnum() or s in _PLAIN_SIGNS else strange)}
    if odd and len(odd) < len(tally):
        yield OddCharacters("format", "characters", (name,), weights.ODD_CHARACTERS, frozenset(set(tally) - odd))


def _outside(low: float, high: float) -> str:
    return "below {} or above {}".format(*figure_texts(low, high))


def _outliers(name: str, cells: Cells) -> Iterator[CellTest]:
    numbers = cells.numbers
    known = numbers[~np.isnan(numbers)]
    if len(known) < LEAST_CELLS:
        return
    if constant := _constant(name, known):
        yield constant
        if constant.weight == weights.STREWN or (known == constant.low).mean() >= _DOMINANT_SHARE:
            return
    q1, q3 = np.quantile(known, (0.25, 0.75)).tolist()
    spread = q3 - q1
    if spread > 0:
        low, high = q1 - 1.5 * spread, q3 + 1.5 * spread
        said = f"lie more than 1.5 interquartile ranges outside the quartiles, {_outside(low, high)}"
        yield OutsideRange("outlier", "outlier", (name,), weights.OUTLIER, low, high, said)
    # What is filled in would hide, the more of it there is, what else lies apart.
    filled = filled_in(known)
    left = known if filled is None else known[(known >= filled[0]) & (known <= filled[1])]
    if found := beyond_gap(left) or beyond_few(left) or filled:
        low, high = found
        said = f"lie beyond a wide gap, {_outside(low, high)}"
        yield OutsideRange("outlier", "beyond_gap", (name,), weights.BEYOND_GAP, low, high, said)
    yield from _rare_signs(name, known[(known >= found[0]) & (known <= found[1])] if found else known)
    if far := far_from_all(known):
        low, high = far
        said = f"lie far from all others, {_outside(low, high)}"
        yield OutsideRange("outlier", "far_outlier", (name,), weights.FAR_OUTLIER, low, high, said)


def _odd_times(name: str, cells: Cells) -> Iterator[OutsideRange]:
    """Times far from all others: of another century, or of the first day that a system knows."""
    known = cells.numbers[~np.isnan(cells.numbers)]
    found = _far_times(known) or (_stand_ins(known) if cells.form.has_date else None)
    if found:
        low, high = found
        told = _date if cells.form.has_date else _clock
        said = f"lie far from all others, before {told(low)} or after {told(high)}"
        # Wherever the column goes on to, its other rows do not lead there: a stretch of such is no one step.
        yield OutsideRange("outlier", "far_times", (name,), weights.BEYOND_GAP, low, high, said, is_far=True)


def _stand_ins(known: Floats) -> tuple[float, float] | None:
    """The first and the last of times but for one that stands where there is none: on a day that systems and people
    take for it, at an end, and apart from the others.
    """
    times, counts = np.unique(known, return_counts=True)
    if len(times) < _LEAST_TIMES:
        return None
    for end, others in ((0, times[1:]), (-1, times[:-1])):
        apart = abs(times[end] - others[end])
        is_apart = apart >= max(_LEAST_APART_S, _PART_OF_SPAN * (others[-1] - others[0]))
        if is_apart and counts[end] <= _MOST_FILLED_IN * len(known) and str(_date(times[end])) in _FILLED_IN_DAYS:
            return float(others[0]), float(others[-1])
    return None


def _far_times(known: Floats) -> tuple[float, float] | None:
    """The first and the last of times but for a few that lie far from all others; None where there are no such."""
    if len(known) < LEAST_CELLS:
        return None
    # Times begin nowhere: that of 1970 is no zero beside which others are large.
    first = float(known.min())
    found = beyond_gap(known - first, TIME_GRADES, TIME_FURTHER)
    return None if found is None else (first + found[0], first + found[1])


def times_span(cells: Cells) -> tuple[float, float] | None:
    """From when to when the rows of a column of times are, in seconds since 1970.

    A few wrong dates of another century are no beginning and no end: by them batches would be ordered, and late.
    """
    known = cells.instants[~np.isnan(cells.instants)]
    if not len(known):
        return None
    return _far_times(known) or (float(known.min()), float(known.max()))


def _date(second: float) -> date:
    """The day of a time in seconds since 1970, also of one before it."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).date()


def _clock(second: float) -> str:
    """A time of any day."""
    return str(timedelta(seconds=round(second % 86_400)))


def _rare_signs(name: str, known: Floats) -> Iterator[OutsideRange]:
    """What is below zero, or zero, where nearly all others are well above."""
    below, above = -known[known < 0], known[known > 0]
    if len(below):
        if len(below) > FEW_IN_ALL * len(known) and not is_mirrored(below, above, bool((known == 0).any())):
            return
        low, high = np.quantile(above, (0.1, 0.9)) if len(above) else (0.0, 0.0)
        is_turned = low <= np.median(below) <= high
        # A measure whose values thin out through zero has as many just above it.
        if not is_turned and len(np.unique(below)) >= LEAST_SIZES and (above <= below.max()).sum() >= len(below):
            return
        # As large as the others are they lost their sign; else they lie where the column ends.
        weight = weights.TURNED_SIGN if is_turned else weights.RARE_SIGN
        yield OutsideRange("outlier", "rare_sign", (name,), weight, 0.0, np.inf, "are below zero")
        return
    zeros, sizes = len(known) - len(above), np.unique(above)
    if not 0 < zeros <= _MOST_ZEROS * len(known) or len(sizes) < LEAST_SIZES:
        return
    step = float(np.quantile(np.diff(sizes), 0.1))
    # As wide a gap as parts a few is one where they are more.
    is_parted = sizes[0] >= WIDE_GAP * (sizes[-1] - sizes[0])
    is_above = sizes[0] >= max(_ZERO_STEPS * step, _ZERO_PART * float(np.median(above)))
    if is_parted or (is_above and len(sizes) >= _LEAST_ZERO_SIZES):
        low = float(np.nextafter(0.0, 1.0))
        weight = weights.BEYOND_GAP if is_parted else weights.ODD_ZERO
        yield OutsideRange("outlier", "odd_zero", (name,), weight, low, np.inf, "are 0, and all others well above")


def _constant(name: str, known: Floats) -> OutsideRange | None:
    """A constant with others beside it: strewn on both sides of it they are errors, else hardly."""
    values, counts = np.unique(known, return_counts=True)
    top = float(values[np.argmax(counts)])
    share = counts.max() / len(known)
    if share < _STREWN_CONSTANT_SHARE or len(values) == 1:
        return None
    others = values[values != top]
    rest = counts[values != top]
    most = max(2.0, (_MOST_STREWN if len(others) >= 4 else _MOST_OF_ONE_STREWN) * len(known))
    if len(others) >= _LEAST_STREWN:
        most = max(most, _MOST_OF_STREWN * rest.sum())
    apart = np.abs(others - top)
    is_few_each = rest.max() <= most or apart.max() >= ENDLESS_GAP * apart.min()
    is_strewn = (others < top).any() and (others > top).any() and is_few_each
    if not is_strewn and share < _CONSTANT_SHARE:
        return None
    weight = weights.STREWN if is_strewn else weights.NEARLY_CONSTANT
    return OutsideRange("outlier", "constant", (name,), weight, top, top, f"are not {figure_text(top)}, as most are")
