"""Starting the Dagster UI with its daemon, the dashboard, the collector and the server of models, and ending all."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx
from filelock import FileLock, Timeout

from quality_assets.serve.guard import check_exposure
from quality_assets.serve.ports import address, port_is_free, why_not_listening
from quality_assets.settings import REPOSITORY_ROOT, Settings
from quality_assets.stores.http_client import http_client
from quality_assets.stores.locks import is_held
from quality_assets.stores.process_ids import commands_of_session, is_alive, pid_of, process_name
from quality_assets.stores.servers import folder_identity, forget_servers, recorded_servers, remember_servers

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
CODE_SERVER_GONE_S = 10.0
MAX_MENDED = 3
MAX_LOG_BYTES = 10 << 20
_POLL_S = 0.3
_LOOK_FOR_RELEASES_S = 3.0


class PortTakenError(RuntimeError):
    """A port that a server needs is in use. The message says which, and which setting moves it."""


class ServersRunningError(RuntimeError):
    """Servers of this data root run already, or were left by one that was killed. The message names them."""


class ServerDiedError(RuntimeError):
    """A server ended by itself. The message says which, and where its words are."""


def check_ports(settings: Settings) -> None:
    """Raise PortTakenError unless all servers can listen."""
    models = ("the server of models", settings.host, settings.predict_port, "QUALITY_PREDICT_PORT")
    asked: dict[int, str] = {}
    for what, host, port, name in (
        *((models,) if serves_models(settings) else ()),
        ("the Dagster UI", settings.dagster_host, settings.dagster_port, "QUALITY_DAGSTER_PORT"),
        ("the dashboard", settings.host, settings.dashboard_port, "QUALITY_DASHBOARD_PORT"),
        ("the collector", settings.collector_host, settings.collector_port, "QUALITY_COLLECTOR_PORT"),
    ):
        if name == "QUALITY_COLLECTOR_PORT" and collector_runs(settings):
            continue
        if why := why_not_listening(host, port, f"{name}={port + 1} quality serve"):
            raise PortTakenError(f"{what} cannot start: {why}")
        if port in asked:
            # Which of them would get it is chance, and what answers there would pass for both.
            raise PortTakenError(
                f"{what} cannot start: port {port} is {asked[port]}'s too. Set {name} to a port of its own"
            )
        asked[port] = what


def collector_runs(settings: Settings) -> bool:
    """Whether a collector of this root runs already, which `quality collect` has started."""
    return is_held(settings.live_dir / ".processor.lock")


def serves_models(settings: Settings) -> bool:
    """Whether a model that is asked over HTTP is released; not while the operations store does not answer.

    The other servers do without it, and it is asked again.
    """
    from sqlalchemy.exc import DBAPIError

    from quality_assets.domain.models.learning.known_use_cases import TABULAR
    from quality_assets.domain.models.learning.release_stack import in_use
    from quality_assets.stores.releases import release_log

    if settings.operations_url is None and not settings.operations_path.is_file():
        return False
    try:
        log = release_log(settings)
        return any(in_use(log.of(name)) is not None for name in TABULAR)
    except DBAPIError:
        return False


def serve(
    settings: Settings, environment: Mapping[str, str], announce: Callable[[str], None], *, take_over: bool = False
) -> None:
    """Run the servers until Ctrl-C or SIGTERM, then stop them and all that they started.

    Their words go to `data/logs/`. Raises ServersRunningError where others serve this root, or were left behind by a
    `serve` that was killed (`take_over` ends those first), UnguardedError and PortTakenError before anything starts,
    ServerDiedError when one ends by itself; nothing is left running either way.
    """
    check_exposure(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with _only_one(settings, take_over=take_over, announce=announce):
        check_ports(settings)
        commands, stopping = _commands(settings), _stop_signals()
        servers = _Servers(settings, environment)
        try:
            for name, command in commands.items():
                servers.log_of(name).write_bytes(b"")
                servers.start(name, command)
            _wait_until_up(servers.processes, _addresses(settings, commands), stopping, servers.logs.as_posix())
            if not stopping:
                _announce(settings, commands, announce)
            _keep_up(servers, commands["dagster"], stopping, announce)
        finally:
            _stop(servers.processes)


class _Servers:
    """The servers that one `serve` has started, by what they are; the words of each go to a log of its own."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self.settings, self._environment = settings, environment
        self.logs = settings.data_dir / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.root = folder_identity(settings.data_dir)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def log_of(self, name: str) -> Path:
        """Where the words of a server go."""
        return self.logs / f"{name}.log"

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a server, in the place of one that has ended, so that others know of it."""
        self.processes[name] = _started(command, self.log_of(name), self._environment)
        _remember(self.settings, self.processes)


def _addresses(settings: Settings, names: Iterable[str]) -> dict[str, str]:
    """Where each server answers once it is up."""
    known = {
        "dagster": address(settings.dagster_host, settings.dagster_port),
        "dashboard": address(settings.host, settings.dashboard_port),
        "collector": address(settings.collector_host, settings.collector_port),
        "models": f"{address(settings.host, settings.predict_port)}/healthz",
    }
    return {name: known[name] for name in names}


def _announce(settings: Settings, names: Container[str], announce: Callable[[str], None]) -> None:
    announce(f"Dashboard   {address(settings.host, settings.dashboard_port)}")
    announce(f"Dagster UI  {address(settings.dagster_host, settings.dagster_port)}")
    # One that ran before serves this root as well.
    announce(f"Collector   {address(settings.collector_host, settings.collector_port)}")
    if "models" in names:
        announce(f"Models      {address(settings.host, settings.predict_port)}")
    announce("Ctrl-C stops all.")


def _keep_up(
    servers: _Servers, dagster: Sequence[str], stopping: Sequence[int], announce: Callable[[str], None]
) -> None:
    """Until somebody stops: start Dagster again where it ended, and the server of models once it can answer."""
    logs, models, code_server = servers.logs.as_posix(), _ModelsWatch(servers.settings), CodeServerWatch()
    while not stopping:
        _raise_if_moved(servers.settings.data_dir, servers.root)
        running = servers.processes["dagster"]
        if (gone := _gone_of_dagster(running, code_server)) is not None:
            announce(code_server.mend_or_raise(logs, gone))
            _stop({"dagster": running})
            servers.start("dagster", dagster)
        _raise_if_dead(servers.processes, logs)
        if "models" not in servers.processes and (said := models.due(time.monotonic())) is not None:
            announce(said)
            if models.may_start:
                servers.start("models", _models_command())
        _rotate(servers.logs)
        time.sleep(_POLL_S)


def _gone_of_dagster(process: subprocess.Popen[bytes], code_server: CodeServerWatch) -> str | None:
    """Which part of Dagster has ended by itself; None where all run.

    Dagster ends with its daemon or its UI, as where memory was short: dashboard and collector need neither, and events
    would be lost meanwhile.
    """
    if process.poll() is not None:
        return "Dagster's daemon or UI"
    is_gone = code_server.is_gone(commands_of_session(process.pid), time.monotonic())
    return "Dagster's code server" if is_gone else None


class _ModelsWatch:
    """Whether the server of models is to be started: once something is released that it could answer for."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._looked_at = settings, -_LOOK_FOR_RELEASES_S
        self._was_told, self.may_start = False, False

    def due(self, now: float) -> str | None:
        """What is said of it where there is news, `may_start` says which; None where nothing is to be done."""
        if now - self._looked_at < _LOOK_FOR_RELEASES_S:
            return None
        self._looked_at = now
        if not serves_models(self._settings):
            return None
        host, port = self._settings.host, self._settings.predict_port
        self.may_start = port_is_free(host, port)
        if self.may_start:
            return f"Models      {address(host, port)}, since a model was released"
        if self._was_told:
            return None
        self._was_told = True
        return (
            f"A model is released, and its server cannot start: port {port} of {host} is taken (QUALITY_PREDICT_PORT)."
        )


