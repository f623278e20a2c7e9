"""Prompts as the model reads them, in batches that hang on the prompts alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.errors import InvalidRequest
from app.jobs.audit.experiments.prompts import FilePrompt, PromptFile
from app.store.written.audit.experiments.records import Said
from sae_core.audit.experiments.texts import TextPlan, prompts_at_once
from sae_core.errors import ChatError, PromptError
from sae_core.files.hashing import mix
from sae_core.interventions.prompt import prompt_tokens
from sae_core.language_model.model import LanguageModel
from sae_core.text.chat.conversation import converse, end_of_turn
from sae_core.text.chat.template import ChatTemplate, templates_in
from sae_core.text.chat.turns import Turn


@dataclass(frozen=True)
class PromptBatch:
    """Prompts that are continued together.

    Attributes:
        numbers: of the prompts.
        chat: whether they are conversations.
    """

    numbers: tuple[int, ...]
    chat: bool


class PromptReadings:
    """The tokens of all prompts.

    Args:
        model: that reads them.
        file: of the prompts.
        n_tokens: that are written behind each.

    Attributes:
        tokens: of each prompt.
        chat: of each prompt, whether it is a conversation.
        template: how conversations are written; None: there is none.

    Raises:
        InvalidRequest: a prompt does not fit the model's context, or cannot be read.
    """

    def __init__(self, model: LanguageModel, file: PromptFile, n_tokens: int) -> None:
        self._model = model
        self.chat = tuple(not isinstance(prompt.said, str) for prompt in file.prompts)
        self.template = _template(Path(model.path)) if any(self.chat) else None
        self.tokens = tuple(self._read(prompt, file.name, n_tokens) for prompt in file.prompts)

    def _read(self, prompt: FilePrompt, name: str, n_tokens: int) -> tuple[int, ...]:
        where = f"Line {prompt.line} of {name}"
        try:
            tokens = self._tokens(prompt.said)
        except (PromptError, ChatError) as error:
            raise InvalidRequest(f"{where}: {error}") from error
        if len(tokens) + n_tokens > self._model.n_ctx:
            raise InvalidRequest(
                f"{where} has {len(tokens):,} tokens and {n_tokens:,} are to follow, but "
                f"{self._model.name} takes {self._model.n_ctx:,}: shorten it, or ask for fewer."
            )
        return tokens

    def _tokens(self, said: Said) -> tuple[int, ...]:
        if isinstance(said, str):
            return tuple(prompt_tokens(self._model, said).tolist())
        assert self.template is not None
        turns = [Turn(role, content) for role, content in said]
        bos = self._model.vocabulary.bos
        return tuple(converse(self.template, self._model.tokenizer, turns, bos=bos).tokens.tolist())

    def plan_of(self, plan: TextPlan, chat: bool) -> TextPlan:
        """How prompts of a kind are continued: an answer of a chat ends with its turn."""
        if not chat or self.template is None:
            return plan
        end = end_of_turn(self.template, self._model.tokenizer)
        ends = frozenset() if end is None else frozenset({end})
        return TextPlan(
            plan.n_tokens, plan.sampling, plan.scope, ends, self.template.stops, silent=True
        )

    def batches(self, rows: int, n_tokens: int) -> list[PromptBatch]:
        """Prompts of one length together, in an order that hangs on the prompts alone.

        Args:
            rows: texts of each prompt.
            n_tokens: in each.
        """
        order = sorted(
            range(len(self.tokens)), key=lambda at: (self.chat[at], len(self.tokens[at]), at)
        )
        return list(self._batches(order, rows, n_tokens))

    def _batches(self, order: Sequence[int], rows: int, n_tokens: int) -> Iterator[PromptBatch]:
        begin = 0
        while begin < len(order):
            chat, length = self.chat[order[begin]], len(self.tokens[order[begin]])
            most = prompts_at_once(self._model, length, rows, n_tokens)
            numbers = [
                at
                for at in order[begin : begin + most]
                if (self.chat[at], len(self.tokens[at])) == (chat, length)
            ]
            yield PromptBatch(tuple(numbers), chat)
            begin += len(numbers)

    def answer(self, text: str) -> tuple[int, ...]:
        """The tokens of an answer behind a prompt.

        Raises:
            InvalidRequest: it has none, or the model takes no answer that long.
        """
        ids = self._model.tokenizer.encode(text, add_special_tokens=False).ids
        longest = max(map(len, self.tokens))
        if not ids or longest + len(ids) > self._model.n_ctx:
            raise InvalidRequest(
                f"The answer {text!r:.80} has {len(ids)} tokens behind prompts of up to {longest}: "
                f"it has at least one, and both fit {self._model.n_ctx:,}."
            )
        return tuple(ids)


def sample_seeds(seed: int, prompt: int, samples: int) -> tuple[int, ...]:
    """The seeds of a prompt's samples, the same in every arm: those that the steering page takes.

    Args:
        seed: of the experiment.
        prompt: its number.
        samples: how many.
    """
    return tuple((mix(seed, prompt, np.arange(samples)) >> np.uint64(33)).tolist())


def _template(folder: Path) -> ChatTemplate:
    return ChatTemplate.of(folder) if templates_in(folder) else ChatTemplate.plain()
