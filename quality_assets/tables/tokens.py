"""Tokens that scripts show: the house's own, made at first use, and those that people give names and scopes.

Of a token the store keeps a hash; the token itself is shown once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from quality_assets.clock import utc_now
from quality_assets.settings import Settings
from quality_assets.stores.files import made_secret
from quality_assets.stores.operations.house_tables import API_TOKEN
from quality_assets.stores.operations.store import fetch, fetch_one, operations_of
from quality_assets.tables.house_history import remember

SCOPES = ("read", "write", "admin")
HOUSE = "house"
"""The name of the house's own token: who has it may do everything."""
_BYTES = 32
_USE_NOTED_EVERY = timedelta(minutes=10)


class TokenError(ValueError):
    """A token that cannot be made, or is not there; the message says why."""


@dataclass(frozen=True)
class Bearer:
    """Whoever shows a token: its name, and what it may do."""

    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether a scope is among its own; who may write may read, and who administers may do both."""
        wider = SCOPES[SCOPES.index(scope) :]
        return bool(self.scopes.intersection(wider))


def token_path(settings: Settings) -> Path:
    """Where the house's own token lies, readable by its user alone."""
    return settings.data_dir / ".secrets" / "token"


def house_token(settings: Settings) -> str:
    """The house's own token; made where there is none."""
    path = token_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    token = made_secret(path, f"{secrets.token_urlsafe(_BYTES)}\n".encode()).decode().strip()
    if not token:
        raise TokenError(f"{path} is empty; delete it, and a new token is made.")
    return token


def create_token(
    connection: Connection, name: str, scopes: Sequence[str], actor: str, *, days: float | None = None
) -> tuple[str, dict[str, Any]]:
    """A new token, which is told here and never again, and its row. Raises TokenError."""
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        raise TokenError(f"scopes are of {', '.join(SCOPES)}; {', '.join(map(repr, wrong)) or 'none'} will not do")
    if not name.strip() or name.strip() == HOUSE:
        raise TokenError(f"a token has a name that is not {HOUSE!r}: it is written beside what is done with it")
    now, token = utc_now(), secrets.token_urlsafe(_BYTES)
    row: dict[str, Any] = {
        "token_id": secrets.token_hex(6),
        "name": name.strip()[:100],
        "sha256": _hashed(token),
        "scopes": list(dict.fromkeys(scopes)),
        "created_at": now,
        "created_by": actor,
        "expires_at": now + timedelta(days=days) if days is not None else None,
    }
    connection.execute(insert(API_TOKEN), [row])
    remember(connection, "token", row["token_id"], "added", row["name"], actor, note=", ".join(row["scopes"]))
    return token, shown(row)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A token's row without its hash."""
    return {name: value for name, value in row.items() if name != "sha256"}


def tokens(connection: Connection) -> list[dict[str, Any]]:
    """All tokens that were not revoked, by name, without their hashes."""
    rows = fetch(connection, select(API_TOKEN).where(API_TOKEN.c.revoked_at.is_(None)).order_by(API_TOKEN.c.name))
    return [shown(row) for row in rows]


def revoke_token(connection: Connection, token_id: str, actor: str) -> None:
    """Let a token open nothing any more. Raises TokenError where there is none."""
    is_it = API_TOKEN.c.token_id == token_id, API_TOKEN.c.revoked_at.is_(None)
    name = connection.execute(select(API_TOKEN.c.name).where(*is_it)).scalar()
    if name is None:
        raise TokenError(f"There is no token {token_id!r} in force.")
    connection.execute(update(API_TOKEN).where(*is_it).values(revoked_at=utc_now()))
    remember(connection, "token", token_id, "revoked", name, actor)


def bearer_of(settings: Settings, connection: Connection, shown_token: str) -> Bearer | None:
    """Whoever shows a token; None where it opens nothing."""
    for own in (_of_settings(settings), _of_file(settings)):
        if own and hmac.compare_digest(own.encode(), shown_token.encode("utf-8", "replace")):
            return Bearer(HOUSE, frozenset(SCOPES))
    row = fetch_one(connection, select(API_TOKEN).where(API_TOKEN.c.sha256 == _hashed(shown_token)))
    if row is None or row["revoked_at"] or _is_over(row["expires_at"]):
        return None
    return Bearer(row["name"], frozenset(row["scopes"]))


def is_known(settings: Settings, shown_token: str) -> bool:
    """Whether a token opens anything."""
    with operations_of(settings).read() as connection:
        return bearer_of(settings, connection, shown_token) is not None


def note_use(connection: Connection, name: str) -> None:
    """Keep that a token was used; not each time."""
    now = utc_now()
    is_old = API_TOKEN.c.last_used_at.is_(None) | (API_TOKEN.c.last_used_at < now - _USE_NOTED_EVERY)
    connection.execute(update(API_TOKEN).where(API_TOKEN.c.name == name, is_old).values(last_used_at=now))


def _of_settings(settings: Settings) -> str | None:
    return settings.token.get_secret_value() if settings.token else None


def _of_file(settings: Settings) -> str | None:
    try:
        return token_path(settings).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _is_over(expires_at: datetime | None) -> bool:
    return expires_at is not None and expires_at <= utc_now()


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
