"""The option --no-skips, tried on a test suite of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.contract.repository import ROOT

SUITE = {
    "test_one.py": "import pytest\ndef test_a(): pytest.importorskip('no_such_module')\n",
    "test_two.py": "import pytest\npytest.importorskip('no_such_module')\ndef test_b(): pass\n",
    "test_three.py": "def test_c(): pass\n",
}


def _run(folder: Path, *options: str) -> tuple[int, str]:
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    for name, text in SUITE.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    ended = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    return ended.returncode, ended.stdout


def test_a_skip_passes_by_default(tmp_path: Path) -> None:
    code, out = _run(tmp_path)
    assert code == 0
    assert "1 passed, 2 skipped" in out


def test_a_skipped_test_and_a_skipped_module_fail(tmp_path: Path) -> None:
    code, out = _run(tmp_path, "--no-skips", "--continue-on-collection-errors")
    assert code == 1
    assert "1 failed, 1 passed, 1 error" in out
    assert "--no-skips was given, and this would be skipped." in out
    assert "no_such_module" in out
