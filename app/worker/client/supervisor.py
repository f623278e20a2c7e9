"""The web process's side of the worker that it starts itself. No torch.

1. `start` opens a listening socket of its own and two threads: the supervisor, which keeps a child
   alive, and the one that asks the child how it is.
2. The supervisor starts the child on that socket and waits for the end of its process (`_live`).
3. The other thread asks for the child's health, often until it is ready and then now and then, and
   writes down the answer as the state that pages see. A child that does not answer for too long, or
   whose step on the device lasts too long, is killed; why is kept for the message.
4. When a child has ended, the supervisor closes the connections that wait for it, pauses (twice as
   long after each death, from the beginning again after a steady life) and starts the next.
5. `stop` closes the child's standard input and terminates it; it is killed where that does not help
   in time.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from app.errors import FeaturescopeError, WorkerUnavailable
from app.settings import Settings
from app.worker.client.blocking import RESTARTING, WorkerClient
from app.worker.protocol.events import HealthPhase, HealthReply

LOG = "worker.log"
LOG_BYTES = 4 * 2**20
_INHERITED = ("home", "device", "worker_threads", "worker_memory", "log_level", "log_format")

log = logging.getLogger(__name__)


class WorkerPhase(StrEnum):
    """How the child is."""

    OFF = "off"
    """Not started yet, or stopped."""
    STARTING = "starting"
    """Its process runs; requests wait until torch is imported."""
    READY = "ready"
    RESTARTING = "restarting"
    """It died or hung and is gone; the next one starts shortly."""
    BROKEN = "broken"
    """It runs but cannot work, for instance because the device does not exist."""


@dataclass(frozen=True)
class WorkerState:
    """The child at one moment, for pages.

    Attributes:
        phase: how the child is.
        message: a sentence for the user; empty while all is well.
        restarts: how often it had to be restarted since the start.
        pid: the number of its process; None while there is none.
    """

    phase: WorkerPhase
    message: str = ""
    restarts: int = 0
    pid: int | None = None


@dataclass(frozen=True)
class Patience:
    """How long the supervisor waits for what.

    Attributes:
        look_seconds: between two questions how the child is while it starts.
        calm_seconds: between two of them from then on; its death is noticed at once anyway.
        start_seconds: from the child's start to its first answer to a health check.
        silence_seconds: without a further answer before the child counts as hung.
        step_seconds: that one step on the device may last; loading a large model is one step.
        steady_seconds: of life after which a death is no longer counted as one of a series.
        first_delay: before the first restart of a series, doubled for each further one.
        longest_delay: that a delay is doubled to.
        stop_seconds: for an orderly end.
    """

    look_seconds: float = 0.2
    calm_seconds: float = 1.0
    start_seconds: float = 120.0
    silence_seconds: float = 30.0
    step_seconds: float = 900.0
    steady_seconds: float = 30.0
    first_delay: float = 0.2
    longest_delay: float = 30.0
    stop_seconds: float = 5.0


class _Life:
    """One child, from its start to its end.

    Attributes:
        process: the child.
        restarts: how many came before it.
        patient_until: when it is given up unless it has answered by then.
        verdict: why it was killed; empty where it was not.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], restarts: int, patient_until: float
    ) -> None:
        self.process = process
        self.restarts = restarts
        self.patient_until = patient_until
        self.verdict = ""


def child_command(descriptor: int) -> list[str]:
    """The worker, on a listening socket that it inherits."""
    return [sys.executable, "-m", "app.worker", str(descriptor)]


