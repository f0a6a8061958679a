"""Sources: how the columns of somebody else's log become the columns of the event contract.

One YAML file describes one source. The model of that file, its loading and the choice of the source of a raw log live
here. SQL does not: `quality_assets.domain.events.validation` turns a `Source` into expressions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator, model_validator

from quality_assets.contracts.events import EVENT_COLUMN_NAMES, STATUSES
from quality_assets.contracts.sources.model import (
    CsvOptions,
    Expectations,
    NoSourceMatches,
    SourceError,
    StrictModel,
    Text,
    TextMap,
    find_columns,
    glob_pattern,
    listed,
)

DEFAULT_SOURCE = "default"
TIME_COLUMNS = ("event_time", "received_at")
NUMBER_COLUMNS = ("latency_ms", "feedback_score")
REQUIRED_COLUMNS = ("event_time", "feature", "status")

TimeUnit = Literal["ns", "us", "ms", "s", "min"]


class ColumnMapping(StrictModel):
    """How one contract column is made.

    The value is that of the column `from` (several columns, padded with zeros to the widths of `pad`, are joined
    without a separator), looked up in `map` where there is one. `map` ignores case and takes numeric ranges such as
    `200-399`. `if_missing` wins over all of it: the value for the first of its columns that is blank. `default` stands
    in for a blank value, and for one that `map` does not know. `constant` needs no column.

    `unit` is that of the source: for a time, of the epoch; for a latency, of the duration (stored as ms).
    `format` is a strptime format and `zone` the IANA zone of a time without an offset. A local time that a zone skips
    is read with the offset from before the jump, so it moves forward by the jump; one that occurs twice is the later.
    """

    from_: str | tuple[str, ...] | None = Field(default=None, alias="from")
    pad: tuple[Annotated[int, Field(ge=0, le=32)], ...] | None = None
    unit: TimeUnit | None = None
    format: str | None = None
    zone: str | None = None
    map: TextMap | None = None
    if_missing: TextMap | None = None
    default: Text | None = None
    constant: Text | None = None
    clip_minimum: float | None = None

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f"{value!r} is not an IANA time zone such as Europe/Berlin") from None
        return value

    @model_validator(mode="after")
    def _coherent(self) -> ColumnMapping:
        if (self.from_ is None) == (self.constant is None) and not (self.if_missing and self.constant is not None):
            raise ValueError("needs exactly one of from and constant")
        if self.from_ == ():
            raise ValueError("from names no column")
        if self.pad is not None and len(self.pad) != len(self.from_columns):
            raise ValueError(f"pad has {len(self.pad)} widths for {len(self.from_columns)} columns")
        if self.format is not None and "%z" not in self.format and self.zone is None:
            raise ValueError("a format without %z needs a zone, such as UTC or Europe/Berlin")
        return self

    @property
    def from_columns(self) -> tuple[str, ...]:
        """The source columns that the value is made of, without those of `if_missing`."""
        if self.from_ is None:
            return ()
        return (self.from_,) if isinstance(self.from_, str) else self.from_

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Every source column that the value depends on."""
        return (*self.from_columns, *(self.if_missing or ()))


