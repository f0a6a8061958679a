"""What the event path costs, side by side with other programs that do the same work, in one run on one machine.

`python -m benchmarks.pipeline` simulates logs (CSV, 14 columns, 1.5 % dirt, 90 days, 40 features), then has the product
(`quality ingest` and `quality run`, two fresh processes on an empty data root; once without models, which is what the
peers do, and once whole) and each peer in `peers/` turn them into valid events, quarantined rows with all their
reasons, user-days and daily facts. Each program is a process of its own; its CPU seconds (user + system, children
included), wall seconds and peak resident memory are measured, and all results are compared with those of the first:
where they differ, the command says in what and exits with 1.

`--growth` measures one more day after 10 and after 365 days of history.

Never part of the test suite. `--write` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.peers.agreement import disagreements, peer_results, product_results
from quality_assets.simulate import SimulationPlan, simulate

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"
REPORT = ROOT / "docs" / "benchmarks.md"
QUALITY = Path(sys.executable).parent / "quality"
THREADS = 2
PEER_MEMORY_MB = 2000
DAYS = 90
START = date(2026, 1, 1)
GROWTH_EVENTS_PER_DAY = 27_000
GROWTH_HISTORIES = (10, 365)
GROWTH_MEASURED_DAYS = 3
GROWTH_LIMIT = 1.2


class BenchmarkError(RuntimeError):
    """The benchmark cannot go on; the message says why."""


@dataclass(frozen=True)
class Program:
    """One competitor. `script` is a peer's, None the product's two commands, the second with `options`."""

    name: str
    label: str
    script: str | None = None
    store: str = "native"
    options: tuple[str, ...] = ()
    requirements: str = "requirements.txt"


WITHOUT_MODELS = "--without-models"
PRODUCT = Program(
    "product",
    f"this product, the event path: `quality ingest` + `quality run {WITHOUT_MODELS}`",
    options=(WITHOUT_MODELS,),
)
WHOLE = Program(
    "product-whole", "this product, with incidents, models, drift and report: `quality ingest` + `quality run`"
)
PROGRAMS = (
    Program("duckdb-native", "DuckDB by hand, events in native tables", "duckdb_script.py"),
    Program("duckdb-parquet", "DuckDB by hand, events in Parquet by date", "duckdb_script.py", "parquet"),
    PRODUCT,
    WHOLE,
    Program("polars", "Polars, streaming", "polars_streaming.py"),
    Program("pandas", "pandas, pyarrow reader", "pandas_pyarrow.py"),
    Program("dbt-duckdb", "dbt-duckdb", "dbt_duckdb.py", requirements="requirements-dbt.txt"),
)
BAR = ("duckdb-native", "duckdb-parquet")


@dataclass(frozen=True)
class Cost:
    """What a program cost. Of several processes one after the other: sums, and the largest peak."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    parts: tuple[tuple[str, float], ...] = ()

    def then(self, other: Cost) -> Cost:
        """The cost of this and then another."""
        peak = max(self.peak_mb, other.peak_mb)
        return Cost(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s, peak, self.parts + other.parts)


@dataclass(frozen=True)
class Logs:
    """Simulated logs: the folder of daily files, the feature descriptions beside it, rows, and the last arrival."""

    folder: Path
    metadata: Path
    rows: int
    latest: datetime


def say(message: str) -> None:
    """A progress line."""
    typer.echo(f"{datetime.now().astimezone():%H:%M:%S} {message}", err=True)


# --- input ------------------------------------------------------------------------------------------------------------


def simulated(work: Path, name: str, plan: SimulationPlan) -> Logs:
    """The logs of a plan, made once per work folder. Each file arrives at the midnight after its day."""
    out = work / name
    done = out / "rows"
    if not done.exists():
        say(f"simulating {plan.days} days into {out}")
        result = simulate(plan, out)
        for day, path in enumerate(result.log_files):
            arrived = datetime.combine(plan.date_of(day) + timedelta(days=1), datetime.min.time(), UTC).timestamp()
            os.utime(path, (arrived, arrived))
        done.write_text(str(result.rows))
    latest = datetime.combine(plan.end_date + timedelta(days=1), datetime.min.time()) + timedelta(minutes=10)
    return Logs(out / "logs", out / "feature_metadata.csv", int(done.read_text()), latest)


