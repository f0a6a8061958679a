"""Two pytest plugins: one records which lines each test and each shared fixture runs, one runs chosen tests."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import coverage
import hypothesis
import pytest

ROOT_NAME = "tests"


def settle_hypothesis() -> None:
    """No shrinking and no database: what matters is whether an example fails, not which is the smallest."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutation", hypothesis.settings(), phases=phases, database=None)
    hypothesis.settings.load_profile("mutation")


@dataclasses.dataclass
class TestRecord:
    """One test: how long it took but for shared fixtures, and which of those it asks for."""

    seconds: float
    fixtures: list[str]
    is_passed: bool = True

    __test__ = False


class ReachRecorder:
    """Switches coverage's context from test to test.

    A fixture that several tests share is a context of its own: coverage would give all its lines to the first test that
    asks for it, and a change in what builds it would be looked for by that test alone.
    """

    def __init__(self, measured: coverage.Coverage) -> None:
        self.tests: dict[str, TestRecord] = {}
        self.fixture_seconds: dict[str, float] = {}
        self._within: list[float] = [0.0]
        self._measured = measured
        self._contexts = [""]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """After the first conftest, before any test module."""
        settle_hypothesis()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """A context per test."""
        defined = getattr(item, "_fixtureinfo", None)
        found = defined.name2fixturedefs.values() if defined else ()
        shared = sorted(_context(group[-1]) for group in found if group and group[-1].scope != "function")
        self.tests[item.nodeid] = TestRecord(0.0, shared)
        self._push(item.nodeid)
        try:
            return (yield)
        finally:
            self._pop()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
        """A context per shared fixture."""
        if fixturedef.scope == "function":
            return (yield)
        name, started = _context(fixturedef), time.perf_counter()
        self._push(name)
        self._within.append(0.0)
        try:
            return (yield)
        finally:
            self._pop()
            took = time.perf_counter() - started
            self.fixture_seconds[name] = self.fixture_seconds.get(name, 0.0) + took - self._within.pop()
            self._within[-1] += took

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Time and outcome. A skipped test reaches nothing that it could judge."""
        record = self.tests[report.nodeid]
        record.seconds += max(0.0, report.duration - self._within[0])
        self._within[0] = 0.0
        record.is_passed = record.is_passed and report.outcome == "passed"

    def _push(self, name: str) -> None:
        self._contexts.append(name)
        self._measured.switch_context(name)

    def _pop(self) -> None:
        self._contexts.pop()
        self._measured.switch_context(self._contexts[-1])


def _context(fixture: pytest.FixtureDef[Any]) -> str:
    return f"fixture {fixture.baseid} {fixture.argname}"


class ChosenTests:
    """Keeps of what is collected the tests asked for, in the order in which they are asked for, and notes failures."""

    def __init__(self, names: Sequence[str]) -> None:
        self._order = {name: index for index, name in enumerate(names)}
        self.failed: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """After the first conftest, before any test module."""
        settle_hypothesis()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Select and sort."""
        items[:] = sorted(
            (item for item in items if item.nodeid in self._order), key=lambda item: self._order[item.nodeid]
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A module that cannot be imported any more has noticed too."""
        if report.failed:
            self.failed.append(report.nodeid or ROOT_NAME)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Which test noticed."""
        if report.failed:
            self.failed.append(report.nodeid)


def record_reach(root: Path, test_file: str, options: Sequence[str]) -> dict[str, Any]:
    """Run one test file under coverage; its tests, and the lines of the product by context.

    The context "" is what runs while modules are imported.
    """
    measured = coverage.Coverage(
        data_file=None,
        config_file=False,
        include=[f"{root}/quality_assets/*", f"{root}/dash_app/*"],
        messages=False,
    )
    measured.start()
    recorder = ReachRecorder(measured)
    try:
        code = int(pytest.main([*options, test_file], plugins=[recorder]))
    finally:
        measured.stop()
    data = measured.get_data()
    lines: dict[str, dict[str, list[int]]] = {}
    for name in data.measured_files():
        by_context: dict[str, list[int]] = {}
        for line, contexts in data.contexts_by_lineno(name).items():
            for context in contexts:
                by_context.setdefault(context, []).append(line)
        lines[Path(name).relative_to(root).as_posix()] = by_context
    tests = {name: dataclasses.asdict(record) for name, record in recorder.tests.items()}
    return {"code": code, "tests": tests, "fixture_seconds": recorder.fixture_seconds, "lines": lines}


def run_chosen(names: Sequence[str], options: Sequence[str]) -> dict[str, Any]:
    """Run the tests named, in their order, up to the first failure."""
    chosen = ChosenTests(names)
    files = list(dict.fromkeys(name.split("::", 1)[0] for name in names))
    code = int(pytest.main([*options, "-x", *files], plugins=[chosen]))
    return {"code": code, "failed": chosen.failed[:1]}
