"""What numbers of use say, word by word, at the edges at which they say something else."""

from __future__ import annotations

from datetime import date
from math import sqrt

import pytest

from quality_assets.contracts.definitions import Happening
from quality_assets.domain.impact import impact_words as words
from quality_assets.domain.impact.impact_words import Step

MAY, JUNE, NOW = date(2026, 5, 1), date(2026, 6, 1), date(2026, 6, 8)
LONG_AGO, JUST = date(2026, 5, 11), date(2026, 5, 12)


def test_a_step_is_named_by_what_it_asks() -> None:
    assert words.step_words(Happening(feature="Cart")) == "Cart"
    assert words.step_words(Happening(feature="Cart", where={"kind": "card"})) == "Cart (kind card)"
    assert words.day_text(date(2026, 5, 3)) == "3 May 2026"
    assert words.dead_text(MAY) == "no such event since 1 May 2026"


def test_a_step_is_dead_after_28_days_without_its_event() -> None:
    assert [words.is_dead(Step("a", 1, seen), NOW) for seen in (None, LONG_AGO, JUST, NOW)] == [
        True, True, False, False,
    ]  # fmt: skip


def sentence(*steps: Step, unit: str = "user") -> str:
    return words.funnel_sentence(steps, MAY, JUNE, unit, NOW)


def test_the_first_dead_step_is_told_before_all_else() -> None:
    assert sentence(Step("a", 9, LONG_AGO, 0.9), Step("b", 5, None), Step("c", 5, NOW)) == (
        "Unknown beyond step 0: step 1, a: no such event since 11 May 2026."
    )
    assert sentence(Step("a", 9, NOW), Step("b", 5, JUST, 0.9), Step("c", 5, None)) == (
        "Unknown beyond step 2: step 3, c: never seen."
    )


def test_of_a_step_that_is_mostly_nobodys_nothing_is_told() -> None:
    blind = "Unknown: 51 % of the events of b have no {}."
    more = " A funnel by session may say more (unit: session)."
    steps = Step("a", 100, NOW, 0.5), Step("b", 50, NOW, 0.51)
    assert sentence(*steps) == blind.format("user") + more
    assert sentence(*steps, unit="session") == blind.format("session")
    assert sentence(steps[0], Step("b", 50, NOW, 0.5)) == (
        "Of 100 users who began between 1 May 2026 and 1 Jun 2026, 50 (50 %) reached the last step, b."
        " Most are lost before step 2, b: 50 % of those before it."
    )


def test_the_step_that_loses_most_is_named_once_anybody_is_lost() -> None:
    assert sentence(Step("a", 1_000, NOW), Step("b", 400, NOW), Step("c", 300, NOW)) == (
        "Of 1,000 users who began between 1 May 2026 and 1 Jun 2026, 300 (30 %) reached the last step, c."
        " Most are lost before step 2, b: 60 % of those before it."
    )
    assert sentence(Step("a", 30, NOW), Step("b", 30, NOW)) == (
        "Of 30 users who began between 1 May 2026 and 1 Jun 2026, 30 (100 %) reached the last step, b."
    )
    # After a step that nobody reached nobody is lost.
    assert sentence(Step("a", 1, NOW), Step("b", 0, NOW), Step("c", 0, NOW), unit="session") == (
        "Of 1 session who began between 1 May 2026 and 1 Jun 2026, 0 (0 %) reached the last step, c."
        " Most are lost before step 2, b: 100 % of those before it. Only 1 session: too few to say much."
    )


def test_why_a_step_is_unknown_and_what_a_funnel_cannot_use() -> None:
    assert words.unknown_text(Step("a", 1, NOW), NOW, "user") == ""
    assert words.unknown_text(Step("a", 1, LONG_AGO, 0.9), NOW, "user") == "no such event since 11 May 2026"
    assert words.coverage_sentence(0, 0, 0, "user") == ""
    assert words.coverage_sentence(200, 50, 0, "session") == "25 % of its events have no session."
    assert words.coverage_sentence(200, 0, 1_200, "user") == "1,200 of automated users are left out."
    assert words.open_sentence(0, 1, JUNE) == (
        "Still open: 0 of 1 entry after 1 Jun 2026 have days left; none of these is counted above."
    )


def test_a_row_that_is_dead_since_its_own_day_is_only_unknown() -> None:
    row = {"is_final": True, "from_start": None, "entry_date": JUNE}
    assert words.funnel_row_verdict(row, JUNE) == "unknown: most of its events have no user"
    assert words.funnel_row_verdict(row | {"from_start": 0.0}, None) == "final"
    assert words.funnel_row_verdict({"is_final": False, "open": 1_200, "entered": 4_000}, None) == (
        "still open: 1,200 of 4,000 entries have days left"
    )


def is_change(now: words.Share, before: words.Share) -> bool:
    return words.are_changes([(now, before)]) == [True]


