"""Checks that people write themselves: what they find, what they cost the score, and that none stops a batch."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from quality_assets.cli.main import app
from quality_assets.domain.quality.datasets.plugins import PluginCheck, PluginError, check, with_plugins
from quality_assets.domain.quality.datasets.table_findings import Finding
from quality_assets.domain.quality.datasets.table_score import Verdict
from quality_assets.settings import get_settings
from quality_assets.stores.datasets import plugin_files
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.store import close_operations, operations_of
from quality_assets.tables.datasets import given_suites
from quality_assets.tables.datasets.ruling import set_state

ROWS = ["id,price,quantity,total,day,code"]
ROWS += [f"{i},{price},2,{total},2026-01-{i:02d},A{i:02d}" for i, price, total in [
    (1, "1.5", "3"), (2, "-2", "-4"), (3, "", ""), (4, '"1,200"', '"2,400"'), (5, "7", "15"), (6, "-1", "-2"),
    (7, "3", "6"), (8, "4", "8"), (9, "5", "10"), (10, "6", "12"),
]]  # fmt: skip


@pytest.fixture
def quality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("QUALITY_DATA_DIR", str(tmp_path / "data"))
    get_settings.cache_clear()
    (tmp_path / "data" / "checks").mkdir(parents=True)
    (tmp_path / "shop_1.csv").write_text("\n".join(ROWS) + "\n")

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.output

    assert run("dataset", "add", "shop", "--path", str(tmp_path / "shop_*.csv"))[0] == 0
    yield run
    close_operations()
    get_settings.cache_clear()


def _write(tmp_path: Path, **files: str) -> None:
    for name, text in files.items():
        (tmp_path / "data" / "checks" / name.replace("__", ".")).write_text(text)


def _custom(quality) -> dict[str, tuple]:  # type: ignore[no-untyped-def]
    _, output = quality("check", "shop", "--format", "json")
    (told,) = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    found = [f for f in told["findings"] if f["kind"] == "custom"]
    return {f["rule"]: (f["dimension"], f["count"], f["sentence"]) for f in found} | {"": told}


def test_sql_and_python_find_what_they_ask_for_and_cost_the_score(quality, tmp_path: Path) -> None:
    _write(
        tmp_path,
        negative__sql="-- columns: pr*, total\n-- sentence: {count} of {rows} values of {column} are below nothing\n"
        "select {column} from {batch} where {column} < 0",
        quiet__sql="-- at_most: 0.2\n-- severity: info\nselect id from {batch} where price < 0;",
        other__sql="-- datasets: elsewhere\nselect * from {batch}",
        own__py="""
from quality_assets.domain.quality.datasets.plugins import check

@check(datasets="sh*", dimension="consistency", severity="high")
def total_is_product(batch):
    \"\"\"total is price times quantity.\"\"\"
    return batch.filter("abs(total - price * quantity) > 0.01").df()

@check(dimension="timeliness")
def january(batch):
    return bool(batch.aggregate("max(day) < timestamp '2026-02-01'").fetchall()[0][0])

@check(columns="code", dimension="uniqueness")
def one_of_each(batch, column):
    return len(batch) - len(batch.select(column).distinct())
