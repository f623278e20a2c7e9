"""What docs/formats.md says of SAELens' list is what the readers and the tests' files are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sae_core.dictionaries.formats.opening import FORMATS
from tests.sae_core.dictionaries.formats.cases import CASES
from tests.sae_core.dictionaries.formats.loaders import LOADERS

PAGE = (Path(__file__).parents[4] / "docs" / "formats.md").read_text()
ROWS = {
    row[0]: row[1:]
    for row in re.findall(r"^\| (\w+) \| ([\d,]+) \| ([^|]+) \| (\d*) *\|$", PAGE, re.M)
}


def test_every_loader_of_the_table_has_a_reader_and_files() -> None:
    assert set(ROWS) == set(LOADERS)
    for name, reading in LOADERS.items():
        _, here, files = ROWS[name]
        if reading.format:
            assert here == FORMATS[reading.format].title
            assert int(files) == len(reading.cases) > 0
        else:
            assert here == f"refused: {reading.cases[0]}"


@pytest.mark.parametrize("loader", [name for name, reading in LOADERS.items() if reading.format])
def test_those_files_are_in_that_format(loader: str) -> None:
    reading = LOADERS[loader]
    assert {CASES[case][0] for case in reading.cases} == {reading.format}


def test_the_share_is_that_of_the_table() -> None:
    counts = {name: int(row[0].replace(",", "")) for name, row in ROWS.items()}
    opens = sum(count for name, count in counts.items() if LOADERS[name].format)
    total = sum(counts.values())
    assert f"| {total:,} | {opens:,} open, {100 * opens / total:.2f} % |" in PAGE
    assert opens / total > 0.99
