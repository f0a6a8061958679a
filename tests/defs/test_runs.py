"""The real jobs, run in this process on small data roots: what they build, what they leave alone, what stops them."""

from __future__ import annotations

import csv
import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from services import alert_rows

from quality_assets.contracts.events import QUARANTINED_EVENTS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.product import FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.defs import reporting
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.defs.datasets.assets import DATASET_CHECKS
from quality_assets.defs.partitions import event_dates
from quality_assets.defs.run_failures import without_class
from quality_assets.runner import RunOutcome, bring_up_to_date, ingest_waiting
from quality_assets.settings import Settings
from quality_assets.stores.files import write_atomically
from quality_assets.stores.snapshots import Snapshot, current_snapshot, last_attempt, open_snapshot
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables import events as event_tables
from quality_assets.tables.checks.publication import PUBLICATION_CHECKS
from quality_assets.tables.checks.run import run_check
from quality_assets.tables.staleness import stale_dates

Run = Callable[..., RunOutcome]
WriteEvents = Callable[..., Path]

FIRST = date(2025, 3, 3)
DAYS = [FIRST + timedelta(days=n) for n in range(6)]
LAST = DAYS[-1]


def _rows(settings: Settings, sql: str, **parameters: object) -> list[tuple[Any, ...]]:
    with open_warehouse(settings) as session:
        return session.connection.execute(sql, parameters).fetchall()


def _snapshot(settings: Settings) -> Snapshot:
    snapshot = current_snapshot(settings.published_dir)
    assert snapshot is not None
    return snapshot


def _partitions(instance: dg.DagsterInstance, run_id: str, key: dg.AssetKey) -> dict[str, dict[str, Any]]:
    """Per partition that a run made of an asset, the metadata of that."""
    found = {}
    for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records:
        event = record.event_log_entry.dagster_event
        assert event is not None
        if event.asset_key == key:
            metadata = event.step_materialization_data.materialization.metadata
            found[event.partition or ""] = {name: value.value for name, value in metadata.items()}
    return found


def _made(instance: dg.DagsterInstance, run_id: str) -> set[str]:
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    keys = (record.event_log_entry.dagster_event for record in records)
    return {".".join(event.asset_key.path) for event in keys if event and event.asset_key}


@contextmanager
def _lost_quarantine() -> Iterator[None]:
    """Rows that are refused get lost on their way to the quarantine."""
    right = event_tables._build_day
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_tables, "_build_day", lambda *of_a_day: (right(*of_a_day)[0], []))
        yield


