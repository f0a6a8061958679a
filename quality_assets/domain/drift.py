"""Drift: have the data, the predictions or their quality moved beyond chance, and does it matter to the model.

Here: baselines of daily metrics, sketches of event-level distributions (as SQL), the comparison of each day with the
same weekday before it, thresholds and p-values from the null that the history itself gives, false-discovery control,
ranking by effect on predictions, and the power table. Faults of single features are found in `detection`.

Population stability index, Jensen–Shannon distance and textbook p-values are not here on purpose: the first two are
blind to rare events and alarm by sample size, the last alarm every day, because days differ even when nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import ceil, isfinite, log, nan
from typing import Any, Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr

from quality_assets.contracts.drift import BASELINE_STATS, DATA_DRIFT, DRIFT_POWER
from quality_assets.domain.detection import (
    MONITORED_METRICS,
    Panel,
    panel_from_facts,
    silent_days_to_tell,
)
from quality_assets.domain.metrics import METRICS_BY_NAME

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Kind = Literal["data", "prediction", "performance"]
Statistic = Literal["w1", "binomial_z", "total_variation", "mean_shift"]
Predict = Callable[[pd.DataFrame], npt.ArrayLike]

LATENCY_BINS_PER_E = 20
_MIX_COLUMNS = ("platform", "app_version", "country")


@dataclass(frozen=True)
class DriftSettings:
    """Every setting of the drift monitor, with its reason.

    reference_weeks: same weekdays before; fewer are noisy, more trail behind growth and the seasons.
    turnover_days: what changes by design (the mix of app versions) is held against the last days instead.
    null_days: this many earlier days, each against its own reference, are the null.
    minimum_reference_days, minimum_null_days: below these nothing is claimed.
    minimum_rows: a day of fewer rows has no distribution to speak of.
    null_mads: threshold = null median + so many null MADs (2.7 deviations, were the null Gaussian, which it is not).
    w1_floor: smaller shifts do not matter: 5 % of a latency, .05 of a score's spread.
    input_floor: the same for model inputs, in their own robust deviations.
    rate_floor_z, rate_floor_change: a rate must have moved by this much in deviations, and relative to itself.
    mix_floor: traffic that must have moved between the values of a column.
    shift_floor: in deviations of the earlier days' means.
    false_discovery_rate: Benjamini & Hochberg (1995) over all tests of a day and kind; with one test alone it is the
        share of false alarms, to stay below 2 %.
    thin_above: earlier days with so many times today's rows are thinned to today's number for the null.
    """

    reference_weeks: int = 8
    turnover_days: int = 3
    null_days: int = 56
    minimum_reference_days: int = 2
    minimum_null_days: int = 14
    minimum_rows: int = 20
    null_mads: float = 4.0
    w1_floor: float = 0.05
    input_floor: float = 0.10
    rate_floor_z: float = 2.5
    rate_floor_change: float = 0.10
    mix_floor: float = 0.03
    shift_floor: float = 3.0
    false_discovery_rate: float = 0.02
    thin_above: float = 1.5

    def reference_offsets(self, is_turnover: bool) -> tuple[int, ...]:
        """Days back that make up the reference."""
        if is_turnover:
            return tuple(range(1, self.turnover_days + 1))
        return tuple(7 * week for week in range(1, self.reference_weeks + 1))


DEFAULT_DRIFT_SETTINGS = DriftSettings()


@dataclass(frozen=True)
class Sketch:
    """One monitored thing over D consecutive days, as counts per bin (D × B).

    position: B bin centres on a scale where a distance of 1 is a typical size: the logarithm for latencies (so that W1
    is a relative shift), robust deviations for model inputs. None where bins have no order (a mix) or for a rate,
    whose bins are (bad, good). typical: the value a bin stands for, to report medians in the column's own unit.
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

    @property
    def rows(self) -> Floats:
        """Rows per day."""
        return np.asarray(self.counts.sum(axis=1))


