"""What scripts get: one row a feature, the tables by name, and cells as a spreadsheet may have them."""

from __future__ import annotations

from datetime import date

import pytest
from small_snapshots import TABLES as CONTRACTS
from small_snapshots import THROUGH, Cells, ago, at, snapshot_of

from quality_assets.read.links import Request
from quality_assets.read.reader import Reader
from quality_assets.read.rows import COLUMNS, TABLES, features, slices, to_csv, trends

DESCRIPTIONS = "product.dim_feature_metadata"
TRENDS = "product.feature_daily_trends"
FACTS = "product.fact_feature_metrics"
INCIDENTS = "product.incidents"
SCORES = "ml.risk_scores"


def test_a_feature_has_what_is_known_of_it_in_its_own_units() -> None:
    described = {
        "feature": "pay",
        "display_name": "One-tap pay",
        "team": "Payments",
        "owner": "ada@example.com",
        "tier": 1,
        "lifecycle_stage": "ga",
    }
    scored = {
        "risk_probability": 0.6,
        "low": 0.5,
        "high": 0.7,
        "onset_probability": 0.2,
        "model_version": "12",
    }
    values = {"latency_p95_ms": 400.0, "crash_rate": 0.03, "error_rate": 0.02, "feedback_mean": 4.5}
    reader = snapshot_of(
        {
            DESCRIPTIONS: [described, {"feature": "maps"}],
            TRENDS: [
                {"event_date": THROUGH, "feature": "pay", "metric": metric, "value": value, "change": value / 2}
                for metric, value in values.items()
            ],
            FACTS: [
                {"event_date": ago(6), "feature": "pay", "users": 10, "adoption_rate": 0.1},
                {"event_date": THROUGH, "feature": "pay", "users": 30, "adoption_rate": 0.3},
                {"event_date": ago(7), "feature": "pay", "users": 1000, "adoption_rate": 0.9},
            ],
            INCIDENTS: [
                {"incident_id": "a", "feature": "pay", "severity": "low", "affected_users": 4},
                {"incident_id": "b", "feature": "pay", "severity": "medium", "affected_users": 9},
                {"incident_id": "c", "feature": "pay", "severity": "high", "end_date": THROUGH, "affected_users": 99},
            ],
            SCORES: [{"event_date": THROUGH, "feature": "pay", "expected_users_affected": 50.0} | scored],
        }
    )
    first, second = features(reader, Request("/", {"window": "7d"}))
    assert first == described | scored | values | {
        "status": "degraded",
        "open_incidents": 2,
        "latency_p95_ms_change": 200.0,
        "crash_rate_change": 0.015,
        "users_a_day": 20.0,
        "adoption_rate": pytest.approx(0.2),
        "users_affected_a_day": 9,
    }
    nothing = dict.fromkeys(COLUMNS["features"])
    assert second == nothing | {"feature": "maps", "display_name": "maps", "status": "unknown", "open_incidents": 0}
    assert tuple(first) == tuple(second) == COLUMNS["features"]


def test_trends_of_all_metrics_of_the_feature_asked_for_stand_in_one_table() -> None:
    rows: list[Cells] = [
        {"event_date": ago(days), "feature": feature, "metric": metric, "value": float(days)}
        for feature in ("pay", "maps")
        for metric in ("users", "crash_rate")
        for days in (0, 1, 7)
    ]
    reader = snapshot_of({TRENDS: rows})
    asked = Request("/", {"feature": "pay", "window": "7d"})
    found = trends(reader, asked)
    assert [(row["metric"], row["event_date"]) for row in found] == [
        ("crash_rate", ago(1)),
        ("crash_rate", THROUGH),
        ("users", ago(1)),
        ("users", THROUGH),
    ]
    assert trends(reader, Request("/")) == []
    assert TABLES["trends"](reader, asked) == found
    assert all(tuple(row) == COLUMNS["trends"] for row in found)


