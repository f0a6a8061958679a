"""Raw logs staged in memory, and the rows that come of them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from quality_assets.contracts.events import RAW_LOGS, VALID_EVENTS
from quality_assets.contracts.sources.events import load_sources
from quality_assets.stores.readers import RawLog, StagedFile, Staging
from quality_assets.stores.warehouse import _clear

ROOT = Path(__file__).parents[2]
ARRIVED = datetime(2026, 3, 1)
SOURCES = load_sources(ROOT / "data" / "sources")


# To make a database takes longer than most of what a test asks of it.
_FREE: list[duckdb.DuckDBPyConnection] = []


class Stage:
    """A load of raw logs, and the rows that came of it in the view `staged`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection = _FREE.pop() if _FREE else duckdb.connect()
        self.connection.execute("SET threads = 2")
        self.staging = Staging(self.connection, SOURCES)
        self.files = 0
        self._is_viewed = False
        self._finished: tuple[Staging, int, dict[int, StagedFile]] | None = None

    def close(self) -> None:
        """Leave nothing in the database, which serves again."""
        _clear(self.connection)
        _FREE.append(self.connection)

    def write(self, content: bytes | str, name: str = "log.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def load(self, content: bytes | str, name: str = "log.csv", **options: Any) -> StagedFile:
        return self.stage(self.write(content, name), **options)

    def stage(self, path: Path, landing_path: str | None = None, **options: Any) -> StagedFile:
        given: dict[str, Any] = {"file_id": "f1", "arrived_at": ARRIVED} | options
        if "sources" in given:
            self.staging = Staging(self.connection, given.pop("sources"))
        number, self.files = self.files, self.files + 1
        self.staging.read(number, RawLog(path, landing_path=landing_path or path.name, **given))
        return self.finish()[number]

    def finish(self) -> dict[int, StagedFile]:
        found = self.staging.finish()
        columns = RAW_LOGS.column_names
        events = self.staging.events_sql(found, VALID_EVENTS.column_names)
        self.connection.execute(
            f"CREATE OR REPLACE VIEW staged AS SELECT {', '.join(columns)} FROM ("
            f"SELECT * FROM ({events}) UNION ALL BY NAME SELECT * FROM judged WHERE reasons IS NOT NULL)"
        )
        self._is_viewed = True
        self._finished = self.staging, self.files, found
        return found

    def rows(self, *columns: str) -> list[Any]:
        if not self._is_viewed:  # nothing was taken
            self.finish()
        chosen = ", ".join(columns)
        found = self.connection.execute(f"SELECT {chosen} FROM staged ORDER BY file_id, line_number").fetchall()
        return [row[0] for row in found] if len(columns) == 1 else found

    def accounts(self) -> list[tuple[int, list[str] | None]]:
        return self.rows("line_number", "reasons")

    def leftovers(self) -> list[str]:
        """Tables that are neither of a file nor the judged rows, and those of files that were rejected."""
        found = self.connection.execute("SELECT table_name FROM duckdb_tables() WHERE NOT temporary").fetchall()
        # To finish once more what is finished takes as long as most tests.
        is_done = self._finished is not None and self._finished[:2] == (self.staging, self.files)
        files = self._finished[2] if self._finished and is_done else self.staging.finish()
        kept = {"judged", *(f"rows_{number}" for number in files)}
        return sorted({name for (name,) in found} - kept)
