"""What an event costs the collector, what a kill costs its senders, and how soon a feature knows.

`python benchmarks/live.py cost` sends events one, twenty and a hundred a request, to the collector and to a plain one
as people write it (FastAPI and sqlite3, a commit a request), and prints CPU µs of the server an event, durable.
`freshness` measures event → feature and event → today, `steady` what 1,000 events a second cost while nobody asks,
`page` event → what Chromium shows on /live, `reads` the read in process, `kills` how many of the events that were
acknowledged over kills have landed. Figures of walls hold for the machine that they were taken on, and for the load
that is printed with them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

PLAIN = """
import sqlite3
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
db = sqlite3.connect({path!r}, check_same_thread=False)
db.execute("pragma journal_mode=wal")
db.execute("pragma synchronous=full")
db.execute("create table if not exists events (event_id text primary key, user_id text, event_type text,"
           " device_type text, timestamp text)")

class Event(BaseModel):
    event_id: str
    user_id: str
    event_type: str
    device_type: str | None = None
    timestamp: str

class Batch(BaseModel):
    batch: list[Event]

def keep(events):
    with db:
        db.executemany("insert or ignore into events values (?, ?, ?, ?, ?)",
                       [(e.event_id, e.user_id, e.event_type, e.device_type, e.timestamp) for e in events])

@app.post("/ingest")
async def ingest(event: Event):
    keep([event])
    return {{"accepted": 1}}

@app.post("/ingest/batch")
async def ingest_batch(batch: Batch):
    keep(batch.batch)
    return {{"accepted": len(batch.batch)}}

@app.get("/health")
async def health():
    return {{"status": "ok"}}
"""
_END = b"\r\n\r\n"
_TICK = os.sysconf("SC_CLK_TCK")
_NAMES = ("view", "click", "purchase", "share", "search")
_DEVICES = ("mobile", "desktop", "tablet")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """What a process has used of the CPU, user and system, with its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory_mb(pid: int) -> float:
    """What a process holds in memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def event(number: int, run: str) -> dict[str, object]:
    """One event of one of a thousand users."""
    return {
        "event_id": f"{run}-{number}",
        "user_id": f"user_{number * 7919 % 1000}",
        "event_type": _NAMES[number % 5],
        "device_type": _DEVICES[number % 3],
        "timestamp": datetime.now(UTC).isoformat(),
        "feature": f"Feature {number % 24}",
        "latency_ms": 20 + number % 400,
    }


@contextmanager
def collector(root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The collector of a root, answering."""
    environment = {**os.environ, "QUALITY_DATA_DIR": str(root)}
    command = [sys.executable, "-m", "quality_assets.cli", "collect", "--port", str(port)]
    with _running(command, environment, port) as process:
        yield process


