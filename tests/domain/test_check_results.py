"""What a check may be, what becomes of its answers, and what a score is of results, on worked cases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_assets.contracts.events import EVENT_COLUMNS, RAW_LOGS, VALID_EVENTS, Reason
from quality_assets.contracts.ml import RISK_SCORES
from quality_assets.domain.quality.check import Answer, Check, Expectation, Subject, subject_of
from quality_assets.domain.quality.expectations import expectation_checks
from quality_assets.domain.quality.result import CheckResult, result_of
from quality_assets.domain.quality.score import TelemetryScore, doubted_cells, telemetry_score

ENDPOINT = Subject("endpoint", "serve.predict")
CHECK = Check(
    ENDPOINT,
    "answers",
    "Does it answer?",
    "timeliness",
    answer=lambda _: Answer(True),
    severity="WARN",
    finding="{observed} of {threshold} went unanswered",
    unit="request",
    remedy="Start it again.",
    needs="nobody has asked",
)
EXPECTED = Expectation("a_not_null", "a", "not_null", {}, "completeness")


def test_a_subject_has_partitions_where_its_table_is_built_by_date() -> None:
    assert subject_of(VALID_EVENTS) == Subject("table", "core.valid_events", "event_date")
    # Both have a column of dates, and are written as a whole.
    assert subject_of(RAW_LOGS) == Subject("table", "raw.raw_logs", None)
    assert subject_of(RISK_SCORES) == Subject("table", "ml.risk_scores", None)


@pytest.mark.parametrize(
    "ways",
    [
        {},
        {"sql": "select 1", "answer": lambda _: Answer(True)},
        {"sql": "select 1", "expectations": (EXPECTED,)},
        {"answer": lambda _: Answer(True), "expectations": (EXPECTED,)},
    ],
)
def test_a_check_is_answered_in_exactly_one_way(ways: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"serve.predict: answers must be answered by one of"):
        Check(ENDPOINT, "answers", "Does it answer?", "timeliness", **ways)


def test_what_is_named_ends_no_sentence_and_a_name_of_dots_stays_one() -> None:
    found = result_of(CHECK, Answer(False, 3.0, 5.0, 3, ["Acme Inc.", "..", "a.b"]), "")
    assert found.description == "3 requests of 5 requests went unanswered: Acme Inc; ..; a.b. Start it again."


def test_an_answer_becomes_a_result_with_all_that_its_check_says() -> None:
    found = result_of(CHECK, Answer(False, 3.0, 5.0, 3, ["one", "two"]), "2026-01-02")
    assert found == CheckResult(
        asset="serve.predict",
        check_name="answers",
        partition_key="2026-01-02",
        dimension="timeliness",
        status="failed",
        severity="WARN",
        is_blocking=False,
        observed=3.0,
        threshold=5.0,
        unexpected_count=3,
        description="3 requests of 5 requests went unanswered: one; two; and 1 more. Start it again.",
        examples='["one", "two"]',
    )


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (Answer(True), "passed", "Does it answer? Yes."),
        (Answer(None), "unknown", "Does it answer? Unknown: nobody has asked."),
        (Answer(None, why="there is no server."), "unknown", "Does it answer? Unknown: there is no server."),
        (Answer(True, why="at once."), "passed", "Does it answer? Yes: at once."),
        (Answer(False, why="it is gone."), "failed", "Does it answer? No: it is gone. Start it again."),
        (Answer(False, 1.0, 2.0, 1), "failed", "1 request of 2 requests went unanswered. Start it again."),
        (Answer(False, statement="Nothing came. Wait."), "failed", "Nothing came. Wait."),
    ],
)
def test_what_was_found_is_said_in_a_sentence(answer: Answer, status: str, text: str) -> None:
    found = result_of(CHECK, answer)
    assert (found.partition_key, found.status, found.description, found.examples) == ("", status, text, None)


def test_an_answer_that_knows_better_overrules_its_check_and_json_stays_as_it_is() -> None:
    found = result_of(CHECK, Answer(False, examples='["ü",1]', statement="No.", severity="ERROR", is_blocking=True))
    assert (found.severity, found.is_blocking, found.examples) == ("ERROR", True, '["ü",1]')
    assert result_of(CHECK, Answer(False, examples=["ü"], statement="No.")).examples == '["ü"]'


def test_a_suite_is_a_check_a_dimension_that_blocks_where_one_of_it_does() -> None:
    mild = Expectation("b_in_set", "b", "in_set", {"allowed": ("x",)}, "validity", "WARN", is_blocking=False)
    strict = Expectation("c_not_null", "c", "not_null", {}, "completeness", is_blocking=False)
    checks = expectation_checks(VALID_EVENTS, (EXPECTED, mild, strict))
    assert [(c.subject.name, c.name, c.dimension, c.is_blocking, c.expectations) for c in checks] == [
        ("core.valid_events", "expectations_completeness", "completeness", True, (EXPECTED, strict)),
        ("core.valid_events", "expectations_validity", "validity", False, (mild,)),
    ]


# --- The score --------------------------------------------------------------------------------------------------------

N = len(EVENT_COLUMNS)


def test_the_score_of_events_is_the_share_of_cells_that_nothing_doubts() -> None:
    refused = {"missing_feature": 3, "invalid_status": 2, "malformed_row": 1, "duplicate_event_id": 2}
    found = telemetry_score(100, refused)
    copies = 0.9 * N * 2
    assert found.by_dimension == {
        "completeness": pytest.approx(1 - 3 / (100 * N)),
        "validity": pytest.approx(1 - (2 + N) / (100 * N)),
        "uniqueness": pytest.approx(1 - copies / (100 * N)),
    }
    assert found.value == pytest.approx(1 - (3 + 2 + N + copies) / (100 * N))


def test_where_nothing_came_there_is_no_score_and_where_all_is_well_it_is_one() -> None:
    assert telemetry_score(0, {}) == TelemetryScore(None, dict.fromkeys(("completeness", "validity", "uniqueness")))
    assert telemetry_score(7, {}).value == 1.0
    assert telemetry_score(1, {"nul_byte": 1, "missing_status": 1}).value == 0.0


@given(st.integers(1, 1000), st.dictionaries(st.sampled_from(list(map(str, Reason))), st.integers(0, 300)))
def test_one_more_refused_row_never_raises_the_score(rows: int, refused: dict[str, int]) -> None:
    before = telemetry_score(rows, refused).value
    assert before is not None
    for reason in map(str, Reason):
        after = telemetry_score(rows, refused | {reason: refused.get(reason, 0) + 1}).value
        assert after is not None
        assert 0 <= after <= before <= 1


def test_every_reason_is_weighed() -> None:
    cells = {str(reason): doubted_cells(reason)[1] for reason in Reason}
    assert {reason for reason, n in cells.items() if n != 1} == {
        "malformed_row", "repeated_header", "nul_byte", "duplicate_event_id",
    }  # fmt: skip
