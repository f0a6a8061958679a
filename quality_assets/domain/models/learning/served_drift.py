"""Whether what a model is asked, what it answers, and how well it does have moved from what it has learnt from.

Three kinds apart. An input, or the predictions, have moved where the distance is beyond chance, by permutation of
blocks of rows, and large enough to matter; of several at once one in twenty of those told may be false. The index that
people know (PSI) is shown and decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.learning.columns_of import Columns, is_unknown, row_count, taken
from quality_assets.domain.models.learning.input_changes import change_of
from quality_assets.domain.stats.discoveries import benjamini_hochberg
from quality_assets.domain.stats.intervals import wilson_interval
from quality_assets.domain.wording import measure_texts, share_text

PREDICTION = "prediction"
BLOCK = "block of rows"
_BINS = 10
_BOOTSTRAP = 400
_MOST_ROUNDS = 1_999


class Asked(Protocol):
    """What answers: inputs by name, and predictions of n rows, the first of what is returned."""

    @property
    def inputs(self) -> tuple[str, ...]: ...

    def predictions(self, columns: Columns) -> tuple[Floats, ...]: ...


@dataclass(frozen=True)
class DriftLimits:
    """When something is told.

    false_share: of what is told, how much may be false. least_distance: from which a distance matters, of 1.
    least_rows: below, nothing is known. most_rows: drawn of each side, which decides as well. worse_by: the error
    against the one on rows that were held out. coverage_off_by: of p10 to p90.
    """

    false_share: float = 0.05
    least_distance: float = 0.1
    least_rows: int = 50
    most_rows: int = 5_000
    rounds: int = 199
    worse_by: float = 1.2
    coverage_off_by: float = 0.08


def moved(
    model: Asked, reference: Columns, current: Columns, answered: Floats, limits: DriftLimits, *,
    passed: Sequence[str] = (), seed: int = 0,
) -> list[dict[str, Any]]:  # fmt: skip
    """What moved, the most important first: a row for each input, and one for the predictions.

    `reference`: rows that the model has learnt from; `current`: rows it was asked; `answered`: what it said of these.
    Both may have a column BLOCK: rows of one block resemble each other, and chance is told by blocks then. `passed`:
    inputs that are not judged.
    """
    rng = np.random.default_rng(seed)
    before, now = _drawn(reference, limits, rng), _drawn({**current, PREDICTION: answered}, limits, rng)
    said_before = model.predictions(before)[0]
    marks = _marks(before, now, limits, len(model.inputs) + 1, rng)
    found = [
        _compared(name, before[name], now[name], marks) | {"kind": "data", "effect": effect}
        for name in model.inputs
        if name not in passed
        for effect in (_effect(model, before, now, name, said_before, rng),)
    ]
    found.append(
        _compared(PREDICTION, said_before, now[PREDICTION], marks)
        | {"kind": "prediction", "effect": float(np.mean(now[PREDICTION]) - np.mean(said_before))}
    )
    return sorted(decided(found, limits), key=lambda each: (not each["is_drifted"], -abs(each["effect"])))


def decided(found: Sequence[Mapping[str, Any]], limits: DriftLimits) -> list[dict[str, Any]]:
    """Which of several that were compared at once have moved: `p_value` and `distance` of each, with what follows."""
    q: Sequence[Any] = list(benjamini_hochberg([each["p_value"] for each in found])) if found else []
    return [
        {
            **each, "q_value": float(value),
            "is_drifted": bool(value <= limits.false_share and each["distance"] >= limits.least_distance),
        }
        for each, value in zip(found, q, strict=True)
    ]  # fmt: skip


def _drawn(columns: Columns, limits: DriftLimits, rng: np.random.Generator) -> dict[str, np.ndarray]:
    n = row_count(columns)
    rows = np.arange(n) if n <= limits.most_rows else np.sort(rng.choice(n, limits.most_rows, replace=False))
    return taken(columns, rows)


def _marks(before: Columns, now: Columns, limits: DriftLimits, tests: int, rng: np.random.Generator) -> list[Bools]:
    """Which of all rows count as those of now: first as it is, then drawn, whole blocks at a time.

    Drawn so often that one of `tests` that moved alone can be told at all.
    """
    rounds = max(limits.rounds, min(_MOST_ROUNDS, math.ceil(1.1 * tests / limits.false_share)))
    n, m = row_count(before), row_count(now)
    block = np.concatenate([before[BLOCK], now[BLOCK]]) if BLOCK in before and BLOCK in now else np.arange(n + m)
    is_now = np.arange(n + m) >= n
    blocks, place = np.unique(block, return_inverse=True)
    of_block = np.zeros(len(blocks), dtype=bool)
    of_block[place[is_now]] = True
    return [is_now, *(rng.permutation(of_block)[place] for _ in range(rounds))]


def _compared(name: str, before: np.ndarray, now: np.ndarray, marks: list[Bools]) -> dict[str, Any]:
    found = change_of(name, np.concatenate([before, now]), marks[0], marks[1:])
    return {**found, "histogram": histogram(before, now)}


def _effect(model: Asked, before: Columns, now: Columns, name: str, said: Floats, rng: np.random.Generator) -> float:
    """By how much the mean prediction moves where this input alone is as it is asked now."""
    changed = {**before, name: rng.choice(now[name], size=row_count(before))}
    return float(np.mean(model.predictions(changed)[0]) - np.mean(said))


def histogram(before: np.ndarray, now: np.ndarray) -> dict[str, Any]:
    """Shares of both sides in the same bins: tenths of the reference, or the names of either side."""
    if before.dtype == object:
        names = sorted({str(each) for each in (*before, *now) if each is not None})
        return {"bins": names, **{side: _shares_of_names(v, names) for side, v in _sides(before, now)}}
    known = before[~is_unknown(before)]
    edges = np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS)) if len(known) else np.zeros(0)
    places = [(side, np.searchsorted(edges, values[~is_unknown(values)])) for side, values in _sides(before, now)]
    return {
        "bins": [float(each) for each in edges],
        **{s: (np.bincount(p, minlength=len(edges) + 1) / max(1, len(p))).tolist() for s, p in places},
    }


def _sides(before: np.ndarray, now: np.ndarray) -> tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]:
    return ("reference", before), ("current", now)


def _shares_of_names(values: np.ndarray, names: list[str]) -> list[float]:
    return [float(np.mean(values == name)) if len(values) else 0.0 for name in names]


def performance(
    y: Floats, predicted: Floats, low: Floats, high: Floats, told: Mapping[str, Any], coverage: float,
    limits: DriftLimits, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """How n predictions whose outcome is known did, beside what was promised: mean absolute error, share in p10–p90.

    `told`: the metrics on rows that were held out. An alert where the error's 90 % interval lies above `worse_by` times
    the promised one, or the share's 90 % interval (Wilson 1927) off by more than is tolerated.
    """
    n = len(y)
    found: dict[str, Any] = {
        "outcomes": n, "mae": None, "mae_low": None, "mae_high": None, "mae_held_out": told.get("mae"),
        "coverage": None, "coverage_low": None, "coverage_high": None, "coverage_wanted": coverage,
        "is_drifted": False, "words": None,
    }  # fmt: skip
    if n < limits.least_rows:
        found["words"] = f"{n} outcomes are known, and {limits.least_rows} are needed"
        return found
    error = np.abs(y - predicted)
    rng = np.random.default_rng(seed)
    means = np.array([error[rng.integers(0, n, n)].mean() for _ in range(_BOOTSTRAP)])
    share = float(np.mean((y >= low) & (y <= high)))
    lowest, highest = wilson_interval(share, n)
    found |= {
        "mae": float(error.mean()), "mae_low": float(np.quantile(means, 0.05)),
        "mae_high": float(np.quantile(means, 0.95)), "coverage": share, "coverage_low": lowest,
        "coverage_high": highest,
    }  # fmt: skip
    words = []
    promised = told.get("mae")
    if promised and found["mae_low"] > limits.worse_by * promised:
        seen, limit = measure_texts(found["mae"], promised, "")
        words.append(f"the mean error is {seen}, and {limit} was promised")
    if highest < coverage - limits.coverage_off_by or lowest > coverage + limits.coverage_off_by:
        words.append(f"{share_text(share)} of outcomes lay between p10 and p90, and {share_text(coverage)} should")
    return found | {"is_drifted": bool(words), "words": "; ".join(words) or None}
