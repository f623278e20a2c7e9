"""Reading a feature: what is above the fold, what explains itself, all of it by keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

FEATURE = "/d/demo/mlp-12/1"


@pytest.mark.usefixtures("ablations")
def test_contexts_and_histogram_are_above_the_fold(browser: Browser, base_url: str) -> None:
    context = browser.new_context(base_url=base_url, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(FEATURE)
    for part in (".summary", ".reading > .charts svg", "#top-0", "#top-9"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 800, part
    chart = page.locator(".reading > .charts svg").bounding_box()
    first = page.locator("#top-0").bounding_box()
    assert chart is not None
    assert first is not None
    assert chart["x"] + chart["width"] <= first["x"]  # beside, not above
    context.close()


@pytest.mark.usefixtures("ablations", "complaints")
def test_a_heading_opens_to_two_lines_by_keyboard(page: Page) -> None:
    page.goto(FEATURE)
    heading = page.locator("#figures details", has_text="Raises").locator("summary")
    line = page.get_by_text("The ten tokens whose logits it raises most")
    expect(line).to_be_hidden()
    heading.focus()
    page.keyboard.press("Enter")
    expect(line).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url("/glossary#raises")
    expect(page.locator("#raises")).to_be_in_viewport()


@pytest.mark.usefixtures("ablations", "complaints")
def test_help_says_what_the_page_is_for(page: Page) -> None:
    for address, words in ((FEATURE, "where it fires"), ("/d/demo/mlp-12", "a row each")):
        page.goto(address)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text(words)
        expect(page.get_by_role("dialog")).to_contain_text("Keyboard shortcuts")


@pytest.mark.usefixtures("ablations", "complaints")
def test_a_card_says_what_a_number_is(page: Page) -> None:
    page.goto(FEATURE)
    link = page.locator("#figures .ranking a[href*='/d/demo/mlp-12/']").first
    link.focus()
    tooltip = page.get_by_role("tooltip")
    expect(tooltip).to_contain_text("density")
    expect(tooltip).to_contain_text("fire")
    expect(link).to_have_attribute("aria-describedby", "tooltip")
    page.keyboard.press("Escape")
    expect(tooltip).to_have_count(0)


@pytest.mark.usefixtures("complaints")
def test_the_table_is_narrowed_by_a_token_without_a_mouse(page: Page) -> None:
    page.goto("/d/demo/mlp-12")
    page.locator("#on").focus()
    page.keyboard.type(" self")
    page.keyboard.press("Enter")
    expect(page).to_have_url("/d/demo/mlp-12?alive=&q=&on=+self")
    expect(page.locator(".features tbody tr").first).to_be_visible()
    rows = page.locator("#features-title")
    expect(rows).not_to_contain_text("120 features")
    page.locator("#on").fill("nowhere")
    page.keyboard.press("Enter")
    expect(page.locator(".none")).to_contain_text("No token of demo contains nowhere")


@pytest.mark.usefixtures("complaints")
def test_white_space_is_hatched_and_narrow(page: Page) -> None:
    page.goto("/d/demo/mlp-12/1/contexts/top/0?width=full")
    blanks = page.locator(".contexts bdi > .w")
    assert blanks.count()
    for blank in blanks.all():
        box = blank.bounding_box()
        assert box is not None
        assert box["width"] <= 34
