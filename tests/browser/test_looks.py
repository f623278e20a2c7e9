"""In light and dark, wide and narrow: accessible, and nothing lies beyond the edge."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.looks import problems_in_every_look, violations

PAGES = (
    "/",
    "/d/demo/mlp-12?sort=maximum",
    "/d/demo/mlp-12?alive=0",
    "/d/demo/mlp-12/about",
    "/d/demo/mlp-12/0",
    "/d/demo/mlp-12/0?width=full&newlines=1",
    "/d/demo/mlp-12/3",
    "/d/demo/mlp-12/0/groups/band-9",
    "/d/demo/mlp-12/0/contexts/top/0?width=full",
    "/d/demo/neurons/0",
    "/d/demo/mlp-12/9999",
)

OF_A_KIND_SEEN = {  # only what differs from another page of their kind could be wrong
    "/d/demo/mlp-12?alive=0",
    "/d/demo/mlp-12/0?width=full&newlines=1",
    "/d/demo/mlp-12/3",
    "/d/demo/mlp-12/0/groups/band-9",
    "/d/demo/neurons/0",
}


@pytest.mark.usefixtures("ablations")
def test_no_page_violates_accessibility_or_scrolls_sideways(page: Page) -> None:
    problems: list[str] = []
    for address in PAGES:
        page.goto(address)
        if page.locator("#group-top").count():
            expect(page.locator("#group-top li[data-e]").first).to_be_visible()
        problems += problems_in_every_look(page, closely=address not in OF_A_KIND_SEEN)
    assert problems == []


@pytest.mark.usefixtures("ablations")
def test_open_parts_are_accessible_too(page: Page) -> None:
    page.goto("/d/demo/mlp-12/0")
    expect(page.locator("#group-top li[data-e]").first).to_be_visible()
    page.locator("#top-0 .p").focus()
    expect(page.get_by_role("tooltip")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []


@pytest.mark.usefixtures("ablations")
def test_pages_are_documents_without_scripts(browser: Browser, base_url: str) -> None:
    context = browser.new_context(base_url=base_url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("link", name="mlp-12", exact=True).click()
    page.get_by_role("link", name="max", exact=True).click()
    page.get_by_label("show").select_option("alive")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("heading", level=2)).to_contain_text("90 features")
    page.locator("tbody th a").first.click()
    page.locator("#underlines-top a").click()
    expect(page.locator("#group-top [data-d]").first).to_be_visible()
    page.locator("#group-top .v").first.click()
    expect(page.get_by_role("heading", name="Its tokens in numbers")).to_be_visible()
    context.close()
