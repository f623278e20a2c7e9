"""What the web process asks of the worker: frozen types, no functions, no torch.

A request is one JSON body, posted to its `path`; its answer is a stream of events
(`app/worker/protocol/events.py`). Numbers that are not finite travel as the strings NaN, Infinity
and -Infinity, where a field takes them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Checksum = Annotated[str, Field(min_length=1, max_length=256)]
Token = Annotated[int, Field(ge=0)]
Index = Annotated[int, Field(ge=0)]
Tokens = tuple[Token, ...]
Prompt = Annotated[
    str | Tokens, Field(description="Text, or token ids with BOS first where the model has one.")
]


class Message(BaseModel):
    """Immutable, and refuses fields that it does not know."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="strings",
    )


class ModelRef(Message):
    """A language model in a Hugging Face folder that the worker can read."""

    path: str = Field(min_length=1, description="Folder of the model, as the worker sees it.")
    checksum: Checksum = Field(description="What the folder's weights must hash to.")
    dtype: str = Field(default="float32", description="The precision the harvest ran in.")
    prepend_bos: bool = Field(
        default=True, description="Whether BOS opens a text, where the model has one."
    )


class DictionaryRef(Message):
    """A dictionary of that model; without a path, the neuron basis at the hook point."""

    path: str | None = Field(description="Folder of cfg.json and sae_weights.safetensors.")
    hook_point: str = Field(min_length=1, description="Where it reads and writes the model.")
    checksum: Checksum | None = Field(
        default=None, description="What its weights must hash to; None only for the neuron basis."
    )


class WorkRequest(Message):
    """What every request for work carries. It is self-contained: the worker has no database."""

    path: ClassVar[str]
    model: ModelRef
    deadline_seconds: float | None = Field(
        default=None, gt=0, description="Give up after this long; the worker's own limit if sooner."
    )


class AblateRequest(WorkRequest):
    """Remove one feature from each context and say what that changes.

    Answer: one ContextDone a context, in order.
    """

    path: ClassVar[str] = "/ablate"
    dictionary: DictionaryRef
    feature: int = Field(ge=0, description="Index of the feature in its dictionary.")
    contexts: tuple[Tokens, ...] = Field(
        min_length=1, description="Token ids of each context, BOS first where the model has one."
    )


class ReadRequest(WorkRequest):
    """Read a prompt: its tokens, what the model predicts, which features fire.

    Answer: PromptRead, then one FiringsRead a dictionary, in order.
    """

    path: ClassVar[str] = "/read"
    prompt: Prompt
    dictionaries: tuple[DictionaryRef, ...] = Field(max_length=16)


class AttributeRequest(WorkRequest):
    """Which active features are responsible for one prediction, each ablated alone.

    Answer: one Estimated (first order, all features), then Attributed after Attributed (exact).
    """

    path: ClassVar[str] = "/attribute"
    dictionary: DictionaryRef
    tokens: Tokens = Field(min_length=1)
    position: int = Field(
        ge=1, description="Of the predicted token; the number of tokens asks for the next one."
    )
    target: Token | None = Field(
        default=None, description="The prediction in question; None: the token that stands there."
    )
    features: tuple[Index, ...] | None = Field(
        default=None, description="Only these; None: every one that fires before the position."
    )


class TogetherRequest(WorkRequest):
    """What ablating several features at once does to one prediction. Answer: one Together."""

    path: ClassVar[str] = "/together"
    dictionary: DictionaryRef
    tokens: Tokens = Field(min_length=1)
    position: int = Field(ge=1)
    target: Token | None = None
    features: tuple[Index, ...] = Field(min_length=1)


class OccludeRequest(WorkRequest):
    """How a feature's activation changes when each token is left out or replaced.

    Answer: one OcclusionBase, then Occluded after Occluded.
    """

    path: ClassVar[str] = "/occlude"
    dictionary: DictionaryRef
    feature: Index
    tokens: Tokens = Field(min_length=1)
    position: int | None = Field(
        default=None, ge=0, description="Where it is read; None: its strongest token of all."
    )
    replacement: Token | None = Field(
        default=None, description="Put in each token's place; None: the token is left out."
    )


class SteerMode(StrEnum):
    """How a feature's direction d_f is written into the activation x.

    With s the strength, m_f the feature's maximum and a_f(x) its activation.
    """

    ADD = "add"
    """x + s m_f d_f; neutral at s = 0."""
    CLAMP = "clamp"
    """x + (s m_f - a_f(x)) d_f; s = 0 is ablation."""
    SCALE = "scale"
    """x + (s - 1) a_f(x) d_f; neutral at s = 1."""


class SteerEdit(Message):
    """One slider."""

    dictionary: DictionaryRef
    feature: Index
    mode: SteerMode = SteerMode.ADD
    strength: float = Field(allow_inf_nan=False, ge=-1000, le=1000)
    maximum: float = Field(
        allow_inf_nan=False, ge=0, description="The feature's largest activation, model units."
    )


class Sampling(Message):
    """How the next token is drawn. The same seed draws alike for both texts."""

    temperature: float = Field(
        default=1.0, ge=0, le=10, allow_inf_nan=False, description="0: the likeliest."
    )
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0, description="0: no bound.")
    seed: int = Field(default=0, ge=0, lt=2**63)


class SteerScope(StrEnum):
    """Where edits apply."""

    ALL = "all"
    """The prompt (never its BOS) and the generated tokens."""
    GENERATED = "generated"
    """Only from the last token of the prompt on, which predicts the first generated one."""


class SteerRequest(WorkRequest):
    """Continue a prompt twice, unsteered and steered, in one batch.

    Answer: one SteerBegan, a Generated for each text and step, then a Traits for each text, then
    one SideEffects.
    """

    path: ClassVar[str] = "/steer"
    prompt: Prompt
    edits: tuple[SteerEdit, ...] = Field(max_length=16)
    scope: SteerScope = SteerScope.ALL
    n_tokens: int = Field(ge=1, le=100_000)
    sampling: Sampling = Sampling()
    traits: DictionaryRef | None = Field(
        default=None, description="Whose features are listed for each token; None: no traits."
    )


class DoseRequest(WorkRequest):
    """A sweep of strengths of one feature. Answer: one DoseBase, then a DosePoint a strength."""

    path: ClassVar[str] = "/dose"
    prompt: Prompt
    dictionary: DictionaryRef
    feature: Index
    mode: SteerMode = SteerMode.ADD
    maximum: float = Field(allow_inf_nan=False, ge=0)
    strengths: tuple[Annotated[float, Field(allow_inf_nan=False, ge=-1000, le=1000)], ...] = Field(
        min_length=1, max_length=101
    )
    scope: SteerScope = SteerScope.ALL
    n_tokens: int = Field(default=40, ge=1, le=1000)
    sampling: Sampling = Sampling()
    watched: tuple[Token, ...] = Field(
        default=(), max_length=10, description="Tokens whose probability is followed."
    )


REQUESTS: tuple[type[WorkRequest], ...] = (
    AblateRequest,
    ReadRequest,
    AttributeRequest,
    TogetherRequest,
    OccludeRequest,
    SteerRequest,
    DoseRequest,
)