""",
    )
    found = _custom(quality)
    told = found.pop("")
    assert found == {
        "negative(price)": ("validity", 2, "negative: 2 of 10 values of price are below nothing, such as '-2.0'"),
        "negative(total)": ("validity", 2, "negative: 2 of 10 values of total are below nothing, such as '-4'"),
        "total_is_product": (
            "consistency", 1,
            "1 of 10 rows offend against total_is_product: total is price times quantity, such as id 5, price 7.0,"
            " quantity 2, total 15, day 2026-01-05 00:00:00, code A05",
        ),
    }  # fmt: skip
    # Four cells and a row's one, of sixty.
    assert told["dimensions"]["validity"] == pytest.approx(1 - 4 / 60, abs=0.02)
    assert told["dimensions"]["consistency"] == pytest.approx(1 - 1 / 60)
    assert {alert["columns"][0] if alert["columns"] else "" for alert in told["alerts"]} >= {"price", "total", ""}
    with operations_of(get_settings()).read() as connection:
        severities = dict(connection.execute(select(ALERT.c.title, ALERT.c.severity)).all())
    assert severities == {
        "shop: negative of price": "medium", "shop: negative of total": "medium", "shop: total_is_product": "high",
    }  # fmt: skip


def test_what_is_not_a_problem_is_not_asked_again(quality, tmp_path: Path) -> None:
    _write(tmp_path, negative__sql="-- columns: price\nselect * from {batch} where {column} < 0")
    assert "negative(price)" in _custom(quality)
    set_state(operations_of(get_settings()), "shop", "negative(price)", "muted", "ann")
    (tmp_path / "shop_2.csv").write_text("\n".join(ROWS[:4]) + "\n")
    assert set(_custom(quality)) == {""}


def test_whatever_goes_wrong_is_told_by_name_and_the_rest_is_asked(quality, tmp_path: Path) -> None:
    _write(
        tmp_path,
        broken__py="def f(:",
        nothing__py="x = 1",
        leaves__py="import sys\nsys.exit(3)",
        colour__sql="-- colour: red\nselect * from {batch}",
        writes__sql="delete from {batch}",
        everything__sql="select 1",
        no_column__sql="select nothing from {batch}",
        raises__py="""
from quality_assets.domain.quality.datasets.plugins import check

@check()
def by_nothing(batch):
    return 1 / 0

@check()
def of_another_kind(batch):
    return "well"

@check(timeout_s=0.2)
def for_ever(batch):
    while True:
        pass
