"""The mutation run: what its operators make of a text, which mutants are tried, which tests are asked."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.mutation.__main__ import Plan
from benchmarks.mutation.operators_python import python_edits
from benchmarks.mutation.operators_sql import edits_of, is_sql, mask, sql_edits
from benchmarks.mutation.processes import MutationError, TaskProcess, locked, make_copy
from benchmarks.mutation.reach import Choice, Finder, Reach, grouped, split_record
from benchmarks.mutation.references import References
from benchmarks.mutation.results import KILLED, SURVIVED, TIMEOUT, Result, Results, report, wilson
from benchmarks.mutation.run import NotExchangeableError, Pool, Trial, noticed_before, outcome
from benchmarks.mutation.source import Edit, Mutant, Source
from benchmarks.mutation.targets import mutants_of, sample_of, strata, target_files
from benchmarks.mutation.warm import changed_codes, exchange
from benchmarks.mutation.worker import NOT_EXCHANGEABLE


def python_mutants(text: str) -> list[str]:
    """The whole texts that the Python operators make, in order of place."""
    source = Source(text)
    return [source.changed(mutant.edit) for mutant in source.mutants("m.py", python_edits(source))]


def sql_mutants(sql: str) -> list[str]:
    """The SQL texts that the SQL operators make, sorted."""
    return sorted(sql[: edit.start] + edit.text + sql[edit.end :] for edit in edits_of(sql))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y = a < b", ["y = a <= b"]),
        ("y = (a) >= (b)", ["y = (a) > (b)"]),
        ("y = a == b != c", ["y = a != b != c", "y = a == b == c"]),
        ("y = a not  in b", ["y = a in b"]),
        ("y = a is not None", ["y = a is None"]),
        ("y = a - b * c", ["y = a + b * c", "y = a - b / c"]),
        ("y = a and b or c", ["y = a or b or c", "y = a and b and c"]),
        ("y = not a", ["y = a"]),
        ("y = -a", ["y = a"]),
        ("y = 0", ["y = 1"]),
        ("y = 7", ["y = 6", "y = 8"]),
        ("y = .25", ["y = 0.5"]),
        ("y = True", ["y = False"]),
        ("y = max(a, b)", ["y = min(a, b)", "y = (a)", "y = (b)"]),
        ("y = min(rows)", ["y = max(rows)"]),
        ("y = abs(a)", ["y = (a)"]),
        ("y = a.clip(b)", ["y = a"]),
        ("y = f(a, b)", ["y = f(b, a)"]),
        ("y += x", ["y -= x"]),
        ("work()", ["pass"]),
        ("y = [a for a in b if c]", ["y = [a for a in b if not (c)]"]),
        ("y = 'ä' if a else b", ["y = 'ä' if not (a) else b"]),
        ("def f(x=2): ...", ["def f(x=1): ...", "def f(x=3): ..."]),
        ("def f(x) -> list[str]:\n    return x", ["def f(x) -> list[str]:\n    return []"]),
        ("def f(x) -> bool:\n    return x", ["def f(x) -> bool:\n    return not (x)"]),
        ("def f(x):\n    return x", ["def f(x):\n    return None"]),
        (
            "def f(x):\n    raise E(1)",
            ["def f(x):\n    pass", "def f(x):\n    raise E(0)", "def f(x):\n    raise E(2)"],
        ),
    ],
)
def test_python_operators(text: str, expected: list[str]) -> None:
    assert python_mutants(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '"""A docstring of 1 line."""',
        "import a\nfrom b import c",
        "__all__ = ['a']",
        "if TYPE_CHECKING:\n    y = 1",
        "y: Literal[1]",
        "@f(1)\ndef g(): ...",
        "y = zip(a, b, strict=True)",
        "y = field(repr=False)",
        "log.info('a', count)",
        "y = folder / name",
        "y = 'a' + b",
        "y = 'failed'",
        "y = f'{a + 1}'",
    ],
)
def test_python_that_is_left_alone(text: str) -> None:
    assert python_mutants(text) == []


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("a < b", ["a <= b"]),
        ("a = b", ["a <> b"]),
        ("a <> 'x and y < 3'", ["a = 'x and y < 3'"]),
        ("a + b", ["a - b"]),
        ("a * b", ["a / b"]),
        ("select * from t -- a < b", []),
        ("a and b or not c", ["a and b and not c", "a and b or c", "a or b or not c"]),
        ("order by a", ["order by a desc"]),
        ("order by a desc nulls last", ["order by a desc nulls first", "order by a nulls last"]),
        ("min(a)", ["max(a)"]),
        ("sum(a)", ["avg(a)"]),
        ("from a left join b using (c)", ["from a join b using (c)"]),
        ("from a join b using (c)", ["from a left join b using (c)"]),
        ("a is not null", ["a is null"]),
        ("a is not distinct from b", []),
        ("coalesce(a, b)", ["(a)"]),
        ("coalesce(f(a, g(b)), c)", ["(f(a, g(b)))"]),
        ("abs(a)", ["(a)"]),
        (
            "d between $a - interval 7 days and $b",
            [
                "(d > $a - interval 7 days and d <= $b)",
                "(d >= $a - interval 7 days and d < $b)",
                "d between $a + interval 7 days and $b",
                "d between $a - interval 8 days and $b",
            ],
        ),
        ("rows between 6 preceding and current row", ["rows between 7 preceding and current row"]),
        ("count(*) filter (where f(a) in (b))", ["count(*)"]),
        ("count(distinct a)", ["count(a)"]),
        ("a union all b", ["a union b"]),
        ("limit $n", [""]),
        ("limit 5", ["limit 6"]),
        ("quantile_cont(a, 0.5)", ["quantile_cont(a, 0.25)"]),
        ("5e1", ["6e1"]),
        ("p95 + $1", ["p95 - $1"]),
        ("group by 1, 2", []),
        ("count(case when a then 1 end)", []),
    ],
)
def test_sql_operators(sql: str, expected: list[str]) -> None:
    assert sql_mutants(sql) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select a from b where c", True),
        ("count(*) filter (where a)", True),
        ("users <= all_users", True),
        ("user_id is not null", True),
        ("Select the days from the list and mend them.", False),
        ("How far it has drifted, 1 = as far as counts, from here", False),
        ("failed in the run", False),
        ("<p class='soft'>", False),
        ("events", False),
    ],
)
def test_what_is_taken_for_sql(text: str, expected: bool) -> None:
    assert is_sql(text) is expected


def test_mask_keeps_every_character_in_its_place() -> None:
    segment = '''f"a {x['b']} {{c}}"  # said\n  r"d"'''
    assert mask(segment) == "  a ØØØØØØØØ {{c}}" + 14 * " " + "d "


def test_sql_in_f_strings_keeps_its_holes() -> None:
    source = Source('def f(t):\n    return g(f"select coalesce({t}, 0) from x" " where a < {1}")')
    changed = {source.changed(edit).split("return ")[1] for edit in sql_edits(source)}
    assert changed == {
        'g(f"select ({t}) from x" " where a < {1}")',
        'g(f"select coalesce({t}, 1) from x" " where a < {1}")',
        'g(f"select coalesce({t}, 0) from x" " where a <= {1}")',
        'g(f"select coalesce({t}, 0) from x" " where a < {2}")',
    }


@pytest.mark.parametrize(
    "text",
    [
        '"""select a from b where c < 1"""',
        'raise E("select a from b where c < 1")',
        'log.info("select a from b where c < 1")',
    ],
)
def test_sql_that_is_left_alone(text: str) -> None:
    assert sql_edits(Source(text)) == []


def test_targets_of_both_layouts() -> None:
    files = [
        "quality_assets/domain/a.py",
        "quality_assets/domain/stats/b.py",
        "dash_app/app.py",
        "dash_app/queries/c.py",
    ]
    assert target_files(files) == [files[0], files[1], files[3]]


def test_strata_are_proportional_and_leave_no_file_out() -> None:
    assert strata({"a": 600, "b": 395, "c": 5}, 100) == {"a": 60, "b": 39, "c": 1}
    assert strata({"a": 66, "b": 34}, 10) == {"a": 7, "b": 3}
    assert strata({"a": 2, "b": 3}, 10) == {"a": 2, "b": 3}
    assert strata({"a": 2, "b": 3, "c": 1}, 1) == {"a": 1, "b": 1, "c": 1}


def test_sample_is_seeded_and_a_larger_one_contains_it() -> None:
    texts = {"a.py": "\n".join(f"a{i} = b < {i}" for i in range(2, 40)), "b.py": "c = d + e"}
    mutants = {file: mutants_of(file, text) for file, text in texts.items()}
    ten, again, twenty = (sample_of(mutants, texts, n, 1) for n in (10, 10, 20))
    assert ten == again
    assert len(ten) == 10
    assert {mutant.file for mutant in ten} == {"a.py", "b.py"}
    assert {mutant.key for mutant in ten} <= {mutant.key for mutant in twenty}
    assert {mutant.key for mutant in ten} != {mutant.key for mutant in sample_of(mutants, texts, 10, 2)}


def test_edits_that_do_not_parse_are_passed_over() -> None:
    source = Source("def f():\n    while a:\n        break")
    assert [source.is_valid(edit) for edit in python_edits(source)] == [True]
    loop = Source("y = 'select 1 from a'")
    assert not loop.is_valid(python_edits(Source("y = 1"))[0])


def test_results_go_on_from_where_they_ended(tmp_path: Path) -> None:
    first, second, third = mutants_of("a.py", "y = a < b + c\nz = not a")
    results = Results(tmp_path / "results.jsonl")
    results.add(Result(first.key, KILLED, 1.0, 3, 0, "tests/t.py::t"))
    results.add(Result(second.key, SURVIVED, 2.0, 3))
    with (tmp_path / "results.jsonl").open("a") as stream:
        stream.write(json.dumps({"key": third.key})[:-3])
    later = Results(tmp_path / "results.jsonl")
    assert later.missing([first, second, third]) == [third]
    assert later.beginning([first, second, third]) == [first, second]
    assert later.beginning([first, third, second]) == [first]
    assert later.unnoticed([first, second, third]) == [second]
    later.add(Result(third.key, TIMEOUT, 30.0))
    assert Results(tmp_path / "results.jsonl").missing([first, second, third]) == []


def test_what_some_tests_noticed_all_notice_and_what_they_let_pass_is_asked_of_all(tmp_path: Path) -> None:
    first, second, third = mutants_of("a.py", "y = a < b + c\nz = not a")
    part = Results(tmp_path / "results-some.jsonl")
    for mutant, status in ((first, KILLED), (second, SURVIVED)):
        part.add(Result(mutant.key, status, 1.0))
    whole = Results(tmp_path / "results.jsonl", [tmp_path / "results-some.jsonl"])
    assert whole.missing([first, second, third]) == [second, third]
    whole.add(Result(second.key, KILLED, 1.0))
    again = Results(tmp_path / "results.jsonl", [tmp_path / "results-some.jsonl"])
    assert again.missing([first, second, third]) == [third]


def test_a_changed_file_makes_its_mutants_new_and_a_moved_one_does_not() -> None:
    (before,) = mutants_of("a.py", "y = a < b")
    assert mutants_of("folder/a.py", "y = a < b")[0].key == before.key
    assert mutants_of("a.py", "y = a < b  # now")[0].key != before.key


def test_which_test_files_are_asked() -> None:
    files = ["tests/a/test_one.py", "tests/a/test_two.py", "tests/b/test_three.py", "tests/a/conftest.py", "p.py"]
    plan = Plan(sample=1, seed=1, jobs=1, only=(), tests=(), without=["tests/a/test_two"], again=False, limit_s=1.0)
    assert plan.asked_of(files) == [files[0], files[2]]
    assert replace(plan, tests=["tests/a"]).asked_of(files) == [files[0]]


def test_wilson() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_report_counts_by_folder_and_lists_what_survived(tmp_path: Path) -> None:
    sample = mutants_of("in/a.py", "y = a < b\nz = a and b")
    results = Results(tmp_path / "results.jsonl")
    results.add(Result(sample[0].key, KILLED, 1.0))
    results.add(Result(sample[1].key, SURVIVED, 1.0, 5, 2))
    text = report(sample, results, {"in/a.py": 2, "in/b.py": 3, "c.py": 1}, 1)
    assert "**1 noticed, 50.0% (95 % interval after Wilson 9.5% to 90.5%)**" in text
    assert "before what survived" not in text
    assert "| `in` | 2 | 5 | 2 | 1 | 0 | 1 | 0 |" in text
    assert "| `.` | 1 | 1 | 0 | 0 | 0 | 0 | 0 |" in text
    assert "- `in/a.py:2` junction: `z = a and b` → `z = a or b` (2 slow tests not asked)" in text


def test_report_of_a_part_counts_up_to_the_first_that_was_not_tried(tmp_path: Path) -> None:
    sample = mutants_of("a.py", "y = a < b\nz = a and b\nx = not a\nw = a + b")
    results = Results(tmp_path / "results.jsonl")
    for index, status in ((0, KILLED), (1, SURVIVED), (3, KILLED)):
        results.add(Result(sample[index].key, status, 1.0))
    text = report(sample, results, {"a.py": 4}, 1)
    assert "2 mutants of 4 in 1 files" in text
    assert "**1 noticed, 50.0% " in text
    assert "Not finished: 2 of the sample of 4" in text
    assert "Not asked" not in text
    without = report(sample, results, {"a.py": 4}, 1, ["tests/slow.py"])
    assert "Not asked, for what they cost: `tests/slow.py`." in without


def test_report_keeps_what_was_noticed_at_first_beside_what_is_noticed_now(tmp_path: Path) -> None:
    sample = mutants_of("a.py", "y = a < b\nz = a and b")
    results = Results(tmp_path / "results.jsonl")
    for mutant, status in ((sample[0], SURVIVED), (sample[1], KILLED), (sample[0], KILLED)):
        results.add(Result(mutant.key, status, 1.0))
    text = report(sample, Results(tmp_path / "results.jsonl"), {"a.py": 2}, 1)
    assert "**2 noticed, 100.0% " in text
    assert "as they were before what survived was looked at: 1 noticed, 50.0% " in text
    assert "Survived" not in text


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"is_timeout": False, "code": 0, "failed": []}, (SURVIVED, "")),
        ({"is_timeout": False, "code": 1, "failed": ["tests/t.py::t"]}, (KILLED, "tests/t.py::t")),
        ({"is_timeout": False, "code": -1, "failed": []}, (KILLED, "collection")),
        ({"is_timeout": True, "code": -1, "failed": []}, (TIMEOUT, "")),
    ],
)
def test_outcomes(answer: dict[str, object], expected: tuple[str, str]) -> None:
    assert outcome(answer, is_warm=False) == expected


@pytest.mark.parametrize("code", [-1, NOT_EXCHANGEABLE])
def test_what_ended_a_warm_process_is_asked_of_a_fresh_one(code: int) -> None:
    with pytest.raises(NotExchangeableError):
        outcome({"is_timeout": False, "code": code, "failed": []}, is_warm=True)


PRODUCT = {
    "p/limits.py": "MOST = 3\n_OWN = MOST + 1\n\ndef limit():\n    return _OWN\n\ndef other():\n    return 1\n",
    "p/user.py": "from p.limits import MOST\nimport p.limits as m\n\ndef use():\n    return (\n        MOST\n    )\n",
    "p/late.py": "def late():\n    from p import limits\n    return limits.MOST\n",
}


def test_uses_of_a_constant_through_other_constants_and_modules() -> None:
    references = References({file: ast.parse(text) for file, text in PRODUCT.items()})
    found = references.lines_using("p/limits.py", ["MOST"])
    assert found == {("p/limits.py", range(5, 6)), ("p/user.py", range(5, 8)), ("p/late.py", range(3, 4))}


@pytest.fixture
def finder() -> Finder:
    reach = Reach()
    tests = {
        name: {"seconds": 1.0, "fixtures": fixtures, "is_passed": name != "t.py::broken"}
        for name, fixtures in (("t.py::limit", []), ("t.py::use", ["fixture built"]), ("t.py::broken", []))
    }
    lines = {
        "p/limits.py": {"t.py::limit": [5], "t.py::broken": [8]},
        "p/user.py": {"fixture built": [6]},
    }
    reach.add("t.py", {"tests": tests, "fixture_seconds": {"fixture built": 5.0}, "lines": lines})
    reach.add_imports({"p/limits.py": [1, 2, 4, 7]})
    return Finder(reach, PRODUCT)


def test_tests_of_a_line_and_of_a_constant(finder: Finder) -> None:
    assert finder.tests("p/limits.py", 5) == {"t.py::limit"}
    assert finder.tests("p/limits.py", 1) == {"t.py::limit", "t.py::use"}
    assert finder.tests("p/limits.py", 8) == set()
    assert finder.tests("p/user.py", 6) == {"t.py::use"}
    assert finder.is_late("p/limits.py", 5)
    assert not finder.is_late("p/limits.py", 1)


TESTS_OF_LIMITS = """
from helpers import CASES
from p.limits import MOST

