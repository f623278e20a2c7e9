"""Labels, comments and lists in a browser: by keyboard, by mouse, without a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from app.store.store import Store
from app.store.types.annotations import ContextKey
from tests.app.pretend.prompts import PretendPrompts
from tests.app.pretend.served import Served
from tests.looks import problems_in_every_look

FEATURE = "/d/demo/mlp-12/2"

pytestmark = pytest.mark.usefixtures("complaints")


@pytest.fixture
def address(sqlite_store: Store, tmp_path: Path) -> Iterator[str]:
    """A site of its own: these tests write."""
    with Served(sqlite_store, tmp_path, PretendPrompts()) as url:
        yield url


def test_a_feature_is_labelled_and_starred_by_keyboard(page: Page, address: str) -> None:
    page.goto(address + FEATURE)
    page.keyboard.press("l")
    field = page.get_by_label("What this feature means")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(field).to_be_hidden()
    expect(page.locator("#naming a.name")).to_be_focused()
    page.keyboard.press("l")
    page.keyboard.type("the self of l and s")  # keys in a field are letters
    page.keyboard.press("Enter")
    expect(page.locator("#naming a.name")).to_have_text("the self of l and s")
    expect(page.locator("#labels li .text")).to_have_text("the self of l and s")
    page.keyboard.press("l")
    page.keyboard.type("the self")  # one's own label is changed
    page.keyboard.press("Enter")
    expect(page.locator("#labels li .text")).to_have_text("the self")
    page.keyboard.press("s")
    expect(page.locator("#star button")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.get_by_role("link", name="Starred").click()
    expect(page.locator(".items li")).to_contain_text("the self")
    page.get_by_role("link", name="mlp-12 2").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("feature 2")


def test_votes_undo_and_a_name_that_stays_by_mouse(page: Page, address: str) -> None:
    page.goto(address + FEATURE)
    page.locator("#labels .new > summary").click()
    form = page.locator("#label-form")
    form.get_by_label("label").fill("one")
    form.get_by_label("your name").fill("Ada")
    form.get_by_role("button").click()
    item = page.locator("#labels li").first
    expect(item).to_contain_text("Ada")
    item.get_by_role("button", name="vote for it").click()
    expect(item.locator("b")).to_have_text("1")
    expect(page.locator("#naming a.name")).to_have_text("one")
    item.get_by_text("edit", exact=True).click()
    item.get_by_label("label").fill("two")
    item.get_by_role("button", name="Save").click()
    expect(item.locator(".text")).to_have_text("two")
    item.get_by_role("link", name="history (2)").click()
    item.get_by_role("button", name="restore this").click()
    expect(item.locator(".text")).to_have_text("one")
    page.goto(address + "/d/demo/mlp-12/5")
    expect(page.locator("#label-form").get_by_label("your name")).to_have_value("Ada")


def test_all_of_it_without_a_script(browser: Browser, address: str) -> None:
    context = browser.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    page.goto(FEATURE)
    page.locator("#labels .new > summary").click()
    page.locator("#label-form").get_by_label("label").fill("one")
    page.get_by_role("button", name="Keep this label").click()
    expect(page.locator("#naming a.name")).to_have_text("one")
    page.locator("#star button").click()
    expect(page.locator("#star button")).to_have_text("★")
    page.locator("#labels").get_by_role("button", name="take back").click()
    expect(page.locator("#labels li.withdrawn")).to_be_visible()
    page.locator("#comments summary").click()
    page.get_by_label("comment", exact=True).fill("hm")
    page.get_by_role("button", name="Keep this comment").click()
    expect(page.locator("#comments li")).to_contain_text("hm")
    page.goto("/lists")
    page.get_by_label("title").fill("Quotes")
    page.get_by_role("button", name="Make a list").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Quotes")
    context.close()


def test_they_are_accessible_and_fit(page: Page, address: str, sqlite_store: Store) -> None:
    view = sqlite_store.dictionary("demo", "mlp-12")
    label = sqlite_store.labels.add(view, 2, "W" * 400, "n " * 500, "Ada")
    sqlite_store.labels.edit(view, 2, label.id, 1, "two " * 40)
    sqlite_store.labels.withdraw(view, 2, sqlite_store.labels.add(view, 2, "gone").id)
    key = ContextKey("c" * 64, 32, 1)
    sqlite_store.comments.add(view, 2, "C" * 300, "Ada", key, "a.py:1")
    for index in (2, 5):
        sqlite_store.lists.put("starred", view, index, "note " * 60)
    problems: list[str] = []
    for where in (FEATURE, f"{FEATURE}/labels?history={label.id}", "/lists", "/lists/starred"):
        page.goto(address + where)
        for opener in page.locator("#labels summary, .lists summary").all():
            opener.click()
        problems += problems_in_every_look(page)
    assert problems == []
