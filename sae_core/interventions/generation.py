"""Continuing a prompt: unsteered and steered text, drawn token by token in one batch."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from sae_core.errors import RoomError, SteeringError
from sae_core.interventions.next_token import Sampler, Sampling
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import Edit, Steering
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
        row: of the batch; of `generate` UNSTEERED or STEERED.
        step: from 0.
        token: id.
        probability: under the model that drew it, before temperature, top-k and top-p; NaN where
            its predictions are no numbers any more, which ends the text without meaning the token.
        text: the characters that are complete with this token; bytes of none, and with the last
            token those of half a character, are U+FFFD. An end-of-text token has no text.
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
    edits: Sequence[Edit],
    n_tokens: int,
    sampling: Sampling,
    scope: Scope = Scope.ALL,
) -> Iterator[tuple[Drawn, ...]]:
    """Continue a prompt twice in one batch: as the model would, and under the edits.

    Each step is short: a piece of the prompt, or one token of each text that has not ended.

    Args:
        model: that writes.
        prompt: tokens [n], BOS first where the model has one.
        edits: of the steered text; where none is in force, both texts are the same bit for bit.
        n_tokens: most tokens of a text.
        sampling: for both texts, by the same chance.
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
    run: SteeredRun, logits: Tensor, n_tokens: int, sampling: Sampling
) -> Iterator[tuple[Drawn, ...]]:
    """Continue the texts of a run, a token of each text that has not ended at a time.

    Args:
        run: grows by all tokens but the last.
        logits: of the first token, [rows, d_vocab].
        n_tokens: most tokens of a text.
        sampling: for all texts, by the same chance.
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
    """The tokens that end a text: what the model's files call so, and BOS, which opens the next."""
    found = {model.bos}
    for config in (model.module.config.get_text_config(), model.module.generation_config):
        ids = getattr(config, "eos_token_id", None)
        found.update(ids if isinstance(ids, list) else [ids])
    return frozenset(token for token in found if token is not None)
