"""Sweeps of strengths against a float64 loop, one strength at a time, without cache."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from sae_core.errors import PromptError, SteeringError
from sae_core.interventions.dose_response import DoseBaseline, DoseMeasurement, dose_response
from sae_core.interventions.generation import Scope
from sae_core.interventions.next_token import Sampler, TokenSampling
from sae_core.interventions.prompt import prompt_tokens
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Mode
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.interventions.steered_reference import HandEdit, busiest, steered_pass, written
from tests.sae_core.interventions.test_generation import bosless  # noqa: F401
from tests.sae_core.tiny_dictionaries import random_dictionary

PROMPT = [17, 40, 0, 99, 250, 31]
HOOK = "blocks.1.mlp.hook_post"
N = 8
WATCHED = [5, 99, 0]
STRENGTHS = [-2.0, 0.0, 0.5, 1.0, 3.0]


def edit(model: LanguageModel, mode: Mode, hook: str = HOOK) -> FeatureEdit:
    dictionary = random_dictionary(hook, model.hook_point(hook).d_in, architecture="topk")
    return FeatureEdit(dictionary, busiest(model, dictionary, PROMPT), mode, 0.0, 2.0)


def sweep(
    model: LanguageModel, edit: FeatureEdit, scope: Scope = Scope.ALL, strengths: Any = STRENGTHS
) -> tuple[DoseBaseline, list[DoseMeasurement]]:
    prompt = prompt_tokens(model, PROMPT)
    steps = dose_response(model, edit, strengths, prompt, N, TokenSampling(seed=11), scope, WATCHED)
    base, *points = [step for step in steps if step is not None]
    assert isinstance(base, DoseBaseline)
    assert all(isinstance(point, DoseMeasurement) for point in points)
    return base, points  # type: ignore[return-value]


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("hook", [HOOK, "blocks.0.hook_resid_mid", "blocks.2.hook_resid_post"])
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "bosless"])
def test_every_strength_is_as_by_hand(
    architecture: str, hook: str, mode: Mode, scope: Scope, request: Any
) -> None:
    model: LanguageModel = request.getfixturevalue(architecture)
    made = edit(model, mode, hook)
    base, points = sweep(model, made, scope)
    assert [point.strength for point in points] == STRENGTHS
    prompt = prompt_tokens(model, PROMPT).tolist()
    begin = len(prompt) - 1 if scope is Scope.GENERATED else 0
    real = torch.tensor([token not in model.vocabulary.special for token in prompt])
    uniform = Sampler(TokenSampling(seed=11), N).uniform
    clean, _ = steered_pass(model, prompt, [])
    for strength, point in [(None, base), *zip(STRENGTHS, points, strict=True)]:
        hand = HandEdit(made.dictionary, made.feature, mode, strength or 0.0, 2.0)
        if strength is None:
            hand = HandEdit(made.dictionary, made.feature, "add", 0.0, 2.0)
        logits, x = steered_pass(model, prompt, [hand], begin)
        acts = made.dictionary.encode(x[hook].float())[:, made.feature]
        assert point.activation == pytest.approx(float(acts[real].mean()), rel=1e-3, abs=1e-5)
        if isinstance(point, DoseMeasurement):
            log_q, log_p = logits.log_softmax(-1), clean.log_softmax(-1)
            kl = (log_q.exp() * (log_q - log_p)).sum(-1)
            assert point.kl == pytest.approx(float(kl[real].mean()), rel=2e-3, abs=1e-5)
        chances = logits[-1].softmax(-1)[WATCHED].tolist()
        assert point.probabilities == pytest.approx(chances, rel=2e-3)
        tokens, _ = written(model, prompt, [hand], uniform, begin)
        pieces = [model.vocabulary.pieces[token] for token in tokens if token]
        assert point.text == b"".join(pieces).decode("utf-8", "replace")
        triples = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
        assert point.distinct == len(set(triples)) / len(triples)
        logits, _ = steered_pass(model, [*prompt, *tokens], [])
        index = (torch.arange(len(prompt) - 1, len(prompt) + len(tokens) - 1), torch.tensor(tokens))
        perplexity = float((-logits.log_softmax(-1)[index].mean()).exp())
        assert point.perplexity == pytest.approx(perplexity, rel=2e-3)


@pytest.mark.parametrize("mode", [Mode.ADD, Mode.CLAMP, Mode.SCALE, Mode.REMOVE])
def test_a_neutral_strength_is_the_unsteered_model(llama: LanguageModel, mode: Mode) -> None:
    neutral = {Mode.ADD: [0.0], Mode.SCALE: [1.0], Mode.REMOVE: [0.0]}.get(mode, [])
    made = edit(llama, mode)
    base, points = sweep(llama, made)
    for point in points:
        assert (point.kl == 0.0) == (point.strength in neutral)
        if point.strength in neutral:
            assert vars(point) == {"strength": point.strength, "kl": 0.0, **vars(base)}
    _, still = sweep(llama, replace(made, maximum=0.0))
    if mode is Mode.ADD:
        assert all(vars(p) == {"strength": p.strength, "kl": 0.0, **vars(base)} for p in still)
    elif mode in (Mode.SCALE, Mode.REMOVE):
        assert still == points
    else:  # ablation, whatever the strength
        (taken,) = (p for p in points if p.strength == 0)
        assert {p.text for p in still} == {taken.text}
        assert [p.kl for p in still] == pytest.approx([taken.kl] * len(still), rel=1e-5)


def test_strengths_in_several_batches(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, points = sweep(llama, edit(llama, Mode.CLAMP))
    monkeypatch.setattr("sae_core.interventions.dose_response._TOKENS_HELD", 2 * (7 + N))
    monkeypatch.setattr("sae_core.interventions.steered_run._MOST_TOKENS", 6)
    monkeypatch.setattr("sae_core.language_model.predictions._LOGITS_AT_ONCE", 1)
    monkeypatch.setattr("sae_core.language_model.predictions._LEAST_ROWS", 3)
    other, apart = sweep(llama, edit(llama, Mode.CLAMP))
    for one, two in zip([base, *points], [other, *apart], strict=True):
        assert one.text == two.text
        assert one.perplexity == pytest.approx(two.perplexity, rel=1e-4)
        assert one.activation == pytest.approx(two.activation, rel=1e-4, abs=1e-6)
        if isinstance(one, DoseMeasurement):
            assert isinstance(two, DoseMeasurement)
            assert one.kl == pytest.approx(two.kl, rel=1e-3, abs=1e-6)


def test_a_prompt_of_nothing_but_bos(gpt2: LanguageModel) -> None:
    """There is no text to take a mean over, and none to steer before the first token."""
    made = edit(gpt2, Mode.ADD)
    for scope in Scope:
        steps = dose_response(gpt2, made, [2.0], torch.tensor([0]), 3, TokenSampling(), scope, [4])
        base, point = (step for step in steps if step is not None)
        assert isinstance(point, DoseMeasurement)
        assert (base.activation, point.activation, point.kl) == (0.0, 0.0, 0.0)
        assert point.probabilities == pytest.approx(base.probabilities, rel=1e-5)


def test_one_token_is_enough(gpt2: LanguageModel) -> None:
    made = edit(gpt2, Mode.ADD)
    prompt = torch.tensor([0, 17, 40])
    steps = dose_response(gpt2, made, [2.0], prompt, 1, TokenSampling(seed=2))
    base, point = (step for step in steps if step is not None)
    assert base.probabilities == point.probabilities == ()
    assert base.perplexity > 1
    assert point.perplexity > 1


def test_what_cannot_be_is_refused(gpt2: LanguageModel) -> None:
    made, prompt = edit(gpt2, Mode.ADD), torch.tensor([0, 17, 40])
    with pytest.raises(SteeringError, match=r"62 tokens after a prompt of 3 make 65"):
        next(dose_response(gpt2, made, [1.0], prompt, 62, TokenSampling()))
    with pytest.raises(PromptError, match="token 300"):
        next(dose_response(gpt2, made, [1.0], prompt, 5, TokenSampling(), watched=[300]))
    with pytest.raises(SteeringError, match="no finite number"):
        next(dose_response(gpt2, replace(made, maximum=1e306), [1e9], prompt, 5, TokenSampling()))


@pytest.mark.parametrize("scope", list(Scope))
def test_a_strength_that_overflows_is_alone_in_it(gpt2: LanguageModel, scope: Scope) -> None:
    model = load_model(gpt2.path, dtype="float16")
    made = edit(model, Mode.ADD)
    _, (one, broken, other) = sweep(model, made, scope, [1.0, 1e9, -2.0])
    _, (alone, beside) = sweep(model, made, scope, [1.0, -2.0])
    figures = (broken.kl, broken.perplexity, broken.activation, *broken.probabilities)
    assert len(figures) == 3 + len(WATCHED)
    assert all(map(math.isnan, figures))
    assert (broken.strength, broken.text) == (1e9, "")
    for found, wanted in ((one, alone), (other, beside)):
        assert found.text == wanted.text
        for name in ("kl", "perplexity", "activation", "probabilities"):
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-2)
    _, points = sweep(model, made, scope, [1e9, 1e8])
    assert [math.isnan(point.kl) for point in points] == [True, True]


def test_a_text_that_overflows_half_way_keeps_what_there_was(
    gpt2: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = edit(gpt2, Mode.ADD)
    _, (wanted, _) = sweep(gpt2, made, strengths=[1.0, 2.0])
    step = SteeredRun.step

    def overflowing(run: SteeredRun, tokens: list[int]) -> torch.Tensor:
        logits = step(run, tokens)
        if len(tokens) == 2 and run.length == 10:  # both are steered; three tokens are written
            logits = logits.clone()
            logits[0] = math.nan
        return logits

    monkeypatch.setattr(SteeredRun, "step", overflowing)
    _, (broken, other) = sweep(gpt2, made, strengths=[1.0, 2.0])
    assert math.isnan(broken.perplexity)
    assert math.isnan(broken.activation)
    assert 0 < len(broken.text) < len(wanted.text)
    assert wanted.text.startswith(broken.text.rstrip("\ufffd"))
    assert math.isfinite(other.kl)
    assert math.isfinite(other.perplexity)


def test_a_model_without_numbers_of_its_own_is_said(gpt2: LanguageModel) -> None:
    made = edit(gpt2, Mode.ADD)
    broken = load_model(gpt2.path)
    broken.module.get_input_embeddings().weight.data[17] = math.nan
    with pytest.raises(SteeringError, match="unsteered model's predictions"):
        list(dose_response(broken, made, [1.0], torch.tensor([0, 17]), 5, TokenSampling()))


def test_closing_leaves_no_hook(gpt2: LanguageModel) -> None:
    prompt = torch.tensor([0, 17, 40, 3])
    modules = list(gpt2.module.modules())
    for n_steps in range(0, 20, 3):
        steps = dose_response(gpt2, edit(gpt2, Mode.CLAMP), STRENGTHS, prompt, N, TokenSampling())
        for _ in range(n_steps):
            next(steps)
            assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)
        steps.close()  # type: ignore[attr-defined]
