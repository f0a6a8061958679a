"""Commands that start servers: serve, demo."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.data import build_and_follow, put_sample, put_sample_tables
from quality_assets.cli.output import fail, fail_if_newer, out
from quality_assets.settings import REPOSITORY_ROOT, Settings

_MAKE_STORAGE = """
from quality_assets.runner import graph_instance
from quality_assets.settings import get_settings

with graph_instance(get_settings()):
    pass
"""


@app.command()
def serve(
    take_over: Annotated[
        bool, typer.Option("--take-over", help="End servers that a killed `quality serve` has left, then start.")
    ] = False,
) -> None:
    """Start the Dagster UI with its daemon, the dashboard and the collector; Ctrl-C stops all."""
    _serve(root_settings(), take_over=take_over)


def _serve(settings: Settings, *, take_over: bool) -> None:
    from quality_assets.dagster_ext.home import prepare_home
    from quality_assets.serve.guard import UnguardedError
    from quality_assets.serve.processes import PortTakenError, ServerDiedError, ServersRunningError
    from quality_assets.serve.processes import serve as run_servers

    fail_if_newer(settings)
    prepare_home(settings)
    environment = {**os.environ, "QUALITY_DATA_DIR": str(settings.data_dir)}
    if not (settings.dagster_home / "schedules" / "schedules.db").exists():
        # The web server and the daemon would both make Dagster's storage. Here it would keep Dagster in memory.
        subprocess.run([sys.executable, "-c", _MAKE_STORAGE], env=environment, cwd=REPOSITORY_ROOT, check=True)
    try:
        run_servers(settings, environment, lambda line: out.print(escape(line)), take_over=take_over)
    except (UnguardedError, PortTakenError, ServerDiedError, ServersRunningError) as error:
        fail(str(error))


@app.command()
def demo(
    days: Annotated[int, typer.Option(min=1, help="Days of the sample.")] = 120,
    serving: Annotated[bool, typer.Option("--serve/--no-serve", help="Start the servers at the end.")] = True,
) -> None:
    """Put a sample into an empty landing zone, run the graph, say what it found, and start the servers."""
    from quality_assets.serve.guard import UnguardedError, check_exposure
    from quality_assets.serve.processes import PortTakenError, check_ports
    from quality_assets.stores.landing import scan

    settings = root_settings()
    if serving:
        try:
            check_exposure(settings)
            check_ports(settings)
        except (UnguardedError, PortTakenError) as error:
            fail(str(error))
    if not scan(settings.landing_dir)[0]:
        put_sample(settings, days)
        put_sample_tables(settings, min(days, 30))
    succeeded = build_and_follow(settings)
    out.print("A model that learns from a table: `quality train sales --demo --promote`")
    if serving:
        # A process of its own: what building needed, Great Expectations and Dagster among it, goes with this one.
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "quality_assets.cli", "serve"])  # noqa: S606
    if not succeeded:
        raise typer.Exit(1)
