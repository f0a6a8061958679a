"""Make the pictures of README.md and docs/pages.md from the real pages: `python docs/pictures/make.py`.

Builds the demo in a folder of its own and serves it; with `--url` the pages come from a dashboard that runs already.
Pages are found by what they say, so that a new look needs no change here. Needs Chromium.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCHEMES = ("light", "dark")
TOUR = ("Impact", "Data quality", "Sources", "Drift", "Model", "Alerts", "Pipeline")
TOUR_SIZE, STILL_SIZE = (1280, 800), (1280, 900)
# Device pixels a CSS pixel: the README shows the tour at about 830 pixels, often on screens that have two for one.
TOUR_SCALE, STILL_SCALE = 1.3125, 1.25
TOUR_QUALITY, STILL_QUALITY = 56, 74
MAX_TOUR_BYTES, MAX_STILL_BYTES = 1_700_000, 120_000
SETTLED_WITHIN_S = 180.0
HEADER_PIXELS = 76

# The tour follows a mouse, which a browser without a window does not draw.
POINTER = """() => {
  const pointer = document.createElement("div");
  pointer.innerHTML = '<svg width="22" height="26" viewBox="0 0 22 26">'
    + '<path fill="#fff" stroke="#111" stroke-width="1.6"'
    + ' d="M2 2v19l5-4.5 3.4 7.5 3.2-1.5-3.3-7.3 6.7-.5z"/></svg>';
  pointer.style.cssText = "position:fixed;left:0;top:0;z-index:9999;pointer-events:none";
  document.body.append(pointer);
  window.addEventListener("mousemove", e => { pointer.style.transform = `translate(${e.clientX}px,${e.clientY}px)` });
}"""


@dataclass
class Tour:
    """Frames of a walk through the pages, each with how long it is shown, in milliseconds."""

    page: Page
    frames: list[Image.Image] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    at: tuple[float, float] = (TOUR_SIZE[0] * 0.62, TOUR_SIZE[1] * 0.55)

    def show(self, milliseconds: int) -> None:
        """Keep what is seen now."""
        self.frames.append(picture(self.page))
        self.durations.append(milliseconds)

    def look(self, milliseconds: int) -> None:
        """Wait until the page has settled, then keep it."""
        settle(self.page)
        self.show(milliseconds)

    def click(self, target: Locator) -> None:
        """Move the pointer there in a few steps, and click."""
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        if box is None:
            raise LookupError(f"{target} is not to be seen at {self.page.url}")
        end = (box["x"] + min(box["width"] / 2, 60), box["y"] + box["height"] / 2)
        start, steps = self.at, 6
        for step in range(1, steps + 1):
            share = step / steps
            eased = share * share * (3 - 2 * share)
            self.page.mouse.move(*(a + (b - a) * eased for a, b in zip(start, end, strict=True)))
            self.show(60 if step < steps else 350)
        self.at = end
        self.page.mouse.click(*end)

    def scroll_to(self, target: Locator, steps: int = 4) -> None:
        """Scroll down in a few steps until the target is below the header; the last step stays for a reader."""
        box = target.bounding_box()
        if box is None:
            raise LookupError(f"{target} is not to be seen at {self.page.url}")
        for _ in range(steps):
            self.page.mouse.wheel(0, (box["y"] - HEADER_PIXELS) / steps)
            self.page.wait_for_timeout(150)
            self.show(90)
        self.look(3000)


def picture(page: Page) -> Image.Image:
    """What a page shows in its window."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


# What tells of now is another each second.
_NEVER_AT_REST = ("/live", "/collector")


def settle(page: Page) -> None:
    """Wait until the page is there, and three looks at it are the same.

    Raises TimeoutError where it never rests, RuntimeError where the dashboard says that it failed.
    """
    page.get_by_role("heading").first.wait_for()
    page.evaluate("document.fonts.ready")
    if page.url.endswith(_NEVER_AT_REST):
        page.wait_for_timeout(4000)
        return
    deadline, before, alike = time.monotonic() + SETTLED_WITHIN_S, b"", 0
    while time.monotonic() < deadline:
        page.wait_for_timeout(500)
        now = page.screenshot()
        is_loading = page.get_by_role("heading", name="Loading").count()
        alike = alike + 1 if now == before and not is_loading else 0
        if alike == 2:
            break
        before = now
    else:
        raise TimeoutError(f"{page.url} still changes after {SETTLED_WITHIN_S:.0f} s")
    if page.get_by_text("could not be made").count():
        raise RuntimeError(f"{page.url} shows a fault of the dashboard; its log says which")


