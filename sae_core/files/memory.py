"""How much memory this machine has, and has left."""

from __future__ import annotations

import os
from pathlib import Path

_FACTS = Path("/proc/meminfo")


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
