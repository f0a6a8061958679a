"""Parquet files: their typed columns become the text that a CSV would hold, and go the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from quality_assets.contracts.sources.events import Source
from quality_assets.contracts.sources.model import find_columns
from quality_assets.domain.events.validation import RawColumns
from quality_assets.domain.sql_text import identifier, literal
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.stores.readers.job import Job


def stage_parquet(job: Job, path: Path) -> tuple[Source, tuple[str, ...]]:
    """Stage a Parquet file; its source and its columns."""
    try:
        described = job.connection.execute(
            "SELECT column_name, column_type "
            "FROM (DESCRIBE SELECT * FROM read_parquet($path, hive_partitioning=false))",
            {"path": str(path)},
        ).fetchall()
        source = job.source_of([name for name, _ in described])
        header = tuple(name for name, _ in described)
        zones = _zones(source, header)
        columns = RawColumns(header=header, identifiers=tuple(f"c{index}" for index in range(len(header))))
        texts = ", ".join(
            f"{_parquet_text(identifier(name), kind, zones.get(name))} AS c{index}"
            for index, (name, kind) in enumerate(described)
        )
        relation = (
            f"(SELECT {texts}, row_number() OVER () AS line_number FROM read_parquet($path, hive_partitioning=false))"
        )
        job.insert(source, columns, relation, path=str(path))
    except (duckdb.InvalidInputException, duckdb.IOException, duckdb.SerializationException) as error:
        raise FileRejected(f"the Parquet file is truncated or damaged: {str(error).splitlines()[0]}") from None
    return source, header


def _zones(source: Source, header: Sequence[str]) -> dict[str, str]:
    """The declared zone of each column that holds local times."""
    zoned = {c: m.zone for m in source.columns.values() if m.zone is not None for c in m.from_columns}
    return {header[index]: zoned[name] for name, index in find_columns(zoned, header).items()}


def _parquet_text(column: str, kind: str, zone: str | None) -> str:
    """A typed column as the text that a CSV would hold; a time without a zone is of its source's zone, else UTC."""
    if kind == "TIMESTAMP WITH TIME ZONE":
        return _zulu(f"timezone('UTC', {column})")
    if kind.startswith("TIMESTAMP"):
        local = f"CAST({column} AS TIMESTAMP)"
        return _zulu(local if zone is None else f"timezone('UTC', timezone({literal(zone)}, {local}))")
    if kind.startswith(("STRUCT", "MAP")) or kind.endswith("]"):
        return f"CAST(to_json({column}) AS VARCHAR)"
    return f"CAST({column} AS VARCHAR)"


def _zulu(utc: str) -> str:
    return f"strftime({utc}, '%Y-%m-%dT%H:%M:%S.%fZ')"
