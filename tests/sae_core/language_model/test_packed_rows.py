"""Windows that share a row are harvested as those that lie alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sae_core.errors import HarvestError
from sae_core.harvest.firing_log import FiringLog
from sae_core.harvest.harvest import plan_harvest, run_harvest
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.language_model.packed_rows import isolates, pack
from sae_core.text.corpus import open_corpus
from sae_core.text.tokenized import Windows, tokenize
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_bloom, tiny_gemma2, tiny_gpt2, tiny_llama


def test_every_window_lies_in_one_row_and_nothing_overlaps() -> None:
    draw = np.random.default_rng(0)
    tokens = draw.integers(1, 100, (30, 12))
    lengths = draw.integers(1, 13, 30)
    rows = pack(tokens, lengths)
    used = np.concatenate([rows.places[w, : lengths[w]] for w in range(30)])
    assert len(set(used.tolist())) == lengths.sum() == len(used)
    assert len(rows.tokens) < 30
    for w in range(30):
        places = rows.places[w, : lengths[w]]
        assert len(set((places // 12).tolist())) == 1
        assert (rows.tokens.ravel()[places] == tokens[w, : lengths[w]]).all()
        assert (rows.positions.ravel()[places] == np.arange(lengths[w])).all()
    # Wherever one begins, and nowhere else, positions do not go on.
    begins = {int(rows.places[w, 0]) for w in range(30)}
    flat = rows.positions.ravel()
    assert {n for n in range(len(flat)) if flat[n] == 0} >= begins


@pytest.mark.parametrize("build", [tiny_gpt2, tiny_llama, tiny_gemma2])
def test_a_packed_harvest_is_the_same_harvest(tmp_path: Path, build: Callable[[], Any]) -> None:
    model = load_model(save_folder(build(), tmp_path / "model"), dtype="float64")
    (tmp_path / "texts").mkdir()
    for n in range(30):
        (tmp_path / "texts" / f"{n:02}.txt").write_text(f"fox {n} jumps " * (n % 9 + 1))
    corpus = tokenize(open_corpus(str(tmp_path / "texts")), model.tokenizer, tmp_path / "cache")
    plan = plan_harvest(Windows(corpus, 24, model.vocabulary.bos), None, batch_windows=16)
    point = model.hook_point("blocks.1.hook_resid_post")
    assert isolates(model, point)
    dictionary = random_dictionary(point.name, point.d_in).double()
    logs = []
    for packed in (False, True):
        one = replace(plan, packed=packed)
        log = FiringLog(tmp_path / f"log {packed}", one.header(model, dictionary, "x"))
        run_harvest(model, dictionary, one, log)
        logs.append(log.read(0, dictionary.d_sae))
    for alone, together in zip(*logs, strict=True):
        assert len(alone.values) == len(together.values)
        np.testing.assert_allclose(together.values, alone.values, rtol=1e-5, atol=1e-6)


def test_an_architecture_that_cannot_is_a_sentence(tmp_path: Path) -> None:
    """Bloom has no positions that could begin anew."""
    model: LanguageModel = load_model(save_folder(tiny_bloom(), tmp_path / "model"))
    point = model.hook_point("blocks.1.hook_resid_post")
    (tmp_path / "a.txt").write_text("fox jumps")
    corpus = tokenize(open_corpus(str(tmp_path / "a.txt")), model.tokenizer, tmp_path / "cache")
    plan = plan_harvest(Windows(corpus, 24, 0), None, packed=True)
    dictionary = random_dictionary(point.name, point.d_in)
    log = FiringLog(tmp_path / "log", plan.header(model, dictionary, "x"))
    with pytest.raises(HarvestError, match="lets them see each other"):
        run_harvest(model, dictionary, plan, log)
