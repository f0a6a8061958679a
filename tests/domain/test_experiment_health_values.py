"""Whether counts of an experiment can be trusted: each finding whole, at the edges of each threshold."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from scipy import stats

from quality_assets.domain.impact import experiment_health as health
from quality_assets.domain.impact.experiment_health import Finding
from quality_assets.domain.impact.srm import PartCounts, PartFinding, asked_parts, missing_people, part_findings

HALVES = {"control": 0.5, "test": 0.5}
FIRST = date(2026, 3, 1)


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


def test_a_part_is_asked_from_a_hundred_people_on_and_beside_another() -> None:
    large, small = PartCounts("platform", "Web", (60, 40)), PartCounts("platform", "iOS", (60, 39))
    alone = PartCounts("country", "de", (100, 100))
    assert asked_parts([large, small, alone]) == [large]
    assert asked_parts([large]) == []


def test_each_part_has_a_p_for_how_many_are_asked_and_the_arm_that_lacks_people() -> None:
    parts = [
        PartCounts("platform", "Web", (300, 60)),
        PartCounts("platform", "iOS", (299, 101)),
        PartCounts("platform", "tv", (10, 0)),
    ]
    weights = (0.75, 0.25)

    def p(counts: tuple[int, int]) -> float:
        total = sum(counts)
        return float(stats.chisquare(counts, [0.75 * total, 0.25 * total]).pvalue)

    # Where a control of three quarters has 300, a quarter would be 100; 101 are more than a quarter of 400.
    assert part_findings(parts, weights) == [
        PartFinding(parts[0], pytest.approx(2 * p((300, 60))), 40, 1),
        PartFinding(parts[1], 1.0, 4, 0),
    ]
    assert part_findings([parts[2]], weights) == []


def test_of_parts_as_unlikely_as_each_other_the_one_that_lacks_most_comes_first() -> None:
    parts = [PartCounts("platform", value, counts) for value, counts in (("a", (100, 100)), ("b", (101, 100)))]
    found = part_findings(parts, (0.5, 0.5))
    assert [(each.part.value, each.p, each.missing) for each in found] == [("b", 1.0, 1), ("a", 1.0, 0)]


def test_people_are_missing_from_the_arm_that_has_least_of_its_share() -> None:
    weights = {"a": 0.5, "b": 0.25, "c": 0.25}
    # The others have 900 of three quarters, so that a quarter would be 300.
    assert missing_people({"a": 600, "b": 300, "c": 210}, weights) == ("c", 90)
    # 450 of a half: a half would be 450.
    assert missing_people({"c": 200, "a": 400, "b": 250}, weights) == ("a", 50)
    assert missing_people({"a": 500, "b": 250, "c": 250}, weights) == ("a", 0)


def split(counts: tuple[int, int], said: str, *, is_declared: bool = True) -> Finding:
    """The finding of everybody, of (control, test)."""
    given = dict(zip(HALVES, counts, strict=True))
    found = health.ratio_findings(given, HALVES, [], is_declared)
    assert len(found) == 1
    assert found[0].detail == said
    return found[0]


def p_of(control: int, test: int) -> float:
    return float(stats.chisquare([control, test]).pvalue)


def test_the_ratio_of_everybody_is_void_odd_or_fine() -> None:
    # Chi-square is (test - control)² / people: 10.83 is once in a thousand, 6.63 once in a hundred.
    for test, status, threshold, grade in (
        (1_100, "ok", 0.001, None), (1_150, "warning", 0.01, "B"), (1_200, "void", 0.001, "D"),
    ):  # fmt: skip
        p = p_of(1_000, test)
        odd = f", which happens by chance once in {round(1 / p):,} times" if status == "warning" else ""
        said = f"{test:,} people in test, 1,000 in control (1 : 1 planned){odd}."
        assert split((1_000, test), said) == Finding("srm", "all", status, said, pytest.approx(p), threshold, grade)
    assert 700 < 1 / p_of(1_000, 1_150) < 900


def test_of_an_experiment_without_a_file_equal_shares_are_held_against_it() -> None:
    for test, status in ((1_150, "info"), (1_200, "warning")):
        said = (
            f"{test:,} people in test, 1,000 in control (1 : 1 planned). No file says how people are dealt, so equal"
            " shares are held against it."
        )
        found = split((1_000, test), said, is_declared=False)
        assert found == Finding("srm", "all", status, said, pytest.approx(p_of(1_000, test)), 0.001, "B")


def test_where_nobody_saw_an_arm_its_ratio_is_unknown() -> None:
    assert health.ratio_findings({"control": 0, "test": 0}, HALVES, []) == [
        Finding("srm", "all", "unknown", "Nobody saw an arm that is declared.", threshold=0.001)
    ]


def test_three_arms_are_told_with_the_control_last() -> None:
    weights = {"control": 0.6, "a": 0.3, "b": 0.1}
    found = health.ratio_findings({"b": 100, "control": 600, "a": 300}, weights, [])
    said = "300 people in a, 100 in b, 600 in control (3 : 1 : 6 planned)."
    assert found == [Finding("srm", "all", "ok", said, pytest.approx(1.0), 0.001)]


def test_each_dimension_has_a_finding_of_its_worst_part() -> None:
    parts = [
        PartCounts("platform", "iOS", (1_600, 1_571)),
        PartCounts("platform", "Web", (400, 200)),
        PartCounts("new or existing", "new", (1_000, 880)),
        PartCounts("new or existing", "existing", (1_000, 891)),
        PartCounts("country", "de", (2_000, 1_771)),
    ]
    found = health.ratio_findings({"control": 2_000, "test": 1_771}, HALVES, parts)
    everybody = "1,771 people in test, 2,000 in control (1 : 1 planned). All of the missing ones are on platform Web."
    new = "new users: 880 people in test, 1,000 in control (1 : 1 planned)."
    web = "platform Web: 200 people in test, 400 in control (1 : 1 planned); 200 are missing from test."
    assert found == [
        Finding("srm", "all", "void", everybody, pytest.approx(p_of(2_000, 1_771)), 0.001, "D"),
        Finding("srm by new or existing", "new users", "ok", new, pytest.approx(4 * p_of(1_000, 880)), 0.001),
        Finding("srm by platform", "platform Web", "void", web, pytest.approx(4 * p_of(400, 200)), 0.001, "D"),
    ]


def test_without_a_guilty_part_or_without_a_mismatch_nobody_is_named() -> None:
    fine = [PartCounts("platform", "iOS", (500, 500)), PartCounts("platform", "Web", (500, 490))]
    void = health.ratio_findings({"control": 2_000, "test": 1_700}, HALVES, fine)[0]
    assert void.detail == "1,700 people in test, 2,000 in control (1 : 1 planned)."
    guilty = [PartCounts("platform", "iOS", (200, 400)), PartCounts("platform", "Web", (400, 200))]
    alike = health.ratio_findings({"control": 600, "test": 600}, HALVES, guilty)
    assert (alike[0].status, alike[0].detail) == ("ok", "600 people in test, 600 in control (1 : 1 planned).")
    assert (alike[1].status, alike[1].grade) == ("void", "D")


@pytest.mark.parametrize(
    ("test", "part", "said"),
    [
        # 200 are missing on the Web, where others have 400.
        (1_771, (400, 200), "All of the missing ones are on platform Web."),
        (1_769, (400, 200), "Most of the missing ones are on platform Web."),
        (1_600, (400, 200), "Most of the missing ones are on platform Web."),
        (1_599, (400, 200), "Part of the missing ones are on platform Web."),
        (1_771, (200, 0), "All of the missing ones are on platform Web, which never shows test."),
    ],
)
def test_a_part_has_all_most_or_part_of_those_who_are_missing(test: int, part: tuple[int, int], said: str) -> None:
    parts = [PartCounts("platform", "iOS", (1_500, 1_500)), PartCounts("platform", "Web", part)]
    found = health.ratio_findings({"control": 2_000, "test": test}, HALVES, parts)
    assert found[0].detail == f"{test:,} people in test, 2,000 in control (1 : 1 planned). {said}"


@pytest.mark.parametrize(("test", "share"), [(782, "All"), (781, "Most")])
def test_who_is_missing_in_a_part_is_counted_by_planned_shares(test: int, share: str) -> None:
    # A quarter of the part would be 200, of which 10 are there: 190, and a seventh more is 218.
    parts = [PartCounts("platform", "iOS", (300, 100)), PartCounts("platform", "Web", (600, 10))]
    found = health.ratio_findings({"control": 3_000, "test": test}, {"control": 0.75, "test": 0.25}, parts)
    assert found[0].detail == (
        f"{test} people in test, 3,000 in control (1 : 3 planned). {share} of the missing ones are on platform Web."
    )


def test_people_who_saw_several_arms() -> None:
    said = "{} of 10,000 people saw more than one arm ({} %)"
    for mixed, share, status, threshold, grade, more in (
        (100, 1, "ok", 0.01, None, ""),
        (120, 1.2, "warning", 0.01, "B", "; they are left out"),
        (1_000, 10, "warning", 0.01, "B", "; they are left out"),
        (1_100, 11, "void", 0.1, "D", "; more than 10 % void it"),
    ):
        detail = said.format(f"{mixed:,}", share) + more + "."
        found = health.mixed_finding(mixed, 10_000)
        assert found == Finding("several arms", "all", status, detail, mixed / 10_000, threshold, grade)
    nobody = health.mixed_finding(0, 0)
    assert nobody == Finding("several arms", "all", "ok", "0 of 0 people saw more than one arm (0 %).", 0.0, 0.01)


def test_what_is_left_out_is_told_and_limits_nothing() -> None:
    assert health.left_out_finding("events", "all", 3, "Three.") == Finding("events", "all", "info", "Three.", 3.0)
    assert health.left_out_finding("events", "x", 0, "None.") == Finding("events", "x", "ok", "None.", 0.0)


def fine(detail: str, p: float = 1.0) -> Finding:
    return Finding("loss by arm", "buy", "ok", detail, p, 0.001)


@pytest.mark.parametrize(
    ("lost", "arrived", "unreadable", "said"),
    [
        ({}, {}, 0, "buy: 0 of 0 rows refused."),
        ({}, {"control": 10, "test": 11}, 0, "buy: 0 of 21 rows refused."),
        ({"control": 2}, {"control": 10}, 3, "buy: 2 of 12 rows refused; of 3 more no arm can be read."),
        # An arm of which nothing came, and nothing was refused, is none.
        ({"control": 2}, {"control": 10, "test": 0}, 0, "buy: 2 of 12 rows refused."),
    ],
)
def test_with_one_arm_or_without_loss_there_is_nothing_to_compare(
    lost: dict[str, int], arrived: dict[str, int], unreadable: int, said: str
) -> None:
    assert health.loss_findings("buy", lost, arrived, unreadable, 1) == [fine(said)]


def test_loss_is_compared_exactly_where_few_are_lost() -> None:
    few = [[9, 100], [1, 100]]
    p = float(stats.fisher_exact(few).pvalue)
    said = "8.3 % of buy lost in control, 0.99 % of buy lost in test; of 2 more no arm can be read."
    found = health.loss_findings("buy", {"control": 9, "test": 1}, {"control": 100, "test": 100}, 2, 3)
    assert found == [fine(said, pytest.approx(3 * p))]
    assert health.loss_findings("buy", {"control": 9, "test": 1}, {"control": 100, "test": 100}, 0, 1_000)[0].value == 1
    more = [[10, 390], [20, 380]]
    p = float(stats.chi2_contingency(more, correction=False).pvalue)
    found = health.loss_findings("buy", {"control": 10, "test": 20}, {"control": 390, "test": 380}, 0, 1)
    assert found == [fine("2.5 % of buy lost in control, 5 % of buy lost in test.", pytest.approx(p))]
    three = [[1, 99], [2, 98], [0, 100]]
    p = float(stats.chi2_contingency(three, correction=False).pvalue)
    found = health.loss_findings("buy", {"a": 1, "b": 2}, {"a": 99, "b": 98, "c": 100}, 0, 1)
    assert found == [fine("1 % of buy lost in a, 2 % of buy lost in b, 0 % of buy lost in c.", pytest.approx(p))]


def test_an_arm_that_loses_more_voids_and_much_loss_leaves_a_doubt() -> None:
    table = [[500, 9_500], [100, 9_900]]
    p = float(stats.chi2_contingency(table, correction=False).pvalue)
    found = health.loss_findings("buy", {"test": 100, "control": 500}, {"control": 9_500, "test": 9_900}, 7, 2)
    said = (
        "Rows of one arm arrive broken: 5 % of buy lost in control, 1 % of buy lost in test; control loses more;"
        " of 7 more no arm can be read."
    )
    assert found == [Finding("loss by arm", "buy", "void", said, pytest.approx(2 * p), 0.001, "D")]
    edge = health.loss_findings("buy", {"control": 50, "test": 50}, {"control": 950, "test": 950}, 0, 1)
    assert edge == [fine("5 % of buy lost in control, 5 % of buy lost in test.", pytest.approx(1.0))]
    both = health.loss_findings("buy", {"control": 60, "test": 60}, {"control": 940, "test": 940}, 0, 1)
    assert both == [
        fine("6 % of buy lost in control, 6 % of buy lost in test.", pytest.approx(1.0)),
        Finding("loss", "buy", "warning", "6 % of buy arrive broken.", pytest.approx(0.06), 0.05, "C"),
    ]


def test_a_difference_before_exposure_is_held_against_once_in_a_thousand() -> None:
    assert health.past_finding("events", "Events", None, "?", 2) == Finding(
        "past by arm", "events", "unknown", "Events: nobody has a past.", threshold=0.001
    )
    fine_ = health.past_finding("events", "Events", 0.0005, "5 in test", 2)
    assert fine_ == Finding("past by arm", "events", "ok", "Events: alike before anybody saw an arm.", 0.001, 0.001)
    odd = health.past_finding("events", "Events", 0.0004, "5 in test", 2)
    said = "Events: arms differed before anybody saw one: 5 in test."
    assert odd == Finding("past by arm", "events", "warning", said, 0.0008, 0.001, "C")
    assert health.past_finding("events", "Events", 0.6, "", 2).value == 1.0


def changed(n: int, what: str) -> Finding:
    said = f"Arms changed on {day(n)}: {what}. Void from that day."
    return Finding("arms changed", day(n).isoformat(), "void", said, grade="D")


def arms(tests: list[int], controls: list[int]) -> dict[date, dict[str, int]]:
    """New people per day of both arms."""
    return {day(n): {"test": t, "control": c} for n, (t, c) in enumerate(zip(tests, controls, strict=True))}


def test_an_arm_is_missed_on_days_on_which_ten_of_it_were_due() -> None:
    def found(daily: dict[date, dict[str, int]], first: int = 0, last: int = 9) -> list[Finding]:
        return health.changed_arms_findings(daily, HALVES, day(first), day(last))

    assert found(arms([5, 5, 0], [20, 20, 20])) == [changed(2, "nobody sees test any more")]
    assert found(arms([5, 5, 0], [20, 20, 19])) == []
    both = arms([0, 0, 5, 0, 5, 0, 0], [20] * 7)
    assert found(both) == [changed(5, "nobody sees test any more"), changed(2, "test was added")]
    # Days before it began and after it ended are not its own.
    assert found(both, 2, 4) == []
    assert found(both, 1, 5) == [changed(5, "nobody sees test any more"), changed(2, "test was added")]
    assert found(arms([0, 0], [20, 20])) == []
    # An arm that a day does not name had nobody on it.
    named = arms([5, 5], [20, 20])
    assert found(named | {day(2): {"control": 20}}) == [changed(2, "nobody sees test any more")]
    assert found(named | {day(2): {"control": 19}}) == []


def test_an_arm_that_no_file_names_counts_from_one_in_a_hundred_on() -> None:
    def found(stray: list[int]) -> list[Finding]:
        daily = {day(n): {"control": 99, "new": new} for n, new in enumerate(stray)}
        return health.changed_arms_findings(daily, {"control": 1.0}, day(0), day(9))

    assert found([0, 2, 2]) == [changed(1, "new was added, which is not declared")]
    # 3 of 300 is one in a hundred, and not more.
    assert found([0, 0, 3]) == []
    assert found([0, 0, 4]) == [changed(2, "new was added, which is not declared")]
    late = {day(0): {"control": 99}, day(1): {"control": 99, "new": 3}}
    assert health.changed_arms_findings(late, {"control": 1.0}, day(0), day(9)) == [
        changed(1, "new was added, which is not declared")
    ]
    # Whoever was there from the first day on was not added.
    assert found([1, 9, 9]) == []


def test_whether_it_ran_for_a_whole_week() -> None:
    short = "It has run for 6 days, which is no whole week."
    assert health.length_findings(day(0), day(5), day(20)) == [
        Finding("length", "all", "warning", short, 6.0, 7.0, "B")
    ]
    long = [Finding("length", "all", "ok", "It has run for 7 days.", 7.0, 7.0)]
    assert health.length_findings(day(0), day(6), day(20)) == long
    assert health.length_findings(day(0), day(20), day(6)) == long


def test_whether_as_many_came_as_were_planned() -> None:
    assert health.size_findings(1_000, None, True) == []
    few = "999 of 1,000 planned people saw it"
    assert health.size_findings(999, 1_000, True) == [Finding("size", "all", "warning", f"{few}.", 999.0, 1_000.0, "C")]
    assert health.size_findings(999, 1_000, False) == [Finding("size", "all", "ok", f"{few} so far.", 999.0, 1_000.0)]
    all_ = "1,000 of 1,000 planned people saw it."
    assert health.size_findings(1_000, 1_000, True) == [Finding("size", "all", "ok", all_, 1_000.0, 1_000.0)]


def test_what_its_file_and_its_days_leave_of_it() -> None:
    assert health.weights_findings(True) == []
    assert health.weights_findings(False) == [
        Finding("weights", "all", "warning", "No weights are declared; equal ones are assumed.", grade="B")
    ]
    assert health.red_checks_findings([]) == [
        Finding("checks", "all", "ok", "No blocking check fails in its window.", 0.0)
    ]
    red = [("2026-03-01", "raw.raw_logs key_unique"), ("2026-03-02", "other")]
    said = "2 blocking checks fail in its window, such as raw.raw_logs key_unique on 2026-03-01."
    assert health.red_checks_findings(red) == [Finding("checks", "all", "warning", said, 2.0, 0.0, "C")]


def test_reasons_come_worst_first_and_an_a_is_none() -> None:
    findings = [
        Finding("a", "all", "ok", "fine", grade="A"),
        Finding("b", "all", "warning", "first doubt", grade="B"),
        Finding("c", "all", "ok", "nothing"),
        Finding("d", "all", "void", "void", grade="D"),
        Finding("e", "all", "warning", "worse", grade="C"),
        Finding("f", "all", "warning", "second doubt", grade="B"),
    ]
    assert health.worst_grade(findings) == "D"
    assert health.worst_grade(findings[:3]) == "B"
    assert health.reasons_of(findings) == ["void", "worse", "first doubt", "second doubt"]
    assert health.worst_grade(findings[:1]) == "A"
