"""A task: prompts of one kind, each with answers that are right and answers that are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sae_core.errors import CircuitError

MOST_PROMPTS = 2000


@dataclass(frozen=True)
class TaskPrompt:
    """One prompt.

    Attributes:
        text: what the model reads; its next token is the answer.
        right: answers, each of one token.
        wrong: others that would be as likely, if the model could not do the task.
    """

    text: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.text:
            raise CircuitError("A prompt of a task is empty.")
        if any(not _is_whole(text) for text in (self.text, *self.right, *self.wrong)):
            raise CircuitError("A prompt of a task, or an answer, holds half a character.")
        if not self.right or not self.wrong:
            raise CircuitError("A prompt of a task needs a right and a wrong answer.")
        if both := set(self.right) & set(self.wrong):
            raise CircuitError(f"The answer {sorted(both)[0]!r} is both right and wrong.")


def read_task(lines: Iterable[str]) -> tuple[TaskPrompt, ...]:
    """Prompts from JSON lines, each with `prompt`, `right` and `wrong` (a text or several).

    Raises:
        CircuitError: a line is not like that; the message names it.
    """
    prompts: list[TaskPrompt] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            prompts.append(_prompt(json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise CircuitError(f"Line {number} of the task is not JSON.") from error
        except CircuitError as error:
            raise CircuitError(f"Line {number} of the task: {error}") from error
        if len(prompts) > MOST_PROMPTS:
            raise CircuitError(f"A task has at most {MOST_PROMPTS:,} prompts.")
    return tuple(prompts)


def answer_tokens(
    prompts: Sequence[TaskPrompt], token_of: Callable[[str], int | None]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The tokens of the right and the wrong answers of each prompt.

    Args:
        prompts: of a task.
        token_of: the token whose text this is; None where there is no such single token.

    Raises:
        CircuitError: an answer is not a single token of the model.
    """
    known: dict[str, int] = {}
    for answer in {text for prompt in prompts for text in (*prompt.right, *prompt.wrong)}:
        token = token_of(answer)
        if token is None:
            raise CircuitError(
                f"The answer {answer!r} is not a single token of this model. Answers are compared "
                "by one logit each: choose others, with the blank before them if there is one."
            )
        known[answer] = token
    return [
        (tuple(known[text] for text in prompt.right), tuple(known[text] for text in prompt.wrong))
        for prompt in prompts
    ]


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _prompt(value: Any) -> TaskPrompt:
    if not isinstance(value, dict) or not isinstance(value.get("prompt"), str):
        raise CircuitError('it needs "prompt", "right" and "wrong".')
    return TaskPrompt(value["prompt"], _answers(value, "right"), _answers(value, "wrong"))


def _answers(value: dict[str, Any], name: str) -> tuple[str, ...]:
    answers = value.get(name)
    if isinstance(answers, str):
        answers = [answers]
    if not isinstance(answers, list) or not all(isinstance(a, str) and a for a in answers):
        raise CircuitError(f'"{name}" is a text, or several in a list.')
    return tuple(dict.fromkeys(answers))
