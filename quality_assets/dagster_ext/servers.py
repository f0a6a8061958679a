"""Dagster's own commands with another web server: `dagster dev` starts what we name, whose app we wrap.

Both replace a function that Dagster looks up in its own module; a test starts the servers to see that it still does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dagster._cli.dev as dagster_dev
from starlette.types import ASGIApp

_WEBSERVER = "dagster_webserver"


def run_webserver(wrap: Callable[[ASGIApp], ASGIApp]) -> None:
    """Run `dagster-webserver` with the arguments of this process, serving what `wrap` makes of its app."""
    import dagster_webserver.cli as dagster_cli

    create = dagster_cli.create_app_from_workspace_process_context

    def create_wrapped(*args: Any, **kwargs: Any) -> ASGIApp:
        return wrap(create(*args, **kwargs))

    dagster_cli.create_app_from_workspace_process_context = create_wrapped  # type: ignore[assignment]
    dagster_cli.main()


def run_dev(webserver: Sequence[str]) -> None:
    """Run `dagster dev` with the arguments of this process; `python -m` and `webserver` start its web server."""
    start = dagster_dev.open_ipc_subprocess

    def start_other(parts: Sequence[str], **kwargs: Any) -> Any:
        if _WEBSERVER in parts:
            at = parts.index(_WEBSERVER)
            parts = [*parts[:at], *webserver, *parts[at + 1 :]]
        return start(parts, **kwargs)

    dagster_dev.open_ipc_subprocess = start_other
    dagster_dev.dev_command()
