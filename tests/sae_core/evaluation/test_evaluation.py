"""Evaluation on a random model, against sums written out in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sae_core.evaluation.evaluation import evaluate, mean_loss
from sae_core.language_model.model import LanguageModel
from sae_core.text.corpus import open_corpus
from sae_core.text.tokenized import Windows, tokenize
from tests.sae_core.tiny_dictionaries import random_dictionary


@pytest.fixture
def windows(tmp_path: Path, gpt2: LanguageModel) -> Windows:
    folder = tmp_path / "texts"
    folder.mkdir()
    for n in range(12):
        (folder / f"{n}.txt").write_text(f"text {n} " + "def fox(dog): jumps over\n" * (n + 1))
    corpus = tokenize(open_corpus(str(folder)), gpt2.tokenizer, tmp_path / "cache")
    return Windows(corpus, 20, gpt2.vocabulary.bos)


@pytest.mark.parametrize("architecture", ["topk", "neurons"])
@pytest.mark.parametrize("hook", ["blocks.1.mlp.hook_post", "blocks.1.hook_resid_pre"])
def test_figures_equal_sums_window_by_window(
    gpt2: LanguageModel, windows: Windows, hook: str, architecture: str
) -> None:
    point = gpt2.hook_point(hook)
    dictionary = random_dictionary(hook, point.d_in, architecture=architecture)
    numbers = np.arange(len(windows), dtype=np.int64)
    result = evaluate(gpt2, dictionary, windows, numbers)

    xs, hats, counts, fired = [], [], 0, torch.zeros(dictionary.d_sae, dtype=torch.bool)
    rows = []
    for number in numbers:
        tokens, mask = windows.gather(np.array([number]))
        kept = torch.from_numpy(tokens[:, : 1 + int(mask.sum())])
        x = gpt2.capture(kept, point)[0, 1:]
        acts = dictionary.encode(x)
        xs.append(x.double())
        hats.append(dictionary.decode(acts, x).double())
        counts += int((acts > 0).sum())
        fired |= (acts > 0).any(0)
        rows.append(kept)
    x, hat = torch.cat(xs), torch.cat(hats)
    mean = x.mean(0)
    assert result.n_tokens == result.n_targets == len(x) == windows.corpus.n_tokens
    assert result.l0 == pytest.approx(counts / len(x))
    fvu = (x - hat).pow(2).sum() / (x - mean).pow(2).sum()
    assert result.fvu == pytest.approx(float(fvu), rel=1e-4)
    assert result.dead_share == pytest.approx(1 - float(fired.double().mean()))

    def loss(replacement: list[Tensor] | None) -> float:
        total = 0.0
        for n, kept in enumerate(rows):
            if replacement is None:
                logits = gpt2.logits(kept)
            else:
                with gpt2.replaced(point, lambda y, n=n: _with(y, replacement[n])):  # type: ignore[misc]
                    logits = gpt2.logits(kept)
            log_p = logits.double().log_softmax(-1)[0, :-1]
            total -= float(log_p.gather(-1, kept[0, 1:, None]).sum())
        return total / len(x)

    assert result.l_clean == pytest.approx(loss(None), abs=1e-4)
    assert result.l_recon == pytest.approx(loss(hats), abs=1e-4)
    assert result.l_zero == pytest.approx(loss([torch.zeros_like(h) for h in hats]), abs=1e-4)
    assert result.l_mean == pytest.approx(loss([mean.expand_as(h) for h in hats]), abs=1e-4)
    assert mean_loss(gpt2, windows, numbers) == pytest.approx(result.l_clean, abs=1e-6)
    figures = result.figures()
    assert figures["extra_loss_fraction"] == pytest.approx(
        (result.l_recon - result.l_clean) / (result.l_zero - result.l_clean)
    )


def _with(x: Tensor, text: Tensor) -> Tensor:
    out = x.clone()
    out[0, 1:] = text.to(x.dtype)
    return out
