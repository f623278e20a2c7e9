"""Every text of an experiment, drawn batch after batch; what is done is never done again.

A batch is a file of its own, which appears whole or not at all. Which prompts make a batch hangs on
plan and model alone, so that a run that was killed ends with the very texts of one that was not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.jobs.audit.experiments.readings import PromptBatch, PromptReadings, sample_seeds
from sae_core.audit.experiments.neutral import neutral_texts
from sae_core.audit.experiments.side_effects import NeutralText
from sae_core.audit.experiments.texts import ArmText, BatchTexts, SteeredArm, TextPlan, batch_texts
from sae_core.files.atomic import atomic_file
from sae_core.language_model.model import LanguageModel

_NEUTRAL = "neutral.json"


@dataclass(frozen=True)
class DrawnTexts:
    """What all arms made of all prompts.

    Attributes:
        texts: [prompts][arms][samples].
        lengths: tokens of each, float64 [prompts, arms, samples].
        repetition: share of each that says again what it said, float64, likewise.
        answers: log-probabilities, nats, float64 [prompts, arms, answers].
        neutral: what neutral text became.
    """

    texts: tuple[tuple[tuple[str, ...], ...], ...]
    lengths: NDArray[np.float64]
    repetition: NDArray[np.float64]
    answers: NDArray[np.float64]
    neutral: tuple[NeutralText, ...]

    @property
    def others(self) -> NDArray[np.float64]:
        """Share of samples whose text is another than the unsteered one's, [prompts, arms]."""
        return np.array(
            [
                [
                    np.mean([one != other for one, other in zip(arm, arms[0], strict=True)])
                    for arm in arms
                ]
                for arms in self.texts
            ]
        )


@dataclass(frozen=True)
class DrawingPlan:
    """What is drawn.

    Attributes:
        readings: of all prompts.
        arms: the unsteered one first.
        texts: how.
        seed: of all samples.
        samples: texts of each prompt and arm.
        answers: of each prompt the tokens of the answers whose probability is asked for.
        neutral: tokens of neutral texts.
    """

    readings: PromptReadings
    arms: Sequence[SteeredArm]
    texts: TextPlan
    seed: int
    samples: int
    answers: Sequence[Sequence[Sequence[int]]]
    neutral: Sequence[torch.Tensor]

    @property
    def n_texts(self) -> int:
        """Texts of all prompts, arms and samples."""
        return len(self.readings.tokens) * len(self.arms) * self.samples


class TextDrawing:
    """Draws texts into a folder.

    Args:
        folder: of this drawing alone.
        model: that writes.
        plan: what is drawn.

    Attributes:
        batches: prompts that are continued together.
    """

    def __init__(self, folder: Path, model: LanguageModel, plan: DrawingPlan) -> None:
        self._folder, self._model, self._plan = folder, model, plan
        rows = len(plan.arms) * plan.samples
        self.batches = plan.readings.batches(rows, plan.texts.n_tokens)

    def missing(self) -> list[int]:
        """Numbers of the batches that are not drawn yet."""
        return [n for n, batch in enumerate(self.batches) if self._kept(n, batch) is None]

    def draw(self, number: int) -> float:
        """Draw a batch and keep it; returns the seconds that it took.

        Raises:
            SteeringError: an arm drives the model out of its numbers.
            DiskError: it cannot be kept.
        """
        began = time.monotonic()
        batch, plan = self.batches[number], self._plan
        made = batch_texts(
            self._model,
            torch.tensor([plan.readings.tokens[at] for at in batch.numbers]),
            [sample_seeds(plan.seed, at, plan.samples) for at in batch.numbers],
            plan.arms,
            plan.readings.plan_of(plan.texts, batch.chat),
            [plan.answers[at] for at in batch.numbers] if plan.answers[0] else (),
        )
        self._keep(_name(number), _plain(batch, made))
        return time.monotonic() - began

    def read_neutral(self, on_texts: Callable[[int], object]) -> tuple[NeutralText, ...]:
        """Read neutral texts under all arms, once; told how many were read."""
        kept = self._read(_NEUTRAL)
        if kept is None:
            made = []
            for text in neutral_texts(self._model, self._plan.neutral, self._plan.arms):
                made.append([text.tokens, text.loss, text.kl])
                on_texts(1)
            self._keep(_NEUTRAL, made)
            kept = self._read(_NEUTRAL)
        return tuple(NeutralText(tokens, tuple(loss), tuple(kl)) for tokens, loss, kl in kept or ())

    def drawn(self, neutral: tuple[NeutralText, ...]) -> DrawnTexts:
        """All batches together; all of them are drawn."""
        n, arms, samples = (
            len(self._plan.readings.tokens),
            len(self._plan.arms),
            self._plan.samples,
        )
        texts: list[tuple[tuple[str, ...], ...]] = [()] * n
        lengths, repetition = np.zeros((2, n, arms, samples))
        answers = np.zeros((n, arms, len(self._plan.answers[0])))
        for at, rows, given in self._prompts():
            texts[at] = tuple(tuple(row[0] for row in arm) for arm in rows)
            lengths[at] = [[row[1] for row in arm] for arm in rows]
            repetition[at] = [[1 - row[2] for row in arm] for arm in rows]
            answers[at] = np.reshape(given, answers.shape[1:])
        return DrawnTexts(tuple(texts), lengths, repetition, answers, neutral)

    def _prompts(self) -> Iterator[tuple[int, Any, Any]]:
        for number, batch in enumerate(self.batches):
            kept = self._kept(number, batch)
            assert kept is not None
            yield from zip(kept["numbers"], kept["texts"], kept["answers"], strict=True)

    def _kept(self, number: int, batch: PromptBatch) -> dict[str, Any] | None:
        kept = self._read(_name(number))
        fits = isinstance(kept, dict) and kept.get("numbers") == list(batch.numbers)
        return kept if fits else None

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self._folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _keep(self, name: str, value: Any) -> None:
        with atomic_file(self._folder / name) as draft:
            draft.write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")


def _name(number: int) -> str:
    return f"batch-{number:06}.json"


def _plain(batch: PromptBatch, made: BatchTexts) -> dict[str, Any]:
    def row(text: ArmText) -> list[Any]:
        return [text.text, len(text.tokens), text.distinct]

    return {
        "numbers": batch.numbers,
        "texts": [[[row(text) for text in arm] for arm in prompt] for prompt in made.texts],
        "answers": made.answers,
    }
