"""axe-core finds nothing on any page, in both schemes, on a desktop and on a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import Visit
from playwright.sync_api import Page

from quality_assets.read import links

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(visit: Callable[..., Visit], full: str, width: int, scheme: str) -> None:
    made = visit(full, width=width, scheme=scheme)
    found = []
    for path in PATHS:
        page = made.open(path)
        page.evaluate("document.fonts.ready")
        if page.locator("#pairs").count():
            page.wait_for_selector("#pairs table")
            page.wait_for_selector("#retention .chart")
        found += [f"{path}: {fault}" for fault in _faults(page, RULES)]
    assert not found, "\n".join(found)


def _faults(page: Page, options: dict[str, list[str]]) -> list[str]:
    violations = Axe().run(page, options=options).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:160]}" for v in violations]