def plan_of(events: int) -> SimulationPlan:
    """The plan that gives about so many events; growth makes the mean day some 3 % larger than the first."""
    a_day = max(1, round(events / DAYS / 1.032))
    return SimulationPlan(days=DAYS, features=40, events_per_day=a_day, seed=7, start_date=START)


# --- measuring --------------------------------------------------------------------------------------------------------


def measured(command: Sequence[str | Path], environment: dict[str, str], scratch: Path, part: str) -> Cost:
    """Run a command to its end and say what it cost; BenchmarkError with the end of its output when it fails."""
    scratch.mkdir(parents=True, exist_ok=True)
    cost, log = scratch / f"{part}.cost.json", scratch / f"{part}.log"
    launcher = [sys.executable, "-S", "-E", str(PEERS / "measure.py"), str(cost), str(log)]
    ended = subprocess.run([*launcher, *map(str, command)], env={**os.environ, **environment}, check=False, cwd=scratch)
    if ended.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:]) if log.exists() else ""
        raise BenchmarkError(f"{' '.join(map(str, command))}\nended with exit code {ended.returncode}:\n{tail}")
    values = json.loads(cost.read_text())
    return Cost(**values, parts=((part, values["cpu_s"]),))


def environment_of(data_dir: Path, logs: Logs) -> dict[str, str]:
    """What makes `quality` work on a data root of its own, with the descriptions of the simulated features."""
    return {"QUALITY_DATA_DIR": str(data_dir), "QUALITY_FEATURE_METADATA_FILE": str(logs.metadata)}


def run_product(program: Program, logs: Logs, out: Path) -> Cost:
    """The product on an empty data root."""
    environment = environment_of(out / "data", logs)
    ingest = measured([QUALITY, "ingest", logs.folder], environment, out, "ingest")
    return ingest.then(measured([QUALITY, "run", *program.options], environment, out, "run"))


def run_peer(program: Program, logs: Logs, out: Path, work: Path) -> Cost:
    """A peer, in its own virtual environment."""
    assert program.script is not None
    python = peer_python(work, PEERS / program.requirements)
    command: list[str | Path] = [python, "-B", PEERS / program.script, "--logs", logs.folder]
    command += ["--metadata", logs.metadata, "--out", out, "--latest", str(logs.latest), "--store", program.store]
    command += ["--threads", str(THREADS), "--memory-mb", str(PEER_MEMORY_MB)]
    cost = measured(command, {"POLARS_MAX_THREADS": str(THREADS)}, out, "all")
    phases = json.loads((out / "phases.json").read_text())
    return replace(cost, parts=tuple(phases.items()))


def peer_python(work: Path, requirements: Path) -> Path:
    """The interpreter of a virtual environment with the given packages, made once per work folder."""
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = work / f"venv-{requirements.stem}-{wanted}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        say(f"installing {requirements.name} into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "-qq", "--only-binary", ":all:", "-r", str(requirements)]
        if subprocess.run(pip, check=False).returncode:
            raise BenchmarkError(f"the packages of {requirements} could not be installed; see above")
        (folder / "complete").touch()
    return python


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def run_program(program: Program, logs: Logs, work: Path) -> Cost:
    """Run a program once, from nothing."""
    out = fresh(work / f"out-{logs.folder.parent.name}" / program.name)
    cost = run_peer(program, logs, out, work) if program.script else run_product(program, logs, out)
    say(f"{program.name}: {cost.cpu_s:.1f} CPU s, {cost.wall_s:.1f} s, {cost.peak_mb:,.0f} MB")
    return cost


