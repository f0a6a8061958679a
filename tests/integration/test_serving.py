"""`quality serve`: ports that are taken, servers that die or will not stop, and both servers as people use them."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from quality_assets.cli.main import app
from quality_assets.serve import processes
from quality_assets.serve.ports import address
from quality_assets.serve.processes import PortTakenError, check_ports
from quality_assets.settings import REPOSITORY_ROOT, Settings, get_settings
from quality_assets.stores.http_client import http_client

# A machine that does much else is slow: so long only where what is waited for never comes.
PATIENCE_S = 300

MARK = "QUALITY_TEST_MARK"

# Servers as stubborn as any: one ignores what asks it to stop, and has started a process that nobody knows of.
STAND_INS = """
import os, signal, subprocess, sys
# As a terminal starts it, also where the tests run under nohup.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from quality_assets.serve import processes as serving
from quality_assets.settings import get_settings

def listen(port, more=""):
    return [sys.executable, "-c", f'''
import http.server, signal, subprocess, sys
{more}
http.server.HTTPServer(("127.0.0.1", {port}), http.server.SimpleHTTPRequestHandler).serve_forever()
''']

STUBBORN = '''
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
'''
serving.STOP_TIMEOUT_S = 1.0
serving._dagster_command = lambda settings: listen(settings.dagster_port, STUBBORN)
serving._dashboard_command = lambda: DASHBOARD
serving._collector_command = lambda: listen(get_settings().collector_port)
try:
    serving.serve(get_settings(), os.environ, lambda line: print(line, flush=True))
except serving.ServerDiedError as error:
    sys.exit(str(error))
"""


def _free_ports() -> tuple[int, int, int]:
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        for probe in (one, two, three):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1], three.getsockname()[1]


def _marked(mark: str) -> list[str]:
    """The processes that were started with `mark` in their environment, by whomever, and still run."""
    if not Path("/proc").is_dir():
        listed = subprocess.run(["ps", "-A", "-E", "-ww", "-o", "pid=,command="], capture_output=True, text=True)
        return [line for line in listed.stdout.splitlines() if mark in line]
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # It has ended, or is somebody else's.
    return found


class Served:
    """A process that serves, its mark, and what it says line by line."""

    def __init__(self, command: list[str], data_dir: Path, ports: tuple[int, int, int]) -> None:
        self.mark = uuid.uuid4().hex
        known = {name: value for name, value in os.environ.items() if not name.startswith(("QUALITY_", "DAGSTER_"))}
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY_ROOT,
            env={
                **known,
                MARK: self.mark,
                "QUALITY_DATA_DIR": str(data_dir),
                "QUALITY_DAGSTER_PORT": str(ports[0]),
                "QUALITY_DASHBOARD_PORT": str(ports[1]),
                "QUALITY_COLLECTOR_PORT": str(ports[2]),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, text: str) -> None:
        """Until a line has `text`, or nothing more comes."""
        while not any(text in line for line in self.lines):
            line = self._queue.get(timeout=PATIENCE_S)
            assert line is not None, f"it ended with {self.process.wait()} after saying {self.lines}"
            self.lines.append(line)

    def wait(self) -> int:
        """Until it ends: its exit code."""
        code = self.process.wait(timeout=PATIENCE_S)
        while (line := self._queue.get(timeout=PATIENCE_S)) is not None:
            self.lines.append(line)
        return code


@contextmanager
def _serving(command: list[str], data_dir: Path, ports: tuple[int, int, int]) -> Iterator[Served]:
    served = Served(command, data_dir, ports)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.process.send_signal(signal.SIGINT)
            try:
                served.process.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                served.process.kill()
                served.process.wait()
        if served.process.stdout is not None:
            served.process.stdout.close()


def _quality(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "quality_assets.cli", *arguments]


@pytest.fixture
def refused(data_root: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command says that starts servers on these ports, in this process: it must fail, and leave no process."""

    # As where Dagster has run before: else its storage is made first, by a process of its own.
    storage = data_root.dagster_home / "schedules" / "schedules.db"
    storage.parent.mkdir(parents=True)
    storage.touch()

    def ask(command: str, ports: tuple[int, int, int], **settings: str) -> str:
        mark = uuid.uuid4().hex
        names = ("QUALITY_DAGSTER_PORT", "QUALITY_DASHBOARD_PORT", "QUALITY_COLLECTOR_PORT")
        for name, value in {**dict(zip(names, map(str, ports), strict=True)), **settings, MARK: mark}.items():
            monkeypatch.setenv(name, value)
        # The command sets it, for the processes that it starts.
        monkeypatch.setenv("DAGSTER_HOME", "unset")
        get_settings.cache_clear()
        result = CliRunner().invoke(app, [command])
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert _marked(mark) == []
        return " ".join(result.output.split())

    return ask


