"""What lies in a log never acts in the Dagster UI, wherever the graph shows text from data."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from quality_assets.defs.reporting import listed
from quality_assets.runner import RunOutcome
from quality_assets.settings import REPOSITORY_ROOT, Settings

DEFS = REPOSITORY_ROOT / "quality_assets" / "defs"


def _drawn(markdown: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).render(markdown)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.csv", "![x](http://evil.example/p.png),b"),
        ("a.csv", "![x](http://127.0.0.1:3000/graphql?query=mutation),[y](javascript:alert(1))"),
        ("a.csv", "<img src=x onerror=alert(1)>,`b`"),
        ("![x](evil.csv", "a,b"),
    ],
)
def test_a_header_written_as_markdown_is_told_as_text(
    run: Callable[..., RunOutcome], data_root: Settings, name: str, header: str
) -> None:
    data_root.landing_dir.mkdir(parents=True, exist_ok=True)
    (data_root.landing_dir / name).write_text(f"{header}\n1,2\n", encoding="utf-8")
    told = run("ingest_logs").metadata["raw.log_files"]["what_came_in"]
    drawn = _drawn(told)
    assert "rejected" in drawn
    assert name.removeprefix("![x](") in drawn
    assert header.split(",")[0].split("(")[0].replace("<", "&lt;") in drawn
    assert not any(mark in drawn for mark in ("<img", "<a ", "<script", "\n<h1"))


def test_texts_are_listed_as_text() -> None:
    drawn = _drawn(listed(["![x](http://evil.example)", "a\n\n# b", "<img src=x>"]).value or "")
    assert "<img" not in drawn
    assert drawn.count("<li>") == 3
    assert listed([], "Nothing new.").value == "Nothing new."


@pytest.mark.parametrize("file", sorted(DEFS.rglob("*.py")), ids=lambda file: str(file.relative_to(DEFS)))
def test_markdown_is_made_in_one_place(file: Path) -> None:
    calls = [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("MetadataValue.md", "MarkdownMetadataValue"))
    ]
    # Of a list of texts, and, for tables with dates, of lines drawn from numbers.
    assert len(calls) == (3 if file == DEFS / "reporting.py" else 0)
