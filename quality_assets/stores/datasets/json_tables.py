"""JSON as `batch`: objects a line, an array, or one object that holds the rows; objects within rows are columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from quality_assets.domain.sql_text import identifier, literal
from quality_assets.stores.datasets.loaded import MOST_COLUMNS, MOST_LINES, Loaded, unique_names
from quality_assets.stores.readers.faults import FileRejected, first_line
from quality_assets.stores.readers.records import MAX_LINE_BYTES, lines_of
from quality_assets.stores.readers.text import Text

_LARGEST_OBJECT_BYTES = 2 * MAX_LINE_BYTES
_LARGEST_WHOLE_BYTES = 32_000_000
_BOM_AND_BLANKS = b"\xef\xbb\xbf \t\r\n"
_OF_OBJECTS = re.compile(rb"[\xef\xbb\xbf\s]*\[\s*[{\]]")
# What DuckDB calls values that are no objects.
_NO_NAMES = ("json",)
_MOST_LEVELS = 6
# Of more keys, or where a row has hardly one of them, keys are values themselves.
_MOST_KEYS, _LEAST_HELD = 60, 0.1
_ALIKE = 0.5


def is_json(line: str) -> bool:
    """Whether the first line of a file begins JSON."""
    text = line.strip().rstrip(",")
    if text in ("[", "{", "[{", "[["):
        return True
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return text.startswith(('{"', '[{"', "[ {", "[["))


def load_json(connection: duckdb.DuckDBPyConnection, text: Text, first: str, scratch: Path) -> Loaded:
    """A file of JSON as `batch`; `first` is its first line."""
    if _write_rows_within(text.path, array := scratch / "rows.json"):
        return _loaded(connection, replace(text, path=array), is_array=True)
    if first.startswith("{") and first.rstrip().endswith("},"):
        # Lines cut out of an array.
        text = replace(text, path=_without_commas(text.path, scratch / "lines.json"))
    return _loaded(connection, text, is_array=first.startswith("["))


def _without_commas(path: Path, target: Path) -> Path:
    with target.open("w", encoding="utf-8") as out:
        out.writelines(line.text.rstrip().removesuffix(",") + "\n" for line in lines_of(path))
    return target


# --- Where the rows are -----------------------------------------------------------------------------------------------


def _write_rows_within(path: Path, array: Path) -> bool:
    """Whether a file is one object, or rows that are arrays; then its rows are in `array`, as objects, what JSON has no
    word for as null.
    """
    if path.stat().st_size > _LARGEST_WHOLE_BYTES:
        return False
    content = path.read_bytes()
    if content.lstrip(_BOM_AND_BLANKS).startswith(b"[") and _OF_OBJECTS.match(content):
        return False
    try:
        rows = _rows_of(content)
    except (ValueError, RecursionError):
        return False
    if rows is not None:
        array.write_text(json.dumps(rows), encoding="utf-8")
    return rows is not None


def _rows_of(content: bytes) -> list[Any] | None:
    def read(text: bytes) -> Any:
        return json.loads(text, parse_constant=lambda _: None)

    try:
        whole = read(content)
    except json.JSONDecodeError as error:
        # A line each.
        if not error.msg.startswith("Extra data") or not content.lstrip().startswith(b"["):
            raise
        whole = [read(line) for line in content.splitlines() if line.strip()]
    if whole == {}:
        raise FileRejected("no rows: it is an object that holds nothing")
    if isinstance(whole, dict):
        return _rows_within(whole)
    is_parted = isinstance(whole, list) and len(whole) > 1 and all(isinstance(row, list) for row in whole)
    return _named(whole) if is_parted else None


def _named(rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """Rows that are arrays as objects, by the names in the first where all of it are texts and not all below it."""
    first, width = rows[0], max(map(len, rows))
    has_names = all(isinstance(name, str) for name in first) and any(
        not isinstance(value, str) for row in rows[1:] for value in row
    )
    given = [*first, *[""] * (width - len(first))] if has_names else [""] * width
    names = unique_names(given)[0]
    return [dict(zip(names, row, strict=False)) for row in rows[has_names:]]


def _rows_within(whole: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of an object: of the only list of objects in it, as interfaces answer, on the first level that has one;
    of columns that are lists of one length; of rows or columns that are objects alike; else the object itself.
    """
    columns, data = whole.get("columns"), whole.get("data")
    if isinstance(columns, list) and isinstance(data, list) and data and all(isinstance(row, list) for row in data):
        return [dict(zip(map(str, columns), row, strict=False)) for row in data]
    level: list[Mapping[str, Any]] = [whole]
    for _ in range(_MOST_LEVELS):
        values = [value for each in level for value in each.values()]
        tables = [v for v in values if isinstance(v, list) and v and all(isinstance(row, dict) for row in v)]
        if tables:
            return tables[0] if len(tables) == 1 else [dict(whole)]
        level = [value for value in values if isinstance(value, dict)]
    values = list(whole.values())
    lists = [value for value in values if isinstance(value, list)]
    if len(lists) == len(values) > 1 and len({*map(len, lists)}) == 1 and lists[0]:
        return [dict(zip(whole, row, strict=True)) for row in zip(*lists, strict=True)]
    objects = [value for value in values if isinstance(value, dict)]
    if len(objects) == len(values) > 1 and (rows := _rows_of_objects(list(whole), objects)):
        return rows
    return [dict(whole)]


