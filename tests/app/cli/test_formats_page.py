"""What the command and its page say of formats is what the readers know."""

from __future__ import annotations

import argparse
import itertools
import re
from pathlib import Path

from app.cli.commands.making.add import NORMS
from app.cli.main import build_parser
from sae_core.dictionaries.formats.opening import FORMATS
from sae_core.files.releases import RELEASES
from sae_core.harvest.fit_check import NORMS as KNOWN_NORMS

PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()


def test_the_command_offers_every_format() -> None:
    commands = next(
        action
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    options = {option.dest: option for option in commands.choices["add"]._actions}
    assert tuple(options["format"].choices or ()) == tuple(FORMATS)
    assert set(NORMS) == set(KNOWN_NORMS)


def test_the_page_lists_every_format_and_release() -> None:
    assert set(re.findall(r"\| `(\w+)` \|", PAGE)) == set(FORMATS)
    listed = PAGE.split("by rules:")[1].split(". Where SAELens")[0]
    names = set()
    for name in re.findall(r"`([^`]+)`", listed):
        parts = [part.split(",") for part in re.split(r"[{}]", name)]
        names |= {"".join(chosen) for chosen in itertools.product(*parts)}
    assert names == set(RELEASES)
