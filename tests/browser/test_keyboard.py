"""Without a mouse: shortcuts, tokens, help."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.looks import beyond_the_edge, violations

FEATURE = "/d/demo/mlp-12/1"
PLACE = "token => [...token.closest('li').querySelectorAll('bdi')].indexOf(token)"

pytestmark = pytest.mark.usefixtures("complaints", "ablations")


def test_shortcuts_press_what_is_on_the_page(page: Page) -> None:
    page.goto(FEATURE)
    heading = page.get_by_role("heading", level=1)
    for key, expected in (("j", "2"), ("n", "3"), ("k", "2"), ("p", "1")):
        page.keyboard.press(key)
        expect(heading).to_have_text(f"feature {expected}")
        page.wait_for_load_state()
    # A key pressed before the next page's script listens is lost: its address is there earlier.
    for key, expected in (("w", "width=full"), ("b", "newlines=1")):
        page.keyboard.press(key)
        expect(page).to_have_url(re.compile(expected))
        page.wait_for_load_state()
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(heading).to_have_text("mlp-12")
    page.wait_for_load_state()
    page.keyboard.press("r")
    expect(heading).to_have_text(re.compile(r"feature \d+"))
    page.wait_for_load_state()
    page.keyboard.press("g")
    page.keyboard.press("h")
    expect(page.get_by_role("link", name="mlp-12", exact=True)).to_be_visible()


def test_the_prompt_is_two_keys_away(page: Page) -> None:
    table = "/d/demo/mlp-12"
    ways = ("", "/about", "/evaluation")
    for address in (FEATURE, f"{FEATURE}/groups/top", *(table + way for way in ways)):
        page.goto(address)
        page.keyboard.press("g")
        page.keyboard.press("p")
        expect(page).to_have_url(re.compile(r"/m/demo/prompt\?d=mlp-12$"))


def test_a_number_can_be_typed_and_letters_in_a_field_are_letters(page: Page) -> None:
    page.goto(FEATURE)
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("17")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("feature 17")
    page.goto("/d/demo/mlp-12")
    page.locator("#q").focus()
    page.keyboard.type("jkr")
    expect(page.locator("#q")).to_have_value("jkr")
    expect(page.get_by_role("heading", level=1)).to_have_text("mlp-12")


def test_the_box_finds_while_one_types_and_leads_to_meaning_and_phrase(page: Page) -> None:
    page.goto(FEATURE)
    page.keyboard.press("/")
    page.keyboard.type("word20")
    matches = page.get_by_role("region", name="What fits")
    expect(matches.get_by_role("heading", name="Fires on")).to_be_visible()
    expect(matches.get_by_role("link", name="search by meaning for word20")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(matches.get_by_role("link").first).to_be_focused()
    matches.get_by_role("link", name="as a phrase in the text").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("by phrase")
    expect(page.get_by_label("The text says")).to_have_value("word20")
    expect(page.locator("td.hits mark").first).to_contain_text("word20")
    page.set_viewport_size({"width": 400, "height": 900})
    assert violations(page) + beyond_the_edge(page) == []
    page.go_back()
    page.locator("#search").fill("word20")
    matches.get_by_role("link", name="search by meaning for word20").click()
    expect(page.get_by_label("Something like")).to_have_value("word20")


def test_modifiers_belong_to_the_browser(page: Page) -> None:
    page.goto(FEATURE)
    page.keyboard.press("Control+j")
    page.keyboard.press("Alt+n")
    expect(page.get_by_role("heading", level=1)).to_have_text("feature 1")


def test_help_opens_and_closes(page: Page) -> None:
    page.goto(FEATURE)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next feature")
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("feature 1")
    page.get_by_role("button", name="keyboard shortcuts").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_tokens_by_arrow_keys_with_the_same_tooltip(page: Page) -> None:
    page.goto(FEATURE)
    expect(page.locator("#group-top li[data-e]").first).to_be_visible()
    page.locator("#top-0 .p").focus()
    tooltip = page.get_by_role("tooltip")
    expect(tooltip).to_contain_text("activation")
    focused = page.locator("bdi:focus")
    expect(focused).to_have_attribute("aria-describedby", "tooltip")
    before = focused.evaluate(PLACE)
    page.keyboard.press("ArrowLeft")
    after = focused.evaluate(PLACE)
    assert after == before - 1
    assert page.locator("#top-0 bdi[tabindex='0']").count() == 1
    page.keyboard.press("ArrowDown")
    expect(page.locator("#top-1 .p")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#top-1.full")).to_be_visible()
    expect(page.locator("#top-1 .p")).to_be_focused()
    page.keyboard.press("Escape")
    expect(tooltip).to_be_hidden()


def test_focus_stays_when_underlines_arrive(page: Page) -> None:
    page.route("**/groups/top*", lambda route: (page.wait_for_timeout(600), route.continue_()))
    page.goto(FEATURE)
    page.locator("#top-2 .p").focus()
    expect(page.locator("#group-top li[data-e]").first).to_be_visible()
    expect(page.locator("#top-2 .p")).to_be_focused()


def test_a_token_is_copied_as_it_is(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(FEATURE)
    button = page.locator("[data-copy]").first
    button.click()
    expect(button).to_have_class(re.compile("copied"))
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == button.evaluate("button => JSON.parse(button.dataset.copy)")
