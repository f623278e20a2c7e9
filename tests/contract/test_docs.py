"""Pages that are generated say what the code says."""

from __future__ import annotations

import re
import sys
import tomllib

from scripts import settings_doc
from tests.contract.repository import ROOT, imports, modules


def test_the_settings_page_is_up_to_date() -> None:
    assert settings_doc.PAGE.read_text() == settings_doc.render(), "run: make docs"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {_plain(name): version for name, version in pins}


def _declared(*extras: str) -> dict[str, str]:
    """Name and whole line of each requirement in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [
        line for extra in extras for line in project["optional-dependencies"][extra]
    ]
    return {_plain(re.split(r"[\[><=;\s]", line)[0]): line for line in lines}


_OTHERWISE = {"yaml": "pyyaml"}
"""Packages that are imported under another name than they are installed by."""


def _imported(*folders: str) -> set[str]:
    ours = {"app", "benchmarks", "sae_core", "scripts", "tests"} | sys.stdlib_module_names
    tops = {full.partition(".")[0] for name in modules(*folders) for full in imports(name)}
    return {_plain(_OTHERWISE.get(top, top)) for top in tops - ours}


def test_every_direct_dependency_is_pinned_for_the_tests() -> None:
    assert _declared("test", "check").keys() - _pinned().keys() == set()


def test_torch_is_pinned_to_a_minor_version_so_that_every_build_of_it_fits() -> None:
    assert _pinned()["torch"] == "2.13.*"


def test_every_dependency_has_a_lower_bound() -> None:
    assert [line for line in _declared("test", "check").values() if ">=" not in line] == []


def test_every_import_is_declared() -> None:
    """What is imported by name stands in pyproject.toml and is not only somebody's dependency."""
    assert _imported("app/", "sae_core/", "migrations/") - _declared().keys() == set()
    # These cannot share an environment with this project: their side of a benchmark runs elsewhere.
    elsewhere = {"sae-lens", "dictionary-learning", "sparsify", "circuit-tracer", "delphi"}
    found = _imported("tests/", "benchmarks/", "scripts/") - _declared("test").keys()
    assert found - elsewhere == set()
