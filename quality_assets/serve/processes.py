"""Starting the Dagster UI with its daemon and the dashboard, and stopping all of it, whatever it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from types import FrameType

import httpx

from quality_assets.serve.guard import check_exposure
from quality_assets.serve.ports import address, port_is_free
from quality_assets.settings import REPOSITORY_ROOT, Settings

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.3


class PortTakenError(RuntimeError):
    """A port that a server needs is in use. The message says which, and which setting moves it."""


class ServerDiedError(RuntimeError):
    """A server ended by itself. The message says which, and where its words are."""


def check_ports(settings: Settings) -> None:
    """Raise PortTakenError unless both servers can listen."""
    for what, host, port, name in (
        ("the Dagster UI", settings.dagster_host, settings.dagster_port, "QUALITY_DAGSTER_PORT"),
        ("the dashboard", settings.host, settings.dashboard_port, "QUALITY_DASHBOARD_PORT"),
    ):
        if not port_is_free(host, port):
            raise PortTakenError(
                f"{what} cannot start: port {port} of {host} is taken. Stop what listens there,"
                f" or choose another port: {name}={port + 1} quality serve"
            )


def serve(settings: Settings, environment: Mapping[str, str], announce: Callable[[str], None]) -> None:
    """Run the servers until Ctrl-C or SIGTERM, then stop them and all that they started.

    Their words go to `data/logs/`. Raises UnguardedError and PortTakenError before anything starts, ServerDiedError
    when one ends by itself; nothing is left running either way.
    """
    check_exposure(settings)
    check_ports(settings)
    logs = settings.data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    commands = {
        "dagster": _dagster_command(settings),
        "dashboard": _dashboard_command(settings),
    }
    processes: dict[str, subprocess.Popen[bytes]] = {}
    stopping = _stop_signals()
    try:
        for name, command in commands.items():
            with (logs / f"{name}.log").open("wb") as log:
                processes[name] = subprocess.Popen(
                    command,
                    cwd=REPOSITORY_ROOT,
                    env=dict(environment),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
        addresses = {
            "dagster": address(settings.dagster_host, settings.dagster_port),
            "dashboard": address(settings.host, settings.dashboard_port),
        }
        _wait_until_up(processes, addresses, stopping)
        if not stopping:
            announce(f"Dashboard   {addresses['dashboard']}")
            announce(f"Dagster UI  {addresses['dagster']}")
            announce("Ctrl-C stops both.")
        while not stopping:
            _raise_if_dead(processes, logs.as_posix())
            time.sleep(_POLL_S)
    finally:
        _stop(processes)


def _dagster_command(settings: Settings) -> list[str]:
    return [
        sys.executable,
        "-m",
        "quality_assets.serve.dagster_ui",
        "dev",
        "-w",
        str(REPOSITORY_ROOT / "workspace.yaml"),
        "-h",
        settings.dagster_host,
        "-p",
        str(settings.dagster_port),
    ]


def _dashboard_command(settings: Settings) -> list[str]:
    return [
        sys.executable,
        "-m",
        "uvicorn",
        "dash_app.app:server",
        "--host",
        settings.host,
        "--port",
        str(settings.dashboard_port),
        "--log-level",
        "warning",
    ]


def _stop_signals() -> list[int]:
    """A list that gets the number of the first signal that asks to stop."""
    received: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, remember)
    return received


def _wait_until_up(
    processes: Mapping[str, subprocess.Popen[bytes]], addresses: Mapping[str, str], stopping: list[int]
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    waiting = dict(addresses)
    while waiting and not stopping:
        _raise_if_dead(processes, "data/logs")
        for name, where in list(waiting.items()):
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(where, timeout=2.0)
                del waiting[name]
        if time.monotonic() > deadline:
            raise ServerDiedError(f"{', '.join(waiting)} did not answer within {START_TIMEOUT_S:.0f} s; see data/logs")
        time.sleep(_POLL_S)


def _raise_if_dead(processes: Mapping[str, subprocess.Popen[bytes]], logs: str) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise ServerDiedError(
                f"{name} ended by itself with code {process.returncode}; its words are in {logs}/{name}.log"
            )


def _stop(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for process in processes.values():
        _signal_group(process, signal.SIGINT)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for process in processes.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0.1))
    for process in processes.values():
        # What a server started and did not stop is in its group still.
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
