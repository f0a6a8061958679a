"""Which database holds the live state, by its address: the path of a SQLite file, or that of a PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quality_assets.domain.live.feature_set import FeatureSet
from quality_assets.settings import Settings
from quality_assets.stores.live.live_store import LiveStore
from quality_assets.stores.live.outbox import Outbox
from quality_assets.stores.live.sqlite import opened

LOG_ID_FILE = "log_id"


def asked_state(address: Path | str, *, read_only: bool = False) -> Any:
    """A connection for questions: SQLite's, or one that looks like it."""
    if isinstance(address, Path):
        return opened(address, synchronous="NORMAL", read_only=read_only)
    from quality_assets.stores.live.postgres import Asked

    return Asked(address)


def state_exists(address: Path | str) -> bool:
    """Whether there is a state: that of PostgreSQL is made by whoever writes to it first."""
    if isinstance(address, Path):
        return address.exists()
    from quality_assets.stores.live.postgres import SCHEMA, connect

    with connect(address) as connection:
        row = connection.execute("select to_regclass(%s) is not null", (f"{SCHEMA}.meta",)).fetchone()
    return bool(row and row[0])


def outbox_of(address: Path | str) -> Outbox:
    """The events of a state that wait to land."""
    if isinstance(address, Path):
        return Outbox(address)
    from quality_assets.stores.live.postgres_outbox import PostgresOutbox

    return PostgresOutbox(address)


def store_of(settings: Settings, features: FeatureSet, log: str | None = None, committed: Any = None) -> Any:
    """The store of a root, for the log of this root, or for another (a partition)."""
    address = settings.live_state
    if isinstance(address, Path):
        return LiveStore(address, features)
    from quality_assets.stores.live.postgres_store import PostgresStore

    cache = None
    if settings.redis_url is not None:
        from quality_assets.stores.live.cache import Cache

        cache = Cache(settings.redis_url.get_secret_value())
    log_of = None
    if settings.kafka_brokers is not None:
        from quality_assets.stores.live.kafka import log_of_user

        log_of = log_of_user(settings.kafka_partitions)
    return PostgresStore(address, features, log or own_log(settings), log_of, cache, committed)


def own_log(settings: Settings) -> str:
    """What the log of this root is called in a state that others write to as well."""
    from secrets import token_hex

    path = settings.live_dir / LOG_ID_FILE
    try:
        with path.open("x", encoding="ascii") as file:
            file.write(f"log.db/{token_hex(6)}")
    except FileExistsError:
        pass
    return path.read_text(encoding="ascii")


def append_entries(settings: Settings, entries: Sequence[tuple[int, int, bytes]]) -> None:
    """Append to the log of a root from beside its collector."""
    if settings.kafka_brokers is not None:
        from quality_assets.stores.live.kafka import KafkaLog

        topic = KafkaLog(settings.kafka_brokers, settings.kafka_partitions)
        try:
            topic.append(entries)
        finally:
            topic.close()
        return
    from quality_assets.stores.live.request_log import RequestLog

    log = RequestLog(settings.live_dir / "log.db")
    try:
        log.append(entries)
    finally:
        log.close()
