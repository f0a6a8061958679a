"""Watched tables through the API: uploads of every kind, and what is said of tables and rules."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from daily_orders import orders

from dash_app.app import create_server
from quality_assets.contracts.sources.datasets import make_dataset
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import close_operations, operations_of
from quality_assets.tables.datasets.checking import check_dataset
from quality_assets.tables.datasets.registering import find, register
from quality_assets.tables.datasets.uploads import dataset_name

ROUTE = "/api/v1/data-quality"
OURS = {"X-Quality": "1", "X-Quality-Actor": "ann"}


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = Settings(data_dir=tmp_path / "data")
    made.data_dir.mkdir()
    yield made
    close_operations()


class Client:
    """Asks the server without a socket."""

    def __init__(self, settings: Settings) -> None:
        self._transport = httpx.ASGITransport(create_server(settings))

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://127.0.0.1:8050") as opened:
                return await opened.request(method, path, **more)

        return asyncio.run(asked())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self._ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self._ask("POST", path, **more)

    def put(self, path: str, **more: Any) -> httpx.Response:
        return self._ask("PUT", path, **more)

    def delete(self, path: str, **more: Any) -> httpx.Response:
        return self._ask("DELETE", path, **more)


@pytest.fixture
def client(settings: Settings) -> Client:
    return Client(settings)


def _upload(client: Client, content: bytes, name: str = "orders_1.csv", **query: str) -> httpx.Response:
    return client.post(f"{ROUTE}/upload", params=query, headers=OURS, files={"file": (name, content)})


def test_an_upload_is_judged_and_told(client: Client, settings: Settings) -> None:
    content = orders(0).to_csv(index=False).encode()
    answer = _upload(client, content)
    told = answer.json()
    assert (answer.status_code, told["dataset"], told["name"], told["is_new"]) == (202, "orders", "orders_1.csv", True)
    assert client.get(told["status_url"]).json()["status"] == "waiting"
    store = operations_of(settings)
    (result,) = check_dataset(store, settings, find(store, settings, "orders"))
    assert result.batch_id == told["batch_id"]
    batch = client.get(told["status_url"]).json()
    assert (batch["status"], batch["state"], batch["rows"], batch["score"]) == (
        "checked",
        "learning",
        600,
        result.score,
    )
    # The same bytes under another name are the same batch.
    again = _upload(client, content, "again_2.csv", dataset="orders")
    assert (again.status_code, again.json()["batch_id"]) == (200, told["batch_id"])
    quality = client.get(f"{ROUTE}/sources/orders/quality").json()
    assert (quality["score"], [b["rows"] for b in quality["history"]]) == (result.score, [600])
    assert client.get(f"{ROUTE}/sources").json()["sources"][0]["dataset"] == "orders"
    assert client.get(f"{ROUTE}/summary").json()["by_status"] == {"learning": 1}


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [(b"", 422, "no rows"), (gzip.compress(b"0" * 60_000_000), 413, "100 times"), (b"a,b\n", 202, "")],
)
def test_what_is_not_taken_leaves_nothing(
    client: Client, settings: Settings, content: bytes, status: int, words: str
) -> None:
    answer = _upload(client, content, "x.csv")
    assert (answer.status_code, words in answer.text) == (status, True)
    left = [path.name for path in (settings.data_dir / "inbox").rglob("*") if path.is_file()]
    assert left == (["x.csv"] if status == 202 else [])


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd.csv", "passwd.csv"),
        ("..\\..\\a.csv", "a.csv"),
        ("\u202egnp.csv", "gnp.csv"),
        ("u\u0308.csv", "ü.csv"),
        ("n" * 300 + ".csv", "n" * 196 + ".csv"),
        (".hidden", "hidden"),
    ],
)
def test_a_name_is_made_safe(client: Client, name: str, kept: str) -> None:
    answer = client.post(
        f"{ROUTE}/upload", params={"dataset": "t", "name": name}, content=b"a,b\n1,2\n",
        headers=OURS | {"content-type": "application/json"},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["name"]) == (202, kept)


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("Orders 2026-03.CSV.gz", "orders"),
        ("Größe.csv", "grosse"),
        ("Ventas año.csv", "ventas_ano"),
        # The first six digits of the SHA-256 of 日本, and of 注文.
        ("日本.csv", f"upload-{hashlib.sha256('日本'.encode()).hexdigest()[:6]}"),
        ("注文_3.csv", f"upload-{hashlib.sha256('注文'.encode()).hexdigest()[:6]}"),
        ("upload.csv", "upload"),
    ],
)
def test_a_file_begins_a_dataset_that_is_called_as_it_is(name: str, dataset: str) -> None:
    assert dataset_name(name) == dataset


def test_a_file_of_a_table_that_is_no_files_is_refused(client: Client, settings: Settings) -> None:
    store = operations_of(settings)
    register(store, make_dataset({"name": "sold", "path": "/x.duckdb", "table": "t"}, "dataset"), "ann")
    answer = _upload(client, b"a,b\n1,2\n", "sold.csv")
    assert (answer.status_code, answer.json()["detail"].partition(",")[0]) == (422, "sold is a table of a database")
    assert client.get(f"{ROUTE}/sources/sold").json()["batches"] == []


def test_who_leaves_within_an_upload_is_no_fault_of_the_server(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def answer(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"x-quality", b"1"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {"type": "http", "method": "POST", "path": f"{ROUTE}/upload", "query_string": b"", "headers": headers}
    asyncio.run(
        client._transport.app({**scope, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}, leave, answer)
    )
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_who_shows_no_right_writes_nothing(client: Client) -> None:
    assert client.post(f"{ROUTE}/upload", content=b"a\n1\n").status_code == 403
    assert client.delete(f"{ROUTE}/sources/x").status_code == 403


def test_what_is_said_of_a_table(client: Client) -> None:
    _upload(client, b"a,b\n1,2\n", "t.csv")
    told = client.get(f"{ROUTE}/sources/t").json()
    wanted = {"owner": "ann@example.com", "cadence": "daily", "thresholds": {"score": 0.9}}
    changed = client.put(f"{ROUTE}/sources/t", json=wanted, headers=OURS | {"If-Match": f'"{told["version"]}"'})
    assert (changed.status_code, changed.json()["owner"], changed.json()["thresholds"]["score"]) == (
        200, "ann@example.com", 0.9,
    )  # fmt: skip
    late = client.put(f"{ROUTE}/sources/t", json={"owner": "bob"}, headers=OURS | {"If-Match": f'"{told["version"]}"'})
    assert (late.status_code, "changed meanwhile" in late.json()["detail"]) == (409, True)
    wrong = client.put(f"{ROUTE}/sources/t", json={"cadence": "often"}, headers=OURS)
    assert (wrong.status_code, "hourly" in wrong.json()["detail"]) == (422, True)
    assert client.post(f"{ROUTE}/sources/t/rules/past_range(a)", json={"state": "muted"}, headers=OURS).json() == {
        "dataset": "t", "rule": "past_range(a)", "state": "muted", "version": 1,
    }  # fmt: skip
    assert client.post(f"{ROUTE}/sources/t/check", headers=OURS).status_code == 202
    assert client.delete(f"{ROUTE}/sources/t", headers=OURS).json()["is_hidden"] is True
    assert client.get(f"{ROUTE}/sources").json() == {"sources": [], "next_cursor": None}
    assert client.get(f"{ROUTE}/sources/none").status_code == 404
    assert client.post(f"{ROUTE}/sources", json={"name": "t", "path": "/x/*.csv"}, headers=OURS).status_code == 201
    happened = client.get("/api/v1/dashboard/recent-activity").json()
    assert [(row["action"], row["note"]) for row in reversed(happened) if row["entity"] == "dataset"] == [
        ("added", "files"),
        ("changed", "owner, cadence, thresholds"),
        ("removed", None),
        ("added", "again, with its history"),
    ]
    assert {(row["subject"], row["actor"]) for row in happened if row["entity"] == "dataset"} == {("t", "ann")}
    assert client.get(f"{ROUTE}/batches/none").status_code == 404


def _judged(settings: Settings, name: str) -> None:
    store = operations_of(settings)
    list(check_dataset(store, settings, find(store, settings, name)))


def test_a_write_with_a_key_is_done_once(client: Client) -> None:
    keyed = OURS | {"Idempotency-Key": "k1"}
    first = client.post(f"{ROUTE}/upload", headers=keyed, files={"file": ("t.csv", b"a,b\n1,2\n")})
    again = client.post(f"{ROUTE}/upload", headers=keyed, files={"file": ("t.csv", b"a,b\n1,2\n")})
    assert (first.status_code, again.status_code, again.json()) == (202, 202, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    other = client.post(f"{ROUTE}/upload", headers=keyed, files={"file": ("t.csv", b"a,b\n1,3\n")})
    assert (other.status_code, "choose a new one" in other.text) == (422, True)
    asked = [client.post(f"{ROUTE}/sources/t/check", headers=keyed).json()["request_id"] for _ in range(2)]
    assert asked[0] == asked[1]
    versions = [
        client.put(f"{ROUTE}/sources/t", json={"owner": "ann"}, headers=keyed).json()["version"] for _ in range(2)
    ]
    assert versions == [2, 2]
    assert client.post(f"{ROUTE}/sources/none/check", headers=keyed).status_code == 404


def test_what_was_changed_meanwhile_is_not_overwritten(client: Client) -> None:
    _upload(client, b"a,b\n1,2\n", "t.csv")
    rule = f"{ROUTE}/sources/t/rules/past_range(a)"
    assert client.post(rule, json={"state": "muted"}, headers=OURS | {"If-Match": "0"}).json()["version"] == 1
    late = client.post(rule, json={"state": "pinned"}, headers=OURS | {"If-Match": "0"})
    assert (late.status_code, late.json()["present"]["state"]) == (409, "muted")
    gone = client.delete(f"{ROUTE}/sources/t", headers=OURS | {"If-Match": '"7"'})
    assert (gone.status_code, gone.json()["present"]["version"]) == (409, 1)
    assert client.delete(f"{ROUTE}/sources/t", headers=OURS | {"If-Match": '"1"'}).json()["is_hidden"] is True
    assert client.delete(f"{ROUTE}/sources/none", headers=OURS).status_code == 404


def test_lists_go_on_where_their_cursor_says(client: Client, settings: Settings) -> None:
    for number in range(3):
        _upload(client, f"a,b\n{number},2\n1,{number}\n".encode(), f"t_{number}.csv")
        _judged(settings, "t")
    for name in ("u", "v"):
        _upload(client, name.encode() + b",b\n1,2\n", f"{name}.csv")
    page = client.get(f"{ROUTE}/sources?limit=2").json()
    rest = client.get(f"{ROUTE}/sources", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert [each["dataset"] for each in page["sources"] + rest["sources"]] == ["t", "u", "v"]
    assert rest["next_cursor"] is None
    quality = client.get(f"{ROUTE}/sources/t/quality?limit=2").json()
    before = client.get(f"{ROUTE}/sources/t/quality", params={"limit": 2, "cursor": quality["next_cursor"]}).json()
    assert [b["name"] for b in before["history"] + quality["history"]] == ["t_0.csv", "t_1.csv", "t_2.csv"]
    assert before["next_cursor"] is None
    for path in ("sources", "sources/t/quality"):
        assert client.get(f"{ROUTE}/{path}?cursor=nonsense").status_code == 404


def test_other_thresholds_are_tried_on_the_last_batches(client: Client, settings: Settings) -> None:
    for number in range(3):
        rows = "".join(f"{i},{'' if i < number else 'x'}\n" for i in range(4))
        _upload(client, f"a,b\n{rows}".encode(), f"t_{number}.csv")
        _judged(settings, "t")
    told = client.get(f"{ROUTE}/sources/t/what-if?missing_share=0.3").json()
    # None, one and two of four cells are missing.
    assert (told["batches"], told["would_fail"], told["fail_now"]) == (3, 1, 0)
    assert [(each["batch"], each["reasons"]) for each in told["failing"]] == [
        ("t_2.csv", ["50 % of b are missing; 30 % are let pass"])
    ]
    assert told["sentence"] == "They fail 1 of the last 3 batches."
    assert client.get(f"{ROUTE}/sources/t/what-if?missing_share=0.2").json()["would_fail"] == 2
    assert client.get(f"{ROUTE}/sources/t/what-if?rows_at_least=5").json()["would_fail"] == 3
    assert client.get(f"{ROUTE}/sources/t/what-if?score=2").status_code == 422
    assert client.get(f"{ROUTE}/sources/none/what-if").status_code == 404


def test_how_columns_came_and_went(client: Client, settings: Settings) -> None:
    for number, text in enumerate(("a,b\n1,2\n", "a,b,c\n1,2,x\n", "c,b,a\nx,2,1\n", "c,b\nx,2\n")):
        _upload(client, text.encode(), f"t_{number}.csv")
        _judged(settings, "t")
    told = client.get(f"{ROUTE}/sources/t").json()["schema_history"]
    assert [(e["batch"], e["added"], e["lost"], e["kinds"], e["order"]) for e in told] == [
        ("t_3.csv", [], ["a"], [], False),
        ("t_2.csv", [], [], [], True),
        ("t_1.csv", ["c"], [], [], False),
        ("t_0.csv", ["a", "b"], [], [], False),
    ]
