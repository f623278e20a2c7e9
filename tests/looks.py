"""Every look of a page: light and dark, wide and narrow; accessible, nothing beyond the edge.

A page is loaded once and looked at four times: what the browser does for another width or another
scheme needs no second answer of the server.
"""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# What a rule finds in light it finds in dark, except for contrast, and that at either width.
LOOKS: tuple[tuple[int, str, list[str] | None], ...] = (
    (1280, "light", None),
    (400, "light", None),
    (400, "dark", ["color-contrast"]),
    (1280, "dark", []),
)

MANY_ALIKE = {"exclude": [["li[data-e]:nth-child(n+4)"]]}


def problems_in_every_look(page: Page, closely: bool = True) -> list[str]:
    """What is wrong with the page as it stands, in a line each: the look, and what is found.

    Args:
        page: as it stands.
        closely: axe in every look; otherwise in the first one alone, which is most of the time.
    """
    problems: list[str] = []
    for place, (width, scheme, rules) in enumerate(LOOKS):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = beyond_the_edge(page)
        if rules != [] and (closely or place == 0):
            found += violations(page, rules)
        problems += [f"{page.url}, {width} px, {scheme}: {problem}" for problem in found]
    return problems


def violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """What axe finds, by all rules or some, in a line each.

    All are those of WCAG and good practice, and that a visible name is part of the spoken one. Of
    a group's contexts, which are all built alike, the first three are looked at: they are most of
    a page, and of the time.
    """
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = rules
    else:
        options["rules"] = {"label-content-name-mismatch": {"enabled": True}}
    found = Axe().run(page, context=MANY_ALIKE, options=options).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node.get('failureSummary', '')}"
        for rule in found
        for node in rule["nodes"][:3]
    ]


def beyond_the_edge(page: Page) -> list[str]:
    """That the page scrolls sideways, and by how much; nothing where it does not."""
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [f"scrolls sideways by {overflow} px"] if overflow > 0 else []
