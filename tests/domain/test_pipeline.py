"""What follows from how tables are made: derived lists as they should be, and what no pipeline may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from quality_assets.contracts.catalog import TABLES
from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.events import USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.pipeline import PIPELINE, Pipeline
from quality_assets.contracts.product import FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.table import Build, Column, Stage, Table
from quality_assets.domain.features.trends import HISTORY_DAYS
from quality_assets.domain.quality.contract_checks import CONTRACT_CHECKS, contract_checks

DAYS_STAGE = {
    "raw.feature_descriptions",
    "core.valid_events",
    "core.quarantined_events",
    "core.user_feature_days",
    "product.fact_feature_metrics",
    "monitoring.event_sketch_counts",
}


def table_of(name: str, build: Build | None, partition_column: str | None = "event_date") -> Table:
    columns = (Column("event_date", "DATE", "The UTC day", nullable=False),)
    return Table("core", name, "A table", "one row per day", ("event_date",), columns, partition_column, build=build)


def names(tables: tuple[Table, ...]) -> list[str]:
    return [table.qualified_name for table in tables]


def test_tables_come_after_what_they_are_made_from() -> None:
    order = {name: place for place, name in enumerate(names(PIPELINE.tables))}
    assert order
    assert [
        (name, table.name)
        for table in PIPELINE.tables
        for name in PIPELINE.inputs(table)
        if order[name] > order[table.qualified_name]
    ] == []


STAGES: dict[Stage, set[str]] = {
    "arrival": {"raw.raw_logs", "raw.log_files"},
    "days": DAYS_STAGE,
    "trends": {"product.feature_daily_trends"},
    "model_inputs": {"ml.degradation_labels", "ml.risk_training_set"},
    "training": {
        "ml.model_metrics",
        "ml.feature_importance",
        "ml.calibration",
        "ml.model_versions",
        "monitoring.drift_power",
    },
    "scoring": {
        "product.incidents",
        "ml.risk_scores",
        "ml.score_ledger",
        "monitoring.baseline_stats",
        "monitoring.data_drift",
        "monitoring.drift_distributions",
    },
    "report": {"monitoring.run_report"},
    "publication": {"product.dim_feature_metadata"},
}
# A new table need not be named here: what is derived of those below does not change with it.
KNOWN = set().union(*STAGES.values())


def known(tables: Iterable[Table]) -> list[str]:
    return [table.qualified_name for table in tables if table.qualified_name in KNOWN]


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_makes_its_tables(stage: Stage) -> None:
    assert set(known(PIPELINE.of_stages(stage))) == STAGES[stage]


def test_what_is_audited_fingerprinted_and_awaited() -> None:
    dated = ["core.valid_events", "core.user_feature_days", "product.fact_feature_metrics"]
    trends = "product.feature_daily_trends"
    assert set(known(PIPELINE.fingerprinted)) == {*dated, trends, "monitoring.event_sketch_counts"}
    assert known(PIPELINE.audited) == [
        "raw.raw_logs",
        "raw.log_files",
        dated[0],
        "core.quarantined_events",
        *dated[1:],
        trends,
    ]
    assert KNOWN - set(known(PIPELINE.awaited)) == {
        "raw.raw_logs",
        "raw.feature_descriptions",
        "monitoring.event_sketch_counts",
        "monitoring.drift_distributions",
    }


def test_only_tables_that_things_happen_to_are_made_by_nobody() -> None:
    unmade = {table.qualified_name for table in TABLES if table.build is None and table.schema != "ops"}
    copied = {"monitoring.alerts", "monitoring.alert_history", "datasets.batches", "datasets.findings"}
    copied |= {"monitoring.mutation_reports", "monitoring.mutants"}
    assert unmade == {"monitoring.check_results", *copied}
    assert {table.qualified_name for table in TABLES if table.build is not None and table.schema == "ops"} == set()


def test_a_fingerprint_counts_each_input_once() -> None:
    # The user days are made from the events, and cover them; what is described has no dates.
    assert PIPELINE.dated_sources(FACT_FEATURE_METRICS) == ("core.user_feature_days",)
    assert PIPELINE.dated_sources(VALID_EVENTS) == ("raw.raw_logs",)
    assert PIPELINE.dated_sources(EVENT_SKETCH_COUNTS) == PIPELINE.dated_sources(USER_FEATURE_DAYS)


def test_trends_read_as_much_history_as_their_query() -> None:
    assert PIPELINE.build(FEATURE_DAILY_TRENDS).history_days == HISTORY_DAYS == 56


def test_a_new_table_is_in_every_list_that_its_build_says() -> None:
    new = table_of("session_days", Build("days", inputs=("core.valid_events",), is_audited=True))
    pipeline = Pipeline((*TABLES, new))
    assert set(names(pipeline.of_stages("days"))) == {*names(PIPELINE.of_stages("days")), "core.session_days"}
    for derived in (pipeline.fingerprinted, pipeline.audited, pipeline.awaited):
        assert "core.session_days" in names(derived)
    assert pipeline.dated_sources(new) == ("core.valid_events",)
    found = set(contract_checks(pipeline)) - set(CONTRACT_CHECKS)
    assert {(check.subject.name, check.name, check.is_blocking) for check in found} == {
        ("core.session_days", "contract_kept", True),
        ("core.session_days", "key_unique", True),
    }
    assert {check.subject.partition_column for check in found} == {"event_date"}


def test_a_table_without_dates_has_no_partitions_whatever_its_stage() -> None:
    new = table_of("countries", Build("days"), partition_column=None)
    pipeline = Pipeline((*TABLES, new))
    assert not new.is_built_by_date
    assert "core.countries" not in names(pipeline.fingerprinted)
    scored = replace(new, partition_column="event_date", build=Build("scoring"))
    assert not scored.is_built_by_date


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([table_of("a", Build("days", inputs=("core.b",)))], "core.a: its build names core.b, which no contract"),
        ([table_of("a", Build("days", inputs=("core.b",))), table_of("b", None)], "core.a: its build names core.b"),
        ([table_of("a", Build("scoring", made_with="core.b"))], "core.a: its build names core.b"),
        ([table_of("a", Build("days"))], "core.a: built by date, from nothing that comes by date"),
        (
            [table_of("a", Build("scoring", inputs=("core.b",))), table_of("b", Build("scoring", inputs=("core.a",)))],
            "tables that are made from each other: core.",
        ),
        (
            [
                table_of("a", Build("arrival")),
                table_of("b", Build("arrival", made_with="core.a")),
                table_of("c", Build("arrival", made_with="core.b")),
            ],
            "core.c: inputs are said of the one table that it is made with, core.b",
        ),
        (
            [
                table_of("a", Build("arrival")),
                table_of("b", Build("arrival", inputs=("core.a",), made_with="core.a")),
            ],
            "core.b: inputs are said of the one table that it is made with, core.a",
        ),
    ],
)
def test_an_impossible_pipeline_is_refused_by_name(tables: list[Table], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pipeline(tables)
