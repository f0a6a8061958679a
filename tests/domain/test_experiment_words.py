"""What an experiment's verdict says, word by word."""

from __future__ import annotations

from datetime import date

from quality_assets.contracts.metric_names import parse_metric_name
from quality_assets.domain.impact.experiment_words import (
    Spoken,
    adjusted_note,
    final_sentence,
    level,
    no_exposures_sentence,
    running_sentence,
    signed,
    undeclared_sentence,
    void_sentence,
)
from quality_assets.domain.impact.experiments import ArmResult


def spoken(
    metric: str = "return_7d",
    verdict: str = "better",
    arm: str = "B",
    role: str = "primary",
    mean: float = 0.221,
    control: float = 0.2,
    diff: float = 0.021,
    half: float = 0.01,
    *,
    is_cuped: bool = False,
) -> Spoken:
    """A metric of an arm; the always-valid interval is twice as wide as the fixed one."""
    result = ArmResult(
        diff=diff, low=diff - half, high=diff + half, always_low=diff - 2 * half, always_high=diff + 2 * half,
        is_cuped=is_cuped,
    )  # fmt: skip
    return Spoken(parse_metric_name(metric), arm, role, mean, control, result, verdict)


def test_a_share_is_told_in_percent_and_its_difference_in_points() -> None:
    assert final_sentence([spoken()], "A", []) == (
        "Better: 7-day return 22.1 % instead of 20.0 % (+2.1 points, +1.1 to +3.1). Grade A."
    )
    assert signed(-0.0123, True) == "−1.2"
    assert signed(-0.00123, True) == "−0.12"
    assert signed(1234.6, False) == "+1,235"
    assert level(999.6, False) == "1,000"
    assert signed(-999.4, False) == "−999"
    assert level(4.3125, False) == "4.31"
    # An estimate and the ends of its interval have their noughts.
    assert [signed(value, False) for value in (0.554, 0.107, 1.0, 8.0, -4.06, 20.1, 99.96, 0.00234)] == [
        "+0.55", "+0.11", "+1.00", "+8.00", "−4.06", "+20.1", "+100", "+0.0023",
    ]  # fmt: skip


def test_where_the_past_is_held_alike_the_mean_that_tables_show_is_told_too() -> None:
    counted = spoken("count:quiz_started", mean=1.87, control=1.75, diff=0.23, half=0.1, is_cuped=True)
    assert final_sentence([counted], "B", ["2 % of one arm is lost."]) == (
        "Better: quiz_started per person 1.98 instead of 1.75 (+0.23, +0.13 to +0.33), the arms' past held alike;"
        " 1.87 as counted. Grade B: 2 % of one arm is lost."
    )
    # Nothing is added where it changes no digit that is shown.
    alike = spoken("count:quiz_started", mean=1.981, control=1.75, diff=0.23, half=0.1, is_cuped=True)
    assert "as counted" not in final_sentence([alike], "B", [])


def test_where_differences_are_not_of_the_values_beside_them_it_is_said_once() -> None:
    control, adjusted = {"is_cuped": False, "diff": None}, {"is_cuped": True, "diff": 2.65}
    said = "Differences hold the arms' past alike (CUPED): they are not those of the values, which are as counted."
    assert adjusted_note([control, adjusted, adjusted]) == said
    assert adjusted_note([control, {"is_cuped": False, "diff": 2.65}]) == ""
    # What is void has no difference to explain.
    assert adjusted_note([control, {"is_cuped": True, "diff": None}]) == adjusted_note([]) == ""


def test_several_arms_are_named_and_guardrails_told_where_they_are_not_safe() -> None:
    told = final_sentence(
        [
            spoken(),
            spoken(verdict="not measured", arm="C"),
            spoken("crash_rate", "breached", "B", "guardrail"),
            spoken("crash_rate", "not shown to be safe", "C", "guardrail"),
            spoken("crash_rate", "safe", "D", "guardrail"),
            spoken("count:quiz_started", "worse", "B", "secondary"),
        ],
        "C",
        [],
    )
    assert told == (
        "Better: B: 7-day return 22.1 % instead of 20.0 % (+2.1 points, +1.1 to +3.1)."
        " Not measured: C: too few people, or nothing that varies, for 7-day return."
        " Guardrail crash rate breached in B. Guardrail crash rate not shown to be safe in C. Grade C."
    )


def test_before_the_end_only_what_holds_however_often_one_looks_is_told() -> None:
    open_still = spoken(verdict="open", diff=0.01)
    assert running_sentence([open_still], 12, 28, None, 0) == (
        "Keep running: day 12 of 28; 7-day return always-valid −1.0 to +3.0 points."
    )
    assert running_sentence([spoken(diff=0.05)], 12, 28, None, 0).startswith("Better already: day 12 of 28; ")
    assert running_sentence([spoken(verdict="worse", diff=-0.05)], 1, 28, None, 0).startswith("Worse already: ")
    unmeasured = spoken(verdict="not measured")
    assert running_sentence([unmeasured], 2, 28, None, 0) == "Keep running: day 2 of 28; nobody's window is over yet."
    waits = running_sentence([open_still], 28, 28, date(2026, 3, 9), 1200)
    assert waits.startswith("Ended, and still open: 1,200 people have days left, until 2026-03-09; ")
    two = running_sentence([open_still, spoken("count:quiz_started", "open", "C", diff=1.0)], 3, 28, None, 0)
    assert two == (
        "Keep running: day 3 of 28; B: 7-day return always-valid −1.0 to +3.0 points;"
        " C: quiz_started per person always-valid +0.98 to +1.02."
    )


def test_what_has_no_numbers_says_why() -> None:
    assert void_sentence(["656 people in A and 444 in B, where equal arms were planned."]) == (
        "Void: 656 people in A and 444 in B, where equal arms were planned."
    )
    assert void_sentence([]) == "Void."
    assert no_exposures_sentence(date(2026, 3, 2), date(2026, 3, 1)) == "Planned: it begins on 2026-03-02."
    assert no_exposures_sentence(date(2026, 3, 2), date(2026, 3, 2)) == "No exposures since 2026-03-02."
    assert no_exposures_sentence(date(2026, 3, 2), None) == "No exposures since 2026-03-02."
    assert undeclared_sentence({"A": 1200, "B": 3}, {}) == (
        "Not declared: 1,200 in A, 3 in B. Without a file in data/experiments it gets no verdict."
    )
    # All who saw it add up.
    assert undeclared_sentence({"A": 10}, {"several arms": 1100, "no user": 0}).startswith(
        "Not declared: 10 in A, 1,100 left out (several arms). "
    )
    assert undeclared_sentence({}, {"several arms": 2}).startswith("Not declared: 2 left out (several arms). ")
