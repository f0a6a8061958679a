"""Feast's online read, beside ours: all features of one user, from SQLite, in process.

Run it by a Python that has Feast (`python -m venv feast && feast/bin/pip install feast`):
`feast/bin/python benchmarks/peers/feast_read.py`. Feast keeps values that something else has computed, one row a
feature and user; it reads them, and adds up nothing. So this is the price of the read alone.
"""

from __future__ import annotations

import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

FEATURES, USERS, READS = 21, 1_000, 300


def store_of(folder: Path) -> FeatureStore:
    """A store of so many features of so many users, each with a value."""
    rows = {f"feature_{n}": [float(user * n) for user in range(USERS)] for n in range(FEATURES)}
    now = datetime.now(UTC)
    frame = pd.DataFrame({"user_id": [f"user_{user}" for user in range(USERS)], "event_timestamp": now, **rows})
    frame.to_parquet(folder / "features.parquet")
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="users",
        entities=[user],
        ttl=timedelta(days=7),
        schema=[Field(name=name, dtype=Float64) for name in rows],
        source=FileSource(path=str(folder / "features.parquet"), timestamp_field="event_timestamp"),
    )
    config = RepoConfig(
        project="bench",
        registry=str(folder / "registry.db"),
        provider="local",
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    store.apply([user, view])
    store.write_to_online_store("users", frame)
    return store


def main() -> None:
    """Print what a read takes."""
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(Path(folder))
        wanted = [f"users:feature_{n}" for n in range(FEATURES)]

        def read(user: int) -> float:
            rows = [{"user_id": f"user_{user % USERS}"}]
            return float(store.get_online_features(features=wanted, entity_rows=rows).to_dict()["feature_2"][0])

        assert read(7) == 14.0, "what was written is read"
        before, started = time.process_time(), time.perf_counter()
        for user in range(READS):
            read(user)
        cpu_us = (time.process_time() - before) / READS * 1e6
        wall_ms = (time.perf_counter() - started) / READS * 1e3
        print(f"Feast, {FEATURES} features of a user: {cpu_us:.0f} µs of CPU, {wall_ms:.1f} ms on the wall")
        print(f"load {os.getloadavg()[0]:.0f}")


if __name__ == "__main__":
    main()
