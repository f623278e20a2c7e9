"""The map in a browser: colours, search, hover, lasso to list, keyboard and table, no WebGL."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete

from app.store.database import writing
from app.store.schema import StoredMap
from app.store.store import Store
from app.store.types.maps import GRID
from tests.looks import problems_in_every_look

MAP = "/d/demo/mlp-12/map"
DRIVER = "GPU stall due to ReadPixels"  # what a browser without a graphics processor says of itself
# 120 features in twelve rows of ten, a tenth of the map apart.
AT = np.array([(n % 10 + 0.5, n // 10 + 0.5) for n in range(120)]) / (10, 12)


@pytest.fixture(scope="module")
def mapped(shared_store: Store) -> Iterator[None]:
    """The session's store with a map, as long as these tests run."""
    view = shared_store.dictionary("demo", "mlp-12")
    places = np.rint(AT * GRID).astype(np.uint16)
    about = {"method": "umap", "neighbours": 15, "seed": 0, "umap_learn": "0.5", "placed": 120}
    shared_store.maps.save(view, places, np.zeros(0, np.uint16), about)
    yield
    with writing(shared_store.engine) as connection:
        connection.execute(delete(StoredMap))


def opened(page: Page, address: str = MAP) -> None:
    page.goto(address)
    expect(page.locator("#map[data-ready]")).to_have_count(1)


def pixel(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the whole map lies on the screen."""
    box = page.locator("#map-canvas").bounding_box()
    assert box
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page: Page, *corners: tuple[float, float]) -> None:
    page.mouse.move(*pixel(page, *corners[0]))
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*pixel(page, *corner), steps=3)
    page.mouse.up()


@pytest.mark.usefixtures("mapped", "ablations")
def test_a_walk_over_the_map(page: Page, complaints: list[str]) -> None:
    opened(page)
    title = page.locator("#beside-title")
    legend = page.locator("#map-legend")
    expect(title).to_contain_text("120 features")
    expect(legend).to_contain_text("density")
    # Colours, and a search: the address, the legend and the table follow.
    page.get_by_label("colour").select_option("score")
    expect(legend).to_contain_text("rule F1")
    expect(page).to_have_url(re.compile(r"map\?colour=score$"))
    page.locator("#map-form input[type=search]").fill("57")
    page.keyboard.press("Enter")
    expect(title).to_contain_text("that fit")
    expect(legend).to_contain_text("that fit")
    expect(page).to_have_url(re.compile("q=57"))
    expect(page.locator("#beside tbody th").first).to_have_text("57")
    page.go_back()  # a step back is what was shown before
    expect(page.locator("#map[data-ready]")).to_have_count(1)
    expect(legend).to_contain_text("rule F1")
    # What the pointer rests on is said, and only the last of several.
    card = page.locator("#map-card")
    for feature in (32, 33, 44):
        page.mouse.move(*pixel(page, *AT[feature]))
    expect(card).to_be_visible()
    expect(card).to_contain_text("feature 44")
    expect(card.locator(".best")).to_be_visible()
    page.mouse.move(*pixel(page, 0.5, -0.2))
    expect(card).to_be_hidden()
    # A lasso around four features makes a list of them.
    page.get_by_role("button", name="lasso").click()
    drag(page, (0.22, 0.2), (0.38, 0.2), (0.38, 0.36), (0.22, 0.36), (0.22, 0.22))
    expect(title).to_have_text("4 features inside the lasso")
    expect(page).to_have_url(re.compile("lasso="))
    page.reload()  # the address has it
    expect(title).to_have_text("4 features inside the lasso")
    page.get_by_label("A list of these 4, called").fill("Neighbours")
    page.get_by_role("button", name="Make the list").click()
    expect(page).to_have_url(re.compile("/lists/neighbours"))
    expect(page.locator("main")).to_contain_text("22")
    # A lasso around nothing says so.
    opened(page)
    page.keyboard.down("Shift")
    drag(page, (0.201, 0.01), (0.24, 0.01), (0.24, 0.03), (0.201, 0.03))
    page.keyboard.up("Shift")
    expect(title).to_contain_text("No feature inside the lasso")
    expect(page.locator("#beside")).to_contain_text("draw it around some points")
    page.locator("#map-back").click()
    expect(title).to_contain_text("120 features")
    expect(page.locator("#map .lasso")).to_have_attribute("points", "")
    # A click opens the feature.
    page.mouse.click(*pixel(page, *AT[57]))
    expect(page).to_have_url(re.compile("/d/demo/mlp-12/57$"))
    expect(page.get_by_role("link", name="on the map")).to_be_visible()
    complaints[:] = [complaint for complaint in complaints if DRIVER not in complaint]


@pytest.mark.usefixtures("mapped", "ablations")
def test_by_keyboard_alone_and_in_every_look(page: Page, complaints: list[str]) -> None:
    opened(page)
    title = page.locator("#beside-title")
    page.locator("#map-canvas").focus()
    for _ in range(4):
        page.keyboard.press("+")
    expect(title).to_contain_text("in view")
    expect(page).to_have_url(re.compile(r"view=0\.5,0\.5,0\.2401"))
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"view=0\.53001,0\.5,"))
    page.keyboard.press("Enter")
    expect(title).to_contain_text("Around feature")
    expect(page.locator("#map .chosen")).not_to_have_attribute("r", "0")
    page.locator("#beside .ways a").nth(3).press("Enter")  # on to what lies around another one
    expect(page.locator("#beside[data-chosen]")).to_have_count(1)
    page.locator("#map-canvas").press("0")
    expect(page).not_to_have_url(re.compile("view="))
    expect(page.locator("#beside[aria-busy]")).to_have_count(0)
    assert problems_in_every_look(page) == []
    saved = page.evaluate(
        "async () => (await import(document.querySelector('script[src$=\"js/page.js\"]').src"
        ".replace('page.js', 'share/document.js'))).page()"
    )
    assert "data:image/png" in saved
    assert "<canvas" not in saved
    complaints[:] = [complaint for complaint in complaints if DRIVER not in complaint]


@pytest.mark.usefixtures("mapped", "ablations")
def test_without_webgl_the_table_is_there(page: Page, complaints: list[str]) -> None:
    page.add_init_script(
        "HTMLCanvasElement.prototype.getContext = new Proxy("
        "HTMLCanvasElement.prototype.getContext,"
        "{apply: (of, self, [kind]) => kind === '2d' ? of.call(self, kind) : null})"
    )
    page.goto(MAP)
    expect(page.locator("#map-says")).to_contain_text("draws no WebGL")
    expect(page.locator("#map-canvas")).to_be_hidden()
    expect(page.locator("#beside tbody tr")).to_have_count(25)
    page.locator("#map-form input[type=search]").fill("57")
    page.keyboard.press("Enter")
    expect(page.locator("#beside tbody th").first).to_have_text("57")
    complaints[:] = [complaint for complaint in complaints if "preload" not in complaint]
