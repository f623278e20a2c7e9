"""Outcomes of all texts, as numbers: one for each prompt and arm, the mean over its samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.jobs.audit.experiments.drawing import DrawnTexts
from app.jobs.audit.experiments.judging import JudgeQuestion
from app.jobs.audit.experiments.plan_schema import OutcomeTable
from app.jobs.audit.experiments.prompts import PromptFile
from sae_core.audit.experiments.comparisons import OutcomeValues
from sae_core.audit.experiments.outcomes import TextPattern, has_words

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class AskedOutcome:
    """One outcome, understood.

    Attributes:
        name: unique in its experiment.
        kind: as in `OutcomeRecord`.
        about: in a line.
        happens: whether it lies between 0 and 1.
        table: of the plan.
        answers: how many answers' probabilities it needs: its own, then those it is held against.
    """

    name: str
    kind: str
    about: str
    happens: bool
    table: OutcomeTable
    answers: int = 0


def asked_outcome(table: OutcomeTable) -> AskedOutcome:
    """What a table of the plan asks for.

    Raises:
        ExperimentError: its pattern is none.
    """
    if table.words:
        words = ", ".join(map(repr, table.words[:5])) + (" …" if len(table.words) > 5 else "")
        about = f"whether any of these words stands in the text: {words}"
        return AskedOutcome(table.name or f"says {words}"[:200], "words", about, True, table)
    if table.pattern is not None:
        TextPattern(table.pattern)
        name = table.name or f"matches {table.pattern}"[:200]
        about = f"whether the text has the pattern {table.pattern}"
        return AskedOutcome(name, "pattern", about, True, table)
    if table.measure is not None:
        about = {
            "length": "tokens of the text",
            "repetition": "share of its triples of tokens that stood before",
        }[table.measure]
        happens = table.measure == "repetition"
        return AskedOutcome(table.name or table.measure, table.measure, about, happens, table)
    if table.monitor is not None:
        about = f"level of the monitor {table.monitor} on the text, read by the unsteered model"
        return AskedOutcome(
            table.name or f"monitor {table.monitor}", "monitor", about, False, table
        )
    if table.question is not None:
        scale = "yes or no" if table.scale is None else f"0 to {table.scale}"
        about = f"{' '.join(table.question.split())} ({scale}, asked of {table.judge})"
        name = table.name or f"judged: {' '.join(table.question.split())}"[:200]
        return AskedOutcome(name, "judge", about, table.scale is None, table)
    given = repr(table.answer) if table.answer else f"the field {table.answer_field}"
    about = f"probability of {given} after the prompt"
    if table.against:
        about += ", as a share of it and of " + ", ".join(map(repr, table.against))
    name = table.name or f"probability of {given}"[:200]
    return AskedOutcome(name, "answer", about, True, table, 1 + len(table.against))


def answers_of(outcomes: Sequence[AskedOutcome], file: PromptFile) -> list[list[str]]:
    """Of each prompt the answers whose probability is asked for, outcome after outcome."""
    return [
        [
            answer
            for outcome in outcomes
            if outcome.answers
            for answer in (
                outcome.table.answer or prompt.fields[str(outcome.table.answer_field)],
                *outcome.table.against,
            )
        ]
        for prompt in file.prompts
    ]


class OutcomeReader:
    """Reads outcomes off texts.

    Args:
        drawn: all texts.
        judge: what a judge says of them, float64 [prompts, arms, samples].
        monitor: the levels of a monitor on them, likewise.
    """

    def __init__(
        self,
        drawn: DrawnTexts,
        judge: Callable[[AskedOutcome, JudgeQuestion], Numbers],
        monitor: Callable[[str], Numbers],
    ) -> None:
        self._drawn, self._judge, self._monitor = drawn, judge, monitor

    def read(self, outcomes: Sequence[AskedOutcome]) -> list[OutcomeValues]:
        """All outcomes, in their order.

        Raises:
            ExperimentError: a pattern takes too long.
        """
        rows, answers = [], 0
        for outcome in outcomes:
            if outcome.kind == "answer":
                there = slice(answers, answers + outcome.answers)
                values = _share(self._drawn.answers[:, :, there])
                answers += outcome.answers
            else:
                values = self._values(outcome).mean(axis=2)
            rows.append(OutcomeValues(outcome.name, values, outcome.happens))
        return rows

    def _values(self, outcome: AskedOutcome) -> Numbers:
        table = outcome.table
        match outcome.kind:
            case "words":
                return self._each(lambda text: has_words(text, table.words))
            case "pattern":
                pattern = TextPattern(str(table.pattern))
                return self._each(pattern.found)
            case "length":
                return self._drawn.lengths
            case "repetition":
                return self._drawn.repetition
            case "monitor":
                return self._monitor(str(table.monitor))
            case _:
                return self._judge(outcome, JudgeQuestion(str(table.question), table.scale))

    def _each(self, look: Callable[[str], bool]) -> Numbers:
        return np.array(
            [[[look(text) for text in arm] for arm in arms] for arms in self._drawn.texts],
            dtype=np.float64,
        )


def _share(log_p: Numbers) -> Numbers:
    """exp of the first of some log-probabilities [..., n], over the sum of all where there are
    others."""
    if log_p.shape[-1] == 1:
        alone: Numbers = np.exp(log_p[..., 0])
        return alone
    top = log_p.max(axis=-1, keepdims=True)
    p = np.exp(log_p - np.where(np.isfinite(top), top, 0.0))
    total = p.sum(axis=-1)
    share: Numbers = np.divide(p[..., 0], total, out=np.full(total.shape, np.nan), where=total > 0)
    return share
