"""Whether the cards of a morning show who is truly hurt, and in the order of how much: held against injected faults.

`python -m benchmarks.models_cards` prints the figures. Each seed's logs are looked at as they were known at the end of
every fourth day. What a fault truly costs is its feature's users of a usual day, times the share of their events that
it can reach, times how bad it makes them. Not part of the test suite.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from benchmarks.models_detection import FIRST_SEED, Figure
from benchmarks.models_incidents import DAYS, GRACE, simulated
from benchmarks.models_truth import described
from quality_assets.domain.features.attention import features_that_need_attention, incident_order
from quality_assets.domain.features.incidents import find_incidents
from quality_assets.domain.plain import rows_of_frame
from quality_assets.domain.series.states import Described

SEEDS = 12
CARDS = 3
_FIRST_DAY, _EVERY = 40, 4
# What the truth says no more of: about half of a platform's users have its newest version, a fifth are of one country.
_VERSION_SHARE, _COUNTRY_SHARE = 0.5, 0.2
# The whole of what a fault can do to an event: it fails, or takes twice as long, or costs two of four points.
_MOST = {"latency": 1.0, "feedback": 2.0}


def harm(fault: Mapping[str, Any], day: date, facts: pd.DataFrame, counts: Mapping[str, pd.DataFrame]) -> float:
    """Users of its feature, times what share of their events it reaches, times how bad it makes them; 0 once over."""
    if not fault["start_date"] <= day <= fault["end_date"]:
        return 0.0
    before = pd.Timestamp(fault["start_date"])
    own = facts[(facts["feature"] == fault["feature"]) & (facts["event_date"] < before)].tail(28)
    share = _share(counts["platform_counts"], fault, "platform", before)
    share *= _share(counts["event_counts"], fault, "event_name", before)
    share *= (_VERSION_SHARE if fault["app_version"] else 1.0) * (_COUNTRY_SHARE if fault["country"] else 1.0)
    size = abs(float(fault["size"]))
    if fault["ramp_days"]:
        size *= min(((day - fault["start_date"]).days + 1) / fault["ramp_days"], 1.0)
    if fault["group"] == "crash":
        size *= float(own["crashes"].sum() / max(own["events"].sum(), 1))
    badness = min(size / _MOST.get(fault["group"], 1.0), 1.0)
    return float(own["users"].median() * share * badness)


def _share(counts: pd.DataFrame, fault: Mapping[str, Any], column: str, before: pd.Timestamp) -> float:
    if not fault[column]:
        return 1.0
    own = counts[(counts["feature"] == fault["feature"]) & (counts["event_date"] < before)]
    return float(own.loc[own[column] == fault[column], "events"].sum() / max(own["events"].sum(), 1))


def mornings(seed: int) -> list[dict[str, float]]:
    """One row a day that was looked at: cards, how many of them show a fault, and how their order agrees with harm."""
    facts, counts, truth = simulated(seed, is_healthy=False)
    faults = truth.to_dict("records")
    descriptions = described(seed)
    tiers = {str(f): int(t) for f, t in zip(descriptions["feature"], descriptions["tier"], strict=True)}
    own, first = Described.of(descriptions), pd.Timestamp(facts["event_date"].min())
    out = []
    for number in range(_FIRST_DAY, DAYS, _EVERY):
        through = first + pd.Timedelta(days=number)
        known = {name: rows[rows["event_date"] <= through] for name, rows in counts.items()}
        found = find_incidents(facts[facts["event_date"] <= through], **known, tiers=tiers, described=own)
        told = [entry["feature"] for entry in features_that_need_attention(found, None, most=100)]
        listed = sorted(rows_of_frame(found[found["end_date"].isna()]), key=incident_order)
        order = list(dict.fromkeys(row["feature"] for row in listed))
        judged = _judged(told, faults, through.date(), facts, counts)
        in_list = _judged(order, faults, through.date(), facts, counts)["tau"]
        out.append(judged | {"tau of the list": in_list})
    return out


def _judged(
    told: list[str], faults: list[dict[str, Any]], day: date, facts: pd.DataFrame, counts: Mapping[str, pd.DataFrame]
) -> dict[str, float]:
    cost: dict[str, float] = {}
    just_over: set[str] = set()
    for fault in faults:
        hurt = harm(fault, day, facts, counts)
        cost[fault["feature"]] = cost.get(fault["feature"], 0.0) + hurt
        if fault["start_date"] <= day <= fault["end_date"] + GRACE:
            just_over.add(fault["feature"])
    costs = [cost.get(name, 0.0) for name in told]
    order = kendalltau(-np.arange(len(told)), costs).statistic if len(set(costs)) > 1 else np.nan
    return {
        "cards": float(min(len(told), CARDS)),
        "true": float(sum(each > 0 for each in costs[:CARDS])),
        "true or just over": float(sum(name in just_over for name in told[:CARDS])),
        "tau": float(order),
    }


def run_cards(seeds: Iterable[int]) -> list[Figure]:
    """Precision over all cards of a seed, and the mean rank correlation of mornings with two features told or more."""
    rows = pd.concat([pd.DataFrame(mornings(seed)).assign(seed=seed) for seed in seeds], ignore_index=True)
    by_seed = rows.groupby("seed")
    sums = by_seed[["cards", "true", "true or just over"]].sum()
    figures: list[tuple[str, pd.Series, str, float | None]] = [
        (f"cards: precision at {CARDS}, a fault goes on", sums["true"] / sums["cards"], "≥ .75", 0.75),
        (
            f"cards: precision at {CARDS}, or was over for {GRACE // timedelta(days=1)} days at most",
            sums["true or just over"] / sums["cards"], "", None,
        ),
        ("cards: Kendall's tau of the order with the true harm", by_seed["tau"].mean(), "≥ .50", 0.5),
        ("open incidents, what has eased last: the same", by_seed["tau of the list"].mean(), "", None),
    ]  # fmt: skip
    return [
        Figure(name, float(each.mean()), float(each.std(ddof=1)) if len(each) > 1 else 0.0, bar,
               None if least is None else bool(each.mean() >= least))
        for name, each, bar, least in figures
    ]  # fmt: skip


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="number of reporting seeds")
    for figure in run_cards(range(FIRST_SEED, FIRST_SEED + parser.parse_args().seeds)):
        verdict = "" if figure.holds is None else "holds" if figure.holds else "MISSED"
        print(f"{figure.name:<70} {figure.mean:6.3f} ± {figure.spread:.3f}  {figure.bar:<10} {verdict}")


if __name__ == "__main__":
    main()
