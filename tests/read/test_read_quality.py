"""The data quality page's queries on a few results, quarantined rows, partitions and files each."""

from __future__ import annotations

from datetime import datetime

import pytest
from small_snapshots import THROUGH, Cells, ago, at, snapshot_of

from quality_assets.read.quality import (
    files,
    latest,
    mean_points,
    mean_score,
    quarantine_by_day,
    quarantine_reasons,
    quarantine_rows,
    rejected_files,
    score_by_day,
    score_now,
    source_scores,
    sources,
    volume,
    worst_by_asset,
    worst_by_check,
    worst_by_dimension,
)

CHECKS = "monitoring.check_results"
QUARANTINE = "core.quarantined_events"
STATE = "ops.partition_state"
FILES = "raw.log_files"


def _result(days: int | None, asset: str = "core.a", check: str = "keys", **cells: object) -> Cells:
    """A result of a partition, or of an asset without partitions that was evaluated a day after the last one."""
    known: Cells = {
        "run_id": "r1",
        "asset": asset,
        "check_name": check,
        "partition_key": "" if days is None else ago(days).isoformat(),
        "checked_at": at(-1 if days is None else days - 1),
        "dimension": "validity",
        "status": "passed",
        "severity": "ERROR",
    }
    return known | cells


def test_the_last_partition_speaks_for_a_check_whenever_it_was_evaluated() -> None:
    told = {
        "asset": "core.a",
        "check_name": "keys",
        "partition_key": THROUGH.isoformat(),
        "dimension": "uniqueness",
        "status": "failed",
        "severity": "WARN",
        "is_blocking": True,
        "observed": 3.0,
        "threshold": 2.0,
        "unexpected_count": 4,
        "description": "Four keys are there twice.",
        "examples": "[1]",
        "run_id": "r7",
        "checked_at": at(-1, 9),
    }
    rows = [
        _result(1, checked_at=at(-3)),
        told,
        _result(0, checked_at=at(-1, 8)),
        _result(0, "core.b", "z", run_id="r3", status="failed"),
        _result(0, "core.b", "z", run_id="r2"),
        _result(0, "core.b", "a"),
    ]
    found = latest(snapshot_of({CHECKS: rows}))
    assert [(row["asset"], row["check_name"]) for row in found] == [
        ("core.a", "keys"),
        ("core.b", "a"),
        ("core.b", "z"),
    ]
    assert found[0] == told | {"points": 50.0}
    assert found[2]["run_id"] == "r2"


def test_what_has_no_partitions_is_judged_on_the_day_it_was_evaluated_and_not_after_the_last() -> None:
    rows = [
        _result(None, check="late", checked_at=at(-4), run_id="r1", status="failed"),
        _result(None, check="late", checked_at=at(-5), run_id="r2"),
        _result(None, check="both", checked_at=at(-5), run_id="r9", status="failed"),
        _result(0, check="both", checked_at=at(-6)),
        _result(None, check="older", checked_at=at(2, 23), run_id="r1", status="failed"),
        _result(1, check="older", checked_at=at(3)),
    ]
    reader = snapshot_of({CHECKS: rows})
    assert {row["check_name"]: row["status"] for row in latest(reader)} == {
        "late": "passed",
        "both": "passed",
        "older": "passed",
    }
    assert {(row["check_name"], row["day"]): row["worst"] for row in worst_by_check(reader, 7)} == {
        ("late", THROUGH): 0,
        ("both", THROUGH): 3,
        ("older", ago(2)): 3,
        ("older", ago(1)): 0,
    }


@pytest.mark.parametrize(
    ("status", "severity", "points", "worst"),
    [
        ("passed", "ERROR", 100.0, 0),
        ("passed", "WARN", 100.0, 0),
        ("failed", "WARN", 50.0, 2),
        ("failed", "ERROR", 0.0, 3),
        ("unknown", "ERROR", None, 1),
        ("unknown", "WARN", None, 1),
    ],
)
def test_points_and_rank_of_a_result(status: str, severity: str, points: float | None, worst: int) -> None:
    reader = snapshot_of({CHECKS: [_result(0, status=status, severity=severity)]})
    assert latest(reader)[0]["points"] == points
    assert worst_by_asset(reader, 7) == [{"asset": "core.a", "day": THROUGH, "worst": worst, "score": points}]
    assert worst_by_check(reader, 7) == [{"asset": "core.a", "check_name": "keys", "day": THROUGH, "worst": worst}]
    assert worst_by_dimension(reader, 7) == [{"dimension": "validity", "day": THROUGH, "worst": worst}]


