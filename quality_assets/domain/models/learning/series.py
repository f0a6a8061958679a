"""Months of a table forecast: seasonal naive against SARIMA by rolling origins, and the odds of a bad month.

With fewer than three seasons a seasonal model has next to nothing to learn from; the naive is the model wherever it is
not beaten, and the report says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quality_assets.domain.arrays import Floats

SEASON = 12
HORIZON = 3
FIRST_ORIGIN = 18
DROP = 0.8
_LEAST_ERRORS = 6
_MORE = 0.5
_ROUNDS, _CHANCE = 1000, 0.1
ORDERS: Mapping[str, tuple[tuple[int, int, int], tuple[int, int, int, int]]] = {
    "sarima_100_010": ((1, 0, 0), (0, 1, 0, SEASON)),
    "sarima_011_011": ((0, 1, 1), (0, 1, 1, SEASON)),
}


class TooShortError(ValueError):
    """A series has too few months to hold any out."""


@dataclass(frozen=True)
class Series:
    """Totals by month, oldest first; months as YYYY-MM without a gap."""

    name: str
    months: tuple[str, ...]
    values: Floats


@dataclass(frozen=True)
class Graded:
    """How a forecaster did over rolling origins: MASE and WAPE of all horizons, and the number of forecasts."""

    mase: float
    wape: float
    forecasts: int


Forecaster = Callable[[Floats, int], Floats]
Error = tuple[float, float, float]
"""A forecast, its outcome, and the scale that errors are told in."""


def seasonal_naive(history: Floats, horizon: int) -> Floats:
    """The same months a year before."""
    start = len(history) - SEASON
    return np.array([history[start + step % SEASON] for step in range(horizon)])


def mean_of_all(history: Floats, horizon: int) -> Floats:
    """The mean of all months."""
    return np.full(horizon, history.mean())


def sarima(name: str) -> Forecaster:
    """A seasonal ARIMA of statsmodels, imported on first use. ModuleNotFoundError where it is not installed."""
    from statsmodels.tsa.statespace.sarimax import SARIMAX  # type: ignore[import-untyped]

    order, seasonal = ORDERS[name]

    def forecast(history: Floats, horizon: int) -> Floats:
        with warnings.catch_warnings():
            # Of starting values and of convergence, on series as short as these; what comes of it is graded.
            warnings.simplefilter("ignore")
            fitted = SARIMAX(
                history, order=order, seasonal_order=seasonal,
                enforce_stationarity=False, enforce_invertibility=False,
            ).fit(disp=False, maxiter=50)  # fmt: skip
            return np.asarray(fitted.forecast(horizon), dtype=float)

    return forecast


def errors_of(series: Series, forecast: Forecaster) -> list[Error]:
    """Forecast, outcome and the scale of MASE (mean error of the seasonal naive within the history) of each origin and
    step. Raises TooShortError where there is no origin."""
    found = []
    values = series.values
    for origin in range(FIRST_ORIGIN, len(values)):
        history = values[:origin]
        scale = float(np.abs(history[SEASON:] - history[:-SEASON]).mean())
        steps = min(HORIZON, len(values) - origin)
        predicted = forecast(history, steps)
        found += [(float(predicted[step]), float(values[origin + step]), scale) for step in range(steps)]
    if not found:
        raise TooShortError(
            f"{series.name} has {len(values)} months; more than {FIRST_ORIGIN} are needed to hold any out"
        )
    return found


def graded(errors: Sequence[Error]) -> Graded:
    """MASE (Hyndman & Koehler 2006) and WAPE."""
    predicted, actual, scale = (np.array(each) for each in zip(*errors, strict=True))
    error = np.abs(predicted - actual)
    mase = float((error / np.where(scale > 0, scale, np.nan)).mean()) if (scale > 0).all() else float("nan")
    total = float(np.abs(actual).sum())
    return Graded(mase, float(error.sum()) / total if total > 0 else float("nan"), len(error))


def risk_of_drop(series: Series) -> dict[str, Any]:
    """The odds that the next month stays below 80 % of the same month a year before, from the naive's own errors.

    The share of earlier months with their year before them that did, with one half added on either side (Jeffreys);
    unknown where such months are few.
    """
    values = series.values
    before = values[:-SEASON]
    usable = before > 0
    ratios = values[SEASON:][usable] / before[usable]
    n, low = len(ratios), int((ratios < DROP).sum())
    return {
        "probability": (low + _MORE) / (n + 2 * _MORE) if n >= _LEAST_ERRORS else None,
        "months_looked_at": n,
        "months_below": low,
        "reference": float(values[len(values) - SEASON]),
        "threshold": float(DROP * values[len(values) - SEASON]),
    }


def month_after(month: str, steps: int) -> str:
    """The month so many months later."""
    return str(np.datetime64(month, "M") + steps)


def interval_of(errors: Sequence[Error], forecast: Floats) -> tuple[Floats, Floats]:
    """p10 and p90 of a forecast, from what the outcomes of its forecaster's earlier forecasts were in shares of those;
    NaN where there are too few."""
    ratios = np.array([actual / predicted for predicted, actual, _ in errors if predicted > 0])
    if len(ratios) < _LEAST_ERRORS:
        return np.full(len(forecast), np.nan), np.full(len(forecast), np.nan)
    low, high = np.quantile(ratios, [0.1, 0.9])
    # Of a series that grows, the naive is too low each time; what is forecast is no more impossible for that.
    return forecast * min(low, 1.0), forecast * max(high, 1.0)


def beats(ours: Sequence[Error], theirs: Sequence[Error]) -> bool:
    """Whether one forecaster's absolute error is lower than another's of the same forecasts, beyond chance.

    Neighbouring forecasts share their months: blocks of them are resampled, and nine in ten rounds must agree.
    """
    gain = np.array([abs(b[0] - b[1]) - abs(a[0] - a[1]) for a, b in zip(ours, theirs, strict=True)])
    block = np.arange(len(gain)) // (HORIZON * HORIZON)
    sums = np.bincount(block, weights=gain)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=_ROUNDS) @ sums
    return bool(gain.sum() > 0 and np.quantile(drawn, _CHANCE) > 0)
