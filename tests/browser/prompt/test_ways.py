"""Other ways to the prompt page: keyboard, no scripts, other pages; and how it looks."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.prompt.conftest import PAGE, PROMPT, address, asked, token
from tests.looks import problems_in_every_look


@pytest.mark.usefixtures("complaints")
def test_everything_by_keyboard(page: Page) -> None:
    page.goto(PAGE)
    page.keyboard.type("word20 word21 word22")
    page.keyboard.press("Control+Enter")
    strip = page.locator(".stage .strip")
    expect(strip).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.locator("#main").focus()
    page.get_by_label("Prompt", exact=True).focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.locator(".stage bdi:focus").count():
            break
    expect(page.locator(".stage bdi:focus")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(token(page, 2)).to_be_focused()
    expect(page.get_by_role("tooltip")).to_contain_text("expected here")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#the-token")).to_contain_text("token 1")
    expect(token(page, 1)).to_be_focused()
    page.locator("#the-token .strong").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#responsible")).to_be_visible()
    page.locator("#features .where").first.focus()
    expect(page.locator(".tinted").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#the-feature")).to_be_visible()
    page.get_by_role("link", name="close the feature").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#the-feature")).to_have_count(0)


def test_everything_without_scripts(browser: Browser, prompt_site: str) -> None:
    context = browser.new_context(base_url=prompt_site, java_script_enabled=False)
    page = context.new_page()
    page.goto(PAGE)
    page.get_by_label("Prompt", exact=True).fill("\n\n word20 word21 word22")
    page.get_by_role("button", name="Read").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("\n\n word20 word21 word22")
    assert asked(page)["text"] == ["\n\n word20 word21 word22"]
    page.get_by_label("token", exact=True).fill("4")
    page.get_by_role("button", name="show", exact=True).click()
    expect(page.locator("#the-token")).to_contain_text("token 4, id 21")
    page.get_by_role("button", name="next token").click()
    expect(page.locator("#the-token")).to_contain_text("token 5, id 22")
    page.locator("#features .where").nth(0).click()
    expect(page.locator("#the-feature")).to_be_visible()
    page.get_by_role("button", name="replace each").click()
    expect(page.locator("#reasons")).to_contain_text("replaced by")
    page.locator("#the-token .strong").click()
    expect(page.locator("#responsible .effects tbody tr").first).to_be_visible()
    expect(page.locator("#responsible td", has_text="…")).to_have_count(0)
    page.locator("#responsible input[type=checkbox]").nth(0).check()
    page.locator("#responsible input[type=checkbox]").nth(1).check()
    page.get_by_role("button", name="ablate together").click()
    expect(page.locator("#checked .joint").first).to_be_visible()
    page.get_by_role("button", name="effect").click()
    expect(page.locator("#features [aria-sort='descending']")).to_contain_text("effect")
    page.goto(address(target=3))
    page.get_by_role("link", name="Work the exact effects out").click()
    expect(page.locator("#responsible progress")).to_have_count(0)
    page.get_by_text("The prompt in numbers").click()
    page.get_by_role("button", name="choose token 2").click()
    expect(page.locator("#the-token")).to_contain_text("token 2")
    context.close()


@pytest.mark.usefixtures("complaints")
def test_a_feature_is_tested_on_its_own_page(page: Page) -> None:
    page.goto("/d/demo/mlp-12/8")
    page.get_by_label("Test this feature on your own text").fill(PROMPT)
    result = page.locator("#test-result")
    expect(result.locator(".strip bdi[class*='a']").first).to_be_visible()
    assert urlsplit(page.url).path == "/d/demo/mlp-12/8"
    assert asked(page) == {"text": [PROMPT]}
    page.get_by_role("button", name="full width").click()
    expect(page).to_have_url(re.compile("width=full"))
    assert asked(page) == {"text": [PROMPT], "width": ["full"]}
    expect(result.locator(".strip")).to_be_visible()
    page.reload()  # whoever is given the address sees the same
    expect(page.get_by_label("Test this feature on your own text")).to_have_value(PROMPT)
    expect(result.locator(".strip bdi[class*='a']").first).to_be_visible()
    result.locator(".strip bdi[class*='a']").first.hover()
    expect(page.get_by_role("tooltip")).to_contain_text("activation")
    page.get_by_role("link", name="why it fires").click()
    expect(page.locator("#reasons")).to_be_visible()
    page.go_back()
    page.route("**/m/demo/steer?**", lambda route: route.fulfill(body="<title>steer</title>"))
    page.get_by_role("link", name="steer this feature").click()
    expect(page).to_have_url(re.compile(r"/m/demo/steer\?.*f=mlp-12:8"))
    assert asked(page)["text"] == [PROMPT]


def test_a_feature_is_tested_without_scripts(browser: Browser, prompt_site: str) -> None:
    context = browser.new_context(base_url=prompt_site, java_script_enabled=False)
    page = context.new_page()
    page.goto("/d/demo/mlp-12/8")
    page.get_by_label("Test this feature on your own text").fill(PROMPT)
    page.get_by_role("button", name="Read").click()
    expect(page.locator("#the-feature")).to_contain_text("mlp-12 8")
    context.close()


@pytest.mark.usefixtures("complaints")
def test_the_page_is_found_from_everywhere_and_hands_out_its_program(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/")
    page.get_by_role("link", name="prompt").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("prompt")
    page.goto("/d/demo/mlp-12")
    page.keyboard.press("g")
    page.keyboard.press("p")
    expect(page).to_have_url(re.compile(r"/m/demo/prompt\?d=mlp-12$"))
    page.goto(address())
    page.locator("#view").get_by_text("Copy as Python").click()
    page.get_by_role("button", name="Copy", exact=True).click()
    program = page.locator(".program code").text_content()
    page.wait_for_function(
        "wanted => navigator.clipboard.readText().then((t) => t === wanted)", arg=program
    )
    page.keyboard.press("Escape")
    expect(page.locator(".program code")).to_be_hidden()
    button = page.locator("#features .ways button").first
    name = button.get_attribute("value")
    button.click()
    expect(page).to_have_url(re.compile("/m/demo/steer"))
    assert asked(page) == {"text": [PROMPT], "f": [name]}


STATES: tuple[dict[str, object], ...] = (
    {"sort": "share"},
    {"token": 3, "feature": "mlp-12:8", "why": "replaced"},
    {"target": 5, "exact": 1, "a": ["mlp-12:1", "mlp-12:8"]},
    {"other": " word20 word21", "feature": "mlp-12:8"},
    {"token": 99, "target": 99, "feature": "nothing:5", "sort": "beauty"},
)


def test_no_state_violates_accessibility_or_scrolls_sideways(page: Page) -> None:
    problems: list[str] = []
    for place in (PAGE, *(address(**state) for state in STATES)):
        page.goto(place)
        while page.locator("details:not([open]) > summary").count():
            page.locator("details:not([open]) > summary").first.click()
        # As long as a transcoder's two places.
        page.evaluate(
            "for (const place of document.querySelectorAll('.asked label small'))"
            " place.textContent += ' → blocks.11.ln2.hook_normalized'"
        )
        problems += problems_in_every_look(page)
    assert problems == []
