"""What tests of the graph share: its definitions, one Dagster instance a session, and jobs run in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from quality_assets.definitions import defs as definitions
from quality_assets.runner import RunOutcome, graph_instance, run_job
from quality_assets.settings import Settings

# Made once and before any module of `defs/` is imported by itself: loading hushes what Dagster calls beta.
_GRAPH = definitions()

RunJob = Callable[..., RunOutcome]
FEATURES = ("search", "pay")


@pytest.fixture(scope="session")
def graph() -> dg.Definitions:
    """Everything that Dagster loads."""
    return _GRAPH


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """One instance with storage of its own, as the command line makes it: a fresh one for each test costs too much."""
    before = os.environ.get("DAGSTER_HOME")
    settings = Settings(data_dir=tmp_path_factory.mktemp("dagster"), _env_file=None)  # type: ignore[call-arg]
    with graph_instance(settings) as instance:
        yield instance
    if before is None:
        os.environ.pop("DAGSTER_HOME", None)
    else:
        os.environ["DAGSTER_HOME"] = before


@pytest.fixture
def run(instance: dg.DagsterInstance, data_root: Settings) -> RunJob:
    """Run a job of the graph here and now on this test's data root: `run("build_days", (first, last))`."""

    def run_on_root(job: str, dates: tuple[date, date] | None = None) -> RunOutcome:
        return run_job(instance, data_root, job, dates)

    return run_on_root


@pytest.fixture
def write_events(data_root: Settings) -> Callable[..., Path]:
    """Write a small log of the contract's own format into the landing zone.

    `write_events("a.csv", {day: 3}, dirty=[day])` has three events of `day`, and one row of it with an unknown status.
    """

    def write(name: str, events: Mapping[date, int], dirty: Iterable[date] = (), prefix: str = "e") -> Path:
        path = data_root.landing_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["event_id,event_time,feature,event_name,user_id,session_id,status,latency_ms"]
        lines += [
            f"{prefix}-{day:%m%d}-{n},{day}T{n % 24:02}:00:00Z,{FEATURES[n % 2]},use,u{n % 3},s{n},ok,{100 + n}"
            for day, count in events.items()
            for n in range(count)
        ]
        lines += [f"{prefix}-{day:%m%d}-x,{day}T01:00:00Z,{FEATURES[0]},use,u1,s1,perhaps,1" for day in dirty]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write
