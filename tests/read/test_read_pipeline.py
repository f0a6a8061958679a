"""The pipeline page's queries on a few rows each: last runs, usual durations, and what is listed newest first."""

from __future__ import annotations

from datetime import timedelta

from small_snapshots import TABLES, THROUGH, Cells, ago, at, snapshot_of

from quality_assets.read.pipeline import alerts, downstream, graph, last_partitions, publications, reports, runs

GRAPH = "ops.asset_graph"
RUNS = "ops.asset_runs"
STATE = "ops.partition_state"
REPORTS = "monitoring.run_report"
ALERTS = "monitoring.alerts"
PUBLICATIONS = "ops.publications"


def test_the_graph_stands_by_asset() -> None:
    told = {
        "asset": "core.b",
        "schema": "core",
        "kinds": ["duckdb"],
        "description": "What it holds",
        "owner": "team:data",
        "upstream": ["core.a"],
        "is_partitioned": True,
    }
    found = graph(snapshot_of({GRAPH: [told, {"asset": "core.a", "schema": "core"}]}))
    assert [row["asset"] for row in found] == ["core.a", "core.b"]
    assert found[1] == told


def test_downstream_is_everything_that_is_made_from_an_asset() -> None:
    made_from = {"a": [], "b": ["a"], "c": ["b"], "d": ["a", "c"], "e": []}
    reader = snapshot_of({GRAPH: [{"asset": asset, "upstream": upstream} for asset, upstream in made_from.items()]})
    assert downstream(reader) == {"a": {"b", "c", "d"}, "b": {"c", "d"}, "c": {"d"}, "d": set(), "e": set()}


def _run(number: int, duration_s: float, asset: str = "core.a", **cells: object) -> Cells:
    """Run `number`, as many days ago."""
    known: Cells = {
        "asset": asset,
        "run_id": f"run-{number:02d}",
        "partition_key": ago(number).isoformat(),
        "started_at": at(number),
        "finished_at": at(number) + timedelta(seconds=duration_s),
        "duration_s": duration_s,
        "row_count": 100 + number,
        "status": "succeeded",
    }
    return known | cells


def test_the_last_run_of_an_asset_stands_beside_its_usual_duration() -> None:
    rows = [_run(2, 9.0), _run(0, 5.0, status="failed"), _run(1, 1.0), _run(7, 4.0, "core.b", row_count=None)]
    assert runs(snapshot_of({RUNS: rows})) == {
        "core.a": {
            "asset": "core.a",
            "run_id": "run-00",
            "partition_key": "2026-03-31",
            "started_at": at(0),
            "status": "failed",
            "duration_s": 5.0,
            "row_count": 100,
            "usual_duration_s": 5.0,
            "runs": 3,
            "durations": [5.0, 1.0, 9.0],
        },
        "core.b": {
            "asset": "core.b",
            "run_id": "run-07",
            "partition_key": "2026-03-24",
            "started_at": at(7),
            "status": "succeeded",
            "duration_s": 4.0,
            "row_count": None,
            "usual_duration_s": 4.0,
            "runs": 1,
            "durations": [4.0],
        },
    }


def test_durations_are_the_last_fourteen_and_the_usual_one_is_of_all() -> None:
    found = runs(snapshot_of({RUNS: [_run(n, float(n)) for n in range(20)]}))["core.a"]
    assert found["durations"] == [float(n) for n in range(14)]
    assert (found["usual_duration_s"], found["runs"]) == (9.5, 20)


def test_rows_that_the_last_run_did_not_count_are_not_those_of_a_run_before() -> None:
    found = runs(snapshot_of({RUNS: [_run(0, 1.0, row_count=None), _run(1, 1.0)]}))["core.a"]
    assert (found["run_id"], found["row_count"]) == ("run-00", None)


def test_last_partitions_are_each_tables_own() -> None:
    rows: list[Cells] = [
        {"table_name": "core.a", "event_date": ago(3)},
        {"table_name": "core.a", "event_date": ago(1)},
        {"table_name": "core.b", "event_date": THROUGH},
    ]
    assert last_partitions(snapshot_of({STATE: rows})) == {
        "core.a": {"table_name": "core.a", "last_date": ago(1)},
        "core.b": {"table_name": "core.b", "last_date": THROUGH},
    }


def test_reports_are_the_last_ten_without_their_text() -> None:
    rows: list[Cells] = [
        {"run_id": f"r{n}", "reported_at": at(n), "status": "ok", "report": "{}", "rows_in": n} for n in range(12)
    ]
    found = reports(snapshot_of({REPORTS: rows}))
    columns = [name for name in TABLES[REPORTS].column_names if name != "report"]
    assert [(row["run_id"], row["rows_in"]) for row in found] == [(f"r{n}", n) for n in range(10)]
    assert all(list(row) == columns for row in found)


def test_alerts_are_the_last_twenty_and_by_name_where_raised_together() -> None:
    rows: list[Cells] = [
        {"alert_id": f"a{n:02d}", "last_seen": at(n), "subject": f"s{n}", "message": "Look."} for n in range(2, 24)
    ]
    rows += [{"alert_id": name, "last_seen": at(1)} for name in ("z", "b")]
    found = alerts(snapshot_of({ALERTS: rows}))
    assert [row["alert_id"] for row in found] == ["b", "z", *(f"a{n:02d}" for n in range(2, 20))]
    assert (found[2]["subject"], found[2]["message"], found[2]["last_seen"]) == ("s2", "Look.", at(2))


def test_publications_are_the_last_ten() -> None:
    rows: list[Cells] = [
        {"version": f"v{n:02d}", "published_at": at(n), "run_id": f"r{n}", "data_through": ago(n)} for n in range(12)
    ]
    found = publications(snapshot_of({PUBLICATIONS: rows}))
    assert [row["version"] for row in found] == [f"v{n:02d}" for n in range(10)]
    assert found[3] == rows[3] | {"data_fingerprint": ""}
