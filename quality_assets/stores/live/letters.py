"""Dead letters: what was refused, with every reason, for people to look at, to mend and to send again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quality_assets.stores.live.chosen import asked_state, state_exists
from quality_assets.stores.live.sqlite import all_rows


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


@dataclass(frozen=True)
class _Texts:
    reasons: str
    named: str
    ids: str


_SQLITE = _Texts("json_each(dead_letters.reasons)", "reason", "select value from json_each($ids)")
_POSTGRESQL = _Texts(
    "jsonb_array_elements_text(cast(dead_letters.reasons as jsonb))",
    "reason(value)",
    "select cast(value as bigint) from jsonb_array_elements_text(cast($ids as jsonb)) as each_id(value)",
)


def _texts(path: Path | str) -> _Texts:
    return _SQLITE if isinstance(path, Path) else _POSTGRESQL


def dead_letters(
    path: Path | str,
    *,
    ids: Sequence[int] = (),
    reason: str | None = None,
    state: str | None = None,
    limit: int = 1_000_000,
) -> list[DeadLetter]:
    """The letters of a state, newest first: those of `ids`, with a reason, in a state."""
    if not state_exists(path):
        return []
    texts = _texts(path)
    with closing(asked_state(path, read_only=True)) as connection:
        rows = all_rows(
            connection,
            "select id, received_us, source, endpoint, reasons, body, state, replays from dead_letters"
            " where (cast($state as text) is null or state = $state)"
            f" and (cast($reason as text) is null"
            f" or exists (select 1 from {texts.reasons} as {texts.named} where value = $reason))"
            f" and (cast($ids as text) is null or id in ({texts.ids})) order by id desc limit $limit",
            {"state": state, "reason": reason, "ids": json.dumps(list(ids)) if ids else None, "limit": limit},
        )
    return [DeadLetter(row[0], row[1], row[2], row[3], tuple(json.loads(row[4])), *row[5:]) for row in rows]


def counts_by_reason(path: Path | str) -> list[dict[str, Any]]:
    """How many letters wait by reason and endpoint; a letter counts once for each of its reasons."""
    if not state_exists(path):
        return []
    texts = _texts(path)
    with closing(asked_state(path, read_only=True)) as connection:
        rows = all_rows(
            connection,
            f"select reason.value, endpoint, count(*) from dead_letters, {texts.reasons} as {texts.named}"
            " where state = 'waiting' group by 1, 2 order by 3 desc, 1, 2",
        )
    return [{"reason": reason, "endpoint": endpoint, "letters": n} for reason, endpoint, n in rows]
