"""Weekly scores of who may stay away, and what crashes cost: built, graded, and made anew only where days changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from user_logs import Event, build_impact, by_day, day_number, define, define_nothing, put_days

from quality_assets.contracts.churn import CRASH_COSTS, ENGAGEMENT_GRADES, ENGAGEMENT_SCORES
from quality_assets.stores.frames import as_arrow
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.experiments.churn import build_engagement, engagement_is_stale
from quality_assets.tables.experiments.crashes import build_crash_costs, crash_costs_are_stale
from quality_assets.tables.impact.defined import refresh_definitions
from quality_assets.tables.impact.segments import build_segments
from tests.conftest import new_settings

DAYS = 106
STEADY, LEAVING = 120, 120
# The first of March 2026 is a Sunday, and so is every seventh day after it.
LAST_WEEK = day_number(105)


def people() -> list[Event]:
    """Steady users come every third day, leaving ones so until a day of their own; crash k strikes every fifth user."""
    events = []
    for number in range(STEADY + LEAVING):
        gone = DAYS if number < STEADY else 20 + (number * 7) % 80
        for day in range(number % 3, min(DAYS, gone), 3):
            status = "crash" if number % 5 == 0 and day in (60, 61, 62) else "ok"
            events.append(Event(at=day * 86_400 + number, user_id=f"u{number}", status=status))
    return events


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseSession]:
    """All weeks scored, graded and estimated."""
    settings = new_settings(tmp_path_factory.mktemp("weekly") / "data")
    settings.data_dir.mkdir()
    define_nothing(settings)
    with open_warehouse(settings) as opened:
        put_days(opened, by_day(people()))
        build_impact(opened)
        build_engagement(opened)
        build_crash_costs(opened)
        # Once there are scores, as the graph has it.
        define(settings, "segments/leaving.yaml", "name: leaving\nowner: me\nall: [{score: {band: [high, middle]}}]\n")
        define(settings, "segments/last.yaml", "name: last\nowner: me\nall: [{score: {at_least: 0.5, at_most: 0.8}}]\n")
        refresh_definitions(opened)
        build_segments(opened)
        yield opened


def test_each_week_has_the_users_of_its_last_four(session: WarehouseSession) -> None:
    rows = session.connection.execute(
        f"select as_of_date, count(*), count(distinct user_id) from {ENGAGEMENT_SCORES.qualified_name} group by 1"
    ).fetchall()
    assert max(rows)[0] == LAST_WEEK
    for as_of, scored, users in rows:
        wanted = {event.user_id for event in people() if as_of - timedelta(days=27) <= event.day <= as_of}
        assert scored == users == len(wanted)


def test_a_model_has_seen_only_labels_that_were_over(session: WarehouseSession) -> None:
    rows = session.connection.execute(
        "select as_of_date, any_value(scored_by), count(p_churn), count(*), max(trained_through)"
        f" from {ENGAGEMENT_SCORES.qualified_name} group by 1 order by 1"
    ).fetchall()
    learnt = [row for row in rows if row[1] == "logistic"]
    # 28 days of past and 28 of label come before the first that could learn.
    assert learnt
    assert learnt[0][0] >= day_number(27 + 28)
    assert all(row[2] == row[3] and row[4] == row[0] for row in learnt)
    assert all(row[2] == 0 and row[4] is None for row in rows if row[1] != "logistic")


def test_who_has_left_ranks_above_who_comes_as_usual(session: WarehouseSession) -> None:
    rows = session.connection.execute(
        f"select avg(rank) filter (where user_id in ('u0', 'u1', 'u2')), max(rank) filter (where band = 'low')"
        f" from {ENGAGEMENT_SCORES.qualified_name} where as_of_date = $day",
        {"day": LAST_WEEK},
    ).fetchall()
    assert rows[0][0] < 0.6
    assert rows[0][1] < 0.6


@pytest.mark.parametrize(
    ("segment", "condition"), [("leaving", "band in ('high', 'middle')"), ("last", "rank between 0.5 and 0.8")]
)
def test_a_segment_by_score_has_who_the_latest_week_says_until_the_next(
    session: WarehouseSession, segment: str, condition: str
) -> None:
    scored = session.connection.execute(
        f"select as_of_date, user_id from {ENGAGEMENT_SCORES.qualified_name} where {condition}"
    ).fetchall()
    by_week: dict[date, set[str]] = {}
    for as_of, user in scored:
        by_week.setdefault(as_of, set()).add(user)
    rows = session.connection.execute(
        "select event_date, members from impact.segment_days where segment = $name order by 1", {"name": segment}
    ).fetchall()
    assert len(rows) == DAYS
    for day, members in rows:
        week = day - timedelta(days=(day.weekday() + 1) % 7)
        assert members == len(by_week.get(week, set())), day
    now = session.connection.execute(
        "select user_id from impact.segment_members where segment = $name and left_on is null", {"name": segment}
    ).fetchall()
    assert {user for (user,) in now} == by_week[LAST_WEEK]
    assert 0 < len(now) < STEADY + LEAVING


def test_only_weeks_that_are_over_are_graded_by_what_came_true(session: WarehouseSession) -> None:
    rows = session.connection.execute(
        f"select as_of_date, users, churned from {ENGAGEMENT_GRADES.qualified_name} where candidate = 'recency'"
        " order by 1"
    ).fetchall()
    assert rows[-1][0] == day_number(77)
    for as_of, users, churned in rows:
        active = {e.user_id for e in people() if as_of - timedelta(days=27) <= e.day <= as_of}
        later = {e.user_id for e in people() if as_of < e.day <= as_of + timedelta(days=28)}
        assert (users, churned) == (len(active), len(active - later))


def test_what_crashes_cost_needs_enough_people(session: WarehouseSession) -> None:
    rows = session.connection.execute(
        f"select as_of_date, exposed, crashed_last_day, verdict, reason from {CRASH_COSTS.qualified_name}"
    ).fetchall()
    as_of, exposed, crashed, verdict, reason = rows[0]
    met = {event.user_id for event in people() if event.status == "crash"}
    assert (as_of, exposed, crashed, verdict) == (LAST_WEEK, len(met), 0, "not measured")
    assert reason == f"Not measured: {len(met)} people met a crash, and 200 are needed."


def test_nothing_is_made_anew_until_a_day_changes(session: WarehouseSession) -> None:
    assert not engagement_is_stale(session)
    assert not crash_costs_are_stale(session)
    before = _made_of(session)
    late = Event(at=90 * 86_400 + 5, user_id="late")
    put_days(session, {day_number(90): [*(e for e in people() if e.day == day_number(90)), late]})
    build_impact(session)
    assert engagement_is_stale(session)
    assert crash_costs_are_stale(session)
    build_engagement(session)
    after = _made_of(session)
    # What was known before that day is as it was.
    assert {week for week in after if after[week] != before[week]} == {day_number(n) for n in (91, 98, 105)}


def _made_of(session: WarehouseSession) -> dict[date, str]:
    rows = session.connection.execute(
        f"select distinct as_of_date, inputs_fingerprint from {ENGAGEMENT_SCORES.qualified_name}"
    ).fetchall()
    return dict(rows)


def test_a_product_that_knows_no_users_has_nobody_to_score(tmp_path: Path) -> None:
    settings = new_settings(tmp_path / "data")
    settings.data_dir.mkdir()
    define_nothing(settings)
    with open_warehouse(settings) as opened:
        put_days(opened, by_day([Event(at=day * 86_400, user_id=None) for day in range(50)]))
        build_impact(opened)
        assert build_engagement(opened) == (0, 0)
        # Nor is a week of nobody made anew with every run.
        assert not engagement_is_stale(opened)


def test_a_table_of_no_rows_has_the_types_of_its_contract() -> None:
    nothing = pd.DataFrame({"user_id": [], "reasons": [], "as_of_date": [], "p_churn": []})
    made = as_arrow(ENGAGEMENT_SCORES, nothing)
    assert made.num_rows == 0
    assert [str(made.schema.field(name).type) for name in ("user_id", "reasons", "as_of_date", "p_churn")] == [
        "string", "list<item: string>", "date32[day]", "double",
    ]  # fmt: skip
