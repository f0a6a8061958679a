"""Numbers as people write them: decimal commas, parted thousands, brackets for what is below zero, and one currency,
per cent or unit beside all of them. The same expression reads them here and in SQL.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.number_texts import numbers_of_texts
from quality_assets.domain.quality.datasets.known_forms import matches
from quality_assets.domain.sql_text import literal

_MOST_TRIED = 2000
# So many of what a column holds must stand beside one and the same unit; with fewer, it is of several.
_LEAST_WITH_UNIT = 0.7
# So much of what cannot be read plainly must be numbers of one way of writing, for the column to be written so.
_LEAST_EXPLAINED = 0.9
_MINUS = "\\-\u2212"
_BLANKS = " \u00a0\u202f\u2009"
_OF_NUMBERS = re.compile(rf"[\d.,'\u2019(){_MINUS}+{_BLANKS}]")
_CURRENCIES = "USD EUR GBP JPY CHF CAD AUD NZD CNY INR BRL SEK NOK DKK PLN CZK HUF MXN ZAR KRW SGD HKD TRY R$ Rs Rs. kr"
_MONEY = "|".join([*map(re.escape, _CURRENCIES.split()), "[A-Z]{0,3}[$\u00a2-\u00a5\u20a0-\u20bf]"])
_BEFORE = re.compile(_MONEY)
_BEHIND = re.compile(
    "[^\\W\\d_]{1,6}[\u00b2\u00b3]?(/[^\\W\\d_]{1,4})?|[%\u2030\u00b0][CF]?|[$\u00a2-\u00a5\u20a0-\u20bf]"
)
# (decimal sign, what parts thousands); of equals the first is meant.
_WAYS = ((".", ""), (".", ","), (",", ""), (",", "."), (",", " "), (".", " "), (".", "'"))
_PARTING = {"": "", ",": ",", ".": r"\.", " ": f"[{_BLANKS}]", "'": "['\u2019]"}
# A single letter right behind a number may be a part of a name.
_MEASURES = "kg|mg|lbs?|oz|km|cm|mm|mi|ft|ml|ms|min|[%\u2030]|\u00b0[CF]?|[ \u00a0][gmlshCFK]"
_NUMBER = rf"[+{_MINUS}]?\d[\d.,]*"
_AMOUNT = rf"^(?:(?:{_MONEY})[{_BLANKS}]?{_NUMBER}|{_NUMBER}[{_BLANKS}]?(?:{_MONEY}|{_MEASURES}))$"
_OTHERWISE = (
    (
        rf"^[+{_MINUS}]?(?:\d{{1,3}}(?:[.{_BLANKS}]\d{{3}})+|\d+),(?:\d{{1,2}}|\d{{4,}})$",
        "are written with a decimal comma, not a point",
    ),
    (_AMOUNT, "have a currency or a unit beside them, and are no bare numbers"),
)
_HAS_NUMBER = r"^\D{0,8}\d[\d.,' " + "\u2019" + r"]*\D{0,8}$"


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of a column are written where `float` cannot read them."""

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    """What stands before or behind each of them."""

    @property
    def pattern(self) -> str:
        """What matches a number that is so written, whole."""
        point = re.escape(self.decimal)
        whole = rf"\d{{1,3}}(?:{_PARTING[self.thousands]}\d{{3}})+|\d+" if self.thousands else r"\d+"
        number = rf"(?:(?:{whole})(?:{point}\d*)?|{point}\d+)"
        sign, blank = f"[+{_MINUS}]?", f"[{_BLANKS}]?"
        if self.unit:
            unit = re.escape(self.unit)
            number = f"{sign}{blank}(?:{unit}{blank}{sign}{number}|{number}{blank}{unit})"
        else:
            number = f"{sign}{blank}{number}"
        return rf"^(?:{number}|\({number}\)|{number}-)$"

    def plain(self, texts: Sequence[str]) -> pa.Array:
        """The texts as `float` reads them; null for those that are written otherwise."""
        given = pc.utf8_trim_whitespace(pa.array(texts, pa.string()))
        is_number = pc.match_substring_regex(given, self.pattern)
        is_below = pc.match_substring_regex(given, f"[({_MINUS}]")
        bare = pc.replace_substring(given, self.unit, "") if self.unit else given
        bare = pc.replace_substring_regex(bare, f"[^0-9{self.decimal}]", "")
        bare = pc.replace_substring(bare, ",", ".")
        signed = pc.binary_join_element_wise(pc.if_else(is_below, "-", ""), bare, "")
        return pc.if_else(is_number, signed, pa.scalar(None, pa.string()))

    def read(self, texts: Sequence[str]) -> Floats:
        """The numbers; NaN for what is written otherwise."""
        return _floats(self.plain(texts).to_pylist())

    def sql(self, text: str) -> str:
        """An expression of DuckDB for the number that a text is; NULL for what is written otherwise."""
        bare = f"replace({text}, {literal(self.unit)}, '')" if self.unit else text
        bare = f"replace(regexp_replace({bare}, {literal(f'[^0-9{self.decimal}]')}, '', 'g'), ',', '.')"
        below = f"CASE WHEN regexp_matches({text}, {literal(f'[({_MINUS}]')}) THEN -1 ELSE 1 END"
        return (
            f"CASE WHEN regexp_matches({text}, {literal(self.pattern)}) THEN {below} * TRY_CAST({bare} AS DOUBLE) END"
        )


