"""What is wrong with the files that people write: sources, watched tables, descriptions, definitions, destinations.

One that is wrong stops no other, and has a sentence here, which says what holds meanwhile. What a definition names and
no event has is told where definitions are held against the data (`impact/defined.py`).
"""

from __future__ import annotations

from pathlib import PurePath

from quality_assets.contracts.destinations import load_destinations
from quality_assets.contracts.experiment_files import load_experiments
from quality_assets.contracts.sources.datasets import load_datasets
from quality_assets.contracts.sources.events import load_sources
from quality_assets.domain.features.descriptions import FeatureDescriptionsError, read_feature_descriptions
from quality_assets.settings import Settings
from quality_assets.tables.impact.defined import load_all


def wrong_files(settings: Settings) -> list[str]:
    """All files of a data root that are not as they must be, sources first."""
    return [*wrong_sources(settings), *_wrong_descriptions(settings), *wrong_definitions(settings)]


def wrong_sources(settings: Settings) -> list[str]:
    """The wrong files of sources of logs."""
    errors = load_sources(settings.source_folders, settings.earliest_date).errors
    return [f"a source is off, and its logs wait, until its file is mended: {_one_line(error)}" for error in errors]


def wrong_definitions(settings: Settings) -> list[str]:
    """The wrong files of watched tables, of what is built, and of where it is sent."""
    definitions = [each.error for each in load_all(settings) if each.error is not None]
    experiments = load_experiments(settings.defined("experiments")).errors
    destinations = load_destinations(settings.defined("destinations")).errors
    return [
        *wrong_datasets(settings),
        *(f"nothing is built of a definition until its file is mended: {_one_line(error)}" for error in definitions),
        *(f"an experiment is not read until its file is mended: {_one_line(error)}" for error in experiments),
        *(f"nothing is sent to a destination until its file is mended: {_one_line(error)}" for error in destinations),
    ]


def wrong_datasets(settings: Settings, name: str | None = None) -> list[str]:
    """The wrong files of watched tables; of one alone those that are called like it."""
    errors = load_datasets(settings.data_dir / "datasets").errors
    if name is not None:
        errors = tuple(error for error in errors if PurePath(error.partition(": ")[0]).stem == name)
    return [f"a watched table is as its file said before, until that is mended: {_one_line(error)}" for error in errors]


def _wrong_descriptions(settings: Settings) -> list[str]:
    try:
        read_feature_descriptions(settings.feature_metadata_path)
    except FeatureDescriptionsError as error:
        return [f"features keep the owners and objectives that they had, until their file is mended: {error}"]
    return []


def _one_line(error: str) -> str:
    return "; ".join(error.splitlines())
