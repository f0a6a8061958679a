"""The book of alerts: what a person must know, once a fault, from the first time it is seen until it is over.

Each function works within one transaction of the operations store, so that an alert and what it was raised for are kept
together. What happens to an alert is decided in `domain/quality/alerting.py`; who is told, in `notifications.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from quality_assets.clock import utc_now
from quality_assets.contracts.owners import owner_of
from quality_assets.domain.quality import alerting
from quality_assets.domain.quality.alerting import AlertError, AlertPolicy, Change, Fault
from quality_assets.stores.operations.alert_tables import ALERT, ALERT_EVENT, ALERT_SUBJECT, NOTIFICATION
from quality_assets.stores.operations.house_tables import SETTING
from quality_assets.stores.operations.store import Operations, fetch, fetch_one
from quality_assets.tables import notifications
from quality_assets.tables.house_settings import value_of

GRAPH = "graph"
"""Who acts where no person does."""
_MAX_MESSAGE_LENGTH = 4000
_MAX_NOTE_LENGTH = 4000
_POLICY_PREFIX = "alerts."
_FORGOTTEN_AT_ONCE = 500


class NoSuchAlertError(LookupError):
    """No alert has this id."""


class ChangedMeanwhileError(RuntimeError):
    """Somebody has changed it since it was read; `present` is how it stands now."""

    def __init__(self, present: Mapping[str, Any]) -> None:
        self.present = dict(present)
        super().__init__(f"It was changed meanwhile: it is of version {present['version']} now. Read it again.")


@dataclass(frozen=True)
class Raised:
    """What became of a fault: the alert's id, and what happened to it (opened, seen, worse, milder, reopened;
    taught: a person said that it is no problem, and it is no worse).
    """

    alert_id: str
    action: str


def policy_of(connection: Connection) -> AlertPolicy:
    """How long things last, as the settings say."""
    rows = connection.execute(select(SETTING.c.key, SETTING.c.value).where(SETTING.c.key.startswith(_POLICY_PREFIX)))
    given = {key.removeprefix(_POLICY_PREFIX): value for key, value in rows}
    return AlertPolicy(**{each.name: given[each.name] for each in fields(AlertPolicy) if each.name in given})


def raise_fault(connection: Connection, fault: Fault, *, now: datetime | None = None, actor: str = GRAPH) -> Raised:
    """Tell of a fault: a new alert, or the one that is there for it already."""
    moment, policy = now or utc_now(), policy_of(connection)
    fault = _cut(_owned(_weighed(connection, fault)))
    of_fault = select(ALERT).where(ALERT.c.fingerprint == fault.fingerprint)
    live = fetch_one(connection, of_fault.where(ALERT.c.status != alerting.RESOLVED))
    taught = _taught(connection, fault)
    if taught is not None:
        _apply(connection, taught, alerting.found_as_taught(taught, fault, moment), moment, actor, policy)
        if live is not None:
            # It was worse, and is as it was when it was no problem.
            _pass(connection, live, fault.evaluation, moment)
        return Raised(taught["alert_id"], "taught")
    if live is not None:
        change = alerting.seen_again(live, fault, moment)
        _apply(connection, live, change, moment, actor, policy)
        return Raised(live["alert_id"], change.action)
    last = fetch_one(connection, of_fault.order_by(ALERT.c.last_seen.desc(), ALERT.c.version.desc()))
    if last is not None and alerting.may_reopen(last, moment, policy):
        _apply(connection, last, alerting.reopened(last, fault, moment), moment, actor, policy)
        return Raised(last["alert_id"], "reopened")
    row = alerting.first_row(fault, moment, last["alert_id"] if last else None) | {"alert_id": uuid4().hex}
    connection.execute(insert(ALERT), [row])
    subjects = dict.fromkeys((("subject", fault.subject), *fault.subjects))
    named = [{"alert_id": row["alert_id"], "entity_type": kind, "entity_id": name} for kind, name in subjects]
    connection.execute(insert(ALERT_SUBJECT), named)
    _remember(connection, row["alert_id"], moment, actor, "opened", None, alerting.OPEN, fault.message)
    notifications.plan(connection, row, "opened:0", moment, policy)
    return Raised(row["alert_id"], "opened")


def _taught(connection: Connection, fault: Fault) -> dict[str, Any] | None:
    """The alert by which a person said that a fault like this is no problem; None where nobody did."""
    said = ALERT.c.fingerprint == fault.fingerprint, ALERT.c.resolution.in_(alerting.FALSE_RESOLUTIONS)
    rows = fetch(connection, select(ALERT).where(*said).order_by(ALERT.c.resolved_at.desc()))
    return next((row for row in rows if alerting.is_taught(row, fault)), None)


def _weighed(connection: Connection, fault: Fault) -> Fault:
    """A fault as bad as `alerts.severity` says of its check, its column, metric or input, or its subject."""
    said: Mapping[str, str] = value_of(connection, "alerts.severity")
    names = [f"{fault.subject}: {part}" for part in (fault.check_name, fault.column_name) if part]
    wanted = next((said[name] for name in (*names, fault.subject) if name in said), fault.severity)
    return replace(fault, severity=wanted)


def _owned(fault: Fault) -> Fault:
    """A fault of a part of the graph is whose that part is; a feature may be called as it likes."""
    if fault.owner or fault.kind in ("incident", "drift"):
        return fault
    return replace(fault, owner=owner_of(fault.subject))


def _cut(fault: Fault) -> Fault:
    return replace(fault, message=fault.message.strip()[:_MAX_MESSAGE_LENGTH], title=fault.title.strip()[:300])


def record_evaluation(
    connection: Connection,
    kind: str,
    subject: str,
    faults: Iterable[Fault],
    *,
    evaluation: str,
    asked: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    now: datetime | None = None,
) -> list[Raised]:
    """What one run or batch found of a subject: faults are raised, live alerts of `kind` that were asked and not found
    have passed. `asked` says of an alert's row whether the evaluation looked for its fault; of all where not given.
    """
    moment = now or utc_now()
    found = list(faults)
    raised = [raise_fault(connection, fault, now=moment) for fault in found]
    failing = {fault.fingerprint for fault in found}
    live = select(ALERT).where(ALERT.c.kind == kind, ALERT.c.subject == subject, ALERT.c.status != alerting.RESOLVED)
    for row in fetch(connection, live):
        if row["fingerprint"] not in failing and asked(row):
            _pass(connection, row, evaluation, moment)
    return raised


def record_pass(connection: Connection, fingerprint: str, evaluation: str, now: datetime | None = None) -> None:
    """Say that a fault was looked for and not found; nothing where nobody was told of it."""
    record_passes(connection, [fingerprint], evaluation, now)


def record_passes(
    connection: Connection, fingerprints: Sequence[str], evaluation: str, now: datetime | None = None
) -> None:
    """As `record_pass`, of several faults."""
    live = select(ALERT).where(ALERT.c.fingerprint.in_(fingerprints), ALERT.c.status != alerting.RESOLVED)
    rows = {row["fingerprint"]: row for row in fetch(connection, live)}
    for fingerprint in fingerprints:
        if fingerprint in rows:
            _pass(connection, rows[fingerprint], evaluation, now or utc_now())


def resolve_gone(connection: Connection, kind: str, failing: Iterable[str], now: datetime | None = None) -> int:
    """Resolve live alerts of `kind` whose fingerprint is none of `failing`: for what has an end by itself; how many."""
    moment, policy, still = now or utc_now(), policy_of(connection), set(failing)
    live = select(ALERT).where(ALERT.c.kind == kind, ALERT.c.status != alerting.RESOLVED)
    gone = [row for row in fetch(connection, live) if row["fingerprint"] not in still]
    for row in gone:
        _apply(connection, row, alerting.resolved(row, "auto", moment), moment, GRAPH, policy)
    return len(gone)


def resolve_fault(
    connection: Connection, fingerprint: str, now: datetime | None = None, note: str | None = None
) -> None:
    """A fault that has an end by itself is over; nothing where nobody was told of it."""
    moment = now or utc_now()
    live = select(ALERT).where(ALERT.c.fingerprint == fingerprint, ALERT.c.status != alerting.RESOLVED)
    row = fetch_one(connection, live)
    if row is not None:
        change = alerting.resolved(row, "auto", moment)._replace(note=note)
        _apply(connection, row, change, moment, GRAPH, policy_of(connection))


def _pass(connection: Connection, row: Mapping[str, Any], evaluation: str, now: datetime) -> None:
    policy = policy_of(connection)
    change = alerting.passed(row, evaluation, now, policy)
    if change is not None:
        _apply(connection, row, change, now, GRAPH, policy)


def forget_old(connection: Connection, now: datetime) -> int:
    """Remove alerts that were resolved longer ago than they stay, with all that hangs on them; how many.

    What people said is no problem stays while it is found, and of datasets, whose rules are not asked since, for good.
    """
    since = now - timedelta(days=float(value_of(connection, "retention.resolved_alerts_d")))
    teaches = and_(ALERT.c.kind == "dataset", ALERT.c.resolution.in_(alerting.FALSE_RESOLUTIONS))
    is_old = ALERT.c.resolved_at < since, ALERT.c.last_seen < since
    old = select(ALERT.c.alert_id).where(
        ALERT.c.status == alerting.RESOLVED, *is_old, or_(ALERT.c.resolution.is_(None), ~teaches)
    )
    ids = list(connection.execute(old.limit(_FORGOTTEN_AT_ONCE)).scalars())
    for table in (NOTIFICATION, ALERT_EVENT, ALERT_SUBJECT, ALERT):
        connection.execute(delete(table).where(table.c.alert_id.in_(ids)))
    return len(ids)


class AlertBook:
    """What people do to alerts. Each call is one transaction and gives the alert as it stands then.

    `version`, where given, is what the caller read: ChangedMeanwhileError where it is another now. NoSuchAlertError
    where no alert has the id; AlertError where what is asked cannot be done.
    """

    def __init__(self, store: Operations) -> None:
        self._store = store

    def raise_fault(self, fault: Fault, *, actor: str = GRAPH, now: datetime | None = None) -> Raised:
        """As the function of this name, in a transaction of its own."""
        with self._store.write() as connection:
            return raise_fault(connection, fault, now=now, actor=actor)

    def acknowledge(self, alert_id: str, actor: str, *, note: str = "", version: int | None = None) -> dict[str, Any]:
        """Somebody has it."""
        return self._do(alert_id, actor, note, version, lambda row, now: alerting.acknowledged(row, actor, now))

    def resolve(
        self, alert_id: str, actor: str, resolution: str = "fixed", *, note: str = "", version: int | None = None
    ) -> dict[str, Any]:
        """It is over."""
        return self._do(alert_id, actor, note, version, lambda row, now: alerting.resolved(row, resolution, now))

    def reopen(self, alert_id: str, actor: str, *, note: str = "", version: int | None = None) -> dict[str, Any]:
        """It is not over after all. AlertError where a newer alert of the same fault is live."""

        def change(row: Mapping[str, Any], now: datetime) -> Change:
            if row["status"] != alerting.RESOLVED:
                raise AlertError("The alert is open already.")
            return alerting.reopened(row, None, now)

        return self._do(alert_id, actor, note, version, change)

    def snooze(
        self, alert_id: str, actor: str, until: datetime, *, note: str = "", version: int | None = None
    ) -> dict[str, Any]:
        """Nothing is told of it until then."""
        return self._do(alert_id, actor, note, version, lambda row, now: alerting.snoozed(row, until, now))

    def assign(
        self, alert_id: str, actor: str, assignee: str | None, *, note: str = "", version: int | None = None
    ) -> dict[str, Any]:
        """Whose it is; None, or blank: nobody's."""
        whose = " ".join((assignee or "").split()) or None
        said = note or f"to {whose or 'nobody'}"
        return self._do(alert_id, actor, said, version, lambda *_: Change({"assignee": whose}, "assigned"))

    def note(self, alert_id: str, actor: str, text: str, *, version: int | None = None) -> dict[str, Any]:
        """Say something about it. AlertError where nothing is said."""
        if not text.strip():
            raise AlertError("The note is empty.")
        return self._do(alert_id, actor, text, version, lambda *_: Change({}, "noted"))

    def _do(
        self,
        alert_id: str,
        actor: str,
        note: str,
        version: int | None,
        change: Callable[[Mapping[str, Any], datetime], Change],
    ) -> dict[str, Any]:
        if len(note) > _MAX_NOTE_LENGTH:
            raise AlertError(f"The note has {len(note):,} signs, and no more than {_MAX_NOTE_LENGTH:,} are kept.")
        with self._store.write() as connection:
            now = utc_now()
            row = _row(connection, alert_id)
            if version is not None and version != row["version"]:
                raise ChangedMeanwhileError(row)
            decided = change(row, now)
            if decided.action == "reopened" and _has_live_twin(connection, row):
                raise AlertError("A newer alert of the same fault is open; work on that one.")
            _apply(connection, row, decided._replace(note=note or decided.note), now, actor, policy_of(connection))
            return _row(connection, alert_id)


