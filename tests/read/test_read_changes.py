"""What changed in how people use the product, and events in words, on a few rows each."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from small_snapshots import Cells, ago, at, snapshot_of

from quality_assets.contracts.definitions import Funnel, Happening
from quality_assets.read import impact
from quality_assets.read import impact_changes as changes
from quality_assets.read import impact_events as events
from quality_assets.read.reader import Reader

DEFINITIONS, ENTRIES, STEP_DAYS = "impact.definitions", "impact.funnel_entries", "impact.funnel_step_days"
EVENT_DAYS, EXPERIMENTS = "impact.event_days", "impact.experiments"
ADOPTION, ENGAGEMENT, INCIDENTS = "impact.feature_adoption", "impact.engagement_days", "product.incidents"


def experiment(name: str, days: int | None, exposed: int, state: str = "running", **cells: object) -> Cells:
    as_of = None if days is None else ago(days)
    return {"experiment": name, "as_of_date": as_of, "state": state, "exposed": exposed, "grade": "A"} | cells


def test_experiments_with_news_of_the_last_28_days_are_told() -> None:
    rows = [
        experiment("void", 0, 90, grade="D", verdict="Void: odd."),
        experiment("final", 27, 50, "final", verdict="Better: it is."),
        experiment("waiting", 0, 10, "waiting", verdict="Ended, and still open: soon."),
        experiment("told", 0, 5, verdict="Better already: day 3 of 9."),
        experiment("open", 0, 99, verdict="Keep running: day 3 of 9."),
        experiment("old", 28, 99, "final"),
        experiment("empty", 0, 0, "final"),
        experiment("stray", 0, 99, "undeclared", grade="D"),
        experiment("undated", None, 99, "final"),
    ]
    tables: dict[str, list[Cells]] = {
        EXPERIMENTS: rows,
        "impact.experiment_exposures": [],
        "impact.experiment_health": [],
        "impact.experiment_results": [],
    }
    nothing = dict.fromkeys(("incident_id", "incident_feature", "incident"))
    assert changes.changes(snapshot_of(tables)) == [
        {"kind": "experiment", "name": name, "sentence": said, "people": people, "is_dead": False}
        | nothing
        | {"href": f"/experiments/{name}"}
        for name, said, people in (
            ("void", "void: Void: odd.", 90.0),
            ("final", "final: Better: it is.", 50.0),
            ("waiting", "waiting: Ended, and still open: soon.", 10.0),
            ("told", "told: Better already: day 3 of 9.", 5.0),
        )
    ]
    assert changes.changes(snapshot_of(tables, through=None)) == []


def incident(name: str, feature: str, severity: str = "high", **cells: object) -> Cells:
    usual = {"incident_id": name, "feature": feature, "severity": severity, "sentence": f"{name} is broken."}
    return usual | {"metrics": [], "start_date": ago(9), "end_date": None} | cells


def adopted(feature: str, days: int, mau: int) -> Cells:
    return {"event_date": ago(days), "feature": feature, "mau": mau, "all_mau": 1_000}


ADOPTED: dict[str, list[Cells]] = {
    ADOPTION: [
        adopted("Cart", 0, 400), adopted("Cart", 28, 600), adopted("Search", 0, 600), adopted("Search", 28, 450),
        adopted("Gone", 0, 0), adopted("Gone", 28, 500), adopted("New", 0, 500), adopted("Same", 0, 500),
        adopted("Same", 28, 500), adopted("Help", 0, 300), adopted("Help", 28, 600),
    ],
    ENGAGEMENT: [],
    EVENT_DAYS: [{"event_date": ago(55), "feature": "Old", "event_name": "look", "events": 1}],
    INCIDENTS: [
        incident("mild", "Cart", "low"),
        incident("over", "Help", "critical", end_date=ago(1)),
        incident("wide", "Basket", "critical", features=["Cart", "Search", "Basket"]),
    ],
}  # fmt: skip


def test_an_incident_is_of_each_feature_that_it_names_the_worst_first() -> None:
    found = changes.incidents_by_feature(snapshot_of(ADOPTED))
    assert {feature: row["incident_id"] for feature, row in found.items()} == {
        "Basket": "wide", "Cart": "wide", "Search": "wide",
    }  # fmt: skip


def test_a_change_of_adoption_is_told_by_how_many_people_it_is_of() -> None:
    found = changes.changes(snapshot_of(ADOPTED))
    told = "{} people use it, {} % of all in 28 days instead of {} % ({})."
    wanted = [
        # As many as there are now, half of them, a quarter of them; and of what is gone, nobody.
        ("Help", told.format("Help: fewer", 30, 60, 300), 300.0, None),
        ("Cart", told.format("Cart: fewer", 40, 60, 400) + " It has an open incident.", 200.0, "wide"),
        ("Search", told.format("Search: more", 60, 45, 600), 150.0, None),
        ("Gone", told.format("Gone: fewer", 0, 50, 0), 0.0, None),
    ]
    assert [(row["name"], row["sentence"], row["people"], row["incident_id"]) for row in found] == [
        (name, said, pytest.approx(people), met) for name, said, people, met in wanted
    ]
    assert found[1] | {"people": 200.0} == {
        "kind": "adoption",
        "name": "Cart",
        "sentence": wanted[1][1],
        "people": 200.0,
        "is_dead": False,
        "href": "/feature/Cart?tab=impact",
        "incident_id": "wide",
        "incident_feature": "Basket",
        "incident": "wide is broken.",
    }


def test_features_that_are_asked_together_share_the_chance_of_one() -> None:
    # Of 1,000 each 371 against 315 are 2.63 standard errors, p = .0084: alone that is told, beside others alike not.
    def told(*others: str) -> list[str]:
        rows = [adopted("Search", 0, 371), adopted("Search", 28, 315)]
        rows += [adopted(other, days, 500) for other in others for days in (0, 28)]
        reader = snapshot_of(ADOPTED | {ADOPTION: rows, INCIDENTS: []})
        return [*changes.adoption_changes(reader), *(row["name"] for row in changes.changes(reader))]

    assert told() == ["Search", "Search"]
    assert told("Cart") == []


def test_a_month_is_held_against_one_of_as_many_days() -> None:
    short = ADOPTED | {EVENT_DAYS: [{"event_date": ago(54), "feature": "Old", "event_name": "look", "events": 1}]}
    assert changes.adoption_changes(snapshot_of(ADOPTED)).keys() == {"Cart", "Search", "Gone", "Help"}
    assert changes.adoption_changes(snapshot_of(short)) == {}
    assert {row["adoption_before"] for row in impact.adoption(snapshot_of(short))} == {None}


def funnel(name: str, *steps: dict[str, Any], error: str | None = None) -> Cells:
    said = Funnel.model_validate({"name": name, "owner": "me", "window": "36h", "steps": steps})
    return {
        "kind": "funnel", "name": name, "owner": "me", "version": "v", "path": "p", "error": error,
        "spec": json.dumps(said.model_dump(mode="json")),
    }  # fmt: skip


LOOK, PAY = {"event_name": "look"}, {"feature": "Basket", "event_name": "pay"}


def entries(name: str, days: int, entered: int, done: int, platform: str = "ios") -> list[Cells]:
    """So many enter on a day, and some of them finish."""
    return [
        {
            "entry_date": ago(days), "funnel": name, "unit": f"{platform} {days} {n}", "reached": 2 if n < done else 1,
            "step_at": [at(days), at(days) + timedelta(seconds=5)][: 2 if n < done else 1],
            "segments": {"key": ["platform"], "value": [platform]}, "is_final": True,
        }
        for n in range(entered)
    ]  # fmt: skip


def step_days(name: str, last: int = 0) -> list[Cells]:
    """Both steps happened, the second last so many days ago."""
    return [{"event_date": ago(days), "funnel": name, "step": step, "events": 5} for step, days in ((1, 0), (2, last))]


def part_entries(name: str, parts: dict[str, tuple[int, int]]) -> list[Cells]:
    """Of 100 who entered so many finished before, and now, by part."""
    return [
        row
        for value, both in parts.items()
        for days, done in zip((40, 9), both, strict=True)
        for row in entries(name, days, 100, done, value)
    ]


# On the first and the last day of each stretch; those outside would turn it round.
FALLS = [*entries("buy", 29, 50, 10), *entries("buy", 2, 50, 10), *entries("buy", 30, 25, 20)]
FALLS += [*entries("buy", 57, 25, 20), *entries("buy", 1, 90, 90), *entries("buy", 58, 90, 0)]


def of_funnels(**tables: list[Cells]) -> Reader:
    usual: dict[str, list[Cells]] = {
        DEFINITIONS: [funnel("buy", LOOK, PAY)],
        ENTRIES: FALLS,
        STEP_DAYS: step_days("buy"),
        EVENT_DAYS: [
            {"event_date": ago(days), "feature": feature, "event_name": name, "events": 1}
            for feature, name, days in (("Home", "look", 27), ("Old", "look", 28), ("Other", "pay", 0))
        ],
        INCIDENTS: [],
    }
    schemas = {"incidents": "product"}
    return snapshot_of(usual | {f"{schemas.get(name, 'impact')}.{name}": rows for name, rows in tables.items()})


def test_a_funnel_is_held_against_the_28_days_before() -> None:
    said = "buy: fewer finish it, 20 % instead of 80 % (100 entered)."
    # At the rate of before, 80 would have finished.
    assert changes.funnel_changes(of_funnels())["buy"] == (60.0, said, True)
    met = of_funnels(incidents=[incident("i", "Home")])
    assert changes.funnel_changes(met)["buy"] == (60.0, f"{said} A feature of its steps has an open incident.", True)
    other = of_funnels(incidents=[incident("i", "Other")])
    assert changes.funnel_changes(other)["buy"] == (60.0, said, True)
    rises = [*entries("buy", 5, 40, 30), *entries("buy", 40, 80, 20)]
    assert changes.funnel_changes(of_funnels(funnel_entries=rises))["buy"] == (
        20.0, "buy: more finish it, 75 % instead of 25 % (40 entered).", False,
    )  # fmt: skip


def test_funnels_that_are_asked_together_share_the_chance_of_one() -> None:
    # 32 of 40 against 20 of 40: pooled 52 of 80, an error of .1067, 2.81 of them, p = .0049.
    def told(*others: str) -> list[str]:
        asked = ("buy", *others)
        rows = [row for name in others for days in (5, 40) for row in entries(name, days, 40, 20)]
        reader = of_funnels(
            definitions=[funnel(name, LOOK, PAY) for name in asked],
            funnel_entries=[*entries("buy", 5, 40, 32), *entries("buy", 40, 40, 20), *rows],
            funnel_step_days=[row for name in asked for row in step_days(name)],
        )
        return list(changes.funnel_changes(reader))

    assert told() == told("one") == ["buy"]
    assert told("one", "two") == []


def test_a_funnel_that_did_not_change_or_that_nobody_knows_is_not_told() -> None:
    for rows in (
        [*entries("buy", 5, 40, 20), *entries("buy", 40, 40, 20)],
        entries("buy", 5, 40, 20),
        entries("buy", 40, 40, 20),
        [],
    ):
        assert changes.funnel_changes(of_funnels(funnel_entries=rows)) == {}
    dead = of_funnels(funnel_step_days=step_days("buy", 28))
    assert changes.funnel_changes(dead) == {}
    assert changes.dead_sentence(dead, "buy") == (
        "buy: Unknown beyond step 1: step 2, Basket: pay: no such event since 3 Mar 2026."
    )
    assert changes.dead_sentence(of_funnels(funnel_step_days=step_days("buy", 27)), "buy") is None
    assert changes.dead_sentence(of_funnels(funnel_step_days=step_days("buy")[:1]), "buy") == (
        "buy: Unknown beyond step 1: step 2, Basket: pay: never seen."
    )


def test_a_funnel_is_of_the_features_of_its_steps() -> None:
    assert changes.funnel_features(of_funnels(), "buy") == {"Basket", "Home"}
    named = funnel("named", {"feature": "Cart"}, PAY)
    assert changes.funnel_features(of_funnels(definitions=[named]), "named") == {"Basket", "Cart"}
    alone = snapshot_of({DEFINITIONS: [funnel("buy", LOOK, PAY)]})
    assert changes.funnel_features(alone, "buy") == {"Basket"}


def test_dead_funnels_come_first_and_of_parts_the_three_that_changed_most() -> None:
    parts = {"ios": (90, 20), "web": (80, 30), "tv": (20, 60), "watch": (50, 85), "car": (50, 51)}
    reader = of_funnels(
        definitions=[funnel("buy", LOOK, PAY), funnel("dead", LOOK, PAY), funnel("wrong", LOOK, PAY, error="is odd")],
        funnel_entries=[*part_entries("buy", parts), *entries("dead", 5, 7, 0)],
        funnel_step_days=[*step_days("buy"), *step_days("dead", 28)],
        incidents=[incident("i", "Basket")],
    )
    found = changes.changes(reader)
    part = "buy: platform {}: {} % instead of {} % reach the last step."
    # 290 of 500 before, 246 of 500 now.
    whole = "buy: fewer finish it, 49 % instead of 58 % (500 entered). A feature of its steps has an open incident."
    dead = "dead: Unknown beyond step 1: step 2, Basket: pay: no such event since 3 Mar 2026."
    names = ("name", "sentence", "people", "is_dead", "incident_id")
    assert [tuple(row[name] for name in names) for row in found] == [
        ("dead", dead, 7.0, True, "i"),
        ("buy", part.format("ios", 20, 90), pytest.approx(70), False, "i"),
        ("buy", part.format("web", 30, 80), pytest.approx(50), False, "i"),
        ("buy", whole, 44.0, False, "i"),
        # A rise meets no incident.
        ("buy", part.format("tv", 60, 20), pytest.approx(40), False, None),
    ]
    assert {(row["kind"], row["href"]) for row in found} == {("funnel", "/funnels/buy"), ("funnel", "/funnels/dead")}


CATALOGUE = [
    {"event_name": "look", "words": "looks", "signal": "interest"},
    {"event_name": "pay", "feature": "Cart", "words": "pays", "signal": "value"},
    {"event_name": "never", "words": "never does it", "signal": None},
    {"event_name": "rate", "feature": "Cart", "words": "rates", "signal": "engagement"},
]


def seen(feature: str, name: str, days: int, count: int) -> Cells:
    return {"event_date": ago(days), "feature": feature, "event_name": name, "events": count}


def described() -> Reader:
    spec = {"kind": "events", "name": "events", "owner": "me", "version": "v", "path": "p", "error": None}
    rows = [
        seen("Home", "look", 2, 3), seen("Cart", "look", 9, 1), seen("Cart", "look", 4, 4), seen("Cart", "pay", 1, 9),
        seen("Cart", "tap", 3, 5), seen("Home", "pay", 5, 7),
    ]  # fmt: skip
    return snapshot_of({DEFINITIONS: [spec | {"spec": json.dumps({"events": CATALOGUE})}], EVENT_DAYS: rows})


def catalogued(
    feature: str | None,
    name: str,
    count: int,
    first: int | None,
    last: int | None,
    words: str | None,
    signal: str | None,
) -> dict[str, Any]:
    return {
        "feature": feature,
        "event_name": name,
        "events": count,
        "first_seen_date": None if first is None else ago(first),
        "last_seen_date": None if last is None else ago(last),
        "words": words,
        "signal": signal,
    }


def test_the_catalogue_has_what_was_seen_and_what_is_only_described() -> None:
    look, pay = ("looks", "interest"), ("pays", "value")
    assert events.catalogue(described()) == [
        catalogued("Cart", "look", 5, 9, 4, *look),
        catalogued("Cart", "pay", 9, 1, 1, *pay),
        catalogued("Cart", "tap", 5, 3, 3, None, None),
        catalogued("Home", "look", 3, 2, 2, *look),
        # Only that of the Cart is described.
        catalogued("Home", "pay", 7, 5, 5, None, None),
        catalogued(None, "never", 0, None, None, "never does it", None),
        catalogued("Cart", "rate", 0, None, None, "rates", "engagement"),
    ]
    assert events.catalogue(snapshot_of({})) == []


def test_features_that_share_an_event_and_its_words_are_one_row() -> None:
    assert events.catalogue_by_name(described()) == [
        catalogued("Cart", "look", 8, 9, 2, "looks", "interest") | {"features": 2},
        catalogued("Cart", "rate", 0, None, None, "rates", "engagement") | {"features": 0},
        catalogued("Cart", "pay", 9, 1, 1, "pays", "value") | {"features": 1},
        catalogued(None, "never", 0, None, None, "never does it", None) | {"features": 0},
    ]


def test_a_step_has_the_words_of_its_feature_else_those_of_its_name() -> None:
    reader = described()
    asked = (
        ({"event_name": "look", "feature": "Home"}, "looks · interest"),
        ({"event_name": "pay", "feature": "Cart"}, "pays · value"),
        ({"event_name": "pay", "feature": "Home"}, ""),
        ({"event_name": "never"}, "never does it"),
        ({"feature": "Cart"}, ""),
    )
    for step, said in asked:
        assert events.step_meaning(reader, Happening.model_validate(step)) == said


def test_events_of_a_feature_stand_by_how_often_they_are() -> None:
    found = events.events_of(described(), "Cart")
    assert [row["event_name"] for row in found] == ["pay", "look", "tap", "rate"]


def test_events_that_came_or_went_in_the_last_28_days() -> None:
    lived = {
        "new": (27, 0), "known": (28, 0), "gone": (50, 8), "rare": (50, 7), "long gone": (50, 28),
        "just gone": (50, 27),
    }  # fmt: skip
    rows = [seen("Cart", name, days, 1) for name, both in lived.items() for days in both]
    told = [
        "gone was last seen on 23 Mar 2026",
        "just gone was last seen on 4 Mar 2026",
        "new is new since 4 Mar 2026",
    ]
    assert events.changed_events(snapshot_of({EVENT_DAYS: rows}), "Cart") == told
    # In the first 28 days everything is new.
    young = [seen("Cart", "new", 27, 1), seen("Cart", "old", 28, 1), seen("Cart", "new", 0, 1)]
    assert events.changed_events(snapshot_of({EVENT_DAYS: young}), "Cart") == []
    older = [*young, seen("Home", "look", 29, 1)]
    assert events.changed_events(snapshot_of({EVENT_DAYS: older}), "Cart") == ["new is new since 4 Mar 2026"]
    assert events.changed_events(snapshot_of({}), "Cart") == []
    assert events.changed_events(snapshot_of({EVENT_DAYS: rows}, through=None), "Cart") == []
