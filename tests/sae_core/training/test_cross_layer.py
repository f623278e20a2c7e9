"""Cross-layer transcoders in training: sparse steps against autograd, units, resumption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.dictionary import Output
from sae_core.errors import HookPointError, TrainingError
from sae_core.language_model.model import LanguageModel
from sae_core.training.config import Normalisation, TrainingConfig, TrainingPoint
from sae_core.training.data.ends import output_at
from sae_core.training.data.pools import TextPools
from sae_core.training.data.stream import Moments
from sae_core.training.methods import method_class
from sae_core.training.methods.cross_layer import CrossLayer
from sae_core.training.trainer import train
from tests.sae_core.training.method_checks import assert_gradients
from tests.sae_core.training.unique_text import unique_text

READ, WRITE = "blocks.*.mlp.hook_in", "blocks.*.hook_mlp_out"
LAYERS, WIDTH, WRITTEN, PER_LAYER, N = 3, 8, 6, 24, 40
D_IN, D_OUT = LAYERS * WIDTH, LAYERS * WRITTEN
OUTPUT = Output(WRITE, D_OUT, layers=LAYERS)
CONFIG = TrainingConfig(
    "batchtopk", PER_LAYER, 2, tokens=64 * 24, batch=64, learning_rate=5e-3, precision="float32"
)


class Blocks:
    """Each block writes rectified maps of what it and the blocks before it read, in other units."""

    device, identity, d_in = torch.device("cpu"), "blocks", D_IN

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self._maps = torch.randn(LAYERS, LAYERS, WIDTH, WRITTEN, generator=draw)
        sample = torch.cat([self.batch(n) for n in range(8)])
        parts = []
        for part in sample.split([D_IN, D_OUT], dim=1):
            mean = part.double().mean(dim=0)
            deviation = float((part - mean).pow(2).sum(dim=-1).mean())
            parts.append(Moments(mean, float(part.pow(2).sum(dim=-1).mean()), deviation))
        read, self.written = parts
        self.mean, self.mean_square_norm = read.mean.float(), read.square_norm
        self.mean_square_deviation = read.square_deviation

    def batch(self, number: int) -> Tensor:
        draw = torch.Generator().manual_seed(100 + number)
        x = torch.randn(64, LAYERS, WIDTH, generator=draw)
        sums = torch.einsum("nlw,lmwd->nlmd", x, self._maps).relu()
        y = torch.stack([sums[:, : m + 1, m].sum(dim=1) * 5**m for m in range(LAYERS)], dim=1) + 1
        return torch.cat([(x + 3).flatten(1), y.flatten(1)], dim=1)


def method_of(n_dead: int = 0) -> CrossLayer:
    """In float64, at random parameters, scales and a centre that is not 0."""
    config = replace(CONFIG, batch=N, dead_after=4 * N)
    method = CrossLayer(config, D_IN, dtype=torch.float64, output=OUTPUT)
    method.start(inputs(9).mean(dim=0))
    method.align(inputs(9))
    draw = torch.Generator().manual_seed(1)
    for parameter in method.parameters.values():
        parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    method.state["silent"][:n_dead] = config.dead_after
    return method


def inputs(seed: int = 2) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(N, D_IN + D_OUT, generator=draw, dtype=torch.float64)
    return rows * torch.linspace(0.5, 4, D_IN + D_OUT) + torch.linspace(-1, 1, D_IN + D_OUT)


@pytest.mark.parametrize("n_dead", [0, 9, 30, PER_LAYER * LAYERS - 20])
def test_gradients_are_those_of_autograd(n_dead: int) -> None:
    """With dead features in none, one and all of the blocks."""
    assert_gradients(method_of(n_dead), inputs(), 0.0)


def test_the_loss_is_the_sum_over_blocks_of_what_each_and_the_earlier_write() -> None:
    method, rows = method_of(), inputs()
    acts = method.activations(rows)
    assert int((acts > 0).sum()) == 2 * LAYERS * N
    p, (_, y) = method.parameters, method.ends(rows)
    y_hat = p["b_dec"].repeat(N, 1)
    for token in range(N):
        for feature in acts[token].nonzero()[:, 0].tolist():
            block, own = divmod(feature, PER_LAYER)
            for m in range(block, LAYERS):
                begin = (m - block) * WRITTEN
                row = p[f"W_dec.{block}"][own, begin : begin + WRITTEN]
                y_hat[token, m * WRITTEN : (m + 1) * WRITTEN] += acts[token, feature] * row
    result = method.step(rows, 0.0)
    torch.testing.assert_close(result.error, (y - y_hat).pow(2).sum(dim=-1).mean())
    assert float(result.l0) == 2 * LAYERS
    assert torch.equal(result.fired, (acts > 0).any(dim=0))


def test_units_of_all_places_are_folded_into_the_dictionary() -> None:
    method, rows = method_of(), inputs()
    method.step(rows, 0.0)
    method.state["threshold"] *= 1 - 1e-9  # a JumpReLU asks for more than the least that stayed
    read, write = 0.7, 1.9
    shift = torch.linspace(-1, 2, D_IN + D_OUT, dtype=torch.float64)
    clt = method.finished(READ, write, shift[D_IN:])
    method.fold_input(clt, read / write, method.state["centre"] / read + shift[:D_IN])
    assert isinstance(clt, CrossLayerTranscoder)
    acts = method.activations(rows)
    scaled = method.parameters["b_dec"] + method._written_by(acts.split(PER_LAYER, dim=1))
    y_hat = (scaled.view(N, LAYERS, -1) / method.state["write_scale"][:, None]).flatten(1)
    x = rows[:, :D_IN] / read + shift[:D_IN]
    torch.testing.assert_close(clt(x), y_hat / write + shift[D_IN:])
    assert torch.equal(clt.encode(x) > 0, acts > 0)
    lengths = torch.linalg.vector_norm(clt.decoder_rows, dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


@pytest.mark.parametrize("normalisation", Normalisation)
def test_it_learns_in_units_of_the_model(tmp_path: Path, normalisation: Normalisation) -> None:
    stream = Blocks()
    config = replace(CONFIG, tokens=64 * 80, normalisation=normalisation, l0=4)
    path = tmp_path / "run.ckpt"
    trained = train(stream, config, READ, path, point_every=10, output=OUTPUT)
    assert trained.curve[-1].fvu < 0.8 * trained.curve[0].fvu
    x, y = stream.batch(1000).split([D_IN, D_OUT], dim=1)
    y_hat = trained.dictionary(x)
    # Every block is fitted, although the last one's numbers are 25 times those of the first.
    for part, fit in zip(y.split(WRITTEN, dim=1), y_hat.split(WRITTEN, dim=1), strict=True):
        assert float((part - fit).pow(2).sum() / (part - part.mean(dim=0)).pow(2).sum()) < 0.8
    l0 = float((trained.dictionary.encode(x) > 0).sum() / len(x))
    assert l0 == pytest.approx(4 * LAYERS, rel=0.2)


def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    config = replace(CONFIG, dead_after=64 * 5, precision="bfloat16")

    def trained(path: Path, die_at: int = 0) -> dict[str, Tensor]:
        def die(point: TrainingPoint) -> None:
            if point.step == die_at:
                raise KeyboardInterrupt

        made = train(Blocks(), config, READ, path, die, point_every=2, output=OUTPUT)
        return dict(made.dictionary.named_parameters())

    whole = trained(tmp_path / "whole.ckpt")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed.ckpt", die_at=14)
    resumed = trained(tmp_path / "killed.ckpt")
    assert resumed.keys() == whole.keys() >= {"decoders.2"}
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_rows_hold_what_all_blocks_read_and_then_what_they_write(gpt2: LanguageModel) -> None:
    _, windows = unique_text([5, 40])
    pools = TextPools(gpt2, READ, windows, 0, 64, torch.float32, WRITE)
    names = [name.replace("*", str(n)) for name in (READ, WRITE) for n in range(gpt2.n_layers)]
    points = [gpt2.hook_point(name) for name in names]
    assert pools.widths == (sum(p.d_in for p in points[: gpt2.n_layers]),) * 2
    tokens, mask = windows.gather(pools.windows_of(0)[:1])
    text = torch.from_numpy(mask & ~gpt2.vocabulary.is_special[tokens])
    each = [gpt2.capture(torch.from_numpy(tokens), point)[text] for point in points]
    wanted, pool = torch.cat(each, dim=1), pools.pool(0)
    assert len(wanted) > 3
    assert float(torch.cdist(wanted, pool).amin(dim=1).max()) < 1e-3
    assert float(torch.pdist(wanted).min()) > 0.01


def test_places_that_are_no_cross_layer_transcoders_are_refused(gpt2: LanguageModel) -> None:
    made = output_at(gpt2, READ, WRITE)
    width = gpt2.hook_point("blocks.0.hook_mlp_out").d_in * gpt2.n_layers
    assert made == Output(WRITE, width, layers=gpt2.n_layers)
    assert method_class("batchtopk", made) is CrossLayer
    for read, write in ((READ, None), (READ, WRITE.replace("*", "0")), (WRITE, None)):
        with pytest.raises(
            TrainingError, match=r"reads in every block .* with a \* for the number"
        ):
            output_at(gpt2, read, write)
    with pytest.raises(TrainingError, match="without a skip connection"):
        output_at(gpt2, READ, WRITE, skip=True)
    with pytest.raises(HookPointError, match="lies before"):
        output_at(gpt2, "blocks.*.hook_resid_post", WRITE)
    with pytest.raises(TrainingError, match="trained as batchtopk here, not as topk"):
        method_class("topk", made)
    with pytest.raises(TrainingError, match="writes in several blocks"):
        CrossLayer(CONFIG, D_IN, output=replace(OUTPUT, layers=1))
