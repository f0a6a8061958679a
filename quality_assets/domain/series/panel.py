"""Daily series of any key as dense arrays: rows become a grid of keys x days once, and each metric a panel of it.

A key is what a series is of: a product feature, an event of a feature, a source. Only the shape changes here: what is
normal lives in `baseline`, what is told of it in `detection`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quality_assets.contracts.metrics import METRICS_BY_NAME, Metric
from quality_assets.domain.arrays import Bools, Floats, Ints

Family = Literal["count", "rate", "positive", "score"]
# Each shows a fault of its own; crash-free sessions, apdex and p99 follow from these and would only repeat them.
MONITORED_METRICS = ("events", "crash_rate", "error_rate", "latency_p95_ms", "latency_p50_ms", "feedback_mean")

# What is neither a count nor a ratio rests on so many values.
_SAMPLE_SIZES = {
    "latency_p50_ms": "latency_count",
    "latency_p95_ms": "latency_count",
    "latency_p99_ms": "latency_count",
    "apdex": "apdex_count",
}


@dataclass(frozen=True)
class Panel:
    """One metric of S series over D consecutive days.

    keys: S, what each series is of: the value of the column `key`, a tuple of values where it names several. value:
    S × D, NaN = unknown. amount: S × D, the numerator of a rate, else equal to value. sample: S × D, the denominator of
    a rate or the number of values behind a quantile or mean; NaN where not known (treated as ample). worse: +1 where up
    hurts, −1 where down does.
    """

    metric: str
    family: Family
    worse: int
    keys: tuple[Any, ...]
    dates: tuple[date, ...]
    value: Floats
    amount: Floats
    sample: Floats
    key: str | tuple[str, ...] = "feature"

    @property
    def weekdays(self) -> Ints:
        """Weekday of each day, Monday = 0; length D."""
        return np.array([day.weekday() for day in self.dates], dtype=np.int64)


@dataclass(frozen=True)
class Grid:
    """Rows as S keys × D consecutive days, from which panels are taken.

    keys: S, sorted; tuples where `key` names several columns. dates: D days, none missing. is_present: S × D, the key
    has a row that day. is_gap: D, days of which nothing is known for any key: a hole in the data, and not silence of
    the keys. values: column name to S × D, NaN where there is none. is_old: S, whether a key had a row before the first
    day, where the days are the last ones of a longer history.
    """

    key: str | tuple[str, ...]
    keys: NDArray[np.object_]
    dates: NDArray[np.datetime64]
    is_present: Bools
    is_gap: Bools
    values: dict[str, Floats] = field(repr=False)
    is_old: Bools | None = None

    @property
    def first_day(self) -> Ints:
        """S: index of each key's first day with a row; 0 where that was before the first day."""
        if not self.is_present.size:
            return np.zeros(len(self.keys), dtype=np.int64)
        first = np.argmax(self.is_present, axis=1)
        return first if self.is_old is None else np.where(self.is_old, 0, first)

    @property
    def is_seen(self) -> Bools:
        """S × D: from the first day with a row on."""
        return np.asarray(np.arange(len(self.dates))[None, :] >= self.first_day[:, None])

    @property
    def weekday(self) -> Ints:
        """D: Monday is 0."""
        return np.asarray((self.dates.astype("datetime64[D]").astype(np.int64) + 3) % 7)

    def column(self, name: str) -> Floats:
        """A column as S × D; NaN throughout where the rows lack it."""
        return self.values[name] if name in self.values else np.full(self.is_present.shape, np.nan)

    def count(self, name: str) -> Floats:
        """A column of counts: 0 where a key that was seen before has no row on a day that is known."""
        is_silent = self.is_seen & ~self.is_present & ~self.is_gap[None, :]
        return np.where(is_silent, 0.0, self.column(name))

    def long_keys(self, mask: Bools) -> pd.DataFrame:
        """event_date and key of the cells in `mask` (S × D), ordered by day, then key."""
        days, rows = np.nonzero(mask.T)
        # Object dates would cost a hundred bytes a row; midnight timestamps land in DATE columns unchanged.
        columns: dict[str, Any] = {"event_date": self.dates[days].astype("datetime64[s]")}
        if isinstance(self.key, str):
            return pd.DataFrame(columns | {self.key: self.keys[rows]})
        parts = {name: np.array([key[n] for key in self.keys], dtype=object) for n, name in enumerate(self.key)}
        return pd.DataFrame(columns | {name: part[rows] for name, part in parts.items()})

    def spread(self, frame: pd.DataFrame, column: str) -> Floats:
        """A column of a frame with event_date and the grid's key as S × D, NaN where it has no row."""
        out = np.full(self.is_present.shape, np.nan)
        row, day, known = self.positions(frame)
        out[row[known], day[known]] = pd.to_numeric(frame[column], errors="coerce").to_numpy(float)[known]
        return out

    def positions(self, frame: pd.DataFrame) -> tuple[Ints, Ints, Bools]:
        """Key index, day index, and whether both are in the grid, of each row of a frame."""
        if isinstance(self.key, str):
            row = pd.Index(self.keys).get_indexer(pd.Index(frame[self.key]))
        else:
            own = pd.MultiIndex.from_tuples(self.keys.tolist(), names=self.key)
            row = own.get_indexer(pd.MultiIndex.from_frame(frame[list(self.key)]))
        day = day_index(frame["event_date"], self.dates[0]) if len(self.dates) else np.zeros(len(frame), dtype=np.int64)
        return row, day, np.asarray((row >= 0) & (day >= 0) & (day < len(self.dates)))


