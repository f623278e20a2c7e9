"""`featurescope worker`: the process that holds the model, by itself."""

from __future__ import annotations

import argparse

from app.cli.options import PORT, Commands, add_device


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "worker", help="run the process that holds the model, for pages served elsewhere"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=PORT, default=8001, help="port (default: %(default)s)")
    parser.add_argument(
        "--allow-network",
        action="store_true",
        help="agree to an address that other machines reach; there is no login",
    )
    add_device(parser)
    parser.set_defaults(command=run, interrupted="Stopped.")


def run(arguments: argparse.Namespace) -> None:
    """Run the worker until interrupted."""
    from app.listening import check_address
    from app.settings import read_settings
    from app.worker.process.server import serve_worker

    settings = read_settings(device=arguments.device)
    check_address(arguments.host, arguments.allow_network, "uses the worker")
    serve_worker(settings, arguments.host, arguments.port)
