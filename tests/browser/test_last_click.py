"""While an answer is under way the reader clicks again: the last click wins, and none is lost."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

BETWEEN_MS = 150
TABLE = "/d/demo/mlp-12"

# Every answer takes as long as that of a server far away.
SLOW = """
  window.asked = [];
  const ask = window.fetch;
  window.fetch = async (address, options) => {
    window.asked.push(String(address));
    await new Promise((go) => setTimeout(go, 700));
    return ask(address, options);
  };
"""

pytestmark = pytest.mark.usefixtures("ablations", "complaints")


@pytest.fixture(autouse=True)
def slow(page: Page) -> None:
    page.add_init_script(SLOW)


def in_turn(page: Page, *clicks: Callable[[], object]) -> None:
    """One click after another, each before the answer to the one before."""
    for click in clicks:
        click()
        page.wait_for_timeout(BETWEEN_MS)


def test_the_last_order_wins(page: Page) -> None:
    page.goto(TABLE)
    in_turn(page, page.locator("#by-density").click, page.locator("#by-maximum").click)
    expect(page).to_have_url(re.compile(r"\?sort=maximum$"))
    expect(page.locator("[aria-sort=descending]")).to_contain_text("max")
    in_turn(page, page.locator("#by-density").click, page.locator("#by-index").click)
    expect(page).to_have_url(re.compile(r"/mlp-12$"))
    expect(page.locator("[aria-sort=ascending]")).to_contain_text("feature")


def test_the_last_filter_wins(page: Page) -> None:
    page.goto(TABLE)
    alive = page.get_by_label("show")
    in_turn(page, *(lambda v=v: alive.select_option(v) for v in ("1", "0", "")))  # type: ignore[misc]
    expect(page.get_by_role("heading", level=2)).to_contain_text("120 features")
    page.wait_for_timeout(1000)  # nothing comes later and overtakes it
    expect(page.get_by_role("heading", level=2)).to_contain_text("120 features")


def test_a_filter_and_an_order_are_both_kept(page: Page) -> None:
    page.goto(TABLE)
    in_turn(
        page,
        lambda: page.get_by_label("show").select_option("1"),
        page.locator("#by-density").click,
    )
    expect(page).to_have_url(re.compile("sort=density"))
    assert "alive=1" in page.url
    expect(page.get_by_role("heading", level=2)).to_contain_text("90 features")
    page.goto(TABLE)
    in_turn(
        page,
        page.locator("#by-density").click,
        lambda: page.get_by_label("show").select_option("1"),
    )
    expect(page).to_have_url(re.compile("alive=1"))
    assert "sort=density" in page.url


def test_enter_in_the_label_field_asks_once(page: Page) -> None:
    page.goto(TABLE)
    page.locator("#q").fill("label")
    page.locator("#q").press("Enter")
    page.wait_for_timeout(1200)
    assert len(page.evaluate("window.asked")) == 1
    expect(page).to_have_url(re.compile("q=label"))


def test_both_switches_of_the_contexts_are_kept(page: Page) -> None:
    page.goto(f"{TABLE}/0")
    in_turn(page, page.locator("#toggle-width").click, page.locator("#toggle-newlines").click)
    expect(page).to_have_url(re.compile("newlines=1"))
    assert "width=full" in page.url
    expect(page.locator("#toggle-width")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#toggle-newlines")).to_have_attribute("aria-pressed", "true")
