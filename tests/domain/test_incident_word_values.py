"""Incidents in words, part by part: what changed, when, where, for whom, and what became of it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

from quality_assets.domain.features.incident_words import (
    as_day,
    days_until_silence_tells,
    describe,
    end_word,
    is_missing,
    names_of,
    title,
    told_figures,
    told_sentence,
    told_unit,
)

NAN = float("nan")
ROW: dict[str, Any] = {
    "feature": "pay", "features": None, "event_name": None, "platform": None, "metric": "error_rate", "kind": "step",
    "unit": "fraction", "events": 500, "baseline_value": 0.02, "peak_value": 0.06, "size": 0.04, "change": 2.0,
    "current_value": None, "current_size": None, "worst_date": date(2026, 1, 23), "start_date": date(2026, 1, 21),
    "end_date": None, "scope": "feature", "slice_status": "unknown", "affected_users": None, "users_today": None,
    "end_kind": "open", "peak_count": None, "usual_most": None, "renamed_to": None, "adopted_on": None,
    "still_off": None,
}  # fmt: skip
SINCE = "since 21 Jan 2026"
PLAIN = "error rate at 6 % instead of 2 % (× 3.0)"


def said(**changes: Any) -> str:
    """The sentence without its subject and its full stop."""
    text = describe(ROW | changes)
    assert text.startswith("pay: ")
    return text.removeprefix("pay: ").removesuffix(".")


def test_subjects_are_features_their_events_and_platforms() -> None:
    assert describe(ROW) == f"pay: {PLAIN} {SINCE}."
    assert describe(ROW | {"event_name": "tap", "platform": "ios"}) == f"pay (tap events) on ios: {PLAIN} {SINCE}."
    assert describe(ROW | {"features": ["pay"]}) == f"pay: {PLAIN} {SINCE}."
    assert describe(ROW | {"features": ["pay", "cart"]}) == f"2 features at once: {PLAIN} {SINCE}."
    assert describe(ROW | {"platform": NAN, "features": NAN}) == f"pay: {PLAIN} {SINCE}."


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"change": 9.0}, "error rate at 6 % instead of 2 % (more than × 10)"),
        ({"change": 8.9}, "error rate at 6 % instead of 2 % (× 9.9)"),
        ({"change": 1.0}, "error rate at 6 % instead of 2 % (× 2.0)"),
        ({"change": 0.999}, "error rate at 6 % instead of 2 % (+100 %)"),
        ({"change": -0.25}, "error rate at 6 % instead of 2 % (−25 %)"),
        ({"change": -7.0}, "error rate at 6 % instead of 2 % (−100 %)"),
        ({"change": NAN}, "error rate at 6 % instead of 2 %"),
        ({"kind": "creep"}, "error rate grew to 6 % instead of 2 % (× 3.0)"),
        ({"kind": "creep", "size": 0.0}, "error rate sank to 6 % instead of 6 % (× 3.0)"),
        ({"kind": "spike", "size": 0.0}, "error rate fell to 6 % instead of 6 % (× 3.0)"),
        ({"baseline_value": NAN}, "error rate changed"),
        ({"peak_value": NAN}, "error rate changed"),
        # A dead feature with events lost them in part only.
        ({"kind": "dead"}, PLAIN),
        ({"kind": "dead", "events": 0}, "no events at all, normally 0.02 a day (silence tells after 546 days),"),
    ],
)
def test_what_changed(changes: dict[str, Any], text: str) -> None:
    if "546" in text:
        days = days_until_silence_tells(0.02)
        text = text.replace("546 days", f"{days} days")
    assert said(**changes) == f"{text} {SINCE}"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "pay: error rate worse than usual"),
        ({"kind": "objective", "platform": "iOS"}, "pay on iOS: error rate beyond its objective"),
        ({"metric": "latency_p50_ms"}, "pay: latency p50 worse than usual"),
        ({"kind": "dead"}, "pay: error rate worse than usual"),
        ({"kind": "dead", "event_name": "pay"}, "pay (pay events): no events at all"),
        ({"features": ["a", "b", "c"]}, "3 features at once: error rate worse than usual"),
    ],
)
def test_an_incident_has_a_title(changes: dict[str, Any], text: str) -> None:
    assert title(ROW | changes) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        # What goes on is told by its last day; its worst beside it, where that was worse.
        (
            {"current_value": 0.04, "current_size": 0.02},
            "error rate at 4 % instead of 2 % (× 2.0), 6 % at its worst on 23 Jan,",
        ),
        (
            {"current_value": 0.04, "current_size": 0.02, "worst_date": None},
            "error rate at 4 % instead of 2 % (× 2.0), 6 % at its worst,",
        ),
        # Another day may be another weekday, of which more is usual.
        (
            {"current_value": 0.04, "current_size": 0.03},
            "error rate at 4 % instead of 1 % (× 4.0), 6 % instead of 2 % at its worst on 23 Jan,",
        ),
        # A tenth more or less is usual of any two days.
        (
            {"current_value": 0.039, "current_size": 0.021},
            "error rate at 3.9 % instead of 1.8 % (× 2.2), 6 % instead of 2 % at its worst on 23 Jan,",
        ),
        (
            {"current_value": 0.0401, "current_size": 0.0219},
            "error rate at 4 % instead of 1.8 % (× 2.2), 6 % at its worst on 23 Jan,",
        ),
        ({"current_value": 0.08, "current_size": 0.06}, "error rate at 8 % instead of 2 % (× 4.0)"),
        ({"current_value": 0.08, "current_size": 0.04}, "error rate at 8 % instead of 4 % (× 2.0)"),
        ({"current_value": 0.06004, "current_size": 0.03}, PLAIN),
        ({"current_value": 0.01, "current_size": -0.01}, f"{PLAIN}, as usual again on the last day,"),
        ({"current_value": 0.02, "current_size": 0.0}, f"{PLAIN}, as usual again on the last day,"),
        ({"current_value": 0.04, "current_size": 0.04}, "error rate at 4 % instead of 0 %"),
        ({"current_value": 0.04, "current_size": None}, PLAIN),
        ({"current_value": None, "current_size": 0.02}, PLAIN),
    ],
)
def test_what_goes_on_is_told_by_its_last_day(changes: dict[str, Any], text: str) -> None:
    assert said(**changes) == f"{text} {SINCE}"
    ended = said(**changes, end_date=date(2026, 1, 25), end_kind="recovered")
    assert ended == f"{PLAIN} from 21 Jan to 25 Jan 2026"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"peak_count": 20.0, "usual_most": 2.0}, "20 errors on 23 Jan where at most 2 are usual: error rate at 6 %"),
        ({"peak_count": 2.0, "usual_most": 1.0}, "2 errors on 23 Jan where at most 1 is usual: error rate at 6 %"),
        # As many as there are at most are no sign of anything.
        ({"peak_count": 2.0, "usual_most": 2.0}, PLAIN),
        ({"peak_count": 1200.0, "usual_most": 0.4}, "1,200 errors on 23 Jan where none is usual: error rate at 6 %"),
        (
            {"peak_count": 2000.0, "usual_most": 1500.0, "metric": "crash_rate", "worst_date": None, "kind": "spike"},
            "2,000 crashes where at most 1,500 are usual: crash rate jumped to 6 %",
        ),
        (
            {"peak_count": 1.0, "usual_most": 0.0, "metric": "crash_rate"},
            "1 crash on 23 Jan where none is usual: crash rate at 6 %",
        ),
        (
            {"current_value": 0.04, "current_size": 0.03, "peak_count": 20.0, "usual_most": 2.0},
            "20 errors on 23 Jan where at most 2 are usual: error rate at 4 %, 6 % at its worst on 23 Jan,",
        ),
        # What many days gave away together is told of all of them, and not by one, nor by the last.
        (
            {"peak_count": 17.0, "usual_most": 9.0, "counted_days": 19, "current_value": 0.0, "current_size": -0.1},
            "17 errors in 19 days where at most 9 are usual,",
        ),
        ({"peak_count": 20.0, "usual_most": None}, PLAIN),
        ({"peak_count": None, "usual_most": 2.0}, PLAIN),
        (
            {"peak_count": 20.0, "usual_most": 2.0, "metric": "adoption_rate"},
            "adoption at 6 % instead of 2 % (× 3.0)",
        ),
    ],
)  # fmt: skip
def test_few_are_counted(changes: dict[str, Any], text: str) -> None:
    assert said(**changes) == f"{text} {SINCE}"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "error rate at 6 % where 2 % is the objective"),
        ({"current_value": 0.06}, "error rate at 6 % where 2 % is the objective"),
        ({"current_value": 0.04}, "error rate at 4 % where 2 % is the objective, 6 % at its worst on 23 Jan"),
        ({"current_value": 0.04, "worst_date": None}, "error rate at 4 % where 2 % is the objective, 6 % at its worst"),
        (
            {"objective": 0.05, "objective_source": "default"},
            "error rate at 6 % where 5 % is the objective by default",
        ),
        (
            {"objective": 0.05, "current_value": 0.01},
            "error rate at 1 % on the last day, within the objective of 5 %, 6 % at its worst on 23 Jan",
        ),
        # On the objective itself it is not within it.
        ({"current_value": 0.02}, "error rate at 2 % where 2 % is the objective, 6 % at its worst on 23 Jan"),
    ],
)
def test_what_misses_its_objective_is_no_change(changes: dict[str, Any], text: str) -> None:
    assert said(**{"kind": "objective", **changes}) == f"{text}, {SINCE}"


def test_what_has_ended_is_told_by_its_worst_day_and_not_by_one_within_its_objective() -> None:
    ended = {"kind": "objective", "current_value": 0.01, "end_date": date(2026, 1, 21), "end_kind": "recovered"}
    assert said(**ended) == "error rate at 6 % where 2 % is the objective, on 21 Jan 2026"
    assert told_figures(ROW | ended) == (0.06, 0.02, None)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"affected_users": 5}, "; about 5 users a day affected"),
        ({"affected_users": 1}, "; about 1 user a day affected"),
        ({"affected_users": 0}, ""),
        ({"affected_users": NAN, "users_today": NAN}, ""),
        ({"affected_users": 1200, "users_today": 1}, "; 1 user affected on the last day, 1,200 on its worst"),
        ({"affected_users": 7, "users_today": 7}, "; 7 users affected on the last day"),
        ({"affected_users": 6, "users_today": 7}, "; 7 users affected on the last day"),
        ({"affected_users": 7, "users_today": 0}, "; 0 users affected on the last day, 7 on its worst"),
        ({"affected_users": None, "users_today": 0}, ""),
        ({"affected_users": None, "users_today": 3}, "; 3 users affected on the last day"),
    ],
)
def test_whom_it_hits(changes: dict[str, Any], text: str) -> None:
    assert said(**changes) == f"{PLAIN} {SINCE}{text}"
    most = changes.get("affected_users")
    beside = "" if is_missing(most) or not most else f"; about {most:,} user{'' if most == 1 else 's'} a day affected"
    ended = said(**changes, end_date=date(2026, 1, 25))
    assert ended == f"{PLAIN} from 21 Jan to 25 Jan 2026{beside}"


def test_users_of_a_volume_are_missing() -> None:
    assert said(metric="events", unit="count", affected_users=5, users_today=2).endswith(
        "; 2 users missing on the last day, 5 on its worst"
    )


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["pay"], ", as on most features at once: look upstream first"),
        (None, ", as on most features at once: look upstream first"),
        (["a", "b"], " (a, b): look upstream first"),
        (["a", "b", "c"], " (a, b, c): look upstream first"),
        (["a", "b", "c", "d"], " (a, b, c and 1 more): look upstream first"),
        (["a", "b", "c", "d", "e"], " (a, b, c and 2 more): look upstream first"),
    ],
)
def test_where_of_the_product(names: list[str] | None, text: str) -> None:
    assert describe(ROW | {"scope": "product", "features": names}).endswith(f"{SINCE}{text}.")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"end_kind": "recovered"}, ""),
        ({"end_kind": "silent"}, "; silent for good, removed or renamed"),
        ({"end_kind": "adopted"}, "; not recovered: the new level counts as normal"),
        (
            {"end_kind": "adopted", "adopted_on": date(2026, 2, 9), "still_off": 0.03},
            "; not recovered: the new level counts as normal since 9 Feb 2026, still off by +3 points",
        ),
        (
            {"end_kind": "adopted", "still_off": -0.03},
            "; not recovered: the new level counts as normal, still off by −3 points",
        ),
        (
            {"end_kind": "adopted", "still_off": 0.0},
            "; not recovered: the new level counts as normal, still off by 0 points",
        ),
        ({"renamed_to": ["Find"]}, "; may have been renamed to Find, which appeared then in its size"),
        (
            {"end_kind": "silent", "renamed_to": ["Find"]},
            "; silent for good; may have been renamed to Find, which appeared then in its size",
        ),
        ({"renamed_to": ["a", "b"]}, "; may have been split into a and b, which appeared then in its size"),
        (
            {"renamed_to": list("abcd")},
            "; may have been split into a and b and c and d, which appeared then in its size",
        ),
        ({"renamed_to": []}, ""),
    ],
)  # fmt: skip
def test_what_became_of_it(changes: dict[str, Any], text: str) -> None:
    assert said(**changes) == f"{PLAIN} {SINCE}{text}"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["x"], "renamed to x, which appeared then in their size."),
        (["x", "y", "z"], "renamed to x and y and z, which appeared then in their size."),
        (["x", "y", "z", "w"], "renamed to x, y, z and 1 more, which appeared then in their size."),
        (list("vwxyz"), "renamed to v, w, x and 2 more, which appeared then in their size."),
    ],
)
def test_of_many_features_three_new_names_are_told(names: list[str], text: str) -> None:
    told = describe(ROW | {"features": ["pay", "cart"], "renamed_to": names})
    assert told == f"2 features at once: {PLAIN} {SINCE}; may have been {text}"


def test_how_an_incident_stands() -> None:
    kinds = ("open", "recovered", "adopted", "silent")
    assert [end_word({"end_kind": kind}) for kind in kinds] == [
        "Open", "Resolved", "New normal, not recovered", "Silent for good",
    ]  # fmt: skip
    assert [end_word({"end_kind": None, "end_date": day}) for day in (None, NAN, date(2026, 1, 2))] == [
        "Open", "Open", "Ended",
    ]  # fmt: skip


def test_a_sentence_is_told_with_its_verdict() -> None:
    row = {"sentence": "It is slow.", "verdict_sentence": "Real."}
    assert told_sentence(row) == "It is slow. Real."
    for without in (None, NAN, ""):
        assert told_sentence(row | {"verdict_sentence": without}) == "It is slow."
    assert told_sentence({"sentence": "It is slow."}) == "It is slow."


def test_cells_of_frames_are_read_as_they_come() -> None:
    assert [is_missing(each) for each in (None, NAN, pd.NaT, pd.NA, 0, "", date(2026, 1, 1))] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip
    assert [names_of(each) for each in (None, NAN, "ab", ["a", 1], ("b",))] == [[], [], [], ["a", "1"], ["b"]]
    assert as_day("2026-03-04T05:06") == as_day(pd.Timestamp(2026, 3, 4, 23)) == date(2026, 3, 4)


def test_days_until_silence_tells_by_its_past() -> None:
    assert days_until_silence_tells(2.0) == 5
    assert days_until_silence_tells(0.0) is None
    assert days_until_silence_tells(1.0, days_observed=1e9) == 10
    assert days_until_silence_tells(1e-9) is None


def test_a_fall_that_goes_on_is_told_with_its_worst_where_that_was_lower() -> None:
    fall = {"metric": "events", "unit": "count", "baseline_value": 100.0, "peak_value": 40.0, "size": -60.0}
    risen = said(**fall, current_value=70.0, current_size=-30.0)
    assert risen == f"events at 70 instead of 100 (−30 %), 40 at its worst on 23 Jan, {SINCE}"
    fallen = said(**fall, current_value=20.0, current_size=-80.0)
    assert fallen == f"events at 20 instead of 100 (−80 %) {SINCE}"


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({}, (0.06, 0.02, 2.0)),
        # The last day's usual is not the mean of all of the incident's.
        ({"current_value": 0.05, "current_size": 0.025}, (0.05, 0.025, 1.0)),
        # As usual again on the last day: the sentence tells the worst day.
        ({"current_value": 0.01, "current_size": -0.01}, (0.06, 0.02, 2.0)),
        ({"kind": "objective", "objective": 0.03, "current_value": 0.05}, (0.05, 0.03, None)),
        ({"kind": "objective"}, (0.06, 0.02, None)),
        ({"kind": "dead", "events": 0, "peak_value": 0.0, "change": -1.0}, (0.0, 0.02, -1.0)),
        ({"baseline_value": NAN}, (0.06, None, 2.0)),
        # Many days are counted together: the rate of one of them is no figure of that.
        ({"peak_count": 17.4, "usual_most": 8.6, "counted_days": 19, "current_value": 0.0}, (17.0, 9.0, None)),
        ({"peak_count": 20.0, "usual_most": 2.0}, (0.06, 0.02, 2.0)),
    ],
)
def test_figures_are_those_that_the_sentence_says(changes: dict[str, Any], figures: tuple[float | None, ...]) -> None:
    assert told_figures(ROW | changes) == pytest.approx(figures)
    assert told_unit(ROW | changes) == ("count" if "counted_days" in changes else "fraction")
