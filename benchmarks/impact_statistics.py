"""What is claimed of false alarms and power in experiments and lift, measured on worlds whose truth is known.

`python -m benchmarks.impact_statistics [--experiments N] [--worlds N]` prints each rate beside its bar. All draws are
seeded; it takes a few minutes on one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.impact import experiment_health as health
from quality_assets.domain.impact import lift
from quality_assets.domain.impact.experiments import ArmValues, compare
from quality_assets.domain.impact.srm import PartCounts
from quality_assets.simulate.people import NEVER, People
from quality_assets.simulate.people_plan import Driver, FeatureEffect, PeoplePlan

PEOPLE = 400
LOOKS = 28


@dataclass(frozen=True)
class Bar:
    """A rate that was measured, and where it has to lie."""

    name: str
    rate: float
    low: float
    high: float

    def text(self) -> str:
        """One line: the rate, its bar, and whether it holds."""
        held = "holds" if self.low <= self.rate <= self.high else "MISSED"
        return f"{self.name:<58} {self.rate:7.4f}  in [{self.low:g}, {self.high:g}]  {held}"


def _means(rng: np.random.Generator) -> ArmValues:
    return ArmValues(rng.poisson(rng.gamma(1.0, 3.0, PEOPLE)).astype(float), np.zeros(PEOPLE))


def _cuped(rng: np.random.Generator) -> ArmValues:
    rate = rng.gamma(1.0, 3.0, PEOPLE)
    return ArmValues(rng.poisson(rate).astype(float), rng.poisson(2 * rate).astype(float))


def _ratios(rng: np.random.Generator) -> ArmValues:
    below = 1.0 + rng.poisson(rng.gamma(1.0, 10.0, PEOPLE))
    value = rng.binomial(below.astype(int), rng.beta(2, 38, PEOPLE)).astype(float)
    return ArmValues(value, np.zeros(PEOPLE), below, np.zeros(PEOPLE))


def false_alarms(experiments: int) -> list[Bar]:
    """A/A experiments of means, CUPED and ratios: how often they differ at 5 %."""
    bars = []
    draws: dict[str, Callable[[np.random.Generator], ArmValues]] = {"means": _means, "CUPED": _cuped, "ratios": _ratios}
    for number, (name, draw) in enumerate(draws.items()):
        rng = np.random.default_rng([7, number])
        told = [compare(draw(rng), draw(rng)).p < 0.05 for _ in range(experiments)]
        bars.append(Bar(f"A/A at 5 %, {name}", float(np.mean(told)), 0.035, 0.065))
    return bars


def peeking(experiments: int) -> Bar:
    """A/A experiments that are looked at every day for 28 days: how often the always-valid interval ever excludes 0."""
    rng = np.random.default_rng(8)
    told = 0
    for _ in range(experiments):
        control, arm = (rng.poisson(rng.gamma(1.0, 3.0, 100 * LOOKS)).astype(float) for _ in range(2))
        for look in range(1, LOOKS + 1):
            n = 100 * look
            found = compare(ArmValues(control[:n], np.zeros(n)), ArmValues(arm[:n], np.zeros(n)))
            if not found.always_low <= 0 <= found.always_high:
                told += 1
                break
    return Bar("A/A, always-valid, 28 daily looks", told / experiments, 0.0, 0.02)


def missing_people(experiments: int) -> Bar:
    """Experiments dealt as planned: how often people are said to be missing, from all or from any part."""
    rng = np.random.default_rng(9)
    weights = {"control": 0.5, "test": 0.5}
    told = 0
    for _ in range(experiments):
        cells = rng.binomial(rng.poisson([3000, 2000, 900, 600, 4000, 2500]), 0.5)
        total = rng.poisson(6500)
        first = int(rng.binomial(total, 0.5))
        parts = [
            PartCounts(dimension, str(n), (int(c), int(rng.binomial(2 * c, 0.5))) if c else (0, 0))
            for n, (dimension, c) in enumerate(zip(("platform",) * 3 + ("version",) * 3, cells, strict=True))
        ]
        parts = [_split(rng, part) for part in parts]
        findings = health.ratio_findings({"control": first, "test": int(total - first)}, weights, parts)
        told += any(finding.status == "void" for finding in findings)
    return Bar("SRM said of experiments without, parts included", told / experiments, 0.0, 0.002)


def _split(rng: np.random.Generator, part: PartCounts) -> PartCounts:
    total = sum(part.counts)
    first = int(rng.binomial(total, 0.5))
    return PartCounts(part.dimension, part.value, (first, total - first))


def lost_rows(experiments: int) -> list[Bar]:
    """4 % of one arm's conversions lost, and none: how often loss by arm is said."""
    rng = np.random.default_rng(10)
    rates = {}
    for lost in (0.04, 0.0):
        told = 0
        for _ in range(experiments):
            sent = rng.binomial(20_000, 0.25, 2)
            broken = rng.binomial(sent, [0.01, 1 - (1 - 0.01) * (1 - lost)])
            found = health.loss_findings(
                "buy", {"control": int(broken[0]), "test": int(broken[1])},
                {"control": int(sent[0] - broken[0]), "test": int(sent[1] - broken[1])}, 0, 4,
            )  # fmt: skip
            told += any(finding.status == "void" for finding in found)
        rates[lost] = told / experiments
    return [
        Bar("loss of 4 % of one arm's converters found", rates[0.04], 0.95, 1.0),
        Bar("loss said where there is none", rates[0.0], 0.0, 0.01),
    ]


