"""An address that cannot be used stays as it is, in the words of the server, and runs nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.app.pretend.steering import PretendSteering
from tests.browser.steer.conftest import ONE, STEER, complete

DAMAGED = (
    "text=def&f=mlp-12:2:add:1&scope=banana",
    "text=def&f=mlp-12:2:add:1&n=abc",
    "text=def&f=mlp-12:2:add:1&temperature=warm",
    "text=def&f=mlp-12:2:add:much",
    "text=def&f=mlp-12:2:push:1",
    "text=def&f=17&f=mlp-12:2:add:1",
    "text=def&f=mlp-12:2000:add:1",
)


@pytest.mark.parametrize("query", DAMAGED)
def test_nothing_is_silently_another_experiment(
    page: Page, bench: PretendSteering, query: str
) -> None:
    asked = len(bench.asked)
    page.goto(f"{STEER}?{query}")
    expect(page.locator("#status")).to_contain_text("Nothing was generated")
    said = page.locator("#settings .problem:visible").all_inner_texts()
    assert len(said) == 1
    assert page.url.endswith(f"?{query}")
    # Whoever insists is refused in the same words.
    page.get_by_role("button", name="Generate").click()
    page.wait_for_timeout(700)
    assert page.locator("#settings .problem:visible").all_inner_texts() == said
    assert page.url.endswith(f"?{query}")
    assert len(bench.asked) == asked


def test_what_names_no_feature_is_left_out_on_purpose(page: Page) -> None:
    page.goto(f"{ONE}&f=17")
    page.get_by_label("seed").fill("4")
    page.wait_for_timeout(500)
    assert "f=17" in page.url  # it is still asked for, and still refused
    expect(page.locator("#problem-f")).to_contain_text("'17' names no feature")
    page.get_by_role("link", name="Leave it out").click()
    complete(page)
    assert page.url.endswith("f=mlp-12:2:add:1&n=12&seed=4")
    expect(page.locator("#problem-f")).to_be_hidden()


def test_numbers_in_other_forms_are_those_that_the_server_reads(
    page: Page, bench: PretendSteering
) -> None:
    page.goto(f"{STEER}?text=def&f=mlp-12:2:add:+2&n=+7&temperature=5e-1")
    complete(page)
    expect(page.locator("#n")).to_have_value("7")
    assert page.url.endswith("f=mlp-12:2:add:2&n=7&temperature=0.5")
    assert bench.asked[-1].n_tokens == 7  # type: ignore[attr-defined]
