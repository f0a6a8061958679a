"""A process that has collected all tests, and forks a child for each task: what is changed is exchanged in place.

Started in a copy of the tree as `python -m benchmarks.mutation.warm SCRATCH LIBRARIES TEST_FILE…`. To import the
product and hundreds of test files takes longer than most tests. A change inside a function needs none of that: the
child gives the functions that are there already the code of the changed ones. What runs while modules are imported
cannot be changed so (see `worker.py`); which lines that are is recorded on the way.
"""

from __future__ import annotations

import functools
import gc
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TextIO

import coverage
import pytest

from benchmarks.mutation.recording import (
    PRODUCT,
    Cache,
    lines_by_context,
    measure,
    record_reach,
    run_items,
    settle_hypothesis,
)
from benchmarks.mutation.worker import NOT_EXCHANGEABLE, OPTIONS, Task, import_libraries, lines_of_tasks, serve

# The function's name with all that it lies in, and where its instructions come from.
CodeKey = tuple[str, int, bytes]


def code_key(code: CodeType) -> CodeKey:
    """What two compilations of one text have in common; two lambdas of a line differ by their columns."""
    return code.co_qualname, code.co_firstlineno, code.co_linetable


def functions_of(root: Path) -> dict[str, list[FunctionType]]:
    """Every function of the product that exists now, by file."""
    found: dict[str, list[FunctionType]] = defaultdict(list)
    prefixes = tuple(f"{root}/{folder}" for folder in PRODUCT)
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename.startswith(prefixes):
            found[Path(thing.__code__.co_filename).relative_to(root).as_posix()].append(thing)
    return found


def caches_of(root: Path) -> list[Cache]:
    """Every cached function of the product."""
    return [
        thing
        for thing in gc.get_objects()
        if type(thing) is functools._lru_cache_wrapper
        and str(thing.__wrapped__.__module__).startswith(tuple(folder[:-1] for folder in PRODUCT))
    ]


def changed_codes(before: str, after: str, file: str) -> dict[CodeKey, CodeType]:
    """The code that takes the place of each code which a change of a module's text touches."""
    found: dict[CodeKey, CodeType] = {}
    waiting = [(compile(before, file, "exec"), compile(after, file, "exec"))]
    while waiting:
        old, new = waiting.pop()
        if old != new:
            found[code_key(old)] = new
            waiting += _paired(old, new)
    return found


def _paired(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """The functions inside two codes, by name and order. Where a change has removed one, its namesakes stay."""
    by_name: dict[str, tuple[list[CodeType], list[CodeType]]] = defaultdict(lambda: ([], []))
    for side, code in enumerate((old, new)):
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                by_name[inner.co_name][side].append(inner)
    for olds, news in by_name.values():
        if len(olds) == len(news):
            yield from zip(olds, news, strict=True)


def exchange(functions: Sequence[FunctionType], codes: Mapping[CodeKey, CodeType]) -> bool:
    """Give `functions` their changed code, and tell whether any got some. Raises ValueError where one does not fit."""
    is_any = False
    for function in functions:
        new = codes.get(code_key(function.__code__))
        if new is not None:
            function.__code__ = new
            is_any = True
    return is_any


class Server:
    """A pytest plugin that serves tasks instead of running what was collected."""

    def __init__(self, root: Path, scratch: Path, streams: tuple[TextIO, TextIO], measured: coverage.Coverage) -> None:
        self._root, self._scratch, self._streams, self._measured = root, scratch, streams, measured
        self._failed: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """After the first conftest, before any test module."""
        settle_hypothesis()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve."""
        self._measured.stop()
        at_import = {file: contexts[""] for file, contexts in lines_by_context(self._measured, self._root).items()}
        items = {item.nodeid: item for item in session.items}
        functions, caches = functions_of(self._root), caches_of(self._root)

        def task_run(task: Task) -> dict[str, Any]:
            match task["kind"]:
                case "imports":
                    return {"lines": at_import}
                case "reach":
                    chosen = [item for item in session.items if item.nodeid.split("::", 1)[0] in task["test_files"]]
                    return record_reach(self._root, chosen, caches)
                case _:
                    if task.get("file") and not exchanged(self._root / task["file"], task, functions):
                        return {"code": NOT_EXCHANGEABLE, "failed": []}
                    self._failed.clear()
                    run_items([items[name] for name in task["tests"]], until=lambda: bool(self._failed))
                    return {"code": int(bool(self._failed)), "failed": self._failed[:1]}

        serve(*self._streams, self._scratch, task_run)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Which test noticed."""
        if report.failed:
            self._failed.append(report.nodeid)


def exchanged(path: Path, task: Task, functions: Mapping[str, Sequence[FunctionType]]) -> bool:
    """Change what is there of a file, and tell whether the tests will see the change.

    They do too where the file is not imported yet: what is on disk is changed already.
    """
    if not any(getattr(module, "__file__", None) == str(path) for module in list(sys.modules.values())):
        return True
    try:
        return exchange(functions.get(task["file"], ()), changed_codes(task["before"], task["text"], task["file"]))
    except ValueError:
        return False


def main() -> None:
    """Collect, and serve."""
    root, scratch = Path.cwd(), Path(sys.argv[1])
    streams = lines_of_tasks()
    import_libraries(sys.argv[2])
    measured = measure(root)
    measured.start()
    server = Server(root, scratch, streams, measured)
    sys.exit(pytest.main([*OPTIONS, f"--basetemp={scratch / 'pytest'}", *sys.argv[3:]], plugins=[server]))


if __name__ == "__main__":
    main()
