"""What the impact tables should say of events, computed the slow and obvious way: one loop a definition."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from user_logs import Event

IDLE, DAY = timedelta(minutes=30), timedelta(days=1)
MOST_EVENTS = 2_000


def days_of(events: Iterable[Event]) -> list[date]:
    return sorted({e.day for e in events})


def automated(events: Iterable[Event]) -> set[tuple[date, str]]:
    counted = Counter((e.day, e.user_id) for e in events if e.user_id is not None)
    return {(day, str(user)) for (day, user), n in counted.items() if n > MOST_EVENTS}


def sessions(events: Sequence[Event]) -> set[tuple[Any, ...]]:
    """(day, user, started, ended, events, features, is_derived, is_continued, session_id) of each session."""
    found = set()
    for day, user in {(e.day, e.user_id) for e in events if e.user_id is not None}:
        own = sorted((e for e in events if e.user_id == user), key=lambda e: e.time)
        late = [e for e in own if e.day == day - DAY and e.time >= datetime.combine(day, datetime.min.time()) - IDLE]
        of_day = [e for e in own if e.day == day]
        for name in {e.session_id for e in of_day} - {None}:
            group = [e for e in of_day if e.session_id == name]
            found.add(_session(day, user, group, False, any(e.session_id == name for e in late)))
        group: list[Event] = []
        last = max((e.time for e in late if e.session_id is None), default=None)
        is_continued = False
        for event in (e for e in of_day if e.session_id is None):
            if group and event.time > group[-1].time + IDLE:
                found.add(_session(day, user, group, True, is_continued))
                group, last = [], None
            if not group:
                is_continued = last is not None and event.time <= last + IDLE
            group.append(event)
        if group:
            found.add(_session(day, user, group, True, is_continued))
    return found


def _session(day: date, user: str | None, group: list[Event], is_derived: bool, is_continued: bool) -> tuple[Any, ...]:
    times = [e.time for e in group]
    counts = (len(group), len({e.feature for e in group}))
    return (day, user, min(times), max(times), *counts, is_derived, is_continued, group[0].session_id)


def user_days(events: Sequence[Event]) -> set[tuple[Any, ...]]:
    """(day, user, sessions, events, features, engaged_s, errors, is_automated) of each user's day."""
    all_sessions, bots = sessions(events), automated(events)
    found = set()
    for day, user in {(e.day, e.user_id) for e in events if e.user_id is not None}:
        own = [e for e in events if (e.day, e.user_id) == (day, user)]
        sat = [s for s in all_sessions if s[:2] == (day, user)]
        found.add(
            (
                day,
                user,
                sum(not s[7] for s in sat),
                len(own),
                len({e.feature for e in own}),
                round(sum((s[3] - s[2]).total_seconds() for s in sat), 6),
                sum(e.status == "error" for e in own),
                (day, user) in bots,
            )
        )
    return found


def uses(events: Sequence[Event]) -> dict[str, dict[str, list[date]]]:
    """The days on which each user used each feature, ascending; '*' is the product."""
    bots = automated(events)
    found: dict[str, dict[str, set[date]]] = defaultdict(lambda: defaultdict(set))
    for e in events:
        if e.user_id is not None and (e.day, e.user_id) not in bots:
            found[e.feature][e.user_id].add(e.day)
            found["*"][e.user_id].add(e.day)
    return {f: {u: sorted(days) for u, days in users.items()} for f, users in found.items()}


def first_uses(events: Sequence[Event]) -> set[tuple[Any, ...]]:
    """(feature, user, first day, first event)."""
    bots = automated(events)
    return {
        (f, u, days[0], min(e.time for e in events if e.user_id == u and e.day == days[0] and f in ("*", e.feature)))
        for f, users in uses(events).items()
        for u, days in users.items()
        if (days[0], u) not in bots
    }


def retention(events: Sequence[Event]) -> dict[tuple[date, str, int, str], tuple[int, int, int, bool]]:
    """(eligible, returned, observed days, is_final) by (cohort, feature, n, kind)."""
    there = days_of(events)
    found = {}
    for feature, users in uses(events).items():
        for cohort in {days[0] for days in users.values()}:
            members = [days for days in users.values() if days[0] == cohort]
            for n in range(1, 31):
                for kind, last in (("exact", n), ("within_30", 30), ("on_or_after", 92)):
                    span = {cohort + timedelta(days=k) for k in range(n, last + 1)}
                    observed = len(span & set(there))
                    if observed:
                        returned = sum(bool(span & set(days)) for days in members)
                        is_final = cohort + timedelta(days=last) <= there[-1]
                        found[cohort, feature, n, kind] = (len(members), returned, observed, is_final)
    return found


def adoption(events: Sequence[Event]) -> dict[tuple[date, str], tuple[Any, ...]]:
    """(users, all users, wau, mau, all wau, all mau, new, second use) by (day, feature)."""
    used = uses(events)

    def within(feature: str, day: date, n: int) -> int:
        return sum(any(day - timedelta(days=n) < d <= day for d in days) for days in used.get(feature, {}).values())

    found = {}
    for day in days_of(events):
        for feature in set(used) - {"*"}:
            if not within(feature, day, 28):
                continue
            week_before = [days for days in used[feature].values() if days[0] == day - timedelta(days=7)]
            again = sum(any(days[0] < d <= day for d in days) for days in week_before)
            found[day, feature] = (
                *(within(feature, day, 1), within("*", day, 1), within(feature, day, 7), within(feature, day, 28)),
                *(within("*", day, 7), within("*", day, 28)),
                sum(days[0] == day for days in used[feature].values()),
                again / len(week_before) if week_before else None,
            )
    return found


Predicate = Callable[[Event], bool]


def funnel_entries(
    events: Sequence[Event], steps: Sequence[Predicate], window: timedelta, unit: Callable[[Event], str | None]
) -> dict[tuple[date, str], list[datetime]]:
    """When each step was reached, by (day of entry, unit)."""
    bots = automated(events)
    usable = [e for e in events if unit(e) is not None and (e.day, e.user_id) not in bots]
    found = {}
    for day, name in {(e.day, str(unit(e))) for e in usable}:
        own = sorted((e for e in usable if unit(e) == name), key=lambda e: e.time)
        first = next((e.time for e in own if e.day == day and steps[0](e)), None)
        if first is None:
            continue
        times = [first]
        for step in steps[1:]:
            after = [e.time for e in own if step(e) and times[-1] <= e.time < first + window]
            if not after:
                break
            times.append(min(after))
        found[day, name] = times
    return found


def says(event: Event, key: str) -> str | None:
    """A property of an event as text."""
    value = json.loads(event.properties).get(key) if event.properties else None
    return value if value is None or isinstance(value, str) else json.dumps(value)


def members(
    events: Sequence[Event], holds: Callable[[list[Event], list[Event], date], bool], horizon: int
) -> dict[date, set[str]]:
    """Members of each day: `holds(own events of all time until the day, those of the last `horizon` days, the day)`."""
    bots = automated(events)
    clean = [e for e in events if e.user_id is not None and (e.day, e.user_id) not in bots]
    found = {}
    for day in days_of(events):
        found[day] = set()
        for user in {str(e.user_id) for e in clean}:
            own = [e for e in clean if e.user_id == user and e.day <= day]
            recent = [e for e in own if e.day > day - timedelta(days=horizon)]
            if recent and holds(own, recent, day):
                found[day].add(user)
    return found
