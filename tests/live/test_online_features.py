"""Online features: live, offline and by a plain loop over the events they are the same, whatever order they came in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from quality_assets.domain.live.compiler import lake_events_sql, offline_sql, read_sql, tiles_ddl, upsert_sql
from quality_assets.domain.live.event_rows import EventSource, accept
from quality_assets.domain.live.expressions import (
    DIALECTS,
    DUCKDB,
    POSTGRESQL,
    SPARK,
    SQLITE,
    ExpressionError,
    names_of,
    sql_of,
)
from quality_assets.domain.live.feature_set import FeatureFileError, load_features
from quality_assets.settings import REPOSITORY_ROOT
from quality_assets.stores.live.live_store import LiveStore
from quality_assets.stores.live.request_log import Entry, Record

FILE = REPOSITORY_ROOT / "data" / "features.yaml"
FEATURES = load_features(FILE)
TILE_US = 300_000_000
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
NOW_US = int(datetime(2026, 11, 20, 12, 2, 30, tzinfo=UTC).timestamp()) * 1_000_000
_WINDOWS = {"1h": 12, "6h": 72, "24h": 288, "7d": 2016}

Event = dict[str, Any]


def plain_features(events: Sequence[Event], user: str, as_of_us: int, visible_us: int) -> dict[str, Any]:
    """What the features are, in as few words as can be: a loop over the events as they were sent."""
    first: dict[str, Event] = {}
    for event in sorted(events, key=lambda each: each["received_us"]):
        first.setdefault(event["event_id"], event)
    seen = [
        event
        for event in first.values()
        if event["user_id"] == user and event["received_us"] <= visible_us
        and event["event_us"] // TILE_US <= as_of_us // TILE_US
    ]  # fmt: skip

    def within(window: str, name: str | None = None) -> list[Event]:
        tile = as_of_us // TILE_US - _WINDOWS[window]
        found = [event for event in seen if event["event_us"] // TILE_US >= tile]
        return found if name is None else [event for event in found if event["event_name"] == name]

    def ratio(above: float, below: float) -> float | None:
        return above / below if below else None

    week, day, hour = within("7d"), within("24h"), within("1h")
    purchases = within("7d", "purchase")
    latest = max((event["event_us"] for event in week), default=None)
    bought = max((event["event_us"] for event in purchases), default=None)
    devices = [(event["event_us"], event["device_type"]) for event in week if event["device_type"]]
    timed = [math.floor(event["latency_ms"] * 1000 + 0.5) for event in day if event["latency_ms"] is not None]
    failed = [event for event in day if event["status"] != "ok"]
    moment = datetime.fromtimestamp(as_of_us / 1e6, UTC)
    mean = ratio(sum(timed), len(timed))
    score = 2 * len(day) + 15 * len(purchases) + 5 * len(within("7d", "share"))
    return {
        "activity_count_1h": len(hour),
        "activity_count_6h": len(within("6h")),
        "activity_count_24h": len(day),
        "activity_count_7d": len(week),
        "purchase_count_24h": len(within("24h", "purchase")),
        "purchase_count_7d": len(purchases),
        "hours_since_purchase": None if bought is None else (as_of_us - bought) / 1_000_000 / 3600,
        "purchase_rate_7d": ratio(len(purchases), len(week)),
        "click_rate_24h": ratio(len(within("24h", "click")), len(within("24h", "view"))),
        "failure_rate_24h": ratio(len(failed), len(day)),
        "activity_trend": ratio(24 * len(hour), len(day)),
        "latency_mean_ms_24h": None if mean is None else mean / 1000,
        "mobile_share_7d": ratio(sum(event["device_type"] in ("mobile", "phone") for event in week), len(week)),
        "last_device": max(devices)[1] if devices else None,
        "user_segment": "buyer" if purchases else "active" if len(week) >= 50 else "casual" if week else "unseen",
        "seconds_since_last": None if latest is None else (as_of_us - latest) / 1_000_000,
        "is_active_session": latest is not None and (as_of_us - latest) / 1_000_000 < 1800,
        "hour_of_day": moment.hour,
        "is_weekend": moment.weekday() >= 5,
        "engagement_score": min(score, 100),
        "ab_variant": "A" if hashlib.md5(f"quality.{user}".encode()).hexdigest()[:8] < "80000000" else "B",
    }


def _event(number: int, choose: Callable[[Sequence[Any]], Any], back_us: int, late_us: int) -> Event:
    return {
        "event_id": f"e{number}",
        "user_id": choose(["ada", "bob", "Zoë", "x" * 40]),
        "event_us": NOW_US - back_us,
        "received_us": NOW_US - back_us + late_us,
        "event_name": choose(["purchase", "click", "view", "share", "search"]),
        "status": choose(["ok", "ok", "error", "crash"]),
        "device_type": choose(["mobile", "phone", "tablet", "desktop", "Mobile", None]),
        "latency_ms": choose([None, 0.0005, 12.3456, 99.9995, 250]),
    }


def _write(store: LiveStore, events: Sequence[Event]) -> None:
    for event in events:
        fields = {
            "event_id": event["event_id"],
            "event_time": event["event_us"],
            **{name: event[name] for name in ("user_id", "event_name", "status", "device_type", "latency_ms")},
        }
        row = accept(fields, EventSource(), event["received_us"], may_hold_nul=False)
        assert isinstance(row, tuple), row
        entry = Entry("default", [row])
        entry.received = [event["received_us"]]
        store.write_batch([Record(store.position() + 1, NOW_US, entry)])


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One database for all examples: to make one is much of what an example takes."""
    return duckdb.connect(config={"threads": 1})


