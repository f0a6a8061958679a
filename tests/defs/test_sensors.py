"""What sensors and schedules request, and what they do not, on an instance in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.events import StepMaterializationData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._utils.schedules import cron_string_iterator
from filelock import FileLock
from services import alert_rows

from quality_assets.catching_up import bring_up_to_date_job
from quality_assets.contracts.drift import DATA_DRIFT, EVENT_SKETCH_COUNTS
from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.impact import ENGAGEMENT_DAYS, RETENTION, SEGMENT_DAYS
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.ml import RISK_SCORES, SCORE_LEDGER
from quality_assets.contracts.monitoring import RUN_REPORT
from quality_assets.contracts.product import FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.table import Table
from quality_assets.defs import schedules, sensors
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.defs.following import FOLLOWED_WITHIN_S, READ_ON_FOR_S, why_reading_waits
from quality_assets.defs.jobs import (
    build_days,
    build_impact,
    build_trends,
    publish,
    score_and_report,
    train_risk_model,
)
from quality_assets.defs.publish.assets import _is_overtaken
from quality_assets.defs.run_tags import PROCESS_TAG, RANGE_END, RANGE_START, range_tags
from quality_assets.defs.schedules import daily_catch_up, weekly_training
from quality_assets.domain.features.trends import HISTORY_DAYS
from quality_assets.domain.quality.check import Subject
from quality_assets.runner import RunOutcome
from quality_assets.settings import Settings
from quality_assets.stores.process_ids import process_name
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables import drift as drift_tables
from quality_assets.tables import models as risk_tables
from quality_assets.tables.faults import report_run_failure
from quality_assets.tables.models import RISK_MODEL
from quality_assets.tables.publishing import publish_warehouse

WriteEvents = Callable[..., Path]
DAY = date(2025, 3, 3)


@pytest.fixture
def memory() -> Iterator[dg.DagsterInstance]:
    """An instance of this test's own: what a sensor sees is what the test has reported."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Sensor:
    """A sensor that is looked at again and again, as the daemon does: each look goes on from the last one's cursor."""

    def __init__(self, definition: dg.SensorDefinition, instance: dg.DagsterInstance) -> None:
        self.definition, self.instance = definition, instance
        self.cursor: str | None = None
        self.skipped: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        """What one look requests; `skipped` says why nothing, where a reason was given."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        found = self.definition(context)
        self.cursor = context.cursor
        self.skipped = found.skip_message if isinstance(found, dg.SkipReason) else None
        if not isinstance(found, dg.SensorResult):
            return []
        self.cursor = found.cursor
        return list(found.run_requests or [])


@pytest.fixture
def landing(memory: dg.DagsterInstance, data_root: Settings) -> Sensor:
    """The sensor on an empty landing zone."""
    data_root.landing_dir.mkdir(parents=True)
    return Sensor(sensors.landing_zone_sensor, memory)


@pytest.fixture
def touched(memory: dg.DagsterInstance, data_root: Settings) -> Sensor:
    """The sensor on an instance that has seen no logs."""
    return Sensor(sensors.touched_dates_sensor, memory)


def _logs_read(instance: dg.DagsterInstance, days: Iterable[date]) -> None:
    metadata = {"touched_dates": [day.isoformat() for day in days]}
    instance.report_runless_asset_event(dg.AssetMaterialization(asset_key(RAW_LOGS), metadata=metadata))


def _facts_built(instance: dg.DagsterInstance, *days: date) -> None:
    for day in days:
        event = dg.AssetMaterialization(asset_key(FACT_FEATURE_METRICS), partition=day.isoformat())
        instance.report_runless_asset_event(event)


def _ranges(requests: Iterable[dg.RunRequest]) -> list[tuple[str, str]]:
    return [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in requests]


def _after(days: int) -> date:
    return DAY + timedelta(days=days)


def test_landed_file_is_read_once_it_is_stable(landing: Sensor, write_events: WriteEvents) -> None:
    assert landing.tick() == []
    assert landing.skipped == "Nothing new has landed."
    path = write_events("a.csv", {DAY: 3})
    assert landing.tick() == []
    assert "waited for" in (landing.skipped or "")
    with path.open("a") as stream:
        stream.write("half a row")
    assert landing.tick() == [], "its size has changed since the last look"
    (request,) = landing.tick()
    assert request.run_key
    assert landing.tick() == []
    assert landing.skipped == "Nothing new has landed."


@pytest.mark.parametrize("job", ["bring_up_to_date", "ingest_logs"])
def test_what_a_person_has_ended_is_told_until_it_is_read(
    landing: Sensor, memory: dg.DagsterInstance, job: str
) -> None:
    def ended(status: dg.DagsterRunStatus) -> str:
        return memory.add_run(dg.DagsterRun(job_name=job, status=status)).run_id

    run_id = ended(dg.DagsterRunStatus.CANCELED)
    landing.tick()
    assert landing.skipped == (
        f"Nothing new has landed. The run that read what has landed was ended ({run_id}): what it left is read by"
        " `quality run`, by the job bring_up_to_date, or with the next file."
    )
    ended(dg.DagsterRunStatus.SUCCESS)
    landing.tick()
    assert landing.skipped == "Nothing new has landed."


def test_cursor_stays_short_and_a_lost_or_foreign_memory_is_made_anew(
    landing: Sensor, write_events: WriteEvents, data_root: Settings
) -> None:
    for number in range(50):
        write_events(f"{number}.csv", {DAY: 1}, prefix=str(number))
    landing.tick()
    (first,) = landing.tick()
    assert landing.tick() == []
    assert len(landing.cursor or "") < 50, "Dagster keeps the cursor of every look"
    seen = data_root.dagster_home / "landing_seen.json"
    kept = seen.read_text()
    for lost in (lambda: seen.unlink(), lambda: seen.write_text('{"sizes": {}, "known": {}}')):
        lost()
        assert landing.tick() == []
        (again,) = landing.tick()
        assert again.run_key == first.run_key
        assert seen.read_text() == kept


def test_half_copied_file_does_not_hold_up_a_whole_one(landing: Sensor, write_events: WriteEvents) -> None:
    write_events("whole.csv", {DAY: 3})
    growing = write_events("growing.csv", {DAY: 1}, prefix="g")
    landing.tick()
    growing.write_text(growing.read_text() + "more\n")
    assert len(landing.tick()) == 1
    assert landing.skipped is None
    growing.write_text(growing.read_text() + "still more\n")
    assert landing.tick() == []
    assert len(landing.tick()) == 1


def test_same_bytes_under_another_name_have_the_same_run_key(landing: Sensor, write_events: WriteEvents) -> None:
    path = write_events("a.csv", {DAY: 3})
    landing.tick()
    (first,) = landing.tick()
    (path.parent / "again.csv").write_bytes(path.read_bytes())
    landing.tick()
    (second,) = landing.tick()
    assert second.run_key == first.run_key, "Dagster starts no second run for a key that it knows"
    write_events("b.csv", {DAY: 4})
    landing.tick()
    (third,) = landing.tick()
    assert third.run_key != first.run_key


def test_file_that_vanishes_is_let_go_and_is_new_when_it_comes_back(
    landing: Sensor, write_events: WriteEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_events("a.csv", {DAY: 3})
    landing.tick()
    hashed = sensors.sha256_of

    def vanished(path: Path) -> str:
        path.unlink()
        return hashed(path)

    with monkeypatch.context() as patch:
        patch.setattr(sensors, "sha256_of", vanished)
        assert landing.tick() == []
    assert not path.exists()
    assert landing.tick() == []
    assert landing.skipped == "Nothing new has landed."
    write_events("a.csv", {DAY: 3})
    assert landing.tick() == []
    assert len(landing.tick()) == 1


@pytest.mark.parametrize("name", [".hidden.csv", "a.csv.part", "a.csv.tmp", "a.csv.crdownload", ".git/a.csv"])
def test_what_is_being_written_is_not_looked_at(landing: Sensor, write_events: WriteEvents, name: str) -> None:
    write_events(name, {DAY: 3})
    assert (landing.tick(), landing.tick()) == ([], [])
    assert landing.skipped == "Nothing new has landed."


def test_link_out_of_the_landing_zone_is_not_followed(landing: Sensor, data_root: Settings, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("event_time,feature,status\n")
    (data_root.landing_dir / "link.csv").symlink_to(outside)
    assert (landing.tick(), landing.tick()) == ([], [])


def test_what_the_snapshot_knows_is_not_read_again(memory: dg.DagsterInstance, built_copy: Settings) -> None:
    with open_warehouse(built_copy) as session:
        publish_warehouse(session, "a-run")
    sensor = Sensor(sensors.landing_zone_sensor, memory)
    assert (sensor.tick(), sensor.tick()) == ([], [])
    assert sensor.skipped == "Nothing new has landed."
    (built_copy.landing_dir / "new.csv").write_text("event_time,feature,status\n2026-01-01T00:00:00Z,a,ok\n")
    sensor.tick()
    assert len(sensor.tick()) == 1


def test_touched_dates_are_requested_as_contiguous_ranges(touched: Sensor) -> None:
    assert touched.tick() == []
    assert touched.skipped == "No logs were read since the last look."
    _logs_read(touched.instance, map(_after, (0, 1, 2, 9)))
    _logs_read(touched.instance, map(_after, (3, 20)))
    requests = touched.tick()
    assert _ranges(requests) == [(str(_after(a)), str(_after(b))) for a, b in ((0, 3), (9, 9), (20, 20))]
    assert len({request.run_key for request in requests}) == 3
    assert touched.tick() == [], "each materialization is looked at once"


def test_same_dates_touched_again_are_requested_again(touched: Sensor) -> None:
    _logs_read(touched.instance, [DAY])
    (first,) = touched.tick()
    _logs_read(touched.instance, [DAY])
    (second,) = touched.tick()
    assert _ranges([first]) == _ranges([second])
    assert first.run_key != second.run_key


def test_dates_built_since_they_were_touched_are_not_requested(touched: Sensor) -> None:
    _facts_built(touched.instance, _after(0))
    _logs_read(touched.instance, map(_after, (0, 1, 2)))
    _facts_built(touched.instance, _after(1))
    assert _ranges(touched.tick()) == [(str(_after(0)), str(_after(0))), (str(_after(2)), str(_after(2)))]


def test_dates_that_have_no_partition_are_left_out(touched: Sensor) -> None:
    today = datetime.now(UTC).date()
    _logs_read(touched.instance, [date(1970, 1, 1), DAY, *(today + timedelta(days=n) for n in (2, 3, 400))])
    assert _ranges(touched.tick()) == [(str(DAY), str(DAY))]


def test_a_day_is_requested_only_when_it_is_over(touched: Sensor) -> None:
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)
    _logs_read(touched.instance, [yesterday, today, today + timedelta(days=1)])
    assert _ranges(touched.tick()) == [(str(yesterday), str(yesterday))]


def test_logs_that_touched_nothing_request_nothing(touched: Sensor) -> None:
    _logs_read(touched.instance, [])
    touched.instance.report_runless_asset_event(dg.AssetMaterialization(asset_key(RAW_LOGS)))
    assert touched.tick() == []
    assert touched.skipped is None
    assert touched.tick() == []
    assert touched.skipped is not None


def test_what_a_living_process_read_it_builds_itself(touched: Sensor) -> None:
    mine, gone = process_name(os.getpid()), "999999:1"
    _made(touched.instance, RAW_LOGS, run=_run(touched.instance, **{PROCESS_TAG: mine}))
    assert touched.tick() == []
    assert touched.skipped == "Whoever read them builds what they touched."
    event = dg.AssetMaterialization(asset_key(RAW_LOGS), metadata={"touched_dates": [DAY.isoformat()]})
    made = dg.DagsterEvent("ASSET_MATERIALIZATION", "any", event_specific_data=StepMaterializationData(event))
    touched.instance.report_dagster_event(made, run_id=_run(touched.instance, **{PROCESS_TAG: gone}))
    assert _ranges(touched.tick()) == [(str(DAY), str(DAY))], "one that was killed builds nothing"


def test_what_is_queued_already_is_not_requested_for_the_same_days(
    touched: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = [dg.DagsterRun(job_name="build_days", tags=range_tags(DAY, _after(1)))]
    queued += [dg.DagsterRun(job_name="build_days", tags={"dagster/partition": str(_after(4))})]
    monkeypatch.setattr(touched.instance, "get_runs", lambda _: queued)
    _logs_read(touched.instance, map(_after, (1, 2, 4)))
    assert _ranges(touched.tick()) == [(str(_after(2)), str(_after(2)))]


@pytest.mark.parametrize(
    ("read_for_s", "published_s_ago", "status", "ended_s_ago", "waits"),
    [
        (READ_ON_FOR_S + 5, None, dg.DagsterRunStatus.STARTED, None, True),
        (READ_ON_FOR_S - 5, None, dg.DagsterRunStatus.STARTED, None, False),
        (READ_ON_FOR_S + 5, None, dg.DagsterRunStatus.SUCCESS, FOLLOWED_WITHIN_S - 5, True),
        (READ_ON_FOR_S + 5, None, dg.DagsterRunStatus.SUCCESS, FOLLOWED_WITHIN_S + 5, False),
        (READ_ON_FOR_S + 5, None, dg.DagsterRunStatus.FAILURE, 1, False),
        (READ_ON_FOR_S + 5, READ_ON_FOR_S + 1, dg.DagsterRunStatus.STARTED, None, False),
    ],
    ids=["under way", "not for long", "followed soon", "followed by nothing", "failed", "published since"],
)
def test_while_logs_keep_coming_what_was_read_is_published_before_more_is_read(
    memory: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    read_for_s: float,
    published_s_ago: float | None,
    status: dg.DagsterRunStatus,
    ended_s_ago: float | None,
    *,
    waits: bool,
) -> None:
    _logs_read(memory, [])
    _logs_read(memory, [DAY])
    (last,) = memory.fetch_materializations(asset_key(RAW_LOGS), limit=1).records
    now = last.timestamp + read_for_s
    run = SimpleNamespace(
        dagster_run=SimpleNamespace(status=status), end_time=None if ended_s_ago is None else now - ended_s_ago
    )
    monkeypatch.setattr(
        memory, "get_run_records", lambda filters, limit: [run] if filters.job_name == score_and_report.name else []
    )
    published_at = None if published_s_ago is None else now - published_s_ago
    assert bool(why_reading_waits(memory, published_at, now)) is waits


def test_files_that_wait_for_a_publication_are_read_after_it(
    landing: Sensor, write_events: WriteEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    why: list[str | None] = ["What was read is being built.", None]
    monkeypatch.setattr(sensors, "why_reading_waits", lambda *_: why.pop(0))
    write_events("a.csv", {DAY: 3})
    landing.tick()
    assert landing.tick() == []
    assert landing.skipped == "1 files have landed. What was read is being built."
    assert len(landing.tick()) == 1


def test_many_arrivals_are_taken_up_over_several_looks(touched: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "MAX_MATERIALIZATIONS_A_TICK", 3)
    for number in range(7):
        _logs_read(touched.instance, [_after(2 * number)])
    found = [_ranges(touched.tick()) for _ in range(4)]
    assert [len(ranges) for ranges in found] == [3, 3, 1, 0]
    assert [start for ranges in found for start, _ in ranges] == [str(_after(2 * n)) for n in range(7)]


def _ended(
    instance: dg.DagsterInstance, definition: dg.SensorDefinition, job: str, tags: dict[str, str], error: str = ""
) -> dg.RunStatusSensorContext:
    """The context of a sensor that is told that a run of `job` has ended, failed where there is an error."""
    run = instance.add_run(dg.DagsterRun(job_name=job, tags=tags))
    kind = dg.DagsterEventType.RUN_FAILURE if error else dg.DagsterEventType.RUN_SUCCESS
    event = dg.DagsterEvent(event_type_value=kind.value, job_name=job, message=error or None)
    return dg.build_run_status_sensor_context(
        sensor_name=definition.name, dagster_event=event, dagster_instance=instance, dagster_run=run
    )


def _made(
    instance: dg.DagsterInstance, *tables: Table | Subject, days: Iterable[date] = (), run: str = "", data: str = ""
) -> None:
    """Materializations of `tables`, in their order, by run `run`: of each of `days`, or of no date."""
    for table in tables:
        for partition in [day.isoformat() for day in days] or [None]:
            event = dg.AssetMaterialization(
                asset_key(table), partition=partition, metadata={"data_fingerprint": data} if data else {}
            )
            made = dg.DagsterEvent("ASSET_MATERIALIZATION", "any", event_specific_data=StepMaterializationData(event))
            instance.report_dagster_event(made, run_id=run)


def _run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS, **tags: str) -> str:
    return instance.add_run(dg.DagsterRun(job_name="any", status=status, tags=tags)).run_id


DAY_CHAIN = (
    VALID_EVENTS,
    QUARANTINED_EVENTS,
    USER_FEATURE_DAYS,
    FACT_FEATURE_METRICS,
    FEATURE_DAILY_TRENDS,
    EVENT_SKETCH_COUNTS,
)
IMPACT = (RETENTION, ENGAGEMENT_DAYS, SEGMENT_DAYS)
SCORED = (INCIDENTS, RISK_SCORES, SCORE_LEDGER, DATA_DRIFT, RUN_REPORT)


@pytest.fixture
def follow(memory: dg.DagsterInstance) -> Sensor:
    """The sensor on an instance in which nothing was made."""
    return Sensor(sensors.follow_up_sensor, memory)


def _jobs(requests: Iterable[dg.RunRequest]) -> list[str | None]:
    return [request.job_name for request in requests]


def test_days_that_were_built_are_scored_and_what_was_scored_is_published(follow: Sensor) -> None:
    assert (follow.tick(), follow.skipped) == ([], "Nothing was made since the last look.")
    _made(follow.instance, *DAY_CHAIN, days=[DAY], run=_run(follow.instance), data="a")
    # Neither waits for the other.
    assert _jobs(follow.tick()) == [build_impact.name, score_and_report.name]
    assert follow.tick() == []
    _made(follow.instance, *IMPACT, *SCORED, run=_run(follow.instance), data="a")
    (publication,) = follow.tick()
    assert publication.job_name == publish.name


def test_many_builds_between_two_looks_are_scored_once(follow: Sensor) -> None:
    for number in range(5):
        _made(
            follow.instance, *DAY_CHAIN, days=[_after(2 * HISTORY_DAYS * number)], run=_run(follow.instance), data="a"
        )
    assert _jobs(follow.tick()) == [build_impact.name, score_and_report.name]


def test_the_same_data_built_again_are_not_scored_again(follow: Sensor) -> None:
    _made(follow.instance, *DAY_CHAIN, days=[DAY], run=_run(follow.instance), data="a")
    _made(follow.instance, *IMPACT, *SCORED, run=_run(follow.instance), data="a")
    follow.tick()
    _made(follow.instance, *DAY_CHAIN, days=[DAY], run=_run(follow.instance), data="a")
    # Whether readers have them is known to the publication, which then does nothing.
    assert _jobs(follow.tick()) == [publish.name]
    _made(follow.instance, *DAY_CHAIN, days=[DAY], run=_run(follow.instance), data="b")
    assert _jobs(follow.tick()) == [build_impact.name, score_and_report.name]


@pytest.mark.parametrize("part", [1, 3, 4])
def test_a_part_of_a_day_that_somebody_asked_for_is_followed_by_the_rest(follow: Sensor, part: int) -> None:
    _made(follow.instance, *DAY_CHAIN, days=[DAY, _after(1), _after(3)], run=_run(follow.instance), data="a")
    follow.tick()
    _made(follow.instance, *DAY_CHAIN[:part], days=[DAY, _after(1)], run=_run(follow.instance), data="b")
    (request,) = follow.tick()
    assert request.job_name == build_days.name
    assert _ranges([request]) == [(str(DAY), str(_after(1)))]


def test_trends_that_look_back_on_what_was_built_are_made_anew(follow: Sensor) -> None:
    built = [_after(n) for n in (-1, 0, 1, 3, 4, HISTORY_DAYS, HISTORY_DAYS + 1)]
    _made(follow.instance, *DAY_CHAIN, days=built, run=_run(follow.instance), data="a")
    assert _jobs(follow.tick()) == [build_impact.name, score_and_report.name], "those of one run see all of it"
    _made(follow.instance, *DAY_CHAIN, days=[_after(-1), DAY], run=_run(follow.instance), data="b")
    trends = follow.tick()
    assert {request.job_name for request in trends} == {build_trends.name}
    wanted = [(_after(1), _after(1)), (_after(3), _after(4)), (_after(HISTORY_DAYS), _after(HISTORY_DAYS))]
    assert _ranges(trends) == [(str(start), str(end)) for start, end in wanted]
    assert len({request.run_key for request in trends}) == len(trends)
    later = [_after(n) for n in (1, 3, 4, HISTORY_DAYS)]
    _made(follow.instance, FEATURE_DAILY_TRENDS, days=later, run=_run(follow.instance), data="b")
    assert _jobs(follow.tick()) == [build_impact.name, score_and_report.name]


@pytest.mark.parametrize("part", [[INCIDENTS], [RISK_SCORES, SCORE_LEDGER], [RISK_MODEL]])
def test_a_part_of_the_scoring_and_a_new_model_are_followed_by_all_of_it(
    follow: Sensor, part: list[Table | Subject]
) -> None:
    _made(follow.instance, *SCORED, run=_run(follow.instance), data="a")
    follow.tick()
    _made(follow.instance, *part, run=_run(follow.instance))
    assert _jobs(follow.tick()) == [score_and_report.name]


def test_a_funnel_that_was_edited_is_published(follow: Sensor) -> None:
    _made(follow.instance, *IMPACT, run=_run(follow.instance), data="a")
    assert _jobs(follow.tick()) == [publish.name]


def test_a_report_alone_is_published(follow: Sensor) -> None:
    _made(follow.instance, RUN_REPORT, run=_run(follow.instance))
    assert _jobs(follow.tick()) == [publish.name]


def test_what_is_under_way_is_waited_for_and_what_failed_or_has_the_command_line_is_left_alone(follow: Sensor) -> None:
    run = _run(follow.instance, dg.DagsterRunStatus.STARTED)
    _made(follow.instance, VALID_EVENTS, days=[DAY], run=run)
    assert (follow.tick(), follow.skipped) == ([], "A run that makes more has not ended.")
    follow.instance.report_run_failed(follow.instance.get_run_by_id(run))  # type: ignore[arg-type]
    assert follow.tick() == []
    assert follow.skipped is None
    _made(follow.instance, VALID_EVENTS, days=[DAY], run=_run(follow.instance, **{PROCESS_TAG: "1:2"}))
    assert (follow.tick(), follow.skipped) == ([], None)


def _of(
    instance: dg.DagsterInstance, definition: dg.SensorDefinition, outcome: RunOutcome
) -> dg.RunStatusSensorContext:
    """The context of a sensor that is told of the end of a run that really was."""
    kind = dg.DagsterEventType.RUN_SUCCESS if outcome.succeeded else dg.DagsterEventType.RUN_FAILURE
    (record,) = instance.get_records_for_run(outcome.run_id, of_type=kind).records
    event, run = record.event_log_entry.dagster_event, instance.get_run_by_id(outcome.run_id)
    assert event is not None
    assert run is not None
    return dg.build_run_status_sensor_context(
        sensor_name=definition.name, dagster_event=event, dagster_instance=instance, dagster_run=run
    )


@pytest.mark.parametrize(
    ("sensor", "told_of", "status", "requested"),
    [
        (sensors.not_scored_sensor, score_and_report, dg.DagsterRunStatus.FAILURE, ["report_run", "publish"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_follows_scoring_and_training_is_requested_once_a_run(
    memory: dg.DagsterInstance,
    sensor: dg.RunStatusSensorDefinition,
    told_of: dg.JobDefinition,
    status: dg.DagsterRunStatus,
    requested: list[str],
) -> None:
    error = "broken" if status == dg.DagsterRunStatus.FAILURE else ""

    def requests() -> list[dg.RunRequest]:
        found = sensor(_ended(memory, sensor, told_of.name, {}, error))
        return list(found) if isinstance(found, list) else [found]

    first, second = requests(), requests()
    targets = [job.name for job in sensor.jobs]
    assert [request.job_name or targets[0] for request in first] == requested
    assert set(requested) <= set(targets), "Dagster refuses what a sensor did not announce"
    assert len({request.run_key for request in (*first, *second)}) == 2 * len(requested)


def test_a_run_that_scores_and_one_that_fails_are_told_apart(
    run: Callable[..., RunOutcome],
    instance: dg.DagsterInstance,
    write_events: WriteEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the log to the last sensor on real runs: scoring, its failure, and drift that asks for another model."""
    write_events("a.csv", {_after(n): 4 for n in range(3)})
    for job, dates in (("ingest_logs", None), ("build_days", (DAY, _after(2)))):
        outcome = run(job, dates)
        assert outcome.succeeded
    retraining = Sensor(sensors.retraining_sensor, instance)
    retraining.tick()  # what other tests have drifted
    assert retraining.tick() == []
    assert retraining.skipped == "Drift was not looked at since the last look."

    def drifted() -> RunOutcome:
        with monkeypatch.context() as patch:
            patch.setattr(drift_tables, "reason_to_retrain", lambda _: "Brier score 0.3, 0.1 before")
            return run("score_and_report")

    assert drifted().succeeded
    assert run("score_and_report").succeeded
    assert retraining.tick() == [], "only the newest word counts, and nothing has drifted any more"
    assert retraining.skipped is None

    assert drifted().succeeded
    (train,) = retraining.tick()
    assert (train.run_key or "").startswith("drift-")
    assert retraining.tick() == [], "each look at drift counts once"

    with monkeypatch.context() as patch:
        patch.setattr(risk_tables, "build_ledger", lambda _: 1 / 0)
        failed = run("score_and_report")
    assert not failed.succeeded
    assert sensors.not_scored_sensor(_of(instance, sensors.not_scored_sensor, failed)) == [], "it goes on by itself"
    after = sensors.not_scored_sensor(_ended(instance, sensors.not_scored_sensor, "score_and_report", {}, "broken"))
    assert [request.job_name for request in after] == ["report_run", "publish"]
    assert run("report_run").succeeded
    assert run("publish").succeeded, "facts do not wait for scores"


