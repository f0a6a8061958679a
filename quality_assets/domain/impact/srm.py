"""Sample ratio mismatch: are people missing from an arm, and where they are missing from.

Chi-square of the counts against the planned weights (Fabijan et al. 2019), for everybody and, with Bonferroni's
correction, for each part: a bug that keeps people of one version out is seen there first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quality_assets.domain.arrays import Floats

SRM_VOID = 0.001
SRM_WARNS = 0.01
# A part with fewer people has no chi-square worth the name, and each part asked costs the others power.
LEAST_IN_PART = 100


@dataclass(frozen=True)
class PartCounts:
    """People per arm of one part, such as platform Web; the arms in the order of the weights."""

    dimension: str
    value: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class PartFinding:
    """A part with its p, corrected for how many were asked, and how many people are missing in which arm."""

    part: PartCounts
    p: float
    missing: int
    arm: int


def ratio_p(counts: Sequence[int], weights: Sequence[float]) -> float | None:
    """The p of counts under the weights; None where there is nobody."""
    total = sum(counts)
    if total == 0:
        return None
    from scipy.stats import chisquare

    return float(chisquare(counts, np.array(weights) * total).pvalue)


def asked_parts(parts: Sequence[PartCounts]) -> list[PartCounts]:
    """The parts that are large enough to be asked; of a dimension with one value there is nothing to compare."""
    values: dict[str, int] = {}
    for part in parts:
        values[part.dimension] = values.get(part.dimension, 0) + 1
    return [p for p in parts if sum(p.counts) >= LEAST_IN_PART and values[p.dimension] > 1]


def part_findings(parts: Sequence[PartCounts], weights: Sequence[float]) -> list[PartFinding]:
    """Each part that is asked, the least likely first; p is corrected by how many there are."""
    asked = asked_parts(parts)
    if not asked:
        return []
    from scipy.stats import chi2

    counts = np.array([part.counts for part in asked], float)
    expected = counts.sum(axis=1, keepdims=True) * np.array(weights)
    statistic = ((counts - expected) ** 2 / expected).sum(axis=1)
    p: Floats = np.minimum(chi2.sf(statistic, counts.shape[1] - 1) * len(asked), 1.0)
    found = []
    for row, part in enumerate(asked):
        arm, missing = _missing(counts[row], np.array(weights))
        found.append(PartFinding(part, float(p[row]), missing, arm))
    return sorted(found, key=lambda each: (each.p, -each.missing))


def _missing(counts: Floats, weights: Floats) -> tuple[int, int]:
    """Which arm people are missing from, and how many: as if the other arms had all of theirs."""
    arm = int(np.argmin(counts / weights))
    others = counts.sum() - counts[arm]
    rest = weights.sum() - weights[arm]
    return arm, round(float(others / rest * weights[arm] - counts[arm]))


def missing_people(counts: Mapping[str, int], weights: Mapping[str, float]) -> tuple[str, int]:
    """The arm that people are missing from, and how many."""
    names = list(weights)
    arm, missing = _missing(np.array([counts[n] for n in names], float), np.array([weights[n] for n in names]))
    return names[arm], missing
