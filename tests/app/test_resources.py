from __future__ import annotations

import ast
from pathlib import Path

import pytest

from app import resources
from app.errors import SettingsError
from app.resources import RESOURCES, resource

CLONE = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", RESOURCES)
def test_a_clone_reads_resources_where_they_are_edited(name: str) -> None:
    assert resource(name) == CLONE / name
    assert resource(name).is_dir()


def test_a_wheel_carries_every_resource() -> None:
    hook = ast.parse((CLONE / "hatch_build.py").read_text())
    names = [node for node in hook.body if isinstance(node, ast.Assign)]
    (carried,) = (n.value for n in names if ast.unparse(n.targets[0]) == "RESOURCES")
    assert sorted(ast.literal_eval(carried)) == sorted(RESOURCES)


def test_an_installed_package_goes_before_the_folder_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "app" / "_resources" / "static"
    inside.mkdir(parents=True)
    (tmp_path / "static").mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "app")
    assert resource("static") == inside


def test_unknown_and_missing_resources_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="no resource 'secrets'; there are templates"):
        resource("secrets")
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "app")
    with pytest.raises(SettingsError, match="'demo' is missing from this installation"):
        resource("demo")
