"""The server of models: what it answers, what it refuses and how, what changes while it runs, what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import select

from quality_assets.progress import no_progress
from quality_assets.read import models as reading
from quality_assets.serve.prediction.prediction_app import MOST_WAITING, create_app
from quality_assets.serve.prediction.prediction_log import PredictionLog
from quality_assets.serve.prediction.service import Service
from quality_assets.settings import Settings
from quality_assets.simulate.tables import sales_rows
from quality_assets.stores.canaries import start_canary
from quality_assets.stores.landing import scan
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.released import manifest
from quality_assets.stores.releases import release_log
from quality_assets.stores.shadows import start_shadow, stop_shadow
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables import learning, served_predictions
from quality_assets.tables.shadow_verdicts import verdicts
from tests.conftest import new_settings
from tests.examples import dear
from tests.light_use_cases import LIGHT_SALES as SALES

# Below the cap the price is what was paid: 30 pieces at 80.
ROW = {"QUANTITYORDERED": 30, "MSRP": 90, "PRICEEACH": 80, "PRODUCTLINE": "Planes", "COUNTRY": "USA", "MONTH_ID": 3}

HOST = {"host": "127.0.0.1"}
DESCRIBED = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


class Server:
    """A server of a root in this process."""

    def __init__(self, settings: Settings, names: list[str] | None = None, waiting: int = 0) -> None:
        self._app, self.service = create_app(settings, names, backlog=lambda: waiting)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **more)

        return asyncio.run(asked())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return self.ask("POST", path, content=text, headers={"content-type": "application/json", **headers})


@pytest.fixture
def server(sales_root: Settings) -> Server:
    return Server(sales_root, ["sales"])


def test_a_prediction_is_that_of_the_release_with_its_name(server: Server) -> None:
    for path in ("/models/sales/predict", "/predict"):
        answer = server.post(path, ROW).json()
        assert answer["prediction"] == answer["y_hat"] == 2400.0
        assert (answer["p10"], answer["p90"]) == (2399.99, 2400.01)
        assert (answer["model"], answer["version"], answer["release_seq"]) == ("sales", "1", 1)
        assert answer["interval_status"] in ("ok", "off", "unknown")
        assert answer["outside_training"] == []
    unseen = server.post("/predict", ROW | {"COUNTRY": "Iceland"}).json()
    assert (unseen["prediction"], unseen["outside_training"]) == (2400.0, ["COUNTRY"])
    without = server.post("/predict", {k: v for k, v in ROW.items() if k != "PRICEEACH"}).json()
    assert without["known"] == "without PRICEEACH"
    assert without["p10"] < without["prediction"] < without["p90"]


def test_contributions_and_base_add_up_to_the_prediction(server: Server) -> None:
    told = server.post("/explain", ROW).json()
    assert told["base"] + sum(told["contributions"].values()) == pytest.approx(2400.0, abs=1e-6)
    assert told["y_hat"] == pytest.approx(2400.0, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "field", "given"),
    [
        ('"MSRP": NaN', "MSRP", "a number"),
        ('"MSRP": -Infinity', "MSRP", "a number"),
        ('"MSRP": 1e999', "MSRP", "a number"),
        ('"MSRP": "90"', "MSRP", "a text"),
        ('"MSRP": true', "MSRP", "a truth value"),
        ('"MSRP": null', "MSRP", "nothing"),
        ('"MSRP": [1]', "MSRP", "a list"),
        ('"MSRP": 0', "MSRP", "a number"),
        ('"MONTH_ID": 13', "MONTH_ID", "a number"),
        ('"PRODUCTLINE": "Cheese"', "PRODUCTLINE", "a text"),
        ('"DEALSIZE": "Large"', "DEALSIZE", "a text"),
        (f'"MSRP": 1{"0" * 400}', "MSRP", "a number"),
    ],
)
def test_a_row_that_breaks_the_contract_is_refused_by_field(
    server: Server, change: str, field: str, given: str
) -> None:
    name = change.partition(":")[0].strip('"')
    body = json.dumps({k: v for k, v in ROW.items() if k != name})[:-1] + f", {change}}}"
    for path in ("/predict", "/explain"):
        refused = server.post(path, body)
        assert refused.status_code == 422
        (problem,) = refused.json()["errors"]
        assert (problem["field"], problem["given"]) == (field, given)
        assert "Cheese" not in refused.json()["detail"].split("given")[-1]


def test_what_is_no_request_is_refused(server: Server) -> None:
    assert server.post("/predict", "{").status_code == 422
    assert server.post("/predict", "[]").json()["detail"] == (
        "the row: It should be an object of inputs by their names (given: a list)"
    )
    assert server.post("/predict", json.dumps(ROW)[:-1] + ', "MSRP": 1}').json()["detail"] == (
        "MSRP: it is there twice."
    )
    assert server.post("/predict", {}).json()["errors"][0] == {
        "field": "QUANTITYORDERED",
        "why": "Field required",
        "given": "nothing",
    }
    assert server.post("/models/cheese/predict", ROW).status_code == 404
    assert server.get("/models/cheese/health").status_code == 404
    assert server.post("/models/feature_risk/predict", ROW).status_code == 501
    assert server.ask("POST", "/predict", content=json.dumps(ROW)).status_code == 415
    assert server.get("/health", headers={"host": "evil.example"}).status_code == 421
    assert server.post("/predict", ROW, origin="https://evil.example").status_code == 403


def test_what_stands_behind_the_question_mark_is_refused_and_not_passed_over(server: Server) -> None:
    for path in ("/predict", "/models/sales/predict", "/predict/batch", "/explain", "/outcomes"):
        answer = server.ask("POST", f"{path}?version=9&shadow=1&version=8", json=ROW)
        assert answer.status_code == 422, path
        assert answer.json() == {
            "detail": "version, shadow: not known in an address. The version in use answers;"
            " `quality model promote` changes it.",
            "errors": [],
        }
    assert server.ask("GET", "/health?x=1").status_code == 200


def test_a_batch_is_answered_in_order_up_to_a_thousand_rows(server: Server) -> None:
    rows = [ROW | {"QUANTITYORDERED": n} for n in (1, 2, 3)]
    for body in (rows, {"rows": rows}):
        told = server.post("/predict/batch", body).json()
        assert [each["prediction"] for each in told["predictions"]] == [80.0, 160.0, 240.0]
    assert server.post("/predict/batch", [ROW] * 1000).json()["rows"] == 1000
    assert server.post("/predict/batch", [ROW] * 1001).status_code == 413
    assert server.post("/predict/batch", []).status_code == 422
    refused = server.post("/predict/batch", [ROW, ROW | {"MSRP": "many"}]).json()
    assert [(each["row"], each["field"]) for each in refused["errors"]] == [(1, "MSRP")]


def test_an_outcome_is_taken_once_for_what_was_predicted(server: Server, sales_root: Settings) -> None:
    name = server.post("/predict", ROW).json()["request_id"]
    assert server.post("/outcomes", {"request_id": name, "y": 2500.0}).json()["status"] == "new"
    assert server.post("/outcomes", {"request_id": name, "y": 2500.0}).json()["status"] == "same"
    assert server.post("/outcomes", {"request_id": name, "y": 2501.0}).status_code == 409
    assert server.post("/outcomes", {"request_id": name[:-1], "y": 1.0}).status_code == 404
    assert server.post("/outcomes", {"request_id": "ä-ö", "y": 1.0}).status_code == 404
    assert server.post("/outcomes", f'{{"request_id": "{name}", "y": NaN}}').status_code == 422
    # Another server of the same root knows it, and another root does not.
    assert Server(sales_root, ["sales"]).post("/outcomes", {"request_id": name, "y": 2500.0}).json()["status"] == "same"


def test_a_release_is_in_use_without_a_restart_and_so_is_a_rollback(sales_root: Settings) -> None:
    server = Server(sales_root, ["sales"])
    learning.promote(sales_root, SALES, "2", actor="me", reason="try")
    assert server.post("/predict", ROW).json()["version"] == "1"
    server.service.look()
    answer = server.post("/predict", ROW).json()
    assert (answer["version"], answer["release_seq"]) == ("2", 2)
    learning.rollback(sales_root, SALES, actor="me", reason="back")
    server.service.look()
    assert server.get("/health").json()["version"] == "1"
    assert 'model_release_seq{model="sales",version="1"} 1.0' in server.get("/metrics").text


@pytest.mark.parametrize("harm", ["file", "reference"])
def test_a_version_that_is_not_what_was_released_is_passed_over(sales_root: Settings, harm: str) -> None:
    learning.promote(sales_root, SALES, "2", actor="me", reason="try")
    told = manifest(sales_root.models_dir, "sales", "2")
    if harm == "file":
        path = sales_root.models_dir / "sales" / told["file"]
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    else:
        told["reference"]["prediction"] += 1
        (sales_root.models_dir / "sales" / "versions" / "2.json").write_text(json.dumps(told))
    server = Server(sales_root, ["sales"])
    health = server.get("/models/sales/health").json()
    assert (health["version"], health["status"], health["stale"]) == ("1", "stale", True)
    assert "version 2 of sales cannot be used" in health["problems"][0]
    assert server.post("/predict", ROW).json()["version"] == "1"


def test_what_runs_goes_on_where_the_next_release_is_broken(sales_root: Settings) -> None:
    server = Server(sales_root, ["sales"])
    path = sales_root.models_dir / "sales" / manifest(sales_root.models_dir, "sales", "2")["file"]
    path.write_bytes(b"PK")
    release_log(sales_root).promote("sales", "2", actor="me", reason="by hand", evidence=None)
    server.service.look()
    assert server.post("/predict", ROW).json()["version"] == "1"
    assert server.get("/health").json()["stale"] is True


def test_nothing_released_is_said_and_several_models_are_asked_by_name(sales_root: Settings) -> None:
    server = Server(sales_root)
    refused = server.post("/models/housing/predict", {})
    assert refused.status_code == 503
    assert "no version of housing is released" in refused.json()["detail"]
    assert server.post("/models/sales/predict", ROW).json()["prediction"] == 2400.0
    # One of two is released: it is the one that is meant where none is named.
    assert server.post("/predict", ROW).json()["model"] == "sales"
    empty = Server(new_settings(sales_root.data_dir.parent / "empty"))
    assert empty.post("/predict", ROW).status_code == 404
    assert empty.get("/health").json() == {"status": "waiting", "models": []}


def test_too_many_at_once_are_sent_away_at_once(sales_root: Settings) -> None:
    refused = Server(sales_root, ["sales"], waiting=MOST_WAITING + 1).post("/predict", ROW)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")


def test_what_was_predicted_is_logged_and_is_no_log_of_events(sales_root: Settings) -> None:
    server = Server(sales_root, ["sales"])
    server.service.log.start()
    answer = server.post("/predict", ROW | {"COUNTRY": "Iceland"}).json()
    server.post("/predict/batch", [ROW, ROW])
    server.service.log.stop()
    (path,) = (sales_root.landing_dir / "predictions").glob("*/*.parquet")
    rows = pq.read_table(path).to_pylist()
    assert len(rows) == server.service.log.written == 3
    first = rows[0]
    assert (first["request_id"], first["model"], first["model_version"]) == (answer["request_id"], "sales", "1")
    assert (first["prediction"], first["outside_training"]) == (2400.0, ["COUNTRY"])
    assert json.loads(first["inputs"])["COUNTRY"] == "Iceland"
    assert scan(sales_root.landing_dir) == ([], [])


def test_a_full_log_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, most_rows=2)
    for n in range(3):
        log.append((str(n), 0, "m", "1", 1, 1.0, 0.0, 2.0, "x", "ok", "all", [], {}, 1.0, "prod"))
    assert log.dropped == 1
    assert log.flush() == 2
    (path,) = tmp_path.rglob("*.parquet")
    assert pq.read_table(path)["request_id"].to_pylist() == ["1", "2"]


def test_the_process_imports_neither_dagster_nor_mlflow_nor_pandas_and_writes_its_log(sales_root: Settings) -> None:
    start_canary(sales_root, SALES, "2", 1.0, actor="me", reason="try")
    script = (
        "import sys; from pathlib import Path; from quality_assets.settings import Settings;"
        "from quality_assets.serve.prediction.running import leave_out_pandas; leave_out_pandas();"
        "from quality_assets.serve.prediction.prediction_app import create_app;"
        f"_, service = create_app(Settings(data_dir=Path({str(sales_root.data_dir)!r}), _env_file=None), ['sales']);"
        f"answer = service.predict('sales', b{json.dumps(ROW)!r});"
        "import json; told = {'request_id': answer['request_id'], 'y': 2400.0};"
        "service.take_outcome('sales', json.dumps(told).encode()); written = service.log.flush();"
        "service.judge_canaries();"
        "print(answer['prediction'], answer['version'], written, [m for m in ('dagster', 'mlflow', 'duckdb', 'pandas',"
        " 'great_expectations') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    # Both versions are in the log.
    assert done.stdout.strip() == "2400.0 2 2 []"


def test_no_frame_is_made_on_the_way_of_a_request(sales_root: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    service = Service(sales_root, ["sales"])
    service.look()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a frame was made")

    monkeypatch.setattr(pd.DataFrame, "__init__", refuse)
    body = json.dumps(ROW).encode()
    assert service.predict("sales", body)["prediction"] == 2400.0
    assert service.predict_batch("sales", b"[" + body + b"]")["rows"] == 1
    assert math.isfinite(service.explain("sales", body)["base"])


def _drift(sales_root: Settings, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Any]:
    from typer.testing import CliRunner

    from quality_assets.cli.main import app
    from quality_assets.settings import get_settings

    monkeypatch.setenv("QUALITY_DATA_DIR", str(sales_root.data_dir))
    get_settings.cache_clear()
    result = CliRunner().invoke(app, ["model", "drift", "sales", "--format", "json"], catch_exceptions=False)
    get_settings.cache_clear()
    return result.exit_code, json.loads((sales_root.reports_dir / "drift" / "sales.json").read_text())


def test_drift_is_told_of_what_was_asked_and_of_what_came(
    sales_root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows as were learnt from, then three times the quantity, at a time, with outcomes as promised or off."""
    frame = sales_rows(120)
    frame = frame[frame["PRODUCTLINE"].notna()].head(300)
    names = list(manifest(sales_root.models_dir, "sales", "1")["inputs"])
    rows = [{k: v for k, v in each.items() if v == v} for each in frame[names].to_dict("records")]
    server = Server(sales_root, ["sales"])
    told = server.post("/predict/batch", rows).json()["predictions"]
    for each in told[:100]:
        server.post("/outcomes", {"request_id": each["request_id"], "y": each["prediction"]})
    server.service.log.flush()
    code, report = _drift(sales_root, monkeypatch)
    assert report["source"] == "predictions"
    assert report["current_rows"] == 300
    assert report["performance"]["outcomes"] == 100
    assert report["performance"]["coverage"] == 1.0
    # All within p10 to p90, of which eight in ten should be: the interval is off, and said to be.
    assert (code, report["status"]) == (1, "alert")
    assert "lay between p10 and p90" in report["words"]
    server.post("/predict/batch", [row | {"QUANTITYORDERED": row["QUANTITYORDERED"] * 3} for row in rows])
    server.service.log.flush()
    code, report = _drift(sales_root, monkeypatch)
    assert code == 1
    assert {"QUANTITYORDERED", "prediction"} <= set(report["drifted"])
    assert "MSRP" not in report["drifted"]
    first = report["rows"][0]
    assert (first["input"], first["is_drifted"]) in (("QUANTITYORDERED", True), ("prediction", True))
    assert sum(first["histogram"]["current"]) == pytest.approx(1.0)
    assert (sales_root.reports_dir / "drift" / "sales.html").read_text().startswith("<!doctype html>")
    server.service.look()
    assert server.get("/health").json()["coverage_last_30d"] == 1.0
    assert server.post("/predict", ROW).json()["interval_status"] == "off"


