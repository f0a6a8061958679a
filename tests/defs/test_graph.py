"""Rules that hold for the whole graph, and for which room of the house may know which other."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.snap import PartitionsSnap
from dagster._core.workspace.load import location_origins_from_yaml_paths

import quality_assets.definitions
from quality_assets.contracts.catalog import TABLES, TABLES_BY_NAME
from quality_assets.contracts.monitoring import ALERT_HISTORY, ALERTS, CHECK_RESULTS
from quality_assets.contracts.mutation import MUTANTS, MUTATION_REPORTS
from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.watched import BATCHES, FINDINGS
from quality_assets.dagster_ext.partitions import EventDates
from quality_assets.definitions import defs as definitions
from quality_assets.defs.run_tags import PARTS_OF_THE_CHAIN
from quality_assets.reading_graph import reading_graph
from quality_assets.settings import REPOSITORY_ROOT
from quality_assets.tables.checks.known import ALL_CHECKS, blocking_checks

PACKAGE = REPOSITORY_ROOT / "quality_assets"
POOL = "warehouse"
_GRAPH = definitions().resolve_asset_graph()
_ASSETS = sorted(_GRAPH.materializable_asset_keys)
# Tables that every asset and check writes to as it goes belong to no single one.
_WRITTEN_BY_ALL = (CHECK_RESULTS, ALERTS, ALERT_HISTORY, BATCHES, FINDINGS, MUTATION_REPORTS, MUTANTS)
# What has a lane of its own, beside the warehouse and never in it.
_BESIDE = dg.AssetKey(["datasets", "dataset_checks"])


def _name(key: dg.AssetKey) -> str:
    return "/".join(key.path)


each_asset = pytest.mark.parametrize("key", _ASSETS, ids=_name)


def _modules(*rooms: str) -> list[Path]:
    found = [REPOSITORY_ROOT / room for room in rooms]
    return sorted(file for room in found for file in ([room] if room.is_file() else room.rglob("*.py")))


def _imported(file: Path) -> set[str]:
    """Every module that a file imports, at its top or anywhere within, for type checking or to run."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names |= {f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _imports(file: Path, package: str) -> bool:
    return any(name == package or name.startswith((f"{package}.", f"{package}_")) for name in _imported(file))


def _checks(graph: dg.Definitions) -> Iterator[dg.AssetChecksDefinition]:
    for check in graph.asset_checks or []:
        assert isinstance(check, dg.AssetChecksDefinition)
        yield check


@each_asset
def test_asset_says_what_it_is(key: dg.AssetKey) -> None:
    node = _GRAPH.get(key)
    assert len(node.owners) == 1
    assert node.owners[0].startswith("team:")
    assert node.kinds
    first_line = (node.description or "").split("\n")[0]
    assert len(first_line) >= 20
    assert first_line[0].isupper() or first_line.split(".")[0] in {t.schema for t in TABLES}
    assert first_line.endswith(".") or "." not in first_line
    assert not set(first_line) & set("`*#<>|[]"), "the catalog shows it as plain prose"


@each_asset
def test_asset_has_a_column_schema(key: dg.AssetKey) -> None:
    schema = _GRAPH.get(key).metadata.get("dagster/column_schema")
    assert isinstance(schema, dg.TableSchema)
    assert schema.columns
    assert all(column.description and column.type for column in schema.columns)


@each_asset
def test_asset_lies_where_its_key_says(key: dg.AssetKey) -> None:
    node = _GRAPH.get(key)
    assert len(key.path) == 2
    assert node.group_name == key.path[0]
    references = node.metadata["dagster/code_references"].code_references
    files = [Path(r.file_path) for r in references if isinstance(r, dg.LocalFileCodeReference)]
    assert [file.relative_to(PACKAGE / "defs").parts for file in files] == [(key.path[0], "assets.py")]


@each_asset
def test_asset_is_checked(key: dg.AssetKey) -> None:
    assert [check for check in _GRAPH.asset_check_keys if check.asset_key == key]


@each_asset
def test_asset_shows_the_columns_of_its_contract(key: dg.AssetKey) -> None:
    table = TABLES_BY_NAME.get(".".join(key.path))
    if table is None:
        assert key.path[0] in ("publish", "ml", "datasets"), "only what is no table of the warehouse has no contract"
        return
    node = _GRAPH.get(key)
    assert [column.name for column in node.metadata["dagster/column_schema"].columns] == list(table.column_names)
    assert node.metadata["dagster/table_name"] == table.qualified_name
    assert not node.metadata["dagster/table_name"].startswith("/")
    assert node.is_partitioned or table.store in ("warehouse", "view") or table.catches_up or key.path[0] == "raw"


