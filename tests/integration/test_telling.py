"""People are told once: by real SMTP and HTTP, grouped, tried again, and whoever is killed meanwhile."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from services import Mailbox, smtp_server
from sqlalchemy import select

from quality_assets.clock import utc_now
from quality_assets.domain.quality.alerting import Fault
from quality_assets.settings import Settings
from quality_assets.stores import retry_after, sender
from quality_assets.stores.operations.alert_tables import ALERT, CHANNEL, NOTIFICATION, SILENCE
from quality_assets.stores.operations.store import Operations, fetch, operations_of
from quality_assets.stores.retry_after import asked_wait_s
from quality_assets.stores.root_copies import original_of, remember_place
from quality_assets.stores.secret_refs import SecretMissingError, secret_of
from quality_assets.stores.servers import forget_servers, remember_servers
from quality_assets.tables.alerts import AlertBook, raise_fault
from quality_assets.tables.channels import (
    ChannelError,
    add_channel,
    change_channel,
    channel,
    checked,
    remove_channel,
    send_test,
)
from quality_assets.tables.house import parts
from quality_assets.tables.house_settings import change
from quality_assets.tables.silences import end_silence
from quality_assets.tables.telling import Delivered, tell, tell_of_run

MINUTE = timedelta(minutes=1)


@dataclass
class Hook:
    """What a web server was sent, in order; `status` is what it answers, and `retry_after` when to come again."""

    address: str = ""
    status: int = 200
    retry_after: str | None = None
    taken: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A web server on a free port that keeps what is posted."""
    kept = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.bodies.append(body)
            kept.headers.append(dict(self.headers))
            if kept.status < 300:
                kept.taken.append(json.loads(body))
            self.send_response(kept.status)
            self.send_header("location", "http://example.com/")
            if kept.retry_after is not None:
                self.send_header("retry-after", kept.retry_after)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.address = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def store(data_root: Settings) -> Operations:
    return operations_of(data_root)


def add(store: Operations, **given: Any) -> str:
    with store.write() as connection:
        return str(add_channel(connection, given, "ann")["channel_id"])


def add_hook(store: Operations, hook: Hook, **given: Any) -> str:
    return add(store, kind="webhook", address=hook.address, options={"allow_private_targets": True}, **given)


def add_mail(store: Operations, mailbox: Mailbox, **options: Any) -> str:
    return add(
        store, kind="smtp", address="ann@example.com", options={"host": "127.0.0.1", "port": mailbox.port, **options}
    )


def found(store: Operations, subject: str = "core.valid_events", **other: Any) -> str:
    given = {"kind": "check", "title": f"{subject} is wrong", "message": "Look.", "severity": "high", **other}
    with store.write() as connection:
        return raise_fault(connection, Fault(subject=subject, **given)).alert_id


def statuses(store: Operations) -> list[tuple[str, str, int]]:
    with store.read() as connection:
        rows = fetch(connection, select(NOTIFICATION).order_by(NOTIFICATION.c.notification_id))
    return [(row["transition"], row["status"], row["attempts"]) for row in rows]


