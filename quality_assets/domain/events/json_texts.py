"""JSON in texts, as SQL: objects that are made, and which texts are objects or lists."""

from __future__ import annotations

from collections.abc import Sequence

from quality_assets.domain.sql_text import literal

# DuckDB's json_valid lets NaN, Infinity and trailing commas pass; RFC 8259 does not.
_LOOSE_JSON = r"(?i)nan|inf|,\s*[}\]]"
_JSON_STRING = r'"(\\.|[^"\\])*"'


def json_object_sql(names: Sequence[str], expressions: Sequence[str]) -> str:
    """A JSON object of text values; a name that comes again gets a number."""
    pairs = []
    seen: dict[str, int] = {}
    for name, expression in zip(names, expressions, strict=True):
        seen[name] = seen.get(name, 0) + 1
        unique = name if seen[name] == 1 else f"{name}_{seen[name]}"
        pairs.append(f"{literal(unique)}, {expression}")
    return f"json_object({', '.join(pairs)})"


def json_object_valid_sql(text: str) -> str:
    """Whether a trimmed text is a JSON object by RFC 8259; false for null."""
    without_strings = f"regexp_replace({text}, {literal(_JSON_STRING)}, '\"\"', 'g')"
    return (
        f"CASE WHEN NOT coalesce(starts_with({text}, '{{') AND ends_with({text}, '}}') AND json_valid({text}), false) "
        f"THEN false "
        f"WHEN NOT regexp_matches({text}, {literal(_LOOSE_JSON)}) THEN true "
        f"ELSE NOT regexp_matches({without_strings}, {literal(_LOOSE_JSON)}) END"
    )


def may_be_nested_sql(text: str) -> str:
    """Whether a text begins as JSON's lists and objects do, at next to no cost; null for null."""
    return f"({text} >= '[' AND {text} < '\\' OR {text} >= '{{' AND {text} < '|')"


def nested_sql(text: str) -> str:
    """Whether a text is a JSON list or object; never null."""
    return f"coalesce({may_be_nested_sql(text)} AND json_valid({text}), false)"


def unless_empty_sql(text: str) -> str:
    """A text; null where it is an empty JSON list or object, as PHP writes for what there is none of."""
    return f"nullif(nullif({text}, '[]'), '{{}}')"
