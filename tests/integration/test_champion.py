"""A challenger replaces the champion only by winning on the same later days, and scores stay with what made them."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.ml import MODEL_VERSIONS, RISK_TRAINING_SET
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.models import artifact
from quality_assets.domain.models import use_case as use_cases
from quality_assets.domain.models.artifact import TrainingResult
from quality_assets.domain.models.risk import choosing
from quality_assets.domain.models.risk import training as risk
from quality_assets.domain.models.risk.labels import LabelSettings
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.training import train_risk_model
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.state import from_state, to_state
from quality_assets.settings import Settings
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts
from quality_assets.stores import models as model_registry
from quality_assets.stores.frames import replace_rows
from quality_assets.stores.model_files import write_state
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables import champion as in_use
from quality_assets.tables import models as risk_tables
from quality_assets.tables.champion import MODEL_CODE, code_version, is_outgrown, is_training_due, load_champion
from quality_assets.tables.drift import reason_to_retrain
from quality_assets.tables.model_inputs import build_labels_and_inputs, read_training_set

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FACTS = simulate_daily_facts(DailyPlan(25, 150, seed=14, incidents_per_feature_quarter=1.5)).facts
FIRST_TRAINED, LATER = date(2026, 4, 10), date(2026, 5, 30)
QUICK = RiskSettings(
    forest_trees=10, boosting_rounds=6, folds=3, bootstrap_rounds=10, importance_repeats=0, interval_members=1,
    threads=1,
)  # fmt: skip
FORESTS = partial(train_risk_model, settings=QUICK)
Train = Callable[[Callable[..., TrainingResult]], risk_tables.Trained]


def CHARTS(training_set: pd.DataFrame, onsets: pd.DataFrame | None = None) -> TrainingResult:  # noqa: N802 (as FORESTS)
    """Train as if the chart had most skill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "best_by_skill", lambda *_: "ewma_chart")
        return train_risk_model(training_set, QUICK, onsets)


def _settings(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, threads=2, _env_file=None)  # type: ignore[call-arg]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[WarehouseSession]:
    with open_warehouse(_settings(tmp_path / "data")) as opened:
        yield opened


