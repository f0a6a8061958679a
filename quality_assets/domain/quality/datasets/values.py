"""Columns as the checks see them: distinct values with codes, numbers where they are numbers, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.quality.datasets.numbers import (
    NumberFormat,
    are_amounts,
    decimals,
    plain_numbers,
    read_numbers,
)
from quality_assets.domain.quality.datasets.time_formats import CLOCKS, counted_instants, time_formats, times_of

ColumnKind = Literal["number", "time", "text"]

MISSING_TOKENS = frozenset(
    (
        "",
        "na",
        "n/a",
        "#n/a",
        "nan",
        "null",
        "none",
        "nil",
        "nd",
        "-",
        "--",
        "---",
        "?",
        "(null)",
        "\\n",
        "missing",
        "nat",
    )
)
# In a text these are words of a language, and no sign that a value is absent.
_WORDS = frozenset(("none", "missing", "nil", "nd"))
# So much of what a column holds must be numbers for the rest to be of the wrong type; less where they measure
# something, and are no codes of some digits.
LEAST_NUMBERS, LEAST_MEASURES = 0.9, 0.6
_MOST_FILLINGS = 4
# Of many sizes they are hardly codes: then fewer are enough beside words that come again and again.
_MANY_SIZES, _LEAST_BESIDE_FILLINGS = 20, 2 / 3
# Codes are of digits and single letters: beside words, or amounts in some unit, so many numbers are enough, where most
# of the rest is such.
_LEAST_BESIDE_WORDS, _OF_THE_REST = 0.55, 2 / 3
_DIGIT, _LETTER, _WORD = re.compile(r"\d"), re.compile(r"[^\W\d_]"), re.compile(r"[^\W\d_]{3}")
# Beside numbers of so many digits a code has some as well.
_LONG_NUMBER = 3
# A token among few codes of the same form is one of them.
_MOST_CODES = 30

_ASCII_SHAPE = {
    c: "a" if chr(c).islower() else "A" if chr(c).isupper() else "9" for c in range(128) if chr(c).isalnum()
}
_MASK_OF_BYTE = np.arange(256, dtype=np.uint8)
for _byte, _sign in _ASCII_SHAPE.items():
    _MASK_OF_BYTE[_byte] = ord(_sign)
_ASCII_SHAPE |= dict.fromkeys((9, 10, 13), " ")
_RUN = re.compile(r"(.)\1+", re.DOTALL)
_LEADING_ZERO = re.compile(r"[-+]?0\d")


def exact_shape(value: str) -> str:
    """The form of a value with its lengths: letters as a and A, digits as 9, all else as it is."""
    shape = value.translate(_ASCII_SHAPE)
    if shape.isascii():
        return shape
    return "".join(c if c.isascii() else "a" if c.islower() else "A" if c.isalpha() else c for c in shape)


def loose_shape(exact: str) -> str:
    """The form of an exact shape without lengths: each run is one sign."""
    return _RUN.sub(r"\1", exact)


@dataclass(frozen=True)
class ColumnForm:
    """How a column is read: its kind, how its times and numbers are written, and which tokens stand for nothing in it.

    `number_format` is None of numbers that `float` reads. `other_time_formats` are those that many of its times are
    written in beside the usual one.
    """

    kind: ColumnKind
    time_format: str | None = None
    missing_tokens: frozenset[str] = MISSING_TOKENS
    number_format: NumberFormat | None = None
    other_time_formats: tuple[str, ...] = ()

    @property
    def has_date(self) -> bool:
        """Whether its values are instants, and not times of any day."""
        return self.kind == "time" and self.time_format is not None and self.time_format not in CLOCKS


@dataclass
class Cells:
    """One column of some rows.

    `uniques` are its distinct values as stripped text, `codes` index them by row, and are -1 where nothing stands.
    `of_unique` are the numbers of the uniques (seconds since 1970 for times), NaN where they are none.
    """

    form: ColumnForm
    codes: Ints
    uniques: Sequence[str]
    of_unique: Floats
    has_text: bool = True
    padded: Bools | None = None
    """By row: blanks stand before or behind the text; None where none do, or it is not known."""

    @cached_property
    def counts(self) -> Ints:
        """How many rows hold each unique."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.uniques))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.codes)

    @cached_property
    def missing(self) -> Bools:
        """By row: nothing stands there."""
        return self.codes < 0

    @property
    def filled(self) -> int:
        """How many cells hold something."""
        return int(self.rows - self.missing.sum())

    @cached_property
    def numbers(self) -> Floats:
        """By row; NaN where missing or of another type."""
        return self.by_row(self.of_unique, np.nan)

    @cached_property
    def bulk(self) -> tuple[float, float]:
        """Between which numbers four in five of the rows' lie; NaN where there are none."""
        known = self.numbers[~np.isnan(self.numbers)]
        low, high = np.quantile(known, (0.1, 0.9)) if len(known) else (np.nan, np.nan)
        return float(low), float(high)

    @cached_property
    def instants(self) -> Floats:
        """By row, in seconds since 1970; NaN where it is none, also times of any day and numbers that count no time."""
        if self.form.kind == "number":
            return counted_instants(self.numbers)
        return self.numbers if self.form.has_date else np.full(self.rows, np.nan)

    def by_row(self, of_unique: np.ndarray, otherwise: float = 0) -> np.ndarray:
        """What holds of each unique, for the rows that hold it."""
        if not len(self.uniques):
            return np.full(self.rows, otherwise)
        return np.where(self.codes >= 0, of_unique[self.codes], otherwise)

    def without(self, rows: Bools) -> Cells:
        """The same where nothing stands in some rows."""
        codes = np.where(rows, -1, self.codes)
        kept = np.bincount(codes[codes >= 0], minlength=len(self.uniques)) > 0
        codes = np.where(codes >= 0, (np.cumsum(kept) - 1)[codes], -1)
        uniques = [self.uniques[place] for place in np.flatnonzero(kept).tolist()]
        return Cells(self.form, codes, uniques, self.of_unique[kept], self.has_text)

    def distinct_texts(self, where: Bools) -> list[str]:
        """Distinct values of the first 200 rows `where`; numbers of a large table, whose text is not kept, plainly."""
        if self.has_text or self.form.kind != "number":
            return [self.uniques[code] for code in dict.fromkeys(self.codes[where][:200].tolist()) if code >= 0]
        numbers = self.numbers[where][:200]
        return [f"{number:.15g}" for number in dict.fromkeys(numbers[~np.isnan(numbers)].tolist())]

    @cached_property
    def plain_numbers(self) -> Sequence[str]:
        """The uniques of a column of numbers as `float` reads them; empty where one is none."""
        written = self.form.number_format
        return self.uniques if written is None else written.plain(self.uniques).fill_null("").to_pylist()

    @cached_property
    def decimals(self) -> Ints:
        """How many decimals each unique of a column of numbers has."""
        return decimals(self.plain_numbers)

    @cached_property
    def masks(self) -> tuple[list[str], Ints]:
        """The distinct masks of the uniques, and which one each has: letters as a and A, digits as 9, all else as is.

        Letters beyond ASCII stay. There are far fewer masks than values, so what hangs on them alone is asked of masks.
        """
        texts = pa.array(self.uniques, pa.large_string())
        _, offsets, data = texts.buffers()
        if not len(texts) or data is None:
            return ([""] if len(texts) else []), np.zeros(len(texts), np.int64)
        masked = pa.py_buffer(_MASK_OF_BYTE[np.frombuffer(data, np.uint8)].tobytes())
        coded = pa.LargeStringArray.from_buffers(len(texts), offsets, masked).dictionary_encode()
        return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)

    @cached_property
    def held_by_mask(self) -> tuple[Ints, Ints]:
        """How many rows, and how many uniques, are of each mask."""
        masks, codes = self.masks
        rows = np.bincount(codes, self.counts, minlength=len(masks))
        return rows.astype(np.int64), np.bincount(codes, minlength=len(masks))

    def by_mask(self, told: Callable[[str], object]) -> np.ndarray:
        """What holds of the mask of each unique, for the uniques."""
        masks, codes = self.masks
        return np.array([told(mask) for mask in masks])[codes] if masks else np.empty(0)

    @cached_property
    def shapes(self) -> list[str]:
        """The exact shape of each unique; equal ones are one object."""
        shapes = [exact_shape(mask) for mask in self.masks[0]]
        return [shapes[code] for code in self.masks[1].tolist()]

    @cached_property
    def loose_shapes(self) -> list[str]:
        """The loose shape of each unique."""
        shapes = [loose_shape(exact_shape(mask)) for mask in self.masks[0]]
        return [shapes[code] for code in self.masks[1].tolist()]


