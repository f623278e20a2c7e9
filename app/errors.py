"""The exceptions of the product. Each message is a sentence that says what to do next.

One place per medium turns them into a page, JSON, or a line on the terminal.
"""

from __future__ import annotations

import errno

from sae_core.errors import FeaturescopeError

__all__ = [
    "DISK_FULL",
    "BodyTooLong",
    "Conflict",
    "FeaturescopeError",
    "InvalidRequest",
    "NotFound",
    "Overloaded",
    "ReaderGone",
    "Refused",
    "SettingsError",
    "StoreError",
    "WorkerUnavailable",
    "disk_is_full",
]


DISK_FULL = "The disk is full. Make room and run it again; what was published is intact."


def disk_is_full(error: BaseException) -> bool:
    """Whether a failure outside of the store means that the disk is full."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # safetensors says the system's reason in its own error, and only in words.
    return f"os error {errno.ENOSPC})" in str(error)


class NotFound(FeaturescopeError):
    """There is no such model, dictionary, feature or context."""


class Conflict(FeaturescopeError):
    """What is asked for would undo what somebody else keeps; asked for expressly, it is done."""


class InvalidRequest(FeaturescopeError):
    """What is asked for makes no sense: an unknown sort key, a page below one.

    Attributes:
        field: the value that it is about, as questions name it (`edits.0`); empty: none alone.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class BodyTooLong(FeaturescopeError):
    """A request has a longer body than is taken."""


class Refused(FeaturescopeError):
    """Whoever asks may not ask for this."""


class SettingsError(FeaturescopeError):
    """A setting is malformed, or two settings contradict each other."""


class StoreError(FeaturescopeError):
    """The store cannot be read or written: full disk, locked, or another schema."""


class WorkerUnavailable(FeaturescopeError):
    """The worker does not answer; it is starting, restarting, or out of reach."""


class ReaderGone(WorkerUnavailable):
    """Nobody reads the answer any longer."""


class Overloaded(FeaturescopeError):
    """The worker has more work than it takes on.

    Attributes:
        retry_after: seconds after which asking again makes sense.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
