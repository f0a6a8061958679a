"""The registry of a tabular use case: versions counted from 1, in MLflow's store on SQLite, each with what it needs.

In the folder of a version's run, where MLflow's tools look for it: `MLmodel` (signature, metadata), an input example,
the model file, its evidence, and its report as JSON. Beside that a manifest a version, which `released.py` reads
without MLflow, which takes seconds to import.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from quality_assets.domain.models.learning.table_training import LearningResult
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.stores.files import write_atomically
from quality_assets.stores.model_files import MODEL_FILE
from quality_assets.stores.models import open_client
from quality_assets.stores.released import MANIFESTS, registry_folder_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

EVIDENCE = ("metrics", "leaks", "performance", "held_out")
REPORT = "report.json"
_INPUT_EXAMPLE = "input_example.json"
_NO_METRIC_NAME = re.compile(r"[^\w\-. /]")


class TableModelRegistry:
    """Versions of a use case under `models_dir`. Saving imports MLflow; reading evidence does not."""

    def __init__(self, models_dir: Path, use_case: TabularUseCase) -> None:
        self.root = registry_folder_of(models_dir, use_case.name)
        self.use_case = use_case

    def save(self, result: LearningResult, told: dict[str, Any]) -> str:
        """Keep a trained model as the next version; its number. `told` goes into manifest and report beside what the
        result says of itself."""
        client = open_client(self.root, self.use_case.name)
        experiment = client.get_experiment_by_name(self.use_case.name)
        assert experiment is not None  # it was made when the store was opened
        run = client.create_run(experiment.experiment_id, run_name=str(told["mode"]))
        folder = self.root / "artifacts" / run.info.run_id / "artifacts"
        folder.mkdir(parents=True)
        content = _model_bytes(result)
        (folder / MODEL_FILE).write_bytes(content)
        for name in EVIDENCE:
            getattr(result, name).to_parquet(folder / f"{name}.parquet", index=False)
        self._log(client, run.info.run_id, result)
        about = {
            **told,
            **_account(result),
            "use_case": self.use_case.name,
            "contract": self.use_case.contract.fingerprint,
            "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "run_id": run.info.run_id,
            "file": (folder / MODEL_FILE).relative_to(self.root).as_posix(),
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
        _write_mlmodel(folder, self.use_case, result, about)
        (folder / REPORT).write_text(json.dumps(about, indent=1, sort_keys=True), encoding="utf-8")
        client.set_terminated(run.info.run_id)
        tags = {
            name: str(about[name]) for name in ("sha256", "contract", "data_fingerprint", "code_version", "decision")
        }
        versions = self.root / MANIFESTS
        versions.mkdir(exist_ok=True)
        version = ""
        # Where MLflow's store was begun anew, it counts from 1: what was told of a version is never written over.
        while not version or (versions / f"{version}.json").exists():
            entry = client.create_model_version(
                self.use_case.name, source=folder.resolve().as_uri(), run_id=run.info.run_id, tags=tags
            )
            version = str(entry.version)
        write_atomically(versions / f"{version}.json", json.dumps({"version": version, **about}, indent=1))
        return version

    def evidence(self, told: dict[str, Any]) -> dict[str, pd.DataFrame]:
        """The frames that were saved with the version that a manifest speaks of."""
        folder = (self.root / told["file"]).parent
        return {name: pd.read_parquet(folder / f"{name}.parquet") for name in EVIDENCE}

    def _log(self, client: MlflowClient, run_id: str, result: LearningResult) -> None:
        for row in result.metrics.to_dict("records"):
            if row["role"] == "champion" and pd.notna(row["value"]):
                name = _NO_METRIC_NAME.sub("_", f"{row['known']}/{row['split']}/{row['metric']}")
                client.log_metric(run_id, name, float(row["value"]))
        for known, choice in result.choices.items():
            client.log_param(run_id, _NO_METRIC_NAME.sub("_", f"{known}/candidate"), choice.candidate.name)


def _model_bytes(result: LearningResult) -> bytes:
    import skops.io

    content: bytes = skops.io.dumps(result.model.state())
    return content


def _account(result: LearningResult) -> dict[str, Any]:
    """What a result says of itself, in plain values."""
    return {
        "rows": result.model.rows,
        "quarantined_rows": result.quarantined_rows,
        "quarantine": list(result.quarantine),
        "trained_through": result.model.trained_through,
        "inputs": list(result.model.inputs),
        "refused": [each.words for each in result.findings if each.verdict == "refused"],
        "refused_inputs": list(result.model.refused),
        "reported": [each.words for each in result.findings if each.verdict == "reported"],
        "headline": {name: _plain(value) for name, value in result.headline.items()},
        "headline_split": result.metrics.attrs["headline"],
        "chosen": {
            known: {
                "candidate": choice.candidate.name,
                "words": choice.words,
                "leads": {name: [_plain(value) for value in lead] for name, lead in choice.leads.items()},
            }
            for known, choice in result.choices.items()
        },
        "data_fingerprint": result.data_fingerprint,
        "reference": dict(result.model.reference),
    }


def _plain(value: float) -> float | None:
    return None if value != value else float(value)


def _write_mlmodel(folder: Path, use_case: TabularUseCase, result: LearningResult, about: dict[str, Any]) -> None:
    """What MLflow's client reads of a version: signature, input example, metadata."""
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = [use_case.contract.column(name) for name in result.model.inputs]
    signature = ModelSignature(
        Schema([ColSpec("string" if c.is_category else "double", c.name, required=not c.nullable) for c in inputs]),
        Schema([ColSpec("double", name) for name in ("prediction", "p10", "p90")]),
    )
    Model(
        run_id=about["run_id"],
        utc_time_created=about["created_at"],
        signature=signature,
        flavors={"feature_quality": {"file": MODEL_FILE, "format": "skops", "sha256": about["sha256"]}},
        saved_input_example_info={"artifact_path": _INPUT_EXAMPLE, "type": "json_object"},
        metadata={
            name: about[name]
            for name in ("use_case", "contract", "data_fingerprint", "code_version", "headline", "reference", "refused")
        },
    ).save(str(folder / "MLmodel"))
    (folder / _INPUT_EXAMPLE).write_text(json.dumps(about["reference"]["row"]), encoding="utf-8")
