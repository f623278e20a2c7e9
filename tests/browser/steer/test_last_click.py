"""On the steering page answers may come late: what was asked for comes all the same."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.steer.conftest import STEER, complete
from tests.browser.test_last_click import SLOW

pytestmark = pytest.mark.usefixtures("complaints")


@pytest.fixture(autouse=True)
def slow(page: Page) -> None:
    page.add_init_script(SLOW)


def test_enter_waits_for_what_was_typed_last(page: Page) -> None:
    page.goto(f"{STEER}?text=def&n=5")
    complete(page)
    finder = page.locator("#q")
    finder.fill("4")
    expect(page.locator("#found [data-add]").first).to_have_text("4")
    finder.fill("7")
    finder.press("Enter")
    expect(page.locator("#sliders li")).to_have_count(1)
    expect(page.locator("#sliders li")).to_have_attribute("data-feature", "mlp-12:7")


def test_features_added_in_a_row_all_come(page: Page) -> None:
    page.goto(f"{STEER}?text=def&n=5")
    complete(page)
    row = page.locator("#effects [data-add]")
    page.evaluate(
        """() => {
          for (const name of ["mlp-12:1", "mlp-12:2", "mlp-12:3", "mlp-12:1"]) {
            const button = document.createElement("button");
            button.dataset.add = name;
            document.getElementById("main").append(button);
            button.click();
          }
        }"""
    )
    expect(page.locator("#sliders li")).to_have_count(3)
    page.wait_for_timeout(1000)
    expect(page.locator("#sliders li")).to_have_count(3)
    expect(row.first).to_be_visible()