def test_a_change_is_of_two_points_and_of_2_58_errors() -> None:
    # Of so many, chance is nothing: two points are told, and less is not.
    many = 10_000_000
    assert is_change((0.52 * many, many), (0.5 * many, many))
    assert not is_change((0.5199 * many, many), (0.5 * many, many))
    assert not is_change((0.5 * many, many), (0.5199 * many, many))
    # The error of shares of unlike sizes, by hand; then the difference just beyond it, and just within.
    for n_now, n_before in ((400, 100), (100, 400)):
        for now in range(n_now // 2, n_now + 1):
            before = n_before // 2
            pooled = (now + before) / (n_now + n_before)
            error = sqrt(pooled * (1 - pooled) * (1 / n_now + 1 / n_before))
            is_odd = now / n_now - 0.5 >= max(0.02, 2.58 * error)
            assert is_change((now, n_now), (before, n_before)) == is_odd, now


def test_parts_that_are_asked_together_share_the_chance_of_one() -> None:
    # 2.58 standard errors are p = .00988; of one pair that is enough, of two each other's p is doubled for the least.
    odd, odder = ((315.0, 1_000.0), (371.0, 1_000.0)), ((315.0, 1_000.0), (378.0, 1_000.0))
    alike, few = ((500.0, 1_000.0), (500.0, 1_000.0)), ((1.0, 29.0), (29.0, 30.0))
    assert words.are_changes([odd]) == [True]
    assert words.are_changes([odd, alike]) == [False, False]
    # 2.96 errors, p = .0031: twice that is enough, four times is not.
    assert words.are_changes([odder, alike]) == [True, False]
    assert words.are_changes([odder, alike, alike, alike]) == [False] * 4
    # Of what is too few nothing is asked, so it costs the others nothing; where all have changed each is told.
    assert words.are_changes([few, odd, few]) == [False, True, False]
    assert words.are_changes([odd, odd, odd]) == [True] * 3
    assert words.are_changes([]) == []


def test_no_share_of_nobody_or_of_everybody_is_a_change() -> None:
    assert not is_change((0, 100), (0, 100))
    assert words.are_changes([((100, 100), (100, 100))]) == [False]


def test_a_part_is_named_by_its_value_also_where_that_is_empty() -> None:
    assert words.split_sentence("platform", "", (500, 1_000), (250, 500 * 2)) == (
        "platform : 50 % instead of 25 % reach the last step"
    )


def test_returns_are_said_whole() -> None:
    assert words.retention_sentence("within_30", 3, 1, 1, 1) == (
        "100 % of 1 new user returned between day 3 and day 30 (1 day of first use). Only 1: too few to say much."
    )
    assert words.retention_sentence("on_or_after", 14, 300, 1_200, 28) == (
        "25 % of 1,200 new users returned on day 14 or later, as far as observed (28 days of first use)."
    )
    assert words.retention_sentence("on_or_after", 14, 0, 0, 0) == (
        "No cohort is old enough to say who returned on day 14 or later, as far as observed."
    )
    row = {"cohort_date": date(2026, 5, 28), "is_final": True, "observed_days": 1}
    assert words.retention_row_verdict(row, MAY) == (
        "people already there: within the first 28 days of the data everybody is new"
    )
    fresh = row | {"cohort_date": date(2026, 5, 29)}
    assert words.retention_row_verdict(fresh, MAY) == "final"
    assert words.retention_row_verdict(fresh | {"is_final": False}, MAY) == "still open: 1 day observed so far"


def test_members_are_as_of_their_day() -> None:
    row = {"event_date": JUNE, "members": 1, "entered": 1_000, "left": 2_000}
    assert words.segment_sentence(row, date(2026, 6, 2)) == (
        "1 member on 1 Jun 2026: 1,000 came, 2,000 went. As of then: 1 day of data have come since."
    )
    assert words.segment_sentence(row, MAY) == "1 member on 1 Jun 2026: 1,000 came, 2,000 went."


@pytest.mark.parametrize("has_incident", [True, False])
def test_more_and_fewer_are_told_and_only_a_fall_meets_an_incident(has_incident: bool) -> None:
    low, high = (1_000, 10_000), (2_000, 10_000)
    met = " It has an open incident." if has_incident else ""
    assert words.adoption_sentence("Search", low, high, has_incident=has_incident) == (
        f"Search: fewer people use it, 10 % of all in 28 days instead of 20 % (1,000).{met}"
    )
    assert words.adoption_sentence("Search", high, low, has_incident=has_incident) == (
        "Search: more people use it, 20 % of all in 28 days instead of 10 % (2,000)."
    )
    met = " A feature of its steps has an open incident." if has_incident else ""
    assert words.conversion_sentence("quiz", low, high, has_incident=has_incident) == (
        f"quiz: fewer finish it, 10 % instead of 20 % (10,000 entered).{met}"
    )
    assert words.conversion_sentence("quiz", high, low, has_incident=has_incident) == (
        "quiz: more finish it, 20 % instead of 10 % (10,000 entered)."
    )


def test_a_time_is_said_in_its_unit() -> None:
    assert [words.time_text(seconds) for seconds in (0.0, 1.5, 150.0)] == ["0 ms", "1.50 s", "2.5 min"]
