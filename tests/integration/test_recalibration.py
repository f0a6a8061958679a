"""Intervals that are learnt anew from what came: by hand, and in a server that goes on answering."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from quality_assets.cli.main import app
from quality_assets.domain.models.learning.residuals import Intervals, recalibrated
from quality_assets.domain.models.learning.tabular import LearningSettings
from quality_assets.serve.prediction.prediction_app import create_app
from quality_assets.settings import Settings
from quality_assets.tables.recalibration import recalibrate
from tests.light_use_cases import LIGHT_SALES as SALES

# Without a price, so that the prediction is not exact.
ROW = {"QUANTITYORDERED": 30, "MSRP": 90, "PRODUCTLINE": "Planes", "COUNTRY": "USA", "MONTH_ID": 3}
BEFORE = Intervals("rolling_residuals", False, np.zeros(0), np.array([-1.0]), np.array([1.0]), 0.8, 0.8)


def test_levels_are_those_of_the_residuals_that_came() -> None:
    y, day = 100.0 + np.arange(1.0, 100.0), np.zeros(99, dtype=np.int64)
    found = recalibrated(BEFORE, day, y, np.full(99, 100.0), LearningSettings())
    assert found is not None
    # Of 99 residuals 1 to 99 the level is 0.9 x 100 / 99: the 91st from either end.
    assert found.around(np.array([100.0]), np.array([False])) == (np.array([109.0]), np.array([191.0]))
    assert (found.method, found.coverage, found.status) == ("residuals_of_outcomes", None, "unknown")
    assert recalibrated(BEFORE, day[:49], y[:49], np.full(49, 100.0), LearningSettings()) is None


def test_coverage_is_that_of_days_whose_interval_was_known_before() -> None:
    # 60 on the first day, 60 thirty days later: the interval of the first 60 holds all of them but one.
    day = np.repeat([0, 30], 60)
    residual = np.concatenate([np.linspace(-1, 1, 60), np.zeros(59), [5.0]])
    found = recalibrated(BEFORE, day, 100.0 + residual, np.full(120, 100.0), LearningSettings())
    assert found is not None
    assert found.coverage == pytest.approx(59 / 60)


def test_a_server_answers_by_what_came_until_another_version_is_in_use(sales_root: Settings) -> None:
    _, service = create_app(sales_root, ["sales"])
    body = json.dumps(ROW).encode()
    for at in range(60):
        answer = service.predict("sales", body)
        if at < 59:
            outcome = {"request_id": answer["request_id"], "y": answer["prediction"] * 1.1}
            service.take_outcome("sales", json.dumps(outcome).encode())
    assert answer["interval_method"] != "residuals_of_outcomes"
    service.log.flush()
    (known,) = recalibrate(sales_root, SALES)
    assert known == "without PRICEEACH"
    service.look()
    after = service.predict("sales", body)
    assert (after["interval_method"], after["prediction"]) == ("residuals_of_outcomes", answer["prediction"])
    # Every outcome was a tenth above what was said.
    assert (after["p10"], after["p90"]) == pytest.approx((answer["prediction"] * 1.1,) * 2)
    told = CliRunner().invoke(
        app, ["model", "recalibrate", "sales"], env={"QUALITY_DATA_DIR": str(sales_root.data_dir)}
    )
    assert (told.exit_code, "without PRICEEACH" in told.output) == (0, True)
    path = sales_root.models_dir / "sales" / "intervals.json"
    path.write_text(path.read_text().replace('"version": "1"', '"version": "2"'))
    service.look()
    assert service.predict("sales", body)["interval_method"] == answer["interval_method"]
    path.write_text("{")
    service.look()
    assert service.predict("sales", body)["p90"] == answer["p90"]
