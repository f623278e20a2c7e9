"""Transcoders in every intervention, against float64 forward passes with the MLP's output changed.

The reference shares nothing with the code but the transcoder's weights: it hooks the library's
modules by their own names, computes activations by the equation, and runs the whole model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.dictionaries.dictionary import Dictionary, Output
from sae_core.errors import CheckpointError, HookPointError
from sae_core.evaluation.evaluation import evaluate
from sae_core.harvest.logit_weights import logit_weights
from sae_core.interventions.ablation import ablate
from sae_core.interventions.attribution import predict
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Mode, Steering
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.tokenized import TokenizedCorpus, Windows
from tests.sae_core.tiny_models import save_folder, tiny_gemma2, tiny_gpt2, tiny_llama

LAYER, D_SAE = 1, 24
READS = ("mlp.hook_in", "ln2.hook_normalized", "hook_resid_mid")
KINDS = ("standard", "standard skip", "jumprelu skip", "topk")
CLOSE = 1e-4


def transcoder(kind: str, reads: str = READS[0], layer: int = LAYER) -> Dictionary:
    """A seeded transcoder of one MLP, some of whose features fire on each token."""
    output = Output(f"blocks.{layer}.hook_mlp_out", 32, skip="skip" in kind)
    place = f"blocks.{layer}.{reads}"
    made: Dictionary
    if kind.startswith("topk"):
        made = TopKDictionary(place, 32, D_SAE, 4, apply_b_dec_to_input=False, output=output)
    else:
        of = JumpReLUDictionary if kind.startswith("jumprelu") else StandardDictionary
        made = of(place, 32, D_SAE, apply_b_dec_to_input=False, output=output)
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            parameter.copy_(0.3 * noise.abs() if name == "threshold" else 0.3 * noise)
    return made.requires_grad_(False)


class Reference:
    """A library model in float64, and one transcoder of it by its equation."""

    def __init__(self, folder: Path, of: Dictionary) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        self.weights = {name: p.double() for name, p in of.named_parameters()}
        self.of, self.layer = of, int(of.hook_point.split(".")[1])
        self.reads = of.hook_point.split(".", 2)[2]
        gpt2 = hasattr(self.model, "transformer")
        block = (self.model.transformer.h if gpt2 else self.model.model.layers)[self.layer]
        gemma = hasattr(block, "pre_feedforward_layernorm")
        self.norm: nn.Module = (
            block.ln_2
            if gpt2
            else block.pre_feedforward_layernorm
            if gemma
            else block.post_attention_layernorm
        )
        self.written: nn.Module = block.post_feedforward_layernorm if gemma else block.mlp
        self.centres = gpt2
        self.epsilon = (
            block.ln_2.eps
            if gpt2
            else getattr(self.norm, "variance_epsilon", getattr(self.norm, "eps", None))
        )

    def acts(self, x: Tensor) -> Tensor:
        w = self.weights
        pre = x @ w["W_enc"] + w["b_enc"]
        if isinstance(self.of, TopKDictionary):
            kept = torch.zeros_like(pre)
            best = pre.topk(self.of.k, dim=-1)
            return kept.scatter(-1, best.indices, best.values.relu())
        if "threshold" in w:
            return torch.where(pre > w["threshold"], pre.relu(), 0.0)
        return pre.relu()

    def y_hat(self, x: Tensor) -> Tensor:
        w = self.weights
        skip = x @ w["W_skip"].T if "W_skip" in w else 0.0
        return self.acts(x) @ w["W_dec"] + w["b_dec"] + skip

    @contextmanager
    def changed(self, change: Callable[[Tensor, Tensor], Tensor]) -> Iterator[None]:
        """Within the block what is added to the stream is `change(x, y)`."""
        seen: dict[str, Tensor] = {}

        def entering(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen["mid"] = args[0]

        def leaving(_: nn.Module, __: Any, out: Tensor) -> None:
            seen["in"] = out

        def written(_: nn.Module, __: Any, y: Tensor) -> Tensor:
            mid = seen["mid"]
            if self.reads == "mlp.hook_in":
                x = seen["in"]
            elif self.reads == "hook_resid_mid":
                x = mid
            else:
                mid = mid - mid.mean(-1, keepdim=True) if self.centres else mid
                x = mid / (mid.square().mean(-1, keepdim=True) + self.epsilon).sqrt()
            return change(x.double(), y)

        handles = [
            self.norm.register_forward_pre_hook(entering),
            self.norm.register_forward_hook(leaving),
            self.written.register_forward_hook(written),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def log_p(self, tokens: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        with self.changed(change):
            return self.model(input_ids=tokens, use_cache=False).logits.log_softmax(-1)


@pytest.fixture(scope="module", params=["gpt2", "llama", "gemma2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make = {"gpt2": tiny_gpt2, "llama": tiny_llama, "gemma2": tiny_gemma2}[request.param]
    return save_folder(make(), tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return load_model(folder)


CASES = [(KINDS[0], READS[0]), (KINDS[1], READS[1]), (KINDS[2], READS[2]), (KINDS[3], READS[0])]


@pytest.fixture(params=CASES, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def case(request: pytest.FixtureRequest, folder: Path) -> tuple[Dictionary, Reference]:
    made = transcoder(*request.param)
    return made, Reference(folder, made)


def text(n: int = 12, rows: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    tokens = torch.randint(1, 280, (rows, n), generator=draw)
    tokens[:, 0] = 0
    return tokens


def real(tokens: Tensor, values: Tensor) -> Tensor:
    """Zero at BOS, where nothing counts as firing."""
    return values.masked_fill((tokens == 0).view(*tokens.shape, *[1] * (values.dim() - 2)), 0.0)


def test_ablation(model: LanguageModel, case: tuple[Dictionary, Reference]) -> None:
    made, reference = case
    tokens = text()
    clean = reference.log_p(tokens, lambda x, y: y)[0]
    fired = 0
    for feature in range(0, D_SAE, 5):
        (effect,) = ablate(model, made, feature, [tokens[0]])

        def without(x: Tensor, y: Tensor, feature: int = feature) -> Tensor:
            acts = real(tokens, reference.acts(x))[..., feature]
            return y - acts[..., None] * reference.weights["W_dec"][feature]

        other = reference.log_p(tokens, without)[0]
        expected = torch.zeros(tokens.shape[1], dtype=torch.float64)
        targets = tokens[0, 1:, None]
        expected[1:] = (clean[:-1].gather(1, targets) - other[:-1].gather(1, targets))[:, 0]
        found = torch.zeros_like(expected)
        found[torch.from_numpy(effect.positions.astype("int64"))] = torch.from_numpy(
            effect.loss_change
        ).double()
        torch.testing.assert_close(found, expected, rtol=CLOSE, atol=CLOSE)
        fired += len(effect.positions)
    assert fired > 0


@pytest.mark.parametrize("mode", list(Mode))
def test_steering(model: LanguageModel, case: tuple[Dictionary, Reference], mode: Mode) -> None:
    made, reference = case
    tokens = text()
    feature, maximum = 3, 2.0
    # A cap that some positions reach, and others do not.
    strength = 0.02 if mode is Mode.CAP else 1.5
    reached: list[Tensor] = []
    steering = Steering(model, [[], [FeatureEdit(made, feature, mode, strength, maximum)]])
    hidden = SteeredRun(steering, cached=False).feed(tokens.expand(2, -1)).hidden[1]
    found = model.head(hidden).double().log_softmax(-1)
    direction = reference.weights["W_dec"][feature]

    def steered(x: Tensor, y: Tensor) -> Tensor:
        own = reference.acts(x)[..., feature]
        along = y @ direction / direction.square().sum()
        amount = {
            Mode.ADD: torch.full_like(own, strength * maximum),
            Mode.CLAMP: strength * maximum - own,
            Mode.SCALE: (strength - 1) * own,
            Mode.CAP: (strength * maximum - along).clamp(max=0),
            Mode.REMOVE: -strength * along,
        }[mode]
        reached.append(amount != 0)
        return y + real(tokens, amount)[..., None] * direction

    expected = reference.log_p(tokens, steered)[0]
    torch.testing.assert_close(found, expected, rtol=CLOSE, atol=1e-3)
    if mode is Mode.CAP:
        assert all(0 < int(at.sum()) < at.numel() for at in reached)


def test_attribution(model: LanguageModel, case: tuple[Dictionary, Reference]) -> None:
    made, reference = case
    tokens = text()
    position = tokens.shape[1] - 1
    prediction = predict(model, made, tokens[0], position)
    before = tokens[:, :position]
    target = int(tokens[0, position])
    clean = reference.log_p(before, lambda x, y: y)[0, -1, target]
    found: dict[int, float] = {}
    for part in prediction.effects(prediction.estimates()):
        found |= dict(zip(part.features.tolist(), part.loss_change.tolist(), strict=True))
    for feature in list(found)[:6]:

        def without(x: Tensor, y: Tensor, feature: int = feature) -> Tensor:
            acts = real(before, reference.acts(x))[..., feature]
            return y - acts[..., None] * reference.weights["W_dec"][feature]

        other = reference.log_p(before, without)[0, -1, target]
        assert found[feature] == pytest.approx(float(clean - other), abs=CLOSE)
    assert any(abs(value) > CLOSE for value in found.values())


def test_evaluation(model: LanguageModel, case: tuple[Dictionary, Reference]) -> None:
    made, reference = case
    lengths = [11, 9, 11, 7]
    draw = torch.Generator().manual_seed(5)
    written = torch.randint(1, 280, (sum(lengths),), generator=draw)
    corpus = TokenizedCorpus(
        *("some", "here", "0"),
        tokens=written.numpy().astype(np.uint16),
        offsets=np.cumsum([0, *lengths]),
        names=("a", "b", "c", "d"),
        held_out=np.zeros(4, dtype=np.bool_),
    )
    windows = Windows(corpus, 12, model.vocabulary.bos)
    result = evaluate(model, made, windows, np.arange(len(windows), dtype=np.int64))
    sums = dict.fromkeys(("clean", "recon", "zero", "mean"), 0.0)
    rows, n = [], 0
    begin = 0
    for length in lengths:
        rows.append(torch.cat([torch.zeros(1, dtype=torch.int64), written[begin : begin + length]]))
        begin += length
    xs, ys = [], []

    def look(x: Tensor, y: Tensor) -> Tensor:
        xs.append(x[0, 1:])
        ys.append(y[0, 1:])
        return y

    for row in rows:
        reference.log_p(row[None], look)
    x, y = torch.cat(xs), torch.cat(ys)
    mean = y.mean(0)
    changes: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "clean": lambda x, y: y,
        "recon": lambda x, y: reference.y_hat(x),
        "zero": lambda x, y: torch.zeros_like(y),
        "mean": lambda x, y: mean.expand_as(y),
    }
    for row in rows:
        for name, change in changes.items():

            def text_alone(
                x: Tensor, y: Tensor, change: Callable[[Tensor, Tensor], Tensor] = change
            ) -> Tensor:
                return torch.cat([y[:, :1], change(x, y)[:, 1:]], dim=1)

            log_p = reference.log_p(row[None], text_alone)[0]
            sums[name] -= float(log_p[:-1].gather(1, row[1:, None]).sum())
        n += len(row) - 1
    fvu = (y - reference.y_hat(x)).square().sum() / (y - mean).square().sum()
    assert result.fvu == pytest.approx(float(fvu), rel=CLOSE)
    assert result.l0 == pytest.approx(float((reference.acts(x) > 0).sum(1).double().mean()))
    for name, total in sums.items():
        assert getattr(result, f"l_{name}") == pytest.approx(total / n, rel=CLOSE), name


def test_logit_weights_start_where_it_writes(model: LanguageModel) -> None:
    made = transcoder("standard")
    found = logit_weights(model, made, slice(0, D_SAE))
    same = StandardDictionary(made.output_hook_point, 32, D_SAE)
    with torch.no_grad():
        same.W_dec.copy_(made.W_dec)
    torch.testing.assert_close(found, logit_weights(model, same, slice(0, D_SAE)))


def test_nothing_is_written_where_the_mlp_reads(model: LanguageModel) -> None:
    alone = StandardDictionary("blocks.1.mlp.hook_in", 32, D_SAE)
    with pytest.raises(HookPointError, match=r"is what the MLP reads: .*has to write elsewhere"):
        list(ablate(model, alone, 0, [text()[0]]))


def test_b_dec_belongs_to_the_output() -> None:
    output = Output("blocks.1.hook_mlp_out", 32)
    with pytest.raises(CheckpointError, match="cannot be subtracted"):
        StandardDictionary("blocks.1.mlp.hook_in", 32, D_SAE, True, output)
