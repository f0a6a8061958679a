"""The server of models as a process: from its port to its end."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import uvicorn

from quality_assets.serve.logs import configure
from quality_assets.serve.prediction.prediction_app import create_app
from quality_assets.settings import Settings


def _leave_out_pandas() -> None:
    """Import scikit-learn and Arrow without pandas, which they do without: 50 MB that no request needs."""
    if {"pandas", "sklearn"} & sys.modules.keys():
        return
    # None says of a module that there is none; it stays, since both look again where they were not refused once.
    sys.modules["pandas"] = None  # type: ignore[assignment]


def run(settings: Settings, names: Sequence[str] | None, port: int) -> None:
    """Answer until Ctrl-C or SIGTERM. Raises UnguardedError before anything starts."""
    servers: list[uvicorn.Server] = []

    def backlog() -> int:
        return len(servers[0].server_state.tasks) if servers else 0

    _leave_out_pandas()
    app, _ = create_app(settings, names, backlog=backlog)
    configure()
    servers.append(
        uvicorn.Server(
            uvicorn.Config(
                app,
                host=settings.host,
                port=port,
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=10,
            )
        )
    )
    servers[0].run()
