"""Which numbers of a column lie apart from all its others, on either side: by gaps, by spreads, by a lost sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quality_assets.domain.arrays import Floats

FEW_IN_ALL = 0.1
# As far from the median as no more than every other value could draw: the median distance is robust.
_FAR_SPREADS, _SKEWED_TIMES = 6.0, 2.0
# A gap is so many times as wide as all before it lie, and so many times their largest where they are skewed. What
# stands behind it again and again is a group, unless it is 0 or lies very far out; behind such a gap so many may lie.
WIDE_GAP, _SENTINEL_GAP, _SKEWED_GAP, LEAST_SIZES, _MOST_BEYOND = 0.5, 3.0, 3.0, 5, 0.3
# Beyond gaps on both sides is no group where hardly a number between them comes twice: what does beyond them is filled
# in; nor where one between them comes so many times as often as any beyond: those are strewn.
_HARDLY_AGAIN, _SELDOM_AGAIN = 1.1, 2.0
# Of how wide a gap no sizes are needed to be told that it is one.
ENDLESS_GAP = 50.0
# What is parted by the widest gaps hides those within: after them it is looked again, a few times, and half is left.
_MOST_ROUNDS, _LEAST_LEFT = 4, 0.5
# What lost its sign is spread as what has it (Kolmogorov and Smirnov, one in ten), up to so much of a column.
_MOST_MIRRORED, _LEAST_MIRRORED, _CHANCE_DISTANCE, _MOST_APART = 0.4, 2, 1.22, 0.25
# The same at one in a hundred.
_OF_SIZES = (1.63, 0.4)
# A few values are all where so much of a column has them, and none of the others is nearly as frequent as one of them.
_MOST_FEW, _FEW_HAVE, _LESS_FREQUENT = 4, 0.6, 1.5


def is_mirrored(below: Floats, above: Floats, has_zeros: bool = False) -> bool:
    """Whether what is below zero is the size of what is above: of a measure through zero it is much smaller.

    Where every size below stands above as well, as of codes and counts, chance may part them farther. Of one size that
    has no zero beside it, as of 1 and -1, either may be meant.
    """
    sizes = np.unique(above)
    if len(below) > _MOST_MIRRORED * (len(below) + len(above)) or len(sizes) < (1 if has_zeros else _LEAST_MIRRORED):
        return False
    if len(sizes) >= LEAST_SIZES and _keep_off_zero(below, sizes):
        return True
    every = np.sort(np.concatenate([below, above]))
    shares = [np.searchsorted(np.sort(each), every, "right") / len(each) for each in (below, above)]
    is_of_sizes = bool(np.isin(below, sizes).all())
    times, most = _OF_SIZES if is_of_sizes else (_CHANCE_DISTANCE, _MOST_APART)
    by_chance = times * np.sqrt(1 / len(below) + 1 / len(above))
    return bool(np.abs(shares[0] - shares[1]).max() <= min(by_chance, most))


def _keep_off_zero(below: Floats, above: Floats) -> bool:
    """Whether no number is near zero, on either side of which they are as large: no measure leaps over it."""
    low, high = float(above.min()), float(above.max())
    is_as_large = low <= np.quantile(below, 0.1) and np.quantile(below, 0.9) <= high
    return bool(is_as_large and min(low, below.min()) >= WIDE_GAP * (high - low))


@dataclass(frozen=True)
class _Grade:
    """Up to which share of the numbers may lie beyond a gap, and how many times as wide as what lies before
    it the gap must be; `on_both` says that there must be one on either side, as groups are not parted.
    """

    share: float
    gap: float
    sizes: int = LEAST_SIZES
    on_both: bool = False


_FURTHER = (_Grade(_MOST_BEYOND, _SENTINEL_GAP), _Grade(_MOST_BEYOND, ENDLESS_GAP, 2))
_GRADES = (
    _Grade(_MOST_BEYOND, WIDE_GAP, on_both=True),
    _Grade(_MOST_BEYOND, 3 * WIDE_GAP, 2, on_both=True),
    _Grade(FEW_IN_ALL, WIDE_GAP),
    _Grade(_MOST_BEYOND, 3 * WIDE_GAP),
    *_FURTHER,
)
# What is filled in is of three nines and more, and so much of what all others span apart from them.
_NINES, _FILLED_GAP = np.array([sign * (10.0**digits - 1) for digits in range(3, 13) for sign in (1, -1)]), 0.25
# Times thin out towards the past by themselves.
TIME_FURTHER = (_Grade(_MOST_BEYOND, 3 * _SENTINEL_GAP),)
TIME_GRADES = (_Grade(FEW_IN_ALL, _SENTINEL_GAP), *TIME_FURTHER)


def beyond_gap(
    known: Floats, grades: Sequence[_Grade] = _GRADES, further: Sequence[_Grade] = _FURTHER
) -> tuple[float, float] | None:
    """The last numbers before a gap, below or above, beyond which few lie; None where there is none."""
    ascending = left = np.sort(known)
    for turn in range(_MOST_ROUNDS):
        found = next(filter(None, (_ends(left, grade) for grade in (further if turn else grades))), None)
        if found is None:
            break
        within = left[(left >= found[0]) & (left <= found[1])]
        if len(within) < _LEAST_LEFT * len(ascending):
            break
        left = within
    return (float(left[0]), float(left[-1])) if len(left) < len(ascending) else None


def filled_in(known: Floats) -> tuple[float, float] | None:
    """The ends of numbers beside which others are filled in where there is none: such of nines alone, apart from the
    rest, and then -1 beside what never is below zero. None where no such are there, or more than a few.
    """
    values, counts = np.unique(known, return_counts=True)
    is_minus_one = values == -1
    rest = values[~(np.isin(values, _NINES) | is_minus_one)]
    if len(rest) < LEAST_SIZES:
        return None
    low, high = float(rest[0]), float(rest[-1])
    apart = np.maximum(low - values, values - high)
    is_filled = np.isin(values, _NINES) & ((apart >= _FILLED_GAP * (high - low)) | ((values < 0) & (low >= 0)))
    if not is_filled.any():
        return None
    is_filled |= is_minus_one & (low >= 0)
    kept = values[~is_filled]
    return (float(kept[0]), float(kept[-1])) if counts[is_filled].sum() <= _MOST_BEYOND * len(known) else None


def beyond_few(known: Floats) -> tuple[float, float] | None:
    """The ends of a few values that most numbers have, where most others are strewn far beyond them on both sides, or
    all lie beyond an endless gap; None where there are no such.
    """
    values, counts = np.unique(known, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    for few in range(2, min(_MOST_FEW, len(values) - 1) + 1):
        is_clear = counts[order[few - 1]] >= _LESS_FREQUENT * counts[order[few]]
        if not is_clear or counts[order[:few]].sum() < _FEW_HAVE * len(known):
            continue
        low, high = float(values[order[:few]].min()), float(values[order[:few]].max())
        below, above = low - known[known < low], known[known > high] - high
        far = 3 * WIDE_GAP * (high - low)
        is_strewn = len(below) and len(above) and min(np.median(below), np.median(above)) >= far
        beyond = np.concatenate([below, above])
        if is_strewn or (len(beyond) and beyond.min() >= ENDLESS_GAP * (high - low)):
            return low, high
    return None


def _ends(ascending: Floats, grade: _Grade) -> tuple[float, float] | None:
    """The last numbers before gaps of a grade; None where there is none."""
    most, least = int(grade.share * len(ascending)), grade.gap
    inner = ascending[most : len(ascending) - most]
    if most < 1 or (not grade.on_both and _sizes(inner) < grade.sizes):
        return None
    high = _before_gap(ascending, most, float(inner[0]), grade)
    low = -_before_gap(-ascending[::-1], most, -high, grade)
    high = _before_gap(ascending, most, low, grade)
    below, above = ascending[ascending < low], ascending[ascending > high]
    if grade.on_both:
        # As many errors leave few sizes in the middle; between two gaps lies all that is none.
        within = ascending[(ascending >= low) & (ascending <= high)]
        is_parted = len(below) and len(above) and min(low - below[-1], above[0] - high) >= least * (high - low)
        is_most = len(within) >= (1 - grade.share) * len(ascending)
        is_found = is_parted and is_most and _sizes(within) >= grade.sizes
    else:
        is_found = len(below) or len(above)
    return (low, high) if is_found else None


def _is_denser(one: Floats, other: Floats) -> bool:
    """Whether some ascending numbers, and their sizes, lie closer together than others."""
    spans = [max(float(each[-1] - each[0]), 1e-300) for each in (one, other)]
    return len(one) / spans[0] > len(other) / spans[1] and _sizes(one) / spans[0] > _sizes(other) / spans[1]


def _sizes(ascending: Floats) -> int:
    """How many different numbers there are."""
    return int(np.count_nonzero(np.diff(ascending))) + 1


def _before_gap(ascending: Floats, most: int, low: float, grade: _Grade) -> float:
    """The last number before the first gap that parts the upper few and is wide beside all from `low` on; the last of
    all where there is none, or where what lies behind it is a group.
    """
    n = len(ascending)
    ends = ascending[n - 1 - most : n - 1]
    width = ends - low
    middle = float(np.median(ascending))
    # What is skewed thins out towards one side; between gaps on both it does not.
    is_skewed = ascending[0] > 0 and ends[0] - middle > _SKEWED_TIMES * (middle - ascending[most])
    if is_skewed and not grade.on_both:
        width = np.maximum(width, _SKEWED_GAP * ends)
    gaps = ascending[n - most :] - ends
    times = gaps / np.maximum(width, 1e-300)
    # Whole numbers lie a step apart.
    least = 1.0 if grade.on_both and bool(np.all(ascending == np.round(ascending))) else 0.0
    found = np.flatnonzero((times >= grade.gap) & (gaps > least))
    if not len(found):
        return float(ascending[-1])
    first = n - most + int(found[0])
    within, beyond = ascending[np.searchsorted(ascending, low) : first], ascending[first:]
    again, usually = (len(part) / _sizes(part) for part in (beyond, within))
    most_often = int(np.unique(beyond, return_counts=True)[1].max())
    is_filled_in = bool((beyond == 0).any()) or times[found[0]] >= _SENTINEL_GAP
    is_strewn = grade.on_both and (usually <= _HARDLY_AGAIN or usually >= _SELDOM_AGAIN * most_often)
    is_group = len(beyond) > 2 and again >= 3 and not is_filled_in and not is_strewn
    # Many that lie as close together as what lies before the gap, or closer, are a place of their own.
    is_many = (grade.on_both or grade.gap < _SENTINEL_GAP) and _sizes(beyond) > 2 and len(beyond) > FEW_IN_ALL * n
    is_group |= is_many and _is_denser(beyond, within)
    return float(ascending[-1]) if is_group else float(ascending[first - 1])


def far_from_all(known: Floats) -> tuple[float, float] | None:
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
