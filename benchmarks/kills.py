"""Whether work that was killed comes to the same end: commands, servers and runs of the daemon, at random moments.

`python -m benchmarks.kills --work ~/kills --kills 1000` simulates logs and builds a data root of them in peace. Then it
kills, a root at a time, `quality ingest`, `quality run`, or one process after another of `quality serve` while its
daemon does the same work; completes the work; and compares all tables with those of the root that nobody disturbed.
What an earlier go has done in the same `--work` counts, while the code is the same. Never part of the test suite;
`--write` puts the result into docs/benchmarks.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.daemon import free_ports, processes_of
from benchmarks.peers.agreement import table_hashes
from benchmarks.pipeline import (
    QUALITY,
    ROOT,
    BenchmarkError,
    Logs,
    environment_of,
    fresh,
    measured,
    say,
    simulated,
    write_section,
)
from quality_assets.simulate import SimulationPlan
from quality_assets.stores.snapshots import current_snapshot

DAYS, EVENTS_PER_DAY = 10, 3_000
# Of the time that each takes in peace. The first part is spent on imports, where a kill shows nothing; what a run had
# done when it was killed is not done again, and the next one ends sooner.
MOMENTS = {"ingest": (0.2, 1.0), "run": (0.2, 0.6)}
# Most of what a kill costs is the run that completes the work, and a start of the servers: it makes up for several.
KILLS_A_ROOT = {"ingest": 10, "run": 4, "serve": 8}
# The daemon begins to work within so long, and what it does takes so long.
BEGINS_WITHIN_S, WORKS_S = 60.0, 8.0
STOP_S = 60.0
COMPARED, INSTANTS = ("raw", "core", "product"), ("arrived_at",)
# What a process is, by words of its command line; the first that fits.
KINDS = {
    "run": "multiprocessing.spawn",
    "code server": " api grpc ",
    "its proxy": " code-server ",
    "daemon": "dagster._daemon",
    "Dagster UI": " webserver ",
    "parent of Dagster": "serve.dagster_ui dev",
    "dashboard": "dash_app",
    "collector": " collect ",
    "quality serve": "quality serve",
}


@dataclass(frozen=True)
class Undisturbed:
    """An undisturbed run: its tables, a data root after `ingest`, and how long each command took."""

    tables: dict[str, tuple[int, int]]
    ingested: Path
    wall_s: dict[str, float]


@dataclass(frozen=True)
class KilledRoot:
    """What came of one data root: what was being done there, what was killed how often, and what differs at its end."""

    victim: str
    hits: dict[str, int]
    problems: list[str]


def kill(work: Path, times: int, seed: int, victims: Sequence[str]) -> tuple[str, list[str]]:
    """Kill until there were so many in all goes; the result in a sentence, and what differs."""
    plan = SimulationPlan(days=DAYS, features=12, events_per_day=EVENTS_PER_DAY, seed=7, start_date=date(2026, 1, 1))
    logs = simulated(work, "logs-kill", plan)
    out = work / "out-kill"
    undisturbed, done = go_on(out) if is_of_this_code(out) else (None, [])
    if undisturbed is None:
        undisturbed = run_undisturbed(logs, fresh(out))
    while (so_far := sum(all_hits(done).values())) < times:
        # Moments by the number of the root: another go draws others.
        moments = random.Random(f"{seed} {len(done)}")
        victim = victims[len(done) % len(victims)]
        root = kill_root(logs, out, undisturbed, victim, min(KILLS_A_ROOT[victim], times - so_far), moments)
        done.append(root)
        with (out / "kills.jsonl").open("a") as stream:
            stream.write(json.dumps(asdict(root)) + "\n")
        say(f"{so_far + sum(root.hits.values())}/{times} kills: {counted(root.hits)}; {len(root.problems)} differ")
    return kill_report(done, undisturbed, logs.rows)


def all_hits(done: Sequence[KilledRoot]) -> Counter[str]:
    """How often each kind of process was killed."""
    return sum((Counter(root.hits) for root in done), Counter[str]())


def counted(hits: dict[str, int]) -> str:
    """`12 of quality serve, 3 of daemon`, the most first."""
    return ", ".join(f"{count} of {what}" for what, count in sorted(hits.items(), key=lambda hit: -hit[1]))


def kill_report(done: Sequence[KilledRoot], undisturbed: Undisturbed, rows: int) -> tuple[str, list[str]]:
    """All kills of all goes in a sentence, and what differs after which."""
    problems = [
        f"data root {number} ({root.victim}: {counted(root.hits)}): {what}"
        for number, root in enumerate(done, 1)
        for what in root.problems
    ]
    hits = all_hits(done)
    text = (
        f"{sum(hits.values())} kills of a running process ({counted(hits)}) on {len(done)} data roots; after completion"
        f" {len(problems)} tables differed from those of an undisturbed run ({len(undisturbed.tables)} tables in"
        f" {', '.join(COMPARED)}; {rows:,} rows, {DAYS} days)."
    )
    return text, problems


def code_hash() -> str:
    """A hash of the product's code: kills of another are not summed up with its."""
    files = sorted((ROOT / "quality_assets").rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def is_of_this_code(out: Path) -> bool:
    """Whether the undisturbed run that is kept there was made by the code as it is."""
    kept = out / "undisturbed.json"
    return kept.exists() and json.loads(kept.read_text())["code"] == code_hash()


def go_on(out: Path) -> tuple[Undisturbed, list[KilledRoot]]:
    """The undisturbed run and the kills of earlier goes."""
    kept = json.loads((out / "undisturbed.json").read_text())
    tables = {name: (rows, hash_) for name, (rows, hash_) in kept["tables"].items()}
    journal = out / "kills.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    done = [KilledRoot(**json.loads(line)) for line in lines]
    return Undisturbed(tables, out / "ingested", kept["wall_s"]), done


def run_undisturbed(logs: Logs, out: Path) -> Undisturbed:
    """Run both commands in peace, and keep the data root as `ingest` left it."""
    data = out / "undisturbed"
    environment = environment_of(data, logs)
    ingest = measured([QUALITY, "ingest", logs.folder], environment, out, "ingest")
    shutil.copytree(data, out / "ingested", symlinks=True)
    run = measured([QUALITY, "run"], environment, out, "run")
    say(f"undisturbed: ingest {ingest.wall_s:.1f} s, run {run.wall_s:.1f} s")
    found = Undisturbed(published_tables(data), out / "ingested", {"ingest": ingest.wall_s, "run": run.wall_s})
    kept = {"code": code_hash(), "tables": found.tables, "wall_s": found.wall_s}
    (out / "undisturbed.json").write_text(json.dumps(kept))
    return found


def kill_root(
    logs: Logs, out: Path, undisturbed: Undisturbed, victim: str, times: int, moments: random.Random
) -> KilledRoot:
    """Kill what works on a root so many times, then complete the work and compare."""
    data = out / "killed"
    shutil.rmtree(data, ignore_errors=True)
    if victim == "run":
        shutil.copytree(undisturbed.ingested, data, symlinks=True)
    environment = environment_of(data, logs)
    commands: dict[str, list[str | Path]] = {"ingest": [QUALITY, "ingest", logs.folder], "run": [QUALITY, "run"]}
    if victim == "serve":
        # As `quality ingest` puts them there.
        shutil.copytree(logs.folder, data / "landing" / logs.folder.name)
        hits = kill_servers(data, environment, out / "killed.log", times, moments)
    else:
        delays = [undisturbed.wall_s[victim] * moments.uniform(*MOMENTS[victim]) for _ in range(times)]
        killed = sum(is_killed(commands[victim], environment, out, delay) for delay in delays)
        hits = {f"quality {victim}": killed}
    try:
        for name in ("run",) if victim != "ingest" else commands:
            measured(commands[name], environment, out, f"again-{name}")
        problems = different_tables(undisturbed.tables, published_tables(data))
    except BenchmarkError as error:
        problems = [str(error)]
    return KilledRoot(victim, hits, problems)


def is_killed(command: Sequence[str | Path], environment: dict[str, str], out: Path, delay: float) -> bool:
    """Kill a command after so many seconds; whether it was still running then."""
    process = begun(command, environment, out / "killed.log")
    try:
        process.wait(timeout=delay)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def begun(command: Sequence[str | Path], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A command that leads a group of its own, so that its children, if any, can be killed with it."""
    with log.open("wb") as stream:
        return subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, **environment},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=log.parent,
        )


def kill_servers(
    data: Path, environment: dict[str, str], log: Path, times: int, moments: random.Random
) -> dict[str, int]:
    """Kill one process after another of `quality serve`, which is started again where it ended, as people would.

    While its daemon works, until all is published; the process of its run every other time. What is left at the end is
    killed as well, uncounted, as if the machine were switched off.
    """
    environment = {**environment, **free_ports()}
    serve = [QUALITY, "serve", "--take-over"]
    hits: Counter[str] = Counter()
    server = begun(serve, environment, log)

    def is_at_work_or_gone() -> bool:
        return "run" in kinds_of(processes_of(data)) or server.poll() is not None

    try:
        while hits.total() < times and current_snapshot(data / "published") is None:
            if server.poll() is not None:
                server = begun(serve, environment, log)
            _wait_for(is_at_work_or_gone, BEGINS_WITHIN_S)
            time.sleep(moments.uniform(0.0, WORKS_S))
            running = kinds_of(processes_of(data))
            if not running:
                continue
            wanted = "run" if "run" in running and moments.random() < 0.5 else moments.choice(sorted(running))
            with suppress(ProcessLookupError):
                os.kill(running[wanted], signal.SIGKILL)
                hits[wanted] += 1
    finally:
        if not _wait_for(lambda: not _killed_all(data), STOP_S):
            raise BenchmarkError(f"servers of {data} did not end within {STOP_S:.0f} s")
        server.wait()
    return dict(hits)


def kinds_of(processes: dict[int, str]) -> dict[str, int]:
    """A process of each kind that is running, by its command line."""
    found = {}
    for pid, command in processes.items():
        kind = next((kind for kind, words in KINDS.items() if words in command), None)
        if kind is not None:
            found[kind] = pid
    return found


def _killed_all(data: Path) -> bool:
    """Kill what works on a data root; whether there was anything."""
    left = processes_of(data)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(left)


def _wait_for(is_so: Callable[[], bool], within_s: float) -> bool:
    """Whether something was so within a time."""
    ends = time.monotonic() + within_s
    while not (was := is_so()) and time.monotonic() < ends:
        time.sleep(0.2)
    return was


def published_tables(data: Path) -> dict[str, tuple[int, int]]:
    """Rows and hash of every table that the snapshot in force shows in the compared schemas."""
    snapshot = current_snapshot(data / "published")
    if snapshot is None:
        raise BenchmarkError(f"nothing was published under {data}")
    return table_hashes(snapshot.warehouse_path, COMPARED, INSTANTS)


def different_tables(expected: dict[str, tuple[int, int]], found: dict[str, tuple[int, int]]) -> list[str]:
    """Sentences about tables that are not equal."""
    return [
        f"{name} has {found.get(name, (0, 0))[0]:,} rows against {expected.get(name, (0, 0))[0]:,}, or other values"
        for name in sorted({*expected, *found})
        if expected.get(name) != found.get(name)
    ]


def main(
    work: Annotated[Path, typer.Option(help="Keeps logs, roots and what was killed for the next time.")],
    kills: Annotated[int, typer.Option(min=1, help="How many in all, those of earlier goes included.")] = 100,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Kill only this; repeatable: {', '.join(KILLS_A_ROOT)}.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the moments.")] = 1,
    write: Annotated[bool, typer.Option("--write", help="Put the result into docs/benchmarks.md.")] = False,
) -> None:
    """Kill and compare. Exits with 1 where a table differs."""
    folder = work.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if unknown := sorted({*(only or ())} - {*KILLS_A_ROOT}):
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(KILLS_A_ROOT)}", param_hint="--only")
    text, problems = kill(folder, kills, seed, only or tuple(KILLS_A_ROOT))
    typer.echo(text)
    for problem in problems:
        typer.echo(f"PROBLEM: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    if write:
        write_section("kill", text)


if __name__ == "__main__":
    typer.run(main)
