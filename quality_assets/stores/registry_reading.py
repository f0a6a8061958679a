"""Reading which version is in use from MLflow's SQLite file as it lies: importing MLflow to ask it costs seconds.

Only what has a place of its own in MLflow's tables for years is read; None says that MLflow is to be asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RegistryEntry:
    """A version of a model as the registry holds it."""

    version: str
    run_id: str
    tags: Mapping[str, str]


def read_aliases(path: Path, name: str) -> dict[str, str] | None:
    """The version behind each alias of the model `name`; None where the file cannot tell."""
    rows = _rows(path, "select alias, version from registered_model_aliases where name = ?", name)
    return None if rows is None else {str(alias): str(version) for alias, version in rows}


def read_entry(path: Path, name: str, version: str) -> RegistryEntry | None:
    """One version of the model `name`; None where the file cannot tell, or has no such version."""
    entries = _rows(
        path,
        "select run_id from model_versions where name = ? and version = ? and current_stage <> 'Deleted_Internal'",
        name,
        version,
    )
    tags = _rows(path, "select key, value from model_version_tags where name = ? and version = ?", name, version)
    if not entries or tags is None:
        return None
    return RegistryEntry(version, str(entries[0][0]), {str(key): str(value) for key, value in tags})


def _rows(path: Path, query: str, *values: str) -> list[Any] | None:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error:
        return None
