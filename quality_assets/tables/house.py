"""The house watches itself: how its processes, stores and disk are, and which of that people are told of.

One function says how things stand, for the page, the API and the alerts alike.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from quality_assets.clock import ahead_of_clock, utc_now
from quality_assets.contracts.owners import HOUSE_OWNER
from quality_assets.domain.quality import alerting
from quality_assets.domain.quality.alerting import Fault
from quality_assets.domain.wording import capitalised, duration_text, plural
from quality_assets.settings import Settings
from quality_assets.stores.operations.alert_tables import ALERT, CHANNEL, NOTIFICATION
from quality_assets.stores.operations.engine import why_not_writable
from quality_assets.stores.operations.store import fetch, operations_of
from quality_assets.stores.process_ids import is_alive
from quality_assets.stores.root_copies import LET_IT_TELL, original_of
from quality_assets.stores.servers import recorded_servers
from quality_assets.stores.snapshots import current_snapshot
from quality_assets.tables.alerts import raise_fault, resolve_gone
from quality_assets.tables.house_settings import value_of
from quality_assets.tables.own_files import wrong_files

OK, WARNING, FAILING, UNKNOWN = "ok", "warning", "failing", "unknown"
_MEGABYTE = 1 << 20
_SERVERS = {"serve": "quality serve", "dagster": "Dagster", "dashboard": "Dashboard"}
_CONFIGURATION, _NOTIFICATIONS = "Configuration", "Notifications"
_ACTION = "`quality doctor` says what is wrong; `quality serve` starts the servers."
_ACTIONS = {
    "Published snapshot": "`quality run`, or see why publication is refused: `quality status`.",
    "Clock": "Set it right; `quality withdraw` takes out what came of days to come. Until the clock has reached that"
    " publication, new ones are of a second after it.",
    _NOTIFICATIONS: f"{LET_IT_TELL}, from now on.",
    _CONFIGURATION: "Mend the file that is named; this ends by itself.",
}
# Two beats of the sensor may be missed before anybody wonders.
BEAT = "daemon.beat"


@dataclass(frozen=True)
class Part:
    """How one part of the house is: a process, a store, a disk, the outbox. `since` is UTC without zone."""

    name: str
    kind: str
    status: str
    sentence: str
    since: datetime | None = None

    def as_row(self) -> dict[str, Any]:
        """The part as a row."""
        return asdict(self)


def beat(settings: Settings) -> None:
    """Say that Dagster's daemon is at work: its sensors call this."""
    folder = settings.outbox_dir
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BEAT).touch()


def parts(settings: Settings, now: datetime | None = None) -> list[Part]:
    """How every part of the house is just now."""
    moment = now or utc_now()
    found = [*_processes(settings)]
    store, connection_parts = _operations(settings, moment)
    found += [*connection_parts, store, *_files(settings), _snapshot(settings, moment), _clock(settings, moment)]
    return [*found, _own_files(settings)]


def _processes(settings: Settings) -> Iterator[Part]:
    """The servers that `quality serve` started, as it wrote them down; none of them where it does not run."""
    names = recorded_servers(settings.data_dir) or {}
    for what, said in _SERVERS.items():
        if what not in names:
            yield Part(said, "process", UNKNOWN, "It was not started by `quality serve`.")
        elif is_alive(names[what]):
            yield Part(said, "process", OK, f"It runs, as process {names[what].partition(':')[0]}.")
        else:
            yield Part(said, "process", FAILING, "It has ended by itself; data/logs has its last words.")


def _operations(settings: Settings, now: datetime) -> tuple[Part, list[Part]]:
    """The operations store, and what it says of daemon, outbox, disk: their limits are settings."""
    name = "PostgreSQL" if settings.operations_url else "operations.db"
    started = time.perf_counter()
    try:
        with operations_of(settings).read() as connection:
            if why := why_not_writable(connection):
                return Part(f"Operations store ({name})", "store", FAILING, f"It cannot be written: {why}"), []
            found = [
                _daemon(settings, value_of(connection, "house.daemon_silent_s"), now),
                _disk(settings, value_of(connection, "house.least_free_mb")),
                _outbox(settings, connection, now),
            ]
    except DBAPIError as error:
        return Part(f"Operations store ({name})", "store", FAILING, f"It does not answer: {error.orig}".strip()), []
    took = (time.perf_counter() - started) * 1000
    return Part(f"Operations store ({name})", "store", OK, f"It answers in {duration_text(took)}."), found


def _daemon(settings: Settings, silent_s: float, now: datetime) -> Part:
    try:
        stamp = (settings.outbox_dir / BEAT).stat().st_mtime
    except FileNotFoundError:
        return Part("Daemon", "process", UNKNOWN, "Its sensors have not run in this data root yet: `quality serve`.")
    last = datetime.fromtimestamp(stamp, UTC).replace(tzinfo=None)
    ago = max((now - last).total_seconds(), 0.0)
    if ago <= silent_s:
        return Part("Daemon", "process", OK, f"Its sensors ran {duration_text(ago * 1000)} ago.", last)
    sentence = f"Its sensors have not run for {duration_text(ago * 1000)}: what arrives is not looked at."
    return Part("Daemon", "process", FAILING, sentence, last)


def _disk(settings: Settings, least_mb: float) -> Part:
    there = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    free, total = shutil.disk_usage(there).free / _MEGABYTE, shutil.disk_usage(there).total / _MEGABYTE
    sentence = f"{free:,.0f} MB of {total:,.0f} MB are free where the data root lies."
    return Part("Disk", "disk", OK if free >= least_mb else FAILING, sentence)


