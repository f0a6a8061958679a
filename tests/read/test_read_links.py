"""Addresses in and out: state that is understood, state that is ignored, names with any text in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_assets.read.links import (
    DEFAULT_WINDOW,
    WINDOWS,
    Request,
    dagster,
    dagster_asset,
    dagster_run,
    feature,
    table_csv,
)
from quality_assets.settings import get_settings


@pytest.mark.parametrize(
    ("window", "days"), [("7d", 7), ("28d", 28), ("90d", 90), ("7", 7), ("8d", 28), ("", 28), ("d", 28), ("-7d", 28)]
)
def test_a_window_is_one_of_three_else_28_days(window: str, days: int) -> None:
    assert Request("/", {"window": window}).days == days
    assert Request("/").days == 28
    assert (WINDOWS, DEFAULT_WINDOW) == ((7, 28, 90), 28)


@pytest.mark.parametrize(
    ("path", "search", "request_"),
    [
        (None, None, Request("/")),
        ("", "", Request("/")),
        ("/model", "?", Request("/model")),
        ("/", "?window=7d&team=A%26B+C", Request("/", {"window": "7d", "team": "A&B C"})),
        ("/", "window=7d&empty=", Request("/", {"window": "7d"})),
        ("/", "?a=1&a=2", Request("/", {"a": "2"})),
    ],
)
def test_an_address_is_read_from_its_two_halves(path: str | None, search: str | None, request_: Request) -> None:
    assert Request.parse(path, search) == request_


def test_only_a_features_address_names_a_feature() -> None:
    assert Request("/feature/One-tap%20pay").feature == "One-tap pay"
    assert Request("/feature/a%2Fb").feature == "a/b"
    assert Request("/feature/").feature == ""
    assert [Request(path).feature for path in ("/", "/feature", "/model", "/x/feature/y")] == [None] * 4


def test_an_address_keeps_its_state_but_what_changes() -> None:
    request = Request("/", {"window": "7d", "team": "A&B"})
    assert request.url() == "/?window=7d&team=A%26B"
    assert request.url(window="90d") == "/?window=90d&team=A%26B"
    assert request.url(team=None) == "/?window=7d"
    assert request.url(window=None, team="") == "/"
    assert request.url(sort="users") == "/?window=7d&team=A%26B&sort=users"
    assert request.query == {"window": "7d", "team": "A&B"}
    with pytest.raises(FrozenInstanceError):
        request.path = "/model"  # type: ignore[misc]


@given(name=st.text(min_size=1), value=st.text(min_size=1))
def test_any_text_is_a_features_name_and_a_state(name: str, value: str) -> None:
    if not all(text.isprintable() for text in (name, value)):
        return
    path, _, search = feature(name, {"event": value}).partition("?")
    request = Request.parse(path, search)
    assert (request.feature, request.query) == (name, {"event": value})
    assert "/" not in path.removeprefix("/feature/")


def test_addresses_of_features_and_tables() -> None:
    assert feature("a/b c") == "/feature/a%2Fb%20c"
    assert feature("pay", {}) == "/feature/pay"
    assert feature("pay", {"window": "7d"}) == "/feature/pay?window=7d"
    assert table_csv("scores") == "/api/v1/tables/scores.csv"
    assert table_csv("trends", feature="a b", window=7, reason=None) == "/api/v1/tables/trends.csv?feature=a+b&window=7"
    assert table_csv("trends", window=0) == "/api/v1/tables/trends.csv?window=0"


@pytest.fixture(params=[("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost"), ("::", "localhost"), ("box", "box")])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the Dagster UI is, for a host that it listens on."""
    listens_on, named = request.param
    monkeypatch.setenv("QUALITY_DAGSTER_HOST", listens_on)
    monkeypatch.setenv("QUALITY_DAGSTER_PORT", "3999")
    get_settings.cache_clear()
    yield f"http://{named}:3999"
    get_settings.cache_clear()


def test_addresses_in_the_dagster_ui(root: str) -> None:
    assert dagster() == root
    assert dagster("/runs") == f"{root}/runs"
    assert dagster_asset("core.valid_events") == f"{root}/assets/core/valid_events"
    assert dagster_asset("ml.a.b/c") == f"{root}/assets/ml/a.b%2Fc"
    assert dagster_asset("alone") == f"{root}/assets/alone"
    assert dagster_run("a/b") == f"{root}/runs/a%2Fb"
