"""What leaves the application: a file without any network, and a frame in somebody's page."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from app.exchange.html.write import export_html
from app.store.store import Store
from tests import factories
from tests.looks import violations


@pytest.fixture(scope="module")
def file(shared_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three features in a file, one with underlines and one that is dead."""
    path = tmp_path_factory.mktemp("shared") / "features.html"
    view = shared_store.dictionary("demo", "mlp-12")
    page = shared_store.feature(view, 8)
    shared_store.save_effects(view, 8, {n: factories.effect(8, n) for n in page.windows})
    export_html(shared_store, view, [8, 3, 4], path)
    return path


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_a_file_from_disk_needs_no_network(
    browser: Browser, file: Path, scheme: str, width: int
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        offline=True,
    )
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        if route.request.url == file.as_uri():
            route.continue_()
        else:
            route.abort()

    page.route("**/*", refuse)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    expect(page.locator("article")).to_have_count(3)
    expect(page.locator("#f8 .contexts li").first).to_be_visible()
    assert page.locator("#f8 bdi[title*='Δloss']").count() > 0
    assert page.locator("#f8 .chart").count() == 2
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 20, 23)")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    rules = None if scheme == "light" else ["color-contrast"]  # the rest knows no scheme
    assert violations(page, rules) == []
    context.close()
    assert set(asked) <= {file.as_uri()}
    assert complaints == []


@pytest.mark.usefixtures("ablations")
def test_a_feature_in_a_frame_of_another_site(page: Page, base_url: str, tmp_path: Path) -> None:
    outer = tmp_path / "blog.html"
    frames = "".join(
        f'<iframe title="{name}" width="700" height="500" src="{base_url}{path}"></iframe>'
        for name, path in (
            ("embedded", "/d/demo/mlp-12/0?embed=1"),
            ("whole", "/d/demo/mlp-12/0"),
        )
    )
    outer.write_text(f"<!doctype html><html lang=en><title>blog</title>{frames}")
    page.goto(outer.as_uri())
    embedded = page.frame_locator("[title=embedded]")
    expect(embedded.locator("#group-top li[data-e]").first).to_be_visible()
    expect(page.frame_locator("[title=whole]").locator("#group-top")).to_have_count(0)
    with page.context.expect_page() as opened:
        embedded.locator("h1 a").click()
    expect(opened.value.locator("#test")).to_be_visible()
    assert opened.value.url == f"{base_url}/d/demo/mlp-12/0"
