"""Which versions of a model are asked beside the one in use: a list beside its versions, read by whoever serves."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.stores.files import write_atomically
from quality_assets.stores.released import load_version, registry_folder_of


def shadows_of(models_dir: Path, name: str) -> tuple[str, ...]:
    """Their versions, in the order in which they began; none where the list cannot be read."""
    try:
        found = json.loads(_path(models_dir, name).read_text(encoding="utf-8"))
        return tuple(str(each) for each in found["versions"])
    except (OSError, ValueError, LookupError, TypeError):
        return ()


def shadow_starts(models_dir: Path, name: str) -> dict[str, datetime | None]:
    """When each began, in UTC without zone; None where that was not written down."""
    try:
        told = json.loads(_path(models_dir, name).read_text(encoding="utf-8")).get("since", {})
        began = {str(version): datetime.fromisoformat(at) for version, at in told.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        began = {}
    return {version: began.get(version) for version in shadows_of(models_dir, name)}


def start_shadow(models_dir: Path, use_case: TabularUseCase, version: str) -> bool:
    """Have a version asked too; whether it was not. Raises VersionUnavailableError where it cannot be used."""
    load_version(models_dir, use_case, version)
    known = shadows_of(models_dir, use_case.name)
    if version in known:
        return False
    _write(models_dir, use_case.name, (*known, version))
    return True


def stop_shadow(models_dir: Path, name: str, version: str) -> bool:
    """Have a version asked no longer; whether it was."""
    known = shadows_of(models_dir, name)
    if version in known:
        _write(models_dir, name, tuple(each for each in known if each != version))
    return version in known


def _write(models_dir: Path, name: str, versions: tuple[str, ...]) -> None:
    known = shadow_starts(models_dir, name)
    began = {each: known[each] if each in known else utc_now() for each in versions}
    since = {each: at.isoformat() for each, at in began.items() if at is not None}
    write_atomically(_path(models_dir, name), json.dumps({"versions": list(versions), "since": since}))


def _path(models_dir: Path, name: str) -> Path:
    return registry_folder_of(models_dir, name) / "shadows.json"
