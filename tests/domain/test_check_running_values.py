"""Checks as they are asked, answered and kept: parts of dates, faults of a check, what stands, many days as one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from quality_assets.contracts.table import Column, Table
from quality_assets.domain.events.tables import REPEATED
from quality_assets.domain.quality.check import Answer, Check, Expectation, Subject
from quality_assets.domain.quality.result import CheckResult
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.checks import expectation_runs, expectations, run
from quality_assets.tables.checks.expectations import ExpectationOutcome
from quality_assets.tables.checks.known import ALL_CHECKS, blocking_checks, checks_by_subject
from quality_assets.tables.checks.run import (
    LATEST_RESULTS_SQL,
    failing_dates,
    record_results,
    run_check,
    run_checks,
    summarize,
)
from tests.conftest import new_settings

DAY = date(2026, 3, 1)
SUBJECT = Subject("table", "core.valid_events", "event_date")
ONE_ROW = "select '' as partition_key, true as is_passed, 1.0 as observed, 2.0 as threshold, 0 as unexpected_count,"
ASKED = Check(SUBJECT, "asked", "Is it?", "validity", f"{ONE_ROW} null as examples", is_blocking=True)
RESULT = CheckResult(
    "core.a", "unique", "2026-03-01", "uniqueness", "passed", "ERROR", True, 1.0, 2.0, 0, "Yes.", '["x"]'
)


def on(days: int) -> date:
    return DAY + timedelta(days=days)


# --- Asking -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory() -> Iterator[Any]:
    """A warehouse of no tables."""
    with duckdb.connect() as connection:
        yield SimpleNamespace(connection=connection)


def test_what_a_query_gives_becomes_results_in_the_order_of_partitions(memory: Any) -> None:
    sql = (
        "select * from (values ('b', false, 3.0, 2.0, 3, '[\"x\"]'), ('a', null, null, null, 0, null)) as"
        " v(partition_key, is_passed, observed, threshold, unexpected_count, examples)"
    )
    check = Check(SUBJECT, "asked", "Is it?", "validity", sql, finding="{observed} of {threshold}", remedy="Look.")
    assert run_check(memory, check) == [
        CheckResult("core.valid_events", "asked", "a", "validity", "unknown", "ERROR", False, None, None, 0,
                    "Is it? Unknown: there is not enough history yet to hold it against."),
        CheckResult("core.valid_events", "asked", "b", "validity", "failed", "ERROR", False, 3.0, 2.0, 3,
                    "3 rows of 2 rows: x; and 2 more. Look.", '["x"]'),
    ]  # fmt: skip


def test_a_query_is_handed_the_dates_and_the_time_that_it_names(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 3, 5, 6)
    monkeypatch.setattr(run, "utc_now", lambda: now)
    sql = (
        "select concat_ws(' ', $start, $end, $now) as partition_key, true as is_passed, null as observed,"
        " null as threshold, 0 as unexpected_count, null as examples"
    )
    (found,) = run_check(memory, replace(ASKED, sql=sql), DAY, on(1))
    assert found.partition_key == "2026-03-01 2026-03-02 2026-03-05 06:00:00"
    (found,) = run_check(memory, replace(ASKED, sql=sql.replace("$start, ", "")), None, on(1))
    assert found.partition_key == "2026-03-02 2026-03-05 06:00:00"


@pytest.mark.parametrize(("start", "key"), [(None, ""), (date.min, ""), (DAY, "2026-03-01")])
def test_a_query_that_fails_is_unknown_of_its_first_date(memory: Any, start: date | None, key: str) -> None:
    (found,) = run_check(memory, replace(ASKED, sql="select * from nowhere"), start, on(3))
    assert (found.partition_key, found.status, found.is_blocking) == (key, "unknown", True)
    assert found.description.startswith("Is it? Unknown: the check itself failed: Catalog Error: Table with name now")


@pytest.mark.parametrize(
    ("answer", "blocking", "wanted"),
    [
        (Answer(False, 1.0), True, ("failed", True)),
        (Answer(False, 1.0), False, ("failed", False)),
        (Answer(None, why="w."), True, ("unknown", False)),
        (Answer(True), True, ("passed", False)),
        # What the answer says itself does not count here.
        (Answer(False, 1.0, is_blocking=True), False, ("failed", False)),
    ],
)
def test_a_computation_blocks_where_it_found_a_fault_alone(
    memory: Any, answer: Answer, blocking: bool, wanted: tuple[str, bool]
) -> None:
    check = Check(SUBJECT, "computed", "Is it?", "accuracy", answer=lambda _: answer, is_blocking=blocking)
    (found,) = run_check(memory, check)
    assert (found.status, found.is_blocking, found.partition_key) == (*wanted, "")


def test_a_computation_that_raises_is_unknown(memory: Any) -> None:
    def broken(_: Any) -> Answer:
        raise KeyError("tier")

    check = Check(SUBJECT, "computed", "Is it?", "accuracy", answer=broken, is_blocking=True)
    (found,) = run_check(memory, check)
    told = "Is it? Unknown: the check itself failed: 'tier'"
    assert (found.status, found.is_blocking, found.description) == ("unknown", False, told)


@pytest.mark.parametrize(
    ("at_once", "spans"),
    [
        (None, [(0, 9)]),
        (90, [(0, 1), (2, 2), (4, 4)]),
        (89, [(0, 0), (1, 2), (4, 4)]),
        (200, [(0, 4)]),
        (199, [(0, 2), (4, 4)]),
        (1, [(0, 0), (1, 1), (2, 2), (4, 4)]),
    ],
)
def test_dates_are_asked_for_in_parts(
    monkeypatch: pytest.MonkeyPatch, at_once: int | None, spans: list[tuple[int, int]]
) -> None:
    asked: list[Any] = []

    def row_counts(*given: Any) -> dict[date, int]:
        asked.append(given)
        return {on(0): 40, on(1): 50, on(2): 20, on(4): 90}

    monkeypatch.setattr(run, "row_counts", row_counts)
    session: Any = SimpleNamespace(connection="c")
    found = run._spans(session, replace(ASKED, rows_at_once=at_once), on(0), on(9))
    assert found == [(on(first), on(last)) for first, last in spans]
    assert [(c, table.qualified_name, *dates) for c, table, *dates in asked] == (
        [("c", "core.valid_events", on(0), on(9))] if at_once else []
    )


def test_each_check_gets_its_own_results_in_the_order_asked(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Expectation("a_not_null", "a", "not_null", {}, "completeness")
    suites = [
        Check(SUBJECT, name, "Is it?", "completeness", expectations=(expected,), is_blocking=True) for name in "ab"
    ]
    handed: list[Any] = []

    def run_expectations(session: Any, checks: Any, start: Any, end: Any) -> dict[str, list[str]]:
        handed.append((session, [check.name for check in checks], start, end))
        return {check.name: [f"of {check.name}"] for check in checks}

    monkeypatch.setattr(run, "run_expectations", run_expectations)
    found = run_checks(memory, [suites[1], ASKED, suites[0]], DAY, on(2))
    assert (found[0], found[2], [result.status for result in found[1]]) == (["of b"], ["of a"], ["passed"])
    assert run_check(memory, suites[0], DAY, None) == ["of a"]
    assert handed == [(memory, ["b", "a"], DAY, on(2)), (memory, ["a"], DAY, None)]


def test_every_check_is_known_by_its_subject_and_whether_it_blocks() -> None:
    grouped = checks_by_subject()
    assert sorted(map(id, (check for checks in grouped.values() for check in checks))) == sorted(map(id, ALL_CHECKS))
    assert all(check.subject == subject for subject, checks in grouped.items() for check in checks)
    assert blocking_checks() == {(check.subject.name, check.name) for check in ALL_CHECKS if check.is_blocking}


# --- Many days as one -------------------------------------------------------------------------------------------------


def _of(status: str, day: int, count: int | None = 0) -> CheckResult:
    made = replace(RESULT, status=status, partition_key=f"2026-03-0{day}", unexpected_count=count)
    return replace(made, description=f"{status} {day}.")


@pytest.mark.parametrize(
    ("results", "status", "day", "count", "text"),
    [
        ([_of("failed", 1, None)], "failed", 1, None, "failed 1."),
        ([_of("passed", 1), _of("passed", 2)], "passed", 2, 0, "passed 2."),
        ([_of("passed", 1), _of("unknown", 2)], "passed", 1, 0, "passed 1."),
        ([_of("unknown", 1), _of("unknown", 2)], "unknown", 2, 0, "unknown 2."),
        ([_of("failed", 3, 2), _of("passed", 4), _of("failed", 1, 5), _of("failed", 2, None)], "failed", 1, 7,
         "3 of 4 dates fail: 2026-03-01, 2026-03-02, 2026-03-03. failed 1."),
        ([_of("failed", 1, 3), _of("unknown", 2, 9), _of("failed", 3, 3)], "failed", 1, 15,
         "2 of 3 dates fail: 2026-03-01, 2026-03-03. failed 1."),
    ],
)  # fmt: skip
def test_results_of_many_days_are_one(
    results: list[CheckResult], status: str, day: int, count: int | None, text: str
) -> None:
    assert summarize(results) == replace(_of(status, day), unexpected_count=count, description=text)


# --- What is kept -----------------------------------------------------------------------------------------------------

Told = list[tuple[list[CheckResult], dict[tuple[str, str], int], str]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Whom a run would tell of what."""
    calls: Told = []
    monkeypatch.setattr(
        run, "tell_of_checks", lambda _, results, standing, run_id: calls.append((list(results), standing, run_id))
    )
    return calls