def median_of(costs: Sequence[Cost]) -> Cost:
    """The run of median CPU."""
    return sorted(costs, key=lambda cost: cost.cpu_s)[(len(costs) - 1) // 2]


# --- side by side -----------------------------------------------------------------------------------------------------


def side_by_side(events: int, programs: Sequence[Program], work: Path, repeat: int) -> tuple[str, list[str]]:
    """Run the programs on the same logs; the table, and what their results disagree in.

    In turns, `repeat` times: a machine that others share gets faster and slower within minutes.
    """
    logs = simulated(work, f"logs-{events}", plan_of(events))
    costs: dict[str, list[Cost]] = {program.name: [] for program in programs}
    problems: list[str] = []
    for turn in range(repeat):
        say(f"turn {turn + 1} of {repeat}")
        for program in [program for program in programs if len(costs[program.name]) == turn]:
            try:
                costs[program.name].append(run_program(program, logs, work))
            except BenchmarkError as error:
                problems.append(f"{program.name} failed: {error}")
                say(problems[-1])
    done = [program for program in programs if len(costs[program.name]) == repeat]
    problems += compared(done, work / f"out-logs-{events}")
    medians = {program.name: median_of(costs[program.name]) for program in done}
    return table_of(done, medians, logs.rows, repeat), problems


def compared(programs: Sequence[Program], out: Path) -> list[str]:
    """What the results of the programs disagree in with the first of them."""
    problems: list[str] = []
    results = {
        p.name: peer_results(out / p.name) if p.script else product_results(out / p.name / "data") for p in programs
    }
    first, *others = list(results)
    for name in others:
        found = disagreements(results[first], results[name])
        say(f"{name} {'agrees' if not found else 'DISAGREES'} with {first}")
        problems += [f"{first} and {name} disagree: {what}" for what in found]
    return problems


def table_of(programs: Sequence[Program], costs: dict[str, Cost], rows: int, repeat: int) -> str:
    """The result as Markdown."""
    runs = f", the run of median CPU of {repeat} each, in turns" if repeat > 1 else ""
    bar = min((costs[name].cpu_s for name in BAR if name in costs), default=None)
    lines = [
        f"{rows:,} rows of CSV, {machine()}{runs}. CPU is user + system, children included.",
        "",
        "| program | CPU s | wall s | peak MB | CPU against the best DuckDB script |",
        "|---|---|---|---|---|",
    ]
    for program in programs:
        cost = costs[program.name]
        ratio = f"{cost.cpu_s / bar:.2f}" if bar else "–"
        lines.append(f"| {program.label} | {cost.cpu_s:.1f} | {cost.wall_s:.1f} | {cost.peak_mb:,.0f} | {ratio} |")
    lines += ["", "CPU seconds by phase:", ""]
    for program in programs:
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in costs[program.name].parts)
        lines.append(f"- {program.name}: {parts}")
    return "\n".join(lines)


