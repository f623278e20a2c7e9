"""`featurescope mcp`: the pages for agents, by the Model Context Protocol."""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.cli.options import PORT, Commands

_PATIENCE = 20  # seconds that a server of our own has to end


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "mcp",
        help="answer agents by the Model Context Protocol, on standard input and output",
        description="Agents find features, read them, try texts of their own and steer; every "
        "answer has an address and a digest. They cannot write unless that is allowed. "
        "docs/mcp.md says how a client is told of it.",
    )
    parser.add_argument(
        "--url",
        metavar="URL",
        help="of a running `featurescope serve` (default: one is started for as long as this runs)",
    )
    parser.add_argument(
        "--allow-write", action="store_true", help="let agents write labels and lists"
    )
    parser.add_argument(
        "--http",
        type=PORT,
        metavar="PORT",
        help="answer over HTTP at http://127.0.0.1:PORT/mcp instead; there is no login",
    )
    parser.set_defaults(command=run, interrupted="Stopped.")


def run(arguments: argparse.Namespace) -> None:
    """Answer an agent until it is gone."""
    from app.client import FeaturescopeClient
    from app.client.agents.server import agent_server, serve_agents
    from app.client.agents.tools import AgentTools
    from app.errors import InvalidRequest

    if arguments.url is not None and not arguments.url.startswith(("http://", "https://")):
        raise InvalidRequest("--url begins with http:// or https://, as `serve` prints it.")
    with _served(arguments.url) as address:
        lock = threading.Lock()
        made: list[AgentTools] = []

        def tools() -> AgentTools:
            with lock:
                if not made:
                    made.append(AgentTools(FeaturescopeClient(address()), address()))
                return made[0]

        try:
            serve_agents(agent_server(tools, arguments.allow_write), arguments.http)
        finally:
            for one in made:
                one.client.close()


@contextmanager
def _served(url: str | None) -> Iterator[Callable[[], str]]:
    """What says where a server answers; one of our own lives as long as the block, and is waited
    for when it is first asked after: agents are greeted meanwhile."""
    from app.errors import StoreError

    if url is not None:
        yield lambda: url.rstrip("/")
        return
    command = [sys.executable, "-m", "app", "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        found: list[str] = []

        def address() -> str:
            assert process.stdout is not None
            if not found:
                words = process.stdout.readline().split()
                found.extend(word for word in words if word.startswith("http://"))
            if not found:
                raise StoreError(
                    "`featurescope serve` did not start: run it in a terminal, it says why."
                )
            return found[0].rstrip("/")

        try:
            yield address
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
