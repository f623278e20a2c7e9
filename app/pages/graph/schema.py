"""Graphs as JSON: what is asked and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from app.web.live.events import DoneEvent, FailedEvent, LiveEvent
from app.web.schema import Answer, Printable, Question, whole

GraphText = Annotated[str, AfterValidator(whole)]
NodeNumbers = tuple[Annotated[int, Field(ge=0, lt=2**31)], ...]


class GroupAnswer(Answer):
    """Nodes of a graph that mean one thing together."""

    id: str
    title: str
    nodes: list[int]


class GraphSummary(Answer):
    """A graph without its nodes and edges."""

    name: str = Field(description="In its address.", examples=["def-f-self-x-return"])
    model: Printable
    title: str
    note: str
    prompt: str = Field(description="The text that was read.")
    source: Printable = Field(description="Where it was read from; empty: computed here.")
    n_tokens: int
    n_nodes: int
    n_edges: int
    pinned: list[int] = Field(description="Numbers of nodes that somebody keeps in view.")
    groups: list[GroupAnswer]
    created: float = Field(description="Seconds since 1970.")
    withdrawn: bool = Field(description="Whether it was put away.")
    address: str = Field(description="Of its page.")


class GraphList(Answer):
    """The graphs of a model, the newest first."""

    graphs: list[GraphSummary]


class GraphPlace(Answer):
    """A dictionary whose features are nodes."""

    name: Printable
    hook_point: Printable = Field(description="Whose activation is encoded.")
    output_hook_point: Printable = Field(description="Whose activation is reconstructed.")
    d_sae: int
    is_neurons: bool
    address: str = Field(description="Of its page; empty: the store has it no longer.")


class NodeColumns(Answer):
    """All nodes, column by column; a node is known by its place in them."""

    kind: list[int] = Field(description="0: token, 1: feature or neuron, 2: error, 3: logit.")
    layer: list[int] = Field(description="-1 of tokens, the number of layers of logits.")
    position: list[int]
    index: list[int] = Field(description="Of the feature; id of a token; -1 of errors.")
    place: list[int] = Field(description="Of the dictionary; -1: none.")
    activation: list[float] = Field(description="Of a feature; probability of a logit.")
    influence: list[float] = Field(description="What it passes on to the targets, as a share.")
    share: list[float] = Field(
        description="Of all influence, that it and all stronger nodes carry; 0: it always stays."
    )
    name: list[str] = Field(description="Its label, or what it is.")


class EdgeColumns(Answer):
    """The edges, column by column, those that carry most first."""

    source: list[int]
    target: list[int]
    weight: list[float] = Field(description="What the target's pre-activation owes the source.")


class GraphAnswer(GraphSummary):
    """A graph with its nodes and edges."""

    model_checksum: str = Field(description="Of the model's weights; empty: not known.")
    replacement: float = Field(
        description="Of what reaches tokens and errors, the share that reaches tokens."
    )
    completeness: float = Field(
        description="The share of nodes' inputs that are no errors, weighted by influence."
    )
    n_layers: int
    tokens: list[str] = Field(description="Of the prompt, with nothing invisible in them.")
    dictionaries: list[GraphPlace]
    targets: list[int] = Field(description="Nodes whose causes are asked for.")
    target_weights: list[float] = Field(description="How much each of them counts.")
    nodes: NodeColumns
    edges: EdgeColumns
    edges_left: int = Field(description="Edges that are not listed: they carry least.")
    settings: dict[str, Any] = Field(description="All that decided what the graph is.")
    left_out: dict[str, Any] = Field(description="Nodes and edges that were never kept.")


class CheckedEdge(Answer):
    """An edge of a node, beside what the model does without the node."""

    node: int = Field(description="The other end.")
    weight: float = Field(description="What the graph says that it adds.")
    frozen: float = Field(description="What the other end loses in the frozen model.")
    direct: float = Field(description="The same in the real model, other features held.")
    total: float = Field(description="The same in the real model as it is.")
    confirmed: bool = Field(
        description="Whether the direct effect has the edge's sign and, within a factor of two, "
        "its size."
    )


class NodeCheckAnswer(Answer):
    """A node of a graph, taken out of the real model."""

    predicted: float = Field(
        description="What the graph's targets, weighted, owe it along all paths of the graph."
    )
    total: float = Field(description="What they lose without it in the real model.")
    denied: bool = Field(description="Whether the real model moves the other way.")
    links: list[CheckedEdge] = Field(description="Its strongest edges to other nodes.")


class JudgedSizeAnswer(Answer):
    """What so many features of a graph do."""

    size: int = Field(description="How many, of the strongest by influence.")
    kept: float = Field(description="Share of the metric that is left with them alone.")
    removed: float = Field(description="Share of the metric that is lost without them.")
    random_kept: float = Field(description="With as many random ones alone.")
    random_removed: float = Field(description="Without those.")


class JudgementAnswer(Answer):
    """Faithfulness and completeness of a graph, beside random features."""

    rows: list[JudgedSizeAnswer]
    gap: float = Field(description="The metric with all features less that with none.")


class ShareAnswer(Answer):
    """A part of a sum."""

    name: str
    weight: float = Field(description="How much it adds.")
    node: int | None = Field(description="Of the graph; null: it is no node.")
    alone: float | None = Field(
        description="What a way adds where it answers alone; null elsewhere."
    )


class NodeWaysAnswer(Answer):
    """By which ways a node reaches a target."""

    target: str
    total: float = Field(description="What the target loses without it; the sum of the ways.")
    together: float = Field(description="What no way does alone, but several do together.")
    ways: list[ShareAnswer] = Field(description="Each what it adds to those before.")
    edge: list[ShareAnswer] = Field(description="The direct way, by heads with patterns held.")


class HeadPartsAnswer(Answer):
    """What one head brings to a node."""

    name: str = Field(description="layer.head")
    total: float
    positions: list[ShareAnswer] = Field(description="By the position that it is taken from.")
    nodes: list[ShareAnswer] = Field(description="By the nodes behind it.")


class NodePartsAnswer(Answer):
    """What a node is made of."""

    value: float = Field(description="The sum of the parts.")
    parts: list[ShareAnswer]
    heads: list[HeadPartsAnswer] = Field(description="The strongest ones.")


class ScorePartsAnswer(Answer):
    """Why a head looks where it looks."""

    name: str = Field(description="layer.head")
    query: str = Field(description="The token that looks.")
    key: str = Field(description="The token that is looked at.")
    score: float = Field(description="Before the softmax; the sum of each side, and of all pairs.")
    caveat: str = Field(description="In which way it is not the softmax's; empty: it is.")
    pattern: list[ShareAnswer]
    asks: list[ShareAnswer] = Field(description="The score by the nodes of the query's side.")
    answers: list[ShareAnswer] = Field(description="By those of the key's side.")
    pairs: list[ShareAnswer] = Field(description="The strongest pairs.")


class ScaledTargetAnswer(Answer):
    """A target where features write more or less."""

    name: str
    before: float = Field(description="Its logit, or activation.")
    after: float
    random: float | None = Field(description="With like features so scaled, mean; null: none.")
    probability_before: float | None = Field(description="Null: it is a feature.")
    probability_after: float | None
    probability_random: float | None


class ScaledAnswer(Answer):
    """A graph's targets where some of its features write more or less."""

    targets: list[ScaledTargetAnswer]


