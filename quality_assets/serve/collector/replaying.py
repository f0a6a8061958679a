"""Sending dead letters again, mended on the way where a mapping says how."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quality_assets.domain.live.event_rows import EventSource
from quality_assets.serve.collector.access import load_keys
from quality_assets.serve.collector.receiving import sent_again
from quality_assets.serve.json_keys import items_with_repeats
from quality_assets.settings import Settings
from quality_assets.stores.live.chosen import append_entries
from quality_assets.stores.live.letters import DeadLetter, dead_letters
from quality_assets.stores.live.request_log import Entry, encoded

_AT_ONCE = 500


class MappingError(ValueError):
    """A mapping is not `field.value=replacement`. The message quotes it."""


@dataclass(frozen=True)
class Replayed:
    """A letter that was sent again: what is still wrong with it, nothing where it is accepted."""

    letter: DeadLetter
    reasons: tuple[str, ...]

    @property
    def is_accepted(self) -> bool:
        """Whether an event has come of it."""
        return not self.reasons


def parsed_mapping(texts: Sequence[str]) -> dict[tuple[str, str], Any]:
    """`status.success=ok` as {("status", "success"): "ok"}; JSON on the right is read as such. Raises MappingError."""
    found: dict[tuple[str, str], Any] = {}
    for text in texts:
        left, equals, right = text.partition("=")
        name, dot, value = left.partition(".")
        if not (equals and dot and name):
            raise MappingError(
                f"{text!r} is not like status.success=ok: field, a point, the value as sent, =, the right value"
            )
        try:
            found[name, value] = json.loads(right)
        except ValueError:
            found[name, value] = right
    return found


def mended(item: Any, mapping: Mapping[tuple[str, str], Any]) -> Any:
    """An item with the values that the mapping names replaced, in it and in its properties."""
    if type(item) is not dict:
        return item
    names = {name for name, _ in mapping}
    changed = {
        name: mapping.get((name, str(value)), value) if name in names and not isinstance(value, dict) else value
        for name, value in item.items()
    }
    if isinstance(changed.get("properties"), dict):
        changed["properties"] = mended(changed["properties"], mapping)
    return changed


def replay(
    settings: Settings,
    *,
    ids: Sequence[int] = (),
    reason: str | None = None,
    where: str | None = None,
    mapping: Mapping[tuple[str, str], Any] | None = None,
    dry_run: bool = False,
) -> list[Replayed]:
    """Judge waiting letters anew, and append those that pass to the log; the processor marks them as it stores them.

    Asked twice, an event counts once: keys are those that it would have had. Times of receipt stay as they were.
    `where` is a text that the item must hold.
    """
    found = dead_letters(settings.live_state, ids=ids, reason=reason, state="waiting")
    letters = [letter for letter in reversed(found) if where is None or where in letter.body]
    sources = {key.name: EventSource(key.name, key.feature) for key in load_keys(settings.collector_keys_path)}
    strict = {key.name: frozenset(key.events or {}) for key in load_keys(settings.collector_keys_path) if key.strict}
    sources = {name: EventSource(name, source.feature, strict.get(name) or None) for name, source in sources.items()}
    results: list[Replayed] = []
    entries: dict[str, Entry] = {}
    complete: list[Entry] = []
    for letter in letters:
        source = sources.get(letter.source, EventSource(letter.source))
        judged = sent_again(letter.endpoint, mended(_item(letter), mapping or {}), source, letter.received_us)
        reasons = tuple(judged.errors[0]["reasons"]) if judged.errors else ()
        results.append(Replayed(letter, reasons))
        if reasons:
            continue
        entry = entries.setdefault(letter.source, Entry(letter.source, [], [], 0, [], []))
        entry.rows += judged.entry.rows
        entry.received += [letter.received_us] * len(judged.entry.rows)
        entry.calls += judged.entry.calls
        entry.replayed.append(letter.id)
        if len(entry.replayed) >= _AT_ONCE:
            complete.append(entries.pop(letter.source))
    complete += entries.values()
    if complete and not dry_run:
        _append(settings, complete)
    return results


def _item(letter: DeadLetter) -> Any:
    try:
        return items_with_repeats(letter.body.encode(), json.loads(letter.body))
    except ValueError:
        return letter.body


def _append(settings: Settings, entries: Sequence[Entry]) -> None:
    now_us = time.time_ns() // 1000
    append_entries(settings, [(now_us + at, max(entry.size, 1), encoded(entry)) for at, entry in enumerate(entries)])


def counts_of(results: Sequence[Replayed]) -> dict[str, Any]:
    """How many letters pass, and how many are still refused, by reason."""
    still: dict[str, int] = {}
    for result in results:
        for reason in result.reasons:
            still[reason] = still.get(reason, 0) + 1
    return {
        "letters": len(results),
        "accepted": sum(result.is_accepted for result in results),
        "refused": sum(not result.is_accepted for result in results),
        "refused_by_reason": still,
    }
