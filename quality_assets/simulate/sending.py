"""Sending simulated logs to a collector, as clients would: in batches, and again where it asks for that."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

BATCH = 200
_TRIES = 20
_LONGEST_WAIT_S = 5.0


class SendingError(RuntimeError):
    """The collector does not take what is sent. The message says why."""


@dataclass(frozen=True)
class Sent:
    """How many events the collector took, and refused; how many lines were no JSON at all, and how many lie ahead."""

    accepted: int = 0
    refused: int = 0
    unreadable: int = 0
    ahead: int = 0


def events_of(logs: Path) -> tuple[list[dict[str, Any]], int]:
    """The events of JSON-lines files, by the time that they state; how many lines are no JSON object."""
    events, unreadable = [], 0
    for file in sorted(logs.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if isinstance(event, dict):
                events.append(event)
            elif line.strip():
                unreadable += 1
    return sorted(events, key=lambda event: str(event.get("event_time") or "")), unreadable


def send(
    url: str,
    events: list[dict[str, Any]],
    *,
    speed: float | None = None,
    is_living: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Post events in their order to a collector: at once, or so many times as fast as they happened.

    What lies ahead of now is not sent; with `is_living` it is, each when its time has come. Raises SendingError.
    """
    accepted = refused = done = 0
    with httpx.Client(base_url=url.rstrip("/"), timeout=30.0) as client:
        for batch in _batches(events, 1 if is_living else BATCH):
            wait_s = _seconds_until(batch[-1])
            if wait_s > 0 and not is_living:
                break
            if wait_s > 0:
                sleep(wait_s)
            elif speed is not None:
                sleep(max(_seconds_between(batch[0], batch[-1]) / speed, 0.0))
            answer = _post(client, batch, sleep)
            accepted += answer["accepted"]
            refused += answer["refused"]
            done += len(batch)
            on_progress(done, len(events))
    return Sent(accepted, refused, 0, len(events) - done)


def _batches(events: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Whole batches of what has happened; of what lies ahead, `size` at a time."""
    at = 0
    while at < len(events):
        n = min(BATCH, len(events) - at)
        if _seconds_until(events[at + n - 1]) > 0:
            past = [event for event in events[at : at + n] if _seconds_until(event) <= 0]
            n = len(past) or min(size, n)
        yield events[at : at + n]
        at += n


def _seconds_until(event: dict[str, Any]) -> float:
    then = _time(event)
    return 0.0 if then is None else (then - datetime.now(UTC)).total_seconds()


def _seconds_between(first: dict[str, Any], last: dict[str, Any]) -> float:
    one, other = _time(first), _time(last)
    return 0.0 if one is None or other is None else (other - one).total_seconds()


def _time(event: dict[str, Any]) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(event.get("event_time")))
    except ValueError:
        return None
    # A date that no clock reaches is dirt, and is sent like anything else.
    return found if found.tzinfo is not None and found.year < datetime.now(UTC).year + 2 else None


def _post(client: httpx.Client, batch: list[dict[str, Any]], sleep: Callable[[float], None]) -> dict[str, Any]:
    said = ""
    for tried in range(_TRIES):
        try:
            answer = client.post("/ingest/batch", json={"batch": batch})
        except httpx.TransportError as error:
            said = f"{type(error).__name__}: {error}"
        else:
            if answer.is_success:
                found: dict[str, Any] = answer.json()
                return found
            said = f"it answers {answer.status_code}: {answer.text[:200]}"
            if answer.status_code not in (429, 503):
                break
        sleep(min(0.1 * 2**tried, _LONGEST_WAIT_S))
    raise SendingError(f"{client.base_url} does not take what is sent: {said}. `quality collect` starts a collector.")
