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

import httpx
import numpy as np

_MOST_CONNECTIONS = 64


@dataclass(frozen=True)
class LoadResult:
    """What a load test saw. Latencies in milliseconds, from when a request was due; rps is what was answered."""

    url: str
    asked_rps: float
    seconds: float
    requests: int
    errors: int
    rps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float

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
    method = "GET" if body is None else "POST"
    if body is not None:
        headers = {"content-type": "application/json", **headers}
    limits = httpx.Limits(max_connections=_MOST_CONNECTIONS, max_keepalive_connections=_MOST_CONNECTIONS)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:
        # The first request opens the connection, and is none of those that count.
        await _one(client, method, url, body, headers)
        started = time.perf_counter()

        async def send(at: int) -> None:
            failed[at] = not await _one(client, method, url, body, headers)
            latencies[at] = time.perf_counter() - started - at / rps

        tasks = []
        for at in range(count):
            wait = started + at / rps - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(send(at)))
        await asyncio.gather(*tasks)
        took = time.perf_counter() - started
    p50, p95, p99, highest = (float(each) for each in np.quantile(latencies, [0.5, 0.95, 0.99, 1.0]) * 1e3)
    return LoadResult(
        url, rps, round(took, 3), count, int(failed.sum()), round(float((~failed).sum() / took), 2), round(p50, 3),
        round(p95, 3), round(p99, 3), round(highest, 3),
    )  # fmt: skip


async def _one(client: httpx.AsyncClient, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> bool:
    try:
        answer = await client.request(method, url, content=body, headers=headers)
    except httpx.HTTPError:
        return False
    return answer.status_code < 400
