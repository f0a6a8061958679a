"""The contract of a model that somebody brought, learnt from a sample of its rows: names, types, ranges, known values.

Plain data, kept beside the model as JSON. A row is held to names and types; what lies outside what the sample showed
is answered, and told to lie outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from quality_assets.domain.models.learning.requests import RefusedRowError, problems_of

Kind = Literal["classification", "regression"]
Contract = dict[str, Any]
LEAST_ROWS, MOST_ROWS, MOST_INPUTS, MOST_VALUES = 10, 50_000, 500, 200
_LONGEST_TEXT = 200


class BadSampleError(ValueError):
    """A contract cannot be learnt from a sample: one sentence that names the column and why."""


def inputs_of(columns: Sequence[str], wanted: Sequence[str] | None, count: int, target: str | None) -> list[str]:
    """The sample's columns that a model takes, in its order. `wanted`: their names where it knows them.

    Raises BadSampleError where a column is missing, none of the model's, or there are more or fewer than `count`.
    """
    if target is not None and target not in columns:
        raise BadSampleError(f"the sample has no column {target!r}, which was named as the target")
    others = [name for name in columns if name != target]
    if wanted is None:
        if len(others) != count:
            raise BadSampleError(f"the model takes {count} inputs, and the sample has {len(others)} columns for them")
        return others
    missing = [name for name in wanted if name not in others]
    if missing:
        raise BadSampleError(f"the sample lacks what the model takes: {', '.join(missing[:20])}")
    extra = [name for name in others if name not in wanted]
    if extra:
        raise BadSampleError(f"the sample has columns that the model does not take: {', '.join(extra[:20])}")
    return list(wanted)


def target_of(columns: Sequence[str], wanted: Sequence[str] | None, count: int, named: str | None) -> str | None:
    """The sample's target: the one that was named, or the only column that is no input; None where it has none."""
    if named is not None:
        return named
    if wanted is not None:
        extra = [name for name in columns if name not in wanted]
        return extra[0] if len(extra) == 1 else None
    return columns[-1] if len(columns) == count + 1 else None


def learn_contract(sample: pd.DataFrame, inputs: Sequence[str], target: str | None, kind: Kind) -> Contract:
    """What a sample says of a model's rows. Raises BadSampleError."""
    if not LEAST_ROWS <= len(sample) <= MOST_ROWS:
        raise BadSampleError(f"the sample has {len(sample):,} rows; {LEAST_ROWS} to {MOST_ROWS:,} are taken")
    if not 1 <= len(inputs) <= MOST_INPUTS:
        raise BadSampleError(f"the model takes {len(inputs):,} inputs; 1 to {MOST_INPUTS} are taken")
    return {
        "kind": kind,
        "target": target,
        "rows": len(sample),
        "inputs": [_input(name, sample[name]) for name in inputs],
    }


def _input(name: str, values: pd.Series) -> dict[str, Any]:
    known = values.dropna()
    if known.empty:
        raise BadSampleError(f"column {name!r} of the sample has no value")
    told: dict[str, Any] = {"name": name, "nullable": bool(len(known) < len(values))}
    if pd.api.types.is_numeric_dtype(values.dtype):
        low, high = float(known.min()), float(known.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise BadSampleError(f"column {name!r} of the sample holds an infinite number")
        return told | {"type": "number", "minimum": low, "maximum": high}
    if not all(isinstance(each, str) for each in known):
        raise BadSampleError(f"column {name!r} of the sample is neither numbers nor texts")
    found = sorted(set(known))
    # Of very many texts a list says nothing: they are names rather than categories.
    return told | {"type": "category", "values": found if len(found) <= MOST_VALUES else None}


def as_learnt(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """The inputs of a frame as a model gets them: numbers as float, texts as objects, None where unknown."""
    found = {}
    for each in contract["inputs"]:
        values = frame[each["name"]]
        if each["type"] == "number":
            found[each["name"]] = values.astype("float64")
        else:
            found[each["name"]] = values.astype(object).where(values.notna(), None)
    return pd.DataFrame(found)


def request_model(contract: Contract) -> type[BaseModel]:
    """The model of one row: strict, no field too many, no NaN or infinity; a nullable input may be left out."""
    fields: dict[str, Any] = {}
    for number, each in enumerate(contract["inputs"]):
        kind: Any = float if each["type"] == "number" else Annotated[str, Field(min_length=1, max_length=_LONGEST_TEXT)]
        # By alias, since a column may be called as no attribute may.
        default: Any = None if each["nullable"] else ...
        fields[f"input_{number}"] = (kind | None if each["nullable"] else kind, Field(default, alias=each["name"]))
    config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    model: type[BaseModel] = create_model("Row", __config__=config, **fields)
    return model


def checked_row(contract: Contract, row: object) -> dict[str, Any]:
    """A row as the contract has it. Raises RefusedRowError: for each field what is wrong, without its value."""
    try:
        return request_model(contract).model_validate(row).model_dump(by_alias=True)
    except ValidationError as error:
        raise RefusedRowError(problems_of(error)) from None


def outside(contract: Contract, row: Mapping[str, Any]) -> list[str]:
    """Inputs of a row that lie beyond what the sample showed."""
    return [each["name"] for each in contract["inputs"] if _is_outside(each, row[each["name"]])]


def _is_outside(told: Mapping[str, Any], value: Any) -> bool:
    if value is None:
        return False
    if told["type"] == "number":
        return not told["minimum"] <= value <= told["maximum"]
    return told["values"] is not None and value not in told["values"]
