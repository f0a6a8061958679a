"""axe-core finds nothing on any page, in both schemes and on a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import Visit
from playwright.sync_api import Page

from dash_app import links

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
ON_A_PHONE = ("/", "/data-quality", "/pipeline?asset=core.valid_events")
PATHS = (
    "/",
    links.feature("Live comments"),
    "/data-quality",
    "/drift",
    "/model",
    "/pipeline?asset=core.valid_events",
    "/nope",
)


@pytest.mark.parametrize(("width", "paths"), [(1280, PATHS), (390, ON_A_PHONE)])
def test_axe_finds_nothing(visit: Callable[..., Visit], full: str, width: int, paths: tuple[str, ...]) -> None:
    made = visit(full, width=width)
    found = []
    for path in paths:
        page = made.open(path)
        page.evaluate("document.fonts.ready")
        if path.startswith(links.FEATURE_PREFIX):
            page.wait_for_selector("#slices table")
        found += [f"light {path}: {fault}" for fault in _faults(page, RULES)]
        page.get_by_role("button", name="Light or dark").click()
        # Nothing but colours differs between the schemes.
        found += [f"dark {path}: {fault}" for fault in _faults(page, {"runOnly": ["color-contrast"]})]
        page.evaluate("localStorage.clear()")
    assert not found, "\n".join(found)


def _faults(page: Page, options: dict[str, list[str]]) -> list[str]:
    violations = Axe().run(page, options=options).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:160]}" for v in violations]
