"""Queries of retention, segments and adoption on a few rows each: which cohorts, which days, and what they say."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from small_snapshots import THROUGH, Cells, ago, at, snapshot_of

from quality_assets.read import impact
from quality_assets.read.impact import UnknownNameError
from quality_assets.read.reader import Reader

RETENTION, EVENT_DAYS, CHECKS = "impact.retention", "impact.event_days", "monitoring.check_results"
SEGMENT_DAYS, DEFINITIONS = "impact.segment_days", "impact.definitions"
ADOPTION, ENGAGEMENT, CURVE = "impact.feature_adoption", "impact.engagement_days", "impact.adoption_curve"


def event_day(days: int) -> Cells:
    return {"event_date": ago(days), "feature": "Cart", "event_name": "look", "events": 1}


def failing(days: int) -> Cells:
    return {
        "asset": "core.valid_events", "check_name": "key_unique", "partition_key": str(ago(days)), "run_id": "r1",
        "checked_at": at(0), "status": "failed", "is_blocking": True,
    }  # fmt: skip


def cohort(days: int, day_n: int, eligible: int = 10, returned: int = 5, kind: str = "exact", **cells: object) -> Cells:
    usual = {"cohort_date": ago(days), "feature": "Cart", "day_n": day_n, "kind": kind, "eligible": eligible}
    return usual | {"returned": returned, "observed_days": 1, "is_final": True} | cells


def test_the_first_day_of_all_data_and_the_features_that_are_retained() -> None:
    assert impact.first_date(snapshot_of({EVENT_DAYS: [event_day(3), event_day(9), event_day(0)]})) == ago(9)
    assert impact.first_date(snapshot_of({EVENT_DAYS: []})) is None
    assert impact.first_date(snapshot_of({})) is None
    rows = [cohort(5, 1, feature=feature) for feature in ("Search", "*", "Cart", "Cart")]
    reader = snapshot_of({RETENTION: rows})
    assert impact.retained_features(reader) == ["*", "Cart", "Search"]
    assert impact.retained_features(snapshot_of({})) == []
    assert impact.known_feature(reader, "Cart") == "Cart"
    with pytest.raises(UnknownNameError, match="there is no feature 'Card'; the nearest names are Cart, Search, "):
        impact.known_feature(reader, "Card")


COHORTS = [
    cohort(40, 7, kind="within_30"),
    cohort(40, 1),
    cohort(50, 7),
    cohort(40, 7, 40, 10),
    cohort(60, 7, 100, 100),
    cohort(3, 1, is_final=False, observed_days=2),
    cohort(40, 7, feature="Search"),
]


def test_rows_of_a_feature_stand_by_kind_cohort_and_day() -> None:
    # Of the first 28 days of the data is who came until the 60th day before the last.
    reader = snapshot_of({RETENTION: COHORTS, EVENT_DAYS: [event_day(78)], CHECKS: [failing(33)]})
    found = impact.retention_rows(reader, "Cart")
    doubt = "; a blocking check fails on a day of it"
    assert [((THROUGH - row["cohort_date"]).days, row["kind"], row["day_n"], row["verdict"]) for row in found] == [
        (60, "exact", 7, "people already there: within the first 28 days of the data everybody is new"),
        (50, "exact", 7, "final"),
        (40, "exact", 1, "final"),
        (40, "exact", 7, f"final{doubt}"),
        (3, "exact", 1, "still open: 2 days observed so far"),
        (40, "within_30", 7, f"final{doubt}"),
    ]
    assert [row["kind"] for row in impact.retention_rows(reader, "Cart", "within_30")] == ["within_30"]
    assert found[0]["eligible"] == 100
    assert impact.retention_rows(snapshot_of({RETENTION: COHORTS}), "Cart") == []
    assert impact.retention_rows(snapshot_of({EVENT_DAYS: [event_day(1)]}), "Cart") == []


@pytest.mark.parametrize(
    ("kind", "touching"),
    [("exact", {0, 7}), ("within_30", {0, *range(7, 31)}), ("on_or_after", {0, *range(7, 93)})],
)
def test_a_row_counts_people_of_its_first_day_and_of_the_days_that_it_looks_at(kind: str, touching: set[int]) -> None:
    row = {"cohort_date": ago(100), "day_n": 7, "kind": kind}
    found = {age for age in range(-2, 99) if impact._touches(row, [ago(100) + timedelta(days=age)])}
    assert found == touching
    assert impact._touches(row, [ago(200), ago(93), ago(0)])
    assert not impact._touches(row, [ago(200), ago(0)])
    assert not impact._touches(row, [])


def test_means_are_of_cohorts_that_are_over_and_new() -> None:
    rows = [
        cohort(40, 7, 40, 10),
        cohort(50, 7, 10, 5),
        cohort(50, 1, 10, 9),
        # The 28th day of the data is ago(51), and the first after it ago(50).
        cohort(51, 7, 1_000, 1_000),
        cohort(30, 7, 500, 0, is_final=False),
        cohort(40, 7, 60, 30, kind="on_or_after", is_final=False),
        cohort(50, 7, 40, 30, kind="on_or_after"),
    ]
    reader = snapshot_of({RETENTION: rows, EVENT_DAYS: [event_day(78)]})
    assert impact.retention_means(reader, "Cart", "exact") == [
        {"day_n": 1, "eligible": 10, "returned": 9, "cohorts": 1, "rate": 0.9},
        {"day_n": 7, "eligible": 50, "returned": 15, "cohorts": 2, "rate": 0.3},
    ]
    # Who came at any time since is told of cohorts that are still watched, too.
    assert impact.retention_means(reader, "Cart", "on_or_after") == [
        {"day_n": 7, "eligible": 100, "returned": 60, "cohorts": 2, "rate": 0.6}
    ]
    assert impact.retention_sentence(reader, "Cart", "exact") == (
        "30 % of 50 new users returned on day 7 exactly (2 days of first use)."
    )
    assert impact.retention_sentence(reader, "Cart", "exact", 1) == (
        "90 % of 10 new users returned on day 1 exactly (1 day of first use). Only 10: too few to say much."
    )
    assert impact.retention_sentence(reader, "Cart", "exact", 3) == (
        "No cohort is old enough to say who returned on day 3 exactly."
    )
    assert impact.retention_sentence(reader, "Cart", "within_30") == (
        "No cohort is old enough to say who returned between day 7 and day 30."
    )


def test_where_all_are_of_the_first_days_the_means_are_of_those() -> None:
    rows = [cohort(51, 7, 10, 5), cohort(60, 7, 30, 5), cohort(50, 7, 5, 5, is_final=False)]
    early = snapshot_of({RETENTION: rows, EVENT_DAYS: [event_day(78)]})
    assert impact.retention_means(early, "Cart", "exact") == [
        {"day_n": 7, "eligible": 40, "returned": 10, "cohorts": 2, "rate": 0.25}
    ]
    assert impact.left_out_note(early, "Cart", "exact") == (
        "All from the first 28 days of the data, in which people who were already there count as new: read with care."
    )
    mixed = snapshot_of({RETENTION: [*rows, cohort(50, 1)], EVENT_DAYS: [event_day(78)]})
    assert impact.left_out_note(mixed, "Cart", "exact") == (
        "Without the cohorts of the first 28 days of the data: people who were already there count as new in them."
    )
    # What counts as far as it was observed has means before any day is over.
    going = [cohort(days, 7, kind="on_or_after", is_final=False) for days in (50, 60)]
    assert impact.left_out_note(
        snapshot_of({RETENTION: going, EVENT_DAYS: [event_day(78)]}), "Cart", "on_or_after"
    ).startswith("Without the cohorts of the first 28 days")
    open_ = snapshot_of({RETENTION: rows[2:], EVENT_DAYS: [event_day(78)]})
    assert impact.left_out_note(open_, "Cart", "exact") == "No cohort's days are over yet."


def test_a_kind_of_return_that_there_is_not_is_that_of_the_day() -> None:
    asked = ("exact", "within_30", "on_or_after", "ever", None)
    assert [impact.retention_kind(kind) for kind in asked] == ["exact", "within_30", "on_or_after", "exact", "exact"]


def segment_day(days: int, members: int, entered: int = 1, left: int = 2, segment: str = "keen") -> Cells:
    return {"event_date": ago(days), "segment": segment, "members": members, "entered": entered, "left": left}


def defined(name: str, error: str | None = None, **said: Any) -> Cells:
    return {
        "kind": "segment", "name": name, "owner": f"{name}'s", "version": "v", "path": "p", "error": error,
        "spec": json.dumps(said),
    }  # fmt: skip


SEGMENTS: dict[str, list[Cells]] = {
    SEGMENT_DAYS: [
        segment_day(2, 5),
        segment_day(4, 3),
        segment_day(3, 4),
        segment_day(2, 9, segment="other"),
        *(segment_day(days, days, segment="old") for days in range(40)),
    ],
    CHECKS: [failing(4)],
    DEFINITIONS: [defined("keen", description="Often there"), defined("old"), defined("bad", "is wrong"), defined("x")],
}


def test_days_of_a_segment_are_as_of_then_where_data_have_come_since() -> None:
    found = impact.segment_rows(snapshot_of(SEGMENTS), "keen")
    assert [(row["event_date"], row["members"], row["verdict"]) for row in found] == [
        (ago(4), 3, "3 members on 27 Mar 2026: 1 came, 2 went. A blocking check fails on this day."),
        (ago(3), 4, "4 members on 28 Mar 2026: 1 came, 2 went."),
        (ago(2), 5, "5 members on 29 Mar 2026: 1 came, 2 went. As of then: 2 days of data have come since."),
    ]
    assert impact.segment_rows(snapshot_of({}), "keen") == []
    assert impact.segment_rows(snapshot_of(SEGMENTS, through=None), "keen") == []


def test_every_segment_has_its_last_day_and_a_month_of_members() -> None:
    bad, keen, old, unknown = impact.segments(snapshot_of(SEGMENTS))
    assert keen == {
        "segment": "keen",
        "owner": "keen's",
        "description": "Often there",
        "error": None,
        "as_of": ago(2),
        "members": 5,
        "entered": 1,
        "left": 2,
        "spark": (3, 4, 5),
        "verdict": "5 members on 29 Mar 2026: 1 came, 2 went. As of then: 2 days of data have come since.",
    }
    assert old["spark"] == tuple(range(27, -1, -1))
    assert (old["members"], old["as_of"]) == (0, THROUGH)
    nothing = dict.fromkeys(("description", "as_of", "members", "entered", "left"))
    assert bad == nothing | {
        "segment": "bad", "owner": "bad's", "error": "is wrong", "spark": (), "verdict": "is wrong",
    }  # fmt: skip
    assert unknown["verdict"] == "nothing is built of it yet"


def adopted(days: int, mau: int, all_mau: int = 100, feature: str = "Cart", **cells: object) -> Cells:
    usual = {"event_date": ago(days), "feature": feature, "mau": mau, "all_mau": all_mau, "users": mau // 2}
    return usual | {"new_adopters": 1, "second_use_7d": 0.5, "stickiness": 0.25} | cells


def engaged(days: int, feature: str = "Cart", **cells: object) -> Cells:
    return {"event_date": ago(days), "feature": feature, "sessions": 1} | cells


ADOPTED: dict[str, list[Cells]] = {
    EVENT_DAYS: [{"event_date": ago(57), "feature": "Cart", "event_name": "use", "events": 1}],
    ADOPTION: [
        adopted(0, 40),
        adopted(1, 30),
        adopted(27, 20, new_adopters=5),
        adopted(28, 50, 200, new_adopters=100),
        adopted(29, 90),
        adopted(57, 7),
        adopted(0, 60, feature="Search"),
        adopted(0, 40, feature="Basket"),
        adopted(0, 0, 0, feature="Nobody"),
        adopted(1, 99, feature="Gone"),
    ],
    ENGAGEMENT: [
        engaged(0, completion_rate=None, share_rate=0.1, duration_median_s=3.0),
        engaged(1, completion_rate=0.2, k_factor=0.3, events_per_session_mean=4.0),
        engaged(27, completion_rate=0.9, k_factor=0.9, events_per_session_mean=9.0, duration_median_s=9.0),
        engaged(28, feature="Search", completion_rate=0.8),
        engaged(27, feature="Basket", completion_rate=0.7),
    ],
}


def test_adoption_now_stands_beside_that_of_28_days_before() -> None:
    found = impact.adoption(snapshot_of(ADOPTED))
    assert [row["feature"] for row in found] == ["Search", "Basket", "Cart", "Nobody"]
    by_feature = {row["feature"]: row for row in found}
    assert by_feature["Cart"] == {
        "feature": "Cart",
        "adoption": 0.4,
        "adoption_before": 0.25,
        "spark": [0.2, 0.3, 0.4],
        "mau": 40,
        "all_mau": 100,
        "mau_before": 50,
        "all_mau_before": 200,
        "users": 20,
        "new_adopters": 7,
        # The days on which the first seven of Cart's new ones ended are not there.
        "second_use_7d": None,
        # 20, 15 and 10 users a day, 40 in 28 days.
        "stickiness": 0.375,
        "completion_rate": 0.2,
        "share_rate": 0.1,
        "k_factor": 0.3,
        "events_per_session": 4.0,
        "duration_median_s": 3.0,
    }
    assert (by_feature["Search"]["completion_rate"], by_feature["Basket"]["completion_rate"]) == (None, 0.7)
    assert (by_feature["Search"]["adoption_before"], by_feature["Search"]["new_adopters"]) == (None, 1)
    assert by_feature["Nobody"]["adoption"] is None


def test_who_came_again_is_of_all_whose_seven_days_ended_within_the_28() -> None:
    rows = [
        adopted(0, 40, second_use_7d=1.0),
        adopted(7, 40, new_adopters=1, second_use_7d=0.0),
        adopted(14, 40, new_adopters=9, second_use_7d=None),
        # The seven days of these ended before the 28 begin, and those of the first on their first.
        adopted(27, 40, new_adopters=50, second_use_7d=0.25),
        adopted(28, 40, new_adopters=70, second_use_7d=1.0),
        adopted(34, 40, new_adopters=10, second_use_7d=0.0),
        adopted(35, 40, new_adopters=90, second_use_7d=0.0),
    ]
    (cart,) = impact.adoption(snapshot_of({ADOPTION: rows, ENGAGEMENT: []}))
    # One of one, none of nine, and a quarter of ten; nobody knows of those new 14 days ago before that.
    assert cart["second_use_7d"] == pytest.approx((1 + 0 + 2.5) / (1 + 9 + 10))
    assert cart["stickiness"] == pytest.approx(20 / 40)


def test_data_are_young_while_the_month_touches_their_first_28_days() -> None:
    for days, is_young in ((54, True), (55, False)):
        rows = [{"event_date": ago(days), "feature": "Cart", "event_name": "use", "events": 1}]
        assert impact.is_young(snapshot_of({"impact.event_days": rows})) is is_young
    assert not impact.is_young(snapshot_of({}))


def test_where_events_name_nobody_a_segment_is_unknown_and_not_empty() -> None:
    event = {"event_date": ago(1), "feature": "Cart", "event_name": "use", "events": 9}
    days = [{"event_date": ago(0), "segment": "keen", "members": 0, "entered": 0, "left": 0}]
    keen = {
        "kind": "segment", "name": "keen", "owner": "me", "version": "v", "path": "p", "error": None, "spec": "{}",
    }  # fmt: skip
    tables = {"impact.event_days": [event], "impact.segment_days": days, "impact.definitions": [keen]}
    reader = snapshot_of(tables | {"core.user_days": []})
    assert impact.is_anonymous(reader)
    (row,) = impact.segments(reader)
    assert (row["members"], row["entered"], row["left"], row["spark"], row["verdict"]) == (
        None, None, None, (), "Unknown: no event names its user.",
    )  # fmt: skip
    known = snapshot_of(tables | {"core.user_days": [{"event_date": ago(9), "user_id": "ann"}]})
    assert not impact.is_anonymous(known)
    assert impact.segments(known)[0]["members"] == 0
    # Where there are no events at all, nobody is missing yet.
    assert not impact.is_anonymous(snapshot_of(tables | {"impact.event_days": [], "core.user_days": []}))


def test_adoption_is_of_snapshots_that_have_it() -> None:
    for tables in ({}, {ADOPTION: ADOPTED[ADOPTION]}, {ENGAGEMENT: ADOPTED[ENGAGEMENT]}):
        assert impact.adoption(snapshot_of(tables)) == []
        assert impact.adoption_days(snapshot_of(tables), "Cart") == []
    assert impact.adoption(snapshot_of(ADOPTED, through=None)) == []


def test_days_of_adoption_have_their_engagement_where_there_is_any() -> None:
    reader = snapshot_of(ADOPTED | {CHECKS: [failing(1)]})
    found = impact.adoption_days(reader, "Cart")
    names = ("event_date", "mau", "completion_rate", "share_rate", "is_doubtful")
    assert [tuple(row[name] for name in names) for row in found] == [
        (ago(57), 7, None, None, False),
        (ago(29), 90, None, None, False),
        (ago(28), 50, None, None, False),
        (ago(27), 20, 0.9, None, False),
        (ago(1), 30, 0.2, None, True),
        (ago(0), 40, None, 0.1, False),
    ]


def test_a_curve_is_one_features_by_month_and_day() -> None:
    rows = [
        {"feature": feature, "cohort_month": ago(days), "day_n": n, "at_risk": 1, "adopted": 0}
        for feature, days, n in (("Cart", 0, 1), ("Cart", 30, 5), ("Cart", 30, 0), ("Search", 30, 1))
    ]
    found = impact.adoption_curve(snapshot_of({CURVE: rows}), "Cart")
    assert [(row["cohort_month"], row["day_n"]) for row in found] == [(ago(30), 0), (ago(30), 5), (ago(0), 1)]
    reader: Reader = snapshot_of({})
    assert impact.adoption_curve(reader, "Cart") == []