def test_logs_become_a_snapshot_and_exports(
    run: Run, write_events: WriteEvents, data_root: Settings, instance: dg.DagsterInstance
) -> None:
    write_events("a.csv", dict(zip(DAYS, (2, 4, 6, 8, 10, 12), strict=True)), dirty=[DAYS[1], DAYS[3]])
    read = run("ingest_logs")
    assert read.succeeded
    assert read.metadata["raw.raw_logs"]["touched_dates"] == [day.isoformat() for day in DAYS]
    assert read.metadata["raw.raw_logs"]["rows_read"] == 44
    assert "a.csv" in read.metadata["raw.log_files"]["what_came_in"]
    built = run("build_days", (FIRST, LAST))
    assert built.succeeded
    assert built.partition_key == f"{FIRST}...{LAST}"

    # A run over a range tells of each partition for itself, not of the whole range in each.
    wanted = {
        VALID_EVENTS: (2, 4, 6, 8, 10, 12),
        QUARANTINED_EVENTS: (0, 1, 0, 1, 0, 0),
        USER_FEATURE_DAYS: (2, 4, 6, 6, 6, 6),
        FACT_FEATURE_METRICS: (2, 2, 2, 2, 2, 2),
    }
    for table, counts in wanted.items():
        partitions = _partitions(instance, built.run_id, asset_key(table))
        told = {day: metadata["dagster/partition_row_count"] for day, metadata in partitions.items()}
        assert told == dict(zip(map(str, DAYS), counts, strict=True)), table.qualified_name
        assert {metadata["rows_in_run"] for metadata in partitions.values()} == {sum(counts)}
        rows = _rows(data_root, f"select event_date, count(*) from {table.qualified_name} group by 1 order by 1")
        assert rows == [(day, n) for day, n in zip(DAYS, counts, strict=True) if n]
        # Tables that are made together have each its own rows, and what has no dates is of none.
        recorded = "select row_count, partition_key from ops.asset_runs where asset = $asset"
        assert _rows(data_root, recorded, asset=table.qualified_name) == [(sum(counts), built.partition_key)]
    recorded = "select asset, row_count from ops.asset_runs where partition_key = '' order by asset"
    arrived = [("raw.log_files", 1), ("raw.raw_logs", 44)]
    assert [row for row in _rows(data_root, recorded) if row in arrived] == arrived
    assert _rows(data_root, "select partition_key from ops.asset_runs where asset = 'raw.feature_descriptions'") == [
        ("",)
    ]

    assert run("publish").succeeded
    snapshot = _snapshot(data_root)
    assert snapshot.data_through == LAST
    attempt = last_attempt(data_root.published_dir)
    assert attempt is not None
    assert (attempt.status, attempt.reasons) == ("published", ())
    with open_snapshot(snapshot) as connection:
        assert connection.execute("select count(*), sum(events) from product.fact_feature_metrics").fetchall() == [
            (12, 42)
        ]
        assert connection.execute(
            "select (select sum(rows) from raw.log_files), (select count(*) from core.valid_events),"
            " (select count(*) from core.quarantined_events)"
        ).fetchall() == [(44, 42, 2)]
    with (data_root.processed_dir / "feature_metrics.csv").open(encoding="utf-8", newline="") as stream:
        exported = list(csv.DictReader(stream))
    assert [row["event_date"] for row in exported] == [str(day) for day in DAYS for _ in range(2)]
    assert sum(int(row["events"]) for row in exported) == 42

    _assert_results_are_whole(data_root, instance, built.run_id)


def _assert_results_are_whole(settings: Settings, instance: dg.DagsterInstance, run_id: str) -> None:
    """One row a check, asset, partition and run; every check that Dagster heard of has some."""
    rows = _rows(
        settings, "select run_id, asset, check_name, partition_key, status, severity from monitoring.check_results"
    )
    assert len(rows) == len({row[:4] for row in rows})
    mine = [row for row in rows if row[0] == run_id]
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    evaluations = [r.event_log_entry.dagster_event.asset_check_evaluation_data for r in records]  # type: ignore[union-attr]
    told = {(".".join(e.asset_key.path), e.check_name) for e in evaluations if e.metadata["partitions_checked"].value}
    assert {(asset, name) for _, asset, name, *_ in mine} == told
    by_date = {
        partition for _, asset, name, partition, *_ in mine if (asset, name) == ("core.valid_events", "rows_accounted")
    }
    assert by_date == {str(day) for day in DAYS}
    assert {status for *_, status, severity in mine if severity == "ERROR"} == {"passed"}


def test_partitions_begin_with_the_first_day_that_was_read_and_go_back_with_it(
    run: Run, write_events: WriteEvents, instance: dg.DagsterInstance
) -> None:
    write_events("later.csv", {DAYS[2]: 2})
    assert run("ingest_logs").succeeded
    assert run("build_days", (DAYS[2], DAYS[2])).succeeded
    assert event_dates.get_first_partition_key() == str(DAYS[2])
    write_events("earlier.csv", {DAYS[0]: 3}, prefix="o")
    assert run("ingest_logs").succeeded
    built = run("build_days", (DAYS[0], DAYS[0]))
    assert built.succeeded
    assert list(_partitions(instance, built.run_id, asset_key(VALID_EVENTS))) == [str(DAYS[0])]
    assert event_dates.get_first_partition_key() == str(DAYS[0])


