"""What tells two sets of texts apart."""

from __future__ import annotations

import re
import shlex
from typing import Any

from app.errors import InvalidRequest
from app.exchange.report.bench import RecomputingBench
from app.exchange.report.comparison import NearFigure
from app.exchange.report.document import Path
from app.exchange.report.findings.kind import FindingKind, GatheredFinding, ReadFinding
from app.exchange.report.findings.named import plain_text
from app.exchange.report.schema import ReportPart
from app.rendering.addresses import contrast_address
from app.rendering.numbers import count
from app.rendering.tokens import printable
from app.store.store import Store
from sae_core.audit.contrast.pooling import pooled_steps
from sae_core.audit.contrast.sets import contrast_sets
from sae_core.circuits.steps import finished

_RANKS = "two texts of nearly one activation can change places on other hardware"
_ROUNDED = "float32 sums are rounded in another order on other hardware"
# Of the figures that end so: off by a share of themselves, and by so much besides.
_TOLERANCES = (
    (re.compile("area|held_out|low|high|ahead|ahead_low|ahead_high"), 0.0, 2e-3, _RANKS),
    (re.compile("p|q"), 0.05, 1e-12, _RANKS),
    (re.compile("difference|mean_first|mean_second"), 2e-3, 1e-6, _ROUNDED),
)


class ContrastAsked(ReportPart):
    """Dictionary, both sets of texts, the group of each, and all else that decides a contrast."""

    dictionary: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    groups: tuple[str, ...]
    wanted_q: float
    most: int
    seed: int


class ToldFeature(ReportPart):
    """A feature of a contrast; fields as in `sae_core/audit/contrast/sets.py`."""

    feature: int
    pooling: str
    more: bool
    area: float
    difference: float
    p: float
    q: float
    held_out: float
    low: float
    high: float
    mean_first: float
    mean_second: float


class ProbeFigures(ReportPart):
    """The linear probe beside the best feature; likewise. None where there is no feature."""

    area: float
    low: float
    high: float
    penalty: float
    ahead: float | None
    ahead_low: float | None
    ahead_high: float | None


class ContrastFound(ReportPart):
    """What was tested and found; likewise."""

    tested: int
    told: int
    wanted_q: float
    features: tuple[ToldFeature, ...]
    probe: ProbeFigures
    halves: tuple[int, int]


class ContrastStated(ReportPart):
    """What the contrast and its sets are called."""

    name: str
    title: str
    first: str
    second: str


Finding = ReadFinding[ContrastAsked, ContrastFound, ContrastStated]


class ContrastKind(FindingKind[ContrastAsked, ContrastFound, ContrastStated]):
    """A contrast with its texts."""

    name = "contrast"
    asked = ContrastAsked
    found = ContrastFound
    stated = ContrastStated

    def gather(
        self, store: Store, words: str
    ) -> GatheredFinding[ContrastAsked, ContrastFound, ContrastStated]:
        """A contrast by its name."""
        view = store.audit.contrasts.view(words)
        record = view.record
        dictionary = store.dictionary(record.model, record.dictionary)
        if dictionary.checksum != record.checksum:
            raise InvalidRequest(
                f"The contrast {view.name} is of other weights than {dictionary.title} has by now: "
                "ask it anew, or leave it out."
            )
        return GatheredFinding(
            ContrastAsked(
                dictionary=dictionary.title,
                first=tuple(map(plain_text, record.first.texts)),
                second=tuple(map(plain_text, record.second.texts)),
                groups=tuple(map(plain_text, (*record.first.of_each, *record.second.of_each))),
                wanted_q=record.settings["wanted_q"],
                most=record.settings["most"],
                seed=record.settings["seed"],
            ),
            ContrastFound.model_validate(record.contrast.as_json()),
            ContrastStated(
                name=view.name,
                title=plain_text(record.title),
                first=plain_text(record.first.name),
                second=plain_text(record.second.name),
            ),
            (dictionary,),
        )

    def titles(self, asked: ContrastAsked) -> tuple[str, ...]:
        """Its dictionary."""
        return (asked.dictionary,)

    def claim(self, finding: Finding) -> str:
        """How many features tell the sets apart, and the best beside the probe."""
        found, stated = finding.found, finding.stated
        sets = f"{printable(stated.first)} from {printable(stated.second)}"
        begin = (
            f"Of {count(found.tested)} features of {printable(finding.facts[0].title)} tested on "
            f"half of {count(sum(found.halves))} texts, {count(found.told)} tests tell {sets} at "
            f"q ≤ {found.wanted_q:g}"
        )
        beside = f"a linear probe {found.probe.area:.3f}"
        if not found.features:
            return f"{begin}. On the other half {beside}."
        best = found.features[0]
        return (
            f"{begin}. On the other half feature {best.feature}, chosen first, has AUROC "
            f"{best.held_out:.3f} (95 % interval {best.low:.3f} to {best.high:.3f}), {beside}."
        )

    def command(self, finding: Finding) -> str:
        """With the two sets in files."""
        asked = finding.asked
        return printable(
            f"featurescope contrast {shlex.quote(asked.dictionary)} FIRST.jsonl SECOND.jsonl --q "
            f"{asked.wanted_q:g} --features {asked.most} --seed {asked.seed}"
        )

    def address(self, finding: Finding) -> str:
        """Of its page."""
        return contrast_address(finding.stated.name)

    def recompute(self, finding: Finding, bench: RecomputingBench) -> dict[str, Any]:
        """All of it, from the texts."""
        asked = finding.asked
        model, dictionary = bench.loaded(finding.facts[0])
        pooled = finished(pooled_steps(model, dictionary, asked.first, asked.second))
        made = contrast_sets(pooled, asked.wanted_q, asked.most, asked.seed, asked.groups)
        again: dict[str, Any] = _with_tolerances(made.as_json())
        return again


def _with_tolerances(value: Any, path: Path = ()) -> Any:
    if isinstance(value, dict):
        return {key: _with_tolerances(inside, (*path, key)) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_with_tolerances(inside, (*path, n)) for n, inside in enumerate(value)]
    for names, relative, absolute, why in _TOLERANCES:
        if value is not None and names.fullmatch(str(path[-1])):
            return NearFigure(value, abs(value) * relative + absolute, why)
    return value
