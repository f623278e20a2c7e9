"""A built wheel, installed into an environment of its own, works outside the clone."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.contract.repository import ROOT, tracked

VENDOR = ["htmx.min.js", "hx-sse.min.js", "twgl.js", "htmx.LICENSE.txt", "twgl.LICENSE.txt"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "-qq", "wheel", "--no-deps", "-w", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True)
    (built,) = folder.glob("featurescope-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fresh environment with the wheel; dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "-qq", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_the_wheel_carries_code_resources_and_browser_libraries(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in tracked():
        if name.startswith(("app/", "sae_core/")):
            assert name in names
        elif name.startswith(("demo/", "migrations/", "static/", "templates/")):
            assert f"app/_resources/{name}" in names
    assert {f"app/_resources/static/vendor/{name}" for name in VENDOR} <= names
    assert not any("__pycache__" in name or name.startswith("tests/") for name in names)


@contextmanager
def _serving(installed: Path, home: Path) -> Iterator[str]:
    environment = {
        **os.environ,
        "FEATURESCOPE_HOME": str(home),
        "FEATURESCOPE_WORKER_URL": "http://127.0.0.1:9",
    }
    environment.pop("PYTHONPATH", None)
    command = [installed / "bin" / "featurescope", "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[3]
        finally:
            process.terminate()


def test_the_installed_command_serves_pages_and_libraries(installed: Path, tmp_path: Path) -> None:
    with _serving(installed, tmp_path) as url:
        for path in ["", "healthz", *(f"static/vendor/{name}" for name in VENDOR[:2])]:
            with urlopen(url + path, timeout=10) as answer:
                assert answer.status == 200


def test_the_installed_package_reads_its_own_files(installed: Path, tmp_path: Path) -> None:
    program = (
        "from app.settings import RESOURCES, resource; print(*map(resource, RESOURCES), sep='\\n')"
    )
    answer = subprocess.run(
        [installed / "bin" / "python", "-c", program],
        cwd=tmp_path,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert all(
        Path(line).is_relative_to(installed) and Path(line).is_dir()
        for line in answer.stdout.splitlines()
    )
