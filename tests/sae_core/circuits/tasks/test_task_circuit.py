"""Circuits of tasks: prompts, ablations against plain hooks, and what comes of a small model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sae_core.circuits.frozen.parts import wire
from sae_core.circuits.steps import finished
from sae_core.circuits.tasks.ablated import hidden_without
from sae_core.circuits.tasks.circuit import CircuitSettings, circuit_steps
from sae_core.circuits.tasks.known import KNOWN, known_task
from sae_core.circuits.tasks.result import TaskCircuit, circuit_of, interval
from sae_core.circuits.tasks.task import TaskPrompt, answer_tokens, read_task
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.language_model.model import LanguageModel
from tests.sae_core.circuits.test_edges import transcoder

PROMPTS = [
    torch.cat([torch.zeros(1).long(), (torch.arange(4 + n % 2) * 7 + 11 * n) % 90])
    for n in range(8)
]
ANSWERS = [((3, 5), (77,))] * 8
SETTINGS = CircuitSettings(sizes=(2, 4), draws=3)


@pytest.fixture(scope="module")
def transcoders() -> list[Dictionary]:
    return [transcoder(layer) for layer in range(3)]


@pytest.fixture(scope="module")
def circuit(gpt2: LanguageModel, transcoders: list[Dictionary]) -> TaskCircuit:
    return finished(circuit_steps(gpt2, transcoders, PROMPTS, ANSWERS, SETTINGS))


def without(
    dictionary: Dictionary, features: list[int]
) -> Callable[[object, tuple[Tensor], Tensor], Tensor]:
    """A hook of an MLP that takes off what features write, BOS excepted."""

    def hook(_: object, args: tuple[Tensor], output: Tensor) -> Tensor:
        acts = dictionary.encode(args[0].flatten(0, 1)).view(*args[0].shape[:2], -1)
        taken = acts[..., features] @ dictionary.W_dec[features]
        taken[:, 0] = 0
        return output - taken

    return hook


def test_features_are_taken_out_at_every_position_in_the_real_model(
    gpt2: LanguageModel, transcoders: list[Dictionary]
) -> None:
    tokens = torch.stack(PROMPTS[::2])
    chosen = [(0, 2), (0, 9), (1, 4), (2, 7), (2, 8)]
    got = hidden_without(gpt2, wire(gpt2, transcoders), tokens, chosen)

    hooks = []
    for layer, dictionary in enumerate(transcoders):
        features = [number for place, number in chosen if place == layer]
        mlp = gpt2.module.transformer.h[layer].mlp
        hooks.append(mlp.register_forward_hook(without(dictionary, features)))
    with torch.no_grad():
        expected = gpt2.final_hidden(tokens)[:, -1]
        for hook in hooks:
            hook.remove()
        plain = gpt2.final_hidden(tokens)[:, -1]

    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(got, plain, atol=1e-3)
    torch.testing.assert_close(
        hidden_without(gpt2, wire(gpt2, transcoders), tokens, []), plain, rtol=0, atol=0
    )


def test_the_gap_is_that_of_the_mean_logits(gpt2: LanguageModel, circuit: TaskCircuit) -> None:
    for tokens, gap, probability in zip(
        PROMPTS, circuit.whole.gap, circuit.whole.probability, strict=True
    ):
        logits = gpt2.logits(tokens[None])[0, -1].double()
        assert gap == pytest.approx(float(logits[[3, 5]].mean() - logits[77]), abs=1e-5)
        assert probability == pytest.approx(float(logits.softmax(-1)[[3, 5]].sum()), rel=1e-4)


def test_each_feature_alone_is_what_ablation_says(
    gpt2: LanguageModel, transcoders: list[Dictionary], circuit: TaskCircuit
) -> None:
    effects = [row.effect for row in circuit.features]
    assert effects == sorted(effects, reverse=True)
    row = circuit.features[0]
    lost = []
    for tokens in PROMPTS[1::2]:
        wiring, some = wire(gpt2, transcoders), [(row.place, row.feature)]
        with torch.no_grad():
            before, after = (
                gpt2.head(hidden_without(gpt2, wiring, tokens[None], own))[0] for own in ([], some)
            )
        moved = before - after
        lost.append(float(moved[[3, 5]].mean() - moved[77]))
    assert row.alone == pytest.approx(np.mean(lost), abs=1e-5)


def test_random_sets_are_others_and_all_of_it_repeats(
    gpt2: LanguageModel, transcoders: list[Dictionary], circuit: TaskCircuit
) -> None:
    assert [own.size for own in circuit.sets] == [2, 4]
    assert all(len(own.random) == 3 for own in circuit.sets)
    assert all(drawn.gap != own.without.gap for own in circuit.sets for drawn in own.random)
    again = finished(circuit_steps(gpt2, transcoders, PROMPTS, ANSWERS, SETTINGS))
    assert again == circuit


def test_a_circuit_is_kept_as_json(circuit: TaskCircuit) -> None:
    kept = json.loads(json.dumps(circuit.as_json()))
    assert circuit_of(kept) == circuit
    for damaged in ({}, {**kept, "sets": [{}]}, {**kept, "whole": {"gap": [1], "probability": []}}):
        with pytest.raises(CircuitError, match="damaged"):
            circuit_of(damaged)


def test_an_interval_holds_the_mean() -> None:
    low, high = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert 1 < low < 3 < high < 5
    assert interval([2.0, 2.0]) == (2.0, 2.0)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_known_task_is_the_same_each_time_and_right(name: str) -> None:
    prompts = known_task(name, 40, lambda text: len(text) < 8)
    assert prompts == known_task(name, 40, lambda text: len(text) < 8)
    assert len(set(prompts)) == len(prompts) == 40
    for prompt in prompts:
        assert _is_right(name, prompt), prompt


def _is_right(name: str, prompt: TaskPrompt) -> bool:
    text, right, wrong = prompt.text, prompt.right, prompt.wrong
    if name == "greater-than":
        tens = int(re.search(r"year \d\d(\d)\d to", text)[1])  # type: ignore[index]
        return all(int(digit) > tens for digit in right) and all(int(d) < tens for d in wrong)
    if name == "indirect-object":
        return (
            text.count(right[0]) + text.startswith(right[0][1:]) == 1 and text.count(wrong[0]) >= 1
        )
    if name == "brackets":
        opened = next(mark for mark in "([{" if mark in text)
        return right == (dict(zip("([{", ")]}", strict=True))[opened],) and right[0] not in wrong
    return f"(self, {right[0]}," in text and wrong[0] not in text.split("\n")[0]


def test_a_model_without_the_words_is_refused() -> None:
    for name in KNOWN:
        with pytest.raises(CircuitError, match="too few"):
            known_task(name, 4, lambda _: False)
    with pytest.raises(CircuitError, match="no task 'poetry'"):
        known_task("poetry", 4, lambda _: True)


def test_a_task_is_read_from_json_lines() -> None:
    lines = ['{"prompt": "a b", "right": " c", "wrong": [" d", " e"]}', "  "]
    assert read_task(lines) == (TaskPrompt("a b", (" c",), (" d", " e")),)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "Line 1 of the task is not JSON"),
        ("[]", 'needs "prompt"'),
        ('{"prompt": "a", "right": "b"}', '"wrong" is a text'),
        ('{"prompt": "", "right": "b", "wrong": "c"}', "is empty"),
        ('{"prompt": "a", "right": "b", "wrong": ["b"]}', "both right and wrong"),
        ('{"prompt": "a\\ud800", "right": "b", "wrong": "c"}', "half a character"),
        ('{"prompt": "a", "right": [], "wrong": ["b"]}', "a right and a wrong answer"),
    ],
)
def test_a_line_that_is_no_prompt_is_named(line: str, says: str) -> None:
    with pytest.raises(CircuitError, match=re.escape(says)):
        read_task([line])


def test_an_answer_of_several_tokens_is_refused() -> None:
    prompt = TaskPrompt("a", (" b",), (" c",))
    assert answer_tokens([prompt], {" b": 1, " c": 2}.get) == [((1,), (2,))]
    with pytest.raises(CircuitError, match="' c' is not a single token"):
        answer_tokens([prompt], {" b": 1}.get)


def test_too_few_prompts_are_refused(gpt2: LanguageModel, transcoders: list[Dictionary]) -> None:
    with pytest.raises(CircuitError, match="at least 4 prompts"):
        finished(circuit_steps(gpt2, transcoders, PROMPTS[:3], ANSWERS[:3], SETTINGS))
    for sizes in ((), (0,), (3, 2)):
        with pytest.raises(CircuitError, match="whole numbers from 1"):
            CircuitSettings(sizes=sizes)
