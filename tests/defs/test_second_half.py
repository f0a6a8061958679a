"""From facts to scores, drift and reports on small data roots: what is made, what stays as it was, what stands in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.models.risk import training as risk
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.training import train_risk_model
from quality_assets.runner import RunOutcome, bring_up_to_date, graph_instance, ingest_waiting, run_job
from quality_assets.settings import Settings, get_settings
from quality_assets.simulate import Incident, SimulationPlan, simulate
from quality_assets.stores.landing import place
from quality_assets.stores.snapshots import current_snapshot, open_snapshot
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables import models as risk_tables
from quality_assets.tables.checks.known import ALL_CHECKS
from quality_assets.tables.checks.models import no_input_knows_the_label, point_in_time
from quality_assets.tables.checks.run import run_check

# Dagster and MLflow warn of what they themselves use.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{category}")
    for category in ("DeprecationWarning", "dagster.BetaWarning", "dagster.PreviewWarning", "ResourceWarning")
]

QUICK = RiskSettings(forest_trees=20, interval_members=2, bootstrap_rounds=20, importance_repeats=1)
START = date(2026, 1, 1)
DAYS, LATER_DAYS = 75, 3
FEATURES = ("Search", "Home feed", "One-tap pay", "Live comments", "Visual search", "Café finder")


def _incidents() -> tuple[Incident, ...]:
    """A degradation every few days, the last one still open."""
    found = []
    for number in range(12):
        first = START + timedelta(days=27 + 4 * number)
        last = first + timedelta(days=3)
        found.append(
            Incident(f"i{number}", FEATURES[number % 6], "crash_spike", "crash_rate", first, last, 0.3, "absolute")
        )
    return tuple(found)


@contextmanager
def _root(folder: Path) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUALITY_DATA_DIR", str(folder))
        patch.setenv("QUALITY_FILE_STABLE_S", "0")
        patch.setenv("QUALITY_THREADS", "2")
        # How sharp the figures are is no question here.
        patch.setattr("quality_assets.tables.drift.POWER_TRIALS", 2)
        patch.setattr(risk, "train_risk_model", partial(train_risk_model, settings=QUICK))
        get_settings.cache_clear()
        yield get_settings()
    get_settings.cache_clear()


def _run(settings: Settings, logs: list[Path]) -> list[RunOutcome]:
    place(logs, settings.landing_dir)
    with graph_instance(settings) as instance:
        return [ingest_waiting(instance, settings), *bring_up_to_date(instance, settings)]


def _rows(settings: Settings, sql: str) -> pd.DataFrame:
    with open_warehouse(settings) as session:
        return session.connection.execute(sql).df()


def _one(settings: Settings, sql: str) -> Any:
    return _rows(settings, sql).iloc[0, 0]


def _check(settings: Settings, name: str) -> str:
    return str(
        _one(
            settings,
            f"select status from monitoring.check_results where check_name = '{name}' order by checked_at desc limit 1",
        )
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One log a day with a degradation every few days."""
    plan = SimulationPlan(
        days=DAYS + LATER_DAYS,
        features=8,
        events_per_day=900,
        seed=3,
        start_date=START,
        late_share=0.0,
        incidents=_incidents(),
    )
    return sorted((simulate(plan, tmp_path_factory.mktemp("logs") / "out").out / "logs").iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, logs: list[Path]) -> tuple[Path, list[RunOutcome]]:
    """A data root with all but the last days, run once. Only to be read."""
    folder = tmp_path_factory.mktemp("built") / "data"
    with _root(folder) as settings:
        return folder, _run(settings, logs[:DAYS])


@pytest.fixture
def copy(built: tuple[Path, list[RunOutcome]], tmp_path: Path) -> Iterator[Settings]:
    """A copy of the built root, to be changed at will."""
    shutil.copytree(built[0], tmp_path / "data")
    with _root(tmp_path / "data") as settings:
        yield settings


