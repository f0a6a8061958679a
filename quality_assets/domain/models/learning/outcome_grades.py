"""How a model that somebody brought does on what came: its error of late beside that of the month before.

The sample it came with may be what it has learnt from: what it does there is shown, and promises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.learning.served_drift import DriftLimits
from quality_assets.domain.models.user_contract import Kind
from quality_assets.domain.wording import measure_texts

_BOOTSTRAP = 400
Known = tuple[Any, Any]
"""What was said, and what came."""


def outcome_grades(
    kind: Kind, late: Sequence[Known], before: Sequence[Known], on_sample: Mapping[str, float] | None,
    limits: DriftLimits, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Mean absolute error of a regression, share of wrong classes of a classification, with its 90 % interval.

    `late`: what came in the last 30 days; `before`: in the 30 before. An alert where the interval lies above `worse_by`
    times the error before.
    """
    what = "mae" if kind == "regression" else "error_share"
    found: dict[str, Any] = {
        "outcomes": len(late), "coverage": None, "coverage_low": None, "coverage_high": None, "coverage_wanted": None,
        "mae": None, "mae_low": None, "mae_high": None, "mae_held_out": None, "error_share": None,
        "error_share_low": None, "error_share_high": None, "outcomes_before": len(before), f"{what}_before": None,
        f"{what}_on_sample": _on_sample(kind, on_sample or {}), "is_drifted": False, "words": None,
    }  # fmt: skip
    if len(late) < limits.least_rows:
        return found | {"words": f"{len(late)} outcomes are known, and {limits.least_rows} are needed"}
    errors = _errors(kind, late)
    rng = np.random.default_rng(seed)
    means = np.array([errors[rng.integers(0, len(errors), len(errors))].mean() for _ in range(_BOOTSTRAP)])
    found |= {
        what: float(errors.mean()),
        f"{what}_low": float(np.quantile(means, 0.05)),
        f"{what}_high": float(np.quantile(means, 0.95)),
    }
    if len(before) < limits.least_rows:
        return found
    usual = float(_errors(kind, before).mean())
    found[f"{what}_before"] = usual
    if found[f"{what}_low"] > limits.worse_by * usual:
        name = "the mean error" if kind == "regression" else "the share of wrong classes"
        found["is_drifted"] = True
        unit = "" if kind == "regression" else "fraction"
        now, then = measure_texts(found[what], usual, unit)
        found["words"] = f"{name} is {now}, and was {then} in the month before"
    return found


def is_outcome_of(kind: Kind, value: object) -> bool:
    """Whether a value can be what came: a finite number of a regression, a name of a classification."""
    if kind == "regression":
        return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
    return isinstance(value, str | int | float | bool)


def _errors(kind: Kind, known: Sequence[Known]) -> Floats:
    if kind == "regression":
        return np.array([abs(float(came) - float(said)) for said, came in known])
    return np.array([_name(said) != _name(came) for said, came in known], dtype=float)


def _name(value: Any) -> str:
    """A class as it is compared: 1, 1.0 and "1" are one, and so are true and 1."""
    if isinstance(value, bool | int | float) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _on_sample(kind: Kind, figures: Mapping[str, float]) -> float | None:
    if kind == "regression":
        return figures.get("mae")
    accuracy = figures.get("accuracy")
    return None if accuracy is None else 1 - accuracy
