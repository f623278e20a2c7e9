"""Several MLPs replaced at once, against float64 forward passes hooked by the library's names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from sae_core.circuits.replacement import evaluate_together
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.dictionary import Dictionary, Output
from sae_core.errors import HookPointError
from sae_core.language_model.model import load_model
from sae_core.text.tokenized import TokenizedCorpus, Windows
from tests.sae_core.circuits.clt_layers import layers_of
from tests.sae_core.tiny_models import save_folder, tiny_gemma2, tiny_gpt2, tiny_llama

PER_LAYER, D_MODEL, N_CTX = 20, 32, 8
READ, WRITE = "blocks.{}.mlp.hook_in", "blocks.{}.hook_mlp_out"
MAKERS: dict[str, Callable[[], Any]] = {
    "gpt2": tiny_gpt2,
    "llama": tiny_llama,
    "gemma2": tiny_gemma2,
}


def seeded(dictionary: Dictionary, seed: int = 3) -> Dictionary:
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in dictionary.named_parameters():
        noise = 0.3 * torch.randn(parameter.shape, generator=draw)
        parameter.data.copy_(noise.abs() if name == "threshold" else noise)
    return dictionary.requires_grad_(False)


def clt_of(layers: int) -> CrossLayerTranscoder:
    output = Output(WRITE.format("*"), layers * D_MODEL, layers=layers)
    made = CrossLayerTranscoder(READ.format("*"), layers * D_MODEL, layers * PER_LAYER, output)
    seeded(made)
    return made


def set_of(layers: int) -> list[Dictionary]:
    return [
        seeded(
            StandardDictionary(
                READ.format(layer), D_MODEL, PER_LAYER, False, Output(WRITE.format(layer), D_MODEL)
            ),
            layer,
        )
        for layer in range(layers)
    ]


def text() -> Windows:
    draw = np.random.default_rng(0)
    lengths = np.array([20, 13, 30], dtype=np.int64)
    tokens = draw.integers(3, 200, lengths.sum()).astype(np.int32)
    corpus = TokenizedCorpus(
        name="made up",
        source="made up",
        tokens=tokens,
        offsets=np.concatenate([[0], lengths.cumsum()]),
        held_out=np.zeros(3, dtype=bool),
        fingerprint="0",
        names=("a", "b", "c"),
    )
    return Windows(corpus, N_CTX, 0)


class Brute:
    """The library's model in float64, its MLPs changed by hooks."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        gpt2 = hasattr(self.model, "transformer")
        self.blocks = self.model.transformer.h if gpt2 else self.model.model.layers

    def run(
        self, tokens: Tensor, change: Callable[[int, Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Logits, and what each MLP read and would have written, where it writes `change`."""
        read: list[Tensor] = []
        written: list[Tensor] = []
        handles = []

        def entering(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            read.append(args[0])

        def leaving(_: nn.Module, __: Any, y: Tensor) -> Tensor:
            written.append(y)
            return change(len(written) - 1, read[-1], y)

        for block in self.blocks:
            out = getattr(block, "post_feedforward_layernorm", block.mlp)
            handles += [block.mlp.register_forward_pre_hook(entering)]
            handles += [out.register_forward_hook(leaving)]
        logits = self.model(tokens).logits
        for handle in handles:
            handle.remove()
        return logits, read, written


@pytest.mark.parametrize("crossing", [True, False])
@pytest.mark.parametrize("name", MAKERS)
@torch.no_grad()
def test_figures_are_those_of_brute_force(tmp_path: Path, name: str, crossing: bool) -> None:
    folder = save_folder(MAKERS[name](), tmp_path)
    model, brute, windows = load_model(str(folder)), Brute(folder), text()
    layers = model.n_layers
    parts = clt_of(layers) if crossing else set_of(layers)
    numbers = np.arange(len(windows))
    got = evaluate_together(model, parts, windows, numbers)

    def reconstruct(layer: int, acts: list[Tensor], x: Tensor) -> Tensor:
        if isinstance(parts, list):
            own = parts[layer]
            assert isinstance(own, StandardDictionary)
            acts.append((x @ own.W_enc.double() + own.b_enc.double()).relu())
            return acts[-1] @ own.W_dec.double() + own.b_dec.double()
        own_features = parts.features_of(layer)
        pre = x @ parts.encoders[layer].double() + parts.b_enc[own_features].double()
        acts.append(torch.where(pre > parts.threshold[own_features].double(), pre.relu(), 0.0))
        y = parts.b_dec.view(layers, -1)[layer].double()
        for earlier in range(layer + 1):
            y = y + acts[earlier] @ parts.decoders[earlier][:, layer - earlier].double()
        return y

    tokens_of, mask_of = windows.gather(numbers)
    totals = dict.fromkeys(("l_clean", "l_recon", "l_zero", "kl"), 0.0)
    reads: list[Tensor] = []
    n_active = 0.0
    errors, ys = [[] for _ in range(layers)], [[] for _ in range(layers)]
    n_targets = 0
    for row, kept in zip(torch.from_numpy(tokens_of), torch.from_numpy(mask_of), strict=True):
        clean, reads, written = brute.run(row[None], lambda _, __, y: y)
        acts: list[Tensor] = []
        for layer, x in enumerate(reads):
            y_hat = reconstruct(layer, acts, x)
            errors[layer].append((written[layer] - y_hat)[0, kept])
            ys[layer].append(written[layer][0, kept])
        n_active += sum(float((part[0, kept] > 0).sum()) for part in acts)

        def at_text(y: Tensor, other: Tensor, kept: Tensor = kept) -> Tensor:
            return torch.where(kept[None, :, None], other, y)

        fresh: list[Tensor] = []
        replaced, _, _ = brute.run(
            row[None], lambda m, x, y, fresh=fresh: at_text(y, reconstruct(m, fresh, x))
        )
        zeroed, _, _ = brute.run(row[None], lambda _, __, y: at_text(y, torch.zeros_like(y)))
        chosen = kept[1:]
        n_targets += int(chosen.sum())
        for key, logits in (("l_clean", clean), ("l_recon", replaced), ("l_zero", zeroed)):
            totals[key] += float(
                cross_entropy(logits[0, :-1][chosen], row[1:][chosen].long(), reduction="sum")
            )
        p, q = (x[0, :-1][chosen].log_softmax(-1) for x in (clean, replaced))
        totals["kl"] += float((p.exp() * (p - q)).sum())
    n_tokens = int(mask_of.sum())
    figures = got.evaluation
    assert (figures.n_tokens, figures.n_targets) == (n_tokens, n_targets)
    for key, total in totals.items():
        assert getattr(figures, key) == pytest.approx(total / n_targets, rel=1e-4, abs=1e-5), key
    assert figures.l0 == pytest.approx(n_active / n_tokens, rel=1e-3)
    each = []
    for error, y in zip(errors, ys, strict=True):
        missed, whole = torch.cat(error), torch.cat(y)
        each.append(
            (float(missed.square().sum()), float((whole - whole.mean(dim=0)).square().sum()))
        )
    assert got.fvu == pytest.approx([error / whole for error, whole in each], rel=1e-4)
    assert figures.fvu == pytest.approx(
        sum(error for error, _ in each) / sum(whole for _, whole in each), rel=1e-4
    )


def test_the_layers_of_a_clt_one_by_one_are_the_whole(tmp_path: Path) -> None:
    model = load_model(save_folder(tiny_gpt2(), tmp_path))
    whole, windows, numbers = clt_of(3), text(), np.arange(4)
    layers = layers_of(whole)
    expected = evaluate_together(model, whole, windows, numbers)
    measured = evaluate_together(model, layers[::-1], windows, numbers)
    assert measured.fvu == pytest.approx(expected.fvu, rel=1e-5)
    assert measured.evaluation.l_recon == pytest.approx(expected.evaluation.l_recon, rel=1e-5)
    assert measured.evaluation.l_recon != pytest.approx(
        evaluate_together(model, layers[:2], windows, numbers).evaluation.l_recon, rel=1e-3
    )


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    model = load_model(str(save_folder(tiny_gpt2(), tmp_path)))
    windows = text()
    with pytest.raises(HookPointError, match="of 2 blocks does not fit a model of 3"):
        evaluate_together(model, clt_of(2), windows, np.arange(2))
    twice = [set_of(1)[0], set_of(1)[0]]
    with pytest.raises(HookPointError, match="write in one place"):
        evaluate_together(model, twice, windows, np.arange(2))
