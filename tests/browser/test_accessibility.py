"""axe-core finds nothing on any page, in both schemes, on a desktop and on a phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


# A page is laid out anew and recoloured where it stands, as it is when a window or the system's scheme changes. Of what
# is asked only colours are of the scheme, and they are most of the work: what else there is is asked once a width.
COLOURS = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "resultTypes": ["violations"],
}
LOOKS = ((1280, "light", RULES), (1280, "dark", COLOURS), (390, "dark", RULES))
# What only a phone shows is of the frame, which is on every page.
FRAME_ON_A_PHONE = (390, "light", COLOURS)


@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    visit: Callable[..., Visit], full: str, path: str
) -> None:
    page = visit(full).open(path)
    page.evaluate("document.fonts.ready")
    if page.locator("#pairs").count():
        page.wait_for_selector("#pairs table")
        page.wait_for_selector("#retention .chart")
    found = []
    for width, scheme, rules in (*LOOKS, *([FRAME_ON_A_PHONE] if path == "/" else [])):
        page.set_viewport_size({"width": width, "height": 900})
        # Half-way from one colour to another is no colour of the page: nothing moves.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
        found += [f"{width} {scheme}: {fault}" for fault in _faults(page, rules)]
        if not page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            found.append(f"{width} {scheme}: wider than the screen")
    assert not found, "\n".join(found)


def _faults(page: Page, options: dict[str, Any]) -> list[str]:
    violations = Axe().run(page, options=options).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:160]}" for v in violations]