LIMITS = [MOST]

@pytest.mark.parametrize("limit", LIMITS)
def test_made_of(limit):
    assert limit

def test_read():
    assert MOST == 3

class TestMore:
    def test_more(self):
        assert MOST

@pytest.mark.parametrize("case", CASES)
def test_helped(case):
    assert case

def test_other():
    assert other()
"""


def test_tests_that_read_a_constant_themselves() -> None:
    names = ["test_made_of[3]", "test_read", "TestMore::test_more", "test_helped[1]", "test_other"]
    reach = Reach(seconds={f"tests/a/test_limits.py::{name}": 1.0 for name in names})
    texts = {
        "tests/a/test_limits.py": TESTS_OF_LIMITS,
        "tests/a/helpers.py": "from p.limits import MOST\nCASES = [MOST + 1]\n",
    }
    found = Finder(reach, PRODUCT | texts).tests("p/limits.py", 1)
    assert found == {f"tests/a/test_limits.py::{name}" for name in names[:4]}


def test_quick_tests_come_first_and_the_limit_holds() -> None:
    reach = Reach(
        seconds={"slow.py::a": 1.0, "slow.py::b": 9.0, "quick.py::c": 2.0, "quick.py::d": 0.5},
        fixtures={"slow.py::a": ["f"], "slow.py::b": ["f"], "quick.py::c": [], "quick.py::d": []},
        fixture_seconds={("slow.py", "f"): 3.0},
    )
    whole = reach.choose(reach.seconds, 100)
    assert whole.tests == ("quick.py::d", "quick.py::c", "slow.py::a", "slow.py::b")
    assert whole.seconds == (0.5, 2.0, 4.0, 9.0)
    limited = reach.choose(reach.seconds, 7)
    assert (limited.tests, limited.seconds, limited.left_out) == (whole.tests[:3], whole.seconds[:3], 1)


def test_what_reaches_little_or_noticed_before_comes_first() -> None:
    reach = Reach(
        seconds=dict.fromkeys(["a.py::wide", "b.py::narrow", "c.py::known[1]"], 1.0),
        fixtures={"a.py::wide": [], "b.py::narrow": [], "c.py::known[1]": []},
        breadth={"a.py::wide": 500, "b.py::narrow": 20, "c.py::known[1]": 500},
    )
    assert reach.choose(reach.seconds, 9).tests[0] == "b.py::narrow"
    order = reach.choose(reach.seconds, 9, {"c.py::known": 1}).tests
    assert order == ("c.py::known[1]", "b.py::narrow", "a.py::wide")


def test_a_fixture_of_the_session_is_paid_once_and_one_of_a_file_keeps_its_tests_together() -> None:
    session, module = "fixture session  root", "fixture module b.py rows"
    reach = Reach(
        seconds={"a.py::one": 1.0, "b.py::two": 1.0, "b.py::three": 5.0, "c.py::four": 2.0},
        fixtures={"a.py::one": [session], "b.py::two": [module], "b.py::three": [module], "c.py::four": [session]},
        fixture_seconds={("a.py", session): 3.0, ("b.py", module): 1.0, ("c.py", session): 3.0},
    )
    choice = reach.choose(reach.seconds, 100)
    assert choice.tests == ("b.py::two", "b.py::three", "a.py::one", "c.py::four")
    assert choice.seconds == (2.0, 5.0, 4.0, 2.0)


def test_tests_are_asked_in_stages_of_growing_cost() -> None:
    choice = Choice(("a", "b", "c", "d", "e"), (1.0, 1.0, 3.0, 4.0, 50.0), left_out=2)
    assert [stage.tests for stage in choice.stages((2.0, 10.0))] == [("a", "b"), ("c", "d"), ("e",)]
    # A test that costs more than a stage is one of its own, and the stages that it has spent fall away.
    assert [stage.tests for stage in Choice(("a", "b"), (30.0, 1.0)).stages((2.0, 10.0))] == [("a",), ("b",)]


def test_files_of_a_folder_are_recorded_together_up_to_a_size() -> None:
    sizes = {"t/b/x.py": 10, "t/a/y.py": 60, "t/a/z.py": 50, "t/a/x.py": 40, "t/b/y.py": 200}
    assert grouped(sizes, 100) == [["t/a/x.py", "t/a/y.py"], ["t/a/z.py"], ["t/b/x.py"], ["t/b/y.py"]]


def test_a_record_of_several_files_gives_each_its_tests_and_the_fixtures_that_they_share() -> None:
    shared = "fixture session  root"
    found = {
        "tests": {"a.py::one": {"fixtures": [shared]}, "b.py::two": {"fixtures": [shared]}},
        "fixture_seconds": {shared: 3.0},
        "lines": {"p.py": {"a.py::one": [1], "b.py::two": [2], shared: [3], "": [4]}},
    }
    assert split_record(found, "b.py") == {
        "tests": {"b.py::two": {"fixtures": [shared]}},
        "fixture_seconds": {shared: 3.0},
        "lines": {"p.py": {"b.py::two": [2], shared: [3]}},
    }


NESTED = """
def outer(a):
    def inner(b):
        return b + 1
    return inner(a)

