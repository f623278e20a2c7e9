"""What a researcher does: home, table, feature, hover, underline, neighbour, back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from app.rendering.numbers import activation, nats
from tests.browser.conftest import FakeAblations

FEATURE = "/d/demo/mlp-12/0"
UNDERLINED = "li[data-d] bdi:is([class*='u'], [class*='n'])"


@pytest.mark.usefixtures("complaints")
def test_from_home_to_a_feature_and_back(page: Page, ablations: FakeAblations) -> None:
    page.goto("/")
    page.get_by_role("link", name="mlp-12", exact=True).click()
    expect(page).to_have_title(re.compile("mlp-12"))
    page.get_by_role("link", name="density").click()
    expect(page).to_have_url(re.compile("sort=density"))
    expect(page.get_by_role("columnheader", name="density")).to_have_attribute(
        "aria-sort", "descending"
    )
    page.get_by_role("link", name="feature", exact=True).click()
    page.get_by_role("link", name="0", exact=True).click()
    expect(page).to_have_url(re.compile(f"{FEATURE}$"))

    top = page.locator("#group-top")
    expect(top.locator(UNDERLINED).first).to_be_visible()
    expect(top.locator(".underlines")).to_have_count(0)
    token = top.locator(UNDERLINED).first
    token.hover()
    tooltip = page.get_by_role("tooltip")
    expect(tooltip).to_contain_text("nats")
    expect(tooltip.locator("td")).to_have_count(20)

    page.get_by_role("link", name="next ›").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("feature 1")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("feature 0")
    expect(page.locator("#group-top").locator(UNDERLINED).first).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", level=2)).to_have_text(re.compile("^120 features"))


@pytest.mark.usefixtures("complaints", "ablations")
def test_underlines_of_later_groups_come_when_they_are_seen(
    page: Page, ablations: FakeAblations
) -> None:
    page.goto(FEATURE)
    expect(page.locator("#group-top").locator(UNDERLINED).first).to_be_visible()
    expect(page.locator("#underlines-weakest")).to_have_count(1)
    page.locator("#group-weakest").scroll_into_view_if_needed()
    expect(page.locator("#group-weakest li[data-e]").first).to_be_visible()
    expect(page.locator("#underlines-weakest")).to_have_count(0)


@pytest.mark.usefixtures("complaints", "ablations")
def test_each_token_says_its_numbers(page: Page) -> None:
    page.goto(f"{FEATURE}?width=full")
    expect(page.locator("#group-top li[data-e]").first).to_be_visible()
    told = page.request.get(f"/api/v1{FEATURE}/contexts/top/0").json()
    maximum = page.request.get(f"/api/v1{FEATURE}").json()["maximum"]
    fires = dict(zip(told["positions"], told["values"], strict=True))
    effect = told["effect"]
    changes = dict(zip(effect["positions"], effect["loss_change"], strict=True))
    page.locator("#top-0 .p").focus()
    page.keyboard.press("Home")
    for at in range(page.locator("#top-0 bdi").count()):
        expected = activation(fires[at], maximum) if at in fires else "0: does not fire"
        change = f"{nats(changes[at])} nats" if at in changes else "exactly 0"
        said = page.locator("#tooltip dd").all_text_contents()
        assert (at, said) == (at, [expected, change])
        page.keyboard.press("ArrowRight")


@pytest.mark.usefixtures("complaints", "ablations")
def test_a_click_widens_one_context_and_a_second_narrows_it(page: Page) -> None:
    page.goto(FEATURE)
    expect(page.locator("#group-top li[data-e]").first).to_be_visible()
    short = page.locator("#top-0 bdi").count()
    page.locator("#top-0 .r").click(position={"x": 200, "y": 5})
    expect(page.locator("#top-0.full")).to_be_visible()
    assert page.locator("#top-0 bdi").count() >= short
    expect(page.locator("#top-1.full")).to_have_count(0)
    assert page.url.endswith(FEATURE)
    page.locator("#top-0 p").click(position={"x": 200, "y": 5})
    expect(page.locator("#top-0.full")).to_have_count(0)


@pytest.mark.usefixtures("complaints", "ablations")
def test_toggles_are_part_of_the_address(page: Page) -> None:
    page.goto(FEATURE)
    page.get_by_role("button", name="full width").click()
    expect(page).to_have_url(re.compile(r"width=full"))
    expect(page.locator("#top-0.full")).to_be_visible()
    page.get_by_role("button", name="show newlines").click()
    expect(page).to_have_url(re.compile(r"width=full&newlines=1"))
    page.reload()
    expect(page.get_by_role("button", name="full width")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("link", name="next ›").click()
    expect(page).to_have_url(re.compile(r"/1\?width=full&newlines=1"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"/0\?width=full&newlines=1"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"/0\?width=full$"))
    expect(page.get_by_role("button", name="show newlines")).to_have_attribute(
        "aria-pressed", "false"
    )


def test_without_the_worker_the_page_says_so_and_recovers_by_itself(
    page: Page, ablations: FakeAblations, complaints: list[str]
) -> None:
    ablations.down = True
    page.goto(FEATURE)
    late = page.locator("#underlines-top")
    expect(late).to_contain_text("being started again")
    expect(page.locator("#top-0 .a16, #top-0 [class^='a']").first).to_be_visible()
    ablations.down = False
    expect(page.locator("#group-top li[data-e]").first).to_be_visible(timeout=10_000)
    expect(late).to_have_count(0)
    assert complaints
    assert all("503" in complaint for complaint in complaints)
    complaints.clear()


@pytest.mark.usefixtures("complaints", "ablations")
def test_the_table_filters_and_pages_in_place(page: Page) -> None:
    page.goto("/d/demo/mlp-12")
    page.get_by_role("link", name="next ›").click()
    expect(page).to_have_url(re.compile("page=2"))
    expect(page.get_by_role("link", name="50", exact=True)).to_be_visible()
    page.get_by_label("show").select_option("dead")
    expect(page.get_by_role("heading", level=2)).to_have_text(re.compile("^30 features"))
    expect(page.get_by_text("dead: never fires").first).to_be_visible()
    expect(page).to_have_url(re.compile("alive=0"))
    page.get_by_label("label", exact=True).fill("no such label")
    page.get_by_label("label", exact=True).press("Enter")
    expect(
        page.get_by_text("No features fits").or_(page.get_by_text("No feature fits"))
    ).to_be_visible()


@pytest.mark.usefixtures("complaints", "ablations")
def test_hostile_tokens_are_text(page: Page) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(f"{FEATURE}?width=full")
    expect(page.locator("#group-top li[data-e]").first).to_be_visible()
    contexts = page.locator(".contexts").first
    for shown in ("<script>alert(1)</script>", "U+202E", "␀", "\\xff\\xfe", "\\xed\\xa0\\x80"):
        expect(contexts).to_contain_text(shown)
    assert page.locator(".contexts script").count() == 0
    assert page.locator("[onmouseover]").count() == 0
    assert dialogs == []
