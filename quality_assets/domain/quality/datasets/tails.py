"""Chances of counts, and how far beyond what was seen the next value may fall."""

from __future__ import annotations

from math import ceil, exp, lgamma, log, log1p

import numpy as np

from quality_assets.domain.arrays import Floats


def binomial_tail(count: int, n: int, p: float) -> float:
    """The probability of `count` or more of `n`, each with probability p."""
    if count <= 0:
        return 1.0
    if p <= 0 or count > n:
        return 0.0
    if count <= n * p:
        return 1.0
    total, k = 0.0, count
    while k <= n:
        term = exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log1p(-p))
        total += term
        if term < 1e-12 * total or total == 0.0:
            break
        k += 1
    return min(total, 1.0)


def scattered_tail(count: int, n: int, p: float, scatter: float) -> float:
    """As `binomial_tail`, of cells that come together, so that each `scatter` of them are worth one."""
    return binomial_tail(count, n, p) if scatter <= 1 else binomial_tail(ceil(count / scatter), ceil(n / scatter), p)


def margin(ascending: Floats) -> float:
    """How far beyond the least value the next may fall: as far as the outermost √n lie, or a quarter of the tail."""
    inner = ascending[min(len(ascending) - 1, int(np.sqrt(len(ascending))))]
    tail = 0.25 * (np.median(ascending) - ascending[0])
    return float(max(inner - ascending[0], tail))
