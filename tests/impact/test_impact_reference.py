"""The SQL of every impact table against the slow and obvious computation of the same, on random small logs."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
import reference
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from user_logs import FIRST_DAY, Event, build_impact, by_day, day_number, define, define_nothing, put_days

from quality_assets.settings import Settings
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from tests.conftest import new_settings
from tests.examples import dear

DAYS = 12
FUNNEL = """
name: buy
owner: me
window: 36h
steps:
  - {event_name: look}
  - {feature: Cart, event_name: add}
  - {event_name: pay, where: {kind: card}}
segments: [platform]
"""
BY_SESSION = FUNNEL.replace("name: buy", "name: buy_session\nunit: session").replace("segments: [platform]", "")
SEGMENTS = {
    "keen": "name: keen\nowner: me\nall:\n  - active_days: {at_least: 2, within: 4d}\n",
    "lost": "name: lost\nowner: me\nall:\n  - not_used: {feature: Cart, within: 3d}\n  - tenure: {at_least: 2d}\n",
    "either": (
        "name: either\nowner: me\nany:\n  - platform: [ios]\n  - uses: {feature: Cart, at_least: 3, within: 5d}\n"
    ),
}

EVENTS = st.builds(
    Event,
    # Coarse times make ties, and sessions that end exactly at the limit.
    at=st.integers(0, DAYS * 48 - 1).map(lambda half_hours: half_hours * 1_800)
    | st.integers(0, DAYS * 86_400 - 1)
    | st.integers(1, DAYS - 1).map(lambda d: d * 86_400 - 1),
    user_id=st.sampled_from(["ann", "bob", "cyd", None]),
    event_name=st.sampled_from(["look", "add", "pay"]),
    feature=st.sampled_from(["Cart", "Search"]),
    session_id=st.sampled_from([None, None, "s1", "s2"]),
    status=st.sampled_from(["ok", "error"]),
    properties=st.sampled_from([None, '{"kind": "card"}', '{"kind": "cash"}', '{"other": 1}']),
)
LOGS = st.lists(EVENTS, min_size=1, max_size=60).flatmap(st.permutations)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseSession]:
    """A warehouse with a funnel by user and by session, and three segments."""
    root = new_settings(tmp_path_factory.mktemp("impact") / "data")
    root.data_dir.mkdir()
    _define(root)
    with open_warehouse(root) as opened:
        yield opened


def _define(root: Settings) -> None:
    define_nothing(root)
    define(root, "funnels/buy.yaml", FUNNEL)
    define(root, "funnels/buy_session.yaml", BY_SESSION)
    for name, text in SEGMENTS.items():
        define(root, f"segments/{name}.yaml", text)


def _platforms(events: Sequence[Event]) -> list[Event]:
    """The events with the platform that their user always has."""
    from dataclasses import replace

    return [replace(e, platform={"ann": "ios", "bob": "web"}.get(e.user_id or "")) for e in events]


def fill(session: WarehouseSession, events: Sequence[Event]) -> None:
    """Make `events` all that there is, and build everything."""
    # What names no feature and event of the definitions would switch them off.
    known = [Event(at=0, user_id="zoe", event_name=name, feature="Cart") for name in ("look", "add", "pay")]
    put_days(session, {day_number(n): [] for n in range(DAYS)} | by_day([*known, *events]))
    build_impact(session)


def asked(session: WarehouseSession, sql: str) -> list[tuple[Any, ...]]:
    return session.connection.execute(sql).fetchall()


# What fails is small as it comes; to make it smaller would build a hundred warehouses.
@settings(max_examples=dear(6), phases=[Phase.explicit, Phase.generate])
@given(events=LOGS)
def test_every_table_says_what_its_definition_says(session: WarehouseSession, events: list[Event]) -> None:
    drawn = _platforms(events)
    fill(session, drawn)
    known = [Event(at=0, user_id="zoe", event_name=name, feature="Cart") for name in ("look", "add", "pay")]
    every = [*known, *drawn]
    _people(session, every)
    _cohorts(session, every)
    _funnels(session, every)
    _segments(session, every)


def _people(session: WarehouseSession, events: list[Event]) -> None:
    found = asked(
        session,
        "select event_date, user_id, started_at, ended_at, events, features, is_derived, is_continued,"
        " case when not is_derived then session_key end from core.user_sessions",
    )
    assert set(found) == reference.sessions(events)
    found = asked(
        session,
        "select event_date, user_id, sessions, events, features, round(engaged_s, 6), errors, is_automated"
        " from core.user_days",
    )
    assert set(found) == reference.user_days(events)
    found = asked(session, "select feature, user_id, first_use_date, first_event_at from core.first_uses")
    assert set(found) == reference.first_uses(events)


def _cohorts(session: WarehouseSession, events: list[Event]) -> None:
    rows = asked(
        session,
        "select cohort_date, feature, day_n, kind, eligible, returned, observed_days, is_final from impact.retention"
        " where day_n <= 30",
    )
    assert {row[:4]: row[4:] for row in rows} == reference.retention(events)
    rows = asked(
        session,
        "select event_date, feature, users, all_users, wau, mau, all_wau, all_mau, new_adopters, second_use_7d"
        " from impact.feature_adoption",
    )
    assert {row[:2]: row[2:] for row in rows} == reference.adoption(events)


STEPS = (
    lambda e: e.event_name == "look",
    lambda e: e.feature == "Cart" and e.event_name == "add",
    lambda e: e.event_name == "pay" and reference.says(e, "kind") == "card",
)


def _funnels(session: WarehouseSession, events: list[Event]) -> None:
    window = timedelta(hours=36)
    wanted = reference.funnel_entries(events, STEPS, window, lambda e: e.user_id)
    rows = asked(session, "select entry_date, unit, step_at, segments from impact.funnel_entries where funnel = 'buy'")
    assert {(day, unit): times for day, unit, times, _ in rows} == wanted
    assert {unit: split["platform"] for _, unit, _, split in rows if unit in ("ann", "bob")}.items() <= {
        "ann": "ios",
        "bob": "web",
    }.items()
    units = _units(events)
    by_session = reference.funnel_entries(events, STEPS, window, lambda e: units[id(e)])
    rows = asked(session, "select entry_date, step_at from impact.funnel_entries where funnel = 'buy_session'")
    # A derived session has a name of its own making.
    assert sorted(rows) == sorted((day, times) for (day, _), times in by_session.items())
    rows = asked(
        session,
        "select entry_date, step, entered, reached from impact.funnel_days where funnel = 'buy' and segment is null",
    )
    counted = {}
    for (day, _), times in wanted.items():
        for step in (1, 2, 3):
            entered, reached = counted.get((day, step), (0, 0))
            counted[day, step] = (entered + 1, reached + (len(times) >= step))
    assert {row[:2]: row[2:] for row in rows} == counted


def _units(events: list[Event]) -> dict[int, str | None]:
    """The session of each event: its own, else the derived one of its user in which it lies."""
    sat = [s for s in reference.sessions(events) if s[6]]
    found: dict[int, str | None] = {}
    for e in events:
        mine = [s for s in sat if s[0] == e.day and s[1] == e.user_id and s[2] <= e.time <= s[3]]
        found[id(e)] = e.session_id or (f"{mine[0][1]} {mine[0][2]}" if mine else None)
    return found


def _segments(session: WarehouseSession, events: list[Event]) -> None:
    def active(own: list[Event], day: date, n: int) -> int:
        return len({e.day for e in own if e.day > day - timedelta(days=n)})

    def carts(own: list[Event], day: date, n: int) -> int:
        return len([e for e in own if e.feature == "Cart" and e.day > day - timedelta(days=n)])

    wanted = {
        "keen": reference.members(events, lambda own, _, day: active(own, day, 4) >= 2, 4),
        "lost": reference.members(
            events,
            lambda own, _, day: carts(own, day, 3) == 0 and (day - min(e.day for e in own)).days >= 2,
            90,
        ),
        "either": reference.members(
            events, lambda own, _, day: own[0].platform == "ios" or carts(own, day, 5) >= 3, 90
        ),
    }
    for name, days in wanted.items():
        rows = asked(
            session,
            'select event_date, members, entered, "left" from impact.segment_days'
            f" where segment = '{name}' order by event_date",
        )
        before: set[str] = set()
        told = []
        for day, now in sorted(days.items()):
            told.append((day, len(now), len(now - before), len(before - now)))
            before = now
        assert rows == told
        last = asked(
            session, f"select user_id from impact.segment_members where segment = '{name}' and left_on is null"
        )
        assert {user for (user,) in last} == before


def _snapshot(session: WarehouseSession) -> dict[str, list[tuple[Any, ...]]]:
    tables = (
        "core.user_sessions core.user_days core.first_uses core.feature_session_days core.dim_users impact.event_days"
        " impact.feature_adoption impact.adoption_curve impact.retention_cells impact.retention"
        " impact.funnel_step_days impact.funnel_entries impact.funnel_days impact.engagement_days impact.segment_days"
        " impact.segment_members"
    )
    return {name: sorted(map(repr, asked(session, f"select * from {name}"))) for name in tables.split()}


def test_any_order_of_late_changed_and_removed_days_gives_what_a_full_rebuild_gives(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rng = random.Random(os.environ.get("IMPACT_SEED", "1"))
    days = 40
    settings = new_settings(tmp_path_factory.mktemp("order") / "data")
    settings.data_dir.mkdir()
    _define(settings)
    with open_warehouse(settings) as session:
        there = {day_number(n): _some_events(rng, n) for n in range(days) if n % 3}
        put_days(session, there)
        build_impact(session)
        for change in range(10):
            day = day_number(rng.randrange(days))
            is_removed = rng.random() < 0.25 and len(there) > 2
            there[day] = [] if is_removed else _some_events(rng, (day - FIRST_DAY).days)
            put_days(session, {day: there[day]})
            # Some changes come alone, some together.
            if change % 3 == 0:
                build_impact(session)
        found = _snapshot(session)
    anew = new_settings(tmp_path_factory.mktemp("anew") / "data")
    anew.data_dir.mkdir()
    _define(anew)
    with open_warehouse(anew) as session:
        put_days(session, {day: events for day, events in there.items() if events})
        build_impact(session)
        wanted = _snapshot(session)
    assert found == wanted


def _some_events(rng: random.Random, day: int) -> list[Event]:
    platforms = {"ann": "ios", "bob": "web", "cyd": None, "dan": "web"}
    return [
        Event(
            at=day * 86_400 + rng.choice([rng.randrange(86_400), 0, 86_399, 43_200]),
            user_id=user,
            event_name=rng.choice(["look", "add", "pay"]),
            feature=rng.choice(["Cart", "Search"]),
            session_id=rng.choice([None, f"s{day}-{user}"]),
            platform=platforms.get(str(user)),
            properties=rng.choice([None, '{"kind": "card"}']),
        )
        for user in (*rng.sample(list(platforms), rng.randrange(1, 4)), None)
        for _ in range(rng.randrange(1, 4))
    ]
