"""What a request's exception tells its user, and what it leaves behind on the device."""

from __future__ import annotations

import gc
import logging
import sys

from app.errors import InvalidRequest
from app.worker.protocol.events import Failed, FailureCode
from sae_core.errors import (
    ChatError,
    CircuitError,
    FeaturescopeError,
    PromptError,
    PromptLengthError,
    RoomError,
    SteeringError,
)

INTERNAL = "The worker met a defect and gave this request up; its log has the details."
MEMORY = (
    "The device ran out of memory on this request; the others go on. Ask for fewer or shorter "
    "contexts at a time, or use a smaller model."
)

log = logging.getLogger(__name__)


def failure(error: BaseException) -> Failed:
    """The last event of the request that raised `error`; other requests never notice it."""
    if isinstance(error, InvalidRequest | ChatError | CircuitError | PromptError | SteeringError):
        return Failed(code=FailureCode.INVALID, message=str(error), field=_field(error))
    if isinstance(error, FeaturescopeError):
        return Failed(code=FailureCode.REFUSED, message=str(error))
    log.error("a request failed", exc_info=error)
    # The traceback's frames hold the tensors that filled the memory.
    error.__traceback__ = error.__context__ = error.__cause__ = None
    if _out_of_memory(error):
        _give_memory_back()
        return Failed(code=FailureCode.MEMORY, message=MEMORY)
    return Failed(code=FailureCode.INTERNAL, message=INTERNAL)


def _field(error: BaseException) -> str:
    """The value of the request that the error is about; empty: none alone."""
    if isinstance(error, InvalidRequest):
        return error.field
    if isinstance(error, PromptLengthError):
        return "prompt"
    return "n_tokens" if isinstance(error, RoomError) else ""


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    # torch.OutOfMemoryError on CUDA and MPS, a plain RuntimeError on the CPU.
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
    )


def _give_memory_back() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
