"""Take the README's screenshots: every kind of page, two widths, light and dark.

    python -m scripts.screenshots http://127.0.0.1:8000 --table /d/demo/mlp-4096 \\
        --feature 3720 --steered 3720

Featurescope must be serving there already. Files: docs/images/PAGE-WIDTH-SCHEME.png, which
stay here, and docs/images/PAGE.png for the wide light one, which is committed.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode, urljoin

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDTHS = {1280: 900, 400: 800}
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 60_000
PROMPT = "    def read(self, path):\n       "
EXPLAINED = ' """'  # the next token whose prediction is shown


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium where there is one, else Playwright's own."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return playwright.chromium.launch(executable_path=found)


def first_table(page: Page, base: str) -> str:
    """The path of the first dictionary that home links to."""
    page.goto(base)
    links = page.locator("main a[href^='/d/']").evaluate_all("all => all.map(a => a.pathname)")
    tables: list[str] = [path for path in links if path.rstrip("/").count("/") == 3]
    if not tables:
        raise SystemExit(f"{base} shows no dictionary yet: harvest one first.")
    return tables[0]


def live_pages(table: str, steered: str) -> dict[str, str]:
    """The pages that the worker answers, for the model and dictionary of a table."""
    model, dictionary = table.strip("/").split("/")[1:3]
    feature = f"{dictionary}:{steered}"
    prompt = {"text": PROMPT, "d": dictionary, "feature": feature, "target": EXPLAINED}
    steer = {"text": PROMPT, "f": f"{feature}:add:1", "scope": "generated", "n": 60}
    return {
        "prompt": f"/m/{model}/prompt?{urlencode(prompt)}",
        "steer": f"/m/{model}/steer?{urlencode(steer)}",
    }


def settle(page: Page) -> None:
    """Wait until everything has arrived, underlines included."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function("() => !document.querySelector('[aria-busy=true]')", timeout=PATIENCE_MS)


def take(browser: Browser, base: str, pages: dict[str, str]) -> Iterator[Path]:
    """Yield each file as it is written."""
    for width, height in WIDTHS.items():
        for scheme in SCHEMES:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                device_scale_factor=1,
                reduced_motion="reduce",
            )
            page = context.new_page()
            for name, path in pages.items():
                page.goto(urljoin(base, path))
                settle(page)
                file = IMAGES / f"{name}-{width}-{scheme}.png"
                page.screenshot(path=file)
                yield file
            context.close()


def main() -> None:
    """Read the command line, take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("base", help="where Featurescope is serving")
    parser.add_argument("--table", help="path of a dictionary (default: the first on home)")
    parser.add_argument("--feature", help="index of the feature shown (default: a random one)")
    parser.add_argument("--steered", default="0", help="index of the feature that steers")
    given = parser.parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        table = given.table or first_table(browser.new_page(), given.base)
        pages = {
            "home": "/",
            "table": table,
            "feature": f"{table.rstrip('/')}/{given.feature or 'random'}",
            "evaluation": f"{table.rstrip('/')}/evaluation",
            "sweep": "/sweeps/demo",
            **live_pages(table, given.steered),
        }
        for file in take(browser, given.base, pages):
            print(file.name)
        browser.close()
    for name in pages:
        shutil.copyfile(IMAGES / f"{name}-{max(WIDTHS)}-light.png", IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
