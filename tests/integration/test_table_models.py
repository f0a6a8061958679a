"""Versions of models that learn from tables: kept for MLflow's tools, loaded without, refused where altered."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import skops.io

from quality_assets.contracts.ml import MODEL_METRICS
from quality_assets.domain.models.learning.release_stack import (
    NoEarlierReleaseError,
    ReleaseAheadError,
    ReleaseConflictError,
)
from quality_assets.progress import no_progress
from quality_assets.settings import Settings
from quality_assets.simulate.tables import sales_rows
from quality_assets.stores.models import open_client
from quality_assets.stores.operations.store import close_operations
from quality_assets.stores.released import VersionUnavailableError, load_released, load_version, manifest, unpacked
from quality_assets.stores.releases import release_log, release_rows
from quality_assets.stores.shared_metrics import share_model_metrics
from quality_assets.stores.warehouse import create_tables, open_warehouse
from quality_assets.tables import learning, predicted_tables
from tests.conftest import new_settings
from tests.light_use_cases import LIGHT_HOUSING
from tests.light_use_cases import LIGHT_SALES as SALES


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A root with three versions of sales, the first in use."""
    settings = new_settings(tmp_path_factory.mktemp("trained") / "data")
    with open_warehouse(settings) as session:
        learning.write_training_set(session, SALES, sales_rows(120))
        for _ in range(3):
            learning.train_version(session, SALES, "baseline", no_progress, release=True)
    yield settings
    close_operations()


@pytest.fixture
def copy(trained: Settings, tmp_path: Path) -> Settings:
    """A copy of it, to be changed at will."""
    import shutil

    close_operations()
    shutil.copytree(trained.data_dir, tmp_path / "data")
    yield new_settings(tmp_path / "data")
    close_operations()


def test_versions_count_from_one_and_the_first_that_wins_is_in_use(trained: Settings) -> None:
    rows = learning.version_rows(trained, SALES)
    assert [(row["version"], row["stage"], row["wins"]) for row in rows] == [
        ("1", "prod", True),
        ("2", "none", False),
        ("3", "none", False),
    ]
    assert "no gain beyond chance" in str(rows[2]["decision"])


def test_a_record_of_mlflow_that_was_lost_is_begun_anew_and_no_version_is_written_over(copy: Settings) -> None:
    for path in (copy.models_dir / "sales").glob("registry.db*"):
        path.unlink()
    before = manifest(copy.models_dir, "sales", "3")
    with open_warehouse(copy) as session:
        learning.train_version(session, SALES, "baseline", no_progress, release=False)
    assert manifest(copy.models_dir, "sales", "3") == before
    assert manifest(copy.models_dir, "sales", "4")["run_id"] != before["run_id"]
    assert load_released(copy.models_dir, SALES, release_log(copy).of("sales")).release.version == "1"


def test_mlflows_client_reads_back_what_a_version_is(trained: Settings) -> None:
    from mlflow.models import Model

    client = open_client(trained.models_dir / "sales", "sales")
    (first, *_) = sorted(client.search_model_versions("name='sales'"), key=lambda each: int(each.version))
    folder = Path(first.source.removeprefix("file://"))
    model = Model.load(str(folder))
    assert model.signature is not None
    inputs = {each["name"]: (each["type"], each["required"]) for each in model.signature.inputs.to_dict()}
    assert inputs["PRICEEACH"] == ("double", False)
    assert inputs["PRODUCTLINE"] == ("string", True)
    assert "DEALSIZE" not in inputs
    assert [each["name"] for each in model.signature.outputs.to_dict()] == ["prediction", "p10", "p90"]
    told = manifest(trained.models_dir, "sales", "1")
    assert model.load_input_example(str(folder)) == told["reference"]["row"]
    assert model.metadata["contract"] == SALES.contract.fingerprint
    assert first.tags["sha256"] == told["sha256"]
    metrics = client.get_run(first.run_id).data.metrics
    assert metrics["all/time/r2"] == pytest.approx(told["headline"]["r2"])
    report = json.loads((folder / "report.json").read_text())
    assert report["quarantine"] == told["quarantine"]


