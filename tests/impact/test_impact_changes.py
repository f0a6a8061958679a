"""What changed is told with what is known to be broken: an open incident, a dead step, a day of a red check."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from user_logs import Event, build_impact, by_day, day_number, define, define_nothing, put_days

from quality_assets.contracts.definitions import Happening
from quality_assets.read import impact, impact_changes, impact_events
from quality_assets.read.reader import Reader
from quality_assets.stores.snapshots import Snapshot
from quality_assets.stores.warehouse import open_warehouse
from tests.conftest import new_settings

USERS, DAYS, FALLS_ON = 40, 66, 36
FUNNEL = "name: {0}\nowner: me\nwindow: 2d\nsteps: [{{event_name: look}}, {{event_name: {1}}}]\nsegments: [platform]\n"
CATALOGUE = """
owner: me
events:
  - {event_name: look, words: looks at it, signal: interest}
  - {event_name: pay, feature: Basket, words: pays, signal: value}
  - {event_name: pay, words: gives money}
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Forty people look daily; all pay, until one in four does; nobody rates any more; Basket has an incident."""
    settings = new_settings(tmp_path_factory.mktemp("changes") / "data")
    settings.data_dir.mkdir()
    define_nothing(settings)
    define(settings, "funnels/buy.yaml", FUNNEL.format("buy", "pay"))
    define(settings, "funnels/rated.yaml", FUNNEL.format("rated", "rate"))
    define(settings, "events.yaml", CATALOGUE)
    events = [
        Event(at=day * 86_400 + 60 * user, user_id=f"u{user}", event_name=name, feature=feature, platform="ios")
        for day in range(DAYS)
        for user in range(USERS)
        for name, feature in (("look", "Search"), ("pay", "Basket"))
        if name == "look" or day < FALLS_ON or user % 4 == 0
    ]
    events += [Event(at=90, event_name="rate"), Event(at=60 * 86_400, user_id="u1", event_name="save")]
    with open_warehouse(settings) as session:
        put_days(session, by_day(events))
        build_impact(session)
        _tell_incident(session.connection)
        through = day_number(DAYS - 1)
        snapshot = Snapshot("v", datetime(2026, 5, 6, 6), through, "run", "fingerprint", Path("nowhere"))
        with patch.dict(Reader.__init__.__globals__, open_snapshot=lambda _: session.connection):
            found = Reader(snapshot)
        yield found


def _tell_incident(connection: object) -> None:
    """An open incident of Basket, and one that is over of Search."""
    connection.execute(  # type: ignore[attr-defined]
        "create or replace table product.incidents as select 'i1' as incident_id, 'Basket' as feature,"
        " 'crash_rate' as metric, ['crash_rate'] as metrics, 0.1 as size, 'rate' as kind,"
        " 'feature' as scope, date '2026-04-06' as start_date,"
        " cast(null as date) as end_date, date '2026-04-07' as detected_on, 'high' as severity,"
        " 'Basket crashes 6 times as often' as sentence, 30 as affected_users, 0.1 as change,"
        " 'none' as slice_status, [''] as slice_dimensions, [''] as slice_values, 1.0 as slice_share,"
        " 1.0 as slice_traffic_share"
    )
    connection.execute(  # type: ignore[attr-defined]
        "insert into product.incidents by name select * replace ('i2' as incident_id, 'Search' as feature,"
        " date '2026-04-09' as end_date, 'Search was slow' as sentence) from product.incidents"
    )


def test_a_fall_of_completion_names_and_links_the_open_incident(reader: Reader) -> None:
    found = {row["sentence"]: row for row in impact_changes.changes(reader)}
    said = "buy: fewer finish it, 25 % instead of 100 % (40 entered). A feature of its steps has an open incident."
    row = found[said]
    assert (row["kind"], row["name"], row["href"], row["people"]) == ("funnel", "buy", "/funnels/buy", 30.0)
    assert (row["incident_id"], row["incident_feature"]) == ("i1", "Basket")
    split = found["buy: platform ios: 25 % instead of 100 % reach the last step."]
    assert split["incident"] == "Basket crashes 6 times as often"


def test_a_step_that_names_an_event_alone_is_of_the_features_that_have_it(reader: Reader) -> None:
    assert impact_changes.funnel_features(reader, "buy") == {"Basket", "Search"}


def test_a_fall_of_adoption_meets_an_incident_that_is_open_and_no_other(reader: Reader) -> None:
    found = {row["name"]: row for row in impact_changes.changes(reader) if row["kind"] == "adoption"}
    assert found.keys() == {"Basket"}
    assert found["Basket"]["sentence"] == (
        "Basket: fewer people use it, 25 % of all in 28 days instead of 100 % (10). It has an open incident."
    )
    assert found["Basket"]["incident"] == "Basket crashes 6 times as often"
    assert found["Basket"]["people"] == pytest.approx(30.0)


def test_a_dead_step_comes_first_and_without_a_rate(reader: Reader) -> None:
    first = impact_changes.changes(reader)[0]
    assert first["is_dead"] is True
    assert first["sentence"] == "rated: Unknown beyond step 1: step 2, rate: no such event since 1 Mar 2026."
    assert not any(row["is_dead"] for row in impact_changes.changes(reader)[1:])


def test_events_have_their_words_and_a_feature_its_own(reader: Reader) -> None:
    assert impact_events.step_meaning(reader, Happening(event_name="look")) == "looks at it · interest"
    assert impact_events.step_meaning(reader, Happening(feature="Basket", event_name="pay")) == "pays · value"
    assert impact_events.step_meaning(reader, Happening(event_name="pay")) == "gives money"
    assert impact_events.step_meaning(reader, Happening(event_name="rate")) == ""
    by_name = [(row["event_name"], row["words"], row["features"]) for row in impact_events.catalogue_by_name(reader)]
    assert by_name == [("look", "looks at it", 1), ("pay", "pays", 1)]


def test_a_new_event_stands_beside_the_figures_that_move_with_it(reader: Reader) -> None:
    assert impact_events.changed_events(reader, "Search") == [
        "save is new since 30 Apr 2026",
    ]
    assert impact_events.changed_events(reader, "Basket") == []


def test_rows_of_days_that_a_blocking_check_does_not_pass_say_so(reader: Reader) -> None:
    day = day_number(2)
    with (
        patch.object(impact, "doubtful_days", lambda _: frozenset({day})),
        patch.object(reader, "cache", type(reader.cache)()),
    ):
        returned = {row["day_n"]: row["verdict"] for row in impact.retention_rows(reader, "*", "exact")}
        funnel = {row["entry_date"]: row["verdict"] for row in impact.funnel_rows(reader, "buy")}
        adopted = {row["event_date"]: row["is_doubtful"] for row in impact.adoption_days(reader, "Search")}
    assert funnel[day].endswith("a blocking check fails on this day")
    assert not funnel[day_number(3)].endswith("on this day")
    assert adopted[day] is True
    assert adopted[day_number(3)] is False
    assert returned[2].endswith("; a blocking check fails on a day of it")
    assert not returned[3].endswith("of it")
