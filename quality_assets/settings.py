"""Every setting, from the environment (`QUALITY_…`) or `.env`, typed and validated, with its default.

Nothing else in the code base reads the environment. Paths derive from `data_dir`, so that moving it moves everything.
"""

from __future__ import annotations

import os
import re
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

REPOSITORY_ROOT = Path(__file__).resolve().parent.parent

Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """The settings of one data root. Invalid values raise pydantic's ValidationError, which names each key."""

    model_config = SettingsConfigDict(env_prefix="QUALITY_", env_file=".env", extra="ignore", frozen=True)

    data_dir: Path = Field(
        REPOSITORY_ROOT / "data", description="Root of all stores: landing, lake, warehouse, published"
    )
    sources_dir: Path | None = Field(
        None, description="Where the source YAML files are; data_dir/sources and the shipped ones"
    )
    feature_metadata_file: Path | None = Field(
        None, description="CSV that describes the features; data_dir/feature_metadata.csv, else the shipped one"
    )

    host: str = Field("127.0.0.1", description="Address that the dashboard binds to; beyond loopback it needs a token")
    dagster_host: str = Field(
        "127.0.0.1", description="Address that the Dagster UI binds to, which starts runs; beyond loopback as above"
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Further host names that the servers answer to, with commas between them"
    )
    public_url: str | None = Field(
        None, description="Address at which people open the dashboard, for links in messages: https://quality.example"
    )
    token: SecretStr | None = Field(
        None, min_length=16, description="Secret that every request to the servers must show, where it is set"
    )
    operations_url: SecretStr | None = Field(
        None, description="PostgreSQL of the operations store; operations.db in data_dir where not set"
    )
    dagster_port: Port = Field(3000, description="Port of the Dagster UI")
    dashboard_port: Port = Field(8050, description="Port of the dashboard")
    predict_port: Port = Field(8060, description="Port of the server of models: predictions, contributions, outcomes")
    collector_host: str = Field(
        "127.0.0.1", description="Address that the collector binds to; beyond loopback it needs keys and a token"
    )
    collector_port: Port = Field(8080, description="Port of the collector: events, online features, today so far")
    collector_keys_file: Path | None = Field(
        None, description="YAML of the write keys of senders; data_dir/write_keys.yaml where it is there"
    )
    collector_jwt_secret: SecretStr | None = Field(
        None, min_length=32, description="Secret (HS256) of the tokens that readers of online features show"
    )
    collector_jwt_public_key: Path | None = Field(
        None, description="Public key (PEM; P-256 for ES256, or Ed25519 for EdDSA) that such tokens are signed for"
    )
    collector_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Websites whose pages may send events, as https://shop.example, with commas; * for any"
    )
    collector_certificate: Path | None = Field(None, description="Certificate (PEM) of the collector, for TLS")
    collector_private_key: Path | None = Field(None, description="Private key (PEM) of that certificate")
    collector_processes: bool = Field(
        True, description="Whether a collector that writes to Kafka runs processors too; `quality process` does else"
    )
    collector_lands: bool = Field(
        True, description="Whether the collector lands what is due; no, where its landing zone is not the graph's"
    )
    live_url: SecretStr | None = Field(
        None, description="PostgreSQL of the live state; state.db in data_dir/live where not set"
    )
    redis_url: SecretStr | None = Field(
        None, description="Redis before the reads of online features from PostgreSQL; none where not set"
    )
    kafka_brokers: str | None = Field(
        None, description="Kafka brokers of the collector's log, as host:9092, with commas; needs QUALITY_LIVE_URL"
    )
    kafka_partitions: int = Field(4, ge=1, le=1000, description="Partitions of the topics that are made where missing")
    land_every_s: float = Field(900.0, gt=0, description="How often the collector lands events of today")
    land_late_every_s: float = Field(
        21_600.0, gt=0, description="How often it lands events that came after their day had been closed"
    )
    features_file: Path | None = Field(
        None, description="YAML of the online features; data_dir/features.yaml, else the shipped one"
    )

    earliest_date: date = Field(
        date(2013, 1, 1), description="First event date that can be built; no source may start before it"
    )
    file_stable_s: float = Field(
        2.0, ge=0, description="A landing file counts once its size has not changed for so long"
    )
    apdex_threshold_ms: float = Field(500.0, gt=0, description="Apdex T of features that state none")

    memory_limit_mb: int = Field(1500, ge=200, description="What DuckDB may use before it spills to disk")
    threads: int | None = Field(None, ge=1, description="Threads of DuckDB; all cores where not set")
    load_batch_mb: int = Field(256, ge=1, description="How many megabytes of logs are read at a time")
    keep_runs: int = Field(
        500, ge=20, description="How many ended runs Dagster's history keeps, up to a megabyte each; tables keep all"
    )
    keep_history_mb: int = Field(
        60, ge=5, description="How many megabytes the newest of them may take; what is older goes, but the last 20 stay"
    )
    keep_snapshots: int = Field(3, ge=1, description="How many published snapshots stay")

    @field_validator("data_dir", "sources_dir", "feature_metadata_file", "collector_keys_file", "features_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().resolve() if path is not None else None

    @field_validator("allowed_hosts", "collector_origins", mode="before")
    @classmethod
    def _names(cls, given: object) -> object:
        return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else given

    @field_validator("public_url", "live_url", "redis_url", "kafka_brokers", mode="before")
    @classmethod
    def _nothing(cls, given: object) -> object:
        # A compose file passes on what is not set as nothing.
        return given or None

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url):
            raise ValueError(f"{url!r} is not http:// or https:// and a host")
        return url.rstrip("/") if url else None

    @field_validator("data_dir")
    @classmethod
    def _is_no_pattern(cls, path: Path) -> Path:
        # Dagster looks for its dagster.yaml by a pattern, finds none there, and goes on without our settings.
        if any(mark in str(path) for mark in "*?["):
            raise ValueError(f"{path} has one of * ? [ in it, which Dagster takes for a pattern; name another folder")
        # The addresses of its SQLite files are read as addresses are, which may lead into another folder that is there.
        if escape := re.search("%[0-9A-Fa-f]{2}", str(path)):
            raise ValueError(f"{path} has {escape[0]} in it, which Dagster takes for another sign; name another folder")
        return path

    @property
    def workers(self) -> int:
        """How many pieces of work are done side by side, where each takes one thread."""
        return self.threads or os.cpu_count() or 1

    @property
    def outbox_dir(self) -> Path:
        """What is told and what watches the house: locks, stamps, and what is still to be told."""
        return self.data_dir / ".outbox"

    @property
    def landing_dir(self) -> Path:
        """Files as they arrive; never changed by us."""
        return self.data_dir / "landing"

    @property
    def lake_dir(self) -> Path:
        """Event-level tables as Parquet, a folder a day."""
        return self.data_dir / "lake"

    @property
    def live_dir(self) -> Path:
        """What the collector keeps: its log and its state."""
        return self.data_dir / "live"

    @property
    def live_state(self) -> Path | str:
        """Where the live state is: the address of a PostgreSQL, else the file of SQLite."""
        return self.live_url.get_secret_value() if self.live_url else self.live_dir / "state.db"

    @property
    def collector_keys_path(self) -> Path:
        """The file of write keys in force, whether it is there or not."""
        return self.collector_keys_file or self.data_dir / "write_keys.yaml"

    @property
    def features_path(self) -> Path:
        """The definition of the online features in force."""
        own = self.data_dir / "features.yaml"
        return self.features_file or (own if own.is_file() else REPOSITORY_ROOT / "data" / "features.yaml")

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file that only the graph opens."""
        return self.data_dir / "warehouse.duckdb"

    @property
    def operations_path(self) -> Path:
        """The operations store, where no PostgreSQL is named."""
        return self.data_dir / "operations.db"

    @property
    def published_dir(self) -> Path:
        """Snapshots for readers."""
        return self.data_dir / "published"

    @property
    def link_address(self) -> str:
        """Where links in messages lead: `public_url`, else the dashboard by a name that it answers to."""
        if self.public_url:
            return self.public_url
        # Nobody can open the address that means every address of a machine.
        host = self.host if self.host not in ("0.0.0.0", "::") else next(iter(self.allowed_hosts), "localhost")  # noqa: S104
        return f"http://[{host}]:{self.dashboard_port}" if ":" in host else f"http://{host}:{self.dashboard_port}"

    @property
    def processed_dir(self) -> Path:
        """Tables exported for people and scripts."""
        return self.data_dir / "processed"

    @property
    def reports_dir(self) -> Path:
        """Reports exported for people and scripts."""
        return self.data_dir / "reports"

    @property
    def models_dir(self) -> Path:
        """The model registry."""
        return self.data_dir / "models"

    @property
    def scratch_dir(self) -> Path:
        """Temporary files, on the same file system as the lake so that renames are atomic."""
        return self.data_dir / ".scratch"

    @property
    def detector_dir(self) -> Path:
        """What the detector knew at the end of days; made again where it is lost."""
        return self.data_dir / ".detector"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own storage."""
        return self.data_dir / ".dagster"

    @property
    def logs_dir(self) -> Path:
        """What runs did, as JSON lines."""
        return self.data_dir / "logs"

    @property
    def source_files_dir(self) -> Path:
        """The source YAML files that are one's own to mend."""
        return self.source_folders[0]

    @property
    def source_folders(self) -> tuple[Path, ...]:
        """Where the source YAML files in force are: what an earlier folder says goes before what a later one does.

        A data root's own add to the shipped ones; with `sources_dir` there are no others.
        """
        shipped, own = REPOSITORY_ROOT / "data" / "sources", self.data_dir / "sources"
        if self.sources_dir is not None:
            return (self.sources_dir,)
        return (own, shipped) if own.is_dir() and own.resolve() != shipped.resolve() else (shipped,)

    def defined(self, name: str) -> Path:
        """The folder or file of definitions called `name`, such as funnels: the data root's own, else the shipped."""
        own = self.data_dir / name
        return own if own.exists() else REPOSITORY_ROOT / "data" / name

    @property
    def feature_metadata_path(self) -> Path:
        """The feature descriptions in force."""
        own = self.data_dir / "feature_metadata.csv"
        return self.feature_metadata_file or (
            own if own.is_file() else REPOSITORY_ROOT / "data" / "feature_metadata.csv"
        )


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
