"""Sending what was published to where it is used: what a destination lacks, batch by batch, and what it has since.

Only published snapshots are sent. What a destination has is committed batch by batch, after it acknowledged; before,
the rows of the batch are marked as in doubt. So a kill repeats one batch at most, rows carry keys of their own, and
what was in doubt is put right by the next delivery even where its row is gone by then.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from quality_assets.clock import utc_now
from quality_assets.contracts.destinations import Destination
from quality_assets.domain.impact.delivery import (
    EXAMPLES,
    IN_DOUBT,
    Change,
    MassDeleteError,
    Row,
    batches,
    changes,
    counts,
    key_of,
    plain_row,
    refuse_mass_delete,
)
from quality_assets.settings import Settings
from quality_assets.stores.destinations import NotDelivered, Sender
from quality_assets.stores.operations.store import Operations, operations_of
from quality_assets.stores.root_copies import copy_sentence, original_of
from quality_assets.stores.secret_refs import SecretMissingError
from quality_assets.stores.snapshots import current_snapshot, open_snapshot, why_none_is_published

if TYPE_CHECKING:
    import duckdb
    from sqlalchemy import Connection


class NothingToSend(RuntimeError):  # noqa: N818
    """There is nothing that could be sent; the message says why, and what to do."""


@dataclass(frozen=True)
class DeliveryOutcome:
    """How a delivery ended: `delivered`, `stopped` or `refused`; of a dry run `planned`, with examples."""

    sync: str
    status: str
    inserts: int
    updates: int
    deletes: int
    batches: int = 0
    attempts: int = 0
    error: str | None = None
    examples: Sequence[dict[str, Any]] = field(default_factory=tuple)


_SENT: dict[str, tuple[str, tuple[str, ...]]] = {
    "experiments": (
        "select experiment, as_of_date, state, grade, exposed, excluded, verdict, reasons from impact.experiments"
        " where state <> 'invalid'",
        ("experiment",),
    ),
    # The raw difference is never sent: it would be quoted.
    "lift": (
        "select feature, outcome, as_of_date, calibrated, low, high, adopters, verdict, reason"
        " from impact.lift_estimates",
        ("feature", "outcome"),
    ),
    "insights": (
        "select 'experiment' as kind, experiment as subject, as_of_date, verdict as sentence from impact.experiments"
        " where state <> 'invalid' union all"
        " select 'lift', feature || ', ' || outcome, as_of_date, reason from impact.lift_estimates"
        " where verdict <> 'not measured' union all"
        " select 'crashes', outcome, as_of_date, reason from impact.crash_costs",
        ("kind", "subject"),
    ),
    # The week's scores of users; a probability goes out where the last grade says that probabilities hold.
    "engagement": (
        "select user_id, as_of_date, rank, band, case when (select arg_max(verdict, as_of_date)"
        " from ml.engagement_grades where candidate = 'logistic') = 'probabilities hold' then p_churn end as p_churn,"
        " reasons, scored_by from ml.engagement_scores"
        " where as_of_date = (select max(as_of_date) from ml.engagement_scores)",
        ("user_id",),
    ),
    "scores": (
        "select feature, event_date, risk_probability, low, high, rank, model_version from ml.risk_scores"
        " where event_date = (select max(event_date) from ml.risk_scores)",
        ("feature",),
    ),
}
_SEGMENT_SENT: tuple[str, tuple[str, ...]] = (
    "select segment, user_id, entered_on from impact.segment_members where segment = $segment and left_on is null",
    ("user_id",),
)


def deliver(
    settings: Settings,
    destination: Destination,
    *,
    dry_run: bool = False,
    wait: Callable[[float], None] | None = None,
) -> DeliveryOutcome:
    """Send a destination what it lacks of the published snapshot; or, dry, say what that is.

    Raises NothingToSend where nothing is published, what it sends is not there, or this root is a copy of one that
    sends; DeliveryRunningError where another delivery to it is under way.
    """
    if dry_run:
        return _deliver(settings, destination, dry_run=True, wait=wait)
    if original := original_of(settings):
        raise NothingToSend(copy_sentence(settings, original))
    with _alone(settings, destination.name):
        return _deliver(settings, destination, dry_run=False, wait=wait)


class DeliveryRunningError(RuntimeError):
    """Another delivery to the same destination is under way: two at once could undo each other."""


@contextmanager
def _alone(settings: Settings, sync: str) -> Iterator[None]:
    """Hold the lock of a destination; a process that is killed lets go of it."""
    folder = settings.outbox_dir
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f".deliver-{sync}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeliveryRunningError(f"another delivery to {sync} is under way; try again once it is over") from None
        yield
    finally:
        os.close(descriptor)


def _deliver(
    settings: Settings, destination: Destination, *, dry_run: bool, wait: Callable[[float], None] | None
) -> DeliveryOutcome:
    snapshot = current_snapshot(settings.published_dir)
    if snapshot is None:
        raise NothingToSend(why_none_is_published(settings.published_dir))
    with open_snapshot(snapshot) as connection:
        rows = _rows(connection, destination)
    store = operations_of(settings)
    delivered = _delivered(store, destination.name)
    found = changes(rows, delivered, destination.mode)
    counted: Any = counts(found)
    if dry_run:
        return DeliveryOutcome(destination.name, "planned", **counted, examples=_examples(found))
    started_at = utc_now()
    try:
        refuse_mass_delete(found, len(delivered), destination.allow_mass_delete)
    except MassDeleteError as error:
        run = _Run(store, destination.name, snapshot.version, started_at)
        run.tell(0, found, 0, "refused", str(error))
        return DeliveryOutcome(destination.name, "refused", **counted, error=str(error))
    sender = Sender(destination) if wait is None else Sender(destination, wait=wait)
    return _send(sender, found, rows, delivered, _Run(store, destination.name, snapshot.version, started_at))


@dataclass
class _Run:
    """One delivery as it is told in the store."""

    store: Operations
    sync: str
    snapshot: str
    started_at: datetime
    run: str = field(default_factory=lambda: uuid4().hex[:12])

    def begin(self, number: int, found: Sequence[Change]) -> None:
        """Write that a batch is about to be sent: from now on nobody knows what the destination has of its rows."""
        with self.store.write() as connection:
            self._write(connection, number, found, 0, "started", None)
            self._remember(connection, found, {change.key: IN_DOUBT for change in found})

    def tell(self, number: int, found: Sequence[Change], attempts: int, status: str, error: str | None = None) -> None:
        """Write how a batch ended, and of a delivered one what the destination has now."""
        with self.store.write() as connection:
            self._write(connection, number, found, attempts, status, error)
            if status == "delivered":
                self._remember(connection, found, {c.key: c.row_hash for c in found if c.row is not None})

    def take_back(self, found: Sequence[Change], delivered: Mapping[str, str]) -> None:
        """Write that the destination has of a batch's rows what it had before: it has refused them."""
        with self.store.write() as connection:
            self._remember(connection, found, {c.key: delivered[c.key] for c in found if c.key in delivered})

    def _write(
        self,
        connection: Connection,
        number: int,
        found: Sequence[Change],
        attempts: int,
        status: str,
        error: str | None,
    ) -> None:
        from sqlalchemy import delete, insert

        from quality_assets.stores.operations.delivery_tables import DELIVERY

        batch = f"{self.run}-{number:05d}"
        finished_at = None if status == "started" else utc_now()
        connection.execute(delete(DELIVERY).where(DELIVERY.c.sync == self.sync, DELIVERY.c.batch == batch))
        connection.execute(
            insert(DELIVERY).values(
                sync=self.sync, batch=batch, started_at=self.started_at, finished_at=finished_at,
                snapshot=self.snapshot, attempts=attempts, status=status, error=error, **counts(found),
            )
        )  # fmt: skip

    def _remember(self, connection: Connection, found: Sequence[Change], hashes: Mapping[str, str]) -> None:
        """Keep the fingerprints of a batch's rows that the destination has, by key, and of no others of the batch."""
        from sqlalchemy import delete, insert

        from quality_assets.stores.operations.delivery_tables import DELIVERED_ROW

        keys = [change.key for change in found]
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            connection.execute(
                delete(DELIVERED_ROW).where(DELIVERED_ROW.c.sync == self.sync, DELIVERED_ROW.c.row_key.in_(some))
            )
        now = utc_now()
        kept = [
            {"sync": self.sync, "row_key": key, "row_hash": said, "delivered_at": now} for key, said in hashes.items()
        ]
        if kept:
            connection.execute(insert(DELIVERED_ROW), kept)


