"""The text of a contract column, as SQL over the source columns that it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quality_assets.contracts.sources.columns import ColumnMapping
from quality_assets.domain.events.durations import between_sql, duration_sql
from quality_assets.domain.events.layers import Layers
from quality_assets.domain.events.texts import folded_sql, number_sql, unless_in_sql
from quality_assets.domain.sql_text import literal

NOTHING = "CAST(NULL AS VARCHAR)"


def mapped_sql(mapping: ColumnMapping, trimmed: Mapping[str, str], layers: Layers) -> str:
    """The text of one contract column from the trimmed source columns that the file has."""
    value = layers.named(_joined_sql(mapping, trimmed))
    if mapping.extract is not None:
        value = layers.named(f"nullif(regexp_extract({value}, {literal(mapping.extract)}, 1), '')")
    if mapping.since is not None:
        begin = trimmed.get(mapping.since, NOTHING)
        value = _number_text_sql(f"{value} || {begin}", between_sql(value, begin, mapping))
    if mapping.unit == "duration":
        value = _number_text_sql(value, duration_sql(value))
    if mapping.fold:
        value = layers.named(f"nullif({folded_sql(value)}, '')")
    if mapping.map is not None:
        unknown = value if mapping.default is None or mapping.others == "keep" else literal(mapping.default)
        cases = " ".join(f"WHEN {_key_sql(value, key)} THEN {literal(to)}" for key, to in mapping.map.items())
        value = f"CASE {cases} ELSE {unknown} END"
    if mapping.default is not None:
        value = f"coalesce({value}, {literal(mapping.default)})"
    missing = [
        f"WHEN ({trimmed[column]}) IS NULL THEN {literal(to)}"
        for column, to in (mapping.if_missing or {}).items()
        if column in trimmed
    ]
    return f"CASE {' '.join(missing)} ELSE {value} END" if missing else value


def _number_text_sql(given: str, number: str) -> str:
    """A computed number as text; null where nothing was given, and no number where none could be computed."""
    return f"CASE WHEN ({given}) IS NOT NULL THEN coalesce(CAST({number} AS VARCHAR), 'none') END"


def _joined_sql(mapping: ColumnMapping, trimmed: Mapping[str, str]) -> str:
    if mapping.constant is not None:
        return literal(mapping.constant)
    values = {name: trimmed[name] for name in (*mapping.from_columns, *mapping.or_from) if name in trimmed}
    values = {name: unless_in_sql(value, mapping.null_values) for name, value in values.items()}
    others = [values[name] for name in mapping.or_from if name in values]
    if mapping.from_columns and all(name in values for name in mapping.from_columns):
        others.insert(0, _padded_sql(mapping, [values[name] for name in mapping.from_columns]))
    if len(others) > 1:
        return f"coalesce({', '.join(others)})"
    return others[0] if others else NOTHING


def _padded_sql(mapping: ColumnMapping, parts: Sequence[str]) -> str:
    if mapping.pad is not None:
        # lpad cuts what is longer.
        parts = [
            f"lpad({part}, CAST(greatest(length({part}), {width}) AS INTEGER), '0')"
            for part, width in zip(parts, mapping.pad, strict=True)
        ]
    return parts[0] if len(parts) == 1 else f"({' || '.join(f'({part})' for part in parts)})"


def _key_sql(value: str, key: str) -> str:
    """Whether a value is a key of a map: a text in any case, or a number within lower-upper."""
    lower, dash, upper = key.partition("-")
    if dash and lower.isdigit() and upper.isdigit():
        return f"({number_sql(value)}) BETWEEN {float(lower)!r} AND {float(upper)!r}"
    return f"lower({value}) = {literal(key.lower())}"
