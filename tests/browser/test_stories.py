"""One user story a page, followed as a person would."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import duckdb
import httpx
import pytest
from conftest import ROOT, Visit, serving
from playwright.sync_api import Page, Route, expect
from snapshot_builder import AWKWARD, PUBLISHED_AT, Plan, build, refuse

from quality_assets.read import links
from quality_assets.simulate import SimulationPlan, simulate
from quality_assets.stores.landing import place
from quality_assets.version import VERSION

Start = Callable[..., Visit]


def rows(page: Page) -> int:
    return page.locator(".data-table tbody tr:not(.none)").count()


def settled(page: Page, count: int) -> None:
    page.wait_for_function("n => document.querySelectorAll('.data-table tbody tr:not(.none)').length === n", arg=count)


def test_the_morning_what_degrades_and_who_is_hit(visit: Start, full: str) -> None:
    page = visit(full).open("/")
    first, second = page.locator(".attention").first, page.locator(".attention").nth(1)
    expect(first).to_contain_text("Live comments")
    expect(first).to_contain_text("4.2k users hit on the last day")
    expect(second).to_contain_text("One-tap pay")
    expect(second).to_contain_text("8.8k users hit on the last day")
    expect(second).to_contain_text("Payments · N. Kowalski")
    settled(page, 5)
    page.get_by_role("button", name="Critical 1").click()
    settled(page, 1)
    assert "status=critical" in page.url
    page.reload()
    settled(page, 1)
    page.get_by_role("searchbox", name="Filter features").fill("nothing like it")
    expect(page.get_by_text("No feature matches.")).to_be_visible()
    page.get_by_role("button", name="Clear the filters").click()
    settled(page, 5)
    page.get_by_role("button", name="Users / day").click()
    shown = page.locator(".data-table td:nth-child(6) b").all_inner_texts()
    assert shown == sorted(shown, key=lambda text: -float(text.removesuffix("k")))
    assert "sort=users.desc" in page.url


def test_a_window_keeps_the_filters_and_back_works(visit: Start, full: str) -> None:
    page = visit(full).open("/?team=Payments")
    settled(page, 1)
    page.get_by_role("link", name="90 days", exact=True).click()
    page.wait_for_url("**/*window=90d*")
    expect(page.get_by_role("link", name="90 days", exact=True)).to_have_attribute("aria-current", "true")
    settled(page, 1)
    page.locator(".data-table a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("One-tap pay")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    assert "team=Payments" in page.url


def test_why_a_feature_is_at_risk_and_where(visit: Start, full: str) -> None:
    page = visit(full).open(links.feature("Live comments"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Live comments")
    page.wait_for_selector(".chart.drawn .main-svg")
    risk = page.get_by_role("region", name="Risk of degradation")
    expect(risk).to_contain_text("What drives it")
    expect(risk).to_contain_text("days whose outcome is known")
    trust = page.get_by_role("region", name="Trust", exact=True)
    expect(trust).to_contain_text("core.valid_events")
    assert trust.get_by_role("link", name="core.valid_events").get_attribute("href") == (
        "http://127.0.0.1:3000/assets/core/valid_events"
    )
    slices = page.locator("#slices")
    expect(slices.get_by_role("row", name="Android")).to_contain_text("incident")
    slices.get_by_role("link", name="Android").click()
    page.wait_for_url("**/*platform=Android*")
    expect(page.get_by_text("Only")).to_be_visible()
    expect(page.locator("#slices").get_by_role("region", name="Platform, table")).to_have_count(0)
    page.get_by_title("Take this filter out").click()
    expect(page.locator("#slices").get_by_role("region", name="Platform, table")).to_be_visible()


def test_any_feature_is_found_from_the_keyboard(visit: Start, full: str) -> None:
    page = visit(full).open("/data-quality")
    answers: list[Route] = []
    page.route("**/api/v1/search", lambda route: answers.append(route))
    page.wait_for_selector("#search-results", state="attached")
    with page.expect_request("**/api/v1/search"):
        page.keyboard.press("/")
        expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("print")
    page.wait_for_function("document.getElementById('search').value === 'print'")
    # Whatever comes last must not bring back what was found for less of the word.
    for answer in reversed(answers):
        answer.continue_()
    expect(page.get_by_role("option")).to_have_count(1)
    expect(page.get_by_role("option", name=AWKWARD)).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(AWKWARD)
    expect(page).to_have_title(f"{AWKWARD} · Feature Quality")
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()) === location.href")


# Blanks side by side, a tab, a line's end, what controls a terminal, a blank at the end; and marks with a meaning.
STRANGE = (
    "Two  blanks,\ta tab\nand two lines",
    "Bell\x07 and \x1b[31mred",
    "Ends in ",
    "50%25 <b>?#&/.. \u202eleft",
)


def test_a_name_is_shown_and_linked_whatever_it_holds(visit: Start, tmp_path: Path) -> None:
    build(tmp_path, Plan(names=STRANGE, has_incidents=False, has_model=False, has_checks=False))
    with serving(tmp_path) as base:
        made = visit(base)
        page = made.open("/")
        for name in STRANGE:
            settled(page, len(STRANGE))
            page.locator(f".data-table a[href='{links.feature(name)}']").click()
            heading = page.get_by_role("heading", level=1).locator(".title")
            expect(heading).to_have_js_property("firstChild.data", name)
            # A page that never comes to rest answers nothing.
            page.wait_for_function("!document.title.startsWith('Overview')")
            page.get_by_role("button", name="Light or dark").click()
            assert page.locator("#main > .page").get_attribute("data-title") == name
            page.go_back()
        page.close()


def test_which_checks_fail_what_they_block_and_what_was_refused(visit: Start, full: str) -> None:
    page = visit(full).open("/data-quality")
    look = page.get_by_role("region", name="Needs a look", exact=True)
    expect(look.get_by_role("row").nth(1)).to_contain_text("412 rows have a status that the contract does not know")
    expect(look.get_by_role("row").nth(1)).to_contain_text("publication and 13 assets")
    page.get_by_role("link", name="Missing feature").click()
    page.wait_for_url("**/*reason=missing_feature*")
    refused = page.get_by_role("region", name="What was refused", exact=True)
    expect(refused.get_by_role("row").nth(1)).to_contain_text("Missing feature")
    with page.expect_download() as download:
        refused.get_by_role("link", name="CSV").click()
    found = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert len(found) > 100
    assert all("missing_feature" in json.loads(row["reasons"]) for row in found)


def test_what_moved_and_whether_the_model_cares(visit: Start, full: str) -> None:
    page = visit(full).open("/drift")
    expect(page.locator(".attention").first).to_contain_text("The model cares")
    page.get_by_role("link", name="Performance", exact=True).click()
    page.wait_for_url("**/*show=performance*")
    watched = page.get_by_role("region", name="Everything that is watched", exact=True)
    expect(watched.get_by_role("row")).to_have_count(2)
    expect(watched.get_by_role("row").nth(1)).to_contain_text("Unknown")


def test_how_good_the_model_is_and_which_was_live(visit: Start, full: str) -> None:
    page = visit(full).open("/model")
    table = page.get_by_role("region", name="Degraded on any of the next 7 days, table")
    expect(table.get_by_role("row").nth(1)).to_contain_text("Champion")
    expect(table).to_contain_text("Persistence")
    page.get_by_role("link", name="Version 11").click()
    page.wait_for_url("**/*version=11*")
    expect(page.get_by_text("First model to beat every baseline.").first).to_be_visible()


def test_what_is_upstream_of_a_failure(visit: Start, full: str) -> None:
    page = visit(full).open("/pipeline")
    page.wait_for_selector(".lineage path.bad", state="attached")
    page.locator(".node.failing", has_text="valid_events").click()
    page.wait_for_url("**/*asset=core.valid_events*")
    asset = page.get_by_role("region", name="Asset core.valid_events")
    expect(asset).to_contain_text("raw.raw_logs")
    assert asset.get_by_role("link", name="Open run").get_attribute("href").startswith("http://127.0.0.1:3000/runs/")
    expect(page.get_by_role("region", name="Run report", exact=True)).to_contain_text("All of 19 Nov came in")


def test_five_hundred_features_stay_legible(visit: Start, many: str) -> None:
    page = visit(many).open("/?window=90d")
    settled(page, 500)
    expect(page.get_by_text("No model has scored yet")).to_be_visible()
    page.get_by_role("searchbox", name="Filter features").fill("feature 499")
    settled(page, 1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_new_snapshot_is_followed_in_place_and_a_refused_one_is_told(visit: Start, tmp_path: Path) -> None:
    with serving(tmp_path) as base:
        page = visit(base).open("/?q=feature")
        expect(page.get_by_role("heading", name="No data published yet")).to_be_visible()
        build(tmp_path)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        build(tmp_path, Plan(features=30, version="20261121T060400", published_at=PUBLISHED_AT + timedelta(days=1)))
        settled(page, 25)
        expect(page.locator("#sidebar")).to_contain_text("20261121T060400")
        page.evaluate("scrollTo(0, 400)")
        refuse(tmp_path, "412 rows break the contract")
        expect(page.get_by_role("alert")).to_contain_text("412 rows break the contract")
        assert page.evaluate("scrollY") > 300
        assert "q=feature" in page.url
        assert rows(page) == 25
        page.close()


def quality(root: Path, *arguments: str) -> int:
    """Run the command line on a data root; its exit code."""
    command = [sys.executable, "-m", "quality_assets.cli", *arguments]
    environment = os.environ | {"QUALITY_DATA_DIR": str(root), "QUALITY_FILE_STABLE_S": "0"}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=False, timeout=1800).returncode


def test_what_the_graph_publishes_is_followed_and_what_it_refuses_is_told(visit: Start, tmp_path: Path) -> None:
    root = tmp_path / "data"
    plan = SimulationPlan(days=4, features=16, events_per_day=400, seed=5, start_date=date(2026, 6, 9))
    *first, last = sorted((simulate(plan, tmp_path / "sample").out / "logs").iterdir())
    place(first, root / "landing")
    assert quality(root, "run", "--without-models") == 0
    with serving(root) as base:
        page = visit(base, height=500).open("/?sort=users.desc&window=7d")
        settled(page, 16)
        sidebar = page.locator("#sidebar")
        before = sidebar.locator("code").inner_text()
        page.evaluate("scrollTo(0, 300)")
        place([last], root / "landing")
        assert quality(root, "run", "--without-models") == 0
        expect(sidebar.locator("code")).not_to_have_text(before)
        expect(sidebar).to_contain_text("12 Jun 2026")
        assert page.evaluate("scrollY") == 300
        assert page.url.endswith("/?sort=users.desc&window=7d")
        assert rows(page) == 16

        with duckdb.connect(str(root / "warehouse.duckdb")) as warehouse:
            warehouse.execute(
                "delete from ops.partition_state where table_name = 'product.fact_feature_metrics'"
                " and event_date = '2026-06-12'"
            )
        assert quality(root, "publish") == 1
        banner = page.get_by_role("alert")
        expect(banner).to_contain_text("The last publication was refused; none has succeeded since")
        expect(banner).to_contain_text("product.fact_feature_metrics is not built for 2026-06-12")
        assert quality(root, "run", "--without-models") == 0
        expect(banner).to_have_count(0)
        assert page.evaluate("scrollY") == 300
        # It asks for news every few seconds, and the server ends here.
        page.close()


def test_what_the_api_can_be_asked_and_answers(visit: Start, full: str) -> None:
    page = visit(full).page
    paths = httpx.get(f"{full}/api/openapi.json").json()["paths"]
    described = [path for path, methods in paths.items() for _ in methods]
    page.goto(f"{full}/api/docs")
    expect(page.locator(".opblock-summary-path")).to_have_count(len(described))
    # Swagger UI puts places where a line may break into the paths.
    shown = page.locator(".opblock-summary-path").evaluate_all("found => found.map(one => one.dataset.path)")
    assert sorted(shown) == sorted(described)
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert background in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)")
    page.emulate_media(color_scheme="dark")
    page.reload()
    expect(page.locator(".opblock-summary-path")).to_have_count(len(described))
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(28, 32, 34)"
    page.get_by_text("Names of all features").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table")).to_contain_text("One-tap pay")
    page.get_by_role("link", name="Feature Quality").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.get_by_role("contentinfo")).to_contain_text(VERSION)


@pytest.mark.parametrize("path", ["/nope", "/feature/Serch"])
def test_a_dead_end_shows_the_way(visit: Start, full: str, path: str) -> None:
    page = visit(full).open(path)
    page.locator("#main a.button").last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_on_a_phone(visit: Start, full: str) -> None:
    page = visit(full, width=390, height=844, scheme="dark").open(links.feature("One-tap pay"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Navigation").click()
    page.locator("#sidebar").get_by_role("link", name="Drift").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Drift")
    expect(page.locator("#sidebar")).to_be_hidden()


def test_the_scheme_is_chosen_and_kept(visit: Start, full: str) -> None:
    page = visit(full).open(links.feature("Search"))
    page.wait_for_selector(".chart.drawn .main-svg")
    line = page.locator(".chart.drawn .js-line").last
    before = line.get_attribute("style")
    page.get_by_role("button", name="Light or dark").click()
    page.wait_for_function(
        "before => [...document.querySelectorAll('.chart.drawn .js-line')].at(-1).getAttribute('style') !== before",
        arg=before,
    )
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_channel_and_a_silence_are_added_as_little_as_is_said_of_them(visit: Start, full: str) -> None:
    page = visit(full).open("/settings")
    silences = page.get_by_role("region", name="Silences", exact=True)
    silences.get_by_text("Add a silence", exact=True).click()
    silences.get_by_label("Why").fill("Moving house")
    silences.get_by_role("button", name="Silence", exact=True).click()
    row = silences.get_by_role("row").nth(1)
    expect(row).to_contain_text("everything")
    expect(row).to_contain_text("any kind")
    expect(row).to_contain_text("any severity")
    row.get_by_role("button", name="End it").click()
    expect(silences.get_by_role("row")).to_have_count(0)
    channels = page.get_by_role("region", name="Channels", exact=True)
    channels.get_by_text("Add a channel", exact=True).click()
    channels.get_by_label("Name").fill("Hook")
    channels.get_by_label("Address", exact=True).fill("https://example.com/hook")
    channels.get_by_role("button", name="Add", exact=True).click()
    expect(channels.get_by_role("row").nth(1)).to_contain_text("https://example.com/hook")
    channels.get_by_role("button", name="Remove").click()
    expect(channels.get_by_text("No channel yet")).to_be_visible()


def test_what_became_of_each_upload_stays_said(visit: Start, full: str) -> None:
    visited = visit(full)
    page = visited.open("/sources")
    good, empty = {"name": "good.csv", "buffer": b"a,b\n1,2\n"}, {"name": "empty.csv", "buffer": b""}
    page.locator("[data-drop] input").set_input_files([{**each, "mimeType": "text/csv"} for each in (good, empty)])
    # The page is drawn anew with the table that came.
    expect(page.get_by_role("link", name="good", exact=True)).to_be_visible()
    said = page.locator("[data-drop] .form-said")
    expect(said).to_contain_text("good.csv has arrived as a batch of good")
    expect(said).to_contain_text("empty.csv: no rows: the file is empty")
    assert all("422" in fault for fault in visited.faults), "that one is refused is what is asked for"
    visited.faults.clear()
