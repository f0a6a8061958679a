"""First uses, returns of cohorts and adoption on small histories: worked by hand, or by a plain loop over days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from math import exp, log, sqrt
from typing import Any

import duckdb
import pytest
from small_tables import asked, make, wilson

from quality_assets.domain.impact import cohorts

D0 = date(2026, 3, 1)
FIRST_USES = (
    "feature varchar, user_id varchar, first_use_date date, first_event_at timestamp, platform varchar,"
    " country varchar, is_left_truncated boolean, joined_date date"
)


def day(n: int) -> date:
    return D0 + timedelta(days=n)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own."""
    with duckdb.connect() as opened:
        yield opened


def first_uses(connection: duckdb.DuckDBPyConnection, rows: list[tuple[str, str, int]]) -> None:
    """Make core.first_uses of (feature, user, day)."""
    joined = {user: n for feature, user, n in rows if feature == "*"}
    make(
        connection,
        "core.first_uses",
        FIRST_USES,
        [(f, u, day(n), datetime(2026, 1, 1), "ios", "de", False, day(joined.get(u, n))) for f, u, n in rows],
    )


def key_of(connection: duckdb.DuckDBPyConnection, feature: str, user: str) -> int:
    return int(asked(connection, "select hash($f, $u) as key", {"f": feature, "u": user})[0]["key"])


def test_usage_leaves_out_the_days_on_which_a_user_was_automated(connection: duckdb.DuckDBPyConnection) -> None:
    make(
        connection,
        "used",
        "event_date date, feature varchar, user_id varchar",
        [(day(0), "Cart", "ann"), (day(0), "Cart", "bot"), (day(1), "Cart", "bot")],
    )
    make(
        connection,
        "lived",
        "event_date date, user_id varchar, is_automated boolean",
        [(day(0), "ann", False), (day(0), "bot", True), (day(1), "bot", False)],
    )
    found = asked(connection, cohorts.usage_sql("used", "lived"))
    wanted = [(0, "*", "ann"), (0, "Cart", "ann"), (1, "*", "bot"), (1, "Cart", "bot")]
    assert sorted((row["event_date"], row["feature"], row["user_id"]) for row in found) == [
        (day(n), feature, user) for n, feature, user in wanted
    ]
    keyed = asked(connection, cohorts.keyed_usage_sql("used", "lived"))
    assert sorted((row["event_date"], row["feature"], row["key"]) for row in keyed) == [
        (day(n), feature, key_of(connection, feature, user)) for n, feature, user in wanted
    ]


def test_new_uses_are_those_of_the_days_asked_that_nobody_knows(connection: duckdb.DuckDBPyConnection) -> None:
    first_uses(connection, [("Cart", "ann", 0), ("*", "ann", 0), ("*", "bob", 0)])
    rows = [
        (0, "Cart", "bob"), (1, "Cart", "bob"), (3, "Cart", "bob"), (1, "Cart", "ann"), (3, "Search", "ann"),
        (1, "*", "ann"), (4, "*", "cyd"), (0, "Cart", "dan"),
    ]  # fmt: skip
    make(
        connection,
        "usage",
        "event_date date, feature varchar, user_id varchar",
        [(day(n), feature, user) for n, feature, user in rows],
    )
    found = asked(connection, cohorts.new_uses_sql("usage"), {"start": day(1), "end": day(3)})
    assert sorted(found, key=str) == [
        {
            "feature": feature,
            "user_id": user,
            "first_use_date": day(n),
            "key": key_of(connection, feature, user),
            "user_key": key_of(connection, "*", user),
        }
        for feature, user, n in (("Cart", "bob", 1), ("Search", "ann", 3))
    ]


