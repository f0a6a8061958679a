"""Files of tables to learn from: CSV in UTF-8 or in the code page of old spreadsheets, plain or gzipped.

The column order of StatLib's California housing file, which has no header, is known here.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from quality_assets.contracts.learning import LearningColumn, LearningContract
from quality_assets.domain.number_texts import numbers_of_texts
from quality_assets.stores.file_marks import GZIP

_STATLIB = (
    "longitude", "latitude", "housingMedianAge", "totalRooms", "totalBedrooms", "population", "households",
    "medianIncome", "medianHouseValue",
)  # fmt: skip
_DOLLARS = 100_000.0
_MOST_BYTES = 1 << 30


class TableFileError(ValueError):
    """A file is no table to learn from; says why."""


def read_table(contract: LearningContract, path: Path) -> pd.DataFrame:
    """The columns of a contract from a file; a column that the file lacks is left out.

    Raises TableFileError where the file cannot be read, or a value is not of its column's type.
    """
    text = _text(path)
    shape = _SHAPES.get(contract.name, _as_it_is)
    try:
        frame = shape(text)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise TableFileError(f"{path} is no table: {' '.join(str(error).split())}") from error
    return typed(contract, frame, str(path))


def typed(contract: LearningContract, frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The columns of a contract in its types. Raises TableFileError, which names the first value that has another."""
    found = {c.name: _typed(c, frame[c.name], where) for c in contract.columns if c.name in frame}
    return pd.DataFrame(found)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content[:2] == GZIP:
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(_MOST_BYTES)
    except FileNotFoundError:
        raise TableFileError(f"there is no file {path}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise TableFileError(f"{path} cannot be read: {error}") from error
    if not content.strip():
        raise TableFileError(f"{path} is empty")
    if b"\0" in content[:10_000]:
        raise TableFileError(f"{path} is no text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Every byte is a character there: the sales sample was written on such a machine.
        return content.decode("cp850")


def _as_it_is(text: str) -> pd.DataFrame:
    return _read(text, header=0)


def _read(text: str, **more: object) -> pd.DataFrame:
    frame: pd.DataFrame = pd.read_csv(  # type: ignore[call-overload]
        io.StringIO(text), dtype=str, keep_default_na=False, na_values=[""], skipinitialspace=True, **more
    )
    return frame


def _housing(text: str) -> pd.DataFrame:
    """StatLib's columns, or those of scikit-learn, with a header or without; what is per household is divided."""
    first = text.split("\n", 1)[0].split(",")[0].strip().strip('"')
    has_header = not _is_number(first)
    frame = _read(text, header=0 if has_header else None)
    if not has_header:
        if frame.shape[1] != len(_STATLIB):
            raise ValueError(f"{len(_STATLIB)} columns were expected, as in StatLib's file, not {frame.shape[1]}")
        frame.columns = pd.Index(_STATLIB)
    folded = {name.replace("_", "").lower(): name for name in frame.columns}
    found = {name: frame[folded[name.lower()]] for name in _STATLIB if name.lower() in folded}
    if len(found) == len(_STATLIB):
        frame = _per_household({name: _number(values, name) for name, values in found.items()})
    if "block" not in frame:
        frame.insert(0, "block", np.arange(1, len(frame) + 1))
    return frame


def _per_household(raw: Mapping[str, pd.Series]) -> pd.DataFrame:
    households = raw["households"]
    return pd.DataFrame(
        {
            "MedInc": raw["medianIncome"],
            "HouseAge": raw["housingMedianAge"],
            "AveRooms": raw["totalRooms"] / households,
            "AveBedrms": raw["totalBedrooms"] / households,
            "Population": raw["population"],
            "AveOccup": raw["population"] / households,
            "Latitude": raw["latitude"],
            "Longitude": raw["longitude"],
            "MedHouseVal": raw["medianHouseValue"] / _DOLLARS,
        }
    )


_SHAPES: Mapping[str, Callable[[str], pd.DataFrame]] = {"housing": _housing}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _typed(column: LearningColumn, values: pd.Series, where: str) -> pd.Series:
    if column.is_category:
        return pd.Series(
            [None if gone else each for each, gone in zip(values, values.isna(), strict=True)], dtype=object
        )
    if column.type == "DATE":
        return _date(values, f"{where}: {column.name}")
    numbers = _number(values, f"{where}: {column.name}")
    if column.type == "BIGINT" and numbers.notna().all() and np.isfinite(numbers).all():
        if (numbers != numbers.round()).any():
            raise TableFileError(f"{where}: {column.name} has numbers that are not whole")
        return numbers.astype(np.int64)
    return numbers


def _number(values: pd.Series, what: str) -> pd.Series:
    if values.dtype != object and values.dtype.kind in "fiu":
        return values.astype(float)
    numbers = numbers_of_texts(values)
    wrong = numbers.isna() & values.notna() & (values.astype(str).str.strip().str.lower() != "nan")
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise TableFileError(f"{what} of row {at + 1} is {str(values.iloc[at])[:40]!r}, and no number")
    return numbers.astype(float)


def _date(values: pd.Series, what: str) -> pd.Series:
    if values.dtype.kind == "M":
        return values.dt.normalize()
    # Month first, as the sales sample has it, unless the year comes first.
    days = pd.to_datetime(values, errors="coerce", format="mixed", dayfirst=False)
    wrong = days.isna() & values.notna()
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise TableFileError(f"{what} of row {at + 1} is {str(values.iloc[at])[:40]!r}, and no date")
    return days.dt.normalize()
