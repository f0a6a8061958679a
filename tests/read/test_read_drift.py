"""The drift page's queries on a few tests each: the last judged day, what matters first, 28 days of history."""

from __future__ import annotations

from small_snapshots import THROUGH, Cells, ago, snapshot_of

from quality_assets.read.drift import counts, distributions, drifted_by_day, history, latest, power

DRIFT = "monitoring.data_drift"
DISTRIBUTIONS = "monitoring.drift_distributions"
POWER = "monitoring.drift_power"


def _test(days: int, name: str, status: str = "ok", rank: int = 1, **cells: object) -> Cells:
    return {"event_date": ago(days), "kind": "data", "name": name, "status": status, "rank": rank} | cells


def test_latest_is_the_last_judged_day_drifted_first_then_by_rank_kind_feature_and_name() -> None:
    rows = [
        _test(2, "earlier", "drifted"),
        _test(1, "d", "ok", 1),
        _test(1, "g", "unknown", 1),
        _test(1, "c", "drifted", 3),
        _test(1, "b", "drifted", 2),
        _test(1, "f", "ok", 2, kind="prediction", feature="a"),
        _test(1, "a", "ok", 2, feature="z"),
        *[_test(1, f"z{n}", "ok", 2, feature="a") for n in (3, 1, 2)],
        _test(1, "y", "ok", 2, feature="a", observed=0.5, verdict="Within what days differ by."),
    ]
    found = latest(snapshot_of({DRIFT: rows}))
    assert [row["name"] for row in found] == ["b", "c", "d", "g", "y", "z1", "z2", "z3", "a", "f"]
    assert found[4] | rows[-1] == found[4]
    assert (found[4]["observed"], found[4]["verdict"]) == (0.5, "Within what days differ by.")


def test_latest_and_history_are_of_two_hundred_things_at_most() -> None:
    reader = snapshot_of({DRIFT: [_test(0, f"{n:03d}", rank=n + 1) for n in range(205)]})
    names = [f"{n:03d}" for n in range(200)]
    assert [row["name"] for row in latest(reader)] == names
    assert sorted(name for _, _, name in history(reader)) == names


def test_what_has_drifted_comes_before_what_is_cut_off() -> None:
    rows = [_test(0, f"{n:03d}", rank=1) for n in range(200)] + [_test(0, "zz", "drifted", 9)]
    reader = snapshot_of({DRIFT: rows})
    assert latest(reader)[0]["name"] == "zz"
    assert {("data", "", "zz"), ("data", "", "198")} <= set(history(reader))
    assert ("data", "", "199") not in history(reader)


def test_what_is_cut_off_of_one_rank_is_last_by_kind_feature_and_name() -> None:
    cells: dict[str, Cells] = {
        "kind": {"kind": "prediction", "feature": "", "name": "a"},
        "feature": {"kind": "data", "feature": "z", "name": "a"},
        "name": {"kind": "data", "feature": "m", "name": "zz"},
    }
    for last in cells.values():
        rows = [_test(0, f"{n:03d}", feature="m") for n in range(200)]
        assert (last["kind"], last["feature"], last["name"]) not in history(
            snapshot_of({DRIFT: [*rows, _test(0, "") | last]})
        )
    worse = [_test(0, f"{n:03d}", rank=2) for n in range(200)]
    assert ("data", "", "zz") in history(snapshot_of({DRIFT: [*worse, _test(0, "zz", rank=1)]}))


def test_counts_are_of_the_last_judged_day_by_kind() -> None:
    rows = [
        _test(1, "a", "drifted"),
        _test(1, "b", "drifted"),
        _test(1, "c", "unknown"),
        _test(1, "d"),
        _test(1, "e", "unknown", kind="performance"),
        _test(2, "a", "drifted"),
        _test(2, "f", "drifted", kind="prediction"),
    ]
    assert counts(snapshot_of({DRIFT: rows})) == {
        "data": {"kind": "data", "tests": 4, "drifted": 2, "unknown": 1, "event_date": ago(1)},
        "performance": {"kind": "performance", "tests": 1, "drifted": 0, "unknown": 1, "event_date": ago(1)},
    }


