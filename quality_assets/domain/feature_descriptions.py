"""Reading feature_metadata.csv: typed, checked, and clear about what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.contracts.table import Column


class FeatureDescriptionsError(ValueError):
    """feature_metadata.csv cannot be used. The message names the file, the line and the column."""


def read_feature_descriptions(path: Path) -> pd.DataFrame:
    """The descriptions as a frame with the contract's columns; empty where the file is absent.

    Columns that the file lacks are null. Raises FeatureDescriptionsError on a missing `feature` column, a repeated or
    blank feature, a value of the wrong type, outside its range or outside its allowed set.
    """
    names = FEATURE_DESCRIPTIONS.column_names
    if not path.is_file():
        return pd.DataFrame({name: pd.Series(dtype=object) for name in names})
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    frame.columns = [str(name).strip() for name in frame.columns]
    if "feature" not in frame.columns:
        raise FeatureDescriptionsError(f"{path}: has no column 'feature'; its columns are {', '.join(frame.columns)}")
    frame = frame.apply(lambda column: column.str.strip()).replace("", None)
    _refuse(path, "feature", frame["feature"], frame["feature"].isna(), "is blank")
    _refuse(path, "feature", frame["feature"], frame["feature"].duplicated(), "is described twice")
    typed = {c.name: _typed(path, c, frame[c.name]) if c.name in frame else None for c in FEATURE_DESCRIPTIONS.columns}
    return pd.DataFrame(typed, index=frame.index)


def _typed(path: Path, column: Column, texts: pd.Series) -> pd.Series:
    if column.type == "VARCHAR":
        if column.allowed:
            wrong = texts.notna() & ~texts.isin(column.allowed)
            _refuse(path, column.name, texts, wrong, f"is not one of {', '.join(column.allowed)}")
        return texts
    if column.type == "DATE":
        dates = pd.to_datetime(texts, format="%Y-%m-%d", errors="coerce")
        _refuse(path, column.name, texts, texts.notna() & dates.isna(), "is not a date like 2026-01-31")
        return dates
    numbers = pd.to_numeric(texts, errors="coerce")
    _refuse(path, column.name, texts, texts.notna() & numbers.isna(), "is not a number")
    low, high = column.minimum, column.maximum
    outside = numbers.lt(float("-inf") if low is None else low) | numbers.gt(float("inf") if high is None else high)
    _refuse(path, column.name, texts, outside, f"is not between {low} and {high}")
    return numbers.astype("Int64") if column.type == "INTEGER" else numbers


def _refuse(path: Path, column: str, texts: pd.Series, wrong: pd.Series, why: str) -> None:
    if wrong.any():
        row = wrong.idxmax()
        raise FeatureDescriptionsError(f"{path}, line {int(row) + 2}: {column} {texts[row]!r} {why}")


def with_seen_dates(descriptions: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """The rows of product.dim_feature_metadata: every feature that is described, or seen in events, or both.

    `seen` has feature, first_seen_date, last_seen_date. What nobody described is null, with `is_described` false.
    """
    merged = descriptions.assign(is_described=True).merge(seen, on="feature", how="outer").sort_values("feature")
    merged["is_described"] = merged["is_described"].eq(True)
    merged["tier"] = merged["tier"].astype("Int64")
    return merged.reset_index(drop=True)
