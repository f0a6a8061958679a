"""The bars on the real tables, where they are at hand: QUALITY_REAL_TABLES names their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quality_assets.domain.models.housing.use_case import HOUSING
from quality_assets.domain.models.learning.table_training import LearningResult, train_table
from quality_assets.domain.models.sales.use_case import SALES
from quality_assets.progress import no_progress
from quality_assets.stores.table_files import read_table

FOLDER = Path(os.environ.get("QUALITY_REAL_TABLES", "nowhere"))
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="QUALITY_REAL_TABLES names no folder")


def best(result: LearningResult, split: str, known: str = "all", metric: str = "r2") -> float:
    frame = result.metrics
    own = frame[(frame["role"] == "champion") & (frame["split"] == split) & (frame["metric"] == metric)]
    return float(own.loc[own["known"] == known, "value"].iloc[0])


def test_sales() -> None:
    frame = read_table(SALES.contract, FOLDER / "sales_data_sample.csv")
    found = train_table(SALES, frame, "baseline", no_progress)
    assert set(found.model.refused) == {"DEALSIZE", "STATUS"}
    assert found.quarantine[0].startswith("2004-11-01 to 2005-03-17: ")
    assert found.quarantined_rows == 682
    assert best(found, "time") >= 0.965
    assert best(found, "time", "without PRICEEACH") >= 0.94
    for known in ("all", "without PRICEEACH"):
        assert 0.75 <= best(found, "time", known, "coverage") <= 0.87
    identity = next(each for each in found.findings if each.guard == "identity")
    assert identity.evidence == pytest.approx(0.538, abs=0.001)
    alarms = found.performance.query("is_alarm and known == 'without PRICEEACH'")["period"]
    assert alarms.min() == "2004-11"


def test_housing() -> None:
    frame = read_table(HOUSING.contract, FOLDER / "cal_housing.data.gz")
    found = train_table(HOUSING, frame, "baseline", no_progress)
    assert best(found, "random") >= 0.83
    assert best(found, "spatial") >= 0.70
    assert found.choices["all"].beats_all
