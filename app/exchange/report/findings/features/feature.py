"""What a feature fires on and how much, what it writes, and contexts of it."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.exchange.report.bench import RecomputingBench
from app.exchange.report.findings.features.again import feature_again
from app.exchange.report.findings.features.parts import (
    FeatureAsked,
    FeatureFound,
    FeatureStated,
    FiringContext,
    WrittenToken,
)
from app.exchange.report.findings.kind import FindingKind, GatheredFinding, ReadFinding
from app.exchange.report.findings.named import feature_named, plain_text, short
from app.exchange.report.schema import DictionaryFacts
from app.rendering.addresses import dictionary_address
from app.rendering.numbers import activation, count, percent
from app.rendering.tokens import printable, visible
from app.store.store import Store
from app.store.types.catalogue import FeatureView
from sae_core.harvest.records import ExampleGroup, GroupKind, Ranking
from sae_core.language_model.vocabulary import Vocabulary

_TOP, _OTHERS = 5, 1  # contexts of the top group, and of each other one


Finding = ReadFinding[FeatureAsked, FeatureFound, FeatureStated]


class FeatureKind(FindingKind[FeatureAsked, FeatureFound, FeatureStated]):
    """A feature's figures and contexts."""

    name = "feature"
    asked = FeatureAsked
    found = FeatureFound
    stated = FeatureStated

    def gather(
        self, store: Store, words: str
    ) -> GatheredFinding[FeatureAsked, FeatureFound, FeatureStated]:
        """A feature by its address, `MODEL/DICTIONARY/12`."""
        dictionary, index = feature_named(store, words)
        view = store.feature(dictionary, index)
        return GatheredFinding(
            FeatureAsked(dictionary=dictionary.title, feature=index),
            feature_found(view, store.vocabulary(dictionary.model_id)),
            FeatureStated(label=plain_text(view.label)),
            (dictionary,),
        )

    def titles(self, asked: FeatureAsked) -> tuple[str, ...]:
        """Its dictionary."""
        return (asked.dictionary,)

    def claim(self, finding: Finding) -> str:
        """How often and how strongly it fires, and what it raises."""
        found, facts = finding.found, finding.facts[0]
        name = f"{'Neuron' if facts.neurons else 'Feature'} {finding.asked.feature}"
        name = f"{name} of {printable(facts.title)}"
        label = f", labelled “{printable(finding.stated.label)}”," if finding.stated.label else ""
        if not found.firings:
            return f"{name}{label} never fires."
        read = ""
        if facts.text:
            read = f" of {count(facts.text.read_tokens)} tokens of {printable(facts.text.name)}"
        tokens = " ".join(f"“{token.text}”" for token in found.raised[:3])
        return (
            f"{name}{label} fires on {percent(found.density)}{read}, with an activation of at most "
            f"{activation(found.maximum, found.maximum)}"
            + (f"; directly it raises most {tokens}." if tokens else ".")
        )

    def command(self, finding: Finding) -> str:
        """The harvest that its figures come from; folders are those of the named checksums."""
        return harvest_command(finding.facts[0])

    def address(self, finding: Finding) -> str:
        """Of its page."""
        facts = finding.facts[0]
        return dictionary_address(facts.model, facts.name, finding.asked.feature)

    def recompute(self, finding: Finding, bench: RecomputingBench) -> dict[str, Any]:
        """Activations and logit weights from the weights; all else from this store's own harvest
        of the same text."""
        return feature_again(finding.facts[0], finding.asked.feature, finding.found, bench)


def feature_found(view: FeatureView, vocabulary: Vocabulary) -> FeatureFound:
    """What the store says of a feature."""
    record = view.record
    return FeatureFound(
        firings=record.firings,
        density=view.density,
        interval=record.density_interval,
        maximum=record.maximum,
        raised=_tokens(record.raised, vocabulary),
        lowered=_tokens(record.lowered, vocabulary),
        contexts=tuple(
            context for group in record.groups for context in _contexts(group, view, vocabulary)
        ),
    )


def harvest_command(facts: DictionaryFacts) -> str:
    """What harvests a dictionary as the report's was."""
    words = ["featurescope", "harvest", "--model", "MODEL-FOLDER"]
    if facts.neurons:
        words += ["--neurons", shlex.quote(facts.hook_point)]
    else:
        words += ["--dictionary", "DICTIONARY-FOLDER"]
    words += ["--model-name", shlex.quote(facts.model), "--name", shlex.quote(facts.name)]
    if facts.text is not None:
        words += ["--corpus", shlex.quote(facts.text.name), "--context", str(facts.text.context)]
        words += ["--seed", str(facts.text.seed)]
    return printable(" ".join(words))


def _tokens(ranking: Ranking, vocabulary: Vocabulary) -> tuple[WrittenToken, ...]:
    return tuple(
        WrittenToken(token=token, text=visible(vocabulary.pieces[token]), weight=short(weight))
        for token, weight in zip(ranking.ids.tolist(), ranking.weights, strict=True)
    )


def _contexts(
    group: ExampleGroup, view: FeatureView, vocabulary: Vocabulary
) -> list[FiringContext]:
    examples, made = group.examples, []
    for i in range(min(len(examples), _TOP if group.kind is GroupKind.TOP else _OTHERS)):
        window = view.windows[int(examples.windows[i])]
        own = slice(int(examples.bounds[i]), int(examples.bounds[i + 1]))
        made.append(
            FiringContext(
                group=group.key,
                window=window.number,
                document=plain_text(window.document),
                line=window.line,
                tokens=tuple(window.tokens.tolist()),
                texts=_texts(window.tokens, vocabulary),
                peak=int(examples.peaks[i]),
                activations={
                    str(place): short(value)
                    for place, value in zip(
                        examples.positions[own].tolist(), examples.values[own], strict=True
                    )
                },
            )
        )
    return made


def _texts(tokens: NDArray[np.int64], vocabulary: Vocabulary) -> tuple[str, ...]:
    return tuple(visible(vocabulary.pieces[token]) for token in tokens.tolist())
