"""The divergence of predictions and its gradient, against whole forward passes in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.corpus import open_corpus
from sae_core.text.tokenized import Windows, tokenize
from sae_core.training.data.downstream import DownstreamLoss, balanced
from tests.sae_core.language_model.double_models import double
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_gpt2, tiny_llama

KINDS = ["mlp.hook_post", "hook_resid_pre", "hook_resid_mid", "hook_mlp_out", "attn.hook_z"]


@pytest.fixture(scope="module", params=[tiny_gpt2, tiny_llama])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LanguageModel:
    folder = tmp_path_factory.mktemp("models") / "model"
    return double(load_model(save_folder(request.param(), folder)))


@pytest.fixture(scope="module")
def windows(model: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Windows:
    folder = tmp_path_factory.mktemp("texts")
    for n in range(12):
        (folder / f"{n}.txt").write_text(f"text {n} " + "def fox(dog): jumps over\n" * (n + 1))
    corpus = tokenize(open_corpus(str(folder)), model.tokenizer, folder / "cache")
    return Windows(corpus, 20, model.vocabulary.bos)


def _divergence(
    model: LanguageModel, hook: str, tokens: Tensor, rows: Tensor, x_hat: Tensor
) -> Tensor:
    """KL by two whole forward passes; differentiable by x_hat."""

    def edit(x: Tensor) -> Tensor:
        return x.flatten(0, 1).index_copy(0, rows, x_hat).view_as(x)

    clean = model.logits(tokens).log_softmax(-1).flatten(0, 1)[rows]
    with model.replaced(model.hook_point(hook), edit):
        changed = model.module(input_ids=tokens, use_cache=False).logits
    q = changed.log_softmax(-1).flatten(0, 1)[rows]
    return (clean.exp() * (clean - q)).sum(-1).mean()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [1, 2])
def test_gradients_reach_the_dictionary_as_through_the_whole_model(
    model: LanguageModel, windows: Windows, kind: str, layer: int
) -> None:
    hook = f"blocks.{layer}.{kind}"
    batch = DownstreamLoss(model, hook, windows, 50).batch(3)
    d_in = model.hook_point(hook).d_in
    dictionary = random_dictionary(hook, d_in, architecture="topk").double().requires_grad_()
    x_hat = dictionary(batch.x)
    found = batch.divergence(x_hat)
    wanted = _divergence(model, hook, batch.run.tokens, batch.rows, x_hat)
    assert found.kl == pytest.approx(float(wanted.detach()), rel=1e-9)
    assert found.kl > 1e-4
    parameters = list(dictionary.parameters())
    through = torch.autograd.grad((x_hat * found.gradient).sum(), parameters, retain_graph=True)
    for ours, theirs in zip(through, torch.autograd.grad(wanted, parameters), strict=True):
        assert float(theirs.abs().max()) > 0
        assert (ours - theirs).abs().max() < 1e-9 * (1 + theirs.abs().max())


def test_batches_are_pure_whole_and_without_special_tokens(
    model: LanguageModel, windows: Windows
) -> None:
    hook = "blocks.1.hook_resid_pre"
    loss, again = (DownstreamLoss(model, hook, windows, 50) for _ in range(2))
    batches = [loss.batch(n) for n in range(4)]
    for n in (2, 0, 3):
        assert torch.equal(again.batch(n).x, batches[n].x)
    assert not torch.equal(batches[0].run.tokens, batches[1].run.tokens)
    special = torch.from_numpy(model.vocabulary.is_special)
    trained = set(windows.of_documents(held_out=False).tolist())
    known = {tuple(windows.gather([n])[0][0].tolist()) for n in trained}  # type: ignore[list-item]
    for batch in batches:
        assert batch.x.shape == (50, model.d_model)
        assert not special[batch.run.tokens.flatten()[batch.rows]].any()
        assert {tuple(row) for row in batch.run.tokens.tolist()} <= known
    assert loss.identity == again.identity
    assert loss.identity != DownstreamLoss(model, hook, windows, 51).identity


def test_a_perfect_reconstruction_diverges_nowhere(model: LanguageModel, windows: Windows) -> None:
    batch = DownstreamLoss(model, "blocks.2.mlp.hook_post", windows, 40, seed=1).batch(0)
    found = batch.divergence(batch.x)
    assert found.kl == pytest.approx(0, abs=1e-12)
    assert float(found.gradient.abs().max()) < 1e-9


def test_no_gradient_stays_on_the_model(model: LanguageModel, windows: Windows) -> None:
    batch = DownstreamLoss(model, "blocks.1.hook_resid_mid", windows, 40).batch(0)
    batch.divergence(0.9 * batch.x)
    assert all(p.grad is None for p in model.module.parameters())
    assert not model.logits(batch.run.tokens).requires_grad


def test_balanced_terms_have_the_same_norm() -> None:
    own, other = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 0.1])
    assert torch.allclose(balanced(own, other), torch.tensor([3.0, 9.0]))
    assert torch.equal(balanced(own, torch.zeros(2)), own)
