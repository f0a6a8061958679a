"""A challenger replaces the champion only by winning on the same later days, and scores stay with what made them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.ml import RISK_TRAINING_SET
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain import risk
from quality_assets.domain.labels import LabelSettings
from quality_assets.domain.risk import train_risk_model
from quality_assets.domain.risk_models import RiskSettings
from quality_assets.settings import Settings
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts
from quality_assets.warehouse import model_registry, risk_tables
from quality_assets.warehouse.database import WarehouseSession, open_warehouse
from quality_assets.warehouse.drift_tables import reason_to_retrain
from quality_assets.warehouse.frames import replace_rows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FACTS = simulate_daily_facts(DailyPlan(25, 150, seed=14, incidents_per_feature_quarter=1.5)).facts
FIRST_TRAINED, LATER = date(2026, 4, 10), date(2026, 5, 30)
FORESTS = RiskSettings(
    forest_trees=20, boosting_rounds=15, folds=3, bootstrap_rounds=20, importance_repeats=0, interval_members=2,
    threads=1, min_gain=0.0,
)  # fmt: skip
CHARTS = replace(FORESTS, min_gain=100.0)
Train = Callable[[RiskSettings], risk_tables.Trained]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[WarehouseSession]:
    settings = Settings(data_dir=tmp_path / "data", threads=2, _env_file=None)  # type: ignore[call-arg]
    with open_warehouse(settings) as opened:
        yield opened


@pytest.fixture
def train(session: WarehouseSession, monkeypatch: pytest.MonkeyPatch) -> Train:
    def _train(settings: RiskSettings) -> risk_tables.Trained:
        monkeypatch.setattr(risk, "train_risk_model", partial(train_risk_model, settings=settings))
        return risk_tables.train(session, lambda _: None)

    return _train


def _know(session: WarehouseSession, through: date) -> None:
    """The warehouse as it stood at the end of a day."""
    absent = [c.name for c in FACT_FEATURE_METRICS.columns if not c.nullable and c.name not in FACTS]
    facts = FACTS[FACTS["event_date"] <= pd.Timestamp(through)].assign(**dict.fromkeys(absent, 0))
    replace_rows(session, FACT_FEATURE_METRICS, facts)
    risk_tables.build_labels_and_inputs(session, lambda _: None)


def _permute_labels(session: WarehouseSession) -> None:
    rows = risk_tables.read_training_set(session)
    known = rows["label_any"].notna()
    rows.loc[known, "label_any"] = np.random.default_rng(0).permutation(rows.loc[known, "label_any"])
    replace_rows(session, RISK_TRAINING_SET, rows)


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
    assert risk_tables.load_champion(session.settings).version == champion.version
    risk_tables.build_scores(session, lambda _: None)
    assert not len(_scores(session, "2"))
    every = _scores(session, "1")
    assert every["event_date"].max() == pd.Timestamp(LATER)
    pd.testing.assert_frame_equal(every[every["event_date"] <= first["event_date"].max()], first)


def test_a_champion_made_for_other_inputs_is_replaced_at_once(
    session: WarehouseSession, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    _know(session, FIRST_TRAINED)
    assert risk_tables.is_training_due(session)
    with monkeypatch.context() as earlier_code:
        for module in (risk, risk_tables, model_registry):
            earlier_code.setattr(module, "inputs_fingerprint", lambda *_: "of other inputs")
        train(FORESTS)
        assert not risk_tables.is_training_due(session)
        assert reason_to_retrain(session) is None
    assert risk_tables.is_training_due(session)
    assert train(CHARTS).decision.is_promoted
    assert _versions(session) == {"1": "retired", "2": "champion"}
    assert not risk_tables.is_training_due(session)
