"""The most memory that this process held since a moment."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import torch

_SELF = Path("/proc/self")


def forget_peak() -> None:
    """Begin to watch. Where the system cannot, the peak is that of the whole process."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        (_SELF / "clear_refs").write_text("5")  # Linux: the peak becomes what is held now
    except OSError:
        return


def peak_bytes() -> int:
    """Most resident memory since `forget_peak`, that of the GPU added."""
    on_gpu = int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else 0
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", (_SELF / "status").read_text())
    except OSError:
        match = None
    if match:
        return on_gpu + 1024 * int(match[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return on_gpu + unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
