"""Funnels of a few events, by hand: which events are steps, who entered, how far they came, and when that is known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from small_tables import asked, make, wilson

from quality_assets.contracts.definitions import Funnel, Happening
from quality_assets.domain.impact import funnels
from quality_assets.domain.impact.funnels import Bound

D0 = date(2026, 3, 2)
MIDNIGHT = datetime(2026, 3, 2)
LOOK, ADD = Happening(event_name="look"), Happening(feature="Cart", event_name="add")
PAY = Happening(event_name="pay", where={"kind": "card"})


def day(n: int) -> date:
    return D0 + timedelta(days=n)


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return MIDNIGHT + timedelta(hours=hour, minutes=minute, seconds=second)


def funnel(*steps: Happening, segments: tuple[str, ...] = (), unit: str = "user") -> Funnel:
    return Funnel.model_validate(
        {"name": "buy", "owner": "me", "window": "36h", "unit": unit, "steps": steps, "segments": segments}
    )


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own."""
    with duckdb.connect() as opened:
        yield opened


def test_values_are_bound_under_names_of_their_own() -> None:
    bound = Bound()
    assert [bound.mark("a"), bound.mark("b"), bound.mark("a")] == ["$value_0", "$value_1", "$value_2"]
    assert bound.values == {"value_0": "a", "value_1": "b", "value_2": "a"}
    assert funnels.json_path('a "b".c') == '$."a \\"b\\".c"'
    assert funnels.lacks_property_sql(LOOK, bound) == "false"


EVENTS = [
    ("ann", "s1", at(9), "Home", "look", None, "ios"),
    ("ann", None, at(9, 5), "Cart", "add", '{"by": "bob"}', "web"),
    ("ann", "s1", at(9, 6), "Search", "add", None, "ios"),
    ("ann", "s1", at(9, 10), "Home", "pay", '{"kind": "card"}', "ios"),
    ("ann", "s1", at(9, 11), "Home", "pay", '{"kind": "cash"}', "ios"),
    ("ann", "s1", at(9, 12), "Home", "pay", '{"sort": "card"}', "ios"),
    ("ann", "s1", at(9, 13), "Home", "pay", None, "ios"),
    (None, None, at(9, 14), "Home", "look", None, "ios"),
    ("bot", "s2", at(9, 15), "Home", "look", None, None),
    ("ann", "s1", at(9, 20), "Cart", None, None, "ios"),
    ("bob", None, at(10), "Home", "look", None, "ios"),
    ("bob", None, at(10, 1), "Home", "pay", '{"kind": "card", "by": "bob"}', "ios"),
    ("bob", None, at(10, 2), "Home", "scroll", None, "ios"),
    ("bot", "s2", at(33, 15), "Home", "look", None, None),
]
SESSIONS = [
    ("ann", "ann@1", at(9, 4), True),
    ("ann", "s1", at(9, 5), False),
    ("bob", "bob@1", at(9, 30), True),
    ("bob", "bob@2", at(10), True),
    ("bob", "bob@3", at(10, 2), True),
    ("bob", "s4", at(10), False),
    ("cyd", "cyd@1", at(10), True),
]


def steps_of(connection: duckdb.DuckDBPyConnection, asked_for: Funnel) -> list[dict[str, Any]]:
    """The rows of `steps_sql` of the events above, by time."""
    make(
        connection,
        "events",
        "event_date date, user_id varchar, session_id varchar, event_time timestamp, feature varchar,"
        " event_name varchar, properties varchar, platform varchar",
        [(row[2].date(), *row) for row in EVENTS],
    )
    make(
        connection,
        "sessions",
        "event_date date, user_id varchar, session_key varchar, started_at timestamp, is_derived boolean",
        [(row[2].date(), *row) for row in SESSIONS],
    )
    make(connection, "automated", "event_date date, user_id varchar", [(D0, "bot"), (D0, "zoe"), (day(1), "ann")])
    bound = Bound()
    query = funnels.steps_sql(asked_for, "events", "sessions", "automated", bound)
    return asked(connection, f"select * from ({query}) order by event_time", bound.values)


