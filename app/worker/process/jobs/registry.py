"""The kinds of work: each a generator of events that runs on the device thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from app.worker.process.jobs.ablate import ablate_contexts
from app.worker.process.jobs.chat import answer_chat
from app.worker.process.jobs.embed import embed_text
from app.worker.process.jobs.graph import check_graph, judge_graph, trace_graph
from app.worker.process.jobs.levels import read_texts_levels
from app.worker.process.jobs.paths import (
    compose_node,
    explain_score,
    scale_nodes,
    split_node,
)
from app.worker.process.jobs.prompt import (
    ablate_together,
    attribute_prediction,
    occlude_tokens,
    read_maxima,
    read_text,
)
from app.worker.process.jobs.steer import steer_text, sweep_strengths
from app.worker.process.jobs.step import try_steering
from app.worker.process.limits import Limits
from app.worker.process.shared import SharedWork
from app.worker.process.shelf import Shelf
from app.worker.protocol.chats import ChatRequest
from app.worker.protocol.events import Event
from app.worker.protocol.kinds import STREAMS
from app.worker.protocol.monitors import LevelsRequest
from app.worker.protocol.paths import (
    ComposeNodeRequest,
    ExplainScoreRequest,
    ScaleNodesRequest,
    SplitNodeRequest,
)
from app.worker.protocol.requests import (
    AblateRequest,
    AttributeRequest,
    CheckGraphRequest,
    DoseRequest,
    EmbedRequest,
    GraphRequest,
    JudgeGraphRequest,
    MaximaRequest,
    OccludeRequest,
    ReadRequest,
    SteerRequest,
    TogetherRequest,
    TryStepRequest,
    WorkRequest,
)
from sae_core.errors import ModelError

JOBS: dict[type[WorkRequest], Callable[[Any, Shelf, Limits], Iterator[Event]]] = {
    AblateRequest: ablate_contexts,
    ReadRequest: read_text,
    MaximaRequest: read_maxima,
    EmbedRequest: embed_text,
    AttributeRequest: attribute_prediction,
    TogetherRequest: ablate_together,
    OccludeRequest: occlude_tokens,
    SteerRequest: steer_text,
    DoseRequest: sweep_strengths,
    ChatRequest: answer_chat,
    GraphRequest: trace_graph,
    CheckGraphRequest: check_graph,
    JudgeGraphRequest: judge_graph,
    SplitNodeRequest: split_node,
    ComposeNodeRequest: compose_node,
    ExplainScoreRequest: explain_score,
    ScaleNodesRequest: scale_nodes,
    TryStepRequest: try_steering,
    LevelsRequest: read_texts_levels,
}


class Workbench(Protocol):
    """What the worker's application needs of the part that computes."""

    def prepare(self) -> None:
        """Make ready to work; the first thing the device thread does."""

    def work(self, request: WorkRequest) -> Iterator[Event]:
        """Steps that answer the request, as its class says, with Progress in between."""


def default_threads() -> int:
    """Half of the processors that this process may use, at least one.

    Two threads of one core gain nothing, and threads that wait for one another in every small
    product lose everything as soon as the web process or a browser wants a processor, too.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (usable or 1) // 2)


class TorchWorkbench:
    """The workbench that computes. Everything but its construction runs on the device thread."""

    def __init__(self, device: str, threads: int | None, limits: Limits) -> None:
        self._device = device
        self._threads = threads
        self._limits = limits
        self._shelf = Shelf(device, limits.memory_bytes)
        self._streams = SharedWork()

    def prepare(self) -> None:
        """Import all that loading a model needs, which takes seconds, and look for the device.

        Raises:
            ModelError: this machine has no such device.
        """
        import torch
        from transformers import AutoModelForCausalLM, PreTrainedModel  # noqa: F401

        import sae_core.interventions.ablation
        import sae_core.interventions.attribution
        import sae_core.interventions.dose_response
        import sae_core.interventions.occlusion  # noqa: F401

        torch.set_num_threads(self._threads or default_threads())
        try:
            torch.zeros(1, device=self._device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ModelError(
                f"This machine has no usable device {self._device!r} ({error}); set "
                "FEATURESCOPE_DEVICE=cpu, or leave it away."
            ) from error

    def work(self, request: WorkRequest) -> Iterator[Event]:
        """The job of the request's kind; streams of equal requests are one.

        A request names its model and dictionaries by their checksums and its randomness by a seed,
        so that equal ones have equal answers.
        """

        def begin() -> Iterator[Event]:
            return JOBS[type(request)](request, self._shelf, self._limits)

        if not isinstance(request, STREAMS):
            return begin()
        question = request.model_dump_json(exclude={"deadline_seconds"})
        return self._streams.events(f"{request.path} {question}", begin)
