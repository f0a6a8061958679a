"""Versions are kept, promoted, rolled back and found by time; a file the registry does not vouch for is not loaded."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import joblib
import pandas as pd
import pytest

from quality_assets.cli.risk_versions import promote_risk, risk_version_rows, rollback_risk
from quality_assets.contracts.ml import MODEL_METRICS, MODEL_VERSIONS
from quality_assets.domain.models.artifact import InputsMismatchError, TrainingResult
from quality_assets.domain.models.estimators import Sigmoid
from quality_assets.domain.models.learning.release_stack import NoEarlierReleaseError, live_at
from quality_assets.domain.models.promotion import Decision
from quality_assets.domain.models.risk.inputs import risk_training_set
from quality_assets.domain.models.risk.scoring import score_risk
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.training import train_risk_model
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.state import from_state
from quality_assets.domain.models.use_case import PrimaryMetric
from quality_assets.settings import Settings
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts
from quality_assets.stores.model_files import export_file, registry_folder, write_state
from quality_assets.stores.model_layout_1 import is_export
from quality_assets.stores.models import ModelRegistry, ModelUnavailableError
from quality_assets.stores.operations.store import close_operations
from quality_assets.stores.releases import release_log
from quality_assets.tables.risk_releases import adopt_risk_releases

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


@pytest.fixture(scope="module")
def training() -> pd.DataFrame:
    return risk_training_set(simulate_daily_facts(DailyPlan(15, 110, seed=5, incidents_per_feature_quarter=2)).facts)


@pytest.fixture(scope="module")
def today(training: pd.DataFrame) -> pd.DataFrame:
    return training[training["event_date"] == training["event_date"].max()]


@pytest.fixture(scope="module")
def result(training: pd.DataFrame) -> TrainingResult:
    settings = RiskSettings(
        forest_trees=15, boosting_rounds=10, folds=3, bootstrap_rounds=5, importance_repeats=1, interval_members=2,
        threads=1,
    )  # fmt: skip
    return train_risk_model(training, settings)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry, made once: creating MLflow's tables costs seconds."""
    root = tmp_path_factory.mktemp("prepared") / "models"
    assert ModelRegistry(root, FEATURE_RISK).champion_version() is None
    return root


@pytest.fixture
def registry(prepared: Path, tmp_path: Path) -> ModelRegistry:
    shutil.copytree(prepared, tmp_path / "models")
    return ModelRegistry(tmp_path / "models", FEATURE_RISK)


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
    assert (loaded.why, loaded.needs_training) == ("no model has been trained yet", True)
    assert registry.live_at(_at(1)) is None
    assert len(registry.versions()) == 0
    with pytest.raises(ModelUnavailableError):
        registry.load("1")
    with pytest.raises(ModelUnavailableError, match="no earlier champion"):
        registry.rollback("nothing there")


def test_what_is_loaded_scores_as_what_was_saved(
    registry: ModelRegistry, result: TrainingResult, today: pd.DataFrame
) -> None:
    version = registry.save(result, "abc123", Decision(True, "first model"))
    loaded = ModelRegistry(registry.root, FEATURE_RISK).load_champion()
    assert loaded.version == version
    assert loaded.model is not None
    pd.testing.assert_frame_equal(score_risk(loaded.model, today, version), score_risk(result.model, today, version))
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
        connection.execute("insert into ml.model_versions select 'feature_risk', * from frame")
    assert ("model", *frame.columns) == MODEL_VERSIONS.column_names


def test_a_rollback_takes_back_one_promotion_after_another(registry: ModelRegistry, result: TrainingResult) -> None:
    one, two, three, four = (registry.save(_other(result, n), "a", Decision(True, "wins"), _at(n)) for n in range(1, 5))
    assert [registry.rollback("worse", _at(5)), registry.rollback("worse", _at(6))] == [three, two]
    registry.promote(four, "after all", _at(7))
    # What was taken back is not gone back to: before the fourth came the second.
    assert [registry.rollback("worse", _at(8)), registry.rollback("worse", _at(9))] == [two, one]
    with pytest.raises(ModelUnavailableError, match="no earlier champion"):
        registry.rollback("worse", _at(10))
    assert registry.champion_version() == one
    assert [registry.live_at(_at(day)) for day in range(1, 11)] == [
        one, two, three, four, three, two, four, two, one, one,
    ]  # fmt: skip


def test_promotions_that_nobody_wrote_down_can_be_taken_back(registry: ModelRegistry, result: TrainingResult) -> None:
    """As in a registry of the code before, and after a kill before the alias was set."""
    one, two, three = (registry.save(_other(result, n), "a", Decision(True, "wins"), _at(n)) for n in range(1, 4))
    registry._client.delete_registered_model_tag("risk_model", "releases")
    assert [registry.rollback("worse", _at(5)), registry.rollback("worse", _at(6))] == [two, one]
    registry._client.set_registered_model_tag("risk_model", "releases", f'["{one}", "{two}", "{three}"]')
    registry.promote(two, "after all", _at(7))
    assert registry.rollback("worse", _at(8)) == one
    # Code that writes none down has promoted the third.
    registry._client.set_registered_model_alias("risk_model", "champion", three)
    assert registry.rollback("worse", _at(9)) == one


