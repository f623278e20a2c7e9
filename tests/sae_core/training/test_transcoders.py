"""Transcoders in training: sparse steps against autograd, units, resumption, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sae_core.dictionaries.checkpoint import load_dictionary, save_dictionary
from sae_core.dictionaries.dictionary import Output
from sae_core.errors import HookPointError, TrainingError
from sae_core.language_model.model import LanguageModel
from sae_core.training.config import Normalisation, TrainingConfig, TrainingPoint
from sae_core.training.data.activation_cache import CachedPools
from sae_core.training.data.downstream import DownstreamLoss
from sae_core.training.data.ends import output_at
from sae_core.training.data.pools import TextPools
from sae_core.training.data.stream import Moments, PoolStream
from sae_core.training.method import Method
from sae_core.training.methods import methods
from sae_core.training.optimizer import Adam
from sae_core.training.trainer import train
from tests.sae_core.training.method_checks import assert_gradients, autograd_of
from tests.sae_core.training.synthetic import SyntheticStream
from tests.sae_core.training.unique_text import D_IN as NAMED
from tests.sae_core.training.unique_text import unique_text

KINDS = ["topk", "batchtopk", "matryoshka", "jumprelu", "standard"]
READ, WRITE = "blocks.0.mlp.hook_in", "blocks.0.hook_mlp_out"
D_IN, D_OUT, D_SAE, N = 12, 9, 40, 30
CONFIG = TrainingConfig(d_sae=48, l0=4, tokens=64 * 24, batch=64, learning_rate=5e-3)


def output(skip: bool, d_out: int = D_OUT) -> Output:
    return Output(WRITE, d_out, skip)


class PairStream(SyntheticStream):
    """Beside what is read stands a rectified map of it, in other units and off centre."""

    def __init__(self, d_out: int = D_OUT, seed: int = 0) -> None:
        draw = torch.Generator().manual_seed(seed)
        self._map = torch.randn(16, 32, generator=draw)
        self._back = 0.3 * torch.randn(32, d_out, generator=draw)
        super().__init__()
        sample = torch.cat([self.batch(n) for n in range(8)])
        self.mean, y = self.mean[: self.d_in], sample[:, self.d_in :]
        x = sample[:, : self.d_in]
        self.mean_square_norm = float(x.pow(2).sum(dim=-1).mean())
        self.mean_square_deviation = float((x - self.mean).pow(2).sum(dim=-1).mean())
        mean = y.mean(dim=0)
        deviation = float((y - mean).pow(2).sum(dim=-1).mean())
        self.written = Moments(mean, float(y.pow(2).sum(dim=-1).mean()), deviation)

    def batch(self, number: int) -> Tensor:
        x = super().batch(number)
        return torch.cat([x, torch.relu(x @ self._map) @ self._back + 1], dim=1)


def method_of(architecture: str, skip: bool) -> Method:
    """In float64, at random parameters and a centre that is not 0."""
    config = TrainingConfig(
        architecture, D_SAE, 6, precision="float32", batch=N, tokens=50 * N, dead_after=4 * N
    )
    method = methods()[architecture](config, D_IN, dtype=torch.float64, output=output(skip))
    method.start(inputs(9).mean(dim=0))
    method.calibrate(inputs(9))
    draw = torch.Generator().manual_seed(1)
    for parameter in method.parameters.values():
        parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return method


def inputs(seed: int = 2) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(N, D_IN + D_OUT, generator=draw, dtype=torch.float64)
    return rows + torch.linspace(-1, 1, D_IN + D_OUT, dtype=torch.float64)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("architecture", KINDS)
def test_gradients_are_those_of_autograd(architecture: str, skip: bool) -> None:
    for n_dead in (0, 9):
        method = method_of(architecture, skip)
        method.state["silent"][:n_dead] = method.config.dead_after
        assert method.parameters["W_dec"].shape == (D_SAE, D_OUT)
        assert ("W_skip" in method.parameters) == skip
        assert_gradients(method, inputs(), 0.1)


@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_sparse_steps_are_dense_ones(architecture: str) -> None:
    """Thirty of them, with dead features at first."""
    trained = []
    for dense in (False, True):
        method = method_of(architecture, skip=True)
        method.state["silent"][:9] = method.config.dead_after
        adam = Adam(method.parameters)
        for step in range(30):
            x = inputs(step)
            result = method.step(x, 0.3)
            gradients = autograd_of(method, x, 0.3)[1] if dense else result.gradients
            method.constrain_gradients(gradients)
            adam.step(gradients, 1e-3)
            method.constrain()
            method.after_step(step, x, result, adam)
        trained.append(method.parameters)
    for name, parameter in trained[0].items():
        torch.testing.assert_close(parameter, trained[1][name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("architecture", KINDS)
def test_units_of_both_ends_are_folded_into_the_dictionary(architecture: str, skip: bool) -> None:
    method, rows = method_of(architecture, skip), inputs()
    method.step(rows, 0.0)
    if "threshold" in method.state:  # the least that stayed; a JumpReLU asks for more than that
        method.state["threshold"] *= 1 - 1e-9
    read, write = 0.7, 1.9
    shift = torch.linspace(-1, 2, D_IN + D_OUT, dtype=torch.float64)
    dictionary = method.finished(READ, write, shift[D_IN:])
    method.fold_input(dictionary, read / write, method.state["centre"] / read + shift[:D_IN])
    u, silent = method.dense_ends(method.parameters, rows)
    y_hat = method.activations(rows) @ method.parameters["W_dec"] + silent
    x = (u + method.state["centre"]) / read + shift[:D_IN]
    torch.testing.assert_close(dictionary(x), y_hat / write + shift[D_IN:])
    assert (dictionary.output_hook_point, dictionary.d_out) == (WRITE, D_OUT)
    assert "transcoder" in dictionary.architecture


@pytest.mark.parametrize("normalisation", Normalisation)
@pytest.mark.parametrize("skip", [False, True])
def test_it_learns_in_units_of_the_model(
    tmp_path: Path, skip: bool, normalisation: Normalisation
) -> None:
    stream, path = PairStream(), tmp_path / "run.ckpt"
    config = replace(CONFIG, tokens=64 * 60, normalisation=normalisation)
    trained = train(stream, config, READ, path, point_every=10, output=output(skip))
    assert trained.curve[-1].fvu < 0.7 * trained.curve[0].fvu
    save_dictionary(trained.dictionary, tmp_path / "kept")
    dictionary = load_dictionary(tmp_path / "kept")
    x, y = stream.batch(1000).split([16, D_OUT], dim=1)
    fvu = float((y - dictionary(x)).pow(2).sum() / (y - y.mean(dim=0)).pow(2).sum())
    assert fvu == pytest.approx(trained.curve[-1].fvu, rel=0.5)
    assert float((dictionary.encode(x) > 0).sum() / len(x)) == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "jumprelu"])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path, architecture: str) -> None:
    config = replace(CONFIG, architecture=architecture, dead_after=64 * 5)

    def trained(path: Path, die_at: int = 0) -> dict[str, Tensor]:
        def die(point: TrainingPoint) -> None:
            if point.step == die_at:
                raise KeyboardInterrupt

        made = train(PairStream(), config, READ, path, die, point_every=2, output=output(skip=True))
        return dict(made.dictionary.named_parameters())

    whole = trained(tmp_path / "whole.ckpt")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed.ckpt", die_at=14)
    resumed = trained(tmp_path / "killed.ckpt")
    assert resumed.keys() == whole.keys() >= {"W_skip"}
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    with pytest.raises(TrainingError, match="with another output"):
        train(PairStream(), config, READ, tmp_path / "killed.ckpt", output=output(skip=False))


def test_rows_hold_both_ends_of_the_same_token(tmp_path: Path, gpt2: LanguageModel) -> None:
    """Made in one forward pass, kept on disk apart from those of one hook point."""
    model, windows = unique_text([5, 40, 1, 16])
    pools = TextPools(model, READ, windows, 0, 32, torch.float32, WRITE)
    assert pools.widths == (NAMED, NAMED)
    x, y = PoolStream(pools, 10).batch(1).split(pools.widths, dim=1)
    assert torch.equal(y, 2 * x)
    assert model.forwards == 1
    alone = TextPools(model, READ, windows, 0, 32, torch.float32)
    for made in (pools, alone):
        kept = CachedPools(made, tmp_path).pool(0)
        assert torch.equal(kept, CachedPools(made, tmp_path).pool(0))
    assert len(list(tmp_path.iterdir())) == 2
    assert torch.equal(kept, PoolStream(pools, len(kept)).batch(0)[:, :NAMED])
    stream = PoolStream(pools, 10)
    assert stream.written is not None
    torch.testing.assert_close(stream.written.mean.float(), 2 * stream.mean)
    assert stream.written.square_norm == pytest.approx(4 * stream.mean_square_norm)

    tokens = torch.arange(24).reshape(2, 12)
    points = [gpt2.hook_point(name) for name in (READ, WRITE)]
    for order in (points, points[::-1]):
        each = gpt2.capture_each(tokens, order)
        for point, captured in zip(order, each, strict=True):
            assert torch.equal(captured, gpt2.capture(tokens, point))


def test_predictions_are_trained_for_at_the_output(gpt2: LanguageModel, tmp_path: Path) -> None:
    from sae_core.text.corpus import open_corpus
    from sae_core.text.tokenized import Windows, tokenize

    (tmp_path / "text.txt").write_text("def fox(dog): jumps over\n" * 9)
    corpus = tokenize(open_corpus(str(tmp_path / "text.txt")), gpt2.tokenizer, tmp_path / "cache")
    windows = Windows(corpus, 20, gpt2.vocabulary.bos)
    loss = DownstreamLoss(gpt2, READ, windows, 40, 0, WRITE)
    batch = loss.batch(0)
    y = batch.x[:, gpt2.hook_point(READ).d_in :]
    assert batch.divergence(y).kl == pytest.approx(0, abs=1e-6)
    assert loss.identity != DownstreamLoss(gpt2, READ, windows, 40).identity
    config = replace(CONFIG, l0=2, batch=40, tokens=40 * 6, downstream=0.5)
    made = output_at(gpt2, READ, WRITE)
    stream = PoolStream(TextPools(gpt2, READ, windows, output_hook_point=WRITE), 40)
    path = tmp_path / "run.ckpt"
    trained = train(stream, config, READ, path, downstream=loss, point_every=2, output=made)
    assert trained.curve[-1].fvu < trained.curve[0].fvu


def test_ends_that_are_no_dictionarys_are_refused(gpt2: LanguageModel) -> None:
    assert output_at(gpt2, WRITE) is None
    assert output_at(gpt2, READ, WRITE, skip=True) == Output(
        WRITE, gpt2.hook_point(WRITE).d_in, True
    )
    with pytest.raises(HookPointError, match="has to write elsewhere, as a transcoder does"):
        output_at(gpt2, READ)
    with pytest.raises(HookPointError, match="has to write elsewhere"):
        output_at(gpt2, WRITE, READ)
    for same in (WRITE, WRITE.replace("hook_mlp_out", "mlp.hook_out")):
        with pytest.raises(HookPointError, match=r"that reads .* is a sparse autoencoder: leave"):
            output_at(gpt2, WRITE, same)
    with pytest.raises(TrainingError, match="A skip connection leads from one hook point to anoth"):
        output_at(gpt2, WRITE, skip=True)
    for read in ("blocks.1.mlp.hook_in", WRITE.replace("hook_mlp_out", "hook_resid_post")):
        with pytest.raises(HookPointError, match=r"lies before .* same block or a later one"):
            output_at(gpt2, read, WRITE)
    with pytest.raises(TrainingError, match="There are no gated transcoders"):
        methods()["gated"](TrainingConfig("gated"), D_IN, output=output(skip=False))


def test_rows_of_one_hook_point_make_no_transcoder(tmp_path: Path) -> None:
    for stream, made in ((SyntheticStream(), output(skip=False)), (PairStream(), None)):
        with pytest.raises(TrainingError, match="needs rows of both hook points"):
            train(stream, CONFIG, READ, tmp_path / "run.ckpt", output=made)
