"""Models that people bring: taken, asked and looked at by the routes; what is refused, and by which sentence."""

from __future__ import annotations

import asyncio
import io
import json
import pickle
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import skops.io
from fastapi import FastAPI
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier
from sqlalchemy import select

from dash_app.app import create_server
from quality_assets.cli.user_models import version_rows_of_brought
from quality_assets.clock import utc_now
from quality_assets.progress import no_progress
from quality_assets.settings import Settings
from quality_assets.simulate.brought_models import SAMPLES, sample_rows
from quality_assets.stores import user_models
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.store import close_operations, operations_of
from quality_assets.stores.outcomes import Outcomes
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables import served_predictions
from tests.conftest import new_settings

API = "/api/v1/model-monitoring"
# Of the hundred rows, those from x = 49 on have y = 1.
SAMPLE = pd.DataFrame({"x": np.arange(100.0), "z": np.tile([0.0, 1.0], 50)}).assign(y=lambda f: (f.x >= 49).astype(int))
PLAIN = LogisticRegression().fit(SAMPLE[["x", "z"]], SAMPLE.y)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """An empty root with one model of a name `steps`."""
    settings = new_settings(tmp_path_factory.mktemp("user") / "data")
    answer = _deploy(settings, "steps", skops.io.dumps(PLAIN))
    assert answer.status_code == 201, answer.text
    yield settings
    close_operations()


@cache
def _server(data_dir: Path) -> FastAPI:
    """The server of a root, the same for each request: a new one works its routes out anew."""
    return create_server(new_settings(data_dir))


def _ask(settings: Settings, method: str, path: str, **more: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=_server(settings.data_dir))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, f"{API}/{path}", headers={"x-quality": "1"}, **more)

    return asyncio.run(asked())


def _deploy(
    settings: Settings, name: str, model: bytes, sample: bytes | None = None, *, file: str = "m.skops", **form: str
) -> httpx.Response:
    content = sample if sample is not None else SAMPLE.to_csv(index=False).encode()
    files = {"model": (file, model), "sample": ("sample.csv", content)}
    return _ask(settings, "POST", "deploy", data={"name": name, "kind": "classification", **form}, files=files)


# A process that has imported all and forks one for each request: to import is nearly all that an answer costs.
_FORKING = """
import io, json, os, sys
import pandas, skops.io, sklearn.calibration, sklearn.metrics
import quality_assets.domain.models.learning.drift_replay, quality_assets.domain.plain
from quality_assets.stores import user_model_asked, user_model_child

for line in sys.stdin:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        sys.stdin, sys.stdout = io.StringIO(json.loads(line)), os.fdopen(writer, "w")
        code = 1
        try:
            user_model_child.main()
            sys.stdout.flush()
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps({"returncode": code, "stdout": said}), flush=True)
"""