def test_each_use_case_has_a_folder_and_columns_of_its_own(
    prepared: Path, result: TrainingResult, tmp_path: Path
) -> None:
    churn = replace(
        FEATURE_RISK, name="churn", registry_name="churn", targets=FEATURE_RISK.targets[:1], is_first=False,
        primary_metric=PrimaryMetric("roc_auc", "ROC-AUC"),
    )  # fmt: skip
    models = tmp_path / "models"
    assert [registry_folder(models, case) for case in (FEATURE_RISK, churn)] == [
        models / "feature_risk",
        models / "churn",
    ]
    # The first registry of a root made before use cases had folders stays where it is; no other is taken for it.
    shutil.copytree(prepared, models)
    assert registry_folder(models, FEATURE_RISK) == models
    assert registry_folder(models, churn) == models / "churn"
    one, two = (ModelRegistry(registry_folder(models, case), case) for case in (FEATURE_RISK, churn))
    one.save(result, "a", Decision(True, "first model"))
    assert (one.champion_version(), two.champion_version()) == ("1", None)
    part = replace(result.model, targets={"any": result.model.targets["any"]})
    two.save(replace(result, model=part), "a", Decision(True, "first model"))
    versions = two.versions()
    assert [name for name in versions if "skill" in name or "auc" in name] == ["roc_auc", "best_baseline_roc_auc"]
    graded = result.metrics.query("target == 'any' and metric == 'roc_auc'").set_index("model")["value"]
    assert versions["roc_auc"][0] == graded[result.model.targets["any"].name]
    assert versions["best_baseline_roc_auc"][0] == graded[list(FEATURE_RISK.baselines)].max()
    assert list(two.load("1").targets) == ["any"]
    assert [export_file(models, case).name for case in (FEATURE_RISK, churn)] == ["risk_model.joblib", "churn.joblib"]


def _champion_file(registry: ModelRegistry) -> Path:
    return next(registry.root.rglob("model.skops"))


def _vouch_for(registry: ModelRegistry, content: bytes) -> None:
    """Put a file in the place of the only version's, as if it had been saved so."""
    _champion_file(registry).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    registry._client.set_model_version_tag("risk_model", "1", "artifact_sha256", digest)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("altered", "its file is not the one that was saved"),
        ("truncated", "its file is not the one that was saved"),
        ("missing", "its file is missing"),
        ("a folder", "its file cannot be read (Is a directory)"),
    ],
)
def test_a_damaged_file_is_not_loaded(
    registry: ModelRegistry, result: TrainingResult, damage: str, why: str, today: pd.DataFrame
) -> None:
    registry.save(result, "a", Decision(True, "first model"))
    path = _champion_file(registry)
    content = path.read_bytes()
    if damage in ("missing", "a folder"):
        path.unlink()
        if damage == "a folder":
            path.mkdir()
    else:
        path.write_bytes(content[:100] if damage == "truncated" else content[:-1] + b"x")
    loaded = registry.load_champion()
    assert (loaded.model, loaded.version, loaded.needs_training) == (None, "1", True)
    assert loaded.why == f"model version 1 cannot be loaded: {why}; the next `quality run` trains a new model"
    assert set(score_risk(loaded.model, today, loaded.version, why_no_model=loaded.why)["note"]) == {loaded.why}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK not a zip", "its file is not a model file"),
        (write_state({"format": 5}), "its file has format 5, and this version of the program reads 4"),
        (write_state({"format": 4}), "its file holds no model (the model: missing or unknown parts: base_rate, "),
        (write_state({"format": 2, "x": Sigmoid()}), "its file holds types that no model has ("),
    ],
)
def test_a_file_that_is_no_model_is_not_loaded(
    registry: ModelRegistry, result: TrainingResult, content: bytes, why: str
) -> None:
    version = registry.save(result, "a", Decision(True, "first model"))
    _vouch_for(registry, content)
    with pytest.raises(ModelUnavailableError) as told:
        registry.load(version)
    assert str(told.value).startswith(f"model version 1 cannot be loaded: {why}")
    assert str(told.value).endswith("; the next `quality run` trains a new model")
    assert registry.load_champion().needs_training


def test_a_champion_of_the_layout_before_goes_on(registry: ModelRegistry, result: TrainingResult) -> None:
    """As in a root where the code before has trained."""
    data = Path(__file__).parent.parent / "data" / "model_layout_1"
    with zipfile.ZipFile(data / "models.zip") as files:
        content = files.read("forest_and_logistic.skops")
    registry.save(result, "a", Decision(True, "first model"))
    _vouch_for(registry, content)
    loaded = ModelRegistry(registry.root, FEATURE_RISK).load_champion()
    assert (loaded.version, loaded.why, loaded.needs_training) == ("1", "", False)
    # What it says of its own inputs is held in test_model_files; today's inputs are others, and it is not asked.
    with pytest.raises(InputsMismatchError):
        score_risk(loaded.model, pd.read_parquet(data / "inputs.parquet"), "1")
    assert _champion_file(registry).read_bytes() == content
    # The same training finds it, and does not store it again.
    assert registry.save(result, "a", Decision(True, "first model")) == "1"