@contextmanager
def plain(root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The plain collector."""
    root.mkdir(parents=True)
    (root / "plain_collector.py").write_text(PLAIN.format(path=str(root / "events.db")))
    command = [sys.executable, "-m", "uvicorn", "plain_collector:app", "--port", str(port), "--no-access-log"]
    with _running(command, {**os.environ, "PYTHONPATH": str(root)}, port) as process:
        yield process


@contextmanager
def _running(command: Sequence[str], environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_up(port)
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_until_up(port: int, within_s: float = 60.0) -> None:
    """Wait until something answers on a port. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            answered, _ = asyncio.run(_once(port, b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"))
            if answered:
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing answers on port {port}")


async def _once(port: int, request: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await exchange(reader, writer, request)
    finally:
        writer.close()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    """Send a request and read its answer: status and body."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return status, await reader.readexactly(length)


def post(path: str, body: object) -> bytes:
    """The bytes of a request."""
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(text)}\r\n"
    return head.encode() + b"content-type: application/json" + _END + text


async def send_all(port: int, requests: Sequence[bytes], connections: int) -> float:
    """Send requests over so many connections, each after the answer to the one before; the seconds it took."""
    waiting = iter(requests)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in waiting:
            status, body = await exchange(reader, writer, request)
            assert status == 200, body
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return time.perf_counter() - started


def cost(port: int, process: subprocess.Popen[bytes], size: int, events: int, run: str) -> tuple[float, float]:
    """CPU µs of the server an event, and events a second on the wall, at `size` events a request."""
    made = [event(number, f"{run}-{size}") for number in range(events)]
    if size == 1:
        requests = [post("/ingest", each) for each in made]
    else:
        requests = [post("/ingest/batch", {"batch": made[at : at + size]}) for at in range(0, events, size)]
    before = cpu_seconds(process.pid)
    took = asyncio.run(send_all(port, requests, 32))
    # What was acknowledged is processed within that.
    time.sleep(1.0)
    return (cpu_seconds(process.pid) - before) / events * 1e6, events / took


def costs(rounds: int, scale: float) -> None:
    """Both collectors by turns."""
    print("collector         a request   CPU µs/event   events/s   RSS MB")
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for name, start in (("this", collector), ("plain", plain)):
                port = free_port()
                with start(Path(folder) / f"{name}{turn}", port) as process:
                    for size, events in ((1, 6_000), (20, 30_000), (100, 70_000)):
                        us, rate = cost(port, process, size, int(events * scale), f"r{turn}")
                        print(f"{name:<18}{size:>8}{us:>15.1f}{rate:>11.0f}{memory_mb(process.pid):>9.0f}", flush=True)


async def _freshness(port: int, per_s: int, seconds: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asking = await asyncio.open_connection("127.0.0.1", port)
    acknowledged: list[float] = []
    fresh: list[float] = []
    today: list[float] = []
    stop = asyncio.Event()

    async def load() -> None:
        number = 0
        lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(16)]

        async def one(line: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
            nonlocal number
            while not stop.is_set():
                number += 1
                started = time.perf_counter()
                await exchange(*line, post("/ingest", event(number, "load")))
                await asyncio.sleep(max(16 / per_s - (time.perf_counter() - started), 0))

        await asyncio.gather(*(one(line) for line in lines))

    loading = asyncio.create_task(load())
    ends = time.monotonic() + seconds
    probe = 0
    while time.monotonic() < ends:
        probe += 1
        user = f"probe_{probe}"
        started = time.perf_counter()
        # Of a feature of its own, for today's figures to show it.
        body = {**event(probe, "probe"), "user_id": user, **({} if probe % 2 else {"feature": user})}
        await exchange(reader, writer, post("/ingest", body))
        acknowledged.append(time.perf_counter() - started)
        if probe % 2:
            await _until(asking, f"/features/{user}/activity_count_1h", lambda said: bool(said["value"]))
            fresh.append(time.perf_counter() - started)
        else:
            await _until(asking, "/live/today", partial(_counts, user))
            today.append(time.perf_counter() - started)
        await asyncio.sleep(0.02)
    stop.set()
    await loading
    for name, values in (("acknowledged", acknowledged), ("event → feature", fresh), ("event → today", today)):
        cuts = statistics.quantiles(values, n=100)
        shown = ", ".join(f"p{p} {cuts[p - 1] * 1000:.1f}" for p in (50, 95, 99))
        print(f"{name}: {shown} ms ({len(values)} probes, {per_s}/s beside)")


async def _until(
    line: tuple[asyncio.StreamReader, asyncio.StreamWriter], path: str, holds: Callable[[Any], bool]
) -> None:
    """Ask until an answer is as it has to be."""
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    while True:
        _, answer = await exchange(*line, request)
        if holds(json.loads(answer)):
            return
        await asyncio.sleep(0.001)


def _counts(feature: str, today: dict[str, Any]) -> bool:
    return any(row["feature"] == feature for row in today["features"])


def freshness(per_s: int, seconds: int) -> None:
    """Event → feature and event → today over HTTP, with a load beside it; and what that load costs."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with collector(Path(folder) / "root", port) as process:
            before, started = cpu_seconds(process.pid), time.monotonic()
            asyncio.run(_freshness(port, per_s, seconds))
            share = (cpu_seconds(process.pid) - before) / (time.monotonic() - started)
            print(f"CPU of the collector: {share:.2f} of a core, probes included")


async def _paced(port: int, per_s: int, events: int) -> float:
    """Single events when they are due, over sixteen connections; how many a second were answered."""
    bodies = [post("/ingest", event(number, "paced")) for number in range(events)]
    started, turn = time.monotonic(), iter(range(events))

    async def line() -> None:
        own = await asyncio.open_connection("127.0.0.1", port)
        for number in turn:
            await asyncio.sleep(max(started + number / per_s - time.monotonic(), 0))
            await exchange(*own, bodies[number])

    await asyncio.gather(*(line() for _ in range(16)))
    return events / (time.monotonic() - started)


def steady(per_s: int, seconds: int) -> None:
    """What so many single events a second cost the collector, when nobody asks it anything."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with collector(Path(folder) / "root", port) as process:
            time.sleep(2.0)
            before, started = cpu_seconds(process.pid), time.monotonic()
            rate = asyncio.run(_paced(port, per_s, per_s * seconds))
            # What was acknowledged is processed within that.
            time.sleep(1.0)
            spent = cpu_seconds(process.pid) - before
            print(
                f"{per_s * seconds} events at {rate:.0f} a second: {spent:.2f} s of CPU in"
                f" {time.monotonic() - started:.1f} s, {spent / seconds:.3f} of a core at {per_s} a second"
                f" (load {os.getloadavg()[0]:.0f})"
            )


_SHOWN = """([name, n]) => [...document.querySelectorAll("#live-body tr")]
    .some((row) => row.innerText.startsWith(name) && row.cells[2].innerText.trim() === n)"""


def page(probes: int) -> None:
    """Event → the page of today in Chromium: from before it is sent until its row says so."""
    import httpx
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        port, shown = free_port(), free_port()
        root = Path(folder) / "root"
        environment = {**os.environ, "QUALITY_DATA_DIR": str(root), "QUALITY_COLLECTOR_PORT": str(port)}
        command = [sys.executable, "-m", "uvicorn", "dash_app.app:server", "--port", str(shown), "--no-access-log"]
        with collector(root, port) as process, _running(command, environment, shown), sync_playwright() as playwright:
            many = [{**event(number, "past"), "event_id": f"past-{number}"} for number in range(480)]
            sender = httpx.Client(base_url=f"http://127.0.0.1:{port}")
            sender.post("/ingest/batch", json={"batch": many})
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            window = browser.new_page()
            window.goto(f"http://127.0.0.1:{shown}/live")
            window.wait_for_selector("#live-body table", timeout=60_000)
            seen = []
            for number in range(1, probes + 1):
                # Not in step with the page's own clock.
                time.sleep(random.uniform(0.0, 1.5))
                started = time.perf_counter()
                sender.post("/ingest", json={**event(number, "probe"), "feature": "Probe"})
                window.wait_for_function(_SHOWN, arg=["Probe", str(number)], timeout=60_000)
                seen.append(time.perf_counter() - started)
            browser.close()
            print(f"memory of the collector: {memory_mb(process.pid):.0f} MB")
    cuts = statistics.quantiles(seen, n=100)
    shown_cuts = ", ".join(f"p{p} {cuts[p - 1]:.2f}" for p in (50, 95, 99))
    print(f"event → /live in Chromium: {shown_cuts} s ({probes} probes, load {os.getloadavg()[0]:.0f})")


def reads() -> None:
    """A read of all features of a user with twenty tiles, in process."""
    from quality_assets.domain.live.event_rows import EventSource, accept
    from quality_assets.domain.live.feature_set import load_features
    from quality_assets.settings import REPOSITORY_ROOT
    from quality_assets.stores.live.live_store import LiveStore
    from quality_assets.stores.live.request_log import Entry, Record

    with tempfile.TemporaryDirectory() as folder:
        store = LiveStore(Path(folder) / "state.db", load_features(REPOSITORY_ROOT / "data" / "features.yaml"))
        now_us = time.time_ns() // 1000
        for name, tiles in (("twenty", 20), ("all", 2016)):
            rows = [
                accept(
                    {"event_id": f"{name}{n}", "user_id": name, "event_time": now_us - n * 300_000_000},
                    EventSource(), now_us, may_hold_nul=False,
                )
                for n in range(tiles)
            ]  # fmt: skip
            store.write_batch([Record(store.position() + 1, now_us, Entry("default", rows))])
        for name in ("nobody", "twenty", "all"):
            n = 2_000 if name == "twenty" else 300
            before = time.process_time()
            for _ in range(n):
                store.read(name, 1, now_us)
            print(f"read of a user with {name} tiles: {(time.process_time() - before) / n * 1e6:.0f} µs of CPU")
        store.close()


async def _send_surely(
    port: int, requests: Sequence[bytes], mine: range, acknowledged: list[int], stop: asyncio.Event
) -> None:
    """Send each of my requests until it is acknowledged, whatever happens to the server."""
    for at in mine:
        request = requests[at]
        while not stop.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                status, _ = await exchange(reader, writer, request)
                writer.close()
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.05)
                continue
            if status == 200:
                acknowledged.append(at)
                break


def kills(n: int) -> None:
    """Kill the collector `n` times under load; then land all, and count what has landed."""
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        root, port = Path(folder) / "root", free_port()
        requests = [post("/ingest/batch", {"batch": [event(k, f"b{at}") for k in range(10)]}) for at in range(40_000)]
        acknowledged: list[int] = []

        async def run() -> None:
            stop = asyncio.Event()
            senders = [
                asyncio.create_task(_send_surely(port, requests, range(at, len(requests), 8), acknowledged, stop))
                for at in range(8)
            ]
            for _ in range(n):
                await asyncio.to_thread(_live_and_die, root, port)
            stop.set()
            await asyncio.gather(*senders)

        asyncio.run(run())
        environment = {**os.environ, "QUALITY_DATA_DIR": str(root)}
        subprocess.run(
            [sys.executable, "-m", "quality_assets.cli", "collect", "--land-now"],
            check=True, env=environment, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        ids = [
            one
            for file in (root / "landing" / "collector").glob("*.parquet")
            for one in pq.read_table(file, columns=["event_id"]).column(0).to_pylist()
        ]
        sent = {one["event_id"] for at in acknowledged for one in json.loads(requests[at].partition(_END)[2])["batch"]}
        lost, doubled = len(sent - set(ids)), len(ids) - len(set(ids))
        print(f"{n} kills: {len(sent)} acknowledged, {len(ids)} landed, {lost} lost, {doubled} doubled")


def _live_and_die(root: Path, port: int) -> None:
    environment = {**os.environ, "QUALITY_DATA_DIR": str(root)}
    command = [sys.executable, "-m", "quality_assets.cli", "collect", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    wait_until_up(port)
    time.sleep(1.0)
    process.send_signal(signal.SIGKILL)
    process.wait()


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("cost", "freshness", "steady", "page", "reads", "kills"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="how much is sent")
    parser.add_argument("--per-second", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--probes", type=int, default=60)
    asked = parser.parse_args()
    if asked.what == "cost":
        costs(asked.rounds, asked.scale)
    elif asked.what == "freshness":
        freshness(asked.per_second, asked.seconds)
    elif asked.what == "steady":
        steady(asked.per_second, asked.seconds)
    elif asked.what == "page":
        page(asked.probes)
    elif asked.what == "reads":
        reads()
    else:
        kills(asked.kills)


if __name__ == "__main__":
    main()
