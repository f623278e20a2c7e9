"""The worker as the web process's child: `python -m app.worker DESCRIPTOR`.

The parent has bound the socket already and passes its descriptor: nobody can take the port in
between, and it stays the same over restarts.
"""

from __future__ import annotations

import os
import socket
import sys

from app.settings import read_settings
from app.worker.process.server import create_worker, serve_on

NICE = 10  # pages take milliseconds of a processor that the worker would take whole seconds of

if __name__ == "__main__":
    os.nice(NICE)
    settings = read_settings()
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        serve_on(listening, settings, create_worker(settings), stop_with_stdin=True)