def test_second_run_does_nothing_and_the_same_bytes_count_once(
    instance: dg.DagsterInstance, caught_up: Settings, caught_up_root: Path
) -> None:
    assert json.loads((caught_up_root / "said.json").read_text()) == [
        ["ingest_logs", "", None],
        ["build_and_report", f"{FIRST}...{DAYS[2]}", None],
        ["publish", "", None],
    ]
    version, state = _snapshot(caught_up).version, _rows(caught_up, "from ops.partition_state order by all")

    again = ingest_waiting(instance, caught_up)
    assert (again.metadata["raw.log_files"]["files_skipped"], again.metadata["raw.raw_logs"]["rows_read"]) == (0, 0)
    landing = caught_up.landing_dir
    (landing / "b").mkdir()
    (landing / "b" / "copy.csv").write_bytes((landing / "a.csv").read_bytes())
    copied = ingest_waiting(instance, caught_up)
    assert copied.metadata["raw.log_files"]["files_skipped"] == 1
    assert copied.metadata["raw.raw_logs"]["touched_dates"] == []
    assert "same bytes as a.csv" in copied.metadata["raw.log_files"]["what_came_in"]
    assert list(bring_up_to_date(instance, caught_up)) == []
    assert _snapshot(caught_up).version == version
    assert _rows(caught_up, "from ops.partition_state order by all") == state
    assert _rows(caught_up, "select path, rows from raw.log_files") == [("a.csv", 13)]


def _lake_files(settings: Settings) -> dict[str, tuple[int, int]]:
    lake = settings.lake_dir
    return {
        path.relative_to(lake).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in lake.rglob("*.parquet")
    }


def test_late_file_rebuilds_its_day_and_the_trends_that_look_back_on_it(
    run: Run, write_events: WriteEvents, data_root: Settings, instance: dg.DagsterInstance
) -> None:
    write_events("a.csv", dict.fromkeys(DAYS, 4))
    assert run("ingest_logs").succeeded
    assert run("build_days", (FIRST, LAST)).succeeded
    files = _lake_files(data_root)
    facts = "from product.fact_feature_metrics where event_date <> $late order by all"
    trends = "from product.feature_daily_trends where event_date < $late order by all"
    late = DAYS[2]
    facts_before, trends_before = (_rows(data_root, sql, late=late) for sql in (facts, trends))

    write_events("late.csv", {late: 6}, dirty=[late], prefix="late")
    assert run("ingest_logs").metadata["raw.raw_logs"]["touched_dates"] == [str(late)]
    with open_warehouse(data_root) as session:
        assert stale_dates(session.connection, VALID_EVENTS) == [late]
    built = run("build_days", (late, late))
    assert built.succeeded
    with open_warehouse(data_root) as session:
        assert stale_dates(session.connection, FEATURE_DAILY_TRENDS) == DAYS[3:]
    later = run("build_trends", (DAYS[3], LAST))
    assert later.succeeded
    assert _made(instance, later.run_id) == {FEATURE_DAILY_TRENDS.qualified_name}
    with open_warehouse(data_root) as session:
        assert stale_dates(session.connection, FEATURE_DAILY_TRENDS) == []

    for table in (VALID_EVENTS, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS):
        assert list(_partitions(instance, built.run_id, asset_key(table))) == [str(late)]
    elsewhere = {name: stat for name, stat in files.items() if f"event_date={late}" not in name}
    assert elsewhere == {name: s for name, s in _lake_files(data_root).items() if f"event_date={late}" not in name}
    assert len(elsewhere) >= 3 * (len(DAYS) - 1)
    assert _rows(data_root, facts, late=late) == facts_before
    assert _rows(data_root, trends, late=late) == trends_before
    assert _rows(
        data_root,
        "select event_date, feature, events from product.fact_feature_metrics where event_date = $late order by all",
        late=late,
    ) == [(late, "pay", 5), (late, "search", 5)]
    looked_back = _rows(
        data_root,
        "select event_date, baseline_7d from product.feature_daily_trends where metric = 'events' and feature = 'pay'"
        " order by 1",
    )
    assert [value for _, value in looked_back] == [None, 2.0, 2.0, 3.0, 2.75, 2.6]


