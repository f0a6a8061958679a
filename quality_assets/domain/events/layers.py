"""SQL in layers: what other SQL names several times is a column of a layer below it, and written out once.

DuckDB plans each mention by itself. A text that is named ten times within one that is named ten times takes a second to
plan, whatever the number of rows.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"\blayer(\d+)_\d+\b")
_IS_SHORT = re.compile(r"\w+|CAST\(NULL AS \w+\)|'[^']*'")


class Layers:
    """Columns over a relation, each in the layer above those that it is made of."""

    def __init__(self) -> None:
        self._layers: dict[int, dict[str, str]] = {}

    def named(self, sql: str) -> str:
        """The name of a column that holds what `sql` says; a column and a constant are their own."""
        if _IS_SHORT.fullmatch(sql):
            return sql
        depth = 1 + max(map(int, _NAME.findall(sql)), default=0)
        layer = self._layers.setdefault(depth, {})
        return layer.setdefault(sql, f"layer{depth}_{len(layer)}")

    def over(self, relation: str) -> str:
        """A FROM item of the relation with these columns beside its own."""
        for _, layer in sorted(self._layers.items()):
            columns = ", ".join(f"{sql} AS {name}" for sql, name in layer.items())
            relation = f"(SELECT *, {columns} FROM {relation})"
        return relation
