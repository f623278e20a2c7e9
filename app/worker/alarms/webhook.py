"""One JSON document posted to an address that somebody configured, and to no other.

The name is resolved, every address that it has is looked at, and the connection is made to an
address that was looked at: a name that answers otherwise the next time leads nowhere. Redirects are
not followed, no proxy is used, and all of it together has a time limit.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore
from typing_extensions import override

from app.errors import FeaturescopeError

_NAT64 = IPv6Network("64:ff9b::/96")
_FAILURES = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError)


class WebhookFailed(FeaturescopeError):
    """A webhook was not taken."""


def post(url: str, body: Mapping[str, Any], seconds: float, private: bool) -> None:
    """Post a JSON document.

    Args:
        url: http or https.
        body: the document.
        seconds: that all of it may take.
        private: whether addresses of this machine and its network may be posted to.

    Raises:
        WebhookFailed: it was not taken, or its address may not be posted to; without the address,
            which may hold a secret.
    """
    backend = _CheckedNetwork(time.monotonic() + seconds, private)
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=ssl.create_default_context(), network_backend=backend, retries=0
            ) as pool,
            pool.stream(
                "POST",
                url,
                headers={"Content-Type": "application/json", "User-Agent": "featurescope"},
                content=json.dumps(body).encode(),
                extensions={"timeout": timeout},
            ) as answer,
        ):
            status = answer.status
    except (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError, ValueError) as error:
        raise WebhookFailed("its address is none that can be posted to") from error
    except httpcore.TimeoutException as error:
        raise WebhookFailed(f"no answer within {seconds:g} s") from error
    except _FAILURES as error:
        raise WebhookFailed("it cannot be reached") from error
    if not 200 <= status < 300:
        moved = ", and redirects are not followed" if 300 <= status < 400 else ""
        raise WebhookFailed(f"it answered {status}{moved}")


class _CheckedNetwork(httpcore.NetworkBackend):
    """Connects to addresses that were looked at, until a moment of the monotonic clock."""

    def __init__(self, until: float, private: bool) -> None:
        self._until = until
        self._private = private
        self._network = httpcore.SyncBackend()

    @override
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise WebhookFailed("its name is not known") from error
        addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
        if not self._private and any(is_private(one) for one in addresses):
            raise WebhookFailed(
                "it is an address of this machine or its network, which "
                "FEATURESCOPE_WEBHOOK_PRIVATE would allow"
            )
        stream = self._network.connect_tcp(
            addresses[0], port, _left(self._until), local_address, socket_options
        )
        return _TimedStream(stream, self._until)

    @override
    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        raise WebhookFailed("it is a socket of this machine")

    @override
    def sleep(self, seconds: float) -> None:
        del seconds  # there are no retries


class _TimedStream(httpcore.NetworkStream):
    """A connection that ends at a moment, however slowly the other side speaks."""

    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream = stream
        self._until = until

    @override
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._until))

    @override
    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._until))

    @override
    def close(self) -> None:
        self._stream.close()

    @override
    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        inner = self._stream.start_tls(ssl_context, server_hostname, _left(self._until))
        return _TimedStream(inner, self._until)

    @override
    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def is_private(address: str) -> bool:
    """Whether an address is of this machine, its network, or of no place at all.

    What is written inside of an IPv6 address is looked at, too.
    """
    own = ip_address(address.partition("%")[0])
    return any(not one.is_global or one.is_multicast for one in (own, *_inside(own)))


def _inside(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inside.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in inside if one is not None]


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise httpcore.TimeoutException("its time is over")
    return left