""",
        no_suite__json='{"a": 1}',
        negative__sql="select * from {batch} where price < 0",
    )
    found = _custom(quality)
    told = found.pop("")
    assert (told["rows"], told["status"]) == (10, "failed")
    assert found.pop("negative")[1] == 2
    words = {
        "broken.py": "SyntaxError", "nothing.py": "makes no check", "leaves.py": "SystemExit: 3",
        "colour.sql": "colour is none of the keys", "writes.sql": "the query is no SELECT",
        "everything.sql": "reads nothing of the batch", "no_column": 'Referenced column "nothing" not found',
        "by_nothing": "ZeroDivisionError: division by zero", "of_another_kind": "it gave a str",
        "for_ever": "longer than 0.2 s", "no_suite.json": "no suite of Great Expectations",
    }  # fmt: skip
    assert {rule.removesuffix(" could not run") for rule in found} == set(words)
    assert [name for name, word in words.items() if word not in found[f"{name} could not run"][2]] == []


def test_a_check_that_could_not_run_has_not_passed(quality, tmp_path: Path) -> None:
    _write(tmp_path, negative__sql="select * from {batch} where price < 0")
    assert "negative" in _custom(quality)
    _write(tmp_path, negative__sql="select * from {batch} where prize < 0")
    for number in (2, 3):
        (tmp_path / f"shop_{number}.csv").write_text("\n".join(ROWS[: number + 2]) + "\n")
        assert "negative could not run" in _custom(quality)
    with operations_of(get_settings()).read() as connection:
        states = dict(connection.execute(select(ALERT.c.check_name, ALERT.c.status)).all())
    assert states == {"negative": "open", "negative could not run": "open"}


def test_a_file_by_itself_fails_by_checks_of_ones_own_alone(quality, tmp_path: Path) -> None:
    file = str(tmp_path / "shop_1.csv")
    assert quality("check", file)[0] == 0
    quiet = "-- severity: info\nselect id from {batch} where price < 0"
    _write(tmp_path, quiet__sql=quiet)
    assert quality("check", file)[0] == 0
    _write(tmp_path, broken__sql="select nosuch from {batch}", negative__sql="select id from {batch} where price < 0")
    code, output = quality("check", file)
    assert code == 1
    assert "failed shop_1.csv" in output
    assert "checks of your own raised 2 alerts; none is let pass" in output
    # The engine says itself what kind of error it is.
    assert 'says nothing of this batch: Binder Error: Referenced column "nosuch"' in output


def test_a_suite_of_great_expectations_is_asked(quality, tmp_path: Path) -> None:
    suite = [
        {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "code", "regex": "^A0"}},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "price", "min_value": 0, "mostly": 0.7}},
        {
            "expectation_type": "expect_column_values_to_be_between",
            "kwargs": {"column": "price", "min_value": 0}, "severity": "critical",
            "meta": {"dimension": "plausibility"},
        },
        {"type": "expect_column_max_to_be_between", "kwargs": {"column": "total", "max_value": 10}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "prize"}},
    ]  # fmt: skip
    _write(tmp_path, shop__json=json.dumps({"expectations": suite}), another__json=json.dumps({"expectations": suite}))
    found = _custom(quality)
    found.pop("")
    assert found["expect_column_values_to_match_regex(code)"][:2] == ("validity", 1)
    assert found["expect_column_values_to_be_between_2(price)"] == (
        "plausibility", 2,
        "2 of 10 rows offend against expect_column_values_to_be_between_2 of price: min_value 0, such as -2.0",
    )  # fmt: skip
    assert "observed is 15" in found["expect_column_max_to_be_between(total)"][2]
    assert "prize" in found["expect_column_values_to_not_be_null could not run(prize)"][2]
    assert len(found) == 4


def test_a_suite_is_asked_of_all_rows_of_a_large_batch(
    quality, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_suites, "FRAME_ROWS", 5)
    suite = [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "price", "min_value": 0}},
        # No database is asked for patterns: half of the rows are, and all of them break this one.
        {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "code", "regex": "^B"}},
    ]
    _write(tmp_path, shop__json=json.dumps({"expectations": suite}))
    found = _custom(quality)
    found.pop("")
    assert {rule: count for rule, (_, count, _) in found.items()} == {
        "expect_column_values_to_be_between(price)": 2, "expect_column_values_to_match_regex(code)": 10,
    }  # fmt: skip


def test_entry_points_bring_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> list[PluginCheck]:
        return [PluginCheck("a", sql="select * from {batch}")]

    def fail() -> None:
        raise ImportError("no shop")

    points = (SimpleNamespace(name="shop", load=load), SimpleNamespace(name="bad", load=fail))
    monkeypatch.setattr(plugin_files, "_installed", lambda: points)
    found = plugin_files.load_plugins(tmp_path / "none")
    assert [each.name for each in found.checks] == ["a"]
    assert found.errors == (("entry point bad", "ImportError: no shop"),)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "a b"}, "its name"),
        ({"dimension": "beauty"}, "is none of completeness"),
        ({"severity": "awful"}, "is none of info"),
        ({"at_most": 1.5}, "no share"),
        ({"timeout_s": 0}, "no time"),
        ({"sql": "select {column} from {batch}"}, "say which columns"),
        ({"function": len}, "either SQL or a function"),
    ],
)
def test_a_check_that_is_not_one_is_refused(given: dict, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        PluginCheck(**{"name": "a", "sql": "select * from {batch}"} | given)


def test_a_decorated_function_is_a_check() -> None:
    @check(columns="a, b*")
    def small(batch: object) -> int:
        """Small things. And more."""
        return 0

    assert (small.name, small.columns, small.sentence) == ("small", ("a", "b*"), "Small things. And more")
    assert small.columns_among(["a", "c", "b2"]) == ["a", "b2"]


def test_cells_that_are_doubted_already_are_not_doubted_twice() -> None:
    mine = Finding("range", ("a",), 5, 0.05, "five", doubt=4.0, weight=0.8)
    own = [
        Finding("custom", ("a",), 6, 0.06, "six", "x", doubt=6.0, own_dimension="validity", is_alert=True),
        Finding("custom", (), 10, 0.1, "ten", "y", doubt=10.0, own_dimension="consistency"),
        Finding("custom", (), 10, 0.1, "ten", "z", doubt=10.0, own_dimension="timeliness"),
    ]
    given = Verdict(0.98, {"validity": 0.98, "consistency": 1.0}, (mine,))
    told = with_plugins(given, own, rows=100, columns=2)
    # Two more cells of a, and a cell of each of ten rows, of two hundred.
    assert told.score == pytest.approx(0.98 - 12 / 200)
    assert told.dimensions == {"validity": pytest.approx(0.98 - 2 / 200), "consistency": pytest.approx(1 - 10 / 200)}
    assert [finding.sentence for finding in told.findings][:1] == ["six"]
    assert with_plugins(given, [], 100, 2) is given
