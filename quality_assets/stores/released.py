"""A version of a tabular model from the disk: its manifest and its file, for whoever releases it and whoever serves it.

Imports neither Dagster nor MLflow. Nothing is loaded whose SHA-256 is not that of the manifest and of the release, that
holds types other than those of such a model, that was made for another contract, or that does not predict of its
reference row what it did when it was saved.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quality_assets.domain.models.learning.columns_of import columns_of_rows
from quality_assets.domain.models.learning.release_stack import Release, stack
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.domain.models.learning.tabular_model import ModelFormatError, TabularModel, model_of

MANIFESTS = "versions"
TRUSTED_TYPES = frozenset(
    {"sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"}
)
"""All that skops asks leave for, in the models that learn from tables."""
MOST_UNPACKED_BYTES = 512 << 20
_SAME = 1e-9
_WARMING_UP, _TIMED, _P99 = 5, 100, 0.99
MOST_P99_S = 0.25


class VersionUnavailableError(RuntimeError):
    """A version is not there or cannot be used: one sentence that says why."""


@dataclass(frozen=True)
class Released:
    """The model in use with its release. `problems`: why newer releases were passed over, in sentences."""

    model: TabularModel
    release: Release
    problems: tuple[str, ...]


def registry_folder_of(models_dir: Path, name: str) -> Path:
    """The folder of a use case's versions."""
    return models_dir / name


def manifest(models_dir: Path, name: str, version: str) -> dict[str, Any]:
    """What is told of a version. Raises VersionUnavailableError."""
    path = registry_folder_of(models_dir, name) / MANIFESTS / f"{version}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(each["version"] for each in manifests(models_dir, name)) or "none yet"
        raise VersionUnavailableError(f"there is no version {version} of {name}; the registry has: {known}") from None
    except (OSError, ValueError) as error:
        raise VersionUnavailableError(f"version {version} of {name} cannot be used: {path} is broken") from error
    if not isinstance(found, dict):
        raise VersionUnavailableError(f"version {version} of {name} cannot be used: {path} is broken")
    return found


def manifests(models_dir: Path, name: str) -> list[dict[str, Any]]:
    """What is told of every version, in the order of their numbers; one that cannot be read is left out."""
    folder = registry_folder_of(models_dir, name) / MANIFESTS
    found = []
    for path in folder.glob("*.json"):
        try:
            each = json.loads(path.read_text(encoding="utf-8"))
            found.append((int(each["version"]), each))
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return [each for _, each in sorted(found, key=lambda item: item[0])]


def load_version(
    models_dir: Path, use_case: TabularUseCase, version: str, expected_sha256: str | None = None
) -> TabularModel:
    """The model of a version, proven. Raises VersionUnavailableError, whose sentence names what is wrong."""
    told = manifest(models_dir, use_case.name, version)
    try:
        return _proven(models_dir, use_case, told, expected_sha256)
    except (ModelFormatError, OSError, LookupError, TypeError) as error:
        why = "its file is missing" if isinstance(error, FileNotFoundError) else str(error)
        raise _unusable(use_case, version, why) from error


def _proven(
    models_dir: Path, use_case: TabularUseCase, told: Mapping[str, Any], expected_sha256: str | None
) -> TabularModel:
    version = told["version"]
    content = (registry_folder_of(models_dir, use_case.name) / told["file"]).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != told["sha256"] or (expected_sha256 is not None and digest != expected_sha256):
        raise _unusable(use_case, version, "its file is not the one that was saved")
    if told["contract"] != use_case.contract.fingerprint:
        raise _unusable(use_case, version, "it was made for another contract; train a new one")
    model = model_of(unpacked(content))
    if model.contract != use_case.contract.fingerprint or model.use_case != use_case.name:
        raise _unusable(use_case, version, "its file holds a model of another contract")
    wrong = differs_from_reference(use_case, model, told["reference"])
    if wrong:
        raise _unusable(use_case, version, wrong)
    return model