@pytest.mark.parametrize(
    ("taken", "what"),
    [(0, "QUALITY_DAGSTER_PORT"), (1, "QUALITY_DASHBOARD_PORT"), (2, "QUALITY_COLLECTOR_PORT")],
)
@pytest.mark.parametrize("command", ["serve", "demo"])
def test_taken_port_is_told_and_nothing_starts(
    refused: Callable[..., str], data_root: Settings, command: str, taken: int, what: str
) -> None:
    ports = _free_ports()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", ports[taken]))
        holder.listen()
        said = refused(command, ports)
    assert f"port {ports[taken]} of 127.0.0.1 is taken" in said
    assert f"{what}={ports[taken] + 1}" in said
    assert list(data_root.data_dir.glob("l*")) == [], "neither logs nor a landing zone"


def test_free_ports_raise_nothing_and_taken_ones_do() -> None:
    dagster, dashboard, collector = _free_ports()
    ports = {"dagster_port": dagster, "dashboard_port": dashboard, "collector_port": collector}
    settings = Settings(**ports, _env_file=None)  # type: ignore[arg-type, call-arg]
    check_ports(settings)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", dashboard))
        holder.listen()
        with pytest.raises(PortTakenError, match=f"the dashboard cannot start: port {dashboard}"):
            check_ports(settings)
    # 192.0.2.1 is kept for documents: no machine has it.
    elsewhere = settings.model_copy(update={"host": "192.0.2.1"})
    with pytest.raises(PortTakenError, match=r"the dashboard cannot start: 192\.0\.2\.1 is no address of this machine"):
        check_ports(elsewhere)
    twice = settings.model_copy(update={"collector_port": dagster})
    said = f"the collector cannot start: port {dagster} is the Dagster UI's too. Set QUALITY_COLLECTOR_PORT"
    with pytest.raises(PortTakenError, match=said):
        check_ports(twice)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stubborn_servers_are_stopped_with_all_that_they_started(tmp_path: Path, number: signal.Signals) -> None:
    ports = _free_ports()
    script = STAND_INS.replace("DASHBOARD", "listen(get_settings().dashboard_port)")
    with _serving([sys.executable, "-c", script], tmp_path / "data", ports) as served:
        served.wait_for("Ctrl-C stops all")
        assert any(f":{ports[0]}" in line for line in served.lines)
        assert any(f":{ports[1]}" in line for line in served.lines)
        assert len(_marked(served.mark)) == 5
        served.process.send_signal(number)
        assert served.wait() == 0
    assert _marked(served.mark) == []


def test_server_that_dies_takes_the_other_with_it_and_is_named(tmp_path: Path) -> None:
    script = STAND_INS.replace("DASHBOARD", '[sys.executable, "-c", "print(\'my last words\'); raise SystemExit(3)"]')
    with _serving([sys.executable, "-c", script], tmp_path / "data", _free_ports()) as served:
        assert served.wait() == 1
    assert any("dashboard ended by itself with code 3" in line for line in served.lines)
    assert (tmp_path / "data" / "logs" / "dashboard.log").read_text() == "my last words\n"
    assert _marked(served.mark) == []


def test_both_servers_answer_and_leave_nothing_behind(tmp_path: Path) -> None:
    ports = _free_ports()
    with _serving(_quality("serve"), tmp_path / "data", ports) as served:
        served.wait_for("Ctrl-C stops all")
        dagster, dashboard, collector = (f"http://127.0.0.1:{port}" for port in ports)
        assert any(dagster in line for line in served.lines)
        assert any(dashboard in line for line in served.lines)
        assert httpx.get(dashboard, timeout=PATIENCE_S).status_code == 200
        assert httpx.post(f"{collector}/ingest", json={"event_id": "a"}, timeout=PATIENCE_S).json() == {"accepted": 1}
        for server in (dagster, dashboard, collector):
            # Where more is on its way, the answer may be cut off.
            with suppress(httpx.TransportError):
                long = httpx.get(f"{server}/healthz", headers={"X": "a" * 1_000_000}, timeout=PATIENCE_S)
                assert long.status_code == 431, server
        assert httpx.get(f"{dagster}/server_info", timeout=PATIENCE_S).json()["dagster_version"]
        where = '{repositoryName: "__repository__", repositoryLocationName: "quality_assets.definitions"}'
        question = f"{{ sensorsOrError(repositorySelector: {where})"
        question += " { __typename ... on Sensors { results { name sensorState { status } } } } }"
        answer = httpx.post(f"{dagster}/graphql", json={"query": question}, timeout=PATIENCE_S).json()["data"][
            "sensorsOrError"
        ]
        assert answer["__typename"] == "Sensors", answer
        assert {sensor["sensorState"]["status"] for sensor in answer["results"]} == {"RUNNING"}
        assert "landing_zone_sensor" in {sensor["name"] for sensor in answer["results"]}
        first = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
        partition = tmp_path / "data" / "lake" / "raw_logs" / f"event_date={first}"
        partition.mkdir(parents=True)
        (partition / "some.parquet").touch()
        _wait_for_daemon(dagster)
        _refuse_other_websites(dagster, dashboard)
        # The graph that both servers share is loaded again when there are data, and offers the days from the first on.
        _wait_for_first_partition(dagster, first)
        # The web server, the daemon, the code's server, the dashboard, the collector and who started them.
        assert len(_marked(served.mark)) >= 5
        served.process.send_signal(signal.SIGINT)
        assert served.wait() == 0
    assert _marked(served.mark) == []
    assert not any("Traceback" in line for line in served.lines)
    for server in ("dagster", "dashboard", "collector"):
        assert "Traceback" not in (tmp_path / "data" / "logs" / f"{server}.log").read_text()
    assert (tmp_path / "data" / ".dagster" / "schedules").is_dir(), "its history is the data root's"


