"""How far what is told is true, held against the faults that were injected into simulated logs, and not against labels.

`python -m benchmarks.models_truth` prints the figures: risk within seven days, incidents, their severity, and the flags
of trends, of products with faults and of the same without any. Not part of the test suite.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from benchmarks.models_detection import FIRST_SEED, Figure
from benchmarks.models_incidents import EVENTS_PER_DAY, FEATURES, GRACE, simulated
from quality_assets.contracts.incidents import INCIDENT_SEVERITIES
from quality_assets.contracts.metrics import METRIC_GROUPS
from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.features.descriptions import read_feature_descriptions
from quality_assets.domain.features.incidents import incidents_of
from quality_assets.domain.features.status import AT_RISK, ATTENTION_METRICS, WATCH
from quality_assets.domain.features.trends import HISTORY_DAYS, trends_sql
from quality_assets.domain.models.risk.inputs import RiskContext, risk_inputs, with_labels
from quality_assets.domain.models.risk.labels import degradation_labels, states_of
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.training import train_risk_model
from quality_assets.domain.series.state_rows import state_rows
from quality_assets.domain.series.states import Described, Watched, watch
from quality_assets.domain.stats.grading import measure, prepare
from quality_assets.simulate import SimulationPlan, simulate

SEEDS = 3
HORIZON_DAYS = 7
MODELS = ("ewma_chart", "logistic_regression", "random_forest", "hist_gradient_boosting")
IN_USE = "model in use"
_TOLD = ("logistic_regression", IN_USE)
_DRAWS = 200
# Intervals as in the product: who is chosen depends on them.
_QUICK = RiskSettings(interval_members=0, importance_repeats=0)


def described(seed: int) -> pd.DataFrame:
    """What feature_metadata.csv says of the features of a seed."""
    plan = SimulationPlan(
        days=2, features=FEATURES, events_per_day=EVENTS_PER_DAY // 10, seed=seed, dirt_share=0.0, incidents=()
    )
    with TemporaryDirectory() as folder:
        simulate(plan, Path(folder), format="parquet")
        return read_feature_descriptions(Path(folder) / "feature_metadata.csv")


def figures_of(seed: int) -> dict[str, float]:
    """Every figure of one seed."""
    descriptions = described(seed)
    tiers = {str(f): int(t) for f, t in zip(descriptions["feature"], descriptions["tier"], strict=True)}
    own = Described.of(descriptions)
    facts, counts, truth = simulated(seed, is_healthy=False)
    watched = watch(facts, **counts, described=own)
    incidents = incidents_of(watched, facts, tiers=tiers)
    healthy, healthy_counts, _ = simulated(seed, is_healthy=True)
    calm = watch(healthy, **healthy_counts, described=own)
    false = incidents_of(calm, healthy, tiers=tiers)
    feature_years = healthy["feature"].nunique() * healthy["event_date"].nunique() / 365
    states = states_of(facts, watched)
    labels = degradation_labels(states)
    training = with_labels(risk_inputs(states, RiskContext()), labels)
    result = train_risk_model(training, _QUICK, labels[labels["is_onset_today"].to_numpy(dtype=bool)])
    held_out = result.held_out[result.held_out["target"] == "any"].reset_index(drop=True)
    held_out[IN_USE] = held_out[result.model.targets["any"].name]
    return {
        "incidents: recall": _recall(incidents, truth),
        "incidents: precision": _precision(incidents, truth),
        "incidents: false a feature-year": len(false) / feature_years,
        "severity: share critical of what is told without any fault": float((false["severity"] == "critical").mean()),
        **{f"severity: share {s}": float((incidents["severity"] == s).mean()) for s in INCIDENT_SEVERITIES},
        "trends: feature-days flagged without any fault": _flagged(healthy),
        "pages: feature-days that say Watch without any fault": _watched_share(healthy, calm, false),
        **_graded(held_out, truth, incidents),
        **_graded_by_label(held_out),
    }


def _recall(found: pd.DataFrame, truth: pd.DataFrame) -> float:
    hits = 0
    for fault in truth.itertuples():
        own = found[found["feature"] == fault.feature]
        alike = own["metrics"].map(lambda names, group=fault.group: group in map(METRIC_GROUPS.get, names)).astype(bool)
        in_time = (own["detected_on"] >= fault.start_date) & (own["detected_on"] <= fault.end_date + GRACE)
        hits += bool((alike & in_time).any())
    return hits / max(len(truth), 1)


def _precision(found: pd.DataFrame, truth: pd.DataFrame) -> float:
    pairs = found.assign(number=range(len(found)), until=found["end_date"].fillna(found["detected_on"].max())).merge(
        truth[["feature", "start_date", "end_date"]], on="feature", suffixes=("", "_of_fault")
    )
    overlaps = (pairs["start_date"] <= pairs["end_date_of_fault"] + GRACE) & (
        pairs["until"] >= pairs["start_date_of_fault"] - GRACE
    )
    return float(pairs.loc[overlaps, "number"].nunique() / max(len(found), 1))


def _flagged(facts: pd.DataFrame) -> float:
    """Share of feature-days on which any of the metrics that ask for attention was called worse."""
    days = pd.to_datetime(facts["event_date"])
    with duckdb.connect() as connection:
        connection.execute("create schema product")
        connection.register("facts", facts)
        connection.execute(
            "create table product.fact_feature_metrics as select * replace (cast(event_date as date) as event_date)"
            " from facts"
        )
        span = {"start": (days.min() + timedelta(days=HISTORY_DAYS)).date(), "end": days.max().date()}
        rows = connection.execute(trends_sql(), span).df()
    own = rows[rows["metric"].isin(ATTENTION_METRICS)]
    return float(own.groupby(["event_date", "feature"])["is_worse"].agg(lambda flags: flags.eq(True).any()).mean())


def _watched_share(facts: pd.DataFrame, watched: list[Watched], incidents: pd.DataFrame) -> float:
    """Share of feature-days of which a page says Watch: no open incident, and a metric that its state calls worse, or a
    risk that is worth watching, by the model that these logs give."""
    states = states_of(facts, watched)
    training = with_labels(risk_inputs(states, RiskContext()), degradation_labels(states))
    result = train_risk_model(training, _QUICK)
    said = result.held_out[result.held_out["target"] == "any"]
    rows = training[["event_date", "feature"]].assign(risk=np.nan)
    if "any" in result.model.targets and len(said):
        name = result.model.targets["any"].name
        rows = rows.drop(columns="risk").merge(
            said[["event_date", "feature", name]].rename(columns={name: "risk"}), how="left"
        )
    told = state_rows(watched)
    own = told[told["metric"].isin(ATTENTION_METRICS) & told["is_bad"] & (told["platform"] == "")]
    worse = rows.merge(own[["event_date", "feature"]].drop_duplicates().assign(is_worse=True), how="left")["is_worse"]
    until = incidents["end_date"].fillna(pd.Timestamp("2200-01-01").date())
    is_open = _is_in(rows, incidents["feature"], incidents["detected_on"], until, 0)
    is_risky = rows["risk"].ge(WATCH) & rows["risk"].lt(AT_RISK)
    return float(((worse.eq(True) | is_risky) & ~is_open).mean())


def _graded(held_out: pd.DataFrame, truth: pd.DataFrame, incidents: pd.DataFrame) -> dict[str, float]:
    """Each model's words against whether a fault was there within the next seven days."""
    came = _is_in(held_out, truth["feature"], truth["start_date"], truth["end_date"], HORIZON_DAYS)
    until = incidents["end_date"].fillna(pd.Timestamp("2200-01-01").date())
    is_open = _is_in(held_out, incidents["feature"], incidents["detected_on"], until, 0)
    out: dict[str, float] = {
        "truth: base rate": float(came.mean()),
        "label: base rate": float(held_out["outcome"].mean()),
    }
    # No forecast is nearer to what came than their means are.
    out["truth: calibration error of who is right of the label, at least"] = abs(
        out["truth: base rate"] - out["label: base rate"]
    )
    chart = float(average_precision_score(came, held_out["ewma_chart"].to_numpy(dtype=float)))
    # What nobody can beat by looking: of a fault that has not begun there is nothing to see.
    goes_on = _is_in(held_out, truth["feature"], truth["start_date"], truth["end_date"], 0)
    out["truth: PR-AUC ÷ the chart, who knows what goes on"] = float(average_precision_score(came, goes_on)) / chart
    for name in (*MODELS, IN_USE):
        p = held_out[name].to_numpy(dtype=float)
        ranked = float(average_precision_score(came, p))
        out |= {
            f"truth: PR-AUC, {name}": ranked,
            f"truth: PR-AUC ÷ the chart, {name}": ranked / chart,
            f"truth: Brier skill, {name}": 1 - float(((p - came) ** 2).mean() / (came.mean() * (1 - came.mean()))),
            f"truth: calibration error, {name}": _calibration_error(came.astype(float), p),
            f"truth: … that a forecast without error would have, {name}": _without_error(
                held_out, p, _calibration_error
            ),
            f"open incident-days: said less what came, {name}": float(p[is_open].mean() - came[is_open].mean()),
        }
    return out


