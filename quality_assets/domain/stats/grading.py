"""How good probabilities were: ranking, calibration, capacity, lead, each with a block-bootstrap interval.

Pure arithmetic over arrays of scores and outcomes. What is trained, and on which rows, lives in `domain/models`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quality_assets.domain.arrays import Floats, Ints

METRIC_NAMES = (
    "pr_auc",
    "pr_auc_lift",
    "roc_auc",
    "brier",
    "brier_skill",
    "ece",
    "precision_at_k",
    "recall_at_k",
)
Keys = tuple[str | None, str]
"""The columns of a row's day (None where rows have no time) and of its entity."""
FEATURE_DAYS: Keys = ("event_date", "feature")
_BINS = 10
_CONFIDENCE = 0.90


@dataclass(frozen=True)
class Graded:
    """Scores against outcomes, sorted once by falling score so that any weighting is graded in one pass.

    outcome, score: n values. edge: last position of each run of equal scores. bin: calibration bin of each row.
    is_selected: among the k highest of its day. block: resampling unit of each row, `blocks` of them.
    """

    outcome: Floats
    score: Floats
    edge: Ints
    bin: Ints
    is_selected: Floats
    block: Ints
    blocks: int


def prepare(
    rows: pd.DataFrame, outcome: Floats, score: Floats, k: int, block_days: int, by: Keys = FEATURE_DAYS
) -> Graded:
    """Sort and block n rows with the columns `by`.

    Blocks are one entity over `block_days` days: neighbouring days share most of their future, so resampling single
    rows would make intervals far too narrow (Künsch 1989).
    """
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    edge = np.flatnonzero(np.append(np.diff(ordered) != 0, True)) if len(order) else np.zeros(0, dtype=np.int64)
    time, entity = by
    day = np.zeros(len(rows), dtype=np.int64) if time is None else _epoch_days(rows[time])
    entities = pd.factorize(rows[entity])[0].astype(np.int64)
    # Anchored to the calendar's epoch, so that a block does not depend on which rows are graded.
    block, names = pd.factorize(entities * 1_000_000 + day // block_days)
    bins = np.minimum(np.arange(len(order)) * _BINS // max(len(order), 1), _BINS - 1)
    return Graded(
        outcome[order].astype(float),
        ordered.astype(float),
        edge,
        bins,
        top_k(day, score, k)[order].astype(float),
        block[order].astype(np.int64),
        len(names),
    )


def top_k(day: Ints, score: Floats, k: int) -> NDArray[np.bool_]:
    """Whether each row is among the k highest scores of its day; ties go to a fixed pseudo-random order."""
    tie = np.random.default_rng(0).random(len(score))
    order = np.lexsort((tie, -score, day))
    sorted_day = day[order]
    start = (
        np.maximum.accumulate(np.where(np.append(True, np.diff(sorted_day) != 0), np.arange(len(day)), 0))
        if len(day)
        else day
    )
    out = np.zeros(len(day), dtype=bool)
    out[order] = np.arange(len(day)) - start < k
    return out


def measure(graded: Graded, weight: Floats | None = None) -> dict[str, float]:
    """All of `METRIC_NAMES` under row weights; NaN where a metric is undefined (one class only).

    PR-AUC is average precision; Brier skill is against the base rate (Murphy 1973); ECE over ten bins of equal
    numbers of rows (Naeini et al. 2015).
    """
    y, p = graded.outcome, graded.score
    w = np.ones(len(y)) if weight is None else weight
    total, positive = float(w.sum()), float((w * y).sum())
    if total <= 0:
        return dict.fromkeys(METRIC_NAMES, np.nan)
    base = positive / total
    brier = float((w * (p - y) ** 2).sum() / total)
    chosen = w * graded.is_selected
    hits = float((chosen * y).sum())
    pr_auc, roc_auc = _areas(graded, w, positive, total - positive)
    in_bin = np.bincount(graded.bin, w, _BINS)
    gap = np.abs(np.bincount(graded.bin, w * p, _BINS) - np.bincount(graded.bin, w * y, _BINS))
    spread = base * (1 - base)
    return {
        "pr_auc": pr_auc,
        "pr_auc_lift": pr_auc / base if base > 0 else np.nan,
        "roc_auc": roc_auc,
        "brier": brier,
        "brier_skill": 1 - brier / spread if spread > 0 else np.nan,
        "ece": float(gap.sum() / in_bin.sum()),
        "precision_at_k": hits / float(chosen.sum()) if chosen.sum() > 0 else np.nan,
        "recall_at_k": hits / positive if positive > 0 else np.nan,
    }


def _areas(graded: Graded, w: Floats, positive: float, negative: float) -> tuple[float, float]:
    if positive <= 0 or negative <= 0:
        return np.nan, np.nan
    true = np.cumsum(w * graded.outcome)[graded.edge]
    seen = np.cumsum(w)[graded.edge]
    gained = np.diff(true, prepend=0.0)
    precision = np.divide(true, seen, out=np.zeros_like(true), where=seen > 0)
    false = seen - true
    missed = np.diff(false, prepend=0.0)
    roc = float((missed * (true - gained / 2)).sum() / (positive * negative))
    return float((gained * precision).sum() / positive), roc


def bootstrap_weights(block: Ints, blocks: int, rounds: int, seed: int) -> list[Floats]:
    """Row weights of `rounds` bootstrap samples of whole blocks."""
    rng = np.random.default_rng(seed)
    share = np.full(blocks, 1 / max(blocks, 1))
    return [rng.multinomial(blocks, share)[block].astype(float) for _ in range(rounds)] if blocks else []


def measure_with_intervals(graded: Graded, rounds: int, seed: int) -> pd.DataFrame:
    """metric, value, low, high: percentile intervals at 90 % from a bootstrap of blocks."""
    value = measure(graded)
    draws = pd.DataFrame([measure(graded, w) for w in bootstrap_weights(graded.block, graded.blocks, rounds, seed)])
    tail = (1 - _CONFIDENCE) / 2
    return pd.DataFrame(
        [(name, value[name], _quantile(draws, name, tail), _quantile(draws, name, 1 - tail)) for name in METRIC_NAMES],
        columns=["metric", "value", "low", "high"],
    )


def _quantile(draws: pd.DataFrame, name: str, q: float) -> float:
    return float(draws[name].quantile(q)) if name in draws and draws[name].notna().any() else np.nan


def metric_difference(
    metric: str,
    rows: pd.DataFrame,
    outcome: Floats,
    first: Floats,
    second: Floats,
    block_days: int,
    rounds: int,
    seed: int,
    by: Keys = FEATURE_DAYS,
) -> tuple[float, float, float]:
    """A metric of `first` minus that of `second` on the same rows: difference, low, high, from a paired bootstrap."""
    one, two = (prepare(rows, outcome, score, 1, block_days, by) for score in (first, second))
    value = measure(one)[metric] - measure(two)[metric]
    # factorize numbers blocks by first appearance in `rows`, which both share, so one draw weighs both alike.
    draws = [
        measure(one, one_w)[metric] - measure(two, two_w)[metric]
        for one_w, two_w in zip(
            bootstrap_weights(one.block, one.blocks, rounds, seed),
            bootstrap_weights(two.block, two.blocks, rounds, seed),
            strict=True,
        )
    ]
    low, high = np.nanquantile(draws, [0.05, 0.95]) if np.isfinite(draws).any() else (np.nan, np.nan)
    return float(value), float(low), float(high)


def calibration_bins(
    outcome: Floats,
    score: Floats,
    rows: pd.DataFrame,
    block_days: int,
    rounds: int,
    seed: int,
    by: Keys = FEATURE_DAYS,
) -> pd.DataFrame:
    """bin, predicted, observed, low, high, rows over ten bins of equal numbers, lowest first; bins in use only."""
    graded = prepare(rows, outcome, score, 1, block_days, by)
    # Grading sorts by falling score; people read calibration by rising probability.
    bins = _BINS - 1 - graded.bin
    count = np.bincount(bins, minlength=_BINS)
    used = count > 0
    draws = []
    for w in bootstrap_weights(graded.block, graded.blocks, rounds, seed):
        weight = np.bincount(bins, w, _BINS)
        draws.append(
            np.divide(
                np.bincount(bins, w * graded.outcome, _BINS), weight, out=np.full(_BINS, np.nan), where=weight > 0
            )
        )
    spread = np.array(draws) if draws else np.full((1, _BINS), np.nan)
    frame = pd.DataFrame(
        {
            "predicted": np.bincount(bins, graded.score, _BINS)[used] / count[used],
            "observed": np.bincount(bins, graded.outcome, _BINS)[used] / count[used],
            "low": np.nanquantile(spread[:, used], 0.05, axis=0),
            "high": np.nanquantile(spread[:, used], 0.95, axis=0),
            "rows": count[used],
        }
    )
    frame.insert(0, "bin", np.arange(1, len(frame) + 1))
    return frame


@dataclass(frozen=True)
class Lead:
    """Of `onsets` degradations that began, how many had been warned of, and the days between first warning and onset.

    `lead_days` holds one value per warned onset.
    """

    onsets: int
    lead_days: Ints

    @property
    def warned_share(self) -> float:
        """Share of onsets that were among the top k on at least one of the h days before; NaN without onsets."""
        return len(self.lead_days) / self.onsets if self.onsets else np.nan

    @property
    def median_days(self) -> float:
        """Median lead of the warned onsets; NaN where none was."""
        return float(np.median(self.lead_days)) if len(self.lead_days) else np.nan


def lead_times(rows: pd.DataFrame, is_selected: NDArray[np.bool_], onsets: pd.DataFrame, horizon_days: int) -> Lead:
    """Lead of top-k warnings before onsets.

    `rows` are the scored rows (event_date, feature), `is_selected` marks those among the top k of their day,
    `onsets` has one row (event_date, feature) per degradation that began; onsets without a scored row in the h days
    before are not counted.
    """
    scored = pd.DataFrame(
        {
            "feature": rows["feature"].to_numpy(),
            "day": _epoch_days(rows["event_date"]),
            "warned": np.asarray(is_selected, dtype=bool),
        }
    )
    begun = pd.DataFrame({"feature": onsets["feature"].to_numpy(), "onset": _epoch_days(onsets["event_date"])})
    pairs = begun.merge(scored, on="feature")
    pairs["lead"] = pairs["onset"] - pairs["day"]
    pairs = pairs[(pairs["lead"] >= 1) & (pairs["lead"] <= horizon_days)]
    warned = pairs[pairs["warned"]].groupby(["feature", "onset"])["lead"].max()
    return Lead(len(pairs[["feature", "onset"]].drop_duplicates()), warned.to_numpy(dtype=np.int64))


def _epoch_days(column: pd.Series) -> Ints:
    return np.asarray(pd.to_datetime(column).to_numpy().astype("datetime64[D]").astype(np.int64))
