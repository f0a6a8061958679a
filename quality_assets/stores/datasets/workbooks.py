"""Excel and OpenDocument workbooks as `batch`: the first sheet with rows; the first below titles names the columns."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import duckdb

from quality_assets.stores.datasets.loading import Loaded, insert_texts, unique_names
from quality_assets.stores.datasets.titles import lines_above_names
from quality_assets.stores.readers.faults import FileRejected, first_line

_BATCH_ROWS = 20_000
_LOOKED_AT = 200


def load_workbook(connection: duckdb.DuckDBPyConnection, path: Path) -> Loaded:
    """The first sheet that has rows."""
    from python_calamine import CalamineWorkbook

    try:
        book = CalamineWorkbook.from_path(str(path))
        rows: list[list[Any]] = next((r for n in book.sheet_names if (r := book.get_sheet_by_name(n).to_python())), [])
    except Exception as error:
        if zipfile.is_zipfile(path) and not _is_workbook(path):
            raise FileRejected("it is a zip archive; add the files that are in it") from None
        raise FileRejected(f"it is neither a workbook nor any other table: {first_line(error)}") from None
    if not rows:
        raise FileRejected("no rows: the workbook is empty")
    above = lines_above_names([[_text(value) for value in row] for row in rows[:_LOOKED_AT]])
    rows = rows[above:]
    names, renamed = unique_names([_text(value) for value in rows[0]])
    width = len(names)

    def batches() -> Iterator[list[list[str | None]]]:
        for start in range(1, len(rows), _BATCH_ROWS):
            part = [[_text(value) for value in row[:width]] for row in rows[start : start + _BATCH_ROWS]]
            yield [row for row in part if any(value is not None for value in row)]

    count = insert_texts(connection, width, batches())
    return Loaded(names, count, file_format="excel", renamed=renamed, lines_above=above)


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def _is_workbook(path: Path) -> bool:
    """Whether a zip archive has the parts of a workbook, damaged as it may be."""
    with zipfile.ZipFile(path) as archive:
        return any(name.startswith(("xl/", "content.xml", "[Content_Types]")) for name in archive.namelist())
