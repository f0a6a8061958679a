"""The event log that stores batches as such, against Dagster's own: what is asked of either has the same answer."""

import warnings
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage

from quality_assets.dagster_ext import run_history
from quality_assets.dagster_ext.event_log import OpenSqliteEventLogStorage
from quality_assets.dagster_ext.run_history import forget_old_runs
from quality_assets.defs.run_tags import range_tags

DAYS = dg.DailyPartitionsDefinition("2026-01-01")
FIRST, LAST = "2026-01-05", "2026-01-09"


def _one(context: dg.AssetExecutionContext) -> None:
    for key in context.partition_keys:
        context.add_asset_metadata({"day": key}, partition_key=key)


def _two(context: dg.AssetExecutionContext) -> None:
    if context.run.tags.get("fail"):
        raise ValueError("it fails")


with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.BetaWarning)
    IN_RANGES: Any = {"partitions_def": DAYS, "backfill_policy": dg.BackfillPolicy.single_run()}
    one = dg.asset(name="one", **IN_RANGES)(_one)
    two = dg.asset(name="two", deps=[one], **IN_RANGES)(_two)


@dg.asset_check(asset=one)
def good() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def _answers(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What Dagster's pages and this project's sensors ask, without ids and times."""
    job = dg.Definitions(
        assets=[one, two], asset_checks=[good], jobs=[dg.define_asset_job("days", dg.AssetSelection.all())]
    ).resolve_job_def("days")
    answers: dict[str, Any] = {}
    for fails, (first, last) in ((False, (FIRST, "2026-01-07")), (True, ("2026-01-07", LAST))):
        tags = range_tags(date.fromisoformat(first), date.fromisoformat(last)) | ({"fail": "yes"} if fails else {})
        result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        assert result.success is not fails
        log = instance.get_records_for_run(result.run_id).records
        events = [record.event_log_entry.dagster_event for record in log]
        answers[f"events of a run that {'fails' if fails else 'succeeds'}"] = [
            (event.event_type_value, event.asset_key, event.partition) for event in events if event
        ]
    for asset in (one, two):
        key = asset.key
        made = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key), limit=100, ascending=True).records
        answers[f"materializations of {key}"] = [(r.partition_key, r.asset_materialization.metadata) for r in made]  # type: ignore[union-attr]
        newest = instance.get_latest_materialization_event(key)
        answers[f"newest of {key}"] = newest and newest.dagster_event and newest.dagster_event.partition
        answers[f"partitions of {key}"] = instance.get_materialized_partitions(key)
        ids = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        assert ids == {r.partition_key: r.storage_id for r in made}
        answers[f"not built, of {key}"] = set(
            instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations(key)
        )
    checks = instance.event_log_storage.get_asset_check_execution_history(next(iter(good.check_keys)), limit=10)
    answers["checks"] = [(check.status, check.event is not None) for check in checks if check.status.value != "PLANNED"]
    return answers


def _instance(root: Path, storage: type) -> Any:
    config = {"module": storage.__module__, "class": storage.__name__, "config": {"base_dir": str(root / "runs")}}
    return dg.instance_for_test(temp_dir=str(root), overrides={"event_log_storage": config})


def test_answers_are_those_of_dagsters_own_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    own = OpenSqliteEventLogStorage.store_event_batch
    monkeypatch.setattr(
        OpenSqliteEventLogStorage,
        "store_event_batch",
        lambda log, events: (batches.append(len(events)), own(log, events))[1],
    )
    answers = []
    for name, storage in (("ours", OpenSqliteEventLogStorage), ("dagsters", SqliteEventLogStorage)):
        (tmp_path / name).mkdir()
        with _instance(tmp_path / name, storage) as instance:
            answers.append(_answers(instance))
    ours, wanted = answers
    assert ours == wanted
    # Planned: two assets on three days and a check. Then a step at a time, and what an asset made of three days.
    assert batches[0] == 7
    assert max(batches[1:]) > 3
    assert 3 in batches
    assert ours[f"not built, of {two.key}"] == {"2026-01-07", "2026-01-08", LAST}


def test_whoever_looks_sees_the_step_that_runs_and_all_before_it(tmp_path: Path) -> None:
    seen: list[list[tuple[str, str]]] = []

    def look(context: dg.AssetExecutionContext) -> None:
        other = OpenSqliteEventLogStorage(str(tmp_path / "runs"))
        records = other.get_records_for_run(context.run.run_id).records
        entries = [record.event_log_entry for record in records if record.event_log_entry.step_key]
        seen.append(
            [(str(each.step_key), str(each.dagster_event_type and each.dagster_event_type.value)) for each in entries]
        )
        other.dispose()

    first = dg.asset(name="first")(lambda: None)
    looks = dg.asset(name="looks", deps=[first])(look)
    with _instance(tmp_path, OpenSqliteEventLogStorage) as instance:
        result = dg.materialize([first, looks], instance=instance)
        assert seen[0][-1] == ("looks", "STEP_START")
        assert {("first", "ASSET_MATERIALIZATION"), ("first", "STEP_SUCCESS")} <= set(seen[0])
        log = instance.event_log_storage
        assert isinstance(log, OpenSqliteEventLogStorage)
        records = instance.get_records_for_run(result.run_id).records
        made = [each.event_log_entry for each in records if each.event_log_entry.step_key == "looks"]
        log.store_event(made[-1])
        assert len(log._waiting) == 1
        assert len(instance.get_records_for_run(result.run_id).records) == len(records) + 1
        assert log._waiting == []


def test_the_file_of_a_run_begins_as_a_copy_of_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = OpenSqliteEventLogStorage(str(tmp_path))

    def what_is_in(run: str) -> tuple[Any, ...]:
        with log.run_connection(run) as connection:
            tables = connection.exec_driver_sql("select sql from sqlite_master order by name").fetchall()
            version = connection.exec_driver_sql("select version_num from alembic_version").fetchall()
            return tables, version, connection.exec_driver_sql("pragma journal_mode").scalar()

    made = what_is_in("first")
    assert made[2] == "wal"
    with monkeypatch.context() as patch:
        patch.setattr(log, "_initdb", lambda *_, **__: 1 / 0)
        assert what_is_in("second") == made
    assert set(log.get_all_run_ids()) == {"first", "second"}, "the empty one is no run"
    log.dispose()


def test_a_batch_is_stored_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _instance(tmp_path, OpenSqliteEventLogStorage) as instance:
        result = dg.materialize([one], instance=instance, partition_key=FIRST)
        log = instance.event_log_storage
        assert isinstance(log, OpenSqliteEventLogStorage)
        before = instance.get_records_for_run(result.run_id).records
        event = next(r.event_log_entry for r in before if r.event_log_entry.dagster_event.is_step_materialization)  # type: ignore[union-attr]
        monkeypatch.setattr(log, "_store_asset_event", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            log.store_event_batch([event, event])
        assert instance.get_records_for_run(result.run_id).records == before
        records = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=one.key), limit=9).records
        assert len(records) == 1


def test_a_check_is_planned_once_for_a_range(tmp_path: Path) -> None:
    with _instance(tmp_path, OpenSqliteEventLogStorage) as instance:
        _answers(instance)
        history = instance.event_log_storage.get_asset_check_execution_history(next(iter(good.check_keys)), limit=10)
        assert [check.status.value for check in history] == ["SUCCEEDED", "SUCCEEDED"]


def test_old_runs_are_forgotten_and_what_they_built_last_is_not(tmp_path: Path) -> None:
    with _instance(tmp_path, OpenSqliteEventLogStorage) as instance:
        before = _answers(instance)
        job = dg.Definitions(assets=[one, two], jobs=[dg.define_asset_job("again", [one])]).resolve_job_def("again")
        again = range_tags(date.fromisoformat(FIRST), date.fromisoformat("2026-01-06"))
        runs = [job.execute_in_process(instance=instance, tags=again).run_id for _ in range(6)]
        storage_ids = _newest(instance)
        waiting = instance.create_run_for_job(job)
        assert forget_old_runs(instance, keep=4, keep_mb=60) == 4
        assert {run.run_id for run in instance.get_runs()} == {waiting.run_id, *runs[-4:]}
        shards = {path.stem for path in (tmp_path / "runs").glob("*.db")}
        assert shards == {"index", waiting.run_id, *runs[-4:]}
        assert _newest(instance) == storage_ids
        assert instance.get_materialized_partitions(one.key) == before[f"partitions of {one.key}"]
        # What was built twice since is known once for each run that is kept, and once where it is the last.
        assert _built_by_day(instance) == {FIRST: 4, "2026-01-06": 4, "2026-01-07": 1, "2026-01-08": 1, LAST: 1}
        history = instance.event_log_storage.get_asset_check_execution_history(next(iter(good.check_keys)), limit=10)
        assert [check.status.value for check in history] == ["SUCCEEDED"]
        assert forget_old_runs(instance, keep=4, keep_mb=60) == 0
        assert forget_old_runs(instance, keep=1, keep_mb=60) == 3
        assert _built_by_day(instance) == {FIRST: 1, "2026-01-06": 1, "2026-01-07": 1, "2026-01-08": 1, LAST: 1}
        # The log goes on where it was.
        assert job.execute_in_process(instance=instance, tags=again).success
        assert max(_newest(instance).values()) > max(storage_ids.values())


def _newest(instance: dg.DagsterInstance) -> dict[str, int]:
    built = dg.DagsterEventType.ASSET_MATERIALIZATION
    return dict(instance.get_latest_storage_id_by_partition(one.key, built))


def _built_by_day(instance: dg.DagsterInstance) -> dict[str, int]:
    made = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=one.key), limit=100).records
    return dict(sorted(Counter(str(record.partition_key) for record in made).items()))


def test_runs_beyond_so_many_megabytes_are_forgotten_but_the_last_twenty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _instance(tmp_path, OpenSqliteEventLogStorage) as instance:
        runs = [dg.materialize([one], instance=instance, partition_key=FIRST).run_id for _ in range(4)]
        sizes = {path.stem: path.stat().st_size for path in (tmp_path / "runs").glob("*.db")}
        two = sum(sizes[run] for run in runs[-2:]) / 1e6
        assert forget_old_runs(instance, keep=9, keep_mb=two) == 0
        monkeypatch.setattr(run_history, "ALWAYS_KEPT", 1)
        assert forget_old_runs(instance, keep=9, keep_mb=two) == 2
        assert {run.run_id for run in instance.get_runs()} == set(runs[-2:])
        assert forget_old_runs(instance, keep=9, keep_mb=0) == 1


def test_forgetting_that_is_killed_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _instance(tmp_path, OpenSqliteEventLogStorage) as instance:
        runs = [dg.materialize([one], instance=instance, partition_key=FIRST).run_id for _ in range(3)]
        with monkeypatch.context() as patch:
            patch.setattr(type(instance.run_storage), "delete_run", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                forget_old_runs(instance, keep=1, keep_mb=60)
        assert forget_old_runs(instance, keep=1, keep_mb=60) == 2
        assert [run.run_id for run in instance.get_runs()] == runs[-1:]
        assert _built_by_day(instance) == {FIRST: 1}
        assert {path.stem for path in (tmp_path / "runs").glob("*.db")} == {"index", runs[-1]}
