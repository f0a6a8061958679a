"""Text from data in each place where it is shown: it reads as itself, and does nothing."""

from __future__ import annotations

import html
import io
import json
import re

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.text import Text

from quality_assets.cli.output import PlainConsole, shown
from quality_assets.domain.escaping import (
    html_text,
    json_text,
    markdown_text,
    spreadsheet_original,
    spreadsheet_sql,
    spreadsheet_value,
    terminal_text,
    visible_text,
)
from quality_assets.domain.reports import html as reports

BOMBS = (
    "![x](http://evil.example/p.png)",
    "![x](/graphql?query=mutation{wipe})",
    "[a](javascript:alert(1))",
    "[a]: http://evil.example 'title'",
    "<img src=x onerror=alert(1)>",
    "<https://evil.example> www.evil.example a@evil.example",
    "```\ncode\n```\n\n# heading\n\n| a | b |\n|---|---|\n",
    "`code` ``more`` *star* __bold__ ~~gone~~ &lt;b&gt; &#60;b&#62; \\[x](y)",
    "1. one",
    "\x1b[31mred\x1b]8;;http://evil.example\x07link\x9b2J\x00",
    "pay\u202egnp.exe \u2066x\u2069 \u2028 \ud800",
    "=cmd|' /C calc'!A0",
    "[/red][bold]x[link=http://evil.example]y",
)
text = st.text() | st.text(alphabet="![]()<>`*_~|\\#&;:/.@=+-'\" \n\t\x1bwaeh1t\u202e") | st.sampled_from(BOMBS)
_RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


@given(text)
@example(BOMBS[0])
@example(BOMBS[6])
@example(BOMBS[7])
def test_markdown_reads_as_the_text_and_is_nothing_but_text(value: str) -> None:
    drawn = _RENDERER.render(f"- {markdown_text(value)}\n- end")
    assert set(re.findall(r"<(/?\w+)", drawn)) <= {"ul", "/ul", "li", "/li", "code", "/code"}
    item = drawn.removeprefix("<ul>\n<li>").removesuffix("</li>\n<li>end</li>\n</ul>\n")
    assert html.unescape(re.sub("</?code>", "", item)) == " ".join(visible_text(value).split())
    # GitHub's addresses without brackets are looked for in what is left of a text beside code.
    assert not re.search(r"://|www\.|\w@\w", re.sub("<code>.*?</code>", "\n", item), re.IGNORECASE)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("checkout", "checkout"),
        (
            "3 of 7 rows lack event_date; first is 2026-01-02, -1.5 %",
            "3 of 7 rows lack event_date; first is 2026-01-02, -1.5 %",
        ),
        ("![x](http://evil)", "!\\[x\\](http`://`evil)"),
        ("<img onerror>", "&lt;img onerror&gt;"),
        ("a|b\n# c", "a\\|b # c"),
    ],
)
def test_markdown_of_plain_words_stays_as_it_is(value: str, expected: str) -> None:
    assert markdown_text(value) == expected


@given(text)
def test_html_is_text(value: str) -> None:
    drawn = html_text(value)
    assert not set(drawn) & set("<>\"'\x1b\u202e")
    assert html.unescape(drawn) == visible_text(value)


def test_reports_write_out_what_is_invisible() -> None:
    page = reports.page("a\u202eb", "<img src=x onerror=1>", [reports.table(["\x1b"], [["<b>"]])])
    assert "a\\u202eb" in page
    assert "&lt;img src=x onerror=1&gt;" in page
    assert "&lt;b&gt;" in page
    assert "\x1b" not in page


@given(text)
def test_a_terminal_gets_one_line_of_printable_text(value: str) -> None:
    line = terminal_text(value)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", line)
    assert terminal_text(line) == line
    line.encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\tb\nc\rd", "a\\tb\\nc\\x0dd"),
        ("\u202egnp", "\\u202egnp"),
        ("\x9b2J", "\\x9b2J"),
        ("\U000e0041", "\\U000e0041"),
        ("r20 emoji 🚀 שלום", "r20 emoji 🚀 שלום"),
    ],
)
def test_terminal_text_by_hand(value: str, expected: str) -> None:
    assert terminal_text(value) == expected


@given(text)
def test_the_console_prints_no_control_and_no_markup_of_the_text(value: str) -> None:
    stream = io.StringIO()
    console = PlainConsole(file=stream, force_terminal=True, soft_wrap=True, highlight=False, width=500)
    console.print(f"[red]quality:[/red] {shown(value)}")
    # What is forgotten to be escaped does no harm either.
    console.print(Text(value))
    styled, _, rest = stream.getvalue().partition("\n")
    assert styled == f"\x1b[31mquality:\x1b[0m {terminal_text(value)}"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", rest)


def test_the_console_makes_no_pictures_of_text() -> None:
    stream = io.StringIO()
    PlainConsole(file=stream, width=500).print(shown("root:x:0:0:root, :smile:"))
    assert stream.getvalue() == "root:x:0:0:root, :smile:\n"


@given(text)
def test_json_is_the_same_document_without_controls(value: str) -> None:
    document = json_text(json.dumps({"a": value}, ensure_ascii=False))
    assert json.loads(document) == {"a": value}
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\U000e0000-\U000e007f\ud800-\udfff]", document)


@given(text | st.text(alphabet="'\"=+-@ \t\rax"))
@example("'=x")
@example('"=x')
def test_spreadsheet_cells_run_nothing_and_come_back(value: str) -> None:
    cell = spreadsheet_value(value)
    assert not re.match(r"[\"\s]*[=+\-@\t\r]", cell)
    assert cell in (value, f"'{value}")
    assert spreadsheet_original(cell) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "'=1+1"),
        (" =1+1", "' =1+1"),
        ("'=1+1", "''=1+1"),
        ('"=1+1', "'\"=1+1"),
        ("\tx", "'\tx"),
        ("＝1", "'＝1"),
        ("@r20", "'@r20"),
        ("it's", "it's"),
        ("'quoted'", "'quoted'"),
        ("a=b", "a=b"),
        (-1.5, -1.5),
        (None, None),
    ],
)
def test_spreadsheet_cells_by_hand(value: object, expected: object) -> None:
    assert spreadsheet_value(value) == expected


def test_sql_escapes_as_python_does() -> None:
    values = [
        *(b.replace("\ud800", "") for b in BOMBS),
        "'=x",
        '"=x',
        " +x",
        "\r=",
        "\n",
        "－1",
        "plain",
        "",
        "it's -1",
    ]
    with duckdb.connect() as connection:
        connection.execute("create table t as select unnest($values) as name", {"values": values})
        found = connection.execute(f"select name, {spreadsheet_sql('name')} from t").fetchall()
        assert connection.execute(f"select {spreadsheet_sql('cast(null as varchar)')}").fetchone() == (None,)
    assert found == [(value, spreadsheet_value(value)) for value in values]