def other():
    return sorted([2, 1], key=lambda x: x), sorted([2, 1], key=lambda x: -x)

class Box:
    @property
    def size(self):
        return 3 if self else 4
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("b + 1", "b + 2", (3, ([1, 2], [2, 1]), 3)),
        ("x: x)", "x: -x)", (2, ([2, 1], [2, 1]), 3)),
        ("3 if self", "3 if not self", (2, ([1, 2], [2, 1]), 4)),
        # A change that takes a line away moves all that follows.
        ("    def inner(b):\n        return b + 1\n    return inner(a)", "    return a", (1, ([1, 2], [2, 1]), 3)),
    ],
)
def test_functions_that_are_there_get_the_code_of_the_changed_text(old: str, new: str, expected: object) -> None:
    names: dict[str, object] = {}
    exec(compile(NESTED, "m.py", "exec"), names)
    outer, other, box = names["outer"], names["other"], names["Box"]
    outer(1)  # A function that has run has other bytes in memory than one that was only compiled.
    changed = NESTED.replace(old, new)
    assert changed != NESTED
    assert exchange([outer, other, box.size.fget], changed_codes(NESTED, changed, "m.py"))
    assert (outer(1), other(), box().size) == expected


def test_a_function_of_other_text_is_left_alone() -> None:
    def outer(a: int) -> int:
        return a

    assert not exchange([outer], changed_codes(NESTED, NESTED.replace("b + 1", "b + 2"), "m.py"))
    assert outer(1) == 1


