"""The child process: killed, hung, orphaned, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import WorkerUnavailable
from app.settings import Settings
from app.worker.client.blocking import WorkerClient
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.client.supervisor import Patience, WorkerPhase, WorkerProcess
from tests import own_loop
from tests.app.worker.conftest import Until
from tests.app.worker.workbenches import Behaviour, request


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def port_of(process: WorkerProcess) -> int:
    return int(process._address.rpartition(":")[2])


def unaccepted(process: WorkerProcess) -> int:
    """Connections that the kernel holds for the process's socket."""
    listening = f"0100007F:{port_of(process):04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[1] == listening and fields[3] == "0A":
            return int(fields[4].partition(":")[2], 16)
    raise AssertionError("nobody listens")


@pytest.fixture
def client(process: WorkerProcess) -> Iterator[WorkerClient]:
    client = WorkerClient(process.url, secret=process.secret, silence_seconds=10)
    yield client
    client.close()


def test_requests_wait_for_a_child_that_is_starting(client: WorkerClient) -> None:
    assert len(list(client.ask(request([1, 1])))) == 2


def test_kill_in_the_middle_of_a_stream_and_recovery(
    ready: WorkerProcess, client: WorkerClient, until: Until
) -> None:
    address = ready.url()
    pid = ready.state.pid
    assert pid is not None
    stream = client.ask(request([20] * 100))
    next(stream)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerUnavailable, match="restarting; this page tries again by itself"):
        list(stream)
    until(lambda: ready.state.restarts == 1)
    until(lambda: ready.state.phase == WorkerPhase.READY)
    assert ready.state.pid != pid
    assert ready.url() == address
    assert len(list(client.ask(request([1, 1])))) == 2


def ask(process: WorkerProcess) -> None:
    with closing(WorkerClient(process.url, secret=process.secret, silence_seconds=60)) as client:
        list(client.ask(request([1])))


def ask_live(process: WorkerProcess) -> None:
    async def read() -> None:
        client = AsyncWorkerClient(process.url, secret=process.secret, silence_seconds=60)
        try:
            async for _ in client.ask(request([1])):
                pass
        finally:
            await client.close()

    own_loop.run(read())


@pytest.mark.parametrize("asks", [ask, ask_live])
def test_who_waits_for_a_child_that_dies_is_told_at_once(
    settings: Settings, until: Until, asks: Callable[[WorkerProcess], None]
) -> None:
    # The child accepts nothing, nobody asks how it is, and the next one is far away.
    patience = Patience(look_seconds=60, first_delay=600)
    process = WorkerProcess(settings, lambda _: ["/bin/sleep", "60"], patience)
    process.start()
    until(lambda: process.state.pid is not None)
    with ThreadPoolExecutor() as threads:
        waits = [threads.submit(asks, process) for _ in range(3)]
        until(lambda: unaccepted(process) == 3)
        assert process.state.pid is not None
        os.kill(process.state.pid, signal.SIGKILL)
        for wait in waits:
            with pytest.raises(WorkerUnavailable, match="restarting; this page tries again"):
                wait.result(timeout=60)
    assert process.state.phase == WorkerPhase.RESTARTING
    assert unaccepted(process) == 0
    process.stop()


def test_who_connects_after_the_death_does_not_wait_for_the_next_child(
    settings: Settings, until: Until
) -> None:
    starts: list[int] = []

    def command(_: int) -> list[str]:
        starts.append(len(starts))
        return ["/bin/sleep", "60"] if len(starts) > 1 else ["/bin/false"]

    process = WorkerProcess(settings, command, Patience(look_seconds=60, first_delay=1.0))
    process.start()
    until(lambda: process.state.phase == WorkerPhase.RESTARTING)
    with socket.create_connection(("127.0.0.1", port_of(process))) as connection:
        assert connection.recv(1) == b""
    until(lambda: len(starts) == 2)
    process.stop()


def test_while_it_restarts_pages_are_told(settings: Settings, until: Until) -> None:
    patience = Patience(look_seconds=0.05, first_delay=600.0)
    process = WorkerProcess(settings, lambda _: [sys.executable, "-c", "exit(3)"], patience)
    with pytest.raises(WorkerUnavailable, match="not been started"):
        process.url()
    process.start()
    until(lambda: process.state.phase == WorkerPhase.RESTARTING)
    assert "ended with status 3" in process.state.message
    assert "worker.log" in process.state.message
    with pytest.raises(WorkerUnavailable, match="tries again by itself"):
        process.url()
    process.stop()
    assert process.state.phase == WorkerPhase.OFF


