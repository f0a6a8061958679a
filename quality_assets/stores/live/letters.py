"""Dead letters: what was refused, with every reason, for people to look at, to mend and to send again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quality_assets.stores.live.sqlite import all_rows, opened


@dataclass(frozen=True)
class DeadLetter:
    """One refused item; `body` is the item as it was sent, as JSON; `state` is waiting or replayed."""

    id: int
    received_us: int
    source: str
    endpoint: str
    reasons: tuple[str, ...]
    body: str
    state: str
    replays: int


def dead_letters(
    path: Path,
    *,
    ids: Sequence[int] = (),
    reason: str | None = None,
    state: str | None = None,
    limit: int = 1_000_000,
) -> list[DeadLetter]:
    """The letters of a state.db, newest first: those of `ids`, with a reason, in a state."""
    if not path.exists():
        return []
    connection = opened(path, synchronous="NORMAL", read_only=True)
    try:
        rows = all_rows(
            connection,
            "select id, received_us, source, endpoint, reasons, body, state, replays from dead_letters"
            " where ($state is null or state = $state)"
            " and ($reason is null or exists (select 1 from json_each(reasons) where value = $reason))"
            " and ($ids is null or id in (select value from json_each($ids))) order by id desc limit $limit",
            {"state": state, "reason": reason, "ids": json.dumps(list(ids)) if ids else None, "limit": limit},
        )
    finally:
        connection.close()
    return [DeadLetter(row[0], row[1], row[2], row[3], tuple(json.loads(row[4])), *row[5:]) for row in rows]


def counts_by_reason(path: Path) -> list[dict[str, Any]]:
    """How many letters wait by reason and endpoint; a letter counts once for each of its reasons."""
    if not path.exists():
        return []
    connection = opened(path, synchronous="NORMAL", read_only=True)
    try:
        rows = all_rows(
            connection,
            "select reason.value, endpoint, count(*) from dead_letters, json_each(dead_letters.reasons) as reason"
            " where state = 'waiting' group by 1, 2 order by 3 desc, 1, 2",
        )
    finally:
        connection.close()
    return [{"reason": reason, "endpoint": endpoint, "letters": n} for reason, endpoint, n in rows]