def test_first_run_makes_everything(built: tuple[Path, list[RunOutcome]]) -> None:
    folder, outcomes = built
    jobs = [outcome.job for outcome in outcomes]
    assert jobs == ["ingest_logs", "build_days", "build_impact", "train_risk_model", "score_and_report", "publish"]
    assert [outcome.error for outcome in outcomes] == [None] * len(jobs)
    with _root(folder) as settings:
        through = START + timedelta(days=DAYS - 1)
        assert _one(settings, "select max(event_date) from ml.risk_scores").date() == through
        for table in (
            "product.incidents",
            "ml.degradation_labels",
            "ml.risk_training_set",
            "ml.model_metrics",
            "ml.calibration",
            "ml.score_ledger",
            "monitoring.baseline_stats",
            "monitoring.data_drift",
            "monitoring.drift_power",
            "monitoring.event_sketch_counts",
        ):
            assert _one(settings, f"select count(*) from {table}") > 0, table
        assert _one(settings, "select count(newest_version_share) from ml.risk_training_set") > 0
        assert _one(settings, "select avg(top_platform_share) from ml.risk_training_set") > 0.3
        assert _one(settings, "select count(*) from monitoring.run_report") == 1
        wrong = _rows(
            settings,
            "select asset, check_name, description from monitoring.check_results"
            " where severity = 'ERROR' and status = 'failed'",
        )
        assert wrong.to_dict("records") == []


def test_published_snapshot_and_files_hold_it(built: tuple[Path, list[RunOutcome]]) -> None:
    with _root(built[0]) as settings:
        snapshot = current_snapshot(settings.published_dir)
        assert snapshot is not None
        with open_snapshot(snapshot) as connection:
            with_risk = connection.execute(
                "select count(*), count(risk_probability) from product.feature_metrics_with_risk"
                " where event_date = (select max(event_date) from ml.risk_scores)"
            ).fetchone()
        assert with_risk is not None
        assert with_risk[0] == with_risk[1] > 0
        names = {path.name for path in settings.reports_dir.iterdir()}
        assert names >= {
            "metrics.json", "feature_importance.csv", "baseline_stats.json", "data_drift.json", "drift.html",
            "run_report.json", "run_report.html",
        }  # fmt: skip
        report = json.loads((settings.reports_dir / "run_report.json").read_text())
        assert report["intake"]["files"] == DAYS
        assert report["quarantine"]["rows"] + report["intake"]["rows_valid"] == report["intake"]["rows"]
        assert report["steps"]["failed"] == []
        assert json.loads((settings.reports_dir / "metrics.json").read_text())["model"]["model_version"] == "1"
        assert (settings.models_dir / "risk_model.joblib").is_file()


_INCIDENTS_OF = (
    "select incident_id, start_date, list_distinct(list_append(coalesce(features, []), feature)) as of"
    " from product.incidents"
)