@pytest.fixture(scope="module")
def forking() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _FORKING]
    with subprocess.Popen(
        command, env=user_models._environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.fixture
def forked(forking: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reads a model is forked: for what it answers, where not how it is started is the question."""

    def run(command: list[str], *, input: str, **_: Any) -> subprocess.CompletedProcess[str]:
        assert forking.stdin is not None
        assert forking.stdout is not None
        print(json.dumps(input), file=forking.stdin, flush=True)
        return subprocess.CompletedProcess(command, **json.loads(forking.stdout.readline()))

    stand_in = SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr(user_models, "subprocess", stand_in)


def _zip(**parts: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name.replace("__", "."), content)
    return stream.getvalue()


def test_a_model_is_brought_and_asked(root: Settings) -> None:
    card = next(each for each in _ask(root, "GET", "models").json() if each["name"] == "steps")
    assert (card["version"], card["candidate"], card["predicts"]) == ("1", "LogisticRegression", "y")
    assert card["on_sample"]["accuracy"] == pytest.approx(PLAIN.score(SAMPLE[["x", "z"]], SAMPLE.y))
    assert _ask(root, "GET", "models/steps").json()["inputs"] == [
        {"name": "x", "nullable": False, "type": "number", "minimum": 0.0, "maximum": 99.0},
        {"name": "z", "nullable": False, "type": "number", "minimum": 0.0, "maximum": 1.0},
    ]
    high = _ask(root, "POST", "models/steps/predict", json={"x": 150, "z": 1}).json()
    # A logistic regression's shares were not calibrated on rows of their own: none is called a confidence.
    assert high == {
        "model": "steps", "version": "1", "prediction": 1, "confidence": None, "outside_training": ["x"],
        "request_id": high["request_id"],
    }  # fmt: skip
    assert _ask(root, "POST", "models/steps/predict", json={"x": 3, "z": 1}).json()["prediction"] == 0
    assert _ask(root, "POST", "models/steps/drift-check").json()["status"] == "unknown"


@pytest.mark.usefixtures("forked")
def test_what_moved_from_the_sample_is_told(root: Settings) -> None:
    folder = root.models_dir / "user" / "steps" / "asked"
    folder.mkdir(exist_ok=True)
    rows = [{"version": "1", "row": {"x": 90.0 + n % 10, "z": float(n % 2)}} for n in range(80)]
    (folder / "9999-01-01.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    told = _ask(root, "POST", "models/steps/drift-check").json()
    moved = {each["input"]: each["is_drifted"] for each in told["inputs"]}
    assert (told["status"], moved) == ("alert", {"x": True, "z": False, "prediction": True})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"x": 1}, "z: Field required"),
        ({"x": 1, "z": 1, "w": 2}, "w: Extra inputs"),
        ({"x": "1", "z": 1}, "x: Input should be a valid number"),
        ({"x": True, "z": 1}, "x: Input should be a valid number"),
        ({"x": None, "z": 1}, "x: Input should be a valid number"),
    ],
)
def test_a_row_that_is_not_of_the_contract(root: Settings, row: dict[str, Any], said: str) -> None:
    answer = _ask(root, "POST", "models/steps/predict", json=row)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_files_that_are_refused_before_any_is_read(root: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_models, "_asked", lambda *_a, **_k: pytest.fail("a process was started"))
    good, pickled = skops.io.dumps(PLAIN), pickle.dumps(PLAIN)
    bomb = _zip(schema__json=b"{}", big__npy=b"\0" * (user_models.MOST_UNPACKED_BYTES + 1))
    assert len(bomb) < 1 << 20
    refused = [
        (pickled, "m.skops", "runs whatever code"), (good, "m.joblib", "runs whatever code"),
        (pickle.dumps(PLAIN, protocol=0), "m", "runs whatever code"), (b"cheese", "m.skops", "it is no zip"),
        (_zip(data__pkl=pickled), "m.skops", "no schema.json"), (bomb, "m.skops", "unpacks to more than 256 MB"),
    ]  # fmt: skip
    for content, file, said in refused:
        answer = _deploy(root, "other", content, file=file)
        assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.text
    assert _deploy(root, "sales", good).status_code == 409
    assert _deploy(root, "../up", good).status_code == 422
    assert not (root.models_dir / "user" / "other").exists()


@pytest.mark.usefixtures("forked")
def test_models_that_are_refused_by_who_reads_them(root: Settings) -> None:
    foreign = FunctionTransformer(func=json.loads)
    half = skops.io.dumps(PLAIN)
    with zipfile.ZipFile(io.BytesIO(half)) as file:
        forged = _zip(**{each.replace(".", "__"): b"not an array" for each in file.namelist() if each != "schema.json"},
                      schema__json=file.read("schema.json"))  # fmt: skip
    lacking = SAMPLE[["x", "y"]].to_csv(index=False).encode()
    refused = [
        (_deploy(root, "other", skops.io.dumps(foreign)), "types that are not trusted: json"),
        (_deploy(root, "other", forged), "cannot be read"),
        (_deploy(root, "other", half, lacking), "lacks what the model takes: z"),
        (_deploy(root, "other", half, kind="regression"), "LogisticRegression, which is no model of kind regression"),
    ]
    for answer, said in refused:
        assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.text
    assert not list((root.models_dir / "user").glob("*other*"))


def test_a_forged_tree_ends_the_process_that_reads_it_and_no_other(root: Settings) -> None:
    model = DecisionTreeClassifier(max_depth=1).fit(SAMPLE[["x", "z"]], SAMPLE.y)
    state = model.tree_.__getstate__()
    state["nodes"]["left_child"][0] = 2**40
    model.tree_.__setstate__(state)
    answer = _deploy(root, "other", skops.io.dumps(model))
    assert answer.status_code == 422
    assert "ended by signal 11" in answer.json()["detail"]
    assert not list((root.models_dir / "user").glob("*other*"))


@pytest.mark.usefixtures("forked")
def test_a_calibrated_model_says_how_sure_it_is_and_a_number_is_predicted(root: Settings) -> None:
    calibrated = CalibratedClassifierCV(LogisticRegression(), cv=2).fit(SAMPLE[["x", "z"]], SAMPLE.y)
    told = _deploy(root, "sure", skops.io.dumps(calibrated), only_check="true")
    assert (told.status_code, told.json()["version"]) == (200, None)
    assert told.json()["first"]["confidence"] == pytest.approx(calibrated.predict_proba(SAMPLE[["x", "z"]])[0].max())
    assert _ask(root, "POST", "models/sure/predict", json={"x": 1, "z": 1}).status_code == 404
    line = LinearRegression().fit(SAMPLE[["x"]].to_numpy(), 2 * SAMPLE.x + 1)
    sample = SAMPLE[["x"]].assign(out=2 * SAMPLE.x + 1)
    stream = io.BytesIO()
    sample.to_parquet(stream)
    told = _deploy(root, "line", skops.io.dumps(line), stream.getvalue(), kind="regression", target="out")
    assert told.status_code == 201, told.text
    assert told.json()["on_sample"]["r2"] == pytest.approx(1)
    assert told.json()["first"]["prediction"] == pytest.approx(1)


@pytest.mark.usefixtures("forked")
def test_a_file_that_was_altered_is_not_read(root: Settings, tmp_path: Path) -> None:
    settings = new_settings(tmp_path / "data")
    assert _deploy(settings, "steps", skops.io.dumps(PLAIN)).status_code == 201
    with (settings.models_dir / "user" / "steps" / "1" / "model").open("ab") as stream:
        stream.write(b" ")
    answer = _ask(settings, "POST", "models/steps/predict", json={"x": 1, "z": 1})
    assert answer.status_code == 503
    assert "the model file is not the one that was saved" in answer.json()["detail"]


@pytest.mark.usefixtures("forked")
def test_the_contract_that_was_confirmed_is_the_one_that_is_kept(root: Settings) -> None:
    shown = _deploy(root, "agreed", skops.io.dumps(PLAIN), only_check="true").json()
    other = SAMPLE.assign(x=SAMPLE.x + 1).to_csv(index=False).encode()
    refused = _deploy(root, "agreed", skops.io.dumps(PLAIN), other, contract_sha256=shown["contract_sha256"])
    assert (refused.status_code, "not the one that was confirmed" in refused.json()["detail"]) == (422, True)
    kept = _deploy(root, "agreed", skops.io.dumps(PLAIN), contract_sha256=shown["contract_sha256"])
    assert (kept.status_code, kept.json()["version"]) == (201, "1")


@pytest.mark.usefixtures("forked")
def test_versions_are_put_in_use_and_taken_back(root: Settings) -> None:
    for _ in range(2):
        assert _deploy(root, "twice", skops.io.dumps(PLAIN)).status_code == 201
    path = "models/twice"
    assert _ask(root, "GET", path).json()["version"] == "2"
    assert _ask(root, "POST", f"{path}/rollback", json={}).json()["version"] == "1"
    assert _ask(root, "POST", f"{path}/predict", json={"x": 3, "z": 1}).json()["version"] == "1"
    assert _ask(root, "POST", f"{path}/rollback", json={}).status_code == 409
    assert _ask(root, "POST", f"{path}/promote", json={"version": "9"}).status_code == 409
    done = _ask(root, "POST", f"{path}/promote", json={"version": "2"}).json()
    assert (done["version"], done["changed"]) == ("2", True)
    assert _ask(root, "POST", f"{path}/promote", json={"version": "2"}).json()["changed"] is False
    actions = [(each["action"], each["version"]) for each in _ask(root, "GET", path).json()["releases"]]
    assert actions == [("promote", "1"), ("promote", "2"), ("rollback", "1"), ("promote", "2")]
    assert "twice" in _ask(root, "GET", "models/cheese").json()["detail"]
    stages = [(each["version"], each["stage"]) for each in version_rows_of_brought(root, "twice")]
    assert stages == [("1", "retired"), ("2", "prod")]
    (root.models_dir / "user" / "twice" / "1" / "model").write_bytes(b"PK")
    refused = _ask(root, "POST", f"{path}/rollback", json={})
    assert (refused.status_code, "the model file is not the one" in refused.json()["detail"]) == (409, True)


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("kind", SAMPLES)
def test_the_examples_that_are_shipped_are_taken(root: Settings, kind: str) -> None:
    (example,) = (each for each in _ask(root, "GET", "samples").json() if each["kind"] == kind)
    model, sample = (_ask(root, "GET", example[what].removeprefix(f"{API}/")).content for what in ("model", "sample"))
    told = _deploy(root, example["name"], model, sample, kind=kind, only_check="true")
    assert told.status_code == 200, told.text
    assert told.json()["contract"]["target"] == {"classification": "cancelled", "regression": "minutes"}[kind]
    # Only of a calibrated classifier is a confidence told.
    assert (told.json()["first"]["confidence"] is None) == (kind == "regression")
    rows = sample_rows(kind)
    assert rows.to_csv(index=False).encode() == sample
    assert _ask(root, "GET", "samples/..%2Fcustomers.csv").status_code == 404


@pytest.mark.usefixtures("forked")
def test_every_day_what_was_asked_is_looked_at_and_told_in_the_book(root: Settings, tmp_path: Path) -> None:
    settings = new_settings(tmp_path / "data")
    assert _deploy(settings, "steps", skops.io.dumps(PLAIN)).status_code == 201
    today, folder = utc_now().date(), settings.models_dir / "user" / "steps" / "asked"
    folder.mkdir()
    for back, low in ((3, 0.0), (0, 90.0)):
        rows = [{"version": "1", "row": {"x": low + n % 10, "z": float(n % 2)}} for n in range(60)]
        text = "".join(json.dumps(each) + "\n" for each in rows)
        (folder / f"{today - timedelta(days=back)}.jsonl").write_text(text)
    with open_warehouse(settings) as session:
        (report,) = served_predictions.watch_models(session, no_progress)
    assert (report.model, report.status) == ("steps", "alert")
    with operations_of(settings).read() as connection:
        (alert,) = connection.execute(select(ALERT.c.kind, ALERT.c.subject, ALERT.c.status)).all()
    assert alert == ("model drift", "ml.steps_model", "open")
    kept = json.loads((settings.reports_dir / "drift" / "steps.json").read_text())
    assert [(each["day"], each["rows"]) for each in kept["days"]] == [
        *((f"{today - timedelta(days=back)}", 60) for back in (3, 2, 1)),
        (f"{today}", 120),
    ]
    assert (settings.reports_dir / "drift" / "steps.html").stat().st_size > 1000
    # What moved lies 0.5 and more from the sample on every day: a limit beyond that tells of nothing.
    limits = _ask(settings, "GET", "models/steps/limits").json()
    assert (limits["false_share"], limits["least_distance"], limits["replay"][0]["days_told"]) == (0.05, 0.1, 4)
    higher = _ask(settings, "PUT", "models/steps/limits", json={"least_distance": 0.95}).json()
    assert (higher["least_distance"], higher["replay"][0]["days_told"], higher["replay"][0]["inputs"]) == (0.95, 0, [])
    assert _ask(settings, "POST", "models/steps/drift-check").json()["status"] == "ok"
    assert _ask(settings, "PUT", "models/steps/limits", json={"false_share": 0.9}).status_code == 422
    assert _ask(settings, "PUT", "models/nobody/limits", json={}).status_code == 404


@pytest.mark.usefixtures("forked")
def test_what_came_of_a_prediction_is_taken_once_and_shown(root: Settings, tmp_path: Path) -> None:
    settings = new_settings(tmp_path / "data")
    line = LinearRegression().fit(SAMPLE[["x"]], 2 * SAMPLE.x + 1)
    sample = SAMPLE[["x"]].assign(out=2 * SAMPLE.x + 1).to_csv(index=False).encode()
    assert _deploy(settings, "line", skops.io.dumps(line), sample, kind="regression").status_code == 201
    told = _ask(settings, "POST", "models/line/predict", json={"x": 3}).json()
    assert told["prediction"] == pytest.approx(7)
    asked, other = told["request_id"], f"{told['request_id']}0"
    path = "models/line/outcomes"
    done = [
        _ask(settings, "POST", path, json=body)
        for body in (
            {"request_id": asked, "y": "seven"}, {"request_id": asked, "y": 8}, {"request_id": asked, "y": 8.0},
            {"request_id": asked, "y": 9}, {"request_id": other, "y": 8}, {"request_id": asked},
        )
    ]  # fmt: skip
    assert [each.status_code for each in done] == [422, 200, 200, 409, 404, 422]
    assert [done[1].json()["status"], done[2].json()["status"]] == ["new", "same"]
    # 49 more, predicted 35 days ago, came today, and 60 nearer ones a month before: when they came counts.
    folder, today = settings.models_dir / "user" / "line", utc_now().date()
    outcomes = Outcomes(folder, "text")
    for back, n, y, came_back in ((35, 49, 8, 0), (70, 60, 7.5, 40)):
        rows = [{"version": "1", "row": {"x": 3}, "said": 7.0, "request_id": f"{back}-{at}"} for at in range(n)]
        with (folder / "asked" / f"{today - timedelta(days=back)}.jsonl").open("a") as stream:
            stream.writelines(f"{json.dumps(each)}\n" for each in rows)
        for each in rows:
            outcomes.take(each["request_id"], "line", json.dumps(y))
        with closing(sqlite3.connect(folder / "outcomes.db")) as connection, connection:
            earlier = "update outcome set at_us = at_us - ? * 86400000000 where request_id like ?"
            connection.execute(earlier, (came_back, f"{back}-%"))
    report = _ask(settings, "POST", "models/line/drift-check").json()
    assert (report["status"], report["words"].split("; ")[-1]) == (
        "alert", "the mean error is 1, and was 0.5 in the month before",
    )  # fmt: skip
    served = _ask(settings, "GET", "models/line/performance").json()["served"]
    assert (served["outcomes"], served["mae"], served["mae_before"]) == (50, pytest.approx(1), pytest.approx(0.5))
