"""One layer of a cross-layer transcoder in every intervention, against float64 forward passes.

The reference hooks the library's modules by their own names: what a feature writes is changed at
its own block and, in the same pass, at each later one. What it reads is the output of the norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.dictionaries.dictionary import Dictionary, Output
from sae_core.dictionaries.places import places_of
from sae_core.errors import CheckpointError, HookPointError
from sae_core.harvest.fit_check import variant_of, varied
from sae_core.harvest.logit_weights import logit_weights
from sae_core.interventions.ablation import ablate
from sae_core.interventions.attribution import predict
from sae_core.interventions.dose_response import DoseMeasurement, dose_response
from sae_core.interventions.next_token import TokenSampling
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Mode, Steering
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.tiny_models import save_folder, tiny_gemma2, tiny_gpt2, tiny_llama

D_SAE, CLOSE = 24, 1e-4
WRITES = ("hook_mlp_out", "mlp.hook_out", "hook_resid_post")

# From the block's number behind the dictionary's own, its activations and y, to the new y.
Change = Callable[[int, Tensor, Tensor], Tensor]


def layer_of_clt(writes: str, later_blocks: int, layer: int = 0) -> Dictionary:
    """A seeded layer, some of whose features fire on each token."""
    place = f"blocks.{layer}.mlp.hook_in"
    output = Output(f"blocks.{layer}.{writes}", 32, later_blocks=later_blocks)
    made: Dictionary
    if writes == "mlp.hook_out":
        made = TopKDictionary(place, 32, D_SAE, 4, apply_b_dec_to_input=False, output=output)
    else:
        of = JumpReLUDictionary if writes == "hook_resid_post" else StandardDictionary
        made = of(place, 32, D_SAE, apply_b_dec_to_input=False, output=output)
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            parameter.copy_(0.3 * noise.abs() if name == "threshold" else 0.3 * noise)
    return made.requires_grad_(False)


class BlockModules(NamedTuple):
    """A block's modules: the norm before its MLP, and what returns each kind that is written."""

    norm: nn.Module
    written: nn.Module


class LibraryModel:
    """A library model in float64, and one layer of a cross-layer transcoder by its equation."""

    def __init__(self, folder: Path, of: Dictionary) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        self.weights = {name: p.double() for name, p in of.named_parameters()}
        self.of = of
        self.rows = [self.weights["W_dec"], *self.weights["W_later"]]
        gpt2 = hasattr(self.model, "transformer")
        blocks = self.model.transformer.h if gpt2 else self.model.model.layers
        kind = of.output_hook_point.split(".", 2)[2]
        self.blocks = [self.modules(block, kind) for block in blocks]

    @staticmethod
    def modules(block: Any, kind: str) -> BlockModules:
        gemma = hasattr(block, "pre_feedforward_layernorm")
        norm = block.ln_2 if hasattr(block, "ln_2") else block.post_attention_layernorm
        norm = block.pre_feedforward_layernorm if gemma else norm
        added = block.post_feedforward_layernorm if gemma else block.mlp
        written = {"hook_mlp_out": added, "mlp.hook_out": block.mlp, "hook_resid_post": block}
        return BlockModules(norm, written[kind])

    def acts(self, x: Tensor) -> Tensor:
        pre = x @ self.weights["W_enc"] + self.weights["b_enc"]
        if isinstance(self.of, TopKDictionary):
            best = pre.topk(self.of.k, dim=-1)
            return torch.zeros_like(pre).scatter(-1, best.indices, best.values.relu())
        return torch.where(pre > self.weights.get("threshold", 0.0), pre.relu(), 0.0)

    @contextmanager
    def changed(self, change: Change) -> Iterator[None]:
        seen: dict[str, Tensor] = {}

        def read(_: nn.Module, __: Any, out: Tensor) -> None:
            seen["acts"] = self.acts(out)

        def write(number: int, _: nn.Module, __: Any, out: Any) -> Any:
            y = out[0] if isinstance(out, tuple) else out
            new = change(number, seen["acts"], y)
            return (new, *out[1:]) if isinstance(out, tuple) else new

        with ExitStack() as stack:
            handles = [self.blocks[0].norm.register_forward_hook(read)]
            for number, block in enumerate(self.blocks):
                handles.append(block.written.register_forward_hook(partial(write, number)))
            for handle in handles:
                stack.callback(handle.remove)
            yield

    def log_p(self, tokens: Tensor, change: Change = lambda number, acts, y: y) -> Tensor:
        with self.changed(change):
            logits: Tensor = self.model(input_ids=tokens, use_cache=False).logits
        return logits.log_softmax(-1)[0]

    def written(self, tokens: Tensor, feature: int, amount: Callable[[Tensor], Tensor]) -> Change:
        """A change by an amount of a feature, of what it reads; BOS is left alone."""

        def change(number: int, acts: Tensor, y: Tensor) -> Tensor:
            amounts = amount(acts[..., feature]).masked_fill(tokens == 0, 0.0)
            return y + amounts[..., None] * self.rows[number][feature]

        return change