def test_an_alert_reaches_mail_and_webhook_once_and_so_does_its_end(
    data_root: Settings, store: Operations, hook: Hook, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_KEY", "key")
    add_hook(store, hook, secret_ref="env:HOOK_KEY")
    add_mail(store, mailbox)
    alert_id = found(store, owner="team:events", observed=12.0, threshold=3.0, action="Mend it.")
    assert tell(data_root) == Delivered(), "its group is waited for"
    assert tell(data_root, utc_now() + MINUTE) == Delivered(2, 0)
    assert tell(data_root, utc_now() + MINUTE) == Delivered()
    AlertBook(store).resolve(alert_id, "bob", "fixed")
    assert tell(data_root) == Delivered(2, 0)

    assert [each["alerts"][0]["transition"] for each in hook.taken] == ["opened", "resolved"]
    assert hook.taken[0]["alerts"][0] | {"alert_id": alert_id, "observed": 12.0} == hook.taken[0]["alerts"][0]
    signature = hmac.new(b"key", hook.bodies[0], hashlib.sha256).hexdigest()
    assert hook.headers[0]["X-Quality-Signature"] == f"sha256={signature}"
    assert hook.headers[0]["X-Quality-Delivery"] != hook.headers[1]["X-Quality-Delivery"]
    assert [mail["Subject"] for mail in mailbox.messages] == [
        "[high] core.valid_events is wrong",
        "[high] Resolved: core.valid_events is wrong",
    ]
    text = str(mailbox.messages[0].get_payload(decode=True), "utf-8") if mailbox.messages else ""
    assert "observed 12, threshold 3" in text
    assert "Owner: team:events" in text
    assert f"/alerts/{alert_id}" in text
    assert mailbox.messages[0]["References"] == mailbox.messages[1]["References"]
    assert [each[1] for each in statuses(store)] == ["sent"] * 4


def test_forty_checks_of_one_cause_are_one_message_and_a_newcomer_is_told_as_such(
    data_root: Settings, store: Operations, hook: Hook
) -> None:
    add_hook(store, hook)
    add(
        store,
        kind="slack",
        name="chat",
        address=hook.address,
        options={"allow_private_targets": True},
        routes=[{"subjects": ["late"]}],
    )
    for n in range(40):
        found(store, f"table_{n}", group="upload", severity="critical" if n == 7 else "low")
    assert tell(data_root, utc_now() + MINUTE).sent == 1
    assert hook.taken[0]["title"] == "[critical] 40 alerts about table_0 and what is made from it"
    assert len(hook.taken[0]["alerts"]) == 40
    found(store, "late", group="upload")
    assert tell(data_root, utc_now() + MINUTE).sent == 2
    assert {tuple(each) for each in hook.taken[1:]} == {("text",), tuple(hook.taken[0])}
    told = next(each for each in hook.taken[1:] if len(each) > 1)
    assert [each["subject"] for each in told["alerts"]] == ["late"]


def test_a_message_tells_of_each_alert_once_and_counts_the_others_of_its_cause(
    data_root: Settings, store: Operations, hook: Hook
) -> None:
    add_hook(store, hook)
    found(store, severity="medium", group="upload")
    found(store, severity="critical", group="upload")
    found(store, "product.x", group="upload")
    assert tell(data_root, utc_now() + MINUTE) == Delivered(1, 0)
    assert [(each["subject"], each["transition"]) for each in hook.taken[0]["alerts"]] == [
        ("core.valid_events", "opened"),
        ("product.x", "opened"),
    ]
    assert tell(data_root, utc_now() + timedelta(hours=25)) == Delivered(1, 0)
    assert "were told before" not in hook.taken[1]["text"], "both are in the message itself"


def test_a_run_without_servers_tells_at_its_end(data_root: Settings, store: Operations, hook: Hook) -> None:
    add_hook(store, hook)
    found(store)
    remember_servers(data_root.data_dir, {})
    tell_of_run(data_root)
    assert hook.taken == [], "servers tell by themselves"
    forget_servers(data_root.data_dir)
    tell_of_run(data_root)
    assert [each["title"] for each in hook.taken] == ["[high] core.valid_events is wrong"]


def test_text_of_data_is_no_markup_of_a_chat_nor_a_header_of_a_mail(
    data_root: Settings, store: Operations, hook: Hook, mailbox: Mailbox
) -> None:
    add(store, kind="slack", address=hook.address, options={"allow_private_targets": True})
    add_mail(store, mailbox)
    found(store, title="<!channel> & co\nBcc: eve@example.com", message="\ud83d half <b>")
    assert tell(data_root, utc_now() + MINUTE).sent == 2
    assert "&lt;!channel&gt; &amp; co" in hook.taken[0]["text"]
    assert mailbox.messages[0]["Bcc"] is None
    assert mailbox.messages[0]["Subject"] == "[high] <!channel> & co Bcc: eve@example.com"
    assert mailbox.recipients == [["ann@example.com"]]


def test_what_is_not_taken_is_tried_again_and_then_the_channel_is_the_alert(
    data_root: Settings, store: Operations, hook: Hook
) -> None:
    hook.status = 500
    broken = add_hook(store, hook)
    found(store)
    now = utc_now() + MINUTE
    for attempt in range(1, 6):
        assert tell(data_root, now) == Delivered(0, 1)
        assert tell(data_root, now) == Delivered(), "not at once"
        state = "failed" if attempt == 5 else "pending"
        assert statuses(store)[0] == ("opened:0", state, attempt)
        now += timedelta(hours=1)
    with store.read() as connection:
        (alert,) = fetch(connection, select(ALERT).where(ALERT.c.kind == "channel"))
        assert channel(connection, broken)["last_error"].startswith("it answers 500")
    assert (alert["subject"], alert["severity"]) == (broken, "high")
    assert "It answers 500" in alert["message"]
    assert len(hook.bodies) == 5
    assert {headers["Idempotency-Key"] for headers in hook.headers} == {hook.headers[0]["Idempotency-Key"]}
    assert len(statuses(store)) == 1, "a channel is not told of itself"


def test_a_channel_that_delivers_again_resolves_its_alert(data_root: Settings, store: Operations, hook: Hook) -> None:
    with store.write() as connection:
        change(connection, "alerts.attempts", 1, "ann")
        change(connection, "alerts.passes_to_resolve", 1, "ann")
    hook.status = 500
    add_hook(store, hook)
    found(store, "a")
    tell(data_root, utc_now() + MINUTE)
    hook.status = 200
    found(store, "b")
    tell(data_root, utc_now() + MINUTE)
    with store.read() as connection:
        (alert,) = fetch(connection, select(ALERT).where(ALERT.c.kind == "channel"))
        (row,) = fetch(connection, select(CHANNEL))
    assert alert["status"] == "resolved"
    assert (row["failures"], row["last_error"]) == (0, None)


@pytest.mark.parametrize(
    ("status", "why"), [(302, "a redirection, which is not followed"), (404, "it answers 404"), (204, "")]
)
def test_a_test_of_a_channel_says_how_it_went(store: Operations, hook: Hook, status: int, why: str) -> None:
    hook.status = status
    added = add_hook(store, hook)
    assert why in send_test(store, added, "http://here")
    assert (send_test(store, added, "http://here") == "") is (status == 204)
    assert statuses(store) == []


def test_who_asks_to_wait_is_not_sent_a_message_before(data_root: Settings, store: Operations, hook: Hook) -> None:
    hook.status, hook.retry_after = 429, "600"
    add_hook(store, hook)
    found(store)
    now = utc_now() + MINUTE
    assert tell(data_root, now) == Delivered(0, 1)
    hook.status, hook.retry_after = 200, None
    assert tell(data_root, now + 9 * MINUTE) == Delivered()
    assert tell(data_root, now + 10 * MINUTE) == Delivered(1, 0)
    assert (len(hook.bodies), len(hook.taken)) == (2, 1)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        *((None, 0), ("0", 0), ("30", 30), ("7200", 3600), ("9" * 400, 3600), ("-5", 0), ("soon", 0), ("1.5", 0)),
        *(("Thu, 01 Jan 1970 00:16:50 GMT", 10), ("Thu, 01 Jan 1970 00:16:30 GMT", 0)),
    ],
)
def test_how_long_a_server_asks_to_wait(monkeypatch: pytest.MonkeyPatch, said: str | None, seconds: float) -> None:
    monkeypatch.setattr(retry_after.time, "time", lambda: 1000.0)
    found = asked_wait_s(said, 3600.0)
    assert (found or 0.0) == seconds
    assert (found is None) == (said in (None, "-5", "soon", "1.5")), "no wish is another thing than not to wait"


