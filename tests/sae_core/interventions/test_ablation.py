"""Ablation against a brute force in float64 that shares no code with it but the dictionary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import HookPointError, ModelError
from sae_core.harvest.records import ContextEffect
from sae_core.interventions.ablation import ablate
from sae_core.language_model import clean_run
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.language_model.double_models import exchanged, in_double
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import STORIES

KINDS = [
    "hook_resid_pre",
    "attn.hook_z",
    "hook_attn_out",
    "hook_resid_mid",
    "mlp.hook_post",
    "hook_mlp_out",
    "hook_resid_post",
]


def brute_logits(
    model: nn.Module, name: str, tokens: Tensor, edit: Callable[[Tensor], Tensor]
) -> Tensor:
    """Logits [pos, d_vocab] of the float64 model with the activation at `name` exchanged."""
    with exchanged(model, name, edit):
        return model(input_ids=tokens[None], use_cache=False).logits[0]


@dataclass
class Brute:
    """What the brute force finds in one context.

    Attributes:
        fires: positions of real tokens on which the feature fires.
        loss_change: nats, float64 [pos], 0 at position 0.
        changes: ablated less clean logits of the prediction of each token, [pos, d_vocab].
    """

    fires: list[int]
    loss_change: Tensor
    changes: Tensor


@torch.no_grad()
def brute_force(
    model: LanguageModel, dictionary: Dictionary, feature: int, tokens: Tensor
) -> Brute:
    double = in_double(model.path)
    special = torch.tensor([int(token) in model.vocabulary.special for token in tokens])
    acts: list[Tensor] = []

    def edit(x: Tensor) -> Tensor:
        acts.append(dictionary.double().encode(x)[..., feature].masked_fill(special, 0))
        return x - acts[-1][..., None] * dictionary.double().decoder_rows[feature]

    clean = brute_logits(double, dictionary.hook_point, tokens, lambda x: x)
    ablated = brute_logits(double, dictionary.hook_point, tokens, edit)
    dictionary.float()
    index = (torch.arange(len(tokens) - 1), tokens[1:])
    difference = clean.log_softmax(-1)[index] - ablated.log_softmax(-1)[index]
    zero = torch.zeros(1, dtype=torch.float64)
    none = torch.zeros(1, clean.shape[-1], dtype=torch.float64)
    return Brute(
        fires=acts[0][0].nonzero()[:, 0].tolist(),
        loss_change=torch.cat([zero, difference]),
        changes=torch.cat([none, (ablated - clean)[:-1]]),
    )


def assert_equal(
    effect: ContextEffect, brute: Brute, tokens: Tensor, special: frozenset[int], attention: bool
) -> None:
    """Hold one context's effect to the brute force: which positions, their losses, their logits."""
    real = [t for t in range(1, len(tokens)) if int(tokens[t]) not in special]
    if attention:
        first = min(brute.fires, default=len(tokens))
        expected = [t for t in real if t > first]
    else:
        expected = [t for t in real if t - 1 in brute.fires]
    assert effect.positions.tolist() == expected
    assert effect.positions.dtype == np.uint16
    assert effect.loss_change.dtype == np.float32
    np.testing.assert_allclose(effect.loss_change, brute.loss_change[expected], rtol=0, atol=1e-4)
    silent = [t for t in real if t not in expected]
    assert torch.all(brute.loss_change[silent].abs() < 1e-12)
    for row, t in enumerate(expected):
        raised, lowered = brute.changes[t].topk(5), brute.changes[t].topk(5, largest=False)
        np.testing.assert_allclose(effect.raised[row], raised.values, rtol=0, atol=1e-4)
        np.testing.assert_allclose(effect.lowered[row], lowered.values, rtol=0, atol=1e-4)
        at = brute.changes[t][effect.raised_ids[row].astype(np.int64)]
        np.testing.assert_allclose(at, raised.values, rtol=0, atol=1e-4)
        at = brute.changes[t][effect.lowered_ids[row].astype(np.int64)]
        np.testing.assert_allclose(at, lowered.values, rtol=0, atol=1e-4)


def check(
    model: LanguageModel, dictionary: Dictionary, feature: int, contexts: Sequence[Tensor]
) -> int:
    """Compare all contexts with the brute force; returns how many positions were listed."""
    point = model.hook_point(dictionary.hook_point)
    effects = list(ablate(model, dictionary, feature, contexts, batch_tokens=50))
    assert len(effects) == len(contexts)
    for effect, context in zip(effects, contexts, strict=True):
        brute = brute_force(model, dictionary, feature, context)
        assert_equal(effect, brute, context, model.vocabulary.special, point.attention_after)
    return sum(len(effect.positions) for effect in effects)


@pytest.fixture(scope="module")
def contexts() -> list[Tensor]:
    """Contexts of several lengths; end-of-text first, and in the middle of one."""
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(1, 280, (n,), generator=generator) for n in (20, 12, 1, 17, 2)]
    for row in rows:
        row[0] = 0
    rows[3][8] = 0
    return rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_equals_brute_force_everywhere(
    architecture: str, layer: int, kind: str, contexts: list[Tensor], request: Any
) -> None:
    model: LanguageModel = request.getfixturevalue(architecture)
    point = model.hook_point(f"blocks.{layer}.{kind}")
    assert point.attention_after == (layer < 2 or kind == "hook_resid_pre")
    assert clean_run.takes_up(model, point)
    dictionary = random_dictionary(point.name, point.d_in)
    assert sum(check(model, dictionary, feature, contexts) for feature in (0, 5)) > 0


