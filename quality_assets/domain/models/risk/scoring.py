"""Scores of risk, in words and ranks, and what came of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quality_assets.contracts.risk_inputs import INPUTS_BY_NAME
from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.artifact import TrainedModel, check_inputs
from quality_assets.domain.models.risk.reasons import reasons
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.rows import input_matrix
from quality_assets.domain.threads import limited_loaded_threads


def score_risk(
    model: TrainedModel | None,
    inputs: pd.DataFrame,
    model_version: str,
    settings: RiskSettings | None = None,
    why_no_model: str = "no model yet",
    *,
    is_explained: bool = True,
) -> pd.DataFrame:
    """Rows of ml.risk_scores for the rows of `inputs` (as `risk_inputs` makes them), usually one day.

    Without a model, without a baseline of its own or after days of silence a feature's risk is null and `note` says
    why; no number is made up. Ranks are per day: by expected users affected where users are known, then by risk.
    Reasons cost more than scores: not `is_explained`, there are none.

    Raises InputsMismatchError when the model was made for other inputs.
    """
    settings = settings or RiskSettings()
    targets = model.targets if model is not None else {}
    x = np.zeros((len(inputs), len(FEATURE_RISK.inputs)))
    if model is not None:
        check_inputs(FEATURE_RISK, inputs, model.input_names)
        x = input_matrix(FEATURE_RISK, inputs)
    feature = inputs["feature"].to_numpy()
    asked = inputs["has_baseline"].to_numpy(dtype=bool) & ("any" in targets)
    probability, low, high, onset = (np.full(len(inputs), np.nan) for _ in range(4))
    why = np.full(len(inputs), "[]", dtype=object)
    degraded = inputs["is_degraded"].to_numpy(dtype=float)
    if asked.any():
        with limited_loaded_threads():
            risk = targets["any"]
            probability[asked] = risk.probability(x[asked], feature[asked])
            low[asked], high[asked] = risk.interval(x[asked], feature[asked], probability[asked])
            if is_explained:
                why[asked] = np.array(reasons(risk, x[asked], feature[asked]), dtype=object)
            healthy = asked & (degraded < 0.5)
            if "onset" in targets and healthy.any():
                onset[healthy] = targets["onset"].probability(x[healthy], feature[healthy])
    users = probability * inputs["usual_users"].to_numpy(dtype=float)
    is_baseline = "any" in targets and targets["any"].name in FEATURE_RISK.baselines
    frame = inputs[["event_date", "feature"]].reset_index(drop=True)
    frame["model_version"] = model_version
    frame["horizon_days"] = model.horizon_days if model is not None else settings.horizon_days
    frame["score_kind"] = np.where(asked, "baseline" if is_baseline else "model", "unknown")
    frame["risk_probability"], frame["low"], frame["high"], frame["onset_probability"] = probability, low, high, onset
    frame["is_degraded_today"] = pd.arrays.BooleanArray(degraded > 0.5, np.isnan(degraded))
    frame["rank"] = _ranks(frame, users)
    frame["expected_users_affected"] = users
    frame["reasons"] = why
    frame["is_backfilled"] = False
    frame["trained_through"] = model.trained_through if model is not None else None
    frame["note"] = _score_notes(model, inputs, asked, why_no_model)
    return frame


def _ranks(frame: pd.DataFrame, users: Floats) -> pd.Series:
    order = pd.DataFrame({"day": frame["event_date"], "users": users, "p": frame["risk_probability"]})
    order = order[order["p"].notna()].sort_values(
        ["day", "users", "p"], ascending=[True, False, False], kind="stable", na_position="last"
    )
    return (order.groupby("day").cumcount() + 1).reindex(frame.index).astype("Int32")


def _score_notes(model: TrainedModel | None, inputs: pd.DataFrame, asked: Bools, why_no_model: str) -> np.ndarray:
    any_notes = [note for note in model.notes if note.startswith("any")] if model is not None else []
    default = "; ".join(any_notes) or None
    if model is None or "any" not in model.targets:
        return np.full(len(inputs), default or why_no_model, dtype=object)
    silent = inputs["silent_days"].to_numpy(dtype=float)
    age = inputs["age_days"].to_numpy(dtype=float)
    note = np.full(len(inputs), default, dtype=object)
    note[~asked] = "too few events to tell"
    young = ~asked & (age < 24)
    note[young] = [f"first seen {days:.0f} days ago: no baseline yet" for days in age[young]]
    gone = ~asked & (silent > 0)
    most = INPUTS_BY_NAME["silent_days"].high
    note[gone] = [f"no events for {days:.0f} days{' or more' if days >= most else ''}" for days in silent[gone]]
    return note


def grade_scores(scores: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Rows of ml.score_ledger: each past score beside what happened; scores whose future is unknown stay ungraded.

    `scores` are rows of ml.risk_scores, `labels` of ml.degradation_labels for the same horizon.
    """
    keys = ["event_date", "feature", "horizon_days"]
    columns = [*keys, "label_any", "label_onset", "days_to_degradation", "degraded_metrics_ahead"]
    kept = ["model_version", "score_kind", "risk_probability", "onset_probability", "rank"]
    left = scores[[*keys, *kept]].assign(event_date=pd.to_datetime(scores["event_date"]))
    right = labels[columns].assign(event_date=pd.to_datetime(labels["event_date"]))
    ledger = left.merge(right, on=keys, how="left", validate="many_to_one")
    ledger["graded_date"] = ledger["event_date"] + pd.to_timedelta(ledger["horizon_days"], unit="D")
    ledger["label_any"] = ledger["label_any"].astype("boolean")
    ledger["label_onset"] = ledger["label_onset"].astype("boolean")
    ledger["is_graded"] = ledger["label_any"].notna()
    outcome = ledger["label_any"].astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    ledger["squared_error"] = (ledger["risk_probability"] - outcome) ** 2
    order = [
        "event_date", "feature", "model_version", "horizon_days", "score_kind", "risk_probability",
        "onset_probability", "rank", "graded_date", "is_graded", "label_any", "label_onset", "days_to_degradation",
        "degraded_metrics_ahead", "squared_error",
    ]  # fmt: skip
    return ledger[order]