def _offline(events: Sequence[Event], asked: Sequence[tuple[str, int, int]], version: int = 1) -> dict[Any, Any]:
    first = {event["event_id"]: event for event in sorted(events, key=lambda each: -each["received_us"])}
    frame = pd.DataFrame(list(first.values()))
    frame["event_time"] = pd.to_datetime(frame["event_us"], unit="us")
    frame["received_at"] = pd.to_datetime(frame["received_us"], unit="us")
    frame = frame.drop(columns=["event_us", "received_us"]).assign(feature="app", platform=None, country=None)
    requests = pd.DataFrame(asked, columns=["user_id", "as_of_us", "visible_us"])
    with _database().cursor() as connection:
        connection.register("lake", frame)
        connection.register("requests", requests)
        cursor = connection.execute(offline_sql(FEATURES, version, "requests", lake_events_sql("lake"), DUCKDB))
        names = [column[0] for column in cursor.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    keys = ("user_id", "as_of_us", "visible_us")
    return {
        tuple(row[key] for key in keys): {name: value for name, value in row.items() if name not in keys}
        for row in rows
    }


def _compare(store: LiveStore, events: Sequence[Event], asked: Sequence[tuple[str, int]]) -> int:
    """Live answers with the loop and with the lake's; how many values there were."""
    known_us = max(event["received_us"] for event in events)
    offline = _offline(events, [(user, as_of_us, known_us) for user, as_of_us in asked])
    for user, as_of_us in asked:
        live = store.read(user, 1, as_of_us).values
        assert live == plain_features(events, user, as_of_us, known_us)
        assert live == offline[user, as_of_us, known_us]
    return len(asked) * len(FEATURES.view(1))


# Instants on the edges of tiles and windows, and a copy of every third event.
_BACKS = st.sampled_from(
    [0, 1, TILE_US // 2, TILE_US, TILE_US + 150_000_000, HOUR_US, HOUR_US + TILE_US, 6 * HOUR_US, DAY_US, 7 * DAY_US]
) | st.integers(0, 8 * DAY_US)


@given(
    drawn=st.lists(st.tuples(_BACKS, st.sampled_from([0, 1, HOUR_US, 3 * DAY_US])), min_size=1, max_size=12),
    random=st.randoms(use_true_random=False),
    later=st.sampled_from([0, 1, 150_000_000, TILE_US, HOUR_US]),
)
def test_any_order_delay_and_repetition_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, int]], random: Random, later: int
) -> None:
    events = [_event(n, random.choice, back, min(late, back)) for n, (back, late) in enumerate(drawn)]
    sent = [*events, *(dict(event) for event in events[::3])]
    random.shuffle(sent)
    store = LiveStore(tmp_path_factory.mktemp("state") / "state.db", FEATURES)
    try:
        _write(store, sent)
        assert _compare(store, events, [("ada", NOW_US + later), ("bob", NOW_US + later), ("nobody", NOW_US)]) == 63
    finally:
        store.close()


def test_thousands_of_values_are_the_same_three_times(tmp_path: Path) -> None:
    random = Random(18)
    events = []
    for n in range(1500):
        back = random.choice([random.randrange(8 * DAY_US), random.randrange(DAY_US), TILE_US * random.randrange(300)])
        events.append(
            _event(n, random.choice, back, min(back, random.choice([0, 0, 5_000_000, random.randrange(8 * DAY_US)])))
        )
    sent = [*events, *random.sample(events, 100)]
    random.shuffle(sent)
    store = LiveStore(tmp_path / "state.db", FEATURES)
    _write(store, sent)
    instants = [NOW_US + shift for shift in (0, 1, 149_999_999, 150_000_000, HOUR_US, 3 * DAY_US)]
    users = ["ada", "bob", "Zoë", "x" * 40, "nobody"]
    assert _compare(store, events, [(user, instant) for user in users for instant in instants]) == 630
    store.close()


