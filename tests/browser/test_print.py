"""On paper: the colours stay, contexts are whole, and the dark scheme is left on the screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

WHITE = "rgb(255, 255, 255)"
CUT = """
  [...document.querySelectorAll(".contexts p, .contexts p span, .contexts bdi")].filter((part) => {
    const style = getComputedStyle(part);
    const { left, right } = part.getBoundingClientRect();
    return style.maskImage !== "none" || left < 0 || right > innerWidth + 1
      || (style.display !== "inline" && part.scrollWidth > part.clientWidth + 1);
  }).length
"""


@pytest.mark.usefixtures("ablations")
@pytest.mark.parametrize("address", ["/d/demo/mlp-12/0", "/d/demo/mlp-12/0?width=full"])
def test_contexts_are_printed_whole_and_in_colour(
    browser: Browser, base_url: str, address: str
) -> None:
    context = browser.new_context(
        base_url=base_url, color_scheme="dark", viewport={"width": 700, "height": 900}
    )
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#group-top li[data-e]").first).to_be_visible()
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(CUT) == 0
    strongest = page.locator("#top-0 .p")
    colour = "token => getComputedStyle(token).backgroundColor"
    assert strongest.evaluate(colour) == "rgb(254, 162, 58)"  # of the light scheme
    adjust = "token => getComputedStyle(token).printColorAdjust"
    assert strongest.evaluate(adjust) == "exact"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == WHITE
    expect(page.locator("#toggle-width")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    context.close()
