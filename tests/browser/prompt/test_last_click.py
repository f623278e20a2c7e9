"""On the prompt page, too, a click while an answer is under way wins, and loses nothing."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.prompt.conftest import address, asked, token
from tests.browser.test_last_click import SLOW, in_turn

pytestmark = pytest.mark.usefixtures("complaints")


@pytest.fixture(autouse=True)
def slow(page: Page) -> None:
    page.add_init_script(SLOW)


def test_the_last_token_wins(page: Page) -> None:
    page.goto(address())
    in_turn(page, token(page, 2).click, token(page, 4).click)
    expect(page.locator("#the-token")).to_contain_text("token 4")
    assert asked(page)["token"] == ["4"]


def test_a_token_and_a_feature_are_both_kept(page: Page) -> None:
    page.goto(address())
    in_turn(page, token(page, 2).click, page.locator("#features .where").first.click)
    expect(page.locator("#the-feature")).to_be_visible()
    expect(page.locator("#the-token")).to_contain_text("token 2")


def test_an_order_does_not_take_back_what_was_typed(page: Page) -> None:
    page.goto(address())
    page.get_by_label("Prompt", exact=True).fill(" self self")
    page.wait_for_timeout(500)  # the field has asked, the answer is under way
    page.get_by_role("button", name="rarity").click()
    expect(page).to_have_url(re.compile("sort=rarity"))
    assert asked(page)["text"] == [" self self"]
    expect(page.locator(".stage bdi")).to_have_count(4)  # BOS first, the next one last


def test_the_last_dictionaries_win(page: Page) -> None:
    page.goto(address())
    boxes = page.locator("#ask input[type=checkbox]")
    in_turn(page, boxes.nth(1).check, boxes.nth(1).uncheck, boxes.nth(1).check)
    expect(page).to_have_url(re.compile("d=neurons"))
    assert asked(page)["d"] == ["mlp-12", "neurons"]
