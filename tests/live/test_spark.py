"""Spark over the lake: facts and features equal DuckDB's, from the same texts. Slow: a Java machine is started."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from running_collector import environment_of
from services import missing

from quality_assets.domain.events.metrics_sql import spelled
from quality_assets.domain.live.compiler import lake_events_sql, offline_sql, partial_tiles_sql
from quality_assets.domain.live.expressions import DUCKDB
from quality_assets.domain.live.feature_set import load_features
from quality_assets.settings import REPOSITORY_ROOT, Settings
from quality_assets.stores.warehouse import open_warehouse

DAY = datetime(2026, 11, 20)
FEATURES = load_features(REPOSITORY_ROOT / "data" / "features.yaml")


def test_what_spark_spells_otherwise() -> None:
    assert spelled("latency_quantiles_ms[2]", "duckdb") == "latency_quantiles_ms[2]"
    assert spelled("latency_quantiles_ms[2]", "spark") == "element_at(latency_quantiles_ms, 2)"
    assert spelled("cast(x as varchar) = $y", "spark") == "cast(x as string) = :y"


def _computed(root: Path, out: Path, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "quality_assets.cli", "spark", *arguments, "--out", str(out)]
    done = subprocess.run(command, env=environment_of(root), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = duckdb.sql(f"select * from read_parquet('{out}/*.parquet')").to_arrow_table()
    return list(found.to_pylist())


def _same(mine: Any, other: Any) -> bool:
    if isinstance(mine, float) and isinstance(other, float):
        # A quantile between two values differs in its last bit.
        return math.isclose(mine, other, rel_tol=1e-12)
    return bool(mine == other)


def _needs_spark() -> None:
    try:
        import pyspark  # noqa: F401
    except ImportError:
        missing_unless_asked()
    if shutil.which("java") is None:
        missing("Java")


def missing_unless_asked() -> None:
    """Skip, or fail where Spark has to be there: it is larger than all the rest together."""
    if os.environ.get("REQUIRE_SPARK") == "1":
        pytest.fail("REQUIRE_SPARK is set, and pyspark is not installed.")
    pytest.skip("pyspark is not installed")


@pytest.mark.slow
def test_facts_of_spark_are_those_of_duckdb(built_copy: Settings, tmp_path: Path) -> None:
    _needs_spark()
    root = built_copy.data_dir
    theirs = _computed(root, tmp_path / "facts", "facts", "--lake", str(root / "lake"))
    with open_warehouse(built_copy) as session:
        rows = session.connection.sql("select * from product.fact_feature_metrics order by event_date, feature")
        mine = rows.to_arrow_table().to_pylist()
    theirs.sort(key=lambda row: (row["event_date"], row["feature"]))
    assert len(mine) == len(theirs) > 90
    names = [name for name in mine[0] if name in theirs[0]]
    assert {"latency_p95_ms", "apdex", "users", "adoption_rate", "crash_free_sessions"} <= set(names)
    wrong = [
        (row["event_date"], row["feature"], name, row[name], other[name])
        for row, other in zip(mine, theirs, strict=True)
        for name in names
        if not _same(row[name], other[name])
    ]
    assert wrong == []


def _land(folder: Path, name: str, numbers: range) -> None:
    """A landed file of events, of some users, hours and orders; each number is always the same event."""
    rows = [
        {
            "event_id": f"e{n}",
            "event_time": DAY + timedelta(minutes=(n * 7919) % 2880),
            "received_at": DAY + timedelta(days=2, seconds=n),
            "feature": "Search",
            "event_name": ("view", "click", "purchase", "share", "session_start")[n % 5],
            "user_id": None if n % 31 == 0 else f"user-{n % 17}",
            "status": ("ok", "ok", "error", "crash")[n % 4],
            "latency_ms": None if n % 6 == 0 else n / 7,
            "device_type": ("mobile", "desktop", None)[n % 3],
            "platform": "web",
            "country": "DE",
        }
        for n in numbers
    ]
    types = {"event_time": pa.timestamp("us"), "received_at": pa.timestamp("us"), "latency_ms": pa.float64()}
    schema = pa.schema([(column, types.get(column, pa.string())) for column in rows[0]])
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / f"{name}.parquet")


@pytest.mark.slow
def test_tiles_of_a_stream_that_was_stopped_are_those_of_duckdb(tmp_path: Path) -> None:
    _needs_spark()
    landing, out = tmp_path / "collector", tmp_path / "out"

    def follow() -> list[dict[str, Any]]:
        command = ["spark", "stream", "--landing", str(landing), "--out", str(out), "--files-at-once", "1"]
        done = subprocess.run(
            [sys.executable, "-m", "quality_assets.cli", *command],
            env=environment_of(tmp_path / "root"), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        found = duckdb.sql(f"select * from read_parquet('{out}/tiles/*.parquet') order by user_id, tile")
        return list(found.to_arrow_table().to_pylist())

    _land(landing, "first", range(400))
    # Ids that came before come again, in the same run and in the next.
    _land(landing, "second", range(350, 700))
    before = follow()
    _land(landing, "third", range(600, 1000))
    after = follow()
    assert len(before) < len(after) > 300
    once = f"(select distinct * from read_parquet('{landing}/*.parquet'))"
    text = partial_tiles_sql(FEATURES, lake_events_sql(once), DUCKDB)
    mine = duckdb.sql(f"select * from ({text}) order by user_id, tile").to_arrow_table().to_pylist()
    assert after == mine
    assert sum(row["events"] for row in mine) == sum(n % 31 != 0 for n in range(1000))


@pytest.mark.slow
@pytest.mark.parametrize("version", FEATURES.versions)
def test_features_of_spark_are_those_of_duckdb(built_copy: Settings, tmp_path: Path, version: int) -> None:
    _needs_spark()
    root = built_copy.data_dir
    theirs = _computed(root, tmp_path / "features", "features", "--version", str(version))
    as_of_us = theirs[0]["as_of_us"]
    events = f"read_parquet('{root}/lake/valid_events/*/*.parquet', hive_partitioning = false)"
    week = f"(select * from {events} where event_date > (select max(event_date) from {events}) - 8)"
    asked = f"(select distinct user_id, {as_of_us} as as_of_us, {1 << 62} as visible_us from {week}"
    text = offline_sql(FEATURES, version, f"{asked} where user_id is not null)", lake_events_sql(week))
    mine = duckdb.sql(f"select * from ({text}) order by user_id").to_arrow_table().to_pylist()
    theirs.sort(key=lambda row: row["user_id"])
    assert len(mine) == len(theirs) > 50
    wrong = [
        (row["user_id"], name, value, other[name])
        for row, other in zip(mine, theirs, strict=True)
        for name, value in row.items()
        if not _same(value, other[name])
    ]
    assert wrong == []
