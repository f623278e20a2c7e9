"""Figures of a report computed again from a store that was harvested anew: what is right is found
right, what was tampered with is found, whoever signed it."""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import run
from app.exchange.report.bench import RecomputingBench
from app.exchange.report.comparison import (
    FigureVerdict,
    NearFigure,
    NotHere,
    compare,
)
from app.exchange.report.document import leaves
from app.exchange.report.files import read_report
from app.exchange.report.findings.kinds import kind_of
from app.exchange.report.schema import RawFinding
from app.exchange.report.signing import ReportKey
from app.exchange.report.verification import verify_figures
from app.settings import Settings
from app.store.store import Store, open_store
from tests.app.exchange.report.conftest import Homes, Resign, harvest

EQUAL, DIFFERS, UNKNOWN = FigureVerdict.EQUAL, FigureVerdict.DIFFERS, FigureVerdict.UNKNOWN


@pytest.fixture
def other(homes: Homes) -> Iterator[Store]:
    with open_store(Settings(home=homes.second), upgrade=False) as store:
        yield store


def test_another_store_computes_the_same(
    homes: Homes, key: ReportKey, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (homes.page, homes.json):
        command = ["verify-report", str(path), "--store", homes.store, "--all"]
        assert run([*command, "--key", key.fingerprint]) == 0
        printed = capsys.readouterr().out
        assert "figures are as the report says" in printed
        assert re.search(r"\n +0  differs\n +0  cannot be recomputed here\n", printed)


def test_a_sample_follows_from_its_seed(homes: Homes, other: Store) -> None:
    file = read_report(homes.json)

    def drawn(sample: int, seed: int) -> list[tuple[int, Any]]:
        made = verify_figures(file, RecomputingBench(other, "cpu"), sample, seed)
        assert made.of(DIFFERS) == made.of(UNKNOWN) == []
        return [(number, figure.path) for number, figure in made.figures if number >= 0]

    first = drawn(30, 1)
    assert len(first) == 30
    assert drawn(30, 1) == first != drawn(30, 2)
    assert len({number for number, _ in first}) == 7  # of every finding that has figures


@pytest.mark.parametrize("number", range(8))
def test_every_number_that_is_tampered_with_is_found(
    homes: Homes, written: dict[str, Any], other: Store, number: int
) -> None:
    """Every number of every finding, one at a time, whoever would sign it: computing again says
    that it differs."""
    bench = RecomputingBench(other, "cpu")
    raw = RawFinding.model_validate(written["report"]["findings"][number])
    kind = kind_of(raw)
    facts = {one.title: one for one in read_report(homes.json).report.dictionaries}
    here = kind.recompute(kind.read(raw, facts), bench)
    paths = [path for path, value in leaves(raw.found) if isinstance(value, int | float)]
    assert paths or raw.kind == "label"
    for path in _some(paths) if raw.kind == "feature" else paths:
        found = copy.deepcopy(raw.found)
        _change(found, path)
        if raw.kind == "feature":  # its tokens are what is computed on
            if path[-1] == "peak":
                found["contexts"][path[1]]["peak"] = 0
            here = kind.recompute(kind.read(raw.model_copy(update={"found": found}), facts), bench)
        made = [figure for figure in compare(found, here) if figure.verdict != EQUAL]
        if path[-1] == "window":  # one that was not drawn here: its text is not known
            assert {figure.path[:2] for figure in made} == {path[:2]}
            continue
        assert path in [figure.path for figure in made if figure.verdict == DIFFERS]


def _some(paths: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Of paths that differ in places of lists alone, the first, one in the middle and the last."""
    kept: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for path in paths:
        kind = tuple(step if isinstance(step, str) else "*" for step in path)
        kept.setdefault(kind, []).append(path)
    return [own[at] for own in kept.values() for at in (0, len(own) // 2, -1)]


def _change(found: Any, path: tuple[Any, ...]) -> None:
    for step in path[:-1]:
        found = found[step]
    value = found[path[-1]]
    if isinstance(value, bool):
        found[path[-1]] = not value
    elif isinstance(value, int):
        found[path[-1]] = value + 1 + value // 10
    else:
        found[path[-1]] = value * 1.3 + 0.05


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("text", "seed"), 1),
        (("text", "read_tokens"), 7),
        (("text", "documents"), 7),
        (("text", "context"), 7),
        (("features",), 41),
        (("hook_point",), "blocks.0.mlp.hook_post"),
        (("vocabulary",), "0" * 64),
        (("bos",), True),
    ],
)
def test_facts_of_weights_and_texts_that_are_tampered_with_are_found(
    homes: Homes,
    written: dict[str, Any],
    resigned: Resign,
    stranger: ReportKey,
    capsys: pytest.CaptureFixture[str],
    path: tuple[str, ...],
    value: Any,
) -> None:
    facts = written["report"]["dictionaries"][0]
    for step in path[:-1]:
        facts = facts[step]
    assert facts[path[-1]] != value
    facts[path[-1]] = value
    file = resigned(written, stranger)
    assert run(["verify-report", str(file), "--store", homes.store, "--sample", "1"]) == 1
    printed = capsys.readouterr().out
    assert f"weights and texts, 0 / {' / '.join(path)}: {value}" in printed


@pytest.mark.parametrize("name", ["checksum", "model_checksum"])
def test_other_weights_are_not_computed_with(
    homes: Homes,
    written: dict[str, Any],
    resigned: Resign,
    stranger: ReportKey,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    written["report"]["dictionaries"][0][name] = "f" * 64
    file = resigned(written, stranger)
    assert run(["verify-report", str(file), "--store", homes.store, "--sample", "20"]) == 2
    printed = capsys.readouterr()
    assert f"tiny/features has another {name.replace('_', ' ')} here" in printed.out
    assert "cannot be computed again here" in printed.err


def test_one_figure_tampered_with_is_named(
    homes: Homes,
    written: dict[str, Any],
    resigned: Resign,
    stranger: ReportKey,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = written["report"]["findings"][3]["found"]
    before = found["features"][0]["held_out"]
    found["features"][0]["held_out"] = 0.25
    file = resigned(written, stranger)
    command = ["verify-report", str(file), "--store", homes.store]
    assert run([*command, "--all"]) == 1
    printed = capsys.readouterr()
    assert "finding 4, features / 0 / held_out: 0.25 in the report" in printed.out
    assert f"{before:.6g} here (may be off by 0.002: two texts of nearly" in printed.out
    assert "1 of " in printed.err
    assert "come out otherwise" in printed.err


def test_a_store_without_the_dictionary_says_so(
    homes: Homes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_store(Settings(home=tmp_path)):
        pass
    url = f"sqlite:///{tmp_path / 'featurescope.db'}"
    assert run(["verify-report", str(homes.json), "--store", url]) == 2
    assert "this store has no dictionary of the checksum" in capsys.readouterr().out
    assert run(["verify-report", str(homes.json), "--store", f"sqlite:///{tmp_path}/no.db"]) == 1
    assert run(["verify-report", str(homes.json), "--store", "nonsense"]) == 1


def test_another_text_leaves_the_weights_figures(
    homes: Homes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("tiny", "features", "texts"):
        shutil.copytree(homes.folder / part, tmp_path / part)
    (tmp_path / "texts" / "more.txt").write_text("another text jumps")
    home = harvest(tmp_path, "third")
    url = f"sqlite:///{home / 'featurescope.db'}"
    assert run(["verify-report", str(homes.json), "--store", url, "--all"]) == 2
    printed = capsys.readouterr().out
    assert "tiny/features was harvested here on another text" in printed
    assert re.search(r"\n +0  differs\n", printed)


def test_weights_that_changed_on_disk_are_not_computed_with(
    homes: Homes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("tiny", "features", "texts"):
        shutil.copytree(homes.folder / part, tmp_path / part)
    home = harvest(tmp_path, "fourth")
    weights = tmp_path / "files-fourth" / "features" / "sae_weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    url = f"sqlite:///{home / 'featurescope.db'}"
    assert run(["verify-report", str(homes.json), "--store", url]) == 2
    assert "features" in capsys.readouterr().out


def test_leaves_are_compared_one_by_one() -> None:
    near = NearFigure(1.0, 0.1, "rounding")
    reported = {"a": 1.05, "b": 2.0, "c": ["x", "y"], "d": {"e": 1}, "f": True}
    here = {"a": near, "b": near, "c": ["x"], "d": NotHere("no text"), "f": 1, "g": near}
    made = {figure.path: figure for figure in compare(reported, here)}
    assert {path: str(figure.verdict) for path, figure in made.items()} == {
        ("a",): EQUAL,
        ("b",): DIFFERS,
        ("c", 0): EQUAL,
        ("c", 1): DIFFERS,
        ("d", "e"): UNKNOWN,
        ("f",): DIFFERS,
        ("g",): DIFFERS,
    }
    assert made["g",].reported is None
    assert made["b",].here == 1.0
