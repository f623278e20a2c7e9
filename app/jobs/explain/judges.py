"""What a language model is asked about a label, and how its answers become a score.

A judge sees a label and excerpts that the explainer never saw. Each asks its questions one by one;
a question that fails takes its excerpts out of the score and is counted with its reason.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from app.jobs.explain.endpoint import ChatEndpoint, ChatReply, EndpointFailure, Prompt
from app.jobs.explain.excerpts import Excerpt
from app.jobs.explain.explainers import MARKED_SHARE
from app.jobs.explain.verdicts import SHOWN, HeldOut, Judgement, Said, ScorerKind
from sae_core.evaluation.label_scores import (
    LabelScore,
    auroc,
    balanced_accuracy,
    correlation,
    share,
)

VERSION = 2  # of all prompts here
SIMULATED = 10  # excerpts whose activations are told token by token
HIGHEST = 9  # of the digits that stand for activations
_NO_SCORE = LabelScore(math.nan, math.nan, math.nan, 0)


Judge = Callable[[ChatEndpoint, str, HeldOut, int], Judgement]

_DETECTION = (
    "You are given the label of a feature inside a language model, and numbered excerpts of text. "
    "The feature fires in some of them, perhaps in none or in all. For each excerpt say 1 if what "
    "the label describes occurs in it, else 0. Answer with nothing but a JSON list of "
    "{n} numbers, such as {example}."
)
_FUZZING = (
    "You are given the label of a feature inside a language model, and numbered excerpts of text "
    "with some tokens between << and >>. For each excerpt say 1 if the marked tokens are those "
    "that the label describes, else 0. Answer with nothing but a JSON list of {n} numbers, such "
    "as {example}."
)

# What excerpts hold, and what is right of them.
_DETECTED = {
    "names of months": (
        ("until the end of March, when", True),
        ("the door was painted red", False),
    ),
    "questions": (("nobody knows why it fell", False), ("Where were you? I", True)),
}
_FUZZED = {
    "names of months": (("the end of<< March>>, when", True), ("in May<< the>> rain", False)),
    "colours": (("the door<< was>> red", False), ("painted<< blue>> and", True)),
}


def detection(endpoint: ChatEndpoint, label: str, held_out: HeldOut, seed: int) -> Judgement:
    """In which excerpts does the feature fire? Balanced accuracy."""
    cases = [(e, e.text, True) for e in held_out.firing]
    cases += [(e, e.text, False) for e in held_out.silent]
    return _classified(endpoint, _DETECTION, _DETECTED, label, cases, held_out.shown, seed)


def fuzzing(endpoint: ChatEndpoint, label: str, held_out: HeldOut, seed: int) -> Judgement:
    """Are the right tokens marked? Balanced accuracy over excerpts in which the feature fires.

    In every second one as many other tokens are marked instead.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for number, excerpt in enumerate(held_out.firing):
        fires = excerpt.values >= MARKED_SHARE * excerpt.maximum
        quiet = np.flatnonzero(excerpt.values == 0)
        wrong = bool(number % 2) and len(quiet) >= fires.sum()
        marks = fires
        if wrong:
            marks = np.zeros(len(fires), bool)
            marks[rng.choice(quiet, int(fires.sum()), replace=False)] = True
        cases.append((excerpt, excerpt.marked(marks), not wrong))
    return _classified(endpoint, _FUZZING, _FUZZED, label, cases, held_out.shown, seed)


def _classified(
    endpoint: ChatEndpoint,
    system: str,
    examples: Mapping[str, Sequence[tuple[str, bool]]],
    label: str,
    cases: list[tuple[Excerpt, str, bool]],
    n_shown: int,
    seed: int,
) -> Judgement:
    said = Said()
    order = np.random.default_rng(seed).permutation(len(cases))
    for begin in range(0, len(order), n_shown):
        shown = [cases[i] for i in order[begin : begin + n_shown]]
        example = json.dumps([i % 2 for i in range(len(shown))])
        user = _classification(label, [text for _, text, _ in shown])
        most = 8 if len(shown) == 1 else 10 + 8 * len(shown)
        task = system.format(n=len(shown), example=example)
        prompt = Prompt(task, user, most, examples=_worked(examples, len(shown)))
        try:
            answers = _zeros_and_ones(endpoint.chat(prompt), len(shown))
        except EndpointFailure as error:
            said.fail(error)
            continue
        for (excerpt, _, actual), told in zip(shown, answers, strict=True):
            said.add(excerpt, actual, told)
    return said.judgement(balanced_accuracy(said.actual, said.told))


