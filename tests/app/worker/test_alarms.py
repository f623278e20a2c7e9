"""Where alarms go: the webhook's addresses, its limits, and the desk that delays nobody."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.store.written.audit.monitors.records import AlarmRecord
from app.worker.alarms import webhook
from app.worker.alarms.desk import AlarmDesk, alarm_document
from app.worker.alarms.webhook import WebhookFailed, is_private, post

ALARM = AlarmRecord("rude", "watch", "line 3", 2.5, "mark", ("so ", "bad", " it is"))


def _whole(connection: socket.socket) -> bytes:
    """A request with its body, which may come later than its head."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < length and (more := connection.recv(65536)):
        body += more
    return head + b"\r\n\r\n" + body


@contextmanager
def server(answer: bytes, pause: float = 0.0) -> Iterator[tuple[int, list[bytes]]]:
    """A server on loopback that gives one answer to everybody, byte by byte where it pauses."""
    heard: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                heard.append(_whole(connection))
                try:
                    for n in range(len(answer)) if pause else ():
                        connection.sendall(answer[n : n + 1])
                        time.sleep(pause)
                    if not pause:
                        connection.sendall(answer)
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1], heard
    finally:
        listening.close()


OK = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"


def test_a_document_is_posted_where_that_is_allowed() -> None:
    with server(OK) as (port, heard):
        post(f"http://127.0.0.1:{port}/hook?key=1", alarm_document(ALARM), 5, private=True)
    assert heard[0].startswith(b"POST /hook?key=1 HTTP/1.1\r\n")
    assert b'"excerpt": {"before": "so ", "token": "bad", "behind": " it is"}' in heard[0]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::ffff:127.0.0.1]:{port}/"],
)
def test_addresses_of_this_machine_are_refused(url: str) -> None:
    with server(OK) as (port, heard), pytest.raises(WebhookFailed, match="WEBHOOK_PRIVATE"):
        post(url.format(port=port), {}, 5, private=False)
    assert heard == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0"),
        *("fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "ff02::1"),
    ],
)
def test_what_is_private(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_what_is_not(address: str) -> None:
    assert not is_private(address)


def test_the_address_that_was_looked_at_is_the_one_that_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that is public when it is looked at, and private the next time, leads nowhere else."""
    asked: list[str] = []
    connected: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(_: Any, host: str, *__: Any) -> Any:
        connected.append(host)
        raise OSError("no network in a test")

    monkeypatch.setattr(webhook.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(webhook.httpcore.SyncBackend, "connect_tcp", connect)
    with pytest.raises(WebhookFailed, match="cannot be reached"):
        post("http://rebinding.example/", {}, 5, private=False)
    assert (asked, connected) == (["rebinding.example"], ["93.184.216.34"])


def test_one_private_address_among_several_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(_: str, port: int, **__: Any) -> list[Any]:
        every = ("8.8.8.8", "10.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in every]

    monkeypatch.setattr(webhook.socket, "getaddrinfo", resolve)
    with pytest.raises(WebhookFailed, match="WEBHOOK_PRIVATE"):
        post("http://both.example/", {}, 5, private=False)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n", "302"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "it answered 500"),
        (b"nonsense\r\n\r\n", "cannot be reached"),
    ],
)
def test_what_is_not_taken_is_said(answer: bytes, words: str) -> None:
    with server(answer) as (port, heard), pytest.raises(WebhookFailed, match=words):
        post(f"http://127.0.0.1:{port}/", {}, 5, private=True)
    assert len(heard) == 1  # no redirect was followed, nothing tried again


def test_a_server_that_speaks_slowly_has_no_more_time() -> None:
    with server(OK, pause=0.2) as (port, _), pytest.raises(WebhookFailed, match=r"within 0\.5 s"):
        post(f"http://127.0.0.1:{port}/", {}, 0.5, private=True)


@pytest.mark.parametrize("url", ["ftp://example.com/", "http://", "http://nowhere.invalid/"])
def test_strange_addresses(url: str) -> None:
    with pytest.raises(WebhookFailed):
        post(url, {}, 2, private=False)


class PretendStore:
    """Remembers what is kept."""

    def __init__(self) -> None:
        self.audit = self.monitors = self
        self.kept: list[tuple[AlarmRecord, str]] = []

    def raise_alarm(self, alarm: AlarmRecord, webhook: str) -> None:
        self.kept.append((alarm, webhook))


def test_the_desk_delays_nobody_and_says_what_became_of_the_webhook() -> None:
    store, held, posted = PretendStore(), threading.Event(), list[dict[str, Any]]()

    def slow(body: dict[str, Any]) -> None:
        held.wait(10)
        posted.append(body)
        if len(posted) > 1:
            raise WebhookFailed("it answered 500")

    desk = AlarmDesk(store, slow)  # type: ignore[arg-type]
    desk.take(ALARM)
    desk.take(ALARM)
    assert store.kept == []  # `take` came back although the webhook hangs
    held.set()
    desk.close()
    assert [webhook for _, webhook in store.kept] == ["sent", "it answered 500"]
    assert posted[0] == alarm_document(ALARM)


def test_without_a_webhook_alarms_are_kept_alone() -> None:
    store = PretendStore()
    desk = AlarmDesk(store)  # type: ignore[arg-type]
    desk.take(ALARM)
    desk.close()
    assert store.kept == [(ALARM, "")]
    desk.close()


def test_too_many_at_once_are_kept_without_the_webhook() -> None:
    store, held = PretendStore(), threading.Event()
    desk = AlarmDesk(store, lambda _: bool(held.wait(10)) and None, waiting=1)  # type: ignore[arg-type]
    for _ in range(5):
        desk.take(ALARM)
    held.set()
    desk.close()
    kept = [webhook for _, webhook in store.kept]
    assert len(kept) == 5
    assert "too many alarms at once" in kept
    assert kept[-1] == "sent"