def test_days_before_the_model_have_the_risk_that_was_known_by_then(built: tuple[Path, list[RunOutcome]]) -> None:
    with _root(built[0]) as settings:
        scores = _rows(settings, "select * from ml.risk_scores")
        facts = _rows(settings, "select * from product.feature_metrics_with_risk order by event_date, feature")
        labels = _rows(settings, "select event_date, feature, label_any from ml.degradation_labels")
        incidents = _rows(
            settings,
            "select incident_id, start_date, list_distinct(list_append(coalesce(features, []), feature)) as of"
            " from product.incidents",
        )
        exported = pd.read_csv(settings.processed_dir / "feature_metrics.csv")
        assert _one(settings, "select count(*) from product.fact_feature_metrics") == len(facts) == len(exported)
    # One row of each feature-day, and none by a model that knew the day.
    assert not scores.duplicated(["event_date", "feature"]).any()
    assert len(scores) == len(labels)
    past = scores[scores["is_backfilled"]]
    assert set(past["model_version"].str[:8]) == {"rolling-"}
    known = past[past["risk_probability"].notna()]
    assert (pd.to_datetime(known["trained_through"]) < known["event_date"]).all()
    # After baselines, and a horizon, and a first degradation, every day is known.
    first = known["event_date"].min()
    assert first < pd.Timestamp(START) + pd.Timedelta(days=70)
    late = facts[facts["event_date"] >= first + pd.Timedelta(days=14)]
    assert late["risk_probability"].notna().mean() > 0.9
    assert exported["risk_probability"].notna().sum() == facts["risk_probability"].notna().sum() > 200
    # What came stands beside it.
    beside = facts.merge(labels, on=["event_date", "feature"], suffixes=("", "_said"))
    assert beside["label_any"].astype(object).equals(beside["label_any_said"].astype(object))
    told = facts[facts["incident_ahead"].notna()].merge(
        incidents, left_on="incident_ahead", right_on="incident_id", suffixes=("", "_of_it")
    )
    assert [feature in of_it for feature, of_it in zip(told["feature"], told["of"], strict=True)].count(False) == 0
    ahead = (told["start_date"] - told["event_date"]).dt.days
    assert len(told) == facts["incident_ahead"].notna().sum() > 0
    assert ahead.between(1, 7).all()
    # What was said knows nearly as much as the share of all, which nobody knew then.
    graded = late[late["label_any"].notna() & late["risk_probability"].notna()]
    outcome = graded["label_any"].astype(float)
    assert ((graded["risk_probability"] - outcome) ** 2).mean() < 0.02 + ((outcome.mean() - outcome) ** 2).mean()


def test_later_days_leave_earlier_scores_and_verdicts_alone(copy: Settings, logs: list[Path]) -> None:
    through = START + timedelta(days=DAYS - 1)
    earlier = f"where event_date < '{through}' order by all"
    drift = _rows(copy, f"select * from monitoring.data_drift {earlier}")
    past = _rows(copy, "select * from ml.risk_scores where is_backfilled order by all")
    closed = "select * from product.incidents where end_date < '2026-03-01' order by incident_id"
    incidents = _rows(copy, closed)
    outcomes = _run(copy, logs[DAYS:])
    assert all(outcome.succeeded for outcome in outcomes)
    assert "train_risk_model" not in [outcome.job for outcome in outcomes]
    said = "from ml.risk_scores where not is_backfilled"
    days = _rows(copy, f"select event_date, count(*) as n {said} group by 1 order by 1")
    assert [day.date() for day in days["event_date"]] == [through + timedelta(days=n) for n in range(LATER_DAYS + 1)]
    pd.testing.assert_frame_equal(_rows(copy, f"select * from monitoring.data_drift {earlier}"), drift)
    pd.testing.assert_frame_equal(_rows(copy, closed), incidents)
    # The past was made up for once.
    pd.testing.assert_frame_equal(_rows(copy, "select * from ml.risk_scores where is_backfilled order by all"), past)
    report = json.loads((copy.reports_dir / "run_report.json").read_text())
    assert report["intake"]["files"] == LATER_DAYS
    # A new version adds its own rows and leaves those of the version before.
    before = _rows(copy, "select * from ml.risk_scores where model_version = '1' order by all")
    with open_warehouse(copy) as session:
        assert risk_tables.train(session, lambda _: None).version == "2"
        risk_tables.build_scores(session, lambda _: None)
    assert _one(copy, "select count(*) from ml.model_versions") == 2
    pd.testing.assert_frame_equal(
        _rows(copy, "select * from ml.risk_scores where model_version = '1' order by all"), before
    )


def test_inputs_that_know_the_future_fail(copy: Settings) -> None:
    with open_warehouse(copy) as session:
        assert point_in_time(session).is_passed
        session.connection.execute("update ml.risk_training_set set latency_z = case when label_any then 9 else 0 end")
        found = point_in_time(session)
        assert found.is_passed is False
        assert found.unexpected_count
        # Which input it is cannot be told of so few features: it is said that this is not known.
        leak = no_input_knows_the_label(session)
        assert leak.is_passed is None
        assert "too few features" in leak.why


