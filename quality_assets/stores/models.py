"""The registry of a use case's models: versions, evidence, champion and challenger, which version was live when.

A thin layer over MLflow's tracking store on SQLite, so that its tools can read it too. MLflow is imported on first use
because that takes seconds. Nothing is loaded whose SHA-256 the registry does not vouch for. What a use case is lives
in `domain.models.use_case`, what of a model is stored in `domain.models.state`, how its file is read and in which
folder it lies in `model_files`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from quality_assets.domain.models.artifact import InputsMismatchError, TrainedModel, TrainingResult
from quality_assets.domain.models.promotion import Decision
from quality_assets.domain.models.state import ModelStateError, from_state, to_state
from quality_assets.domain.models.use_case import UseCase
from quality_assets.stores.model_files import (
    MODEL_FILE,
    REGISTRY_FILE,
    WHAT_NEXT,
    UnreadableModelError,
    read_state,
    write_state,
)
from quality_assets.stores.registry_reading import read_aliases, read_entry

if TYPE_CHECKING:
    from mlflow import MlflowClient

_RELEASES = "releases"
_SPLIT = "time"


class ModelUnavailableError(RuntimeError):
    """There is no such version, or its file is missing, altered or not a model: one sentence with what to do next."""


@dataclass(frozen=True)
class LoadedModel:
    """A model and the version that it is. `model` is None where none can be used, and `why` then says so.

    needs_training: there is none yet, or it can never be used again. Not where the registry itself cannot be read,
    which could not keep a new one either.
    """

    model: TrainedModel | None
    version: str
    why: str = ""
    needs_training: bool = False


class ModelRegistry:
    """Models of a use case under `root`: `registry.db` (SQLite) and `artifacts/`, created on first use; no network."""

    def __init__(self, root: Path, use_case: UseCase) -> None:
        self.root = root
        self.use_case = use_case
        self._name = use_case.registry_name
        self._opened: MlflowClient | None = None

    def save(
        self,
        result: TrainingResult,
        code_version: str,
        decision: Decision,
        at: datetime | None = None,
    ) -> str:
        """Store a trained model with its evidence and the decision on it; returns its version.

        The same data, code and inputs give the version that there is, if it can still be loaded. A promoted model
        becomes champion at `at` (UTC, now by default), any other the challenger.
        """
        identity = (
            f"{result.data_fingerprint}|{code_version}|{result.model.inputs_fingerprint}|{result.model.horizon_days}"
        )
        known = [str(v.version) for v in self._all() if v.tags.get("identity") == identity]
        # What cannot be loaded is stored again: else the same training would give back the broken version for ever.
        usable = next((version for version in known if self._can_load(version)), None)
        version = usable or self._create(result, code_version, decision, identity)
        if decision.is_promoted:
            self.promote(version, decision.reason, at)
        elif self._aliases().get("champion") != version:
            self._tag(version, "decision", decision.reason)
            self._client.set_registered_model_alias(self._name, "challenger", version)
        return version

    def promote(self, version: str, reason: str, at: datetime | None = None) -> None:
        """Make a version the champion from `at` on; a no-op where it is already. ModelUnavailableError if unknown."""
        self._get(version)
        if self.champion_version() != version:
            self._put_in_use(version, [*self._releases(), version], reason, _as_utc(at))

    def rollback(self, reason: str, at: datetime | None = None) -> str:
        """Take back the last promotion that was not yet taken back; returns the version that is in use again.

        Raises ModelUnavailableError where there was none before.
        """
        releases = self._releases()[:-1]
        if not releases:
            raise ModelUnavailableError("no earlier champion to go back to")
        self._put_in_use(releases[-1], releases, f"rollback: {reason}", _as_utc(at))
        return releases[-1]

    def _put_in_use(self, version: str, releases: list[str], reason: str, now: datetime) -> None:
        before = self.champion_version()
        if before is not None:
            intervals = _intervals(self._get(before))
            intervals[-1][1] = now.isoformat()
            self._tag(before, "live", json.dumps(intervals))
        intervals = [*_intervals(self._get(version)), [now.isoformat(), None]]
        self._tag(version, "live", json.dumps(intervals))
        self._tag(version, "decision", reason)
        self._client.set_registered_model_tag(self._name, _RELEASES, json.dumps(releases))
        self._client.set_registered_model_alias(self._name, "champion", version)
        if self._aliases().get("challenger") == version:
            self._client.delete_registered_model_alias(self._name, "challenger")

    def _releases(self) -> list[str]:
        """Promotions that were not taken back, oldest first, the champion last.

        Where none are written down, as before they were, every time that a version began to be live was a promotion.
        The alias decides, where a kill came between both or code that writes none down has promoted since.
        """
        champion = self.champion_version()
        written = self._client.get_registered_model(self._name).tags.get(_RELEASES)
        if written is None:
            begun = [(start, str(entry.version)) for entry in self._all() for start, _ in _intervals(entry)]
            releases = [version for _, version in sorted(begun, key=lambda item: datetime.fromisoformat(item[0]))]
        else:
            releases = json.loads(written)
        if champion is None:
            return []
        if champion not in releases:
            return [*releases, champion]
        while releases[-1] != champion:
            releases.pop()
        return releases

    def champion_version(self) -> str | None:
        """The version in use; None before the first."""
        return self._aliases().get("champion")

    def live_at(self, when: datetime) -> str | None:
        """The version that was champion at an instant (UTC where naive); None before the first."""
        instant = _as_utc(when)
        for version in self._all():
            for start, end in _intervals(version):
                if datetime.fromisoformat(start) <= instant and (end is None or instant < datetime.fromisoformat(end)):
                    return str(version.version)
        return None

    def promotions(self) -> list[tuple[str, datetime]]:
        """Version and begin of each time that one became champion, oldest first; a rollback begins one as well."""
        begun = [(datetime.fromisoformat(start), str(v.version)) for v in self._all() for start, _ in _intervals(v)]
        return [(version, start) for start, version in sorted(begun)]

    def load(self, version: str) -> TrainedModel:
        """The model of a version.

        Raises ModelUnavailableError where its file is missing, altered or unreadable, whatever that is due to, and
        InputsMismatchError where it was made for other inputs than the present contract.
        """
        entry = self._get(version)
        try:
            content = self._artifact(entry).read_bytes()
        except FileNotFoundError as error:
            raise _unavailable(version, "its file is missing") from error
        except OSError as error:
            raise _unavailable(version, f"its file cannot be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != entry.tags["artifact_sha256"]:
            raise _unavailable(version, "its file is not the one that was saved")
        if entry.tags["inputs_fingerprint"] != self.use_case.inputs_fingerprint:
            raise InputsMismatchError(
                f"model version {version} was made for other inputs than the present contract{WHAT_NEXT}"
            )
        try:
            return from_state(self.use_case, read_state(content))
        except UnreadableModelError as error:
            raise _unavailable(version, str(error)) from error
        except ModelStateError as error:
            raise _unavailable(version, f"its file holds no model ({error})") from error

    def load_champion(self) -> LoadedModel:
        """The champion, or no model and the reason why: scoring then says unknown and a check says so."""
        version = self.champion_version()
        if version is None:
            return LoadedModel(None, "none", "no model has been trained yet", needs_training=True)
        try:
            return LoadedModel(self.load(version), version)
        except (ModelUnavailableError, InputsMismatchError) as error:
            return LoadedModel(None, version, str(error), needs_training=True)

    def versions(self) -> pd.DataFrame:
        """Rows of ml.model_versions, oldest first; whether each target but the main one is shown, and the primary
        metric beside the best baseline's, in columns named by the use case."""
        aliases = {version: alias for alias, version in self._aliases().items()}
        rows = [self._version_row(v, aliases.get(str(v.version))) for v in self._all()]
        columns = [
            "model_version", "created_at", "trained_through", "horizon_days", "champion_model", "is_baseline",
            *_skill_tags(self.use_case), "data_fingerprint", "code_version", "inputs_fingerprint", "artifact_sha256",
            "alias", "live_from", "live_until", "decision", *_headline_names(self.use_case),
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)

    def evidence(self, version: str) -> dict[str, pd.DataFrame]:
        """The frames saved with a version, with its model_version: metrics, importance, calibration."""
        folder = self._artifact(self._get(version)).parent
        out = {}
        for name in ("metrics", "importance", "calibration"):
            frame = pd.read_parquet(folder / f"{name}.parquet")
            frame.insert(0, "model_version", version)
            if name == "metrics":
                # Files call what was tried a model; the table, which several use cases share, calls it a candidate.
                frame = frame.rename(columns={"model": "candidate"}).assign(split=_SPLIT, known="all")
                frame.insert(0, "model", self.use_case.name)
            out[name] = frame
        return out

    def export(self, version: str, path: Path) -> None:
        """Write a version as a joblib file for scripts; whole or not at all.

        It holds the plain state, which numpy is enough to read; `domain.models.state.from_state`
        makes the model of it.
        """
        import joblib

        state = to_state(self.use_case, self.load(version))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        joblib.dump(state, temporary, compress=3)
        os.replace(temporary, path)

    @property
    def _client(self) -> MlflowClient:
        if self._opened is None:
            self._opened = open_client(self.root, self._name)
        return self._opened

    def _create(self, result: TrainingResult, code_version: str, decision: Decision, identity: str) -> str:
        experiment = self._client.get_experiment_by_name(self._name)
        if experiment is None:
            raise ModelUnavailableError("the registry has lost its experiment")
        run = self._client.create_run(experiment.experiment_id, run_name=f"through {result.model.trained_through}")
        content = write_state(to_state(self.use_case, result.model))
        # Not through MLflow, which would write to the absolute path where the registry was first made.
        folder = self._artifacts(run.info.run_id)
        folder.mkdir(parents=True)
        (folder / MODEL_FILE).write_bytes(content)
        for name in ("metrics", "importance", "calibration"):
            getattr(result, name).to_parquet(folder / f"{name}.parquet", index=False)
        headline = _headline_metrics(self.use_case, result)
        for key, value in headline.items():
            self._client.log_metric(run.info.run_id, key, value)
        self._client.set_terminated(run.info.run_id)
        tags = {
            **_identity_tags(self.use_case, result, code_version),
            "identity": identity,
            "artifact_sha256": hashlib.sha256(content).hexdigest(),
            "decision": decision.reason,
            **{key: repr(value) for key, value in headline.items()},
        }
        entry = self._client.create_model_version(
            self._name, source=folder.resolve().as_uri(), run_id=run.info.run_id, tags=tags
        )
        return str(entry.version)

    def _version_row(self, entry: Any, alias: str | None) -> tuple[object, ...]:
        tags, intervals = entry.tags, _intervals(entry)
        start, end = intervals[-1] if intervals else (None, None)
        return (
            str(entry.version),
            pd.Timestamp(entry.creation_timestamp, unit="ms"),
            pd.Timestamp(tags["trained_through"]),
            int(tags["horizon_days"]),
            tags["champion_model"],
            tags["is_baseline"] == "True",
            *(tags[name] == "True" for name in _skill_tags(self.use_case)),
            tags["data_fingerprint"],
            tags["code_version"],
            tags["inputs_fingerprint"],
            tags["artifact_sha256"],
            alias or ("retired" if intervals else None),
            _naive(start),
            _naive(end),
            tags["decision"],
            *(float(tags[name]) if name in tags else None for name in _headline_names(self.use_case)),
        )

    def _tag(self, version: str, name: str, value: str) -> None:
        self._client.set_model_version_tag(self._name, version, name, value)

    def _can_load(self, version: str) -> bool:
        try:
            self.load(version)
        except (ModelUnavailableError, InputsMismatchError):
            return False
        return True

    def _all(self) -> list[Any]:
        entries = self._client.search_model_versions(f"name='{self._name}'", max_results=10_000)
        return sorted(entries, key=lambda v: int(v.version))

    def _aliases(self) -> dict[str, str]:
        if self._opened is None:
            known = read_aliases(self.root / REGISTRY_FILE, self._name)
            if known is not None:
                return known
        aliases = self._client.get_registered_model(self._name).aliases
        return {str(alias): str(version) for alias, version in aliases.items()}

    def _get(self, version: str) -> Any:
        if self._opened is None:
            known = read_entry(self.root / REGISTRY_FILE, self._name, version)
            if known is not None:
                return known
        entry = next((v for v in self._all() if str(v.version) == version), None)
        if entry is None:
            there = ", ".join(str(v.version) for v in self._all()) or "none yet"
            raise ModelUnavailableError(f"there is no model version {version}; the registry has: {there}")
        return entry

    def _artifact(self, entry: Any) -> Path:
        return self._artifacts(entry.run_id) / MODEL_FILE

    def _artifacts(self, run_id: str) -> Path:
        return self.root / "artifacts" / run_id / "artifacts"


