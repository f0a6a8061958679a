"""Queries of experiments, churn, deliveries and lift on a few rows each: in which order, and of whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from small_snapshots import Cells, ago, at, snapshot_of

from quality_assets.read import experiments as queries

EXPERIMENTS, EXPOSURES = "impact.experiments", "impact.experiment_exposures"
HEALTH, RESULTS, LIFT = "impact.experiment_health", "impact.experiment_results", "impact.lift_estimates"
SCORES, GRADES, COSTS = "ml.engagement_scores", "ml.engagement_grades", "impact.crash_costs"
DELIVERIES = "ops.deliveries"


def with_tables(**tables: list[Cells]) -> dict[str, list[Cells]]:
    """All tables of experiments, with these rows."""
    found: dict[str, list[Cells]] = {name: [] for name in (EXPERIMENTS, EXPOSURES, HEALTH, RESULTS)}
    return found | {f"impact.{name}": rows for name, rows in tables.items()}


def experiment(name: str, state: str = "running", days: int | None = 9) -> Cells:
    return {"experiment": name, "state": state, "start_date": None if days is None else ago(days), "exposed": 5}


def test_experiments_stand_by_how_far_they_are_the_latest_first() -> None:
    states = ("invalid", "undeclared", "planned", "final", "waiting", "running")
    rows = [
        *(experiment(f"a {state}", state) for state in states),
        experiment("b running"),
        experiment("new", days=1),
        experiment("undated", days=None),
    ]
    reader = snapshot_of(with_tables(experiments=rows))
    found = queries.experiments(reader)
    assert [row["experiment"] for row in found] == [
        "new", "a running", "b running", "undated", "a waiting", "a final", "a planned", "a undeclared", "a invalid",
    ]  # fmt: skip
    assert "inputs_fingerprint" not in found[0]
    assert queries.experiment(reader, "a final") == found[5]
    assert queries.experiment(reader, "none") is None


def checked(check: str, subject: str, status: str, experiment: str = "x") -> Cells:
    return {"experiment": experiment, "check": check, "subject": subject, "status": status}


def test_what_voids_an_experiment_comes_first() -> None:
    rows = [
        checked("size", "all", "ok"),
        checked("a", "all", "info"),
        checked("a", "all", "unknown"),
        checked("loss", "b", "warning"),
        checked("loss", "a", "warning"),
        checked("a", "z", "warning"),
        checked("srm", "all", "void"),
        checked("srm", "all", "void", "other"),
    ]
    found = queries.health(snapshot_of(with_tables(experiment_health=rows)), "x")
    assert [(row["status"], row["check"], row["subject"]) for row in found] == [
        ("void", "srm", "all"),
        ("warning", "a", "z"),
        ("warning", "loss", "a"),
        ("warning", "loss", "b"),
        ("unknown", "a", "all"),
        ("info", "a", "all"),
        ("ok", "size", "all"),
    ]


def result(metric: str, arm: str, role: str, *, is_control: bool = False, experiment: str = "x") -> Cells:
    return {"experiment": experiment, "metric": metric, "arm": arm, "role": role, "is_control": is_control}


def test_primary_metrics_come_first_and_the_control_before_the_arms() -> None:
    rows = [
        result("a", "b", "guardrail"),
        result("a", "b", "secondary"),
        result("b", "b", "primary"),
        result("a", "c", "primary"),
        result("a", "b", "primary"),
        result("a", "z", "primary", is_control=True),
        result("a", "b", "primary", experiment="other"),
    ]
    found = queries.results(snapshot_of(with_tables(experiment_results=rows)), "x")
    assert [(row["role"], row["metric"], row["arm"]) for row in found] == [
        ("primary", "a", "z"),
        ("primary", "a", "b"),
        ("primary", "a", "c"),
        ("primary", "b", "b"),
        ("secondary", "a", "b"),
        ("guardrail", "a", "b"),
    ]


def exposure(user: str, arm: str, days: int, reason: str | None = None, experiment: str = "x") -> Cells:
    return {
        "experiment": experiment, "user_id": user, "arm": arm, "exposed_at": at(days), "arms_seen": 1,
        "reason_excluded": reason,
    }  # fmt: skip


EXPOSED = [
    exposure("a", "test", 3),
    exposure("b", "test", 2, "automated"),
    exposure("c", "test", 1),
    exposure("d", "control", 2),
    exposure("e", "control", 2),
    exposure("f", "control", 5, "several arms"),
    exposure("g", "control", 5, "several arms"),
    exposure("h", "test", 5, "arm not declared"),
    exposure("i", "control", 9, "automated", "other"),
    exposure("j", "control", 9, None, "other"),
]


def test_who_saw_an_arm_is_counted_by_arm_by_day_and_by_why_they_are_left_out() -> None:
    reader = snapshot_of(with_tables(experiment_exposures=EXPOSED))
    assert queries.arms(reader, "x") == [
        {"arm": "control", "people": 4, "included": 2, "first_at": at(5), "last_at": at(2)},
        {"arm": "test", "people": 4, "included": 2, "first_at": at(5), "last_at": at(1)},
    ]
    assert queries.left_out(reader, "x") == [
        {"reason": "several arms", "people": 2},
        {"reason": "arm not declared", "people": 1},
        {"reason": "automated", "people": 1},
    ]
    assert queries.exposures_by_day(reader, "x") == [
        {"event_date": ago(3), "arm": "test", "people": 1},
        {"event_date": ago(2), "arm": "control", "people": 2},
        {"event_date": ago(1), "arm": "test", "people": 1},
    ]


def test_one_experiment_is_told_whole() -> None:
    tables = with_tables(
        experiments=[experiment("x"), experiment("other")],
        experiment_exposures=EXPOSED,
        experiment_health=[checked("srm", "all", "ok")],
        experiment_results=[result("a", "b", "primary")],
    )
    reader = snapshot_of(tables)
    found = queries.whole(reader, "x")
    assert found == {
        **(queries.experiment(reader, "x") or {}),
        "exposures": queries.arms(reader, "x"),
        "left_out": queries.left_out(reader, "x"),
        "health": queries.health(reader, "x"),
        "results": queries.results(reader, "x"),
    }
    assert [len(found[name]) for name in ("exposures", "left_out", "health", "results")] == [2, 3, 1, 1]
    assert queries.whole(reader, "none") is None


@pytest.mark.parametrize("gone", [EXPERIMENTS, EXPOSURES, HEALTH, RESULTS])
def test_without_one_of_its_tables_nothing_is_told_of_experiments(gone: str) -> None:
    tables = with_tables(
        experiments=[experiment("x")],
        experiment_exposures=EXPOSED,
        experiment_health=[checked("srm", "all", "ok")],
        experiment_results=[result("a", "b", "primary")],
    )
    del tables[gone]
    reader = snapshot_of(tables)
    told: tuple[Callable[..., Any], ...] = (
        queries.health, queries.results, queries.arms, queries.left_out, queries.exposures_by_day,
    )  # fmt: skip
    assert queries.experiments(reader) == []
    assert [each(reader, "x") for each in told] == [[], [], [], [], []]


def test_deliveries_stand_the_newest_first() -> None:
    rows = [
        {"sync": sync, "batch": batch, "started_at": at(days), "status": "delivered"}
        for sync, batch, days in (("crm", "1", 2), ("crm", "3", 1), ("crm", "2", 1), ("a", "9", 1))
    ]
    found = queries.deliveries(snapshot_of({DELIVERIES: rows}))
    assert [(row["sync"], row["batch"]) for row in found] == [("a", "9"), ("crm", "2"), ("crm", "3"), ("crm", "1")]
    many = [{"sync": "crm", "batch": str(n), "started_at": at(1), "status": "delivered"} for n in range(1_001)]
    assert len(queries.deliveries(snapshot_of({DELIVERIES: many}))) == 1_000


def lift(feature: str, verdict: str, calibrated: float | None = None, outcome: str = "return_7d") -> Cells:
    return {"as_of_date": ago(0), "feature": feature, "outcome": outcome, "verdict": verdict, "calibrated": calibrated}


def test_lift_that_may_be_quoted_comes_first() -> None:
    associated = "associated (observational)"
    rows = [
        lift("a", "not measured"),
        lift("a", "not established"),
        lift("a", "suggestive (do not quote)"),
        lift("d", associated),
        lift("c", associated, 0.1),
        lift("b", associated, 0.1, "return_28d"),
        lift("b", associated, 0.1),
        lift("e", associated, 0.2),
        lift("z", "measured by experiment"),
    ]
    reader = snapshot_of({LIFT: rows})
    found = queries.lift(reader)
    assert [(row["feature"], row["outcome"], row["verdict"].split()[0]) for row in found] == [
        ("z", "return_7d", "measured"),
        ("e", "return_7d", "associated"),
        ("b", "return_28d", "associated"),
        ("b", "return_7d", "associated"),
        ("c", "return_7d", "associated"),
        ("d", "return_7d", "associated"),
        ("a", "return_7d", "suggestive"),
        ("a", "return_7d", "not"),
        ("a", "return_7d", "not"),
    ]
    assert [row["verdict"] for row in found[-2:]] == ["not established", "not measured"]
    assert "inputs_fingerprint" not in found[0]
    assert [row["outcome"] for row in queries.lift(reader, "b")] == ["return_28d", "return_7d"]


def test_crash_costs_are_told_by_outcome() -> None:
    rows = [{"as_of_date": ago(0), "outcome": outcome, "verdict": "not measured"} for outcome in ("b", "a")]
    found = queries.crash_costs(snapshot_of({COSTS: rows}))
    assert [row["outcome"] for row in found] == ["a", "b"]
    assert "inputs_fingerprint" not in found[0]


def test_grades_stand_by_week_the_model_before_its_baselines() -> None:
    rows = [
        {"as_of_date": ago(days), "candidate": candidate, "roc_auc": roc, "verdict": "ranks only"}
        for days, candidate, roc in (
            (9, "logistic", 0.9), (2, "recency", None), (2, "active_days", 0.7), (2, "recency_by_gap", 0.8),
            (2, "logistic", 0.6), (9, "recency", 0.7), (9, "active_days", 0.7),
        )
    ]  # fmt: skip
    found = queries.engagement_grades(snapshot_of({GRADES: rows}))
    assert [(row["as_of_date"], row["candidate"]) for row in found] == [
        (ago(2), "logistic"),
        (ago(2), "recency_by_gap"),
        (ago(2), "active_days"),
        (ago(2), "recency"),
        (ago(9), "logistic"),
        (ago(9), "active_days"),
        (ago(9), "recency"),
    ]


def test_bands_are_of_the_newest_week() -> None:
    rows = [
        {"as_of_date": ago(days), "user_id": f"u{n}", "p_churn": p, "band": band, "scored_by": "logistic"}
        for n, (days, band, p) in enumerate(
            ((2, "low", 0.1), (2, "high", 0.9), (2, "high", 0.7), (2, "middle", None), (9, "high", 0.5))
        )
    ]
    found = queries.engagement_bands(snapshot_of({SCORES: rows}))
    usual = {"as_of_date": ago(2), "scored_by": "logistic"}
    assert found == [
        usual | {"band": "high", "people": 2, "p_churn": pytest.approx(0.8)},
        usual | {"band": "middle", "people": 1, "p_churn": None},
        usual | {"band": "low", "people": 1, "p_churn": pytest.approx(0.1)},
    ]


def test_what_a_snapshot_lacks_is_nothing() -> None:
    told: tuple[Callable[..., Any], ...] = (
        queries.deliveries, queries.lift, queries.crash_costs, queries.engagement_grades, queries.engagement_bands,
    )  # fmt: skip
    reader = snapshot_of({})
    assert [each(reader) for each in told] == [[], [], [], [], []]
