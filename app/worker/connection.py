"""A client's connection: work that goes on only as long as somebody waits for its answer.

A client takes a request back by leaving. Both servers, that of the pages and the worker, end what
nobody will read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled as soon as the client has left.

    Starlette's own StreamingResponse notices a client that has left only at the next send under
    some servers; here the disconnection itself is awaited, whatever the work is doing.

    Args:
        receive: the ASGI channel from the client, whose body has been read.
        work: runs as a task of its own; what it raises is raised here.

    Raises:
        ClientDisconnect: the client left before the work was done.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        # Both are awaited, so that whatever the work had opened is closed on return.
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
