"""Whether a hurt data root is told, mended, and loses nothing: each fault made on a copy of a small healthy root.

`python -m benchmarks.faults --work ~/faults` simulates a root once, hurts a copy of it in one way after another, and
asks of each: does the doctor name it, does the command that meets it end in a sentence, does the mend bring back the
tables as they were. What was seen is printed as a table; exit code 1 where something does not hold. Faults of running
servers and of full disks are made where they can be: a small tmpfs needs root. Not part of the test suite.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.peers.agreement import table_hashes
from quality_assets.serve.collector.core import Core
from quality_assets.settings import REPOSITORY_ROOT, Settings
from quality_assets.simulate import SimulationPlan, simulate
from quality_assets.stores.snapshots import current_snapshot

SCHEMAS = ("raw", "core", "product")
# Made anew as of now, or told of the way that files went: not what the events say.
GARBAGE = b"this was a database " * 400
MOST_WORDS = 400
INTERRUPTED_AFTER_S = 4.0
Tables = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code, and what it said."""

    code: int
    words: str


def quality(root: Path, *arguments: str) -> Ended:
    """Run the product's command on a root."""
    ended = subprocess.run(
        [sys.executable, "-m", "quality_assets.cli", *arguments],
        cwd=REPOSITORY_ROOT,
        env=environment_of(root),
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout + ended.stderr)


def environment_of(root: Path) -> dict[str, str]:
    """The environment of a command on a root, wide enough that no sentence is broken."""
    own = {"QUALITY_DATA_DIR": str(root), "PYTHONPATH": str(REPOSITORY_ROOT), "COLUMNS": "1000"}
    # What else runs on this machine is no fault of the root.
    with ExitStack() as stack:
        for name in ("DAGSTER", "DASHBOARD", "COLLECTOR", "PREDICT"):
            server = stack.enter_context(socket.socket())
            server.bind(("127.0.0.1", 0))
            own[f"QUALITY_{name}_PORT"] = str(server.getsockname()[1])
    return {**os.environ, **own}


def tables_of(root: Path) -> Tables:
    """Rows and hash of the tables that readers of a root see; nothing where nothing is published."""
    snapshot = current_snapshot(root / "published")
    return {} if snapshot is None else table_hashes(snapshot.warehouse_path, SCHEMAS)


def healthy(work: Path) -> Path:
    """A root that was built in peace, with a collector's files and a released model; made once."""
    root = work / "healthy"
    if (root / "published" / "CURRENT").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    first = datetime.now(UTC).date() - timedelta(days=40)
    plan = SimulationPlan(days=40, features=6, events_per_day=400, seed=3, start_date=first)
    shutil.rmtree(work / "simulated", ignore_errors=True)
    simulate(plan, work / "simulated")
    (root / "landing").mkdir(parents=True)
    for file in (work / "simulated" / "logs").iterdir():
        shutil.copyfile(file, root / "landing" / file.name)
    for arguments in (["run"], ["train", "sales", "--demo", "--promote"]):
        ended = quality(root, *arguments)
        if ended.code:
            raise SystemExit(f"quality {' '.join(arguments)} on a fresh root ended with {ended.code}: {ended.words}")
    # A collector that was started, and stopped.
    Core(Settings(data_dir=root)).stop()
    return root


# --- what is hurt -----------------------------------------------------------------------------------------------------


def _first(root: Path, pattern: str) -> Path:
    found = sorted(root.glob(pattern))
    if not found:
        raise SystemExit(f"{root} has no {pattern}")
    return found[len(found) // 2]


def half_written(name: str) -> Callable[[Path], None]:
    """A pointer of the published folder, cut in the middle."""

    def harm(root: Path) -> None:
        path = root / "published" / name
        path.write_text(path.read_text()[:12])

    return harm


def replaced(pattern: str) -> Callable[[Path], None]:
    """Garbage in place of a file; what SQLite and DuckDB keep beside it goes too."""

    def harm(root: Path) -> None:
        path = _first(root, pattern)
        for beside in path.parent.glob(f"{path.name}*"):
            beside.unlink()
        path.write_bytes(GARBAGE)

    return harm


def removed(*patterns: str) -> Callable[[Path], None]:
    """A file or a folder that is gone."""

    def harm(root: Path) -> None:
        for pattern in patterns:
            path = _first(root, pattern)
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return harm


def cut(pattern: str) -> Callable[[Path], None]:
    """A file cut to its first 500 bytes, in a new file of that name."""

    def harm(root: Path) -> None:
        path = _first(root, pattern)
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[:500])

    return harm


def snapshot_gone(root: Path) -> None:
    """The folder that CURRENT names, deleted."""
    snapshot = current_snapshot(root / "published")
    assert snapshot is not None
    shutil.rmtree(snapshot.folder)


@dataclass(frozen=True)
class Fault:
    """One fault: how it is made, which command meets it, and what mends it. `told` is the doctor's subject for it."""

    name: str
    harm: Callable[[Path], None]
    told: str
    meets: tuple[str, ...] = ("run",)
    mends: tuple[str, ...] = ("doctor", "--mend")


