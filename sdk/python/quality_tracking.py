"""Product events from Python: Segment's own client, with the catalogue's names held and a session for each user.

    tracking = Tracking("http://127.0.0.1:8080", feature="Checkout", events={"paid": {"amount"}})
    tracking.track("ada", "paid", amount=12.5)
    tracking.close()

Segment's client batches, retries and sends in a thread of its own; `close` waits for what is under way. Needs
`segment-analytics-python`, and nothing of the product that collects.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any

from segment.analytics.client import Client  # type: ignore[import-untyped]

SESSION_IDLE_S = 30 * 60
MAX_SESSIONS = 100_000


class UnknownEventError(ValueError):
    """An event or a property that the catalogue does not have."""


class Tracking:
    """Sends events of one feature to a collector. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        *,
        feature: str,
        events: Mapping[str, Collection[str]] | None = None,
        write_key: str = "local",
        app: tuple[str, str] | None = None,
        on_error: Callable[[Exception, Any], None] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`events` gives the properties that each event may have; without it every name is taken. `app` is its name and
        version. `on_error` hears of batches that could not be sent at all."""
        self._feature, self._events, self._now = feature, events, now
        self._context = {"app": dict(zip(("name", "version"), app, strict=True))} if app else {}
        self._sessions: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._client = Client(write_key, host=url, on_error=on_error, upload_interval=0.5, max_retries=10)

    def track(self, user_id: str, event: str, **properties: Any) -> None:
        """Note that a user did something; UnknownEventError where the catalogue has no such event or property."""
        self._check(event, properties)
        given = {"feature": self._feature, "session_id": self.session_id(user_id), **properties}
        self._client.track(user_id, event, given, context=self._context)

    def session_id(self, user_id: str) -> str:
        """The user's session: a new one after thirty minutes without an event."""
        with self._lock:
            session, last = self._sessions.pop(user_id, ("", 0.0))
            now = self._now()
            if not session or now - last >= SESSION_IDLE_S:
                session = str(uuid.uuid4())
            self._sessions[user_id] = (session, now)
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
            return session

    def close(self) -> None:
        """Send what waits, and end the thread that sends."""
        self._client.flush()
        self._client.join()

    def _check(self, event: str, properties: Mapping[str, Any]) -> None:
        if self._events is None:
            return
        if event not in self._events:
            near = get_close_matches(event, self._events, n=3)
            raise UnknownEventError(
                f"{event!r} is no event of {self._feature}" + (f"; near: {', '.join(near)}" if near else "")
            )
        unknown = sorted(set(properties) - set(self._events[event]))
        if unknown:
            known = ", ".join(sorted(self._events[event])) or "none"
            raise UnknownEventError(f"{event} has no property {', '.join(unknown)}; it has {known}")
