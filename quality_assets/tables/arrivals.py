"""Which content each waiting file of the landing zone is: new, known, or known lines with more behind them.

A log is known by what is in it, not by its name or its times: it grows, is rotated, compressed, sent in halves, or
exported once more, and its lines count once. Nothing is read here but bytes; what the rows say is for `ingest`.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from quality_assets.contracts.raw import CORRECTED
from quality_assets.progress import Progress
from quality_assets.stores.file_marks import GZIP, ZSTD
from quality_assets.stores.journal import Journal
from quality_assets.stores.landing import (
    Digests,
    Ignored,
    LandingFile,
    digests_of,
    gzip_trailer,
    is_rotation_slot,
    logical_name,
    unpacked,
)
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.known_logs import FILE_ID_DIGITS, NUMBERLESS, Content, Knowledge

_UNREADABLE = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Arrival:
    """A content that is to be read, and its place in the order of arrival.

    `name` is the name that it was first seen under. `continues` are known contents that it begins with; `rivals` the
    other contents of its path, oldest first. `archive` has its rows where its bytes are gone.
    """

    file: LandingFile
    sha256: str
    number: int
    name: str
    arrived_at: datetime
    size_bytes: int
    precedence: int | None = None
    named_source: str | None = None
    unpacked: tuple[int, int] | None = None
    moved_to: str | None = None
    continues: tuple[Content, ...] = ()
    rivals: tuple[Content, ...] = ()
    archive: Path | None = None

    @property
    def file_id(self) -> str:
        """The name of the content."""
        return self.sha256[:FILE_ID_DIGITS]


@dataclass
class Plan:
    """What is to be read, in order; which files are copies of which content; what a known content has overtaken.

    `copies` and `overtaken` give hashes of content, `superseded` what need not be read and the file_id of what has its
    lines; `skipped` says of each file that is not read why.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    copies: list[tuple[LandingFile, str]] = field(default_factory=list)
    overtaken: list[tuple[Content, str]] = field(default_factory=list)
    superseded: list[tuple[Arrival, str]] = field(default_factory=list)
    skipped: list[Ignored] = field(default_factory=list)
    unreadable: list[Ignored] = field(default_factory=list)


@dataclass(frozen=True)
class _Waiting:
    file: LandingFile
    digests: Digests
    trailer: tuple[int, int] | None
    is_packed: bool
    logical: str


def identify(
    session: WarehouseSession,
    files: Sequence[LandingFile],
    waiting: Sequence[LandingFile],
    journal: Journal,
    *,
    read_at: datetime,
    source_names: Mapping[str, str],
    asked: Sequence[str],
    progress: Progress,
) -> Plan:
    """What to do with each waiting file.

    `files` are all of the landing zone; `asked` are read even if rejected, those of one path in their order.
    """
    known = Knowledge(session, files, waiting, journal)
    plan = Plan()
    seen = list(_looked_at(waiting, known, plan, progress))
    moved: dict[str, set[str]] = {}
    for item in seen:
        moved.setdefault(item.digests.sha256, set()).add(item.logical)
    there = {item.digests.sha256 for item in seen}
    used = [c.number for c in known.by_sha.values() if c.number < NUMBERLESS]
    planner = _Planner(known, plan, moved, max(used, default=0), read_at, source_names, asked)
    lost = [c for c in known.by_sha.values() if c.status == "absent" and c.sha256 not in there]
    lost = [c for c in lost if c.superseded_by is None and journal.archive_of(c.sha256).exists()]
    for step in _in_order(planner, seen, lost):
        if isinstance(step, Content):
            planner.take_archived(step, journal.archive_of(step.sha256))
        else:
            planner.take(step)
    _drop_rivals_that_are_none(plan)
    return plan


def _in_order(planner: _Planner, seen: Sequence[_Waiting], lost: Sequence[Content]) -> list[_Waiting | Content]:
    """Files that wait, and contents that only the journal has, as they arrived."""
    steps: list[tuple[tuple[Any, ...], _Waiting | Content]] = [(planner.place_of(item), item) for item in seen]
    steps += [((content.number, "", False, -1, False, 0, ""), content) for content in lost]
    return [step for _, step in sorted(steps, key=lambda pair: pair[0])]