def event_sketch_sql(source: str = "core.valid_events", by_feature: bool = False) -> str:
    """Counts per bin and day of every event column that is watched, from `$from_date` to `$to_date`.

    Columns: event_date, feature (empty = all traffic), name, bin (text), n. Latency is binned by its logarithm (5 % a
    bin), so that a day of a million rows is a few hundred rows here and days can be added up. One scan, standard SQL.
    With `by_feature` there is a sketch of each feature instead of one of all traffic.
    """
    feature = "feature" if by_feature else "''"
    names = {
        "latency_ms": f"cast(floor({LATENCY_BINS_PER_E} * ln(latency_ms + 1)) as integer)",
        "feedback_score": "cast(round(feedback_score) as integer)",
        "status": "status",
        **{column: f"coalesce({column}, '(unknown)')" for column in _MIX_COLUMNS},
    }
    binned = ",\n    ".join(f"{expression} as {name}_bin" for name, expression in names.items())
    sets = ",\n    ".join(f"(event_date, feature, {name}_bin)" for name in names)
    chosen = "\n    ".join(f"when grouping({name}_bin) = 0 then '{name}'" for name in names)
    value = "\n    ".join(f"when grouping({name}_bin) = 0 then cast({name}_bin as varchar)" for name in names)
    return (
        f"with binned as (\n  select\n    event_date,\n    {feature} as feature,\n    {binned}\n  from {source}\n"
        "  where event_date between $from_date and $to_date\n),\n"
        "counted as (\n  select\n    event_date,\n    feature,\n"
        f"    case\n    {chosen}\n    end as name,\n    case\n    {value}\n    end as bin,\n    count(*) as n\n"
        f"  from binned\n  group by grouping sets (\n    {sets}\n  )\n)\n"
        "select event_date, feature, name, bin, n from counted where bin is not null"
    )


def event_sketches(
    counts: pd.DataFrame,
    known_dates: Iterable[date] | None = None,
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
) -> list[Sketch]:
    """Sketches from the rows of `event_sketch_sql`: latency, feedback, crash and error rate, and the three mixes."""
    if not len(counts):
        return []
    dates = _calendar(counts["event_date"], known_dates)
    sketches: list[Sketch] = []
    for (feature, name), group in counts.groupby(["feature", "name"], sort=True):
        sketches += _event_sketch(str(feature), str(name), group, dates, settings)
    return sketches


def _event_sketch(
    feature: str, name: str, group: pd.DataFrame, dates: tuple[date, ...], settings: DriftSettings
) -> list[Sketch]:
    bins, counts = _matrix(group, dates, is_numeric=name in ("latency_ms", "feedback_score"))
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


def _matrix(group: pd.DataFrame, dates: tuple[date, ...], is_numeric: bool) -> tuple[list[str], Floats]:
    labels = sorted(group["bin"].astype(str).unique(), key=(lambda b: (float(b), b)) if is_numeric else str)
    index = pd.DatetimeIndex(pd.to_datetime(list(dates)))
    counts = np.zeros((len(dates), len(labels)))
    rows = index.get_indexer(pd.DatetimeIndex(pd.to_datetime(group["event_date"])))
    np.add.at(counts, (rows, pd.Index(labels).get_indexer(group["bin"].astype(str))), group["n"].to_numpy(float))
    return labels, counts


def _calendar(days: pd.Series, known_dates: Iterable[date] | None) -> tuple[date, ...]:
    every = pd.DatetimeIndex(pd.to_datetime(days).unique())
    if known_dates is not None:
        every = every.union(pd.DatetimeIndex(pd.to_datetime(list(known_dates))))
    return tuple(d.date() for d in pd.date_range(every.min(), every.max()))


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
    dates = _calendar(frame["event_date"], None)
    index = pd.DatetimeIndex(pd.to_datetime(list(dates)))
    rows = index.get_indexer(pd.DatetimeIndex(pd.to_datetime(frame["event_date"])))
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
        return Sketch(kind, "", name, "w1", dates, np.zeros((len(dates), 1)), np.zeros(1), np.zeros(1))
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
    return Sketch(kind, "", name, "w1", dates, counts, typical / scale, typical, floor)


def _missing_sketch(values: Floats, rows: Ints, name: str, dates: tuple[date, ...], settings: DriftSettings) -> Sketch:
    """How often a column is null: an input that dries up has drifted, whatever its few values say."""
    counts = np.zeros((len(dates), 2))
    np.add.at(counts, (rows, np.where(np.isfinite(values), 1, 0)), 1.0)
    return Sketch("data", "", f"{name} is missing", "binomial_z", dates, counts, floor=settings.rate_floor_z)


