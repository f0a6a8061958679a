"""Frames as plain values for JSON: no numpy, no NaN, dates as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd


def plain_value(value: Any) -> Any:
    """Numpy, pandas and dates as JSON values; NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(k): plain_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [plain_value(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else value


def plain_records(frame: pd.DataFrame, columns: Sequence[str], most: int | None = None) -> list[dict[str, Any]]:
    known = [c for c in columns if c in frame]
    rows = frame[known].head(most) if most is not None else frame[known]
    return [{str(c): plain_value(v) for c, v in row.items()} for row in rows.to_dict("records")]


def rows_of_frame(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a small frame, each a dict, with its values as they are."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
