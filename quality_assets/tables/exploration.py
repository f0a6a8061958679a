"""Reports on tables to learn from, in a folder of their content's name with a manifest: written once, never changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pandas as pd

from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.settings import Settings
from quality_assets.tables.learning import learning_code_version

MANIFEST = "manifest.json"
_DIGITS = 12


def write_exploration(settings: Settings, use_case: TabularUseCase, frame: pd.DataFrame) -> Path:
    """Write the report of a table to reports/eda/NAME/VERSION-FINGERPRINT/ and its manifest; the folder.

    The same data give the same bytes. Raises CannotLearnError.
    """
    from quality_assets.domain.models.learning.exploration import explore
    from quality_assets.domain.reports.exploration_files import report_files

    report = explore(use_case, frame)
    files = {name: content.encode("utf-8") for name, content in report_files(report).items()}
    manifest = {
        "report_version": report["report_version"],
        "dataset_fingerprint": report["dataset_fingerprint"],
        "code_version": learning_code_version(),
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in sorted(files.items())
        },
    }
    files[MANIFEST] = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
    folder = exploration_folder(settings, use_case.name, report["report_version"], report["dataset_fingerprint"])
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, content in files.items():
        (partial / name).write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return folder


def exploration_folder(settings: Settings, name: str, report_version: str, fingerprint: str) -> Path:
    """Where the report of a table lies."""
    return settings.reports_dir / "eda" / name / f"{report_version}-{fingerprint[:_DIGITS]}"


def faults_of(folder: Path) -> list[str]:
    """What of a report is not as its manifest says, in sentences; empty where all is."""
    try:
        told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, LookupError):
        return [f"{folder / MANIFEST} cannot be read"]
    found = []
    for name, about in told.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is gone")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != about["sha256"]:
            found.append(f"{name} was changed")
    return found
