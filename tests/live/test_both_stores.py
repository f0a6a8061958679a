"""The live state on SQLite and on PostgreSQL: the same steps, letters, files and features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import pytest
from running_collector import wait_for
from services import redis_server

from quality_assets.domain.live.event_rows import EventSource, accept
from quality_assets.domain.live.feature_set import load_features
from quality_assets.serve.collector.landing import land
from quality_assets.serve.collector.today import Today
from quality_assets.settings import REPOSITORY_ROOT, Settings
from quality_assets.stores.live.cache import Cache, key_of
from quality_assets.stores.live.chosen import asked_state, store_of
from quality_assets.stores.live.letters import counts_by_reason, dead_letters
from quality_assets.stores.live.live_store import POISON, LiveStore
from quality_assets.stores.live.postgres import connect
from quality_assets.stores.live.postgres_store import PostgresStore
from quality_assets.stores.live.request_log import Entry, Letter, Record
from quality_assets.stores.live.state_tables import DAY_US

FEATURES = load_features(REPOSITORY_ROOT / "data" / "features.yaml")
NOW_US = 1_795_000_000_000_000
Store = Any


def _rows(*ids: str, received_us: int = NOW_US, user: str = "u", **fields: Any) -> list[Any]:
    made = [
        accept({"event_id": each, "user_id": user, **fields}, EventSource(), received_us, may_hold_nul=False)
        for each in ids
    ]
    assert all(isinstance(row, tuple) for row in made)
    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, data_root: Settings) -> Settings:
    """An empty root, once with each database."""
    url = request.getfixturevalue("postgresql").new_database() if request.param == "postgresql" else None
    made = Settings(data_dir=data_root.data_dir, live_url=url)
    made.live_dir.mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An empty state on each database."""
    made = store_of(settings, FEATURES)
    yield made
    made.close()


def _count(settings: Settings, what: str) -> int:
    connection = asked_state(settings.live_state)
    try:
        return int(connection.execute(f"select count(*) from {what}").fetchone()[0])
    finally:
        connection.close()


def test_records_that_are_read_again_change_nothing(store: Store) -> None:
    records = [
        Record(1, NOW_US, Entry("default", _rows("a", "b"))),
        Record(2, NOW_US + 1, Entry("default", _rows("b"))),
    ]
    step = store.write_batch(records)
    assert (step.events, step.duplicates, step.position) == (2, 1, 2)
    assert store.write_batch(records).events == 0
    again = store.write_batch([Record(3, NOW_US + 2, Entry("default", _rows("a")))])
    assert (again.events, again.duplicates, store.position()) == (0, 1, 3)
    answer = store.read("u", 1, NOW_US)
    assert (answer.values["activity_count_24h"], answer.known_us) == (2, NOW_US + 2)


def test_keys_are_known_for_two_days_and_then_forgotten(store: Store, settings: Settings) -> None:
    for seq, day in enumerate((0, 2, 3), 1):
        received_us = NOW_US + day * DAY_US
        store.write_batch([Record(seq, received_us, Entry("default", _rows("a", received_us=received_us)))])
    # The third is as late as it takes to forget the first; the lake tells copies of all times.
    assert _count(settings, "events") == 2


def test_a_row_that_the_database_refuses_becomes_a_letter(store: Store, settings: Settings) -> None:
    poison = list(_rows("bad")[0])
    poison[8] = object()
    records = [
        Record(1, NOW_US, Entry("default", _rows("a", "b"))),
        Record(2, NOW_US + 1, Entry("default", [*_rows("c", "d"), tuple(poison), *_rows("e")])),
        Record(3, NOW_US + 2, Entry("default", _rows("f"))),
    ]
    store.write_batch(records)
    assert (store.position(), _count(settings, "events")) == (3, 6)
    (letter,) = dead_letters(settings.live_state)
    assert (letter.reasons, letter.endpoint) == ((POISON,), "processor")
    assert store.read("u", 1, NOW_US + 3).values["activity_count_1h"] == 6


def test_letters_are_found_by_reason_and_marked_when_sent_again(store: Store, settings: Settings) -> None:
    letters = [
        Letter("/ingest", ["invalid_status", "missing_event_id"], '{"status": "x"}'),
        Letter("/v1/batch", ["invalid_status"], "{}"),
    ]
    store.write_batch([Record(1, NOW_US, Entry("shop", [], list(letters)))])
    assert [letter.id for letter in dead_letters(settings.live_state, reason="missing_event_id")] == [1]
    assert counts_by_reason(settings.live_state)[0] == {
        "reason": "invalid_status", "endpoint": "/ingest", "letters": 1
    }  # fmt: skip
    store.write_batch([Record(2, NOW_US + 1, Entry("shop", _rows("a"), [], 0, [1], [NOW_US]))])
    assert [letter.id for letter in dead_letters(settings.live_state, state="waiting")] == [2]
    assert [letter.replays for letter in dead_letters(settings.live_state, ids=[1], state="replayed")] == [1]


