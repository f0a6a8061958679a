"""What a model may be asked, what it explains, and what a report says of its table."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_assets.contracts.use_cases import SALES as CONTRACT
from quality_assets.domain.models.learning.columns_of import columns_of_rows
from quality_assets.domain.models.learning.exploration import explore
from quality_assets.domain.models.learning.requests import RefusedRowError, checked_row, request_model
from quality_assets.domain.models.learning.shapley import explained
from quality_assets.domain.models.learning.table_training import train_table
from quality_assets.domain.models.learning.tabular_model import TabularModel
from quality_assets.domain.reports.exploration_files import report_files
from quality_assets.progress import no_progress
from quality_assets.simulate.tables import housing_rows, sales_rows
from tests.light_use_cases import LIGHT_HOUSING, LIGHT_SALES

INPUTS = ("QUANTITYORDERED", "PRICEEACH", "MSRP", "PRODUCTLINE", "COUNTRY", "MONTH_ID")
ROW = {"QUANTITYORDERED": 30, "MSRP": 90.0, "PRODUCTLINE": "Planes", "COUNTRY": "USA", "MONTH_ID": 4}


@pytest.fixture(scope="module")
def model() -> TabularModel:
    return train_table(LIGHT_SALES, sales_rows(90), "baseline", no_progress).model


def test_a_row_of_the_contract_passes_and_a_nullable_input_may_be_left_out() -> None:
    assert checked_row(CONTRACT, INPUTS, ROW) == {**ROW, "PRICEEACH": None}
    schema = request_model(CONTRACT, INPUTS).model_json_schema()
    assert schema["properties"]["QUANTITYORDERED"]["minimum"] == 1
    assert schema["properties"]["QUANTITYORDERED"]["unit"] == "pieces"
    assert schema["required"] == ["QUANTITYORDERED", "MSRP", "PRODUCTLINE", "COUNTRY", "MONTH_ID"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("change", "field", "given_class"),
    [
        ({"QUANTITYORDERED": "30"}, "QUANTITYORDERED", "a text"),
        ({"QUANTITYORDERED": True}, "QUANTITYORDERED", "a truth value"),
        ({"QUANTITYORDERED": float("nan")}, "QUANTITYORDERED", "a number"),
        ({"QUANTITYORDERED": float("inf")}, "QUANTITYORDERED", "a number"),
        ({"QUANTITYORDERED": 0}, "QUANTITYORDERED", "a number"),
        ({"MONTH_ID": 13}, "MONTH_ID", "a number"),
        ({"PRODUCTLINE": "Cheese"}, "PRODUCTLINE", "a text"),
        ({"COUNTRY": ""}, "COUNTRY", "a text"),
        ({"COUNTRY": None}, "COUNTRY", "nothing"),
        ({"DEALSIZE": "Small"}, "DEALSIZE", "a text"),
    ],
)
def test_anything_else_is_refused_by_field_and_class(change: dict[str, object], field: str, given_class: str) -> None:
    with pytest.raises(RefusedRowError) as refused:
        checked_row(CONTRACT, INPUTS, {**ROW, **change})
    (problem,) = refused.value.problems
    assert (problem["field"], problem["given"]) == (field, given_class)
    assert "Cheese" not in str(refused.value)


def test_what_is_missing_or_no_object_is_refused() -> None:
    with pytest.raises(RefusedRowError, match="MSRP: Field required"):
        checked_row(CONTRACT, INPUTS, {name: value for name, value in ROW.items() if name != "MSRP"})
    with pytest.raises(RefusedRowError, match="the row: "):
        checked_row(CONTRACT, INPUTS, [1, 2])


@given(
    quantity=st.floats(1, 500), msrp=st.floats(10, 500), price=st.one_of(st.none(), st.floats(1, 100)),
    month=st.integers(1, 12),
)  # fmt: skip
def test_contributions_and_base_are_the_prediction(
    model: TabularModel, quantity: float, msrp: float, price: float | None, month: int
) -> None:
    row = {**ROW, "QUANTITYORDERED": quantity, "MSRP": msrp, "PRICEEACH": price, "MONTH_ID": month}
    columns = columns_of_rows(CONTRACT.inputs, [row])
    told = explained(model, columns)
    assert told["prediction"] == pytest.approx(model.predictions(columns)[0][0], rel=1e-12)
    assert told["base"] + sum(told["contributions"].values()) == pytest.approx(told["prediction"], abs=1e-6)


def test_the_parts_of_a_product_are_shared_out_evenly(model: TabularModel) -> None:
    reference = model.reference["row"]
    row = {**reference, "PRICEEACH": None, "QUANTITYORDERED": 2 * reference["QUANTITYORDERED"]}
    row["MSRP"] = 2 * reference["MSRP"]
    told = explained(model, columns_of_rows(CONTRACT.inputs, [row]))
    # From 1 to 4 times the base: each factor alone brings 1, the second of them 2, the mean of which is 1.5.
    assert told["contributions"]["MSRP"] == pytest.approx(1.5 * told["base"])
    assert told["contributions"]["QUANTITYORDERED"] == pytest.approx(1.5 * told["base"])
    assert told["contributions"]["COUNTRY"] == 0.0


def test_a_report_is_the_same_bytes_for_the_same_rows_in_any_order() -> None:
    rows = sales_rows(60)
    one = report_files(explore(LIGHT_SALES, rows))
    other = report_files(explore(LIGHT_SALES, rows.sample(frac=1, random_state=1)))
    assert one == other
    assert one != report_files(explore(LIGHT_SALES, rows.assign(SALES=rows["SALES"] + 1)))


def test_a_report_says_what_is_odd() -> None:
    rows = sales_rows(60)
    report = explore(LIGHT_SALES, rows)
    assert report["shape"]["rows"] == len(rows)
    price = next(each for each in report["columns"] if each["name"] == "PRICEEACH")
    assert price["spikes"] == [
        {"at": "maximum", "value": 100.0, "rows": int((rows["PRICEEACH"] == 100).sum()),
         "share": pytest.approx(float((rows["PRICEEACH"] == 100).mean()))}
    ]  # fmt: skip
    assert any(each["inputs"] == "DEALSIZE" and each["verdict"] == "refused" for each in report["leaks"])
    assert sum(each["rows"] for each in report["target_by_time"]) == len(rows)
    housing = explore(LIGHT_HOUSING, housing_rows(200))
    assert housing["target_by_time"] == []
    assert np.isclose(sum(each["test"] for each in housing["splits"] if each["split"] == "spatial"), 200)
    assert json.loads(report_files(report)["report.json"]) == json.loads(json.dumps(report))
    assert "SALES.svg" in report_files(report)
