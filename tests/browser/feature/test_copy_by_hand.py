"""A page on plain http has no clipboard: what is copied is offered as selected text."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.looks import violations

NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined })"


@pytest.mark.usefixtures("ablations", "complaints")
def test_a_token_is_offered_selected(page: Page) -> None:
    page.add_init_script(NO_CLIPBOARD)
    page.goto("/d/demo/mlp-12/1")
    button = page.locator("[data-copy]").first
    button.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("cannot copy by itself")
    wanted = button.evaluate("button => JSON.parse(button.dataset.copy)")
    assert page.evaluate("document.activeElement.value") == wanted
    chosen = "document.activeElement.selectionEnd - document.activeElement.selectionStart"
    assert page.evaluate(chosen) == len(wanted)
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert page.locator(".copied").count() == 0


@pytest.mark.usefixtures("ablations")
def test_every_visible_name_is_in_the_spoken_one(page: Page) -> None:
    rule = ["label-content-name-mismatch"]
    for address in ("/", "/d/demo/mlp-12", "/d/demo/mlp-12/1", "/d/demo/mlp-12/evaluation"):
        page.goto(address)
        assert violations(page, rule) == []
