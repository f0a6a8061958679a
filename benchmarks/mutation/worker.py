"""A process that has the libraries imported, but nothing of the product, and forks a child for each task.

Started in a copy of the tree as `python -m benchmarks.mutation.worker`: a task a line in, an answer a line out, JSON.
Only what starts no thread while it is imported may be imported here: a forked child has the forking thread alone.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

# Measured: these are 6 s of the 7 s that a test file takes before its first test.
HEAVY = (
    "coverage",
    "dagster",
    "dash",
    "duckdb",
    "great_expectations",
    "httpx",
    "hypothesis.strategies",
    "mlflow",
    "pandas",
    "plotly.graph_objects",
    "pyarrow.parquet",
    "pytest",
    "scipy.stats",
    "shap",
    "sklearn.ensemble",
    "skops.io",
    "typer.testing",
    "fastapi.testclient",
)
OPTIONS = (
    *("-q", "--no-header", "--tb=no", "--hypothesis-seed=1", "-p", "no:pytest_cov"),
    # Hypothesis and others are plugins whose asserts pytest would rewrite, were they not imported yet.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


def serve(scratch: Path) -> None:
    """Answer tasks until the input ends."""
    for module in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for number, line in enumerate(sys.stdin):
        print(json.dumps(answer(json.loads(line), scratch, number)), file=answers, flush=True)


def answer(task: dict[str, Any], scratch: Path, number: int) -> dict[str, Any]:
    """Carry out one task in a child, with a changed file in place while it lasts.

    `kind` is "reach" (a `test_file`) or "run" (`tests`); `file` and `text` say what is changed; `timeout` in seconds.
    """
    changed = Path(task["file"]) if task.get("file") else None
    before = changed.read_bytes() if changed else b""
    state = changed.stat() if changed else None
    if changed:
        changed.write_text(task["text"], encoding="utf-8")
        # Bytecode is taken as current by time in seconds and size: each change gets a time of its own.
        os.utime(changed, (1_000_000_000 + number, 1_000_000_000 + number))
    try:
        return in_child(task, scratch)
    finally:
        if changed and state:
            changed.write_bytes(before)
            os.utime(changed, ns=(state.st_atime_ns, state.st_mtime_ns))


def in_child(task: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Fork, wait, and end whatever the child has left behind."""
    result = scratch / "result.json"
    result.unlink(missing_ok=True)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        run_child(task, scratch, result)
    cpu_s = cpu_of(child, started + task["timeout"])
    with contextlib.suppress(ProcessLookupError):
        # The child leads a group of its own, so that servers and runs which its tests started end with it.
        os.killpg(child, signal.SIGKILL)
    if cpu_s is None:
        os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {"code": -1, "failed": []}
    seconds = round(time.monotonic() - started, 2)
    return {**found, "is_timeout": cpu_s is None, "seconds": seconds, "cpu_s": round(cpu_s or 0.0, 2)}


def cpu_of(child: int, deadline: float) -> float | None:
    """Wait for a child up to `deadline`; the CPU seconds that it took, None where it has not ended."""
    pause = 0.005
    while time.monotonic() < deadline:
        ended, _, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return usage.ru_utime + usage.ru_stime
        time.sleep(pause)
        pause = min(pause * 1.3, 0.05)
    return None


def run_child(task: dict[str, Any], scratch: Path, result: Path) -> None:
    """What the child does; never returns."""
    code = 1
    try:
        os.setsid()
        log = os.open(scratch / "child.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        # Imported in the child: it must see the changed product, and so must nothing before it.
        from benchmarks.mutation.recording import record_reach, run_chosen

        options = [*OPTIONS, f"--basetemp={scratch / 'pytest'}"]
        if task["kind"] == "reach":
            found = record_reach(Path.cwd(), task["test_file"], options)
        else:
            found = run_chosen(task["tests"], options)
        result.write_text(json.dumps(found))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
