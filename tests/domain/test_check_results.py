"""What a check may be, what becomes of its answers, and what a score is of results, on worked cases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_assets.contracts.events import RAW_LOGS, VALID_EVENTS
from quality_assets.contracts.ml import RISK_SCORES
from quality_assets.domain.quality.check import Answer, Check, Subject, subject_of
from quality_assets.domain.quality.expectations import Expectation, expectation_checks
from quality_assets.domain.quality.result import CheckResult, result_of
from quality_assets.domain.quality.score import Judged, Score, points, score

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

VERDICTS = st.builds(
    Judged,
    st.sampled_from(["validity", "volume", "accuracy"]),
    st.sampled_from(["passed", "failed", "unknown"]),
    st.sampled_from(["WARN", "ERROR"]),
)


def test_the_score_is_the_mean_of_the_means_of_dimensions() -> None:
    results = [
        Judged("validity", "passed", "ERROR"),
        Judged("validity", "passed", "WARN"),
        Judged("validity", "failed", "WARN"),
        Judged("validity", "unknown", "ERROR"),
        Judged("volume", "failed", "ERROR"),
        Judged("accuracy", "unknown", "WARN"),
    ]
    # Validity (1 + 1 + ½) ÷ 3, volume 0; accuracy could not be asked. Two of six are unknown.
    assert score(results) == Score(
        pytest.approx((2.5 / 3 + 0) / 2), {"validity": pytest.approx(2.5 / 3), "volume": 0.0, "accuracy": None}, 2 / 6
    )


def test_without_any_known_result_there_is_no_score() -> None:
    assert score([]) == Score(None, {}, None)
    assert score([Judged("volume", "unknown", "ERROR")]) == Score(None, {"volume": None}, 1.0)


def test_results_of_checks_are_scored_as_they_are() -> None:
    failed, passed = result_of(CHECK, Answer(False, 1.0, 1.0, 1)), result_of(CHECK, Answer(True))
    assert score([failed, passed, passed]) == Score(2.5 / 3, {"timeliness": 2.5 / 3}, 0.0)


@given(st.lists(VERDICTS))
def test_a_score_lies_between_none_and_all_and_what_is_unknown_does_not_move_it(results: list[Judged]) -> None:
    found = score(results)
    known = [result for result in results if points(result) is not None]
    assert found.value == score(known).value
    assert found.value is None if not known else 0 <= found.value <= 1  # type: ignore[operator]
    assert (found.unknown_share or 0) * len(results) == pytest.approx(len(results) - len(known))


def test_the_order_of_results_does_not_show_in_the_score() -> None:
    # Summed one after the other, 1 + 1 + ⅓ and ⅓ + 1 + 1 differ in the last digit.
    third = [Judged("validity", "passed", "ERROR"), *[Judged("validity", "failed", "ERROR")] * 2]
    whole = [Judged("volume", "passed", "ERROR"), Judged("accuracy", "passed", "ERROR")]
    assert score([*third, *whole]).value == score([*whole, *third]).value == 7 / 9


@given(st.lists(VERDICTS, min_size=1))
def test_a_result_that_gets_better_never_lowers_the_score(results: list[Judged]) -> None:
    worst = results[0]._replace(status="failed", severity="ERROR")
    before = score([worst, *results[1:]]).value
    for better in (worst._replace(severity="WARN"), worst._replace(status="passed")):
        after = score([better, *results[1:]]).value
        assert before is not None
        assert after is not None
        assert after > before
        before = after
