"""From judgements to rows of monitoring.data_drift: what moved, by how much, whether it matters, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.contracts.drift import DATA_DRIFT
from quality_assets.domain.drift.judge import Judgement, judge, judge_shift, threshold
from quality_assets.domain.drift.null import null_p_values
from quality_assets.domain.drift.settings import DEFAULT_DRIFT_SETTINGS, DriftSettings
from quality_assets.domain.drift.sketches import Sketch
from quality_assets.domain.stats.discoveries import benjamini_hochberg
from quality_assets.domain.wording import capitalised, name_in_words, share_text, value_text

# A tenth of a point of risk changes nobody's order of work.
_FELT = 0.001
FARTHEST = 1.0
"""The largest that a limit of distance can be."""


def is_felt(effect_on_predictions: float | None) -> bool | None:
    """Whether the model's scores move with an input; None for what is no input of it."""
    return None if effect_on_predictions is None else effect_on_predictions >= _FELT


def drifted_text(drifted: int, watched: int, unknown: int, when: str = "") -> str:
    """How many of what is watched drifted; what could not be judged is not said to be as it was."""
    if unknown == watched:
        return f"whether anything drifted{when} cannot be told: days or events are too few"
    told = f"{drifted:,} of {watched:,} watched things drifted{when}"
    return told + (f", {unknown:,} could not be judged" if unknown else "")


def drift_rows(
    sketches: Sequence[Sketch],
    dates: Iterable[date],
    effects: Mapping[str, float] | None = None,
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
) -> pd.DataFrame:
    """Rows of `monitoring.data_drift` for the given days, ranked within each day; contract columns.

    `effects` maps input names to their effect on predictions (`effects_on_predictions`). False discoveries are
    controlled within each day, kind and family, over everything that could be tested. A day outside a sketch, without
    rows or with too little history is `unknown`, never `ok`.
    """
    rows = [row for day in sorted(set(dates)) for row in _day_rows(sketches, day, effects or {}, settings)]
    return pd.DataFrame(rows, columns=list(DATA_DRIFT.column_names))


