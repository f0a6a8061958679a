"""How one column of the event contract is made from the columns of somebody else's log."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator, model_validator

from quality_assets.contracts.events import STATUSES
from quality_assets.contracts.sources.model import StrictModel, Text, TextMap, expression

TIME_COLUMNS = ("event_time", "received_at")
NUMBER_COLUMNS = ("latency_ms", "feedback_score")
REQUIRED_COLUMNS = ("event_time", "feature", "status")

ID_COLUMNS = ("event_id", "user_id", "session_id")
# A day: nobody waits longer, and -1 of an unsigned number is far above.
MAX_LATENCY_MS = 86_400_000.0

# What DuckDB's strptime knows; of it, what tells the year, and where in it.
_FORMAT_PART = re.compile(r"%-?[aAbBcdfgGHIjmMnpSuUVwWxXyYzZ%]")
_YEAR_PART, _SEASON_PART = re.compile(r"%-?[cGxyY]"), re.compile(r"%-?[bBcjmUVWx]")
_NOT_RE2 = re.compile(r"\(\?(?:<?[=!]|P=|>|\()|(?<!\\)(?:\\\\)*\\[1-9]|[*+?}]\+")

TimeUnit = Literal["ns", "us", "ms", "s", "min", "duration"]


class ColumnMapping(StrictModel):
    """How one contract column is made.

    The value is that of the column `from` (several columns, padded with zeros to the widths of `pad`, are joined
    without a separator), else that of the first column of `or_from` that has one, looked up in `map` where there is
    one. `null_values` are texts of these columns that stand for none, beside the source's own. `map` ignores case and
    takes numeric ranges such as `200-399`. `if_missing` wins over all of it: the value for the first of its columns
    that is blank. `default` stands in for a blank value, and for one that `map` does not know; with `others: keep`
    those stay as they are. `constant` needs no column. In JSON and in nested Parquet, `from` may be a path, such as
    `context.device.type`; see `quality_assets.contracts.sources.paths`. `extract` takes the part of the value that the
    first group of a regular expression (RE2) matches; a value that it does not match is absent. `fold` makes one of
    names that look alike: lower case, letters of usual width, without what is invisible.

    `unit` is that of the source: for a time, of the epoch; for a latency, of the duration (stored as ms), where
    `duration` reads texts that say theirs: `1.2s`, `350 ms`, `PT1.2S`, `00:00:01.2`. A latency may be what has passed
    `since` another column: both are times then, with `unit`, `format` and `zone` as times have them.
    `format` is a strptime format and `zone` the IANA zone of a time without an offset. A local time that a zone skips
    is read with the offset from before the jump, so it moves forward by the jump; one that occurs twice is the later.
    A fraction of a second behind %S, and a trailing UTC, are read whether or not the format has them.

    `decimal: ","` reads numbers as most of Europe writes them: `1.234,5`, where a point parts thousands; `decimal: "."`
    as spreadsheets in English do: `1,234.5`.

    `clip_minimum` lifts what is lower; a latency above `maximum`, or among `sentinels`, stands for no measurement and
    is quarantined. All three are in the unit of the column as it is stored (ms), sentinels in that of the source.
    """

    from_: str | tuple[str, ...] | None = Field(default=None, alias="from")
    pad: tuple[Annotated[int, Field(ge=0, le=32)], ...] | None = None
    unit: TimeUnit | None = None
    since: str | None = None
    format: str | None = None
    zone: str | None = None
    map: TextMap | None = None
    if_missing: TextMap | None = None
    default: Text | None = None
    constant: Text | None = None
    decimal: Literal[",", "."] | None = None
    clip_minimum: float | None = None
    maximum: Annotated[float, Field(gt=0)] | None = None
    sentinels: tuple[float, ...] | None = None
    extract: str | None = None
    or_from: Annotated[
        tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
    ] = ()
    null_values: tuple[Text, ...] = ()
    fold: bool = False
    others: Literal["keep", "drop"] = "drop"

    @field_validator("extract")
    @classmethod
    def _has_group(cls, value: str | None) -> str | None:
        if value is not None:
            groups = expression(value).groups
            if _NOT_RE2.search(value):
                raise ValueError(f"{value!r} looks ahead, behind or back at a group, which RE2 does not do")
            if groups < 1:
                raise ValueError(f"{value!r} has no group in parentheses, which says what to take")
        return value

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        unknown = _FORMAT_PART.sub("", value or "").partition("%")[1:]
        if unknown[0]:
            raise ValueError(
                f"{value!r}: {''.join(unknown)[:2]!r} is no part of a time, such as %Y, %m, %d, %H, %M, %S"
            )
        return value

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
        if self.or_from and self.from_ is None:
            raise ValueError("or_from needs a from, in whose place it is")
        if self.since is not None and len(self.from_columns) != 1:
            raise ValueError("since needs a from of one column, which is when it ended")
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
        others = () if self.since is None else (self.since,)
        return (*self.from_columns, *others, *self.or_from, *(self.if_missing or ()))


def as_mapping(value: Any) -> Any:
    """A column that is the one of that name, as it stands."""
    return {"from": value} if isinstance(value, str) else value


def _check_time(name: str, mapping: ColumnMapping) -> None:
    if mapping.unit in ("min", "duration"):
        raise ValueError(f"{name}.unit: {mapping.unit!r} is not one of ns, us, ms, s")
    if mapping.unit and mapping.format:
        raise ValueError(f"{name}: unit and format exclude each other")


def _check_date(name: str, format_: str) -> None:
    """Refuse a format of which no date can be read: strptime would put all of it into 1900."""
    if not _YEAR_PART.search(format_):
        raise ValueError(
            f"{name}: {format_!r} has no year, as syslog writes it. Put the logs of a year into a folder such as"
            " `year=2026`, whose name is a column: `from: [year, …]` with `%Y` before the rest"
        )
    if not _SEASON_PART.search(format_):
        raise ValueError(
            f"{name}: {format_!r} has no month and no day, such as %m and %d. Where the date is a column of its own,"
            " `from` names both; a folder such as `day=2026-02-01` is a column, too"
        )


def check_column(name: str, mapping: ColumnMapping) -> None:
    """Refuse options that mean nothing for this contract column."""
    options = {
        key
        for key in ("unit", "since", "format", "zone", "decimal", "clip_minimum", "maximum", "sentinels")
        if getattr(mapping, key) is not None
    }
    if name in TIME_COLUMNS:
        allowed = {"unit", "format", "zone"}
        _check_time(name, mapping)
        if mapping.format is not None:
            _check_date(name, mapping.format)
    elif name in NUMBER_COLUMNS:
        allowed = {"decimal", "clip_minimum"} | ({"unit", "maximum", "sentinels"} if name == "latency_ms" else set())
        if name == "latency_ms" and mapping.since is not None:
            allowed |= {"since", "format", "zone"}
            _check_time(name, mapping)
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
