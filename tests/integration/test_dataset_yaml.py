"""A watched table whose YAML file is edited, to nonsense and back, or taken away; and what lies where it points."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from services import alert_rows
from sqlalchemy import update
from typer.testing import CliRunner

from quality_assets.cli.doctor import examine
from quality_assets.cli.main import app
from quality_assets.clock import utc_now
from quality_assets.contracts.sources.datasets import DatasetSource
from quality_assets.settings import Settings, get_settings
from quality_assets.stores.operations.dataset_tables import DATASET, DATASET_BATCH
from quality_assets.stores.operations.store import Operations, operations_of
from quality_assets.tables import house
from quality_assets.tables.datasets import batches
from quality_assets.tables.datasets.arrivals_of import TRIED_AGAIN_AFTER, changed_listings
from quality_assets.tables.datasets.batches import files_of
from quality_assets.tables.datasets.checking import check_dataset
from quality_assets.tables.datasets.registering import Registered, datasets, find, hide, register
from quality_assets.tables.datasets.ruling import change
from quality_assets.tables.datasets.uploads import accept, arriving


class House:
    """A data root with a folder of daily files, and the YAML file that watches it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.files, self.yaml = settings.data_dir / "tables", settings.data_dir / "datasets" / "orders.yaml"
        self.files.mkdir(parents=True)
        self.yaml.parent.mkdir()
        self.store: Operations = operations_of(settings)

    def say(self, text: str) -> Registered:
        self.yaml.write_text(text, encoding="utf-8")
        return self.orders

    @property
    def orders(self) -> Registered:
        return datasets(self.store, self.settings, with_hidden=True)["orders"]

    def put(self, name: str, value: int) -> Path:
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"id,price\n1,{value}\n2,{value + 1}\n")
        return path

    def judged(self) -> list[tuple[str, str]]:
        return [(result.batch, result.status) for result in check_dataset(self.store, self.settings, self.orders)]


@pytest.fixture
def root(data_root: Settings) -> House:
    return House(data_root)


def test_what_a_file_says_no_more_is_as_if_nobody_had_said_it(root: House) -> None:
    said = root.say("path: tables\ncadence: daily\nowner: ann\nthresholds: {score: 0.5, alerts: 3}\n").source
    assert (said.cadence, said.owner, said.thresholds.score, said.thresholds.alerts) == ("daily", "ann", 0.5, 3)
    there = root.say("path: tables\nowner: bob\nthresholds: {score: 0.6}\n")
    assert (there.source.cadence, there.source.owner) == (None, "bob")
    assert (there.source.thresholds.score, there.source.thresholds.alerts) == (0.6, 0)
    # What it does not say is anybody's to say, and stays through further edits of it.
    change(root.store, there, {"cadence": "6h"}, None, "ann")
    assert root.say("path: tables\nowner: cid\n").source.cadence == "6h"


def test_a_file_may_come_to_read_a_table_from_elsewhere(root: House) -> None:
    root.say("path: tables\nowner: ann\n")
    said = root.say("query: select 1 as a\nsecret: env:SHOP\n").source
    assert (said.path, said.query, said.secret, said.kind) == (None, "select 1 as a", "env:SHOP", "sql")
    assert root.say("table: product.incidents\n").source.kind == "snapshot"


def test_a_file_that_is_gone_says_nothing_and_one_that_is_wrong_changes_nothing(root: House) -> None:
    root.say("path: tables\nowner: ann\n")
    root.yaml.unlink()
    assert (root.orders.source.owner, root.orders.yaml_keys) == ("ann", ())
    change(root.store, root.orders, {"owner": "bob"}, None, "cid")
    assert root.say("path: tables\nowner: dan\n").yaml_keys == ("path", "owner")
    wrong = root.say("path: tables\nowner: [\n")
    assert (wrong.source.owner, set(wrong.yaml_keys)) == ("dan", {"path", "owner"})


