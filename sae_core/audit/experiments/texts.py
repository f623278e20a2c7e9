"""Texts of several arms: every prompt continued under every arm, in batches, with kept keys.

Prompts of a batch are equally long, so that no row needs padding. A row's random numbers come from
its own seed, the same in every arm (common random numbers): where two arms predict alike they write
alike, and what differs is the arms' doing. A row gets what the steering page gives for its prompt,
edits and seed, but for the last bits, which depend on how many rows are computed together.
"""

from __future__ import annotations

import codecs
import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from typing_extensions import override

from sae_core.errors import SteeringError
from sae_core.interventions.generation import Scope, end_tokens
from sae_core.interventions.next_token import Sampler, TokenSampling
from sae_core.interventions.repetition import distinct_share
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Steering
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.predictions import log_probabilities_of
from sae_core.text.chat.stops import StopTexts

_MOST_TOKENS = 16_384  # whose keys and values are held at a time
_MOST_BYTES = 2**29  # of them, at most


@dataclass(frozen=True)
class SteeredArm:
    """One way to edit the model.

    Attributes:
        name: unique in its experiment.
        edits: made together; none: the model as it is.
    """

    name: str
    edits: tuple[FeatureEdit, ...] = ()


@dataclass(frozen=True)
class TextPlan:
    """How prompts are continued.

    Attributes:
        n_tokens: in a continuation at most.
        sampling: how tokens are drawn; its seed is not looked at.
        scope: where the edits apply.
        ends: tokens that end a continuation, besides those that end every text of the model.
        stops: texts that end one.
        silent: whether special tokens have no text, as in answers of a chat.
    """

    n_tokens: int
    sampling: TokenSampling = field(default_factory=TokenSampling)
    scope: Scope = Scope.ALL
    ends: frozenset[int] = frozenset()
    stops: tuple[str, ...] = ()
    silent: bool = False


@dataclass(frozen=True)
class ArmText:
    """What one arm made of one prompt and seed.

    Attributes:
        tokens: that were drawn, the one that ended the text left out.
        text: what they say.
        distinct: distinct triples of tokens, of all triples.
    """

    tokens: tuple[int, ...]
    text: str
    distinct: float


@dataclass(frozen=True)
class BatchTexts:
    """A batch of prompts under all arms.

    Attributes:
        texts: [prompts][arms][samples].
        answers: log-probability of each given answer, nats, [prompts][arms][answers].
    """

    texts: tuple[tuple[tuple[ArmText, ...], ...], ...]
    answers: tuple[tuple[tuple[float, ...], ...], ...]


