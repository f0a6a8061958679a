"""The registry of risk models: versions, evidence, champion and challenger, and which version was live when.

A thin layer over MLflow's tracking store on SQLite, so that its tools can read it too. MLflow is imported on first use
because that takes seconds. Nothing is loaded whose SHA-256 the registry does not vouch for. What a model is lives in
`domain.risk`, what of it is stored in `domain.model_state`, how its file is read in `model_files`.
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

from quality_assets.contracts.risk_inputs import inputs_fingerprint
from quality_assets.domain.models.artifact import InputsMismatchError, RiskModel, TrainingResult
from quality_assets.domain.models.estimators import BASELINES
from quality_assets.domain.models.promotion import Decision
from quality_assets.domain.models.state import ModelStateError, from_state, to_state
from quality_assets.stores.model_files import MODEL_FILE, WHAT_NEXT, UnreadableModelError, read_state, write_state

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_NAME = "risk_model"


class ModelUnavailableError(RuntimeError):
    """There is no such version, or its file is missing, altered or not a model: one sentence with what to do next."""


@dataclass(frozen=True)
class LoadedModel:
    """A model and the version that it is. `model` is None where none can be used, and `why` then says so.

    needs_training: there is none yet, or it can never be used again. Not where the registry itself cannot be read,
    which could not keep a new one either.
    """

    model: RiskModel | None
    version: str
    why: str = ""
    needs_training: bool = False


class ModelRegistry:
    """Risk models under `root`: `registry.db` (SQLite) and `artifacts/`, created on first use; no network."""

    def __init__(self, root: Path) -> None:
        self.root = root
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
            self._client.set_model_version_tag(MODEL_NAME, version, "decision", decision.reason)
            self._client.set_registered_model_alias(MODEL_NAME, "challenger", version)
        return version

    def promote(self, version: str, reason: str, at: datetime | None = None) -> None:
        """Make a version the champion from `at` on; a no-op where it is already. ModelUnavailableError if unknown."""
        self._get(version)
        now = _as_utc(at)
        before = self._aliases().get("champion")
        if before == version:
            return
        if before is not None:
            intervals = _intervals(self._get(before))
            intervals[-1][1] = now.isoformat()
            self._client.set_model_version_tag(MODEL_NAME, before, "live", json.dumps(intervals))
        intervals = [*_intervals(self._get(version)), [now.isoformat(), None]]
        self._client.set_model_version_tag(MODEL_NAME, version, "live", json.dumps(intervals))
        self._client.set_model_version_tag(MODEL_NAME, version, "decision", reason)
        self._client.set_registered_model_alias(MODEL_NAME, "champion", version)
        if self._aliases().get("challenger") == version:
            self._client.delete_registered_model_alias(MODEL_NAME, "challenger")

    def rollback(self, reason: str, at: datetime | None = None) -> str:
        """Make the champion before the present one champion again; returns its version.

        Raises ModelUnavailableError where there was none before.
        """
        champion = self._aliases().get("champion")
        ended = [
            (interval[1], str(v.version))
            for v in self._all()
            for interval in _intervals(v)
            if interval[1] is not None and str(v.version) != champion
        ]
        if not ended:
            raise ModelUnavailableError("no earlier champion to go back to")
        version = max(ended)[1]
        self.promote(version, f"rollback: {reason}", at)
        return version

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

    def load(self, version: str) -> RiskModel:
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
        if entry.tags["inputs_fingerprint"] != inputs_fingerprint():
            raise InputsMismatchError(
                f"model version {version} was made for other inputs than the present contract{WHAT_NEXT}"
            )
        try:
            return from_state(read_state(content))
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
        """Rows of ml.model_versions, oldest first."""
        aliases = {version: alias for alias, version in self._aliases().items()}
        rows = [_version_row(v, aliases.get(str(v.version))) for v in self._all()]
        columns = [
            "model_version", "created_at", "trained_through", "horizon_days", "champion_model", "is_baseline",
            "has_onset_skill", "data_fingerprint", "code_version", "inputs_fingerprint", "artifact_sha256", "alias",
            "live_from", "live_until", "decision", "pr_auc", "best_baseline_pr_auc",
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)

    def evidence(self, version: str) -> dict[str, pd.DataFrame]:
        """The frames saved with a version, with its model_version: metrics, importance, calibration."""
        folder = self._artifact(self._get(version)).parent
        out = {}
        for name in ("metrics", "importance", "calibration"):
            frame = pd.read_parquet(folder / f"{name}.parquet")
            frame.insert(0, "model_version", version)
            out[name] = frame
        return out

    def export(self, version: str, path: Path) -> None:
        """Write a version as a joblib file (`models/risk_model.joblib`) for scripts; whole or not at all.

        It holds the plain state, which scikit-learn and numpy are enough to read; `domain.model_state.from_state` makes
        the model of it.
        """
        import joblib

        state = to_state(self.load(version))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        joblib.dump(state, temporary, compress=3)
        os.replace(temporary, path)

    @property
    def _client(self) -> MlflowClient:
        if self._opened is None:
            self._opened = _open_client(self.root)
        return self._opened

    def _create(self, result: TrainingResult, code_version: str, decision: Decision, identity: str) -> str:
        experiment = self._client.get_experiment_by_name(MODEL_NAME)
        if experiment is None:
            raise ModelUnavailableError("the registry has lost its experiment")
        run = self._client.create_run(experiment.experiment_id, run_name=f"through {result.model.trained_through}")
        content = write_state(to_state(result.model))
        # Not through MLflow, which would write to the absolute path where the registry was first made.
        folder = self._artifacts(run.info.run_id)
        folder.mkdir(parents=True)
        (folder / MODEL_FILE).write_bytes(content)
        for name in ("metrics", "importance", "calibration"):
            getattr(result, name).to_parquet(folder / f"{name}.parquet", index=False)
        for key, value in _headline_metrics(result).items():
            self._client.log_metric(run.info.run_id, key, value)
        self._client.set_terminated(run.info.run_id)
        tags = {
            **_identity_tags(result, code_version),
            "identity": identity,
            "artifact_sha256": hashlib.sha256(content).hexdigest(),
            "decision": decision.reason,
            **{key: repr(value) for key, value in _headline_metrics(result).items()},
        }
        entry = self._client.create_model_version(
            MODEL_NAME, source=folder.resolve().as_uri(), run_id=run.info.run_id, tags=tags
        )
        return str(entry.version)

    def _can_load(self, version: str) -> bool:
        try:
            self.load(version)
        except (ModelUnavailableError, InputsMismatchError):
            return False
        return True

    def _all(self) -> list[Any]:
        entries = self._client.search_model_versions(f"name='{MODEL_NAME}'", max_results=10_000)
        return sorted(entries, key=lambda v: int(v.version))

    def _aliases(self) -> dict[str, str]:
        aliases = self._client.get_registered_model(MODEL_NAME).aliases
        return {str(alias): str(version) for alias, version in aliases.items()}

    def _get(self, version: str) -> Any:
        entry = next((v for v in self._all() if str(v.version) == version), None)
        if entry is None:
            known = ", ".join(str(v.version) for v in self._all()) or "none yet"
            raise ModelUnavailableError(f"there is no model version {version}; the registry has: {known}")
        return entry

    def _artifact(self, entry: Any) -> Path:
        return self._artifacts(entry.run_id) / MODEL_FILE

    def _artifacts(self, run_id: str) -> Path:
        return self.root / "artifacts" / run_id / "artifacts"


def _unavailable(version: str, why: str) -> ModelUnavailableError:
    return ModelUnavailableError(f"model version {version} cannot be loaded: {why}{WHAT_NEXT}")


def _open_client(root: Path) -> MlflowClient:
    # MLflow reads this once, when it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    # SQLAlchemy 2.1 deprecates what MLflow's own queries use; nobody here can act on it.
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    root.mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{(root / 'registry.db').resolve()}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    if client.get_experiment_by_name(MODEL_NAME) is None:
        client.create_experiment(MODEL_NAME, artifact_location=(root / "artifacts").resolve().as_uri())
    try:
        client.get_registered_model(MODEL_NAME)
    except MlflowException:
        client.create_registered_model(MODEL_NAME)
    return client


def _identity_tags(result: TrainingResult, code_version: str) -> dict[str, str]:
    model = result.model
    return {
        "trained_through": model.trained_through.isoformat(),
        "horizon_days": str(model.horizon_days),
        "champion_model": model.any.name if model.any is not None else "none",
        "is_baseline": str(model.any is None or model.any.is_baseline),
        "has_onset_skill": str(model.onset is not None),
        "data_fingerprint": result.data_fingerprint,
        "code_version": code_version,
        "inputs_fingerprint": model.inputs_fingerprint,
        "input_names": json.dumps(model.input_names),
        "notes": json.dumps(model.notes),
    }


def _headline_metrics(result: TrainingResult) -> dict[str, float]:
    metrics = result.metrics
    chosen = metrics[(metrics["target"] == "any") & (metrics["metric"] == "pr_auc")] if len(metrics) else metrics
    out: dict[str, float] = {}
    if len(chosen):
        champion = chosen.loc[chosen["role"] == "champion", "value"]
        baseline = chosen.loc[chosen["model"].isin(BASELINES), "value"]
        if champion.notna().any():
            out["pr_auc"] = float(champion.iloc[0])
        if baseline.notna().any():
            out["best_baseline_pr_auc"] = float(baseline.max())
    return out


def _version_row(entry: Any, alias: str | None) -> tuple[object, ...]:
    tags, intervals = entry.tags, _intervals(entry)
    start, end = intervals[-1] if intervals else (None, None)
    return (
        str(entry.version),
        pd.Timestamp(entry.creation_timestamp, unit="ms"),
        pd.Timestamp(tags["trained_through"]),
        int(tags["horizon_days"]),
        tags["champion_model"],
        tags["is_baseline"] == "True",
        tags["has_onset_skill"] == "True",
        tags["data_fingerprint"],
        tags["code_version"],
        tags["inputs_fingerprint"],
        tags["artifact_sha256"],
        alias or ("retired" if intervals else None),
        _naive(start),
        _naive(end),
        tags["decision"],
        float(tags["pr_auc"]) if "pr_auc" in tags else None,
        float(tags["best_baseline_pr_auc"]) if "best_baseline_pr_auc" in tags else None,
    )


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
