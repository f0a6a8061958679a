"""Slices of a feature's events now beside the same slices before, and how far chance alone would go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

Row = dict[str, Any]

SLICED_METRICS = ("latency_p95_ms", "crash_rate", "error_rate")


_ODD_CHANGE = 0.2


_ODD_EVENTS = 50


_ODD_SHARE = 0.05


_FALSE_ALARMS = 0.05


class SliceComparison:
    """Slices of now beside the same slices before, and how far chance alone would go over that many comparisons."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.now = sorted((row for row in rows if row["is_now"]), key=lambda row: -row["events"])
        before = [row for row in rows if not row["is_now"]]
        self._before = {self._key(row): row for row in before}
        self._all_before = {kind: _pooled([row for row in before if _kind(row) == kind]) for kind in map(_kind, before)}
        self._totals: dict[tuple[Any, ...], int] = {}
        for row in rows:
            self._totals[row["is_now"], *_kind(row)] = self._totals.get((row["is_now"], *_kind(row)), 0) + row["events"]
        compared = max(len(SLICED_METRICS) * len(self.now), 1)
        self._limit = NormalDist().inv_cdf(1 - _FALSE_ALARMS / compared)

    @staticmethod
    def _key(row: Row) -> tuple[Any, ...]:
        return row["dimension"], row["slice"], row["dimension_2"], row["slice_2"]

    def is_new(self, row: Row) -> bool:
        """Whether the slice had hardly an event before, as a version that was just rolled out."""
        past = self._before.get(self._key(row))
        return past is None or past["events"] < row["events"] / 2

    def before(self, row: Row) -> Row | None:
        """The same slice in the time before; of a new one, all slices of its kind; None where there was no event."""
        return self._all_before.get(_kind(row)) if self.is_new(row) else self._before[self._key(row)]

    def share(self, row: Row) -> float:
        """Share of the events of its dimension in its time."""
        return float(row["events"]) / (self._totals[row["is_now"], *_kind(row)] or 1)

    def share_before(self, row: Row) -> float | None:
        """What was its share before, where that was clearly another: who left shows in who is left."""
        past = self._before.get(self._key(row))
        was = self.share(past) if past else None
        return was if was is not None and abs(was - self.share(row)) >= _ODD_SHARE else None

    def gone(self, dimension: str) -> list[tuple[str, float]]:
        """The slices that had a share before and have no event now, and that share."""
        here = {self._key(row) for row in self.now}
        found = [row for key, row in self._before.items() if row["dimension"] == dimension and key not in here]
        return [(row["slice"], self.share(row)) for row in found if row["slice"] and self.share(row) >= _ODD_SHARE]

    def is_worse(self, row: Row, metric: str) -> bool:
        """Worse by a fifth, and beyond chance at 5 % over all that is compared (Bonferroni)."""
        past = self.before(row)
        if not past or None in (row[metric], past[metric]) or min(row["events"], past["events"]) < _ODD_EVENTS:
            return False
        spread = math.hypot(_standard_error(row, past, metric), _standard_error(past, row, metric))
        difference = row[metric] - past[metric]
        return bool(difference > _ODD_CHANGE * past[metric] and spread > 0 and difference / spread > self._limit)

    def harm(self, row: Row) -> float:
        """Failed events beyond what the time before would have given; slower ones count at a twentieth."""
        past = self.before(row) or {}
        rates = [row[m] - past[m] for m in ("crash_rate", "error_rate") if self.is_worse(row, m)]
        slow = 0.05 if self.is_worse(row, "latency_p95_ms") else 0.0
        return float(row["events"]) * (sum(rates) + slow)


def _kind(row: Row) -> tuple[str, str | None]:
    return row["dimension"], row["dimension_2"]


def _pooled(rows: Sequence[Row]) -> Row:
    """Slices taken together. A quantile of the whole does not follow from those of its parts."""
    events = sum(row["events"] for row in rows)
    rates = {m: sum((row[m] or 0) * row["events"] for row in rows) / events for m in ("crash_rate", "error_rate")}
    return {"events": events, "latency_p95_ms": None, "latency_p99_ms": None} | rates


def _standard_error(row: Row, other: Row, metric: str) -> float:
    """Standard error of a rate, pooled over both samples, or of a p95 latency.

    Of a quantile it is sqrt(p (1 - p) / n) / f, with f the density there (Cramér 1946, 28.5), taken as the mean density
    between p95 and p99: too low where the density falls, so the error is rather too large.
    """
    if metric == "latency_p95_ms":
        return float(math.sqrt(0.95 * 0.05 / row["events"]) * (row["latency_p99_ms"] - row[metric]) / 0.04)
    pooled = (row[metric] * row["events"] + other[metric] * other["events"]) / (row["events"] + other["events"])
    return math.sqrt(pooled * (1 - pooled) / row["events"])
