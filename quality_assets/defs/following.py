"""What is to be asked for after a run has made something, whoever asked for that run. Defines no sensor itself.

It is read from Dagster's own event log which asset was made when, and of which data: see docs/adr/0011.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import dagster as dg
from dagster import DagsterRunStatus as Status

from quality_assets.contracts.drift import (
    DATA_DRIFT,
    EVENT_SKETCH_COUNTS,
)
from quality_assets.contracts.events import RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.impact import ENGAGEMENT_DAYS, RETENTION, SEGMENT_DAYS
from quality_assets.contracts.ml import SCORE_LEDGER
from quality_assets.contracts.monitoring import RUN_REPORT
from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.product import FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.table import Table
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.defs.jobs import build_days, build_impact, build_trends, ingest_logs, publish, score_and_report
from quality_assets.defs.reporting import DATA_FINGERPRINT
from quality_assets.defs.run_tags import BRING_UP_TO_DATE, process_of, range_tags, run_partition
from quality_assets.domain.features.trends import HISTORY_DAYS
from quality_assets.domain.quality.check import Subject
from quality_assets.tables.models import RISK_MODEL
from quality_assets.tables.staleness import contiguous_ranges

READ_ON_FOR_S = 120.0
"""While logs keep coming they are read for so long; then what was read is published first."""

FOLLOWED_WITHIN_S = 45.0
"""Sensors have asked for what follows a run so long after its end."""

# Each is made from the one before it on the same date; sketches as well from the events.
_DAY_CHAIN = (VALID_EVENTS, USER_FEATURE_DAYS, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS)
_DAY_TABLES = tuple(table for table in PIPELINE.of_stages("days", "trends") if table.is_built_by_date)
_IMPACT = PIPELINE.of_stages("impact")
# What is made last of it.
_IMPACT_ENDS = (RETENTION, ENGAGEMENT_DAYS, SEGMENT_DAYS)
_SCORING = PIPELINE.of_stages("model_inputs", "scoring")
_SCORED = (SCORE_LEDGER, DATA_DRIFT)
_FOLLOWED: tuple[Table | Subject, ...] = (
    *PIPELINE.of_stages("days", "trends", "impact", "model_inputs", "scoring", "report"),
    RISK_MODEL,
)
_UNFINISHED = (Status.QUEUED, Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING)


Made = Table | Subject


@dataclass(frozen=True)
class Making:
    """When a table was made last: the event's number in the log, by which run, and of which data, where it says so."""

    storage_id: int
    run_id: str
    fingerprint: str | None


def newest(instance: dg.DagsterInstance) -> dict[Made, Making]:
    """How each table that something follows from was made last."""
    tables = {asset_key(table): table for table in _FOLLOWED}
    found = {}
    for record in instance.get_asset_records(list(tables)):
        last = record.asset_entry.last_materialization_record
        if last is not None:
            metadata = last.asset_materialization.metadata if last.asset_materialization else {}
            value = metadata.get(DATA_FINGERPRINT)
            found[tables[record.asset_entry.asset_key]] = Making(
                last.storage_id, last.run_id, str(value.value) if value else None
            )
    return found


def is_under_way(instance: dg.DagsterInstance, makings: Collection[Making]) -> bool:
    """Whether a run that made one of them has not ended: more of it is to come."""
    runs = map(instance.get_run_by_id, {making.run_id for making in makings})
    return any(run is not None and not run.is_finished for run in runs)


def succeeded(instance: dg.DagsterInstance, made: Mapping[Made, Making]) -> dict[Made, Making]:
    """Those of runs that succeeded and that nobody else follows up.

    What failed is tried again by Dagster or by a person; the command line goes on by itself.
    """
    runs = {run_id: instance.get_run_by_id(run_id) for run_id in {making.run_id for making in made.values()}}
    good = {
        run_id
        for run_id, run in runs.items()
        if run is None or (run.status == Status.SUCCESS and process_of(run) is None)
    }
    return {table: making for table, making in made.items() if making.run_id in good}


