"""Queries of definitions and funnels on a few rows each: which days, whose first entry, what is over."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from small_snapshots import THROUGH, Cells, ago, at, snapshot_of

from quality_assets.contracts.definitions import Funnel
from quality_assets.domain.impact.impact_words import Step
from quality_assets.read import impact
from quality_assets.read.impact import FunnelPeriod, UnknownNameError

DEFINITIONS, ENTRIES, FUNNEL_DAYS = "impact.definitions", "impact.funnel_entries", "impact.funnel_days"
STEP_DAYS, CHECKS = "impact.funnel_step_days", "monitoring.check_results"
BUY = Funnel.model_validate(
    {"name": "buy", "owner": "me", "window": "36h", "steps": [{"event_name": "look"}, {"event_name": "pay"}]}
)


def defined(name: str = "buy", kind: str = "funnel", error: str | None = None, **said: Any) -> Cells:
    spec = json.dumps(said) if said else json.dumps(BUY.model_dump(mode="json"))
    return {"kind": kind, "name": name, "owner": "me", "version": "v1", "spec": spec, "path": "p.yaml", "error": error}


def test_definitions_are_of_their_kind_by_name() -> None:
    rows = [defined("quiz", x=1), defined("buy", x=2), defined("keen", "segment", x=3)]
    reader = snapshot_of({DEFINITIONS: rows})
    found = impact.definitions(reader, "funnel")
    assert [row["name"] for row in found] == ["buy", "quiz"]
    assert found[0] == {
        "name": "buy",
        "owner": "me",
        "spec": '{"x": 2}',
        "path": "p.yaml",
        "error": None,
        "version": "v1",
        "said": {"x": 2},
    }
    assert impact.definition(reader, "funnel", "quiz")["said"] == {"x": 1}
    assert impact.definitions(snapshot_of({}), "funnel") == []


def test_a_name_that_nothing_has_is_told_the_nearest_three() -> None:
    reader = snapshot_of({DEFINITIONS: [defined(name) for name in ("quiz", "buy", "dead", "look")]})
    with pytest.raises(UnknownNameError) as raised:
        impact.definition(reader, "funnel", "buz")
    assert str(raised.value) == "there is no funnel 'buz'; the nearest names are buy, quiz, look"
    with pytest.raises(UnknownNameError) as raised:
        impact.definition(reader, "segment", "buz")
    assert str(raised.value) == (
        "there is no segment 'buz', nor any other in what is published: `quality run` makes those of the data"
    )


def test_a_funnel_that_cannot_be_used_says_why() -> None:
    rows = [defined(), defined("late", error="waits: no such event"), defined("odd", error="is odd")]
    reader = snapshot_of({DEFINITIONS: rows})
    assert impact.funnel(reader, "buy") == BUY
    for name, said in (("late", "^no such event$"), ("odd", "^is odd$")):
        with pytest.raises(ValueError, match=said):
            impact.funnel(reader, name)


def step_day(days: int, step: int, events: int, without: int = 0, automated: int = 0, funnel: str = "buy") -> Cells:
    return {
        "event_date": ago(days), "funnel": funnel, "step": step, "events": events, "events_without_unit": without,
        "events_automated": automated,
    }  # fmt: skip


def test_a_step_was_last_seen_on_a_day_with_its_event() -> None:
    rows = [step_day(5, 1, 3), step_day(2, 1, 1), step_day(0, 1, 0), step_day(3, 2, 0), step_day(0, 1, 9, funnel="x")]
    assert impact.last_seen(snapshot_of({STEP_DAYS: rows}), "buy") == {1: ago(2), 2: None}
    assert impact.last_seen(snapshot_of({}), "buy") == {}


def entry(days: int, unit: str, *seconds: int, is_final: bool = True, funnel: str = "buy") -> Cells:
    """An entry that reached a step so many seconds after its first."""
    times = [at(days, 10) + timedelta(seconds=each) for each in seconds]
    return {
        "entry_date": ago(days), "funnel": funnel, "unit": unit, "step_at": times, "reached": len(times),
        "segments": {"key": ["platform"], "value": ["ios"]}, "is_final": is_final,
    }  # fmt: skip


ROWS: dict[str, list[Cells]] = {
    DEFINITIONS: [defined()],
    ENTRIES: [
        # By the first entry in the days that are looked at.
        entry(5, "u1", 0),
        entry(29, "u1", 0, 60),
        entry(2, "u2", 0, 20),
        entry(30, "u3", 0, 5),
        entry(10, "u4", 0),
        entry(1, "u5", 0, is_final=False),
        entry(0, "u6", 0, 9, is_final=False),
        entry(1, "u7", 0),
        entry(10, "u8", 0, 1, funnel="other"),
        entry(1, "u9", 0, funnel="other", is_final=False),
    ],
    STEP_DAYS: [
        step_day(30, 1, 1_000, 1_000, 1_000),
        step_day(29, 1, 100, 10, 3),
        step_day(0, 1, 50, 5, 1),
        step_day(3, 2, 40, 20, 2),
        step_day(0, 2, 0),
        step_day(3, 1, 999, 999, 999, "other"),
    ],
}


def test_a_funnel_stands_by_the_first_entries_of_the_days_that_are_over() -> None:
    # The window reaches into two days after the day of entry.
    assert impact.funnel_period(snapshot_of(ROWS), "buy") == FunnelPeriod(
        start=ago(29),
        end=ago(2),
        unit="user",
        steps=(Step("look", 3, ago(0), pytest.approx(0.1)), Step("pay", 2, ago(3), 0.5)),
        median_s=(0.0, 40.0),
        entries_open=1,
        entries_recent=3,
        sentence=(
            "Of 3 users who began between 2 Mar 2026 and 29 Mar 2026, 2 (67 %) reached the last step, pay. Most are"
            " lost before step 2, pay: 33 % of those before it. Only 3 users: too few to say much."
        ),
        coverage="18 % of its events have no user; 6 of automated users are left out.",
    )


def test_a_shorter_look_begins_later() -> None:
    found = impact.funnel_period(snapshot_of(ROWS), "buy", 7)
    assert (found.start, found.end, found.median_s) == (ago(8), ago(2), (0.0, 20.0))
    assert [step.reached for step in found.steps] == [2, 1]
    assert found.coverage == "28 % of its events have no user; 3 of automated users are left out."


def test_a_funnel_without_entries_or_events_has_no_numbers() -> None:
    found = impact.funnel_period(snapshot_of({DEFINITIONS: [defined()], ENTRIES: [], STEP_DAYS: []}), "buy")
    assert (found.steps, found.median_s) == ((Step("look", 0, None), Step("pay", 0, None)), (None, None))
    assert (found.entries_open, found.entries_recent, found.coverage) == (0, 0, "")
    quiet = {DEFINITIONS: [defined()], ENTRIES: [], STEP_DAYS: [step_day(3, 1, 0), step_day(3, 2, 5, 1)]}
    assert [step.without_unit for step in impact.funnel_period(snapshot_of(quiet), "buy").steps] == [None, 0.2]


def funnel_day(days: int, entered: int, reached: int, step: int = 2, **cells: object) -> Cells:
    usual = {"entry_date": ago(days), "funnel": "buy", "step": step, "entered": entered, "reached": reached}
    return usual | {"segment": "platform", "value": "ios", "is_final": True, "from_start": 0.5} | cells


def entries(days: int, units: range, done: int, funnel: str = "buy", **segments: str | None) -> list[Cells]:
    """An entry a unit, of which the first `done` reached the last step."""
    said = {"key": list(segments), "value": list(segments.values())}
    return [
        entry(days, f"u{n}", *((0, 9) if at_ < done else (0,)), funnel=funnel) | {"segments": said}
        for at_, n in enumerate(units)
    ]


def test_parts_of_a_funnel_are_held_against_the_same_days_before() -> None:
    rows = [
        *entries(29, range(0, 60), 30, platform="ios"),
        *entries(2, range(60, 100), 20, platform="ios"),
        *entries(30, range(0, 50), 45, platform="ios"),
        *entries(57, range(50, 100), 35, platform="ios"),
        *entries(58, range(500, 600), 0, platform="ios"),
        *entries(1, range(500, 600), 0, platform="ios"),
        *entries(5, range(500, 600), 0, funnel="other", platform="ios"),
        *entries(40, range(200, 220), 10, platform="web"),
        *entries(5, range(220, 240), 10, platform="tv"),
        *entries(5, range(240, 250), 5, platform=None),
        *entries(40, range(240, 250), 5, platform=None),
        *entries(5, range(300, 400), 20, country="de"),
        *entries(40, range(300, 400), 70, country="de"),
    ]
    found = impact.funnel_splits(snapshot_of({DEFINITIONS: [defined()], ENTRIES: rows}), "buy")
    names = (
        "segment", "value", "entered", "reached", "entered_before", "reached_before", "rate", "rate_before", "people",
        "sentence",
    )  # fmt: skip
    told = "{} {}: {} % instead of {} % reach the last step"
    assert [tuple(row[name] for name in names) for row in found] == [
        ("country", "de", 100, 20, 100, 70, 0.2, 0.7, pytest.approx(50), told.format("country", "de", 20, 70)),
        ("platform", "ios", 100, 50, 100, 80, 0.5, 0.8, pytest.approx(30), told.format("platform", "ios", 50, 80)),
        ("platform", None, 10, 5, 10, 5, 0.5, 0.5, 0.0, None),
        ("platform", "tv", 20, 10, 0, 0, 0.5, None, 0.0, None),
        ("platform", "web", 0, 0, 20, 10, None, 0.5, 0.0, None),
    ]
    week = impact.funnel_splits(snapshot_of({DEFINITIONS: [defined()], ENTRIES: rows}), "buy", 7)
    assert {(row["value"], row["entered"], row["entered_before"]) for row in week} == {
        (None, 10, 0), ("ios", 40, 0), ("tv", 20, 0), ("de", 100, 0),
    }  # fmt: skip


def test_who_enters_a_funnel_again_and_again_counts_once_and_by_the_first_entry() -> None:
    # Ten people enter on each of 28 days and always finish: of forty people, not of 310 entries.
    keen = [row for days in range(2, 30) for row in entries(days, range(0, 10), 10, platform="ios")]
    rows = [
        *keen,
        *entries(2, range(10, 40), 0, platform="ios"),
        *entries(40, range(0, 40), 10, platform="ios"),
        # Whoever comes again elsewhere is of where they began.
        *entries(3, range(50, 53), 0, platform="web"),
        *entries(2, range(50, 53), 3, platform="tv"),
    ]
    found = impact.funnel_splits(snapshot_of({DEFINITIONS: [defined()], ENTRIES: rows}), "buy")
    assert [(row["value"], row["entered"], row["reached"], row["rate_before"], row["sentence"]) for row in found] == [
        ("ios", 40, 10, 0.25, None), ("web", 3, 0, None, None),
    ]  # fmt: skip


def check(days: int, **cells: object) -> Cells:
    usual: Cells = {
        "asset": "core.valid_events", "check_name": "key_unique", "partition_key": str(ago(days)), "run_id": "r1",
        "checked_at": at(days), "status": "failed", "is_blocking": True,
    }  # fmt: skip
    return usual | cells


def test_a_day_is_doubtful_while_the_last_word_of_a_blocking_check_is_that_it_fails() -> None:
    rows = [
        check(1),
        check(2, is_blocking=False),
        check(3, status="passed"),
        check(4, asset="core.other"),
        # Asked again later; of two at one time the first run speaks.
        check(5),
        check(5, status="passed", checked_at=at(5, 9)),
        check(6, status="passed"),
        check(6, run_id="r2"),
        check(7, check_name="a", status="passed", checked_at=at(7, 9)),
        check(7, check_name="b"),
        check(8, partition_key=""),
        check(9, partition_key="no date"),
        check(10, asset="raw.raw_logs"),
        check(11, asset="core.user_feature_days"),
    ]
    assert impact.doubtful_days(snapshot_of({CHECKS: rows})) == {ago(n) for n in (1, 7, 10, 11)}
    assert impact.doubtful_days(snapshot_of({})) == frozenset()


def test_rows_of_a_funnel_stand_by_part_and_day_with_their_verdicts() -> None:
    rows = [
        funnel_day(2, 9, 4, value="web"),
        funnel_day(2, 9, 4),
        funnel_day(2, 9, 4, value=None),
        funnel_day(2, 9, 4, segment=None, value=None),
        funnel_day(3, 9, 4, segment=None, value=None),
        funnel_day(3, 9, 9, step=1, segment=None, value=None),
        funnel_day(0, 9, 4, segment=None, value=None, is_final=False, open=5),
        funnel_day(1, 9, 4, segment=None, value=None, from_start=None),
        funnel_day(2, 9, 4, funnel="other"),
    ]
    reader = snapshot_of({FUNNEL_DAYS: rows, STEP_DAYS: [step_day(9, 2, 1)], CHECKS: [check(3)]})
    found = impact.funnel_rows(reader, "buy")
    doubt = "final; a blocking check fails on this day"
    assert [(row["value"], (THROUGH - row["entry_date"]).days, row["step"], row["verdict"]) for row in found] == [
        (None, 3, 1, doubt),
        (None, 3, 2, doubt),
        (None, 2, 2, "final"),
        (None, 1, 2, "no such event since 22 Mar 2026"),
        (None, 0, 2, "still open: 5 of 9 entries have days left"),
        (None, 2, 2, "final"),
        ("ios", 2, 2, "final"),
        ("web", 2, 2, "final"),
    ]
    assert [row["segment"] for row in found] == [*[None] * 5, *["platform"] * 3]
    assert found[0]["reached"] == 9
    assert impact.funnel_rows(snapshot_of({}), "buy") == []


def test_times_of_steps_are_of_whom_they_were_reached_by() -> None:
    reader = snapshot_of({ENTRIES: [entry(3, "a", 0, 10, 30), entry(3, "b", 0, 20), entry(9, "c", 0)]})
    span = {"name": "buy", "start": ago(3), "end": ago(3)}
    assert impact.reached_steps(reader, span, 3) == {1: (2, 0.0), 2: (2, 15.0), 3: (1, 30.0)}
    assert impact.reached_steps(reader, span | {"start": ago(9)}, 2) == {1: (3, 0.0), 2: (2, 15.0)}