def test_slices_and_then_pairs_are_those_that_the_features_page_compares() -> None:
    event = {"feature": "pay", "platform": "iOS", "app_version": "1", "country": "DE"}
    reader = snapshot_of(
        {
            "core.valid_events": [event | {"event_date": ago(days)} for days in (0, 6, 7)],
            DESCRIPTIONS: [],
            INCIDENTS: [],
        }
    )
    found = slices(reader, Request("/", {"feature": "pay"}))
    assert [(row["dimension"], row["dimension_2"], row["is_now"], row["events"]) for row in found] == [
        ("app_version", None, True, 2),
        ("app_version", None, False, 1),
        ("country", None, True, 2),
        ("country", None, False, 1),
        ("platform", None, True, 2),
        ("platform", None, False, 1),
        ("app_version", "country", True, 2),
        ("app_version", "country", False, 1),
        ("platform", "app_version", True, 2),
        ("platform", "country", True, 2),
        ("platform", "app_version", False, 1),
        ("platform", "country", False, 1),
    ]
    assert all(tuple(row) == COLUMNS["slices"] for row in found)
    assert slices(reader, Request("/", {"feature": "pay", "platform": "Web"})) == []
    assert slices(reader, Request("/", {"feature": "maps"})) == []
    assert slices(reader, Request("/")) == []


@pytest.fixture(scope="module")
def told() -> Reader:
    """A snapshot in which each table has rows that can be told apart."""

    def rows(key: str, *values: object, **cells: object) -> list[Cells]:
        return [{key: value} | cells for value in values]

    now = {"event_date": THROUGH}
    tables: dict[str, list[Cells]] = {name: [] for name in CONTRACTS} | {
        INCIDENTS: [
            {"incident_id": "open", "feature": "pay", "severity": "low"},
            {"incident_id": "ended", "feature": "pay", "severity": "low", "end_date": THROUGH},
            {"incident_id": "other", "feature": "maps", "severity": "low"},
        ],
        "core.user_feature_days": rows("user_id", "u1", feature="pay", **now),
        FACTS: rows("event_date", ago(20)),
        "ml.score_ledger": rows("model_version", "12", feature="pay", rank=1, is_graded=True, label_any=True)
        + rows("model_version", "13", feature="maps", rank=2),
        "product.feature_metrics_with_risk": [
            {"event_date": ago(days), "feature": feature, "risk_probability": 0.25, "is_backfilled": days > 0}
            for feature, days in (("pay", 0), ("pay", 400), ("maps", 1))
        ],
        "monitoring.check_results": [
            {
                "run_id": "r1",
                "asset": "core.a",
                "check_name": "keys",
                "partition_key": ago(days).isoformat(),
                "checked_at": at(-1),
                "status": "passed",
            }
            for days in (0, 6, 7)
        ],
        "core.quarantined_events": [
            {"event_date": ago(days), "file_id": "f1", "line_number": days, "reasons": [reason]}
            for days, reason in ((0, "bad_status"), (6, "no_feature"), (7, "bad_status"))
        ],
        "ops.partition_state": rows("table_name", "core.a", **now),
        "raw.log_files": [
            {"file_id": "f1", "path": "1.csv", "status": "loaded", "source": "app"},
            {"file_id": "f2", "path": "2.csv", "status": "rejected"},
        ],
        "monitoring.data_drift": rows("name", "latency_ms", status="ok", **now),
        "monitoring.drift_power": rows("statistic", "w1"),
        "ml.model_versions": rows("model_version", "12", alias="champion") + rows("model_version", "13"),
        "ml.model_metrics": rows("model_version", "12", model="feature_risk", value=0.12)
        + rows("model_version", "13", model="feature_risk", value=0.13),
        "ml.calibration": rows("model_version", "12", target="any", bin=12)
        + rows("model_version", "13", target="any", bin=13),
        "ml.feature_importance": rows("model_version", "12", target="any", rank=12)
        + rows("model_version", "13", target="any", rank=13),
        "ops.asset_graph": rows("asset", "core.b", "core.a"),
        "ops.asset_runs": rows("asset", "core.b", "core.a", run_id="r1"),
        "monitoring.run_report": rows("run_id", "r1"),
        "monitoring.alerts": rows("alert_id", "a1"),
        "ops.publications": rows("version", "v1"),
    }
    return snapshot_of(tables)


