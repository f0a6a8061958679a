"""Running the graph's jobs in this process, on the Dagster instance of the data root: what the command line does.

The same jobs run from sensors and from the UI; all of them share one history. What is to be run is read from the
warehouse, so an interrupted run is made up for by the next one.
"""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from quality_assets.contracts.catalog import LAKE_TABLES
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.monitoring import RUN_REPORT
from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.product import FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.contracts.table import Table
from quality_assets.dagster_ext.home import open_instance
from quality_assets.dagster_ext.origin import as_run_of_the_graph
from quality_assets.dagster_ext.run_history import forget_old_runs
from quality_assets.defs.dead_runs import end_dead_runs
from quality_assets.defs.run_failures import CHECKS_OF, asset_of_step, step_cause, tell_of_failure
from quality_assets.defs.run_tags import (
    BUILD_AND_REPORT,
    PARTS_OF_THE_CHAIN,
    PROCESS_TAG,
    range_tags,
    run_partition,
)
from quality_assets.domain.features.descriptions import FeatureDescriptionsError
from quality_assets.imports import after_imports
from quality_assets.settings import Settings
from quality_assets.stores.failures import failures
from quality_assets.stores.process_ids import process_name
from quality_assets.stores.snapshots import keep_snapshot_open
from quality_assets.stores.warehouse import WarehouseSession, keep_open, open_warehouse
from quality_assets.tables.champion import (
    MIN_TRAINING_DAYS,
    has_scored,
    is_outgrown,
    is_training_due,
)
from quality_assets.tables.date_ranges import joined_ranges, to_the_end
from quality_assets.tables.descriptions import refresh_descriptions
from quality_assets.tables.experiments.build import experiments_are_stale
from quality_assets.tables.experiments.churn import engagement_is_stale
from quality_assets.tables.experiments.crashes import crash_costs_are_stale
from quality_assets.tables.experiments.lift import lift_is_stale
from quality_assets.tables.failing import DAY_TABLES, dates_to_build_anew, must_score_again, must_train_again
from quality_assets.tables.faults import settle_failed_runs, tell_untold_checks
from quality_assets.tables.impact.due import is_impact_due
from quality_assets.tables.lake_accounts import lake_faults
from quality_assets.tables.lost_alerts import raise_lost
from quality_assets.tables.models import is_scored
from quality_assets.tables.publishing import is_published
from quality_assets.tables.reports import is_reported
from quality_assets.tables.staleness import (
    contiguous_ranges,
    dates_not_over,
    dates_there,
    days_to_build,
    row_counts,
    trends_to_build,
)

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions, ExecuteInProcessResult


@dataclass(frozen=True)
class RunOutcome:
    """How one run of a job ended. `error` is what went wrong, in the words of the steps that `failed_steps` names."""

    job: str
    run_id: str
    succeeded: bool
    partition_key: str
    error: str | None
    failed_checks: tuple[str, ...]
    metadata: Mapping[str, Mapping[str, Any]]
    failed_steps: Mapping[str, str] = field(default_factory=dict)


LANES = ("warehouse", "datasets")
"""The pools of runs: one run of each at a time."""


@contextmanager
def graph_instance(settings: Settings) -> Iterator[DagsterInstance]:
    """The data root's Dagster instance, cleared of what killed processes, and runs of long ago, have left."""
    with open_instance(settings) as instance:
        # Else a lane is without a limit until its first run has begun.
        for pool in LANES:
            instance.event_log_storage.initialize_concurrency_limit_to_default(pool)
        end_dead_runs(instance, settings)
        forget_old_runs(instance, settings.keep_runs, settings.keep_history_mb)
        yield instance