def _mixed() -> list[Cells]:
    return [
        _result(0, check="a"),
        _result(0, check="b"),
        _result(0, check="c", status="failed", severity="WARN"),
        _result(0, check="d", status="unknown"),
        _result(0, check="e", dimension="volume", status="failed"),
        _result(0, check="f", dimension="accuracy", status="unknown"),
        _result(None, "core.b", "g", dimension="timeliness", status="failed", severity="WARN"),
    ]


def _rows(days: int, table: str, rows: int) -> Cells:
    return {"table_name": table, "event_date": ago(days), "row_count": rows}


def test_the_score_is_of_the_cells_of_each_days_events() -> None:
    state = [_rows(0, "core.valid_events", 95), _rows(0, QUARANTINE, 5), _rows(2, "core.valid_events", 10)]
    state += [_rows(0, "core.user_feature_days", 50), _rows(9, "core.valid_events", 10)]
    refused = [_refused(0, 1, "missing_feature", "invalid_status"), _refused(0, 2, "malformed_row")]
    reader = snapshot_of({STATE: state, QUARANTINE: refused, "core.valid_events": []})
    # Two cells, and all sixteen of a row, of a hundred rows.
    assert score_now(reader) == pytest.approx(1 - (2 + 16) / 1600)
    before, last = score_by_day(reader, 7)
    assert (before["day"], before["score"]) == (ago(2), 1.0)
    assert (last["day"], last["dimensions"]["completeness"]) == (THROUGH, pytest.approx(1 - 1 / 1600))


def test_the_score_is_unknown_where_nothing_came() -> None:
    assert score_now(snapshot_of({STATE: [], QUARANTINE: [], "core.valid_events": []})) is None
    nothing = [_rows(0, "core.valid_events", 0)]
    assert score_now(snapshot_of({STATE: nothing, QUARANTINE: [], "core.valid_events": []})) is None


def test_the_score_of_a_source_is_of_all_its_rows() -> None:
    ledger: list[Cells] = [
        {"file_id": "f1", "source": "app", "status": "loaded", "rows": 50},
        {"file_id": "f2", "source": "web", "status": "loaded", "rows": 10},
    ]
    refused = [_refused(0, 1, "missing_feature"), _refused(3, 2, "malformed_row")]
    found = source_scores(snapshot_of({FILES: ledger, QUARANTINE: refused}))
    assert found == {"app": pytest.approx(1 - (1 + 16) / 800), "web": 1.0}


def test_an_asset_is_as_bad_as_its_worst_check_and_scores_the_mean() -> None:
    found = worst_by_asset(snapshot_of({CHECKS: _mixed()}), 7)
    assert found == [
        {"asset": "core.a", "day": THROUGH, "worst": 3, "score": 62.5},
        {"asset": "core.b", "day": THROUGH, "worst": 2, "score": 50.0},
    ]


def test_a_dimension_is_as_bad_as_its_worst_check() -> None:
    found = worst_by_dimension(snapshot_of({CHECKS: _mixed()}), 7)
    assert {row["dimension"]: row["worst"] for row in found} == {
        "validity": 2,
        "volume": 3,
        "accuracy": 1,
        "timeliness": 2,
    }


def test_results_by_day_are_those_of_the_window_evaluated_last() -> None:
    rows = [
        _result(-1, status="failed"),
        _result(0, run_id="r2"),
        _result(0, run_id="r1", status="failed", severity="WARN"),
        _result(0, run_id="r0", status="failed", checked_at=at(-1, 5)),
        _result(6, status="failed", severity="WARN"),
        _result(7, status="failed"),
        _result(3, "core.b"),
        _result(6, "core.b"),
    ]
    reader = snapshot_of({CHECKS: rows})
    assert worst_by_asset(reader, 7) == [
        {"asset": "core.a", "day": ago(6), "worst": 2, "score": 50.0},
        {"asset": "core.a", "day": THROUGH, "worst": 2, "score": 50.0},
        {"asset": "core.b", "day": ago(6), "worst": 0, "score": 100.0},
        {"asset": "core.b", "day": ago(3), "worst": 0, "score": 100.0},
    ]
    assert [row["day"] for row in worst_by_check(reader, 7)] == [ago(6), ago(6), ago(3), THROUGH]
    assert worst_by_dimension(reader, 7) == [
        {"dimension": "validity", "day": ago(6), "worst": 2},
        {"dimension": "validity", "day": ago(3), "worst": 0},
        {"dimension": "validity", "day": THROUGH, "worst": 2},
    ]