def test_failing_blocking_check_keeps_the_last_good_snapshot_until_it_is_healed(
    run: Run, write_events: WriteEvents, data_root: Settings, instance: dg.DagsterInstance
) -> None:
    write_events("a.csv", dict.fromkeys(DAYS[:2], 4))
    assert run("ingest_logs").succeeded
    assert run("build_days", (DAYS[0], DAYS[1])).succeeded
    assert run("publish").succeeded
    good = _snapshot(data_root)

    write_events("b.csv", {DAYS[2]: 4}, dirty=[DAYS[2]])
    assert run("ingest_logs").succeeded
    refused = []
    with _lost_quarantine():
        for _ in range(2):
            broken = run("build_days", (DAYS[2], DAYS[2]))
            assert any(" became valid or quarantined, of " in found for found in broken.failed_checks)
            made = _made(instance, broken.run_id)
            assert VALID_EVENTS.qualified_name in made
            assert made & {t.qualified_name for t in (USER_FEATURE_DAYS, FACT_FEATURE_METRICS)} == set()
            refused.append(run("publish"))
    assert [outcome.succeeded for outcome in refused] == [False, False]
    assert f"Snapshot {good.version} stays in force" in (refused[0].error or "")

    assert _snapshot(data_root) == good
    with open_snapshot(good) as connection:
        assert connection.execute("select count(*), max(event_date) from core.valid_events").fetchall() == [
            (8, DAYS[1])
        ]
    attempt = last_attempt(data_root.published_dir)
    assert attempt is not None
    assert attempt.status == "refused"
    assert attempt.run_id == refused[1].run_id
    assert any("core.valid_events: rows_accounted does not pass" in r and str(DAYS[2]) in r for r in attempt.reasons)
    assert any("core.user_feature_days is not built" in reason for reason in attempt.reasons)
    assert good.published_at < attempt.since < attempt.attempted_at

    (of_check,) = alert_rows(data_root, kind="check", check_name="rows_accounted")
    assert of_check["subject"] == "core.valid_events"
    assert (of_check["severity"], of_check["partition_key"]) == ("critical", str(DAYS[2]))
    (failed,) = alert_rows(data_root, kind="publication")
    assert failed["run_id"] == refused[0].run_id, "that it is still refused is not told again"
    assert (failed["subject"], failed["severity"], failed["occurrences"]) == ("publish", "critical", 1)
    assert "rows_accounted" in failed["message"]

    assert [f for f in run("build_days", (DAYS[2], DAYS[2])).failed_checks if f.startswith("ERROR")] == []
    assert run("publish").succeeded
    healed = last_attempt(data_root.published_dir)
    assert healed is not None
    assert (healed.status, healed.reasons) == ("published", ())
    assert _snapshot(data_root).version != good.version
    assert _snapshot(data_root).data_through == DAYS[2]

    with _lost_quarantine():
        run("build_days", (DAYS[2], DAYS[2]))
    (again,) = alert_rows(data_root, kind="check", check_name="rows_accounted")
    assert (again["status"], again["occurrences"]) == ("open", of_check["occurrences"] + 1)
    (over,) = alert_rows(data_root, kind="publication")
    assert (over["status"], over["resolution"]) == ("resolved", "auto")


