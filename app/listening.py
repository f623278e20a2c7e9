"""Addresses to listen on: which are refused, how each is opened, under which names it answers."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import SettingsError

LISTEN_QUEUE = 128


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, allowed: bool, what: str) -> None:
    """Refuse an address that other machines reach unless that was asked for; then say so.

    Raises:
        SettingsError: the address is not loopback and `allowed` is False.
    """
    if is_loopback(host):
        return
    meaning = f"there is no login: everybody who reaches this address {what}"
    if not allowed:
        raise SettingsError(
            f"{host} can be reached by other machines, and {meaning}. "
            "Say --allow-network if that is what you want, or leave --host away."
        )
    print(f"Warning: {host} can be reached by other machines; {meaning}.", file=sys.stderr)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    It names its protocol: of a nameless one asyncio does not know that it is TCP, and leaves small
    answers waiting for the other side's acknowledgement, 40 ms each.

    Raises:
        SettingsError: the port is taken or forbidden, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        raise SettingsError(
            f"{host} is no address: give a name or number of this machine."
        ) from None
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(LISTEN_QUEUE)
    except OSError as error:
        opened.close()
        raise SettingsError(_why_not(host, port, error)) from None
    return opened


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken by another program. Choose another with "
            "--port NUMBER (with make: make demo PORT=NUMBER), or --port 0 for any free one."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} is reserved for the system. Choose one above 1023 with --port NUMBER."
    return f"Nothing can be served on {host} port {port}: {error.strerror}."


def url_of(listening: socket.socket) -> str:
    """The address to open in a browser."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:  # every address of this machine: name one
        host = "::1" if ":" in host else "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"


def announce(what: str, listening: socket.socket) -> None:
    """Print on the terminal where a server can be reached."""
    print(f"{what} is at {url_of(listening)}  (Ctrl-C stops it)", flush=True)


def known_hosts(host: str, allowed: Sequence[str]) -> tuple[frozenset[str], bool]:
    """The host names under which a server on an address answers, and whether numbers do, too.

    A number cannot be pointed elsewhere, so that a network's address answers to all of them.
    """
    if is_loopback(host):
        return frozenset(allowed), False
    own = socket.gethostname().lower()
    return frozenset((own, f"{own}.local", host.lower(), *allowed)), True


class KnownHosts:
    """Refuses host names that are not this server's own.

    A page elsewhere may point a name of its own at this address (DNS rebinding) and would then read
    these pages through the browser; the Host header gives it away.

    Args:
        app: what answers otherwise.
        names: under which it may be opened, besides this machine's own.
        numbers: whether any numeric address will do.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str], numbers: bool) -> None:
        self.app = app
        self._names = names
        self._numbers = numbers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, or refuse."""
        if scope["type"] in ("http", "websocket") and not self._knows(scope):
            sentence = (
                "This Featurescope does not answer to that name. Open it by its number, or allow "
                "the name with FEATURESCOPE_ALLOWED_HOSTS.\n"
                if self._numbers
                else "This Featurescope serves its own machine only. Open it as http://127.0.0.1 "
                "or http://localhost with its port.\n"
            )
            await PlainTextResponse(sentence, status_code=400)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        """Whether the Host header, without its port, names this server."""
        host = Headers(scope=scope).get("host", "").lower()
        name, _, port = host.rpartition(":")
        host = (name if name and port.isdigit() else host).strip("[]")
        return is_loopback(host) or host in self._names or (self._numbers and _is_number(host))


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
