"""Workers over a queue: first the test files of which it is not known what they reach, then the mutants."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.mutation.processes import MutationError, TaskProcess, Worker
from benchmarks.mutation.reach import Choice, Finder, Reach, function_of, grouped, make_records, record_path
from benchmarks.mutation.results import KILLED, SURVIVED, TIMEOUT, UNREACHED, Result, Results
from benchmarks.mutation.source import Mutant, Source
from benchmarks.mutation.worker import NOT_EXCHANGEABLE

T = TypeVar("T")
Say = Callable[[str], None]
# A child is ended when it takes so many times the CPU seconds that its tests took, and so many more; by the clock ten
# times that, for what waits for ever.
SLOWER, SPARE_S, CLOCK = 3.0, 5.0, 10.0
# To start pytest and import the product.
FRESH_S = 20.0
# Most changes are noticed by the first few tests. The others are asked only of what these let pass.
STAGES_S = (2.0, 10.0)


class NotExchangeableError(Exception):
    """A change that a warm process cannot take, or that ended it: a fresh one has to tell."""


class Pool:
    """Some workers, started when there is work for them. Use as a context manager."""

    def __init__(self, root: Path, files: Sequence[str], asked: Sequence[str], work: Path, jobs: int) -> None:
        self.root, self.files, self.asked = root, files, asked
        self._folder, self._jobs = work, jobs
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
        return Worker(self.root, self.files, self._folder / f"job-{number}", self.asked)


def read_reach(pool: Pool, work: Path, say: Say) -> Reach:
    """Which test reaches what; runs the test files of which that is not known yet."""
    kept = {name: record_path(pool.root, pool.files, name, work) for name in pool.asked}
    unknown = {name: (pool.root / name).stat().st_size for name, path in kept.items() if not path.exists()}
    if unknown:
        say(f"{len(unknown)} of {len(kept)} test files are run under coverage, to see what they reach")
    started, done = time.monotonic(), 0

    def note(names: list[str], tests: int) -> None:
        nonlocal done
        done += len(names)
        say(f"{done}/{len(unknown)} … {names[-1]}: {tests} tests, after {time.monotonic() - started:.0f} s")

    # The largest first: a long one should not come last, when one worker idles.
    groups = sorted(grouped(unknown), key=lambda names: -sum(unknown[name] for name in names))
    pool.each(groups, lambda worker, names: make_records(worker, {name: kept[name] for name in names}), note)
    reach = Reach()
    for name in sorted(kept):
        reach.add(name, json.loads(kept[name].read_text()))
    pool.each(["imports"], lambda worker, _: imports_of(worker), lambda _, lines: reach.add_imports(lines))
    for name in reach.broken:
        say(f"not asked, for it failed or was skipped: {name}")
    return reach


def imports_of(worker: Worker) -> dict[str, list[int]]:
    """The lines that run while the product and the tests are imported, by file."""
    lines: dict[str, list[int]] = worker.warm.ask(kind="imports", timeout_s=60.0, cpu_limit_s=60.0)["lines"]
    return lines


class Trial:
    """Runs mutants against the tests that reach them.

    A test that fails proves nothing before it has passed alone, in the same kind of process, without the change: one
    that depends on others or on the machine is found out by that, told, and asked no more. `noticed` are the test
    functions that noticed changes before, by file changed: a later change of it is shown to them first.
    """

    def __init__(
        self,
        reach: Reach,
        finder: Finder,
        texts: Mapping[str, str],
        limit_s: float,
        say: Say,
        noticed: Mapping[str, Counter[str]] | None = None,
    ) -> None:
        self._reach, self._finder, self._texts, self._limit_s, self._say = reach, finder, texts, limit_s, say
        self._noticed = defaultdict(Counter, noticed or {})
        self._trusted: set[tuple[bool, str]] = set()
        self._distrusted: set[str] = set()

    def run(self, worker: Worker, mutant: Mutant) -> Result:
        """One mutant, up to the first test that notices."""
        before = self._texts[mutant.file]
        change = {"file": mutant.file, "before": before, "text": Source(before).changed(mutant.edit)}
        is_warm = self._finder.is_late(mutant.file, mutant.line)
        cost = Cost()
        while True:
            asked = self._finder.tests(mutant.file, mutant.line) - self._distrusted
            choice = self._reach.choose(asked, self._limit_s, self._noticed[mutant.file])
            if not choice.tests:
                return Result(mutant.key, UNREACHED, cost.seconds, cpu_s=cost.cpu_s)
            try:
                status, killed_by = self._asked(worker, is_warm, choice, change, cost)
                if status == KILLED and not self._is_trusted(worker, is_warm, killed_by):
                    continue
            except NotExchangeableError:
                is_warm = False
                continue
            if "::" in killed_by:
                self._noticed[mutant.file][function_of(killed_by)] += 1
            return Result(mutant.key, status, cost.seconds, len(choice.tests), choice.left_out, killed_by, cost.cpu_s)

    def _asked(
        self, worker: Worker, is_warm: bool, choice: Choice, change: Mapping[str, str], cost: Cost
    ) -> tuple[str, str]:
        """Ask tests in stages, each in a child of its own, up to the first that notices; status and which it was."""
        for part in choice.stages(STAGES_S):
            answer = asked_of(worker, is_warm, part, change)
            cost.add(answer)
            status, killed_by = outcome(answer, is_warm)
            if status != SURVIVED:
                return status, killed_by
        return SURVIVED, ""

    def _is_trusted(self, worker: Worker, is_warm: bool, test: str) -> bool:
        if "::" not in test or (is_warm, test) in self._trusted:
            return True
        answer = asked_of(worker, is_warm, self._reach.choose([test], 0), {})
        if outcome(answer, is_warm)[0] == SURVIVED:
            self._trusted.add((is_warm, test))
            return True
        self._distrusted.add(test)
        self._say(f"not asked any more, for it fails without a change too: {test}")
        return False


@dataclass
class Cost:
    """What the runs of a mutant's tests took."""

    seconds: float = 0.0
    cpu_s: float = 0.0

    def add(self, answer: Mapping[str, Any]) -> None:
        """One run more."""
        self.seconds = round(self.seconds + answer["seconds"], 2)
        self.cpu_s = round(self.cpu_s + answer["cpu_s"], 2)


