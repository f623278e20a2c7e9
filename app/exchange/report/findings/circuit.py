"""What a task is owed to: responsible features, and the model without them."""

from __future__ import annotations

import shlex
from typing import Any

from app.errors import InvalidRequest
from app.exchange.report.bench import CannotRecompute, RecomputingBench
from app.exchange.report.comparison import NearFigure
from app.exchange.report.findings.kind import FindingKind, GatheredFinding, ReadFinding
from app.exchange.report.findings.named import model_named, plain_text
from app.exchange.report.findings.traced import TracedDictionary, TracedModel, views_of
from app.exchange.report.schema import ReportPart
from app.rendering.addresses import circuit_address
from app.rendering.tokens import printable
from app.store.store import Store
from sae_core.circuits.steps import finished
from sae_core.circuits.tasks.circuit import CircuitSettings, circuit_steps
from sae_core.circuits.tasks.task import TaskPrompt, answer_tokens
from sae_core.interventions.prompt import prompt_tokens

_TOLERANCE = 2e-3
_WHY = "float32 sums are rounded in another order on other hardware"


class AskedPrompt(ReportPart):
    """A prompt of a task, with right and wrong answers."""

    text: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]


class CircuitAsked(TracedModel):
    """What decides a circuit: besides, the prompts and the settings of `sae_core/circuits`."""

    prompts: tuple[AskedPrompt, ...]
    sizes: tuple[int, ...]
    draws: int
    seed: int


class AbilityFigures(ReportPart):
    """How well prompts are done; fields as in `sae_core/circuits/tasks/result.py`."""

    gap: tuple[float, ...]
    probability: tuple[float, ...]


class OwedFeature(ReportPart):
    """A responsible feature; likewise."""

    place: int
    feature: int
    effect: float
    error: float
    activity: float
    prompts: float
    alone: float


class SetFigures(ReportPart):
    """Features taken out together; likewise."""

    size: int
    without: AbilityFigures
    random: tuple[AbilityFigures, ...]


class CircuitFound(ReportPart):
    """What was found and tried; likewise."""

    whole: AbilityFigures
    firing: int
    features: tuple[OwedFeature, ...]
    sets: tuple[SetFigures, ...]


class CircuitStated(ReportPart):
    """Name and title."""

    name: str
    title: str


Finding = ReadFinding[CircuitAsked, CircuitFound, CircuitStated]


class CircuitKind(FindingKind[CircuitAsked, CircuitFound, CircuitStated]):
    """The circuit of a task."""

    name = "circuit"
    asked = CircuitAsked
    found = CircuitFound
    stated = CircuitStated

    def gather(
        self, store: Store, words: str
    ) -> GatheredFinding[CircuitAsked, CircuitFound, CircuitStated]:
        """A circuit by its address, `MODEL/NAME`."""
        view = store.graphs.circuits.view(*model_named(words, "circuit"))
        record = view.record
        texts = [
            text
            for prompt in record.prompts
            for text in (prompt.text, *prompt.right, *prompt.wrong)
        ]
        if any(text != plain_text(text) for text in texts):
            raise InvalidRequest(
                f"The circuit {view.name} has a prompt with half a character, which no report can "
                "hold: leave it out."
            )
        asked = CircuitAsked(
            model=record.model,
            checksum=record.model_checksum,
            dictionaries=tuple(
                TracedDictionary(name=own.name, hook_point=own.hook_point, checksum=own.checksum)
                for own in record.dictionaries
            ),
            prompts=tuple(
                AskedPrompt(text=prompt.text, right=prompt.right, wrong=prompt.wrong)
                for prompt in record.prompts
            ),
            sizes=record.settings["sizes"],
            draws=record.settings["draws"],
            seed=record.settings["seed"],
        )
        found = CircuitFound.model_validate(record.circuit.as_json())
        stated = CircuitStated(name=view.name, title=plain_text(record.title))
        return GatheredFinding(asked, found, stated, views_of(store, asked))

    def titles(self, asked: CircuitAsked) -> tuple[str, ...]:
        """Those of its dictionaries that are no neurons."""
        return tuple(f"{asked.model}/{part.name}" for part in asked.dictionaries if part.checksum)

    def claim(self, finding: Finding) -> str:
        """How well the task is done, and without the most features tried, beside random ones."""
        found, asked = finding.found, finding.asked
        title = printable(finding.stated.title)
        model = printable(asked.model)
        right = _right(found.whole)
        begin = f"{model} does {right} of {len(found.whole.gap)} prompts of “{title}” right"
        if not found.sets:
            return f"{begin}."
        last = found.sets[-1]
        drawn = [_right(ability) for ability in last.random]
        return (
            f"{begin}; of the {len(last.without.gap)} that no feature was chosen on, "
            f"{_right(last.without)} without its {last.size} strongest features, and "
            f"{sum(drawn) / max(1, len(drawn)):.1f} without as many random ones."
        )

    def command(self, finding: Finding) -> str:
        """With the prompts in a file."""
        asked = finding.asked
        words = ["featurescope", "circuit", shlex.quote(asked.model), "PROMPTS.jsonl"]
        for part in asked.dictionaries:
            if part.checksum:
                words += ["--dictionary", shlex.quote(part.name)]
        if any(not part.checksum for part in asked.dictionaries):
            words.append("--neurons")
        words += ["--features", *map(str, asked.sizes), "--draws", str(asked.draws)]
        return printable(" ".join([*words, "--seed", str(asked.seed), "--no-graph"]))

    def address(self, finding: Finding) -> str:
        """Of its page."""
        return circuit_address(finding.asked.model, finding.stated.name)

    def recompute(self, finding: Finding, bench: RecomputingBench) -> dict[str, Any]:
        """All of it, from the prompts."""
        asked = finding.asked
        model, dictionaries = asked.loaded(bench)
        prompts = [TaskPrompt(one.text, one.right, one.wrong) for one in asked.prompts]
        pieces = model.vocabulary.tokens
        answers = answer_tokens(prompts, lambda text: pieces.get(text.encode()))
        settings = CircuitSettings(tuple(asked.sizes), asked.draws, asked.seed)
        tokens = [prompt_tokens(model, prompt.text) for prompt in prompts]
        circuit = finished(circuit_steps(model, dictionaries, tokens, answers, settings))
        if not circuit.whole.gap:
            raise CannotRecompute("the task has no prompts")
        value = circuit.as_json()
        scale = max(1.0, max(abs(number) for number in circuit.whole.gap))
        again: dict[str, Any] = _near(value, scale)
        return again


def _right(ability: AbilityFigures) -> int:
    return sum(gap > 0 for gap in ability.gap)


def _near(value: Any, scale: float) -> Any:
    """Numbers with a point may be off by a share of the largest gap; whole ones may not."""
    if isinstance(value, dict):
        return {key: _near(inside, scale) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_near(inside, scale) for inside in value]
    return NearFigure(value, _TOLERANCE * scale, _WHY) if isinstance(value, float) else value