def robust_deviation(values: Floats) -> float:
    """Interquartile range ÷ 1.349; the standard deviation where half of all values are equal; 1 for a constant."""
    low, high = np.quantile(values, [0.25, 0.75])
    deviation = (high - low) / 1.349 or float(np.std(values))
    return float(deviation) if deviation > 0 else 1.0


@dataclass(frozen=True)
class Judgement:
    """One sketch on one day. `null` holds the statistic of the earlier days, each against its own reference."""

    sketch: Sketch
    day: int
    observed: float | None
    null: Floats
    n_reference: int
    n_current: int
    reference_days: int
    reference_value: float | None
    current_value: float | None
    reason: str = ""


def judge(sketch: Sketch, day: int, settings: DriftSettings = DEFAULT_DRIFT_SETTINGS) -> Judgement:
    """Compare one day of a sketch with its reference, and earlier days with theirs; only the past is read.

    The reference is the pooled same weekdays of the last weeks (for a turnover column, the last days). Where earlier
    days had far more rows than this one, they are thinned to its number first, so that the null is that of the sample
    size at hand. Deterministic: the thinning is seeded by the name and the day.
    """
    offsets = settings.reference_offsets(sketch.is_turnover)
    rows = sketch.rows
    n_current = rows[day]
    pool, days = _pool(sketch, day, offsets)
    blank = Judgement(
        sketch, day, None, np.empty(0), int(pool.sum()), int(n_current), days, None, _value(sketch, sketch.counts[day])
    )
    if n_current < settings.minimum_rows:
        return replace(blank, reason="no data" if n_current == 0 else f"only {n_current:.0f} rows")
    if days < settings.minimum_reference_days or pool.sum() < settings.minimum_rows:
        return replace(blank, reason="too little history for a reference")
    earlier = range(max(0, day - settings.null_days), day)
    seed = crc32(f"{sketch.kind}|{sketch.feature}|{sketch.name}|{sketch.dates[day].isoformat()}".encode())
    rng = np.random.default_rng(seed)
    null = [_null_value(sketch, d, offsets, n_current, rng, settings) for d in earlier]
    known = np.array([v for v in null if isfinite(v)])
    if len(known) < settings.minimum_null_days:
        return replace(blank, null=known, reason="too little history to know how days differ")
    observed = _distance(sketch, sketch.counts[day], pool)
    if sketch.statistic == "binomial_z":
        # Laney's p′: what days differ beyond the binomial is divided out.
        dispersion = max(1.0, float(np.sqrt(np.mean(np.minimum(known**2, 9 * np.median(known**2) + 1e-9)))))
        observed, known = observed / dispersion, known / dispersion
    return replace(blank, observed=float(abs(observed)), null=np.abs(known), reference_value=_value(sketch, pool))


def _pool(sketch: Sketch, day: int, offsets: Sequence[int]) -> tuple[Floats, int]:
    days = [day - offset for offset in offsets if day - offset >= 0]
    days = [d for d in days if sketch.counts[d].sum() > 0]
    pool = sketch.counts[days].sum(axis=0) if days else np.zeros(sketch.counts.shape[1])
    return pool, len(days)


def _null_value(
    sketch: Sketch,
    day: int,
    offsets: Sequence[int],
    n_current: float,
    rng: np.random.Generator,
    settings: DriftSettings,
) -> float:
    counts = sketch.counts[day]
    rows = counts.sum()
    pool, days = _pool(sketch, day, offsets)
    if rows < settings.minimum_rows or days < settings.minimum_reference_days:
        return nan
    if rows > settings.thin_above * n_current:
        counts = rng.multinomial(int(n_current), counts / rows).astype(float)
    return _distance(sketch, counts, pool)


def _distance(sketch: Sketch, counts: Floats, pool: Floats) -> float:
    """The statistic of one day against a pool, both as counts per bin."""
    if sketch.statistic == "binomial_z":
        return _rate_z(counts, pool)
    share, expected = counts / counts.sum(), pool / pool.sum()
    if sketch.statistic == "total_variation" or sketch.position is None:
        return float(np.abs(share - expected).sum() / 2)
    gaps = np.diff(sketch.position)
    return float((np.abs(np.cumsum(share - expected))[:-1] * gaps).sum())


