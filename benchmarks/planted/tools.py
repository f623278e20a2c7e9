"""What an auditor's tools name as the cause of incidents, without knowing the rules.

An incident is a text after whose last keyword the model wrote something odd. Each tool names for
each incident as many tokens as the rule has groups of words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.planted.texts import Piece
from sae_core.audit.contrast.pooling import pooled_steps
from sae_core.audit.contrast.sets import SetContrast, TellingFeature, contrast_sets
from sae_core.audit.monitors.monitor import Monitor, weighted
from sae_core.circuits.build import build_graph
from sae_core.circuits.graph import NodeKind
from sae_core.circuits.influence import predicted_effects
from sae_core.circuits.settings import GraphSettings
from sae_core.circuits.steps import finished
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.interventions.prompt import prompt_firings, prompt_tokens
from sae_core.language_model.model import LanguageModel

TOGETHER = 10  # features of a contrast that are watched together

Places = list[int]
Named = Callable[[Piece, int], Places]  # an incident, how many: positions in its tokens


@dataclass(frozen=True)
class Bench:
    """What all tools work with.

    Attributes:
        model: that is audited.
        tokenizer: its own.
    """

    model: LanguageModel
    tokenizer: Tokenizer

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Characters of each token of a text, BOS first, with none."""
        encoded = self.tokenizer.encode(text, add_special_tokens=False)
        return [(0, 0), *encoded.offsets]

    def probabilities(self, texts: Sequence[str], token: int) -> NDArray[np.float64]:
        """Of a token after each text, float64 [n]."""
        rows = [prompt_tokens(self.model, text) for text in texts]
        return self.after(rows, token)

    @torch.no_grad()
    def after(self, rows: Sequence[torch.Tensor], token: int) -> NDArray[np.float64]:
        """The same of rows of tokens."""
        chances = []
        for begin in range(0, len(rows), 64):
            some = rows[begin : begin + 64]
            padded = torch.nn.utils.rnn.pad_sequence([*some], batch_first=True)
            logits = self.model.logits(padded)
            last = torch.tensor([len(row) - 1 for row in some])
            chances.append(logits[torch.arange(len(some)), last].double().softmax(-1)[:, token])
        return torch.cat(chances).cpu().numpy()

    @torch.no_grad()
    def writes(self, texts: Sequence[str], token: int) -> NDArray[np.bool_]:
        """Whether a token is the likeliest after each text."""
        rows, found = [prompt_tokens(self.model, text) for text in texts], []
        for begin in range(0, len(rows), 64):
            some = rows[begin : begin + 64]
            logits = self.model.logits(torch.nn.utils.rnn.pad_sequence([*some], batch_first=True))
            last = torch.tensor([len(row) - 1 for row in some])
            found.append(logits[torch.arange(len(some)), last].argmax(-1) == token)
        return torch.cat(found).cpu().numpy()


def hit_share(bench: Bench, incidents: Sequence[Piece], named: Named) -> float:
    """How many of the words that did it a tool names, mean over incidents.

    A word is named by any of its tokens, or by the one behind it, where a feature of the whole word
    often fires.
    """
    shares = []
    for one in incidents:
        spans = bench.spans(one.text)
        places = named(one, len(one.spans))
        hits = [
            any(first <= at <= last + 1 for at in places)
            for first, last in (_tokens(spans, *span) for span in one.spans)
        ]
        shares.append(float(np.mean(hits)))
    return float(np.mean(shares))


def _tokens(spans: Sequence[tuple[int, int]], begin: int, end: int) -> tuple[int, int]:
    """The first and the last token of some characters."""
    inside = [at for at, (low, high) in enumerate(spans) if low < end and begin < high]
    return inside[0], inside[-1]


def by_chance(bench: Bench, rng: np.random.Generator) -> Named:
    """Random tokens of the text."""

    def named(one: Piece, n: int) -> Places:
        return rng.choice(np.arange(1, len(bench.spans(one.body))), n, replace=False).tolist()

    return named


