"""Sources: how the columns of somebody else's log become the columns of the event contract.

One YAML file describes one source. The model of that file, its loading and the choice of the source of a raw log live
here. SQL does not: `quality_assets.domain.events.validation` turns a `Source` into expressions.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from quality_assets.contracts.events import EVENT_COLUMN_NAMES
from quality_assets.contracts.sources.as_written import parsed
from quality_assets.contracts.sources.columns import REQUIRED_COLUMNS, ColumnMapping, as_mapping, check_column
from quality_assets.contracts.sources.model import (
    CsvOptions,
    Expectations,
    NoSourceMatches,
    SourceDisabled,
    SourceError,
    StrictModel,
    find_columns,
    glob_pattern,
    listed,
)
from quality_assets.contracts.yaml_errors import explained, unreadable

DEFAULT_SOURCE = "default"

_BEFORE_LANDING = re.compile(r"^(?:\.{0,2}/|(?:data/)?landing/)+")


class Source(StrictModel):
    """One source of raw logs: where its files are, who answers for it, and how its columns map onto the contract."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    owner: Annotated[str, Field(min_length=1)]
    description: Annotated[str, Field(min_length=1)]
    paths: tuple[str, ...] = ()
    format: Literal["csv", "jsonl", "parquet", "auto"] = "auto"
    csv: CsvOptions = CsvOptions()
    kind: Literal["users", "probe"] = "users"
    """A probe asks at a rhythm of its own: how many events there are is no metric of the product."""
    starts_on: date
    allowed_future_skew_minutes: Annotated[int, Field(ge=0)] = 10
    on_repeat: Literal["keep", "replace"] = "keep"
    null_values: tuple[str, ...] = ()
    columns: dict[str, Annotated[ColumnMapping, BeforeValidator(as_mapping)]]
    properties_from: tuple[str, ...] = ()
    explode: str | None = None
    """The path of a JSON array of which each element is a row; arrays on the way to it are taken apart as well."""
    expectations: Expectations = Expectations()

    @field_validator("paths")
    @classmethod
    def _within_landing(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in paths:
            steps = pattern.split("/")
            if steps[0] in ("", "landing") or pattern.startswith("data/landing/") or {".", ".."} & set(steps):
                raise ValueError(f"{pattern!r} claims no file: paths begin in the landing zone, as web/** or web/*.csv")
            if "\\" in pattern:
                raise ValueError(f"{pattern!r} claims no file: folders are parted by /")
        return paths

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
            check_column(name, mapping)
        return columns

    @model_validator(mode="after")
    def _one_properties(self) -> Source:
        if self.properties_from and "properties" in self.columns:
            raise ValueError("properties_from and columns.properties exclude each other")
        return self

    @cached_property
    def version(self) -> str:
        """A fingerprint of what the YAML means for rows: files that were read by another version are read anew.

        Who answers for the source, what is promised of it, which paths it claims and who asks change no row.
        """
        meaning = self.model_dump(
            mode="json",
            by_alias=True,
            exclude_defaults=True,
            exclude={"owner", "description", "expectations", "paths", "kind"},
        )
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]

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