def test_what_waits_in_the_queue_already_is_not_requested_again(
    follow: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A queued run needs a code server that it came from; what is asked about the queue is what matters here.
    asked: list[dg.RunsFilter] = []
    monkeypatch.setattr(follow.instance, "get_runs_count", lambda filters: asked.append(filters) or 1)
    _made(follow.instance, *DAY_CHAIN, days=[DAY], run=_run(follow.instance), data="a")
    assert follow.tick() == []
    _made(follow.instance, *SCORED, run=_run(follow.instance), data="a")
    assert follow.tick() == []
    assert [filters.job_name for filters in asked] == [build_impact.name, score_and_report.name, publish.name]
    assert {status for filters in asked for status in filters.statuses} == {dg.DagsterRunStatus.QUEUED}


@pytest.mark.parametrize(("is_asked_by_sensor", "is_looked_at"), [(True, False), (True, True), (False, False)])
def test_publication_waits_for_logs_that_were_read_and_are_not_requested_yet(
    tmp_path: Path, is_asked_by_sensor: bool, is_looked_at: bool
) -> None:
    tags = {"dagster/sensor_name": "follow_up_sensor"} if is_asked_by_sensor else {}
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "here")
    # Sensors' cursors are kept on disk only.
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        _logs_read(instance, [DAY])
        touched = Sensor(sensors.touched_dates_sensor, instance)
        if is_looked_at:
            touched.tick()
        instance.add_instigator_state(
            InstigatorState(
                RemoteInstigatorOrigin(origin, sensors.touched_dates_sensor.name),
                InstigatorType.SENSOR,
                InstigatorStatus.RUNNING,
                SensorInstigatorData(cursor=touched.cursor),
            )
        )
        assert _is_overtaken(instance, tags) is (is_asked_by_sensor and not is_looked_at)


