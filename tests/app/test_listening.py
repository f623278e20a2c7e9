from __future__ import annotations

import socket

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from app.errors import SettingsError
from app.listening import (
    KnownHosts,
    check_address,
    is_loopback,
    known_hosts,
    listen,
    url_of,
)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    check_address(host, False, "reads all pages")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.test", ""])
def test_other_addresses_need_an_explicit_option(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_loopback(host)
    with pytest.raises(SettingsError, match="--allow-network"):
        check_address(host, False, "reads all pages")
    check_address(host, True, "reads all pages")
    assert "there is no login: everybody who reaches" in capsys.readouterr().err


def test_a_taken_port_is_named_with_the_way_out() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(SettingsError, match=f"Port {port} on 127.0.0.1 is taken.*--port"):
            listen("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"Nothing can be served on 192\.0\.2\.1"):
        listen("192.0.2.1", 0)
    with pytest.raises(SettingsError, match="is no address"):
        listen("no such host", 0)


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")]
)
def test_the_url_opens_in_a_browser(host: str, shown: str) -> None:
    with listen(host, 0) as listening:
        assert url_of(listening) == f"http://{shown}:{listening.getsockname()[1]}/"


@pytest.mark.parametrize(
    ("host", "allowed", "asked", "status"),
    [
        ("127.0.0.1", (), "localhost:8000", 200),
        ("127.0.0.1", (), "192.0.2.1", 400),
        ("127.0.0.1", ("near.test",), "near.test", 200),
        ("0.0.0.0", (), "192.0.2.1:8000", 200),
        ("0.0.0.0", (), "[2001:db8::1]:8000", 200),
        ("0.0.0.0", (), socket.gethostname(), 200),
        ("0.0.0.0", (), "elsewhere.test", 400),
        ("0.0.0.0", ("near.test",), "near.test:80", 200),
    ],
)
def test_host_names(host: str, allowed: tuple[str, ...], asked: str, status: int) -> None:
    app = KnownHosts(PlainTextResponse("here"), *known_hosts(host, allowed))
    answer = TestClient(app).get("/", headers={"Host": asked})
    assert answer.status_code == status
