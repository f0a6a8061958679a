"""Snapshots for the dashboard's tests: each kind is built once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from snapshot_builder import Plan, build

from quality_assets.read.reader import Reader, SnapshotStore


@pytest.fixture(scope="session")
def full_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root whose snapshot has everything, for five features."""
    root = tmp_path_factory.mktemp("full")
    build(root)
    return root


@pytest.fixture(scope="session")
def bare_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root whose snapshot has features and metrics, and all else empty."""
    root = tmp_path_factory.mktemp("bare")
    build(root, Plan(has_model=False, has_checks=False, has_incidents=False))
    return root


@pytest.fixture(scope="session")
def reader(full_root: Path) -> Reader:
    """The full snapshot, open."""
    return _open(full_root)


@pytest.fixture(scope="session")
def bare_reader(bare_root: Path) -> Reader:
    """The bare snapshot, open."""
    return _open(bare_root)


def _open(root: Path) -> Reader:
    reader = SnapshotStore(root / "published").reader()
    assert reader is not None
    return reader