class Answers:
    """A process that answers what it is told, and keeps what it was asked."""

    def __init__(self, *answers: tuple[int, list[str]]) -> None:
        self.asked: list[list[str]] = []
        self._answers = list(answers)

    def ask(self, **task: object) -> dict[str, object]:
        self.asked.append([*task["tests"], *(["changed"] if "text" in task else [])])
        code, failed = self._answers.pop(0)
        return {"code": code, "failed": failed, "is_timeout": False, "seconds": 1.0, "cpu_s": 0.5}


class Processes:
    """A worker of two such processes."""

    def __init__(self, warm: Answers, fresh: Answers) -> None:
        self.warm, self.fresh = warm, fresh


TEXT = "MOST = 3\n\ndef f(a):\n    return a\n"


def trial_of(slow: float) -> tuple[Trial, list[str]]:
    """A trial of a file whose function two tests reach, one of which takes `slow` seconds; what it says."""
    reach = Reach()
    tests = {
        f"t.py::{name}": {"seconds": s, "fixtures": [], "is_passed": True} for name, s in (("a", 1.0), ("b", slow))
    }
    reach.add("t.py", {"tests": tests, "fixture_seconds": {}, "lines": {"p.py": {name: [4] for name in tests}}})
    reach.add_imports({"p.py": [1, 3]})
    said: list[str] = []
    return Trial(reach, Finder(reach, {"p.py": TEXT}), {"p.py": TEXT}, 60.0, said.append), said