def test_every_op_that_opens_the_warehouse_is_in_its_pool(graph: dg.Definitions) -> None:
    ops = [node for asset in graph.resolve_all_asset_specs() for node in [_GRAPH.get(asset.key).assets_def.op]]
    ops += [check.op for check in _checks(graph)]
    assert len(ops) > len(_ASSETS)
    assert {op.name: op.pool for op in ops if op.pool != POOL} == {"datasets__dataset_checks": "datasets"}


def test_every_table_of_the_graph_has_an_asset() -> None:
    wanted = {table.qualified_name for table in TABLES if table.schema != "ops" and table not in _WRITTEN_BY_ALL}
    assert wanted - {".".join(key.path) for key in _ASSETS} == set()


def test_every_table_that_has_an_asset_has_one_build_and_is_made_from_what_that_says() -> None:
    made = [key for key in _ASSETS if ".".join(key.path) in TABLES_BY_NAME]
    assert sorted(table.qualified_name for table in PIPELINE.tables) == sorted(".".join(key.path) for key in made)
    for key in made:
        table = TABLES_BY_NAME[".".join(key.path)]
        assert [each.build for each in TABLES if each.qualified_name == table.qualified_name] == [table.build]
        parents = {".".join(parent.path) for parent in _GRAPH.get(key).parent_keys}
        # Models are made from tables, and are none.
        assert {name for name in parents if name in TABLES_BY_NAME} == set(PIPELINE.inputs(table))
        assert _GRAPH.get(key).is_partitioned is table.is_built_by_date


def test_a_day_of_trends_hangs_on_the_days_before_it() -> None:
    mappings = _GRAPH.get(dg.AssetKey(["product", "feature_daily_trends"])).partition_mappings
    assert list(mappings) == [dg.AssetKey(["product", "fact_feature_metrics"])]
    (mapping,) = mappings.values()
    assert isinstance(mapping, dg.TimeWindowPartitionMapping)
    # The first days have no 56 days before them.
    assert (mapping.start_offset, mapping.allow_nonexistent_upstream_partitions) == (-56, True)


_MODEL_INPUTS = "ml.degradation_labels ml.risk_training_set"
_JOBS = {
    "ingest_logs": "raw.log_files raw.raw_logs",
    "build_days": (
        "core.quarantined_events core.user_feature_days core.valid_events monitoring.event_sketch_counts"
        " product.fact_feature_metrics product.feature_daily_trends raw.feature_descriptions"
    ),
    "build_impact": (
        "core.dim_users core.first_uses core.user_days core.user_sessions impact.adoption_curve impact.engagement_days"
        " impact.feature_adoption impact.funnel_days impact.funnel_entries impact.retention impact.retention_cells"
        " impact.segment_days impact.segment_members"
    ),
    "build_trends": "product.feature_daily_trends",
    "score_and_report": (
        f"{_MODEL_INPUTS} ml.risk_scores ml.score_ledger monitoring.baseline_stats monitoring.data_drift"
        " monitoring.drift_distributions monitoring.run_report product.incidents"
    ),
    "report_run": "monitoring.run_report",
    "train_risk_model": (
        f"{_MODEL_INPUTS} ml.calibration ml.feature_importance ml.model_metrics ml.model_versions ml.risk_model"
        " monitoring.drift_power"
    ),
    "publish": (
        "product.dim_feature_metadata publish.baseline_stats_json publish.data_drift_json publish.drift_html"
        " publish.feature_daily_trends_csv publish.feature_importance_csv publish.feature_metrics_csv"
        " publish.metrics_json publish.published_snapshot"
    ),
    **{
        f"train_{name}": f"ml.{name}_training_set ml.{name}_model ml.{name}_evaluation ml.{name}_release"
        f" ml.{name}_predictions ml.{name}_eda ml.model_releases ml.model_leaks ml.model_performance ml.input_drift"
        for name in ("sales", "housing")
    },
    "watch_models": "ml.predictions",
    "deliver": "",
    "bring_up_to_date": "",
    "publish_facts": (
        "product.dim_feature_metadata publish.feature_daily_trends_csv publish.feature_metrics_csv"
        " publish.published_snapshot"
    ),
    "check_dataset": "datasets.dataset_checks",
}


