"""What is normal for each feature and metric: the baseline statistics that other tools read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.contracts.drift import BASELINE_STATS
from quality_assets.contracts.metrics import METRICS_BY_NAME
from quality_assets.domain.arrays import Floats
from quality_assets.domain.series.panel import MONITORED_METRICS, Panel, build_grid, columns_behind, panel_of
from quality_assets.domain.series.settings import MAD_TO_SIGMA
from quality_assets.domain.series.silence import silent_days_to_tell

# What baselines read of product.fact_feature_metrics, beside its key.
BASELINE_FACTS = columns_behind(MONITORED_METRICS)


def baseline_stats(
    facts: pd.DataFrame,
    metrics: Sequence[str] = MONITORED_METRICS,
    known_dates: Iterable[date] | None = None,
    window_days: int = 56,
    minimum_days: int = 12,
) -> pd.DataFrame:
    """Rows of `monitoring.baseline_stats` from rows of `product.fact_feature_metrics`, as of its last day."""
    grid = build_grid(facts, columns_behind(metrics), known_dates=known_dates)
    rows: list[dict[str, Any]] = []
    for name in metrics:
        if name in grid.values:
            panel = panel_of(grid, name)
            rows += [_baseline_row(panel, i, window_days, minimum_days) for i in range(len(panel.keys))]
    return pd.DataFrame(rows, columns=list(BASELINE_STATS.column_names))


def _baseline_row(panel: Panel, series: int, window_days: int, minimum_days: int) -> dict[str, Any]:
    values = panel.value[series, -window_days:]
    weekdays = panel.weekdays[-window_days:]
    first = panel.dates[max(0, len(panel.dates) - window_days)]
    finite = np.isfinite(values)
    known = values[finite]
    levels = [
        float(np.median(values[finite & (weekdays == d)])) if (finite & (weekdays == d)).any() else None
        for d in range(7)
    ]
    row: dict[str, Any] = dict.fromkeys(BASELINE_STATS.column_names)
    row |= {
        "feature": panel.keys[series],
        "metric": panel.metric,
        "as_of_date": panel.dates[-1],
        "reference_from": first,
        "days_observed": len(known),
        "status": _baseline_status(panel.value[series], known, minimum_days),
        "unit": METRICS_BY_NAME[panel.metric].unit,
        "weekday_levels": levels,
    }
    if not len(known):
        return row
    residual = known - np.array([levels[d] for d in weekdays[finite]], dtype=float)
    row |= {
        "level": float(np.median(known)),
        "p05": float(np.quantile(known, 0.05)),
        "p95": float(np.quantile(known, 0.95)),
        "noise": float(MAD_TO_SIGMA * np.median(np.abs(residual))) if len(known) >= minimum_days else None,
    }
    if panel.metric == "events" and len(known) >= minimum_days:
        row["silent_days_to_tell"] = _silent_days(known, residual)
    return row


def _silent_days(known: Floats, residual: Floats) -> int | None:
    mean = float(known.mean())
    if mean <= 0:
        return None
    dispersion = np.sqrt(max(1.0, float(np.mean(np.minimum(residual**2, 9 * np.median(residual**2) + mean))) / mean))
    days = float(silent_days_to_tell(mean, dispersion, len(known)))
    return int(days) if isfinite(days) else None


def _baseline_status(every: Floats, known: Floats, minimum_days: int) -> str:
    if not len(known) or (not np.any(every[-7:] > 0) and np.any(every > 0)):
        return "silent"
    if len(known) < minimum_days:
        first = int(np.flatnonzero(np.isfinite(every))[0])
        return "new" if len(every) - first < 2 * minimum_days else "too_little_history"
    return "constant" if float(np.ptp(known)) == 0 else "ok"