def _drop_rivals_that_are_none(plan: Plan) -> None:
    """What a rotated log has grown from is no rival of the log that has come after it, nor is what was packed away."""
    taken = {content.sha256 for arrival in plan.arrivals for content in arrival.continues}
    places: dict[str, set[str]] = {}
    for file, sha256 in plan.copies:
        places.setdefault(sha256, set()).add(logical_name(file.name, sha256))

    def is_rival(content: Content, arrival: Arrival) -> bool:
        elsewhere = places.get(content.sha256, set()) - {logical_name(arrival.file.name, arrival.sha256)}
        return content.sha256 not in taken and not elsewhere

    plan.arrivals = [
        replace(arrival, rivals=tuple(rival for rival in arrival.rivals if is_rival(rival, arrival)))
        for arrival in plan.arrivals
    ]


def _looked_at(waiting: Sequence[LandingFile], known: Knowledge, plan: Plan, progress: Progress) -> Iterable[_Waiting]:
    """Read each file once, for its hash, and for those of such beginnings as may be known lines."""
    gone = {content.size_bytes for content in known.gone()}
    plain = {logical_name(file.name, "") for file in waiting}
    plain |= {logical_name(content.path, "") for content in known.by_sha.values()}
    groups: dict[str, list[int]] = {}
    for file in waiting:
        groups.setdefault(_tentative(file.name, plain), []).append(file.size_bytes)
    for index, file in enumerate(waiting):
        logical = _tentative(file.name, plain)
        lengths = gone.union(content.size_bytes for content in known.same_name(logical))
        lengths = lengths.union(groups[logical]) if len(groups[logical]) > 1 else lengths
        try:
            with file.path.open("rb") as stream:
                digests = digests_of(stream, (length for length in lengths if length < file.size_bytes))
            with file.path.open("rb") as stream:
                head = stream.read(4)
            trailer = gzip_trailer(file.path)
        except OSError as error:
            plan.unreadable.append(Ignored(file.name, f"cannot be read: {error.strerror or error}"))
            continue
        is_packed = head.startswith((GZIP, *ZSTD))
        yield _Waiting(file, digests, trailer, is_packed, logical_name(file.name, digests.sha256))
        if (index + 1) % 100 == 0:
            progress(f"looked at {index + 1} of {len(waiting)} files")


def _tentative(name: str, names: Collection[str]) -> str:
    """The name without what looks like a hash, if a file has that name: days are written in eight digits too."""
    logical = logical_name(name)
    return logical if logical in names else logical_name(name, "")


