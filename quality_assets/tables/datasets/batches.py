"""The batches of a dataset: what waits to be judged, in which order, and what is written of each.

A batch is its bytes: the same file twice, under whatever name, is one batch.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from quality_assets.clock import utc_now
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.table_findings import Finding
from quality_assets.settings import Settings
from quality_assets.stores.landing import MARKER_FOLDERS, LandingFile, is_passed_over, settle
from quality_assets.stores.operations.columns import plain_text
from quality_assets.stores.operations.dataset_tables import DATASET_BATCH, DATASET_FINDING
from quality_assets.stores.operations.store import Operations
from quality_assets.stores.readers.faults import verdict_on
from quality_assets.stores.readers.text import CHUNK_BYTES
from quality_assets.tables.datasets.registering import Registered
from quality_assets.tables.datasets.telling_of import Closed, tell_of_batch

_HASH_LETTERS = 24
# Words for people that lie beside tables.
_NO_TABLE_SUFFIXES = (".md",)


@dataclass(frozen=True)
class Waiting:
    """A batch that was not judged yet: what it is called, where its bytes are and what they hash to.

    `file` is its file as it stood when the hash was taken.
    """

    batch_id: str
    name: str
    location: str
    sha256: str
    size: int
    file: LandingFile | None = None

    def is_unchanged(self) -> bool:
        """Whether the bytes are still those that were hashed."""
        return self.file is None or self.file.is_unchanged()


@dataclass(frozen=True)
class Arrived:
    """The files of a dataset that were not judged yet, in the natural order of their names.

    `closed` are those that cannot be opened, `unsettled` the names of those that are still being written.
    """

    waiting: list[Waiting]
    closed: list[Closed]
    unsettled: list[str]


def place_of(settings: Settings, path: str) -> Path:
    """Where a path, folder or glob of a dataset leads: from the data root, unless it says a root of its own."""
    return settings.data_dir / Path(path).expanduser()


def files_of(settings: Settings, path: str) -> list[Path]:
    """The files of a path, folder or glob, in the natural order of their names."""
    place = place_of(settings, path)
    if place.is_file():
        return [place]
    found: Iterable[Path]
    if place.is_dir():
        found = _walk(place)
    elif "**" in place.parts:
        above = _above_pattern(place)
        pattern = place.parts[len(above.parts) :]
        found = (each for each in _walk(above) if _fits(each.relative_to(above).parts, pattern))
    else:
        found = map(Path, glob.iglob(str(place)))
    return sorted((p for p in found if p.is_file() and not _is_passed_over(p)), key=lambda p: natural(str(p)))


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, through links too, but into no folder twice: links may lead in circles."""
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        there = os.path.realpath(parent)
        if there in seen:
            folders.clear()
            continue
        seen.add(there)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in MARKER_FOLDERS)
        yield from (Path(parent) / name for name in names)


def _above_pattern(place: Path) -> Path:
    """The folder of a glob above its first sign that is one."""
    return Path(*itertools.takewhile(lambda part: not glob.has_magic(part), place.parts))


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path fit those of a glob; `**` stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return _fits(parts, pattern[1:]) or (bool(parts) and _fits(parts[1:], pattern))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _is_passed_over(path: Path) -> bool:
    is_word = path.suffix.lower() in _NO_TABLE_SUFFIXES or path.parent.name in MARKER_FOLDERS
    return is_word or is_passed_over(path.name)


def _name_in(settings: Settings, path: Path, within: str) -> str:
    """What a file of a path, folder or glob is called: below a folder of its own, with that folder."""
    place = place_of(settings, within)
    if not place.is_dir():
        place = _above_pattern(place) if glob.has_magic(str(place)) else place.parent
    return path.relative_to(place).as_posix() if path.is_relative_to(place) else path.name


def natural(name: str) -> tuple[Any, ...]:
    """A key by which day2 comes before day10."""
    return tuple(
        (1, int(part), "") if part.isdigit() else (0, 0, part.casefold()) for part in re.split(r"(\d+)", name) if part
    )


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def batch_id_of(dataset: str, sha256: str) -> str:
    """What names a batch everywhere: from its bytes and its dataset."""
    return hashlib.sha256(f"{dataset}\0{sha256}".encode()).hexdigest()[:_HASH_LETTERS]


