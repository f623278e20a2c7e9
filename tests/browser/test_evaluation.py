"""The evaluation page in a real browser: accessible, within the edges, without scripts too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine

from app.store.store import Store
from tests import evaluations, factories
from tests.app.pretend.prompts import PretendPrompts
from tests.app.pretend.served import Served
from tests.looks import problems_in_every_look

PAGES = ("/d/demo/mlp-12/evaluation", "/d/demo/quick/evaluation", "/d/demo/neurons/evaluation")


@pytest.fixture
def evaluated_site(
    sqlite_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a site with a dictionary of each state."""
    store = Store(sqlite_engine)
    for sample, kept in (
        (factories.sample(), evaluations.stored()),
        (factories.sample(dictionary="quick"), evaluations.stored(whole=False)),
        (factories.neurons_sample(), {}),
    ):
        factories.publish(store, sample)
        store.save_evaluation(store.dictionary("demo", sample.dictionary.name), kept)
    with Served(store, tmp_path_factory.mktemp("site"), PretendPrompts()) as address:
        yield address


@pytest.mark.usefixtures("complaints")
def test_from_home_to_the_plots(page: Page, evaluated_site: str) -> None:
    page.goto(evaluated_site)
    page.get_by_role("link", name="how good mlp-12 is").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("evaluation")
    expect(page.get_by_role("figure")).to_have_count(6)
    expect(page.get_by_role("img", name="FVU by position")).to_be_visible()
    page.get_by_role("link", name="how it was made").click()
    page.get_by_role("link", name="How good it is", exact=True).first.click()
    expect(page.get_by_role("row", name="KL 0.3125")).to_be_visible()


def test_every_state_is_accessible_and_fits(page: Page, evaluated_site: str) -> None:
    problems: list[str] = []
    for address in PAGES:
        page.goto(evaluated_site + address)
        problems += problems_in_every_look(page)
    assert problems == []


def test_it_is_a_document_without_scripts(browser: Browser, evaluated_site: str) -> None:
    context = browser.new_context(base_url=evaluated_site, java_script_enabled=False)
    page = context.new_page()
    page.goto(PAGES[0])
    expect(page.get_by_role("figure")).to_have_count(6)
    expect(page.get_by_text("featurescope evaluate demo/mlp-12")).to_be_visible()
    context.close()
