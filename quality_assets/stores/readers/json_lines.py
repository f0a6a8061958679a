"""JSON lines: one object a line, whose keys are the columns."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa

from quality_assets.contracts.sources.events import DEFAULT_SOURCE, Source
from quality_assets.contracts.sources.model import find_columns
from quality_assets.contracts.sources.paths import Step, is_nested, steps_of
from quality_assets.domain.events.json_paths import is_simple, json_path, json_text_sql
from quality_assets.domain.events.validation import RawColumns
from quality_assets.domain.sql_text import literal
from quality_assets.stores.readers.delimited import drop_rejects, rejected_records
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.stores.readers.job import Job, Staged, unique
from quality_assets.stores.readers.json_shapes import as_lines, is_one_object_a_line
from quality_assets.stores.readers.json_survey import HEAD_LINES, Survey, surveyed
from quality_assets.stores.readers.records import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    KEPT_CHARACTERS,
    MAX_LINE_BYTES,
    Line,
    lines_of,
)
from quality_assets.stores.readers.text import Text, as_text, head_of

# No JSON text holds this character, so that a line stays whole when it is the delimiter.
_NO_DELIMITER = "\x01"
_MARK = "\ufeff"
_JSON_BLANKS = f" \t\r\n{_MARK}"
# Stands for the FROM item of the lines in the SQL that takes them apart.
_LINES = "/* lines */"


def looks_like_json(path: Path) -> bool:
    """Whether a text file begins as JSON does."""
    return head_of(path).lstrip(codecs.BOM_UTF8 + b" \t\r\n\x1e")[:1] in (b"{", b"[")


def as_object_lines(text: Text, scratch: Path, source: Source | None) -> Text:
    """The file with one object a line, written anew where it is not so or its source takes arrays apart."""
    explode = () if source is None or source.explode is None else tuple(s.key for s in steps_of(source.explode))
    if not explode and is_one_object_a_line(text.path):
        return text
    target = scratch / "objects"
    as_lines(text.path, target, explode)
    return replace(as_text(target, head_of(target), scratch, "utf-8"), encoding=text.encoding)


def stage_jsonl(job: Job, text: Text, comment: str | None = None) -> Staged:
    """Stage a file of JSON lines; those that begin with `comment` are no rows."""
    survey = surveyed(text.path)
    if not survey.objects and text.has_long_line:
        raise FileRejected(
            f"its first line is no JSON object of up to {MAX_LINE_BYTES // 1_000_000} MB. Where rows are the elements"
            " of an array in one object, `explode` in its source's YAML takes them apart"
        )
    if not survey.objects:
        raise FileRejected(
            f"none of the first {HEAD_LINES} lines is a JSON object. A row is an object, its names and texts in double"
            " quotes; objects may stand in an array, or one behind the other"
        )
    paths = [name for name in job.nested_columns if name not in survey.keys and survey.leads_somewhere(name)]
    try:
        source = job.source_of([*survey.keys, *paths])
    except FileRejected as error:
        raise FileRejected(f"{str(error).removesuffix('.')}{_where_rows_may_be(job, survey)}") from None
    flat = [name for name in source.source_columns if name in survey.keys or not is_nested(name)]
    keys = tuple(dict.fromkeys([*survey.keys, *survey.spellings(flat)]))
    # A key that only later lines have is read as well.
    names = [name for name in source.source_columns if find_columns([name], keys) or not job.has_in_path(name)]
    columns = job.with_path_columns(
        source,
        RawColumns(
            header=tuple(names),
            identifiers=tuple(f"c{index}" for index in range(len(names))),
            # Escapes such as \\n and \\u0000 become characters.
            may_hold_nul=text.nul_lines != () or text.has_backslash,
            blanks="any" if text.blanks == "any" or text.has_backslash else "spaces",
            may_nest=True,
        ),
    )
    texts = {name: survey.texts_on(name) for name in names if name not in keys}
    raw, objects = _taken_apart(columns, names, keys, survey.repeated(flat), texts)
    if text.has_long_line or text.bad_utf8 or not _stage_jsonl_fast(job, text, source, raw, objects, comment):
        job.delete_rows()
        for lines in _batched(line for line in lines_of(text.path) if not (comment and line.text.startswith(comment))):
            _insert_lines(job, source, raw, objects, lines)
    return Staged(source, columns, frozenset([*keys, *paths]), survey.vanished(flat))


def _where_rows_may_be(job: Job, survey: Survey) -> str:
    """A word on the object, or the text, that the columns are wrapped in, or on the first array of objects."""
    source = job.claimed or job.sources.by_name.get(DEFAULT_SOURCE)
    for name in source.required_columns if source else ():
        for key in survey.keys:
            path = f'"{key}".{name}' if "." in key else f"{key}.{name}"
            if survey.leads_somewhere(path):
                return f". Its columns stand within {key!r}: a source reads them whose YAML says `from: {path}`"
    for item in survey.objects:
        for key, value in item.items():
            if isinstance(value, list) and any(isinstance(element, dict) for element in value):
                return f". Its rows may be the elements of {key!r}: `explode` in the source's YAML takes them apart"
    return ""


def _taken_apart(
    columns: RawColumns,
    names: Sequence[str],
    keys: Sequence[str],
    repeated: Sequence[str],
    texts: Mapping[str, Sequence[int]],
) -> tuple[RawColumns, str]:
    """The columns of the lines, and the FROM item that takes them out of _LINES.

    `texts` says of paths where they go on within a text that is JSON.
    """
    # A comparison is nearly free, a trim copies the line.
    is_object = (
        f"CASE WHEN line >= '{{' AND line < '|' THEN json_valid(line) "
        f"ELSE starts_with(ltrim(line, {literal(_JSON_BLANKS)}), '{{') AND json_valid(line) END"
    )
    if repeated:
        is_object = f"({is_object}) AND NOT {_repeats_key_sql(repeated)}"
    taken, values = _extraction(names, keys, texts)
    extracted = "".join(f", {value} AS c{index}" for index, value in enumerate(values))
    objects = (
        f"(SELECT *, texts IS NULL AS is_broken{extracted} "
        f"FROM (SELECT *, CASE WHEN {is_object} THEN json_extract_string(line, [{taken}]) END AS texts "
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
    return raw, objects


def _extraction(names: Sequence[str], keys: Sequence[str], texts: Mapping[str, Sequence[int]]) -> tuple[str, list[str]]:
    """The JSONPaths that a line is taken apart by at once, and per column the SQL of its text over `texts`."""
    paths: list[str] = []
    values = []
    for name in names:
        parts = []
        for steps in _ways(name, keys):
            path = json_path([step.key for step in steps]) if is_simple(steps) else None
            if path is not None:
                paths.append(literal(path))
                parts.append(f"texts[{len(paths)}]")
            elif not is_simple(steps):
                parts.append(f"CASE WHEN texts IS NOT NULL THEN {json_text_sql('line', steps)} END")
            if texts.get(name):
                parts.append(f"CASE WHEN texts IS NOT NULL THEN {json_text_sql('line', steps, texts[name])} END")
        values.append(f"coalesce({', '.join(parts)})" if len(parts) > 1 else (parts or ["CAST(NULL AS VARCHAR)"])[0])
    return ", ".join(paths) or "'$'", values


def _ways(name: str, keys: Sequence[str]) -> list[tuple[Step, ...]]:
    """Where the values of a column may be: under its name, then under names that differ in case, else at its path."""
    folded = name.strip().casefold()
    alike = [key for key in keys if key != name and key.strip().casefold() == folded]
    if name in keys or alike:
        return [(Step(key),) for key in (name, *alike)]
    return [steps_of(name)]


def _repeats_key_sql(keys: Sequence[str]) -> str:
    """Whether one of some keys comes twice in the object of a line, in any case."""
    folded = ", ".join(literal(key.strip().casefold()) for key in keys)
    within = f"list_filter(list_transform(json_keys(line), lambda k: lower(trim(k))), lambda k: k IN ({folded}))"
    return f"coalesce(len({within}) > list_unique({within}), false)"


def _stage_jsonl_fast(
    job: Job, text: Text, source: Source, columns: RawColumns, objects: str, comment: str | None
) -> bool:
    """Stage JSON lines with DuckDB's reader of lines; False when the rows do not account for every line."""
    rejects = unique("rejects")
    # Files that were put together bring a mark each.
    line = f"ltrim(line, {literal(_MARK)}) AS line" if text.blanks == "any" else "line"
    lines = (
        f"(SELECT {line}, row_number() OVER () AS line_number, CAST(NULL AS VARCHAR) AS malformed FROM read_csv($path, "
        f"auto_detect=false, header=false, delim={literal(_NO_DELIMITER)}, quote='', escape='', "
        "columns={'line': 'VARCHAR'}, strict_mode=false, compression='none', hive_partitioning=false, "
        f"max_line_size={MAX_LINE_BYTES}, store_rejects=true, rejects_limit=0, "
        f"rejects_table={literal(rejects)}, rejects_scan={literal(rejects + '_scan')}))"
    )
    not_blank = f"(SELECT * FROM {lines} WHERE (line >= '!' OR trim(line, {literal(_JSON_BLANKS)}) <> '')"
    not_blank += f" AND NOT starts_with(line, {literal(comment)}))" if comment else ")"
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
    return missing == 0 or (missing > 0 and missing == _count_no_rows(text.path, comment))


def _count_no_rows(path: Path, comment: str | None) -> int:
    mark = (comment or "").encode()
    with path.open("rb") as stream:
        return sum(not line.strip() or bool(mark and line.startswith(mark)) for line in stream)


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
            "line": pa.array(
                [None if line.damage else line.text.rstrip("\r\n").lstrip(_MARK) for line in lines], pa.string()
            ),
            "line_number": pa.array([line.number for line in lines], pa.int64()),
            "malformed": pa.array([line.damage for line in lines], pa.string()),
        }
    )
    job.connection.register(view, data)
    try:
        job.insert(source, columns, objects.replace(_LINES, view))
    finally:
        job.connection.unregister(view)
