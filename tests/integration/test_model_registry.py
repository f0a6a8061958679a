"""Versions are kept, promoted, rolled back and found by time; a file the registry does not vouch for is not loaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import joblib
import pandas as pd
import pytest

from quality_assets.contracts.ml import MODEL_METRICS, MODEL_VERSIONS
from quality_assets.domain.risk import Decision, TrainingResult, score_risk, train_risk_model
from quality_assets.domain.risk_inputs import risk_training_set
from quality_assets.domain.risk_models import RiskSettings
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts
from quality_assets.warehouse.model_registry import ModelRegistry, ModelUnavailableError

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

TRAINING = risk_training_set(simulate_daily_facts(DailyPlan(15, 110, seed=5, incidents_per_feature_quarter=2)).facts)
TODAY = TRAINING[TRAINING["event_date"] == TRAINING["event_date"].max()]


@pytest.fixture(scope="module")
def result() -> TrainingResult:
    settings = RiskSettings(
        forest_trees=15, boosting_rounds=10, folds=3, bootstrap_rounds=5, importance_repeats=1, interval_members=2,
        threads=1, min_gain=0.1,
    )  # fmt: skip
    return train_risk_model(TRAINING, settings)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry, made once: creating MLflow's tables costs seconds."""
    root = tmp_path_factory.mktemp("prepared") / "models"
    assert ModelRegistry(root).champion_version() is None
    return root


@pytest.fixture
def registry(prepared: Path, tmp_path: Path) -> ModelRegistry:
    shutil.copytree(prepared, tmp_path / "models")
    return ModelRegistry(tmp_path / "models")


def _other(result: TrainingResult, number: int) -> TrainingResult:
    model = replace(result.model, trained_through=date(2026, 5, number))
    return replace(result, model=model, data_fingerprint=f"other {number}")


def _at(day: int) -> datetime:
    return datetime(2026, 6, day, tzinfo=UTC)


def test_what_learns_and_explains_is_imported_only_where_it_is_used() -> None:
    """In a process of its own: here the tests have imported it all."""
    code = (
        "import sys; import quality_assets.cli; from quality_assets.definitions import defs; assert defs().assets;"
        "print(*sorted({'shap', 'mlflow', 'sklearn', 'skops', 'joblib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == []


def test_an_empty_registry_says_so(registry: ModelRegistry) -> None:
    loaded = registry.load_champion()
    assert loaded.model is None
    assert "no model" in loaded.why
    assert registry.live_at(_at(1)) is None
    assert len(registry.versions()) == 0
    with pytest.raises(ModelUnavailableError):
        registry.load("1")
    with pytest.raises(ModelUnavailableError, match="no earlier champion"):
        registry.rollback("nothing there")


def test_what_is_loaded_scores_as_what_was_saved(registry: ModelRegistry, result: TrainingResult) -> None:
    version = registry.save(result, "abc123", Decision(True, "first model"))
    loaded = ModelRegistry(registry.root).load_champion()
    assert loaded.version == version
    assert loaded.model is not None
    pd.testing.assert_frame_equal(score_risk(loaded.model, TODAY, version), score_risk(result.model, TODAY, version))
    assert list(registry.evidence(version)["metrics"].columns) == list(MODEL_METRICS.column_names)


def test_the_same_model_is_saved_once(registry: ModelRegistry, result: TrainingResult) -> None:
    first = registry.save(result, "abc123", Decision(True, "first model"))
    assert registry.save(result, "abc123", Decision(True, "first model")) == first
    assert len(registry.versions()) == 1
    assert registry.save(result, "def456", Decision(False, "no win")) != first


def test_promotion_rollback_and_who_was_live(registry: ModelRegistry, result: TrainingResult) -> None:
    one = registry.save(result, "a", Decision(True, "first model"), _at(1))
    two = registry.save(_other(result, 2), "a", Decision(True, "wins"), _at(8))
    three = registry.save(_other(result, 3), "a", Decision(False, "does not win"), _at(15))
    assert registry.champion_version() == two
    assert registry.rollback("false alarms", _at(20)) == one
    assert [registry.live_at(_at(day)) for day in (1, 7, 8, 19, 20, 28)] == [one, one, two, two, one, one]
    assert registry.live_at(datetime(2026, 5, 1)) is None
    versions = registry.versions().set_index("model_version")
    assert versions.loc[[one, two, three], "alias"].tolist() == ["champion", "retired", "challenger"]
    assert "rollback" in versions.loc[one, "decision"]
    assert versions.loc[three, "decision"] == "does not win"
    frame = registry.versions()
    with duckdb.connect() as connection:
        connection.execute("create schema ml")
        connection.execute(MODEL_VERSIONS.create_sql())
        connection.execute("insert into ml.model_versions select * from frame")
    assert tuple(frame.columns) == MODEL_VERSIONS.column_names


@pytest.mark.parametrize("damage", ["altered", "truncated", "missing"])
def test_a_damaged_file_is_not_loaded(registry: ModelRegistry, result: TrainingResult, damage: str) -> None:
    registry.save(result, "a", Decision(True, "first model"))
    path = next(registry.root.rglob("model.skops"))
    if damage == "missing":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[:100] if damage == "truncated" else content[:-1] + b"x")
    loaded = registry.load_champion()
    assert loaded.model is None
    assert "missing" in loaded.why or "not the one" in loaded.why
    assert set(score_risk(loaded.model, TODAY, loaded.version, why_no_model=loaded.why)["note"]) == {loaded.why}


def test_a_model_for_other_inputs_is_not_loaded(registry: ModelRegistry, result: TrainingResult) -> None:
    foreign = replace(result, model=replace(result.model, input_names=("x", "y")))
    registry.save(foreign, "a", Decision(True, "first model"))
    loaded = registry.load_champion()
    assert loaded.model is None
    assert "other inputs" in loaded.why


def test_the_folder_can_be_moved(registry: ModelRegistry, result: TrainingResult, tmp_path: Path) -> None:
    registry.save(result, "a", Decision(True, "first model"))
    shutil.move(registry.root, tmp_path / "elsewhere")
    assert ModelRegistry(tmp_path / "elsewhere").load_champion().model is not None


def test_export_is_a_plain_joblib_file(registry: ModelRegistry, result: TrainingResult, tmp_path: Path) -> None:
    version = registry.save(result, "a", Decision(True, "first model"))
    registry.export(version, tmp_path / "out" / "risk_model.joblib")
    model = joblib.load(tmp_path / "out" / "risk_model.joblib")
    pd.testing.assert_frame_equal(score_risk(model, TODAY, version), score_risk(result.model, TODAY, version))
