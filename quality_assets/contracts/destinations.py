"""Destinations as YAML files in `data/destinations`: what is sent where, how, and what is wrong with a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from quality_assets.contracts.sources.as_written import parsed
from quality_assets.contracts.sources.model import StrictModel
from quality_assets.contracts.table import Column, Table
from quality_assets.contracts.yaml_errors import explained, unreadable

MOST_DELETED_SHARE = 0.3
"""More of what was delivered is not deleted at once, unless the file says that it may be."""
_LOCAL = ("localhost", "127.0.0.1", "::1")
_SENDS = ("experiments", "lift", "insights", "scores", "engagement")
_FORMATS = ("csv", "jsonl", "parquet")

DELIVERIES = Table(
    schema="ops",
    name="deliveries",
    description="Every batch that was sent to a destination, or could not be: as it stood at publication",
    grain="one row per destination and batch",
    key=("sync", "batch"),
    columns=(
        Column("sync", "VARCHAR", "Name of the destination", nullable=False),
        Column("batch", "VARCHAR", "The batch: run and number", nullable=False),
        Column("started_at", "TIMESTAMP", "When it was begun", nullable=False, unit="UTC"),
        Column("finished_at", "TIMESTAMP", "When it was over", unit="UTC"),
        Column("snapshot", "VARCHAR", "The published snapshot that it is of", nullable=False),
        Column("inserts", "BIGINT", "New rows", nullable=False, unit="count", minimum=0),
        Column("updates", "BIGINT", "Changed rows", nullable=False, unit="count", minimum=0),
        Column("deletes", "BIGINT", "Rows that are gone", nullable=False, unit="count", minimum=0),
        Column("attempts", "BIGINT", "How often it was tried", nullable=False, unit="count", minimum=0),
        Column(
            "status", "VARCHAR", "How it ended", nullable=False, allowed=("delivered", "stopped", "refused", "started")
        ),
        Column("error", "VARCHAR", "Why it was not delivered"),
    ),
)

DELIVERED_ROWS = Table(
    schema="ops",
    name="delivered_rows",
    description="What each destination has: a fingerprint of each row that it took, as it stood at publication",
    grain="one row per destination and row",
    key=("sync", "row_key"),
    columns=(
        Column("sync", "VARCHAR", "Name of the destination", nullable=False),
        Column("row_key", "VARCHAR", "The row's key", nullable=False),
        Column("row_hash", "VARCHAR", "Fingerprint of the row; empty where it is not known to have arrived", False),
        Column("delivered_at", "TIMESTAMP", "When it was acknowledged", nullable=False, unit="UTC"),
    ),
)


class DestinationError(ValueError):
    """A destination's file is wrong; the message names the file, the key and what is allowed there."""


class Destination(StrictModel):
    """Where something published is sent: `send` is segment:NAME, experiments, lift, insights, scores or engagement.

    `file` writes `path`, whole each time; `webhook` posts batches to `url`, signed with what `secret` leads to; `sql`
    writes the table `table` of the database that `url` names, or `secret` leads to. A secret is `env:NAME`.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
    owner: Annotated[str, Field(min_length=1)]
    description: str = ""
    send: str
    kind: Literal["file", "webhook", "sql"]
    mode: Literal["upsert", "mirror", "full"] = "upsert"
    path: str | None = None
    url: str | None = None
    table: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    secret: Annotated[str, Field(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    batch_rows: Annotated[int, Field(ge=1, le=10_000)] = 500
    allow_mass_delete: bool = False

    @field_validator("send")
    @classmethod
    def _can_be_sent(cls, value: str) -> str:
        kind, _, name = value.partition(":")
        if not (kind == "segment" and name) and value not in _SENDS:
            raise ValueError(f"{value!r} is not one of segment:NAME, {', '.join(_SENDS)}")
        return value

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Destination:
        if self.kind == "file":
            if self.path is None or Path(self.path).suffix.lstrip(".") not in _FORMATS:
                raise ValueError(f"path: a file needs a path that ends in {', '.join('.' + f for f in _FORMATS)}")
        elif self.kind == "webhook":
            if self.url is None:
                raise ValueError("url: a webhook needs the address that it posts to")
            parts = urlsplit(self.url)
            if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
                raise ValueError(f"url: {self.url!r} is neither https nor of this machine")
        elif self.table is None or (self.url is None) == (self.secret is None):
            raise ValueError(
                "a database needs a table, and its address as url (without a password) or as secret: env:NAME"
            )
        elif self.url is not None and urlsplit(self.url).password:
            raise ValueError("url: a password stands in it; give the address as secret: env:NAME")
        return self


@dataclass(frozen=True)
class Destinations:
    """All destinations by name, and what is wrong with the files of others."""

    by_name: dict[str, Destination]
    errors: tuple[str, ...] = ()


def load_destinations(folder: Path) -> Destinations:
    """Read every `*.yaml` and `*.yml` of a folder; a wrong one harms no other."""
    found: dict[str, Destination] = {}
    errors: list[str] = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]) if folder.is_dir() else []:
        try:
            destination = read_destination(path)
        except DestinationError as error:
            errors.append(str(error))
            continue
        if destination.name in found:
            errors.append(f"{path}: name: {destination.name!r} is the name of another destination as well")
        found.setdefault(destination.name, destination)
    return Destinations(found, tuple(errors))


def read_destination(path: Path) -> Destination:
    """The destination of one file; DestinationError where it is wrong."""
    try:
        given = parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DestinationError(f"{path}: {unreadable(path, error)}") from None
    if not isinstance(given, dict):
        raise DestinationError(f"{path}: must be keys and values, such as name: crm")
    try:
        return Destination.model_validate(given)
    except ValidationError as error:
        raise DestinationError(f"{path}: {next(explained(error, Destination, may_quote=False))}") from None
