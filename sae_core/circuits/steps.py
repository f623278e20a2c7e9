"""Long work as short steps, between which others may have their turn."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")


def finished(
    steps: Generator[Step, None, Result],
    on_progress: Callable[[Step], None] | None = None,
) -> Result:
    """The result of all steps, done one after the other; a call after each may raise, to stop."""
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        if on_progress is not None:
            on_progress(progress)
