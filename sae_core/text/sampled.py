"""Text that a language model writes itself: many openings continued in one batch, from a seed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sae_core.language_model.decoding import body, empty_past, head
from sae_core.language_model.model import LanguageModel

_REPLACED = "\ufffd"


@dataclass(frozen=True)
class Opening:
    """How a text begins.

    Attributes:
        name: what its document is called.
        lead: what the model reads before it and what is no part of the document, such as the token
            that parts texts; where there are no turns, it ends the text, too.
        text: its first words, special tokens spelt out.
        turns: what follows after each token that ends a turn; the text ends with the last turn, and
            where there are none with the first such token.
    """

    name: str
    lead: str
    text: str
    turns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """How tokens are drawn: among the `top_k` likeliest at a temperature, of these the fewest that
    hold `top_p` of the probability."""

    temperature: float = 0.8
    top_k: int = 64
    top_p: float = 0.9


@torch.inference_mode()
def sample_texts(
    model: LanguageModel,
    openings: Sequence[Opening],
    n_positions: int,
    draw: torch.Generator,
    drawing: Drawing,
) -> list[str]:
    """Continue every opening until its text ends or has so many tokens.

    All texts move on together, a position at a time, so that none is padded: one that still is in
    its opening is given its next token, another is given the one that is drawn. Special tokens are
    drawn only where they end a turn.

    Args:
        model: who writes; its numbers decide, so that another dtype or processor may write else.
        openings: the first words.
        n_positions: tokens in a text at most, its lead among them.
        draw: what tokens are drawn with.
        drawing: how.

    Returns: the texts, in the order of the openings.
    """
    rows = [_Row(model, opening) for opening in openings]
    ends = sorted({token for row in rows for token in row.ends})
    special = [token for token in sorted(model.vocabulary.special) if token not in ends]
    step, unembed, past = body(model), head(model), empty_past(model)
    common = min(len(row.given) for row in rows)
    first = torch.tensor([[row.next(0, ends) for _ in range(common)] for row in rows])
    with model.lock:
        hidden = model.final_hidden(first, past)[:, -1]
        for position in range(common, n_positions):
            logits = unembed(hidden).float() / drawing.temperature
            logits[:, special] = -torch.inf
            drawn = _drawn(logits, draw, drawing)
            tokens = [row.next(token, ends) for row, token in zip(rows, drawn, strict=True)]
            if all(row.ended for row in rows):
                break
            hidden = step(torch.tensor(tokens)[:, None], position, past)[:, -1]
    return [row.text(model) for row in rows]


def _drawn(logits: Tensor, draw: torch.Generator, drawing: Drawing) -> list[int]:
    best, ids = logits.topk(drawing.top_k)
    share = best.softmax(-1)
    share[share.cumsum(-1) - share > drawing.top_p] = 0
    tokens: list[int] = ids.gather(1, torch.multinomial(share, 1, generator=draw))[:, 0].tolist()
    return tokens


class _Row:
    """One text as it grows."""

    def __init__(self, model: LanguageModel, opening: Opening) -> None:
        def ids(text: str) -> list[int]:
            encoded: list[int] = model.tokenizer.encode(text, add_special_tokens=False).ids
            return encoded

        lead = ids(opening.lead)
        self.given = deque(lead + ids(opening.text))
        self.ended = False
        self._turns = deque(ids(turn) for turn in opening.turns)
        self._lead, self._chat = len(lead), bool(opening.turns)
        self.ends = {token for token in (model.eos,) if token is not None}
        if not self._chat:
            self.ends |= set(lead)
        self._tokens: list[int] = []
        self._end_of_turn = model.eos

    def next(self, drawn: int, ends: Sequence[int]) -> int:
        """The token that comes next: one that is given, or the one that was drawn."""
        if self.ended:
            return ends[0]
        if self.given:
            token = self.given.popleft()
        elif drawn in ends:
            if self._turns and drawn == self._end_of_turn:
                self.given.extend(self._turns.popleft())
            else:
                self.ended = True
            if not self._chat:
                return ends[0]
            token = drawn if self._end_of_turn is None else self._end_of_turn
        else:
            token = drawn
        self._tokens.append(token)
        return token

    def text(self, model: LanguageModel) -> str:
        """What has been written, without the lead and a character's half at the end."""
        written: str = model.tokenizer.decode(self._tokens[self._lead :], skip_special_tokens=False)
        return written.rstrip(_REPLACED)
