"""The mutation run: what its operators make of a text, which mutants are tried, which tests are asked."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.mutation.operators_python import python_edits
from benchmarks.mutation.operators_sql import edits_of, is_sql, mask, sql_edits
from benchmarks.mutation.processes import MutationError, locked
from benchmarks.mutation.reach import Finder, Reach
from benchmarks.mutation.references import References
from benchmarks.mutation.results import KILLED, SURVIVED, TIMEOUT, Result, Results, report, wilson
from benchmarks.mutation.run import Pool, outcome
from benchmarks.mutation.source import Source
from benchmarks.mutation.targets import mutants_of, sample_of, strata, target_files


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
    assert later.missing([first, second, third], again=True) == [second, third]
    later.add(Result(third.key, TIMEOUT, 30.0))
    assert Results(tmp_path / "results.jsonl").missing([first, second, third]) == []


def test_a_changed_file_makes_its_mutants_new_and_a_moved_one_does_not() -> None:
    (before,) = mutants_of("a.py", "y = a < b")
    assert mutants_of("folder/a.py", "y = a < b")[0].key == before.key
    assert mutants_of("a.py", "y = a < b  # now")[0].key != before.key


def test_wilson() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_report_counts_by_file_and_lists_what_survived(tmp_path: Path) -> None:
    sample = mutants_of("a.py", "y = a < b\nz = a and b")
    results = Results(tmp_path / "results.jsonl")
    results.add(Result(sample[0].key, KILLED, 1.0))
    results.add(Result(sample[1].key, SURVIVED, 1.0, 5, 2))
    text = report(sample, results, {"a.py": 2}, 1)
    assert "**1 noticed, 50.0%** (95 % interval after Wilson 9.5% to 90.5%)" in text
    assert "| `a.py` | 2 | 2 | 1 | 0 | 1 | 0 |" in text
    assert "- `a.py:2` junction: `z = a and b` → `z = a or b` (2 slow tests not asked)" in text


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
    assert outcome(answer) == expected


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
        "p/limits.py": {"": [1, 2, 4, 7], "t.py::limit": [5], "t.py::broken": [8]},
        "p/user.py": {"fixture built": [6]},
    }
    reach.add("t.py", {"tests": tests, "fixture_seconds": {"fixture built": 5.0}, "lines": lines})
    return Finder(reach, PRODUCT)


def test_tests_of_a_line_and_of_a_constant(finder: Finder) -> None:
    assert finder.tests("p/limits.py", 5) == {"t.py::limit"}
    assert finder.tests("p/limits.py", 1) == {"t.py::limit", "t.py::use"}
    assert finder.tests("p/limits.py", 8) == set()
    assert finder.tests("p/user.py", 6) == {"t.py::use"}


def test_quick_test_files_come_first_and_the_limit_holds() -> None:
    reach = Reach(
        seconds={"slow.py::a": 1.0, "slow.py::b": 9.0, "quick.py::c": 2.0, "quick.py::d": 0.5},
        fixtures={"slow.py::a": ["f"], "slow.py::b": ["f"], "quick.py::c": [], "quick.py::d": []},
        fixture_seconds={("slow.py", "f"): 3.0},
    )
    whole = reach.choose(reach.seconds, 100)
    assert whole.tests == ("quick.py::d", "quick.py::c", "slow.py::a", "slow.py::b")
    assert whole.seconds == 15.5
    limited = reach.choose(reach.seconds, 7)
    assert (limited.tests, limited.seconds, limited.left_out) == (whole.tests[:3], 6.5, 1)


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    """A pool of two whose workers are numbers."""
    monkeypatch.setattr(Pool, "_started", lambda _, number: number)
    return Pool(tmp_path, [], tmp_path, 2)


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


def test_lines_of_a_shared_fixture_belong_to_every_test_that_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "quality_assets").mkdir()
    (tmp_path / "quality_assets/__init__.py").touch()
    (tmp_path / "quality_assets/twice.py").write_text("def twice(a):\n    return 2 * a\n\ndef other():\n    return 5\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_twice.py").write_text(TESTS_OF_TWICE)
    program = (
        "import json, pathlib; from benchmarks.mutation.recording import record_reach;"
        "found = record_reach(pathlib.Path.cwd(), 'tests/test_twice.py', ['-q']);"
        "pathlib.Path('found.json').write_text(json.dumps(found))"
    )
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, capture_output=True)
    reach = Reach()
    reach.add("tests/test_twice.py", json.loads((tmp_path / "found.json").read_text()))
    names = {f"tests/test_twice.py::test_{name}" for name in ("first", "second")}
    assert reach.tests("quality_assets/twice.py", [2]) == names
    assert reach.tests("quality_assets/twice.py", [5]) == {"tests/test_twice.py::test_other"}
    assert reach.at_import["quality_assets/twice.py"] == {1, 4}