class Case(NamedTuple):
    """A model of ours, a layer that writes into all its blocks, and the reference."""

    model: LanguageModel
    made: Dictionary
    library: LibraryModel


@pytest.fixture(scope="module", params=["gpt2", "llama", "gemma2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make = {"gpt2": tiny_gpt2, "llama": tiny_llama, "gemma2": tiny_gemma2}[request.param]
    return save_folder(make(), tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return load_model(folder)


@pytest.fixture(scope="module", params=WRITES)
def case(request: pytest.FixtureRequest, folder: Path, model: LanguageModel) -> Case:
    made = layer_of_clt(request.param, model.n_layers - 1)
    return Case(model, made, LibraryModel(folder, made))


def text(n: int = 12) -> Tensor:
    tokens = torch.randint(1, 280, (1, n), generator=torch.Generator().manual_seed(3))
    tokens[:, 0] = 0
    return tokens


@torch.no_grad()
def test_ablation(case: Case) -> None:
    tokens, own_block_alone = text(), []
    clean = case.library.log_p(tokens)
    targets = tokens[0, 1:, None]
    for feature in range(0, D_SAE, 5):
        (effect,) = ablate(case.model, case.made, feature, [tokens[0]])
        gone = case.library.written(tokens, feature, lambda acts: -acts)
        other = case.library.log_p(tokens, gone)
        expected = (clean[:-1].gather(1, targets) - other[:-1].gather(1, targets))[:, 0]
        measured = torch.zeros_like(expected)
        at = torch.from_numpy(effect.positions.astype("int64")) - 1
        measured[at] = torch.from_numpy(effect.loss_change).double()
        torch.testing.assert_close(measured, expected, rtol=CLOSE, atol=CLOSE)

        def own(number: int, acts: Tensor, y: Tensor, gone: Change = gone) -> Tensor:
            return y if number else gone(number, acts, y)

        alone = case.library.log_p(tokens, own)[:-1].gather(1, targets)
        own_block_alone.append(float((alone - other[:-1].gather(1, targets)).abs().max()))
    assert max(own_block_alone) > 100 * CLOSE  # the later blocks count


@pytest.mark.parametrize("mode", list(Mode))
@torch.no_grad()
def test_steering(case: Case, mode: Mode) -> None:
    tokens, feature = text(), 3
    # A cap that some positions of each block reach, and others do not.
    strength, maximum = (0.02, 2.0) if mode is Mode.CAP else (1.5, 2.0)
    reached: list[Tensor] = []

    def steered(number: int, acts: Tensor, y: Tensor) -> Tensor:
        d, own = case.library.rows[number][feature], acts[..., feature]
        along = y @ d / d.dot(d)  # each block's own projection, in units of the activation
        amounts = {
            Mode.ADD: torch.full_like(own, strength * maximum),
            Mode.CLAMP: strength * maximum - own,
            Mode.SCALE: (strength - 1) * own,
            Mode.CAP: (strength * maximum - along).clamp(max=0),
            Mode.REMOVE: -strength * along,
        }[mode]
        reached.append(amounts != 0)
        return y + amounts.masked_fill(tokens == 0, 0.0)[..., None] * d

    expected = case.library.log_p(tokens, steered)
    if mode is Mode.CAP:
        assert all(0 < int(at.sum()) < at.numel() for at in reached)
    edit = FeatureEdit(case.made, feature, mode, strength, maximum)
    steering = Steering(case.model, [[], [edit]])
    whole = SteeredRun(steering, cached=False).feed(tokens.expand(2, -1)).hidden[1]
    measured = case.model.head(whole).double().log_softmax(-1)
    torch.testing.assert_close(measured, expected, rtol=CLOSE, atol=1e-3)
    # A text that grows by one token at a time is steered the same.
    run = SteeredRun(steering)
    run.feed(tokens[:, :-1].expand(2, -1))
    logits = run.step([int(tokens[0, -1])] * 2)
    last = logits[1].double().log_softmax(-1)
    torch.testing.assert_close(last, expected[-1], rtol=CLOSE, atol=1e-3)
    clean = case.library.log_p(tokens)
    torch.testing.assert_close(logits[0].double().log_softmax(-1), clean[-1], rtol=CLOSE, atol=1e-3)


@torch.no_grad()
def test_strengths_in_turn(case: Case) -> None:
    tokens, feature = text(), 3
    edit = FeatureEdit(case.made, feature, Mode.CLAMP, 0.0, 2.0)
    answers = dose_response(case.model, edit, [1.5], tokens[0], 1, TokenSampling(temperature=0.0))
    (dose,) = [answer for answer in answers if isinstance(answer, DoseMeasurement)]
    change = case.library.written(tokens, feature, lambda acts: 3.0 - acts)
    log_q, log_p = case.library.log_p(tokens, change), case.library.log_p(tokens)
    kl = (log_q.exp() * (log_q - log_p)).sum(-1)[1:].mean()
    assert dose.kl == pytest.approx(float(kl), rel=1e-3, abs=CLOSE)


def test_attribution(case: Case) -> None:
    tokens = text()
    before, target = tokens[:, :-1], int(tokens[0, -1])
    prediction = predict(case.model, case.made, tokens[0], tokens.shape[1] - 1)
    estimates = prediction.estimates()
    changes: dict[int, float] = {}
    for part in prediction.effects(estimates):
        changes |= dict(zip(part.features.tolist(), part.loss_change.tolist(), strict=True))
    clean = case.library.log_p(before)[-1, target]
    for place in range(0, len(prediction.features), 4):
        feature = int(prediction.features[place])
        share = torch.zeros((), dtype=torch.float64, requires_grad=True)
        change = case.library.written(before, feature, partial(_less_a_share, share))
        (slope,) = torch.autograd.grad(case.library.log_p(before, change)[-1, target], share)
        assert float(estimates[place]) == pytest.approx(-float(slope), rel=1e-3, abs=CLOSE)
        gone = case.library.written(before, feature, lambda acts: -acts)
        other = case.library.log_p(before, gone)[-1, target]
        assert changes[feature] == pytest.approx(float((clean - other).detach()), abs=CLOSE)

    def none_left(number: int, acts: Tensor, y: Tensor) -> Tensor:
        return y - acts.masked_fill((before == 0)[..., None], 0.0) @ case.library.rows[number]

    other = case.library.log_p(before, none_left)[-1, target]
    expected = float((clean - other).detach())
    assert prediction.together() == pytest.approx(expected, rel=1e-3, abs=1e-3)


def _less_a_share(share: Tensor, acts: Tensor) -> Tensor:
    return -share * acts


def test_logit_weights_are_those_of_all_blocks(case: Case) -> None:
    total = torch.zeros(D_SAE, case.model.d_vocab)
    for place, rows in zip(
        places_of(case.model, case.made).written,
        (case.made.W_dec, *case.made.later_rows),
        strict=True,
    ):
        alone = StandardDictionary(place.name, 32, D_SAE)
        with torch.no_grad():
            alone.W_dec.copy_(rows)
        total += logit_weights(case.model, alone, slice(0, D_SAE))
    measured = logit_weights(case.model, case.made, slice(0, D_SAE))
    torch.testing.assert_close(measured, total, rtol=1e-4, atol=1e-4)


def test_blocks_that_the_model_has_not_are_refused(model: LanguageModel) -> None:
    beyond = layer_of_clt("hook_mlp_out", model.n_layers)
    last = f"blocks.{model.n_layers}.hook_mlp_out"
    with pytest.raises(HookPointError, match=f"to {last}, but .* has {model.n_layers} blocks"):
        places_of(model, beyond)
    with pytest.raises(HookPointError, match=f"to {last}, but"):
        Steering(model, [[FeatureEdit(beyond, 0, Mode.ADD, 1.0, 1.0)]])
    nowhere = layer_of_clt("hook_mlp_out", 1)
    nowhere.move("blocks.0.mlp.hook_in", "somewhere")
    with pytest.raises(HookPointError, match="is no hook point"):
        places_of(model, nowhere)


def test_moved_it_writes_behind_where_it_is(model: LanguageModel) -> None:
    made = layer_of_clt("hook_mlp_out", 1)
    moved = varied(made, variant_of(made), torch.zeros(1, 32))
    assert moved.later_rows[0].data_ptr() == made.later_rows[0].data_ptr()  # held once
    moved.move("blocks.1.mlp.hook_in", "blocks.1.mlp.hook_out")
    assert moved.output is not None
    assert moved.output.later == ("blocks.2.mlp.hook_out",)
    assert made.output is not None
    assert made.output.later == ("blocks.1.hook_mlp_out",)


def test_norms_of_decoder_rows_are_no_units_of_several_blocks() -> None:
    output = Output("blocks.0.hook_mlp_out", 32, later_blocks=1)
    with pytest.raises(CheckpointError, match="fold the norms in"):
        TopKDictionary("blocks.0.mlp.hook_in", 32, D_SAE, 4, False, True, output)
