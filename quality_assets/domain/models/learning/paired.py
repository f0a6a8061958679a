"""Is a shadow better than what is in use? Paired losses on the same requests, by a test that may be looked at often.

The mixture sequential probability ratio test of a mean (Robbins 1970; Johari et al. 2017): its p-value holds however
often one looks, where that of a fixed test does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.wording import share_text

Verdict = Literal["better", "worse", "undecided", "unknown"]
LEAST_PAIRS = 50
ALPHA = 0.05
# The effect that the test is keenest for, in deviations of a difference.
_MIXTURE = 0.2


@dataclass(frozen=True)
class PairedResult:
    """n pairs; `gain`: mean squared error of what is in use less that of the shadow; p holds at any time."""

    verdict: Verdict
    pairs: int
    gain: float | None
    p_value: float | None
    words: str


def paired_losses(in_use: Floats, shadow: Floats) -> PairedResult:
    """The verdict on n losses of both in order of time."""
    difference = in_use - shadow
    n = len(difference)
    if n < LEAST_PAIRS:
        return PairedResult("unknown", n, None, None, f"{n} outcomes are known, and {LEAST_PAIRS} are needed")
    gain, p = float(difference.mean()), always_valid_p(difference)
    if p > ALPHA:
        words = f"after {n} outcomes the difference may be chance (p {p:.3f}); that of two like models stays so"
        return PairedResult("undecided", n, gain, p, words)
    better: Verdict = "better" if gain > 0 else "worse"
    share = abs(gain) / max(float(in_use.mean()), np.finfo(float).tiny)
    side = "less" if gain > 0 else "more"
    return PairedResult(
        better, n, gain, p, f"the shadow has {share_text(share)} {side} squared error (p {p:.3f}, {n} outcomes)"
    )


def always_valid_p(difference: Floats) -> float:
    """The smallest p-value that any look from LEAST_PAIRS pairs on has seen; 1 where all are alike."""
    n = np.arange(1, len(difference) + 1)
    mean = np.cumsum(difference) / n
    variance = np.cumsum(difference**2) / n - mean**2
    looks = (n >= LEAST_PAIRS) & (variance > 0)
    if not looks.any():
        return 1.0
    n, mean, variance = n[looks], mean[looks], variance[looks]
    mixture = _MIXTURE**2 * variance
    spread = variance + n * mixture
    log_ratio = 0.5 * np.log(variance / spread) + n**2 * mixture * mean**2 / (2 * variance * spread)
    return float(min(1.0, np.exp(-log_ratio.max())))