def run_job(
    instance: DagsterInstance,
    settings: Settings,
    job: str,
    dates: tuple[date, date] | None = None,
    config: Mapping[str, Any] | None = None,
    *,
    is_alone: bool = False,
) -> RunOutcome:
    """Run one job here and now, for a range of event dates where it has them; never raises for what the run does.

    `is_alone` says of the job that reads logs that this process runs nothing else.
    """
    from quality_assets.dagster_ext.output_logs import printed_output
    from quality_assets.dagster_ext.termination import ending_when_asked

    # Whoever runs it here sees that it failed, and calls again: the daemon does not.
    tags = {PROCESS_TAG: process_name(os.getpid()), "dagster/max_retries": "0"}
    tags |= range_tags(*dates) if dates else {}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    definition = _graph(is_alone=is_alone).resolve_job_def(job)
    _begin_with_data(settings)
    run_id = str(uuid.uuid4())
    with (
        _ending_on_interrupt(),
        ending_when_asked(instance, run_id),
        keep_open(settings),
        keep_snapshot_open(),
        as_run_of_the_graph(instance, job),
        printed_output(),
    ):
        result = definition.execute_in_process(
            instance=instance, tags=tags, run_config={**quiet, **(config or {})}, raise_on_error=False, run_id=run_id
        )
    failed = _failed_steps(result)
    error = _error(result, failed)
    if not result.success:
        tell_of_failure(settings, result.dagster_run, failed, error or "no message")
    else:
        settle_failed_runs(settings, [job, *(PARTS_OF_THE_CHAIN if job == BUILD_AND_REPORT else ())])
    return RunOutcome(
        job=job,
        run_id=result.run_id,
        succeeded=result.success,
        partition_key=run_partition(tags),
        error=error,
        failed_steps=failed,
        failed_checks=tuple(_failed_checks(result)),
        metadata=_metadata(result),
    )


@contextmanager
def _ending_on_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end where Ctrl-C came: Dagster ends the run, and goes on as if nothing were."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    received = b""
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        with suppress(BlockingIOError):
            received = os.read(reader, 64)
        os.close(reader)
        os.close(writer)
    if signal.SIGINT in received:
        raise KeyboardInterrupt


@cache
def _graph(*, is_alone: bool = False) -> Definitions:
    """The graph, or the part of it that a process takes which reads logs and runs nothing else."""
    if is_alone:
        from quality_assets.reading_graph import reading_graph as load
    else:
        from quality_assets.definitions import defs as load

    graph = load()
    after_imports()
    return graph


def _begin_with_data(settings: Settings) -> None:
    """The run before may have read logs of days before the first."""
    from quality_assets.defs.partitions import begin_with_data

    begin_with_data(settings)


def _failed_steps(result: ExecuteInProcessResult) -> dict[str, str]:
    """Each step that failed, by the asset that it makes or checks, and what it said."""
    return {asset_of_step(str(event.step_key)): step_cause(event) for event in result.get_step_failure_events()}


def _error(result: ExecuteInProcessResult, failed: Mapping[str, str]) -> str | None:
    if len(failed) > 1:
        return "; ".join(f"{asset}: {cause}" for asset, cause in failed.items())
    for cause in failed.values():
        return cause
    return None if result.success else result.get_run_failure_event().message


def _failed_checks(result: ExecuteInProcessResult) -> Iterator[str]:
    for evaluation in result.get_asset_check_evaluations():
        status = evaluation.metadata.get("status")
        if not evaluation.passed and status is not None and status.value == "failed":
            subject = ".".join(evaluation.asset_key.path)
            yield f"{evaluation.severity.value} {subject}: {evaluation.description}"


