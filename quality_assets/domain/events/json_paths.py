"""Paths into nested JSON as SQL over a column that holds JSON."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from quality_assets.contracts.sources.paths import Step
from quality_assets.domain.sql_text import literal

# DuckDB has no JSONPath for these keys.
_UNREADABLE = ("", "*")


def json_path(keys: Sequence[str]) -> str | None:
    """The JSONPath of a few keys, one within the other; None where there is none."""
    if any(key in _UNREADABLE or not _is_text(key) for key in keys):
        return None
    escaped = (key.replace("\\", "\\\\").replace('"', '\\"') for key in keys)
    return "$" + "".join(f'."{key}"' for key in escaped)


def _is_text(key: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in key)


def is_simple(steps: Sequence[Step]) -> bool:
    """Whether a path is one of keys alone."""
    return all(step.is_key for step in steps)


def json_in_text_sql(text: str) -> str:
    """The JSON that a text is; null where it is none."""
    return f"CASE WHEN json_valid({text}) THEN {text} END"


def json_text_sql(json: str, steps: Sequence[Step], texts: Collection[int] = ()) -> str:
    """The text at a path in a JSON column; null where there is nothing.

    `texts` says behind how many steps the path goes on within a text that is JSON.
    """
    keys: list[str] = []
    for count, step in enumerate(steps):
        if count in texts:
            json, keys = json_in_text_sql(f"json_extract_string({json}, {literal(_path(keys))})"), []
        if step.any_value:
            values = f"json_extract({json}, {literal(_path(keys) + '.*')})"
            json, keys = f"list_filter({values}, lambda v: json_type(v) <> 'NULL')[1]", []
            continue
        keys.append(step.key)
        if step.place is not None:
            json, keys = f"json_extract({json}, {literal(_path(keys) + f'[{step.place}]')})", []
        elif step.by is not None:
            elements = f"json_extract({json}, {literal(_path(keys) + '[*]')})"
            is_it = f"json_extract_string(e, {literal(_path([step.by]))}) = {literal(step.value)}"
            json, keys = f"list_filter({elements}, lambda e: {is_it})[1]", []
    return f"json_extract_string({json}, {literal(_path(keys))})"


def _path(keys: Sequence[str]) -> str:
    # What no key can be is found nowhere.
    return json_path(keys) or '$."\\u0000"'
