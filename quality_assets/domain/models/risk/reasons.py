"""Why a score is what it is: the three strongest reasons of each row, in words and in percentage points."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from quality_assets.contracts.risk_inputs import INPUT_NAMES, INPUTS, SIGNALS
from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.contributions import contributions
from quality_assets.domain.models.estimators import TargetModel, expit

_REASONS = 3
_GROUPS = {
    "history": (
        "is_degraded", "degraded_signals", "days_in_state", "degraded_days_7d", "degraded_days_28d", "onsets_90d",
        "own_degraded_share", "open_z", "open_days", "open_calm_days", "is_open", "budget_burn",
    ),
    "drift": ("second_ewma_z", "worst_two_weeks_z", "worst_run_days"),
    "peers": ("peers_degraded_share", "peers_worst_share"),
    "releases": ("days_since_release", "releases_14d", "newest_version_share"),
    "activity": ("log_events", "events_trend", "silent_days", "active_days_28d", "age_days"),
    "lifecycle": ("is_early_stage", "is_deprecated", "tier"),
}  # fmt: skip
# The worst of the signals stands for the signal that it is of, in whose words it is told.
_WORST = {
    "worst_ewma_z": "ewma_z", "worst_drift_share": "ewma_z", "worst_slope_z": "slope_z", "worst_spike_share": "z",
}  # fmt: skip

# Each baseline is explained by the one input that it looks at; the base rate of all looks at none.
_BASELINE_INPUTS = {
    "persistence": "is_degraded", "feature_base_rate": "own_degraded_share", "ewma_chart": "worst_ewma_z",
}  # fmt: skip


def reasons(model: TargetModel, x: Floats, entity: np.ndarray) -> list[str]:
    """For each of n rows a JSON list of up to three {input, words, value, size}, strongest first.

    Inputs that say the same (all of one signal, all of the past) count together and are worded by their strongest.
    `size` is how many percentage points of calibrated probability the score would lose without them.
    """
    if not len(x):
        return []
    contribution, margin, is_log_odds = _explained(model, x, entity)
    group, names = _groups(x)
    totals = np.zeros((len(x), len(names)))
    for position in range(len(names)):
        totals[:, position] = np.where(group == position, contribution, 0).sum(axis=1)
    size = 100 * (_probability(model, margin, is_log_odds)[:, None] - _without(model, margin, totals, is_log_odds))
    order = np.argsort(-np.abs(size), axis=1, kind="stable")[:, :_REASONS]
    lead = np.stack(
        [np.argmax(np.where(group == order[:, [i]], np.abs(contribution), -1), axis=1) for i in range(order.shape[1])],
        axis=1,
    )
    for name, positions in _worst_signals(x).items():
        lead = np.where(lead == INPUT_NAMES.index(name), positions[:, None], lead)
    rows = np.arange(len(x))[:, None]
    return [
        json.dumps(
            [
                _reason(int(i), float(v), float(s))
                for i, v, s in zip(inputs, values, sizes, strict=True)
                if abs(s) >= 0.05
            ]
        )
        for inputs, values, sizes in zip(lead, x[rows, lead], size[rows, order], strict=True)
    ]


def _explained(model: TargetModel, x: Floats, entity: np.ndarray) -> tuple[Floats, Floats, bool]:
    found = contributions(model, x, entity)
    if found is not None:
        return found
    single, margin = np.zeros(x.shape), model.estimator.predict(x, entity)
    if model.name in _BASELINE_INPUTS:
        single[:, INPUT_NAMES.index(_BASELINE_INPUTS[model.name])] = margin - model.estimator.everyone
    return single, margin, False


def _probability(model: TargetModel, margin: Floats, is_log_odds: bool) -> Floats:
    return model.calibrator.apply(expit(margin) if is_log_odds else np.clip(margin, 0, 1))


def _without(model: TargetModel, margin: Floats, totals: Floats, is_log_odds: bool) -> Floats:
    return _probability(model, margin[:, None] - totals, is_log_odds)


def _groups(x: Floats) -> tuple[NDArray[np.int64], list[str]]:
    """n x p group numbers, and the groups' names; what is the worst of the signals belongs to that signal."""
    names = [*SIGNALS, *(name for name in _GROUPS if name not in SIGNALS), "calendar"]
    group = np.full(len(INPUT_NAMES), names.index("calendar"))
    for position, name in enumerate(INPUT_NAMES):
        prefix = name.split("_", 1)[0]
        owner = next((g for g, members in _GROUPS.items() if name in members), prefix)
        if owner in names:
            group[position] = names.index(owner)
    by_row = np.tile(group, (len(x), 1))
    for name, positions in _worst_signals(x).items():
        by_row[:, INPUT_NAMES.index(name)] = group[positions]
    return by_row, names


def _worst_signals(x: Floats) -> dict[str, NDArray[np.int64]]:
    """Per input that is the worst of the signals, n positions of the signal's own input that is worst."""
    out = {}
    for name, suffix in _WORST.items():
        own = np.array([INPUT_NAMES.index(f"{signal}_{suffix}") for signal in SIGNALS])
        out[name] = own[np.argmax(np.nan_to_num(x[:, own], nan=-np.inf), axis=1)]
    return out


def _reason(position: int, value: float, size: float) -> dict[str, object]:
    item = INPUTS[position]
    known = value == value
    return {
        "input": item.name,
        "words": item.phrase(value),
        "value": round(value, 4) if known else None,
        "size": round(size, 1),
    }
