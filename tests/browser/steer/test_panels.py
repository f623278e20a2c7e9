"""What stands around the texts: tokens, side effects, curves, presets; and how it looks."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.app.pretend.steering import PretendSteering
from tests.browser.steer.conftest import ONE, STEER, complete, slider
from tests.looks import beyond_the_edge, problems_in_every_look, violations


@pytest.mark.usefixtures("complaints")
def test_a_token_says_what_is_known_of_it(page: Page) -> None:
    page.goto(ONE)
    complete(page)
    box = page.locator("#token-box")
    page.locator("#steered bdi").nth(3).hover()
    expect(box).to_contain_text("probability, unsteered")
    expect(box).to_contain_text("25.0 %")
    expect(box).to_contain_text("50.0 %")
    expect(box.locator("tr")).to_have_count(2)
    link = box.locator("a").first
    expect(link).to_have_attribute("href", "/d/demo/mlp-12/2")
    link.hover()  # the box can be entered
    expect(box).to_be_visible()
    page.mouse.move(5, 5)
    expect(box).to_be_hidden()
    page.locator("#steered bdi").first.focus()
    expect(box).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#steered bdi").nth(2)).to_be_focused()
    expect(page.locator("#steered bdi[tabindex='0']")).to_have_count(1)
    expect(box).to_contain_text("number 3 of the text")
    page.keyboard.press("Enter")
    expect(link).to_be_focused()
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(page.locator("#steered bdi").nth(2)).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(box.locator("button").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(slider(page)).to_be_focused()


@pytest.mark.usefixtures("complaints")
def test_before_all_is_known_the_drawn_probability_is(page: Page, bench: PretendSteering) -> None:
    bench.step_ms = 60
    page.goto(ONE)
    page.locator("#unsteered bdi").nth(1).hover()
    box = page.locator("#token-box")
    expect(box).to_contain_text("probability, unsteered")
    expect(box.locator("table")).to_have_count(0)
    bench.step_ms = 0
    expect(box.locator("table")).to_have_count(1)  # filled when it is known


@pytest.mark.usefixtures("complaints")
def test_side_effects_and_what_is_read_back(page: Page) -> None:
    page.goto(ONE)
    complete(page)
    rows = page.locator("#effects tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("1.25")
    expect(page.locator(".reads").first).to_contain_text("reads")


@pytest.mark.usefixtures("complaints")
def test_a_sweep_is_drawn_and_sets_the_slider(page: Page) -> None:
    page.goto(f"{ONE}&f=neurons:1:add:0")
    complete(page)
    page.get_by_role("button", name="Sweep").click()
    expect(page.locator("#coherent")).to_contain_text("from −4 to +4")
    expect(page.locator("#curves svg")).to_have_count(4)
    expect(page.locator("#curves svg").first.locator("circle")).to_have_count(21)
    expect(page.locator("#curves .coherent")).to_have_count(4)
    # The slider's track is shaded there, and says so; another mode was not swept.
    said = page.locator("#sliders li").first.locator(".coherent")
    expect(said).to_have_text("· coherent from −4 to +4 in the last sweep")
    expect(page.locator("#sliders .swept")).to_have_count(1)
    page.get_by_label("2: mode").select_option("clamp")
    expect(said).to_have_text("")
    expect(page.locator("#sliders .swept")).to_have_count(0)
    page.get_by_label("2: mode").select_option("add")
    expect(page.locator("#sliders .swept")).to_have_count(1)
    expect(page.locator("#curves svg").first).to_have_attribute(
        "aria-label", re.compile("Perplexity")
    )
    chart = page.locator("#curves svg").nth(1)
    box = chart.bounding_box()
    assert box is not None
    at = 46 + (400 - 46 - 12) * (1 + 52 / 76) / 2  # +4
    chart.hover(position={"x": box["width"] * at / 400, "y": box["height"] / 2})
    expect(page.locator("#at-figures")).to_contain_text("at +4:")
    expect(page.locator("#at-figures")).to_contain_text("KL 0.320 nats")
    expect(page.locator("#at-text")).to_have_text("text at 4")
    chart.click(position={"x": box["width"] * at / 400, "y": box["height"] / 2})
    expect(slider(page)).to_have_value("52")
    complete(page)
    assert "mlp-12:2:add:4" in page.url
    page.locator("#at-strength").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#at-figures")).to_contain_text("at +2:")
    page.get_by_role("button", name="use +2").click()
    expect(slider(page)).to_have_value("44")
    page.get_by_label("seed").fill("4")
    expect(page.locator("#dose")).to_have_class(re.compile("stale"))


@pytest.mark.usefixtures("complaints")
def test_a_text_that_repeats_itself_is_not_coherent(page: Page) -> None:
    page.goto(f"{STEER}?text=loop&f=mlp-12:2:add:1&n=5")
    complete(page)
    page.get_by_role("button", name="Sweep").click()
    expect(page.locator("#coherent")).to_contain_text("from −4 to +2: its perplexity is under")
    expect(page.locator("#coherent")).to_contain_text("distinct triples of tokens, 90.0 %")
    expect(page.locator("#at-figures")).to_contain_text("distinct triples 90.0 %")


@pytest.mark.usefixtures("complaints")
def test_the_strength_of_the_slider_is_among_those_swept(page: Page) -> None:
    page.goto(ONE.replace(":1&", ":0.6&"))
    complete(page)
    page.get_by_role("button", name="Sweep").click()
    expect(page.locator("#at-figures")).to_contain_text("at +0.6:")
    expect(page.locator("#curves svg").first.locator("circle")).to_have_count(22)
    page.get_by_role("button", name="use +0.6").click()
    expect(slider(page)).to_have_value("24")


def test_features_are_looked_for_where_one_is_steered(page: Page) -> None:
    page.goto(f"{STEER}?text=def&f=neurons:2:add:1&n=3")
    expect(page.locator("#dictionary")).to_have_value("neurons")


@pytest.mark.usefixtures("complaints")
def test_strengths_without_numbers_are_gaps_in_the_curves(page: Page) -> None:
    page.goto(f"{STEER}?text=overflow&f=mlp-12:2:add:9&n=5")
    complete(page)
    page.get_by_role("button", name="Sweep").click()
    expect(page.locator("#at-figures")).to_contain_text("at +9: perplexity – · KL – nats")
    expect(page.locator("#at-figures")).not_to_contain_text("NaN")
    assert "0 %" not in page.locator("#at-figures").inner_text()
    for curve in page.locator("#curves svg").all():
        n_lines = max(1, curve.locator("text.name").count())
        expect(curve.locator("circle")).to_have_count(19 * n_lines)  # −4 to +4


@pytest.mark.usefixtures("complaints")
def test_presets_are_kept_followed_and_deleted(page: Page) -> None:
    page.goto(ONE)
    page.locator("#preset-name").fill("<i>mine</i>")
    page.get_by_role("button", name="Keep").click()
    link = page.get_by_role("link", name="<i>mine</i>")
    expect(link).to_be_visible()
    page.goto(STEER)
    link.click()
    expect(page).to_have_url(re.compile(re.escape(ONE) + "$"))
    expect(slider(page)).to_have_value("40")
    page.get_by_label("delete <i>mine</i>").click()
    page.get_by_role("button", name="Cancel").click()
    expect(link).to_be_visible()
    page.get_by_label("delete <i>mine</i>").click()
    page.get_by_role("button", name="Delete it").click()
    expect(link).to_have_count(0)
    page.reload()
    expect(link).to_have_count(0)


def test_a_preset_of_another_tab_is_replaced_only_when_asked(
    page: Page, complaints: list[str]
) -> None:
    other = page.context.new_page()
    for tab, address in ((page, ONE), (other, ONE.replace(":1&", ":5&"))):
        tab.goto(address)
        tab.locator("#preset-name").fill("shared")
        tab.get_by_role("button", name="Keep").click()
        if tab is page:
            expect(tab.get_by_role("link", name="shared")).to_be_visible()
    expect(other.get_by_role("dialog")).to_contain_text("“shared” already, with other settings")
    assert violations(other) + beyond_the_edge(other) == []
    other.get_by_role("button", name="Cancel").click()
    expect(other.locator("#preset-name")).to_be_focused()
    page.reload()
    expect(page.get_by_role("link", name="shared")).to_have_attribute("href", re.compile(":1&"))
    other.get_by_role("button", name="Keep").click()
    other.get_by_role("button", name="Replace it").click()
    expect(other.get_by_role("link", name="shared")).to_have_attribute("href", re.compile(":5&"))
    page.reload()
    expect(page.get_by_role("link", name="shared")).to_have_attribute("href", re.compile(":5&"))
    other.close()
    assert all("409" in complaint for complaint in complaints)
    complaints.clear()


def test_the_page_is_accessible_and_fits(page: Page) -> None:
    page.goto(f"{ONE}&f=mlp-12:3:clamp:-2:off&temperature=-1")
    expect(page.locator("#problem-temperature")).to_be_visible()
    assert problems_in_every_look(page) == []
    page.goto(f"{ONE}&f=neurons:3:clamp:-2:off")
    complete(page)
    page.get_by_role("button", name="Sweep").click()
    expect(page.locator("#coherent")).to_contain_text("from −4 to +4")
    page.locator("#q").fill("1")
    expect(page.locator("#found li").first).to_be_visible()
    assert problems_in_every_look(page) == []
    page.locator("#steered bdi").nth(2).focus()
    expect(page.locator("#token-box")).to_be_visible()
    assert problems_in_every_look(page) == []
