"""On a small laptop: what a click asked for comes into view, focused and announced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.prompt.conftest import address, token

pytestmark = pytest.mark.usefixtures("complaints")
LONG = " self word20 word21 word22\n" * 14  # 72 tokens: the strip fills its third of the window


@pytest.fixture
def page(browser: Browser, prompt_site: str) -> Iterator[Page]:
    context = browser.new_context(base_url=prompt_site, viewport={"width": 1366, "height": 650})
    yield context.new_page()
    context.close()


def hidden(panel: Locator) -> float:
    """Pixels of a panel's first 150 that are below the window or under the strip."""
    return float(
        panel.evaluate(
            """panel => {
              const { top, bottom } = panel.getBoundingClientRect();
              const from = document.querySelector(".stage").getBoundingClientRect().bottom;
              const to = Math.min(bottom, top + 150);
              return Math.max(0, from - top) + Math.max(0, to - innerHeight);
            }"""
        )
    )


def test_panels_come_into_view_and_are_announced(page: Page) -> None:
    page.goto(address(LONG))
    token(page, 3).click()
    panel = page.locator("#the-token")
    expect(page.locator("#announced")).to_contain_text("token 3")
    assert hidden(panel) == 0
    expect(token(page, 3)).to_be_visible()  # the strip stays
    page.locator("#features .where").nth(1).click()
    expect(page.locator("#announced")).to_contain_text("neurons")
    assert hidden(page.locator("#the-feature")) == 0
    page.locator("#the-token .strong").click()
    expect(page.locator("#announced")).to_contain_text("Responsible for")
    assert hidden(page.locator("#responsible")) == 0


def test_what_is_in_view_already_does_not_move(page: Page) -> None:
    page.goto(address(LONG, token=3))
    page.evaluate("scrollTo(0, 260)")
    panel = page.locator("#the-token")
    assert hidden(panel) == 0
    before = page.evaluate("scrollY")
    token(page, 4).click()
    expect(page.locator("#announced")).to_contain_text("token 4")
    assert page.evaluate("scrollY") == before


def test_what_the_checked_ones_do_together_is_seen(page: Page) -> None:
    page.goto(address(LONG, target=40, exact=1))
    boxes = page.locator("#responsible input[type=checkbox]")
    boxes.nth(0).check()
    boxes.nth(9).check()
    button = page.get_by_role("button", name="Ablate the checked ones together")
    box = button.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 650  # at hand while one checks
    button.click()
    joints = page.locator("#joints")
    expect(joints).to_be_visible()
    expect(page.locator("#announced")).to_contain_text("ablated together")
    assert hidden(joints) == 0


def test_the_focus_follows_where_its_place_is_gone(page: Page) -> None:
    page.goto(address(LONG, all=1))
    page.locator("#features .where").last.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#the-feature")).to_be_focused()
    assert hidden(page.locator("#the-feature")) == 0
