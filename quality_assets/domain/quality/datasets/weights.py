"""How sure each test is of a cell that it flags: the share of flagged cells that are wrong, as measured.

Those of rules, which hold where a past has shown the rule to be alive, were measured on public pairs of dirty and clean
tables; those of a table by itself are drawn towards what faults planted in two dozen public tables show
(`benchmarks/datasets_public.py`). What had no measurement of its own stands with its nearest kin.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log

TYPO, WORD_TYPO = 0.97, 0.2
STREWN = 0.98
RARE_FORMAT, EXACT_SHAPE, SEVERAL_FORMS, ODD_CHARACTERS = 0.45, 0.3, 0.3, 0.1
ODD_DECIMALS = 0.2
WRONG_TYPE = 0.9
DEPENDENCY, WEAK_DEPENDENCY = 0.85, 0.08
BROKEN_ENCODING, PLACEHOLDER = 0.95, 0.8
PADDED, KNOWN_FORM, ORDER = 0.6, 0.8, 0.8
BEYOND_GAP = 0.6
RARE_VALUE, RARE_SIGN, TURNED_SIGN, ODD_ZERO = 0.4, 0.4, 0.6, 0.35
ALONE = 0.12
DOMINANT, NEARLY_CONSTANT = 0.08, 0.04
OUTLIER, FAR_OUTLIER = 0.045, 0.1
COPIED_ROW = 0.9
IDENTITY = 0.9
MOVED = 0.95

PAST_SHAPE, PAST_CLOSED_SET, PAST_FORMAT, PAST_RANGE, PAST_CHARACTERS = 0.996, 0.99, 0.98, 0.97, 0.97
PAST_DEPENDENCY, PAST_LOCAL_DEPENDENCY = 0.99, 0.64
PAST_TYPE = 0.9
PAST_ORDER, PAST_ALONE = 0.9, 0.9
PAST_HEAPED = 0.9
# What moved as a whole is mostly the world, and a spike that never was mostly an error.
PAST_SPREAD, PAST_SPIKE = 0.1, 0.5
PAST_RATIO = 0.9

# With a past that knows its ways, what a batch shows of itself, and past ones did not, is as sure as this; of all else,
# which each batch may show of itself, little is left.
BESIDE_A_PAST = {
    **dict.fromkeys(("encoding", "swapped", "shifted", "typo", "variant"), 0.95),
    **dict.fromkeys(("rare_value", "rare_sign", "placeholder", "word_typo"), 0.9),
    **dict.fromkeys(("known_form", "other_number"), 0.8),
    **dict.fromkeys(("far_times", "padded"), 0.6),
    "type": 0.3,
    # A batch that goes farther than the last ones has a gap now and then: it is doubted, and wakes nobody.
    "beyond_gap": 0.45,
    **dict.fromkeys(("far_outlier", "alone"), 0.3),
    **dict.fromkeys(("decimals", "odd_zero"), 0.1),
}
BESIDE_A_PAST_ELSE = 0.15


def seen_beside(detector: str, weight: float) -> float:
    """How sure a test that a batch suggests of itself is where past batches were asked the same."""
    return BESIDE_A_PAST.get(detector, BESIDE_A_PAST_ELSE * weight)


# Without a past the first missing cells of a column that is otherwise full are doubted most, and many hardly more.
FIRST_MISSING, FURTHER_MISSING, FEW_MISSING_SHARE = 0.15, 0.01, 0.03
# What lies outside the quartiles, or beside a constant, is hardly a doubt, and errors that widen a column make it less:
# without a past it is shown, and takes nothing off.
FOR_THE_EYE = frozenset((OUTLIER, NEARLY_CONSTANT))
# With a past, what is within its usual scatter counts for so little that it only orders batches that are else alike.
WITHIN_USUAL, USUAL = 0.002, 1e-6


def missing_doubt(share: float) -> float:
    """Of a column without a past: the share of its cells that its missing ones are likely to have lost."""
    few = min(share, FEW_MISSING_SHARE)
    return FIRST_MISSING * few + FURTHER_MISSING * (share - few)


# What a table shows of itself in many cells is rather its habit: beyond these shares, cells count for less and less,
# yet each for something, so that more of a kind is never better.
FEW_OUTLYING, FEW_COPIED, FEW_FORMED, FEW_PARTED, FEW_ELSE = 0.02, 0.01, 0.01, 0.03, 0.1
BEYOND_FEW = 0.15
# Copies without a past: many are a habit, and one that breaks must not be worth more than what broke it.
COPIED_HERE, BEYOND_FEW_COPIED, COPIED_BY_CHANCE = 0.45, 0.05, 0.0003
# What tables have in several columns, cells that lie far out or are missing, is their way: the column with most of it
# counts whole, and the others for so much.
IN_OTHERS = 0.2


def of_habits(doubts: Iterable[float]) -> float:
    """The doubts of what a table without a past has in several columns: the largest, and little of the others."""
    found = list(doubts)
    largest = max(found, default=0.0)
    return largest + IN_OTHERS * (sum(found) - largest)


def few(count: float, rows: int, share: float) -> float:
    """A count of what stands for itself as far as it is up to a share of the rows, and beyond as its logarithm."""
    at_most = share * rows
    return count if count <= at_most else at_most * (1 + BEYOND_FEW * log(count / at_most))


def few_copied(count: float, rows: int, by_chance: float) -> float:
    """A count of copied rows, whole up to a share of the rows; as many as are alike by chance count for a trifle."""
    plain, at_most = min(count, by_chance), FEW_COPIED * rows
    beyond = max(0.0, count - plain - at_most)
    return min(count - plain, at_most) + BEYOND_FEW_COPIED * beyond + COPIED_BY_CHANCE * plain
