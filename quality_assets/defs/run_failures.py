"""What a failed run tells: which asset failed, for which dates, and why. Defines no asset."""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from quality_assets.clock import utc_now
from quality_assets.contracts.catalog import SCHEMAS, TABLES, TABLES_BY_NAME
from quality_assets.defs.run_tags import run_partition
from quality_assets.settings import Settings
from quality_assets.stores.failures import failures, record_failure
from quality_assets.stores.snapshots import last_attempt
from quality_assets.tables.faults import report_run_failure, work_name

if TYPE_CHECKING:
    from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun

CHECKS_OF = "checks of "
TOLD = "is_told_of"
"""In the metadata of a failure: runs that it speaks of were told of when they failed."""
_WILL_RETRY = "dagster/will_retry"
_ROOT_RUN = "dagster/root_run_id"


def asset_of_step(step: str) -> str:
    """The asset that a step makes, as schema.table; "checks of schema.table" where it checks one."""
    if step.startswith("check_"):
        schema, _, table = step.removeprefix("check_").partition("_")
        return f"{CHECKS_OF}{schema}.{table}"
    if "__" in step:
        return step.replace("__", ".", 1)
    # Several tables made as one carry the name of the first, without its schema.
    return _by_name().get(step, step)


@lru_cache(maxsize=1)
def _by_name() -> dict[str, str]:
    return {table.name: table.qualified_name for table in reversed(TABLES) if table.schema in SCHEMAS}


def step_cause(event: "DagsterEvent") -> str:
    """What a failed step said: its own words, else what its error was raised with."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    if failure.error:
        # What the step raised; what that was raised from is for the log.
        return without_class((failure.error.cause or failure.error).message)
    return event.message or "no message"


def without_class(message: str) -> str:
    """What an error says, without the full name of its class; a builtin's short name is often half of what it says."""
    return re.sub(r"^(?:\w+\.)+\w+: ", "", message.strip())


PROCESS_GONE = "The process that ran it was killed."
_FROM_OUTSIDE = "marked as failed from outside"


def run_cause(message: str | None) -> str:
    """Why a run failed where none of its steps says so: what watches runs has no words for a process that is gone."""
    return PROCESS_GONE if message and _FROM_OUTSIDE in message else message or "no message"


def unmade(instance: "DagsterInstance", run: "DagsterRun") -> list[str]:
    """The assets that a run was to make and did not, in order: what is behind a run that was killed."""

    from dagster import DagsterEventType

    def keys(kind: "DagsterEventType") -> list[str]:
        events = (
            r.event_log_entry.dagster_event for r in instance.get_records_for_run(run.run_id, of_type=kind).records
        )
        return [".".join(event.asset_key.path) for event in events if event and event.asset_key]

    made = set(keys(DagsterEventType.ASSET_MATERIALIZATION))
    planned = keys(DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    return [asset for asset in dict.fromkeys(planned) if asset not in made]


def tell_of_failure(settings: Settings, run: "DagsterRun", failed: Mapping[str, str], error: str) -> str | None:
    """Keep what a failed run failed at, and raise one alert of it; the alert's words, or None where it is told already.

    A run that is tried again is not told of, nor one that failed by its checks alone, which raise their own alerts; nor
    a publication that is refused for what was told.
    """
    of_run = _dates(run)
    if of_run is None and run_partition(run.tags):
        return _tell_of_part(settings, run, failed, error)
    for asset, cause in failed.items():
        table = TABLES_BY_NAME.get(asset)
        dates = of_run if table is None or table.is_built_by_date else None
        # What an asset said itself while it was made is kept already, by the run that it was.
        if not asset.startswith(CHECKS_OF) and not _is_kept(settings, asset, run.run_id):
            record_failure(settings.published_dir, asset, dates, run_id=run.run_id, cause=cause, failed_at=utc_now())
    if run.tags.get(_WILL_RETRY) == "true" or _is_told(settings, failed):
        return None
    told = {asset: cause for asset, cause in failed.items() if not asset.startswith(CHECKS_OF)}
    words = "; ".join(f"{asset}: {cause}" for asset, cause in told.items()) or error
    return report_run_failure(
        settings,
        job=run.job_name,
        run_id=run.tags.get(_ROOT_RUN, run.run_id),
        partition_key=run_partition(run.tags),
        error=words,
        assets=told,
    )


def _tell_of_part(settings: Settings, run: "DagsterRun", failed: Mapping[str, str], error: str) -> str | None:
    """As `tell_of_failure`, of a run for one watched table: what is built by date knows nothing of it."""
    if run.tags.get(_WILL_RETRY) == "true":
        return None
    part = run_partition(run.tags)
    return report_run_failure(
        settings,
        job=run.job_name,
        run_id=run.tags.get(_ROOT_RUN, run.run_id),
        partition_key=part,
        error="; ".join(dict.fromkeys(failed.values())) or error,
        part=part,
    )


def _dates(run: "DagsterRun") -> tuple[date, date] | None:
    """The dates of a run; None of one that is of none, or of a part that is no date, such as a watched table."""
    start, _, end = run_partition(run.tags).partition("...")
    try:
        return (date.fromisoformat(start), date.fromisoformat(end or start)) if start else None
    except ValueError:
        return None


def work_of(run: "DagsterRun") -> str:
    """What a run did, as `settle_failed_runs` takes it: its job, and of which watched table where it is of one."""
    part = "" if _dates(run) else run_partition(run.tags)
    return work_name(run.job_name, part)


def _is_kept(settings: Settings, asset: str, run_id: str) -> bool:
    return any(each.asset == asset and each.run_id == run_id for each in failures(settings.published_dir))


def _is_told(settings: Settings, failed: Mapping[str, str]) -> bool:
    if failed and all(asset.startswith(CHECKS_OF) for asset in failed):
        return True
    if set(failed) != {"publish.published_snapshot"}:
        return False
    attempt = last_attempt(settings.published_dir)
    if attempt is None or attempt.status != "refused":
        return False
    others = [each for each in failures(settings.published_dir) if not each.asset.startswith("publish.")]
    return bool(others) or attempt.since < attempt.attempted_at