def test_what_serves_loads_a_model_without_dagster_mlflow_or_frames_of_rows() -> None:
    code = (
        "import sys, quality_assets.stores.released, quality_assets.stores.releases;"
        " sys.exit(any(name in sys.modules for name in ('dagster', 'mlflow', 'sklearn', 'shap', 'alembic')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_reference_row_is_predicted_as_it_was_written_down(trained: Settings) -> None:
    told = manifest(trained.models_dir, "sales", "1")
    released = load_released(trained.models_dir, SALES, release_log(trained).of("sales"))
    assert released.release.version == "1"
    assert released.problems == ()
    assert released.model.reference["prediction"] == told["reference"]["prediction"]


def test_an_altered_file_is_refused_and_the_release_before_it_answers(copy: Settings) -> None:
    learning.promote(copy, SALES, "2", actor="me", reason="to see")
    told = manifest(copy.models_dir, "sales", "2")
    path = copy.models_dir / "sales" / told["file"]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(VersionUnavailableError, match=r"^version 2 of sales cannot be used: its file is not the one"):
        load_version(copy.models_dir, SALES, "2")
    with pytest.raises(VersionUnavailableError, match="not the one that was saved"):
        learning.promote(copy, SALES, "2", actor="me", reason="again")
    released = load_released(copy.models_dir, SALES, release_log(copy).of("sales"))
    assert released.release.version == "1"
    assert "version 2 of sales cannot be used" in released.problems[0]
    path.unlink()
    with pytest.raises(VersionUnavailableError, match="its file is missing"):
        load_version(copy.models_dir, SALES, "2")


def forge(settings: Settings, version: str, content: bytes) -> None:
    """Put other bytes in the place of a version's file, and have the manifest vouch for them."""
    import hashlib

    folder = settings.models_dir / "sales"
    path = folder / "versions" / f"{version}.json"
    told = json.loads(path.read_text())
    (folder / told["file"]).write_bytes(content)
    path.write_text(json.dumps({**told, "sha256": hashlib.sha256(content).hexdigest()}))


def test_a_forged_file_is_refused_even_where_the_manifest_vouches_for_it(copy: Settings) -> None:
    from sklearn.pipeline import FunctionTransformer

    release = learning.promote(copy, SALES, "2", actor="me", reason="to see")
    assert release is not None
    told = manifest(copy.models_dir, "sales", "2")
    state = unpacked((copy.models_dir / "sales" / told["file"]).read_bytes())
    state["views"][0]["fitted"]["formula"]["ratio"] *= 1.0001
    state["views"][1]["fitted"]["formula"]["ratio"] *= 1.0001
    forge(copy, "2", skops.io.dumps(state))
    with pytest.raises(VersionUnavailableError, match=r"of the reference row is .* was written down"):
        load_version(copy.models_dir, SALES, "2")
    # The release knows the hash of what passed the gates.
    with pytest.raises(VersionUnavailableError, match="not the one that was saved"):
        load_version(copy.models_dir, SALES, "2", release.evidence)
    forge(copy, "3", skops.io.dumps({"format": 1, "views": FunctionTransformer(func=print)}))
    with pytest.raises(VersionUnavailableError, match="types that no model has"):
        load_version(copy.models_dir, SALES, "3")
    forge(copy, "3", b"no archive")
    with pytest.raises(VersionUnavailableError, match="cannot be read"):
        load_version(copy.models_dir, SALES, "3")


def test_a_model_of_another_contract_is_refused(copy: Settings) -> None:
    path = copy.models_dir / "sales" / "versions" / "1.json"
    path.write_text(path.read_text().replace(SALES.contract.fingerprint, "0" * 64))
    with pytest.raises(VersionUnavailableError, match="another contract"):
        load_version(copy.models_dir, SALES, "1")
    with pytest.raises(VersionUnavailableError, match=r"there is no version 9 of sales; the registry has: 1, 2, 3"):
        load_version(copy.models_dir, SALES, "9")


def test_three_promotions_and_three_rollbacks(copy: Settings) -> None:
    for day, version in ((2, "2"), (3, "3")):
        learning.promote(copy, SALES, version, actor="me", reason="r", at=datetime(2024, 1, day, tzinfo=UTC))
    assert learning.promote(copy, SALES, "3", actor="me", reason="again") is None
    back = [learning.rollback(copy, SALES, actor="me", reason="b").version for _ in range(2)]
    assert back == ["2", "1"]
    with pytest.raises(NoEarlierReleaseError):
        learning.rollback(copy, SALES, actor="me", reason="b")
    rows = release_rows(release_log(copy))
    assert [(row["action"], row["model_version"], row["is_in_use"]) for row in rows] == [
        ("promote", "1", False),
        ("promote", "2", False),
        ("promote", "3", False),
        ("rollback", "2", False),
        ("rollback", "1", True),
    ]
    assert rows[1]["replaces_seq"] == rows[0]["seq"]
    # What is said to have been done before the release before it counts from that one's time, wherever it is told.
    assert rows[2]["at"] == rows[1]["at"] == rows[0]["at"]
    with pytest.raises(ReleaseAheadError, match="2101-01-01T00:00Z has not come yet"):
        learning.promote(copy, SALES, "3", actor="me", reason="r", at=datetime(2101, 1, 1, tzinfo=UTC))
    assert len(release_rows(release_log(copy))) == len(rows)


def test_of_two_promotions_at_once_one_is_told_of_the_other(copy: Settings) -> None:
    log = release_log(copy)
    seen = log.of("sales")[-1].seq
    log.promote("sales", "2", actor="one", reason="r", expected_seq=seen)
    with pytest.raises(ReleaseConflictError, match="one released version 2 meanwhile"):
        log.promote("sales", "3", actor="other", reason="r", expected_seq=seen)


def test_rows_are_predicted_by_the_version_in_use(copy: Settings) -> None:
    with open_warehouse(copy) as session:
        rows = predicted_tables.build_predictions(session, SALES)
        found = session.connection.execute(
            "select count(*), any_value(model_version), count(*) filter (where prediction between p10 and p90),"
            " count(*) filter (where not is_seen) from ml.sales_predictions"
        ).fetchone()
        assert predicted_tables.build_predictions(session, SALES) == rows
        assert predicted_tables.build_predictions(session, LIGHT_HOUSING) == 0
        quarantined = session.connection.execute(
            "select count(*) from ml.sales_training_set where quarantined_because is not null"
        ).fetchone()
        drift = predicted_tables.build_input_drift(session)
        assert predicted_tables.gather_leaks(session) == 3 * len(
            session.connection.execute("select 1 from ml.model_leaks where model_version = '1'").fetchall()
        )
    assert quarantined is not None
    assert found == (rows, "1", rows, quarantined[0])
    assert not drift.loc[drift["input"] == "PRODUCTLINE", "is_drifted"].any()


def test_metrics_of_one_use_case_become_those_of_all() -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema ml")
        connection.execute(
            "create table ml.model_metrics as select '3' as model_version, date '2026-01-01' as trained_through,"
            " 'any' as target, 'random_forest' as model, 'champion' as role, 'pr_auc' as metric, .5 as value,"
            " .4 as low, .6 as high, 10 as rows, 2 as positives, .2 as base_rate, 3 as k"
        )
        # A warehouse of before opens at once.
        create_tables(connection)
        assert not share_model_metrics(connection, set(MODEL_METRICS.column_names))
        (row,) = connection.execute("select * from ml.model_metrics").df().to_dict("records")
    assert (row["model"], row["candidate"], row["split"]) == ("feature_risk", "random_forest", "time")
    assert (row["model_version"], row["value"]) == ("3", pytest.approx(0.5))
    assert list(row) == list(MODEL_METRICS.column_names)
    assert pd.notna(row["k"])


def test_tables_of_one_use_case_say_whose_their_rows_are() -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema ml")
        connection.execute("create table ml.calibration as select '3' as model_version, 'any' as target, 1 as bin")
        create_tables(connection)
        connection.execute("insert into ml.calibration by name select 'sales' as model, '1' as model_version")
        create_tables(connection)
        rows = connection.execute("select model, model_version from ml.calibration order by all").fetchall()
    assert rows == [("feature_risk", "3"), ("sales", "1")]
