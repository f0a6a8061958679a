"""Faults planted in the last clean day of events and facts: which checks tell of them, and that nothing of it stays."""

from __future__ import annotations

import json

import pytest
from plotly.io.json import to_json_plotly
from typer.testing import CliRunner

from dash_app import router
from quality_assets.cli.main import app
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.read.links import Request
from quality_assets.read.reader import SnapshotStore
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.stores.snapshots import current_snapshot
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.mutated_days import mutate_table
from quality_assets.tables.mutation_reports import last_reports
from quality_assets.tables.operations_copy import copy_operations
from quality_assets.tables.publishing import publish_warehouse


@pytest.fixture
def published(built_copy: Settings) -> Settings:
    with open_warehouse(built_copy) as session:
        publish_warehouse(session, "run-1")
    assert current_snapshot(built_copy.published_dir) is not None
    return built_copy


def test_without_a_snapshot_nothing_can_be_planted(data_root: Settings) -> None:
    with pytest.raises(FileRejected, match="nothing is published yet"):
        mutate_table(data_root, VALID_EVENTS)


def test_each_planted_fault_is_told_by_a_check_or_survives_with_a_suggestion(published: Settings) -> None:
    result = CliRunner().invoke(app, ["mutate", "--format", "json"])
    assert result.exit_code == 0, result.output
    told = {t["dataset"]: t for line in result.output.splitlines() if line.startswith("{") for t in [json.loads(line)]}
    assert set(told) == {"core.valid_events", "product.fact_feature_metrics"}
    with operations_of(published).read() as connection:
        reports = {report["subject"]: report for report in last_reports(connection)}
    killers = {
        (name, mutant["fault"], mutant["share"]): mutant["told_by"]
        for name, report in reports.items()
        for mutant in report["mutants"]
    }
    events, facts = VALID_EVENTS.qualified_name, FACT_FEATURE_METRICS.qualified_name
    assert killers[events, "rows lost", 0.05] == f"{events}.rows_accounted"
    assert killers[events, "feature silent", 1.0] == f"{events}.rows_accounted"
    assert killers[events, "status unknown", 0.05] == f"{events}.expectations_validity"
    assert killers[events, "clock two hours ahead", 1.0] == f"{events}.expectations_consistency"
    assert killers[facts, "rows copied", 1.0] == f"{facts}.key_unique"
    assert killers[facts, "events doubled", 1.0] == f"{facts}.events_reconcile"
    assert killers[facts, "rate not of its parts", 1.0] == f"{facts}.expectations_accuracy"
    # Nothing that is asked of a day by itself knows that latency was in ms.
    assert killers[events, "latency in seconds", 1.0] is None
    for name, report in told.items():
        assert report["killed"] == report["planted"] - len(report["survivors"]) == reports[name]["killed"]
        assert sum(d["planted"] for d in report["dimensions"].values()) == report["planted"] >= 9
        assert report["dimensions"]["uniqueness"]["kill_rate"] == 1.0
        assert all(survivor["suggestion"] for survivor in report["survivors"])
        assert 0 <= report["false_alarms"] <= report["clean_batches"] <= 7
    _shown_and_copied(published, told[events]["killed"])


def _shown_and_copied(settings: Settings, killed: int) -> None:
    content, _ = router.render(SnapshotStore(settings.published_dir), Request("/data-quality"), settings)
    page = json.dumps(json.loads(to_json_plotly(content)), ensure_ascii=False)
    assert "Do the checks catch anything?" in page
    assert f"{killed} of " in page
    assert "Latency in seconds" in page
    with open_warehouse(settings) as session:
        assert session.connection.sql("select count(*) from core.valid_events where status = 'OK!'").fetchall() == [
            (0,)
        ]
        copy_operations(session)
        rows = session.connection.sql(
            "select killed = count(*) filter (is_killed), planted = count(*) from monitoring.mutation_reports"
            " join monitoring.mutants using (report_id) group by subject, killed, planted"
        ).fetchall()
    assert rows == [(True, True)] * 2


def test_the_page_says_how_to_plant_where_nothing_was_planted(published: Settings) -> None:
    content, _ = router.render(SnapshotStore(published.published_dir), Request("/data-quality"), published)
    assert "Nothing was planted yet" in json.dumps(json.loads(to_json_plotly(content)))


def test_an_unknown_table_names_those_there_are(published: Settings) -> None:
    result = CliRunner().invoke(app, ["mutate", "core.nothing"])
    assert result.exit_code == 1
    assert "core.valid_events, product.fact_feature_metrics" in " ".join(result.output.split())
