"""The process that sends messages: by SMTP, to webhooks, by Apprise. It is started with messages on its input, and
writes how each went to a journal at once.

It is a process of its own, so that whoever asked may be killed at any moment: what was begun is ended and written down,
and what was not handed over whole is not begun. It imports little: it starts whenever somebody has to be told.
Servers are spoken to side by side, so that one that hangs holds up nobody else's messages.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import smtplib
import socket
import ssl
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import formatdate
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

from quality_assets.stores.retry_after import asked_wait_s

TIMEOUT_S = 10
TALK_S, TAKEN_S = 20, 60
"""How long a mail server may take for a word, and for taking a message: many greet late, and look through a message
before they say that they have it. Who is not waited for has taken it, and is sent it again.
"""
_WHOLE_S = 3
"""How many times as long all of an exchange may take as one word of it: who speaks a sign at a time has no end."""
IMPLICIT_PORT = 465
IMPLICIT = "implicit"
END = "end"
NO_RECIPIENT = "the mail server refuses the recipient"
SIGNATURE = "X-Quality-Signature"
_MAX_ANSWER_BYTES = 500
_LONGEST_WAIT_S = 3600.0
_MOST_AT_ONCE = 8


class RefusedError(Exception):
    """A message was not taken; the text says why, without any secret. `wait_s`: for how long it asks."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class StalledError(RefusedError):
    """Nobody answers there, so that the next message would wait as long for nothing."""


class PartlyTakenError(RefusedError):
    """A message was taken for some of its recipients, who must not get it again; the text says who did not."""


def send(message: dict[str, Any]) -> None:
    """Send one message. Raises RefusedError with the reason."""
    try:
        {"smtp": _send_mail, "webhook": _post, "slack": _post, "apprise": _send_by_apprise}[message["kind"]](message)
    except RefusedError:
        raise
    except (smtplib.SMTPException, http.client.HTTPException) as error:
        raise _not_as_agreed(error, message) from None
    except TimeoutError:
        raise StalledError(_late(message)) from None
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message or error.reason
        raise RefusedError(f"no trusted encryption: {why}; options.any_certificate takes any") from None
    except ssl.SSLError as error:
        raise RefusedError(f"no trusted encryption: {error.reason or error}") from None
    except ConnectionRefusedError:
        raise StalledError("nobody listens at its address: the connection was refused") from None
    except ConnectionError:
        raise RefusedError("it ended the connection without an answer") from None
    except (OSError, UnicodeError) as error:
        raise RefusedError(str(error) or type(error).__name__) from None
    except Exception as error:
        # One message that nobody thought of must not keep those behind it from being sent, nor be tried for ever.
        raise RefusedError(f"it cannot be written: {type(error).__name__}: {error}") from None


def _not_as_agreed(error: Exception, message: dict[str, Any]) -> RefusedError:
    """What a server says, or does against its protocol, in words."""
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return RefusedError(f"the mail server says {error.smtp_code} {said}")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return RefusedError(f"{NO_RECIPIENT}: {_codes(error.recipients)}")
    if isinstance(error, smtplib.SMTPServerDisconnected):
        if isinstance(error.__context__, TimeoutError):
            return StalledError(_late(message))
        return RefusedError("the mail server ended the connection before it took the message")
    if isinstance(error, http.client.RemoteDisconnected):
        return RefusedError("it ended the connection without an answer")
    if isinstance(error, http.client.HTTPException):
        return RefusedError("what answers there does not speak HTTP")
    return RefusedError(str(error) or type(error).__name__)


def _late(message: dict[str, Any]) -> str:
    if message["kind"] != "smtp":
        return f"no answer within {TIMEOUT_S} s"
    if message.get("is_handed_over"):
        return f"the mail server did not say within {TAKEN_S} s whether it took the message; it may have"
    hint = f"; a port that takes TLS from the first byte, as {IMPLICIT_PORT} does, wants options.starttls {IMPLICIT}"
    return f"no word from the mail server within {TALK_S} s{'' if _is_implicit(message) else hint}"


