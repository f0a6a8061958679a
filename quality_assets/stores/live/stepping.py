"""What stores of the live state have in common: steps, the halving of one that fails, and rows as they are kept."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from quality_assets.stores.live.request_log import Entry, Letter, Record
from quality_assets.stores.live.state_tables import DAY_US

log = logging.getLogger("quality.collector")

POISON = "database_error"
NewRow = tuple[Record, int, Any]
"""A row whose key was not seen: its record, when it was received (µs), and the row."""


@dataclass(frozen=True)
class Step:
    """What a step of the processor made of records: counts, and up to where of the log they reach."""

    events: int = 0
    duplicates: int = 0
    calls: int = 0
    letters: int = 0
    position: int = 0
    known_us: int = 0
    reasons: tuple[str, ...] = ()

    def __add__(self, other: Step) -> Step:
        """Both, one after the other."""
        return Step(
            self.events + other.events,
            self.duplicates + other.duplicates,
            self.calls + other.calls,
            self.letters + other.letters,
            max(self.position, other.position),
            max(self.known_us, other.known_us),
            self.reasons + other.reasons,
        )


@dataclass(frozen=True)
class Answer:
    """Features of one user: values by name, the instant that they are of, and up to when all is known (µs)."""

    user_id: str
    version: int
    values: dict[str, Any]
    as_of_us: int
    known_us: int
    is_cached: bool = False


class Stepping:
    """How a store takes records: in one step, or, where the database fails at one of them, around that one."""

    known_us: int

    def _written(self, records: Sequence[Record], ends: bool) -> Step:
        raise NotImplementedError

    def failed(self, error: Exception) -> bool:
        """End the transaction that failed; whether the same may go well later."""
        raise NotImplementedError

    def write_batch(self, records: Sequence[Record], *, ends: bool = True) -> Step:
        """Take records, in one transaction with their position: repeated records change nothing.

        Without `ends`, more of the last record follows, and its position is not passed yet. A record at which the
        database itself fails is found by halving, and its row becomes a dead letter; a full disk raises, and nothing
        of the step is kept.
        """
        try:
            step = self._written(records, ends)
        except Exception as error:
            if self.failed(error):
                raise
            log.exception("a step failed; looking for the record that it fails at")
            return self._halved(records, error, ends)
        self.known_us = max(self.known_us, step.known_us)
        return step

    def _halved(self, records: Sequence[Record], error: Exception, ends: bool) -> Step:
        if len(records) > 1:
            middle = len(records) // 2
            return self.write_batch(records[:middle]) + self.write_batch(records[middle:], ends=ends)
        (record,) = records
        rows = record.entry.rows
        if len(rows) > 1:
            # The position stands with the last part; a kill in between repeats the first, which changes nothing.
            first = Entry(record.entry.source, rows[: len(rows) // 2])
            rest = Entry(record.entry.source, rows[len(rows) // 2 :], record.entry.letters, record.entry.calls)
            rest.replayed = record.entry.replayed
            received = record.entry.received
            first.received, rest.received = received[: len(first.rows)], received[len(first.rows) :]
            before = self.write_batch([replace(record, entry=first)], ends=False)
            return before + self.write_batch([replace(record, entry=rest)], ends=ends)
        if not rows:
            raise error
        body = json.dumps([str(value) for value in rows[0]])
        letter = Letter("processor", [POISON], body)
        entry = Entry(record.entry.source, [], [*record.entry.letters, letter], record.entry.calls)
        return self.write_batch([replace(record, entry=entry)], ends=ends)


def new_rows(
    records: Sequence[Record], unseen_of: Callable[[Sequence[bytes], int], set[bytes]]
) -> tuple[list[NewRow], int, dict[str, list[int]]]:
    """The rows whose keys were not seen before, each once; how many rows there were; counts by source."""
    by_key: dict[bytes, NewRow] = {}
    total = 0
    sources: dict[str, list[int]] = {}
    for record in records:
        entry = record.entry
        counts = sources.setdefault(entry.source, [0, 0, 0, 0, 0])
        total += len(entry.rows)
        counts[1] += len(entry.rows)
        counts[2] += len(entry.letters)
        counts[3] += entry.calls
        counts[4] = record.received_us
        for at, row in enumerate(entry.rows):
            received = entry.received[at] if entry.received else record.received_us
            by_key.setdefault(row[0], (record, received, row))
    unseen = unseen_of(sorted(by_key), records[-1].received_us)
    new = [found for key, found in by_key.items() if key in unseen]
    for record, _, _ in new:
        counts = sources[record.entry.source]
        counts[0] += 1
        counts[1] -= 1
    return new, total, sources


def event_rows(new: Sequence[NewRow], tile_us: int) -> Iterator[tuple[Any, ...]]:
    """New rows as they are kept in `events`, without their number."""
    for record, received_us, row in new:
        (_, event_id, event_us, feature, event_name, user_id, session_id, status, latency_ms, feedback, *rest) = row
        yield (
            record.seq, record.entry.source, event_us // DAY_US, event_us // tile_us, received_us, event_id,
            event_us, feature, event_name, user_id, session_id, status, latency_ms,
            None if latency_ms is None else int(latency_ms * 1000.0 + 0.5), feedback, *rest,
        )  # fmt: skip


def numbered(rows: Iterable[tuple[Any, ...]], first: int) -> Iterator[tuple[Any, ...]]:
    """Rows with their numbers before them."""
    return ((seq, *row) for seq, row in enumerate(rows, first))


def written_letters(records: Sequence[Record]) -> tuple[list[tuple[Any, ...]], tuple[str, ...], list[int]]:
    """Refused items as they are kept, the first reason of each, and which letters were sent again."""
    rows: list[tuple[Any, ...]] = []
    reasons: list[str] = []
    replayed: list[int] = []
    for record in records:
        for endpoint, why, body in record.entry.letters:
            rows.append((record.received_us, record.entry.source, endpoint, json.dumps(why), body))
            reasons += why[:1]
        replayed += record.entry.replayed
    return rows, tuple(reasons), replayed
