"""Servers that are there already, left behind, or without their code; processes that are told apart."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quality_assets.runner import _ending_on_interrupt
from quality_assets.serve import processes
from quality_assets.serve.processes import (
    CODE_SERVER_GONE_S,
    MAX_MENDED,
    CodeServerWatch,
    ServerDiedError,
    ServersRunningError,
)
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import close_operations
from quality_assets.stores.process_ids import commands_of_session, is_alive, pid_of, process_name
from quality_assets.stores.releases import release_log
from quality_assets.stores.servers import folder_identity, remember_servers

CODE = ["python -m dagster api grpc --port 1", "python -m dagster dev"]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        start_new_session=True,
        # Who runs tests in the background ignores SIGINT, and so would all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    yield process
    process.kill()
    process.wait()


def test_a_process_is_alive_by_its_name_until_it_ends(sleeper: subprocess.Popen[bytes]) -> None:
    name = process_name(sleeper.pid)
    assert (pid_of(name), is_alive(name)) == (sleeper.pid, True)
    assert not is_alive(f"{sleeper.pid}:1"), "the same number started at another time is another process"
    commands = commands_of_session(sleeper.pid)
    assert commands is None or [command for command in commands if "time.sleep(600)" in command] == commands != []
    sleeper.kill()
    sleeper.wait()
    assert not is_alive(name)


def test_servers_left_behind_are_named_and_ended_when_asked(
    data_root: Settings, sleeper: subprocess.Popen[bytes]
) -> None:
    data_root.data_dir.mkdir()
    names = {"serve": process_name(os.getpid()), "dagster": process_name(sleeper.pid)}
    remember_servers(data_root.data_dir, names)
    said: list[str] = []
    with (
        pytest.raises(ServersRunningError, match=rf"dagster {sleeper.pid}\).*--take-over"),
        processes._only_one(data_root, take_over=False, announce=said.append),
    ):
        raise AssertionError("it must not start")
    assert sleeper.poll() is None
    with processes._only_one(data_root, take_over=True, announce=said.append):
        assert list(processes.remembered_servers(data_root)) == ["serve"], "who comes second is told whom to stop"
        assert sleeper.wait(timeout=10) in (-signal.SIGINT, 1)
    assert [f"process {sleeper.pid}" in line for line in said] == [True]
    assert not (data_root.data_dir / ".servers.json").exists(), "whoever has not started serves nothing"


def test_a_copied_root_knows_nothing_of_the_servers_of_the_other(
    data_root: Settings, sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    data_root.data_dir.mkdir()
    remember_servers(data_root.data_dir, {"dagster": process_name(sleeper.pid)})
    copy = data_root.model_copy(update={"data_dir": tmp_path / "copy"})
    shutil.copytree(data_root.data_dir, copy.data_dir)
    assert list(processes.remembered_servers(data_root)) == ["dagster"]
    assert processes.remembered_servers(copy) == {}
    with processes._only_one(copy, take_over=True, announce=print):
        assert sleeper.poll() is None, "it serves the other"
    # One that was moved is the same root.
    moved = data_root.model_copy(update={"data_dir": tmp_path / "moved"})
    data_root.data_dir.rename(moved.data_dir)
    assert list(processes.remembered_servers(moved)) == ["dagster"]
    # What an earlier version wrote names no root.
    (moved.data_dir / ".servers.json").write_text(json.dumps({"dagster": process_name(sleeper.pid)}))
    assert processes.remembered_servers(moved) == {}


def test_a_root_is_served_once(data_root: Settings) -> None:
    data_root.data_dir.mkdir()
    with (
        processes._only_one(data_root, take_over=True, announce=print),
        pytest.raises(ServersRunningError, match=f"served already.*serve {os.getpid()}"),
        processes._only_one(data_root, take_over=True, announce=print),
    ):
        raise AssertionError("it must not start")


def test_a_root_that_is_moved_while_it_is_served_ends_that(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    served = folder_identity(root)
    processes._raise_if_moved(root, served)
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(ServerDiedError, match="moved, deleted or unmounted"):
        processes._raise_if_moved(root, served)
    root.mkdir()
    with pytest.raises(ServerDiedError, match="QUALITY_DATA_DIR"):
        processes._raise_if_moved(root, served)


def test_the_code_server_is_missed_once_it_was_there_and_for_a_while() -> None:
    watch = CodeServerWatch()
    assert not watch.is_gone(None, 0.0)
    assert not watch.is_gone(CODE[1:], 1000.0), "it has not come up yet"
    assert not watch.is_gone(CODE, 1001.0)
    assert not watch.is_gone(CODE[1:], 1001.0 + CODE_SERVER_GONE_S)
    assert watch.is_gone(CODE[1:], 1001.5 + CODE_SERVER_GONE_S)
    for _ in range(MAX_MENDED):
        assert "started again" in watch.mend_or_raise("logs")
    assert not watch.is_gone(CODE[1:], 5000.0), "after it was started again it has to come up first"
    with pytest.raises(ServerDiedError, match="4 times"):
        watch.mend_or_raise("logs")


def test_dagster_without_its_daemon_or_its_code_is_mended_and_what_it_was_is_told(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = CodeServerWatch()
    monkeypatch.setattr(processes, "CODE_SERVER_GONE_S", 0.0)
    monkeypatch.setattr(processes, "commands_of_session", lambda session: CODE)
    assert processes._gone_of_dagster(sleeper, watch) is None
    monkeypatch.setattr(processes, "commands_of_session", lambda session: CODE[1:])
    assert processes._gone_of_dagster(sleeper, watch) == "Dagster's code server"
    sleeper.kill()
    sleeper.wait()
    assert (gone := processes._gone_of_dagster(sleeper, watch)) == "Dagster's daemon or UI"
    assert watch.mend_or_raise("logs", gone).startswith("Dagster's daemon or UI ended by itself: Dagster is started")


def test_logs_stay_below_their_size_and_go_on_at_their_end(
    data_root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "MAX_LOG_BYTES", 10)
    logs = data_root.data_dir
    logs.mkdir()
    with (logs / "dagster.log").open("ab", buffering=0) as stream:
        stream.write(b"0123456789")
        processes._rotate(logs)
        assert not (logs / "dagster.log.1").exists()
        stream.write(b"x")
        processes._rotate(logs)
        stream.write(b"next")
    assert (logs / "dagster.log.1").read_bytes() == b"0123456789x"
    assert (logs / "dagster.log").read_bytes() == b"next"


def test_an_interrupt_that_somebody_else_swallows_ends_it_all_the_same() -> None:
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with _ending_on_interrupt():
            pass
        with pytest.raises(KeyboardInterrupt), _ending_on_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_server_of_models_is_started_once_something_is_released(data_root: Settings) -> None:
    data_root.data_dir.mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = data_root.model_copy(update={"predict_port": taken.getsockname()[1]})
        watch = processes._ModelsWatch(settings)
        assert watch.due(0.0) is None
        release_log(settings).promote("sales", "1", actor="me", reason="try")
        assert watch.due(1.0) is None, "it is looked for every three seconds"
        said = watch.due(5.0)
        assert said is not None
        assert ("is taken" in said, watch.may_start) == (True, False)
        assert watch.due(10.0) is None, "it is said once"
    said = watch.due(15.0)
    assert said is not None
    assert ("since a model was released" in said, watch.may_start) == (True, True)
    close_operations()
