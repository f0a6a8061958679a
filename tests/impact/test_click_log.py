"""The click log of a shop, read through a YAML of its own: a funnel by session, retention, and no experiment."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from user_logs import build_impact, define, define_nothing

from quality_assets.read import experiments, impact, impact_changes
from quality_assets.read.reader import Reader
from quality_assets.stores.snapshots import Snapshot
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.experiments.build import build_experiments
from tests.conftest import new_settings

FIRST = datetime(2026, 3, 1, 12)
DAYS, BREAKS_ON, SHOPPERS = 62, 33, 40
SOURCE = """
name: shop
owner: me
description: Clicks in a shop
starts_on: 2026-03-01
paths: [shop/**]
format: csv
columns:
  event_time: {from: timestamp, zone: UTC}
  user_id: user_id
  session_id: session_id
  event_name: event
  platform: platform
  feature: {from: event, map: {home: Browse, product_view: Browse, add_to_cart: Cart, purchase: Checkout}}
  status: {constant: ok}
properties_from: [acquisition_channel]
"""
FUNNEL = """
name: purchase
owner: me
unit: session
window: 1d
steps: [{event_name: product_view}, {event_name: add_to_cart}, {event_name: purchase}]
segments: [platform, properties.acquisition_channel]
"""


def _clicks() -> Iterator[tuple[str, str, str, str, str, str]]:
    """Everybody comes every third day and views; who comes by mail buys, until phones cannot any more."""
    for day in range(DAYS):
        for shopper in range(day % 3, SHOPPERS, 3):
            platform = "mobile" if shopper % 2 else "desktop"
            channel = "email" if shopper % 4 < 2 else "social"
            is_buying = channel == "email" and not (platform == "mobile" and day >= BREAKS_ON)
            clicks = ("home", "product_view", "add_to_cart", *(("purchase",) if is_buying else ()))
            for place, click in enumerate(clicks):
                # The first two in one second: their order is that of the steps.
                at = FIRST + timedelta(days=day, seconds=30 * max(0, place - 1))
                yield f"c{shopper}", f"s{day}-{shopper}", click, f"{at:%Y-%m-%d %H:%M:%S}", platform, channel


@pytest.fixture(scope="module")
def session(
    tmp_path_factory: pytest.TempPathFactory,
    ingest_all: Callable[[WarehouseSession], object],
    build_all: Callable[..., None],
) -> Iterator[WarehouseSession]:
    settings = new_settings(tmp_path_factory.mktemp("shop") / "data")
    settings.data_dir.mkdir()
    define_nothing(settings)
    define(settings, "sources/shop.yaml", SOURCE)
    define(settings, "funnels/purchase.yaml", FUNNEL)
    path = settings.landing_dir / "shop" / "clicks.csv"
    path.parent.mkdir(parents=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("user_id", "session_id", "event", "timestamp", "platform", "acquisition_channel"))
        rows.writerows(_clicks())
    with open_warehouse(settings) as opened:
        ingest_all(opened)
        build_all(opened)
        build_impact(opened)
        build_experiments(opened)
        yield opened


@pytest.fixture(scope="module")
def reader(session: WarehouseSession) -> Reader:
    through = (FIRST + timedelta(days=DAYS - 1)).date()
    snapshot = Snapshot("v", datetime(2026, 5, 3), through, "run", "fingerprint", Path("nowhere"))
    with patch.dict(Reader.__init__.__globals__, open_snapshot=lambda _: session.connection):
        return Reader(snapshot)


def test_every_click_is_read_and_has_its_place(session: WarehouseSession) -> None:
    read = session.connection.execute("select count(*), count(distinct feature) from core.valid_events").fetchall()
    assert read == [(len(list(_clicks())), 3)]


def test_the_funnel_is_by_session_and_finds_what_broke(reader: Reader) -> None:
    period = impact.funnel_period(reader, "purchase")
    assert period.unit == "session"
    carts = period.steps[1].reached
    assert carts == period.steps[0].reached
    told = [row["sentence"] for row in impact_changes.changes(reader) if row["kind"] == "funnel"]
    assert "purchase: platform mobile: 0 % instead of 50 % reach the last step." in told
    assert not any("desktop" in said for said in told)


def test_retention_is_of_first_visits(reader: Reader) -> None:
    exact = {row["day_n"]: row["rate"] for row in impact.retention_rows(reader, "*", "exact") if row["is_final"]}
    assert (exact[3], exact[4], exact[30]) == (1.0, 0.0, 1.0)


def test_where_nobody_was_dealt_by_chance_there_is_no_experiment(reader: Reader) -> None:
    assert experiments.experiments(reader) == []
