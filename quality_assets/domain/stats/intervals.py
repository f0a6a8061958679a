"""Intervals beside rates."""

from __future__ import annotations

import math
from statistics import NormalDist

Z_95 = 1.959964
"""So many standard errors on either side are an interval of 95 %."""


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """90 % score interval of a share of `n` (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.95)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Of none and of all one end is the share itself, which sums of floats miss by a digit.
    return 0.0 if share == 0 else middle - half, 1.0 if share == 1 else middle + half
