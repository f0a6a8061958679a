"""The pages of use: sentences before charts, every state that there is, and nothing told of what is not known."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import httpx
import pytest
from plotly.io.json import to_json_plotly

from dash_app.pages import feature_impact, funnels, impact, retention, segments
from dash_app.router import page_of
from quality_assets.read import links
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, SnapshotStore


def _texts(component: Any) -> Iterator[str]:
    if isinstance(component, str):
        yield component
    elif isinstance(component, list | tuple):
        for each in component:
            yield from _texts(each)
    elif hasattr(component, "children"):
        yield from _texts(component.children)
        # What is large is sent as HTML.
        yield unescape(re.sub("<[^>]*>", " ", getattr(component, "data-markup", "")))


def said(reader: Reader, path: str, **query: str) -> str:
    """The words of the page at an address."""
    request = Request(path, query)
    page = page_of(request)
    assert page is not None
    built = page.build(reader, request)
    # What is sent to a browser, whose renderer walks each component many times over.
    assert 0 < to_json_plotly(built).count('"namespace"') < 400
    return " ".join(_texts(built))  # type: ignore[arg-type]


def test_the_impact_page_says_what_changed_before_it_shows_every_feature(reader: Reader) -> None:
    words = said(reader, "/impact")
    dead = ": Unknown beyond step 1: step 2, rate: no such event since 3 Mar 2026."
    assert words.index("What changed") < words.index(dead) < words.index("Every feature") < words.index("Search")
    assert "0\u202f%" not in words[: words.index("Every feature")]


def test_funnels_are_told_in_a_sentence_each_and_the_wrong_ones_why(reader: Reader) -> None:
    words = said(reader, "/funnels")
    assert "1 (50\u202f%) reached the last step" in words.replace(" %", "\u202f%")
    assert "steps 1 and 2 are the same events" in words
    assert "no such event since 3 Mar 2026" in words


def test_a_funnel_shows_its_steps_what_is_open_and_a_dead_step_without_a_rate(reader: Reader) -> None:
    words = said(reader, links.funnel("buy"))
    assert "Each user counts once, by the first entry of those days." in words
    assert "Still open: 2 of 4 entries after 7 Apr 2026 have days left; none of these is counted above." in words
    assert "Once each, by the value at the first entry of either time" in words
    assert "By day of entry" in words
    dead = said(reader, links.funnel("dead"))
    assert "no such event since 3 Mar 2026" in dead
    assert "No such funnel" in said(reader, links.funnel("nope"))
    assert "It cannot be used" in said(reader, links.funnel("long"))


def test_the_kind_of_return_is_always_there_and_an_unknown_one_is_the_exact_one(reader: Reader) -> None:
    for asked, kind in (("within_30", "between day 7 and day 30"), ("bogus", "on day 7 exactly")):
        words = said(reader, "/retention", kind=asked, feature="Search")
        assert kind in words
        assert all(name in words for name in ("On the day", "From the day to day 30", "On the day or later"))
    assert "already there" in words


def test_of_many_features_some_are_offered_and_the_rest_is_folded(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"feature {n:04}" for n in range(1500)]
    monkeypatch.setattr(retention.queries, "retained_features", lambda _: ["*", *names])
    words = said(reader, "/retention", feature="feature 0900")
    assert "1,476 more features" in words.replace("\u202f", ",")
    assert words.index("feature 0022") < words.index("feature 0900") < words.index("more features")
    assert words.index("more features") < words.index("feature 0023") < words.index("feature 1499")


def test_segments_say_as_of_when_and_why_one_cannot_be_used(reader: Reader) -> None:
    words = said(reader, "/segments")
    assert "2 members on 9 Apr 2026" in words
    assert "all.0.active_days.within: is missing" in words


def test_a_feature_has_an_impact_tab(reader: Reader) -> None:
    request = Request(links.feature("Search"), {"tab": "impact"})
    assert feature_impact.is_asked(request)
    words = " ".join(_texts(feature_impact.build(reader, "Search")))
    assert "of all users used it in the last 28 days" in words
    assert "Time to adopt" in words
    assert "Nothing is known of use yet" in " ".join(_texts(feature_impact.build(reader, "Nothing")))


@pytest.mark.parametrize("page", [impact, funnels, retention, segments])
def test_every_page_has_a_name_of_its_own(page: Any) -> None:
    assert page.TITLE
    assert page_of(Request(f"/{page.TITLE.lower()}")) is not None


@pytest.fixture(scope="module")
def ask(reader: Reader) -> Callable[[str], httpx.Response]:
    """The routes of use over the reader."""
    from fastapi import FastAPI

    from quality_assets.serve.api.features import api
    from quality_assets.serve.api.impact import impact_api

    class Store(SnapshotStore):
        def __init__(self) -> None:
            pass

        def reader(self) -> Reader | None:
            return reader

    server = FastAPI()
    server.state.store = Store()
    server.include_router(impact_api)
    server.include_router(api)

    async def answer(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=server)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(f"/api/v1/{path}")

    return lambda path: asyncio.run(answer(path))


def test_the_routes_give_what_the_commands_give(ask: Callable[[str], httpx.Response]) -> None:
    rows = ask("funnels/buy").json()
    assert {row["funnel"] for row in rows} == {"buy"}
    assert rows[0]["verdict"] == "final"
    assert "the nearest names are buy" in ask("funnels/bye").json()["detail"]
    assert "never seen" in ask("funnels/typo").json()["detail"]
    kinds = {row["kind"] for row in ask("retention/*?kind=exact").json()}
    assert kinds == {"exact"}
    assert ask("retention/Serch").status_code == 404
    assert ask("retention/Search?kind=bogus").status_code == 422
    assert [row["members"] for row in ask("segments").json()] == [None, 2]
    assert ask("segments/keen").json()[-1]["members"] == 2
    assert ask("segments/kean").status_code == 404
    assert [row["feature"] for row in ask("adoption").json()] == ["Search"]
    for table in ("adoption", "funnel", "retention", "segments", "segment", "events"):
        text = ask(f"tables/{table}.csv?named=buy").text
        assert text.splitlines()