def day_index(column: pd.Series, first: np.datetime64) -> Ints:
    """Days since `first` of a column of dates, datetimes or ISO text."""
    return np.asarray((_days(column) - first.astype("datetime64[D]")).astype(np.int64))


def _days(values: Any) -> NDArray[np.datetime64]:
    return np.asarray(pd.to_datetime(values).to_numpy().astype("datetime64[D]"))


@dataclass(frozen=True)
class Cut:
    """Where a grid begins in a longer history: its first day, and of every key that there is that of its first row."""

    first: date
    first_seen: Mapping[Any, date]


def build_grid(
    facts: pd.DataFrame,
    columns: Iterable[str],
    *,
    key: str | tuple[str, ...] = "feature",
    known_dates: Iterable[date] | None = None,
    through: date | None = None,
    counted_by: str | None = None,
    cut: Cut | None = None,
) -> Grid:
    """Rows with `event_date` and a key, one per key and day, as a grid of those `columns` that they have.

    Days are made consecutive, from the first that is known to the last, or to `through`, after which rows are left out.
    `known_dates` are the days for which data arrived (default: those on which any key has a row). Rows without a key,
    and rows whose `counted_by` is not above 0, are as good as absent. No rows give a grid of no keys. With `cut`,
    rows and known dates are those from its first day on, and keys all of the history's.

    Raises ValueError where a needed column is missing or a key has two rows on a day.
    """
    names = (key,) if isinstance(key, str) else key
    missing = [column for column in ("event_date", *names, *filter(None, [counted_by])) if column not in facts.columns]
    if missing:
        raise ValueError(f"series cannot be made of rows that lack {missing}; they have {list(facts.columns)}")
    when = _days(facts["event_date"])
    keep = facts[list(names)].notna().all(axis=1).to_numpy()
    if counted_by is not None:
        keep &= pd.to_numeric(facts[counted_by]).to_numpy(float, na_value=np.nan) > 0
    if through is not None:
        keep &= when <= np.datetime64(through, "D")
    facts, when = facts[keep], when[keep]
    known = when if known_dates is None else _days(list(known_dates))
    known = known if through is None else known[known <= np.datetime64(through, "D")]
    days = np.union1d(known, when)
    dates = _consecutive(days if cut is None else np.union1d(days, _days([cut.first])), through)
    codes, keys = _coded(facts, names) if cut is None else _coded_by(facts, names, cut)
    day = (when - dates[0]).astype(np.int64) if len(dates) else np.zeros(0, dtype=np.int64)
    if len(np.unique(codes * len(dates) + day)) != len(day):
        raise ValueError(f"two rows for one {' and '.join(names)} and day; there must be one")
    shape = (len(keys), len(dates))
    is_present = np.zeros(shape, bool)
    is_present[codes, day] = True
    values = {name: _scatter(facts[name], codes, day, shape) for name in columns if name in facts.columns}
    is_old = None if cut is None else np.array([cut.first_seen[each] < cut.first for each in keys], bool)
    return Grid(key, keys, dates, is_present, ~np.isin(dates, known), values, is_old)


def _consecutive(days: NDArray[np.datetime64], through: date | None) -> NDArray[np.datetime64]:
    last = days[-1:] if through is None else np.array([through], dtype="datetime64[D]")
    if not len(last):
        return np.array([], dtype="datetime64[D]")
    return np.arange(days[0] if len(days) else last[0], last[0] + np.timedelta64(1, "D"))


def _coded(facts: pd.DataFrame, names: Sequence[str]) -> tuple[Ints, NDArray[np.object_]]:
    """The number of each row's key, and the keys in their order."""
    if len(names) == 1:
        numbers, found = pd.factorize(facts[names[0]], sort=True)
        return np.asarray(numbers, dtype=np.int64), np.asarray(found, dtype=object)
    codes: Ints = facts.groupby(list(names), sort=True, observed=True).ngroup().to_numpy().astype(np.int64)
    _, first = np.unique(codes, return_index=True)
    keys = np.empty(len(first), dtype=object)
    keys[:] = list(facts[list(names)].iloc[first].itertuples(index=False, name=None))
    return codes, keys


