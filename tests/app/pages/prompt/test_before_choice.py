"""What the page shows before its reader chooses anything."""

from __future__ import annotations

import math
import re

from tests.app.pages.home.test_pages import text as words
from tests.app.pretend.prompt_site import BOTH, Prompts, rows


def test_one_dictionary_is_read_unless_others_are_named(on: Prompts) -> None:
    page = on.page()
    assert {place for place, _ in rows(page)} == {0}
    assert re.findall(r'name="d" value="([^"]*)" checked', page) == ["mlp-12"]
    assert re.search(r'aria-sort="descending"><button[^>]*value="activation"', page)


def test_several_dictionaries_are_ranked_so_that_none_drowns_another(on: Prompts) -> None:
    page = on.page(d=BOTH)
    assert re.search(r'aria-sort="descending"><button[^>]*value="rarity"', page)
    assert "comparable between hook points" in words(page)
    cells = re.findall(r'data-name="rarity">(.*?)</td>', page, re.S)
    shown = [float(words(cell)) for cell in cells]
    assert shown == sorted(shown, reverse=True)
    assert {place for place, _ in rows(page)} == {0, 1}
    # What was chosen stays chosen.
    assert re.search(
        r'aria-sort="descending"><button[^>]*value="activation"',
        on.page(d=BOTH, sort="activation"),
    )


def test_tokens_are_coloured_by_loss_until_a_feature_is_chosen(on: Prompts) -> None:
    page = on.page()
    strip = re.search(r'<p class="strip choosable".*?</p>', page, re.S)
    assert strip
    looks = re.findall(r'<bdi role=option[^>]*class="(l\d)"', strip[0])
    assert looks
    assert "loss: 0" in words(page)
    assert f"{math.log(64):.1f} nats and more" in words(page)
    chosen = on.page(feature="mlp-12:8")
    assert not re.search(r'class="l\d"', chosen)