def _row(connection: Connection, alert_id: str) -> dict[str, Any]:
    row = fetch_one(connection, select(ALERT).where(ALERT.c.alert_id == alert_id))
    if row is None:
        raise NoSuchAlertError(f"No alert has the id {alert_id!r}.")
    return row


def _has_live_twin(connection: Connection, row: Mapping[str, Any]) -> bool:
    twin = select(ALERT.c.alert_id).where(
        ALERT.c.fingerprint == row["fingerprint"], ALERT.c.status != alerting.RESOLVED
    )
    return connection.execute(twin).first() is not None


def _apply(
    connection: Connection, row: Mapping[str, Any], change: Change, now: datetime, actor: str, policy: AlertPolicy
) -> None:
    """Change an alert, remember who did it, and see to it that whoever must know is told."""
    values = change.values | {"version": row["version"] + 1}
    connection.execute(update(ALERT).where(ALERT.c.alert_id == row["alert_id"]).values(values))
    after = {**row, **values}
    # That it was seen once more is counted, and is no event in its life.
    if change.action != "seen":
        _remember(connection, row["alert_id"], now, actor, change.action, row["status"], after["status"], change.note)
    notifications.follow(connection, after, change, now, policy)


def _remember(
    connection: Connection,
    alert_id: str,
    now: datetime,
    actor: str,
    action: str,
    before: str | None,
    after: str | None,
    note: str | None,
) -> None:
    values = {"at": now, "actor": actor, "action": action, "from_state": before, "to_state": after, "note": note}
    connection.execute(insert(ALERT_EVENT), [{"alert_id": alert_id, **values}])