def _rows_of_objects(names: Sequence[str], objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Objects alike, each under a name: rows, or columns whose keys number the rows; nothing of others."""
    keys = list(dict.fromkeys(key for each in objects for key in each))
    if sum(map(len, objects)) <= _ALIKE * len(keys) * len(objects):
        return []
    if all(key.isdigit() for key in keys) and not all(name.isdigit() for name in names):
        return [{name: each.get(key) for name, each in zip(names, objects, strict=True)} for key in keys]
    return [{"key": name, **each} for name, each in zip(names, objects, strict=True)]


# --- Rows as a table --------------------------------------------------------------------------------------------------


def _loaded(connection: duckdb.DuckDBPyConnection, text: Text, *, is_array: bool) -> Loaded:
    plain = literal(str(text.path))
    options = "ignore_errors=true, maximum_depth=1, sample_size=-1, hive_partitioning=false, union_by_name=true"
    last: Exception | None = None
    for file_format in ("array",) if is_array else ("newline_delimited", "unstructured"):
        ignoring = options if file_format == "newline_delimited" else options.replace("ignore_errors=true, ", "")
        relation = (
            f"read_json({plain}, format='{file_format}', maximum_object_size={_LARGEST_OBJECT_BYTES}, {ignoring})"
        )
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
            names, renamed = unique_names([row[0] for row in described])
            selected = ", ".join(
                f"CASE WHEN json_type({p}) = 'NULL' THEN NULL ELSE {p} ->> '$' END AS c{i}"
                for i, p in enumerate(f"x.{identifier(row[0])}" for row in described)
            )
            connection.execute(f"CREATE OR REPLACE TABLE batch AS SELECT {selected} FROM {relation} x")
        except duckdb.Error as error:
            last = error
            continue
        nothing = " AND ".join(f"c{i} IS NULL" for i in range(len(names)))
        rows = _count(connection)
        refused, lines = _broken_lines(text.path) if file_format == "newline_delimited" else (0, ())
        if file_format == "newline_delimited":
            if refused:
                connection.execute(f"DELETE FROM batch WHERE {nothing}")
                rows = _count(connection)
            if not rows:
                continue
        nested = [index for index, row in enumerate(described) if row[1] == "JSON"]
        objects = _count(connection, f"WHERE {_kind('c0')} = 'OBJECT'") if (names, nested) == (_NO_NAMES, [0]) else 0
        if objects:
            # Something else stands among rows.
            connection.execute(f"DELETE FROM batch WHERE {_kind('c0')} IS DISTINCT FROM 'OBJECT'")
            rows, refused = objects, refused + rows - objects
        names = _spread(connection, names, nested, is_whole=objects > 0)
        return Loaded(names, rows, refused, text.encoding, "json", renamed, refused_lines=lines)
    raise FileRejected(f"it cannot be read as JSON: {first_line(last) if last else 'no objects'}")


def _count(connection: duckdb.DuckDBPyConnection, where: str = "") -> int:
    return int(connection.execute(f"SELECT count(*) FROM batch {where}").fetchall()[0][0])


def _broken_lines(path: Path) -> tuple[int, tuple[int, ...]]:
    """How many lines hold no object, and which the first of them are."""
    count = 0
    first: list[int] = []
    for line in lines_of(path):
        text = line.text.strip()
        if line.damage is not None or (text and not _is_object(text)):
            count += 1
            first += [line.number][: MOST_LINES - len(first)]
    return count, tuple(first)


def _is_object(text: str) -> bool:
    if not (text.startswith("{") and text.endswith("}")):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _spread(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], nested: Sequence[int], *, is_whole: bool
) -> tuple[str, ...]:
    """Make columns of what objects within rows hold, and return the names of all; those of a whole row as they are."""
    parts: list[tuple[str, str]] = []
    for index, name in enumerate(names):
        column = f"c{index}"
        paths = list(_paths(connection, column, (), _MOST_LEVELS)) if index in nested else []
        if not paths or len(parts) + len(paths) + len(names) - index > MOST_COLUMNS:
            parts.append((name, column))
            continue
        asked = f"json_extract_string({column}, [{', '.join(literal(_path(keys)) for keys in paths)}])"
        for place, keys in enumerate(paths, 1):
            parts.append((".".join(keys if is_whole else (name, *keys)), f"{asked}[{place}]"))
    if any(sql != f"c{index}" for index, (_, sql) in enumerate(parts)):
        selected = ", ".join(f"{sql} AS c{index}" for index, (_, sql) in enumerate(parts))
        connection.execute(f"CREATE OR REPLACE TABLE spread AS SELECT {selected} FROM batch")
        connection.execute("DROP TABLE batch")
        connection.execute("ALTER TABLE spread RENAME TO batch")
    return unique_names([name for name, _ in parts])[0]


def _kind(value: str) -> str:
    """The kind of JSON that a text is; a text that is none was a text."""
    return f"CASE WHEN {value} IS NULL THEN 'NULL' WHEN json_valid({value}) THEN json_type({value}) ELSE 'VARCHAR' END"


def _path(keys: Sequence[str]) -> str:
    return "$" + "".join(f'."{key}"' for key in keys)


def _paths(
    connection: duckdb.DuckDBPyConnection, column: str, above: tuple[str, ...], levels: int
) -> Iterator[tuple[str, ...]]:
    """The ways to what is no object, within a column of which all that is there is objects alike; none of another."""
    here = f"json_extract({column}, {literal(_path(above))})" if above else column
    keys = _keys(connection, here) if levels else []
    for key in keys:
        found = list(_paths(connection, column, (*above, key), levels - 1))
        yield from found or [(*above, key)]


def _keys(connection: duckdb.DuckDBPyConnection, objects: str) -> list[str]:
    """The keys of some objects, in their order; none where something else stands among them, or keys are values."""
    kinds = dict(
        connection.execute(
            f"SELECT {_kind(objects)} AS kind, count(*) FROM batch WHERE kind <> 'NULL' GROUP BY kind"
        ).fetchall()
    )
    if set(kinds) != {"OBJECT"}:
        return []
    found = connection.execute(
        "SELECT key, min(place), count(*) FROM ("
        f" SELECT unnest(json_keys({objects})) AS key, generate_subscripts(json_keys({objects}), 1) AS place FROM batch"
        ") GROUP BY key ORDER BY ALL LIMIT 1000"
    ).fetchall()
    held = sum(count for _, _, count in found)
    is_alike = len(found) <= _MOST_KEYS and held >= _LEAST_HELD * len(found) * kinds["OBJECT"]
    is_plain = all(key and not set('"\\*') & set(key) for key, _, _ in found)
    return [key for key, _, _ in sorted(found, key=lambda row: row[1])] if is_alike and is_plain else []
