"""Pages that are generated say what the code says."""

from __future__ import annotations

import re
import sys
import tomllib

from scripts import settings_doc
from tests.contract.repository import ROOT, imports, modules


def test_the_settings_page_is_up_to_date() -> None:
    assert settings_doc.PAGE.read_text() == settings_doc.render(), "run: make docs"


def _pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def test_every_direct_dependency_is_pinned_for_the_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["check"]]
    names = {re.split(r"[\[><=;\s]", line)[0].lower() for line in wanted}
    assert names - set(_pinned()) == set()


def test_torch_is_pinned_to_a_minor_version_so_that_every_build_of_it_fits() -> None:
    assert _pinned()["torch"] == "2.13.*"


def test_every_import_is_a_declared_dependency() -> None:
    """What the packages import by name is in pyproject.toml, not only somebody's dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[\[><=;\s]", line)[0].lower() for line in project["dependencies"]}
    ours = {"app", "sae_core"} | sys.stdlib_module_names
    imported = {
        top.replace("_", "-")
        for name in modules("app/", "sae_core/")
        for top in (full.partition(".")[0] for full in imports(name))
        if top not in ours
    }
    assert imported - declared == set()


def test_every_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert all(">=" in line for line in project["dependencies"])