def opened(browser: Browser, scheme: str, size: tuple[int, int], scale: float) -> Page:
    """A page of a fresh context in a colour scheme."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=scale,
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    context.set_default_timeout(SETTLED_WITHIN_S * 1000)
    return context.new_page()


def told_feature(url: str) -> str:
    """The feature whose incident tells most: the first one that a slice explains, else the first one."""
    incidents = httpx.get(f"{url}/api/v1/incidents", timeout=60).raise_for_status().json()
    if not incidents:
        raise LookupError("nothing is wrong in these data: a tour needs an incident to show")
    explained = [incident for incident in incidents if incident["slice_status"] == "found"]
    return str((explained or incidents)[0]["feature"])


def entry(page: Page, title: str) -> Locator:
    """An entry of the navigation; some have a number beside their title."""
    return page.get_by_role("navigation", name="Pages").get_by_role("link", name=re.compile(f"^{title}"))


def make_tour(browser: Browser, url: str, scheme: str, feature: str) -> Path:
    """Overview, a feature with an incident, its use, a watched table, drift, an alert book: one moving picture."""
    page = opened(browser, scheme, TOUR_SIZE, TOUR_SCALE)
    page.goto(url)
    settle(page)
    page.evaluate(POINTER)
    tour = Tour(page)
    page.mouse.move(*tour.at)
    tour.look(2600)
    tour.click(page.get_by_role("main").get_by_role("link", name=feature).first)
    tour.look(3000)
    tour.scroll_to(page.get_by_role("heading", name="Incidents"))
    for title in TOUR:
        page.mouse.wheel(0, -5000)
        tour.click(entry(page, title))
        tour.look(2800)
    target = HERE / f"tour-{scheme}.webp"
    tour.frames[0].save(
        target,
        save_all=True,
        append_images=tour.frames[1:],
        duration=tour.durations,
        loop=0,
        quality=TOUR_QUALITY,
        method=4,
    )
    page.context.close()
    return target


def make_stills(browser: Browser, url: str, scheme: str, feature: str) -> Iterator[Path]:
    """Each page once, from its beginning."""
    page = opened(browser, scheme, STILL_SIZE, STILL_SCALE)
    page.goto(url)
    settle(page)
    entries = page.get_by_role("navigation", name="Pages").get_by_role("link")
    paths = {str(link.get_attribute("href")) for link in entries.all()}
    names = {path: path.strip("/") or "overview" for path in sorted(paths)}
    for path, name in names.items():
        page.goto(url + path)
        yield _still(page, f"{name}-{scheme}")
    page.goto(url)
    settle(page)
    page.get_by_role("main").get_by_role("link", name=feature).first.click()
    yield _still(page, f"feature-{scheme}")
    for path, name in (("/funnels/quiz", "funnel"), ("/sources/orders", "source")):
        page.goto(url + path)
        yield _still(page, f"{name}-{scheme}")
    page.goto(f"{url}/api/docs")
    page.get_by_text("/api/").first.wait_for()
    yield _still(page, f"api-{scheme}")
    page.context.close()


def _still(page: Page, name: str) -> Path:
    settle(page)
    target = HERE / f"{name}.webp"
    picture(page).save(target, quality=STILL_QUALITY, method=6)
    return target


@contextmanager
def demo() -> Iterator[str]:
    """The demo, built and served in a folder that goes afterwards; gives its address."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder, socket.socket() as probe:
        environment = os.environ | {"QUALITY_DATA_DIR": folder, "PYTHONPATH": str(REPOSITORY)}
        subprocess.run(
            [sys.executable, "-m", "quality_assets.cli", "demo", "--no-serve"],
            cwd=REPOSITORY,
            env=environment,
            check=True,
        )
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "dash_app.app:server",
            "--port",
            str(port),
            "--log-level",
            "warning",
        ]
        with (Path(folder) / "dashboard.log").open("wb") as log:
            server = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log)
            try:
                url = f"http://127.0.0.1:{port}"
                _wait_for(url, server)
                yield url
            finally:
                server.terminate()
                server.wait(timeout=30)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            httpx.get(f"{url}/readyz", timeout=2).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the dashboard at {url} did not start")


def make(url: str) -> list[str]:
    """Make all pictures; gives what is wrong with them."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        return ["there is no Chromium: apt-get install chromium fonts-liberation"]
    url, too_large = url.rstrip("/"), []
    feature = told_feature(url)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        for scheme in SCHEMES:
            made = [(make_tour(browser, url, scheme, feature), MAX_TOUR_BYTES)]
            made += [(path, MAX_STILL_BYTES) for path in make_stills(browser, url, scheme, feature)]
            for path, limit in made:
                size = path.stat().st_size
                print(f"{path.relative_to(REPOSITORY)} {size / 1000:,.0f} kB", flush=True)
                if size > limit:
                    too_large.append(f"{path.name} has {size:,} bytes, more than {limit:,}")
        browser.close()
    return too_large


def main() -> int:
    """Exit code 0 when all pictures were made and none is too large."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", help="a dashboard that runs already, as http://127.0.0.1:8050")
    asked = parser.parse_args()
    if asked.url:
        faults = make(asked.url)
    else:
        with demo() as url:
            faults = make(url)
    for fault in faults:
        print(fault, file=sys.stderr)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