def by_words(bench: Bench, incidents: Sequence[Piece], controls: Sequence[Piece]) -> Named:
    """Black box, from the log alone: tokens that stand in more incidents than controls."""
    counts = [Counter[int](), Counter[int]()]
    for count, pieces in zip(counts, (incidents, controls), strict=True):
        for one in pieces:
            count.update(set(bench.tokenizer.encode(one.body, add_special_tokens=False).ids))

    def named(one: Piece, n: int) -> Places:
        ids = bench.tokenizer.encode(one.body, add_special_tokens=False).ids
        odds = [
            np.log((counts[0][own] + 0.5) / (len(incidents) + 1))
            - np.log((counts[1][own] + 0.5) / (len(controls) + 1))
            for own in ids
        ]
        return _strongest(np.array([-np.inf, *odds]), n)

    return named


def by_leaving_out(bench: Bench, token: int) -> Named:
    """Black-box prompting: each token left out, the reaction's probability read again."""

    def named(one: Piece, n: int) -> Places:
        whole = prompt_tokens(bench.model, one.text)
        n_body = len(bench.spans(one.body))
        rows = [whole, *(torch.cat([whole[:at], whole[at + 1 :]]) for at in range(1, n_body))]
        chances = bench.after(rows, token)
        lost = np.log(chances[0]) - np.log(np.maximum(chances[1:], 1e-12))
        return _strongest(np.array([-np.inf, *lost]), n)

    return named


def contrast(
    bench: Bench, dictionary: Dictionary, incidents: Sequence[Piece], controls: Sequence[Piece]
) -> SetContrast:
    """Features that tell incidents from controls, of what stands before the keyword's line."""
    first, second = ([one.body for one in pieces] for pieces in (incidents, controls))
    return contrast_sets(finished(pooled_steps(bench.model, dictionary, first, second)))


def monitors(
    bench: Bench, dictionary: Dictionary, made: SetContrast, incidents: Sequence[Piece]
) -> dict[str, Monitor]:
    """What a contrast gives to watch: its best feature, and its features together."""
    more = [row for row in made.features if row.more][:TOGETHER]
    acts = [activations(bench.model, dictionary, one.body) for one in incidents]
    maxima = {row.feature: max(float(own[:, row.feature].max()) for own in acts) for row in more}
    shares = {row.feature: row.area - 0.5 for row in more}
    single = {more[0].feature: maxima[more[0].feature]}
    return {"one feature": weighted(single), f"{len(more)} features": weighted(maxima, shares)}


def by_features(bench: Bench, dictionary: Dictionary, rows: Sequence[TellingFeature]) -> Named:
    """Where the telling features are strongest: the best first, each one place."""

    def named(one: Piece, n: int) -> Places:
        acts, places = activations(bench.model, dictionary, one.body), list[int]()
        for row in rows:
            strongest = int(acts[:, row.feature].argmax())
            if row.more and float(acts[strongest, row.feature]) > 0 and strongest not in places:
                places.append(strongest)
            if len(places) == n:
                break
        return places

    return named


@torch.no_grad()
def activations(model: LanguageModel, dictionary: Dictionary, text: str) -> NDArray[np.float32]:
    """All features on a text's tokens, 0 on BOS, [pos, d_sae]."""
    tokens = prompt_tokens(model, text, cut=True)
    x = model.capture(tokens[None], model.hook_point(dictionary.hook_point, dictionary.d_in))[0]
    firings = prompt_firings(model, dictionary, tokens, x)
    acts = np.zeros((len(tokens), dictionary.d_sae), dtype=np.float32)
    acts[firings.rows.numpy(), firings.features.numpy()] = firings.values.float().numpy()
    return acts


def by_graph(bench: Bench, dictionaries: Sequence[Dictionary], token: int) -> Named:
    """Tokens to which the reaction owes most in its attribution graph, the end left out."""

    def named(one: Piece, n: int) -> Places:
        tokens = prompt_tokens(bench.model, one.text)
        graph = build_graph(
            bench.model, tokens, dictionaries, GraphSettings(target_tokens=(token,))
        )
        effects = predicted_effects(graph)
        owed = np.full(len(tokens), -np.inf)
        for node in np.flatnonzero(graph.nodes.kind == NodeKind.TOKEN):
            owed[graph.nodes.position[node]] = effects[node]
        owed[0] = -np.inf
        owed[len(bench.spans(one.body)) :] = -np.inf
        return _strongest(owed, n)

    return named


def _strongest(values: NDArray[np.float64], n: int) -> Places:
    """Places of the largest, no two of them neighbours, which mostly are of one word."""
    places = list[int]()
    for at in np.argsort(-values, kind="stable").tolist():
        if all(abs(at - other) > 2 for other in places):
            places.append(at)
        if len(places) == n:
            break
    return places
