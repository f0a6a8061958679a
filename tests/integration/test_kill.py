"""Killed at any moment and run again, the data are those of an undisturbed run.

A process imports everything once and forks a child for each run, so that a kill hits work and not imports.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from dagster import DagsterRunStatus

from quality_assets.runner import graph_instance
from quality_assets.settings import REPOSITORY_ROOT, Settings
from quality_assets.simulate import SimulationPlan, simulate
from quality_assets.stores.snapshots import current_snapshot, open_snapshot
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.publishing import reasons_against

KILLS = 3
KILLS_A_ROOT = 4
SEED = 20_252_066  # by the number of a write, by time, and by a write again: early, and while scores are made

# Great Expectations is left out: it makes no table of raw, core or product, and would be much of the time. Loads of two
# files give ingestion as many places to be killed in as more logs would. When to kill is told in CPU seconds, so that a
# busy machine does not move it, or by the number of a write: most seconds have none.
FORKING = """
import json, os, signal, sys, time, traceback
from pathlib import Path
import alembic.command
# What a run imports late, lest each child does.
import dagster._core.instance.factory, dagster._core.storage.schedules.sqlite, quality_assets.dagster_ext.event_log
import scipy.stats, sklearn.ensemble, sklearn.linear_model
from quality_assets import definitions
from quality_assets.cli.main import app
from quality_assets.settings import get_settings
from quality_assets.stores.lake import Lake
from quality_assets.tables import events as event_tables
from quality_assets.tables import ingest
from quality_assets.tables.checks import run as checking

definitions.defs().resolve_job_def("build_days")
checking.run_expectations = lambda session, checks, start, end: {check.name: [] for check in checks}
ingest.MAX_FILES_A_LOAD = 2
writes, last_write = 0, None

def write(*_):
    global writes
    writes += 1
    if writes == last_write:
        os.kill(os.getpid(), signal.SIGKILL)

def heard(event, arguments):
    if event in ("os.rename", "os.link", "os.remove") and ".dagster" not in str(arguments[0]):
        write()

def counted(owner, name):
    plain = getattr(owner, name)
    def with_count(*arguments, **named):
        write()
        result = plain(*arguments, **named)
        write()
        return result
    setattr(owner, name, with_count)

for owner, name in (
    (Lake, "commit"), (Lake, "write"), (event_tables, "record_built"), (event_tables, "_delete_days"),
    (ingest, "write_ledger"), (ingest, "remember"),
):
    counted(owner, name)
sys.addaudithook(heard)