def _codes(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(sorted({f"{code} {said.decode(errors='replace')}" for code, said in refused.values()}))


def _send_mail(message: dict[str, Any]) -> None:
    mail = EmailMessage()
    # A line's end in a title would begin a header of its own.
    mail["Subject"] = " ".join(message["title"].split())
    mail["From"], mail["To"] = message["from"], ", ".join(message["to"])
    mail["Date"], mail["Message-ID"] = formatdate(), f"<{message['delivery']}@feature-quality>"
    if message.get("thread"):
        mail["References"] = mail["In-Reply-To"] = f"<{message['thread']}@feature-quality>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message["text"])
    server = _mail_server(message)
    try:
        with _no_longer_than(server, TALK_S + TAKEN_S):
            _log_in(server, message)
            assert server.sock is not None
            server.sock.settimeout(TAKEN_S)
            message["is_handed_over"] = True
            refused = server.send_message(mail)
    finally:
        # The message is taken: how the server says goodbye does not matter, and is not waited for.
        server.close()
    if refused:
        raise PartlyTakenError(f"the mail server refuses {', '.join(sorted(refused))}: {_codes(refused)}")


def _is_implicit(message: dict[str, Any]) -> bool:
    """Whether a server is spoken to by TLS from the first byte: as the channel says, or as its port does."""
    wish = message["starttls"]
    return bool(wish == IMPLICIT or (message["port"] == IMPLICIT_PORT and wish != "never"))


def _mail_server(message: dict[str, Any]) -> smtplib.SMTP:
    if _is_implicit(message):
        return smtplib.SMTP_SSL(message["host"], message["port"], timeout=TALK_S, context=_tls(message))
    return smtplib.SMTP(message["host"], message["port"], timeout=TALK_S)


def _log_in(server: smtplib.SMTP, message: dict[str, Any]) -> None:
    """Encrypt as far as the channel asks for it, and say who we are. A password goes in clear only where it says so."""
    server.ehlo()
    is_encrypted = _is_implicit(message)
    if not is_encrypted and message["starttls"] != "never" and server.has_extn("starttls"):
        server.starttls(context=_tls(message))
        server.ehlo()
        is_encrypted = True
    if message["starttls"] == "always" and not is_encrypted:
        raise RefusedError("the mail server offers no STARTTLS, which the channel asks for")
    if not message.get("user"):
        return
    if message.get("secret") and message["starttls"] != "never" and not is_encrypted:
        raise RefusedError(
            "the mail server offers no STARTTLS, and the password would go in clear; options.starttls never allows it"
        )
    server.login(message["user"], message.get("secret") or "")


@contextmanager
def _no_longer_than(server: smtplib.SMTP | http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """End a connection after so long, however it goes on. Raises StalledError."""
    ended = []

    def end() -> None:
        ended.append(True)
        if server.sock is not None:
            # What TLS wraps is ended below it: a thread may be reading just now.
            socket.socket.shutdown(server.sock, socket.SHUT_RDWR)

    timer = Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception:
        if ended:
            raise StalledError(f"no end of its answer within {seconds} s") from None
        raise
    finally:
        timer.cancel()


def _tls(message: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if message.get("any_certificate"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _post(message: dict[str, Any]) -> None:
    body = json.dumps(message["document"], ensure_ascii=False).encode("utf-8", "replace")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "feature-quality",
        "X-Quality-Delivery": message["delivery"],
        "Idempotency-Key": message["delivery"],
    }
    if message.get("secret") and message["kind"] == "webhook":
        signature = hmac.new(message["secret"].encode(), body, hashlib.sha256).hexdigest()
        headers[SIGNATURE] = f"sha256={signature}"
    parts = urlsplit(message["address"])
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RefusedError("a webhook's address is http:// or https:// and a host")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    target = _resolved(parts.hostname, port, allow_private=bool(message.get("allow_private_targets")))
    connection = _connection(parts.scheme, parts.hostname, port, target, message)
    try:
        with _no_longer_than(connection, _WHOLE_S * TIMEOUT_S):
            connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
            answer = connection.getresponse()
            # It is taken: what else is said does not matter, and is not waited for.
            said = "" if answer.status < 400 else answer.read(_MAX_ANSWER_BYTES).decode(errors="replace")
    finally:
        connection.close()
    if 300 <= answer.status < 400:
        raise RefusedError(f"it answers {answer.status}, a redirection, which is not followed; give its final address")
    if not 200 <= answer.status < 300:
        why = f"it answers {answer.status} {answer.reason}: {' '.join(said.split())[:200]}".rstrip(": ")
        raise RefusedError(why, asked_wait_s(answer.getheader("Retry-After"), _LONGEST_WAIT_S) or 0.0)


def _resolved(host: str, port: int, *, allow_private: bool) -> str:
    """The address of a host. RefusedError where it is of a private network, which a webhook could be made to read."""
    found = [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not allow_private and not all(ipaddress.ip_address(each.partition("%")[0]).is_global for each in found):
        raise RefusedError(f"{host} is an address of a private network; allow_private_targets of the channel allows it")
    return found[0]


def _connection(scheme: str, host: str, port: int, target: str, message: dict[str, Any]) -> http.client.HTTPConnection:
    """A connection to the very address that was looked at: asked for again, the name might say another."""
    if scheme == "http":
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        connection.sock = socket.create_connection((target, port), TIMEOUT_S)
        return connection
    secure = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S)
    plain = socket.create_connection((target, port), TIMEOUT_S)
    secure.sock = _tls(message).wrap_socket(plain, server_hostname=host)
    return secure


def _send_by_apprise(message: dict[str, Any]) -> None:
    try:
        import apprise
    except ImportError:
        raise RefusedError("Apprise is not installed: `pip install 'feature-quality[alerts]'`") from None
    service = apprise.Apprise()
    if not service.add(message.get("secret") or message["address"]):
        raise RefusedError("Apprise knows no such address")
    if not service.notify(title=message["title"], body=message["text"]):
        raise RefusedError("Apprise could not send it, and does not say why")


def main() -> int:
    """Send what stands on the input, a JSON object a line, once its last line has come; the journal is `argv[1]`."""
    lines = sys.stdin.read().splitlines()
    if not lines or lines[-1] != END:
        return 3
    journal = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    lanes: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for message in map(json.loads, lines[:-1]):
        lanes[tuple(message.get(name) for name in ("kind", "host", "port", "address", "user"))].append(message)
    with ThreadPoolExecutor(min(len(lanes), _MOST_AT_ONCE) or 1) as threads:
        list(threads.map(lambda lane: _send_all(lane, journal), lanes.values()))
    os.close(journal)
    return 0


def _send_all(messages: Sequence[dict[str, Any]], journal: int) -> None:
    """Send what goes to one server, in order; where nobody answers, those behind are not waited for either."""
    stalled = ""
    for message in messages:
        error, remark, wait_s = stalled, "", 0.0
        if not stalled:
            try:
                send(message)
            except PartlyTakenError as partly:
                remark = str(partly)
            except StalledError as nobody:
                error = stalled = str(nobody)
            except RefusedError as refused:
                error, wait_s = str(refused), refused.wait_s
        entry = {"delivery": message["delivery"], "error": error, "remark": remark, "wait_s": wait_s}
        # One before it may have been cut, by a full disk or a kill.
        os.write(journal, f"\n{json.dumps(entry)}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
