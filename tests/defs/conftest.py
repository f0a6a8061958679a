"""What tests of the graph share: its definitions, one Dagster instance a session, and jobs run in this process."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from quality_assets.definitions import defs as definitions
from quality_assets.runner import RunOutcome, bring_up_to_date, graph_instance, ingest_waiting, run_job
from quality_assets.settings import Settings, get_settings
from quality_assets.stores.operations.store import close_operations
from tests.conftest import made_once

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


def _write_events(path: Path, events: Mapping[date, int], dirty: Iterable[date] = (), prefix: str = "e") -> Path:
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


@pytest.fixture
def write_events(data_root: Settings) -> Callable[..., Path]:
    """Write a small log of the contract's own format into the landing zone.

    `write_events("a.csv", {day: 3}, dirty=[day])` has three events of `day`, and one row of it with an unknown status.
    """
    return lambda name, *of_it, **more: _write_events(data_root.landing_dir / name, *of_it, **more)


@contextmanager
def _at_root(folder: Path) -> Iterator[Settings]:
    """The settings of a data root, which `get_settings` gives too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("QUALITY_")]:
            patch.delenv(name)
        for name, value in (("DATA_DIR", str(folder)), ("FILE_STABLE_S", "0"), ("THREADS", "2")):
            patch.setenv(f"QUALITY_{name}", value)
        # Put back when it is over, as it is set by whoever opens a root.
        patch.setenv("DAGSTER_HOME", "unset")
        get_settings.cache_clear()
        yield get_settings()
        close_operations()
    get_settings.cache_clear()


FIRST = date(2025, 3, 3)
FEW_DAYS = 3


def _catch_up(folder: Path) -> None:
    with _at_root(folder) as settings:
        days = [FIRST + timedelta(days=n) for n in range(FEW_DAYS)]
        _write_events(settings.landing_dir / "a.csv", dict.fromkeys(days, 4), dirty=[FIRST])
        with graph_instance(settings) as instance:
            outcomes = [ingest_waiting(instance, settings), *bring_up_to_date(instance, settings)]
        said = [(each.job, each.partition_key, each.error) for each in outcomes]
        (folder / "said.json").write_text(json.dumps(said))


@pytest.fixture(scope="session")
def caught_up_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that read `a.csv`: three days from 2025-03-03 of four events, and a row that is refused; published.

    `said.json` has of each run its job, its dates and its error. Only to be read: see `caught_up`.
    """
    return made_once(tmp_path_factory, "caught_up_root", _catch_up)


@pytest.fixture
def caught_up(caught_up_root: Path, data_root: Settings) -> Settings:
    """A copy of it as this test's data root, to be changed at will."""
    shutil.copytree(caught_up_root, data_root.data_dir)
    return data_root
