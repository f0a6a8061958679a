"""What all tests share: hypothesis profiles, temporary data roots, simulated logs, and one warehouse built from them.

Nothing here imports Dagster. `HYPOTHESIS_PROFILE=ci` tries more examples, the same ones each time.
"""

from __future__ import annotations

import functools
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

# Each core has a process of tests: threads that wait for one another spin, and a training costs half as much again.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import duckdb
import hypothesis
import pandas as pd
import pytest

# Before all of ours: skops asks module after module, as they were imported, for each of its functions. Else that takes
# seconds.
import scipy.special  # noqa: F401
import typer.testing
from filelock import FileLock

from quality_assets import imports, runner
from quality_assets.contracts.product import DIM_FEATURE_METADATA, FACT_FEATURE_METRICS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.contracts.sources.events import load_sources
from quality_assets.contracts.table import Table
from quality_assets.domain.features.descriptions import read_feature_descriptions, with_seen_dates
from quality_assets.settings import Settings, get_settings
from quality_assets.simulate import Incident, SimulationPlan, SimulationResult, simulate
from quality_assets.stores import models, table_models, warehouse
from quality_assets.stores.landing import place
from quality_assets.stores.model_files import REGISTRY_FILE
from quality_assets.stores.operations import store
from quality_assets.stores.operations.engine import connect_sqlite
from quality_assets.stores.operations.store import close_operations
from quality_assets.stores.operations.upgrade import upgrade
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.events import build_events, build_facts, build_trends, build_user_feature_days
from quality_assets.tables.ingest import IngestReport, ingest
from quality_assets.tables.sketches import build_event_sketches

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from mlflow import MlflowClient
    from sqlalchemy import Engine

pytest_plugins = ["services"]

# The same commands each time: to make them anew takes as long as most of them.
vars(typer.testing)["_get_command"] = functools.cache(vars(typer.testing)["_get_command"])

# What is imported and collected stays, and to look through it for garbage is a fifth of collecting.
imports.before_imports()

