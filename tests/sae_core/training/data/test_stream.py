"""The stream of training batches: complete, pure, mixed as stated, bounded."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sae_core.errors import TrainingError
from sae_core.language_model.model import LanguageModel
from sae_core.text.corpus import open_corpus
from sae_core.text.tokenized import Windows, tokenize
from sae_core.training.data.pools import TextPools
from sae_core.training.data.stream import PoolStream
from tests.sae_core.training.unique_text import D_IN, ids, unique_text

HOOK = "blocks.0.mlp.hook_post"
LENGTHS = [5, 40, 1, 16, 23, 8, 8, 61]


def _stream(
    lengths: list[int] = LENGTHS,
    size: int = 10,
    pool_tokens: int = 32,
    seed: int = 0,
    **text: object,
) -> PoolStream:
    model, windows = unique_text(lengths, **text)  # type: ignore[arg-type]
    return PoolStream(TextPools(model, HOOK, windows, seed, pool_tokens, torch.float32), size)


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("size", [1, 10, 162, 400])
def test_each_epoch_holds_each_training_token_once(bos: bool, size: int) -> None:
    stream = _stream(size=size, bos=bos, held_out=(1,))
    n = sum(LENGTHS) - 40
    seen = [t for number in range(-(-3 * n // size)) for t in ids(stream.batch(number))]
    wanted = sorted(set(range(sum(LENGTHS))) - set(range(5, 45)))
    epochs = [seen[e * n : (e + 1) * n] for e in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [wanted] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_batch_is_a_pure_function_of_its_number() -> None:
    stream, again = _stream(), _stream()
    forward = [stream.batch(n) for n in range(40)]
    assert all(b.shape == (10, D_IN) and b.dtype == torch.float32 for b in forward)
    for n in (39, 3, 3, 17, 4, 5, 0):
        assert torch.equal(again.batch(n), forward[n])
    assert not torch.equal(_stream(seed=1).batch(0), forward[0])


def test_reading_in_order_runs_the_model_once_a_pool() -> None:
    model, windows = unique_text(LENGTHS)
    stream = PoolStream(TextPools(model, HOOK, windows, 0, 32, torch.float32), 10)
    for n in range(16):
        stream.batch(n)
    assert model.forwards == 6  # 162 tokens, 23 windows, at most 4 of them a pool


def test_moments_are_those_of_the_first_pool() -> None:
    model, windows = unique_text(LENGTHS)
    pools = TextPools(model, HOOK, windows, 0, 32, torch.float32)
    x = pools.pool(0).double()
    stream = PoolStream(pools, 10)
    assert torch.allclose(stream.mean.double(), x.mean(dim=0))
    assert stream.mean.dtype == torch.float32
    assert stream.mean_square_norm == pytest.approx(float(x.square().sum(-1).mean()))
    deviation = (x - x.mean(dim=0)).square().sum(-1).mean()
    assert stream.mean_square_deviation == pytest.approx(float(deviation))


def test_identity_tells_streams_apart() -> None:
    same = {_stream().identity, _stream().identity}
    others = {
        _stream(size=11).identity,
        _stream(seed=1).identity,
        _stream(pool_tokens=33).identity,
        _stream(lengths=[9, 9]).identity,
        _stream(n_ctx=8).identity,
        _stream(bos=False).identity,
    }
    assert len(same) == 1
    assert len(same | others) == 7


def test_it_mixes_as_stated() -> None:
    """Companions of a token in its batch, of its window and document, against the formula."""
    t, w, n_documents, n, size = 8, 6, 40, 24, 64
    m = w * n_documents
    stream = _stream([t * w] * n_documents, size, n * t)
    of_window, of_document = [], []
    batches = n * t // size
    for number in range(m * t * 20 // size):
        if number % batches == 0:
            continue  # one in three, so that not only whole pools are counted
        tokens = np.array(ids(stream.batch(number)))
        for unit, counts in ((t, of_window), (t * w, of_document)):
            _, sizes = np.unique(tokens // unit, return_counts=True)
            counts.append(float((sizes * (sizes - 1)).sum()) / size)
    in_pool = (w - 1) * (n - 1) / (m - 1)
    a_token = (size - 1) / (n * t - 1)
    window, document = a_token * (t - 1), a_token * (t - 1 + t * in_pool)
    assert np.mean(of_window) == pytest.approx(window, rel=0.03)
    assert np.mean(of_document) == pytest.approx(document, rel=0.03)
    shuffled = (size - 1) * (w * t - 1) / (m * t - 1)
    assert 0 < document - shuffled < size / n


def _bytes_of_activations() -> int:
    """Of all live tensors that are as wide as activations."""
    live = [t for t in gc.get_objects() if issubclass(type(t), Tensor) and t.shape[-1:] == (D_IN,)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in live}
    return sum(storages.values())


def test_memory_is_one_pool_and_one_batch() -> None:
    """While pools are made, over many of them and several epochs."""
    model, windows = unique_text([200] * 10)
    stream = PoolStream(TextPools(model, HOOK, windows, 0, 400, torch.float32), 50)
    gc.collect()
    before, peaks = _bytes_of_activations(), []
    model.on_capture = lambda: peaks.append(_bytes_of_activations() - before)
    for number in range(120):
        stream.batch(number)
    assert len(peaks) == 15
    assert 400 * D_IN * 4 <= max(peaks) <= (400 + 50) * D_IN * 4


def test_short_texts() -> None:
    assert sorted(ids(_stream([8], size=8).batch(0))) == list(range(8))
    assert sorted(set(ids(_stream([3, 5], size=20).batch(0)))) == list(range(8))
    with pytest.raises(TrainingError, match="unique has 7 tokens, less than one context of 8"):
        _stream([3, 4, 50], held_out=(2,))
    with pytest.raises(TrainingError, match="has 0 tokens"):
        _stream([50], held_out=(0,))
    with pytest.raises(TrainingError, match="batch of 0 tokens"):
        _stream(size=0)


def test_special_tokens_are_left_out() -> None:
    model, windows = unique_text(LENGTHS)
    model.vocabulary.is_special[[0, 7, 50]] = True
    stream = PoolStream(TextPools(model, HOOK, windows, 0, 32, torch.float32), 159)
    assert sorted(ids(stream.batch(0))) == sorted(set(range(162)) - {0, 7, 50})
    model.vocabulary.is_special[:] = True
    stream = PoolStream(TextPools(model, HOOK, windows, 0, 32, torch.float32), 10)
    with pytest.raises(TrainingError, match="special tokens only"):
        stream.batch(0)


def test_nan_is_refused_with_its_token() -> None:
    model, windows = unique_text(LENGTHS)
    model.broken = 77
    stream = PoolStream(TextPools(model, HOOK, windows, 0, 32, torch.float32), 10)
    with pytest.raises(TrainingError, match=r"NaN or infinity at .* for token 77 \('<77>'\)"):
        torch.cat([stream.batch(number) for number in range(17)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("hook", [HOOK, "blocks.1.attn.hook_z", "blocks.2.hook_resid_mid"])
def test_activations_are_the_models_own(
    tmp_path: Path, gpt2: LanguageModel, hook: str, dtype: torch.dtype
) -> None:
    (tmp_path / "text.txt").write_text("def fox(dog): jumps over\n" * 9)
    corpus = tokenize(open_corpus(str(tmp_path / "text.txt")), gpt2.tokenizer, tmp_path / "cache")
    windows = Windows(corpus, 20, gpt2.vocabulary.bos)
    stream = PoolStream(TextPools(gpt2, hook, windows, dtype=dtype), corpus.n_tokens)
    tokens, mask = windows.gather(np.arange(len(windows)))
    point = gpt2.hook_point(hook)
    x = gpt2.capture(torch.from_numpy(tokens), point)[torch.from_numpy(mask)].to(dtype).float()
    batch = stream.batch(0)
    assert batch.shape == (corpus.n_tokens, point.d_in)
    nearest = torch.cdist(batch.double(), x.double()).min(dim=0).values
    assert float(nearest.max()) < (1e-3 if dtype == torch.float32 else 0.05)
