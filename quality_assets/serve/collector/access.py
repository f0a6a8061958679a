"""Who may send and who may ask: write keys, tokens of readers, and how much a key may send a second."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from quality_assets.contracts.sources.model import StrictModel
from quality_assets.contracts.yaml_errors import explained
from quality_assets.domain.live.event_rows import EventSource
from quality_assets.serve.collector.tokens import SignedTokens, TokenError, TokenKeyError
from quality_assets.serve.guard import UnguardedError, is_loopback
from quality_assets.settings import Settings

_KEPT_TOKENS = 10_000


class KeyFileError(ValueError):
    """The file of write keys, or a key for tokens, is wrong. The message names file, key and what is allowed."""


class DeniedError(RuntimeError):
    """A request shows no key or token that is known. The message says what to send."""


class TooMuchError(RuntimeError):
    """A key has sent more than it may; `retry_after_s` says when to come again."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("more was sent with this key than it may send a second")
        self.retry_after_s = retry_after_s


class WriteKey(StrictModel):
    """One sender: the hash of its key, the feature of events that name none, the events that it may send.

    `events` is its catalogue: names, and of each the types of its properties. Unknown events are refused where it is
    `strict`. `events_per_s` is how much it may send in the long run.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    feature: Annotated[str, Field(min_length=1)] = "app"
    events: dict[str, dict[str, str] | None] | None = None
    strict: bool = False
    events_per_s: Annotated[float, Field(gt=0)] = 2000.0


class WriteKeys(StrictModel):
    """The file of write keys."""

    write_keys: tuple[WriteKey, ...]


@dataclass
class _Bucket:
    rate: float
    tokens: float
    at: float = field(default_factory=time.monotonic)

    def take(self, n: int) -> None:
        """Take `n` tokens, of which ten seconds' worth gather. Raises TooMuchError."""
        now = time.monotonic()
        self.tokens = min(10 * self.rate, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < min(n, 10 * self.rate):
            raise TooMuchError(max(1, round((n - self.tokens) / self.rate)))
        self.tokens -= n


@dataclass(frozen=True)
class Sender:
    """Who sends: its name and rules, and how much it may still send (None: any)."""

    source: EventSource
    bucket: _Bucket | None = None


OPEN = Sender(EventSource())


def load_keys(path: Path | None) -> tuple[WriteKey, ...]:
    """The write keys of a file; none where there is no file. Raises KeyFileError."""
    if path is None or not path.exists():
        return ()
    try:
        return WriteKeys.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).write_keys
    except (OSError, yaml.YAMLError) as error:
        raise KeyFileError(f"{path}: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(explained(error, WriteKeys, may_quote=False))
        raise KeyFileError(f"{path}: {wrong}") from error


class Access:
    """What the settings let senders and readers do."""

    def __init__(self, settings: Settings) -> None:
        self._keys = {
            key.sha256: Sender(
                EventSource(key.name, key.feature, frozenset(key.events) if key.strict and key.events else None),
                _Bucket(key.events_per_s, 10 * key.events_per_s),
            )
            for key in load_keys(settings.collector_keys_path)
        }
        self._by_header: dict[str, Sender] = {}
        self._token = settings.token.get_secret_value() if settings.token else None
        try:
            self._signed = SignedTokens.of(settings)
        except TokenKeyError as error:
            raise KeyFileError(str(error)) from error
        self._until: dict[str, float] = {}
        if not is_loopback(settings.collector_host) and not (self._keys and self.needs_reader_token):
            raise UnguardedError(
                f"a collector on {settings.collector_host} is reached from other machines and would take and tell"
                f" anything. Write keys into {settings.collector_keys_path}, and set QUALITY_COLLECTOR_JWT_SECRET,"
                " QUALITY_COLLECTOR_JWT_PUBLIC_KEY or QUALITY_TOKEN, or bind to 127.0.0.1."
            )

    @property
    def needs_reader_token(self) -> bool:
        """Whether features and figures are told to those only who show a token."""
        return bool(self._token or self._signed)

    def sender(self, authorization: str | None, key_of_body: str | None = None) -> Sender:
        """Who sends, by Basic with the key as user name, Bearer, or a key in the body. Raises DeniedError."""
        if authorization is not None and authorization in self._by_header:
            return self._by_header[authorization]
        key = key_of_body if authorization is None else _key_of(authorization)
        if not self._keys:
            return OPEN
        found = self._keys.get(hashlib.sha256(key.encode()).hexdigest()) if key else None
        if found is None:
            raise DeniedError(
                "Send a write key: Basic with the key as user name and no password, or writeKey in the body."
            )
        if authorization is not None and len(self._by_header) < _KEPT_TOKENS:
            self._by_header[authorization] = found
        return found

    def check_reader(self, authorization: str | None) -> None:
        """Let readers through who show the token of the servers or a JWT for this audience. Raises DeniedError."""
        if not self.needs_reader_token:
            return
        kind, _, shown = (authorization or "").partition(" ")
        shown = shown.strip()
        if kind.lower() != "bearer" or not shown:
            raise DeniedError("Send a token: Authorization: Bearer …")
        if self._token and hmac.compare_digest(shown.encode(), self._token.encode()):
            return
        if self._until.get(shown, 0.0) > time.time():
            return
        if not self._signed:
            raise DeniedError("This token is not known.")
        try:
            until = self._signed.until(shown)
        except TokenError as error:
            raise DeniedError(f"This token is not valid: {error}.") from None
        if len(self._until) >= _KEPT_TOKENS:
            self._until.clear()
        self._until[shown] = until


def _key_of(authorization: str) -> str:
    kind, _, given = authorization.partition(" ")
    if kind.lower() == "bearer":
        return given.strip()
    if kind.lower() != "basic":
        raise DeniedError("Authorization is Basic with the write key as user name, or Bearer.")
    try:
        return base64.b64decode(given.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        raise DeniedError("Authorization: Basic has no base64 behind it.") from None
