"""What a small file costs on its way from the landing zone to its readers, by the daemon of `quality serve`.

`python -m benchmarks.daemon` simulates logs, builds a data root with so many days of history, starts `quality serve` on
free ports, and drops a file of 200 rows of the last day: wall seconds until a snapshot has them, and CPU seconds of all
its processes until they rest again, less what they take while nothing happens. `--burst N` drops N files five seconds
apart instead, and counts runs and publications. Never part of the test suite.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.pipeline import QUALITY, environment_of, fresh, machine, measured, say, simulated
from quality_assets.simulate import SimulationPlan
from quality_assets.stores.snapshots import current_snapshot

ROWS = 200
WORK = Path(tempfile.gettempdir()) / "quality-daemon"
FILES = 3
IDLE_S = 30.0
PATIENCE_S = 600.0
BURST_EVERY_S = 5.0
_TICK_S = os.sysconf("SC_CLK_TCK")
_PORTS = ("DASHBOARD", "DAGSTER", "COLLECTOR", "PREDICT")


@dataclass(frozen=True)
class Root:
    """A data root with a history, what its commands run in, and what of its last day is to come, a file each."""

    data: Path
    environment: dict[str, str]
    files: tuple[str, ...]


def prepared(work: Path, days: int, files: int) -> Root:
    """A root with `days` of history, of which the last rows of the last day are held back."""
    plan = SimulationPlan(days=days, features=20, events_per_day=4_000, seed=7, start_date=date(2025, 9, 1))
    logs = simulated(work, f"logs-daemon-{days}", plan)
    out = fresh(work / "out-daemon" / str(days))
    *before, last = sorted(logs.folder.glob("*.csv"))
    header, *rows = last.read_text().splitlines(keepends=True)
    kept = len(rows) - ROWS * files
    (out / "begun").mkdir()
    begun = out / "begun" / last.name
    begun.write_text(header + "".join(rows[:kept]))
    parts = [rows[start : start + ROWS] for start in range(kept, len(rows), ROWS)]
    environment = environment_of(out / "data", logs)
    say(f"preparing a history of {days} days")
    measured([QUALITY, "ingest", *before, begun], environment, out, "history-ingest")
    measured([QUALITY, "run"], environment, out, "history-run")
    return Root(out / "data", environment, tuple(header + "".join(part) for part in parts))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports() -> dict[str, str]:
    """Settings that have every server listen on a port of its own."""
    return {f"QUALITY_{name}_PORT": str(free_port()) for name in _PORTS}


def processes_of(data: Path) -> dict[int, str]:
    """The command lines of all processes that work on a data root, by their environment: whoever started them."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # Those of others cannot be read, and one can end meanwhile.
        with suppress(OSError):
            if _is_of(folder, data):
                found[int(folder.name)] = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
    return found


def _is_of(process: Path, data: Path) -> bool:
    return f"QUALITY_DATA_DIR={data}".encode() in (process / "environ").read_bytes().split(b"\0")


@contextmanager
def serving(root: Root) -> Iterator[None]:
    """`quality serve` on free ports."""
    with (root.data.parent / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [QUALITY, "serve"],
            env={**os.environ, **root.environment, **free_ports()},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)


class Meter:
    """CPU seconds of all processes that work on a data root, by their environment: whoever started them."""

    def __init__(self, root: Root) -> None:
        self._data = root.data
        self._others: set[int] = set()
        self._used: dict[int, float] = {}

    def cpu_s(self) -> float:
        """CPU seconds until now, of those that have ended as when they were looked at last: ask it often."""
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            with suppress(OSError):
                if pid not in self._used and (pid in self._others or not _is_of(folder, self._data)):
                    self._others.add(pid)
                    continue
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                self._used[pid] = sum(map(int, fields[11:13])) / _TICK_S
        return sum(self._used.values())

    def since(self, known: set[int]) -> float:
        """CPU seconds of processes that were not among `known`: those that were started for something."""
        self.cpu_s()
        return sum(used for pid, used in self._used.items() if pid not in known)

    def processes(self) -> set[int]:
        """All that were seen."""
        return set(self._used)

    def during(self, seconds: float) -> float:
        """CPU seconds of so many seconds from now."""
        before, ends = self.cpu_s(), time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= ends, "the end")
        return self.cpu_s() - before

    def until(self, is_so: Callable[[], bool], what: str) -> float:
        """Wait for something; wall seconds that it took. TimeoutError says what did not come."""
        started = time.monotonic()
        while not is_so():
            if time.monotonic() - started > PATIENCE_S:
                raise TimeoutError(f"{what} did not come within {PATIENCE_S:.0f} s")
            self.cpu_s()
            time.sleep(0.2)
        return time.monotonic() - started