def test_descriptions_that_make_no_day_stale_are_published_and_dagster_knows_of_them(
    run: Run, write_events: WriteEvents, data_root: Settings, instance: dg.DagsterInstance
) -> None:
    written = data_root.data_dir / "feature_metadata.csv"
    write_events("a.csv", {FIRST: 4})
    written.write_text("feature,owner\nsearch,bea@example.com\n")
    assert run("ingest_logs").succeeded
    assert all(o.succeeded for o in bring_up_to_date(instance, data_root, with_models=False))
    of_a_run = instance.get_latest_materialization_event(asset_key(FEATURE_DESCRIPTIONS))
    written.write_text("feature,owner\nsearch,ann@example.com\n")
    assert [o.job for o in bring_up_to_date(instance, data_root, with_models=False)] == ["publish_facts"]
    with open_snapshot(_snapshot(data_root)) as connection:
        shown = "select owner from product.dim_feature_metadata where feature = 'search'"
        assert connection.execute(shown).fetchall() == [("ann@example.com",)]
    told = instance.get_latest_materialization_event(asset_key(FEATURE_DESCRIPTIONS))
    assert of_a_run is not None
    assert told is not None
    assert (bool(of_a_run.run_id), bool(told.run_id), told.timestamp > of_a_run.timestamp) == (True, False, True)
    assert list(bring_up_to_date(instance, data_root, with_models=False)) == []


def _fail(*_: object) -> None:
    raise RuntimeError("the tier is out of order")


def test_failed_run_is_told_once_and_leaves_no_half(run: Run, write_events: WriteEvents, data_root: Settings) -> None:
    write_events("a.csv", {FIRST: 4})
    assert run("ingest_logs").succeeded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quality_assets.defs.raw.assets.refresh_descriptions", _fail)
        failed = run("build_days", (FIRST, FIRST))
    assert not failed.succeeded
    assert failed.error
    assert "tier" in failed.error
    for _ in range(2):
        (alert,) = alert_rows(data_root, kind="run")
        assert (alert["subject"], alert["partition_key"], alert["run_id"]) == ("build_days", str(FIRST), failed.run_id)
        assert failed.error.splitlines()[0] in alert["message"]
    assert _rows(data_root, "select asset, status from ops.asset_runs where status = 'failed'") == [
        ("raw.feature_descriptions", "failed")
    ]
    with open_warehouse(data_root) as session:
        assert stale_dates(session.connection, FACT_FEATURE_METRICS) in ([FIRST], [])
    assert _rows(data_root, "select count(*) from product.fact_feature_metrics") == [(0,)]

    assert run("build_days", (FIRST, FIRST)).succeeded
    assert _rows(data_root, "select sum(events) from product.fact_feature_metrics") == [(4,)]

    steps = _logged_steps(data_root)
    day = f"{FIRST}"
    assert steps["raw.raw_logs", "asset"] == [("ingest_logs", None, 4, "succeeded", "")]
    assert steps["core.valid_events", "asset"][-1] == ("build_days", day, 4, "succeeded", "")
    (*_, cause), again = steps["raw.feature_descriptions", "asset"]
    assert "tier" in cause
    assert again[3] == "succeeded"
    assert steps["core.valid_events", "checks"][-1] == ("build_days", day, None, "succeeded", "")


def _logged_steps(settings: Settings) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """By what was made or checked, and which of both: job, first date, rows, outcome and cause of each line."""
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for line in (settings.logs_dir / "runs.jsonl").read_text().splitlines():
        step = json.loads(line)
        values = (step["job"], step["start"], step["rows"], step["outcome"], step["cause"])
        found.setdefault((step["what"], step["kind"]), []).append(values)
    return found


def _failing(settings: Settings) -> set[str]:
    with open_warehouse(settings) as session:
        results = [r for check in PUBLICATION_CHECKS for r in run_check(session, check)]
    assert len(results) == len(PUBLICATION_CHECKS)
    return {f"{r.asset.removeprefix('publish.')} {r.check_name} {r.status}" for r in results if r.status != "passed"}


