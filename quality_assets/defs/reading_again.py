"""What the landing zone's own sensor cannot see: files that are to be read again though nothing about them changed, and
what is to be made anew since people have written something else of it."""

import hashlib
import json
import time

import dagster as dg

from quality_assets.contracts.raw import LOG_FILES
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.defs.following import is_queued
from quality_assets.defs.run_tags import BRING_UP_TO_DATE
from quality_assets.settings import Settings, get_settings
from quality_assets.stores.readers.faults import WAITS
from quality_assets.tables.impact.defined import DEFINED_IN_FILES, DEFINED_IN_FOLDERS

RETRY_AFTER_S = 300.0
"""So long after a reading a file that waits, as for space on the disk, is tried once more."""


@dg.sensor(
    job_name=BRING_UP_TO_DATE,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="What people write has changed (sources, descriptions, definitions): what depends on it is made anew."
    " Or files wait that could not be read just then: they are read again.",
)
def reading_again_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    before: dict[str, str] = json.loads(context.cursor or "{}")
    rules, reading = _rules(get_settings()), _last_reading(context.instance)
    after = before | {"rules": rules}
    if before.get("rules", rules) != rules:
        return _asked(context.instance, after, f"rules-{rules[:16]}-{reading.storage_id if reading else 0}")
    if reading is not None and before.get("tried") != str(reading.storage_id):
        waiting = _waiting(reading)
        if waiting and time.time() - reading.timestamp >= RETRY_AFTER_S:
            return _asked(context.instance, after | {"tried": str(reading.storage_id)}, f"waiting-{reading.storage_id}")
    context.update_cursor(json.dumps(after))
    return dg.SkipReason("Nothing that people write has changed, and no file is due to be tried again.")


def _asked(instance: dg.DagsterInstance, cursor: dict[str, str], run_key: str) -> dg.SensorResult:
    # Whoever waits to read finds by itself what was read by other rules, and what waits.
    requests = [] if is_queued(instance, BRING_UP_TO_DATE) else [dg.RunRequest(run_key=run_key)]
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(cursor))


def _rules(settings: Settings) -> str:
    """A hash of what people have written of logs, features and what is built of them, whatever the files' times."""
    found = hashlib.sha256()
    folders = [*settings.source_folders, *map(settings.defined, (*DEFINED_IN_FOLDERS, "experiments"))]
    files = [settings.feature_metadata_path, *map(settings.defined, DEFINED_IN_FILES)]
    for path in [*sorted(path for folder in folders for path in folder.glob("*.y*ml")), *files]:
        try:
            found.update(f"{path.name}\0".encode() + path.read_bytes())
        except OSError:
            continue  # It is being replaced, and the next look finds it; or there is none.
    return found.hexdigest()


def _last_reading(instance: dg.DagsterInstance) -> dg.EventLogRecord | None:
    filter_ = dg.AssetRecordsFilter(asset_key=asset_key(LOG_FILES))
    records = instance.fetch_materializations(filter_, limit=1).records
    return records[0] if records else None


def _waiting(reading: dg.EventLogRecord) -> list[str]:
    """The files that a reading left for later by no fault of theirs."""
    materialization = reading.asset_materialization
    value = materialization.metadata.get("files_waiting") if materialization else None
    told = value.value if value is not None else []
    return [text for text in told if f": {WAITS}" in text] if isinstance(told, list) else []