@dataclass
class Block:
    """Some rows of a table, by column."""

    rows: int
    columns: Mapping[str, Cells] = field(default_factory=dict)


def form_of(uniques: Sequence[str], counts: Ints) -> ColumnForm:
    """How a column is to be read, told from its distinct values and how often each stands there."""
    weights = counts.astype(float)
    is_token = np.array([value.lower() in MISSING_TOKENS for value in uniques], bool)
    told = [value for value, token in zip(uniques, is_token, strict=True) if not token]
    held = weights[~is_token]
    if not told or not held.sum():
        return ColumnForm("text")
    numbers, number_format = read_numbers(told, held)
    share = float(held[~np.isnan(numbers)].sum() / held.sum())
    zeros = float(sum(w for v, w in zip(told, held, strict=True) if _LEADING_ZERO.match(v)) / held.sum())
    # Words that stand there again and again are what somebody fills in where there is no number.
    least, has_fillings = LEAST_NUMBERS, np.isnan(numbers).sum() <= _MOST_FILLINGS
    if _measures(numbers[~np.isnan(numbers)]):
        least = LEAST_MEASURES / 2 if has_fillings else LEAST_MEASURES
    elif has_fillings and len(numbers) - np.isnan(numbers).sum() >= _MANY_SIZES:
        least = _LEAST_BESIDE_FILLINGS
    if zeros < 0.01 and (share >= least or (share >= _LEAST_BESIDE_WORDS and _are_beside(told, held, numbers))):
        return ColumnForm("number", number_format=number_format)
    if formats := time_formats(told, held):
        return ColumnForm("time", formats[0], other_time_formats=formats[1:])
    return ColumnForm("text", missing_tokens=_text_tokens(told, held))