@pytest.mark.parametrize(
    ("table", "query", "column", "values"),
    [
        ("incidents", {}, "incident_id", ["open", "other"]),
        ("feature_incidents", {"feature": "pay"}, "incident_id", ["open", "ended"]),
        ("feature_incidents", {}, "incident_id", []),
        ("feature_weeks", {"feature": "pay"}, "new", [1]),
        ("feature_weeks", {"feature": "maps"}, "new", []),
        ("feature_scores", {"feature": "pay"}, "model_version", ["12"]),
        ("feature_scores", {"feature": "maps"}, "model_version", ["13"]),
        ("risk_past", {"feature": "pay"}, "event_date", [ago(400), THROUGH]),
        ("risk_past", {"feature": "pay"}, "is_backfilled", [True, False]),
        ("risk_past", {"feature": "maps"}, "is_graded", [False]),
        ("checks", {}, "partition_key", [THROUGH.isoformat()]),
        ("checks_by_day", {"window": "7d"}, "day", [ago(6), THROUGH]),
        ("checks_by_day", {}, "day", [ago(7), ago(6), THROUGH]),
        ("quarantine", {"window": "7d"}, "line_number", [0, 6]),
        ("quarantine", {"reason": "bad_status"}, "line_number", [0, 7]),
        ("quarantine_reasons", {"window": "7d"}, "rows", [1, 1]),
        ("quarantine_reasons", {}, "rows", [2, 1]),
        ("volume", {}, "table_name", ["core.a"]),
        ("sources", {}, "source", ["app"]),
        ("rejected_files", {}, "path", ["2.csv"]),
        ("drift", {}, "name", ["latency_ms"]),
        ("drift_power", {}, "statistic", ["w1"]),
        ("model_metrics", {}, "value", [0.12]),
        ("model_metrics", {"version": "13"}, "value", [0.13]),
        ("calibration", {}, "bin", [12]),
        ("calibration", {"version": "13"}, "bin", [13]),
        ("importance", {}, "rank", [12]),
        ("importance", {"version": "13"}, "rank", [13]),
        ("model_versions", {}, "model_version", ["12", "13"]),
        ("scores", {}, "model_version", ["12", "13"]),
        ("assets", {}, "asset", ["core.a", "core.b"]),
        ("runs", {}, "asset", ["core.a", "core.b"]),
        ("run_reports", {}, "run_id", ["r1"]),
        ("alerts", {}, "alert_id", ["a1"]),
        ("publications", {}, "version", ["v1"]),
    ],
)
def test_a_table_by_name_is_the_query_of_that_name(
    told: Reader, table: str, query: dict[str, str], column: str, values: list[object]
) -> None:
    found = TABLES[table](told, Request("/", query))
    assert [row[column] for row in found] == values
    assert all(tuple(row) == COLUMNS[table] for row in found)


def test_scores_by_week_are_the_graded_ones() -> None:
    row = {"event_date": date(2026, 3, 31), "risk_probability": 0.5, "label_any": True, "is_graded": True}
    (week,) = TABLES["scores_by_week"](snapshot_of({"ml.score_ledger": [row]}), Request("/"))
    assert (week["week"], week["scores"], tuple(week)) == (date(2026, 3, 30), 1, COLUMNS["scores_by_week"])


@pytest.mark.parametrize("table", ["model_metrics", "calibration", "importance"])
def test_without_any_version_there_is_nothing_of_one(table: str) -> None:
    source = {"model_metrics": "ml.model_metrics", "calibration": "ml.calibration"}.get(table, "ml.feature_importance")
    reader = snapshot_of({source: [{"model_version": "1", "target": "any"}], "ml.model_versions": []})
    assert TABLES[table](reader, Request("/")) == []


def test_a_quarantine_of_ten_thousand_rows_is_given_whole_and_no_more() -> None:
    reader = snapshot_of({"core.quarantined_events": []})
    reader._connection.execute(
        "insert into core.quarantined_events by name"
        " select $day::date as event_date, 'f' as file_id, n as line_number, ['x'] as reasons, '' as raw_row"
        " from range(10001) t(n)",
        {"day": THROUGH},
    )
    found = TABLES["quarantine"](reader, Request("/"))
    assert [found[0]["line_number"], found[-1]["line_number"], len(found)] == [0, 9999, 10_000]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "True"),
        (-1.5, "-1.5"),
        ("plain", "plain"),
        ("", ""),
        ("a, b", '"a, b"'),
        ('say "x"', '"say ""x"""'),
        ("=cmd()", "'=cmd()"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        ("a=b", "a=b"),
        (ago(0), "2026-03-31"),
        (["Café", "=x"], '"[""Café"", ""=x""]"'),
        ([ago(0)], '"[""2026-03-31""]"'),
        ({"a": 1}, '"{""a"": 1}"'),
        ([], "[]"),
    ],
)
def test_cells_are_what_a_spreadsheet_may_have(value: object, cell: str) -> None:
    assert to_csv([{"x": 1, "value": value}], ("value", "x")) == f"value,x\r\n{cell},1\r\n"


def test_a_carriage_return_runs_nothing_either() -> None:
    assert to_csv([{"value": "\r=x"}], ("value",)) == 'value\r\n"\'\r=x"\r\n'
    assert to_csv([], ("a", "b")) == "a,b\r\n"
