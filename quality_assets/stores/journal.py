"""The journal of arrival: what the landing zone's files cannot tell of themselves, kept beside them.

`landing/.arrivals/journal.jsonl` says of each content that was read when, in which order and under which name, and
what has taken its place. Beside it lie, as Parquet, the rows of those logs whose bytes were overwritten or deleted
while their rows still count. With it, the landing zone alone gives the same tables again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from quality_assets.contracts.raw import LOG_FILES
from quality_assets.stores.files import write_atomically

JOURNALED = (
    "sha256",
    "file_number",
    "path",
    "size_bytes",
    "arrived_at",
    "status",
    "rows",
    "reason",
    "source",
    "format",
    "compression",
    "encoding",
    "precedence",
    "superseded_by",
    "moved_to",
    "repeats",
    "named_source",
    "source_version",
    "content_bytes",
    "content_crc32",
)
"""The columns of the ledger that a journal entry has; those of lost content have `LOST` too."""

LOST = (
    "rows_refused",
    "first_event_time",
    "last_event_time",
    "last_day_ends_at",
    "touched_dates",
    "absent_columns",
    "vanished_columns",
)
"""What only reading tells, and nobody can read again."""

_TIMES = ("arrived_at", "first_event_time", "last_event_time", "last_day_ends_at")


class Journal:
    """The journal of one landing zone."""

    def __init__(self, landing_dir: Path) -> None:
        self.folder = landing_dir / ".arrivals"
        self._path = self.folder / "journal.jsonl"

    def entries(self) -> dict[str, dict[str, Any]]:
        """What is written, by SHA-256; nothing before the first ingestion. A line that is no entry is passed over."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return {}
        entries = {}
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                entry |= {name: datetime.fromisoformat(entry[name]) for name in _TIMES if entry.get(name)}
                entries[str(entry["sha256"])] = {**dict.fromkeys(LOG_FILES.column_names), **entry}
            except (ValueError, KeyError, TypeError):
                continue
        return entries

    def write(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Replace what is written, whole or not at all, where it has changed."""
        names = (*JOURNALED, *LOST)
        rows = [{name: entry[name] for name in names if entry.get(name) is not None} for entry in entries]
        lines = [json.dumps(row, default=str, ensure_ascii=False) for row in rows]
        text = "".join(f"{line}\n" for line in lines)
        if not self._path.exists() or self._path.read_text(encoding="utf-8") != text:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, text)

    def archive_of(self, sha256: str) -> Path:
        """Where the rows of a log are whose bytes are gone."""
        return self.folder / f"{sha256}.parquet"

    def archived(self) -> set[str]:
        """The SHA-256 of each log whose rows are kept."""
        return {path.stem for path in self.folder.glob("*.parquet")}