def _are_beside(told: Sequence[str], held: Floats, numbers: Floats) -> bool:
    """Whether what stands beside numbers is no code of a kind with them: words, or amounts."""
    others = np.flatnonzero(np.isnan(numbers))
    texts, rows = [told[index] for index in others.tolist()], held[others]
    is_read = ~np.isnan(numbers)
    lengths = np.array([len(text) for text in told])
    is_long = np.average(lengths[is_read] >= _LONG_NUMBER, weights=held[is_read]) > 1 / 2
    words = _LETTER if is_long else _WORD
    # A number without the unit of most of them has lost it.
    is_other = are_amounts(texts) | ~np.isnan(plain_numbers(texts))
    is_other |= np.array([bool(words.search(text) and not _DIGIT.search(text)) for text in texts])
    return bool(rows[is_other].sum() >= _OF_THE_REST * rows.sum())


def _measures(numbers: Floats) -> bool:
    """Whether some numbers are quantities: with decimals, below zero, or of many sizes."""
    if len(numbers) < 3:
        return False
    return bool(
        (numbers != np.round(numbers)).mean() > 0.1
        or (numbers < 0).mean() > 0.02
        or len(np.unique(np.floor(np.log10(np.abs(numbers) + 1)))) > 3
    )


def _text_tokens(told: Sequence[str], held: Floats) -> frozenset[str]:
    """The tokens that mean nothing in a column of text: not those that look like one of its few codes."""
    tokens = MISSING_TOKENS - _WORDS
    if len(told) > _MOST_CODES:
        return tokens
    common = {loose_shape(exact_shape(value)) for value, w in zip(told, held, strict=True) if len(value) <= 4 or w > 1}
    return frozenset(t for t in tokens if not t.isalpha() or not {loose_shape(exact_shape(t.upper()))} & common)


