"""The demo's language model: what it never sees, what a resumed run repeats, what is saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import GPT2LMHeadModel

from sae_core.errors import HarvestError
from sae_core.language_model.model import load_model
from sae_core.text.corpus import TextCorpus
from sae_core.text.tokenized import TokenizedCorpus, Windows, tokenize
from sae_core.training.demo_model import (
    ModelConfig,
    Rows,
    held_out_windows,
    new_model,
    save_model,
    token_loss,
    train_model,
    train_tokenizer,
)

CONFIG = ModelConfig(
    d_vocab=300, d_model=16, d_mlp=32, n_ctx=16, batch=2, steps=6, warmup=2, horizon=12, cooldown=2
)


@pytest.fixture
def text(tmp_path: Path) -> TextCorpus:
    """120 documents whose words name them, so that a row betrays its origin."""
    folder = tmp_path / "text"
    folder.mkdir()
    paths = []
    for n in range(120):
        path = folder / f"{n:03}.py"
        path.write_text(f"# {n}\n" + " ".join(f"{n}x{i}" for i in range(80)))
        paths.append((path.name, path))
    return TextCorpus("words", "made up", tuple(paths))


@pytest.fixture
def corpus(text: TextCorpus, tmp_path: Path) -> TokenizedCorpus:
    return tokenize(text, train_tokenizer(text, CONFIG.d_vocab), tmp_path / "cache")


def test_training_never_sees_what_is_held_out(corpus: TokenizedCorpus) -> None:
    windows = Windows(corpus, CONFIG.n_ctx, bos=0)
    inside = held_out_windows(windows, CONFIG.seed)
    whole = windows.of_documents(held_out=True)
    assert len(inside)
    assert len(whole)
    assert not set(inside) & set(whole)
    assert len(inside) == pytest.approx(len(windows) / 50, rel=0.4)
    # What is left, token by token, with one separator behind each training document.
    kept = []
    skipped = {*inside.tolist(), *whole.tolist()}
    for document in range(corpus.n_documents):
        for number in range(windows.first[document], windows.first[document + 1]):
            if number not in skipped:
                tokens, mask = windows.gather(np.array([number]))
                kept += tokens[mask].tolist()
        if not corpus.held_out[document]:
            kept.append(0)
    assert Rows(corpus, CONFIG).stream.tolist() == kept


def test_rows_depend_on_seed_and_step_alone(corpus: TokenizedCorpus) -> None:
    rows = Rows(corpus, CONFIG)
    assert rows[3].shape == (CONFIG.batch, CONFIG.n_ctx)
    assert (rows[3][:, 0] == 0).all()
    assert torch.equal(rows[3], Rows(corpus, CONFIG)[3])
    assert not torch.equal(rows[3], rows[4])
    assert not torch.equal(rows[3], Rows(corpus, replace(CONFIG, seed=1))[3])


def test_the_loss_is_the_mean_over_predicted_tokens(corpus: TokenizedCorpus) -> None:
    model, tokens = new_model(CONFIG), Rows(corpus, CONFIG)[0]
    with torch.no_grad():
        logits = model(tokens).logits[:, :-1].double()
        wanted = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        assert float(token_loss(model, tokens)) == pytest.approx(float(wanted), rel=0.01)


def test_a_stopped_run_ends_as_an_undisturbed_one(corpus: TokenizedCorpus, tmp_path: Path) -> None:
    whole, curve = train_model(corpus, CONFIG, tmp_path / "whole", point_every=3, save_every=2)

    class Stop(Exception):
        pass

    def stop(_: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        train_model(corpus, CONFIG, tmp_path / "part", on_point=stop, point_every=3, save_every=2)
    resumed, resumed_curve = train_model(
        corpus, CONFIG, tmp_path / "part", point_every=3, save_every=2
    )
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    assert [p.step for p in resumed_curve] == [p.step for p in curve]


def test_a_checkpoint_of_another_run_is_refused(corpus: TokenizedCorpus, tmp_path: Path) -> None:
    train_model(corpus, replace(CONFIG, steps=2), tmp_path / "ckpt")
    with pytest.raises(HarvestError, match="another run"):
        train_model(corpus, CONFIG, tmp_path / "ckpt")


def test_what_is_saved_opens_as_any_model(
    text: TextCorpus, corpus: TokenizedCorpus, tmp_path: Path
) -> None:
    model, _ = train_model(corpus, CONFIG, tmp_path / "ckpt")
    save_model(model, train_tokenizer(text, CONFIG.d_vocab), tmp_path / "model")
    opened = load_model(tmp_path / "model")
    assert (opened.n_layers, opened.d_model, opened.n_ctx) == (1, 16, 16)
    assert opened.vocabulary.bos == 0
    tokens = Rows(corpus, CONFIG)[0]
    with torch.no_grad():
        kept = model.half().float()  # what the file holds
        assert torch.allclose(opened.logits(tokens), kept(tokens).logits, atol=1e-4)


def test_a_deeper_model_is_kept_at_moments_of_its_training(
    text: TextCorpus, corpus: TokenizedCorpus, tmp_path: Path
) -> None:
    config = replace(CONFIG, n_layers=2, tied=True)
    tokenizer = train_tokenizer(text, config.d_vocab)
    seen: list[int] = []

    def keep(step: int, model: GPT2LMHeadModel) -> None:
        seen.append(step)
        save_model(model, tokenizer, tmp_path / str(step))

    moments = (2, config.steps)
    model, _ = train_model(corpus, config, tmp_path / "ckpt", on_moment=keep, moments=moments)
    plain, _ = train_model(corpus, config, tmp_path / "other")
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)  # keeping it changes nothing
    assert seen == [2, config.steps]
    early, last = (load_model(tmp_path / str(step)) for step in seen)
    assert (early.n_layers, last.n_layers) == (2, 2)
    tokens = Rows(corpus, config)[0]
    with torch.no_grad():
        kept = model.half().float()
        assert torch.allclose(last.logits(tokens), kept(tokens).logits, atol=1e-4)
    assert not torch.equal(early.logits(tokens), last.logits(tokens))


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(HarvestError, match="130 is no multiple of 4"):
        ModelConfig(d_model=130)