@dataclass(frozen=True)
class DisabledSource:
    """A source whose file is wrong: what it is called and which logs it claims, as far as that can be told, and why."""

    name: str
    paths: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Sources:
    """All sources of an installation, by name, and those that are switched off since their files are wrong."""

    by_name: Mapping[str, Source]
    disabled: tuple[DisabledSource, ...] = ()
    added: frozenset[str] = frozenset()
    """Those that come with the product: they claim what no other does."""

    @property
    def errors(self) -> tuple[str, ...]:
        """What is wrong with the source files: one text each, which names the file, the key and what is allowed."""
        claims: dict[str, list[str]] = {}
        for source in self.by_name.values():
            for pattern in source.paths if source.name not in self.added else ():
                claims.setdefault(pattern, []).append(repr(source.name))
        shared = (f"{' and '.join(names)}: paths: both claim {p!r}" for p, names in claims.items() if len(names) > 1)
        return (*(source.reason for source in self.disabled), *shared)

    def __getitem__(self, name: str) -> Source:
        """The source called `name`; SourceDisabled where it is switched off, NoSourceMatches when there is none."""
        if name in self.by_name:
            return self.by_name[name]
        for source in self.disabled:
            if source.name == name:
                raise _disabled(source)
        raise NoSourceMatches(f"there is no source {name!r}; there are {', '.join(self.by_name)}")

    def __iter__(self) -> Any:
        return iter(self.by_name.values())

    def by_path(self, landing_path: str) -> Source | None:
        """The source whose path pattern matches; one's own, then the longest pattern, where several do.

        Raises SourceDisabled where that source is switched off, or where another one claims the file as well.
        """
        known: list[Source | DisabledSource] = [*self.by_name.values(), *self.disabled]
        hits = [
            ((source.name not in self.added, len(pattern), isinstance(source, Source)), source.name, source)
            for source in known
            for pattern in source.paths
            if glob_pattern(pattern).fullmatch(landing_path)
        ]
        if not hits:
            return None
        first = max(rank for rank, *_ in hits)
        found = sorted({name: source for rank, name, source in hits if rank == first}.items())
        if len(found) > 1:
            raise SourceDisabled(
                f"it waits: {listed([repr(name) for name, _ in found])} claim it alike by their paths; "
                "make the pattern of one of these sources longer, or take it out"
            )
        source = found[0][1]
        if isinstance(source, DisabledSource):
            raise _disabled(source)
        return source

    def expected(self, landing_path: str, named: str | None = None) -> Source | None:
        """The source that a file is read by: the one it is said to be of, or that its path decides.

        None without, and where that source is switched off.
        """
        if named is not None:
            return self.by_name.get(named)
        try:
            return self.by_path(landing_path) or self.by_name.get(DEFAULT_SOURCE)
        except SourceDisabled:
            return None

    def match(self, landing_path: str, header: Sequence[str]) -> Source:
        """See `match_source`."""
        return match_source(self, landing_path, header)


def _disabled(source: DisabledSource) -> SourceDisabled:
    return SourceDisabled(
        f"it waits: source {source.name!r} is off until its file is mended: {'; '.join(source.reason.splitlines())}"
    )


def missing_columns(source: Source, header: Sequence[str]) -> tuple[str, ...]:
    """The required columns of `source` that `header` does not have."""
    found = find_columns(source.required_columns, header)
    others = {column: mapping.or_from for mapping in source.columns.values() for column in mapping.from_columns}
    missing = [name for name in source.required_columns if name not in found]
    return tuple(name for name in missing if not find_columns(others.get(name, ()), header))


def absent_columns(source: Source, present: Collection[str]) -> tuple[str, ...]:
    """The contract columns that `source` makes from columns that a file with those in `present` does not have."""
    found = find_columns(source.source_columns, tuple(present))
    return tuple(
        name
        for name, mapping in source.columns.items()
        if mapping.from_columns
        and any(column not in found for column in mapping.from_columns)
        and not any(column in found for column in mapping.or_from)
    )


def match_source(sources: Sources, path: str, header: Sequence[str]) -> Source:
    """The source of a file at `path` (relative to landing/) with these columns.

    A path pattern decides first; a file that no pattern claims goes to `default` when it has the contract's required
    columns. Raises NoSourceMatches with the missing columns.
    """
    claimed = sources.by_path(path)
    source = claimed or sources.by_name.get(DEFAULT_SOURCE)
    if source is None:
        if any(off.name == DEFAULT_SOURCE for off in sources.disabled):
            return sources[DEFAULT_SOURCE]
        raise NoSourceMatches(f"no path pattern of a source matches {path} and there is no source {DEFAULT_SOURCE!r}")
    missing = missing_columns(source, header)
    if not missing:
        return source
    why = "by its path" if claimed else "no path pattern matches"
    raise NoSourceMatches(
        f"no source matches ({why}): source {source.name!r} needs {listed(missing)}; the file has {listed(header)}."
        f" {_way_on(claimed, is_foreign=len(missing) == len(source.required_columns))}"
    )


