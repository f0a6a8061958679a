"""What is known of logs: each content as the ledger or the journal has it, and where in the landing zone it stands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from quality_assets.contracts.ops import LANDING_FILES
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.stores.journal import Journal
from quality_assets.stores.landing import LandingFile, logical_name
from quality_assets.stores.warehouse import WarehouseSession

FILE_ID_DIGITS = 16
NUMBERLESS = 1 << 62


@dataclass(frozen=True)
class Content:
    """One content as the ledger or the journal knows it, or as it is about to be read.

    `status` is that of the ledger; `absent` where only the journal knows it, unless it was withdrawn. `names` are those
    under which it stands.
    """

    sha256: str
    path: str
    number: int
    status: str
    size_bytes: int
    is_packed: bool = False
    precedence: int | None = None
    superseded_by: str | None = None
    named_source: str | None = None
    arrived_at: datetime | None = None
    unpacked: tuple[int, int] | None = None
    moved_to: str | None = None
    reason: str | None = None

    @property
    def file_id(self) -> str:
        """The name of the content."""
        return self.sha256[:FILE_ID_DIGITS]

    @property
    def counts(self) -> bool:
        """Whether it was read, and nothing has taken its place."""
        return self.status in ("loaded", "rejected")

    @property
    def is_passed_over(self) -> bool:
        """Whether its lines are in another log, or were taken back."""
        return self.status in ("superseded", "withdrawn")


class Knowledge:
    """All contents that are known, and where each stands."""

    def __init__(
        self, session: WarehouseSession, files: Sequence[LandingFile], waiting: Sequence[LandingFile], journal: Journal
    ) -> None:
        self.by_sha = _contents(session, journal)
        held = dict(session.connection.execute(f"select path, file_id from {LANDING_FILES.qualified_name}").fetchall())
        names = {file.name for file in waiting}
        self.standing: dict[str, list[LandingFile]] = {}
        for file in files:
            if file.name not in names and file.name in held:
                self.standing.setdefault(held[file.name], []).append(file)
        self.by_name: dict[str, set[str]] = {}
        self.by_size: dict[int, set[str]] = {}
        self.by_unpacked: dict[tuple[int, int], str] = {}
        for content in self.by_sha.values():
            self.add(content)

    def add(self, content: Content, file: LandingFile | None = None) -> None:
        self.by_sha[content.sha256] = content
        for name in {content.path, content.moved_to or content.path}:
            self.by_name.setdefault(logical_name(name, content.sha256), set()).add(content.sha256)
        self.by_size.setdefault(content.size_bytes, set()).add(content.sha256)
        # A journal of before has 0 of files that end in an empty member.
        if content.unpacked and content.unpacked[0]:
            self.by_unpacked[content.unpacked] = content.sha256
        if file:
            self.standing.setdefault(content.file_id, []).append(file)

    def same_name(self, logical: str) -> list[Content]:
        found = [self.by_sha[sha256] for sha256 in self.by_name.get(logical, ())]
        return sorted((c for c in found if c.counts), key=lambda content: content.number)

    def newest_of(self, content: Content) -> Content:
        """What has come of a content by one correction after the other."""
        by_id = {c.file_id: c for c in self.by_sha.values()}
        seen = {content.file_id}
        while content.superseded_by in by_id and content.superseded_by not in seen:
            content = by_id[content.superseded_by]
            seen.add(content.file_id)
        return content

    def gone(self) -> list[Content]:
        return [c for c in self.by_sha.values() if c.counts and c.file_id not in self.standing]

    def stands_elsewhere(self, content: Content, logical: str, moved: Mapping[str, Collection[str]]) -> bool:
        if content.moved_to and logical_name(content.moved_to, content.sha256) != logical:
            return True
        names = {logical_name(file.name, content.sha256) for file in self.standing.get(content.file_id, ())}
        return any(name != logical for name in names.union(moved.get(content.sha256, ())))


def _contents(session: WarehouseSession, journal: Journal) -> dict[str, Content]:
    columns = (
        "sha256, path, file_number, status, size_bytes, coalesce(compression, 'none') <> 'none', precedence,"
        " superseded_by, named_source, arrived_at, content_bytes, content_crc32, moved_to, reason"
    )
    rows = session.connection.execute(f"select {columns} from {LOG_FILES.qualified_name}").fetchall()
    known = {row[0]: _in_ledger(row) for row in rows}
    numbers = {content.number for content in known.values()}
    for sha256, entry in journal.entries().items():
        if sha256 not in known:
            known[sha256] = _journaled(entry, numbers)
    return known


def _in_ledger(row: tuple[Any, ...]) -> Content:
    size, crc, moved_to, reason = row[10:]
    return replace(Content(*row[:10]), unpacked=None if size is None else (size, crc), moved_to=moved_to, reason=reason)


def _journaled(entry: Mapping[str, Any], taken: Collection[int]) -> Content:
    number = entry["file_number"]
    return Content(
        sha256=entry["sha256"],
        path=entry["path"],
        number=number if number not in taken else NUMBERLESS,
        status="withdrawn" if entry["status"] == "withdrawn" else "absent",
        size_bytes=entry["size_bytes"],
        is_packed=(entry["compression"] or "none") != "none",
        precedence=entry["precedence"],
        superseded_by=entry["superseded_by"],
        named_source=entry["named_source"],
        unpacked=None if entry["content_bytes"] is None else (entry["content_bytes"], entry["content_crc32"]),
        arrived_at=entry["arrived_at"],
        moved_to=entry["moved_to"],
        reason=entry["reason"],
    )
