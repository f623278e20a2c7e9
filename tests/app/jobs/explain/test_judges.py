"""Judges: what is asked, how answers are read, and what is made of failures."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from app.jobs.explain.endpoint import ChatReply, EndpointFailure, Prompt
from app.jobs.explain.excerpts import Excerpt, cut, for_scoring, over_the_range
from app.jobs.explain.explainers import Evidence, ExplainerKind, explainer_prompt, label_of
from app.jobs.explain.judges import expected_digits, judges
from app.jobs.explain.verdicts import HeldOut, ScorerKind


def excerpt(document: int, peak: int | None, n: int = 8) -> Excerpt:
    values = np.zeros(n, np.float32)
    pieces = [f" w{i}".encode() for i in range(n)]
    if peak is not None:
        values[peak] = 1.0 + document
        pieces[peak] = b" fox"
    return Excerpt(tuple(pieces), values, document, document)


HELD_OUT = HeldOut(
    firing=[excerpt(n, n % 8) for n in range(12)],
    hard=[excerpt(20 + n, None) for n in range(6)],
    random=[excerpt(40 + n, None) for n in range(6)],
    steered=["fox fox", "a fox ran", "dog", "fox"],
)


class Told:
    """An endpoint that answers as it is told."""

    def __init__(self, answer: Callable[[Prompt], str]) -> None:
        self.answer = answer
        self.prompts: list[Prompt] = []

    def chat(self, prompt: Prompt) -> ChatReply:
        self.prompts.append(prompt)
        return ChatReply(self.answer(prompt))

    def embeddings(self, _model: str, texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, float("fox" in text), 0.0] for text in texts]


def test_one_excerpt_at_a_time_is_answered_by_a_number() -> None:
    told = Told(lambda p: "1." if "fox" in p.user.partition("1. ")[2] else "0, since it is not")
    held_out = replace(HELD_OUT, shown=1)
    judgement = judges("", [])[ScorerKind.DETECTION](told, "foxes", held_out, 0)
    assert (judgement.score.value, judgement.score.n) == (1.0, 24)
    assert len(told.prompts) == 24
    unclear = judges("", [])[ScorerKind.DETECTION](Told(lambda _: "10"), "x", held_out, 0)
    assert sum(unclear.failures.values()) == 24


def cases(prompt: Prompt) -> list[str]:
    return re.findall(r"^\d+\. (.*)$", prompt.user, re.MULTILINE)


def test_a_judge_that_knows_is_always_right() -> None:
    told = Told(lambda p: str([int("fox" in case) for case in cases(p)]))
    judgement = judges("", [])[ScorerKind.DETECTION](told, "foxes", HELD_OUT, 0)
    assert judgement.score.value == 1.0
    assert judgement.score.n == 24
    assert len(told.prompts) == 5
    assert all("foxes" in p.user for p in told.prompts)
    assert not any("<<" in p.user for p in told.prompts)
    assert sum(e["firing"] for e in judgement.excerpts) == 12


def test_a_judge_that_always_says_yes_scores_chance() -> None:
    told = Told(lambda p: json.dumps([1] * len(cases(p))))
    judgement = judges("", [])[ScorerKind.DETECTION](told, "x", HELD_OUT, 0)
    assert judgement.score.value == 0.5


def test_fuzzing_marks_the_right_tokens_in_half_and_as_many_others_in_the_rest() -> None:
    told = Told(lambda p: str([int("<< fox>>" in case) for case in cases(p)]))
    judgement = judges("", [])[ScorerKind.FUZZING](told, "foxes", HELD_OUT, 0)
    assert judgement.score.value == 1.0
    shown = [case for p in told.prompts for case in cases(p)]
    assert len(shown) == 12
    assert all(case.count("<<") == 1 for case in shown)
    assert sum("<< fox>>" in case for case in shown) == 6


def test_the_intruder_is_the_one_in_which_it_is_silent() -> None:
    told = Told(lambda p: str(1 + next(i for i, c in enumerate(cases(p)) if "fox" not in c)))
    judgement = judges("", [])[ScorerKind.INTRUDER](told, "not shown", HELD_OUT, 0)
    assert (judgement.score.value, judgement.score.n) == (1.0, 3)
    assert not any("not shown" in p.user for p in told.prompts)


def test_a_label_is_picked_among_five_by_steered_text() -> None:
    others = [f"other {n}" for n in range(6)]

    def pick(p: Prompt) -> str:
        labels = [line.partition(". ")[2] for line in p.user.splitlines()[1:6]]
        assert len(set(labels)) == 5
        return str(1 + labels.index("foxes")) if "fox" in p.user.partition("Text: ")[2] else "9"

    judgement = judges("", others)[ScorerKind.INTERVENTION](Told(pick), "foxes", HELD_OUT, 0)
    assert (judgement.score.value, judgement.score.n) == (1.0, 3)
    assert judgement.failures == {"The answer is no number from 1 to 5.": 1}
    few = judges("", others[:3])[ScorerKind.INTERVENTION](Told(pick), "foxes", HELD_OUT, 0)
    assert math.isnan(few.score.value)
    assert few.failures == {"There are fewer than 4 other labels to choose from.": 1}


def test_vectors_part_firing_from_silent() -> None:
    judgement = judges("vectors", [])[ScorerKind.EMBEDDING](Told(str), "a fox", HELD_OUT, 0)
    assert judgement.score.value == 1.0


@pytest.mark.parametrize(
    "answer", ["", "yes", "[1, 0]", "[2, 0, 0, 0, 0]", "[1, 0, 'a'", "I cannot"]
)
def test_answers_that_cannot_be_read_are_failures_and_no_zeros(answer: str) -> None:
    judgement = judges("", [])[ScorerKind.DETECTION](Told(lambda _: answer), "x", HELD_OUT, 0)
    assert math.isnan(judgement.score.value)
    assert sum(judgement.failures.values()) == 5
    assert "no list of" in next(iter(judgement.failures))


def test_a_simulated_activation_is_an_expectation() -> None:
    tokens = (
        {"9": math.log(0.5), "0": math.log(0.25), "x": math.log(0.25)},
        {" ": -0.1, "3": -3.0},
        {" 2": math.log(0.9), " 4": math.log(0.1)},
    )
    assert expected_digits(ChatReply("9 2", tokens=tokens), 2) == pytest.approx([6.0, 2.2])
    with pytest.raises(EndpointFailure, match="2 digits, not one for each of 3"):
        expected_digits(ChatReply("9 2", tokens=tokens), 3)
    with pytest.raises(EndpointFailure, match="gives no log-probabilities"):
        expected_digits(ChatReply("9 2"), 2)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("LABEL: the word fox", "the word fox"),
        ("Let me think.\n\n**LABEL:** foxes  and dogs\nThanks", "foxes and dogs"),
        ('"foxes"', "foxes"),
        ("label: <b>foxes</b>", "<b>foxes</b>"),
    ],
)
def test_a_label_is_read_out_of_an_answer(answer: str, label: str) -> None:
    assert label_of(ChatReply(answer)) == label


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("", "answered nothing"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("LABEL: I cannot say", "refused"),
        ("First line\nSecond line", "no line with LABEL"),
        ("LABEL: " + "x" * 301, "has 301 characters"),
        ("LABEL: a\u202eb", "cannot be seen"),
    ],
)
def test_an_answer_without_a_label_is_a_reason(answer: str, words: str) -> None:
    with pytest.raises(EndpointFailure, match=words):
        label_of(ChatReply(answer))


def test_an_explainer_sees_marked_tokens_and_what_is_raised() -> None:
    evidence = Evidence(HELD_OUT.firing, HELD_OUT.hard, [" den"], [" cat"])
    shown = explainer_prompt(ExplainerKind.MAXIMA, evidence).user
    assert shown.count("<< fox>>") == 12
    assert "' den'" in shown
    assert "' cat'" in shown
    assert "NOT" not in shown
    assert "does NOT fire" in explainer_prompt(ExplainerKind.CONTRAST, evidence).user


def test_excerpts_come_from_the_whole_range_of_activation() -> None:
    excerpts = [excerpt(n, 1) for n in range(100)]
    drawn = over_the_range(excerpts, 20, seed=0)
    maxima = [e.maximum for e in drawn]
    assert maxima == sorted(maxima, reverse=True)
    assert [sum(10 * k < m <= 10 * (k + 1) for m in maxima) for k in range(10)] == [2] * 10
    assert len(over_the_range(excerpts[:7], 20, seed=0)) == 7
    assert over_the_range([], 20, seed=0) == []


def test_documents_are_parted_in_two_halves() -> None:
    halves = [for_scoring(document, 3) for document in range(2000)]
    assert 900 < sum(halves) < 1100
    assert halves != [for_scoring(document, 4) for document in range(2000)]


def test_an_excerpt_has_its_peak_inside() -> None:
    pieces = [f"{i} ".encode() for i in range(100)]
    for peak in (0, 5, 50, 99):
        values = np.zeros(100, np.float32)
        values[peak] = 2.0
        part = cut(pieces, values, peak, 0, 0)
        assert len(part.pieces) == 32
        assert part.maximum == 2.0
        assert part.pieces[int(part.values.argmax())] == pieces[peak]
    assert len(cut(pieces[:5], np.ones(5, np.float32), 4, 0, 0).pieces) == 5