_JOBS["build_and_report"] = " ".join(_JOBS[part] for part in PARTS_OF_THE_CHAIN)


def test_jobs_make_what_belongs_together(graph: dg.Definitions) -> None:
    made = {
        job.name: {".".join(key.path) for key in graph.resolve_job_def(job.name).asset_layer.executable_asset_keys}
        for job in graph.jobs or []
    }
    wanted = {name: set(assets.split()) for name, assets in _JOBS.items()}
    # A new table need not be named here.
    named = set().union(*wanted.values())
    assert {name: assets & named for name, assets in made.items()} == wanted


def test_publication_comes_after_all_that_readers_wait_for() -> None:
    parents = _GRAPH.get(dg.AssetKey(["publish", "published_snapshot"])).parent_keys
    assert {".".join(key.path) for key in parents} == {table.qualified_name for table in PIPELINE.awaited}


def test_every_check_is_of_an_asset_and_asked_once() -> None:
    asked = [(check.subject.name, check.name) for check in ALL_CHECKS]
    assert len(set(asked)) == len(asked)
    of_tables = [check for check in _GRAPH.asset_check_keys if check.asset_key != _BESIDE]
    assert {(".".join(check.asset_key.path), check.name) for check in of_tables} == set(asked)
    kinds = {check.subject.name: check.subject.kind for check in ALL_CHECKS}
    assert {name for name, kind in kinds.items() if kind == "table"} == {t.qualified_name for t in PIPELINE.tables}


def test_results_of_checks_are_made_in_one_place() -> None:
    makers = {
        file.relative_to(PACKAGE).as_posix()
        for file in _modules("quality_assets")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "CheckResult"
    }
    assert makers == {"domain/quality/result.py"}