def step(
    time: datetime, steps: tuple[int, ...], lacks: tuple[int, ...], splits: tuple[Any, ...], unit: str | None,
    *, of: int = 3, is_automated: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """A row of `steps_sql`."""
    return {
        "event_date": time.date(),
        "event_time": time,
        **{f"is_step_{n}": n in steps for n in range(1, of + 1)},
        **{f"lacks_{n}": n in lacks for n in range(1, of + 1)},
        **{f"split_{n}": split for n, split in enumerate(splits)},
        "unit": unit,
        "is_automated": is_automated,
    }


def test_an_event_is_the_steps_that_it_names_and_is_told_what_it_lacks(connection: duckdb.DuckDBPyConnection) -> None:
    found = steps_of(connection, funnel(LOOK, ADD, PAY, segments=("platform", "properties.by")))
    assert found == [
        step(at(9), (1,), (), ("ios", None), "ann"),
        step(at(9, 5), (2,), (), ("web", "bob"), "ann"),
        step(at(9, 10), (3,), (), ("ios", None), "ann"),
        step(at(9, 12), (), (3,), ("ios", None), "ann"),
        step(at(9, 13), (), (3,), ("ios", None), "ann"),
        step(at(9, 14), (1,), (), ("ios", None), None),
        step(at(9, 15), (1,), (), (None, None), "bot", is_automated=True),
        step(at(10), (1,), (), ("ios", None), "bob"),
        step(at(10, 1), (3,), (), ("ios", "bob"), "bob"),
        # On another day the same user was no machine.
        step(at(33, 15), (1,), (), (None, None), "bot"),
    ]


def test_an_event_without_a_session_is_of_the_derived_one_that_began_last(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = steps_of(connection, funnel(LOOK, ADD, PAY, unit="session"))
    assert [(row["event_time"], row["unit"], row["is_automated"]) for row in found] == [
        (at(9), "s1", False),
        (at(9, 5), "ann@1", False),
        (at(9, 10), "s1", False),
        (at(9, 12), "s1", False),
        (at(9, 13), "s1", False),
        (at(9, 14), None, False),
        (at(9, 15), "s2", True),
        (at(10), "bob@2", False),
        (at(10, 1), "bob@2", False),
        (at(33, 15), "s2", False),
    ]


def test_a_step_may_be_all_events_of_a_feature_and_ask_for_two_properties(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    both = Happening(event_name="pay", where={"kind": "card", "by": "bob"})
    found = steps_of(connection, funnel(Happening(feature="Cart"), both))
    assert found == [
        step(at(9, 5), (1,), (), (), "ann", of=2),
        *(step(at(9, minute), (), (2,), (), "ann", of=2) for minute in (10, 11, 12, 13)),
        step(at(9, 20), (1,), (), (), "ann", of=2),
        step(at(10, 1), (2,), (), (), "bob", of=2),
    ]


def test_events_of_steps_are_counted_on_every_day_there_is(connection: duckdb.DuckDBPyConnection) -> None:
    make(connection, "built", "event_date date", [(day(n),) for n in (-1, 0, 1, 2)])
    make(
        connection,
        "steps",
        "event_date date, unit varchar, is_automated boolean, is_step_1 boolean, is_step_2 boolean, lacks_1 boolean,"
        " lacks_2 boolean",
        [
            (D0, "u", False, True, False, False, False),
            (D0, "u", False, True, False, False, False),
            (D0, None, False, True, False, False, False),
            (D0, None, True, True, False, False, False),
            (D0, "bot", True, True, True, False, False),
            (D0, None, True, False, True, False, False),
            (D0, "u", False, False, False, False, True),
            (D0, "v", False, True, False, False, True),
            (day(2), "u", False, True, False, False, False),
            (day(-1), "u", False, True, False, False, False),
        ],
    )
    bound = Bound()
    query = funnels.step_days_sql(funnel(LOOK, PAY), "steps", bound)
    found = asked(
        connection,
        f"select * from ({query}) order by event_date, step",
        {**bound.values, "start": D0, "end": day(1)},
    )
    names = ("events", "events_without_unit", "events_automated", "events_without_property")
    assert found == [
        {"event_date": on, "funnel": "buy", "step": n, **dict(zip(names, counts, strict=True))}
        for on, n, counts in (
            (D0, 1, (6, 2, 2, 0)),
            (D0, 2, (2, 1, 2, 2)),
            (day(1), 1, (0, 0, 0, 0)),
            (day(1), 2, (0, 0, 0, 0)),
        )
    ]


# (unit, time, step, platform, country), of nobody or of a machine where the unit says so.
STEPS: list[tuple[str | None, datetime, int, str | None, str | None]] = [
    # All of the first one's: the second step in the same instant, the third a second before the window's end.
    ("ann", at(9), 2, "tv", "no"),
    ("ann", at(10), 1, "ios", "de"),
    ("ann", at(11), 1, "web", "se"),
    ("ann", at(10), 2, "ios", "de"),
    ("ann", at(45, 59, 59), 3, "ios", "de"),
    # The third step comes as the window ends.
    ("bob", at(10), 1, "ios", "de"),
    ("bob", at(13), 2, "ios", "de"),
    ("bob", at(12), 2, "ios", "de"),
    ("bob", at(46), 3, "ios", "de"),
    # The second is missing.
    ("cyd", at(10, 0, 1), 1, "ios", "de"),
    ("cyd", at(11), 3, "ios", "de"),
    # Enters on both days.
    ("dan", at(10), 1, "ios", "de"),
    ("dan", at(34), 1, "web", "de"),
    ("dan", at(36), 2, "web", "de"),
    # What the first event does not say is not known; of two at one time, the first by name.
    ("eve", at(10), 1, None, "de"),
    ("eve", at(10, 30), 1, "ios", "de"),
    ("fay", at(10), 1, "web", "de"),
    ("fay", at(10), 1, "ios", "se"),
    ("bot", at(10), 1, "ios", "de"),
    (None, at(10), 1, "ios", "de"),
    ("gus", at(-1), 1, "ios", "de"),
    ("gus", at(48), 1, "ios", "de"),
]


def entries_of(connection: duckdb.DuckDBPyConnection, asked_for: Funnel) -> list[dict[str, Any]]:
    """The rows of `entries_sql` of two days; the data ends at 22:00 of the second."""
    make(
        connection,
        "steps",
        "event_date date, unit varchar, event_time timestamp, is_automated boolean, is_step_1 boolean,"
        " is_step_2 boolean, is_step_3 boolean, split_0 varchar, split_1 varchar",
        [
            (time.date(), unit, time, unit == "bot", n == 1, n == 2, n == 3, platform, country)
            for unit, time, n, platform, country in STEPS
        ],
    )
    bound = Bound()
    query = funnels.entries_sql(asked_for, "steps", bound)
    return asked(connection, query, {**bound.values, "start": D0, "end": day(1), "through_at": at(46)})


def test_an_entry_reaches_the_steps_that_follow_in_order_within_the_window(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = entries_of(connection, funnel(LOOK, ADD, PAY, segments=("platform", "country")))

    def entry(n: int, unit: str, times: list[datetime], platform: str | None, country: str, is_final: bool) -> Any:
        return {
            "entry_date": day(n),
            "funnel": "buy",
            "unit": unit,
            "step_at": times,
            "reached": len(times),
            "segments": {"platform": platform, "country": country},
            "is_final": is_final,
        }

    assert found == [
        entry(0, "ann", [at(10), at(10), at(45, 59, 59)], "ios", "de", True),
        entry(0, "bob", [at(10), at(12)], "ios", "de", True),
        entry(0, "cyd", [at(10, 0, 1)], "ios", "de", False),
        entry(0, "dan", [at(10), at(36)], "ios", "de", True),
        entry(0, "eve", [at(10)], None, "de", True),
        entry(0, "fay", [at(10)], "ios", "de", True),
        entry(1, "dan", [at(34), at(36)], "web", "de", False),
    ]


def test_a_funnel_that_is_not_split_has_no_segments(connection: duckdb.DuckDBPyConnection) -> None:
    found = entries_of(connection, funnel(LOOK, PAY))
    assert {(row["unit"], row["entry_date"].day, row["reached"]) for row in found} == {
        ("ann", 2, 2), ("bob", 2, 2), ("cyd", 2, 1), ("dan", 2, 2), ("dan", 3, 2), ("eve", 2, 1), ("fay", 2, 1),
    }  # fmt: skip
    assert all(row["segments"] == {} for row in found)


def make_step_days(connection: duckdb.DuckDBPyConnection) -> None:
    """Steps happen on few days; on the 50th half of the first step's events, and most of the second's, are nobody's."""
    happened = {-27: (10, 0, 10, 0), 3: (10, 0, 10, 0), 50: (10, 5, 10, 6), 90: (10, 0, 10, 0)}
    rows = [("other", day(n), number, 10, 0) for n in (31, 87) for number in (1, 2)]
    for n in range(-28, 95):
        first, first_nobodys, second, second_nobodys = happened.get(n, (0, 0, 0, 0))
        rows += [("buy", day(n), 1, first, first_nobodys), ("buy", day(n), 2, second, second_nobodys)]
    make(
        connection,
        "impact.funnel_step_days",
        "funnel varchar, event_date date, step integer, events bigint, events_without_unit bigint",
        rows,
    )


def funnel_days(
    connection: duckdb.DuckDBPyConnection, entries: list[tuple[int, list[datetime], str | None, bool]]
) -> list[dict[str, Any]]:
    """The rows of `funnel_days_sql` of (day, times of steps, platform, whether it is over)."""
    make_step_days(connection)
    make(
        connection,
        "entries",
        "entry_date date, step_at timestamp[], reached integer, segments map(varchar, varchar), is_final boolean",
        [],
    )
    for n, times, platform, is_final in entries:
        connection.execute(
            "insert into entries select $d, $t, $r, cast(map(['platform'], [$p]) as map(varchar, varchar)), $f",
            {"d": day(n), "t": times, "r": len(times), "p": platform, "f": is_final},
        )
    bound = Bound()
    query = funnels.funnel_days_sql(funnel(LOOK, PAY, segments=("platform",)), "entries", bound)
    return asked(
        connection,
        f"select * from ({query}) order by entry_date, segment nulls first, value nulls first, step",
        bound.values,
    )


def told(
    value: tuple[str | None, str | None], number: int, entered: int, reached: int, previous: float | None,
    times: tuple[float | None, float | None],
) -> dict[str, Any]:  # fmt: skip
    """A row of impact.funnel_days of the first day."""
    low, high = wilson(reached, entered)
    return {
        "entry_date": D0,
        "funnel": "buy",
        "segment": value[0],
        "value": value[1],
        "step": number,
        "entered": entered,
        "reached": reached,
        "from_start": reached / entered,
        "from_previous": previous,
        "low": pytest.approx(low, abs=1e-12),
        "high": pytest.approx(high, abs=1e-12),
        "median_s": times[0],
        "p90_s": times[1] if times[1] is None else pytest.approx(times[1]),
        "open": 0,
        "is_final": True,
    }


def test_a_day_of_entries_is_told_of_everyone_and_of_each_part(connection: duckdb.DuckDBPyConnection) -> None:
    found = funnel_days(
        connection,
        [
            (0, [at(10), at(10, 0, 10)], "ios", True),
            (0, [at(10), at(10, 1)], "ios", True),
            (0, [at(10)], "web", True),
            (0, [at(10), at(10, 0, 30)], None, True),
        ],
    )
    everyone, ios = (None, None), ("platform", "ios")
    assert found == [
        told(everyone, 1, 4, 4, None, (0.0, 0.0)),
        # 10, 30 and 60 s: nine tenths of the way lie four fifths from 30 to 60.
        told(everyone, 2, 4, 3, 0.75, (30.0, 54.0)),
        told(("platform", None), 1, 1, 1, None, (0.0, 0.0)),
        told(("platform", None), 2, 1, 1, 1.0, (30.0, 30.0)),
        told(ios, 1, 2, 2, None, (0.0, 0.0)),
        told(ios, 2, 2, 2, 1.0, (35.0, 55.0)),
        told(("platform", "web"), 1, 1, 1, None, (0.0, 0.0)),
        told(("platform", "web"), 2, 1, 0, 0.0, (None, None)),
    ]


def test_a_rate_is_known_once_all_windows_are_over_and_where_the_step_is_alive(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    both, one = [at(10), at(11)], [at(10)]
    found = funnel_days(
        connection,
        [
            # Alive by what happened on the last day of the window, the second after the day of entry.
            (1, both, None, True),
            # Of one that is open nothing is known, nor of one with it.
            (2, one, None, False),
            (2, both, None, True),
            (2, both, None, False),
            # 28 days after the last event, or three before the next: dead.
            (31, one, None, True),
            (87, one, None, True),
            # Half of the events of the first step are nobody's, and more of the second.
            (50, both, None, True),
        ],
    )
    said = [
        (
            (row["entry_date"] - D0).days, row["step"], row["entered"], row["reached"], row["open"], row["is_final"],
            row["from_start"], row["from_previous"], row["low"] is None, row["high"] is None,
        )
        for row in found
        if row["segment"] is None
    ]  # fmt: skip
    assert said == [
        (1, 1, 1, 1, 0, True, 1.0, None, False, False),
        (1, 2, 1, 1, 0, True, 1.0, 1.0, False, False),
        (2, 1, 3, 3, 0, False, None, None, True, True),
        (2, 2, 3, 2, 1, False, None, None, True, True),
        (31, 1, 1, 1, 0, True, None, None, True, True),
        (31, 2, 1, 0, 0, True, None, None, True, True),
        (50, 1, 1, 1, 0, True, 1.0, None, False, False),
        (50, 2, 1, 1, 0, True, None, None, True, True),
        (87, 1, 1, 1, 0, True, None, None, True, True),
        (87, 2, 1, 0, 0, True, None, None, True, True),
    ]