def _wait_for_first_partition(dagster: str, first: str) -> None:
    """What the dialog to materialize valid events offers."""
    question = '{ assetNodes(assetKeys: [{path: ["core", "valid_events"]}]) { partitionKeys } }'
    for _ in range(2 * PATIENCE_S):
        # There is none while the graph is being loaded.
        nodes = http_client().post(f"{dagster}/graphql", json={"query": question}, timeout=PATIENCE_S).json()["data"]
        keys = [key for node in nodes["assetNodes"] for key in node["partitionKeys"]]
        if keys[:1] == [first]:
            assert len(keys) in (3, 4), "from three days ago to yesterday, also where midnight passes"
            return
        time.sleep(0.5)
    raise AssertionError(f"partitions begin at {keys[:1]}")


def _refuse_other_websites(dagster: str, dashboard: str) -> None:
    """Over the network and through the servers themselves: no other name, form or origin gets anything done."""
    for where in (f"{dagster}/server_info", f"{dashboard}/healthz"):
        assert httpx.get(where, headers={"host": "evil.example"}, timeout=30).status_code == 421
    mutation = "mutation { wipeAssets(assetPartitionRanges: []) { __typename } }"
    assert httpx.get(f"{dagster}/graphql", params={"query": mutation}, timeout=30).status_code == 405
    assert httpx.post(f"{dagster}/graphql", params={"query": mutation}, timeout=30).status_code == 415
    foreign = {"origin": "http://evil.example"}
    assert httpx.post(f"{dagster}/graphql", json={"query": mutation}, headers=foreign).status_code == 403
    socket_address = f"{dagster.replace('http', 'ws')}/graphql"
    with pytest.raises(InvalidStatus, match="403"):
        connect(socket_address, origin=Origin("http://evil.example"), subprotocols=[Subprotocol("graphql-ws")])
    with connect(socket_address, origin=Origin(dagster), subprotocols=[Subprotocol("graphql-ws")]) as own:
        own.send('{"type": "connection_init"}')
        assert own.recv(timeout=30) == '{"type":"connection_ack"}'


@pytest.mark.parametrize("command", ["serve", "demo"])
@pytest.mark.parametrize("setting", ["QUALITY_HOST", "QUALITY_DAGSTER_HOST"])
def test_nothing_is_served_to_strangers_without_a_token(
    refused: Callable[..., str], command: str, setting: str
) -> None:
    said = refused(command, _free_ports(), **{setting: "0.0.0.0"})
    assert "would answer everyone. Set QUALITY_TOKEN" in said


def _wait_for_daemon(dagster: str) -> None:
    """Sensors only tick where a daemon does."""
    question = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"
    for _ in range(2 * PATIENCE_S):
        data = httpx.post(f"{dagster}/graphql", json={"query": question}, timeout=PATIENCE_S).json()["data"]
        statuses = data["instance"]["daemonHealth"]["allDaemonStatuses"]
        if all(status["healthy"] for status in statuses if status["required"]):
            assert "SENSOR" in {status["daemonType"] for status in statuses}
            return
        time.sleep(0.5)
    raise AssertionError(f"the daemon is not healthy: {statuses}")


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "http://127.0.0.1:8050"), ("::1", "http://[::1]:8050")])
def test_an_address_can_be_opened(host: str, expected: str) -> None:
    assert address(host, 8050) == expected


def test_an_operations_store_that_does_not_answer_ends_no_server(data_root: Settings) -> None:
    port = _free_ports()[0]
    away = data_root.model_copy(
        update={"operations_url": SecretStr(f"postgresql://nobody@127.0.0.1:{port}/operations"), "predict_port": port}
    )
    assert not processes.serves_models(away)
    # Looked at for as long as `quality serve` runs, as every other part of it.
    watched = processes._ModelsWatch(away)
    assert [watched.due(1000.0 * turn) for turn in range(3)] == [None, None, None]
