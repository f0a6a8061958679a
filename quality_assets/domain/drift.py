"""Drift: have the data, the predictions or their quality moved beyond chance, and does it matter to the model.

Here: baselines of daily metrics, sketches of event-level distributions (as SQL), the comparison of each day with the
same weekday before it, thresholds and p-values from the null that the history itself gives, false-discovery control,
ranking by effect on predictions, and the power table. Faults of single features are found in `detection`.

Population stability index, Jensen–Shannon distance and textbook p-values are not here on purpose: the first two are
blind to rare events and alarm by sample size, the last alarm every day, because days differ even when nothing is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import ceil, isfinite, log, nan
from typing import Any, Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pandas as pd

from quality_assets.contracts.drift import BASELINE_STATS, DATA_DRIFT, DRIFT_DISTRIBUTIONS
from quality_assets.domain.detection import (
    MONITORED_METRICS,
    Panel,
    panel_from_facts,
    silent_days_to_tell,
)
from quality_assets.domain.metrics import METRICS_BY_NAME
from quality_assets.domain.risk_input_registry import INPUTS_BY_NAME
from quality_assets.domain.wording import name_in_words, share_text, value_text

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
    rate_windows_days: rates are judged over these trailing windows at once, because rare counts say little in a day.
    rate_lean_sd: a longer window counts only while the last day itself leans the same way by so many deviations.
    pooled_discount: what a longer window's deviations count for: three windows are more chances than one.
    rate_floor_z, rate_floor_change: a rate must have moved by this much in deviations, and relative to itself.
    mix_floor: traffic that must have moved between the values of a column.
    shift_floor: in deviations of the earlier days' means.
    false_discovery_rate: Benjamini & Hochberg (1995) over all tests of a day and family; with one test alone it is
        the share of false alarms, to stay below 2 %.
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
    rate_windows_days: tuple[int, ...] = (1, 3, 7)
    rate_lean_sd: float = 1.0
    pooled_discount: float = 0.85
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


@dataclass(frozen=True)
class Judgement:
    """One sketch on one day. `null` holds the statistic of the earlier days, each against its own reference.

    window_days: over how many trailing days a rate moved most; values and numbers of rows are of that window. before,
    now: what was expected and what came, as counts per bin.
    """

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
    window_days: int = 1
    before: Floats | None = None
    now: Floats | None = None


def judge(sketch: Sketch, day: int, settings: DriftSettings = DEFAULT_DRIFT_SETTINGS) -> Judgement:
    """Compare one day of a sketch with its reference, and earlier days with theirs; only the past is read.

    The reference is the pooled same weekdays of the last weeks (for a turnover column, the last days). Where earlier
    days had far more rows than this one, they are thinned to its number first, so that the null is that of the sample
    size at hand. Deterministic: the thinning is seeded by the name and the day.
    """
    is_rate = sketch.statistic == "binomial_z"
    first = max(0, day - settings.null_days - (2 * max(settings.rate_windows_days) if is_rate else 0))
    counts = sketch.counts[first : day + 1]
    pools, days = _pools(sketch, first, day, settings.reference_offsets(sketch.is_turnover))
    n_current, n_reference = counts[-1].sum(), pools[-1].sum()
    value = _value(sketch, counts[-1])
    blank = Judgement(sketch, day, None, np.empty(0), int(n_reference), int(n_current), int(days[-1]), None, value)
    if n_current < settings.minimum_rows:
        return replace(blank, reason="no data" if n_current == 0 else f"only {n_current:.0f} rows")
    if days[-1] < settings.minimum_reference_days or n_reference < settings.minimum_rows:
        return replace(blank, reason="too little history for a reference")
    seed = crc32(f"{sketch.kind}|{sketch.feature}|{sketch.name}|{sketch.dates[day].isoformat()}".encode())
    is_comparable = (counts.sum(axis=1) >= settings.minimum_rows) & (days >= settings.minimum_reference_days)
    counts = _thinned(counts, settings.thin_above * n_current, np.random.default_rng(seed))
    pools = np.where(is_comparable[:, None], pools, nan)
    values, window = _scanned_rate(counts, pools, settings) if is_rate else (_distances(sketch, counts, pools), 1)
    # Days that share rows with this day's windows would hide what has lasted for some days.
    past = values[: -max(settings.rate_windows_days)] if is_rate else values[:-1]
    null = past[np.isfinite(past)]
    if len(null) < settings.minimum_null_days:
        return replace(blank, null=null, reason="too little history to know how days differ")
    # What a rate is held against over several days is what those days' own weekdays had.
    now, before = counts[-window:].sum(axis=0), _expected(counts[-window:], pools[-window:])
    return replace(
        blank,
        observed=float(values[-1]),
        null=null,
        n_reference=int(pools[-window:].sum()),
        n_current=int(now.sum()),
        reference_value=_value(sketch, before),
        current_value=_value(sketch, now),
        window_days=window,
        before=before,
        now=now,
    )


def _pools(sketch: Sketch, first: int, last: int, offsets: Sequence[int]) -> tuple[Floats, Ints]:
    """What each day from `first` to `last` is held against (D × B), and of how many days that is (D)."""
    at = np.arange(first, last + 1)
    pools, days = np.zeros((len(at), sketch.counts.shape[1])), np.zeros(len(at), dtype=np.int64)
    rows = sketch.rows
    for offset in offsets:
        is_there = at >= offset
        back = at[is_there] - offset
        pools[is_there] += sketch.counts[back]
        days[is_there] += rows[back] > 0
    return pools, days


def _thinned(counts: Floats, most_rows: float, rng: np.random.Generator) -> Floats:
    """The days (D × B), those before the last one drawn down to its number of rows where they have more than most."""
    rows = counts.sum(axis=1)
    large = np.flatnonzero(rows[:-1] > most_rows)
    if not len(large):
        return counts
    thinned = counts.copy()
    thinned[large] = rng.multinomial(int(rows[-1]), counts[large] / rows[large, None])
    return thinned


def _expected(counts: Floats, pools: Floats) -> Floats:
    """What the references of some days expect of them together (D × B → B)."""
    rows = counts.sum(axis=1)
    return np.asarray((pools / pools.sum(axis=1, keepdims=True) * rows[:, None]).sum(axis=0))


def _distances(sketch: Sketch, counts: Floats, pools: Floats) -> Floats:
    """The statistic of each day against its pool (both D × B); NaN where there is nothing to compare."""
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = counts / counts.sum(axis=1, keepdims=True) - pools / pools.sum(axis=1, keepdims=True)
    if sketch.statistic == "total_variation" or sketch.position is None:
        return np.asarray(np.abs(gap).sum(axis=1) / 2)
    return np.asarray((np.abs(np.cumsum(gap, axis=1))[:, :-1] * np.diff(sketch.position)).sum(axis=1))


def _scanned_rate(counts: Floats, pools: Floats, settings: DriftSettings) -> tuple[Floats, int]:
    """How far each day's rate lies from its reference in deviations, at most over the trailing windows; the last's.

    Counts and pools are D × 2, bad first. A window's days are summed and so are their references. Difference of two
    arcsine-transformed rates (Anscombe 1948), divided by what the days before differ by beyond the binomial (Laney
    2002, p′ chart). A maximum over windows is a scan statistic (Naus 1965): its null is the same maximum, earlier.
    """
    rows, pooled = counts.sum(axis=1), pools.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = rows * pools[:, 0] / pooled
    windows = [w for w in settings.rate_windows_days if w <= len(rows)]
    scaled = []
    for window in windows:
        bad, n, awaited, m = (_trailing(x, window) for x in (counts[:, 0], rows, expected, pooled))
        with np.errstate(invalid="ignore"):
            z = (_angle(bad, n) - _angle(awaited, n)) / np.sqrt(1 / (n + 0.5) + 1 / (m + 0.5))
        past = z[: -max(windows)]
        weight = 1.0 if window == 1 else settings.pooled_discount
        scaled.append(weight * z / _dispersion(past[np.isfinite(past)]))
    day = scaled[0]
    with np.errstate(invalid="ignore"):
        leans = np.abs(day) >= settings.rate_lean_sd
        size = np.array([np.abs(day), *(np.where(leans & (day * z > 0), np.abs(z), nan) for z in scaled[1:])])
    strongest = np.fmax.reduce(size, axis=0)
    return strongest, windows[int(np.nanargmax(size[:, -1]))] if np.isfinite(strongest[-1]) else 1


def _trailing(values: Floats, window: int) -> Floats:
    summed = np.lib.stride_tricks.sliding_window_view(values, window).sum(axis=1)
    return np.concatenate([np.full(window - 1, nan), summed])


def _angle(bad: Floats, n: Floats) -> Floats:
    return np.asarray(2 * np.arcsin(np.sqrt((bad + 0.375) / (n + 0.75))))


def _dispersion(z: Floats) -> float:
    """Root mean square of what should be unit deviations, wild ones cut; 1 at least."""
    return max(1.0, float(np.sqrt(np.mean(np.minimum(z**2, 9 * np.median(z**2) + 1e-9))))) if len(z) else 1.0


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
    if judgement.sketch.statistic != "binomial_z" or not judgement.reference_value:
        return True
    return abs((judgement.current_value or 0.0) / judgement.reference_value - 1) >= settings.rate_floor_change


def _verdict(row: Mapping[str, Any], judgement: Judgement) -> str:
    name = name_in_words(row["name"]) + (f" of {row['feature']}" if row["feature"] else "")
    name = name[:1].upper() + name[1:]
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
        pools, _ = _pools(sketch, index, index, settings.reference_offsets(sketch.is_turnover))
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


def worst_first(rows: pd.DataFrame, most: int = 5) -> pd.DataFrame:
    """The drifted rows that matter most, by rank."""
    return rows[rows["status"] == "drifted"].sort_values("rank").head(most)


def unknown_share(rows: pd.DataFrame) -> float:
    """Share of things that could not be judged; 1 where nothing was."""
    return float((rows["status"] == "unknown").mean()) if len(rows) else 1.0
