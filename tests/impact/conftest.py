"""What tests of impact share: a reader of forty days on which two people look, one pays, and definitions are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from user_logs import Event, build_impact, by_day, day_number, define, define_nothing, put_days

from quality_assets.read.reader import Reader
from quality_assets.stores.snapshots import Snapshot
from quality_assets.stores.warehouse import open_warehouse
from tests.conftest import new_settings

BUY = "name: {name}\nowner: me\nwindow: 2d\nsteps:\n  - {{event_name: {first}}}\n  - {{event_name: {second}}}\n"


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Forty days on which ann looks and pays, bob only looks, and nobody has rated since the third day."""
    settings = new_settings(tmp_path_factory.mktemp("cli") / "data")
    settings.data_dir.mkdir()
    define_nothing(settings)
    define(settings, "funnels/buy.yaml", BUY.format(name="buy", first="look", second="pay") + "segments: [platform]\n")
    define(settings, "funnels/dead.yaml", BUY.format(name="dead", first="look", second="rate"))
    define(settings, "funnels/typo.yaml", BUY.format(name="typo", first="lok", second="pay"))
    define(settings, "funnels/same.yaml", BUY.format(name="same", first="look", second="look"))
    define(settings, "funnels/long.yaml", BUY.format(name="long", first="look", second="pay").replace("2d", "91d"))
    define(settings, "segments/keen.yaml", "name: keen\nowner: me\nall: [{active_days: {at_least: 2, within: 7d}}]\n")
    define(settings, "segments/ever.yaml", "name: ever\nowner: me\nall: [{active_days: {at_least: 2}}]\n")
    events = [
        Event(at=day * 86_400 + 60, user_id=user, event_name=name, platform="ios")
        for day in range(40)
        for user, name in (("ann", "look"), ("bob", "look"), ("ann", "pay"))
    ]
    events.append(Event(at=2 * 86_400 + 90, user_id="ann", event_name="rate"))
    with open_warehouse(settings) as session:
        put_days(session, by_day(events))
        build_impact(session)
        snapshot = Snapshot("v", datetime(2026, 4, 12, 6), day_number(39), "run", "fingerprint", Path("nowhere"))
        # While it opens, and no longer: other tests of this process open snapshots of their own.
        with patch.dict(Reader.__init__.__globals__, open_snapshot=lambda _: session.connection):
            reader = Reader(snapshot)
        yield reader
