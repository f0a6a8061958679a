"""What cannot be read of datasets: wide tables, bombs, databases that do not answer; by API and by command alike."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from services import alert_rows
from test_datasets_api import OURS, ROUTE, Client
from typer.testing import CliRunner

from quality_assets.cli.main import app
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables.datasets.reading import overview


def _workbook_bomb() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", "0" * 60_000_000)
    return made.getvalue()


def _wide_parquet() -> bytes:
    made = io.BytesIO()
    pq.write_table(pa.table({f"c{i}": pa.array([1]) for i in range(2001)}), made)
    return made.getvalue()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ",".join(f"c{i}" for i in range(20_000)).encode() + b"\n", "20,000 columns; 2,000 are the most"),
        (_wide_parquet, "2,001 columns; 2,000 are the most"),
        (_workbook_bomb, "100 times its size"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_stored(data_root: Settings, make, words: str) -> None:  # type: ignore[no-untyped-def]
    data_root.data_dir.mkdir(parents=True)
    answer = Client(data_root).post(f"{ROUTE}/upload", headers=OURS, files={"file": ("x.csv", make())})
    assert (answer.status_code, words in answer.text) == (413, True)
    assert [path for path in (data_root.data_dir / "inbox").rglob("*") if path.is_file()] == []
    path = data_root.data_dir / "x.csv"
    path.write_bytes(make())
    told = json.loads(CliRunner().invoke(app, ["check", str(path), "--format", "json"]).output.splitlines()[-1])
    assert (told["status"], words in told["reasons"][0]) == ("refused", True)


@pytest.fixture
def shop(data_root: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of three orders, whose address stands in the environment."""
    data_root.data_dir.mkdir(parents=True)
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table orders (id integer, price real)")
        connection.executemany("insert into orders values (?, ?)", [(1, 2.5), (2, 3.5), (3, 4.5)])
    connection.close()
    monkeypatch.setenv("SHOP_DB", f"sqlite:///{path}")
    return path


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"query": "select 1; select 2"}, "more than one statement"),
        ({"query": "drop table orders"}, "no SELECT"),
        ({"query": "select * from gone"}, "no such table: gone"),
        ({"secret": "env:NOWHERE"}, "the environment variable NOWHERE is not set"),
        ({"secret": "sqlite:///x"}, "env:NAME or file:PATH"),
        ({"path": "/x/*.csv"}, "path and query exclude each other"),
        ({"cadence": "often"}, "hourly, daily"),
        ({"name": "a/b"}, "is not a name"),
    ],
)
def test_a_table_that_cannot_be_watched_is_refused_with_the_reason(
    data_root: Settings, shop: Path, given: dict[str, str], words: str
) -> None:
    client = Client(data_root)
    wanted = {"name": "shop", "query": "select * from orders", "secret": "env:SHOP_DB"}
    answer = client.post(f"{ROUTE}/sources", json=wanted | given, headers=OURS)
    assert (answer.status_code, words in answer.json()["detail"]) == (422, True), answer.text
    assert str(shop) not in answer.text
    assert client.get(f"{ROUTE}/sources").json()["sources"] == []


def test_a_table_is_watched_by_the_api_once(data_root: Settings, shop: Path) -> None:
    client = Client(data_root)
    wanted = {"name": "shop", "query": "select * from orders", "secret": "env:SHOP_DB", "key": ["id"]}
    made = client.post(f"{ROUTE}/sources", json=wanted, headers=OURS)
    assert (made.status_code, made.json()["kind"], made.json()["key"]) == (201, "sql", ["id"])
    again = client.post(f"{ROUTE}/sources", json=wanted, headers=OURS)
    assert (again.status_code, again.json()["present"]["dataset"]) == (409, "shop")
    assert client.delete(f"{ROUTE}/sources/shop", headers=OURS).status_code == 200
    assert client.post(f"{ROUTE}/sources", json=wanted, headers=OURS).status_code == 201


def test_a_database_that_does_not_answer_is_told_and_the_last_score_stands(data_root: Settings, shop: Path) -> None:
    def check() -> tuple[int, list[dict]]:
        result = CliRunner().invoke(app, ["check", "shop", "--format", "json"])
        return result.exit_code, [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]

    arguments = ["dataset", "add", "shop", "--query", "select * from orders", "--secret", "env:SHOP_DB"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    code, (first,) = check()
    assert (code, first["rows"]) == (0, 3)
    shop.rename(shop.with_name("away.db"))
    for _ in range(2):
        code, (told,) = check()
        assert (code, told["status"], told["score"]) == (1, "refused", None)
    assert "is a file, and there is none" in told["reasons"][0]
    (alert,) = alert_rows(data_root, kind="dataset")
    assert (alert["title"], alert["status"], alert["occurrences"]) == ("shop: the source cannot be read", "open", 2)
    assert alert["action"].startswith("Mend its address, its secret or its server")
    (card,) = overview(operations_of(data_root), data_root)
    assert (card["score"], card["batches"], card["unreadable"]) == (first["score"], 1, told["reasons"][0])
    shop.with_name("away.db").rename(shop)
    assert check() == (0, [])
    assert [row["status"] for row in alert_rows(data_root, kind="dataset")] == ["resolved"]
    assert overview(operations_of(data_root), data_root)[0]["unreadable"] is None


def test_a_locked_table_waits(data_root: Settings, shop: Path) -> None:
    arguments = ["dataset", "add", "shop", "--query", "select * from orders", "--secret", "env:SHOP_LOCKED"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    holder = sqlite3.connect(shop, isolation_level=None)
    holder.execute("begin exclusive")
    result = CliRunner().invoke(
        app, ["check", "shop", "--format", "json"], env={"SHOP_LOCKED": f"sqlite:///{shop}?timeout=0"}
    )
    assert (result.exit_code, "the database is locked just now" in " ".join(result.output.split())) == (1, True)
    holder.close()
    assert alert_rows(data_root) == []
    result = CliRunner().invoke(app, ["check", "shop"], env={"SHOP_LOCKED": f"sqlite:///{shop}?timeout=0"})
    assert result.exit_code == 0
