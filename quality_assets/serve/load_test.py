"""An open loop of requests: each is sent when it is due, whether the last was answered or not.

Latency counts from when a request was due, so that a server that falls behind cannot hide it.
"""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

import numpy as np

_MOST_CONNECTIONS = 64
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class LoadResult:
    """What a load test saw. Latencies in milliseconds, from when a request was due, and rps are of what was answered;
    None where nothing was."""

    url: str
    asked_rps: float
    seconds: float
    requests: int
    errors: int
    rps: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None

    def csv(self) -> str:
        """Two lines: names and values."""
        names = [each.name for each in fields(self)]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerow([getattr(self, name) for name in names])
        return text.getvalue()


def load_test(
    url: str, body: bytes | None, rps: float, seconds: float, headers: Mapping[str, str] | None = None
) -> LoadResult:
    """Send so many requests a second for so long: POST of a JSON body, GET where there is none."""
    return asyncio.run(_run(url, body, rps, seconds, dict(headers or {})))


async def _run(url: str, body: bytes | None, rps: float, seconds: float, headers: dict[str, str]) -> LoadResult:
    count = max(1, round(rps * seconds))
    latencies = np.full(count, np.nan)
    failed = np.zeros(count, dtype=bool)
    pool = _Pool(url, body, headers)
    # The first request opens a connection, and is none of those that count.
    await pool.ask()
    started = time.perf_counter()

    async def send(at: int) -> None:
        failed[at] = not await pool.ask()
        latencies[at] = time.perf_counter() - started - at / rps

    tasks = []
    for at in range(count):
        wait = started + at / rps - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(send(at)))
    await asyncio.gather(*tasks)
    took = time.perf_counter() - started
    pool.close()
    # A refusal that comes at once is no quick answer.
    answered = latencies[~failed]
    marks = np.quantile(answered, [0.5, 0.95, 0.99, 1.0]) * 1e3 if len(answered) else np.full(4, np.nan)
    p50, p95, p99, highest = (None if np.isnan(each) else round(float(each), 3) for each in marks)
    errors, answered_rps = int(failed.sum()), round(len(answered) / took, 2)
    return LoadResult(url, rps, round(took, 3), count, errors, answered_rps, p50, p95, p99, highest)


class _Pool:
    """Connections that stay open, each with one request at a time: a client of its own, since those that do all that
    HTTP can take longer for a request than the server."""

    def __init__(self, url: str, body: bytes | None, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)
        self._is_encrypted = parts.scheme == "https"
        told = {"host": parts.netloc, "content-length": str(len(body or b"")), **headers}
        if body is not None:
            told["content-type"] = "application/json"
        lines = [f"{'GET' if body is None else 'POST'} {parts.path or '/'} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in told.items()]
        self._request = "\r\n".join([*lines, "", ""]).encode() + (body or b"")
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._places = asyncio.Semaphore(_MOST_CONNECTIONS)

    async def ask(self) -> bool:
        """Send the request; whether the answer was one below 400."""
        async with self._places:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    reader, writer = self._free.pop() if self._free else await self._opened()
                    writer.write(self._request)
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(_length(head))
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, TimeoutError):
                return False
            self._free.append((reader, writer))
            return int(head[9:12]) < 400

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, ssl=self._is_encrypted or None)

    def close(self) -> None:
        """Close what is open."""
        for _, writer in self._free:
            writer.close()


def _length(head: bytes) -> int:
    """How long the body is that follows; ValueError where it is not said."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise ValueError("the answer does not say how long it is")