def test_failed_run_is_told(memory: dg.DagsterInstance, data_root: Settings) -> None:
    tags = range_tags(DAY, _after(2))
    context = _ended(memory, sensors.run_failure_alerts, build_days.name, tags, "no space left").for_run_failure()
    # Also while a run holds the warehouse.
    with FileLock(data_root.data_dir / ".writer.lock"):
        sensors.run_failure_alerts(context)
    (alert,) = alert_rows(data_root)
    assert (alert["kind"], alert["subject"]) == ("run", "build_days")
    assert alert["partition_key"] == f"{DAY}...{_after(2)}"
    assert "no space left" in alert["message"]
    assert context.dagster_run.run_id[:8] in alert["message"]
    # The command line tells of its own runs too.
    sensors.run_failure_alerts(context)
    report_run_failure(
        data_root, job="build_days", run_id=context.dagster_run.run_id, partition_key="", error="no space left"
    )
    assert [each["occurrences"] for each in alert_rows(data_root)] == [1]


def test_morning_forgets_runs_of_long_ago(
    instance: dg.DagsterInstance, data_root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(schedules, "forget_old_runs", lambda _, *limits: asked.append(limits) or 0)
    daily_catch_up(dg.build_schedule_context(instance=instance, scheduled_execution_time=datetime(2025, 3, 3, 6)))
    assert asked == [(data_root.keep_runs, data_root.keep_history_mb)]


@pytest.mark.parametrize(
    ("schedule", "job", "due", "days"),
    [
        (daily_catch_up, bring_up_to_date_job, datetime(2025, 3, 3, 6, tzinfo=UTC), 1),
        (weekly_training, train_risk_model, datetime(2025, 3, 3, 5, tzinfo=UTC), 7),
    ],
    ids=["daily_catch_up", "weekly_training"],
)
def test_schedule_has_one_run_each_time(
    instance: dg.DagsterInstance, schedule: dg.ScheduleDefinition, job: dg.JobDefinition, due: datetime, days: int
) -> None:
    def requested(at: datetime) -> dg.RunRequest:
        request = schedule(dg.build_schedule_context(instance=instance, scheduled_execution_time=at))
        assert isinstance(request, dg.RunRequest)
        return request

    cron = str(schedule.cron_schedule)
    times = cron_string_iterator((due - timedelta(seconds=1)).timestamp(), cron, schedule.execution_timezone)
    assert list(islice(times, 3)) == [due + timedelta(days=n * days) for n in range(3)]
    assert requested(due).run_key == requested(due).run_key
    assert requested(due).run_key != requested(due + timedelta(days=days)).run_key
    assert (schedule.job_name, schedule.execution_timezone) == (job.name, "UTC")
