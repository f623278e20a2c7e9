"""Connections that say nothing, or not all, keep nobody else out."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app.store.store import Store
from app.worker import server_limits
from app.worker.server_limits import BoundedConnection
from tests.app.pretend.prompts import PretendPrompts
from tests.app.pretend.served import Served

MOST = 8


@pytest.fixture
def address(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(BoundedConnection, "most", MOST)
    monkeypatch.setattr(BoundedConnection, "head_seconds", 5.0)
    monkeypatch.setattr(BoundedConnection, "body_seconds", 0.3)
    with Served(sqlite_store, tmp_path, PretendPrompts()) as url:
        yield "127.0.0.1", int(url.rpartition(":")[2])


def test_silent_connections_make_room(
    address: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    silent = [socket.create_connection(address, timeout=30) for _ in range(5 * MOST)]
    try:
        for _ in range(3):
            assert httpx.get("http://{}:{}/healthz".format(*address), timeout=30).is_success
        assert silent[0].recv(1) == b""  # the longest silent one was closed
        lines = [one for one in caplog.records if "more connections" in one.getMessage()]
        assert len(lines) == 1
    finally:
        for connection in silent:
            connection.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: loc",
        b"",
        b"POST /m/demo/prompt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ntext=",
    ],
)
def test_what_never_ends_is_given_up(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(BoundedConnection, "head_seconds", 0.3)
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_a_request_may_take_longer_than_its_head(address: tuple[str, int]) -> None:
    """Keep-alive: the second request begins anew."""
    with httpx.Client(base_url="http://{}:{}".format(*address), timeout=30) as client:
        for _ in range(2):
            assert client.get("/healthz").is_success


def test_the_bound_follows_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {1024: 416, 256: 32, 64: 16, 2**20: server_limits.MOST_CONNECTIONS}
    for soft, most in limits.items():
        monkeypatch.setattr(server_limits.resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert server_limits.most_connections() == most
