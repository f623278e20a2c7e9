"""The prompt page in a real browser, over a worker that pretends."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from app.errors import WorkerUnavailable
from tests.app.pretend.prompts import PretendPrompts, change_of, firings_of, tokens_of
from tests.browser.prompt.conftest import MLP, PAGE, PROMPT, address, asked, token


@pytest.mark.usefixtures("complaints")
def test_tokens_and_features_appear_while_one_types(page: Page) -> None:
    page.goto(PAGE)
    field = page.get_by_label("Prompt", exact=True)
    expect(field).to_be_focused()
    field.press_sequentially(" self. word20")
    expect(page.locator(".stage .strip bdi")).to_have_count(len(tokens_of(" self. word20")) + 1)
    expect(page).to_have_url(re.compile(r"text=\+self\.\+word20$"))
    expect(field).to_be_focused()
    field.press_sequentially(" word21")
    expect(page).to_have_url(re.compile(r"word20\+word21$"))
    expect(page.get_by_role("heading", name="active features")).to_be_visible()
    page.go_back()
    expect(page).to_have_url("about:blank"), "typing leaves no trail"


@pytest.mark.usefixtures("complaints")
def test_each_step_is_an_address_and_back_restores_the_one_before(page: Page) -> None:
    page.goto(address())
    token(page, 3).click()
    expect(page.locator("#the-token")).to_contain_text("token 3, id 20")
    assert asked(page)["token"] == ["3"]
    expect(token(page, 3)).to_have_attribute("aria-selected", "true")
    button = page.locator("#features .where").first
    name = button.get_attribute("value") or ""
    button.click()
    expect(page.locator("#the-feature")).to_contain_text(name.replace(":", " "))
    assert asked(page)["feature"] == [name]
    expect(page.locator(".stage [class*='a1']").first).to_be_visible()
    page.get_by_role("button", name="rarity").click()
    expect(page.locator("[aria-sort='descending']")).to_contain_text("rarity")
    page.get_by_role("button", name="leave each token out").click()
    expect(page.locator("#reasons")).to_contain_text("left out")
    _back(page)
    expect(page.locator("#reasons")).to_have_count(0)
    expect(page.locator("[aria-sort='descending']")).to_contain_text("rarity")
    _back(page)
    expect(page.locator("[aria-sort='descending']")).to_contain_text("activation")
    expect(page.locator("#the-feature")).to_be_visible()
    _back(page)
    expect(page.locator("#the-feature")).to_have_count(0)
    expect(page.locator("#the-token")).to_be_visible()
    page.reload()
    expect(page.locator("#the-token")).to_contain_text("token 3, id 20")
    token(page, 3).click()
    expect(page.locator("#the-token")).to_have_count(0)
    assert "token" not in asked(page)


@pytest.mark.usefixtures("complaints")
def test_a_feature_looks_as_in_its_contexts_and_tells_what_ablation_moves(page: Page) -> None:
    page.goto(address(feature="mlp-12:8"))
    positions, features, _ = firings_of(tokens_of(PROMPT), MLP)
    for place in positions[features == 8].tolist():
        expect(token(page, place)).to_have_class(re.compile(r"\ba\d"))
    underlined = page.locator(".stage bdi[class*='u'], .stage bdi[class*='n']:not(.next)").first
    underlined.hover()
    tooltip = page.get_by_role("tooltip")
    expect(tooltip).to_contain_text("Δloss if ablated")
    expect(tooltip).to_contain_text("expected here")
    expect(tooltip).to_contain_text("ablation raises")
    page.keyboard.press("Escape")
    expect(tooltip).to_be_hidden()


@pytest.mark.usefixtures("complaints")
def test_a_row_shows_where_it_fires_before_it_is_chosen(page: Page) -> None:
    page.goto(address(d="mlp-12"))
    row = page.locator("#features tbody tr").nth(1)
    index = int(row.locator(".which b").inner_text())
    row.hover()
    _, features, _ = firings_of(tokens_of(PROMPT), MLP)
    expect(page.locator(".tinted")).to_have_count(int((features == index).sum()))
    page.locator("h1").hover()
    expect(page.locator(".tinted")).to_have_count(0)
    row.locator(".meaning").click()
    expect(page.locator("#the-feature")).to_contain_text(f"mlp-12 {index}")


@pytest.mark.usefixtures("complaints")
def test_estimates_are_there_at_once_and_become_exact(page: Page, live: PretendPrompts) -> None:
    page.goto(address(" self. word50 word51 word52 word53", token=5, d="mlp-12"))
    live.step_seconds = 0.6
    page.locator("#the-token .expected button.strong").click()
    section = page.locator("#responsible")
    expect(section.locator("progress")).to_be_visible()
    rows = section.locator(".effects tbody tr")
    expect(rows.first).to_be_visible()
    pending = section.locator("td[data-name='exact']", has_text="…")
    expect(pending.first).to_be_visible()
    rows.nth(2).locator("input").check()
    kept = rows.nth(2).locator("input").get_attribute("id")
    live.step_seconds = 0.0
    expect(section.locator("progress")).to_have_count(0)
    expect(pending).to_have_count(0)
    expect(page.locator(f"#{kept}")).to_be_checked()
    for row in rows.all():
        name = row.locator("input").input_value()
        expected = change_of(int(name.partition(":")[2]), 5, 52)
        for cell, value in (("estimate", 0.9 * expected), ("exact", expected)):
            shown = row.locator(f"[data-name={cell}]").inner_text().removeprefix(cell)
            assert float(shown.replace("−", "-")) == pytest.approx(value, abs=6e-4)
    rows.nth(0).locator("input").check()
    page.get_by_role("button", name="ablate together").click()
    expect(page.locator("#checked .joint")).to_contain_text("sum of each alone")
    assert len(asked(page)["a"]) == 2
    page.get_by_role("button", name="effect").click()
    expect(page.locator("#features [aria-sort='descending']")).to_contain_text("effect")


@pytest.mark.usefixtures("complaints")
def test_another_prediction_takes_the_place_of_the_one_being_explained(
    page: Page, live: PretendPrompts
) -> None:
    page.goto(address(" word33 word34 word35 word36", token=4, d="mlp-12"))
    live.step_seconds = 30.0
    page.locator("#the-token .expected button.strong").click()
    expect(page.locator("#responsible progress")).to_be_visible()
    closed = live.closed
    live.step_seconds = 0.0
    token(page, 3).click()
    expect(page.locator("#the-token")).to_be_visible()
    page.get_by_label("Another token").fill("word40")
    page.get_by_label("Another token").press("Enter")
    expect(page.locator("#responsible h2")).to_contain_text("word40")
    expect(page.locator("#responsible .effects tbody tr").first).to_be_visible()
    expect(page.locator("#responsible progress")).to_have_count(0)
    expect(page.locator("[data-stream]")).to_have_count(0)
    for _ in range(100):
        if live.closed > closed:
            break
        page.wait_for_timeout(50)
    assert live.closed == closed + 1, "the first one's work has ended"


def test_a_worker_that_dies_under_a_stream_is_said_and_the_stream_goes_on(
    page: Page, live: PretendPrompts, complaints: list[str]
) -> None:
    page.goto(address(" word43 word44 word45 word46"))
    expect(page.locator(".stage .strip")).to_be_visible()
    live.error, live.breaks_after = WorkerUnavailable("The worker stopped."), 2
    token(page, 4).click()
    page.locator("#the-token .expected button.strong").click()
    expect(page.locator("#responsible .late")).to_contain_text("The worker stopped. Trying again")
    expect(page.locator("#responsible .effects tbody tr").first).to_be_visible()
    live.error = None
    expect(page.locator("#responsible .late")).to_have_count(0)
    expect(page.locator("#responsible progress")).to_have_count(0)
    assert complaints == []


def test_without_the_worker_the_page_says_so_and_goes_on_by_itself(
    page: Page, live: PretendPrompts, complaints: list[str]
) -> None:
    live.error = WorkerUnavailable("The worker is being started.")
    page.goto(address("word30 word31"))
    expect(page.locator("#problem-text")).to_have_text("The worker is being started.")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("word30 word31")
    live.error = None
    expect(page.locator(".stage .strip")).to_be_visible(timeout=15_000)
    expect(page.locator("#problem-text")).to_be_empty()
    assert asked(page) == {"text": ["word30 word31"]}
    assert complaints
    assert all("503" in line for line in complaints)
    complaints.clear()


@pytest.mark.parametrize(
    ("text", "said"),
    [("x" * 100_000, "100,000 characters"), ("", "The prompt is empty")],
)
def test_a_text_that_is_no_prompt_stays_beside_its_sentence(
    page: Page, complaints: list[str], text: str, said: str
) -> None:
    page.goto(address("word30"))
    field = page.get_by_label("Prompt", exact=True)
    field.fill(text)
    field.press("Control+Enter")
    expect(page.locator("#problem-text")).to_contain_text(said)
    expect(field).to_have_value(text)
    assert all("422" in line for line in complaints)
    complaints.clear()


@pytest.mark.usefixtures("complaints")
def test_two_prompts_side_by_side(page: Page) -> None:
    page.goto(address())
    page.get_by_text("Compare with another prompt").click()
    page.get_by_role("textbox", name="The other prompt").fill(PROMPT.replace("21", "29"))
    expect(page.locator(".stage .strip")).to_have_count(2)
    expect(page.get_by_role("heading", name=re.compile("gained"))).to_be_visible()
    page.locator(".differences .where").first.click()
    expect(page.locator("#the-feature")).to_be_visible()
    assert asked(page)["other"] == [PROMPT.replace("21", "29")]
    page.reload()
    expect(page.locator(".stage .strip")).to_have_count(2)
    expect(page.get_by_role("textbox", name="The other prompt")).to_be_visible()


def _back(page: Page) -> None:
    """Back, and wait until the page before has been read again."""
    page.evaluate("window.leaving = true")
    page.go_back()
    page.wait_for_function("() => !window.leaving && document.readyState === 'complete'")


def test_a_reading_stays_while_the_worker_starts_again(
    page: Page, live: PretendPrompts, complaints: list[str]
) -> None:
    page.goto(address())
    live.error = WorkerUnavailable("The worker stopped and is being started again.")
    page.get_by_label("Prompt", exact=True).fill(" self word20 word21")
    late = page.locator("#late")
    expect(late).to_contain_text("is being started again. What is shown below is what was read")
    assert page.locator(".stage bdi").count() > 5
    expect(page.locator("#features tbody tr").first).to_be_visible()
    live.error = None
    expect(page.locator(".stage bdi")).to_have_count(5)  # BOS first, the next one last
    expect(late.locator("p")).to_have_count(0)
    assert asked(page)["text"] == [" self word20 word21"]
    assert all("503" in complaint for complaint in complaints)
    complaints.clear()