def _unusable(use_case: TabularUseCase, version: str, why: str) -> VersionUnavailableError:
    return VersionUnavailableError(f"version {version} of {use_case.name} cannot be used: {why}")


def unpacked(content: bytes) -> Any:
    """The plain state that a model file holds. ModelFormatError where it is no such file, or holds other types."""
    import skops.io

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            if sum(each.file_size for each in file.infolist()) > MOST_UNPACKED_BYTES:
                raise ModelFormatError(f"its file unpacks to more than {MOST_UNPACKED_BYTES >> 20} MB")
        types = skops.io.get_untrusted_types(data=content)
        foreign = sorted(set(types) - TRUSTED_TYPES)
        if foreign:
            raise ModelFormatError(f"its file holds types that no model has ({', '.join(foreign)})")
        return skops.io.loads(content, trusted=types)
    except (ModelFormatError, MemoryError):
        raise
    # What a damaged or forged file makes of the libraries that read it is not ours to foresee.
    except Exception as error:
        text = " ".join(str(error).split())[:160]
        raise ModelFormatError(f"its file cannot be read ({type(error).__name__}: {text})") from error


def differs_from_reference(use_case: TabularUseCase, model: TabularModel, reference: Mapping[str, Any]) -> str:
    """Why a model is not the one that was saved, by the rows whose prediction was written down; empty where it is."""
    told = [_differs(use_case, model, each) for each in (reference, *reference.get("others", ()))]
    return next((why for why in told if why), "")


def _differs(use_case: TabularUseCase, model: TabularModel, reference: Mapping[str, Any]) -> str:
    (answer,) = model.answers(columns_of_rows(use_case.contract.inputs, [reference["row"]]))
    for name in ("prediction", "p10", "p90"):
        wanted, found = reference[name], answer[name]
        if wanted is None or not math.isfinite(found):
            return f"its {name} of the reference row is no finite number"
        if abs(found - wanted) > _SAME * max(1.0, abs(wanted)):
            return f"its {name} of the reference row is {found!r}, and {wanted!r} was written down"
    return ""


def gates(models_dir: Path, use_case: TabularUseCase, version: str) -> dict[str, Any]:
    """What a version must pass before it is released: it loads, proves itself, and answers in time.

    The evidence: SHA-256 and the 99th percentile of single answers, in seconds of CPU. Raises VersionUnavailableError.
    """
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    told = manifest(models_dir, use_case.name, version)
    model = load_version(models_dir, use_case, version)
    columns = columns_of_rows(use_case.contract.inputs, [told["reference"]["row"]])
    times = []
    # One thread, as where it serves: those of OpenMP spin on a busy machine.
    with ThreadpoolController().limit(limits=1):
        for _ in range(_WARMING_UP + _TIMED):
            started = time.thread_time()
            model.answers(columns)
            times.append(time.thread_time() - started)
    # The first ones import and allocate.
    p99 = sorted(times[_WARMING_UP:])[round(_P99 * _TIMED) - 1]
    if p99 > MOST_P99_S:
        raise _unusable(use_case, version, f"an answer takes {p99:.3f} s of CPU, more than {MOST_P99_S:g} s")
    return {"sha256": told["sha256"], "p99_s": p99}


def load_released(models_dir: Path, use_case: TabularUseCase, releases: Sequence[Release]) -> Released:
    """The model in use: the newest release whose version can be used.

    Raises VersionUnavailableError where nothing is released, or none of it can be used.
    """
    problems: list[str] = []
    for release in reversed(stack(releases)):
        try:
            model = load_version(models_dir, use_case, release.version, release.evidence)
        except VersionUnavailableError as error:
            problems.append(str(error))
            continue
        return Released(model, release, tuple(problems))
    name = use_case.name
    none = f"no version of {name} is released: `quality train {name} --promote`, or `quality model promote {name} N`"
    raise VersionUnavailableError("; ".join(problems) if problems else none)