@pytest.fixture(scope="module")
def root_with_champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose version 1, a chart, is in use and has scored; made once."""
    root = tmp_path_factory.mktemp("champion") / "data"
    with pytest.MonkeyPatch.context() as patch, open_warehouse(_settings(root)) as opened:
        patch.setattr(risk, "train_risk_model", CHARTS)
        _know(opened, FIRST_TRAINED)
        risk_tables.train(opened, lambda _: None)
        risk_tables.build_scores(opened, lambda _: None)
    return root


@pytest.fixture
def charted(root_with_champion: Path, tmp_path: Path) -> Iterator[WarehouseSession]:
    """A copy of it, to break."""
    shutil.copytree(root_with_champion, tmp_path / "charted")
    with open_warehouse(_settings(tmp_path / "charted")) as opened:
        yield opened


@pytest.fixture
def train(session: WarehouseSession, monkeypatch: pytest.MonkeyPatch) -> Train:
    def _train(how: Callable[..., TrainingResult]) -> risk_tables.Trained:
        monkeypatch.setattr(risk, "train_risk_model", how)
        return risk_tables.train(session, lambda _: None)

    return _train


def _know(session: WarehouseSession, through: date) -> None:
    """The warehouse as it stood at the end of a day."""
    absent = [c.name for c in FACT_FEATURE_METRICS.columns if not c.nullable and c.name not in FACTS]
    facts = FACTS[FACTS["event_date"] <= pd.Timestamp(through)].assign(**dict.fromkeys(absent, 0))
    replace_rows(session, FACT_FEATURE_METRICS, facts)
    build_labels_and_inputs(session, lambda _: None)


def _permute_labels(session: WarehouseSession) -> None:
    rows = read_training_set(session)
    known = rows["label_any"].notna()
    rows.loc[known, "label_any"] = np.random.default_rng(0).permutation(rows.loc[known, "label_any"])
    replace_rows(session, RISK_TRAINING_SET, rows)


def _registry(session: WarehouseSession) -> model_registry.ModelRegistry:
    registry = in_use.registry_of(session.settings)
    assert registry is not None
    return registry


def _scores(session: WarehouseSession, version: str) -> pd.DataFrame:
    return session.connection.execute(
        "select * from ml.risk_scores where model_version = $version order by event_date, feature", {"version": version}
    ).df()


def _versions(session: WarehouseSession) -> dict[str, str]:
    return dict(session.connection.execute("select model_version, alias from ml.model_versions").fetchall())


def test_a_challenger_that_wins_on_later_days_replaces_the_champion(session: WarehouseSession, train: Train) -> None:
    _know(session, FIRST_TRAINED)
    _permute_labels(session)
    assert train(FORESTS).decision.reason == "first model"
    risk_tables.build_scores(session, lambda _: None)
    first = _scores(session, "1")
    assert first["risk_probability"].notna().any()
    _know(session, LATER)
    decision = train(FORESTS).decision
    assert decision.is_promoted
    assert "challenger wins" in decision.reason
    assert decision.difference > 0
    assert _versions(session) == {"1": "retired", "2": "champion"}
    risk_tables.build_scores(session, lambda _: None)
    pd.testing.assert_frame_equal(_scores(session, "1"), first)
    second = _scores(session, "2")
    assert second["event_date"].max() == pd.Timestamp(LATER)
    # Days whose outcome the new model was trained on are not scored by it after the fact.
    assert second["event_date"].min() > pd.Timestamp(LATER) - pd.Timedelta(days=LabelSettings().horizon_days)


def test_a_challenger_that_does_not_win_leaves_the_champion(session: WarehouseSession, train: Train) -> None:
    _know(session, FIRST_TRAINED)
    champion = train(FORESTS)
    risk_tables.build_scores(session, lambda _: None)
    first = _scores(session, "1")
    _know(session, LATER)
    decision = train(CHARTS).decision
    assert not decision.is_promoted
    assert "does not win" in decision.reason
    assert _versions(session) == {"1": "champion", "2": "challenger"}
    assert load_champion(session.settings).version == champion.version
    risk_tables.build_scores(session, lambda _: None)
    assert not len(_scores(session, "2"))
    every = _scores(session, "1")
    assert every["event_date"].max() == pd.Timestamp(LATER)
    pd.testing.assert_frame_equal(every[every["event_date"] <= first["event_date"].max()], first)


def test_a_champion_made_for_other_inputs_is_replaced_at_once(
    session: WarehouseSession, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    _know(session, FIRST_TRAINED)
    assert is_training_due(session)
    with monkeypatch.context() as earlier_code:
        for module in (artifact, use_cases):
            earlier_code.setattr(module, "inputs_fingerprint", lambda *_: "of other inputs")
        train(FORESTS)
        assert not is_training_due(session)
        assert reason_to_retrain(session) is None
    assert is_training_due(session)
    assert train(CHARTS).decision.is_promoted
    assert _versions(session) == {"1": "retired", "2": "champion"}
    assert not is_training_due(session)


def _break(session: WarehouseSession, damage: str) -> None:
    """Make the champion, version 1, one that cannot be loaded."""
    path = next(session.settings.models_dir.rglob("model.skops"))
    if damage == "missing":
        path.unlink()
    elif damage == "altered":
        path.write_bytes(path.read_bytes() + b"x")
    else:
        # Whole, vouched for, of today's layout: only loading shows that it is no model.
        content = write_state({"format": 2})
        path.write_bytes(content)
        registry = _registry(session)
        registry._client.set_model_version_tag("risk_model", "1", "artifact_sha256", sha256(content).hexdigest())
        replace_rows(session, MODEL_VERSIONS, registry.versions().assign(model="feature_risk"))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("missing", "its file is missing"),
        ("altered", "its file is not the one that was saved"),
        ("no model", "its file holds no model"),
    ],
)
def test_a_champion_that_cannot_be_loaded_is_outgrown(charted: WarehouseSession, damage: str, why: str) -> None:
    assert not is_training_due(charted)
    assert not is_outgrown(charted)
    assert reason_to_retrain(charted) is None
    _break(charted, damage)
    assert is_training_due(charted)
    # Only loading tells that the third is no model, and a run with nothing to do does not load.
    assert is_outgrown(charted) == (damage != "no model")
    reason = reason_to_retrain(charted)
    assert reason is not None
    assert reason.startswith(f"Model version 1 cannot be loaded: {why}")
    assert "quality run" not in reason
    risk_tables.build_scores(charted, lambda _: None)
    newest = _scores(charted, "1").query("event_date == event_date.max()")
    assert set(newest["score_kind"]) == {"unknown"}
    assert newest["note"].str.startswith(f"model version 1 cannot be loaded: {why}").all()
    assert is_outgrown(charted)
    # With too little history there is nothing to train on.
    charted.connection.execute("delete from product.fact_feature_metrics where event_date >= '2026-02-20'")
    assert not is_training_due(charted)


def test_the_same_data_give_another_version_for_one_that_cannot_be_loaded(
    charted: WarehouseSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risk, "train_risk_model", CHARTS)
    before = _scores(charted, "1").drop(columns="model_version")
    _break(charted, "altered")
    decision = risk_tables.train(charted, lambda _: None).decision
    assert decision.is_promoted
    assert decision.reason == (
        "the champion cannot score: model version 1 cannot be loaded: its file is not the one that was saved"
    )
    assert _versions(charted) == {"1": "retired", "2": "champion"}
    assert not is_training_due(charted)
    assert not is_outgrown(charted)
    assert reason_to_retrain(charted) is None
    risk_tables.build_scores(charted, lambda _: None)
    after = _scores(charted, "2").drop(columns="model_version")
    is_last = before["event_date"] == before["event_date"].max()
    pd.testing.assert_frame_equal(after, before[is_last].reset_index(drop=True))


def test_a_registry_of_before_use_cases_had_folders_goes_on_where_it_is(
    charted: WarehouseSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = charted.settings.models_dir
    assert sorted(path.name for path in models.iterdir()) == ["feature_risk", "risk_model.joblib"]
    for name in ("registry.db", "artifacts"):
        (models / "feature_risk" / name).rename(models / name)
    (models / "feature_risk").rmdir()
    assert load_champion(charted.settings).version == "1"
    assert not is_outgrown(charted)
    _know(charted, LATER)
    monkeypatch.setattr(risk, "train_risk_model", FORESTS)
    risk_tables.train(charted, lambda _: None)
    assert sorted(_versions(charted)) == ["1", "2"]
    assert sorted(path.name for path in models.iterdir()) == ["artifacts", "registry.db", "risk_model.joblib"]


def test_a_registry_without_a_model_is_trained_for(charted: WarehouseSession) -> None:
    """As after a kill between making the registry and saving the first model."""
    registry = _registry(charted)
    registry._client.delete_registered_model_alias("risk_model", "champion")
    assert is_training_due(charted)


def test_a_registry_that_cannot_be_read_is_not_trained_for(charted: WarehouseSession) -> None:
    (charted.settings.models_dir / "feature_risk" / "registry.db").write_bytes(b"not a database")
    assert "the model registry cannot be read" in load_champion(charted.settings).why
    assert not is_training_due(charted)
    assert reason_to_retrain(charted) is None


def test_an_export_of_the_layout_before_is_written_anew(charted: WarehouseSession) -> None:
    model = load_champion(charted.settings).model
    assert model is not None
    path = charted.settings.models_dir / "risk_model.joblib"
    joblib.dump(model, path, compress=3)
    risk_tables.build_scores(charted, lambda _: None)
    state = joblib.load(path)
    assert state["trained_through"] == FIRST_TRAINED.isoformat()
    assert to_state(FEATURE_RISK, from_state(FEATURE_RISK, state))["targets"]["any"]["name"] == "ewma_chart"


def _imports(module: str) -> set[str]:
    """The modules of the package that a module names anywhere in its text, itself included, theirs too."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        waiting += [
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("quality_assets.")
        ]
    return found


def test_the_code_version_is_of_all_modules_that_make_models() -> None:
    makers = (
        "quality_assets.domain.models.risk.training",
        "quality_assets.domain.models.risk.inputs",
        "quality_assets.domain.models.risk.labels",
    )
    assert set(MODEL_CODE) == {name for maker in makers for name in _imports(maker)}


def test_the_code_version_changes_with_a_module_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    def text_of(changed: str) -> Callable[[str], bytes]:
        return lambda module: b"other" if module == changed else module.encode()

    versions = []
    for changed in ("", *MODEL_CODE, "quality_assets.domain.wording"):
        monkeypatch.setattr(in_use, "_source", text_of(changed))
        versions.append(code_version.__wrapped__())
    assert len(set(versions)) == len(MODEL_CODE) + 1
    assert versions[0] == versions[-1]


def test_a_module_that_makes_models_and_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_use, "MODEL_CODE", ("quality_assets.domain.gone",))
    with pytest.raises(
        ModuleNotFoundError, match="gone is code that results hang on, and is gone: write where it is now"
    ):
        code_version.__wrapped__()
