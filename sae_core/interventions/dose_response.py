"""Dose and response: what one feature does at one strength after another.

For a strength, with p the unsteered and q the steered model:

    KL = mean over positions t of the prompt of  sum_v q(v | tok_<=t) log(q(v | ..) / p(v | ..))
    perplexity = exp(mean of -log p(tok_t | tok_<t))  over the continuation that q writes
    distinct = distinct triples of tokens / all triples  of that continuation

Means over the prompt leave special tokens out, which are never edited. A strength that drives the
model out of its numbers has NaN for each of its figures; the others know nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from sae_core.dictionaries.places import places_of
from sae_core.errors import SteeringError
from sae_core.interventions.generation import Scope, check_room, continuations
from sae_core.interventions.next_token import TokenSampling
from sae_core.interventions.prompt import check_tokens, text_positions
from sae_core.interventions.repetition import distinct_share
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Steering
from sae_core.interventions.traits import encoded_at_once
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.predictions import (
    log_probabilities,
    log_probabilities_of,
    perplexity,
    rows_at_once,
    wide,
)

# Tokens whose keys and values are held at a time; strengths beyond them wait for the next batch.
_TOKENS_HELD = 8192


@dataclass(frozen=True)
class DoseBaseline:
    """What the unsteered model makes of the prompt, to compare all strengths with.

    Attributes:
        perplexity: of its own continuation of the prompt.
        activation: the feature's mean activation over the prompt, model units.
        probabilities: those of the watched tokens directly after the prompt.
        distinct: distinct triples of tokens in its continuation, of all triples.
        text: its continuation.
    """

    perplexity: float
    activation: float
    probabilities: tuple[float, ...]
    distinct: float
    text: str


@dataclass(frozen=True)
class DoseMeasurement:
    """The model steered by one strength; where one figure is no number, all are NaN.

    Attributes:
        strength: in multiples of the feature's maximum; in mode scale, of what it reads.
        kl: divergence of its predictions from the unsteered model's, nats, mean over the prompt.
        perplexity: of its continuation, as the unsteered model reads it.
        activation: the feature's mean activation over the prompt after the edit, model units.
        probabilities: those of the watched tokens directly after the prompt.
        distinct: distinct triples of tokens in its continuation, of all triples; a loop has few.
        text: its continuation, up to where it has no numbers any more.
    """

    strength: float
    kl: float
    perplexity: float
    activation: float
    probabilities: tuple[float, ...]
    distinct: float
    text: str


def dose_response(
    model: LanguageModel,
    edit: FeatureEdit,
    strengths: Sequence[float],
    prompt: Tensor,
    n_tokens: int,
    sampling: TokenSampling,
    scope: Scope = Scope.ALL,
    watched: Sequence[int] = (),
) -> Iterator[DoseBaseline | DoseMeasurement | None]:
    """Steer one feature by each strength in turn, many strengths in one batch.

    Args:
        model: the language model that is steered.
        edit: the feature and how it is steered; its own strength does not matter.
        strengths: the strengths to steer by, one after another.
        prompt: token ids, int64 [n].
        n_tokens: how long a continuation may become, in tokens.
        sampling: how tokens are drawn, with the same random numbers for every continuation.
        scope: where the edit applies.
        watched: tokens whose probability after the prompt is followed.

    Yields:
        None after each piece of work that completes no result; the baseline as the first result,
        then a measurement for each strength, in their order.

    Raises:
        PromptError: a watched token is not in the vocabulary.
        SteeringError: the tokens do not fit the model's context, a strength times the maximum is
            no finite number, or the unsteered model itself leaves its numbers.
    """
    check_room(model, len(prompt), n_tokens)
    check_tokens(model, watched)
    edits = [replace(edit, strength=strength) for strength in strengths]
    is_text = torch.zeros(len(prompt), dtype=torch.float64)
    is_text[text_positions(model, prompt)] = 1.0
    # Everything that all strengths share.
    question = _Question(
        model=model,
        edit=edit,
        read=places_of(model, edit.dictionary).read,
        prompt=prompt,
        is_text=is_text,
        begin=scope.begin(len(prompt)),
        n_tokens=n_tokens,
        sampling=sampling,
        watched=list(watched),
    )
    # The unsteered model once, then the strengths in batches that fit into memory.
    base = yield from _unsteered(question)
    yield base.result
    at_once = max(1, _TOKENS_HELD // (len(prompt) + n_tokens))
    for begin in range(0, len(edits), at_once):
        batch = edits[begin : begin + at_once]
        points = yield from _steered(question, base, [e for e in batch if not e.is_neutral])
        for steered in batch:
            if steered.is_neutral:
                # The unsteered model itself, to the last bit.
                yield DoseMeasurement(strength=steered.strength, kl=0.0, **vars(base.result))
            else:
                yield points.pop(0)


@dataclass(frozen=True)
class _Question:
    """What `dose_response` was asked, with what follows from it.

    Attributes:
        read: where the feature is read.
        is_text: 1 where the prompt has text and 0 where a special token, float64 [n_prompt].
        begin: the first position that is edited.
    """

    model: LanguageModel
    edit: FeatureEdit
    read: HookPoint
    prompt: Tensor
    is_text: Tensor
    begin: int
    n_tokens: int
    sampling: TokenSampling
    watched: list[int]

    def mean(self, early: float, late: Tensor) -> float:
        """Mean over the prompt's text, of a sum up to `begin` and of values [n] from there on."""
        is_text = self.is_text[self.begin :]
        return (early + float(late.cpu().double() @ is_text)) / max(1.0, float(self.is_text.sum()))

    def chances(self, logits: Tensor) -> list[tuple[float, ...]]:
        """Probabilities of the watched tokens, by logits [rows, d_vocab]."""
        p = wide(logits).softmax(dim=-1)[:, self.watched]
        return [tuple(row) for row in p.tolist()]


