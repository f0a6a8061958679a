"""Files that people upload: named safely, hashed on the way, and in the inbox whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import func, insert, select

from quality_assets.clock import utc_now
from quality_assets.contracts.sources.datasets import DatasetSource
from quality_assets.settings import Settings
from quality_assets.stores.datasets.loading import check_ratio, check_width
from quality_assets.stores.operations.dataset_tables import DATASET_BATCH
from quality_assets.stores.operations.store import Operations
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.tables.datasets.batches import batch_id_of
from quality_assets.tables.datasets.registering import Registered, datasets, register

MOST_BYTES = 5_000_000_000
_MOST_NAME_BYTES = 200
_ABANDONED_S = 24 * 3600.0


class UploadTooLargeError(ValueError):
    """More was sent than is taken."""


@dataclass(frozen=True)
class Uploaded:
    """What became of an upload; `is_new` is false where the same bytes were there already."""

    dataset: str
    batch_id: str
    name: str
    is_new: bool


def safe_name(name: str) -> str:
    """The last part of a name as it may stand in a folder: composed letters, no controls, cut to 200 bytes."""
    plain = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    plain = "".join(c for c in plain if unicodedata.category(c)[0] != "C").strip().lstrip(".")
    stem, dot, ending = plain.rpartition(".")
    ending = f".{ending}" if dot and len(ending.encode()) <= 16 else ""
    kept = (stem if ending else plain).encode()[: _MOST_NAME_BYTES - len(ending.encode())].decode("utf-8", "ignore")
    return f"{kept}{ending}" if kept else "upload"


def dataset_name(file_name: str) -> str:
    """The dataset that a file begins where none is named: its name without endings, numbers and accents.

    A name in letters that a dataset's name cannot have is `upload-` and what tells it from another.
    """
    stem = re.sub(r"\.(gz|zst|csv|tsv|txt|json|jsonl|ndjson|parquet|xlsx?|ods)$", "", safe_name(file_name).lower())
    stem = re.sub(r"\.(csv|tsv|json|jsonl)$", "", stem)
    stem = re.sub(r"[-_. ]*\d[\d\-_. ]*$", "", stem) or stem
    plain = unicodedata.normalize("NFKD", stem.casefold())
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign))
    named = re.sub(r"[^a-z0-9_.-]+", "_", plain).strip("_.-")[:80]
    if named or stem == "upload":
        return named or stem
    return f"upload-{hashlib.sha256(stem.encode()).hexdigest()[:6]}"


class Arriving:
    """A file on its way in. `write` raises UploadTooLargeError as soon as there is too much of it."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._most = path, most_bytes
        self._stream = path.open("wb")
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take a piece."""
        self.size += len(chunk)
        if self.size > self._most:
            raise UploadTooLargeError(f"More than {self._most / 1e9:g} GB at once is not taken.")
        self._digest.update(chunk)
        self._stream.write(chunk)

    @property
    def sha256(self) -> str:
        """The hash of what came."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """On the disk."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()


@contextmanager
def arriving(settings: Settings, most_bytes: int = MOST_BYTES) -> Iterator[tuple[Arriving, Path]]:
    """A place for a file that is gone afterwards, unless it was moved."""
    folder = settings.data_dir / "inbox"
    folder.mkdir(parents=True, exist_ok=True)
    _forget_abandoned(folder)
    path = folder / f".{uuid4().hex}.part"
    taken = Arriving(path, most_bytes)
    try:
        yield taken, path
    finally:
        taken._stream.close()
        path.unlink(missing_ok=True)


def _forget_abandoned(folder: Path) -> None:
    """Remove what killed processes left of uploads; one that is under way is written to."""
    for part in folder.glob(".*.part"):
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink()


def accept(
    store: Operations, settings: Settings, dataset: str, name: str, taken: Arriving, path: Path, by: str
) -> Uploaded:
    """Put a file that has come whole into the inbox of its dataset, which is made where there is none.

    Raises FileRejected for an empty one and one of a dataset that is no files, TooLarge for one that unpacks to many
    times its size or has too many columns, SourceError for a name that no dataset can have.
    """
    if not taken.size:
        raise FileRejected("no rows: the file is empty")
    check_ratio(path)
    check_width(path)
    batch_id, name = batch_id_of(dataset, taken.sha256), safe_name(name)
    # One transaction, so that whoever is killed within it leaves neither a dataset nor a batch of it.
    with store.write() as connection:
        there = datasets(store, settings, with_hidden=True).get(dataset)
        if there is None or there.is_hidden:
            there = register(store, there.source if there else _made(dataset), by)
        if there.source.kind != "files":
            raise FileRejected(
                f"{dataset} is a table of a database, and its batches come from there: give the file another name"
            )
        known = connection.execute(
            select(DATASET_BATCH.c.batch_id).where(DATASET_BATCH.c.batch_id == batch_id)
        ).scalar()
        if known is not None:
            return Uploaded(dataset, batch_id, name, False)
        target = _place(settings, there, name, batch_id)
        last = connection.execute(
            select(func.max(DATASET_BATCH.c.sequence)).where(DATASET_BATCH.c.dataset_id == dataset)
        ).scalar()
        connection.execute(
            insert(DATASET_BATCH).values(
                batch_id=batch_id, dataset_id=dataset, sha256=taken.sha256, name=name, location=str(target),
                sequence=(last or 0) + 1, status="waiting", bytes=taken.size, arrived_at=utc_now(), created_by=by,
            )
        )  # fmt: skip
        # Last of all: where it fails nothing is written, and what lies here without a batch is judged all the same.
        os.replace(path, target)
    return Uploaded(dataset, batch_id, name, True)


def _made(dataset: str) -> DatasetSource:
    from quality_assets.contracts.sources.datasets import make_dataset

    return make_dataset({"name": dataset, "path": f"inbox/{dataset}"}, "dataset")


def _place(settings: Settings, dataset: Registered, name: str, batch_id: str) -> Path:
    folder = settings.data_dir / "inbox" / dataset.dataset_id
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    return target if not target.exists() else folder / f"{batch_id[:8]}-{name}"