def test_a_private_address_is_refused_unless_it_is_allowed(store: Operations, hook: Hook) -> None:
    added = add(store, kind="webhook", address=hook.address)
    assert "address of a private network" in send_test(store, added, "http://here")
    assert hook.bodies == []
    with store.write() as connection:
        change(connection, "channels.allow_private_targets", True, "ann")
    assert send_test(store, added, "http://here") == ""


def test_a_server_that_is_not_there_is_said(store: Operations) -> None:
    added = add(store, kind="smtp", address="a@b.example", options={"host": "127.0.0.1", "port": 1})
    assert "nobody listens at its address" in send_test(store, added, "http://here")


def test_a_mail_server_without_encryption_is_refused_where_it_is_asked_for(store: Operations, mailbox: Mailbox) -> None:
    always = add_mail(store, mailbox, starttls="always")
    assert send_test(store, always, "http://here") == "the mail server offers no STARTTLS, which the channel asks for"
    assert mailbox.messages == []


def _certified(folder: Path) -> ssl.SSLContext:
    request = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {folder}/k -out {folder}/c"
    )
    subprocess.run(request.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "c", folder / "k")
    return context


def test_a_mail_server_is_spoken_to_by_starttls_and_with_the_secret(
    store: Operations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiosmtpd.smtp import AuthResult

    context = _certified(tmp_path)
    shown: list[bytes] = []

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        shown.append(data.password)
        return AuthResult(success=data.password == b"open sesame", handled=False)

    (tmp_path / "secret").write_text("open sesame\n")
    options = {"require_starttls": True, "tls_context": context, "authenticator": authenticate, "auth_required": True}
    with smtp_server(**options) as mailbox:
        mail = {"host": "127.0.0.1", "port": mailbox.port, "user": "quality", "starttls": "always"}
        strict = add(store, kind="smtp", address="ann@example.com", secret_ref=f"file:{tmp_path}/secret", options=mail)
        assert "no trusted encryption" in send_test(store, strict, "http://here")
        trusting = {**mail, "any_certificate": True}
        added = add(
            store, kind="smtp", address="ann@example.com", secret_ref=f"file:{tmp_path}/secret", options=trusting
        )
        assert send_test(store, added, "http://here") == ""
        assert shown == [b"open sesame"]
        assert [mail["Subject"] for mail in mailbox.messages] == ["[test] A test of this channel"]
        (tmp_path / "secret").write_text("wrong")
        assert "535" in send_test(store, added, "http://here")


def test_a_mail_server_is_spoken_to_by_tls_from_the_first_byte(
    store: Operations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "TALK_S", 1)
    with smtp_server(ssl_context=_certified(tmp_path)) as mailbox:
        plain = add_mail(store, mailbox, any_certificate=True)
        assert "wants options.starttls implicit" in send_test(store, plain, "http://here")
        wrapped = add_mail(store, mailbox, any_certificate=True, starttls="implicit")
        assert send_test(store, wrapped, "http://here") == ""
        monkeypatch.setattr(sender, "IMPLICIT_PORT", mailbox.port)
        assert send_test(store, plain, "http://here") == "", "the port says it"
    assert len(mailbox.messages) == 2


def test_a_password_goes_in_clear_only_where_the_channel_says_so(
    store: Operations, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "open sesame")
    mail = {"host": "127.0.0.1", "port": mailbox.port, "user": "quality"}
    added = add(store, kind="smtp", address="a@b.example", secret_ref="env:MAIL_PASSWORD", options=mail)
    assert "the password would go in clear" in send_test(store, added, "http://here")
    with store.write() as connection:
        change_channel(connection, added, {"options": {**mail, "starttls": "never"}}, "ann")
    assert "would go in clear" not in send_test(store, added, "http://here"), "it was tried"


def _answering(words: Sequence[tuple[float, bytes]]) -> tuple[int, list[float]]:
    """The port of a server that says these words after so many seconds each, and when it was asked."""
    listening, asked = socket.create_server(("127.0.0.1", 0)), []

    def answer() -> None:
        while True:
            asking, _ = listening.accept()
            asked.append(time.monotonic())
            with suppress(OSError), asking:
                for wait_s, word in words:
                    time.sleep(wait_s)
                    asking.sendall(word)
                asking.recv(65536)
                time.sleep(0.05)

    Thread(target=answer, daemon=True).start()
    return int(listening.getsockname()[1]), asked


def test_a_mail_server_that_takes_its_time_has_taken_the_message(
    store: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "TALK_S", 0.2)
    late = [(0.4 if word == b"250 taken" else 0, word + b"\r\n") for word in _SAID]
    port, _ = _answering(late)
    added = add(store, kind="smtp", address="a@b.example", options={"host": "127.0.0.1", "port": port})
    assert send_test(store, added, "http://here") == ""
    monkeypatch.setattr(sender, "TAKEN_S", 0.3)
    assert "whether it took the message; it may have" in send_test(store, added, "http://here")


_SAID = (b"220 hello", b"250 here", b"250 sender", b"250 recipient", b"354 go on", b"250 taken")


def test_an_answer_without_an_end_is_not_waited_for(store: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "TIMEOUT_S", 0.4)
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n"
    taken, _ = _answering([(0, head), *[(0.1, b"x")] * 40])
    endless, _ = _answering([(0.1, b"H")] * 40)
    strange, _ = _answering([(0, b"220 this is a mail server\r\n")])
    private = {"allow_private_targets": True}
    ports = {"": taken, "no end of its answer within": endless, "does not speak HTTP": strange}
    for why, port in ports.items():
        added = add(store, kind="webhook", address=f"http://127.0.0.1:{port}/", options=private)
        said = send_test(store, added, "http://here")
        assert why in said if why else said == ""


def test_who_does_not_answer_is_asked_once_and_holds_up_nobody_else(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "TIMEOUT_S", 0.5)
    port, asked = _answering([(2, b"")])
    hangs = {"kind": "webhook", "address": f"http://127.0.0.1:{port}/", "document": {}, "allow_private_targets": True}
    messages = [{**hangs, "delivery": f"h{n}"} for n in range(3)] + [
        {**hangs, "delivery": "t", "address": hook.address}
    ]
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path / "sent.jsonl")])
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*map(json.dumps, messages), sender.END])))
    assert sender.main() == 0
    went = [json.loads(line) for line in (tmp_path / "sent.jsonl").read_text().splitlines() if line]
    assert [(each["delivery"], each["error"]) for each in went] == [
        ("t", ""),
        *((f"h{n}", "no answer within 0.5 s") for n in range(3)),
    ]
    assert len(asked) == 1