def _graded_by_label(held_out: pd.DataFrame) -> dict[str, float]:
    """The words of the logistic regression and of the model in use against the label that they learnt from."""

    def grades(outcome: Floats, p: Floats) -> dict[str, float]:
        return measure(prepare(held_out, outcome, p, 1, _QUICK.block_days))

    out: dict[str, float] = {}
    for name in _TOLD:
        p = held_out[name].to_numpy(dtype=float)
        found = grades(held_out["outcome"].to_numpy(dtype=float), p)
        out |= {
            f"label: Brier skill, {name}": found["brier_skill"],
            f"label: calibration error, {name}": found["ece"],
            f"label: … that a forecast without error would have, {name}": _without_error(
                held_out, p, lambda outcome, said: grades(outcome, said)["ece"]
            ),
        }
    return out


def _without_error(held_out: pd.DataFrame, p: Floats, error: Callable[[Floats, Floats], float]) -> float:
    """The mean calibration `error` (of outcomes, of what was said) of n probabilities with which outcomes do come: what
    chance alone makes of it.

    A feature's luck is drawn anew every seventh day on average, as windows of a week share most of their days: what
    came less what was said correlates by .86 from one day to the next (seeds 901 to 908), which is 1 - 1/7.
    """
    rng = np.random.default_rng(0)
    feature = pd.factorize(held_out["feature"])[0]
    day = pd.factorize(held_out["event_date"], sort=True)[0]
    size = (_DRAWS, feature.max() + 1, day.max() + 1)
    is_new = rng.random(size) < 1 / HORIZON_DAYS
    since = np.maximum.accumulate(np.where(is_new, np.arange(size[2]), 0), axis=2)
    luck = np.take_along_axis(rng.random(size), since, axis=2)[:, feature, day]
    return float(np.mean([error((drawn < p).astype(float), p) for drawn in luck]))


