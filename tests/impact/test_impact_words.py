"""What numbers of use say in a sentence, and when they say nothing."""

from __future__ import annotations

from datetime import date

import pytest

from quality_assets.contracts.definitions import Happening
from quality_assets.domain.impact import impact_words as words
from quality_assets.domain.impact.impact_words import Step

MAY, JUNE, NOW = date(2026, 5, 1), date(2026, 6, 1), date(2026, 6, 8)


def steps(*reached: int, last_seen: date | None = NOW) -> list[Step]:
    return [Step(f"step {n}", each, NOW if n == 1 else last_seen) for n, each in enumerate(reached, start=1)]


def is_change(now: words.Share, before: words.Share) -> bool:
    return words.are_changes([(now, before)]) == [True]


def test_a_funnel_says_how_many_finish_and_where_most_are_lost() -> None:
    assert words.funnel_sentence(steps(200, 150, 50), MAY, JUNE, "user", NOW) == (
        "Of 200 users who began between 1 May 2026 and 1 Jun 2026, 50 (25 %) reached the last step, step 3."
        " Most are lost before step 3, step 3: 67 % of those before it."
    )
    assert words.funnel_sentence(steps(10, 10), MAY, JUNE, "user", NOW).endswith("Only 10 users: too few to say much.")
    assert words.funnel_sentence(steps(0, 0), MAY, JUNE, "user", NOW) == "Nobody has entered whose window is over."


def test_a_dead_step_is_never_nought_percent() -> None:
    dead = words.funnel_sentence(steps(200, 0, last_seen=date(2026, 5, 11)), MAY, JUNE, "user", NOW)
    assert dead == "Unknown beyond step 1: step 2, step 2: no such event since 11 May 2026."
    alive = words.funnel_sentence(steps(200, 0, last_seen=date(2026, 5, 12)), MAY, JUNE, "user", NOW)
    assert "0 (0 %)" in alive
    assert words.dead_text(None) == "never seen"


def test_where_most_events_are_nobodys_the_funnel_by_session_is_named() -> None:
    blind = [Step("a", 200, NOW, 0.6), Step("b", 10, NOW)]
    assert words.funnel_sentence(blind, MAY, JUNE, "user", NOW) == (
        "Unknown: 60 % of the events of a have no user. A funnel by session may say more (unit: session)."
    )


@pytest.mark.parametrize(
    ("row", "last_seen", "said"),
    [
        ({"is_final": False, "open": 4, "entered": 9}, NOW, "still open: 4 of 9 entries have days left"),
        ({"is_final": True, "from_start": 0.5}, NOW, "final"),
        ({"is_final": True, "from_start": None, "entry_date": JUNE}, MAY, "no such event since 1 May 2026"),
        ({"is_final": True, "from_start": None, "entry_date": JUNE}, None, "never seen"),
        ({"is_final": True, "from_start": None, "entry_date": MAY}, NOW, "unknown: most of its events have no user"),
    ],
)
def test_each_row_says_what_it_is_worth(row: dict[str, object], last_seen: date | None, said: str) -> None:
    assert words.funnel_row_verdict(row, last_seen) == said


def test_a_change_is_told_beyond_chance_and_beyond_what_matters() -> None:
    assert is_change((120, 1_000), (410, 1_000))
    assert not is_change((3, 10), (9, 10)), "too few"
    assert not is_change((50, 100), (55, 100)), "chance"
    assert not is_change((500_000, 1_000_000), (510_000, 1_000_000)), "too small to matter"
    assert words.split_sentence("platform", "tablet", (120, 1_000), (410, 1_000)) == (
        "platform tablet: 12 % instead of 41 % reach the last step"
    )
    assert words.split_sentence("country", None, (120, 1_000), (410, 1_000)) == (
        "country unknown: 12 % instead of 41 % reach the last step"
    )


def test_a_fall_names_the_open_incident_and_a_rise_does_not() -> None:
    fall = words.adoption_sentence("Search", (100, 1_000), (200, 1_000), has_incident=True)
    assert fall == (
        "Search: fewer people use it, 10 % of all in 28 days instead of 20 % (100). It has an open incident."
    )
    rise = words.conversion_sentence("quiz", (200, 1_000), (100, 1_000), has_incident=True)
    assert rise == "quiz: more finish it, 20 % instead of 10 % (1,000 entered)."