# The machine's load says nothing about the code: no deadlines.
hypothesis.settings.register_profile(
    "dev", max_examples=20, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "ci", hypothesis.settings.get_profile("dev"), max_examples=50, derandomize=True, database=None, print_blob=True
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# By what they took, in seconds, the longest first.
LONGEST = (
    "test_cli.py",
    "test_stories.py",
    "test_arrival.py",
    "test_second_half.py",
    "test_dataset_checks.py",
    "test_runs.py",
    "test_kill.py",
    "test_expectations.py",
    "test_accessibility.py",
    "test_topics.py",
    "test_catching_up.py",
    "test_landing_collected.py",
    "test_serving.py",
    "test_sensors.py",
    "test_champion.py",
    "test_states_resumed.py",
    "test_exports.py",
    "test_impact_reference.py",
    "test_learning.py",
    "test_readers.py",
    "test_definitions.py",
    "test_ingest.py",
    "test_models.py",
    "test_risk.py",
    "test_graph.py",
    "test_api_described.py",
)

FIRST_DATE, LAST_DATE = date(2000, 1, 1), date(2100, 1, 1)
PLAN = SimulationPlan(
    days=12,
    features=8,
    events_per_day=400,
    seed=5,
    start_date=date(2026, 1, 1),
    dirt_share=0.08,
    late_share=0.02,
    incidents=(
        Incident("crash", "Search", "crash_spike", "crash_rate", date(2026, 1, 10), None, 0.4, "absolute"),
        Incident("dead", "Home feed", "dead_event", "events", date(2026, 1, 12), None, -1.0),
    ),
)


def new_settings(data_dir: Path) -> Settings:
    """The settings of a temporary data root, whatever the environment says."""
    return Settings(data_dir=data_dir, file_stable_s=0, threads=2, _env_file=None)  # type: ignore[call-arg]


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name`, which `make` fills once for all processes of a test run. Only to be read, or copied."""
    own = tmp_path_factory.getbasetemp()
    # The folders of xdist's processes lie side by side.
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder, is_made = shared / name, shared / f"{name}.made"
    with FileLock(shared / f"{name}.lock"):
        if not is_made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            is_made.touch()
    return folder


def ingest_landing(session: WarehouseSession, asked: Sequence[str] = ()) -> IngestReport:
    """Ingest what waits in the landing zone, with the sources in force."""
    return ingest(session, load_sources(session.settings.source_files_dir), lambda _: None, asked=asked)


def replace_table(session: WarehouseSession, table: Table, frame: pd.DataFrame) -> None:
    """Make `frame` all rows of `table`."""
    session.connection.execute(f"delete from {table.qualified_name}")
    session.connection.register("frame_to_write", frame)
    session.connection.execute(f"insert into {table.qualified_name} by name from frame_to_write")
    session.connection.unregister("frame_to_write")


def build_tables(session: WarehouseSession, start: date = FIRST_DATE, end: date = LAST_DATE) -> None:
    """Rebuild all tables after the raw logs, as the graph does: the partitioned ones from `start` to `end`."""
    descriptions = read_feature_descriptions(session.settings.feature_metadata_path)
    replace_table(session, FEATURE_DESCRIPTIONS, descriptions)
    for build in (build_events, build_user_feature_days, build_facts, build_trends, build_event_sketches):
        build(session, start, end, lambda _: None)
    seen = session.connection.execute(
        "select feature, min(event_date) as first_seen_date, max(event_date) as last_seen_date"
        f" from {FACT_FEATURE_METRICS.qualified_name} group by feature"
    ).df()
    replace_table(session, DIM_FEATURE_METADATA, with_seen_dates(descriptions, seen))


@pytest.fixture(scope="session", autouse=True)
def tables_are_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tables of a new warehouse are made by the first test that needs one and copied for the others.

    To make them is most of what a small test of the warehouse would do.
    """
    made = new_settings(tmp_path_factory.mktemp("empty") / "data")
    connect = warehouse._connect

    def connect_to_tables(settings: Settings) -> duckdb.DuckDBPyConnection:
        path = settings.warehouse_path
        if path.exists() or settings.lake_dir.exists():
            return connect(settings)
        if not made.warehouse_path.exists():
            made.data_dir.mkdir()
            with connect(made) as connection:
                warehouse._bootstrap(connection, made)
        shutil.copyfile(made.warehouse_path, path)
        warehouse._prepared.add((str(path), path.stat().st_ino))
        return connect(settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warehouse, "_connect", connect_to_tables)
        yield


def _empty_registry(folder: Path) -> None:
    from mlflow import MlflowClient

    folder.mkdir()
    address = f"sqlite:///{folder / REGISTRY_FILE}"
    with warnings.catch_warnings(action="ignore"):
        MlflowClient(tracking_uri=address, registry_uri=address).search_experiments()


@pytest.fixture(scope="session", autouse=True)
def registries_are_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow makes the tables of a new registry by all its migrations, for two seconds: made once, and copied."""
    open_client = models.open_client

    def open_copy(root: Path, name: str) -> MlflowClient:
        if not (root / REGISTRY_FILE).exists():
            made = made_once(tmp_path_factory, "empty_registry", _empty_registry)
            root.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made / REGISTRY_FILE, root / REGISTRY_FILE)
        return open_client(root, name)

    with pytest.MonkeyPatch.context() as patch:
        # MLflow reads this once, when it is imported.
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        for module in (models, table_models):
            patch.setattr(module, "open_client", open_copy)
        yield


def _empty_home(folder: Path) -> None:
    from quality_assets.dagster_ext.event_log import OpenSqliteEventLogStorage
    from quality_assets.dagster_ext.home import open_instance

    with pytest.MonkeyPatch.context() as patch:
        # The home it makes is set there, and put back, because it was set here before.
        patch.setenv("DAGSTER_HOME", "unset")
        with open_instance(new_settings(folder)) as instance:
            # With it the empty file that those of runs are copies of.
            log = instance.event_log_storage
            assert isinstance(log, OpenSqliteEventLogStorage)
            with log.run_connection("none"):
                pass
    for made in folder.rglob("none.db*"):
        made.unlink()


@pytest.fixture(scope="session", autouse=True)
def homes_of_dagster_are_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Dagster makes the storage of a new home by migrations too: a new root begins with a copy of an empty one."""
    open_instance = runner.open_instance

    def open_copy(settings: Settings) -> DagsterInstance:
        if not settings.dagster_home.exists():
            made = new_settings(made_once(tmp_path_factory, "empty_home", _empty_home))
            shutil.copytree(made.dagster_home, settings.dagster_home)
        return open_instance(settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "open_instance", open_copy)
        yield


def _empty_operations(folder: Path) -> None:
    folder.mkdir()
    engine = connect_sqlite(folder / "operations.db")
    upgrade(engine, folder / ".lock")
    engine.dispose()


@pytest.fixture(scope="session", autouse=True)
def operations_stores_are_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new operations store is made by all its migrations: that of a new root begins with a copy of an empty one."""

    def copy_and_upgrade(engine: Engine, lock_path: Path) -> None:
        path = Path(str(engine.url.database))
        if engine.dialect.name == "sqlite" and not path.exists():
            made = made_once(tmp_path_factory, "empty_operations", _empty_operations)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made / "operations.db", path)
        upgrade(engine, lock_path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "upgrade", copy_and_upgrade)
        yield


@pytest.fixture
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An empty data root of its own, which `get_settings` gives too, in this process and those that it starts."""
    for name in [name for name in os.environ if name.startswith("QUALITY_")]:
        monkeypatch.delenv(name)
    # A graph that was run in this process has set it, for a root of its own.
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("QUALITY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("QUALITY_FILE_STABLE_S", "0")
    monkeypatch.setenv("QUALITY_THREADS", "2")
    get_settings.cache_clear()
    yield get_settings()
    close_operations()
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def simulated_logs(tmp_path_factory: pytest.TempPathFactory) -> SimulationResult:
    """Twelve days of telemetry as CSV with dirt of every kind and two incidents; the truth lies in `.out`."""
    return simulate(PLAN, tmp_path_factory.mktemp("simulated"))


@pytest.fixture(scope="session")
def built_warehouse(tmp_path_factory: pytest.TempPathFactory, simulated_logs: SimulationResult) -> Settings:
    """A data root with the simulated logs ingested and every table built. Only to be read: see `built_copy`."""
    settings = new_settings(tmp_path_factory.mktemp("built") / "data")
    settings.data_dir.mkdir()
    shutil.copyfile(simulated_logs.out / "feature_metadata.csv", settings.data_dir / "feature_metadata.csv")
    place([simulated_logs.out / "logs"], settings.landing_dir)
    with open_warehouse(settings) as session:
        ingest_landing(session)
        build_tables(session)
    return settings


@pytest.fixture
def built_copy(built_warehouse: Settings, data_root: Settings) -> Settings:
    """A copy of `built_warehouse` as this test's data root, to be changed at will."""
    shutil.copytree(built_warehouse.data_dir, data_root.data_dir)
    return data_root


@pytest.fixture(scope="session")
def sales_with_two_versions(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A data root with two versions of sales, the first in use. Only to be read: see `sales_root`."""
    from tests.light_use_cases import root_with_two_versions_of_sales

    return new_settings(made_once(tmp_path_factory, "two_versions_of_sales", root_with_two_versions_of_sales))


@pytest.fixture
def sales_root(
    sales_with_two_versions: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """A copy of it, to be changed at will."""
    from quality_assets.domain.models.learning.known_use_cases import TABULAR
    from tests.light_use_cases import LIGHT_SALES

    monkeypatch.setitem(TABULAR, "sales", LIGHT_SALES)
    shutil.copytree(sales_with_two_versions.data_dir, tmp_path / "data")
    yield new_settings(tmp_path / "data")
    close_operations()


@pytest.fixture(scope="session")
def ingest_all() -> Callable[..., IngestReport]:
    """`ingest_landing`, for test modules."""
    return ingest_landing


@pytest.fixture(scope="session")
def build_all() -> Callable[..., None]:
    """`build_tables`, for test modules."""
    return build_tables


def pytest_configure(config: pytest.Config) -> None:
    """Name the marks that are ours."""
    config.addinivalue_line("markers", "slow: starts what takes a quarter of a minute or more, such as Spark")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files are begun first, and the many short ones of `domain/` come last: all processes end together."""
    first = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (first.get(item.path.name, len(first)), item.path.parent.name == "domain"))


def pytest_collection_finish() -> None:
    """From here on garbage is looked for, but not among what there is already."""
    imports.after_imports()
