"""Features as they were known at instants of a file: its own columns, order and rows, whatever came later."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from quality_assets.domain.live.feature_set import FeatureSet
from quality_assets.read.reader import arrow
from quality_assets.read.training_set import AskedFileError, training_set

FEATURES = FeatureSet.model_validate(
    {
        "tile_minutes": 5,
        "windows": {"10m": 2},
        "aggregates": {"seen": {"count": "True", "description": "d"}},
        "features": [
            {"name": name, "version": version, "type": "integer", "kind": "aggregation", "expression": text,
             "description": "d"}
            for name, version, text in (("n", 1, "seen_10m"), ("n", 2, "seen_10m * 10"), ("m", 2, "seen_10m + 1"))
        ],
    }
)  # fmt: skip


@pytest.fixture
def lake() -> Iterator[duckdb.DuckDBPyConnection]:
    """Three events of two users; one of them was received late."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'Asia/Kolkata'")
        connection.execute("create schema core")
        connection.execute(
            "create table core.valid_events as select user_id, event_time, received_at, 'e' as event_name,"
            " 'ok' as status, 'd' as device_type, 'f' as feature, 'p' as platform, 'c' as country, 1.0 as latency_ms"
            " from (values ('7', timestamp '2026-03-04 12:00:00', null::timestamp),"
            " ('7', timestamp '2026-03-04 12:03:00', timestamp '2026-03-04 12:08:00'),"
            " ('bob', timestamp '2026-03-04 12:00:00', null)) as v(user_id, event_time, received_at)"
        )
        yield connection


def _known(lake: Any, path: Path, version: int = 1) -> list[dict[str, Any]]:
    found = training_set(lambda sql, **tables: arrow(lake, sql, tables), path, FEATURES, version)
    return list(found.to_pylist())


def test_rows_of_a_csv_in_the_order_of_instants(lake: Any, tmp_path: Path) -> None:
    path = tmp_path / "Asked.CSV"
    path.write_text(
        "label,user_id,as_of\na,7,2026-03-04T12:08:00Z\nb,7,2026-03-04T12:04:00Z\nc,9,2026-03-04T12:04:00Z\n"
        "d,7,2026-03-04T13:29:59+01:00\n"
    )
    found = _known(lake, path)
    # Of 12:03 nothing was known before 12:08; an hour's offset makes the last 12:29, and ten minutes hold nothing.
    assert [(row["label"], row["user_id"], row["n"]) for row in found] == [
        ("b", "7", 1), ("c", "9", 0), ("a", "7", 2), ("d", "7", 0),
    ]  # fmt: skip
    assert list(found[0]) == ["label", "user_id", "as_of", "n"]
    assert [(row["n"], row["m"]) for row in _known(lake, path, 2)] == [(10, 2), (0, 1), (20, 3), (0, 1)]


def test_rows_of_a_parquet_and_those_of_nobody(lake: Any, tmp_path: Path) -> None:
    path = tmp_path / "asked.parquet"
    lake.execute(
        "copy (select * from (values ('bob', timestamp '2026-03-04 12:00:00'), (null, timestamp '2026-03-04 12:00:01'))"
        f" as v(user_id, as_of)) to '{path}' (format parquet)"
    )
    found = _known(lake, path)
    assert found == [
        {"user_id": "bob", "as_of": datetime(2026, 3, 4, 12), "n": 1},
        {"user_id": None, "as_of": datetime(2026, 3, 4, 12, 0, 1), "n": None},
    ]


def test_a_file_of_another_kind(lake: Any, tmp_path: Path) -> None:
    with pytest.raises(AskedFileError, match=r"asked\.txt: a file of \.csv or \.parquet is read$"):
        _known(lake, tmp_path / "asked.txt")
    with pytest.raises(AskedFileError, match=r"it needs the columns user_id and as_of, .*Z \(IO Error: "):
        _known(lake, tmp_path / "nowhere.csv")
