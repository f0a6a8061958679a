"""A version that answers a share of the keys: which, for how long, and what takes it back; shadows that are silent."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import select

from dash_app.app import create_server
from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.release_stack import in_use
from quality_assets.domain.models.learning.tabular_model import TabularModel
from quality_assets.serve.prediction import canary_watch
from quality_assets.serve.prediction.canary_watch import CanaryWatch
from quality_assets.serve.prediction.prediction_app import create_app
from quality_assets.settings import Settings
from quality_assets.stores.canaries import Canary, canary_of, end_canary, start_canary
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.released import VersionUnavailableError
from quality_assets.stores.releases import release_log
from quality_assets.stores.shadows import start_shadow
from quality_assets.tables import learning
from quality_assets.tables.shadow_verdicts import canary_verdict
from quality_assets.tables.shadow_watch import watch_shadows
from tests.light_use_cases import LIGHT_SALES as SALES

ROW = {"QUANTITYORDERED": 30, "MSRP": 90, "PRICEEACH": 80, "PRODUCTLINE": "Planes", "COUNTRY": "USA", "MONTH_ID": 3}
WHO = {"actor": "me", "reason": "try"}


class Biased(TabularModel):
    """A model that says so much more than it learnt, or nothing where that is None."""

    more: float | None = 0.0

    def answers(self, columns: Any) -> list[dict[str, Any]]:
        if self.more is None:
            raise ValueError("broken")
        return [{**each, "prediction": each["prediction"] + self.more} for each in super().answers(columns)]


class Server:
    """A server of sales in this process, whose canary may be made to err."""

    def __init__(self, settings: Settings) -> None:
        self.app, self.service = create_app(settings, ["sales"])

    def canary_says(self, more: float | None) -> None:
        found = self.service.shelf.of("sales")
        assert found.canary is not None
        canary, own = found.canary
        model = Biased(**{name: getattr(own.model, name) for name in own.model.__dataclass_fields__})
        object.__setattr__(model, "more", more)
        self.service.shelf._in_use["sales"] = replace(found, canary=(canary, replace(own, model=model)))

    def ask(self, key: str | None = None, **changes: Any) -> dict[str, Any]:
        body = json.dumps(ROW | changes).encode()
        return self.service.predict("sales", body, None if key is None else key.encode())


def _ask(app: Any, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, json=body, headers={"x-quality": "1", **headers})

    return asyncio.run(asked())


def _alerts(settings: Settings, kind: str) -> list[tuple[str, str]]:
    with operations_of(settings).read() as connection:
        rows = connection.execute(select(ALERT.c.check_name, ALERT.c.status).where(ALERT.c.kind == kind)).all()
    return [(name, status) for name, status in rows]


def _steps(settings: Settings) -> list[tuple[str, str, str]]:
    releases = release_log(settings).of("sales")
    return [(each.action, each.version, each.actor) for each in releases if each.stage == "canary"]


def test_a_share_of_the_keys_is_the_same_keys_and_a_larger_share_has_them_too() -> None:
    keys = [f"order {n}".encode() for n in range(4000)]
    tenth, half = ({key for key in keys if Canary("2", share, "", 1).answers(key)} for share in (0.1, 0.5))
    assert tenth < half
    # Four deviations of a binomial share.
    assert abs(len(tenth) / 4000 - 0.1) < 4 * np.sqrt(0.09 / 4000)
    assert abs(len(half) / 4000 - 0.5) < 4 * np.sqrt(0.25 / 4000)
    assert all(Canary("2", 1.0, "", 1).answers(key) for key in keys)


def test_a_canary_answers_its_keys_and_the_rest_is_answered_as_before(sales_root: Settings) -> None:
    found = start_canary(sales_root, SALES, "2", 0.5, **WHO)
    server = Server(sales_root)
    server.canary_says(100.0)
    for n in range(20):
        key = f"order {n}"
        answer = server.ask(key)
        is_own = found.answers(key.encode())
        assert (answer["version"], answer["prediction"]) == (("2", 2500.0) if is_own else ("1", 2400.0))
        assert server.ask(key)["version"] == answer["version"]
    # Without a key the row itself is one, in whatever order its fields come.
    assert len({server.ask()["version"] for _ in range(5)}) == 1
    by_header = _ask(server.app, "POST", "/predict", ROW, **{"x-row-key": "order 1"}).json()
    assert by_header["version"] == server.ask("order 1")["version"]
    health = server.service.health("sales")
    assert (health["version"], health["canary"]) == ("1", {"version": "2", "share": 0.5})
    server.service.log.flush()
    # Of every request both versions are known.
    assert canary_verdict(sales_root, "sales")["requests"] == 40 + 5 + 2  # type: ignore[index]


def test_a_canary_that_fails_is_taken_back_and_nobody_who_asks_sees_it(sales_root: Settings) -> None:
    start_canary(sales_root, SALES, "2", 1.0, **WHO)
    server = Server(sales_root)
    server.canary_says(None)
    for n in range(canary_watch.LEAST_ASKED - 1):
        assert server.ask(f"{n}")["version"] == "1"
    server.service.judge_canaries()
    assert canary_of(sales_root.models_dir, "sales") is not None
    server.ask("one more")
    server.service.judge_canaries()
    assert canary_of(sales_root.models_dir, "sales") is None
    assert server.service.health("sales")["canary"] is None
    assert _steps(sales_root) == [("promote", "2", "me"), ("rollback", "2", canary_watch.ACTOR)]
    assert _alerts(sales_root, "canary") == [("canary 2", "open")]
    # What is in use never changed.
    assert in_use(release_log(sales_root).of("sales")).version == "1"  # type: ignore[union-attr]


def test_a_slow_canary_is_told_from_a_fast_one() -> None:
    for own, is_slow in ((0.02, True), (0.004, False), (0.0011, False)):
        watch = CanaryWatch(Canary("2", 0.1, "", 1), "1")
        for _ in range(canary_watch.LEAST_TIMED):
            watch.asked(0.001, own)
        assert (watch.why_not() is not None) is is_slow
    assert CanaryWatch(Canary("2", 0.1, "", 1), "1").why_not() is None


@pytest.mark.parametrize(("more", "is_taken_back"), [(300.0, True), (0.0, False)])
def test_a_canary_that_is_worse_on_outcomes_is_taken_back(
    sales_root: Settings, more: float, is_taken_back: bool
) -> None:
    start_canary(sales_root, SALES, "2", 0.5, **WHO)
    server = Server(sales_root)
    server.canary_says(more)
    rng = np.random.default_rng(3)
    for n in range(80):
        answer = server.ask(f"order {n}")
        y = 2400.0 + float(rng.normal(0, 50))
        outcome = json.dumps({"request_id": answer["request_id"], "y": y}).encode()
        assert server.service.take_outcome("sales", outcome)["status"] == "new"
    server.service.log.flush()
    told = canary_verdict(sales_root, "sales")
    assert told is not None
    assert (told["pairs"], told["verdict"]) == (80, "worse" if is_taken_back else "undecided")
    server.service.judge_canaries()
    assert (canary_of(sales_root.models_dir, "sales") is None) is is_taken_back


def test_what_cannot_be_a_canary(sales_root: Settings) -> None:
    for version, why in (("1", "in use already"), ("9", "there is no version 9")):
        with pytest.raises(VersionUnavailableError, match=why):
            start_canary(sales_root, SALES, version, 0.1, **WHO)
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            start_canary(sales_root, SALES, "2", share, **WHO)
    assert end_canary(sales_root, "sales", **WHO) is None
    assert _steps(sales_root) == []
    start_canary(sales_root, SALES, "2", 0.1, **WHO)
    start_canary(sales_root, SALES, "2", 0.5, **WHO)
    learning.promote(sales_root, SALES, "2", **WHO)
    # Once it is in use it is no canary any more.
    assert canary_verdict(sales_root, "sales") is None
    assert Server(sales_root).ask()["version"] == "2"


def test_a_shadow_of_which_nothing_is_asked_is_told_and_resolved_once_it_is_asked(sales_root: Settings) -> None:
    start_shadow(sales_root.models_dir, SALES, "2")
    assert watch_shadows(sales_root, at_once=True) == []
    later = utc_now() + timedelta(hours=2)
    (fault,) = watch_shadows(sales_root, later, at_once=True)
    assert "version 2 of sales" in fault.title
    assert _alerts(sales_root, "shadow") == [("silence 2", "open")]
    # Looked at anew after five minutes only.
    assert watch_shadows(sales_root, utc_now()) == []
    server = Server(sales_root)
    server.ask()
    server.service.log.flush()
    assert watch_shadows(sales_root, utc_now() + timedelta(minutes=59), at_once=True) == []
    assert _alerts(sales_root, "shadow") == [("silence 2", "resolved")]


def test_shadow_and_canary_by_routes(sales_root: Settings) -> None:
    app, path = create_server(sales_root), "/api/v1/model-monitoring/models/sales"
    assert _ask(app, "GET", f"{path}/shadow").json() == {"model": "sales", "shadows": [], "canary": None}
    told = _ask(app, "POST", f"{path}/shadow", {"version": "2"}).json()
    assert [(each["version"], each["verdict"], each["is_silent"]) for each in told["shadows"]] == [
        ("2", "unknown", True)
    ]
    assert _ask(app, "POST", f"{path}/shadow", {"version": "9"}).status_code == 409
    assert _ask(app, "POST", f"{path}/shadow", {"version": "2", "action": "stop"}).json()["shadows"] == []
    assert _ask(app, "POST", f"{path}/shadow", {"version": "2", "action": "stop"}).status_code == 409
    told = _ask(app, "POST", f"{path}/canary", {"version": "2", "share": 0.25}).json()
    assert (told["canary"]["version"], told["canary"]["share"]) == ("2", 0.25)
    assert _ask(app, "POST", f"{path}/canary", {"version": "2", "share": 0}).status_code == 422
    assert _ask(app, "POST", f"{path}/canary", {}).status_code == 422
    assert _ask(app, "POST", f"{path}/canary", {"action": "stop"}).json()["canary"] is None
    assert _ask(app, "POST", f"{path}/canary", {"action": "stop"}).status_code == 409
    assert _ask(app, "POST", "/api/v1/model-monitoring/models/cheese/canary", {"version": "2"}).status_code == 404
