"""What is sent to the server of models, read strictly: what is wrong is told by field, bound and class of value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from quality_assets.domain.models.learning.requests import problems_of
from quality_assets.serve.json_keys import RepeatedKeys, with_repeats

MOST_ROWS = 1_000
_MOST_TOLD = 20


class RefusedError(Exception):
    """A request that is not answered: status, sentence, and for each field what is wrong."""

    def __init__(self, status: int, detail: str, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, list(errors)


def read_json(body: bytes) -> Any:
    """The value of a body. NaN and numbers too large are read, so that what refuses them can name their field.

    An object that has a key twice is refused (422): it asks for two things, and would be answered for one of them.
    """
    value = with_repeats(body, _value(body))
    repeated = next(_repeats(value), None)
    if repeated is not None:
        why = {"field": repeated, "why": "it is there twice", "given": "two values"}
        raise RefusedError(422, f"{repeated}: it is there twice.", [why])
    return value


def _value(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(422, "What was sent is no JSON.") from None


def _repeats(value: Any) -> Iterator[str]:
    if type(value) is RepeatedKeys:
        yield value.first
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, dict | list):
                yield from _repeats(each)


def read_row(row_type: type[BaseModel], given: Any) -> dict[str, Any]:
    """A row as the contract has it. Raises RefusedError (422)."""
    try:
        return row_type.model_validate(given).__dict__
    except (ValidationError, OverflowError) as error:
        errors = _problems(error)
        raise RefusedError(422, _sentence(errors), errors) from None


def read_rows(row_type: type[BaseModel], given: Any) -> list[dict[str, Any]]:
    """From one to a thousand rows: a list, or an object with `rows`. Raises RefusedError (422, 413)."""
    rows = given.get("rows") if isinstance(given, dict) and set(given) == {"rows"} else given
    if not isinstance(rows, list):
        raise RefusedError(422, 'A batch is a list of rows, or {"rows": [...]}.')
    if not rows:
        raise RefusedError(422, "The batch has no row.")
    if len(rows) > MOST_ROWS:
        raise RefusedError(413, f"The batch has {len(rows):,} rows; up to {MOST_ROWS:,} are taken at once.")
    try:
        # All at once takes two thirds of the time of one by one, which tells which of them is wrong.
        return [each.__dict__ for each in _list_of(row_type).validate_python(rows)]
    except (ValidationError, OverflowError):
        pass
    found, errors = [], []
    for at, each in enumerate(rows):
        try:
            found.append(row_type.model_validate(each).__dict__)
        except (ValidationError, OverflowError) as error:
            errors += [{"row": at, **problem} for problem in _problems(error)]
            if len(errors) >= _MOST_TOLD:
                break
    if errors:
        first = f"row {errors[0]['row']}: {_sentence(errors)}"
        raise RefusedError(422, first, errors[:_MOST_TOLD])
    return found


@lru_cache(maxsize=64)
def _list_of(row_type: type[BaseModel]) -> TypeAdapter[list[BaseModel]]:
    return TypeAdapter(list[row_type])  # type: ignore[valid-type]


def _problems(error: ValidationError | OverflowError) -> list[dict[str, Any]]:
    if isinstance(error, OverflowError):
        return [{"field": "the row", "why": "a number is too large", "given": "a number"}]
    return [dict(each) for each in problems_of(error)]


def _sentence(errors: Sequence[dict[str, Any]]) -> str:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    first = errors[0]
    return f"{first['field']}: {first['why']} (given: {first['given']}){more}"
