"""Parquet files: their typed columns become the text that a CSV would hold, and go the same way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from quality_assets.contracts.sources.events import DEFAULT_SOURCE, Source
from quality_assets.contracts.sources.model import find_columns
from quality_assets.contracts.sources.paths import steps_of
from quality_assets.domain.events.json_paths import json_text_sql
from quality_assets.domain.events.validation import MILLISECONDS, RawColumns
from quality_assets.domain.sql_text import identifier, literal
from quality_assets.stores.file_marks import PARQUET
from quality_assets.stores.files import holds
from quality_assets.stores.readers.faults import FileRejected, FileWaits, first_line, verdict_on
from quality_assets.stores.readers.job import Job, Staged

# Where one Parquet file ends and another begins.
_JOINT = re.compile(2 * PARQUET)
# Beyond these, columns that nobody maps are not kept.
MAX_COLUMNS = 1000


def stage_parquet(job: Job, path: Path) -> Staged:
    """Stage a Parquet file.

    A column that no source maps and that DuckDB cannot read, or thousands of them, are left out of what is kept of
    refused rows; one that is mapped and cannot be read is a reason to reject the file.
    """
    try:
        described = job.connection.execute(
            "SELECT column_name, column_type "
            "FROM (DESCRIBE SELECT * FROM read_parquet($path, hive_partitioning=false))",
            {"path": str(path)},
        ).fetchall()
        names = _names_as_written(job, path) or [name for name, _ in described]
        paths = [name for name in job.nested_columns if name not in names and steps_of(name)[0].key in names]
        source = job.source_of([*names, *paths])
        job.refuse_doubtful(source, names)
        header = [*zip(names, described, strict=True)]
        mapped = set(find_columns(source.source_columns, names).values())
        only_mapped = [item for index, item in enumerate(header) if index in mapped]
        is_wide = len(header) > MAX_COLUMNS
        try:
            columns = _inserted(job, path, source, only_mapped if is_wide else header, names, paths)
        except (duckdb.DataError, duckdb.NotSupportedError, duckdb.ProgrammingError):
            if is_wide:
                raise
            job.delete_rows()
            columns = _inserted(job, path, source, only_mapped, names, paths)
    except (duckdb.InvalidInputException, duckdb.IOException, duckdb.SerializationException) as error:
        if isinstance(verdict_on(error), FileWaits):
            raise
        raise FileRejected(f"the Parquet file is truncated or damaged: {first_line(error)}") from None
    except duckdb.DataError as error:
        raise FileRejected(f"{_culprit(job, path)} holds what cannot be read: {first_line(error)}") from None
    return Staged(source, columns, frozenset([*names, *paths, *job.path_values]))


def refuse_joined(path: Path) -> None:
    """Raise FileRejected for Parquet files one behind the other, of which readers see the last alone."""
    if holds(path, _JOINT, len(_JOINT.pattern)):
        raise FileRejected("it is several Parquet files one behind the other; put each into the landing zone")


def parquet_as_json(job: Job, path: Path, target: Path) -> None:
    """Write a Parquet file as JSON lines, whose arrays can be taken apart.

    Raises FileRejected where it cannot be read.
    """
    relation = "read_parquet($path, hive_partitioning=false)"
    parameters = {"path": str(path)}
    try:
        described = job.connection.execute(
            f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {relation})", parameters
        ).fetchall()
        zones = _zones(job.claimed, [name for name, _ in described]) if job.claimed else {}
        times = [(name, kind) for name, kind in described if kind.startswith("TIMESTAMP")]
        replaced = ", ".join(
            f"{_parquet_text(identifier(name), kind, zones.get(name))} AS {identifier(name)}" for name, kind in times
        )
        columns = f"* REPLACE ({replaced})" if times else "*"
        job.connection.execute(
            f"COPY (SELECT {columns} FROM {relation}) TO {literal(str(target))} (FORMAT json)", parameters
        )
    except (duckdb.InvalidInputException, duckdb.DataError, duckdb.SerializationException) as error:
        raise FileRejected(f"the Parquet file is truncated or damaged: {first_line(error)}") from None


def _inserted(
    job: Job,
    path: Path,
    source: Source,
    header: Sequence[tuple[str, tuple[str, str]]],
    names: Sequence[str],
    paths: Sequence[str],
) -> RawColumns:
    """Insert the rows with some columns, given as (name, (name to DuckDB, type)), and with those at `paths`."""
    zones = _zones(source, tuple(name for name, _ in header))
    texts = [_parquet_text(identifier(known), kind, zones.get(name)) for name, (known, kind) in header]
    for name, unit in _durations(path, source, [name for name, _ in header]).items():
        index = [name for name, _ in header].index(name)
        texts[index] = f"CAST({identifier(header[index][1][0])} * {unit} AS VARCHAR)"
    known = {name: identifier(column) for name, (column, _) in header}
    kinds = {name: kind for name, (_, kind) in header}
    for name in paths:
        if steps_of(name)[0].key in names:
            root = known.get(steps_of(name)[0].key, identifier(steps_of(name)[0].key))
            json = f"to_json(struct_pack({root}))"
            if kinds.get(steps_of(name)[0].key) == "VARCHAR":
                key = literal(steps_of(name)[0].key)
                json = f"CASE WHEN json_valid({root}) THEN json_object({key}, CAST({root} AS JSON)) END"
            texts.append(json_text_sql(json, steps_of(name)))
    columns = RawColumns(
        header=(*(name for name, _ in header), *paths),
        identifiers=tuple(f"c{index}" for index in range(len(texts))),
        may_nest=bool(paths) or any(map(_is_nested, kinds.values())),
    )
    columns = job.with_path_columns(source, columns)
    selected = "".join(f"{text} AS c{index}, " for index, text in enumerate(texts))
    relation = (
        f"(SELECT {selected}row_number() OVER () AS line_number FROM read_parquet($path, hive_partitioning=false))"
    )
    job.insert(source, columns, relation, path=str(path))
    return columns


def _durations(path: Path, source: Source, header: Sequence[str]) -> dict[str, str]:
    """Of the column that is the latency as it stands, what makes milliseconds of it where its writer says its unit.

    Parquet has no durations: what pandas and Arrow write are numbers, whose unit stands beside them. What Arrow cannot
    read has none.
    """
    mapping = source.columns.get("latency_ms")
    if mapping is None or mapping.unit is not None or mapping.since is not None:
        return {}
    found = [header[index] for index in find_columns(mapping.source_columns, header).values()]
    if not found:
        return {}
    # Nothing else needs it, and it takes a while to import.
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return {}
    fields = [schema.field(name) for name in found if schema.get_field_index(name) >= 0]
    return {field.name: MILLISECONDS[field.type.unit] for field in fields if pa.types.is_duration(field.type)}


def _culprit(job: Job, path: Path) -> str:
    """The column that cannot be read, in words."""
    source = job.claimed or job.sources.by_name.get(DEFAULT_SOURCE)
    for name in source.source_columns if source else ():
        try:
            job.connection.execute(
                f"SELECT max({identifier(name)}) FROM read_parquet($path, hive_partitioning=false)", {"path": str(path)}
            ).fetchall()
        except duckdb.DataError:
            return f"its column {name!r}"
        except duckdb.Error:
            continue
    return "a column that its source maps"


def _names_as_written(job: Job, path: Path) -> list[str]:
    """The names of the columns in the file; DuckDB's own differ where one comes twice."""
    nodes = job.connection.execute(
        "SELECT name, coalesce(num_children, 0) FROM parquet_schema($path)", {"path": str(path)}
    ).fetchall()
    names = []
    # Depth first: how many children are still to come, per level; the root is a column of nothing.
    open_levels = [nodes[0][1]] if nodes else []
    for name, children in nodes[1:]:
        while open_levels and open_levels[-1] == 0:
            open_levels.pop()
        if len(open_levels) == 1:
            names.append(name)
        open_levels[-1] -= 1
        if children:
            open_levels.append(children)
    return names


