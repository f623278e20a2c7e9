"""Comparisons in the browser: in every look, and sorted without loading the page anew."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from app.store.store import Store
from tests import comparisons
from tests.app.pretend import followed
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


@pytest.mark.usefixtures("ablations")
def test_the_slider_over_a_training(page: Page, shared_store: Store) -> None:
    shared_store.comparisons.moments.save(followed.record("training"))
    page.goto("/over-training/training?feature=2")
    problems = problems_in_every_look(page)
    page.goto("/over-training")
    assert problems + problems_in_every_look(page, closely=False) == []
    page.goto("/over-training/training?feature=2")
    slider = page.get_by_role("slider", name="checkpoint")
    slider.focus()
    page.keyboard.press("Home")
    expect(page).to_have_url(re.compile(r"at=0"))
    expect(page.locator(".lead")).to_contain_text("step 64: 4 of 11")
    expect(slider).to_have_attribute("aria-valuetext", "step 64")
    page.go_back()
    expect(page.locator(".lead")).to_contain_text("step 1,000")
    shared_store.comparisons.moments.forget("training")
