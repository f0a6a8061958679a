"""What the checks of incidents, labels, models, scores and drift answer, on a few rows whose answer is plain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from check_tables import Row, rows_of, tables_of, undone
from check_tables import write as put

from quality_assets.contracts.drift import (
    BASELINE_STATS,
    DATA_DRIFT,
    DRIFT_DISTRIBUTIONS,
    DRIFT_POWER,
    EVENT_SKETCH_COUNTS,
)
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.ml import (
    CALIBRATION,
    DEGRADATION_LABELS,
    MODEL_METRICS,
    MODEL_VERSIONS,
    RISK_SCORES,
    SCORE_LEDGER,
)
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.table import Column, Table
from quality_assets.domain.quality.check import Answer
from quality_assets.domain.quality.model_checks import MODEL_CHECKS
from quality_assets.domain.quality.result import result_of
from quality_assets.domain.quality.sql_checks import SQL_CHECKS

TODAY = date(2026, 3, 10)
SUBJECTS = {check.subject for check in MODEL_CHECKS} | {
    check.subject for check in SQL_CHECKS if check.subject.name.startswith(("ml.", "monitoring."))
}
CHECKS = [check for check in SQL_CHECKS if check.subject in SUBJECTS]
BY_NAME = {f"{check.subject.name.split('.')[1]}.{check.name}": check for check in CHECKS}


def on(days_ago: int) -> date:
    return TODAY - timedelta(days=days_ago)


@pytest.fixture(scope="module")
def tables() -> Iterator[duckdb.DuckDBPyConnection]:
    with tables_of(CHECKS, [FACT_FEATURE_METRICS], keeps_contract=True) as connection:
        yield connection


@pytest.fixture
def warehouse(tables: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    with undone(tables) as connection:
        yield connection


def unremarkable(column: Column) -> Any:
    if column.allowed:
        return column.allowed[0]
    plain: dict[str, Any] = {"VARCHAR": "x", "DATE": TODAY, "TIMESTAMP": datetime(2026, 3, 10), "BOOLEAN": False}
    return plain.get(column.type, [] if column.type.endswith("[]") else column.minimum or 0)


def write(connection: duckdb.DuckDBPyConnection, table: Table, rows: Sequence[Row]) -> None:
    """Rows of a table, of which only what matters is given."""
    for row in rows:
        put(connection, table, [{c.name: unremarkable(c) for c in table.columns if not c.nullable} | dict(row)])


def answer(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[bool | None, float | None, float | None, int]:
    """Passed, observed, threshold and unexpected count of the one row that a check answers with."""
    (row,) = answers(connection, name)
    assert row[0] == ""
    return row[1:5]


def answers(connection: duckdb.DuckDBPyConnection, name: str) -> list[Any]:
    return rows_of(connection, BY_NAME[name], on(30), TODAY)


def examples(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    (row,) = answers(connection, name)
    return json.loads(row[5] or "[]")


def test_what_is_false_stops_publication_and_what_is_thin_warns() -> None:
    weight = {
        name: "blocks" if check.is_blocking else check.severity
        for name, check in BY_NAME.items()
        if check.name not in ("contract_kept", "key_unique")
    }
    assert weight == {
        "incidents.dates_in_order": "blocks",
        "incidents.nothing_badly_broken": "WARN",
        "degradation_labels.future_is_known": "blocks",
        "degradation_labels.enough_to_learn": "WARN",
        "model_metrics.model_beats_baselines": "WARN",
        "calibration.probabilities_are_true": "WARN",
        "model_versions.one_champion": "ERROR",
        "risk_scores.outcome_was_unknown": "blocks",
        "risk_scores.last_day_scored": "WARN",
        "risk_scores.scored_by_a_model": "WARN",
        "score_ledger.every_score_is_graded": "blocks",
        "event_sketch_counts.events_reconcile": "ERROR",
        "baseline_stats.baselines_known": "WARN",
        "data_drift.could_be_judged": "WARN",
        "data_drift.nothing_drifted": "WARN",
        "drift_distributions.shares_add_up": "ERROR",
        "drift_power.sees_what_matters": "WARN",
    }
    assert all(check.is_blocking for check in CHECKS if check.name in ("contract_kept", "key_unique"))


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "event_sketch_counts.key_unique"])
def test_nothing_at_all_is_never_a_failure(warehouse: duckdb.DuckDBPyConnection, name: str) -> None:
    found = [row[1] for row in answers(warehouse, name)]
    knows_without_rows = ("contract_kept", "key_unique", "nothing_", "dates_in_order", "future_is_known", "shares_add")
    if name == "degradation_labels.enough_to_learn":
        assert found == [False]
    elif any(part in name for part in (*knows_without_rows, "outcome_was", "last_day_scored", "every_score")):
        assert found == [True]
    else:
        assert found in ([None], [])


@pytest.mark.parametrize("table", [INCIDENTS, DEGRADATION_LABELS, MODEL_VERSIONS, RISK_SCORES, DATA_DRIFT])
def test_a_table_written_whole_is_asked_once_for_contract_and_key(
    warehouse: duckdb.DuckDBPyConnection, table: Table
) -> None:
    write(warehouse, table, [{}])
    assert answer(warehouse, f"{table.name}.contract_kept") == (True, 0, 0, 0)
    assert answer(warehouse, f"{table.name}.key_unique") == (True, 0, 0, 0)
    column = next(c for c in table.columns if c.allowed or c.minimum is not None)
    write(warehouse, table, [{column.name: "odd" if column.allowed else column.minimum - 1}])
    assert answer(warehouse, f"{table.name}.contract_kept") == (False, 1, 0, 1)
    write(warehouse, table, [{}]) if not table.is_keyed else None
    assert answer(warehouse, f"{table.name}.key_unique")[0] is table.is_keyed


@pytest.mark.parametrize(
    ("start", "found", "end", "is_passed"),
    [
        (5, 4, 3, True),
        (4, 4, 4, True),
        (5, 0, None, True),
        (4, 5, None, False),
        (5, 4, 6, False),
        (5, -1, None, False),
    ],
)
def test_an_incident_begins_is_found_and_ends_in_that_order(
    warehouse: duckdb.DuckDBPyConnection, start: int, found: int, end: int | None, is_passed: bool
) -> None:
    write(warehouse, FACT_FEATURE_METRICS, [{"event_date": on(9)}, {"event_date": TODAY}])
    dates = {"start_date": on(start), "detected_on": on(found), "end_date": None if end is None else on(end)}
    write(warehouse, INCIDENTS, [{"incident_id": "inc-1", **dates}])
    assert answer(warehouse, "incidents.dates_in_order") == (is_passed, int(not is_passed), 0, int(not is_passed))
    assert examples(warehouse, "incidents.dates_in_order") == ([] if is_passed else ["inc-1"])


def test_only_what_is_grave_and_open_is_badly_broken(warehouse: duckdb.DuckDBPyConnection) -> None:
    name = "incidents.nothing_badly_broken"
    write(warehouse, INCIDENTS, [{"severity": "low"}, {"severity": "medium"}, {"severity": "high", "end_date": TODAY}])
    assert answer(warehouse, name) == (True, 0, 0, 0)
    write(warehouse, INCIDENTS, [{"severity": "high", "sentence": "pay"}, {"severity": "critical", "sentence": "cart"}])
    assert answer(warehouse, name) == (False, 2, 0, 2)
    assert sorted(examples(warehouse, name)) == ["cart", "pay"]


@pytest.mark.parametrize("label", ["label_any", "label_onset"])
@pytest.mark.parametrize(("days_ago", "is_passed"), [(7, True), (6, False)])
def test_a_label_waits_for_its_whole_horizon(
    warehouse: duckdb.DuckDBPyConnection, label: str, days_ago: int, is_passed: bool
) -> None:
    write(warehouse, FACT_FEATURE_METRICS, [{"event_date": on(8)}, {"event_date": TODAY}])
    rows = [{"event_date": on(days_ago), "horizon_days": 7, label: False}, {"event_date": TODAY, "horizon_days": 7}]
    write(warehouse, DEGRADATION_LABELS, rows)
    assert answer(warehouse, "degradation_labels.future_is_known")[0] is is_passed


@pytest.mark.parametrize(("bad", "good", "is_passed"), [(30, 30, True), (29, 40, False), (40, 29, False)])
def test_thirty_of_each_kind_are_enough_to_learn(
    warehouse: duckdb.DuckDBPyConnection, bad: int, good: int, is_passed: bool
) -> None:
    name = "degradation_labels.enough_to_learn"
    write(warehouse, DEGRADATION_LABELS, [{"label_any": value} for value in [True] * bad + [False] * good + [None] * 9])
    assert answer(warehouse, name) == (is_passed, min(bad, good), 30, int(not is_passed))
    assert examples(warehouse, name) == [f"{bad} degraded", f"{good} healthy"]


def graded_models(warehouse: duckdb.DuckDBPyConnection, *rows: tuple[str, str, str, str, float]) -> None:
    """Rows of (version, target, role, metric, value)."""
    names = ("model_version", "target", "role", "metric", "value")
    named = [dict(zip(names, row, strict=True)) for row in rows]
    write(warehouse, MODEL_METRICS, [{"model": "feature_risk", **row} for row in named])


@pytest.mark.parametrize("is_baseline", [False, True])
def test_the_best_trained_model_is_held_against_the_best_baseline(
    warehouse: duckdb.DuckDBPyConnection, is_baseline: bool
) -> None:
    name = "model_metrics.model_beats_baselines"
    version = {"alias": "champion", "model_version": "2", "champion_model": "ewma_chart", "is_baseline": is_baseline}
    write(warehouse, MODEL_VERSIONS, [version, {"model_version": "1", "alias": None}])
    graded_models(
        warehouse,
        ("2", "any", "champion", "brier_skill", 0.5),
        ("2", "any", "candidate", "brier_skill", 0.4),
        ("2", "any", "candidate", "brier_skill", 0.2),
        ("2", "any", "baseline", "brier_skill", 0.3),
        ("2", "onset", "candidate", "brier_skill", 0.9),
        ("2", "any", "candidate", "roc_auc", 0.9),
        ("1", "any", "candidate", "brier_skill", 0.9),
    )
    wanted = (False, 0.4, 0.5, 1) if is_baseline else (True, 0.5, 0.3, 0)
    assert answer(warehouse, name) == wanted
    assert examples(warehouse, name) == (["EWMA chart"] if is_baseline else [])


def test_where_nothing_was_graded_it_is_said_that_it_cannot_be_told(warehouse: duckdb.DuckDBPyConnection) -> None:
    name = "model_metrics.model_beats_baselines"
    version = {"alias": "champion", "model_version": "2", "champion_model": "ewma_chart", "is_baseline": True}
    write(warehouse, MODEL_VERSIONS, [version])
    assert answer(warehouse, name) == (False, None, None, 1)
    said = result_of(BY_NAME[name], Answer(False, unexpected_count=1, examples=examples(warehouse, name))).description
    assert said.startswith(
        "There are too few graded days to tell whether a trained model beats the best baseline; what scores in"
        " its place: EWMA chart. "
    )
    warehouse.execute("update ml.model_versions set champion_model = 'none'")
    assert examples(warehouse, name) == ["nothing"]


@pytest.mark.parametrize(("apart", "is_passed"), [(0.125, True), (0.126, False), (-0.126, False)])
def test_a_twentieth_between_said_and_seen_is_accepted(
    warehouse: duckdb.DuckDBPyConnection, apart: float, is_passed: bool
) -> None:
    write(warehouse, MODEL_VERSIONS, [{"alias": "champion", "model_version": "2"}])
    # Two rows a bin of five are apart by so much, three are true: 2 ÷ 5 of it on average.
    bins = [("2", "any", 2, 0.25 + apart, 0.25), ("2", "any", 3, 0.5, 0.5)]
    bins += [("1", "any", 9, 1.0, 0.0), ("2", "onset", 9, 1.0, 0.0)]
    names = ("model_version", "target", "rows", "predicted", "observed")
    write(warehouse, CALIBRATION, [dict(zip(names, row, strict=True)) for row in bins])
    found = answer(warehouse, "calibration.probabilities_are_true")
    assert found == (is_passed, pytest.approx(0.4 * abs(apart)), 0.05, 0)


@pytest.mark.parametrize(
    ("aliases", "is_passed"), [(("champion", None), True), ((None,), False), (("champion",) * 2, False)]
)
def test_exactly_one_version_is_in_use(
    warehouse: duckdb.DuckDBPyConnection, aliases: tuple[str | None, ...], is_passed: bool
) -> None:
    write(warehouse, MODEL_VERSIONS, [{"model_version": str(n), "alias": alias} for n, alias in enumerate(aliases)])
    wanted = (is_passed, aliases.count("champion"), 1, int(not is_passed))
    assert answer(warehouse, "model_versions.one_champion") == wanted


@pytest.mark.parametrize(("trained_days_ago", "is_passed"), [(2, False), (3, False), (4, True)])
def test_a_model_that_had_seen_the_outcome_scores_nothing(
    warehouse: duckdb.DuckDBPyConnection, trained_days_ago: int, is_passed: bool
) -> None:
    version = {"model_version": "2", "trained_through": on(trained_days_ago), "horizon_days": 7}
    write(warehouse, MODEL_VERSIONS, [version, version | {"model_version": "3", "trained_through": TODAY}])
    write(warehouse, RISK_SCORES, [{"event_date": on(10), "feature": "pay", "model_version": "2"}])
    name = "risk_scores.outcome_was_unknown"
    assert answer(warehouse, name) == (is_passed, int(not is_passed), 0, int(not is_passed))
    assert examples(warehouse, name) == ([] if is_passed else [f"{on(10)} pay"])


def test_who_has_facts_on_the_last_day_has_a_score_of_it(warehouse: duckdb.DuckDBPyConnection) -> None:
    facts = [(TODAY, "pay"), (TODAY, "cart"), (on(1), "gone")]
    write(warehouse, FACT_FEATURE_METRICS, [{"event_date": d, "feature": f} for d, f in facts])
    write(warehouse, RISK_SCORES, [{"event_date": TODAY, "feature": "pay"}, {"event_date": on(1), "feature": "cart"}])
    assert answer(warehouse, "risk_scores.last_day_scored") == (False, 1, 0, 1)
    assert examples(warehouse, "risk_scores.last_day_scored") == ["cart"]
    write(warehouse, RISK_SCORES, [{"event_date": TODAY, "feature": "cart"}])
    assert answer(warehouse, "risk_scores.last_day_scored")[0] is True


def test_the_newest_version_of_the_last_day_must_be_a_trained_model(warehouse: duckdb.DuckDBPyConnection) -> None:
    name = "risk_scores.scored_by_a_model"
    note = "any: ewma_chart stands in"
    rows = [
        {"event_date": on(1), "model_version": "11", "score_kind": "model"},
        {"event_date": TODAY, "model_version": "9", "score_kind": "model", "note": "of old"},
        {"event_date": TODAY, "model_version": "10", "score_kind": "baseline", "note": note},
        {"event_date": TODAY, "model_version": "10", "score_kind": "unknown", "note": note},
    ]
    write(warehouse, RISK_SCORES, rows[2:])
    # Until one has scored nothing is amiss.
    assert answer(warehouse, name)[0] is None
    write(warehouse, RISK_SCORES, rows[:2])
    assert answer(warehouse, name) == (False, 0, 2, 2)
    assert examples(warehouse, name) == ["EWMA chart stands in"]
    write(warehouse, RISK_SCORES, [{"event_date": TODAY, "model_version": "10", "score_kind": "model"}])
    assert answer(warehouse, name) == (True, 1, 3, 2)


@pytest.mark.parametrize(
    ("ledger", "is_passed"),
    [
        ({"risk_probability": 0.25, "label_any": True}, True),
        ({"risk_probability": 0.26, "label_any": True}, False),
        ({"risk_probability": None, "label_any": True}, False),
        ({"risk_probability": 0.25, "label_any": False}, False),
        ({"risk_probability": 0.25, "label_any": None}, False),
        (None, False),
    ],
)
def test_the_ledger_holds_each_score_with_what_happened(
    warehouse: duckdb.DuckDBPyConnection, ledger: dict[str, Any] | None, is_passed: bool
) -> None:
    key = {"event_date": on(9), "feature": "pay", "model_version": "2", "horizon_days": 7}
    truth = {"event_date": on(9), "feature": "pay", "horizon_days": 7, "label_any": True}
    write(warehouse, DEGRADATION_LABELS, [truth, truth | {"horizon_days": 3, "label_any": False}])
    write(
        warehouse, RISK_SCORES, [key | {"risk_probability": 0.25}, key | {"feature": "new", "risk_probability": None}]
    )
    write(warehouse, SCORE_LEDGER, [key | {"feature": "new"}, *([key | ledger] if ledger else [])])
    name = "score_ledger.every_score_is_graded"
    assert answer(warehouse, name) == (is_passed, int(not is_passed), 0, int(not is_passed))
    assert examples(warehouse, name) == ([] if is_passed else [f"{on(9)} pay"])


def test_sketches_count_the_events_of_each_day_once(warehouse: duckdb.DuckDBPyConnection) -> None:
    counts = [(0, "status", "ok", 7), (0, "status", "crash", 3), (0, "platform", "ios", 99), (1, "status", "ok", 5)]
    names = ("event_date", "name", "bin", "n")
    write(warehouse, EVENT_SKETCH_COUNTS, [dict(zip(names, (on(ago), *row), strict=True)) for ago, *row in counts])
    state = [(0, "core.valid_events", 10), (1, "core.valid_events", 6), (1, "core.quarantined_events", 5)]
    names = ("event_date", "table_name", "row_count")
    write(warehouse, PARTITION_STATE, [dict(zip(names, (on(ago), *row), strict=True)) for ago, *row in state])
    found = sorted(row[:5] for row in answers(warehouse, "event_sketch_counts.events_reconcile"))
    assert found == [(on(1).isoformat(), False, 5, 6, 1), (TODAY.isoformat(), True, 10, 10, 0)]


@pytest.mark.parametrize(
    ("statuses", "known", "is_passed"),
    [
        (("ok", "constant", "new", "silent"), 2, True),
        (("ok", "new", "silent"), 1, False),
        (("too_little_history",), 0, False),
        (("ok",), 1, True),
    ],
)
def test_half_of_what_is_measured_must_have_a_baseline(
    warehouse: duckdb.DuckDBPyConnection, statuses: tuple[str, ...], known: int, is_passed: bool
) -> None:
    write(warehouse, BASELINE_STATS, [{"feature": f"f{n}", "status": status} for n, status in enumerate(statuses)])
    found = answer(warehouse, "baseline_stats.baselines_known")
    assert found == (is_passed, known, 0.5 * len(statuses), int(not is_passed))


@pytest.mark.parametrize(
    ("statuses", "unknown", "is_passed"),
    [(("ok", "unknown"), 1, True), (("drifted", "unknown", "unknown"), 2, False), (("ok",), 0, True)],
)
def test_half_of_what_is_watched_may_be_unknown_on_the_last_day(
    warehouse: duckdb.DuckDBPyConnection, statuses: tuple[str, ...], unknown: int, is_passed: bool
) -> None:
    rows = [{"event_date": TODAY, "name": f"n{n}", "status": status} for n, status in enumerate(statuses)]
    write(
        warehouse, DATA_DRIFT, [*rows, *({"event_date": on(1), "name": f"n{n}", "status": "unknown"} for n in range(9))]
    )
    found = answer(warehouse, "data_drift.could_be_judged")
    # It could not be judged on any day before either.
    assert found == (is_passed or None, unknown, 0.5 * len(statuses), 0)
    write(warehouse, DATA_DRIFT, [{"event_date": on(2), "name": "n0", "status": "ok"}])
    found = answer(warehouse, "data_drift.could_be_judged")
    assert found == (is_passed, unknown, 0.5 * len(statuses), int(not is_passed))


def test_drift_of_the_last_day_is_told_by_rank(warehouse: duckdb.DuckDBPyConnection) -> None:
    name = "data_drift.nothing_drifted"
    write(warehouse, DATA_DRIFT, [{"event_date": on(1), "status": "drifted"}, {"event_date": TODAY, "status": "ok"}])
    assert answer(warehouse, name) == (True, 0, 0, 0)
    moved = [{"event_date": TODAY, "status": "drifted", "verdict": f"no. {rank}", "rank": rank} for rank in (2, 1)]
    write(warehouse, DATA_DRIFT, moved)
    assert answer(warehouse, name) == (False, 2, 0, 2)
    assert examples(warehouse, name) == ["no. 1", "no. 2"]


@pytest.mark.parametrize("side", ["reference_share", "current_share"])
@pytest.mark.parametrize(("rest", "is_passed"), [(0.75, True), (0.7499995, True), (0.749998, False), (0.750002, False)])
def test_both_sides_of_a_distribution_add_up_to_the_whole(
    warehouse: duckdb.DuckDBPyConnection, side: str, rest: float, is_passed: bool
) -> None:
    half = {"reference_share": 0.5, "current_share": 0.5}
    bins = [{"name": "a", "bin": 0, **half, side: 0.25}, {"name": "a", "bin": 1, **half, side: rest}]
    write(warehouse, DRIFT_DISTRIBUTIONS, [*bins, {"name": "b", "reference_share": 1.0, "current_share": 1.0}])
    found = answer(warehouse, "drift_distributions.shares_add_up")
    assert found == (is_passed, int(not is_passed), 0, int(not is_passed))


# Bounds of Wilson's 98 % interval by hand: .05 of 100 goes down to .0186, .06 to .0242, .10 of 20 to .0226, .05 of 20
# to .0069; .89 of 100 goes up to .9436, .90 to .9505. Of a change that need not be seen nothing is asked.
@pytest.mark.parametrize(
    ("change", "power", "trials", "is_passed"),
    [
        ("no change", 0.05, 100, True),
        ("no change", 0.06, 100, False),
        ("no change", 0.05, 20, True),
        ("no change", 0.10, 20, False),
        ("latency +20 % on the first day", 0.90, 100, True),
        ("latency +20 % on the first day", 0.89, 100, False),
        ("latency +10 % on the first day", 0.0, 100, True),
    ],
)
def test_the_monitor_errs_only_where_chance_does_not_explain_it(
    warehouse: duckdb.DuckDBPyConnection, change: str, power: float, trials: int, is_passed: bool
) -> None:
    name = "drift_power.sees_what_matters"
    write(warehouse, DRIFT_POWER, [{"change": change, "rows_per_day": 2000, "power": power, "trials": trials}])
    assert answer(warehouse, name) == (is_passed, int(not is_passed), 0, int(not is_passed))
    assert examples(warehouse, name) == ([] if is_passed else [f"{change} at 2000 rows: {power}"])