def _rate_z(counts: Floats, pool: Floats) -> float:
    """Difference of two arcsine-transformed rates in binomial deviations (Anscombe 1948); signed."""

    def angle(bad: float, n: float) -> float:
        return 2 * float(np.arcsin(np.sqrt((bad + 0.375) / (n + 0.75))))

    n, m = counts.sum(), pool.sum()
    # The pool's rate at today's size, so that the offset 3/8 cancels.
    expected = angle(pool[0] / m * n, n)
    return float((angle(counts[0], n) - expected) / np.sqrt(1 / (n + 0.5) + 1 / (m + 0.5)))


def _value(sketch: Sketch, counts: Floats) -> float | None:
    """Median, or rate, in the column's own unit; None for a mix."""
    total = counts.sum()
    if total <= 0 or sketch.statistic == "total_variation":
        return None
    if sketch.statistic == "binomial_z":
        return float(counts[0] / total)
    typical = sketch.typical if sketch.typical is not None else sketch.position
    if typical is None:
        return None
    return float(typical[int(np.searchsorted(np.cumsum(counts), total / 2))])


def threshold(judgement: Judgement, settings: DriftSettings = DEFAULT_DRIFT_SETTINGS) -> tuple[float, float, float]:
    """Threshold, null median and null MAD: max(floor, median + 4 MAD)."""
    median = float(np.median(judgement.null))
    mad = float(np.median(np.abs(judgement.null - median)))
    limit = judgement.sketch.floor
    if judgement.sketch.statistic != "binomial_z":
        limit = max(limit, median + settings.null_mads * mad)
    return limit, median, mad


def null_p_values(judgements: Sequence[Judgement]) -> Floats:
    """P-values from the nulls of all judgements together (Efron 2004); NaN where nothing was observed.

    Each null is put on its own median and MAD and they are pooled, because some dozens of days alone cannot say how
    rare a rare value is. Beyond the pooled 90 % point an exponential tail is fitted (Pickands 1975 with shape 0), which
    is heavier than the Gaussian's.
    """
    standard = [_standardise(j, j.null) for j in judgements if j.observed is not None]
    if not standard:
        return np.full(len(judgements), nan)
    pooled = np.sort(np.concatenate(standard))
    edge = float(np.quantile(pooled, 0.9))
    beyond = pooled[pooled > edge]
    # By the median, because a few of the earlier days did drift and must not hide the next one.
    mean_excess = max(float(np.median(beyond - edge)) / log(2) if len(beyond) else 0.0, 0.25)
    share = max(len(beyond), 1) / len(pooled)

    def p_value(judgement: Judgement) -> float:
        if judgement.observed is None:
            return nan
        value = float(_standardise(judgement, np.array([judgement.observed]))[0])
        if value > edge:
            return float(share * np.exp(-min((value - edge) / mean_excess, 700.0)))
        return float((len(pooled) - np.searchsorted(pooled, value) + 1) / (len(pooled) + 1))

    return np.array([p_value(j) for j in judgements])