def _classification(label: str, texts: Sequence[str]) -> str:
    wanted = "1 or 0" if len(texts) == 1 else f"a list of {len(texts)} numbers"
    lines = [f"{number}. {text!r}" for number, text in enumerate(texts, 1)]
    return "\n".join([f"Label: {label}", *lines, f"Answer with {wanted}:"])


def _worked(
    examples: Mapping[str, Sequence[tuple[str, bool]]], n: int
) -> Sequence[tuple[str, str]]:
    """Labels with excerpts as cases of `n` excerpts each, or of as many as there are."""
    turns = []
    for label, excerpts in examples.items():
        size = min(n, len(excerpts))
        for begin in range(0, len(excerpts) - size + 1, size):
            shown = excerpts[begin : begin + size]
            answer = json.dumps([int(told) for _, told in shown])
            case = _classification(label, [text for text, _ in shown])
            turns.append((case, answer if n > 1 else answer.strip("[]")))
    return turns


def _zeros_and_ones(reply: ChatReply, n: int) -> list[bool]:
    """The list in an answer; of one excerpt also a 0 or 1 that the answer begins with."""
    alone = re.match(r"\W*([01])(?!\d)", reply.text) if n == 1 else None
    if alone:
        return [alone[1] == "1"]
    found = re.search(r"\[[^\[\]]*\]", reply.text)
    try:
        values = json.loads(found[0]) if found else None
    except ValueError:
        values = None
    if not isinstance(values, list) or len(values) != n or any(v not in (0, 1) for v in values):
        raise EndpointFailure(f"The answer is no list of {n} zeros and ones.")
    return [bool(value) for value in values]


_INTRUDER = (
    "You are given {n} numbered excerpts of text, each with some tokens between << and >>. In all "
    "but one the marked tokens, or what comes before them, have something in common. Answer with "
    "nothing but the number of the one that does not belong."
)


def intruder(endpoint: ChatEndpoint, _label: str, held_out: HeldOut, seed: int) -> Judgement:
    """Which excerpt does not belong? Share told right; the label is not shown.

    Four excerpts in which the feature fires, of like activation, and one in which it does not, with
    as many tokens marked.
    """
    rng = np.random.default_rng(seed)
    said = Said()
    hits = trials = 0
    for begin in range(0, len(held_out.firing) - SHOWN + 2, SHOWN - 1):
        own = list(held_out.firing[begin : begin + SHOWN - 1])
        number = begin // (SHOWN - 1)
        if number >= len(held_out.silent):
            break
        stranger = held_out.silent[number]
        place = int(rng.integers(SHOWN))
        texts = [e.marked(e.values >= MARKED_SHARE * e.maximum) for e in own]
        marks = np.zeros(len(stranger.pieces), bool)
        n_marks = min(len(marks), int((own[0].values >= MARKED_SHARE * own[0].maximum).sum()))
        marks[rng.choice(len(marks), n_marks, replace=False)] = True
        texts.insert(place, stranger.marked(marks))
        user = "\n".join(f"{i}. {text!r}" for i, text in enumerate(texts, 1))
        try:
            told = _number(endpoint.chat(Prompt(_INTRUDER.format(n=SHOWN), user, 12)), SHOWN)
        except EndpointFailure as error:
            said.fail(error)
            continue
        trials += 1
        hits += told == place + 1
        said.add(stranger, False, told != place + 1)
    return said.judgement(share(hits, trials))


def _number(reply: ChatReply, most: int) -> int:
    found = re.search(r"\d+", reply.text)
    if not found or not 1 <= int(found[0][:9]) <= most:
        raise EndpointFailure(f"The answer is no number from 1 to {most}.")
    return int(found[0])


_SIMULATION = (
    "You are given the label of a feature inside a language model, and an excerpt of text, token "
    "by token. For each token guess how strongly the feature fires on it, from 0 (not at all) to 9 "
    "(as strongly as it can). Most are 0. Answer with nothing but {n} digits with blanks between, "
    "one for each token."
)


