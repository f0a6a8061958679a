"""Intervals that were learnt anew from outcomes: beside the versions, read by whoever serves, for one version each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from quality_assets.domain.models.learning.residuals import Intervals
from quality_assets.domain.models.learning.tabular_model import TabularModel
from quality_assets.stores.files import write_atomically
from quality_assets.stores.released import registry_folder_of


def keep_intervals(models_dir: Path, name: str, version: str, made_at: str, found: Mapping[str, Intervals]) -> None:
    """Keep intervals by which inputs are known, in the place of those that were made before."""
    views = {known: _plain(each.state()) for known, each in found.items()}
    write_atomically(_path(models_dir, name), json.dumps({"version": version, "made_at": made_at, "views": views}))


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in state.items()}


def kept_text(models_dir: Path, name: str) -> str:
    """What was kept, as text; empty where nothing was."""
    try:
        return _path(models_dir, name).read_text(encoding="utf-8")
    except OSError:
        return ""


def with_intervals(model: TabularModel, version: str, text: str) -> TabularModel:
    """A model with the intervals that were kept for its version; as it is where there are none that can be read."""
    try:
        told = json.loads(text)
        if told["version"] != version:
            return model
        found = {known: Intervals.of(state) for known, state in told["views"].items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        return model
    views = tuple(replace(view, intervals=found.get(view.known, view.intervals)) for view in model.views)
    return replace(model, views=views)


def _path(models_dir: Path, name: str) -> Path:
    return registry_folder_of(models_dir, name) / "intervals.json"
