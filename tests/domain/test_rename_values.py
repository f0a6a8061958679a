"""Names that came in the place of what vanished, by value: days, sizes, spelling, and parts that add up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from math import log
from typing import Any

import duckdb
import pytest

from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.features.renames import Appeared, _distance, _is_near, rename_candidates
from quality_assets.tables.incidents import APPEARED_SQL


def day(number: int) -> date:
    return date(2026, 3, 1) + timedelta(days=number)


def dead(name: str = "Search", usual: float | None = 100.0, event: str | None = None, **more: Any) -> dict[str, Any]:
    """What vanished on day 10."""
    return {
        "incident_id": f"inc-{name}", "kind": "dead", "feature": name, "event_name": event, "features": None,
        "start_date": day(10), "baseline_value": usual,
    } | more  # fmt: skip


def new(name: str, events: float, on: int = 10, event: str | None = None) -> Appeared:
    return Appeared(name, event, day(on), events)


def names(incidents: list[dict[str, Any]], appeared: list[Appeared]) -> dict[str, list[str]]:
    return {key: [each.name for each in found] for key, found in rename_candidates(incidents, appeared).items()}


@pytest.mark.parametrize(("on", "is_near"), [(7, False), (8, True), (10, True), (13, True), (14, False)])
def test_a_name_appears_two_days_before_to_three_after(on: int, is_near: bool) -> None:
    assert _is_near(dead(), new("Find", 100, on)) is is_near
    assert names([dead()], [new("Find", 100, on)]) == ({"inc-Search": ["Find"]} if is_near else {})


def test_a_feature_becomes_another_feature_and_an_event_one_of_the_same() -> None:
    assert _is_near(dead(), new("Find", 5))
    assert not _is_near(dead(), new("Search", 5))
    assert not _is_near(dead(), new("Search", 5, event="tap"))
    tap = dead(event="tap")
    assert _is_near(tap, new("Search", 5, event="press"))
    assert not _is_near(tap, new("Find", 5, event="press"))
    assert not _is_near(tap, new("Find", 5))
    assert not _is_near(dead(), new("Find", 0))
    assert (new("Find", 5).name, new("Find", 5, event="press").name) == ("Find", "press")


def test_only_what_is_dead_and_had_events_is_renamed() -> None:
    appeared = [new("Find", 100)]
    assert names([dead(kind="step")], appeared) == {}
    assert names([dead(usual=0.0)], appeared) == {}
    assert names([dead(usual=None)], appeared) == {}
    assert names([dead(usual=None), dead("Cart")], appeared) == {"inc-Cart": ["Find"]}


@pytest.mark.parametrize(
    ("events", "is_one"), [(49, False), (50, True), (70, True), (100, True), (140, True), (200, True), (201, False)]
)
def test_one_name_has_half_to_twice_its_size(events: float, is_one: bool) -> None:
    assert names([dead()], [new("Find", events)]) == ({"inc-Search": ["Find"]} if is_one else {})


def test_the_distance_is_of_size_less_of_spelling() -> None:
    assert _distance(dead(), new("SEARCH", 100)) == pytest.approx(-0.7)
    assert _distance(dead(), new("xyz", 200)) == pytest.approx(log(2))
    assert _distance(dead(), new("xyz", 50)) == pytest.approx(log(2))
    # "Sea" is all of one and half of the other: 2 × 3 of 9.
    assert _distance(dead(), new("sea", 100)) == pytest.approx(-0.7 * 6 / 9)
    assert _distance(dead(event="tap"), new("Search", 100, event="Tap")) == pytest.approx(-0.7)


def test_a_name_goes_to_what_it_fits_best_and_to_one_only() -> None:
    assert names([dead()], [new("Look", 100), new("Searching", 110)]) == {"inc-Search": ["Searching"]}
    assert names([dead()], [new("Look", 100), new("Gaze", 139)]) == {"inc-Search": ["Look"]}
    both = [dead("Alpha"), dead("Beta", 120.0)]
    assert names(both, [new("Alpha 2", 100)]) == {"inc-Alpha": ["Alpha 2"]}
    assert names(both, [new("Alpha 2", 100), new("Beta 2", 120)]) == {"inc-Alpha": ["Alpha 2"], "inc-Beta": ["Beta 2"]}
    # Alike near, the first by name.
    assert names([dead()], [new("y", 100), new("x", 100)]) == {"inc-Search": ["x"]}


def test_parts_that_add_up_come_before_a_single_that_is_far_off() -> None:
    # 60 is no name of the same size; 60 and 45 are 105 of 100.
    assert names([dead()], [new("y", 60), new("x", 45)]) == {"inc-Search": ["x", "y"]}
    assert names([dead()], [new("y", 60), new("x", 9)]) == {"inc-Search": ["y"]}
    # One of the right size is enough.
    assert names([dead()], [new("y", 70), new("x", 30)]) == {"inc-Search": ["y"]}


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        # Two add up to 69 and 70 of 100, to 140 and 141.
        ((35, 34), []), ((35, 35), [0, 1]),
        # 33.4 × 3 = 100.2 is nearer than any two of them; four at most.
        ((33.4, 33.4, 33.4), [0, 1, 2]), ((25, 25, 25, 25), [0, 1, 2, 3]), ((17, 17, 17, 17), []),
        ((18, 18, 18, 18, 18), [0, 1, 2, 3]), ((60, 45, 41), [0, 2]),
    ],
)  # fmt: skip
def test_a_split_is_of_two_to_four_names_that_add_up_most_nearly(sizes: tuple[float, ...], wanted: list[int]) -> None:
    appeared = [new(f"n{number}", size) for number, size in enumerate(sizes)]
    found = names([dead()], appeared)
    single = {} if max(sizes) < 50 or wanted else {"inc-Search": ["n0"]}
    assert found == ({"inc-Search": [f"n{number}" for number in wanted]} if wanted else single)


def test_of_alike_splits_the_one_of_fewer_names_and_the_first_by_name() -> None:
    # Of c, b and a of the same size the first two by name.
    appeared = [new(name, 49.9) for name in "cba"]
    assert names([dead()], appeared) == {"inc-Search": ["a", "b"]}
    # Of nine names the eight largest are tried.
    small = [new(f"n{number}", 30 + number / 100) for number in range(8)] + [new("a", 10.0)]
    assert "a" not in names([dead()], small)["inc-Search"]


def test_of_features_that_vanished_together_every_name_is_told() -> None:
    whole = dead("Search", 300.0, features=["Search", "Cart", "Pay"])
    five = [new(f"n{number}", 60) for number in range(5)]
    assert names([whole], five) == {"inc-Search": ["n0", "n1", "n2", "n3", "n4"]}
    # 209 of 300 are less than seven tenths, 421 more than 1.4 of it.
    assert names([whole], [new("x", 105), new("y", 104)]) == {}
    assert names([whole], [new("x", 105), new("y", 105)]) == {"inc-Search": ["x", "y"]}
    assert names([whole], [new("x", 140), new("y", 140), new("z", 140)]) == {"inc-Search": ["x", "y", "z"]}
    assert names([whole], [new(name, 141) for name in "xyz"]) == {"inc-Search": ["x", "y"]}
    assert names([dead("Search", 300.0, features=["Search"])], five) == {"inc-Search": ["n0", "n1", "n2", "n3"]}


def test_what_is_taken_is_no_part_of_anything_else() -> None:
    incidents = [dead("Alpha"), dead("Beta", 100.0)]
    assert names(incidents, [new("Alpha 2", 100), new("x", 45), new("y", 55.5)]) == {
        "inc-Alpha": ["Alpha 2"], "inc-Beta": ["x", "y"],
    }  # fmt: skip
    assert names(incidents, [new("x", 45), new("y", 55)]) == {"inc-Alpha": ["x", "y"]}


@pytest.fixture
def facts() -> Iterator[duckdb.DuckDBPyConnection]:
    """A product whose `order` is seen on day 0 to 9, and nothing else; event names a day are in the other table."""
    with duckdb.connect() as connection:
        for table in (FACT_FEATURE_METRICS, EVENT_SKETCH_COUNTS):
            connection.execute(f"create schema {table.schema}")
        connection.execute(
            f"create table {FACT_FEATURE_METRICS.qualified_name} as select 'order' as feature,"
            " date '2026-03-01' + cast(n as integer) as event_date, 100 as events from generate_series(0, 9) as days(n)"
        )
        connection.execute(
            f"create table {EVENT_SKETCH_COUNTS.qualified_name} (feature text, name text, bin text, event_date date,"
            " n bigint)"
        )
        yield connection


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([f"order/{number}" for number in range(1000, 1030)], [("order/#", 60.0)]),
        ([f"cart {number:08x}-aaaa-4bbb-8ccc-0123456789ab" for number in range(30)], [("cart #", 60.0)]),
        ([f"order/{number}" for number in range(1000, 1003)], [(f"order/{n}", 20.0) for n in range(1000, 1003)]),
    ],
)
def test_names_that_hold_an_id_are_one_name_in_their_size(
    facts: duckdb.DuckDBPyConnection, names: list[str], found: list[tuple[str, float]]
) -> None:
    """On each of days 10 to 12, of 30 names ten of their own, of three all of them; 60 events a day."""
    is_exploding = len(names) == 30
    for number in range(3):
        for name in names[10 * number : 10 * number + 10] if is_exploding else names:
            row = [name, day(10 + number), 6 if is_exploding else 20]
            facts.execute(f"insert into {FACT_FEATURE_METRICS.qualified_name} values (?, ?, ?)", row)
    assert facts.execute(APPEARED_SQL).fetchall() == [(name, None, day(10), size) for name, size in found]


def test_events_of_a_feature_that_hold_an_id_are_one_of_it(facts: duckdb.DuckDBPyConnection) -> None:
    for feature, first in (("order", 1000), ("cart", 2000)):
        for number in range(first, first + (30 if feature == "order" else 2)):
            row = [feature, f"open {number}", day(10)]
            facts.execute(f"insert into {EVENT_SKETCH_COUNTS.qualified_name} values (?, 'event_name', ?, ?, 2)", row)
    assert facts.execute(APPEARED_SQL).fetchall() == [
        ("cart", "open 2000", day(10), 2.0),
        ("cart", "open 2001", day(10), 2.0),
        ("order", "open #", day(10), 60.0),
    ]
