"""The event log that stores batches as such, against Dagster's own: what is asked of either has the same answer."""

import warnings
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage

from quality_assets.defs.sensors import range_tags
from quality_assets.event_log import OpenSqliteEventLogStorage

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
    assert batches[:2] == [7, 3]  # planned: two assets on three days and a check; then what the first asset made
    assert ours[f"not built, of {two.key}"] == {"2026-01-07", "2026-01-08", LAST}


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