def test_a_child_that_keeps_dying_is_restarted_ever_more_slowly(
    settings: Settings, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    patience = Patience(look_seconds=60, first_delay=0.02, longest_delay=0.1)
    process = WorkerProcess(settings, lambda _: ["/bin/false"], patience)
    process.start()
    until(lambda: process.state.restarts >= 5)
    process.stop()
    delays = [record.args[-1] for record in caplog.records if isinstance(record.args, tuple)]
    assert delays[:5] == [0.02, 0.04, 0.08, 0.1, 0.1]


def test_a_command_that_does_not_exist_is_reported(settings: Settings, until: Until) -> None:
    process = WorkerProcess(settings, lambda _: ["/no/such/python"], Patience(look_seconds=0.01))
    process.start()
    until(lambda: process.state.phase == WorkerPhase.RESTARTING)
    assert "cannot be started" in process.state.message
    process.stop()


def test_a_child_that_does_not_answer_is_replaced(ready: WorkerProcess, until: Until) -> None:
    pid = ready.state.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    until(lambda: ready.state.restarts == 1)
    assert not alive(pid)
    until(lambda: ready.state.phase == WorkerPhase.READY)


def test_a_child_that_never_answers_is_given_up(settings: Settings, until: Until) -> None:
    patience = Patience(look_seconds=0.05, start_seconds=0.3, first_delay=0.05)
    process = WorkerProcess(settings, lambda _: ["/bin/sleep", "60"], patience)
    process.start()
    until(lambda: process.state.restarts >= 1)
    process.stop()


def test_a_child_whose_device_hangs_is_replaced(settings: Settings, until: Until) -> None:
    patience = Patience(look_seconds=0.05, step_seconds=0.3, first_delay=0.05)

    def command(descriptor: int) -> list[str]:
        return [sys.executable, "-m", "tests.app.worker.workbenches", str(descriptor)]

    process = WorkerProcess(settings, command, patience)
    client = WorkerClient(process.url, secret=process.secret)
    process.start()
    with pytest.raises(WorkerUnavailable):
        list(client.ask(request([1], Behaviour.HANG)))
    until(lambda: process.state.restarts == 1 and process.state.phase == WorkerPhase.READY)
    assert len(list(client.ask(request([1])))) == 1
    client.close()
    process.stop()


def test_a_request_that_kills_its_worker_does_not_keep_it_down(
    ready: WorkerProcess, client: WorkerClient, until: Until
) -> None:
    with pytest.raises(WorkerUnavailable):
        list(client.ask(request([1, 1], Behaviour.DIE)))
    until(lambda: ready.state.restarts == 1)
    until(lambda: ready.state.phase == WorkerPhase.READY)
    assert len(list(client.ask(request([1])))) == 1


def test_stopping_ends_the_child_and_can_be_repeated(
    ready: WorkerProcess, client: WorkerClient, until: Until
) -> None:
    pid = ready.state.pid
    assert pid is not None
    stream = client.ask(request([50] * 200))
    next(stream)
    ready.stop()
    assert not alive(pid)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("supervisor")]
    with pytest.raises(WorkerUnavailable):
        list(stream)
    ready.stop()
    ready.start()
    until(lambda: ready.state.phase == WorkerPhase.READY)
    assert len(list(client.ask(request([1])))) == 1


def test_the_log_holds_the_traceback_and_is_rotated(
    settings: Settings, ready: WorkerProcess, client: WorkerClient
) -> None:
    with pytest.raises(Exception, match="a defect"):
        list(client.ask(request([1], Behaviour.DEFECT)))
    text = ready.log_path.read_text()
    assert "Traceback" in text
    assert "KeyError" in text
    ready.stop()
    ready.log_path.write_bytes(b"x" * (5 * 2**20))
    ready.start()
    assert list(client.ask(request([1])))
    assert ready.log_path.stat().st_size < 2**20
    assert (settings.home / "worker.log.1").exists()


def test_the_child_gets_the_settings_but_not_the_stores_password(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path, database_url="postgresql://u:secret@db/x", device="cpu", worker_threads=3
    )
    process = WorkerProcess(settings)
    environment = process._environment()
    ours = {name: value for name, value in environment.items() if name.startswith("FEATURESCOPE_")}
    assert ours == {
        "FEATURESCOPE_HOME": str(tmp_path),
        "FEATURESCOPE_DEVICE": "cpu",
        "FEATURESCOPE_WORKER_THREADS": "3",
        "FEATURESCOPE_LOG_LEVEL": "warning",
        "FEATURESCOPE_LOG_FORMAT": "text",
        "FEATURESCOPE_WORKER_SECRET": process.secret,
    }
    assert len(process.secret) > 30
    assert process.secret != WorkerProcess(settings).secret
    assert "u:secret" not in str(environment)


PARENT = """
import sys, time
from app.settings import Settings
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.client.blocking import WorkerClient
from app.worker.client.supervisor import WorkerPhase, WorkerProcess
from tests.app.worker.workbenches import request

def command(descriptor):
    return [sys.executable, "-m", "tests.app.worker.workbenches", str(descriptor)]

process = WorkerProcess(Settings(home=sys.argv[1]), command)
process.start()
while process.state.phase != WorkerPhase.READY:
    time.sleep(0.02)
stream = WorkerClient(process.url, secret=process.secret).ask(request([50] * 1000))
next(stream)
print(process.state.pid, flush=True)
time.sleep(60)
"""


def test_killing_the_parent_leaves_no_orphan(tmp_path: Path, until: Until) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not alive(child), seconds=10)


def test_supervisor_and_client_live_without_torch() -> None:
    code = (
        "import sys, app.worker.client.ablations, app.worker.client.blocking; "
        "import app.worker.client.supervisor, app.worker.process.server; "
        "found = {'torch', 'transformers', 'transformer_lens'} & set(sys.modules); "
        "sys.exit(f'imported: {found}' if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
