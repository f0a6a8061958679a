"""The server of models as a process: from its port to its end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder

import uvicorn

from quality_assets.serve.logs import configure
from quality_assets.serve.ports import UVICORN_OPTIONS
from quality_assets.serve.prediction.prediction_app import create_app
from quality_assets.settings import Settings


class _NoPandas(MetaPathFinder):
    """There is no pandas, for whoever looks for it."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("the server of models does without pandas", name=fullname)


def leave_out_pandas() -> None:
    """Have scikit-learn and Arrow do without pandas, as they can: 50 MB that no request needs."""
    if not {"pandas", "sklearn"} & sys.modules.keys():
        sys.meta_path.insert(0, _NoPandas())


def run(settings: Settings, names: Sequence[str] | None, port: int) -> None:
    """Answer until Ctrl-C or SIGTERM. Raises UnguardedError before anything starts."""
    servers: list[uvicorn.Server] = []

    def backlog() -> int:
        return len(servers[0].server_state.tasks) if servers else 0

    leave_out_pandas()
    app, _ = create_app(settings, names, backlog=backlog)
    configure()
    config = uvicorn.Config(app, host=settings.host, port=port, **UVICORN_OPTIONS)
    servers.append(uvicorn.Server(config))
    servers[0].run()