def test_history_is_of_28_days_in_order_for_what_was_tested_last() -> None:
    rows = [
        _test(2, "a", observed=3.0, threshold=0.3),
        _test(29, "a", observed=9.0, threshold=0.9),
        _test(30, "a", observed=8.0, threshold=0.8),
        _test(3, "a", observed=None, threshold=0.2),
        _test(28, "a", observed=1.0, threshold=0.1),
        _test(5, "gone", observed=1.0),
        _test(2, "a", feature="pay", observed=7.0, threshold=0.7),
        _test(4, "a", kind="prediction", observed=6.0),
        _test(2, "b", kind="prediction", observed=5.0, threshold=0.5),
    ]
    key = {"kind": "data", "feature": "", "name": "a"}
    assert history(snapshot_of({DRIFT: rows})) == {
        ("data", "", "a"): key | {"observed": [9.0, 1.0, None, 3.0], "threshold": [0.9, 0.1, 0.2, 0.3]},
        ("data", "pay", "a"): key | {"feature": "pay", "observed": [7.0], "threshold": [0.7]},
        ("prediction", "", "b"): {
            "kind": "prediction",
            "feature": "",
            "name": "b",
            "observed": [5.0],
            "threshold": [0.5],
        },
    }


def test_drifted_things_are_counted_a_day_and_kind_of_the_window_before_the_last_judged_day() -> None:
    rows = [
        _test(1, "a", "drifted"),
        _test(1, "b"),
        _test(1, "c", "unknown"),
        _test(7, "a", "drifted"),
        _test(7, "b", "drifted"),
        _test(8, "a", "drifted"),
        _test(4, "p", kind="prediction"),
    ]
    assert drifted_by_day(snapshot_of({DRIFT: rows}), 7) == [
        {"event_date": ago(7), "kind": "data", "drifted": 2, "tests": 2, "unknown": 0},
        {"event_date": ago(4), "kind": "prediction", "drifted": 0, "tests": 1, "unknown": 0},
        {"event_date": ago(1), "kind": "data", "drifted": 1, "tests": 3, "unknown": 1},
    ]


def _bin(number: int, days: int = 1, **cells: object) -> Cells:
    return {"event_date": ago(days), "kind": "data", "name": "latency_ms", "bin": number} | cells


def test_distributions_are_those_of_the_last_judged_day_bin_by_bin() -> None:
    rows = [
        _bin(1, low=10.0, high=None, reference_share=0.4, current_share=0.7),
        _bin(0, low=None, high=10.0, reference_share=0.6, current_share=0.3),
        _bin(0, days=2, name="old", reference_share=1.0),
        _bin(1, name="platform", label="web", reference_share=0.1, current_share=0.2),
        _bin(0, name="platform", label="ios", reference_share=0.9, current_share=0.8),
        _bin(0, feature="pay", reference_share=0.5, current_share=0.25),
    ]
    tables = {DISTRIBUTIONS: rows, DRIFT: [_test(1, "latency_ms"), _test(2, "latency_ms")]}
    of = {"kind": "data", "feature": "", "name": "latency_ms"}
    unknown = {"labels": [None], "low": [None], "high": [None]}
    assert distributions(snapshot_of(tables)) == {
        ("data", "", "latency_ms"): of
        | {
            "labels": [None] * 2,
            "low": [None, 10.0],
            "high": [10.0, None],
            "reference": [0.6, 0.4],
            "current": [0.3, 0.7],
        },
        ("data", "", "platform"): of
        | {"name": "platform", "labels": ["ios", "web"], "low": [None] * 2, "high": [None] * 2}
        | {"reference": [0.9, 0.1], "current": [0.8, 0.2]},
        ("data", "pay", "latency_ms"): of | unknown | {"feature": "pay", "reference": [0.5], "current": [0.25]},
    }
    assert distributions(snapshot_of(tables | {DRIFT: [_test(0, "latency_ms")]})) == {}


def test_power_stands_by_statistic_change_and_rows() -> None:
    told = {"statistic": "w1", "change": "+10 %", "rows_per_day": 2000, "power": 0.8, "trials": 400}
    rows: list[Cells] = [
        told,
        told | {"rows_per_day": 500},
        told | {"statistic": "binomial_z", "change": "twice"},
        told | {"change": "+05 %"},
    ]
    assert power(snapshot_of({POWER: rows})) == [rows[2], rows[3], rows[1], rows[0]]


def test_the_last_judged_day_may_be_any() -> None:
    assert latest(snapshot_of({DRIFT: [_test(-3, "a"), _test(0, "b")]}))[0]["event_date"] == ago(-3)
    assert latest(snapshot_of({DRIFT: [_test(0, "a")]}, through=None))[0]["event_date"] == THROUGH
