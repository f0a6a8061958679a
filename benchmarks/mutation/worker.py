"""A process that has the libraries imported, but nothing of the product, and forks a child for each task.

Started in a copy of the tree as `python -m benchmarks.mutation.worker SCRATCH LIBRARIES`: a task a line in, an answer a
line out, JSON. Only what starts no thread while it is imported may be imported here: a forked child has the forking
thread alone.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path
from secrets import randbelow
from typing import Any, TextIO

OPTIONS = (
    *("-q", "--no-header", "--tb=no", "--hypothesis-seed=1", "-p", "no:pytest_cov"),
    # Hypothesis and others are plugins whose asserts pytest would rewrite, were they not imported yet.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)

# The answer to a change that needs a fresh process.
NOT_EXCHANGEABLE = -2

Task = dict[str, Any]
# What a child does with a task; it may raise.
Run = Callable[[Task], dict[str, Any]]


def import_libraries(names: str) -> None:
    """Import what most tests need of others' code: names with commas between; what is not there is passed over."""
    for module in filter(None, names.split(",")):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)


def lines_of_tasks() -> tuple[TextIO, TextIO]:
    """Where tasks come from and answers go to. What else is printed from now on goes to the log."""
    tasks = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return tasks, answers


def serve(tasks: TextIO, answers: TextIO, scratch: Path, run: Run) -> None:
    """Answer tasks until the input ends: each in a child, with a changed file in place while it lasts.

    `file` and `text` say what is changed, `timeout_s` and `cpu_limit_s` how long the child may take.
    """
    gc.freeze()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in tasks:
        task = json.loads(line)
        with changed_file(task):
            answer = in_child(task, scratch, run)
        print(json.dumps(answer), file=answers, flush=True)


@contextlib.contextmanager
def changed_file(task: Task) -> Iterator[None]:
    """The task's file as it is changed; nothing where it names none."""
    if not task.get("file"):
        yield
        return
    path = Path(task["file"])
    before, state = path.read_bytes(), path.stat()
    path.write_text(task["text"], encoding="utf-8")
    # Bytecode is taken as current by time in seconds and size: each change gets a time of its own, in all runs.
    changed_at = randbelow(1_000_000_000)
    os.utime(path, (changed_at, changed_at))
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def in_child(task: Task, scratch: Path, run: Run) -> dict[str, Any]:
    """Fork, wait, and end whatever the child has left behind."""
    result = scratch / "result.json"
    result.unlink(missing_ok=True)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        run_child(task, scratch, result, run)
    cpu_s, is_timeout = waited_for(child, started + task["timeout_s"])
    with contextlib.suppress(ProcessLookupError):
        # The child leads a group of its own, so that servers and runs which its tests started end with it.
        os.killpg(child, signal.SIGKILL)
    if cpu_s is None:
        os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {"code": -1, "failed": []}
    seconds = round(time.monotonic() - started, 2)
    return {**found, "is_timeout": is_timeout, "seconds": seconds, "cpu_s": round(cpu_s or 0.0, 2)}


def waited_for(child: int, deadline: float) -> tuple[float | None, bool]:
    """Wait for a child up to `deadline`: its CPU seconds, None where it has not ended, and whether it took too long."""
    pause = 0.002
    while time.monotonic() < deadline:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            is_over_limit = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
            return usage.ru_utime + usage.ru_stime, is_over_limit
        time.sleep(pause)
        pause = min(pause * 1.3, 0.05)
    return None, True


def run_child(task: Task, scratch: Path, result: Path, run: Run) -> None:
    """What the child does; never returns."""
    code = 1
    try:
        os.setsid()
        limit = ceil(task["cpu_limit_s"])
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        log = os.open(scratch / "child.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        partial = result.with_suffix(".part")
        partial.write_text(json.dumps(run(task)))
        partial.rename(result)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def run_chosen_tests(scratch: Path) -> Run:
    """pytest from its start, for a change of what runs while modules are imported."""

    def run(task: Task) -> dict[str, Any]:
        # Imported in the child: it must see the changed product, and so must nothing before it.
        from benchmarks.mutation.recording import run_chosen

        return run_chosen(task["tests"], [*OPTIONS, f"--basetemp={scratch / 'pytest'}"])

    return run


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    streams = lines_of_tasks()
    import_libraries(sys.argv[2])
    serve(*streams, folder, run_chosen_tests(folder))
