"""Known circuits, found and taken out: `python -m benchmarks.known_circuits [--english FOLDER]`.

On the deeper demo's three transcoders the next argument's name in a call, and closing brackets;
with `--english` (a folder of SmolLM2-135M-Instruct, as `featurescope demo --english` opens it)
indirect objects and greater-than, on bare neurons of every block. Half a minute, and some minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from sae_core.circuits.steps import finished
from sae_core.circuits.tasks.circuit import CircuitSettings, circuit_steps
from sae_core.circuits.tasks.known import known_task
from sae_core.circuits.tasks.result import interval
from sae_core.circuits.tasks.task import answer_tokens
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.checkpoint import load_dictionary
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.interventions.prompt import prompt_tokens
from sae_core.language_model.hook_point import HookKind
from sae_core.language_model.model import LanguageModel, load_model

DEEP = Path(__file__).parents[1] / "demo" / "deep"
PROMPTS = 60


def shown(model: LanguageModel, dictionaries: Sequence[Dictionary], name: str, what: str) -> None:
    """Find one circuit, and print what is left without it."""
    tokens = model.vocabulary.tokens
    prompts = known_task(name, PROMPTS, lambda text: text.encode() in tokens)
    answers = answer_tokens(prompts, lambda text: tokens.get(text.encode()))
    texts = [prompt_tokens(model, prompt.text) for prompt in prompts]
    begin = time.perf_counter()
    circuit = finished(circuit_steps(model, dictionaries, texts, answers, CircuitSettings()))
    seconds = time.perf_counter() - begin
    print(
        f"{name}, {what}, {len(prompts)} prompts, {circuit.firing:,} features fire, {seconds:.0f} s"
    )
    tried = circuit.tried
    print(f"    whole model: gap {_mean(tried.gap)}, right on {tried.right:.0%}")
    for own in circuit.sets:
        more = own.random_gap - np.array(own.without.gap)
        print(
            f"    without {own.size:2}: gap {_mean(own.without.gap)}, right on "
            f"{own.without.right:.0%}; {own.size:2} random ones: {_mean(own.random_gap)}, right on "
            f"{own.random_right:.0%}; lost by these alone {_mean(more)}"
        )
    claimed = [feature.effect for feature in circuit.features]
    alone = [feature.alone for feature in circuit.features]
    print(
        f"    {np.mean(np.sign(claimed) == np.sign(alone)):.0%} of {len(alone)} features do alone "
        f"what is claimed; correlation {np.corrcoef(claimed, alone)[0, 1]:.2f}",
        flush=True,
    )


def _mean(values: Sequence[float] | np.ndarray) -> str:
    low, high = interval(values)
    return f"{np.mean(values):+.2f} ({low:+.2f} to {high:+.2f})"


def main() -> None:
    """Print the circuits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--english", type=Path, help="folder of the English model")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(DEEP / "model", "float32")
    transcoders = [load_dictionary(DEEP / f"transcoder-{layer}") for layer in range(3)]
    for name in ("arguments", "brackets"):
        shown(model, transcoders, name, "the deeper demo, three transcoders")
    if chosen.english:
        model = load_model(chosen.english, "float32")
        neurons = [
            NeuronBasis(f"blocks.{layer}.mlp.hook_post", model.width(layer, HookKind.POST))
            for layer in range(model.n_layers)
        ]
        for name in ("indirect-object", "greater-than"):
            shown(model, neurons, name, "the English model, all neurons")


if __name__ == "__main__":
    main()