@pytest.mark.parametrize("architecture", ["standard", "topk", "neurons"])
def test_equals_brute_force_on_the_demo_shape(
    architecture: str, relu_model: LanguageModel, contexts: list[Tensor]
) -> None:
    dictionary = random_dictionary("blocks.0.mlp.hook_post", 48, architecture=architecture)
    assert sum(check(relu_model, dictionary, feature, contexts) for feature in range(6)) > 0


TRAINED = [(Path(__file__).parents[3] / "demo" / "model", "blocks.0.mlp.hook_post")]
if STORIES.is_dir():
    TRAINED.append((STORIES, "blocks.2.mlp.hook_post"))


@pytest.mark.parametrize(("path", "hook"), TRAINED)
def test_equals_brute_force_on_a_trained_model(path: Path, hook: str) -> None:
    model = load_model(path)
    dictionary = random_dictionary(hook, model.hook_point(hook).d_in, architecture="neurons")
    text = "Once upon a time, there was a little girl named Lily."
    ids = model.tokenizer.encode(text, add_special_tokens=False).ids
    context = torch.tensor([model.vocabulary.bos, *ids])
    assert sum(check(model, dictionary, feature, [context]) for feature in range(3, 9)) > 0


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_model_that_cannot_be_taken_up_runs_from_the_start(
    kind: str, gpt2: LanguageModel, contexts: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean_run, "takes_up", lambda model, hook_point: False)
    for layer in (1, 2):
        point = gpt2.hook_point(f"blocks.{layer}.{kind}")
        check(gpt2, random_dictionary(point.name, point.d_in), 0, contexts)


def test_a_feature_that_never_fires_changes_nothing(
    gpt2: LanguageModel, contexts: list[Tensor]
) -> None:
    for layer in (0, 2):
        dictionary = random_dictionary(f"blocks.{layer}.mlp.hook_post", 48)
        with torch.no_grad():
            dictionary.b_enc.fill_(-1e6)
        for effect in ablate(gpt2, dictionary, 1, contexts):
            assert effect.positions.shape == effect.loss_change.shape == (0,)
            assert effect.raised_ids.shape == effect.lowered.shape == (0, 5)


def test_a_firing_on_a_special_token_is_left_alone(relu_model: LanguageModel) -> None:
    dictionary = random_dictionary("blocks.0.mlp.hook_post", 48)
    with torch.no_grad():
        dictionary.b_enc.fill_(100.0)
    (effect,) = ablate(relu_model, dictionary, 0, [torch.tensor([0, 5, 6, 0, 7, 8])])
    # Not 1 (fires on BOS only), not 3 (special itself), not 4 (its only source is special).
    assert effect.positions.tolist() == [2, 5]


def test_batches_do_not_matter(llama: LanguageModel, contexts: list[Tensor]) -> None:
    dictionary = random_dictionary("blocks.1.hook_mlp_out", 32)
    together = list(ablate(llama, dictionary, 0, contexts))
    apart = list(ablate(llama, dictionary, 0, contexts, batch_tokens=1))
    for one, other in zip(together, apart, strict=True):
        assert one.positions.tolist() == other.positions.tolist()
        np.testing.assert_allclose(one.loss_change, other.loss_change, atol=1e-5)


def test_nothing_to_do(gpt2: LanguageModel) -> None:
    dictionary = random_dictionary("blocks.1.hook_mlp_out", 32)
    assert list(ablate(gpt2, dictionary, 0, [])) == []
    (effect,) = ablate(gpt2, dictionary, 0, [torch.tensor([], dtype=torch.int64)])
    assert len(effect.positions) == 0


def test_closing_the_generator_leaves_the_model_clean(
    gpt2: LanguageModel, contexts: list[Tensor]
) -> None:
    before = gpt2.logits(contexts[0][None])
    work = ablate(gpt2, random_dictionary("blocks.1.hook_mlp_out", 32), 0, contexts, batch_tokens=1)
    next(work)
    work.close()  # type: ignore[attr-defined]
    assert torch.equal(gpt2.logits(contexts[0][None]), before)


def test_refuses_what_does_not_fit(gpt2: LanguageModel) -> None:
    with pytest.raises(HookPointError, match=r"width 7.*width 48"):
        list(ablate(gpt2, random_dictionary("blocks.1.mlp.hook_post", 7), 0, []))
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    with pytest.raises(ModelError, match="65 tokens is longer than the 64"):
        list(ablate(gpt2, dictionary, 0, [torch.ones(65, dtype=torch.int64)]))
    with pytest.raises(ModelError, match="Token 300 is not in the vocabulary"):
        list(ablate(gpt2, dictionary, 0, [torch.tensor([0, 300])]))