def mutant_at(old: str, new: str) -> Mutant:
    """The mutant of TEXT that has `new` in the place of `old`."""
    start = TEXT.index(old)
    return Source(TEXT).mutants("p.py", [Edit(start, start + len(old), new, "test")])[0]


def test_what_the_first_stage_notices_is_not_asked_of_the_second() -> None:
    worker = Processes(Answers((1, ["t.py::a"]), (0, []), (0, []), (1, ["t.py::b"]), (0, [])), Answers())
    trial, _ = trial_of(slow=5.0)
    result = trial.run(worker, mutant_at("return a", "return 1"))
    assert (result.status, result.killed_by, result.cpu_s) == (KILLED, "t.py::a", 0.5)
    # What noticed is asked once without the change.
    assert worker.warm.asked == [["t.py::a", "changed"], ["t.py::a"]]
    later = trial.run(worker, mutant_at("return a", "return 2"))
    assert (later.status, later.killed_by) == (KILLED, "t.py::b")
    assert worker.warm.asked[2:] == [["t.py::a", "changed"], ["t.py::b", "changed"], ["t.py::b"]]


def test_a_test_that_fails_without_the_change_too_is_not_believed() -> None:
    worker = Processes(Answers((1, ["t.py::a"]), (1, ["t.py::a"]), (0, [])), Answers())
    trial, said = trial_of(slow=1.0)
    result = trial.run(worker, mutant_at("return a", "return 1"))
    assert (result.status, result.tests) == (SURVIVED, 1)
    assert said == ["not asked any more, for it fails without a change too: t.py::a"]
    assert worker.warm.asked[2:] == [["t.py::b", "changed"]]


