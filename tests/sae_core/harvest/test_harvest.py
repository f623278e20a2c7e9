"""The harvest of a random model against a dense pass in one piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import HarvestError, HookPointError
from sae_core.harvest import firing_log
from sae_core.harvest.feature_records import feature_records, window_records
from sae_core.harvest.firing_log import FiringLog
from sae_core.harvest.harvest import HarvestPlan, HarvestProgress, plan_harvest, run_harvest
from sae_core.harvest.logit_weights import logit_weights
from sae_core.harvest.records import FeatureRecord
from sae_core.language_model.model import LanguageModel
from sae_core.text.corpus import open_corpus
from sae_core.text.tokenized import Windows, tokenize
from tests.sae_core.tiny_dictionaries import random_dictionary

POST = "blocks.0.mlp.hook_post"


@pytest.fixture
def windows(tmp_path: Path, relu_model: LanguageModel) -> Windows:
    folder = tmp_path / "texts"
    folder.mkdir()
    rng = np.random.default_rng(0)
    words = ["def", " read", "\n", " the", " fox", "(", ")", " dog", " jumps", " over", "é"]
    for n in range(30):
        text = "".join(rng.choice(words, rng.integers(5, 120)))
        (folder / f"{n:02}.txt").write_text(f"{n}{text}")
    corpus = tokenize(open_corpus(str(folder)), relu_model.tokenizer, tmp_path / "cache")
    return Windows(corpus, 16, relu_model.vocabulary.bos)


def _plan(windows: Windows, n_tokens: int | None = None) -> HarvestPlan:
    return plan_harvest(windows, n_tokens, seed=5, batch_windows=4)


def _harvested(
    model: LanguageModel,
    dictionary: Dictionary,
    plan: HarvestPlan,
    folder: Path,
    batches: range | None = None,
) -> FiringLog:
    log = FiringLog(folder, plan.header(model, dictionary, "checksum"))
    run_harvest(model, dictionary, plan, log, batches)
    return log


def _same(a: FeatureRecord, b: FeatureRecord) -> bool:
    return repr(a) == repr(b)


@pytest.mark.parametrize("architecture", ["standard", "topk", "neurons"])
def test_records_equal_a_dense_pass(
    tmp_path: Path, relu_model: LanguageModel, windows: Windows, architecture: str
) -> None:
    model = relu_model
    dictionary = random_dictionary(POST, model.hook_point(POST).d_in, architecture=architecture)
    plan = _plan(windows)
    log = _harvested(model, dictionary, plan, tmp_path / "log")
    records = list(feature_records(model, dictionary, plan, log))

    tokens, mask = windows.gather(np.arange(len(windows)))
    x = model.capture(torch.from_numpy(tokens), model.hook_point(POST))
    acts = dictionary.encode(x).numpy() * mask[..., None]
    assert log.n_tokens == mask.sum() == windows.corpus.n_tokens
    assert [r.index for r in records] == list(range(dictionary.d_sae))
    weights = logit_weights(model, dictionary, slice(None))
    cosine = torch.nn.functional.normalize(dictionary.decoder_rows, dim=-1)
    cosine = cosine @ cosine.T - 2 * torch.eye(dictionary.d_sae)
    for record in records:
        own = acts[..., record.index]
        assert record.firings == np.count_nonzero(own)
        assert record.maximum == pytest.approx(own.max(), rel=1e-5)
        assert record.fires_on is not None
        assert record.fires_after is not None
        fired_on = np.bincount(tokens[own > 0], minlength=model.d_vocab)
        for token, share in zip(record.fires_on.ids, record.fires_on.weights, strict=True):
            assert share == np.float32(fired_on[token] / record.firings)
        fired_after = np.bincount(tokens[:, :-1][own[:, 1:] > 0], minlength=model.d_vocab)
        fired_after[sorted(model.vocabulary.special)] = 0
        best = np.argsort(-fired_after, kind="stable")[: np.count_nonzero(fired_after)][:10]
        assert record.fires_after.ids.tolist() == best.tolist()
        if record.firings:
            assert record.fires_on.weights[0] == np.float32(fired_on.max() / record.firings)
            assert record.activations.counts.sum() == record.firings
        for group in record.groups:
            examples = group.examples
            for i, window in enumerate(examples.windows):
                cut = slice(examples.bounds[i], examples.bounds[i + 1])
                assert examples.positions[cut].tolist() == own[window].nonzero()[0].tolist()
                fired = own[window][examples.positions[cut]]
                assert examples.values[cut] == pytest.approx(fired, rel=1e-4)
        effect = weights[record.index]
        assert record.raised.ids[0] == int(effect.argmax())
        assert record.lowered.weights[0] == pytest.approx(float(effect.min()))
        assert record.logits.counts.sum() == model.d_vocab
        expected, _ = np.histogram(
            effect.double().numpy(), 40, (record.logits.low, record.logits.high)
        )
        assert np.abs(record.logits.counts - expected).sum() <= 4  # rounding at bucket edges
        if architecture != "neurons":
            assert record.nearest.ids[0] == int(cosine[record.index].argmax())
            row = dictionary.decoder_row(record.index)
            assert record.neurons.ids[0] == int(row.abs().argmax())
            assert record.neurons.shares[0] == pytest.approx(
                float(row.abs().max() / row.abs().sum()), rel=1e-5
            )


def test_killed_resumed_merged_and_whole_are_the_same(
    tmp_path: Path,
    relu_model: LanguageModel,
    windows: Windows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dictionary = random_dictionary(POST, relu_model.hook_point(POST).d_in, architecture="topk")
    plan = _plan(windows)
    monkeypatch.setattr(firing_log, "RUN_FIRINGS", 500)

    def records(log: FiringLog) -> list[FeatureRecord]:
        return list(feature_records(relu_model, dictionary, plan, log))

    whole = records(_harvested(relu_model, dictionary, plan, tmp_path / "whole"))

    killed = FiringLog(tmp_path / "killed", plan.header(relu_model, dictionary, "checksum"))

    def die(progress: HarvestProgress) -> None:
        if progress.done > progress.total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_harvest(relu_model, dictionary, plan, killed, on_progress=die)
    assert 0 < killed.n_tokens < plan.n_tokens
    resumed = records(_harvested(relu_model, dictionary, plan, tmp_path / "killed"))
    assert all(map(_same, whole, resumed))

    middle = plan.n_batches // 2
    halves = [range(middle), range(middle, plan.n_batches)]
    a, b = (
        _harvested(relu_model, dictionary, plan, tmp_path / f"half{n}", half)
        for n, half in enumerate(halves)
    )
    b.merge(a)
    assert all(map(_same, whole, records(b)))


def test_writers_are_listed_with_their_neurons(
    tmp_path: Path, relu_model: LanguageModel, windows: Windows
) -> None:
    width = relu_model.hook_point(POST).d_in
    writers = random_dictionary(POST, width)
    neurons = random_dictionary(POST, width, architecture="neurons")
    plan = _plan(windows, 100)
    log = _harvested(relu_model, neurons, plan, tmp_path)
    for record in feature_records(relu_model, neurons, plan, log, writers):
        column = writers.decoder_rows[:, record.index]
        assert record.neurons.ids[0] == int(column.abs().argmax())
        assert record.neurons.weights[0] == pytest.approx(float(column[int(column.abs().argmax())]))


def test_window_records_name_document_and_line(
    tmp_path: Path, relu_model: LanguageModel, windows: Windows
) -> None:
    numbers = np.arange(len(windows), dtype=np.int64)
    texts = {path.name: path.read_bytes() for path in (tmp_path / "texts").iterdir()}
    done = dict.fromkeys(texts, b"")
    for record in window_records(_plan(windows), relu_model, numbers):
        assert record.line == 1 + done[record.document].count(b"\n")
        pieces = relu_model.vocabulary.pieces
        done[record.document] += b"".join(pieces[t] for t in record.tokens[1:])
    assert done == texts


def test_what_does_not_fit_is_refused(
    tmp_path: Path, relu_model: LanguageModel, windows: Windows
) -> None:
    with pytest.raises(HarvestError, match="0 tokens"):
        plan_harvest(windows, 0)
    narrow = random_dictionary(POST, 7)
    plan = _plan(windows, 50)
    log = FiringLog(tmp_path / "log", plan.header(relu_model, narrow, "checksum"))
    with pytest.raises(HookPointError, match=r"width 7.* has width 48"):
        run_harvest(relu_model, narrow, plan, log)
