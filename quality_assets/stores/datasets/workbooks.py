"""Excel and OpenDocument workbooks as `batch`: the first sheet with a table; its first row names columns."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import duckdb

from quality_assets.stores.datasets.loaded import Loaded, insert_texts, unique_names
from quality_assets.stores.datasets.titles import lines_above_names
from quality_assets.stores.file_marks import OLE
from quality_assets.stores.readers.faults import FileRejected, first_line

_BATCH_ROWS = 20_000
_LOOKED_AT = 200
_LOOKED_INTO_BYTES = 1_000_000
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def load_workbook(connection: duckdb.DuckDBPyConnection, path: Path) -> Loaded:
    """The first sheet with a table, for those before may say what is in the workbook; else the first that has rows."""
    from python_calamine import CalamineWorkbook

    try:
        book = CalamineWorkbook.from_path(str(path))
        rows: list[list[Any]] = []
        read = None
        for name in book.sheet_names:
            sheet = book.get_sheet_by_name(name).to_python()
            rows = rows or sheet
            if _is_table(sheet):
                rows, read = sheet, name
                break
        others = tuple(name for name in book.sheet_names if name != read and _is_table(_beginning(book, name)))
    except Exception as error:
        if _is_locked(path, error):
            raise FileRejected("it is protected by a password; save it without one, or its sheet as CSV") from None
        if zipfile.is_zipfile(path) and not _is_workbook(path):
            raise FileRejected("it is a zip archive; add the files that are in it") from None
        raise FileRejected(f"it is neither a workbook nor any other table: {first_line(error)}") from None
    if not rows:
        raise FileRejected("no rows: the workbook is empty")
    above = lines_above_names([[_text(value) for value in row] for row in rows[:_LOOKED_AT]])
    rows = rows[above:]
    # A table need not begin in the first column.
    kept = [place for place in range(len(rows[0])) if any(_filled(row[place]) for row in rows)]
    names, renamed = unique_names([_text(rows[0][place]) for place in kept])
    with_hours = {place for place in kept if any(isinstance(row[place], datetime) for row in rows)}

    def written(value: Any, place: int) -> str | None:
        # A cell shows midnight as a day.
        is_day = place in with_hours and isinstance(value, date) and not isinstance(value, datetime)
        return _text(datetime.combine(value, time()) if is_day else value)

    def batches() -> Iterator[list[list[str | None]]]:
        for start in range(1, len(rows), _BATCH_ROWS):
            part = [[written(row[place], place) for place in kept] for row in rows[start : start + _BATCH_ROWS]]
            yield [row for row in part if any(value is not None for value in row)]

    count = insert_texts(connection, len(names), batches())
    return Loaded(names, count, file_format="excel", renamed=renamed, lines_above=above, other_sheets=others)


def _beginning(book: Any, name: str) -> list[list[Any]]:
    return list(book.get_sheet_by_name(name).to_python(nrows=_LOOKED_AT))


def _is_locked(path: Path, error: Exception) -> bool:
    """Whether a workbook is encrypted: the old format says so, and the new one is a part of an archive of the old."""
    if "password" in str(error).lower():
        return True
    with path.open("rb") as stream:
        parts = [stream.read(_LOOKED_INTO_BYTES)]
        stream.seek(max(path.stat().st_size - _LOOKED_INTO_BYTES, 0))
        parts.append(stream.read())
    return parts[0].startswith(OLE) and any(_ENCRYPTED in part for part in parts)


def _is_table(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether most rows of a sheet have two cells or more."""
    filled = [sum(map(_filled, row)) for row in rows[:_LOOKED_AT]]
    return len(filled) > 1 and sorted(filled)[len(filled) // 2] > 1


def _filled(value: Any) -> bool:
    return value is not None and value != ""


def _text(value: Any) -> str | None:
    if not _filled(value):
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