@dataclass(frozen=True)
class _Unsteered:
    """What the unsteered model made of the prompt.

    Attributes:
        result: the baseline that is yielded.
        early: sum of the feature's activation over the text before the first edited position.
        before: the run that has read the prompt up to the first edited position, a batch of one.
        whole: the run that has read all of the prompt, a batch of one.
        hidden: what the unembedding reads from the first edited position on, [n, d_model].
    """

    result: DoseBaseline
    early: float
    before: SteeredRun
    whole: SteeredRun
    hidden: Tensor


class _Written(NamedTuple):
    """The continuations of a batch.

    Attributes:
        tokens: the ids that each row generated.
        texts: the text that each row generated.
        broken: the rows that ended because their predictions were no numbers any more.
    """

    tokens: list[list[int]]
    texts: list[str]
    broken: set[int]


def _unsteered(question: _Question) -> Generator[None, None, _Unsteered]:
    """The baseline, with the runs that the steered ones begin from."""
    model, begin = question.model, question.begin
    plain = Steering(model, [()])
    # The prompt up to the first edited position, which all strengths share.
    before = SteeredRun(plain)
    early = 0.0
    if begin:
        acts = (yield from _read(question, before, question.prompt[None, :begin])).acts[0]
        early = float(acts.cpu().double() @ question.is_text[:begin])
    # The rest of the prompt, then a continuation and how the model reads it.
    whole = before.forked(plain)
    reading = yield from _read(question, whole, question.prompt[None, begin:])
    logits = whole.next_logits(reading.hidden[:, -1])
    written = yield from _write(question, whole.forked(plain), logits)
    (own,) = yield from _perplexities(whole, reading.hidden[0, -1], written.tokens)
    (probabilities,) = question.chances(logits)
    activation = question.mean(early, reading.acts[0])
    if written.broken or not math.isfinite(activation):
        raise SteeringError(
            "The unsteered model's predictions on this prompt are no numbers: harvest it in a "
            "wider dtype."
        )
    result = DoseBaseline(
        perplexity=own,
        activation=activation,
        probabilities=probabilities,
        distinct=distinct_share(written.tokens[0]),
        text=written.texts[0],
    )
    return _Unsteered(result, early, before, whole, reading.hidden[0])


def _steered(
    question: _Question, base: _Unsteered, edits: list[FeatureEdit]
) -> Generator[None, None, list[DoseMeasurement]]:
    """The points of some strengths, one batch."""
    if not edits:
        return []
    # One row for each strength, all from the unsteered run at the first edited position.
    steering = Steering(question.model, [[edit] for edit in edits], question.begin)
    run = base.before.forked(steering)
    prompt = question.prompt[question.begin :].expand(len(edits), -1)
    reading = yield from _read(question, run, prompt)
    kl = yield from _kl(question.model, reading.hidden, base.hidden)
    logits = run.next_logits(reading.hidden[:, -1])
    written = yield from _write(question, run, logits)
    perplexities = yield from _perplexities(base.whole, base.hidden[-1], written.tokens)
    probabilities = question.chances(logits)
    points = [
        DoseMeasurement(
            strength=edit.strength,
            kl=question.mean(0.0, kl[row]),
            perplexity=perplexities[row],
            activation=question.mean(base.early, reading.acts[row]),
            probabilities=probabilities[row],
            distinct=distinct_share(written.tokens[row]),
            text=written.texts[row],
        )
        for row, edit in enumerate(edits)
    ]
    return [_figured(point, row in written.broken) for row, point in enumerate(points)]


