"""Many tests at once: control of false discoveries."""

from __future__ import annotations

from math import nan

import numpy as np
import numpy.typing as npt

from quality_assets.domain.arrays import Floats


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats:
    """q-values (Benjamini & Hochberg 1995) of p-values; NaN stays NaN and is no test."""
    p = np.asarray(p_values, dtype=float)
    q = np.full(p.shape, nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    count = len(order)
    raw = p[order] * count / np.arange(1, count + 1)
    q[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0) if count else raw
    return q