def test_who_takes_long_is_not_waited_for_and_is_counted_by_whoever_comes_next(
    data_root: Settings, store: Operations
) -> None:
    port, asked = _answering([(3, b"HTTP/1.1 204 Taken\r\n\r\n")])
    add(store, kind="webhook", address=f"http://127.0.0.1:{port}/", options={"allow_private_targets": True})
    found(store)
    assert tell(data_root, utc_now() + MINUTE, wait_s=1) == Delivered(), "it goes on by itself"
    assert tell(data_root, utc_now() + MINUTE) == Delivered(), "another sends"
    until = time.monotonic() + 60
    while tell(data_root, utc_now() + MINUTE) != Delivered(1, 0):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert (len(asked), statuses(store)) == (1, [("opened:0", "sent", 0)])


def test_a_line_of_the_journal_that_was_cut_says_nothing(data_root: Settings, store: Operations, hook: Hook) -> None:
    add_hook(store, hook)
    found(store)
    journal = data_root.outbox_dir / "sent.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.write_text('{"delivery": "d", "error": "it answers 500: {}')
    assert tell(data_root, utc_now() + MINUTE) == Delivered(1, 0)


def test_a_secret_that_is_missing_fails_the_message_and_says_which(
    data_root: Settings, store: Operations, hook: Hook
) -> None:
    add_hook(store, hook, secret_ref="env:NOT_SET_ANYWHERE")
    found(store)
    assert tell(data_root, utc_now() + MINUTE) == Delivered(0, 1)
    with store.read() as connection:
        (row,) = fetch(connection, select(NOTIFICATION))
    assert row["error"] == "the environment variable NOT_SET_ANYWHERE is not set where this runs"
    assert hook.bodies == []