def test_each_evaluation_of_another_day_counts_where_there_are_no_partitions() -> None:
    rows = [
        _result(None, checked_at=at(1, 6), status="failed"),
        _result(None, checked_at=at(1, 7), status="failed", severity="WARN"),
        _result(None, checked_at=at(0)),
    ]
    reader = snapshot_of({CHECKS: rows})
    assert [(row["day"], row["worst"]) for row in worst_by_check(reader, 7)] == [(ago(1), 2), (THROUGH, 0)]


def _refused(days: int, line: int, *reasons: str, **cells: object) -> Cells:
    known = {"event_date": ago(days), "file_id": "f1", "line_number": line, "reasons": list(reasons), "raw_row": "{}"}
    return known | cells


REFUSED = [
    _refused(-1, 1, "bad_status"),
    _refused(0, 2, "no_feature", "bad_status", feature="pay", raw_row='{"x": 1}'),
    _refused(0, 1, "bad_status"),
    _refused(0, 3, "malformed", file_id="f0"),
    _refused(6, 9, "bad_status", file_id="e9"),
    _refused(6, 4, "no_feature", file_id="f1"),
    _refused(6, 5, "no_feature", file_id="f1"),
    _refused(7, 9, "bad_status"),
]


def test_quarantine_by_day_counts_a_row_under_its_first_reason() -> None:
    found = quarantine_by_day(snapshot_of({QUARANTINE: REFUSED}), 7)
    assert [row["event_date"] for row in found] == [ago(6)] * 2 + [THROUGH] * 3
    assert {(row["event_date"], row["reason"]): row["rows"] for row in found} == {
        (ago(6), "bad_status"): 1,
        (ago(6), "no_feature"): 2,
        (THROUGH, "no_feature"): 1,
        (THROUGH, "bad_status"): 1,
        (THROUGH, "malformed"): 1,
    }


def test_quarantine_reasons_count_a_row_under_each_and_stand_by_rows_then_name() -> None:
    rows = [*REFUSED, _refused(2, 1, "no_feature"), _refused(2, 2, "a_tie")]
    assert quarantine_reasons(snapshot_of({QUARANTINE: rows}), 7) == [
        {"reason": "no_feature", "rows": 4, "last_date": THROUGH, "files": 1},
        {"reason": "bad_status", "rows": 3, "last_date": THROUGH, "files": 2},
        {"reason": "a_tie", "rows": 1, "last_date": ago(2), "files": 1},
        {"reason": "malformed", "rows": 1, "last_date": THROUGH, "files": 1},
    ]


def test_quarantined_rows_stand_newest_first_with_their_file() -> None:
    ledger: list[Cells] = [{"file_id": "f1", "path": "app/1.csv"}, {"file_id": "f0", "path": "app/0.csv"}]
    reader = snapshot_of({QUARANTINE: REFUSED, FILES: ledger})
    found = quarantine_rows(reader, 7, None)
    assert [(row["event_date"], row["file_id"], row["line_number"], row["path"]) for row in found] == [
        (THROUGH, "f0", 3, "app/0.csv"),
        (THROUGH, "f1", 1, "app/1.csv"),
        (THROUGH, "f1", 2, "app/1.csv"),
        (ago(6), "e9", 9, None),
        (ago(6), "f1", 4, "app/1.csv"),
        (ago(6), "f1", 5, "app/1.csv"),
    ]
    assert found[2] == {
        "event_date": THROUGH,
        "file_id": "f1",
        "path": "app/1.csv",
        "line_number": 2,
        "feature": "pay",
        "reasons": ["no_feature", "bad_status"],
        "raw_row": '{"x": 1}',
    }


def test_quarantined_rows_of_one_reason_up_to_a_limit_named_by_id_without_a_ledger() -> None:
    reader = snapshot_of({QUARANTINE: REFUSED})
    found = quarantine_rows(reader, 7, "bad_status")
    assert [(row["path"], row["line_number"]) for row in found] == [("f1", 1), ("f1", 2), ("e9", 9)]
    assert quarantine_rows(reader, 7, "bad_status", 2) == found[:2]
    assert quarantine_rows(reader, 7, "nothing like it") == []
    many = snapshot_of({QUARANTINE: [_refused(0, n, "malformed") for n in range(25)]})
    assert [row["line_number"] for row in quarantine_rows(many, 7, None)] == list(range(20))


def _partition(days: int, rows: int, table: str = "core.a") -> Cells:
    return {"table_name": table, "event_date": ago(days), "row_count": rows}