def _way_on(claimed: Source | None, *, is_foreign: bool) -> str:
    """What to do about a file that lacks columns; `is_foreign`: all that an event must have."""
    if claimed is not None:
        return f"Mend `columns` in the YAML of source {claimed.name!r}, or `paths` if the file is not of it"
    way_on = "Say which source it is of (`quality ingest --source`), or describe it in a YAML in the folder `sources`"
    if is_foreign:
        way_on += ". A table that is no log of events is watched by `quality dataset add`: move it out of landing/"
    return way_on


def load_sources(folders: Path | Sequence[Path], earliest: date | None = None) -> Sources:
    """All `*.yaml` and `*.yml` files of a folder; one that is wrong switches off its own source alone.

    Of further folders, the sources whose names the ones before do not have. A source that starts before `earliest`,
    the first date that can be built, is wrong too.
    """
    if isinstance(folders, Path):
        return _of_folder(folders, earliest)
    own, *others = [_of_folder(folder, earliest) for folder in folders]
    for other in others:
        taken = {*own.by_name, *(off.name for off in own.disabled)}
        more = {source.name: source for source in other if source.name not in taken}
        off = tuple(source for source in other.disabled if source.name not in taken)
        own = Sources({**own.by_name, **more}, own.disabled + off, own.added | {*more, *(s.name for s in off)})
    return own


def _of_folder(folder: Path, earliest: date | None) -> Sources:
    loaded: dict[str, Source] = {}
    disabled: list[DisabledSource] = []
    for path in sorted(p for kind in ("*.yaml", "*.yml") for p in folder.glob(kind) if not p.name.startswith(".")):
        try:
            source = load_source(path)
            if source.name in loaded:
                raise SourceError(f"{_shown(path)}: name: {source.name!r} is already the name of another source")
            if earliest is not None and source.starts_on < earliest:
                raise SourceError(
                    f"{_shown(path)}: starts_on: {source.starts_on} lies before {earliest}, the first date that can be"
                    " built. Raise starts_on, or lower QUALITY_EARLIEST_DATE"
                )
        except SourceError as error:
            disabled.append(_switched_off(path, str(error)))
        else:
            loaded[source.name] = source
    return Sources(loaded, tuple(disabled))


def _switched_off(path: Path, reason: str) -> DisabledSource:
    """What can be told of the source of a wrong file: by its content, or else by the name of the file."""
    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        content = None
    said = content if isinstance(content, dict) else {}
    name = said.get("name") if isinstance(said.get("name"), str) else path.stem
    paths = said.get("paths")
    is_list = isinstance(paths, list) and all(isinstance(pattern, str) for pattern in paths)
    if not is_list or not paths:
        return DisabledSource(str(name), (f"{name}/**",), reason)
    # What is meant by a pattern that claims nothing as it stands, so that these logs wait as well.
    meant = tuple(_BEFORE_LANDING.sub("", pattern.replace("\\", "/")) for pattern in paths)
    return DisabledSource(str(name), meant, reason)


def load_source(path: Path) -> Source:
    """One source. Raises SourceError that names the file, the key and the allowed values."""
    try:
        source = _source_of(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SourceError(f"{_shown(path)}: {unreadable(path, error)}") from error
    except ValidationError as error:
        lines = [f"{_shown(path)}: {line}" for line in explained(error, Source)]
        raise SourceError("\n".join(lines)) from error
    if source is None:
        raise SourceError(f"{_shown(path)}: holds no keys")
    return source


@lru_cache(maxsize=1024)
def _source_of(text: str) -> Source | None:
    """What a YAML says, if it says anything. Kept: whatever reads logs asks for all sources, time and again."""
    content = parsed(text)
    return Source.model_validate(content) if isinstance(content, dict) else None


def _shown(path: Path) -> str:
    """data/sources/name.yaml, wherever the installation is."""
    return "/".join(path.absolute().parts[-3:])