def follow_ups(instance: dg.DagsterInstance, made: Mapping[Made, Making], after: int) -> list[dg.RunRequest]:
    """What to ask for, now that `made` was made since event number `after`, by runs that succeeded."""
    key = str(_last(made, list(made)))
    requests = _days_to_build(instance, made, after, key)
    if requests:
        return requests
    requests = _trends_to_build(instance, made, after, key)
    if requests:
        return requests
    # Neither waits for the other: what fails of the one does not keep the other from its readers.
    requests = _impact_to_build(instance, made, key)
    if _must_score(instance, made):
        requests.append(dg.RunRequest(run_key=f"{key}-score", job_name=score_and_report.name))
    if requests:
        return requests
    if RUN_REPORT in made or _runs(made, (*_DAY_TABLES, *_IMPACT)):
        return [dg.RunRequest(run_key=f"{key}-publish", job_name=publish.name)]
    return []


def _runs(made: Mapping[Made, Making], tables: Collection[Made]) -> set[str]:
    return {made[table].run_id for table in tables if table in made}


def _last(made: Mapping[Made, Making], tables: Collection[Made]) -> int:
    return max((made[table].storage_id for table in tables if table in made), default=0)


def _ids(instance: dg.DagsterInstance, table: Table) -> Mapping[str, int]:
    return instance.get_latest_storage_id_by_partition(asset_key(table), dg.DagsterEventType.ASSET_MATERIALIZATION)


def _days_to_build(
    instance: dg.DagsterInstance, made: Mapping[Made, Making], after: int, key: str
) -> list[dg.RunRequest]:
    """Dates of which something was made, and what is made from it was not since: somebody asked for a part alone."""
    if not _runs(made, _DAY_TABLES):
        return []
    ids = {table: _ids(instance, table) for table in (*_DAY_CHAIN, EVENT_SKETCH_COUNTS)}
    pairs = [*pairwise(_DAY_CHAIN), (VALID_EVENTS, EVENT_SKETCH_COUNTS)]
    days = {
        date.fromisoformat(day)
        for upstream, table in pairs
        if upstream in made
        for day, number in ids[upstream].items()
        if number > after and ids[table].get(day, 0) < number
    }
    days -= queued_days(instance, build_days.name)
    return [
        dg.RunRequest(run_key=f"{key}-{start}", job_name=build_days.name, tags=range_tags(start, end))
        for start, end in contiguous_ranges(days)
    ]


def _trends_to_build(
    instance: dg.DagsterInstance, made: Mapping[Made, Making], after: int, key: str
) -> list[dg.RunRequest]:
    """Later dates that look back on facts that were made since their trends were."""
    if FACT_FEATURE_METRICS not in made:
        return []
    facts, trends = _ids(instance, FACT_FEATURE_METRICS), _ids(instance, FEATURE_DAILY_TRENDS)
    changed = {date.fromisoformat(day): number for day, number in facts.items() if number > after}
    later: set[date] = set()
    for day in map(date.fromisoformat, facts):
        past = (day - timedelta(days=back) for back in range(1, HISTORY_DAYS + 1))
        if any(changed.get(each, 0) > trends.get(day.isoformat(), 0) for each in past):
            later.add(day)
    later -= queued_days(instance, build_trends.name)
    return [
        dg.RunRequest(run_key=f"{key}-{start}-trends", job_name=build_trends.name, tags=range_tags(start, end))
        for start, end in contiguous_ranges(later)
    ]


def _impact_to_build(instance: dg.DagsterInstance, made: Mapping[Made, Making], key: str) -> list[dg.RunRequest]:
    """The impact tables, where they were not made of the days as they are now."""
    before = newest(instance)
    built = _newest_of(made, _DAY_TABLES)
    if built is None or all(_is_of(before.get(table), built) for table in _IMPACT_ENDS):
        return []
    return [dg.RunRequest(run_key=f"{key}-impact", job_name=build_impact.name)]


