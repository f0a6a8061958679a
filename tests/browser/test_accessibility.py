"""axe-core finds nothing on any page, in both schemes, on a desktop and on a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import Visit
from playwright.sync_api import Page

from quality_assets.read import links

# What passes is not listed: to tell where is most of the work.
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
PATHS = (
    "/",
    links.feature("Live comments"),
    links.feature("Live comments", {"platform": "Android"}),
    "/feature/Serch",
    "/data-quality",
    "/drift",
    "/model",
    "/pipeline?asset=core.valid_events",
    "/alerts",
    "/settings",
    "/nope",
)


# Every width and scheme; a page is laid out anew and recoloured where it stands, as it is when a window or the system's
# scheme changes.
LOOKS = ((1280, "light"), (1280, "dark"), (390, "dark"), (390, "light"))


@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_nothing(visit: Callable[..., Visit], full: str, path: str) -> None:
    page = visit(full).open(path)
    page.evaluate("document.fonts.ready")
    if page.locator("#pairs").count():
        page.wait_for_selector("#pairs table")
        page.wait_for_selector("#retention .chart")
    found = []
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        # Half-way from one colour to another is no colour of the page: nothing moves.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
        found += [f"{width} {scheme}: {fault}" for fault in _faults(page, RULES)]
    assert not found, "\n".join(found)


def _faults(page: Page, options: dict[str, list[str]]) -> list[str]:
    violations = Axe().run(page, options=options).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:160]}" for v in violations]