def _zones(source: Source, header: Sequence[str]) -> dict[str, str]:
    """The declared zone of each column that holds local times."""
    zoned = {c: m.zone for m in source.columns.values() if m.zone is not None for c in m.source_columns}
    return {header[index]: zoned[name] for name, index in find_columns(zoned, header).items()}


def _parquet_text(column: str, kind: str, zone: str | None) -> str:
    """A typed column as the text that a CSV would hold; a time without a zone is of its source's zone, else UTC."""
    if kind in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"):
        return _zulu(_in_microseconds(column) if kind.endswith("_NS") else f"timezone('UTC', {column})")
    if kind.startswith("TIMESTAMP"):
        local = _in_microseconds(column) if kind.endswith("_NS") else f"CAST({column} AS TIMESTAMP)"
        return _zulu(local if zone is None else f"timezone('UTC', timezone({literal(zone)}, {local}))")
    if kind == "BLOB":
        # Text whose writer did not mark it as such; with a NUL it is none, but the bytes of a UUID or a hash.
        text = f"try(decode({column}))"
        return f"coalesce(CASE WHEN NOT contains({text}, chr(0)) THEN {text} END, CAST({column} AS VARCHAR))"
    if _is_nested(kind):
        return f"CAST(to_json({column}) AS VARCHAR)"
    return f"CAST({column} AS VARCHAR)"


def _is_nested(kind: str) -> bool:
    return kind.startswith(("STRUCT", "MAP")) or kind.endswith("]")


def _in_microseconds(nanoseconds: str) -> str:
    """A time in nanoseconds, of UTC where it has a zone, as TIMESTAMP: cut, where a cast rounds into the next day."""
    return f"coalesce(make_timestamp(epoch_ns({nanoseconds}) // 1000), CAST({nanoseconds} AS TIMESTAMP))"


def _zulu(utc: str) -> str:
    return f"strftime({utc}, '%Y-%m-%dT%H:%M:%S.%fZ')"
