"""A server under measurement: started as the command starts it, and looked at from outside.

In: the settings that name its store, or the environment's; the folder of another build, where one
is compared. Out: a client, and what /proc says of its processes (Linux).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.settings import Settings


@dataclass(frozen=True)
class Served:
    """A running web process, and its worker.

    Attributes:
        http: a client of it.
        pid: its process.
        start_seconds: from its start to its first page.
    """

    http: httpx.Client
    pid: int
    start_seconds: float

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.http.base_url.port or 80

    @property
    def worker(self) -> int:
        """The process of its worker.

        Raises:
            SystemExit: there is none at the moment.
        """
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().split(b"\0")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended meanwhile
                continue
            if parent == self.pid and b"app.worker" in command:
                return int(folder.name)
        raise SystemExit("No worker is running.")


@contextmanager
def serving(
    settings: Settings | None = None,
    *,
    build: Path | None = None,
    descriptors: int | None = None,
    log: Path | None = None,
) -> Iterator[Served]:
    """`featurescope serve` on a free port, in a process of its own.

    Args:
        settings: which store; None: what the environment says.
        build: the clone whose code is served; None: this one.
        descriptors: the limit of open files that both processes get; None: this process's own.
        log: where the server's messages go; None: with ours.
    """
    began = time.perf_counter()
    command = [sys.executable, "-m", "app", "serve", "--port", "0"]
    if descriptors is not None:
        command = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command]
    environment = dict(os.environ)
    if settings is not None:
        environment["FEATURESCOPE_HOME"] = str(settings.home)
        environment["FEATURESCOPE_DATABASE_URL"] = settings.url
        environment["FEATURESCOPE_DEVICE"] = settings.device
        environment.pop("FEATURESCOPE_WORKER_URL", None)
    with (
        (log or Path("/dev/stderr")).open("ab") as messages,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=messages if log else None,
            env=environment,
            cwd=build,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.search(r"http://\S+", line)
            if address is None:
                raise SystemExit(f"featurescope serve said {line!r} instead of its URL.")
            with httpx.Client(base_url=address[0], timeout=120.0, trust_env=False) as http:
                http.get("/").raise_for_status()
                yield Served(http, process.pid, time.perf_counter() - began)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def cpu_seconds_of(pid: int) -> float:
    """Processor time of a process, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int, peak: bool = False) -> float:
    """Resident megabytes of a process, now or at most so far (since `forget_peak`)."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
    return int(line[1]) / 1e3 if line else float("nan")


def forget_peak(pid: int) -> None:
    """Count a process's peak of memory from here on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def descriptors_of(pid: int) -> int:
    """Files and connections that a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
