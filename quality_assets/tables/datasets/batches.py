"""The batches of a dataset: what waits to be judged, in which order, and what is written of each.

A batch is its bytes: the same file twice, under whatever name, is one batch.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from quality_assets.clock import utc_now
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.table_findings import Finding
from quality_assets.settings import Settings
from quality_assets.stores.operations.dataset_tables import DATASET_BATCH, DATASET_FINDING
from quality_assets.stores.operations.store import Operations
from quality_assets.stores.readers.text import CHUNK_BYTES
from quality_assets.tables.datasets.registering import Registered
from quality_assets.tables.datasets.telling_of import tell_of_batch

_HASH_LETTERS = 24
# What other programs leave beside tables: locks, marks that a job has ended, sums of bytes, words for people.
_NO_TABLES = (".", "~$", "_SUCCESS", "_committed_", "_started_", "_metadata", "_common_metadata", "Thumbs.db")
_NO_TABLE_SUFFIXES = (".part", ".tmp", ".crc", ".md")


@dataclass(frozen=True)
class Waiting:
    """A batch that was not judged yet: what it is called, where its bytes are and what they hash to."""

    batch_id: str
    name: str
    location: str
    sha256: str
    size: int


def files_of(settings: Settings, path: str) -> list[Path]:
    """The files of a path, folder or glob, in the natural order of their names."""
    place = Path(path).expanduser()
    if place.is_file():
        return [place]
    pattern = str(place / "**" / "*") if place.is_dir() else str(place)
    found = [Path(name) for name in glob.glob(pattern, recursive=True)]
    return sorted((p for p in found if p.is_file() and not _is_passed_over(p)), key=lambda p: natural(str(p)))


def _is_passed_over(path: Path) -> bool:
    return path.name.startswith(_NO_TABLES) or path.suffix.lower() in _NO_TABLE_SUFFIXES


def _name_in(path: Path, within: str) -> str:
    """What a file of a path, folder or glob is called: below a folder of its own, with that folder."""
    place = Path(within).expanduser()
    if not place.is_dir():
        plain = itertools.takewhile(lambda part: not glob.has_magic(part), place.parts)
        place = Path(*plain) if glob.has_magic(str(place)) else place.parent
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


def waiting_files(store: Operations, settings: Settings, dataset: Registered) -> list[Waiting]:
    """The files that were not judged yet, in the natural order of their names."""
    assert dataset.source.path is not None
    judged = judged_hashes(store, dataset.dataset_id)
    found = []
    files = [(path, _name_in(path, dataset.source.path)) for path in files_of(settings, dataset.source.path)]
    for path, name in [*files, *((path, path.name) for path in uploads_of(settings, dataset.dataset_id))]:
        sha256 = sha256_of(path)
        if sha256 not in judged:
            judged.add(sha256)
            found.append(Waiting(batch_id_of(dataset.dataset_id, sha256), name, str(path), sha256, path.stat().st_size))
    return found


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
