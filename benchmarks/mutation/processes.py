"""Copies of the tree, and a worker in each. The work tree itself is never changed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SINGLE_THREADED = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
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


class MutationError(Exception):
    """Something that keeps the run from going on; the message says what to do."""


@contextlib.contextmanager
def locked(work: Path) -> Iterator[None]:
    """Keep a second run out of a folder, whose copies of the tree would be changed under the first."""
    with (work / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MutationError(f"another run works in {work}: wait for it, or give another --work") from error
        yield


def tree_files(root: Path) -> list[str]:
    """Every file of the work tree that git knows or would add, relative to `root`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise MutationError(f"{root} is not a git work tree ({listed.stderr.strip()}): run this in a clone")
    return sorted({name for name in listed.stdout.split("\0") if name and (root / name).is_file()})


def tree_hash(root: Path, files: Sequence[str]) -> str:
    """Changes with the product and its tests, and with nothing else."""
    digest = hashlib.sha256()
    for name in files:
        if name.startswith(("quality_assets/", "dash_app/", "tests/")) or name == "pyproject.toml":
            digest.update(f"{name}\0".encode() + hashlib.sha256((root / name).read_bytes()).digest())
    return digest.hexdigest()[:16]


def make_copy(root: Path, files: Sequence[str], to: Path) -> None:
    """Make `to` a copy of `files` of `root`, times included. What is there already stays, with its bytecode."""
    wanted = set(files)
    for path in list(to.rglob("*")):
        if path.is_file() and path.suffix != ".pyc" and path.relative_to(to).as_posix() not in wanted:
            path.unlink()
    for name in files:
        source, copy = root / name, to / name
        if not copy.exists() or _state(copy) != _state(source):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)


def _state(path: Path) -> tuple[int, int]:
    """What differs where the text does: a mutant left by a run that was cut short has a time of its own."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size


class TaskProcess:
    """A process in a copy of the tree that answers tasks one at a time: see `worker.serve`.

    It imports `libraries` first; `path` is where it finds modules that the copy has not.
    """

    def __init__(
        self,
        module: str,
        copy: Path,
        scratch: Path,
        arguments: Sequence[str] = (),
        libraries: Sequence[str] = HEAVY,
        path: Sequence[Path] = (),
    ) -> None:
        self.scratch = scratch
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        # QUALITY_* of whoever runs this would reach the tests' subprocesses; bytecode saves compiling all for each.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("QUALITY_") and name != "PYTHONDONTWRITEBYTECODE"
        }
        environment = kept | dict.fromkeys(SINGLE_THREADED, "1")
        environment["PYTHONPATH"] = os.pathsep.join(map(str, (copy, *path)))
        program = [sys.executable, "-m", f"benchmarks.mutation.{module}", str(scratch), ",".join(libraries)]
        self._log = scratch / "process.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*program, *arguments],
                cwd=copy,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C is for the run, which then ends its workers: a child must not take it for a failed test.
                start_new_session=True,
            )
        self._read()

    def ask(self, **task: Any) -> dict[str, Any]:
        """Send a task and wait for its answer. Raises MutationError where the process died."""
        assert self._process.stdin is not None
        try:
            print(json.dumps(task), file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise MutationError(f"a worker ended by itself: see {self._log}") from error
        return self._read()

    def close(self) -> None:
        """End the process, with the child that it waits for."""
        if self._process.poll() is None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            groups = [int(pid) for pid in children.read_text().split()] if children.exists() else []
            self._process.kill()
            for group in groups:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
        # Closes the pipes too.
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise MutationError(f"a worker ended by itself: see {self._log}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Worker:
    """One copy of the tree with its two processes, each started when it is first needed. Used by one thread at a time.

    `warm` has collected all tests, and changes functions in place; `fresh` starts pytest for each task.
    """

    def __init__(self, root: Path, files: Sequence[str], folder: Path, test_files: Sequence[str]) -> None:
        self._folder, self._test_files = folder, test_files
        self._started: dict[str, TaskProcess] = {}
        self.copy = folder / "tree"
        make_copy(root, files, self.copy)

    @property
    def warm(self) -> TaskProcess:
        """For changes inside functions."""
        return self._process("warm", self._test_files)

    @property
    def fresh(self) -> TaskProcess:
        """For changes of what runs while modules are imported."""
        return self._process("worker")

    def close(self) -> None:
        """End what was started."""
        for process in self._started.values():
            process.close()

    def _process(self, module: str, arguments: Sequence[str] = ()) -> TaskProcess:
        if module not in self._started:
            self._started[module] = TaskProcess(module, self.copy, self._folder / module, arguments)
        return self._started[module]