def _unavailable(version: str, why: str) -> ModelUnavailableError:
    return ModelUnavailableError(f"model version {version} cannot be loaded: {why}{WHAT_NEXT}")


def open_client(root: Path, name: str) -> MlflowClient:
    """MLflow's client of the store under `root`, made on first use, with an experiment and a model called `name`."""
    # MLflow reads this once, when it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    # SQLAlchemy 2.1 deprecates what MLflow's own queries use; nobody here can act on it.
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
    for library in ("mlflow", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)
    root.mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{(root / REGISTRY_FILE).resolve()}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    if client.get_experiment_by_name(name) is None:
        client.create_experiment(name, artifact_location=(root / "artifacts").resolve().as_uri())
    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name)
    return client


def _identity_tags(use_case: UseCase, result: TrainingResult, code_version: str) -> dict[str, str]:
    model = result.model
    main = model.targets.get(use_case.main_target.name)
    shown = [target.name in model.targets for target in use_case.targets[1:]]
    return {
        "trained_through": model.trained_through.isoformat(),
        "horizon_days": str(model.horizon_days),
        "champion_model": main.name if main is not None else "none",
        "is_baseline": str(main is None or main.name in use_case.baselines),
        **dict(zip(_skill_tags(use_case), map(str, shown), strict=True)),
        "data_fingerprint": result.data_fingerprint,
        "code_version": code_version,
        "inputs_fingerprint": model.inputs_fingerprint,
        "input_names": json.dumps(model.input_names),
        "notes": json.dumps(model.notes),
    }


