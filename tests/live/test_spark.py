"""Spark over the lake: facts and features equal DuckDB's, from the same texts. Slow: a Java machine is started."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from running_collector import environment_of
from services import missing

from quality_assets.domain.events.metrics_sql import spelled
from quality_assets.domain.live.compiler import lake_events_sql, offline_sql
from quality_assets.domain.live.feature_set import load_features
from quality_assets.settings import REPOSITORY_ROOT, Settings
from quality_assets.stores.warehouse import open_warehouse

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
