"""Addresses of servers, whether a port can be listened on, and how servers that others send to listen on theirs."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from typing import Any

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""The names by which this machine is reached from itself alone."""

LIMITED_HEADS = "quality_assets.serve.heads:LimitedHeads"
"""Uvicorn's reader of requests, as it imports one by its name."""

UVICORN_OPTIONS: Mapping[str, Any] = {
    "http": LIMITED_HEADS,
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "date_header": False,
    # Longer than proxies keep a connection that nothing is asked on: it is theirs to close.
    "timeout_keep_alive": 75,
    "timeout_graceful_shutdown": 10,
}
"""Of the collector and the server of models; times in seconds."""


def address(host: str, port: int) -> str:
    """The address of a server that is bound to `host`."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    return _bound(host, port) is None


def why_not_listening(host: str, port: int, another: str) -> str | None:
    """Why no server can listen there, with the way on: `another` chooses another port. None where one can."""
    error = _bound(host, port)
    if error is None:
        return None
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is taken. Stop what listens there, or choose another port: {another}"
    if error.errno == errno.EACCES:
        return f"you may not listen on port {port} of {host}. Choose one above 1023"
    return f"{host} is no address of this machine. Bind to one that is, as 127.0.0.1, or to 0.0.0.0 for all that it has"


def _bound(host: str, port: int) -> OSError | None:
    """What the system says when one listens there; None where it lets one."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None
