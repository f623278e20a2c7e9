"""A study is rated with the keyboard alone, in two sittings, and its pages are accessible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from app.store.store import Store
from app.store.types.ratings import NewRating, RubricScores
from tests.app.pretend.prompts import PretendPrompts
from tests.app.pretend.served import Served
from tests.browser.test_looks import violations

pytestmark = pytest.mark.usefixtures("complaints")


@pytest.fixture
def study(sqlite_store: Store) -> str:
    views = [sqlite_store.dictionary("demo", name) for name in ("mlp-12", "neurons")]
    return sqlite_store.ratings.create(views, 2, title="W" * 60).id


@pytest.fixture
def address(sqlite_store: Store, tmp_path: Path) -> Iterator[str]:
    with Served(sqlite_store, tmp_path, PretendPrompts()) as url:
        yield url


def test_by_keyboard_alone(page: Page, address: str, study: str, sqlite_store: Store) -> None:
    page.goto(f"{address}/rate/{study}")
    page.get_by_label("your name").focus()
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")

    def expect_item(number: int) -> None:
        """The item is there and hears keys."""
        expect(page.get_by_role("heading", level=1)).to_have_text(f"item {number} of 4")
        expect(page.locator("#rating[data-ready]")).to_be_visible()

    expect_item(1)
    points = page.locator("#rating output")
    marked = page.locator("#rating :checked")
    # An interpretation, four digits, Enter.
    page.keyboard.press("i")
    page.keyboard.type("1 x ?")
    page.keyboard.press("Enter")
    for digit in "3529":
        page.keyboard.press(digit)
    expect(marked).to_have_count(3)  # there is no 9
    page.keyboard.press("1")
    expect(points).to_have_text("11 of 14 points")
    page.keyboard.press("Enter")
    # Arrows, and an Enter that is too early.
    expect_item(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[name=confidence]:checked")).to_have_value("1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("0")
    page.keyboard.press("Enter")
    expect_item(2)
    # What is marked waits while another item is looked at; nothing of it is kept yet.
    page.keyboard.press("k")
    expect_item(1)
    expect(page.get_by_label("What does it mean?")).to_have_value("1 x ?")
    page.keyboard.press("j")
    expect_item(2)
    expect(marked).to_have_count(2)
    assert len(sqlite_store.ratings.all_of(study)) == 1
    page.keyboard.press("x")
    expect_item(3)
    # Another day: it goes on where it stopped; help names the keys.
    page.goto(f"{address}/rate/{study}")
    expect(page.get_by_text("1 rated, 1 skipped, 2 open")).to_be_visible()
    page.get_by_label("your name").press("Enter")
    expect_item(3)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("keep the rating, and go on")
    page.keyboard.press("Escape")
    for number in (3, 4):
        expect_item(number)
        page.keyboard.type("1111")
        expect(points).to_have_text("4 of 14 points")
        page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("3 rated and 1 skipped")
    scores = [r.scores for r in sqlite_store.ratings.all_of(study, "Ada")]
    assert scores == [RubricScores(3, 5, 2, 1), None, *[RubricScores(1, 1, 1, 1)] * 2]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_pages_are_accessible_and_fit(
    browser: Browser, address: str, study: str, sqlite_store: Store, scheme: str, width: int
) -> None:
    ratings = sqlite_store.ratings
    items = ratings.items(study)
    for rater in ("Ada", "B" * 100):
        for n, item in enumerate(items[1:]):
            scores = RubricScores(n, n, n, n)
            ratings.keep(study, item.id, NewRating(rater, scores, "C" * 300))
        ratings.unblind(study, rater)
    context = browser.new_context(
        base_url=address,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    problems: list[str] = []
    item = f"/rate/{study}/items/{items[0].id}"
    context.add_cookies([{"name": "author", "value": "Ada", "url": address}])
    for where in ("/rate", f"/rate/{study}", item, f"/rate/{study}/results"):
        page.goto(where)
        rules = None if scheme == "light" else ["color-contrast"]
        problems += [f"{where} {violation}" for violation in violations(page, rules)]
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if overflow > 0:
            problems.append(f"{where} scrolls sideways by {overflow} px")
    context.close()
    assert problems == []