def _outbox(settings: Settings, connection: Connection, now: datetime) -> Part:
    if original := original_of(settings):
        sentence = f"This data root is a copy of {original}, which tells people; nothing is told from here."
        return Part(_NOTIFICATIONS, "outbox", FAILING, sentence)
    waiting = select(func.count()).select_from(NOTIFICATION).where(NOTIFICATION.c.status.in_(("pending", "sending")))
    late = int(connection.execute(waiting.where(NOTIFICATION.c.due_at < now - timedelta(minutes=10))).scalar() or 0)
    broken = select(func.count()).select_from(CHANNEL).where(CHANNEL.c.last_error.is_not(None), CHANNEL.c.is_active)
    failing = int(connection.execute(broken).scalar() or 0)
    if late or failing:
        words = [plural(late, "notification is late", "notifications are late")] if late else []
        words += [plural(failing, "channel does not deliver", "channels do not deliver")] if failing else []
        return Part(_NOTIFICATIONS, "outbox", WARNING, f"{' and '.join(words)}.")
    return Part(
        _NOTIFICATIONS, "outbox", OK, f"{plural(int(connection.execute(waiting).scalar() or 0), 'waits', 'wait')}."
    )


def _files(settings: Settings) -> Iterator[Part]:
    path = settings.warehouse_path
    if path.exists():
        size = path.stat().st_size / _MEGABYTE
        yield Part("Warehouse", "store", OK, f"{size:,.0f} MB in {path.name}.")
    else:
        yield Part("Warehouse", "store", UNKNOWN, "There is none yet: `quality ingest`, or `quality demo`.")


def _snapshot(settings: Settings, now: datetime) -> Part:
    snapshot = current_snapshot(settings.published_dir)
    if snapshot is None:
        return Part("Published snapshot", "store", UNKNOWN, "None is published yet: `quality run`.")
    late_h = _late_h(settings)
    age = now - snapshot.published_at
    words = f"{snapshot.version}, published {duration_text(max(age.total_seconds(), 0) * 1000)} ago."
    return Part(
        "Published snapshot", "store", OK if age <= timedelta(hours=late_h) else FAILING, words, snapshot.published_at
    )


def _clock(settings: Settings, now: datetime) -> Part:
    snapshot = current_snapshot(settings.published_dir)
    wrong = ahead_of_clock(snapshot.published_at, now) if snapshot is not None else None
    sentence = f"{capitalised(wrong)}." if wrong else f"It says {now:%Y-%m-%d %H:%M} UTC, and nothing lies ahead of it."
    return Part("Clock", "machine", FAILING if wrong else OK, sentence)


def _own_files(settings: Settings) -> Part:
    """What people wrote in YAML and CSV: nothing else says that a change of it was not taken up."""
    wrong = wrong_files(settings)
    said = " ".join(f"{capitalised(sentence).rstrip('.')}." for sentence in wrong)
    return Part(_CONFIGURATION, "files", FAILING if wrong else OK, said or "What people wrote can be used.")


def _late_h(settings: Settings) -> float:
    try:
        with operations_of(settings).read() as connection:
            return float(value_of(connection, "house.publication_late_h"))
    except DBAPIError:
        return 36.0


def worst(found: list[Part]) -> str:
    """The worst status of several parts; what is unknown is no fault."""
    statuses = {part.status for part in found}
    return next((status for status in (FAILING, WARNING, OK) if status in statuses), UNKNOWN)


def watch(settings: Settings, now: datetime | None = None) -> list[Part]:
    """Tell of what fails of the house, and resolve what no longer does; how all of it is."""
    moment = now or utc_now()
    found = parts(settings, moment)
    failing = [part for part in found if part.status == FAILING and _is_news(settings, part)]
    faults = [_fault(part) for part in failing]
    store = operations_of(settings)
    is_live = ALERT.c.status != alerting.RESOLVED, ALERT.c.kind.in_(("house", "lateness"))
    with store.read() as connection:
        live = fetch(connection, select(ALERT).where(*is_live))
    known = {row["fingerprint"]: row["message"] for row in live}
    # What other parts say is of the moment, as how long ago something was; which files are wrong is news by itself.
    news = [
        fault
        for fault in faults
        if fault.fingerprint not in known
        or (fault.subject == _CONFIGURATION and fault.message != known[fault.fingerprint])
    ]
    if not news and set(known) == {fault.fingerprint for fault in faults}:
        return found
    with store.write() as connection:
        for fault in news:
            raise_fault(connection, fault, now=moment)
        for kind in ("house", "lateness"):
            own = [fault.fingerprint for fault in faults if fault.kind == kind]
            resolve_gone(connection, kind, [*own, *_of_others(live, kind)], now=moment)
    return found


def _of_others(live: list[dict[str, Any]], kind: str) -> list[str]:
    """Lateness of datasets is told, and settled, by whoever watches them."""
    return [row["fingerprint"] for row in live if row["kind"] == kind and not row["check_name"].startswith("house ")]


def _is_news(settings: Settings, part: Part) -> bool:
    """Whether a part is expected to work: what nobody has started is no fault."""
    return part.name != "Daemon" or recorded_servers(settings.data_dir) is not None


def _fault(part: Part) -> Fault:
    is_late = part.name == "Published snapshot"
    return Fault(
        kind="lateness" if is_late else "house",
        subject=part.name,
        check_name=f"house {part.kind}",
        title="Nothing new was published" if is_late else f"{part.name} needs a look",
        message=part.sentence,
        severity="critical" if part.kind == "disk" else "high",
        action=_ACTIONS.get(part.name, _ACTION),
        owner=HOUSE_OWNER,
        subjects=(("system", part.name),),
    )