def _world(driver: Driver, effect: float, seed: int) -> str:
    """The verdict on one feature in a world of 12,000 people and 10 other features."""
    users, days, count = 12_000, 84, 11
    hazard = {"random": 0.03, "past": 0.025, "motivation": 0.02, "interest": 0.02}[driver]
    features = tuple(FeatureEffect(f"f{n}", driver, effect if n == 0 else 0.0, hazard) for n in range(count))
    people = People(seed, days, 0, users * 0.12, PeoplePlan(users, features, (), 0, 0))
    seen: list[tuple[Floats, ...]] = []
    for day in range(days):
        came = people.live(day)
        seen.append((came.person, np.full(len(came.person), day), came.sessions))
        people.adopters(came, day, came.sessions > 0)
        people.end(came)
    user, day, sessions = (np.concatenate(each) for each in zip(*seen, strict=True))
    order = np.lexsort((day, user))
    joined = np.full(users, days)
    np.minimum.at(joined, user, day)
    active = lift.UserDays(user[order], day[order], sessions[order], people.traits.platform, joined, days)
    past = lift.Past.of(active)
    found = [_estimated(active, past, np.where(a == NEVER, days + 1, a), days, seed) for a in people.adopted_day]
    held = lift.calibrate(found[0][0], [estimate for estimate, _ in found[1:]])
    return lift.lift_verdict(*found[0], held)


def _estimated(
    active: lift.UserDays, past: lift.Past, first_use: np.ndarray, days: int, seed: int
) -> tuple[lift.Estimate, lift.Estimate]:
    rows = lift.at_risk_rows(active, first_use, lift.LEAST_PAST_DAYS, days - 1 - lift.OUTCOME_DAYS, seed)
    now, before = lift.covariates(active, past, rows), lift.covariates(active, past, rows, lift.OUTCOME_DAYS)
    return (
        lift.adjusted(rows, lift.returned(past, rows), now, lift.propensities(rows, now)),
        lift.adjusted(rows, lift.returned(past, rows, -lift.OUTCOME_DAYS), before, lift.propensities(rows, before)),
    )


def lifts(worlds: int) -> Iterator[Bar]:
    """Four worlds with and without a true effect: how often a feature is called associated."""
    drivers: tuple[Driver, ...] = ("random", "past", "motivation", "interest")
    if not worlds:
        return
    with lift.small_fits():
        for driver in drivers:
            for effect in (0.0, 0.75):
                told = [_world(driver, effect, seed) == "associated (observational)" for seed in range(worlds)]
                known = driver in ("random", "motivation")
                low, high = (0.8 if known else 0.0, 1.0) if effect else (0.0, 0.05)
                what = "true effect found" if effect else "associated without effect"
                yield Bar(f"lift, use driven by {driver}: {what}", float(np.mean(told)), low, high)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=3000)
    parser.add_argument("--worlds", type=int, default=20)
    given = parser.parse_args()
    started = time.process_time()
    for bar in _measured(given.experiments, given.worlds):
        print(bar.text(), flush=True)
    print(f"{time.process_time() - started:.0f} CPU s")


def _measured(experiments: int, worlds: int) -> Iterator[Bar]:
    yield from false_alarms(experiments)
    yield peeking(max(200, experiments // 6))
    yield missing_people(10_000)
    yield from lost_rows(1000)
    yield from lifts(worlds)


if __name__ == "__main__":
    main()
