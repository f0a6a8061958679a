"""The request model of a contract: what may be asked, by field, type and bound; the same that the training gate holds.

Strict: no text for a number, no truth value for a number, no field too many; NaN and infinity are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from quality_assets.contracts.learning import LearningColumn, LearningContract

_LONGEST_NAME = 200


class RefusedRowError(ValueError):
    """A row is not what the contract asks for. `problems`: for each field what is wrong, without the value itself."""

    def __init__(self, problems: Sequence[Mapping[str, str]]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(f"{each['field']}: {each['why']} (given: {each['given']})" for each in problems))


@lru_cache(maxsize=32)
def request_model(contract: LearningContract, inputs: tuple[str, ...]) -> type[BaseModel]:
    """The model of one row with the inputs that a version learnt from; a nullable input may be left out."""
    fields: dict[str, Any] = {}
    for name in inputs:
        column = contract.column(name)
        kind, more = _type(column)
        told = Field(description=column.description, json_schema_extra={"unit": column.unit} if column.unit else None)
        if column.nullable:
            fields[name] = (Annotated[kind, more] | None, Field(default=None, **_about(column)))
        else:
            fields[name] = (Annotated[kind, more], told)
    config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, title=f"A row of {contract.title}")
    model: type[BaseModel] = create_model(f"{contract.name.title()}Row", __config__=config, **fields)
    return model


def _about(column: LearningColumn) -> dict[str, Any]:
    unit = {"unit": column.unit} if column.unit else None
    return {"description": column.description, "json_schema_extra": unit}


def _type(column: LearningColumn) -> tuple[Any, Any]:
    if not column.is_category:
        return float, Field(ge=column.minimum, le=column.maximum)
    if column.allowed is not None:
        return Literal[column.allowed], Field()
    return str, Field(min_length=1, max_length=_LONGEST_NAME)


def checked_row(contract: LearningContract, inputs: tuple[str, ...], row: object) -> dict[str, Any]:
    """A row as the contract has it. Raises RefusedRowError: field, bound and the class of what was given."""
    try:
        return request_model(contract, inputs).model_validate(row).model_dump()
    except ValidationError as error:
        raise RefusedRowError(problems_of(error)) from None


def problems_of(error: ValidationError) -> list[dict[str, str]]:
    """What is wrong with a row, field by field: what it must be, and the class of what was given."""
    return [_problem(each) for each in error.errors(include_url=False)]


def _problem(error: Mapping[str, Any]) -> dict[str, str]:
    field = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("constrained", "function")))
    why = "It should be an object of inputs by their names" if error["type"] == "model_type" else str(error["msg"])
    return {"field": field or "the row", "why": why, "given": _class(error["type"], error["input"])}


def _class(kind: str, value: object) -> str:
    """Of what was given, its class and not itself, which may be anybody's data."""
    if kind == "missing":
        return "nothing"
    names = {
        bool: "a truth value",
        str: "a text",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "nothing" if value is None else "something else")
