"""What may be asked about conversations, and what the JSON interface answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.pages.steer.questions import Edit
from app.pages.steer.schema import BeganEvent, NamedFeature, TokenEvent, WaitEvent
from app.web.live.events import DoneEvent, FailedEvent, LiveEvent
from app.web.schema import LONGEST_PROMPT, Answer, Name, Question, whole
from app.worker.protocol.chats import MOST_ANSWERED, ChatEnd, ChatScope
from app.worker.protocol.events import Pane
from app.worker.protocol.monitors import MOST_MONITORS, GateKind
from app.worker.protocol.requests import MOST_EDITS, Temperature, TopP

MOST_TURNS = 200
MOST_TRAITS = 8
MOST_LINES = 2_000_000  # characters of a conversation that is brought along

PartName = Literal["content", "template", "special"]
TemplateName = Literal["model", "plain"]
RewordingSource = Literal["left out", "synonym", "model"]


class SaidTurn(Question):
    """Who says what."""

    role: Annotated[str, AfterValidator(whole)] = Field(
        min_length=1, max_length=40, examples=["user"]
    )
    content: Annotated[str, AfterValidator(whole)] = Field(
        max_length=LONGEST_PROMPT, examples=["Why is the sky blue?"]
    )


class Conversing(Question):
    """A conversation."""

    turns: tuple[SaidTurn, ...] = Field(min_length=1, max_length=MOST_TURNS)


class ChatQuestion(Conversing):
    """Answer a conversation twice, unsteered and steered."""

    edits: tuple[Edit, ...] = Field(default=(), max_length=MOST_EDITS)
    scope: ChatScope = Field(
        default=ChatScope.EVERYTHING,
        description="What is steered besides the answer: `everything`, `contents` (what is said, "
        "not the template's tokens) or `answer` (nothing). Control tokens never are.",
    )
    n_tokens: int = Field(default=96, ge=1, le=MOST_ANSWERED, description="Tokens at most.")
    temperature: Temperature = Field(default=0.0, description="0: always the likeliest token.")
    top_p: TopP = 1.0
    top_k: int = Field(default=0, ge=0, lt=2**31, description="0: no bound.")
    seed: int = Field(default=0, ge=0, lt=2**53)
    dictionary: str = Field(
        default="", description="Whose features are listed for each token; empty: the leading one."
    )
    traits: tuple[Name, ...] = Field(
        default=(), max_length=MOST_TRAITS, description="Names of lists of features."
    )
    monitors: tuple[Name, ...] = Field(
        default=(), max_length=MOST_MONITORS, description="Names of monitors that watch."
    )
    gate: Literal[GateKind.MARK, GateKind.REFUSE] = Field(
        default=GateKind.MARK,
        description="What an alarm does: `mark` tells it, `refuse` stops the answer.",
    )
    alone: bool = Field(
        default=False,
        strict=True,
        description="Only the steered answer, in about half the time: the unsteered one is known. "
        "Its last bits are those of a batch of one.",
    )


class ReadingQuestion(Conversing):
    """A conversation token by token."""

    dictionary: str = Field(
        default="", description="Whose features are listed for each token; empty: the leading one."
    )
    traits: tuple[Name, ...] = Field(
        default=(), max_length=MOST_TRAITS, description="Names of lists of features."
    )
    answering: bool = Field(
        default=False,
        strict=True,
        description="Whether the template's opening of the next answer stands at the end.",
    )


class CueQuestion(Conversing):
    """Which words make a feature fire, and what rewording silences it."""

    dictionary: Name = Field(examples=["mlp-4096"])
    feature: int = Field(ge=0, lt=2**63, examples=[1733])
    turn: int | None = Field(
        default=None,
        ge=0,
        description="Number of the turn that may be reworded, from 0; null: that in which it "
        "fires most.",
    )


class CueAnswerQuestion(Conversing):
    """How a conversation is answered, and how strongly a feature fires meanwhile."""

    dictionary: Name = Field(examples=["mlp-4096"])
    feature: int = Field(ge=0, lt=2**63, examples=[1733])
    n_tokens: int = Field(default=16, ge=1, le=64, description="Of the answer, at most.")


class LinesQuestion(Question):
    """A conversation that is brought along."""

    lines: str = Field(
        max_length=MOST_LINES,
        description="JSON lines, a turn each: role and content; or one line with `messages`.",
        examples=['{"role": "user", "content": "Hello"}'],
    )


class Conversed(Answer):
    """A conversation that was checked."""

    turns: list[SaidTurn]
    lines: str = Field(description="The same as JSON lines, a turn each.")


class ReadToken(Answer):
    """A token of a conversation."""

    id: int
    text: str = Field(description="With everything in it visible.")
    turn: int = Field(description="Number of its turn, from 0; -1: of none.")
    part: PartName = Field(
        description="`content`: said by somebody; `template`: put there by the template; "
        "`special`: a control token. Only content counts in statistics."
    )
    features: list[int] = Field(description="Most active on it, strongest first.")
    activations: list[float] = Field(description="Theirs, model units.")
    traits: list[float] = Field(description="Level of each trait.")


class TraitLevels(Answer):
    """A list of features as one level: the mean over them of activation by maximum."""

    name: str
    title: str
    features: int = Field(description="How many of its features are of this model.")
    left_out: int = Field(description="How many are not, or never fire.")
    turns: list[float | None] = Field(
        description="Mean over the tokens said in each turn; null where nothing was said."
    )


class ConversationReading(Answer):
    """A conversation as the unsteered model reads it."""

    model: str
    template: TemplateName = Field(description="Whose; `plain`: ours, for a model without one.")
    dictionary: str
    tokens: list[ReadToken]
    names: list[NamedFeature] = Field(description="Of every feature that occurs.")
    traits: list[TraitLevels]


class CueWord(Answer):
    """A word, and what the feature loses without it."""

    word: str
    start: int = Field(description="Of its first character in the turn.")
    loss: float | None = Field(
        description="Activation at the strongest token less that without the word's strongest "
        "token; null: that token is the word's own."
    )


class Rewording(Answer):
    """One way to say a turn otherwise."""

    content: str = Field(description="The turn as it would be.")
    word: str = Field(description="That is replaced.")
    replacement: str = Field(description="Put in its place; empty: left out.")
    source: RewordingSource = Field(description="`model`: the model expects it there.")
    activation: float = Field(description="Largest on all that is said, then.")


class CueAnswer(Answer):
    """Why a feature fires on a conversation, and what would silence it."""

    feature: NamedFeature
    turn: int
    token: str = Field(description="On which it fires most; empty: on none.")
    activation: float = Field(description="Largest on all that is said.")
    words: list[CueWord] = Field(description="Of the turn, those that matter most first.")
    rewordings: list[Rewording] = Field(
        description="What silences it most first; none that leaves it as strong as it is."
    )


class CueAnswerStart(Answer):
    """How the unsteered model begins its answer, always with the likeliest token."""

    text: str
    n_tokens: int
    activation: float = Field(description="Of the feature, largest on the answer, model units.")
    mean: float = Field(description="Of the feature, mean over the answer's tokens.")


class AnswerEvent(LiveEvent):
    """One answer is complete; columns have an entry for each of its tokens."""

    event: Literal["answer"] = "answer"
    pane: Pane
    why: ChatEnd
    text: str = Field(description="All of it; without what ended it.")
    tokens_per_second: float = Field(description="Of both answers together.")
    dictionary: str
    features: list[list[int]] = Field(description="Most active on each token, strongest first.")
    activations: list[list[float]] = Field(description="Theirs, edits included, model units.")
    names: list[NamedFeature] = Field(description="Of every feature that occurs.")
    followed: list[str] = Field(description="Names of the traits that have any feature here.")
    traits: list[list[float]] = Field(description="For each of them its level on each token.")
    levels: list[float | None] = Field(
        description="For each of them the mean over the answer, as the model that wrote it had it; "
        "null where nothing was said."
    )


class AlarmEvent(LiveEvent):
    """A monitor's level is above its threshold."""

    event: Literal["alarm"] = "alarm"
    pane: Pane
    monitor: str
    turn: int | None = Field(description="Of the conversation, from 0; null: the answer.")
    level: float
    threshold: float
    gate: GateKind
    token: str | None = Field(
        description="What raised it, as pages show it; null where the answer is stopped."
    )


ChatEvent = BeganEvent | TokenEvent | AnswerEvent | AlarmEvent | WaitEvent
ChatAnswer = Annotated[ChatEvent | FailedEvent | DoneEvent, Field(discriminator="event")]