class _Planner:
    """Decides file by file, in order, so that a file finds those before it among what is known."""

    def __init__(
        self,
        known: Knowledge,
        plan: Plan,
        moved: Mapping[str, Collection[str]],
        number: int,
        read_at: datetime,
        source_names: Mapping[str, str],
        asked: Sequence[str],
    ) -> None:
        self._known = known
        self._plan = plan
        self._moved = moved
        self._number = number
        self._read_at = read_at
        self._source_names = source_names
        self._asked = {name: place for place, name in enumerate(asked)}

    def place_of(self, item: _Waiting) -> tuple[Any, ...]:
        """As it arrived before, if it did; else by name, a log's first content before what `place` put beside it.

        Of what was put there at once, what was given last is newest, as of two corrections of a day.
        """
        content = self._known.by_sha.get(item.digests.sha256)
        name = item.file.name
        is_version = logical_name(name, "") != item.logical
        number = content.number if content else NUMBERLESS
        asked = self._asked.get(name, -1)
        return (number, item.logical, is_version, asked, item.is_packed, item.file.size_bytes, name)

    def take_archived(self, content: Content, archive: Path) -> None:
        """A content that only the journal has, with its rows."""
        file = LandingFile(archive, content.path, content.size_bytes, 0)
        self._plan.arrivals.append(self._arrival(file, content, content.sha256, content.unpacked, archive=archive))
        self._known.add(replace(content, status="loaded"))

    def take(self, item: _Waiting) -> None:
        """Decide on one file."""
        content = self._known.by_sha.get(item.digests.sha256)
        is_asked = content is not None and content.status == "rejected" and item.file.name in self._asked
        if content is not None and not is_asked:
            if (content.counts or content.is_passed_over) and not self._is_restored(item, content):
                self._skip(item, content, "bytes" if content.size_bytes == item.file.size_bytes else "content")
                self._overtake(item, content)
                return
            if content.status == "absent" and self._is_overtaken(content):
                arrival = self._arrival(item.file, content, content.sha256, item.trailer)
                self._plan.superseded.append((arrival, content.superseded_by or ""))
                self._plan.skipped.append(Ignored(item.file.name, "has lines that another file has too"))
                self._known.add(replace(content, status="superseded"))
                return
        rivals = self._known.same_name(item.logical)
        rivals = [rival for rival in rivals if rival.sha256 != item.digests.sha256]
        unpacked_digests = self._unpacked(item, rivals)
        # What is known by its own bytes is itself, whatever ends as it does.
        if content is None and (same := self._same(item, unpacked_digests)) is not None:
            if same.counts or same.is_passed_over:
                self._skip(item, same, "content")
                return
            content = same
        longer = next((rival for rival in rivals if self._begins(rival, item)), None)
        if longer is not None and content is None:
            self._plan.copies.append((item.file, longer.sha256))
            self._plan.skipped.append(Ignored(item.file.name, f"has the first lines of {longer.path} and no others"))
            return
        continued = tuple(c for c in self._candidates(item, rivals) if _is_beginning(c, item, unpacked_digests))
        others = [] if is_rotation_slot(item.logical) else [c for c in rivals if c not in continued]
        others = [c for c in others if not self._known.stands_elsewhere(c, item.logical, self._moved)]
        self._read(item, content, continued, tuple(others))

    def _is_restored(self, item: _Waiting, content: Content) -> bool:
        """Whether what was corrected is back where its correction stood: the newest word on it is the first again."""
        if content.status != "superseded" or not (content.reason or "").startswith(CORRECTED):
            return False
        newest = self._known.newest_of(content)
        is_at_the_path = newest in self._known.same_name(item.logical)
        return is_at_the_path and newest.file_id not in self._known.standing and newest.sha256 not in self._moved

    def _is_overtaken(self, content: Content) -> bool:
        by = content.superseded_by
        return by is not None and any(sha256.startswith(by) for sha256 in (*self._moved, *self._known.by_sha))

    def _candidates(self, item: _Waiting, rivals: Sequence[Content]) -> list[Content]:
        moved = self._moved
        gone = [c for c in self._known.gone() if c.sha256 not in moved and c.sha256 != item.digests.sha256]
        return list({c.sha256: c for c in (*gone, *rivals)}.values())

    def _unpacked(self, item: _Waiting, rivals: Sequence[Content]) -> Digests | None:
        """What the file is once decompressed, where a known content may be the same or its beginning."""
        known = self._known
        candidates = self._candidates(item, rivals)
        size = item.trailer[0] if item.trailer else item.file.size_bytes
        if item.is_packed:
            may_be_known = (
                bool(candidates) or size in known.by_size or bool(item.trailer and item.trailer in known.by_unpacked)
            )
        else:
            may_be_known = any(c.is_packed for c in candidates) or any(key[0] == size for key in known.by_unpacked)
        if not may_be_known:
            return None
        lengths = [c.unpacked[0] if c.unpacked else c.size_bytes for c in candidates]
        try:
            with unpacked(item.file.path) as stream:
                return digests_of(stream, lengths, with_crc=True)
        except _UNREADABLE:
            return None

    def _same(self, item: _Waiting, found: Digests | None) -> Content | None:
        """The known content that this one is under another compression."""
        if found is None:
            return None
        known = self._known.by_sha
        sha256 = found.sha256 if found.sha256 in known else None
        sha256 = sha256 or self._known.by_unpacked.get((found.size_bytes, found.crc32))
        if sha256 is None or sha256 == item.digests.sha256:
            return None
        return known[sha256] if known[sha256].status != "rejected" else None

    def _begins(self, content: Content, item: _Waiting) -> bool:
        """Whether a known content of the same name begins with all of this file, and has more."""
        if content.status != "loaded" or content.size_bytes <= item.file.size_bytes or item.is_packed:
            return False
        for file in self._known.standing.get(content.file_id, ()):
            try:
                with file.path.open("rb") as stream:
                    beginning = digests_of(stream, [item.file.size_bytes]).beginnings.get(item.file.size_bytes)
            except OSError:
                continue
            return beginning is not None and beginning[0] == item.digests.sha256
        return False

    def _skip(self, item: _Waiting, content: Content, what: str) -> None:
        self._plan.copies.append((item.file, content.sha256))
        back = f", which was {content.reason}" if content.status == "withdrawn" else ""
        self._plan.skipped.append(Ignored(item.file.name, f"has the same {what} as {content.path}{back}"))

    def _overtake(self, item: _Waiting, content: Content) -> None:
        """A known content that is back has overtaken what was its beginning, such as half an upload."""
        if content.status == "loaded":
            candidates = [c for c in self._known.gone() if c.sha256 not in self._moved]
            self._plan.overtaken += [(c, content.sha256) for c in candidates if _is_beginning(c, item, None)]

    def _read(
        self, item: _Waiting, content: Content | None, continued: tuple[Content, ...], rivals: tuple[Content, ...]
    ) -> None:
        sha256 = content.sha256 if content else item.digests.sha256
        arrival = self._arrival(item.file, content, sha256, item.trailer, continues=continued, rivals=rivals)
        loaded = [c for c in continued if c.status == "loaded"]
        if loaded and arrival.precedence is None:
            arrival = replace(arrival, precedence=min(c.precedence or c.number for c in loaded))
        self._plan.arrivals.append(arrival)
        self._known.add(
            Content(
                sha256=sha256,
                path=arrival.name,
                number=arrival.number,
                status="loaded",
                size_bytes=arrival.size_bytes,
                is_packed=item.is_packed,
                precedence=arrival.precedence,
                unpacked=arrival.unpacked,
                moved_to=arrival.moved_to,
            ),
            item.file,
        )
        for c in continued:
            self._pass_over(c, arrival)

    def _pass_over(self, content: Content, arrival: Arrival) -> None:
        """What the arrival begins with need not be read before it, where it has come together with it."""
        self._known.by_sha[content.sha256] = replace(content, status="superseded")
        both = [earlier for earlier in self._plan.arrivals if earlier.sha256 == content.sha256 and not earlier.archive]
        for earlier in both:
            self._plan.arrivals.remove(earlier)
            self._plan.superseded.append((earlier, arrival.file_id))

    def _arrival(
        self,
        file: LandingFile,
        content: Content | None,
        sha256: str,
        trailer: tuple[int, int] | None,
        **rest: Any,
    ) -> Arrival:
        is_again = content is not None and content.status in ("waiting", "absent")
        number = content.number if content is not None and content.number < NUMBERLESS else None
        if number is None or (content is not None and content.status == "rejected"):
            self._number += 1
            number = self._number
        named = self._source_names.get(file.name) or (content.named_source if content else None)
        when = content.arrived_at if content is not None and content.status == "absent" else None
        return Arrival(
            file=file,
            sha256=sha256,
            number=number,
            name=content.path if content is not None and is_again else file.name,
            arrived_at=when or self._read_at,
            size_bytes=content.size_bytes if content is not None else file.size_bytes,
            precedence=content.precedence if content is not None and is_again else None,
            named_source=named,
            unpacked=content.unpacked if content is not None else trailer,
            moved_to=content.moved_to if content is not None else None,
            **rest,
        )


def _is_beginning(content: Content, item: _Waiting, found: Digests | None) -> bool:
    """Whether the file begins with a known content, byte for byte, or once both are decompressed."""
    beginning = item.digests.beginnings.get(content.size_bytes)
    if beginning is not None and beginning[0] == content.sha256:
        return True
    if found is None:
        return False
    if content.unpacked is not None:
        beginning = found.beginnings.get(content.unpacked[0])
        return content.unpacked[0] < found.size_bytes and beginning is not None and beginning[1] == content.unpacked[1]
    beginning = found.beginnings.get(content.size_bytes)
    return content.size_bytes < found.size_bytes and beginning is not None and beginning[0] == content.sha256