def test_a_version_that_cannot_be_loaded_is_not_taken_for_the_same(
    registry: ModelRegistry, result: TrainingResult
) -> None:
    broken = registry.save(result, "a", Decision(True, "first model"))
    _champion_file(registry).write_bytes(b"")
    again = registry.save(result, "a", Decision(True, "the champion cannot score"))
    assert (broken, again, registry.champion_version()) == ("1", "2", "2")
    assert registry.load_champion().model is not None
    assert registry.save(result, "a", Decision(True, "once more")) == "2"


def test_an_unknown_version_is_said_with_those_there_are(registry: ModelRegistry, result: TrainingResult) -> None:
    registry.save(result, "a", Decision(True, "first model"))
    with pytest.raises(ModelUnavailableError, match="there is no model version 9; the registry has: 1"):
        registry.load("9")


def test_a_model_for_other_inputs_is_not_loaded(registry: ModelRegistry, result: TrainingResult) -> None:
    foreign = replace(result, model=replace(result.model, input_names=("x", "y")))
    registry.save(foreign, "a", Decision(True, "first model"))
    loaded = registry.load_champion()
    assert (loaded.model, loaded.needs_training) == (None, True)
    assert loaded.why == (
        "model version 1 was made for other inputs than the present contract; the next `quality run` trains a new model"
    )


def test_the_folder_can_be_moved(registry: ModelRegistry, result: TrainingResult, tmp_path: Path) -> None:
    registry.save(result, "a", Decision(True, "first model"))
    shutil.move(registry.root, tmp_path / "elsewhere")
    assert ModelRegistry(tmp_path / "elsewhere", FEATURE_RISK).load_champion().model is not None


def test_export_is_a_plain_joblib_file(
    registry: ModelRegistry, result: TrainingResult, tmp_path: Path, today: pd.DataFrame
) -> None:
    version = registry.save(result, "a", Decision(True, "first model"))
    path = tmp_path / "out" / "risk_model.joblib"
    registry.export(version, path)
    state = joblib.load(path)
    assert (state["format"], state["trained_through"]) == (4, result.model.trained_through.isoformat())
    scores = score_risk(from_state(FEATURE_RISK, state), today, version)
    pd.testing.assert_frame_equal(scores, score_risk(result.model, today, version))
    # Whoever has joblib and NumPy can read it, wherever our classes are.
    code = (
        "import sys, joblib; sys.modules['quality_assets'] = sys.modules['sklearn'] = None;"
        f"print(joblib.load({str(path)!r})['targets']['any']['name'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == [result.model.targets["any"].name]
    assert not is_export(path)


def test_an_export_of_the_layout_before_is_known(result: TrainingResult, tmp_path: Path) -> None:
    path = tmp_path / "risk_model.joblib"
    assert not is_export(path)
    joblib.dump(result.model, path, compress=3)
    assert is_export(path)
    path.write_bytes(b"not compressed quality_assets")
    assert not is_export(path)


def test_the_log_that_all_share_knows_what_was_promoted_before_it_was_there(
    registry: ModelRegistry, result: TrainingResult, data_root: Settings
) -> None:
    settings = data_root.model_copy(update={"data_dir": registry.root.parent})
    first = registry.save(result, "abc", Decision(True, "first"), _at(1))
    second = registry.save(_other(result, 2), "abc", Decision(True, "better"), _at(2))
    adopt_risk_releases(settings)
    adopt_risk_releases(settings)
    log = release_log(settings)
    assert [(each.version, each.action, each.at.day) for each in log.of("feature_risk")] == [
        (first, "promote", 1),
        (second, "promote", 2),
    ]
    third = registry.save(_other(result, 3), "abc", Decision(True, "better still"), _at(3))
    adopt_risk_releases(settings)
    assert live_at(log.of("feature_risk"), _at(3)).version == third
    assert rollback_risk(settings, "me", "why", _at(4)).version == second
    assert rollback_risk(settings, "me", "why", _at(5)).version == first == registry.champion_version()
    with pytest.raises(NoEarlierReleaseError, match="no earlier release"):
        rollback_risk(settings, "me", "why", _at(6))
    done = promote_risk(settings, third, "me", "why", _at(7))
    assert done is not None
    assert promote_risk(settings, third, "me", "again", _at(8)) is None
    assert [row["stage"] for row in risk_version_rows(settings)] == ["retired", "retired", "prod"]
    assert live_at(log.of("feature_risk"), _at(7)).version == third == registry.champion_version()
    close_operations()
