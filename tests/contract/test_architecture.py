"""The rooms of the house: their walls, their sizes, and the page that maps them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import PurePath

import pytest
from fastapi.routing import APIRoute

from app.application import ROOMS
from tests.contract.repository import ROOT, modules, tracked, tree
from tests.contract.rooms import arrows, below, circles, dotted, packages, room

MOST_ENTRIES = 14

# Who may never import whom, directly; `tests/contract/test_imports.py` looks at what is loaded.
WALLS = {
    "sae_core": ("app",),
    "app.worker.protocol": ("app",),
    "app.worker.client": ("app.pages", "app.web", "app.rendering", "app.jobs", "app.cli"),
    "app.worker.process": ("app.store", "app.pages", "app.web", "app.rendering", "app.jobs"),
    "app.store": ("app.rendering", "app.web", "app.pages", "app.jobs", "app.cli", "app.worker"),
    "app.rendering": ("app.web", "app.pages", "app.jobs", "app.cli"),
    "app.web": ("app.pages", "app.jobs", "app.cli"),
    "app.jobs": ("app.pages", "app.web", "app.cli"),
    "app.exchange": ("app.pages", "app.web", "app.cli"),
    "app.pages": ("app.cli", "app.application", "app.serving"),
}
DOORS = {"app.worker.protocol": ("app.errors",)}

# One page that shows a part of another: home lists dictionaries, a sweep lists its trainings.
PAGES_THAT_BORROW = {
    ("app.pages.home", "app.pages.dictionary"),
}


@pytest.mark.parametrize("inside", WALLS)
def test_a_wall_has_no_hole(inside: str) -> None:
    doors = (inside, *DOORS.get(inside, ()))
    holes = [
        f"{module} imports {other}"
        for module, others in arrows().items()
        if below(module, inside)
        for other in others
        if below(other, *WALLS[inside]) and not below(other, *doors)
    ]
    assert holes == []


def test_a_page_imports_another_only_where_it_is_listed() -> None:
    borrowed = {
        (room(module), room(other))
        for module, others in arrows().items()
        for other in others
        if below(module, "app.pages") and below(other, "app.pages") and room(module) != room(other)
    }
    assert borrowed == PAGES_THAT_BORROW


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(arrows()) == []


def test_no_rooms_import_each_other_in_a_circle() -> None:
    between: dict[str, frozenset[str]] = defaultdict(frozenset)
    for module, others in arrows().items():
        between[room(module)] |= {room(other) for other in others} - {room(module)}
    assert circles(between) == []


def test_no_room_is_crowded() -> None:
    entries: dict[str, set[str]] = defaultdict(set)
    for name in tracked():
        parts = PurePath(name).parts
        for depth in range(1, len(parts)):
            if parts[0] in {"app", "sae_core", "templates", "static", "tests"}:
                entries["/".join(parts[:depth])].add(parts[depth])
    crowded = {
        folder: len(inside)
        for folder, inside in entries.items()
        if len([name for name in inside if not name.startswith("__")]) > MOST_ENTRIES
    }
    assert crowded == {}


@pytest.mark.parametrize("package", packages())
def test_a_package_says_what_comes_in_and_what_goes_out_and_who_calls_it(package: str) -> None:
    name = f"{package}/__init__.py"
    assert name in tracked(), f"{package} has no __init__.py"
    words = ast.get_docstring(tree(name)) or ""
    if "/" in package:
        pattern = r"\bIn: .*\bOut: .*\b(Called|Started|Used|Read)\s+by\b"
        assert re.search(pattern, words, re.DOTALL), words
    else:
        assert len(words) > 60


def _page() -> str:
    return (ROOT / "ARCHITECTURE.md").read_text()


def test_the_map_names_every_room() -> None:
    rooms = {room(dotted(name)).replace(".", "/") for name in modules("app/", "sae_core/")}
    rooms = {name for name in rooms if name in packages()} - {"app", "sae_core"}
    assert [name for name in sorted(rooms) if f"`{name}`" not in _page()] == []


def test_the_map_names_nothing_that_is_gone() -> None:
    named = set(re.findall(r"`((?:app|sae_core|templates|static|tests)/[\w/.-]*)`", _page()))
    there = {str(parent) for name in tracked() for parent in (PurePath(name).parents)}
    assert sorted(n for n in named if n.rstrip("/") not in there | set(tracked())) == []


def test_the_map_fits_in_the_head() -> None:
    rows = re.findall(r"^\| `(?:app|sae_core)/", _page(), re.MULTILINE)
    assert len(rows) <= 30
    assert len(_page().splitlines()) <= 130


ROUTES = [
    route
    for pages, interface in ROOMS
    for router in (pages.router, interface.router)
    for route in router.routes
    if isinstance(route, APIRoute)
]


def test_every_address_is_served_in_a_room() -> None:
    assert len(ROUTES) > 30


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.path}-{route.name}")
def test_a_route_has_an_example_that_leads_to_it(route: APIRoute) -> None:
    examples = re.findall(
        r"^\s*For example (/\S*?)\.?$", route.endpoint.__doc__ or "", re.MULTILINE
    )
    assert examples, f"{route.endpoint.__module__}.{route.name} names no example address"
    for example in examples:
        assert route.path_regex.match(example.partition("?")[0]), (example, route.path)


@pytest.mark.parametrize("name", modules("app/", "sae_core/"))
def test_a_class_is_named_once(name: str) -> None:
    """Two classes of one name in two modules are two things that readers take for one."""
    elsewhere = [
        f"{node.name} stands in {other}, too"
        for node in tree(name).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for other in modules("app/", "sae_core/")
        if other != name
        and any(isinstance(n, ast.ClassDef) and n.name == node.name for n in tree(other).body)
    ]
    assert elsewhere == []
