"""A collector in a process of its own, and small helpers that speak HTTP to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

STARTS_WITHIN_S = 60.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment_of(root: Path, **settings: str) -> dict[str, str]:
    """The environment of a process that works on a root, whatever that of the tests says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUALITY_")}
    return {**kept, "QUALITY_DATA_DIR": str(root), **settings}


class Collector:
    """A running collector; `client` speaks to it."""

    def __init__(self, root: Path, port: int, **settings: str) -> None:
        self.root, self.port = root, port
        command = [sys.executable, "-m", "quality_assets.cli", "collect", "--port", str(port)]
        root.mkdir(parents=True, exist_ok=True)
        self.words = root / f"collector-{port}.txt"
        with self.words.open("wb") as words:
            self.process = subprocess.Popen(
                command, env=environment_of(root, **settings), stdout=words, stderr=subprocess.STDOUT
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        wait_for(self._answers)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            self.client.close()
            words = " ".join(self.words.read_text(encoding="utf-8").split())
            raise RuntimeError(f"the collector ended with {self.process.returncode}: {words}")
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def processed(self) -> dict[str, object]:
        """The figures of the collector once all that was acknowledged is processed."""
        found: dict[str, object] = {}

        def is_done() -> bool:
            found.update(self.client.get("/live/collector").json())
            return found["log_lag_records"] == 0

        wait_for(is_done)
        return found

    def stop(self) -> int:
        """Ask it to stop, and its exit code."""
        self.process.terminate()
        self.process.wait(timeout=60)
        self.client.close()
        return self.process.returncode

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        self.client.close()


def wait_for(condition: Callable[[], bool], within_s: float = STARTS_WITHIN_S) -> None:
    """Wait until something holds; fails the test where it never does."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


@contextmanager
def collecting(root: Path, **settings: str) -> Iterator[Collector]:
    """A collector of a root, stopped at the end."""
    collector = Collector(root, free_port(), **settings)
    try:
        yield collector
    finally:
        if collector.process.poll() is None:
            collector.stop()


def land_now(root: Path, **settings: str) -> str:
    """Land all that waits; what the command says."""
    done = subprocess.run(
        [sys.executable, "-m", "quality_assets.cli", "collect", "--land-now"],
        env=environment_of(root, **settings),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
