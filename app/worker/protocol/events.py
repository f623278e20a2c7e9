"""What the worker answers: frozen types, no functions, no torch.

An answer is a stream of events, one JSON document a line (NDJSON). Empty lines mean "still at it".
The last event is always `Done` or `Failed`; a stream that ends without either was cut off. Before
the stream starts the worker may refuse with a status of 413, 415, 422 or 503 and one `Failed` as
body.

Arrays travel as base64 of their little-endian bytes: float32 values arrive bit for bit.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from app.worker.protocol.chats import ChatResult
from app.worker.protocol.monitors import LevelsRead
from app.worker.protocol.requests import Message, Token


class FailureCode(StrEnum):
    """Why a request ended without its result."""

    INVALID = "invalid"
    """The request contradicts the model or the dictionary, or is malformed or too large."""
    REFUSED = "refused"
    """Weights are missing, damaged, or not the ones that were asked for."""
    OVERLOADED = "overloaded"
    """The queue is full; come back after `retry_after` seconds."""
    DEADLINE = "deadline"
    """Time ran out."""
    MEMORY = "memory"
    """The device ran out of memory."""
    STOPPED = "stopped"
    """The worker is shutting down."""
    INTERNAL = "internal"
    """A defect; the worker's log has the traceback."""


class ContextDone(Message):
    """The effect on one context; the fields of `ContextEffect`, packed."""

    event: Literal["context"] = "context"
    index: int = Field(ge=0, description="Position of the context in the request.")
    positions: bytes = Field(description="uint16 [n]")
    loss_change: bytes = Field(description="float32 [n]")
    raised_ids: bytes = Field(description="int32 [n, k]")
    raised: bytes = Field(description="float32 [n, k]")
    lowered_ids: bytes = Field(description="int32 [n, k]")
    lowered: bytes = Field(description="float32 [n, k]")


class Progress(Message):
    """How far the request is."""

    event: Literal["progress"] = "progress"
    done: int = Field(ge=0)
    total: int = Field(ge=0)


class TokensRead(Message):
    """The prompt as the model sees it. BOS comes first where the model has one, never twice."""

    event: Literal["prompt"] = "prompt"
    tokens: bytes = Field(description="int32 [n]")
    loss: bytes = Field(description="float32 [n], nats; NaN for the first")
    predicted: bytes = Field(description="int32 [n, k]: the likeliest tokens after each, k = 5")
    probabilities: bytes = Field(description="float32 [n, k], theirs")


class FiringsRead(Message):
    """All firings of one dictionary on the prompt, special tokens left out, ordered by position."""

    event: Literal["firings"] = "firings"
    index: int = Field(ge=0, description="Place of the dictionary in the request.")
    positions: bytes = Field(description="int32 [n]")
    features: bytes = Field(description="int32 [n]")
    values: bytes = Field(description="float32 [n], model units")


class MaximaRead(Message):
    """The largest activation on one text of each feature that fires on it."""

    event: Literal["maxima"] = "maxima"
    index: int = Field(ge=0, description="Place of the text in the request.")
    features: bytes = Field(description="int32 [n], ascending")
    maxima: bytes = Field(description="float32 [n], model units")


class TextEmbedded(Message):
    """A text as a vector of length 1."""

    event: Literal["embedded"] = "embedded"
    vector: bytes = Field(description="float32 [d]")


class Estimated(Message):
    """First-order estimates: the gradient of the loss of the target along each ablation."""

    event: Literal["estimated"] = "estimated"
    log_probability: float = Field(description="Of the target, undisturbed, nats.")
    features: bytes = Field(description="int32 [n], every feature in question, ascending")
    loss_change: bytes = Field(description="float32 [n], nats")


class Attributed(Message):
    """Exact changes of some features: log p_clean - log p_ablated of the target."""

    event: Literal["attributed"] = "attributed"
    features: bytes = Field(description="int32 [n]")
    loss_change: bytes = Field(description="float32 [n], nats; positive: it helped")


class Together(Message):
    """The exact change when all features of a set are ablated at once."""

    event: Literal["together"] = "together"
    loss_change: float


class OcclusionBase(Message):
    """The activation that nothing is left out of."""

    event: Literal["occlusion_base"] = "occlusion_base"
    position: int = Field(ge=0, description="Where it is read.")
    activation: float


class Occluded(Message):
    """The activation with single tokens left out or replaced."""

    event: Literal["occluded"] = "occluded"
    positions: bytes = Field(description="int32 [n], of the token that is missing")
    activations: bytes = Field(description="float32 [n]; NaN where nothing is left to read")