def _metadata(result: ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.materialization
        values = {key: value.value for key, value in materialization.metadata.items()}
        found.setdefault(".".join(materialization.asset_key.path), {}).update(values)
    return found


def ingest_waiting(
    instance: DagsterInstance,
    settings: Settings,
    source_names: Mapping[str, str] | None = None,
    asked: Sequence[str] = (),
    *,
    is_alone: bool = False,
) -> RunOutcome:
    """Read whatever waits in the landing zone, and files that were `asked` for even if they were rejected before.

    `is_alone` says that this process runs nothing else, and need not load the whole graph.
    """
    config = {"ops": {"raw_logs": {"config": {"source_names": dict(source_names or {}), "asked": list(asked)}}}}
    return run_job(instance, settings, "ingest_logs", config=config, is_alone=is_alone)


def bring_up_to_date(
    instance: DagsterInstance,
    settings: Settings,
    rebuild: tuple[date, date] | None = None,
    *,
    with_models: bool = True,
) -> Iterator[RunOutcome]:
    """Build what is stale or fails, days first, then trends, score and publish; or rebuild a range of dates instead.

    Without models, what looks at all days anew (incidents, risk, drift, the report) waits for the next run with them.
    Yields each run as it ends. A range whose run fails does not stop the others; publication then says what is missing.
    """
    # Publication copies the alerts that there are: those that a backup does not know would be gone for good.
    raise_lost(settings)
    tell_untold_checks(settings)
    with open_warehouse(settings) as session:
        # A file that is wrong is told of by `tables/own_files`, and what was read of it before stands.
        is_described_anew = False
        with suppress(FeatureDescriptionsError):
            is_described_anew = refresh_descriptions(session)
        earlier = _ranges_to_build(session, rebuild)
        rows = _rows_by_date(session)
        if rebuild is None:
            earlier = joined_ranges(earlier, rows)
            earlier = to_the_end(earlier, rows) if with_models else earlier
        is_one_run = with_models and bool(earlier) and can_be_one_run(session, earlier, rows)
        last = earlier.pop() if is_one_run else None
    if is_described_anew and not earlier and last is None:
        _report_made(instance, FEATURE_DESCRIPTIONS)
    for dates in earlier:
        yield run_job(instance, settings, "build_days", dates)
    with open_warehouse(settings) as session:
        due = _what_follows(session, earlier, last, rows, with_models=with_models)
    for dates in due.trends:
        yield run_job(instance, settings, "build_trends", dates)
    if last is not None:
        yield from _in_one_run(instance, settings, last)
    else:
        if due.impact:
            yield run_job(instance, settings, "build_impact")
        if due.scores:
            yield from _score(instance, settings)
    if due.publication:
        yield run_job(instance, settings, "publish" if with_models else "publish_facts")


def _report_made(instance: DagsterInstance, table: Table) -> None:
    """Tell Dagster of what no run of the graph makes, since no day is to be built."""
    from dagster import AssetMaterialization

    from quality_assets.defs.contract_metadata import asset_key

    instance.report_runless_asset_event(AssetMaterialization(asset_key(table)))


@dataclass(frozen=True)
class _Due:
    """What is to be run after the days: trends of these ranges of dates, and which of the rest."""

    trends: Sequence[tuple[date, date]]
    impact: bool
    scores: bool
    publication: bool


def _what_follows(
    session: WarehouseSession,
    built: Sequence[tuple[date, date]],
    coming: tuple[date, date] | None,
    rows: Mapping[date, int],
    *,
    with_models: bool,
) -> _Due:
    """What follows from ranges of dates that were built, and from one that is built with all that follows from it."""
    known = [day for dates in built for day in _days(*dates)]
    # What was built just now and fails would fail again.
    failing = dates_to_build_anew(session, [FEATURE_DAILY_TRENDS]).difference(known)
    stale = failing.union(trends_to_build(session.connection)).difference(_days(*coming) if coming else [])
    trends = joined_ranges(contiguous_ranges(stale), rows)
    has_built = bool(built or trends or coming)
    scores = with_models and (has_built or not is_up_to_date(session) or must_score_again(session))
    impact = with_models and (coming is not None or _is_impact_due(session))
    publication = scores or impact or has_built or not is_published(session)
    # Where the lake is not what was written, publication is what says so.
    publication = publication or any(lake_faults(session, table) for table in LAKE_TABLES)
    # As where it was published, and what follows upon that failed: nothing but a publication ends it.
    failed = failures(session.settings.published_dir)
    publication = publication or any(each.asset.startswith("publish.") for each in failed)
    return _Due(trends, impact, scores, publication)


def _is_impact_due(session: WarehouseSession) -> bool:
    return (
        is_impact_due(session)
        or experiments_are_stale(session)
        or lift_is_stale(session)
        or engagement_is_stale(session)
        or crash_costs_are_stale(session)
    )


def can_be_one_run(session: WarehouseSession, ranges: Sequence[tuple[date, date]], over: Collection[date]) -> bool:
    """Whether the last of these dates, and what follows from them, can be built, scored and reported in one run.

    `over` are all dates that can be built.

    So it is where no later date looks back on them, and no model is to be trained between: the one in use has scored,
    or the dates are too few to train on.
    """
    if must_train_again(session):
        return False
    if not over or ranges[-1][1] < max(over):
        return False
    return has_scored(session) or len(over) < MIN_TRAINING_DAYS


def _in_one_run(instance: DagsterInstance, settings: Settings, dates: tuple[date, date]) -> Iterator[RunOutcome]:
    """Build the newest dates and what follows, score and report; where a part fails, what it held back by itself.

    What fails of one part holds back no other for good: each is made as far as it can be, as by runs of its own.
    """
    whole = run_job(instance, settings, BUILD_AND_REPORT, dates)
    yield whole
    if whole.succeeded:
        with open_warehouse(settings) as session:
            # Only loading, which scoring did, shows that a model that has scored cannot any more.
            must_train = is_training_due(session)
        if must_train:
            yield from _score(instance, settings)
        return
    if _was_held_back(whole, "build_impact"):
        yield run_job(instance, settings, "build_impact")
    if _was_held_back(whole, "score_and_report"):
        yield from _score(instance, settings)
    elif RUN_REPORT.qualified_name not in whole.metadata:
        yield run_job(instance, settings, "report_run")


def _was_held_back(whole: RunOutcome, part: str) -> bool:
    """Whether tables of a part of the run were not made, and none of them failed: what failed was before it."""
    tables = {table.qualified_name for table in PIPELINE.of_stages(*PARTS_OF_THE_CHAIN[part])}
    failed = {asset.removeprefix(CHECKS_OF) for asset in whole.failed_steps}
    return not tables & failed and not tables <= whole.metadata.keys()


def _ranges_to_build(session: WarehouseSession, rebuild: tuple[date, date] | None) -> list[tuple[date, date]]:
    """The days that were asked for, but those that wait for their end; else what is stale, and what fails."""
    if rebuild:
        there = dates_there(session.connection, *rebuild)
        return contiguous_ranges(set(there).difference(dates_not_over(session.connection)))
    days = days_to_build(session.connection)
    return contiguous_ranges({*days, *dates_to_build_anew(session, DAY_TABLES)})


def _rows_by_date(session: WarehouseSession) -> dict[date, int]:
    """The event dates that can be built, and how many events each had when it was built last."""
    built = row_counts(session.connection, VALID_EVENTS)
    there = dates_there(session.connection, date.min, date.max)
    # A date that is not over has something, and is not built.
    return {day: built.get(day, 0) for day in set(there).difference(dates_not_over(session.connection))}


def _days(start: date, end: date) -> list[date]:
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


def is_up_to_date(session: WarehouseSession) -> bool:
    """Whether incidents, risk, drift and report are of the data as they stand, and the model fits them."""
    return is_scored(session) and is_reported(session) and not is_outgrown(session)


def _score(instance: DagsterInstance, settings: Settings) -> Iterator[RunOutcome]:
    """Score and report; train first where no model can score and history is enough. Facts wait for neither."""
    with open_warehouse(settings) as session:
        must_train = is_training_due(session) or must_train_again(session)
    if must_train:
        yield run_job(instance, settings, "train_risk_model")
    outcome = run_job(instance, settings, "score_and_report")
    yield outcome
    if not outcome.succeeded:
        yield run_job(instance, settings, "report_run")
