"""Training by value: held-out rows split by split, members, references, fingerprints, replayed intervals, evidence."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.risk_inputs import INPUT_NAMES
from quality_assets.domain.drift.settings import DriftSettings
from quality_assets.domain.drift.verdicts import FARTHEST, distance_of, is_felt, least_distance_of
from quality_assets.domain.models.artifact import TrainedModel
from quality_assets.domain.models.estimators import Sigmoid, TargetModel
from quality_assets.domain.models.evidence import Evidence
from quality_assets.domain.models.learning.blocks import RowPlaces, share_interval
from quality_assets.domain.models.learning.formulas import Mean, PriceOrProduct
from quality_assets.domain.models.learning.held_out_rows import Choice, SplitPredictions
from quality_assets.domain.models.learning.learnable import LearningRows
from quality_assets.domain.models.learning.release_stack import Release, in_order, newest
from quality_assets.domain.models.learning.residuals import Intervals
from quality_assets.domain.models.learning.table_training import (
    LearningResult,
    _metrics,
    _ranges,
    _replayed,
    _with_reference,
    reference_of,
    rows_fingerprint,
    train_table,
    views_without,
)
from quality_assets.domain.models.learning.tabular import Candidate, View
from quality_assets.domain.models.learning.tabular_model import Fitted, FittedView, TabularModel
from quality_assets.domain.models.risk.baselines import BaseRate
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.rows import TargetRows, sample_rows
from quality_assets.domain.models.selection import best_baseline
from quality_assets.domain.models.splits import by_time
from quality_assets.domain.models.training import fit_target, held_out, refit_model
from quality_assets.progress import no_progress
from tests.order_rows import LINE, MEAN, ORDERS, PRODUCT, SETTINGS, TRUTH, VIEW, N, places, rows_of, use_case

NAN = math.nan


def target_rows_of(y: np.ndarray, per_day: int) -> TargetRows:
    """Rows of so many features a day, whose inputs are 0."""
    n = len(y)
    days = np.arange(n) // per_day
    keys = pd.DataFrame(
        {
            "event_date": [date(2026, 1, 1) + timedelta(days=int(day)) for day in days],
            "feature": [f"f{at % per_day}" for at in range(n)],
        }
    )
    return TargetRows(keys, keys["feature"].to_numpy(), np.zeros((n, len(INPUT_NAMES))), y, days)


RISK = RiskSettings(folds=3, min_positives=2, interval_members=4, threads=1)
Y = (np.random.default_rng(2).random(240) < 0.3).astype(float)


# --- Held out ---------------------------------------------------------------------------------------------------------


def test_a_split_is_predicted_from_its_past_and_calibrated_by_the_splits_before() -> None:
    rows = target_rows_of(Y, 4)
    proof = held_out(FEATURE_RISK, rows, "any", RISK, ("base_rate", "persistence"))
    splits = by_time(rows, RISK)
    assert len(splits) == 3
    tested = np.concatenate([split.test for split in splits])
    assert proof.keys["feature"].tolist() == rows.keys["feature"].iloc[tested].tolist()
    assert proof.y.tolist() == Y[tested].tolist()
    assert (proof.target, proof.use_case, proof.champion) == ("any", FEATURE_RISK, None)
    assert proof.is_graded.tolist() == [False] * len(splits[0].test) + [True] * (len(tested) - len(splits[0].test))
    raw: list[float] = []
    for split in splits:
        share = (Y[split.train].sum() + 1) / (split.train.sum() + 2)
        before = tested[: len(raw)]
        is_past = split.train[before]
        wanted = Sigmoid().fit(np.array(raw)[is_past], Y[before[is_past]])
        own = slice(len(raw), len(raw) + len(split.test))
        assert proof.raw["base_rate"][own] == pytest.approx(share)
        assert proof.p["base_rate"][own] == pytest.approx(wanted.apply(np.array([share]))[0])
        raw += [share] * len(split.test)
    # Nothing is degraded today: persistence says the share of such days, which is that of all.
    assert proof.raw["persistence"] == pytest.approx(proof.raw["base_rate"])
    few = held_out(FEATURE_RISK, rows, "any", replace(RISK, min_positives=999), ("base_rate",))
    assert (len(few.keys), len(few.y), few.raw["base_rate"].tolist(), few.is_graded.tolist()) == (0, 0, [], [])
    late = np.where(np.arange(240) < 120, 0.0, Y)
    first = next(at for at, split in enumerate(by_time(rows, RISK)) if late[split.train].sum() >= 2)
    skipped = held_out(FEATURE_RISK, replace(rows, y=late), "any", RISK, ("base_rate",))
    assert len(skipped.y) == sum(len(split.test) for split in splits[first:])


def test_members_learn_from_features_drawn_with_replacement() -> None:
    rows = target_rows_of(Y, 4)
    proof = held_out(FEATURE_RISK, rows, "any", RISK, ("base_rate",))
    # The features of the rows come in another order than their names.
    shuffled = rows.take(np.argsort(-np.arange(240) % 4 * 1000 + np.arange(240), kind="stable"))
    model = fit_target(shuffled, "base_rate", proof, RISK)
    assert (model.name, model.estimator.everyone) == ("base_rate", pytest.approx((Y.sum() + 1) / 242))
    assert model.calibrator == Sigmoid().fit(proof.raw["base_rate"], proof.y)
    assert len(model.members) == 4
    names = list(dict.fromkeys(shuffled.entity.tolist()))
    rng = np.random.default_rng(RISK.seed + 1)
    for member, calibrator in model.members:
        drawn = [names[at] for at in rng.integers(0, 4, 4)]
        outcomes = np.concatenate([Y[rows.entity == name] for name in drawn])
        assert member.everyone == pytest.approx((outcomes.sum() + 1) / (len(outcomes) + 2))
        weight = np.array([drawn.count(name) for name in proof.keys["feature"]], dtype=float)
        used = weight > 0
        assert calibrator == Sigmoid().fit(proof.raw["base_rate"][used], proof.y[used], weight[used])
    assert len({member.everyone for member, _ in model.members}) > 1
    none = fit_target(rows, "base_rate", proof, replace(RISK, min_positives=9_999))
    assert none.members == []


def test_rows_are_drawn_where_there_are_too_many() -> None:
    rows = target_rows_of(Y, 4)
    every = np.arange(10, 20)
    assert sample_rows(rows, every, replace(RISK, max_fit_rows=10)).y.tolist() == Y[10:20].tolist()
    drawn = np.sort(np.random.default_rng(0).choice(every, 9, replace=False))
    some = sample_rows(rows, every, replace(RISK, max_fit_rows=9))
    assert (some.y.tolist(), some.keys.index.tolist()) == (Y[drawn].tolist(), drawn.tolist())


def test_a_model_is_fitted_anew_with_its_calibration_where_both_outcomes_are_known() -> None:
    frame = pd.DataFrame([dict.fromkeys(INPUT_NAMES, 0.0)] * 8).assign(
        event_date=date(2026, 2, 3), feature="a", has_baseline=True,
        label_any=pd.array([True, False, False, None, False, False, True, False], dtype="boolean"),
        label_onset=pd.array([False] * 8, dtype="boolean"),
    )  # fmt: skip
    targets = {
        name: TargetModel("base_rate", BaseRate(), Sigmoid(0.5, 0.25), [(BaseRate(), Sigmoid())])
        for name in ("any", "onset")
    }
    old = TrainedModel(date(2026, 1, 1), 7, INPUT_NAMES, targets, 0.1, ("any: so",))
    new = refit_model(FEATURE_RISK, old, frame)
    assert new.trained_through == date(2026, 2, 3)
    assert (new.horizon_days, new.notes, new.base_rate) == (7, ("any: so",), 0.1)
    assert new.targets["any"].estimator.everyone == pytest.approx(3 / 9)
    assert (new.targets["any"].calibrator, new.targets["any"].members) == (Sigmoid(0.5, 0.25), [])
    assert new.targets["onset"] is targets["onset"]
    assert refit_model(FEATURE_RISK, old, frame.iloc[:0]).trained_through == date(1970, 1, 1)


def test_the_best_baseline_is_that_of_the_highest_score() -> None:
    proof = Evidence(FEATURE_RISK, "any", pd.DataFrame(), np.zeros(0), {}, {}, np.zeros(0, dtype=bool))
    scores = dict.fromkeys((*FEATURE_RISK.baselines, *FEATURE_RISK.candidates), 0.2) | {"base_rate": 0.3}
    assert best_baseline(proof, scores | {"random_forest": 0.9}) == "base_rate"


# --- Tables -----------------------------------------------------------------------------------------------------------


def test_ranges_are_what_was_seen() -> None:
    columns = {
        "x": np.array([3.0, NAN, 1.0]), "c": np.array(["b", None, "a"], dtype=object), "z": np.array([NAN, NAN, NAN]),
        "w": np.array([1.0, 2.0, 3.0]),
    }  # fmt: skip
    assert _ranges(columns, ["c", "x", "z"]) == {"c": ("a", "b"), "x": (1.0, 3.0)}


def test_the_reference_is_the_middle_row_of_which_something_was_open() -> None:
    around = Intervals("rolling_residuals", False, np.zeros(0), np.array([-1.0]), np.array([2.0]), 0.8, 0.8)
    price = Fitted("price", PriceOrProduct("x", "z", "m", cap=9.0, ratio=0.5), None, None, (), {})
    mean = Fitted("mean", Mean(7.0), None, None, (), {})
    views = (FittedView("all", (), price, around), FittedView("without z", ("z",), mean, around))
    model = TabularModel("orders", "c", views, ("x", "z", "m", "n"), (), {}, None, 5, {})
    columns = {
        "x": np.array([1.0, 2.0, 3.0, 4.0, 5.0]), "z": np.array([1.0, 9.0, 1.0, 9.0, 9.0]),
        "m": np.array([8.0, 8.0, 8.0, 30.0, 8.0]), "n": np.array(["a", "b", None, None, "e"], dtype=object),
    }  # fmt: skip
    # Of the three at the cap the middle one: 4 · 30 · .5.
    assert _with_reference(model, columns).reference == {
        "row": {"x": 4.0, "z": 9.0, "m": 30.0, "n": None}, "prediction": 60.0, "p10": 59.0, "p90": 62.0,
        "others": [
            {"row": {"x": 3.0, "z": None, "m": 8.0, "n": None}, "prediction": 7.0, "p10": 6.0, "p90": 9.0},
        ],
    }  # fmt: skip
    exact = {name: values[[0, 2]] for name, values in columns.items()}
    assert _with_reference(model, exact).reference["row"] == {"x": 3.0, "z": 1.0, "m": 8.0, "n": None}
    assert reference_of(model, {"x": 2, "z": 3, "m": 1, "n": "a"}) == {
        "row": {"x": 2, "z": 3, "m": 1, "n": "a"}, "prediction": 6.0, "p10": 5.99, "p90": 6.01,
    }  # fmt: skip


def test_a_fingerprint_is_of_contract_names_and_values_in_the_order_of_keys() -> None:
    columns = {"x": np.array([2.0, 1.0]), "c": np.array([None, "a"], dtype=object)}
    keys = np.array(["k2", "k1"], dtype=object)
    rows = LearningRows(columns, np.array([20.0, 10.0]), places(2), keys, np.full(2, None), ())
    wanted = sha256(ORDERS.fingerprint.encode())
    for part in (
        b"key", b"k1\x1fk2", b"x", np.array([1.0, 2.0]).tobytes(), b"c", b"a\x1f", b"target",
        np.array([10.0, 20.0]).tobytes(),
    ):  # fmt: skip
        wanted.update(part)
    assert rows_fingerprint(use_case(), rows) == wanted.hexdigest()


def test_views_that_need_what_is_nowhere_known_are_not_learnt() -> None:
    without = View("without z", ("z",), (MEAN,))
    neither = View("without z and x", ("z", "x"), (MEAN,))
    case = replace(use_case(), views=(VIEW, without, neither))
    assert views_without(case, []) == [VIEW, without, neither]
    assert views_without(case, ["z"]) == [without, neither]
    assert views_without(case, ["x"]) == [neither]
    assert views_without(case, ["other"]) == [VIEW, without, neither]


def test_intervals_are_replayed_over_what_was_open() -> None:
    day = np.array([0] * 50 + [30] * 4 + [31] * 2)
    residual = np.array([*range(50), 4.0, 45.0, 3.0, 46.0, 20.0, 100.0])
    block = np.arange(56) // 2
    rows = LearningRows({}, 2 + 2 * residual, RowPlaces(56, day, block, None), np.arange(56), np.full(56, None), ())
    some = np.arange(56) != 51
    wanted = np.array([NAN] * 50 + [1.0, NAN, 0.0, 0.0, 1.0, 0.0])
    inside = np.array([True, False, False, True, False])
    for start, at in ((31, 3), (30, 0)):
        hits, covered, later = _replayed(rows, np.full(56, 2.0), some, start, SETTINGS)
        np.testing.assert_equal(hits, wanted)
        blocks = np.array([25, 26, 26, 27, 27])[at:]
        assert (covered, later) == (share_interval(inside[at:], blocks, SETTINGS), 5 - at)
    _, covered, later = _replayed(rows, np.full(56, 2.0), some, 32, SETTINGS)
    assert (np.isnan(covered).all(), later) == (True, 0)


def test_metrics_have_a_row_for_each_candidate_split_and_measure() -> None:
    rows = rows_of(use_case())
    tested = np.arange(N) >= 20
    said = {"mean": np.where(tested, TRUTH - 2, NAN), "a_line": np.where(tested, TRUTH + 1, NAN)}
    split = SplitPredictions(tested, np.where(tested, 0, -1), said)
    found = _metrics(rows, (LINE, MEAN), {"time": split}, Choice(MEAN, "", {}))
    told = [(each["candidate"], each["role"], each["metric"], each["value"]) for each in found]
    variance = float(TRUTH[20:].var())
    assert told == [
        ("a_line", "candidate", "r2", pytest.approx(1 - 1 / variance)), ("a_line", "candidate", "rmse", 1.0),
        ("a_line", "candidate", "mae", 1.0), ("mean", "champion", "r2", pytest.approx(1 - 4 / variance)),
        ("mean", "champion", "rmse", 2.0), ("mean", "champion", "mae", 2.0),
    ]  # fmt: skip
    assert found[1] == {
        "trained_through": pd.NaT, "target": "y", "candidate": "a_line", "role": "candidate", "metric": "rmse",
        "value": 1.0, "low": 1.0, "high": 1.0, "rows": 40, "split": "time", "known": "all",
    }  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> LearningResult:
    rng = np.random.default_rng(6)
    n = 600
    x, z = rng.integers(1, 20, n).astype(float), rng.uniform(1, 9, n).round(2)
    frame = pd.DataFrame(
        {
            "id": np.arange(n), "day": pd.date_range("2024-01-01", periods=n), "x": x, "z": z,
            "y": 2 * x * z * rng.uniform(0.8, 1.2, n),
        }
    )  # fmt: skip
    case = replace(
        use_case("time", "random", bootstrap_rounds=50),
        views=(
            View("all", (), (PRODUCT, LINE, MEAN)),
            View("without z", ("z",), (LINE, Candidate("mean", "baseline", formula=Mean()))),
        ),
    )
    return train_table(case, frame, "baseline", no_progress)


def test_a_table_is_learnt_view_by_view(trained: LearningResult) -> None:
    assert {known: choice.candidate.name for known, choice in trained.choices.items()} == {
        "all": "list_price", "without z": "a_line",
    }  # fmt: skip
    model = trained.model
    assert (model.use_case, model.contract, model.inputs, model.refused, model.rows, model.trained_through) == (
        "orders", ORDERS.fingerprint, ("x", "z"), (), 600, "2025-08-22",
    )  # fmt: skip
    # The year 2025 is the test: 234 of 600 days.
    assert len(trained.held_out) == 234
    assert trained.held_out.columns.tolist() == ["row_key", "y", "prediction"]
    assert trained.held_out["row_key"].tolist() == [str(at) for at in range(366, 600)]
    frame = trained.metrics
    assert frame["trained_through"].unique().tolist() == [pd.Timestamp("2025-08-22")]
    of_all = frame[(frame["known"] == "all") & (frame["metric"] == "mae")]
    assert of_all[["split", "candidate", "role", "rows"]].to_numpy().tolist() == [
        ["time", "list_price", "champion", 234], ["time", "a_line", "candidate", 234],
        ["time", "mean", "baseline", 234],
        ["random", "list_price", "champion", 120], ["random", "a_line", "candidate", 120],
        ["random", "mean", "baseline", 120],
    ]  # fmt: skip
    error = (trained.held_out["y"] - trained.held_out["prediction"]).abs().mean()
    assert of_all["value"].iloc[0] == pytest.approx(error)
    assert set(trained.headline) == {"r2", "rmse", "mae", "coverage"}
    assert trained.headline["mae"] == pytest.approx(error)
    assert trained.headline["coverage"] == pytest.approx(0.8, abs=0.08)
    permuted = frame[frame["metric"] == "r2_permuted"]
    assert permuted[["candidate", "role", "split", "known", "rows"]].to_numpy().tolist() == [
        ["gradient_boosting", "candidate", "time", "all", 234],
        ["gradient_boosting", "candidate", "time", "without z", 234],
    ]  # fmt: skip
    assert permuted[["low", "high"]].isna().all(axis=None)
    assert (trained.quarantine, trained.quarantined_rows) == ((), 0)
    assert trained.leaks["verdict"].tolist() == ["passed"] * 4
    assert trained.performance["known"].unique().tolist() == ["all", "without z"]
    assert [view.intervals.is_relative for view in model.views] == [True, True]
    row: dict[str, Any] = model.reference["row"]
    assert model.reference["prediction"] == pytest.approx(2 * row["x"] * row["z"], rel=0.03)
    assert model.reference["others"][0]["row"]["z"] is None


# --- Small things that are decided by --------------------------------------------------------------------------------


def test_releases_are_in_order_of_their_numbers_and_of_no_earlier_time() -> None:
    def release(seq: int, hour: int, stage: str = "prod") -> Release:
        return Release(seq, "m", str(seq), "promote", stage, "me", "so", datetime(2026, 1, 1, hour))  # type: ignore[arg-type]

    log = [release(3, 2), release(1, 5), release(4, 9, "canary"), release(2, 6)]
    assert [(each.seq, each.at.hour) for each in in_order(log)] == [(1, 5), (2, 6), (3, 6)]
    assert newest(log) == replace(release(3, 2), at=datetime(2026, 1, 1, 6))
    assert newest([release(4, 9, "staging")]) is None


@pytest.mark.parametrize(
    ("statistic", "observed", "reference", "current", "distance"),
    [
        ("w1", 0.3, 1.0, 2.0, 0.3), ("total_variation", 0.2, None, None, 0.2), ("mean_shift", 4.0, 0.1, 0.2, 1.0),
        ("binomial_z", 3.0, 0.02, 0.05, 1.5), ("binomial_z", 3.0, 0.02, 0.005, 0.75),
        ("binomial_z", 3.0, 0.02, None, 1.0),
        ("binomial_z", 3.0, 0.0, 0.05, 1.0), ("binomial_z", 3.0, None, 0.05, 1.0),
    ],
)  # fmt: skip
def test_a_distance_is_of_a_rate_the_share_of_itself(
    statistic: str, observed: float, reference: float | None, current: float | None, distance: float
) -> None:
    assert distance_of(statistic, observed, reference, current) == pytest.approx(distance)


def test_the_least_distance_is_the_larger_of_floor_and_limit() -> None:
    for least, rate, others in ((0.0, 0.1, 0.0), (0.05, 0.1, 0.05), (0.3, 0.3, 0.3)):
        settings = DriftSettings(least_distance=least)
        assert (least_distance_of("binomial_z", settings), least_distance_of("w1", settings)) == (rate, others)
    assert (least_distance_of("binomial_z"), FARTHEST) == (0.1, 1.0)
    assert [is_felt(each) for each in (None, 0.0, 0.0009, 0.001, 0.5)] == [None, False, False, True, True]