PLAIN = NumberFormat()


def _floats(texts: Sequence[str | None]) -> Floats:
    numbers = numbers_of_texts(pd.Series(list(texts), dtype=object)).to_numpy(float)
    return np.where(np.isinf(numbers), np.nan, numbers)


def plain_numbers(texts: Sequence[str]) -> Floats:
    """The numbers that `float` reads; NaN for what is none, or not finite."""
    return _floats(texts)


def decimals(values: Sequence[str]) -> Ints:
    """How many digits stand behind the point of each text; zeros at the end do not count."""
    return np.array([len(value.partition(".")[2].rstrip("0")) if "." in value else 0 for value in values], np.int64)


def hold_a_number(texts: Sequence[str]) -> Bools:
    """Which texts are a number with something before or behind it."""
    return matches(texts, _HAS_NUMBER)


def are_amounts(texts: Sequence[str]) -> Bools:
    """Which texts are a number beside a currency or a unit."""
    return matches(texts, _AMOUNT)


def currencies_of(texts: Sequence[str]) -> list[str]:
    """The currency that stands beside each number; nothing where none does."""
    beside = [_OF_NUMBERS.sub("", text) for text in texts]
    return [each if _BEFORE.fullmatch(each) else "" for each in beside]


def in_other_words(texts: Sequence[str]) -> str:
    """Why numbers stand in none of these texts for `float`, in words; nothing where they are other things."""
    for pattern, words in _OTHERWISE:
        share = matches(texts, pattern).mean() if len(texts) else 0.0
        if share >= _LEAST_EXPLAINED:
            return words
    return ""


def read_numbers(texts: Sequence[str], held: Floats) -> tuple[Floats, NumberFormat | None]:
    """Texts that stand there `held` times each as numbers, and how they are written where that is not plain."""
    plain = plain_numbers(texts)
    unread = np.isnan(plain)
    if not len(texts) or unread.sum() < 1:
        return plain, None
    if unread.mean() <= 0.2:
        found = _parted(texts, plain, held)
        return (plain, None) if found is None else (found.read(texts), found)
    tried, counts = list(texts[:_MOST_TRIED]), held[:_MOST_TRIED]
    unit = _unit(tried, counts)
    read, best = 0.0, None
    for decimal, thousands in _WAYS:
        way = NumberFormat(decimal, thousands, unit)
        numbers = way.read(tried)
        share = float(counts[~np.isnan(numbers)].sum())
        if share > read and (thousands in ("", ",") or _varies(tried, thousands, decimal)):
            read, best = share, way
    if best is None or read <= counts[~unread[:_MOST_TRIED]].sum():
        return plain, None
    return best.read(texts), best


def _parted(texts: Sequence[str], plain: Floats, held: Floats) -> NumberFormat | None:
    """How a column is written most of whose numbers are plain: below a thousand, or above zero, they are anyway."""
    unread = np.flatnonzero(np.isnan(plain))
    others = [texts[index] for index in unread.tolist()]
    if len(others) < 2:
        return None
    for way in (PLAIN, NumberFormat(thousands=",")):
        explained = ~np.isnan(way.read(others))
        if held[unread][explained].sum() < _LEAST_EXPLAINED * held[unread].sum():
            continue
        is_bracketed = np.array([text.startswith("(") or text.endswith("-") for text in others])[explained].any()
        # Brackets say the same as a minus, and commas are left out of no large number where they are written.
        if not (is_bracketed and (plain < 0).any()) and not (way.thousands and (np.abs(plain) >= 1000).any()):
            return way
    return None


def _unit(texts: Sequence[str], held: Floats) -> str:
    """What stands before or behind nearly all numbers; nothing where that is nothing, or no currency or unit."""
    beside: Counter[str] = Counter()
    for text, count in zip(texts, held.tolist(), strict=True):
        beside[_OF_NUMBERS.sub("", text)] += count
    unit, count = beside.most_common(1)[0]
    if not unit or count < _LEAST_WITH_UNIT * held.sum():
        return ""
    example = next(text for text in texts if _OF_NUMBERS.sub("", text) == unit)
    could_be = _BEHIND if example.lstrip(f"(+{_MINUS}")[:1].isdigit() else _BEFORE
    return unit if could_be.fullmatch(unit) else ""


def _varies(texts: Sequence[str], thousands: str, decimal: str) -> bool:
    """Whether not all texts have as many of a sign: addresses and telephones are parted alike, sizes are not."""
    signs = _BLANKS if thousands == " " else "'\u2019" if thousands == "'" else thousands
    return any(decimal in text for text in texts) or len({sum(map(text.count, signs)) for text in texts}) > 1