# In which ways a file can be unusable is a question of the registry's own tests.
def _damage_models(copy: Settings) -> None:
    for path in copy.models_dir.rglob("*.skops"):
        path.write_bytes(b"not a model")


def test_unusable_model_is_said_by_scores_and_checks(copy: Settings) -> None:
    _damage_models(copy)
    with open_warehouse(copy) as session:
        scores = risk_tables.build_scores(session, lambda _: None)
        newest = scores[scores["event_date"] == scores["event_date"].max()]
        checks = {check.name: check for check in ALL_CHECKS if check.subject.name == "ml.risk_scores"}
        said = {name: run_check(session, checks[name])[0].status for name in ("model_loads", "scored_by_a_model")}
    assert len(newest)
    assert set(newest["score_kind"]) == {"unknown"}
    assert newest["risk_probability"].isna().all()
    assert newest["note"].str.contains("not the one").all()
    assert said == {"model_loads": "failed", "scored_by_a_model": "failed"}


def test_unusable_registry_is_said_and_facts_are_published_whatever_came_of_unknown_scores(copy: Settings) -> None:
    _damage_models(copy)
    (copy.models_dir / "feature_risk" / "registry.db").write_bytes(b"not a database")
    with open_warehouse(copy) as session:
        session.connection.execute(
            "update ml.risk_scores set event_date = event_date - 20, model_version = 'none', risk_probability = null,"
            " low = null, high = null, onset_probability = null, score_kind = 'unknown' where not is_backfilled"
        )
    with graph_instance(copy) as instance:
        outcomes = [run_job(instance, copy, job) for job in ("score_and_report", "publish")]
    assert [outcome.error for outcome in outcomes] == [None, None]
    newest = _rows(
        copy,
        "select * from ml.risk_scores where event_date = (select max(event_date) from ml.risk_scores)"
        " and score_kind = 'unknown'",
    )
    assert len(newest)
    assert newest["risk_probability"].isna().all()
    assert newest["note"].str.contains("not the one|cannot be read").all()
    assert _check(copy, "model_loads") == "failed"
    # What was unknown has no error, whatever came.
    graded = _rows(copy, "select * from ml.score_ledger where is_graded")
    assert len(graded)
    assert graded["squared_error"].isna().all()


def test_too_little_history_says_so(caught_up: Settings) -> None:
    said = json.loads((caught_up.data_dir / "said.json").read_text())
    assert [(job, error) for job, _, error in said] == [
        ("ingest_logs", None),
        ("build_and_report", None),
        ("publish", None),
    ]
    scores = _rows(caught_up, "select * from ml.risk_scores")
    assert set(scores["score_kind"]) == {"unknown"}
    assert set(scores["model_version"]) == {"none"}
    assert scores["note"].str.contains("no model").all()
    assert set(_rows(caught_up, "select status from monitoring.data_drift")["status"]) == {"unknown"}
    # What misses its objective from its first day needs no past.
    assert set(_rows(caught_up, "select kind from product.incidents")["kind"]) <= {"objective"}
    assert _check(caught_up, "enough_to_learn") == "failed"
    assert _check(caught_up, "model_loads") == "unknown"
    assert _one(caught_up, f"select max(event_date) from {FACT_FEATURE_METRICS.qualified_name}") is not None


def test_one_class_makes_no_number_up(copy: Settings) -> None:
    with open_warehouse(copy) as session:
        session.connection.execute("update ml.risk_training_set set label_any = false where label_any")
        session.connection.execute("update ml.risk_training_set set label_onset = false where label_onset")
        shutil.rmtree(copy.models_dir)
        trained = risk_tables.train(session, lambda _: None)
        assert trained.result.model.targets == {}
        scores = risk_tables.build_scores(session, lambda _: None)
        assert scores["risk_probability"].isna().all()
        assert scores["note"].str.contains("no model and no base rate").all()
        assert not len(risk_tables.effects_on_predictions(session))
