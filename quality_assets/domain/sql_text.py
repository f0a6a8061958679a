"""Values and names as SQL text, where a statement takes no parameter."""

from __future__ import annotations

from collections.abc import Iterable


def literal(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def enum_sql(values: Iterable[str]) -> str:
    """The SQL type of a text that takes a few values only: an ENUM of them."""
    return f"ENUM({', '.join(map(literal, values))})"
