"""Who must know of a batch: its alerts into the book, in the transaction that keeps its findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select

from quality_assets.clock import utc_now
from quality_assets.domain.quality.alerting import RESOLVED, Fault, fingerprint_of
from quality_assets.domain.quality.datasets.plugins import could_not_run
from quality_assets.domain.quality.datasets.table_findings import Finding
from quality_assets.domain.wording import plural
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.dataset_tables import DATASET_BATCH
from quality_assets.stores.operations.store import Operations
from quality_assets.tables.alerts import raise_fault, record_evaluation, resolve_fault
from quality_assets.tables.datasets.lateness import settle_lateness
from quality_assets.tables.datasets.muting import end_quiet_alerts
from quality_assets.tables.datasets.registering import Registered, is_hidden

UNREADABLE, CLOSED = "readable", "open to be read"
_MEND_BATCH = "Mend the file, or say on the dataset's page how it is read; the next batch that can be read ends this."
_MEND_SOURCE = "Mend its address, its secret or its server; it is asked again, and the first answer ends this."
_OPEN_FILE = "Let the user whose runs read it open it; it is judged within a minute, and that ends this."
_ACTION = "Look at the batch; where it is not a problem, resolve the alert as expected, and its rule stays quiet."


@dataclass(frozen=True)
class Closed:
    """A file that cannot be opened just now, and why."""

    name: str
    reason: str


def tell_of_batch(
    connection: Connection, dataset: Registered, batch_id: str, values: Mapping[str, Any], findings: Sequence[Finding]
) -> None:
    """Raise what a batch must be told for; what was looked for and not found has passed.

    A batch that could not be read says nothing of the faults of others: it is one of its own.
    """
    name = dataset.dataset_id
    if is_hidden(connection, name):
        # Taken out of sight while it was judged: what was found is kept, and nobody is told.
        return
    settle_lateness(connection, name)
    # Before what was looked for: the alert of a rule that is not asked any more has no batch to wait for.
    end_quiet_alerts(connection, name)
    if values["status"] == "refused":
        title = f"{name}: a batch cannot be read"
        faults = [_fault(connection, dataset, batch_id, UNREADABLE, "", title, str(values["reason"]), "high")]
        faults = [replace(fault, action=_MEND_BATCH) for fault in faults]
        record_evaluation(
            connection, "dataset", name, faults, evaluation=batch_id, asked=lambda row: row["check_name"] == UNREADABLE
        )
        return
    faults = [_fault_of(connection, dataset, batch_id, finding) for finding in findings if finding.is_alert]
    unasked = could_not_run(findings)
    record_evaluation(
        connection, "dataset", name, faults, evaluation=batch_id,
        asked=lambda row: row["check_name"].partition("(")[0] not in {*unasked, CLOSED},
    )  # fmt: skip


def tell_of_closed(store: Operations, dataset: Registered, closed: Sequence[Closed]) -> None:
    """Tell of the files of a dataset that cannot be opened; without any, that all can be."""
    name, now = dataset.dataset_id, utc_now()
    fingerprint = fingerprint_of("dataset", name, CLOSED)
    with store.read() as connection:
        if not closed and _live_message(connection, fingerprint) is None:
            return
    with store.write() as connection:
        if not closed or is_hidden(connection, name):
            resolve_fault(connection, fingerprint, now)
            return
        more = f"; and {len(closed) - 1} more" if len(closed) > 1 else ""
        title = f"{name}: {plural(len(closed), 'file')} cannot be opened"
        said = f"{closed[0].name}: {closed[0].reason}{more}"
        fault = _fault(connection, dataset, f"{name} {now}", CLOSED, "", title, said, "high")
        raise_fault(connection, replace(fault, batch_id=None, group=name, action=_OPEN_FILE), now=now)


def tell_of_source(store: Operations, dataset: Registered, reason: str | None) -> None:
    """Tell that a table that is no file cannot be read; without a reason, that it could be."""
    name, now = dataset.dataset_id, utc_now()
    fingerprint = fingerprint_of("dataset", name, UNREADABLE)
    if reason is None:
        with store.read() as connection:
            if unreadable(connection, name) is None:
                return
    with store.write() as connection:
        if reason is None:
            resolve_fault(connection, fingerprint, now)
            return
        fault = _fault(
            connection, dataset, f"{name} {now}", UNREADABLE, "", f"{name}: the source cannot be read", reason, "high"
        )
        raise_fault(connection, replace(fault, batch_id=None, group=name, action=_MEND_SOURCE))


def unreadable(connection: Connection, name: str) -> str | None:
    """Why a table cannot be read just now; None where it can, as far as is known."""
    return _live_message(connection, fingerprint_of("dataset", name, UNREADABLE))


def _live_message(connection: Connection, fingerprint: str) -> str | None:
    live = select(ALERT.c.message).where(ALERT.c.fingerprint == fingerprint, ALERT.c.status != RESOLVED)
    found = connection.execute(live).scalar()
    return None if found is None else str(found)


def _fault_of(connection: Connection, dataset: Registered, batch_id: str, finding: Finding) -> Fault:
    column = finding.columns[-1] if finding.columns else ""
    where = f" of {', '.join(finding.columns)}" if finding.columns else ""
    what = finding.detector if finding.kind == "custom" else finding.kind.replace("_", " ")
    title = f"{dataset.dataset_id}: {what}{where}"
    more = {
        "observed": finding.share,
        "expected": finding.expected_share,
        "n": finding.count,
        "evidence": {"kind": finding.kind, "count": finding.count, "examples": list(finding.examples)},
    }
    return _fault(
        connection, dataset, batch_id, finding.rule_id, column, title, finding.sentence, finding.severity, **more
    )


def _fault(
    connection: Connection, dataset: Registered, batch_id: str, check: str, column: str, title: str, message: str,
    severity: str, **more: Any,
) -> Fault:  # fmt: skip
    name = dataset.dataset_id
    of_batch = select(DATASET_BATCH.c.name).where(DATASET_BATCH.c.batch_id == batch_id)
    return Fault(
        kind="dataset",
        subject=name,
        title=title,
        message=message,
        severity=severity,
        check_name=check,
        column_name=column,
        action=_ACTION,
        group=f"{name} {batch_id}",
        evaluation=batch_id,
        batch_id=batch_id,
        # What a person calls the batch: nobody knows it by its hash.
        partition_key=connection.execute(of_batch).scalar() or "",
        owner=dataset.source.owner,
        subjects=(("dataset", name),),
        **more,
    )