def test_what_no_window_reaches_is_forgotten(store: Store, settings: Settings) -> None:
    old_us = NOW_US - 8 * DAY_US
    store.write_batch([Record(1, NOW_US, Entry("default", [*_rows("a", event_time=old_us), *_rows("b")]))])
    assert _count(settings, "tiles") == 2
    store.prune(NOW_US)
    assert (_count(settings, "tiles"), _count(settings, "live_users")) == (1, 2)
    assert _count(settings, "events") == 2, "what has not landed stays"


def test_a_new_aggregate_gets_a_column(settings: Settings) -> None:
    older = FEATURES.model_copy(
        update={
            "aggregates": {name: each for name, each in FEATURES.aggregates.items() if name != "session_starts"},
            "features": tuple(each for each in FEATURES.features if each.name != "session_count_7d"),
        }
    )
    store = store_of(settings, older)
    store.write_batch([Record(1, NOW_US, Entry("default", _rows("a", event_type="session_start")))])
    store.close()
    store = store_of(settings, FEATURES)
    store.write_batch([Record(2, NOW_US + 1, Entry("default", _rows("b", event_type="session_start")))])
    assert store.read("u", 2, NOW_US + 1).values["session_count_7d"] == 1
    store.close()


def test_what_waits_lands_once_and_today_is_as_it_came(store: Store, settings: Settings) -> None:
    yesterday_us = NOW_US - DAY_US
    rows = [
        *_rows("a", "b", latency_ms=100, feature="Search"),
        *_rows("c", event_time=yesterday_us, status="error"),
        *_rows("d", user="v", status="crash", feature="Search"),
    ]
    store.write_batch([Record(1, NOW_US, Entry("default", rows))])
    today = Today(settings.live_state, FEATURES.tile_us)
    day = today.day(today_date := _date(NOW_US), NOW_US)
    assert (day["events"], day["crashes"], day["users"], day["features"][0]["feature"]) == (3, 1, 2, "Search")
    assert day["features"][0]["p95_latency_ms"] == pytest.approx(100, rel=0.01)
    assert sum(tile["events"] for tile in today.tiles(today_date)) == 3
    assert [source["events"] for source in today.sources()] == [4]
    assert {message["event_id"] for message in today.last_messages(9, masked=False)} == {"a", "b", "c", "d"}
    batches = land(settings, lambda waiting: waiting)
    assert [batch.rows for batch in batches] == [1, 3]
    found = [pq.read_table(settings.landing_dir / batch.name)["event_id"].to_pylist() for batch in batches]
    assert found == [["c"], ["a", "b", "d"]]
    assert land(settings, lambda waiting: waiting) == []
    assert _count(settings, "events") == 0
    today.close()


def _date(us: int) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(us / 1e6, UTC).date()


def test_features_of_postgresql_are_those_of_sqlite(tmp_path: Path, postgresql: Any) -> None:
    random = Random(11)
    mine = LiveStore(tmp_path / "state.db", FEATURES)
    other = PostgresStore(postgresql.new_database(), FEATURES, "log")
    users = ["anna", "Ähre", "b'ob", "日本", "u%s"]
    for seq in range(1, 41):
        received_us = NOW_US + seq * 1_000_000
        rows = [
            row
            for n in range(random.randrange(1, 9))
            for row in _rows(
                f"{random.randrange(250)}",
                received_us=received_us,
                user=random.choice(users),
                event_time=received_us - random.randrange(8 * DAY_US) // (1 + n * n * 20),
                event_type=random.choice(["purchase", "click", "view", "share", "session_start"]),
                status=random.choice(["ok", "ok", "error", "crash"]),
                device_type=random.choice(["mobile", "desktop", "tablet", None]),
                latency_ms=random.choice([None, random.random() * 900]),
            )
        ]
        record = Record(seq, received_us, Entry("default", rows))
        assert mine.write_batch([record]) == other.write_batch([record])
    values = 0
    for user in [*users, "nobody"]:
        for version in FEATURES.versions:
            for as_of_us in (NOW_US, NOW_US + 20_000_000, NOW_US + 41_000_000, NOW_US + 2 * DAY_US):
                here, there = mine.read(user, version, as_of_us), other.read(user, version, as_of_us)
                assert here == there or user == "nobody"
                assert here.values == there.values
                values += len(here.values)
        assert mine.segments(user, NOW_US + 41_000_000) == other.segments(user, NOW_US + 41_000_000)
    assert values > 1000
    mine.close()
    other.close()


