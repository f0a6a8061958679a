"""P-values of judgements from their own empirical null."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, nan

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.drift.judge import Judgement


def null_p_values(judgements: Sequence[Judgement]) -> Floats:
    """P-values from the nulls of a family of judgements together (Efron 2004); NaN where nothing was observed.

    Each null is put on its own median and MAD and they are pooled, because some dozens of days alone cannot say how
    rare a rare value is. Beyond the pooled 90 % point an exponential tail is fitted (Pickands 1975 with shape 0), which
    is heavier than the Gaussian's, and heavier still by what k values leave open about its mean: the predictive
    distribution (1 + x ÷ k m)^−k.
    """
    standard = [_standardise(j, j.null) for j in judgements if j.observed is not None]
    if not standard:
        return np.full(len(judgements), nan)
    pooled = np.sort(np.concatenate(standard))
    edge = float(np.quantile(pooled, 0.9))
    beyond = pooled[pooled > edge]
    size = max(len(beyond), 1)
    # By the median, because a few of the earlier days did drift and must not hide the next one.
    mean_excess = max(float(np.median(beyond - edge)) / log(2) if len(beyond) else 0.0, 0.25)
    share = (len(beyond) + 1) / (len(pooled) + 1)

    def p_value(judgement: Judgement) -> float:
        if judgement.observed is None:
            return nan
        value = float(_standardise(judgement, np.array([judgement.observed]))[0])
        if value > edge:
            return float(share * np.exp(-size * np.log1p((value - edge) / (size * mean_excess))))
        return float((len(pooled) - np.searchsorted(pooled, value) + 1) / (len(pooled) + 1))

    return np.array([p_value(j) for j in judgements])


def _standardise(judgement: Judgement, values: Floats) -> Floats:
    median = float(np.median(judgement.null))
    mad = 1.4826 * float(np.median(np.abs(judgement.null - median)))
    # A null without any spread (a constant) must not make every whisper infinite.
    return np.asarray((values - median) / max(mad, 0.1 * judgement.sketch.floor, 1e-12))
