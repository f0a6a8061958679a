"""The state of features, checks and assets, in one word, case by case."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from quality_assets.domain.features.status import (
    Outlook,
    Status,
    feature_status,
    is_worse_total,
    outlook,
    risk_bands,
    risk_status,
    severe_incidents,
    users_affected,
)
from quality_assets.domain.quality.health import (
    CheckState,
    Trust,
    alarms,
    asset_trust,
    check_state,
    days_bad,
    days_behind,
    is_silent,
    is_stale,
    is_unusual_volume,
    needing_a_look,
    tally,
    trust,
    volume_change,
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
        ([_incident("low"), _incident("critical")], _risk(0.0), FINE, Status.CRITICAL),
        # Its alert says high: only what is critical is called so.
        ([_incident("low"), _incident("high")], _risk(0.0), FINE, Status.DEGRADED),
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


def _result(name: str, status: str, severity: str = "ERROR", *, blocking: bool = False, asset: str = "a") -> Row:
    return {"asset": asset, "check_name": name, "status": status, "severity": severity, "is_blocking": blocking}


RESULTS = [
    _result("fine", "passed"),
    _result("odd", "unknown", blocking=True),
    _result("warned", "failed", "WARN"),
    _result("late", "failed"),
    _result("wrong", "failed", blocking=True, asset="b"),
    _result("early", "failed"),
]


def test_results_are_counted_by_state_and_what_could_not_run_is_no_alarm() -> None:
    assert tally(RESULTS) == (3, 1, 1, 1)
    assert alarms(RESULTS) == 4
    assert tally([]) == (0, 0, 0, 0)


def test_what_needs_a_look_goes_by_state_then_blocking_then_name() -> None:
    assert [row["check_name"] for row in needing_a_look(RESULTS)] == ["wrong", "early", "late", "warned", "odd"]


@pytest.mark.parametrize(
    ("worsts", "days"), [([], 1), ([0], 1), ([3, 0], 1), ([0, 3], 1), ([3, 0, 1, 2], 2), ([3, 3, 3], 3)]
)
def test_for_how_many_days_a_check_has_been_bad(worsts: list[int], days: int) -> None:
    assert days_bad(worsts) == days


def _counts(failed: int = 0, errors: int = 0, unknown: int = 0) -> Row:
    return {"failed": failed, "errors": errors, "unknown": unknown}


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({"a": _counts(), "b": _counts()}, Trust(CheckState.PASSING, 0)),
        ({"a": _counts(failed=3, errors=2), "b": _counts(failed=1, errors=1)}, Trust(CheckState.FAILING, 3)),
        ({"a": _counts(failed=3), "b": _counts(unknown=9)}, Trust(CheckState.WARNING, 3)),
        ({"a": _counts(unknown=9), "b": _counts()}, Trust(CheckState.UNKNOWN, 1)),
        ({"a": _counts(unknown=9)}, Trust(CheckState.UNKNOWN, 2)),
    ],
)
def test_numbers_are_trusted_as_far_as_their_checks_were_asked(found: dict[str, Row], verdict: Trust) -> None:
    assert trust(found, ("a", "b")) == verdict


def test_an_asset_is_trusted_by_its_results() -> None:
    assert asset_trust(None) is CheckState.UNKNOWN
    assert asset_trust(_counts()) is CheckState.PASSING
    assert asset_trust(_counts(unknown=1)) is CheckState.UNKNOWN
    assert asset_trust(_counts(failed=1, unknown=1)) is CheckState.WARNING
    assert asset_trust(_counts(failed=2, errors=1)) is CheckState.FAILING


def test_rows_are_unusual_from_three_tenths_on_and_fewer_refusals_never() -> None:
    assert volume_change(130, 100.0) == pytest.approx(0.3)
    assert volume_change(130, 0) is None
    assert volume_change(130, None) is None
    assert [is_unusual_volume(change) for change in (None, 0.3, -0.3, 0.31, -0.31)] == [False, False, False, True, True]
    assert not is_unusual_volume(-0.9, is_less_welcome=True)
    assert is_unusual_volume(0.9, is_less_welcome=True)


def test_data_are_silent_after_two_days_and_snapshots_stale_after_a_day_and_a_half() -> None:
    today = date(2026, 3, 31)
    assert [is_silent(today - timedelta(days=days), today) for days in (0, 2, 3)] == [False, False, True]
    assert not is_silent(None, today)
    noon = datetime(2026, 3, 31, 12)
    assert not is_stale(noon - timedelta(hours=36), noon)
    assert is_stale(noon - timedelta(hours=36, seconds=1), noon)
    assert days_behind(date(2026, 3, 28), today) == 3
    assert days_behind(date(2026, 4, 2), today) == 0


def test_that_it_passes_is_said_only_where_it_was_right() -> None:
    assert [outlook(0.1, was_right) for was_right in (None, 0.79, 0.8)] == [
        Outlook.UNKNOWN,
        Outlook.UNKNOWN,
        Outlook.PASSES,
    ]
    assert outlook(0.5, None) == Outlook.LASTS


def test_what_is_degraded_lasts_passes_or_is_undecided_by_its_risk() -> None:
    assert [outlook(risk, was_right=0.8) for risk in (None, 0.0, 0.25, 0.5)] == [
        Outlook.UNKNOWN,
        Outlook.PASSES,
        Outlook.UNDECIDED,
        Outlook.LASTS,
    ]
    assert risk_bands() == [(Status.HEALTHY, 0, 0.25), (Status.WATCH, 0.25, 0.5), (Status.AT_RISK, 0.5, 1)]


def test_users_who_are_hit_come_before_those_expected_to_be() -> None:
    hit: list[Row] = [{"affected_users": 30}, {"affected_users": None}, {"affected_users": 20}]
    assert users_affected(hit, {"expected_users_affected": 500.0}) == 30
    assert users_affected(hit[1:2], {"expected_users_affected": 500.0}) == 500
    assert users_affected([], None) is None
    assert severe_incidents([_incident("critical"), _incident("high"), _incident("medium")]) == 2


def test_a_total_moves_beyond_three_in_a_hundred() -> None:
    assert [is_worse_total(change) for change in (None, 0.03, -0.03, 0.031, -0.031)] == [None, None, None, True, False]


def test_the_worst_of_states_is_unknown_before_passing() -> None:
    order = [CheckState.FAILING, CheckState.WARNING, CheckState.UNKNOWN, CheckState.PASSING]
    for index, state in enumerate(order):
        assert worst(reversed(order[index:])) is state
    assert worst([]) is CheckState.UNKNOWN


def test_states_are_called_what_addresses_and_styles_call_them() -> None:
    assert list(map(str, Status)) == ["critical", "degraded", "at_risk", "watch", "healthy", "unknown"]
    assert list(map(str, CheckState)) == ["failing", "warning", "unknown", "passing"]