def _send(
    sender: Sender, found: Sequence[Change], rows: dict[str, Row], delivered: Mapping[str, str], run: _Run
) -> DeliveryOutcome:
    destination = sender.destination
    # A file is written whole, so that its changes are one batch.
    size = max(1, len(found)) if destination.kind == "file" else destination.batch_rows
    sent, attempts = 0, 0
    counted: Any = counts(found)
    for number, batch in enumerate(batches(found, size)):
        run.begin(number, batch)
        try:
            tries = sender.send(batch, rows)
        except (NotDelivered, SecretMissingError) as error:
            tries = getattr(error, "attempts", 0)
            if not getattr(error, "in_doubt", False):
                run.take_back(batch, delivered)
            run.tell(number, batch, tries, "stopped", str(error))
            _raise_alert(run.store, destination, str(error), run.run)
            return DeliveryOutcome(
                destination.name, "stopped", **counted, batches=sent, attempts=attempts + tries, error=str(error)
            )
        run.tell(number, batch, tries, "delivered")
        sent, attempts = sent + 1, attempts + tries
    _raise_alert(run.store, destination, None, run.run)
    return DeliveryOutcome(destination.name, "delivered", **counted, batches=sent, attempts=attempts)


def _raise_alert(store: Operations, destination: Destination, error: str | None, run: str) -> None:
    """Tell that a destination does not take what it is sent; or that it does again."""
    from quality_assets.domain.quality.alerting import Fault
    from quality_assets.tables.alerts import record_evaluation

    faults = []
    if error is not None:
        faults = [
            Fault(
                kind="channel", subject=f"destination {destination.name}",
                title=f"{destination.name} does not take what it is sent",
                message=error, severity="high", owner=destination.owner, evaluation=run,
                action=f"Mend the destination or its file, then `quality deliver {destination.name}`.",
            )
        ]  # fmt: skip
    with store.write() as connection:
        record_evaluation(connection, "channel", f"destination {destination.name}", faults, evaluation=run)


