"""What one worker takes on."""

from __future__ import annotations

from dataclasses import dataclass, field

from sae_core.files.memory import physical_memory


@dataclass(frozen=True)
class Limits:
    """Bounds that keep one request, or a crowd, from taking the worker down.

    Attributes:
        jobs: requests held at once, the running one included; more get a 503.
        body_bytes: longest request body; longer ones get a 413.
        body_seconds: longest time for a request body to arrive.
        contexts: contexts in one request.
        deadline_seconds: longest life of a request, waiting and loading included.
        heartbeat_seconds: longest silence on a stream: then comes an empty line.
        memory_bytes: room for the weights of models and dictionaries kept loaded.
    """

    jobs: int = 256
    body_bytes: int = 4 * 2**20
    body_seconds: float = 30.0
    contexts: int = 1024
    deadline_seconds: float = 300.0
    heartbeat_seconds: float = 5.0
    memory_bytes: int = field(default_factory=lambda: physical_memory() // 2)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ValueError(f"{name} is {value}, but a worker without {name} does nothing")