def _skill_tags(use_case: UseCase) -> list[str]:
    """Under which name it is told of each target but the main one whether it is shown."""
    return [f"has_{target.name}_skill" for target in use_case.targets[1:]]


def _headline_names(use_case: UseCase) -> tuple[str, str]:
    metric = use_case.primary_metric.name
    return metric, f"best_baseline_{metric}"


def _headline_metrics(use_case: UseCase, result: TrainingResult) -> dict[str, float]:
    """The primary metric of the champion and of the best baseline, as far as they were graded."""
    metrics, main = result.metrics, use_case.main_target.name
    is_headline = (metrics["target"] == main) & (metrics["metric"] == use_case.primary_metric.name)
    chosen = metrics[is_headline]
    champion = chosen.loc[chosen["role"] == "champion", "value"].dropna()
    baseline = chosen.loc[chosen["model"].isin(use_case.baselines), "value"].dropna()
    own, best = _headline_names(use_case)
    return {
        **({own: float(champion.iloc[0])} if len(champion) else {}),
        **({best: float(baseline.max())} if len(baseline) else {}),
    }


def _intervals(entry: Any) -> list[list[Any]]:
    """[from, until] in ISO text for each time that a version was champion; until is None while it is."""
    found: list[list[Any]] = json.loads(entry.tags.get("live", "[]"))
    return found


def _as_utc(when: datetime | None) -> datetime:
    if when is None:
        return datetime.now(UTC)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _naive(instant: str | None) -> datetime | None:
    return datetime.fromisoformat(instant).replace(tzinfo=None) if instant is not None else None