def test_one_out_of_sight_stays_so_until_its_file_changes_or_somebody_adds_it(root: House) -> None:
    root.say("path: tables\n")
    runner = CliRunner()
    assert runner.invoke(app, ["dataset", "remove", "orders"]).exit_code == 0
    assert root.orders.is_hidden
    added = runner.invoke(app, ["dataset", "add", "orders", "--path", "elsewhere"])
    assert (added.exit_code, root.orders.is_hidden, root.orders.source.path) == (0, False, "tables")
    assert "is watched again, as its file in" in added.output
    hide(root.store, "orders", "ann")
    root.yaml.unlink()
    assert root.orders.is_hidden
    assert not root.say("path: tables\nowner: ann\n").is_hidden


def test_a_wrong_file_is_told_of_wherever_somebody_may_look(root: House) -> None:
    root.say("path: tables\n")
    root.say("path: tables\nthresholds: {score: high}\n")
    what = "a watched table is as its file said before, until that is mended: data/datasets/orders.yaml:"
    for command in (["dataset", "list"], ["dataset", "show", "orders"], ["check", "orders"], ["status"], ["run"]):
        assert what in " ".join(CliRunner().invoke(app, command).output.split()), command
    (told,) = (each for each in examine(root.settings) if each.subject == "Definitions")
    assert (told.is_ok, what in told.detail, "thresholds.score" in told.detail) == (False, True, True)
    (part,) = (each for each in house.watch(root.settings) if each.name == "Configuration")
    assert (part.status, what[1:] in part.sentence) == (house.FAILING, True)
    (alert,) = alert_rows(root.settings, subject="Configuration")
    assert (alert["status"], alert["action"]) == ("open", "Mend the file that is named; this ends by itself.")
    root.say("path: tables\nthresholds: {alerts: few}\n")
    house.watch(root.settings)
    house.watch(root.settings)
    (alert,) = alert_rows(root.settings, subject="Configuration")
    assert ("thresholds.alerts" in alert["message"], "thresholds.score" in alert["message"]) == (True, False)
    assert alert["occurrences"] == 2
    root.say("path: tables\nthresholds: {score: 0.5}\n")
    house.watch(root.settings)
    (alert,) = alert_rows(root.settings, subject="Configuration")
    assert alert["status"] == "resolved"


def test_every_kind_of_file_that_is_wrong_is_told_of(root: House) -> None:
    folder = root.settings.data_dir
    for name in ("sources/web", "funnels/quiz", "segments/regulars", "experiments/layout", "destinations/crm"):
        path = folder / f"{name}.yaml"
        path.parent.mkdir()
        path.write_text("name: [\n")
    (folder / "feature_metadata.csv").write_text("feature,owner\nSearch,ann,bob\n")
    (part,) = (each for each in house.parts(root.settings) if each.name == "Configuration")
    for name in ("web.yaml", "quiz.yaml", "regulars.yaml", "layout.yaml", "crm.yaml", "feature_metadata.csv"):
        assert name in part.sentence


def test_files_lie_below_the_data_root_unless_it_is_said_otherwise(root: House, tmp_path: Path) -> None:
    inside, outside = root.put("a.csv", 1), tmp_path / "b.csv"
    outside.write_text("id\n1\n")
    for path, found in (("tables", inside), ("tables/*.csv", inside), (str(inside), inside), (str(outside), outside)):
        assert files_of(root.settings, path) == [found]


def test_a_copied_root_has_its_own_uploads(root: House, tmp_path: Path) -> None:
    with arriving(root.settings) as (taken, path):
        taken.write(b"id\n1\n")
        taken.close()
        accept(root.store, root.settings, "sent", "a.csv", taken, path, "ann")
    assert find(root.store, root.settings, "sent").source.path == "inbox/sent"
    # As it was kept before.
    with root.store.write() as connection:
        there = {"location": "/srv/old/inbox/sent"}
        connection.execute(update(DATASET).where(DATASET.c.dataset_id == "sent").values(there))
    assert find(root.store, root.settings, "sent").source.path == "inbox/sent"


def test_links_in_circles_and_signs_of_patterns_in_names(root: House) -> None:
    first, second = root.put("[2026] a/x.csv", 1), root.put("[2026] a/deep/y.csv", 2)
    for name in ("around", "again", "and again"):
        (first.parent / name).symlink_to(root.files)
    (first.parent / ".hidden").mkdir()
    (first.parent / ".hidden" / "z.csv").write_text("id\n1\n")
    for path in ("tables/[2026] a", "tables", "tables/**", "tables/**/*.csv", "**/*.csv"):
        found = {each.resolve() for each in files_of(root.settings, path)}
        assert found == {first, second}, path
        assert len(files_of(root.settings, path)) == 2, path
    assert {each.resolve() for each in files_of(root.settings, "tables/**/deep/*.csv")} == {second}
    assert files_of(root.settings, "tables/**/*.json") == []