def _day_rows(
    sketches: Sequence[Sketch], day: date, effects: Mapping[str, float], settings: DriftSettings
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    families: dict[tuple[str, str], list[Judgement]] = defaultdict(list)
    for sketch in sketches:
        families[sketch.kind, sketch.family].append(_judge_date(sketch, day, settings))
    for (kind, _), judged in families.items():
        p_values = null_p_values(judged)
        q_values = benjamini_hochberg(p_values)
        rows += [
            _drift_row(
                j,
                day,
                float(p),
                float(q),
                effects.get(j.sketch.name) if kind == "data" and not j.sketch.feature else None,
                settings,
            )
            for j, p, q in zip(judged, p_values, q_values, strict=True)
        ]
    rows.sort(key=_importance)
    for rank, row in enumerate(rows, start=1):
        row["rank"] = rank
    return rows


def _judge_date(sketch: Sketch, day: date, settings: DriftSettings) -> Judgement:
    if day in sketch.dates:
        index = sketch.dates.index(day)
        if sketch.statistic == "mean_shift":
            return judge_shift(sketch, index, settings)
        return judge(sketch, index, settings)
    return Judgement(sketch, None, np.empty(0), 0, 0, 0, None, None, reason="no data")


def _importance(row: Mapping[str, Any]) -> tuple[int, float, float, str, str]:
    order = {"drifted": 0, "ok": 1, "unknown": 2}[row["status"]]
    over = row["observed"] / row["threshold"] if row["observed"] is not None and row["threshold"] else 0.0
    return order, -(row["effect_on_predictions"] or 0.0), -over, row["name"], row["feature"]


def _drift_row(
    judgement: Judgement, day: date, p: float, q: float, effect: float | None, settings: DriftSettings
) -> dict[str, Any]:
    sketch = judgement.sketch
    row: dict[str, Any] = dict.fromkeys(DATA_DRIFT.column_names)
    row |= {
        "event_date": day,
        "kind": sketch.kind,
        "feature": sketch.feature,
        "name": sketch.name,
        "statistic": sketch.statistic,
        "n_reference": judgement.n_reference,
        "n_current": judgement.n_current,
        "reference_days": judgement.reference_days,
        "window_days": judgement.window_days,
        "reference_value": judgement.reference_value,
        "current_value": judgement.current_value,
        "effect_on_predictions": effect,
        "status": "unknown",
    }
    if judgement.observed is not None:
        limit, median, mad = threshold(judgement, settings)
        is_drifted = judgement.observed > limit and q <= settings.false_discovery_rate and _matters(judgement, settings)
        row |= {
            "observed": judgement.observed,
            "threshold": limit,
            "null_median": median,
            "null_mad": mad,
            "p_value": p,
            "q_value": q,
            "is_drifted": bool(is_drifted),
            "status": "drifted" if is_drifted else "ok",
        }
    row["verdict"] = _verdict(row, judgement)
    return row


def _matters(judgement: Judgement, settings: DriftSettings) -> bool:
    """A rate must also have moved by a share of itself: at a million rows everything is beyond chance."""
    statistic, observed = judgement.sketch.statistic, judgement.observed or 0.0
    distance = distance_of(statistic, observed, judgement.reference_value, judgement.current_value)
    return distance >= least_distance_of(statistic, settings)


def distance_of(statistic: str, observed: float, reference: float | None, current: float | None) -> float:
    """How far something has moved, as limits of distance are told: of a rate, by which share of itself.

    A grade is counted in deviations, and what comes out of nothing has no share: both have moved as far as can be.
    """
    if statistic in ("w1", "total_variation"):
        return observed
    if statistic != "binomial_z" or not reference:
        return FARTHEST
    return abs((current or 0.0) / reference - 1)


def least_distance_of(statistic: str, settings: DriftSettings = DEFAULT_DRIFT_SETTINGS) -> float:
    """From which distance on something has moved by enough to matter."""
    floor = settings.rate_floor_change if statistic == "binomial_z" else 0.0
    return max(floor, settings.least_distance)


def _verdict(row: Mapping[str, Any], judgement: Judgement) -> str:
    name = name_in_words(row["name"]) + (f" of {row['feature']}" if row["feature"] else "")
    name = capitalised(name)
    if row["status"] == "unknown":
        return f"{name}: unknown, {judgement.reason}"
    moved = _moved(row, judgement)
    if row["status"] == "ok":
        is_over = row["observed"] > row["threshold"]
        excuse = "; past its limit, but by no more than chance does to one of many" if is_over else ""
        return f"{name} is as usual: {moved}{excuse}"
    weight = ""
    if row["effect_on_predictions"] is not None:
        points = 100 * row["effect_on_predictions"]
        weight = f"; alone it moves scores by {points:.1f} points" if points >= 0.1 else "; scores do not feel it"
    times = row["observed"] / row["threshold"]
    return f"{name} has drifted: {moved}, {times:.1f} times what chance and relevance allow{weight}"


def _moved(row: Mapping[str, Any], judgement: Judgement) -> str:
    sketch, before, now = judgement.sketch, row["reference_value"], row["current_value"]
    if sketch.statistic == "total_variation":
        return f"{share_text(row['observed'])} of it moved between values{_largest_move(judgement)}"
    what = {"binomial_z": "", "mean_shift": "mean "}.get(sketch.statistic, "median ")
    over = f" over {judgement.window_days} days" if judgement.window_days > 1 else ""
    if sketch.statistic == "w1" and value_text(now, sketch.unit) == value_text(before, sketch.unit):
        # The middle can stand still while the rest moves.
        return f"median {value_text(now, sketch.unit)} as before, the distribution {row['observed']:.2f} away"
    return f"{what}{value_text(now, sketch.unit)}{over} against {value_text(before, sketch.unit)}"


def _largest_move(judgement: Judgement) -> str:
    sketch, before, now = judgement.sketch, judgement.before, judgement.now
    if before is None or now is None or not sketch.labels:
        return ""
    old, new = before / before.sum(), now / now.sum()
    most = int(np.argmax(np.abs(new - old)))
    return f", {sketch.labels[most]} most: {share_text(new[most])} against {share_text(old[most])}"
