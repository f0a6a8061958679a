"""Work that a server asks of the graph: a row, of which one sensor makes a run request with the row's id as run key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from quality_assets.clock import utc_now
from quality_assets.stores.operations.house_tables import REQUEST
from quality_assets.stores.operations.store import fetch

WAITING, STARTED, DONE, REFUSED = "waiting", "started", "done", "refused"
_LIVE = (WAITING, STARTED)


def ask(
    connection: Connection,
    job: str,
    *,
    actor: str,
    partition_key: str | None = None,
    subject: str = "",
    run_config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    request_key: str | None = None,
) -> int:
    """Ask for a run of a job; the id of the request. The same `request_key` asked again is the one that is there."""
    if request_key is not None:
        there = connection.execute(select(REQUEST.c.request_id).where(REQUEST.c.request_key == request_key)).scalar()
        if there is not None:
            return int(there)
    row = {
        "job": job,
        "partition_key": partition_key,
        "subject": subject,
        "run_config": dict(run_config or {}),
        "tags": dict(tags or {}),
        "status": WAITING,
        "requested_at": utc_now(),
        "requested_by": actor,
        "request_key": request_key,
    }
    return int(connection.execute(insert(REQUEST).values(row).returning(REQUEST.c.request_id)).scalar_one())


def unended(connection: Connection, limit: int = 50) -> list[dict[str, Any]]:
    """The requests that have not ended, the first first."""
    return fetch(
        connection, select(REQUEST).where(REQUEST.c.status.in_(_LIVE)).order_by(REQUEST.c.request_id).limit(limit)
    )


def live(connection: Connection, subject: str) -> list[dict[str, Any]]:
    """The requests of a subject that have not ended."""
    of_subject = REQUEST.c.subject == subject, REQUEST.c.status.in_(_LIVE)
    return fetch(connection, select(REQUEST).where(*of_subject).order_by(REQUEST.c.request_id))


def note_started(connection: Connection, request_id: int, run_id: str) -> None:
    """Say that there is a run of it."""
    values = {"status": STARTED, "started_at": utc_now(), "run_id": run_id}
    connection.execute(update(REQUEST).where(REQUEST.c.request_id == request_id).values(values))


def note_ended(connection: Connection, request_id: int, *, run_id: str = "", refused: str = "") -> None:
    """Say how a request ended: by which run, or why there was none."""
    values = {"status": REFUSED if refused else DONE, "reason": refused or None, "run_id": run_id or None}
    is_it = REQUEST.c.request_id == request_id
    connection.execute(update(REQUEST).where(is_it).values(values | {"ended_at": utc_now()}))
