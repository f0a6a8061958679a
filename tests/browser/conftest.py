"""A real browser against a real server: its own process and port, a fresh context a test.

A test fails on any console error, any answer of 400 or more, and any request that leaves this machine.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

HERE = Path(__file__).parent
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "dashboard"))
# Last: both folders have a conftest.
sys.path.append(str(ROOT / "tests" / "live"))

from snapshot_builder import Plan, build  # noqa: E402  (found through the line above)

from quality_assets.stores.http_client import http_client  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# A condition is waited for until it holds. So long only where it never will: machines that do much else are slow.
PATIENCE_S = 240
PATIENCE_MS = 1000 * PATIENCE_S
expect.set_options(timeout=PATIENCE_MS)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.browser)


@dataclass
class Visit:
    """A page of a fresh context, and what went wrong on it."""

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Go to an address and wait for what the server makes of it."""
        self.page.goto(self.base + path)
        self.page.wait_for_selector("#main > .page[data-title]")
        return self.page


# A module's, not a session's: while Playwright runs, no test of this process could run an event loop of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium of the system; without one the test is skipped, or fails where REQUIRE_BROWSER=1."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail("REQUIRE_BROWSER=1, and there is no Chromium: apt-get install chromium fonts-liberation")
        pytest.skip("there is no Chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The dashboard over a data root, in its own process; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "dash_app.app:server", "--port", str(port), "--no-access-log"]
    environment = os.environ | {"QUALITY_DATA_DIR": str(root)}
    log = root / "dashboard.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        base = f"http://127.0.0.1:{port}"
        _wait_for(base, process, log)
        yield base
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


def _wait_for(base: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            http_client().get(f"{base}/healthz", timeout=PATIENCE_S)
        except httpx.TransportError:
            time.sleep(0.1)  # it is asked again, and not guessed when it will be there
        else:
            return
    pytest.fail(f"the dashboard did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard over a snapshot with everything."""
    root = tmp_path_factory.mktemp("full")
    build(root)
    with serving(root) as base:
        yield base


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard over 500 features without a model."""
    root = tmp_path_factory.mktemp("many")
    build(root, Plan(features=500, has_model=False))
    with serving(root) as base:
        yield base


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens a fresh context at an address, as `visit(base, scheme="dark", width=390)`."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def start(base: str, *, scheme: str = "light", width: int = 1280, height: int = 900) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        made = Visit(context.new_page(), base)
        _watch(made)
        visits.append(made)
        return made

    yield start
    for context in contexts:
        context.close()
    faults = [fault for made in visits for fault in made.faults]
    assert not faults, "\n".join(faults)


def _watch(visit: Visit) -> None:
    page, home = visit.page, urlsplit(visit.base).netloc
    page.on("console", lambda m: visit.faults.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: visit.faults.append(f"script: {error}"))
    page.on("response", lambda r: visit.faults.append(f"HTTP {r.status}: {r.url}") if r.status >= 400 else None)

    def leaves(url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != home

    page.on("request", lambda r: visit.faults.append(f"left this machine: {r.url}") if leaves(r.url) else None)
