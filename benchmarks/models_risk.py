"""How well the risk of degradation is predicted, and what training and scoring cost, beside the bars.

`python -m benchmarks.models_risk` prints it. Facts come from `simulate.daily_facts`; settings were chosen on seeds
901 to 916, the figures are of seeds 1 and up. Not part of the test suite.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.domain.models.artifact import TrainingResult
from quality_assets.domain.models.risk.inputs import RiskContext, risk_inputs, with_labels
from quality_assets.domain.models.risk.labels import degradation_labels, feature_states
from quality_assets.domain.models.risk.scoring import score_risk
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.training import train_risk_model
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.training import permuted_label_lift
from quality_assets.domain.stats.grading import lead_times, top_k
from quality_assets.simulate.daily_facts import DailyFacts, DailyPlan, simulate_daily_facts

REPORT_SEEDS = tuple(range(1, 13))
FEATURES, DAYS = 40, 180
WARNED_PER_DAY = 3
_MATCH_DAYS = 21
_NULL_BLOCK_DAYS = 14
_OF_CHAMPION = ("pr_auc", "brier_skill", "ece")
_SETTINGS = RiskSettings(interval_members=0, importance_repeats=0, bootstrap_rounds=30)


def run_risk(seeds: Iterable[int] = REPORT_SEEDS, settings: RiskSettings = _SETTINGS) -> pd.DataFrame:
    """One row per seed: PR-AUC of every model on both targets, skill, calibration, lead, canary, champion."""
    return pd.DataFrame([_one(seed, settings) for seed in seeds])


def summary(figures: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation, minimum and maximum over seeds of each numeric figure."""
    numeric = figures.drop(columns=["seed"]).select_dtypes("number")
    return numeric.agg(["mean", "std", "min", "max"]).T


def _one(seed: int, settings: RiskSettings) -> dict[str, Any]:
    simulated = simulate_daily_facts(DailyPlan(FEATURES, DAYS, seed))
    training, labels = _training(simulated)
    onsets = labels[labels["is_onset_today"].to_numpy(dtype=bool)]
    result = train_risk_model(training, settings, onsets)
    row: dict[str, Any] = {"seed": seed, "incidents": len(simulated.incidents), "onsets": len(onsets)}
    for target in ("any", "onset"):
        part = result.metrics[result.metrics["target"] == target]
        values = part.pivot_table(index="model", columns="metric", values="value")
        row[f"{target}_base"] = float(part["base_rate"].iloc[0])
        row |= {f"{target}_{name}": float(values.loc[name, "pr_auc"]) for name in values.index}
        row[f"{target}_gain"] = float(
            values["pr_auc"].drop(list(FEATURE_RISK.baselines)).max()
            / values.loc[list(FEATURE_RISK.baselines), "pr_auc"].max()
        )
        best = "random_forest"
        row |= {
            f"{target}_{m}": float(values.loc[best, m]) for m in ("brier_skill", "ece", "precision_at_k", "roc_auc")
        }
    row["forest_gain"] = row["any_random_forest"] / max(row[f"any_{name}"] for name in FEATURE_RISK.baselines)
    row["forest_gain_persistence"] = row["any_random_forest"] / row["any_persistence"]
    row["onset_lift"] = row["onset_random_forest"] / row["onset_base"]
    row |= _leads(result, onsets, simulated)
    row["permuted_lift"] = permuted_label_lift(FEATURE_RISK, training, replace(settings, forest_trees=50))
    row |= _in_use(result)
    row["has_onset"] = float("onset" in result.model.targets)
    null = train_risk_model(permuted_in_blocks(training, seed), settings)
    row["null_has_onset"] = float("onset" in null.model.targets)
    row["null_champion_brier_skill"] = _in_use(null)["champion_brier_skill"]
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def _in_use(result: TrainingResult) -> dict[str, Any]:
    """Who was chosen for any degraded day, and how good that was beside the chart that anyone would draw."""
    part = result.metrics[result.metrics["target"] == "any"]
    values = part.pivot_table(index="model", columns="metric", values="value")
    name = result.model.targets["any"].name if "any" in result.model.targets else "none"
    own = {metric: float(values.loc[name, metric]) if name in values.index else np.nan for metric in _OF_CHAMPION}
    return {
        "champion": name,
        "champion_gain_chart": own["pr_auc"] / float(values.loc["ewma_chart", "pr_auc"]),
        **{f"champion_{metric}": value for metric, value in own.items()},
        "best_brier_skill": float(values["brier_skill"].max()),
    }


