"""Sharing, invitations and engagement of a few people, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from small_tables import asked, make

from quality_assets.contracts.definitions import Sharing
from quality_assets.domain.impact import engagement
from quality_assets.domain.impact.funnels import Bound

D0 = date(2026, 3, 2)


def day(n: int) -> date:
    return D0 + timedelta(days=n)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own."""
    with duckdb.connect() as opened:
        yield opened


# (user, day, hour, feature, event, who is named as inviter)
EVENTS: list[tuple[str | None, int, int, str, str, str | None]] = [
    ("ann", -1, 8, "Quiz", "share", None),
    *((user, 0, 9, "Quiz", "result", None) for user in ("ann", "bob", "cyd", "dan")),
    *((user, 0, 10, "Quiz", "share", None) for user in ("ann", "bob", "eve", None)),
    ("fay", 0, 10, "Other", "result", None),
    ("fay", 0, 10, "Other", "scroll", None),
    ("ann", 2, 10, "Quiz", "share", None),
    ("ann", 20, 10, "Quiz", "share", None),
    ("gil", 21, 10, "Quiz", "share", None),
    ("hal", 28, 10, "Quiz", "share", None),
    ("hal", 29, 10, "Quiz", "share", None),
    # Who joins and names an inviter; the first that is named, on the first day alone.
    ("new1", 1, 11, "Home", "look", "bob"),
    ("new1", 1, 10, "Home", "look", "ann"),
    ("new1", 3, 9, "Home", "look", "ann"),
    ("new2", 7, 10, "Home", "look", "bob"),
    ("new3", 8, 10, "Home", "look", "bob"),
    ("new4", 0, 9, "Home", "look", "eve"),
    ("new5", 1, 10, "Home", "look", None),
    ("new6", 3, 10, "Home", "look", "ann"),
    ("eve", 0, 9, "Home", "look", "eve"),
    ("cyd", 3, 10, "Home", "look", "bob"),
    # Names somebody days after joining.
    ("fay", 5, 10, "Home", "look", "ann"),
    ("new7", 28, 10, "Home", "look", "zoe"),
]


def shared(connection: duckdb.DuckDBPyConnection, sharing: Sharing, through: int) -> dict[tuple[int, str], Any]:
    """(share rate, k) by day and feature, from the first day to the 28th after it."""
    make(
        connection,
        "events",
        "user_id varchar, event_date date, event_time timestamp, feature varchar, event_name varchar,"
        " properties varchar",
        [
            (user, day(n), datetime.combine(day(n), datetime.min.time()) + timedelta(hours=hour), feature, event,
             None if by is None else f'{{"by": "{by}"}}')
            for user, n, hour, feature, event, by in EVENTS
        ],
    )  # fmt: skip
    joined = {"ann": -9, "bob": -9, "cyd": -9, "dan": -9, "eve": 0, "new1": 1, "new2": 7, "new3": 8, "new4": 0}
    joined |= {"new5": 1, "new6": 3, "new7": 28, "fay": 0}
    make(
        connection,
        "core.first_uses",
        "feature varchar, user_id varchar, joined_date date",
        [(feature, user, day(n)) for user, n in joined.items() for feature in ("*", "Home")],
    )
    bound = Bound()
    query = engagement.sharing_sql(sharing, "events", bound)
    parameters = {**bound.values, "start": D0, "end": day(28)}
    if sharing.inviter:
        parameters["through"] = day(through)
    found = asked(connection, query, parameters)
    return {((row["event_date"] - D0).days, row["feature"]): (row["share_rate"], row["k_factor"]) for row in found}


def sharing(**more: Any) -> Sharing:
    said = {"owner": "me", "share": {"event_name": "share"}, "result": {"event_name": "result"}}
    return Sharing.model_validate(said | more)


