"""Intervals that hold however often one looks: asymptotic confidence sequences.

Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2021), "Time-uniform central limit theory and asymptotic confidence
sequences", equation 8, in the form that GrowthBook uses for differences: the variance per person is se² · n.
"""

from __future__ import annotations

from math import log, sqrt

TUNED_FOR = 5000
"""At about so many people the interval is narrowest."""
# A sequence is promised for many people; before, the normal approximation that it rests on does not hold.
LEAST_PEOPLE = 100


def mixture_rho(alpha: float, tuned_for: int = TUNED_FOR) -> float:
    """The parameter of the normal mixture that makes the interval narrowest at `tuned_for` people."""
    return sqrt((-2 * log(alpha) + log(-2 * log(alpha) + 1)) / tuned_for)


def always_valid_half_width(se: float, n: int, alpha: float = 0.05, tuned_for: int = TUNED_FOR) -> float:
    """Half the width of the always-valid 1 − alpha interval of an estimate with standard error `se` from `n` people."""
    rho2 = mixture_rho(alpha, tuned_for) ** 2
    growth = n * rho2 + 1
    return se * sqrt(n) * sqrt(2 * growth / (n * n * rho2) * log(sqrt(growth) / alpha))
