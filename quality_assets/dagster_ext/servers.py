"""Dagster's own commands with another web server: `dagster dev` starts what we name, whose app we wrap.

Both replace a function that Dagster looks up in its own module; a test starts the servers to see that it still does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import dagster._cli.dev as dagster_dev
from dagster import TimeWindowPartitionsDefinition
from dagster._core.workspace.context import IWorkspaceProcessContext
from starlette.types import ASGIApp

_WEBSERVER = "dagster_webserver"
_LOOK_EVERY_S = 10.0
log = logging.getLogger(__name__)


def run_webserver(wrap: Callable[[ASGIApp], ASGIApp], first_date: Callable[[], date]) -> None:
    """Run `dagster-webserver` with the arguments of this process, serving what `wrap` makes of its app.

    The graph is loaded again, for the daemon too, whenever its partitions do not begin at `first_date` any more.
    """
    import dagster_webserver.cli as dagster_cli

    create = dagster_cli.create_app_from_workspace_process_context

    def create_wrapped(context: IWorkspaceProcessContext, *args: Any, **kwargs: Any) -> ASGIApp:
        threading.Thread(target=_keep_beginning, args=(context, first_date), daemon=True).start()
        return wrap(create(context, *args, **kwargs))

    dagster_cli.create_app_from_workspace_process_context = create_wrapped  # type: ignore[assignment]
    dagster_cli.main()


def _keep_beginning(context: IWorkspaceProcessContext, first_date: Callable[[], date]) -> None:
    """Look again and again, for as long as the server runs."""
    while True:
        time.sleep(_LOOK_EVERY_S)
        try:
            if (begins_at := _partitions_begin_at(context)) not in (None, first_date()):
                log.info("Partitions begin at %s, and data at another day: the graph is loaded again", begins_at)
                for name in context.create_request_context().code_location_names:
                    context.reload_code_location(name)
        except Exception:
            log.exception("It could not be seen where partitions should begin; this is tried again")


def _partitions_begin_at(context: IWorkspaceProcessContext) -> date | None:
    """The first day of the daily partitions of the graph as it is loaded; None while it is not, or has none."""
    graph = context.create_request_context().asset_graph
    daily = (graph.get(key).partitions_def for key in graph.get_all_asset_keys())
    found = (each.start.date() for each in daily if isinstance(each, TimeWindowPartitionsDefinition))
    return next(found, None)


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
