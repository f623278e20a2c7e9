"""How much memory this machine has, and has left."""

from __future__ import annotations

import os
from pathlib import Path

from sae_core.errors import CheckpointError

_FACTS = Path("/proc/meminfo")
_GIB = 2**30


def check_memory(path: Path, needed: int, instead: str) -> None:
    """Refuse a dictionary that takes more bytes than are free.

    Raises:
        CheckpointError: it does; the sentence has both numbers and what to do `instead`.
    """
    if needed > (there := available_memory()):
        raise CheckpointError(
            f"{path} needs {needed / _GIB:,.1f} GiB of memory, and {there / _GIB:,.1f} GiB are "
            f"free: {instead}, or use a machine with more."
        )


def available_memory() -> int:
    """Bytes that can be used without swapping; where the system does not say, all there are."""
    try:
        for line in _FACTS.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return physical_memory()


def physical_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
