"""On which day a change began, and when it ended."""

from __future__ import annotations

from math import inf
from typing import Literal

import numpy as np

from quality_assets.domain.arrays import Floats


def date_change(z: Floats, detected: int) -> tuple[int, Literal["step", "creep"]]:
    """When a change began that was found at index `detected` of a standardised residual, and its shape.

    Compares, over every beginning up to `detected`, the likelihood gain of a step, (Σ z)² ÷ m, with that of a ramp
    that starts at zero, (Σ i z)² ÷ Σ i², both with the level before known (a split test; Hinkley 1970). A creep must
    have grown for five days at least. Returns the index of the first changed day and the better shape.
    """
    z = np.clip(z, -10.0, 10.0)[: detected + 15]
    length = len(z)
    begins = np.arange(detected + 1)
    position = np.arange(length)[None, :] - begins[:, None] + 1.0
    after = position > 0
    step_sum = np.where(after, z, 0.0).sum(axis=1)
    step = np.where(step_sum > 0, step_sum**2 / after.sum(axis=1), -inf)
    ramp_at = np.where(after, position, 0.0)
    ramp_sum = (ramp_at * z).sum(axis=1)
    ramp = np.where(ramp_sum > 0, ramp_sum**2 / (ramp_at**2).sum(axis=1), -inf)
    best_step, best_ramp = int(np.argmax(step)), int(np.argmax(ramp))
    if ramp[best_ramp] > step[best_step] + 2 and length - best_ramp >= 5:
        return best_ramp, "creep"
    return best_step, "step"


def date_end(z: Floats) -> int:
    """Index of the last changed day of a standardised residual that begins changed and ends normal.

    The split that fits two levels best, the change's own median and zero: the largest sum of z less half the change.
    A single noisy day long after the recovery does not prolong it; days of which nothing is known say nothing.
    """
    is_known = np.isfinite(z)
    bounded = np.clip(np.where(is_known, z, 0.0), -10.0, 10.0)
    half = max(float(np.median(bounded[is_known])) / 2, 0.75) if is_known.any() else 0.75
    return int(np.argmax(np.cumsum(np.where(is_known, bounded - half, 0.0))))
