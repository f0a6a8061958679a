"""Datasets whose next batch is overdue: as nothing arrives nobody evaluates it. Told by the clock, ended by a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from quality_assets.clock import utc_now
from quality_assets.contracts.sources.datasets import cadence_hours
from quality_assets.domain.quality import alerting
from quality_assets.domain.quality.alerting import Fault
from quality_assets.domain.quality.datasets.drifting import overdue
from quality_assets.domain.wording import duration_text
from quality_assets.settings import Settings
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.dataset_tables import DATASET, DATASET_BATCH
from quality_assets.stores.operations.store import fetch, operations_of
from quality_assets.tables.alerts import raise_fault, resolve_fault
from quality_assets.tables.datasets.registering import Registered, registered

FRESHNESS = "freshness"
MOST_ARRIVALS = 200


@dataclass(frozen=True)
class Late:
    """A batch that is overdue: since when nothing came, how long one may take, and that in a sentence."""

    last: datetime
    limit_hours: float
    sentence: str


def late(
    connection: Connection,
    dataset: Registered,
    now: datetime | None = None,
    arrived: Sequence[datetime] | None = None,
) -> Late | None:
    """Whether the next batch of a dataset is overdue: by its cadence, else by the gaps between past arrivals.

    `arrived` are the last arrivals, the newest first, where the caller has them.
    """
    moment = now or utc_now()
    newest = _arrivals(connection, dataset.dataset_id) if arrived is None else arrived
    cadence = cadence_hours(dataset.source.cadence) if dataset.source.cadence else None
    if not newest and cadence is None:
        return None
    is_it = DATASET.c.dataset_id == dataset.dataset_id
    last = newest[0] if newest else connection.execute(select(DATASET.c.created_at).where(is_it)).scalar()
    if last is None:
        return None
    seconds = [(at - newest[-1]).total_seconds() for at in reversed(newest)]
    found = overdue(seconds, (moment - last).total_seconds(), cadence)
    if found is None:
        return None
    limit, why = found
    ago = duration_text((moment - last).total_seconds() * 1000)
    came = f"No batch has come for {ago}" if newest else f"No batch has come since it is watched, {ago} ago"
    return Late(last, limit, f"{came}; {why}.")


def _arrivals(connection: Connection, dataset: str) -> list[datetime]:
    of_dataset = select(DATASET_BATCH.c.arrived_at).where(DATASET_BATCH.c.dataset_id == dataset)
    newest = of_dataset.order_by(DATASET_BATCH.c.arrived_at.desc()).limit(MOST_ARRIVALS)
    return list(connection.execute(newest).scalars())


def watch_datasets(settings: Settings, now: datetime | None = None) -> list[str]:
    """Tell of datasets whose batch is overdue, and resolve what has come since; the names of those that are late.

    Whoever answers that it is no problem hears nothing more until a batch has come.
    """
    moment, store = now or utc_now(), operations_of(settings)
    with store.read() as connection:
        found = {
            each.dataset_id: (each, overdue_by)
            for each in registered(connection).values()
            if not each.is_hidden and (overdue_by := late(connection, each, moment)) is not None
        }
        rows = fetch(connection, select(ALERT).where(ALERT.c.kind == "lateness", ALERT.c.check_name == FRESHNESS))
    live = {row["subject"] for row in rows if row["status"] != alerting.RESOLVED}
    if live == set(found):
        return sorted(found)
    with store.write() as connection:
        for name, (dataset, overdue_by) in found.items():
            if name not in live and not _is_answered(rows, name, overdue_by.last):
                raise_fault(connection, _fault(dataset, overdue_by, moment), now=moment)
        for name in live - set(found):
            settle_lateness(connection, name, moment)
    return sorted(found)


def _is_answered(rows: list[dict[str, Any]], name: str, since: datetime) -> bool:
    """Whether a person has ended the alert of this very wait."""
    return any(
        row["subject"] == name and row["resolution"] != "auto" and row["resolved_at"] and row["resolved_at"] > since
        for row in rows
    )


def settle_lateness(connection: Connection, name: str, now: datetime | None = None) -> None:
    """A batch has come: the alert that says that none does is over."""
    resolve_fault(connection, alerting.fingerprint_of("lateness", name, FRESHNESS), now)


def _fault(dataset: Registered, overdue_by: Late, now: datetime) -> Fault:
    name = dataset.dataset_id
    waited = (now - overdue_by.last) / timedelta(hours=1)
    return Fault(
        kind="lateness",
        subject=name,
        check_name=FRESHNESS,
        title=f"{name} is late",
        message=overdue_by.sentence,
        severity="medium",
        action="See why nothing arrives; where that is as it should be, change how often a batch is due.",
        group=f"{name} late",
        evaluation=f"late since {overdue_by.last:%Y-%m-%dT%H:%M:%S}",
        owner=dataset.source.owner,
        observed=round(waited, 2),
        threshold=round(overdue_by.limit_hours, 2),
        subjects=(("dataset", name),),
    )
