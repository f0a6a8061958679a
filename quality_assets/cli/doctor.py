"""Whether this machine and data root are fit for work, and how to mend what is not. Changes nothing."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from packaging.requirements import Requirement

from quality_assets.cli.doctor_rights import rights_finding
from quality_assets.cli.doctor_services import examine_services
from quality_assets.cli.faults import find_faults
from quality_assets.cli.finding import Finding
from quality_assets.clock import ahead_of_clock, utc_now
from quality_assets.contracts.sources.events import load_sources
from quality_assets.domain.features.descriptions import FeatureDescriptionsError, read_feature_descriptions
from quality_assets.settings import REPOSITORY_ROOT, Settings
from quality_assets.stores.snapshots import current_snapshot, last_attempt
from quality_assets.stores.warehouse import is_being_written
from quality_assets.tables.gone_logs import gone_logs, said_gone
from quality_assets.tables.own_files import wrong_definitions

MIN_PYTHON = (3, 11)
MIN_FREE_BYTES = 2 << 30
_LOCK_FILE = REPOSITORY_ROOT / "requirements.lock"
_TOLD_PACKAGES = ("dagster", "duckdb", "pandas", "great-expectations", "dash", "scikit-learn")


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at versions, paths, disk, processes, locks, sources, feature descriptions, stores, the snapshot."""
    yield _python()
    yield _packages()
    yield from _folders(settings)
    if (rights := rights_finding(settings)) is not None:
        yield rights
    yield _disk(settings)
    yield from examine_services(settings)
    yield _dagster_home(settings)
    yield _writer(settings)
    yield _sources(settings)
    yield _descriptions(settings)
    yield _definitions(settings)
    yield from _stores(settings)
    yield from _gone_logs(settings)
    yield _snapshot(settings)
    yield _clock(settings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "Python", sys.version_info >= MIN_PYTHON, version, "install Python 3.11 or newer, then `make install`"
    )


def _packages() -> Finding:
    lines = [line.rstrip(" \\") for line in _LOCK_FILE.read_text().splitlines() if line[:1].isalnum()]
    requirements = [Requirement(line) for line in lines]
    pinned = {r.name: str(r.specifier)[2:] for r in requirements if r.marker is None or r.marker.evaluate()}
    wrong = []
    for name, wanted in pinned.items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} {wanted} is missing")
            continue
        if installed != wanted:
            wrong.append(f"{name} {installed} instead of {wanted}")
    told = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _TOLD_PACKAGES)
    return Finding("Packages", not wrong, "; ".join(wrong[:5]) or told, "run `make install`")


def _folders(settings: Settings) -> Iterator[Finding]:
    root = settings.data_dir
    parent = next(p for p in (root, *root.parents) if p.exists())
    writable = _is_writable(parent)
    yield Finding(
        "Data root", writable, str(root), f"make {parent} writable, or point QUALITY_DATA_DIR somewhere that is"
    )
    yield Finding(
        "Landing zone",
        not settings.landing_dir.exists() or settings.landing_dir.is_dir(),
        str(settings.landing_dir),
        f"move {settings.landing_dir} away: it must be a folder",
    )


def _is_writable(folder: Path) -> bool:
    probe = folder / ".quality-doctor"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def _disk(settings: Settings) -> Finding:
    parent = next(p for p in (settings.data_dir, *settings.data_dir.parents) if p.exists())
    free = shutil.disk_usage(parent).free
    return Finding(
        "Disk", free >= MIN_FREE_BYTES, f"{free / (1 << 30):,.1f} GiB free", "free some space, or move the data root"
    )


def _dagster_home(settings: Settings) -> Finding:
    told = os.environ.get("DAGSTER_HOME")
    is_other = told is not None and Path(told).expanduser().resolve() != settings.dagster_home
    return Finding(
        "Dagster's home",
        not is_other,
        f"{told} is another root's"
        if is_other
        else f"{settings.dagster_home} (`dagster` and `dg` need it: export DAGSTER_HOME={settings.dagster_home})",
        f"for `dagster` and `dg` commands: export DAGSTER_HOME={settings.dagster_home}; ours set it by themselves",
    )


def _writer(settings: Settings) -> Finding:
    lock = settings.data_dir / ".writer.lock"
    if not lock.exists():
        return Finding("Warehouse lock", True, "nobody has written yet")
    try:
        with FileLock(lock, timeout=0):
            return Finding("Warehouse lock", True, "free")
    except Timeout:
        return Finding("Warehouse lock", True, "a run is writing")
    except OSError as error:
        return Finding("Warehouse lock", False, str(error), f"make {lock} writable")


def _sources(settings: Settings) -> Finding:
    folder = settings.source_files_dir
    try:
        sources = load_sources(settings.source_folders, settings.earliest_date)
    except OSError as error:
        return Finding("Sources", False, str(error), f"make {folder} readable")
    if sources.errors:
        return Finding("Sources", False, "; ".join(sources.errors), f"mend the file in {folder}: its source is off")
    own = [source.name for source in sources if source.name not in sources.added]
    shipped = f"; shipped: {', '.join(sorted(sources.added))}" if sources.added else ""
    return Finding("Sources", True, f"{', '.join(own) or 'none'} in {folder}{shipped}")


def _descriptions(settings: Settings) -> Finding:
    path = settings.feature_metadata_path
    try:
        frame = read_feature_descriptions(path)
    except FeatureDescriptionsError as error:
        return Finding("Feature descriptions", False, str(error), "mend that line")
    return Finding("Feature descriptions", True, f"{len(frame)} features in {path}")


def _definitions(settings: Settings) -> Finding:
    """The files that people write beside sources and descriptions."""
    wrong = wrong_definitions(settings)
    whole = "what is written of watched tables, funnels, segments, experiments and destinations can be used"
    return Finding("Definitions", not wrong, "; ".join(wrong) or whole, "mend that file")


def _stores(settings: Settings) -> Iterator[Finding]:
    found = find_faults(settings)
    yield from (Finding(fault.subject, False, fault.detail, fault.mend) for fault in found)
    if not found:
        whole = "snapshot, models, operations store, history of runs and the collector's files are whole"
        busy = "warehouse and lake are looked at once the run that writes has ended"
        is_busy = is_being_written(settings)
        yield Finding("Stores", True, f"{whole}; {busy}" if is_busy else f"warehouse, lake, {whole}")


def _gone_logs(settings: Settings) -> Iterator[Finding]:
    gone = gone_logs(settings)
    if gone:
        yield Finding(
            "Logs",
            False,
            f"{said_gone(gone)}; all that is made anew from there would lack their rows",
            "put them back, or let `quality run` keep their rows in landing/.arrivals",
        )


def _snapshot(settings: Settings) -> Finding:
    attempt = last_attempt(settings.published_dir)
    snapshot = current_snapshot(settings.published_dir)
    if attempt is not None and attempt.status == "refused":
        return Finding(
            "Publication",
            False,
            f"refused since {attempt.since:%Y-%m-%d %H:%M} UTC: {attempt.reasons[0]}",
            "see `quality status`",
        )
    if snapshot is None:
        return Finding("Publication", True, "no snapshot yet: `quality run` makes the first")
    return Finding("Publication", True, snapshot.version)


def _clock(settings: Settings) -> Finding:
    snapshot, now = current_snapshot(settings.published_dir), utc_now()
    wrong = ahead_of_clock(snapshot.published_at, now) if snapshot is not None else None
    mend = "set the clock right; what came of days to come is taken out by `quality withdraw`"
    return Finding("Clock", wrong is None, wrong or f"{now:%Y-%m-%d %H:%M} UTC", mend)