def _figured(point: DoseMeasurement, broken: bool) -> DoseMeasurement:
    """The measurement, with NaN for all of its figures where one of them is not a number."""
    if broken or not (math.isfinite(point.kl) and math.isfinite(point.activation)):
        none = (math.nan,) * len(point.probabilities)
        return replace(
            point,
            kl=math.nan,
            perplexity=math.nan,
            activation=math.nan,
            probabilities=none,
            distinct=math.nan,
        )
    return replace(point, kl=max(0.0, point.kl))  # rounding may bring it below


class _DoseReading(NamedTuple):
    """What a run left behind while it read tokens.

    Attributes:
        hidden: what the unembedding reads, [rows, pos, d_model].
        acts: the feature's activation after the edits, [rows, pos].
    """

    hidden: Tensor
    acts: Tensor


def _read(
    question: _Question, run: SteeredRun, tokens: Tensor
) -> Generator[None, None, _DoseReading]:
    """Feed tokens [rows, pos] to a run and encode the feature, in short pieces of work."""
    dictionary, feature, point = question.edit.dictionary, question.edit.feature, question.read
    hidden, acts = [], []
    for fed in run.feed_in_pieces(tokens, [point]):
        hidden.append(fed.hidden)
        yield None
        rows = []
        for piece in torch.split(fed.x[point].flatten(0, 1), encoded_at_once(dictionary)):
            rows.append(dictionary.encode_feature(piece, feature))
            yield None
        acts.append(torch.cat(rows).view(fed.hidden.shape[:2]))
    return _DoseReading(torch.cat(hidden, dim=1), torch.cat(acts, dim=1))


def _write(question: _Question, run: SteeredRun, logits: Tensor) -> Generator[None, None, _Written]:
    """Continue all rows of a run from the logits [rows, d_vocab] of their first token."""
    written = _Written([[] for _ in logits], ["" for _ in logits], set())
    for step in continuations(run, logits, question.n_tokens, question.sampling):
        for drawn in step:
            if math.isfinite(drawn.probability):
                written.tokens[drawn.row].append(drawn.token)
            else:
                written.broken.add(drawn.row)
            written.texts[drawn.row] += drawn.text
        yield None
    return written


def _kl(model: LanguageModel, hidden: Tensor, base: Tensor) -> Generator[None, None, Tensor]:
    """KL(q || p) in nats, [rows, pos].

    Args:
        model: the language model that both are states of.
        hidden: final hidden states of the steered model, [rows, pos, d_model].
        base: those of the unsteered model, [pos, d_model].
    """
    n_rows = len(hidden)
    pieces = []
    step = max(1, rows_at_once(model) // n_rows)
    for begin in range(0, len(base), step):
        there = slice(begin, begin + step)
        log_p = torch.cat(list(log_probabilities(model, base[there])))
        log_q = torch.cat(list(log_probabilities(model, hidden[:, there].flatten(0, 1))))
        log_q = log_q.view(n_rows, *log_p.shape)
        pieces.append((log_q.exp() * (log_q - log_p)).sum(dim=-1))
        yield None
    return torch.cat(pieces, dim=1)


def _perplexities(
    whole: SteeredRun, hidden: Tensor, texts: Sequence[Sequence[int]]
) -> Generator[None, None, list[float]]:
    """The perplexity of each continuation under the unsteered model.

    Args:
        whole: the unsteered run at the end of the prompt.
        hidden: its last final hidden state, [d_model].
        texts: tokens of each continuation; the perplexity of an empty one means nothing.
    """
    model = whole.steering.model
    n_rows, longest = len(texts), max(1, *map(len, texts))
    # Continuations side by side, padded at their ends, where nothing is read.
    tokens = torch.zeros(n_rows, longest, dtype=torch.int64)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    # What predicts each token: the end of the prompt, then all tokens but the last.
    before = [hidden.expand(n_rows, 1, -1)]
    if longest > 1:
        run = whole.forked(Steering(model, [()] * n_rows))
        for fed in run.feed_in_pieces(tokens[:, :-1]):
            before.append(fed.hidden)
            yield None
    pieces = []
    all_hidden = torch.cat(before, dim=1).flatten(0, 1)
    for piece in log_probabilities_of(model, all_hidden, tokens.flatten()):
        pieces.append(piece)
        yield None
    log_p = torch.cat(pieces).view(n_rows, longest)
    return [perplexity(row[: len(text)]) for row, text in zip(log_p, texts, strict=True)]