def _is_in(rows: pd.DataFrame, features: pd.Series, starts: pd.Series, ends: pd.Series, ahead_days: int) -> Bools:
    """Whether any of the windows of a row's feature meets its day, or one of the next days where it looks ahead."""
    day = pd.to_datetime(rows["event_date"])
    first, last = (day + pd.Timedelta(days=1), day + pd.Timedelta(days=ahead_days)) if ahead_days else (day, day)
    out = np.zeros(len(rows), bool)
    for feature, start, end in zip(features, pd.to_datetime(starts), pd.to_datetime(ends), strict=True):
        out |= (rows["feature"].eq(feature) & (start <= last) & (end >= first)).to_numpy()
    return out


def _calibration_error(outcome: Floats, p: Floats, bins: int = 10) -> float:
    place = np.minimum((p * bins).astype(int), bins - 1)
    parts: list[Any] = [place == number for number in range(bins) if (place == number).any()]
    return float(sum(abs(p[at].mean() - outcome[at].mean()) * at.mean() for at in parts))


# Figure, bar in words, least, most.
BARS: dict[str, tuple[str, float, float]] = {
    "incidents: recall": ("≥ .75", 0.75, 1.0),
    "incidents: precision": ("≥ .80", 0.80, 1.0),
    "incidents: false a feature-year": ("≤ 1.0", 0.0, 1.0),
    "severity: share critical of what is told without any fault": ("≤ .05", 0.0, 0.05),
    **{f"severity: share {s}": ("> 0", 1e-9, 1.0) for s in INCIDENT_SEVERITIES},
    "trends: feature-days flagged without any fault": ("≤ .01", 0.0, 0.01),
    "pages: feature-days that say Watch without any fault": ("≤ .02", 0.0, 0.02),
    "truth: PR-AUC ÷ the chart, logistic_regression": ("≥ 1.15", 1.15, 99.0),
    **{f"truth: Brier skill, {name}": ("≥ .10", 0.10, 1.0) for name in _TOLD},
    **{f"truth: calibration error, {name}": ("≤ .06", 0.0, 0.06) for name in _TOLD},
    **{f"open incident-days: said less what came, {name}": ("within .15", -0.15, 0.15) for name in _TOLD},
    **{f"label: Brier skill, {name}": ("≥ .25", 0.25, 1.0) for name in _TOLD},
    **{f"label: calibration error, {name}": ("≤ .04", 0.0, 0.04) for name in _TOLD},
}


def run_truth(seeds: Iterable[int]) -> list[Figure]:
    """The figures as means over seeds, beside their bars."""
    rows = pd.DataFrame([figures_of(seed) for seed in seeds])
    out = []
    for name in rows.columns:
        bar, least, most = BARS.get(name, ("", 0.0, 0.0))
        mean = float(rows[name].mean())
        spread = float(rows[name].std(ddof=1)) if len(rows) > 1 else 0.0
        out.append(Figure(name, mean, spread, bar, least <= mean <= most if bar else None))
    return out


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="number of reporting seeds")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="the first of them")
    options = parser.parse_args()
    for figure in run_truth(range(options.first, options.first + options.seeds)):
        verdict = "" if figure.holds is None else "holds" if figure.holds else "MISSED"
        print(f"{figure.name:<70} {figure.mean:6.3f} ± {figure.spread:.3f}  {figure.bar:<10} {verdict}")


if __name__ == "__main__":
    main()
