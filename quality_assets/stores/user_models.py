"""Models that people bring: judged in a process of their own, kept under `models/user/NAME/VERSION/`, and asked there.

A version is a folder with the model, its sample and `about.json`, and is whole or absent; the last is in use. The
process that calls looks at the index of a model file, and at no more of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.drift_replay import WINDOW_DAYS
from quality_assets.domain.models.learning.outcome_grades import is_outcome_of, outcome_grades
from quality_assets.domain.models.learning.served_drift import DriftLimits
from quality_assets.domain.models.user_contract import Contract, Kind, checked_row, outside
from quality_assets.stores.files import fsync_path, write_atomically
from quality_assets.stores.landing import PREDICTIONS_KEPT_DAYS
from quality_assets.stores.outcomes import Outcomes, Taken
from quality_assets.stores.released import TRUSTED_TYPES

USER_FOLDER = "user"
MOST_MODEL_BYTES, MOST_SAMPLE_BYTES = 64 << 20, 32 << 20
MOST_UNPACKED_BYTES, MOST_PARTS = 256 << 20, 10_000
USER_TRUSTED_TYPES = TRUSTED_TYPES | {
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
}
"""All that skops asks leave for in usual models of scikit-learn; a file with any other type is refused by its name."""
NAME = r"^[a-z][a-z0-9_]{0,59}$"
_WITHIN_S = 90.0
_AT_ONCE = threading.BoundedSemaphore(2)
_CHILD = "quality_assets.stores.user_model_child"
_SAVE = "Save the model by skops: `skops.io.dump(model, 'model.skops')`"
_PICKLED = (".pkl", ".pickle", ".joblib")
_PICKLE = re.compile(
    rb"\x80[\x00-\x05]|[(\]}c].*\n|\x78[\x01\x5e\x9c\xda]|\x1f\x8b|BZh|\xfd7zXZ|\x04\x22\x4d\x18", re.DOTALL
)


class RefusedModelError(ValueError):
    """A model, its sample, or rows for it cannot be taken: one sentence that says why."""


class UnknownModelError(LookupError):
    """Nobody has brought a model of this name."""


class BusyError(RuntimeError):
    """As many models are being asked as may be at once."""


class AlteredModelError(RuntimeError):
    """What was kept of a model cannot be read."""


@dataclass(frozen=True)
class Brought:
    """What somebody brings. `file_name` is what the model's file was called."""

    name: str
    kind: Kind
    model: bytes
    sample: bytes
    file_name: str = ""
    target: str | None = None


