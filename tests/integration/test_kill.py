"""A killed run leaves nothing half-done: repeated, it ends in the tables of one that was never disturbed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.product import FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.settings import Settings
from quality_assets.simulate import SimulationResult
from quality_assets.warehouse.database import open_warehouse
from quality_assets.warehouse.landing import place

KILLS = 12
COMPARED = (
    RAW_LOGS,
    LOG_FILES,
    VALID_EVENTS,
    QUARANTINED_EVENTS,
    USER_FEATURE_DAYS,
    FACT_FEATURE_METRICS,
    FEATURE_DAILY_TRENDS,
)

# Small loads and many builds, so that a kill finds something half-done wherever it strikes.
WORK = """
import sys
from pathlib import Path
from quality_assets.contracts.product import FEATURE_DAILY_TRENDS
from quality_assets.contracts.sources import load_sources
from quality_assets.settings import Settings
from quality_assets.warehouse import ingest
from quality_assets.warehouse.database import open_warehouse
from quality_assets.warehouse.event_tables import build_events, build_facts, build_trends, build_user_feature_days
from quality_assets.warehouse.state import days_to_build, stale_dates

ingest.MAX_FILES_A_LOAD = 2
settings = Settings(data_dir=Path(sys.argv[1]), file_stable_s=0, threads=2, _env_file=None)
sources = load_sources(settings.source_files_dir)
print("ready", flush=True)
with open_warehouse(settings) as session:
    ingest.ingest(session, sources, lambda _: None)
    for day in days_to_build(session.connection):
        for build in (build_events, build_user_feature_days, build_facts):
            build(session, day, day)
    for day in stale_dates(session.connection, FEATURE_DAILY_TRENDS):
        build_trends(session, day, day)
print("done", flush=True)
"""


def start_work(data_dir: Path) -> subprocess.Popen[str]:
    """A process that has imported everything and begins to work."""
    process = subprocess.Popen([sys.executable, "-c", WORK, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish_work(data_dir: Path) -> float:
    """Work undisturbed to the end; how long it took, in seconds."""
    process = start_work(data_dir)
    begin = time.monotonic()
    out, _ = process.communicate()
    assert process.returncode == 0
    assert out == "done\n"
    return time.monotonic() - begin


def table_hashes(settings: Settings) -> dict[str, tuple[int, int]]:
    """Rows and a hash that does not depend on their order, per table."""
    with open_warehouse(settings) as session:
        return {table.qualified_name: _hash(session.connection, table.qualified_name) for table in COMPARED}


def _hash(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[int, int]:
    return connection.execute(f"select count(*), sum(hash(t)::hugeint) from {name} as t").fetchall()[0]


def new_root(path: Path, simulated: SimulationResult) -> Settings:
    """A data root whose landing zone holds the simulated logs, as it does in every other root of this test."""
    settings = Settings(data_dir=path, file_stable_s=0, _env_file=None)  # type: ignore[call-arg]
    place([simulated.out / "logs"], settings.landing_dir)
    return settings


def test_killed_at_any_moment_and_run_again_the_tables_are_the_same(
    tmp_path: Path, simulated_logs: SimulationResult
) -> None:
    undisturbed = new_root(tmp_path / "undisturbed", simulated_logs)
    seconds = finish_work(undisturbed.data_dir)
    expected = table_hashes(undisturbed)
    assert all(rows > 0 for rows, _ in expected.values())

    killed = new_root(tmp_path / "killed", simulated_logs)
    moments = random.Random(20260101)
    struck = 0
    for _ in range(KILLS):
        process = start_work(killed.data_dir)
        time.sleep(moments.uniform(0, seconds / 3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        struck += process.returncode == -signal.SIGKILL
    assert struck > 0
    finish_work(killed.data_dir)

    assert table_hashes(killed) == expected
    with open_warehouse(killed) as session:
        assert [session.lake.sweep(table) for table in (RAW_LOGS, VALID_EVENTS, QUARANTINED_EVENTS)] == [0, 0, 0]
