"""What a query says of a table that a snapshot lacks, that is empty, or before any day has events; and that it is
asked once a snapshot."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from small_snapshots import TABLES, ago, snapshot_of

from quality_assets.read import drift, feature, model, overview, pipeline, quality
from quality_assets.read.reader import Cache, Reader

Query = Callable[..., Any]

# Function, arguments after the reader, what it needs, and what it gives where that is not there.
QUERIES: list[tuple[Query, tuple[Any, ...], tuple[str, ...], Any]] = [
    (overview.descriptions, (), ("product.dim_feature_metadata",), {}),
    (overview.current_metrics, (), ("product.feature_daily_trends",), {}),
    (overview.usage, (7,), ("product.fact_feature_metrics",), {}),
    (overview.sparks, (7,), ("product.feature_daily_trends",), {}),
    (overview.risk_now, (), ("ml.risk_scores",), {}),
    (
        overview.passes_were_right,
        (),
        ("product.feature_metrics_with_risk", "ml.degradation_labels"),
        None,
    ),
    (overview.open_incidents, (), ("product.incidents",), []),
    (overview.detected_by_day, (), ("product.incidents",), {}),
    (overview.risk_by_day, (7, 0.5), ("ml.risk_scores",), []),
    (overview.incidents_by_day, (7,), ("product.incidents",), []),
    (overview.totals_by_day, (7,), ("product.fact_feature_metrics",), []),
    (overview.total, (7, "p95_ms"), ("product.fact_feature_metrics",), overview.Total((), None, None, False)),
    (overview.at_risk, (7,), ("ml.risk_scores",), overview.AtRisk(0, 0, (), None)),
    (overview.features, (7,), ("product.dim_feature_metadata",), []),
    (feature.trends, ("pay", 7), ("product.feature_daily_trends",), {}),
    (feature.incidents, ("pay",), ("product.incidents",), []),
    (feature.causes, ("pay",), ("product.incident_causes",), {}),
    (feature.silent_days_to_tell, ("pay",), ("monitoring.baseline_stats",), None),
    (feature.ledger, ("pay",), ("ml.score_ledger",), []),
    (feature.risk_past, ("pay", 7), ("product.feature_metrics_with_risk",), []),
    (feature.trust, (7,), ("monitoring.check_results",), {}),
    (feature.releases, ("pay", 7), ("core.valid_events",), []),
    (feature.weeks, ("pay",), ("core.user_feature_days", "product.fact_feature_metrics"), []),
    (feature.still_active, ("pay",), ("core.user_feature_days",), 0),
    (feature.slices, ("pay", ago(3), ago(3), ()), ("core.valid_events", "product.dim_feature_metadata"), []),
    (feature.slice_by_day, ("pay", 7, ()), ("core.valid_events", "product.dim_feature_metadata"), []),
    (quality.latest, (), ("monitoring.check_results",), []),
    (quality.score_now, (), ("ops.partition_state", "core.quarantined_events", "core.valid_events"), None),
    (quality.worst_by_asset, (7,), ("monitoring.check_results",), []),
    (quality.worst_by_check, (7,), ("monitoring.check_results",), []),
    (quality.worst_by_dimension, (7,), ("monitoring.check_results",), []),
    (quality.score_by_day, (7,), ("ops.partition_state", "core.quarantined_events", "core.valid_events"), []),
    (quality.quarantine_by_day, (7,), ("core.quarantined_events",), []),
    (quality.quarantine_reasons, (7,), ("core.quarantined_events",), []),
    (quality.quarantine_rows, (7, None), ("core.quarantined_events",), []),
    (quality.volume, (), ("ops.partition_state",), []),
    (quality.files, (), ("raw.log_files",), None),
    (quality.sources, (), ("raw.log_files",), []),
    (quality.source_scores, (), ("raw.log_files",), {}),
    (quality.rejected_files, (), ("raw.log_files",), []),
    (drift.latest, (), ("monitoring.data_drift",), []),
    (drift.counts, (), ("monitoring.data_drift",), {}),
    (drift.history, (), ("monitoring.data_drift",), {}),
    (drift.distributions, (), ("monitoring.data_drift", "monitoring.drift_distributions"), {}),
    (drift.drifted_by_day, (7,), ("monitoring.data_drift",), []),
    (drift.power, (), ("monitoring.drift_power",), []),
    (model.versions, (), ("ml.model_versions",), []),
    (model.metrics, ("1",), ("ml.model_metrics",), []),
    (model.importance, ("1",), ("ml.feature_importance",), []),
    (model.calibration, ("1",), ("ml.calibration",), []),
    (model.ledger_by_week, (), ("ml.score_ledger",), []),
    (model.ledger_top, (), ("ml.score_ledger",), None),
    (model.recent_scores, (), ("ml.score_ledger",), []),
    (pipeline.graph, (), ("ops.asset_graph",), []),
    (pipeline.downstream, (), ("ops.asset_graph",), {}),
    (pipeline.runs, (), ("ops.asset_runs",), {}),
    (pipeline.last_partitions, (), ("ops.partition_state",), {}),
    (pipeline.reports, (), ("monitoring.run_report",), []),
    (pipeline.alerts, (), ("monitoring.alerts",), []),
    (pipeline.publications, (), ("ops.publications",), []),
]
# Of a table without rows these tell zeros.
COUNTS = {"files", "ledger_top", "incidents_by_day"}


def _named(query: Query) -> str:
    return f"{query.__module__.rsplit('.', 1)[-1]}.{query.__name__}"


EACH = pytest.mark.parametrize(("query", "given", "tables", "nothing"), QUERIES, ids=[_named(q[0]) for q in QUERIES])


@pytest.fixture(scope="module")
def without_tables() -> Reader:
    """A snapshot that holds nothing."""
    return snapshot_of({})


@pytest.fixture(scope="module")
def without_rows() -> Reader:
    """A snapshot that has every table and no row."""
    return snapshot_of({name: [] for name in TABLES})


@pytest.fixture(scope="module")
def without_days() -> Reader:
    """The same before any day has events."""
    return snapshot_of({name: [] for name in TABLES}, through=None)


@EACH
def test_without_one_of_its_tables_a_query_says_nothing(
    query: Query, given: tuple[Any, ...], tables: tuple[str, ...], nothing: Any, without_tables: Reader
) -> None:
    assert query(without_tables, *given) == nothing
    if len(tables) > 1:
        for missing in tables:
            assert query(snapshot_of({name: [] for name in tables if name != missing}), *given) == nothing


@EACH
def test_of_tables_without_rows_a_query_says_nothing(
    query: Query, given: tuple[Any, ...], tables: tuple[str, ...], nothing: Any, without_rows: Reader
) -> None:
    found = query(without_rows, *given)
    assert (found != nothing) if query.__name__ in COUNTS else (found == nothing)


@EACH
def test_before_any_day_a_query_says_nothing(
    query: Query, given: tuple[Any, ...], tables: tuple[str, ...], nothing: Any, without_days: Reader
) -> None:
    found = query(without_days, *given)
    assert (found != nothing) if query.__name__ in COUNTS - {"incidents_by_day"} else (found == nothing)


@EACH
def test_a_query_is_asked_once_a_snapshot(
    query: Query,
    given: tuple[Any, ...],
    tables: tuple[str, ...],
    nothing: Any,
    without_rows: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    ask = Reader.rows
    monkeypatch.setattr(Reader, "rows", lambda self, sql, *given: (asked.append(sql), ask(self, sql, *given))[1])
    monkeypatch.setattr(without_rows, "cache", Cache())
    first = query(without_rows, *given)
    count = len(asked)
    assert count >= 1
    assert query(without_rows, *given) == first
    assert len(asked) == count
    without_rows.cache = Cache()
    query(without_rows, *given)
    assert len(asked) == 2 * count


def test_every_query_of_the_modules_is_here() -> None:
    modules = (overview, feature, quality, drift, model, pipeline)
    public = {
        f"{module.__name__.rsplit('.', 1)[-1]}.{name}"
        for module in modules
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
        if next(iter(inspect.signature(value).parameters)) == "reader"
    }
    # `features` puts the answers of several queries together, `unbuilt` reads what lies beside the snapshots.
    assert public == {_named(query) for query, *_ in QUERIES} | {"overview.features", "pipeline.unbuilt"}
    assert {table for _, _, tables, _ in QUERIES for table in tables} <= TABLES.keys()