def test_contracts_and_what_follows_from_them_load_without_heavy_libraries() -> None:
    code = (
        "import sys, quality_assets.contracts.pipeline, quality_assets.domain.quality.score;"
        " sys.exit(any(name in sys.modules for name in ('pandas', 'numpy', 'duckdb', 'sklearn', 'dagster')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=REPOSITORY_ROOT).returncode == 0


def test_publication_knows_every_check_that_blocks() -> None:
    blocking = {check for check in _GRAPH.asset_check_keys if _GRAPH.get_check_spec(check).blocking}
    assert {(".".join(check.asset_key.path), check.name) for check in blocking} == blocking_checks()


def test_every_check_asks_a_question() -> None:
    questions = {check: _GRAPH.get_check_spec(check).description or "" for check in _GRAPH.asset_check_keys}
    assert len(questions) > 50
    assert {check for check, question in questions.items() if "?" not in question} == set()


def test_no_asset_is_upstream_of_itself_or_of_nothing_known() -> None:
    order = {key: place for place, key in enumerate(_GRAPH.toposorted_asset_keys)}
    for key in _ASSETS:
        parents = _GRAPH.get(key).parent_keys
        assert parents <= set(_ASSETS)
        assert all(order[parent] < order[key] for parent in parents)


def test_jobs_are_there_and_say_what_they_do(graph: dg.Definitions) -> None:
    jobs = {job.name: graph.resolve_job_def(job.name) for job in graph.jobs or []}
    assert {"ingest_logs", "build_days", "build_trends", "publish"} <= set(jobs)
    assert [name for name, job in jobs.items() if not job.description] == []
    assert all(job.executor_def is dg.in_process_executor for job in jobs.values())
    reached = {key for job in jobs.values() for key in job.asset_layer.executable_asset_keys}
    assert set(_ASSETS) - reached == set(), "what no job builds is never brought up to date"


def test_sensors_and_schedules_run_by_default(graph: dg.Definitions) -> None:
    sensors = {sensor.name: sensor for sensor in graph.sensors or []}
    schedules = {schedule.name: schedule for schedule in graph.schedules or []}
    assert {"landing_zone_sensor", "touched_dates_sensor", "follow_up_sensor", "run_failure_alerts"} <= set(sensors)
    assert "daily_catch_up" in schedules
    assert all(isinstance(schedule, dg.ScheduleDefinition) for schedule in schedules.values())
    assert [n for n, s in sensors.items() if s.default_status != dg.DefaultSensorStatus.RUNNING] == []
    assert [n for n, s in schedules.items() if s.default_status != dg.DefaultScheduleStatus.RUNNING] == []
    assert [n for n, each in {**sensors, **schedules}.items() if not each.description] == []


def test_schedules_are_in_utc_like_the_partitions(graph: dg.Definitions) -> None:
    assert {s.execution_timezone for s in graph.schedules or [] if isinstance(s, dg.ScheduleDefinition)} == {"UTC"}
    partitions = {_GRAPH.get(key).partitions_def for key in _ASSETS if key != _BESIDE} - {None}
    assert len(partitions) == 1
    (event_dates,) = partitions
    assert isinstance(event_dates, dg.DailyPartitionsDefinition)
    assert event_dates.timezone == "UTC"


@pytest.mark.parametrize("start_date", ["2024-02-20", "2026-11-20", "2026-11-21", "2026-11-22"])
@pytest.mark.parametrize("end_offset", [0, 1])
def test_the_list_of_event_dates_is_that_of_dagster(start_date: str, end_offset: int) -> None:
    now = datetime(2026, 11, 21, 15, tzinfo=UTC)
    counted = EventDates(start_date=start_date, end_offset=end_offset)
    walked = dg.DailyPartitionsDefinition(start_date=start_date, end_offset=end_offset)
    with partition_loading_context(effective_dt=now):
        assert counted.get_partition_keys() == walked.get_partition_keys()
    assert counted.get_partition_keys(now) == walked.get_partition_keys(now)


def test_event_dates_begin_where_they_are_moved_to() -> None:
    dates = EventDates(start_date="2013-01-01")
    assert dates.start_ts.timestamp == datetime(2013, 1, 1, tzinfo=UTC).timestamp()
    with partition_loading_context(effective_dt=datetime(2026, 11, 21, 15, tzinfo=UTC)):
        dates.begin_at(date(2026, 11, 18))
        assert dates.get_partition_keys() == ["2026-11-18", "2026-11-19", "2026-11-20"]
        assert (dates.get_first_partition_key(), dates.get_num_partitions()) == ("2026-11-18", 3)
        assert not dates.has_partition_key("2026-11-17")
        dates.begin_at(date(2026, 11, 17))
        assert dates.has_partition_key("2026-11-17")
        assert PartitionsSnap.from_def(dates).get_partitions_definition().get_partition_keys() == [
            *("2026-11-17", "2026-11-18", "2026-11-19", "2026-11-20")
        ]


@pytest.mark.parametrize(
    "file",
    _modules(
        "quality_assets/domain",
        "quality_assets/contracts",
        "quality_assets/simulate",
        "quality_assets/stores",
        "quality_assets/tables",
        "quality_assets/read",
        "quality_assets/serve",
        "quality_assets/clock.py",
        "dash_app",
        "quality_assets/settings.py",
        "quality_assets/progress.py",
    ),
    ids=lambda file: file.relative_to(REPOSITORY_ROOT).as_posix(),
)
def test_room_imports_no_dagster(file: Path) -> None:
    assert not _imports(file, "dagster")


def test_the_command_line_imports_no_dagster_until_it_needs_it() -> None:
    code = "import sys, quality_assets.cli, quality_assets.runner; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=REPOSITORY_ROOT).returncode == 0


def test_nobody_imports_the_dashboard() -> None:
    files = _modules("quality_assets")
    assert len(files) > 50
    assert [file for file in files if _imports(file, "dash_app")] == []


# Each room knows only those on its own floor and below.
_FLOORS = (
    {"contracts", "clock", "imports", "progress", "settings"},
    {"domain"},
    {"simulate", "stores"},
    {"tables", "read", "dagster_ext"},
    {"defs", "serve"},
    {"catching_up", "definitions", "event_log", "reading_graph", "runner"},
    {"cli"},
    {"dash_app"},
)
# Within the domain, likewise: what knows no product first, what speaks of all of it last.
_DOMAIN_FLOORS = (
    {"arrays", "escaping", "number_texts", "plain", "sql_text", "threads", "wording"},
    {"stats"},
    {"series"},
    {"events"},
    {"impact"},
    {"features", "live", "quality", "drift", "models"},
    {"reports"},
)


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] == "dash_app" else parts[1] if len(parts) > 1 else ""


def _floors(floors: Sequence[set[str]]) -> dict[str, int]:
    return {room: floor for floor, rooms in enumerate(floors) for room in rooms}