def simulation(endpoint: ChatEndpoint, label: str, held_out: HeldOut, _seed: int) -> Judgement:
    """How strongly does it fire on each token? Correlation with the truth over all tokens.

    The guess is the expectation over the log-probabilities of the digits (Bills et al. 2023).
    """
    said = Said()
    told: list[NDArray[np.float64]] = []
    true: list[NDArray[np.float64]] = []
    half = SIMULATED // 2
    for excerpt in [
        *held_out.firing[:: max(1, len(held_out.firing) // half)][:half],
        *held_out.silent[:: max(1, len(held_out.silent) // half)][:half],
    ]:
        n = len(excerpt.pieces)
        lines = [f"{i}: {token!r}" for i, token in enumerate(excerpt.tokens, 1)]
        user = "\n".join([f"Label: {label}", *lines])
        prompt = Prompt(_SIMULATION.format(n=n), user, 4 * n + 20, log_probabilities=True)
        try:
            guessed = expected_digits(endpoint.chat(prompt), n)
        except EndpointFailure as error:
            said.fail(error)
            continue
        told.append(guessed)
        true.append(excerpt.values.astype(np.float64))
        said.add(excerpt, excerpt.maximum > 0, bool(guessed.max() >= HIGHEST / 2))
    score = correlation(told, true) if told else _NO_SCORE
    return said.judgement(score)


def expected_digits(reply: ChatReply, n: int) -> NDArray[np.float64]:
    """For each of `n` digits of an answer its expectation under the model, float64 [n].

    Raises:
        EndpointFailure: the endpoint gives no log-probabilities, or the answer is no `n` digits.
    """
    if not reply.tokens:
        raise EndpointFailure("The endpoint gives no log-probabilities, which simulation needs.")
    expected = []
    for likeliest in reply.tokens:
        chosen = max(likeliest, key=lambda token: likeliest[token], default="")
        if chosen.strip() not in _DIGITS:
            continue
        weights = np.zeros(HIGHEST + 1)
        for token, log_probability in likeliest.items():
            if token.strip() in _DIGITS:
                weights[int(token)] += math.exp(log_probability)
        expected.append(float(weights @ np.arange(HIGHEST + 1) / weights.sum()))
    if len(expected) != n:
        raise EndpointFailure(
            f"The answer has {len(expected)} digits, not one for each of {n} tokens."
        )
    return np.array(expected)


_DIGITS = frozenset("0123456789")


def embedding(model: str) -> Judge:
    """A judge that compares vectors of the label and of the excerpts: AUROC of their cosines."""

    def judge(endpoint: ChatEndpoint, label: str, held_out: HeldOut, _seed: int) -> Judgement:
        said = Said()
        excerpts = [*held_out.firing, *held_out.silent]
        if not excerpts:
            return said.judgement(_NO_SCORE)
        try:
            vectors = np.array(endpoint.embeddings(model, [label, *(e.text for e in excerpts)]))
        except EndpointFailure as error:
            said.fail(error)
            return said.judgement(_NO_SCORE)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        cosines = vectors[1:] @ vectors[0]
        middle = float(np.median(cosines))
        for excerpt, cosine in zip(excerpts, cosines, strict=True):
            said.add(excerpt, excerpt.maximum > 0, bool(cosine > middle))
        n = len(held_out.firing)
        return said.judgement(auroc(cosines[:n], cosines[n:]))

    return judge


_INTERVENTION = (
    "A language model wrote the text below while one feature inside it was turned up. Here are "
    "{n} labels of features; one of them is that feature's. Answer with nothing but the number of "
    "the label that fits the text best."
)


def intervention(others: Sequence[str]) -> Judge:
    """A judge that picks the label among others by steered text alone: share picked right.

    Args:
        others: labels of other features, of which four are shown.
    """

    def judge(endpoint: ChatEndpoint, label: str, held_out: HeldOut, seed: int) -> Judgement:
        said = Said()
        different = sorted({other for other in others if other != label})
        if len(different) < SHOWN - 1:
            said.fail(
                EndpointFailure(f"There are fewer than {SHOWN - 1} other labels to choose from.")
            )
            return said.judgement(_NO_SCORE)
        rng = np.random.default_rng(seed)
        hits = trials = 0
        for text in held_out.steered:
            shown = [different[i] for i in rng.choice(len(different), SHOWN - 1, replace=False)]
            place = int(rng.integers(SHOWN))
            shown.insert(place, label)
            labels = "\n".join(f"{i}. {one}" for i, one in enumerate(shown, 1))
            user = f"Labels:\n{labels}\n\nText: {text!r}"
            try:
                told = _number(
                    endpoint.chat(Prompt(_INTERVENTION.format(n=SHOWN), user, 12)), SHOWN
                )
            except EndpointFailure as error:
                said.fail(error)
                continue
            trials += 1
            hits += told == place + 1
        return said.judgement(share(hits, trials))

    return judge


def judges(embedding_model: str, others: Sequence[str]) -> dict[ScorerKind, Judge]:
    """The judge of each kind.

    Args:
        embedding_model: name of the endpoint's model for vectors.
        others: labels of other features.
    """
    return {
        ScorerKind.DETECTION: detection,
        ScorerKind.FUZZING: fuzzing,
        ScorerKind.INTRUDER: intruder,
        ScorerKind.SIMULATION: simulation,
        ScorerKind.EMBEDDING: embedding(embedding_model),
        ScorerKind.INTERVENTION: intervention(others),
    }
