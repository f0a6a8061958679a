"""Alerts that readers were shown and the operations store no longer has: it was lost, or an older backup was put back.

Nothing else would tell of them before their data change: what failed is not asked again while it is as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import duckdb
from sqlalchemy import Connection, case, func, select

from quality_assets.clock import utc_now
from quality_assets.domain.quality import alerting
from quality_assets.domain.quality.alerting import Fault
from quality_assets.settings import Settings
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.snapshots import Snapshot, current_snapshot, open_snapshot
from quality_assets.tables.alerts import raise_fault
from quality_assets.tables.faults import unless_unreachable
from quality_assets.tables.house_settings import value_of

_OF_FAULT = ("kind", "subject", "check_name", "column_name", "title", "message", "action", "owner", "severity")
_MEASURED = ("observed", "expected", "threshold", "n", "users", "partition_key", "run_id", "batch_id")
# What a publication ends by itself, and what the house finds whenever it looks.
_FOUND_OTHERWISE = ("publication", "house", "lateness")
_LIVE = (
    f"select fingerprint, last_seen, {', '.join((*_OF_FAULT, *_MEASURED))} from monitoring.alerts"
    " where status <> $over and not list_contains($otherwise, kind) order by first_seen, alert_id"
)


@unless_unreachable
def raise_lost(settings: Settings, now: datetime | None = None) -> int:
    """Raise anew what the published snapshot shows as live and the store has not, or knew only before; how many."""
    published = _published(settings)
    if not published:
        return 0
    moment = now or utc_now()
    store = operations_of(settings)
    with store.read() as connection:
        if not _lost(connection, published, moment):
            return 0
    with store.write() as connection:
        lost = _lost(connection, published, moment)
        for row in lost:
            raise_fault(connection, Fault(**{name: row[name] for name in (*_OF_FAULT, *_MEASURED)}), now=moment)
    return len(lost)


def _published(settings: Settings) -> Sequence[Mapping[str, Any]]:
    snapshot = current_snapshot(settings.published_dir)
    try:
        return () if snapshot is None else _live_in(snapshot)
    except duckdb.Error:
        # A snapshot that cannot be read, or of an older version: what is wrong with it is told elsewhere.
        return ()


@lru_cache(maxsize=1)
def _live_in(snapshot: Snapshot) -> Sequence[Mapping[str, Any]]:
    """The live alerts of a snapshot, which never change: to open it every few seconds would cost more than to tell."""
    with open_snapshot(snapshot) as connection:
        found = connection.execute(_LIVE, {"over": alerting.RESOLVED, "otherwise": list(_FOUND_OTHERWISE)})
        names = [column[0] for column in found.description]
        return tuple(dict(zip(names, row, strict=True)) for row in found.fetchall())


def _lost(connection: Connection, published: Sequence[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:
    """Those of which the store has no live alert, and heard last before they were published.

    What was over long enough may have been forgotten since.
    """
    kept_since = now - timedelta(days=float(value_of(connection, "retention.resolved_alerts_d")))
    # A condition in GROUP BY would be another one to PostgreSQL, whose parameters have no names.
    is_live = func.max(case((ALERT.c.status == alerting.RESOLVED, 0), else_=1))
    of_faults = select(ALERT.c.fingerprint, is_live, func.max(ALERT.c.last_seen)).group_by(ALERT.c.fingerprint)
    known = {fingerprint: (bool(live), last) for fingerprint, live, last in connection.execute(of_faults)}
    return [row for row in published if row["last_seen"] >= kept_since and not _is_known(row, known)]


def _is_known(row: Mapping[str, Any], known: Mapping[str, tuple[bool, datetime]]) -> bool:
    is_live, last = known.get(row["fingerprint"], (False, None))
    return is_live or (last is not None and last >= row["last_seen"])
