"""Which lines use a name bound while a module is imported, over all files of the product.

A constant is read once, at import, and what depends on it runs later: which tests reach it is asked of the lines that
use it, through other constants, classes and modules that import it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

Node = tuple[str, str]  # a file, and a name bound at its top level
Lines = range
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Use:
    """A place that reads a name: `binds` are the names made of it at import, none where a function reads it."""

    file: str
    lines: Lines
    binds: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where a position lies: the lines of its innermost statement, the top-level names it belongs to."""

    lines: Lines
    names: tuple[str, ...]
    is_in_function: bool


def own_lines(statement: ast.stmt) -> Lines:
    """The lines of a statement without those of its body."""
    first = min([statement.lineno, *(node.lineno for node in getattr(statement, "decorator_list", ()))])
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if body else statement.end_lineno or statement.lineno
    return range(first, max(first, last) + 1)


def bound_names(statement: ast.stmt) -> tuple[str, ...]:
    """The names that a top-level statement binds."""
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        return (statement.name,)
    stored = [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return tuple(dict.fromkeys(stored))


def innermost(statement: ast.stmt, line: int) -> tuple[ast.stmt, bool]:
    """The innermost statement at `line` inside `statement`, and whether it is in the body of a function."""
    is_in_function = False
    while True:
        inner = next(
            (
                child
                for child in ast.walk(statement)
                if isinstance(child, ast.stmt)
                and child is not statement
                and _first_line(child) <= line <= (child.end_lineno or child.lineno)
            ),
            None,
        )
        if inner is None:
            return statement, is_in_function
        is_in_function = is_in_function or isinstance(statement, FUNCTIONS)
        statement = inner


def place_of(tree: ast.Module, line: int) -> Place:
    """Where `line` lies in a module."""
    top = next(node for node in reversed(tree.body) if _first_line(node) <= line)
    inner, is_in_function = innermost(top, line)
    return Place(own_lines(inner), bound_names(top), is_in_function)


class References:
    """Uses of every top-level name of some modules."""

    def __init__(self, trees: Mapping[str, ast.Module]) -> None:
        self._modules = {_module_name(file): file for file in trees}
        self._imports = {file: self._imported(tree) for file, tree in trees.items()}
        self._uses: dict[Node, list[Use]] = defaultdict(list)
        for file, tree in trees.items():
            own = {name for statement in tree.body for name in bound_names(statement)}
            for statement in tree.body:
                if not isinstance(statement, (ast.Import, ast.ImportFrom)):
                    self._note(file, statement, own)

    def lines_using(self, file: str, names: Collection[str]) -> set[tuple[str, Lines]]:
        """The lines inside functions that read one of `names`, or what was made of them at import."""
        return self._followed(file, names)[0]

    def names_made_of(self, file: str, names: Collection[str]) -> set[Node]:
        """The names, of whichever file, that are bound at import and made of `names`, and these themselves."""
        return self._followed(file, names)[1]

    def _followed(self, file: str, names: Collection[str]) -> tuple[set[tuple[str, Lines]], set[Node]]:
        found: set[tuple[str, Lines]] = set()
        waiting, seen = [(file, name) for name in names], set[Node]()
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            for use in self._uses.get(node, ()):
                if use.binds:
                    waiting += [(use.file, name) for name in use.binds]
                else:
                    found.add((use.file, use.lines))
        return found, seen

    def _note(self, file: str, top: ast.stmt, own: Collection[str]) -> None:
        """Note every name that one top-level statement reads, by innermost statement."""
        for statement, is_in_function in _statements(top):
            binds = () if is_in_function else bound_names(top)
            for name in _names_read(statement):
                for node in self._resolved(file, name, own):
                    if is_in_function or (file, *binds) != node:
                        self._uses[node].append(Use(file, own_lines(statement), binds))

    def _resolved(self, file: str, name: tuple[str, str | None], own: Collection[str]) -> Iterator[Node]:
        first, attribute = name
        if first in self._imports[file]:
            module, imported = self._imports[file][first]
            yield from self._source(module, imported or attribute)
        elif first in own:
            yield file, first

    def _source(self, module: str, name: str | None, depth: int = 0) -> Iterator[Node]:
        """Where a name that `module` gives was bound, through modules that only hand it on."""
        if name is None:
            return
        if f"{module}.{name}" in self._modules:
            return
        file = self._modules.get(module)
        if file is None:
            return
        handed_on = self._imports[file].get(name)
        if handed_on and depth < 5:
            yield from self._source(*handed_on, depth + 1)
        else:
            yield file, name

    def _imported(self, tree: ast.Module) -> dict[str, tuple[str, str | None]]:
        """Local names that imports bind, late ones too: the module, and the name in it (None: the module itself)."""
        found: dict[str, tuple[str, str | None]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    is_module = whole in self._modules
                    found[alias.asname or alias.name] = (whole, None) if is_module else (node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname:
                        found[alias.asname] = (alias.name, None)
        return found


def _first_line(statement: ast.stmt) -> int:
    return own_lines(statement).start


def _statements(statement: ast.stmt, is_in_function: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """A statement and all inside it, each with whether it runs only when a function is called."""
    yield statement, is_in_function
    inside = is_in_function or isinstance(statement, FUNCTIONS)
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.stmt):
            yield from _statements(child, inside)
        elif isinstance(child, (ast.excepthandler, ast.match_case)):
            for inner in child.body:
                yield from _statements(inner, inside)


def _names_read(statement: ast.stmt) -> Iterator[tuple[str, str | None]]:
    """Names and `name.attribute` read by a statement itself, without its body."""
    waiting: list[ast.AST] = [
        child
        for child in ast.iter_child_nodes(statement)
        if not isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case))
    ]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr
        elif isinstance(node, ast.Name):
            yield node.id, None
        else:
            waiting += ast.iter_child_nodes(node)


def _module_name(file: str) -> str:
    """What a file is imported as. pytest puts the folder of a test file on the path, not the folders above."""
    if file.startswith("tests/"):
        return file.rsplit("/", 1)[-1].removesuffix(".py")
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