@pytest.fixture
def session(tmp_path: Path) -> Iterator[WarehouseSession]:
    """An empty warehouse."""
    with open_warehouse(new_settings(tmp_path / "data")) as opened:
        yield opened


def _kept(session: WarehouseSession) -> list[Any]:
    return session.connection.execute("select * from monitoring.check_results order by all").fetchall()


def test_results_are_kept_whole_and_told_with_what_stands(
    session: WarehouseSession, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [datetime(2026, 3, 2, 6)]
    monkeypatch.setattr(run, "utc_now", lambda: clock[0])
    failed = [replace(RESULT, status="failed", partition_key=f"2026-03-0{day}", unexpected_count=day) for day in (1, 2)]
    other = replace(RESULT, check_name="volume", partition_key="", status="failed", unexpected_count=None)
    elsewhere = replace(RESULT, asset="core.b", status="failed")
    record_results(session, [], "run-0")
    record_results(session, [*failed, other, elsewhere], "run-1")
    assert _kept(session)[0] == (
        "run-1", clock[0], "core.a", "unique", "2026-03-01", "uniqueness", "failed", "ERROR", True, 1.0, 2.0, 1,
        "Yes.", '["x"]',
    )  # fmt: skip
    assert failing_dates(session, "core.a") == {"unique": {"2026-03-01": 1, "2026-03-02": 2}}
    # The clock was set back: what is newer is newer all the same.
    clock[0] = datetime(2026, 3, 1)
    passed = replace(RESULT, partition_key="2026-03-02")
    record_results(session, [passed], "run-2")
    assert failing_dates(session, "core.a") == {"unique": {"2026-03-01": 1}}
    assert failing_dates(session, "core.b") == {"unique": {"2026-03-01": 0}}
    assert told == [
        (
            [*failed, other, elsewhere],
            {("core.a", "unique"): 2, ("core.a", "volume"): 1, ("core.b", "unique"): 1},
            "run-1",
        ),
        ([passed], {("core.a", "unique"): 1, ("core.a", "volume"): 1}, "run-2"),
    ]
    newest = session.connection.execute(f"{LATEST_RESULTS_SQL} order by all").fetchall()
    first, second = datetime(2026, 3, 2, 6), datetime(2026, 3, 2, 6, 0, 1)
    same = ("uniqueness", "failed", "ERROR", True)
    assert newest == [
        ("core.a", "unique", "2026-03-01", first, *same, 1, "Yes.", "run-1"),
        ("core.a", "unique", "2026-03-02", second, "uniqueness", "passed", "ERROR", True, 0, "Yes.", "run-2"),
        ("core.a", "volume", "", first, *same, None, "Yes.", "run-1"),
        ("core.b", "unique", "2026-03-01", first, *same, 0, "Yes.", "run-1"),
    ]


def test_a_check_that_is_asked_again_in_a_run_replaces_its_results_of_that_run(
    session: WarehouseSession, told: Told
) -> None:
    days = [replace(RESULT, partition_key=f"2026-03-0{day}") for day in (1, 2)]
    others = [replace(RESULT, check_name="other"), replace(RESULT, asset="core.b")]
    record_results(session, [*days, *others], "run-1")
    record_results(session, days, "run-2")
    record_results(session, [replace(RESULT, status="failed")], "run-2")
    assert [(row[0], *row[2:5], row[6]) for row in _kept(session)] == [
        ("run-1", "core.a", "other", "2026-03-01", "passed"),
        ("run-1", "core.a", "unique", "2026-03-01", "passed"),
        ("run-1", "core.a", "unique", "2026-03-02", "passed"),
        ("run-1", "core.b", "unique", "2026-03-01", "passed"),
        ("run-2", "core.a", "unique", "2026-03-01", "failed"),
    ]
    assert len(told) == 3


# --- What is expected -------------------------------------------------------------------------------------------------


def _outcome(name: str, status: Any, **more: Any) -> ExpectationOutcome:
    known = dict.fromkeys(("column", "observed", "threshold", "unexpected_count", "unexpected_percent"))
    base = {"examples": (), "description": f"{name} is so", "dimension": "validity", "severity": "ERROR"}
    return ExpectationOutcome(name=name, status=status, **(known | base | {"is_blocking": False} | more))


SUITE = Check(
    SUBJECT, "expectations_validity", "Is it?", "validity", remedy="Look.",
    expectations=(Expectation("a", "a", "not_null", {}, "validity"),),
)  # fmt: skip
OTHER = _outcome("other", "failed", dimension="completeness", unexpected_count=9, is_blocking=True)


@pytest.mark.parametrize(
    ("outcomes", "wanted"),
    [
        ([_outcome("a", "passed"), OTHER],
         Answer(True, 1.0, 1.0, 0, None, "", "1 expectation holds: validity is as the contract says.", "ERROR", False)),
        ([_outcome("a", "passed", severity="WARN"), _outcome("b", "passed", severity="WARN", is_blocking=True)],
         Answer(True, 2.0, 2.0, 0, None, "", "2 expectations hold: validity is as the contract says.", "WARN", True)),
        ([_outcome("a", "unknown", severity="WARN"), _outcome("b", "passed", is_blocking=True), OTHER],
         Answer(None, 1.0, 2.0, 0, None, "", "a is so", "WARN", False)),
        ([_outcome("a", "failed", severity="WARN", unexpected_count=2, examples=(1, "x")),
          _outcome("b", "failed", severity="WARN", is_blocking=True, examples=(2, 3, 4, DAY)),
          _outcome("c", "unknown"), OTHER],
         Answer(False, 1.0, 3.0, 2, '[1, "x", 2, 3, 4]', "", "A is so; b is so. Look.", "WARN", True)),
    ],
)  # fmt: skip
def test_what_a_suite_found_of_one_dimension(outcomes: list[ExpectationOutcome], wanted: Answer) -> None:
    assert expectation_runs._answer(SUITE, outcomes) == wanted


def _expected(kind: Any, **parameters: Any) -> Expectation:
    return Expectation("e", "a", kind, parameters, "validity", "WARN", is_blocking=False)


NOT_NULL, ROWS = _expected("not_null"), _expected("row_count", minimum=1)
KEYS = _expected("no_rows", query="", statement="k is unique", counted="key")


@pytest.mark.parametrize(
    ("expectation", "status", "offenders", "examples", "rows", "numbers", "text"),
    [
        (NOT_NULL, "passed", 0, (), 1, (0.0, 0.0, 0.0), "a is never null: true of 1 row"),
        (NOT_NULL, "passed", 0, (), 0, (0.0, 0.0, None), "a is never null: true of 0 rows"),
        (NOT_NULL, "failed", 1250, (7,), 5000, (1250.0, 0.0, 25.0),
         "a is never null: not so in 1,250 of 5,000 rows, e.g. 7"),
        (NOT_NULL, "failed", None, (), 1, (None, 0.0, None), "a is never null: not so in some of 1 row"),
        (ROWS, "passed", 0, (), 2000, (2000.0, 1.0, None), "there is at least 1 row: there are 2,000"),
        (ROWS, "passed", 0, (), 1, (1.0, 1.0, None), "there is at least 1 row: there is 1"),
        (ROWS, "failed", None, (), 0, (0.0, 1.0, None), "there is at least 1 row: there are none"),
        (KEYS, "failed", 1, ({"k": 1},), 9, (1.0, 0.0, None), "k is unique: not so for 1 key, e.g. k 1"),
        (KEYS, "failed", 2, (), 9, (2.0, 0.0, None), "k is unique: not so for 2 keys"),
        (_expected("columns", names=("a",)), "failed", None, ("missing: a",), 9, (None, 0.0, None),
         "the columns are those of the contract: not so for some columns, e.g. missing: a"),
    ],
)  # fmt: skip
def test_an_outcome_in_numbers_and_words(
    expectation: Expectation, status: Any, offenders: int | None, examples: tuple[Any, ...], rows: int,
    numbers: tuple[float | None, ...], text: str,
) -> None:  # fmt: skip
    observed, threshold, percent = numbers
    assert expectations._known(expectation, status, offenders, examples, rows) == ExpectationOutcome(
        "e", "a", status, observed, threshold, offenders, percent, examples, text, "validity", "WARN", False
    )


def test_what_could_not_be_evaluated_says_why_in_one_line() -> None:
    found = expectations._unknown(NOT_NULL, "\n  " + "x" * 400 + "\nLINE 1: select")
    text = f"a is never null: unknown, it could not be evaluated: {'x' * 300}"
    assert found == ExpectationOutcome("e", "a", "unknown", None, None, None, None, (), text, "validity", "WARN", False)


def test_offenders_as_great_expectations_names_them() -> None:
    look = expectations._offenders
    assert look(ROWS, {"observed_value": 0}) == (None, ())
    columns = _expected("columns", names=("a",))
    mismatched = {"unexpected": ["z", "b"], "missing": list("gfedc")}
    found = ("unexpected: b", "unexpected: z", "missing: c", "missing: d", "missing: e")
    assert look(columns, {"details": {"mismatched": mismatched}}) == (7, found)
    assert look(columns, {}) == (None, ())
    records = [{"k": n, "d": DAY} for n in range(7)]
    wanted = tuple({"k": n, "d": "2026-03-01"} for n in range(5))
    assert look(KEYS, {"observed_value": 7, "details": {"unexpected_rows": records}}) == (7, wanted)
    values = {"unexpected_count": 4, "partial_unexpected_list": ["x", None, "x", float("nan"), True]}
    assert look(NOT_NULL, values) == (4, ("x", "nan", True))


def test_problems_and_plain_values() -> None:
    raised = {"raised_exception": True, "exception_message": "no"}
    fine = {"raised_exception": False, "exception_message": None}
    problem = expectations._problem
    assert [problem(info) for info in (None, {}, fine, raised)] == [None, None, None, "no"]
    assert (problem({"a": fine, "b": raised}), problem({"a": fine})) == ("no", None)
    plain = {1: [DAY], "d": DAY, "f": 0.5, "i": float("inf"), "n": None, "b": False}
    assert expectations._plain(plain) == {
        "1": "[datetime.date(2026, 3, 1)]", "d": "2026-03-01", "f": 0.5, "i": "inf", "n": None, "b": False,
    }  # fmt: skip
    assert json.dumps(expectations._plain({"t": datetime(2026, 3, 1)})) == '{"t": "2026-03-01 00:00:00"}'


def test_a_suite_is_asked_at_once_and_by_day_where_it_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    failing = {2}
    counts = {on(0): 5, on(1): 0, on(2): 7, on(4): 1}

    def ask(_: Any, table: Any, suite: Any, first: date, last: date) -> list[ExpectationOutcome]:
        assert (table.qualified_name, [each.name for each in suite]) == ("core.valid_events", ["a", "b"])
        days = ((first - DAY).days, (last - DAY).days)
        asked.append(days)
        status = "failed" if failing & set(range(days[0], days[1] + 1)) else "passed"
        return [_outcome("a", status), _outcome("b", "passed", dimension="completeness")]

    monkeypatch.setattr(expectation_runs, "_run", ask)
    monkeypatch.setattr(expectation_runs, "row_counts", lambda *given: counts if given[2:] == (DAY, on(9)) else {})
    other = replace(
        SUITE, name="other", dimension="completeness", expectations=(Expectation("b", "b", "not_null", {}, "validity"),)
    )
    memory: Any = SimpleNamespace(connection="c")

    def found() -> dict[str, list[tuple[str, str]]]:
        results = expectation_runs.run_expectations(memory, [SUITE, other], DAY, on(9))
        return {name: [(each.partition_key, each.status) for each in days] for name, days in results.items()}

    days = ["2026-03-01", "2026-03-03", "2026-03-05"]
    assert found() == {
        "expectations_validity": [(days[0], "passed"), (days[1], "failed"), (days[2], "passed")],
        "other": [(day, "passed") for day in days],
    }
    assert asked == [(0, 4), (0, 0), (2, 2), (4, 4)]
    failing.clear()
    asked.clear()
    assert found()["expectations_validity"] == [(day, "passed") for day in days]
    assert asked == [(0, 4)]
    assert expectation_runs.run_expectations(memory, [SUITE], None, None) == {"expectations_validity": []}
    assert expectation_runs.run_expectations(memory, [], DAY, on(9)) == {}


def test_a_suite_that_holds_is_known_without_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    limited: list[Any] = []
    monkeypatch.setattr(expectations, "apply_limits", lambda _, settings: limited.append(settings))
    table = Table("core", "t", "T.", "one row", ("a",), (Column("a", "BIGINT", "a"), Column("b", "VARCHAR", "b")))
    settings = new_settings(tmp_path)
    in_range = Expectation("r", "a", "in_range", {"minimum": 1, "maximum": None}, "validity")
    suite = [ROWS, in_range, replace(in_range, name="s", parameters={"minimum": None, "maximum": 3})]
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})

    def rows(**given: Any) -> list[tuple[str, str, float | None]]:
        found = expectations.run_suite(given.pop("suite", suite), table=table, settings=settings, **given)
        return [(each.status, each.description, each.observed) for each in found]

    assert rows(frame=frame) == [
        ("passed", "there is at least 1 row: there are 3", 3.0),
        ("passed", f"{in_range.statement}: true of 3 rows", 0.0),
        ("passed", f"{suite[2].statement}: true of 3 rows", 0.0),
    ]
    assert rows(frame=frame, query="select * from data where a = 2")[0][1] == "there is at least 1 row: there is 1"
    assert limited == [settings, settings]
    # No files at all are a table without rows, of the contract's columns.
    columns = Expectation("c", None, "columns", {"names": ("b", "a")}, "validity")
    none = rows(parquet_files=[], suite=[columns, suite[1]])
    assert [each[1] for each in none] == [
        "the columns are those of the contract: true of 0 rows", f"{in_range.statement}: true of 0 rows",
    ]  # fmt: skip
    path = tmp_path / "it's.parquet"
    frame.to_parquet(path)
    assert rows(parquet_files=[str(path)])[0] == rows(frame=frame)[0]
    for given in ({}, {"frame": frame, "parquet_files": []}):
        with pytest.raises(ValueError, match="give either parquet_files or frame"):
            rows(**given)


def test_what_repeats_is_found_among_the_dates_asked_for_with_both_ends(memory: Any) -> None:
    memory.connection.execute("create schema core")
    memory.connection.execute("create table core.valid_events (event_date date, event_id varchar)")
    for days, event_id in ((-1, "before"), (0, "first"), (1, "single"), (2, "last"), (3, "after")):
        for _ in range(1 if event_id == "single" else 2):
            memory.connection.execute("insert into core.valid_events values (?, ?)", [on(days), event_id])
    counted = (
        "select '' as partition_key, true as is_passed, null as observed, null as threshold,"
        f" count(*) as unexpected_count, null as examples from {REPEATED}"
    )
    (found,) = run_check(memory, replace(ASKED, sql=counted), on(0), on(2))
    assert found.unexpected_count == 2
    # A check that reads no repeats leaves them as they are.
    run_check(memory, ASKED, on(0), on(0))
    assert memory.connection.execute(f"select count(*) from {REPEATED}").fetchall() == [(2,)]
