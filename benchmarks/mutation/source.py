"""A source text with positions, and a change of it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

SHOWN_BESIDE = 32


@dataclass(frozen=True)
class Edit:
    """Characters `start` to `end` of a text become `text`; `operator` says which rule made it."""

    start: int
    end: int
    text: str
    operator: str


@dataclass(frozen=True)
class Mutant:
    """One edit of one file."""

    file: str
    line: int
    edit: Edit
    before: str
    after: str
    key: str


class Source:
    """A module's text, its tree, and the positions of the tree in characters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._lines = text.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def offset(self, line: int, column: int) -> int:
        """Characters before a position as `ast` gives it: lines from 1, columns in bytes of UTF-8."""
        text = self._lines[line - 1] if line <= len(self._lines) else ""
        return self._starts[line - 1] + len(text.encode()[:column].decode())

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Where a node begins and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset)

    def of(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def line_of(self, offset: int) -> int:
        """The line, from 1, of a character."""
        return self.text.count("\n", 0, offset) + 1

    def changed(self, edit: Edit) -> str:
        """The whole text after an edit."""
        return self.text[: edit.start] + edit.text + self.text[edit.end :]

    def is_valid(self, edit: Edit) -> bool:
        """Whether the text still parses, to another tree."""
        try:
            tree = ast.parse(self.changed(edit))
        except SyntaxError:
            return False
        return ast.dump(tree) != ast.dump(self.tree)

    def mutants(self, file: str, edits: Iterable[Edit]) -> list[Mutant]:
        """Edits as mutants of `file`, in order of place. Their keys change with the text, not with the file's name."""
        digest = hashlib.sha256(self.text.encode()).hexdigest()
        found = []
        for edit in sorted(set(edits), key=lambda edit: (edit.start, edit.end, edit.text)):
            before, after = self._shown(edit)
            key = hashlib.sha256(f"{digest}|{edit.start}|{edit.end}|{edit.text}".encode()).hexdigest()[:20]
            found.append(Mutant(file, self.line_of(edit.start), edit, before, after, key))
        return found

    def _shown(self, edit: Edit) -> tuple[str, str]:
        """What is changed and what it becomes, with what stands beside it on the same lines."""
        left = max(self.text.rfind("\n", 0, edit.start) + 1, edit.start - SHOWN_BESIDE)
        line_end = self.text.find("\n", edit.end)
        right = min(len(self.text) if line_end < 0 else line_end, edit.end + SHOWN_BESIDE)
        head, tail = self.text[left : edit.start], self.text[edit.end : right]
        return _one_line(head + self.text[edit.start : edit.end] + tail), _one_line(head + edit.text + tail)


def _one_line(text: str) -> str:
    return " ".join(text.split())
