"""Every page in every state that a snapshot can put it in, without a browser; the API and the delivery around it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from plotly.io.json import to_json_plotly
from snapshot_builder import AWKWARD, PUBLISHED_AT, Plan, build, refuse

from dash_app import formats, router
from dash_app.app import create_server
from dash_app.components import charts, lineage, shell
from dash_app.pages import alerts, data_quality, feature, feature_risk, feature_slices, pipeline
from dash_app.pages.feature_retention import retention_chart
from dash_app.pages.feature_slices import pairs, slices
from quality_assets.contracts.monitoring import ALERTS, CHECK_RESULTS
from quality_assets.contracts.ops import ASSET_RUNS, PUBLICATIONS
from quality_assets.domain.features.comparison import SliceComparison
from quality_assets.domain.features.status import Status
from quality_assets.read import links
from quality_assets.read import rows as exports
from quality_assets.read.links import Request
from quality_assets.read.overview import features
from quality_assets.read.reader import Cache, Reader, SnapshotStore
from quality_assets.read.slices import sliced
from quality_assets.serve.api import docs as api_docs
from quality_assets.serve.delivery import Delivery
from quality_assets.settings import Settings
from quality_assets.stores.failures import record_failure, record_success
from quality_assets.stores.snapshots import Snapshot
from quality_assets.version import RELEASED, VERSION

PATHS = ["/", "/data-quality", "/drift", "/model", "/pipeline", links.feature("Live comments"), links.feature(AWKWARD)]


def text_of(root: Path, path: str, search: str = "") -> str:
    """What a page says, as the JSON that the browser gets."""
    page, sidebar = router.render(SnapshotStore(root / "published"), Request.parse(path, search))
    return json.dumps(json.loads(to_json_plotly([page, sidebar], engine="orjson")), ensure_ascii=False)


class Client:
    """Asks an app without a network in between."""

    def __init__(self, server: FastAPI) -> None:
        self._server = server

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._server)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **options)

        # In a thread of its own: the browser tests leave a loop running in this one.
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(lambda: asyncio.run(ask())).result()


@pytest.fixture(scope="module")
def client(full_root: Path) -> Client:
    return Client(create_server(Settings(data_dir=full_root)))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("window", ["7d", "28d", "90d", "nonsense"])
def test_every_page_builds(full_root: Path, path: str, window: str) -> None:
    said = text_of(full_root, path, f"?window={window}")
    assert "This page could not be made" not in said
    assert "NaN" not in said


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/", "No model has scored yet"),
        ("/data-quality", "No check has run yet"),
        ("/drift", "Drift was not measured yet"),
        ("/model", "No model yet"),
        ("/pipeline", "Lineage"),
        (links.feature("Search"), "No model yet"),
    ],
)
def test_what_is_not_there_yet_is_said(bare_root: Path, path: str, says: str) -> None:
    said = text_of(bare_root, path)
    assert says in said
    assert "This page could not be made" not in said


class LookedUp(dict[str, frozenset[str]]):
    """The columns of a snapshot's tables; notes which tables are looked up."""

    def __init__(self, columns: Mapping[str, frozenset[str]]) -> None:
        super().__init__(columns)
        self.names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def _parts(reader: Reader) -> list[Callable[[], object]]:
    """All that is made of a snapshot: pages, parts of pages that come later, and tables of the API."""

    def built(path: str) -> object:
        request = Request(path, {"platform": "iOS"} if path.startswith(links.FEATURE_PREFIX) else {})
        page = router.page_of(request)
        assert page is not None
        return page.build(reader, request)

    return [
        *(partial(built, path) for path in PATHS),
        *(partial(part, reader, Request(links.feature("Search"))) for part in feature.PARTS.values()),
        *(partial(table, reader, Request("/", {"feature": "Search"})) for table in exports.TABLES.values()),
    ]


