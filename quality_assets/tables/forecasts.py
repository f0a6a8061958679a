"""Months of a use case forecast from its training set, and what came of that as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quality_assets.domain.models.learning.series import (
    HORIZON,
    ORDERS,
    Error,
    Forecaster,
    Graded,
    Series,
    beats,
    errors_of,
    graded,
    interval_of,
    mean_of_all,
    month_after,
    risk_of_drop,
    sarima,
    seasonal_naive,
)
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.domain.sql_text import identifier
from quality_assets.settings import Settings
from quality_assets.stores.files import write_atomically
from quality_assets.stores.warehouse import WarehouseSession

NAIVE = "seasonal_naive"
EXTRA = "pip install 'feature-quality[forecast]'"


class NoSeriesError(ValueError):
    """There are no months to forecast; says why."""


def monthly_series(session: WarehouseSession, use_case: TabularUseCase, where: Mapping[str, str]) -> Series:
    """The total of the target by month of the rows that `where` names; months without any are nought.

    Raises NoSeriesError where a column is unknown, rows have no time, or there are none.
    """
    contract, table = use_case.contract, use_case.training_set
    if contract.time_column is None:
        raise NoSeriesError(f"the rows of {use_case.name} have no order in time, so there is nothing to forecast")
    unknown = [name for name in where if name not in table.column_names]
    if unknown:
        raise NoSeriesError(f"{use_case.name} has no column {unknown[0]!r}; it has {', '.join(table.column_names)}")
    day, target = identifier(contract.time_column), identifier(contract.target.name)
    clauses = "".join(f" and cast({identifier(name)} as varchar) = $v{at}" for at, name in enumerate(where))
    rows = session.connection.execute(
        f"select strftime({day}, '%Y-%m') as month, sum({target}) from {table.qualified_name}"
        f" where true{clauses} group by 1 order by 1",
        {f"v{at}": value for at, value in enumerate(where.values())},
    ).fetchall()
    whole = session.connection.execute(f"select min({day}), max({day}) from {table.qualified_name}").fetchone()
    if not rows or whole is None:
        told = " and ".join(f"{name} = {value}" for name, value in where.items())
        raise NoSeriesError(f"there are no rows of {use_case.name}" + (f" with {told}" if where else ""))
    first, last = (np.datetime64(each, "M") for each in whole)
    months = np.arange(first, last + 1).astype(str)
    totals = dict(rows)
    name = use_case.name if not where else ", ".join(f"{key}={value}" for key, value in where.items())
    return Series(name, tuple(months.tolist()), np.array([totals.get(month, 0.0) for month in months], dtype=float))


def forecast(series: Series) -> dict[str, Any]:
    """Every forecaster graded over rolling origins, the one that is used, and the next months by it.

    Raises TooShortError.
    """
    candidates: dict[str, Forecaster] = {NAIVE: seasonal_naive, "mean": mean_of_all}
    missing = None
    try:
        candidates |= {name: sarima(name) for name in ORDERS}
    except ModuleNotFoundError:
        missing = f"SARIMA was not tried, since statsmodels is not installed: {EXTRA}"
    errors = {name: _errors(series, each) for name, each in candidates.items()}
    grades = {name: None if each is None else graded(each) for name, each in errors.items()}
    of_naive = errors[NAIVE]
    assert of_naive is not None  # it takes what is there
    better = [name for name, each in errors.items() if name != NAIVE and each is not None and beats(each, of_naive)]
    used = min(better, key=lambda name: _wape(grades[name])) if better else NAIVE
    predicted = candidates[used](series.values, HORIZON)
    low, high = interval_of(errors[used] or of_naive, predicted)
    return {
        "series": series.name,
        "months": len(series.months),
        "through": series.months[-1],
        "model": used,
        "words": _words(used, grades, missing),
        "grades": {
            name: None if each is None else {"mase": each.mase, "wape": each.wape, "forecasts": each.forecasts}
            for name, each in grades.items()
        },
        "forecast": [
            {
                "month": month_after(series.months[-1], step + 1),
                "value": float(predicted[step]),
                "p10": _known(low[step]),
                "p90": _known(high[step]),
            }
            for step in range(HORIZON)
        ],
        "risk": {"month": month_after(series.months[-1], 1), **risk_of_drop(series)},
    }


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _wape(found: Graded | None) -> float:
    return np.inf if found is None else found.wape


def _errors(series: Series, forecaster: Forecaster) -> list[Error] | None:
    """None where it could not be fitted to a history. Raises TooShortError."""
    try:
        return errors_of(series, forecaster)
    except (np.linalg.LinAlgError, ArithmeticError):
        return None


def _words(used: str, grades: Mapping[str, Graded | None], missing: str | None) -> str:
    naive = grades[NAIVE]
    assert naive is not None  # it takes what is there
    tried = ", ".join(
        f"{name.replace('_', ' ')} {each.wape:.3f}"
        for name, each in grades.items()
        if each is not None and name != NAIVE
    )
    failed = [name for name, each in grades.items() if each is None]
    said = (
        f"The seasonal naive is the model, which nothing that was tried beats beyond chance: its WAPE is"
        f" {naive.wape:.3f}, its MASE {naive.mase:.3f}; WAPE of others: {tried}."
    )
    if used != NAIVE:
        said = f"{used.replace('_', ' ')} is the model, since it beats the seasonal naive beyond chance:"
        said += f" WAPE {tried}, of the naive {naive.wape:.3f}."
    if failed:
        said += f" {', '.join(failed)} could not be fitted."
    return said + (f" {missing}." if missing else "")


def write_forecast(settings: Settings, use_case: TabularUseCase, told: Mapping[str, Any]) -> Path:
    """Write forecast.json and risk.json to reports/forecast/NAME/, of a slice to a folder below; the folder."""
    name = "all" if told["series"] == use_case.name else "".join(c if c.isalnum() else "-" for c in told["series"])
    folder = settings.reports_dir / "forecast" / use_case.name
    folder = folder if name == "all" else folder / name
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "forecast.json", json.dumps(told, indent=1))
    risk = {"series": told["series"], "model": told["model"], **told["risk"]}
    write_atomically(folder / "risk.json", json.dumps(risk, indent=1))
    return folder
