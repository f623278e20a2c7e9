"""On a small laptop: what a click asked for comes into view, focused and announced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.prompt.conftest import PROMPT, address, asked, token

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
              const stage = document.querySelector(".stage").getBoundingClientRect();
              const from = stage.right <= panel.getBoundingClientRect().left ? 0 : stage.bottom;
              const to = Math.min(bottom, top + 150);
              return Math.max(0, from - top) + Math.max(0, to - innerHeight);
            }"""
        )
    )


def box(part: Locator) -> Mapping[str, float]:
    """Where a part of the page lies in the window."""
    place = part.bounding_box()
    assert place is not None
    return {"x": place["x"], "y": place["y"], "width": place["width"], "height": place["height"]}


def test_panels_come_into_view_and_are_announced(page: Page) -> None:
    page.goto(address(LONG, d=["mlp-12", "neurons"], sort="activation"))
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
    page.goto(address(LONG, target=40, exact=1, d=["mlp-12", "neurons"]))
    boxes = page.locator("#responsible input[type=checkbox]")
    boxes.nth(0).check()
    boxes.nth(9).check()
    expect(page.locator("#checked [role=status]")).to_have_text("2 checked:")
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="ablate together")).to_be_focused()
    button = page.get_by_role("button", name="ablate together")
    place = box(button)
    assert place["y"] + place["height"] <= 650  # at hand while one checks
    button.click()
    joints = page.locator("#joints")
    expect(joints).to_be_visible()
    expect(page.locator("#announced")).to_contain_text("ablated together")
    assert hidden(joints) == 0
    page.get_by_role("link", name="uncheck all").click()
    expect(page.locator("#checked")).to_be_hidden()


def test_the_checked_ones_are_steered_together(page: Page) -> None:
    page.goto(address())
    expect(page.locator("#checked")).to_be_hidden()
    boxes = page.locator("#features input[type=checkbox]")
    names = [boxes.nth(place).input_value() for place in (0, 2)]
    boxes.nth(0).check()
    boxes.nth(2).check()
    # This worker does not steer; the page there asks at once.
    page.route(
        "**/api/v1/m/demo/steer", lambda route: route.fulfill(content_type="text/event-stream")
    )
    page.get_by_role("button", name="steer together").click()
    page.wait_for_url("**/m/demo/steer?**")
    assert asked(page) == {"text": [PROMPT], "f": names}


def test_the_strip_stays_beside_what_is_said_of_it(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 500})
    page.goto(address(LONG, all=1, d=["mlp-12", "neurons"]))
    stage, panels = page.locator(".stage"), page.locator(".panels")
    left, right = box(stage), box(panels)
    assert left["x"] + left["width"] <= right["x"]
    page.evaluate("scrollTo(0, 600)")
    assert 0 <= box(stage)["y"] < 20
    page.set_viewport_size({"width": 400, "height": 800})
    left, right = box(stage), box(panels)
    assert left["y"] + left["height"] <= right["y"]


def test_the_focus_follows_where_its_place_is_gone(page: Page) -> None:
    page.goto(address(LONG, all=1, d=["mlp-12", "neurons"]))
    page.locator("#features .where").last.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#the-feature")).to_be_focused()
    assert hidden(page.locator("#the-feature")) == 0