def prompts_at_once(model: LanguageModel, length: int, rows: int, n_tokens: int) -> int:
    """How many prompts of a length make one batch; hangs on the model and the plan alone.

    Args:
        model: that continues them.
        length: of each prompt, in tokens.
        rows: texts of each prompt: arms times samples.
        n_tokens: of a continuation.
    """
    weights = next(iter(model.module.parameters()))
    held: int = 2 * model.n_layers * model.d_model * weights.element_size()
    tokens = min(_MOST_TOKENS, max(1, _MOST_BYTES // held))
    return max(1, tokens // (rows * (length + n_tokens)))


@torch.inference_mode()
def batch_texts(
    model: LanguageModel,
    prompts: Tensor,
    seeds: Sequence[Sequence[int]],
    arms: Sequence[SteeredArm],
    plan: TextPlan,
    answers: Sequence[Sequence[Sequence[int]]] = (),
) -> BatchTexts:
    """Continue some prompts under all arms.

    Args:
        model: the language model that writes.
        prompts: equally long, int64 [p, n].
        seeds: of each prompt one for each sample, [p][s].
        arms: what is done to the model.
        plan: how texts are drawn.
        answers: of each prompt the tokens of the answers whose probability is asked for,
            [p][a][tokens]; none: of no answer.

    Raises:
        SteeringError: an arm drives the model out of its numbers.
    """
    n_prompts, n_arms, n_samples = len(prompts), len(arms), len(seeds[0])
    begin = plan.scope.begin(prompts.shape[1])
    # One row for each prompt and arm reads the prompt; then one for each sample writes.
    edits = [arm.edits for _ in range(n_prompts) for arm in arms]
    run = _SeparateTexts(Steering(model, edits, begin))
    tokens = prompts.repeat_interleave(n_arms, dim=0)
    hidden = run.feed(tokens).hidden
    logits = run.next_logits(hidden[:, -1])
    _check_numbers(logits, arms)
    rows = [(p, a, s) for p in range(n_prompts) for a in range(n_arms) for s in range(n_samples)]
    if n_samples > 1:
        steering = Steering(model, [arms[a].edits for _, a, _ in rows], begin)
        run = run.forked(steering)
        logits = logits.repeat_interleave(n_samples, dim=0)
    written = _written(run, logits, [seeds[p][s] for p, _, s in rows], arms, rows, plan)
    texts = iter(written)
    given = [] if not answers else _answers(model, tokens, hidden, answers, arms, begin)
    return BatchTexts(
        texts=tuple(
            tuple(tuple(next(texts) for _ in range(n_samples)) for _ in range(n_arms))
            for _ in range(n_prompts)
        ),
        answers=tuple(
            tuple(given[p * n_arms + a] if given else () for a in range(n_arms))
            for p in range(n_prompts)
        ),
    )


class _SeparateTexts(SteeredRun):
    """A run whose rows are different texts, also those without edits."""

    @override
    def next_logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._head(hidden)
        return logits

    @override
    @torch.inference_mode()
    def forked(self, steering: Steering) -> _SeparateTexts:
        """A run in which each text goes on several times, side by side."""
        times = len(steering.rows) // len(self.steering.rows)
        other = _SeparateTexts(steering, cached=self._past is not None)
        other.length = self.length
        other._fed = self._fed.repeat_interleave(times, dim=0)
        if self._past is not None:
            other._past = copy.deepcopy(self._past)
            other._past.batch_repeat_interleave(times)
        return other


def _written(
    run: SteeredRun,
    logits: Tensor,
    seeds: Sequence[int],
    arms: Sequence[SteeredArm],
    rows: Sequence[tuple[int, int, int]],
    plan: TextPlan,
) -> list[ArmText]:
    """The text of each row, from the logits [rows, d_vocab] of its first token."""
    model = run.steering.model
    sampler = Sampler(plan.sampling, plan.n_tokens, seeds)
    ends = end_tokens(model) | plan.ends
    special = model.vocabulary.special if plan.silent else frozenset()
    texts = [_GrowingText(plan.stops) for _ in rows]
    going = set(range(len(rows)))
    for step in range(plan.n_tokens):
        draws = sampler.draw(logits, step)
        for row in sorted(going):
            if not math.isfinite(draws.probabilities[row]):
                raise _no_numbers(arms[rows[row][1]])
            token = draws.tokens[row]
            last = token in ends or step + 1 == plan.n_tokens
            silent = token in ends or token in special
            texts[row].add(
                None if token in ends else token,
                b"" if silent else model.vocabulary.pieces[token],
                last,
            )
            if last or texts[row].stops.stopped:
                going.discard(row)
        if not going:
            break
        # A text that has ended stays in the batch: the others' last bits depend on its shape.
        logits = run.step(draws.tokens)
    return [
        ArmText(tuple(text.tokens), text.stops.whole, distinct_share(text.tokens)) for text in texts
    ]


class _GrowingText:
    """A text as its tokens come; a character may be spelt in the bytes of several."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.stops = StopTexts(stops)
        self.tokens: list[int] = []

    def add(self, token: int | None, piece: bytes, last: bool) -> None:
        if token is not None:
            self.tokens.append(token)
        self.stops.add(self._decoder.decode(piece, final=last))


def _answers(
    model: LanguageModel,
    tokens: Tensor,
    hidden: Tensor,
    answers: Sequence[Sequence[Sequence[int]]],
    arms: Sequence[SteeredArm],
    begin: int,
) -> list[tuple[float, ...]]:
    """Log-probabilities of the answers after each row's prompt [rows, n]; hidden [rows, n, d]."""
    length, n_rows = tokens.shape[1], len(tokens)
    steering = Steering(model, [arms[row % len(arms)].edits for row in range(n_rows)], begin)
    columns = []
    for number in range(len(answers[0])):
        given = [answers[row // len(arms)][number] for row in range(n_rows)]
        longest = max(map(len, given))
        # Padded at their ends, where nothing is read.
        wanted = torch.zeros(n_rows, longest, dtype=torch.int64)
        for row, answer in enumerate(given):
            wanted[row, : len(answer)] = torch.tensor(answer)
        before = hidden[:, -1:]
        if longest > 1:
            run = _SeparateTexts(steering, cached=False)
            before = run.feed(torch.cat([tokens, wanted[:, :-1]], dim=1)).hidden[:, length - 1 :]
        pieces = log_probabilities_of(model, before.flatten(0, 1), wanted.flatten())
        log_p = torch.cat(list(pieces)).cpu().double().view(n_rows, longest)
        columns.append(
            [float(row[: len(answer)].sum()) for row, answer in zip(log_p, given, strict=True)]
        )
    for row in range(n_rows):
        if not all(math.isfinite(column[row]) or column[row] < 0 for column in columns):
            raise _no_numbers(arms[row % len(arms)])
    return list(zip(*columns, strict=True))


def _check_numbers(logits: Tensor, arms: Sequence[SteeredArm]) -> None:
    broken = ~logits.isfinite().any(dim=-1)
    if bool(broken.any()):
        raise _no_numbers(arms[int(broken.nonzero()[0, 0]) % len(arms)])


def _no_numbers(arm: SteeredArm) -> SteeringError:
    return SteeringError(
        f"Under the arm {arm.name!r} the model's predictions are no numbers any more: choose a "
        "smaller strength."
    )
