"""docs/troubleshooting.md: what it quotes, the product says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\*\*(.+)\*\*$", PAGE, re.MULTILINE)


def _said(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            # A value, whatever it is, as the page writes it.
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)  # type: ignore[misc]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def said() -> list[str]:
    """Every text in the code, with … for what is filled in."""
    files = [*(ROOT / "quality_assets").rglob("*.py"), *(ROOT / "dash_app").rglob("*.py")]
    return [text for file in files for text in _said(ast.parse(file.read_text(encoding="utf-8"))) if " " in text]


@pytest.mark.parametrize("sentence", QUOTED)
def test_a_sentence_that_is_quoted_is_said(sentence: str, said: list[str]) -> None:
    parts = [re.escape(part) for part in sentence.split("…")]
    # What the page shortens may be text or a value.
    pattern = re.compile(".*".join(parts))
    assert any(pattern.fullmatch(text) for text in said), sentence


def test_every_part_of_the_product_is_on_the_page() -> None:
    for part in (
        *("operations.db", "live/log.db", "live/state.db", "Server of models", "Compose file", "warehouse.duckdb"),
        *("DAGSTER_HOME", "daemon", "lake", "snapshot", "--take-over", "quality reread"),
    ):
        assert part in PAGE, part
    assert len(QUOTED) >= 40
