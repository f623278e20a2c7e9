from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pydantic import ValidationError

from app import settings as settings_module
from app.errors import SettingsError
from app.settings import RESOURCES, Settings, read_settings, resource

CLONE = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FEATURESCOPE_{name.upper()}", raising=False)


def test_defaults_serve_loopback_from_a_file_in_the_home_folder() -> None:
    settings = read_settings()
    assert (settings.host, settings.port, settings.allow_network) == ("127.0.0.1", 8000, False)
    assert settings.home == Path.home() / ".featurescope"
    assert settings.url == f"sqlite:///{settings.home}/featurescope.db"


def test_an_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURESCOPE_PORT", "9000")
    assert read_settings().port == 9000
    assert read_settings(port=9001).port == 9001
    assert read_settings(port=None).port == 9000


def test_a_relative_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings(home="here").home == tmp_path / "here"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("sqlite:////data/x.db", "sqlite:////data/x.db"),
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
    ],
)
def test_database_urls(given: str, read: str) -> None:
    assert read_settings(database_url=given).url == read


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", "70000", r"FEATURESCOPE_PORT cannot be used \(it is '70000'\)"),
        ("PORT", "many", "FEATURESCOPE_PORT cannot be used"),
        ("DEVICE", "abacus", "FEATURESCOPE_DEVICE cannot be used"),
        ("WORKER_URL", "worker:8001", "must begin with http:// or https://"),
        ("WORKER_THREADS", "0", "FEATURESCOPE_WORKER_THREADS cannot be used"),
    ],
)
def test_a_bad_variable_is_named(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"FEATURESCOPE_{name}", value)
    with pytest.raises(SettingsError, match=sentence):
        read_settings()


def test_a_bad_database_url_is_not_repeated_with_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FEATURESCOPE_DATABASE_URL", "mysql://u:secret@h/d")
    with pytest.raises(SettingsError, match="must begin with sqlite") as told:
        read_settings()
    assert "secret" not in str(told.value)


def test_contradictions_are_refused() -> None:
    with pytest.raises(SettingsError, match="contradict each other: worker_threads"):
        read_settings(worker_url="http://w", worker_threads=2)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read_settings().port = 1


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


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
    monkeypatch.setattr(settings_module, "_PACKAGE", tmp_path / "app")
    assert resource("static") == inside


def test_unknown_and_missing_resources_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="no resource 'secrets'; there are templates"):
        resource("secrets")
    monkeypatch.setattr(settings_module, "_PACKAGE", tmp_path / "app")
    with pytest.raises(SettingsError, match="'demo' is missing from this installation"):
        resource("demo")
