"""Drift: have the data, the predictions or their quality moved beyond chance, and does it matter to the model.

Here: baselines of daily metrics, sketches of event-level distributions (as SQL), the comparison of each day with the
same weekday before it, thresholds and p-values from the null that the history itself gives, false-discovery control,
ranking by effect on predictions, and the power table. Faults of single features are found in `detection`.

Population stability index, Jensen–Shannon distance and textbook p-values are not here on purpose: the first two are
blind to rare events and alarm by sample size, the last alarm every day, because days differ even when nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from zlib import crc32

import numpy as np

from quality_assets.domain.arrays import Floats, Ints
from quality_assets.domain.drift.settings import DEFAULT_DRIFT_SETTINGS, DriftSettings
from quality_assets.domain.drift.sketches import Sketch
from quality_assets.domain.wording import plural


@dataclass(frozen=True)
class Judgement:
    """One sketch on one day. `null` holds the statistic of the earlier days, each against its own reference.

    window_days: over how many trailing days a rate moved most; values and numbers of rows are of that window. before,
    now: what was expected and what came, as counts per bin.
    """

    sketch: Sketch
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
    pools, days = reference_pools(sketch, first, day, settings.reference_offsets(sketch.is_turnover))
    n_current, n_reference = counts[-1].sum(), pools[-1].sum()
    value = _value(sketch, counts[-1])
    blank = Judgement(sketch, None, np.empty(0), int(n_reference), int(n_current), int(days[-1]), None, value)
    if n_current < settings.minimum_rows:
        return replace(blank, reason="no data" if n_current == 0 else f"only {plural(round(n_current), 'row')}")
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


def reference_pools(sketch: Sketch, first: int, last: int, offsets: Sequence[int]) -> tuple[Floats, Ints]:
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


def judge_shift(sketch: Sketch, day: int, settings: DriftSettings) -> Judgement:
    """A trailing mean against those of earlier days that share no row with it, in their robust deviations."""
    total, rows = sketch.counts[:, 0], sketch.counts[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / rows
    earlier = mean[max(0, day - 7 - settings.null_days) : max(0, day - 6)]
    earlier = earlier[np.isfinite(earlier)]
    n_current = int(rows[day])
    blank = Judgement(
        sketch, None, np.empty(0), 0, n_current, len(earlier), None, float(mean[day]) if n_current else None
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
