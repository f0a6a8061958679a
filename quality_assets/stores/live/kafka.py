"""Topics of a Kafka-protocol broker as the collector's log: one record for each request and user, in order by user.

What a partition's processor has taken stands in PostgreSQL beside what came of it, so nothing counts twice, whoever
dies; the broker's own groups and transactions are not used.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from zlib import crc32

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from quality_assets.stores.live.request_log import Entry, Letter, Record

log = logging.getLogger("quality.collector")

RAW_EVENTS, FEATURE_EVENTS, DEAD_LETTERS = "raw-events", "feature-events", "dead-letter-queue"
TOPICS = (RAW_EVENTS, FEATURE_EVENTS, DEAD_LETTERS)
UNREADABLE = "unreadable_record"
"""Why a record is a dead letter that no collector has written."""
_DELIVERED_WITHIN_S = 10.0
_ANSWERS_WITHIN_S = 10.0
_POLL_S = 0.1
# Brokers take 1 MB where nobody has told them otherwise.
_MOST_RECORD_BYTES = 900_000


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
            f" change their partition. Set it to {len(found)}, or delete the topic, which is made anew then."
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
        for value in _records_of(received_us, part):
            yield partition, value


def _records_of(received_us: int, part: Entry) -> Iterator[bytes]:
    """What a partition gets of a request, in records that brokers take: one that is too long is refused for ever."""
    value = _encoder.encode(_Message(received_us, part))
    if len(value) <= _MOST_RECORD_BYTES or len(part.rows) < 2:
        yield value
        return
    middle = len(part.rows) // 2
    first = Entry(part.source, part.rows[:middle], part.letters, part.calls, part.replayed, part.received[:middle])
    yield from _records_of(received_us, first)
    yield from _records_of(received_us, Entry(part.source, part.rows[middle:], received=part.received[middle:]))


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


def _is_final(error: KafkaError) -> bool:
    """Whether the same producer would be refused again, as after a broker that has lost its data."""
    unknown = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
    return error.fatal() or error.code() in (KafkaError._FATAL, *unknown)


class KafkaLog:
    """The topic that collectors write to: acknowledged by all replicas before a request is. One thread appends."""

    def __init__(self, brokers: str, partitions: int) -> None:
        self._brokers = brokers
        self.partitions = make_topics(brokers, partitions)
        self._producer = _producer(brokers)
        self._is_lost = False
        self._count = 0

    def append(self, entries: Sequence[tuple[int, int, bytes]]) -> int:
        """Keep (received_us, n, body) durably; how many requests so far. Raises TopicFullError where one is not."""
        failures: list[KafkaError | BufferError] = []
        waiting = 0

        def told(error: KafkaError | None, _: Any) -> None:
            nonlocal waiting
            waiting -= 1
            if error is not None:
                failures.append(error)

        if self._is_lost:
            self._begin_anew()
        for received_us, _, body in entries:
            for partition, value in messages_of(received_us, _entries.decode(body), self.partitions):
                waiting += 1
                try:
                    self._producer.produce(RAW_EVENTS, value, partition=partition, on_delivery=told)
                except (BufferError, KafkaException) as error:
                    waiting -= 1
                    failures.append(error.args[0] if isinstance(error, KafkaException) else error)
        try:
            self._producer.flush(_DELIVERED_WITHIN_S)
        except KafkaException as error:
            failures.append(error.args[0])
        if failures or waiting:
            self._is_lost = any(isinstance(error, KafkaError) and _is_final(error) for error in failures)
            # What was taken may stay: it is sent again with the rest, and counts once.
            why = str(failures[0]) if failures else "too late"
            raise TopicFullError(f"{len(failures) + waiting} records were not taken: {why}")
        self._count += len(entries)
        return self._count

    def _begin_anew(self) -> None:
        """Make topics that are missing, and another producer: one that the broker has forgotten takes nothing more."""
        try:
            make_topics(self._brokers, self.partitions)
        except (KafkaException, TopicError) as error:
            raise TopicFullError(str(error).removesuffix(".")) from error
        self._producer.purge()
        self._producer = _producer(self._brokers)
        self._is_lost = False

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
    """One partition of raw-events, from any position on: the number of a record is its offset and one.

    `known_us` says up to when all is known that was processed of it, by whomever.
    """

    def __init__(self, brokers: str, number: int, known_us: Callable[[], int] = lambda: 0) -> None:
        self.number = number
        self._known_us = known_us
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": f"quality-{number}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_uncommitted",
                "error_cb": self._disturb,
                "log_level": 2,
            }
        )
        self._next = -1
        self._is_disturbed = False
        self._latest_us = 0

    def _disturb(self, _: KafkaError) -> None:
        # The broker may come back with another topic of that name, which goes on where this one ended.
        self._is_disturbed = True

    def read_after(self, seq: int, most_items: int) -> list[Record]:
        """What follows `seq`, after a tenth of a second where nothing does. Raises TopicError, KafkaException."""
        if seq != self._next or self._is_disturbed:
            self._is_disturbed = False
            self._assign(seq)
        # What is taken from the broker and not returned is read again.
        self._next = -1
        found = []
        # `consume` waits until it has all that it may take: so for the first alone.
        first = self._consumer.poll(_POLL_S)
        more = [] if first is None else self._consumer.consume(max(1, min(most_items, 1_000)), 0)
        if self._is_disturbed:
            return []
        for message in [] if first is None else [first, *more]:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            kept = _kept(message)
            # Collectors have clocks of their own: what is known until a time must not grow afterwards.
            self._latest_us = max(self._latest_us + 1, kept.received_us)
            found.append(Record(_offset(message) + 1, self._latest_us, kept.entry))
        self._next = found[-1].seq if found else seq
        return found

    def _assign(self, seq: int) -> None:
        first, after = self._ends()
        if seq > after and seq > (after := self._read_to_end(after)):
            raise TopicError(_another_topic(self.number, f"ends at {after}", seq))
        if seq > first and self._is_newer_than_known(seq - 1):
            raise TopicError(_another_topic(self.number, f"has younger records before {seq}", seq))
        if first > seq > 0:
            log.error(
                "%s begins at %s, and was processed up to %s: the broker has forgotten %s records that nobody had"
                " processed. Let it keep them for longer than processors may be away",
                log_name(self.number), first, seq, first - seq,
            )  # fmt: skip
        self._consumer.assign([TopicPartition(RAW_EVENTS, self.number, max(seq, first))])

    def _is_newer_than_known(self, offset: int) -> bool:
        """Whether a record that should be known was received after all that is: the topic was made anew since."""
        known_us = max(self._latest_us, self._known_us())
        if not known_us:
            return False
        self._consumer.assign([TopicPartition(RAW_EVENTS, self.number, offset)])
        message = self._consumer.poll(_ANSWERS_WITHIN_S)
        if message is None or message.error() is not None or _offset(message) != offset:
            return False
        return _kept(message).received_us > known_us

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


def _another_topic(number: int, what: str, seq: int) -> str:
    return (
        f"{log_name(number)} {what}, and {seq} of it were processed: it is not the topic it was."
        " Delete its row of live.positions to begin with it anew; what was seen in two days counts once."
    )


def _kept(message: Message) -> _Message:
    """What a collector has written; of what another has, a dead letter, since all that is behind it would wait."""
    value = message.value() or b""
    try:
        return _messages.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        text = value.decode("utf-8", "backslashreplace")
        try:
            body = json.dumps(json.loads(text))
        except (ValueError, RecursionError):
            body = json.dumps(text)
        return _Message(0, Entry("default", [], [Letter(RAW_EVENTS, [UNREADABLE], body)]))


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None, "what was read has a number"
    return offset


class Announcer:
    """Tells other systems after a commit: features of users (feature-events), refused items (dead-letter-queue).

    Who is killed between commit and telling has not told: the state is in PostgreSQL, and these topics follow it.
    """

    def __init__(self, brokers: str, partitions: int) -> None:
        self._brokers, self._partitions = brokers, partitions
        self._producer = _producer(brokers)

    def features(self, user_id: str, told: dict[str, Any]) -> None:
        """The features of a user."""
        self._produce(FEATURE_EVENTS, user_id, told)

    def letter(self, source: str, told: dict[str, Any]) -> None:
        """A refused item."""
        self._produce(DEAD_LETTERS, source, told)

    def _produce(self, topic: str, key: str, told: dict[str, Any]) -> None:
        try:
            self._producer.produce(
                topic,
                json.dumps(told, ensure_ascii=False).encode("utf-8", "replace"),
                key=key.encode("utf-8", "replace"),
                partition=partition_of(key, self._partitions),
            )
            self._producer.poll(0)
        except KafkaException as error:
            if _is_final(error.args[0]):
                self._producer = _producer(self._brokers)
            raise

    def close(self) -> None:
        """Wait for what is on its way."""
        self._producer.flush(_DELIVERED_WITHIN_S)
