"""Topics of a Kafka-protocol broker as the collector's log: one record for each request and user, in order by user.

What a partition's processor has taken stands in PostgreSQL beside what came of it, so nothing counts twice, whoever
dies; the broker's own groups and transactions are not used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from zlib import crc32

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from quality_assets.stores.live.request_log import Entry, Record

RAW_EVENTS, FEATURE_EVENTS, DEAD_LETTERS = "raw-events", "feature-events", "dead-letter-queue"
TOPICS = (RAW_EVENTS, FEATURE_EVENTS, DEAD_LETTERS)
_DELIVERED_WITHIN_S = 10.0
_ANSWERS_WITHIN_S = 10.0
_POLL_S = 0.1


class TopicError(RuntimeError):
    """A topic is not what was left of it. The message says what to do."""


class TopicFullError(RuntimeError):
    """The broker did not take all of it in time; the same may go well later."""


class _Message(msgspec.Struct, array_like=True):
    received_us: int
    entry: Entry


_encoder = msgspec.msgpack.Encoder()
_entries = msgspec.msgpack.Decoder(Entry)
_messages = msgspec.msgpack.Decoder(_Message)


def partition_of(user_id: str, partitions: int) -> int:
    """The partition of a user, the same in every process."""
    return crc32(user_id.encode("utf-8", "surrogatepass")) % partitions


def log_name(partition: int) -> str:
    """What a partition is called in the table of positions."""
    return f"{RAW_EVENTS}/{partition}"


def log_of_user(partitions: int) -> Callable[[str], str]:
    """The log that the events of a user are in."""
    return lambda user_id: log_name(partition_of(user_id, partitions))


def partitions_of_topics(brokers: str) -> dict[str, int]:
    """How many partitions each of our topics has; those that are missing are left out. Raises KafkaException."""
    there = AdminClient({"bootstrap.servers": brokers, "log_level": 2}).list_topics(timeout=_ANSWERS_WITHIN_S).topics
    return {name: len(there[name].partitions) for name in TOPICS if name in there}


def make_topics(brokers: str, partitions: int) -> int:
    """Make the topics that are missing; how many partitions raw-events has. Raises KafkaException, TopicError."""
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 2})
    there = admin.list_topics(timeout=_ANSWERS_WITHIN_S).topics
    missing = [name for name in TOPICS if name not in there]
    if missing:
        made = admin.create_topics([NewTopic(name, partitions, 1) for name in missing])
        for future in made.values():
            try:
                future.result(_ANSWERS_WITHIN_S)
            except KafkaException as error:
                # Another process was quicker.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
    found = there[RAW_EVENTS].partitions if RAW_EVENTS in there else range(partitions)
    if len(found) != partitions:
        raise TopicError(
            f"topic {RAW_EVENTS} has {len(found)} partitions, and QUALITY_KAFKA_PARTITIONS is {partitions}: users would"
            f" change their partition. Set it to {len(found)}."
        )
    return partitions


def messages_of(received_us: int, entry: Entry, partitions: int) -> Iterator[tuple[int, bytes]]:
    """A request by partition: its events with those of their user, the rest where its source belongs."""
    parts: dict[int, Entry] = {}
    rest = partition_of(entry.source, partitions)
    for at, row in enumerate(entry.rows):
        partition = rest if row[5] is None else partition_of(row[5], partitions)
        part = parts.setdefault(partition, Entry(entry.source, [], [], 0, [], []))
        part.rows.append(row)
        if entry.received:
            part.received.append(entry.received[at])
    if entry.letters or entry.calls or entry.replayed:
        # Letters that are sent again are marked where their first event is stored.
        part = parts.setdefault(min(parts, default=rest), Entry(entry.source, [], [], 0, [], []))
        part.letters, part.calls, part.replayed = entry.letters, entry.calls, entry.replayed
    for partition, part in parts.items():
        yield partition, _encoder.encode(_Message(received_us, part))


def _producer(brokers: str) -> Any:
    return Producer(
        {
            "bootstrap.servers": brokers,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 1,
            "compression.type": "lz4",
            "message.max.bytes": 8_000_000,
            "delivery.timeout.ms": int(_DELIVERED_WITHIN_S * 1000),
            "log_level": 2,
        }
    )


class KafkaLog:
    """The topic that collectors write to: acknowledged by all replicas before a request is. One thread appends."""

    def __init__(self, brokers: str, partitions: int) -> None:
        self.partitions = make_topics(brokers, partitions)
        self._producer = _producer(brokers)
        self._count = 0

    def append(self, entries: Sequence[tuple[int, int, bytes]]) -> int:
        """Keep (received_us, n, body) durably; how many requests so far. Raises TopicFullError where one is not."""
        failures: list[str] = []
        waiting = 0

        def told(error: Any, _: Any) -> None:
            nonlocal waiting
            waiting -= 1
            if error is not None:
                failures.append(str(error))

        for received_us, _, body in entries:
            for partition, value in messages_of(received_us, _entries.decode(body), self.partitions):
                waiting += 1
                try:
                    self._producer.produce(RAW_EVENTS, value, partition=partition, on_delivery=told)
                except BufferError as error:
                    waiting -= 1
                    failures.append(str(error))
        self._producer.flush(_DELIVERED_WITHIN_S)
        if failures or waiting:
            # What was taken may stay: it is sent again with the rest, and counts once.
            raise TopicFullError(f"{len(failures) + waiting} records were not taken: {(failures or ['too late'])[0]}")
        self._count += len(entries)
        return self._count

    def last(self) -> tuple[int, int]:
        """Nothing that a new process has to go on from: the broker numbers."""
        return (0, 0)

    def size_bytes(self) -> int:
        """What it takes on the disk here."""
        return 0

    def close(self) -> None:
        """Wait for what is on its way."""
        self._producer.flush(_DELIVERED_WITHIN_S)


class Partition:
    """One partition of raw-events, from any position on: the number of a record is its offset and one."""

    def __init__(self, brokers: str, number: int) -> None:
        self.number = number
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": f"quality-{number}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_uncommitted",
                "log_level": 2,
            }
        )
        self._next = -1
        self._latest_us = 0

    def read_after(self, seq: int, most_items: int) -> list[Record]:
        """What follows `seq`, after a tenth of a second where nothing does. Raises TopicError, KafkaException."""
        if seq != self._next:
            self._assign(seq)
        found = []
        # `consume` waits until it has all that it may take: so for the first alone.
        first = self._consumer.poll(_POLL_S)
        more = [] if first is None else self._consumer.consume(max(1, min(most_items, 1_000)), 0)
        for message in [] if first is None else [first, *more]:
            error = message.error()
            if error is not None:
                self._next = -1
                raise KafkaException(error)
            kept = _messages.decode(message.value() or b"")
            # Collectors have clocks of their own: what is known until a time must not grow afterwards.
            self._latest_us = max(self._latest_us + 1, kept.received_us)
            found.append(Record(_offset(message) + 1, self._latest_us, kept.entry))
        if found:
            self._next = found[-1].seq
        return found

    def _assign(self, seq: int) -> None:
        first, after = self._ends()
        if seq > after and seq > (after := self._read_to_end(after)):
            raise TopicError(
                f"{log_name(self.number)} ends at {after}, and {seq} of it were processed: it is not the topic it was."
                " Delete its row of live.positions to begin with it anew; what was seen in two days counts once."
            )
        self._consumer.assign([TopicPartition(RAW_EVENTS, self.number, max(seq, first))])
        self._next = seq

    def _read_to_end(self, after: int) -> int:
        """Where the partition ends by what is there: Tansu counts its last batch as one record."""
        self._consumer.assign([TopicPartition(RAW_EVENTS, self.number, max(after - 1, 0))])
        while (message := self._consumer.poll(2.0)) is not None and message.error() is None:
            after = max(after, _offset(message) + 1)
        return after

    def begin_after(self, known_us: int) -> None:
        """Say up to when all is known: what is read now was received later."""
        self._latest_us = max(self._latest_us, known_us)

    def _ends(self) -> tuple[int, int]:
        ends = self._consumer.get_watermark_offsets(TopicPartition(RAW_EVENTS, self.number), timeout=_ANSWERS_WITHIN_S)
        if ends is None:
            raise TopicError(f"the broker does not say where {log_name(self.number)} ends")
        return int(ends[0]), int(ends[1])

    def end(self) -> int:
        """The number of the newest record."""
        return self._ends()[1]

    def prune(self, before_seq: int, before_us: int) -> int:
        """Nothing: the broker forgets by its own rule."""
        del before_seq, before_us
        return 0

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None, "what was read has a number"
    return offset


class Announcer:
    """Tells other systems after a commit: features of users (feature-events), refused items (dead-letter-queue).

    Who is killed between commit and telling has not told: the state is in PostgreSQL, and these topics follow it.
    """

    def __init__(self, brokers: str, partitions: int) -> None:
        self._producer, self._partitions = _producer(brokers), partitions

    def features(self, user_id: str, told: dict[str, Any]) -> None:
        """The features of a user."""
        self._produce(FEATURE_EVENTS, user_id, told)

    def letter(self, source: str, told: dict[str, Any]) -> None:
        """A refused item."""
        self._produce(DEAD_LETTERS, source, told)

    def _produce(self, topic: str, key: str, told: dict[str, Any]) -> None:
        self._producer.produce(
            topic,
            json.dumps(told, ensure_ascii=False).encode("utf-8", "replace"),
            key=key.encode("utf-8", "replace"),
            partition=partition_of(key, self._partitions),
        )
        self._producer.poll(0)

    def close(self) -> None:
        """Wait for what is on its way."""
        self._producer.flush(_DELIVERED_WITHIN_S)