def _standardise(judgement: Judgement, values: Floats) -> Floats:
    median = float(np.median(judgement.null))
    mad = 1.4826 * float(np.median(np.abs(judgement.null - median)))
    # A null without any spread (a constant) must not make every whisper infinite.
    return np.asarray((values - median) / max(mad, 0.1 * judgement.sketch.floor, 1e-12))


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats:
    """q-values (Benjamini & Hochberg 1995) of p-values; NaN stays NaN and is no test."""
    p = np.asarray(p_values, dtype=float)
    q = np.full(p.shape, nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    count = len(order)
    raw = p[order] * count / np.arange(1, count + 1)
    q[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0) if count else raw
    return q


def drift_rows(
    sketches: Sequence[Sketch],
    dates: Iterable[date],
    effects: Mapping[str, float] | None = None,
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
) -> pd.DataFrame:
    """Rows of `monitoring.data_drift` for the given days, ranked within each day; contract columns.

    `effects` maps input names to their effect on predictions (`effects_on_predictions`). False discoveries are
    controlled within each day and kind, over everything that could be tested. A day outside a sketch, without rows or
    with too little history is `unknown`, never `ok`.
    """
    rows = [row for day in sorted(set(dates)) for row in _day_rows(sketches, day, effects or {}, settings)]
    return pd.DataFrame(rows, columns=list(DATA_DRIFT.column_names))


def _day_rows(
    sketches: Sequence[Sketch], day: date, effects: Mapping[str, float], settings: DriftSettings
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for kind in ("data", "prediction", "performance"):
        judged = [_judge_date(s, day, settings) for s in sketches if s.kind == kind]
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
            return _judge_shift(sketch, index, settings)
        return judge(sketch, index, settings)
    return Judgement(sketch, -1, None, np.empty(0), 0, 0, 0, None, None, reason="no data")


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
    if judgement.sketch.statistic != "binomial_z" or not judgement.reference_value:
        return True
    return abs((judgement.current_value or 0.0) / judgement.reference_value - 1) >= settings.rate_floor_change


def _verdict(row: Mapping[str, Any], judgement: Judgement) -> str:
    name = row["name"] + (f" of {row['feature']}" if row["feature"] else "")
    if row["status"] == "unknown":
        return f"{name}: unknown, {judgement.reason}"
    moved = _moved(row, judgement.sketch)
    if row["status"] == "ok":
        return f"{name}: as usual{moved}"
    weight = ""
    if row["effect_on_predictions"] is not None:
        effect = row["effect_on_predictions"]
        weight = (
            f"; by itself it moves predictions by {effect:.3f}" if effect >= 0.001 else "; predictions do not feel it"
        )
    times = row["observed"] / row["threshold"]
    return f"{name}: has drifted{moved}, {times:.1f} times what chance and relevance allow{weight}"


def _moved(row: Mapping[str, Any], sketch: Sketch) -> str:
    before, now = row["reference_value"], row["current_value"]
    if sketch.statistic == "total_variation":
        return f" ({row['observed']:.1%} of it moved between values)"
    if before is None or now is None:
        return ""
    what = "rate" if sketch.statistic == "binomial_z" else "mean" if sketch.statistic == "mean_shift" else "median"
    return f" ({what} {now:.4g} against {before:.4g}{' ' + sketch.unit if sketch.unit == 'ms' else ''})"


def effects_on_predictions(
    reference: pd.DataFrame, current: pd.DataFrame, columns: Sequence[str], predict: Predict, most_rows: int = 2000
) -> dict[str, float]:
    """Mean absolute shift of the score when one input alone takes the current distribution; by input name.

    `predict` maps a frame with the columns of `reference` to probabilities. Each value is replaced by the current
    value of the same rank (quantile mapping), so that an input that has not moved has no effect and the joint order of
    inputs is kept. `most_rows` evenly spaced rows of the reference are scored. Empty frames, and inputs without values,
    have no entry.
    """
    if not len(reference) or not len(current):
        return {}
    step = max(1, ceil(len(reference) / most_rows))
    sample = reference.iloc[::step].reset_index(drop=True)
    base = np.asarray(predict(sample), dtype=float)
    effects: dict[str, float] = {}
    for column in columns:
        mapped = _swap_in(reference[column], sample[column], current[column])
        if mapped is not None:
            changed = np.asarray(predict(sample.assign(**{column: mapped})), dtype=float)
            effects[column] = float(np.mean(np.abs(changed - base)))
    return effects


def _swap_in(reference: pd.Series, sample: pd.Series, current: pd.Series) -> Floats | None:
    old = np.sort(reference.to_numpy(float, na_value=nan))
    new = current.to_numpy(float, na_value=nan)
    old, new = old[np.isfinite(old)], new[np.isfinite(new)]
    if not len(old) or not len(new):
        return None
    values = sample.to_numpy(float, na_value=nan)
    finite = np.where(np.isfinite(values), values, old[0])
    # The middle of ties, so that a value held by half of all rows maps onto the current middle.
    rank = (np.searchsorted(old, finite, side="left") + np.searchsorted(old, finite, side="right")) / 2 / len(old)
    return np.where(np.isfinite(values), np.quantile(new, np.clip(rank, 0, 1)), values)


def performance_sketches(
    graded: pd.DataFrame, window_days: int = 7, score_column: str = "risk_probability", label_column: str = "label_any"
) -> list[Sketch]:
    """Performance on labels that have matured, from rows of `ml.score_ledger` (one per feature and day).

    `score_column` is a probability, `label_column` true, false, or null while it has not matured. Per day the mean
    of the trailing `window_days` of the squared error (Brier) and of score − label (calibration): one
    day of labels is too noisy to say anything. Days whose labels are not all there are not graded.
    """
    matured = graded.dropna(subset=[score_column, label_column])
    if not len(matured):
        return []
    score, label = matured[score_column].to_numpy(float), matured[label_column].to_numpy(float)
    daily = pd.DataFrame(
        {"day": pd.to_datetime(matured["event_date"]), "brier": (score - label) ** 2, "calibration": score - label}
    )
    dates = _calendar(matured["event_date"], None)
    index = pd.DatetimeIndex(pd.to_datetime(list(dates)))
    sums = daily.groupby("day")[["brier", "calibration"]].sum().reindex(index, fill_value=0.0)
    rows = daily.groupby("day").size().reindex(index, fill_value=0)
    pooled = sums.rolling(window_days, min_periods=1).sum()
    counted = rows.rolling(window_days, min_periods=1).sum()
    return [
        Sketch("performance", "", name, "mean_shift", dates, np.stack([pooled[column], counted], axis=1).astype(float))
        for name, column in (("brier_score", "brier"), ("calibration_bias", "calibration"))
    ]


def _judge_shift(sketch: Sketch, day: int, settings: DriftSettings) -> Judgement:
    """A trailing mean against those of earlier days that share no row with it, in their robust deviations."""
    total, rows = sketch.counts[:, 0], sketch.counts[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / rows
    earlier = mean[max(0, day - 7 - settings.null_days) : max(0, day - 6)]
    earlier = earlier[np.isfinite(earlier)]
    n_current = int(rows[day])
    blank = Judgement(
        sketch, day, None, np.empty(0), 0, n_current, len(earlier), None, float(mean[day]) if n_current else None
    )
    if n_current < settings.minimum_rows:
        return replace(blank, reason="too few matured labels")
    if len(earlier) < settings.minimum_null_days:
        return replace(blank, reason="too little graded history")
    centre = float(np.median(earlier))
    scale = max(1.4826 * float(np.median(np.abs(earlier - centre))), 1e-6)
    return replace(
        blank,
        sketch=replace(sketch, floor=settings.shift_floor),
        observed=abs(float(mean[day]) - centre) / scale,
        null=np.abs(earlier - centre) / scale,
        n_reference=len(earlier),
        reference_value=centre,
    )


def baseline_stats(
    facts: pd.DataFrame,
    metrics: Sequence[str] = MONITORED_METRICS,
    known_dates: Iterable[date] | None = None,
    window_days: int = 56,
    minimum_days: int = 12,
) -> pd.DataFrame:
    """Rows of `monitoring.baseline_stats` from rows of `product.fact_feature_metrics`, as of its last day."""
    known = None if known_dates is None else list(known_dates)
    rows: list[dict[str, Any]] = []
    for name in metrics:
        if name in facts and len(facts):
            panel = panel_from_facts(facts, name, known)
            rows += [_baseline_row(panel, i, window_days, minimum_days) for i in range(len(panel.series))]
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
        "feature": panel.series[series],
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
        "noise": float(1.4826 * np.median(np.abs(residual))) if len(known) >= minimum_days else None,
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


@dataclass(frozen=True)
class PowerCase:
    """A change to inject into simulated days: `label` in words, applied to what the statistic watches."""

    statistic: Statistic
    label: str
    factor: float = 1.0
    traffic: float = 1.0


POWER_CASES = (
    PowerCase("w1", "no change"),
    PowerCase("w1", "latency +10 %", 1.1),
    PowerCase("w1", "latency +20 %", 1.2),
    PowerCase("w1", "10 % of traffic × 2.5", 2.5, 0.1),
    PowerCase("binomial_z", "no change"),
    PowerCase("binomial_z", "rate 1 % × 1.5", 1.5),
    PowerCase("binomial_z", "rate 1 % × 2", 2.0),
)


@dataclass(frozen=True)
class SimulatedNoise:
    """How simulated days differ when nothing is wrong; set it to what `baseline_stats` measures for power at home.

    day: deviation of the logarithm of latency between days. sigma: of a day's latencies. weekend: shift of weekends.
    rate, rate_between_days: a rate, and the deviation of its logarithm between days.
    """

    day: float = 0.02
    sigma: float = 0.5
    weekend: float = 0.08
    rate: float = 0.01
    rate_between_days: float = 0.10


DEFAULT_NOISE = SimulatedNoise()


def found_share(sketch: Sketch, case: PowerCase, settings: DriftSettings = DEFAULT_DRIFT_SETTINGS) -> float:
    """Judge the last day of a simulated sketch as the monitor does, latency together with its tail.

    1 where the change is found by either; for a case without change the share of false alarms among the tests.
    """
    watched = [sketch] if case.statistic == "binomial_z" else [sketch, tail_sketch(sketch, settings)]
    drifted = drift_rows(watched, sketch.dates[-1:], settings=settings)["is_drifted"].astype(bool)
    return float(drifted.mean() if case.factor == 1.0 else drifted.any())


def power_table(
    rows_per_day: Sequence[int] = (2_000, 10_000, 1_000_000),
    trials: int = 100,
    seed: int = 0,
    noise: SimulatedNoise = DEFAULT_NOISE,
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
) -> pd.DataFrame:
    """Rows of `monitoring.drift_power`: how often the monitor sees each change, on days simulated as bins.

    Every trial has its own history of 15 weeks; the counts are multinomial, so that a million rows cost no more than
    two thousand. Deterministic for a seed; about 5 ms a trial.
    """
    rows = []
    for n in rows_per_day:
        for case in POWER_CASES:
            rng = np.random.default_rng([seed, n, crc32(case.label.encode())])
            simulate = simulated_latency if case.statistic == "w1" else simulated_rate
            found = 0.0
            for _ in range(trials):
                found += found_share(simulate(rng, n, case, noise, settings), case, settings)
            rows.append((case.statistic, case.label, n, found / trials, trials))
    return pd.DataFrame(rows, columns=list(DRIFT_POWER.column_names))


_SIMULATED_DAYS = 106
_SIMULATED_DATES = tuple(d.date() for d in pd.date_range("2026-01-01", periods=_SIMULATED_DAYS))


def simulated_latency(
    rng: np.random.Generator,
    n: int,
    case: PowerCase,
    noise: SimulatedNoise = DEFAULT_NOISE,
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
) -> Sketch:
    """A log-normal latency sketch of n rows a day whose last day has the change of `case`."""
    width = 1 / LATENCY_BINS_PER_E
    edges = np.arange(-6 * noise.sigma - 0.5, 6 * noise.sigma + 1.5, width)
    shift = noise.day * rng.standard_normal(_SIMULATED_DAYS)
    shift += noise.weekend * np.array([d.weekday() >= 5 for d in _SIMULATED_DATES])
    share = np.diff(_normal_cdf((edges[None, :] - shift[:, None]) / noise.sigma), axis=1)
    moved = np.diff(_normal_cdf((edges - shift[-1] - np.log(case.factor)) / noise.sigma))
    share[-1] = (1 - case.traffic) * share[-1] + case.traffic * moved
    counts = rng.multinomial(n, share / share.sum(axis=1, keepdims=True)).astype(float)
    position = edges[:-1] + width / 2
    floor = settings.w1_floor
    return Sketch("data", "", "latency_ms", "w1", _SIMULATED_DATES, counts, position, np.exp(position), floor)


def simulated_rate(
    rng: np.random.Generator,
    n: int,
    case: PowerCase,
    noise: SimulatedNoise = DEFAULT_NOISE,
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
) -> Sketch:
    """A rate sketch of n rows a day whose last day has the change of `case`."""
    daily = noise.rate * np.exp(noise.rate_between_days * rng.standard_normal(_SIMULATED_DAYS))
    daily[-1] *= case.factor
    bad = rng.binomial(n, np.minimum(daily, 1)).astype(float)
    counts = np.stack([bad, n - bad], axis=1)
    return Sketch("data", "", "crash_rate", "binomial_z", _SIMULATED_DATES, counts, floor=settings.rate_floor_z)


def _normal_cdf(x: Floats) -> Floats:
    return np.asarray(ndtr(x))


def worst_first(rows: pd.DataFrame, most: int = 5) -> pd.DataFrame:
    """The drifted rows that matter most, by rank."""
    return rows[rows["status"] == "drifted"].sort_values("rank").head(most)


def unknown_share(rows: pd.DataFrame) -> float:
    """Share of things that could not be judged; 1 where nothing was."""
    return float((rows["status"] == "unknown").mean()) if len(rows) else 1.0
