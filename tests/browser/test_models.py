"""A model is brought, asked and watched by its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Visit, serving
from playwright.sync_api import expect

Start = Callable[..., Visit]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard over a root with nothing in it."""
    root: Path = tmp_path_factory.mktemp("brought")
    with serving(root) as base:
        yield base


def test_a_model_is_brought_after_its_contract_was_seen_and_answers(visit: Start, empty: str) -> None:
    page = visit(empty).open("/models")
    form = page.locator("form[data-deploy]")
    page.get_by_role("button", name="fill in the classification example").click()
    name = form.locator("input[name=name]")
    expect(name).to_have_value("cancellation")
    name.fill("cancellation_1")
    expect(form.get_by_role("button", name="Confirm and deploy")).to_be_hidden()
    form.get_by_role("button", name="Learn the contract").click()
    contract = form.locator(".deploy-contract")
    expect(contract.locator("tbody tr")).to_have_count(3)
    expect(contract).to_contain_text("card, invoice, wallet")
    expect(contract).to_contain_text("target cancelled")
    form.get_by_role("button", name="Confirm and deploy").click()
    page.wait_for_url("**/models/cancellation_1")
    asked = page.get_by_role("form", name="Try a prediction")
    asked.locator("input[name=days_late]").fill("7")
    asked.locator("select[name=payment]").select_option("invoice")
    asked.get_by_role("button", name="Predict").click()
    # What is well is not told in the colour of what failed.
    expect(asked.locator(".form-said.well")).to_contain_text("yes (confidence 0.")
    # What was asked stays, to be asked again with one thing changed.
    expect(asked.locator("input[name=days_late]")).to_have_value("7")
    expect(page.get_by_label("Releases", exact=True)).to_contain_text("promote 1")
    # Nothing is wider than the screen.
    wide = "[...document.querySelectorAll('#main *')].filter((each) => !each.closest('.scroll-x, .form-said')"
    wide += " && each.getBoundingClientRect().right > window.innerWidth + 1).map((each) => each.outerHTML.slice(0, 80))"
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(wide) == [], width
