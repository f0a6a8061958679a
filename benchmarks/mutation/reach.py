"""Which tests reach a place: each test file is run once under coverage, and kept for as long as nothing changes.

What a test runs in a process that it starts is not seen. Browser tests are left out.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from benchmarks.mutation.processes import MutationError, Worker
from benchmarks.mutation.references import Place, References, place_of

LEFT_OUT = ("tests/browser/", "tests/benchmarks/")
PRODUCT = ("quality_assets/", "dash_app/")
GROUP_TIMEOUT_S = 1_800.0
# Test files of a folder are recorded together up to so much text: they share fixtures that take seconds.
GROUP_BYTES = 120_000
# Raised when what a record holds changes.
RECORD_VERSION = 2
# A test that noticed a change of a file before counts as so many that did not.
NOTICED_WEIGHT = 30.0


@dataclass(frozen=True)
class Choice:
    """The tests for one mutant in the order in which they run, and the CPU seconds of each when nothing is changed."""

    tests: tuple[str, ...] = ()
    seconds: tuple[float, ...] = ()
    left_out: int = 0

    def stages(self, budgets_s: Sequence[float]) -> list[Choice]:
        """Cut in parts of growing cost: each ends where the sum from the start exceeds its budget, the last at all."""
        parts, start, spent = [], 0, 0.0
        for budget_s in (*budgets_s, inf):
            end = start
            while end < len(self.tests) and (end == start or spent + self.seconds[end] <= budget_s):
                spent += self.seconds[end]
                end += 1
            if end > start:
                parts.append(Choice(self.tests[start:end], self.seconds[start:end]))
            start = end
        return parts


@dataclass(frozen=True)
class Block:
    """Tests that run one after another because a fixture of their file would be built anew for each otherwise."""

    tests: tuple[str, ...]
    fixtures: tuple[tuple[str, str], ...]
    seconds: float
    weight: float


@dataclass
class Reach:
    """Tests by line. `at_import` are the lines that run while modules are imported, by file.

    `breadth` is how many lines a test runs, what its fixtures run included.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    fixtures: dict[str, list[str]] = field(default_factory=dict)
    fixture_seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    breadth: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    by_line: dict[str, dict[int, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    at_import: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    broken: list[str] = field(default_factory=list)

    def add(self, test_file: str, record: Mapping[str, Any]) -> None:
        """Take in what `record_reach` found for one test file; tests that failed or were skipped are not asked."""
        users = defaultdict(set)
        for name, test in record["tests"].items():
            if not test["is_passed"]:
                self.broken.append(name)
                continue
            self.seconds[name], self.fixtures[name] = test["seconds"], test["fixtures"]
            users[name].add(name)
            for fixture in test["fixtures"]:
                users[fixture].add(name)
        for fixture, seconds in record["fixture_seconds"].items():
            self.fixture_seconds[test_file, fixture] = seconds
        for file, by_context in record["lines"].items():
            for context, lines in by_context.items():
                for name in users[context]:
                    self.breadth[name] += len(lines)
                for line in lines:
                    self.by_line[file][line] |= users[context]

    def add_imports(self, lines: Mapping[str, Collection[int]]) -> None:
        """Take in the lines that run while the product and the tests are imported, by file."""
        for file, of_file in lines.items():
            self.at_import[file].update(of_file)

    def tests(self, file: str, lines: Collection[int]) -> set[str]:
        """The tests that run one of `lines`."""
        known = self.by_line.get(file, {})
        return set().union(*(known.get(line, set()) for line in lines))

    def tests_of_file(self, file: str) -> set[str]:
        """The tests that run anything in a file after it was imported."""
        return set().union(*self.by_line.get(file, {}).values())

    def choose(self, tests: Collection[str], limit_s: float, noticed: Mapping[str, int] | None = None) -> Choice:
        """Order tests by what they cost beside how likely they notice; what exceeds `limit_s` is left out.

        The order that finds soonest on average is that of the ratio of both (W. E. Smith 1956). A test that runs few
        lines says more of each; one that `noticed` a change of the same file before, by function, says more still.
        """
        chosen: list[str] = []
        each: list[float] = []
        total, built = 0.0, set()
        for block in sorted(self._blocks(tests, noticed or {}), key=lambda block: block.seconds / block.weight):
            fixtures = [key for key in block.fixtures if key[1] not in built]
            waits = sum(self.fixture_seconds[key] for key in fixtures)
            if chosen and total + waits > limit_s:
                continue
            total += waits
            built |= {name for _, name in fixtures if name.startswith("fixture session")}
            for name in block.tests:
                if chosen and total + self.seconds[name] > limit_s:
                    break
                total += self.seconds[name]
                chosen.append(name)
                each.append(self.seconds[name] + waits)
                waits = 0.0
        return Choice(tuple(chosen), tuple(each), len(tests) - len(chosen))

    def _blocks(self, tests: Collection[str], noticed: Mapping[str, int]) -> Iterator[Block]:
        """Every test by itself, but those that share more than what lasts for the whole session: file by file."""
        groups: dict[str, list[str]] = defaultdict(list)
        for name in sorted(tests, key=lambda name: (self.seconds[name], name)):
            is_alone = all(fixture.startswith("fixture session") for fixture in self.fixtures[name])
            groups[name if is_alone else name.split("::", 1)[0]].append(name)
        for names in groups.values():
            file = names[0].split("::", 1)[0]
            used = sorted({fixture for name in names for fixture in self.fixtures[name]})
            fixtures = tuple((file, fixture) for fixture in used if (file, fixture) in self.fixture_seconds)
            seconds = sum(self.seconds[name] for name in names) + sum(self.fixture_seconds[key] for key in fixtures)
            weight = sum(
                (1.0 + NOTICED_WEIGHT * noticed.get(function_of(name), 0)) / max(1, self.breadth[name])
                for name in names
            )
            # No test is free: pytest takes a millisecond or two around each.
            yield Block(tuple(names), fixtures, seconds + 0.002 * len(names), weight)


def function_of(test: str) -> str:
    """A test's name without its parameters."""
    return test.split("[", 1)[0]


class Finder:
    """Which tests to ask about a place of a file."""

    def __init__(self, reach: Reach, sources: Mapping[str, str]) -> None:
        """Take the texts of the product and of the tests, by file."""
        self._reach = reach
        self._trees = {file: ast.parse(source) for file, source in sources.items()}
        self._references = References(self._trees)
        self._tests: dict[tuple[str, str], set[str]] = defaultdict(set)
        for test in reach.seconds:
            test_file, name = test.split("::", 1)
            self._tests[test_file, re.split(r"::|\[", name)[0]].add(test)
            self._tests[test_file, ""].add(test)

    def place(self, file: str, line: int) -> Place:
        """Where a line of a file lies."""
        return place_of(self._trees[file], line)

    def is_late(self, file: str, line: int) -> bool:
        """Whether the statement at `line` lies in a function, and runs after all is imported only."""
        place = self.place(file, line)
        return place.is_in_function and not self._reach.at_import.get(file, set()).intersection(place.lines)

    def tests(self, file: str, line: int) -> set[str]:
        """The tests that run the statement at `line`; for what runs at import, those that use what it made."""
        place = self.place(file, line)
        direct = self._reach.tests(file, place.lines)
        if self.is_late(file, line):
            return direct
        for used_in, lines in self._references.lines_using(file, place.names):
            if used_in.startswith("tests/"):
                direct |= self._tests_at(used_in, self.place(used_in, lines.start).names)
            else:
                direct |= self._reach.tests(used_in, lines)
        for used_in, name in self._references.names_made_of(file, place.names):
            direct |= self._tests.get((used_in, name), set())
        return direct or self._reach.tests_of_file(file)

    def _tests_at(self, test_file: str, names: Sequence[str]) -> set[str]:
        """The tests that are one of the top-level names of a test file; of a helper in it all tests of the file."""
        found = set().union(*(self._tests.get((test_file, name), set()) for name in names))
        return found or self._tests.get((test_file, ""), set())


def test_files(files: Sequence[str]) -> list[str]:
    """The test modules of the tree that are asked."""
    return [
        name
        for name in files
        if name.startswith("tests/") and Path(name).name.startswith("test_") and not name.startswith(LEFT_OUT)
    ]


def record_key(root: Path, files: Sequence[str], test_file: str) -> str:
    """Changes with the product, what tests share, and this test file; not with other tests."""
    digest = hashlib.sha256(str(RECORD_VERSION).encode())
    for name in files:
        is_shared = name.startswith("tests/") and name.endswith(".py") and not Path(name).name.startswith("test_")
        if name in (test_file, "pyproject.toml") or name.startswith(PRODUCT) or is_shared:
            digest.update(f"{name}\0".encode() + hashlib.sha256((root / name).read_bytes()).digest())
    return digest.hexdigest()[:24]


def record_path(root: Path, files: Sequence[str], test_file: str, work: Path) -> Path:
    """Where what a test file reaches is kept."""
    return work / "reach" / f"{record_key(root, files, test_file)}.json"


def grouped(sizes: Mapping[str, int], most_bytes: int = GROUP_BYTES) -> list[list[str]]:
    """Test files in groups of one folder each, in order, up to `most_bytes` of text together."""
    groups: list[list[str]] = []
    total = 0
    for name in sorted(sizes, key=lambda name: (Path(name).parent.as_posix(), name)):
        total += sizes[name]
        if not groups or total > most_bytes or Path(groups[-1][-1]).parent != Path(name).parent:
            groups.append([])
            total = sizes[name]
        groups[-1].append(name)
    return groups


def split_record(found: Mapping[str, Any], test_file: str) -> dict[str, Any]:
    """Of the record of several test files what belongs to one of them."""
    tests = {name: test for name, test in found["tests"].items() if name.split("::", 1)[0] == test_file}
    fixtures = {fixture for test in tests.values() for fixture in test["fixtures"]}
    return {
        "tests": tests,
        "fixture_seconds": {name: cost for name, cost in found["fixture_seconds"].items() if name in fixtures},
        "lines": {
            file: {context: lines for context, lines in by_context.items() if context in tests or context in fixtures}
            for file, by_context in found["lines"].items()
        },
    }


def make_records(worker: Worker, kept: Mapping[str, Path]) -> int:
    """Run test files under coverage, keep what each reaches, and tell how many tests they have.

    Raises MutationError where they cannot be run.
    """
    found = worker.warm.ask(
        kind="reach", test_files=sorted(kept), timeout_s=GROUP_TIMEOUT_S, cpu_limit_s=GROUP_TIMEOUT_S
    )
    if "tests" not in found:
        log = (worker.warm.scratch / "child.log").read_text(errors="replace")[-2_000:]
        raise MutationError(f"could not be run under coverage; make them pass first: {', '.join(kept)}\n{log}")
    for test_file, path in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(split_record(found, test_file)))
        partial.rename(path)
    return len(found["tests"])