def test_what_was_not_received_yet_was_not_known() -> None:
    events = [
        _event(0, lambda choices: choices[0], HOUR_US // 2, 0),
        _event(1, lambda choices: choices[0], HOUR_US // 2, HOUR_US // 4),
    ]
    early_us = NOW_US - HOUR_US // 3
    found = _offline(events, [("ada", NOW_US, NOW_US), ("ada", early_us, early_us)])
    assert found["ada", NOW_US, NOW_US]["activity_count_1h"] == 2
    assert found["ada", early_us, early_us]["activity_count_1h"] == 1
    assert found["ada", early_us, early_us] == plain_features(events, "ada", early_us, early_us)


def test_version_two_stands_beside_version_one(tmp_path: Path) -> None:
    store = LiveStore(tmp_path / "state.db", FEATURES)
    choices = {"purchase": "purchase", "ok": "error", "mobile": "tablet"}
    event = _event(0, lambda given: choices.get(given[0], given[0]), 60_000_000, 0)
    _write(store, [event])
    one, two = (store.read("ada", version, NOW_US).values for version in (1, 2))
    assert (one["engagement_score"], two["engagement_score"]) == (17, 16)
    assert (two["failure_count_1h"], two["device_kinds_1h"], two["session_count_7d"]) == (1, 1, 0)
    assert "failure_count_1h" not in one
    store.close()


def test_version_one_is_frozen() -> None:
    # Whoever asks for version 1 gets for ever what it was: what differs is a new version.
    assert FEATURES.fingerprint(1) == "7750e9c5e2b015f7"
    assert len(FEATURES.view(1)) == 21
    assert len(FEATURES.windowed(1)) == 16
    assert len({(feature.name, feature.version) for feature in FEATURES.features}) == 25


def test_arms_are_the_same_in_every_engine(tmp_path: Path) -> None:
    users = [f"user {n} ü" for n in range(200)]
    store = LiveStore(tmp_path / "state.db", FEATURES)
    live = [store.read(user, 1, NOW_US).values["ab_variant"] for user in users]
    store.close()
    events = [_event(0, lambda choices: choices[0], 0, 0)]
    offline = _offline(events, [(user, NOW_US, NOW_US) for user in users])
    assert live == [offline[user, NOW_US, NOW_US]["ab_variant"] for user in users]
    assert 70 < live.count("A") < 130


def test_the_spelling_of_each_engine() -> None:
    quotient = "ratio(a, 2.5)"
    assert sql_of(quotient, SQLITE) == "(cast(a as real) / nullif(cast(cast(2.5 as real) as real), 0))"
    assert "double precision" in sql_of(quotient, POSTGRESQL)
    assert 'collate "C" < ' in sql_of("ab('s')", POSTGRESQL)
    assert {dialect.parameter("x") for dialect in DIALECTS} == {":x", "$x", "%(x)s"}
    assert 'latest_device text collate "C"' in tiles_ddl(FEATURES, POSTGRESQL)
    assert "order by user_id, tile on conflict (user_id, tile) do update" in upsert_sql(
        FEATURES, POSTGRESQL, "e where true"
    )
    assert "%(tile)s - 2016" in read_sql(FEATURES, 1, POSTGRESQL)
    assert " as string)" in offline_sql(FEATURES, 1, "r", "e", SPARK)


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "a.b", "a if b", "[1]", "f'{a}'", "a ** 2", "open('x')", "a < b < c", "b'x'", "lambda: 1"],
)
def test_expressions_are_a_small_language(text: str) -> None:
    with pytest.raises(ExpressionError):
        sql_of(text, SQLITE, {name: name for name in names_of(text)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": [{"name": "x", "type": "integer", "kind": "ratio", "expression": "e_1h", "description": "d"}]},
         "e_1h is no aggregate with a window"),
        ({"aggregates": {"events": {"count": "colour == 1", "description": "d"}}}, "colour is not one of event_name"),
        ({"aggregates": {"events": {"description": "d"}}}, "needs exactly one of count, sum, max, latest"),
        ({"segments": {"s": {"condition": "device_kinds_1h > 1", "description": "d"}}},
         "device_kinds_1h is no feature of version 1"),
        ({"windows": {"1h": 0}}, "greater than or equal to 1"),
        ({"more": 1}, "more"),
    ],
)  # fmt: skip
def test_a_file_of_features_that_is_wrong(tmp_path: Path, change: Mapping[str, Any], words: str) -> None:
    (tmp_path / "features.yaml").write_text(yaml.safe_dump({**yaml.safe_load(FILE.read_text()), **change}))
    with pytest.raises(FeatureFileError, match=rf"features\.yaml: .*{words}"):
        load_features(tmp_path / "features.yaml")