def waiting_files(store: Operations, settings: Settings, dataset: Registered) -> Arrived:
    """What has come of a dataset that is files."""
    assert dataset.source.path is not None
    judged = judged_hashes(store, dataset.dataset_id)
    found, closed, there = [], [], {}
    files = [(path, _name_in(settings, path, dataset.source.path)) for path in files_of(settings, dataset.source.path)]
    for path, name in [*files, *((path, path.name) for path in uploads_of(settings, dataset.dataset_id))]:
        try:
            file = LandingFile.of(path, name, path.stat())
            sha256 = there[str(path)] = sha256_of(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            closed.append(Closed(plain_text(name), verdict_on(error).reason))
            continue
        if sha256 not in judged:
            judged.add(sha256)
            batch_id = batch_id_of(dataset.dataset_id, sha256)
            found.append(Waiting(batch_id, name, str(path), sha256, file.size_bytes, file))
    _forget_replaced(store, dataset.dataset_id, there)
    whole, unsettled = settle([batch.file for batch in found if batch.file], settings.file_stable_s)
    settled = {file.path for file in whole}
    waiting = [batch for batch in found if Path(batch.location) in settled]
    return Arrived(waiting, closed, [plain_text(each.name) for each in unsettled])


def _forget_replaced(store: Operations, dataset: str, there: Mapping[str, str]) -> None:
    """Let go of batches that were begun, or waited, and whose files hold other bytes by now, which nobody can judge."""
    of_batch = DATASET_BATCH.c
    is_open = (of_batch.dataset_id == dataset, of_batch.status.in_(("waiting", "checking")))
    with store.read() as connection:
        rows = connection.execute(select(of_batch.batch_id, of_batch.location, of_batch.sha256).where(*is_open)).all()
    bytes_there = set(there.values())
    gone = [batch for batch, place, sha256 in rows if place in there and sha256 not in bytes_there]
    if gone:
        forget(store, *gone)


def judged_hashes(store: Operations, dataset: str) -> set[str]:
    """The hashes of the batches of a dataset that were judged or refused."""
    with store.read() as connection:
        return set(
            connection.execute(
                select(DATASET_BATCH.c.sha256).where(
                    DATASET_BATCH.c.dataset_id == dataset, DATASET_BATCH.c.status.in_(("checked", "refused"))
                )
            ).scalars()
        )


def unjudged(store: Operations, before: datetime) -> set[str]:
    """The datasets with a batch that came, or was begun, before a time, whose file is there and was not judged yet."""
    of_batch = DATASET_BATCH.c
    is_open = (
        of_batch.status.in_(("waiting", "checking")),
        func.coalesce(of_batch.started_at, of_batch.arrived_at) < before,
    )
    with store.read() as connection:
        rows = connection.execute(select(of_batch.dataset_id, of_batch.location).where(*is_open)).all()
    return {name for name, location in rows if Path(location).is_file()}


def uploads_of(settings: Settings, dataset: str) -> list[Path]:
    """The files that were uploaded for a dataset."""
    folder = settings.data_dir / "inbox" / dataset
    return files_of(settings, str(folder)) if folder.is_dir() else []


def start(store: Operations, dataset: str, batch: Waiting, run_id: str | None, by: str) -> None:
    """Say that a batch is being judged; one that a killed process left so is judged again."""
    now = utc_now()
    with store.write() as connection:
        there = connection.execute(
            select(DATASET_BATCH.c.batch_id).where(DATASET_BATCH.c.batch_id == batch.batch_id)
        ).scalar()
        values = {"status": "checking", "started_at": now, "run_id": run_id}
        if there is None:
            last = connection.execute(
                select(func.max(DATASET_BATCH.c.sequence)).where(DATASET_BATCH.c.dataset_id == dataset)
            ).scalar()
            connection.execute(
                insert(DATASET_BATCH).values(
                    batch_id=batch.batch_id, dataset_id=dataset, sha256=batch.sha256, name=batch.name,
                    location=batch.location, sequence=(last or 0) + 1, bytes=batch.size, arrived_at=now,
                    created_by=by, **values,
                )
            )  # fmt: skip
        else:
            connection.execute(update(DATASET_BATCH).where(DATASET_BATCH.c.batch_id == batch.batch_id).values(**values))


def forget(store: Operations, *batch_ids: str) -> None:
    """Let go of batches that were not judged, since their bytes are no longer there."""
    with store.write() as connection:
        connection.execute(
            delete(DATASET_BATCH).where(
                DATASET_BATCH.c.batch_id.in_(batch_ids), DATASET_BATCH.c.status.in_(("waiting", "checking"))
            )
        )


def finish(
    store: Operations, dataset: Registered, batch_id: str, values: dict[str, Any], findings: Sequence[Finding]
) -> None:
    """Write what was found of a batch and tell of what must be known, whole or not at all."""
    rows = [
        _row(dataset.dataset_id, batch_id, number, finding) for number, finding in enumerate(_first_of_each(findings))
    ]
    with store.write() as connection:
        connection.execute(delete(DATASET_FINDING).where(DATASET_FINDING.c.batch_id == batch_id))
        connection.execute(
            update(DATASET_BATCH).where(DATASET_BATCH.c.batch_id == batch_id).values(checked_at=utc_now(), **values)
        )
        if rows:
            connection.execute(insert(DATASET_FINDING), rows)
        tell_of_batch(connection, dataset, batch_id, values, findings)


def _first_of_each(findings: Sequence[Finding]) -> list[Finding]:
    return list({(f.rule_id, _column(f)): f for f in reversed(findings)}.values())[::-1]


def _column(finding: Finding) -> str:
    return finding.columns[-1] if finding.columns else ""


def _row(dataset: str, batch_id: str, number: int, finding: Finding) -> dict[str, Any]:
    return {
        "finding_id": f"{batch_id}-{number}",
        "batch_id": batch_id,
        "dataset_id": dataset,
        "rule_id": finding.rule_id,
        "column_name": _column(finding),
        "kind": finding.kind,
        "dimension": finding.dimension,
        "columns": list(finding.columns),
        "cells": finding.count,
        "share": finding.share,
        "expected_share": finding.expected_share,
        "weight": finding.weight,
        "severity": finding.severity,
        "is_alerting": finding.is_alert,
        "examples": list(finding.examples),
        "details": {"doubt": finding.doubt, "p_value": finding.p_value},
        "sentence": finding.sentence,
    }


def batch_time(profile: Profile) -> datetime | None:
    """The last instant of a batch, UTC."""
    if profile.last_time is None:
        return None
    return datetime.fromtimestamp(profile.last_time, UTC).replace(tzinfo=None)


def checked_batches(store: Operations, dataset: str) -> list[str]:
    """The ids of the batches that were judged, oldest first."""
    with store.read() as connection:
        return list(
            connection.execute(
                select(DATASET_BATCH.c.batch_id)
                .where(DATASET_BATCH.c.dataset_id == dataset, DATASET_BATCH.c.status == "checked")
                .order_by(DATASET_BATCH.c.sequence)
            ).scalars()
        )