@pytest.mark.parametrize("reference", ["hunter2", "env:", "env:A B", "file:", "file:/nowhere/at/all", "env:NOT_SET"])
def test_what_is_no_reference_gives_no_secret(reference: str) -> None:
    with pytest.raises(SecretMissingError) as raised:
        secret_of(reference)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"kind": "pager"}, "none of smtp, webhook"),
        ({"kind": "webhook"}, "address is missing"),
        ({"kind": "webhook", "address": "ftp://x/y"}, "http:// or https://"),
        ({"kind": "webhook", "address": "http://user:pass@x/y"}, "a secret by itself"),
        ({"kind": "slack", "address": "https://hooks.slack.com/services/T/B/x"}, "a secret by itself"),
        ({"kind": "webhook", "address": "http://[::1"}, "is no address"),
        ({"kind": "webhook", "address": "http://x", "secret_ref": "hunter2"}, "secret_ref is env:NAME"),
        ({"kind": "webhook", "address": "http://x", "options": {"host": "h"}}, "has no option host"),
        ({"kind": "apprise", "address": "mailto://x"}, "hold secrets"),
        ({"kind": "smtp", "address": "nobody"}, "e-mail address"),
        ({"kind": "smtp", "address": "a@b.example"}, "options.host"),
        ({"kind": "smtp", "address": "a@b.example", "options": {"host": "h", "port": 0}}, "between 1 and 65535"),
        ({"kind": "smtp", "address": "a@b.example", "options": {"host": 5}}, "options.host is a text of one line"),
        (
            {"kind": "smtp", "address": "a@b.example", "options": {"host": "h", "from": "a\r\nBcc: x@y.z"}},
            "of one line",
        ),
        ({"kind": "smtp", "address": "a@b.example", "options": {"host": "h", "from": "nobody"}}, "options.from is"),
        (
            {"kind": "smtp", "address": "a@b.example", "options": {"host": "h", "any_certificate": "no"}},
            "true or false",
        ),
        ({"kind": "webhook", "address": "http://x", "options": {"allow_private_targets": "no"}}, "true or false"),
        ({"kind": "webhook", "address": "http://x/a b"}, "http:// or https://"),
        ({"kind": "webhook", "address": "http://x/a\x01"}, "a sign that no address has"),
        (
            {"kind": "smtp", "address": "a@b.example", "options": {"host": "h", "starttls": "no"}},
            "auto, always, implicit",
        ),
        ({"kind": "webhook", "address": "http://x", "routes": [{"severity": "bad"}]}, "severity is one of"),
        ({"kind": "webhook", "address": "http://x", "routes": [{"kinds": ["x"]}]}, "x is none"),
        ({"kind": "webhook", "address": "http://x", "routes": [{"who": "me"}]}, "a route has no who"),
    ],
)
def test_a_channel_that_could_tell_nobody_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ChannelError, match=why.replace("(", r"\(")):
        checked(given)


def _states(store: Operations) -> list[tuple[str, str, str | None]]:
    with store.read() as connection:
        rows = fetch(connection, select(NOTIFICATION).order_by(NOTIFICATION.c.notification_id))
    return [(row["channel_id"], row["status"], row["error"]) for row in rows]


