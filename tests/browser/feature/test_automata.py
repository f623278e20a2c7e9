"""Automata in a browser: diagram, table and verdict in every look; a check that cannot be made."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete

from app.store.database import writing
from app.store.search.automata.schema import StoredAutomata
from app.store.store import Store
from tests.app.pretend.automata import MINED, TRIED
from tests.looks import problems_in_every_look

AUTOMATA = "/d/demo/mlp-12/automata"


@pytest.fixture
def mined(shared_store: Store) -> Iterator[Store]:
    """The session's store with an automaton, as long as a test runs."""
    view = shared_store.dictionary("demo", "mlp-12")
    shared_store.search.automata.save(view, MINED)
    yield shared_store
    with writing(shared_store.engine) as connection:
        connection.execute(delete(StoredAutomata))


def test_a_list_and_the_page_of_one(page: Page, mined: Store) -> None:
    mined.search.automata.save_trial(mined.dictionary("demo", "mlp-12"), TRIED)
    page.goto(AUTOMATA)
    expect(page.locator("svg.automaton a")).to_have_count(2)
    assert problems_in_every_look(page) == []
    page.get_by_role("link", name="1 → 2").click()
    expect(page.get_by_role("heading", name="1 → 2")).to_be_visible()
    expect(page.locator("td.held")).to_contain_text("31 of 62 firings")
    expect(page.locator("td.steering strong")).to_have_text("confirmed")
    assert problems_in_every_look(page) == []
    page.locator("svg.automaton a").nth(1).click()
    expect(page).to_have_url(re.compile(r"/d/demo/mlp-12/2$"))


@pytest.mark.usefixtures("mined")
def test_a_check_that_cannot_be_made_says_why(page: Page, complaints: list[str]) -> None:
    page.goto(f"{AUTOMATA}/1-2")
    button = page.get_by_role("button", name="check the step 1 to 2 by steering")
    button.click()
    expect(page.locator("td.steering [role=status]")).to_contain_text("feature 1 is silent")
    expect(button).to_be_enabled()
    complaints[:] = [said for said in complaints if "422" not in said]