def _coded_by(facts: pd.DataFrame, names: Sequence[str], cut: Cut) -> tuple[Ints, NDArray[np.object_]]:
    """The same by all keys of a history, which are in the order that `_coded` gives them."""
    keys = np.empty(len(cut.first_seen), dtype=object)
    keys[:] = sorted(cut.first_seen)
    if len(names) == 1:
        return pd.Index(keys).get_indexer(pd.Index(facts[names[0]])).astype(np.int64), keys
    own = pd.MultiIndex.from_tuples(keys.tolist(), names=list(names))
    return own.get_indexer(pd.MultiIndex.from_frame(facts[list(names)])).astype(np.int64), keys


def _scatter(column: pd.Series, codes: Ints, day: Ints, shape: tuple[int, int]) -> Floats:
    out = np.full(shape, np.nan)
    out[codes, day] = pd.to_numeric(column, errors="coerce").to_numpy(float, na_value=np.nan)
    return np.where(np.isfinite(out), out, np.nan)


def metric_family(metric: Metric) -> Family:
    """How the noise of a metric behaves: Poisson, binomial, multiplicative, or additive."""
    if metric.denominator is not None and metric.unit == "fraction":
        return "rate"
    if metric.unit == "ms":
        return "positive"
    return "score" if metric.unit == "score" else "count"


def worse_side(metric: Metric) -> int:
    """+1 where more hurts, -1 where less does; of a complement (crash-free …) by its numerator, which hurts."""
    return -1 if metric.bad_direction == "down" and not metric.complement else 1


def sample_column(metric: Metric) -> str | None:
    """The measure that says how many values are behind a metric; None for counts."""
    return metric.denominator or _SAMPLE_SIZES.get(metric.name)


def _metric(metric: Metric | str) -> Metric:
    return METRICS_BY_NAME[metric] if isinstance(metric, str) else metric


def columns_behind(metrics: Iterable[Metric | str]) -> tuple[str, ...]:
    """The columns of facts that panels of these metrics are made of: each metric, its numerator, its sample size."""
    wanted = [_metric(metric) for metric in metrics]
    names = [name for metric in wanted for name in (metric.name, metric.numerator, sample_column(metric))]
    return tuple(dict.fromkeys(name for name in names if name is not None))


def has_metric(grid: Grid, metric: Metric | str) -> bool:
    """Whether a grid has what a panel of the metric is made of."""
    metric = _metric(metric)
    parts = {metric.numerator, metric.denominator}
    return metric.name in grid.values or (None not in parts and parts <= set(grid.values))


def _value(grid: Grid, metric: Metric) -> Floats:
    """The metric as it is stored; from its numerator and denominator where it is not."""
    parts = (metric.numerator, metric.denominator)
    if None in parts or not set(parts) <= set(grid.values):
        return grid.values[metric.name]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = grid.column(str(metric.numerator)) / grid.column(str(metric.denominator))
    ratio = np.where(np.isfinite(ratio), 1 - ratio if metric.complement else ratio, np.nan)
    stored = grid.column(metric.name)
    return np.where(np.isfinite(stored), stored, ratio)


def panel_of(grid: Grid, metric: Metric | str) -> Panel:
    """The panel of one metric of a grid, of the registry by its name, or any other.

    A key without a row on a known day had no events: its counts are 0 from its first row on, and its other metrics are
    unknown. A day that is not known is unknown for all: a gap in the data is not a death. Raises KeyError for an
    unknown metric or a column that the grid lacks.
    """
    metric = _metric(metric)
    family, size = metric_family(metric), sample_column(metric)
    value = _value(grid, metric) if family != "count" else grid.count(metric.name)
    amount, sample = value, np.full_like(value, np.nan) if size is None else grid.column(size)
    if family == "rate":
        amount, sample = grid.values[str(metric.numerator)], grid.values[str(metric.denominator)]
    worse = worse_side(metric)
    if metric.complement:
        value = 1 - value
    dates = tuple(grid.dates.tolist())
    return Panel(metric.name, family, worse, tuple(grid.keys.tolist()), dates, value, amount, sample, grid.key)


def panel_from_facts(
    facts: pd.DataFrame,
    metric: Metric | str,
    known_dates: Iterable[date] | None = None,
    key: str | tuple[str, ...] = "feature",
) -> Panel:
    """The panel of one metric from rows shaped as `product.fact_feature_metrics`: `panel_of` a grid of its own."""
    return panel_of(build_grid(facts, columns_behind([metric]), key=key, known_dates=known_dates), metric)
