"""Traits of generated text against a float64 pass with hooks written by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.interventions.generation import STEERED, UNSTEERED, Scope
from sae_core.interventions.prompt import prompt_tokens
from sae_core.interventions.steering import FeatureEdit, Mode
from sae_core.interventions.traits import N_SIDE_EFFECTS, SideEffectFeatures, TextTraits, traits
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.predictions import perplexity
from tests.sae_core.interventions.steered_reference import HandEdit, steered_pass
from tests.sae_core.interventions.test_generation import bosless  # noqa: F401
from tests.sae_core.tiny_dictionaries import random_dictionary

PROMPT = [17, 40, 0, 99, 250]
# An end-of-text token in the middle, as a text of several would have it, and at the end.
TEXTS = ([31, 64, 0, 120, 7, 201, 33], [88, 12, 90, 0])


def read(
    model: LanguageModel, edits: list[FeatureEdit], scope: Scope, dictionary: Dictionary
) -> tuple[TextTraits, TextTraits, SideEffectFeatures]:
    found = [
        one
        for one in traits(model, prompt_tokens(model, PROMPT), TEXTS, edits, scope, dictionary)
        if one is not None
    ]
    assert [type(one) for one in found] == [TextTraits, TextTraits, SideEffectFeatures]
    return found[0], found[1], found[2]  # type: ignore[return-value]


def by_hand(edit: FeatureEdit) -> HandEdit:
    return HandEdit(edit.dictionary, edit.feature, edit.mode, edit.strength, edit.maximum)


class Watching(HandEdit):
    """Changes nothing, so that x is seen."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("seen_at", ["blocks.1.mlp.hook_post", "blocks.2.hook_resid_post"])
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "bosless"])
def test_everything_is_as_by_hand(
    architecture: str, seen_at: str, scope: Scope, request: Any
) -> None:
    model: LanguageModel = request.getfixturevalue(architecture)
    mlp = model.hook_point("blocks.1.mlp.hook_post")
    edited = random_dictionary(mlp.name, mlp.d_in, architecture="topk")
    early = random_dictionary("blocks.0.hook_resid_mid", 32)
    edits = [
        FeatureEdit(edited, 3, Mode.CLAMP, 2.0, 1.5),
        FeatureEdit(early, 5, Mode.ADD, 1.0, 1.0),
        FeatureEdit(edited, 4, Mode.ADD, 0.0, 1.5),
        FeatureEdit(edited, 7, Mode.SCALE, 3.0, 1.5),
    ]
    dictionary = edited if seen_at == mlp.name else random_dictionary(seen_at, 32, 40)
    unsteered, steered, effects = read(model, edits, scope, dictionary)
    prompt = prompt_tokens(model, PROMPT).tolist()
    begin = len(prompt) - 1 if scope is Scope.GENERATED else 0
    watched = [Watching(made, 0, "add", 0.0, 0.0) for made in (dictionary, edited, early)]
    means, reads = [], []
    for row, (found, text) in enumerate(zip((unsteered, steered), TEXTS, strict=True)):
        tokens = [*prompt, *text]
        index = (torch.arange(len(prompt) - 1, len(tokens) - 1), torch.tensor(text))
        passes = [
            steered_pass(model, tokens, [*these, *watched], begin)
            for these in ([], [by_hand(edit) for edit in edits])
        ]
        log_p = [logits.log_softmax(-1)[index] for logits, _ in passes]
        assert found.row == row
        np.testing.assert_allclose(found.unsteered, log_p[UNSTEERED].exp(), rtol=2e-3)
        np.testing.assert_allclose(found.steered, log_p[STEERED].exp(), rtol=2e-3)
        assert found.perplexity == pytest.approx(float((-log_p[0].mean()).exp()), rel=1e-3)
        real = torch.tensor([token not in model.vocabulary.special for token in text])

        def acts(made: Dictionary, x: Any = passes[row][1]) -> torch.Tensor:
            return made.encode(x[made.hook_point][len(prompt) :].float())

        best = acts(dictionary).topk(5)
        wanted = best.indices.masked_fill((best.values <= 0) | ~real[:, None], -1)
        assert found.features.tolist() == wanted.tolist()
        values = best.values.masked_fill(~real[:, None], 0.0)
        np.testing.assert_allclose(found.activations, values, rtol=1e-3, atol=1e-4)
        means.append(acts(dictionary)[real].mean(0))
        reads = [float(acts(edit.dictionary)[real, edit.feature].mean()) for edit in edits]
        assert (found.unsteered.dtype, found.features.dtype) == (np.float32, np.int32)
    assert effects.reads == pytest.approx(reads, rel=1e-3, abs=1e-4)
    change = (means[1] - means[0]).abs()
    order = change.argsort(descending=True)[: len(effects.features)]
    assert len(effects.features) == min(N_SIDE_EFFECTS, int((change > 0).sum()))
    np.testing.assert_allclose(change[effects.features.astype(int)], change[order], atol=1e-3)
    chosen = effects.features.astype(int)
    np.testing.assert_allclose(effects.unsteered, means[0][chosen], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(effects.steered, means[1][chosen], rtol=1e-3, atol=1e-4)


def test_without_edits_in_force_both_models_are_the_same(gpt2: LanguageModel) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    still = FeatureEdit(dictionary, 3, Mode.ADD, 0.0, 1.5)
    none = read(gpt2, [], Scope.ALL, dictionary)
    for found, bare in zip(read(gpt2, [still], Scope.ALL, dictionary)[:2], none[:2], strict=True):
        assert np.array_equal(found.unsteered, found.steered)
        assert np.array_equal(found.unsteered, bare.unsteered)
    effects = read(gpt2, [still], Scope.ALL, dictionary)[2]
    assert len(effects.reads) == 1
    assert none[2].reads == ()
    assert np.array_equal(effects.features, none[2].features)


def test_work_comes_in_pieces(gpt2: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers, however finely it is cut."""
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48, architecture="topk")
    edits = [FeatureEdit(dictionary, 3, Mode.CLAMP, 2.0, 1.5)]
    whole = read(gpt2, edits, Scope.ALL, dictionary)
    monkeypatch.setattr("sae_core.interventions.traits._ENCODED_AT_ONCE", 2 * 48 * 24)
    monkeypatch.setattr("sae_core.interventions.steered_run._MOST_TOKENS", 4)
    monkeypatch.setattr("sae_core.language_model.predictions._LOGITS_AT_ONCE", 1)
    monkeypatch.setattr("sae_core.language_model.predictions._LEAST_ROWS", 3)
    prompt = prompt_tokens(gpt2, PROMPT)
    steps = list(traits(gpt2, prompt, TEXTS, edits, Scope.ALL, dictionary))
    assert steps.count(None) > 20
    pieces = read(gpt2, edits, Scope.ALL, dictionary)
    for found, wanted in zip(pieces[:2], whole[:2], strict=True):
        np.testing.assert_allclose(found.steered, wanted.steered, rtol=1e-4)
        np.testing.assert_allclose(found.activations, wanted.activations, rtol=1e-4, atol=1e-5)
        assert found.features.tolist() == wanted.features.tolist()
    assert pieces[2].reads == pytest.approx(whole[2].reads, rel=1e-4)


def test_a_text_of_nothing_but_its_end(gpt2: LanguageModel) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    edits = [FeatureEdit(dictionary, 3, Mode.ADD, 2.0, 1.5)]
    found = list(traits(gpt2, torch.tensor([0]), ([0], [0]), edits, Scope.ALL, dictionary))
    one, other, effects = (step for step in found if step is not None)
    assert isinstance(one, TextTraits)
    assert isinstance(other, TextTraits)
    assert isinstance(effects, SideEffectFeatures)
    assert one.features.tolist() == other.features.tolist() == [[-1] * 5]
    assert effects.reads == (0.0,)
    assert len(effects.features) == 0


def test_a_text_beyond_belief_has_a_finite_perplexity() -> None:
    assert perplexity(torch.tensor([-1.0, -3.0])) == pytest.approx(math.exp(2.0))
    assert math.isfinite(perplexity(torch.tensor([-1e6, 0.0])))