def test_two_that_follow_one_log_count_once(postgresql: Any) -> None:
    url = postgresql.new_database()
    first, second = (PostgresStore(url, FEATURES, "raw-events/0") for _ in range(2))
    record = Record(1, NOW_US, Entry("default", _rows("a")))
    assert [each.write_batch([record]).events for each in (first, second)] == [1, 0]
    # Another log that brings the same event: its key was seen.
    third = PostgresStore(url, FEATURES, "raw-events/1")
    step = third.write_batch([record])
    assert (step.events, step.duplicates) == (0, 1)
    for each in (first, second, third):
        each.close()


def _midnight(day: int) -> int:
    return (NOW_US // DAY_US + day) * DAY_US


def test_a_copy_on_the_other_side_of_midnight_is_one(postgresql: Any) -> None:
    url = postgresql.new_database()
    behind, ahead = (PostgresStore(url, FEATURES, f"log/{n}") for n in range(2))
    before_us, after_us = _midnight(1) - 1_000_000, _midnight(1) + 1_000_000
    assert behind.write_batch([Record(1, before_us, Entry("default", _rows("a")))]).events == 1
    assert ahead.write_batch([Record(1, after_us, Entry("default", _rows("b")))]).events == 1
    # Whose log is behind has not come to midnight, and gets what the other has taken after it.
    step = behind.write_batch([Record(2, before_us + 1, Entry("default", _rows("b", "c")))])
    assert (step.events, step.duplicates) == (1, 1)
    step = ahead.write_batch([Record(2, after_us + 1, Entry("default", _rows("a", "c", "d")))])
    assert (step.events, step.duplicates) == (1, 2)
    for each in (behind, ahead):
        each.close()


def test_midnight_waits_for_a_step_that_is_under_way(postgresql: Any) -> None:
    url = postgresql.new_database()
    first, second = (PostgresStore(url, FEATURES, f"log/{n}") for n in range(2))
    first.write_batch([Record(1, _midnight(1) - 2, Entry("default", _rows("a")))])
    (row,) = _rows("b")
    steps: list[Any] = []
    with connect(url, autocommit=False) as under_way, connect(url) as asked:
        under_way.execute("insert into seen values (%s, %s, %s)", (NOW_US // DAY_US, row[0], NOW_US))
        late = [Record(1, _midnight(1) + 1, Entry("default", [row]))]
        thread = Thread(target=lambda: steps.append(second.write_batch(late)))
        thread.start()

        def waits() -> bool:
            found = asked.execute("select count(*) from pg_locks where not granted").fetchone()
            return found is not None and found[0] > 0

        wait_for(waits)
        under_way.commit()
        thread.join()
    assert (steps[0].events, steps[0].duplicates) == (0, 1)
    for each in (first, second):
        each.close()


def test_the_cache_holds_an_answer_until_its_user_does_something(postgresql: Any) -> None:
    with redis_server() as url:
        store = PostgresStore(postgresql.new_database(), FEATURES, "log", cache=Cache(url))
        store.write_batch([Record(1, NOW_US, Entry("default", _rows("a")))])
        reads = [store.read("u", 1, NOW_US + n, may_be_cached=True) for n in range(3)]
        assert [read.is_cached for read in reads] == [False, True, True]
        assert reads[0].values == reads[2].values
        assert reads[2].as_of_us == NOW_US, "it says of when it is"
        assert not store.read("u", 1, NOW_US + 9).is_cached, "an instant that is asked for is computed"
        cache = store.cache
        assert cache is not None
        assert 0 < cache._redis.ttl(key_of("u", 1)) <= 60
        store.write_batch([Record(2, NOW_US + 5, Entry("default", _rows("b")))])
        fresh = store.read("u", 1, NOW_US + 10, may_be_cached=True)
        assert (fresh.is_cached, fresh.values["activity_count_1h"]) == (False, 2)
        # What was read before a commit is not kept after it.
        cache.forget(["u"], [1])
        _, lease = cache.look_up("u", 1)
        cache.forget(["u"], [1])
        cache.keep(reads[0], lease)
        assert cache.look_up("u", 1)[0] is None
    gone = store.read("u", 1, NOW_US + 11, may_be_cached=True)
    assert (gone.is_cached, gone.values["activity_count_1h"]) == (False, 2), "without a cache all goes on"
    store.close()