def test_a_channel_that_comes_later_is_told_of_what_is_open_and_only_that(
    data_root: Settings, store: Operations, hook: Hook
) -> None:
    found(store, "a", severity="low")
    AlertBook(store).acknowledge(found(store, "b"), "ann")
    AlertBook(store).resolve(found(store, "c"), "ann")
    AlertBook(store).snooze(found(store, "d"), "ann", utc_now() + timedelta(hours=2))
    assert tell(data_root, utc_now() + MINUTE) == Delivered()
    add_hook(store, hook)
    assert tell(data_root, utc_now() + MINUTE) == Delivered(1, 0)
    assert tell(data_root, utc_now() + 2 * MINUTE) == Delivered()
    assert [(alert["subject"], alert["transition"]) for alert in hook.taken[0]["alerts"]] == [("a", "opened")]


def test_what_was_not_taken_is_told_once_a_test_is_taken_and_the_channel_is_no_alert(
    data_root: Settings, store: Operations, hook: Hook
) -> None:
    with store.write() as connection:
        change(connection, "alerts.attempts", 1, "ann")
    hook.status = 500
    added = add_hook(store, hook)
    found(store, "a")
    over = found(store, "b")
    assert tell(data_root, utc_now() + MINUTE) == Delivered(0, 2)
    AlertBook(store).resolve(over, "ann")
    assert tell(data_root, utc_now() + timedelta(hours=1)) == Delivered()
    hook.status = 200
    assert send_test(store, added, "http://here") == ""
    with store.read() as connection:
        (alert,) = fetch(connection, select(ALERT).where(ALERT.c.kind == "channel"))
    assert (alert["status"], alert["resolution"]) == ("resolved", "auto")
    assert tell(data_root, utc_now() + MINUTE) == Delivered(1, 0)
    assert [alert["subject"] for alert in hook.taken[1]["alerts"]] == ["a"], "what was over meanwhile is not told"


def test_what_nobody_took_is_tried_once_more_each_day(data_root: Settings, store: Operations, hook: Hook) -> None:
    with store.write() as connection:
        change(connection, "alerts.attempts", 2, "ann")
    hook.status = 500
    add_hook(store, hook)
    found(store, severity="medium")
    now = utc_now() + MINUTE
    for hours, bodies in ((0, 1), (1, 2), (2, 2), (26, 3), (27, 3), (52, 4)):
        tell(data_root, now + timedelta(hours=hours))
        assert len(hook.bodies) == bodies
    hook.status = 200
    assert tell(data_root, now + timedelta(hours=78)) == Delivered(1, 0)
    assert hook.taken[0]["alerts"][0]["transition"] == "opened"


def test_a_channel_that_is_off_or_gone_tells_nothing_and_another_does(
    data_root: Settings, store: Operations, hook: Hook
) -> None:
    for name in ("off", "gone", "on"):
        add_hook(store, hook, name=name, routes=[{"subjects": ["core.*"]}] if name != "on" else [])
    found(store)
    with store.write() as connection:
        change_channel(connection, "off", {"is_active": False}, "ann")
        remove_channel(connection, "gone", "ann")
    assert tell(data_root, utc_now() + MINUTE) == Delivered()
    assert _states(store) == [
        ("gone", "failed", "there is no channel gone any more"),
        ("off", "failed", "the channel off is switched off"),
    ]
    with store.write() as connection:
        change_channel(connection, "on", {"routes": [{}]}, "ann")
    assert tell(data_root, utc_now() + MINUTE) == Delivered(1, 0)
    with store.write() as connection:
        change_channel(connection, "off", {"is_active": True}, "ann")
    assert tell(data_root, utc_now() + MINUTE) == Delivered(1, 0)
    assert [state[:2] for state in _states(store)] == [("gone", "failed"), ("off", "sent"), ("on", "sent")]


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_channel_that_is_off_or_gone_is_no_alert(data_root: Settings, store: Operations, is_removed: bool) -> None:
    added = add(store, kind="webhook", address="http://127.0.0.1:1/x", options={"allow_private_targets": True})
    with store.write() as connection:
        change(connection, "alerts.attempts", 1, "ann")
    found(store)
    assert tell(data_root, utc_now() + MINUTE) == Delivered(0, 1)
    with store.write() as connection:
        remove_channel(connection, added, "ann") if is_removed else change_channel(
            connection, added, {"is_active": False}, "ann"
        )
    with store.read() as connection:
        (alert,) = fetch(connection, select(ALERT).where(ALERT.c.kind == "channel"))
    assert alert["status"] == "resolved"


