"""Templates and static files as such."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.rendering.addresses import dictionary_address
from app.rendering.assets import Assets, tree_hash
from app.rendering.contexts import ACTIVATION_LEVELS, EFFECT_STEPS
from app.rendering.templates import Renderer
from app.settings import resource

TEMPLATES = sorted(
    p.relative_to(resource("templates")).as_posix() for p in resource("templates").rglob("*.html")
)
SCRIPTS = sorted((resource("static") / "js").rglob("*.js"))


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(resource("templates"), Assets(resource("static")))


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_compiles(renderer: Renderer, name: str) -> None:
    assert renderer.environment.get_template(name)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_asset_that_a_template_names_exists(name: str) -> None:
    source = (resource("templates") / name).read_text("utf-8")
    for path in re.findall(r"asset\('([^']+)'\)", source):
        assert (resource("static") / path).is_file(), path


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_need_no_inline_code(name: str) -> None:
    source = (resource("templates") / name).read_text("utf-8")
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|hx-on|js:", source)
    assert not re.search(r"hx-trigger=\"[^\"]*\[", source), "filters are evaluated"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_small_modules_that_never_write_html(script: Path) -> None:
    source = script.read_text("utf-8")
    assert len(source.splitlines()) < 200
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|eval\(|new Function", source)
    for path in re.findall(r'from "([^"]+)"|import "([^"]+)"', source):
        assert (script.parent / "".join(path)).is_file()


def test_every_level_has_a_colour_in_light_and_dark() -> None:
    css = (resource("static") / "css" / "contexts.css").read_text("utf-8")
    for level in range(1, ACTIVATION_LEVELS + 1):
        assert len(re.findall(rf"\.a{level} {{ background", css)) == 2
    for level in range(1, len(EFFECT_STEPS) + 1):
        assert f".u{level} " in css
        assert f".n{level} " in css


def test_the_hash_of_the_tree_follows_its_content(tmp_path: Path) -> None:
    (tmp_path / "js").mkdir()
    (tmp_path / "js" / "a.js").write_text("1")
    first = tree_hash(tmp_path)
    assert tree_hash(tmp_path) == first
    (tmp_path / "js" / "a.js").write_text("2")
    second = tree_hash(tmp_path)
    (tmp_path / "js" / "a.js").rename(tmp_path / "js" / "b.js")
    assert len({first, second, tree_hash(tmp_path)}) == 3


def test_addresses_are_quoted_and_leave_defaults_out() -> None:
    assert dictionary_address("a/b", "c d", 3) == "/d/a%2Fb/c%20d/3"
    assert dictionary_address("m", "n", sort="", page=2, q="x&y") == "/d/m/n?page=2&q=x%26y"