def test_no_page_asks_for_a_table_that_is_not_there(full_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot of an older version, or of half a graph, lacks tables: no query may name one of those."""
    reader = SnapshotStore(full_root / "published").reader()
    assert reader is not None
    columns, ask, parts = reader._columns, reader.rows, _parts(reader)
    hidden = "nothing is hidden"
    asked: list[str] = []

    def rows(sql: str, parameters: Any = ()) -> list[Any]:
        assert hidden not in sql
        asked.append(sql)
        return ask(sql, parameters)

    monkeypatch.setattr(reader, "rows", rows)
    # What neither looks a table up nor asks for it is the same without it.
    concerned: dict[str, list[Callable[[], object]]] = {name: [] for name in columns}
    for part in parts:
        asked.clear()
        looked_up = LookedUp(columns)
        monkeypatch.setattr(reader, "cache", Cache())
        monkeypatch.setattr(reader, "_columns", looked_up)
        part()
        for name, of_table in concerned.items():
            if name in looked_up.names or any(name in sql for sql in asked):
                of_table.append(part)
    assert sum(map(bool, concerned.values())) > len(columns) / 3
    for hidden, of_table in concerned.items():
        monkeypatch.setattr(reader, "cache", Cache())
        monkeypatch.setattr(reader, "_columns", {name: found for name, found in columns.items() if name != hidden})
        for part in of_table:
            part()


@pytest.mark.parametrize("count", [1, 2])
def test_few_features_are_enough(tmp_path: Path, count: int) -> None:
    build(tmp_path, Plan(features=count))
    for path in PATHS[:6]:
        assert "This page could not be made" not in text_of(tmp_path, path)


def test_the_worst_pair_of_slices_is_named(full_root: Path) -> None:
    reader = SnapshotStore(full_root / "published").reader()
    assert reader is not None
    asked = Request(links.feature("Live comments"))
    said = str(to_json_plotly(pairs(reader, asked)))
    assert "worse than before, beyond chance" in said
    assert "Android · " in said
    calm = str(to_json_plotly(pairs(reader, Request(links.feature("Search")))))
    assert "None of" in calm


def test_who_comes_again_is_said_with_an_interval(full_root: Path) -> None:
    reader = SnapshotStore(full_root / "published").reader()
    assert reader is not None
    said = str(to_json_plotly(retention_chart(reader, Request(links.feature("Search")))))
    assert "of the week before came again" in said
    assert "interval" in said


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Search", "after 1 day without events"),
        ("One-tap pay", "after 3 days without events"),
        ("Live comments", "could not be told from chance"),
    ],
)
def test_how_long_silence_must_last_to_tell_is_said(full_root: Path, name: str, says: str) -> None:
    assert says in text_of(full_root, links.feature(name))


def test_risk_and_trust_are_read_before_the_charts(full_root: Path) -> None:
    said = text_of(full_root, links.feature("Search"))
    at = [
        said.index(f'"aria-label": "{card}"') for card in ("Risk of degradation", "Trust", "Latency p95", "Incidents")
    ]
    assert at == sorted(at)


def test_a_low_risk_is_not_called_health() -> None:
    # A feature in an incident may have one; the gauge and the badge speak of the risk alone.
    said = str(feature_risk._gauge(0.11, None, None))
    assert "'Low'" in said
    assert "Healthy" not in said
    assert [feature_risk._looks(status)[2] for status in (Status.WATCH, Status.AT_RISK)] == ["Watch", "At risk"]


def test_what_a_check_measured_stands_in_its_unit() -> None:
    row = {"asset": "core.quarantined_events", "check_name": "share_as_usual", "observed": 0.05004, "threshold": 0.05}
    said = to_json_plotly(data_quality._measured(row), engine="orjson")
    assert "5.004 %" in said
    assert "against 5 %" in said


@pytest.mark.parametrize(("highest", "suffix", "top"), [(1_900.0, "ms", 1_900.0), (2_400.0, "s", 2.4)])
def test_a_slow_feature_has_its_axis_in_seconds(highest: float, suffix: str, top: float) -> None:
    day = date(2026, 11, 19)
    row = {"event_date": day, "value": highest, "expected_low": 300.0, "expected_high": None, "is_outside_band": False}
    figure = charts.metric_chart("latency_p95_ms", "ms", [row], through=day, days=7, slo=500.0)
    assert figure["layout"]["yaxis"]["ticksuffix"].endswith(suffix)
    assert figure["data"][2]["y"] == [top]
    assert figure["layout"]["shapes"][0]["y0"] == (500.0 if suffix == "ms" else 0.5)
    assert figure["layout"]["annotations"][0]["text"] == f"SLO 500{formats.NARROW}ms"


def test_a_day_alone_is_a_dot_and_no_axis_offers_what_cannot_be() -> None:
    day = date(2026, 11, 19)
    blank = {"expected_low": None, "expected_high": None, "is_outside_band": False}

    def drawn(metric: str, unit: str, *values: float | None) -> tuple[dict[str, Any], dict[str, Any]]:
        rows = [blank | {"event_date": day, "value": value} for value in values]
        figure = charts.metric_chart(metric, unit, rows, through=day, days=7)
        return figure["data"][2], figure["layout"]["yaxis"]

    line, axis = drawn("users", "count", 1)
    assert (line["mode"], line["marker"], axis["dtick"], axis["rangemode"]) == (
        "lines+markers", {"size": [5]}, 1, "nonnegative",
    )  # fmt: skip
    line, axis = drawn("crash_rate", "fraction", 0.0, 0.1, None, 0.2, None)
    assert (line["marker"], axis["maxallowed"]) == ({"size": [0, 0, 0, 5, 0]}, 1.02)
    line, axis = drawn("events", "count", 5, 6)
    assert (line["mode"], "marker" in line, "dtick" in axis) == ("lines", False, False)
    assert "rangemode" not in drawn("feedback_mean", "score", 4.0)[1]


def test_days_are_whole() -> None:
    assert charts.whole_days([1, 2]) == {"tickformat": "d", "hoverformat": "d", "dtick": 1}
    assert "dtick" in charts.whole_days([1, 10])
    assert "dtick" not in charts.whole_days([1, 11])
    assert charts.whole_days([]) == {"tickformat": "d", "hoverformat": "d", "dtick": 1}


def test_a_slice_that_left_shows_in_the_shares() -> None:
    blank = {"dimension_2": None, "slice_2": None, "crash_rate": 0.0, "error_rate": 0.0, "latency_p95_ms": 9.0}
    events = {("iOS", False): 500, ("Web", False): 500, ("iOS", True): 10, ("Web", True): 90}
    rows = [
        blank | {"dimension": "platform", "slice": name, "is_now": is_now, "events": n}
        for (name, is_now), n in events.items()
    ]
    found = SliceComparison(rows)
    assert {row["slice"]: (found.share(row), found.share_before(row)) for row in found.now} == {
        "Web": (0.9, 0.5),
        "iOS": (0.1, 0.5),
    }
    assert found.gone("platform") == []
    assert SliceComparison([row for row in rows if row["events"] != 10]).gone("platform") == [("iOS", 0.5)]
    alike = SliceComparison([row | {"events": 50} for row in rows])
    assert [alike.share_before(row) for row in alike.now] == [None, None]


def test_a_silent_feature_is_not_said_to_have_events_without_slices(
    full_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = SnapshotStore(full_root / "published").reader()
    assert reader is not None
    request = Request(links.feature("Search"))
    before = [row for row in sliced(reader, request) if not row["is_now"]]
    monkeypatch.setattr(feature_slices, "sliced", lambda *_, **__: before)
    said = to_json_plotly(slices(reader, request), engine="orjson")
    assert "No events to slice" in said
    assert "do not say" not in said


def test_a_feature_without_events_is_not_said_to_have_some_that_lack_a_value(
    full_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = SnapshotStore(full_root / "published").reader()
    assert reader is not None
    row = next(row for row in features(reader, 28) if row["feature"] == "Search")
    trends = {
        metric: [point | {"value": None} for point in points]
        for metric, points in feature.queries.trends(reader, "Search", 28).items()
    }
    monkeypatch.setattr(feature.queries, "trends", lambda *_: trends)
    request = Request(links.feature("Search"))
    said = [to_json_plotly(card, engine="orjson") for card in feature._charts(reader, row, request, (), [])]
    assert all("The feature had no events." in each for each in said)
    crashes = [{**point, "value": 0.0} for point in trends["crash_rate"]]
    monkeypatch.setattr(feature.queries, "trends", lambda *_: {**trends, "crash_rate": crashes})
    latency = to_json_plotly(feature._charts(reader, row, request, (), [])[0], engine="orjson")
    assert "Events of this feature carry no latency here." in latency


def test_what_is_silent_for_good_is_not_asked_when_it_would_be(full_root: Path) -> None:
    reader = SnapshotStore(full_root / "published").reader()
    assert reader is not None
    fault = feature.queries.incidents(reader, "Search")[0]

    def told(end_kind: str) -> str:
        faults = [{**fault, "end_kind": end_kind}]
        return to_json_plotly(feature._incidents(reader, "Search", faults, is_judged=True), engine="orjson")

    assert "went silent" in told("recovered")
    assert "went silent" not in told("silent")


def test_lost_events_are_drawn_among_the_users(full_root: Path) -> None:
    reader = SnapshotStore(full_root / "published").reader()
    assert reader is not None
    assert reader.through is not None
    lost = {"kind": "step", "metrics": ["events"], "start_date": reader.through, "end_date": None}
    row = next(row for row in features(reader, 28) if row["feature"] == "Search")
    trends = feature.queries.trends(reader, "Search", 28)
    shaded = [
        spec.metric
        for spec in feature._CHARTS
        if "var(--fault)"
        in to_json_plotly(
            feature._metric_card(reader, spec, row, 28, trends[spec.metric], [lost], [], None), engine="orjson"
        )
    ]
    assert shaded == ["users", "adoption_rate"]


@pytest.mark.parametrize(
    ("path", "search", "says"),
    [
        ("/model", "?version=99", "There is no version 99."),
        ("/pipeline", "?asset=core.nope", "The graph has no asset core.nope."),
    ],
)
def test_an_address_that_names_nothing_is_told_so(full_root: Path, path: str, search: str, says: str) -> None:
    assert says in text_of(full_root, path, search)
    assert says not in text_of(full_root, path)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("2026-11-18...2026-11-20", "of 18 Nov – 20 Nov"),
        ("2026-11-18", "of 18 Nov"),
        ("2026-11-18, 2026-11-19 and 3 more", "of 2026-11-18, 2026-11-19 and 3 more"),
        ("", ""),
    ],
)
def test_the_days_of_a_run_are_dates(key: str, said: str) -> None:
    assert pipeline._days_of(key) == said


def test_data_that_ended_days_ago_is_said_to_have() -> None:
    def said(through: date) -> str:
        shown = Snapshot("v", PUBLISHED_AT, through, "run", "ffff", Path())
        return str(to_json_plotly(shell.sidebar([], "/", shown, {}, PUBLISHED_AT)))

    assert "No event since: 5 days ago" in said(PUBLISHED_AT.date() - timedelta(days=5))
    assert "No event since" not in said(PUBLISHED_AT.date() - timedelta(days=1))


@pytest.mark.parametrize("path", ["/", "/data-quality", "/pipeline", "/feature/x"])
def test_no_snapshot_says_how_to_get_one(tmp_path: Path, path: str) -> None:
    said = text_of(tmp_path, path)
    assert "No data published yet" in said
    assert "quality run" in said


def test_unknown_feature_offers_the_nearest(full_root: Path) -> None:
    said = text_of(full_root, "/feature/Serch")
    assert "No feature of this name" in said
    assert "/feature/Search" in said


def test_unknown_address_is_said(full_root: Path) -> None:
    assert "There is no such page" in text_of(full_root, "/nope")


def test_a_fault_is_a_page_and_not_kept(full_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setitem(router.PAGES, "/faulty", router.Page(lambda _: "Faulty", fails))
    said = text_of(full_root, "/faulty")
    assert "This page could not be made" in said
    assert "boom" not in said


def test_a_refused_publication_is_said_on_every_page(tmp_path: Path) -> None:
    build(tmp_path)
    refuse(tmp_path, "core.valid_events: 412 rows break the contract")
    for path in PATHS:
        said = text_of(tmp_path, path)
        assert "The last publication was refused" in said
        assert "412 rows break the contract" in said
        assert "21 Nov, 06:04 UTC" in said


def test_what_could_not_be_built_since_the_snapshot_shows_as_failing_at_once(tmp_path: Path) -> None:
    build(tmp_path)
    published = tmp_path / "published"
    store = SnapshotStore(published)

    def is_shown() -> bool:
        page, _ = router.render(store, Request("/pipeline"))
        return "could not be built" in to_json_plotly(page, engine="orjson")

    assert not is_shown()
    record_failure(published, "product.incidents", None, run_id="r", cause="no space", failed_at=PUBLISHED_AT)
    assert is_shown()
    record_success(published, "product.incidents", None)
    assert not is_shown()


def test_a_new_snapshot_is_followed(tmp_path: Path) -> None:
    build(tmp_path)
    store = SnapshotStore(tmp_path / "published")
    first, token = store.reader(), store.token()
    assert first is store.reader()
    build(tmp_path, Plan(features=6, version="20261121T060400", published_at=PUBLISHED_AT + timedelta(days=1)))
    second = store.reader()
    assert second is not None
    assert second is not first
    assert store.token() != token
    assert "Feature 005" in to_json_plotly(router.render(store, Request("/")), engine="orjson")


def test_what_is_asked_for_is_computed_once() -> None:
    cache, calls = Cache(entries=2), []
    for key in ("a", "a", "b", "c", "a"):
        cache.get(key, lambda key=key: calls.append(key))
    assert calls == ["a", "b", "c", "a"]


# Of people's use, experiments and delivery: asked over warehouses that have them, beside their own tests.
_OF_USE = {
    "adoption", "changes", "crash_costs", "deliveries", "engagement_grades", "events", "experiment_health",
    "experiment_results", "experiments", "funnel", "lift", "retention", "segment", "segments",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(exports.TABLES.keys() - _OF_USE))
def test_every_table_is_downloadable(client: Client, name: str) -> None:
    answer = client.get(f"/api/v1/tables/{name}.csv", params={"feature": "Search"})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert rows
    assert tuple(rows[0]) == exports.COLUMNS[name]


@pytest.mark.parametrize("name", sorted(exports.TABLES))
def test_a_table_without_rows_has_its_header(name: str) -> None:
    assert exports.to_csv([], exports.COLUMNS[name]).split() == [",".join(exports.COLUMNS[name])]


def test_a_download_names_the_columns_that_its_rows_have(full_root: Path) -> None:
    reader = SnapshotStore(full_root / "published").reader()
    assert reader is not None
    for name, table in exports.TABLES.items():
        if name in _OF_USE:
            continue
        assert tuple(table(reader, Request("/", {"feature": "Search"}))[0]) == exports.COLUMNS[name], name


def test_no_link_is_dead(full_root: Path, client: Client) -> None:
    asked = Request(links.feature("Live comments"))
    store = SnapshotStore(full_root / "published")
    parts = [to_json_plotly(router.render_part(store, asked, part), engine="orjson") for part in feature.PARTS.values()]
    said = "".join([*(text_of(full_root, path) for path in PATHS), *(json.dumps(json.loads(part)) for part in parts)])
    found = {link.replace("\\/", "/") for link in re.findall(r'"href": "([^"]+)"', said)}
    assert len(found) > 60
    # Tables that the program keeps for itself are no assets: Dagster has no page of them.
    kept = [table.qualified_name for table in (ALERTS, ASSET_RUNS, CHECK_RESULTS, PUBLICATIONS)]
    assert not found & {links.dagster_asset(name) for name in kept}
    for link in sorted(found):
        path, _, search = link.partition("?")
        if path.startswith("/api/"):
            answer = client.get(link)
            assert answer.status_code == 200, link
            assert answer.text, link
        elif path.startswith("/"):
            assert router.page_of(Request.parse(path, search)) is not None, link
        else:
            assert link.startswith(("http://127.0.0.1:3000", "http://localhost:3000")), link


def test_a_spreadsheet_cannot_be_made_to_run_a_cell() -> None:
    assert exports.to_csv([{"feature": "=cmd()", "n": -1}], ("feature", "n")).splitlines()[1] == "'=cmd(),-1"


@pytest.mark.parametrize(
    "path", ["snapshot", "features", "incidents", "checks", "search", "token", "trends?feature=Search&window=7"]
)
def test_the_api_answers(client: Client, path: str) -> None:
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 200
    assert answer.json()


@pytest.mark.parametrize("path", ["/api/nope", "/api/v1/tables/nope.csv", "/api/v1/trends?feature=nope"])
def test_the_api_says_what_is_not_there(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_health_and_readiness(client: Client, tmp_path: Path) -> None:
    assert client.get("/healthz").json() == {"status": "ok", "version": VERSION, "released": RELEASED.isoformat()}
    assert client.get("/readyz").json()["status"] == "ok"
    empty = Client(create_server(Settings(data_dir=tmp_path)))
    assert empty.get("/healthz").status_code == 200
    assert empty.get("/readyz").status_code == 503
    assert empty.get("/api/v1/features").status_code == 503


def test_api_docs_load_nothing_from_elsewhere(client: Client) -> None:
    page = client.get("/api/docs").text
    assert "://" not in page
    loaded = re.findall(r'(?:src|href|url)[=:]"(/[^"]+[^/"])"', page)
    assert sorted(loaded) == [
        "/api/openapi.json",
        "/assets/favicon.svg",
        f"/assets/vendor/{api_docs.STYLE}",
        f"/assets/vendor/{api_docs.SCRIPT}",
    ]
    assert [client.get(path).status_code for path in loaded] == [200] * 4
    # Only that page needs it: the others have one script less to load.
    assert "swagger" not in client.get("/").text


@pytest.mark.parametrize(
    ("path", "status", "media_type"),
    [
        ("/_dash-layout", 200, "application/json"),
        ("/assets/app.css", 200, "text/css"),
        ("/healthz", 200, "application/json"),
        ("/readyz", 200, "application/json"),
        ("/api/docs", 200, "text/html"),
        ("/api/openapi.json", 200, "application/json"),
        ("/api/v1/features", 200, "application/json"),
        ("/api/v1/tables/features.csv", 200, "text/csv"),
        ("/api/v1/trends", 422, "application/json"),
        ("/api/v1/trends?feature=nope", 404, "application/json"),
        ("/api/nope", 404, "application/json"),
    ],
)
@pytest.mark.parametrize("encoding", ["br", "identity"])
def test_head_answers_like_get(client: Client, path: str, status: int, media_type: str, encoding: str) -> None:
    wanted = {"accept-encoding": encoding}
    told, sent = client.ask("HEAD", path, headers=wanted), client.get(path, headers=wanted)
    assert (told.status_code, sent.status_code) == (status, status)
    assert told.headers == sent.headers
    assert told.headers["content-type"].startswith(media_type)
    assert int(told.headers["content-length"]) > 0
    assert told.content == b""


def test_head_of_the_index_answers_like_get(client: Client) -> None:
    # Uncompressed: Dash puts random letters into each answer, which compress to a few bytes more or fewer.
    wanted = {"accept-encoding": "identity"}
    told, sent = client.ask("HEAD", "/", headers=wanted), client.get("/", headers=wanted)
    assert (told.status_code, told.content) == (200, b"")
    assert told.headers == sent.headers


def test_head_of_what_cannot_be_got_is_refused_alike() -> None:
    server = FastAPI()
    server.post("/only-posted")(lambda: {})
    server.add_middleware(Delivery)
    client = Client(server)
    told, sent = client.ask("HEAD", "/only-posted"), client.get("/only-posted")
    assert (told.status_code, sent.status_code) == (405, 405)
    assert told.headers == sent.headers
    assert client.ask("POST", "/only-posted").json() == {}


def test_every_page_says_the_version_and_its_date_at_the_foot(client: Client) -> None:
    layout = client.get("/_dash-layout").json()
    foot = layout["props"]["children"][-2]
    assert foot["type"] == "Footer"
    said = f"Feature Quality {VERSION}, {RELEASED.day} {RELEASED:%b %Y}"
    assert foot["props"]["children"][0]["props"]["children"] == said


def test_answers_are_compressed_and_guarded(client: Client) -> None:
    answer = client.get("/", headers={"accept-encoding": "br"})
    assert answer.headers["content-encoding"] == "br"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    plain = client.get("/", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert "Feature Quality" in plain.text


def test_how_long_answers_take_is_said_in_minutes_and_more() -> None:
    said = [alerts._hours(hours) for hours in (None, 0.0001, 1 / 60, 2.5)]
    assert said == ["–", "under a minute", f"1.0{formats.NARROW}min", f"2.5{formats.NARROW}h"]


def test_lineage_has_a_column_a_stage_and_survives_a_cycle() -> None:
    upstream = {"raw.a": (), "core.b": ("raw.a",), "core.c": ("core.b",), "publish.d": ("core.c", "gone.x")}
    assert lineage.positions(upstream) == {"raw.a": (0, 0), "core.b": (1, 0), "core.c": (1, 1), "publish.d": (2, 0)}
    told = lineage.positions(upstream, {"core.b"})
    assert told == {"raw.a": (0, 0), "core.b": (1, 1), "core.c": (1, 0), "publish.d": (2, 0)}
    assert set(lineage.depths({"a.a": ("a.b",), "a.b": ("a.a",)})) == {"a.a", "a.b"}


@pytest.mark.parametrize("name", ["Search", AWKWARD, "a/b", "Café finder", "100 % sure?", "#1"])
def test_any_name_has_an_address(name: str) -> None:
    path = links.feature(name)
    assert Request.parse(path, "").feature == name


def test_state_in_the_address_is_kept_or_taken_out() -> None:
    request = Request.parse("/feature/x", "?window=90d&platform=iOS&junk")
    assert request.days == 90
    assert request.url(platform=None) == "/feature/x?window=90d"
    assert request.url(country="DE") == "/feature/x?window=90d&platform=iOS&country=DE"


def test_no_series_is_left_out_however_many_and_each_has_its_colour() -> None:
    series = {f"n{n}": [1] for n in range(len(charts.SERIES) + 1)}
    for figure in (charts.stacked_bars([date(2026, 3, 1)], series), charts.stacked_shares(["a"], series)):
        colours = [trace["marker"]["color"] for trace in figure["data"]]
        assert colours == [*charts.SERIES, charts.SERIES[0]]
    styles = (Path(charts.__file__).parents[1] / "assets" / "app.css").read_text()
    for n, colour in enumerate(charts.SERIES, start=1):
        # In light and in dark, and beside the word of the legend.
        assert styles.count(f"--c{n}:#") == 2
        assert f".mark.s{n}{{background:{colour}}}" in styles
    assert "mark s6" in str(charts.series_legend(series))
