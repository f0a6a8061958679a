"""How far the inputs of the last rows lie from those before: distance, chance, and the index that people know.

Chance is told by drawing which blocks of rows count as the last ones, since lines of one order resemble each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.models.learning.columns_of import is_unknown
from quality_assets.domain.stats.discoveries import benjamini_hochberg

RECENT_DAYS = 90
FALSE_SHARE = 0.05
_ROUNDS = 199
_BINS = 10
_FLOOR = 1e-4


def input_changes(columns: Mapping[str, np.ndarray], day: Ints, block: Ints, seed: int = 0) -> list[dict[str, Any]]:
    """One row of ml.input_drift for each input of n rows: the last quarter of a year against all before it."""
    is_recent = day > day.max() - RECENT_DAYS
    if is_recent.all() or not is_recent.any():
        return []
    blocks, place = np.unique(block, return_inverse=True)
    of_block = np.array([is_recent[place == at].any() for at in range(len(blocks))])
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(of_block)[place] for _ in range(_ROUNDS)]
    found = [change_of(name, values, of_block[place], drawn) for name, values in columns.items()]
    q = benjamini_hochberg([each["p_value"] for each in found])
    return [{**each, "is_drifted": bool(value <= FALSE_SHARE)} for each, value in zip(found, q, strict=True)]


def change_of(name: str, values: np.ndarray, is_recent: Bools, drawn: list[Bools]) -> dict[str, Any]:
    """Distance, chance and index of one input of n rows, `is_recent` against the rest; chance by the marks drawn."""
    codes = _codes(values)
    observed = _distance(codes, is_recent, values.dtype == object)
    by_chance = np.array([_distance(codes, each, values.dtype == object) for each in drawn])
    return {
        "input": name,
        "rows": int(is_recent.sum()),
        "reference_rows": int((~is_recent).sum()),
        "psi": _psi(values, codes, is_recent),
        "distance": observed,
        "p_value": float((1 + (by_chance >= observed - 1e-12).sum()) / (len(drawn) + 1)),
    }


def _codes(values: np.ndarray) -> Ints:
    """Each value as its place among the sorted ones; what is unknown comes first."""
    unknown = is_unknown(values)
    codes = np.zeros(len(values), dtype=np.int64)
    if not unknown.all():
        known = values[~unknown]
        codes[~unknown] = 1 + np.unique(known.astype(str) if values.dtype == object else known, return_inverse=True)[1]
    return codes


def _shares(codes: Ints, is_recent: Bools) -> tuple[Floats, Floats]:
    size = int(codes.max()) + 1
    recent = np.bincount(codes[is_recent], minlength=size) / max(1, is_recent.sum())
    before = np.bincount(codes[~is_recent], minlength=size) / max(1, (~is_recent).sum())
    return recent, before


def _distance(codes: Ints, is_recent: Bools, is_category: bool) -> float:
    """Total variation of names, Kolmogorov–Smirnov distance of numbers."""
    recent, before = _shares(codes, is_recent)
    if is_category:
        return float(np.abs(recent - before).sum() / 2)
    return float(np.abs(np.cumsum(recent) - np.cumsum(before)).max())


def _psi(values: np.ndarray, codes: Ints, is_recent: Bools) -> float:
    if values.dtype != object and len(np.unique(codes)) > _BINS:
        before = values[~is_recent & ~is_unknown(values)].astype(float)
        edges = np.unique(np.quantile(before, np.arange(1, _BINS) / _BINS))
        codes = np.where(is_unknown(values), 0, 1 + np.searchsorted(edges, np.nan_to_num(values.astype(float))))
    recent, reference = (np.maximum(each, _FLOOR) for each in _shares(codes, is_recent))
    return float(((recent - reference) * np.log(recent / reference)).sum())