def test_publication_is_checked_against_what_was_audited(caught_up: Settings) -> None:
    data_root, published = caught_up, last_attempt(caught_up.published_dir)
    assert published is not None
    asked = _rows(
        data_root,
        "select asset, check_name, status from monitoring.check_results"
        " where run_id = $run_id and asset like 'publish.%'",
        run_id=published.run_id,
    )
    assert sorted(asked) == sorted((c.subject.name, c.name, "passed") for c in PUBLICATION_CHECKS)
    assert _failing(data_root) == set()

    metrics = data_root.processed_dir / "feature_metrics.csv"
    text = metrics.read_text()
    metrics.write_text(text.replace(",search,2,", ",search,3,", 1))
    assert text != metrics.read_text()
    assert _failing(data_root) == {"feature_metrics_csv rows_exported failed"}
    metrics.write_text("".join(text.splitlines(keepends=True)[:-1]))
    assert _failing(data_root) == {"feature_metrics_csv rows_exported failed"}
    header, _, rows = text.partition("\n")
    first, second, *others = header.split(",")
    metrics.write_text(",".join([second, first, *others]) + "\n" + rows)
    assert "feature_metrics_csv columns_exported failed" in _failing(data_root)
    metrics.unlink()
    assert _failing(data_root) == {
        "feature_metrics_csv columns_exported unknown",
        "feature_metrics_csv rows_exported unknown",
    }
    metrics.write_text(text)

    baselines = data_root.reports_dir / "baseline_stats.json"
    text = baselines.read_text()
    baselines.write_text(text.replace("null", "NaN", 1))
    assert _failing(data_root) == {"baseline_stats_json shows_snapshot failed", "baseline_stats_json is_json failed"}
    baselines.write_text(text)

    snapshot = _snapshot(data_root)
    pointer = data_root.published_dir / "CURRENT"
    text = pointer.read_text()
    write_atomically(pointer, json.dumps({**json.loads(text), "data_fingerprint": "0" * 32}))
    assert _failing(data_root) == {"published_snapshot shows_the_data failed"}
    write_atomically(pointer, text)
    # A lake file that is not in the snapshot's folder is a day that readers do not see.
    lost = next(snapshot.folder.glob(f"lake/valid_events/event_date={FIRST}/*.parquet"))
    kept = lost.read_bytes()
    lost.unlink()
    assert _failing(data_root) == {"published_snapshot rows_complete failed"}
    lost.write_bytes(kept)
    assert _failing(data_root) == set()
    with duckdb.connect(str(snapshot.warehouse_path)) as connection:
        connection.execute("drop table product.dim_feature_metadata")
    assert "published_snapshot snapshot_opens failed" in _failing(data_root)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("quality_assets.stores.warehouse.WarehouseBusyError: another process\n", "another process"),
        ("_duckdb.IOException: IO Error: no space", "IO Error: no space"),
        ("KeyError: 'tier'\n", "KeyError: 'tier'"),
        ("no class: at all", "no class: at all"),
    ],
)
def test_people_are_told_what_an_error_says_and_not_the_module_of_its_class(message: str, told: str) -> None:
    assert without_class(message) == told


def test_a_day_that_is_not_over_is_answered_with_a_sentence_and_fails_no_check(
    run: Run, write_events: WriteEvents, data_root: Settings
) -> None:
    write_events("a.csv", {FIRST: 3, DAYS[1]: 2})
    assert run("ingest_logs").succeeded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporting, "dates_not_over", lambda _: {DAYS[1]: "is not over (UTC)"})
        clicked = run("build_days", (FIRST, DAYS[1]))
    assert not clicked.succeeded
    assert clicked.error == (
        "Nothing was built, and nothing is amiss: 2025-03-04 is not over (UTC). It is built by itself once it is over."
        " Ask for the dates before 2025-03-04 alone."
    )
    assert _rows(data_root, "select count(*) from monitoring.check_results where asset = 'core.valid_events'") == [(0,)]
    assert run("build_days", (FIRST, FIRST)).succeeded