def rest(meter: Meter) -> float:
    """Wait until the processes have started and rest; CPU seconds a second that they take then."""
    rates = [float("inf")]
    while len(rates) < 3 or rates[-1] < 0.8 * rates[-2]:
        rates.append(meter.during(IDLE_S) / IDLE_S)
        say(f"idle: {rates[-1]:.2f} CPU s a second")
    return min(rates)


def version(root: Root) -> str:
    """The snapshot in force."""
    snapshot = current_snapshot(root.data / "published")
    return snapshot.version if snapshot else ""


def drop(root: Root, number: int) -> None:
    """Put a held back file into the landing zone, whole at once."""
    hidden = root.data / "landing" / f".late-{number}.csv"
    hidden.write_text(root.files[number])
    hidden.rename(hidden.with_name(f"late-{number}.csv"))


def one_file(root: Root, meter: Meter, number: int, idle: float) -> tuple[float, float, float]:
    """Wall seconds from file to page; CPU seconds of it all, less what idling takes; those of processes made for it.

    On a machine that others use, idling takes less than its share meanwhile: only the last is to be trusted there.
    """
    shown, before, started = version(root), meter.cpu_s(), time.monotonic()
    known = meter.processes()
    drop(root, number)
    wall = meter.until(lambda: version(root) != shown, "a publication")
    meter.during(IDLE_S)
    cpu = meter.cpu_s() - before - idle * (time.monotonic() - started)
    own = meter.since(known)
    say(f"file {number}: {wall:.0f} s to the page, {cpu:.1f} CPU s, of processes made for it {own:.1f}")
    return wall, cpu, own


def by_file(work: Path, days: int) -> str:
    """A row of the table: one file after the other."""
    root = prepared(work, days, FILES)
    with serving(root):
        meter = Meter(root)
        idle = rest(meter)
        found = [one_file(root, meter, number, idle) for number in range(FILES)]
    walls, cpus, own = (sorted(values) for values in zip(*found, strict=True))
    middle = statistics.median(own)
    return f"| {days} | {walls[-1]:.0f} | {statistics.median(cpus):.1f} | {cpus[-1]:.1f} | {middle:.1f} | {idle:.2f} |"


def in_a_burst(work: Path, days: int, files: int) -> str:
    """How often is run and published while files keep coming, and how soon after the last."""
    root = prepared(work, days, files)
    runs = root.data / "logs" / "runs.jsonl"
    with serving(root):
        rest(Meter(root))
        known = len(runs.read_text().splitlines())
        shown = [version(root)]
        started, dropped = time.monotonic(), 0
        last_change = started
        while dropped < files or time.monotonic() - last_change < 90:
            if dropped < files and time.monotonic() - started >= dropped * BURST_EVERY_S:
                drop(root, dropped)
                dropped += 1
                last_dropped = time.monotonic()
            if version(root) != shown[-1]:
                shown.append(version(root))
                last_change = time.monotonic()
                say(f"{last_change - started:.0f} s: publication {len(shown) - 1}, {dropped} files dropped")
            time.sleep(0.2)
        lines = runs.read_text().splitlines()[known:]
    jobs = Counter(dict(map(_run_and_job, lines)).values())
    late = last_change - last_dropped
    return (
        f"{files} files, {BURST_EVERY_S:g} s apart: {len(shown) - 1} publications, the last {late:.0f} s after"
        f" the last file; runs: {', '.join(f'{job} {count}' for job, count in sorted(jobs.items()))}"
    )


def _run_and_job(line: str) -> tuple[str, str]:
    step = json.loads(line)
    return step["run_id"], step["job"]


def main(
    days: Annotated[list[int], typer.Option(help="Days of history; several may be given.")] = [30],  # noqa: B006
    burst: Annotated[int, typer.Option(help="So many files, five seconds apart, instead of one after the other.")] = 0,
    work: Annotated[Path, typer.Option(help="Where logs and data roots lie.")] = WORK,
) -> None:
    """Measure, and print a table."""
    load = f"{machine()}, load {os.getloadavg()[0]:.1f} at the start"
    if burst:
        typer.echo("\n".join([in_a_burst(work, each, burst) for each in days]))
    else:
        lines = [by_file(work, each) for each in days]
        typer.echo(
            "| days of history | s to the page, worst | CPU s, median | worst | made for it | CPU s a second idle |"
        )
        typer.echo("|---|---|---|---|---|---|\n" + "\n".join(lines))
    typer.echo(load)


if __name__ == "__main__":
    typer.run(main)
