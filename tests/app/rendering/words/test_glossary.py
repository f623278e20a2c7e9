"""The glossary, and that templates name only what is in it."""

from __future__ import annotations

import re

from app.rendering.words.glossary import GLOSSARY, term
from app.settings import resource


def test_keys_are_unique_and_fit_addresses() -> None:
    keys = [entry.key for entry in GLOSSARY]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in keys)
    assert all(len(entry.short) < 220 for entry in GLOSSARY)  # two lines of a heading


def test_every_heading_and_link_names_a_term() -> None:
    named = set()
    for path in resource("templates").rglob("*.html"):
        text = path.read_text()
        named |= set(re.findall(r'(?:heading|tokens)\("([a-z0-9-]+)"', text))
        named |= set(re.findall(r'/glossary#([a-z0-9-]+)"', text))
    assert {"fires-on", "raises", "nearest"} <= named
    for key in named:
        assert term(key).key == key
