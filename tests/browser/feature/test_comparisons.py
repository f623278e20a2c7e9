"""Comparisons in the browser: in every look, and sorted without loading the page anew."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from app.store.store import Store
from tests import comparisons
from tests.looks import problems_in_every_look

SEEDS = "/compare/seeds"


@pytest.fixture
def compared(shared_store: Store) -> Iterator[None]:
    """`mlp-12` with a smaller training that is gone, and with neurons."""
    views = [shared_store.dictionary("demo", name) for name in ("mlp-12", "neurons")]
    small = comparisons.compared("long name " * 8, 20)
    shared_store.comparisons.save(
        comparisons.comparison(small, *map(comparisons.of_view, views), name="seeds")
    )
    yield
    shared_store.comparisons.remove("seeds")


@pytest.mark.usefixtures("ablations", "compared")
def test_comparisons_look_right_everywhere(page: Page) -> None:
    problems: list[str] = []
    page.goto(f"{SEEDS}/tree/0/3")
    problems += problems_in_every_look(page)
    for address in (SEEDS, f"{SEEDS}/1/2"):
        page.goto(address)
        problems += problems_in_every_look(page, closely=False)
    assert problems == []


@pytest.mark.usefixtures("compared")
def test_pairs_are_sorted_narrowed_and_opened(page: Page) -> None:
    page.goto(f"{SEEDS}/1/2")
    page.evaluate("window.same = true")
    page.get_by_role("link", name="not found").click()
    expect(page.get_by_text("(0.", exact=False).first).to_be_visible()
    page.get_by_role("link", name="correlation", exact=True).click()
    expect(page).to_have_url(re.compile(r"/1/2\?(show=lost&order=asc|order=asc&show=lost)$"))
    assert page.evaluate("window.same")
    page.locator("tbody th a").first.click()
    expect(page.get_by_role("heading", name="Twins")).to_be_visible()
    page.locator(".twins a.n").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("in")