def test_usual_rows_are_the_median_of_that_weekday_over_eight_weeks_before() -> None:
    rows = [
        _partition(-1, 4, "raw.c"),
        _partition(0, 1000),
        _partition(1, 7000),
        _partition(7, 10),
        _partition(14, 30),
        _partition(21, 20),
        _partition(27, 5000),
        _partition(28, 60),
        _partition(56, 90),
        _partition(63, 0),
        _partition(2, 8, "raw.b"),
    ]
    # Of 10, 20, 30, 60 and 90.
    assert volume(snapshot_of({STATE: rows})) == [
        {
            "table_name": "core.a",
            "last_date": THROUGH,
            "last_rows": 1000,
            "usual_rows": 30.0,
            "history": [5000, 20, 30, 10, 7000, 1000],
        },
        {"table_name": "raw.b", "last_date": ago(2), "last_rows": 8, "usual_rows": -1.0, "history": [8]},
        {"table_name": "raw.c", "last_date": ago(-1), "last_rows": 4, "usual_rows": -1.0, "history": [4]},
    ]


def test_usual_rows_lie_between_the_middle_two() -> None:
    rows = [_partition(0, 1), _partition(7, 10), _partition(14, 30)]
    assert volume(snapshot_of({STATE: rows}))[0]["usual_rows"] == 20.0
    old = [_partition(40, 3), _partition(33, 5)]
    assert volume(snapshot_of({STATE: old})) == [
        {"table_name": "core.a", "last_date": ago(33), "last_rows": 5, "usual_rows": 3.0, "history": None}
    ]


def test_a_table_whose_partitions_later_days_fill_has_no_usual_rows_to_fall_short_of() -> None:
    names = ("core.user_days", "impact.definitions", "impact.retention", "impact.segment_days:fading", "raw.own")
    rows = [_partition(0, 0, name) for name in names]
    # Definitions have no dates, retention of a cohort grows for weeks.
    told = [row["table_name"] for row in volume(snapshot_of({STATE: rows}))]
    assert told == ["core.user_days", "impact.segment_days:fading", "raw.own"]


def _file(number: int, **cells: object) -> Cells:
    known = {
        "file_id": f"f{number}",
        "file_number": number,
        "path": f"{number}.csv",
        "status": "loaded",
        "source": "app",
        "arrived_at": at(number),
        "last_event_time": at(number + 1),
        "rows": 10 * number,
        "rows_refused": number,
    }
    return known | cells


LEDGER = [
    _file(1),
    _file(4, last_event_time=at(0)),
    _file(2, source="web", last_event_time=at(1)),
    _file(3, source="api", last_event_time=at(1)),
    _file(5, source="empty", last_event_time=None),
    _file(6, source="web", status="rejected", reason="No header.", size_bytes=12, arrived_at=at(-2)),
    _file(7, source=None, status="rejected", reason="Empty.", size_bytes=0, arrived_at=at(-3)),
]


def test_files_are_counted_with_the_rejected_ones() -> None:
    assert files(snapshot_of({FILES: LEDGER})) == {
        "files": 7,
        "rejected": 2,
        "last_arrival": at(-3),
        "rows": 280,
        "rows_refused": 28,
    }
    assert files(snapshot_of({FILES: []})) == {
        "files": 0,
        "rejected": 0,
        "last_arrival": None,
        "rows": None,
        "rows_refused": None,
    }


def test_sources_stand_by_their_last_event_and_rejected_files_are_none_of_theirs() -> None:
    def source(
        name: str, count: int, rows: int, refused: int, arrival: datetime, event: datetime | None, path: str
    ) -> Cells:
        return {
            "source": name,
            "files": count,
            "rows": rows,
            "rows_refused": refused,
            "last_arrival": arrival,
            "last_event": event,
            "last_path": path,
        }

    assert sources(snapshot_of({FILES: LEDGER})) == [
        source("empty", 1, 50, 5, at(5), None, "5.csv"),
        source("api", 1, 30, 3, at(3), at(1), "3.csv"),
        source("web", 1, 20, 2, at(2), at(1), "2.csv"),
        source("app", 2, 50, 5, at(1), at(0), "4.csv"),
    ]


def test_rejected_files_stand_newest_first_and_are_twenty_at_most() -> None:
    assert rejected_files(snapshot_of({FILES: LEDGER})) == [
        {"path": "7.csv", "reason": "Empty.", "arrived_at": at(-3), "size_bytes": 0},
        {"path": "6.csv", "reason": "No header.", "arrived_at": at(-2), "size_bytes": 12},
    ]
    many = snapshot_of({FILES: [_file(n, status="rejected") for n in range(25)]})
    assert [row["path"] for row in rejected_files(many)] == [f"{n}.csv" for n in range(20)]


def test_a_mean_is_over_what_is_known() -> None:
    assert mean_points([{"points": 100.0}, {"points": None}, {"points": 50.0}]) == 75
    assert mean_points([{"points": None}]) is None
    assert mean_score([{"score": 90.0}, {"score": None}]) == 90
    assert mean_score([]) is None