def _must_score(instance: dg.DagsterInstance, made: Mapping[Made, Making]) -> bool:
    """Whether a model was trained, a part of what is scored was made alone, or other data built than were scored."""
    is_trained = RISK_MODEL in made and made[RISK_MODEL].storage_id > _last(made, _SCORED)
    if is_trained or _runs(made, _SCORING) - _runs(made, [RUN_REPORT, RISK_MODEL]):
        return True
    built = _newest_of(made, _DAY_TABLES)
    if built is None:
        return False
    before = newest(instance)
    return not all(_is_of(before.get(table), built) for table in _SCORED)


def _newest_of(made: Mapping[Made, Making], tables: Collection[Made]) -> Making | None:
    return max((made[table] for table in tables if table in made), key=lambda making: making.storage_id, default=None)


def _is_of(making: Making | None, built: Making) -> bool:
    """Whether something was made of the data that were built."""
    return making is not None and built.fingerprint is not None and making.fingerprint == built.fingerprint


def is_queued(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of `job` waits to be started: it will see whatever is there by then."""
    return instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=[Status.QUEUED])) > 0


def queued_days(instance: dg.DagsterInstance, job: str) -> set[date]:
    """The event dates of all runs of `job` that wait to be started."""
    days: set[date] = set()
    for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=[Status.QUEUED])):
        start, _, end = run_partition(run.tags).partition("...")
        if start:
            first, last = date.fromisoformat(start), date.fromisoformat(end or start)
            days |= {first + timedelta(days=n) for n in range((last - first).days + 1)}
    return days


def reading_was_ended(instance: dg.DagsterInstance) -> str:
    """What to do where a person ended the run that read what has landed last; nothing where none did."""
    runs = [run for job in (BRING_UP_TO_DATE, ingest_logs.name) for run in _newest_of_job(instance, job)]
    last = max(runs, key=lambda run: run.storage_id, default=None)
    if last is None or last.dagster_run.status != Status.CANCELED:
        return ""
    return (
        f" The run that read what has landed was ended ({last.dagster_run.run_id}): what it left is read by"
        f" `quality run`, by the job {BRING_UP_TO_DATE}, or with the next file."
    )


def _newest_of_job(instance: dg.DagsterInstance, job: str) -> list[dg.RunRecord]:
    return list(instance.get_run_records(dg.RunsFilter(job_name=job), limit=1))


def why_reading_waits(instance: dg.DagsterInstance, published_at: float | None, now: float) -> str | None:
    """Why logs that have landed wait, if they do: what was read a while ago is under way to its readers.

    `published_at` is when publication was tried last; both are seconds since 1970.
    """
    reads = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset_key(RAW_LOGS), after_timestamp=published_at), limit=20, ascending=True
    ).records
    first = next((read for read in reads if touched_dates(read.asset_materialization)), None)
    if first is None or now - first.timestamp < READ_ON_FOR_S:
        return None
    if not _is_chain_under_way(instance, now):
        return None
    return "What was read is being built, scored and published; what has landed since is read after that."


def _is_chain_under_way(instance: dg.DagsterInstance, now: float) -> bool:
    jobs = (
        *(BRING_UP_TO_DATE, ingest_logs.name, build_days.name, build_trends.name),
        *(build_impact.name, score_and_report.name, publish.name),
    )
    for job in jobs:
        for last in _newest_of_job(instance, job):
            if last.dagster_run.status in _UNFINISHED:
                return True
            is_followed = job not in (publish.name, BRING_UP_TO_DATE) and last.dagster_run.status == Status.SUCCESS
            if is_followed and last.end_time and now - last.end_time < FOLLOWED_WITHIN_S:
                return True
    return False


def touched_dates(materialization: dg.AssetMaterialization | None) -> list[str]:
    """The event dates that an ingestion says are to be built, as ISO dates."""
    value = materialization.metadata.get("touched_dates") if materialization else None
    return [str(day) for day in value.value] if value and isinstance(value.value, list) else []
