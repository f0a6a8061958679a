"""Workers over a queue: first the test files that are not known, then the mutants."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.mutation.processes import MutationError, Worker
from benchmarks.mutation.reach import Finder, Reach, largest_first, make_record, record_path, test_files
from benchmarks.mutation.results import KILLED, SURVIVED, TIMEOUT, UNREACHED, Result, Results
from benchmarks.mutation.source import Mutant, Source

T = TypeVar("T")
Say = Callable[[str], None]
SPARE_S, SLOWER = 20.0, 10.0


class Pool:
    """Some workers, started when there is work for them. Use as a context manager."""

    def __init__(self, root: Path, files: Sequence[str], work: Path, jobs: int) -> None:
        self._root, self._files, self._folder, self._jobs = root, files, work, jobs
        self._workers: list[Worker] = []
        self._stop = threading.Event()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for worker in self._workers:
            worker.close()

    def each(self, items: Sequence[T], task: Callable[[Worker, T], Any], note: Callable[[T, Any], None]) -> None:
        """Hand every item to some worker; `note` gets each answer, in this thread. An error ends all."""
        waiting: queue.SimpleQueue[T] = queue.SimpleQueue()
        answers: queue.SimpleQueue[tuple[T | None, Any]] = queue.SimpleQueue()
        for item in items:
            waiting.put(item)
        while len(self._workers) < min(self._jobs, len(items)):
            self._workers.append(self._started(len(self._workers)))
        for worker in self._workers:
            threading.Thread(target=self._serve, args=(worker, waiting, task, answers), daemon=True).start()
        for _ in items:
            item, answer = answers.get()
            if item is None:
                raise answer
            note(item, answer)

    def _serve(self, worker: Worker, waiting: Any, task: Callable[[Worker, T], Any], answers: Any) -> None:
        """What each thread does until nothing waits any more. An error is handed to the thread that waits."""
        try:
            while not self._stop.is_set():
                item = waiting.get_nowait()
                answers.put((item, task(worker, item)))
        except queue.Empty:
            pass
        except Exception as error:
            answers.put((None, error))

    def _started(self, number: int) -> Worker:
        return Worker(self._root, self._files, self._folder / f"job-{number}")


def read_reach(pool: Pool, root: Path, files: Sequence[str], work: Path, under: Sequence[str], say: Say) -> Reach:
    """Which test reaches what; runs the test files of which that is not known yet.

    `under` are the paths whose tests are asked; all where there is none.
    """
    asked = [name for name in test_files(files) if not under or name.startswith(tuple(under))]
    kept = {name: record_path(root, files, name, work) for name in largest_first(root, asked)}
    unknown = [name for name, path in kept.items() if not path.exists()]
    if unknown:
        say(f"{len(unknown)} of {len(kept)} test files are run under coverage, to see what they reach")
    started, done = time.monotonic(), 0

    def note(name: str, record: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        say(f"{done}/{len(unknown)} {name}: {len(record['tests'])} tests, after {time.monotonic() - started:.0f} s")

    pool.each(unknown, lambda worker, name: make_record(worker, name, kept[name]), note)
    reach = Reach()
    for name in sorted(kept):
        reach.add(name, json.loads(kept[name].read_text()))
    for name in reach.broken:
        say(f"not asked, for it failed or was skipped: {name}")
    return reach


class Trial:
    """Runs mutants against the tests that reach them.

    A test that fails proves nothing before it has passed alone, in the same kind of process, without the change: one
    that depends on others or on the machine is found out by that, told, and asked no more.
    """

    def __init__(self, reach: Reach, finder: Finder, texts: Mapping[str, str], limit_s: float, say: Say) -> None:
        self._reach, self._finder, self._texts, self._limit_s, self._say = reach, finder, texts, limit_s, say
        self._trusted: set[str] = set()
        self._distrusted: set[str] = set()

    def run(self, worker: Worker, mutant: Mutant) -> Result:
        """One mutant, up to the first test that notices."""
        text = Source(self._texts[mutant.file]).changed(mutant.edit)
        seconds = cpu_s = 0.0
        while True:
            asked = self._finder.tests(mutant.file, mutant.line) - self._distrusted
            choice = self._reach.choose(asked, self._limit_s)
            if not choice.tests:
                return Result(mutant.key, UNREACHED, seconds, cpu_s=cpu_s)
            timeout = SLOWER * choice.seconds + SPARE_S
            answer = worker.ask(kind="run", file=mutant.file, text=text, tests=choice.tests, timeout=timeout)
            seconds, cpu_s = round(seconds + answer["seconds"], 2), round(cpu_s + answer["cpu_s"], 2)
            status, killed_by = outcome(answer)
            if status != KILLED or self._is_trusted(worker, killed_by):
                return Result(mutant.key, status, seconds, len(choice.tests), choice.left_out, killed_by, cpu_s)

    def _is_trusted(self, worker: Worker, test: str) -> bool:
        if "::" not in test or test in self._trusted:
            return True
        answer = worker.ask(kind="run", tests=[test], timeout=SLOWER * self._reach.choose([test], 0).seconds + SPARE_S)
        if outcome(answer)[0] == SURVIVED:
            self._trusted.add(test)
            return True
        self._distrusted.add(test)
        self._say(f"not asked any more, for it fails without a change too: {test}")
        return False


def try_mutants(pool: Pool, mutants: Sequence[Mutant], trial: Trial, results: Results, say: Say) -> None:
    """Run every mutant, and keep each result at once."""
    started, done = time.monotonic(), 0

    def note(mutant: Mutant, result: Result) -> None:
        nonlocal done
        done += 1
        results.add(result)
        left = (time.monotonic() - started) / done * (len(mutants) - done) / 60
        say(
            f"{done}/{len(mutants)} {result.status:9} {mutant.file}:{mutant.line} {mutant.edit.operator}"
            f" ({result.tests} tests, {result.seconds:.1f} s; {left:.0f} min to go)"
        )

    pool.each(mutants, trial.run, note)


def outcome(answer: dict[str, Any]) -> tuple[str, str]:
    """What a worker's answer means, and which test noticed.

    pytest's exit codes: 0 all passed, 1 some failed, 2 collection stopped, 3 and 4 its own or a conftest's error, 5
    nothing was collected. -1 stands for a child that ended without a word, as by a crash.
    """
    if answer["is_timeout"]:
        return TIMEOUT, ""
    if answer["code"] == 5:
        raise MutationError("the tests asked for are not there: the tree changed while it was copied; start again")
    return (SURVIVED, "") if answer["code"] == 0 else (KILLED, next(iter(answer["failed"]), "collection"))
