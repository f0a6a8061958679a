"""What the source files of every kind share: strict fields, patterns, errors that name file and key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator


class SourceError(ValueError):
    """A source file is wrong; the message names the file, the key and what is allowed there."""


class NoSourceMatches(ValueError):  # noqa: N818
    """No source can read a raw log; the message says which columns are missing."""


def _text(value: Any) -> Any:
    """YAML's booleans and numbers as the text that a log would hold."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def expression(value: str) -> re.Pattern[str]:
    """A regular expression; ValueError, which names it, where it is none."""
    try:
        return re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from None


def _texts(value: Any) -> Any:
    return {_text(key): _text(item) for key, item in value.items()} if isinstance(value, dict) else value


Text = Annotated[str, BeforeValidator(_text)]


TextMap = Annotated[dict[str, str], BeforeValidator(_texts)]


class SourceDisabled(NoSourceMatches):
    """The source that a raw log belongs to is switched off, since its own file is wrong; the log waits."""


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# Stands for no quote at all: a control character (DLE) that text does not hold.
NO_QUOTE = "\x10"


class CsvOptions(StrictModel):
    """How a CSV of this source is written; whatever is absent is found out from the file."""

    delimiter: Annotated[str, Field(min_length=1)] | None = None
    quote: Annotated[str, BeforeValidator(lambda value: value or NO_QUOTE), Field(max_length=1)] = '"'
    """The sign around values that hold a delimiter; empty where none is, and a quote is a sign like any other."""
    escape: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The sign before a quote within a value, where the quote does not stand there twice; with an empty `quote`, before
    a delimiter or a line end within one."""
    encoding: str | None = None
    comment: Annotated[str, Field(min_length=1)] | None = None
    """Lines that begin so are no records; of JSON lines, too, as the actions of an Elasticsearch bulk file."""
    header: tuple[str, ...] | None = None
    """The columns of a file that has no line for them."""
    brackets: bool = False
    """Whether values may stand in square brackets, as times do in the logs of web servers."""
    ignore_more: bool = False
    """Whether values beyond the last column are let go, where a format grows at its end."""
    pattern: str | None = None
    """A regular expression of a line, where no delimiter parts it: each named group is a column."""

    @field_validator("delimiter")
    @classmethod
    def _is_one_sign(cls, value: str | None) -> str | None:
        if value is not None and len(value) > 1:
            raise ValueError(
                f"{value!r} is more than one sign; what such a thing parts, a `pattern` reads:"
                f" '^(?P<first>.*?){re.escape(value)}(?P<second>.*)$'"
            )
        return value

    @field_validator("pattern")
    @classmethod
    def _has_named_groups(cls, value: str | None) -> str | None:
        if value is not None and not expression(value).groupindex:
            raise ValueError(f"{value!r} has no named group, such as (?P<status>[a-z]+), which makes a column")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                "".encode(value)
            except LookupError:
                raise ValueError(f"{value!r} is not an encoding, such as utf-8, utf-16, latin-1 or cp1252") from None
        return value


class Expectations(StrictModel):
    """What its owner promises of a source; checks compare arrivals with it."""

    min_rows_per_day: Annotated[int, Field(ge=0)] | None = None
    max_quarantined_share: Annotated[float, Field(ge=0, le=1)] | None = None
    max_silence_hours: Annotated[float, Field(gt=0)] | None = None


@lru_cache(maxsize=256)
def glob_pattern(glob: str) -> re.Pattern[str]:
    """A glob as a regular expression: `**` crosses folders, `*` and `?` do not."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(parts.get(token, re.escape(token)) for token in tokens), re.DOTALL)


def find_columns(names: Iterable[str], header: Sequence[str]) -> dict[str, int]:
    """Where each of `names` stands in `header`: exact names first, then names that differ in case or outer blanks."""
    exact: dict[str, int] = {}
    loose: dict[str, int] = {}
    for index, column in enumerate(header):
        exact.setdefault(column, index)
        loose.setdefault(column.strip().casefold(), index)
    found = {name: exact.get(name, loose.get(name.strip().casefold())) for name in names}
    return {name: index for name, index in found.items() if index is not None}


def repeated_columns(names: Iterable[str], header: Sequence[str]) -> dict[str, list[int]]:
    """Which of `names` more than one column of `header` could be, and the places of those, from 0.

    A column of exactly that name goes before those that differ in case or outer blanks.
    """
    places = {}
    for name in names:
        exact = [index for index, column in enumerate(header) if column == name]
        folded = name.strip().casefold()
        places[name] = exact or [i for i, column in enumerate(header) if column.strip().casefold() == folded]
    return {name: found for name, found in places.items() if len(found) > 1}


def listed(names: Sequence[str], limit: int = 20) -> str:
    shown = ", ".join(name[:60] for name in names[:limit]).encode("utf-8", "backslashreplace").decode()
    return (shown or "no columns") + (f" and {len(names) - limit} more" if len(names) > limit else "")
