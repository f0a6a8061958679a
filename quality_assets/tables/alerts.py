"""What a person is told: failed runs and failed checks, in monitoring.alert_events.

A failed run may have to be told of while another process holds the warehouse: it goes to an outbox, which whoever
opens the warehouse next empties.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path

import duckdb

from quality_assets.clock import utc_now
from quality_assets.contracts.monitoring import ALERT_EVENTS
from quality_assets.settings import Settings
from quality_assets.stores.files import write_atomically
from quality_assets.stores.warehouse import WarehouseBusyError, open_warehouse

_MAX_MESSAGE_LENGTH = 2000


def outbox(settings: Settings) -> Path:
    """Where alerts wait for the warehouse."""
    return settings.data_dir / ".outbox"


def record_alert(
    connection: duckdb.DuckDBPyConnection,
    *,
    kind: str,
    severity: str,
    subject: str,
    partition_key: str,
    run_id: str,
    message: str,
    raised_at: datetime,
) -> None:
    """Keep one alert, once however often it is raised."""
    alert_id = hashlib.sha256(f"{kind}|{run_id}|{subject}|{partition_key}".encode()).hexdigest()[:16]
    connection.execute(
        f"insert or ignore into {ALERT_EVENTS.qualified_name} by name select $alert_id as alert_id,"
        " $raised_at as raised_at, $kind as kind, $severity as severity, $subject as subject,"
        " $partition_key as partition_key, $run_id as run_id, $message as message",
        {
            "alert_id": alert_id,
            "raised_at": raised_at,
            "kind": kind,
            "severity": severity,
            "subject": subject,
            "partition_key": partition_key,
            "run_id": run_id,
            "message": message,
        },
    )


def report_run_failure(settings: Settings, *, job: str, run_id: str, partition_key: str, error: str) -> str:
    """Put a failed run into the outbox, and say in a sentence what to do."""
    cause = error.strip()[:_MAX_MESSAGE_LENGTH]
    what = f"{job}{f' for {partition_key}' if partition_key else ''}"
    message = (
        f"Run {run_id[:8]} of {what} failed: {cause}"
        " Open the run in the Dagster UI, mend the cause, then `quality run`."
    )
    alert = {
        "kind": "run_failure",
        "severity": "ERROR",
        "subject": job,
        "partition_key": partition_key,
        "run_id": run_id,
        "message": message,
        "raised_at": utc_now().isoformat(),
    }
    folder = outbox(settings)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{run_id}.json", json.dumps(alert))
    return message


def deliver_if_free(settings: Settings) -> bool:
    """Deliver what waits unless another process has the warehouse, whose next step then does; whether it was free."""
    try:
        with open_warehouse(settings, lock_timeout_s=0) as session:
            deliver(session.connection, settings)
    except WarehouseBusyError:
        return False
    return True


def deliver(connection: duckdb.DuckDBPyConnection, settings: Settings) -> int:
    """Move what waits in the outbox to monitoring.alert_events; how many. What cannot be read is put aside there."""
    delivered = 0
    for letter in sorted(outbox(settings).glob("*.json")):
        try:
            alert = json.loads(letter.read_text(encoding="utf-8"))
            record_alert(connection, **{**alert, "raised_at": datetime.fromisoformat(alert["raised_at"])})
        except (ValueError, KeyError, TypeError):
            letter.replace(letter.with_suffix(".unreadable"))
            continue
        letter.unlink(missing_ok=True)
        delivered += 1
    return delivered
