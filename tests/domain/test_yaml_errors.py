"""What is wrong with a file of YAML, in words: of every kind of error, with and without the values that it has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from quality_assets.contracts.sources.as_written import parsed
from quality_assets.contracts.yaml_errors import explained, unreadable


class _Column(BaseModel):
    model_config = ConfigDict(extra="forbid")
    from_: str = Field(default="x", alias="from")
    unit: Literal["ms", "s"] = "ms"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    secret: Annotated[str, Field(pattern=r"^env:.+$")] = "env:X"
    columns: dict[str, _Column] = {}
    paths: tuple[str, ...] = ()
    days: int = 1

    @field_validator("days")
    @classmethod
    def _is_not_much(cls, value: int) -> int:
        if value > 9:
            raise ValueError(f"{value} are more than 9")
        return value


def _said(content: dict[str, Any], *, may_quote: bool = True) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        _File.model_validate({"name": "a", **content})
    return list(explained(raised.value, _File, may_quote=may_quote))


@pytest.mark.parametrize(
    ("content", "quoting", "not_quoting"),
    [
        ({"colour": 1}, "colour: is not one of name, secret, columns, paths, days", None),
        ({"day": 1}, "day: is not one of name, secret, columns, paths, days; did you mean days?", None),
        ({"columns": {"t": {"form": "x"}}}, "columns.t.form: is not one of from, unit; did you mean from?", None),
        ({"columns": {"t": {"from": 1}}}, "columns.t.from: input should be a valid string, not 1",
         "columns.t.from: input should be a valid string"),
        ({"columns": {"t": {"unit": "h"}}}, "columns.t.unit: 'h' is not one of ms, s", None),
        ({"columns": "t"}, "columns: holds keys and their values, not 't'", "columns: holds keys and their values"),
        ({"columns": {"t": 4}}, "columns.t: holds keys and their values, not 4",
         "columns.t: holds keys and their values"),
        ({"paths": "*.csv"}, "paths: is a list, such as [*.csv]", "paths: is a list"),
        ({"paths": 4}, "paths: is a list", None),
        ({"name": "A b"}, "name: 'A b' is not written in small letters, digits and underscores", None),
        ({"secret": "hunter2"}, "secret: string should match pattern '^env:.+$', not 'hunter2'",
         "secret: string should match pattern '^env:.+$'"),
        ({"days": 10}, "days: 10 are more than 9", None),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_its_key_and_what_is_allowed(
    content: dict[str, Any], quoting: str, not_quoting: str | None
) -> None:
    assert _said(content) == [quoting]
    assert _said(content, may_quote=False) == [not_quoting or quoting]


def test_all_that_is_wrong_is_told_and_what_is_missing() -> None:
    with pytest.raises(ValidationError) as raised:
        _File.model_validate({"days": "many"})
    assert list(explained(raised.value, _File)) == [
        "name: is missing",
        "days: input should be a valid integer, unable to parse string as an integer, not 'many'",
    ]


def _unreadable(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises((yaml.YAMLError, UnicodeDecodeError)) as raised:
        parsed(path.read_text(encoding="utf-8"))
    return unreadable(path, raised.value)


def test_what_is_no_yaml_is_told_with_its_place_and_how_to_mend_it(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    tab = _unreadable(path, b"columns:\n\ta: b\n")
    assert tab.startswith("cannot be read as YAML: while scanning")
    assert tab.endswith("at line 2, column 1; YAML indents by spaces, not by tabs")
    assert _unreadable(path, b"a: [\n").endswith("at line 2, column 1"), "nothing to mend it by shows"
    assert _unreadable(path, "a: é".encode("latin-1")).endswith("; save it as UTF-8")