def made_first_uses(connection: duckdb.DuckDBPyConnection, first_date: date) -> list[tuple[Any, ...]]:
    """The rows of core.first_uses for bob, who is new, and for ann, who finds the Cart two days after she joined."""
    first_uses(connection, [("*", "ann", -2), ("Search", "ann", -2), ("*", "zoe", -9)])
    times = {"early": datetime(2026, 3, 1, 8), "mid": datetime(2026, 3, 1, 9), "late": datetime(2026, 3, 1, 10)}
    make(
        connection,
        "events",
        "feature varchar, user_id varchar, event_time timestamp, platform varchar, country varchar",
        [
            ("Cart", "bob", times["late"], "tv", "no"),
            ("Cart", "bob", times["mid"], "web", "se"),
            ("Search", "bob", times["early"], "ios", "de"),
            ("Cart", "ann", times["late"], None, None),
            ("Search", "ann", times["early"], "ios", "de"),
            ("Cart", None, times["early"], "ios", "de"),
        ],
    )
    new = [("*", "bob"), ("Cart", "bob"), ("Search", "bob"), ("Cart", "ann")]
    make(connection, "named", "feature varchar, user_id varchar, first_use_date date", [(*row, day(0)) for row in new])
    connection.execute(
        "create or replace table new_uses as"
        " select *, hash(feature, user_id) as key, hash('*', user_id) as user_key from named"
    )
    connection.execute(f"create or replace table moments as {cohorts.first_moments_sql('new_uses', 'events')}")
    connection.execute(f"create or replace table said as {cohorts.said_sql('events')}")
    found = asked(
        connection,
        cohorts.first_uses_sql("new_uses", "moments", "said"),
        {"first_date": first_date},
    )
    return sorted((tuple(row.values()) for row in found), key=str)


def test_a_first_use_has_the_time_and_the_place_of_its_first_event(connection: duckdb.DuckDBPyConnection) -> None:
    found = made_first_uses(connection, day(-27))
    early, mid, late = (datetime(2026, 3, 1, hour) for hour in (8, 9, 10))
    # In the first 28 days of the data: the last day of those.
    assert found == [
        ("*", "bob", day(0), early, "ios", "de", True, day(0)),
        ("Cart", "ann", day(0), late, None, None, True, day(-2)),
        ("Cart", "bob", day(0), mid, "web", "se", True, day(0)),
        ("Search", "bob", day(0), early, "ios", "de", True, day(0)),
    ]
    assert {row[6] for row in made_first_uses(connection, day(-28))} == {False}


def test_who_is_followed_is_whose_first_use_was_at_most_92_days_before(connection: duckdb.DuckDBPyConnection) -> None:
    first_uses(connection, [("Cart", "old", -93), ("Cart", "ann", -92), ("Cart", "bob", 2), ("Cart", "new", 3)])
    make(
        connection, "usage", "key ubigint", [(key_of(connection, "Cart", "bob"),), (key_of(connection, "Cart", "new"),)]
    )
    span = {"start": day(0), "end": day(2)}

    def found(*, of_many_days: bool) -> list[tuple[Any, ...]]:
        rows = asked(connection, cohorts.active_sql("usage", of_many_days=of_many_days), span)
        return sorted((row["cohort_date"], row["key"]) for row in rows)

    ann, bob = ((day(n), key_of(connection, "Cart", user)) for n, user in ((-92, "ann"), (2, "bob")))
    assert found(of_many_days=True) == [ann, bob]
    assert found(of_many_days=False) == [bob]


def cells(
    connection: duckdb.DuckDBPyConnection, lives: dict[tuple[str, str], list[int]], start: int, end: int
) -> list[tuple[Any, ...]]:
    """Rows of impact.retention_cells of who was there on which days, the first of them first."""
    first_uses(connection, [(feature, user, days[0]) for (feature, user), days in lives.items()])
    make(
        connection,
        "usage",
        "event_date date, feature varchar, key ubigint",
        [(day(n), feature, key_of(connection, feature, user)) for (feature, user), days in lives.items() for n in days],
    )
    connection.execute(
        "create or replace table active as"
        " select hash(feature, user_id) as key, first_use_date as cohort_date from core.first_uses"
    )
    found = asked(connection, cohorts.retention_cells_sql("active", "usage"), {"start": day(start), "end": day(end)})
    return sorted(
        (row["feature"], (row["cohort_date"] - D0).days, (row["event_date"] - D0).days, row["users"], row["previous"])
        for row in found
    )


