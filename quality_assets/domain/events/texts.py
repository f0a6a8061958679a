"""Texts as they arrive, as SQL: without blanks around them, as numbers, as ids, and as names that look alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from quality_assets.domain.sql_text import literal

# Blank characters of every kind, and what is invisible as the marks that are copied along with times and names: SQL's
# trim without a list takes spaces only.
BLANKS = " \t\r\n\u00a0\u3000\ufeff\u200b\u200e\u200f\u2060"
# What programs write for an id that there is none of, in any case.
NULL_LIKE_IDS = (
    *("null", "none", "nil", "nan", "undefined", "anonymous", "unknown", "n/a", "\\n", "-", "(null)"),
    # Which of two it is says nothing of who it is.
    *("true", "false"),
)
ZERO_UUIDS = ("00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000")
_LONGEST_NULL_LIKE = max(map(len, NULL_LIKE_IDS))

# Letters of full width, and ligatures, as the letters that they look like.
_WIDE = "".join(chr(code) for code in range(0xFF01, 0xFF5F))
_USUAL = "".join(chr(code) for code in range(0x21, 0x7F))
_LIGATURES = {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl"}
_ANY_BLANK = r"[\s\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]+"
_INVISIBLE = r"[\p{Cf}\x{FE00}-\x{FE0F}\x{034F}]+"

Blanks = Literal["any", "spaces", "leading"]
"""What may surround values: blanks of any kind; ASCII blanks before them and spaces behind; or nothing behind."""


def trimmed_sql(column: str, null_values: Sequence[str] = (), blanks: Blanks = "any") -> str:
    """A text without outer blanks; null where nothing is left, or one of `null_values`.

    The trim is tried only on texts that may need it: it costs ten times what these comparisons cost.
    """
    needed = needs_trim_sql(column, blanks)
    return unless_in_sql(f"CASE WHEN {needed} THEN {blankless_sql(column)} ELSE {column} END", null_values)


def unless_in_sql(text: str, values: Sequence[str]) -> str:
    """A text; null where it is one of some values. DuckDB writes out a nullif twice, and one in another four times."""
    if len(values) < 2:
        return f"nullif({text}, {literal(values[0])})" if values else text
    return f"CASE WHEN {text} NOT IN ({', '.join(map(literal, values))}) THEN {text} END"


def needs_trim_sql(column: str, blanks: Blanks) -> str:
    """Whether a text may be empty or begin or end in a blank; null for null."""
    if blanks == "leading":
        return f"{column} < '!'"
    if blanks == "spaces":
        return f"{column} < '!' OR ends_with({column}, ' ')"
    return f"{column} < '!' OR {column} >= chr(127) OR NOT {column}[-1] BETWEEN '!' AND '~'"


def blankless_sql(text: str) -> str:
    return f"nullif(trim({text}, {literal(BLANKS)}), '')"


def number_sql(text: str) -> str:
    """A number as JSON or CSV writes it, as DOUBLE (NaN and infinities included); null where it is none."""
    # DuckDB reads 1_000 as a number.
    return f"CASE WHEN NOT contains({text}, '_') THEN try_cast({text} AS DOUBLE) END"


def grouped_number_sql(text: str, decimal: str) -> str:
    """A number whose fraction stands behind `decimal`, a comma or a point, and whose thousands the other may part.

    Null where it is none.
    """
    plain = blankless_sql(text)
    between = "," if decimal == "." else "."
    form = rf"[+-]?([0-9]+|[0-9]{{1,3}}([{between}][0-9]{{3}})+)([{decimal}][0-9]+)?"
    return (
        f"CASE WHEN regexp_full_match({plain}, {literal(form)})"
        f" THEN try_cast(replace(replace({plain}, '{between}', ''), '{decimal}', '.') AS DOUBLE) END"
    )


def id_sql(text: str) -> str:
    """A trimmed id; null where it says that there is none. `7.0` is the `7` that pandas made it of."""
    words = literal("|".join(map(re.escape, NULL_LIKE_IDS)))
    zeros = ", ".join(map(literal, ZERO_UUIDS))
    # Length is known without a look at the text. A list of so many words would be joined with every row, long or short.
    return (
        f"CASE WHEN strlen({text}) <= {_LONGEST_NULL_LIKE} AND regexp_full_match(lower({text}), {words}) THEN NULL"
        f" WHEN ends_with({text}, '.0') THEN regexp_replace({text}, '^([0-9]+)\\.0$', '\\1')"
        f" WHEN {text} IN ({zeros}) THEN NULL"
        f" WHEN starts_with({text}, '=\"') THEN regexp_replace({text}, '^=\"([^\"]+)\"$', '\\1') ELSE {text} END"
    )


def folded_sql(text: str) -> str:
    """A name as it looks: lower case, composed, of usual width, without what is invisible, blanks as single spaces."""
    folded = f"translate(lower({text}), {literal(_WIDE.lower())}, {literal(_USUAL.lower())})"
    for ligature, letters in _LIGATURES.items():
        folded = f"replace({folded}, {literal(ligature)}, {literal(letters)})"
    visible = f"regexp_replace(nfc_normalize({folded}), {literal(_INVISIBLE)}, '', 'g')"
    return f"trim(regexp_replace({visible}, {literal(_ANY_BLANK)}, ' ', 'g'))"


MIN_ALIKE_NAMES = 30
"""So many names that differ in numbers alone are one name with an id in it."""


def masked_sql(name: str) -> str:
    """A name with `#` for each number and each id of hexadecimal digits in it."""
    return f"regexp_replace({name}, '[0-9a-fA-F]{{8,}}(-[0-9a-fA-F]{{4,}})*|[0-9]+', '#', 'g')"