def asked_of(worker: Worker, is_warm: bool, choice: Choice, change: Mapping[str, str]) -> dict[str, Any]:
    """A worker's answer to tests under a change, or under none."""
    process: TaskProcess = worker.warm if is_warm else worker.fresh
    limit_s = SLOWER * sum(choice.seconds) + SPARE_S + (0.0 if is_warm else FRESH_S)
    return process.ask(kind="run", tests=choice.tests, cpu_limit_s=limit_s, timeout_s=CLOCK * limit_s, **change)


def noticed_before(mutants: Sequence[Mutant], results: Results) -> dict[str, Counter[str]]:
    """The test functions that noticed changes, and how many, by file changed."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant in mutants:
        result = results.get(mutant)
        if result and "::" in result.killed_by:
            found[mutant.file][function_of(result.killed_by)] += 1
    return found


def try_mutants(
    pool: Pool,
    mutants: Sequence[Mutant],
    trial: Trial,
    results: Results,
    say: Say,
    keeps: Callable[[Result], bool] = lambda _: True,
) -> None:
    """Run every mutant, and keep each result at once, or those that `keeps` says."""
    started, done = time.monotonic(), 0

    def note(mutant: Mutant, result: Result) -> None:
        nonlocal done
        done += 1
        if keeps(result):
            results.add(result)
        left = (time.monotonic() - started) / done * (len(mutants) - done) / 60
        say(
            f"{done}/{len(mutants)} {result.status:9} {mutant.file}:{mutant.line} {mutant.edit.operator}"
            f" ({result.tests} tests, {result.seconds:.1f} s; {left:.0f} min to go)"
        )

    pool.each(mutants, trial.run, note)


def outcome(answer: Mapping[str, Any], is_warm: bool) -> tuple[str, str]:
    """What a worker's answer means, and which test noticed.

    pytest's exit codes: 0 all passed, 1 some failed, 2 collection stopped, 3 and 4 its own or a conftest's error, 5
    nothing was collected. -1 stands for a child that ended without a word, as by a crash; raises NotExchangeableError
    where that may be due to the exchange.
    """
    if answer["is_timeout"]:
        return TIMEOUT, ""
    code = answer["code"]
    if code == NOT_EXCHANGEABLE or (is_warm and code < 0):
        raise NotExchangeableError
    if code == 5:
        raise MutationError("the tests asked for are not there: the tree changed while it was copied; start again")
    return (SURVIVED, "") if code == 0 else (KILLED, next(iter(answer["failed"]), "collection"))
