"""What is said of a dataset, by YAML in `data/datasets/`, by a command or by the API: the same keys, checked alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from quality_assets.contracts.sources.as_written import parsed
from quality_assets.contracts.sources.model import SourceError, StrictModel
from quality_assets.contracts.yaml_errors import explained, unreadable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
CADENCES = {"hourly": 1.0, "daily": 24.0, "weekly": 168.0, "monthly": 744.0}
_CADENCE = re.compile(r"(\d+(?:\.\d+)?)\s*(h|hours?|d|days?)")


class Thresholds(StrictModel):
    """When a batch fails: below a score, or with more alerts than so many; None asks neither."""

    score: Annotated[float, Field(ge=0, le=1)] | None = 0.8
    alerts: Annotated[int, Field(ge=0)] | None = 0
    missing_share: Annotated[float, Field(ge=0, le=1)] | None = None
    rows_at_least: Annotated[int, Field(ge=0)] | None = None


class DatasetSource(StrictModel):
    """One dataset: where its batches come from, and what its owner says of it."""

    name: str
    path: str | None = None
    """A file, a folder or a glob, from the data root where it does not begin with a slash; each file is a batch."""
    query: str | None = None
    secret: str | None = None
    """env:NAME or file:PATH, which holds the address of the database."""
    table: str | None = None
    """A table of the DuckDB file at `path`, or of the published snapshot where there is no path."""
    key: tuple[str, ...] = ()
    time: str | None = None
    description: str = ""
    owner: str = ""
    team: str = ""
    cadence: str | None = None
    thresholds: Thresholds = Thresholds()
    keep_examples: bool = True

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a name: letters, digits, _ . and -, 80 at most, no such sign first")
        return value

    @field_validator("key", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("secret")
    @classmethod
    def _is_reference(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"(env|file):.+", value):
            raise ValueError("a secret is referred to as env:NAME or file:PATH, and never written here")
        return value

    @field_validator("cadence")
    @classmethod
    def _is_cadence(cls, value: str | None) -> str | None:
        if value is not None and cadence_hours(value) is None:
            raise ValueError(f"{value!r} is not one of {', '.join(CADENCES)}, or a time such as 6h or 3 days")
        return value

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> DatasetSource:
        if not (self.path or self.query or self.table):
            raise ValueError("one of path, query and table says where it comes from")
        if self.query and self.path:
            raise ValueError("path and query exclude each other")
        if self.query and not self.secret:
            raise ValueError("a query needs a secret, env:NAME or file:PATH, that holds the database's address")
        return self

    @property
    def kind(self) -> str:
        """What it comes from: files, sql, duckdb or snapshot."""
        if self.query:
            return "sql"
        if self.table:
            return "duckdb" if self.path else "snapshot"
        return "files"


def cadence_hours(text: str) -> float | None:
    """How many hours lie between two batches; None for what is no cadence."""
    if text in CADENCES:
        return CADENCES[text]
    found = _CADENCE.fullmatch(text.strip())
    if not found or not float(found.group(1)):
        return None
    return float(found.group(1)) * (24 if found.group(2).startswith("d") else 1)


@dataclass(frozen=True)
class DatasetFiles:
    """The datasets that YAML files register, with the keys that each says, and what is wrong with other files."""

    datasets: dict[str, tuple[DatasetSource, tuple[str, ...]]]
    errors: tuple[str, ...] = ()


def load_datasets(folder: Path) -> DatasetFiles:
    """All `*.yaml` and `*.yml` files of a folder; one that is wrong registers nothing and is named."""
    found: dict[str, tuple[DatasetSource, tuple[str, ...]]] = {}
    errors = []
    for path in sorted(p for kind in ("*.yaml", "*.yml") for p in folder.glob(kind) if not p.name.startswith(".")):
        try:
            source, keys = load_dataset(path)
            if source.name in found:
                raise SourceError(f"data/datasets/{path.name}: name: {source.name!r} is already another dataset's")
        except SourceError as error:
            errors.append(str(error))
        else:
            found[source.name] = (source, keys)
    return DatasetFiles(found, tuple(errors))


def load_dataset(path: Path) -> tuple[DatasetSource, tuple[str, ...]]:
    """One dataset, and the keys that its file has. Raises SourceError that names the file and the key."""
    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SourceError(f"data/datasets/{path.name}: {unreadable(path, error)}") from error
    if not isinstance(content, dict):
        raise SourceError(f"data/datasets/{path.name}: holds no keys")
    return make_dataset({"name": path.stem, **content}, f"data/datasets/{path.name}"), tuple(content)


def make_dataset(content: dict[str, Any], where: str) -> DatasetSource:
    """A dataset from its keys. Raises SourceError that says where which key is wrong."""
    try:
        return DatasetSource.model_validate(content)
    except ValidationError as error:
        wrong = explained(error, DatasetSource, may_quote=False)
        raise SourceError("\n".join(f"{where}: {line}" for line in wrong)) from None
