"""Limits of drift of feature_risk: what the monitor told, what others would have told, and what it tells by them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.drift import DATA_DRIFT
from quality_assets.domain.drift.settings import DriftSettings
from quality_assets.domain.drift.sketches import Sketch
from quality_assets.domain.drift.verdicts import drift_rows
from quality_assets.domain.models.learning.served_drift import DriftLimits
from quality_assets.settings import Settings
from quality_assets.stores.frames import replace_rows
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables import drift_limits
from quality_assets.tables.drift_limits import RISK
from quality_assets.tables.risk_drift import risk_report

LAST = date(2026, 3, 31)


def _row(back: int, name: str, statistic: str, observed: float | None, q: float | None, **more: Any) -> dict[str, Any]:
    row = {
        "event_date": LAST - timedelta(days=back), "kind": "data", "feature": "", "name": name, "statistic": statistic,
        "observed": observed, "threshold": 0.1, "q_value": q, "p_value": q, "is_drifted": False, "n_reference": 900,
        "n_current": 100, "reference_days": 8, "window_days": 1, "rank": 1, "status": "ok", "verdict": "In words",
    }  # fmt: skip
    return {**dict.fromkeys(DATA_DRIFT.column_names), **row, **more}


ROWS = [
    # Told by a false share of .05 and not by the usual .02; it is .3 typical sizes away.
    _row(1, "latency_ms", "w1", 0.3, 0.03),
    # A rate in deviations: from 2 % to 3 % it has moved by half of itself.
    _row(0, "error_rate", "binomial_z", 6.0, 0.001, threshold=2.5, reference_value=0.02, current_value=0.03),
    # And one that has moved by a twentieth of itself, which never matters.
    _row(0, "share", "binomial_z", 6.0, 0.001, threshold=2.5, reference_value=0.20, current_value=0.21),
    # By no more than chance does, however few of those told may be false.
    _row(0, "mix", "total_variation", 0.05, 0.001),
    _row(0, "gone", "w1", None, None, status="unknown", threshold=None),
    _row(30, "latency_ms", "w1", 0.9, 0.001),
]


@pytest.fixture
def session(data_root: Settings) -> Iterator[WarehouseSession]:
    """Two days of the monitor, and one before that is too long ago."""
    with open_warehouse(data_root) as opened:
        replace_rows(opened, DATA_DRIFT, pd.DataFrame(ROWS))
        yield opened


def test_what_the_monitor_found_is_judged_by_the_limits_of_the_model(session: WarehouseSession) -> None:
    report = risk_report(session)
    assert (report.status, report.words) == ("alert", "moved beyond chance: error_rate")
    told = drift_limits.tried(session.settings, RISK)
    assert (told["false_share"], told["least_distance"]) == (0.02, 0.0)
    assert [each["moved"] for each in told["days"]] == [[], ["error_rate"]]
    assert told["words"].endswith("in the last 30 days on 1 of 2 days that were looked at.")
    replay = {(each["false_share"], each["least_distance"]): each for each in told["replay"]}
    assert (replay[0.05, 0.2]["days_told"], replay[0.05, 0.2]["inputs"]) == (2, ["error_rate", "latency_ms"])
    assert drift_limits.set_limits(session.settings, RISK, {"false_share": None, "least_distance": 0.6}, "me") == (
        DriftLimits(false_share=0.02, least_distance=0.6)
    )
    assert risk_report(session).status == "ok"
    kept = session.settings.reports_dir / "drift" / "feature_risk.json"
    assert [row["name"] for row in json.loads(kept.read_text())["rows"]] == ["error_rate", "share", "mix", "gone"]
    assert "error_rate" in kept.with_suffix(".html").read_text()


def test_before_the_monitor_has_looked_nothing_is_known(data_root: Settings) -> None:
    with open_warehouse(data_root) as opened:
        report = risk_report(opened)
    assert (report.status, report.words) == ("unknown", "nothing was compared yet")
    assert "nobody has looked" in drift_limits.tried(data_root, RISK)["words"]


def test_the_monitor_tells_by_them_from_then_on() -> None:
    days = tuple(LAST - timedelta(days=back) for back in range(70, -1, -1))
    # Of 400 or so a day 10 % fail, and on the last day 30 %: by twice of itself.
    counts = [[40 + at % 2, 360 + at % 3] for at in range(70)] + [[120, 280]]
    sketch = Sketch("data", "", "failures", "binomial_z", days, np.array(counts, dtype=float), floor=2.5)

    def told(least: float) -> str:
        return str(drift_rows([sketch], [LAST], settings=DriftSettings(least_distance=least))["status"].iloc[0])

    assert (told(0.0), told(0.9), told(2.5)) == ("drifted", "drifted", "ok")
