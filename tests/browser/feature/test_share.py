"""The share menu: by keyboard, with or without the clipboard, and what it hands out."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from app.store.store import Store

FEATURE = "/d/demo/mlp-12/0"
READ = "navigator.clipboard.readText()"
DENIED = "navigator.clipboard.writeText = () => Promise.reject(new Error('denied'))"


def opened(page: Page, address: str = FEATURE) -> None:
    page.goto(address)
    page.get_by_role("button", name="share").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Share this page")).to_be_visible()


def given(page: Page, name: str) -> str:
    """What a button of the menu copies."""
    page.evaluate("navigator.clipboard.writeText('')")
    page.get_by_role("button", name=name).press("Enter")
    expect(page.locator("#share [role=status]")).to_have_text("Copied.")
    return str(page.evaluate(READ))


@pytest.mark.usefixtures("complaints", "ablations")
def test_everything_is_copied_by_keyboard(page: Page, base_url: str, shared_store: Store) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page)
    expect(page.get_by_role("button", name="Copy link")).to_be_focused()
    assert given(page, "Copy link") == f"{base_url}{FEATURE}"
    assert f'client.read("{FEATURE}")' in given(page, "Copy as Python")
    view = shared_store.dictionary("demo", "mlp-12")
    said = given(page, "Copy citation")
    assert view.corpus is not None
    for digest in (view.model_checksum, view.checksum, view.corpus.fingerprint):
        assert digest in said
    assert f"{base_url}{FEATURE}" in said
    twin = page.locator("#share a.twin").get_attribute("href")
    assert page.request.get(str(twin)).json() == page.request.get(f"/api/v1{FEATURE}").json()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="share")).to_be_focused()


@pytest.mark.usefixtures("complaints", "ablations")
def test_a_frame_has_the_parts_that_were_chosen_and_contexts_first(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page)
    code = unescape(given(page, "Copy embed code"))
    assert 'width="800" height="520"' in code
    compact = code.partition('src="')[2].partition('"')[0]
    assert urlsplit(compact).query == "embed=1&parts=summary,contexts"
    page.get_by_label("what it is, in one line").uncheck()
    page.get_by_role("checkbox", name="histograms").check()
    charts = unescape(given(page, "Copy embed code")).partition('src="')[2].partition('"')[0]
    assert charts.endswith("parts=contexts,charts")
    page.set_viewport_size({"width": 800, "height": 520})
    for address, shown in ((compact, False), (charts, True), (f"{FEATURE}?embed=1", True)):
        page.goto(address)
        fifth = page.locator("#group-top li[data-e]").nth(4)  # underlined: it is not replaced now
        expect(fifth).to_be_visible()
        place = fifth.bounding_box()
        assert place is not None
        assert place["y"] + place["height"] <= 520, address
        expect(page.locator(".reading > .charts")).to_be_visible(visible=shown)


@pytest.mark.usefixtures("complaints", "ablations")
def test_a_page_is_saved_as_one_file_and_its_plots_as_pictures(
    page: Page, browser: Browser, tmp_path: Path
) -> None:
    page.goto(FEATURE)
    expect(page.locator("#group-top li[data-e]").first).to_be_visible()
    opened(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as HTML").click()
    file = tmp_path / "page.html"
    download.value.save_as(file)
    html = file.read_text()
    assert "<script" not in html
    assert "hx-" not in html
    context = browser.new_context(offline=True)
    alone = context.new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto(file.as_uri())
    colour = "token => getComputedStyle(token).backgroundColor"
    assert alone.locator("#top-0 .p").evaluate(colour) == page.locator("#top-0 .p").evaluate(colour)
    assert asked == [file.as_uri()]
    context.close()
    names = page.locator("#share .pictures button").all_inner_texts()
    assert len(names) == page.locator("main svg.chart").count() == 2
    for name in names:
        with page.expect_download() as download:
            page.locator("#share .pictures").get_by_role("button", name=name).click()
        picture = ET.parse(download.value.path()).getroot()
        assert picture.tag == "{http://www.w3.org/2000/svg}svg"
        fills = {element.get("fill") for element in picture.iter()}
        assert fills & {"rgb(245, 138, 31)", "rgb(29, 99, 216)"}
        assert not any(element.get("class") for element in picture.iter())


@pytest.mark.usefixtures("complaints")
def test_without_the_clipboard_one_copies_by_hand(page: Page, base_url: str) -> None:
    page.add_init_script(DENIED)
    opened(page, "/d/demo/mlp-12")
    page.get_by_role("button", name="Copy link").click()
    field = page.locator("dialog.by-hand textarea")
    expect(field).to_have_value(f"{base_url}/d/demo/mlp-12")
    expect(field).to_be_focused()
    expect(page.locator("#share [role=status]")).to_have_text("")


@pytest.mark.parametrize(
    "address",
    ["/", "/glossary", "/lists", "/runs", "/d/demo/mlp-12?sort=maximum", "/d/demo/mlp-12/about"],
)
@pytest.mark.usefixtures("complaints")
def test_every_page_has_the_menu_and_its_twin(page: Page, address: str) -> None:
    opened(page, address)
    twin = page.locator("#share a.twin").get_attribute("href")
    assert page.request.get(str(twin)).ok
    expect(page.get_by_role("button", name="Copy embed code")).to_have_count(0)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_the_menu_is_accessible(browser: Browser, base_url: str, scheme: str, width: int) -> None:
    context = browser.new_context(
        base_url=base_url,
        viewport={"width": width, "height": 800},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    opened(page)
    violations = Axe().run(page, context="#share").response["violations"]
    assert [one["id"] for one in violations] == []
    box = page.locator("#share").bounding_box()
    assert box is not None
    assert box["width"] <= width
    page.emulate_media(media="print")
    expect(page.locator(".to-share")).to_be_hidden()
    context.close()