def test_a_run_of_the_command_line_is_one_of_its_job_and_is_not_retried(run: Run, instance: dg.DagsterInstance) -> None:
    made = instance.get_run_by_id(run("ingest_logs").run_id)
    assert made is not None
    assert made.remote_job_origin is not None
    repository = made.remote_job_origin.repository_origin
    assert repository.get_label() == "__repository__@quality_assets.definitions"
    assert made.remote_job_origin.job_name == "ingest_logs"
    assert made.tags["dagster/max_retries"] == "0"


def test_a_line_is_a_picture_that_markdown_shows() -> None:
    text = reporting.sparkline([1.0, 3.0, 2.0] * 200)
    assert len(text) < 1000
    head, _, address = text.partition("](data:image/svg+xml;base64,")
    assert head == "![from 1 to 3"
    assert b64decode(address.removesuffix(")")).startswith(b'<svg xmlns="http://www.w3.org/2000/svg" width="160"')


def _answers(instance: dg.DagsterInstance, run_id: str, name: str) -> list[Any]:
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    found = [r.event_log_entry.dagster_event.asset_check_evaluation_data for r in records]  # type: ignore[union-attr]
    return [answer for answer in found if answer.check_name == name]


def test_a_date_that_fails_stays_failing_when_another_passes_and_holds_up_none_but_itself(
    run: Run, write_events: WriteEvents, instance: dg.DagsterInstance
) -> None:
    write_events("a.csv", dict.fromkeys(DAYS[:2], 4), dirty=DAYS[:1])
    assert run("ingest_logs").succeeded
    with _lost_quarantine():
        run("build_days", (DAYS[0], DAYS[0]))
    other = run("build_days", (DAYS[1], DAYS[1]))
    assert FACT_FEATURE_METRICS.qualified_name in _made(instance, other.run_id), "another date's failure stops nothing"
    (answer,) = _answers(instance, other.run_id, "rows_accounted")
    assert not answer.passed
    assert answer.severity is dg.AssetCheckSeverity.WARN
    assert f"Failing still, of other runs: 1 date: {DAYS[0]}." in answer.description.replace("\\", "")
    assert [row.data["event_date"] for row in answer.metadata["failing"].value.records] == [str(DAYS[0])]
    assert run("build_days", (DAYS[0], DAYS[0])).succeeded
    (healed,) = _answers(instance, run("build_days", (DAYS[1], DAYS[1])).run_id, "rows_accounted")
    assert healed.passed


def test_each_check_is_executed_by_itself_as_the_ui_offers(
    run: Run, write_events: WriteEvents, instance: dg.DagsterInstance, graph: dg.Definitions, data_root: Settings
) -> None:
    # Checks of one op that cannot be asked one by one have one identifier, and their buttons do nothing.
    repository = graph.get_repository_def()
    keys = repository.asset_graph.asset_check_keys
    assert len(keys) > 200
    # Those of a watched table are findings of one judgement of its batch.
    together = {key for key in keys if repository.asset_graph.get_execution_set_identifier(key) is not None}
    assert {key.asset_key for key in together} == {DATASET_CHECKS}

    write_events("a.csv", dict.fromkeys(DAYS[:1], 4))
    assert run("ingest_logs").succeeded
    assert run("build_days", (DAYS[0], DAYS[0])).succeeded
    due = "select table_name, event_date from ops.audits_due order by all"
    with open_warehouse(data_root) as session:
        session.connection.execute(
            "insert into ops.audits_due by name select 'core.valid_events' as table_name, $day as event_date",
            {"day": DAYS[0]},
        )
    before = _rows(data_root, due)
    key = dg.AssetCheckKey(asset_key(VALID_EVENTS), "event_ids_unique")
    job = repository.get_implicit_global_asset_job_def().get_subset(asset_selection=set(), asset_check_selection={key})
    alone = job.execute_in_process(instance=instance)
    assert alone.success
    assert [e.asset_check_key for e in alone.get_asset_check_evaluations()] == [key]
    assert _rows(data_root, due) == before, "one check of several has not checked what was built"
