"""The state of features, checks and assets, in one word, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from quality_assets.read.health import (
    CheckState,
    Status,
    check_state,
    feature_status,
    risk_status,
    state_of_worst,
    worst,
)

Row = dict[str, Any]


def _risk(probability: float | None, *, degraded: bool | None = False) -> Row:
    return {"risk_probability": probability, "is_degraded_today": degraded}


def _incident(severity: str) -> Row:
    return {"severity": severity}


WORSE: dict[str, Row] = {"crash_rate": {"is_worse": True}}
FINE: dict[str, Row] = {"crash_rate": {"is_worse": False}}


@pytest.mark.parametrize(
    ("incidents", "risk", "current", "status"),
    [
        ([_incident("critical")], None, {}, Status.CRITICAL),
        ([_incident("low"), _incident("high")], _risk(0.0), FINE, Status.CRITICAL),
        ([_incident("medium")], _risk(0.9), WORSE, Status.DEGRADED),
        ([_incident("low")], None, {}, Status.DEGRADED),
        ([], _risk(0.9, degraded=True), FINE, Status.DEGRADED),
        ([], _risk(0.0, degraded=True), FINE, Status.DEGRADED),
        ([], _risk(None, degraded=True), {}, Status.DEGRADED),
        ([], _risk(0.5), FINE, Status.AT_RISK),
        ([], _risk(0.9, degraded=None), WORSE, Status.AT_RISK),
        ([], _risk(0.4999), FINE, Status.WATCH),
        ([], _risk(0.25), FINE, Status.WATCH),
        ([], _risk(0.0), WORSE, Status.WATCH),
        ([], _risk(None), WORSE, Status.WATCH),
        ([], None, WORSE | {"error_rate": {"is_worse": None}}, Status.WATCH),
        ([], _risk(0.2499), FINE, Status.HEALTHY),
        ([], _risk(0.0), {}, Status.HEALTHY),
        ([], _risk(0.0), {"crash_rate": {"is_worse": None}}, Status.HEALTHY),
        ([], None, FINE, Status.HEALTHY),
        ([], _risk(None), FINE | {"error_rate": {"is_worse": None}}, Status.HEALTHY),
        ([], None, {"crash_rate": {"is_worse": None}}, Status.UNKNOWN),
        ([], _risk(None), {}, Status.UNKNOWN),
        ([], None, {}, Status.UNKNOWN),
        ([], None, {"events": {"is_worse": True}}, Status.UNKNOWN),
    ],
)
def test_what_is_detected_comes_before_what_is_predicted_and_both_before_the_unusual(
    incidents: list[Row], risk: Row | None, current: dict[str, Row], status: Status
) -> None:
    assert feature_status(incidents, risk, current) is status


@pytest.mark.parametrize("metric", ["latency_p95_ms", "crash_rate", "error_rate", "feedback_mean"])
def test_each_headline_metric_asks_for_attention(metric: str) -> None:
    assert feature_status([], None, {metric: {"is_worse": True}}) is Status.WATCH
    assert feature_status([], None, {metric: {"is_worse": False}}) is Status.HEALTHY


@pytest.mark.parametrize(
    ("probability", "status"),
    [
        (None, Status.UNKNOWN),
        (0.0, Status.HEALTHY),
        (0.2499, Status.HEALTHY),
        (0.25, Status.WATCH),
        (0.4999, Status.WATCH),
        (0.5, Status.AT_RISK),
        (1.0, Status.AT_RISK),
    ],
)
def test_the_bands_of_a_probability(probability: float | None, status: Status) -> None:
    assert risk_status(probability) is status


@pytest.mark.parametrize(
    ("status", "severity", "state"),
    [
        ("passed", "ERROR", CheckState.PASSING),
        ("passed", "WARN", CheckState.PASSING),
        ("failed", "ERROR", CheckState.FAILING),
        ("failed", "WARN", CheckState.WARNING),
        ("unknown", "ERROR", CheckState.UNKNOWN),
        ("unknown", "WARN", CheckState.UNKNOWN),
    ],
)
def test_the_state_of_a_check(status: str, severity: str, state: CheckState) -> None:
    assert check_state({"status": status, "severity": severity}) is state


def test_the_state_behind_the_worst_of_a_group() -> None:
    assert [state_of_worst(number) for number in (3, 2, 1, 0, None)] == [
        CheckState.FAILING,
        CheckState.WARNING,
        CheckState.UNKNOWN,
        CheckState.PASSING,
        CheckState.UNKNOWN,
    ]


def test_the_worst_of_states_is_unknown_before_passing() -> None:
    order = [CheckState.FAILING, CheckState.WARNING, CheckState.UNKNOWN, CheckState.PASSING]
    for index, state in enumerate(order):
        assert worst(reversed(order[index:])) is state
    assert worst([]) is CheckState.UNKNOWN


def test_states_are_called_what_addresses_and_styles_call_them() -> None:
    assert list(map(str, Status)) == ["critical", "degraded", "at_risk", "watch", "healthy", "unknown"]
    assert list(map(str, CheckState)) == ["failing", "warning", "unknown", "passing"]
