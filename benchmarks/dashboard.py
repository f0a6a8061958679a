"""How quick the dashboard is, against its budgets: a cold and a warm browser, and 20 virtual users.

    python benchmarks/dashboard.py                     # 500 generated features
    python benchmarks/dashboard.py --data-dir data     # a published snapshot of one's own

Budgets, on an idle laptop: first paint < 0.5 s, content < 1.5 s cold, 2 MB cold, 120 KB a callback, callback p95
< 150 ms at 20 users. Exit code 1 when one is missed. Network is the loopback: bytes are counted, not waited for.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser"), str(ROOT / "tests" / "dashboard")]

from conftest import ARGUMENTS, BROWSERS, serving  # noqa: E402
from snapshot_builder import Plan, build  # noqa: E402

PAGES = (
    *("/", "FEATURE", "/data-quality", "/drift", "/model", "/pipeline"),
    *("/impact", "/funnels", "/retention", "/experiments", "/segments"),
)
USERS, ROUNDS, THINK_S = 20, 12, 1.0
MB, KB = 1e6, 1e3


@dataclass(frozen=True)
class Load:
    """One page load: milliseconds to first paint and to content, bytes over the wire."""

    first_paint_ms: float
    content_ms: float
    wire_bytes: int


def load(browser: Browser, url: str, *, is_warm: bool = False) -> Load:
    """Open `url` in a fresh context, after a first visit if `is_warm`, and measure until its content is there."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[int] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))

    def visit() -> float:
        started = time.perf_counter()
        page.goto(url, wait_until="commit")
        page.wait_for_selector("#main > .page[data-title]")
        if "/feature/" in url:
            page.wait_for_selector(".chart.drawn .main-svg")
        return (time.perf_counter() - started) * 1000

    content = visit()
    if is_warm:
        sizes.clear()
        content = visit()
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN")
    page.wait_for_timeout(400)
    context.close()
    return Load(paint, content, sum(sizes))


def callback_body(path: str, search: str) -> dict[str, Any]:
    """What the browser sends when it asks for a page."""
    return {
        "output": "..main.children...sidebar.children...bell.children..",
        "outputs": [{"id": name, "property": "children"} for name in ("main", "sidebar", "bell")],
        "inputs": [
            {"id": "url", "property": "pathname", "value": path},
            {"id": "url", "property": "search", "value": search},
            {"id": "token", "property": "data", "value": None},
        ],
        "changedPropIds": ["url.pathname"],
        "parsedChangedPropsIds": ["url.pathname"],
    }


async def users(base: str, features: list[str]) -> tuple[list[float], list[int]]:
    """Milliseconds and bytes of every callback of 20 people who each look at twelve pages, about one a second."""
    times: list[float] = []
    sizes: list[int] = []

    async def one(seed: int) -> None:
        draw = random.Random(seed)
        async with httpx.AsyncClient(base_url=base, timeout=30, headers={"accept-encoding": "br"}) as client:
            await asyncio.sleep(draw.random() * THINK_S)
            for _ in range(ROUNDS):
                path = draw.choice(PAGES)
                path = draw.choice(features) if path == "FEATURE" else path
                body = callback_body(path, f"?window={draw.choice((7, 28, 90))}d")
                started = time.perf_counter()
                async with client.stream("POST", "/_dash-update-component", json=body) as answer:
                    answer.raise_for_status()
                    sizes.append(sum([len(part) async for part in answer.aiter_raw()]))
                times.append((time.perf_counter() - started) * 1000)
                await asyncio.sleep(THINK_S * (0.5 + draw.random()))

    await asyncio.gather(*(one(seed) for seed in range(USERS)))
    return times, sizes


def report(name: str, value: float, budget: float, unit: str) -> bool:
    """Print one figure against its budget; whether it is kept."""
    is_kept = value <= budget
    print(f"{'ok  ' if is_kept else 'MISS'} {name:<44} {value:>8.1f} {unit:<3} budget {budget:g}")
    return is_kept


def measure(base: str) -> bool:
    """Measure everything at `base`; whether all budgets are kept."""
    features = [row["href"] for row in httpx.get(f"{base}/api/v1/search").json()]
    kept = []
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        load(browser, base + "/")
        for path in ("/", features[0]):
            colds = [load(browser, base + path) for _ in range(3)]
            name = "overview" if path == "/" else "feature page"
            kept += [
                report(f"{name}, cold: first paint", statistics.median(c.first_paint_ms for c in colds), 500, "ms"),
                report(f"{name}, cold: content", statistics.median(c.content_ms for c in colds), 1500, "ms"),
                report(f"{name}, cold: over the wire", max(c.wire_bytes for c in colds) / KB, 2 * MB / KB, "KB"),
            ]
            warm = load(browser, base + path, is_warm=True)
            kept.append(report(f"{name}, warm: content", warm.content_ms, 1500, "ms"))
        browser.close()
    times, sizes = asyncio.run(users(base, features[:40]))
    times.sort()
    kept += [
        report(f"callback p95, {USERS} users, {len(times)} callbacks", times[int(0.95 * len(times))], 150, "ms"),
        report("largest callback", max(sizes) / KB, 120, "KB"),
    ]
    print(
        f"     callback median {statistics.median(times):.1f} ms, slowest {times[-1]:.1f} ms"
        " (the first to ask for a page builds it)"
    )
    return all(kept)


def main() -> None:
    """Run against a generated snapshot of 500 features, or against one's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="data root with a published snapshot")
    parser.add_argument("--features", type=int, default=500)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = asked.data_dir.resolve() if asked.data_dir else Path(scratch)
        if asked.data_dir is None:
            build(root, Plan(features=asked.features))
        with serving(root) as base:
            time.sleep(3)
            is_kept = measure(base)
    sys.exit(0 if is_kept else 1)


if __name__ == "__main__":
    main()
