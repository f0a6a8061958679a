"""What looks for drift would have told day after day, by the limits that a model has and by others.

A look of a day compares what was asked in the 30 days up to it with what was learnt from. Its distances and chances do
not hang on limits: whoever tries others needs no new look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.learning.columns_of import Columns, taken
from quality_assets.domain.models.learning.served_drift import Asked, DriftLimits, decided, moved

WINDOW_DAYS = 30
FALSE_SHARES = (0.01, 0.05, 0.1, 0.2)
LEAST_DISTANCES = (0.05, 0.1, 0.2, 0.3)
# Enough to tell what matters, and a month of looks takes seconds.
_MOST_ROWS = 500
_LEAST_SHARE = 0.02

Look = Mapping[str, Any]
"""`day`, `rows` that were asked up to it, and `found`: input, kind, distance and p_value of each comparison.

What was judged among others of its day has its `q_value` instead, and `is_beyond`: whether it lies beyond its limit.
"""


def looks(
    model: Asked, reference: Columns, asked: Columns, answered: Floats, day: Sequence[date], last: date,
    limits: DriftLimits, known: Sequence[Look] = (),
) -> list[dict[str, Any]]:  # fmt: skip
    """A look for each of the 30 days up to `last` on which enough was asked, the earliest first.

    `day`: of each of n rows that were asked. `known`: looks of before; one of as many rows is not made again.
    """
    fewer = replace(limits, most_rows=_MOST_ROWS, false_share=_LEAST_SHARE)
    days = np.array([each.toordinal() for each in day])
    made = {each["day"]: each for each in known}
    found = []
    for back in range(WINDOW_DAYS - 1, -1, -1):
        end = last - timedelta(days=back)
        is_in = (days <= end.toordinal()) & (days > end.toordinal() - WINDOW_DAYS)
        rows = int(is_in.sum())
        if rows < limits.least_rows:
            continue
        before = made.get(end.isoformat())
        if before is not None and before["rows"] == rows:
            found.append(dict(before))
            continue
        told = moved(model, reference, taken(asked, is_in), answered[is_in], fewer)
        kept = [{name: each[name] for name in ("input", "kind", "distance", "p_value")} for each in told]
        found.append({"day": end.isoformat(), "rows": rows, "found": kept})
    return found


def replayed(days: Sequence[Look], limits: DriftLimits) -> list[dict[str, Any]]:
    """What each look would have told: `day`, `rows` and the names of what had moved; nothing where it would not."""
    found = []
    for each in days:
        told = [row["input"] for row in _judged(each["found"], limits) if row["is_drifted"]]
        found.append({"day": each["day"], "rows": each["rows"], "moved": told})
    return found


def _judged(found: Sequence[Mapping[str, Any]], limits: DriftLimits) -> list[dict[str, Any]]:
    own = [each for each in found if "q_value" not in each]
    known = [each for each in found if "q_value" in each]
    return [
        *decided(own, limits),
        *(
            {
                **each, "is_drifted": each["is_beyond"] and each["q_value"] <= limits.false_share
                and each["distance"] >= limits.least_distance,
            }
            for each in known
        ),
    ]  # fmt: skip


def alternatives(days: Sequence[Look], limits: DriftLimits) -> list[dict[str, Any]]:
    """How often something would have been told by usual limits and by those in force, which come first."""
    shares = dict.fromkeys((limits.false_share, *FALSE_SHARES))
    distances = dict.fromkeys((limits.least_distance, *LEAST_DISTANCES))
    pairs = dict.fromkeys([(limits.false_share, limits.least_distance), *((s, d) for s in shares for d in distances)])
    return [_summed(days, replace(limits, false_share=share, least_distance=least)) for share, least in pairs]


def _summed(days: Sequence[Look], limits: DriftLimits) -> dict[str, Any]:
    told = [each for each in replayed(days, limits) if each["moved"]]
    return {
        "false_share": limits.false_share,
        "least_distance": limits.least_distance,
        "days_looked": len(days),
        "days_told": len(told),
        "first_told": told[0]["day"] if told else None,
        "inputs": sorted({name for each in told for name in each["moved"]}),
    }
