"""Daily facts as dense arrays, features x days, for windows over time without a loop over rows.

Only the shape changes here: no baselines (see `labels`), no model inputs (see `risk_inputs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quality_assets.domain.arrays import Bools, Floats, Ints

REQUIRED_COLUMNS = ("event_date", "feature", "events")
MEASURE_COLUMNS = (
    "events",
    "users",
    "errors",
    "crashes",
    "latency_count",
    "latency_p50_ms",
    "latency_p95_ms",
    "feedback_count",
    "feedback_sum",
)


@dataclass(frozen=True)
class FeaturePanel:
    """F features x D consecutive days.

    dates: D days, none missing. features: F names, sorted. values: measure name to F x D array, NaN where there is
    none; `events` is 0 on a silent day. first_day: index of each feature's first day with events. is_gap: days on
    which no feature at all has events, which is a hole in the telemetry and not silence of the features.
    """

    dates: NDArray[np.datetime64]
    features: NDArray[np.object_]
    values: dict[str, Floats]
    first_day: Ints
    is_gap: Bools

    @property
    def is_seen(self) -> Bools:
        """F x D: from the first day with events on."""
        return np.asarray(np.arange(len(self.dates))[None, :] >= self.first_day[:, None])

    @property
    def weekday(self) -> Ints:
        """D: Monday is 0."""
        return np.asarray((self.dates.astype("datetime64[D]").astype(np.int64) + 3) % 7)

    def long_keys(self, mask: Bools) -> pd.DataFrame:
        """event_date and feature of the cells in `mask` (F x D), ordered by day, then feature."""
        days, features = np.nonzero(mask.T)
        # Object dates would cost a hundred bytes a row; midnight timestamps land in DATE columns unchanged.
        return pd.DataFrame(
            {"event_date": self.dates[days].astype("datetime64[s]"), "feature": self.features[features]}
        )

    def spread(self, frame: pd.DataFrame, column: str) -> Floats:
        """A column of a frame keyed by event_date and feature as F x D, NaN where it has no row."""
        out = np.full((len(self.features), len(self.dates)), np.nan)
        row, day, known = self.positions(frame)
        out[row[known], day[known]] = pd.to_numeric(frame[column], errors="coerce").to_numpy(float)[known]
        return out

    def positions(self, frame: pd.DataFrame) -> tuple[Ints, Ints, Bools]:
        """Feature index, day index, and whether both are in the panel, of each row of a frame."""
        row = pd.Index(self.features).get_indexer(pd.Index(frame["feature"]))
        day = day_index(frame["event_date"], self.dates[0]) if len(self.dates) else np.zeros(len(frame), dtype=np.int64)
        return row, day, np.asarray((row >= 0) & (day >= 0) & (day < len(self.dates)))


def day_index(column: pd.Series, first: np.datetime64) -> Ints:
    """Days since `first` of a column of dates, datetimes or ISO text."""
    days = pd.to_datetime(column).to_numpy().astype("datetime64[D]")
    return np.asarray((days - first.astype("datetime64[D]")).astype(np.int64))


def build_panel(facts: pd.DataFrame, through: date | None = None) -> FeaturePanel:
    """Facts (rows of product.fact_feature_metrics) up to and including `through` as a panel.

    The panel ends at `through` even where the facts end before; without it, at the last day with facts. Measures that
    the frame lacks are NaN throughout. No facts give a panel of no features.

    Raises ValueError when a required column is missing or a feature has two rows on a day.
    """
    missing = [column for column in REQUIRED_COLUMNS if column not in facts.columns]
    if missing:
        raise ValueError(f"facts lack {missing}; they must be shaped as product.fact_feature_metrics")
    when = pd.to_datetime(facts["event_date"]).to_numpy().astype("datetime64[D]")
    counted = pd.to_numeric(facts["events"]).to_numpy(float) > 0
    keep = counted & (when <= np.datetime64(through, "D")) if through is not None else counted
    facts, when = facts[keep], when[keep]
    if not len(facts):
        return _empty_panel(through)
    first = when.min()
    last = np.datetime64(through, "D") if through is not None else when.max()
    dates = np.arange(first, last + np.timedelta64(1, "D"))
    codes, names = pd.factorize(facts["feature"], sort=True)
    day = (when - first).astype(np.int64)
    if len(np.unique(codes.astype(np.int64) * len(dates) + day)) != len(day):
        raise ValueError("facts have two rows for one feature and day")
    values = {name: _scatter(facts, name, codes, day, (len(names), len(dates))) for name in MEASURE_COLUMNS}
    has_events = np.isfinite(values["events"])
    is_gap = np.asarray(~has_events.any(axis=0))
    first_day = np.argmax(has_events, axis=1)
    seen = np.arange(len(dates))[None, :] >= first_day[:, None]
    values["events"] = np.where(~has_events & seen & ~is_gap[None, :], 0.0, values["events"])
    return FeaturePanel(dates, np.asarray(names, dtype=object), values, first_day, is_gap)


def _scatter(facts: pd.DataFrame, name: str, codes: Ints, day: Ints, shape: tuple[int, int]) -> Floats:
    out = np.full(shape, np.nan)
    if name in facts.columns:
        out[codes, day] = pd.to_numeric(facts[name], errors="coerce").to_numpy(float)
    return np.where(np.isfinite(out), out, np.nan)


def _empty_panel(through: date | None) -> FeaturePanel:
    dates = np.array([] if through is None else [through], dtype="datetime64[D]")
    empty = np.zeros((0, len(dates)))
    return FeaturePanel(
        dates,
        np.array([], dtype=object),
        dict.fromkeys(MEASURE_COLUMNS, empty),
        np.zeros(0, dtype=np.int64),
        np.ones(len(dates), dtype=bool),
    )