def test_who_joins_counts_for_the_last_share_of_whom_they_name(connection: duckdb.DuckDBPyConnection) -> None:
    found = shared(connection, sharing(inviter="properties.by"), 35)
    assert found == {
        # Of four who saw a result two shared. Three sharers: new1 by ann, new2 by bob a week later, new4 by eve.
        (0, "Quiz"): (0.5, 1.0),
        # Nobody shared, who could have brought anybody.
        (0, "Other"): (0.0, None),
        # new6 by ann.
        (2, "Quiz"): (None, 1.0),
        # The next who names anybody joins eight days later, and seven after that of the day after.
        (20, "Quiz"): (None, None),
        (21, "Quiz"): (None, 0.0),
        (28, "Quiz"): (None, 0.0),
    }


def test_no_k_is_told_before_its_days_are_over(connection: duckdb.DuckDBPyConnection) -> None:
    found = shared(connection, sharing(inviter="properties.by"), 8)
    assert {n: k for (n, feature), (_, k) in found.items() if feature == "Quiz"} == {
        0: 1.0, 2: None, 20: None, 21: None, 28: None,
    }  # fmt: skip
    assert shared(connection, sharing(inviter="properties.by"), 6)[0, "Quiz"] == (0.5, None)
    assert shared(connection, sharing(inviter="properties.by"), 7)[0, "Quiz"] == (0.5, 1.0)


def test_a_share_of_one_feature_is_of_results_anywhere_and_has_no_k_without_inviters(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = shared(connection, sharing(share={"event_name": "share", "feature": "Quiz"}), 35)
    # Five saw a result, one of them elsewhere.
    assert found == {(0, "Quiz"): (0.4, None), **{(n, "Quiz"): (None, None) for n in (2, 20, 21, 28)}}


def test_a_day_of_a_feature_has_its_sessions_its_funnels_end_and_its_shares(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    numbers = (5, 2, 2.5, 2.0, 10.0, 20.0)
    make(
        connection,
        "core.feature_session_days",
        "event_date date, feature varchar, sessions bigint, one_event_sessions bigint, events_mean double,"
        " events_median double, duration_median_s double, duration_p90_s double",
        [(day(n), feature, *numbers) for n in (-1, 0, 1, 2) for feature in ("Quiz", "Search")],
    )
    make(connection, "completing", "feature varchar, funnel varchar, step integer", [("Quiz", "quiz", 3)])
    make(
        connection,
        "impact.funnel_days",
        "funnel varchar, step integer, entry_date date, segment varchar, from_start double",
        [
            ("quiz", 3, D0, None, 0.4),
            ("quiz", 2, D0, None, 0.7),
            ("quiz", 3, D0, "platform", 0.9),
            ("other", 3, D0, None, 0.1),
            ("quiz", 3, day(2), None, 0.2),
        ],
    )
    make(
        connection,
        "told",
        "event_date date, feature varchar, share_rate double, k_factor double",
        [(D0, "Quiz", 0.5, 1.5), (day(1), "Search", 0.25, None), (day(1), "None", 0.1, 0.1)],
    )
    span = {"start": D0, "end": day(1)}
    query = f"select * from ({engagement.engagement_days_sql('select * from told')}) order by event_date, feature"
    names = (
        "event_date", "feature", "sessions", "one_event_sessions", "events_per_session_mean",
        "events_per_session_median", "duration_median_s", "duration_p90_s", "completion_rate", "share_rate", "k_factor",
    )  # fmt: skip
    assert asked(connection, query, span) == [
        dict(zip(names, row, strict=True))
        for row in (
            (D0, "Quiz", *numbers, 0.4, 0.5, 1.5),
            (D0, "Search", *numbers, None, None, None),
            (day(1), "Quiz", *numbers, None, None, None),
            (day(1), "Search", *numbers, None, 0.25, None),
        )
    ]
    alone = asked(connection, engagement.engagement_days_sql(engagement.NO_SHARING_SQL), span)
    assert [(row["share_rate"], row["k_factor"]) for row in alone] == [(None, None)] * 4
