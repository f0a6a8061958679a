"""Logs that were read, count, and are in no way in the landing zone any more: a root made anew would lack their rows.

The journal of arrival says which there were, so that this can be told also where the warehouse is broken or gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quality_assets.domain.wording import plural
from quality_assets.settings import Settings
from quality_assets.stores.journal import Journal
from quality_assets.stores.landing import LandingFile, names_there, scan, sha256_of
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.ledger import forget_gone, keep_journal

_MAX_NAMED = 3


@dataclass(frozen=True)
class GoneLog:
    """A log that is gone, by the path that it stood at last; `rows` is None where the journal does not say."""

    path: str
    rows: int | None


def gone_logs(settings: Settings) -> list[GoneLog]:
    """The logs whose rows count, and of which the landing zone has neither the bytes nor the rows, in order."""
    journal = Journal(settings.landing_dir)
    files, ignored = scan(settings.landing_dir)
    there = names_there(files, ignored)
    archived = journal.archived()
    missing = [
        entry
        for sha256, entry in journal.entries().items()
        if entry["status"] == "loaded" and entry["rows"] != 0 and sha256 not in archived and _place(entry) not in there
    ]
    elsewhere = _contents(files, {entry["size_bytes"] for entry in missing})
    return [GoneLog(_place(entry), entry["rows"]) for entry in missing if entry["sha256"] not in elsewhere]


def standing_logs(settings: Settings) -> list[str]:
    """The paths of logs that stand as they were read before their source's YAML changed, by which they are refused."""
    entries = Journal(settings.landing_dir).entries().values()
    return [_place(entry) for entry in entries if entry["status"] == "loaded" and entry["reason"]]


def keep_gone_logs(session: WarehouseSession) -> None:
    """Keep the rows of logs that are gone beside the journal, as far as the lake still has them."""
    there = names_there(*scan(session.settings.landing_dir))
    forget_gone(session, there)
    keep_journal(session, Journal(session.settings.landing_dir), there)


def said_gone(gone: Sequence[GoneLog]) -> str:
    """Which logs that were read are gone from the landing zone, in words."""
    rows = [log.rows for log in gone if log.rows is not None]
    named = ", ".join(log.path for log in gone[:_MAX_NAMED])
    more = f" and {len(gone) - _MAX_NAMED} more" if len(gone) > _MAX_NAMED else ""
    of_rows = f" with {sum(rows):,} rows" if len(rows) == len(gone) else ""
    return f"{plural(len(gone), 'log')}{of_rows} that were read are gone from landing/: {named}{more}"


def _place(entry: Mapping[str, Any]) -> str:
    return str(entry["moved_to"] or entry["path"])


def _contents(files: Iterable[LandingFile], sizes: set[int]) -> set[str]:
    """The SHA-256 of the files of these sizes: what has another name is not gone."""
    found = set()
    for file in files:
        if file.size_bytes in sizes:
            try:
                found.add(sha256_of(file.path))
            except OSError:
                continue
    return found