def test_who_came_back_is_counted_by_the_day_on_which_they_were_there_before(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    lives = {
        ("Cart", "ann"): [0, 1, 3],
        ("Cart", "bob"): [0, 3],
        ("Cart", "cyd"): [0],
        ("Cart", "dan"): [2, 3],
        ("Search", "ann"): [1, 3],
    }
    assert cells(connection, lives, 0, 3) == [
        ("Cart", 0, 0, 3, {}),
        ("Cart", 0, 1, 1, {0: 1}),
        ("Cart", 0, 3, 2, {0: 1, 1: 1}),
        ("Cart", 2, 2, 1, {}),
        ("Cart", 2, 3, 1, {0: 1}),
        ("Search", 1, 1, 1, {}),
        ("Search", 1, 3, 1, {0: 1}),
    ]
    # Of later days alone, what was before them counts as well.
    assert cells(connection, lives, 2, 3) == [
        ("Cart", 0, 3, 2, {0: 1, 1: 1}),
        ("Cart", 2, 2, 1, {}),
        ("Cart", 2, 3, 1, {0: 1}),
        ("Search", 1, 3, 1, {0: 1}),
    ]
    assert cells(connection, lives, 1, 2) == [
        ("Cart", 0, 1, 1, {0: 1}),
        ("Cart", 2, 2, 1, {}),
        ("Search", 1, 1, 1, {}),
    ]


def test_nobody_is_followed_beyond_92_days_and_no_last_day_is_told_from_30_on(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    lives = {("Cart", "ann"): [0, 29, 30, 31, 92, 93]}
    assert cells(connection, lives, 0, 100) == [
        ("Cart", 0, 0, 1, {}),
        ("Cart", 0, 29, 1, {0: 1}),
        ("Cart", 0, 30, 1, {29: 1}),
        ("Cart", 0, 31, 1, {}),
        ("Cart", 0, 92, 1, {}),
    ]
    assert [row[2] for row in cells(connection, lives, 30, 31)] == [30, 31]


CELLS = [
    # Six in the Cart: two come on day 1, one of whom on day 3, with another who comes on day 30 again; one comes on
    # day 31 only, one on day 92 only, one never.
    ("Cart", 0, 0, 6, {}),
    ("Cart", 0, 1, 2, {0: 2}),
    ("Cart", 0, 3, 2, {0: 1, 1: 1}),
    ("Cart", 0, 30, 1, {3: 1}),
    ("Cart", 0, 31, 1, {0: 1}),
    ("Cart", 0, 92, 1, {0: 1}),
    ("Search", 1, 1, 2, {}),
    ("Search", 1, 61, 1, {0: 1}),
    ("Search", 2, 2, 5, {}),
    ("Search", -1, -1, 5, {}),
]
LIVES = {
    ("Cart", 0): [[1, 3], [1], [3, 30], [31], [92], []],
    ("Search", 1): [[60], []],
}


@pytest.mark.parametrize("last", [29, 30, 31, 91, 92, 95])
def test_a_return_is_counted_by_each_kind_as_far_as_there_are_days(
    connection: duckdb.DuckDBPyConnection, last: int
) -> None:
    make(
        connection,
        "impact.retention_cells",
        "feature varchar, cohort_date date, event_date date, users bigint, previous map(integer, bigint)",
        [],
    )
    for feature, cohort, event, users, previous in CELLS:
        connection.execute(
            "insert into impact.retention_cells select $f, $c, $e, $u, cast(map($k, $v) as map(integer, bigint))",
            {
                "f": feature, "c": day(cohort), "e": day(event), "u": users,
                "k": list(previous), "v": list(previous.values()),
            },
        )  # fmt: skip
    # Nothing is known of day 2.
    there = [n for n in range(last + 1) if n != 2]
    make(connection, "built", "event_date date", [(day(n),) for n in there])
    wanted = {}
    for (feature, cohort), people in LIVES.items():
        for n in (*range(1, 31), 60, 90):
            for kind, until in (("exact", n), ("within_30", 30), ("on_or_after", 92)):
                observed = sum(n <= k - cohort <= until for k in there)
                if not observed or (n > 30 and kind != "exact"):
                    continue
                returned = sum(any(n <= k <= until for k in days) for days in people)
                low, high = wilson(returned, len(people))
                wanted[feature, n, kind] = {
                    "cohort_date": day(cohort),
                    "feature": feature,
                    "day_n": n,
                    "kind": kind,
                    "eligible": len(people),
                    "returned": returned,
                    "rate": pytest.approx(returned / len(people)),
                    "low": pytest.approx(low, abs=1e-12),
                    "high": pytest.approx(high, abs=1e-12),
                    "observed_days": observed,
                    "is_final": cohort + until <= last,
                }
    found = asked(connection, cohorts.retention_sql(), {"start": day(0), "end": day(1)})
    assert {(row["feature"], row["day_n"], row["kind"]): row for row in found} == wanted
    assert len(found) == len(wanted)


USED = {
    ("Cart", "ann"): [10, 13, 14, 40, 41],
    ("Cart", "bob"): [13, 33, 34, 40],
    ("Cart", "cyd"): [40],
    ("Cart", "eve"): [41],
    ("Search", "bob"): [12, 13],
    ("Search", "dan"): [14, 21],
    ("Help", "dan"): [33, 40, 41],
    # The first day after the first use counts, and so does the seventh.
    ("Help", "ann"): [33, 34],
    ("Help", "bob"): [33],
    ("Old", "ann"): [10],
}


def adoption_of(n: int, used: dict[tuple[str, str], list[int]], feature: str) -> dict[str, Any] | None:
    """What impact.feature_adoption says of a feature on a day, counted one user after another."""
    every = {user: sorted({k for (_, u), days in used.items() if u == user for k in days}) for _, user in used}
    own = {user: days for (f, user), days in used.items() if f == feature}

    def within(people: dict[str, list[int]], days: int) -> int:
        return sum(any(n - days < k <= n for k in each) for each in people.values())

    if not within(own, 28):
        return None
    today = [user for user, days in own.items() if n in days]
    week_before = [days for days in own.values() if days[0] == n - 7]
    again = sum(any(n - 7 < k <= n for k in days) for days in week_before)
    features = [sum(n in days for (_, u), days in used.items() if u == user) for user in today]
    return {
        "event_date": day(n),
        "feature": feature,
        "users": len(today),
        "all_users": within(every, 1),
        "wau": within(own, 7),
        "mau": within(own, 28),
        "all_wau": within(every, 7),
        "all_mau": within(every, 28),
        "new_adopters": sum(days[0] == n for days in own.values()),
        "second_use_7d": again / len(week_before) if week_before else None,
        "stickiness": len(today) / within(own, 28),
        # Each user makes as many events a day as their name and the feature have letters.
        "events_per_user": sum(len(user) + len(feature) for user in today) / len(today) if today else None,
        "features_per_user": sum(features) / len(today) if today else None,
    }


@pytest.mark.parametrize(("start", "end"), [(40, 40), (41, 41), (39, 41), (40, 42), (35, 43)])
def test_adoption_of_one_day_and_of_many_is_that_of_a_plain_count(
    connection: duckdb.DuckDBPyConnection, start: int, end: int
) -> None:
    people = {user for _, user in USED}
    every = {user: sorted({n for (_, u), days in USED.items() if u == user for n in days}) for user in people}
    lives = USED | {("*", user): days for user, days in every.items()}
    first_uses(connection, [(feature, user, days[0]) for (feature, user), days in lives.items()])
    make(
        connection,
        "usage",
        "event_date date, feature varchar, key ubigint",
        [
            (day(n), feature, key_of(connection, feature, user))
            for (feature, user), days in lives.items()
            for n in days
            if start - 27 <= n <= end
        ],
    )
    make(
        connection,
        "uses",
        "event_date date, feature varchar, events bigint, features bigint",
        [
            (day(n), feature, len(user) + len(feature), sum(n in d for (_, u), d in USED.items() if u == user))
            for (feature, user), days in USED.items()
            for n in days
            if start <= n <= end
        ],
    )
    # Of day 42 there are no events at all.
    built = [n for n in range(10, 44) if n != 42]
    make(connection, "built", "event_date date", [(day(n),) for n in built])
    query = cohorts.feature_adoption_sql("usage", "uses", of_one_day=start == end)
    found = asked(connection, query, {"start": day(start), "end": day(end)})
    wanted = [
        row
        for n in built
        if start <= n <= end
        for feature in sorted({feature for feature, _ in USED})
        if (row := adoption_of(n, USED, feature)) is not None
    ]
    assert sorted(found, key=lambda row: (row["event_date"], row["feature"])) == wanted


def curve_of(lasted: list[tuple[int, bool]]) -> list[tuple[Any, ...]]:
    """(day, at risk, adopted, share, low, high) by Kaplan and Meier of (days, whether adopted) of each person."""
    rows, share_left, greenwood = [], 1.0, 0.0
    for n in range(max(days for days, _ in lasted) + 1):
        at_risk = sum(days >= n for days, _ in lasted)
        adopted = sum(days == n and is_adopted for days, is_adopted in lasted)
        share_left *= 1 - adopted / at_risk
        greenwood += adopted / (at_risk * (at_risk - adopted)) if adopted < at_risk else 0
        share = 1 - share_left
        if share in (0, 1):
            rows.append((n, at_risk, adopted, share, share, share))
            continue
        theta = 1.959963984540054 * sqrt(greenwood) / log(share_left)
        rows.append((n, at_risk, adopted, share, 1 - share_left ** exp(theta), 1 - share_left ** exp(-theta)))
    return rows


def test_an_adoption_curve_counts_whoever_has_not_adopted_until_the_end_of_the_data(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    joined = {"ann": 0, "bob": 0, "cyd": 0, "dan": 0, "eve": 4, "zoe": 10, "fay": 32}
    adopted = [
        ("Cart", "ann", 2),
        ("Cart", "bob", 5),
        ("Cart", "eve", 4),
        ("Cart", "fay", 32),
        ("Cart", "cyd", 38),
        ("Search", "ann", 0),
    ]
    first_uses(connection, [*(("*", user, n) for user, n in joined.items()), *adopted])
    # Eight days after the last of them joined.
    found = asked(connection, cohorts.ADOPTION_CURVE_SQL, {"through": day(40)})
    march, april = date(2026, 3, 1), date(2026, 4, 1)
    # Time begins with joining, and not before somebody first used the feature: the Cart on day 2.
    wanted = {
        ("Cart", march): [(0, True), (3, True), (36, True), (38, False), (0, True), (30, False)],
        ("Cart", april): [(0, True)],
        ("Search", march): [(0, True), (40, False), (40, False), (40, False), (36, False), (30, False)],
        ("Search", april): [(8, False)],
    }
    for (feature, month), lasted in wanted.items():
        rows = sorted(
            (row["day_n"], row["at_risk"], row["adopted"], row["share"], row["low"], row["high"])
            for row in found
            if (row["feature"], row["cohort_month"]) == (feature, month)
        )
        assert rows == [pytest.approx(row, abs=1e-9) for row in curve_of(lasted)], (feature, month)
    assert {(row["feature"], row["cohort_month"]) for row in found} == set(wanted)
