"""The commands of models that learn from tables, on files as people have them, and on files that are wrong."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from quality_assets.cli.main import app
from quality_assets.domain.models.housing.use_case import HOUSING
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.sales.use_case import SALES
from quality_assets.serve.load_test import load_test
from quality_assets.settings import Settings
from quality_assets.simulate.tables import housing_rows, sales_rows
from quality_assets.stores.operations.store import close_operations
from quality_assets.stores.table_files import TableFileError, read_table
from tests.light_use_cases import LIGHT_HOUSING, LIGHT_SALES
from tests.services import free_port

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _root(data_root: Settings, monkeypatch: pytest.MonkeyPatch) -> object:
    for use_case in (LIGHT_SALES, LIGHT_HOUSING):
        monkeypatch.setitem(TABULAR, use_case.name, use_case)
    yield data_root
    close_operations()


def run(*arguments: str) -> str:
    result = RUNNER.invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def failed(*arguments: str, code: int = 1) -> str:
    result = RUNNER.invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def told(*arguments: str) -> dict[str, object]:
    return json.loads(run(*arguments, "--format", "json"))


def sales_file(folder: Path, frame: pd.DataFrame) -> Path:
    """As the sample has it: code page 850, days as 2/24/2003 0:00."""
    dates = [f"{day.month}/{day.day}/{day.year} 0:00" for day in frame["ORDERDATE"]]
    path = folder / "sales.csv"
    text = frame.assign(ORDERDATE=dates, CUSTOMERNAME="Mini Modèles").to_csv(index=False)
    path.write_bytes(text.encode("cp850"))
    return path


def test_from_a_file_to_releases_and_back(tmp_path: Path) -> None:
    path = str(sales_file(tmp_path, sales_rows(90)))
    first = run("train", "sales", "--data", path, "--promote")
    assert "refused: SALES alone gives DEALSIZE" in first
    assert "quarantined: 2004-11-" in first
    assert "Released: " in first
    assert "Not released: no gain beyond chance" in run("train", "sales", "--promote")
    ahead = ("--at", "2101-01-01T00:00")
    assert "2101-01-01T00:00Z has not come yet" in failed("model", "promote", "sales", "2", *ahead)
    before = datetime.now(UTC)
    assert "is in use (release 2)" in run("model", "promote", "sales", "2")
    assert "in use already" in run("model", "promote", "sales", "2")
    assert told("model", "live-at", "sales", datetime.now(timezone(timedelta(hours=1))).isoformat())["version"] == "2"
    assert told("model", "live-at", "sales", "--at", before.isoformat())["version"] == "1"
    since = told("model", "live-at", "sales")["since"]
    assert "2101-01-01T00:00Z has not come yet" in failed("model", "rollback", "sales", *ahead)
    assert "Version 1 of sales is in use again" in run("model", "rollback", "sales")
    assert "no earlier release to go back to; `quality model promote`" in failed("model", "rollback", "sales")
    # Every place says the same of where a version stands.
    assert [row["stage"] for row in told("model", "list", "sales")] == ["prod", "retired"]
    assert [told("model", "show", "sales", version)["stage"] for version in "12"] == ["prod", "retired"]
    until = told("model", "live-at", "sales")["since"]
    assert told("model", "live-at", "sales", str(since)) == {"version": "2", "since": since, "until": until}
    listed = json.loads(run("model", "list", "sales", "--format", "json"))
    assert [(row["version"], row["stage"]) for row in listed] == [("1", "prod"), ("2", "retired")]
    shown = told("model", "show", "sales")
    assert shown["version"] == "1"
    assert shown["is_usable"] is True
    assert repr(shown["reference"]["prediction"]) in run("model", "show", "sales", "1")  # type: ignore[index]
    rows = json.loads(run("sql", "select model, count(*) as n from ml.model_releases group by 1", "--format", "json"))
    assert rows == [{"model": "sales", "n": 3}]
    metrics = json.loads(
        run(
            "sql",
            "select value, low, high from ml.model_metrics where model = 'sales' and model_version = '1'"
            " and candidate = 'list_price' and split = 'time' and metric = 'r2' and known = 'without PRICEEACH'",
            "--format",
            "json",
        )
    )
    assert metrics[0]["low"] <= metrics[0]["value"] <= metrics[0]["high"]


def test_a_file_without_the_price_is_learnt_from(tmp_path: Path) -> None:
    path = sales_file(tmp_path, sales_rows(60).drop(columns=["PRICEEACH", "STATUS"]))
    output = run("train", "sales", "--data", str(path), "--promote")
    assert "without PRICEEACH: list_price" in output
    assert json.loads(run("predict", "sales"))["known"] == "without PRICEEACH"


def statlib(frame: pd.DataFrame) -> bytes:
    """The headerless columns of StatLib."""
    households = np.round(frame["Population"] / frame["AveOccup"]).clip(lower=1)
    raw = pd.DataFrame(
        {
            "longitude": frame["Longitude"],
            "latitude": frame["Latitude"],
            "age": frame["HouseAge"],
            "rooms": frame["AveRooms"] * households,
            "bedrooms": frame["AveBedrms"] * households,
            "population": frame["Population"],
            "households": households,
            "income": frame["MedInc"],
            "value": frame["MedHouseVal"] * 1e5,
        }
    )
    return raw.to_csv(index=False, header=False).encode()


def test_statlibs_file_is_read_plain_and_gzipped(tmp_path: Path) -> None:
    frame = housing_rows(300)
    plain, zipped = tmp_path / "cal_housing.data", tmp_path / "cal_housing.data.gz"
    plain.write_bytes(statlib(frame))
    zipped.write_bytes(gzip.compress(statlib(frame)))
    one, other = read_table(HOUSING.contract, plain), read_table(HOUSING.contract, zipped)
    pd.testing.assert_frame_equal(one, other)
    assert np.allclose(one["AveRooms"], frame["AveRooms"])
    assert np.allclose(one["MedHouseVal"], frame["MedHouseVal"])
    assert list(one["block"]) == list(range(1, 301))
    output = run("train", "housing", "--data", str(zipped))
    assert "housing: version 1" in output
    assert told("model", "live-at", "housing")["version"] is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda f: f.head(20), "cannot learn: there are 20 rows"),
        (lambda f: f.assign(SALES=7.5), "cannot learn: SALES is 7.5 in every row"),
        (lambda f: f.assign(QUANTITYORDERED=np.nan), "cannot learn: QUANTITYORDERED is empty in every row"),
        (lambda f: f.assign(ORDERLINENUMBER=1), "cannot learn: "),
        (lambda f: f.assign(QUANTITYORDERED=-1.0), "cannot learn: "),
        (lambda f: f.assign(PRODUCTLINE="Cheese"), "break the contract of sales, such as"),
        (lambda f: f.assign(SALES=np.inf), "cannot learn: SALES is no finite number in some rows"),
        (lambda f: f.assign(MSRP="many"), "is 'many', and no number"),
        (lambda f: f.drop(columns=["MSRP"]), "cannot learn: the table has no MSRP"),
    ],
)
def test_rows_that_teach_nothing_are_refused_in_a_sentence(tmp_path: Path, change: object, why: str) -> None:
    path = sales_file(tmp_path, change(sales_rows(40)))  # type: ignore[operator]
    assert why in failed("train", "sales", "--data", str(path))
    assert json.loads(run("model", "list", "sales", "--format", "json")) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04\x00\x00", "is no text"),
        (b"\x1f\x8b\x08broken", "cannot be read"),
        (b"1,2,3\n4,5,6\n", "9 columns were expected"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "housing.data"
    path.write_bytes(content)
    with pytest.raises(TableFileError, match=why):
        read_table(HOUSING.contract, path)
    with pytest.raises(TableFileError, match="there is no file"):
        read_table(SALES.contract, tmp_path / "nowhere.csv")


def test_wrong_usage_is_told() -> None:
    assert "there is no use case 'cheese'; there are sales, housing, feature_risk" in failed("train", "cheese", code=2)
    assert "is one of baseline, tuned, both" in failed("train", "sales", "--selection-mode", "all", code=2)
    assert "there is nothing to learn sales from yet" in failed("train", "sales")
    assert "there is no version 1 of sales; the registry has: none yet" in failed("model", "promote", "sales", "1")
    assert "no earlier release" in failed("model", "rollback", "sales")
    assert "is not a time like" in failed("model", "live-at", "sales", "yesterday", code=2)
    assert "there is no version of sales yet" in failed("model", "show", "sales")
    assert "no model of feature_risk" in failed("model", "rollback", "feature_risk")


def test_a_model_in_use_is_asked_explained_compared_and_made_anew(tmp_path: Path, data_root: Settings) -> None:
    path = str(sales_file(tmp_path, sales_rows(90)))
    assert "no version of sales is released" in failed("predict", "sales")
    run("train", "sales", "--data", path, "--promote")
    reference = json.loads(run("predict", "sales"))
    assert (reference["model"], reference["version"], reference["release_seq"]) == ("sales", "1", 1)
    row = {"QUANTITYORDERED": 30, "MSRP": 90, "PRICEEACH": 80, "PRODUCTLINE": "Planes", "COUNTRY": "Iceland"}
    asked = tmp_path / "rows.json"
    asked.write_text(json.dumps([{**row, "MONTH_ID": month} for month in (1, 2)]))
    answers = json.loads(run("predict", "sales", "--data", str(asked)))
    assert [(each["prediction"], each["outside_training"]) for each in answers] == [(2400.0, ["COUNTRY"])] * 2
    told = json.loads(run("explain", "sales", "--row", json.dumps({**row, "MONTH_ID": 1})))
    assert told["base"] + sum(told["contributions"].values()) == pytest.approx(2400.0)
    refused = failed("predict", "sales", "--row", json.dumps({**row, "MONTH_ID": "May"}))
    assert "row 1 is refused: MONTH_ID: Input should be a valid number (given: a text)" in refused
    assert "no JSON" in failed("predict", "sales", "--row", "{")
    assert "0 rows were given" in failed("predict", "sales", "--row", "[]")
    done = run("repro", "sales")
    assert "version 1 is of these data and this code" in done
    assert "the report was written" in done
    assert "the report is of these data" in run("repro", "sales")
    folder = Path(run("eda", "sales").replace("\n", ""))
    assert json.loads((folder / "manifest.json").read_text())["dataset_fingerprint"].startswith(folder.name[2:])
    (folder / "report.md").write_text("changed")
    assert "the report was written" in run("repro", "sales")
    changes = json.loads(run("metrics", "diff", "sales@1", "1", "--format", "json"))
    assert {each["change"] for each in changes if each["change"] is not None} == {0.0}
    shown = json.loads(run("metrics", "show", "sales", "--format", "json"))
    assert {each["split"] for each in shown} == {"time", "rolling", "group", "random"}


def test_months_are_forecast_of_all_and_of_some(tmp_path: Path, data_root: Settings) -> None:
    run("train", "sales", "--data", str(sales_file(tmp_path, sales_rows(120))))
    told = json.loads(run("forecast", "sales", "--format", "json"))
    assert (told["months"], told["through"], told["risk"]["month"]) == (29, "2005-05", "2005-06")
    part = ("forecast", "sales", "--where", "PRODUCTLINE=Planes", "--where", "COUNTRY=USA")
    assert json.loads(run(*part, "--format", "json"))["series"] == "PRODUCTLINE=Planes, COUNTRY=USA"
    risk = data_root.reports_dir / "forecast" / "sales" / "risk.json"
    assert json.loads(risk.read_text())["probability"] == told["risk"]["probability"]
    assert "sales has no column 'X'" in failed("forecast", "sales", "--where", "X=1")
    assert "there are no rows of sales with COUNTRY = Mars" in failed("forecast", "sales", "--where", "COUNTRY=Mars")
    assert "not of the form COLUMN=VALUE" in failed("forecast", "sales", "--where", "COUNTRY", code=2)
    assert "no order in time" in failed("forecast", "housing")


def test_rows_are_made_up_or_come_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "leave one out" in failed("train", "sales", "--demo", "--data", "x.csv", code=2)
    monkeypatch.setattr("quality_assets.simulate.tables.MADE_UP", ("sales",))
    assert "no rows are made up for housing: `quality train housing --data" in failed(
        "train", "housing", "--demo", code=2
    )


def test_a_refusal_is_no_quick_answer() -> None:
    found = load_test(f"http://127.0.0.1:{free_port()}/predict", b"{}", 50, 0.1)
    assert (found.requests, found.errors, found.rps) == (5, 5, 0.0)
    assert found.csv().splitlines()[1].endswith(",5,5,0.0,,,,")
