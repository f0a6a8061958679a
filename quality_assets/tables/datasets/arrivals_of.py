"""Which datasets have files that they did not have when last looked at: by names, sizes and times, not by bytes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from datetime import timedelta
from pathlib import Path

from quality_assets.clock import utc_now
from quality_assets.contracts.sources.datasets import cadence_hours
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import Operations
from quality_assets.tables.datasets.batches import files_of, unjudged, uploads_of
from quality_assets.tables.datasets.registering import Registered, datasets

TRIED_AGAIN_AFTER = timedelta(minutes=5)


def changed_listings(store: Operations, settings: Settings, cursor: str | None) -> tuple[dict[str, str], str]:
    """The datasets whose files have changed since `cursor`, each with a digest of what it has, and the new cursor.

    One with a batch that was begun and not judged, as where the disk was full, changes every few minutes.
    """
    before: dict[str, str] = json.loads(cursor) if cursor else {}
    found = {name: _digest(settings, each) for name, each in datasets(store, settings).items()}
    again = unjudged(store, utc_now() - TRIED_AGAIN_AFTER)
    turn = f" {time.time() // TRIED_AGAIN_AFTER.total_seconds():.0f}"
    now = {name: digest + turn * (name in again) for name, digest in found.items() if digest is not None}
    return {name: digest for name, digest in now.items() if before.get(name) != digest}, json.dumps(now)


def _digest(settings: Settings, dataset: Registered) -> str | None:
    """What the files of a dataset are, as far as they are settled; None without any.

    What is no file is looked at as often as a batch of it is due, and only where that is said.
    """
    if dataset.source.kind != "files" or dataset.source.path is None:
        hours = cadence_hours(dataset.source.cadence) if dataset.source.cadence else None
        return None if hours is None else f"look {time.time() // (hours * 3600):.0f}"
    now = time.time()
    files = [*files_of(settings, dataset.source.path), *uploads_of(settings, dataset.dataset_id)]
    lines = [told for path in files if (told := _told(path, now, settings.file_stable_s)) is not None]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else None


def _told(path: Path, now: float, stable_s: float) -> str | None:
    """What a file is known by; None where it may still be written.

    Its time of change is the machine's own: whoever copies a file may give it any time of writing. Where the clock was
    set back, it lies in the future, and says nothing.
    """
    try:
        stat = path.stat()
    except OSError:
        return None
    if now - stable_s < stat.st_ctime <= now + stable_s:
        return None
    # Whoever lets it be read changes neither its size nor its time.
    may_read = os.access(path, os.R_OK)
    return f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0{may_read}"
