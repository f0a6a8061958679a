"""Text from data, made safe for where it is shown: Markdown, HTML, a terminal, JSON, a spreadsheet.

What lies in a log is text and never acts: it draws no picture, follows no link, colours no terminal and runs in no
spreadsheet. Nothing here knows where a text comes from, nor which page, command or file it goes to.
"""

from __future__ import annotations

import html
import re
from typing import Any

from quality_assets.domain.sql_text import literal

# C0 without tab and line feed, DEL, C1; marks and overrides of direction (Unicode Bidi_Control); line and paragraph
# separators; what is invisible: soft hyphen, zero width, tags; halves of surrogate pairs, which no stream can write.
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_CONTROLS = re.compile(
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u2028\u2029\u2060-\u2064\ufeff\ufff9-\ufffb{_BIDI}"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
_BREAKS = re.compile(r"[\t\n]")

# Between letters and digits an underscore means nothing to Markdown: names such as event_date stay as they are.
_MARKDOWN = re.compile(r"[\\`*~\[\]|$]|(?<![^\W_])_|_(?![^\W_])|^(?:[-+=>:#]|\d+[.)])")
# GitHub's Markdown makes links of bare addresses also where their characters are escaped; a piece of code ends a text.
_ADDRESS = re.compile(r"://|@|(?<=www)\.|(?<=mailto):|(?<=xmpp):", re.IGNORECASE)

# What spreadsheets take for the beginning of a formula, after blanks and quotation marks too; the full-width forms
# count where a Japanese one opens the file. DuckDB reads the same pattern.
_FORMULA = re.compile(r"^['\"\s]*[=+\-@＝＋－＠\t\r\n]")


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible_text(text: str) -> str:
    """`text` with what is invisible written out, as `\\x1b` or `\\u202e`; tabs and line feeds stay."""
    return text if text.isascii() and text.isprintable() else _CONTROLS.sub(_visible, text)


def terminal_text(text: str) -> str:
    """`text` on one line and without a character that a terminal, or a log's reader, would act on."""
    return _BREAKS.sub(lambda match: {"\t": "\\t", "\n": "\\n"}[match[0]], visible_text(text))


def markdown_text(text: str) -> str:
    """`text` as Markdown that reads as that text, on one line: no picture, link, HTML, code, list, heading or table."""
    line = html.escape(" ".join(visible_text(text).split()), quote=False)
    escaped = _MARKDOWN.sub(lambda match: match[0][:-1] + "\\" + match[0][-1], line)
    return _ADDRESS.sub(lambda match: f"`{match[0]}`", escaped)


def html_text(text: str) -> str:
    """`text` as HTML, in an element or a quoted attribute; what is invisible is written out."""
    return html.escape(visible_text(text))


def json_text(document: str) -> str:
    """A JSON document with control characters, such as C1 and changes of direction, as JSON's own escapes."""
    return _CONTROLS.sub(_json_escape, document)


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\u{0xD800 + (code - 0x10000 >> 10):04x}\\u{0xDC00 + (code - 0x10000 & 0x3FF):04x}"


def spreadsheet_value(value: Any) -> Any:
    """A cell that no spreadsheet runs: a text that begins like a formula gets an apostrophe, all else stays as it is.

    Numbers stay numbers: -1.5 is no text. `spreadsheet_original` takes the apostrophe away again.
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def spreadsheet_original(text: str) -> str:
    """The text that `spreadsheet_value` made `text` of."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def spreadsheet_sql(expression: str) -> str:
    """An SQL expression of a text as `spreadsheet_value` gives it."""
    is_formula = f"regexp_matches({expression}, {literal(_FORMULA.pattern)})"
    return f"case when {is_formula} then '''' || {expression} else {expression} end"