def test_what_a_silence_held_back_is_told_when_it_is_ended(data_root: Settings, store: Operations, hook: Hook) -> None:
    add_hook(store, hook)
    now = utc_now()
    silence = {"starts_at": now, "ends_at": now + timedelta(hours=9), "reason": "x", "created_at": now}
    with store.write() as connection:
        connection.execute(SILENCE.insert(), [{**silence, "created_by": "ann"}])
    found(store)
    assert tell(data_root, now + MINUTE) == Delivered()
    with store.write() as connection:
        assert end_silence(connection, 1, "bob", now + 2 * MINUTE)
        assert not end_silence(connection, 1, "bob", now + 3 * MINUTE)
        assert not end_silence(connection, 2, "bob", now)
    assert tell(data_root, now + 4 * MINUTE) == Delivered(1, 0)


def test_an_owner_whom_nobody_knows_is_the_alert_and_not_the_channel(
    data_root: Settings, store: Operations, mailbox: Mailbox
) -> None:
    with store.write() as connection:
        change(connection, "alerts.attempts", 1, "ann")
    mailbox.unknown = {"gone@example.com"}
    mail = add(
        store, kind="smtp", name="mail", address="ops@example.com", routes=[{"kinds": ["channel"]}],
        options={"host": "127.0.0.1", "port": mailbox.port},
    )  # fmt: skip
    found(store, "a", owner="gone@example.com")
    assert tell(data_root, utc_now() + MINUTE) == Delivered(0, 1)
    with store.read() as connection:
        (alert,) = fetch(connection, select(ALERT).where(ALERT.c.kind == "channel"))
        assert (channel(connection, mail)["failures"], channel(connection, mail)["last_error"]) == (0, None)
    assert (alert["subject"], alert["title"]) == ("owner:gone@example.com", "No mail reaches gone@example.com")
    assert tell(data_root, utc_now() + 2 * MINUTE) == Delivered(1, 0)
    assert mailbox.recipients == [["ops@example.com"]], "others hear of it by the same channel"
    mailbox.unknown = set()
    for subject in ("b", "c"):
        found(store, subject, owner="gone@example.com")
        tell(data_root, utc_now() + 3 * MINUTE)
    with store.read() as connection:
        (alert,) = fetch(connection, select(ALERT).where(ALERT.c.kind == "channel"))
    assert (alert["status"], alert["resolution"]) == ("resolved", "auto")


def test_who_of_several_did_not_get_a_mail_is_said_and_nobody_gets_it_twice(
    data_root: Settings, store: Operations, mailbox: Mailbox
) -> None:
    server = {"host": "127.0.0.1", "port": mailbox.port}
    both = add(store, kind="smtp", address="ann@example.com, bob@example.com", options=server)
    mailbox.unknown = {"bob@example.com"}
    found(store)
    assert tell(data_root, utc_now() + MINUTE) == Delivered(1, 0)
    assert tell(data_root, utc_now() + 2 * MINUTE) == Delivered()
    said = "the mail server refuses bob@example.com: 550 no such user"
    assert _states(store) == [(both, "sent", said)]
    assert mailbox.recipients == [["ann@example.com"]]
    assert send_test(store, both, "http://here") == said


def test_a_message_that_cannot_be_written_is_refused_and_holds_up_nobody(
    data_root: Settings, store: Operations, hook: Hook, mailbox: Mailbox
) -> None:
    broken = add_mail(store, mailbox)
    # As code of before took it.
    with store.write() as connection:
        options = {"host": "127.0.0.1", "port": mailbox.port, "from": "a\r\nBcc: eve@example.com"}
        connection.execute(CHANNEL.update().where(CHANNEL.c.channel_id == broken).values(options=options))
    add_hook(store, hook)
    found(store)
    assert "cannot be written" in send_test(store, broken, "http://here")
    assert tell(data_root, utc_now() + MINUTE) == Delivered(1, 1)
    assert len(hook.taken) == 1
    assert ("opened:0", "pending", 1) in statuses(store)
    assert mailbox.messages == []


def test_a_silence_and_a_snooze_hold_back_and_tell_at_their_end(
    data_root: Settings, store: Operations, hook: Hook
) -> None:
    add_hook(store, hook)
    now = utc_now()
    over = now + timedelta(hours=1)
    silence = {"subject": "core.*", "starts_at": now - MINUTE, "ends_at": over, "reason": "Moving."}
    with store.write() as connection:
        connection.execute(SILENCE.insert(), [{**silence, "created_at": now, "created_by": "ann"}])
    found(store)
    assert tell(data_root, now + 2 * MINUTE) == Delivered()
    assert tell(data_root, over + MINUTE) == Delivered(1, 0)
    snoozed = found(store, "product.x")
    AlertBook(store).snooze(snoozed, "ann", over + 2 * MINUTE)
    assert tell(data_root, over + MINUTE) == Delivered()
    assert tell(data_root, over + 3 * MINUTE) == Delivered(1, 0)
    assert [each["alerts"][0]["transition"] for each in hook.taken] == ["opened", "snooze_over"]


