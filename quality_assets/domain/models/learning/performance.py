"""How well the chosen candidate did month after month on rows that it had not seen, and where it became worse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Floats, Ints
from quality_assets.domain.models.learning.blocks import grades, quarters
from quality_assets.domain.models.learning.columns_of import taken
from quality_assets.domain.models.learning.held_out_rows import Choice, SplitPredictions, ViewRows
from quality_assets.domain.models.learning.learnable import LearningRows
from quality_assets.domain.models.learning.tabular import Candidate
from quality_assets.domain.models.learning.tabular_model import fit
from quality_assets.domain.wording import measure_text

_LEAST_ROWS = 20
_LEAST_BEFORE = 3
_WORSE_BY = 1.2


def walk_through_time(some: ViewRows, rows: LearningRows, candidate: Candidate) -> Floats:
    """What the candidate said of each of all n rows at its time, learnt anew each quarter from clean rows before it.

    NaN where too little was before, and everywhere where rows have no order in time.
    """
    out = np.full(len(rows.y), np.nan)
    day = rows.places.day
    if day is None:
        return out
    quarter, _ = quarters(day)
    for each in np.unique(quarter):
        is_now = quarter == each
        before = rows.is_clean & (day < day[is_now].min())
        if before.sum() < some.use_case.settings.min_rows:
            continue
        fitted = fit(candidate, taken(rows.columns, before), rows.y[before], some.inputs)
        out[is_now] = fitted.predict(taken(rows.columns, is_now))
    return out


def performance_frame(
    some: ViewRows, rows: LearningRows, splits: Mapping[Any, SplitPredictions], choice: Choice, walked: Floats,
    inside: Floats,
) -> pd.DataFrame:  # fmt: skip
    """Rows of ml.model_performance: months and quarters where there is time, else the folds of the headline."""
    if rows.places.day is None:
        headline = splits[some.use_case.headline]
        tested = headline.is_tested
        predicted = headline.by_candidate[choice.candidate.name]
        names = [f"fold {at + 1}" for at in range(int(headline.fold.max()) + 1)]
        # `inside` speaks of the held-out rows alone.
        covered = np.full(len(some.y), np.nan)
        covered[tested] = inside
        found = _periods(some, some.y, predicted, headline.fold, names, some.places.block, covered, None)
        return pd.DataFrame(found)
    is_known = np.isfinite(walked)
    day, y = rows.places.day[is_known], rows.y[is_known]
    block, covered = rows.places.block[is_known], inside[is_known]
    months = day.astype("datetime64[D]").astype("datetime64[M]")
    found_months, month = np.unique(months, return_inverse=True)
    quarter, quarter_names = quarters(day)
    found = _periods(some, y, walked[is_known], month, [str(m) for m in found_months], block, covered, day)
    told = _alarms(found)
    whole = _periods(some, y, walked[is_known], quarter, quarter_names, block, covered, day)
    return pd.DataFrame(told + _alarms(whole))


def _periods(
    some: ViewRows, y: Floats, predicted: Floats, period: Ints, names: list[str], block: Ints, inside: Floats,
    day: Ints | None,
) -> list[dict[str, Any]]:  # fmt: skip
    found = []
    for at, name in enumerate(names):
        own = period == at
        if not own.any():
            continue
        graded = grades(y[own], predicted[own], block[own], some.use_case.settings).values
        found.append(
            {
                "known": some.view.known,
                "period": name,
                "starts": pd.NaT if day is None else pd.Timestamp(str(np.datetime64(int(day[own].min()), "D"))),
                "rows": int(own.sum()),
                **{metric: graded[metric][0] for metric in ("r2", "rmse", "mae")},
                "rmse_low": graded["rmse"][1],
                "rmse_high": graded["rmse"][2],
                "coverage": _mean(inside[own]),
                "is_alarm": False,
                "words": None,
            }
        )
    return found


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _alarms(periods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The periods, with those marked whose error lies above that of the quiet ones before, and above chance."""
    quiet: list[dict[str, Any]] = []
    for each in periods:
        usual = [before for before in quiet if before["rows"] >= _LEAST_ROWS]
        if len(usual) >= _LEAST_BEFORE and each["rows"] >= _LEAST_ROWS:
            highest = max(before["rmse_high"] for before in usual)
            if each["rmse_low"] > highest and each["rmse"] > _WORSE_BY * highest:
                each["is_alarm"] = True
                each["words"] = (
                    f"In {each['period']} the error was {_said(each['rmse'])} (at least {_said(each['rmse_low'])}),"
                    f" above the {_said(highest)} that no period before exceeded"
                )
                continue
        quiet.append(each)
    return periods


def _said(error: float) -> str:
    return measure_text(error, "", 4)