def _as_mapping(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


class Source(StrictModel):
    """One source of raw logs: where its files are, who answers for it, and how its columns map onto the contract."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    owner: Annotated[str, Field(min_length=1)]
    description: Annotated[str, Field(min_length=1)]
    paths: tuple[str, ...] = ()
    format: Literal["csv", "jsonl", "parquet", "auto"] = "auto"
    csv: CsvOptions = CsvOptions()
    starts_on: date
    allowed_future_skew_minutes: Annotated[int, Field(ge=0)] = 10
    null_values: tuple[str, ...] = ()
    columns: dict[str, Annotated[ColumnMapping, BeforeValidator(_as_mapping)]]
    properties_from: tuple[str, ...] = ()
    expectations: Expectations = Expectations()

    @field_validator("columns")
    @classmethod
    def _contract_columns(cls, columns: dict[str, ColumnMapping]) -> dict[str, ColumnMapping]:
        unknown = sorted(set(columns) - set(EVENT_COLUMN_NAMES))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is not one of {', '.join(EVENT_COLUMN_NAMES)}")
        missing = [name for name in REQUIRED_COLUMNS if name not in columns]
        if missing:
            raise ValueError(f"{', '.join(missing)} is not mapped; every source maps {', '.join(REQUIRED_COLUMNS)}")
        for name, mapping in columns.items():
            _check_column(name, mapping)
        return columns

    @model_validator(mode="after")
    def _one_properties(self) -> Source:
        if self.properties_from and "properties" in self.columns:
            raise ValueError("properties_from and columns.properties exclude each other")
        return self

    def day_ends_at(self, instant: datetime) -> datetime:
        """When the source's own calendar day of an instant ends, UTC's where it has no zone; both without zone, UTC."""
        zone = ZoneInfo(self.columns["event_time"].zone or "UTC")
        day = instant.replace(tzinfo=UTC).astimezone(zone).date()
        return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC).replace(tzinfo=None)

    @property
    def required_columns(self) -> tuple[str, ...]:
        """The source columns that a file of this source cannot do without."""
        needed: list[str] = []
        for name, mapping in self.columns.items():
            if name in REQUIRED_COLUMNS and mapping.default is None:
                needed += mapping.from_columns
            needed += mapping.if_missing or ()
        return tuple(dict.fromkeys(needed))

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Every source column that is read, in the order of the mapping."""
        named = [column for mapping in self.columns.values() for column in mapping.source_columns]
        return tuple(dict.fromkeys([*named, *self.properties_from]))


def _check_column(name: str, mapping: ColumnMapping) -> None:
    """Refuse options that mean nothing for this contract column."""
    options = {key for key in ("unit", "format", "zone", "clip_minimum") if getattr(mapping, key) is not None}
    if name in TIME_COLUMNS:
        allowed = {"unit", "format", "zone"}
        if mapping.unit == "min":
            raise ValueError(f"{name}.unit: 'min' is not one of ns, us, ms, s")
        if mapping.unit and mapping.format:
            raise ValueError(f"{name}: unit and format exclude each other")
    elif name in NUMBER_COLUMNS:
        allowed = {"clip_minimum"} | ({"unit"} if name == "latency_ms" else set())
    else:
        allowed = set()
    if options - allowed:
        raise ValueError(f"{name}: {', '.join(sorted(options - allowed))} means nothing for this column")
    if name == "status":
        values = [
            *(mapping.map or {}).values(),
            *(mapping.if_missing or {}).values(),
            mapping.default,
            mapping.constant,
        ]
        wrong = sorted({value for value in values if value is not None and value not in STATUSES})
        if wrong:
            raise ValueError(f"status: {', '.join(map(repr, wrong))} is not one of {', '.join(STATUSES)}")


@dataclass(frozen=True)
class Sources:
    """All sources of an installation, by name."""

    by_name: Mapping[str, Source]

    def __getitem__(self, name: str) -> Source:
        """The source called `name`; NoSourceMatches when there is none."""
        try:
            return self.by_name[name]
        except KeyError:
            raise NoSourceMatches(f"there is no source {name!r}; there are {', '.join(self.by_name)}") from None

    def __iter__(self) -> Any:
        return iter(self.by_name.values())

    def by_path(self, landing_path: str) -> Source | None:
        """The source whose path pattern matches; the longest pattern where several do."""
        hits = [
            (len(pattern), source.name)
            for source in self.by_name.values()
            for pattern in source.paths
            if glob_pattern(pattern).fullmatch(landing_path)
        ]
        return self.by_name[max(hits)[1]] if hits else None

    def match(self, landing_path: str, header: Sequence[str]) -> Source:
        """See `match_source`."""
        return match_source(self, landing_path, header)


def missing_columns(source: Source, header: Sequence[str]) -> tuple[str, ...]:
    """The required columns of `source` that `header` does not have."""
    found = find_columns(source.required_columns, header)
    return tuple(name for name in source.required_columns if name not in found)


def match_source(sources: Sources, path: str, header: Sequence[str]) -> Source:
    """The source of a file at `path` (relative to landing/) with these columns.

    A path pattern decides first; a file that no pattern claims goes to `default` when it has the contract's required
    columns. Raises NoSourceMatches with the missing columns.
    """
    claimed = sources.by_path(path)
    source = claimed or sources.by_name.get(DEFAULT_SOURCE)
    if source is None:
        raise NoSourceMatches(f"no path pattern of a source matches {path} and there is no source {DEFAULT_SOURCE!r}")
    missing = missing_columns(source, header)
    if not missing:
        return source
    why = "by its path" if claimed else "no path pattern matches"
    raise NoSourceMatches(
        f"no source matches ({why}): source {source.name!r} needs {listed(missing)}; the file has {listed(header)}"
    )


def load_sources(folder: Path) -> Sources:
    """All `*.yaml` files of a folder. Raises SourceError for the first that is wrong."""
    loaded: dict[str, Source] = {}
    for path in sorted(folder.glob("*.yaml")):
        source = load_source(path)
        if source.name in loaded:
            raise SourceError(f"{_shown(path)}: name: {source.name!r} is already the name of another source")
        loaded[source.name] = source
    return Sources(loaded)


def load_source(path: Path) -> Source:
    """One source. Raises SourceError that names the file, the key and the allowed values."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SourceError(f"{_shown(path)}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise SourceError(f"{_shown(path)}: holds no keys")
    try:
        return Source.model_validate(content)
    except ValidationError as error:
        lines = [f"{_shown(path)}: {_explain(item)}" for item in error.errors()]
        raise SourceError("\n".join(lines)) from error


def _shown(path: Path) -> str:
    """data/sources/name.yaml, wherever the installation is."""
    return "/".join(path.absolute().parts[-3:])


def _explain(error: Any) -> str:
    """One pydantic error as `key: what is wrong`."""
    steps = [str(step) for step in error["loc"] if not str(step).startswith("function-")]
    key = ".".join("from" if step == "from_" else step for step in steps)
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        expected = str(context["expected"]).replace(" or ", ", ").replace("'", "")
        message = f"{error['input']!r} is not one of {expected}"
    elif error["type"] == "extra_forbidden":
        parents: dict[str, type[BaseModel]] = {
            "columns": ColumnMapping,
            "csv": CsvOptions,
            "expectations": Expectations,
        }
        model = parents.get(steps[0], Source) if len(steps) > 1 else Source
        names = [field.alias or name for name, field in model.model_fields.items()]
        message = f"is not one of {', '.join(names)}"
    elif error["type"] == "value_error":
        message = str(context["error"])
    else:
        message = f"{error['msg'][0].lower()}{error['msg'][1:]}" + (
            "" if error["type"] == "missing" else f", not {error['input']!r}"
        )
    return f"{key}: {message}" if key else message
