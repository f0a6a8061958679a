"""How true what is told of incidents is: whether they are real, and how they end, where the truth is simulated.

`python -m benchmarks.models_verdicts` prints the figures. Mixes that shift without a fault are held against faults,
faults that last against what is said to have recovered. Not part of the test suite.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd

from benchmarks.models_detection import FIRST_SEED, Figure
from benchmarks.models_incidents import load_facts
from quality_assets.contracts.metrics import METRIC_GROUPS
from quality_assets.domain.features.incidents import event_counts_sql, find_incidents
from quality_assets.simulate import SimulationPlan, simulate
from quality_assets.tables.causes import cause_windows, judge_windows

FEATURES, EVENTS_PER_DAY = 24, 6_000
_NO_ROWS = (
    "(select null::varchar as event_id, null::date as event_date, null::varchar as feature, null::varchar[] as reasons,"
    " null::varchar as raw_row where false)"
)


def _world(plan: SimulationPlan) -> tuple[duckdb.DuckDBPyConnection, pd.DataFrame, dict[str, pd.DataFrame], tuple]:
    """Events in a connection of their own, facts, counts, and the truth."""
    connection = duckdb.connect()
    with TemporaryDirectory() as folder:
        truth = simulate(plan, Path(folder), format="parquet").incidents
        changes = Path(folder) / "changes.csv"
        moved = pd.read_csv(changes, parse_dates=["start_date"]) if changes.exists() else pd.DataFrame()
        facts = load_facts(connection, folder)
    counted = connection.execute(event_counts_sql("events"), {"from_date": plan.start_date, "to_date": plan.end_date})
    by_name = counted.df().groupby(["event_date", "feature", "event_name"], as_index=False)["events"].sum()
    return connection, facts, {"event_counts": by_name}, (truth, moved)


def _judged(
    connection: duckdb.DuckDBPyConnection, facts: pd.DataFrame, counts: dict[str, pd.DataFrame], through: date
) -> pd.DataFrame:
    """The incidents that are open at the end of a day and worse than their own past, with their verdicts."""
    known = facts[facts["event_date"] <= pd.Timestamp(through)]
    names = counts["event_counts"][counts["event_counts"]["event_date"] <= pd.Timestamp(through)]
    found = find_incidents(known, event_counts=names)
    found = found[found["end_date"].isna() & (found["kind"] != "objective")]
    if not len(found):
        return found.assign(verdict=[])
    rows = found.to_dict("records")
    verdicts = judge_windows(connection, rows, cause_windows(rows, through), "events", _NO_ROWS, {})
    return found.assign(verdict=[verdicts[row["incident_id"]].verdict for row in rows])


def mix_verdicts(seed: int, days: int = 100) -> pd.DataFrame:
    """Verdicts on latency incidents of features whose mix has shifted and that have no fault."""
    plan = SimulationPlan(
        days=days, features=FEATURES, events_per_day=EVENTS_PER_DAY, seed=seed, dirt_share=0.0, incidents=(), mixes=12
    )
    connection, facts, counts, (_, moved) = _world(plan)
    found = _judged(connection, facts, counts, plan.end_date)
    connection.close()
    pairs = found.merge(moved, on="feature", suffixes=("", "_of_change"))
    is_latency = pairs["metric"].map(METRIC_GROUPS).eq("latency")
    near = (pd.to_datetime(pairs["start_date"]) - pairs["start_date_of_change"]).abs() <= pd.Timedelta(days=5)
    return pairs.loc[is_latency & near, ["feature", "kind_of_change", "verdict"]].assign(seed=seed)


def fault_verdicts(seed: int, days: int = 100, every: int = 9) -> pd.DataFrame:
    """Verdicts on incidents that a true fault of their kind of metric goes on under, as told every few days."""
    plan = SimulationPlan(days=days, features=FEATURES, events_per_day=EVENTS_PER_DAY, seed=seed, dirt_share=0.0)
    connection, facts, counts, (truth, _) = _world(plan)
    rows = []
    for day in range(30, days, every):
        through = plan.date_of(day)
        for incident in _judged(connection, facts, counts, through).itertuples():
            rows += [
                {"feature": incident.feature, "kind": fault.kind, "verdict": incident.verdict, "seed": seed}
                for fault in truth
                if fault.feature == incident.feature
                and METRIC_GROUPS[fault.metric] == METRIC_GROUPS[incident.metric]
                and fault.start_date <= through <= (fault.end_date or plan.end_date)
                and abs((incident.start_date - fault.start_date).days) <= 7
            ]
    connection.close()
    return pd.DataFrame(rows, columns=["feature", "kind", "verdict", "seed"])


def lasting_ends(seed: int, days: int = 130) -> pd.DataFrame:
    """How incidents of faults that go on to the end are said to have ended."""
    plan = SimulationPlan(
        days=days, features=FEATURES, events_per_day=EVENTS_PER_DAY, seed=seed, dirt_share=0.0,
        incidents_per_feature_quarter=0.0, lasting_faults=10,
    )  # fmt: skip
    connection, facts, counts, (truth, _) = _world(plan)
    connection.close()
    found = find_incidents(facts, **counts)
    rows = []
    for fault in truth:
        own = found[(found["feature"] == fault.feature) & (found["detected_on"] >= fault.start_date)]
        is_alike = own["metrics"].map(lambda names, f=fault: METRIC_GROUPS[f.metric] in map(METRIC_GROUPS.get, names))
        own = own[is_alike.astype(bool)]
        own = own[own["start_date"] <= fault.start_date + timedelta(days=max(fault.ramp_days, 10))]
        rows += [{"kind": fault.kind, "size": fault.size, "end_kind": end, "seed": seed} for end in own["end_kind"]]
    return pd.DataFrame(rows, columns=["kind", "size", "end_kind", "seed"])


def run_verdicts(seeds: Iterable[int]) -> list[Figure]:
    """Shares over all seeds together."""
    seeds = list(seeds)
    mixes = pd.concat([mix_verdicts(seed) for seed in seeds], ignore_index=True)
    faults = pd.concat([fault_verdicts(seed) for seed in seeds], ignore_index=True)
    ends = pd.concat([lasting_ends(seed) for seed in seeds], ignore_index=True)
    told, wrong = mixes["verdict"].eq("measurement").mean(), faults["verdict"].eq("measurement").mean()
    recovered = ends["end_kind"].eq("recovered").mean()
    return [
        Figure(f"mixes alone: told as measurement, of {len(mixes)}", float(told), 0.0, "≥ .90", bool(told >= 0.9)),
        Figure(f"true faults: told as measurement, of {len(faults)}", float(wrong), 0.0, "≤ .05", bool(wrong <= 0.05)),
        Figure(
            f"faults that last: told as recovered, of {len(ends)}", float(recovered), 0.0, "≤ .05", recovered <= 0.05
        ),
    ]


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4, help="number of seeds")
    for figure in run_verdicts(range(FIRST_SEED, FIRST_SEED + parser.parse_args().seeds)):
        print(f"{figure.name:<60} {figure.mean:6.3f}  {figure.bar:<7} {'holds' if figure.holds else 'MISSED'}")


if __name__ == "__main__":
    main()