def work(root, logs, at_write):
    global writes, last_write
    writes, last_write = 0, at_write
    os.environ["QUALITY_DATA_DIR"] = root
    get_settings.cache_clear()
    out = os.open(os.path.join(root, "said.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    try:
        app(["ingest", logs], standalone_mode=False)
        app(["run"], standalone_mode=False)
        Path(root, "writes.txt").write_text(str(writes))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

def spent(pid, started):
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return time.monotonic() - started
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

for line in sys.stdin:
    asked = json.loads(line)
    started, seconds = time.monotonic(), 0.0
    child = os.fork()
    if child == 0:
        work(asked["root"], asked["logs"], asked["at_write"])
    killed = False
    while True:
        seconds = max(seconds, spent(child, started))
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if not killed and asked["after_s"] is not None and seconds >= asked["after_s"]:
            os.kill(child, signal.SIGKILL)
            killed = True
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    print(json.dumps({"code": code, "seconds": seconds}), flush=True)
"""


@dataclass(frozen=True)
class Run:
    """How a run ended: with a code, negative where a signal ended it, after so many seconds of CPU."""

    code: int
    seconds: float

    @property
    def is_killed(self) -> bool:
        """Whether it was killed before it could end."""
        return self.code == -9


class Runs:
    """`quality ingest` and `quality run` in a process of their own, which may be killed."""

    def __init__(self, process: subprocess.Popen[str], logs: Path) -> None:
        self._process, self._logs = process, logs

    def run(self, root: Path, kill_after_s: float | None = None, kill_at_write: int | None = None) -> Run:
        """Run on a data root until the end, or until it is killed."""
        root.mkdir(parents=True, exist_ok=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"root": str(root), "logs": str(self._logs), "after_s": kill_after_s, "at_write": kill_at_write}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return Run(**json.loads(self._process.stdout.readline()))


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """A process that forks one for each run over the same few days of dirty logs."""
    plan = SimulationPlan(
        days=3, features=4, events_per_day=160, seed=3, start_date=date(2025, 3, 1), dirt_share=0.1, late_share=0.05
    )
    simulate(plan, tmp_path / "simulated")
    known = {name: value for name, value in os.environ.items() if not name.startswith(("QUALITY_", "DAGSTER_"))}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FORKING],
        cwd=REPOSITORY_ROOT,
        env={**known, "QUALITY_FILE_STABLE_S": "0", "QUALITY_THREADS": "2"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Runs(process, tmp_path / "simulated" / "logs")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def root_settings(root: Path) -> Settings:
    return Settings(data_dir=root, file_stable_s=0, threads=2, _env_file=None)  # type: ignore[call-arg]


def _published(root: Path) -> dict[str, tuple[int, str]]:
    """Per table of the snapshot its rows, and a hash of all of them in which their order plays no part."""
    snapshot = current_snapshot(root / "published")
    assert snapshot is not None
    with open_snapshot(snapshot) as connection:
        tables = connection.execute(
            "select table_schema || '.' || table_name from information_schema.tables"
            " where table_schema in ('raw', 'core', 'product') order by all"
        ).fetchall()
        found = {}
        for (table,) in tables:
            # Each root has its own moment of arrival.
            rows = f"(select * exclude (arrived_at) from {table})" if table == "raw.log_files" else table
            query = f"select count(*), cast(coalesce(sum(cast(hash(t) as hugeint)), 0) as varchar) from {rows} as t"
            found[table] = connection.execute(query).fetchall()[0]
        return found


def _audited(root: Path) -> set[tuple[str, str, str]]:
    """Every check that has been made of a partition."""
    with open_warehouse(root_settings(root)) as session:
        rows = session.connection.execute(
            "select distinct asset, check_name, partition_key from monitoring.check_results where partition_key <> ''"
        ).fetchall()
    return set(rows)


def _lake(root: Path) -> tuple[set[str], set[str]]:
    """The lake's files that count, and those that are there."""
    with open_warehouse(root_settings(root)) as session:
        counted = {path for (path,) in session.connection.execute("select path from ops.lake_files").fetchall()}
    return counted, {path.relative_to(root).as_posix() for path in (root / "lake").rglob("*") if path.is_file()}


def test_killed_at_any_moment_and_run_again_gives_the_same_data(runs: Runs, tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    whole = runs.run(undisturbed)
    assert whole.code == 0, (undisturbed / "said.txt").read_text()
    wanted = _published(undisturbed)
    assert wanted["core.valid_events"][0] > 300
    assert wanted["core.quarantined_events"][0] > 30
    assert wanted["product.feature_daily_trends"][0] > 100

    audited = _audited(undisturbed)
    writes = int((undisturbed / "writes.txt").read_text())
    assert writes > 100

    moments = random.Random(SEED)
    kills, roots = 0, 0
    while kills < KILLS:
        root = tmp_path / f"killed-{roots}"
        roots += 1
        assert roots <= 3 * KILLS, "runs end before they can be killed"
        for left in range(min(KILLS_A_ROOT, KILLS - kills), -1, -1):
            (root / ".scratch" / "staging-1").mkdir(parents=True, exist_ok=True)
            (root / ".scratch" / "half.parquet").touch()
            moment = moments.uniform(0.02, 1.0)
            if left == 0:
                disturbed = runs.run(root)
            elif moments.random() < 0.5:
                disturbed = runs.run(root, kill_after_s=moment * whole.seconds)
            else:
                disturbed = runs.run(root, kill_at_write=round(moment * writes))
            assert disturbed.is_killed or disturbed.code == 0, (root / "said.txt").read_text()
            if not disturbed.is_killed:
                break
            kills += 1
        assert _published(root) == wanted
        assert _audited(root) >= audited, "what is published has been checked, also where a kill came before the check"
        counted, there = _lake(root)
        assert counted == there, "what a kill has left is swept"
        with open_warehouse(root_settings(root)) as session:
            assert reasons_against(session) == []
        assert list((root / ".scratch").iterdir()) == [], "what a kill has left half-written is swept"
        _assert_history_is_closed(root)
        shutil.rmtree(root)


def _assert_history_is_closed(root: Path) -> None:
    """Of killed runs Dagster says that they failed, and they hold no slot of the pool."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "unset")
        with graph_instance(root_settings(root)) as instance:
            assert {run.status for run in instance.get_runs()} <= {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE}
            assert instance.event_log_storage.get_concurrency_info("warehouse").active_slot_count == 0
