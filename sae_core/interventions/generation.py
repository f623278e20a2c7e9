"""Continuing a prompt: unsteered and steered text, drawn token by token in one batch."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from sae_core.errors import RoomError, SteeringError
from sae_core.interventions.next_token import Sampler, TokenSampling
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Steering
from sae_core.language_model.model import LanguageModel

UNSTEERED, STEERED = 0, 1
NO_NUMBERS = (
    "With these edits the model's predictions are no numbers any more: choose smaller strengths."
)


class Scope(StrEnum):
    """Where edits apply."""

    ALL = "all"
    """In the prompt and in what is generated."""
    GENERATED = "generated"
    """From the last token of the prompt on, which predicts the first generated one."""

    def begin(self, n_prompt: int) -> int:
        """The first edited position after a prompt of that many tokens."""
        return n_prompt - 1 if self is Scope.GENERATED else 0


@dataclass(frozen=True)
class Drawn:
    """One more token of one text.

    Attributes:
        row: the text's row in the batch; in `generate` it is UNSTEERED or STEERED.
        step: number of the token in its continuation, from 0.
        token: its id.
        probability: under the model that drew it, before temperature, top-k and top-p; NaN where
            its predictions are no numbers any more, which ends the text without meaning the token.
        text: the characters that are complete with this token. Bytes that spell no character, and
            half a character at the last token, become U+FFFD. An end-of-text token has no text.
        end: whether the text ends with it, by an end-of-text token or without numbers.
    """

    row: int
    step: int
    token: int
    probability: float
    text: str
    end: bool


def generate(
    model: LanguageModel,
    prompt: Tensor,
    edits: Sequence[FeatureEdit],
    n_tokens: int,
    sampling: TokenSampling,
    scope: Scope = Scope.ALL,
) -> Iterator[tuple[Drawn, ...]]:
    """Continue a prompt twice in one batch: as the model would, and under the edits.

    Each step is short: a piece of the prompt, or one token of each text that has not ended.

    Args:
        model: the language model that writes.
        prompt: token ids, BOS first where the model has one, int64 [n].
        edits: those of the steered text; where none is in force, both texts are the same bit for
            bit.
        n_tokens: how long a text may become, in tokens.
        sampling: how tokens are drawn, with the same random numbers for both texts.
        scope: where the edits apply.

    Yields:
        Nothing (an empty tuple) while the prompt is read, then what was drawn.

    Raises:
        SteeringError: prompt and tokens do not fit the model's context, or the edits drive the
            model out of its numbers.
    """
    check_room(model, len(prompt), n_tokens)
    run = SteeredRun(Steering(model, [(), edits], scope.begin(len(prompt))))
    for fed in run.feed_in_pieces(prompt.expand(2, -1)):
        hidden = fed.hidden
        if run.length < len(prompt):
            yield ()
    for step in continuations(run, run.next_logits(hidden[:, -1]), n_tokens, sampling):
        if not all(math.isfinite(drawn.probability) for drawn in step):
            raise SteeringError(NO_NUMBERS)
        yield step


def continuations(
    run: SteeredRun, logits: Tensor, n_tokens: int, sampling: TokenSampling
) -> Iterator[tuple[Drawn, ...]]:
    """Continue the texts of a run, a token of each text that has not ended at a time.

    Args:
        run: the texts so far; it is fed all new tokens but the last.
        logits: what the first new token is drawn from, [rows, d_vocab].
        n_tokens: how long a continuation may become, in tokens.
        sampling: how tokens are drawn, with the same random numbers for all texts.
    """
    model = run.steering.model
    ends = end_tokens(model)
    sampler = Sampler(sampling, n_tokens)
    decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in run.steering.rows]
    open_rows = set(range(len(decoders)))
    tokens = [0 for _ in decoders]
    for step in range(n_tokens):
        draws = sampler.draw(logits, step)
        drawn = []
        for row in sorted(open_rows):
            token, probability = draws.tokens[row], draws.probabilities[row]
            end = token in ends or not math.isfinite(probability)
            # A character may be spelt in the bytes of several tokens.
            piece = b"" if end else model.vocabulary.pieces[token]
            text = decoders[row].decode(piece, final=end or step + 1 == n_tokens)
            drawn.append(Drawn(row, step, token, probability, text, end))
            tokens[row] = token
            if end:
                open_rows.discard(row)
        yield tuple(drawn)
        if not open_rows or step + 1 == n_tokens:
            return
        # A text that has ended stays in the batch: the other's last bits depend on its shape.
        logits = run.step(tokens)


def check_room(model: LanguageModel, n_prompt: int, n_tokens: int) -> None:
    """Refuse to write beyond the model's context.

    Raises:
        RoomError: naming the numbers.
    """
    if n_prompt + n_tokens > model.n_ctx:
        raise RoomError(
            f"{n_tokens} tokens after a prompt of {n_prompt} make {n_prompt + n_tokens}, but the "
            f"model takes at most {model.n_ctx}: "
            + (
                f"ask for at most {model.n_ctx - n_prompt}."
                if n_prompt < model.n_ctx
                else "shorten the prompt."
            )
        )


def end_tokens(model: LanguageModel) -> frozenset[int]:
    """The tokens that end a text: those the model's files name, and BOS, which opens the next."""
    ends = {model.bos}
    for config in (model.module.config.get_text_config(), model.module.generation_config):
        ids = getattr(config, "eos_token_id", None)
        ends.update(ids if isinstance(ids, list) else [ids])
    return frozenset(token for token in ends if token is not None)
