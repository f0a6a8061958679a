"""Who is silent: a shadow or canary of which nothing was asked for an hour is told of in the book of alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.quality.alerting import Fault
from quality_assets.settings import Settings
from quality_assets.stores.canaries import running_canary
from quality_assets.stores.logged_predictions import logged_rows
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.shadows import shadow_starts
from quality_assets.tables.alerts import raise_fault, resolve_gone

KIND = "shadow"
SILENT_AFTER = timedelta(hours=1)
_LOOK_EVERY = timedelta(minutes=5)
_LOOKED = "shadows.looked"


def watch_shadows(settings: Settings, now: datetime | None = None, *, at_once: bool = False) -> list[Fault]:
    """Tell of silent versions, and resolve what is asked again; those that are silent.

    Looked at every five minutes, however often it is called, unless `at_once`.
    """
    moment = now or utc_now()
    stamp = settings.outbox_dir / _LOOKED
    if not at_once and stamp.exists() and moment.timestamp() - stamp.stat().st_mtime < _LOOK_EVERY.total_seconds():
        return []
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()
    found = [fault for name in TABULAR for fault in _silent(settings, name, moment)]
    with operations_of(settings).write() as connection:
        for fault in found:
            raise_fault(connection, fault, now=moment)
        resolve_gone(connection, KIND, [fault.fingerprint for fault in found], now=moment)
    return found


def _silent(settings: Settings, name: str, now: datetime) -> Iterator[Fault]:
    began = shadow_starts(settings.models_dir, name)
    canary = running_canary(settings, name)
    if canary is not None:
        began[canary.version] = datetime.fromisoformat(canary.since).replace(tzinfo=None)
    due = {version: since for version, since in began.items() if since is None or now - since > SILENT_AFTER}
    if not due:
        return
    rows = logged_rows(settings, name, (now - SILENT_AFTER).date(), ["request_id", "model", "model_version", "at"])
    asked = set(rows.loc[rows["at"] > now - SILENT_AFTER, "model_version"]) if len(rows) else set()
    for version in sorted(set(due) - asked):
        yield Fault(
            kind=KIND,
            subject=f"ml.{name}_model",
            check_name=f"silence {version}",
            title=f"Nothing was asked of version {version} of {name} for an hour",
            message=f"Version {version} is asked beside the one in use, and no request has reached it for an hour: no"
            " verdict comes of that.",
            severity="medium",
            action=f"See whether the server of models runs and is asked: quality shadow show {name}.",
        )
