"""What runs in a child: tests, with a record of the lines that each and each fixture runs, or up to a failure."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import coverage
import hypothesis
import pytest

ROOT_NAME = "tests"
PRODUCT = ("quality_assets/", "dash_app/")


class Cache(Protocol):
    """A function that `functools` keeps results of."""

    def cache_clear(self) -> None:
        """Forget them."""


def settle_hypothesis() -> None:
    """No shrinking and no database: what matters is whether an example fails, not which is the smallest."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutation", hypothesis.settings(), phases=phases, database=None)
    hypothesis.settings.load_profile("mutation")


def cpu_seconds() -> float:
    """What this process has taken with those that it started and that have ended. Other work beside does not count."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@dataclasses.dataclass
class TestRecord:
    """One test: its CPU seconds but for shared fixtures, and which of those it asks for."""

    seconds: float
    fixtures: list[str]
    is_passed: bool = True

    __test__ = False


class ReachRecorder:
    """Switches coverage's context from test to test.

    A fixture that several tests share is a context of its own: coverage would give all its lines to the first test that
    asks for it, and a change in what builds it would be looked for by that test alone. For the same reason nothing that
    a test has cached is left for the next one.
    """

    def __init__(self, measured: coverage.Coverage, caches: Sequence[Cache] = ()) -> None:
        self.tests: dict[str, TestRecord] = {}
        self.fixture_seconds: dict[str, float] = {}
        self._within: list[float] = [0.0]
        self._measured, self._caches = measured, caches
        self._contexts = [""]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """A context per test."""
        defined = getattr(item, "_fixtureinfo", None)
        found = defined.name2fixturedefs.values() if defined else ()
        shared = sorted(_context(group[-1]) for group in found if group and group[-1].scope != "function")
        record = self.tests[item.nodeid] = TestRecord(0.0, shared)
        for cache in self._caches:
            cache.cache_clear()
        started = cpu_seconds()
        self._push(item.nodeid)
        try:
            return (yield)
        finally:
            self._pop()
            record.seconds = max(0.0, cpu_seconds() - started - self._within[0])
            self._within[0] = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
        """A context per shared fixture."""
        if fixturedef.scope == "function":
            return (yield)
        name, started = _context(fixturedef), cpu_seconds()
        self._push(name)
        self._within.append(0.0)
        try:
            return (yield)
        finally:
            self._pop()
            took = cpu_seconds() - started
            self.fixture_seconds[name] = self.fixture_seconds.get(name, 0.0) + took - self._within.pop()
            self._within[-1] += took

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A skipped test reaches nothing that it could judge."""
        record = self.tests[report.nodeid]
        record.is_passed = record.is_passed and report.outcome == "passed"

    def _push(self, name: str) -> None:
        self._contexts.append(name)
        self._measured.switch_context(name)

    def _pop(self) -> None:
        self._contexts.pop()
        self._measured.switch_context(self._contexts[-1])


def _context(fixture: pytest.FixtureDef[Any]) -> str:
    return f"fixture {fixture.scope} {fixture.baseid} {fixture.argname}"


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


def measure(root: Path) -> coverage.Coverage:
    """Coverage of the product, not started yet."""
    include = [f"{root}/{folder}*" for folder in PRODUCT]
    return coverage.Coverage(data_file=None, config_file=False, include=include, messages=False)


def lines_by_context(measured: coverage.Coverage, root: Path) -> dict[str, dict[str, list[int]]]:
    """The lines that were run, by file and context. The context "" is what ran outside of tests, as while importing."""
    data = measured.get_data()
    lines: dict[str, dict[str, list[int]]] = {}
    for name in data.measured_files():
        by_context: dict[str, list[int]] = {}
        for line, contexts in data.contexts_by_lineno(name).items():
            for context in contexts:
                by_context.setdefault(context, []).append(line)
        lines[Path(name).relative_to(root).as_posix()] = by_context
    return lines


def run_items(items: Sequence[pytest.Item], until: Callable[[], bool] = lambda: False) -> None:
    """Run collected tests in the order given, `until` says that it is enough."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if until():
            return


def record_reach(root: Path, items: Sequence[pytest.Item], caches: Sequence[Cache] = ()) -> dict[str, Any]:
    """Run collected tests under coverage; the tests, what shared fixtures took, and the lines by file and context."""
    measured = measure(root)
    recorder = ReachRecorder(measured, caches)
    if items:
        items[0].config.pluginmanager.register(recorder)
    measured.start()
    try:
        run_items(items)
    finally:
        measured.stop()
    tests = {name: dataclasses.asdict(record) for name, record in recorder.tests.items()}
    return {"tests": tests, "fixture_seconds": recorder.fixture_seconds, "lines": lines_by_context(measured, root)}


def run_chosen(names: Sequence[str], options: Sequence[str]) -> dict[str, Any]:
    """Start pytest and run the tests named, in their order, up to the first failure."""
    chosen = ChosenTests(names)
    files = list(dict.fromkeys(name.split("::", 1)[0] for name in names))
    code = int(pytest.main([*options, "-x", *files], plugins=[chosen]))
    return {"code": code, "failed": chosen.failed[:1]}
