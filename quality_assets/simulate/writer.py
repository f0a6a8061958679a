"""Writes files: one log file a day, exact about line numbers, and the ground-truth tables beside them.

A file appears under its name only when it is complete. What is in it is decided elsewhere.
"""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quality_assets.simulate.dirt import DirtyRow
from quality_assets.simulate.plan import FileFormat
from quality_assets.simulate.render import Renderer
from quality_assets.simulate.world import EventBatch

# Bounds memory, and keeps a chunk's text below the 2 GB that Arrow's 32-bit offsets can address.
ROWS_PER_CHUNK = 200_000


@dataclass(frozen=True)
class WrittenFile:
    """A finished log file; dirty_lines[i] is where dirty row i begins (see `write_log_file`)."""

    path: Path
    rows: int
    bytes_written: int
    dirty_lines: list[int]


def write_log_file(
    path: Path, batch: EventBatch, dirty: Sequence[DirtyRow], renderer: Renderer, file_format: FileFormat
) -> WrittenFile:
    """Write a batch with its dirty rows (ordered by position) in place.

    Lines count from 1: physical lines in CSV, where the header is line 1 and a quoted newline begins another
    line; lines in JSONL; rows in Parquet.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    if file_format == "parquet":
        lines = _write_parquet(temporary, batch, dirty, renderer)
    else:
        with temporary.open("wb", buffering=1 << 20) as file:
            lines = _write_text(file, batch, dirty, renderer, file_format)
    os.replace(temporary, path)
    inserted = sum(d.kind.operation == "insert" for d in dirty)
    return WrittenFile(path, len(batch) + inserted, path.stat().st_size, lines)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a small CSV table with a header."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    os.replace(temporary, path)


def _write_text(
    file: BinaryIO, batch: EventBatch, dirty: Sequence[DirtyRow], renderer: Renderer, file_format: FileFormat
) -> list[int]:
    line = 1
    if file_format == "csv":
        file.write(renderer.header_line.encode())
        line += 1
    lines: list[int] = []
    remaining = iter(dirty)
    following = next(remaining, None)
    for start, chunk in _chunks(batch):
        text = renderer.csv_lines(chunk) if file_format == "csv" else renderer.json_lines(chunk)
        _, offset_buffer, data_buffer = text.buffers()
        data = memoryview(data_buffer)
        offsets = np.frombuffer(offset_buffer, np.int32, len(text) + 1, text.offset * 4)
        cursor = 0
        while following is not None and following.position < start + len(chunk):
            position = following.position - start
            clean_end = position + (following.kind.operation == "insert")
            file.write(data[offsets[cursor] : offsets[clean_end]])
            line += clean_end - cursor
            lines.append(line)
            file.write(following.line)
            line += following.line.count(b"\n")
            cursor = position + 1
            following = next(remaining, None)
        file.write(data[offsets[cursor] : offsets[len(chunk)]])
        line += len(chunk) - cursor
    return lines


def _chunks(batch: EventBatch) -> Iterator[tuple[int, EventBatch]]:
    for start in range(0, len(batch), ROWS_PER_CHUNK):
        yield start, batch.take(slice(start, start + ROWS_PER_CHUNK))


def _write_parquet(path: Path, batch: EventBatch, dirty: Sequence[DirtyRow], renderer: Renderer) -> list[int]:
    count = len(batch)
    position = np.array([d.position for d in dirty], dtype=np.int64)
    is_insert = np.array([d.kind.operation == "insert" for d in dirty], dtype=bool)
    kept = np.ones(count, bool)
    kept[position[~is_insert]] = False
    sources = np.concatenate([np.flatnonzero(kept), count + np.arange(len(dirty))])
    places = np.concatenate([2 * np.flatnonzero(kept), 2 * position + is_insert])
    order = sources[np.argsort(places, kind="stable")]
    table = renderer.table(batch)
    if len(dirty):
        table = pa.concat_tables([table, renderer.table_of([d.row for d in dirty])]).take(pa.array(order))
    pq.write_table(table, path, compression="zstd")
    return [int(row) + 1 for row in np.flatnonzero(order >= count)]