class WorkerProcess:
    """A worker as a child process that is always there, or about to be again.

    The listening socket belongs to this process and outlives its children: the address stays the
    same, and a connection made while a child starts waits for it. When a child dies, connections
    that it had not accepted yet are closed like those that it had: nobody waits for the next child
    without knowing. The child ends when the pipe on its standard input closes, which a kill -9 of
    this process does too.

    Attributes:
        secret: what the child wants to hear before it works.
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
        self.secret = settings.worker_secret_text or secrets.token_urlsafe(32)
        self._lock = threading.Lock()  # of start and stop
        self._guard = threading.Lock()  # of the state and the life
        self._state = WorkerState(WorkerPhase.OFF)
        self._life: _Life | None = None
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._address = ""
        self._threads: tuple[threading.Thread, ...] = ()

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
            WorkerUnavailable: there is no child.
        """
        state = self._state
        if state.phase == WorkerPhase.OFF:
            raise WorkerUnavailable("The worker has not been started.")
        if state.phase == WorkerPhase.RESTARTING:
            raise WorkerUnavailable(state.message)
        return self._address

    def start(self) -> None:
        """Start the child and the threads that watch it; returns at once."""
        with self._lock:
            if self._socket is not None:
                return
            self._stopping.clear()
            self._settings.home.mkdir(0o700, parents=True, exist_ok=True)
            self._socket = socket.create_server(("127.0.0.1", 0))
            self._socket.setblocking(False)
            self._address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
            self._state = WorkerState(WorkerPhase.STARTING)
            self._threads = (
                threading.Thread(
                    target=self._watch, args=(self._socket,), name="supervisor", daemon=True
                ),
                threading.Thread(target=self._ask, name="supervisor's questions", daemon=True),
            )
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """Stop the child; returns when it is gone."""
        with self._lock:
            self._stopping.set()
            if self._socket is None:
                return
            watcher, asker = self._threads
            if life := self._current():
                _dismiss(life)
            watcher.join(self._patience.stop_seconds)
            if watcher.is_alive() and (life := self._current()):
                log.warning("the worker did not stop in time and is killed")
                life.process.kill()
            watcher.join()
            self._socket.close()
            self._socket = None
            asker.join()
            self._state = WorkerState(WorkerPhase.OFF)

    def _watch(self, listening: socket.socket) -> None:
        """Keep a child alive until `stop`."""
        restarts, delay = 0, 0.0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                reason = self._live(listening.fileno(), restarts)
            except OSError as error:
                reason = f"it cannot be started: {error}"
            if self._stopping.is_set():
                return
            # The pause doubles with each death, unless the child had lived steadily.
            lived = time.monotonic() - began
            if lived >= self._patience.steady_seconds:
                delay = 0.0
            delay = min(max(2 * delay, self._patience.first_delay), self._patience.longest_delay)
            restarts += 1
            message = f"{RESTARTING} ({reason}; {LOG} in Featurescope's home folder says more.)"
            self._state = WorkerState(WorkerPhase.RESTARTING, message, restarts)
            _turn_away(listening)
            log.warning(
                "the worker: %s after %.0f s, see %s; restart %d in %.1f s",
                *(reason, lived, self.log_path, restarts, delay),
            )
            self._stopping.wait(delay)
            _turn_away(listening)  # who had asked for the address before, and connected since

    def _live(self, descriptor: int, restarts: int) -> str:
        """One child's life, from its start to why it ended."""
        process = self._spawn(descriptor)
        life = _Life(process, restarts, time.monotonic() + self._patience.start_seconds)
        with self._guard:
            self._life = life
            self._state = WorkerState(WorkerPhase.STARTING, restarts=restarts, pid=process.pid)
        if self._stopping.is_set():
            _dismiss(life)
        code = process.wait()
        with self._guard:
            self._life = None
        _close_stdin(process)
        return life.verdict or _death(code)

    def _ask(self) -> None:
        """Ask each child how it is, and kill it where it does not answer, until `stop`."""
        client = WorkerClient(lambda: self._address, connect_seconds=1.0)
        pause = self._patience.look_seconds
        while not self._stopping.wait(pause):
            pause = self._patience.look_seconds
            life = self._current()
            if life is None:
                continue
            # No answer: patience until the time that the last answer has bought.
            try:
                health = client.health(seconds=1.0)
            except FeaturescopeError:
                if time.monotonic() > life.patient_until:
                    self._condemn(life, "it hung without answering")
                continue
            # An answer: the child is alive, but its device may hang.
            life.patient_until = time.monotonic() + self._patience.silence_seconds
            if health.step_seconds > self._patience.step_seconds:
                self._condemn(life, "it hung in its work")
                continue
            # What pages see; the child may have ended while it was asked.
            with self._guard:
                if self._life is life:
                    self._state = _state_of(health, life.restarts, life.process.pid)
            if health.phase is not HealthPhase.STARTING:
                pause = self._patience.calm_seconds
        client.close()

    def _current(self) -> _Life | None:
        with self._guard:
            return self._life

    def _condemn(self, life: _Life, verdict: str) -> None:
        """Kill a child for a reason, unless it has ended by itself."""
        with self._guard:
            if self._life is life:
                life.verdict = verdict
                life.process.kill()

    def _spawn(self, descriptor: int) -> subprocess.Popen[bytes]:
        with self._log_file() as output:
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

    def _log_file(self) -> BinaryIO:
        """Where the child's output goes: nowhere, if the home folder cannot be written."""
        log_path = self.log_path
        try:
            if log_path.exists() and log_path.stat().st_size > LOG_BYTES:
                log_path.replace(log_path.with_suffix(".log.1"))
            return log_path.open("ab")
        except OSError as error:
            log.warning("what the worker writes is not kept: %s", error)
            return Path(os.devnull).open("ab")

    def _environment(self) -> dict[str, str]:
        """This process's environment with our settings and the secret; the store's password stays
        here."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith("FEATURESCOPE_")
        }
        for name in _INHERITED:
            value = getattr(self._settings, name)
            if value is not None:
                environment[f"FEATURESCOPE_{name.upper()}"] = str(value)
        environment["FEATURESCOPE_WORKER_SECRET"] = self.secret
        return environment


def _dismiss(life: _Life) -> None:
    """Ask a child to end."""
    _close_stdin(life.process)
    life.process.terminate()


def _close_stdin(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()


def _turn_away(listening: socket.socket) -> None:
    """Close the connections that no child has accepted."""
    while True:
        try:
            connection, _ = listening.accept()
        except ConnectionAbortedError:
            continue
        except OSError:  # there is none
            return
        connection.close()


def _state_of(health: HealthReply, restarts: int, pid: int) -> WorkerState:
    match health.phase:
        case HealthPhase.STARTING:
            return WorkerState(WorkerPhase.STARTING, restarts=restarts, pid=pid)
        case HealthPhase.READY:
            return WorkerState(WorkerPhase.READY, restarts=restarts, pid=pid)
        case HealthPhase.BROKEN:
            return WorkerState(WorkerPhase.BROKEN, health.message, restarts, pid)


def _death(code: int) -> str:
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with status {code}"
