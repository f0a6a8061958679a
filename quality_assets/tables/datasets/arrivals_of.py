"""Which datasets have files that they did not have when last looked at: by names, sizes and times, not by bytes."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from quality_assets.contracts.sources.datasets import cadence_hours
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import Operations
from quality_assets.tables.datasets.batches import files_of, uploads_of
from quality_assets.tables.datasets.registering import Registered, datasets


def changed_listings(store: Operations, settings: Settings, cursor: str | None) -> tuple[dict[str, str], str]:
    """The datasets whose files have changed since `cursor`, each with a digest of what it has, and the new cursor."""
    before: dict[str, str] = json.loads(cursor) if cursor else {}
    found = {name: _digest(settings, each) for name, each in datasets(store, settings).items()}
    now = {name: digest for name, digest in found.items() if digest is not None}
    return {name: digest for name, digest in now.items() if before.get(name) != digest}, json.dumps(now)


def _digest(settings: Settings, dataset: Registered) -> str | None:
    """What the files of a dataset are, as far as they are settled; None without any.

    What is no file is looked at as often as a batch of it is due, and only where that is said.
    """
    if dataset.source.kind != "files" or dataset.source.path is None:
        hours = cadence_hours(dataset.source.cadence) if dataset.source.cadence else None
        return None if hours is None else f"look {time.time() // (hours * 3600):.0f}"
    latest = time.time() - settings.file_stable_s
    files = [*files_of(settings, dataset.source.path), *uploads_of(settings, dataset.dataset_id)]
    lines = [told for path in files if (told := _told(path, latest)) is not None]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else None


def _told(path: Path, latest: float) -> str | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}" if stat.st_mtime <= latest else None