class DescribeQuestion(Question):
    """Another title and note for a graph."""

    title: GraphText = Field(examples=["Closing the bracket"])
    note: GraphText = ""


class PinsQuestion(Question):
    """The nodes that are kept in view."""

    nodes: NodeNumbers = Field(examples=[[12, 40]])


class GroupQuestion(Question):
    """Nodes that mean one thing together."""

    title: GraphText = Field(examples=["names of arguments"])
    nodes: NodeNumbers = Field(examples=[[12, 40]])


class TracingBeganEvent(LiveEvent):
    """The prompt has been read, and what the graph will take is known."""

    event: Literal["began"] = "began"
    tokens: int = Field(description="Of the prompt, BOS included.")
    features: int = Field(description="That will be traced, at most.")
    memory: int = Field(description="Bytes that the work takes besides the weights.")
    sentence: str = Field(description="The same in words.")


class StepEvent(LiveEvent):
    """How far it is."""

    event: Literal["step"] = "step"
    done: int
    total: int


class ReadyEvent(LiveEvent):
    """The graph is kept."""

    event: Literal["ready"] = "ready"
    name: str
    address: str = Field(description="Of its page.")


GraphEvent = Annotated[
    TracingBeganEvent | StepEvent | ReadyEvent | DoneEvent | FailedEvent,
    Field(discriminator="event"),
]
