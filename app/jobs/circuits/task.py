"""Finding the circuit of a task, and keeping it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from tqdm import tqdm

from app.errors import InvalidRequest
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.types.circuits import (
    CircuitDictionary,
    CircuitPrompt,
    CircuitRecord,
    CircuitView,
)
from app.worker.client.graphs import DTYPE
from app.worker.client.references import model_ref
from app.worker.process.jobs.registry import default_threads
from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.requests import NamedDictionary
from sae_core.circuits.tasks.circuit import CircuitSettings, circuit_steps
from sae_core.circuits.tasks.known import KNOWN, known_task
from sae_core.circuits.tasks.result import TaskCircuit
from sae_core.circuits.tasks.task import TaskPrompt, answer_tokens, read_task
from sae_core.errors import CircuitError
from sae_core.interventions.prompt import prompt_tokens
from sae_core.language_model.vocabulary import Vocabulary

METHOD = 1
"""Counted up when circuits come out differently: what was asked before is then computed anew."""


@dataclass(frozen=True)
class TaskSpec:
    """What is asked for.

    Attributes:
        facts: any dictionary of the model, for what it says of the model.
        dictionaries: whose features may be responsible, by place.
        checksums: of these; empty: neurons.
        title: of the task.
        prompts: with their answers.
        settings: what decides it besides.
    """

    facts: DictionaryView
    dictionaries: tuple[NamedDictionary, ...]
    checksums: tuple[str, ...]
    title: str
    prompts: tuple[TaskPrompt, ...]
    settings: CircuitSettings

    @property
    def question(self) -> str:
        """SHA-256 of all that decides the circuit."""
        asked = {
            "method": METHOD,
            "model": self.facts.model_checksum,
            "dictionaries": [
                [part.reference.hook_point, checksum]
                for part, checksum in zip(self.dictionaries, self.checksums, strict=True)
            ],
            "prompts": [asdict(prompt) for prompt in self.prompts],
            "settings": asdict(self.settings),
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def task_prompts(
    name: str, lines: Sequence[str] | None, n: int, vocabulary: Vocabulary
) -> tuple[TaskPrompt, ...]:
    """The prompts of a known task, or of JSON lines.

    Raises:
        InvalidRequest: there is no such task, or a line is none of a task.
    """
    try:
        if lines is not None:
            return read_task(lines)
        if name not in KNOWN:
            raise InvalidRequest(
                f"{name!r:.80} is neither a file nor a known task: those are "
                f"{', '.join(sorted(KNOWN))}."
            )
        return known_task(name, n, lambda text: _token(vocabulary, text) is not None)
    except CircuitError as error:
        raise InvalidRequest(str(error)) from error


def find_circuit(
    store: Store, spec: TaskSpec, device: str, threads: int | None = None
) -> CircuitView:
    """Find and try the circuit, with a bar; one that was asked for before is there at once.

    Raises:
        CircuitError: too few prompts, an answer is no single token, or the model's attention
            cannot be frozen.
        PromptError: a prompt does not fit the model.
    """
    if (there := store.graphs.circuits.asked(spec.question)) is not None:
        return there
    vocabulary = store.vocabulary(spec.facts.model_id)
    answers = answer_tokens(spec.prompts, lambda text: _token(vocabulary, text))
    torch.set_num_threads(threads or default_threads())
    shelf, ref = Shelf(device, Limits().memory_bytes), model_ref(spec.facts)
    ref = ref.model_copy(update={"dtype": DTYPE})
    model = shelf.model(ref)
    dictionaries = [shelf.dictionary(ref, part.reference) for part in spec.dictionaries]
    prompts = [prompt_tokens(model, prompt.text) for prompt in spec.prompts]
    steps = circuit_steps(model, dictionaries, prompts, answers, spec.settings)
    with tqdm(desc=f"circuit of {spec.title}", unit="passes") as bar:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                circuit: TaskCircuit = end.value
                break
            bar.total = step.total
            bar.update(step.done - bar.n)
    return store.graphs.circuits.save(_record(spec, circuit))


def _record(spec: TaskSpec, circuit: TaskCircuit) -> CircuitRecord:
    return CircuitRecord(
        model=spec.facts.model,
        model_checksum=spec.facts.model_checksum,
        question=spec.question,
        title=spec.title,
        prompts=tuple(
            CircuitPrompt(prompt.text, prompt.right, prompt.wrong) for prompt in spec.prompts
        ),
        dictionaries=tuple(
            CircuitDictionary(part.name, part.reference.hook_point, checksum)
            for part, checksum in zip(spec.dictionaries, spec.checksums, strict=True)
        ),
        settings=asdict(spec.settings),
        circuit=circuit,
    )


def _token(vocabulary: Vocabulary, text: str) -> int | None:
    return vocabulary.tokens.get(text.encode("utf-8", "surrogatepass"))
