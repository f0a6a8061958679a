"""Reading feature_metadata.csv: typed, checked, and clear about what is wrong with it."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from quality_assets.contracts.metrics import METRICS_BY_NAME
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.contracts.table import Column
from quality_assets.domain.number_texts import numbers_of_texts
from quality_assets.domain.series.states import ALL_METRICS


class FeatureDescriptionsError(ValueError):
    """feature_metadata.csv cannot be used. The message names the file, the line and the column."""


def read_feature_descriptions(path: Path) -> pd.DataFrame:
    """The descriptions as a frame with the contract's columns; empty where the file is absent.

    Columns that the file lacks are null. Raises FeatureDescriptionsError on a missing `feature` column, a repeated or
    blank feature, a value of the wrong type, outside its range or outside its allowed set, and on what is no CSV.
    """
    names = FEATURE_DESCRIPTIONS.column_names
    if not path.is_file():
        return pd.DataFrame({name: pd.Series(dtype=object) for name in names})
    frame = _read_texts(path)
    _refuse(path, "feature", frame["feature"], frame["feature"].isna(), "is blank")
    _refuse(path, "feature", frame["feature"], frame["feature"].duplicated(), "is described twice")
    _check_metrics(path, frame)
    typed = {c.name: _typed(path, c, frame[c.name]) if c.name in frame else None for c in FEATURE_DESCRIPTIONS.columns}
    return pd.DataFrame(typed, index=frame.index)


def _read_texts(path: Path) -> pd.DataFrame:
    """The file as trimmed texts, None where blank, with the lines of the file as index."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True, skipinitialspace=True)
            records = [(reader.line_num, [text.strip() or None for text in row]) for row in reader if any(row)]
    except OSError as error:
        raise FeatureDescriptionsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FeatureDescriptionsError(f"{path}: is not a CSV file in UTF-8: {error}") from error
    header = [name or "" for name in records[0][1]] if records else []
    if "feature" not in header:
        what = f"its columns are {', '.join(header)}" if header else "it is empty"
        raise FeatureDescriptionsError(f"{path}: has no column 'feature'; {what}")
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise FeatureDescriptionsError(f"{path}: has the column {twice[0]!r} twice")
    rows = dict(records[1:])
    for line, row in rows.items():
        if len(row) > len(header):
            raise FeatureDescriptionsError(f"{path}, line {line}: has {len(row)} values for {len(header)} columns")
        row += [None] * (len(header) - len(row))
    return pd.DataFrame.from_dict(rows, orient="index", columns=header, dtype=object)


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
    numbers = numbers_of_texts(texts).astype(float)
    _refuse(path, column.name, texts, texts.notna() & ~numbers.abs().lt(float("inf")), "is not a number")
    low, high = column.minimum, column.maximum
    outside = numbers.lt(float("-inf") if low is None else low) | numbers.gt(float("inf") if high is None else high)
    _refuse(path, column.name, texts, outside, f"is not between {low} and {high}")
    if column.type != "INTEGER":
        return numbers
    _refuse(path, column.name, texts, numbers.notna() & numbers.mod(1).ne(0), "is not a whole number")
    return numbers.astype("Int64")


def _check_metrics(path: Path, frame: pd.DataFrame) -> None:
    """Refuse a name in `uncounted_metrics` that no metric has: what was meant to be switched off would go on."""
    if "uncounted_metrics" not in frame:
        return
    texts = frame["uncounted_metrics"]
    allowed = {*METRICS_BY_NAME, ALL_METRICS}
    wrong = texts.map(lambda text: text is not None and not set(text.split()) <= allowed).astype(bool)
    why = f"names what is no metric; there are all, {', '.join(METRICS_BY_NAME)}"
    _refuse(path, "uncounted_metrics", texts, wrong, why)


def _refuse(path: Path, column: str, texts: pd.Series, wrong: pd.Series, why: str) -> None:
    if wrong.any():
        row = wrong.idxmax()
        raise FeatureDescriptionsError(f"{path}, line {row}: {column} {texts[row]!r} {why}")


def with_seen_dates(descriptions: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """The rows of product.dim_feature_metadata: every feature that is described, or seen in events, or both.

    `seen` has feature, first_seen_date, last_seen_date. What nobody described is null, with `is_described` false.
    """
    merged = descriptions.assign(is_described=True).merge(seen, on="feature", how="outer").sort_values("feature")
    merged["is_described"] = merged["is_described"].eq(True)
    merged["tier"] = merged["tier"].astype("Int64")
    return merged.reset_index(drop=True)