class SteerBegan(Message):
    """The prompt has been read."""

    event: Literal["began"] = "began"
    tokens: bytes = Field(description="int32 [n], BOS first where the model has one")


class Pane(StrEnum):
    """Which of two texts."""

    UNSTEERED = "unsteered"
    STEERED = "steered"


class Generated(Message):
    """One more token of one text."""

    event: Literal["token"] = "token"
    pane: Pane
    step: int = Field(ge=0, description="From 0.")
    token: Token
    probability: float = Field(description="Under the model that drew it, before temperature.")
    text: str = Field(description="The characters that are complete with this token; may be empty.")
    end: bool = Field(default=False, description="Whether the text ends with this token.")


class Traits(Message):
    """The generated tokens of one text in numbers, one row a token."""

    event: Literal["traits"] = "traits"
    pane: Pane
    unsteered: bytes = Field(description="float32 [n]: probability under the unsteered model")
    steered: bytes = Field(description="float32 [n]: probability under the steered model")
    features: bytes = Field(description="int32 [n, k]: most active on the token; -1: none")
    activations: bytes = Field(description="float32 [n, k], as the model had them, edits included")
    perplexity: float = Field(description="Of the generated text under the unsteered model.")


class SideEffects(Message):
    """Features whose mean activation over the generated tokens differs most between the texts."""

    event: Literal["side_effects"] = "side_effects"
    features: bytes = Field(description="int32 [n]")
    unsteered: bytes = Field(description="float32 [n], mean activation over the unsteered text")
    steered: bytes = Field(description="float32 [n], over the steered text")
    reads: tuple[float, ...] = Field(
        description="For each edit, the mean activation that its feature reads in steered text."
    )


class DoseBase(Message):
    """The unsteered model on the same prompt."""

    event: Literal["dose_base"] = "dose_base"
    perplexity: float = Field(description="Of its own continuation.")
    activation: float = Field(description="Mean activation of the feature over the prompt.")
    probabilities: tuple[float, ...] = Field(
        description="Of the watched tokens after the prompt, in their order."
    )
    distinct: float = Field(description="Distinct triples of tokens in it, of all triples.")


class DosePoint(Message):
    """One strength. Where it drives the model out of its numbers, every figure is NaN."""

    event: Literal["dose"] = "dose"
    strength: float
    kl: float = Field(
        description="KL(steered || unsteered) of the next token, mean over the prompt."
    )
    perplexity: float = Field(description="Of the steered continuation, under the unsteered model.")
    activation: float = Field(description="Mean activation the feature reads back over the prompt.")
    probabilities: tuple[float, ...]
    distinct: float = Field(description="Distinct triples of tokens in the text, of all triples.")
    text: str = Field(description="The continuation.")


class GraphBegan(Message):
    """The prompt has been read, and what the graph will take is known."""

    event: Literal["graph_began"] = "graph_began"
    tokens: bytes = Field(description="int32 [n], BOS first where the model has one")
    features: int = Field(ge=0, description="That will be traced, at most.")
    memory: int = Field(ge=0, description="Bytes that the work will take besides the weights.")


class GraphTraced(Message):
    """The finished graph."""

    event: Literal["graph"] = "graph"
    graph: bytes = Field(description="What `sae_core/circuits/packing.py` makes of it.")


class GraphChecked(Message):
    """What targets of edges lose where the sources are taken out, each alone."""

    event: Literal["graph_checked"] = "graph_checked"
    frozen: bytes = Field(description="float32 [m]: in the frozen model, for each edge")
    direct: bytes = Field(description="float32 [m]: in the real model, other features held")
    total: bytes = Field(description="float32 [m]: in the real model as it is")
    sources: bytes = Field(description="int32 [n]: the sources of edges, ascending")
    targets: bytes = Field(
        description="float32 [n]: what the graph's targets, weighted, lose without each of them"
    )


class GraphJudged(Message):
    """Faithfulness and completeness by the number of features; see `sae_core/circuits`."""

    event: Literal["graph_judged"] = "graph_judged"
    kept: bytes = Field(description="float32 [sizes]: with the strongest features alone")
    removed: bytes = Field(description="float32 [sizes]: what is lost without them")
    random_kept: bytes = Field(description="float32 [sizes]: with as many random ones alone")
    random_removed: bytes = Field(description="float32 [sizes]: what is lost without those")
    gap: float = Field(description="The metric with all features less that with none.")


