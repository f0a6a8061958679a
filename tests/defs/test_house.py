"""Rules of the house that its files show: sizes, names, where numbers are decided, and a page for each capability."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from quality_assets.settings import REPOSITORY_ROOT

ROOMS = ("quality_assets", "dash_app")
MOST_FILE_LINES, MOST_FUNCTION_LINES = 500, 60
# What is longer than it should be, and waits for the room that it lies in.
_LONG: set[str] = {"quality_assets/domain/features/trends.py: trends_sql"}

# Folders of code that the page of the folder above speaks for, and rooms whose page says what only they need.
_SPOKEN_FOR = {
    *(
        f"quality_assets/defs/{stage}"
        for stage in ("raw", "core", "product", "impact", "ml", "monitoring", "publish", "datasets")
    ),
    "dash_app/pages",
    "dash_app/components",
    "quality_assets",
    "quality_assets/domain/models",
    "quality_assets/domain/models/risk",
    "quality_assets/domain/models/sales",
    "quality_assets/domain/models/housing",
    "quality_assets/domain/series",
}
# Names that stand in several folders of one layer, and mean the same in each.
_SHARED_NAMES = {
    "defs": {"assets", "checks"},
    "domain": {"settings", "training", "use_case"},
    "contracts": {"events"},
    "tables": {"models"},
}
# How a number is written and drawn is no judgement of it.
_WRITES_NUMBERS = {"dash_app/formats.py", "dash_app/components/charts.py"}
_SQL = re.compile(r"\bselect\b.*\bfrom\b", re.IGNORECASE | re.DOTALL)
_SQL_LIMIT = re.compile(r"[<>]=?\s*\d*\.\d")


def _files(*rooms: str) -> list[Path]:
    return sorted(file for room in rooms for file in (REPOSITORY_ROOT / room).rglob("*.py"))


def _place(file: Path) -> str:
    return file.relative_to(REPOSITORY_ROOT).as_posix()


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _texts(tree: ast.AST) -> Iterator[str]:
    """Every text of a module that is no docstring."""
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(n.body[0].value) for n in nodes if n.body and isinstance(n.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_no_file_is_long() -> None:
    lengths = {_place(file): len(file.read_text(encoding="utf-8").splitlines()) for file in _files(*ROOMS)}
    assert len(lengths) > 150
    assert {place: n for place, n in lengths.items() if n > MOST_FILE_LINES and place not in _LONG} == {}


def test_no_function_is_long() -> None:
    lengths = {
        f"{_place(file)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in _files(*ROOMS)
        for node in ast.walk(_tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(lengths) > 1000
    assert {place: n for place, n in lengths.items() if n > MOST_FUNCTION_LINES and place not in _LONG} == {}


def test_the_dashboard_asks_no_database() -> None:
    files = _files("dash_app")
    asked = [f"{_place(file)}: {text[:60]}" for file in files for text in _texts(_tree(file)) if _SQL.search(text)]
    assert asked == []
    assert [_place(file) for file in files if re.search(r"^\s*(import|from) duckdb", file.read_text(), re.M)] == []


def _is_length(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) and part.id == "len" for part in ast.walk(node))


def _number(node: ast.expr, named: dict[str, float]) -> float | None:
    """The number that an expression names or is; None where it is none."""
    if isinstance(node, ast.UnaryOp):
        return _number(node.operand, named)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    return named.get(node.id) if isinstance(node, ast.Name) else None


def _limits(tree: ast.Module) -> Iterator[str]:
    """Comparisons of data with a number that is more than nought or one, written there or named in capitals above."""
    named = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, int | float)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        is_order = any(isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in node.ops)
        numbers = [number for side in sides if (number := _number(side, named)) is not None]
        if is_order and not any(map(_is_length, sides)) and any(number not in (0, 1) for number in numbers):
            yield ast.unparse(node)


@pytest.mark.parametrize("room", ["dash_app", "quality_assets/read"])
def test_what_only_reads_judges_no_number(room: str) -> None:
    files = [file for file in _files(room) if _place(file) not in _WRITES_NUMBERS]
    assert [f"{_place(file)}: {limit}" for file in files for limit in _limits(_tree(file))] == []
    texts = [text for file in files for text in _texts(_tree(file)) if "select" in text or "where" in text]
    assert [text for text in texts if _SQL_LIMIT.search(text)] == []


def test_a_limit_is_found_however_it_is_written() -> None:
    source = "LEAST = 0.3\na < LEAST\na > -0.5\nb >= 20\nlen(a) > 4\na > 0\na == 7\na <= OTHER"
    assert list(_limits(ast.parse(source))) == ["a < LEAST", "a > -0.5", "b >= 20"]
    assert _SQL_LIMIT.search("where share >= 0.05")
    assert not _SQL_LIMIT.search("where share >= $share and rank <= 3")


def test_a_name_means_one_thing_in_a_layer() -> None:
    folders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file in _files("quality_assets"):
        layer, *inner = file.relative_to(REPOSITORY_ROOT / "quality_assets").parts
        if inner and file.stem != "__init__":
            folders[layer, file.stem].add("/".join(inner[:-1]))
    shared = {key: sorted(found) for key, found in folders.items() if len(found) > 1}
    assert {key: found for key, found in shared.items() if key[1] not in _SHARED_NAMES.get(key[0], set())} == {}


_CAPABILITIES = sorted({_place(file.parent) for file in _files(*ROOMS) if file.name == "__init__.py"} - _SPOKEN_FOR)


@pytest.mark.parametrize("folder", _CAPABILITIES)
def test_a_capability_opens_with_a_page(folder: str) -> None:
    page = (REPOSITORY_ROOT / folder / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", page, re.M)
    assert headings == ["What", "Tables", "How to add", "How to test"]
    assert len(page.splitlines()) <= 60, "one page"


def test_each_decision_has_a_status_and_stands_in_the_list() -> None:
    folder = REPOSITORY_ROOT / "docs" / "adr"
    listed = re.findall(r"^- (\d+) · \[(.+)\]\((.+)\)$", (folder / "README.md").read_text(encoding="utf-8"), re.M)
    found = []
    for page in sorted(folder.glob("[0-9]*.md")):
        heading, _, status, *_ = page.read_text(encoding="utf-8").splitlines()
        number, title = heading.removeprefix("# ").split(". ", 1)
        assert (page.name[:4], status[:19]) == (f"{int(number):04d}", "**Status** accepted"), page.name
        found.append((number, title, page.name))
    assert listed == found


def test_every_path_that_a_page_names_is_there() -> None:
    pages = [*(REPOSITORY_ROOT / "docs").glob("*.md"), *(REPOSITORY_ROOT / "docs" / "adr").glob("*.md")]
    for room in ("quality_assets", "dash_app", "benchmarks"):
        pages += (REPOSITORY_ROOT / room).rglob("README.md")
    assert len(pages) > 20
    missing = [f"{_place(page)}: {path}" for page in pages for path in _paths(page) if not _exists(page, path)]
    assert missing == []


_PATH = re.compile(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py|\.md|/)?)`")
# Folders of a data root, of Dagster, and of the papers that docs/counterparts.md reads, are none of the repository's.
_ELSEWHERE = re.compile(
    r"^(artifacts|data|dashboard|landing|lake|published|processed|reports|models|logs|ops|core|raw|product|ml|inbox|live|datasets"
    r"|experiments|funnels)/"
)


def _paths(page: Path) -> list[str]:
    return [p for p in _PATH.findall(page.read_text(encoding="utf-8")) if p.endswith((".py", "/", ".md"))]


def _exists(page: Path, path: str) -> bool:
    roots = (REPOSITORY_ROOT, REPOSITORY_ROOT / "quality_assets", page.parent)
    return any((root / path).exists() for root in roots) or bool(_ELSEWHERE.match(path))


def test_modules_that_are_started_by_name_are_there() -> None:
    named = re.compile(r'"-m",\s*"((?:quality_assets|dash_app)[\w.]*)"')
    modules = {
        name
        for folder in ("quality_assets", "dash_app", "docs", "benchmarks", "tests")
        for file in (REPOSITORY_ROOT / folder).rglob("*.py")
        for name in named.findall(file.read_text(encoding="utf-8"))
    }
    assert "quality_assets.cli" in modules
    assert [name for name in modules if find_spec(name) is None] == []
