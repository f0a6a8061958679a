"""Which tests reach a place: each test file is run once under coverage, and kept for as long as nothing changes.

What a test runs in a process that it starts is not seen. Browser tests are left out.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.mutation.processes import MutationError, Worker
from benchmarks.mutation.references import Place, References, place_of

LEFT_OUT = ("tests/browser/", "tests/benchmarks/")
PRODUCT = ("quality_assets/", "dash_app/")
TEST_FILE_TIMEOUT_S = 1_800.0


@dataclass(frozen=True)
class Choice:
    """The tests for one mutant in the order in which they run, and how long they take when nothing is changed."""

    tests: tuple[str, ...]
    seconds: float
    left_out: int = 0


@dataclass
class Reach:
    """Tests by line. `at_import` are the lines that run while modules are imported, by file."""

    seconds: dict[str, float] = field(default_factory=dict)
    fixtures: dict[str, list[str]] = field(default_factory=dict)
    fixture_seconds: dict[tuple[str, str], float] = field(default_factory=dict)
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
                if not context:
                    self.at_import[file].update(lines)
                    continue
                for line in lines:
                    self.by_line[file][line] |= users[context]

    def tests(self, file: str, lines: Collection[int]) -> set[str]:
        """The tests that run one of `lines`."""
        known = self.by_line.get(file, {})
        return set().union(*(known.get(line, set()) for line in lines))

    def tests_of_file(self, file: str) -> set[str]:
        """The tests that run anything in a file after it was imported."""
        return set().union(*self.by_line.get(file, {}).values())

    def choose(self, tests: Collection[str], limit_s: float) -> Choice:
        """Order tests: files of little cost first, quick tests first in each; what exceeds `limit_s` is left out."""
        by_file: dict[str, list[str]] = defaultdict(list)
        for name in sorted(tests, key=lambda name: (self.seconds[name], name)):
            by_file[name.split("::", 1)[0]].append(name)
        shared = {
            file: sum(
                self.fixture_seconds.get((file, fixture), 0.0)
                for fixture in {f for n in names for f in self.fixtures[n]}
            )
            for file, names in by_file.items()
        }
        cost = {file: shared[file] + sum(self.seconds[name] for name in names) for file, names in by_file.items()}
        chosen: list[str] = []
        total = 0.0
        for file in sorted(by_file, key=lambda file: (cost[file], file)):
            if chosen and total + shared[file] > limit_s:
                continue
            total += shared[file]
            for name in by_file[file]:
                if chosen and total + self.seconds[name] > limit_s:
                    break
                total += self.seconds[name]
                chosen.append(name)
        return Choice(tuple(chosen), total, len(tests) - len(chosen))


class Finder:
    """Which tests to ask about a place of a file."""

    def __init__(self, reach: Reach, sources: Mapping[str, str]) -> None:
        self._reach = reach
        self._trees = {file: ast.parse(source) for file, source in sources.items()}
        self._references = References(self._trees)

    def place(self, file: str, line: int) -> Place:
        """Where a line of a file lies."""
        return place_of(self._trees[file], line)

    def tests(self, file: str, line: int) -> set[str]:
        """The tests that run the statement at `line`; for what runs at import, those that use what it made."""
        place = self.place(file, line)
        direct = self._reach.tests(file, place.lines)
        if place.is_in_function and not self._reach.at_import.get(file, set()).intersection(place.lines):
            return direct
        for used_in, lines in self._references.lines_using(file, place.names):
            direct |= self._reach.tests(used_in, lines)
        return direct or self._reach.tests_of_file(file)


def test_files(files: Sequence[str]) -> list[str]:
    """The test modules of the tree that are asked."""
    return [
        name
        for name in files
        if name.startswith("tests/") and Path(name).name.startswith("test_") and not name.startswith(LEFT_OUT)
    ]


def record_key(root: Path, files: Sequence[str], test_file: str) -> str:
    """Changes with the product, what tests share, and this test file; not with other tests."""
    digest = hashlib.sha256()
    for name in files:
        is_shared = name.startswith("tests/") and name.endswith(".py") and not Path(name).name.startswith("test_")
        if name in (test_file, "pyproject.toml") or name.startswith(PRODUCT) or is_shared:
            digest.update(f"{name}\0".encode() + hashlib.sha256((root / name).read_bytes()).digest())
    return digest.hexdigest()[:24]


def record_path(root: Path, files: Sequence[str], test_file: str, work: Path) -> Path:
    """Where what a test file reaches is kept."""
    return work / "reach" / f"{record_key(root, files, test_file)}.json"


def make_record(worker: Worker, test_file: str, kept: Path) -> dict[str, Any]:
    """Run one test file under coverage, and keep what it reaches. Raises MutationError where it cannot be run."""
    found = worker.ask(kind="reach", test_file=test_file, timeout=TEST_FILE_TIMEOUT_S)
    if "tests" not in found:
        log = (worker.scratch / "child.log").read_text(errors="replace")[-2_000:]
        raise MutationError(f"{test_file} could not be run under coverage; make it pass first:\n{log}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".part")
    partial.write_text(json.dumps(found))
    partial.rename(kept)
    return found


def largest_first(root: Path, names: Sequence[str]) -> list[str]:
    """Test files by size: the long ones should not come last, when one worker idles."""
    return sorted(names, key=lambda name: (-(root / name).stat().st_size, name))
