"""What other limits would have told: by hand, of looks whose distances and chances are given."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from quality_assets.domain.models.learning.columns_of import Columns
from quality_assets.domain.models.learning.drift_replay import alternatives, looks, replayed
from quality_assets.domain.models.learning.served_drift import DriftLimits


def _look(day: str, **found: tuple[float, float]) -> dict[str, object]:
    rows = [{"input": name, "kind": "data", "distance": d, "p_value": p} for name, (d, p) in found.items()]
    return {"day": day, "rows": 60, "found": rows}


DAYS = [
    _look("2026-01-01", a=(0.02, 0.5), b=(0.15, 0.04)),
    _look("2026-01-02", a=(0.30, 0.005), b=(0.15, 0.04)),
]


def test_limits_decide_what_a_look_tells() -> None:
    # Of two tests q is p times two for the smallest; 0.08 on the first day, 0.01 and 0.04 on the second.
    told = replayed(DAYS, DriftLimits(false_share=0.05, least_distance=0.1))
    assert [(each["day"], each["moved"]) for each in told] == [("2026-01-01", []), ("2026-01-02", ["a", "b"])]
    told = replayed(DAYS, DriftLimits(false_share=0.1, least_distance=0.1))
    assert [each["moved"] for each in told] == [["b"], ["a", "b"]]
    told = replayed(DAYS, DriftLimits(false_share=0.05, least_distance=0.2))
    assert [each["moved"] for each in told] == [[], ["a"]]


def test_the_limits_in_force_come_first_and_no_pair_twice() -> None:
    found = alternatives(DAYS, DriftLimits(false_share=0.05, least_distance=0.2))
    assert found[0] == {
        "false_share": 0.05, "least_distance": 0.2, "days_looked": 2, "days_told": 1, "first_told": "2026-01-02",
        "inputs": ["a"],
    }  # fmt: skip
    pairs = [(each["false_share"], each["least_distance"]) for each in found]
    assert len(pairs) == len(set(pairs)) == 16
    assert alternatives([], DriftLimits())[0]["days_looked"] == 0


class Doubled:
    """Twice its only input."""

    inputs = ("x",)

    def predictions(self, columns: Columns) -> tuple[np.ndarray]:
        return (2 * np.asarray(columns["x"], dtype=float),)


def test_a_day_is_looked_at_with_the_thirty_days_up_to_it() -> None:
    last = date(2026, 3, 1)
    days = [last - timedelta(days=back) for back in (40, 20, 0) for _ in range(50)]
    x = np.concatenate([np.linspace(0, 1, 50), np.linspace(0, 1, 50), np.linspace(5, 6, 50)])
    found = looks(Doubled(), {"x": np.linspace(0, 1, 200)}, {"x": x}, 2 * x, days, last, DriftLimits())
    # The rows of 40 days ago are within 30 days until 11 days ago; from 20 days ago on there are others beside them.
    assert [(each["day"], each["rows"]) for each in found] == [
        *((f"{last - timedelta(days=back)}", 50) for back in range(29, 20, -1)),
        *((f"{last - timedelta(days=back)}", 100) for back in range(20, 10, -1)),
        *((f"{last - timedelta(days=back)}", 50) for back in range(10, 0, -1)),
        (f"{last}", 100),
    ]
    told = replayed(found, DriftLimits())
    assert [each["day"] for each in told if "x" in each["moved"]] == [f"{last}"]
    assert {row["input"]: row["distance"] for row in found[-1]["found"]}["x"] == pytest.approx(0.5, abs=0.01)
    again = looks(Doubled(), {"x": x}, {"x": x}, 2 * x, days, last, DriftLimits(), known=found)
    assert again == found
