"""JSON lines: one object a line, whose keys are the columns."""

from __future__ import annotations

import codecs
import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa

from quality_assets.contracts.sources.events import Source
from quality_assets.domain.events.validation import RawColumns
from quality_assets.domain.sql_text import literal
from quality_assets.stores.readers.delimited import drop_rejects, rejected_records
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.stores.readers.job import Job, unique
from quality_assets.stores.readers.records import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    KEPT_CHARACTERS,
    MAX_LINE_BYTES,
    Line,
    lines_of,
)
from quality_assets.stores.readers.text import Text, head_of

JSON_SAMPLE_LINES = 1000
# No JSON text holds this character, so that a line stays whole when it is the delimiter.
_NO_DELIMITER = "\x01"
_JSON_BLANKS = " \t\r\n\ufeff"
# Stands for the FROM item of the lines in the SQL that takes them apart.
_LINES = "/* lines */"


def looks_like_json(path: Path) -> bool:
    """Whether a text file begins as JSON does."""
    return head_of(path).removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[")


def stage_jsonl(job: Job, text: Text) -> tuple[Source, tuple[str, ...]]:
    """Stage a file of JSON lines; its source and its columns."""
    keys = _sampled_keys(text.path)
    source = job.source_of(keys)
    # A key that only later lines have is read as well.
    header = tuple(dict.fromkeys([*keys, *source.source_columns]))
    columns = RawColumns(
        header=header,
        identifiers=tuple(f"c{index}" for index in range(len(header))),
        # Escapes such as \\n and \\u0000 become characters.
        may_hold_nul=text.nul_lines != () or text.has_backslash,
        blanks="any" if text.blanks == "any" or text.has_backslash else "spaces",
    )
    paths = ", ".join(literal(_json_path(name)) for name in header)
    # A comparison is nearly free, a trim copies the line.
    is_object = (
        f"CASE WHEN line >= '{{' AND line < '|' THEN json_valid(line) "
        f"ELSE starts_with(ltrim(line, {literal(_JSON_BLANKS)}), '{{') AND json_valid(line) END"
    )
    extracted = ", ".join(f"texts[{index + 1}] AS {name}" for index, name in enumerate(columns.identifiers))
    objects = (
        "(SELECT *, texts IS NULL AS is_broken, "
        f"{extracted} FROM (SELECT *, CASE WHEN {is_object} THEN json_extract_string(line, [{paths}]) END AS texts "
        f"FROM {_LINES}))"
    )
    kept = f"json_object('line', line[:{KEPT_CHARACTERS}])"
    cut = f"json_object('line', line[:{KEPT_CHARACTERS}], 'length', length(line))"
    broken = f"CASE WHEN length(line) > {KEPT_CHARACTERS} THEN {cut} ELSE {kept} END"
    raw = replace(
        columns,
        malformed="is_broken",
        raw_row=f"CASE WHEN malformed IS NOT NULL THEN malformed WHEN is_broken THEN {broken} ELSE line END",
    )
    if text.has_long_line or text.bad_utf8 or not _stage_jsonl_fast(job, text, source, raw, objects):
        job.delete_rows()
        for lines in _batched(lines_of(text.path)):
            _insert_lines(job, source, raw, objects, lines)
    return source, header


def _json_path(name: str) -> str:
    """The JSONPath of a top-level key."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{escaped}"'


def _sampled_keys(path: Path) -> tuple[str, ...]:
    """The keys of the first lines that are JSON objects, in order of appearance."""
    keys: dict[str, None] = {}
    for number, line in enumerate(lines_of(path)):
        if number >= JSON_SAMPLE_LINES:
            break
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(line.text or "null")
            keys.update(dict.fromkeys(value if isinstance(value, dict) else ()))
    if not keys:
        raise FileRejected(f"none of the first {JSON_SAMPLE_LINES} lines is a JSON object")
    return tuple(keys)


def _stage_jsonl_fast(job: Job, text: Text, source: Source, columns: RawColumns, objects: str) -> bool:
    """Stage JSON lines with DuckDB's reader of lines; False when the rows do not account for every line."""
    rejects = unique("rejects")
    lines = (
        "(SELECT line, row_number() OVER () AS line_number, CAST(NULL AS VARCHAR) AS malformed FROM read_csv($path, "
        f"auto_detect=false, header=false, delim={literal(_NO_DELIMITER)}, quote='', escape='', "
        "columns={'line': 'VARCHAR'}, strict_mode=false, compression='none', hive_partitioning=false, "
        f"max_line_size={MAX_LINE_BYTES}, store_rejects=true, rejects_limit=0, "
        f"rejects_table={literal(rejects)}, rejects_scan={literal(rejects + '_scan')}))"
    )
    not_blank = f"(SELECT * FROM {lines} WHERE line >= '!' OR trim(line, {literal(_JSON_BLANKS)}) <> '')"
    try:
        accepted = job.insert(source, columns, objects.replace(_LINES, not_blank), path=str(text.path))
        rejected = rejected_records(job, rejects)
    except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException):
        return False
    finally:
        drop_rejects(job, rejects)
    if rejected:
        return False
    missing = text.lines - accepted
    return missing == 0 or (missing > 0 and missing == _count_blank_lines(text.path))


def _count_blank_lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(not line.strip() for line in stream)


def _batched(lines: Iterable[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    size = 0
    for line in lines:
        if line.damage is None and not line.text.strip():
            continue
        batch.append(line)
        size += len(line.text)
        if len(batch) >= BATCH_ROWS or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _insert_lines(job: Job, source: Source, columns: RawColumns, objects: str, lines: Sequence[Line]) -> None:
    view = unique("lines")
    data = pa.table(
        {
            "line": pa.array([None if line.damage else line.text.rstrip("\r\n") for line in lines], pa.string()),
            "line_number": pa.array([line.number for line in lines], pa.int64()),
            "malformed": pa.array([line.damage for line in lines], pa.string()),
        }
    )
    job.connection.register(view, data)
    try:
        job.insert(source, columns, objects.replace(_LINES, view))
    finally:
        job.connection.unregister(view)