class NodeSplit(Message):
    """By which ways a node reaches a target; see `sae_core/circuits/paths/split.py`."""

    event: Literal["node_split"] = "node_split"
    names: tuple[str, ...] = Field(description="Of the ways.")
    shares: bytes = Field(description="float32 [ways]: what each adds to those before")
    alone: bytes = Field(description="float32 [ways]: what each adds where it answers alone")
    total: float = Field(description="What the target loses without the node.")
    together: float = Field(description="What no way does alone.")
    layers: bytes = Field(description="int32 [heads]: block of each head")
    heads: bytes = Field(description="int32 [heads]: its number there")
    through: bytes = Field(description="float32 [heads]: what of the edge goes through each")
    straight: float = Field(description="What of the edge goes along the stream.")


class NodeComposed(Message):
    """What a node is made of; see `sae_core/circuits/paths/composition.py`."""

    event: Literal["node_composed"] = "node_composed"
    value: float
    straight: bytes = Field(description="float32 [nodes]: what each writes where it is read")
    rest: float = Field(description="What nodes write there that the graph does not have.")
    constant: float = Field(description="Biases.")
    layers: bytes = Field(description="int32 [heads]: block of each head")
    heads: bytes = Field(description="int32 [heads]: its number there")
    through: bytes = Field(description="float32 [heads x pos]: what each brings from a position")
    strongest: bytes = Field(description="int32 [some]: of the heads")
    behind: bytes = Field(description="float32 [some x nodes]: what each node has of that")
    behind_rest: tuple[float, ...] = Field(description="What other nodes have.")
    behind_constant: tuple[float, ...] = Field(description="Biases.")


class ScoreExplained(Message):
    """A score of a head by nodes; see `sae_core/circuits/paths/scores.py`."""

    event: Literal["score_explained"] = "score_explained"
    pattern: bytes = Field(description="float32 [pos]: how much the head looks at each position")
    score: float
    caveat: str = Field(description="In which way it is not what the softmax has; empty: it is.")
    query: bytes = Field(description="float32 [nodes + 2]: the query's side; constant, rest last")
    key: bytes = Field(description="float32 [nodes + 2]: the key's side; constant, rest last")
    pairs: bytes = Field(description="int32 [pairs x 2]: query's node and key's; -1 constant")
    weights: bytes = Field(description="float32 [pairs]")


class NodesScaled(Message):
    """Targets where some features write more or less; rows: as it is, so scaled, then like
    features, so scaled."""

    event: Literal["nodes_scaled"] = "nodes_scaled"
    values: bytes = Field(description="float32 [rows x targets]: logits or activations")
    probabilities: bytes = Field(description="float32 [rows x targets]; NaN for features")


class StepArm(Message):
    """One way to treat the contexts of a step, and what came of it."""

    event: Literal["step_arm"] = "step_arm"
    arm: Literal["unsteered", "steered", "random"]
    strength: float = Field(description="In multiples of the source's maximum; 0: unsteered.")
    contexts: int = Field(ge=0, description="How many.")
    fired: int = Field(ge=0, description="In how many the target fires on the next token.")
    wrote: int = Field(
        ge=0, description="In how many the next token is one that the source writes."
    )


class Failed(Message):
    """The request ended early. The message is a sentence for the user."""

    event: Literal["failed"] = "failed"
    code: FailureCode
    message: str
    retry_after: int | None = Field(default=None, description="Seconds, where trying again helps.")
    field: str = Field(default="", description="The value that it is about, where it is about one.")


class Done(Message):
    """The request is complete."""

    event: Literal["done"] = "done"


Result = (
    ContextDone
    | TokensRead
    | FiringsRead
    | MaximaRead
    | TextEmbedded
    | Estimated
    | Attributed
    | Together
    | OcclusionBase
    | Occluded
    | SteerBegan
    | Generated
    | Traits
    | SideEffects
    | DoseBase
    | DosePoint
    | GraphBegan
    | GraphTraced
    | GraphChecked
    | GraphJudged
    | NodeSplit
    | NodeComposed
    | ScoreExplained
    | NodesScaled
    | StepArm
    | LevelsRead
    | ChatResult
)
Event = Annotated[Result | Progress | Failed | Done, Field(discriminator="event")]


class HealthPhase(StrEnum):
    """What the worker is up to."""

    STARTING = "starting"
    """It answers, but torch is still being imported; requests wait."""
    READY = "ready"
    BROKEN = "broken"
    """It cannot work at all, for instance because the device does not exist."""


class HealthReply(Message):
    """How the worker is."""

    phase: HealthPhase
    message: str = Field(default="", description="What is wrong, where the phase is broken.")
    device: str
    jobs: int = Field(ge=0, description="Requests it holds, the running one included.")
    capacity: int = Field(ge=1, description="Requests it holds at most.")
    step_seconds: float = Field(ge=0, description="How long the step in progress has been running.")
    version: str
