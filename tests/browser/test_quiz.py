"""The quiz in a browser, whose collector is killed twice: what was done is on the page of today, and in facts, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import serving
from playwright.sync_api import Browser, Page, expect
from running_collector import Collector, free_port, land_now

from quality_assets.contracts.sources.events import load_sources
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.events import build_events, build_facts, build_user_feature_days
from quality_assets.tables.ingest import ingest

DONE = {
    "quiz_started": 1, "option_selected": 1, "slider_adjusted": 1, "quiz_completed": 1, "result_viewed": 1,
    "result_shared": 1,
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with nothing in it."""
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that may meet a server that is gone; a fault of its scripts fails the test."""
    faults: list[str] = []
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    made = context.new_page()
    made.on("pageerror", lambda error: faults.append(str(error)))
    yield made
    context.close()
    assert not faults, "\n".join(faults)


def _answer_all(page: Page) -> None:
    page.get_by_label("sport").check()
    while page.get_by_role("button", name="Next").count():
        page.get_by_role("button", name="Next").click()
        _slide(page)
    _slide(page)


def _slide(page: Page) -> None:
    budget = page.get_by_label("The most you would spend")
    if budget.count():
        budget.press("ArrowRight")
        budget.blur()


def _landed(root: Path) -> list[dict[str, Any]]:
    return [
        row for path in (root / "landing" / "collector").glob("*.parquet") for row in pq.read_table(path).to_pylist()
    ]


def _is_the_next_day(root: Path) -> None:
    """What landed is of the day before today: a day is built when it is over."""
    for path in (root / "landing" / "collector").glob("*.parquet"):
        table = pq.read_table(path)
        for name in ("event_time", "received_at"):
            at = table.column_names.index(name)
            table = table.set_column(at, name, pc.subtract(table.column(name), pa.scalar(timedelta(days=1))))
        pq.write_table(table, path)


def _facts(root: Path) -> list[Any]:
    """The facts of the quiz once all days that are over are built."""
    settings = Settings(data_dir=root, file_stable_s=0, threads=2, _env_file=None)  # type: ignore[call-arg]
    with open_warehouse(settings) as session:
        ingest(session, load_sources(settings.source_files_dir), lambda _: None)
        for build in (build_events, build_user_feature_days, build_facts):
            build(session, date(2000, 1, 1), date(2100, 1, 1), lambda _: None)
        return session.connection.execute(
            "select event_date, events from product.fact_feature_metrics where feature = 'Quiz'"
        ).fetchall()


def test_a_quiz_over_two_kills_counts_once(page: Page, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    collector = Collector(root, port)
    page.goto(f"http://127.0.0.1:{port}/app/")
    with page.expect_request("**/v1/batch"):
        page.get_by_role("button", name="Start").click()
    collector.kill()
    _answer_all(page)
    collector = Collector(root, port)
    collector.kill()
    page.get_by_role("button", name="Show what suits me").click()
    collector = Collector(root, port)
    page.get_by_role("button", name="Share the result").click()
    monkeypatch.setenv("QUALITY_COLLECTOR_PORT", str(port))
    with serving(root) as dashboard:
        page.goto(f"{dashboard}/live")
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name="Quiz"))
        expect(row.get_by_role("cell").nth(2)).to_have_text(str(sum(DONE.values())))
        _a_row_changes_beneath_the_keyboard(page, collector)
    assert collector.stop() == 143
    assert land_now(root)
    landed = _landed(root)
    assert len({each["event_id"] for each in landed}) == len(landed)
    assert Counter(each["event_name"] for each in landed if each["event_id"] != "one more") == DONE
    _is_the_next_day(root)
    assert [n for _, n in _facts(root)] == [sum(DONE.values()) + 1]


def _a_row_changes_beneath_the_keyboard(page: Page, collector: Collector) -> None:
    """The page follows by changing what has changed: who stands on a link still does."""
    page.get_by_role("link", name="Quiz").focus()
    collector.client.post("/ingest", json={"event_id": "one more", "feature": "Quiz", "user_id": "other"})
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="Quiz"))
    expect(row.get_by_role("cell").nth(2)).to_have_text(str(sum(DONE.values()) + 1))
    assert page.evaluate("document.activeElement.textContent") == "Quiz"
