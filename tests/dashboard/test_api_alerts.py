"""The API of alerts and of the house: who may write, writing once, what bad input gets; and the pages over it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from plotly.io.json import to_json_plotly
from pydantic import SecretStr
from services import Mailbox, alert_rows

from dash_app import router
from dash_app.app import create_server
from quality_assets.clock import utc_now
from quality_assets.domain.quality.alerting import Fault
from quality_assets.read import links
from quality_assets.read.links import Request
from quality_assets.read.reader import SnapshotStore
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables.alerts import AlertBook, raise_fault
from quality_assets.tables.channels import add_channel
from quality_assets.tables.tokens import house_token

Ask = Callable[..., httpx.Response]
OURS = {"x-quality": "1"}


def asking(settings: Settings, **usual: str) -> Ask:
    """Asks the server of a data root, as its own page does where nothing else is said."""
    server = create_server(settings)

    def ask(method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> httpx.Response:
        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(app=server, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8050") as client:
                sent: dict[str, Any] = {"content": raw} if raw is not None else {} if body is None else {"json": body}
                named = {name.replace("_", "-"): value for name, value in {**usual, **headers}.items()}
                if raw is not None:
                    named["content-type"] = "application/json"
                return await client.request(method, f"/api/v1{path}", headers=named, **sent)

        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(lambda: asyncio.run(request())).result()

    return ask


@pytest.fixture
def ask(data_root: Settings) -> Ask:
    return asking(data_root, **OURS)


@pytest.fixture
def alert_id(data_root: Settings) -> str:
    fault = Fault("check", "core.valid_events", "Rows are lost", "Two rows.", "high", check_name="rows_accounted")
    return AlertBook(operations_of(data_root)).raise_fault(fault).alert_id


def test_an_alert_is_answered_from_first_to_last(ask: Ask, alert_id: str) -> None:
    one = f"/alerts/{alert_id}"
    assert ask("GET", one).headers["etag"] == '"1"'
    taken = ask("POST", f"{one}/acknowledge", {"note": "Mine."}, if_match='"1"', x_quality_actor="J%C3%B6rg")
    assert (taken.status_code, taken.json()["status"], taken.json()["assignee"]) == (200, "acknowledged", "Jörg")
    assert taken.headers["etag"] == '"2"'
    assert ask("POST", f"{one}/assign", {"assignee": "bob"}).json()["assignee"] == "bob"
    assert ask("POST", f"{one}/assign", {"assignee": None}).json()["assignee"] is None
    until = (utc_now() + timedelta(hours=3)).isoformat() + "+00:00"
    assert ask("POST", f"{one}/snooze", {"until": until}).json()["snoozed_until"].endswith("Z")
    assert ask("POST", f"{one}/note", {"note": "Restarted."}).status_code == 200
    over = ask("POST", f"{one}/resolve", {"resolution": "false_alarm"}).json()
    assert (over["status"], over["resolution"], over["snoozed_until"]) == ("resolved", "false_alarm", None)
    assert ask("POST", f"{one}/reopen").json()["status"] == "open"
    events = ask("GET", one).json()["events"]
    assert [(event["action"], event["actor"]) for event in events] == [
        ("opened", "graph"),
        ("acknowledged", "Jörg"),
        ("assigned", "somebody"),
        ("assigned", "somebody"),
        ("snoozed", "somebody"),
        ("noted", "somebody"),
        ("resolved", "somebody"),
        ("reopened", "somebody"),
    ]


def test_who_read_an_older_version_gets_how_it_stands(ask: Ask, alert_id: str) -> None:
    assert ask("POST", f"/alerts/{alert_id}/acknowledge", if_match='"1"').status_code == 200
    late = ask("POST", f"/alerts/{alert_id}/resolve", if_match='W/"1"')
    assert late.status_code == 409
    assert "version 2" in late.json()["detail"]
    assert (late.json()["present"]["status"], late.json()["present"]["version"]) == ("acknowledged", 2)
    assert ask("POST", f"/alerts/{alert_id}/acknowledge", if_match="*").status_code == 409
    assert ask("POST", f"/alerts/{alert_id}/resolve", if_match="abc").status_code == 422


def test_a_key_writes_once(ask: Ask, data_root: Settings, alert_id: str) -> None:
    note = {"note": "Once."}
    first = ask("POST", f"/alerts/{alert_id}/note", note, idempotency_key="k")
    again = ask("POST", f"/alerts/{alert_id}/note", note, idempotency_key="k")
    assert (first.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert [e["action"] for e in ask("GET", f"/alerts/{alert_id}").json()["events"]] == ["opened", "noted"]
    other = ask("POST", f"/alerts/{alert_id}/note", {"note": "Else."}, idempotency_key="k")
    assert (other.status_code, "another request" in other.json()["detail"]) == (422, True)
    raised = [ask("POST", "/alerts", {"subject": "x", "title": "t"}, idempotency_key="k") for _ in range(2)]
    assert [answer.status_code for answer in raised] == [201, 201]
    assert [row["occurrences"] for row in alert_rows(data_root, subject="x")] == [1]


def test_a_fault_told_again_is_the_same_alert(ask: Ask) -> None:
    first, again = (ask("POST", "/alerts", {"subject": "x", "title": "t", "severity": "low"}) for _ in range(2))
    assert (first.status_code, first.json()["action"]) == (201, "opened")
    assert (again.status_code, again.json()["action"]) == (200, "seen")
    assert again.json()["alert"]["occurrences"] == 2


def test_lists_go_on_and_are_filtered(ask: Ask) -> None:
    for n in range(3):
        ask("POST", "/alerts", {"subject": f"s{n}", "title": f"t{n}", "severity": ("low", "high", "critical")[n]})
    page = ask("GET", "/alerts?limit=2").json()
    rest = ask("GET", f"/alerts?limit=2&cursor={page['next_cursor']}").json()
    subjects = [alert["subject"] for alert in [*page["alerts"], *rest["alerts"]]]
    assert (sorted(subjects), rest["next_cursor"]) == (["s0", "s1", "s2"], None)
    for query, expected in (
        ("severity=high,critical&status=open", {"s1", "s2"}),
        ("severity=low&severity=high", {"s0", "s1"}),
        ("q=T2", {"s2"}),
        ("subject=s0", {"s0"}),
        ("kind=check", set()),
        ("status=resolved", set()),
    ):
        assert {alert["subject"] for alert in ask("GET", f"/alerts?{query}").json()["alerts"]} == expected, query
    done = ask("POST", "/alerts/bulk", {"alert_ids": ["none"], "action": "resolve"}).json()["outcomes"]
    assert done == [{"alert_id": "none", "done": False, "detail": "No alert has the id 'none'."}]
    ids = [alert["alert_id"] for alert in ask("GET", "/alerts").json()["alerts"]]
    done = ask("POST", "/alerts/bulk", {"alert_ids": ids, "action": "resolve"}).json()["outcomes"]
    assert all(each["done"] for each in done)
    assert ask("GET", "/alerts/summary").json()["open"]["live"] == 0


@pytest.mark.parametrize(
    ("path", "raw", "status"),
    [
        ("/alerts", b'{"subject": "x", "title": "t", "observed": NaN}', 422),
        ("/alerts", b'{"subject": "x", "title": "t", "observed": 1e999}', 422),
        ("/alerts", b'{"subject": "x", "title": "t", "evidence": {"a": [-Infinity]}}', 422),
        ("/alerts", b'{"subject": "x", "title": "\\ud83d"}', 422),
        ("/alerts", b'{"subject": "x", "title": "t", "n": ' + b"9" * 5000 + b"}", 422),
        ("/alerts", b'{"subject": "  ", "title": "t"}', 422),
        ("/alerts", b'{"subject": "x", "title": "t", "n": 9223372036854775808}', 422),
        ("/alerts", b'{"subject": "x", "title": "t", "severity": "bad"}', 422),
        ("/alerts", b'{"subject": "x", "title": "t", "who": 1}', 422),
        ("/alerts", b"[" * 100_000, 422),
        ("/alerts", b"\xff\xfe", 422),
        ("/alerts", b"", 422),
        ("/alerts", b"null", 422),
        ("/alerts/{}/snooze", b"{}", 422),
        ("/alerts/{}/snooze", b'{"hours": 1, "until": "2100-01-01T00:00:00Z"}', 422),
        ("/alerts/{}/snooze", b'{"until": "2001-01-01T00:00:00Z"}', 422),
        ("/alerts/{}/snooze", b'{"until": "0001-01-01T00:00:00+14:00"}', 422),
        ("/alerts/{}/snooze", b'{"hours": 1e300}', 422),
        ("/alerts/{}/resolve", b'{"resolution": "auto"}', 422),
        ("/alerts/{}/assign", b"{}", 422),
        ("/alerts/{}/note", b'{"note": " "}', 422),
        ("/alerts/none/note", b'{"note": "x"}', 404),
        ("/alerts/bulk", b'{"alert_ids": [], "action": "resolve"}', 422),
        ("/channels", b'{"kind": "pager", "name": "x"}', 422),
        ("/channels", b'{"kind": "webhook", "name": "x", "address": "http://u:p@h/"}', 422),
        ("/silences", b'{"hours": 1}', 422),
        ("/silences", b'{"hours": 1, "reason": "x", "starts_at": "9999-12-31T23:59:59-14:00"}', 422),
        ("/silences", b'{"hours": 1, "reason": "x", "starts_at": "2001-01-01T00:00:00"}', 422),
        ("/tokens", b'{"name": "house"}', 422),
    ],
)
def test_what_cannot_be_is_refused_in_one_format(ask: Ask, alert_id: str, path: str, raw: bytes, status: int) -> None:
    answer = ask("POST", path.format(alert_id), raw=raw)
    assert answer.status_code == status, answer.text
    said = answer.json()
    assert isinstance(said["detail"], str)
    assert said["detail"]
    assert all(set(each) == {"where", "what"} for each in said.get("errors", []))


@pytest.mark.parametrize("query", ["status=closed", "limit=0", "limit=x", "severity=", "q=" + "x" * 300])
def test_a_question_that_makes_no_sense_is_said(ask: Ask, query: str) -> None:
    answer = ask("GET", f"/alerts?{query}")
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


def test_a_cursor_that_was_not_given_out_leads_nowhere(ask: Ask) -> None:
    assert ask("GET", "/alerts?cursor=xyz").status_code == 404


def test_text_is_kept_as_it_is_however_strange(ask: Ask) -> None:
    strange = "<script>alert(1)</script> ‮ ' \" ; drop table alert; -- \x00 é"
    raised = ask("POST", "/alerts", {"subject": strange, "title": strange, "evidence": {strange: [strange]}}).json()
    kept = strange.replace("\x00", "�")
    assert raised["alert"]["title"] == kept
    assert raised["alert"]["evidence"] == {kept: [kept]}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"x_quality": "2"}, 403),
        ({"x_quality": "1"}, 200),
        ({"x_quality": "1", "origin": "http://evil.example"}, 403),
        ({"x_quality": "1", "sec_fetch_site": "cross-site"}, 403),
        ({"x_quality": "1", "origin": "http://127.0.0.1:8050"}, 200),
        ({"x_quality": "1", "host": "evil.example"}, 421),
        ({"x_quality": "1", "content_type": "text/plain"}, 415),
        ({"authorization": "Bearer nonsense"}, 401),
        ({"authorization": "Bearer nonsense", "x_quality": "1"}, 401),
    ],
)
def test_who_may_write(data_root: Settings, alert_id: str, headers: dict[str, str], status: int) -> None:
    assert asking(data_root)("POST", f"/alerts/{alert_id}/acknowledge", **headers).status_code == status


def test_tokens_write_as_their_name_and_within_their_scopes(data_root: Settings, alert_id: str) -> None:
    ask = asking(data_root)
    own = {"authorization": f"Bearer {house_token(data_root)}"}
    assert house_token(data_root) == own["authorization"].removeprefix("Bearer ")
    made = {
        scope: ask("POST", "/tokens", {"name": f"{scope}er", "scopes": [scope]}, **own).json()
        for scope in ("read", "write", "admin")
    }
    shows = {scope: {"authorization": f"Bearer {row['token']}"} for scope, row in made.items()}
    assert ask("POST", f"/alerts/{alert_id}/acknowledge", **shows["read"]).status_code == 403
    assert ask("POST", f"/alerts/{alert_id}/acknowledge", **shows["write"]).json()["acknowledged_by"] == "writeer"
    body = {"value": 3}
    assert ask("PUT", "/settings/alerts.passes_to_resolve", body, **shows["write"]).status_code == 403
    assert ask("PUT", "/settings/alerts.passes_to_resolve", body, **shows["admin"]).json()["value"] == 3
    listed = ask("GET", "/tokens").text
    assert not any(row["token"] in listed for row in made.values())
    assert "sha256" not in listed
    assert ask("DELETE", f"/tokens/{made['admin']['token_id']}", **own).status_code == 204
    assert ask("PUT", "/settings/alerts.passes_to_resolve", body, **shows["admin"]).status_code == 401
    assert ask("DELETE", "/tokens/none", **own).status_code == 404


def test_where_a_token_is_asked_for_those_that_were_given_open_the_server(data_root: Settings, alert_id: str) -> None:
    house = house_token(data_root)
    ask = asking(data_root.model_copy(update={"token": SecretStr("a-secret-of-some-length")}))
    assert ask("GET", "/alerts").status_code == 401
    assert ask("GET", "/alerts", authorization=f"Bearer {house}").status_code == 200
    assert ask("GET", "/alerts", authorization="Bearer a-secret-of-some-length").status_code == 200
    assert ask("GET", "/alerts", authorization="Bearer else").status_code == 401


def test_settings_are_set_within_their_bounds_and_kept(ask: Ask) -> None:
    one = "/settings/alerts.reminder_every_h"
    assert ask("PUT", one, {"value": 12}).json()["version"] == 1
    assert ask("PUT", one, {"value": 6}, if_match='"7"').status_code == 409
    for wrong in (0, 1e9, "x", None if False else True, {"a": 1}):
        answer = ask("PUT", one, {"value": wrong})
        assert (answer.status_code, "alerts.reminder_every_h" in answer.json()["detail"]) == (422, True), wrong
    assert ask("PUT", "/settings/none", {"value": 1}).status_code == 404
    assert ask("PUT", "/settings/alerts.severity", {"value": {"core.valid_events": "worst"}}).status_code == 422
    assert ask("PUT", one, {"value": None}).json()["value"] == 24.0
    (activity, *_) = ask("GET", "/dashboard/recent-activity").json()
    assert (activity["entity"], activity["subject"], activity["note"]) == ("setting", "alerts.reminder_every_h", "24")


def test_a_channel_is_added_tested_changed_and_removed(ask: Ask, mailbox: Mailbox) -> None:
    mail = {
        "kind": "smtp",
        "name": "On call",
        "address": "ann@example.com",
        "options": {"host": "127.0.0.1", "port": mailbox.port},
        "routes": [{"severity": "high", "kinds": ["check"]}],
    }
    added = ask("POST", "/channels", mail).json()
    assert (added["channel_id"], added["routes"]) == ("on-call", [{"severity": "high", "kinds": ["check"]}])
    assert ask("POST", "/channels/on-call/test").json() == {"delivered": True, "reason": ""}
    assert mailbox.messages[0]["Subject"] == "[test] A test of this channel"
    assert ask("PUT", "/channels/on-call", {"is_active": False}, if_match='"1"').json()["is_active"] is False
    assert ask("PUT", "/channels/on-call", {"name": "x"}, if_match='"1"').status_code == 409
    assert ask("PUT", "/channels/on-call", {"options": {"host": ""}}).status_code == 422
    assert ask("PUT", "/channels/on-call", {"secret_ref": "env:KEY"}).json()["secret_ref"] == "env:KEY"
    bare = ask("PUT", "/channels/on-call", {"secret_ref": None, "routes": None, "name": None}).json()
    assert (bare["secret_ref"], bare["routes"], bare["name"]) == (None, [{}], "On call")
    assert ask("DELETE", "/channels/on-call").status_code == 204
    for method, path in (("DELETE", ""), ("PUT", ""), ("POST", "/test")):
        body = {"name": "x"} if method == "PUT" else None
        assert ask(method, f"/channels/on-call{path}", body).status_code == 404


def test_a_silence_begins_and_is_ended(ask: Ask) -> None:
    assert ask("POST", "/silences", {"kind": "chek", "hours": 2, "reason": "Moving."}).status_code == 422
    assert ask("GET", "/alerts?kind=chek").status_code == 422
    added = ask("POST", "/silences", {"subject": "core.*", "hours": 2, "reason": "Moving."})
    assert added.status_code == 201
    (listed,) = ask("GET", "/silences").json()
    assert (listed["subject"], listed["reason"], listed["created_by"]) == ("core.*", "Moving.", "somebody")
    assert ask("DELETE", f"/silences/{listed['silence_id']}").status_code == 204
    assert ask("DELETE", f"/silences/{listed['silence_id']}").status_code == 404
    assert ask("GET", "/silences").json() == []


def test_who_added_and_took_away_what_is_among_what_happened_last(ask: Ask) -> None:
    hook = {"kind": "webhook", "name": "Ops", "address": "https://example.com/x"}
    ask("POST", "/channels", hook)
    ask("PUT", "/channels/ops", {"is_active": False, "routes": [{"severity": "high"}]})
    ask("PUT", "/channels/ops", {"is_active": False})
    ask("DELETE", "/channels/ops")
    token = ask("POST", "/tokens", {"name": "ci", "scopes": ["read", "write"]}).json()["token_id"]
    ask("DELETE", f"/tokens/{token}")
    silence = ask("POST", "/silences", {"subject": "core.*", "most_severity": "high", "hours": 2, "reason": "Moving."})
    ask("DELETE", f"/silences/{silence.json()['silence_id']}")
    ask("POST", "/silences", {"hours": 8784, "reason": "Away."})
    ask("PUT", "/settings/alerts.attempts", {"value": 3})
    found = ask("GET", "/dashboard/recent-activity").json()
    assert [(row["entity"], row["action"], row["subject"], row["note"]) for row in reversed(found)] == [
        ("channel", "added", "Ops", "webhook"),
        ("channel", "changed", "Ops", "switched off, routes"),
        ("channel", "removed", "Ops", "webhook"),
        ("token", "added", "ci", "read, write"),
        ("token", "revoked", "ci", None),
        ("silence", "added", "subject core.*, most severity high", "Moving."),
        ("silence", "ended", "subject core.*, most severity high", None),
        ("silence", "added", "everything", "Away."),
        ("setting", "set", "alerts.attempts", "3"),
    ]
    assert {row["actor"] for row in found} == {"somebody"}
    assert found[-1]["entity_id"] == "ops"


def test_a_watched_table_that_comes_changes_and_goes_is_among_what_happened_last(ask: Ask, tmp_path: Path) -> None:
    sources = "/data-quality/sources"
    assert ask("POST", sources, {"name": "orders", "path": f"{tmp_path}/*.csv"}).status_code == 201
    ask("PUT", f"{sources}/orders", {"owner": "ann@example.com", "cadence": "daily"})
    ask("PUT", f"{sources}/orders", {"owner": "ann@example.com"})
    ask("DELETE", f"{sources}/orders")
    ask("DELETE", f"{sources}/orders")
    ask("POST", sources, {"name": "orders", "path": f"{tmp_path}/*.csv"})
    found = ask("GET", "/dashboard/recent-activity").json()
    assert [(row["entity"], row["action"], row["subject"], row["note"]) for row in reversed(found)] == [
        ("dataset", "added", "orders", "files"),
        ("dataset", "changed", "orders", "owner, cadence"),
        ("dataset", "removed", "orders", None),
        ("dataset", "added", "orders", "again, with its history"),
    ]


@pytest.mark.parametrize("hours", [0.009, 8784.1])
def test_a_silence_and_a_snooze_last_as_long_as_each_other(ask: Ask, alert_id: str, hours: float) -> None:
    assert ask("POST", "/silences", {"hours": hours, "reason": "Away."}).status_code == 422
    assert ask("POST", f"/alerts/{alert_id}/snooze", {"hours": hours}).status_code == 422


def test_the_dashboard_in_numbers(ask: Ask, alert_id: str) -> None:
    found = ask("GET", "/dashboard/overview").json()
    assert (found["features"], found["alerts"]["high"], found["alerts"]["unacknowledged"]) == (None, 1, 1)
    trend = ask("GET", "/dashboard/trends?days=3").json()
    assert [day["alerts_opened"] for day in trend] == [0, 0, 1]
    status = ask("GET", "/dashboard/system-status").json()
    assert {part["name"] for part in status["parts"]} >= {"Dagster", "Daemon", "Disk", "Notifications", "Warehouse"}
    assert status["status"] in ("ok", "failing")
    (first, *_) = ask("GET", "/dashboard/recent-activity?limit=1").json()
    assert (first["action"], first["entity_id"], first["subject"]) == ("opened", alert_id, "Rows are lost")


def test_the_page_asks_again_when_an_alert_changes(ask: Ask, alert_id: str) -> None:
    before = ask("GET", "/token").json()["token"]
    assert ask("GET", "/token").json()["token"] == before
    ask("POST", f"/alerts/{alert_id}/acknowledge")
    after = ask("GET", "/token").json()["token"]
    assert after != before
    assert after.split("#")[0] == before.split("#")[0], "the snapshot is the same"


def _page(settings: Settings, path: str, **query: str) -> str:
    root, _ = router.render(SnapshotStore(settings.published_dir), Request(path, query), settings)
    return str(json.dumps(json.loads(to_json_plotly(root, engine="orjson")), ensure_ascii=False))


def test_a_group_is_named_by_what_failed_furthest_upstream(data_root: Settings) -> None:
    with operations_of(data_root).write() as connection:
        for subject, severity in (("core.a", "low"), ("product.b", "medium"), ("ml.c", "medium")):
            raise_fault(connection, Fault("check", subject, f"{subject} fails", "It does.", severity, group="core.a"))
    said = _page(data_root, "/alerts")
    assert "3 alerts of one cause, about core.a" in said
    places = [said.index(f"{subject} fails") for subject in ("core.a", "product.b", "ml.c")]
    assert min(places) == places[0]


def test_pages_show_alerts_without_any_snapshot(data_root: Settings, alert_id: str) -> None:
    said = _page(data_root, "/alerts")
    assert "Rows are lost" in said
    assert "data-markup" in said
    assert "No alert is like that" in _page(data_root, "/alerts", status="resolved")
    assert "Rows are lost" in _page(data_root, "/alerts", severity="high", q="two rows")
    one = _page(data_root, links.alert(alert_id))
    for words in ("What is wrong", "I have it", "Nobody, but here", "Two rows."):
        assert words in one, words
    AlertBook(operations_of(data_root)).resolve(alert_id, "ann")
    assert "Reopen" in _page(data_root, links.alert(alert_id))
    assert "No such alert" in _page(data_root, "/alerts/none")
    assert "Nothing is wrong" in _page(data_root, "/alerts")


def test_a_row_leads_to_others_like_it_and_an_alert_can_be_nobodys(data_root: Settings, alert_id: str) -> None:
    assert "Nobody's" not in _page(data_root, links.alert(alert_id))
    AlertBook(operations_of(data_root)).assign(alert_id, "bob", "ann")
    said = _page(data_root, "/alerts", severity="high")
    for query in ("kind=check", "assignee=ann", "subject="):
        assert f"&{query}" in said.replace("&amp;", "&") or f"?{query}" in said, query
    assert "Nobody's" in _page(data_root, links.alert(alert_id)).replace("&#x27;", "'")


def test_what_taught_says_so_on_its_page(data_root: Settings, alert_id: str) -> None:
    assert "quiet from then on" in _page(data_root, links.alert(alert_id))
    AlertBook(operations_of(data_root)).resolve(alert_id, "ann", "expected")
    assert "It is no problem as it was. It is told again" in _page(data_root, links.alert(alert_id))


def test_settings_show_channels_silences_tokens_and_every_setting(data_root: Settings) -> None:
    empty = _page(data_root, "/settings")
    assert "No channel yet" in empty
    with operations_of(data_root).write() as connection:
        hook = {"kind": "webhook", "name": "<Hook>", "address": "http://127.0.0.1:9/x", "routes": [{"kinds": ["run"]}]}
        add_channel(connection, hook, "ann")
    said = _page(data_root, "/settings")
    assert "&lt;Hook&gt;" in said
    assert "alerts.passes_to_resolve" in said
    assert "Send a test" in said


def test_what_data_say_is_text_on_the_pages(data_root: Settings) -> None:
    strange = "<img src=x onerror=alert(1)>"
    with operations_of(data_root).write() as connection:
        fault = Fault("dataset", strange, strange, strange, "low", check_name=strange, evidence={strange: strange})
        raised = raise_fault(connection, fault)
    drawn = json.loads(_page(data_root, "/alerts"))
    texts = [value for value in _markups(drawn) if "onerror" in value]
    assert texts
    assert not any("<img" in text for text in texts)
    assert strange in _page(data_root, links.alert(raised.alert_id))


def test_an_incident_is_told_without_the_words_of_its_table(data_root: Settings) -> None:
    evidence = {"since": "2026-11-12", "kind": "creep", "is_blocking": False, "is_late": True, "unit": "ms"}
    with operations_of(data_root).write() as connection:
        fault = Fault(
            "incident", "Pay", "Pay: slow", "Pay is slow.", "low", check_name="inc-1", column_name="latency_p95_ms",
            partition_key="2026-11-29", evidence=evidence,
        )  # fmt: skip
        raised = raise_fault(connection, fault)
    said = _page(data_root, links.alert(raised.alert_id))
    for words in ("12 Nov 2026", "growing", "29 Nov 2026", "Told first on", "Metric", "Latency p95", '"yes"'):
        assert words in said, words
    for words in ("2026-11-12", "2026-11-29", "creep", "latency_p95_ms", "is blocking"):
        assert words not in said, words


def test_a_key_that_is_no_date_stays_as_it_is(data_root: Settings) -> None:
    with operations_of(data_root).write() as connection:
        fault = Fault("check", "Pay", "t", "m", "low", partition_key="2026-02-30")
        raised = raise_fault(connection, fault)
    assert "2026-02-30" in _page(data_root, links.alert(raised.alert_id))


def _markups(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["data-markup"]] if "data-markup" in node else []
        return own + [text for value in node.values() for text in _markups(value)]
    return [text for value in node for text in _markups(value)] if isinstance(node, list) else []


def test_the_bell_counts_what_nobody_has(data_root: Settings, alert_id: str) -> None:
    assert "1 alert that nobody has acknowledged" in str(router.bell(data_root))
    AlertBook(operations_of(data_root)).acknowledge(alert_id, "ann")
    assert "nothing waits" in str(router.bell(data_root))


def test_a_store_that_does_not_answer_is_said_and_pages_stay(full_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(  # type: ignore[call-arg]
        data_dir=full_root, operations_url=SecretStr("postgresql://nobody:secret@127.0.0.1:1/none"), _env_file=None
    )
    ask = asking(settings, **OURS)
    answer = ask("GET", "/alerts")
    assert (answer.status_code, "does not answer" in answer.json()["detail"]) == (503, True)
    assert "secret" not in answer.text
    assert ask("GET", "/features").status_code == 200
    assert ask("GET", "/token").json()["token"].endswith("#?")
    assert "Live comments" in _page(settings, "/")


def test_what_cannot_be_done_as_it_stands_says_how_it_stands(ask: Ask, alert_id: str) -> None:
    assert ask("POST", f"/alerts/{alert_id}/resolve").status_code == 200
    refused = ask("POST", f"/alerts/{alert_id}/acknowledge")
    assert (refused.status_code, refused.json()["present"]["status"]) == (409, "resolved")
    assert ask("POST", f"/alerts/{alert_id}/snooze", {"hours": 1e-12}).status_code == 422
    assert ask("POST", f"/alerts/{alert_id}/assign", {"assignee": " ann  b\n"}).json()["assignee"] == "ann b"
    assert ask("POST", f"/alerts/{alert_id}/assign", {"assignee": " "}).json()["assignee"] is None
