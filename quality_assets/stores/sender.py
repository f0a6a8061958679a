"""The process that sends messages: by SMTP, to webhooks, by Apprise. It is started with messages on its input, and
writes how each went to a journal at once.

It is a process of its own, so that whoever asked may be killed at any moment: what was begun is ended and written down,
and what was not handed over whole is not begun. It imports little: it starts whenever somebody has to be told.
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
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 5
END = "end"
SIGNATURE = "X-Quality-Signature"
_MAX_ANSWER_BYTES = 500


class RefusedError(Exception):
    """A message was not taken; the text says why, without any secret."""


class PartlyTakenError(RefusedError):
    """A message was taken for some of its recipients, who must not get it again; the text says who did not."""


def send(message: dict[str, Any]) -> None:
    """Send one message. Raises RefusedError with the reason."""
    try:
        {"smtp": _send_mail, "webhook": _post, "slack": _post, "apprise": _send_by_apprise}[message["kind"]](message)
    except RefusedError:
        raise
    except TimeoutError:
        raise RefusedError(f"no answer within {TIMEOUT_S} s") from None
    except ssl.SSLError as error:
        raise RefusedError(f"no trusted encryption: {error.reason or error}") from None
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        raise RefusedError(f"the mail server says {error.smtp_code} {said}") from None
    except smtplib.SMTPRecipientsRefused as error:
        raise RefusedError(f"the mail server refuses the recipient: {_codes(error.recipients)}") from None
    except ConnectionRefusedError:
        raise RefusedError("nobody listens at its address: the connection was refused") from None
    except (OSError, smtplib.SMTPException, http.client.HTTPException, UnicodeError) as error:
        raise RefusedError(str(error) or type(error).__name__) from None
    except Exception as error:
        # One message that nobody thought of must not keep those behind it from being sent, nor be tried for ever.
        raise RefusedError(f"it cannot be written: {type(error).__name__}: {error}") from None


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
    server = smtplib.SMTP(message["host"], message["port"], timeout=TIMEOUT_S)
    try:
        server.ehlo()
        if message["starttls"] != "never" and server.has_extn("starttls"):
            server.starttls(context=_tls(message))
            server.ehlo()
        elif message["starttls"] == "always":
            raise RefusedError("the mail server offers no STARTTLS, which the channel asks for")
        if message.get("user"):
            server.login(message["user"], message.get("secret") or "")
        refused = server.send_message(mail)
    finally:
        # The message is taken: how the server says goodbye does not matter, and is not waited for.
        server.close()
    if refused:
        raise PartlyTakenError(f"the mail server refuses {', '.join(sorted(refused))}: {_codes(refused)}")


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
        connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
        answer = connection.getresponse()
        said = answer.read(_MAX_ANSWER_BYTES).decode(errors="replace")
    finally:
        connection.close()
    if 300 <= answer.status < 400:
        raise RefusedError(f"it answers {answer.status}, a redirection, which is not followed; give its final address")
    if not 200 <= answer.status < 300:
        raise RefusedError(f"it answers {answer.status} {answer.reason}: {' '.join(said.split())[:200]}".rstrip(": "))


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
    for line in lines[:-1]:
        message = json.loads(line)
        error = remark = ""
        try:
            send(message)
        except PartlyTakenError as partly:
            remark = str(partly)
        except RefusedError as refused:
            error = str(refused)
        entry = {"delivery": message["delivery"], "error": error, "remark": remark}
        os.write(journal, (json.dumps(entry) + "\n").encode())
    os.close(journal)
    return 0


if __name__ == "__main__":
    sys.exit(main())