def check_file(content: bytes, file_name: str) -> None:
    """Raise RefusedModelError unless bytes look like a skops file of bounded size, told from their index alone."""
    is_zip = content.startswith(b"PK")
    if file_name.lower().endswith(_PICKLED) or (not is_zip and _PICKLE.match(content)):
        raise RefusedModelError(
            "A pickle or joblib file runs whatever code its author put into it as soon as it is read, so none is read"
            f" here. {_SAVE}."
        )
    if len(content) > MOST_MODEL_BYTES:
        raise RefusedModelError(f"The model file has more than {MOST_MODEL_BYTES >> 20} MB.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            parts = file.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError):
        raise RefusedModelError(f"The model file is no skops file: it is no zip. {_SAVE}.") from None
    if "schema.json" not in {each.filename for each in parts}:
        raise RefusedModelError(f"The model file is no skops file: it has no schema.json. {_SAVE}.")
    # What is read of a part is never more than its index says.
    if len(parts) > MOST_PARTS or sum(each.file_size for each in parts) > MOST_UNPACKED_BYTES:
        raise RefusedModelError(
            f"The model file unpacks to more than {MOST_UNPACKED_BYTES >> 20} MB or has more than {MOST_PARTS:,} parts."
        )


def deploy(
    models_dir: Path, brought: Brought, actor: str, *, only_check: bool = False, confirmed: str | None = None
) -> dict[str, Any]:
    """Judge a model on its sample and keep it as the newest version; with `only_check` nothing is kept.

    What is told: contract and its SHA-256, learner, first answer, how well it does on the sample. `confirmed`: the
    SHA-256 of the contract that somebody has agreed to. Raises RefusedModelError, BusyError.
    """
    if not re.fullmatch(NAME, brought.name):
        raise RefusedModelError("A name is a small letter and up to 59 small letters, digits or underscores.")
    check_file(brought.model, brought.file_name)
    if len(brought.sample) > MOST_SAMPLE_BYTES:
        raise RefusedModelError(f"The sample has more than {MOST_SAMPLE_BYTES >> 20} MB.")
    root = models_dir / USER_FOLDER / brought.name
    arriving = models_dir / USER_FOLDER / f".{brought.name}.{uuid4().hex}"
    arriving.mkdir(parents=True)
    try:
        files = {"model": brought.model, "sample": brought.sample}
        about: dict[str, Any] = {f"{what}_sha256": hashlib.sha256(kept).hexdigest() for what, kept in files.items()}
        for what, kept in files.items():
            _write(arriving / what, kept)
        found = _asked(arriving, about, "judge", kind=brought.kind, target=brought.target)
        about |= {
            "name": brought.name, "kind": brought.kind, "actor": actor,
            "deployed_at": f"{utc_now().isoformat()}Z", **found,
        }  # fmt: skip
        about["contract_sha256"] = hashlib.sha256(json.dumps(about["contract"], sort_keys=True).encode()).hexdigest()
        if confirmed is not None and confirmed != about["contract_sha256"]:
            raise RefusedModelError("The contract that was learnt is not the one that was confirmed: look at it again.")
        if only_check:
            return {**about, "version": None}
        write_atomically(arriving / "about.json", json.dumps(about, indent=1))
        return {**about, "version": _kept(root, arriving)}
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _kept(root: Path, arriving: Path) -> str:
    root.mkdir(exist_ok=True)
    while True:
        version = str(max(_versions(root), default=0) + 1)
        try:
            os.rename(arriving, root / version)
        except OSError:
            # Somebody else has taken the number meanwhile.
            if not (root / version).exists():
                raise
            continue
        fsync_path(root)
        return version


def _versions(root: Path) -> list[int]:
    return [int(path.name) for path in root.glob("[0-9]*") if path.name.isdecimal()] if root.is_dir() else []


def names(models_dir: Path) -> list[str]:
    """Of all models that people brought."""
    folder = models_dir / USER_FOLDER
    found = [path.name for path in folder.iterdir() if _versions(path)] if folder.is_dir() else []
    return sorted(name for name in found if re.fullmatch(NAME, name))


def about_model(models_dir: Path, name: str, version: str | None = None) -> dict[str, Any]:
    """What is kept of a version, the newest where none is named. Raises UnknownModelError, AlteredModelError."""
    root = models_dir / USER_FOLDER / name
    versions = _versions(root) if re.fullmatch(NAME, name) else []
    if not versions:
        raise UnknownModelError(f"Nobody has brought a model of the name {name!r}.")
    version = str(max(versions)) if version is None else version
    if version not in map(str, versions):
        known = ", ".join(map(str, sorted(versions)))
        raise UnknownModelError(f"There is no version {version} of {name}; there are: {known}.")
    try:
        found = json.loads((root / version / "about.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise AlteredModelError(f"What was kept of {name}, version {version}, is broken; deploy it again.") from None
    return {**found, "version": version, "versions": len(versions)}


def about_versions(models_dir: Path, name: str) -> list[dict[str, Any]]:
    """What is kept of every version that can be read, the newest last."""
    found = []
    for version in sorted(_versions(models_dir / USER_FOLDER / name)):
        try:
            found.append(about_model(models_dir, name, str(version)))
        except AlteredModelError:
            continue
    return found


def check_whole(models_dir: Path, about: Mapping[str, Any]) -> None:
    """Raise AlteredModelError unless the files of a version are those that were saved."""
    for what in ("model", "sample"):
        try:
            content = (_folder(models_dir, about) / what).read_bytes()
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() != about[f"{what}_sha256"]:
            raise AlteredModelError(
                f"Version {about['version']} of {about['name']} cannot be used: the {what} file is not the one that was"
                " saved; deploy it again."
            )


def predict(
    models_dir: Path, name: str, row: Mapping[str, Any], version: str | None = None, request_id: str | None = None
) -> dict[str, Any]:
    """What a model says of a row, and which inputs lie outside its sample; both are written down for drift.

    `request_id`: by which it is told what came of it. Raises RefusedRowError, RefusedModelError, UnknownModelError,
    AlteredModelError, BusyError.
    """
    about = about_model(models_dir, name, version)
    contract: Contract = about["contract"]
    checked = checked_row(contract, dict(row))
    (answer,) = _asked(_folder(models_dir, about), about, "predict", contract=contract, rows=[checked])
    told = {"version": about["version"], "row": checked, "said": answer["prediction"], "request_id": request_id}
    _note(models_dir / USER_FOLDER / name / "asked", told)
    return {
        "model": name, "version": about["version"], **answer, "outside_training": outside(contract, checked),
        "request_id": request_id,
    }  # fmt: skip


def take_outcome(models_dir: Path, name: str, request_id: str, y: Any) -> Taken:
    """Keep what came of a prediction. Raises RefusedModelError where it cannot be, OtherOutcomeError,
    UnknownModelError, AlteredModelError."""
    kind = about_model(models_dir, name)["kind"]
    if not is_outcome_of(kind, y):
        raise RefusedModelError(f"What came of a {kind} is {'a number' if kind == 'regression' else 'a class'}.")
    came = float(y) if kind == "regression" else y
    return Outcomes(models_dir / USER_FOLDER / name, "text").take(request_id, name, json.dumps(came))


def performance(
    models_dir: Path, name: str, limits: DriftLimits, version: str | None = None, today: date | None = None
) -> dict[str, Any]:
    """How a version does on the outcomes that came in the last 30 days, whenever they were predicted, beside those of
    the 30 days before. Raises UnknownModelError, AlteredModelError."""
    about = about_model(models_dir, name, version)
    folder = models_dir / USER_FOLDER / name
    came = {each[0]: (json.loads(each[2]), _day(each[3])) for each in Outcomes(folder, "text").rows()}
    said = [told for _, told in _noted(folder / "asked", about["version"]) if told.get("request_id") in came]
    last = today or utc_now().date()
    known = [(told["said"], *came[told["request_id"]]) for told in said]
    late, before = (
        [(answer, y) for answer, y, day in known if 0 <= (last - day).days - back < WINDOW_DAYS]
        for back in (0, WINDOW_DAYS)
    )
    return outcome_grades(about["kind"], late, before, about["on_sample"], limits)


def drift(models_dir: Path, name: str, limits: DriftLimits, version: str | None = None) -> dict[str, Any]:
    """Whether what a version was asked in the last 30 days has moved from its sample; unknown of few rows.

    `days`: a look for each of these days, on which other limits may be tried.
    """
    about = about_model(models_dir, name, version)
    past = _noted(models_dir / USER_FOLDER / name / "asked", about["version"])
    first = utc_now().date() - timedelta(days=WINDOW_DAYS)
    rows = [told for day, told in past if day > first]
    told: dict[str, Any] = {
        "model": name, "version": about["version"], "rows": len(rows), "reference_rows": about["contract"]["rows"],
        "inputs": [], "days": [], "alert": False,
    }  # fmt: skip
    if min(len(rows), about["contract"]["rows"]) < limits.least_rows:
        known = about["contract"]["rows"]
        words = f"{len(rows)} rows were asked, and the sample has {known}; {limits.least_rows} are needed"
        return told | {"status": "unknown", "words": words}
    asked = {
        "contract": about["contract"], "rows": [told["row"] for _, told in past], "days": [f"{day}" for day, _ in past],
        "last": f"{utc_now().date()}", "limits": asdict(limits),
    }  # fmt: skip
    found = _asked(_folder(models_dir, about), about, "drift", **asked)
    moved = [each["input"] for each in found["inputs"] if each["is_drifted"]]
    words = f"moved beyond chance: {', '.join(moved)}" if moved else "nothing has moved beyond chance"
    return told | found | {"alert": bool(moved), "status": "alert" if moved else "ok", "words": words}


def _day(micros: int) -> date:
    return datetime.fromtimestamp(micros / 1e6, UTC).date()


def _folder(models_dir: Path, about: Mapping[str, Any]) -> Path:
    return models_dir / USER_FOLDER / str(about["name"]) / str(about["version"])


def _note(folder: Path, told: Mapping[str, Any]) -> None:
    """Write down a row that was asked, and drop days that are too old."""
    folder.mkdir(exist_ok=True)
    today = folder / f"{utc_now().date()}.jsonl"
    if not today.exists():
        oldest = f"{utc_now().date() - timedelta(days=PREDICTIONS_KEPT_DAYS)}.jsonl"
        for path in folder.glob("*.jsonl"):
            if path.name < oldest:
                path.unlink(missing_ok=True)
    # One write of a line, appended: those of other processes stay whole beside it.
    with today.open("ab", buffering=0) as stream:
        stream.write(json.dumps(told).encode() + b"\n")


def _noted(folder: Path, version: str) -> list[tuple[date, dict[str, Any]]]:
    """What a version was asked, each `row` with its day, the earliest first; since outcomes are taken with what it said
    and its `request_id`."""
    found = []
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else []:
        try:
            day = date.fromisoformat(path.stem)
        except ValueError:
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if told["version"] == version:
                found.append((day, told))
    return found


@contextmanager
def _slot() -> Iterator[None]:
    if not _AT_ONCE.acquire(timeout=1):
        raise BusyError("As many models are asked as may be at once; try again in a moment.")
    try:
        yield
    finally:
        _AT_ONCE.release()


def _asked(folder: Path, about: Mapping[str, Any], act: str, **more: Any) -> Any:
    """The answer of the process that reads the model."""
    request = {
        "act": act, "trusted": sorted(USER_TRUSTED_TYPES),
        **{what: str(folder / what) for what in ("model", "sample")},
        **{f"{what}_sha256": about[f"{what}_sha256"] for what in ("model", "sample")},
        **more,
    }  # fmt: skip
    with _slot():
        try:
            done = subprocess.run(
                [sys.executable, "-m", _CHILD], input=json.dumps(request), env=_environment(), capture_output=True,
                text=True, timeout=_WITHIN_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RefusedModelError(f"The model did not answer within {_WITHIN_S:g} seconds.") from None
    return _answer_of(done)


def _answer_of(done: subprocess.CompletedProcess[str]) -> Any:
    lines: Sequence[str] = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise RefusedModelError(
            f"The process that read the model ended by {how}: the file is damaged, forged, or too costly to read."
        )
    told = json.loads(lines[-1])
    if "altered" in told:
        raise AlteredModelError(f"It cannot be asked: {told['altered']}.")
    if "refused" in told:
        raise RefusedModelError(f"{told['refused'][:1].upper()}{told['refused'][1:]}.")
    return told["answer"]


def _environment() -> dict[str, str]:
    """What that process knows of its surroundings: where Python is, and no secret of ours."""
    kept = {each: os.environ[each] for each in ("PATH", "PYTHONPATH", "LANG", "LC_ALL") if each in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **threads, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"}