def _delivered(store: Operations, sync: str) -> dict[str, str]:
    from sqlalchemy import select

    from quality_assets.stores.operations.delivery_tables import DELIVERED_ROW

    with store.read() as connection:
        found = connection.execute(
            select(DELIVERED_ROW.c.row_key, DELIVERED_ROW.c.row_hash).where(DELIVERED_ROW.c.sync == sync)
        )
        return {str(key): str(fingerprint) for key, fingerprint in found}


def _rows(connection: duckdb.DuckDBPyConnection, destination: Destination) -> dict[str, Row]:
    """The rows to be sent as they are published, by key."""
    import duckdb

    kind, _, name = destination.send.partition(":")
    try:
        if kind == "segment":
            query, keys = _SEGMENT_SENT
            known = connection.execute(
                "select count(*) from impact.segment_days where segment = $segment", {"segment": name}
            ).fetchall()
            if known == [(0,)]:
                raise NothingToSend(f"no segment is called {name!r}, or none of it is published yet")
            cursor = connection.execute(query, {"segment": name})
        else:
            query, keys = _SENT[destination.send]
            cursor = connection.execute(query)
    except duckdb.CatalogException:
        raise NothingToSend(f"the published snapshot has no {destination.send}; `quality run`, then deliver") from None
    names = [column[0] for column in cursor.description or []]
    rows = [plain_row(dict(zip(names, values, strict=True))) for values in cursor.fetchall()]
    return {key_of(row, keys): row for row in rows}


def _examples(found: Sequence[Change]) -> list[dict[str, Any]]:
    return [
        {"operation": change.operation, "key": change.key, **({"row": change.row} if change.row else {})}
        for change in found[:EXAMPLES]
    ]
