"""The model in use: where it is, whether it can be loaded, whether another is due."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from quality_assets.contracts.ml import MODEL_VERSIONS, RISK_SCORES
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.use_case import UseCase
from quality_assets.settings import Settings
from quality_assets.stores.model_files import MODEL_FILE, REGISTRY_FILE, is_model_file, registry_folder
from quality_assets.stores.plain_skops import is_plain
from quality_assets.stores.registry_reading import read_aliases, read_entry
from quality_assets.stores.warehouse import WarehouseSession

if TYPE_CHECKING:
    from quality_assets.stores.models import LoadedModel, ModelRegistry


# A baseline takes 24 days and the horizon a week: what is left must show several folds their degradations.
MIN_TRAINING_DAYS = 60


NO_VERSION = "none"


# By name, so that none is left out by moving it; the tests hold them to be all that training reads.
MODEL_CODE = (
    "quality_assets.contracts.metrics",
    "quality_assets.contracts.risk_inputs",
    "quality_assets.domain.arrays",
    "quality_assets.domain.models.artifact",
    "quality_assets.domain.models.decoding",
    "quality_assets.domain.models.estimators",
    "quality_assets.domain.models.evidence",
    "quality_assets.domain.models.kinds",
    "quality_assets.domain.models.leaks",
    "quality_assets.domain.models.risk.baselines",
    "quality_assets.domain.models.risk.choosing",
    "quality_assets.domain.models.risk.inputs",
    "quality_assets.domain.models.risk.labels",
    "quality_assets.domain.models.risk.recipe",
    "quality_assets.domain.models.risk.settings",
    "quality_assets.domain.models.risk.training",
    "quality_assets.domain.models.risk.use_case",
    "quality_assets.domain.models.rows",
    "quality_assets.domain.models.selection",
    "quality_assets.domain.models.settings",
    "quality_assets.domain.models.splits",
    "quality_assets.domain.models.training",
    "quality_assets.domain.models.tree_sums",
    "quality_assets.domain.models.use_case",
    "quality_assets.domain.series.baseline",
    "quality_assets.domain.series.carrying",
    "quality_assets.domain.series.dating",
    "quality_assets.domain.series.detection",
    "quality_assets.domain.series.objectives",
    "quality_assets.domain.series.panel",
    "quality_assets.domain.series.rare",
    "quality_assets.domain.series.scale",
    "quality_assets.domain.series.settings",
    "quality_assets.domain.series.silence",
    "quality_assets.domain.series.states",
    "quality_assets.domain.series.walk",
    "quality_assets.domain.stats.grading",
    "quality_assets.domain.threads",
)


def registry_of(settings: Settings, use_case: UseCase = FEATURE_RISK) -> ModelRegistry | None:
    """The registry of a use case; None before its first model, without importing what models need."""
    folder = registry_folder(settings.models_dir, use_case)
    if not (folder / REGISTRY_FILE).is_file():
        return None
    from quality_assets.stores.models import ModelRegistry

    return ModelRegistry(folder, use_case)


def import_reader(settings: Settings) -> None:
    """Import what reads the file of the model in use where that is of a format before; before Dagster is imported.

    skops looks for every function of NumPy and SciPy in all modules that are there by then: among Dagster's for a
    second, without them for a third of one.
    """
    folder = registry_folder(settings.models_dir, FEATURE_RISK)
    if (folder / REGISTRY_FILE).is_file() and not _is_read_plainly(folder):
        import skops.io  # noqa: F401


def _is_read_plainly(folder: Path) -> bool:
    """Whether the file of the model in use is read without skops."""
    registry, name = folder / REGISTRY_FILE, FEATURE_RISK.registry_name
    version = (read_aliases(registry, name) or {}).get("champion")
    entry = read_entry(registry, name, version) if version else None
    path = folder / "artifacts" / entry.run_id / "artifacts" / MODEL_FILE if entry else None
    return path is not None and path.is_file() and is_plain(path.read_bytes())


def load_champion(settings: Settings, use_case: UseCase = FEATURE_RISK) -> LoadedModel:
    """The model in use, or none and why. Read once for as long as no file of the registry is touched."""
    folder = registry_folder(settings.models_dir, use_case)
    paths = [folder / REGISTRY_FILE, *(folder / "artifacts").rglob("*")]
    files = [(str(path), path.stat()) for path in paths if path.is_file()]
    stamps = tuple(sorted((path, stat.st_mtime_ns, stat.st_size) for path, stat in files))
    return _load_champion(settings, use_case, stamps, use_case.inputs_fingerprint)


@lru_cache(maxsize=1)
def _load_champion(
    settings: Settings, use_case: UseCase, files: tuple[tuple[str, int, int], ...], inputs: str
) -> LoadedModel:
    from quality_assets.stores.models import LoadedModel

    try:
        registry = registry_of(settings, use_case)
        if registry is None:
            return LoadedModel(None, NO_VERSION, "no model has been trained yet", needs_training=True)
        return registry.load_champion()
    except Exception as error:  # A registry that cannot be read must not stop the day's facts; the scores say why.
        return LoadedModel(None, NO_VERSION, f"the model registry cannot be read: {error}")


def is_training_due(session: WarehouseSession) -> bool:
    """Whether no model can score and history is enough for one: there is none yet, or it is outgrown."""
    if not load_champion(session.settings).needs_training:
        return False
    row = session.connection.execute(
        f"select count(distinct event_date) from {FACT_FEATURE_METRICS.qualified_name}"
    ).fetchone()
    return row is not None and row[0] >= MIN_TRAINING_DAYS


def is_outgrown(session: WarehouseSession) -> bool:
    """Whether the champion cannot score: it was made for other inputs than the present ones, or cannot be loaded.

    Loading takes seconds, so one that has scored the last day is believed as long as its file is there, of a layout
    that is read. What only loading shows is found by `is_training_due`, once there is something to score.
    """
    found = _trusted_champion(session)
    if found is None:
        return False
    is_usable, is_trusted = found
    if not is_usable:
        return True
    return not is_trusted and load_champion(session.settings).needs_training


def has_scored(session: WarehouseSession) -> bool:
    """Whether there is a champion that is taken for usable, and has scored the last day that is scored."""
    return _trusted_champion(session) == (True, True)


def _trusted_champion(session: WarehouseSession) -> tuple[bool, bool] | None:
    """Whether the champion's file is one for the present inputs, and has scored; None where there is no champion."""
    row = session.connection.execute(
        f"select inputs_fingerprint, artifact_sha256, exists(from {RISK_SCORES.qualified_name} as scores where"
        f" scores.model_version = versions.model_version and score_kind <> 'unknown' and event_date ="
        f" (select max(event_date) from {RISK_SCORES.qualified_name}))"
        f" from {MODEL_VERSIONS.qualified_name} as versions where alias = 'champion'"
    ).fetchone()
    if row is None:
        return None
    fingerprint, sha256, has_scored = row
    folder = registry_folder(session.settings.models_dir, FEATURE_RISK)
    return fingerprint == FEATURE_RISK.inputs_fingerprint and _has_model_file(folder, sha256), bool(has_scored)


def _has_model_file(folder: Path, sha256: str) -> bool:
    """Whether there is a readable model file of this content."""
    for path in folder.glob(f"artifacts/*/artifacts/{MODEL_FILE}"):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() == sha256:
            return is_model_file(content)
    return False


@lru_cache(maxsize=1)
def code_version() -> str:
    """Of the package, and of the modules that make models: the same version, the same code.

    Raises ModuleNotFoundError where one of them is not where MODEL_CODE says.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        release = version("feature-quality")
    except PackageNotFoundError:
        release = "unreleased"
    return f"{release}+{code_digest(MODEL_CODE)[:10]}"


def code_digest(modules: Iterable[str]) -> str:
    """SHA-256 of the sources of modules by name; ModuleNotFoundError where one of them is gone."""
    return hashlib.sha256(b"".join(_source(name) for name in modules)).hexdigest()


def _source(module: str) -> bytes:
    """The source text of a module, which is not imported for it."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{module} is code that results hang on, and is gone: write where it is now")
    return Path(spec.origin).read_bytes()