FAULTS = (
    Fault("`published/CURRENT` half written", half_written("CURRENT"), "Published snapshot", ("status",), ("run",)),
    Fault("`published/ATTEMPT` half written", half_written("ATTEMPT"), "Published snapshot", ("status",), ("run",)),
    Fault("the snapshot's folder deleted", snapshot_gone, "Published snapshot", ("sql", "select 1"), ("run",)),
    Fault("`warehouse.duckdb` garbage", replaced("warehouse.duckdb"), "Warehouse"),
    Fault("`warehouse.duckdb` deleted", removed("warehouse.duckdb"), "Warehouse", ("publish",)),
    Fault("a lake file of `valid_events` cut", cut("lake/valid_events/**/*.parquet"), "Lake"),
    Fault("a lake file of `raw_logs` lost", removed("lake/raw_logs/**/*.parquet"), "Lake"),
    Fault("the lake deleted", removed("lake"), "Lake"),
    Fault("`models/*/registry.db` garbage", replaced("models/*/registry.db"), "Model registry", ("models", "list")),
    Fault("`.dagster` databases garbage", replaced(".dagster/**/runs.db"), "Dagster's history"),
    Fault("`operations.db` garbage", replaced("operations.db"), "Operations store", ("alerts", "list")),
    Fault("`live/log.db` garbage", replaced("live/log.db"), "Collector", ("collect", "--land-now")),
    Fault("`live/state.db` garbage", replaced("live/state.db"), "Collector", ("collect", "--land-now")),
)


@dataclass(frozen=True)
class Seen:
    """What came of a fault."""

    name: str
    is_found: bool
    names_mend: bool
    met: Ended
    is_mended: bool
    lost: tuple[str, ...]
    words: str

    @property
    def holds(self) -> bool:
        """Whether it was found, told with its mend, mended, and lost nothing."""
        return self.is_found and self.names_mend and self.is_mended and not self.lost and is_sentence(self.met)


def is_sentence(ended: Ended) -> bool:
    """Whether a command ended in words of the product, and not in a traceback or something unforeseen."""
    return "Traceback" not in ended.words and "not foreseen" not in ended.words


def tried(fault: Fault, root: Path, work: Path, expected: Tables) -> Seen:
    """Make a fault on a copy, and see what is told, and what the mend brings back."""
    hurt = work / "hurt"
    shutil.rmtree(hurt, ignore_errors=True)
    shutil.copytree(root, hurt, symlinks=True)
    fault.harm(hurt)
    told = quality(hurt, "doctor")
    lines = told.words.splitlines()
    at = next((at for at, line in enumerate(lines) if line.startswith(f"✗ {fault.told}")), None)
    mend = lines[at + 1] if at is not None and at + 1 < len(lines) else ""
    met = quality(hurt, *fault.meets)
    mended = quality(hurt, *fault.mends)
    after = quality(hurt, "doctor")
    still = [line for line in after.words.splitlines() if line.startswith("✗")]
    found = tables_of(hurt)
    lost = tuple(name for name in sorted({*expected, *found}) if expected.get(name) != found.get(name))
    return Seen(
        fault.name,
        told.code != 0 and at is not None,
        mend.strip().startswith("→"),
        met,
        mended.code == 0 and not still,
        lost,
        "\n".join([*(lines[at : at + 2] if at is not None else lines), mended.words[-MOST_WORDS:], *still]),
    )


# --- what is not a file -----------------------------------------------------------------------------------------------


def moved(root: Path, work: Path, expected: Tables) -> str | None:
    """A root that was moved goes on: nothing is to do, and readers see the same; a sentence where not."""
    one, other = work / "hurt", work / "moved"
    for folder in (one, other):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root, one, symlinks=True)
    one.rename(other)
    counted = quality(other, "sql", "select count(*) from core.valid_events", "--format", "csv")
    again = quality(other, "run")
    if counted.code or again.code or tables_of(other) != expected:
        return f"{counted.words} {again.words}"
    return None


