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
# Of how wide a gap no sizes are needed to be told that it is one.
ENDLESS_GAP = 50.0
# What is parted by the widest gaps hides those within: after them it is looked again, a few times, and half is left.
_MOST_ROUNDS, _LEAST_LEFT = 4, 0.5
# What lost its sign is spread as what has it (Kolmogorov and Smirnov, one in ten), up to so much of a column.
_MOST_MIRRORED, _LEAST_MIRRORED, _CHANCE_DISTANCE, _MOST_APART = 0.4, 2, 1.22, 0.25
# A few values are all where so much of a column has them, and none of the others is nearly as frequent as one of them.
_MOST_FEW, _FEW_HAVE, _LESS_FREQUENT = 4, 0.6, 1.5


def is_mirrored(below: Floats, above: Floats) -> bool:
    """Whether what is below zero is the size of what is above: of a measure through zero it is much smaller."""
    if len(below) > _MOST_MIRRORED * (len(below) + len(above)) or len(np.unique(above)) < _LEAST_MIRRORED:
        return False
    every = np.sort(np.concatenate([below, above]))
    shares = [np.searchsorted(np.sort(each), every, "right") / len(each) for each in (below, above)]
    by_chance = _CHANCE_DISTANCE * np.sqrt(1 / len(below) + 1 / len(above))
    return bool(np.abs(shares[0] - shares[1]).max() <= min(by_chance, _MOST_APART))


@dataclass(frozen=True)
class _Grade:
    """Up to which share of the numbers may lie beyond a gap on a side, and how many times as wide as what lies before
    it the gap must be; `on_both` says that there must be one on either side, as groups are not parted.
    """

    share: float
    gap: float
    sizes: int = LEAST_SIZES
    on_both: bool = False


_FURTHER = (_Grade(_MOST_BEYOND, _SENTINEL_GAP), _Grade(_MOST_BEYOND, ENDLESS_GAP, 2))
_GRADES = (
    _Grade(FEW_IN_ALL, WIDE_GAP),
    _FURTHER[0],
    _Grade(_MOST_BEYOND, WIDE_GAP, on_both=True),
    # Whole numbers lie a step apart.
    _Grade(_MOST_BEYOND, 3 * WIDE_GAP, 2, on_both=True),
    _FURTHER[1],
)
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
    if most < 1 or np.count_nonzero(np.diff(inner)) + 1 < grade.sizes:
        return None
    high = _before_gap(ascending, most, float(inner[0]), least)
    low = -_before_gap(-ascending[::-1], most, -high, least)
    high = _before_gap(ascending, most, low, least)
    below, above = ascending[ascending < low], ascending[ascending > high]
    if grade.on_both:
        is_found = len(below) and len(above) and min(low - below[-1], above[0] - high) >= least * (high - low)
    else:
        is_found = len(below) or len(above)
    return (low, high) if is_found else None


def _before_gap(ascending: Floats, most: int, low: float, least: float) -> float:
    """The last number before the first gap that parts the upper few and is wide beside all from `low` on; the last of
    all where there is none, or where what lies behind it is a group.
    """
    n = len(ascending)
    ends = ascending[n - 1 - most : n - 1]
    width = ends - low
    middle = float(np.median(ascending))
    if ascending[0] > 0 and ends[0] - middle > _SKEWED_TIMES * (middle - ascending[most]):
        width = np.maximum(width, _SKEWED_GAP * ends)
    times = (ascending[n - most :] - ends) / np.maximum(width, 1e-300)
    found = np.flatnonzero(times >= least)
    if not len(found):
        return float(ascending[-1])
    first = int(found[0])
    beyond = ascending[n - most + first :]
    is_filled_in = bool((beyond == 0).any()) or times[first] >= _SENTINEL_GAP
    is_group = len(beyond) > 2 and len(np.unique(beyond)) <= len(beyond) / 3 and not is_filled_in
    return float(ascending[-1]) if is_group else float(ends[first])


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
