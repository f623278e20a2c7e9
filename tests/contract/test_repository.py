"""What may not be in the repository, and what must be said in it."""

from __future__ import annotations

import ast
import re
import stat
from pathlib import PurePath

import pytest

from tests.contract.repository import ROOT, modules, tracked, tree

MOST_LINES = 400
MOST_BYTES = 6_000_000
BINARY = {".png", ".safetensors", ".npz", ".npy", ".ico", ".woff2", ".gz", ".xz"}

# Spelled with a gap in each, so that this file names none itself.
_GAP = "(?:)"
HOSTS = re.compile(
    rf"pypi\.{_GAP}org|python{_GAP}hosted|npm{_GAP}js\.|deb\.{_GAP}debian|download\.{_GAP}pytorch"
)
MACHINE = re.compile(rf"/(?:wo{_GAP}rk|fa{_GAP}rm)/[a-z.]|/ro{_GAP}ot/")
UNFINISHED = re.compile(rf"raise NotImplemented{_GAP}Error|TO{_GAP}DO|FIX{_GAP}ME|XX{_GAP}X")


def _texts() -> list[str]:
    return [name for name in tracked() if PurePath(name).suffix not in BINARY]


def test_modules_stay_short() -> None:
    lengths = {name: (ROOT / name).read_bytes().count(b"\n") for name in modules("")}
    assert [name for name, lines in lengths.items() if lines > MOST_LINES] == []


def test_no_package_registry_and_no_machine_is_named() -> None:
    found = [
        f"{name}:{number}"
        for name in _texts()
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        if HOSTS.search(line) or (MACHINE.search(line) and name != ".gitignore")
    ]
    assert found == []


def test_nothing_is_left_unfinished() -> None:
    found = [
        name
        for name in modules("app/", "sae_core/")
        if UNFINISHED.search((ROOT / name).read_text())
    ]
    assert found == []


def test_no_third_party_source_is_committed() -> None:
    vendored = re.compile(r"\.min\.(js|css)$|node_modules/|static/vendor/")
    assert [name for name in tracked() if vendored.search(name)] == []


def test_files_are_small() -> None:
    sizes = {name: (ROOT / name).stat().st_size for name in tracked()}
    demo = {name for name in sizes if name.startswith("demo/")}
    assert [name for name in sizes.keys() - demo if sizes[name] > MOST_BYTES] == []
    assert sum(sizes[name] for name in demo) < 64 * 10**6


def test_loading_weights_cannot_run_code() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name in modules("")
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
        if "weights_only=True" not in ast.unparse(node)
    ]
    assert found == []


@pytest.mark.parametrize("command", ["make demo", "make test", "make check", "make bench"])
def test_the_readme_says_how_to_begin(command: str) -> None:
    assert command in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_between_pages_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", [".ci/run", "scripts/browser.sh", "scripts/constraints.sh"])
def test_scripts_can_be_run(name: str) -> None:
    assert (ROOT / name).stat().st_mode & stat.S_IXUSR


def test_no_secret_has_a_default_that_everybody_knows() -> None:
    lines = (ROOT / "docker-compose.yml").read_text().splitlines()
    secrets = [line for line in lines if "SECRET:" in line]
    assert secrets
    assert all("${WORKER_SECRET:?" in line for line in secrets)
