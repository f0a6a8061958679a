"""Tests of how values are written: as others of their column are, or in another way that means the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from quality_assets.domain.arrays import Bools
from quality_assets.domain.quality.datasets.cell_tests import CellTest, ValueTest
from quality_assets.domain.quality.datasets.known_forms import KNOWN_FORMS, PLACEHOLDER, KnownForm, matching
from quality_assets.domain.quality.datasets.numbers import PLAIN, NumberFormat, currencies_of, hold_a_number
from quality_assets.domain.quality.datasets.time_formats import ISO, times_of
from quality_assets.domain.quality.datasets.values import Block, Cells
from quality_assets.domain.wording import plural

# A word of fewer letters may be a code, of which capitals are another one.
_LEAST_FOLDED = 3
_WITHIN_WORD = re.compile(r"(?<=[^\W\d_])\s+(?=[^\W\d_])")


@dataclass(frozen=True)
class OtherNumber(ValueTest):
    """Numbers with another unit, or parted by other signs, than those of their column."""

    usual: NumberFormat = PLAIN

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        return np.isnan(cells.of_unique) & hold_a_number(cells.uniques)

    @property
    def words(self) -> str:
        """In words."""
        how = f", with {self.usual.unit!r}" if self.usual.unit else ""
        how = how or (", with a decimal comma" if self.usual.decimal == "," else "")
        return f"are not written as the other numbers are{how}"


@dataclass(frozen=True)
class OtherCurrency(ValueTest):
    """Amounts in another currency than most of their column."""

    usual: str = ""

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        return np.array([each not in ("", self.usual) for each in currencies_of(cells.uniques)], bool)

    @property
    def words(self) -> str:
        """In words."""
        return f"are in another currency than {self.usual!r}, as most are"


@dataclass(frozen=True)
class OtherTime(ValueTest):
    """Times that are not written as most of their column are."""

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        usual = cells.form.time_format
        return ~np.isnan(cells.of_unique) & np.isnan(times_of(cells.uniques, usual or ISO))

    @property
    def words(self) -> str:
        """In words."""
        return "are dates or times written in another way than most"


@dataclass(frozen=True)
class Variant(ValueTest):
    """Words that are written in other capitals, or with other signs, than they mostly are. `spelled` is by `folded`."""

    spelled: Mapping[str, str] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.detector, self.columns))

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        return np.array([self.spelled.get(folded(value), value) != value for value in cells.uniques], bool)

    @property
    def words(self) -> str:
        """In words."""
        return "are a more frequent value in other capitals, or with other signs"


def folded(value: str) -> str:
    """The letters of a word, without capitals, accents and other signs; of a code only without capitals, and without
    blanks between letters.
    """
    plain = unicodedata.normalize("NFKD", value).casefold()
    letters = "".join(filter(str.isalpha, plain))
    return _WITHIN_WORD.sub("", value.casefold()) if is_code(plain) or len(letters) < _LEAST_FOLDED else letters


def is_code(value: str) -> bool:
    """Whether a value holds a digit, or too few letters for a word."""
    return any(map(str.isdigit, value)) or sum(map(str.isalpha, value)) < _LEAST_FOLDED


@dataclass(frozen=True)
class Padded(CellTest):
    """Values with blanks before or behind them."""

    def broken(self, block: Block) -> Bools:
        """By row."""
        cells = block.columns[self.column]
        return np.zeros(block.rows, bool) if cells.padded is None else cells.padded & ~cells.missing

    @property
    def words(self) -> str:
        """In words."""
        return "have blanks before or behind them"


@dataclass(frozen=True)
class Unlike(ValueTest):
    """Values that are not written as what the others of their column are."""

    known: KnownForm = KNOWN_FORMS[0]

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        return ~matching(self.known, cells.uniques)

    @property
    def words(self) -> str:
        """In words."""
        article = "an" if self.known.name[0] in "eI" else "a"
        return f"are not written as {article} {self.known.name} is, and the others are"


@dataclass(frozen=True)
class OtherLength(ValueTest):
    """Codes of more or fewer signs than the others of their column, which all have as many."""

    length: int = 0

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        return np.array([len(value) != self.length for value in cells.uniques], bool)

    @property
    def words(self) -> str:
        """In words."""
        return f"are not {plural(self.length, 'sign')} long, as the others are"


@dataclass(frozen=True)
class Placeholder(ValueTest):
    """Words that stand where something is to be filled in later."""

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        return matching(PLACEHOLDER, cells.uniques)

    @property
    def words(self) -> str:
        """In words."""
        return "hold the place of what is still to be filled in"


@dataclass(frozen=True)
class OtherWay(ValueTest):
    """Values that are written in another way than most, where both are known to mean the same."""

    usual: KnownForm = KNOWN_FORMS[0]
    others: tuple[KnownForm, ...] = ()

    def of_unique(self, cells: Cells) -> Bools:
        """By distinct value."""
        return np.any([matching(way, cells.uniques) for way in self.others], axis=0)

    @property
    def words(self) -> str:
        """In words."""
        return f"are written in another way than {self.usual.name}, as most are"
