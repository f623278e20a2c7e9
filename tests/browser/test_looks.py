"""In light and dark, wide and narrow: accessible, and nothing lies beyond the edge."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

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


EACH_KIND = (
    "/",
    "/d/demo/mlp-12?sort=maximum",
    "/d/demo/mlp-12/about",
    "/d/demo/mlp-12/0",
    "/d/demo/mlp-12/0/contexts/top/0?width=full",
    "/d/demo/mlp-12/9999",
)


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.usefixtures("ablations")
def test_no_page_violates_accessibility_or_scrolls_sideways(
    browser: Browser, base_url: str, scheme: str, width: int
) -> None:
    context = browser.new_context(
        base_url=base_url,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    problems: list[str] = []
    for address in PAGES:
        page.goto(address)
        if page.locator("#group-top").count():
            expect(page.locator("#group-top li[data-e]").first).to_be_visible()
        if address in EACH_KIND or (scheme, width) == ("light", 1280):
            rules = None if scheme == "light" else ["color-contrast"]  # the rest knows no scheme
            problems += [f"{address} {violation}" for violation in violations(page, rules)]
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if overflow > 0:
            problems.append(f"{address} scrolls sideways by {overflow} px")
    context.close()
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


def violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """What axe finds, by all rules or some, in a line each.

    All are those of WCAG and good practice, and that a visible name is part of the spoken one.
    """
    names = {"rules": {"label-content-name-mismatch": {"enabled": True}}}
    options = {"runOnly": rules} if rules else names
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node.get('failureSummary', '')}"
        for rule in found
        for node in rule["nodes"][:3]
    ]
