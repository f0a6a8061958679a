"""The drift page: distributions drawn to scale, what matters open and the rest folded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from plotly.utils import PlotlyJSONEncoder

from dash_app.pages import drift as page
from quality_assets.contracts.drift import DATA_DRIFT
from quality_assets.domain.drift.verdicts import is_felt
from quality_assets.read import drift
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, SnapshotStore


def _row(name: str, kind: str = "data", status: str = "ok", effect: float | None = None) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(DATA_DRIFT.column_names)
    return row | {"name": name, "kind": kind, "feature": "", "status": status, "effect_on_predictions": effect}


def test_what_matters_stands_open_and_the_rest_is_folded() -> None:
    rows = [
        _row("latency_z", status="drifted", effect=0.0),
        _row("worst_ewma_z", effect=0.04),
        _row("crash_rate"),
        _row("risk_probability", "prediction", "unknown"),
        _row("latency_slope_z", effect=0.0),
        _row("tier is missing"),
        _row("crash_z", status="unknown"),
    ]
    found = {fold: [row["name"] for row in members] for fold, members in drift.folds(rows).items()}
    assert found == {
        drift.Fold.OPEN: ["latency_z", "worst_ewma_z", "crash_rate", "risk_probability"],
        drift.Fold.STEADY: ["latency_slope_z"],
        drift.Fold.MISSING: ["tier is missing"],
        drift.Fold.UNKNOWN: ["crash_z"],
    }
    assert list(drift.folds(rows[:1])) == [drift.Fold.OPEN]


def test_an_effect_is_felt_from_a_tenth_of_a_point_on() -> None:
    assert [is_felt(effect) for effect in (None, 0.0009, 0.001)] == [None, False, True]


def test_a_statistic_is_a_share_of_its_limit_where_both_are_known() -> None:
    assert drift.share_of_limit({"observed": 0.3, "threshold": 0.2}) == pytest.approx(1.5)
    assert drift.share_of_limit({"observed": None, "threshold": 0.2}) is None
    assert drift.share_of_limit({"observed": 0.3, "threshold": None}) is None


def test_what_is_watched_of_users_is_said_in_its_unit() -> None:
    def said(name: str, before: float, now: float) -> str:
        row = _row(f"user_features.{name}") | {"statistic": "w1", "reference_value": before, "current_value": now}
        return page._from_to(row).replace("\N{NARROW NO-BREAK SPACE}", " ")

    assert said("failure_rate_24h", 0.3, 0.75) == "30.0 % → 75.0 %"
    assert said("hours_since_purchase", 0.5, 4.0) == "30.0 min → 4.0 h"
    assert said("seconds_since_last", 0.25, 90.0) == "250 ms → 1.5 min"
    assert said("latency_mean_ms_24h", 120.0, 1_040.0) == "120 ms → 1.04 s"
    assert said("activity_count_24h", 3.0, 1_204.0) == "3 → 1.2k"


def test_histograms_are_drawn_to_scale() -> None:
    assert page._steps([0.5, 1.0], False) == "polygon(0 100%,0% 50%,50% 50%,50% 0%,100% 0%,100% 100%)"
    before, now = page._columns([1.0], False), page._columns([0.25], True)
    assert before == "polygon(12% 100%,12% 0%,50% 0%,50% 100%)"
    assert now == "polygon(50% 100%,50% 75%,88% 75%,88% 100%)"


def test_both_distributions_of_the_last_day_are_there(reader: Reader, bare_reader: Reader) -> None:
    found = drift.distributions(reader)
    latency = found["data", "", "latency_ms"]
    assert latency["low"][0] is None
    assert latency["low"][1:] == latency["high"][:-1]
    assert sum(latency["reference"]) == pytest.approx(1)
    assert found["data", "", "platform"]["labels"] == ["android", "ios", "web <b>"]
    assert drift.distributions(bare_reader) == {}


def _said(reader: Reader) -> str:
    return json.dumps(page.build(reader, Request.parse("/drift", "")), cls=PlotlyJSONEncoder, ensure_ascii=False)


def test_the_page_shows_them_with_their_ends(reader: Reader) -> None:
    said = _said(reader)
    assert said.count("clipPath") + said.count("clip-path") >= 6
    assert '"histogram large"' in said
    assert "Distribution of mix of platforms, reference and now: 0.31" in said
    assert "false alarms, distributions" in said


def test_days_without_drift_are_said_not_drawn(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    days = [row | {"drifted": 0} for row in drift.drifted_by_day(reader, 28)]
    monkeypatch.setattr(drift, "drifted_by_day", lambda *_: days)
    said = json.dumps(page._by_day(reader, 28), cls=PlotlyJSONEncoder)
    assert "Nothing drifted on any of 28 judged days" in said
    assert "data-figure" not in said


def test_a_snapshot_from_before_distributions_still_shows(full_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "older"
    shutil.copytree(full_root, root)
    [snapshot] = (root / "published").glob("*/*.duckdb")
    snapshot.chmod(0o644)
    with duckdb.connect(str(snapshot)) as connection:
        connection.execute("drop table monitoring.drift_distributions")
        connection.execute("alter table monitoring.data_drift drop column window_days")
    older = SnapshotStore(root / "published").reader()
    assert older is not None
    said = _said(older)
    assert "dumbbell" in said
    assert "histogram" not in said