def test_a_change_at_import_and_one_that_does_not_fit_are_asked_of_a_fresh_process() -> None:
    worker = Processes(Answers((NOT_EXCHANGEABLE, [])), Answers((0, []), (0, []), (1, ["t.py::a"]), (0, [])))
    trial, _ = trial_of(slow=5.0)
    assert trial.run(worker, mutant_at("return a", "return 1")).status == SURVIVED
    assert worker.fresh.asked == [["t.py::a", "changed"], ["t.py::b", "changed"]]
    assert trial.run(worker, mutant_at("3", "4")).status == KILLED
    assert worker.warm.asked == [["t.py::a", "changed"]]


def test_what_noticed_before_is_known_by_file_when_a_run_goes_on(tmp_path: Path) -> None:
    first, second, third = mutants_of("a.py", "y = a < b + c\nz = not a")
    results = Results(tmp_path / "results.jsonl")
    for mutant, killed_by in ((first, "t.py::t[1]"), (second, "t.py::t[2]"), (third, "collection")):
        results.add(Result(mutant.key, KILLED, 1.0, 3, 0, killed_by))
    assert noticed_before([first, second, third], results) == {"a.py": {"t.py::t": 2}}


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    """A pool of two whose workers are numbers."""
    monkeypatch.setattr(Pool, "_started", lambda _, number: number)
    return Pool(tmp_path, [], [], tmp_path, 2)