def two_at_once(root: Path, work: Path, expected: Tables) -> str | None:
    """Two commands that start at once on a fresh root; afterwards both have ended well or with a sentence."""
    del expected
    for attempt in range(7):
        fresh = work / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        (fresh / "landing").mkdir(parents=True)
        for file in sorted((root / "landing").glob("*.csv"))[:2]:
            shutil.copyfile(file, fresh / "landing" / file.name)
        command = [sys.executable, "-m", "quality_assets.cli", "run"]
        both = [
            subprocess.Popen(
                command,
                cwd=REPOSITORY_ROOT,
                env=environment_of(fresh),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for _ in range(2)
        ]
        words = [process.communicate()[0].decode() for process in both]
        if any("Traceback" in each or "not foreseen" in each or "head" in each for each in words):
            return f"try {attempt + 1}: {words}"
        after = quality(fresh, "run")
        if after.code:
            return f"try {attempt + 1}, afterwards: {after.words}"
    return None


def interrupted(root: Path, work: Path, expected: Tables) -> str | None:
    """Ctrl-C while logs are read: it stops there, builds nothing, and goes on at the next call."""
    fresh = work / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(root / "landing", fresh / "landing")
    process = subprocess.Popen(
        [sys.executable, "-m", "quality_assets.cli", "run"],
        cwd=REPOSITORY_ROOT,
        env=environment_of(fresh),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    time.sleep(INTERRUPTED_AFTER_S)
    os.killpg(process.pid, signal.SIGINT)
    words = process.communicate()[0].decode()
    if process.returncode == 0 or "publish" in words.partition("Traceback")[0].lower().replace("published", ""):
        return f"it went on (exit code {process.returncode}): {words}"
    after = quality(fresh, "run")
    return after.words if after.code or tables_of(fresh).keys() != expected.keys() else None


def old_times(root: Path, work: Path, expected: Tables) -> str | None:
    """Files whose time is older than the events in them: nothing of it decides."""
    del expected
    fresh = work / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(root / "landing", fresh / "landing")
    for file in (fresh / "landing").rglob("*.csv"):
        os.utime(file, (0, 315532800))
    ended = quality(fresh, "run", "--without-models")
    asked = "select count(*) from core.quarantined_events where list_contains(reasons, 'event_time_in_future')"
    here, there = (quality(each, "sql", asked, "--format", "csv").words for each in (fresh, root))
    return None if ended.code == 0 and here == there else f"{ended.words} {here} instead of {there}"


def disk_full(root: Path, work: Path, expected: Tables) -> str | None:
    """A disk that fills while a .gz is read: the file waits, and is read once there is space."""
    del root, expected
    disk = work / "disk"
    disk.mkdir(exist_ok=True)
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=False).returncode
    ):
        return "not tried: a tmpfs needs root"
    try:
        (disk / "landing").mkdir()
        drawn = random.Random(1)
        day = datetime.now(UTC).date() - timedelta(days=2)
        with gzip.open(disk / "landing" / "big.csv.gz", "wt", compresslevel=1) as stream:
            stream.write("event_id,event_time,user_id,feature,status\n")
            for number in range(400_000):
                stream.write(f"{drawn.getrandbits(64):016x},{day}T10:00:00Z,u{number % 999},search,ok\n")
        full = quality(disk, "run", "--without-models")
        if full.code == 0:
            return f"a full disk was no failure: {full.words[-MOST_WORDS:]}"
        subprocess.run(["mount", "-o", "remount,size=400m", disk], check=True)
        again = quality(disk, "run", "--without-models")
        asked = quality(disk, "sql", "select count(*) from core.valid_events", "--format", "csv")
        is_there = again.code == 0 and "400000" in asked.words
        return None if is_there else f"{full.words[-MOST_WORDS:]} then {again.words[-MOST_WORDS:]} {asked.words}"
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


TRIALS = (
    ("a root that is moved", moved),
    ("two commands at once on a fresh root, 7 tries", two_at_once),
    ("Ctrl-C while reading", interrupted),
    ("file times older than their events", old_times),
    ("a disk that fills while a .gz is read", disk_full),
)


def report(seen: Sequence[Seen], trials: Sequence[tuple[str, str | None]]) -> str:
    """All that was seen, as a table."""
    lines = ["| Fault | doctor finds it | names the mend | the command that meets it | the mend works | tables |"]
    lines += ["|---|---|---|---|---|---|"]
    for each in seen:
        met = f"{each.met.code}, {'a sentence' if is_sentence(each.met) else 'NOT FORESEEN'}"
        tables = "equal" if not each.lost else f"DIFFER: {', '.join(each.lost)}"
        marks = ["yes" if mark else "NO" for mark in (each.is_found, each.names_mend)]
        lines.append(f"| {each.name} | {' | '.join(marks)} | {met} | {'yes' if each.is_mended else 'NO'} | {tables} |")
    lines += [
        f"| {name} | | | | {'yes' if problem is None else f'NO: {problem[:200]}'} | |" for name, problem in trials
    ]
    return "\n".join(lines)


def main() -> int:
    """Try each fault, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("faults"), help="Where roots are kept.")
    parser.add_argument("--only", default="", help="Only faults whose name has this in it.")
    asked = parser.parse_args()
    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    root = healthy(work)
    expected = tables_of(root)
    seen, trials = [], []
    for fault in FAULTS:
        if asked.only in fault.name:
            seen.append(tried(fault, root, work, expected))
            print(f"{fault.name}: {'holds' if seen[-1].holds else 'DOES NOT HOLD'}", flush=True)
            if not seen[-1].holds:
                held = {name: getattr(seen[-1], name) for name in ("is_found", "names_mend", "is_mended", "lost")}
                print(f"{held}\n{seen[-1].words}\n  met: {seen[-1].met.words[-MOST_WORDS:]}", flush=True)
    for name, trial in TRIALS:
        if asked.only in name:
            trials.append((name, trial(root, work, expected)))
            print(f"{name}: {'holds' if trials[-1][1] is None else f'DOES NOT HOLD: {trials[-1][1]}'}", flush=True)
    print(report(seen, trials))
    return 0 if all(each.holds for each in seen) and all(problem is None for _, problem in trials) else 1


if __name__ == "__main__":
    sys.exit(main())
