"""Dagster's UI started by itself, as in a container: a fresh root has a home and storage before its servers start."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import pytest
import yaml

from quality_assets.serve import dagster_ui
from quality_assets.settings import Settings


def test_started_by_itself_it_makes_the_home_and_the_storage_of_a_fresh_root(
    data_root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = data_root.dagster_home
    # As the compose file says it, before there is anything; and put back after the test.
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    monkeypatch.setattr(sys, "argv", ["dagster_ui", "dev"])
    started: list[Sequence[str]] = []

    def start(webserver: Sequence[str]) -> None:
        started.append(webserver)
        assert sorted(path.name for path in home.rglob("*.db"))[-1] == "schedules.db"

    monkeypatch.setattr(dagster_ui, "run_dev", start)
    dagster_ui.main()
    assert started == [["quality_assets.serve.dagster_ui", "webserver"]]
    configuration = yaml.safe_load((home / "dagster.yaml").read_text())
    folders = [store["config"]["base_dir"] for store in configuration.values() if "base_dir" in store.get("config", {})]
    assert folders
    assert all(folder.startswith(str(home)) for folder in folders), "paths of this root's own"
    assert os.environ["DAGSTER_HOME"] == str(home)