def test_each_room_knows_only_what_lies_below() -> None:
    floors = _floors(_FLOORS)
    upward = [
        f"{file.relative_to(REPOSITORY_ROOT)} -> {name}"
        for file in _modules("quality_assets", "dash_app")
        for name in _imported(file)
        if name.startswith(("quality_assets.", "dash_app"))
        and floors.get(_room(name), 0)
        > floors.get(_room(".".join(file.relative_to(REPOSITORY_ROOT).with_suffix("").parts)), 0)
    ]
    # The graph is asked about itself when its lineage is published.
    assert {line for line in upward if "defs/asset_graph.py -> quality_assets.definitions" not in line} == set()


def test_within_the_domain_capabilities_know_only_what_lies_below() -> None:
    floors = _floors(_DOMAIN_FLOORS)
    wrong = []
    for file in _modules("quality_assets/domain"):
        here = file.relative_to(PACKAGE / "domain").with_suffix("").parts[0]
        for name in _imported(file):
            there = name.split(".")[2] if name.startswith("quality_assets.domain.") else here
            is_below = floors.get(there, 99) < floors.get(here, -1)
            if there != here and not is_below and floors.get(there) != 0:
                wrong.append(f"{file.relative_to(PACKAGE)} -> {name}")
    assert wrong == []


def test_only_one_room_touches_dagsters_private_side() -> None:
    files = [file for file in _modules("quality_assets", "dash_app") if "dagster_ext" not in file.parts]
    private = [
        f"{file.relative_to(REPOSITORY_ROOT)} -> {name}"
        for file in files
        for name in _imported(file)
        if name.startswith("dagster._")
    ]
    assert private == []


def test_servers_never_open_the_warehouse() -> None:
    files = _modules("quality_assets/serve", "quality_assets/read", "dash_app")
    assert [file for file in files if _imports(file, "quality_assets.stores.warehouse")] == []


def test_defs_modules_evaluate_their_annotations() -> None:
    files = _modules("quality_assets/defs", "quality_assets/definitions.py")
    assert len(files) > 15
    assert [file for file in files if "__future__.annotations" in _imported(file)] == []


def test_root_of_the_graph_stays_small() -> None:
    assert len(Path(quality_assets.definitions.__file__).read_text().splitlines()) < 60


def test_definitions_can_be_loaded_and_resolve(graph: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(graph)


def test_dagster_yaml_gives_an_instance_with_a_slot_a_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY_ROOT / "dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text)
    # Its folders are relative to where Dagster is started, as with `dagster dev -w workspace.yaml`.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        pools = instance.get_concurrency_config().pool_config
        assert pools.default_pool_limit == 1
        assert pools.pool_granularity is not None
        assert pools.pool_granularity.value == "run"
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        # The daemon's run, the one within it, and one of the other lane.
        assert queue.max_concurrent_runs == 3
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.get_runs() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dagster.yaml", "data"]


def test_reading_alone_is_the_same_job(graph: dg.Definitions) -> None:
    whole, alone = (each.resolve_job_def("ingest_logs") for each in (graph, reading_graph()))
    assert alone.get_job_snapshot_id() == whole.get_job_snapshot_id()
    keys = whole.asset_layer.selected_asset_keys
    assert {key.to_user_string() for key in keys} == {"raw/raw_logs", "raw/log_files", "raw/collected_batches"}
    assert alone.asset_layer.selected_asset_keys == keys
    there, here = (each.asset_layer.asset_graph for each in (whole, alone))
    assert [here.get(key).to_asset_spec() for key in keys] == [there.get(key).to_asset_spec() for key in keys]
    assert [here.get(key).check_keys for key in keys] == [there.get(key).check_keys for key in keys]


def test_workspace_names_the_definitions() -> None:
    (origin,) = location_origins_from_yaml_paths([str(REPOSITORY_ROOT / "workspace.yaml")])
    target = origin.loadable_target_origin
    assert target.module_name == "quality_assets.definitions"
    assert os.path.samefile(target.working_directory or "", REPOSITORY_ROOT)


def test_project_names_what_exists_to_dg() -> None:
    import importlib
    import tomllib

    project = tomllib.loads((REPOSITORY_ROOT / "pyproject.toml").read_text())["tool"]
    assert "dagster" not in project, "it would shadow workspace.yaml"
    assert project["dg"]["directory_type"] == "project"
    for name in project["dg"]["project"].values():
        assert importlib.import_module(name)
    assert yaml.safe_load((REPOSITORY_ROOT / "workspace.yaml").read_text())["load_from"]