def machine() -> str:
    """What it ran on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


# --- growth -----------------------------------------------------------------------------------------------------------


def growth(work: Path) -> tuple[str, list[str]]:
    """What one more day costs after a short and after a long history. The measured days are the same files."""
    days = max(GROWTH_HISTORIES) + GROWTH_MEASURED_DAYS
    plan = SimulationPlan(
        days=days,
        features=40,
        events_per_day=GROWTH_EVENTS_PER_DAY,
        seed=7,
        start_date=date(2025, 1, 1),
        growth_per_day=0,
    )
    logs = simulated(work, "logs-growth", plan)
    files = sorted(logs.folder.glob("*.csv"))
    costs: dict[int, list[Cost]] = {}
    for history in GROWTH_HISTORIES:
        out = fresh(work / "out-growth" / str(history))
        environment = environment_of(out / "data", logs)
        before = files[-GROWTH_MEASURED_DAYS - history : -GROWTH_MEASURED_DAYS]
        say(f"preparing a history of {history} days")
        measured([QUALITY, "ingest", *before], environment, out, "history-ingest")
        measured([QUALITY, "run"], environment, out, "history-run")
        costs[history] = [one_more_day(file, environment, out) for file in files[-GROWTH_MEASURED_DAYS:]]
    return growth_table(costs)


def one_more_day(file: Path, environment: dict[str, str], out: Path) -> Cost:
    """Ingest one daily file and bring everything up to date: first the event path, then the rest."""
    ingest = measured([QUALITY, "ingest", file], environment, out, "ingest")
    facts = ingest.then(measured([QUALITY, "run", WITHOUT_MODELS], environment, out, "facts"))
    cost = facts.then(measured([QUALITY, "run"], environment, out, "models"))
    say(f"{file.name}: {cost.cpu_s:.1f} CPU s ({', '.join(f'{n} {s:.1f}' for n, s in cost.parts)})")
    return cost


def growth_table(costs: dict[int, list[Cost]]) -> tuple[str, list[str]]:
    """The result as Markdown, and a complaint where a day costs more than the limit allows."""
    lines = [
        f"CPU seconds of one more day of {GROWTH_EVENTS_PER_DAY:,} events, {machine()}.",
        "",
        "| days of history | event path | of that ingest | of that run | incidents, models, drift, report | peak MB |",
        "|---|---|---|---|---|---|",
    ]
    paths = {}
    for history, days in costs.items():
        means = {name: statistics.mean(dict(day.parts)[name] for day in days) for name in ("ingest", "facts", "models")}
        paths[history] = means["ingest"] + means["facts"]
        cells = " | ".join(f"{seconds:.1f}" for seconds in (paths[history], *means.values()))
        lines.append(f"| {history} | {cells} | {max(day.peak_mb for day in days):,.0f} |")
    long, short = max(paths), min(paths)
    ratio = paths[long] / paths[short]
    lines += [
        "",
        f"On the event path, a day after {long} days costs {ratio:.2f} times one after {short} (limit {GROWTH_LIMIT}).",
        "Models are trained from 60 days of history on: after less there is none to load, to score with or to watch.",
    ]
    problems = [f"one more day costs {ratio:.2f} times as much after the long history"] if ratio > GROWTH_LIMIT else []
    return "\n".join(lines), problems


# --- command line -----------------------------------------------------------------------------------------------------


def write_section(name: str, text: str) -> None:
    """Put a text between its markers in docs/benchmarks.md, after all else where they are not there yet."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    REPORT.parent.mkdir(exist_ok=True)
    page = REPORT.read_text() if REPORT.exists() else "# Benchmarks\n"
    section = f"{begin}\n{text}\n{end}"
    if begin in page and end in page:
        head, rest = page.split(begin, 1)
        page = head + section + rest.split(end, 1)[1]
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    REPORT.write_text(page)
    say(f"wrote {REPORT.relative_to(ROOT)}")


def chosen(only: Sequence[str]) -> list[Program]:
    """The programs named, or all; wrong names end in a usage error."""
    known = {program.name: program for program in PROGRAMS}
    unknown = sorted(set(only) - set(known))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(known)}", param_hint="--only")
    return [program for program in PROGRAMS if not only or program.name in only]


def main(
    events: Annotated[str, typer.Option(help="How many events, about; underscores allowed.")] = "1_000_000",
    work: Annotated[
        Path | None,
        typer.Option(help="Keeps logs, environments and results for the next time; default: a temporary folder."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Only this program; repeatable: {', '.join(p.name for p in PROGRAMS)}.")
    ] = None,
    repeat: Annotated[
        int, typer.Option(min=1, help="Runs of each program, in turns; the one of median CPU counts.")
    ] = 1,
    growth_mode: Annotated[bool, typer.Option("--growth", help="Instead: what one more day costs.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Put the result into docs/benchmarks.md.")] = False,
) -> None:
    """Measure the event path. Exits with 1 where results disagree or a limit does not hold."""
    programs = chosen(only or [])
    if not events.replace("_", "").isdigit() or int(events) < 1:
        raise typer.BadParameter(f"{events!r} is not a number of events", param_hint="--events")
    folder = (work or Path(tempfile.mkdtemp(prefix="pipeline-"))).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        if growth_mode:
            name, (text, problems) = "growth", growth(folder)
        else:
            name, (text, problems) = f"pipeline {int(events)}", side_by_side(int(events), programs, folder, repeat)
    except BenchmarkError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    finally:
        if work is None:
            shutil.rmtree(folder, ignore_errors=True)
    typer.echo(text)
    say(f"done after {time.monotonic() - started:.0f} s")
    for problem in problems:
        typer.echo(f"PROBLEM: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    if write:
        write_section(name, text)


if __name__ == "__main__":
    typer.run(main)