def test_pool_answers_every_item_once(pool: Pool) -> None:
    answers: dict[int, int] = {}
    pool.each(range(20), lambda _, item: item * item, answers.__setitem__)
    pool.each([], lambda _, item: item, answers.__setitem__)
    assert answers == {item: item * item for item in range(20)}


def test_pool_raises_what_a_task_raises(pool: Pool) -> None:
    with pytest.raises(ZeroDivisionError):
        pool.each([1, 0], lambda _, item: 1 / item, lambda item, answer: None)


def test_a_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(MutationError, match="another run"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_copy_takes_what_differs_and_keeps_bytecode(tmp_path: Path) -> None:
    root, copy = tmp_path / "root", tmp_path / "copy"
    root.mkdir()
    for name in ("a.py", "b.py", "gone.py"):
        (root / name).write_text(f"{name} 1")
    make_copy(root, ["a.py", "b.py", "gone.py"], copy)
    (copy / "a.pyc").write_text("bytecode")
    (root / "b.py").write_text("b.py 2")
    # A mutant that a run has left behind.
    (copy / "a.py").write_text("a.py 9")
    os.utime(copy / "a.py", (5, 5))
    make_copy(root, ["a.py", "b.py"], copy)
    assert {path.name: path.read_text() for path in copy.iterdir()} == {
        "a.py": "a.py 1",
        "b.py": "b.py 2",
        "a.pyc": "bytecode",
    }


TWICE = "def twice(a):\n    return 2 * a\n\ndef other():\n    return 5\n"
TESTS_OF_TWICE = """
import pytest
from quality_assets.twice import twice, other

@pytest.fixture(scope="module")
def four():
    return twice(2)

def test_first(four):
    assert four == 4

def test_second(four):
    assert four > 3

def test_other():
    assert other() == 5
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A product of one module with a test file."""
    (tmp_path / "quality_assets").mkdir()
    (tmp_path / "quality_assets/__init__.py").touch()
    (tmp_path / "quality_assets/twice.py").write_text(TWICE)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_twice.py").write_text(TESTS_OF_TWICE)
    return tmp_path


@pytest.fixture
def warm(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskProcess]:
    """A process that has collected the tests of `tree`."""
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "_hypothesis_pytestplugin")
    process = TaskProcess("warm", tree, tree / "scratch", ["tests/test_twice.py"], libraries=[], path=[root])
    yield process
    process.close()


