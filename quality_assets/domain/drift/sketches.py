"""A day's data as counts in bins: what drift compares, of events, inputs, predictions and their quality."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import nan

import numpy as np
import pandas as pd

from quality_assets.contracts.risk_inputs import INPUTS_BY_NAME
from quality_assets.domain.arrays import Floats, Ints
from quality_assets.domain.drift.settings import DEFAULT_DRIFT_SETTINGS, DriftSettings, Kind, Statistic

LATENCY_BINS_PER_E = 20
PERFORMANCE_DAYS = 7


_MIX_COLUMNS = ("platform", "app_version", "country")


@dataclass(frozen=True)
class Sketch:
    """One monitored thing over D consecutive days, as counts per bin (D × B).

    position: B bin centres on a scale where a distance of 1 is a typical size: the logarithm for latencies (so that W1
    is a relative shift), robust deviations for model inputs. None where bins have no order (a mix) or for a rate,
    whose bins are (bad, good). typical: the value a bin stands for, to report medians in the column's own unit.
    labels: the B values of a mix. family: things that vary alike: their nulls are pooled, and false discoveries are
    controlled among them. Fifty inputs that follow from one another must not drown the eight columns of the events.
    """

    kind: Kind
    feature: str
    name: str
    statistic: Statistic
    dates: tuple[date, ...]
    counts: Floats
    position: Floats | None = None
    typical: Floats | None = None
    floor: float = 0.05
    is_turnover: bool = False
    unit: str = ""
    labels: tuple[str, ...] = ()
    family: str = "events"

    @property
    def rows(self) -> Floats:
        """Rows per day."""
        return np.asarray(self.counts.sum(axis=1))


def event_sketch_sql(source: str = "core.valid_events", by_feature: bool = False) -> str:
    """Counts per bin and day of every event column that is watched, from `$from_date` to `$to_date`.

    Columns: event_date, feature (empty = all traffic), name, bin (text), n. Latency is binned by its logarithm (5 % a
    bin), so that a day of a million rows is a few hundred rows here and days can be added up. Standard SQL.
    With `by_feature` there is a sketch of each feature instead of one of all traffic.
    """
    keys, feature = ("event_date, feature", "feature") if by_feature else ("event_date", "''")
    bins = {
        "latency_ms": f"cast(floor({LATENCY_BINS_PER_E} * ln(latency_ms + 1)) as integer)",
        "feedback_score": "cast(round(feedback_score) as integer)",
        **{column: column for column in ("status", *_MIX_COLUMNS)},
    }
    labels = dict.fromkeys(bins, "cast(bin as varchar)") | dict.fromkeys(_MIX_COLUMNS, "coalesce(bin, '(unknown)')")
    # A grouping of its own for each column costs half of what grouping sets do, and one by a column as it is stored
    # half of one by an expression: what is unknown gets its name afterwards.
    counted = "\nunion all\n".join(
        f"select event_date, {feature} as feature, '{name}' as name, {labels[name]} as bin, n from (\n"
        f"  select {keys}, {bin_} as bin, count(*) as n from {source}\n"
        "  where event_date between $from_date and $to_date group by all)"
        for name, bin_ in bins.items()
    )
    # A test of the bin itself would be made of each event.
    return (
        f"select event_date, feature, name, bin, cast(sum(n) as bigint) as n from (\n{counted}\n)\n"
        "group by all having count(bin) > 0"
    )


def event_sketches(
    counts: pd.DataFrame,
    known_dates: Iterable[date] | None = None,
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
) -> list[Sketch]:
    """Sketches from the rows of `event_sketch_sql`: latency, feedback, crash and error rate, and the three mixes."""
    if not len(counts):
        return []
    dates = calendar(counts["event_date"], known_dates)
    sketches: list[Sketch] = []
    for (feature, name), group in counts.groupby(["feature", "name"], sort=True):
        sketches += _event_sketch(str(feature), str(name), group, dates, settings)
    return sketches


def _event_sketch(
    feature: str, name: str, group: pd.DataFrame, dates: tuple[date, ...], settings: DriftSettings
) -> list[Sketch]:
    bins, counts = matrix(group, dates, is_numeric=name in ("latency_ms", "feedback_score"))
    if name == "latency_ms":
        position = (np.array([float(b) for b in bins]) + 0.5) / LATENCY_BINS_PER_E
        typical = np.exp(position) - 1
        whole = Sketch("data", feature, name, "w1", dates, counts, position, typical, settings.w1_floor, unit="ms")
        return [whole, tail_sketch(whole, settings)]
    if name == "feedback_score":
        score = np.array([float(b) for b in bins])
        # In points of five, one point being about one deviation of real scores.
        return [Sketch("data", feature, name, "w1", dates, counts, score, score, 2 * settings.w1_floor, unit="score")]
    if name == "status":
        total = counts.sum(axis=1)
        rates = [
            (f"{status}_rate", counts[:, bins.index(status)] if status in bins else 0 * total)
            for status in ("crash", "error")
        ]
        return [
            Sketch(
                "data",
                feature,
                label,
                "binomial_z",
                dates,
                np.stack([bad, total - bad], axis=1),
                floor=settings.rate_floor_z,
                unit="fraction",
            )
            for label, bad in rates
        ]
    return [
        Sketch(
            "data",
            feature,
            name,
            "total_variation",
            dates,
            counts,
            floor=settings.mix_floor,
            is_turnover=name == "app_version",
            labels=tuple(bins),
        )
    ]


def tail_sketch(sketch: Sketch, settings: DriftSettings = DEFAULT_DRIFT_SETTINGS) -> Sketch:
    """How much of each day lies above the usual 95 % point: a tenth of traffic gone slow moves W1 little, this much."""
    share = np.cumsum(sketch.counts.sum(axis=0)) / max(float(sketch.counts.sum()), 1.0)
    slow = sketch.counts[:, share > 0.95].sum(axis=1)
    counts = np.stack([slow, sketch.rows - slow], axis=1)
    return replace(
        sketch,
        name=f"{sketch.name} above its usual p95",
        statistic="binomial_z",
        counts=counts,
        position=None,
        typical=None,
        floor=settings.rate_floor_z,
        unit="fraction",
    )


def matrix(group: pd.DataFrame, dates: tuple[date, ...], is_numeric: bool) -> tuple[list[str], Floats]:
    """The bins of rows (event_date, bin, n) in order, by number or as text, and how many of each day are in which."""
    labels = sorted(group["bin"].astype(str).unique(), key=(lambda b: (float(b), b)) if is_numeric else str)
    counts = np.zeros((len(dates), len(labels)))
    rows = _places(group["event_date"], dates)
    np.add.at(counts, (rows, pd.Index(labels).get_indexer(group["bin"].astype(str))), group["n"].to_numpy(float))
    return labels, counts


def calendar(days: pd.Series, known_dates: Iterable[date] | None = None) -> tuple[date, ...]:
    """Every date from the first to the last of those that are there."""
    every = pd.DatetimeIndex(pd.to_datetime(days).unique())
    if known_dates is not None:
        every = every.union(pd.DatetimeIndex(pd.to_datetime(list(known_dates))))
    first, last = (
        every.min().to_datetime64().astype("datetime64[D]"),
        every.max().to_datetime64().astype("datetime64[D]"),
    )
    return tuple(np.arange(first, last + np.timedelta64(1, "D")).tolist())


def _places(days: pd.Series, dates: tuple[date, ...]) -> Ints:
    """The index in consecutive dates of each day."""
    first = np.datetime64(dates[0], "D")
    return np.asarray((pd.to_datetime(days).to_numpy().astype("datetime64[D]") - first).astype(np.int64))


def frame_sketches(
    frame: pd.DataFrame,
    columns: Sequence[str],
    kind: Kind = "data",
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
    bins: int = 200,
) -> list[Sketch]:
    """Sketches of numeric columns of a daily frame (`event_date` and one row per feature): model inputs, or scores.

    Bins are quantiles of all days, so that any scale will do; distances are in robust deviations of the column (raw
    units for predictions, which are probabilities). A column that is sometimes null also gives a rate, `… is missing`;
    one that is null throughout gives an empty sketch, which is judged unknown.
    """
    if not len(frame):
        return []
    dates = calendar(frame["event_date"], None)
    rows = _places(frame["event_date"], dates)
    sketches: list[Sketch] = []
    for column in columns:
        values = frame[column].to_numpy(float, na_value=nan)
        sketches.append(_frame_sketch(values, rows, column, dates, kind, settings, bins))
        if kind == "data" and 0 < np.isfinite(values).sum() < len(values):
            sketches.append(_missing_sketch(values, rows, column, dates, settings))
    return sketches


def _frame_sketch(
    values: Floats, rows: Ints, name: str, dates: tuple[date, ...], kind: Kind, settings: DriftSettings, bins: int
) -> Sketch:
    finite = np.isfinite(values)
    known = values[finite]
    if not len(known):
        nothing = np.zeros((len(dates), 1))
        return Sketch(kind, "", name, "w1", dates, nothing, np.zeros(1), np.zeros(1), family="inputs")
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)))
    code = np.clip(np.searchsorted(edges, known, side="right") - 1, 0, max(len(edges) - 2, 0))
    size = max(len(edges) - 1, 1)
    total = np.bincount(code, minlength=size)
    mean = np.bincount(code, weights=known, minlength=size) / np.maximum(total, 1)
    middle = edges[:1] if len(edges) == 1 else (edges[:-1] + edges[1:]) / 2
    typical = np.where(total > 0, mean, middle)
    counts = np.zeros((len(dates), size))
    np.add.at(counts, (rows[finite], code), 1.0)
    scale = 1.0 if kind == "prediction" else robust_deviation(known)
    floor = settings.w1_floor if kind == "prediction" else settings.input_floor
    unit = "probability" if kind == "prediction" else INPUTS_BY_NAME[name].unit if name in INPUTS_BY_NAME else ""
    return Sketch(kind, "", name, "w1", dates, counts, typical / scale, typical, floor, unit=unit, family="inputs")


def _missing_sketch(values: Floats, rows: Ints, name: str, dates: tuple[date, ...], settings: DriftSettings) -> Sketch:
    """How often a column is null: an input that dries up has drifted, whatever its few values say."""
    counts = np.zeros((len(dates), 2))
    np.add.at(counts, (rows, np.where(np.isfinite(values), 1, 0)), 1.0)
    floor = settings.rate_floor_z
    return Sketch(
        "data", "", f"{name} is missing", "binomial_z", dates, counts, floor=floor, unit="fraction", family="missing"
    )


def robust_deviation(values: Floats) -> float:
    """Interquartile range ÷ 1.349; the standard deviation where half of all values are equal; 1 for a constant."""
    low, high = np.quantile(values, [0.25, 0.75])
    deviation = (high - low) / 1.349 or float(np.std(values))
    return float(deviation) if deviation > 0 else 1.0


def performance_sketches(graded: pd.DataFrame) -> list[Sketch]:
    """Performance on labels that have matured, from rows of `ml.score_ledger` (one per feature and day).

    `label_any` is null while it has not matured. Per day the mean of the trailing `PERFORMANCE_DAYS` of the squared
    error (Brier) and of score − label (calibration): one day of labels is too noisy to say anything. Days whose labels
    are not all there are not graded.
    """
    matured = graded.dropna(subset=["risk_probability", "label_any"])
    if not len(matured):
        return []
    score, label = matured["risk_probability"].to_numpy(float), matured["label_any"].to_numpy(float)
    daily = pd.DataFrame(
        {"day": pd.to_datetime(matured["event_date"]), "brier": (score - label) ** 2, "calibration": score - label}
    )
    dates = calendar(matured["event_date"], None)
    index = pd.DatetimeIndex(pd.to_datetime(list(dates)))
    sums = daily.groupby("day")[["brier", "calibration"]].sum().reindex(index, fill_value=0.0)
    rows = daily.groupby("day").size().reindex(index, fill_value=0)
    pooled = sums.rolling(PERFORMANCE_DAYS, min_periods=1).sum()
    counted = rows.rolling(PERFORMANCE_DAYS, min_periods=1).sum()
    return [
        Sketch(
            "performance",
            "",
            name,
            "mean_shift",
            dates,
            np.stack([pooled[column], counted], axis=1).astype(float),
            unit="score",
        )
        for name, column in (("brier_score", "brier"), ("calibration_bias", "calibration"))
    ]