_WORK = """
import sys
from datetime import timedelta
from quality_assets.clock import utc_now
from quality_assets.domain.quality.alerting import Fault
from quality_assets.settings import get_settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables.alerts import raise_fault, record_pass
from quality_assets.tables.telling import tell
settings = get_settings()
store = operations_of(settings)
print("ready", flush=True)
for n in range(int(sys.argv[1]), int(sys.argv[2])):
    with store.write() as connection:
        raise_fault(connection, Fault("check", f"t{n}", f"t{n}", "Look.", "high", group=f"g{n}"))
    tell(settings, utc_now() + timedelta(minutes=1))
"""


def test_whoever_is_killed_nothing_is_told_twice_and_nothing_is_untold(
    data_root: Settings, store: Operations, hook: Hook
) -> None:
    add_hook(store, hook)
    for n in range(3):
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORK, str(n * 50), str(n * 50 + 50)], stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        # Somewhere within its work, as far as what it has told says.
        before = len(hook.taken)
        while len(hook.taken) < before + 1 + n and worker.poll() is None:
            pass
        os.kill(worker.pid, 9)
        worker.wait()
        worker.stdout.close()
    _settle(data_root)
    with store.read() as connection:
        raised = {row["subject"] for row in fetch(connection, select(ALERT))}
    told = [alert["subject"] for each in hook.taken for alert in each["alerts"]]
    assert sorted(told) == sorted(raised)


def _settle(settings: Settings) -> None:
    """Tell until nothing waits: what a killed process began is ended by its own sender first."""
    later = utc_now() + timedelta(minutes=2)
    for _ in range(500):
        tell(settings, later)
        with operations_of(settings).read() as connection:
            waiting = select(NOTIFICATION).where(NOTIFICATION.c.status.in_(("pending", "sending")))
            waiting = waiting.where(NOTIFICATION.c.due_at <= later)
            if not fetch(connection, waiting):
                return
    raise AssertionError("something still waits to be told")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "http://127.0.0.1:8050"),
        ({"host": "0.0.0.0", "dashboard_port": 81}, "http://localhost:81"),
        ({"host": "::", "allowed_hosts": "quality.example,web"}, "http://quality.example:8050"),
        ({"host": "::1"}, "http://[::1]:8050"),
        ({"host": "0.0.0.0", "public_url": "https://quality.example/q/"}, "https://quality.example/q"),
        ({"public_url": ""}, "http://127.0.0.1:8050"),
    ],
)
def test_links_lead_to_where_people_open_the_dashboard(tmp_path: Path, given: dict[str, Any], address: str) -> None:
    assert Settings(data_dir=tmp_path, **given).link_address == address


@pytest.mark.parametrize("url", ["quality.example", "ftp://x", "https://", "https://x?y", "javascript:alert(1)"])
def test_an_address_for_links_is_one(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="is not http:// or https:// and a host"):
        Settings(data_dir=tmp_path, public_url=url)


def test_a_copy_of_a_root_tells_nobody_until_the_root_is_gone_or_somebody_says_so(
    data_root: Settings, store: Operations, hook: Hook, tmp_path: Path
) -> None:
    add_hook(store, hook)
    assert tell(data_root, utc_now() + MINUTE) == Delivered()
    found(store, "a")
    copies = [data_root.model_copy(update={"data_dir": tmp_path / name}) for name in ("one", "two")]
    for copy in copies:
        # As people copy: all that lies there, the outbox with it.
        shutil.copytree(data_root.data_dir, copy.data_dir)
    one, two = copies
    assert tell(one, utc_now() + MINUTE) == Delivered()
    (part,) = [part for part in parts(one) if part.name == "Notifications"]
    assert (part.status, f"is a copy of {data_root.data_dir}" in part.sentence) == ("failing", True)
    assert tell(data_root, utc_now() + MINUTE) == Delivered(1, 0)
    # Another way to the same folder is no copy of it.
    (tmp_path / "mounted").symlink_to(data_root.data_dir)
    assert original_of(data_root.model_copy(update={"data_dir": tmp_path / "mounted"})) is None
    remember_place(one)
    assert tell(one, utc_now() + MINUTE) == Delivered(1, 0), "somebody said so"
    data_root.data_dir.rename(tmp_path / "away")
    assert tell(two, utc_now() + MINUTE) == Delivered(1, 0), "it was moved, for all that can be seen"
    assert (two.outbox_dir / "root").read_text() == str(two.data_dir)
