"""How well incidents are found in simulated logs, from events through facts to incidents: what is missed or false.

`python -m benchmarks.models_incidents` prints the figures. Every seed is simulated twice, with its incidents and
without any, and goes through the SQL that builds the facts. Not part of the test suite.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from benchmarks.models_detection import FIRST_SEED, REPORT_SEEDS, Figure
from quality_assets.contracts.metrics import METRIC_GROUPS
from quality_assets.domain.events.tables import fact_feature_metrics_sql, user_feature_days_sql
from quality_assets.domain.features.incidents import event_counts_sql, find_incidents
from quality_assets.domain.series.detection import detect
from quality_assets.domain.series.panel import MONITORED_METRICS, panel_from_facts
from quality_assets.domain.series.silence import silent_days_to_tell
from quality_assets.simulate import SimulationPlan, simulate

DAYS, FEATURES, EVENTS_PER_DAY = 120, 24, 5_000
# Found a little after its end it still tells what happened.
GRACE = timedelta(days=3)
BUSY_EVENTS_PER_DAY = 200


def load_facts(connection: duckdb.DuckDBPyConnection, folder: str) -> pd.DataFrame:
    """Make the simulated logs under `folder` the table `events`, as the lake has them, and give their facts."""
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(
        "create table events as select *, cast(cast(event_time as timestamp) as date) as event_date,"
        " null::timestamp as received_at, 'f' as file_id, row_number() over () as line_number"
        f" from read_parquet('{folder}/logs/*.parquet')"
    )
    connection.execute(f"create table user_days as {user_feature_days_sql('events')}")
    connection.execute(
        "create table described as select feature, cast(apdex_threshold_ms as double) as apdex_threshold_ms"
        f" from read_csv('{folder}/feature_metadata.csv')"
    )
    facts_sql = fact_feature_metrics_sql("events", "user_days", "described")
    return connection.execute(facts_sql, {"apdex_threshold_ms": 500.0}).df()


def simulated(seed: int, is_healthy: bool) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], pd.DataFrame]:
    """Facts, counts by event name and by platform, and the incidents that were injected, of one simulated product."""
    plan = SimulationPlan(
        days=DAYS,
        features=FEATURES,
        events_per_day=EVENTS_PER_DAY,
        seed=seed,
        dirt_share=0.0,
        incidents=() if is_healthy else None,
    )
    with TemporaryDirectory() as folder, duckdb.connect() as connection:
        truth = simulate(plan, Path(folder), format="parquet").incidents
        facts = load_facts(connection, folder)
        span = {"from_date": plan.start_date, "to_date": plan.end_date}
        counted = connection.execute(event_counts_sql("events"), span).df()
    counts = {
        "event_counts": counted.groupby(["event_date", "feature", "event_name"], as_index=False)["events"].sum(),
        "platform_counts": counted.groupby(["event_date", "feature", "platform"], as_index=False)[
            ["events", "crashes"]
        ].sum(),
    }
    rows = pd.DataFrame([vars(incident) for incident in truth])
    if len(rows):
        rows["end_date"] = rows["end_date"].fillna(plan.end_date)
        rows["group"] = rows["metric"].map(METRIC_GROUPS)
    return facts, counts, rows


def false_figures(seed: int) -> dict[str, float]:
    """Incidents of a product without any, per metric series and per feature, and year."""
    facts, counts, _ = simulated(seed, is_healthy=True)
    found = find_incidents(facts, **counts)
    judged = sum(int(np.isfinite(detect(panel_from_facts(facts, m)).z).sum()) for m in MONITORED_METRICS)
    feature_days = facts["feature"].nunique() * facts["event_date"].nunique()
    return {
        "false per series and year": len(found) * 365 / judged,
        "false per feature and year": len(found) * 365 / feature_days,
    }


def found_figures(seed: int) -> pd.DataFrame:
    """One row per injected incident: kind, where, how large, whether and after how many days it was found."""
    facts, counts, truth = simulated(seed, is_healthy=False)
    found = find_incidents(facts, **counts)
    rows = []
    for incident in truth.itertuples():
        own = found[found["feature"] == incident.feature]
        is_alike = own["metrics"].map(lambda names, group=incident.group: group in map(METRIC_GROUPS.get, names))
        is_in_time = (own["detected_on"] >= incident.start_date) & (own["detected_on"] <= incident.end_date + GRACE)
        hits = own.loc[is_alike.astype(bool) & is_in_time, "detected_on"]
        rows.append(
            {
                "kind": incident.kind,
                "is_slice": bool(incident.platform or incident.app_version or incident.country),
                "is_busy": facts.loc[facts["feature"] == incident.feature, "events"].median() >= BUSY_EVENTS_PER_DAY,
                "is_found": len(hits) > 0,
                "delay_days": (min(hits) - incident.start_date).days if len(hits) else np.nan,
                "days_until_tellable": _days_until_tellable(counts["event_counts"], incident),
                "false_share": _false_share(found, truth),
            }
        )
    return pd.DataFrame(rows)


def _days_until_tellable(counts: pd.DataFrame, incident: Any) -> float:
    """Days of silence until a Poisson count of the usual size would be silent by chance once in 10,000 times."""
    if incident.kind != "dead_event":
        return np.nan
    day, name, feature = incident.start_date, incident.event_name, incident.feature
    own = counts[(counts["feature"] == feature) & (counts["event_name"].eq(name) | (name == ""))]
    before = own[
        (own["event_date"] < pd.Timestamp(day)) & (own["event_date"] >= pd.Timestamp(day - timedelta(days=28)))
    ]
    observed = min(28, max((day - counts["event_date"].min().date()).days, 1))
    return float(silent_days_to_tell(before["events"].sum() / observed, days_observed=observed))


def _false_share(found: pd.DataFrame, truth: pd.DataFrame) -> float:
    """Share of the incidents found that overlap no fault of their feature."""
    if not len(found):
        return 0.0
    pairs = found.assign(number=range(len(found)), until=found["end_date"].fillna(found["detected_on"].max())).merge(
        truth[["feature", "start_date", "end_date"]], on="feature", suffixes=("", "_of_fault")
    )
    overlaps = (pairs["start_date"] <= pairs["end_date_of_fault"] + GRACE) & (
        pairs["until"] >= pairs["start_date_of_fault"] - GRACE
    )
    return 1 - pairs.loc[overlaps, "number"].nunique() / len(found)


def run_incidents(seeds: Iterable[int] = REPORT_SEEDS) -> list[Figure]:
    """False incidents on healthy logs, and recall by kind; recall is over all seeds together, spread over seeds."""
    seeds = list(seeds)
    false = pd.DataFrame([false_figures(seed) for seed in seeds])
    rows = pd.concat([found_figures(seed).assign(seed=seed) for seed in seeds], ignore_index=True)
    figures = [
        _figure("healthy logs: false incidents per series and year", false["false per series and year"], "≤ 1.5", 1.5),
        _figure("healthy logs: false incidents per feature and year", false["false per feature and year"]),
        _figure("share of incidents found that are false", rows.groupby("seed")["false_share"].first()),
    ]
    for (kind, is_slice), group in rows.groupby(["kind", "is_slice"]):
        where = "in a slice" if is_slice else "all traffic"
        for which, part in (("", group), (f", {BUSY_EVENTS_PER_DAY}+ events a day", group[group["is_busy"]])):
            by_seed = part.groupby("seed")["is_found"].mean()
            name = f"{kind}, {where}{which}: found of {len(part)}"
            figures.append(Figure(name, float(part["is_found"].mean()), robust_spread(by_seed), "", None))
    dead = rows[rows["kind"] == "dead_event"]
    on_time = dead["delay_days"] <= dead["days_until_tellable"] - 1
    figures.append(
        Figure("dead event: found by the day a Poisson count would tell", float(on_time.mean()), 0.0, "", None)
    )
    return figures


def _figure(name: str, values: pd.Series, bar: str = "", most: float | None = None) -> Figure:
    mean = float(values.mean())
    return Figure(name, mean, robust_spread(values), bar, None if most is None else mean <= most)


def robust_spread(values: pd.Series) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=len(REPORT_SEEDS), help="number of reporting seeds")
    for figure in run_incidents(range(FIRST_SEED, FIRST_SEED + parser.parse_args().seeds)):
        verdict = "" if figure.holds is None else "holds" if figure.holds else "MISSED"
        print(f"{figure.name:<70} {figure.mean:6.3f} ± {figure.spread:.3f}  {figure.bar:<7} {verdict}")


if __name__ == "__main__":
    main()
