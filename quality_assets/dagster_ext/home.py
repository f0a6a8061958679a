"""The data root as Dagster's home: its configuration with paths of its own, and its storage, made by one at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from quality_assets.contracts import yaml_text
from quality_assets.settings import REPOSITORY_ROOT, Settings
from quality_assets.stores.files import write_atomically

if TYPE_CHECKING:
    from dagster import DagsterInstance


def prepare_home(settings: Settings) -> Path:
    """Make the data root Dagster's home, with the project's dagster.yaml and paths of its own; the folder."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    configuration = yaml_text.load((REPOSITORY_ROOT / "dagster.yaml").read_text())
    for store in configuration.values():
        if isinstance(store, dict) and "base_dir" in store.get("config", {}):
            below = Path(store["config"]["base_dir"]).relative_to("data/.dagster")
            store["config"]["base_dir"] = str(home / below)
    write_atomically(home / "dagster.yaml", yaml_text.dump(configuration))
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    return home


def open_instance(settings: Settings) -> DagsterInstance:
    """The data root's Dagster instance, whose home and storage are made where there are none."""
    prepare_home(settings)
    from dagster import DagsterInstance

    # Two that make the storage of a fresh root at once leave it half made for good.
    with FileLock(settings.dagster_home / ".storage.lock"):
        return DagsterInstance.get()
