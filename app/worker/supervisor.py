"""The web process's side of the worker it starts itself: start, watch, restart, stop. No torch."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.errors import FeaturescopeError, WorkerUnavailable
from app.settings import Settings
from app.worker.client import RESTARTING, WorkerClient
from app.worker.events import HealthReply, Phase

LOG = "worker.log"
LOG_BYTES = 4 * 2**20
_INHERITED = ("home", "device", "worker_threads", "log_level")

log = logging.getLogger(__name__)


class WorkerPhase(StrEnum):
    """How the child is."""

    OFF = "off"
    """Not started yet, or stopped."""
    STARTING = "starting"
    """Its process runs; requests wait until torch is imported."""
    READY = "ready"
    RESTARTING = "restarting"
    """It died or hung; the next one starts shortly."""
    BROKEN = "broken"
    """It runs but cannot work, for instance because the device does not exist."""


@dataclass(frozen=True)
class WorkerState:
    """The child at one moment, for pages.

    Attributes:
        phase: how it is.
        message: a sentence for the user; empty while all is well.
        restarts: how often it had to be restarted since the start.
        pid: of its process; None while there is none.
    """

    phase: WorkerPhase
    message: str = ""
    restarts: int = 0
    pid: int | None = None


@dataclass(frozen=True)
class Patience:
    """How long the supervisor waits for what.

    Attributes:
        look_seconds: between two looks at the child.
        start_seconds: from the child's start to its first answer to a health check.
        silence_seconds: without a further answer before the child counts as hung.
        step_seconds: that one step on the device may last; loading a large model is one step.
        steady_seconds: of life after which a death is no longer counted as one of a series.
        first_delay: before the first restart of a series, doubled for each further one.
        brief_delay: up to which requests simply wait for the next child.
        longest_delay: that a delay is doubled to.
        stop_seconds: for an orderly end.
    """

    look_seconds: float = 0.2
    start_seconds: float = 120.0
    silence_seconds: float = 30.0
    step_seconds: float = 900.0
    steady_seconds: float = 30.0
    first_delay: float = 0.2
    brief_delay: float = 1.0
    longest_delay: float = 30.0
    stop_seconds: float = 5.0


def child_command(descriptor: int) -> list[str]:
    """The worker, on a listening socket that it inherits."""
    return [sys.executable, "-m", "app.worker", str(descriptor)]


class WorkerProcess:
    """A worker as a child process that is always there, or about to be again.

    The listening socket belongs to this process and outlives its children: the address stays the
    same, and a connection made while no child runs waits for the next one. The child ends when the
    pipe on its standard input closes, which a kill -9 of this process does too.
    """

    def __init__(
        self,
        settings: Settings,
        command: Callable[[int], Sequence[str]] = child_command,
        patience: Patience | None = None,
    ) -> None:
        self._settings = settings
        self._command = command
        self._patience = patience or Patience()
        self._lock = threading.Lock()
        self._state = WorkerState(WorkerPhase.OFF)
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._address = ""
        self._watcher: threading.Thread | None = None
        self._delay = 0.0

    @property
    def state(self) -> WorkerState:
        """How the child is now."""
        return self._state

    @property
    def log_path(self) -> Path:
        """Where the child's output goes."""
        return self._settings.home / LOG

    def url(self) -> str:
        """The child's address.

        Raises:
            WorkerUnavailable: there is no child to answer, nor one about to start.
        """
        state = self._state
        if state.phase == WorkerPhase.OFF:
            raise WorkerUnavailable("The worker has not been started.")
        if state.phase == WorkerPhase.RESTARTING and self._delay > self._patience.brief_delay:
            raise WorkerUnavailable(state.message)
        return self._address

    def start(self) -> None:
        """Start the child and the thread that watches it; returns at once."""
        with self._lock:
            if self._watcher is not None:
                return
            self._stopping.clear()
            self._delay = 0.0
            self._settings.home.mkdir(parents=True, exist_ok=True)
            self._socket = socket.create_server(("127.0.0.1", 0))
            self._address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
            self._state = WorkerState(WorkerPhase.STARTING)
            self._watcher = threading.Thread(
                target=self._watch, args=(self._socket.fileno(),), name="supervisor", daemon=True
            )
            self._watcher.start()

    def stop(self) -> None:
        """Stop the child; returns when it is gone."""
        with self._lock:
            self._stopping.set()
            if self._watcher is not None:
                self._watcher.join()
                self._watcher = None
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            self._state = WorkerState(WorkerPhase.OFF)

    def _watch(self, descriptor: int) -> None:
        """Keep a child alive until `stop`."""
        restarts = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                reason = self._live(descriptor, restarts)
            except OSError as error:
                reason = f"it cannot be started: {error}"
            if self._stopping.is_set():
                return
            lived = time.monotonic() - began
            if lived >= self._patience.steady_seconds:
                self._delay = 0.0
            self._delay = min(
                max(2 * self._delay, self._patience.first_delay), self._patience.longest_delay
            )
            restarts += 1
            log.warning(
                "the worker: %s after %.0f s, see %s; restart %d in %.1f s",
                *(reason, lived, self.log_path, restarts, self._delay),
            )
            message = f"{RESTARTING} ({reason}; {LOG} in Featurescope's home folder says more.)"
            self._state = WorkerState(WorkerPhase.RESTARTING, message, restarts)
            self._stopping.wait(self._delay)

    def _live(self, descriptor: int, restarts: int) -> str:
        """One child's life, from its start to why it ended."""
        child = self._spawn(descriptor)
        self._state = WorkerState(WorkerPhase.STARTING, restarts=restarts, pid=child.pid)
        client = WorkerClient(lambda: self._address, connect_seconds=1.0)
        patient_until = time.monotonic() + self._patience.start_seconds
        try:
            while not self._stopping.wait(self._patience.look_seconds):
                if (code := child.poll()) is not None:
                    return _death(code)
                try:
                    health = client.health(seconds=1.0)
                except FeaturescopeError:
                    if time.monotonic() > patient_until:
                        return "it hung without answering"
                    continue
                patient_until = time.monotonic() + self._patience.silence_seconds
                if health.step_seconds > self._patience.step_seconds:
                    return "it hung in its work"
                self._state = _state_of(health, restarts, child.pid)
            return "it was stopped"
        finally:
            client.close()
            self._end(child)

    def _spawn(self, descriptor: int) -> subprocess.Popen[bytes]:
        log_path = self.log_path
        if log_path.exists() and log_path.stat().st_size > LOG_BYTES:
            log_path.replace(log_path.with_suffix(".log.1"))
        with log_path.open("ab") as output:
            return subprocess.Popen(
                list(self._command(descriptor)),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=(descriptor,),
                env=self._environment(),
                # Ctrl-C on the terminal is for the web process, which then stops the worker.
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        """This process's environment with our settings; the store's password stays here."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith("FEATURESCOPE_")
        }
        for name in _INHERITED:
            value = getattr(self._settings, name)
            if value is not None:
                environment[f"FEATURESCOPE_{name.upper()}"] = str(value)
        return environment

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        """Ask the child to end, then make it."""
        assert child.stdin is not None
        child.stdin.close()
        if self._stopping.is_set():
            child.terminate()
            try:
                child.wait(self._patience.stop_seconds)
            except subprocess.TimeoutExpired:
                log.warning("the worker did not stop in time and is killed")
        child.kill()
        child.wait()


def _state_of(health: HealthReply, restarts: int, pid: int) -> WorkerState:
    match health.phase:
        case Phase.STARTING:
            return WorkerState(WorkerPhase.STARTING, restarts=restarts, pid=pid)
        case Phase.READY:
            return WorkerState(WorkerPhase.READY, restarts=restarts, pid=pid)
        case Phase.BROKEN:
            return WorkerState(WorkerPhase.BROKEN, health.message, restarts, pid)


def _death(code: int) -> str:
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with status {code}"
