"""What is known of how good a model is: metrics with intervals, calibration, importance, held-out rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from quality_assets.contracts.risk_inputs import INPUT_NAMES, INPUTS, LEARNT_NAMES
from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.artifact import RiskModel, Target
from quality_assets.domain.models.estimators import BASELINES, RiskSettings, make_estimator
from quality_assets.domain.models.rows import TargetRows, sample_rows
from quality_assets.domain.models.splits import time_splits
from quality_assets.domain.stats.grading import (
    calibration_bins,
    lead_times,
    measure,
    measure_with_intervals,
    prepare,
    top_k,
)

_MIN_ROUNDS, _ROUND_ROWS = 40, 10_000_000


_LEAD_METRICS = ("warned_share", "lead_days_median")


@dataclass(frozen=True)
class Evidence:
    """Held-out rows of one target in time order: keys, outcomes, calibrated probability and raw output per model,
    `is_graded` false in the first fold, whose predictions have no calibration yet."""

    target: Target
    keys: pd.DataFrame
    y: Floats
    raw: dict[str, Floats]
    p: dict[str, Floats]
    is_graded: Bools
    champion: str | None = None

    @property
    def graded_keys(self) -> pd.DataFrame:
        return self.keys[self.is_graded]

    def pr_auc(self, name: str) -> float:
        rows = prepare(self.graded_keys, self.y[self.is_graded], self.p[name][self.is_graded], 1, 14)
        return measure(rows)["pr_auc"]


def metrics_frame(
    evidence: list[Evidence], model: RiskModel, settings: RiskSettings, onsets: pd.DataFrame | None
) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    for proof in evidence:
        mask = proof.is_graded
        if not mask.any():
            continue
        keys, y = proof.graded_keys, proof.y[mask]
        for name, p in proof.p.items():
            graded = prepare(keys, y, p[mask], settings.capacity_k, 2 * settings.horizon_days)
            part = measure_with_intervals(graded, grading_rounds(len(y), settings), settings.seed)
            if onsets is not None:
                part = pd.concat([part, _lead_rows(keys, p[mask], onsets, settings)], ignore_index=True)
            baseline = "baseline" if name in BASELINES else "candidate"
            part.insert(0, "role", "champion" if name == proof.champion else baseline)
            part.insert(0, "model", name)
            part.insert(0, "target", proof.target)
            part["rows"], part["positives"], part["base_rate"] = len(y), int(y.sum()), float(y.mean())
            part["k"] = settings.capacity_k
            parts.append(part)
    columns = ["target", "model", "role", "metric", "value", "low", "high", "rows", "positives", "base_rate", "k"]
    frame = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    frame.insert(0, "trained_through", pd.Timestamp(model.trained_through))
    return frame


def grading_rounds(rows: int, settings: RiskSettings) -> int:
    """Bootstrap rounds: fewer where rows are many, whose intervals are narrow and need no fine edges."""
    return min(settings.bootstrap_rounds, max(_MIN_ROUNDS, _ROUND_ROWS // max(rows, 1)))


def _lead_rows(keys: pd.DataFrame, p: Floats, onsets: pd.DataFrame, settings: RiskSettings) -> pd.DataFrame:
    day = pd.to_datetime(keys["event_date"]).to_numpy().astype("datetime64[D]").astype(np.int64)
    lead = lead_times(keys, top_k(day, p, settings.capacity_k), onsets, settings.horizon_days)
    rng = np.random.default_rng(settings.seed)
    draws = np.array([])
    if len(lead.lead_days):
        draws = np.median(rng.choice(lead.lead_days, (settings.bootstrap_rounds, len(lead.lead_days))), axis=1)
    share = np.array([])
    if lead.onsets:
        share = rng.binomial(lead.onsets, lead.warned_share, settings.bootstrap_rounds) / lead.onsets
    rows = [
        (name, value, *(np.quantile(drawn, [0.05, 0.95]) if len(drawn) else (np.nan, np.nan)))
        for name, value, drawn in zip(_LEAD_METRICS, (lead.warned_share, lead.median_days), (share, draws), strict=True)
    ]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def calibration_frame(evidence: list[Evidence], settings: RiskSettings) -> pd.DataFrame:
    parts = [
        calibration_bins(
            proof.y[proof.is_graded],
            proof.p[proof.champion][proof.is_graded],
            proof.graded_keys,
            2 * settings.horizon_days,
            grading_rounds(int(proof.is_graded.sum()), settings),
            settings.seed,
        ).assign(target=proof.target)
        for proof in evidence
        if proof.champion in proof.p and proof.is_graded.any()
    ]
    columns = ["target", "bin", "predicted", "observed", "low", "high", "rows"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def importance_frame(parts: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ["target", "input", "description", "importance", "low", "high", "rank"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def permutation_importance(rows: TargetRows, name: str, settings: RiskSettings) -> pd.DataFrame:
    """Permutation importance (Breiman 2001; Fisher et al. 2019) on the latest fold, by a model that has not seen it;
    0 where nothing is learnt from an input.

    The interval comes from permutations and block resamples together.
    """
    split = time_splits(int(rows.day[0]), int(rows.day[-1]), settings)[-1]
    train = sample_rows(rows, rows.day <= split.train_through, settings)
    test = sample_rows(rows, rows.day >= split.test_from, replace(settings, max_fit_rows=settings.max_importance_rows))
    estimator = make_estimator(name, settings)
    estimator.fit(train.x, train.y, train.feature)
    rng = np.random.default_rng(settings.seed)
    block_days, repeats = 2 * settings.horizon_days, settings.importance_repeats
    whole = prepare(test.keys, test.y, estimator.predict(test.x, test.feature), 1, block_days)
    loss = np.zeros((len(INPUT_NAMES), repeats))
    for position in [INPUT_NAMES.index(name) for name in LEARNT_NAMES]:
        column = test.x[:, position]
        if np.nanmin(column, initial=np.inf) == np.nanmax(column, initial=-np.inf) or not np.isfinite(column).any():
            continue
        permuted = test.x.copy()
        for repeat in range(repeats):
            permuted[:, position] = rng.permutation(column)
            graded = prepare(test.keys, test.y, estimator.predict(permuted, test.feature), 1, block_days)
            # The same block weights on both sides, so that the difference is the input's alone.
            share = rng.multinomial(whole.blocks, np.full(whole.blocks, 1 / whole.blocks)).astype(float)
            loss[position, repeat] = (
                measure(whole, share[whole.block])["pr_auc"] - measure(graded, share[graded.block])["pr_auc"]
            )
    frame = pd.DataFrame(
        {
            "input": INPUT_NAMES,
            "description": [item.description for item in INPUTS],
            "importance": loss.mean(axis=1),
            "low": np.quantile(loss, 0.05, axis=1),
            "high": np.quantile(loss, 0.95, axis=1),
        }
    ).sort_values("importance", ascending=False, kind="stable")
    frame["rank"] = np.arange(1, len(frame) + 1)
    return frame


def held_out_frame(evidence: list[Evidence]) -> pd.DataFrame:
    parts = [
        proof.graded_keys.assign(
            target=proof.target,
            outcome=proof.y[proof.is_graded].astype(bool),
            **{name: p[proof.is_graded] for name, p in proof.p.items()},
        )
        for proof in evidence
    ]
    return pd.concat(parts, ignore_index=True)
