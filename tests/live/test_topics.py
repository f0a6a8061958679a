"""Collector, topic, processors and PostgreSQL: what is sent counts once, whoever is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from pydantic import SecretStr
from running_collector import Collector, collecting, environment_of, free_port, land_now, wait_for
from services import kafka_broker, redis_server

from quality_assets.domain.live.event_rows import EventSource, accept
from quality_assets.domain.live.feature_set import load_features
from quality_assets.serve.collector import partitions
from quality_assets.serve.collector.core import CollectorRunningError, topics_of
from quality_assets.settings import Settings
from quality_assets.stores.http_client import http_client
from quality_assets.stores.live import kafka
from quality_assets.stores.live.kafka import (
    DEAD_LETTERS,
    FEATURE_EVENTS,
    RAW_EVENTS,
    Announcer,
    KafkaLog,
    Partition,
    TopicError,
    TopicFullError,
    make_topics,
    partition_of,
)
from quality_assets.stores.live.postgres import connect
from quality_assets.stores.live.request_log import Entry, Letter, Record, encoded
from tests.conftest import new_settings

NOW_US = 1_795_000_000_000_000
PARTITIONS = 2


class Processors:
    """A `quality process` of its own."""

    def __init__(self, root: Path, *arguments: str, **settings: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "quality_assets.cli", "process", "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(
            command, env=environment_of(root, **settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def partitions(self) -> list[int]:
        """Which it follows; none while it does not answer."""
        try:
            answer = http_client().get(f"http://127.0.0.1:{self.port}/health", timeout=10)
        except httpx.TransportError:
            return []
        assert answer.status_code == 200, answer.text
        return list(answer.json()["partitions"])

    def end(self, *, kill: bool) -> None:
        """End it, at once or in peace."""
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(timeout=60)


@pytest.fixture
def services(postgresql: Any) -> Iterator[dict[str, str]]:
    """Settings that name a broker, an empty PostgreSQL and a Redis."""
    with kafka_broker() as brokers, redis_server() as redis:
        yield {
            "QUALITY_KAFKA_BROKERS": brokers,
            "QUALITY_KAFKA_PARTITIONS": str(PARTITIONS),
            "QUALITY_LIVE_URL": postgresql.new_database(),
            "QUALITY_REDIS_URL": redis,
        }


def _row(event_id: str, user: str) -> Any:
    return accept({"event_id": event_id, "user_id": user}, EventSource(), NOW_US, may_hold_nul=False)


def _entry(*rows: Any, letters: tuple[Letter, ...] = (), replayed: tuple[int, ...] = ()) -> bytes:
    return encoded(Entry("default", list(rows), list(letters), 0, list(replayed)))


def _read(part: Partition, seq: int) -> list[Record]:
    """What follows `seq`; where the broker is slow, what is asked for again."""
    found: list[Record] = []
    wait_for(lambda: bool(found.extend(part.read_after(seq, 1000)) or found))
    return found


def test_a_request_is_kept_by_user_and_read_again_from_any_position(services: dict[str, str]) -> None:
    brokers = services["QUALITY_KAFKA_BROKERS"]
    log = KafkaLog(brokers, PARTITIONS)
    users = [f"user-{n}" for n in range(8)]
    letter = Letter("/ingest", ["invalid_status"], "{}")
    log.append([(NOW_US, 8, _entry(*(_row(user, user) for user in users))), (NOW_US, 1, _entry(letters=(letter,)))])
    log.append([(NOW_US - 9, 1, _entry(_row("later", users[0])))])
    parts = [Partition(brokers, number) for number in range(PARTITIONS)]
    found = {part.number: _read(part, 0) for part in parts}
    for number, records in found.items():
        rows = [row for record in records for row in record.entry.rows]
        assert {partition_of(row[5], PARTITIONS) for row in rows} <= {number}
        times = [record.received_us for record in records]
        assert times == sorted(set(times)), "what is read later was received later"
        assert records[-1].seq >= parts[number].end()
    all_rows = [row[1] for records in found.values() for record in records for row in record.entry.rows]
    assert sorted(all_rows) == sorted([*users, "later"])
    assert sum(len(record.entry.letters) for records in found.values() for record in records) == 1
    mine = found[partition_of(users[0], PARTITIONS)]
    again = _read(parts[partition_of(users[0], PARTITIONS)], mine[-1].seq - 1)
    assert [record.entry.rows[0][1] for record in again] == ["later"]
    assert parts[0].read_after(found[0][-1].seq, 10) == [], "where all is read there is nothing, and no error"
    with pytest.raises(TopicError, match="it is not the topic it was"):
        parts[0].read_after(1_000_000, 10)
    with pytest.raises(TopicError, match=f"Set it to {PARTITIONS}"):
        make_topics(brokers, PARTITIONS + 1)
    for part in parts:
        part.close()
    log.close()


def _events(records: list[Record]) -> list[str]:
    return [row[1] for record in records for row in record.entry.rows]


def _foreign(brokers: str, *values: bytes | None) -> None:
    producer = Producer({"bootstrap.servers": brokers})
    for value in values:
        producer.produce(RAW_EVENTS, value, partition=0)
    producer.flush(10)


def test_records_that_no_collector_has_written_are_dead_letters_and_lose_no_others() -> None:
    with kafka_broker() as brokers:
        log = KafkaLog(brokers, 1)
        log.append([(NOW_US, 1, _entry(_row("before", "u")))])
        _foreign(brokers, b'{"event_id": "x"}', b"\xff\x00 no text", b"")
        log.append([(NOW_US, 1, _entry(_row("behind", "u")))])
        part, found = Partition(brokers, 0), []
        wait_for(lambda: bool(found.extend(part.read_after(len(found), 1000)) or len(found) == 5))
        assert _events(found) == ["before", "behind"]
        letters = [letter for record in found for letter in record.entry.letters]
        assert letters == [
            Letter(RAW_EVENTS, ["unreadable_record"], body)
            for body in ('{"event_id": "x"}', '"\\\\xff\\u0000 no text"', '""')
        ]
        times = [record.received_us for record in found]
        assert times == sorted(set(times))
        part.close()
        log.close()


def test_what_was_taken_from_the_broker_and_could_not_be_read_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with kafka_broker() as brokers:
        log = KafkaLog(brokers, 1)
        log.append([(NOW_US, 1, _entry(_row(name, "u"))) for name in ("e1", "e2", "e3")])
        part, failures = Partition(brokers, 0), [ValueError("memory"), ValueError("memory")]
        monkeypatch.setattr(kafka, "Record", lambda *values: _raised(failures) or Record(*values))
        found: list[Record] = []

        def read() -> bool:
            with suppress(ValueError):
                found.extend(part.read_after(found[-1].seq if found else 0, 1000))
            return len(found) == 3

        wait_for(read)
        assert (_events(found), failures) == (["e1", "e2", "e3"], [])
        part.close()
        log.close()


def _raised(failures: list[ValueError]) -> None:
    if failures:
        raise failures.pop()


def test_a_topic_that_was_made_anew_is_told_also_once_it_is_as_long_as_it_was() -> None:
    with kafka_broker() as brokers:
        log = KafkaLog(brokers, 1)
        log.append([(NOW_US + n, 1, _entry(_row(f"e{n}", "u"))) for n in range(5)])
        log.append([(NOW_US - 9, 1, _entry(_row("of a slow clock", "u")))])
        # Two were processed, which were received before that.
        anew = Partition(brokers, 0, lambda: NOW_US - 1)
        with pytest.raises(TopicError, match=r"raw-events/0 has younger records before 2, and 2 of it were processed"):
            anew.read_after(2, 10)
        for seq, known_us in ((2, NOW_US + 1), (6, NOW_US + 4), (0, NOW_US - 1)):
            same = Partition(brokers, 0, lambda known=known_us: known)
            wait_for(lambda seq=seq, same=same: bool(same.read_after(seq, 10)) or seq == 6)
            same.close()
        anew.close()
        log.close()


def test_a_partition_is_looked_at_anew_when_its_broker_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with kafka_broker() as brokers:
        log = KafkaLog(brokers, 1)
        log.append([(NOW_US, 1, _entry(_row(name, "u"))) for name in ("e1", "e2")])
        part, assigned = Partition(brokers, 0), []
        found = _read(part, 0)
        assign = part._assign
        monkeypatch.setattr(part, "_assign", lambda seq: assigned.append(seq) or assign(seq))
        assert part.read_after(found[-1].seq, 10) == []
        assert assigned == []
        part._disturb(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        log.append([(NOW_US, 1, _entry(_row("e3", "u")))])
        assert _events(_read(part, found[-1].seq)) == ["e3"]
        assert assigned == [found[-1].seq]
        part.close()
        log.close()


class ForgottenProducer:
    """One that the broker does not know any more: it takes nothing, whatever is asked of it."""

    def produce(self, *_: object, **__: object) -> None:
        raise KafkaException(KafkaError(KafkaError._FATAL))

    def flush(self, _: float) -> None: ...

    def purge(self) -> None: ...


def test_a_collector_goes_on_with_another_producer_where_the_broker_has_forgotten_its_own() -> None:
    with kafka_broker() as brokers:
        log = KafkaLog(brokers, 1)
        log._producer = ForgottenProducer()
        body = _entry(_row("e1", "u"))
        with pytest.raises(TopicFullError, match="1 records were not taken"):
            log.append([(NOW_US, 1, body)])
        assert log.append([(NOW_US, 1, body)]) == 1
        announcer = Announcer(brokers, 1)
        announcer._producer = ForgottenProducer()
        with pytest.raises(KafkaException):
            announcer.features("u", {"user_id": "u"})
        announcer.features("u", {"user_id": "u"})
        announcer.close()
        part = Partition(brokers, 0)
        assert _events(_read(part, 0)) == ["e1"]
        part.close()
        log.close()


def test_a_request_that_no_broker_would_take_whole_is_several_records() -> None:
    rows = [(*_row(f"e{n}", "u")[:-1], "x" * 400_000) for n in range(5)]
    letter = Letter("/ingest", ["invalid_status"], "{}")
    whole = Entry("default", rows, [letter], 3, [7], [NOW_US + n for n in range(5)])
    values = [value for _, value in kafka.messages_of(NOW_US, whole, 1)]
    parts = [kafka._messages.decode(value) for value in values]
    assert [len(part.entry.rows) for part in parts] == [2, 1, 2]
    assert max(map(len, values)) < 900_000
    assert [row[1] for part in parts for row in part.entry.rows] == ["e0", "e1", "e2", "e3", "e4"]
    assert [at for part in parts for at in part.entry.received] == whole.received
    assert [(len(p.entry.letters), p.entry.calls, p.entry.replayed) for p in parts] == [
        (1, 3, [7]),
        (0, 0, []),
        (0, 0, []),
    ]
    # What is one event is one record, however long.
    assert len(list(kafka.messages_of(NOW_US, Entry("default", [(*rows[0][:-1], "x" * 2_000_000)]), 1))) == 1


def test_a_broker_alone_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(CollectorRunningError, match="needs QUALITY_LIVE_URL"):
        topics_of(Settings(data_dir=tmp_path, kafka_brokers="127.0.0.1:1"))


def test_a_partition_counts_as_followed_once_its_processor_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    class Starting:
        is_alive, position = False, 0

        def __init__(self, *_: object, **__: object) -> None: ...

        def start(self) -> None:
            seen.append(followed.partitions())
            self.is_alive = True

    nothing = SimpleNamespace(known_us=0, begin_after=lambda _: None)
    for name in ("Announcer", "Partition", "store_of"):
        monkeypatch.setattr(partitions, name, lambda *_: nothing)
    monkeypatch.setattr(partitions, "Processor", Starting)
    settings = new_settings(tmp_path).model_copy(
        update={"kafka_brokers": "localhost:1", "live_url": SecretStr("postgresql://localhost:1/live")}
    )
    followed = partitions.Partitions(settings, load_features(settings.features_path), None, lambda *_: None)
    followed._follow(0)
    assert seen == [[]], "its health would be that of one that has ended"
    assert followed.partitions() == [0]


def test_what_is_sent_counts_once_though_processors_are_killed(services: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "data"
    url = services["QUALITY_LIVE_URL"]
    with collecting(root, QUALITY_COLLECTOR_PROCESSES="false", **services) as collector:
        running = [Processors(root, **services), Processors(root, "--most", "1", **services)]
        try:
            wait_for(lambda: sum(len(each.partitions()) for each in running) == PARTITIONS)
            sent = _send(collector, running, root, services)
            with connect(url) as connection:

                def count(text: str) -> int:
                    row = connection.execute(text).fetchone()  # type: ignore[call-overload]
                    assert row is not None
                    return int(row[0] or 0)

                wait_for(lambda: count("select count(*) from events") >= sent)
                wait_for(lambda: collector.client.get("/live/collector").json()["log_lag_records"] == 0)
                assert count("select count(*) from events") == sent
                assert count("select count(distinct event_id) from events") == sent
                assert count("select sum(events) from tiles") == sent
                assert count("select sum(events) from live_metrics") == sent
                assert count("select sum(duplicates) from live_sources") >= sent // 100
                assert count("select count(*) from dead_letters") == 1
            assert collector.client.get("/live/today").json()["events"] == sent
            _look_at_features(collector)
            told = _told(services["QUALITY_KAFKA_BROKERS"])
            assert {"user-1", "user-2"} <= {each["user_id"] for each in told[FEATURE_EVENTS]}
            assert [each["reasons"] for each in told[DEAD_LETTERS]] == [["invalid_status"]]
        finally:
            for each in running:
                each.end(kill=False)
    words = land_now(root, **services)
    assert f"{sent} events of" in words


def _send(collector: Collector, running: list[Processors], root: Path, services: dict[str, str]) -> int:
    requests, size = 60, 20
    for n in range(requests):
        batch = [
            {"event_id": f"{n}-{m}", "user_id": f"user-{(n * 7 + m) % 50}", "event_type": "view"} for m in range(size)
        ]
        for _ in range(2 if n % 20 == 3 else 1):
            assert collector.client.post("/ingest/batch", json={"batch": batch}).status_code == 200
        if n in (20, 40):
            victim = running.pop(0)
            victim.end(kill=True)
            running.append(Processors(root, **services))
    refused = {"event_id": "x", "user_id": "user-1", "event_type": "view", "status": "no status"}
    assert collector.client.post("/ingest", json=refused).status_code == 422
    return requests * size


def _look_at_features(collector: Collector) -> None:
    first, second = (collector.client.get("/features/user-1").json()["features"] for _ in range(2))
    assert first["activity_count_24h"]["value"] == 24
    assert first == second, "from the cache, with the time that it was computed at"
    text = collector.client.get("/metrics").text
    assert "cache_hits_total 1.0" in text
    assert "cache_misses_total 1.0" in text


def _told(brokers: str) -> dict[str, list[dict[str, Any]]]:
    consumer = Consumer(
        {"bootstrap.servers": brokers, "group.id": "test", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    )
    found: dict[str, list[dict[str, Any]]] = {FEATURE_EVENTS: [], DEAD_LETTERS: []}
    try:
        for topic, told in found.items():
            consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
            while (message := consumer.poll(3.0)) is not None:
                assert message.error() is None
                told.append(json.loads(message.value()))
    finally:
        consumer.close()
    return found


def _selftest(root: Path, collector: Collector, **services: str) -> dict[str, dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-m", "quality_assets.cli", "selftest", "--format", "json"],
        env=environment_of(root, QUALITY_COLLECTOR_PORT=str(collector.port), **services),
        capture_output=True,
        text=True,
        check=False,
    )
    found = {each["category"]: each for each in json.loads(done.stdout)}
    assert done.returncode == (1 if any(each["status"] == "failed" for each in found.values()) else 0)
    return found


def test_the_selftest_asks_cache_topics_and_database_that_are_there(postgresql: Any, tmp_path: Path) -> None:
    root = tmp_path / "data"
    services = {"QUALITY_KAFKA_PARTITIONS": str(PARTITIONS), "QUALITY_LIVE_URL": postgresql.new_database()}
    with kafka_broker() as brokers, ExitStack() as until_gone:
        services["QUALITY_KAFKA_BROKERS"] = brokers
        services["QUALITY_REDIS_URL"] = until_gone.enter_context(redis_server())
        with collecting(root, **services) as collector:
            found = _selftest(root, collector, **services)
            unset = {name: each["status"] for name, each in found.items() if each["status"] != "passed"}
            assert unset == {"drift detection": "not configured"}, found
            assert found["cache"]["detail"] == "the second read of a user's features came from the cache"
            assert found["topics"]["detail"].startswith(f"the topics are there in {PARTITIONS} partitions")
            assert "PostgreSQL answers" in found["database verification"]["detail"]
            until_gone.close()
            found = _selftest(root, collector, **{**services, "QUALITY_KAFKA_PARTITIONS": "3"})
            failed = {name for name, each in found.items() if each["status"] == "failed"}
            assert failed == {"cache", "topics"}
            assert "not in 3 partitions: raw-events" in found["topics"]["detail"]
