"""A dataset from its files to verdicts: through the command, as scripts call it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from daily_orders import orders, write_days
from services import Mailbox
from sqlalchemy import select
from typer.testing import CliRunner

from quality_assets.cli.main import app
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.values import Block
from quality_assets.settings import Settings, get_settings
from quality_assets.simulate.daily_tables import write_daily_tables
from quality_assets.stores.datasets.keeping import Keeper
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.dataset_tables import DATASET_BATCH, DATASET_FINDING, DATASET_RULE
from quality_assets.stores.operations.store import close_operations, operations_of
from quality_assets.tables.channels import add_channel
from quality_assets.tables.datasets.checking import check_dataset
from quality_assets.tables.datasets.registering import find
from quality_assets.tables.datasets.ruling import set_state

# Four good days, the one without some addresses with two good ones behind it, and the one with words among its prices.
SOME_DAYS = (0, 1, 2, 3, 8, 9, 11, 12)
KEYS = {"dataset", "batch", "rows", "score", "dimensions", "findings", "alerts", "status"}


@pytest.fixture
def quality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("QUALITY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("QUALITY_FILE_STABLE_S", "0")
    get_settings.cache_clear()

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.output

    yield run
    close_operations()
    get_settings.cache_clear()


def _lines(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_thirty_days_with_ten_faults_are_told_apart(quality, tmp_path: Path) -> None:
    faults = write_days(tmp_path / "orders")
    files = str(tmp_path / "orders" / "*.csv")
    code, output = quality("dataset", "add", "orders", "--path", files, "--key", "order_id", "--time", "ordered_at")
    assert code == 0, output
    code, output = quality("check", "orders", "--format", "json")
    told = _lines(output)
    assert code == 1
    assert [line["batch"] for line in told] == [f"orders_{day}.csv" for day in range(1, 31)]
    assert all(set(line) >= KEYS for line in told)
    wrong = {}
    for line in told:
        fault = faults.get(line["batch"])
        if fault is None:
            if line["alerts"]:
                wrong[line["batch"]] = line["alerts"]
            continue
        found = [f for f in line["findings"] if f["kind"] == fault.kind and tuple(f["columns"]) == fault.columns]
        told_alerts = [a for a in line["alerts"] if set(a["columns"]) & set(fault.columns) or a["kind"] == fault.kind]
        if [f["count"] for f in found] != [fault.count] or not told_alerts:
            wrong[line["batch"]] = (fault, found)
    assert wrong == {}
    clean = [line["score"] for line in told[3:] if line["batch"] not in faults]
    dirty = [line["score"] for line in told if line["batch"] in faults]
    assert min(clean) > 0.9995
    assert max(dirty) < min(clean)
    # What was judged is not judged again.
    assert quality("check", "orders", "--format", "json") == (0, "")


def test_a_file_by_itself_has_a_score_and_no_past(quality, tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    orders(0).to_csv(path, index=False)
    code, output = quality("check", str(path), "--format", "json")
    (told,) = _lines(output)
    assert (code, told["dataset"], told["batch"], told["rows"], told["alerts"]) == (0, "one", "one.csv", 600, [])
    assert 0.99 < told["score"] <= 1
    assert told["learning"] == "learning, 0 of 3"
    assert not (tmp_path / "data" / "operations.db").exists()


def test_a_threshold_that_fails_sets_the_exit_code(quality, tmp_path: Path) -> None:
    table = orders(0).astype(object)
    table.loc[:299, "price"] = "n.v."
    table.to_csv(tmp_path / "bad.csv", index=False)
    assert quality("dataset", "add", "bad", "--path", str(tmp_path / "bad.csv"), "--min-score", "0.999")[0] == 0
    code, output = quality("check", "bad", "--format", "json")
    (told,) = _lines(output)
    assert (code, told["status"]) == (1, "failed")
    assert told["reasons"][0].startswith("its score is 0.9")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "a/b", "--path", "x.csv"), "is not a name"),
        (("add", "x"), "one of path, query and table"),
        (("add", "x", "--query", "select 1; select 2", "--secret", "env:DB"), "more than one statement"),
        (("add", "x", "--query", "drop table t", "--secret", "env:DB"), "no SELECT"),
        (("add", "x", "--query", "select 1"), "needs a secret"),
        (("add", "x", "--query", "select 1", "--secret", "postgresql://u:p@h/d"), "env:NAME or file:PATH"),
        (("add", "x", "--path", "x.csv", "--cadence", "often"), "hourly, daily"),
    ],
)
def test_what_cannot_be_watched_is_refused(quality, arguments: tuple[str, ...], words: str) -> None:
    code, output = quality("dataset", *arguments)
    assert code == 2
    assert words in output


def test_neither_dataset_nor_file_is_an_error_that_says_so(quality, tmp_path: Path) -> None:
    code, output = quality("check", "nothing")
    assert code == 1
    assert "neither a dataset (none yet) nor a file" in output


def test_yaml_registers_and_wins_for_the_keys_that_it_has(quality, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "datasets"
    folder.mkdir(parents=True)
    (folder / "orders.yaml").write_text(f"path: {tmp_path}/orders/*.csv\nkey: [order_id]\nthresholds:\n  score: 0.5\n")
    (folder / "wrong.yaml").write_text("path: x.csv\ncolour: red\n")
    write_days(tmp_path / "orders", range(2))
    code, output = quality("check", "orders", "--format", "json")
    assert (code, len(_lines(output))) == (0, 2)
    code, output = quality("dataset", "add", "orders", "--path", "elsewhere.csv")
    assert code == 1
    assert "change it there" in output
    settings = get_settings()
    source = find(operations_of(settings), settings, "orders").source
    assert (source.key, source.thresholds.score) == (("order_id",), 0.5)


def test_a_muted_rule_is_quiet_in_the_next_batch(quality, tmp_path: Path) -> None:
    write_days(tmp_path / "orders", range(5))
    quality("dataset", "add", "orders", "--path", f"{tmp_path}/orders/*.csv", "--time", "ordered_at")
    quality("check", "orders")
    table = orders(16).astype(object)
    table.loc[:8, "status"] = "lost in transit"
    settings = get_settings()
    store = operations_of(settings)
    with store.write() as connection:
        now = connection.execute(select(DATASET_BATCH.c.arrived_at)).scalar()
        connection.execute(
            DATASET_RULE.insert().values(
                dataset_id="orders", rule_id="past_closed_set(status)", kind="closed_set", dimension="validity",
                columns=["status"], parameters={}, origin="learnt", state="muted", since=now, updated_at=now, version=1,
            )
        )  # fmt: skip
    table.to_csv(tmp_path / "orders" / "orders_17.csv", index=False)
    (told,) = _lines(quality("check", "orders", "--format", "json")[1])
    assert "closed_set" not in {finding["kind"] for finding in told["findings"]}


def test_what_is_not_a_problem_does_not_come_back_under_another_rule(quality, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    folder.mkdir()
    for day in range(5):
        orders(day).to_csv(folder / f"orders_{day}.csv", index=False)
    quality("dataset", "add", "orders", "--path", f"{folder}/*.csv")
    quality("check", "orders")

    def formats(day: int) -> list[str]:
        table = orders(day).astype(object)
        table.loc[:10, "status"] = "lost in transit"
        table.to_csv(folder / f"orders_{day}.csv", index=False)
        (told,) = _lines(quality("check", "orders", "--format", "json")[1])
        found = [f for f in told["findings"] if f["columns"] == ["status"]]
        return [f["rule"] for f in found if f["kind"] == "format"]

    store = operations_of(get_settings())

    def live() -> dict[str, str]:
        with store.read() as connection:
            rows = connection.execute(select(ALERT.c.check_name, ALERT.c.resolution).where(ALERT.c.subject == "orders"))
            return {name: resolution for name, resolution in rows if "status" in name}

    (rule,) = formats(5)
    assert live() == {"past_closed_set(status)": None, rule: None}
    # Its alert ends at once, that of the other rule stays until a batch is good, or somebody answers it.
    set_state(store, "orders", rule, "muted", "ann")
    assert live() == {"past_closed_set(status)": None, rule: "auto"}
    assert formats(6) == []
    assert live()[rule] == "auto"


def test_no_example_is_kept_where_none_may_be(quality, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    folder.mkdir()
    table = orders(0).astype(object)
    table.loc[:2, "price"] = "Anna Geheim"
    table.to_csv(folder / "a.csv", index=False)
    settings = get_settings()
    (settings.data_dir / "datasets").mkdir(parents=True)
    (settings.data_dir / "checks").mkdir()
    (settings.data_dir / "checks" / "no_anna.sql").write_text(
        "-- no price is a name\nselect price from {batch} where price is null or price like 'Anna%'\n"
    )
    said = f"path: {folder}/*.csv\nkeep_examples: false\n"
    (settings.data_dir / "datasets" / "orders.yaml").write_text(said)
    _, output = quality("check", "orders", "--format", "json")
    (told,) = _lines(output)
    assert "type" in {finding["kind"] for finding in told["findings"]}, output
    assert {tuple(finding["examples"]) for finding in told["findings"]} == {()}
    with operations_of(settings).read() as connection:
        kept = [
            str(dict(row))
            for table in (DATASET_BATCH, DATASET_FINDING, ALERT)
            for row in connection.execute(select(table)).mappings()
        ]
    assert [text for text in (output, *kept) if "Geheim" in text] == []


def test_a_batch_that_a_killed_process_left_is_judged_again(tmp_path: Path) -> None:
    from quality_assets.contracts.sources.datasets import DatasetSource
    from quality_assets.tables.datasets.batches import start, waiting_files
    from quality_assets.tables.datasets.registering import register

    settings = Settings(data_dir=tmp_path / "data", file_stable_s=0)
    settings.data_dir.mkdir()
    store = operations_of(settings)
    orders(0).to_csv(tmp_path / "a.csv", index=False)
    dataset = register(store, DatasetSource(name="a", path=str(tmp_path / "a.csv")), "test")
    (batch,) = waiting_files(store, settings, dataset).waiting
    start(store, "a", batch, None, "test")
    (result,) = check_dataset(store, settings, dataset)
    assert (result.batch_id, result.status) == (batch.batch_id, "passed")
    assert list(check_dataset(store, settings, dataset)) == []
    close_operations()


def test_what_is_kept_of_a_batch_is_read_once_for_all_that_come_after_it(
    quality, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_of, read = Keeper.rows, list[str]()

    def rows(keeper: Keeper, profile: Profile) -> Block:
        read.append(profile.batch)
        return rows_of(keeper, profile)

    monkeypatch.setattr(Keeper, "rows", rows)
    for day in range(5):
        (tmp_path / f"a_{day}.csv").write_text("n,x\n" + "".join(f"{n + 40 * day},{n % 7}\n" for n in range(40)))
    quality("dataset", "add", "a", "--path", str(tmp_path / "*.csv"))
    told = _lines(quality("check", "a", "--format", "json")[1])
    assert [line["learning"] for line in told] == [
        "learning, 0 of 3", "learning, 1 of 3", "learning, 2 of 3", None, None,
    ]  # fmt: skip
    assert len(read) == len(set(read)) == 4


def test_a_fault_is_one_alert_until_two_good_batches_and_an_expected_one_is_quiet(quality, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    write_days(folder, [*SOME_DAYS, 13])
    quality(
        "dataset", "add", "orders", "--path", f"{folder}/*.csv", "--time", "ordered_at", "--owner", "ann@example.com"
    )
    judged = _lines(quality("check", "orders", "--format", "json")[1])
    reasons = [reason for told in judged for reason in told["reasons"]]
    assert "it raised 1 alert; 0 are let pass" in reasons
    settings = get_settings()
    store = operations_of(settings)

    def alerts() -> dict[str, tuple[str, str, int]]:
        with store.read() as connection:
            rows = connection.execute(select(ALERT).where(ALERT.c.kind == "dataset")).mappings()
            return {row["check_name"]: (row["status"], row["owner"], row["occurrences"]) for row in rows}

    # The missing addresses of day 9 were followed by good days; the words among prices of day 13 by one.
    assert alerts()["missing(email)"] == ("resolved", "ann@example.com", 1)
    assert alerts()["past_type(price)"] == ("open", "ann@example.com", 1)
    with store.read() as connection:
        named = connection.execute(select(ALERT.c.partition_key).where(ALERT.c.check_name == "past_type(price)"))
        assert named.scalar_one() == "orders_13.csv"
    with store.write() as connection:
        connection.execute(ALERT.update().values(status="resolved", resolution="expected"))
    table = orders(14).astype(object)
    table.loc[:10, "price"] = "n.v."
    table.to_csv(folder / "orders_15.csv", index=False)
    (told,) = _lines(quality("check", "orders", "--format", "json")[1])
    assert "type" not in {finding["kind"] for finding in told["findings"]}


def test_a_refused_batch_is_told_and_judges_nothing_else(quality, tmp_path: Path) -> None:
    (tmp_path / "a1.csv").write_bytes(b"")
    quality("dataset", "add", "a", "--path", f"{tmp_path}/a*.csv")
    code, output = quality("check", "a", "--format", "json")
    (told,) = _lines(output)
    assert (code, told["status"], told["score"], told["reasons"]) == (
        1,
        "refused",
        None,
        ["no rows: the file is empty"],
    )
    with operations_of(get_settings()).read() as connection:
        row = connection.execute(select(ALERT)).mappings().one()
    assert (row["title"], row["message"]) == ("a: a batch cannot be read", "no rows: the file is empty")
    assert (row["partition_key"], row["action"][:13]) == ("a1.csv", "Mend the file")


def test_of_the_two_tables_of_the_demo_all_faults_and_nothing_else_are_alerts(quality, tmp_path: Path) -> None:
    root = tmp_path / "data"
    assert write_daily_tables(root, date(2026, 3, 30), days=16) == {"orders": 3, "deliveries": 2}
    truth = pd.read_csv(root / "tables" / "faults.csv")
    for name, known in truth.groupby("dataset"):
        told = _lines(quality("check", str(name), "--format", "json")[1])
        assert len(told) == 16
        assert [line["batch"] for line in told if line["alerts"]] == known["file"].tolist()
        for line, kind in zip([line for line in told if line["alerts"]], known["kind"], strict=True):
            assert kind in {alert["kind"] for alert in line["alerts"]}
    # The last fault of orders waits to be answered.
    code, output = quality("alerts", "list", "--format", "json")
    assert code == 0
    assert '"orders: missing of' in output


def test_batches_of_folders_are_called_by_them_and_marks_of_programs_are_none(quality, tmp_path: Path) -> None:
    place = tmp_path / "daily"
    for day in ("2026-03-01", "2026-03-02"):
        (place / f"day={day}").mkdir(parents=True)
        (place / f"day={day}" / "part.csv").write_text(f"a,b\n1,{day}\n")
    (place / "_delta_log").mkdir()
    (place / "_delta_log" / "0.csv").write_text("x\n")
    programs = ("_SUCCESS", ".hidden", "part.csv.crc", "README.md", "~$open.xlsx", "a.csv~", "b.csv.crdownload")
    for name in (*programs, "c.csv.filepart", "d.csv.sha256", "desktop.ini"):
        (place / name).write_text("x\n")
    for at in (place, place / "*" / "*.csv"):
        assert quality("dataset", "add", f"d{len(at.parts)}", "--path", str(at))[0] == 0
        told = _lines(quality("check", f"d{len(at.parts)}", "--format", "json")[1])
        assert [line["batch"] for line in told] == ["day=2026-03-01/part.csv", "day=2026-03-02/part.csv"]


def test_a_batch_without_names_of_columns_says_so_where_its_past_has_others(quality, tmp_path: Path) -> None:
    rows = "".join(f"{n},{n * 7 % 5}.5,x{n}\n" for n in range(40))
    for day, head in enumerate(("id,price,name\n", "", "")):
        (tmp_path / f"day{day}.csv").write_text(head + rows.replace("x", f"{day}x"))
    quality("dataset", "add", "prices", "--path", str(tmp_path / "day*.csv"))
    told = _lines(quality("check", "prices", "--format", "json")[1])
    said = "Its first line is a row, and none has the names of columns: they are called column_1 to column_3"
    assert [[f["sentence"] for f in line["findings"] if f["rule"] == "no_names"] for line in told] == [
        [],
        [said],
        [said],
    ]
    # The list counts all of them, and has the score of each.
    assert '"batches": 3' in quality("dataset", "list", "--format", "json")[1]
    listed = quality("dataset", "list", "--format", "csv")[1].splitlines()
    assert [line.split(",")[:4] for line in listed] == [
        ["dataset", "owner", "batches", "batch"],
        ["prices", "", "3", json.loads(quality("dataset", "list", "--format", "json")[1])[0]["batch"]],
    ]
    for command in (("dataset", "show"), ("check",)):
        assert quality(*command, "prices", "--format", "csv")[0] == 2, "neither has rows"
    (tmp_path / "one.csv").write_text("".join(f"{n}\n" for n in range(40)))
    (alone,) = _lines(quality("check", str(tmp_path / "one.csv"), "--format", "json")[1])
    assert alone["findings"][-1]["sentence"].endswith("names of columns: it is called column_1")


def test_a_dataset_without_files_is_told_where_none_are(quality, tmp_path: Path) -> None:
    quality("dataset", "add", "none", "--path", str(tmp_path / "*.csv"))
    code, output = quality("check", "none")
    assert code == 0
    assert "no file is at" in " ".join(output.split())
    (tmp_path / "one.csv").write_text("a\n1\n")
    quality("check", "none")
    assert "no batch that was not judged yet" in " ".join(quality("check", "none")[1].split())


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000])
def test_a_column_of_times_may_count_seconds_or_parts_of_them(quality, tmp_path: Path, factor: int) -> None:
    for day in range(6):
        second = (1_772_323_200 + 86_400 * (day if day < 5 else 9)) * factor
        (tmp_path / f"t_{9 - day}.csv").write_text("at,x\n" + "".join(f"{second + n},{n}\n" for n in range(40)))
    quality("dataset", "add", "counted", "--path", str(tmp_path / "*.csv"), "--time", "at")
    told = _lines(quality("check", "counted", "--format", "json")[1])
    assert [line["batch"] for line in told] == [f"t_{9 - day}.csv" for day in range(6)]
    # Five days after the last, and one day was the most: 5 × 24 hours.
    (late,) = [f for f in told[-1]["findings"] if f["kind"] == "freshness"]
    assert late["count"] == 120


def test_a_wrong_date_of_another_century_does_not_make_a_batch_the_first(quality, tmp_path: Path) -> None:
    for day in range(1, 6):
        times = [f"2026-03-0{day}T{n // 4:02}:{15 * (n % 4):02}:00" for n in range(96)]
        if day == 5:
            times[40] = "1970-01-01T00:00:00"
        (tmp_path / f"t_{day}.csv").write_text("at,x\n" + "".join(f"{at},{n % 7}\n" for n, at in enumerate(times)))
    quality("dataset", "add", "dated", "--path", str(tmp_path / "*.csv"), "--time", "at")
    told = _lines(quality("check", "dated", "--format", "json")[1])
    assert [line["batch"] for line in told] == [f"t_{day}.csv" for day in range(1, 6)]
    kinds = {(f["kind"], *f["columns"], f["count"]) for f in told[-1]["findings"]}
    assert kinds >= {("outlier", "at", 1), ("range", "at", 1)}


def test_a_check_without_servers_tells_the_owner_at_its_end(quality, tmp_path: Path, mailbox: Mailbox) -> None:
    folder = tmp_path / "orders"
    write_days(folder, SOME_DAYS)
    quality("dataset", "add", "orders", "--path", f"{folder}/*.csv", "--owner", "ann@example.com")
    with operations_of(get_settings()).write() as connection:
        mail = {"kind": "smtp", "address": "house@example.com", "routes": []}
        add_channel(connection, {**mail, "options": {"host": "127.0.0.1", "port": mailbox.port}}, "ann")
    quality("check", "orders")
    assert mailbox.recipients == [["ann@example.com"]], "what was over meanwhile is told to nobody"
    assert "orders: type of price" in mailbox.messages[0]["Subject"]
    assert "Of: orders_13.csv" in str(mailbox.messages[0].get_payload(decode=True), "utf-8")
    quality("check", "orders")
    assert len(mailbox.messages) == 1


def test_what_was_said_of_a_table_stays_where_it_is_added_again_for_another_reason(quality) -> None:
    def shown() -> dict[str, Any]:
        told: dict[str, Any] = json.loads(quality("dataset", "show", "shop", "--format", "json")[1])
        return told

    said = ("--owner", "ann@example.com", "--cadence", "daily", "--key", "id", "--min-score", "0.9")
    assert quality("dataset", "add", "shop", "--path", "/old/*.csv", *said)[0] == 0
    code, output = quality("dataset", "add", "shop", "--path", "/new/*.csv")
    assert (code, "as before: owner ann@example.com, cadence daily, key id" in output) == (0, True)
    told = shown()
    assert (told["path"], told["owner"], told["cadence"], told["key"]) == (
        "/new/*.csv", "ann@example.com", "daily", ["id"],
    )  # fmt: skip
    assert told["thresholds"]["score"] == 0.9
    # It comes from one place: another kind of it takes the place of the first.
    assert quality("dataset", "add", "shop", "--query", "select 1", "--secret", "env:S", "--owner", "")[0] == 0
    told = shown()
    assert (told["path"], told["query"], told["owner"], told["cadence"]) == (None, "select 1", "", "daily")