class CodeServerWatch:
    """Whether the process that holds our code still runs: Dagster's own pages say that all is well without it.

    It counts how often Dagster was mended, whatever of it had ended.
    """

    def __init__(self) -> None:
        self._seen_at: float | None = None
        self._mended = 0

    def is_gone(self, commands: Sequence[str] | None, now: float) -> bool:
        """Whether none of Dagster's processes holds the code any more, and has not for a while; None is unknown."""
        if commands is None:
            return False
        if any(" api grpc " in f"{command} " for command in commands):
            self._seen_at = now
        return self._seen_at is not None and now - self._seen_at > CODE_SERVER_GONE_S

    def mend_or_raise(self, logs: str, gone: str = "Dagster's code server") -> str:
        """What is said of the mending of what is `gone`; ServerDiedError where that was too often."""
        self._seen_at = None
        self._mended += 1
        if self._mended > MAX_MENDED:
            raise ServerDiedError(
                f"Dagster ended by itself {self._mended} times, {gone} last; its words are in {logs}/dagster.log"
            )
        return f"{gone} ended by itself: Dagster is started again. Its words are in {logs}/dagster.log"


def _started(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # Appending: what is cut off at its beginning goes on at its end.
    with log.open("ab") as stream:
        return subprocess.Popen(
            command,
            cwd=REPOSITORY_ROOT,
            env=dict(environment),
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def _rotate(logs: Path) -> None:
    """Keep each server's log, and one before it, below a size."""
    for name in ("dagster", "dashboard", "collector", "models"):
        log = logs / f"{name}.log"
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            shutil.copyfile(log, logs / f"{name}.log.1")
            os.truncate(log, 0)


def _remember(settings: Settings, processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    names = {"serve": process_name(os.getpid())}
    names |= {name: process_name(process.pid) for name, process in processes.items()}
    remember_servers(settings.data_dir, names)


def is_served(settings: Settings) -> bool:
    """Whether a `quality serve` of this root runs."""
    return is_held(settings.data_dir / ".serve.lock")


def remembered_servers(settings: Settings) -> dict[str, str]:
    """The servers of this root that still run, by what they are."""
    return {what: name for what, name in (recorded_servers(settings.data_dir) or {}).items() if is_alive(name)}


@contextmanager
def _only_one(settings: Settings, *, take_over: bool, announce: Callable[[str], None]) -> Iterator[None]:
    """Hold the root's servers for this process: two daemons would ask for everything twice."""
    lock = FileLock(settings.data_dir / ".serve.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        others = ", ".join(f"{what} {pid_of(name)}" for what, name in remembered_servers(settings).items()) or "unknown"
        raise ServersRunningError(
            f"{settings.data_dir} is served already (processes: {others}). Stop that one with Ctrl-C, or"
            " `kill` and the number of serve."
        ) from None
    try:
        # Who has the lock is the only one that serves; `serve` itself leads no group of its own that could be ended.
        left = {what: name for what, name in remembered_servers(settings).items() if what != "serve"}
        if left and not take_over:
            named = ", ".join(f"{what} {pid_of(name)}" for what, name in left.items())
            raise ServersRunningError(
                f"servers of {settings.data_dir} were left by a `quality serve` that was killed (processes: {named})."
                " `quality serve --take-over` ends them and starts anew."
            )
        # Whoever comes second learns whom to stop, from the start on.
        remember_servers(settings.data_dir, {**left, "serve": process_name(os.getpid())})
        for what, name in left.items():
            announce(f"Ending {what}, process {pid_of(name)}, which was left by a `quality serve` that was killed.")
            _end_group(name)
        try:
            yield
        finally:
            forget_servers(settings.data_dir)
    finally:
        lock.release()


def _end_group(name: str) -> None:
    """End a process that leads a group, and all of the group."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid_of(name), number)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while is_alive(name) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def _commands(settings: Settings) -> dict[str, list[str]]:
    """What is started, by what it is; no collector where one of this root runs already, no server of models
    before any is released."""
    commands = {"dagster": _dagster_command(settings), "dashboard": _dashboard_command()}
    if not collector_runs(settings):
        commands["collector"] = _collector_command()
    if serves_models(settings):
        commands["models"] = _models_command()
    return commands


def _models_command() -> list[str]:
    return [sys.executable, "-m", "quality_assets.cli", "serve-model"]


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


def _dashboard_command() -> list[str]:
    return [sys.executable, "-m", "dash_app"]


def _collector_command() -> list[str]:
    return [sys.executable, "-m", "quality_assets.cli", "collect"]


def _stop_signals() -> list[int]:
    """A list that gets the number of the first signal that asks to stop."""
    received: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        received.append(number)

    # A terminal that is closed hangs up: the servers, which have sessions of their own, would stay.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Who is to outlive the terminal (nohup) was started so that it does not hear of that.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, remember)
    return received


def _wait_until_up(
    processes: Mapping[str, subprocess.Popen[bytes]], addresses: Mapping[str, str], stopping: list[int], logs: str
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    waiting = dict(addresses)
    while waiting and not stopping:
        _raise_if_dead(processes, logs)
        for name, where in list(waiting.items()):
            with contextlib.suppress(httpx.HTTPError):
                http_client().get(where)
                del waiting[name]
        if time.monotonic() > deadline:
            raise ServerDiedError(f"{', '.join(waiting)} did not answer within {START_TIMEOUT_S:.0f} s; see {logs}")
        time.sleep(_POLL_S)


def _raise_if_dead(processes: Mapping[str, subprocess.Popen[bytes]], logs: str) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise ServerDiedError(
                f"{name} ended by itself with code {process.returncode}; its words are in {logs}/{name}.log"
            )


def _raise_if_moved(folder: Path, identity: tuple[int, int] | None) -> None:
    """Servers would go on as if all were well, and begin an empty root where theirs lay."""
    if folder_identity(folder) != identity:
        raise ServerDiedError(
            f"{folder} was moved, deleted or unmounted while it was served: all is stopped. Serve it where it lies now"
            " (QUALITY_DATA_DIR), or put it back"
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