def permuted_in_blocks(training: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A training set whose labels say nothing: fortnights of a feature's labels, whole, lie on other feature-days."""
    rng = np.random.default_rng(seed)
    null = training.sort_values(["feature", "event_date"]).reset_index(drop=True)
    for label in ("label_any", "label_onset"):
        known = np.flatnonzero(null[label].notna())
        blocks = np.array_split(known, max(len(known) // _NULL_BLOCK_DAYS, 1))
        moved = np.concatenate([blocks[position] for position in rng.permutation(len(blocks))])
        null.loc[known, label] = null[label].to_numpy()[moved]
    return null.sort_values(["event_date", "feature"]).reset_index(drop=True)


def _training(simulated: DailyFacts) -> tuple[pd.DataFrame, pd.DataFrame]:
    states = feature_states(simulated.facts)
    labels = degradation_labels(states)
    return with_labels(risk_inputs(states, RiskContext(releases=simulated.releases)), labels), labels


def _leads(result: TrainingResult, onsets: pd.DataFrame, simulated: DailyFacts) -> dict[str, float]:
    """Per kind of incident: share of onsets warned of by the top three healthy features of a day, and median lead."""
    held = result.held_out[result.held_out["target"] == "onset"]
    day = held["event_date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    warned = top_k(day, held["random_forest"].to_numpy(), WARNED_PER_DAY)
    kinds = _kind_of(onsets, simulated.incidents)
    out = {"chance_warned": WARNED_PER_DAY / (len(held) / max(held["event_date"].nunique(), 1))}
    for kind in ("latency_creep", "release_regression", "feedback_drop", "crash_spike", "volume_loss"):
        lead = lead_times(held, warned, onsets[(kinds == kind).to_numpy()], 7)
        out[f"warned_{kind}"], out[f"lead_{kind}"] = lead.warned_share, lead.median_days
    return out


def _kind_of(onsets: pd.DataFrame, incidents: pd.DataFrame) -> pd.Series:
    """The kind of the incident that had begun at most three weeks before each onset; empty text where none had."""
    pairs = onsets[["event_date", "feature"]].reset_index().merge(incidents, on="feature")
    age = (pairs["event_date"] - pairs["start_date"]).dt.days
    near = pairs[(age >= 0) & (age <= _MATCH_DAYS)].sort_values("start_date").drop_duplicates("index", keep="last")
    return near.set_index("index")["kind"].reindex(onsets.index).fillna("")


def run_scale(features: int = 2000, days: int = 365) -> dict[str, float]:
    """Seconds and peak memory of inputs and labels, full training, and a day's scores.

    Training also in seconds of CPU, for a machine that others use.
    """
    simulated = simulate_daily_facts(DailyPlan(features, days, 1))
    started = time.perf_counter()
    training, labels = _training(simulated)
    built, built_cpu = time.perf_counter(), time.process_time()
    result = train_risk_model(training, RiskSettings(), labels[labels["is_onset_today"].to_numpy(dtype=bool)])
    trained, trained_cpu = time.perf_counter(), time.process_time()
    today = training[training["event_date"] == training["event_date"].max()]
    scores = score_risk(result.model, today, "1")
    return {
        "rows": float(len(training)),
        "inputs_s": built - started,
        "training_s": trained - built,
        "training_cpu_s": trained_cpu - built_cpu,
        "scoring_day_s": time.perf_counter() - trained,
        "scored": float(scores["risk_probability"].notna().sum()),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Print the figures, or write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=len(REPORT_SEEDS), help="how many seeds")
    parser.add_argument("--scale", action="store_true", help="time and memory at 2,000 features x 365 days instead")
    parser.add_argument("--json", help="also write the rows to this file")
    options = parser.parse_args()
    if options.scale:
        print(json.dumps(run_scale(), indent=1))
        return
    figures = run_risk(range(1, options.seeds + 1))
    print(summary(figures).round(3).to_string())
    print(figures["champion"].value_counts().to_string())
    if options.json:
        figures.to_json(options.json, orient="records", indent=1)


if __name__ == "__main__":
    main()
