"""What people and explainers say that a feature means."""

from __future__ import annotations

from typing import Any

from app.errors import InvalidRequest
from app.exchange.report.bench import RecomputingBench
from app.exchange.report.findings.features.parts import FeatureAsked
from app.exchange.report.findings.kind import FindingKind, GatheredFinding, ReadFinding
from app.exchange.report.findings.named import feature_named, plain_text
from app.exchange.report.schema import ReportPart
from app.rendering.addresses import dictionary_address
from app.rendering.tokens import printable
from app.store.store import Store
from app.store.types.annotations import LabelView


class SaidLabel(ReportPart):
    """A label: its words, who said it, and its votes for less those against."""

    text: str
    note: str
    author: str
    kind: str
    score: int


class LabelFound(ReportPart):
    """Nothing: what a feature means is said, not computed."""


class LabelStated(ReportPart):
    """All labels that stand, the best first."""

    labels: tuple[SaidLabel, ...]


Finding = ReadFinding[FeatureAsked, LabelFound, LabelStated]


class LabelFindingKind(FindingKind[FeatureAsked, LabelFound, LabelStated]):
    """The labels of a feature."""

    name = "label"
    asked = FeatureAsked
    found = LabelFound
    stated = LabelStated

    def gather(
        self, store: Store, words: str
    ) -> GatheredFinding[FeatureAsked, LabelFound, LabelStated]:
        """The labels of a feature by its address, `MODEL/DICTIONARY/12`."""
        dictionary, index = feature_named(store, words)
        store.feature(dictionary, index)
        said = [label for label in store.labels.of(dictionary, index) if not label.withdrawn]
        if not said:
            raise InvalidRequest(
                f"Feature {index} of {dictionary.title} has no label: give it one on its page, or "
                "leave --label out."
            )
        return GatheredFinding(
            FeatureAsked(dictionary=dictionary.title, feature=index),
            LabelFound(),
            LabelStated(labels=tuple(map(_said, said))),
            (dictionary,),
        )

    def titles(self, asked: FeatureAsked) -> tuple[str, ...]:
        """Its dictionary."""
        return (asked.dictionary,)

    def claim(self, finding: Finding) -> str:
        """Who says what."""
        said = "; ".join(
            f"“{printable(label.text)}” ({printable(label.author) or 'nobody named'}, {label.kind})"
            for label in finding.stated.labels
        )
        title = printable(finding.facts[0].title)
        return f"Of feature {finding.asked.feature} of {title} it is said: {said}."

    def command(self, finding: Finding) -> str:
        """What writes all labels of the dictionary."""
        return printable(
            f"featurescope export {finding.facts[0].title} --format explanations --out LABELS.jsonl"
        )

    def address(self, finding: Finding) -> str:
        """Of its labels."""
        facts = finding.facts[0]
        return dictionary_address(facts.model, facts.name, finding.asked.feature, "labels")

    def recompute(self, finding: Finding, bench: RecomputingBench) -> dict[str, Any]:
        """Nothing but that its dictionary is here."""
        bench.view(finding.facts[0])
        return {}


def _said(label: LabelView) -> SaidLabel:
    return SaidLabel(
        text=plain_text(label.text),
        note=plain_text(label.note),
        author=plain_text(label.author),
        kind=str(label.kind),
        score=label.score,
    )
