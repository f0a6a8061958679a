"""Each watched distribution beside its reference, in bins that a chart can show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.contracts.drift import DRIFT_DISTRIBUTIONS
from quality_assets.domain.arrays import Floats
from quality_assets.domain.drift.judge import reference_pools
from quality_assets.domain.drift.settings import DEFAULT_DRIFT_SETTINGS, DriftSettings
from quality_assets.domain.drift.sketches import Sketch

MOST_BINS = 20


_MOST_VALUES = 8


def distribution_rows(
    sketches: Sequence[Sketch], day: date, settings: DriftSettings = DEFAULT_DRIFT_SETTINGS
) -> pd.DataFrame:
    """Rows of `monitoring.drift_distributions`: a day beside its reference, in at most `MOST_BINS` bins a sketch.

    Numbers are cut into bins of one width (of the logarithm for latencies) between the 0.5 and 99.5 % points of both,
    the outermost open; few distinct values stay as they are. A mix has its largest values and the rest. Rates and
    grades have two numbers, which `data_drift` holds; a side without rows gives no rows.
    """
    rows: list[dict[str, Any]] = []
    for sketch in sketches:
        if day not in sketch.dates or sketch.statistic not in ("w1", "total_variation"):
            continue
        index = sketch.dates.index(day)
        pools, _ = reference_pools(sketch, index, index, settings.reference_offsets(sketch.is_turnover))
        old, new = pools[0], sketch.counts[index]
        if not old.sum() or not new.sum():
            continue
        old, new = old / old.sum(), new / new.sum()
        bins = _number_bins(sketch, old, new) if sketch.statistic == "w1" else _value_bins(sketch, old, new)
        key = {"kind": sketch.kind, "feature": sketch.feature, "name": sketch.name, "event_date": day}
        rows += [key | {"bin": number} | item for number, item in enumerate(bins)]
    return pd.DataFrame(rows, columns=list(DRIFT_DISTRIBUTIONS.column_names))


def _value_bins(sketch: Sketch, old: Floats, new: Floats) -> list[dict[str, Any]]:
    order = np.argsort(-np.maximum(old, new), kind="stable")
    order = order[np.maximum(old, new)[order] > 0]
    shown, rest = order[:_MOST_VALUES], order[_MOST_VALUES:]
    bins = [_bin(old[i], new[i], label=sketch.labels[i]) for i in shown]
    return bins + ([_bin(old[rest].sum(), new[rest].sum(), label="(others)")] if len(rest) else [])


def _number_bins(sketch: Sketch, old: Floats, new: Floats) -> list[dict[str, Any]]:
    position = np.asarray(sketch.position)
    typical = position if sketch.typical is None else sketch.typical
    there = np.flatnonzero(old + new > 0)
    if len(there) <= MOST_BINS:
        return [_bin(old[i], new[i], float(typical[i]), float(typical[i])) for i in there]
    reached = np.cumsum(old + new) / 2
    low, high = position[np.searchsorted(reached, [0.005, 0.995])]
    edges = np.linspace(low, high, MOST_BINS + 1)[1:-1]
    code = np.digitize(position, edges)
    values = [None, *(float(v) for v in np.interp(edges, position, typical)), None]
    sums = [np.bincount(code, weights=share, minlength=MOST_BINS) for share in (old, new)]
    return [_bin(sums[0][i], sums[1][i], values[i], values[i + 1]) for i in range(MOST_BINS)]


def _bin(
    old: float, new: float, low: float | None = None, high: float | None = None, label: str | None = None
) -> dict[str, Any]:
    return {
        "label": label,
        "low": low,
        "high": high,
        "reference_share": min(float(old), 1.0),
        "current_share": min(float(new), 1.0),
    }
