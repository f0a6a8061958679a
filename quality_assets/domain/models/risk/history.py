"""What the risk of past days would have been said to be: scores by rolling origins, each by a model of its time.

An origin is a day at whose end a model is fitted on what was known then: rows whose horizon had passed. It scores the
days up to the next origin. Its calibration comes from what earlier origins said of days whose outcome it knows. Which
kind of estimator is fitted is that of the model in use today, chosen with hindsight: these are no record of what anyone
was told, and are marked so. Fits are few, whatever the length of the history.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.models.artifact import TrainedModel
from quality_assets.domain.models.estimators import Sigmoid, TargetModel, make_estimator
from quality_assets.domain.models.risk.choosing import MIN_CHART_POSITIVES
from quality_assets.domain.models.risk.scoring import score_risk
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.use_case import BASE_RATES, FEATURE_RISK
from quality_assets.domain.models.rows import TargetRows, can_learn, sample_rows, target_rows
from quality_assets.domain.models.use_case import UseCase
from quality_assets.domain.threads import limited_threads

_EPOCH = date(1970, 1, 1)
TOO_EARLY = "too few outcomes were known by then to learn from"


@dataclass(frozen=True)
class HistorySettings:
    """A model a fortnight, and no more than twelve: a longer history has its origins further apart."""

    origin_every_days: int = 14
    most_origins: int = 12


def backfilled_scores(
    training_set: pd.DataFrame,
    estimator: str,
    wanted: Collection[date],
    model_version: str,
    settings: RiskSettings | None = None,
    history: HistorySettings | None = None,
    use_case: UseCase = FEATURE_RISK,
) -> pd.DataFrame:
    """Rows of ml.risk_scores of the `wanted` days, each by a model that knew nothing of the days after its origin.

    `training_set` has all rows of ml.risk_training_set, `estimator` the name of a candidate or baseline. Where too
    little was known for it, the control chart or base rates stand in, and before those a score is unknown. `use_case`
    is that of feature risk, with what is withheld.
    """
    settings, history = settings or RiskSettings(), history or HistorySettings()
    if not len(training_set) or not wanted:
        return pd.DataFrame()
    day = use_case.days(training_set)
    is_wanted = np.isin(day, [(each - _EPOCH).days for each in wanted])
    parts = []
    rows = target_rows(use_case, training_set, use_case.main_target.name)
    with limited_threads():
        for origin, until, model in _models(
            use_case, rows, estimator, (int(day.min()), int(day.max())), settings, history
        ):
            chosen = is_wanted & (day > origin) & (day <= until)
            if chosen.any():
                part = training_set[chosen].reset_index(drop=True)
                scores = score_risk(model, part, model_version, settings, TOO_EARLY, is_explained=False)
                parts.append(scores.assign(is_backfilled=True))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=day)


def _models(
    use_case: UseCase,
    rows: TargetRows,
    estimator: str,
    span: tuple[int, int],
    settings: RiskSettings,
    history: HistorySettings,
) -> Iterator[tuple[int, int, TrainedModel | None]]:
    """Origin, last day that its model scores, and the model, None where nothing could be learnt; oldest first."""
    first, last = span
    step = max(history.origin_every_days, -(-(last - first + 1) // history.most_origins))
    past = _Past(estimator)
    for origin in range(first - 1, last, step):
        known = np.asarray(rows.day + settings.horizon_days <= origin)
        target = _target(use_case, rows, known, past, settings)
        until = min(origin + step, last)
        if target is None:
            yield origin, until, None
            continue
        ahead = np.flatnonzero((rows.day > origin) & (rows.day <= until))
        if target.name == estimator and len(ahead):
            past.add(ahead, target.estimator.predict(rows.x[ahead], rows.entity[ahead]))
        stands_in = f"any: {target.name} stands in: {TOO_EARLY}"
        yield (
            origin,
            until,
            TrainedModel(
                trained_through=_date(origin),
                horizon_days=settings.horizon_days,
                input_names=use_case.input_names,
                targets={use_case.main_target.name: target},
                base_rate=float(rows.y[known].mean()),
                notes=() if target.name == estimator else (stands_in,),
            ),
        )


@dataclass
class _Past:
    """What the estimator said of rows that it had not learnt from."""

    name: str
    index: list[Ints] = field(default_factory=list)
    raw: list[Floats] = field(default_factory=list)

    def add(self, index: Ints, raw: Floats) -> None:
        self.index.append(index)
        self.raw.append(raw)

    def calibrator(self, rows: TargetRows, known: Bools) -> Sigmoid:
        if not self.index:
            return Sigmoid()
        index, raw = np.concatenate(self.index), np.concatenate(self.raw)
        return Sigmoid().fit(raw[known[index]], rows.y[index[known[index]]])


def _target(
    use_case: UseCase, rows: TargetRows, known: Bools, past: _Past, settings: RiskSettings
) -> TargetModel | None:
    y = rows.y[known]
    rarer = int(min(y.sum(), len(y) - y.sum()))
    if rarer < 1:
        return None
    name = past.name
    if name not in BASE_RATES and not can_learn(y, settings):
        name = "ewma_chart" if rarer >= MIN_CHART_POSITIVES else "feature_base_rate"
    part = sample_rows(rows, np.flatnonzero(known), settings)
    fitted = make_estimator(use_case, name, settings)
    fitted.fit(part.x, part.y, part.entity)
    # A share of the past is what it says it is.
    is_calibrated = name == past.name and name not in BASE_RATES
    return TargetModel(name, fitted, past.calibrator(rows, known) if is_calibrated else Sigmoid())
