"""The pages of watched tables, as a reader sees them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plotly.io.json import to_json_plotly

from dash_app import router
from quality_assets.contracts.sources.datasets import DatasetSource, Thresholds
from quality_assets.read.links import Request
from quality_assets.read.reader import SnapshotStore
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import close_operations, operations_of
from quality_assets.tables.datasets.checking import check_dataset
from quality_assets.tables.datasets.registering import find, register
from quality_assets.tables.datasets.ruling import set_state
from quality_assets.tables.datasets.uploads import accept, arriving

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
from daily_orders import orders


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = Settings(data_dir=tmp_path / "data")
    made.data_dir.mkdir()
    yield made
    close_operations()


def _shown(settings: Settings, path: str) -> str:
    content, _ = router.render(SnapshotStore(settings.published_dir), Request(path), settings)
    return json.dumps(json.loads(to_json_plotly(content)), ensure_ascii=False)


def test_without_a_table_the_page_says_how_to_watch_one(settings: Settings) -> None:
    shown = _shown(settings, "/sources")
    assert "No table is watched yet" in shown
    assert "/api/v1/data-quality/upload" in shown


def test_a_file_that_is_wrong_is_told_on_the_pages_of_its_table(settings: Settings, tmp_path: Path) -> None:
    orders(0).to_csv(tmp_path / "day.csv", index=False)
    for name in ("orders", "visits"):
        register(operations_of(settings), DatasetSource(name=name, path=str(tmp_path / "day.csv")), "t")
    assert "until that is mended" not in _shown(settings, "/sources/orders")
    folder = settings.data_dir / "datasets"
    folder.mkdir()
    (folder / "orders.yaml").write_text("path: day.csv\ncadance: daily\n", encoding="utf-8")
    said = "A watched table is as its file said before, until that is mended: data/datasets/orders.yaml: cadance"
    assert said in _shown(settings, "/sources/orders")
    assert said in _shown(settings, "/sources")
    assert "until that is mended" not in _shown(settings, "/sources/visits")


def test_a_table_is_told_with_its_findings_and_its_columns(settings: Settings, tmp_path: Path) -> None:
    table = orders(0).astype(object)
    table.loc[:6, "price"] = "<b>n.v.</b>"
    table.to_csv(tmp_path / "day.csv", index=False)
    store = operations_of(settings)
    dataset = register(
        store, DatasetSource(name="orders & co".replace(" & ", "_"), path=str(tmp_path / "day.csv")), "t"
    )
    (result,) = check_dataset(store, settings, dataset)
    shown = _shown(settings, "/sources")
    assert f"{result.score:.4f}" in shown
    assert "1 watched table" in shown
    page = _shown(settings, "/sources/orders_co")
    assert "7 values of price cannot be read as a number" in page
    # What stands in a file is text.
    assert "<b>n.v.</b>" not in page
    assert "Learning, 0 of 3" in page
    assert "/api/v1/data-quality/sources/orders_co/rules/type%28price%29" in page
    set_state(store, "orders_co", "type(price)", "muted", "ann")
    assert (
        "There is no such page" in _shown(settings, "/sources/none")
        or "not found" in _shown(settings, "/sources/none").lower()
    )


def test_a_batch_that_fails_shows_what_is_worst_in_it_and_which_threshold_it_fails(
    settings: Settings, tmp_path: Path
) -> None:
    table = orders(0)
    table.assign(price=["?"] * 20 + table.price.tolist()[20:]).to_csv(tmp_path / "day.csv", index=False)
    (tmp_path / "days.csv").write_text("")
    store, rows = operations_of(settings), len(table)
    source = DatasetSource(name="orders", path=str(tmp_path / "day*.csv"), thresholds=Thresholds(rows_at_least=5_000))
    judged = check_dataset(store, settings, register(store, source, "t"))
    assert {each.batch: each.status for each in judged} == {"day.csv": "failed", "days.csv": "refused"}
    page = _shown(settings, "/sources/orders")
    assert f"20 of {rows} values of price are missing" in page
    assert f"It has {rows} rows; 5,000 are the least" in page
    assert "days.csv cannot be read: No rows: the file is empty." in page, "and not only far below"


def test_a_first_batch_that_waits_or_cannot_be_read_is_not_no_batch(settings: Settings, tmp_path: Path) -> None:
    store = operations_of(settings)
    with arriving(settings) as (taken, path):
        taken.write(b"%PDF-1.7 and so on")
        taken.close()
        accept(store, settings, "scans", "scan.csv", taken, path, "ann")
    waiting = _shown(settings, "/sources/scans")
    assert "scan.csv waits to be judged" in waiting
    assert "`quality check scans` does" in waiting
    list(check_dataset(store, settings, find(store, settings, "scans")))
    refused = _shown(settings, "/sources/scans")
    assert "scan.csv cannot be read" in refused
    assert "The file is a PDF document" in refused
    assert "No batch yet" not in waiting + refused


def test_a_table_with_a_past_shows_its_scores_its_columns_and_what_thresholds_do(
    settings: Settings, tmp_path: Path
) -> None:
    store = operations_of(settings)
    for day in range(5):
        table = orders(day)
        if day == 4:
            table = table.rename(columns={"sku": "article"})
        table.to_csv(tmp_path / f"day_{day}.csv", index=False)
    dataset = register(store, DatasetSource(name="orders", path=str(tmp_path / "day_*.csv")), "t")
    results = list(check_dataset(store, settings, dataset))
    page = _shown(settings, "/sources/orders")
    assert f"Scores of 5 batches, the last {results[-1].score:.4f}" in page
    assert "What each dimension took away from the score" in page
    assert "They fail 1 of the last 5 batches. The last: day_4.csv." in page
    assert "/api/v1/data-quality/sources/orders/what-if" in page
    assert "Column sku is gone, and article holds what it held: renamed, it seems" in page
    assert "The first: 10 columns." in page


def test_the_ends_of_a_key_are_told_to_the_last_digit(settings: Settings, tmp_path: Path) -> None:
    rows = "".join(f"{109_920_000 + n},{n / 8},{n % 3}\n" for n in range(40))
    (tmp_path / "day.csv").write_text(f"order_id,share,kind\n{rows}", encoding="utf-8")
    store = operations_of(settings)
    dataset = register(store, DatasetSource(name="keys", path=str(tmp_path / "day.csv")), "t")
    (result,) = check_dataset(store, settings, dataset)
    assert result.rows == 40
    page = _shown(settings, "/sources/keys")
    assert "109920000 to 109920039" in page
    assert "0 to 4.875" in page