def test_no_rate_of_return_stands_without_its_kind() -> None:
    said = {kind: words.retention_sentence(kind, 7, 31, 100, 4) for kind in ("exact", "within_30", "on_or_after")}
    assert said["exact"] == "31 % of 100 new users returned on day 7 exactly (4 days of first use)."
    assert "between day 7 and day 30" in said["within_30"]
    assert "on day 7 or later, as far as observed" in said["on_or_after"]
    assert (
        words.retention_sentence("exact", 7, 0, 0, 0) == "No cohort is old enough to say who returned on day 7 exactly."
    )


def test_cohorts_of_the_first_month_are_people_already_there() -> None:
    row = {"cohort_date": date(2026, 5, 28), "is_final": False, "observed_days": 3}
    assert words.retention_row_verdict(row, MAY).startswith("people already there")
    assert words.retention_row_verdict(row | {"cohort_date": date(2026, 5, 29)}, MAY) == (
        "still open: 3 days observed so far"
    )


def test_members_carry_their_date() -> None:
    row = {"event_date": JUNE, "members": 12, "entered": 2, "left": 1}
    assert words.segment_sentence(row, JUNE) == "12 members on 1 Jun 2026: 2 came, 1 went."
    assert words.segment_sentence(row, NOW).endswith("As of then: 7 days of data have come since.")


def test_a_step_in_words() -> None:
    assert words.step_words(Happening(feature="Cart", event_name="pay", where={"kind": "card"})) == (
        "Cart: pay (kind card)"
    )
    assert words.step_words(Happening(feature="Cart", event_name="pay")) == "Cart: pay"
    assert words.step_words(Happening(event_name="pay", where={"kind": "card", "by": "ann"})) == (
        "pay (kind card, by ann)"
    )


def test_thirty_are_enough_to_say_something() -> None:
    assert is_change((1, 30), (29, 30))
    assert not is_change((1, 29), (29, 30))
    assert not is_change((1, 30), (29, 29))
    assert "too few" in words.retention_sentence("exact", 7, 1, 29, 4)
    assert "too few" not in words.retention_sentence("exact", 7, 1, 30, 4)
    assert "too few" in words.funnel_sentence(steps(29, 20), MAY, JUNE, "user", NOW)
    assert "too few" not in words.funnel_sentence(steps(30, 20), MAY, JUNE, "user", NOW)
    # Of 1,000 each: 2.58 errors of .02121 are .0547.
    assert not is_change((315, 1_000), (369, 1_000))
    assert is_change((315, 1_000), (371, 1_000))


def test_why_nobody_knows_how_many_reached_a_step() -> None:
    assert words.unknown_text(Step("a", 1, None), NOW, "user") == "never seen"
    assert words.unknown_text(Step("a", 1, date(2026, 5, 11)), NOW, "user") == "no such event since 11 May 2026"
    assert words.unknown_text(Step("a", 1, date(2026, 5, 12)), NOW, "user") == ""
    assert words.unknown_text(Step("a", 1, NOW, 0.51), NOW, "session") == "51 % of its events have no session"
    assert words.unknown_text(Step("a", 1, NOW, 0.5), NOW, "session") == ""


def test_what_stands_beside_a_funnel() -> None:
    assert words.counted_sentence("session") == "Each session counts once, by the first entry of those days."
    assert words.open_sentence(4, 0, JUNE) == ""
    assert words.open_sentence(412, 1_930, JUNE) == (
        "Still open: 412 of 1,930 entries after 1 Jun 2026 have days left; none of these is counted above."
    )
    assert words.coverage_sentence(200, 0, 0, "user") == ""
    assert words.coverage_sentence(200, 50, 3, "user") == (
        "25 % of its events have no user; 3 of automated users are left out."
    )
    assert (words.time_text(None), words.time_text(90.0)) == ("–", words.duration_text(90_000.0))