def test_a_file_that_may_not_be_opened_holds_back_no_other(root: House, monkeypatch: pytest.MonkeyPatch) -> None:
    root.say("path: tables\n")
    closed = root.put("a.csv", 1)
    root.put("b.csv", 2)
    hashed = batches.sha256_of

    def closed_to_us(path: Path) -> str:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return hashed(path)

    with monkeypatch.context() as patched:
        patched.setattr(batches, "sha256_of", closed_to_us)
        assert root.judged() == [("b.csv", "passed"), ("a.csv", "refused")]
        root.put("c.csv", 3)
        assert root.judged() == [("c.csv", "passed"), ("a.csv", "refused")]
    (alert,) = alert_rows(root.settings, kind="dataset")
    assert (alert["title"], alert["status"]) == ("orders: 1 file cannot be opened", "open")
    assert alert["message"] == "a.csv: it waits: it cannot be read just now: Permission denied"
    assert root.judged() == [("a.csv", "passed")]
    (alert,) = alert_rows(root.settings, kind="dataset")
    assert (alert["status"], alert["resolution"]) == ("resolved", "auto")


def test_a_file_is_looked_at_again_once_it_may_be_read(root: House, monkeypatch: pytest.MonkeyPatch) -> None:
    root.say("path: tables\n")
    root.put("a.csv", 1)
    may = {"read": False}
    monkeypatch.setattr("os.access", lambda *_: may["read"])
    changed, cursor = changed_listings(root.store, root.settings, None)
    assert sorted(changed) == ["orders"]
    assert changed_listings(root.store, root.settings, cursor)[0] == {}
    may["read"] = True
    assert sorted(changed_listings(root.store, root.settings, cursor)[0]) == ["orders"]


def test_a_file_with_a_time_of_a_clock_that_was_ahead_is_looked_at(
    root: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUALITY_FILE_STABLE_S", "2")
    get_settings.cache_clear()
    root.say("path: tables\n")
    path = root.put("a.csv", 1)
    year = 365 * 86_400
    os.utime(path, (path.stat().st_mtime + year, path.stat().st_mtime + year))
    written = path.stat().st_ctime
    found = []
    # While it may be written, afterwards, and after the machine's clock was set back by a year.
    for now in (written + 1, written + 3, written - year):
        monkeypatch.setattr("time.time", lambda now=now: now)
        found.append(sorted(changed_listings(root.store, get_settings(), None)[0]))
    assert found == [[], ["orders"], ["orders"]]


def test_a_batch_that_could_not_be_judged_is_tried_again(root: House, monkeypatch: pytest.MonkeyPatch) -> None:
    register(root.store, DatasetSource(name="orders", path="tables"), "ann")
    path = root.put("a.csv", 1)
    assert root.judged() == [("a.csv", "passed")]
    _, cursor = changed_listings(root.store, root.settings, None)
    begun = {"status": "checking", "started_at": utc_now() - TRIED_AGAIN_AFTER - timedelta(seconds=1)}
    with root.store.write() as connection:
        connection.execute(update(DATASET_BATCH).values(begun))
    moment = 1_000_000 * TRIED_AGAIN_AFTER.total_seconds()
    found = []
    for seconds in (1, 200, 299, 300, 599):
        monkeypatch.setattr("time.time", lambda seconds=seconds: moment + seconds)
        changed, cursor = changed_listings(root.store, root.settings, cursor)
        found.append(sorted(changed))
    assert found == [["orders"], [], [], ["orders"], []]
    # What was begun just now is under way.
    with root.store.write() as connection:
        connection.execute(update(DATASET_BATCH).values(started_at=utc_now()))
    assert sorted(changed_listings(root.store, root.settings, cursor)[0]) == ["orders"], "it is as it was at first"
    path.unlink()
    _, cursor = changed_listings(root.store, root.settings, None)
    assert changed_listings(root.store, root.settings, cursor)[0] == {}