def _as_if_asked_before(sales_root: Settings, days: int) -> None:
    """Move the log of today back by so many days."""
    folder = sales_root.landing_dir / "predictions"
    for file in list(folder.glob("*/*.parquet")):
        rows = pq.read_table(file)
        at = pc.subtract(rows["at"], pa.scalar(timedelta(days=days)))
        target = folder / str(at[0].as_py().date()) / file.name
        target.parent.mkdir(exist_ok=True)
        pq.write_table(rows.set_column(rows.schema.get_field_index("at"), "at", at), target)
        file.unlink()


def test_an_outcome_counts_when_it_comes_and_for_the_version_that_predicted(
    sales_root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 60 predictions 40 days ago the outcomes come today: 48 are hit exactly, 12 are 10,000 off."""
    server = Server(sales_root, ["sales"])
    told = server.post("/predict/batch", [ROW] * 60).json()["predictions"]
    server.service.log.flush()
    _as_if_asked_before(sales_root, 40)
    for at, each in enumerate(told):
        y = each["prediction"] + (10_000 if at < 12 else 0)
        server.post("/outcomes", {"request_id": each["request_id"], "y": y})
    _, report = _drift(sales_root, monkeypatch)
    found = report["performance"]
    assert (found["outcomes"], found["mae"], found["coverage"]) == (60, pytest.approx(2_000), 0.8)
    server.service.look()
    assert server.get("/health").json()["coverage_last_30d"] == 0.8
    assert reading.card(sales_root, "sales")["coverage_last_30d"] == 0.8
    # What the version before predicted is no fault of the one that is in use now, wherever that is told.
    release_log(sales_root).promote("sales", "2", actor="me", reason="r")
    server.service.look()
    assert server.get("/health").json()["coverage_last_30d"] is None
    card = reading.card(sales_root, "sales")
    assert (card["version"], card["drift"], card["coverage_last_30d"]) == ("2", "unknown", None)
    assert card["drift_words"] == "version 2 has not been looked at yet; the last look was at version 1"
    _, report = _drift(sales_root, monkeypatch)
    assert (report["version"], report["performance"]["outcomes"]) == ("2", 0)


def test_predictions_are_read_with_what_came_of_them_and_drift_is_an_alert(sales_root: Settings) -> None:
    server = Server(sales_root, ["sales"])
    rows = [ROW | {"QUANTITYORDERED": 900 + n} for n in range(60)]
    told = server.post("/predict/batch", rows).json()["predictions"]
    server.post("/outcomes", {"request_id": told[0]["request_id"], "y": 7.0})
    server.service.log.flush()
    with open_warehouse(sales_root) as session:
        ask = session.connection.execute
        assert served_predictions.build_predictions(session) == 60
        found = ask("select y, prediction, model_version, role from ml.predictions where y is not null").fetchall()
        assert found == [(7.0, told[0]["prediction"], "1", "prod")]
        server.post("/outcomes", {"request_id": told[1]["request_id"], "y": 8.0})
        server.post("/predict", ROW)
        server.service.log.flush()
        assert served_predictions.build_predictions(session) == 61
        assert ask("select sum(y) from ml.predictions").fetchone() == (15.0,)
        (report,) = served_predictions.watch_models(session, no_progress, "run")
    assert report.status == "alert"
    with operations_of(sales_root).read() as connection:
        alerts = connection.execute(select(ALERT.c.subject, ALERT.c.title, ALERT.c.severity)).fetchall()
    assert alerts == [("ml.sales_model", "sales has drifted", "medium")]


def test_a_shadow_is_asked_beside_the_release_and_told_of(sales_root: Settings) -> None:
    start_shadow(sales_root.models_dir, SALES, "2")
    server = Server(sales_root, ["sales"])
    told = server.post("/predict/batch", [ROW] * 60).json()["predictions"]
    assert {each["version"] for each in told} == {"1"}
    for each in told:
        server.post("/outcomes", {"request_id": each["request_id"], "y": 2000.0})
    server.service.log.flush()
    (found,) = verdicts(sales_root, "sales")
    # Both versions are of the same rows: nothing ever tells them apart.
    assert (found["version"], found["verdict"], found["pairs"], found["gain"]) == ("2", "undecided", 60, 0.0)
    assert (found["p_value"], found["is_silent"], found["mean_difference"]) == (1.0, False, 0.0)
    with open_warehouse(sales_root) as session:
        assert served_predictions.build_predictions(session) == 120
    stop_shadow(sales_root.models_dir, "sales", "2")
    server.service.look()
    assert server.service.in_use("sales").shadows == ()


@pytest.mark.parametrize(
    "path", ["predict", "predict/batch", "explain", "outcomes", "health", "metrics", "models", "healthz"]
)
def test_answers_are_as_they_are_described_whatever_is_sent(sales_root: Settings, path: str) -> None:
    served, _ = create_app(sales_root, ["sales"])
    method = "POST" if path in ("predict", "predict/batch", "explain", "outcomes") else "GET"
    operation = schemathesis.openapi.from_asgi("/openapi.json", served, headers=HOST)[f"/{path}"][method]

    wrong = GenerationMode.NEGATIVE if method == "POST" else GenerationMode.POSITIVE

    @given(case=operation.as_strategy(generation_mode=wrong))
    @settings(max_examples=dear(20), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def ask(case: Case) -> None:
        case.call_and_validate(headers=HOST, checks=DESCRIBED)

    ask()
