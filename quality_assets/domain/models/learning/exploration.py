"""What a table to learn from looks like, as plain values: the same data, the same answer, without clock or chance.

Shape, what is missing, spikes at the extremes, identities and bands, what knows the target, the target by time, splits,
and drift by year.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quality_assets.contracts.learning import LearningColumn
from quality_assets.domain.arrays import Floats, Ints
from quality_assets.domain.models.learning.blocks import splits_of
from quality_assets.domain.models.learning.columns_of import is_unknown
from quality_assets.domain.models.learning.guards import guard_findings
from quality_assets.domain.models.learning.learnable import LearningRows, learning_rows
from quality_assets.domain.models.learning.table_training import rows_fingerprint
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.domain.threads import limited_threads

if TYPE_CHECKING:
    import pandas as pd

REPORT_VERSION = "1"
_DIGITS = 10
_SPIKE_SHARE = 0.01
_BINS = 30
_MOST_NAMES = 12
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def explore(use_case: TabularUseCase, frame: pd.DataFrame) -> dict[str, Any]:
    """The report of a table. Raises CannotLearnError where nothing could be learnt from it."""
    with limited_threads():
        rows = learning_rows(use_case, frame)
        contract = use_case.contract
        findings = guard_findings(contract.inputs, contract.target, rows.columns, rows.y, use_case.settings)
    target = (contract.target, rows.y)
    columns = [(column, rows.columns[column.name]) for column in contract.inputs]
    return _rounded(
        {
            "report_version": REPORT_VERSION,
            "name": use_case.name,
            "dataset_fingerprint": rows_fingerprint(use_case, rows),
            "contract_fingerprint": contract.fingerprint,
            "shape": {"rows": len(rows.y), "columns": len(frame.columns), "quarantined": int((~rows.is_clean).sum())},
            "columns": [_column(column, values) for column, values in (*columns, target)],
            "histograms": {column.name: _histogram(column, values) for column, values in (*columns, target)},
            "quarantine": list(rows.words),
            "leaks": [
                {
                    "guard": each.guard,
                    "inputs": each.inputs,
                    "evidence": each.evidence,
                    "verdict": each.verdict,
                    "words": each.words,
                }
                for each in findings
            ],
            "target_by_time": _by_time(rows),
            "ratio_band": _ratio_band(use_case, rows),
            "splits": _splits(use_case, rows),
            "drift_by_year": _drift(contract.inputs, rows),
        }
    )


def _rounded(value: Any) -> Any:
    """Numbers to ten digits: sums of floats may differ in the last ones between machines."""
    if isinstance(value, Mapping):
        return {str(name): _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
    return value


def _column(column: LearningColumn, values: np.ndarray) -> dict[str, Any]:
    unknown = is_unknown(values)
    known = values[~unknown]
    told: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "role": column.role,
        "known_at": column.known_at,
        "unit": column.unit,
        "missing": int(unknown.sum()),
        "missing_share": float(unknown.mean()),
        "distinct": len(set(known.tolist())),
    }
    if column.is_category or not len(known):
        return told
    low, high = float(known.min()), float(known.max())
    told |= {"minimum": low, "maximum": high, "mean": float(known.mean()), "spread": float(known.std())}
    told |= {f"q{level * 100:.0f}": float(np.quantile(known, level)) for level in _QUANTILES}
    told["spikes"] = [
        {"at": at, "value": edge, "rows": int((known == edge).sum()), "share": float((known == edge).mean())}
        for at, edge in (("minimum", low), ("maximum", high))
        if (known == edge).mean() >= _SPIKE_SHARE
    ]
    return told


def _histogram(column: LearningColumn, values: np.ndarray) -> dict[str, Any]:
    known = values[~is_unknown(values)]
    if column.is_category:
        names, counts = np.unique(known.astype(str), return_counts=True)
        order = np.lexsort((names, -counts))[:_MOST_NAMES]
        return {"names": names[order].tolist(), "counts": counts[order].tolist()}
    if not len(known):
        return {"edges": [], "counts": []}
    counts, edges = np.histogram(known.astype(float), bins=_BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _months(day: Ints) -> np.ndarray:
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(str)


def _by_time(rows: LearningRows) -> list[dict[str, Any]]:
    if rows.places.day is None:
        return []
    months = _months(rows.places.day)
    return [
        {
            "month": str(month),
            "rows": int((months == month).sum()),
            "total": float(rows.y[months == month].sum()),
            "mean": float(rows.y[months == month].mean()),
            "quarantined": int((~rows.is_clean[months == month]).sum()),
        }
        for month in np.unique(months)
    ]


def _ratio_band(use_case: TabularUseCase, rows: LearningRows) -> dict[str, Any] | None:
    band = use_case.ratio_band
    if band is None or rows.places.day is None:
        return None
    product = rows.columns[band.first] * rows.columns[band.second]
    ratio: Floats = np.divide(rows.y, product, out=np.full(len(rows.y), np.nan), where=product > 0)
    months = _months(rows.places.day)
    return {
        "words": band.words,
        "by_month": [
            {
                "month": str(each),
                "lowest": np.nanmin(ratio[months == each]),
                "highest": np.nanmax(ratio[months == each]),
            }
            for each in np.unique(months)
        ],
    }


def _splits(use_case: TabularUseCase, rows: LearningRows) -> list[dict[str, Any]]:
    places = rows.places.taken(rows.is_clean)
    return [
        {"split": name, "fold": at + 1, "train": int(split.train.sum()), "test": int(split.test.sum())}
        for name in use_case.splits
        for at, split in enumerate(splits_of(name, places, use_case.settings))
    ]


def _drift(inputs: Sequence[LearningColumn], rows: LearningRows) -> list[dict[str, Any]]:
    """The distance of each input's distribution of a year from that of the first."""
    if rows.places.day is None:
        return []
    years = rows.places.day.astype("datetime64[D]").astype("datetime64[Y]").astype(str)
    first, *later = np.unique(years)
    found = []
    for column in inputs:
        values = rows.columns[column.name]
        before = values[(years == first) & ~is_unknown(values)]
        for year in later:
            now = values[(years == year) & ~is_unknown(values)]
            if len(before) and len(now):
                found.append({"input": column.name, "year": str(year), "distance": _distance(before, now)})
    return found


def _distance(before: np.ndarray, now: np.ndarray) -> float:
    """Total variation of names, Kolmogorov–Smirnov distance of numbers."""
    if before.dtype == object:
        names = sorted({*before, *now})
        return float(sum(abs((before == name).mean() - (now == name).mean()) for name in names) / 2)
    grid = np.unique(np.concatenate([before, now]).astype(float))
    one, other = (
        np.searchsorted(np.sort(part.astype(float)), grid, side="right") / len(part) for part in (before, now)
    )
    return float(np.abs(one - other).max())
