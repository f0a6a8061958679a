"""History replayed day by day, as it was known then, and graded: what the risk scores would have been worth.

Models are retrained weekly on labels that were known by then; each day is scored by the model of its time. Training
itself lives in `training`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.artifact import TrainedModel
from quality_assets.domain.models.estimators import TargetModel
from quality_assets.domain.models.leaks import without_leaks
from quality_assets.domain.models.risk.inputs import RiskContext, risk_inputs, with_labels
from quality_assets.domain.models.risk.labels import FeatureStates, LabelSettings, degradation_labels, feature_states
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.training import train_risk_model
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.rows import input_matrix
from quality_assets.domain.models.training import fit_baselines, refit_model
from quality_assets.domain.stats.grading import lead_times, measure_with_intervals, prepare, top_k


@dataclass(frozen=True)
class BacktestSettings:
    """How history is replayed: a retraining a week; the model is chosen anew every fourth one, because choosing
    costs twenty fits and its outcome changes slowly. An alert is a feature whose risk rises to alert_probability."""

    retrain_every_days: int = 7
    reselect_every: int = 4
    alert_probability: float = 0.5


@dataclass(frozen=True)
class BacktestResult:
    """grades: model (risk_model and the baselines), metric, value, low, high, rows, positives, base_rate.

    scores: event_date, feature, label_any, trained_through, model_name, is_degraded, one probability column per model.
    notes: what could not be replayed, in sentences.
    """

    grades: pd.DataFrame
    scores: pd.DataFrame
    notes: tuple[str, ...]


def backtest(
    facts: pd.DataFrame,
    first_date: date,
    last_date: date,
    settings: RiskSettings | None = None,
    context: RiskContext | None = None,
    replay: BacktestSettings | None = None,
    states: FeatureStates | None = None,
) -> BacktestResult:
    """Replay first_date .. last_date on rows of product.fact_feature_metrics.

    `facts` hold all history, up to any later day; `states` are those that they are in, where these are known already:
    the facts alone know no objectives, platforms or single events.

    Inputs and states of a day depend on that day and earlier only (see `risk_inputs`), so they are computed once;
    labels are hidden from training until their horizon had passed. Raises ValueError when last_date is before
    first_date.
    """
    if last_date < first_date:
        raise ValueError(f"last_date {last_date} lies before first_date {first_date}")
    settings, replay = settings or RiskSettings(), replay or BacktestSettings()
    label_settings = LabelSettings(horizon_days=settings.horizon_days)
    states = feature_states(facts, label_settings) if states is None else states
    labels = degradation_labels(states, label_settings)
    history = with_labels(risk_inputs(states, context), labels)
    when = pd.to_datetime(history["event_date"])
    parts: list[pd.DataFrame] = []
    notes: list[str] = []
    model: TrainedModel | None = None
    retrain_dates = pd.date_range(first_date, last_date, freq=f"{replay.retrain_every_days}D")
    for number, trained in enumerate(retrain_dates):
        known = as_known_on(history, trained.date(), settings.horizon_days)
        model = _train(model, known, settings, must_select=number % replay.reselect_every == 0)
        until = min(trained + pd.Timedelta(days=replay.retrain_every_days - 1), pd.Timestamp(last_date))
        week = history[((when >= trained) & (when <= until) & history["has_baseline"]).to_numpy()]
        if "any" not in model.targets:
            notes.append(f"{trained.date()}: no model: {'; '.join(model.notes)}")
        elif len(week):
            parts.append(_score_week(model, week, known, trained, settings))
    if not parts:
        return BacktestResult(pd.DataFrame(), pd.DataFrame(), tuple(notes))
    scores = pd.concat(parts, ignore_index=True)
    return BacktestResult(_grade(scores, labels, settings, replay), scores, tuple(notes))


def as_known_on(training_set: pd.DataFrame, day: date, horizon_days: int) -> pd.DataFrame:
    """The training set as it stood at the end of `day`: later rows gone, labels null that were not yet known."""
    when = pd.to_datetime(training_set["event_date"])
    then = training_set[(when <= pd.Timestamp(day)).to_numpy()].copy()
    unknown = (pd.to_datetime(then["event_date"]) + pd.Timedelta(days=horizon_days) > pd.Timestamp(day)).to_numpy()
    for column in ("label_any", "label_onset"):
        then[column] = then[column].astype("boolean").mask(unknown)
    return then


def _train(model: TrainedModel | None, known: pd.DataFrame, settings: RiskSettings, must_select: bool) -> TrainedModel:
    if model is None or "any" not in model.targets or must_select:
        quick = replace(settings, interval_members=0, importance_repeats=0, bootstrap_rounds=30)
        return train_risk_model(known, quick).model
    use_case, _ = without_leaks(FEATURE_RISK, known)
    return refit_model(use_case, model, known, settings)


def _score_week(
    model: TrainedModel, week: pd.DataFrame, known: pd.DataFrame, trained: pd.Timestamp, settings: RiskSettings
) -> pd.DataFrame:
    x, feature = input_matrix(FEATURE_RISK, week), week["feature"].to_numpy()
    rivals: dict[str, TargetModel] = fit_baselines(FEATURE_RISK, known, settings)
    chosen = model.targets["any"]
    return pd.DataFrame(
        {
            "event_date": week["event_date"].to_numpy(),
            "feature": feature,
            "label_any": week["label_any"].array,
            "trained_through": trained,
            "model_name": chosen.name,
            "is_degraded": week["is_degraded"].to_numpy(dtype=float),
            "risk_model": chosen.probability(x, feature),
            **{name: rival.probability(x, feature) for name, rival in rivals.items()},
        }
    )


def _grade(
    scores: pd.DataFrame, labels: pd.DataFrame, settings: RiskSettings, replay: BacktestSettings
) -> pd.DataFrame:
    known = scores[scores["label_any"].notna()].reset_index(drop=True)
    onsets = labels[labels["is_onset_today"].to_numpy(dtype=bool)]
    parts = []
    for name in ("risk_model", *FEATURE_RISK.baselines):
        if not len(known) or name not in known:
            continue
        outcome = known["label_any"].astype(bool).to_numpy().astype(np.float64)
        p = known[name].to_numpy(dtype=float)
        part = measure_with_intervals(
            prepare(known, outcome, p, settings.capacity_k, settings.block_days),
            settings.bootstrap_rounds,
            settings.seed,
        )
        day = pd.to_datetime(known["event_date"]).to_numpy().astype("datetime64[D]").astype(np.int64)
        lead = lead_times(known, top_k(day, p, settings.capacity_k), onsets, settings.horizon_days)
        extra = [
            ("lead_days_median", lead.median_days),
            ("warned_share", lead.warned_share),
            ("alerts_per_week", alerts_per_week(scores, name, replay.alert_probability)),
        ]
        part = pd.concat([part, pd.DataFrame(extra, columns=["metric", "value"])], ignore_index=True)
        part.insert(0, "model", name)
        part["rows"], part["positives"], part["base_rate"] = len(known), int(outcome.sum()), float(outcome.mean())
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def alerts_per_week(scores: pd.DataFrame, column: str, alert_probability: float) -> float:
    """How often a feature's probability rises to the threshold from below it the day before, per seven days."""
    ordered = scores.sort_values(["feature", "event_date"], kind="stable")
    above: Floats = (ordered[column].to_numpy(dtype=float) >= alert_probability).astype(float)
    same = ordered["feature"].eq(ordered["feature"].shift()).to_numpy()
    before = np.where(same, np.concatenate([[0.0], above[:-1]]), 0.0)
    days = max(scores["event_date"].nunique(), 1)
    return float(((above > 0) & (before == 0)).sum() * 7 / days)
