"""Redis before the reads of online features from PostgreSQL: an answer for a minute, or until its user does something.

Who finds nothing leaves a lease, and only keeps its answer while that lease stands: the processor deletes the key after
its commit, so what was read before it is never kept after it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from secrets import token_hex
from typing import Any

import redis

from quality_assets.stores.live.stepping import Answer

log = logging.getLogger("quality.collector")

VIEW = "user_features"
KEPT_S = 60
_LEASE_S = 5
_ANSWERS_WITHIN_S = 0.2
_AGAIN_AFTER_S = 5.0
_LEASE = "lease:"
_KEEP = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('set', KEYS[1], ARGV[2], 'ex', ARGV[3]) end
return false
"""


def key_of(user_id: str, version: int) -> str:
    """The key of an answer: view, version, user."""
    return f"{VIEW}:{version}:{user_id}"


class Cache:
    """Answers by user and version. Where Redis does not answer there is none, for some seconds, and nothing fails."""

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.Redis.from_url(
            url, socket_timeout=_ANSWERS_WITHIN_S, socket_connect_timeout=_ANSWERS_WITHIN_S, decode_responses=True
        )
        self._asked_again_at = 0.0

    def look_up(self, user_id: str, version: int) -> tuple[Answer | None, str]:
        """The answer that is kept, if any; else a lease with which one may be, empty where another has it."""
        if time.monotonic() < self._asked_again_at:
            return None, ""
        key = key_of(user_id, version)
        try:
            kept = self._redis.get(key)
            if kept is None:
                lease = f"{_LEASE}{token_hex(8)}"
                return None, lease if self._redis.set(key, lease, nx=True, ex=_LEASE_S) else ""
        except redis.RedisError as error:
            self._away(error)
            return None, ""
        if kept.startswith(_LEASE):
            return None, ""
        as_of_us, known_us, values = json.loads(kept)
        return Answer(user_id, version, values, as_of_us, known_us, is_cached=True), ""

    def keep(self, answer: Answer, lease: str) -> None:
        """Keep an answer, if nothing has happened to its user since the lease was taken."""
        text = json.dumps([answer.as_of_us, answer.known_us, answer.values])
        try:
            self._redis.eval(_KEEP, 1, key_of(answer.user_id, answer.version), lease, text, KEPT_S)
        except redis.RedisError as error:
            self._away(error)

    def forget(self, users: Iterable[str], versions: Iterable[int]) -> None:
        """Delete the answers of users to whom something has happened."""
        keys = [key_of(user, version) for user in users for version in versions]
        try:
            if keys:
                self._redis.delete(*keys)
        except redis.RedisError as error:
            # What is kept goes by itself within a minute.
            self._away(error)

    def answers(self) -> bool:
        """Whether Redis is there."""
        try:
            return bool(self._redis.ping())
        except redis.RedisError:
            return False

    def _away(self, error: Exception) -> None:
        now = time.monotonic()
        # The processor deletes at every step: one line tells of it as well as a thousand.
        if now >= self._asked_again_at:
            log.warning("the cache does not answer, and is passed over for some seconds: %s", error)
        self._asked_again_at = now + _AGAIN_AFTER_S

    def close(self) -> None:
        """Close its connections."""
        self._redis.close()