def texts_of(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as text without outer blanks."""
    return _trimmed(array)[0]


def _trimmed(array: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, Bools | None]:
    """A column as text without outer blanks, and which rows had some where any did."""
    column = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if not pa.types.is_string(column.type):
        column = _as_text(column)
    trimmed = pc.utf8_trim_whitespace(column)
    lengths = pc.binary_length(column)
    longer = pc.not_equal(lengths, pc.binary_length(trimmed))
    # Filled up to one width, values are as they should be.
    if not pc.any(longer).as_py() or pc.min(lengths).as_py() == pc.max(lengths).as_py():
        return trimmed, None
    return trimmed, pc.fill_null(longer, False).to_numpy(zero_copy_only=False).astype(bool)


def _as_text(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _as_text(column.dictionary_decode())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        # As a person writes it: 3, not 3.0.
        column = pc.cast(column, pa.float64(), safe=False)
        column = pc.if_else(pc.is_nan(column), None, column)
        text = pc.cast(column, pa.string())
        return pc.replace_substring_regex(text, r"\.0$", "")
    if pa.types.is_timestamp(kind):
        return pc.strftime(column, format="%Y-%m-%dT%H:%M:%S")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_primitive(kind):
        return pc.cast(column, pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([None if v is None else v.hex() for v in column.to_pylist()], pa.string())
    return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())


def encoded(array: pa.Array | pa.ChunkedArray) -> tuple[list[str], Ints]:
    """The distinct texts of a column, and the code of each row; -1 for nulls."""
    texts, codes = _coded(texts_of(array))
    return texts.to_pylist(), codes


def _coded(texts: pa.Array) -> tuple[pa.Array, Ints]:
    coded = texts.dictionary_encode()
    return coded.dictionary, pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def cells_of(array: pa.Array | pa.ChunkedArray, form: ColumnForm | None = None) -> Cells:
    """A column, read in a form or in the one that shows in itself."""
    trimmed, padded = _trimmed(array)
    texts, codes = _coded(trimmed)
    uniques = texts.to_pylist()
    if form is None:
        form = form_of(uniques, np.bincount(codes[codes >= 0], minlength=len(uniques)))
    longest, tokens = max(map(len, form.missing_tokens), default=0), form.missing_tokens
    is_missing = pc.less_equal(pc.utf8_length(texts), longest).to_numpy(zero_copy_only=False)
    for short in np.flatnonzero(is_missing).tolist():
        is_missing[short] = uniques[short].lower() in tokens
    if is_missing.any():
        place = np.cumsum(~is_missing) - 1
        codes = np.where(codes >= 0, np.where(is_missing, -1, place)[codes], -1)
        uniques = [value for value, token in zip(uniques, is_missing, strict=True) if not token]
    return Cells(form, codes, uniques, numbers_of(uniques, form), padded=padded)


def numbers_of(uniques: Sequence[str], form: ColumnForm) -> Floats:
    """The numbers, or the seconds since 1970, of texts; NaN for what is none."""
    if form.kind == "number":
        return plain_numbers(uniques) if form.number_format is None else form.number_format.read(uniques)
    if form.kind == "time" and form.time_format:
        found = times_of(uniques, form.time_format)
        for other in form.other_time_formats:
            found = np.where(np.isnan(found), times_of(uniques, other), found)
        return found
    return np.full(len(uniques), np.nan)


def block_of(table: pa.Table, forms: Mapping[str, ColumnForm] | None = None) -> Block:
    """Rows as the checks see them; columns without a form are read in the one that shows in themselves."""
    forms = forms or {}
    return Block(table.num_rows, {name: cells_of(table[name], forms.get(name)) for name in table.column_names})
