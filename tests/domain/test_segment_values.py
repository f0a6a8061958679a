"""Segments on a small history: who comes and goes when, by a plain look at each day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from small_tables import asked, make

from quality_assets.contracts.definitions import Segment
from quality_assets.domain.impact import segments
from quality_assets.domain.impact.funnels import Bound

D0 = date(2026, 1, 1)
START, END = 20, 34
DAILY = list(range(START, END + 1))
SPARSE = [20, 22, 25, 26, 33, 34]

# By user and day: what the day said of platform, country and version.
LIVED: dict[str, dict[int, tuple[str | None, str | None, str | None]]] = {
    "ann": {
        10: ("web", "de", "v1"), 15: ("ios", "de", "v1"), 20: ("ios", None, "v1"), 21: (None, "se", "v2"),
        22: ("web", "fi", None), 26: ("ios", "de", "v1"), 33: ("web", "se", "v2"),
    },
    "bob": {18: ("ios", "fi", "v1"), 24: ("web", "se", "v2"), 25: ("ios", "fi", "v1"), 26: ("tv", "fi", "v1")},
    # Ninety days later, on the 26th, it is over.
    "cyd": {-64: ("ios", "se", "v2")},
    "dan": {29: ("ios", "de", "v2"), 30: ("ios", "de", "v2"), 31: ("ios", "de", "v2"), 32: ("ios", "de", "v2")},
    "eve": {5: ("web", "fi", "v1"), 27: ("web", "fi", "v2")},
}  # fmt: skip
USED = {
    ("Cart", "ann"): {15: 1, 20: 2, 21: 1, 26: 3},
    ("Cart", "bob"): {18: 3, 24: 1, 25: 1, 26: 1},
    ("Search", "ann"): {20: 9, 33: 9},
    ("Cart", "dan"): {30: 4},
}
JOINED = {"ann": 10, "bob": 18, "cyd": -64, "dan": 29, "eve": 5}
# (user, week, rank, band)
SCORED = [
    ("ann", 17, 0.5, "middle"), ("ann", 24, 0.95, "high"), ("ann", 31, 0.2, "low"), ("bob", 24, 0.8, "middle"),
    ("bob", 31, 0.49, "low"), ("eve", 17, 0.96, "high"), ("eve", 24, 0.79, "middle"), ("dan", 31, 0.81, "middle"),
]  # fmt: skip
MEMBERS = ("eve", "cyd", "ann")


def active(user: str, day: int, within: int) -> int:
    return sum(day - within < n <= day for n in LIVED[user])


def uses(user: str, day: int, within: int) -> int:
    return sum(events for n, events in USED.get(("Cart", user), {}).items() if day - within < n <= day)


def tenure(user: str, day: int) -> int:
    return day - JOINED[user]


def last_said(user: str, day: int, column: int) -> str | None:
    return next(
        (said[column] for n, said in sorted(LIVED[user].items(), reverse=True) if n <= day and said[column]), None
    )


def scored(user: str, day: int, holds: Callable[[float, str], bool]) -> bool:
    return any(who == user and week <= day < week + 7 and holds(rank, band) for who, week, rank, band in SCORED)


SEGMENTS: dict[str, tuple[dict[str, Any], int, Callable[[str, int], bool]]] = {
    "two or three days of four": (
        {"all": [{"active_days": {"at_least": 2, "at_most": 3, "within": "4d"}}]},
        4,
        lambda user, day: 2 <= active(user, day, 4) <= 3,
    ),
    "at most one day of seven": (
        {"all": [{"active_days": {"at_most": 1, "within": "7d"}}]},
        90,
        lambda user, day: active(user, day, 7) <= 1,
    ),
    "carts of some places": (
        {
            "all": [{"uses": {"feature": "Cart", "at_least": 3, "at_most": 4, "within": "5d"}}],
            "any": [{"platform": ["ios", "tv"]}, {"country": "se"}],
        },
        5,
        lambda user, day: (
            3 <= uses(user, day, 5) <= 4
            and (last_said(user, day, 0) in ("ios", "tv") or last_said(user, day, 1) == "se")
        ),
    ),
    "not lately, and neither new nor old": (
        {
            "all": [
                {"not_used": {"feature": "Cart", "within": "3d"}},
                {"tenure": {"at_least": "2d", "at_most": "15d"}},
            ]
        },
        90,
        lambda user, day: uses(user, day, 3) == 0 and 2 <= tenure(user, day) <= 15,
    ),
    "new": ({"all": [{"tenure": {"at_most": "5d"}}]}, 90, lambda user, day: 0 <= tenure(user, day) <= 5),
    "old or of a version": (
        {"any": [{"tenure": {"at_least": "12d"}}, {"version": ["v2"]}]},
        90,
        lambda user, day: tenure(user, day) >= 12 or last_said(user, day, 2) == "v2",
    ),
    "likely to stay away": (
        {"all": [{"score": {"band": ["high", "middle"], "at_most": 0.95}}, {"country": ["de", "fi"]}]},
        90,
        lambda user, day: (
            scored(user, day, lambda rank, band: band in ("high", "middle") and rank <= 0.95)
            and last_said(user, day, 1) in ("de", "fi")
        ),
    ),
    "in the middle": (
        {"all": [{"score": {"at_least": 0.5, "at_most": 0.8}}]},
        90,
        lambda user, day: scored(user, day, lambda rank, _: 0.5 <= rank <= 0.8),
    ),
    "as often as they use it": (
        {
            "all": [
                {"active_days": {"at_least": 1, "within": "6d"}},
                {"uses": {"feature": "Cart", "at_least": 1, "within": "6d"}},
            ],
            "any": [{"active_days": {"at_least": 3, "within": "6d"}}, {"active_days": {"at_most": 1, "within": "6d"}}],
        },
        6,
        lambda user, day: active(user, day, 6) in (1, 3, 4, 5, 6) and uses(user, day, 6) >= 1,
    ),
}


def of(**said: Any) -> Segment:
    return Segment.model_validate({"name": "some", "owner": "me", **said})


def on(n: int) -> date:
    return D0 + timedelta(days=n)


@pytest.fixture(scope="module")
def connection() -> Any:
    """The history as tables."""
    with duckdb.connect() as opened:
        make(
            opened,
            "lived",
            "user_id varchar, event_date date, platform varchar, country varchar, version varchar",
            [(user, on(n), *said) for user, days in LIVED.items() for n, said in days.items()],
        )
        make(
            opened,
            "used",
            "feature varchar, user_id varchar, event_date date, events bigint",
            [(feature, user, on(n), events) for (feature, user), days in USED.items() for n, events in days.items()],
        )
        make(opened, "joined", "user_id varchar, joined_date date", [(user, on(n)) for user, n in JOINED.items()])
        make(
            opened,
            "scored",
            "user_id varchar, as_of_date date, rank double, band varchar",
            [(user, on(n), rank, band) for user, n, rank, band in SCORED],
        )
        make(opened, "members", "user_id varchar", [(user,) for user in MEMBERS])
        yield opened


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("is_daily", [True, False])
def test_people_come_and_go_on_the_days_on_which_it_begins_and_ceases_to_hold(
    connection: duckdb.DuckDBPyConnection, name: str, is_daily: bool
) -> None:
    said, horizon, holds = SEGMENTS[name]
    built = DAILY if is_daily else SPARSE
    make(connection, "built", "event_date date", [(on(n),) for n in built])
    bound = Bound()
    query = segments.transitions_sql(of(**said), "lived", "used", bound, is_daily=is_daily)
    found = asked(connection, query, {**bound.values, "start": on(START)})
    wanted = []
    for user in LIVED:
        was = user in MEMBERS
        for day in built:
            # Whoever was not there for longer than that is no member.
            now = active(user, day, horizon) > 0 and holds(user, day)
            if now != was:
                wanted.append((user, on(day), now))
            was = now
    assert sorted((row["user_id"], row["day"], row["is_member"]) for row in found) == sorted(wanted)


def test_how_far_back_a_segment_looks() -> None:
    used, lately = {"feature": "Cart", "within": "9d"}, {"within": "5d"}
    assert segments.horizon_days(of(all=[{"active_days": {"at_least": 1} | lately}])) == 5
    assert segments.horizon_days(of(all=[{"uses": used | {"at_least": 1}}])) == 9
    # The longest look of all, once somebody must have been there.
    both = {"all": [{"active_days": {"at_least": 1} | lately}], "any": [{"not_used": used}, {"platform": "ios"}]}
    assert segments.horizon_days(of(**both)) == 9
    assert segments.horizon_days(of(all=[{"active_days": {"at_most": 3} | lately}])) == 90
    assert segments.horizon_days(of(all=[{"not_used": used}])) == 90
    assert segments.horizon_days(of(any=[{"active_days": {"at_least": 1} | lately}])) == 90


def test_how_often_and_how_long_a_member_was_there() -> None:
    days = [{"active_days": {"at_least": n, "within": "9d"}} for n in (2, 4, 3)]
    assert segments.least_active_days(of(all=days)) == 4
    assert segments.least_active_days(of(all=[{"active_days": {"at_most": 5, "within": "9d"}}])) == 1
    assert segments.least_active_days(of(all=[{"platform": "ios"}], any=days)) == 1
    tenures = [{"tenure": {"at_most": "9d"}}, {"tenure": {"at_most": "5d"}}, {"tenure": {"at_least": "1d"}}]
    assert segments.longest_tenure_days(of(all=tenures)) == 5
    assert segments.longest_tenure_days(of(all=tenures[2:])) is None
    assert segments.longest_tenure_days(of(any=tenures)) is None


def test_what_a_segment_asks_of_its_people() -> None:
    plain = of(all=[{"active_days": {"at_least": 1, "within": "5d"}}])
    rich = of(
        all=[{"version": "v1"}, {"uses": {"feature": "Search", "at_least": 1, "within": "5d"}}],
        any=[
            {"platform": "ios"},
            {"not_used": {"feature": "Cart", "within": "5d"}},
            {"uses": {"feature": "Search", "at_most": 1, "within": "2d"}},
        ],
    )
    assert (segments.columns_asked(plain), segments.columns_asked(rich)) == ((), ("platform", "version"))
    assert (segments.features_asked(plain), segments.features_asked(rich)) == ([], ["Cart", "Search"])
    tenured, risky = {"tenure": {"at_least": "1d"}}, {"score": {"band": "high"}}
    for given, is_tenure, is_score in (
        ({"all": [tenured, {"platform": "ios"}]}, True, False),
        ({"all": [{"platform": "ios"}], "any": [tenured, {"country": "de"}]}, True, False),
        ({"all": [risky, {"platform": "ios"}]}, False, True),
        ({"all": [{"platform": "ios"}], "any": [{"country": "de"}, risky]}, False, True),
        ({"all": [{"platform": "ios"}]}, False, False),
    ):
        assert (segments.asks_tenure(of(**given)), segments.asks_score(of(**given))) == (is_tenure, is_score)
    assert segments.SCORE_DAYS == 7
