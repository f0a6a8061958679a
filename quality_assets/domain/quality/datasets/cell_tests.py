"""Tests of cells: what each looks for, in words and on the rows of a block. Their settings are learnt elsewhere."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.quality.datasets.edits import SlipIndex
from quality_assets.domain.quality.datasets.numbers import hold_a_number, in_other_words
from quality_assets.domain.quality.datasets.table_findings import rule_id
from quality_assets.domain.quality.datasets.values import Block, Cells, exact_shape, loose_shape
from quality_assets.domain.wording import figure_texts, plural

_NEARLY_ALL = 0.9
WANDERING = frozenset(("range", "closed_set", "format", "outlier", "dependency"))
"""The kinds that a column may break by going on from batch to batch."""
# The next name of a column that goes on may be one slip from one that it has had, and stands in a stretch of rows.
_IN_STRETCHES = WANDERING | {"typo"}
_UNLIKE_MOST = "are not the value that nearly all have"
_LEAST_WORD = 5
# So many rows that all say the same other thing are no errors of each.
_LEAST_ALIKE = 3
# The first byte of a letter of two or three read as Latin-1 or Windows-1252, with what follows; and the sign of loss.
_MISREAD = re.compile("[\u00c2\u00c3][\u0080-\u00bf\u20ac\u0192\u201a-\u201e\u2018-\u201d]|\u00e2[\u0080\u20ac]|\ufffd")
_WORD = re.compile(rf"[^\W\d_]{{{_LEAST_WORD},}}")
# ASCII letters as they are, all else blank: many times as fast as an expression where texts are plain.
_LETTERS = bytes(code if chr(code).isalpha() and code < 128 else 32 for code in range(256))


@dataclass(frozen=True)
class CellTest(ABC):
    """A test of the cells of one column, or of it beside others. `columns` ends with the one whose cells it doubts.

    `weight` is how sure it is of a cell that it flags: the share of such cells that are wrong.
    """

    kind: str
    detector: str
    columns: tuple[str, ...]
    weight: float

    @property
    def column(self) -> str:
        """The column whose cells are doubted."""
        return self.columns[-1]

    @property
    def rule_id(self) -> str:
        """What names it within its dataset."""
        return rule_id(self.detector, self.columns)

    def applies(self, block: Block) -> bool:
        """Whether the block has its columns."""
        return all(name in block.columns for name in self.columns)

    @abstractmethod
    def broken(self, block: Block) -> Bools:
        """By row of the block: whether its cell is doubted."""

    def counts_cells(self, count: int, cells: Cells, is_varied: bool = True) -> bool:
        """Whether so many cells are no wandering on, even in a column that is ordered: nearly all of a text at once.

        Where the past holds but a few values (not `is_varied`), another one may be the next of them.
        """
        is_whole = is_varied and cells.form.kind == "text" and count >= _NEARLY_ALL * cells.filled
        return self.kind not in _IN_STRETCHES or is_whole

    def changes(self, block: Block, offending: Bools) -> Bools:
        """Of the rows that break it, those that each are a change of their own."""
        return offending

    def without_values(self) -> CellTest:
        """The same, with no value of a cell in its words."""
        return self

    def said_of(self, sample: Block) -> CellTest:
        """The same, in the words that fit what breaks it in a sample of the rows."""
        return self

    @property
    @abstractmethod
    def words(self) -> str:
        """What is wrong with its cells, to follow "n values of column"."""


@dataclass(frozen=True)
class ValueTest(CellTest):
    """A test that looks at nothing but the value."""

    def broken(self, block: Block) -> Bools:
        """By row."""
        cells = block.columns[self.column]
        return cells.by_row(self.of_unique(cells)).astype(bool)

    @abstractmethod
    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""


@dataclass(frozen=True)
class WrongType(ValueTest):
    """What is neither a number nor missing in a column of numbers, and the same for times."""

    of_kind: str = "number"
    said: str = ""

    def broken(self, block: Block) -> Bools:
        """By row."""
        cells = block.columns[self.column]
        if cells.form.number_format is not None:
            return super().broken(block)
        return ~cells.missing & np.isnan(cells.numbers)

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        none = np.isnan(cells.of_unique)
        return none & ~hold_a_number(cells.uniques) if cells.form.number_format is not None else none

    def said_of(self, sample: Block) -> WrongType:
        """The same, in the words that fit what breaks it in a sample of the rows."""
        cells = sample.columns[self.column]
        if self.of_kind != "number" or cells.form.kind != "number" or cells.form.number_format is not None:
            return self
        breaking = np.flatnonzero(np.isnan(cells.of_unique)).tolist()
        return replace(self, said=in_other_words([cells.uniques[place] for place in breaking]))

    @property
    def words(self) -> str:
        """In words."""
        if self.said:
            return self.said
        return "cannot be read as a number" if self.of_kind == "number" else "cannot be read as a date or time"


@dataclass(frozen=True)
class OutsideRange(ValueTest):
    """Numbers or times outside two ends, which are within."""

    low: float = -np.inf
    high: float = np.inf
    said: str = ""
    is_far: bool = False
    """Whether the ends are so wide that no column wanders beyond them from one batch to the next."""

    @property
    def is_of_sign(self) -> bool:
        """Whether it asks for the sign alone, which stays what it is wherever a column goes on to."""
        return 0 <= self.low <= np.nextafter(0.0, 1.0) and self.high == np.inf

    def counts_cells(self, count: int, cells: Cells, is_varied: bool = True) -> bool:
        """Whether so many cells are no wandering on."""
        return (self.is_far and is_varied) or super().counts_cells(count, cells, is_varied)

    def widened(self, share: float = 0.5) -> OutsideRange:
        """The same with ends farther by a share of what they lie apart; what never was below zero stays so."""
        width = (self.high - self.low) * share
        low = self.low if self.low == 0 and not self.is_far else self.low - width
        return replace(self, low=low, high=self.high + width)

    def broken(self, block: Block) -> Bools:
        """By row."""
        numbers = block.columns[self.column].numbers
        with np.errstate(invalid="ignore"):
            return (numbers < self.low) | (numbers > self.high)

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        with np.errstate(invalid="ignore"):
            return (cells.of_unique < self.low) | (cells.of_unique > self.high)

    def without_values(self) -> OutsideRange:
        """The same, with no value of a cell in its words."""
        return self if self.low < self.high else replace(self, said=_UNLIKE_MOST)

    @property
    def words(self) -> str:
        """In words."""
        return self.said or f"lie {band_left(self.low, self.high)}"


@dataclass(frozen=True)
class NotAmong(ValueTest):
    """Values that are none of a set."""

    allowed: frozenset[str] = frozenset()
    said: str = ""
    unseen: float = 0.0
    """The chance that the next value is one of the set that was not seen yet."""

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        return np.array([value not in self.allowed for value in cells.uniques], bool)

    def without_values(self) -> NotAmong:
        """The same, with no value of a cell in its words."""
        return replace(self, said=_UNLIKE_MOST) if self.said else self

    @property
    def words(self) -> str:
        """In words."""
        return self.said or f"are none of the {plural(len(self.allowed), 'value')} that it has had"


@dataclass(frozen=True)
class OddShape(ValueTest):
    """Values of another form than those allowed, with lengths (`is_exact`) or without."""

    shapes: frozenset[str] = frozenset()
    is_exact: bool = False
    common: str = ""

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        shape = exact_shape if self.is_exact else lambda mask: loose_shape(exact_shape(mask))
        return cells.by_mask(lambda mask: shape(mask) not in self.shapes).astype(bool)

    @property
    def words(self) -> str:
        """In words."""
        return f"are written in another form than the usual {self.common!r}"


@dataclass(frozen=True)
class TooManyDecimals(ValueTest):
    """Numbers written with more digits behind the point than others."""

    most: int = 0

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        return (cells.decimals > self.most) & ~np.isnan(cells.of_unique)

    @property
    def words(self) -> str:
        """In words."""
        return "have decimals, and all others are whole" if self.most == 0 else f"have more than {self.most} decimals"


@dataclass(frozen=True)
class OddCharacters(ValueTest):
    """Values with a sign in them that others do not have; letters and digits are one sign each."""

    known: frozenset[str] = frozenset()

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        return cells.by_mask(lambda mask: not signs(mask) <= self.known).astype(bool)

    @property
    def words(self) -> str:
        """In words."""
        return "hold characters that the others do not"


@dataclass(frozen=True)
class BrokenEncoding(ValueTest):
    """Values in which a letter of UTF-8 was read as two or three of another encoding, or was lost."""

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        return cells.by_mask(lambda mask: _MISREAD.search(mask) is not None).astype(bool)

    @property
    def words(self) -> str:
        """In words."""
        return "were written in one encoding and read in another"


def signs(value: str) -> set[str]:
    """The signs of a value: "a" and "A" for ASCII letters, "9" for digits, all others as they are."""
    return {
        ("9" if c.isdigit() else "a" if c.islower() else "A" if c.isalpha() else c) if c.isascii() else c for c in value
    }


@dataclass(frozen=True)
class Typo(ValueTest):
    """Values one slip from a common one, or cut off from one; or with a word in them one slip from a common word."""

    common: frozenset[str] = frozenset()
    fine: frozenset[str] = frozenset()
    of_words: bool = False

    @cached_property
    def _index(self) -> SlipIndex:
        return SlipIndex(self.common)

    def __hash__(self) -> int:
        return hash((self.detector, self.columns))

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        if self.of_words:
            slips = {w for w in _different_words(cells.uniques) - self.fine if self._index.origins(w, of_words=True)}
            if not slips:
                return np.zeros(len(cells.uniques), bool)
            return np.array([not slips.isdisjoint(words_of(v)) for v in cells.uniques], bool)
        return np.array([self._is_slip(value) for value in cells.uniques], bool)

    def _is_slip(self, value: str) -> bool:
        if value in self.fine or value in self.common:
            return False
        return bool(self._index.origins(value) or self._index.wholes(value))

    @property
    def words(self) -> str:
        """In words."""
        return (
            "are one slip of the hand from a common word"
            if self.of_words
            else "are a slip or a piece of a common value"
        )


def words_of(value: str) -> list[str]:
    """The words of five letters and more."""
    return _WORD.findall(value)


def _different_words(values: Sequence[str]) -> set[str]:
    """The words that some values hold."""
    text = "\n".join(values)
    if not text.isascii():
        return set(words_of(text))
    return {word for word in set(text.encode().translate(_LETTERS).decode().split()) if len(word) >= _LEAST_WORD}


@dataclass(frozen=True)
class Dependency(CellTest):
    """Cells that are not what another column, which decides them, says they are."""

    expected: Mapping[str, str] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.detector, self.columns))

    def broken(self, block: Block) -> Bools:
        """By row."""
        deciding, decided = (block.columns[name] for name in self.columns)
        place = {value: code for code, value in enumerate(decided.uniques)}
        # What the block never holds at all is -2, and so is no row's code; where nothing is expected, -3.
        wanted = np.array(
            [place.get(self.expected.get(v, ""), -2) if v in self.expected else -3 for v in deciding.uniques]
        )
        if not len(wanted):
            return np.zeros(block.rows, bool)
        of_row = np.where(deciding.codes >= 0, wanted[deciding.codes], -3)
        return (of_row != -3) & (decided.codes >= 0) & (of_row != decided.codes)

    def changes(self, block: Block, offending: Bools) -> Bools:
        """Of the rows that break it: where all of one deciding value now say one and the same other, the first."""
        deciding, decided = (block.columns[name].codes for name in self.columns)
        values = len(block.columns[self.columns[0]].uniques)
        changed = offending.copy()
        if not offending.any():
            return changed
        of_value = np.bincount(deciding[(deciding >= 0) & (decided >= 0)], minlength=values)
        broken = np.bincount(deciding[offending], minlength=values)
        whole = offending & ((broken >= _LEAST_ALIKE) & (broken == of_value))[deciding]
        pairs = np.unique(np.column_stack([deciding[whole], decided[whole]]), axis=0)
        alike = whole & (np.bincount(pairs[:, 0], minlength=values) == 1)[deciding]
        changed[alike] = False
        changed[np.flatnonzero(alike)[np.unique(deciding[alike], return_index=True)[1]]] = True
        return changed

    @property
    def words(self) -> str:
        """In words."""
        return f"are not what {self.columns[0]} says they are"


@dataclass(frozen=True)
class Identity(CellTest):
    """Numbers that are not the product, sum or difference of two others. `columns` are the two, then the result."""

    operation: str = "*"

    def broken(self, block: Block) -> Bools:
        """By row."""
        one, other, result = (block.columns[name].numbers for name in self.columns)
        return ~np.isnan(one + other + result) & ~agrees(one, other, result, self.operation)

    @property
    def words(self) -> str:
        """In words."""
        return f"are not {self.columns[0]} {'×' if self.operation == '*' else self.operation} {self.columns[1]}"


def agrees(one: Floats, other: Floats, result: Floats, operation: str) -> Bools:
    """Whether a result is that of an operation, as far as it is rounded: half a hundredth, or a millionth of it."""
    with np.errstate(invalid="ignore", over="ignore"):
        computed = one * other if operation == "*" else one + other if operation == "+" else one - other
        return np.abs(computed - result) <= np.maximum(0.00501, 1e-6 * np.abs(result))


@dataclass(frozen=True)
class Below(CellTest):
    """Numbers, or times, that lie below those of another column, which they never do: an end before its beginning."""

    def broken(self, block: Block) -> Bools:
        """By row."""
        lower, upper = (block.columns[name].numbers for name in self.columns)
        with np.errstate(invalid="ignore"):
            return upper < lower

    @property
    def words(self) -> str:
        """In words."""
        return f"are below {self.columns[0]}, and no others are"


@dataclass(frozen=True)
class Heaped(CellTest):
    """Numbers that stand there far oftener than any did, in a column where hardly one comes again: filled in, it seems.

    `most` is the largest share of the cells of a batch that one number had.
    """

    most: float = 0.0

    def broken(self, block: Block) -> Bools:
        """By row."""
        cells = block.columns[self.column]
        usual = self.most * cells.filled
        numbers = ~np.isnan(cells.of_unique)
        return cells.by_row((cells.counts > usual + 2 * np.sqrt(usual) + 1) & numbers).astype(bool)

    @property
    def words(self) -> str:
        """In words."""
        return "are one and the same, far oftener than any was: filled in, it seems"


@dataclass(frozen=True)
class Ratio(CellTest):
    """Numbers whose ratio to another, or to the product of two, lies outside a band."""

    low: float = 0.0
    high: float = np.inf

    def broken(self, block: Block) -> Bools:
        """By row."""
        ratio = ratio_of(block, self.columns)
        with np.errstate(invalid="ignore"):
            return (ratio < self.low) | (ratio > self.high)

    @property
    def words(self) -> str:
        """In words."""
        below = " × ".join(self.columns[:-1])
        return f"divided by {below} lie {band_left(self.low, self.high)}, where the others lie"


def band_left(low: float, high: float) -> str:
    """In which way a band is left, which may have one end alone."""
    low_text, high_text = figure_texts(low, high)
    if np.isinf(low):
        return f"above {high_text}"
    return f"below {low_text}" if np.isinf(high) else f"outside {low_text} to {high_text}"


def ratio_of(block: Block, columns: tuple[str, ...]) -> Floats:
    """By row, the last column over the product of the others; NaN where one is missing or not above zero."""
    *below, above = (block.columns[name].numbers for name in columns)
    product = np.prod(np.vstack(below), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = above / product
    return np.where((above > 0) & (product > 0), ratio, np.nan)