def test_a_warm_process_tells_what_tests_reach_and_runs_them_against_a_change(tree: Path, warm: TaskProcess) -> None:
    limits = {"timeout_s": 60.0, "cpu_limit_s": 30.0}
    file, test_file = "quality_assets/twice.py", "tests/test_twice.py"
    names = {f"{test_file}::test_{name}" for name in ("first", "second")}
    reach = Reach()
    reach.add_imports(warm.ask(kind="imports", **limits)["lines"])
    reach.add(test_file, split_record(warm.ask(kind="reach", test_files=[test_file], **limits), test_file))
    # Lines of a shared fixture belong to every test that asks for it.
    assert reach.tests(file, [2]) == names
    assert reach.tests(file, [5]) == {f"{test_file}::test_other"}
    assert reach.at_import[file] == {1, 4}
    change = {"file": file, "before": TWICE, "text": TWICE.replace("2 * a", "3 * a")}
    asked = [f"{test_file}::test_other", f"{test_file}::test_first"]
    answer = warm.ask(kind="run", tests=asked, **change, **limits)
    assert (answer["code"], answer["failed"]) == (1, [f"{test_file}::test_first"])
    assert warm.ask(kind="run", tests=asked, **limits)["code"] == 0
    assert (tree / file).read_text() == TWICE
    endless = change | {"text": TWICE.replace("return 2 * a", "while a: pass")}
    assert warm.ask(kind="run", tests=asked, **endless, timeout_s=60.0, cpu_limit_s=1.0)["is_timeout"]
