"""The life of an alert and what is told of it: each change whole, word by word, at the edges of time and severity."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from quality_assets.domain.quality.alerting import (
    OF_CHECKS,
    AlertError,
    AlertPolicy,
    Change,
    Fault,
    acknowledged,
    fingerprint_of,
    first_row,
    group_of,
    hashed,
    is_mostly_wrong,
    may_reopen,
    one_worse,
    passed,
    rank,
    reopened,
    resolved,
    seen_again,
    silences,
    snoozed,
    takes,
)
from quality_assets.domain.quality.health import CheckState, asset_states
from quality_assets.domain.quality.messages import document_of, figure_of, once, slack_of, text_of, title_of, worst

NOW = datetime(2026, 3, 2, 12, 30)
HOUR = timedelta(hours=1)
FAULT = Fault(
    "check", "core.t", "T", "M", "medium", "c", "col", "Do it.", "g", "run-2", "2026-03-01", "run-2", "b1", "ann",
    1.0, 2.0, 3.0, 4, 5, evidence={"k": 1},
)  # fmt: skip
AS_FOUND = {
    "title": "T", "message": "M", "action": "Do it.", "partition_key": "2026-03-01", "run_id": "run-2",
    "batch_id": "b1", "observed": 1.0, "expected": 2.0, "threshold": 3.0, "n": 4, "users": 5, "evaluation": "run-2",
    "evidence": {"k": 1}, "owner": "ann",
}  # fmt: skip
ROW: dict[str, Any] = {
    "evaluation": "run-1", "occurrences": 3, "severity": "medium", "reopened": 2, "passes": 0, "status": "open",
    "resolved_at": None, "acknowledged_by": None, "assignee": None,
}  # fmt: skip


# --- Faults -----------------------------------------------------------------------------------------------------------


def test_a_fault_names_its_kind_and_subject_and_how_bad_it_is() -> None:
    for wrong in ({"kind": " "}, {"subject": ""}):
        with pytest.raises(ValueError, match="an alert names its kind and its subject: without them strangers would"):
            replace(FAULT, **wrong)
    with pytest.raises(ValueError, match="severity 'grave' is none of low, medium, high, critical"):
        replace(FAULT, severity="grave")


def test_what_makes_two_faults_one() -> None:
    assert FAULT.fingerprint == fingerprint_of("check", "core.t", "c", "col")
    assert fingerprint_of("check", "core.t") == hashed("check", "core.t", "any check", "any column")
    assert len({fingerprint_of("k", "s", *more) for more in ((), ("c",), ("", "c"), ("c", "d"))}) == 4
    assert hashed("ab", "c") != hashed("a", "bc")
    # Sixteen digits of SHA-256 of "abc".
    assert hashed("abc") == "ba7816bf8f01cfea"
    assert FAULT.group_id == hashed("group", "g")
    assert replace(FAULT, group="").group_id == hashed("group", "core.t")


def test_severities_in_order() -> None:
    assert [rank(name) for name in ("low", "medium", "high", "critical")] == [0, 1, 2, 3]
    assert [one_worse(name) for name in ("low", "medium", "high", "critical")] == [
        "medium", "high", "critical", "critical",
    ]  # fmt: skip
    assert OF_CHECKS == {
        ("ERROR", True): "critical", ("ERROR", False): "high", ("WARN", True): "medium", ("WARN", False): "medium",
    }  # fmt: skip


def test_each_attempt_waits_twice_as_long() -> None:
    policy = AlertPolicy()
    assert [policy.retry_after(n).total_seconds() for n in (1, 2, 3, 5)] == [30, 60, 120, 480]
    assert AlertPolicy(retry_first_s=5).retry_after(2) == timedelta(seconds=10)
    assert policy == AlertPolicy(2, 24.0, 30.0, 24.0, 7.0, 24.0, 5, 30.0)


def test_the_first_row_of_an_alert() -> None:
    assert first_row(FAULT, NOW, "before") == AS_FOUND | {
        "fingerprint": FAULT.fingerprint, "group_id": FAULT.group_id, "kind": "check", "subject": "core.t",
        "check_name": "c", "column_name": "col", "severity": "medium", "status": "open", "occurrences": 1,
        "passes": 0, "reopened": 0, "first_seen": NOW, "opened_at": NOW, "last_seen": NOW,
        "previous_alert_id": "before", "version": 1,
    }  # fmt: skip
    assert first_row(replace(FAULT, owner=""), NOW, None)["owner"] == ""


# --- What happens to it -----------------------------------------------------------------------------------------------


def test_what_is_found_again_counts_once_a_run() -> None:
    values = AS_FOUND | {"last_seen": NOW, "passes": 0, "severity": "medium"}
    assert seen_again(ROW, FAULT, NOW) == Change(values | {"occurrences": 4}, "seen")
    assert seen_again(ROW | {"evaluation": "run-2"}, FAULT, NOW) == Change(values, "seen")
    by_hand = seen_again(ROW | {"evaluation": ""}, replace(FAULT, evaluation=""), NOW)
    assert by_hand.values["occurrences"] == 4
    assert "owner" not in seen_again(ROW, replace(FAULT, owner=""), NOW).values


def test_what_got_worse_is_open_again_and_told() -> None:
    worse = seen_again(ROW, replace(FAULT, severity="high"), NOW)
    assert worse == Change(
        AS_FOUND
        | {"last_seen": NOW, "passes": 0, "occurrences": 4, "severity": "high", "status": "open"}
        | {"acknowledged_at": None, "acknowledged_by": None},
        "worse",
        "worse:high:2",
        "from medium to high",
    )


def test_what_is_less_bad_stays_who_has_it_and_is_told() -> None:
    values = AS_FOUND | {"last_seen": NOW, "passes": 0, "occurrences": 4, "severity": "low"}
    milder = seen_again(ROW, replace(FAULT, severity="low"), NOW)
    assert milder == Change(values, "milder", "milder:low:2", "from medium to low")


def test_a_resolved_alert_comes_back_within_a_day() -> None:
    policy = AlertPolicy()
    row = ROW | {"kind": "check", "resolution": "auto"}
    assert may_reopen(row | {"resolved_at": NOW - 24 * HOUR}, NOW, policy)
    assert not may_reopen(row | {"resolved_at": NOW - 24 * HOUR - timedelta(seconds=1)}, NOW, policy)
    assert not may_reopen(row, NOW, policy)
    # What taught stays as it was; of a run nothing was learnt.
    taught = row | {"resolved_at": NOW - HOUR, "resolution": "expected"}
    assert not may_reopen(taught, NOW, policy)
    assert may_reopen(taught | {"kind": "run"}, NOW, policy)


def test_a_reopened_alert_is_as_new_but_for_its_history() -> None:
    values = {
        "status": "open", "reopened": 3, "opened_at": NOW, "passes": 0, "resolved_at": None, "resolution": None,
        "acknowledged_at": None, "acknowledged_by": None, "snoozed_until": None,
    }  # fmt: skip
    assert reopened(ROW, None, NOW) == Change(values, "reopened", "reopened:3")
    more = AS_FOUND | {"severity": "medium", "last_seen": NOW, "occurrences": 4}
    assert reopened(ROW, FAULT, NOW) == Change(values | more, "reopened", "reopened:3")


def test_an_alert_is_over_when_it_passed_twice() -> None:
    policy = AlertPolicy()
    assert passed(ROW, "run-1", NOW, policy) is None
    assert passed(ROW, "run-2", NOW, policy) == Change({"passes": 1, "evaluation": "run-2"}, "passed")
    over = {"status": "resolved", "resolved_at": NOW, "resolution": "auto", "snoozed_until": None}
    assert passed(ROW | {"passes": 1}, "run-2", NOW, policy) == Change(
        over | {"passes": 2, "evaluation": "run-2"}, "resolved", "resolved:2", "It passed 2 times in a row."
    )
    at_once = passed(ROW, "run-2", NOW, AlertPolicy(passes_to_resolve=1))
    assert at_once == Change(over | {"passes": 1, "evaluation": "run-2"}, "resolved", "resolved:2", "It passed.")
    assert passed(ROW | {"evaluation": ""}, "", NOW, policy) is not None


def test_an_alert_is_resolved_once_and_in_known_words() -> None:
    assert resolved(ROW, "fixed", NOW) == Change(
        {"status": "resolved", "resolved_at": NOW, "resolution": "fixed", "snoozed_until": None},
        "resolved",
        "resolved:2",
    )
    with pytest.raises(AlertError, match="resolution 'gone' is none of fixed, expected, false_alarm, duplicate, auto"):
        resolved(ROW, "gone", NOW)
    with pytest.raises(AlertError, match=r"^The alert is resolved already\.$"):
        resolved(ROW | {"status": "resolved"}, "fixed", NOW)


def test_who_acknowledges_an_alert_has_it() -> None:
    values = {"status": "acknowledged", "acknowledged_at": NOW, "acknowledged_by": "ann"}
    assert acknowledged(ROW, "ann", NOW) == Change(values | {"assignee": "ann"}, "acknowledged")
    assert acknowledged(ROW | {"assignee": "bob"}, "ann", NOW) == Change(values, "acknowledged")
    with pytest.raises(AlertError, match=r"^The alert is resolved; reopen it first\.$"):
        acknowledged(ROW | {"status": "resolved"}, "ann", NOW)
    with pytest.raises(AlertError, match=r"^bob has acknowledged it already\.$"):
        acknowledged(ROW | {"status": "acknowledged", "acknowledged_by": "bob"}, "ann", NOW)


def test_an_alert_is_snoozed_until_a_time_to_come() -> None:
    later = NOW + timedelta(minutes=1)
    assert snoozed(ROW, later, NOW) == Change({"snoozed_until": later}, "snoozed", None, "until 2026-03-02 12:31 UTC")
    with pytest.raises(AlertError, match=r"^2026-03-02 12:30 UTC is past; snooze until a time to come\.$"):
        snoozed(ROW, NOW, NOW)
    with pytest.raises(AlertError, match=r"^The alert is resolved; there is nothing to snooze\.$"):
        snoozed(ROW | {"status": "resolved"}, later, NOW)


# --- Who is told ------------------------------------------------------------------------------------------------------

ALERT: dict[str, Any] = {"severity": "medium", "kind": "check", "subject": "core.t", "fingerprint": "f"}


@pytest.mark.parametrize(
    ("route", "is_taken"),
    [
        ({}, True),
        ({"severity": "medium"}, True),
        ({"severity": "high"}, False),
        ({"severity": None, "kinds": ["run", "check"]}, True),
        ({"kinds": ["run"]}, False),
        ({"subjects": ["product.*", "core.*"]}, True),
        ({"subjects": ["product.*"]}, False),
        ({"teams": ["data", "web"]}, True),
        ({"teams": ["web"]}, False),
        ({"teams": ["team:data"]}, True),
        ({"kinds": ["check"], "subjects": ["core.*"], "teams": ["data"], "severity": "low"}, True),
        ({"kinds": ["check"], "subjects": ["x"], "teams": ["data"]}, False),
    ],
)
def test_what_a_route_wants(route: dict[str, Any], is_taken: bool) -> None:
    assert takes(route, ALERT, ["data"]) is is_taken


def test_nobody_is_of_no_team() -> None:
    assert not takes({"teams": ["web"]}, ALERT)
    assert takes({"teams": []}, ALERT)


@pytest.mark.parametrize(
    ("raised", "share", "is_wrong"), [(4, 0.51, True), (3, 1.0, False), (4, 0.5, False), (9, 0.6, True)]
)
def test_a_rule_is_mostly_wrong_of_four(raised: int, share: float, is_wrong: bool) -> None:
    assert is_mostly_wrong({"raised": raised, "false_share": share}) is is_wrong


SILENCE: dict[str, Any] = {
    "starts_at": NOW, "ends_at": NOW + HOUR, "most_severity": None, "subject": None, "kind": None, "fingerprint": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "minutes", "is_silent"),
    [
        ({}, 0, True),
        ({}, -1, False),
        ({}, 59, True),
        ({}, 60, False),
        ({"most_severity": "medium"}, 0, True),
        ({"most_severity": "low"}, 0, False),
        ({"most_severity": "high"}, 0, True),
        ({"subject": "core.*"}, 0, True),
        ({"subject": "ml.*"}, 0, False),
        ({"kind": "check"}, 0, True),
        ({"kind": "run"}, 0, False),
        ({"fingerprint": "f"}, 0, True),
        ({"fingerprint": "g", "kind": "check"}, 0, False),
    ],
)
def test_what_a_silence_covers(given: dict[str, Any], minutes: int, is_silent: bool) -> None:
    assert silences(SILENCE | given, ALERT, NOW + timedelta(minutes=minutes)) is is_silent


# --- What they are told -----------------------------------------------------------------------------------------------


def _alert(number: int = 1, **given: Any) -> dict[str, Any]:
    names = ("fingerprint", "group_id", "kind", "check_name", "column_name", "status", "run_id")
    return {
        **{name: f"{name}-{number}" for name in names},
        "alert_id": f"a{number}", "subject": f"s{number}", "title": f"T{number}", "message": f"M{number}.",
        "severity": "high", "occurrences": 2, "assignee": None, "owner": "ann", "resolution": None,
        "partition_key": "", "batch_id": None, "observed": None, "expected": None, "threshold": None, "n": None,
        "users": None, "action": "Mend it.", "first_seen": NOW, **given,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("transition", "title"),
    [
        ("opened", "[high] T1"),
        ("worse:high:0", "[high] Got worse: T1"),
        ("milder:high:0", "[high] Less bad now: T1"),
        ("reopened:1", "[high] Fails again: T1"),
        ("resolved:0", "[high] Resolved: T1"),
        ("reminder:1", "[high] Still failing: T1"),
        ("escalated", "[high] Nobody has answered: T1"),
        ("snooze_over", "[high] Still failing after its snooze: T1"),
        ("acknowledgement_over", "[high] Acknowledged long ago and still failing: T1"),
    ],
)
def test_the_title_of_one_alert(transition: str, title: str) -> None:
    assert title_of([(transition, _alert())]) == title


def test_the_title_of_several() -> None:
    one, other = _alert(severity="low", kind="check"), _alert(2, severity="critical", kind="check")
    assert title_of([("reopened:1", one), ("reopened:2", other)]) == (
        "[critical] Fails again: 2 alerts about s1 and what is made from it"
    )
    assert title_of([("opened", one), ("reopened:2", _alert(3, subject="s1"))]) == "[high] 2 alerts about s1"
    incidents = [("opened:0", _alert(n, kind="incident")) for n in range(3)]
    assert title_of(incidents) == "[high] 3 alerts about s0 and 2 others"
    assert title_of([("resolved:0", other), ("opened:0", _alert(3))]) == "[high] T3; 1 resolved"
    assert title_of([("resolved:0", other), ("resolved:1", one)]) == (
        "[critical] Resolved: 2 alerts about s2 and what is made from it"
    )
    assert worst([("opened", other), ("opened", one)]) == "critical"


def test_the_text_of_one_alert() -> None:
    bare = _alert()
    assert text_of([("opened", bare)], "http://x") == "M1.\nOwner: ann\nDo: Mend it.\nhttp://x/alerts/a1\n"
    full = _alert(
        observed=1234.5, expected=0.0, threshold=2.0, n=7, users=3, batch_id="b", partition_key="2026-03-01",
        assignee="bob", resolution="fixed",
    )  # fmt: skip
    assert text_of([("resolved:1", full)], "http://x") == (
        "M1.\nSeen: observed 1,234.5, expected 0, threshold 2, n 7, users 3\nOf: 2026-03-01\nOwner: ann\n"
        "Assigned to: bob\nResolved: fixed\nhttp://x/alerts/a1\n"
    )
    large = _alert(observed=-12345678.4, n=1234567, users=2345678, resolution="auto")
    assert text_of([("resolved:0", large)], "http://x") == (
        "M1.\nSeen: observed −12,345,678, n 1,234,567, users 2,345,678\nOwner: ann\n"
        "Resolved: by itself: it is no longer found\nhttp://x/alerts/a1\n"
    )
    known = _alert(told_severity="critical")
    assert text_of([("reopened:1", known)], "http://x") == (
        "M1.\nSeverity: high; it was critical when this was told last\nOwner: ann\nDo: Mend it.\nhttp://x/alerts/a1\n"
    )
    assert "Severity" not in text_of([("reopened:1", _alert(told_severity="high"))], "http://x")
    assert "Resolved" not in text_of([("opened", full)], "http://x")
    assert "\nOf: b\n" in text_of([("opened", full | {"partition_key": ""})], "http://x")


def test_a_message_tells_of_each_alert_once() -> None:
    one, other = _alert(), _alert(2)
    assert once([("opened:0", one), ("opened:0", other), ("worse:high:0", one)]) == [
        ("opened:0", one),
        ("opened:0", other),
    ]
    assert once([("reminder:0:7", one), ("acknowledgement_over:2", one)]) == [("acknowledgement_over:2", one)]
    assert once([("reminder:0:1", one), ("escalated:0", one)]) == [("escalated:0", one)]


def test_what_failed_furthest_upstream_stands_first() -> None:
    root = _alert(2, group_id=group_of("s2"))
    assert [each["alert_id"] for _, each in once([("reminder:0:1", _alert()), ("reminder:0:1", root)])] == ["a2", "a1"]


def test_who_hears_of_an_end_hears_what_is_open_still() -> None:
    assert text_of([("resolved:0", _alert())], "", 1).startswith("1 alert of the same cause is open still.\n\nM1.")
    two = text_of([("resolved:0", _alert()), ("opened:0", _alert(2))], "", 2)
    assert two.startswith("2 alerts of the same cause were told before.\n")


def test_the_text_of_several() -> None:
    told = text_of([("opened", _alert()), ("worse:high:1", _alert(2, owner="", action=""))], "http://x", 1)
    assert told == (
        "1 alert of the same cause was told before.\n\n"
        "[high] T1\nM1.\nOwner: ann\nDo: Mend it.\nhttp://x/alerts/a1\n\n"
        "[high] Got worse: T2\nM2.\nhttp://x/alerts/a2\n"
    )
    assert text_of([("opened", _alert())], "", 2).startswith("2 alerts of the same cause were told before.\n\nM1.")
    many = text_of([("opened", _alert(n)) for n in range(22)], "http://x")
    assert many.endswith("http://x/alerts/a19\n\nand 2 more: http://x/alerts\n")
    twenty = text_of([("opened", _alert(n)) for n in range(20)], "http://x")
    assert twenty.endswith("http://x/alerts/a19\n")


def test_the_message_as_json() -> None:
    alert = _alert(observed=1.5)
    told = document_of([("worse:high:1", alert)], "http://x", NOW, "d1")
    names = (
        "alert_id", "fingerprint", "group_id", "kind", "subject", "check_name", "column_name", "title", "message",
        "severity", "status", "occurrences", "assignee", "owner", "resolution", "partition_key", "run_id", "batch_id",
        "observed", "expected", "threshold", "n", "users", "action",
    )  # fmt: skip
    more = {"transition": "worse", "url": "http://x/alerts/a1", "first_seen": "2026-03-02T12:30:00Z"}
    assert told == {
        "delivery": "d1",
        "sent_at": "2026-03-02T12:30:00Z",
        "title": "[high] Got worse: T1",
        "text": "M1.\nSeen: observed 1.5\nOwner: ann\nDo: Mend it.\nhttp://x/alerts/a1\n",
        "alerts": [{name: alert[name] for name in names} | more],
    }


def test_what_data_say_is_text_in_a_chat() -> None:
    alert = _alert(title="<!channel> & co", message="<b>", action="", owner="")
    assert slack_of([("opened", alert)], "http://x", 1) == {
        "text": "*[high] &lt;!channel&gt; &amp; co*\n1 alert of the same cause was told before.\n\n&lt;b&gt;\n"
        "http://x/alerts/a1\n"
    }


# --- The state of assets ----------------------------------------------------------------------------------------------

DAY = NOW.date()


def _asset(
    *results: tuple[str, str], run: str | None = "success", last_days_ago: int | None = None, partitioned: bool = True,
    schema: str = "core",
) -> tuple[CheckState, str]:  # fmt: skip
    row = {"asset": "a", "is_partitioned": partitioned, "schema": schema}
    given = [{"asset": "a", "status": status, "severity": severity} for status, severity in results]
    others = [{"asset": "b", "status": "failed", "severity": "ERROR"}]
    partitions = {} if last_days_ago is None else {"a": {"last_date": DAY - timedelta(days=last_days_ago)}}
    runs = {} if run is None else {"a": {"status": run}}
    return asset_states([row], given + others, runs, partitions, DAY)["a"]


def test_the_state_of_an_asset_and_why() -> None:
    failed, warned, unknown, fine = ("failed", "ERROR"), ("failed", "WARN"), ("unknown", "WARN"), ("passed", "ERROR")
    assert _asset(failed, run="failure") == (CheckState.FAILING, "last run failed")
    assert _asset(failed, failed, warned, last_days_ago=2) == (CheckState.FAILING, "2 checks failing")
    assert _asset(warned, fine, last_days_ago=1) == (CheckState.WARNING, "1 day behind")
    assert _asset(warned, unknown, last_days_ago=0) == (CheckState.WARNING, "1 warning")
    assert _asset(warned, warned, last_days_ago=9, partitioned=False) == (CheckState.WARNING, "2 warnings")
    assert _asset(unknown, fine) == (CheckState.UNKNOWN, "1 check could not be answered")
    assert _asset(fine, fine, run="materialized") == (CheckState.PASSING, "2 checks passed")
    assert _asset(run=None, schema="publish") == (CheckState.UNKNOWN, "after publication")
    assert _asset(schema="publish") == (CheckState.UNKNOWN, "ran, not checked")
    assert _asset(run=None) == (CheckState.UNKNOWN, "not recorded")
    assert _asset(run="SUCCESS") == _asset(run="succeeded") == (CheckState.UNKNOWN, "ran, not checked")
    row = {"asset": "a", "is_partitioned": True, "schema": "core"}
    fine_before = [{"asset": "a", "status": "passed", "severity": "ERROR"}]
    fails = asset_states([row], fine_before, {"a": {"status": "success"}}, {}, DAY, unbuilt={"a"})
    assert fails == {"a": (CheckState.FAILING, "could not be built")}, "whatever the snapshot says of before"
    late = {"a": {"last_date": DAY - timedelta(days=3)}}
    assert asset_states([row], [], {}, late, None) == {"a": (CheckState.UNKNOWN, "not recorded")}
    assert asset_states([row], [], {}, late, DAY) == {"a": (CheckState.WARNING, "3 days behind")}


@pytest.mark.parametrize(
    ("kind", "unit", "observed", "threshold", "said"),
    [
        ("incident", "ms", 320.1, None, "320 ms"),
        ("incident", "fraction", 0.1556, None, "16 %"),
        ("check", "fraction", 0.0762, 0.05, "7.6 %"),
        # Rounding makes no miss a hit.
        ("check", "fraction", 0.10004, 0.1, "10.004 %"),
        ("check", "feature", 1.0, 0.0, "1 feature"),
        ("check", "", 0.0762144, 0.05, "0.076"),
        ("check", None, 0.0762144, 0.05, "0.0762144"),
    ],
)
def test_what_was_measured_is_said_in_its_unit(
    kind: str, unit: str | None, observed: float, threshold: float | None, said: str
) -> None:
    evidence = {} if unit is None else {"unit": unit}
    alert = {"kind": kind, "observed": observed, "threshold": threshold, "n": 1234, "evidence": evidence}
    assert figure_of(alert, "observed") == said
    assert figure_of(alert, "n") == "1,234"
